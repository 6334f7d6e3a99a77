"""Suspend, resume and migration, through the API; and what is so when somebody dies in between."""
import os
import random
import signal
import time

from bench import NULL, CheckFailed, Failure, ProtocolError, Watcher, case

ROUNDS = int(os.environ.get("RUNNYMEDE_SUSPEND_KILLS", "12"))


def images(x):
    """In one call: one of them may go at any moment."""
    return [ref for ref, v in x.VDI.get_all_records().items() if v["type"] == "suspend"]


def no_image(t, x=None):
    t.eventually(lambda: not images(x or t.x), "no image stays behind")


@case
def a_suspended_vm_keeps_its_devices_and_comes_back(t):
    x, vm = t.x, t.running_vm("sleeper", disk=True, nic=True)
    t.guest_is_up(vm)
    w = Watcher(x, ["vm"])
    pids = set(t.host.guests())
    x.VM.suspend(vm)
    r = x.VM.get_record(vm)
    t.effect("VM.suspend", r["power_state"] == "Suspended" and x.VDI.get_type(r["suspend_VDI"]) == "suspend", r["power_state"])
    t.equal((r["resident_on"], int(r["domid"]), r["consoles"]), (NULL, -1, []))
    t.check(all(x.VBD.get_currently_attached(b) for b in r["VBDs"]), "disks stay attached")
    t.check(all(x.VIF.get_currently_attached(v) for v in r["VIFs"]), "interfaces stay attached")
    t.equal(sorted(set(r["allowed_operations"]) & {"resume", "resume_on", "hard_shutdown", "suspend", "start"}),
            ["hard_shutdown", "resume", "resume_on"])
    w.until(lambda w: w.cache["vm"][vm]["power_state"] == "Suspended", "Suspended")
    t.fails("VDI_IN_USE", x.VDI.destroy, x.VBD.get_VDI(r["VBDs"][0]))
    t.fails("VM_BAD_POWER_STATE", x.VM.suspend, vm)
    t.fails("VM_BAD_POWER_STATE", x.VM.start, vm, False, False)
    if t.qemu:
        t.eventually(lambda: len(pids - set(t.host.guests())) == 1, "its QEMU is gone")
    x.VM.resume(vm, True, False)
    t.equal(t.power(vm), "Paused", "start_paused")
    t.equal(x.VM.get_suspend_VDI(vm), NULL)
    no_image(t)
    x.VM.unpause(vm)
    t.guest_is_up(vm)
    x.VM.suspend(vm)
    x.VM.resume_on(vm, t.the_host(), False, False)
    r = x.VM.get_record(vm)
    t.effect("VM.resume_on", r["power_state"] == "Running" and r["resident_on"] == t.the_host() and int(r["domid"]) > 0)
    t.check(r["consoles"], "it has consoles again")
    x.VM.suspend(vm)
    x.VM.resume(vm, False, False)
    t.effect("VM.resume", t.power(vm) == "Running")
    t.fails("VM_BAD_POWER_STATE", x.VM.resume, vm, False, False)
    t.fails("VM_BAD_POWER_STATE", x.VM.resume_on, vm, t.the_host(), False, False)
    x.VM.clean_shutdown(vm)
    t.equal(t.power(vm), "Halted")
    w.close()


@case
def a_hard_shutdown_of_a_suspended_vm_takes_its_image_away(t):
    x, vm = t.x, t.running_vm(disk=True)
    x.VM.suspend(vm)
    x.VM.hard_shutdown(vm)
    r = x.VM.get_record(vm)
    t.equal((r["power_state"], r["suspend_VDI"]), ("Halted", NULL))
    t.check(not any(x.VBD.get_currently_attached(b) for b in r["VBDs"]), "detached")
    no_image(t)
    x.VM.start(vm, False, False)
    t.equal(t.power(vm), "Running")


@case
def without_a_repository_for_it_a_vm_is_not_suspended(t):
    x, vm = t.x, t.running_vm()
    pool, host = t.pool(), t.the_host()
    old = x.pool.get_suspend_image_SR(pool), x.host.get_suspend_image_sr(host)
    x.pool.set_suspend_image_SR(pool, NULL)
    x.host.set_suspend_image_sr(host, NULL)
    try:
        t.fails("DEFAULT_SR_NOT_FOUND", x.VM.suspend, vm)
        t.equal(t.power(vm), "Running")
        x.VM.set_suspend_SR(vm, old[0])
        x.VM.suspend(vm)
        t.equal(x.VDI.get_SR(x.VM.get_suspend_VDI(vm)), old[0])
    finally:
        x.pool.set_suspend_image_SR(pool, old[0])
        x.host.set_suspend_image_sr(host, old[1])


@case
def a_suspend_can_be_cancelled(t):
    x, vm = t.x, t.running_vm()
    for _ in range(5):
        task = x.Async.VM.suspend(vm)
        time.sleep(0.02)
        try:
            x.task.cancel(task)
        except Failure:
            pass  # it was quicker
        t.eventually(lambda: x.task.get_status(task) != "pending", "the task ends")
        power = t.power(vm)
        t.equal(power, "Suspended" if x.task.get_status(task) == "success" else "Running")
        if power == "Suspended":
            x.VM.resume(vm, False, False)
    no_image(t)


@case(own_host=True)
def suspended_vms_survive_a_restart_of_everything_and_a_reboot(t):
    import shutil
    vms = [t.running_vm(f"sleeper {i}", disk=i == 0) for i in range(3)]
    for vm in vms:
        t.x.VM.suspend(vm)
    t.host.stop_daemons()
    t.host.start()
    t.x = t.client()
    t.equal([t.power(v) for v in vms], ["Suspended"] * 3)
    t.x.VM.resume(vms[0], False, False)
    t.host.stop_daemons(signal.SIGKILL)
    t.host.kill_rest()
    shutil.rmtree(t.host.run)
    t.host.start()
    t.x = t.client()
    t.equal([t.power(v) for v in vms], ["Halted", "Suspended", "Suspended"])
    t.x.VM.resume(vms[1], False, False)
    t.equal(t.power(vms[1]), "Running")
    t.equal(len(images(t.x)), 1)


def quiet(fn):
    try:
        return fn()
    except (Failure, OSError, ProtocolError):
        return None
    except Exception:  # noqa: BLE001 - http.client has many
        return None


def victims(t, name):
    if name == "qemu":
        return list(t.host.guests())
    if name == "vm":
        return [pid for pid, n in t.host.processes().items() if n.startswith("runnymede-vm")]
    return [pid for n, pid in t.host.daemon_pids().items() if n == name]


def settled(t, vm):
    """What the API says once everybody is back."""
    def ask():
        x = quiet(t.client)
        r = x and quiet(lambda: x.VM.get_record(vm))
        if r and not r["current_operations"] and r["power_state"] in ("Running", "Suspended", "Halted"):
            return x, r
        return None
    time.sleep(0.3)
    t.eventually(lambda: all(t.host.daemon_pids().get(n) for n in ("core", "host", "storage")), "the daemons run")
    return t.eventually(ask, "the host answers, and no operation is left hanging")


def one_round(t, vm, name, call, wait):
    """Starts the call, kills the process so much later; what is so afterwards."""
    x = t.client()
    task = call(x)
    time.sleep(wait)
    for pid in victims(t, name)[:1]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    end = time.monotonic() + 20
    while time.monotonic() < end and quiet(lambda: t.client().task.get_status(task)) == "pending":
        time.sleep(0.05)
    t.x, r = settled(t, vm)
    state = r["power_state"]
    if t.qemu:
        t.eventually(lambda: len(t.host.guests()) == (state == "Running"), f"{state} with {len(t.host.guests())} QEMUs")
    t.eventually(lambda: len(images(t.x)) == (state == "Suspended"), f"{state} with {len(images(t.x))} images")
    return state


@case(own_host=True)
def killing_anybody_during_suspend_and_resume_leaves_one_guest_or_one_image(t):
    chance = random.Random(1)
    names = ["core", "host", "storage"] + (["vm", "qemu"] if t.qemu else [])
    vm = t.running_vm("sleeper", disk=True)
    seen = {}
    for i in range(ROUNDS):
        state = t.power(vm)
        if state == "Halted":
            t.check(t.qemu, "only a killed QEMU loses a guest")
            t.x.VM.start(vm, False, False)
            state = "Running"
        name = names[i % len(names)]
        if state == "Running":
            after = one_round(t, vm, name, lambda x: x.Async.VM.suspend(vm), chance.random() * 0.3)
        else:
            after = one_round(t, vm, name, lambda x: x.Async.VM.resume(vm, False, False), chance.random() * 0.4)
        t.check(after != "Halted" or name == "qemu", f"{state}, {name} killed, {after}")
        seen[(state, after)] = seen.get((state, after), 0) + 1
    t.check(seen.get(("Running", "Suspended")) and seen.get(("Suspended", "Running")), seen)


@case
def a_vm_migrates_to_its_own_host(t):
    x, vm = t.x, t.running_vm("wanderer", disk=True, nic=True)
    host = t.the_host()
    t.guest_is_up(vm)
    for _ in range(2):
        before, domid = set(t.host.guests()), int(x.VM.get_domid(vm))
        x.VM.pool_migrate(vm, host, {"live": "true"})
        r = x.VM.get_record(vm)
        t.effect("VM.pool_migrate", r["power_state"] == "Running" and r["resident_on"] == host and int(r["domid"]) != domid)
        t.check(all(x.VBD.get_currently_attached(b) for b in r["VBDs"]), "its disks are attached")
        if t.qemu:
            after = set(t.host.guests())
            t.check(len(after) == len(before) and after != before, "another QEMU runs it")
    x.VM.suspend(vm)
    x.VM.resume(vm, False, False)
    x.VM.pool_migrate(vm, host, {})
    t.equal(t.power(vm), "Running", "moved, suspended, resumed and moved again")
    t.guest_is_up(vm)
    t.check(any(m["name"] == "VM_MIGRATED" for m in x.message.get_all_records().values()), "an alert tells")
    other = t.vm()
    t.fails("VM_BAD_POWER_STATE", x.VM.pool_migrate, other, host, {})
    t.fails("HANDLE_INVALID", x.VM.pool_migrate, vm, "OpaqueRef:nowhere", {})
    x.VM.set_platform(other, {"nomigrate": "true"})
    x.VM.start(other, False, False)
    t.fails("VM_IS_IMMOBILE", x.VM.pool_migrate, other, host, {})
    x.VM.clean_shutdown(vm)
    t.equal(t.power(vm), "Halted", "the guest listens after its move")


@case
def what_a_migration_would_need_is_checked(t):
    x, vm = t.x, t.running_vm("wanderer", disk=True, nic=True)
    host = t.the_host()
    pifs = [p for p in x.PIF.get_all() if x.PIF.get_IP(p)]
    if not pifs:
        network, dest = None, {"host": host}
    else:
        network = x.PIF.get_network(pifs[0])
        dest = x.host.migrate_receive(host, network, {})
        t.proven("host.migrate_receive", dest["host"] == host and x.PIF.get_IP(pifs[0]) in dest["xenops"]
                 and set(dest) == {"host", "SM", "xenops", "master", "session_id"}, dest)
    bare = x.network.create(dict(name_label="bare", name_description="", MTU=1500, other_config={}, tags=[], managed=True, bridge=""))
    t.on_end(t._quiet, "network.destroy", bare)
    t.fails(("PIF_HAS_NO_NETWORK_CONFIGURATION", "INTERFACE_HAS_NO_IP", "HOST_CANNOT_ATTACH_NETWORK"), x.host.migrate_receive, host, bare, {})
    vdi = x.VBD.get_VDI(x.VM.get_VBDs(vm)[0])
    vif = x.VM.get_VIFs(vm)[0]
    t.equal(t.fails("VDI_NOT_IN_MAP", x.VM.assert_can_migrate, vm, dest, True, {}, {}, {}), [vdi])
    t.fails("OPERATION_NOT_ALLOWED", x.VM.assert_can_migrate, vm, dest, True, {vdi: t.sr()}, {vif: t.network()}, {})
    x.VM.assert_can_migrate(vm, dest, True, {vdi: t.sr()}, {}, {})
    t.proven("VM.assert_can_migrate", t.power(vm) == "Running")


@case(own_host=True)
def killing_anybody_during_a_migration_leaves_the_guest_running_once(t):
    chance = random.Random(2)
    names = ["core", "host", "storage"] + (["vm", "qemu"] if t.qemu else [])
    vm = t.running_vm("wanderer", disk=True)
    host = t.the_host()
    for i in range(ROUNDS):
        name = names[i % len(names)]
        if t.power(vm) == "Halted":
            t.x.VM.start(vm, False, False)
        after = one_round(t, vm, name, lambda x: x.Async.VM.pool_migrate(vm, host, {}), chance.random() * 0.4)
        t.check(after == "Running" or (name == "qemu" and after == "Halted"), f"{name} killed, {after}")
    if t.power(vm) == "Running":
        t.guest_is_up(vm)
        t.x.VM.clean_shutdown(vm)
        t.equal(t.power(vm), "Halted")
