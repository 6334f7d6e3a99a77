#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/*
 * What clients send to the core itself, and not to a disk: a dump of the
 * database, the content of a blob. The client hears 200 first, then its bytes
 * come through the gate; how it went stands in a task, the client's or a new
 * one. Whatever becomes of them, they are read to their end: a client that is
 * cut off while it sends never hears why.
 */
struct upload {
    struct core *core;
    struct arena *arena; /* for whoever takes it, until its end */
    const char *task;
    int64_t left; /* bytes that are still to come */
    int fd;
};

typedef struct err *upload_fn(struct upload *u, void *arg); /* [waits] */

/* Answers 200 and runs fn(u, arg), whose error is the task's, or refuses: 411 without a Content-Length. arg is in
 * `arena`, which is taken whatever happens. */
struct err *upload_start(struct call *c, const struct core_http_req *req, struct core_http_rep *rep, const char *label,
    upload_fn *fn, void *arg, struct arena *arena) MUST_CHECK;

/* At least one byte, unless it is the end (*ret_n 0). Fails when the client goes away, or says nothing for minutes, or
 * the task is cancelled. [waits] */
struct err *upload_read(struct upload *u, char *block, size_t size, size_t *ret_n) MUST_CHECK;

/* All of it into a new file of the core's own; *ret_fd (-1 before) is the caller's also when it fails, and so is the
 * name. The folder is on the disk of the database, which must never be without room: its share is taken at once, since
 * two that fit one by one may not together. [waits] */
struct err *upload_save(struct upload *u, int dir, const char *name, int *ret_fd) MUST_CHECK;
bool upload_has_room(int dir, int64_t bytes);
