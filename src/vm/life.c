/* The state of one VM: its turns, moves, journal, and what is done when the guest acts by itself. */
#include <assert.h>
#include <errno.h>
#include "base/log.h"
#include "base/mem.h"
#include "gen/errors.h"
#include "gen/ipc_vmevents.h"
#include "vm/private.h"
#include "vm/service.h"

#define NVRAM_MAX (1024 * 1024 - 4096) /* the rest of an event's message */

/* ---- turns ---- */

void vm_hold(struct vm_service *s)
{
    s->users++;
}

void vm_release(struct vm_service *s)
{
    if (--s->users == 0 && s->closed)
        vm_service_free(s);
}

struct err *vm_enter(struct vm_service *s, bool overtakable, bool overtaking)
{
    s->users++;
    while (s->holder) {
        if (overtaking && s->overtakable)
            fiber_interrupt(s->holder);
        if (!waitq_wait(&s->turn, FOREVER)) {
            vm_release(s);
            return ipc_interrupted();
        }
    }
    s->holder = fiber_self();
    s->overtakable = overtakable;
    return NULL;
}

void vm_leave(struct vm_service *s)
{
    assert(s->holder == fiber_self());
    s->holder = NULL;
    s->overtakable = false;
    waitq_wake_all(&s->turn);
    vm_release(s);
}

/* ---- state and journal ---- */

void vm_move(struct vm_service *s, enum vm_life to)
{
    assert(s->life == to || vm_may_move(s->life, to));
    s->life = to;
    assert(vm_life_has_guest(to) == (s->guest != NULL));
    if (to == VM_RUNNING)
        vm_survey_soon(s);
    else if (!s->guest)
        vm_survey_end(s);
}

struct err *vm_expect(struct vm_service *s, unsigned lives, const char *expected)
{
    if (lives & VM_IN(s->life))
        return NULL;
    return err_vm_bad_power_state(s->plan_arena ? s->plan.ref : "", expected, vm_life_name(s->life));
}

struct err *vm_ask(struct vm_service *s, enum hyper_power *ret_power)
{
    struct hyper_state state;

    TRY(s->ops->query(s->guest, &state));
    *ret_power = state.power;
    s->pid = state.pid;
    s->domid = state.domid;
    s->memory = state.memory;
    return NULL;
}

void vm_fill_state(struct vm_service *s, struct vm_state *ret)
{
    bool live = s->guest != NULL;

    *ret = (struct vm_state){
        .vm = s->plan_arena ? s->plan.vm : "",
        .ref = s->plan_arena ? s->plan.ref : "",
        .power = vm_life_power(s->life),
        .domid = !live      ? -1
            : s->domid >= 0 ? s->domid
                            : s->plan.domid,
        .busy = s->holder != NULL && s->holder != fiber_self(),
        .pid = s->guest ? s->pid : 0,
        .started_us = live ? s->journal.started_us : 0,
        .devices = s->devices,
        .n_devices = live ? s->n_devices : 0,
        .memory = !live ? 0
            : s->memory ? s->memory
                        : s->plan.memory,
        .memory_target = live ? s->plan.memory_target : 0,
        .vcpus = live ? s->plan.vcpus : 0,
        .host_nodes = live ? (uint32_t)s->plan.n_host_nodes : 0,
    };
}

struct err *vm_journal_move(struct vm_service *s, enum vm_phase phase, const char *reason)
{
    struct vm_journal j = { .phase = phase, .started_us = s->journal.started_us };

    if (phase == VM_PHASE_STARTING || phase == VM_PHASE_RESUMING)
        j.started_us = clock_wall(s->loop);
    snprintf(j.reason, sizeof(j.reason), "%s", reason);
    TRY(vm_journal_write(s->dir, &j));
    s->journal = j;
    return NULL;
}

void vm_plan_adopt(struct vm_service *s, struct arena *a, const struct vm_plan *plan)
{
    arena_free(s->plan_arena);
    s->plan_arena = a;
    s->plan = *plan;
    s->n_devices = 0;
    s->devices = arena_new_array(a, plan->n_disks + plan->n_nics + 1, struct vm_device);
    for (size_t i = 0; i < plan->n_disks; i++)
        s->devices[s->n_devices++] = (struct vm_device){ .ref = plan->disks[i].vbd, .name = plan->disks[i].device };
    for (size_t i = 0; i < plan->n_nics; i++)
        s->devices[s->n_devices++] = (struct vm_device){ .ref = plan->nics[i].vif, .name = "" };
}

/* Encodes and decodes: the copy owns all it points to and holds no descriptors. */
struct err *vm_plan_keep(struct vm_service *s, const struct vm_plan *plan)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_plan kept;

    TRY(vm_plan_save(s->dir, plan));
    TRY(vm_plan_load(s->dir, a, &kept));
    vm_plan_adopt(s, MOVE(a), &kept);
    return NULL;
}

struct err *vm_reset(struct vm_service *s)
{
    TRY(s->ops->reset(s->guest));
    vm_tell_tpm(s);
    return NULL;
}

struct err *vm_bury(struct vm_service *s, const char *reason)
{
    if (s->life != VM_STARTING && s->life != VM_ENDING)
        vm_move(s, VM_ENDING);
    hyper_guest_drop(&s->guest);
    s->pid = 0;
    vm_tell_tpm(s);
    vm_move(s, VM_HALTED);
    return vm_journal_move(s, VM_PHASE_ENDED, reason);
}

struct err *vm_end(struct vm_service *s, const char *reason)
{
    enum vm_life before = s->life;
    struct err *e;

    if (!s->guest)
        return NULL;
    vm_move(s, VM_ENDING);
    e = s->ops->destroy(s->guest);
    if (e) {
        s->life = before; /* not a move: the end has not happened */
        return e;
    }
    return vm_bury(s, reason);
}

/* ---- what the guest does by itself ---- */

void vm_tell(struct vm_service *s, const char *what, const char *detail)
{
    AUTO(buf_done) struct buf nvram;
    struct vmevents_changed_req req = { .vm = s->plan_arena ? s->plan.vm : "", .what = what, .detail = detail };
    struct err *e;

    buf_init(&nvram, NVRAM_MAX);
    if (!s->peer || !ipc_is_open(s->peer))
        return; /* the journal tells whoever attaches */
    vm_fill_state(s, &req.state);
    req.state.busy = false;
    if (s->life == VM_HALTED) {
        e = s->ops->nvram(&s->env, &nvram);
        if (e)
            log_err(LOG_WARN_, "UEFI variables of an ended VM are unreadable, its old ones stay", e);
        else
            req.nvram = buf_str(&nvram);
    }
    e = vmevents_changed(s->peer, &req);
    if (e)
        log_err(LOG_WARN_, "change of a VM could not be told, whoever attaches will see it", e);
}

static struct err *start_over(struct vm_service *s)
{
    TRY(vm_reset(s));
    vm_move(s, VM_RUNNING);
    return vm_journal_move(s, VM_PHASE_LIVE, "");
}

/* It stands still by its own will: policy is what the plan says of that. */
static struct err *check_off(struct vm_service *s, const char *policy, const char **ret_what)
{
    bool rebooting = s->journal.phase == VM_PHASE_REBOOTING; /* by our wish, but nobody was there to finish it */

    if (rebooting || cstr_eq(policy, "restart")) {
        TRY(start_over(s));
        *ret_what = "reboot";
        return NULL;
    }
    TRY(vm_end(s, "shutdown"));
    *ret_what = "shutdown";
    return NULL;
}

static struct err *check_crashed(struct vm_service *s, const char **ret_what)
{
    if (s->life == VM_CRASHED)
        return NULL;
    if (cstr_eq(s->plan.on_crash, "restart")) {
        TRY(start_over(s));
    } else if (cstr_eq(s->plan.on_crash, "preserve")) {
        vm_move(s, VM_CRASHED);
    } else {
        TRY(vm_end(s, "crash"));
    }
    *ret_what = "crash";
    return NULL;
}

struct err *vm_check(struct vm_service *s, const char **ret_what)
{
    enum hyper_power power;
    bool rebooted = s->guest_reset;

    s->guest_reset = false;
    if (!s->guest)
        return NULL;
    TRY(vm_ask(s, &power));
    switch (power) {
    case HYPER_GONE:
        TRY(vm_bury(s, "gone"));
        *ret_what = "gone";
        return NULL;
    case HYPER_OFF:
        return check_off(s, s->plan.on_shutdown, ret_what);
    case HYPER_WANTS_REBOOT:
        return check_off(s, s->plan.on_reboot, ret_what);
    case HYPER_CRASHED:
        return check_crashed(s, ret_what);
    case HYPER_BUILT:
        if (s->life == VM_PAUSED)
            return NULL;
        return s->ops->unpause(s->guest);
    case HYPER_PAUSED:
        if (s->life == VM_RUNNING) {
            vm_move(s, VM_PAUSED);
            *ret_what = "paused";
        }
        return NULL;
    case HYPER_RUNNING:
        if (s->life == VM_PAUSED || s->life == VM_CRASHED) {
            vm_move(s, VM_RUNNING);
            *ret_what = "unpaused";
        } else if (rebooted) {
            *ret_what = "reboot";
        }
        return NULL;
    }
    return NULL;
}

static void check_main(void *arg)
{
    struct vm_service *s = arg;
    const char *what = NULL;
    struct err *e = vm_enter(s, false, false);

    s->check_due = false;
    if (e) {
        err_ignore(e, "nobody interrupts this fiber");
        return;
    }
    e = s->closed ? NULL : vm_check(s, &what);
    if (e)
        log_err(LOG_WARN_, "guest cannot be asked for its state, looked at again at its next event", e);
    if (what)
        vm_tell(s, what, "");
    vm_leave(s);
}

void vm_check_later(struct vm_service *s)
{
    if (s->check_due || s->closed)
        return;
    s->check_due = true;
    fiber_start(s->loop, "vm-check", check_main, s);
}

void vm_on_event(void *ctx, const struct hyper_event *ev)
{
    struct vm_service *s = ctx;

    if (ev->kind == HYPER_EV_AGENT) {
        vm_survey_anew(s);
        return;
    }
    waitq_wake_all(&s->change);
    if (ev->kind == HYPER_EV_UNPLUGGED) {
        if (!s->holder) /* else it is what the operation asked for */
            vm_tell(s, "unplugged", ev->device);
        return;
    }
    if (ev->kind == HYPER_EV_MEMORY) {
        s->memory = ev->memory;
        if (s->life == VM_RUNNING || s->life == VM_PAUSED) /* else the end of what is under way tells */
            vm_tell(s, "memory", "");
        return;
    }
    if (ev->kind == HYPER_EV_TPM) {
        vm_tell_tpm(s);
        return;
    }
    if (ev->kind == HYPER_EV_RESET)
        s->guest_reset = true;
    vm_check_later(s);
}
