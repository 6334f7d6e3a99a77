#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/value.h"

/*
 * The conversation with the agent in a guest (QEMU's guest agent): JSON lines
 * on a stream, one command at a time, fibers take turns.
 *
 * Every byte that comes is the guest's own choice. So an answer has a maximum
 * size and depth and a deadline, and what comes unasked is not read at all: it
 * stays in the socket until the guest is held up. After any failure the next
 * command first finds the thread again (guest-sync-delimited), over at most so
 * many bytes of whatever else the agent may have said.
 */
struct loop;
struct qga;

#define QGA_LINE_MAX (256 * 1024)
#define QGA_SKIP_MAX (1024 * 1024)

struct qga *qga_new(struct loop *l, int fd); /* takes the socket */
/* Conversations under way fail and end by themselves. NULL is fine. */
void qga_free(struct qga *q);
DEFINE_DROP(qga)

/*
 * [waits] One command. args is the JSON text of an object, or NULL. The value
 * lives in the arena; ret_value may be NULL. A command that has no answer when
 * it succeeds fails with the deadline.
 */
struct err *qga_call(struct qga *q, struct arena *a, const char *command, const char *args, uint64_t timeout_us,
    struct value *ret_value) MUST_CHECK;

bool qga_refused(const struct err *e); /* the agent itself said no */
bool qga_silent(const struct err *e);  /* it said nothing within the time */

/* What one line says: the value returned, or its refusal. For qga.c and its tests. */
struct err *qga_parse(struct arena *a, struct str line, struct value *ret_value) MUST_CHECK;
