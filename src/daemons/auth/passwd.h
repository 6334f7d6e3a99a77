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

/*
 * Gives a superuser another password, its line's groups and the others' lines as
 * they were; durable, and the file is at any time the old or the new one. Not
 * v.ok: the old password is wrong, or the user is no superuser. Else *ret_refused
 * says why the new one was not taken; NULL: it was.
 */
struct err *passwd_change(struct arena *a, const char *path, const char *user, const char *old, const char *password,
    struct verdict *ret, const char **ret_refused) MUST_CHECK;

/* Why nobody may have this password; NULL: one may. */
const char *passwd_refused(const char *password);

/* A fresh hash (yescrypt) of the password. */
struct err *passwd_hash(struct arena *a, const char *password, const char **ret_hash) MUST_CHECK;
