#pragma once
#include <stdbool.h>
#include "base/arena.h"
#include "base/map.h"
#include "base/value.h"
#include "cli/args.h"
#include "cli/fail.h"
#include "cli/link.h"
#include "cli/web.h"
#include "gen/model.h"

/*
 * One run of xe: what was asked for, the session with the server, and what has
 * been read from it. All that verbs make lives in the arena until the end.
 */
struct xe {
    struct arena *arena;
    struct args args;
    struct link_address address;
    struct web web;
    bool connected;
    const char *session;           /* "": the local socket needs none */
    struct buf calls;              /* for --debug-on-fail: method and outcome of each call */
    struct map *records;           /* reference -> struct value of its record, as read for printing */
    unsigned singles[CLASS_COUNT]; /* records read one by one; too many, and the whole class is read */
};

struct err *xe_login(struct xe *x) MUST_CHECK;
void xe_logout(struct xe *x);

/* A call with the session in front. The result lives in the arena. */
struct err *xe_call(
    struct xe *x, const char *method, const struct value *params, size_t n, struct value *ret) MUST_CHECK;
#define CALL(x, ret, method, ...)                                 \
    xe_call((x), (method), (const struct value[]){ __VA_ARGS__ }, \
        sizeof((const struct value[]){ __VA_ARGS__ }) / sizeof(struct value), (ret))
#define CALL0(x, ret, method) xe_call((x), (method), NULL, 0, (ret))
#define S(text) value_str(text)
#define B(truth) value_bool(truth)
#define N(number) value_int(number)

/*
 * The same as a task where the message has that form and progress=true was
 * given or the terminal can show a bar: Ctrl-C then cancels it on the server.
 */
struct err *xe_run(
    struct xe *x, const char *method, const struct value *params, size_t n, struct value *ret) MUST_CHECK;
#define RUN(x, ret, method, ...)                                 \
    xe_run((x), (method), (const struct value[]){ __VA_ARGS__ }, \
        sizeof((const struct value[]){ __VA_ARGS__ }) / sizeof(struct value), (ret))

/* Waits for the end of a task, showing progress; its result's text, then the task is destroyed. */
struct err *xe_task_wait(struct xe *x, const char *task, bool bar, const char **ret_result) MUST_CHECK;
bool xe_wants_bar(struct xe *x);
void progress_show(const char *what, double share); /* of a bar on stderr */
void progress_end(void);

struct err *xe_field(
    struct xe *x, const struct model_class *c, const char *ref, const char *field, struct value *ret) MUST_CHECK;
struct err *xe_record(struct xe *x, const struct model_class *c, const char *ref, struct value *ret) MUST_CHECK;
/* By uuid, or by name where that is one object's alone. "" and "OpaqueRef:NULL" are the null reference. */
struct err *xe_find(struct xe *x, const struct model_class *c, const char *text, const char **ret_ref) MUST_CHECK;

/* For printing: kept, so that a thousand VBDs of one VM ask once. NULL if there is no such object. */
const struct value *xe_known(struct xe *x, const struct model_class *c, const char *ref);

struct err *xe_open(struct xe *x, struct web *ret_web) MUST_CHECK; /* another connection, for a transfer */
const char *xe_query(
    struct xe *x, const char *path, const char *const *pairs, size_t n_pairs); /* with session, escaped */
