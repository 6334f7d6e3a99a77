#pragma once
#include "core/call.h"
#include "gen/ipc_vm.h"

/*
 * What the agents in guests say, as the host passes it on: VM_guest_metrics.
 * A record appears with the first report after a start and goes with the next
 * start; a guest that is suspended keeps it.
 */

/* Into the database, where it differs from what is there. A VM that does not run has nothing to say. [waits] */
struct err *guest_report_take(struct core *c, const char *vm_ref, const struct vm_report *r) MUST_CHECK;

/* Of an earlier run. */
void guest_report_drop(struct core *c, struct tx *t, const char *vm_ref);

/* Asks for every guest's, in a fiber of its own: what was said while nobody was there to hear it. */
void guest_report_catch_up(struct core *c);
