"""Starting one VM on QEMU against the same QEMU by hand and against libvirt.

From the call to the guest's first byte on its serial line; the three take turns.
"""
import socket
import tempfile
import threading
import time
from pathlib import Path

from bare import Bare, command_line
from hosts import Bed, median
from peers import Libvirt
from probe import Commits
from report import need


class Serial(threading.Thread):
    """Waits for a guest's serial socket to appear, and notes when the first byte comes."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.at = str(path), None
        self.start()

    def run(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(60)
                    s.connect(self.path)
                    if s.recv(4096):
                        self.at = time.perf_counter()
                    return
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.0005)

    def seconds_since(self, began):
        self.join()
        if self.at is None:
            raise TimeoutError(f"no output at {self.path}")
        return self.at - began


def ours(bed, vm, uuid, commits):
    """(to the first output, to VM.start's answer, commits until then)"""
    serial = Serial(bed.run / "vm" / uuid / "serial.sock")
    commits.new()
    began = time.perf_counter()
    bed.x.VM.start(vm, False, False)
    answered = time.perf_counter() - began
    n = commits.new()
    spoke = serial.seconds_since(began)
    bed.x.VM.hard_shutdown(vm)
    return spoke, answered, n


def by_hand(argv, kernel):
    bare = Bare(argv, kernel)
    try:
        began = time.perf_counter()
        bare.start().output()
        return time.perf_counter() - began
    finally:
        bare.end()


def libvirts(libvirt, domain, listener):
    began = time.perf_counter()
    domain.create()
    s, _ = listener.accept()
    s.recv(4096)
    spoke = time.perf_counter() - began
    domain.destroy()
    s.close()
    return spoke


def run(report):
    rounds = 8 if report.quick else 40
    with Bed("qemu") as bed, Libvirt(report) as libvirt, tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        vm = bed.vm("started")
        uuid = bed.x.VM.get_uuid(vm)
        bed.x.VM.start(vm, False, False)
        (pid,) = bed.guests()
        argv = command_line(pid)
        bed.x.VM.hard_shutdown(vm)
        report.peer("QEMU by hand", [need("qemu-system-x86_64", "qemu-system-x86"), "--version"], " ".join(argv))
        listener.bind(f"{folder}/serial")
        listener.listen(4)
        kernel = Path(folder, "guest.elf")
        kernel.write_bytes(bed.kernel.read_bytes())
        domain = libvirt.domain("peer", kernel, f"{folder}/serial")
        commits, ran, bare, peer = Commits(bed.database), [], [], []
        for _ in range(rounds):
            ran.append(ours(bed, vm, uuid, commits))
            bare.append(by_hand(argv, bed.kernel))
            peer.append(libvirts(libvirt, domain, listener))
        domain.undefine()
        m, b, p = median(r[0] for r in ran), median(bare), median(peer)
        report.figure("VM.start to the guest's first output, more than QEMU by hand", (m - b) * 1000, "ms", at_most=25,
                      note=f"{m * 1000:.0f} against {b * 1000:.0f} ms")
        report.figure("  to the answer of the call", median(r[1] for r in ran) * 1000, "ms")
        report.figure("  commits until the answer", max(r[2] for r in ran), "", at_most=3)
        report.figure("  libvirt's start, more than QEMU by hand", (p - b) * 1000, "ms", note=f"{p * 1000:.0f} ms")
