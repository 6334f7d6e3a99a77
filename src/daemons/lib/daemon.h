#pragma once
#include "base/err.h"
#include "base/loop.h"

/*
 * What the start of every daemon has in common.
 */

/* Starts the log (level from the environment's RUNNYMEDE_LOG), ignores SIGPIPE, makes a loop that SIGTERM and SIGINT
 * stop. */
struct err *daemon_start(const char *program, struct loop **ret_loop) MUST_CHECK;

/* For processes that serve many calls: a few MiB of freed memory stay, or each burst would fault them in anew. */
void daemon_keep_memory(void);

/*
 * The path of runnymede-NAME: in bin_dir if that is given, else beside this
 * program, else in the neighbouring folder NAME (the build tree). Caller frees.
 */
struct err *daemon_find(const char *bin_dir, const char *name, char **ret_path) MUST_CHECK;

/* uid and gid of a system user. */
struct err *daemon_user(const char *name, unsigned *ret_uid, unsigned *ret_gid) MUST_CHECK;

/* Tells a supervisor or systemd (NOTIFY_SOCKET) that this daemon serves. */
void daemon_ready(void);

/* Prints "program: error" and frees e; the exit code. */
int daemon_fail(const char *program, struct err *e);
