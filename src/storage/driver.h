#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "gen/ipc_storage.h"

/*
 * What an SR driver does. A driver is one of these tables, which the daemon's
 * main.c registers; nobody else includes a driver's header.
 *
 * A driver keeps what it knows in the medium itself, so that a storage process
 * that was killed starts again with nothing lost: an operation that was cut
 * short leaves only names that attach() removes. There is no lock on a whole
 * SR. What excludes two users of one disk is its lease (storage/lease.h).
 *
 * All calls run in fibers of one loop and may wait; several may run at once.
 * A missing operation is answered with SR_OPERATION_NOT_SUPPORTED. Strings of
 * a storage_vdi that a driver fills in live in the arena it was given.
 */

#define SR_OP_BESIDE "migrate"

/* An opened disk. The lease is a lock that lives as long as its open file description, whoever holds that. */
struct sr_image {
    int fd;
    int lease; /* -1: this driver's disks are never written */
    const char *format;
    uint64_t size;
};
void sr_image_done(struct sr_image *i); /* AUTO; start with SR_IMAGE_NONE */
#define SR_IMAGE_NONE ((struct sr_image){ .fd = -1, .lease = -1, .format = "" })

struct sr_key {
    const char *name, *doc;
};

struct sr_new_vdi {
    const char *uuid, *name, *type;
    uint64_t size; /* at least; the driver may round up */
    const struct value *sm_config;
};

struct sr_driver {
    const char *type, *name, *description, *vendor, *version, *content_type;
    const char *const *features;      /* NULL-terminated: SM.features */
    const struct sr_key *device_keys; /* ended by a NULL name: SM.configuration */

    /* Prepares the medium. */
    struct err *(*create)(const char *sr, const struct value *config, uint64_t size);
    /* A set of maps: uuid (of an SR that is there, or ""), and what else is known. */
    struct err *(*probe)(struct arena *a, const struct value *config, struct value *ret_found);
    /* state_fd: a folder for what must outlive the process. Borrowed until detach(). */
    struct err *(*attach)(const char *sr, const struct value *config, int state_fd, void **ret_sr);
    void (*detach)(void *sr); /* frees; no call is under way */
    struct err *(*destroy)(void *sr);
    struct err *(*scan)(void *sr, struct arena *a, struct storage_vdi **ret_vdis, size_t *ret_n);
    struct err *(*stat)(void *sr, struct storage_stat *ret);

    struct err *(*vdi_create)(void *sr, struct arena *a, const struct sr_new_vdi *v, struct storage_vdi *ret);
    struct err *(*vdi_destroy)(void *sr, const char *uuid);
    struct err *(*vdi_resize)(void *sr, struct arena *a, const char *uuid, uint64_t size, struct storage_vdi *ret);
    struct err *(*vdi_stat)(void *sr, struct arena *a, const char *uuid, struct storage_vdi *ret);
    struct err *(*vdi_rename)(void *sr, const char *uuid, const char *name);
    /* `op` is what VDI_IN_USE says. SR_OP_BESIDE: whoever has it open for writing moves to this image and lease. */
    struct err *(*vdi_open)(void *sr, const char *uuid, bool read_only, const char *op, struct sr_image *ret);
    /* Remembers that a disk's content is half written, or whole again. */
    struct err *(*vdi_mark)(void *sr, const char *uuid, bool partial);
};

/* SR_BACKEND_FAILURE_<number> ["", text, ""], semantics.md 7.3. */
enum sr_failure_code {
    SR_NO_SPACE = 44,
    SR_VDI_UNAVAILABLE = 46,
    SR_UNAVAILABLE = 47,
    SR_SIZE = 65,
    SR_VDI_CREATE = 78,
    SR_CONFIG_MISSING = 107,
    SR_BAD_TARGET = 140,
};
struct err *sr_failure(enum sr_failure_code code, const char *fmt, ...) PRINTF(2, 3) MUST_CHECK;
/* The same for a failed system call: no space left is always SR_NO_SPACE. */
struct err *sr_failure_errno(enum sr_failure_code code, int errnum, const char *fmt, ...) PRINTF(3, 4) MUST_CHECK;

/* For drivers over folders: device_config's location, opened. make: it may be missing. */
struct err *sr_folder_open(const struct value *config, bool make, int *ret_fd) MUST_CHECK;
