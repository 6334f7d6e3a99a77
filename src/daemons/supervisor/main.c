/*
 * runnymede-supervisor: starts the daemons of one host and starts again what
 * dies; for hosts without systemd, for containers and for tests. It listens on
 * nothing and parses nothing but its configuration file.
 *
 *     runnymede-supervisor [--config FILE] [--KEY VALUE]...     keys as in daemons/lib/config.h
 *
 * Prints "runnymede ready http=PORT https=PORT" (0: no such door) once a call that came in by the gate was answered by
 * the core. One supervisor per run_dir: the second is refused. SIGTERM stops the daemons; guests live on and are taken
 * over again by the next start. As the reaper of its tree it also buries guests' processes whose own parents went
 * first.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "daemons/lib/config.h"
#include "daemons/lib/daemon.h"
#include "daemons/supervisor/plan.h"
#include "daemons/supervisor/ports.h"

#define BACKOFF_MIN_US 50000
#define BACKOFF_MAX_US 2000000
#define STEADY_US 10000000 /* who lived that long starts again at once */
#define STOP_US 8000000

struct supervisor;
struct child {
    struct supervisor *sv;
    struct daemon_plan *plan;
    pid_t pid; /* 0: not running */
    int status;
    struct waitq died;
};

struct supervisor {
    struct loop *loop;
    struct config config;
    struct daemon_plan plans[DAEMONS_N];
    struct child children[DAEMONS_N];
    struct ports ports;
    int lock_fd; /* of <run>/supervisor.lock, held for life */
    bool ready, stopping;
    struct err *failed; /* owned: why the host never came up */
    unsigned running;   /* fibers that keep a child */
};

static char *pid_path(const struct child *c)
{
    return mem_printf("%s/pids/%s.pid", c->sv->config.run_dir, c->plan->name);
}

/* "pid start-time": the second keeps us from killing a stranger who got the number. */
static struct err *pid_write(const struct child *c)
{
    AUTO(mem_drop) char *path = pid_path(c);
    AUTO(mem_drop) char *text = NULL;
    uint64_t ticks;

    TRY(proc_start_time(c->pid, &ticks));
    text = mem_printf("%d %llu\n", (int)c->pid, (unsigned long long)ticks);
    return file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644);
}

/* What an earlier supervisor left when it was killed: daemons that changed their user are not told of its death. */
static struct err *leftover_kill(const struct child *c)
{
    AUTO(mem_drop) char *path = pid_path(c);
    AUTO(buf_done) struct buf b = { 0 };
    AUTO(fd_drop) int pidfd = -1;
    struct str pid_text, ticks_text, rest;
    int64_t pid;
    uint64_t ticks;

    buf_init(&b, 128);
    struct err *e = file_read(AT_FDCWD, path, &b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "nothing was left");
        return NULL;
    }
    if (e)
        return e;
    str_cut(buf_str(&b), ' ', &pid_text, &rest);
    str_cut(rest, '\n', &ticks_text, &rest);
    if (!str_to_i64(pid_text, &pid) || pid <= 1 || pid > INT32_MAX || !str_to_u64(ticks_text, &ticks))
        return NULL; /* not one of ours */
    e = proc_open((pid_t)pid, ticks, &pidfd);
    if (e) {
        err_ignore(e, "it is gone");
        return NULL;
    }
    log_warn("killing a daemon that an earlier supervisor left", F("daemon", c->plan->name), FI("pid", pid));
    TRY(proc_kill(pidfd, SIGKILL));
    int status;
    return proc_wait(pidfd, clock_now(c->sv->loop) + STOP_US, &status) ? NULL
                                                                       : err_internal("pid %d does not die", (int)pid);
}

static struct err *log_open(const struct child *c, int *ret_fd)
{
    AUTO(mem_drop) char *path = NULL;
    int fd;

    if (cstr_eq(c->sv->config.log_dir, "-"))
        return fd_dup(STDERR_FILENO, ret_fd);
    path = mem_printf("%s/%s.log", c->sv->config.log_dir, c->plan->name);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return err_errno(errno, "open %s", path);
    *ret_fd = fd;
    return NULL;
}

static struct err *child_start(struct child *c)
{
    AUTO(mem_drop) char *level = mem_printf("RUNNYMEDE_LOG=%s", c->sv->config.log_level);
    const char *asan = getenv("ASAN_OPTIONS");
    AUTO(mem_drop) char *asan_env = mem_printf("ASAN_OPTIONS=%s", asan ? asan : "");
    const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", level, asan_env, NULL };
    AUTO(fd_drop) int log = -1;
    AUTO(fd_drop) int pidfd = -1;
    pid_t pid;

    TRY(log_open(c, &log));
    struct proc_fd fds[] = { { log, STDOUT_FILENO }, { log, STDERR_FILENO } };
    struct proc_spec spec = {
        .argv = (const char *const *)c->plan->argv, .envp = env, .fds = fds, .n_fds = 2, .die_with_parent = SIGTERM
    };
    TRY(proc_spawn(&spec, &pid, &pidfd));
    c->pid = pid;
    c->status = 0;
    return NULL;
}

/* Daemons that do not end in time are killed: crash-only, they cope. */
static void stop_all(void *arg)
{
    struct supervisor *sv = arg;
    uint64_t deadline = clock_now(sv->loop) + STOP_US;

    for (int signo = SIGTERM; sv->running; signo = SIGKILL) {
        for (size_t i = 0; i < DAEMONS_N; i++)
            if (sv->children[i].pid)
                kill(sv->children[i].pid, signo);
        while (sv->running && clock_now(sv->loop) < deadline)
            fiber_sleep(20000);
        deadline = clock_now(sv->loop) + STOP_US;
    }
}

static void on_term(void *arg)
{
    struct supervisor *sv = arg;

    if (sv->stopping)
        return;
    sv->stopping = true;
    log_info("stopping");
    fiber_start(sv->loop, "stop", stop_all, sv);
}

/* Before the host was ever ready, what cannot start never will: whoever called is told. Later it is tried again. */
static void give_up(struct supervisor *sv, struct err *e)
{
    sv->failed = err_first(sv->failed, e);
    on_term(sv);
}

/* Keeps one daemon running; ends when the supervisor stops and the daemon is dead. */
static void child_keep(void *arg)
{
    struct child *c = arg;
    uint64_t backoff = BACKOFF_MIN_US, started;

    log_err(LOG_WARN_, "cannot clear a leftover", leftover_kill(c));
    while (!c->sv->stopping) {
        started = clock_now(c->sv->loop);
        struct err *e = child_start(c);
        if (e && !c->sv->ready) {
            give_up(c->sv, e);
            break;
        }
        if (e) {
            log_err(LOG_ERROR_, "daemon does not start; trying again", e);
        } else {
            log_err(LOG_WARN_, "no pid file", pid_write(c));
            while (c->pid)
                waitq_wait(&c->died, FOREVER);
            if (c->sv->stopping)
                break;
            log_warn("daemon died; starting it again", F("daemon", c->plan->name), FI("status", c->status));
        }
        if (clock_now(c->sv->loop) - started > STEADY_US)
            backoff = BACKOFF_MIN_US;
        if (!c->sv->stopping)
            fiber_sleep(backoff);
        backoff = backoff * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : backoff * 2;
    }
    AUTO(mem_drop) char *path = pid_path(c);
    unlink(path);
    if (--c->sv->running == 0)
        loop_stop(c->sv->loop);
}

static void on_child(void *arg)
{
    struct supervisor *sv = arg;
    siginfo_t info;

    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
            return;
        for (size_t i = 0; i < DAEMONS_N; i++) {
            struct child *c = &sv->children[i];
            if (c->pid != info.si_pid)
                continue;
            c->pid = 0;
            c->status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
            waitq_wake_all(&c->died);
        }
    }
}

/* A call with a session that does not exist: only the core can say so. */
static struct err *probe_once(struct supervisor *sv, bool *ret_ready)
{
    static const char body[] =
        "{\"jsonrpc\":\"2.0\",\"method\":\"pool.get_all\",\"params\":[\"OpaqueRef:ready?\"],\"id\":1}";
    AUTO(mem_drop) char *path = mem_printf("%s/xapi.sock", sv->config.run_dir);
    AUTO(mem_drop)
    char *request = mem_printf("POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                               "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
        sizeof(body) - 1, body);
    AUTO(fd_drop) int fd = -1;
    uint64_t deadline = clock_now(sv->loop) + 2000000;
    char answer[4096];
    size_t len = 0;

    TRY(unix_connect(path, &fd));
    if (!fiber_wait_fd(fd, EPOLLOUT, deadline))
        return err_internal("the gate does not answer");
    TRY(fd_write_all(fd, request, strlen(request)));
    while (len < sizeof(answer) - 1 && fiber_wait_fd(fd, EPOLLIN, deadline)) {
        ssize_t n = read(fd, answer + len, sizeof(answer) - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    answer[len] = 0;
    *ret_ready = strstr(answer, "SESSION_INVALID") != NULL;
    return NULL;
}

static void probe(void *arg)
{
    struct supervisor *sv = arg;
    bool ready = false;

    while (!sv->stopping && !ready) {
        err_ignore(probe_once(sv, &ready), "not yet");
        if (!ready)
            fiber_sleep(20000);
    }
    if (!ready)
        return;
    sv->ready = true;
    printf("runnymede ready http=%d https=%d\n", sv->config.http_port, sv->config.https_port);
    fflush(stdout);
    daemon_ready();
    log_info("host is ready");
}

static struct err *arguments(struct config *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        char key[64];

        if (!cstr_starts(argv[i], "--") || i + 1 >= argc)
            return err_internal("usage: runnymede-supervisor [--config FILE] [--KEY VALUE]...");
        if (cstr_eq(argv[i], "--config")) {
            TRY(config_load(c, argv[i + 1]));
            continue;
        }
        snprintf(key, sizeof(key), "%s", argv[i] + 2);
        for (char *p = key; *p; p++)
            if (*p == '-')
                *p = '_';
        TRY(config_set(c, str_of(key), str_of(argv[i + 1])));
    }
    return config_check(c);
}

/* The kernel gives the lock back however we end, so there is no stale one. */
static struct err *lock_take(struct supervisor *sv)
{
    AUTO(mem_drop) char *path = mem_printf("%s/supervisor.lock", sv->config.run_dir);
    AUTO(fd_drop) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); /* who can read can lock */
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[32] = "";

    if (fd < 0)
        return err_errno(errno, "open %s", path);
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return err_errno(errno, "lock %s", path);
        if (pread(fd, text, sizeof(text) - 1, 0) < 0)
            text[0] = 0;
        text[strcspn(text, "\n")] = 0;
        return err_internal("another supervisor runs in %s (pid %s): stop it first, or name another run_dir",
            sv->config.run_dir, *text ? text : "unknown");
    }
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0)
        return err_errno(errno, "write %s", path);
    sv->lock_fd = fd_take(&fd);
    return NULL;
}

static struct err *setup(struct supervisor *sv, int argc, char **argv)
{
    TRY(arguments(&sv->config, argc, argv));
    setenv("RUNNYMEDE_LOG", sv->config.log_level, 1);
    TRY(daemon_start("supervisor", &sv->loop));
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return err_errno(errno, "become the reaper");
    TRY(loop_signal(sv->loop, SIGCHLD, on_child, sv));
    TRY(dir_make(sv->config.run_dir, 0755));
    TRY(lock_take(sv));
    TRY(plan_folders(&sv->config));
    TRY(ports_choose(&sv->ports, &sv->config));
    TRY(plan_make(&sv->config, sv->plans));
    return NULL;
}

int main(int argc, char **argv)
{
    static struct supervisor sv = { .lock_fd = -1 }; /* fibers that wait to the end still point to it */
    struct err *e;

    config_init(&sv.config);
    e = setup(&sv, argc, argv);
    if (!e)
        e = loop_signal(sv.loop, SIGTERM, on_term, &sv);
    if (!e)
        e = loop_signal(sv.loop, SIGINT, on_term, &sv);
    if (e) {
        loop_free(sv.loop);
        config_done(&sv.config);
        return daemon_fail("runnymede-supervisor", e);
    }
    for (size_t i = 0; i < DAEMONS_N; i++) {
        sv.children[i] = (struct child){ .sv = &sv, .plan = &sv.plans[i] };
        waitq_init(&sv.children[i].died);
        sv.running++;
        fiber_start(sv.loop, sv.plans[i].name, child_keep, &sv.children[i]);
    }
    fiber_start(sv.loop, "probe", probe, &sv);
    loop_run(sv.loop);
    plan_done(sv.plans);
    ports_done(&sv.ports);
    config_done(&sv.config);
    return sv.failed ? daemon_fail("runnymede-supervisor", sv.failed) : 0;
}
