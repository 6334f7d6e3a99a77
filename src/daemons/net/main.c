/*
 * runnymede-net: bridges and taps. Serves <run>/net.sock to root, to the core
 * and to whom it runs as. Taken over by one of these it could rewire this
 * host's interfaces (CAP_NET_ADMIN is all it keeps), but open no file of ours.
 */
#include <getopt.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/str.h"
#include "daemons/lib/daemon.h"
#include "ipc/ipc.h"
#include "net/backend.h"
#include "net/linux/linux.h"
#include "net/sim/sim.h"

struct net_daemon {
    struct net_backend backend;
    const char *run, *user, *core_user, *backend_name;
    bool no_taps;
    uid_t uid, core_uid;
};

static void on_peer(void *ctx, struct ipc_peer *p)
{
    struct net_daemon *d = ctx;
    uid_t uid = (uid_t)-1;
    pid_t pid;
    struct err *e = ipc_peer_creds(p, &uid, &pid);

    if (!e && (uid == 0 || uid == d->uid || uid == d->core_uid)) {
        net_mount(p, &d->backend);
        return;
    }
    log_err(LOG_WARN_, "refused a stranger", e ? e : err_internal("uid %u", (unsigned)uid));
    ipc_close(p);
}

static struct err *setup(struct net_daemon *d, struct loop *l, struct ipc_listener **ret_listener)
{
    static const int keep[] = { CAP_NET_ADMIN };
    AUTO(mem_drop) char *path = mem_printf("%s/net.sock", d->run);
    AUTO(fd_drop) int fd = -1;
    struct sandbox box = { .user = d->user, .keep_caps = keep, .n_keep_caps = 1, .no_exec = true };
    const char *missing = NULL;
    unsigned gid;

    d->uid = d->core_uid = getuid();
    if (d->user)
        TRY(daemon_user(d->user, &d->uid, &gid));
    if (d->core_user)
        TRY(daemon_user(d->core_user, &d->core_uid, &gid));
    TRY(dir_make(d->run, 0755));
    TRY(unix_listen(path, 0666, &fd)); /* who may talk is decided by the peer's uid */
    if (cstr_eq(d->backend_name, "sim"))
        sim_net_init(&d->backend, !d->no_taps);
    else
        TRY(linux_net_init(&d->backend));
    TRY(sandbox_enter(&box, &missing));
    if (missing)
        log_warn("running without a wall", F("missing", missing));
    *ret_listener = ipc_listen(l, fd_take(&fd), on_peer, d);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "run", required_argument, NULL, 'r' },
        { "user", required_argument, NULL, 'u' }, { "core-user", required_argument, NULL, 'c' },
        { "backend", required_argument, NULL, 'b' }, { "no-taps", no_argument, NULL, 'n' }, { 0 } };
    struct net_daemon d = { .run = "/run/runnymede", .backend_name = "linux" };
    AUTO(loop_drop) struct loop *l = NULL;
    AUTO(ipc_listener_drop) struct ipc_listener *listener = NULL;
    struct err *e;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'r')
            d.run = optarg;
        else if (c == 'u')
            d.user = optarg;
        else if (c == 'c')
            d.core_user = optarg;
        else if (c == 'b' && (cstr_eq(optarg, "linux") || cstr_eq(optarg, "sim")))
            d.backend_name = optarg;
        else if (c == 'n')
            d.no_taps = true;
        else
            return 2;
    }
    e = daemon_start("net", &l);
    if (!e)
        e = setup(&d, l, &listener);
    if (e)
        return daemon_fail("runnymede-net", e);
    log_info("net serves", F("backend", d.backend.name));
    daemon_ready();
    loop_run(l);
    net_backend_free(&d.backend);
    return 0;
}
