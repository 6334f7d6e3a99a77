/*
 * Suspend, resume and move: a guest between memory and image, or between two
 * processes of its hypervisor.
 *
 * At any step somebody may be killed. What the successor does follows from the
 * journal's phase (vm_attach_half) and, where there is no journal any more,
 * from the image's own mark (vm/image.h):
 *
 *     phase       guest                  image     done by the successor
 *     suspending  stands still           open      runs on
 *     saved       stands still, or none  whole     is ended
 *     suspended   none                   whole     nothing
 *     resuming    being filled           whole     is ended; whole again: runs on
 *     live        runs                   used
 */
#include "base/fd.h"
#include "base/log.h"
#include "gen/errors.h"
#include "vm/image.h"
#include "vm/private.h"

/* ---- suspend ---- */

/* No guest any more, but an image. */
static struct err *rest(struct vm_service *s, const char *reason)
{
    hyper_guest_drop(&s->guest);
    s->pid = 0;
    vm_tell_tpm(s);
    vm_move(s, VM_SUSPENDED);
    return vm_journal_move(s, VM_PHASE_SUSPENDED, reason);
}

static struct err *write_image(struct vm_service *s, int image)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_plan plan = s->plan;

    plan.disks = arena_dup(a, plan.disks, plan.n_disks * sizeof(*plan.disks));
    plan.nics = arena_dup(a, plan.nics, plan.n_nics * sizeof(*plan.nics));
    TRY(s->ops->layout(s->guest, a, &plan));
    TRY(vm_image_begin(image, &plan));
    TRY(s->ops->save(s->guest, image));
    if (fiber_interrupted())
        return ipc_interrupted();
    return vm_image_mark(image, VM_IMAGE_WHOLE);
}

/* It could not be saved, or shall not: what is in the image must not run beside the guest. */
static struct err *run_on(struct vm_service *s, int image, struct err *e)
{
    enum hyper_power power = HYPER_GONE;

    fiber_interrupt_clear();
    if (vm_image_state(image) == VM_IMAGE_WHOLE)
        e = err_first(e, vm_image_mark(image, VM_IMAGE_OPEN));
    vm_move(s, VM_RUNNING);
    struct err *asked = vm_ask(s, &power);
    if (!asked && power == HYPER_PAUSED)
        asked = s->ops->unpause(s->guest);
    e = err_first(e, asked);
    vm_check_later(s);
    return err_first(e, vm_journal_move(s, VM_PHASE_LIVE, ""));
}

static struct err *suspend(struct vm_service *s, int image)
{
    struct err *e;

    TRY(vm_expect(s, VM_IN(VM_RUNNING), "running"));
    TRY(vm_journal_move(s, VM_PHASE_SUSPENDING, ""));
    vm_move(s, VM_SUSPENDING);
    e = write_image(s, image);
    if (e)
        return run_on(s, image, e);
    s->overtakable = false;
    e = vm_journal_move(s, VM_PHASE_SAVED, "");
    if (!e)
        e = s->ops->destroy(s->guest);
    if (e)
        return run_on(s, image, e);
    vm_move(s, VM_ENDING);
    return rest(s, "suspended");
}

struct err *vm_on_suspend(struct ipc_call *c, struct vm_suspend_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, true, false));
    e = suspend(s, req->image);
    vm_leave(s);
    return e;
}

/* ---- the plan of a guest that was built before ---- */

static struct vm_disk *disk_at(struct vm_plan *p, const struct vm_disk *like)
{
    for (size_t i = 0; i < p->n_disks; i++)
        if (p->disks[i].position == like->position && p->disks[i].cd == like->cd)
            return &p->disks[i];
    return NULL;
}

static struct vm_nic *nic_at(struct vm_plan *p, const struct vm_nic *like)
{
    for (size_t i = 0; i < p->n_nics; i++)
        if (p->nics[i].position == like->position)
            return &p->nics[i];
    return NULL;
}

static void equip_disk(struct vm_disk *d, const struct vm_disk *with)
{
    uint32_t port = d->port;
    bool bootable = d->bootable, read_only = d->read_only;
    const char *bus = d->bus;

    *d = *with;
    d->port = port;
    d->bootable = bootable;
    d->bus = bus;
    d->read_only = read_only || with->read_only;
}

/*
 * The machine as it was built, with what the core says of its surroundings now:
 * names, policies, and whatever has a descriptor. The machine's parts must be the
 * same, or the guest's memory would not fit.
 */
static struct err *equip(struct vm_plan *built, struct vm_plan *with)
{
    struct vm_plan p = *with;

    p.memory = built->memory;
    p.memory_target = built->memory_target;
    p.vcpus = built->vcpus;
    p.vcpus_max = built->vcpus_max;
    p.cores_per_socket = built->cores_per_socket;
    p.firmware = built->firmware;
    p.secure_boot = built->secure_boot;
    p.boot_order = built->boot_order;
    p.cmdline = built->cmdline;
    p.vtpm = built->vtpm;
    p.platform = built->platform;
    p.bios_strings = built->bios_strings;
    p.guest_data = built->guest_data;
    p.ports = built->ports;
    p.generation_id = built->generation_id;
    p.nodes = built->nodes;
    p.disks = built->disks;
    p.n_disks = built->n_disks;
    p.nics = built->nics;
    p.n_nics = built->n_nics;
    for (size_t i = 0; i < built->n_disks; i++) {
        const struct vm_disk *d = disk_at(with, &built->disks[i]);

        if (!d)
            return err_internal("the guest knows disk %lld, which is not there", (long long)built->disks[i].position);
        equip_disk(&built->disks[i], d);
    }
    for (size_t i = 0; i < built->n_nics; i++) {
        const struct vm_nic *n = nic_at(with, &built->nics[i]);
        struct vm_nic *to = &built->nics[i];

        if (!n)
            return err_internal("the guest knows NIC %lld, which is not there", (long long)to->position);
        to->vif = n->vif;
        to->network = n->network;
        to->tap = n->tap;
    }
    *built = p;
    return NULL;
}

/* ---- resume ---- */

/* The guest has its memory: from here on the image must not be used again. */
static struct err *let_run(struct vm_service *s, int image, bool paused)
{
    struct err *e = vm_image_mark(image, VM_IMAGE_USED);

    if (!e && !paused)
        e = s->ops->unpause(s->guest);
    if (!e)
        return NULL;
    fiber_interrupt_clear();
    e = err_first(e, s->ops->destroy(s->guest)); /* it has not run a step */
    return err_first(e, vm_image_mark(image, VM_IMAGE_WHOLE));
}

static struct err *build_again(struct vm_service *s, int image, struct vm_plan *with)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_plan plan;

    if (vm_image_state(image) != VM_IMAGE_WHOLE)
        return err_internal("no guest is in the image");
    TRY(vm_image_plan(image, a, &plan));
    if (!cstr_eq(plan.vm, with->vm))
        return err_internal("another VM is in the image");
    TRY(equip(&plan, with));
    TRY(vm_plan_keep(s, &plan));
    vm_tpm_known(s, plan.tpm);
    TRY(vm_journal_move(s, VM_PHASE_RESUMING, plan.paused ? "paused" : ""));
    TRY(s->ops->restore(&s->env, &plan, image, &s->guest));
    if (fiber_interrupted()) {
        fiber_interrupt_clear();
        return err_first(ipc_interrupted(), s->ops->destroy(s->guest));
    }
    return let_run(s, image, plan.paused);
}

static struct err *resume(struct vm_service *s, int image, struct vm_plan *plan)
{
    enum hyper_power power;
    struct err *e;

    TRY(vm_expect(s, VM_IN(VM_HALTED) | VM_IN(VM_SUSPENDED), "suspended"));
    if (s->life == VM_SUSPENDED)
        vm_move(s, VM_HALTED);
    vm_move(s, VM_STARTING);
    e = build_again(s, image, plan);
    if (e) {
        fiber_interrupt_clear();
        hyper_guest_drop(&s->guest);
        vm_move(s, VM_HALTED);
        return err_first(e, vm_journal_move(s, VM_PHASE_SUSPENDED, "resume failed"));
    }
    vm_move(s, plan->paused ? VM_PAUSED : VM_RUNNING);
    vm_pin(s);
    s->guest_reset = false;
    vm_check_later(s);
    TRY(vm_ask(s, &power));
    return vm_journal_move(s, VM_PHASE_LIVE, "");
}

struct err *vm_on_resume(struct ipc_call *c, struct vm_resume_req *req, struct vm_resume_rep *rep)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, true, false));
    e = resume(s, req->image, &req->plan);
    vm_fill_state(s, &rep->state);
    vm_leave(s);
    return e;
}

/* ---- what a dead process left half done ---- */

/* With its memory complete it has perhaps been told to run already: it does. Else the image is whole as it was. */
static struct err *attach_resuming(struct vm_service *s, enum hyper_power power)
{
    bool paused = cstr_eq(s->journal.reason, "paused");

    if (power == HYPER_BUILT || power == HYPER_GONE) {
        vm_move(s, VM_ENDING);
        TRY(s->ops->destroy(s->guest));
        return rest(s, "resume interrupted");
    }
    if (power == HYPER_PAUSED && !paused)
        TRY(s->ops->unpause(s->guest));
    if (power == HYPER_PAUSED && paused)
        vm_move(s, VM_PAUSED);
    return vm_journal_move(s, VM_PHASE_LIVE, "");
}

static struct err *attach_guest(struct vm_service *s, const char **ret_what)
{
    enum hyper_power power = HYPER_GONE;

    vm_move(s, VM_RUNNING);
    TRY(vm_ask(s, &power));
    if (s->journal.phase == VM_PHASE_SAVED) {
        vm_move(s, VM_ENDING);
        TRY(s->ops->destroy(s->guest));
        return rest(s, "suspended");
    }
    if (s->journal.phase == VM_PHASE_RESUMING) {
        TRY(attach_resuming(s, power));
    } else {
        if (power == HYPER_PAUSED)
            TRY(s->ops->unpause(s->guest));
        TRY(vm_journal_move(s, VM_PHASE_LIVE, ""));
    }
    return s->guest ? vm_check(s, ret_what) : NULL;
}

bool vm_is_half(const struct vm_service *s)
{
    return s->journal.phase >= VM_PHASE_SUSPENDING && s->journal.phase <= VM_PHASE_RESUMING;
}

struct err *vm_attach_half(struct vm_service *s, const char **ret_reason)
{
    const char *what = NULL;
    struct err *e;

    TRY(s->ops->attach(&s->env, &s->guest, ret_reason));
    if (!s->guest && s->journal.phase == VM_PHASE_SUSPENDING) {
        TRY(vm_journal_move(s, VM_PHASE_ENDED, *ret_reason));
    } else if (!s->guest) {
        TRY(rest(s, "suspended"));
    } else {
        e = attach_guest(s, &what);
        if (e && s->guest) { /* asked again by the next one who attaches */
            hyper_guest_drop(&s->guest);
            s->life = VM_HALTED;
        }
        TRY(e);
    }
    *ret_reason = s->journal.reason;
    return NULL;
}

/* ---- move ---- */

static struct err *move(struct vm_service *s, struct vm_plan *with)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_plan plan = s->plan;
    enum hyper_power power;
    struct err *e;

    TRY(vm_expect(s, VM_IN(VM_RUNNING), "running"));
    plan.disks = arena_dup(a, plan.disks, plan.n_disks * sizeof(*plan.disks));
    plan.nics = arena_dup(a, plan.nics, plan.n_nics * sizeof(*plan.nics));
    TRY(s->ops->layout(s->guest, a, &plan));
    TRY(equip(&plan, with));
    e = s->ops->move(s->guest, &plan);
    fiber_interrupt_clear();
    vm_survey_anew(s);
    vm_check_later(s);
    TRY(e);
    TRY(vm_ask(s, &power));
    TRY(vm_plan_keep(s, &plan));
    vm_pin(s);
    return NULL;
}

struct err *vm_on_migrate(struct ipc_call *c, struct vm_migrate_req *req, struct vm_migrate_rep *rep)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, true, false));
    e = move(s, &req->plan);
    vm_fill_state(s, &rep->state);
    vm_leave(s);
    return e;
}

struct err *vm_on_progress(struct ipc_call *c, struct vm_progress_req *req UNUSED, struct vm_progress_rep *rep)
{
    struct vm_service *s = c->ctx;

    *rep = (struct vm_progress_rep){ .done = s->guest ? s->guest->done : 0, .total = s->guest ? s->guest->total : 0 };
    return NULL;
}
