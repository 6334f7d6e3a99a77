#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/fiber.h"
#include "ipc/frame.h"
#include "ipc/ipc_echo.h"
#include "test.h"

/* A client and a server of echo, over one of the two transports. */
struct rig {
    struct loop *loop;
    struct arena *arena;
    struct ipc_peer *client, *server;
    struct waitq release;
    bool released;
    unsigned waiting, cancelled, notes, client_lost, server_lost;
};

static struct err *on_echo(struct ipc_call *c, struct echo_echo_req *req, struct echo_echo_rep *rep)
{
    echo_all_take(c->arena, &req->all, &rep->all);
    return NULL;
}

static struct err *on_fail(struct ipc_call *c, struct echo_fail_req *req)
{
    (void)c;
    if (cstr_eq(req->code, "NOISE"))
        return err_new(req->code, (const char *const[]){ "caf\xe9" }, 1);
    if (req->errnum)
        return err_errno((int)req->errnum, "%s", req->code);
    return err_note(err_new(req->code, req->params, req->n_params), "while testing");
}

static struct err *on_wait(struct ipc_call *c, struct echo_wait_req *req, struct echo_wait_rep *rep)
{
    struct rig *r = c->ctx;

    (void)req;
    r->waiting++;
    while (!r->released && waitq_wait(&r->release, FOREVER))
        ;
    r->waiting--;
    r->cancelled += c->cancelled;
    rep->cancelled = c->cancelled;
    return NULL;
}

static struct err *on_note(struct ipc_call *c, struct echo_note_req *req)
{
    struct rig *r = c->ctx;

    CHECK(req->text);
    r->notes++;
    return NULL;
}

static const struct echo_ops ops = { .echo = on_echo, .fail = on_fail, .wait = on_wait, .note = on_note };

static void on_client_lost(void *ctx, struct ipc_peer *p)
{
    struct rig *r = ctx;

    CHECK(p == r->client && !ipc_is_open(p));
    r->client_lost++;
}

static void on_server_lost(void *ctx, struct ipc_peer *p)
{
    struct rig *r = ctx;

    CHECK(p == r->server);
    r->server_lost++;
}

static void settle(void)
{
    for (int i = 0; i < 20; i++)
        fiber_yield();
}

static size_t open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    CHECK(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void rig_up(struct rig *r, struct loop *loop, bool sockets, unsigned flags)
{
    int fds[2];

    *r = (struct rig){ .loop = loop, .arena = arena_new() };
    waitq_init(&r->release);
    if (sockets) {
        CHECK_OK(socket_pair(fds));
        CHECK_OK(ipc_peer_new(loop, fds[0], &r->client));
        CHECK_OK(ipc_peer_new(loop, fds[1], &r->server));
    } else {
        ipc_pair(loop, &r->client, &r->server);
    }
    ipc_on_close(r->client, on_client_lost, r);
    ipc_on_close(r->server, on_server_lost, r);
    ipc_serve_with(r->server, &echo_service, &ops, r, flags);
}

static void rig_down(struct rig *r)
{
    r->released = true;
    waitq_wake_all(&r->release);
    settle();
    ipc_peer_drop(&r->client);
    ipc_peer_drop(&r->server);
    settle();
    CHECK_INT(r->client_lost, 1);
    CHECK_INT(r->server_lost, 1);
    CHECK_INT(fiber_count(r->loop), 1); /* the test's */
    arena_free(r->arena);
}

/* The same body over both transports; no descriptor may be left at the end. */
static void run(struct loop *loop, bool sockets, unsigned flags, void (*body)(struct rig *r))
{
    size_t before = open_fds();
    struct rig r;

    rig_up(&r, loop, sockets, flags);
    body(&r);
    rig_down(&r);
    CHECK_INT(open_fds(), before);
}

#define BOTH_WITH(name, flags)                \
    static void body_##name(struct rig *r);   \
    TEST_FIBER(name##_over_a_socket)          \
    {                                         \
        run(loop, true, flags, body_##name);  \
    }                                         \
    TEST_FIBER(name##_in_process)             \
    {                                         \
        run(loop, false, flags, body_##name); \
    }                                         \
    static void body_##name(struct rig *r)
#define BOTH(name) BOTH_WITH(name, 0)

static ino_t inode(int fd)
{
    struct stat st;

    CHECK(fstat(fd, &st) == 0);
    return st.st_ino;
}

static int memfd(const char *text)
{
    int fd = -1;

    CHECK_OK(fd_memfd("test", text, strlen(text), &fd));
    return fd;
}

BOTH(values_and_descriptors_come_back_as_sent)
{
    AUTO(fd_drop) int one = memfd("one");
    AUTO(fd_drop) int two = memfd("two");
    struct echo_inner many[3] = { { .name = "a", .file = two }, { .name = "b" }, { .name = "c", .file = one } };
    struct echo_echo_req req = { .all = { .text = "grün", .file = one, .many = many, .n_many = 3, .signed_ = -1 } };
    struct echo_echo_rep rep = { 0 };

    CHECK_OK(echo_echo(r->client, r->arena, &req, &rep));
    CHECK_STR(rep.all.text, "grün");
    CHECK_STR(rep.all.one.name, ""); /* NULL goes as empty */
    CHECK_INT(rep.all.signed_, -1);
    CHECK_INT(rep.all.n_many, 3);
    CHECK_STR(rep.all.many[2].name, "c");
    CHECK(rep.all.file > 2 && rep.all.file != one && inode(rep.all.file) == inode(one));
    CHECK(inode(rep.all.many[0].file) == inode(two));
    CHECK_INT(rep.all.many[1].file, -1);
    CHECK(inode(rep.all.many[2].file) == inode(one));
    echo_all_close(&rep.all);
}

BOTH(a_reply_that_nobody_wants_is_closed)
{
    AUTO(fd_drop) int one = memfd("one");
    struct echo_echo_req req = { .all = { .file = one } };

    CHECK_OK(echo_echo(r->client, r->arena, &req, NULL));
}

BOTH(megabytes_pass_in_one_piece)
{
    size_t len = 1000000;
    char *blob = arena_alloc(r->arena, len);
    struct echo_echo_req req = { .all = { .blob = { blob, len } } };
    struct echo_echo_rep rep;

    for (size_t i = 0; i < len; i++)
        blob[i] = (char)(i * 7 + i / 251);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(echo_echo(r->client, r->arena, &req, &rep));
        CHECK(str_eq(rep.all.blob, req.all.blob));
    }
}

BOTH(errors_arrive_with_code_parameters_note_and_errno)
{
    const char *params[] = { "OpaqueRef:1", "attach" };
    struct echo_fail_req req = { .code = "VDI_IN_USE", .params = params, .n_params = 2 };
    struct err *e = echo_fail(r->client, r->arena, &req);

    CHECK_STR(err_code(e), "VDI_IN_USE");
    CHECK_INT(err_n_params(e), 2);
    CHECK_STR(err_param(e, 1), "attach");
    CHECK(strstr(err_text(e), "echo.fail: (while testing)"));
    CHECK(!ipc_is_lost(e));
    err_free(e);

    req = (struct echo_fail_req){ .code = "open disk", .errnum = ENOSPC };
    e = echo_fail(r->client, r->arena, &req);
    CHECK_INT(err_errno_get(e), ENOSPC);
    CHECK_STR(err_code(e), "INTERNAL_ERROR");
    err_free(e);

    req = (struct echo_fail_req){ .code = "NOISE" };
    e = echo_fail(r->client, r->arena, &req);
    CHECK_STR(err_code(e), "NOISE");
    CHECK_STR(err_param(e, 0), "caf?");
    err_free(e);
}

BOTH(what_is_not_offered_is_refused_and_the_peer_stays)
{
    struct echo_wait_rep rep;

    CHECK_ERR(echo_missing(r->client, r->arena, &(struct echo_missing_req){ 0 }), "INTERNAL_ERROR");
    r->released = true;
    CHECK_OK(echo_wait(r->client, r->arena, NULL, &rep));
    CHECK(!rep.cancelled);
}

BOTH(a_bad_request_fails_its_call_and_not_the_connection)
{
    char text[100] = { 0 };
    struct echo_small_req small = { .text = text };
    struct echo_echo_req bad_fd = { .all = { .file = 999 } };

    memset(text, 'x', sizeof(text) - 1);
    CHECK_ERR(echo_small(r->client, r->arena, &small), "INTERNAL_ERROR");
    CHECK_ERR(echo_note(r->client, &(struct echo_note_req){ .text = "\xff" }), "INTERNAL_ERROR");
    CHECK_ERR(echo_echo(r->client, r->arena, &bad_fd, NULL), "INTERNAL_ERROR");
    CHECK_OK(echo_echo(r->client, r->arena, &(struct echo_echo_req){ 0 }, NULL));
}

BOTH(one_way_calls_arrive_all)
{
    for (int i = 0; i < 500; i++)
        CHECK_OK(echo_note(r->client, &(struct echo_note_req){ .text = "hello" }));
    settle();
    CHECK_INT(r->notes, 500);
}

/* A fiber that waits in echo_wait() and keeps how it went. */
struct waiter {
    struct rig *rig;
    struct fiber *fiber;
    struct err *result;
    bool done, cancelled;
};

static void wait_in_call(void *arg)
{
    struct waiter *w = arg;
    AUTO(arena_drop) struct arena *a = arena_new();
    struct echo_wait_rep rep = { 0 };

    w->result = echo_wait(w->rig->client, a, NULL, &rep);
    w->cancelled = rep.cancelled;
    w->done = true;
}

static void start_waiters(struct waiter *w, size_t n, struct rig *r)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = (struct waiter){ .rig = r };
        w[i].fiber = fiber_start(r->loop, "waiter", wait_in_call, &w[i]);
    }
    settle();
    CHECK_INT(r->waiting, n);
}

BOTH(many_calls_wait_at_once)
{
    struct waiter w[200];

    start_waiters(w, ARRAY_LEN(w), r);
    r->released = true;
    waitq_wake_all(&r->release);
    settle();
    for (size_t i = 0; i < ARRAY_LEN(w); i++) {
        CHECK(w[i].done);
        CHECK_OK(w[i].result);
    }
}

BOTH(an_interrupted_call_returns_at_once_and_its_handler_is_told)
{
    struct waiter w[3];

    start_waiters(w, 3, r);
    fiber_interrupt(w[1].fiber);
    settle();
    CHECK(!w[0].done && w[1].done && !w[2].done);
    CHECK(ipc_is_interrupted(w[1].result));
    err_free(w[1].result);
    CHECK_INT(r->cancelled, 1);
    CHECK_INT(r->waiting, 2);

    CHECK_OK(echo_echo(r->client, r->arena, &(struct echo_echo_req){ 0 }, NULL)); /* the late answer did no harm */
    r->released = true;
    waitq_wake_all(&r->release);
    settle();
    CHECK(w[0].done && w[2].done);
    CHECK_OK(w[0].result);
    CHECK_OK(w[2].result);
}

BOTH(open_calls_fail_when_the_server_goes)
{
    struct waiter w[2];

    start_waiters(w, 2, r);
    ipc_close(r->server);
    r->server = NULL;
    CHECK_INT(r->server_lost, 1); /* told before ipc_close() returned */
    settle();
    for (int i = 0; i < 2; i++) {
        CHECK(w[i].done && ipc_is_lost(w[i].result));
        CHECK_STR(err_param(w[i].result, 0), "connection to echo lost");
        err_free(w[i].result);
    }
    CHECK_INT(r->client_lost, 1);
    CHECK_INT(r->waiting, 2); /* the handlers go on */
    CHECK_ERR(echo_note(r->client, &(struct echo_note_req){ .text = "" }), "INTERNAL_ERROR");
}

BOTH_WITH(handlers_are_interrupted_when_the_client_goes_if_asked, IPC_INTERRUPT_ON_CLOSE)
{
    struct waiter w;

    start_waiters(&w, 1, r);
    ipc_close(r->client);
    r->client = NULL;
    settle();
    CHECK(w.done && ipc_is_lost(w.result));
    err_free(w.result);
    CHECK_INT(r->waiting, 0);
    CHECK_INT(r->cancelled, 1);
    CHECK_INT(r->server_lost, 1);
}

BOTH(both_sides_may_serve)
{
    ipc_serve(r->client, &echo_service, &ops, r);
    CHECK_OK(echo_echo(r->server, r->arena, &(struct echo_echo_req){ 0 }, NULL));
    CHECK_OK(echo_echo(r->client, r->arena, &(struct echo_echo_req){ 0 }, NULL));
}

BOTH(the_queue_is_bounded)
{
    size_t len = 60000, n = 0;
    char *text = arena_alloc(r->arena, len + 1);
    struct err *e = NULL;

    memset(text, 'x', len);
    while (!(e = echo_note(r->client, &(struct echo_note_req){ .text = text })))
        n++;
    err_free(e);
    CHECK(n * len > 60 << 20 && n * len < 70 << 20);
    CHECK_OK(echo_echo(r->client, r->arena, &(struct echo_echo_req){ 0 }, NULL)); /* waits for room */
    CHECK_INT(r->notes, n);
}

/* Raw bytes against a peer */

struct raw {
    const char *what;
    struct ipc_head head;
    struct str payload;
};
#define OP(n) (uint16_t)(250 << 8 | (n))

static const struct raw malformed[] = {
    { "kind 0", { .kind = 0, .call = 65536, .op = OP(0) }, { 0 } },
    { "kind 9", { .kind = 9, .call = 65536, .op = OP(0) }, { 0 } },
    { "too long", { .kind = IPC_CALL, .call = 65536, .op = OP(0), .len = 16 << 20 }, { 0 } },
    { "longer than its op allows", { .kind = IPC_CALL, .call = 65536, .op = OP(5), .len = 65 }, { 0 } },
    { "unknown op", { .kind = IPC_CALL, .call = 65536, .op = OP(77) }, { 0 } },
    { "unknown service", { .kind = IPC_CALL, .call = 65536, .op = 7 << 8 }, { 0 } },
    { "call of a one-way op", { .kind = IPC_CALL, .call = 65536, .op = OP(3) }, { 0 } },
    { "one-way call of another", { .kind = IPC_ONEWAY, .op = OP(2) }, { 0 } },
    { "call 0", { .kind = IPC_CALL, .op = OP(2) }, { 0 } },
    { "answer to nothing", { .kind = IPC_REPLY, .call = 65536, .op = OP(2) }, { 0 } },
    { "error to nothing", { .kind = IPC_ERROR, .call = 65536, .op = OP(2) }, { 0 } },
    { "cancel with a payload", { .kind = IPC_CANCEL, .call = 65536, .op = OP(2), .len = 1 }, STR("x") },
    { "descriptor that is missing", { .kind = IPC_CALL, .call = 65536, .op = OP(2), .n_fds = 1 }, { 0 } },
    { "more than its fields", { .kind = IPC_CALL, .call = 65536, .op = OP(2), .len = 1 }, STR("x") },
    { "less than its fields", { .kind = IPC_ONEWAY, .op = OP(3), .len = 3 }, STR("\1\0\0") },
    { "bad text", { .kind = IPC_ONEWAY, .op = OP(3), .len = 6 }, STR("\1\0\0\0\xff\0") },
};

static bool survives(struct loop *loop, const struct raw *raw, int pass_fd)
{
    struct rig r = { .loop = loop };
    char head[IPC_HEAD_SIZE];
    struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)raw->payload.p, raw->payload.len } };
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    int fds[2];
    bool open;

    CHECK_OK(socket_pair(fds));
    CHECK_OK(ipc_peer_new(loop, fds[0], &r.server));
    waitq_init(&r.release);
    r.released = true;
    ipc_on_close(r.server, on_server_lost, &r);
    ipc_serve(r.server, &echo_service, &ops, &r);
    ipc_head_put(head, &raw->head);
    if (pass_fd >= 0) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&msg) =
            (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &pass_fd, sizeof(int));
    }
    CHECK(sendmsg(fds[1], &msg, MSG_NOSIGNAL) == (ssize_t)(sizeof(head) + raw->payload.len));
    settle();
    open = ipc_is_open(r.server);
    CHECK_INT(r.server_lost, !open);
    ipc_close(r.server);
    close(fds[1]);
    settle();
    return open;
}

TEST_FIBER(a_malformed_frame_ends_the_peer)
{
    struct raw good = { "good", { .kind = IPC_CALL, .call = 65536, .op = OP(2) }, { 0 } };
    struct raw note = { "good", { .kind = IPC_ONEWAY, .op = OP(3), .len = 6 }, STR("\1\0\0\0x\0") };
    size_t before = open_fds();

    CHECK(survives(loop, &good, -1));
    CHECK(survives(loop, &note, -1));
    CHECK(!survives(loop, &good, STDERR_FILENO)); /* a descriptor that nobody asked for */
    good.head.n_fds = 1;
    CHECK(!survives(loop, &good, STDERR_FILENO)); /* announced, but no field takes it */
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++)
        if (survives(loop, &malformed[i], -1))
            test_fail(__FILE__, __LINE__, "survived: %s", malformed[i].what);
    CHECK_INT(open_fds(), before);
}

TEST_FIBER(a_slot_cannot_be_used_twice)
{
    struct rig r = { .loop = loop };
    char head[IPC_HEAD_SIZE];
    int fds[2];

    waitq_init(&r.release);
    CHECK_OK(socket_pair(fds));
    CHECK_OK(ipc_peer_new(loop, fds[0], &r.server));
    ipc_serve(r.server, &echo_service, &ops, &r);
    ipc_head_put(head, &(struct ipc_head){ .kind = IPC_CALL, .call = 1 << 16 | 5, .op = OP(2) });
    CHECK(write(fds[1], head, sizeof(head)) == sizeof(head));
    settle();
    CHECK(ipc_is_open(r.server) && r.waiting == 1);
    ipc_head_put(head, &(struct ipc_head){ .kind = IPC_CALL, .call = 2 << 16 | 5, .op = OP(2) });
    CHECK(write(fds[1], head, sizeof(head)) == sizeof(head));
    settle();
    CHECK(!ipc_is_open(r.server));
    close(fds[1]);
    r.released = true;
    waitq_wake_all(&r.release);
    settle();
    ipc_close(r.server);
}

/* Listening and dialling */

struct town {
    struct rig rig;
    unsigned ups, downs;
    struct ipc_peer *accepted;
};

static void on_accepted(void *ctx, struct ipc_peer *p)
{
    struct town *t = ctx;

    t->accepted = p;
    ipc_serve(p, &echo_service, &ops, &t->rig);
}

static void on_up(void *ctx, struct ipc_peer *p)
{
    struct town *t = ctx;

    CHECK(ipc_is_open(p));
    t->ups++;
}

static void on_down(void *ctx, struct ipc_peer *p)
{
    struct town *t = ctx;

    CHECK(!ipc_is_open(p));
    t->downs++;
}

static struct ipc_listener *town_open(struct town *t, struct loop *loop, const char *path)
{
    int fd = -1;

    CHECK_OK(unix_listen(path, 0600, &fd));
    return ipc_listen(loop, fd, on_accepted, t);
}

TEST_FIBER(a_dialer_comes_back_when_the_server_does)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct town t = { .rig.loop = loop };
    char *path = arena_printf(a, "%s/socket", test_tmpdir_path());
    struct ipc_dialer *d = ipc_dialer_new(loop, path, on_up, on_down, &t);
    struct ipc_listener *li;
    struct ipc_peer *p = NULL;
    struct err *e;
    uid_t uid;
    pid_t pid;

    e = ipc_dialer_peer(d, clock_now(loop) + 3000000, &p); /* nobody there yet */
    CHECK(ipc_is_lost(e) && !p);
    err_free(e);

    for (unsigned round = 1; round <= 3; round++) {
        li = town_open(&t, loop, path);
        CHECK_OK(ipc_dialer_peer(d, clock_now(loop) + 3000000, &p));
        CHECK_OK(echo_echo(p, a, &(struct echo_echo_req){ 0 }, NULL));
        CHECK_INT(t.ups, round);
        CHECK_INT(t.downs, round - 1);
        CHECK_OK(ipc_peer_creds(t.accepted, &uid, &pid));
        CHECK(uid == getuid() && pid == getpid());
        ipc_listener_free(li);
        if (round < 3)
            ipc_close(t.accepted);
        settle();
    }
    CHECK_INT(t.downs, 2);
    ipc_dialer_free(d);
    CHECK_INT(t.downs, 3);
    settle();
    CHECK(unlink(path) == 0);
}

TEST(other_descriptors_are_no_connection)
{
    AUTO(loop_drop) struct loop *loop = loop_new_simulated(0);
    struct ipc_peer *p = NULL;
    size_t before = open_fds();

    CHECK_ERR(ipc_peer_new(loop, memfd("x"), &p), "INTERNAL_ERROR");
    CHECK(!p);
    CHECK_INT(open_fds(), before);
}

TEST(giving_up_no_peer_is_fine)
{
    ipc_unref(NULL);
}
