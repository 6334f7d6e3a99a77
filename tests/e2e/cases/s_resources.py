"""What a running VM is made of, changed while it runs."""
from bench import NULL, case


@case
def device_models_are_restarted_under_a_guest_that_runs_on(t):
    x, vm = t.x, t.running_vm("renewed", disk=True, nic=True)
    t.guest_is_up(vm)
    before, domid, pids = x.VM.get_record(vm), int(x.VM.get_domid(vm)), set(t.host.guests())
    x.VM.restart_device_models(vm)
    after = x.VM.get_record(vm)
    t.effect("VM.restart_device_models", int(after["domid"]) != domid and after["power_state"] == "Running", after["domid"])
    for field in ("resident_on", "VBDs", "VIFs", "current_operations"):
        t.equal(after[field], before[field], field)
    t.check(all(x.VBD.get_currently_attached(b) for b in after["VBDs"]), "its disks are attached")
    t.check(all(x.VIF.get_currently_attached(v) for v in after["VIFs"]), "its interfaces are attached")
    if t.qemu:
        t.check(len(set(t.host.guests())) == len(pids) and set(t.host.guests()) != pids, "another QEMU runs it")
    x.VM.clean_shutdown(vm)  # the guest itself answers this one
    t.equal(t.power(vm), "Halted", "the guest listens after it")


@case
def device_models_are_restarted_only_where_a_guest_could_move(t):
    x, vm = t.x, t.vm()
    restart = x.VM.restart_device_models
    t.equal(t.fails("VM_BAD_POWER_STATE", restart, vm), [vm, "running", "halted"])
    t.fails("VM_BAD_POWER_STATE", restart, t.template())
    t.fails("HANDLE_INVALID", restart, NULL)
    x.VM.set_platform(vm, {"nomigrate": "true"})
    x.VM.start(vm, True, False)
    t.equal(t.fails("VM_BAD_POWER_STATE", restart, vm), [vm, "running", "paused"])
    x.VM.unpause(vm)
    domid = x.VM.get_domid(vm)
    t.equal(t.fails("VM_IS_IMMOBILE", restart, vm), [vm])
    x.VM.set_blocked_operations(vm, {"pool_migrate": "stay"})
    t.equal(t.fails("OPERATION_BLOCKED", restart, vm), [vm, "stay"])
    t.equal(x.VM.get_domid(vm), domid, "what was refused did nothing")
