/* VM: starting and stopping. */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "core/generation.h"
#include "core/guest.h"
#include "core/host.h"
#include "core/implicit.h"
#include "core/guest_report.h"
#include "core/memory.h"
#include "core/message.h"
#include "core/suspend.h"
#include "core/task.h"
#include "core/vdi.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

#define SHUTDOWN_MS (1200UL * 1000) /* semantics.md 1.1 */

/* Where it could run (semantics.md 8) */

static struct err *check_storage(struct call *c, const struct row *vm)
{
    for (size_t i = 0; i < row_n_related(vm, F_VM_VBDs); i++) {
        const struct row *vbd = row_related(vm, F_VM_VBDs, i);
        const struct row *vdi = row_follow(c->core->store, vbd, F_VBD_VDI);
        const struct row *sr = vdi ? row_follow(c->core->store, vdi, F_VDI_SR) : NULL;

        if (!row_bool(vbd, F_VBD_empty) && vdi && (!sr || !sr_is_plugged(c->core, sr)))
            return err_vm_requires_sr(row_ref(vm), row_str(vdi, F_VDI_SR));
    }
    return NULL;
}

static bool network_reachable(struct core *c, const struct row *network, const char *host)
{
    size_t n = row_n_related(network, F_network_PIFs);

    for (size_t i = 0; i < n; i++)
        if (strcmp(row_str(row_related(network, F_network_PIFs, i), F_PIF_host), host) == 0)
            return true;
    (void)c;
    return n == 0; /* internal to each host */
}

static struct err *check_networks(struct call *c, const struct row *vm, const char *host)
{
    for (size_t i = 0; i < row_n_related(vm, F_VM_VIFs); i++) {
        const struct row *vif = row_related(vm, F_VM_VIFs, i);
        const struct row *network = row_follow(c->core->store, vif, F_VIF_network);

        if (!network || !network_reachable(c->core, network, host))
            return err_vm_requires_network(row_ref(vm), row_str(vif, F_VIF_network));
    }
    return NULL;
}

static struct err *check_platform(const struct row *vm, const struct row *host)
{
    int64_t want = row_int(vm, F_VM_hardware_platform_version);
    const struct value *have = row_get(host, F_host_virtual_hardware_platform_versions);
    char text[32], all[256] = "[";
    size_t len = 1;

    for (size_t i = 0; i < have->n && len < sizeof(all); i++) {
        if (have->items[i].i == want)
            return NULL;
        len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%lld", i ? "; " : "", (long long)have->items[i].i);
    }
    if (len < sizeof(all))
        snprintf(all + len, sizeof(all) - len, "]");
    snprintf(text, sizeof(text), "%lld", (long long)want);
    return err_new("VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
        (const char *[]){ row_ref(host), all, row_ref(vm), text }, 4);
}

static struct err *check_room(struct call *c, const struct row *vm, const struct row *host)
{
    int64_t pcpus = (int64_t)row_n_related(host, F_host_host_CPUs);

    if (strcmp(row_str(vm, F_VM_domain_type), "hvm") == 0 && !host_has_capability(host, "hvm"))
        return err_vm_hvm_required(row_ref(vm));
    TRY(memory_check(c, vm));
    if (row_int(vm, F_VM_VCPUs_max) > pcpus && !*row_map_str(vm, F_VM_platform, "vcpu-unrestricted"))
        return err_host_not_enough_pcpus(arena_printf(c->arena, "%lld", (long long)row_int(vm, F_VM_VCPUs_max)),
            arena_printf(c->arena, "%lld", (long long)pcpus));
    return NULL;
}

struct err *vm_assert_can_boot_here(struct call *c, const char *vm_ref, const char *host_ref)
{
    const struct row *vm = NULL, *host = NULL;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    TRY(call_row(c, C_host, host_ref, &host));
    TRY(vm_check_params(c->core, vm));
    const struct row *metrics = row_follow(c->core->store, host, F_host_metrics);
    if (!metrics || !row_bool(metrics, F_host_metrics_live))
        return err_host_not_live();
    bool dom0 = row_bool(vm, F_VM_is_control_domain);
    if (dom0 && strcmp(row_str(host, F_host_control_domain), vm_ref) != 0)
        return err_operation_not_allowed("A control domain is bound to its host");
    bool local = strcmp(row_str(vm, F_VM_resident_on), host_ref) == 0; /* migration to where it is */
    if (!dom0 && !local && !row_bool(host, F_host_enabled))
        return err_host_disabled(host_ref);
    TRY(check_platform(vm, host));
    TRY(check_storage(c, vm));
    TRY(check_networks(c, vm, host_ref));
    return check_room(c, vm, host);
}

/* Start */

static struct err *check_devices(struct call *c, const struct row *vm)
{
    for (size_t i = 0; i < row_n_related(vm, F_VM_VBDs); i++)
        TRY(vbd_ops.check(c->core, row_related(vm, F_VM_VBDs, i), "attach"));
    for (size_t i = 0; i < row_n_related(vm, F_VM_VIFs); i++)
        TRY(vif_ops.check(c->core, row_related(vm, F_VM_VIFs, i), "attach"));
    return NULL;
}

static struct value boot_flags(struct call *c)
{
    const struct row *pool = core_pool_row(c->core);
    struct value *pairs = arena_new_array(c->arena, 4, struct value);

    pairs[0] = value_str("vendor");
    pairs[1] = value_str(row_map_str(pool, F_pool_cpu_info, "vendor"));
    pairs[2] = value_str("features");
    pairs[3] = value_str(row_map_str(pool, F_pool_cpu_info, "features_hvm_host"));
    return value_map(pairs, 2);
}

/* The record as it was when it booted: XML as get_record answers. */
static const char *booted_record(struct call *c, const struct row *vm)
{
    struct buf b;
    struct call xml = *c;

    xml.envelope = ENVELOPE_XMLRPC;
    buf_init(&b, 1024 * 1024);
    record_write_but(&xml, &b, vm, F_VM_last_booted_record); /* else each boot would hold all before it */
    const char *text = b.len ? arena_strndup(c->arena, b.p, b.len) : "";
    buf_done(&b);
    return text;
}

/*
 * VM.start looks for a host that can: where there is none it says just that,
 * unless memory is the only thing missing (semantics.md 8). What is wrong with
 * the VM itself is told in any case.
 */
static struct err *choose_host(struct call *c, const char *vm_ref, const char *host_ref)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    TRY(vm_check_params(c->core, vm));
    struct err *e = vm_assert_can_boot_here(c, vm_ref, host_ref);
    if (!e || err_is(e, "HOST_NOT_ENOUGH_FREE_MEMORY"))
        return e;
    log_info("no host for the VM", F("vm", vm_ref), F("reason", err_text(e)));
    err_free(e);
    return err_no_hosts_available();
}

static struct err *start_on_host(struct call *c, const char *vm_ref, const char *host_ref, bool any, bool paused)
{
    AUTO(memory_grant_end) struct memory_grant grant = { 0 };
    struct ipc_peer *host = NULL;
    const struct row *vm = NULL;
    struct str own = STR("");
    struct vm_plan plan;
    struct host_vm_start_rep rep;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    TRY(check_devices(c, vm));
    TRY(any ? choose_host(c, vm_ref, host_ref) : vm_assert_can_boot_here(c, vm_ref, host_ref));
    TRY(memory_reserve(c, vm_ref, &grant));
    TRY(secure_boot_own_vars(c, &own));
    TRY(call_row(c, C_VM, vm_ref, &vm));
    TRY(vm_plan_make(c, vm, paused, &plan));
    if (plan.secure_boot && !plan.nvram.len)
        plan.nvram = own;
    vm_plan_memory(&plan, vm, grant.target);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, vm_ref, F_VM_memory_overhead, value_int(grant.bytes - grant.target));
    if (cstr_eq(row_str(vm, F_VM_generation_id), "0:0")) {
        const char *fresh = generation_fresh(c->arena);
        tx_set(t, vm_ref, F_VM_generation_id, value_str(fresh));
        plan.generation_id = generation_guid(c->arena, fresh);
    }
    tx_set(t, vm_ref, F_VM_scheduled_to_be_resident_on, value_str(host_ref));
    guest_report_drop(c->core, t, vm_ref);
    TRY(tx_apply(t, NULL));
    struct err *e = core_need_host(c->core, &host);
    if (!e)
        e = host_vm_start(host, c->arena, &(struct host_vm_start_req){ .plan = plan }, &rep);
    t = tx_begin(c->core->store);
    if (e) {
        tx_set(t, vm_ref, F_VM_scheduled_to_be_resident_on, value_str(REF_NULL));
        return err_first(e, tx_apply(t, NULL));
    }
    vm = store_find_of(c->core->store, C_VM, vm_ref);
    guest_take_state(c->core, t, vm_ref, &rep.state); /* Halted: it ran, and has ended already */
    tx_set(t, vm_ref, F_VM_last_boot_CPU_flags, boot_flags(c));
    tx_set(t, vm_ref, F_VM_last_booted_record, value_str(booted_record(c, vm)));
    if (strcmp(row_str(vm, F_VM_ha_restart_priority), "restart") == 0)
        tx_set(t, vm_ref, F_VM_ha_always_run, value_bool(true));
    return tx_commit(t);
}

static struct err *start(struct call *c, const char *vm_ref, const char *host_ref, const char *op_name, bool paused)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *host = NULL;

    TRY(op_begin(c, &vm_ops, vm_ref, op_name, &op));
    TRY(call_row(c, C_host, host_ref, &host));
    TRY(start_on_host(c, vm_ref, host_ref, strcmp(op_name, "start") == 0, paused));
    message_raise_vm(c->core, c->arena, "VM_STARTED", vm_ref, paused ? "started paused" : "started");
    const struct row *vm = store_find_of(c->core->store, C_VM, vm_ref);
    uint64_t delay = vm ? (uint64_t)row_int(vm, F_VM_start_delay) * 1000000 : 0;
    if (delay)
        fiber_sleep(delay);
    return NULL;
}

struct err *vm_start_here(struct call *c, const char *vm_ref, bool paused)
{
    return start(c, vm_ref, c->core->host_ref, "start", paused);
}

static struct err *start_vm(struct call *c, const struct VM_start_args *a, struct value *ret)
{
    (void)ret;
    return vm_start_here(c, a->vm, a->start_paused);
}

static struct err *start_vm_on(struct call *c, const struct VM_start_on_args *a, struct value *ret)
{
    (void)ret;
    return start(c, a->vm, a->host, "start_on", a->start_paused);
}

/* Everything else is one operation of the host's */

static struct err *ask_host(
    struct call *c, const char *uuid, const char *op, uint64_t timeout_ms, struct host_vm_op_rep *rep)
{
    struct ipc_peer *host = NULL;

    TRY(core_need_host(c->core, &host));
    return host_vm_op(host, c->arena, &(struct host_vm_op_req){ .vm = uuid, .op = op, .timeout_ms = timeout_ms }, rep);
}

/*
 * The host could not say how it ended (its process died, or the guest did under
 * its hands), or finds the guest in another state than the database has. What
 * is so now decides: what was wanted is so, or the guest is not in a state for
 * it, or e stands.
 */
static struct err *judge(struct call *c, const char *vm_ref, const char *uuid, const char *power_after, struct err *e,
    struct vm_state *ret_state)
{
    const struct row *vm = NULL;

    if (err_is(e, "TASK_CANCELLED")) { /* overtaken by a hard operation, or by task.cancel */
        err_ignore(e, "said again with the task's name");
        return err_task_cancelled(c->task);
    }
    if (!err_is(e, "INTERNAL_ERROR") && !err_is(e, "VM_BAD_POWER_STATE"))
        return e;
    struct err *lost = guest_ask(c->core, c->arena, uuid, ret_state);
    if (lost) {
        err_ignore(lost, "the first error tells more");
        return e;
    }
    if (strcmp(ret_state->power, power_after) == 0 && strcmp(power_after, "Running") != 0) {
        err_ignore(e, "what was wanted is so");
        return NULL;
    }
    struct tx *t = tx_begin(c->core->store);
    guest_take_state(c->core, t, vm_ref, ret_state);
    e = err_first(e, tx_apply(t, NULL));
    if (strcmp(ret_state->power, "Halted") != 0)
        return e;
    err_ignore(e, "the guest is gone: that is the reason");
    TRY(call_row(c, C_VM, vm_ref, &vm));
    return vm_assert_power_state(vm, strcmp(power_after, "Running") == 0 ? "Running" : power_after);
}

static void tell(struct call *c, const char *vm_ref, const char *op_name)
{
    static const struct {
        const char *op, *alert, *what;
    } told[] = {
        { "pause", "VM_PAUSED", "paused" },
        { "unpause", "VM_UNPAUSED", "unpaused" },
        { "clean_shutdown", "VM_SHUTDOWN", "shut down cleanly" },
        { "hard_shutdown", "VM_SHUTDOWN", "shut down forcibly" },
        { "clean_reboot", "VM_REBOOTED", "rebooted cleanly" },
        { "hard_reboot", "VM_REBOOTED", "rebooted forcibly" },
    };

    for (size_t i = 0; i < ARRAY_LEN(told); i++)
        if (strcmp(told[i].op, op_name) == 0)
            message_raise_vm(c->core, c->arena, told[i].alert, vm_ref, told[i].what);
}

static struct err *host_op_quietly(struct call *c, const char *vm_ref, const char *op_name, const char *host_op_name,
    uint64_t timeout_ms, const char *power_after)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;
    struct host_vm_op_rep rep = { 0 };

    TRY(op_begin(c, &vm_ops, vm_ref, op_name, &op));
    TRY(call_row(c, C_VM, vm_ref, &vm));
    if (strcmp(row_str(vm, F_VM_power_state), "Suspended") == 0)
        return suspend_discard(c, vm_ref);
    const char *uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    struct err *e = ask_host(c, uuid, host_op_name, timeout_ms, &rep);
    if (e)
        TRY(judge(c, vm_ref, uuid, power_after, e, &rep.state));
    struct tx *t = tx_begin(c->core->store);
    guest_put_nvram(c->core, t, c->arena, vm_ref, rep.nvram);
    guest_take_state(c->core, t, vm_ref, &rep.state); /* not what was wanted: the guest may have gone on by itself */
    if (strcmp(power_after, "Halted") == 0)
        tx_set(t, vm_ref, F_VM_ha_always_run, value_bool(false));
    return tx_commit(t);
}

static struct err *host_op(struct call *c, const char *vm_ref, const char *op_name, const char *host_op_name,
    uint64_t timeout_ms, const char *power_after)
{
    TRY(host_op_quietly(c, vm_ref, op_name, host_op_name, timeout_ms, power_after));
    tell(c, vm_ref, op_name);
    return NULL;
}

static struct err *pause_vm(struct call *c, const struct VM_pause_args *a, struct value *ret)
{
    (void)ret;
    return host_op(c, a->vm, "pause", "pause", 0, "Paused");
}

static struct err *unpause_vm(struct call *c, const struct VM_unpause_args *a, struct value *ret)
{
    (void)ret;
    return host_op(c, a->vm, "unpause", "unpause", 0, "Running");
}

/* A clean shutdown within shutdown_delay, and a hard one if that fails. */
static struct err *stop_either(struct call *c, const char *vm_ref)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    AUTO(err_drop) struct err *refused = vm_ops.check(c->core, vm, "shutdown");
    if (refused && !err_is(refused, "OTHER_OPERATION_IN_PROGRESS")) /* for that, its parts wait */
        return MOVE(refused);
    if (strcmp(row_str(vm, F_VM_power_state), "Running") == 0) {
        int64_t delay = row_int(vm, F_VM_shutdown_delay);
        struct err *e = host_op(
            c, vm_ref, "clean_shutdown", "shutdown", delay > 0 ? (uint64_t)delay * 1000 : SHUTDOWN_MS, "Halted");
        if (!e || fiber_interrupted())
            return e;
        log_info("clean shutdown failed, a hard one follows", F("vm", vm_ref), F("error", err_text(e)));
        err_free(e);
    }
    return host_op(c, vm_ref, "hard_shutdown", "destroy", 0, "Halted");
}

struct err *vm_stop(struct call *c, const char *vm_ref, enum vm_stop how)
{
    switch (how) {
    case VM_STOP_CLEAN:
        return host_op(c, vm_ref, "clean_shutdown", "shutdown", SHUTDOWN_MS, "Halted");
    case VM_STOP_HARD:
        return host_op(c, vm_ref, "hard_shutdown", "destroy", 0, "Halted");
    default:
        return stop_either(c, vm_ref);
    }
}

static struct err *clean_shutdown(struct call *c, const struct VM_clean_shutdown_args *a, struct value *ret)
{
    (void)ret;
    return vm_stop(c, a->vm, VM_STOP_CLEAN);
}

static struct err *hard_shutdown(struct call *c, const struct VM_hard_shutdown_args *a, struct value *ret)
{
    (void)ret;
    return vm_stop(c, a->vm, VM_STOP_HARD);
}

static struct err *clean_reboot(struct call *c, const struct VM_clean_reboot_args *a, struct value *ret)
{
    (void)ret;
    return host_op(c, a->vm, "clean_reboot", "reboot", SHUTDOWN_MS, "Running");
}

struct err *vm_reset_hard(struct call *c, const char *vm_ref, const char *op_name)
{
    return host_op(c, vm_ref, op_name, "hard_reboot", 0, "Running");
}

static struct err *hard_reboot(struct call *c, const struct VM_hard_reboot_args *a, struct value *ret)
{
    (void)ret;
    return vm_reset_hard(c, a->vm, "hard_reboot");
}

static struct err *shutdown_vm(struct call *c, const struct VM_shutdown_args *a, struct value *ret)
{
    (void)ret;
    return vm_stop(c, a->vm, VM_STOP_EITHER);
}

static struct err *power_state_reset(struct call *c, const struct VM_power_state_reset_args *a, struct value *ret)
{
    const struct row *vm = NULL;
    struct vm_state state;

    (void)ret;
    TRY(call_row(c, C_VM, a->vm, &vm));
    if (row_bool(vm, F_VM_is_control_domain))
        return err_cannot_reset_control_domain(a->vm);
    TRY(guest_ask(c->core, c->arena, arena_strdup(c->arena, row_str(vm, F_VM_uuid)), &state));
    if (strcmp(state.power, "Halted") != 0 && strcmp(state.power, "Suspended") != 0)
        return err_new("DOMAIN_EXISTS", (const char *[]){ a->vm }, 1);
    struct tx *t = tx_begin(c->core->store);
    vm_set_halted(c->core, t, a->vm);
    TRY(tx_commit(t));
    ops_refresh_vm(c->core, a->vm);
    suspend_tidy(c->core);
    return NULL;
}

void vm_power_register(struct api_handlers *h)
{
    h->VM_start = start_vm;
    h->VM_start_on = start_vm_on;
    h->VM_pause = pause_vm;
    h->VM_unpause = unpause_vm;
    h->VM_clean_shutdown = clean_shutdown;
    h->VM_hard_shutdown = hard_shutdown;
    h->VM_clean_reboot = clean_reboot;
    h->VM_hard_reboot = hard_reboot;
    h->VM_shutdown = shutdown_vm;
    h->VM_power_state_reset = power_state_reset;
}
