"""A thousand VMs: on the simulator how many starts a second, on QEMU against the same QEMUs by hand."""
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bare import Bare, command_line
from hosts import MIB, Bed, median
from probe import cpu_ns, private_kib
from report import need


def children(pid):
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def start_cpu(bed, vm):
    """CPU that one start takes in all of our processes, the VM's own included."""
    pids = bed.daemon_pids()
    before, known = cpu_ns(*pids.values()), children(pids["host"])
    bed.x.VM.start(vm, False, False)
    used = cpu_ns(*pids.values()) - before
    return used + cpu_ns(*(children(pids["host"]) - known))


def simulated(report):
    n, in_flight, alone = (200 if report.quick else 1000), 32, 20
    with Bed("sim") as bed:
        vms = bed.side_by_side(range(n), lambda x, i: bed.vm(f"guest {i}", x))
        few = median(start_cpu(bed, vm) for vm in vms[:alone])
        crowd = vms[alone:-alone]
        began = time.perf_counter()
        bed.side_by_side(crowd, lambda x, vm: x.VM.start(vm, False, False), in_flight)
        rate = len(crowd) / (time.perf_counter() - began)
        many = median(start_cpu(bed, vm) for vm in vms[-alone:])
        running = sum(r["power_state"] == "Running" for r in bed.x.VM.get_all_records().values() if not r["is_control_domain"])
        if running != n:
            report.missing(f"{n - running} of {n} simulated VMs do not run")
        report.figure(f"simulated VMs started, {in_flight} in flight", rate, "VMs/s", at_least=300)
        report.figure(f"CPU of a start beside {n - alone:,} running VMs, times that beside 10", many / few, "", at_most=1.2,
                      note=f"{many / 1e6:.2f} against {few / 1e6:.2f} ms")
        began = time.perf_counter()
        bed.side_by_side(vms, lambda x, vm: x.VM.hard_shutdown(vm), in_flight)
        report.figure("  shut down", n / (time.perf_counter() - began), "VMs/s")


def headless(bed, x, i):
    """A thousand are to fit into 24 GiB, by their word as in truth: no screen, no tablet, hardly any memory."""
    vm = bed.vm(f"guest {i}", x, memory=4 * MIB)
    x.VM.set_platform(vm, {**x.VM.get_platform(vm), "vga": "none", "usb": "false"})
    return vm


def thousand(report):
    n = 50 if report.quick else 1000
    workers = 8
    with Bed("qemu") as bed:
        vms = bed.side_by_side(range(n), lambda x, i: headless(bed, x, i))
        began = time.perf_counter()
        bed.side_by_side(vms, lambda x, vm: x.VM.start(vm, False, False), workers)
        started = time.perf_counter() - began
        began = time.perf_counter()
        records = [r for r in bed.x.VM.get_all_records().values() if not r["is_control_domain"]]
        listed = time.perf_counter() - began
        running = sum(r["power_state"] == "Running" for r in records)
        guests = bed.guests()
        if running != n or len(guests) != n:
            report.missing(f"of {n} VMs {running} are told to run, and {len(guests)} QEMUs are there")
        time.sleep(10)
        ours = [p for p in bed.processes() if p not in guests]
        memory, theirs = sum(map(private_kib, ours)) / 1024, sum(map(private_kib, guests)) / 1024
        before, qemu_before, seconds = cpu_ns(*ours), cpu_ns(*guests), 10
        time.sleep(seconds)
        idle, qemu_idle = (cpu_ns(*ours) - before) / seconds / 1e7, (cpu_ns(*guests) - qemu_before) / seconds / 1e7
        argv = command_line(next(iter(guests)))
        kernel = bed.kernel.read_bytes()
        began = time.perf_counter()
        bed.side_by_side(vms, lambda x, vm: x.VM.hard_shutdown(vm), workers)
        stopped = time.perf_counter() - began
        left = [p for p in bed.guests()]
        if left:
            report.missing(f"{len(left)} QEMUs are left after all were stopped")
    bare = by_hand(report, argv, kernel, n, workers)
    report.peer("QEMU by hand", [need("qemu-system-x86_64", "qemu-system-x86"), "--version"], " ".join(argv))
    report.figure(f"{n:,} QEMU VMs started, 8 in flight, times as many QEMUs by hand", started / bare, "",
                  note=f"{started:.1f} against {bare:.1f} s")
    report.figure("  listed with all fields", listed * 1000, "ms")
    report.figure("  stopped", stopped, "s")
    report.figure("  memory of our processes", memory, "MiB", note=f"QEMU's own: {theirs:,.0f} MiB, {theirs / n:.1f} each")
    report.figure("  idle CPU of our processes", idle, "% of a core", note=f"QEMU's own: {qemu_idle:.1f} %")


def by_hand(report, argv, kernel, n, workers):
    """Seconds to start as many QEMUs with the same command line, 8 at a time, to the guest's first output."""
    with tempfile.NamedTemporaryFile() as f:
        f.write(kernel)
        f.flush()
        all_of_them = [Bare(argv, f.name) for _ in range(n)]
        try:
            began = time.perf_counter()
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(lambda b: b.start().output(), all_of_them))
            return time.perf_counter() - began
        finally:
            for b in all_of_them:
                b.end()


def load_test(report):
    """Citrix's old one: 300 VMs started and shut down from 8 sides, three times over: no round may be slower."""
    n, workers, rounds = (30 if report.quick else 300), 8, []
    with Bed("qemu") as bed:
        vms = bed.side_by_side(range(n), lambda x, i: bed.vm(f"guest {i}", x))
        for _ in range(3):
            began = time.perf_counter()
            bed.side_by_side(vms, lambda x, vm: x.VM.start(vm, False, False), workers)
            middle = time.perf_counter()
            bed.side_by_side(vms, lambda x, vm: x.VM.clean_shutdown(vm), workers)
            rounds.append((middle - began, time.perf_counter() - middle))
        told = ", ".join(f"{a:.1f} + {b:.1f} s" for a, b in rounds)
        report.figure(f"{n} QEMU VMs, 8-way start and shutdown, third round times the first", sum(rounds[2]) / sum(rounds[0]), "",
                      at_most=1.2, note=told)


def run(report):
    simulated(report)
    load_test(report)
    thousand(report)
