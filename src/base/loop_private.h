#pragma once
#include <stddef.h>
#include "base/list.h"
#include "base/loop.h"

/* What the fiber layer keeps in its loop. For loop.c and fiber.c only. */
struct stack;
struct loop_fibers {
    struct link all; /* every fiber that lives */
    size_t count;
    struct stack *stacks; /* free ones, for the next fibers */
    size_t n_stacks;
    size_t n_offloads; /* a simulated clock stands still until they are done */
};
struct loop_fibers *loop_fibers(const struct loop *l);
void fibers_done(struct loop *l); /* of loop_free() */

/* As watch_new(); NULL if the descriptor is of a kind that is always ready (a plain file). */
struct watch *watch_try(struct loop *l, int fd, uint32_t events, watch_fn *fn, void *arg);
