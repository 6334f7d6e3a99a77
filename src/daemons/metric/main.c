/*
 * runnymede-metric: figures over time. Serves <run>/metric.sock to root, to
 * the core and to whom it runs as; reads what everybody may read in /proc and
 * /sys; keeps its files in <state>/metric. Taken over it could lie about
 * figures: it has no network, starts no program, and opens no file of ours but
 * its own.
 */
#include <errno.h>
#include <getopt.h>
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
#include "metric/service.h"

struct metric_daemon {
    const char *run, *state, *user, *core_user;
    uid_t uid, core_uid;
    struct metric *metric;
};

static void on_peer(void *ctx, struct ipc_peer *p)
{
    struct metric_daemon *d = ctx;
    uid_t uid = (uid_t)-1;
    pid_t pid;
    struct err *e = ipc_peer_creds(p, &uid, &pid);

    if (!e && (uid == 0 || uid == d->uid || uid == d->core_uid)) {
        metric_mount(d->metric, p);
        return;
    }
    log_err(LOG_WARN_, "refused a stranger", e ? e : err_internal("uid %u", (unsigned)uid));
    ipc_close(p);
}

static struct err *setup(struct metric_daemon *d, struct loop *l, struct ipc_listener **ret_listener)
{
    AUTO(mem_drop) char *path = mem_printf("%s/metric.sock", d->run);
    AUTO(mem_drop) char *dir = mem_printf("%s/metric", d->state);
    AUTO(fd_drop) int fd = -1;
    struct sandbox box = { .user = d->user, .no_exec = true, .no_network = true };
    struct metric_config config = { .dir = dir, .proc_root = "" };
    const char *missing = NULL;
    unsigned gid;

    d->uid = d->core_uid = getuid();
    if (d->core_user)
        TRY(daemon_user(d->core_user, &d->core_uid, &gid));
    TRY(dir_make(d->run, 0755));
    TRY(dir_make(dir, 0700));
    if (d->user) {
        TRY(daemon_user(d->user, &d->uid, &gid));
        if (chown(dir, d->uid, gid) < 0)
            return err_errno(errno, "give %s to %s", dir, d->user);
    }
    TRY(unix_listen(path, 0666, &fd)); /* who may talk is decided by the peer's uid */
    TRY(sandbox_enter(&box, &missing));
    if (missing)
        log_warn("running without a wall", F("missing", missing));
    TRY(metric_new(l, &config, &d->metric));
    *ret_listener = ipc_listen(l, fd_take(&fd), on_peer, d);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "run", required_argument, NULL, 'r' },
        { "state", required_argument, NULL, 's' }, { "user", required_argument, NULL, 'u' },
        { "core-user", required_argument, NULL, 'c' }, { 0 } };
    struct metric_daemon d = { .run = "/run/runnymede", .state = "/var/lib/runnymede" };
    AUTO(loop_drop) struct loop *l = NULL;
    AUTO(ipc_listener_drop) struct ipc_listener *listener = NULL;
    struct err *e;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'r')
            d.run = optarg;
        else if (c == 's')
            d.state = optarg;
        else if (c == 'u')
            d.user = optarg;
        else if (c == 'c')
            d.core_user = optarg;
        else
            return 2;
    }
    umask(0077);
    e = daemon_start("metric", &l);
    if (!e)
        e = setup(&d, l, &listener);
    if (e)
        return daemon_fail("runnymede-metric", e);
    metric_start(d.metric);
    log_info("metric serves");
    daemon_ready();
    loop_run(l);
    metric_save(d.metric);
    return 0; /* a tick may be under way: its memory goes with the process */
}
