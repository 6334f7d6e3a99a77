#include "base/proc.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "test.h"

static uint64_t soon(void)
{
    return clock_now(fiber_loop()) + 20000000;
}

static struct err *shell(const char *script, int out, pid_t *ret_pid, int *ret_pidfd)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };
    struct proc_fd fds[] = { { out, 1 } };
    struct proc_spec spec = { .argv = argv, .fds = fds, .n_fds = out >= 0, .die_with_parent = SIGKILL };

    return proc_spawn(&spec, ret_pid, ret_pidfd);
}

static int run_script(const char *script, struct buf *b)
{
    AUTO(fd_drop) int pidfd = -1;
    AUTO(fd_drop) int in = -1;
    AUTO(fd_drop) int out = -1;
    int fds[2], status = -2;
    pid_t pid;

    CHECK_INT(pipe(fds), 0); /* not close-on-exec: the child must not get it all the same */
    in = fds[0];
    out = fds[1];
    CHECK_OK(shell(script, out, &pid, &pidfd));
    fd_drop(&out);
    CHECK_OK(fd_read_all(in, b));
    CHECK(proc_wait(pidfd, soon(), &status));
    return status;
}

TEST_REAL(child_gets_what_is_listed_and_nothing_else)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 10000);
    setenv("SECRET", "x", 1);
    CHECK_INT(
        run_script("echo $LANG:$SECRET:$PWD; for f in /proc/self/fd/*; do echo -n ${f##*/},; done; exit 7", &b), 7);
    CHECK(cstr_starts(b.p, "C.UTF-8::/\n"));
    CHECK(strstr(b.p, "\n0,1,2,")); /* and the one of the glob itself */
    CHECK(strlen(strstr(b.p, "\n0,1,2,")) <= strlen("\n0,1,2,3,"));
}

TEST_REAL(signals_are_reset_and_reported)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 10000);
    CHECK_INT(run_script("kill -PIPE $$; exit 1", &b), 128 + SIGPIPE); /* ignored in ourselves */
}

TEST_REAL(missing_program_is_an_error_of_the_spawn)
{
    const char *argv[] = { "/nonexistent/program", NULL };
    struct proc_spec spec = { .argv = argv };
    AUTO(err_drop) struct err *e = NULL;
    pid_t pid = -5;
    int pidfd = -5;

    e = proc_spawn(&spec, &pid, &pidfd);
    CHECK_INT(err_errno_get(e), ENOENT);
    CHECK(strstr(err_text(e), "exec"));
    CHECK(pid == -5 && pidfd == -5);
}

static int refuse(void *arg)
{
    errno = *(int *)arg;
    return -1;
}

TEST_REAL(failed_preparation_is_reported)
{
    const char *argv[] = { "/bin/true", NULL };
    int why = EACCES;
    struct proc_spec spec = { .argv = argv, .in_child = refuse, .arg = &why };
    AUTO(err_drop) struct err *e = NULL;
    pid_t pid;
    int pidfd;

    e = proc_spawn(&spec, &pid, &pidfd);
    CHECK_INT(err_errno_get(e), EACCES);
}

TEST_REAL(targets_may_be_each_others_sources)
{
    AUTO(buf_done) struct buf b;
    AUTO(fd_drop) int pidfd = -1;
    const char *argv[] = { "/bin/sh", "-c", "echo a >/proc/self/fd/10; echo b >/proc/self/fd/11", NULL };
    int a[2], c[2], status;
    pid_t pid;

    buf_init(&b, 100);
    CHECK(pipe2(a, O_CLOEXEC) == 0 && pipe2(c, O_CLOEXEC) == 0);
    CHECK(dup3(a[1], 11, O_CLOEXEC) == 11 && dup3(c[1], 10, O_CLOEXEC) == 10);
    {
        struct proc_fd fds[] = { { 11, 10 }, { 10, 11 } };
        struct proc_spec spec = { .argv = argv, .fds = fds, .n_fds = 2, .die_with_parent = SIGKILL };

        CHECK_OK(proc_spawn(&spec, &pid, &pidfd));
    }
    close(a[1]), close(c[1]), close(10), close(11);
    CHECK_OK(fd_read_all(a[0], &b));
    CHECK_STR(b.p, "a\n");
    buf_clear(&b);
    CHECK_OK(fd_read_all(c[0], &b));
    CHECK_STR(b.p, "b\n");
    CHECK(proc_wait(pidfd, soon(), &status) && status == 0);
    close(a[0]), close(c[0]);
}

TEST_REAL(process_is_found_again_only_if_it_is_the_same)
{
    AUTO(fd_drop) int pidfd = -1;
    AUTO(fd_drop) int again = -1;
    uint64_t start = 0;
    int status = -2, none = -1;
    pid_t pid;

    CHECK_OK(shell("exec sleep 100", -1, &pid, &pidfd));
    CHECK_OK(proc_start_time(pid, &start));
    CHECK(start > 0);
    CHECK_OK(proc_open(pid, start, &again));
    CHECK_ERR(proc_open(pid, start + 1, &none), "INTERNAL_ERROR");
    CHECK(!proc_wait(pidfd, clock_now(fiber_loop()) + 1000, &status));
    CHECK_OK(proc_kill(again, SIGKILL));
    CHECK(proc_wait(pidfd, soon(), &status));
    CHECK_INT(status, 128 + SIGKILL);
    CHECK_OK(proc_kill(again, SIGKILL)); /* already gone */
    CHECK_ERR(proc_open(pid, start, &none), "INTERNAL_ERROR");
    CHECK_INT(none, -1);
    CHECK(proc_wait(again, soon(), &status));
    CHECK_INT(status, -1); /* somebody has its status already */
}
