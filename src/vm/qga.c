#include "vm/qga.h"
#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "ipc/ipc.h"
#include "proto/json.h"

#define REFUSED "the guest's agent refused" /* how its own errors begin */
#define SILENT "the guest's agent does not answer in time"
#define SYNC_BYTE 0xff /* in no JSON text: before it, whatever was left over */
#define COMMAND_MAX (128 * 1024)
#define READ_SIZE 16384

struct qga {
    struct loop *loop;
    int fd; /* owned */
    struct watch *watch;
    struct waitq ready; /* the socket is, or the end has come */
    struct waitq turn;
    struct buf in;
    uint32_t last_sync;
    bool synced; /* the next line is the answer to the next command */
    bool busy;
    bool lost;
    unsigned users; /* fibers inside; the last one frees once lost */
};

static void on_ready(void *arg, uint32_t events UNUSED)
{
    struct qga *q = arg;

    watch_set(q->watch, 0);
    waitq_wake_all(&q->ready);
}

struct qga *qga_new(struct loop *l, int fd)
{
    struct qga *q = mem_new(struct qga);

    q->loop = l;
    q->fd = fd;
    waitq_init(&q->ready);
    waitq_init(&q->turn);
    buf_init(&q->in, QGA_LINE_MAX + READ_SIZE);
    q->last_sync = (uint32_t)(clock_wall(l) / 1000) & 0x3fffffff; /* not what an earlier process of ours used */
    q->watch = watch_new(l, fd, 0, on_ready, q);
    return q;
}

static void destroy(struct qga *q)
{
    watch_free(q->watch);
    fd_drop(&q->fd);
    buf_done(&q->in);
    free(q);
}

void qga_free(struct qga *q)
{
    if (!q)
        return;
    q->lost = true;
    waitq_wake_all(&q->ready);
    waitq_wake_all(&q->turn);
    if (!q->users)
        destroy(q);
}

/* ---- bytes ---- */

static struct err *wait_until(struct qga *q, uint32_t events, uint64_t deadline_us)
{
    watch_set(q->watch, events);
    bool woken = waitq_wait(&q->ready, deadline_us);
    watch_set(q->watch, 0);
    if (q->lost)
        return err_internal("the guest's agent is gone");
    if (!woken)
        return fiber_interrupted() ? ipc_interrupted() : err_internal(SILENT);
    return NULL;
}

static struct err *write_all(struct qga *q, struct str s, uint64_t deadline_us)
{
    while (s.len) {
        ssize_t n = send(q->fd, s.p, s.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n > 0)
            s = (struct str){ s.p + n, s.len - (size_t)n };
        else if (n < 0 && errno == EAGAIN)
            TRY(wait_until(q, EPOLLOUT, deadline_us));
        else if (n < 0 && errno != EINTR)
            return err_errno(errno, "write to the guest's agent");
    }
    return NULL;
}

static struct err *read_more(struct qga *q, uint64_t deadline_us)
{
    char *room = buf_reserve(&q->in, READ_SIZE);

    if (!room)
        return err_internal("the guest's agent says too much");
    for (;;) {
        ssize_t n = recv(q->fd, room, READ_SIZE, MSG_DONTWAIT);

        if (n > 0) {
            buf_commit(&q->in, (size_t)n);
            return NULL;
        }
        if (n == 0)
            return err_internal("the guest's agent hung up");
        if (errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "read from the guest's agent");
        TRY(wait_until(q, EPOLLIN, deadline_us));
    }
}

/* A whole line at the front of the buffer; *ret_len without its end. */
static struct err *read_line(struct qga *q, uint64_t deadline_us, size_t *ret_len)
{
    size_t seen = 0;

    for (;;) {
        const char *end = q->in.len > seen ? memchr(q->in.p + seen, '\n', q->in.len - seen) : NULL;

        if (end) {
            *ret_len = (size_t)(end - q->in.p);
            return NULL;
        }
        seen = q->in.len;
        if (seen > QGA_LINE_MAX)
            return err_internal("the guest's agent says too much");
        TRY(read_more(q, deadline_us));
    }
}

/* ---- lines ---- */

struct err *qga_parse(struct arena *a, struct str line, struct value *ret_value)
{
    struct value v;

    TRY(json_parse_value(a, line, &v));
    if (v.kind != V_MAP)
        return err_internal("the guest's agent speaks another language");
    const struct value *error = value_map_get(&v, "error");
    if (error)
        return err_internal(REFUSED ": %.200s", error->kind == V_MAP ? value_map_str(error, "desc") : "");
    const struct value *returned = value_map_get(&v, "return");
    if (!returned)
        return err_internal("the guest's agent speaks another language");
    *ret_value = *returned;
    return NULL;
}

bool qga_refused(const struct err *e)
{
    return e && err_n_params(e) > 0 && cstr_starts(err_param(e, 0), REFUSED);
}

bool qga_silent(const struct err *e)
{
    return e && err_n_params(e) > 0 && cstr_eq(err_param(e, 0), SILENT);
}

/* Drops what is before the byte and the byte; *left counts down. */
static struct err *skip_to_sync(struct qga *q, uint64_t deadline_us, size_t *left)
{
    for (;;) {
        const char *at = q->in.len ? memchr(q->in.p, SYNC_BYTE, q->in.len) : NULL;
        size_t n = at ? (size_t)(at - q->in.p) + 1 : q->in.len;

        if (n > *left)
            return err_internal("the guest's agent says too much");
        *left -= n;
        buf_consume(&q->in, n);
        if (at)
            return NULL;
        TRY(read_more(q, deadline_us));
    }
}

static struct err *sync_up(struct qga *q, struct arena *a, uint64_t deadline_us)
{
    size_t left = QGA_SKIP_MAX, len;
    int64_t id = ++q->last_sync;
    struct value v = VALUE_NIL;

    buf_clear(&q->in);
    TRY(write_all(q,
        str_of(arena_printf(a,
            "\xff"
            "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":%" PRId64 "}}\n",
            id)),
        deadline_us));
    for (;;) {
        TRY(skip_to_sync(q, deadline_us, &left));
        TRY(read_line(q, deadline_us, &len));
        struct err *e = qga_parse(a, (struct str){ q->in.p, len }, &v);
        if (!e && v.kind == V_INT && v.i == id) {
            buf_consume(&q->in, len + 1);
            q->synced = true;
            return NULL;
        }
        err_ignore(e, "the answer to somebody before us, or noise; the rest of it is skipped too");
    }
}

static struct err *converse(struct qga *q, struct arena *a, const char *command, const char *args, uint64_t deadline_us,
    struct value *ret_value)
{
    const char *line = args ? arena_printf(a, "{\"execute\":\"%s\",\"arguments\":%s}\n", command, args)
                            : arena_printf(a, "{\"execute\":\"%s\"}\n", command);
    struct value v = VALUE_NIL;
    size_t len;

    if (strlen(line) > COMMAND_MAX)
        return err_internal("command for the guest's agent too long");
    if (!q->synced)
        TRY(sync_up(q, a, deadline_us));
    q->synced = false; /* until its answer is here */
    TRY(write_all(q, str_of(line), deadline_us));
    TRY(read_line(q, deadline_us, &len));
    struct err *e = qga_parse(a, (struct str){ q->in.p, len }, &v);
    buf_consume(&q->in, len + 1);
    if (!e || qga_refused(e))
        q->synced = true;
    TRY(e);
    if (ret_value)
        *ret_value = v;
    return NULL;
}

struct err *qga_call(
    struct qga *q, struct arena *a, const char *command, const char *args, uint64_t timeout_us, struct value *ret_value)
{
    uint64_t deadline = clock_now(q->loop) + timeout_us;
    struct err *e = NULL;

    q->users++;
    while (!e && q->busy && !q->lost)
        if (!waitq_wait(&q->turn, deadline))
            e = fiber_interrupted() ? ipc_interrupted() : err_internal("the guest's agent is busy");
    if (!e && q->lost)
        e = err_internal("the guest's agent is gone");
    if (!e) {
        q->busy = true;
        e = converse(q, a, command, args, deadline, ret_value);
        q->busy = false;
        waitq_wake_all(&q->turn);
    }
    if (--q->users == 0 && q->lost)
        destroy(q);
    return e ? err_note(e, "%s", command) : NULL;
}
