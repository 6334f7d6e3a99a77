/*
 * runnymede-core: what the API means. It dials the gate, the host, storage and
 * net processes of this machine, keeps the database in <state>/core, and has
 * no rights besides. Taken over it could do whatever the API can: it is the
 * one that decides. It could not open another process's files, nor touch a
 * guest's memory, nor the network.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/str.h"
#include "core/core.h"
#include "daemons/lib/daemon.h"
#include "ipc/ipc.h"
#include "store/sqlite/sqlite.h"
#include "store/store.h"

#define START_US (60UL * 1000 * 1000)

struct daemon {
    const char *run, *state, *user, *hyper;
    uint64_t https_port;
    struct loop *loop;
    struct core_config config;
    struct store *store;
    struct core *core;
    struct ipc_dialer *gate, *host, *storage, *net, *metric;
    int exit_code;
};

static void catch_up(void *arg)
{
    struct daemon *d = arg;

    log_err(LOG_WARN_, "cannot look what runs", core_catch_up(d->core));
}

static void host_up(void *ctx, struct ipc_peer *p)
{
    struct daemon *d = ctx;

    core_mount_events(d->core, p);
    core_set_host(d->core, p);
    fiber_start(d->loop, "catch up", catch_up, d);
}

static void host_down(void *ctx, struct ipc_peer *p)
{
    struct daemon *d = ctx;

    (void)p;
    core_set_host(d->core, NULL);
}

static void attach_again(void *arg)
{
    struct daemon *d = arg;

    core_attach_again(d->core);
}

static void storage_up(void *ctx, struct ipc_peer *p)
{
    struct daemon *d = ctx;

    core_set_storage(d->core, p);
    fiber_start(d->loop, "attach again", attach_again, d);
}

static void storage_down(void *ctx, struct ipc_peer *p)
{
    (void)p;
    core_set_storage(((struct daemon *)ctx)->core, NULL);
}

static void restore_networks(void *arg)
{
    core_restore_networks(((struct daemon *)arg)->core);
}

static void net_up(void *ctx, struct ipc_peer *p)
{
    struct daemon *d = ctx;

    core_set_net(d->core, p);
    fiber_start(d->loop, "restore networks", restore_networks, d);
}

static void net_down(void *ctx, struct ipc_peer *p)
{
    (void)p;
    core_set_net(((struct daemon *)ctx)->core, NULL);
}

static void metric_up(void *ctx, struct ipc_peer *p)
{
    core_set_metric(((struct daemon *)ctx)->core, p);
}

static void metric_down(void *ctx, struct ipc_peer *p)
{
    (void)p;
    core_set_metric(((struct daemon *)ctx)->core, NULL);
}

static void ask_gate(void *arg)
{
    core_catch_up_gate(((struct daemon *)arg)->core);
}

static void gate_up(void *ctx, struct ipc_peer *p)
{
    struct daemon *d = ctx;

    core_mount(d->core, p);
    core_set_gate(d->core, p);
    fiber_start(d->loop, "ask the gate", ask_gate, d);
}

static void gate_down(void *ctx, struct ipc_peer *p)
{
    (void)p;
    core_set_gate(((struct daemon *)ctx)->core, NULL);
}

/* A restart is an end like any other: the store is made for it. */
static void restart(void *arg)
{
    loop_stop(((struct daemon *)arg)->loop);
}

/* Opening databases while still allowed to make folders. */
static struct err *open_store(struct daemon *d)
{
    AUTO(mem_drop) char *state_dir = mem_printf("%s/core", d->state);
    AUTO(mem_drop) char *run_dir = mem_printf("%s/core", d->run);
    AUTO(mem_drop) char *durable_path = mem_printf("%s/core/state.db", d->state);
    AUTO(mem_drop) char *fleeting_path = mem_printf("%s/core/volatile.db", d->run);
    struct backend *durable = NULL, *fleeting = NULL;
    unsigned uid = 0, gid = 0;

    TRY(dir_make(state_dir, 0700));
    TRY(dir_make(run_dir, 0700));
    if (d->user) {
        TRY(daemon_user(d->user, &uid, &gid));
        if (chown(state_dir, uid, gid) < 0 || chown(run_dir, uid, gid) < 0)
            return err_errno(errno, "give %s to %s", state_dir, d->user);
    }
    struct sandbox box = { .user = d->user, .no_exec = true, .no_network = true };
    const char *missing = NULL;
    TRY(sandbox_enter(&box, &missing));
    if (missing)
        log_info("runs without a wall", F("missing", missing));
    TRY(sqlite_backend(durable_path, true, NULL, &durable));
    TRY(sqlite_backend(fleeting_path, false, NULL, &fleeting));
    return store_open(d->loop, durable, fleeting, &d->store);
}

static void start(void *arg)
{
    struct daemon *d = arg;
    struct err *e = core_start(d->core, clock_now(d->loop) + START_US);

    if (!e) {
        daemon_ready();
        return;
    }
    log_err(LOG_ERROR_, "cannot start", e);
    d->exit_code = 1; /* whoever started us starts us again */
    loop_stop(d->loop);
}

static struct ipc_dialer *dial(struct daemon *d, const char *socket, ipc_peer_fn *up, ipc_peer_fn *down)
{
    AUTO(mem_drop) char *path = mem_printf("%s/%s", d->run, socket);

    return ipc_dialer_new(d->loop, path, up, down, d);
}

static void run(void *arg)
{
    struct daemon *d = arg;
    struct err *e = open_store(d);

    if (e) {
        d->exit_code = daemon_fail("runnymede-core", e);
        loop_stop(d->loop);
        return;
    }
    d->core = core_new(d->loop, d->store, &d->config);
    d->host = dial(d, "host.sock", host_up, host_down);
    d->storage = dial(d, "storage.sock", storage_up, storage_down);
    d->net = dial(d, "net.sock", net_up, net_down);
    d->metric = dial(d, "metric.sock", metric_up, metric_down);
    d->gate = dial(d, "gate/core.sock", gate_up, gate_down);
    fiber_start(d->loop, "start", start, d);
}

static bool arguments(struct daemon *d, int argc, char **argv)
{
    static const struct option options[] = { { "run", required_argument, NULL, 'r' },
        { "state", required_argument, NULL, 's' }, { "user", required_argument, NULL, 'u' },
        { "hyper", required_argument, NULL, 'h' }, { "http-port", required_argument, NULL, 'p' },
        { "https-port", required_argument, NULL, 't' }, { "address", required_argument, NULL, 'a' },
        { "sr-dir", required_argument, NULL, 'd' }, { "iso-dir", required_argument, NULL, 'i' }, { 0 } };
    uint64_t ignored;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'r')
            d->run = optarg;
        else if (c == 's')
            d->state = optarg;
        else if (c == 'u')
            d->user = optarg;
        else if (c == 'h')
            d->hyper = optarg;
        else if (c == 'a')
            d->config.address = optarg;
        else if (c == 'd')
            d->config.sr_dir = optarg;
        else if (c == 'i')
            d->config.iso_dir = optarg;
        else if (c == 't' && str_to_u64(str_of(optarg), &d->https_port) && d->https_port < 65536)
            d->config.https_port = (uint16_t)d->https_port;
        else if (!(c == 'p' && str_to_u64(str_of(optarg), &ignored)))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct daemon d = { .run = "/run/runnymede", .state = "/var/lib/runnymede", .hyper = "qemu" };
    struct err *e;

    d.config = (struct core_config){ .product_version = RUNNYMEDE_VERSION,
        .address = "",
        .https_port = 443,
        .auth_delay_us = 5 * 1000 * 1000,
        .on_restart = restart,
        .restart_arg = &d };
    if (!arguments(&d, argc, argv)) {
        fprintf(stderr,
            "usage: runnymede-core [--run DIR] [--state DIR] [--user NAME] [--hyper qemu|sim|xen] [--https-port N] "
            "[--http-port N]\n"
            "    [--address ADDRESS] [--sr-dir DIR] [--iso-dir DIR]\n");
        return 2;
    }
    umask(0077);
    d.config.audit_dir = mem_printf("%s/core", d.state);
    d.config.blob_dir = mem_printf("%s/core/blobs", d.state);
    d.config.spool_dir = mem_printf("%s/core/spool", d.state);
    d.config.hypervisor = d.hyper;
    if (!d.config.sr_dir)
        d.config.sr_dir = mem_printf("%s/sr", d.state);
    d.config.trust_dir = mem_printf("%s/core/trust", d.state);
    if (!d.config.iso_dir)
        d.config.iso_dir = mem_printf("%s/iso", d.state);
    daemon_keep_memory();
    e = daemon_start("core", &d.loop);
    if (e)
        return daemon_fail("runnymede-core", e);
    fiber_start(d.loop, "open", run, &d); /* the databases are read on worker threads */
    loop_run(d.loop);
    return d.exit_code;
}
