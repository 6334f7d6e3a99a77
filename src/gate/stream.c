#include "gate/stream.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/fiber.h"

ssize_t stream_read(struct stream *s, void *p, size_t len)
{
    ssize_t n;

    if (s->tls)
        return tls_read(s->tls, p, len);
    do
        n = recv(s->fd, p, len, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t stream_write(struct stream *s, const void *p, size_t len)
{
    ssize_t n;

    if (s->tls)
        return tls_write(s->tls, p, len);
    do
        n = send(s->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

uint32_t stream_want(const struct stream *s, uint32_t plain)
{
    return s->tls ? tls_want(s->tls) : plain;
}

ssize_t stream_read_until(struct stream *s, void *p, size_t len, uint64_t deadline_us)
{
    for (;;) {
        ssize_t n = stream_read(s, p, len);

        if (n != -EAGAIN)
            return n;
        if (!fiber_wait_fd(s->fd, stream_want(s, EPOLLIN), deadline_us))
            return -ETIMEDOUT;
    }
}

bool stream_wait(struct stream *s, uint64_t deadline_us)
{
    return (s->tls && tls_pending(s->tls)) || fiber_wait_fd(s->fd, EPOLLIN, deadline_us);
}

int stream_write_all(struct stream *s, const void *p, size_t len, uint64_t stall_us)
{
    const char *at = p;

    while (len) {
        ssize_t n = stream_write(s, at, len);

        if (n == -EAGAIN) {
            if (!fiber_wait_fd(s->fd, stream_want(s, EPOLLOUT), clock_now(fiber_loop()) + stall_us))
                return -ETIMEDOUT;
            continue;
        }
        if (n < 0)
            return (int)n;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

void stream_done(struct stream *s)
{
    if (s->fd < 0)
        return;
    if (s->tls)
        tls_end(s->tls);
    tls_drop(&s->tls);
    fd_drop(&s->fd);
}
