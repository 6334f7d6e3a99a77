#include "rig.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/proc.h"
#include "hyper/qemu/qemu.h"
#include "vm/service.h"

#define PATIENCE_US (60 * 1000000ULL) /* for firmware on a machine that is busy */

static struct err *on_changed(struct ipc_call *c, struct vmevents_changed_req *req)
{
    struct rig *rig = c->ctx;
    size_t at = strlen(rig->told);

    snprintf(rig->told + at, sizeof(rig->told) - at, "%s%s/%s ", req->what, req->detail, req->state.power);
    rig->has_nvram = req->nvram.len > 0;
    return NULL;
}

static struct err *on_tpm(struct ipc_call *c, struct vmevents_tpm_req *req)
{
    struct rig *rig = c->ctx;

    CHECK(req->memory.len <= sizeof(rig->tpm));
    memcpy(rig->tpm, req->memory.p, req->memory.len);
    rig->n_tpm = req->memory.len;
    return NULL;
}

/* These guests have no agent: what a new process tells is that there is none. */
static struct err *on_reported(struct ipc_call *c UNUSED, struct vmevents_reported_req *req UNUSED)
{
    return NULL;
}

static const struct vmevents_ops event_ops = { .changed = on_changed, .reported = on_reported, .tpm = on_tpm };

static void mount(struct rig *rig)
{
    struct vm_service_env env = { .dir = test_tmpdir_path() };

    CHECK_OK(vm_service_new(rig->loop, rig->ops, &env, &rig->service));
    ipc_pair(rig->loop, &rig->host, &rig->vm);
    ipc_serve(rig->host, &vmevents_service, &event_ops, rig);
    vm_service_mount(rig->service, rig->vm);
}

void rig_forget_service(struct rig *rig)
{
    fd_drop(&rig->serial);
    ipc_peer_drop(&rig->host);
    ipc_peer_drop(&rig->vm);
    vm_service_free(rig->service);
    rig->service = NULL;
}

void rig_restart_service(struct rig *rig, const char *power, const char *reason)
{
    struct vm_attach_rep rep;

    if (rig->service)
        rig_forget_service(rig);
    mount(rig);
    CHECK_OK(vm_attach(rig->host, rig->arena, &(struct vm_attach_req){ .vm = rig->plan.vm }, &rep));
    CHECK_STR(rep.state.power, power);
    CHECK_STR(rep.reason, reason);
    CHECK_STR(rep.plan.name, rig->plan.name);
    if (!strcmp(power, "Running"))
        rig_console_open(rig);
}

const char *rig_guest(const char *name)
{
    static char path[512];
    const char *dir = getenv("RUNNYMEDE_GUESTS");

    snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/tmp/build-vm/tests/guest", name);
    return path;
}

int rig_open_guest(const char *name, int flags)
{
    int fd = open(rig_guest(name), flags | O_CLOEXEC);

    CHECK(fd >= 0);
    return fd;
}

void rig_console_open(struct rig *rig)
{
    struct vm_console_rep rep;

    CHECK_OK(vm_console(rig->host, rig->arena, &(struct vm_console_req){ .protocol = "vt100" }, &rep));
    fd_drop(&rig->serial);
    rig->serial = rep.stream;
    CHECK_OK(fd_set_nonblock(rig->serial, true));
}

void rig_start_quiet(struct rig *rig)
{
    struct vm_start_rep rep;

    rig->plan.paused = true;
    CHECK_OK(vm_start(rig->host, rig->arena, &(struct vm_start_req){ .plan = rig->plan }, &rep));
    CHECK_STR(rep.state.power, "Paused");
    rig_console_open(rig);
    CHECK_OK(vm_unpause(rig->host, rig->arena, &(struct vm_unpause_req){ 0 }));
}

void rig_start(struct rig *rig)
{
    rig_start_quiet(rig);
    rig_expect(rig, "runnymede guest up");
    rig_expect(rig, ")\r\n");
}

void rig_expect(struct rig *rig, const char *text)
{
    uint64_t deadline = clock_now(rig->loop) + PATIENCE_US;

    for (;;) {
        char *found = strstr(rig->said, text);

        if (found) {
            found += strlen(text);
            rig->n_said -= (size_t)(found - rig->said);
            memmove(rig->said, found, rig->n_said + 1);
            return;
        }
        if (!fiber_wait_fd(rig->serial, EPOLLIN, deadline))
            test_fail(__FILE__, __LINE__, "guest did not say \"%s\" but \"%s\"", text, rig->said);
        if (rig->n_said > sizeof(rig->said) / 2)
            rig->n_said = 0;
        ssize_t n = read(rig->serial, rig->said + rig->n_said, sizeof(rig->said) / 2 - 1);
        if (n == 0)
            test_fail(__FILE__, __LINE__, "guest hung up before saying \"%s\"", text);
        for (ssize_t i = 0; i < n; i++) /* firmware draws with escapes and NULs */
            if (!rig->said[rig->n_said + (size_t)i])
                rig->said[rig->n_said + (size_t)i] = ' ';
        rig->n_said += n > 0 ? (size_t)n : 0;
        rig->said[rig->n_said] = 0;
    }
}

void rig_type(struct rig *rig, char c)
{
    CHECK(write(rig->serial, &c, 1) == 1);
}

void rig_wait_told(struct rig *rig, const char *what)
{
    uint64_t deadline = clock_now(rig->loop) + PATIENCE_US;

    while (!strstr(rig->told, what)) {
        if (clock_now(rig->loop) > deadline)
            test_fail(__FILE__, __LINE__, "not told of %s but of: %s", what, rig->told);
        fiber_sleep(2000);
    }
}

const char *rig_power(struct rig *rig)
{
    struct vm_query_rep rep;

    CHECK_OK(vm_query(rig->host, rig->arena, &(struct vm_query_req){ 0 }, &rep));
    return rep.state.power;
}

pid_t rig_pid(struct rig *rig)
{
    struct vm_query_rep rep;

    CHECK_OK(vm_query(rig->host, rig->arena, &(struct vm_query_req){ 0 }, &rep));
    return (pid_t)rep.state.pid;
}

/* ---- a vm process of its own ---- */

struct process rig_spawn(struct rig *rig)
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
    ipc_serve(rig->host, &vmevents_service, &event_ops, rig);
    return p;
}

void rig_ended(struct rig *rig, struct process *p)
{
    int status;

    CHECK(proc_wait(p->pidfd, clock_now(rig->loop) + 5000000, &status));
    fd_drop(&p->pidfd);
}

int rig_n_qemus(void)
{
    DIR *proc = opendir("/proc");
    int n = 0;

    for (struct dirent *d; proc && (d = readdir(proc));) {
        char path[64], cwd[512] = { 0 };

        snprintf(path, sizeof(path), "/proc/%.20s/cwd", d->d_name);
        if (readlink(path, cwd, sizeof(cwd) - 1) > 0 && !strcmp(cwd, test_tmpdir_path()))
            n++;
    }
    CHECK(proc && closedir(proc) == 0);
    return n;
}

struct running {
    rig_fn *fn;
    struct rig *rig;
    bool done;
};

static void body(void *arg)
{
    struct running *r = arg;

    r->rig->ops = &hyper_qemu;
    mount(r->rig);
    r->fn(r->rig);
    if (r->rig->service) {
        CHECK_OK(vm_destroy(r->rig->host, r->rig->arena, &(struct vm_destroy_req){ 0 }));
        rig_forget_service(r->rig);
    }
    fiber_yield();
    r->done = true;
    loop_stop(r->rig->loop);
}

/* A failed test must not leave its guest behind. */
static void kill_leftover(void)
{
    char path[512], text[64] = { 0 };
    int fd, pid = 0;

    snprintf(path, sizeof(path), "%s/qemu.pid", test_tmpdir_path());
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && sscanf(text, "%*d %d", &pid) == 1 && pid > 1)
        kill(pid, SIGKILL);
    fd_drop(&fd);
}

void rig_run(rig_fn *fn)
{
    AUTO(arena_drop) struct arena *arena = arena_new();
    AUTO(loop_drop) struct loop *loop = NULL;
    struct rig *rig = calloc(1, sizeof(*rig));
    struct running r = { .fn = fn, .rig = rig };

    CHECK_OK(loop_new(&loop));
    *rig = (struct rig){ .loop = loop, .arena = arena, .serial = -1 };
    rig->plan = (struct vm_plan){ .vm = "11111111-2222-4333-8444-555555555555",
        .ref = "OpaqueRef:vm",
        .name = "a, b=c",
        .domid = 7,
        .memory = 64 << 20,
        .vcpus = 1,
        .vcpus_max = 2,
        .cores_per_socket = 1,
        .firmware = "direct",
        .boot_order = "",
        .cmdline = "",
        .platform = value_map(NULL, 0),
        .bios_strings = value_map(NULL, 0),
        .nvram = STR(""),
        .tpm = STR(""),
        .on_shutdown = "destroy",
        .on_reboot = "restart",
        .on_crash = "destroy",
        .disks = rig->disks,
        .nics = rig->nics };
    rig->plan.kernel = rig_open_guest("guest.elf", O_RDONLY);
    fiber_start(loop, "test", body, &r);
    loop_run(loop);
    if (!r.done)
        kill_leftover();
    fd_drop(&rig->plan.kernel);
    fd_drop(&rig->serial);
    free(rig);
}
