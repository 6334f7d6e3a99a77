#include "base/run.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"

#define END_US 10000000 /* for a process that was killed */
#define LOOK_US 500000  /* a wait for a descriptor is not cut: so often we look whether we were told to stop */

struct run {
    const struct run_spec *spec;
    int in, out[2], err[2]; /* [0] is ours */
    int any;                /* readable when one of them, or the end, has something to say */
    int pidfd;
    pid_t pid;
    struct buf out_text, err_text;
};

static void run_done(struct run *r)
{
    fd_drop(&r->in);
    for (int i = 0; i < 2; i++) {
        fd_drop(&r->out[i]);
        fd_drop(&r->err[i]);
    }
    fd_drop(&r->any);
    fd_drop(&r->pidfd);
    buf_done(&r->out_text);
    buf_done(&r->err_text);
}

static struct err *watch_also(struct run *r, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

    return epoll_ctl(r->any, EPOLL_CTL_ADD, fd, &ev) < 0 ? err_errno(errno, "watch a program") : NULL;
}

static struct err *start(struct run *r)
{
    struct proc_fd fds[3];
    struct proc_spec spec = {
        .argv = r->spec->argv, .envp = r->spec->envp, .fds = fds, .in_child = r->spec->in_child, .arg = r->spec->arg
    };

    r->any = epoll_create1(EPOLL_CLOEXEC);
    if (r->any < 0 || pipe2(r->out, O_CLOEXEC) < 0 || pipe2(r->err, O_CLOEXEC) < 0)
        return err_errno(errno, "make pipes");
    TRY(fd_memfd("input", r->spec->input.p, r->spec->input.len, &r->in));
    fds[spec.n_fds++] = (struct proc_fd){ r->in, STDIN_FILENO };
    fds[spec.n_fds++] = (struct proc_fd){ r->out[1], STDOUT_FILENO };
    fds[spec.n_fds++] = (struct proc_fd){ r->spec->errors_to_ours ? STDERR_FILENO : r->err[1], STDERR_FILENO };
    TRY(proc_spawn(&spec, &r->pid, &r->pidfd));
    fd_drop(&r->out[1]);
    fd_drop(&r->err[1]);
    return NULL;
}

/* What is there by now; a pipe at its end is closed. */
static struct err *drain(int *fd, struct buf *b)
{
    while (*fd >= 0) {
        char *p = buf_reserve(b, 4096);
        if (!p)
            return err_internal("it says too much");
        ssize_t n = read(*fd, p, 4096);
        if (n > 0)
            buf_commit(b, (size_t)n);
        else if (n == 0)
            fd_drop(fd);
        else if (errno == EAGAIN)
            return NULL;
        else if (errno != EINTR)
            return err_errno(errno, "read from a program");
    }
    return NULL;
}

static struct err *listen_to(struct run *r, struct loop *l, uint64_t deadline)
{
    struct epoll_event ev[4];
    bool ended = false;

    TRY(fd_set_nonblock(r->out[0], true));
    TRY(fd_set_nonblock(r->err[0], true));
    TRY(watch_also(r, r->out[0]));
    TRY(watch_also(r, r->err[0]));
    TRY(watch_also(r, r->pidfd));
    while (!ended) {
        uint64_t now = clock_now(l);

        if (now >= deadline)
            return err_internal("it takes too long");
        fiber_wait_fd(r->any, EPOLLIN, now + LOOK_US < deadline ? now + LOOK_US : deadline);
        if (fiber_interrupted())
            return err_new("TASK_CANCELLED", (const char *const[]){ "" }, 1);
        int n = epoll_wait(r->any, ev, 4, 0);
        for (int i = 0; i < n; i++)
            ended = ended || ev[i].data.fd == r->pidfd;
        TRY(drain(&r->out[0], &r->out_text));
        TRY(drain(&r->err[0], &r->err_text));
    }
    return NULL;
}

static struct str keep(struct arena *a, const struct buf *b)
{
    return (struct str){ arena_strndup(a, b->len ? b->p : "", b->len), b->len };
}

struct err *run_program(struct loop *l, const struct run_spec *s, struct arena *a, struct run_end *ret_end)
{
    AUTO(run_done)
    struct run r = { .spec = s, .in = -1, .out = { -1, -1 }, .err = { -1, -1 }, .any = -1, .pidfd = -1 };
    struct run_end end = { .status = -1 };

    buf_init(&r.out_text, s->out_max + 4096); /* so that one more step shows that it is too much */
    buf_init(&r.err_text, s->out_max + 4096);
    TRY(start(&r));
    struct err *e = listen_to(&r, l, clock_now(l) + s->timeout_us);
    kill(-r.pid, SIGKILL); /* its session: the number is taken until it is waited for */
    kill(r.pid, SIGKILL);
    proc_wait(r.pidfd, clock_now(l) + END_US, &end.status);
    if (e)
        return err_note(e, "%s", s->argv[0]);
    end.out = keep(a, &r.out_text);
    end.err = keep(a, &r.err_text);
    *ret_end = end;
    return NULL;
}
