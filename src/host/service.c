#include "host/service.h"
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/vec.h"
#include "gen/errors.h"
#include "gen/ipc_vmevents.h"
#include "host/private.h"
#include "host/stats.h"

#define SECURE_VARS_MAX (1024UL * 1024)

static struct err *on_inventory(struct ipc_call *c, struct host_inventory_req *req, struct host_inventory_rep *rep)
{
    struct host_room *h = c->ctx;

    (void)req;
    return inventory_read(c->arena, &h->c.inventory, &rep->info);
}

static struct err *on_vm_list(struct ipc_call *c, struct host_vm_list_req *req, struct host_vm_list_rep *rep)
{
    struct host_room *h = c->ctx;

    (void)req;
    return cells_list(h->c.cells, c->arena, &rep->vms, &rep->n_vms);
}

/*
 * A core that died while it waited for us asked for every state when it came
 * back, perhaps before this operation ended: so the end is told as an event.
 */
void host_tell_late(struct ipc_call *c, const char *op, const struct vm_state *s, struct str nvram)
{
    struct host_room *h = c->ctx;
    const char *what = cstr_eq(s->power, "Paused") ? "paused"
        : cstr_eq(s->power, "Running")             ? "started"
        : cstr_eq(s->power, "Suspended")           ? "suspended"
                                                   : "shutdown";

    if (!ipc_is_open(c->peer))
        host_room_changed(&h, s->vm, what, op, s, nvram);
}

/* ---- start ---- */

void host_newest_tpm(struct host_room *h, struct arena *a, struct vm_plan *plan)
{
    struct str newer;

    if (plan->vtpm && tpms_newest(h->tpms, plan->vm, &newer))
        plan->tpm = (struct str){ arena_dup(a, newer.p, newer.len), newer.len };
}

struct vm_state host_state_copy(struct arena *a, const struct cell *cell)
{
    struct vm_state s = cell_state(cell);

    s.busy = false;
    return cell_state_copy(a, &s);
}

static struct err *on_vm_start(struct ipc_call *c, struct host_vm_start_req *req, struct host_vm_start_rep *rep)
{
    struct host_room *h = c->ctx;
    struct vm_start_req start = { 0 };
    struct vm_start_rep started;
    struct cell *cell = NULL;
    struct err *e;

    TRY(cells_make(h->c.cells, &req->plan, &cell));
    host_newest_tpm(h, c->arena, &req->plan);
    cell_place(cell, c->arena, h->c.inventory.root, &req->plan);
    e = broker_plan(&h->c.broker, c->arena, &req->plan);
    if (!e) {
        start.plan = req->plan; /* lends its descriptors */
        cell_overtakable(cell, true);
        e = vm_start(cell->peer, c->arena, &start, &started);
        cell_overtakable(cell, false);
    }
    if (e) {
        fiber_interrupt_clear(); /* undoing may wait */
        cell->unclean = ipc_is_lost(e) || ipc_is_interrupted(e);
        cell_remove(cell);
    } else {
        cell_heard(cell, &started.state);
        rep->state = host_state_copy(c->arena, cell);
    }
    cell_unlock(cell);
    if (!e)
        host_tell_late(c, "start", &rep->state, STR(""));
    return e;
}

/* ---- operations on a guest that is there ---- */

/* Finds, locks and connects; VM_BAD_POWER_STATE when there is no guest. */
struct err *host_guest_lock(struct host_room *h, const char *vm, const char *expected, struct cell **ret_cell)
{
    struct cell *cell = NULL;
    struct ipc_peer *peer = NULL;
    struct err *e;

    TRY(cells_lock(h->c.cells, vm, &cell));
    if (!cell)
        return err_vm_bad_power_state(vm, expected, "halted");
    e = cell_peer(cell, &peer);
    if (!e && !peer)
        e = err_vm_bad_power_state(cell->state.ref, expected, "halted");
    if (e)
        cell_unlock(cell);
    else
        *ret_cell = cell;
    return e;
}

static struct err *run_pause(struct ipc_peer *p, struct arena *a, uint64_t timeout_ms)
{
    (void)timeout_ms;
    return vm_pause(p, a, &(struct vm_pause_req){ 0 });
}

static struct err *run_unpause(struct ipc_peer *p, struct arena *a, uint64_t timeout_ms)
{
    (void)timeout_ms;
    return vm_unpause(p, a, &(struct vm_unpause_req){ 0 });
}

static struct err *run_shutdown(struct ipc_peer *p, struct arena *a, uint64_t timeout_ms)
{
    return vm_shutdown(p, a, &(struct vm_shutdown_req){ .timeout_ms = timeout_ms });
}

static struct err *run_reboot(struct ipc_peer *p, struct arena *a, uint64_t timeout_ms)
{
    return vm_reboot(p, a, &(struct vm_reboot_req){ .timeout_ms = timeout_ms });
}

static struct err *run_hard_reboot(struct ipc_peer *p, struct arena *a, uint64_t timeout_ms)
{
    (void)timeout_ms;
    return vm_hard_reboot(p, a, &(struct vm_hard_reboot_req){ 0 });
}

static struct err *run_destroy(struct ipc_peer *p, struct arena *a, uint64_t timeout_ms)
{
    (void)timeout_ms;
    return vm_destroy(p, a, &(struct vm_destroy_req){ 0 });
}

static const struct operation {
    const char *name;
    struct err *(*run)(struct ipc_peer *p, struct arena *a, uint64_t timeout_ms);
    const char *expected; /* power state, for the error */
    bool overtakable;     /* waits for the guest's good will */
    bool overtaking;      /* does not wait for one that does */
} operations[] = {
    { "pause", run_pause, "running", false, false },
    { "unpause", run_unpause, "paused", false, false },
    { "shutdown", run_shutdown, "running", true, false },
    { "reboot", run_reboot, "running", true, false },
    { "hard_reboot", run_hard_reboot, "running, paused", false, true },
    { "destroy", run_destroy, "running, paused", false, true },
};

static const struct operation *operation_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(operations); i++)
        if (cstr_eq(operations[i].name, name))
            return &operations[i];
    return NULL;
}

/* Whoever holds the cell only waits for the guest: the vm service ends that wait when told to destroy or reset. */
static struct err *overtake(
    struct host_room *h, struct arena *a, const struct operation *op, const char *vm, bool *ret_done)
{
    struct cell *cell = cells_find(h->c.cells, vm);

    if (!op->overtaking || !cell || !cell->overtakable || !cell->peer)
        return NULL;
    struct err *e = op->run(cell->peer, a, 0);
    *ret_done = !e;
    if (e && !ipc_is_interrupted(e)) {
        err_ignore(e, "it is tried again with the cell locked, and tells then");
        return NULL;
    }
    return e;
}

/* The end of a guest: its variables are read from the folder while there is one. */
struct str host_ended(struct ipc_call *c, struct cell *cell)
{
    struct vm_nvram_rep nvram = { 0 };
    struct err *e = cell->peer ? vm_nvram(cell->peer, c->arena, &(struct vm_nvram_req){ 0 }, &nvram) : NULL;

    log_err(LOG_WARN_, "UEFI variables are lost", e);
    cell_remove(cell);
    return nvram.nvram;
}

static struct err *run_locked(struct ipc_call *c, struct cell *cell, const struct operation *op,
    struct host_vm_op_req *req, bool done, struct host_vm_op_rep *rep)
{
    struct vm_query_rep query;
    struct err *e = NULL;

    cell_overtakable(cell, op->overtakable);
    if (!done)
        e = op->run(cell->peer, c->arena, req->timeout_ms);
    cell_overtakable(cell, false);
    if (e && ipc_is_lost(e) && op->overtaking) { /* may be done twice: once more, with a fresh vm process */
        struct ipc_peer *peer = NULL;
        err_ignore(e, "the second attempt tells");
        TRY(cell_peer(cell, &peer));
        e = peer ? op->run(peer, c->arena, req->timeout_ms) : NULL;
    }
    TRY(e);
    if (!cell->gone) {
        TRY(vm_query(cell->peer, c->arena, &(struct vm_query_req){ 0 }, &query));
        cell_heard(cell, &query.state);
    }
    rep->state = host_state_copy(c->arena, cell);
    if (!cell->gone && cstr_eq(cell->state.power, "Halted"))
        rep->nvram = host_ended(c, cell);
    return NULL;
}

static struct err *on_vm_op(struct ipc_call *c, struct host_vm_op_req *req, struct host_vm_op_rep *rep)
{
    struct host_room *h = c->ctx;
    const struct operation *op = operation_find(req->op);
    struct cell *cell = NULL;
    bool done = false;
    struct err *e;

    if (!op)
        return err_internal("no such operation: %s", req->op);
    TRY(overtake(h, c->arena, op, req->vm, &done));
    e = host_guest_lock(h, req->vm, op->expected, &cell);
    if (e && cstr_eq(op->name, "destroy") && err_is(e, "VM_BAD_POWER_STATE")) {
        err_ignore(e, "destroying what is gone is success");
        rep->state = (struct vm_state){ .vm = req->vm, .ref = "", .power = "Halted" };
        return NULL;
    }
    TRY(e);
    e = run_locked(c, cell, op, req, done, rep);
    cell_unlock(cell);
    if (!e)
        host_tell_late(c, op->name, &rep->state, rep->nvram);
    return e;
}

static struct err *on_vm_press(struct ipc_call *c, struct host_vm_press_req *req)
{
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(c->ctx, req->vm, "running", &cell));
    e = vm_press(cell->peer, c->arena, &(struct vm_press_req){ .what = req->what, .key = req->key });
    cell_unlock(cell);
    return e;
}

static struct err *on_vm_memory(struct ipc_call *c, struct host_vm_memory_req *req)
{
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(c->ctx, req->vm, "running", &cell));
    e = vm_memory(cell->peer, c->arena, &(struct vm_memory_req){ .target = req->target });
    if (!e)
        cell->state.memory_target = req->target;
    cell_unlock(cell);
    return e;
}

static struct err *set_cpu(struct ipc_call *c, struct cell *cell, const struct vm_cpu *cpu)
{
    bool weighs = cell_weighs(cell);

    if ((cpu->weight || cpu->cap) && !weighs)
        return err_operation_not_allowed("This host has no control group for CPUs");
    TRY(vm_cpu(cell->peer, c->arena, &(struct vm_cpu_req){ .cpu = *cpu }));
    cell->cpu_weight = cpu->weight;
    cell->cpu_cap = cpu->cap;
    return weighs ? cell_limit(cell, 1) : NULL;
}

static struct err *on_vm_cpu(struct ipc_call *c, struct host_vm_cpu_req *req)
{
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(c->ctx, req->vm, "running", &cell));
    e = set_cpu(c, cell, &req->cpu);
    cell_unlock(cell);
    return e;
}

static struct err *on_vm_vcpus(struct ipc_call *c, struct host_vm_vcpus_req *req)
{
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(c->ctx, req->vm, "running", &cell));
    e = vm_vcpus(cell->peer, c->arena, &(struct vm_vcpus_req){ .count = req->count });
    if (!e)
        cell->state.vcpus = req->count;
    cell_unlock(cell);
    return e;
}

/* ---- devices ---- */

static struct err *on_disk_plug(struct ipc_call *c, struct host_disk_plug_req *req)
{
    struct host_room *h = c->ctx;
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(h, req->vm, "running", &cell));
    e = broker_disk(&h->c.broker, c->arena, &req->disk);
    if (!e)
        e = vm_disk_plug(cell->peer, c->arena, &(struct vm_disk_plug_req){ req->disk });
    cell_unlock(cell);
    return e;
}

static struct err *on_disk_unplug(struct ipc_call *c, struct host_disk_unplug_req *req)
{
    struct vm_disk_unplug_req inner = { req->vbd, req->force, req->timeout_ms };
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(c->ctx, req->vm, "running", &cell));
    e = vm_disk_unplug(cell->peer, c->arena, &inner);
    cell_unlock(cell);
    return e;
}

static struct err *on_media(struct ipc_call *c, struct host_media_req *req)
{
    struct host_room *h = c->ctx;
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(h, req->vm, "running", &cell));
    e = broker_disk(&h->c.broker, c->arena, &req->disk);
    if (!e)
        e = vm_media(cell->peer, c->arena, &(struct vm_media_req){ req->disk });
    cell_unlock(cell);
    return e;
}

static struct err *on_nic_plug(struct ipc_call *c, struct host_nic_plug_req *req)
{
    struct host_room *h = c->ctx;
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(h, req->vm, "running", &cell));
    e = broker_nic(&h->c.broker, c->arena, req->vm, &req->nic);
    if (!e)
        e = vm_nic_plug(cell->peer, c->arena, &(struct vm_nic_plug_req){ req->nic });
    cell_unlock(cell);
    return e;
}

static struct err *on_nic_unplug(struct ipc_call *c, struct host_nic_unplug_req *req)
{
    struct vm_nic_unplug_req inner = { req->vif, req->force, req->timeout_ms };
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(c->ctx, req->vm, "running", &cell));
    e = vm_nic_unplug(cell->peer, c->arena, &inner);
    cell_unlock(cell);
    return e;
}

/* Without the lock: one looks at the screen while the guest shuts down. */
static struct err *on_console(struct ipc_call *c, struct host_console_req *req, struct host_console_rep *rep)
{
    struct host_room *h = c->ctx;
    struct cell *cell = cells_find(h->c.cells, req->vm);
    struct vm_console_rep inner;
    struct err *e;

    if (cell && cell->overtakable && cell->peer) {
        TRY(vm_console(cell->peer, c->arena, &(struct vm_console_req){ req->protocol }, &inner));
    } else {
        TRY(host_guest_lock(h, req->vm, "running", &cell));
        e = vm_console(cell->peer, c->arena, &(struct vm_console_req){ req->protocol }, &inner);
        cell_unlock(cell);
        TRY(e);
    }
    rep->stream = inner.stream;
    return NULL;
}

/* Without the lock, since it changes nothing; a guest that is gone has said nothing. */
static struct err *on_vm_report(struct ipc_call *c, struct host_vm_report_req *req, struct host_vm_report_rep *rep)
{
    struct host_room *h = c->ctx;
    struct cell *cell = cells_find(h->c.cells, req->vm);
    struct vm_report_rep inner = { 0 };
    struct ipc_peer *peer = cell && cell->peer ? ipc_ref(cell->peer) : NULL;
    struct err *e = peer ? vm_report(peer, c->arena, &(struct vm_report_req){ 0 }, &inner) : NULL;

    ipc_unref(peer);
    rep->report = inner.report;
    return e;
}

/* Likewise: a script may last, and the guest must be stoppable meanwhile. */
static struct err *on_vm_run(struct ipc_call *c, struct host_vm_run_req *req, struct host_vm_run_rep *rep)
{
    struct host_room *h = c->ctx;
    struct cell *cell = cells_find(h->c.cells, req->vm);
    struct vm_run_rep inner = { 0 };

    if (!cell || !cell->peer)
        return err_vm_bad_power_state(cell ? cell->state.ref : req->vm, "running", "halted");
    struct ipc_peer *peer = ipc_ref(cell->peer);
    struct err *e =
        vm_run(peer, c->arena, &(struct vm_run_req){ .script = req->script, .timeout_ms = req->timeout_ms }, &inner);
    ipc_unref(peer);
    TRY(e);
    *rep = (struct host_vm_run_rep){ inner.exit, inner.out, inner.err };
    return NULL;
}

static struct err *on_secure_vars(
    struct ipc_call *c, struct host_secure_vars_req *req UNUSED, struct host_secure_vars_rep *rep)
{
    struct host_room *h = c->ctx;
    AUTO(buf_done) struct buf b;

    buf_init(&b, SECURE_VARS_MAX);
    rep->vars = (struct str){ "", 0 };
    if (!h->c.secure_vars)
        return NULL;
    struct err *e = h->c.secure_vars(&b);
    if (e) {
        log_err(LOG_WARN_, "no keys for Secure Boot", e);
        return NULL;
    }
    rep->vars = (struct str){ arena_dup(c->arena, b.p ? b.p : "", b.len), b.len };
    return NULL;
}

static struct err *on_picture(struct ipc_call *c, struct host_picture_req *req, struct host_picture_rep *rep)
{
    struct host_room *h = c->ctx;
    struct cell *cell = cells_find(h->c.cells, req->vm);
    struct vm_picture_rep inner = { .jpeg = -1 };

    if (!cell || !cell->peer)
        return err_vm_bad_power_state(cell ? cell->state.ref : req->vm, "running", "halted");
    struct ipc_peer *peer = ipc_ref(cell->peer);
    struct err *e = vm_picture(peer, c->arena, &(struct vm_picture_req){ .timeout_ms = req->timeout_ms }, &inner);
    ipc_unref(peer);
    TRY(e);
    rep->jpeg = inner.jpeg;
    return NULL;
}

/* ---- the host itself ---- */

static struct err *on_auth(struct ipc_call *c, struct host_auth_req *req, struct host_auth_rep *rep)
{
    struct host_room *h = c->ctx;

    return auth_door_ask(h->c.auth, c->arena, req->user, req->password, rep);
}

static struct err *on_auth_change(
    struct ipc_call *c, struct host_auth_change_req *req, struct host_auth_change_rep *rep)
{
    struct host_room *h = c->ctx;

    return auth_door_change(h->c.auth, c->arena, req, rep);
}

static struct err *on_power(struct ipc_call *c, struct host_power_req *req)
{
    struct host_room *h = c->ctx;
    const char *machine[] = { "/usr/sbin/shutdown", cstr_eq(req->op, "reboot") ? "-r" : "-P", "now", NULL };
    const char *program[] = { h->c.power, req->op, NULL };
    AUTO(fd_drop) int pidfd = -1;
    int status = -1;
    pid_t pid;

    if (!cstr_eq(req->op, "reboot") && !cstr_eq(req->op, "shutdown"))
        return err_internal("no such operation: %s", req->op);
    if (!h->c.power)
        return err_internal("this host process may not %s the machine", req->op);
    log_warn("machine goes down", F("op", req->op));
    TRY(proc_spawn(&(struct proc_spec){ .argv = cstr_eq(h->c.power, "machine") ? machine : program }, &pid, &pidfd));
    if (!proc_wait(pidfd, clock_now(ipc_loop(c->peer)) + 10000000, &status) || status != 0)
        return err_internal("%s of the machine ended with %d", req->op, status);
    return NULL;
}

static const struct host_ops ops = {
    .inventory = on_inventory,
    .vm_list = on_vm_list,
    .vm_start = on_vm_start,
    .vm_op = on_vm_op,
    .vm_press = on_vm_press,
    .vm_memory = on_vm_memory,
    .vm_vcpus = on_vm_vcpus,
    .vm_cpu = on_vm_cpu,
    .disk_plug = on_disk_plug,
    .disk_unplug = on_disk_unplug,
    .media = on_media,
    .nic_plug = on_nic_plug,
    .nic_unplug = on_nic_unplug,
    .console = on_console,
    .picture = on_picture,
    .secure_vars = on_secure_vars,
    .vm_report = on_vm_report,
    .vm_run = on_vm_run,
    .vm_suspend = host_on_suspend,
    .vm_resume = host_on_resume,
    .vm_migrate = host_on_migrate,
    .vm_progress = host_on_progress,
    .image_probe = host_on_image_probe,
    .auth = on_auth,
    .auth_change = on_auth_change,
    .power = on_power,
};

/* ---- the room ---- */

void host_room_changed(
    void *ctx, const char *uuid, const char *what, const char *detail, const struct vm_state *state, struct str nvram)
{
    struct host_room *h = *(struct host_room **)ctx;
    struct vmevents_changed_req req = { .vm = uuid, .what = what, .detail = detail, .state = *state, .nvram = nvram };

    if (!cstr_eq(what, "memory")) /* which may move every second */
        log_info("guest changed", F("vm", uuid), F("what", what), F("power", state->power));
    for (size_t i = 0; h && i < h->cores.len; i++)
        log_err(LOG_WARN_, "the core was not told; it asks when it comes back", vmevents_changed(h->cores.p[i], &req));
}

void host_room_reported(void *ctx, const char *uuid, const struct vm_report *report)
{
    struct host_room *h = *(struct host_room **)ctx;
    struct vmevents_reported_req req = { .vm = uuid, .report = *report };

    for (size_t i = 0; h && i < h->cores.len; i++)
        log_err(LOG_WARN_, "the core does not hear of a guest's report; it asks when it comes back",
            vmevents_reported(h->cores.p[i], &req));
}

void host_room_tpm(void *ctx, const char *uuid, struct str memory)
{
    struct host_room *h = *(struct host_room **)ctx;

    if (h)
        tpms_put(h->tpms, uuid, memory);
}

static struct ipc_peer *any_core(void *ctx)
{
    struct host_room *h = ctx;

    return h->cores.len ? h->cores.p[0] : NULL;
}

static void on_core_gone(void *ctx, struct ipc_peer *p)
{
    struct host_room *h = ctx;

    for (size_t i = 0; i < h->cores.len; i++)
        if (h->cores.p[i] == p) {
            vec_remove_swap(&h->cores, i);
            return;
        }
}

void host_room_mount(struct host_room *h, struct ipc_peer *core)
{
    ipc_serve(core, &host_service, &ops, h);
    host_stats_mount(core, h->c.cells);
    machine_mount(core, &h->c.machine);
    vec_push(&h->cores, core);
    ipc_on_close(core, on_core_gone, h);
    tpms_deliver(h->tpms);
}

struct host_room *host_room_new(const struct host_room_config *c)
{
    struct host_room *h = mem_new(struct host_room);

    h->c = *c;
    h->tpms = tpms_new(any_core, h);
    return h;
}

void host_room_free(struct host_room *h)
{
    if (!h)
        return;
    vec_done(&h->cores);
    tpms_free(h->tpms);
    free(h);
}
