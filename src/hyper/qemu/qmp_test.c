#include "hyper/qemu/qmp.h"
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "test.h"

static struct qmp_message parse(const char *line)
{
    struct qmp_message m = { 0 };

    CHECK_OK(qmp_parse(line, strlen(line), &m));
    return m;
}

TEST(lines_are_told_apart)
{
    struct qmp_message m = parse("{\"QMP\": {\"version\": {}}}");
    CHECK_INT(m.kind, QMP_GREETING);
    qmp_message_done(&m);
    m = parse("{\"event\": \"RESET\", \"data\": {\"guest\": true}}");
    CHECK_INT(m.kind, QMP_EVENT);
    CHECK_STR(m.name, "RESET");
    CHECK(json_is_true(json_object_get(m.body, "guest")));
    qmp_message_done(&m);
    m = parse("{\"return\": {}, \"id\": 7}");
    CHECK_INT(m.kind, QMP_RETURN);
    CHECK_INT(m.id, 7);
    qmp_message_done(&m);
    m = parse("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 8}");
    CHECK_INT(m.kind, QMP_ERROR);
    CHECK_STR(m.name, "no");
    qmp_message_done(&m);
}

TEST(a_number_that_qemu_does_not_know_ends_nothing)
{
    static const char line[] = "{\"return\":{\"stats\":{\"stat-free-memory\":18446744073709551615,\"n\":7}},\"id\":12}";
    struct qmp_message m;

    CHECK_OK(qmp_parse(line, sizeof(line) - 1, &m));
    CHECK_INT(m.id, 12);
    const json_t *stats = json_object_get(m.body, "stats");
    CHECK(json_number_value(json_object_get(stats, "stat-free-memory")) > 1e19);
    CHECK(json_number_value(json_object_get(stats, "n")) == 7);
    qmp_message_done(&m);
}

TEST(malformed_lines_are_refused)
{
    static const char *const bad[] = { "", "[]", "{}", "{\"event\": 1}", "{\"event\": \"X\", \"data\": []}",
        "{\"error\": \"text\"}", "{\"return\": {}", "{\"return\": {}, \"return\": {}}", "{\"error\": {}}" };
    struct qmp_message m;
    char deep[QMP_DEPTH_MAX * 2 + 16] = "";

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_ERR(qmp_parse(bad[i], strlen(bad[i]), &m), "INTERNAL_ERROR");
    memset(deep, '[', QMP_DEPTH_MAX + 1);
    memset(deep + QMP_DEPTH_MAX + 1, ']', QMP_DEPTH_MAX + 1);
    CHECK_ERR(qmp_parse(deep, strlen(deep), &m), "INTERNAL_ERROR");
}

/* ---- a conversation, with the test as QEMU ---- */

struct talk {
    struct qmp *qmp;
    int fd; /* QEMU's side */
    int events, lost;
    struct err *error;
    bool done;
    char got[1024];
};

static void on_event(void *ctx, const char *event, json_t *data)
{
    struct talk *t = ctx;

    CHECK(event && json_is_object(data));
    t->events++;
}

static void on_lost(void *ctx)
{
    ((struct talk *)ctx)->lost++;
}

static void say(struct talk *t, const char *text)
{
    CHECK(write(t->fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void hear(struct talk *t)
{
    ssize_t n;

    for (int i = 0; i < 100 && (n = recv(t->fd, t->got, sizeof(t->got) - 1, MSG_DONTWAIT)) < 0; i++)
        fiber_yield();
    CHECK(n > 0);
    t->got[n] = 0;
}

static void greeter(void *arg)
{
    struct talk *t = arg;

    say(t, "{\"QMP\": {}}\r\n");
    hear(t);
    CHECK(strstr(t->got, "qmp_capabilities"));
    say(t, "{\"event\": \"EARLY\"}\n{\"return\": {}, \"id\": 1}\n");
}

static void open_talk(struct loop *loop, struct talk *t)
{
    int fds[2];

    CHECK_OK(socket_pair(fds));
    *t = (struct talk){ .fd = fds[1] };
    fiber_start(loop, "qemu", greeter, t);
    CHECK_OK(qmp_open(loop, fds[0], clock_now(loop) + 1000000, on_event, on_lost, t, &t->qmp));
    CHECK_INT(t->events, 1);
}

static void close_talk(struct talk *t)
{
    qmp_drop(&t->qmp);
    fd_drop(&t->fd);
}

static void caller(void *arg)
{
    struct talk *t = arg;

    t->error = qmp_call(t->qmp, "query-x", json_pack("{s:s}", "a", "b"), -1, clock_now(fiber_loop()) + 1000000, NULL);
    t->done = true;
}

TEST_FIBER(answer_finds_its_call_among_events)
{
    struct talk t;

    open_talk(loop, &t);
    fiber_start(loop, "caller", caller, &t);
    hear(&t);
    CHECK(strstr(t.got, "\"execute\":\"query-x\"") && strstr(t.got, "\"id\":2") && strstr(t.got, "{\"a\":\"b\"}"));
    say(&t, "{\"return\": {}, \"id\": 1}\n{\"event\": \"STOP\"}\n{\"return\":");
    fiber_sleep(1000);
    CHECK(!t.done);
    say(&t, " {}, \"id\": 2}\n");
    fiber_sleep(1000);
    CHECK(t.done && !t.error);
    CHECK_INT(t.events, 2);
    close_talk(&t);
    CHECK_INT(t.lost, 0);
}

TEST_FIBER(refusal_is_told_from_a_deadline)
{
    struct talk t;

    open_talk(loop, &t);
    fiber_start(loop, "caller", caller, &t);
    hear(&t);
    say(&t, "{\"error\": {\"desc\": \"not now\"}, \"id\": 2}\n");
    fiber_sleep(1000);
    CHECK(t.done && qmp_refused(t.error));
    err_drop(&t.error);
    t.done = false;
    fiber_start(loop, "caller", caller, &t);
    fiber_sleep(2000000);
    CHECK(t.done && t.error && !qmp_refused(t.error));
    err_drop(&t.error);
    say(&t, "{\"return\": {}, \"id\": 3}\n"); /* too late, and no harm */
    fiber_sleep(1000);
    CHECK_INT(t.lost, 0);
    close_talk(&t);
}

TEST_FIBER(nonsense_ends_the_connection_and_its_calls)
{
    struct talk t;

    open_talk(loop, &t);
    fiber_start(loop, "caller", caller, &t);
    hear(&t);
    say(&t, "{\"return\": }\n");
    fiber_sleep(1000);
    CHECK(t.done && t.error && !qmp_refused(t.error));
    err_drop(&t.error);
    CHECK_INT(t.lost, 1);
    CHECK(qmp_is_lost(t.qmp));
    close_talk(&t);
}

TEST_FIBER(descriptor_rides_along)
{
    struct talk t;
    char control[CMSG_SPACE(sizeof(int))], byte[512];
    struct iovec iov = { byte, sizeof(byte) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

    open_talk(loop, &t);
    struct err *e = qmp_call(t.qmp, "getfd", NULL, t.fd, clock_now(loop) + 1000, NULL);
    CHECK(e);
    err_free(e);
    CHECK(recvmsg(t.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    CHECK(c && c->cmsg_type == SCM_RIGHTS);
    int got;
    memcpy(&got, CMSG_DATA(c), sizeof(got));
    close(got);
    close_talk(&t);
}
