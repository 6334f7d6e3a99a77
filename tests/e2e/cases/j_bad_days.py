"""Daemons killed at work, restarts, and writes that must not be lost."""
import os
import random
import signal
import threading
import time

from bench import CheckFailed, Client, Failure, Host, ProtocolError, case

N_VMS = 10
PATIENCE = 30  # seconds that no call may exceed


class Worker:
    """A client at work: writes and reads all the time, logs in again when its session went, times every call."""

    def __init__(self, t, vm):
        self.t, self.vm, self.stop, self.longest, self.surprises, self.done = t, vm, False, 0, [], 0
        self.acknowledged = None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        x = None
        n = 0
        while not self.stop:
            began = time.monotonic()
            try:
                if x is None:
                    x = Client(self.t.host.url, timeout=PATIENCE + 15)
                    x.login("root", self.t.host.password)
                n += 1
                x.VM.set_name_description(self.vm, f"write {n}")
                self.acknowledged = n
                x.VM.get_record(self.vm)
                self.done += 1
            except (OSError, ProtocolError):
                x = None
                time.sleep(0.05)
            except Failure as e:
                if e.code in ("SESSION_INVALID", "HOST_STILL_BOOTING"):
                    x = None
                elif e.code == "INTERNAL_ERROR":
                    time.sleep(0.05)  # said honestly: a service was lost in the middle
                else:
                    self.surprises.append(str(e))
                    return
            except Exception as e:  # noqa: BLE001 - http.client has many
                x = None
                self.last = e
                time.sleep(0.05)
            self.longest = max(self.longest, time.monotonic() - began)

    def end(self):
        self.stop = True
        self.thread.join(PATIENCE + 20)


def ten_guests(t):
    vms = [t.vm(f"guest {i}", disk=i < 3, nic=i < 3) for i in range(N_VMS)]
    for task in [t.x.Async.VM.start(v, False, False) for v in vms]:
        t.x.wait(task)
    if t.qemu:
        t.equal(len(t.host.guests()), N_VMS, "one QEMU per VM")
    return vms


def come_back(t, timeout=PATIENCE):
    """A client that can work again, on a session of its own."""
    end = time.monotonic() + timeout
    while True:
        try:
            x = t.client()
            x.host.get_all()
            return x
        except Exception as e:  # noqa: BLE001
            if time.monotonic() > end:
                raise CheckFailed(f"the host does not come back in {timeout} s: {e!r}")
            time.sleep(0.1)


def truth(t, vms, guests):
    """What the API says is what is so."""
    x = t.x = come_back(t)
    for v in vms:
        t.eventually(lambda: x.VM.get_record(v)["current_operations"] == {}, "no operation left hanging")
    t.equal({v: x.VM.get_power_state(v) for v in vms}, {v: "Running" for v in vms})
    if t.qemu:
        t.equal(t.host.guests().keys(), guests.keys(), "the same QEMU processes")


def targets(t):
    """Each process of ours in turn: the daemons, then the vm processes."""
    found = [(name, pid) for name, pid in sorted(t.host.daemon_pids().items())]
    found += [("vm", pid) for pid, name in t.host.processes().items() if name.startswith("runnymede-vm")][:3]
    return found


@case(own_host=True)
def killing_each_process_of_ours_harms_no_guest_and_no_state(t):
    vms = ten_guests(t)
    guests = t.host.guests()
    worker = Worker(t, vms[0])
    names = [name for name, _ in targets(t)]
    t.check(set(names) >= {"core", "gate", "host", "net", "storage"}, names)
    for i, name in enumerate(names):
        pids = [pid for n, pid in targets(t) if n == name]
        if not pids:
            raise CheckFailed(f"{name} is not running")
        os.kill(pids[i % len(pids)] if name == "vm" else pids[0], signal.SIGKILL)
        time.sleep(0.3)
        truth(t, vms, guests)
        victim = vms[1 + i % (N_VMS - 1)]
        t.x.VM.pause(victim)
        t.equal(t.power(victim), "Paused", f"after {name} was killed")
        t.x.VM.unpause(victim)
        if name != "vm":
            t.eventually(lambda: t.host.daemon_pids().get(name) not in (None, pids[0]), f"{name} runs again")
    done = worker.done
    t.eventually(lambda: worker.done > done + 5 or worker.surprises, "the client goes on")
    worker.end()
    t.check(not worker.surprises, worker.surprises)
    t.check(worker.longest < PATIENCE, f"a call took {worker.longest:.1f} s")
    said = int(t.x.VM.get_name_description(vms[0]).split()[1])
    t.check(said >= worker.acknowledged, f"write {worker.acknowledged} was answered, {said} is kept")
    for v in vms:
        t.x.VM.hard_shutdown(v)
    t.eventually(lambda: not t.host.guests(), "no guest is left")


@case(own_host=True)
def killing_the_supervisor_or_stopping_everything_leaves_the_guests_alone(t):
    vms = ten_guests(t)
    guests = t.host.guests()
    t.host.stop_daemons()
    t.equal(t.host.guests().keys(), guests.keys(), "guests while no daemon runs")
    if t.qemu:
        gone = next(iter(guests))
        del guests[gone]
        os.kill(gone, signal.SIGKILL)
    t.host.start()
    x = t.x = come_back(t)
    states = {v: x.VM.get_power_state(v) for v in vms}
    n_dead = 1 if t.qemu else 0
    t.equal(sorted(states.values()), ["Halted"] * n_dead + ["Running"] * (N_VMS - n_dead), "all but the dead one are adopted")
    t.equal(t.host.guests().keys(), guests.keys())
    t.host.stop_daemons(signal.SIGKILL)
    time.sleep(1)
    t.host.start()
    t.x = come_back(t)
    t.equal({v: t.power(v) for v in vms}, states, "after the supervisor was killed")
    running = next(v for v in vms if states[v] == "Running")
    t.guest_is_up(running)
    t.x.VM.clean_shutdown(running)
    t.equal(t.power(running), "Halted", "an adopted guest obeys")


@case(own_host=True)
def objects_survive_a_restart_and_sessions_that_of_core_only(t):
    x, vm = t.x, t.vm("kept")
    x.VM.set_other_config(vm, {"a": "b"})
    record = x.VM.get_record(vm)
    pid = t.host.daemon_pids()["core"]
    os.kill(pid, signal.SIGKILL)
    t.eventually(lambda: t.host.daemon_pids().get("core") not in (None, pid), "core runs again")
    t.eventually(lambda: quiet(lambda: x.VM.get_record(vm)), "the session goes on")
    t.equal(x.VM.get_record(vm), record)
    t.host.stop_daemons()
    t.host.start()
    t.x = come_back(t)
    t.equal(t.x.VM.get_record(vm), record)
    t.equal(t.x.host.get_all().__len__(), 1)


def quiet(fn):
    try:
        return fn()
    except (Failure, OSError, ProtocolError):
        return None
    except Exception:  # noqa: BLE001
        return None


def rounds_of_killing_core(host, rounds, seed):
    """Kills core at random moments under write load. What was answered must be there, and in whole. The number of writes."""
    x = Client(host.socket_url, timeout=40)
    template = x.VM.get_by_name_label("Other install media")[0]
    vms = [x.VM.clone(template, f"written {i}") for i in range(4)]
    answered, tried = {v: 0 for v in vms}, {v: 0 for v in vms}
    stop = threading.Event()
    surprises = []

    def write(v):
        c = None
        while not stop.is_set():
            try:
                if c is None:
                    c = Client(host.socket_url, timeout=40)
                n = tried[v] = tried[v] + 1
                c.VM.set_other_config(v, {"n": str(n), "again": str(n)})
                answered[v] = n
            except Failure as e:
                if e.code not in ("INTERNAL_ERROR", "HOST_STILL_BOOTING", "SESSION_INVALID"):
                    surprises.append(str(e))
                    return
            except Exception:  # noqa: BLE001 - a connection that broke
                c = None
                time.sleep(0.01)

    def until(fn, what):
        end = time.monotonic() + PATIENCE
        while not (r := fn()):
            if time.monotonic() > end:
                raise CheckFailed(f"seed {seed}: not so after {PATIENCE} s: {what}; {surprises}")
            time.sleep(0.005)
        return r

    threads = [threading.Thread(target=write, args=(v,), daemon=True) for v in vms]
    for w in threads:
        w.start()
    chance = random.Random(seed)
    killed = 0
    while killed < rounds:
        pid = until(lambda: host.daemon_pids().get("core"), "core runs")
        before = sum(answered.values())
        until(lambda: sum(answered.values()) >= before + 3, "writes are answered")
        time.sleep(chance.random() * 0.05)
        floor = dict(answered)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed += 1
        until(lambda: host.daemon_pids().get("core") not in (None, pid), "core is started again")
        for v in vms:
            got = until(lambda: quiet(lambda: Client(host.socket_url, timeout=40).VM.get_other_config(v)), "an answer")
            if floor[v] and int(got.get("n", 0)) < floor[v]:
                raise CheckFailed(f"seed {seed}, round {killed}: write {floor[v]} was answered, {got} is kept")
            if got.get("n") != got.get("again"):
                raise CheckFailed(f"seed {seed}, round {killed}: half a transaction: {got}")
    stop.set()
    for w in threads:
        w.join(PATIENCE)
    if surprises:
        raise CheckFailed(f"seed {seed}: {surprises}")
    return sum(answered.values())


@case(own_host=True, on=("sim",))
def two_hundred_kills_of_core_lose_no_write_on_the_simulator_as_no_guest_is_concerned(t):
    """Eight hosts side by side: the supervisor waits up to two seconds before it starts what dies again and again."""
    rounds, n_hosts = int(os.environ.get("RUNNYMEDE_KILL_ROUNDS", "200")), 8
    hosts = [t.host] + [Host(build=t.host.build, hypervisor="sim").start() for _ in range(n_hosts - 1)]
    writes, errors = [], []

    def work(host, seed):
        try:
            writes.append(rounds_of_killing_core(host, rounds // n_hosts, seed))
        except Exception as e:  # noqa: BLE001
            errors.append(e)
    threads = [threading.Thread(target=work, args=(h, i)) for i, h in enumerate(hosts)]
    for w in threads:
        w.start()
    for w in threads:
        w.join()
    for h in hosts[1:]:
        h.remove()
    if errors:
        raise errors[0]
    t.check(len(writes) == n_hosts and min(writes) > 0, writes)


@case(own_host=True)
def a_second_instance_on_the_same_folder_is_refused(t):
    import subprocess
    program = t.host.build / "src/daemons/supervisor/runnymede-supervisor"
    r = subprocess.Popen([program, "--config", t.host.folder / "runnymede.conf"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        out, _ = r.communicate(timeout=5)
        t.check(r.returncode != 0 and out, f"it says why: {out}")
    except subprocess.TimeoutExpired:
        r.kill()
        r.wait()
        raise CheckFailed("it runs beside the first one")
    finally:
        t.x = come_back(t)
    t.x.pool.get_all()


@case(own_host=True)
def a_reboot_of_the_machine_is_told_truly(t):
    """Everything dies at once: daemons and guests. What the run folder held is gone; the VMs are Halted."""
    import shutil
    vms = ten_guests(t)[:3]
    t.host.stop_daemons(signal.SIGKILL)
    t.host.kill_rest()
    shutil.rmtree(t.host.run)
    t.host.start()
    x = t.x = come_back(t)
    t.equal([t.power(v) for v in vms], ["Halted"] * 3)
    x.VM.start(vms[0], False, False)
    t.equal(t.power(vms[0]), "Running")
