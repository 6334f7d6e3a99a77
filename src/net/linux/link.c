#include "net/linux/link.h"
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

static struct nlmsghdr *begin(struct nl *n, uint16_t type, int index, unsigned flags, unsigned change)
{
    struct nlmsghdr *m = nl_begin(n, type, 0);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(m, sizeof(*ifi));

    ifi->ifi_family = AF_UNSPEC;
    ifi->ifi_index = index;
    ifi->ifi_flags = flags;
    ifi->ifi_change = change;
    return m;
}

struct err *link_up(struct nl *n, int index, bool up)
{
    return nl_send(n, begin(n, RTM_SETLINK, index, up ? IFF_UP : 0, IFF_UP), "bring interface up or down");
}

struct err *link_master(struct nl *n, int port, int bridge)
{
    struct nlmsghdr *m = begin(n, RTM_SETLINK, port, 0, 0);

    mnl_attr_put_u32(m, IFLA_MASTER, (uint32_t)bridge);
    return nl_send(n, m, bridge ? "put interface into bridge" : "take interface out of bridge");
}

struct err *link_mtu(struct nl *n, int index, uint32_t mtu)
{
    struct nlmsghdr *m = begin(n, RTM_SETLINK, index, 0, 0);

    mnl_attr_put_u32(m, IFLA_MTU, mtu);
    return nl_send(n, m, "set mtu");
}

struct err *link_mac(struct nl *n, int index, const uint8_t mac[6])
{
    struct nlmsghdr *m = begin(n, RTM_SETLINK, index, 0, 0);

    mnl_attr_put(m, IFLA_ADDRESS, 6, mac);
    return nl_send(n, m, "set address of interface");
}

struct err *link_alias(struct nl *n, int index, const char *alias)
{
    struct nlmsghdr *m = begin(n, RTM_SETLINK, index, 0, 0);

    mnl_attr_put_strz(m, IFLA_IFALIAS, alias);
    return nl_send(n, m, "note what interface is for");
}

struct err *link_silence(struct nl *n, int index)
{
    struct nlmsghdr *m = begin(n, RTM_SETLINK, index, 0, 0);
    struct nlattr *spec = mnl_attr_nest_start(m, IFLA_AF_SPEC);
    struct nlattr *inet6 = mnl_attr_nest_start(m, AF_INET6);

    mnl_attr_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(m, inet6);
    mnl_attr_nest_end(m, spec);
    return nl_send(n, m, "silence interface");
}

struct err *link_vlan(struct nl *n, int parent, uint32_t tag, const char *name)
{
    struct nlmsghdr *m = begin(n, RTM_NEWLINK, 0, 0, 0);
    struct nlattr *info, *data;

    m->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put_u32(m, IFLA_LINK, (uint32_t)parent);
    info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "vlan");
    data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    mnl_attr_put_u16(m, IFLA_VLAN_ID, (uint16_t)tag);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
    return nl_send(n, m, "make a VLAN");
}

struct err *link_delete(struct nl *n, int index)
{
    return nl_send(n, begin(n, RTM_DELLINK, index, 0, 0), "remove interface");
}
