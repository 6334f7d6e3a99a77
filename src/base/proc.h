#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"

/*
 * Child processes: an argument array, never a shell; an explicit list of
 * descriptors; watched by pidfd.
 */
struct proc_fd {
    int fd;     /* borrowed */
    int target; /* its number in the child */
};

struct proc_spec {
    const char *const *argv;   /* argv[0] is the program's path */
    const char *const *envp;   /* NULL: an empty environment with PATH and LANG=C.UTF-8 */
    const struct proc_fd *fds; /* what the child gets besides 0, 1, 2 (those are /dev/null unless listed) */
    size_t n_fds;
    const char *cwd;     /* NULL: "/" */
    int die_with_parent; /* signal sent when the parent dies; 0: the child lives on (it gets a session of its own) */
    /* Runs in the child between fork and exec: only async-signal-safe calls. Non-zero return: errno is reported. */
    int (*in_child)(void *arg);
    void *arg;
};

struct err *proc_spawn(const struct proc_spec *spec, pid_t *ret_pid, int *ret_pidfd) MUST_CHECK;

/* pidfd of a process that may not be ours; fails with ESRCH if gone, or if its start_time (proc_start_time) differs. */
struct err *proc_open(pid_t pid, uint64_t start_time, int *ret_pidfd) MUST_CHECK;
struct err *proc_start_time(pid_t pid, uint64_t *ret_ticks) MUST_CHECK;
struct err *proc_kill(int pidfd, int signo) MUST_CHECK; /* already gone is success */

/*
 * [waits] exit status, or 128 + signal as shells say it; -1 in *ret_status if
 * it was not our child. False at the deadline.
 */
bool proc_wait(int pidfd, uint64_t deadline_us, int *ret_status);
