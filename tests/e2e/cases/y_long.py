"""Long runs, for ./check --all: many guests at once, and many lives one after the other."""
import os
import re
import threading
from pathlib import Path

from bench import MIB, case, side_by_side

MANY = {"sim": int(os.environ.get("RUNNYMEDE_MANY_SIM", "1000")), "qemu": int(os.environ.get("RUNNYMEDE_MANY_QEMU", "300"))}
LIVES = {"sim": int(os.environ.get("RUNNYMEDE_LIVES_SIM", "5000")), "qemu": int(os.environ.get("RUNNYMEDE_LIVES_QEMU", "400"))}
WORKERS = 8


@case(own_host=True, slow=True)
def many_guests_run_at_once_and_none_is_lost(t):
    n, x = MANY[t.hypervisor], t.x
    vms = [t.vm(f"guest {i}", memory=16 * MIB) for i in range(n)]
    for round_ in range(1 if n > 300 else 3):
        side_by_side(t.x, vms, lambda c, vm: c.VM.start(vm, False, False))
        running = [r for r in x.VM.get_all_records().values() if r["power_state"] == "Running" and not r["is_control_domain"]]
        t.equal(len(running), n, f"running in round {round_}")
        t.equal(len({r["domid"] for r in running}), n, "each has a number of its own")
        if t.qemu:
            t.equal(len(t.host.guests()), n, "one QEMU each")
        side_by_side(t.x, vms, lambda c, vm: c.VM.hard_shutdown(vm))
        t.equal({x.VM.get_power_state(v) for v in vms}, {"Halted"})
        t.eventually(lambda: not t.host.guests(), "no QEMU is left", 60)
        t.equal(list((t.host.run / "vm").iterdir()), [], "no cell is left")


def footprint(t):
    """name -> (private memory in KiB, open descriptors) of each daemon."""
    found = {}
    for name, pid in t.host.daemon_pids().items():
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found[name] = (int(re.search(r"Pss_Anon:\s+(\d+)", rollup)[1]), len(os.listdir(f"/proc/{pid}/fd")))
    return found


@case(own_host=True, slow=True)
def many_lives_leave_no_memory_descriptor_or_process_behind(t):
    vms = [t.vm(f"guest {i}", disk=i % 2 == 0, memory=16 * MIB) for i in range(WORKERS)]

    def live(c, vm):
        with locks[vm]:
            c.VM.start(vm, False, False)
            c.VM.pause(vm)
            c.VM.unpause(vm)
            c.VM.hard_shutdown(vm)

    locks = {vm: threading.Lock() for vm in vms}
    lives = [vms[i % WORKERS] for i in range(LIVES[t.hypervisor])]
    side_by_side(t.x, lives[:len(lives) // 4], live)  # caches fill, tables grow to their size
    before, processes = footprint(t), len(t.host.processes())
    side_by_side(t.x, lives, live)
    after = footprint(t)
    t.equal(len(t.host.processes()), processes, "processes")
    for name, (memory, descriptors) in after.items():
        t.check(memory < before[name][0] * 1.1 + 2048, f"{name} had {before[name][0]} KiB, has {memory}")
        t.check(descriptors <= before[name][1] + 2, f"{name} had {before[name][1]} descriptors, has {descriptors}")
