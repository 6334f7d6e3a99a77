#pragma once
#include "hyper/hyper.h"

/*
 * Xen 4.17 behind hyper.h, through libxl: PVH guests with a kernel of their own
 * ("direct"). Disks, NICs and consoles are not here yet: NOT_IMPLEMENTED.
 *
 * There is no process per guest; a guest is a domain, found again by the VM's
 * uuid, never by a domain id that was written down: Xen hands those out anew.
 * Libxl chooses the id, so a VM that starts over gets another one.
 * In the VM's folder lie:
 *     xen.guest      uuid, reference, and whether a guest's reboot ends it;
 *                    written before the domain is made, so none is ever lost
 *     kernel, initrd copies, to start over from
 *
 * VM.platform, key "cpupool": the CPU pool that the guest runs in.
 *
 * libxl blocks, so each call is one job on a thread. It cannot be cut short: an
 * interrupted start is undone when libxl returns. Any end of a domain on the
 * host is told as HYPER_EV_STATE; a guest's own reboot is carried out by the
 * query() that finds it. libxl starts children: do not block SIGCHLD.
 */
extern const struct hyper_ops hyper_xen;
