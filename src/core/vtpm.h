#pragma once
#include "core/call.h"
#include "gen/ipc_vm.h"
#include "gen/ipc_vmevents.h"

/*
 * VTPM: the TPM of a VM. What it remembers lies in a secret with the VTPM's own
 * uuid, as base64, and is written whenever the guest's TPM changes: the
 * database never lags behind by more than the message on its way.
 */

/* A new TPM, which has `contents` (base64) or, empty, is fresh. Returns its ref, valid until the transaction ends. */
const char *vtpm_add(struct call *c, struct tx *t, const char *vm_ref, bool is_unique, const char *contents);
/* Gives the copy of a VM what it shall have of the TPM's: all, or a fresh one if it must be unique. */
void vtpm_copy(struct call *c, struct tx *t, const struct row *from_vm, const char *to_vm);
void vtpm_remove(struct core *c, struct tx *t, const struct row *vtpm); /* with what it remembers */
void vtpm_plan(struct call *c, const struct row *vm, struct vm_plan *plan);

/* vmevents.tpm_keep */
struct err *vtpm_on_keep(struct ipc_call *ic, struct vmevents_tpm_keep_req *req) MUST_CHECK;
