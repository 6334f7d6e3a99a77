/* VM: suspend and resume. */
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/guest.h"
#include "core/memory.h"
#include "core/message.h"
#include "core/suspend.h"
#include "core/task.h"
#include "core/vdi.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

#define IMAGE_OVERHEAD (128LL << 20) /* devices, video memory, and what marks each page */
#define PROGRESS_US 1000000
#define MARK "runnymede:image-of" /* in VDI.other_config: uuid of the VM */
#define NAME "Suspend image of "  /* VDI.name_label, on the medium too; with the uuid */
#define TIDY_TRIES 10
#define TIDY_PAUSE_US 1000000

static bool is_state(const struct row *vm, const char *power)
{
    return strcmp(row_str(vm, F_VM_power_state), power) == 0;
}

/* ---- in the database ---- */

void vm_set_suspended(struct core *c, struct tx *t, const char *vm_ref)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);

    if (!vm)
        return;
    tx_set(t, vm_ref, F_VM_power_state, value_str("Suspended"));
    tx_set(t, vm_ref, F_VM_resident_on, value_str(REF_NULL));
    tx_set(t, vm_ref, F_VM_scheduled_to_be_resident_on, value_str(REF_NULL));
    tx_set(t, vm_ref, F_VM_domid, value_int(-1));
    for (size_t i = 0; i < row_n_related(vm, F_VM_consoles); i++)
        tx_destroy(t, row_ref(row_related(vm, F_VM_consoles, i)));
    memory_share_out(c);
}

/* ---- the truth ---- */

struct place {
    const char *sr, *vdi; /* uuids */
};

static bool find_image(struct core *c, struct arena *a, const struct row *vm, struct place *ret)
{
    const struct row *vdi = row_follow(c->store, vm, F_VM_suspend_VDI);
    const struct row *sr = vdi ? row_follow(c->store, vdi, F_VDI_SR) : NULL;

    if (!sr)
        return false;
    *ret = (struct place){ arena_strdup(a, row_str(sr, F_SR_uuid)), arena_strdup(a, row_str(vdi, F_VDI_uuid)) };
    return true;
}

struct err *suspend_truth(struct core *c, struct arena *a, const char *uuid, const char **ret_power)
{
    const struct row *vm = store_by_uuid(c->store, C_VM, uuid);
    struct host_image_probe_rep rep = { 0 };
    struct ipc_peer *host = NULL;
    struct place p;

    *ret_power = "Halted";
    if (!vm || !find_image(c, a, vm, &p))
        return NULL;
    /* Nobody was about to resume it. */
    if (is_state(vm, "Suspended") && ref_is_null(row_str(vm, F_VM_scheduled_to_be_resident_on))) {
        *ret_power = "Suspended";
        return NULL;
    }
    TRY(core_need_host(c, &host));
    struct err *e = host_image_probe(host, a, &(struct host_image_probe_req){ .sr = p.sr, .vdi = p.vdi }, &rep);
    if (e && ipc_is_lost(e))
        return e;
    if (e) /* out of reach now, perhaps not for ever: memory that might be there is not given up */
        log_err(LOG_WARN_, "image of a suspended VM cannot be looked at", e);
    *ret_power = e || rep.whole ? "Suspended" : "Halted";
    return NULL;
}

struct err *suspend_truths(struct core *c, struct arena *a, const struct map *alive, struct map *ret_powers)
{
    VEC(const char *) open = { 0 };
    struct err *e = NULL;

    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm))
        if (!row_bool(vm, F_VM_is_a_template) && !is_state(vm, "Halted") && !map_get(alive, row_str(vm, F_VM_uuid)) &&
            !row_get(vm, F_VM_current_operations)->n)
            vec_push(&open, arena_strdup(a, row_str(vm, F_VM_uuid)));
    for (size_t i = 0; i < open.len && !e; i++) {
        const char *power;

        e = suspend_truth(c, a, open.p[i], &power);
        if (!e)
            map_put(ret_powers, open.p[i], (void *)(uintptr_t)power);
    }
    vec_done(&open);
    return e;
}

/* ---- images that are of no use any more ---- */

static struct err *drop_image(struct call *c, const char *vm_ref)
{
    const struct row *vm = store_find_of(c->core->store, C_VM, vm_ref);
    const char *vdi = vm ? arena_strdup(c->arena, row_str(vm, F_VM_suspend_VDI)) : REF_NULL;

    if (ref_is_null(vdi))
        return NULL;
    if (store_find_of(c->core->store, C_VDI, vdi))
        return vdi_remove(c, vdi);
    return core_set(c->core, vm_ref, F_VM_suspend_VDI, value_str(REF_NULL));
}

static bool is_useless(const struct row *vm)
{
    return !row_bool(vm, F_VM_is_a_template) && !is_state(vm, "Suspended") &&
        !ref_is_null(row_str(vm, F_VM_suspend_VDI)) && !row_get(vm, F_VM_current_operations)->n;
}

/*
 * One that was made, but its VM never heard of it, or has left it. Clients may
 * make such disks too, so ours have a mark; one that a scan found (we died
 * before it was in the database) has our name for it, with a VM that we know.
 */
static bool is_orphan(struct core *c, const struct row *vdi)
{
    const char *mark = row_map_str(vdi, F_VDI_other_config, MARK), *name = row_str(vdi, F_VDI_name_label);
    const char *uuid = *mark ? mark : cstr_starts(name, NAME) ? name + strlen(NAME) : "";
    const struct row *of = *uuid ? store_by_uuid(c->store, C_VM, uuid) : NULL;

    if (strcmp(row_str(vdi, F_VDI_type), "suspend") != 0 || !*uuid || (!*mark && !of))
        return false;
    if (of && (row_get(of, F_VM_current_operations)->n || is_state(of, "Suspended")))
        return false;
    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm))
        if (strcmp(row_str(vm, F_VM_suspend_VDI), row_ref(vdi)) == 0)
            return false;
    return true;
}

static bool any_useless(struct core *c)
{
    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm))
        if (is_useless(vm))
            return true;
    for (const struct row *vdi = store_first(c->store, C_VDI); vdi; vdi = store_next(vdi))
        if (is_orphan(c, vdi))
            return true;
    return false;
}

static void drop_orphans(struct call *c)
{
    VEC(const char *) vdis = { 0 };

    for (const struct row *vdi = store_first(c->core->store, C_VDI); vdi; vdi = store_next(vdi))
        if (is_orphan(c->core, vdi))
            vec_push(&vdis, arena_strdup(c->arena, row_ref(vdi)));
    for (size_t i = 0; i < vdis.len; i++)
        log_err(LOG_WARN_, "image of no VM stays behind until the next start", vdi_remove(c, vdis.p[i]));
    vec_done(&vdis);
}

static void tidy_once(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct call call = { .core = c,
        .arena = a,
        .task = "",
        .who = { .session = "", .root = true, .role = ROLE_LOCAL_ROOT, .user = "root", .sid = "", .originator = "" } };
    VEC(const char *) vms = { 0 };

    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm))
        if (is_useless(vm))
            vec_push(&vms, arena_strdup(a, row_ref(vm)));
    for (size_t i = 0; i < vms.len; i++) {
        const struct row *vm = store_find_of(c->store, C_VM, vms.p[i]);

        if (vm && is_useless(vm))
            log_err(LOG_WARN_, "image of a VM stays behind", drop_image(&call, vms.p[i]));
    }
    vec_done(&vms);
    drop_orphans(&call);
}

/* Whoever held the disk, or the storage service, may need a moment to end or to come back. */
static void tidy(void *arg)
{
    struct core *c = arg;

    for (int i = 0; i < TIDY_TRIES && any_useless(c); i++) {
        if (i)
            fiber_sleep(TIDY_PAUSE_US);
        tidy_once(c);
    }
}

/* The operation whose end is near is no reason then to leave an image alone. */
static void tidy_later(void *arg)
{
    fiber_sleep(TIDY_PAUSE_US);
    tidy(arg);
}

void suspend_drop_image(struct call *c, const char *vm_ref)
{
    struct err *e = drop_image(c, vm_ref);

    if (!e)
        return;
    log_err(LOG_WARN_, "image of a VM is removed later", e);
    fiber_start(c->core->loop, "tidy", tidy_later, c->core);
}

void suspend_tidy_after(struct core *c, const char *vm_ref)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);

    if (vm && is_useless(vm))
        suspend_tidy(c);
}

void suspend_tidy(struct core *c)
{
    if (any_useless(c))
        fiber_start(c->loop, "tidy", tidy, c);
}

struct err *suspend_discard(struct call *c, const char *vm_ref)
{
    struct tx *t = tx_begin(c->core->store);

    vm_set_halted(c->core, t, vm_ref);
    tx_set(t, vm_ref, F_VM_ha_always_run, value_bool(false));
    TRY(tx_commit(t));
    suspend_drop_image(c, vm_ref);
    return NULL;
}

/* ---- progress ---- */

struct vm_progress {
    struct core *core;
    char *task, *uuid; /* owned */
    bool stop;
    struct waitq wake;
};

static void tell(struct vm_progress *p)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_vm_progress_rep rep = { 0 };

    if (!p->core->host)
        return;
    struct err *e = host_vm_progress(p->core->host, a, &(struct host_vm_progress_req){ .vm = p->uuid }, &rep);
    if (e)
        err_ignore(e, "not begun, or over");
    else if (rep.total && !p->stop)
        task_progress(p->core, p->task, (double)rep.done / (double)rep.total);
}

static void progress_fiber(void *arg)
{
    struct vm_progress *p = arg;

    while (!p->stop) {
        waitq_wait(&p->wake, clock_now(p->core->loop) + PROGRESS_US);
        if (!p->stop)
            tell(p);
    }
    free(p->task);
    free(p->uuid);
    free(p);
}

struct vm_progress *vm_progress_start(struct core *c, const char *task, const char *uuid)
{
    if (cstr_empty(task))
        return NULL;
    struct vm_progress *p = mem_new(struct vm_progress);
    p->core = c;
    p->task = mem_strdup(task);
    p->uuid = mem_strdup(uuid);
    waitq_init(&p->wake);
    fiber_start(c->loop, "progress", progress_fiber, p);
    return p;
}

void vm_progress_stop(struct vm_progress *p)
{
    if (!p)
        return;
    p->stop = true;
    waitq_wake_all(&p->wake);
}

/* ---- suspend ---- */

/* The VM's own choice, the pool's, the host's: the first one that there is. */
static struct err *choose_sr(struct call *c, const struct row *vm, const char **ret_sr)
{
    const struct row *places[] = { vm, core_pool_row(c->core), core_host_row(c->core) };
    const struct field *const fields[] = { F_VM_suspend_SR, F_pool_suspend_image_SR, F_host_suspend_image_sr };

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const struct row *sr = places[i] ? row_follow(c->core->store, places[i], fields[i]) : NULL;

        if (!sr)
            continue;
        TRY(sr_assert_plugged(c->core, sr));
        *ret_sr = arena_strdup(c->arena, row_ref(sr));
        return NULL;
    }
    return err_default_sr_not_found(row_str(core_pool_row(c->core), F_pool_suspend_image_SR));
}

static struct err *make_image(struct call *c, const char *vm_ref, const char *sr)
{
    struct value raw[] = { value_str("type"), value_str("raw") };
    struct value config = value_map(raw, 1), mark[2] = { value_str(MARK) };
    const struct row *vm = NULL;
    const char *vdi = NULL;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    mark[1] = value_str(arena_strdup(c->arena, row_str(vm, F_VM_uuid)));
    struct value other_config = value_map(mark, 1);
    int64_t memory = row_int(vm, F_VM_memory_dynamic_max);
    struct vdi_spec spec = { .sr = sr,
        .name_label = arena_printf(c->arena, NAME "%s", row_str(vm, F_VM_uuid)),
        .name_description = arena_printf(c->arena, "Memory of %s", row_str(vm, F_VM_name_label)),
        .virtual_size = memory + memory / 64 + IMAGE_OVERHEAD,
        .type = "suspend",
        .other_config = &other_config,
        .sm_config = &config };
    TRY(vdi_make(c, &spec, &vdi));
    struct err *e = core_set(c->core, vm_ref, F_VM_suspend_VDI, value_str(vdi));
    return e ? err_first(e, vdi_remove(c, vdi)) : NULL;
}

static struct err *ask_suspend(
    struct call *c, const char *vm_ref, const char *uuid, struct host_vm_suspend_rep *ret_rep)
{
    const struct row *vm = NULL;
    struct ipc_peer *host = NULL;
    struct place p;

    TRY(core_need_host(c->core, &host));
    TRY(call_row(c, C_VM, vm_ref, &vm));
    if (!find_image(c->core, c->arena, vm, &p))
        return err_vm_has_no_suspend_vdi(vm_ref);
    struct vm_progress *progress = vm_progress_start(c->core, c->task, uuid);
    struct err *e =
        host_vm_suspend(host, c->arena, &(struct host_vm_suspend_req){ .vm = uuid, .sr = p.sr, .vdi = p.vdi }, ret_rep);
    vm_progress_stop(progress);
    return e;
}

/* What e left: the guest lives on, or is suspended after all, or is gone. NULL: it is in the state that was wanted. */
static struct err *settle(struct call *c, const char *vm_ref, const char *uuid, const char *want, struct err *e)
{
    bool cancelled = fiber_interrupted() || err_is(e, "TASK_CANCELLED");
    const struct row *vm = NULL;
    struct vm_state state;

    fiber_interrupt_clear();
    struct err *lost = guest_ask(c->core, c->arena, uuid, &state);
    if (lost) { /* the host tells when it comes back */
        err_ignore(lost, "the first error tells more");
        return e;
    }
    struct tx *t = tx_begin(c->core->store);
    guest_take_state(c->core, t, vm_ref, &state);
    e = err_first(e, tx_commit(t));
    bool alive = strcmp(state.power, "Running") == 0 || strcmp(state.power, "Paused") == 0;
    if (strcmp(state.power, "Suspended") != 0)
        suspend_drop_image(c, vm_ref);
    if (strcmp(want, "Running") == 0 ? alive : strcmp(state.power, want) == 0) {
        err_ignore(e, "what was wanted is so");
        return NULL;
    }
    if (cancelled) {
        err_ignore(e, "said again with the task's name");
        return err_task_cancelled(c->task);
    }
    if (strcmp(state.power, "Halted") != 0)
        return e;
    err_ignore(e, "the guest is gone: that is the reason");
    TRY(call_row(c, C_VM, vm_ref, &vm));
    return vm_assert_power_state(vm, strcmp(want, "Running") == 0 ? "Suspended" : "Running");
}

static struct err *suspend(struct call *c, const char *vm_ref)
{
    AUTO(op_end) struct op op = { 0 };
    struct host_vm_suspend_rep rep = { 0 };
    const struct row *vm = NULL;
    const char *sr = NULL;

    TRY(op_begin(c, &vm_ops, vm_ref, "suspend", &op));
    suspend_drop_image(c, vm_ref); /* of an earlier one, if it stayed behind */
    TRY(call_row(c, C_VM, vm_ref, &vm));
    const char *uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    TRY(choose_sr(c, vm, &sr));
    TRY(make_image(c, vm_ref, sr));
    struct err *e = ask_suspend(c, vm_ref, uuid, &rep);
    if (e)
        TRY(settle(c, vm_ref, uuid, "Suspended", e));
    fiber_interrupt_clear(); /* too late */
    struct tx *t = tx_begin(c->core->store);
    guest_put_nvram(c->core, t, c->arena, vm_ref, rep.nvram);
    vm_set_suspended(c->core, t, vm_ref);
    tx_set(t, vm_ref, F_VM_ha_always_run, value_bool(false));
    TRY(tx_commit(t));
    message_raise_vm(c->core, c->arena, "VM_SUSPENDED", vm_ref, "suspended");
    return NULL;
}

static struct err *suspend_vm(struct call *c, const struct VM_suspend_args *a, struct value *ret)
{
    (void)ret;
    return suspend(c, a->vm);
}

/* ---- resume ---- */

void plan_keep_attached(struct core *c, struct vm_plan *plan)
{
    size_t n = 0;

    for (size_t i = 0; i < plan->n_disks; i++) {
        const struct row *vbd = store_find_of(c->store, C_VBD, plan->disks[i].vbd);
        if (vbd && row_bool(vbd, F_VBD_currently_attached))
            plan->disks[n++] = plan->disks[i];
    }
    plan->n_disks = n;
    n = 0;
    for (size_t i = 0; i < plan->n_nics; i++) {
        const struct row *vif = store_find_of(c->store, C_VIF, plan->nics[i].vif);
        if (vif && row_bool(vif, F_VIF_currently_attached))
            plan->nics[n++] = plan->nics[i];
    }
    plan->n_nics = n;
}

static struct err *check_image(struct call *c, const struct row *vm)
{
    const struct row *vdi = row_follow(c->core->store, vm, F_VM_suspend_VDI);
    const struct row *sr = vdi ? row_follow(c->core->store, vdi, F_VDI_SR) : NULL;

    if (!vdi)
        return err_vm_has_no_suspend_vdi(row_ref(vm));
    if (!sr || !sr_is_plugged(c->core, sr))
        return err_suspend_image_not_accessible(row_ref(vdi));
    return NULL;
}

static struct err *ask_resume(
    struct call *c, const char *vm_ref, const char *host_ref, bool paused, struct host_vm_resume_rep *ret_rep)
{
    struct host_vm_resume_req req = { 0 };
    const struct row *vm = NULL;
    struct ipc_peer *host = NULL;
    struct place p;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    TRY(vm_plan_make(c, vm, paused, &req.plan));
    plan_keep_attached(c->core, &req.plan);
    if (!find_image(c->core, c->arena, vm, &p))
        return err_vm_has_no_suspend_vdi(vm_ref);
    req.sr = p.sr;
    req.vdi = p.vdi;
    /* Durable, unlike at a start: from here on only the image itself knows whether it is still good. */
    TRY(core_set(c->core, vm_ref, F_VM_scheduled_to_be_resident_on, value_str(host_ref)));
    TRY(core_need_host(c->core, &host));
    return host_vm_resume(host, c->arena, &req, ret_rep);
}

static struct err *resume(struct call *c, const char *vm_ref, const char *host_ref, const char *op_name, bool paused)
{
    AUTO(memory_grant_end) struct memory_grant grant = { 0 };
    AUTO(op_end) struct op op = { 0 };
    struct host_vm_resume_rep rep = { 0 };
    const struct row *vm = NULL, *host = NULL;

    TRY(op_begin(c, &vm_ops, vm_ref, op_name, &op));
    TRY(call_row(c, C_host, host_ref, &host));
    TRY(call_row(c, C_VM, vm_ref, &vm));
    const char *uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    TRY(check_image(c, vm));
    TRY(vm_assert_can_boot_here(c, vm_ref, host_ref));
    TRY(memory_reserve(c, vm_ref, &grant));
    struct err *e = ask_resume(c, vm_ref, host_ref, paused, &rep);
    if (e)
        return settle(c, vm_ref, uuid, "Running", e);
    fiber_interrupt_clear();
    struct tx *t = tx_begin(c->core->store);
    guest_take_state(c->core, t, vm_ref, &rep.state);
    TRY(tx_commit(t));
    message_raise_vm(c->core, c->arena, "VM_RESUMED", vm_ref, paused ? "resumed paused" : "resumed");
    suspend_drop_image(c, vm_ref);
    return NULL;
}

static struct err *resume_vm(struct call *c, const struct VM_resume_args *a, struct value *ret)
{
    (void)ret;
    return resume(c, a->vm, c->core->host_ref, "resume", a->start_paused);
}

static struct err *resume_vm_on(struct call *c, const struct VM_resume_on_args *a, struct value *ret)
{
    (void)ret;
    return resume(c, a->vm, a->host, "resume_on", a->start_paused);
}

void vm_suspend_register(struct api_handlers *h)
{
    h->VM_suspend = suspend_vm;
    h->VM_resume = resume_vm;
    h->VM_resume_on = resume_vm_on;
}
