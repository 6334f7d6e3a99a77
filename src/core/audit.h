#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/*
 * The audit log: who asked for which change, from where, and how it ended. One
 * line per call, in a file of the core's own folder, which goes round a ring of
 * files. A line is written before its call is answered, and not forced to the
 * disk. No secret gets in: parameters of messages that carry one are left out,
 * and so is what a map has under a name that sounds like one.
 */
struct audit;

struct audit *audit_new(const char *dir); /* NULL: no log is kept */
void audit_free(struct audit *a);

/* Is that a change? Getters, and what only looks or waits, are none. */
bool audit_wants(const struct msg *m);
/* The parameters as the line shows them, in the call's arena. Before the call: it may destroy what they name. */
const char *audit_params(const struct call *c, const struct value *args);
/* The call ended. e is borrowed. */
void audit_call(const struct call *c, const char *params, const struct err *e);
/* An HTTP action was asked for. */
void audit_action(struct core *c, const struct core_http_req *req, const struct principal *who, unsigned status);

/* GET /audit_log. [waits] */
struct err *audit_http(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep) MUST_CHECK;
