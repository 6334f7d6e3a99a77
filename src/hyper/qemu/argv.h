#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/proc.h"

/*
 * From a plan to QEMU's command line: a pure function, tested against golden
 * files. Nothing secret is in it, and nothing that a client wrote can begin an
 * option or end one.
 */
struct vm_plan;
struct buf;

struct qemu_setup {
    const char *binary;
    bool kvm;
    int qmp_fd, tools_fd, serial_fd, agent_fd; /* listening unix sockets */
    int tpm_fd;                                /* connected to the TPM's control socket; -1: none */
    int log_fd;                                /* its stdout and stderr */
    int kernel_fd, initrd_fd, data_fd;         /* readable by path in /proc/self/fd; -1: none */
    const char *prefix;                        /* of the names of its files; NULL: none */
    bool incoming;                             /* waits for a guest's memory */
};

struct qemu_argv {
    const char *const *argv; /* NULL-terminated, in the arena */
    const struct proc_fd *fds;
    size_t n_fds;
};

#define QEMU_HOTPLUG_PORTS 8
#define QEMU_VARS_FILE "vars.fd" /* UEFI variables, in the VM's folder, which is QEMU's working directory */
#define QEMU_VNC_FILE "vnc.sock"
#define QEMU_DATA_NAME "opt/org.runnymede/xenstore" /* where the guest finds plan->guest_data */
#define QEMU_BALLOON_ID "balloon"
#define QEMU_BALLOON_ID "balloon"
#define QEMU_AGENT_ID "agent" /* of the agent's port in the guest, and of its chardev */

/* plan->guest_data as the guest reads it: lines KEY=VALUE, with \\ and \n in a value for a backslash and a line end. */
void qemu_guest_data(struct buf *b, const struct vm_plan *plan);

struct err *qemu_argv_build(
    struct arena *a, const struct qemu_setup *setup, const struct vm_plan *plan, struct qemu_argv *ret_argv) MUST_CHECK;
