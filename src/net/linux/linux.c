#include "net/linux/linux.h"
#include <arpa/inet.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "gen/errors.h"
#include "net/linux/bridge.h"
#include "net/linux/ipv6.h"
#include "net/linux/link.h"
#include "net/linux/nat.h"
#include "net/linux/nl.h"
#include "net/linux/scan.h"
#include "net/linux/tap.h"
#include "net/linux/uplink.h"

struct linux_net {
    struct nl *nl;   /* owned */
    struct nft *nft; /* owned; NULL: this kernel has no packet filter that we may use */
    struct net_dhcp dhcp;
};

/* Each of the texts may be empty, not both. */
static struct err *nat(struct linux_net *ln, const struct nl_link *bridge, const char *gateway, const char *gateway6)
{
    struct subnet net = { .prefix = 0 };
    struct subnet6 net6 = { .host = IN6ADDR_ANY_INIT };

    if (*gateway && !subnet_parse(gateway, &net))
        return err_internal("%s is no host's address in a network", gateway);
    if (*gateway6 && !subnet6_parse(gateway6, &net6))
        return err_internal("%s is no host's address in a network of IPv6", gateway6);
    if (!link_is_ours(bridge))
        return err_internal("bridge %s is somebody else's", bridge->name);
    if (!ln->nft)
        return err_internal("no packet filter, so no NAT");
    if (!nft_name_valid(bridge->name))
        return err_internal("%s is no name for a network with NAT", bridge->name);
    TRY(nat_up(ln->nl, ln->nft, bridge->name, bridge->index, *gateway ? &net : NULL, *gateway6 ? &net6 : NULL));
    const struct net_range range = { bridge->name, net.host, net.first, net.last, net.mask, net6.net };
    return ln->dhcp.serve(ln->dhcp.ctx, &range);
}

static struct err *bridge_set(
    struct linux_net *ln, struct nl_links *links, struct nl_link *bridge, const struct net_network *network)
{
    int index = bridge->index;

    TRY(link_up(ln->nl, index, true)); /* routes can only move to what is up */
    if (*network->uplink && link_is_ours(bridge))
        TRY(ipv6_on(bridge->name)); /* nor can addresses of IPv6 to what is silent */
    TRY(uplink_set(ln->nl, links, bridge, network));
    bridge = nl_links_at(links, index);
    if (network->mtu >= 68 && network->mtu <= 65535 && bridge->mtu != network->mtu && link_is_ours(bridge))
        TRY(link_mtu(ln->nl, index, (uint32_t)network->mtu));
    if (link_is_ours(bridge) && !*link_note(bridge) && !*network->nat6)
        TRY(ipv6_off(bridge->name));
    return *network->nat || *network->nat6 ? nat(ln, bridge, network->nat, network->nat6) : NULL;
}

static struct err *bridge_is_there(struct nl_links *links, const char *name)
{
    const struct nl_link *l = nl_links_find(links, name);

    return l && cstr_eq(l->kind, "bridge") ? NULL : err_bridge_not_available(name);
}

static struct err *linux_bridge_up(void *ctx, const struct net_network *network)
{
    struct linux_net *ln = ctx;
    AUTO(nl_links_done) struct nl_links links = { 0 };
    struct nl_link *bridge = NULL;
    bool made = false;

    TRY(nl_links_read(ln->nl, &links));
    if (network->theirs)
        return bridge_is_there(&links, network->bridge);
    TRY(bridge_find_or_make(ln->nl, &links, network->bridge, &bridge, &made));
    int index = bridge->index;
    struct err *e = bridge_set(ln, &links, bridge, network);
    if (e && made)
        err_ignore(link_delete(ln->nl, index), "undoing: the first error is the one to tell");
    return e;
}

static struct err *bridge_remove(struct linux_net *ln, struct nl_links *links, const char *name)
{
    struct nl_link *l = nl_links_find(links, name);

    if (!l || !cstr_eq(l->kind, "bridge") || !link_is_ours(l))
        return NULL;
    for (size_t i = 0; i < links->v.len; i++)
        if (links->v.p[i].master == l->index && !cstr_eq(links->v.p[i].name, link_note(l)))
            return err_internal("bridge %s still has port %s", name, links->v.p[i].name);
    TRY(ln->dhcp.end(ln->dhcp.ctx, name));
    if (ln->nft && nft_name_valid(name))
        TRY(nat_down(ln->nft, name));
    TRY(uplink_clear(ln->nl, links, l));
    return link_delete(ln->nl, l->index);
}

static struct err *linux_bridge_down(void *ctx, const struct net_bridge_down_req *req)
{
    struct linux_net *ln = ctx;
    AUTO(nl_links_done) struct nl_links links = { 0 };
    const struct nl_link *nic;

    TRY(nl_links_read(ln->nl, &links));
    TRY(bridge_remove(ln, &links, req->bridge));
    nic = nl_links_find(&links, req->nic);
    return nic ? link_up(ln->nl, nic->index, false) : NULL;
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

static const char *own_ipv6(const struct net_nic *nic)
{
    struct subnet6 net;

    for (size_t i = 0; i < nic->n_ipv6; i++)
        if (subnet6_parse(nic->ipv6[i], &net))
            return nic->ipv6[i];
    return "";
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

        if (!l || !cstr_eq(l->kind, "bridge") || !link_is_ours(l) || *link_note(l))
            continue;
        const char *net = *nics[i].ip ? arena_printf(a, "%s/%u", nics[i].ip, prefix_of(nics[i].netmask)) : "";
        const char *net6 = own_ipv6(&nics[i]);
        if (*net || *net6)
            e = err_first(e, nat(ln, l, net, net6));
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
    TRY(uplink_reconcile(nl));
    struct linux_net *ln = mem_new(struct linux_net);
    ln->nl = MOVE(nl);
    ln->nft = nft;
    ln->dhcp = *dhcp;
    *b = (struct net_backend){ "linux", ln, linux_scan, linux_bridge_up, linux_bridge_down, linux_tap_open,
        linux_tap_lock, linux_tap_move, linux_free };
    return NULL;
}
