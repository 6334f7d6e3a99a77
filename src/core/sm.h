#pragma once
#include "core/call.h"

/* What the files about storage share: SR, PBD, VDI and their services. */

/* This host's PBD of an SR, NULL if it has none. */
const struct row *sr_pbd(struct core *c, const struct row *sr);
const struct row *sm_find(struct core *c, const char *type); /* the driver's record, NULL */
bool sm_has(struct core *c, const struct row *sr, const char *feature);

/* The storage service with this SR attached (it may have been restarted). *ret_uuid is the SR's. [waits] */
struct err *sm_storage(
    struct core *c, struct arena *a, const char *sr_ref, struct ipc_peer **ret, const char **ret_uuid) MUST_CHECK;

/* An error of the storage service as clients know it: uuids of disks and SRs become refs, an interrupt the task's
 * cancel. */
struct err *sm_err(struct core *c, const char *task, struct err *e) MUST_CHECK;

/* Brings the SR's disks and sizes in line with the medium; without an operation of its own. [waits] */
struct err *sr_sync(struct core *c, struct arena *a, const char *sr_ref) MUST_CHECK;
/* Its sizes only. [waits] */
struct err *sr_sync_sizes(struct core *c, struct arena *a, const char *sr_ref) MUST_CHECK;
void sr_refresh(struct core *c, const char *sr_ref); /* allowed_operations of the SR and its disks */

/* Removes a disk's record with the VBDs that pointed to it; CD drives become empty. */
void vdi_drop_row(struct core *c, struct tx *t, const struct row *vdi);
/* Removes the records of an SR, its disks and its PBDs. */
struct err *sr_drop_rows(struct core *c, const char *sr_ref) MUST_CHECK;

/* Marks a disk as being written as a whole: VDI_READONLY, VDI_IN_USE [vdi, what] if anybody has it open. [waits] */
struct op;
struct err *vdi_begin_write(struct call *c, const char *vdi_ref, const char *what, struct op *ret) MUST_CHECK;

/* The storage service with this disk's SR attached; *ret_sr is that one's uuid. SR_HAS_NO_PBDS. [waits] */
struct err *vdi_storage(struct call *c, const char *vdi_ref, struct ipc_peer **ret, const char **ret_sr) MUST_CHECK;
/* Sizes of a disk as the medium has them. [waits] */
struct err *vdi_refresh(struct call *c, const char *vdi_ref) MUST_CHECK;

/* Tells a task once a second how far a job of the storage service is, until it is stopped. */
struct sm_progress;
struct sm_progress *sm_progress_start(struct core *c, const char *task, const char *job);
void sm_progress_stop(struct sm_progress *p); /* NULL is fine */
static inline UNUSED void sm_progress_drop(struct sm_progress **p)
{
    sm_progress_stop(*p);
    *p = NULL;
}
