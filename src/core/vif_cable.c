/* VIF: where its cable ends and what may pass it, for as long as it is plugged (semantics.md 5). */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/ops.h"
#include "core/pif.h"
#include "core/vif.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

static void copy_texts(struct arena *a, const struct value *set, const char ***ret, size_t *ret_n)
{
    *ret = arena_new_array(a, (size_t)set->n + 1, const char *);
    for (*ret_n = 0; *ret_n < set->n; ++*ret_n)
        (*ret)[*ret_n] = arena_strdup(a, set->items[*ret_n].s);
}

struct net_lock vif_lock(struct arena *a, const struct row *vif, const struct row *network)
{
    const char *mode = row_str(vif, F_VIF_locking_mode);
    struct net_lock lock = { 0 };

    if (strcmp(mode, "network_default") == 0)
        mode = row_str(network, F_network_default_locking_mode);
    lock.mode = arena_strdup(a, mode);
    copy_texts(a, row_get(vif, F_VIF_ipv4_allowed), &lock.ipv4, &lock.n_ipv4);
    copy_texts(a, row_get(vif, F_VIF_ipv6_allowed), &lock.ipv6, &lock.n_ipv6);
    lock.kbps = vif_qos_kbps(vif);
    return lock;
}

/* Plugged into a guest that is there: a suspended one gets its cables anew. */
static bool has_cable(struct core *c, const struct row *vif)
{
    const struct row *vm = row_follow(c->store, vif, F_VIF_VM);

    return row_bool(vif, F_VIF_currently_attached) && vm && strcmp(row_str(vm, F_VM_power_state), "Suspended") != 0;
}

/* Nothing waits between the look at the VIF and the message: the last word wins. */
static struct err *apply(struct call *c, const char *ref, bool move)
{
    struct ipc_peer *net = NULL;
    const struct row *vif = NULL;
    struct vm_nic nic;

    TRY(call_row(c, C_VIF, ref, &vif));
    if (!has_cable(c->core, vif))
        return NULL;
    TRY(core_need_net(c->core, &net));
    TRY(call_row(c, C_VIF, ref, &vif));
    if (!has_cable(c->core, vif))
        return NULL;
    TRY(vm_plan_nic(c, vif, &nic));
    const char *vm = arena_strdup(c->arena, row_str(row_follow(c->core->store, vif, F_VIF_VM), F_VM_uuid));
    if (!move)
        return net_tap_lock(net, c->arena,
            &(struct net_tap_lock_req){ .vm = vm, .position = nic.position, .mac = nic.mac, .lock = nic.lock });
    return net_tap_move(net, c->arena,
        &(struct net_tap_move_req){ .network = nic.network,
            .vm = vm,
            .position = nic.position,
            .mac = nic.mac,
            .mtu = (uint64_t)nic.mtu,
            .lock = nic.lock });
}

/* While it is being plugged or its VM started, the tap is made as of a moment ago. */
static struct err *check_settled(const struct call *c, const struct row *vif)
{
    const struct row *vm = row_follow(c->core->store, vif, F_VIF_VM);

    TRY(ops_conflict(&vif_ops, vif));
    return vm ? ops_conflict(&vm_ops, vm) : NULL;
}

static struct err *note_uplink(struct call *c, const char *ref)
{
    const struct row *vif = store_find_of(c->core->store, C_VIF, ref);
    struct tx *t = tx_begin(c->core->store);

    if (vif && has_cable(c->core, vif))
        pif_note_plugged(c->core, t, row_str(vif, F_VIF_network));
    return tx_commit(t);
}

static struct err *change(struct call *c, const struct row *vif, const struct field *f, struct value v)
{
    struct value old = value_copy(c->arena, row_get(vif, f));
    const char *ref = arena_strdup(c->arena, row_ref(vif));

    TRY(core_set(c->core, ref, f, v));
    struct err *e = apply(c, ref, f == F_VIF_network);
    if (!e)
        return f == F_VIF_network ? note_uplink(c, ref) : NULL;
    e = err_first(e, core_set(c->core, ref, f, old));
    return err_first(e, apply(c, ref, f == F_VIF_network));
}

struct err *vif_change(struct call *c, const char *ref, const struct field *f, struct value v)
{
    const struct row *vif = NULL;

    TRY(call_row(c, C_VIF, ref, &vif));
    if (!row_bool(vif, F_VIF_currently_attached))
        TRY(check_settled(c, vif));
    return change(c, vif, f, v);
}

/* Not while its VM migrates either, to a tap in the network of a moment ago. */
static struct err *move(struct call *c, const struct VIF_move_args *a, struct value *ret UNUSED)
{
    const struct row *vif = NULL, *network = NULL;

    TRY(call_row(c, C_VIF, a->self, &vif));
    TRY(call_row(c, C_network, a->network, &network));
    TRY(check_settled(c, vif));
    return change(c, vif, F_VIF_network, value_str(a->network));
}

struct err *vif_reconnect(struct call *c, const char *ref)
{
    return apply(c, ref, true);
}

static struct err *catch_up_one(struct core *c, const char *ref)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct call call = { .core = c, .arena = a, .task = "" };

    return store_find_of(c->store, C_VIF, ref) ? vif_reconnect(&call, ref) : NULL;
}

static void catch_up(void *arg)
{
    struct core *c = arg;
    VEC(char *) vifs = { 0 };

    for (const struct row *vif = store_first(c->store, C_VIF); vif; vif = store_next(vif))
        if (has_cable(c, vif))
            vec_push(&vifs, mem_strdup(row_ref(vif)));
    for (size_t i = 0; i < vifs.len; i++) {
        log_err(LOG_WARN_, "a plugged VIF may not be as its record says", catch_up_one(c, vifs.p[i]));
        free(vifs.p[i]);
    }
    vec_done(&vifs);
}

void vif_catch_up(struct core *c)
{
    fiber_start(c->loop, "cables", catch_up, c);
}

void vif_cable_register(struct api_handlers *h)
{
    h->VIF_move = move;
}
