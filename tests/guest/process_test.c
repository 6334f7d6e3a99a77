/* runnymede-vm as the host process uses it: killed at any time, with the guest running on. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/proc.h"
#include "hyper/qemu/qemu.h"
#include "rig.h"

struct process {
    pid_t pid;
    int pidfd;
};

/* A vm process on this rig's folder; the rig's host peer talks to it instead of to the service within. */
static struct process spawn(struct rig *rig)
{
    const char *binary = getenv("RUNNYMEDE_VM");
    const char *argv[] = { binary ? binary : "/tmp/build-vm/src/daemons/vm/runnymede-vm", "--dir", test_tmpdir_path(),
        "--hyper", "qemu", "--peer-fd", "3", "--attach", NULL };
    struct process p = { .pidfd = -1 };
    int fds[2];

    CHECK_OK(socket_pair(fds));
    struct proc_fd list[] = { { fds[1], 3 }, { 2, 2 } };
    struct proc_spec spec = { .argv = argv, .fds = list, .n_fds = 2, .die_with_parent = SIGKILL };
    CHECK_OK(proc_spawn(&spec, &p.pid, &p.pidfd));
    close(fds[1]);
    if (rig->service)
        rig_forget_service(rig);
    ipc_peer_drop(&rig->host);
    CHECK_OK(ipc_peer_new(rig->loop, fds[0], &rig->host));
    return p;
}

static void ended(struct rig *rig, struct process *p)
{
    int status;

    CHECK(proc_wait(p->pidfd, clock_now(rig->loop) + 5000000, &status));
    fd_drop(&p->pidfd);
}

REAL_TEST(guest_outlives_its_killed_process)
{
    struct process p = spawn(rig);
    struct vm_attach_rep rep;

    rig_start(rig);
    pid_t pid = rig_pid(rig);
    CHECK(pid > 1);
    for (int round = 0; round < 3; round++) {
        kill(p.pid, SIGKILL);
        ended(rig, &p);
        p = spawn(rig);
        CHECK_OK(vm_attach(rig->host, rig->arena, &(struct vm_attach_req){ .vm = rig->plan.vm }, &rep));
        CHECK_STR(rep.state.power, "Running");
        CHECK_INT(rep.state.pid, pid);
        rig_console_open(rig);
        rig_type(rig, '?');
        rig_expect(rig, "ticks");
    }
    CHECK_OK(vm_shutdown(rig->host, rig->arena, &(struct vm_shutdown_req){ .timeout_ms = 5000 }));
    CHECK_STR(rig_power(rig), "Halted");
    ipc_peer_drop(&rig->host); /* it exits with its peer */
    ended(rig, &p);
}

/* QEMUs whose working directory is this test's folder. */
static int n_qemus(void)
{
    DIR *proc = opendir("/proc");
    int n = 0;

    for (struct dirent *d; proc && (d = readdir(proc));) {
        char path[64], cwd[512] = { 0 };

        snprintf(path, sizeof(path), "/proc/%.20s/cwd", d->d_name);
        if (readlink(path, cwd, sizeof(cwd) - 1) > 0 && !strcmp(cwd, test_tmpdir_path()))
            n++;
    }
    closedir(proc);
    return n;
}

REAL_TEST(half_a_start_is_undone)
{
    struct process p = spawn(rig);
    struct vm_attach_rep rep;
    struct vm_start_rep started;

    rig->plan.paused = false;
    for (unsigned ms = 1; ms < 100; ms += 7) { /* moments between asking and running */
        pid_t killer = fork();

        if (killer == 0) {
            usleep(ms * 1000);
            kill(p.pid, SIGKILL);
            _exit(0);
        }
        struct err *e = vm_start(rig->host, rig->arena, &(struct vm_start_req){ .plan = rig->plan }, &started);
        if (e && !ipc_is_lost(e))
            CHECK_OK(e);
        err_free(e);
        ended(rig, &p);
        waitpid(killer, NULL, 0);
        p = spawn(rig);
        CHECK_OK(vm_attach(rig->host, rig->arena, &(struct vm_attach_req){ .vm = rig->plan.vm }, &rep));
        CHECK(!strcmp(rep.state.power, "Running") || !strcmp(rep.state.power, "Halted"));
        CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
        CHECK_INT(n_qemus(), 0);
    }
    ipc_peer_drop(&rig->host);
    ended(rig, &p);
}
