#include "host/broker.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/str.h"
#include "gen/ipc_net.h"
#include "gen/ipc_storage.h"

static struct err *open_disk(const struct broker *b, struct arena *a, struct vm_disk *disk, bool beside)
{
    struct storage_vdi_open_req req = {
        .sr = disk->sr, .uuid = disk->vdi, .read_only = disk->read_only || disk->cd, .beside = beside
    };
    struct storage_vdi_open_rep rep;
    struct ipc_peer *peer;

    if (cstr_empty(disk->vdi) || disk->image > 0)
        return NULL;
    TRY(b->storage(b->ctx, &peer));
    TRY(storage_vdi_open(peer, a, &req, &rep));
    disk->image = rep.image;
    disk->lease = rep.lease;
    disk->format = rep.format;
    if (rep.size)
        disk->size = rep.size;
    return NULL;
}

struct err *broker_disk(const struct broker *b, struct arena *a, struct vm_disk *disk)
{
    return open_disk(b, a, disk, false);
}

struct err *broker_nic(const struct broker *b, struct arena *a, const char *vm, struct vm_nic *nic)
{
    uint64_t mtu = nic->mtu > 0 ? (uint64_t)nic->mtu : nic->network.mtu;
    struct net_tap_open_req req = { .bridge = nic->network.bridge,
        .vm = vm,
        .position = nic->position,
        .mac = nic->mac,
        .mtu = mtu,
        .lock = nic->lock };
    struct net_tap_open_rep rep;
    struct ipc_peer *peer;

    if (cstr_empty(nic->network.bridge) || nic->tap > 0)
        return NULL;
    TRY(b->net(b->ctx, &peer));
    TRY(net_bridge_up(peer, a, &(struct net_bridge_up_req){ nic->network }));
    TRY(b->net(b->ctx, &peer)); /* it may have been lost and found meanwhile */
    TRY(net_tap_open(peer, a, &req, &rep));
    nic->tap = rep.tap;
    return NULL;
}

/* A path as "vmlinuz", or absolute within the folder; nothing outside of it, links included. */
static struct err *boot_file(const struct broker *b, const char *path, int *ret_fd)
{
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    AUTO(fd_drop) int dir = -1;
    AUTO(fd_drop) int fd = -1;
    size_t n = strlen(b->boot_dir);
    struct stat st;

    if (cstr_empty(path) || *ret_fd > 0)
        return NULL;
    if (cstr_starts(path, b->boot_dir) && path[n] == '/')
        path += n + 1;
    dir = open(b->boot_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_errno(errno, "open boot folder");
    fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_errno(errno, "open %s in the boot folder", path);
    if (!S_ISREG(st.st_mode))
        return err_internal("%s in the boot folder is no file", path);
    *ret_fd = fd_take(&fd);
    return NULL;
}

static struct err *open_plan(const struct broker *b, struct arena *a, struct vm_plan *plan, bool beside)
{
    TRY(boot_file(b, plan->kernel_path, &plan->kernel));
    TRY(boot_file(b, plan->initrd_path, &plan->initrd));
    for (size_t i = 0; i < plan->n_disks; i++)
        TRY(open_disk(b, a, &plan->disks[i], beside));
    for (size_t i = 0; i < plan->n_nics; i++)
        TRY(broker_nic(b, a, plan->vm, &plan->nics[i]));
    return NULL;
}

struct err *broker_plan(const struct broker *b, struct arena *a, struct vm_plan *plan)
{
    return open_plan(b, a, plan, false);
}

struct err *broker_plan_beside(const struct broker *b, struct arena *a, struct vm_plan *plan)
{
    return open_plan(b, a, plan, true);
}
