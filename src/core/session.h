#pragma once
#include "core/call.h"

/* Who is behind a session reference. SESSION_INVALID [ref]. Marks it as used. */
struct err *session_find(struct core *c, const char *ref, struct arena *a, struct principal *ret) MUST_CHECK;
/* Checks user and password and makes a session (HTTP basic authentication makes a short one). [waits] */
struct err *session_login(struct core *c, struct arena *a, const char *user, const char *password,
    const char *originator, bool local, const char **ret_ref) MUST_CHECK;
void session_end(struct core *c, const char *ref);
void session_collect(struct core *c);
void session_done(struct core *c); /* frees what is known beside the rows */
