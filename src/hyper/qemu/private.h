#pragma once
#include "base/fiber.h"
#include "base/loop.h"
#include "hyper/hyper.h"
#include "hyper/qemu/devices.h"
#include "hyper/qemu/qmp.h"

/* What qemu.c and hotplug.c share. */

#define CALL_US (10 * 1000000ULL) /* for one QMP command: QEMU answers in milliseconds or is stuck */
#define N_UNPLUGGED 16
#define QEMU_BINARY "/usr/bin/qemu-system-x86_64"
#define QEMU_VARS_TEMPLATE "/usr/share/OVMF/OVMF_VARS_4M.fd"

struct qemu {
    struct hyper_guest base;
    struct hyper_env env;
    pid_t pid;
    int pidfd; /* owned */
    struct watch *exit_watch;
    struct timer *housekeeping;
    struct qmp *qmp;                           /* NULL or lost: reconnected at the next call */
    bool gone;                                 /* the process has ended */
    bool no_reboot;                            /* a guest's own reboot switches it off */
    uint64_t resets;                           /* RESET events seen */
    char unplugged[N_UNPLUGGED][QEMU_ID_SIZE]; /* devices that the guest let go of, a ring */
    unsigned n_unplugged;
    struct waitq change; /* something above changed */
};

static inline struct qemu *qemu_of(struct hyper_guest *g)
{
    return CONTAINER_OF(g, struct qemu, base);
}

/* [waits] qmp_call() that reconnects if need be. Takes args. */
struct err *qemu_call(struct qemu *q, const char *command, json_t *args, int fd, json_t **ret_value) MUST_CHECK;

/* probe.c */
struct err *qemu_probe(struct hyper_info *ret_info) MUST_CHECK;

/* hotplug.c */
struct err *qemu_lease_pass(struct qemu *q, const struct vm_disk *d) MUST_CHECK;
struct err *qemu_link_set(struct qemu *q, const struct vm_nic *n, bool up) MUST_CHECK;
struct err *qemu_disk_add(struct hyper_guest *g, const struct vm_disk *d) MUST_CHECK;
struct err *qemu_disk_remove(
    struct hyper_guest *g, const struct vm_disk *d, bool force, uint64_t deadline_us) MUST_CHECK;
struct err *qemu_media(struct hyper_guest *g, const struct vm_disk *cd) MUST_CHECK;
struct err *qemu_nic_add(struct hyper_guest *g, const struct vm_nic *n) MUST_CHECK;
struct err *qemu_nic_remove(struct hyper_guest *g, const struct vm_nic *n, bool force, uint64_t deadline_us) MUST_CHECK;
