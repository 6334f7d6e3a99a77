/*
 * runnymede-host: root's part of a host, and the only one that starts guests'
 * processes. Serves <run>/host.sock to root and the core; asks <run>/storage.sock
 * and <run>/net.sock for descriptors. It parses no byte of a stranger's or a
 * guest's, only typed messages of our own processes, and has no network.
 * Taken over by the core it could start and stop guests and end or reboot the
 * machine, which is what the core may ask for anyway.
 */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemons/lib/daemon.h"
#include "host/launch_local.h"
#include "host/service.h"
#include "host/wall.h"
#include "hyper/qemu/qemu.h"
#include "hyper/sim/sim.h"
#include "ipc/ipc.h"

#define DIAL_US 15000000

struct daemon {
    const char *run, *state, *hyper, *auth, *core_user, *bin, *boot, *power, *plugin_user;
    bool no_walls;
    uid_t uid_base, core_uid;
    struct loop *loop;
    struct walls *walls;
    char *vm_program, *auth_program, *report_program, *vm_dir, *boot_dir;
    struct vm_program process;
    struct vm_local local;
    struct launcher launcher;
    struct auth_door auth_door;
    struct machine machine;
    struct cells *cells;
    struct host_room *room;
    struct ipc_dialer *storage, *net;
    struct ipc_listener *listener;
    const struct hyper_ops *ops;
    struct hyper_info probed;
    struct inventory_hyper inventory_hyper;
    int failed; /* exit code */
};

static struct err *ask_storage(void *ctx, struct ipc_peer **ret_peer)
{
    struct daemon *d = ctx;
    struct err *e = ipc_dialer_peer(d->storage, clock_now(d->loop) + DIAL_US, ret_peer);

    return e ? err_note(e, "storage") : NULL;
}

static struct err *ask_net(void *ctx, struct ipc_peer **ret_peer)
{
    struct daemon *d = ctx;
    struct err *e = ipc_dialer_peer(d->net, clock_now(d->loop) + DIAL_US, ret_peer);

    return e ? err_note(e, "net") : NULL;
}

static void on_peer(void *ctx, struct ipc_peer *p)
{
    struct daemon *d = ctx;
    uid_t uid = (uid_t)-1;
    pid_t pid;
    struct err *e = ipc_peer_creds(p, &uid, &pid);

    if (!e && (uid == 0 || uid == d->core_uid)) {
        host_room_mount(d->room, p);
        return;
    }
    log_err(LOG_WARN_, "refused a stranger", e ? e : err_internal("uid %u", (unsigned)uid));
    ipc_close(p);
}

static struct err *programs(struct daemon *d)
{
    TRY(daemon_find(d->bin, "auth", &d->auth_program));
    if (d->ops == &hyper_qemu)
        TRY(daemon_find(d->bin, "vm", &d->vm_program));
    if (cstr_starts(d->auth, "file:"))
        auth_door_init(&d->auth_door, d->loop, d->auth_program, d->auth + 5);
    else if (cstr_eq(d->auth, "pam"))
        auth_door_init(&d->auth_door, d->loop, d->auth_program, NULL);
    else
        return err_internal("--auth must be pam or file:PATH");
    return NULL;
}

static struct err *cells(struct daemon *d)
{
    const char *inside[] = { d->vm_program, "/usr/bin" };
    struct walls_config walls = { .run_dir = d->run,
        .state_dir = d->state,
        .programs = inside,
        .n_programs = 2,
        .self_dir = d->vm_dir,
        .none = d->no_walls || d->ops == &hyper_sim };

    if (!d->vm_program)
        inside[0] = "/usr/bin";
    TRY(dir_make(d->vm_dir, 0711));
    d->walls = walls_new(&walls);
    d->process = (struct vm_program){ d->loop, d->walls, d->vm_program, d->hyper };
    d->local = (struct vm_local){ d->loop, d->ops };
    d->launcher = d->ops == &hyper_sim ? launcher_local(&d->local) : launcher_process(&d->process);
    struct cells_config config = { .dir = d->vm_dir,
        .launcher = &d->launcher,
        .own_uids = walls_have_uid(d->walls),
        .uid_base = d->uid_base,
        .on_change = host_room_changed,
        .on_report = host_room_reported,
        .on_tpm = host_room_tpm,
        .ctx = &d->room };
    return cells_new(d->loop, &config, &d->cells);
}

static void room(struct daemon *d)
{
    static const char *const capabilities[] = { "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64" };
    struct host_room_config c = { .cells = d->cells,
        .auth = &d->auth_door,
        .power = d->power,
        .secure_vars = d->ops->secure_vars,
        .machine = d->machine,
        .broker = { d, ask_storage, ask_net, d->boot_dir } };

    d->inventory_hyper = (struct inventory_hyper){ d->probed.name, d->probed.version, d->probed.accelerator,
        d->probed.detail, d->probed.uefi, d->probed.vcpus_max, capabilities, ARRAY_LEN(capabilities),
        d->probed.overhead, d->probed.overhead_vcpu, d->probed.overhead_screen };
    c.inventory = (struct inventory_source){
        .root = "", .hyper = &d->inventory_hyper, .start_time_s = clock_wall(d->loop) / 1000000
    };
    if (d->ops != &hyper_sim) /* guests that are only pretended need no walls */
        c.inventory.walls_missing = walls_missing(d->walls, &c.inventory.n_walls_missing);
    d->room = host_room_new(&c);
}

static void log_start(const struct daemon *d)
{
    size_t n;
    const char *const *missing = walls_missing(d->walls, &n);

    for (size_t i = 0; i < n && d->ops != &hyper_sim; i++)
        log_warn("guests run without a wall", F("missing", missing[i]));
    log_info("host serves", F("hypervisor", d->probed.name), F("accelerator", d->probed.accelerator),
        F("detail", d->probed.detail), FI("guests", cells_count(d->cells)));
}

static struct err *setup(struct daemon *d)
{
    AUTO(mem_drop) char *storage = mem_printf("%s/storage.sock", d->run);
    AUTO(mem_drop) char *net = mem_printf("%s/net.sock", d->run);
    unsigned gid;

    d->core_uid = getuid();
    if (d->core_user)
        TRY(daemon_user(d->core_user, &d->core_uid, &gid));
    d->machine.state_dir = d->state;
    d->machine.run_dir = d->run;
    log_err(LOG_WARN_, "no status reports", daemon_find(d->bin, "report", &d->report_program));
    d->machine.report = d->report_program;
    if (d->plugin_user && getuid() == 0)
        TRY(daemon_user(d->plugin_user, &d->machine.plugin_uid, &d->machine.plugin_gid));
    d->vm_dir = mem_printf("%s/vm", d->run);
    d->boot_dir = d->boot ? mem_strdup(d->boot) : mem_printf("%s/boot", d->state);
    TRY(programs(d));
    TRY(cells(d));
    d->storage = ipc_dialer_new(d->loop, storage, NULL, NULL, d);
    d->net = ipc_dialer_new(d->loop, net, NULL, NULL, d);
    return NULL;
}

static struct err *open_door(struct daemon *d)
{
    AUTO(mem_drop) char *socket = mem_printf("%s/host.sock", d->run);
    AUTO(fd_drop) int fd = -1;

    TRY(d->ops->probe(&d->probed));
    room(d);
    TRY(cells_adopt(d->cells));          /* vm_list waits for it */
    TRY(unix_listen(socket, 0666, &fd)); /* who may talk is decided by the peer's uid */
    d->listener = ipc_listen(d->loop, fd_take(&fd), on_peer, d);
    return NULL;
}

/* [waits] */
static void begin(void *arg)
{
    struct daemon *d = arg;
    struct err *e = open_door(d);

    if (e) {
        d->failed = daemon_fail("runnymede-host", e);
        loop_stop(d->loop);
        return;
    }
    log_start(d);
    daemon_ready();
}

/*
 * Guests' uids: a range for each run folder, the same after a restart. What is
 * left of a cell is found by its uid, so two hosts on one machine that shared a
 * range would end each other's guests.
 */
static uid_t uid_range(const char *run)
{
    uint32_t h = 2166136261U; /* FNV-1a */

    for (; *run; run++)
        h = (h ^ (unsigned char)*run) * 16777619U;
    return 1000000 + h % 1024 * 65536;
}

static bool arguments(struct daemon *d, int argc, char **argv)
{
    static const struct option options[] = { { "run", required_argument, NULL, 'r' },
        { "state", required_argument, NULL, 's' }, { "hyper", required_argument, NULL, 'h' },
        { "auth", required_argument, NULL, 'a' }, { "core-user", required_argument, NULL, 'c' },
        { "bin", required_argument, NULL, 'b' }, { "boot", required_argument, NULL, 'k' },
        { "uid-base", required_argument, NULL, 'u' }, { "no-walls", no_argument, NULL, 'w' },
        { "power", required_argument, NULL, 'p' }, { "machine", required_argument, NULL, 'm' },
        { "plugin-user", required_argument, NULL, 'l' }, { 0 } };
    uint64_t n;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'r')
            d->run = optarg;
        else if (c == 's')
            d->state = optarg;
        else if (c == 'h')
            d->hyper = optarg;
        else if (c == 'a')
            d->auth = optarg;
        else if (c == 'c')
            d->core_user = optarg;
        else if (c == 'b')
            d->bin = optarg;
        else if (c == 'k')
            d->boot = optarg;
        else if (c == 'u' && str_to_u64(str_of(optarg), &n) && n >= 65536 && n < 0xf0000000)
            d->uid_base = (uid_t)n;
        else if (c == 'w')
            d->no_walls = true;
        else if (c == 'p')
            d->power = optarg;
        else if (c == 'm' && (cstr_eq(optarg, "machine") || optarg[0] == '/'))
            d->machine.root = cstr_eq(optarg, "machine") ? "" : optarg;
        else if (c == 'l')
            d->plugin_user = optarg;
        else
            return false;
    }
    d->ops = cstr_eq(d->hyper, "qemu") ? &hyper_qemu : cstr_eq(d->hyper, "sim") ? &hyper_sim : NULL;
    if (!d->uid_base)
        d->uid_base = uid_range(d->run);
    return d->ops && d->run[0] == '/' && d->state[0] == '/';
}

int main(int argc, char **argv)
{
    static struct daemon d = { .run = "/run/runnymede", .state = "/var/lib/runnymede", .hyper = "qemu", .auth = "pam" };
    struct err *e;

    if (!arguments(&d, argc, argv)) {
        fprintf(stderr,
            "usage: runnymede-host [--run DIR] [--state DIR] [--hyper qemu|sim] [--auth pam|file:PATH]\n"
            "    [--core-user NAME] [--bin DIR] [--boot DIR] [--uid-base N] [--no-walls] [--power machine|PROGRAM]\n"
            "    [--machine machine|DIR] [--plugin-user NAME]\n");
        return 2;
    }
    e = daemon_start("host", &d.loop);
    if (!e)
        e = setup(&d);
    if (e)
        return daemon_fail("runnymede-host", e);
    fiber_start(d.loop, "begin", begin, &d);
    loop_run(d.loop);
    return d.failed; /* vm processes end with us; guests live on */
}
