#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/*
 * /host_backup and /host_restore: all that the core keeps, as one stream
 * (core/pack.h) of
 *
 *     version         what made it, for whom, when
 *     database.xml    store/dump.h
 *     blobs/<uuid>    content of blobs
 *     certs/<uuid>    certificates of others that the pool trusts
 *     crls/<name>     revocation lists
 *
 * What other processes keep is not in it: the key of the front door, passwords,
 * the settings of the daemons. The core may not read them, and who restores
 * must not be able to set them.
 *
 * A restore first reads all of a stream into a folder beside; only a whole one
 * of this or an earlier version goes on. Naming that folder `ready` decides it:
 * whatever dies from there on, the next start finishes it, once.
 */
struct err *host_backup_download(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep) MUST_CHECK;
struct err *host_backup_restore(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep) MUST_CHECK;

/* A restore that was decided is done; what others left goes. Before anything else is done with the database. [waits] */
struct err *host_backup_catch_up(struct core *c) MUST_CHECK;

/* What the two halves share. */
#define HOST_BACKUP_VERSION "runnymede-host-backup 1\n"
#define HOST_BACKUP_FAMILY "runnymede-host-backup "

struct host_backup_place {
    const char *kind;                  /* the folder's name in a backup */
    const char *path;                  /* where it is; NULL: nowhere */
    bool (*is_name)(const char *name); /* of a file in it */
};
#define HOST_BACKUP_PLACES 3
void host_backup_places(const struct core *c, struct arena *a, struct host_backup_place ret_places[HOST_BACKUP_PLACES]);

/* The folder for what comes and goes, made if need be; the caller's. */
struct err *host_backup_spool(const struct core *c, int *ret_fd) MUST_CHECK;
