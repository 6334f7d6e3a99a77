#pragma once
#include "core/call.h"
#include "gen/ipc_vm.h"

/* What a guest is and does by itself, as the host tells it. */

/* Its state now; power "Halted" if the host knows no such guest. [waits] */
struct err *guest_ask(struct core *c, struct arena *a, const char *uuid, struct vm_state *ret_state) MUST_CHECK;

/* The database as the state has it. */
void guest_take_state(struct core *c, struct tx *t, const char *vm_ref, const struct vm_state *s);

/* UEFI variables into VM.NVRAM; empty: nothing. */
void guest_put_nvram(struct core *c, struct tx *t, struct arena *a, const char *vm_ref, struct str bytes);

/* After an operation: if the guest told of a state meanwhile that is not the one in the database, ask the host again.
 */
void guest_catch_up(struct core *c, const char *vm_ref);
