#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/fiber.h"
#include "base/proc.h"

/*
 * A program that reads or writes images: qemu-img, qemu-nbd, nbdcopy, cat.
 * It gets descriptors, never a folder, and reaches an image as
 * /proc/self/fd/N; it dies with us and holds the leases that it was given, so
 * a disk stays locked until the last of its users is really gone.
 */
struct tool {
    pid_t pid;           /* leads a process group */
    int alive;           /* owned: our end of a pipe that ends with the last of the group */
    int pidfd;           /* owned */
    int output, errors;  /* owned: memfds with its standard output and error */
    struct watch *watch; /* of pidfd */
    struct waitq ended;
    bool exited;
    bool listens; /* set before the start: descriptor 3 is a socket for it to accept on (sd_listen_fds(3)) */
};
#define TOOL_NONE ((struct tool){ .pidfd = -1, .alive = -1, .output = -1, .errors = -1 })
#define TOOL_IMAGE 10 /* where its descriptors begin */
#define TOOL_ALIVE 9

/* Its standard output goes into a memfd unless fds names target 1. */
struct err *tool_start(struct tool *t, const char *const *argv, const struct proc_fd *fds, size_t n_fds) MUST_CHECK;
/* [waits] An interrupt kills it and is told as ipc_interrupted(). Failures: what it said, no space as such. */
struct err *tool_wait(struct tool *t) MUST_CHECK;
void tool_kill(struct tool *t);
void tool_done(struct tool *t); /* AUTO; kills what still runs */
/* Per mille, from the last "(12.34/100%)" of qemu-img -p. */
unsigned tool_progress(const struct tool *t);

/* Start and wait. [waits] */
struct err *tool_run(const char *const *argv, const struct proc_fd *fds, size_t n_fds) MUST_CHECK;
