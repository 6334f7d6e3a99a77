#include "base/fiber.h"
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/asan.h"
#include "base/context.h"
#include "base/loop_private.h"
#include "base/mem.h"

#ifdef __SANITIZE_ADDRESS__
#define STACK_SIZE ((size_t)1024 * 1024) /* its frames are several times as large */
#else
#define STACK_SIZE ((size_t)128 * 1024)
#endif
#define GUARD_SIZE ((size_t)16 * 1024)
#define N_STACKS_KEPT 256
#define N_WORKERS 4

/* Lies at the low end of the stack that it describes, above the guard page. */
struct stack {
    struct stack *next;
};

struct fiber {
    struct link link;   /* in loop_fibers.all */
    struct link waiter; /* in the waitq it waits in */
    struct loop *loop;
    char *name;
    fiber_fn *fn;
    void *arg;
    void *local;
    struct stack *stack;
    struct context context;
    struct timer *timer; /* owned; made at the first wait with a deadline */
    bool woken;          /* resumes in this round or the next, or will not park */
    bool parked;
    bool interruptible; /* parked in waitq_wait() or sleep */
    bool interrupted;
    bool timed_out;
    bool called; /* by waitq_wake_all() */
    bool done;
    void *fake_stack; /* of the sanitizers */
    void *tsan;
};

/* The thread's own stack, from which fibers are resumed, and which of them runs. */
static _Thread_local struct {
    struct fiber *self;
    struct context context;
    void *fake_stack;
    const void *bottom;
    size_t size;
    void *tsan;
} thread;

/* Stacks */

static struct stack *stack_new(void)
{
    char *p = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED || mprotect(p, GUARD_SIZE, PROT_NONE) < 0) {
        fputs("out of memory for stacks\n", stderr);
        abort();
    }
    return (struct stack *)(void *)(p + GUARD_SIZE);
}

static void stack_free(struct stack *s)
{
    asan_show(s, STACK_SIZE);
    munmap((char *)s - GUARD_SIZE, GUARD_SIZE + STACK_SIZE);
}

static struct stack *stack_take(struct loop_fibers *lf)
{
    struct stack *s = lf->stacks;

    if (s) {
        lf->stacks = s->next;
        lf->n_stacks--;
    } else {
        s = stack_new();
    }
    asan_show(s, STACK_SIZE); /* the last fiber's frames never returned */
    lsan_root_add(s, STACK_SIZE);
    return s;
}

static void stack_give(struct loop_fibers *lf, struct stack *s)
{
    lsan_root_remove(s, STACK_SIZE);
    if (lf->n_stacks >= N_STACKS_KEPT) {
        stack_free(s);
        return;
    }
    asan_show(s, sizeof(*s));
    s->next = lf->stacks;
    lf->stacks = s;
    lf->n_stacks++;
}

/* Life and switching */

static void fiber_free(struct fiber *f)
{
    struct loop_fibers *lf = loop_fibers(f->loop);

    stack_give(lf, f->stack);
    list_remove(&f->link);
    lf->count--;
    timer_free(f->timer);
    tsan_fiber_free(f->tsan);
    free(f->name);
    free(f);
}

static void leave(struct fiber *f)
{
    int saved = errno; /* the others' system calls are not this fiber's */

    asan_switch_begin(f->done ? NULL : &f->fake_stack, thread.bottom, thread.size);
    tsan_fiber_switch(thread.tsan);
    context_switch(&f->context, &thread.context);
    asan_switch_end(f->fake_stack, &thread.bottom, &thread.size);
    errno = saved;
}

static void fiber_main(void)
{
    struct fiber *f = thread.self;

    asan_switch_end(NULL, &thread.bottom, &thread.size);
    f->fn(f->arg);
    f->done = true;
    leave(f);
    abort(); /* nobody resumes what is done */
}

static void resume(void *arg)
{
    struct fiber *f = arg;

    assert(!thread.self && "a fiber cannot run another");
    if (f->parked) /* not so after a yield: a wake meanwhile is for the next park */
        f->woken = f->parked = false;
    thread.self = f;
    thread.tsan = tsan_fiber_self();
    asan_switch_begin(&thread.fake_stack, f->stack, STACK_SIZE);
    tsan_fiber_switch(f->tsan);
    context_switch(&thread.context, &f->context);
    asan_switch_end(thread.fake_stack, NULL, NULL);
    thread.self = NULL;
    if (f->done)
        fiber_free(f);
}

static struct fiber *fiber_new(struct loop *l, const char *name, fiber_fn *fn, void *arg)
{
    struct loop_fibers *lf = loop_fibers(l);
    struct fiber *f = mem_new(struct fiber);

    *f = (struct fiber){ .loop = l, .name = mem_strdup(name ? name : "fiber"), .fn = fn, .arg = arg };
    f->stack = stack_take(lf);
    f->tsan = tsan_fiber_new();
    context_init(&f->context, f->stack, STACK_SIZE, fiber_main);
    list_append(&lf->all, &f->link);
    lf->count++;
    return f;
}

struct fiber *fiber_start(struct loop *l, const char *name, fiber_fn *fn, void *arg)
{
    struct fiber *f = fiber_new(l, name, fn, arg);

    f->parked = true;
    fiber_wake(f);
    return f;
}

void fiber_run(struct loop *l, const char *name, fiber_fn *fn, void *arg)
{
    resume(fiber_new(l, name, fn, arg));
}

/* Those that still wait never come back: what they own is leaked, and a leak checker says so. */
void fibers_done(struct loop *l)
{
    struct loop_fibers *lf = loop_fibers(l);

    LIST_EACH (at, &lf->all)
        fiber_free(CONTAINER_OF(at, struct fiber, link));
    while (lf->stacks) {
        struct stack *s = lf->stacks;

        lf->stacks = s->next;
        stack_free(s);
    }
}

struct fiber *fiber_self(void)
{
    return thread.self;
}

struct loop *fiber_loop(void)
{
    return thread.self ? thread.self->loop : NULL;
}

const char *fiber_name(const struct fiber *f)
{
    return f->name;
}

size_t fiber_count(const struct loop *l)
{
    return loop_fibers(l)->count;
}

void fiber_set_local(void *p)
{
    assert(thread.self);
    thread.self->local = p;
}

void *fiber_local(void)
{
    return thread.self ? thread.self->local : NULL;
}

/* Waiting */

void fiber_park(void)
{
    struct fiber *f = thread.self;

    assert(f && "only a fiber can wait");
    if (f->woken) {
        f->woken = false;
        return;
    }
    f->parked = true;
    leave(f);
}

void fiber_wake(struct fiber *f)
{
    if (f->woken)
        return;
    f->woken = true;
    if (f->parked)
        loop_defer(f->loop, resume, f);
}

static void on_timer(void *arg)
{
    struct fiber *f = arg;

    f->timed_out = true;
    fiber_wake(f);
}

static void deadline_begin(struct fiber *f, uint64_t deadline_us)
{
    f->timed_out = false;
    if (deadline_us == FOREVER)
        return;
    if (!f->timer)
        f->timer = timer_new(f->loop, on_timer, f);
    timer_set(f->timer, deadline_us);
}

static void deadline_end(struct fiber *f)
{
    if (f->timer)
        timer_stop(f->timer);
}

void fiber_yield(void)
{
    struct fiber *f = thread.self;

    assert(f && "only a fiber can wait");
    loop_defer(f->loop, resume, f);
    leave(f);
}

void fiber_sleep_until(uint64_t at_us)
{
    struct fiber *f = thread.self;

    assert(f && "only a fiber can wait");
    if (f->interrupted) {
        fiber_yield(); /* who sleeps in a circle must not stop the loop */
        return;
    }
    deadline_begin(f, at_us);
    f->interruptible = true;
    while (!f->timed_out && !f->interrupted)
        fiber_park();
    f->interruptible = false;
    deadline_end(f);
}

void fiber_sleep(uint64_t us)
{
    uint64_t at;

    fiber_sleep_until(__builtin_add_overflow(clock_now(fiber_loop()), us, &at) ? FOREVER : at);
}

struct readiness {
    struct fiber *fiber;
    bool ready;
};

static void on_ready(void *arg, uint32_t events)
{
    struct readiness *r = arg;

    (void)events;
    r->ready = true;
    fiber_wake(r->fiber);
}

bool fiber_wait_fd(int fd, uint32_t events, uint64_t deadline_us)
{
    struct fiber *f = thread.self;
    struct readiness r = { .fiber = f };
    struct watch *w;

    assert(f && "only a fiber can wait");
    w = watch_try(f->loop, fd, events, on_ready, &r);
    if (!w)
        return true;
    deadline_begin(f, deadline_us);
    while (!r.ready && !f->timed_out)
        fiber_park();
    deadline_end(f);
    watch_free(w);
    return r.ready;
}

void waitq_init(struct waitq *q)
{
    list_init(&q->waiters);
}

bool waitq_wait(struct waitq *q, uint64_t deadline_us)
{
    struct fiber *f = thread.self;

    assert(f && q->waiters.next && "only a fiber can wait, in a queue that was initialised");
    if (f->interrupted)
        return false;
    f->called = false;
    list_append(&q->waiters, &f->waiter);
    deadline_begin(f, deadline_us);
    f->interruptible = true;
    while (!f->called && !f->timed_out && !f->interrupted)
        fiber_park();
    f->interruptible = false;
    deadline_end(f);
    list_remove(&f->waiter);
    return f->called;
}

void waitq_wake_all(struct waitq *q)
{
    LIST_EACH (at, &q->waiters) {
        struct fiber *f = CONTAINER_OF(at, struct fiber, waiter);

        list_remove(at);
        f->called = true;
        fiber_wake(f);
    }
}

bool waitq_empty(const struct waitq *q)
{
    return list_empty(&q->waiters);
}

void fiber_interrupt(struct fiber *f)
{
    f->interrupted = true;
    if (f->interruptible)
        fiber_wake(f);
}

bool fiber_interrupted(void)
{
    return thread.self && thread.self->interrupted;
}

void fiber_interrupt_clear(void)
{
    if (thread.self)
        thread.self->interrupted = false;
}

/* Blocking work: a few threads for the whole process, started when first needed, never ended. */

struct job {
    struct link link;
    struct loop *loop;
    struct fiber *fiber;
    loop_fn *fn;
    void *arg;
    bool done;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct link jobs; /* guarded by lock, as is what follows */
    unsigned n_threads, n_idle, n_jobs;
} workers = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .jobs = { &workers.jobs, &workers.jobs }
};

static void job_done(void *arg)
{
    struct job *j = arg;

    j->done = true;
    loop_fibers(j->loop)->n_offloads--;
    fiber_wake(j->fiber);
}

static void *worker(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&workers.lock);
    for (;;) {
        struct job *j;

        while (list_empty(&workers.jobs)) {
            workers.n_idle++;
            pthread_cond_wait(&workers.more, &workers.lock);
            workers.n_idle--;
        }
        j = CONTAINER_OF(workers.jobs.next, struct job, link);
        list_remove(&j->link);
        workers.n_jobs--;
        pthread_mutex_unlock(&workers.lock);
        j->fn(j->arg);
        loop_post(j->loop, job_done, j);
        pthread_mutex_lock(&workers.lock);
    }
    return NULL;
}

static void worker_start(void)
{
    sigset_t all, old;
    pthread_attr_t attr;
    pthread_t id;

    sigfillset(&all); /* signals belong to the loop */
    pthread_sigmask(SIG_BLOCK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&id, &attr, worker, NULL) == 0)
        workers.n_threads++;
    else if (!workers.n_threads)
        abort(); /* nobody would ever do the work */
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void fiber_offload(loop_fn *fn, void *arg)
{
    struct fiber *f = thread.self;
    struct job j = { .fiber = f, .fn = fn, .arg = arg };

    assert(f && "only a fiber can wait");
    j.loop = f->loop;
    loop_fibers(f->loop)->n_offloads++;
    pthread_mutex_lock(&workers.lock);
    list_append(&workers.jobs, &j.link);
    workers.n_jobs++;
    if (workers.n_jobs > workers.n_idle && workers.n_threads < N_WORKERS)
        worker_start();
    pthread_cond_signal(&workers.more);
    pthread_mutex_unlock(&workers.lock);
    while (!j.done)
        fiber_park();
}
