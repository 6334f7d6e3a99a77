#include "net/linux/uplink.h"
#include <stdio.h>
#include "base/log.h"
#include "base/str.h"
#include "gen/errors.h"
#include "net/linux/bond.h"
#include "net/linux/bridge.h"
#include "net/linux/gateway.h"
#include "net/linux/link.h"
#include "net/linux/move.h"

#define GATEWAY_MS 3000
#define BOND_GATEWAY_MS 8000 /* cables come up anew */

static bool is_vlan_of(const struct nl_link *l, int parent, uint32_t tag)
{
    return cstr_eq(l->kind, "vlan") && l->parent == parent && l->tag == tag;
}

static struct nl_link *vlan_find(struct nl_links *links, int parent, uint32_t tag)
{
    for (size_t i = 0; i < links->v.len; i++)
        if (is_vlan_of(&links->v.p[i], parent, tag))
            return &links->v.p[i];
    return NULL;
}

/* As everybody calls it; where that is too long for the kernel, or taken, by the number of the interface. */
static void vlan_name(struct nl_links *links, const struct nl_link *nic, uint32_t tag, char name[32])
{
    snprintf(name, 32, "%s.%u", nic->name, tag);
    if (strlen(name) > 15 || nl_links_find(links, name))
        snprintf(name, 32, "rnyv%d.%u", nic->index, tag);
}

/* Found by what it is, not by its name. */
static struct err *vlan_find_or_make(
    struct nl *n, struct nl_links *links, const char *nic_name, uint32_t tag, struct nl_link **ret)
{
    const struct nl_link *nic = nl_links_find(links, nic_name);
    struct nl_link *vlan = vlan_find(links, nic->index, tag);
    int parent = nic->index;
    char name[32];

    if (vlan && !link_is_ours(vlan) && !link_is_unfinished(vlan)) {
        snprintf(name, sizeof(name), "%u", tag);
        return err_vlan_in_use(nic_name, name);
    }
    if (!vlan) {
        vlan_name(links, nic, tag, name);
        TRY(link_vlan(n, parent, tag, name));
        TRY(nl_links_read(n, links));
        vlan = vlan_find(links, parent, tag);
        if (!vlan)
            return err_internal("VLAN %s vanished", name);
    }
    if (!link_is_ours(vlan))
        TRY(link_mark(n, vlan));
    err_ignore(link_silence(n, vlan->index), "kernels without IPv6 have nothing to say");
    *ret = vlan;
    return NULL;
}

/* The interface, its addresses and routes as they were. */
static struct err *take_out(struct nl *n, int port, int bridge)
{
    struct err *e = link_master(n, port, 0);

    return err_first(e, move_addresses(n, bridge, port));
}

/* Its addresses and routes go into the bridge with it; where the gateway is lost by that, all of it comes back. */
static struct err *put_in(struct nl *n, int port, int bridge, const char *name)
{
    struct in_addr gateway;
    bool known = gateway_known(n, port, &gateway);
    struct err *e;

    TRY(link_master(n, port, bridge));
    e = move_addresses(n, port, bridge);
    if (!e && known && !gateway_answers(n, bridge, gateway, GATEWAY_MS))
        e = err_internal("the host's gateway does not answer with %s in a bridge: taken out again", name);
    if (e)
        err_ignore(take_out(n, port, bridge), "undoing: the first error is the one to tell");
    return e;
}

/* A network carries frames of this size: what is below must, too. Never made smaller: others may need it. */
static struct err *carry(struct nl *n, struct nl_link *l, uint64_t mtu)
{
    if (mtu <= l->mtu || mtu > 65535)
        return NULL;
    TRY(link_mtu(n, l->index, (uint32_t)mtu));
    l->mtu = (uint32_t)mtu;
    return NULL;
}

/* The interface that is to be the port. */
static struct err *port_of(
    struct nl *n, struct nl_links *links, const struct net_network *network, struct nl_link **ret)
{
    struct nl_link *l = nl_links_find(links, network->uplink);

    if (!l)
        return err_internal("there is no interface %s", network->uplink);
    if (cstr_eq(l->kind, "tun"))
        return err_internal("%s is the way out of user-mode networking: it serves NAT, not a bridge", l->name);
    TRY(link_up(n, l->index, true));
    TRY(carry(n, l, network->mtu));
    if (network->tagged) {
        TRY(vlan_find_or_make(n, links, network->uplink, network->tag, &l));
        TRY(carry(n, l, network->mtu));
        TRY(link_up(n, l->index, true));
    }
    *ret = l;
    return NULL;
}

struct err *uplink_release(struct nl *n, struct nl_links *links, struct nl_link *port)
{
    struct nl_link *other = nl_links_at(links, port->master);

    if (!other || !link_is_ours(other))
        return err_internal("interface %s belongs to something else already", port->name);
    if (cstr_eq(other->kind, "bond"))
        TRY(bond_dissolve(n, links, other, other->master ? nl_links_at(links, other->master) : NULL));
    else
        TRY(take_out(n, port->index, other->index));
    port->master = 0;
    return cstr_eq(other->kind, "bond") ? NULL : link_mark(n, other);
}

/* Left there by a network or a bond that is no more; but an interface that is in a bridge is needed there. */
static struct err *take_from(struct nl *n, struct nl_links *links, struct nl_link *port)
{
    const struct nl_link *other = nl_links_at(links, port->master);

    if (!cstr_eq(port->kind, "vlan") && (!other || !cstr_eq(other->kind, "bond")))
        return err_internal("interface %s belongs to something else already", port->name);
    return uplink_release(n, links, port);
}

static struct err *join(struct nl *n, struct nl_links *links, struct nl_link *bridge, struct nl_link *port)
{
    if (port->master == bridge->index)
        return NULL;
    if (port->master)
        TRY(take_from(n, links, port));
    if (link_is_ours(bridge)) {
        TRY(link_note_set(n, bridge, port->name));
        TRY(link_mac(n, bridge->index, port->mac));
    }
    return put_in(n, port->index, bridge->index, port->name);
}

struct err *uplink_clear(struct nl *n, struct nl_links *links, struct nl_link *bridge)
{
    struct nl_link *port = link_is_ours(bridge) ? nl_links_find(links, link_note(bridge)) : NULL;

    if (!link_is_ours(bridge) || !*link_note(bridge))
        return NULL;
    if (port && port->master == bridge->index && cstr_eq(port->kind, "bond") && link_is_ours(port))
        return bond_dissolve(n, links, port, bridge);
    if (port && port->master == bridge->index)
        TRY(take_out(n, port->index, bridge->index));
    if (port && cstr_eq(port->kind, "vlan") && link_is_ours(port))
        TRY(link_delete(n, port->index));
    return link_mark(n, bridge);
}

static struct err *set(struct nl *n, struct nl_links *links, int index, const struct net_network *network)
{
    struct nl_link *port = NULL, *bridge;

    if (network->bond.n_members)
        TRY(bond_set(n, links, index, network));
    if (!cstr_empty(network->uplink))
        TRY(port_of(n, links, network, &port));
    bridge = nl_links_at(links, index); /* they may have been read again */
    if (!bridge)
        return err_internal("bridge %s vanished", network->bridge);
    if (!port || (!network->bond.n_members && !cstr_eq(port->name, link_note(bridge))))
        TRY(uplink_clear(n, links, bridge));
    struct err *e = port ? join(n, links, bridge, port) : NULL;
    if (e && network->tagged)
        err_ignore(link_delete(n, port->index), "undoing: the first error is the one to tell");
    return e;
}

static struct err *bond_undo(struct nl *n, struct nl_links *links, int index, const char *name)
{
    TRY(nl_links_read(n, links));
    struct nl_link *bond = nl_links_find(links, name);
    return bond && cstr_eq(bond->kind, "bond") && link_is_ours(bond)
        ? bond_dissolve(n, links, bond, nl_links_at(links, index))
        : NULL;
}

struct err *uplink_set(struct nl *n, struct nl_links *links, struct nl_link *bridge, const struct net_network *network)
{
    int index = bridge->index;
    struct in_addr gateway;
    bool known = network->bond.n_members && bond_gateway(n, links, &network->bond, &gateway);
    struct err *e = set(n, links, index, network);

    if (!e && known && !gateway_answers(n, index, gateway, BOND_GATEWAY_MS))
        e = err_internal("the host's gateway does not answer through %s: taken apart again", network->uplink);
    if (e && network->bond.n_members)
        err_ignore(bond_undo(n, links, index, network->uplink), "undoing: the first error is the one to tell");
    return e;
}

struct err *uplink_reconcile(struct nl *n)
{
    AUTO(nl_links_done) struct nl_links links = { 0 };

    TRY(nl_links_read(n, &links));
    for (size_t i = 0; i < links.v.len; i++) {
        const struct nl_link *bridge = &links.v.p[i];
        const struct nl_link *port =
            cstr_eq(bridge->kind, "bridge") && *link_note(bridge) ? nl_links_find(&links, link_note(bridge)) : NULL;

        if (!port)
            continue;
        struct err *e = port->master == bridge->index ? move_addresses(n, port->index, bridge->index)
                                                      : move_addresses(n, bridge->index, port->index);
        log_err(LOG_ERROR_, "addresses of an interface and its bridge could not be put right", e);
    }
    return NULL;
}
