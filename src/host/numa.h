#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"

/*
 * NUMA nodes of this machine, and which of them a guest gets: its memory is
 * asked for there and its vCPUs run there, so that it does not go through other
 * nodes' memory. That is a wish: where a node is full after all, the kernel
 * takes another.
 *
 * What guests have been promised counts, not only what is free now: they take
 * their memory when they touch it.
 */
struct vm_plan;

#define NUMA_MAX 64

struct numa_node {
    uint32_t number;
    uint64_t total, free; /* bytes */
    const uint32_t *cpus;
    size_t n_cpus;
};

/* root: "" for the real tree, else a folder that holds sys/. At most NUMA_MAX nodes; none where there is no such tree.
 */
size_t numa_read(struct arena *a, const char *root, struct numa_node ret_nodes[NUMA_MAX]);

/*
 * Chooses for a plan that asks for it (plan->numa): the fewest nodes that hold
 * its memory and have a CPU for each vCPU, the emptiest first; nothing on a
 * machine with one node, or when it takes all of them. A mask of CPUs that the
 * plan has already says which.
 */
void numa_place(struct arena *a, const char *root, const uint64_t promised[NUMA_MAX], struct vm_plan *plan);

/* What one guest is promised: a bit for each node, and bytes of each. */
struct numa_share {
    uint64_t nodes, bytes;
};
/* Counts the plan's nodes instead of those before; NULL: none any more. */
void numa_promise(uint64_t promised[NUMA_MAX], struct numa_share *share, const struct vm_plan *plan);
