#include "net/linux/nat.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"

#define SHORTEST 8
#define LONGEST 28

struct err *nat_parse(const char *gateway, struct nat_net *ret)
{
    struct str address, bits;
    char text[INET_ADDRSTRLEN] = "";
    uint64_t prefix = 0;
    struct nat_net n;

    if (!str_cut(str_of(gateway), '/', &address, &bits) || address.len >= sizeof(text) || !str_to_u64(bits, &prefix))
        return err_internal("%s is no address with a prefix length", gateway);
    memcpy(text, address.p, address.len);
    if (inet_pton(AF_INET, text, &n.gateway) != 1 || prefix < SHORTEST || prefix > LONGEST)
        return err_internal("%s is no IPv4 address with a prefix of %d to %d", gateway, SHORTEST, LONGEST);
    uint32_t mask = 0xffffffffU << (32 - prefix), host = ntohl(n.gateway.s_addr);
    uint32_t first = (host & mask) + 1, last = (host | ~mask) - 1;
    if (host < first || host > last)
        return err_internal("%s is not for a host", gateway);
    /* the guests' range is what lies on the longer side of the gateway */
    if (host - first > last - host)
        last = host - 1;
    else
        first = host + 1;
    n.prefix = (unsigned)prefix;
    n.mask.s_addr = htonl(mask);
    n.first.s_addr = htonl(first);
    n.last.s_addr = htonl(last);
    *ret = n;
    return NULL;
}

static struct err *address_add(struct nl *nl, int index, const struct nat_net *net)
{
    struct nlmsghdr *m = nl_begin(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(m, sizeof(*ifa));

    ifa->ifa_family = AF_INET;
    ifa->ifa_prefixlen = (uint8_t)net->prefix;
    ifa->ifa_scope = RT_SCOPE_UNIVERSE;
    ifa->ifa_index = (unsigned)index;
    mnl_attr_put_u32(m, IFA_LOCAL, net->gateway.s_addr);
    mnl_attr_put_u32(m, IFA_ADDRESS, net->gateway.s_addr);
    return nl_send(nl, m, "give the bridge its address");
}

static struct err *forward(void)
{
    AUTO(fd_drop) int fd = open("/proc/sys/net/ipv4/ip_forward", O_RDWR | O_CLOEXEC);
    char now = 0;

    if (fd < 0)
        return err_errno(errno, "open ip_forward");
    if (read(fd, &now, 1) == 1 && now == '1')
        return NULL; /* writing it again would reset other settings of the host */
    return pwrite(fd, "1\n", 2, 0) == 2 ? NULL : err_errno(errno, "switch forwarding on");
}

struct err *nat_up(struct nl *nl, struct nft *nft, const char *bridge, int index, const struct nat_net *net)
{
    char gateway[INET_ADDRSTRLEN];

    TRY(address_add(nl, index, net));
    TRY(forward());
    inet_ntop(AF_INET, &net->gateway, gateway, sizeof(gateway));
    /* A table for each bridge, replaced as a whole. */
    return nft_run(nft, "hide a network's guests behind the host",
        "add table inet runnymede-%s\n"
        "delete table inet runnymede-%s\n"
        "table inet runnymede-%s {\n"
        "  chain out { type nat hook postrouting priority srcnat;\n"
        "    ip saddr %s/%u oifname != \"%s\" masquerade\n"
        "  }\n"
        "  chain through { type filter hook forward priority filter;\n"
        "    oifname \"%s\" ct state established,related accept\n"
        "    oifname \"%s\" iifname != \"%s\" drop\n"
        "  }\n"
        "}\n",
        bridge, bridge, bridge, gateway, net->prefix, bridge, bridge, bridge, bridge);
}

struct err *nat_down(struct nft *nft, const char *bridge)
{
    return nft_run(
        nft, "let go of a network", "add table inet runnymede-%s\ndelete table inet runnymede-%s\n", bridge, bridge);
}
