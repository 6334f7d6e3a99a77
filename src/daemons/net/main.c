/*
 * runnymede-net: bridges and taps. Serves <run>/net.sock to root, to the core
 * and to whom it runs as. Taken over by one of these it could rewire this
 * host's interfaces (CAP_NET_ADMIN is all it keeps), but open no file of ours
 * and start no program: its keeper (keeper.h), which can, takes addresses and
 * nothing else. With --backend private it could only rewire a network that is
 * its own (space.h).
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <linux/capability.h>
#include <net/if.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/str.h"
#include "daemons/lib/daemon.h"
#include "daemons/net/keeper.h"
#include "daemons/net/space.h"
#include "ipc/ipc.h"
#include "net/backend.h"
#include "net/linux/linux.h"
#include "net/sim/sim.h"

struct net_daemon {
    struct net_backend backend;
    struct net_dhcp dhcp;
    struct loop *loop;
    const char *run, *user, *core_user, *backend_name;
    bool no_taps, private, start_over;
    struct err *no_space; /* owned: why there is no private network */
    uid_t uid, core_uid;
    gid_t gid, core_gid;
    int listen_fd, keeper_fd;
};

/* Within the private namespace nobody else has a number: there the socket's own rights say who may talk. */
static void on_peer(void *ctx, struct ipc_peer *p)
{
    struct net_daemon *d = ctx;
    uid_t uid = (uid_t)-1;
    pid_t pid;
    struct err *e = ipc_peer_creds(p, &uid, &pid);

    if (!e && (d->private || uid == 0 || uid == d->uid || uid == d->core_uid)) {
        net_mount(p, &d->backend);
        return;
    }
    log_err(LOG_WARN_, "refused a stranger", e ? e : err_internal("uid %u", (unsigned)uid));
    ipc_close(p);
}

static struct err *users(struct net_daemon *d)
{
    unsigned uid = getuid(), gid = getgid();

    d->uid = d->core_uid = uid;
    d->gid = d->core_gid = gid;
    if (d->user) {
        TRY(daemon_user(d->user, &uid, &gid));
        d->uid = uid;
        d->gid = gid;
    }
    if (!d->user && d->private && uid == 0) { /* a private network takes no rights, so it gets none */
        TRY(daemon_user("nobody", &uid, &gid));
        d->uid = uid;
        d->gid = gid;
    }
    if (d->core_user) {
        TRY(daemon_user(d->core_user, &uid, &gid));
        d->core_uid = uid;
        d->core_gid = gid;
    }
    return NULL;
}

static struct err *open_door(struct net_daemon *d)
{
    AUTO(mem_drop) char *path = mem_printf("%s/net.sock", d->run);

    TRY(dir_make(d->run, 0755));
    TRY(unix_listen(path, d->private ? 0600 : 0666, &d->listen_fd));
    if (d->private && geteuid() == 0 && chown(path, d->core_uid, d->core_gid) < 0)
        return err_errno(errno, "give %s to the core", path);
    return NULL;
}

/* <run>/net: what the keeper notes. Owned by whom dnsmasq runs as. */
static struct err *folder(const struct net_daemon *d, char **ret_dir)
{
    AUTO(mem_drop) char *dir = mem_printf("%s/net", d->run);
    const struct passwd *pw = getpwnam("dnsmasq");
    uid_t uid = d->private ? d->uid : pw ? pw->pw_uid : 0;

    TRY(dir_make(dir, 0755));
    if (geteuid() == 0 && chown(dir, uid, (gid_t)-1) < 0)
        return err_errno(errno, "give away %s", dir);
    *ret_dir = MOVE(dir);
    return NULL;
}

static struct err *become(const struct net_daemon *d)
{
    if (geteuid() != 0 || d->uid == 0)
        return NULL;
    if (setgroups(0, NULL) < 0 || setresgid(d->gid, d->gid, d->gid) < 0 || setresuid(d->uid, d->uid, d->uid) < 0)
        return err_errno(errno, "become %s", d->user);
    return NULL;
}

/* As nobody in particular, in a network of our own. The kernel forgets on the way that we want to end with our parent.
 */
static struct err *go_private(const struct net_daemon *d, const char *dir)
{
    pid_t parent = getppid();
    int signo = 0;

    if (prctl(PR_GET_PDEATHSIG, &signo) < 0)
        return err_errno(errno, "read the parent's death signal");
    TRY(become(d));
    TRY(space_enter(dir));
    if (signo && prctl(PR_SET_PDEATHSIG, signo) < 0)
        return err_errno(errno, "end with the parent");
    if (signo && getppid() != parent)
        raise(signo);
    return NULL;
}

/* Guests that run on while we are away need their network. */
static bool has_taps(void)
{
    struct if_nameindex *all = if_nameindex();
    bool found = false;

    for (struct if_nameindex *i = all; i && i->if_index; i++)
        found = found || cstr_starts(i->if_name, NET_TAP_PREFIX);
    if (all)
        if_freenameindex(all);
    return found;
}

/* Before the loop and the first thread. */
static struct err *before(struct net_daemon *d)
{
    AUTO(mem_drop) char *dir = NULL;
    struct keeper_config keeper = { .private_space = d->private, .forwarder = d->private ? SPACE_DNS : NULL };

    TRY(users(d));
    TRY(open_door(d));
    if (cstr_eq(d->backend_name, "sim"))
        return NULL;
    TRY(folder(d, &dir));
    d->no_space = d->private ? go_private(d, dir) : NULL;
    if (d->no_space) { /* where user namespaces are forbidden, as in a chroot: guests' NICs have no cable, the rest
                          works */
        d->private = false;
        d->backend_name = "sim";
        d->no_taps = true;
        return NULL;
    }
    keeper.dir = dir;
    return keeper_fork(&keeper, &d->keeper_fd);
}

/* Without a keeper no network gets a DHCP server: the next process has both. */
static void on_keeper_lost(void *ctx, struct ipc_peer *p UNUSED)
{
    log_warn("the keeper is gone; starting over");
    ((struct net_daemon *)ctx)->start_over = true;
    loop_stop(((struct net_daemon *)ctx)->loop);
}

static struct err *backend(struct net_daemon *d)
{
    struct ipc_peer *keeper = NULL;

    if (cstr_eq(d->backend_name, "sim")) {
        sim_net_init(&d->backend, !d->no_taps);
        return NULL;
    }
    TRY(ipc_peer_new(d->loop, d->keeper_fd, &keeper));
    ipc_on_close(keeper, on_keeper_lost, d);
    d->dhcp = keeper_dhcp(keeper);
    return linux_net_init(&d->backend, &d->dhcp);
}

/* Guests that ran on while there was no net process renew their addresses; nobody need plug anything for that. */
static void resume(void *arg)
{
    struct net_daemon *d = arg;

    log_err(LOG_WARN_, "a network with NAT is not as it was", linux_net_resume(&d->backend));
}

static struct err *setup(struct net_daemon *d)
{
    static const int keep[] = { CAP_NET_ADMIN };
    struct sandbox box = { .user = d->private ? NULL : d->user, .keep_caps = keep, .n_keep_caps = 1, .no_exec = true };
    const char *missing = NULL;

    TRY(backend(d));
    TRY(sandbox_enter(&box, &missing));
    if (missing)
        log_warn("running without a wall", F("missing", missing));
    ipc_listen(d->loop, fd_take(&d->listen_fd), on_peer, d);
    if (!cstr_eq(d->backend_name, "sim"))
        fiber_start(d->loop, "resume", resume, d);
    return NULL;
}

static bool arguments(struct net_daemon *d, int argc, char **argv)
{
    static const struct option options[] = { { "run", required_argument, NULL, 'r' },
        { "user", required_argument, NULL, 'u' }, { "core-user", required_argument, NULL, 'c' },
        { "backend", required_argument, NULL, 'b' }, { "no-taps", no_argument, NULL, 'n' }, { 0 } };

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'r')
            d->run = optarg;
        else if (c == 'u')
            d->user = optarg;
        else if (c == 'c')
            d->core_user = optarg;
        else if (c == 'b')
            d->backend_name = optarg;
        else if (c == 'n')
            d->no_taps = true;
        else
            return false;
    }
    d->private = cstr_eq(d->backend_name, "private");
    return d->private || cstr_eq(d->backend_name, "linux") || cstr_eq(d->backend_name, "sim");
}

static void leave(const struct net_daemon *d)
{
    AUTO(mem_drop) char *dir = mem_printf("%s/net", d->run);

    space_leave(dir);
}

int main(int argc, char **argv)
{
    struct net_daemon d = { .run = "/run/runnymede", .backend_name = "linux", .listen_fd = -1, .keeper_fd = -1 };
    struct err *e;

    if (!arguments(&d, argc, argv)) {
        fprintf(stderr,
            "usage: runnymede-net [--run DIR] [--backend linux|private|sim] [--user NAME] [--core-user NAME] "
            "[--no-taps]\n");
        return 2;
    }
    e = before(&d);
    if (!e)
        e = daemon_start("net", &d.loop);
    if (!e)
        e = setup(&d);
    if (e)
        return daemon_fail("runnymede-net", e);
    if (d.no_space)
        log_err(LOG_WARN_, "no private network: guests' NICs are not connected", d.no_space);
    log_info("net serves", F("backend", d.backend_name));
    daemon_ready();
    loop_run(d.loop);
    net_backend_free(&d.backend);
    if (d.private && !d.start_over && !has_taps())
        leave(&d);
    return 0;
}
