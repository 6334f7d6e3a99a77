#pragma once
#include "daemons/lib/config.h"

/*
 * Which daemons make a host, and with what arguments: the configuration turned
 * into explicit options.
 */
#define DAEMONS_N 6
#define DAEMON_ARGS_MAX 40

struct daemon_plan {
    const char *name;                /* "gate", "core", "host", "storage", "net", "metric" */
    char *argv[DAEMON_ARGS_MAX + 1]; /* owned, NULL at the end */
    size_t n_args;
};

struct err *plan_make(const struct config *c, struct daemon_plan ret_plans[DAEMONS_N]) MUST_CHECK;
void plan_done(struct daemon_plan plans[DAEMONS_N]);

/* The folders that daemons expect, with their owners. What exists is kept. */
struct err *plan_folders(const struct config *c) MUST_CHECK;
