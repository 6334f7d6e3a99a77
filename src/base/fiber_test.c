#include "base/fiber.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "test.h"

static char trail[512];
static size_t trail_len;

static void mark(const char *s)
{
    for (; *s && trail_len < sizeof(trail) - 1; s++)
        trail[trail_len++] = *s;
    trail[trail_len] = 0;
}

static void reset(void)
{
    trail_len = 0;
    trail[0] = 0;
}

static void talk(void *arg)
{
    const char *name = arg;

    for (int i = 0; i < 3; i++) {
        mark(name);
        fiber_yield();
    }
}

TEST_FIBER(fibers_take_turns_in_order)
{
    reset();
    fiber_start(loop, "a", talk, (void *)(uintptr_t) "a");
    fiber_start(loop, "b", talk, (void *)(uintptr_t) "b");
    fiber_start(loop, "c", talk, (void *)(uintptr_t) "c");
    CHECK_INT(fiber_count(loop), 4);
    for (int i = 0; i < 5; i++)
        fiber_yield();
    CHECK_STR(trail, "abcabcabc");
    CHECK_INT(fiber_count(loop), 1);
}

TEST(run_starts_inside_the_caller)
{
    AUTO(loop_drop) struct loop *l = loop_new_simulated(0);

    reset();
    fiber_run(l, "x", talk, (void *)(uintptr_t) "x");
    CHECK_STR(trail, "x");
    CHECK(!fiber_self());
    while (loop_turn(l, false))
        ;
    CHECK_STR(trail, "xxx");
    CHECK_INT(fiber_count(l), 0);
}

TEST_FIBER(sleeping_costs_no_time_in_a_simulation)
{
    uint64_t start = clock_now(loop);

    fiber_sleep(3600ull * 1000000 * 24);
    CHECK_INT(clock_now(loop) - start, 3600ull * 1000000 * 24);
    fiber_sleep_until(start);
    CHECK_INT(clock_now(loop) - start, 3600ull * 1000000 * 24);
}

static void wake_then_end(void *arg)
{
    fiber_wake(arg);
}

TEST_FIBER(wake_before_the_park_is_not_lost)
{
    fiber_wake(fiber_self());
    fiber_park();
    fiber_start(loop, "waker", wake_then_end, fiber_self());
    fiber_yield(); /* it wakes us here */
    fiber_yield();
    fiber_park();
}

struct shared {
    struct waitq q;
    int n_true, n_false;
    uint64_t deadline;
};

static void wait_in(void *arg)
{
    struct shared *s = arg;

    if (waitq_wait(&s->q, s->deadline))
        s->n_true++;
    else
        s->n_false++;
}

TEST_FIBER(queue_wakes_all_or_lets_the_deadline_pass)
{
    struct shared s = { .deadline = 5000 };

    waitq_init(&s.q);
    CHECK(waitq_empty(&s.q));
    for (int i = 0; i < 3; i++)
        fiber_start(loop, "waiter", wait_in, &s);
    fiber_sleep_until(1000);
    CHECK(!waitq_empty(&s.q));
    waitq_wake_all(&s.q);
    fiber_yield();
    CHECK_INT(s.n_true, 3);
    fiber_start(loop, "waiter", wait_in, &s);
    fiber_sleep_until(6000);
    CHECK_INT(s.n_false, 1);
    CHECK(waitq_empty(&s.q));
    CHECK_INT(fiber_count(loop), 1);
}

static void cancellable(void *arg)
{
    struct shared *s = arg;

    CHECK(!waitq_wait(&s->q, FOREVER));
    CHECK(fiber_interrupted());
    CHECK(!waitq_wait(&s->q, FOREVER)); /* still so */
    fiber_sleep(1000000);
    fiber_interrupt_clear();
    wait_in(s);
}

TEST_FIBER(interrupt_ends_waits_until_it_is_cleared)
{
    struct shared s = { .deadline = 2000 };
    struct fiber *f;

    waitq_init(&s.q);
    f = fiber_start(loop, "task", cancellable, &s);
    fiber_sleep_until(1000);
    fiber_interrupt(f);
    fiber_sleep_until(1500);
    CHECK_INT(s.n_false, 0); /* the sleep was cut, the last wait waits again */
    fiber_sleep_until(2500);
    CHECK_INT(s.n_false, 1);
    f = fiber_start(loop, "task", wait_in, &s);
    fiber_interrupt(f); /* before it ran */
    fiber_yield();
    CHECK_INT(s.n_false, 2);
}

static void write_later(void *arg)
{
    fiber_sleep(700);
    CHECK_INT(write(*(int *)arg, "x", 1), 1);
}

TEST_FIBER(descriptor_is_waited_for_until_the_deadline)
{
    AUTO(fd_drop) int a = -1;
    AUTO(fd_drop) int b = -1;
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(fd_drop) int file = -1;
    int fds[2];
    char c;

    CHECK_OK(socket_pair(fds));
    a = fds[0];
    b = fds[1];
    CHECK(!fiber_wait_fd(a, EPOLLIN, 500));
    CHECK_INT(clock_now(loop), 500);
    fiber_start(loop, "writer", write_later, &b);
    CHECK(fiber_wait_fd(a, EPOLLIN, FOREVER));
    CHECK_INT(clock_now(loop), 1200);
    CHECK_INT(read(a, &c, 1), 1);
    CHECK(fiber_wait_fd(a, EPOLLOUT, FOREVER));
    CHECK_OK(file_write_atomic(dir, "plain", "x", 1, 0600));
    file = openat(dir, "plain", 0);
    CHECK(fiber_wait_fd(file, EPOLLIN, FOREVER)); /* plain files are always ready */
}

struct pipe_end {
    int fd;
    int n;
};

static void ping(void *arg)
{
    struct pipe_end *p = arg;
    char c;

    while (p->n-- > 0) {
        CHECK(fiber_wait_fd(p->fd, EPOLLIN, FOREVER));
        CHECK_INT(read(p->fd, &c, 1), 1);
        CHECK_INT(write(p->fd, &c, 1), 1);
    }
}

TEST_FIBER(reader_and_writer_share_a_descriptor)
{
    struct pipe_end a, b;
    int fds[2];

    CHECK_OK(socket_pair(fds));
    a = (struct pipe_end){ fds[0], 500 };
    b = (struct pipe_end){ fds[1], 500 };
    fiber_start(loop, "a", ping, &a);
    fiber_start(loop, "b", ping, &b);
    CHECK_INT(write(fds[0], "x", 1), 1);
    while (fiber_count(loop) > 1)
        fiber_sleep(10);
    close(fds[0]);
    close(fds[1]);
}

static void blocking(void *arg)
{
    usleep(2000);
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static void offload_one(void *arg)
{
    fiber_offload(blocking, arg);
}

TEST_FIBER(simulated_clock_stands_still_for_blocking_work)
{
    int n = 0;
    uint64_t start = clock_now(loop);

    for (int i = 0; i < 20; i++)
        fiber_start(loop, "work", offload_one, &n);
    fiber_offload(blocking, &n);
    CHECK_INT(clock_now(loop), start);
    fiber_sleep(1);
    CHECK_INT(clock_now(loop), start + 1);
    CHECK_INT(n, 21);
}

static void hold_errno(void *arg)
{
    (void)arg;
    errno = EXDEV;
    fiber_yield();
    CHECK_INT(errno, EXDEV);
    fiber_set_local(&trail);
    fiber_yield();
    CHECK(fiber_local() == &trail);
}

TEST_FIBER(errno_and_local_belong_to_the_fiber)
{
    fiber_start(loop, "e", hold_errno, NULL);
    for (int i = 0; i < 4; i++) {
        errno = ENOENT;
        fiber_set_local(NULL);
        fiber_yield();
        CHECK_INT(errno, ENOENT);
    }
    CHECK_STR(fiber_name(fiber_self()), "errno_and_local_belong_to_the_fiber");
}

static void deep(void *arg)
{
    volatile char frame[60000];
    double d = *(int *)arg * 1.5;
    char text[64];

    memset((char *)(uintptr_t)frame, *(int *)arg, sizeof(frame));
    fiber_yield();
    snprintf(text, sizeof(text), "%.2f", d); /* floating point state is kept too */
    CHECK(frame[0] == frame[sizeof(frame) - 1]);
    CHECK_INT(frame[0], *(int *)arg);
    CHECK(strcmp(text, *(int *)arg == 1 ? "1.50" : "3.00") == 0);
}

TEST_FIBER(stacks_are_apart_and_reused)
{
    int one = 1, two = 2;

    for (int i = 0; i < 1000; i++) {
        fiber_start(loop, "one", deep, &one);
        fiber_start(loop, "two", deep, &two);
        fiber_yield();
        fiber_yield();
    }
    fiber_yield();
    CHECK_INT(fiber_count(loop), 1);
}

static void count_up(void *arg)
{
    struct shared *s = arg;

    if (waitq_wait(&s->q, FOREVER))
        s->n_true++;
}

TEST_FIBER(thousands_wait_at_once)
{
    struct shared s = { .deadline = FOREVER };

    waitq_init(&s.q);
    for (int i = 0; i < 2000; i++)
        fiber_start(loop, "w", count_up, &s);
    fiber_sleep(1);
    waitq_wake_all(&s.q);
    fiber_sleep(1);
    CHECK_INT(s.n_true, 2000);
}
