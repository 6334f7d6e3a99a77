/* The conversation, against an agent that a test plays by hand. */
#include "vm/qga.h"
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "test.h"

#define SECOND 1000000ULL

struct play {
    int fd;
    const char *const *lines; /* said after each line that is heard; NULL: nothing more */
    char heard[1024];
};

static void play(void *arg)
{
    struct play *p = arg;

    for (; *p->lines; p->lines++) {
        size_t at = strlen(p->heard);
        bool whole = false;

        while (!whole && fiber_wait_fd(p->fd, EPOLLIN, FOREVER)) {
            ssize_t n = recv(p->fd, p->heard + at, sizeof(p->heard) - 1 - at, MSG_DONTWAIT);
            if (n <= 0)
                return;
            at += (size_t)n;
            whole = p->heard[at - 1] == '\n';
        }
        CHECK(send(p->fd, *p->lines, strlen(*p->lines), MSG_NOSIGNAL) >= 0);
    }
}

static struct qga *begin(struct loop *loop, struct play *p, const char *const *lines)
{
    int fds[2];

    CHECK_OK(socket_pair(fds));
    *p = (struct play){ .fd = fds[0], .lines = lines };
    fiber_start(loop, "play", play, p);
    return qga_new(loop, fds[1]);
}

static void end(struct qga *q, struct play *p)
{
    qga_free(q);
    fiber_sleep(SECOND);
    fd_drop(&p->fd);
}

/* The number that it will say when it finds the thread is not known beforehand, so the loop's clock is. */
TEST_FIBER(answers_follow_what_was_left_over)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(mem_drop)
    char *sync = mem_printf("{\"return\":{\"old\":1}}\n\xff{\"return\":77}\n\xff{\"return\":%llu}\n",
        ((unsigned long long)(clock_wall(loop) / 1000) & 0x3fffffff) + 1);
    const char *const lines[] = { sync, "{\"return\":{\"v\":\"7\"}}\n", "{\"error\":{\"desc\":\"no\"}}\n",
        "{\"return\":[]}\n", NULL };
    struct value v = VALUE_NIL;
    struct play p;
    struct qga *q = begin(loop, &p, lines);

    CHECK_OK(qga_call(q, a, "guest-info", NULL, SECOND, &v));
    CHECK_STR(value_map_str(&v, "v"), "7");
    struct err *e = qga_call(q, a, "guest-no", "{\"x\":1}", SECOND, &v);
    CHECK(qga_refused(e));
    err_free(e);
    CHECK_OK(qga_call(q, a, "guest-list", NULL, SECOND, &v)); /* a refusal does not lose the thread */
    CHECK_INT(v.kind, V_SET);
    CHECK(strstr(p.heard, "{\"execute\":\"guest-no\",\"arguments\":{\"x\":1}}\n"));
    end(q, &p);
}

TEST_FIBER(silence_ends_with_the_deadline_and_the_thread_is_sought_again)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const char *const lines[] = { "", "", NULL };
    struct play p;
    struct qga *q = begin(loop, &p, lines);

    CHECK_ERR(qga_call(q, a, "guest-info", NULL, SECOND, NULL), "INTERNAL_ERROR");
    CHECK_ERR(qga_call(q, a, "guest-info", NULL, SECOND, NULL), "INTERNAL_ERROR");
    CHECK(!strstr(p.heard, "guest-info"));
    end(q, &p);
}

TEST_FIBER(noise_is_read_up_to_its_limit)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(mem_drop) char *noise = mem_alloc(QGA_SKIP_MAX * 2);
    int fds[2];

    CHECK_OK(socket_pair(fds));
    struct qga *q = qga_new(loop, fds[1]);
    CHECK_OK(fd_set_nonblock(fds[0], true));
    memset(noise, '\xff', QGA_SKIP_MAX * 2 - 1); /* each byte promises an answer */
    size_t sent = 0;
    for (int i = 0; i < 100 && sent < QGA_SKIP_MAX; i++) {
        ssize_t n = send(fds[0], noise, 65536, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        if (n <= 0)
            break;
    }
    CHECK_ERR(qga_call(q, a, "guest-info", NULL, SECOND, NULL), "INTERNAL_ERROR");
    qga_free(q);
    close(fds[0]);
}

static struct qga *shared;
static struct arena *shared_arena;
static bool ended;

static void wait_long(void *arg UNUSED)
{
    CHECK_ERR(qga_call(shared, shared_arena, "guest-info", NULL, 100 * SECOND, NULL), "INTERNAL_ERROR");
    ended = true;
}

TEST_FIBER(an_agent_that_is_dropped_ends_who_talks_to_it)
{
    int fds[2];

    CHECK_OK(socket_pair(fds));
    shared_arena = arena_new();
    shared = qga_new(loop, fds[1]);
    ended = false;
    fiber_start(loop, "talks", wait_long, NULL);
    fiber_start(loop, "waits", wait_long, NULL);
    fiber_sleep(SECOND);
    qga_free(shared);
    fiber_sleep(SECOND);
    CHECK(ended);
    arena_drop(&shared_arena);
    close(fds[0]);
}
