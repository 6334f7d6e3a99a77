"""What a guest's firmware remembers, what becomes of a VM when its guest acts by itself, and its serial line."""
import base64
import contextlib
import io
import os
import re
import signal
import struct
import subprocess
import tarfile
import uuid
import zlib
from pathlib import Path

from bench import MIB, NULL, case
from speaking import Serial, copy_speaking_guest


def tpm_remembers(t, vm, want):
    """Has this guest's TPM been here before? On the simulator its boots are counted, and `want` is their number."""
    if not t.qemu:
        text = base64.b64decode(t.x.VTPM.get_contents(t.x.VM.get_VTPMs(vm)[0])).decode()
        t.equal(text, f"simulated TPM, boots: {want}\n")
        return
    line = Serial(t, vm)
    line.ask("t", "tpm is new" if want == 1 else "tpm remembers")
    line.close()


@case
def a_tpm_is_made_once_for_a_vm_at_rest_and_goes_with_it(t):
    x, vm = t.x, t.vm()
    t.check("create_vtpm" in x.VM.get_allowed_operations(vm), "a TPM may be made")
    t.fails("HANDLE_INVALID", x.VTPM.create, "OpaqueRef:no", False)
    tpm = x.VTPM.create(vm, False)
    r = x.VTPM.get_record(tpm)
    t.effect("VTPM.create", x.VM.get_VTPMs(vm) == [tpm] and r["VM"] == vm and not r["is_unique"] and not r["is_protected"])
    t.equal((r["persistence_backend"], r["backend"], r["allowed_operations"]), ("xapi", NULL, ["destroy"]))
    t.check("create_vtpm" not in x.VM.get_allowed_operations(vm), "no second one")
    t.equal(t.fails("VTPM_MAX_AMOUNT_REACHED", x.VTPM.create, vm, False), ["1"])
    t.equal(x.VTPM.get_contents(tpm), "", "nothing yet")
    x.VM.start(vm, False, False)
    t.fails("VM_BAD_POWER_STATE", x.VTPM.create, vm, False)
    t.equal(t.fails("VM_BAD_POWER_STATE", x.VTPM.destroy, tpm)[1:], ["halted, suspended", "running"])
    t.fails("VM_BAD_POWER_STATE", x.VTPM.set_contents, tpm, "")
    t.equal(x.VTPM.get_allowed_operations(tpm), [])
    tpm_remembers(t, vm, 1)
    x.VM.hard_shutdown(vm)
    contents = x.VTPM.get_contents(tpm)
    t.proven("VTPM.get_contents", len(base64.b64decode(contents)) > 20)
    t.fails("HANDLE_INVALID", x.VTPM.get_contents, "OpaqueRef:no")
    x.VTPM.destroy(tpm)
    t.effect("VTPM.destroy", x.VM.get_VTPMs(vm) == [] and tpm not in x.VTPM.get_all())
    t.check(contents not in [x.secret.get_value(s) for s in x.secret.get_all()], "what it kept is gone too")
    t.fails("HANDLE_INVALID", x.VTPM.destroy, tpm)
    tpm = x.VTPM.create(vm, False)
    t.fails("INVALID_VALUE", x.VTPM.set_contents, tpm, "no base64!")
    x.VTPM.set_contents(tpm, contents)
    t.equal(x.VTPM.get_contents(tpm), contents)
    x.VM.start(vm, False, False)
    tpm_remembers(t, vm, 2)
    t.effect("VTPM.set_contents", True)
    x.VM.hard_shutdown(vm)
    x.VM.destroy(vm)
    t.fails("HANDLE_INVALID", x.VTPM.get_record, tpm)


@case
def a_copy_has_the_tpms_memory_unless_that_is_unique(t):
    x, vm = t.x, t.vm("original")
    tpm = x.VTPM.create(vm, False)
    kept = base64.b64encode(b"simulated TPM, boots: 41\n").decode()
    x.VTPM.set_contents(tpm, kept)
    copy = x.VM.clone(vm, "copy")
    t.adopt(copy)
    (other,) = x.VM.get_VTPMs(copy)
    t.check(other != tpm, "a TPM of its own")
    t.equal(x.VTPM.get_contents(other), kept)
    x.VTPM.set_contents(other, "")
    t.equal(x.VTPM.get_contents(tpm), kept, "each has its own memory")
    x.VTPM.destroy(tpm)
    tpm = x.VTPM.create(vm, True)
    x.VTPM.set_contents(tpm, kept)
    alone = x.VM.clone(vm, "alone")
    t.adopt(alone)
    (other,) = x.VM.get_VTPMs(alone)
    t.equal((x.VTPM.get_contents(other), x.VTPM.get_is_unique(other)), ("", True))


@case
def a_template_that_wants_a_tpm_gives_one_to_its_vms(t):
    x = t.x
    (template,) = x.VM.get_by_name_label("Windows 11")
    vm = x.VM.clone(template, "eleven")
    t.adopt(vm)
    other = x.VM.get_other_config(vm)
    x.VM.set_other_config(vm, {k: v for k, v in other.items() if k != "disks"})
    t.equal(x.VM.get_VTPMs(vm), [])
    x.VM.provision(vm)
    t.equal(len(x.VM.get_VTPMs(vm)), 1)


@case
def a_tpm_outlives_suspend_and_migration(t):
    x, vm = t.x, t.vm()
    x.VTPM.create(vm, False)
    x.VM.start(vm, False, False)
    tpm_remembers(t, vm, 1)
    x.VM.suspend(vm)
    x.VM.resume(vm, False, False)
    if t.qemu:
        tpm_remembers(t, vm, 2)
    x.VM.pool_migrate(vm, t.the_host(), {})
    if t.qemu:
        tpm_remembers(t, vm, 2)
    x.VM.hard_reboot(vm)
    tpm_remembers(t, vm, 2)
    x.VM.hard_shutdown(vm)


@case(own_host=True)
def what_a_tpm_keeps_survives_the_death_of_any_process(t):
    x, vm = t.x, t.vm()
    x.VTPM.create(vm, False)
    x.VM.start(vm, False, False)
    tpm_remembers(t, vm, 1)
    before = x.VTPM.get_contents(x.VM.get_VTPMs(vm)[0])
    t.check(before, "it is in the database while the guest runs")
    for pid, name in t.host.processes().items():
        if name in ("runnymede-vm", "runnymede-core", "runnymede-host"):
            with contextlib.suppress(ProcessLookupError):  # a vm process ends with its host process
                os.kill(pid, signal.SIGKILL)
    t.eventually(lambda: answers(t), "the host is back")
    x = t.x = t.client()
    t.eventually(lambda: t.power(vm) == "Running", "the guest runs on")
    t.equal(x.VTPM.get_contents(x.VM.get_VTPMs(vm)[0]), before)
    x.VM.hard_reboot(vm)
    tpm_remembers(t, vm, 2)
    x.VM.hard_shutdown(vm)
    x.VM.start(vm, False, False)
    tpm_remembers(t, vm, 3)


def answers(t):
    try:
        return t.client().host.get_all()
    except Exception:  # noqa: BLE001 - whatever a host that is coming back says
        return None


def shown_generation(t, vm):
    """The generation that the guest of a running VM is shown, as QEMU was given it; None on the simulator."""
    for pid in t.host.guests():
        argv = Path(f"/proc/{pid}/cmdline").read_text()
        if t.x.VM.get_uuid(vm) in argv:
            return re.search(r"vmgenid,guid=([^\0]*)", argv)[1] if "vmgenid" in argv else ""
    return None


@case
def a_generation_stays_with_its_vm_and_copies_get_their_own(t):
    """For guests that must not run twice from one state: domain controllers, random numbers."""
    x = t.x
    template = next(ref for ref, r in x.VM.get_all_records().items() if r["is_a_template"] and r["generation_id"] == "0:0")
    vm = x.VM.clone(template, "generation")
    t.adopt(vm)
    x.VM.remove_from_other_config(vm, "disks")
    x.VM.provision(vm)
    x.VM.set_memory_limits(vm, 32 * MIB, 256 * MIB, 256 * MIB, 256 * MIB)
    first = x.VM.get_generation_id(vm)
    x.VM.start(vm, False, False)
    generation, shown = x.VM.get_generation_id(vm), shown_generation(t, vm)
    t.check(":" in generation and generation != "0:0" and generation == first or first == "0:0", (first, generation))
    t.check(not t.qemu or re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", shown), shown)
    x.VM.hard_reboot(vm)
    t.equal((x.VM.get_generation_id(vm), shown_generation(t, vm)), (generation, shown), "after a reboot")
    x.VM.hard_shutdown(vm)
    x.VM.start(vm, False, False)
    t.equal((x.VM.get_generation_id(vm), shown_generation(t, vm)), (generation, shown), "after another start")
    x.VM.hard_shutdown(vm)
    copy = x.VM.clone(vm, "its copy")
    t.adopt(copy)
    t.check(x.VM.get_generation_id(copy) not in ("", "0:0", generation), "a copy has a generation of its own")


# ---- what becomes of a VM when its guest acts by itself ----

def guest_acts(t, vm, act):
    """off, reboot or crash: by the guest's own will, after it said that it is up."""
    if not t.qemu:
        return  # platform:sim-fail made it do so
    line = Serial(t, vm)
    line.ask({"off": "s", "reboot": "r", "crash": "p"}[act], {"off": "powers off", "reboot": "resets", "crash": "panics"}[act])
    line.close()


def acting_vm(t, act, **fields):
    vm = t.vm(f"{act} {fields}")
    for name, value in fields.items():
        getattr(t.x.VM, f"set_actions_after_{name}")(vm, value)
    if not t.qemu:
        t.x.VM.set_platform(vm, {"sim-fail": f"{act}-after:300"})
    t.x.VM.start(vm, False, False)
    return vm


def alerts(t, vm):
    uuid = t.x.VM.get_uuid(vm)
    return [m["name"] for m in t.x.message.get_all_records().values() if m["obj_uuid"] == uuid]


@case
def a_guest_that_acts_by_itself_ends_as_its_vm_wishes(t):
    x = t.x
    ends = [acting_vm(t, "off", shutdown="destroy"), acting_vm(t, "reboot", reboot="destroy", shutdown="restart"),
            acting_vm(t, "crash", crash="destroy")]
    lives = [acting_vm(t, "off", shutdown="restart", reboot="destroy"), acting_vm(t, "reboot", reboot="restart"),
             acting_vm(t, "crash", crash="restart")]
    kept = acting_vm(t, "crash", crash="preserve")
    for vms in (ends, lives):
        for vm, act in zip(vms, ("off", "reboot", "crash")):
            guest_acts(t, vm, act)
    guest_acts(t, kept, "crash")
    for vm, alert in zip(ends, ("VM_SHUTDOWN", "VM_SHUTDOWN", "VM_CRASHED")):
        t.eventually(lambda: t.power(vm) == "Halted", f"{x.VM.get_name_label(vm)} ends")
        t.eventually(lambda: alert in alerts(t, vm), f"{alert} for {x.VM.get_name_label(vm)}")
        t.equal((x.VM.get_resident_on(vm), int(x.VM.get_domid(vm))), (NULL, -1))
    for vm, alert in zip(lives, ("VM_REBOOTED", "VM_REBOOTED", "VM_CRASHED")):
        t.eventually(lambda: alert in alerts(t, vm), f"{alert} for {x.VM.get_name_label(vm)}")
        t.eventually(lambda: t.power(vm) == "Running", f"{x.VM.get_name_label(vm)} lives")
        if t.qemu:
            line = Serial(t, vm)
            line.ask("c", "count 1\n")  # from its start again
            line.close()
    t.eventually(lambda: t.power(kept) == "Paused", "it stands still as it crashed")
    t.check("hard_shutdown" in x.VM.get_allowed_operations(kept), "and can be ended")
    t.check("VM_CRASHED" in alerts(t, kept), alerts(t, kept))


@case
def buttons_and_kernel_keys_reach_the_guest(t):
    x, vm = t.x, t.vm("pressed")
    for m, arg in (("send_trigger", "nmi"), ("send_sysrq", "b")):
        t.fails("VM_BAD_POWER_STATE", getattr(x.VM, m), vm, arg)
        t.fails("HANDLE_INVALID", getattr(x.VM, m), "OpaqueRef:no", arg)
    t.equal(t.fails("INVALID_VALUE", x.VM.send_trigger, vm, "lever"), ["trigger", "lever"])
    for key in ("", "B", "bc", "\n", "%"):
        t.fails("INVALID_VALUE", x.VM.send_sysrq, vm, key)
    x.VM.set_actions_after_crash(vm, "destroy")
    x.VM.start(vm, False, False)
    t.guest_is_up(vm)
    if t.qemu:
        line = Serial(t, vm)
        x.VM.send_trigger(vm, "nmi")
        line.expect("guest met an nmi")
        x.VM.send_sysrq(vm, "t")
        line.expect("key code 17\n")  # Alt
        line.expect("key code 132\n")  # SysRq with Alt
        line.expect("key code 44\n")  # T
        t.effect("VM.send_sysrq", True)
        x.VM.send_trigger(vm, "reset")
        line.expect("guest up")
        line.close()
    else:
        x.VM.send_sysrq(vm, "t")
        t.equal(t.power(vm), "Running")
        x.VM.send_sysrq(vm, "b")
        t.eventually(lambda: "VM_REBOOTED" in alerts(t, vm), "it rebooted")
        t.effect("VM.send_sysrq", t.power(vm) == "Running")
        x.VM.send_trigger(vm, "nmi")
        t.eventually(lambda: t.power(vm) == "Halted", "it crashed")
        x.VM.start(vm, False, False)
    x.VM.send_trigger(vm, "power")
    t.eventually(lambda: t.power(vm) == "Halted", "the power button")
    t.effect("VM.send_trigger", "VM_SHUTDOWN" in alerts(t, vm))


def uefi_vm(t, name, **platform):
    x, vm = t.x, t.vm(name, memory=256 * MIB)
    x.VM.set_domain_type(vm, "hvm")
    x.VM.set_HVM_boot_params(vm, {"firmware": "uefi", "order": "c"})
    x.VM.set_platform(vm, {**x.VM.get_platform(vm), **platform})
    return vm


@case
def secure_boot_has_keys_and_loses_them(t):
    x = t.x
    pool = x.pool.get_all()[0]
    ready = x.pool.get_guest_secureboot_readiness(pool)
    t.check(ready in ("ready", "ready_no_dbx"), ready)
    t.proven("pool.get_guest_secureboot_readiness", True)
    t.fails("HANDLE_INVALID", x.pool.get_guest_secureboot_readiness, "OpaqueRef:none")
    bios = t.vm("bios")
    t.equal(x.VM.get_secureboot_readiness(bios), "not_supported")
    t.fails("OPERATION_NOT_ALLOWED", x.VM.set_uefi_mode, bios, "user")
    vm = uefi_vm(t, "uefi")
    t.equal(x.VM.get_secureboot_readiness(vm), "disabled")
    x.VM.set_platform(vm, {**x.VM.get_platform(vm), "secureboot": "auto"})
    t.equal(x.VM.get_secureboot_readiness(vm), "disabled", "the pool has no certificates of its own")
    x.VM.set_platform(vm, {**x.VM.get_platform(vm), "secureboot": "true"})
    t.equal(x.VM.get_secureboot_readiness(vm), "first_boot")
    x.VM.start(vm, False, False)
    t.fails("VM_BAD_POWER_STATE", x.VM.set_uefi_mode, vm, "setup")
    x.VM.hard_shutdown(vm)
    t.eventually(lambda: x.VM.get_secureboot_readiness(vm) == ready, "it has the keys")
    t.proven("VM.get_secureboot_readiness", True)
    t.fails("HANDLE_INVALID", x.VM.get_secureboot_readiness, "OpaqueRef:none")
    x.VM.set_uefi_mode(vm, "setup")
    t.effect("VM.set_uefi_mode", x.VM.get_secureboot_readiness(vm) == "setup_mode")
    x.VM.start(vm, False, False)
    x.VM.hard_shutdown(vm)
    t.equal(x.VM.get_secureboot_readiness(vm), "setup_mode", "a boot brings no keys back")
    x.VM.set_uefi_mode(vm, "user")
    t.equal(x.VM.get_secureboot_readiness(vm), ready)


def keys_tar(*names):
    """As set_custom_uefi_certificates takes it: updates of the variables, each with the hash "NAME of ours"."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in names:
            signer = b"a signature"
            hashes = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328").bytes_le + struct.pack("<III", 76, 0, 48)
            hashes += bytes(16) + f"{name} of ours".encode().ljust(32, b".")
            update = bytes(16) + struct.pack("<IHH", 24 + len(signer), 0x0200, 0x0EF1) + bytes(16) + signer + hashes
            entry = tarfile.TarInfo(f"{name}.auth")
            entry.size = len(update)
            tar.addfile(entry, io.BytesIO(update))
    return base64.b64encode(data.getvalue()).decode()


@case
def a_pool_brings_keys_of_its_own(t):
    x, pool, custom = t.x, t.pool(), t.x.pool.set_custom_uefi_certificates
    t.fails("OPERATION_NOT_ALLOWED", x.pool.set_uefi_certificates, pool, "")
    t.fails("OPERATION_NOT_ALLOWED", x.host.set_uefi_certificates, t.the_host(), "")
    t.fails("HANDLE_INVALID", custom, NULL, "")
    for wrong in ("!", "AAAA", base64.b64encode(bytes(600)).decode(), keys_tar("PK", "db"), keys_tar("PK", "KEK", "db", "db")):
        t.fails("INVALID_VALUE", custom, pool, wrong)
    vm = uefi_vm(t, "own keys", secureboot="auto")
    t.equal(x.VM.get_secureboot_readiness(vm), "disabled")
    custom(pool, keys_tar("PK", "KEK", "db"))
    t.on_end(t._quiet, "pool.set_custom_uefi_certificates", pool, "")
    t.check(x.pool.get_uefi_certificates(pool) == x.pool.get_custom_uefi_certificates(pool) != "", "they are the pool's")
    t.equal((x.pool.get_guest_secureboot_readiness(pool), x.VM.get_secureboot_readiness(vm)), ("ready_no_dbx", "first_boot"))
    x.VM.start(vm, False, False)
    x.VM.hard_shutdown(vm)

    def variables():
        text = x.VM.get_NVRAM(vm).get("EFI-variables", "")
        return zlib.decompress(base64.b64decode(text)) if text else b""

    t.eventually(lambda: all(f"{n} of ours".encode() in variables() for n in ("PK", "KEK", "db")), "the guest had them")
    t.effect("pool.set_custom_uefi_certificates", x.VM.get_secureboot_readiness(vm) == "ready_no_dbx")
    custom(pool, keys_tar("PK", "KEK", "db", "dbx"))
    x.VM.set_uefi_mode(vm, "user")
    t.equal(x.VM.get_secureboot_readiness(vm), "ready", "the newer ones")
    custom(pool, "")
    t.equal((x.pool.get_uefi_certificates(pool), x.VM.get_secureboot_readiness(vm)), ("", "disabled"))


def efi_disk(t, program):
    """A disk of one FAT file system whose boot program is that file."""
    image = t.host.folder / "efi.img"
    with open(image, "wb") as f:
        f.truncate(64 * MIB)
    for argv in (["mkfs.vfat", image], ["mmd", "-i", image, "::EFI", "::EFI/BOOT"],
                 ["mcopy", "-i", image, program, "::EFI/BOOT/BOOTX64.EFI"]):
        subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.DEVNULL)
    vdi = t.vdi(size=64 * MIB, name="efi")
    with open(image, "rb") as f:
        status, _, _ = t.x.handler("PUT", "/import_raw_vdi", {"vdi": vdi, "format": "raw"}, f, {"Content-Length": str(64 * MIB)}, timeout=120)
    t.equal(status, 200)
    return vdi


@case(on=("qemu",), own_host=True)
def secure_boot_starts_nothing_that_is_not_signed_by_its_keys(t):
    x = t.x
    copy_speaking_guest(t)
    vm = uefi_vm(t, "locked", secureboot="false")
    vdi = efi_disk(t, t.host.state / "boot/vmlinuz")  # signed by Debian's key alone
    t.eventually(lambda: not x.VDI.get_current_operations(vdi), "the disk is filled", timeout=60)
    t.vbd(vm, vdi)

    def first_words():
        x.VM.start(vm, True, False)
        line = Serial(t, vm)
        x.VM.unpause(vm)
        said = line.until(r"starting Boot0|Access Denied|Security Violation", timeout=90)[0]
        x.VM.hard_shutdown(vm)
        return said

    t.equal(first_words(), "starting Boot0")
    x.VM.set_NVRAM(vm, {})
    x.VM.set_platform(vm, {**x.VM.get_platform(vm), "secureboot": "true"})
    t.check(first_words() in ("Access Denied", "Security Violation"), "what Microsoft's keys do not know is refused")
    x.VM.set_uefi_mode(vm, "setup")
    t.equal(first_words(), "starting Boot0", "without keys anything starts")
    x.VM.set_uefi_mode(vm, "user")
    t.check(first_words() in ("Access Denied", "Security Violation"), "and with them nothing again")
