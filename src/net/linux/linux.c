#include "net/linux/linux.h"
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include "base/mem.h"
#include "base/str.h"
#include "base/log.h"
#include "net/linux/gateway.h"
#include "net/linux/link.h"
#include "net/linux/move.h"
#include "net/linux/nat.h"
#include "net/linux/nl.h"
#include "net/linux/scan.h"
#include "net/linux/tap.h"

#define OURS "runnymede"
#define GATEWAY_MS 3000

struct linux_net {
    struct nl *nl;   /* owned */
    struct nft *nft; /* owned; NULL: this kernel has no packet filter that we may use */
    struct net_dhcp dhcp;
};

/* A bridge of ours has the alias "runnymede" or "runnymede UPLINK". */
static bool is_ours(const struct nl_link *l)
{
    return cstr_eq(l->alias, OURS) || cstr_starts(l->alias, OURS " ");
}

static const char *uplink_of(const struct nl_link *l)
{
    return cstr_starts(l->alias, OURS " ") ? l->alias + sizeof(OURS) : "";
}

/* A kernel picks a bridge's address anew with every port unless it was set once: so it is set, to the one it has. */
static struct err *bridge_make(struct nl *n, const char *name, struct nl_links *links)
{
    struct nlmsghdr *m = nl_begin(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(m, sizeof(*ifi));
    struct nlattr *info, *data;
    struct nl_link *l;

    ifi->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "bridge");
    data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    mnl_attr_put_u32(m, IFLA_BR_STP_STATE, 0);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
    TRY(nl_send(n, m, "make bridge"));

    TRY(nl_links_read(n, links));
    l = nl_links_find(links, name);
    if (!l)
        return err_internal("bridge %s vanished", name);
    TRY(link_alias(n, l->index, OURS));
    snprintf(l->alias, sizeof(l->alias), OURS);
    return link_mac(n, l->index, l->mac);
}

/* The interface, its addresses and routes as they were. */
static struct err *uplink_back(struct nl *n, int port, int bridge)
{
    struct err *e = link_master(n, port, 0);

    return err_first(e, move_addresses(n, bridge, port));
}

/* Its addresses and routes go into the bridge with it; where the gateway is lost by that, all of it comes back. */
static struct err *uplink_move(struct nl *n, int port, int bridge, const char *name)
{
    struct in_addr gateway;
    bool known = gateway_known(n, port, &gateway);
    struct err *e;

    TRY(link_master(n, port, bridge));
    e = move_addresses(n, port, bridge);
    if (!e && known && !gateway_answers(n, bridge, gateway, GATEWAY_MS))
        e = err_internal("the host's gateway does not answer with %s in a bridge: taken out again", name);
    if (e)
        err_ignore(uplink_back(n, port, bridge), "undoing: the first error is the one to tell");
    return e;
}

static struct err *uplink_add(struct nl *n, struct nl_link *bridge, struct nl_links *links, const char *name)
{
    struct nl_link *l = nl_links_find(links, name);

    if (!l)
        return err_internal("there is no interface %s", name);
    if (cstr_eq(l->kind, "tun"))
        return err_internal("%s is the way out of user-mode networking: it serves NAT, not a bridge", name);
    if (l->master == bridge->index)
        return NULL;
    if (l->master)
        return err_internal("interface %s belongs to something else already", name);
    if (is_ours(bridge)) {
        snprintf(bridge->alias, sizeof(bridge->alias), OURS " %s", name);
        TRY(link_alias(n, bridge->index, bridge->alias));
        TRY(link_mac(n, bridge->index, l->mac));
    }
    TRY(link_up(n, l->index, true));
    return uplink_move(n, l->index, bridge->index, name);
}

/* What a process of ours left half done when it died: an uplink is in its bridge with its addresses, or it is not. */
static struct err *reconcile(struct nl *n)
{
    AUTO(nl_links_done) struct nl_links links = { 0 };

    TRY(nl_links_read(n, &links));
    for (size_t i = 0; i < links.v.len; i++) {
        const struct nl_link *bridge = &links.v.p[i];
        const struct nl_link *port =
            cstr_eq(bridge->kind, "bridge") && *uplink_of(bridge) ? nl_links_find(&links, uplink_of(bridge)) : NULL;

        if (!port)
            continue;
        struct err *e = port->master == bridge->index ? move_addresses(n, port->index, bridge->index)
                                                      : move_addresses(n, bridge->index, port->index);
        log_err(LOG_ERROR_, "addresses of an interface and its bridge could not be put right", e);
    }
    return NULL;
}

static struct err *nat(struct linux_net *ln, const struct nl_link *bridge, const char *gateway)
{
    struct subnet net;

    if (!subnet_parse(gateway, &net))
        return err_internal("%s is no host's address in a network", gateway);
    if (!is_ours(bridge))
        return err_internal("bridge %s is somebody else's", bridge->name);
    if (!ln->nft)
        return err_internal("no packet filter, so no NAT");
    if (!nft_name_valid(bridge->name))
        return err_internal("%s is no name for a network with NAT", bridge->name);
    TRY(nat_up(ln->nl, ln->nft, bridge->name, bridge->index, &net));
    const struct net_range range = { bridge->name, net.host, net.first, net.last, net.mask };
    return ln->dhcp.serve(ln->dhcp.ctx, &range);
}

static struct err *linux_bridge_up(void *ctx, const struct net_network *network)
{
    struct linux_net *ln = ctx;
    const char *name = network->bridge, *uplink = network->uplink;
    uint64_t mtu = network->mtu;
    AUTO(nl_links_done) struct nl_links links = { 0 };
    struct nl_link *l;
    bool made = false;
    struct err *e = NULL;

    TRY(nl_links_read(ln->nl, &links));
    l = nl_links_find(&links, name);
    if (!l) {
        e = bridge_make(ln->nl, name, &links);
        l = nl_links_find(&links, name);
        made = true;
    } else if (!cstr_eq(l->kind, "bridge")) {
        return err_internal("%s is no bridge", name);
    } else if (!*l->alias && !l->up) { /* made, but not to the end */
        TRY(link_alias(ln->nl, l->index, OURS));
        snprintf(l->alias, sizeof(l->alias), OURS);
    }
    if (!e && *uplink)
        e = link_up(ln->nl, l->index, true); /* routes can only move to what is up */
    if (!e && *uplink)
        e = uplink_add(ln->nl, l, &links, uplink);
    if (!e && mtu >= 68 && mtu <= 65535 && l->mtu != mtu && is_ours(l))
        e = link_mtu(ln->nl, l->index, (uint32_t)mtu);
    if (!e)
        e = link_up(ln->nl, l->index, true);
    if (!e && *network->nat)
        e = nat(ln, l, network->nat);
    if (e && made && l)
        err_ignore(link_delete(ln->nl, l->index), "undoing: the first error is the one to tell");
    return e;
}

static struct err *linux_bridge_down(void *ctx, const char *name)
{
    struct linux_net *ln = ctx;
    AUTO(nl_links_done) struct nl_links links = { 0 };
    struct nl_link *l;

    TRY(nl_links_read(ln->nl, &links));
    l = nl_links_find(&links, name);
    if (!l || !cstr_eq(l->kind, "bridge") || !is_ours(l))
        return NULL;
    for (size_t i = 0; i < links.v.len; i++)
        if (links.v.p[i].master == l->index && !cstr_eq(links.v.p[i].name, uplink_of(l)))
            return err_internal("bridge %s still has port %s", name, links.v.p[i].name);
    TRY(ln->dhcp.end(ln->dhcp.ctx, name));
    if (ln->nft && nft_name_valid(name))
        TRY(nat_down(ln->nft, name));
    struct nl_link *uplink = nl_links_find(&links, uplink_of(l));
    if (uplink && uplink->master == l->index)
        TRY(uplink_back(ln->nl, uplink->index, l->index));
    return link_delete(ln->nl, l->index);
}

static struct err *linux_tap_open(void *ctx, const struct net_tap_open_req *req, int *ret_fd, char *ret_name)
{
    struct linux_net *ln = ctx;

    return tap_open(ln->nl, ln->nft, req, ret_fd, ret_name);
}

static struct err *linux_tap_lock(void *ctx, const struct net_tap_lock_req *req)
{
    struct linux_net *ln = ctx;

    return tap_lock(ln->nl, ln->nft, req);
}

static struct err *linux_tap_move(void *ctx, const struct net_tap_move_req *req)
{
    struct linux_net *ln = ctx;

    return tap_move(ln->nl, ln->nft, req);
}

static struct err *linux_scan(void *ctx, struct arena *a, struct net_nic **ret_nics, size_t *ret_n)
{
    struct linux_net *ln = ctx;

    return scan_interfaces(ln->nl, a, ret_nics, ret_n);
}

static unsigned prefix_of(const char *netmask)
{
    struct in_addr mask;

    return inet_pton(AF_INET, netmask, &mask) == 1 ? (unsigned)__builtin_popcount(mask.s_addr) : 0;
}

/* A bridge of ours without an uplink has an address for NAT alone: the kernel remembers what we need not. */
struct err *linux_net_resume(struct net_backend *b)
{
    struct linux_net *ln = b->ctx;
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(nl_links_done) struct nl_links links = { 0 };
    struct net_nic *nics;
    struct err *e = NULL;
    size_t n;

    TRY(scan_interfaces(ln->nl, a, &nics, &n));
    TRY(nl_links_read(ln->nl, &links));
    for (size_t i = 0; i < n; i++) {
        const struct nl_link *l = nl_links_find(&links, nics[i].device);

        if (l && cstr_eq(l->kind, "bridge") && is_ours(l) && !*uplink_of(l) && *nics[i].ip)
            e = err_first(e, nat(ln, l, arena_printf(a, "%s/%u", nics[i].ip, prefix_of(nics[i].netmask))));
    }
    return e;
}

static void linux_free(void *ctx)
{
    struct linux_net *ln = ctx;

    nl_free(ln->nl);
    nft_close(ln->nft);
    free(ln);
}

struct err *linux_net_init(struct net_backend *b, const struct net_dhcp *dhcp)
{
    AUTO(nl_drop) struct nl *nl = NULL;
    struct nft *nft = NULL;

    TRY(nl_open(&nl));
    struct err *e = nft_open(&nft);
    if (!e)
        e = nft_run(nft, "try the packet filter", "add table netdev runnymede\n");
    if (e) {
        log_err(LOG_WARN_, "running without a wall: guests may use each other's addresses, and there is no NAT", e);
        nft_close(nft);
        nft = NULL;
    }
    TRY(reconcile(nl));
    struct linux_net *ln = mem_new(struct linux_net);
    ln->nl = MOVE(nl);
    ln->nft = nft;
    ln->dhcp = *dhcp;
    *b = (struct net_backend){ "linux", ln, linux_scan, linux_bridge_up, linux_bridge_down, linux_tap_open,
        linux_tap_lock, linux_tap_move, linux_free };
    return NULL;
}
