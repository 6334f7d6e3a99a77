#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"

/*
 * What must be known about a VM by whoever comes after a dead process, in two
 * files of the VM's folder, each replaced as a whole:
 *     plan     what was asked for (struct vm_plan, without descriptors, UEFI variables and the TPM's memory), as
 * hotplug changed it journal  one line: phase, when it started (wall clock), why it ended The phase is written before
 * the step that it announces.
 */
struct vm_plan;

enum vm_phase {
    VM_PHASE_NONE,     /* never started here */
    VM_PHASE_STARTING, /* a guest may exist, and is to be undone */
    VM_PHASE_LIVE,
    VM_PHASE_REBOOTING,  /* if it is off: start it again */
    VM_PHASE_SUSPENDING, /* stands still to be saved, and is to run on */
    VM_PHASE_SAVED,      /* the image is whole: what is left of the guest is to be ended */
    VM_PHASE_SUSPENDED,  /* no guest, but an image */
    VM_PHASE_RESUMING,   /* a guest that has not all of its memory is to be undone; reason "paused": not to be run */
    VM_PHASE_ENDED,
};

struct vm_journal {
    enum vm_phase phase;
    uint64_t started_us;
    char reason[32]; /* of the end: "shutdown", "crash", "gone", ... */
};

struct err *vm_journal_write(const char *dir, const struct vm_journal *j) MUST_CHECK;
struct err *vm_journal_read(const char *dir, struct vm_journal *ret_journal) MUST_CHECK;
struct err *vm_plan_save(const char *dir, const struct vm_plan *plan) MUST_CHECK;
struct err *vm_plan_load(const char *dir, struct arena *a, struct vm_plan *ret_plan) MUST_CHECK;
