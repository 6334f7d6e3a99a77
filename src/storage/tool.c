#include "storage/tool.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "ipc/ipc.h"
#include "storage/driver.h"

#define TEXT_MAX 512

#define LISTEN_PID "LISTEN_PID="

/* What the child sees; made in the parent, completed in the child, which alone knows its pid. */
struct child_env {
    const char *vars[5];
    char pid[32];
};

/* Between fork and exec, so without printf. */
static void pid_put(char *to, pid_t pid)
{
    char digits[12];
    size_t n = 0;

    for (; pid; pid /= 10)
        digits[n++] = (char)('0' + pid % 10);
    while (n)
        *to++ = digits[--n];
    *to = 0;
}

/* A group, to end all of it. No core dumps: they would hold what is on somebody's disk. */
static int in_child(void *arg)
{
    struct rlimit none = { 0, 0 };
    struct child_env *env = arg;

    pid_put(env->pid + sizeof(LISTEN_PID) - 1, getpid());
    return setpgid(0, 0) < 0 ? -1 : setrlimit(RLIMIT_CORE, &none);
}

static void on_exit_(void *arg, uint32_t events)
{
    struct tool *t = arg;

    (void)events;
    t->exited = true;
    watch_set(t->watch, 0);
    waitq_wake_all(&t->ended);
}

static struct err *memfd(const char *name, int *ret_fd)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    if (fd < 0)
        return err_errno(errno, "memfd %s", name);
    *ret_fd = fd;
    return NULL;
}

struct err *tool_start(struct tool *t, const char *const *argv, const struct proc_fd *fds, size_t n_fds)
{
    struct proc_fd all[16];
    AUTO(fd_drop) int theirs = -1;
    bool has_output = false;
    struct child_env env = { .vars = { "PATH=/usr/bin:/bin", "LANG=C.UTF-8" }, .pid = LISTEN_PID };
    int alive[2];

    if (n_fds + 3 > ARRAY_LEN(all))
        return err_internal("too many descriptors for %s", argv[0]);
    for (size_t i = 0; i < n_fds; i++) {
        all[i] = fds[i];
        has_output = has_output || fds[i].target == STDOUT_FILENO;
    }
    if (pipe2(alive, O_CLOEXEC) < 0)
        return err_errno(errno, "pipe");
    t->alive = alive[0];
    theirs = alive[1];
    all[n_fds++] = (struct proc_fd){ theirs, TOOL_ALIVE };
    TRY(memfd("errors", &t->errors));
    all[n_fds++] = (struct proc_fd){ t->errors, STDERR_FILENO };
    if (!has_output) {
        TRY(memfd("output", &t->output));
        all[n_fds++] = (struct proc_fd){ t->output, STDOUT_FILENO };
    }
    if (t->listens) {
        env.vars[2] = "LISTEN_FDS=1";
        env.vars[3] = env.pid;
    }
    TRY(proc_spawn(&(struct proc_spec){ .argv = argv,
                       .envp = env.vars,
                       .fds = all,
                       .n_fds = n_fds,
                       .die_with_parent = SIGKILL,
                       .in_child = in_child,
                       .arg = &env },
        &t->pid, &t->pidfd));
    waitq_init(&t->ended);
    t->watch = watch_new(fiber_loop(), t->pidfd, EPOLLIN, on_exit_, t);
    return NULL;
}

void tool_kill(struct tool *t)
{
    if (t->pid > 0)
        kill(-t->pid, SIGKILL);
}

/* Ends the whole group, reaps its leader, and waits until nobody of it holds a descriptor of ours. */
static int reap(struct tool *t)
{
    int status = -1;

    tool_kill(t);
    proc_wait(t->pidfd, FOREVER, &status); /* short: it ended or was killed */
    t->pid = 0;                            /* from here on the number may be somebody else's */
    fiber_wait_fd(t->alive, EPOLLIN, FOREVER);
    return status;
}

void tool_done(struct tool *t)
{
    watch_free(t->watch);
    if (t->pid > 0)
        reap(t);
    fd_drop(&t->alive);
    fd_drop(&t->pidfd);
    fd_drop(&t->output);
    fd_drop(&t->errors);
    *t = TOOL_NONE;
}

/* The last bytes of a memfd, as text fit for an error. */
static void tail(int fd, char *ret, size_t size)
{
    struct stat st;
    ssize_t n;

    *ret = 0;
    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    off_t from = st.st_size > (off_t)(size - 1) ? st.st_size - (off_t)(size - 1) : 0;
    n = pread(fd, ret, size - 1, from);
    ret[n > 0 ? n : 0] = 0;
    for (char *p = ret; *p; p++)
        if (*p < ' ' || *p > '~')
            *p = ' ';
}

static struct err *outcome(struct tool *t, int status)
{
    char text[TEXT_MAX];

    if (status == 0)
        return NULL;
    tail(t->errors, text, sizeof(text));
    if (strstr(text, "No space left on device") || strstr(text, "Disk quota exceeded"))
        return sr_failure(SR_NO_SPACE, "There is insufficient space");
    return sr_failure(SR_VDI_UNAVAILABLE, "The image could not be read or written (status %d): %s", status, text);
}

struct err *tool_wait(struct tool *t)
{
    bool interrupted = false;
    while (!t->exited) {
        if (waitq_wait(&t->ended, FOREVER) || t->exited)
            continue;
        interrupted = true;
        fiber_interrupt_clear(); /* its end is near and must be seen */
        tool_kill(t);
    }
    int status = reap(t);
    if (!interrupted)
        return outcome(t, status);
    fiber_interrupt(fiber_self());
    return ipc_interrupted();
}

unsigned tool_progress(const struct tool *t)
{
    char text[64];
    double percent = 0;

    tail(t->output, text, sizeof(text));
    char *open = strrchr(text, '('), *slash = open ? strchr(open, '/') : NULL;
    if (!slash || !str_to_double(str_trim((struct str){ open + 1, (size_t)(slash - open - 1) }), &percent))
        return 0;
    return percent < 0 ? 0 : percent > 100 ? 1000 : (unsigned)(percent * 10);
}

struct err *tool_run(const char *const *argv, const struct proc_fd *fds, size_t n_fds)
{
    AUTO(tool_done) struct tool t = TOOL_NONE;

    TRY(tool_start(&t, argv, fds, n_fds));
    return tool_wait(&t);
}
