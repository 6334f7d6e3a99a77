#include "metric/export.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"

#define SPILL (256U << 10)
#define TEXT_MAX (512U << 20)

/* ---- the sink ---- */

void sink_init(struct sink *s)
{
    *s = (struct sink){ .fd = -1 };
    buf_init(&s->b, TEXT_MAX);
}

void sink_done(struct sink *s)
{
    buf_done(&s->b);
    fd_drop(&s->fd);
    err_drop(&s->failed);
}

static void spill(struct sink *s)
{
    if (s->failed)
        return buf_clear(&s->b);
    if (s->fd < 0)
        s->fd = memfd_create("figures", MFD_CLOEXEC);
    s->failed = s->fd < 0 ? err_errno(errno, "make a file in memory") : fd_write_all(s->fd, s->b.p, s->b.len);
    buf_clear(&s->b);
}

static void maybe_spill(struct sink *s)
{
    if (s->b.len >= SPILL)
        spill(s);
}

struct err *sink_end(struct sink *s, int *ret_fd)
{
    if (s->fd >= 0 && s->b.len)
        spill(s);
    TRY(MOVE(s->failed));
    if (s->fd >= 0 && lseek(s->fd, 0, SEEK_SET) < 0)
        return err_errno(errno, "rewind a file in memory");
    *ret_fd = fd_take(&s->fd);
    return NULL;
}

void number_text(double v, char ret_text[32])
{
    if (isnan(v))
        memcpy(ret_text, "NaN", 4);
    else if (isinf(v))
        snprintf(ret_text, 32, "%sInfinity", v < 0 ? "-" : "");
    else if (v == 0)
        memcpy(ret_text, "0.0", 4);
    else
        snprintf(ret_text, 32, "%.15g", v);
}

/* ---- rows of many objects ---- */

static const char *const cf_names[] = { [RRD_AVERAGE] = "AVERAGE", [RRD_MIN] = "MIN", [RRD_MAX] = "MAX" };
static const char *const type_names[] = { [RRD_GAUGE] = "GAUGE", [RRD_DERIVE] = "DERIVE", [RRD_ABSOLUTE] = "ABSOLUTE" };

/* Which rows: those of the finest archive that is coarse enough and reaches back to the start. */
struct choice {
    uint64_t steps, rows, first, last; /* times of the oldest and newest row */
    uint64_t n;
};

static void choose_archive(const struct rrd *r, const struct export_query *q, int64_t start, struct choice *ret)
{
    struct rrd_archive best = { 0 };

    for (size_t a = 0; a < rrd_n_archives(r); a++) {
        struct rrd_archive x = rrd_archive(r, a);
        int64_t oldest = (int64_t)rrd_last_row(r, a) - (int64_t)x.rows * x.steps * RRD_STEP_S;
        bool fits = (uint64_t)x.steps * RRD_STEP_S >= q->interval && start >= oldest;

        if (fits || x.steps > best.steps)
            best = x;
        if (fits)
            break; /* they are in the order of their steps */
    }
    *ret = (struct choice){ .steps = best.steps, .rows = best.rows };
}

static void choose(const struct rrd *r, const struct export_query *q, struct choice *ret)
{
    uint64_t now = rrd_last_update(r) / 1000000;
    int64_t start = q->start < 0 ? (int64_t)now + (q->start < -(int64_t)now ? -(int64_t)now : q->start) : q->start;

    choose_archive(r, q, start, ret);
    assert(ret->steps); /* there is an archive, and it has steps */
    uint64_t row_s = ret->steps * RRD_STEP_S, span = ret->rows * row_s;
    ret->last = now / row_s * row_s;
    if (start > INT64_MAX - (int64_t)row_s)
        start = INT64_MAX - (int64_t)row_s;
    ret->first = ((uint64_t)start / row_s + 1) * row_s;
    if (ret->first + span <= ret->last)
        ret->first = ret->last - span + row_s;
    ret->n = ret->first <= ret->last ? (ret->last - ret->first) / row_s + 1 : 0;
}

/* fn for each column, in order. */
typedef void column_fn(struct sink *s, bool json, bool first, const struct export_object *o, size_t archive,
    size_t source, uint64_t row_time);

static size_t each_column(struct sink *s, const struct export_query *q, const struct export_object *objects, size_t n,
    const struct choice *c, column_fn *fn, uint64_t row_time)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < rrd_n_archives(objects[i].rrd); a++) {
            struct rrd_archive x = rrd_archive(objects[i].rrd, a);
            if (x.steps != c->steps || !(q->cfs & (1U << x.cf)))
                continue;
            for (size_t k = 0; k < rrd_n_sources(objects[i].rrd); k++) {
                if (fn)
                    fn(s, q->json, count == 0, &objects[i], a, k, row_time);
                count++;
            }
        }
    return count;
}

static void put_legend(struct sink *s, bool json, bool first, const struct export_object *o, size_t archive,
    size_t source, uint64_t row_time UNUSED)
{
    if (json)
        buf_add_c(&s->b, first ? "\"" : ",\"");
    else
        buf_add_c(&s->b, "<entry>");
    buf_printf(&s->b, "%s:%s:%s:%s", cf_names[rrd_archive(o->rrd, archive).cf], o->kind, o->uuid,
        rrd_source(o->rrd, source).name);
    buf_add_c(&s->b, json ? "\"" : "</entry>");
    maybe_spill(s);
}

static void put_value(struct sink *s, bool json, bool first, const struct export_object *o, size_t archive,
    size_t source, uint64_t row_time)
{
    char text[32];

    number_text(rrd_at(o->rrd, archive, source, row_time), text);
    if (json)
        buf_add_c(&s->b, first ? "\"" : ",\"");
    else
        buf_add_c(&s->b, "<v>");
    buf_add_c(&s->b, text);
    buf_add_c(&s->b, json ? "\"" : "</v>");
}

void export_updates(struct sink *s, const struct export_query *q, const struct export_object *objects, size_t n)
{
    struct choice c = { .steps = 1, .first = RRD_STEP_S };

    if (n)
        choose(objects[0].rrd, q, &c);
    uint64_t row_s = c.steps * RRD_STEP_S;
    size_t columns = each_column(s, q, objects, n, &c, NULL, 0);
    buf_printf(&s->b,
        q->json ? "{\"meta\":{\"start\":\"%" PRIu64 "\",\"step\":\"%" PRIu64 "\",\"end\":\"%" PRIu64
                  "\",\"rows\":\"%" PRIu64 "\",\"columns\":\"%zu\",\"legend\":["
                : "<xport><meta><start>%" PRIu64 "</start><step>%" PRIu64 "</step><end>%" PRIu64 "</end><rows>%" PRIu64
                  "</rows><columns>%zu</columns><legend>",
        c.first, row_s, c.last, c.n, columns);
    each_column(s, q, objects, n, &c, put_legend, 0);
    buf_add_c(&s->b, q->json ? "]},\"data\":[" : "</legend></meta><data>");
    for (uint64_t i = 0; i < c.n; i++) {
        uint64_t t = c.last - i * row_s;
        buf_printf(&s->b, q->json ? "%s{\"t\":\"%" PRIu64 "\",\"values\":[" : "%s<row><t>%" PRIu64 "</t>",
            q->json && i ? "," : "", t);
        each_column(s, q, objects, n, &c, put_value, t);
        buf_add_c(&s->b, q->json ? "]}" : "</row>");
        maybe_spill(s);
    }
    buf_add_c(&s->b, q->json ? "]}" : "</data></xport>");
}

/* ---- a whole database ---- */

/* One scalar as an element or a member; names are ours and need no escapes. */
static void scalar(struct sink *s, bool json, const char *before, const char *name, const char *text)
{
    if (json)
        buf_printf(&s->b, "%s\"%s\":\"%s\"", before, name, text);
    else
        buf_printf(&s->b, "<%s>%s</%s>", name, text, name);
}

static void number(struct sink *s, bool json, const char *before, const char *name, double v)
{
    char text[32];

    number_text(v, text);
    scalar(s, json, before, name, text);
}

static void whole(struct sink *s, bool json, const char *before, const char *name, uint64_t v)
{
    char text[32];

    snprintf(text, sizeof(text), "%" PRIu64, v);
    scalar(s, json, before, name, text);
}

static void dump_source(struct sink *s, const struct rrd *r, size_t i, bool json)
{
    struct rrd_source d = rrd_source(r, i);
    struct rrd_progress p = rrd_progress(r, 0, i);

    buf_add_c(&s->b, !json ? "<ds>" : i ? ",{" : "{");
    scalar(s, json, "", "name", d.name);
    scalar(s, json, ",", "type", type_names[d.type]);
    whole(s, json, ",", "minimal_heartbeat", RRD_HEARTBEAT_S);
    number(s, json, ",", "min", d.min);
    number(s, json, ",", "max", d.max);
    number(s, json, ",", "last_ds", p.last);
    number(s, json, ",", "value", p.sum);
    whole(s, json, ",", "unknown_sec", (uint64_t)p.unknown_s);
    buf_add_c(&s->b, json ? "}" : "</ds>");
}

static void dump_progress(struct sink *s, const struct rrd *r, size_t a, bool json)
{
    buf_add_c(&s->b, json ? "\"cdp_prep\":{\"ds\":[" : "<cdp_prep>");
    for (size_t i = 0; i < rrd_n_sources(r); i++) {
        struct rrd_progress p = rrd_progress(r, a, i);
        buf_add_c(&s->b, !json ? "<ds>" : i ? ",{" : "{");
        number(s, json, "", "primary_value", rrd_at(r, a, i, rrd_last_row(r, a)));
        number(s, json, ",", "secondary_value", 0);
        number(s, json, ",", "value", p.row);
        whole(s, json, ",", "unknown_datapoints", p.unknown);
        buf_add_c(&s->b, json ? "}" : "</ds>");
    }
    buf_add_c(&s->b, json ? "]}," : "</cdp_prep>");
}

static void dump_rows(struct sink *s, const struct rrd *r, size_t a, bool json)
{
    struct rrd_archive x = rrd_archive(r, a);
    char text[32];

    buf_add_c(&s->b, json ? "\"database\":[" : "<database>");
    for (uint64_t k = x.rows; k-- > 0;) { /* oldest first */
        uint64_t age_s = k * x.steps * RRD_STEP_S, last = rrd_last_row(r, a);
        buf_add_c(&s->b, !json ? "<row>" : k + 1 < x.rows ? ",[" : "[");
        for (size_t i = 0; i < rrd_n_sources(r); i++) {
            number_text(age_s <= last ? rrd_at(r, a, i, last - age_s) : NAN, text);
            buf_printf(&s->b, json ? "%s\"%s\"" : "%s<v>%s</v>", json && i ? "," : "", text);
        }
        buf_add_c(&s->b, json ? "]" : "</row>");
        maybe_spill(s);
    }
    buf_add_c(&s->b, json ? "]" : "</database>");
}

void export_dump(struct sink *s, const struct rrd *r, bool json)
{
    buf_add_c(&s->b, json ? "{" : "<?xml version=\"1.0\"?><rrd>");
    scalar(s, json, "", "version", "0003");
    whole(s, json, ",", "step", RRD_STEP_S);
    whole(s, json, ",", "lastupdate", rrd_last_update(r) / 1000000);
    buf_add_c(&s->b, json ? ",\"ds\":[" : "");
    for (size_t i = 0; i < rrd_n_sources(r); i++)
        dump_source(s, r, i, json);
    buf_add_c(&s->b, json ? "],\"rra\":[" : "");
    for (size_t a = 0; a < rrd_n_archives(r); a++) {
        struct rrd_archive x = rrd_archive(r, a);
        buf_add_c(&s->b, !json ? "<rra>" : a ? ",{" : "{");
        scalar(s, json, "", "cf", cf_names[x.cf]);
        whole(s, json, ",", "pdp_per_row", x.steps);
        buf_add_c(&s->b, json ? ",\"params\":{" : "<params>");
        number(s, json, "", "xff", x.xff);
        buf_add_c(&s->b, json ? "}," : "</params>");
        dump_progress(s, r, a, json);
        dump_rows(s, r, a, json);
        buf_add_c(&s->b, json ? "}" : "</rra>");
    }
    buf_add_c(&s->b, json ? "]}" : "</rrd>");
}
