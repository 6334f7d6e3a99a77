#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"

/*
 * The walls of a cell: what a VM's process and its hypervisor run behind. A
 * uid of their own; mount, network, ipc and host name namespaces in which the
 * file system is read-only but for the VM's folder, ours is hidden, and there
 * is no network; a cgroup with limits. Each wall that this host cannot build is
 * left out and named in walls_missing().
 */
struct walls;

struct walls_config {
    const char *run_dir;         /* hidden, except for the VM's own folder */
    const char *state_dir;       /* hidden */
    const char *const *programs; /* what runs inside: no folder above one of these is hidden */
    size_t n_programs;
    const char *self_dir; /* an existing folder to try the walls with */
    bool none;            /* no walls at all: tests */
};

/* Finds out what works by trying it in a child process. Never fails: at worst all walls are missing. */
struct walls *walls_new(const struct walls_config *c);
void walls_free(struct walls *w);
DEFINE_DROP(walls)

const char *const *walls_missing(
    const struct walls *w, size_t *ret_n); /* "cell-uid", "cell-namespaces", "cell-cgroup" */
bool walls_have_uid(const struct walls *w);

/* One cell's part: everything prepared that the child needs between fork and exec. */
struct wall {
    const struct walls *walls;
    uid_t uid;       /* 0: keeps the caller's */
    const char *dir; /* the VM's folder, absolute; borrowed */
    int cgroup_fd;   /* -1: none */
};

bool walls_weigh(const struct walls *w); /* cells have weights and caps */

/* Makes the cell's cgroup with these limits; fine to call again. */
struct cgroup_limits;
struct err *wall_prepare(const struct walls *w, const char *uuid, uid_t uid, const char *dir,
    const struct cgroup_limits *limits, struct wall *ret) MUST_CHECK;
void wall_done(struct wall *w);
int wall_enter(void *wall); /* proc_spec.in_child */

/* Ends what is left of a cell: its cgroup's processes, all of its uid (or with its folder as theirs), the cgroup. */
void wall_clear(const struct walls *w, const char *uuid, uid_t uid, const char *dir, bool by_scan);
