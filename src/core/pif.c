#include <string.h>
#include "core/call.h"
#include "core/host.h"

/* PIF: a network interface of a host (semantics.md 15.2). */

static struct err *pif_scan(struct call *c, const struct PIF_scan_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    return host_scan_pifs(c->core);
}

static struct err *set_disallow_unplug(struct call *c, const struct PIF_set_disallow_unplug_args *a, struct value *ret)
{
    const struct row *pif = NULL;

    (void)ret;
    TRY(call_row(c, C_PIF, a->self, &pif));
    return core_set(c->core, a->self, F_PIF_disallow_unplug, value_bool(a->value));
}

static struct err *pif_forget(struct call *c, const struct PIF_forget_args *a, struct value *ret)
{
    const struct row *pif = NULL;

    (void)ret;
    TRY(call_row(c, C_PIF, a->self, &pif));
    if (!ref_is_null(row_str(pif, F_PIF_bond_slave_of)))
        return err_pif_already_bonded(a->self);
    if (row_n_related(pif, F_PIF_VLAN_slave_of))
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

void pif_register(struct api_handlers *h)
{
    h->PIF_scan = pif_scan;
    h->PIF_set_disallow_unplug = set_disallow_unplug;
    h->PIF_forget = pif_forget;
}
