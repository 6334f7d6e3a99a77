#include "hyper/qemu/qmp.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/fiber.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/mem.h"

#define ID_MAX 1e15
#define REFUSED "QEMU refused" /* how its own errors begin */

struct qmp {
    struct loop *loop;
    int fd; /* owned */
    struct watch *watch;
    struct buf in, out;
    size_t scanned; /* bytes of `in` known to hold no line end */
    int64_t last_id;
    bool greeted, lost;
    struct link calls;   /* of struct call, waiting for an answer */
    struct waitq change; /* greeting, lost, or output drained */
    qmp_event_fn *on_event;
    qmp_lost_fn *on_lost;
    void *ctx;
};

/* A command under way; on the stack of its fiber. */
struct call {
    struct link link;
    int64_t id;
    bool done;
    json_t *value;     /* owned */
    struct err *error; /* owned */
    struct waitq wait;
};

/* ---- one line ---- */

/* jansson recurses per level, so depth is bounded before it sees the text. */
static bool depth_ok(const char *p, size_t len)
{
    int depth = 0;
    bool text = false;

    for (size_t i = 0; i < len; i++) {
        if (text && p[i] == '\\')
            i++;
        else if (p[i] == '"')
            text = !text;
        else if (!text && (p[i] == '{' || p[i] == '[') && ++depth > QMP_DEPTH_MAX)
            return false;
        else if (!text && (p[i] == '}' || p[i] == ']'))
            depth--;
    }
    return true;
}

void qmp_message_done(struct qmp_message *m)
{
    json_decref(m->root);
    m->root = NULL;
}

/* QEMU has unsigned numbers of 64 bits, the largest one for "not known": jansson takes them as reals alone. */
static json_t *load(const char *line, size_t len)
{
    json_error_t why;
    json_t *root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);

    if (!root && json_error_code(&why) == json_error_numeric_overflow)
        root = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    return root;
}

struct err *qmp_parse(const char *line, size_t len, struct qmp_message *ret)
{
    AUTO(json_drop) json_t *root = NULL;
    struct qmp_message m = { .id = -1 };
    json_t *j;

    if (len > QMP_LINE_MAX || !depth_ok(line, len))
        return err_internal("QMP line too long or too deep");
    root = load(line, len);
    if (!json_is_object(root))
        return err_internal("malformed QMP line");

    j = json_object_get(root, "id");
    if (json_is_number(j) && json_number_value(j) >= 0 && json_number_value(j) < ID_MAX)
        m.id = (json_int_t)json_number_value(j);

    if (json_is_object(json_object_get(root, "QMP"))) {
        m.kind = QMP_GREETING;
    } else if ((j = json_object_get(root, "event"))) {
        m.kind = QMP_EVENT;
        m.name = json_string_value(j);
        m.body = json_object_get(root, "data");
        if (m.body && !json_is_object(m.body))
            return err_internal("QMP event with malformed data");
    } else if ((j = json_object_get(root, "return"))) {
        m.kind = QMP_RETURN;
        m.body = j;
        m.name = "";
    } else if ((j = json_object_get(root, "error"))) {
        m.kind = QMP_ERROR;
        m.name = json_string_value(json_object_get(j, "desc"));
    } else {
        return err_internal("QMP line of unknown kind");
    }
    if (m.kind != QMP_GREETING && !m.name)
        return err_internal("malformed QMP line");

    m.root = MOVE(root);
    *ret = m;
    return NULL;
}

/* ---- connection ---- */

static void lose(struct qmp *q)
{
    if (q->lost)
        return;
    q->lost = true;
    watch_drop(&q->watch);
    LIST_EACH (l, &q->calls)
        waitq_wake_all(&CONTAINER_OF(l, struct call, link)->wait);
    waitq_wake_all(&q->change);
    if (q->greeted && q->on_lost)
        q->on_lost(q->ctx);
}

static void answer(struct qmp *q, struct qmp_message *m)
{
    LIST_EACH (l, &q->calls) {
        struct call *c = CONTAINER_OF(l, struct call, link);

        if (c->id != m->id)
            continue;
        if (m->kind == QMP_RETURN)
            c->value = json_incref(m->body);
        else
            c->error = err_internal(REFUSED ": %.500s", m->name);
        c->done = true;
        list_remove(&c->link);
        waitq_wake_all(&c->wait);
        return;
    } /* nobody waits any more: its fiber was interrupted or ran out of time */
}

static struct err *handle_line(struct qmp *q, const char *line, size_t len)
{
    AUTO(qmp_message_done) struct qmp_message m = { 0 };

    TRY(qmp_parse(line, len, &m));
    if (m.kind == QMP_GREETING) {
        q->greeted = true;
        waitq_wake_all(&q->change);
    } else if (m.kind == QMP_EVENT) {
        AUTO(json_drop) json_t *none = m.body ? NULL : json_object();

        q->on_event(q->ctx, m.name, m.body ? m.body : none);
    } else {
        answer(q, &m);
    }
    return NULL;
}

static bool handle_lines(struct qmp *q)
{
    size_t start = 0;

    while (!q->lost) {
        char *end = memchr(q->in.p + q->scanned, '\n', q->in.len - q->scanned);

        if (!end)
            break;
        struct err *e = handle_line(q, q->in.p + start, (size_t)(end - q->in.p) - start);
        if (e) {
            err_ignore(e, "a QEMU that speaks no QMP is treated as one that hung up");
            return false;
        }
        start = q->scanned = (size_t)(end - q->in.p) + 1;
    }
    buf_consume(&q->in, start);
    q->scanned = q->in.len;
    return !q->lost;
}

static bool flush_out(struct qmp *q)
{
    while (q->out.len) {
        ssize_t n = send(q->fd, q->out.p, q->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        buf_consume(&q->out, (size_t)n);
    }
    waitq_wake_all(&q->change);
    return true;
}

static void on_ready(void *arg, uint32_t events)
{
    struct qmp *q = arg;

    if ((events & EPOLLOUT) && !flush_out(q)) {
        lose(q);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        char *room = buf_reserve(&q->in, 16384);
        ssize_t n = room ? recv(q->fd, room, 16384, MSG_DONTWAIT) : 0;

        if (n > 0) {
            buf_commit(&q->in, (size_t)n);
            if (!handle_lines(q)) {
                lose(q);
                return;
            }
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            lose(q);
            return;
        }
    }
    watch_set(q->watch, EPOLLIN | (q->out.len ? EPOLLOUT : 0));
}

void qmp_free(struct qmp *q)
{
    if (!q)
        return;
    q->on_lost = NULL;
    lose(q);
    fd_drop(&q->fd);
    buf_done(&q->in);
    buf_done(&q->out);
    free(q);
}

bool qmp_is_lost(const struct qmp *q)
{
    return q->lost;
}

struct err *qmp_open(struct loop *l, int fd, uint64_t deadline_us, qmp_event_fn *on_event, qmp_lost_fn *on_lost,
    void *ctx, struct qmp **ret_qmp)
{
    AUTO(qmp_drop) struct qmp *q = mem_new(struct qmp);

    q->loop = l;
    q->fd = fd;
    q->on_event = on_event;
    q->on_lost = on_lost;
    q->ctx = ctx;
    buf_init(&q->in, QMP_LINE_MAX + 16384);
    buf_init(&q->out, QMP_LINE_MAX);
    list_init(&q->calls);
    waitq_init(&q->change);
    TRY(fd_set_nonblock(fd, true));
    q->watch = watch_new(l, fd, EPOLLIN, on_ready, q);

    while (!q->greeted) {
        if (q->lost)
            return err_internal("QEMU hung up before its greeting");
        if (!waitq_wait(&q->change, deadline_us))
            return err_internal("QEMU sent no greeting in time");
    }
    TRY(qmp_call(q, "qmp_capabilities", NULL, -1, deadline_us, NULL));
    *ret_qmp = MOVE(q);
    return NULL;
}

/* ---- commands ---- */

static struct err *send_with_fd(struct qmp *q, const char *p, size_t len, int fd)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { (void *)(uintptr_t)p, len };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    ssize_t n;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    do
        n = sendmsg(q->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_errno(errno, "send descriptor to QEMU");
    buf_add(&q->out, p + n, len - (size_t)n);
    return NULL;
}

static struct err *send_command(struct qmp *q, char *line, int fd, uint64_t deadline_us)
{
    size_t len = strlen(line);

    while (q->out.len && (fd >= 0 || q->out.len + len + 1 > q->out.max))
        if (q->lost || !waitq_wait(&q->change, deadline_us))
            return err_internal("QEMU does not read its commands");
    if (len + 1 > q->out.max)
        return err_internal("QMP command too long");

    line[len] = '\n'; /* in place of the NUL: descriptor and whole line go out in one piece */
    if (fd >= 0)
        TRY(send_with_fd(q, line, len + 1, fd));
    else
        buf_add(&q->out, line, len + 1);
    if (!flush_out(q)) {
        lose(q);
        return err_internal("connection to QEMU lost");
    }
    if (q->out.len)
        watch_set(q->watch, EPOLLIN | EPOLLOUT);
    return NULL;
}

struct err *qmp_call(struct qmp *q, const char *command, json_t *args, int fd, uint64_t deadline_us, json_t **ret_value)
{
    AUTO(json_drop) json_t *root = json_object();
    struct call c = { .id = ++q->last_id };
    struct err *e;
    char *line;

    json_object_set_new(root, "execute", json_string(command));
    json_object_set_new(root, "id", json_integer(c.id));
    if (args)
        json_object_set_new(root, "arguments", args);
    if (q->lost)
        return err_internal("connection to QEMU lost");

    line = json_dumps(root, JSON_COMPACT);
    if (!line)
        return err_internal("QMP command %s cannot be written", command);
    waitq_init(&c.wait);
    list_append(&q->calls, &c.link);
    e = send_command(q, line, fd, deadline_us);
    free(line);

    while (!e && !c.done) {
        if (q->lost)
            e = err_internal("connection to QEMU lost");
        else if (!waitq_wait(&c.wait, deadline_us) && !c.done && !q->lost)
            e = err_internal(fiber_interrupted() ? "interrupted" : "QEMU did not answer in time");
    }
    list_remove(&c.link);
    e = err_first(e, c.error);
    if (e) {
        json_decref(c.value);
        return err_note(e, "%s", command);
    }
    if (ret_value)
        *ret_value = c.value;
    else
        json_decref(c.value);
    return NULL;
}

bool qmp_refused(const struct err *e)
{
    return e && err_n_params(e) > 0 && cstr_starts(err_param(e, 0), REFUSED);
}
