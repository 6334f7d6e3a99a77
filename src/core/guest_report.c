#include "core/guest_report.h"
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

#define PAIRS_MAX 600
#define KEY_MAX 64
#define TEXT_MAX 256

/* The process that speaks for a guest reads the guest's bytes: what it says is bounded here once more. */
static struct value words(struct arena *a, const struct value *v)
{
    struct value *pairs = v->kind == V_MAP ? arena_new_array(a, 2 * (size_t)v->n, struct value) : NULL;
    size_t n = 0;

    for (size_t i = 0; pairs && i < v->n && n < PAIRS_MAX; i++) {
        const struct value *key = &v->items[2 * i], *text = key + 1;

        if (key->kind != V_STRING || text->kind != V_STRING || key->n > KEY_MAX || text->n > TEXT_MAX)
            continue;
        pairs[2 * n] = *key;
        pairs[2 * n++ + 1] = *text;
    }
    return value_map(pairs, n);
}

void guest_report_drop(struct core *c, struct tx *t, const char *vm_ref)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);
    const struct row *old = vm ? row_follow(c->store, vm, F_VM_guest_metrics) : NULL;

    if (!old)
        return;
    tx_set(t, vm_ref, F_VM_guest_metrics, value_str(REF_NULL));
    tx_destroy(t, row_ref(old));
}

static bool has_guest(const struct row *vm)
{
    const char *power = row_str(vm, F_VM_power_state);

    return strcmp(power, "Running") == 0 || strcmp(power, "Paused") == 0 ||
        row_get(vm, F_VM_current_operations)->n; /* being started: the guest may speak before we know that it runs */
}

/* It has fallen silent, or there is no agent any more. */
static struct err *take_silence(struct core *c, struct arena *a, const struct row *old)
{
    if (!old || !row_bool(old, F_VM_guest_metrics_live))
        return NULL;
    const char *ref = arena_strdup(a, row_ref(old));
    struct tx *t = tx_begin(c->store);
    tx_set(t, ref, F_VM_guest_metrics_live, value_bool(false));
    tx_set(t, ref, F_VM_guest_metrics_last_updated, value_datetime(now_text(c, a)));
    return tx_commit(t);
}

struct err *guest_report_take(struct core *c, const char *vm_ref, const struct vm_report *r)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);
    const struct row *old = vm ? row_follow(c->store, vm, F_VM_guest_metrics) : NULL;
    struct value version = words(a, &r->version);
    const struct tx_field fields[] = { { F_VM_guest_metrics_last_updated, value_datetime(now_text(c, a)) },
        { F_VM_guest_metrics_os_version, words(a, &r->os) }, { F_VM_guest_metrics_netbios_name, words(a, &r->names) },
        { F_VM_guest_metrics_PV_drivers_version, version }, { F_VM_guest_metrics_networks, words(a, &r->networks) },
        { F_VM_guest_metrics_other, words(a, &r->features) },
        /* it came over a virtio port of a hotplug bus: the guest has drivers for these */
        { F_VM_guest_metrics_PV_drivers_detected, value_bool(true) },
        { F_VM_guest_metrics_PV_drivers_up_to_date, value_bool(true) },
        { F_VM_guest_metrics_can_use_hotplug_vbd, value_str("yes") },
        { F_VM_guest_metrics_can_use_hotplug_vif, value_str("yes") },
        { F_VM_guest_metrics_live, value_bool(r->live) } };
    bool changed = false;

    if (!vm || !has_guest(vm))
        return NULL;
    if (!version.n) /* nothing that it said since its process began */
        return r->live ? NULL : take_silence(c, a, old);
    struct tx *t = tx_begin(c->store);
    if (!old) {
        const char *ref = arena_strdup(a, tx_create(t, C_VM_guest_metrics, NULL, fields, ARRAY_LEN(fields)));
        tx_set(t, vm_ref, F_VM_guest_metrics, value_str(ref));
        return tx_commit(t);
    }
    for (size_t i = 1; i < ARRAY_LEN(fields); i++) {
        if (value_eq(row_get(old, fields[i].field), &fields[i].value))
            continue;
        tx_set(t, arena_strdup(a, row_ref(old)), fields[i].field, fields[i].value);
        changed = true;
    }
    if (!changed) {
        tx_free(t);
        return NULL;
    }
    tx_set(t, arena_strdup(a, row_ref(old)), fields[0].field, fields[0].value);
    return tx_commit(t);
}

/* ---- what was missed ---- */

static struct err *ask(struct core *c, const char *vm_ref)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);
    struct host_vm_report_rep rep = { 0 };
    struct ipc_peer *host = NULL;

    if (!vm || !has_guest(vm))
        return NULL;
    const char *uuid = arena_strdup(a, row_str(vm, F_VM_uuid));
    TRY(core_need_host(c, &host));
    TRY(host_vm_report(host, a, &(struct host_vm_report_req){ .vm = uuid }, &rep));
    return rep.report.live || (rep.report.version.kind == V_MAP && rep.report.version.n)
        ? guest_report_take(c, vm_ref, &rep.report)
        : NULL; /* it will tell */
}

static void catch_up(void *arg)
{
    struct core *c = arg;
    VEC(char *) vms = { 0 };
    struct err *e = NULL;

    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm))
        if (!row_bool(vm, F_VM_is_control_domain) && has_guest(vm))
            vec_push(&vms, mem_strdup(row_ref(vm)));
    for (size_t i = 0; i < vms.len; i++) {
        if (!e)
            e = ask(c, vms.p[i]);
        free(vms.p[i]);
    }
    vec_done(&vms);
    if (e) /* gone again: the next host is asked for everything */
        log_err(LOG_WARN_, "cannot ask for what guests say", e);
}

void guest_report_catch_up(struct core *c)
{
    fiber_start(c->loop, "reports", catch_up, c);
}
