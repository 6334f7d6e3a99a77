#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "metric/rrd.h"

/*
 * Figures as clients read them (protocol.md 11.2 and 11.3): the rows of many
 * objects side by side, and one object's whole database in the form of
 * `rrdtool dump`; each as XML or as JSON with every scalar a string.
 *
 * A text goes to memory, and once it is long to an anonymous file, so a year of
 * a thousand VMs does not fill the process.
 */
struct sink {
    struct buf b;
    int fd;             /* owned; -1: everything is in b */
    struct err *failed; /* owned; the first error */
};

void sink_init(struct sink *s);
void sink_done(struct sink *s); /* the AUTO of a sink */
/* The end: either the text is in s->b and *ret_fd is -1, or all of it is in the file *ret_fd (caller's), at its start.
 */
struct err *sink_end(struct sink *s, int *ret_fd) MUST_CHECK;

struct export_object {
    const char *kind; /* "host", "vm", "sr" */
    const char *uuid;
    const struct rrd *rrd;
};

struct export_query {
    int64_t start;     /* seconds since 1970; negative: before the last update */
    uint64_t interval; /* least seconds per row */
    unsigned cfs;      /* 1 << enum rrd_cf, several */
    bool json;
};

/* The archives are chosen by the first object's. */
void export_updates(struct sink *s, const struct export_query *q, const struct export_object *objects, size_t n);
void export_dump(struct sink *s, const struct rrd *r, bool json);

/* Up to 15 significant digits, 0.0, NaN, Infinity, -Infinity. */
void number_text(double v, char ret_text[32]);
