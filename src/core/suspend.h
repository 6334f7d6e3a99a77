#pragma once
#include "core/call.h"
#include "gen/ipc_vm.h"

/*
 * Suspended VMs: VM.suspend, VM.resume, and the truth about the image.
 *
 * VM.suspend_VDI is in the database before anything is written, and is only
 * taken out when its disk is gone. Between the two, the image itself says
 * whether the guest is in it (vm/image.h), so whoever died in between, a VM
 * without a guest is Suspended if its image is whole, and Halted if not.
 */

void vm_set_suspended(struct core *c, struct tx *t, const char *vm_ref);

/* The host knows of no guest: makes "Suspended" of *power (from the database) or "Halted". [waits] */
struct err *suspend_truth(struct core *c, struct arena *a, const char *uuid, const char **ret_power) MUST_CHECK;

/* For each VM that alive (by uuid) does not have and that is not simply Halted: uuid -> "Suspended", "Halted". [waits]
 */
struct map;
struct err *suspend_truths(struct core *c, struct arena *a, const struct map *alive, struct map *ret_powers) MUST_CHECK;

/* Removes images of VMs that are not Suspended (any more), later and in a fiber of its own. */
void suspend_tidy(struct core *c);
void suspend_tidy_after(struct core *c, const char *vm_ref); /* likewise, if this VM has one */

/* In the VM's operation: halts a Suspended VM, whose image goes. [waits] */
struct err *suspend_discard(struct call *c, const char *vm_ref) MUST_CHECK;
/* [waits] The image's disk, if the VM has one; a failure leaves it to suspend_tidy(). */
void suspend_drop_image(struct call *c, const char *vm_ref);

/* The devices that a guest knows already, and no others. */
void plan_keep_attached(struct core *c, struct vm_plan *plan);

/* While a guest is saved or migrated, its task tells how far that is. */
struct vm_progress;
struct vm_progress *vm_progress_start(struct core *c, const char *task, const char *uuid);
void vm_progress_stop(struct vm_progress *p); /* NULL is fine */
