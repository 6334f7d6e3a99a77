#pragma once
#include "hyper/hyper.h"

/*
 * QEMU 7.2 behind hyper.h, on KVM where that really works, else on TCG.
 *
 * QEMU is a session leader of its own that outlives us. In the VM's folder lie:
 *     qemu.pid     whether a guest's reboot ends it, and QEMU's line in /proc/PID/stat
 *     qemu.log     what QEMU says on stderr, kept under 1 MiB
 *     qmp.sock     our monitor;  tools.sock: one for people and tools
 *     vnc.sock     the screen;   serial.sock: the first serial line;   agent.sock: the agent in the guest
 *     vars.fd      the UEFI variables
 * A guest's leases of disks ride along into QEMU (getfd "lease-disk0"), so they
 * are held exactly as long as QEMU may write.
 */
extern const struct hyper_ops hyper_qemu;
