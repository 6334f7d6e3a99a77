/* runnymede-vm as the host process uses it: killed at any time, with the guest running on. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "hyper/qemu/qemu.h"
#include "rig.h"

REAL_TEST(guest_outlives_its_killed_process)
{
    struct process p = rig_spawn(rig);
    struct vm_attach_rep rep;

    rig_start(rig);
    pid_t pid = rig_pid(rig);
    CHECK(pid > 1);
    for (int round = 0; round < 3; round++) {
        kill(p.pid, SIGKILL);
        rig_ended(rig, &p);
        p = rig_spawn(rig);
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
    rig_ended(rig, &p);
}

REAL_TEST(half_a_start_is_undone)
{
    struct process p = rig_spawn(rig);
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
        rig_ended(rig, &p);
        waitpid(killer, NULL, 0);
        p = rig_spawn(rig);
        CHECK_OK(vm_attach(rig->host, rig->arena, &(struct vm_attach_req){ .vm = rig->plan.vm }, &rep));
        CHECK(!strcmp(rep.state.power, "Running") || !strcmp(rep.state.power, "Halted"));
        CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
        CHECK_INT(rig_n_qemus(), 0);
    }
    ipc_peer_drop(&rig->host);
    rig_ended(rig, &p);
}
