"""What a guest's machine is made of: devices that need no drivers of ours, NUMA nodes."""
from pathlib import Path

from bench import MIB, case
from speaking import Guest, Serial, copy_speaking_guest

NULL = "OpaqueRef:NULL"


def import_raw(t, vdi, data):
    status, _, _ = t.x.handler("PUT", "/import_raw_vdi", {"vdi": vdi, "format": "raw"}, data, {"Content-Length": str(len(data))})
    t.equal(status, 200)


@case
def a_guest_without_drivers_boots_from_its_ide_disk(t):
    """Windows and "Other install media" have IDE and an e1000 until somebody says that there are drivers."""
    x = t.x
    vm = x.VM.clone(t.template(), "no drivers")
    t.adopt(vm)
    x.VM.provision(vm)
    x.VM.set_memory_limits(vm, *[32 * MIB] * 4)
    x.VM.set_HVM_boot_params(vm, {"order": "c"})
    size = MIB if t.hypervisor != "qemu" else (t.host.build / "tests/guest/guest.img").stat().st_size
    system, more = t.vdi(size, "system"), t.vdi(name="more")
    if t.qemu:
        import_raw(t, system, (t.host.build / "tests/guest/guest.img").read_bytes())
    ide, late = t.vbd(vm, system), t.vbd(vm, more, "1")
    fifth = t.vbd(vm, t.vdi(name="fifth"), "4")
    x.VM.start(vm, True, False)
    if t.qemu:
        line = Serial(t, vm)
        x.VM.unpause(vm)
        line.expect("guest up (disk)")
        line.close()
    else:
        x.VM.unpause(vm)
    t.fails("VM_MISSING_PV_DRIVERS", x.VBD.unplug, ide)
    t.check("unplug" not in x.VBD.get_allowed_operations(ide), x.VBD.get_allowed_operations(ide))
    t.check("unplug" in x.VBD.get_allowed_operations(fifth), "the fifth is none of IDE's")
    x.VM.hard_shutdown(vm)
    x.VM.add_to_platform(vm, "disk_type", "virtio")
    x.VM.start(vm, False, False)
    t.check("unplug" in x.VBD.get_allowed_operations(late), "with drivers it may come and go")
    x.VM.hard_shutdown(vm)


@case(on=("qemu",), own_host=True)
def a_kernel_without_virtio_finds_its_disk_nic_and_nodes(t):
    """Debian's kernel with ata_piix and e1000 alone, on two NUMA nodes; the same after a suspend and a move."""
    x = t.x
    copy_speaking_guest(t, "--old", folder="boot/old")

    def prepare(vm):
        vdi = t.vdi()
        import_raw(t, vdi, b"found by ata_piix\n".ljust(4096, b"\0"))
        t.vbd(vm, vdi)
        x.VM.set_PV_kernel(vm, str(t.host.state / "boot/old/vmlinuz"))
        x.VM.set_PV_ramdisk(vm, str(t.host.state / "boot/old/initrd.gz"))
        x.VM.set_VCPUs_max(vm, 4)
        x.VM.set_VCPUs_at_startup(vm, 4)
        x.VM.set_platform(vm, {"disk_type": "ide", "nic_type": "e1000", "numa-nodes": "2", "cores-per-socket": "2",
                               "vcpu-unrestricted": "true"})

    g = Guest(t, "old", t.network(), prepare=prepare).booted()

    def ends(command, *lines):
        """Its last lines: the guest says its address when it has one."""
        said = g.sh(command)[1].splitlines()
        t.equal(said[-len(lines):], list(lines))

    def look():
        ends("head -n 1 /dev/sda", "found by ata_piix")
        ends(f"basename $(readlink /sys/class/net/{g.nic()}/device/driver)", "e1000")
        ends("cat /sys/devices/system/node/node[0-9]/cpulist", "0-1", "2-3")
        t.equal(g.sh("ls /sys/bus | grep virtio")[0], 1, "no driver for virtio")

    look()
    x.VM.suspend(g.vm)
    x.VM.resume(g.vm, False, False)
    g.connect()
    look()
    x.VM.pool_migrate(g.vm, x.VM.get_resident_on(g.vm), {"live": "true"})
    g.connect()
    look()
    x.VM.hard_shutdown(g.vm)


@case
def numa_nodes_of_guests_and_host(t):
    x, vm, host = t.x, t.vm(), t.the_host()
    for wrong in ("0", "two", "9", "2"):
        x.VM.set_platform(vm, {"numa-nodes": wrong})
        t.fails("INVALID_VALUE", x.VM.start, vm, False, False)
    x.VM.set_platform(vm, {})
    nodes = int(x.host.get_cpu_info(host)["nr_nodes"])
    t.fails("HANDLE_INVALID", x.host.set_numa_affinity_policy, NULL, "best_effort")
    x.host.set_numa_affinity_policy(host, "best_effort")
    t.effect("host.set_numa_affinity_policy", x.host.get_numa_affinity_policy(host) == "best_effort")
    x.VM.start(vm, False, False)
    metrics = x.VM_metrics.get_record(x.VM.get_metrics(vm))
    t.equal((metrics["numa_optimised"], int(metrics["numa_nodes"])), (nodes > 1, 1))
    x.host.set_numa_affinity_policy(host, "default_policy")
    x.VM.hard_shutdown(vm)
    x.VM.start(vm, False, False)
    metrics = x.VM_metrics.get_record(x.VM.get_metrics(vm))
    t.equal((metrics["numa_optimised"], int(metrics["numa_nodes"])), (False, nodes))


@case
def a_vm_remembers_how_it_booted(t):
    x, vm = t.x, t.vm()
    t.fails("VM_BAD_POWER_STATE", x.VM.get_boot_record, vm)
    x.VM.set_PV_args(vm, "first")
    x.VM.start(vm, False, False)
    x.VM.set_PV_args(vm, "next time")
    r = x.VM.get_boot_record(vm)
    t.effect("VM.get_boot_record", (r["PV_args"], x.VM.get_PV_args(vm), r["uuid"]) == ("first", "next time", x.VM.get_uuid(vm)))
    t.equal((int(r["memory_static_max"]), r["is_a_template"]), (32 * MIB, False))
    json = x.sibling(protocol="json2").VM.get_boot_record(vm)
    t.equal((json["PV_args"], json["memory_static_max"]), ("first", 32 * MIB))
    t.fails("NOT_SYSTEM_DOMAIN", x.VM.query_services, vm)
    x.VM.add_to_other_config(vm, "is_system_domain", "true")
    t.equal(x.VM.query_services(vm), {})
    t.proven("VM.query_services", True)


@case
def a_vm_is_agile_whose_disks_and_networks_are_everywhere(t):
    x, vm = t.x, t.vm()
    x.VM.assert_agile(vm)
    vdi = t.vdi()
    sr = x.VDI.get_SR(vdi)
    vbd = t.vbd(vm, vdi)
    t.equal(t.fails("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", x.VM.assert_agile, vm), [sr])
    x.SR.set_shared(sr, True)
    t.on_end(t._quiet, "SR.set_shared", sr, False)
    x.VM.assert_agile(vm)
    network = x.network.create({"name_label": "nowhere else", "name_description": "", "other_config": {}, "MTU": 1500, "tags": []})
    vif = t.vif(vm, network)
    t.equal(t.fails("HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED", x.VM.assert_agile, vm), [network])
    x.VIF.destroy(vif)
    x.network.destroy(network)
    x.VM.assert_agile(vm)
    t.effect("VM.assert_agile", x.SR.get_shared(sr) is True)
    x.SR.set_shared(sr, False)
    x.VBD.destroy(vbd)


@case
def what_the_pool_says_to_agents_may_be_taken_back(t):
    x, pool = t.x, t.pool()
    x.pool.add_to_guest_agent_config(pool, "auto_update_url", "http://192.0.2.1/")
    x.pool.remove_from_guest_agent_config(pool, "auto_update_url")
    t.effect("pool.remove_from_guest_agent_config", "auto_update_url" not in x.pool.get_guest_agent_config(pool))
    t.fails("HANDLE_INVALID", x.pool.remove_from_guest_agent_config, NULL, "auto_update_url")


@case
def the_devices_of_the_bus_are_known(t):
    x, bus = t.x, Path("/sys/bus/pci/devices")
    there = {d.name for d in bus.iterdir()} if bus.exists() else set()
    records = x.PCI.get_all_records()
    t.equal({r["pci_id"] for r in records.values()}, there)
    t.equal(set(x.host.get_PCIs(t.the_host())), set(records))
    t.fails("HANDLE_INVALID", x.PCI.get_dom0_access_status, NULL)
    for ref, r in records.items():
        t.equal(r["vendor_id"], (bus / r["pci_id"] / "vendor").read_text().strip()[2:])
        driver = bus / r["pci_id"] / "driver"
        t.equal(r["driver_name"], driver.resolve().name if driver.exists() else "")
        slot = {d for d in there if d.split(".")[0] == r["pci_id"].split(".")[0]}
        t.equal({records[d]["pci_id"] for d in r["dependencies"]}, slot - {r["pci_id"]})
        t.equal(x.PCI.get_dom0_access_status(ref), "enabled")
    if records:
        t.proven("PCI.get_dom0_access_status", True)
