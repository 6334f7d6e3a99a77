#include "net/linux/gateway.h"
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <time.h>

#define POLL_MS 50

struct search {
    int index;
    struct in_addr gateway;
    bool found, heard;
};

static void on_route(void *arg, const struct nlmsghdr *m)
{
    struct search *s = arg;
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(m);
    const struct nlattr *attr;
    struct in_addr gateway = { 0 };
    int index = 0;

    if (rtm->rtm_family != AF_INET || rtm->rtm_dst_len || rtm->rtm_table != RT_TABLE_MAIN)
        return;
    mnl_attr_for_each(attr, m, sizeof(*rtm))
    {
        if (mnl_attr_get_type(attr) == RTA_OIF)
            index = (int)mnl_attr_get_u32(attr);
        else if (mnl_attr_get_type(attr) == RTA_GATEWAY)
            gateway.s_addr = mnl_attr_get_u32(attr);
    }
    if (index == s->index && gateway.s_addr && !s->found) {
        s->gateway = gateway;
        s->found = true;
    }
}

static void on_neighbour(void *arg, const struct nlmsghdr *m)
{
    struct search *s = arg;
    const struct ndmsg *ndm = mnl_nlmsg_get_payload(m);
    const struct nlattr *attr;

    if (ndm->ndm_family != AF_INET || ndm->ndm_ifindex != s->index ||
        !(ndm->ndm_state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)))
        return;
    mnl_attr_for_each(attr, m, sizeof(*ndm)) if (mnl_attr_get_type(attr) == NDA_DST &&
        mnl_attr_get_payload_len(attr) == sizeof(s->gateway) && mnl_attr_get_u32(attr) == s->gateway.s_addr) s->heard =
        true;
}

static bool heard(struct nl *n, struct search *s)
{
    struct err *e = nl_dump(n, RTM_GETNEIGH, AF_INET, on_neighbour, s);

    if (e)
        err_ignore(e, "then nothing is known");
    return s->heard;
}

bool gateway_known(struct nl *n, int index, struct in_addr *ret_gateway)
{
    struct search s = { .index = index };
    struct err *e = nl_dump(n, RTM_GETROUTE, AF_INET, on_route, &s);

    if (e)
        err_ignore(e, "then none is known");
    if (!s.found || !heard(n, &s))
        return false;
    *ret_gateway = s.gateway;
    return true;
}

/* As if we had something to send there. */
static struct err *ask(struct nl *n, int index, struct in_addr gateway)
{
    struct nlmsghdr *m = nl_begin(n, RTM_NEWNEIGH, NLM_F_CREATE);
    struct ndmsg *ndm = mnl_nlmsg_put_extra_header(m, sizeof(*ndm));

    ndm->ndm_family = AF_INET;
    ndm->ndm_ifindex = index;
    ndm->ndm_flags = NTF_USE;
    mnl_attr_put_u32(m, NDA_DST, gateway.s_addr);
    return nl_send(n, m, "look for the gateway");
}

bool gateway_answers(struct nl *n, int index, struct in_addr gateway, unsigned timeout_ms)
{
    struct search s = { .index = index, .gateway = gateway };

    for (unsigned waited = 0; waited <= timeout_ms; waited += POLL_MS) {
        struct err *e = ask(n, index, gateway);

        if (e)
            err_ignore(e, "asked again in a moment");
        if (heard(n, &s))
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = POLL_MS * 1000000L }, NULL);
    }
    return false;
}
