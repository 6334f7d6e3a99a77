#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

/*
 * Our branch of the unified cgroup hierarchy: a group `runnymede-vm-UUID` per
 * cell under the one in which this process was started (systemd: Delegate=yes).
 * root is "/" but in tests.
 */
struct cgroup;

/* NULL if there is no unified hierarchy that we may write to, or it has no memory controller for us. */
struct cgroup *cgroup_open(const char *root);
void cgroup_free(struct cgroup *c);

bool cgroup_has_cpu(const struct cgroup *c); /* weights and caps mean something */

struct cgroup_limits {
    uint64_t memory; /* of the guest, bytes; 0: all limits stay as they are */
    unsigned vcpus;
    unsigned cpu_weight; /* as Xen's: 256 is usual, and so is 0 */
    unsigned cpu_cap;    /* percent of one CPU; 0: none */
};
/* *ret_fd: open for writing a process into the group. */
struct err *cgroup_make(struct cgroup *c, const char *uuid, const struct cgroup_limits *l, int *ret_fd) MUST_CHECK;
/* Kills what is in the group and removes it; quiet if there is none. */
void cgroup_clear(struct cgroup *c, const char *uuid);
