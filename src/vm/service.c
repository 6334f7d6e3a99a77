/* The operations of idl/ipc/vm.toml. */
#include "vm/service.h"
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "gen/errors.h"
#include "vm/picture.h"
#include "vm/private.h"
#include "vm/run.h"
#include "vm/stats.h"

#define VCPUS_MAX 254
#define MEMORY_MAX (1ULL << 42)
#define DEVICES_MAX 48 /* disks and NICs together: their descriptors travel in one message and one exec */
#define NVRAM_MAX (1024 * 1024)
#define AGENT_OFF_US (15 * 1000000ULL)
#define PRESS_AGAIN_US (2 * 1000000ULL)

/* ---- start, attach ---- */

static struct err *check_plan(const struct vm_service *s, const struct vm_plan *p)
{
    static const char *const firmwares[] = { "bios", "uefi", "direct" };
    bool known = false;

    for (size_t i = 0; i < ARRAY_LEN(firmwares); i++)
        known |= cstr_eq(p->firmware, firmwares[i]);
    if (!known)
        return err_internal("plan with unknown firmware");
    if (p->memory < 1024 * 1024 || p->memory > MEMORY_MAX)
        return err_internal("plan with unusable memory size");
    if (p->vcpus < 1 || p->vcpus > VCPUS_MAX || p->vcpus_max > VCPUS_MAX)
        return err_vm_too_many_vcpus(p->ref);
    if (p->n_disks + p->n_nics > DEVICES_MAX)
        return err_vm_pci_bus_full(p->ref);
    if (p->secure_boot && !s->ops->secure_vars)
        return err_not_implemented("Secure Boot on this hypervisor");
    if (p->vtpm && !s->ops->tpm)
        return err_not_implemented("a TPM on this hypervisor");
    return NULL;
}

static struct err *start(struct vm_service *s, const struct vm_plan *plan)
{
    struct err *e;

    TRY(vm_expect(s, VM_IN(VM_HALTED), "halted"));
    TRY(check_plan(s, plan));
    TRY(vm_plan_keep(s, plan));
    vm_tpm_known(s, plan->tpm);
    TRY(vm_journal_move(s, VM_PHASE_STARTING, ""));
    vm_move(s, VM_STARTING);
    e = s->ops->start(&s->env, plan, &s->guest);
    if (e) {
        fiber_interrupt_clear();
        return err_first(e, vm_bury(s, "start failed"));
    }
    vm_move(s, plan->paused ? VM_PAUSED : VM_RUNNING);
    vm_pin(s);
    s->guest_reset = false;
    vm_check_later(s); /* it may have acted before we listened */
    enum hyper_power power;
    TRY(vm_ask(s, &power));
    vm_tell_tpm(s);
    return vm_journal_move(s, VM_PHASE_LIVE, "");
}

static struct err *on_start(struct ipc_call *c, struct vm_start_req *req, struct vm_start_rep *rep)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, true, false));
    e = start(s, &req->plan);
    vm_fill_state(s, &rep->state);
    vm_leave(s);
    return e;
}

/* From the hypervisor's word to our state, without applying policies yet. */
static struct err *adopt(struct vm_service *s, const char **ret_reason)
{
    enum hyper_power power = HYPER_GONE;

    TRY(s->ops->attach(&s->env, &s->guest, ret_reason));
    if (!s->guest)
        return NULL;
    struct err *e = vm_ask(s, &power);
    if (e || power == HYPER_GONE) {
        hyper_guest_drop(&s->guest);
        *ret_reason = "gone";
        return e;
    }
    if (power == HYPER_PAUSED || (power == HYPER_BUILT && s->journal.phase != VM_PHASE_REBOOTING))
        vm_move(s, VM_PAUSED);
    else
        vm_move(s, VM_RUNNING); /* also when off or crashed: vm_check() finds that out and acts on it */
    return NULL;
}

static struct err *attach(struct vm_service *s, const char **ret_reason)
{
    const char *what = NULL;

    *ret_reason = "";
    if (s->guest)
        return vm_check(s, &what);
    TRY(vm_journal_read(s->dir, &s->journal));
    if (s->journal.phase != VM_PHASE_NONE && !s->plan_arena) {
        AUTO(arena_drop) struct arena *a = arena_new();
        struct vm_plan plan;

        TRY(vm_plan_load(s->dir, a, &plan));
        vm_plan_adopt(s, MOVE(a), &plan);
    }
    if (s->journal.phase == VM_PHASE_NONE || s->journal.phase == VM_PHASE_ENDED) {
        *ret_reason = s->journal.reason;
        return NULL;
    }
    if (vm_is_half(s))
        return s->life == VM_SUSPENDED ? NULL : vm_attach_half(s, ret_reason);

    bool half = s->journal.phase == VM_PHASE_STARTING;
    TRY(adopt(s, ret_reason));
    if (s->guest && half) {
        TRY(vm_end(s, "start interrupted"));
    } else if (s->guest) {
        TRY(vm_check(s, &what));
        struct err *e = vm_balloon_again(s);
        if (e)
            log_err(LOG_WARN_, "the balloon keeps its old target", e);
    } else
        TRY(vm_journal_move(s, VM_PHASE_ENDED, half ? "start interrupted" : *ret_reason));
    *ret_reason = s->journal.reason;
    return NULL;
}

static struct err *on_attach(struct ipc_call *c, struct vm_attach_req *req, struct vm_attach_rep *rep)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = attach(s, &rep->reason);
    if (!e && s->plan_arena && !cstr_eq(req->vm, s->plan.vm))
        e = err_internal("folder of another VM");
    if (!e) {
        vm_tell_tpm(s);
        vm_fill_state(s, &rep->state);
        if (s->plan_arena)
            rep->plan = s->plan; /* encoded before anybody else runs */
    }
    vm_leave(s);
    return e;
}

/* ---- run and stand still ---- */

static struct err *on_pause(struct ipc_call *c, struct vm_pause_req *req UNUSED)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = vm_expect(s, VM_IN(VM_RUNNING), "running");
    if (!e)
        e = s->ops->pause(s->guest);
    if (!e)
        vm_move(s, VM_PAUSED);
    vm_leave(s);
    return e;
}

static struct err *on_unpause(struct ipc_call *c, struct vm_unpause_req *req UNUSED)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = vm_expect(s, VM_IN(VM_PAUSED), "paused");
    if (!e)
        e = s->ops->unpause(s->guest);
    if (!e)
        vm_move(s, VM_RUNNING);
    vm_leave(s);
    return e;
}

/* ---- the end, and starting over ---- */

/*
 * Asks the guest to go off and waits until it is off or gone. Its agent is asked
 * first, since that one cannot be set to ignore it; but an agent may agree and
 * do nothing, so after a while the button is pressed as well. A press is lost
 * where the guest does not listen yet, a moment after its start, so it is pressed
 * again, each time after twice as long; a guest on its way down does not mind.
 */
static struct err *wait_off(struct vm_service *s, uint64_t timeout_ms)
{
    uint64_t deadline = clock_now(s->loop) + timeout_ms * 1000;
    uint64_t press_at = vm_survey_power_off(s) ? clock_now(s->loop) + AGENT_OFF_US : 0;
    uint64_t again_us = PRESS_AGAIN_US;
    enum hyper_power power = HYPER_RUNNING;

    if (timeout_ms > UINT32_MAX)
        deadline = FOREVER;
    for (;;) {
        if (press_at <= clock_now(s->loop) || s->survey.power_off_failed) {
            s->survey.power_off_failed = false;
            press_at = clock_now(s->loop) + again_us;
            again_us *= 2;
            TRY(s->ops->request_shutdown(s->guest));
        }
        TRY(vm_ask(s, &power));
        if (power == HYPER_OFF || power == HYPER_WANTS_REBOOT || power == HYPER_GONE)
            return NULL;
        if (power == HYPER_CRASHED)
            return err_vm_crashed(s->plan.ref);
        if (!waitq_wait(&s->change, press_at < deadline ? press_at : deadline)) {
            char seconds[24];

            if (fiber_interrupted())
                return ipc_interrupted();
            if (clock_now(s->loop) < deadline)
                continue;
            snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)(timeout_ms / 1000));
            return err_vm_shutdown_timeout(s->plan.ref, seconds);
        }
    }
}

/* Puts the state back after a shutdown that did not happen; what did happen is looked at. */
static struct err *stay(struct vm_service *s, struct err *e)
{
    vm_move(s, VM_RUNNING);
    if (s->journal.phase == VM_PHASE_REBOOTING)
        e = err_first(e, vm_journal_move(s, VM_PHASE_LIVE, ""));
    vm_check_later(s);
    return e;
}

static struct err *clean_shutdown(struct vm_service *s, uint64_t timeout_ms)
{
    struct err *e;

    TRY(vm_expect(s, VM_IN(VM_RUNNING), "running"));
    vm_move(s, VM_STOPPING);
    e = wait_off(s, timeout_ms);
    if (!e)
        e = vm_end(s, "shutdown");
    return e && s->guest ? stay(s, e) : e;
}

static struct err *clean_reboot(struct vm_service *s, uint64_t timeout_ms)
{
    struct err *e;

    TRY(vm_expect(s, VM_IN(VM_RUNNING), "running"));
    TRY(vm_journal_move(s, VM_PHASE_REBOOTING, ""));
    vm_move(s, VM_REBOOTING);
    e = wait_off(s, timeout_ms);
    if (!e)
        e = vm_reset(s);
    if (e)
        return stay(s, e);
    vm_move(s, VM_RUNNING);
    return vm_journal_move(s, VM_PHASE_LIVE, "");
}

static struct err *on_shutdown(struct ipc_call *c, struct vm_shutdown_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, true, false));
    e = clean_shutdown(s, req->timeout_ms);
    vm_leave(s);
    return e;
}

static struct err *on_reboot(struct ipc_call *c, struct vm_reboot_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, true, false));
    e = clean_reboot(s, req->timeout_ms);
    vm_leave(s);
    return e;
}

static struct err *on_hard_reboot(struct ipc_call *c, struct vm_hard_reboot_req *req UNUSED)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, true));
    e = vm_expect(s, VM_ALIVE, "running");
    if (!e)
        e = vm_reset(s);
    if (!e)
        vm_move(s, VM_RUNNING);
    vm_leave(s);
    return e;
}

static struct err *press(struct vm_service *s, const struct vm_press_req *req)
{
    TRY(vm_expect(s, VM_IN(VM_RUNNING), "running"));
    if (!s->ops->press)
        return err_not_implemented("buttons and keys on this hypervisor");
    return s->ops->press(s->guest, req->what, req->key[0]);
}

static struct err *on_press(struct ipc_call *c, struct vm_press_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = press(s, req);
    vm_leave(s);
    return e;
}

/* A service that has not attached, or could not, still ends what its folder says is alive. */
static struct err *destroy(struct vm_service *s)
{
    const char *reason = "";

    if (!s->guest) {
        TRY(vm_journal_read(s->dir, &s->journal));
        if (s->journal.phase == VM_PHASE_NONE || s->journal.phase == VM_PHASE_ENDED)
            return NULL;
        TRY(s->ops->attach(&s->env, &s->guest, &reason));
        if (!s->guest)
            return vm_journal_move(s, VM_PHASE_ENDED, reason);
        vm_move(s, VM_RUNNING);
    }
    return vm_end(s, "destroyed");
}

static struct err *on_destroy(struct ipc_call *c, struct vm_destroy_req *req UNUSED)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, true));
    e = destroy(s);
    vm_leave(s);
    return e;
}

static struct err *on_query(struct ipc_call *c, struct vm_query_req *req UNUSED, struct vm_query_rep *rep)
{
    vm_fill_state(c->ctx, &rep->state);
    return NULL;
}

/* ---- devices ---- */

static struct vm_disk *find_disk(struct vm_service *s, const char *vbd)
{
    for (size_t i = 0; i < s->plan.n_disks; i++)
        if (cstr_eq(s->plan.disks[i].vbd, vbd))
            return &s->plan.disks[i];
    return NULL;
}

static struct vm_nic *find_nic(struct vm_service *s, const char *vif)
{
    for (size_t i = 0; i < s->plan.n_nics; i++)
        if (cstr_eq(s->plan.nics[i].vif, vif))
            return &s->plan.nics[i];
    return NULL;
}

/* The plan with a disk replaced (same VBD), added, or (disk NULL) without the one at `old`. */
static struct err *keep_disk(struct vm_service *s, const struct vm_disk *old, const struct vm_disk *disk)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_plan p = s->plan;

    p.disks = arena_new_array(a, p.n_disks + 1, struct vm_disk);
    p.n_disks = 0;
    for (size_t i = 0; i < s->plan.n_disks; i++)
        if (&s->plan.disks[i] != old)
            p.disks[p.n_disks++] = s->plan.disks[i];
    if (disk)
        p.disks[p.n_disks++] = *disk;
    return vm_plan_keep(s, &p);
}

static struct err *keep_nic(struct vm_service *s, const struct vm_nic *old, const struct vm_nic *nic)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_plan p = s->plan;

    p.nics = arena_new_array(a, p.n_nics + 1, struct vm_nic);
    p.n_nics = 0;
    for (size_t i = 0; i < s->plan.n_nics; i++)
        if (&s->plan.nics[i] != old)
            p.nics[p.n_nics++] = s->plan.nics[i];
    if (nic)
        p.nics[p.n_nics++] = *nic;
    return vm_plan_keep(s, &p);
}

static struct err *expect_devices(struct vm_service *s)
{
    return vm_expect(s, VM_IN(VM_RUNNING) | VM_IN(VM_PAUSED), "running");
}

static struct err *disk_plug(struct vm_service *s, const struct vm_disk *disk)
{
    TRY(expect_devices(s));
    if (find_disk(s, disk->vbd))
        return err_device_already_attached(disk->vbd);
    if (s->plan.n_disks + s->plan.n_nics >= DEVICES_MAX)
        return err_vm_pci_bus_full(s->plan.ref);
    TRY(s->ops->disk_add(s->guest, disk));
    return keep_disk(s, NULL, disk);
}

static struct err *on_disk_plug(struct ipc_call *c, struct vm_disk_plug_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = disk_plug(s, &req->disk);
    vm_leave(s);
    return e;
}

static struct err *disk_unplug(struct vm_service *s, const struct vm_disk_unplug_req *req)
{
    struct vm_disk *disk = find_disk(s, req->vbd);

    TRY(expect_devices(s));
    if (!disk)
        return err_device_already_detached(req->vbd);
    TRY(s->ops->disk_remove(s->guest, disk, req->force, clock_now(s->loop) + req->timeout_ms * 1000));
    return keep_disk(s, disk, NULL);
}

static struct err *on_disk_unplug(struct ipc_call *c, struct vm_disk_unplug_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = disk_unplug(s, req);
    vm_leave(s);
    return e;
}

static struct err *media(struct vm_service *s, const struct vm_disk *disk)
{
    struct vm_disk *old = find_disk(s, disk->vbd);
    struct vm_disk now;

    TRY(expect_devices(s));
    if (!old)
        return err_device_not_attached(disk->vbd);
    now = *disk;
    now.position = old->position; /* the drive stays where it is */
    now.cd = old->cd;
    TRY(s->ops->media(s->guest, &now));
    return keep_disk(s, old, &now);
}

static struct err *on_media(struct ipc_call *c, struct vm_media_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = media(s, &req->disk);
    vm_leave(s);
    return e;
}

static struct err *nic_plug(struct vm_service *s, const struct vm_nic *nic)
{
    TRY(expect_devices(s));
    if (find_nic(s, nic->vif))
        return err_device_already_attached(nic->vif);
    if (s->plan.n_disks + s->plan.n_nics >= DEVICES_MAX)
        return err_vm_pci_bus_full(s->plan.ref);
    TRY(s->ops->nic_add(s->guest, nic));
    struct vm_nic kept = *nic;
    kept.hot = true;
    vm_survey_soon(s); /* it may have an address soon */
    return keep_nic(s, NULL, &kept);
}

static struct err *on_nic_plug(struct ipc_call *c, struct vm_nic_plug_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = nic_plug(s, &req->nic);
    vm_leave(s);
    return e;
}

static struct err *nic_unplug(struct vm_service *s, const struct vm_nic_unplug_req *req)
{
    struct vm_nic *nic = find_nic(s, req->vif);

    TRY(expect_devices(s));
    if (!nic)
        return err_device_already_detached(req->vif);
    TRY(s->ops->nic_remove(s->guest, nic, req->force, clock_now(s->loop) + req->timeout_ms * 1000));
    vm_survey_soon(s);
    return keep_nic(s, nic, NULL);
}

static struct err *on_nic_unplug(struct ipc_call *c, struct vm_nic_unplug_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = nic_unplug(s, req);
    vm_leave(s);
    return e;
}

/* ---- looking in: these need no turn, since they change nothing ---- */

static struct err *on_console(struct ipc_call *c, struct vm_console_req *req, struct vm_console_rep *rep)
{
    struct vm_service *s = c->ctx;

    TRY(vm_expect(s, VM_ALIVE, "running"));
    return s->ops->console(s->guest, req->protocol, &rep->stream);
}

static struct err *on_picture(struct ipc_call *c, struct vm_picture_req *req, struct vm_picture_rep *rep)
{
    struct vm_service *s = c->ctx;
    int fd = -1;

    TRY(vm_expect(s, VM_ALIVE, "running"));
    TRY(s->ops->console(s->guest, "rfb", &fd));
    return picture_take(fd, clock_now(s->loop) + req->timeout_ms * 1000, &rep->jpeg);
}

static struct err *on_nvram(struct ipc_call *c, struct vm_nvram_req *req UNUSED, struct vm_nvram_rep *rep)
{
    struct vm_service *s = c->ctx;
    AUTO(buf_done) struct buf b;

    buf_init(&b, NVRAM_MAX);
    TRY(s->ops->nvram(&s->env, &b));
    rep->nvram = (struct str){ arena_dup(c->arena, b.p ? b.p : "", b.len), b.len };
    return NULL;
}

static const struct vm_ops service_ops = {
    .start = on_start,
    .attach = on_attach,
    .pause = on_pause,
    .unpause = on_unpause,
    .shutdown = on_shutdown,
    .reboot = on_reboot,
    .hard_reboot = on_hard_reboot,
    .press = on_press,
    .memory = vm_on_memory,
    .vcpus = vm_on_vcpus,
    .cpu = vm_on_cpu,
    .destroy = on_destroy,
    .query = on_query,
    .disk_plug = on_disk_plug,
    .disk_unplug = on_disk_unplug,
    .media = on_media,
    .nic_plug = on_nic_plug,
    .nic_unplug = on_nic_unplug,
    .console = on_console,
    .picture = on_picture,
    .nvram = on_nvram,
    .suspend = vm_on_suspend,
    .resume = vm_on_resume,
    .migrate = vm_on_migrate,
    .progress = vm_on_progress,
    .report = vm_on_report,
    .run = vm_on_run,
};

/* ---- the object ---- */

struct err *vm_service_new(
    struct loop *l, const struct hyper_ops *ops, const struct vm_service_env *env, struct vm_service **ret_service)
{
    struct vm_service *s = mem_new(struct vm_service);

    s->loop = l;
    s->ops = ops;
    s->dir = mem_strdup(env->dir);
    s->env = (struct hyper_env){ .loop = l, .dir = s->dir, .on_event = vm_on_event, .ctx = s };
    waitq_init(&s->turn);
    waitq_init(&s->change);
    vm_survey_init(s);
    *ret_service = s;
    return NULL;
}

static void on_peer_closed(void *ctx, struct ipc_peer *p)
{
    struct vm_service *s = ctx;

    if (s->peer == p)
        s->peer = NULL;
}

void vm_service_mount(struct vm_service *s, struct ipc_peer *p)
{
    s->peer = p;
    ipc_on_close(p, on_peer_closed, s);
    ipc_serve(p, &vm_service, &service_ops, s);
    vm_stats_mount(s, p);
}

void vm_service_free(struct vm_service *s)
{
    if (!s)
        return;
    if (!s->closed)
        vm_survey_end(s);
    s->closed = true;
    if (s->users || s->check_due)
        return; /* the last user calls again */
    hyper_guest_drop(&s->guest);
    vm_survey_done(s);
    arena_free(s->plan_arena);
    free(s->tpm_told);
    free(s->dir);
    free(s);
}
