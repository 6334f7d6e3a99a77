/*
 * The memory of a guest's TPM outlives the guest, and what it keeps must not be
 * lost: so each change is told at once, and the end of a guest only after its
 * last one. A secret: it is in no log, and in no file of ours.
 */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "gen/ipc_vmevents.h"
#include "vm/private.h"
#include "vm/service.h"

void vm_tpm_known(struct vm_service *s, struct str memory)
{
    mem_drop(&s->tpm_told);
    s->tpm_told = mem_alloc(memory.len + 1);
    memcpy(s->tpm_told, memory.p ? memory.p : "", memory.len);
    s->n_tpm_told = memory.len;
}

void vm_tell_tpm(struct vm_service *s)
{
    AUTO(buf_done) struct buf b;
    struct err *e;

    buf_init(&b, VM_TPM_MAX);
    if (!s->plan_arena || !s->plan.vtpm || !s->ops->tpm || !s->peer || !ipc_is_open(s->peer))
        return; /* whoever attaches tells it */
    e = s->ops->tpm(&s->env, &b);
    if (!e && (!b.len || (s->tpm_told && str_eq(buf_str(&b), (struct str){ s->tpm_told, s->n_tpm_told }))))
        return;
    if (!e)
        e = vmevents_tpm(s->peer, &(struct vmevents_tpm_req){ .vm = s->plan.vm, .memory = buf_str(&b) });
    if (e)
        log_err(LOG_WARN_, "memory of a TPM could not be told, its next change is", e);
    else
        vm_tpm_known(s, buf_str(&b));
}
