#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

/* File descriptors: an owning int is -1 when it holds none. */

void fd_drop(int *fd); /* AUTO(fd_drop) int fd = -1; keeps errno */
static inline int fd_take(int *fd)
{
    int f = *fd;
    *fd = -1;
    return f;
}
struct err *fd_set_nonblock(int fd, bool on) MUST_CHECK;
struct err *fd_read_all(int fd, struct buf *b) MUST_CHECK;              /* to end of file, at most the buf's maximum */
struct err *fd_write_all(int fd, const void *p, size_t len) MUST_CHECK; /* blocking descriptor */
struct err *fd_dup(int fd, int *ret_fd) MUST_CHECK;                     /* close-on-exec */
struct err *fd_memfd(const char *name, const void *p, size_t len, int *ret_fd) MUST_CHECK; /* sealed against change */
struct err *fd_memfd_seal(
    int fd) MUST_CHECK; /* of a memfd made with MFD_ALLOW_SEALING: to be read from its begin, never changed */

/* Whole files relative to dir_fd (AT_FDCWD is fine). */
struct err *file_read(int dir_fd, const char *path, struct buf *b) MUST_CHECK;
/* Durable replacement: temporary file, fsync, rename, fsync of the folder. */
struct err *file_write_atomic(int dir_fd, const char *path, const void *p, size_t len, mode_t mode) MUST_CHECK;
struct err *dir_make(const char *path, mode_t mode) MUST_CHECK; /* with parents; existing is fine */

/* Unix stream sockets. Paths longer than sun_path are reached through /proc/self/fd. */
/* Replaces a stale socket; nonblocking. */
struct err *unix_listen(const char *path, mode_t mode, int *ret_fd) MUST_CHECK;
struct err *unix_connect(const char *path, int *ret_fd) MUST_CHECK; /* nonblocking */
struct err *socket_pair(int ret_fds[2]) MUST_CHECK;                 /* stream, close-on-exec, blocking */
