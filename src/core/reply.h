#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/*
 * The text of one answer. What is short travels inside the message to the gate;
 * what is long goes, piece by piece, into a sealed memfd, so that an answer of
 * any length takes little memory of ours, and stays in the processor's cache
 * until it is written.
 */
struct reply {
    struct buf text; /* the newest part; struct call's raw points to it */
    int fd;          /* owned; -1 while all of it is in `text` */
    size_t spilled;  /* bytes in fd */
    struct err *failed;
};

void reply_init(struct reply *r);
void reply_done(struct reply *r);
void reply_clear(struct reply *r);  /* starts over: an error is told instead */
void reply_spill(struct buf *text); /* of a reply: between two records, a good moment to move a long part away */
struct err *reply_check(const struct reply *r) MUST_CHECK; /* INTERNAL_ERROR if something got lost, or is too much */

/* Ends it: *ret_body (in a) where it is short, else *ret_fd (owned by the caller). */
struct err *reply_end(struct reply *r, struct arena *a, struct str *ret_body, int *ret_fd) MUST_CHECK;
