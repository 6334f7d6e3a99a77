#include "core/pif.h"
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/host.h"
#include "core/network.h"
#include "core/vlan.h"

/* PIF: a network interface of a host (semantics.md 15.2). */

const struct row *pif_of_network(const struct core *c, const struct row *network)
{
    for (size_t i = 0; i < row_n_related(network, F_network_PIFs); i++) {
        const struct row *pif = row_related(network, F_network_PIFs, i);

        if (strcmp(row_str(pif, F_PIF_host), c->host_ref) == 0)
            return pif;
    }
    return NULL;
}

void pif_note_plugged(const struct core *c, struct tx *t, const char *network)
{
    const struct row *r = store_find_of(c->store, C_network, network), *pif = r ? pif_of_network(c, r) : NULL;

    if (pif && row_bool(pif, F_PIF_managed))
        tx_set(t, row_ref(pif), F_PIF_currently_attached, value_bool(true));
}

struct err *pif_check_network(const struct core *c, const struct row *network)
{
    const struct row *other;

    if (!row_bool(network, F_network_managed))
        return err_network_unmanaged(row_ref(network));
    other = pif_of_network(c, network);
    if (other)
        return err_network_already_connected(c->host_ref, row_ref(other));
    return *row_map_str(network, F_network_other_config, "nat") || *row_map_str(network, F_network_other_config, "nat6")
        ? err_operation_not_allowed("a network with NAT has no interface of the host")
        : NULL;
}

/* What the kernel did not want, told of the interface that it was about. */
static struct err *about(const char *pif, struct err *e)
{
    if (!err_is(e, "INTERNAL_ERROR"))
        return e;
    struct err *told = err_pif_configuration_error(pif, err_n_params(e) ? err_param(e, 0) : "");
    err_free(e);
    return told;
}

/* A bond stands before what lies on it. */
static struct err *bring_up_below(struct call *c, const char *ref)
{
    const struct row *pif = NULL;

    TRY(call_row(c, C_PIF, ref, &pif));
    const struct row *vlan = row_follow(c->core->store, pif, F_PIF_VLAN_master_of);
    const struct row *below = vlan ? row_follow(c->core->store, vlan, F_VLAN_tagged_PIF) : NULL;
    return below && row_n_related(below, F_PIF_bond_master_of) ? pif_bring_up(c, arena_strdup(c->arena, row_ref(below)))
                                                               : NULL;
}

struct err *pif_bring_up(struct call *c, const char *ref)
{
    struct net_bridge_up_req req = { 0 };
    const struct row *pif = NULL;
    struct ipc_peer *net = NULL;

    TRY(bring_up_below(c, ref));
    TRY(core_need_net(c->core, &net));
    TRY(call_row(c, C_PIF, ref, &pif));
    const struct row *network = row_follow(c->core->store, pif, F_PIF_network);
    if (!network)
        return err_handle_invalid("network", row_str(pif, F_PIF_network));
    req.network = network_plan(c->core, c->arena, network);
    TRY(about(ref, net_bridge_up(net, c->arena, &req)));
    TRY(call_row(c, C_PIF, ref, &pif)); /* destroyed meanwhile: the network is without it when it is needed again */
    return core_set(c->core, ref, F_PIF_currently_attached, value_bool(true));
}

struct err *pif_take_down(struct call *c, const char *bridge, const char *nic)
{
    struct ipc_peer *net = NULL;

    TRY(core_need_net(c->core, &net));
    return net_bridge_down(net, c->arena, &(struct net_bridge_down_req){ .bridge = bridge, .nic = nic });
}

static struct err *plug(struct call *c, const struct PIF_plug_args *a, struct value *ret UNUSED)
{
    const struct row *pif = NULL;

    TRY(call_row(c, C_PIF, a->self, &pif));
    if (!row_bool(pif, F_PIF_managed))
        return err_pif_unmanaged(a->self);
    if (!ref_is_null(row_str(pif, F_PIF_bond_slave_of)))
        return err_cannot_plug_bond_slave(a->self);
    return row_bool(pif, F_PIF_currently_attached) ? NULL : pif_bring_up(c, a->self);
}

struct err *pif_check_unplug(const struct core *c, const struct row *pif)
{
    const struct row *network = row_follow(c->store, pif, F_PIF_network);

    if (row_bool(pif, F_PIF_management))
        return err_pif_is_management_interface(row_ref(pif));
    if (network)
        TRY(network_check_unused(c, network));
    return row_bool(pif, F_PIF_disallow_unplug) ? err_pif_does_not_allow_unplug(row_ref(pif)) : NULL;
}

/* A VLAN that stands on it would go down with it. */
static struct err *check_nothing_above(const struct row *pif, const struct core *c)
{
    for (size_t i = 0; i < row_n_related(pif, F_PIF_VLAN_slave_of); i++) {
        const struct row *above = row_follow(c->store, row_related(pif, F_PIF_VLAN_slave_of, i), F_VLAN_untagged_PIF);

        if (above && row_bool(above, F_PIF_currently_attached))
            return err_pif_vlan_still_exists(row_ref(pif));
    }
    return NULL;
}

static struct err *unplug(struct call *c, const struct PIF_unplug_args *a, struct value *ret UNUSED)
{
    const struct row *pif = NULL;

    TRY(call_row(c, C_PIF, a->self, &pif));
    if (!row_bool(pif, F_PIF_managed))
        return err_pif_unmanaged(a->self);
    if (!ref_is_null(row_str(pif, F_PIF_bond_slave_of)))
        return err_pif_already_bonded(a->self);
    TRY(pif_check_unplug(c->core, pif));
    TRY(check_nothing_above(pif, c->core));
    if (!row_bool(pif, F_PIF_currently_attached))
        return NULL;
    const struct row *network = row_follow(c->core->store, pif, F_PIF_network);
    if (!network)
        return err_handle_invalid("network", row_str(pif, F_PIF_network));
    const char *bridge = arena_strdup(c->arena, row_str(network, F_network_bridge));
    const char *nic = row_bool(pif, F_PIF_physical) ? arena_strdup(c->arena, row_str(pif, F_PIF_device)) : "";
    TRY(about(a->self, pif_take_down(c, bridge, nic)));
    return core_set(c->core, a->self, F_PIF_currently_attached, value_bool(false));
}

/* One by one: another may have been plugged or destroyed while we waited. */
static struct err *restore_one(struct core *c, const char *ref)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct call call = { .core = c, .arena = a, .task = "" };
    const struct row *pif = store_find_of(c->store, C_PIF, ref);

    if (!pif || !row_bool(pif, F_PIF_currently_attached))
        return NULL;
    struct err *e = pif_bring_up(&call, ref);
    if (e && store_find_of(c->store, C_PIF, ref))
        e = err_first(e, core_set(c, ref, F_PIF_currently_attached, value_bool(false)));
    return e;
}

void pif_restore(struct core *c)
{
    const struct row *host = core_host_row(c);
    VEC(char *) made = { 0 };
    bool bonds = false;

    for (size_t i = 0; i < row_n_related(host, F_host_PIFs); i++) {
        const struct row *pif = row_related(host, F_host_PIFs, i);

        if (!row_bool(pif, F_PIF_physical) && row_bool(pif, F_PIF_currently_attached))
            vec_push(&made, mem_strdup(row_ref(pif)));
        bonds = bonds || row_n_related(pif, F_PIF_bond_master_of);
    }
    for (size_t i = 0; i < made.len; i++) {
        log_err(LOG_WARN_, "an interface that was plugged is so no more", restore_one(c, made.p[i]));
        free(made.p[i]);
    }
    vec_done(&made);
    if (bonds) /* they have the addresses now */
        log_err(LOG_WARN_, "the host's interfaces are not known anew", host_scan_pifs(c));
}

static struct err *scan(struct call *c, const struct PIF_scan_args *a, struct value *ret UNUSED)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    return host_scan_pifs(c->core);
}

static struct err *set_disallow_unplug(
    struct call *c, const struct PIF_set_disallow_unplug_args *a, struct value *ret UNUSED)
{
    const struct row *pif = NULL;

    TRY(call_row(c, C_PIF, a->self, &pif));
    return core_set(c->core, a->self, F_PIF_disallow_unplug, value_bool(a->value));
}

static struct err *forget(struct call *c, const struct PIF_forget_args *a, struct value *ret UNUSED)
{
    const struct row *pif = NULL;

    TRY(call_row(c, C_PIF, a->self, &pif));
    if (!ref_is_null(row_str(pif, F_PIF_bond_slave_of)) || row_n_related(pif, F_PIF_bond_master_of))
        return err_pif_already_bonded(a->self);
    if (row_n_related(pif, F_PIF_VLAN_slave_of) || !ref_is_null(row_str(pif, F_PIF_VLAN_master_of)))
        return err_pif_vlan_still_exists(a->self);
    if (row_n_related(pif, F_PIF_tunnel_transport_PIF_of))
        return err_pif_tunnel_still_exists(a->self);
    if (row_bool(pif, F_PIF_management))
        return err_pif_is_management_interface(a->self);
    const struct row *metrics = row_follow(c->core->store, pif, F_PIF_metrics);
    struct tx *t = tx_begin(c->core->store);
    if (metrics)
        tx_destroy(t, row_ref(metrics));
    tx_destroy(t, a->self);
    return tx_commit(t);
}

/* As it was done before VLANs were objects. */
static struct err *create_vlan(struct call *c, const struct PIF_create_VLAN_args *a, struct value *ret)
{
    const struct row *host = NULL, *network = NULL, *pif;
    const char *vlan = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    TRY(call_row(c, C_network, a->network, &network));
    pif = host_pif_find(c->core, a->device);
    if (!pif)
        return err_pif_device_not_found();
    TRY(vlan_make(c, arena_strdup(c->arena, row_ref(pif)), a->VLAN, a->network, &vlan));
    return vlan_pif(c, vlan, ret);
}

static struct err *destroy(struct call *c, const struct PIF_destroy_args *a, struct value *ret UNUSED)
{
    const struct row *pif = NULL;

    TRY(call_row(c, C_PIF, a->self, &pif));
    if (ref_is_null(row_str(pif, F_PIF_VLAN_master_of)))
        return err_new("PIF_IS_PHYSICAL", NULL, 0);
    return vlan_unmake(c, arena_strdup(c->arena, row_str(pif, F_PIF_VLAN_master_of)));
}

void pif_register(struct api_handlers *h)
{
    h->PIF_plug = plug;
    h->PIF_unplug = unplug;
    h->PIF_scan = scan;
    h->PIF_set_disallow_unplug = set_disallow_unplug;
    h->PIF_forget = forget;
    h->PIF_create_VLAN = create_vlan;
    h->PIF_destroy = destroy;
}
