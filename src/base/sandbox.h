#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"

/*
 * Giving up rights. In main, in this order: open what needs rights, then
 * sandbox_enter() with what is left to do, then the loop.
 */
struct sandbox {
    const char *user;     /* become this user (and its group); NULL keeps the current one */
    uid_t uid;            /* used when user is NULL and not 0 */
    const char *root;     /* chroot here; NULL keeps the root */
    const int *keep_caps; /* capabilities kept (CAP_*); all others dropped */
    size_t n_keep_caps;
    const char *const *syscalls; /* system calls denied beside the base list below, by name */
    size_t n_syscalls;
    bool no_new_files; /* also deny open/openat/creat and friends: everything is open already */
    bool no_exec;      /* deny execve, fork of processes (threads stay) */
    bool no_network;   /* deny sockets of other families than AF_UNIX; those already open stay usable */
};

/*
 * Always: no_new_privs, capabilities dropped (bounding set too), and a seccomp
 * filter that denies ptrace, module, mount, reboot, kexec, bpf, keyctl and
 * their like with EPERM. no_new_files and no_network also deny io_uring_setup,
 * because a ring opens files and sockets past the filter: make rings first.
 * Without root the user and chroot steps are skipped and *ret_missing says
 * which walls are missing (static text, NULL if none). Before the first thread.
 * A process that was to end with its parent (PR_SET_PDEATHSIG) still is.
 */
struct err *sandbox_enter(const struct sandbox *s, const char **ret_missing) MUST_CHECK;
