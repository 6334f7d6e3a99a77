#pragma once
#include "base/vec.h"
#include "gen/ipc_host.h"
#include "host/cell.h"
#include "host/service.h"
#include "host/tpm.h"

/* What service.c and save.c share. */

struct host_room {
    struct host_room_config c;
    VEC(struct ipc_peer *) cores; /* borrowed; gone with their on_close */
    struct tpms *tpms;            /* owned */
};

/* [waits] Finds, locks and connects; VM_BAD_POWER_STATE when there is no guest. */
struct err *host_guest_lock(
    struct host_room *h, const char *vm, const char *expected, struct cell **ret_cell) MUST_CHECK;
struct vm_state host_state_copy(struct arena *a, const struct cell *cell);
/* [waits] The end of a guest: its cell goes, its UEFI variables are read before. */
struct str host_ended(struct ipc_call *c, struct cell *cell);
/* The plan has the TPM's memory as the core knows it; what it does not know yet is newer. */
void host_newest_tpm(struct host_room *h, struct arena *a, struct vm_plan *plan);
/* To a core that has died since it asked. */
void host_tell_late(struct ipc_call *c, const char *op, const struct vm_state *s, struct str nvram);

/* save.c */
struct err *host_on_suspend(
    struct ipc_call *c, struct host_vm_suspend_req *req, struct host_vm_suspend_rep *rep) MUST_CHECK;
struct err *host_on_resume(
    struct ipc_call *c, struct host_vm_resume_req *req, struct host_vm_resume_rep *rep) MUST_CHECK;
struct err *host_on_migrate(
    struct ipc_call *c, struct host_vm_migrate_req *req, struct host_vm_migrate_rep *rep) MUST_CHECK;
struct err *host_on_progress(
    struct ipc_call *c, struct host_vm_progress_req *req, struct host_vm_progress_rep *rep) MUST_CHECK;
struct err *host_on_image_probe(
    struct ipc_call *c, struct host_image_probe_req *req, struct host_image_probe_rep *rep) MUST_CHECK;
