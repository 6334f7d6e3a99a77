#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"
#include "base/loop.h"

/*
 * A fiber: a sequence of steps as straight-line code on the loop's thread. It
 * waits by parking, and the loop runs others meanwhile; between two waits
 * nobody else runs, so data of one loop needs no locks. Fibers instead of a
 * thread pool, because a simulated loop then replays every interleaving from
 * its seed, and a thousand waiting calls cost a thousand small stacks.
 *
 * Only code called from a fiber may call what is marked [waits].
 */
struct fiber;
typedef void fiber_fn(void *arg);

#define FOREVER UINT64_MAX /* as a deadline */

/* Runs fn(arg) on its own stack from the next round on; frees itself at the end. */
struct fiber *fiber_start(struct loop *l, const char *name, fiber_fn *fn, void *arg);
/* As fiber_start, but runs at once until its first wait, inside the caller. Not from a fiber. */
void fiber_run(struct loop *l, const char *name, fiber_fn *fn, void *arg);
struct fiber *fiber_self(void); /* NULL outside of fibers */
struct loop *fiber_loop(void);  /* loop of the running fiber */
const char *fiber_name(const struct fiber *f);
size_t fiber_count(const struct loop *l);

/* The lowest layer: park until somebody wakes; a wake before the park is not lost, but several count as one. */
void fiber_park(void);            /* [waits] */
void fiber_wake(struct fiber *f); /* loop's thread only */

void fiber_sleep_until(uint64_t at_us); /* [waits] */
void fiber_sleep(uint64_t us);          /* [waits] */
void fiber_yield(void);                 /* [waits] one round */

/* Waits for readiness; false at the deadline. */
bool fiber_wait_fd(int fd, uint32_t events, uint64_t deadline_us); /* [waits] */

/* Runs a blocking function on a worker thread and waits for its end. */
void fiber_offload(loop_fn *fn, void *arg); /* [waits] */

/* A queue of fibers that wait for something to become true. Zeroed is not ready: waitq_init(). */
struct waitq {
    struct link waiters;
};
void waitq_init(struct waitq *q);
bool waitq_wait(struct waitq *q, uint64_t deadline_us); /* [waits] false at the deadline or when interrupted */
void waitq_wake_all(struct waitq *q);
bool waitq_empty(const struct waitq *q);

/*
 * Ends the waitq_wait() or sleep in which f is, and each one it enters until it
 * clears the interrupt: the root of cancelling. A sleep cut short is told from
 * a full one by fiber_interrupted(). fiber_wait_fd() is not cut: a message half
 * read would be lost.
 */
void fiber_interrupt(struct fiber *f);
bool fiber_interrupted(void);     /* of the running fiber */
void fiber_interrupt_clear(void); /* cleaning up may wait again */

/* A value per fiber that rides along (the task's id for the log, say). */
void fiber_set_local(void *p);
void *fiber_local(void);
