"""Thousands of consoles open at once on the simulator, all of them alive."""
import resource
import select
import time

from hosts import Bed
from probe import private_kib
from xapi import open_socket

HELLO = b"RFB 003.008\n"


def open_console(bed, vm):
    (console,) = [c for c in bed.x.VM.get_consoles(vm) if bed.x.console.get_protocol(c) == "rfb"]
    query = bed.x.console.get_location(console).split("?", 1)[1]

    def dial():
        s = open_socket(bed.url)
        s.sendall(f"CONNECT /console?{query}&session_id={bed.x.session_ref} HTTP/1.0\r\n\r\n".encode())
        return s
    return dial


def read_all(sockets, wanted, deadline=60):
    """Reads from all until each has brought what wanted(text) asks for; how many did."""
    poll, text, done = select.epoll(), {s.fileno(): b"" for s in sockets}, 0
    by_fd = {s.fileno(): s for s in sockets}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    end = time.monotonic() + deadline
    while done < len(sockets) and time.monotonic() < end:
        for fd, _ in poll.poll(1):
            piece = by_fd[fd].recv(4096)
            text[fd] += piece
            if not piece or wanted(text[fd]):
                done += bool(piece)
                poll.unregister(fd)
    return done


def run(report):
    vms, each = (20, 25) if report.quick else (100, 50)
    n = vms * each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, n + 500)), hard))
    with Bed("sim") as bed:
        refs = bed.side_by_side(range(vms), lambda x, i: bed.vm(f"guest {i}", x))
        bed.side_by_side(refs, lambda x, vm: x.VM.start(vm, False, False))
        pids = [p for p, name in bed.processes().items() if name.startswith("runnymede")]
        before = sum(map(private_kib, pids))
        dials = [open_console(bed, vm) for vm in refs]
        began = time.perf_counter()
        sockets = [dial() for dial in dials for _ in range(each)]
        greeted = read_all(sockets, lambda text: HELLO in text)
        opened = time.perf_counter() - began
        for s in sockets:
            s.sendall(HELLO)
        alive = read_all(sockets, lambda text: len(text) > 0)
        report.figure("consoles open at once", greeted, "", at_least=n, note=f"{n / opened:,.0f} per second, {(sum(map(private_kib, pids)) - before) / n:.1f} KiB each")
        report.figure("  that answer while all are open", alive, "", at_least=n)
        began = time.perf_counter()
        bed.x.VM.get_all_records()
        report.figure("  a call beside them", (time.perf_counter() - began) * 1000, "ms")
        for s in sockets:
            s.close()
