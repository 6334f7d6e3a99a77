#include "host/launch.h"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "host/cell.h"
#include "host/cgroup.h"
#include "host/wall.h"

#define PEER_FD 3

static struct cgroup_limits limits_of(const struct cell *cell, unsigned times)
{
    return (struct cgroup_limits){ cell->memory * times, cell->vcpus * times, cell->cpu_weight, cell->cpu_cap };
}

static struct err *process_launch(void *ctx, struct cell *cell, struct ipc_peer **ret_peer, int *ret_pidfd)
{
    struct vm_program *p = ctx;
    AUTO(wall_done) struct wall wall = { .cgroup_fd = -1 };
    const char *argv[] = { p->program, "--dir", cell->dir, "--hyper", p->hyper, "--peer-fd", "3", NULL };
    const char *log = getenv("RUNNYMEDE_LOG"), *asan = getenv("ASAN_OPTIONS");
    AUTO(mem_drop) char *log_env = mem_printf("RUNNYMEDE_LOG=%s", log ? log : "info");
    AUTO(mem_drop) char *asan_env = mem_printf("ASAN_OPTIONS=%s", asan ? asan : "");
    const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", log_env, asan_env, NULL };
    AUTO(fd_drop) int pidfd = -1;
    AUTO(fd_drop) int ours = -1;
    AUTO(fd_drop) int theirs = -1;
    int pair[2];
    pid_t pid;

    struct cgroup_limits limits = limits_of(cell, 1);

    TRY(wall_prepare(p->walls, cell->uuid, cell->uid, cell->dir, &limits, &wall));
    TRY(socket_pair(pair));
    ours = pair[0];
    theirs = pair[1];
    struct proc_fd fds[] = { { theirs, PEER_FD }, { STDERR_FILENO, STDERR_FILENO } };
    /* Dies with us: it is one of ours, and the next of us starts a new one. The guest does not. */
    struct proc_spec spec = { .argv = argv,
        .envp = env,
        .fds = fds,
        .n_fds = 2,
        .cwd = cell->dir,
        .die_with_parent = SIGKILL,
        .in_child = wall_enter,
        .arg = &wall };
    TRY(proc_spawn(&spec, &pid, &pidfd));
    TRY(ipc_peer_new(p->loop, fd_take(&ours), ret_peer));
    *ret_pidfd = fd_take(&pidfd);
    return NULL;
}

static void process_clear(void *ctx, struct cell *cell)
{
    struct vm_program *p = ctx;

    wall_clear(p->walls, cell->uuid, cell->uid, cell->dir, cell->unclean);
}

static struct err *process_limit(void *ctx, struct cell *cell, unsigned times)
{
    struct vm_program *p = ctx;
    AUTO(wall_done) struct wall wall = { .cgroup_fd = -1 };

    struct cgroup_limits limits = limits_of(cell, times);

    limits.vcpus += 64 * times;
    return wall_prepare(p->walls, cell->uuid, cell->uid, cell->dir, &limits, &wall);
}

struct launcher launcher_process(struct vm_program *p)
{
    return (struct launcher){ p, process_launch, process_clear, process_limit, walls_weigh(p->walls) };
}
