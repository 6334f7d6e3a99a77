"""Private memory of our processes, with and without VMs, and who wakes up when nothing happens.

QEMU, dnsmasq and pasta are programs of others and counted apart.
"""
import time

from hosts import Bed
from probe import private_kib, wakeups

TICK = 5  # seconds, of metric


def our_processes(bed):
    return {pid: name for pid, name in bed.processes().items() if name.startswith("runnymede")}


def total_mib(bed):
    return sum(private_kib(pid) for pid in our_processes(bed)) / 1024


def by_name(bed):
    """"name 1.2, name 3.4", largest first."""
    sums = {}
    for pid, name in our_processes(bed).items():
        sums[name] = sums.get(name, 0) + private_kib(pid) / 1024
    return ", ".join(f"{name.removeprefix('runnymede-')} {mib:.1f}" for name, mib in sorted(sums.items(), key=lambda i: -i[1]))


def run(report):
    n = 5 if report.quick else 40
    idle = 15 if report.quick else 60
    with Bed("qemu") as bed:
        time.sleep(3)
        empty = total_mib(bed)
        report.figure("all processes, no VM", empty, "MiB", at_most=40, note=by_name(bed))
        others = sum(private_kib(p) for p, name in bed.processes().items() if not name.startswith("runnymede")) / 1024
        report.figure("  dnsmasq and pasta", others, "MiB")
        vms = bed.side_by_side(range(n), lambda x, i: bed.vm(f"guest {i}", x))
        bed.side_by_side(vms, lambda x, vm: x.VM.start(vm, False, False))
        time.sleep(12)  # two ticks: the first figures of each VM are there
        report.figure("more per running VM", (total_mib(bed) - empty) / n, "MiB", at_most=0.7, note=f"{n} VMs; {by_name(bed)}")
        before = {pid: wakeups(pid) for pid in our_processes(bed)}
        time.sleep(idle)
        names = our_processes(bed)
        woken = {}
        for pid, count in before.items():
            if pid in names:
                woken[names[pid]] = woken.get(names[pid], 0) + wakeups(pid) - count
        ticks = idle / TICK
        told = ", ".join(f"{name.removeprefix('runnymede-')} {w / ticks:.1f}" for name, w in sorted(woken.items(), key=lambda i: -i[1]))
        report.figure(f"wake-ups of all processes per {TICK} s tick of metric", sum(woken.values()) / ticks, "", note=told)
        # metric asks core and host once each tick, host asks each VM: nothing else may wake anybody.
        asked = {"runnymede-metr", "runnymede-core", "runnymede-host", "runnymede-vm"}
        stray = sum(w for name, w in woken.items() if name[:14] not in asked)
        report.figure("  of processes that no tick concerns", stray / idle, "per second", at_most=0.05)
