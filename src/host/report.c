/* The status report: a program of ours that writes a tar, and whose output goes to the client as it is. */
#include <signal.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "gen/ipc_machine.h"
#include "host/machine.h"

#define REPORT_US (330UL * 1000 * 1000) /* it has a deadline of its own a little before */

struct report {
    struct loop *loop;
    int pidfd;
};

/* Buries it; one that does not end is ended. */
static void watch(void *arg)
{
    struct report *r = arg;
    int status;

    if (!proc_wait(r->pidfd, clock_now(r->loop) + REPORT_US, &status)) {
        log_err(LOG_WARN_, "a report does not end", proc_kill(r->pidfd, SIGKILL));
        proc_wait(r->pidfd, clock_now(r->loop) + REPORT_US, &status);
    }
    fd_drop(&r->pidfd);
    free(r);
}

static bool is_list(const char *s)
{
    return !s[strspn(s, "abcdefghijklmnopqrstuvwxyz-,")];
}

struct err *machine_report_start(struct machine *m, const struct machine_report_req *req, int *ret_stream)
{
    const char *argv[] = { m->report, "--run", m->run_dir, "--state", m->state_dir, "--entries", req->entries,
        "--output", req->output, NULL };
    int pair[2] = { -1, -1 };
    struct proc_fd out[2];
    pid_t pid;

    if (!m->report)
        return err_internal("runnymede-report is not installed");
    if (!is_list(req->entries))
        return err_internal("no such entries");
    TRY(socket_pair(pair));
    out[0] = (struct proc_fd){ pair[1], STDOUT_FILENO };
    out[1] = (struct proc_fd){ STDERR_FILENO, STDERR_FILENO };
    struct report *r = mem_new(struct report);
    struct err *e = proc_spawn(
        &(struct proc_spec){ .argv = argv, .fds = out, .n_fds = 2, .die_with_parent = SIGKILL }, &pid, &r->pidfd);
    close(pair[1]);
    if (e) {
        close(pair[0]);
        free(r);
        return e;
    }
    r->loop = m->loop;
    fiber_start(m->loop, "report", watch, r);
    *ret_stream = pair[0];
    return NULL;
}
