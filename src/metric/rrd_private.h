#pragma once
#include "base/vec.h"
#include "metric/rrd.h"

/* Inside of rrd.c and its codec. */
#define STEP_US ((uint64_t)RRD_STEP_S * 1000000)

/* One source's rows in one archive, and the row under way. */
struct column {
    double *v; /* owned; a ring of `size`, the newest at `head` */
    uint32_t len, size, head;
    double acc;       /* sum, least or greatest of the known steps */
    uint32_t unknown; /* steps of the row under way */
};

struct source {
    char *name; /* owned */
    enum rrd_type type;
    double min, max;
    double last; /* as read */
    double rate;
    double sum;             /* of the step under way, rate times us known */
    uint64_t known;         /* us */
    struct column *columns; /* owned, one per archive */
};

struct rrd {
    uint64_t last_us;
    size_t n_archives;
    struct rrd_archive archives[RRD_ARCHIVES_MAX];
    VEC(struct source *) sources; /* owned */
};

/* Appends n equal rows to a ring of at most `rows`. */
void column_push(struct column *c, uint32_t rows, double v, uint64_t n);
