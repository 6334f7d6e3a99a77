#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/*
 * The loop: everything a process does happens in a handler or a fiber
 * (base/fiber.h) that its one loop runs. A handler runs to its end and never
 * blocks. Time is the loop's, so a test can turn the clock: a simulated loop
 * jumps to the next timer whenever nothing else is left to do, except while
 * work is on a thread (fiber_offload). When there is no timer either, its
 * loop_turn() waits a second of real time, then says that nothing ran.
 *
 * All calls belong to the thread that runs the loop, except loop_post().
 */
struct loop;
typedef void loop_fn(void *arg);

struct err *loop_new(struct loop **ret_loop) MUST_CHECK; /* real clock, epoll */
struct loop *loop_new_simulated(uint64_t wall_us);       /* clock starts at 0 monotonic; descriptors still work */
void loop_free(struct loop *l);
DEFINE_DROP(loop)

void loop_run(struct loop *l);                 /* until loop_stop() */
bool loop_turn(struct loop *l, bool may_wait); /* one round; false when nothing ran */
void loop_stop(struct loop *l);

/* Microseconds. Monotonic for deadlines; wall (UTC since 1970) for what people read. */
uint64_t clock_now(const struct loop *l);
uint64_t clock_wall(const struct loop *l);
void clock_step_wall(struct loop *l, int64_t us); /* simulated loops only: a clock jump */

/* Runs fn in the next round, in the order of calls. */
void loop_defer(struct loop *l, loop_fn *fn, void *arg);
/* The same from any thread. */
void loop_post(struct loop *l, loop_fn *fn, void *arg);

/* Watches. events: EPOLLIN, EPOLLOUT, ...; 0 pauses. The descriptor is borrowed; several watches may share it. */
struct watch;
typedef void watch_fn(void *arg, uint32_t events);
struct watch *watch_new(struct loop *l, int fd, uint32_t events, watch_fn *fn, void *arg);
void watch_set(struct watch *w, uint32_t events);
void watch_free(struct watch *w); /* before the descriptor is closed; inside its own handler is fine; NULL is fine */
DEFINE_DROP(watch)

/* Timers fire once; set again to repeat. */
struct timer;
struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg);
void timer_set(struct timer *t, uint64_t at_us); /* monotonic; replaces an earlier time */
void timer_stop(struct timer *t);
void timer_free(struct timer *t); /* NULL is fine */
DEFINE_DROP(timer)

/* Blocks the signal for the process and runs fn for each arrival. Call in main before the first thread. */
struct err *loop_signal(struct loop *l, int signo, loop_fn *fn, void *arg) MUST_CHECK;
