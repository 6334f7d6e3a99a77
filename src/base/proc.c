#include "base/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <linux/close_range.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/str.h"

#define N_FDS_MAX 64

/* What the child tells through the pipe when it cannot become the program. */
struct failure {
    int errnum;
    char step[24];
};

/* Everything the child needs, made before fork: afterwards only async-signal-safe calls. */
struct child {
    const struct proc_spec *spec;
    struct proc_fd fds[N_FDS_MAX + 3];
    size_t n_fds;
    int report_fd;
    pid_t parent;
};

static NORETURN void fail(const struct child *c, const char *step)
{
    struct failure f = { .errnum = errno };

    memcpy(f.step, step, strnlen(step, sizeof(f.step) - 1));
    if (write(c->report_fd, &f, sizeof(f)) < 0)
        _exit(126);
    _exit(127);
}

static void reset_signals(void)
{
    struct sigaction act = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (int i = 1; i < _NSIG; i++)
        sigaction(i, &act, NULL); /* fails for SIGKILL and the like, which are as they should be */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* First out of the way of all targets, then to the targets: their order does not matter then. */
static void place_fds(struct child *c)
{
    int above = 3;

    for (size_t i = 0; i < c->n_fds; i++)
        if (c->fds[i].target >= above)
            above = c->fds[i].target + 1;
    c->report_fd = fcntl(c->report_fd, F_DUPFD_CLOEXEC, above);
    if (c->report_fd < 0)
        _exit(126);
    for (size_t i = 0; i < c->n_fds; i++) {
        c->fds[i].fd = fcntl(c->fds[i].fd, F_DUPFD_CLOEXEC, above);
        if (c->fds[i].fd < 0)
            fail(c, "descriptor");
    }
    /* Also those that some library forgot to mark. */
    if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        fail(c, "close_range");
    for (size_t i = 0; i < c->n_fds; i++)
        if (dup2(c->fds[i].fd, c->fds[i].target) < 0)
            fail(c, "dup2");
}

static NORETURN void child_main(struct child *c)
{
    static const char *const default_env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", NULL };
    const struct proc_spec *s = c->spec;

    reset_signals();
    if (!s->die_with_parent && setsid() < 0)
        fail(c, "setsid");
    if (s->in_child && s->in_child(s->arg) != 0)
        fail(c, "prepare");
    if (s->die_with_parent) { /* after in_child: a change of user clears it */
        if (prctl(PR_SET_PDEATHSIG, s->die_with_parent) < 0)
            fail(c, "pdeathsig");
        if (getppid() != c->parent)
            _exit(126);
    }
    place_fds(c);
    if (chdir(s->cwd ? s->cwd : "/") < 0)
        fail(c, "chdir");
    execve(s->argv[0], (char *const *)(uintptr_t)s->argv, (char *const *)(uintptr_t)(s->envp ? s->envp : default_env));
    fail(c, "exec");
}

/* Adds /dev/null as those of 0, 1, 2 that are not listed. */
static struct err *list_fds(struct child *c, int null_fd)
{
    const struct proc_spec *s = c->spec;

    if (s->n_fds > N_FDS_MAX)
        return err_errno(EMFILE, "descriptors for %s", s->argv[0]);
    for (size_t i = 0; i < s->n_fds; i++) {
        if (s->fds[i].fd < 0 || s->fds[i].target < 0)
            return err_errno(EBADF, "descriptors for %s", s->argv[0]);
        c->fds[c->n_fds++] = s->fds[i];
    }
    for (int target = 0; target <= 2; target++) {
        bool listed = false;

        for (size_t i = 0; i < s->n_fds; i++)
            listed |= s->fds[i].target == target;
        if (!listed)
            c->fds[c->n_fds++] = (struct proc_fd){ null_fd, target };
    }
    return NULL;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

struct err *proc_spawn(const struct proc_spec *spec, pid_t *ret_pid, int *ret_pidfd)
{
    struct child c = { .spec = spec, .parent = getpid() };
    struct failure f = { 0 };
    AUTO(fd_drop) int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    AUTO(fd_drop) int report = -1;
    AUTO(fd_drop) int child_report = -1;
    AUTO(fd_drop) int pidfd = -1;
    int fds[2];
    ssize_t n;
    pid_t pid;

    if (null_fd < 0)
        return err_errno(errno, "open /dev/null");
    TRY(list_fds(&c, null_fd));
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(errno, "pipe");
    report = fds[0];
    c.report_fd = child_report = fds[1];

    pid = _Fork();
    if (pid < 0)
        return err_errno(errno, "fork for %s", spec->argv[0]);
    if (pid == 0)
        child_main(&c);
    fd_drop(&child_report);
    do
        n = read(report, &f, sizeof(f));
    while (n < 0 && errno == EINTR);
    if (n != 0) {
        reap(pid);
        return n == sizeof(f) ? err_errno(f.errnum, "start %s: %s", spec->argv[0], f.step)
                              : err_internal("start %s: no word from the child", spec->argv[0]);
    }
    pidfd = pidfd_open(pid, 0); /* the pid is ours until we reap it */
    if (pidfd < 0) {
        struct err *e = err_errno(errno, "pidfd of %s", spec->argv[0]);

        kill(pid, SIGKILL);
        reap(pid);
        return e;
    }
    *ret_pid = pid;
    *ret_pidfd = fd_take(&pidfd);
    return NULL;
}

struct err *proc_start_time(pid_t pid, uint64_t *ret_ticks)
{
    AUTO(buf_done) struct buf b;
    char path[64];
    struct str rest, field;
    const char *end;
    struct err *e;

    buf_init(&b, 4096);
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    e = file_read(AT_FDCWD, path, &b);
    if (e) {
        bool gone = err_errno_get(e) == ENOENT || err_errno_get(e) == ESRCH;

        if (!gone)
            return e;
        err_ignore(e, "said more plainly below");
        return err_errno(ESRCH, "process %d", (int)pid);
    }
    end = strrchr(buf_str(&b).p, ')'); /* the name before it may hold anything */
    if (!end)
        return err_internal("unreadable %s", path);
    rest = str_trim(str_of(end + 1));
    for (int i = 3; i <= 22; i++) /* proc(5): field 3 is the state, 22 the start time */
        str_cut(rest, ' ', &field, &rest);
    if (!str_to_u64(field, ret_ticks))
        return err_internal("unreadable %s", path);
    return NULL;
}

struct err *proc_open(pid_t pid, uint64_t start_time, int *ret_pidfd)
{
    AUTO(fd_drop) int fd = pidfd_open(pid, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    uint64_t found = 0;

    if (fd < 0)
        return err_errno(errno, "process %d", (int)pid);
    TRY(proc_start_time(pid, &found));
    /* Still alive now, so what was read was about the process that the pidfd holds. */
    if (found != start_time || poll(&p, 1, 0) != 0)
        return err_errno(ESRCH, "process %d", (int)pid);
    *ret_pidfd = fd_take(&fd);
    return NULL;
}

struct err *proc_kill(int pidfd, int signo)
{
    if (pidfd_send_signal(pidfd, signo, NULL, 0) < 0 && errno != ESRCH)
        return err_errno(errno, "send signal %d", signo);
    return NULL;
}

bool proc_wait(int pidfd, uint64_t deadline_us, int *ret_status)
{
    siginfo_t si = { 0 };

    if (!fiber_wait_fd(pidfd, EPOLLIN, deadline_us))
        return false;
    if (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG) < 0)
        *ret_status = -1;
    else
        *ret_status = si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
    return true;
}
