#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

/*
 * A round-robin database, pure code: the history of one object's data sources,
 * in archives that grow coarser with age (protocol.md 11.1).
 *
 * Time is cut into steps on the grid of the wall clock. A source's rate is
 * taken as constant between two updates; a step's value is the mean of its
 * known part, unknown if less than half of it is known. A row of an archive
 * consolidates so many steps, and is unknown if more than a share of xff of
 * them is. A row is named by the time at its end.
 *
 * What was never known takes no memory: columns grow with what they hold.
 */
enum rrd_type { RRD_GAUGE, RRD_DERIVE, RRD_ABSOLUTE };
enum rrd_cf { RRD_AVERAGE, RRD_MIN, RRD_MAX };

struct rrd_archive {
    enum rrd_cf cf;
    uint32_t rows, steps; /* steps per row */
    double xff;
};

struct rrd_source {
    const char *name; /* up to RRD_NAME_MAX characters of those that an identifier has, and '-' */
    enum rrd_type type;
    double min, max; /* of the rate; outside it is unknown. -INFINITY, INFINITY: any */
};

#define RRD_STEP_S 5
#define RRD_HEARTBEAT_S 300 /* further apart, two updates know nothing of the time between */
#define RRD_NAME_MAX 47
#define RRD_SOURCES_MAX 4096
#define RRD_ARCHIVES_MAX 16

struct rrd;

/* The four archives every object has; with min_max (VMs only) ten. */
struct rrd *rrd_new(bool min_max);
struct rrd *rrd_new_with(const struct rrd_archive *archives, size_t n);
void rrd_free(struct rrd *r);
DEFINE_DROP(rrd)

/* Sources are numbered from 0; removing one moves up those behind it. */
size_t rrd_n_sources(const struct rrd *r);
struct rrd_source rrd_source(const struct rrd *r, size_t i);         /* name valid until the source is removed */
size_t rrd_find(const struct rrd *r, const char *name, size_t hint); /* SIZE_MAX: none; hint: where to look first */
bool rrd_name_valid(const char *name);
/* The number of the new source; SIZE_MAX if the name is not valid or there are too many. */
size_t rrd_add(struct rrd *r, const struct rrd_source *s);
void rrd_remove(struct rrd *r, size_t i);

/*
 * Values as read at t (microseconds since 1970), one per source, NAN where
 * there is none: a level (gauge), a counter's state (derive; falling, it
 * begins anew), or what came since the last update (absolute). A clock that
 * went back takes the rows that lie ahead of it away.
 */
void rrd_update(struct rrd *r, uint64_t t_us, const double *values);
uint64_t rrd_last_update(const struct rrd *r); /* microseconds; 0: never */

size_t rrd_n_archives(const struct rrd *r);
struct rrd_archive rrd_archive(const struct rrd *r, size_t a);
uint64_t rrd_last_row(const struct rrd *r, size_t a);                           /* seconds: time of the newest row */
double rrd_at(const struct rrd *r, size_t a, size_t source, uint64_t row_time); /* NAN where nothing is known */

/* What the dump of rrdtool shows besides. */
struct rrd_progress {
    double last;      /* value of the last update, as read; NAN: none */
    double sum;       /* of the step under way: rate times seconds known */
    double unknown_s; /* of it */
    double row;       /* of the row under way: what was consolidated so far, NAN: nothing known */
    uint32_t unknown; /* steps of it */
    double last_rate; /* between the last two updates */
};
struct rrd_progress rrd_progress(const struct rrd *r, size_t a, size_t source);

/* The file's form: versioned, with a checksum. Decoding trusts nothing. */
void rrd_encode(const struct rrd *r, struct buf *b);
struct err *rrd_decode(struct str in, struct rrd **ret_rrd) MUST_CHECK;
#define RRD_ENCODED_MAX (64U << 20)
