#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/*
 * QMP: the conversation with one QEMU. Answers are matched to calls by id;
 * events come at any time and go to a callback on the loop.
 *
 * What QEMU says is partly what the guest made it say, so lines are bounded
 * (1 MiB, 32 levels), and a malformed one ends the connection. Events that
 * happen while nobody is connected are lost: after connecting, ask
 * query-status rather than remember.
 */
struct loop;
struct qmp;

#define QMP_LINE_MAX (1024 * 1024)
#define QMP_DEPTH_MAX 32

typedef void qmp_event_fn(void *ctx, const char *event, json_t *data); /* data is borrowed, never NULL */
typedef void qmp_lost_fn(void *ctx); /* once, on the loop; qmp_free() is still the caller's to do */

/* [waits] for the greeting and enters command mode. Takes the socket, also on failure. */
struct err *qmp_open(struct loop *l, int fd, uint64_t deadline_us, qmp_event_fn *on_event, qmp_lost_fn *on_lost,
    void *ctx, struct qmp **ret_qmp) MUST_CHECK;
void qmp_free(struct qmp *q);
DEFINE_DROP(qmp)
bool qmp_is_lost(const struct qmp *q);

/*
 * [waits] One command. Takes args (NULL: none). fd >= 0 rides along, borrowed:
 * for getfd and add-fd. ret_value may be NULL; else the caller decrefs it.
 * QEMU's own refusals are INTERNAL_ERROR with its text; qmp_error_class()
 * tells them from a lost connection or a deadline.
 */
struct err *qmp_call(
    struct qmp *q, const char *command, json_t *args, int fd, uint64_t deadline_us, json_t **ret_value) MUST_CHECK;

/* True if QEMU itself refused (its answer was an error). */
bool qmp_refused(const struct err *e);

/* What one line says; for qmp.c and its tests. */
struct qmp_message {
    enum { QMP_GREETING, QMP_EVENT, QMP_RETURN, QMP_ERROR } kind;
    json_t *root;     /* owned: qmp_message_done() */
    const char *name; /* event's name, error's description; inside root */
    json_t *body;     /* event's data (may be NULL), returned value; inside root */
    int64_t id;       /* of a return or error; -1 if it carries none */
};
struct err *qmp_parse(const char *line, size_t len, struct qmp_message *ret) MUST_CHECK;
void qmp_message_done(struct qmp_message *m);

static inline void json_drop(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}
