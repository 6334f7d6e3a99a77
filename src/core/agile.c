/* VM.assert_agile: could another host of the pool run it just as well? (semantics.md 13) */
#include "core/vm.h"

static struct err *check_disk(struct store *s, const struct row *vbd)
{
    const struct row *vdi = row_bool(vbd, F_VBD_empty) ? NULL : row_follow(s, vbd, F_VBD_VDI);
    const struct row *sr = vdi ? row_follow(s, vdi, F_VDI_SR) : NULL;

    if (!sr)
        return NULL;
    bool shared = row_bool(sr, F_SR_shared);
    size_t hosts = 0; /* that have it plugged */
    for (size_t i = 0; i < row_n_related(sr, F_SR_PBDs); i++)
        hosts += row_bool(row_related(sr, F_SR_PBDs, i), F_PBD_currently_attached);
    return shared && hosts >= store_count(s, C_host) ? NULL : err_ha_constraint_violation_sr_not_shared(row_ref(sr));
}

static struct err *check_network(struct store *s, const struct row *vif)
{
    const struct row *network = row_follow(s, vif, F_VIF_network);

    if (!network || row_n_related(network, F_network_PIFs) >= store_count(s, C_host))
        return NULL;
    return err_ha_constraint_violation_network_not_shared(row_ref(network));
}

static struct err *assert_agile(struct call *c, const struct VM_assert_agile_args *a, struct value *ret)
{
    struct store *s = c->core->store;
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    for (size_t i = 0; i < row_n_related(vm, F_VM_VBDs); i++)
        TRY(check_disk(s, row_related(vm, F_VM_VBDs, i)));
    for (size_t i = 0; i < row_n_related(vm, F_VM_VIFs); i++)
        TRY(check_network(s, row_related(vm, F_VM_VIFs, i)));
    return NULL;
}

void agile_register(struct api_handlers *h)
{
    h->VM_assert_agile = assert_agile;
}
