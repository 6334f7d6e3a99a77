#include "vm/picture.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <turbojpeg.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "vm/rfb.h"

#define READ_SIZE 65536
#define IN_MAX (4 * READ_SIZE) /* more than a row */
#define QUALITY 85

static struct err *send_all(int fd, struct buf *out, uint64_t deadline_us)
{
    while (out->len) {
        ssize_t n = send(fd, out->p, out->len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0)
            buf_consume(out, (size_t)n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "write to the screen's server");
        else if (!fiber_wait_fd(fd, EPOLLOUT, deadline_us))
            return err_internal("the screen's server does not listen");
    }
    return NULL;
}

static struct err *read_some(int fd, struct buf *in, uint64_t deadline_us)
{
    for (;;) {
        char *room = buf_reserve(in, READ_SIZE);
        ssize_t n = room ? recv(fd, room, READ_SIZE, MSG_DONTWAIT) : 0;

        if (n > 0) {
            buf_commit(in, (size_t)n);
            return NULL;
        }
        if (n == 0)
            return err_internal("the screen's server hung up");
        if (errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "read from the screen's server");
        if (!fiber_wait_fd(fd, EPOLLIN, deadline_us))
            return err_internal("the screen's server says nothing");
    }
}

static struct err *watch_one(int fd, struct rfb_viewer *v, uint64_t deadline_us)
{
    AUTO(buf_done) struct buf in, out;
    bool done = false;

    buf_init(&in, IN_MAX);
    buf_init(&out, 4096);
    for (;;) {
        TRY(rfb_viewer_feed(v, &in, &out, &done));
        if (done)
            return NULL;
        TRY(send_all(fd, &out, deadline_us));
        TRY(read_some(fd, &in, deadline_us));
    }
}

struct compression {
    const struct rfb_viewer *v;
    unsigned char *jpeg; /* turbojpeg's */
    unsigned long len;
    bool failed;
};

/* On a worker: a large screen takes tens of milliseconds. */
static void compress_jpeg(void *arg)
{
    struct compression *c = arg;
    tjhandle h = tjInitCompress();

    c->failed = !h ||
        tjCompress2(h, c->v->pixels, (int)c->v->width, 0, (int)c->v->height, TJPF_BGRX, &c->jpeg, &c->len, TJSAMP_420,
            QUALITY, 0) != 0;
    if (h)
        tjDestroy(h);
}

static struct err *keep(const struct rfb_viewer *v, int *ret_jpeg)
{
    struct compression c = { .v = v };
    struct err *e;

    fiber_offload(compress_jpeg, &c);
    e = c.failed ? err_internal("the picture of a screen cannot be compressed")
                 : fd_memfd("screen", c.jpeg, c.len, ret_jpeg);
    tjFree(c.jpeg);
    return e;
}

struct err *picture_take(int fd, uint64_t deadline_us, int *ret_jpeg)
{
    AUTO(fd_drop) int s = fd;
    AUTO(rfb_viewer_done) struct rfb_viewer v;

    rfb_viewer_init(&v);
    TRY(watch_one(s, &v, deadline_us));
    return keep(&v, ret_jpeg);
}
