#include "base/fd.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/uuid.h"

void fd_drop(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}

struct err *fd_set_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
        return err_errno(errno, "set blocking of descriptor");
    return NULL;
}

struct err *fd_read_all(int fd, struct buf *b)
{
    for (;;) {
        size_t room = b->max > b->len ? b->max - b->len : 0;
        char last;
        char *to = &last; /* at the maximum, one more byte tells whether that was the end */
        ssize_t n;

        if (room > 65536)
            room = 65536;
        if (room)
            to = buf_reserve(b, room);
        if (!to)
            return err_errno(EFBIG, "read");
        n = read(fd, to, room ? room : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(errno, "read");
        if (n == 0)
            return NULL;
        if (!room)
            return err_errno(EFBIG, "read");
        buf_commit(b, (size_t)n);
    }
}

struct err *fd_write_all(int fd, const void *p, size_t len)
{
    const char *at = p;

    while (len) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno != EINTR)
            return err_errno(errno, "write");
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return NULL;
}

struct err *fd_dup(int fd, int *ret_fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    if (copy < 0)
        return err_errno(errno, "duplicate descriptor");
    *ret_fd = copy;
    return NULL;
}

struct err *fd_memfd_seal(int fd)
{
    if (lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return err_errno(errno, "seal a memfd");
    return NULL;
}

struct err *fd_memfd(const char *name, const void *p, size_t len, int *ret_fd)
{
    AUTO(fd_drop) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return err_errno(errno, "memfd %s", name);
    TRY(fd_write_all(fd, p, len));
    TRY(fd_memfd_seal(fd));
    *ret_fd = fd_take(&fd);
    return NULL;
}

struct err *file_read(int dir_fd, const char *path, struct buf *b)
{
    AUTO(fd_drop) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct err *e;

    if (fd < 0)
        return err_errno(errno, "open %s", path);
    e = fd_read_all(fd, b);
    return e ? err_note(e, "%s", path) : NULL;
}

/* Splits a path into the descriptor of its folder (owned by the caller) and the name in it. */
static struct err *open_parent(int dir_fd, const char *path, int *ret_fd, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    AUTO(mem_drop) char *dir = NULL;
    int fd;

    if (!slash)
        dir = mem_strdup(".");
    else
        dir = mem_printf("%.*s", slash == path ? 1 : (int)(slash - path), path);
    fd = openat(dir_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(errno, "open folder %s", dir);
    *ret_fd = fd;
    *ret_name = slash ? slash + 1 : path;
    return NULL;
}

static struct err *write_durably(int dir_fd, const char *name, const void *p, size_t len, mode_t mode)
{
    AUTO(fd_drop) int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_errno(errno, "create");
    TRY(fd_write_all(fd, p, len));
    if (fchmod(fd, mode) < 0)
        return err_errno(errno, "set mode");
    if (fsync(fd) < 0)
        return err_errno(errno, "fsync");
    return NULL;
}

struct err *file_write_atomic(int dir_fd, const char *path, const void *p, size_t len, mode_t mode)
{
    AUTO(fd_drop) int dir = -1;
    AUTO(mem_drop) char *temp = NULL;
    const char *name = NULL;
    char unique[UUID_LEN + 1];
    struct err *e;

    TRY(open_parent(dir_fd, path, &dir, &name));
    uuid_make(unique);
    temp = mem_printf(".tmp-%s", unique);
    e = write_durably(dir, temp, p, len, mode);
    if (!e && renameat(dir, temp, dir, name) < 0)
        e = err_errno(errno, "rename");
    if (e) {
        unlinkat(dir, temp, 0);
        return err_note(e, "write %s", path);
    }
    if (fsync(dir) < 0)
        return err_errno(errno, "fsync folder of %s", path);
    return NULL;
}

struct err *dir_make(const char *path, mode_t mode)
{
    AUTO(mem_drop) char *part = mem_strdup(path);
    struct stat st;

    for (char *at = part; *at; at++) {
        if (*at != '/' || at == part)
            continue;
        *at = 0;
        if (mkdir(part, mode) < 0 && errno != EEXIST)
            return err_errno(errno, "make folder %s", part);
        *at = '/';
    }
    if (mkdir(part, mode) < 0 && errno != EEXIST)
        return err_errno(errno, "make folder %s", path);
    if (stat(path, &st) < 0)
        return err_errno(errno, "stat %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_errno(ENOTDIR, "make folder %s", path);
    return NULL;
}

/* *ret_dir keeps the folder open that a long path is reached through; it must stay open during bind or connect. */
static struct err *unix_address(const char *path, struct sockaddr_un *ret, int *ret_dir)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *name = NULL;
    int n;

    if (!*path)
        return err_errno(EINVAL, "empty socket path");
    if (strlen(path) < sizeof(addr.sun_path)) {
        n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    } else {
        TRY(open_parent(AT_FDCWD, path, ret_dir, &name));
        n = snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", *ret_dir, name);
    }
    if ((size_t)n >= sizeof(addr.sun_path))
        return err_errno(ENAMETOOLONG, "socket %s", path);
    *ret = addr;
    return NULL;
}

static int unix_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Is a process listening there? A socket that refuses was left behind by one that died. */
static bool is_stale(const struct sockaddr_un *addr)
{
    AUTO(fd_drop) int fd = unix_socket();

    return fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno == ECONNREFUSED;
}

struct err *unix_listen(const char *path, mode_t mode, int *ret_fd)
{
    AUTO(fd_drop) int fd = -1;
    AUTO(fd_drop) int dir = -1;
    struct sockaddr_un addr;
    const struct sockaddr *sa = (const struct sockaddr *)&addr;

    TRY(unix_address(path, &addr, &dir));
    fd = unix_socket();
    if (fd < 0)
        return err_errno(errno, "socket");
    if (fchmod(fd, mode) < 0) /* what bind() creates is then never wider than that */
        return err_errno(errno, "set mode of socket");
    if (bind(fd, sa, sizeof(addr)) < 0) {
        if (errno != EADDRINUSE)
            return err_errno(errno, "bind %s", path);
        if (!is_stale(&addr))
            return err_errno(EADDRINUSE, "bind %s", path);
        if (unlink(addr.sun_path) < 0 || bind(fd, sa, sizeof(addr)) < 0)
            return err_errno(errno, "bind %s", path);
    }
    if (chmod(addr.sun_path, mode) < 0) /* what the umask took away */
        return err_errno(errno, "set mode of %s", path);
    if (listen(fd, 1024) < 0)
        return err_errno(errno, "listen on %s", path);
    *ret_fd = fd_take(&fd);
    return NULL;
}

struct err *unix_connect(const char *path, int *ret_fd)
{
    AUTO(fd_drop) int fd = -1;
    AUTO(fd_drop) int dir = -1;
    struct sockaddr_un addr;

    TRY(unix_address(path, &addr, &dir));
    fd = unix_socket();
    if (fd < 0)
        return err_errno(errno, "socket");
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_errno(errno, "connect to %s", path);
    *ret_fd = fd_take(&fd);
    return NULL;
}

struct err *socket_pair(int ret_fds[2])
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return err_errno(errno, "socketpair");
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return NULL;
}
