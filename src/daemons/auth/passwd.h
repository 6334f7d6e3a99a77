#pragma once
#include <stdbool.h>
#include "base/arena.h"
#include "base/err.h"

/*
 * Passwords in a file of our own, for hosts that are thrown away: lines of
 * `user:crypt-hash[:group,group...]`. The user of the first line, and root,
 * are superusers.
 */
struct verdict {
    bool ok;
    bool superuser;
    const char *reason;        /* for the log, when not ok */
    const char *const *groups; /* n_groups of them */
    size_t n_groups;
};

/* Takes as long for a user that is not in the file as for one that is. */
struct err *passwd_check(
    struct arena *a, const char *path, const char *user, const char *password, struct verdict *ret) MUST_CHECK;

/* A fresh hash (yescrypt) of the password. */
struct err *passwd_hash(struct arena *a, const char *password, const char **ret_hash) MUST_CHECK;
