#include "host/stats.h"
#include <string.h>
#include "base/fiber.h"
#include "base/mem.h"
#include "base/vec.h"
#include "gen/ipc_stats.h"
#include "host/cell.h"

#define WORKERS 16 /* guests asked at a time */
#define DEADLINE_US 1000000

/* One round of questions; lives in the fiber that asks, until the last worker has ended. */
struct survey {
    struct arena *arena;
    struct stats_guest *guests;
    struct ipc_peer **peers; /* references; NULL: no vm process */
    size_t n, next;
    bool over; /* whoever has not answered is too late */
    struct fiber *workers[WORKERS];
    unsigned n_workers;
    struct waitq done;
};

static void ask(struct survey *s, size_t i)
{
    struct stats_one_rep rep = { 0 };
    struct stats_guest *g = &s->guests[i];
    struct stats_guest known = *g;

    if (!s->peers[i])
        return;
    struct err *e = stats_one(s->peers[i], s->arena, &(struct stats_one_req){ 0 }, &rep);
    if (e) {
        err_ignore(e, "it is busy or being restarted: a gap in its figures");
        return;
    }
    *g = rep.guest;
    g->vm = known.vm;
    g->pid = g->pid ? g->pid : known.pid;
}

static void worker(void *arg)
{
    struct survey *s = arg;

    while (!s->over && s->next < s->n)
        ask(s, s->next++);
    for (size_t i = 0; i < WORKERS; i++)
        if (s->workers[i] == fiber_self())
            s->workers[i] = NULL;
    s->n_workers--;
    waitq_wake_all(&s->done);
}

static void run(struct survey *s, struct loop *l)
{
    uint64_t deadline = clock_now(l) + DEADLINE_US;

    waitq_init(&s->done);
    for (; s->n_workers < WORKERS && s->n_workers < s->n; s->n_workers++)
        s->workers[s->n_workers] = fiber_start(l, "stats", worker, s);
    while (s->n_workers && waitq_wait(&s->done, deadline))
        ;
    s->over = true;
    for (size_t i = 0; i < WORKERS; i++)
        if (s->workers[i])
            fiber_interrupt(s->workers[i]);
    fiber_interrupt_clear(); /* the workers point into this fiber's memory */
    while (s->n_workers)
        waitq_wait(&s->done, FOREVER);
}

static struct err *on_all(struct ipc_call *c, struct stats_all_req *req UNUSED, struct stats_all_rep *rep)
{
    struct cells *cells = c->ctx;
    size_t n = cells_count(cells), it = 0;
    struct survey s = { .arena = c->arena };

    s.guests = arena_new_array(c->arena, n + 1, struct stats_guest);
    s.peers = arena_new_array(c->arena, n + 1, struct ipc_peer *);
    for (struct cell *cell; s.n < n && (cell = cells_next(cells, &it)); s.n++) {
        s.guests[s.n] = (struct stats_guest){ .vm = arena_strdup(c->arena, cell->uuid), .pid = cell->state.pid };
        s.peers[s.n] = cell->peer ? ipc_ref(cell->peer) : NULL;
    }
    run(&s, ipc_loop(c->peer));
    for (size_t i = 0; i < s.n; i++)
        ipc_unref(s.peers[i]);
    rep->guests = s.guests;
    rep->n_guests = s.n;
    return NULL;
}

void host_stats_mount(struct ipc_peer *core, struct cells *cells)
{
    static const struct stats_ops ops = { .all = on_all };

    ipc_serve(core, &stats_service, &ops, cells);
}
