#include "hyper/qemu/devices.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include "base/str.h"
#include "gen/ipc_vm.h"

void qemu_disk_id(char ret[QEMU_ID_SIZE], const struct vm_disk *d)
{
    snprintf(ret, QEMU_ID_SIZE, "%s%lld", d->cd ? "cd" : "disk", (long long)d->position);
}

void qemu_nic_id(char ret[QEMU_ID_SIZE], const struct vm_nic *n)
{
    snprintf(ret, QEMU_ID_SIZE, "nic%lld", (long long)n->position);
}

bool qemu_disk_has_medium(const struct vm_disk *d)
{
    return qemu_has_fd(d->image);
}

bool qemu_disk_on_ide(const struct vm_disk *d)
{
    return cstr_eq(d->bus, "ide");
}

static json_t *named(const struct vm_disk *d, const char *suffix)
{
    char id[QEMU_ID_SIZE];

    qemu_disk_id(id, d);
    return json_sprintf("%s%s", id, suffix);
}

/*
 * Whoever opened the image decided how: with O_DIRECT QEMU bypasses the page
 * cache too. QEMU's own image locks stay off, because the storage room's lease
 * already says who may open the disk, and knows about snapshots and copies.
 */
json_t *qemu_disk_file_node(const struct vm_disk *d, int64_t fdset)
{
    struct stat st;
    bool block = fstat(d->image, &st) == 0 && S_ISBLK(st.st_mode);
    int flags = fcntl(d->image, F_GETFL);
    bool direct = flags >= 0 && (flags & O_DIRECT);

    return json_pack("{s:s, s:o, s:o, s:b, s:s, s:s, s:{s:b}}", "driver", block ? "host_device" : "file", "node-name",
        named(d, "-file"), "filename", json_sprintf("/dev/fdset/%lld", (long long)fdset), "read-only",
        d->read_only || d->cd, "locking", "off", "discard", "unmap", "cache", "direct", direct);
}

json_t *qemu_disk_format_node(const struct vm_disk *d)
{
    return json_pack("{s:s, s:o, s:o, s:b, s:s}", "driver", cstr_eq(d->format, "qcow2") ? "qcow2" : "raw", "node-name",
        named(d, "-fmt"), "file", named(d, "-file"), "read-only", d->read_only || d->cd, "discard", "unmap");
}

json_t *qemu_disk_limit_object(const struct vm_disk *d)
{
    return json_pack("{s:s, s:o}", "qom-type", "throttle-group", "id", named(d, "-limit"));
}

json_t *qemu_disk_filter_node(const struct vm_disk *d)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:b}", "driver", "throttle", "node-name", named(d, ""), "throttle-group",
        named(d, "-limit"), "file", named(d, "-fmt"), "read-only", d->read_only || d->cd);
}

json_t *qemu_disk_device(const struct vm_disk *d, const char *bus, int bootindex)
{
    bool ide = qemu_disk_on_ide(d);
    json_t *j = json_pack("{s:s, s:o, s:s}", "driver",
        d->cd     ? "ide-cd"
            : ide ? "ide-hd"
                  : "virtio-blk-pci",
        "id", named(d, ""), "bus", bus);

    if (ide)
        json_object_set_new(j, "unit", json_integer(d->position % 2));
    if (!d->cd) {
        json_object_set_new(j, "drive", named(d, ""));
        json_object_set_new(j, "serial", json_sprintf("%.20s", d->vdi ? d->vdi : ""));
    } else if (qemu_disk_has_medium(d)) {
        json_object_set_new(j, "drive", named(d, "-fmt"));
    }
    if (bootindex >= 0)
        json_object_set_new(j, "bootindex", json_integer(bootindex));
    return j;
}

json_t *qemu_nic_netdev(const struct vm_nic *n, const char *fd)
{
    return json_pack("{s:s, s:o, s:s}", "type", "tap", "id", json_sprintf("net%lld", (long long)n->position), "fd", fd);
}

json_t *qemu_nic_device(const struct vm_nic *n, const char *bus, int bootindex, bool boot_rom)
{
    bool virtio = !cstr_eq(n->model, "e1000") && !cstr_eq(n->model, "rtl8139");
    json_t *j = json_pack("{s:s, s:o, s:s, s:s}", "driver", virtio ? "virtio-net-pci" : n->model, "id",
        json_sprintf("nic%lld", (long long)n->position), "mac", n->mac, "bus", bus);

    if (qemu_has_fd(n->tap))
        json_object_set_new(j, "netdev", json_sprintf("net%lld", (long long)n->position));
    if (!boot_rom)
        json_object_set_new(j, "romfile", json_string("")); /* no iPXE, and none of its time */
    if (virtio && n->mtu > 0 && n->mtu != 1500)
        json_object_set_new(j, "host_mtu", json_integer(n->mtu));
    if (bootindex >= 0)
        json_object_set_new(j, "bootindex", json_integer(bootindex));
    return j;
}
