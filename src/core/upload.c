#include "core/upload.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/http.h"
#include "core/task.h"

#define SILENCE_US (600UL * 1000 * 1000)
#define LOOK_US (1000UL * 1000) /* how long a cancelled one may go on waiting */
#define DRAIN_SIZE 65536
#define PIECE (256 * 1024)
#define ROOM_LEFT_BYTES (128LL << 20)

struct upload_run {
    struct upload up;
    const char *label;
    upload_fn *fn;
    void *arg;
};

static struct err *wait_more(struct upload *u, uint64_t deadline)
{
    for (;;) {
        uint64_t now = clock_now(u->core->loop), look = now + LOOK_US;

        if (fiber_interrupted())
            return err_task_cancelled(u->task);
        if (now >= deadline)
            return err_internal("the client says nothing more");
        if (fiber_wait_fd(u->fd, EPOLLIN, look < deadline ? look : deadline))
            return NULL;
    }
}

struct err *upload_read(struct upload *u, char *block, size_t size, size_t *ret_n)
{
    uint64_t deadline = clock_now(u->core->loop) + SILENCE_US;

    for (;;) {
        size_t want = u->left < (int64_t)size ? (size_t)u->left : size;
        ssize_t n = want ? recv(u->fd, block, want, MSG_DONTWAIT) : 0;

        if (n == 0 && want)
            return err_internal("the client went away %lld bytes before the end", (long long)u->left);
        if (n >= 0) {
            u->left -= n;
            *ret_n = (size_t)n;
            return NULL;
        }
        if (errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "read what a client sends");
        TRY(wait_more(u, deadline));
    }
}

static void drain(struct upload *u)
{
    AUTO(mem_drop) char *block = mem_alloc(DRAIN_SIZE);
    struct err *e = NULL;

    for (size_t n = 1; n && !e;)
        e = upload_read(u, block, DRAIN_SIZE, &n);
    err_ignore(e, "the first error counts");
}

static void upload_main(void *arg)
{
    struct upload_run *r = arg;
    struct upload *u = &r->up;

    task_run_begin(u->core, u->task, fiber_self());
    struct err *e = r->fn(u, r->arg);
    if (e && !fiber_interrupted())
        drain(u);
    fiber_interrupt_clear();
    task_run_end(u->core, u->task);
    log_info("upload ended", F("what", r->label), F("task", u->task), F("error", e ? err_text(e) : ""));
    task_finish(u->core, u->task, "", e);
    fd_drop(&u->fd);
    arena_free(u->arena);
}

struct err *upload_start(struct call *c, const struct core_http_req *req, struct core_http_rep *rep, const char *label,
    upload_fn *fn, void *arg, struct arena *arena)
{
    AUTO(arena_drop) struct arena *a = arena;
    int pair[2];

    if (req->content_length < 0)
        return http_refuse(c->arena, rep, 411, "Length Required", "Say how long it is");
    struct err *e = http_take_task(c, req, label);
    if (!e)
        e = socket_pair(pair);
    if (e) {
        http_refuse_task(c, rep, 400, "Bad Request", e);
        return NULL;
    }
    struct upload_run *r = arena_new_of(a, struct upload_run);
    *r = (struct upload_run){ .up = { c->core, a, arena_strdup(a, c->task), req->content_length, pair[0] },
        .label = arena_strdup(a, label),
        .fn = fn,
        .arg = arg };
    http_stream(c, rep, pair[1], 2);
    fiber_start(c->core->loop, "upload", upload_main, r);
    MOVE(a);
    return NULL;
}

/* ---- into a file ---- */

struct saving {
    int dir, fd;
    const char *name;
    int64_t size;
    struct str piece;
    struct err *err;
};

bool upload_has_room(int dir, int64_t bytes)
{
    struct statvfs st;

    return fstatvfs(dir, &st) < 0 || (int64_t)(st.f_bavail * st.f_frsize) >= bytes + ROOM_LEFT_BYTES;
}

static void open_file(void *arg)
{
    struct saving *s = arg;

    s->fd = openat(s->dir, s->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->fd < 0)
        s->err = err_errno(errno, "make a file for what a client sends");
    else if ((s->size && fallocate(s->fd, 0, 0, s->size) < 0 && errno != EOPNOTSUPP) || !upload_has_room(s->dir, 0))
        s->err = err_internal("there is no room for %lld bytes", (long long)s->size);
}

static void write_piece(void *arg)
{
    struct saving *s = arg;

    s->err = fd_write_all(s->fd, s->piece.p, s->piece.len);
}

static struct err *save(struct upload *u, struct saving *s)
{
    AUTO(mem_drop) char *block = mem_alloc(PIECE);

    fiber_offload(open_file, s);
    for (size_t n = 1; n && !s->err;) {
        TRY(upload_read(u, block, PIECE, &n));
        s->piece = (struct str){ block, n };
        if (n)
            fiber_offload(write_piece, s);
    }
    return s->err;
}

struct err *upload_save(struct upload *u, int dir, const char *name, int *ret_fd)
{
    struct saving s = { .dir = dir, .fd = -1, .name = name, .size = u->left };
    struct err *e = save(u, &s);

    *ret_fd = s.fd;
    return e;
}
