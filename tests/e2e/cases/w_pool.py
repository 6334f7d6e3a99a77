"""What concerns the pool as a whole: alerts, the audit log, its settings."""
import os
import signal

from bench import NULL, Watcher, case

EPOCH = "19700101T00:00:00Z"


def alerts(t, cls, uuid):
    """(name, priority) of its alerts, oldest first."""
    return [(m["name"], int(m["priority"])) for m in sorted(t.x.message.get(cls, uuid, EPOCH).values(), key=lambda m: m["timestamp"])]


@case
def what_happens_to_a_vm_is_told_as_alerts(t):
    x, vm = t.x, t.vm()
    uuid, w = x.VM.get_uuid(vm), Watcher(x, ["message"])
    x.VM.start(vm, False, False)
    x.VM.pause(vm)
    x.VM.unpause(vm)
    x.VM.hard_reboot(vm)
    x.VM.suspend(vm)
    x.VM.resume(vm, False, False)
    x.VM.hard_shutdown(vm)
    x.VM.start(vm, True, False)
    x.VM.hard_shutdown(vm)
    names = [n for n, _ in alerts(t, "VM", uuid)]
    t.equal(sorted(names), sorted(["VM_STARTED", "VM_PAUSED", "VM_UNPAUSED", "VM_REBOOTED", "VM_SUSPENDED", "VM_RESUMED", "VM_SHUTDOWN",
                                   "VM_STARTED", "VM_SHUTDOWN"]))
    t.check(all(p == 5 for _, p in alerts(t, "VM", uuid)), "the priority of the contract")
    record = next(m for m in x.message.get("VM", uuid, EPOCH).values() if m["name"] == "VM_STARTED")
    t.check(x.VM.get_name_label(vm) in record["body"] and x.host.get_uuid(t.the_host()) in record["body"], record)
    w.until(lambda w: [m["name"] for m in w.cache.get("message", {}).values() if m["obj_uuid"] == uuid].count("VM_SHUTDOWN") == 2, "their events")
    w.close()
    before = len(alerts(t, "VM", uuid))
    t.fails("VM_BAD_POWER_STATE", x.VM.pause, vm)
    t.equal(len(alerts(t, "VM", uuid)), before, "what failed is no news")
    copy = x.VM.clone(vm, "twin")
    t._vms.append(copy)
    t.check("VM_CLONED" in [n for n, _ in alerts(t, "VM", uuid)], "of the one that was cloned")
    t.equal(alerts(t, "VM", x.VM.get_uuid(copy)), [], "the new one has no past")


@case(on=("qemu",))
def a_guest_that_dies_by_itself_raises_an_alert_which_the_simulator_has_no_process_for(t):
    x, vm = t.x, t.vm()
    before = set(t.host.guests())
    x.VM.start(vm, False, False)
    (pid,) = set(t.host.guests()) - before
    os.kill(pid, signal.SIGKILL)
    uuid = x.VM.get_uuid(vm)
    t.eventually(lambda: ("VM_CRASHED", 2) in alerts(t, "VM", uuid), "VM_CRASHED")
    t.eventually(lambda: t.power(vm) == "Halted", "Halted")
    t.equal(x.VM.get_resident_on(vm), NULL)
