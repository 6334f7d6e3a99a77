#include "net/linux/nl.h"
#include <errno.h>
#include <net/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "base/mem.h"
#include "base/str.h"

#define SEND_SIZE 8192
#define RECV_SIZE (64 * 1024)

struct nl {
    struct mnl_socket *socket; /* owned */
    uint32_t seq, port;
    char out[SEND_SIZE];
    char in[RECV_SIZE];
};

void nl_free(struct nl *n)
{
    if (!n)
        return;
    if (n->socket)
        mnl_socket_close(n->socket);
    free(n);
}

struct err *nl_open(struct nl **ret_nl)
{
    AUTO(nl_drop) struct nl *n = mem_new(struct nl);
    struct timeval limit = { .tv_sec = 5 };

    n->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    if (!n->socket || mnl_socket_bind(n->socket, 0, MNL_SOCKET_AUTOPID) < 0)
        return err_errno(errno, "open rtnetlink");
    if (setsockopt(mnl_socket_get_fd(n->socket), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
        return err_errno(errno, "limit rtnetlink");
    n->port = mnl_socket_get_portid(n->socket);
    *ret_nl = MOVE(n);
    return NULL;
}

struct nlmsghdr *nl_begin(struct nl *n, uint16_t type, uint16_t flags)
{
    struct nlmsghdr *m = mnl_nlmsg_put_header(n->out);

    m->nlmsg_type = type;
    m->nlmsg_flags = NLM_F_REQUEST | flags;
    m->nlmsg_seq = ++n->seq;
    return m;
}

struct call {
    nl_fn *fn;
    void *arg;
};

static int on_message(const struct nlmsghdr *m, void *arg)
{
    struct call *c = arg;

    if (c->fn)
        c->fn(c->arg, m);
    return MNL_CB_OK;
}

static struct err *talk(struct nl *n, struct nlmsghdr *m, struct call *c, const char *what)
{
    ssize_t len;
    int rc;

    if (mnl_socket_sendto(n->socket, m, m->nlmsg_len) < 0)
        return err_errno(errno, "%s", what);
    do {
        len = mnl_socket_recvfrom(n->socket, n->in, sizeof(n->in));
        if (len < 0)
            return err_errno(errno, "%s", what);
        rc = mnl_cb_run(n->in, (size_t)len, n->seq, n->port, on_message, c);
        if (rc < 0 &&
            (errno == EPROTO || errno == ESRCH)) { /* an answer to an earlier request that timed out, or ESRCH itself */
            const struct nlmsghdr *got = (const void *)n->in;
            if (got->nlmsg_seq != n->seq) {
                rc = MNL_CB_OK;
                continue;
            }
        }
        if (rc < 0)
            return err_errno(errno, "%s", what);
    } while (rc > MNL_CB_STOP);
    return NULL;
}

struct err *nl_send(struct nl *n, struct nlmsghdr *m, const char *what)
{
    struct call none = { 0 };

    m->nlmsg_flags |= NLM_F_ACK;
    return talk(n, m, &none, what);
}

struct err *nl_dump(struct nl *n, uint16_t type, uint8_t family, nl_fn *fn, void *arg)
{
    struct nlmsghdr *m = nl_begin(n, type, NLM_F_DUMP);
    struct call c = { fn, arg };

    if (type == RTM_GETLINK) {
        struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(m, sizeof(*ifi));
        ifi->ifi_family = family;
    } else if (type == RTM_GETADDR) {
        struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(m, sizeof(*ifa));
        ifa->ifa_family = family;
    } else {
        struct rtmsg *rtm = mnl_nlmsg_put_extra_header(m, sizeof(*rtm));
        rtm->rtm_family = family;
    }
    return talk(n, m, &c, "rtnetlink dump");
}

static void text_copy(char *to, size_t size, const struct nlattr *attr)
{
    size_t len = strnlen(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));

    len = len < size ? len : size - 1;
    memcpy(to, mnl_attr_get_payload(attr), len);
    to[len] = 0;
}

static void vlan_info(struct nl_link *l, const struct nlattr *data)
{
    const struct nlattr *attr;

    mnl_attr_for_each_nested(attr, data) if (mnl_attr_get_type(attr) == IFLA_VLAN_ID) l->tag = mnl_attr_get_u16(attr);
}

static void bond_info(struct nl_link *l, const struct nlattr *data)
{
    const struct nlattr *attr;

    mnl_attr_for_each_nested(attr, data)
    {
        switch (mnl_attr_get_type(attr)) {
        case IFLA_BOND_MODE:
            l->bond.mode = mnl_attr_get_u8(attr);
            break;
        case IFLA_BOND_XMIT_HASH_POLICY:
            l->bond.hash = mnl_attr_get_u8(attr);
            break;
        case IFLA_BOND_AD_LACP_RATE:
            l->bond.rate = mnl_attr_get_u8(attr);
            break;
        case IFLA_BOND_AD_USER_PORT_KEY:
            l->bond.key = mnl_attr_get_u16(attr);
            break;
        default:
            break;
        }
    }
}

/* The kind comes before what only it has. */
static void link_info(struct nl_link *l, const struct nlattr *info)
{
    const struct nlattr *attr;

    mnl_attr_for_each_nested(attr, info)
    {
        if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
            text_copy(l->kind, sizeof(l->kind), attr);
        else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA && cstr_eq(l->kind, "vlan"))
            vlan_info(l, attr);
        else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA && cstr_eq(l->kind, "bond"))
            bond_info(l, attr);
    }
}

static void on_link(void *arg, const struct nlmsghdr *m)
{
    struct nl_links *links = arg;
    const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(m);
    const struct nlattr *attr;
    struct nl_link l = { .index = ifi->ifi_index };

    l.ethernet = ifi->ifi_type == ARPHRD_ETHER;
    l.up = ifi->ifi_flags & IFF_UP;
    mnl_attr_for_each(attr, m, sizeof(*ifi))
    {
        switch (mnl_attr_get_type(attr)) {
        case IFLA_IFNAME:
            text_copy(l.name, sizeof(l.name), attr);
            break;
        case IFLA_IFALIAS:
            text_copy(l.alias, sizeof(l.alias), attr);
            break;
        case IFLA_ADDRESS:
            if (mnl_attr_get_payload_len(attr) == 6)
                memcpy(l.mac, mnl_attr_get_payload(attr), 6);
            break;
        case IFLA_MTU:
            l.mtu = mnl_attr_get_u32(attr);
            break;
        case IFLA_MASTER:
            l.master = (int)mnl_attr_get_u32(attr);
            break;
        case IFLA_CARRIER:
            l.carrier = mnl_attr_get_u8(attr);
            break;
        case IFLA_LINK:
            l.parent = (int)mnl_attr_get_u32(attr);
            break;
        case IFLA_LINKINFO:
            link_info(&l, attr);
            break;
        default:
            break;
        }
    }
    vec_push(&links->v, l);
}

void nl_links_done(struct nl_links *l)
{
    vec_done(&l->v);
}

struct err *nl_links_read(struct nl *n, struct nl_links *ret)
{
    ret->v.len = 0;
    return nl_dump(n, RTM_GETLINK, AF_UNSPEC, on_link, ret);
}

struct nl_link *nl_links_find(struct nl_links *l, const char *name)
{
    for (size_t i = 0; i < l->v.len; i++)
        if (cstr_eq(l->v.p[i].name, name))
            return &l->v.p[i];
    return NULL;
}

struct nl_link *nl_links_at(struct nl_links *l, int index)
{
    for (size_t i = 0; i < l->v.len; i++)
        if (l->v.p[i].index == index)
            return &l->v.p[i];
    return NULL;
}
