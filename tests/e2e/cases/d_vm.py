"""The life of a VM, on the simulator and on QEMU."""
import time

from bench import MIB, NULL, Failure, Watcher, case


def in_life(t, vm, power):
    t.equal(t.power(vm), power)


@case
def the_whole_tour_with_the_event_stream_watching(t):
    x = t.x
    w = Watcher(x, ["vm", "vbd", "vif", "vdi", "task", "console", "vm_metrics"])
    vm = x.VM.clone(t.template(), "tour")
    t.adopt(vm)
    w.until(lambda w: vm in w.cache.get("vm", {}), "the clone")
    t.check(x.VM.get_is_a_template(vm), "a clone of a template is one")
    x.VM.provision(vm)
    t.effect("VM.provision", x.VM.get_is_a_template(vm) is False)
    t.fails("PROVISION_ONLY_ALLOWED_ON_TEMPLATE", x.VM.provision, vm)
    x.VM.set_memory_limits(vm, 16 * MIB, 32 * MIB, 32 * MIB, 32 * MIB)
    x.VM.set_domain_type(vm, "pvh")
    x.VM.set_PV_kernel(vm, str(t.host.state / "boot/guest.elf"))
    t.vif(vm)
    t.vbd(vm, t.vdi())
    w.until(lambda w: len(w.cache["vm"][vm]["VBDs"]) == 1 and len(w.cache["vm"][vm]["VIFs"]) == 1, "devices of the VM")

    x.VM.start(vm, False, False)
    w.until(lambda w: w.cache["vm"][vm]["power_state"] == "Running", "Running")
    r = x.VM.get_record(vm)
    t.effect("VM.start", r["power_state"] == "Running" and r["resident_on"] == t.the_host() and int(r["domid"]) > 0, r["power_state"])
    t.check("clean_shutdown" in r["allowed_operations"] and "start" not in r["allowed_operations"], r["allowed_operations"])
    t.check(all(x.VBD.get_currently_attached(b) for b in r["VBDs"]) and all(x.VIF.get_currently_attached(v) for v in r["VIFs"]), "attached")
    t.check(r["consoles"] and x.console.get_protocol(r["consoles"][0]) == "rfb", "an RFB console")
    p = t.fails("VM_BAD_POWER_STATE", x.VM.start, vm, False, False)
    t.equal(p, [vm, "halted", "running"])

    x.VM.pause(vm)
    t.effect("VM.pause", t.power(vm) == "Paused")
    w.until(lambda w: w.cache["vm"][vm]["power_state"] == "Paused", "Paused")
    t.fails("VM_BAD_POWER_STATE", x.VM.pause, vm)
    x.VM.unpause(vm)
    t.effect("VM.unpause", t.power(vm) == "Running")
    t.fails("VM_BAD_POWER_STATE", x.VM.unpause, vm)

    t.guest_is_up(vm)
    x.VM.clean_shutdown(vm)
    t.effect("VM.clean_shutdown", t.power(vm) == "Halted")
    w.until(lambda w: w.cache["vm"][vm]["power_state"] == "Halted", "Halted")
    r = x.VM.get_record(vm)
    t.equal((r["resident_on"], int(r["domid"]), r["consoles"]), (NULL, -1, []))
    t.check(not any(x.VBD.get_currently_attached(b) for b in r["VBDs"]), "detached")
    t.fails("VM_BAD_POWER_STATE", x.VM.clean_shutdown, vm)

    x.VM.start(vm, False, False)
    t.guest_is_up(vm)
    x.VM.clean_reboot(vm)
    t.effect("VM.clean_reboot", t.power(vm) == "Running")
    x.VM.hard_reboot(vm)
    t.effect("VM.hard_reboot", t.power(vm) == "Running")
    x.VM.hard_shutdown(vm)
    t.effect("VM.hard_shutdown", t.power(vm) == "Halted")
    for m in ("hard_shutdown", "hard_reboot", "clean_reboot"):
        t.fails("VM_BAD_POWER_STATE", getattr(x.VM, m), vm)

    vbds, vdis = r["VBDs"], [x.VBD.get_VDI(b) for b in r["VBDs"]]
    x.VM.destroy(vm)
    w.until(lambda w: w.saw("del", vm) and all(w.saw("del", b) for b in vbds), "the VM and its devices gone")
    t.check(all(v in x.VDI.get_all() for v in vdis), "its disks stay")
    t.fails("HANDLE_INVALID", x.VM.get_uuid, vm)
    t.check(("add", "vm", vm) in w.log, "added")
    w.until(lambda w: w.counts.get("vm") == len(w.cache["vm"]), "as many VMs as the counts say")
    w.close()


@case
def a_paused_start_waits_for_unpause(t):
    vm = t.vm()
    t.x.VM.start(vm, True, False)
    in_life(t, vm, "Paused")
    t.x.VM.unpause(vm)
    in_life(t, vm, "Running")
    t.x.VM.pause(vm)
    t.x.VM.hard_shutdown(vm)
    in_life(t, vm, "Halted")


@case
def start_on_names_the_host(t):
    vm, x = t.vm(), t.x
    x.VM.start_on(vm, t.the_host(), False, False)
    t.effect("VM.start_on", x.VM.get_resident_on(vm) == t.the_host())
    t.fails("VM_BAD_POWER_STATE", x.VM.start_on, vm, t.the_host(), False, False)


@case
def shutdown_stops_a_vm_in_any_state(t):
    vm, x = t.running_vm(), t.x
    t.guest_is_up(vm)
    x.VM.shutdown(vm)
    t.effect("VM.shutdown", t.power(vm) == "Halted")
    t.fails("VM_BAD_POWER_STATE", x.VM.shutdown, vm)
    x.VM.start(vm, True, False)
    x.VM.shutdown(vm)
    in_life(t, vm, "Halted")


@case
def a_power_state_is_reset_only_where_no_guest_is(t):
    vm, x = t.running_vm(), t.x
    t.fails("DOMAIN_EXISTS", x.VM.power_state_reset, vm)
    x.VM.hard_shutdown(vm)
    x.VM.power_state_reset(vm)
    t.effect("VM.power_state_reset", t.power(vm) == "Halted")


@case
def blocked_operations_are_refused_with_their_reason(t):
    vm, x = t.vm(), t.x
    x.VM.add_to_blocked_operations(vm, "start", "not today")
    t.equal(t.fails("OPERATION_BLOCKED", x.VM.start, vm, False, False), [vm, "not today"])
    t.effect("VM.add_to_blocked_operations", "start" not in x.VM.get_allowed_operations(vm))
    t.fails("MAP_DUPLICATE_KEY", x.VM.add_to_blocked_operations, vm, "start", "again")
    x.VM.remove_from_blocked_operations(vm, "start")
    t.effect("VM.remove_from_blocked_operations", "start" in x.VM.get_allowed_operations(vm))
    t.fails("HANDLE_INVALID", x.VM.remove_from_blocked_operations, NULL, "start")
    x.VM.set_blocked_operations(vm, {"destroy": "keep it", "clone": ""})
    t.effect("VM.set_blocked_operations", x.VM.get_blocked_operations(vm) == {"destroy": "keep it", "clone": ""})
    t.fails("OPERATION_BLOCKED", x.VM.destroy, vm)
    t.fails("HANDLE_INVALID", x.VM.set_blocked_operations, NULL, {})
    x.VM.set_blocked_operations(vm, {})
    x.VM.update_allowed_operations(vm)
    t.effect("VM.update_allowed_operations", "destroy" in x.VM.get_allowed_operations(vm))
    t.fails("HANDLE_INVALID", x.VM.update_allowed_operations, NULL)
    x.VM.assert_operation_valid(vm, "start")
    t.proven("VM.assert_operation_valid", t.power(vm) == "Halted")
    t.fails("VM_BAD_POWER_STATE", x.VM.assert_operation_valid, vm, "pause")


@case
def clone_and_copy_make_vms_with_disks_of_their_own(t):
    x, vm = t.x, t.vm(disk=True, nic=True)
    for method, args in (("clone", []), ("copy", [NULL])):
        new = x.call(f"VM.{method}", vm, f"by {method}", *args)
        t.adopt(new)
        r = x.VM.get_record(new)
        t.equal((r["name_label"], r["power_state"], len(r["VBDs"]), len(r["VIFs"])), (f"by {method}", "Halted", 1, 1))
        old_vdi, new_vdi = x.VBD.get_VDI(x.VM.get_VBDs(vm)[0]), x.VBD.get_VDI(r["VBDs"][0])
        t.on_end(t._quiet, "VDI.destroy", new_vdi)
        t.effect(f"VM.{method}", old_vdi != new_vdi and x.VDI.get_virtual_size(new_vdi) == x.VDI.get_virtual_size(old_vdi))
        t.check(x.VIF.get_MAC(r["VIFs"][0]) != x.VIF.get_MAC(x.VM.get_VIFs(vm)[0]), "another MAC")
        t.check(r["uuid"] != x.VM.get_uuid(vm) and not r["is_a_template"], "a VM of its own")
    x.VM.start(vm, False, False)
    t.fails("VM_BAD_POWER_STATE", x.VM.clone, vm, "x")
    t.fails("VM_BAD_POWER_STATE", x.VM.copy, vm, "x", NULL)
    fresh = x.VM.clone(t.template(), "named")
    t.adopt(fresh)
    t.equal(x.VM.get_other_config(fresh).get("base_template_name"), "Other install media")
    t.check("default_template" not in x.VM.get_other_config(fresh), "no default template")


@case
def provision_makes_the_disks_that_the_template_names(t):
    x = t.x
    vm = x.VM.clone(x.VM.get_by_uuid("79abf1d8-4b61-4fc3-aafa-58b0ccae48d3"), "provisioned")
    t.adopt(vm)
    disks = x.VM.get_other_config(vm)["disks"]
    t.fails(("UUID_INVALID", "INVALID_VALUE"), x.VM.provision, vm)
    x.VM.remove_from_other_config(vm, "disks")
    x.VM.add_to_other_config(vm, "disks", disks.replace('sr=""', f'sr="{x.SR.get_uuid(t.sr())}"'))
    x.VM.provision(vm)
    (vbd,) = x.VM.get_VBDs(vm)
    vdi = x.VBD.get_VDI(vbd)
    t.on_end(t._quiet, "VDI.destroy", vdi)
    t.equal((x.VDI.get_virtual_size(vdi), x.VBD.get_userdevice(vbd), x.VBD.get_bootable(vbd)), (8 << 30, "0", True))
    t.check("disks" not in x.VM.get_other_config(vm), "the order is done")


@case
def memory_and_vcpus_keep_their_order(t):
    x, vm = t.x, t.vm()
    m = [32 * MIB, 64 * MIB, 128 * MIB, 256 * MIB]
    x.VM.set_memory_limits(vm, *[m[0], m[3], m[1], m[2]])
    got = lambda: [int(x.call(f"VM.get_memory_{k}", vm)) for k in ("static_min", "dynamic_min", "dynamic_max", "static_max")]
    t.effect("VM.set_memory_limits", got() == m, got())
    order = ("MEMORY_CONSTRAINT_VIOLATION_ORDER", "MEMORY_CONSTRAINT_VIOLATION")
    t.fails(order, x.VM.set_memory_limits, vm, m[3], m[0], m[1], m[2])
    for name, value, index in (("static_min", 16 * MIB, 0), ("dynamic_min", 80 * MIB, 1), ("dynamic_max", 120 * MIB, 2), ("static_max", 300 * MIB, 3)):
        x.call(f"VM.set_memory_{name}", vm, value)
        t.effect(f"VM.set_memory_{name}", got()[index] == value, got())
        t.fails("HANDLE_INVALID", x.call, f"VM.set_memory_{name}", NULL, value)
    t.fails(order, x.VM.set_memory_dynamic_min, vm, 1 << 40)
    x.VM.set_memory_dynamic_range(vm, m[1], m[1])
    t.effect("VM.set_memory_dynamic_range", got()[1:3] == [m[1], m[1]])
    t.fails(order, x.VM.set_memory_dynamic_range, vm, m[2], m[1])
    x.VM.set_memory_static_range(vm, m[0], m[2])
    t.effect("VM.set_memory_static_range", (got()[0], got()[3]) == (m[0], m[2]))
    t.fails(order, x.VM.set_memory_static_range, vm, m[2], m[1])
    x.VM.set_memory(vm, m[2])
    t.effect("VM.set_memory", got()[1:] == [m[2]] * 3)
    t.fails("HANDLE_INVALID", x.VM.set_memory, NULL, m[2])
    t.proven("VM.compute_memory_overhead", 0 <= int(x.VM.compute_memory_overhead(vm)) < 1 << 30 and got())
    t.fails("HANDLE_INVALID", x.VM.compute_memory_overhead, NULL)
    x.VM.set_VCPUs_max(vm, 4)
    t.effect("VM.set_VCPUs_max", int(x.VM.get_VCPUs_max(vm)) == 4)
    x.VM.set_VCPUs_at_startup(vm, 2)
    t.effect("VM.set_VCPUs_at_startup", int(x.VM.get_VCPUs_at_startup(vm)) == 2)
    t.fails("INVALID_VALUE", x.VM.set_VCPUs_max, vm, 0)
    t.fails("INVALID_VALUE", x.VM.set_VCPUs_at_startup, vm, 5)
    x.VM.set_VCPUs_at_startup(vm, 1)
    x.VM.set_VCPUs_max(vm, 1)
    x.VM.start(vm, False, False)
    t.fails("VM_BAD_POWER_STATE", x.VM.set_VCPUs_max, vm, 8)
    t.fails("VM_BAD_POWER_STATE", x.VM.set_memory_limits, vm, m[0], m[1], m[1], m[1])
    t.fails("VM_BAD_POWER_STATE", x.VM.set_memory_static_max, vm, m[3])


@case
def the_other_settings_of_a_vm_are_kept(t):
    x, vm = t.x, t.vm()
    for name, value, bad in [
            ("HVM_boot_policy", "BIOS order", None), ("HVM_shadow_multiplier", 2.0, 0.5), ("actions_after_crash", "destroy", "rename_restart"),
            ("ha_restart_priority", "best-effort", "sometimes"), ("ha_always_run", False, None), ("order", 3, None),
            ("start_delay", 1, None), ("shutdown_delay", 2, None), ("has_vendor_device", False, None),
            ("platform", {"cores-per-socket": "1", "nx": "true"}, None), ("NVRAM", {"EFI-variables": ""}, None),
            ("domain_type", "hvm", None)]:
        x.call(f"VM.set_{name}", vm, value)
        got = x.call(f"VM.get_{name}", vm)
        t.effect(f"VM.set_{name}", got == value, f"{name}: {got!r}")
        t.fails("HANDLE_INVALID", x.call, f"VM.set_{name}", NULL, value)
        if bad is not None:
            t.fails(("INVALID_VALUE", "VALUE_NOT_SUPPORTED"), x.call, f"VM.set_{name}", vm, bad)
    for f in ("platform", "NVRAM"):
        x.call(f"VM.add_to_{f}", vm, "extra", "1")
        t.effect(f"VM.add_to_{f}", x.call(f"VM.get_{f}", vm)["extra"] == "1")
        t.fails("MAP_DUPLICATE_KEY", x.call, f"VM.add_to_{f}", vm, "extra", "2")
        x.call(f"VM.remove_from_{f}", vm, "extra")
        t.effect(f"VM.remove_from_{f}", "extra" not in x.call(f"VM.get_{f}", vm))
        t.fails("HANDLE_INVALID", x.call, f"VM.remove_from_{f}", NULL, "extra")
    x.VM.set_bios_strings(vm, {"bios-vendor": "Us", "system-serial-number": "1"})
    t.effect("VM.set_bios_strings", x.VM.get_bios_strings(vm)["bios-vendor"] == "Us")
    t.fails("VM_BIOS_STRINGS_ALREADY_SET", x.VM.set_bios_strings, vm, {"bios-vendor": "Them"})
    t.fails("INVALID_VALUE", x.VM.set_bios_strings, t.vm("other"), {"no-such-key": "x"})
    third = t.vm("third")
    x.VM.copy_bios_strings(third, t.the_host())
    t.effect("VM.copy_bios_strings", x.VM.get_bios_strings(third) != {})
    t.fails(("VM_BIOS_STRINGS_ALREADY_SET", "HANDLE_INVALID"), x.VM.copy_bios_strings, third, t.the_host())
    t.proven("VM.get_cooperative", x.VM.get_cooperative(vm) is True and t.power(vm) == "Halted")
    t.fails("HANDLE_INVALID", x.VM.get_cooperative, NULL)
    x.VM.set_is_default_template(third, True)
    t.effect("VM.set_is_default_template", x.VM.get_is_a_template(third) is True)
    t.fails("HANDLE_INVALID", x.VM.set_is_default_template, NULL, True)
    x.VM.set_is_default_template(third, False)
    x.VM.set_is_a_template(third, False)


@case
def free_device_numbers_are_told(t):
    x, vm = t.x, t.vm(disk=True, nic=True)
    vbds, vifs = x.VM.get_allowed_VBD_devices(vm), x.VM.get_allowed_VIF_devices(vm)
    t.proven("VM.get_allowed_VBD_devices", "0" not in vbds and "1" in vbds and len(x.VM.get_VBDs(vm)) == 1, vbds[:5])
    t.proven("VM.get_allowed_VIF_devices", "0" not in vifs and "1" in vifs and len(x.VM.get_VIFs(vm)) == 1, vifs[:5])
    for m in ("get_allowed_VBD_devices", "get_allowed_VIF_devices"):
        t.fails("HANDLE_INVALID", getattr(x.VM, m), NULL)


@case
def drives_take_and_give_back_their_discs(t):
    x, vm = t.x, t.vm()
    iso_sr = next(ref for ref, r in x.SR.get_all_records().items() if r["type"] == "iso")
    x.SR.scan(iso_sr)
    t.effect("SR.scan", [r for r in x.VDI.get_all_records().values() if r["name_label"] == "guest.iso"] != [])
    t.fails("HANDLE_INVALID", x.SR.scan, "OpaqueRef:no")
    iso = x.VDI.get_by_name_label("guest.iso")[0]
    cd = t.vbd(vm, NULL, "3", "RO", "CD")
    t.check(x.VBD.get_empty(cd), "an empty drive")
    t.fails("VBD_IS_EMPTY", x.VBD.eject, cd)
    x.VBD.insert(cd, iso)
    t.effect("VBD.insert", x.VBD.get_VDI(cd) == iso and x.VBD.get_empty(cd) is False)
    t.fails("VBD_NOT_EMPTY", x.VBD.insert, cd, iso)
    x.VBD.eject(cd)
    t.effect("VBD.eject", x.VBD.get_VDI(cd) == NULL and x.VBD.get_empty(cd) is True)
    disk = t.vbd(vm, t.vdi(), "0")
    t.fails("VBD_NOT_REMOVABLE_MEDIA", x.VBD.eject, disk)
    t.fails("VBD_NOT_REMOVABLE_MEDIA", x.VBD.insert, disk, iso)
    x.VM.start(vm, False, False)
    x.VBD.insert(cd, iso)
    t.equal(x.VBD.get_VDI(cd), iso, "inserted while running")
    x.VBD.eject(cd)
    t.equal(x.VBD.get_empty(cd), True, "ejected while running")


@case
def creating_vbds_checks_in_the_documented_order(t):
    x, vm, vdi = t.x, t.vm(), t.vdi()
    t.fails("VBD_CDS_MUST_BE_READONLY", t.vbd, vm, vdi, "0", "RW", "CD")
    t.fails("VBD_NOT_REMOVABLE_MEDIA", t.vbd, vm, NULL, "0", "RW", "Disk")
    for bad in ("nonsense", "-1", "xvd", ""):
        t.fails("INVALID_DEVICE", t.vbd, vm, vdi, bad)
    a = t.vbd(vm, vdi, "1")
    for clash in ("1", "xvdb", "hdb"):
        t.fails("DEVICE_ALREADY_EXISTS", t.vbd, vm, vdi, clash)
    b = t.vbd(vm, t.vdi(), "autodetect")
    t.equal(x.VBD.get_userdevice(b), "0")
    x.VBD.set_mode(a, "RO")
    t.effect("VBD.set_mode", x.VBD.get_mode(a) == "RO")
    t.fails("HANDLE_INVALID", x.VBD.set_mode, NULL, "RO")
    x.VBD.set_mode(a, "RW")
    x.VBD.assert_attachable(a)
    t.proven("VBD.assert_attachable", x.VBD.get_currently_attached(a) is False)
    t.fails("HANDLE_INVALID", x.VBD.assert_attachable, NULL)
    t.fails("VM_BAD_POWER_STATE", x.VBD.plug, a)


@case
def disks_and_nics_come_and_go_while_the_vm_runs(t):
    x, vm = t.x, t.running_vm()
    t.guest_is_up(vm)
    vbd = t.vbd(vm, t.vdi(), "1")
    x.VBD.plug(vbd)
    t.effect("VBD.plug", x.VBD.get_currently_attached(vbd) is True)
    t.fails("DEVICE_ALREADY_ATTACHED", x.VBD.plug, vbd)
    t.fails("OPERATION_NOT_ALLOWED", x.VBD.destroy, vbd)
    t.fails("VDI_IN_USE", x.VDI.destroy, x.VBD.get_VDI(vbd))
    x.VBD.unplug(vbd)
    t.effect("VBD.unplug", x.VBD.get_currently_attached(vbd) is False)
    t.fails("DEVICE_ALREADY_DETACHED", x.VBD.unplug, vbd)
    x.VBD.plug(vbd)
    x.VBD.unplug_force(vbd)
    t.effect("VBD.unplug_force", x.VBD.get_currently_attached(vbd) is False)
    t.fails("DEVICE_ALREADY_DETACHED", x.VBD.unplug_force, vbd)
    vif = t.vif(vm, device="1")
    x.VIF.plug(vif)
    t.effect("VIF.plug", x.VIF.get_currently_attached(vif) is True)
    t.fails("DEVICE_ALREADY_ATTACHED", x.VIF.plug, vif)
    x.VIF.unplug(vif)
    t.effect("VIF.unplug", x.VIF.get_currently_attached(vif) is False)
    t.fails("DEVICE_ALREADY_DETACHED", x.VIF.unplug, vif)
    x.VIF.plug(vif)
    x.VIF.unplug_force(vif)
    t.effect("VIF.unplug_force", x.VIF.get_currently_attached(vif) is False)
    t.fails("DEVICE_ALREADY_DETACHED", x.VIF.unplug_force, vif)


@case
def creating_vifs_checks_mac_and_device(t):
    x, vm = t.x, t.vm()
    vif = t.vif(vm)
    mac = x.VIF.get_MAC(vif)
    t.check(x.VIF.get_MAC_autogenerated(vif) and int(mac[:2], 16) & 3 == 2, mac)
    t.fails("DEVICE_ALREADY_EXISTS", t.vif, vm)
    t.fails("INVALID_DEVICE", t.vif, vm, None, "eth0")
    record = dict(VM=vm, network=t.network(), device="2", MAC="not a mac", MTU=1500, other_config={}, qos_algorithm_type="", qos_algorithm_params={})
    t.fails("MAC_INVALID", x.VIF.create, record)
    record["MAC"] = "02:11:22:33:44:55"
    t.equal(x.VIF.get_MAC(x.VIF.create(record)), "02:11:22:33:44:55")
    # The recipe of the reference: the same seed and number give the same address everywhere.
    import hashlib
    h = x.VM.get_other_config(vm)["mac_seed"].encode()
    s = hashlib.md5(h).digest()
    u = hashlib.md5(s).digest()
    expected = [s[0], s[1], s[2], s[3], u[1], u[2]]
    expected[0] = (expected[0] & ~1) | 2
    t.equal(mac, ":".join(f"{b:02x}" for b in expected), "the MAC of the recipe")


@case
def two_vms_do_not_write_to_one_disk(t):
    x, vdi = t.x, t.vdi()
    a, b = t.vm("first"), t.vm("second")
    t.vbd(a, vdi), t.vbd(b, vdi)
    x.VM.start(a, False, False)
    t.fails("VDI_IN_USE", x.VM.start, b, False, False)
    t.equal(t.power(b), "Halted")
    x.VM.hard_shutdown(a)
    x.VM.start(b, False, False)


@case
def a_vm_that_cannot_start_stays_halted_and_says_why(t):
    x, vm = t.x, t.vm()
    x.VM.set_PV_kernel(vm, "/etc/passwd")
    try:
        x.VM.start(vm, False, False)
        t.check(not t.qemu, "a kernel outside the boot folder was taken")
    except Failure:
        t.equal((t.power(vm), x.VM.get_current_operations(vm)), ("Halted", {}))
    big = t.vm("big")
    x.VM.set_memory_limits(big, 1 << 30, 1 << 45, 1 << 45, 1 << 45)
    t.fails(("HOST_NOT_ENOUGH_FREE_MEMORY", "NO_HOSTS_AVAILABLE"), x.VM.start, big, False, False)


@case
def bios_guests_boot_from_a_disc_too(t):
    x = t.x
    vm = x.VM.clone(t.template(), "from cd")
    t.adopt(vm)
    x.VM.provision(vm)
    x.VM.set_memory_limits(vm, 32 * MIB, 64 * MIB, 64 * MIB, 64 * MIB)
    iso_sr = next(ref for ref, r in x.SR.get_all_records().items() if r["type"] == "iso")
    x.SR.scan(iso_sr)
    t.vbd(vm, x.VDI.get_by_name_label("guest.iso")[0], "3", "RO", "CD")
    x.VM.start(vm, False, False)
    t.equal(t.power(vm), "Running")
    time.sleep(3 if t.qemu else 0)
    x.VM.clean_shutdown(vm)
    t.equal(t.power(vm), "Halted")
