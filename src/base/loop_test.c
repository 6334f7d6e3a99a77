#include "base/loop.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/vec.h"
#include "test.h"

static char trail[256];
static size_t trail_len;
static struct loop *current;

static void mark(void *arg)
{
    if (trail_len < sizeof(trail) - 1)
        trail[trail_len++] = *(const char *)arg;
    trail[trail_len] = 0;
}

static struct loop *simulated(void)
{
    trail_len = 0;
    trail[0] = 0;
    current = loop_new_simulated(1000);
    return current;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

TEST(timers_fire_in_order_of_time_then_setting)
{
    AUTO(loop_drop) struct loop *l = simulated();
    static const struct {
        const char *name;
        uint64_t at;
    } plan[] = { { "c", 300 }, { "a", 100 }, { "x", 200 }, { "b", 100 }, { "d", 300 }, { "e", 1000000000 } };
    struct timer *t[ARRAY_LEN(plan)];

    for (size_t i = 0; i < ARRAY_LEN(plan); i++) {
        t[i] = timer_new(l, mark, (void *)(uintptr_t)plan[i].name);
        timer_set(t[i], plan[i].at);
    }
    timer_stop(t[2]);
    timer_set(t[0], 200);
    while (loop_turn(l, true) && clock_now(l) < 1000000000)
        ;
    CHECK_STR(trail, "abcde");
    CHECK_INT(clock_now(l), 1000000000);
    CHECK_INT(clock_wall(l), 1000001000);
    clock_step_wall(l, -500);
    CHECK_INT(clock_wall(l), 1000000500);
    for (size_t i = 0; i < ARRAY_LEN(plan); i++)
        timer_free(t[i]);
}

static uint64_t fired_at;
static bool fired_late;
static void check_order(void *arg)
{
    (void)arg;
    fired_late |= clock_now(current) < fired_at;
    fired_at = clock_now(current);
    trail_len++;
}

TEST(heap_keeps_its_order_under_any_sequence)
{
    AUTO(loop_drop) struct loop *l = simulated();
    struct timer *t[500];
    uint32_t random = 1;

    fired_at = 0;
    for (size_t i = 0; i < 500; i++)
        t[i] = timer_new(l, check_order, NULL);
    for (size_t i = 0; i < 5000; i++) {
        random = random * 1664525 + 1013904223;
        if (random >> 24 < 64)
            timer_stop(t[(random >> 8) % 500]);
        else
            timer_set(t[(random >> 8) % 500], 1 + (random >> 4) % 1000);
    }
    for (size_t i = 0; i < 500; i++)
        timer_set(t[i], 1 + i * 7919 % 500);
    for (int i = 0; i < 600; i++)
        if (clock_now(l) < 500)
            loop_turn(l, true);
    CHECK(!fired_late);
    CHECK_INT(trail_len, 500);
    for (size_t i = 0; i < 500; i++)
        timer_free(t[i]);
}

static struct timer *self_timer;
static void fire_again(void *arg)
{
    mark(arg);
    timer_set(self_timer, 0);
}

TEST(timer_that_is_always_due_does_not_hold_the_loop)
{
    AUTO(loop_drop) struct loop *l = simulated();

    self_timer = timer_new(l, fire_again, (void *)(uintptr_t) "t");
    timer_set(self_timer, 0);
    CHECK(loop_turn(l, false));
    CHECK_STR(trail, "t");
    CHECK(loop_turn(l, false));
    CHECK_STR(trail, "tt");
    timer_free(self_timer);
    CHECK(!loop_turn(l, false));
}

static void defer_more(void *arg)
{
    mark(arg);
    loop_defer(current, mark, (void *)(uintptr_t) "3");
}

TEST(deferred_calls_run_in_order_and_their_own_in_the_next_round)
{
    AUTO(loop_drop) struct loop *l = simulated();

    loop_defer(l, defer_more, (void *)(uintptr_t) "1");
    loop_defer(l, mark, (void *)(uintptr_t) "2");
    CHECK(loop_turn(l, true));
    CHECK_STR(trail, "12");
    CHECK(loop_turn(l, true));
    CHECK_STR(trail, "123");
    CHECK(!loop_turn(l, false));
}

struct peer {
    struct watch *watch;
    struct watch *other;
    int fd;
};

static void on_read(void *arg, uint32_t events)
{
    struct peer *p = arg;
    char c;

    if (events & EPOLLIN && read(p->fd, &c, 1) == 1)
        mark(&c);
}

static void on_read_then_free(void *arg, uint32_t events)
{
    struct peer *p = arg;

    on_read(arg, events);
    watch_drop(&p->watch);
    watch_drop(&p->other);
}

TEST(watch_is_level_triggered_and_can_be_paused)
{
    AUTO(loop_drop) struct loop *l = simulated();
    struct peer p;
    int fds[2];

    CHECK_OK(socket_pair(fds));
    p.fd = fds[0];
    p.watch = watch_new(l, fds[0], EPOLLIN, on_read, &p);
    CHECK_INT(write(fds[1], "abc", 3), 3);
    loop_turn(l, false);
    loop_turn(l, false);
    CHECK_STR(trail, "ab");
    watch_set(p.watch, 0);
    CHECK(!loop_turn(l, false));
    watch_set(p.watch, EPOLLIN);
    CHECK(loop_turn(l, false));
    CHECK_STR(trail, "abc");
    watch_set(p.watch, 0);
    close(fds[1]); /* a hangup must not wake what is paused */
    CHECK(!loop_turn(l, false));
    watch_free(p.watch);
    close(fds[0]);
}

static void on_writable(void *arg, uint32_t events)
{
    (void)events;
    mark(arg);
}

TEST(watches_share_a_descriptor_and_may_free_each_other)
{
    AUTO(loop_drop) struct loop *l = simulated();
    struct peer p;
    struct watch *w;
    int fds[2];

    CHECK_OK(socket_pair(fds));
    p.fd = fds[0];
    p.watch = watch_new(l, fds[0], EPOLLIN, on_read_then_free, &p);
    p.other = watch_new(l, fds[0], EPOLLIN, on_writable, (void *)(uintptr_t) "!");
    w = watch_new(l, fds[0], EPOLLOUT, on_writable, (void *)(uintptr_t) "w");
    loop_turn(l, false);
    CHECK_STR(trail, "w");
    CHECK_INT(write(fds[1], "ab", 2), 2);
    loop_turn(l, false);
    CHECK_STR(trail, "waw");
    loop_turn(l, false);
    CHECK_STR(trail, "waww"); /* nobody reads any more */
    watch_free(w);
    CHECK(!loop_turn(l, false));
    close(fds[0]);
    close(fds[1]);
}

static struct peer *reuse_peer;
static void on_close_and_reuse(void *arg, uint32_t events)
{
    struct peer *p = arg;
    int number = p->other ? reuse_peer->fd : -1;

    (void)events;
    mark((void *)(uintptr_t) "1");
    watch_drop(&p->watch);
    watch_drop(&p->other);
    close(number);
    CHECK_INT(dup2(reuse_peer[1].fd, number), number);
    reuse_peer[1].watch = watch_new(current, number, EPOLLIN, on_read, &reuse_peer[1]);
}

TEST(event_of_a_closed_descriptor_does_not_reach_its_successor)
{
    AUTO(loop_drop) struct loop *l = simulated();
    int a[2], b[2], c[2];
    struct peer first, others[2];

    CHECK_OK(socket_pair(a));
    CHECK_OK(socket_pair(b));
    CHECK_OK(socket_pair(c));
    others[0] = (struct peer){ .fd = b[0] };
    others[1] = (struct peer){ .fd = c[0] };
    reuse_peer = others;
    first = (struct peer){ .fd = a[0] };
    first.watch = watch_new(l, a[0], EPOLLIN, on_close_and_reuse, &first);
    first.other = watch_new(l, b[0], EPOLLIN, on_writable, (void *)(uintptr_t) "!");
    CHECK_INT(write(a[1], "x", 1), 1);
    CHECK_INT(write(b[1], "x", 1), 1);
    loop_turn(l, false);
    CHECK_STR(trail, "1");
    CHECK(!loop_turn(l, false));
    CHECK_INT(write(c[1], "z", 1), 1);
    CHECK(loop_turn(l, false));
    CHECK_STR(trail, "1z");
    watch_free(others[1].watch);
    for (int i = 0; i < 2; i++)
        close(a[i]), close(b[i]), close(c[i]);
}

static void count(void *arg)
{
    if (++*(int *)arg == 4000)
        loop_stop(current);
}

static void *post_many(void *arg)
{
    for (int i = 0; i < 1000; i++)
        loop_post(current, count, arg);
    return NULL;
}

TEST(posts_of_other_threads_all_arrive)
{
    AUTO(loop_drop) struct loop *l = NULL;
    pthread_t threads[4];
    int n = 0;

    CHECK_OK(loop_new(&l));
    current = l;
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, post_many, &n), 0);
    loop_run(l);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    CHECK_INT(n, 4000);
}

TEST(real_timer_waits_about_as_long_as_told)
{
    AUTO(loop_drop) struct loop *l = NULL;
    AUTO(timer_drop) struct timer *t = NULL;
    uint64_t start;

    CHECK_OK(loop_new(&l));
    t = timer_new(l, stop, l);
    start = clock_now(l);
    timer_set(t, start + 2500);
    loop_run(l);
    CHECK(clock_now(l) - start >= 2500);
}

TEST(signals_arrive_as_calls)
{
    AUTO(loop_drop) struct loop *l = simulated();

    CHECK_OK(loop_signal(l, SIGUSR1, mark, (void *)(uintptr_t) "u"));
    CHECK_OK(loop_signal(l, SIGUSR2, mark, (void *)(uintptr_t) "v"));
    raise(SIGUSR1);
    raise(SIGUSR2);
    CHECK(loop_turn(l, false));
    CHECK_STR(trail, "uv");
}
