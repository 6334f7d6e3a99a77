/*
 * A round: wait for descriptors, run their handlers, then what other threads
 * posted, then due timers, then what was deferred before the deferred ones
 * began to run. Level-triggered throughout. Several watches may share a
 * descriptor: a slot per descriptor number holds them, and epoll gets the union.
 */
#include "base/loop.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/list.h"
#include "base/loop_private.h"
#include "base/mem.h"
#include "base/vec.h"

#define N_EVENTS 128
#define WANTED (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP)
#define STUCK_US 1000000 /* an idle simulated loop waits this long, in real time, before it says that nothing ran */

struct watch {
    struct link link; /* in its slot */
    struct loop *loop;
    watch_fn *fn;
    void *arg;
    uint64_t born; /* the round: events of that round are older than it */
    uint32_t events;
    int fd;
    bool dead; /* freed while its slot is being walked */
};

struct slot {
    struct link watches;
    uint32_t armed; /* what epoll knows; 0: not registered */
};

struct timer {
    struct loop *loop;
    loop_fn *fn;
    void *arg;
    uint64_t at_us;
    uint64_t seq; /* equal times fire in the order of setting */
    size_t pos;   /* in the heap, plus 1; 0: not set */
};

struct call {
    loop_fn *fn;
    void *arg;
};
typedef VEC(struct call) call_vec;

struct loop {
    int epfd, wake_fd, signal_fd;
    bool stop, simulated;
    uint64_t now_us, wall_us; /* simulated */
    uint64_t round;
    VEC(struct slot *) slots; /* by descriptor number */
    struct slot *walked;      /* its handlers are running */
    VEC(struct timer *) heap;
    uint64_t timer_seq;
    call_vec deferred;
    call_vec spare; /* memory for the next batch */
    pthread_mutex_t lock;
    call_vec posted; /* guarded by lock */
    sigset_t signals;
    struct watch *wake_watch, *signal_watch;
    struct call on_signal[_NSIG];
    struct loop_fibers fibers;
};

struct loop_fibers *loop_fibers(const struct loop *l)
{
    return (struct loop_fibers *)&l->fibers;
}

/* Clocks */

static uint64_t read_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_now(const struct loop *l)
{
    return l->simulated ? l->now_us : read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall(const struct loop *l)
{
    return l->simulated ? l->wall_us + l->now_us : read_clock(CLOCK_REALTIME);
}

void clock_step_wall(struct loop *l, int64_t us)
{
    assert(l->simulated);
    l->wall_us += (uint64_t)us;
}

/* Watches */

/* 0, or the errno of what epoll refused. */
static int slot_arm(struct loop *l, int fd)
{
    struct slot *s = l->slots.p[fd];
    struct epoll_event ev = { .data.fd = fd };
    int op;

    LIST_EACH (at, &s->watches)
        ev.events |= CONTAINER_OF(at, struct watch, link)->events;
    if (ev.events == s->armed)
        return 0;
    op = !ev.events ? EPOLL_CTL_DEL : s->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    s->armed = ev.events;
    return epoll_ctl(l->epfd, op, fd, &ev) < 0 ? errno : 0;
}

struct watch *watch_try(struct loop *l, int fd, uint32_t events, watch_fn *fn, void *arg)
{
    struct watch *w = mem_new(struct watch);
    int errnum;

    assert(fd >= 0);
    while (l->slots.len <= (size_t)fd)
        vec_push(&l->slots, NULL);
    if (!l->slots.p[fd]) {
        l->slots.p[fd] = mem_new(struct slot);
        list_init(&l->slots.p[fd]->watches);
    }
    *w = (struct watch){ .loop = l, .fn = fn, .arg = arg, .born = l->round, .events = events & WANTED, .fd = fd };
    list_append(&l->slots.p[fd]->watches, &w->link);
    errnum = slot_arm(l, fd);
    if (!errnum)
        return w;
    list_remove(&w->link);
    l->slots.p[fd]->armed = 0;
    free(w);
    if (errnum == EPERM)
        return NULL;
    fprintf(stderr, "cannot watch descriptor %d: %s\n", fd, strerrordesc_np(errnum));
    abort(); /* closed before its watch_free(), or the kernel's limit of watches: both leave us deaf */
}

struct watch *watch_new(struct loop *l, int fd, uint32_t events, watch_fn *fn, void *arg)
{
    struct watch *w = watch_try(l, fd, events, fn, arg);

    assert(w && "plain files cannot be watched");
    return w;
}

void watch_set(struct watch *w, uint32_t events)
{
    w->events = events & WANTED;
    if (slot_arm(w->loop, w->fd) != 0)
        assert(!"descriptor closed before its watch");
}

static void watch_bury(struct watch *w)
{
    list_remove(&w->link);
    free(w);
}

void watch_free(struct watch *w)
{
    struct loop *l;

    if (!w)
        return;
    l = w->loop;
    w->events = 0;
    slot_arm(l, w->fd); /* a descriptor that is closed already has left epoll by itself */
    if (l->walked == l->slots.p[w->fd])
        w->dead = true;
    else
        watch_bury(w);
}

static void slot_dispatch(struct loop *l, int fd, uint32_t events)
{
    struct slot *s = l->slots.p[fd];

    l->walked = s;
    for (struct link *at = s->watches.next; at != &s->watches; at = at->next) {
        struct watch *w = CONTAINER_OF(at, struct watch, link);
        uint32_t got = events & (w->events | EPOLLERR | EPOLLHUP);

        if (w->events && got && w->born != l->round)
            w->fn(w->arg, got);
    }
    l->walked = NULL;
    LIST_EACH (at, &s->watches) {
        struct watch *w = CONTAINER_OF(at, struct watch, link);

        if (w->dead)
            watch_bury(w);
    }
}

/* Timers: a binary heap */

static bool timer_before(const struct timer *a, const struct timer *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

static void heap_place(struct loop *l, size_t i, struct timer *t)
{
    l->heap.p[i] = t;
    t->pos = i + 1;
}

static void heap_up(struct loop *l, size_t i, struct timer *t)
{
    for (; i > 0 && timer_before(t, l->heap.p[(i - 1) / 2]); i = (i - 1) / 2)
        heap_place(l, i, l->heap.p[(i - 1) / 2]);
    heap_place(l, i, t);
}

static void heap_down(struct loop *l, size_t i, struct timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < l->heap.len && timer_before(l->heap.p[child + 1], l->heap.p[child]))
            child++;
        if (child >= l->heap.len || !timer_before(l->heap.p[child], t))
            break;
        heap_place(l, i, l->heap.p[child]);
        i = child;
    }
    heap_place(l, i, t);
}

struct timer *timer_new(struct loop *l, loop_fn *fn, void *arg)
{
    struct timer *t = mem_new(struct timer);

    *t = (struct timer){ .loop = l, .fn = fn, .arg = arg };
    return t;
}

void timer_stop(struct timer *t)
{
    struct loop *l = t->loop;
    size_t i = t->pos - 1;
    struct timer *last;

    if (!t->pos)
        return;
    t->pos = 0;
    last = l->heap.p[--l->heap.len];
    if (last == t)
        return;
    if (i > 0 && timer_before(last, l->heap.p[(i - 1) / 2]))
        heap_up(l, i, last);
    else
        heap_down(l, i, last);
}

void timer_set(struct timer *t, uint64_t at_us)
{
    struct loop *l = t->loop;
    uint64_t now = clock_now(l);

    timer_stop(t);
    t->at_us = at_us < now ? now : at_us; /* nobody overtakes those that are due already */
    t->seq = ++l->timer_seq;
    vec_push(&l->heap, t);
    heap_up(l, l->heap.len - 1, t);
}

void timer_free(struct timer *t)
{
    if (!t)
        return;
    timer_stop(t);
    free(t);
}

/* Timers set by the handlers wait for the next round, or one that is always due would keep the loop here. */
static bool run_timers(struct loop *l)
{
    uint64_t now = clock_now(l), seq = l->timer_seq;
    bool ran = false;

    while (l->heap.len && l->heap.p[0]->at_us <= now && l->heap.p[0]->seq <= seq) {
        struct timer *t = l->heap.p[0];

        timer_stop(t);
        t->fn(t->arg);
        ran = true;
    }
    return ran;
}

/* Deferred and posted calls */

void loop_defer(struct loop *l, loop_fn *fn, void *arg)
{
    vec_push(&l->deferred, ((struct call){ fn, arg }));
}

void loop_post(struct loop *l, loop_fn *fn, void *arg)
{
    bool first;

    pthread_mutex_lock(&l->lock);
    first = l->posted.len == 0;
    vec_push(&l->posted, ((struct call){ fn, arg }));
    /* Inside the lock: once it is free, the call may run and the loop may end. */
    if (first && eventfd_write(l->wake_fd, 1) < 0)
        abort();
    pthread_mutex_unlock(&l->lock);
}

/* Runs *calls; what they add to it waits. */
static bool run_calls(struct loop *l, call_vec *calls, bool locked)
{
    call_vec batch;

    if (locked)
        pthread_mutex_lock(&l->lock);
    batch = *calls;
    *calls = l->spare;
    l->spare = (call_vec){ 0 };
    if (locked)
        pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; i < batch.len; i++)
        batch.p[i].fn(batch.p[i].arg);
    if (l->spare.p) { /* a nested run left one */
        vec_done(&batch);
        return true;
    }
    l->spare = batch;
    l->spare.len = 0;
    return batch.len > 0;
}

static void on_wake(void *arg, uint32_t events)
{
    struct loop *l = arg;
    eventfd_t n;

    (void)events;
    if (eventfd_read(l->wake_fd, &n) < 0)
        return;
    run_calls(l, &l->posted, true);
}

/* Signals */

static void on_signals(void *arg, uint32_t events)
{
    struct loop *l = arg;
    struct signalfd_siginfo si;

    (void)events;
    while (read(l->signal_fd, &si, sizeof(si)) == sizeof(si))
        if (si.ssi_signo < _NSIG && l->on_signal[si.ssi_signo].fn)
            l->on_signal[si.ssi_signo].fn(l->on_signal[si.ssi_signo].arg);
}

struct err *loop_signal(struct loop *l, int signo, loop_fn *fn, void *arg)
{
    int errnum, fd;

    assert(signo > 0 && signo < _NSIG);
    sigaddset(&l->signals, signo);
    errnum = pthread_sigmask(SIG_BLOCK, &l->signals, NULL);
    if (errnum)
        return err_errno(errnum, "block signal %d", signo);
    fd = signalfd(l->signal_fd, &l->signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        return err_errno(errno, "signalfd");
    l->on_signal[signo] = (struct call){ fn, arg };
    if (l->signal_fd < 0) {
        l->signal_fd = fd;
        l->signal_watch = watch_new(l, fd, EPOLLIN, on_signals, l);
    }
    return NULL;
}

/* The loop */

static bool wait_events(struct loop *l, uint64_t timeout_us)
{
    struct epoll_event ev[N_EVENTS];
    struct timespec ts = { (time_t)(timeout_us / 1000000), (long)(timeout_us % 1000000) * 1000 };
    int n = epoll_pwait2(l->epfd, ev, N_EVENTS, timeout_us == UINT64_MAX ? NULL : &ts, NULL);

    if (n < 0 && errno != EINTR)
        abort();
    for (int i = 0; i < n; i++)
        slot_dispatch(l, ev[i].data.fd, ev[i].events);
    return n > 0;
}

static uint64_t until_next_timer(const struct loop *l)
{
    uint64_t now = clock_now(l);

    if (!l->heap.len || l->heap.p[0]->at_us == UINT64_MAX)
        return UINT64_MAX;
    return l->heap.p[0]->at_us > now ? l->heap.p[0]->at_us - now : 0;
}

/* Nothing is left to do at this moment of a simulation: wait for a helper thread, or let time pass. */
static bool simulate_idle(struct loop *l)
{
    uint64_t wait_us = until_next_timer(l);

    if (l->fibers.n_offloads)
        return wait_events(l, UINT64_MAX);
    if (wait_us == UINT64_MAX)
        return wait_events(l, STUCK_US);
    l->now_us += wait_us;
    return run_timers(l);
}

bool loop_turn(struct loop *l, bool may_wait)
{
    bool may_sleep = may_wait && !l->simulated && !l->deferred.len;
    bool ran;

    l->round++;
    ran = wait_events(l, may_sleep ? until_next_timer(l) : 0);
    ran |= run_timers(l);
    ran |= run_calls(l, &l->deferred, false);
    if (!ran && may_wait && l->simulated)
        ran = simulate_idle(l);
    return ran;
}

void loop_run(struct loop *l)
{
    while (!l->stop)
        loop_turn(l, true);
    l->stop = false;
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}

struct err *loop_new(struct loop **ret_loop)
{
    struct loop *l = mem_new(struct loop);

    l->signal_fd = -1;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&l->lock, NULL);
    sigemptyset(&l->signals);
    list_init(&l->fibers.all);
    if (l->epfd < 0 || l->wake_fd < 0) {
        struct err *e = err_errno(errno, "make event loop");

        loop_free(l);
        return e;
    }
    l->wake_watch = watch_new(l, l->wake_fd, EPOLLIN, on_wake, l);
    *ret_loop = l;
    return NULL;
}

struct loop *loop_new_simulated(uint64_t wall_us)
{
    struct loop *l = NULL;
    struct err *e = loop_new(&l);

    if (e) { /* only tests and planning simulate: they cannot go on */
        fprintf(stderr, "%s\n", err_text(e));
        abort();
    }
    l->simulated = true;
    l->wall_us = wall_us;
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    while (l->fibers.n_offloads) /* a worker thread would post into freed memory */
        wait_events(l, UINT64_MAX);
    fibers_done(l);
    watch_free(l->wake_watch);
    watch_free(l->signal_watch);
    fd_drop(&l->epfd);
    fd_drop(&l->wake_fd);
    fd_drop(&l->signal_fd);
    for (size_t i = 0; i < l->slots.len; i++)
        free(l->slots.p[i]);
    vec_done(&l->slots);
    vec_done(&l->heap);
    vec_done(&l->deferred);
    vec_done(&l->posted);
    vec_done(&l->spare);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
