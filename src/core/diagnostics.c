/* Diagnostics: what this process and its front door know of themselves. */
#include <fcntl.h>
#include <malloc.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/fd.h"
#include "core/call.h"
#include "gen/ipc_door.h"

#define WORD sizeof(void *)
#define PAIRS_MAX 16

struct pairs {
    struct arena *arena;
    struct value v[2 * PAIRS_MAX];
    size_t n;
};

static void add(struct pairs *p, const char *key, const char *text)
{
    p->v[2 * p->n] = value_str(key);
    p->v[2 * p->n++ + 1] = value_str(text);
}

static void add_number(struct pairs *p, const char *key, uint64_t n)
{
    add(p, key, arena_printf(p->arena, "%llu", (unsigned long long)n));
}

static struct pairs *pairs_new(struct call *c)
{
    struct pairs *p = arena_new_of(c->arena, struct pairs);

    p->arena = c->arena;
    return p;
}

/* Memory that is the process's now, in pages; what was given back and what nobody touched yet is not. */
static uint64_t resident_pages(void)
{
    AUTO(buf_done) struct buf b;
    struct str size, rest, resident;
    uint64_t n = 0;

    buf_init(&b, 256);
    err_ignore(file_read(AT_FDCWD, "/proc/self/statm", &b), "then it is told as none");
    str_cut(buf_str(&b), ' ', &size, &rest);
    str_cut(rest, ' ', &resident, &rest);
    str_to_u64(resident, &n);
    return n;
}

static struct err *gc_stats(struct call *c, const struct Diagnostics_gc_stats_args *a, struct value *ret)
{
    struct mallinfo2 m = mallinfo2();
    struct pairs *p = pairs_new(c);
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    add_number(p, "heap_words", (m.arena + m.hblkhd) / WORD);
    add_number(p, "live_words", (m.uordblks + m.hblkhd) / WORD);
    add_number(p, "free_words", m.fordblks / WORD);
    add_number(p, "free_blocks", m.ordblks);
    add_number(p, "resident_words", resident_pages() * (uint64_t)sysconf(_SC_PAGESIZE) / WORD);
    *ret = value_map(p->v, p->n);
    return NULL;
}

static struct err *gc_compact(struct call *c, const struct Diagnostics_gc_compact_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    malloc_trim(0);
    return NULL;
}

static const char *seconds(struct arena *a, uint64_t us)
{
    return arena_printf(a, "%.6f", (double)us / 1e6);
}

/* How often the database was written, and how long that took. */
static struct err *db_stats(struct call *c, const struct Diagnostics_db_stats_args *a, struct value *ret)
{
    struct store_stats s = store_stats(c->core->store);
    struct pairs *p = pairs_new(c);

    (void)a;
    add_number(p, "n", s.commits);
    add(p, "avgtime", seconds(c->arena, s.commits ? s.sum_us / s.commits : 0));
    add(p, "min", seconds(c->arena, s.min_us));
    add(p, "max", seconds(c->arena, s.max_us));
    add_number(p, "transactions", s.txs);
    *ret = value_map(p->v, p->n);
    return NULL;
}

/* ---- requests at the front door ---- */

#define COLUMNS 5

static bool is_column(const struct value *params, const char *name)
{
    struct str rest = str_of(value_map_str(params, "params")), word;

    if (!value_map_get(params, "params"))
        return true;
    for (bool more = true; more;) {
        more = str_cut(rest, ',', &word, &rest);
        if (str_eq_c(word, name))
            return true;
    }
    return false;
}

static bool is_asked(const struct value *params, const char *key, const char *text)
{
    const struct value *v = value_map_get(params, key);

    return !v || strcasecmp(v->s, text) == 0;
}

static struct value row_of(struct arena *a, const struct value *params, const struct door_count *n)
{
    const struct {
        const char *name, *text;
    } columns[COLUMNS] = { { "method", n->method }, { "uri", n->path },
        { "requests", arena_printf(a, "%llu", (unsigned long long)n->requests) },
        { "connections", arena_printf(a, "%llu", (unsigned long long)n->connections) },
        { "framed", "0" } }; /* an older way to send them, which is not spoken here */
    struct value *row = arena_new_array(a, COLUMNS, struct value);
    size_t used = 0;

    for (size_t i = 0; i < COLUMNS; i++)
        if (is_column(params, columns[i].name))
            row[used++] = value_str(columns[i].text);
    return value_set(row, used);
}

static struct err *network_stats(struct call *c, const struct Diagnostics_network_stats_args *a, struct value *ret)
{
    struct door_requests_rep rep = { 0 };
    const struct row *host = NULL;
    struct ipc_peer *gate = NULL;
    size_t n = 0;

    TRY(call_row(c, C_host, a->host, &host));
    TRY(core_need_gate(c->core, &gate));
    TRY(door_requests(gate, c->arena, &(struct door_requests_req){ 0 }, &rep));
    struct value *rows = arena_new_array(c->arena, rep.n_counts + 1, struct value);
    for (size_t i = 0; i < rep.n_counts; i++)
        if (is_asked(a->params, "method", rep.counts[i].method) && is_asked(a->params, "uri", rep.counts[i].path))
            rows[n++] = row_of(c->arena, a->params, &rep.counts[i]);
    *ret = value_set(rows, n);
    return NULL;
}

void diagnostics_register(struct api_handlers *h)
{
    h->Diagnostics_gc_stats = gc_stats;
    h->Diagnostics_gc_compact = gc_compact;
    h->Diagnostics_db_stats = db_stats;
    h->Diagnostics_network_stats = network_stats;
}
