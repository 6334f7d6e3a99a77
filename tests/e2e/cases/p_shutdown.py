"""The machine goes down and comes up again; a supervisor that is killed; what a host says of its walls."""
import shutil
import signal
import subprocess
import sys
import time

from bench import ROOT, case


def stop_guests(t, limit):
    r = subprocess.run([sys.executable, ROOT / "packaging/runnymede-guests", "stop", "--run", t.host.run,
                        "--limit", str(limit)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit + 90)
    return r.returncode, r.stdout.decode()


@case(own_host=True)
def guests_are_shut_down_in_order_before_the_host_goes_and_start_with_it_again(t):
    x = t.x
    vms = {name: t.running_vm(name) for name in ("database", "web", "whenever", "not ours to start")}
    for name, order in (("database", 1), ("web", 2), ("whenever", -1)):
        x.VM.set_order(vms[name], order)
    x.pool.add_to_other_config(t.pool(), "auto_poweron", "true")
    for name in ("database", "web", "whenever"):
        x.VM.set_start_delay(vms[name], 1)
        x.VM.add_to_other_config(vms[name], "auto_poweron", "true")
    t.guest_is_up(vms["database"])
    time.sleep(1.5 if t.qemu else 0)
    w = x.sibling()
    token = w.call("event.from", ["vm"], "", 0)["token"]
    code, said = stop_guests(t, 40)
    t.check(code == 0, said)
    t.check("is ended" not in said, said)
    for e in w.call("event.from", ["vm"], token, 1)["events"]:
        t.equal(e["snapshot"]["power_state"], "Halted")
    t.equal([t.power(v) for v in vms.values()], ["Halted"] * 4)
    t.equal([line.split(": ")[1] for line in said.splitlines() if "to shut down" in line],
            ["whenever", "web", "database", "not ours to start"])
    host = t.the_host()  # the machine that runs this test was not started again: say that it was another time
    x.host.remove_from_other_config(host, "boot_time")
    x.host.add_to_other_config(host, "boot_time", "1000000000.")
    t.host.stop_daemons()
    t.equal(t.host.processes(), {})
    shutil.rmtree(t.host.run)  # a tmpfs is empty after a boot
    t.host.start()
    x = t.x = t.client()
    t.eventually(lambda: [t.power(vms[n]) for n in ("database", "web", "whenever")] == ["Running"] * 3,
                 "guests that start with their host run")
    began = [x.VM_metrics.get_start_time(x.VM.get_metrics(vms[n])) for n in ("database", "web", "whenever")]
    t.check(began[0] < began[1] < began[2], began)
    t.equal(t.power(vms["not ours to start"]), "Halted")


@case(own_host=True)
def a_guest_that_does_not_hear_is_ended_after_the_limit(t):
    x = t.x
    deaf, paused = t.vm("deaf"), t.running_vm("paused")
    if t.qemu:  # it hears nothing before it has started
        x.VM.start(deaf, True, False)
    else:
        x.VM.add_to_platform(deaf, "sim-fail", "shutdown")
        x.VM.start(deaf, False, False)
        x.VM.pause(paused)
    began = time.monotonic()
    code, said = stop_guests(t, 3)
    t.check(code == 0, said)
    t.check("is ended" in said, said)
    t.check(time.monotonic() - began < 15, said)
    t.equal([t.power(v) for v in (deaf, paused)], ["Halted"] * 2)
    t.equal(stop_guests(t, 3)[0], 0)


@case(own_host=True)
def a_supervisor_that_is_killed_takes_the_daemons_along_and_the_next_one_finds_the_guests(t):
    x = t.x
    vms = [t.running_vm(f"guest {i}", disk=i == 0) for i in range(3)]
    guests = sorted(t.host.guests())
    t.equal(len(guests), 3 if t.qemu else 0)
    daemons = t.host.daemon_pids()
    t.host.supervisor.send_signal(signal.SIGKILL)
    t.host.supervisor.wait()
    t.eventually(lambda: not [p for p in daemons.values() if p in t.host.processes()], "the daemons have ended", 10)
    t.equal(sorted(t.host.guests()), guests)
    t.host.stop_daemons()
    t.host.start()
    x = t.x = t.client()
    t.equal(sorted(t.host.guests()), guests)
    t.check(not set(daemons.values()) & set(t.host.daemon_pids().values()), "new daemons")
    if t.qemu:
        t.equal([t.power(v) for v in vms], ["Running"] * 3)
        x.VM.clean_shutdown(vms[0])
        x.VM.hard_shutdown(vms[1])
        t.equal([t.power(v) for v in vms], ["Halted", "Halted", "Running"])
        x.VM.start(vms[0], False, False)


@case
def a_host_names_the_walls_around_guests_that_it_cannot_make(t):
    import re
    log = (t.host.state / "log/host.log").read_text()
    told = {c.removeprefix("missing:") for c in t.x.host.get_capabilities(t.the_host()) if c.startswith("missing:")}
    t.equal(told, set(re.findall(r"guests run without a wall missing=(\S+)", log)))


@case
def the_machine_goes_down_only_when_disabled_and_empty(t):
    x, host = t.x, t.the_host()
    done = t.host.folder / "powered"
    for m in ("reboot", "shutdown"):
        t.fails("HOST_NOT_DISABLED", getattr(x.host, m), host)
        t.fails("HANDLE_INVALID", getattr(x.host, m), "OpaqueRef:no")
    vm = t.running_vm()
    x.host.disable(host)
    t.equal(t.fails("HOST_IN_USE", x.host.reboot, host), [host, "vm", vm])
    x.VM.hard_shutdown(vm)
    t.check(not done.exists(), "nothing happened so far")
    x.host.reboot(host)
    t.effect("host.reboot", done.read_text().split() == ["reboot"])
    x.host.shutdown(host)
    t.effect("host.shutdown", done.read_text().split() == ["reboot", "shutdown"])
    x.host.enable(host)
    done.unlink()
