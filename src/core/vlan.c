#include "core/vlan.h"
#include <string.h>
#include "base/uuid.h"
#include "core/host.h"
#include "core/pif.h"

/*
 * VLAN: an interface of the host, and on it another one whose frames carry a
 * tag. The records come first: a VLAN that a death of ours left without its
 * interface is one that is not plugged.
 */

#define TAG_MAX 4094
#define NO_MAC "fe:ff:ff:ff:ff:ff" /* it speaks with that of the interface below */

static struct err *check_pif(const struct row *pif)
{
    if (!row_bool(pif, F_PIF_managed))
        return err_pif_unmanaged(row_ref(pif));
    if (!ref_is_null(row_str(pif, F_PIF_bond_slave_of)))
        return err_cannot_add_vlan_to_bond_slave(row_ref(pif));
    if (row_int(pif, F_PIF_VLAN) >= 0)
        return err_pif_is_vlan(row_ref(pif));
    return row_n_related(pif, F_PIF_tunnel_access_PIF_of) ? err_is_tunnel_access_pif(row_ref(pif)) : NULL;
}

static struct err *check_tag(struct call *c, const struct row *pif, int64_t tag)
{
    if (tag < 0 || tag > TAG_MAX)
        return err_vlan_tag_invalid(arena_printf(c->arena, "%lld", (long long)tag));
    for (size_t i = 0; i < row_n_related(pif, F_PIF_VLAN_slave_of); i++)
        if (row_int(row_related(pif, F_PIF_VLAN_slave_of, i), F_VLAN_tag) == tag)
            return err_pif_vlan_exists(row_str(pif, F_PIF_device));
    return NULL;
}

static const char *new_ref(struct arena *a)
{
    char uuid[UUID_LEN + 1];

    uuid_make(uuid);
    return arena_printf(a, "OpaqueRef:%s", uuid);
}

/* Carrier and speed are those of the interface below, so it has the same metrics. */
static struct err *add_records(struct call *c, const struct row *tagged, int64_t tag, const struct row *network,
    const char *vlan, const char *untagged)
{
    const struct tx_field vlan_fields[] = {
        { F_VLAN_tagged_PIF, value_str(row_ref(tagged)) },
        { F_VLAN_untagged_PIF, value_str(untagged) },
        { F_VLAN_tag, value_int(tag) },
    };
    const struct tx_field pif_fields[] = {
        { F_PIF_device, value_str(row_str(tagged, F_PIF_device)) },
        { F_PIF_network, value_str(row_ref(network)) },
        { F_PIF_host, value_str(row_str(tagged, F_PIF_host)) },
        { F_PIF_MAC, value_str(NO_MAC) },
        { F_PIF_MTU, value_int(row_int(network, F_network_MTU)) },
        { F_PIF_VLAN, value_int(tag) },
        { F_PIF_metrics, value_str(row_str(tagged, F_PIF_metrics)) },
        { F_PIF_physical, value_bool(false) },
        { F_PIF_currently_attached, value_bool(false) },
        { F_PIF_VLAN_master_of, value_str(vlan) },
    };
    struct tx *t = tx_begin(c->core->store);

    tx_create(t, C_VLAN, vlan, vlan_fields, ARRAY_LEN(vlan_fields));
    tx_create(t, C_PIF, untagged, pif_fields, ARRAY_LEN(pif_fields));
    return tx_commit(t);
}

static struct err *remove_records(struct call *c, const char *vlan, const char *untagged)
{
    struct tx *t = tx_begin(c->core->store);

    if (store_find_of(c->core->store, C_PIF, untagged))
        tx_destroy(t, untagged);
    if (store_find_of(c->core->store, C_VLAN, vlan))
        tx_destroy(t, vlan);
    return tx_commit(t);
}

struct err *vlan_make(struct call *c, const char *tagged, int64_t tag, const char *network_ref, const char **ret_vlan)
{
    const struct row *pif = NULL, *network = NULL;
    const char *vlan = new_ref(c->arena), *untagged = new_ref(c->arena);

    TRY(call_row(c, C_PIF, tagged, &pif));
    TRY(call_row(c, C_network, network_ref, &network));
    TRY(pif_check_network(c->core, network));
    TRY(check_pif(pif));
    TRY(check_tag(c, pif, tag));
    TRY(add_records(c, pif, tag, network, vlan, untagged));
    struct err *e = pif_bring_up(c, untagged);
    if (e)
        return err_first(e, remove_records(c, vlan, untagged));
    *ret_vlan = vlan;
    return NULL;
}

/* The records go first: from then on nobody plans with them, and the network is without its uplink when it is next
 * brought up, whether or not we live to remove it. */
struct err *vlan_unmake(struct call *c, const char *ref)
{
    const struct row *vlan = NULL;

    TRY(call_row(c, C_VLAN, ref, &vlan));
    const char *self = arena_strdup(c->arena, ref),
               *untagged = arena_strdup(c->arena, row_str(vlan, F_VLAN_untagged_PIF)), *bridge = "";
    const struct row *pif = row_follow(c->core->store, vlan, F_VLAN_untagged_PIF);
    if (pif) {
        TRY(pif_check_unplug(c->core, pif));
        const struct row *network = row_follow(c->core->store, pif, F_PIF_network);
        if (network)
            bridge = arena_strdup(c->arena, row_str(network, F_network_bridge));
    }
    TRY(remove_records(c, self, untagged));
    return *bridge ? pif_take_down(c, bridge, "") : NULL;
}

struct err *vlan_pif(struct call *c, const char *ref, struct value *ret)
{
    const struct row *vlan = NULL;

    TRY(call_row(c, C_VLAN, ref, &vlan));
    *ret = value_str(arena_strdup(c->arena, row_str(vlan, F_VLAN_untagged_PIF)));
    return NULL;
}

static struct err *create(struct call *c, const struct VLAN_create_args *a, struct value *ret)
{
    const char *vlan = NULL;

    TRY(vlan_make(c, a->tagged_PIF, a->tag, a->network, &vlan));
    *ret = value_str(vlan);
    return NULL;
}

static struct err *destroy(struct call *c, const struct VLAN_destroy_args *a, struct value *ret UNUSED)
{
    return vlan_unmake(c, a->self);
}

/* One for each host that has the interface: this is the only host. */
static struct err *pool_create(struct call *c, const char *device, const char *network, int64_t tag, struct value *ret)
{
    const struct row *r = NULL, *pif = host_pif_find(c->core, device);
    struct value *one = arena_new_array(c->arena, 1, struct value);
    const char *vlan = NULL;

    TRY(call_row(c, C_network, network, &r));
    if (!pif) {
        *ret = value_set(NULL, 0);
        return NULL;
    }
    TRY(vlan_make(c, arena_strdup(c->arena, row_ref(pif)), tag, network, &vlan));
    TRY(vlan_pif(c, vlan, &one[0]));
    *ret = value_set(one, 1);
    return NULL;
}

static struct err *pool_create_vlan(struct call *c, const struct pool_create_VLAN_args *a, struct value *ret)
{
    return pool_create(c, a->device, a->network, a->VLAN, ret);
}

static struct err *pool_create_from_pif(
    struct call *c, const struct pool_create_VLAN_from_PIF_args *a, struct value *ret)
{
    const struct row *pif = NULL;

    TRY(call_row(c, C_PIF, a->pif, &pif));
    if (row_int(pif, F_PIF_VLAN) >= 0)
        return err_pif_is_vlan(a->pif);
    return pool_create(c, arena_strdup(c->arena, row_str(pif, F_PIF_device)), a->network, a->VLAN, ret);
}

void vlan_register(struct api_handlers *h)
{
    h->VLAN_create = create;
    h->VLAN_destroy = destroy;
    h->pool_create_VLAN = pool_create_vlan;
    h->pool_create_VLAN_from_PIF = pool_create_from_pif;
}
