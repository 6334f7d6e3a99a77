#include "ipc/peer.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/log.h"
#include "base/mem.h"

#define FRAMES_PER_ROUND 64 /* then others have their turn */

/* Frames */

struct frame *frame_new(void)
{
    struct frame *f = mem_new(struct frame);

    buf_init(&f->bytes, IPC_FRAME_MAX);
    return f;
}

void frame_free(struct frame *f)
{
    if (!f)
        return;
    if (f->fds_owned)
        ipc_fds_close(&f->fds);
    buf_done(&f->bytes);
    free(f);
}

static void frames_drop(struct link *frames)
{
    LIST_EACH (at, frames)
        frame_free(CONTAINER_OF(at, struct frame, link));
    list_init(frames);
}

static struct err *frame_own_fds(struct frame *f)
{
    struct ipc_fds copies = { .n = 0 };

    for (size_t i = 0; i < f->fds.n; i++) {
        struct err *e = fd_dup(f->fds.fd[i], &copies.fd[i]);

        if (e) {
            ipc_fds_close(&copies);
            return err_note(e, "send descriptor");
        }
        copies.n++;
    }
    f->fds = copies;
    f->fds_owned = true;
    return NULL;
}

/* Life */

static struct ipc_peer *peer_make(struct loop *l)
{
    struct ipc_peer *p = mem_new(struct ipc_peer);

    *p = (struct ipc_peer){ .loop = l, .refs = 2, .open = true, .has_owner = true, .fd = -1 };
    list_init(&p->out);
    list_init(&p->inbox);
    waitq_init(&p->room);
    return p;
}

struct ipc_peer *ipc_ref(struct ipc_peer *p)
{
    p->refs++;
    return p;
}

void ipc_unref(struct ipc_peer *p)
{
    if (!p || --p->refs)
        return;
    assert(!p->open);
    vec_done(&p->services);
    vec_done(&p->calls);
    vec_done(&p->free_calls);
    vec_done(&p->served);
    vec_done(&p->closers);
    free(p);
}

void peer_disown(struct ipc_peer *p)
{
    p->has_owner = false;
    ipc_unref(p);
}

bool ipc_is_open(const struct ipc_peer *p)
{
    return p->open;
}

struct loop *ipc_loop(const struct ipc_peer *p)
{
    return p->loop;
}

void ipc_on_close(struct ipc_peer *p, ipc_peer_fn *fn, void *ctx)
{
    assert(p->open);
    vec_push(&p->closers, ((struct closer){ fn, ctx }));
}

static void run_closers(struct ipc_peer *p)
{
    while (p->closers.len) {
        struct closer c = p->closers.p[0];

        p->closers.len--;
        memmove(p->closers.p, p->closers.p + 1, p->closers.len * sizeof(c));
        c.fn(c.ctx, p);
    }
}

static void on_ended(void *arg)
{
    struct ipc_peer *p = arg;

    run_closers(p);
    ipc_unref(p); /* the connection's */
}

static void on_other_gone(void *arg)
{
    struct ipc_peer *p = arg;

    peer_end(p, NULL);
    ipc_unref(p);
}

/* All of the end but the closers. */
static void disconnect(struct ipc_peer *p)
{
    p->open = false;
    watch_free(p->watch);
    p->watch = NULL;
    fd_drop(&p->fd);
    if (p->other) {
        p->other->other = NULL;
        loop_defer(p->loop, on_other_gone, ipc_ref(p->other)); /* after the frames that are on their way */
        p->other = NULL;
    }
    frames_drop(&p->out);
    frames_drop(&p->inbox);
    ipc_fds_close(&p->in.fds);
    arena_drop(&p->in.arena);
    waitq_wake_all(&p->room);
    calls_lost(p);
}

void peer_end(struct ipc_peer *p, struct err *why)
{
    if (!p->open) {
        err_ignore(why, "the connection has ended already");
        return;
    }
    log_err(LOG_WARN_, "ipc peer dropped", why);
    disconnect(p);
    loop_defer(p->loop, on_ended, p);
}

void ipc_close(struct ipc_peer *p)
{
    bool was_open, had_owner;

    if (!p)
        return;
    was_open = p->open;
    had_owner = p->has_owner;
    p->has_owner = false;
    if (was_open)
        disconnect(p);
    run_closers(p); /* also if their turn was still to come: their owner may be about to go */
    if (was_open)
        ipc_unref(p);
    if (had_owner)
        ipc_unref(p);
}

/* Sending */

static void sent(struct ipc_peer *p, struct frame *f)
{
    p->queued -= f->bytes.len;
    frame_free(f);
    if (p->queued <= IPC_QUEUE_MAX / 2)
        waitq_wake_all(&p->room);
}

static ssize_t frame_send(int fd, struct frame *f)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = { f->bytes.p + f->sent, f->bytes.len - f->sent };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (f->fds.n) {
        struct cmsghdr *c = &control.align;

        memset(&control, 0, sizeof(control));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(f->fds.n * sizeof(int));
        memcpy(CMSG_DATA(c), f->fds.fd, f->fds.n * sizeof(int));
        msg.msg_control = c;
        msg.msg_controllen = CMSG_SPACE(f->fds.n * sizeof(int));
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool lost_errno(int errnum)
{
    return errnum == EPIPE || errnum == ECONNRESET || errnum == ENOTCONN;
}

static void flush(struct ipc_peer *p)
{
    while (!list_empty(&p->out)) {
        struct frame *f = CONTAINER_OF(p->out.next, struct frame, link);
        ssize_t n = frame_send(p->fd, f);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            peer_end(p, lost_errno(errno) ? NULL : err_errno(errno, "send to peer"));
            return;
        }
        if (f->fds_owned)
            ipc_fds_close(&f->fds);
        f->fds.n = 0;
        f->sent += (size_t)n;
        if (f->sent < f->bytes.len)
            continue;
        list_remove(&f->link);
        sent(p, f);
    }
    watch_set(p->watch, list_empty(&p->out) ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

static struct err *put_socket(struct ipc_peer *p, struct frame *f)
{
    bool first = list_empty(&p->out);

    for (size_t i = 0; i < f->fds.n; i++) /* a bad descriptor fails its call, not the connection */
        if (fcntl(f->fds.fd[i], F_GETFD) < 0) {
            frame_free(f);
            return err_errno(errno, "send descriptor");
        }
    p->queued += f->bytes.len;
    list_append(&p->out, &f->link);
    if (first)
        flush(p);
    if (p->out.prev != &f->link || !f->fds.n) /* sent, or lost with the peer */
        return NULL;

    /* The kernel has not taken them, and the caller closes them when it likes. */
    struct err *e = frame_own_fds(f);
    if (!e)
        return NULL;
    list_remove(&f->link);
    sent(p, f);
    return e;
}

/* The pair's transport */

static void deliver(void *arg)
{
    struct ipc_peer *p = arg;
    struct err *e;
    struct ipc_head h;

    if (!list_empty(&p->inbox)) {
        struct frame *f = CONTAINER_OF(p->inbox.next, struct frame, link);

        list_remove(&f->link);
        e = ipc_head_get(f->bytes.p, &h);
        if (!e)
            e = calls_admit(p, &h);
        if (!e) {
            struct arena *a = arena_new();

            e = calls_take(p, &h, a, arena_dup(a, f->bytes.p + IPC_HEAD_SIZE, h.len), &f->fds);
        }
        if (p->other)
            sent(p->other, f);
        else
            frame_free(f);
        if (e)
            peer_end(p, e);
    }
    ipc_unref(p);
}

static struct err *put_pair(struct ipc_peer *p, struct frame *f)
{
    struct err *e = frame_own_fds(f);

    if (e || !p->other) {
        frame_free(f);
        return e;
    }
    p->queued += f->bytes.len;
    list_append(&p->other->inbox, &f->link);
    loop_defer(p->loop, deliver, ipc_ref(p->other));
    return NULL;
}

struct err *peer_put(struct ipc_peer *p, struct frame *f)
{
    if (!p->open) {
        frame_free(f);
        return NULL; /* as if sent just before the end */
    }
    return p->fd >= 0 ? put_socket(p, f) : put_pair(p, f);
}

struct err *peer_wait_room(struct ipc_peer *p, const char *whom)
{
    while (p->open && p->queued > IPC_QUEUE_MAX)
        if (!waitq_wait(&p->room, FOREVER))
            return ipc_interrupted();
    return p->open ? NULL : ipc_lost(whom);
}

/* Receiving */

static struct err *collect_fds(struct ipc_peer *p, struct msghdr *msg)
{
    struct ipc_fds *fds = &p->in.fds;
    bool too_many = msg->msg_flags & MSG_CTRUNC;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (fd == 0) { /* none, in our messages: a process without standard input */
                fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                close(0);
            }
            if (fd > 0 && fds->n < IPC_FDS_MAX) {
                fds->fd[fds->n++] = fd;
                continue;
            }
            fd_drop(&fd);
            too_many = true;
        }
    }
    return too_many ? err_internal("malformed frame: more descriptors than can be taken") : NULL;
}

/* Reads into head or payload. *ret_n: 0 when there is nothing now, -1 at the end. */
static struct err *receive_some(struct ipc_peer *p, void *to, size_t len, ssize_t *ret_n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = { to, len };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    size_t n_fds = p->in.fds.n;
    ssize_t n;

    do {
        n = recvmsg(p->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        *ret_n = 0;
        return NULL;
    }
    if (n < 0 && !lost_errno(errno))
        return err_errno(errno, "receive from peer");
    *ret_n = n > 0 ? n : -1;
    if (n <= 0)
        return NULL;
    TRY(collect_fds(p, &msg));
    if (p->in.arena && p->in.fds.n != n_fds)
        return err_internal("malformed frame: descriptors in the middle");
    return NULL;
}

static struct err *take_frame(struct ipc_peer *p)
{
    struct ipc_head h = p->in.head;
    struct ipc_fds fds = p->in.fds;
    const char *payload = p->in.payload;

    p->in.fds.n = 0;
    p->in.have = 0;
    return calls_take(p, &h, MOVE(p->in.arena), payload, &fds);
}

static struct err *take_head(struct ipc_peer *p)
{
    struct ipc_head *h = &p->in.head;

    TRY(ipc_head_get(p->in.head_bytes, h));
    if (h->n_fds != p->in.fds.n)
        return err_internal("malformed frame: %zu descriptors instead of %u", p->in.fds.n, h->n_fds);
    TRY(calls_admit(p, h));
    p->in.arena = arena_new();
    p->in.payload = arena_alloc(p->in.arena, h->len);
    p->in.have = 0;
    return h->len ? NULL : take_frame(p);
}

static struct err *receive_step(struct ipc_peer *p, bool *ret_more)
{
    bool in_payload = p->in.arena;
    size_t want = (in_payload ? p->in.head.len : IPC_HEAD_SIZE) - p->in.have;
    char *to = in_payload ? p->in.payload : (char *)p->in.head_bytes;
    ssize_t n;

    TRY(receive_some(p, to + p->in.have, want, &n));
    *ret_more = n > 0;
    if (n < 0)
        peer_end(p, p->in.have || in_payload ? err_internal("connection ended in the middle of a frame") : NULL);
    if (n <= 0)
        return NULL;
    p->in.have += (size_t)n;
    if ((size_t)n < want)
        return NULL;
    return in_payload ? take_frame(p) : take_head(p);
}

static void on_ready(void *arg, uint32_t events)
{
    struct ipc_peer *p = ipc_ref(arg);
    bool more = events & ~(uint32_t)EPOLLOUT;

    if (events & EPOLLOUT)
        flush(p);
    for (unsigned i = 0; p->open && more && i < 2 * FRAMES_PER_ROUND; i++) {
        struct err *e = receive_step(p, &more);

        if (e)
            peer_end(p, e);
    }
    ipc_unref(p);
}

/* Making */

struct err *ipc_peer_new(struct loop *l, int fd, struct ipc_peer **ret_peer)
{
    AUTO(fd_drop) int mine = fd;
    int domain = 0, type = 0;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return err_errno(errno, "take connection");
    if (domain != AF_UNIX || type != SOCK_STREAM)
        return err_internal("connection is not a unix stream socket");

    struct ipc_peer *p = peer_make(l);
    p->fd = fd_take(&mine);
    p->watch = watch_new(l, p->fd, EPOLLIN, on_ready, p);
    *ret_peer = p;
    return NULL;
}

void ipc_pair(struct loop *l, struct ipc_peer **ret_a, struct ipc_peer **ret_b)
{
    struct ipc_peer *a = peer_make(l), *b = peer_make(l);

    a->other = b;
    b->other = a;
    *ret_a = a;
    *ret_b = b;
}

struct err *ipc_peer_creds(const struct ipc_peer *p, uid_t *ret_uid, pid_t *ret_pid)
{
    struct ucred c = { .uid = getuid(), .pid = getpid() };
    socklen_t len = sizeof(c);

    if (!p->open)
        return ipc_lost("peer");
    if (p->fd >= 0 && getsockopt(p->fd, SOL_SOCKET, SO_PEERCRED, &c, &len) < 0)
        return err_errno(errno, "ask who the peer is");
    *ret_uid = c.uid;
    *ret_pid = c.pid;
    return NULL;
}
