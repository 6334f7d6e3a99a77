#pragma once
#include "base/arena.h"
#include "base/fiber.h"
#include "base/loop.h"
#include "gen/ipc_vm.h"
#include "hyper/hyper.h"
#include "vm/journal.h"
#include "vm/state.h"
#include "vm/survey.h"

/* What service.c (the operations) and life.c (state, policies) share. */

struct vm_service {
    struct loop *loop;
    const struct hyper_ops *ops;
    char *dir; /* owned */
    struct hyper_env env;

    enum vm_life life;
    struct hyper_guest *guest; /* owned; the guest itself is nobody's */
    pid_t pid;                 /* of the hypervisor process */
    int64_t domid;             /* the hypervisor's own number, -1: the plan's */
    uint64_t memory;           /* bytes that its balloon leaves it; 0: it has none */
    struct vm_journal journal; /* as last written */
    struct arena *plan_arena;  /* owned; NULL without a plan */
    struct vm_plan plan;       /* without descriptors */
    struct vm_device *devices; /* of the plan, in its arena */
    size_t n_devices;

    struct fiber *holder; /* of the turn */
    bool overtakable;     /* the holder waits for the guest, and destroy may end that */
    struct waitq turn;
    struct waitq change; /* the hypervisor had something to say */
    bool check_due;      /* a check fiber is on its way */
    bool guest_reset;    /* the guest rebooted since the last check */
    struct vm_survey survey;
    unsigned users; /* fibers inside */
    bool closed;    /* the last user frees */

    char *tpm_told; /* owned: the TPM's memory that the host knows of; NULL: none */
    size_t n_tpm_told;

    struct ipc_peer *peer; /* borrowed; told of changes; NULL when gone */
};

/* [waits] for its turn; every operation that acts on the guest is between these two. */
struct err *vm_enter(struct vm_service *s, bool overtakable, bool overtaking) MUST_CHECK;
void vm_leave(struct vm_service *s);
/* Keeps it in memory without a turn; the last one to let go of a closed service frees it. */
void vm_hold(struct vm_service *s);
void vm_release(struct vm_service *s);

void vm_move(struct vm_service *s, enum vm_life to);
struct err *vm_expect(struct vm_service *s, unsigned lives, const char *expected) MUST_CHECK;
/* Asks the hypervisor; keeps pid and domid. */
struct err *vm_ask(struct vm_service *s, enum hyper_power *ret_power) MUST_CHECK;
void vm_fill_state(struct vm_service *s, struct vm_state *ret);
struct err *vm_journal_move(struct vm_service *s, enum vm_phase phase, const char *reason) MUST_CHECK;
/* Takes a plan and the arena that it lies in. */
void vm_plan_adopt(struct vm_service *s, struct arena *a, const struct vm_plan *plan);
struct err *vm_plan_keep(struct vm_service *s, const struct vm_plan *plan) MUST_CHECK;

struct err *vm_reset(struct vm_service *s) MUST_CHECK; /* [waits] the guest starts over and runs */
/* [waits] Ends the guest and everything about it. */
struct err *vm_end(struct vm_service *s, const char *reason) MUST_CHECK;
/* Drops a guest that is gone already. */
struct err *vm_bury(struct vm_service *s, const char *reason) MUST_CHECK;
/* [waits] Looks at the guest's true state and applies the policies. *ret_what: as in vmevents, NULL when nothing
 * changed. */
struct err *vm_check(struct vm_service *s, const char **ret_what) MUST_CHECK;
void vm_tell(struct vm_service *s, const char *what, const char *detail);

/* tpm.c: what is in the plan is known; the TPM's memory is told where it is not what was told last. */
void vm_tpm_known(struct vm_service *s, struct str memory);
void vm_tell_tpm(struct vm_service *s);
#define VM_TPM_MAX (384UL * 1024)

/* room.c */
struct err *vm_on_memory(struct ipc_call *c, struct vm_memory_req *req) MUST_CHECK;
struct err *vm_on_vcpus(struct ipc_call *c, struct vm_vcpus_req *req) MUST_CHECK;
struct err *vm_on_cpu(struct ipc_call *c, struct vm_cpu_req *req) MUST_CHECK;
void vm_pin(struct vm_service *s); /* [waits] a fresh hypervisor process, to the plan's CPUs */
struct err *vm_balloon_again(struct vm_service *s) MUST_CHECK; /* [waits] says the plan's target once more */

/* The hypervisor's events arrive here. */
void vm_on_event(void *ctx, const struct hyper_event *ev);
/* Later, in a fiber of its own: vm_check() and vm_tell(). */
void vm_check_later(struct vm_service *s);

/* save.c */
struct err *vm_on_suspend(struct ipc_call *c, struct vm_suspend_req *req) MUST_CHECK;
struct err *vm_on_resume(struct ipc_call *c, struct vm_resume_req *req, struct vm_resume_rep *rep) MUST_CHECK;
struct err *vm_on_migrate(struct ipc_call *c, struct vm_migrate_req *req, struct vm_migrate_rep *rep) MUST_CHECK;
struct err *vm_on_progress(struct ipc_call *c, struct vm_progress_req *req, struct vm_progress_rep *rep) MUST_CHECK;
bool vm_is_half(const struct vm_service *s); /* the journal tells of a suspend or resume */
/* [waits] vm_attach() for such a one: finishes or undoes it. */
struct err *vm_attach_half(struct vm_service *s, const char **ret_reason) MUST_CHECK;
