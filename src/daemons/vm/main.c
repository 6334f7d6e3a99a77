/*
 * runnymede-vm: one VM's process. The host process starts it in the VM's cell
 * (its user, its folder) with a socket to talk to:
 *
 *     runnymede-vm --dir FOLDER --hyper qemu --peer-fd N [--attach]
 *
 * It starts QEMU, or finds the one that runs, and serves idl/ipc/vm.toml. When
 * the host process is gone it exits, and the guest runs on; the next host
 * process starts another one with --attach. That flag only says what to expect
 * in `ps`: attaching is a call.
 *
 * Taken over, it could do to this VM what its owner can, and to others nothing:
 * it holds the descriptors of this VM's disks and taps, runs under this VM's
 * user without capabilities, and may execute programs (it starts QEMU).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/sandbox.h"
#include "base/str.h"
#include "daemons/lib/daemon.h"
#include "hyper/qemu/qemu.h"
#include "ipc/ipc.h"
#include "vm/service.h"

#define LOCK_TRIES 500
#define LOCK_PAUSE_US 10000

struct args {
    const char *dir;
    const struct hyper_ops *ops;
    int peer_fd;
};

static const struct hyper_ops *const hypervisors[] = { &hyper_qemu };

static bool args_parse(int argc, char **argv, struct args *ret)
{
    static const struct option options[] = {
        { "dir", required_argument, NULL, 'd' },
        { "hyper", required_argument, NULL, 'h' },
        { "peer-fd", required_argument, NULL, 'p' },
        { "attach", no_argument, NULL, 'a' },
        { 0 },
    };
    struct args a = { .peer_fd = -1 };
    uint64_t fd;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (opt == 'd') {
            a.dir = optarg;
        } else if (opt == 'h') {
            for (size_t i = 0; i < ARRAY_LEN(hypervisors); i++)
                if (cstr_eq(hypervisors[i]->name, optarg))
                    a.ops = hypervisors[i];
        } else if (opt == 'p' && str_to_u64(str_of(optarg), &fd) && fd <= 65535) {
            a.peer_fd = (int)fd;
        } else if (opt != 'a') {
            return false;
        }
    }
    if (!a.dir || a.dir[0] != '/' || !a.ops || a.peer_fd < 0)
        return false;
    *ret = a;
    return true;
}

/*
 * One of us per folder: what a killed host's vm process was still doing must be
 * over before its successor looks at what it left. The lock ends with us.
 */
static struct err *take_folder(const char *dir)
{
    AUTO(fd_drop) int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = at < 0 ? -1 : openat(at, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600); /* kept open */

    if (fd < 0)
        return err_errno(errno, "open the lock of the VM's folder");
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK || i == LOCK_TRIES)
            return err_errno(errno, "lock the VM's folder");
        usleep(LOCK_PAUSE_US);
    }
    return NULL;
}

static void on_peer_gone(void *ctx, struct ipc_peer *p UNUSED)
{
    loop_stop(ctx);
}

static struct err *serve(const struct args *a, struct loop *l)
{
    struct vm_service_env env = { .dir = a->dir };
    struct vm_service *s = NULL;
    struct ipc_peer *peer = NULL;
    struct sandbox box = { .no_network = true };
    const char *missing = NULL;

    TRY(take_folder(a->dir));
    TRY(sandbox_enter(&box, &missing));
    TRY(ipc_peer_new(l, a->peer_fd, &peer));
    TRY(vm_service_new(l, a->ops, &env, &s));
    ipc_on_close(peer, on_peer_gone, l);
    vm_service_mount(s, peer);
    loop_run(l);
    return NULL; /* crash only: what the process holds ends with it, and the guest does not */
}

int main(int argc, char **argv)
{
    struct loop *l = NULL;
    struct args a;
    struct err *e;

    if (!args_parse(argc, argv, &a)) {
        dprintf(STDERR_FILENO, "usage: runnymede-vm --dir FOLDER --hyper qemu --peer-fd N [--attach]\n");
        return 2;
    }
    if (fcntl(a.peer_fd, F_SETFD, FD_CLOEXEC) < 0) {
        dprintf(STDERR_FILENO, "runnymede-vm: no descriptor %d\n", a.peer_fd);
        return 2;
    }
    e = daemon_start("vm", &l);
    if (!e)
        e = serve(&a, l);
    if (e) {
        log_err(LOG_ERROR_, "ends, the host starts another", e);
        return 1;
    }
    return 0;
}
