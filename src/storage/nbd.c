#include "storage/nbd.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"

#define NAME "nbd.sock" /* only between two lines that do not wait */
#define LISTEN_FD 3     /* sd_listen_fds(3) */

static struct err *socket_make(int state_fd, int *ret_listen, int *ret_path)
{
    AUTO(fd_drop) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = { .sun_family = AF_UNIX };

    if (fd < 0)
        return err_errno(errno, "socket");
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" NAME, state_fd);
    unlinkat(state_fd, NAME, 0);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 1) < 0)
        return err_errno(errno, "listen for a copy");
    *ret_path = openat(state_fd, NAME, O_PATH | O_CLOEXEC);
    if (*ret_path < 0)
        return err_errno(errno, "open the socket of a copy");
    unlinkat(state_fd, NAME, 0);
    *ret_listen = fd_take(&fd);
    return NULL;
}

struct err *nbd_start(struct tool *t, const struct sr_image *i, bool read_only, int state_fd, int *ret_socket)
{
    AUTO(fd_drop) int listener = -1;
    AUTO(fd_drop) int path = -1;
    struct proc_fd fds[3];
    const char *argv[] = { "/usr/bin/qemu-nbd", "-f", i->format, "--discard=unmap", "--detect-zeroes=unmap",
        "/proc/self/fd/10", read_only ? "-r" : NULL, NULL };
    size_t n = 0;

    TRY(socket_make(state_fd, &listener, &path));
    fds[n++] = (struct proc_fd){ listener, LISTEN_FD };
    fds[n++] = (struct proc_fd){ i->fd, TOOL_IMAGE };
    if (i->lease >= 0)
        fds[n++] = (struct proc_fd){ i->lease, TOOL_IMAGE + 1 };
    t->listens = true;
    TRY(tool_start(t, argv, fds, n));
    *ret_socket = fd_take(&path);
    return NULL;
}
