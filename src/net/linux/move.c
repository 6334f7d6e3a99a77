#include "net/linux/move.h"
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include "base/mem.h"

/* The kernel's own messages, kept to be sent again with another interface in them. */
struct rows {
    int index;
    VEC(struct nlmsghdr *) v; /* owned */
};

static void rows_done(struct rows *r)
{
    for (size_t i = 0; i < r->v.len; i++)
        free(r->v.p[i]);
    vec_done(&r->v);
}

static void on_address(void *arg, const struct nlmsghdr *m)
{
    struct rows *r = arg;
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(m);

    if ((int)ifa->ifa_index == r->index && ifa->ifa_scope < RT_SCOPE_LINK)
        vec_push(&r->v, mem_dup(m, m->nlmsg_len));
}

static void on_route(void *arg, const struct nlmsghdr *m)
{
    struct rows *r = arg;
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(m);
    const struct nlattr *attr;

    if (rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_protocol == RTPROT_KERNEL || rtm->rtm_protocol == RTPROT_RA ||
        rtm->rtm_flags & RTM_F_CLONED)
        return;
    mnl_attr_for_each(attr, m, sizeof(*rtm)) if (mnl_attr_get_type(attr) == RTA_OIF &&
        (int)mnl_attr_get_u32(attr) == r->index) vec_push(&r->v, mem_dup(m, m->nlmsg_len));
}

static struct err *address_send(struct nl *n, const struct nlmsghdr *row, uint16_t type, int index)
{
    struct nlmsghdr *m = nl_begin(n, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_REPLACE : 0);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(m, sizeof(*ifa));
    const struct nlattr *attr;

    *ifa = *(const struct ifaddrmsg *)mnl_nlmsg_get_payload(row);
    ifa->ifa_index = (unsigned)index;
    mnl_attr_for_each(attr, row, sizeof(*ifa)) if (mnl_attr_get_type(attr) != IFA_LABEL) /* names the old interface */
        mnl_attr_put(m, mnl_attr_get_type(attr), mnl_attr_get_payload_len(attr), mnl_attr_get_payload(attr));
    return nl_send(n, m, type == RTM_NEWADDR ? "add address" : "remove address");
}

static struct err *route_send(struct nl *n, const struct nlmsghdr *row, int index)
{
    struct nlmsghdr *m = nl_begin(n, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
    struct rtmsg *rtm = mnl_nlmsg_put_extra_header(m, sizeof(*rtm));
    const struct nlattr *attr;

    *rtm = *(const struct rtmsg *)mnl_nlmsg_get_payload(row);
    rtm->rtm_flags = 0;
    mnl_attr_for_each(attr, row, sizeof(*rtm))
    {
        if (mnl_attr_get_type(attr) == RTA_OIF)
            mnl_attr_put_u32(m, RTA_OIF, (uint32_t)index);
        else if (mnl_attr_get_type(attr) != RTA_CACHEINFO)
            mnl_attr_put(m, mnl_attr_get_type(attr), mnl_attr_get_payload_len(attr), mnl_attr_get_payload(attr));
    }
    return nl_send(n, m, "add route");
}

static bool has_gateway(const struct nlmsghdr *row)
{
    const struct nlattr *attr;

    mnl_attr_for_each(attr, row, sizeof(struct rtmsg)) if (mnl_attr_get_type(attr) == RTA_GATEWAY) return true;
    return false;
}

/* Routes to neighbours first: a gateway must be reachable when its route is set. */
static struct err *routes_send(struct nl *n, const struct rows *routes, int index)
{
    struct err *e = NULL;

    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < routes->v.len; i++)
            if (has_gateway(routes->v.p[i]) == (pass == 1))
                e = err_first(e, route_send(n, routes->v.p[i], index));
    return e;
}

static struct err *addresses_add(struct nl *n, const struct rows *addresses, int to)
{
    struct err *e = NULL;

    for (size_t i = 0; i < addresses->v.len; i++)
        e = err_first(e, address_send(n, addresses->v.p[i], RTM_NEWADDR, to));
    return e;
}

static struct err *addresses_remove(struct nl *n, const struct rows *addresses, int from)
{
    struct err *e = NULL;

    for (size_t i = 0; i < addresses->v.len; i++) {
        struct err *gone = address_send(n, addresses->v.p[i], RTM_DELADDR, from);
        if (gone && err_errno_get(gone) == EADDRNOTAVAIL) {
            err_ignore(gone, "a secondary address went with its primary one");
            gone = NULL;
        }
        e = err_first(e, gone);
    }
    return e;
}

/*
 * Both have the addresses for a moment, so that no death of ours in between
 * loses one: what was begun is seen in the kernel, and done again to its end.
 */
struct err *move_addresses(struct nl *n, int from, int to)
{
    AUTO(rows_done) struct rows addresses = { .index = from };
    AUTO(rows_done) struct rows routes = { .index = from };
    struct err *e;

    TRY(nl_dump(n, RTM_GETADDR, AF_UNSPEC, on_address, &addresses));
    TRY(nl_dump(n, RTM_GETROUTE, AF_UNSPEC, on_route, &routes));
    e = addresses_add(n, &addresses, to);
    if (!e)
        e = routes_send(n, &routes, to);
    if (!e)
        e = addresses_remove(n, &addresses, from);
    if (e) {
        err_ignore(addresses_add(n, &addresses, from), "setting back: the first error is the one to tell");
        err_ignore(routes_send(n, &routes, from), "the same");
        err_ignore(addresses_remove(n, &addresses, to), "the same");
    }
    return e;
}
