/*
 * The file of a round-robin database:
 *
 *     "RNYRRD1\n"  u64 last update (us)  u32 archives  u32 sources
 *     per archive: u32 cf, rows, steps; f64 xff
 *     per source:  u32 length, name; u32 type; f64 min, max, last, sum; u64 known us
 *                  per archive: f64 row under way; u32 unknown; u32 length; f64 rows, newest first
 *     u64 checksum of all before it
 */
#include <math.h>
#include <string.h>
#include "base/bytes.h"
#include "base/mem.h"
#include "metric/rrd.h"
#include "metric/rrd_private.h"

#define MAGIC "RNYRRD1\n"
#define ROWS_MAX 100000
#define STEPS_MAX 1000000

static void put_u32(struct buf *b, uint32_t v)
{
    char p[4];

    le32_put(p, v);
    buf_add(b, p, sizeof(p));
}

static void put_u64(struct buf *b, uint64_t v)
{
    char p[8];

    le64_put(p, v);
    buf_add(b, p, sizeof(p));
}

static void put_f64(struct buf *b, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    put_u64(b, bits);
}

static uint64_t checksum(const char *p, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: against torn files, not against forgers */

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)p[i]) * 0x100000001b3u;
    return h;
}

static void put_column(struct buf *b, const struct column *c)
{
    put_f64(b, c->acc);
    put_u32(b, c->unknown);
    put_u32(b, c->len);
    for (uint32_t age = 0; age < c->len; age++)
        put_f64(b, c->v[(c->head + c->size - age) % c->size]);
}

void rrd_encode(const struct rrd *r, struct buf *b)
{
    size_t start = b->len;

    buf_add_c(b, MAGIC);
    put_u64(b, r->last_us);
    put_u32(b, (uint32_t)r->n_archives);
    put_u32(b, (uint32_t)r->sources.len);
    for (size_t a = 0; a < r->n_archives; a++) {
        put_u32(b, r->archives[a].cf);
        put_u32(b, r->archives[a].rows);
        put_u32(b, r->archives[a].steps);
        put_f64(b, r->archives[a].xff);
    }
    for (size_t i = 0; i < r->sources.len; i++) {
        const struct source *s = r->sources.p[i];
        put_u32(b, (uint32_t)strlen(s->name));
        buf_add_c(b, s->name);
        put_u32(b, s->type);
        put_f64(b, s->min);
        put_f64(b, s->max);
        put_f64(b, s->last);
        put_f64(b, s->sum);
        put_u64(b, s->known);
        for (size_t a = 0; a < r->n_archives; a++)
            put_column(b, &s->columns[a]);
    }
    if (!b->overflow)
        put_u64(b, checksum(b->p + start, b->len - start));
}

/* Reads past the end are zeros, and remembered. */
struct reader {
    struct str in;
    bool bad;
};

static const char *take(struct reader *in, size_t n)
{
    const char *p = in->in.p;

    if (in->bad || in->in.len < n) {
        in->bad = true;
        return NULL;
    }
    in->in.p += n;
    in->in.len -= n;
    return p;
}

static uint32_t get_u32(struct reader *in)
{
    const char *p = take(in, 4);

    return p ? le32_get(p) : 0;
}

static uint64_t get_u64(struct reader *in)
{
    const char *p = take(in, 8);

    return p ? le64_get(p) : 0;
}

static double get_f64(struct reader *in)
{
    uint64_t bits = get_u64(in);
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static void get_column(struct reader *in, struct column *c, const struct rrd_archive *a, uint32_t over)
{
    uint32_t len;

    c->acc = get_f64(in);
    c->unknown = get_u32(in);
    len = get_u32(in);
    if (c->unknown > over || (c->unknown < over && isnan(c->acc)) || len > a->rows || in->in.len / 8 < len) {
        in->bad = true;
        return;
    }
    if (!len)
        return;
    c->v = mem_new_array(len, double);
    c->len = c->size = len;
    c->head = len - 1;
    for (uint32_t age = 0; age < len; age++)
        c->v[len - 1 - age] = get_f64(in);
}

static void get_source(struct reader *in, struct rrd *r)
{
    char name[RRD_NAME_MAX + 1] = "";
    uint32_t len = get_u32(in);
    const char *p = len <= RRD_NAME_MAX ? take(in, len) : NULL;
    struct rrd_source made = { .name = name };

    if (p)
        memcpy(name, p, len);
    made.type = get_u32(in);
    made.min = get_f64(in);
    made.max = get_f64(in);
    if (in->bad || strlen(name) != len || made.type > RRD_ABSOLUTE || rrd_find(r, name, 0) != SIZE_MAX ||
        rrd_add(r, &made) == SIZE_MAX) {
        in->bad = true;
        return;
    }
    struct source *s = r->sources.p[r->sources.len - 1];
    s->last = get_f64(in);
    s->sum = get_f64(in);
    s->known = get_u64(in);
    if (s->known > r->last_us % STEP_US)
        in->bad = true;
    for (size_t a = 0; !in->bad && a < r->n_archives; a++)
        get_column(in, &s->columns[a], &r->archives[a], (uint32_t)(r->last_us / STEP_US % r->archives[a].steps));
}

static void get_archive(struct reader *in, struct rrd *r)
{
    struct rrd_archive a = { .cf = get_u32(in), .rows = get_u32(in), .steps = get_u32(in), .xff = get_f64(in) };

    if (a.cf > RRD_MAX || !a.rows || a.rows > ROWS_MAX || !a.steps || a.steps > STEPS_MAX || !(a.xff >= 0) || a.xff > 1)
        in->bad = true;
    r->archives[r->n_archives++] = a;
}

struct err *rrd_decode(struct str in, struct rrd **ret_rrd)
{
    AUTO(rrd_drop) struct rrd *r = NULL;
    size_t body = in.len >= 8 ? in.len - 8 : 0;

    if (in.len < 32 || in.len > RRD_ENCODED_MAX || memcmp(in.p, MAGIC, 8) != 0)
        return err_internal("no file of figures that this version reads");
    if (le64_get(in.p + body) != checksum(in.p, body))
        return err_internal("file of figures is torn");
    struct reader rd = { { in.p + 8, body - 8 }, false };
    uint64_t last_us = get_u64(&rd);
    uint32_t n_archives = get_u32(&rd), n_sources = get_u32(&rd);

    if (!n_archives || n_archives > RRD_ARCHIVES_MAX || n_sources > RRD_SOURCES_MAX || last_us > INT64_MAX)
        return err_internal("file of figures makes no sense");
    r = rrd_new_with(NULL, 0);
    r->last_us = last_us;
    for (uint32_t a = 0; !rd.bad && a < n_archives; a++)
        get_archive(&rd, r);
    for (uint32_t i = 0; !rd.bad && i < n_sources; i++)
        get_source(&rd, r);
    if (rd.bad || rd.in.len)
        return err_internal("file of figures makes no sense");
    *ret_rrd = MOVE(r);
    return NULL;
}
