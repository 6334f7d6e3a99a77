"""Faults that a host must outlive: guests that hang, no descriptors, processes or space left, kills at every step."""
import os
import random
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

from bench import MIB, NULL, Client, Failure, Host, ProtocolError, Skip, case, copy_guest

PATIENCE = 40  # seconds that no call may exceed


def new_guest(t, start):
    """pid of the QEMU that start() brings."""
    before = set(t.host.guests())
    start()
    (pid,) = set(t.host.guests()) - before
    return pid


@case(on=("qemu",))
def a_hypervisor_that_hangs_delays_only_its_own_guest_which_the_simulator_has_no_process_for(t):
    x, well, hung = t.x, t.running_vm("well"), t.vm("hung", disk=True)
    pid = new_guest(t, lambda: x.VM.start(hung, False, False))
    os.kill(pid, signal.SIGSTOP)
    try:
        task = x.Async.VM.pause(hung)
        began = time.monotonic()
        x.VM.pause(well)
        x.VM.unpause(well)
        t.check(x.task.get_status(task) == "pending" or time.monotonic() - began > 9, "others do not wait for it")
        t.equal(t.fails("INTERNAL_ERROR", x.wait, task), ["QEMU did not answer in time"])
        x.VM.hard_shutdown(hung)
        t.equal(t.power(hung), "Halted", "it can always be ended")
        t.check(pid not in t.host.guests(), "its process is gone")
    finally:
        if pid in t.host.guests():
            os.kill(pid, signal.SIGCONT)
    x.VM.start(hung, False, False)
    t.equal(t.power(hung), "Running", "its disk is free again")


@case(on=("qemu",))
def a_hypervisor_that_is_killed_leaves_a_halted_guest_and_no_lease_which_the_simulator_has_no_process_for(t):
    x, vm = t.x, t.vm(disk=True)
    pid = new_guest(t, lambda: x.VM.start(vm, False, False))
    os.kill(pid, signal.SIGKILL)
    t.eventually(lambda: t.power(vm) == "Halted", "Halted")
    r = x.VM.get_record(vm)
    t.check(not any(x.VBD.get_currently_attached(b) for b in r["VBDs"]) and r["resident_on"] == NULL and r["current_operations"] == {}, r)
    x.VDI.resize(x.VBD.get_VDI(r["VBDs"][0]), 16 * MIB)
    x.VM.start(vm, False, False)
    t.equal(t.power(vm), "Running")


# Nothing left

def limit(pid, what, value):
    """Sets the soft limit of a running process; gives back what sets it as it was."""
    soft, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (value, hard))
    return lambda: resource.prlimit(pid, what, (soft, hard))


def quiet(fn, *args):
    try:
        return fn(*args)
    except (Failure, OSError, ProtocolError):
        return None
    except Exception:  # noqa: BLE001 - http.client has many
        return None


def comes_back(t):
    def ask():
        x = quiet(t.client)
        return x if x and quiet(x.host.get_all) else None
    t.x = t.eventually(ask, "the host answers", PATIENCE)
    return t.x


def n_open(pid):
    return max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 1


@case(own_host=True)
def without_descriptors_calls_fail_and_nothing_is_lost(t):
    vm = t.vm("kept", disk=True, nic=True)
    for name in ("host", "storage", "net", "core", "gate"):
        pid = t.host.daemon_pids()[name]
        try:
            undo = limit(pid, resource.RLIMIT_NOFILE, n_open(pid))
        except PermissionError:
            t.equal(name, "net", "it may live in a user namespace of its own, where nobody limits it")
            continue
        try:
            # A gate without descriptors lets whoever comes wait at the door: these clients do not wait long.
            quiet(lambda: t.bare(timeout=5).login("root", t.host.password).VM.start(vm, False, False))
        finally:
            quiet(undo)  # it may have ended itself, and been started again without the limit
        x = comes_back(t)
        t.eventually(lambda: x.VM.get_current_operations(vm) == {}, f"{name}: no operation is left hanging", PATIENCE)
        if t.power(vm) == "Halted":
            x.VM.start(vm, False, False)
        t.equal(t.power(vm), "Running", f"once {name} has descriptors again")
        x.VM.hard_shutdown(vm)
        t.eventually(lambda: not t.host.guests(), f"{name}: no guest is left over")


@case(own_host=True, slow=True)
def without_memory_a_process_ends_and_comes_back(t):
    vms = [t.running_vm(f"guest {i}") for i in range(2)]
    guests = t.host.guests().keys()
    for name in ("core", "host", "storage", "gate"):
        pid = t.host.daemon_pids()[name]
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        undo = limit(pid, resource.RLIMIT_AS, size)  # not one page more
        for _ in range(6):
            quiet(lambda: t.bare(timeout=5).login("root", t.host.password).VM.get_all_records())
        quiet(undo)
        x = comes_back(t)
        t.equal([t.power(v) for v in vms], ["Running"] * 2, f"after {name} had no memory")
        t.equal(t.host.guests().keys(), guests)
        x.VM.pause(vms[0])
        x.VM.unpause(vms[0])


def pids_group(name):
    """A cgroup that counts processes, v2 or v1; None where this machine lets us have none."""
    for base in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        group = Path(base) / name
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / "pids.max").exists():
            return group
        group.rmdir()
    return None


@case(own_host=True, on=("qemu",))
def without_processes_a_start_fails_and_works_later_which_the_simulator_needs_none_for(t):
    group = pids_group(f"runnymede-test-{os.getpid()}")
    if not group:
        raise Skip("no pids cgroup may be made here")
    vm = t.vm()
    host = t.host.daemon_pids()["host"]
    home = Path(f"/proc/{host}/cgroup").read_text()
    try:
        (group / "cgroup.procs").write_text(str(host))
        (group / "pids.max").write_text((group / "pids.current").read_text())
        t.fails("INTERNAL_ERROR", t.x.VM.start, vm, False, False)
        t.equal(t.power(vm), "Halted")
        t.equal(t.x.VM.get_current_operations(vm), {})
        (group / "pids.max").write_text("max")
        t.x.VM.start(vm, False, False)
        t.equal(t.power(vm), "Running")
        t.x.VM.hard_shutdown(vm)
    finally:
        (group / "pids.max").write_text("max")
        where = next((line.split(":", 2)[2] for line in home.splitlines() if group.parent.name == "pids" and ":pids:" in line), "/")
        parent = group.parent / where.lstrip("/")
        for pid in (group / "cgroup.procs").read_text().split():
            quiet((parent / "cgroup.procs").write_text, pid)
        quiet(group.rmdir)


class SmallDisk:
    """A host whose state lies on a file system of its own, with so much room."""

    def __init__(self, t, size):
        self.t, self.size = t, size

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip("only root may mount a small disk")
        self.host = Host(build=self.t.host.build, hypervisor=self.t.hypervisor)
        self.host.state.mkdir(parents=True)
        r = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=711", "runnymede-test", str(self.host.state)],
                           capture_output=True, text=True)
        if r.returncode:
            raise Skip(f"no file system may be mounted here: {r.stderr.strip()}")
        copy_guest(self.host, self.host.build)
        self.host.guest_log = lambda uuid: ""
        self.host.start()
        return self.host

    def __exit__(self, *exc):
        self.host.stop()
        subprocess.run(["umount", "-l", str(self.host.state)], check=True)
        self.host.remove()


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(1 << 20))
        except OSError:
            pass
    with open(path, "ab", buffering=0) as f:
        try:
            while True:
                f.write(bytes(512))
        except OSError:
            pass


@case(own_host=True)
def a_full_disk_fails_writes_only_and_all_goes_on_when_there_is_room(t):
    with SmallDisk(t, "96m") as host:
        x = host.client()
        vm = x.VM.clone(x.VM.get_by_name_label("Other install media")[0], "kept")
        x.VM.set_name_description(vm, "written before")
        ballast = host.state / "ballast"
        fill(ballast)
        refused, kept = 0, "written"
        for i in range(200):  # the database has some room of its own at first
            try:
                x.VM.set_name_description(vm, f"{i} {'x' * 4000}")
                kept = i
            except Failure as e:
                refused += 1
                t.equal(e.code, "INTERNAL_ERROR")
                if refused == 3:
                    break
        t.check(refused == 3, "a full disk is told")
        said = x.VM.get_name_description(vm)
        t.check(said.startswith(f"{kept} "), f"what was answered is kept: {said[:20]}, {kept}")
        t.check(x.host.get_all(), "reading goes on")
        sr = x.pool.get_default_SR(x.pool.get_all()[0])
        t.fails(("SR_FULL", "SR_BACKEND_FAILURE_44", "INTERNAL_ERROR", "SR_BACKEND_FAILURE"), x.VDI.create, dict(
            name_label="no room", name_description="", SR=sr, virtual_size=8 * MIB, type="user", sharable=False, read_only=False,
            other_config={}, xenstore_data={}, sm_config={}, tags=[]))
        ballast.unlink()
        x.VM.set_name_description(vm, "written after")
        host.stop_daemons()
        host.start()
        x = host.client()
        t.equal(x.VM.get_name_description(vm), "written after")
        t.equal([v for v in x.VDI.get_all_records().values() if v["name_label"] == "no room"], [])


@case(own_host=True)
def a_host_does_not_start_on_a_read_only_disk_and_says_why(t):
    with SmallDisk(t, "64m") as host:
        host.stop_daemons()
        subprocess.run(["mount", "-o", "remount,ro", str(host.state)], check=True)
        program = host.build / "src/daemons/supervisor/runnymede-supervisor"
        r = subprocess.run([program, "--config", host.folder / "runnymede.conf"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=PATIENCE)
        t.check(r.returncode != 0 and "read-only" in (r.stdout + r.stderr).lower(), r)
        subprocess.run(["mount", "-o", "remount,rw", str(host.state)], check=True)
        host.start()
        t.check(host.client().host.get_all(), "it starts once it may write")


# Kills at every step

class Life:
    """A client that leads one VM through everything it can do, and takes what a killed process costs."""

    STEPS = {
        "Halted": ["start", "start", "grow"],
        "Running": ["suspend", "migrate", "plug", "unplug", "pause", "hard_reboot", "stop"],
        "Paused": ["unpause"],
        "Suspended": ["resume", "resume", "stop"],
    }

    def __init__(self, t, vm, seed):
        self.t, self.vm, self.chance, self.stop, self.surprises, self.steps, self.longest = t, vm, random.Random(seed), False, [], 0, 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def step(self, x):
        vm, host = self.vm, self.t.host_ref
        state = x.VM.get_power_state(vm)
        what = self.chance.choice(self.STEPS[state])
        spare = next((b for b in x.VM.get_VBDs(vm) if x.VBD.get_userdevice(b) == "1"), None)
        if what == "start":
            x.VM.start(vm, False, False)
        elif what == "grow":
            vdi = x.VBD.get_VDI(spare)
            x.VDI.resize(vdi, int(x.VDI.get_virtual_size(vdi)) + MIB)
        elif what == "resume":
            x.VM.resume(vm, False, False)
        elif what == "migrate":
            x.VM.pool_migrate(vm, host, {})
        elif what in ("plug", "unplug"):
            if (what == "plug") != x.VBD.get_currently_attached(spare):
                x.VBD.plug(spare) if what == "plug" else x.VBD.unplug_force(spare)
        elif what == "stop":
            x.VM.hard_shutdown(vm)
        else:
            x.call(f"VM.{what}", vm)

    def run(self):
        x = None
        while not self.stop:
            began = time.monotonic()
            try:
                if x is None:
                    x = Client(self.t.host.url, timeout=PATIENCE + 60).login("root", self.t.host.password)
                self.step(x)
                self.steps += 1
            except Failure as e:
                # A killed guest is off in the middle of what was asked of it; a killed daemon is told as what it is.
                if e.code == "SESSION_INVALID" or e.code == "HOST_STILL_BOOTING":
                    x = None
                elif e.code not in ("INTERNAL_ERROR", "VM_BAD_POWER_STATE", "OTHER_OPERATION_IN_PROGRESS", "DEVICE_ALREADY_DETACHED",
                                    "DEVICE_ALREADY_ATTACHED", "DEVICE_DETACH_TIMEOUT", "OPERATION_NOT_ALLOWED", "VDI_IN_USE",
                                    "VM_CRASHED", "VM_HALTED", "VM_SHUTDOWN_TIMEOUT", "TASK_CANCELLED", "VM_MIGRATE_FAILED"):
                    self.surprises.append(str(e))
                    return
                time.sleep(0.05)
            except Exception:  # noqa: BLE001 - a connection that broke, in one of many ways
                x = None
                time.sleep(0.05)
            self.longest = max(self.longest, time.monotonic() - began)


def victims(t):
    """By name: every daemon, the vm processes, the guests' QEMUs."""
    found = {name: [pid] for name, pid in t.host.daemon_pids().items()}
    for pid, name in t.host.processes().items():
        if name.startswith("runnymede-vm"):
            found.setdefault("vm", []).append(pid)
    if t.qemu:
        found["qemu"] = list(t.host.guests())
    return found


def kill_storm(t, n_vms, kills, seed):
    chance = random.Random(seed)
    t.host_ref = t.the_host()
    vms = []
    for i in range(n_vms):
        vm = t.vm(f"guest {i}", disk=True, nic=i % 4 == 0)
        t.vbd(vm, t.vdi(name=f"spare {i}"), device="1")
        vms.append(vm)
    lives = [Life(t, vm, seed * 1000 + i) for i, vm in enumerate(vms)]
    killed = {}
    for i in range(kills):
        time.sleep(0.2 + chance.random())
        found = victims(t)
        names = sorted(n for n, pids in found.items() if pids)
        name = names[i % len(names)]
        try:
            os.kill(chance.choice(found[name]), signal.SIGKILL)
            killed[name] = killed.get(name, 0) + 1
        except ProcessLookupError:
            pass
    for life in lives:
        life.stop = True
    for life in lives:
        life.thread.join(PATIENCE + 80)
        t.check(not life.thread.is_alive(), "no call hangs for ever")
    t.check(not any(life.surprises for life in lives), [life.surprises for life in lives])
    t.check(sum(life.steps for life in lives) > kills, f"the clients got on: {[life.steps for life in lives]}")
    x = comes_back(t)
    t.eventually(lambda: all(x.VM.get_current_operations(v) == {} for v in vms), "no operation is left hanging", PATIENCE)
    states = {v: x.VM.get_power_state(v) for v in vms}
    live = [v for v, s in states.items() if s in ("Running", "Paused")]
    if t.qemu:
        t.eventually(lambda: len(t.host.guests()) == len(live), f"{len(live)} VMs run, {len(t.host.guests())} QEMUs")
    for v in vms:
        def matches(v=v):  # what somebody who was killed still held goes a moment later
            r = x.VM.get_record(v)
            return (r["suspend_VDI"] != NULL) == (r["power_state"] == "Suspended")
        t.eventually(matches, "an image for each that is suspended, only", 15)
        if x.VM.get_power_state(v) != "Halted":
            x.VM.hard_shutdown(v)
    t.eventually(lambda: not t.host.guests(), "no guest is left")
    t.eventually(lambda: not [v for v in x.VDI.get_all_records().values() if v["type"] == "suspend"], "no image is left")
    t.equal(list((t.host.run / "vm").iterdir()), [], "no cell is left")
    for v in vms:  # all leases and taps are free: everything starts again
        x.VM.start(v, False, False)
    t.equal([t.power(v) for v in vms], ["Running"] * n_vms)
    t.equal([r for r in x.task.get_all_records().values() if r["status"] == "pending"], [], "tasks that wait for ever")
    return killed


@case(own_host=True)
def kills_at_any_step_of_a_vms_life_leave_the_truth(t):
    killed = kill_storm(t, 4, 14, int(os.environ.get("RUNNYMEDE_SEED", "7")))
    t.check(set(killed) >= {"core", "gate", "host", "net", "storage"}, killed)


@case(own_host=True, slow=True)
def twenty_vms_outlive_a_hundred_kills(t):
    killed = kill_storm(t, 20, 100, int(os.environ.get("RUNNYMEDE_SEED", "11")))
    t.check(set(killed) >= {"core", "gate", "host", "net", "storage"}, killed)

