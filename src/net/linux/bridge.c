#include "net/linux/bridge.h"
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include "base/str.h"
#include "net/linux/link.h"

#define OURS "runnymede"

bool link_is_ours(const struct nl_link *l)
{
    return cstr_eq(l->alias, OURS) || cstr_starts(l->alias, OURS " ");
}

bool link_is_unfinished(const struct nl_link *l)
{
    return !*l->alias && !l->up && !l->master;
}

struct err *link_mark(struct nl *n, struct nl_link *l)
{
    TRY(link_alias(n, l->index, OURS));
    snprintf(l->alias, sizeof(l->alias), OURS);
    return NULL;
}

const char *link_note(const struct nl_link *l)
{
    return cstr_starts(l->alias, OURS " ") ? l->alias + sizeof(OURS) : "";
}

struct err *link_note_set(struct nl *n, struct nl_link *l, const char *note)
{
    snprintf(l->alias, sizeof(l->alias), OURS " %s", note);
    return link_alias(n, l->index, l->alias);
}

static struct err *send_new(struct nl *n, const char *name)
{
    struct nlmsghdr *m = nl_begin(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(m, sizeof(*ifi));
    struct nlattr *info, *data;

    ifi->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
    data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    mnl_attr_put_u32(m, IFLA_BR_STP_STATE, 0);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
    return nl_send(n, m, "make bridge");
}

/* A kernel picks a bridge's address anew with every port unless it was set once: so it is set, to the one it has. */
static struct err *finish(struct nl *n, struct nl_link *l)
{
    TRY(link_mark(n, l));
    return link_mac(n, l->index, l->mac);
}

struct err *bridge_find_or_make(
    struct nl *n, struct nl_links *links, const char *name, struct nl_link **ret, bool *ret_made)
{
    struct nl_link *l = nl_links_find(links, name);

    if (l && !cstr_eq(l->kind, "bridge"))
        return err_internal("%s is no bridge", name);
    if (!l) {
        TRY(send_new(n, name));
        TRY(nl_links_read(n, links));
        l = nl_links_find(links, name);
        if (!l)
            return err_internal("bridge %s vanished", name);
        struct err *e = finish(n, l);
        if (e)
            err_ignore(link_delete(n, l->index), "undoing: the first error is the one to tell");
        TRY(e);
        *ret_made = true;
    } else if (link_is_unfinished(l)) {
        TRY(finish(n, l));
    }
    *ret = l;
    return NULL;
}
