"""What runs inside the guest: its agent, and what clients see of it.

On QEMU it is a real one (QEMU's guest agent in a Debian kernel with busybox), and one boot serves all checks; on the
simulator it is pretended."""
import json
import subprocess

from bench import MIB, NULL, ROOT, Watcher, case


def linux_vm(t, name, **kw):
    """A small Linux with an agent in it; the simulator's guests have one anyhow."""
    vm = t.vm(name, **kw)
    if t.qemu:
        x, boot = t.x, t.host.state / "boot"
        if not (boot / "vmlinuz").exists():
            subprocess.run([ROOT / "tools/demo-iso", "--boot", boot], check=True)
        x.VM.set_memory_limits(vm, 96 * MIB, 128 * MIB, 128 * MIB, 128 * MIB)
        x.VM.set_PV_kernel(vm, str(boot / "vmlinuz"))
        x.VM.set_PV_ramdisk(vm, str(boot / "initrd.gz"))
        x.VM.set_PV_args(vm, "console=ttyS0,115200 quiet mitigations=off address=10.9.8.7/24")
    return vm


def metrics(t, vm):
    ref = t.x.VM.get_guest_metrics(vm)
    return None if ref == NULL else t.x.VM_guest_metrics.get_record(ref)


def answers(t, vm):
    return t.eventually(lambda: (metrics(t, vm) or {}).get("live"), "the agent in the guest answers", 60)


def scripts_run(t, vm):
    x, plugin = t.x, "guest-agent-operation"
    script = {"username": "", "password": "", "script": "echo hello\n"}
    t.equal(t.fails("XENAPI_MISSING_PLUGIN", x.VM.call_plugin, vm, "smartctl.py", "x", {}), ["smartctl.py"])
    t.fails("XENAPI_PLUGIN_FAILURE", x.VM.call_plugin, vm, plugin, "no-such", {})
    t.equal(t.fails("VM_LACKS_FEATURE", x.VM.call_plugin, vm, plugin, "request-rdp-on", {}), [vm])
    t.fails("FEATURE_RESTRICTED", x.VM.call_plugin, vm, plugin, "run-script", script)
    x.pool.add_to_other_config(t.pool(), "allow_guest_agent_run_script", "true")
    t.on_end(t._quiet, "pool.remove_from_other_config", t.pool(), "allow_guest_agent_run_script")
    p = t.fails("XENAPI_PLUGIN_FAILURE", x.VM.call_plugin, vm, plugin, "run-script", {"username": "", "password": ""})
    t.equal(p, ["missing argument", "", "Argument script is required."])
    t.fails("XENAPI_PLUGIN_FAILURE", x.VM.call_plugin, vm, plugin, "run-script", script | {"script": "#" * 1025})
    r = json.loads(x.VM.call_plugin(vm, plugin, "run-script", script | {"script": "echo hello\nno-such-program\nexit 7\n"}))
    t.effect("VM.call_plugin", r["rc"] == 7 and r["stdout"] == "hello\n" and "no-such-program: not found" in r["stderr"], r)
    if t.qemu:
        show = "cat /sys/firmware/qemu_fw_cfg/by_name/opt/org.runnymede/xenstore/raw; cat /proc/1/cmdline\n"
        r = json.loads(x.VM.call_plugin(vm, plugin, "run-script", script | {"script": show}))
        t.check(r["stdout"].startswith("guest_agent_config/auto_update_enabled=false\nvm-data/role=web\\nserver\n/bin/busybox"), r)
        t.effect("pool.add_to_guest_agent_config", True)
    if t.qemu:  # seen from the outside: it gives the guest another name
        x.VM.call_plugin(vm, plugin, "run-script", script | {"script": "hostname renamed\nhead -c 100000 /dev/urandom\n"})
        t.eventually(lambda: metrics(t, vm)["netbios_name"] == {"host_name": "renamed"}, "the guest's new name", 70)
    else:
        other = t.vm("Bare")
        x.VM.add_to_platform(other, "sim-fail", "agent-none")
        t.fails("VM_BAD_POWER_STATE", x.VM.call_plugin, other, plugin, "run-script", script)
        x.VM.start(other, False, False)
        t.equal(t.fails("VM_LACKS_FEATURE", x.VM.call_plugin, other, plugin, "run-script", script), [other])


@case
def an_agent_fills_guest_metrics_and_they_stay_true(t):
    x = t.x
    vm = linux_vm(t, "Web server", nic=True)
    x.VM.set_xenstore_data(vm, {"vm-data/role": "web\nserver", "note": "not for the guest"})
    pool = t.pool()
    x.pool.add_to_guest_agent_config(pool, "auto_update_enabled", "false")
    t.on_end(t._quiet, "pool.remove_from_guest_agent_config", pool, "auto_update_enabled")
    t.fails("MAP_DUPLICATE_KEY", x.pool.add_to_guest_agent_config, pool, "auto_update_enabled", "true")
    t.effect("pool.add_to_guest_agent_config", x.pool.get_guest_agent_config(pool) == {"auto_update_enabled": "false"})
    t.equal(x.VM.get_guest_metrics(vm), NULL)
    w = Watcher(x, ["vm", "vm_guest_metrics"])
    x.VM.start(vm, False, False)
    w.until(lambda w: w.cache["vm"][vm]["guest_metrics"] in w.cache.get("vm_guest_metrics", {}), "guest metrics", 60)
    m = metrics(t, vm)
    os = m["os_version"]
    t.equal((os["distro"], os["major"]), ("debian", "12") if t.qemu else ("sim", "1"))
    t.check(os["name"].startswith("Debian GNU/Linux" if t.qemu else "Simulated guest") and os["uname"], os)
    t.equal((m["PV_drivers_version"]["major"], m["PV_drivers_version"]["minor"]), ("7", "2"))
    t.equal((m["PV_drivers_detected"], m["PV_drivers_up_to_date"], m["live"]), (True, True, True))
    t.equal((m["can_use_hotplug_vbd"], m["can_use_hotplug_vif"]), ("yes", "yes"))
    t.equal(m["netbios_name"], {"host_name": "guest" if t.qemu else "web-server"})
    t.equal({k for k in m["other"] if k.startswith("feature-")},
            {"feature-suspend", "feature-shutdown", "feature-poweroff", "feature-reboot"})
    mac = [int(b, 16) for b in x.VIF.get_MAC(x.VM.get_VIFs(vm)[0]).split(":")]
    address = "10.9.8.7" if t.qemu else f"10.{mac[3]}.{mac[4]}.{mac[5]}"
    t.equal((m["networks"]["0/ip"], m["networks"]["0/ipv4/0"]), (address, address))
    t.check(t.qemu or "0/ipv6/0" in m["networks"], m["networks"])  # without a cable there is none

    scripts_run(t, vm)

    first = x.VM.get_guest_metrics(vm)
    x.VM.suspend(vm)
    t.equal(x.VM.get_guest_metrics(vm), first)
    x.VM.resume(vm, False, False)
    x.VM.pool_migrate(vm, t.the_host(), {})
    x.VM.pause(vm)
    x.VM.unpause(vm)
    t.equal(x.VM.get_guest_metrics(vm), first)
    answers(t, vm)
    x.VM.clean_shutdown(vm)
    t.equal((t.power(vm), x.VM.get_guest_metrics(vm)), ("Halted", NULL))
    w.until(lambda w: w.saw("del", first), "the record goes with the guest")
    w.close()


@case(own_host=True, slow=True, on=("qemu",))
def a_cloud_image_takes_its_name_user_and_address_from_a_seed_disk(t):
    """On QEMU alone: what boots here is Debian. Minutes, where the CPU is emulated."""
    x, image, seed = t.x, t.host.build / "cloud.raw", t.host.folder / "seed.img"
    if not image.exists():
        subprocess.run([ROOT / "tools/cloud-image", image], check=True)
    files = {
        "meta-data": "instance-id: one\nlocal-hostname: seeded\n",
        "user-data": "#cloud-config\nusers:\n  - name: meadow\n    shell: /bin/bash\n",
        "network-config": "version: 2\nethernets:\n  eth0:\n    addresses: [ 10.20.30.40/24 ]\n",
    }
    seed.write_bytes(bytes(10 * MIB))
    subprocess.run(["/sbin/mkfs.vfat", "-n", "CIDATA", seed], check=True, stdout=subprocess.DEVNULL)
    for name, text in files.items():
        subprocess.run(["mcopy", "-i", seed, "-", f"::{name}"], input=text.encode(), check=True)
    vm = x.VM.clone(t.template(), "cloud")
    t.adopt(vm)
    x.VM.provision(vm)
    x.VM.set_memory_limits(vm, *[512 * MIB] * 4)
    x.VM.set_HVM_boot_params(vm, {"order": "c"})
    x.VM.set_platform(vm, {**x.VM.get_platform(vm), "disk_type": "virtio", "nic_type": "virtio"})
    for device, path in (("0", image), ("1", seed)):
        vdi = t.vdi(path.stat().st_size, name=path.name)
        with path.open("rb") as f:
            status, _, _ = x.handler("PUT", "/import_raw_vdi", {"vdi": vdi, "format": "raw"}, f,
                                     {"Content-Length": str(path.stat().st_size)}, timeout=600)
        t.equal(status, 200)
        t.vbd(vm, vdi, device)
    t.vif(vm)
    x.VM.start(vm, False, False)
    t.eventually(lambda: "10.20.30.40" in (metrics(t, vm) or {"networks": {}})["networks"].values(), "its address", 900)
    t.equal(metrics(t, vm)["os_version"]["distro"], "debian")
    t.eventually(lambda: metrics(t, vm)["netbios_name"].get("host_name") == "seeded", "its name", 120)
    x.pool.add_to_other_config(t.pool(), "allow_guest_agent_run_script", "true")
    run = {"username": "", "password": "", "script": "until id -u meadow; do sleep 1; done\n"}
    r = json.loads(x.sibling(timeout=150).VM.call_plugin(vm, "guest-agent-operation", "run-script", run))
    t.check(r["rc"] == 0 and r["stdout"].strip().isdigit(), r)
    began = x.VM.get_guest_metrics(vm)
    x.sibling(timeout=300).VM.clean_shutdown(vm)
    t.equal((t.power(vm), x.VM.get_guest_metrics(vm)), ("Halted", NULL))
    t.check(began not in x.VM_guest_metrics.get_all(), "its record is gone")
