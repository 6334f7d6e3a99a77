"""VMs that belong together: appliances and groups."""
from bench import NULL, case


@case
def an_appliance_starts_and_stops_its_vms(t):
    x = t.x
    a = x.VM_appliance.create({"name_label": "shop", "name_description": ""})
    t.fails("OPERATION_NOT_ALLOWED", x.VM_appliance.start, a, False)
    for m in ("clean_shutdown", "hard_shutdown", "shutdown"):
        t.fails("OPERATION_NOT_ALLOWED", getattr(x.VM_appliance, m), a)
    vms = [t.vm(), t.vm()]
    for i, vm in enumerate(vms):
        x.VM.set_appliance(vm, a)
        x.VM.set_order(vm, i)
    t.effect("VM.set_appliance", set(x.VM_appliance.get_VMs(a)) == set(vms))
    t.fails("HANDLE_INVALID", x.VM.set_appliance, vms[0], "OpaqueRef:no")

    def states():
        return [x.VM.get_power_state(vm) for vm in vms]

    x.VM_appliance.start(a, False)
    t.effect("VM_appliance.start", states() == ["Running", "Running"])
    x.VM_appliance.hard_shutdown(a)
    t.effect("VM_appliance.hard_shutdown", states() == ["Halted", "Halted"])
    x.VM_appliance.start(a, True)
    t.equal(states(), ["Paused", "Paused"])
    x.VM_appliance.shutdown(a)  # paused guests cannot shut down by themselves
    t.effect("VM_appliance.shutdown", states() == ["Halted", "Halted"])
    x.VM_appliance.start(a, False)
    for vm in vms:
        t.guest_is_up(vm)
    x.VM_appliance.clean_shutdown(a)
    t.effect("VM_appliance.clean_shutdown", states() == ["Halted", "Halted"])
    x.VM.add_to_blocked_operations(vms[1], "start", "not today")
    e = t.fails("OPERATION_PARTIALLY_FAILED", x.VM_appliance.start, a, False)
    t.check(vms[1] in str(e), "it names the one that failed")
    x.VM_appliance.hard_shutdown(a)
    x.VM_appliance.destroy(a)
    t.equal([x.VM.get_appliance(vm) for vm in vms], [NULL, NULL])


@case
def an_appliance_follows_the_order_of_its_vms(t):
    """Made in another order than they start in; delays keep them apart."""
    x = t.x
    a = x.VM_appliance.create({"name_label": "ordered", "name_description": ""})
    web, database, cache = vms = [t.vm(n) for n in ("web", "database", "cache")]
    for vm, order in ((web, 9), (database, 1), (cache, 5)):
        x.VM.set_appliance(vm, a)
        x.VM.set_order(vm, order)
        x.VM.set_start_delay(vm, 1)
        x.VM.set_shutdown_delay(vm, 1)
    x.VM_appliance.start(a, False)
    began = [x.VM_metrics.get_start_time(x.VM.get_metrics(vm)) for vm in (database, cache, web)]
    t.check(began[0] < began[1] < began[2], began)
    x.VM_appliance.hard_shutdown(a)
    alerts = x.message.get_all_records().values()

    def ended(vm):
        return max(str(m["timestamp"]) for m in alerts if m["name"] == "VM_SHUTDOWN" and m["obj_uuid"] == x.VM.get_uuid(vm))

    ends = [ended(vm) for vm in (web, cache, database)]
    t.check(ends[0] < ends[1] < ends[2], ends)
    t.equal([t.power(vm) for vm in vms], ["Halted"] * 3)
    x.VM_appliance.destroy(a)


@case
def a_vm_is_in_one_group_at_most(t):
    x, vm = t.x, t.vm()
    g, h = (x.VM_group.create({"name_label": n, "name_description": "", "placement": "anti_affinity"}) for n in "gh")
    t.fails("TOO_MANY_GROUPS", x.VM.set_groups, vm, [g, h])
    x.VM.set_groups(vm, [g])
    t.effect("VM.set_groups", x.VM_group.get_VMs(g) == [vm] and x.VM.get_groups(vm) == [g])
    x.VM_group.destroy(g)
    t.equal(x.VM.get_groups(vm), [])
    x.VM_group.destroy(h)
