#pragma once
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

/* *ret_fd: open for writing a process into the group. memory 0 leaves the limits alone. */
struct err *cgroup_make(struct cgroup *c, const char *uuid, uint64_t memory, unsigned vcpus, int *ret_fd) MUST_CHECK;
/* Kills what is in the group and removes it; quiet if there is none. */
void cgroup_clear(struct cgroup *c, const char *uuid);
