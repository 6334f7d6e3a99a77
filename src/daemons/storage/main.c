/*
 * runnymede-storage: folders of disks. Serves <run>/storage.sock to root, to
 * the core and to whom it runs as. Taken over by one of these, or by a program
 * that reads an image, it could read and write the files of this host
 * (CAP_DAC_OVERRIDE is all it keeps, because SRs lie where the administrator
 * says), but not become another user, change the network, or open a socket to
 * it. The programs it starts have no capability and only the descriptors that
 * they work on.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/str.h"
#include "daemons/lib/daemon.h"
#include "storage/dir/dir.h"
#include "storage/iso/iso.h"
#include "storage/service.h"

static const struct sr_driver *const drivers[] = { &dir_driver, &iso_driver, NULL };

struct storage_daemon {
    struct loop *loop;
    struct storage_service *service;
    struct ipc_listener *listener;
    const char *run, *state, *user, *core_user;
    uid_t uid, core_uid;
    int state_fd, listen_fd;
};

static void on_peer(void *ctx, struct ipc_peer *p)
{
    struct storage_daemon *d = ctx;
    uid_t uid = (uid_t)-1;
    pid_t pid;
    struct err *e = ipc_peer_creds(p, &uid, &pid);

    if (!e && (uid == 0 || uid == d->uid || uid == d->core_uid)) {
        storage_mount(p, d->service);
        return;
    }
    log_err(LOG_WARN_, "refused a stranger", e ? e : err_internal("uid %u", (unsigned)uid));
    ipc_close(p);
}

/* <state>/storage, our own: which SRs were seen here, which are attached. */
static struct err *state_open(struct storage_daemon *d, unsigned gid)
{
    AUTO(mem_drop) char *path = mem_printf("%s/storage", d->state);

    TRY(dir_make(path, 0700));
    d->state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->state_fd < 0)
        return err_errno(errno, "open %s", path);
    if (geteuid() == 0 && fchown(d->state_fd, d->uid, gid) < 0)
        return err_errno(errno, "give away %s", path);
    return NULL;
}

static struct err *setup(struct storage_daemon *d)
{
    static const int keep[] = { CAP_DAC_OVERRIDE };
    AUTO(mem_drop) char *path = mem_printf("%s/storage.sock", d->run);
    AUTO(fd_drop) int fd = -1;
    struct sandbox box = { .user = d->user, .keep_caps = keep, .n_keep_caps = 1, .no_network = true };
    const char *missing = NULL;
    unsigned gid = getgid(), core_gid = 0;

    d->uid = d->core_uid = getuid();
    if (d->user)
        TRY(daemon_user(d->user, &d->uid, &gid));
    if (d->user && !d->core_user)
        d->core_user = "runnymede-core";
    if (d->core_user)
        TRY(daemon_user(d->core_user, &d->core_uid, &core_gid));
    TRY(dir_make(d->run, 0755));
    TRY(state_open(d, gid));
    TRY(unix_listen(path, 0666, &fd)); /* who may talk is decided by the peer's uid */
    umask(077);
    TRY(sandbox_enter(&box, &missing));
    if (missing)
        log_warn("running without a wall", F("missing", missing));
    d->service = storage_service_new(d->loop, drivers, d->state_fd);
    d->listen_fd = fd_take(&fd);
    return NULL;
}

/* [waits] Whoever dialled meanwhile waits in the socket's queue. */
static void begin(void *arg)
{
    struct storage_daemon *d = arg;

    storage_service_restore(d->service);
    d->listener = ipc_listen(d->loop, fd_take(&d->listen_fd), on_peer, d);
    log_info("storage serves");
    daemon_ready();
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "run", required_argument, NULL, 'r' },
        { "state", required_argument, NULL, 's' }, { "user", required_argument, NULL, 'u' },
        { "core-user", required_argument, NULL, 'c' }, { 0 } };
    struct storage_daemon d = {
        .run = "/run/runnymede", .state = "/var/lib/runnymede", .state_fd = -1, .listen_fd = -1
    };
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
    e = daemon_start("storage", &d.loop);
    if (!e)
        e = setup(&d);
    if (e)
        return daemon_fail("runnymede-storage", e);
    fiber_start(d.loop, "begin", begin, &d);
    loop_run(d.loop);
    return 0; /* crash only: nothing to undo */
}
