/* Where connections come from: accepted on a socket, or dialled and dialled again. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "base/log.h"
#include "base/mem.h"
#include "ipc/peer.h"

#define ACCEPT_PAUSE_US 100000 /* when there are no descriptors left */
#define REDIAL_MIN_US 10000
#define REDIAL_MAX_US 1000000

struct ipc_listener {
    struct loop *loop;
    int fd;
    struct watch *watch;
    struct timer *resume;
    ipc_peer_fn *on_peer;
    void *ctx;
};

static void on_incoming(void *arg, uint32_t events)
{
    struct ipc_listener *li = arg;
    int fd = accept4(li->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ipc_peer *p = NULL;
    struct err *e;

    (void)events;
    if (fd < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            return;
        log_err(LOG_WARN_, "cannot accept, pausing", err_errno(errno, "accept"));
        watch_set(li->watch, 0);
        timer_set(li->resume, clock_now(li->loop) + ACCEPT_PAUSE_US);
        return;
    }
    e = ipc_peer_new(li->loop, fd, &p);
    if (e) {
        log_err(LOG_WARN_, "connection refused", e);
        return;
    }
    peer_disown(p);
    li->on_peer(li->ctx, p);
}

static void on_resume(void *arg)
{
    struct ipc_listener *li = arg;

    watch_set(li->watch, EPOLLIN);
}

struct ipc_listener *ipc_listen(struct loop *l, int fd, ipc_peer_fn *on_peer, void *ctx)
{
    struct ipc_listener *li = mem_new(struct ipc_listener);

    *li = (struct ipc_listener){ .loop = l, .fd = fd, .on_peer = on_peer, .ctx = ctx };
    li->watch = watch_new(l, fd, EPOLLIN, on_incoming, li);
    li->resume = timer_new(l, on_resume, li);
    return li;
}

void ipc_listener_free(struct ipc_listener *li)
{
    if (!li)
        return;
    watch_free(li->watch);
    timer_free(li->resume);
    fd_drop(&li->fd);
    free(li);
}

struct ipc_dialer {
    struct loop *loop;
    char *path;
    ipc_peer_fn *on_up, *on_down;
    void *ctx;
    struct ipc_peer *peer; /* NULL while down */
    struct timer *timer;
    uint64_t pause_us;
    struct waitq up;
};

static void redial(struct ipc_dialer *d)
{
    timer_set(d->timer, clock_now(d->loop) + d->pause_us);
    d->pause_us = d->pause_us * 2 < REDIAL_MAX_US ? d->pause_us * 2 : REDIAL_MAX_US;
}

static void on_lost(void *arg, struct ipc_peer *p)
{
    struct ipc_dialer *d = arg;

    d->peer = NULL;
    if (d->timer) /* not when being freed */
        redial(d);
    if (d->on_down)
        d->on_down(d->ctx, p);
}

static void dial(void *arg)
{
    struct ipc_dialer *d = arg;
    struct err *e;
    int fd = -1;

    e = unix_connect(d->path, &fd);
    if (!e)
        e = ipc_peer_new(d->loop, fd, &d->peer);
    if (e) {
        err_ignore(e, "the other side is not up yet: that is what a dialer is for");
        redial(d);
        return;
    }
    peer_disown(d->peer);
    d->pause_us = REDIAL_MIN_US;
    ipc_on_close(d->peer, on_lost, d);
    waitq_wake_all(&d->up);
    if (d->on_up)
        d->on_up(d->ctx, d->peer);
}

struct ipc_dialer *ipc_dialer_new(struct loop *l, const char *path, ipc_peer_fn *on_up, ipc_peer_fn *on_down, void *ctx)
{
    struct ipc_dialer *d = mem_new(struct ipc_dialer);

    *d = (struct ipc_dialer){
        .loop = l, .path = mem_strdup(path), .on_up = on_up, .on_down = on_down, .ctx = ctx, .pause_us = REDIAL_MIN_US
    };
    waitq_init(&d->up);
    d->timer = timer_new(l, dial, d);
    timer_set(d->timer, clock_now(l));
    return d;
}

void ipc_dialer_free(struct ipc_dialer *d)
{
    if (!d)
        return;
    timer_drop(&d->timer);
    ipc_close(d->peer);
    free(d->path);
    free(d);
}

struct err *ipc_dialer_peer(struct ipc_dialer *d, uint64_t deadline_us, struct ipc_peer **ret_peer)
{
    while (!d->peer || !ipc_is_open(d->peer))
        if (!waitq_wait(&d->up, deadline_us))
            return fiber_interrupted() ? ipc_interrupted() : ipc_lost(d->path);
    *ret_peer = d->peer;
    return NULL;
}
