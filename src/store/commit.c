/*
 * From memory to the back ends. A lane has a set of refs whose rows changed
 * and at most one commit in flight; while it is in flight, the next batch
 * gathers. So writers that come together pay for one sync, not for one each.
 */
#include "store/private.h"
#include "base/mem.h"

struct batch {
    struct lane *lane;
    struct map *dirty; /* owned until the outcome is known */
    VEC(struct backend_change) changes;
    uint64_t upto; /* every transaction up to here is in it */
    uint64_t gen;  /* for the back end: numbers up to here may be in use */
    struct err *err;
};

void lane_mark(struct lane *l, const char *ref)
{
    if (!l->backend)
        return;
    if (!l->dirty)
        l->dirty = map_new();
    map_put(l->dirty, ref, l);
}

static bool reserve_is_low(const struct store *s)
{
    return s->durable_lane.backend && s->reserved - s->gen < GEN_RESERVE / 2;
}

/* A row that is gone, or has nothing for this lane, is deleted there. */
static struct err *batch_add(struct batch *b, struct store *s, const char *ref)
{
    const struct row *r = map_get(s->by_ref, ref);
    bool durable = b->lane == &s->durable_lane;
    struct backend_change c = { .ref = ref };
    bool empty = false;

    if (r && (!durable || r->shelf->class->kept)) {
        TRY(row_encode(r, durable, &c.blob, &empty));
        if (!empty || durable || !r->shelf->class->kept) {
            c.class = r->shelf->class->name;
            c.created = r->created;
        }
    }
    vec_push(&b->changes, c);
    return NULL;
}

static struct err *batch_make(struct batch *b, struct store *s, struct lane *l)
{
    const char *ref;
    void *v;
    size_t it = 0;

    *b = (struct batch){ .lane = l, .dirty = MOVE(l->dirty), .upto = s->gen, .gen = s->gen };
    if (l == &s->durable_lane)
        b->gen = reserve_is_low(s) ? s->gen + GEN_RESERVE : s->reserved;
    while (b->dirty && map_next(b->dirty, &it, &ref, &v))
        TRY(batch_add(b, s, ref));
    return NULL;
}

/* The keys of b->dirty are what the changes call their refs: freed last. */
static void batch_done(struct batch *b)
{
    for (size_t i = 0; i < b->changes.len; i++)
        free((char *)b->changes.p[i].blob.p);
    vec_done(&b->changes);
    map_free(b->dirty);
}

static void batch_run(void *arg)
{
    struct batch *b = arg;
    struct backend *be = b->lane->backend;

    b->err = be->commit(be, b->changes.p, b->changes.len, b->gen);
}

/* Not written, or not known to be: it must be told again. */
static void batch_return(struct batch *b)
{
    const char *ref;
    void *v;
    size_t it = 0;

    while (b->dirty && map_next(b->dirty, &it, &ref, &v))
        lane_mark(b->lane, ref);
}

static void wake_waiters(struct store *s, uint64_t upto)
{
    LIST_EACH (l, &s->waiters) {
        struct waiter *w = CONTAINER_OF(l, struct waiter, link);

        if (w->gen > upto)
            continue;
        list_remove(&w->link);
        w->done = true;
        fiber_wake(w->fiber);
    }
}

/* Frees the logs up to there; fleeting ones need only those before them. */
static void settle(struct store *s, uint64_t upto)
{
    LIST_EACH (l, &s->logs) {
        struct undo_log *log = CONTAINER_OF(l, struct undo_log, link);

        if (log->durable && log->gen > upto)
            break;
        undo_log_free(log);
    }
    s->durable = list_empty(&s->logs) ? s->gen : CONTAINER_OF(s->logs.next, struct undo_log, link)->gen - 1;
    wake_waiters(s, s->durable);
}

static struct err *err_again(const struct err *e)
{
    const char *params[8];
    size_t n = err_n_params(e) < ARRAY_LEN(params) ? err_n_params(e) : ARRAY_LEN(params);

    for (size_t i = 0; i < n; i++)
        params[i] = err_param(e, i);
    return err_new(err_code(e), params, n);
}

static void remember_lost(struct store *s, uint64_t from, uint64_t to, struct err *e)
{
    if (s->lost.len == LOST_MAX) {
        err_free(s->lost.p[0].err);
        memmove(s->lost.p, s->lost.p + 1, --s->lost.len * sizeof(s->lost.p[0]));
    }
    vec_push(&s->lost, ((struct lost){ from, to, e }));
}

/* A change like any other: it has a generation of its own, so feeds tell the truth. Takes e. */
static void roll_back(struct store *s, struct err *e)
{
    uint64_t from = s->durable, gen = s->gen + 1;
    struct touched t;

    touched_init(&t, s);
    for (struct link *l = s->logs.prev; l != &s->logs; l = l->prev) {
        struct undo_log *log = CONTAINER_OF(l, struct undo_log, link);

        if (!log->durable)
            continue;
        undo_log_mark(s, log);
        undo_log_revert(s, log, &t, gen);
    }
    for (size_t i = 0; i < t.rows.len; i++)
        t.rows.p[i]->pending = 0;
    remember_lost(s, from, s->gen, e);
    s->gen = gen;
    feed_stamp(s, &t, gen);
    settle(s, gen);
    feed_ring(s);
}

static void note_time(struct store_stats *t, uint64_t took_us)
{
    t->min_us = t->commits && t->min_us < took_us ? t->min_us : took_us;
    t->max_us = t->max_us > took_us ? t->max_us : took_us;
    t->sum_us += took_us;
    t->commits++;
}

static void batch_outcome(struct store *s, struct batch *b, uint64_t took_us)
{
    bool durable = b->lane == &s->durable_lane;

    if (b->err) {
        batch_return(b);
        b->lane->stuck = true;
        if (durable && !list_empty(&s->logs))
            roll_back(s, MOVE(b->err));
        else
            s->stats.failed++;
        err_drop(&b->err);
        return;
    }
    if (durable) {
        note_time(&s->stats, took_us);
        s->reserved = b->gen;
        settle(s, b->upto);
    }
}

/* After a failure only something new is worth another try. */
static bool lane_has_work(const struct store *s, const struct lane *l)
{
    if (s->closed || l->stuck)
        return false;
    return l == &s->durable_lane ? !list_empty(&s->logs) || reserve_is_low(s) : l->dirty && map_len(l->dirty) > 0;
}

static void lane_run(struct store *s, struct lane *l)
{
    while (lane_has_work(s, l)) {
        uint64_t began = clock_now(s->loop);
        struct batch b;

        b.err = batch_make(&b, s, l);
        if (!b.err)
            fiber_offload(batch_run, &b);
        batch_outcome(s, &b, clock_now(s->loop) - began);
        batch_done(&b);
    }
    l->busy = false;
    store_unref(s);
}

static void durable_fiber(void *arg)
{
    struct store *s = arg;

    lane_run(s, &s->durable_lane);
}

static void fleeting_fiber(void *arg)
{
    struct store *s = arg;

    lane_run(s, &s->fleeting_lane);
}

static void lane_kick(struct store *s, struct lane *l, const char *name, fiber_fn *fn)
{
    l->stuck = false;
    if (!l->backend || l->busy || !lane_has_work(s, l))
        return;
    l->busy = true;
    s->users++;
    fiber_start(s->loop, name, fn, s);
}

void commit_applied(struct store *s, struct undo_log *l)
{
    l->durable = l->durable && s->durable_lane.backend;
    if (l->durable)
        s->stats.txs++;
    else
        undo_log_supersede(s, l);
    list_append(&s->logs, &l->link);
    if (!CONTAINER_OF(s->logs.next, struct undo_log, link)->durable)
        settle(s, s->durable);
    lane_kick(s, &s->durable_lane, "store-commit", durable_fiber);
    lane_kick(s, &s->fleeting_lane, "store-fleeting", fleeting_fiber);
}

struct err *lane_flush_at_open(struct store *s, struct lane *l)
{
    struct batch b;
    struct err *e;

    if (!l->backend)
        return NULL;
    e = batch_make(&b, s, l);
    if (!e) {
        batch_run(&b);
        e = MOVE(b.err);
    }
    if (!e && l == &s->durable_lane)
        s->reserved = b.gen;
    batch_done(&b);
    return e;
}

static struct err *closed_err(void)
{
    return err_internal("the store was closed");
}

struct err *store_wait_durable(struct store *s, uint64_t gen)
{
    struct waiter w = { .fiber = fiber_self(), .gen = gen < s->gen ? gen : s->gen };
    struct err *e = NULL;

    if (w.gen > s->durable) {
        assert(w.fiber);
        list_append(&s->waiters, &w.link);
        s->users++;
        while (!w.done)
            fiber_park();
        if (s->closed && w.gen > s->durable)
            e = closed_err();
    }
    for (size_t i = s->lost.len; !e && i-- > 0 && w.gen <= s->lost.p[i].to;)
        if (w.gen > s->lost.p[i].from)
            e = err_again(s->lost.p[i].err);
    if (w.done)
        store_unref(s);
    return e;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    s->closed = true;
    wake_waiters(s, UINT64_MAX);
    store_unref(s);
}
