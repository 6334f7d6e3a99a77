#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A plan's disks and NICs in QEMU's words. The same descriptions serve the
 * command line (-blockdev JSON) and hotplug (blockdev-add), so a device is the
 * same whenever it came.
 *
 * Names follow from the position, so nobody has to remember them: disk 3 is
 * device "disk3" on node "disk3" (a throttle filter, so limits can change
 * without reopening) over "disk3-fmt" over "disk3-file", which opens the
 * descriptor set whose note says "disk3"; its limits live in "disk3-limit". CD 4 is "cd4" on
 * "cd4-fmt"; NIC 0 is "nic0" on netdev "net0".
 */
struct vm_disk;
struct vm_nic;

#define QEMU_POSITION_MAX 255 /* of disks and NICs */
#define QEMU_ID_SIZE 32

void qemu_disk_id(char ret[QEMU_ID_SIZE], const struct vm_disk *d);
void qemu_nic_id(char ret[QEMU_ID_SIZE], const struct vm_nic *n);
bool qemu_disk_has_medium(const struct vm_disk *d);
bool qemu_disk_on_ide(const struct vm_disk *d); /* on the IDE controller, at the place that its position names */
#define QEMU_IDE_PLACES 4

/* Each makes a new JSON object, the caller's. bus and bootindex < 0: left out. */
json_t *qemu_disk_file_node(const struct vm_disk *d, int64_t fdset);
json_t *qemu_disk_format_node(const struct vm_disk *d);
json_t *qemu_disk_limit_object(const struct vm_disk *d);
json_t *qemu_disk_filter_node(const struct vm_disk *d);
json_t *qemu_disk_device(const struct vm_disk *d, const char *bus, int bootindex);
static inline bool qemu_has_fd(int fd)
{
    return fd > 0;
} /* as in ipc: 0 and -1 mean none */

/* fd: what QEMU knows the tap by, a number or a name given with getfd. A NIC without a tap has no netdev. */
json_t *qemu_nic_netdev(const struct vm_nic *n, const char *fd);
json_t *qemu_nic_device(const struct vm_nic *n, const char *bus, int bootindex, bool boot_rom);
