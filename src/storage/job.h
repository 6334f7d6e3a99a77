#pragma once
#include "storage/repo.h"

/*
 * Copies, exports and imports of whole disks: programs under way (storage/
 * tool.h), known by the id that the caller chose. A job keeps the leases of
 * its disks. An export or import goes on by itself after it was begun; its
 * outcome waits for job_wait() for an hour. A disk being written is marked
 * partial until all went well.
 */
struct jobs;

/* state_fd: a folder for what lasts a moment; borrowed. */
struct jobs *jobs_new(struct loop *l, int state_fd);
void jobs_free(struct jobs *j); /* no job may be under way */
DEFINE_DROP(jobs)

struct disk {
    struct sr *sr; /* borrowed */
    const char *uuid;
};

/* [waits] until it is done. */
struct err *job_copy(struct jobs *j, const char *id, struct disk from, struct disk to, uint64_t *ret_bytes) MUST_CHECK;
/* Begin, and return the caller's end of the stream. [waits] */
struct err *job_export(
    struct jobs *j, const char *id, struct disk from, int *ret_stream, uint64_t *ret_size) MUST_CHECK;
/* Fewer bytes than the disk's size leave the rest of it untouched; more are an error: VDI_TOO_SMALL. */
struct err *job_import(struct jobs *j, const char *id, struct disk to, int *ret_stream) MUST_CHECK;

struct err *job_wait(struct jobs *j, const char *id, uint64_t *ret_bytes) MUST_CHECK; /* [waits] */
struct err *job_progress(struct jobs *j, const char *id, uint64_t *ret_done, uint64_t *ret_total) MUST_CHECK;
void job_cancel(struct jobs *j, const char *id); /* unknown is fine */
