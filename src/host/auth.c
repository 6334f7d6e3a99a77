#include "host/auth.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#define ATTEMPT_US 20000000
#define INPUT_MAX 4096 /* fits a pipe, so writing never waits */
#define ANSWER_MAX (64 * 1024)
#define GROUPS_MAX 256

void auth_door_init(struct auth_door *d, struct loop *l, const char *program, const char *passwd)
{
    *d = (struct auth_door){ .loop = l, .program = program, .passwd = passwd };
    waitq_init(&d->room);
}

struct err *auth_answer_parse(struct arena *a, struct str text, struct host_auth_rep *ret)
{
    const char **groups = arena_new_array(a, GROUPS_MAX, const char *);
    struct host_auth_rep rep = { .reason = "", .groups = groups };
    struct str line, word, rest;

    if (!str_cut(text, '\n', &line, &text))
        return err_internal("the auth process did not answer");
    str_cut(line, ' ', &word, &rest);
    if (str_eq_c(word, "no")) {
        rep.reason = arena_strndup(a, rest.p, rest.len);
    } else if (str_eq_c(word, "ok") && (str_eq_c(rest, "superuser") || str_eq_c(rest, "user"))) {
        rep.ok = true;
        rep.superuser = str_eq_c(rest, "superuser");
    } else {
        return err_internal("the auth process answered nonsense");
    }
    while (text.len && rep.n_groups < GROUPS_MAX) {
        if (!str_cut(text, '\n', &line, &text) || !str_starts(line, STR("group ")))
            return err_internal("the auth process answered nonsense");
        groups[rep.n_groups++] = arena_strndup(a, line.p + 6, line.len - 6);
    }
    *ret = rep;
    return NULL;
}

static struct err *send_attempt(int fd, const char *user, const char *password)
{
    char text[INPUT_MAX];
    size_t n = strlen(user) + 1, m = strlen(password) + 1;

    memcpy(text, user, n);
    memcpy(text + n, password, m);
    struct err *e = fd_write_all(fd, text, n + m);
    mem_wipe(text, sizeof(text));
    return e;
}

static struct err *read_answer(int fd, uint64_t deadline, struct buf *b)
{
    for (;;) {
        char *p = buf_reserve(b, 4096);
        if (!p)
            return err_internal("the auth process says too much");
        if (!fiber_wait_fd(fd, EPOLLIN, deadline))
            return err_internal("the auth process took too long");
        ssize_t n = read(fd, p, 4096);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "read from the auth process");
        if (n == 0)
            return NULL;
        if (n > 0)
            buf_commit(b, (size_t)n);
    }
}

struct pipes {
    int in[2], out[2]; /* the child's input and output: [0] read end, [1] write end */
};

static void pipes_done(struct pipes *p)
{
    for (int i = 0; i < 2; i++) {
        fd_drop(&p->in[i]);
        fd_drop(&p->out[i]);
    }
}

static struct err *attempt(
    struct auth_door *d, struct arena *a, const char *user, const char *password, struct host_auth_rep *ret)
{
    const char *with_file[] = { d->program, "--passwd", d->passwd, NULL };
    const char *with_pam[] = { d->program, "--pam", NULL };
    uint64_t deadline = clock_now(d->loop) + ATTEMPT_US;
    AUTO(pipes_done) struct pipes p = { { -1, -1 }, { -1, -1 } };
    AUTO(buf_done) struct buf b = { 0 };
    AUTO(fd_drop) int pidfd = -1;
    struct err *e;
    int status;
    pid_t pid;

    if (pipe2(p.in, O_CLOEXEC) < 0 || pipe2(p.out, O_CLOEXEC) < 0)
        return err_errno(errno, "make pipes");
    struct proc_fd fds[] = { { p.in[0], STDIN_FILENO }, { p.out[1], STDOUT_FILENO }, { STDERR_FILENO, STDERR_FILENO } };
    struct proc_spec spec = {
        .argv = d->passwd ? with_file : with_pam, .fds = fds, .n_fds = 3, .die_with_parent = SIGKILL
    };
    TRY(proc_spawn(&spec, &pid, &pidfd));
    fd_drop(&p.in[0]);
    fd_drop(&p.out[1]);
    buf_init(&b, ANSWER_MAX);
    e = send_attempt(p.in[1], user, password);
    fd_drop(&p.in[1]);
    if (!e)
        e = fd_set_nonblock(p.out[0], true);
    if (!e)
        e = read_answer(p.out[0], deadline, &b);
    if (e)
        e = err_first(e, proc_kill(pidfd, SIGKILL));
    proc_wait(pidfd, clock_now(d->loop) + ATTEMPT_US, &status);
    return e ? e : auth_answer_parse(a, buf_str(&b), ret);
}

struct err *auth_door_ask(
    struct auth_door *d, struct arena *a, const char *user, const char *password, struct host_auth_rep *ret)
{
    struct err *e;

    if (strlen(user) + strlen(password) + 2 > INPUT_MAX) {
        *ret = (struct host_auth_rep){ .reason = "user or password too long" };
        return NULL;
    }
    while (d->running >= N_AUTH_MAX)
        if (!waitq_wait(&d->room, FOREVER) && fiber_interrupted())
            return ipc_interrupted();
    d->running++;
    e = attempt(d, a, user, password, ret);
    d->running--;
    waitq_wake_all(&d->room);
    return e;
}
