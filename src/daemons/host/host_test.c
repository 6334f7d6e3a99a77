#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "gen/ipc_host.h"
#include "gen/ipc_net.h"
#include "gen/ipc_storage.h"
#include "gen/ipc_vmevents.h"
#include "ipc/ipc.h"
#include "test.h"

/*
 * The host process as it is, with real vm processes and real QEMU; storage, net
 * and the core are this test. What is killed here is killed with SIGKILL.
 */
#define VM "6a0f2f0e-3a0b-4c9d-8d43-2d8a4a0a7c11"
#define WAIT_US 20000000

struct world {
    struct loop *loop;
    const char *run;
    const char *hyper;
    const char *auth;
    bool real_net;
    pid_t host;
    int host_pidfd;
    struct ipc_listener *storage, *net;
    struct ipc_dialer *dialer;
    int lease_probe; /* the last lease's file, to see who holds it */
    char what[32];   /* of the last event */
    unsigned n_events;
    void (*body)(struct world *w);
};

static struct err *on_vdi_open(struct ipc_call *c, struct storage_vdi_open_req *req, struct storage_vdi_open_rep *rep)
{
    struct world *w = c->ctx;
    struct flock lock = { .l_type = F_WRLCK };
    char path[4200];

    if (cstr_eq(req->uuid, "missing"))
        return err_internal("no such disk");
    snprintf(path, sizeof(path), "%s/lease", w->run);
    rep->lease = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fcntl(rep->lease, F_OFD_SETLK, &lock) < 0)
        return err_internal("disk is in use");
    rep->image = memfd_create("disk", MFD_CLOEXEC);
    CHECK(ftruncate(rep->image, 1 << 20) == 0);
    rep->format = "raw";
    rep->size = 1 << 20;
    return NULL;
}

static bool lease_is_free(struct world *w)
{
    struct flock lock = { .l_type = F_WRLCK };
    char path[4200];

    snprintf(path, sizeof(path), "%s/lease", w->run);
    AUTO(fd_drop) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fcntl(fd, F_OFD_GETLK, &lock) == 0);
    return lock.l_type == F_UNLCK;
}

static struct err *on_bridge_up(struct ipc_call *c, struct net_bridge_up_req *req)
{
    (void)c;
    return cstr_eq(req->network.bridge, "missing") ? err_internal("no such bridge") : NULL;
}

static struct err *on_tap_open(struct ipc_call *c, struct net_tap_open_req *req, struct net_tap_open_rep *rep)
{
    (void)c;
    (void)req;
    rep->name = "tap0"; /* no descriptor: the link stays down */
    return NULL;
}

static struct err *on_changed(struct ipc_call *c, struct vmevents_changed_req *req)
{
    struct world *w = c->ctx;

    snprintf(w->what, sizeof(w->what), "%s", req->what);
    w->n_events++;
    return NULL;
}

static const struct storage_ops storage_fake = { .vdi_open = on_vdi_open };
static const struct net_ops net_fake = { .bridge_up = on_bridge_up, .tap_open = on_tap_open };
static const struct vmevents_ops events_fake = { .changed = on_changed };

static void on_storage_peer(void *ctx, struct ipc_peer *p)
{
    ipc_serve(p, &storage_service, &storage_fake, ctx);
}

static void on_net_peer(void *ctx, struct ipc_peer *p)
{
    ipc_serve(p, &net_service, &net_fake, ctx);
}

static void on_host_up(void *ctx, struct ipc_peer *p)
{
    ipc_serve(p, &vmevents_service, &events_fake, ctx);
}

static struct ipc_listener *serve(struct world *w, const char *name, ipc_peer_fn *fn)
{
    AUTO(mem_drop) char *path = mem_printf("%s/%s.sock", w->run, name);
    int fd = -1;

    CHECK_OK(unix_listen(path, 0600, &fd));
    return ipc_listen(w->loop, fd, fn, w);
}

static void host_start(struct world *w)
{
    const char *argv[] = { HOST_PROGRAM, "--run", w->run, "--state", test_tmpdir_path(), "--hyper", w->hyper, "--auth",
        w->auth, NULL };
    struct proc_fd fds[] = { { STDERR_FILENO, STDERR_FILENO } };
    struct proc_spec spec = { .argv = argv, .fds = fds, .n_fds = 1, .die_with_parent = SIGKILL };

    CHECK_OK(proc_spawn(&spec, &w->host, &w->host_pidfd));
}

static void host_kill(struct world *w, int signo)
{
    int status;

    CHECK_OK(proc_kill(w->host_pidfd, signo));
    CHECK(proc_wait(w->host_pidfd, clock_now(w->loop) + WAIT_US, &status));
    fd_drop(&w->host_pidfd);
}

/* The host as it is now, after a restart too. */
static struct ipc_peer *host(struct world *w)
{
    struct ipc_peer *p = NULL;

    CHECK_OK(ipc_dialer_peer(w->dialer, clock_now(w->loop) + WAIT_US, &p));
    return p;
}

static struct vm_state state_get(struct world *w, struct arena *a)
{
    for (int i = 0; i < 50; i++) {
        struct host_vm_list_rep rep;
        struct err *e = host_vm_list(host(w), a, &(struct host_vm_list_req){ 0 }, &rep);
        if (e && ipc_is_lost(e)) {
            err_ignore(e, "the host is being started again");
            fiber_sleep(50000);
            continue;
        }
        CHECK_OK(e);
        return rep.n_vms ? rep.vms[0] : (struct vm_state){ .power = "Halted" };
    }
    return (struct vm_state){ .power = "?" };
}

static struct err *start(
    struct world *w, struct arena *a, const char *vdi, const char *bridge, struct host_vm_start_rep *rep)
{
    struct vm_disk disk = { .vbd = "vbd0", .device = "xvda", .sr = "sr", .vdi = vdi, .format = "raw" };
    struct vm_nic nic = {
        .vif = "vif0", .mac = "02:00:00:00:00:01", .network = { .bridge = bridge }, .mtu = 1500, .model = "virtio"
    };
    struct host_vm_start_req req = { .plan = { .vm = VM,
                                         .ref = "OpaqueRef:vm",
                                         .name = "meadow",
                                         .domid = 1,
                                         .memory = 64 << 20,
                                         .vcpus = 1,
                                         .vcpus_max = 1,
                                         .cores_per_socket = 1,
                                         .firmware = "bios",
                                         .boot_order = "c",
                                         .platform = value_map(NULL, 0),
                                         .bios_strings = value_map(NULL, 0),
                                         .disks = &disk,
                                         .n_disks = 1,
                                         .nics = &nic,
                                         .n_nics = 1,
                                         .on_shutdown = "destroy",
                                         .on_reboot = "restart",
                                         .on_crash = "destroy" } };

    return host_vm_start(host(w), a, &req, rep);
}

static bool alive(int64_t pid)
{
    char path[64];
    AUTO(buf_done) struct buf b = { 0 };

    snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    buf_init(&b, 4096);
    struct err *e = file_read(AT_FDCWD, path, &b);
    bool gone = e || strstr(b.p, ") Z ") != NULL;
    err_ignore(e, "no such process");
    return !gone;
}

static bool folder_exists(struct world *w)
{
    AUTO(mem_drop) char *path = mem_printf("%s/vm/" VM, w->run);

    return access(path, F_OK) == 0;
}

static pid_t vm_process(struct world *w)
{
    AUTO(mem_drop) char *path = mem_printf("/proc/%d/task/%d/children", (int)w->host, (int)w->host);
    AUTO(buf_done) struct buf b = { 0 };
    struct str word, rest;
    int64_t pid = 0;

    buf_init(&b, 4096);
    CHECK_OK(file_read(AT_FDCWD, path, &b));
    str_cut(buf_str(&b), ' ', &word, &rest);
    str_to_i64(word, &pid);
    return (pid_t)pid;
}

static void op(struct world *w, struct arena *a, const char *name, const char *power)
{
    struct host_vm_op_req req = { .vm = VM, .op = name, .timeout_ms = 1000 };
    struct host_vm_op_rep rep;

    CHECK_OK(host_vm_op(host(w), a, &req, &rep));
    CHECK_STR(rep.state.power, power);
}

static void body_fiber(void *arg)
{
    struct world *w = arg;

    w->body(w);
    loop_stop(w->loop);
}

static void run_with(const char *hyper, bool real_net, void (*body)(struct world *w))
{
    AUTO(mem_drop) char *run_dir = mem_printf("%s/run", test_tmpdir_path());
    AUTO(mem_drop) char *auth = mem_printf("file:%s/passwd", test_tmpdir_path());
    struct world w = {
        .run = run_dir, .hyper = hyper, .auth = auth, .real_net = real_net, .body = body, .host_pidfd = -1
    };

    if (access("/usr/bin/qemu-system-x86_64", X_OK) < 0 && cstr_eq(hyper, "qemu")) {
        printf("SKIP: no QEMU\n");
        return;
    }
    CHECK(chmod(test_tmpdir_path(), 0755) == 0);
    CHECK_OK(dir_make(w.run, 0755));
    CHECK_OK(loop_new(&w.loop));
    w.storage = serve(&w, "storage", on_storage_peer);
    if (!w.real_net)
        w.net = serve(&w, "net", on_net_peer);
    AUTO(mem_drop) char *socket = mem_printf("%s/host.sock", w.run);
    w.dialer = ipc_dialer_new(w.loop, socket, on_host_up, NULL, &w);
    host_start(&w);
    fiber_start(w.loop, "body", body_fiber, &w);
    loop_run(w.loop);
    ipc_dialer_free(w.dialer);
    ipc_listener_free(w.storage);
    ipc_listener_free(w.net);
    loop_free(w.loop);
}

static void run(const char *hyper, void (*body)(struct world *w))
{
    run_with(hyper, false, body);
}

static void guest_survives(struct world *w)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_vm_start_rep rep;
    struct vm_state s;

    CHECK_OK(start(w, a, "vdi", "xenbr0", &rep));
    CHECK_STR(rep.state.power, "Running");
    CHECK_INT(rep.state.domid, 1);
    int64_t guest = rep.state.pid;
    CHECK(!lease_is_free(w));
    CHECK_ERR(start(w, a, "vdi", "xenbr0", &rep), "VM_BAD_POWER_STATE");

    op(w, a, "pause", "Paused");

    pid_t vm = vm_process(w); /* the vm process dies: a new one takes over */
    CHECK(vm > 0);
    CHECK(kill(vm, SIGKILL) == 0);
    for (int i = 0; i < 100 && vm_process(w) == vm; i++)
        fiber_sleep(20000);
    op(w, a, "unpause", "Running");

    host_kill(w, SIGKILL); /* the host dies: so does the vm process, not the guest */
    CHECK(alive(guest));
    CHECK(!lease_is_free(w));
    host_start(w);
    s = state_get(w, a);
    CHECK_STR(s.power, "Running");
    CHECK_STR(s.ref, "OpaqueRef:vm");
    CHECK_INT(s.pid, guest);
    op(w, a, "pause", "Paused");

    host_kill(w, SIGTERM);
    CHECK(alive(guest));
    host_start(w);
    CHECK_STR(state_get(w, a).power, "Paused");
    op(w, a, "destroy", "Halted");
    CHECK(!alive(guest));
    CHECK(lease_is_free(w));
    CHECK(!folder_exists(w));
    op(w, a, "destroy", "Halted"); /* again is success */
    host_kill(w, SIGTERM);
}

TEST(guest_outlives_host_and_vm_process)
{
    run("qemu", guest_survives);
}

static void failure_leaves_nothing(struct world *w)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_vm_start_rep rep;

    CHECK_ERR(start(w, a, "missing", "xenbr0", &rep), "INTERNAL_ERROR");
    CHECK(!folder_exists(w));
    CHECK_ERR(start(w, a, "vdi", "missing", &rep), "INTERNAL_ERROR");
    fiber_sleep(50000); /* the disk's descriptors are on their way back */
    CHECK(lease_is_free(w));
    CHECK(!folder_exists(w));
    CHECK_STR(state_get(w, a).power, "Halted");
    CHECK_OK(start(w, a, "vdi", "xenbr0", &rep));
    op(w, a, "destroy", "Halted");
    host_kill(w, SIGTERM);
}

TEST(a_start_that_fails_leaves_nothing_behind)
{
    run("qemu", failure_leaves_nothing);
}

static void guest_dies(struct world *w)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_vm_start_rep rep;

    CHECK_OK(start(w, a, "vdi", "", &rep));
    CHECK(kill((pid_t)rep.state.pid, SIGKILL) == 0);
    for (int i = 0; i < 250 && !w->n_events; i++)
        fiber_sleep(20000);
    CHECK(w->n_events == 1);
    CHECK(cstr_eq(w->what, "crash") || cstr_eq(w->what, "gone"));
    CHECK_STR(state_get(w, a).power, "Halted");
    CHECK(!folder_exists(w));

    CHECK_OK(start(w, a, "vdi", "", &rep)); /* and while nobody looks */
    host_kill(w, SIGKILL);
    CHECK(kill((pid_t)rep.state.pid, SIGKILL) == 0);
    host_start(w);
    CHECK_STR(state_get(w, a).power, "Halted");
    CHECK(!folder_exists(w));
    CHECK(lease_is_free(w));
    host_kill(w, SIGTERM);
}

TEST(a_guest_that_ends_is_told_and_cleared)
{
    run("qemu", guest_dies);
}

static void simulated_guest_survives(struct world *w)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_vm_start_rep rep;

    CHECK_OK(start(w, a, "vdi", "xenbr0", &rep));
    CHECK_STR(rep.state.power, "Running");
    op(w, a, "pause", "Paused");
    host_kill(w, SIGKILL); /* its guests are files: they are found again */
    host_start(w);
    CHECK_STR(state_get(w, a).power, "Paused");
    op(w, a, "unpause", "Running");
    op(w, a, "shutdown", "Halted");
    CHECK(!folder_exists(w));
    host_kill(w, SIGTERM);
}

TEST(a_simulated_guest_outlives_the_host)
{
    run("sim", simulated_guest_survives);
}

static void passwords(struct world *w)
{
    /* "meadow" and "island" */
    static const char file[] =
        "king:$y$j9T$0AQkyhZFvTGnmGmx.el831$0T0gwqJh6RNPotVtXNpUZ8HuXwfVaD8f11Uvgeg3/"
        "78\nbaron:$y$j9T$C.2s7g349Sgcqsd0A0axS/$kn23QEi97/kV8HMCwyEuomqXQfEjUxYSxoUypfRz1L5:barons\n";
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(mem_drop) char *path = mem_printf("%s/passwd", test_tmpdir_path());
    struct host_auth_rep rep;

    CHECK_ERR(host_auth(host(w), a, &(struct host_auth_req){ "king", "meadow" }, &rep), "INTERNAL_ERROR"); /* no file */
    CHECK_OK(file_write_atomic(AT_FDCWD, path, file, sizeof(file) - 1, 0600));
    CHECK_OK(host_auth(host(w), a, &(struct host_auth_req){ "king", "meadow" }, &rep));
    CHECK(rep.ok && rep.superuser);
    CHECK_OK(host_auth(host(w), a, &(struct host_auth_req){ "baron", "island" }, &rep));
    CHECK(rep.ok && !rep.superuser);
    CHECK_INT(rep.n_groups, 1);
    CHECK_STR(rep.groups[0], "barons");
    CHECK_OK(host_auth(host(w), a, &(struct host_auth_req){ "king", "island" }, &rep));
    CHECK(!rep.ok && !rep.superuser && rep.n_groups == 0);
    CHECK_OK(host_auth(host(w), a, &(struct host_auth_req){ "pope", "meadow" }, &rep));
    CHECK(!rep.ok);
    host_kill(w, SIGTERM);
}

TEST(passwords_are_checked_by_a_process_of_their_own)
{
    run("sim", passwords);
}

static bool tap_exists(void)
{
    return if_nametoindex("rnytap0") != 0;
}

static void guest_with_tap(struct world *w)
{
    const char *argv[] = { NET_PROGRAM, "--run", w->run, NULL };
    struct proc_fd fds[] = { { STDERR_FILENO, STDERR_FILENO } };
    struct proc_spec spec = { .argv = argv, .fds = fds, .n_fds = 1, .die_with_parent = SIGKILL };
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(fd_drop) int pidfd = -1;
    struct host_vm_start_rep rep;
    pid_t pid;
    int status;

    CHECK_OK(proc_spawn(&spec, &pid, &pidfd));
    CHECK_OK(start(w, a, "vdi", "xapi0", &rep)); /* the bridge is made, too */
    CHECK(tap_exists());
    CHECK_OK(proc_kill(pidfd, SIGKILL)); /* nothing hangs on the net process */
    CHECK(proc_wait(pidfd, clock_now(w->loop) + WAIT_US, &status));
    host_kill(w, SIGKILL);
    CHECK(tap_exists());
    host_start(w);
    CHECK_STR(state_get(w, a).power, "Running");
    op(w, a, "destroy", "Halted");
    CHECK(!tap_exists());
    CHECK(if_nametoindex("xapi0"));
    host_kill(w, SIGTERM);
}

TEST(a_guest_keeps_its_tap_without_us)
{
    if (unshare(CLONE_NEWNET) < 0) {
        printf("SKIP: no right to make a network namespace\n");
        return;
    }
    run_with("qemu", true, guest_with_tap);
}
