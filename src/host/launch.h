#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "ipc/ipc.h"

/*
 * How a cell gets its vm service: a process of its own behind walls, or (for
 * simulated guests, and in tests) a service in this process.
 */
struct cell;
struct launcher {
    void *ctx;
    /* Connects the cell to a fresh vm service. *ret_pidfd is -1 without a process. [waits] */
    struct err *(*launch)(void *ctx, struct cell *cell, struct ipc_peer **ret_peer, int *ret_pidfd);
    /* After the cell's peer was closed: ends what runs in its name. May be NULL. */
    void (*clear)(void *ctx, struct cell *cell);
    /* Room for so many times the guest's memory. May be NULL. */
    struct err *(*limit)(void *ctx, struct cell *cell, unsigned times);
    bool weighs; /* limit() also sees to the cell's weight and cap */
};

struct walls;
/* runnymede-vm at `program`; all is borrowed. */
struct vm_program {
    struct loop *loop;
    const struct walls *walls;
    const char *program;
    const char *hyper;
};
struct launcher launcher_process(struct vm_program *p);
