#include "metric/rrd.h"
#include <assert.h>
#include <math.h>
#include <string.h>
#include "base/mem.h"
#include "metric/rrd_private.h"

static const struct rrd_archive standard[] = {
    { RRD_AVERAGE, 120, 1, 0.5 },     /* 5 s for 10 minutes */
    { RRD_AVERAGE, 120, 12, 0.5 },    /* 1 min for 2 hours */
    { RRD_AVERAGE, 168, 720, 0.5 },   /* 1 h for a week */
    { RRD_AVERAGE, 366, 17280, 0.5 }, /* 1 day for a year */
};
static const struct rrd_archive with_extremes[] = {
    { RRD_AVERAGE, 120, 1, 0.5 },
    { RRD_AVERAGE, 120, 12, 1.0 },
    { RRD_MIN, 120, 12, 1.0 },
    { RRD_MAX, 120, 12, 1.0 },
    { RRD_AVERAGE, 168, 720, 1.0 },
    { RRD_MIN, 168, 720, 1.0 },
    { RRD_MAX, 168, 720, 1.0 },
    { RRD_AVERAGE, 366, 17280, 1.0 },
    { RRD_MIN, 366, 17280, 1.0 },
    { RRD_MAX, 366, 17280, 1.0 },
};

struct rrd *rrd_new_with(const struct rrd_archive *archives, size_t n)
{
    struct rrd *r = mem_new(struct rrd);

    r->n_archives = n < RRD_ARCHIVES_MAX ? n : RRD_ARCHIVES_MAX;
    for (size_t a = 0; a < r->n_archives; a++)
        r->archives[a] = archives[a];
    return r;
}

struct rrd *rrd_new(bool min_max)
{
    return min_max ? rrd_new_with(with_extremes, ARRAY_LEN(with_extremes))
                   : rrd_new_with(standard, ARRAY_LEN(standard));
}

static void source_free(struct rrd *r, struct source *s)
{
    for (size_t a = 0; a < r->n_archives; a++)
        free(s->columns[a].v);
    free(s->columns);
    free(s->name);
    free(s);
}

void rrd_free(struct rrd *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->sources.len; i++)
        source_free(r, r->sources.p[i]);
    vec_done(&r->sources);
    free(r);
}

/* ---- sources ---- */

size_t rrd_n_sources(const struct rrd *r)
{
    return r->sources.len;
}

struct rrd_source rrd_source(const struct rrd *r, size_t i)
{
    const struct source *s = r->sources.p[i];

    return (struct rrd_source){ s->name, s->type, s->min, s->max };
}

size_t rrd_find(const struct rrd *r, const char *name, size_t hint)
{
    if (hint < r->sources.len && strcmp(r->sources.p[hint]->name, name) == 0)
        return hint;
    for (size_t i = 0; i < r->sources.len; i++)
        if (strcmp(r->sources.p[i]->name, name) == 0)
            return i;
    return SIZE_MAX;
}

bool rrd_name_valid(const char *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    size_t len = strlen(name);

    return len > 0 && len <= RRD_NAME_MAX && strspn(name, good) == len;
}

/* Steps of the row under way that are over already. */
static uint32_t steps_over(const struct rrd *r, size_t a)
{
    return (uint32_t)(r->last_us / STEP_US % r->archives[a].steps);
}

size_t rrd_add(struct rrd *r, const struct rrd_source *s)
{
    if (!rrd_name_valid(s->name) || r->sources.len >= RRD_SOURCES_MAX)
        return SIZE_MAX;
    struct source *n = mem_new(struct source);
    *n = (struct source){
        .name = mem_strdup(s->name), .type = s->type, .min = s->min, .max = s->max, .last = NAN, .rate = NAN
    };
    n->columns = mem_new_array(r->n_archives, struct column);
    for (size_t a = 0; a < r->n_archives; a++) {
        n->columns[a].acc = NAN;
        n->columns[a].unknown = steps_over(r, a);
    }
    vec_push(&r->sources, n);
    return r->sources.len - 1;
}

void rrd_remove(struct rrd *r, size_t i)
{
    source_free(r, r->sources.p[i]);
    r->sources.len--;
    memmove(&r->sources.p[i], &r->sources.p[i + 1], (r->sources.len - i) * sizeof(r->sources.p[0]));
}

/* ---- rows ---- */

static double ring_at(const struct column *c, uint64_t age)
{
    if (age >= c->len)
        return NAN;
    assert(c->size);
    return c->v[(c->head + c->size - (uint32_t)age) % c->size];
}

static void ring_grow(struct column *c, uint32_t rows)
{
    uint32_t size = c->size ? c->size * 2 : 8;
    double *v = mem_new_array(size < rows ? size : rows, double);

    for (uint32_t age = 0; age < c->len; age++)
        v[c->len - 1 - age] = ring_at(c, age);
    free(c->v);
    c->v = v;
    c->size = size < rows ? size : rows;
    c->head = c->len ? c->len - 1 : c->size - 1;
}

void column_push(struct column *c, uint32_t rows, double v, uint64_t n)
{
    if (isnan(v) && (n >= rows || !c->len)) { /* nothing known is left */
        c->len = 0;
        return;
    }
    for (n = n < rows ? n : rows; n; n--) {
        if (c->len == c->size && c->size < rows)
            ring_grow(c, rows);
        assert(c->size);
        c->head = (c->head + 1) % c->size;
        c->v[c->head] = v;
        if (c->len < c->size)
            c->len++;
    }
}

static void consolidate(struct column *c, enum rrd_cf cf, double v, uint32_t n)
{
    if (isnan(v))
        c->unknown += n;
    else if (isnan(c->acc))
        c->acc = cf == RRD_AVERAGE ? v * n : v;
    else if (cf == RRD_AVERAGE)
        c->acc += v * n;
    else
        c->acc = cf == RRD_MIN ? fmin(c->acc, v) : fmax(c->acc, v);
}

static double row_value(const struct column *c, const struct rrd_archive *a)
{
    if (c->unknown > a->xff * a->steps || c->unknown >= a->steps)
        return NAN;
    return a->cf == RRD_AVERAGE ? c->acc / (a->steps - c->unknown) : c->acc;
}

/* n steps of the same value have ended, the first of them step number `first` since 1970. */
static void archive_steps(struct column *c, const struct rrd_archive *a, uint64_t first, uint64_t n, double v)
{
    uint64_t left = a->steps - first % a->steps;

    if (n >= left) {
        consolidate(c, a->cf, v, (uint32_t)left);
        column_push(c, a->rows, row_value(c, a), 1);
        n -= left;
        c->acc = NAN;
        c->unknown = 0;
        if (n >= a->steps)
            column_push(c, a->rows, v, n / a->steps);
        n %= a->steps;
    }
    if (n)
        consolidate(c, a->cf, v, (uint32_t)n);
}

static void steps_end(struct rrd *r, struct source *s, uint64_t first, uint64_t n, double v)
{
    for (size_t a = 0; n && a < r->n_archives; a++)
        archive_steps(&s->columns[a], &r->archives[a], first, n, v);
}

/* ---- updates ---- */

static double rate_of(const struct source *s, double v, uint64_t us)
{
    double rate = NAN;

    if (isnan(v) || us > (uint64_t)RRD_HEARTBEAT_S * 1000000)
        return NAN;
    if (s->type == RRD_GAUGE)
        rate = v;
    else if (s->type == RRD_ABSOLUTE)
        rate = v * 1e6 / (double)us;
    else if (v >= s->last) /* false if there is none */
        rate = (v - s->last) * 1e6 / (double)us;
    return isfinite(rate) && rate >= s->min && rate <= s->max ? rate : NAN;
}

static double step_value(const struct source *s)
{
    return s->known && s->known * 2 >= STEP_US ? s->sum / (double)s->known : NAN;
}

/* The source had this rate from `from` to `to`. */
static void source_advance(struct rrd *r, struct source *s, uint64_t from, uint64_t to)
{
    uint64_t step = from / STEP_US, last = to / STEP_US, end = step == last ? to : (step + 1) * STEP_US;
    bool known = !isnan(s->rate);

    if (known) {
        s->sum += s->rate * (double)(end - from);
        s->known += end - from;
    }
    if (step == last)
        return;
    steps_end(r, s, step, 1, step_value(s));
    steps_end(r, s, step + 1, last - step - 1, s->rate);
    s->known = known ? to - last * STEP_US : 0;
    s->sum = known ? s->rate * (double)s->known : 0;
}

/* The row under way at t, of which `over` steps had passed, when the clock has gone back to t from row `n` later. */
static void column_rewind(struct column *c, enum rrd_cf cf, uint64_t n, uint32_t was_over, uint32_t over)
{
    double row = n ? ring_at(c, n - 1) : NAN; /* the row was over already: its value stands for its beginning */
    uint32_t known = n ? (isnan(row) ? 0 : over) : was_over - c->unknown, kept = known < over ? known : over;

    if (n)
        c->acc = !kept ? NAN : cf == RRD_AVERAGE ? row * kept : row;
    else if (!kept)
        c->acc = NAN;
    else if (cf == RRD_AVERAGE)
        c->acc *= (double)kept / known;
    c->unknown = over - kept;
    n = n < c->len ? n : c->len;
    c->len -= (uint32_t)n;
    if (c->size)
        c->head = (c->head + c->size - (uint32_t)n) % c->size;
}

/* The clock went back: what lies ahead of it did not happen. */
static void rewind_to(struct rrd *r, uint64_t t_us)
{
    for (size_t i = 0; i < r->sources.len; i++) {
        struct source *s = r->sources.p[i];
        for (size_t a = 0; a < r->n_archives; a++) {
            uint64_t row_us = r->archives[a].steps * STEP_US;
            column_rewind(&s->columns[a], r->archives[a].cf, r->last_us / row_us - t_us / row_us, steps_over(r, a),
                (uint32_t)(t_us / STEP_US % r->archives[a].steps));
        }
        s->last = s->rate = NAN;
        s->sum = 0;
        s->known = 0;
    }
    r->last_us = t_us;
}

void rrd_update(struct rrd *r, uint64_t t_us, const double *values)
{
    if (!r->last_us) {
        r->last_us = t_us;
        for (size_t i = 0; i < r->sources.len; i++)
            for (size_t a = 0; a < r->n_archives; a++)
                r->sources.p[i]->columns[a].unknown = steps_over(r, a);
    }
    if (t_us < r->last_us)
        rewind_to(r, t_us);
    for (size_t i = 0; i < r->sources.len; i++) {
        struct source *s = r->sources.p[i];
        if (t_us > r->last_us) {
            s->rate = rate_of(s, values[i], t_us - r->last_us);
            source_advance(r, s, r->last_us, t_us);
        }
        s->last = values[i];
    }
    r->last_us = t_us;
}

uint64_t rrd_last_update(const struct rrd *r)
{
    return r->last_us;
}

/* ---- reading ---- */

size_t rrd_n_archives(const struct rrd *r)
{
    return r->n_archives;
}

struct rrd_archive rrd_archive(const struct rrd *r, size_t a)
{
    return r->archives[a];
}

uint64_t rrd_last_row(const struct rrd *r, size_t a)
{
    uint64_t row_s = (uint64_t)r->archives[a].steps * RRD_STEP_S;

    return r->last_us / 1000000 / row_s * row_s;
}

double rrd_at(const struct rrd *r, size_t a, size_t source, uint64_t row_time)
{
    uint64_t row_s = (uint64_t)r->archives[a].steps * RRD_STEP_S, last = rrd_last_row(r, a);

    if (row_time > last || (last - row_time) % row_s)
        return NAN;
    return ring_at(&r->sources.p[source]->columns[a], (last - row_time) / row_s);
}

struct rrd_progress rrd_progress(const struct rrd *r, size_t a, size_t source)
{
    const struct source *s = r->sources.p[source];
    const struct column *c = &s->columns[a];
    uint64_t over = r->last_us % STEP_US;

    return (struct rrd_progress){
        .last = s->last,
        .sum = s->sum / 1e6,
        .unknown_s = (double)(over > s->known ? over - s->known : 0) / 1e6,
        .row = c->acc,
        .unknown = c->unknown,
        .last_rate = s->rate,
    };
}
