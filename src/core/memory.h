#pragma once
#include "core/call.h"

/*
 * The host's memory, and how its VMs share it (semantics.md 3 and 8).
 *
 * A VM is built with memory_static_max, and its balloon leaves it memory_target
 * of that, between memory_dynamic_min and _max. While there is room, everybody
 * has its dynamic_max. When a VM needs more than is free, all that have a range
 * give the same part of theirs; when memory becomes free, they get it back.
 *
 * What counts of a VM is the larger one of its target and what its balloon
 * really leaves it, besides its overhead: a guest that does not move its balloon
 * keeps what it has. Only a guest that was started a moment ago is believed.
 */

struct memory_size {
    int64_t static_max, vcpus_max;
    bool screen;
};
struct memory_size memory_size_of(const struct row *vm);
/* Bytes that a VM costs the host besides its memory. */
int64_t memory_overhead(const struct core *c, const struct memory_size *of);
int64_t memory_overhead_of(const struct core *c, const struct row *vm);
/* The largest multiple of 1 MiB that a VM may have if it is to cost no more than total; 0: there is none. */
int64_t memory_max_within(const struct core *c, const struct row *vm, int64_t total);

/* Bytes that no VM counts for. */
int64_t memory_free(struct core *c);
/* HOST_NOT_ENOUGH_FREE_MEMORY unless the VM could have its dynamic_min, all others giving what they can. */
struct err *memory_check(struct call *c, const struct row *vm) MUST_CHECK;

/* Memory that is promised to a VM that is being started, so that two of them are not promised the same. */
struct memory_grant {
    struct core *core;
    int64_t target, bytes; /* what its balloon is to leave; what it counts for */
};
/* [waits] for others to give theirs. A grant lasts until the VM is resident. */
struct err *memory_reserve(struct call *c, const char *vm_ref, struct memory_grant *ret) MUST_CHECK;
void memory_grant_end(struct memory_grant *g); /* AUTO; fine on a zeroed one */

/* [waits] New dynamic limits of a running VM: its guest is told its share. */
struct err *memory_set_range(struct call *c, const char *vm_ref, int64_t min, int64_t max) MUST_CHECK;

/* Some memory may have become free: those who gave some get it back, in a fiber of its own. */
void memory_share_out(struct core *c);
