#pragma once
#include "core/call.h"

/*
 * Roles and what they may do (protocol.md section 21). Each role includes all
 * weaker ones, so a check is one comparison; only map keys with roles of their
 * own, weaker or stronger than the map's, need a look at the arguments, and a
 * setter of the whole map at what it would change.
 */

/* RBAC_PERMISSION_DENIED [permission, text] */
struct err *rbac_check(const struct call *c, const struct value *args) MUST_CHECK;
struct err *rbac_check_role(const struct principal *who, enum role need, const char *permission) MUST_CHECK;

/* Every permission there is, with the weakest role that has it; names that are made are in the arena. */
typedef void permission_fn(void *arg, const char *name, enum role need);
void rbac_each(struct arena *a, permission_fn *fn, void *arg);

/* Names of all permissions of a role, as session.rbac_permissions lists them. */
size_t rbac_permissions(enum role role, struct arena *a, struct value **ret);
