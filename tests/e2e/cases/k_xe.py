"""xe, the command line: the life of a VM, its guide word by word, and how it reaches the server."""
import os
import re
import subprocess
import time
from pathlib import Path

from bench import MIB, ROOT, Skip, case
from cases_shared import Shell

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{8}T\d\d:\d\d:\d\dZ")
HOST = re.compile(r"(?<= on host: )\S+")


@case
def a_vm_lives_its_life_by_xe(t):
    xe, x = Shell(t), t.x
    vm = xe("vm-install", "template=Other install media", "new-name-label=by xe",
            f"copy-bios-strings-from={x.host.get_uuid(t.the_host())}")
    ref = x.VM.get_by_uuid(vm)
    t._vms.append(ref)
    t.equal((x.VM.get_name_label(ref), x.VM.get_is_a_template(ref)), ("by xe", False))
    xe("vm-memory-limits-set", "vm=by xe", "static-min=16MiB", "dynamic-min=32MiB", "dynamic-max=32MiB", "static-max=32MiB")
    t.equal(int(x.VM.get_memory_static_min(ref)), 16 * MIB)
    for verb, size in (("vm-memory-target-set", 24), ("vm-memory-balloon", 32)):
        xe(verb, f"uuid={vm}", f"target={size}MiB")
        t.equal([int(x.VM.get_memory_dynamic_min(ref)), int(x.VM.get_memory_dynamic_max(ref))], [size * MIB] * 2)
    t.check(x.VM.get_bios_strings(ref), "copied from the host")
    xe("vm-param-set", f"uuid={vm}", "domain-type=pvh", f"PV-kernel={t.host.state}/boot/guest.elf", "PV-args=")
    t.equal(x.VM.get_domain_type(ref), "pvh")
    xe("vm-disk-add", f"uuid={vm}", "disk-size=8MiB", "device=0")
    (vbd,) = x.VM.get_VBDs(ref)
    t.on_end(t._quiet, "VDI.destroy", x.VBD.get_VDI(vbd))
    vif = xe("vif-create", f"vm-uuid={vm}", f"network-uuid={x.network.get_uuid(t.network())}", "device=0", "mac=random")
    t.equal(xe("vm-vif-list", f"uuid={vm}", "params=uuid", "--minimal"), vif)

    xe("vm-start", "vm=by xe")
    t.equal(t.power(ref), "Running")
    t.equal(xe("vm-list", f"uuid={vm}", "params=power-state", "--minimal"), "running")
    xe("event-wait", "class=vm", f"uuid={vm}", "power-state=running")
    t.check(vm in xe("vm-list", "power-state=running", "--minimal").split(","), "a filter finds it")
    t.check(vm not in xe("vm-list", "power-state=halted", "--minimal").split(","), "another one does not")
    err = xe.fails("Error code: VM_BAD_POWER_STATE", "vm-start", f"uuid={vm}")
    t.check(f"vm: {vm} (by xe)\nexpected: halted\nactual: running" in err, err)
    xe("vm-pause", f"uuid={vm}")
    t.equal(t.power(ref), "Paused")
    xe("vm-unpause", f"uuid={vm}")
    t.guest_is_up(ref)
    xe("vm-reboot", f"uuid={vm}")
    t.guest_is_up(ref)
    xe("vm-shutdown", f"uuid={vm}")
    t.equal(t.power(ref), "Halted")
    xe("vm-start", f"uuid={vm}", "--paused", f"on={x.host.get_name_label(t.the_host())}")
    t.equal(t.power(ref), "Paused")
    xe("vm-shutdown", f"uuid={vm}", "--force")

    for verb in ("vm-clone", "vm-copy"):
        other = xe(verb, f"uuid={vm}", f"new-name-label=by {verb}", "new-name-description=a twin")
        t.equal(x.VM.get_name_description(x.VM.get_by_uuid(other)), "a twin")
        n = len(x.VDI.get_all())
        xe("vm-uninstall", f"uuid={other}", "force=true")
        t.equal(len(x.VDI.get_all()), n - 1, "its disk went with it")
    xe.fails("Aborted", "vm-uninstall", f"uuid={vm}")
    xe("vm-disk-remove", f"uuid={vm}", "device=0")
    t.equal(x.VM.get_VBDs(ref), [])
    xe("vm-destroy", f"uuid={vm}")
    xe.fails("UUID_INVALID", "vm-param-list", f"uuid={vm}")


@case
def several_vms_need_multiple(t):
    xe = Shell(t)
    vms = [t.vm("of many"), t.vm("of many")]
    xe.fails("--multiple", "vm-start", "name-label=of many")
    t.equal([t.power(v) for v in vms], ["Halted"] * 2)
    xe("vm-start", "name-label=of many", "--multiple")
    t.equal([t.power(v) for v in vms], ["Running"] * 2)
    xe("vm-shutdown", "name-label=of many", "--multiple", "--force")
    t.equal([t.power(v) for v in vms], ["Halted"] * 2)
    xe.fails("No matching vm found", "vm-start", "name-label=of none")
    xe.fails("Unknown parameter 'name-lable'", "vm-start", "name-lable=of many")


@case
def a_cd_goes_in_and_out(t):
    xe, vm = Shell(t), t.vm()
    uuid = t.x.VM.get_uuid(vm)
    t.x.SR.scan(t.x.SR.get_by_name_label("ISO library")[0])
    t.check("guest.iso" in xe("cd-list", "params=name-label", "--minimal"), "a disc to insert")
    xe("vm-cd-add", f"uuid={uuid}", "cd-name=guest.iso", "device=3")
    (vbd,) = t.x.VM.get_VBDs(vm)
    t.equal(t.x.VBD.get_empty(vbd), False)
    t.check("CD 0 VDI:" in xe("vm-cd-list", f"uuid={uuid}"), "it is shown")
    xe("vm-cd-eject", f"uuid={uuid}")
    t.equal(t.x.VBD.get_empty(vbd), True)
    xe.fails("no CD drive that is loaded", "vm-cd-eject", f"uuid={uuid}")
    xe("vm-cd-insert", f"uuid={uuid}", "cd-name=guest.iso")
    t.equal(t.x.VBD.get_empty(vbd), False)
    xe("vm-cd-remove", f"uuid={uuid}", "cd-name=guest.iso")
    t.equal(t.x.VM.get_VBDs(vm), [])


@case
def disks_go_in_and_out_by_every_road(t):
    xe = Shell(t)
    uuid = t.x.VDI.get_uuid(t.vdi(8 * MIB))
    data = os.urandom(3 * MIB) + bytes(4 * MIB) + os.urandom(MIB)
    source, password = xe.home / "in.img", xe.home / "password"
    source.write_bytes(data)
    password.write_text(t.host.password + "\n")
    tls = ("-s", t.host.listen, "-p", str(t.host.https), "-u", "root", "-pwf", str(password))
    plain = ("-s", t.host.listen, "-p", str(t.host.http), "--nossl", "-u", "root", "-pwf", str(password))
    for i, road in enumerate(((), tls, plain)):
        target = xe.home / f"out-{i}.img"
        xe(*road, "vdi-import", f"uuid={uuid}", f"filename={source}")
        xe(*road, "vdi-export", f"uuid={uuid}", f"filename={target}")
        t.check(target.read_bytes() == data, f"the same bytes by road {i}")
        t.check(target.stat().st_blocks * 512 < 6 * MIB, "holes stay holes")
        xe.fails("File exists", *road, "vdi-export", f"uuid={uuid}", f"filename={target}")
    r = subprocess.run([xe.program, "vdi-export", f"uuid={uuid}", "filename=-"], capture_output=True, env=xe.env, timeout=60)
    t.check(r.stdout == data, "to standard output")
    code, _, err = xe.run("vdi-import", f"uuid={uuid}", "filename=-", data=data[::-1])
    t.equal(code, 0, err)
    code, _, err = xe.run("vdi-export", f"uuid={uuid}", f"filename={xe.home}/bar.img", "progress=true")
    t.check(code == 0 and "100%" in err, "a bar")
    t.check((xe.home / "bar.img").read_bytes() == data[::-1], "from standard input")
    source.write_bytes(data + data)
    code, _, err = xe.run("vdi-import", f"uuid={uuid}", f"filename={source}")
    t.check(code == 1 and err, "more than fits")
    t.equal([r["name_label"] for r in t.x.task.get_all_records().values() if "of a disk" in r["name_label"]], [], "no task stays")


@case
def a_server_is_reached_and_trusted(t):
    xe = Shell(t)
    password = xe.home / "password"
    password.write_text(t.host.password + "\n")
    known = xe.home / ".xe_known_hosts"
    tls = ("-s", t.host.listen, "-p", str(t.host.https), "-u", "root")
    code, out, err = xe.run(*tls, "-pw", t.host.password, "pool-list", "--minimal")
    t.check(code == 0 and "new and remembered" in err, err)
    code, again, err = xe.run(*tls, "-pwf", str(password), "pool-list", "--minimal")
    t.equal((code, again, err), (0, out, ""))
    t.equal(len(known.read_text().splitlines()), 1)
    known.write_text(re.sub(r" \w\w:", " 00:" if " 00:" not in known.read_text() else " 11:", known.read_text()))
    xe.fails("not the one that was there before", *tls, "-pwf", str(password), "pool-list")
    plain = f"server={t.host.listen},port={t.host.http},nossl=true,username=root,passwordfile={password}"
    t.equal(xe("pool-list", "--minimal", env={"XE_EXTRA_ARGS": plain}), out.strip())
    (xe.home / ".xe").write_text(plain.replace(",", "\n") + "\n")
    t.equal(xe("pool-list", "--minimal", env={"XE_SOCKET": "/nowhere"}), out.strip())
    xe.fails("SESSION_AUTHENTICATION_FAILED", *tls[:2], "-p", str(t.host.http), "-pw", "wrong", "pool-list")
    (xe.home / ".xe").unlink()
    xe.fails("no password", *tls, "pool-list")
    xe.fails("cannot connect", "-s", t.host.listen, "-p", "1", "-u", "root", "-pw", "x", "pool-list")
    xe.fails("cannot connect to the local server", "--socket", "/nowhere", "pool-list")


@case
def every_list_works_and_every_verb_explains_itself(t):
    xe = Shell(t)
    verbs = xe("help", "--all", "--minimal").split(",")
    t.check(len(verbs) > 1000 and len(set(verbs)) == len(verbs), "many verbs, each once")
    for verb in verbs:
        if not verb.endswith("-list") or "-param-" in verb:
            continue
        code, _, err = xe.run(verb, "params=all")
        refused = ("NOT_IMPLEMENTED", "Required", "Unknown parameter", "No matching vm")
        t.check(code == 0 or any(word in err for word in refused), f"{verb}: {err}")
    text = "".join(xe("help", *verbs[i:i + 500]) + "\n" for i in range(0, len(verbs), 500))
    t.equal(text.count("command name     :"), len(verbs))
    xe.fails("Did you mean vm-start?", "vm-stat")
    xe.fails("Unknown command", "help", "no-such-verb")
    xe.fails("Required parameter not found: uuid", "vm-param-get", "param-name=uuid")
    xe.fails("Unknown parameter 'colour'", "vdi-destroy", f"uuid={t.x.VDI.get_uuid(t.vdi())}", "colour=red")
    t.check(xe("--version").startswith("xe "), "a version")


@case
def the_text_console_shows_the_guest(t):
    xe, vm = Shell(t), t.running_vm()
    uuid = t.x.VM.get_uuid(vm)
    t.guest_is_up(vm)
    p = subprocess.Popen([xe.program, "console", f"uuid={uuid}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env=xe.env)
    time.sleep(0.5)
    p.stdin.write(b"x\x1d")
    p.stdin.flush()
    _, err = p.communicate(timeout=20)
    t.equal(p.returncode, 0, err.decode())
    t.check(b"Connected" in err, err.decode())
    t.x.VM.hard_shutdown(vm)
    xe.fails("no console", "console", f"uuid={uuid}")


@case
def bash_completes_verbs_parameters_and_objects(t):
    xe = Shell(t)
    vm = t.x.VM.get_uuid(t.vm("to complete"))

    def complete(line):
        code, out = xe.bash(f"source {ROOT}/packaging/xe.bash; COMP_LINE=$'{line}'; COMP_POINT=${{#COMP_LINE}}; _xe; "
                            "printf '%s\\n' \"${COMPREPLY[@]}\"")
        t.equal(code, 0, out)
        return out.split("\n")[:-1]

    t.check({"vm-start", "vm-start-on"} <= set(complete("xe vm-star")), "verbs")
    t.check("uuid=" in complete("xe vdi-resize u"), "parameters")
    t.check(vm in complete("xe vm-start uuid="), "uuids")
    t.equal(complete("xe vm-start vm=to"), ["to\\ complete"])
    t.equal(complete("xe vm-param-get param-name=name-l"), ["name-label"])
    t.equal(complete("xe vm-list params=uuid,power-s"), ["uuid,power-state"])


# The documents: their commands in order, in one shell, what they print against what they say.

def commands(document):
    """(command, expected output) of a file in docs/."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "docs" / document).read_text(), re.S):
        for piece in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = piece.partition("\n")
            found.append((command, output.rstrip("\n")))
    return found


def plain(text):
    return HOST.sub("HOST", TIME.sub("TIME", UUID.sub("UUID", text))).rstrip("\n")


def is_true(t, document):
    """Runs a document's commands; variables live on from command to command."""
    xe, found = Shell(t), commands(document)
    names = sorted(set(re.findall(r"^([A-Z]+)=", "\n".join(c for c, _ in found), re.M)))
    state = xe.home / "state"
    state.write_text("")
    t.check(found, f"docs/{document} has commands")
    for command, expected in found:
        code, out = xe.bash(f". {state}; {command}\nrc=$?; declare -p {' '.join(names)} >{state} 2>/dev/null; exit $rc")
        t.equal(code, 0, f"{command}: {out}")
        t.equal(plain(out), plain(expected), f"the output of: {command}")


@case(own_host=True, on=("sim",))
def the_guide_to_xe_tells_the_truth(t):
    """On the simulator only, whose guests answer the power button at once, and with its interfaces."""
    if t.host.net != "sim":
        raise Skip("the guide names interfaces of the simulator")
    is_true(t, "xe.md")


@case(own_host=True)
def the_users_guide_tells_the_truth(t):
    is_true(t, "guide.md")


@case
def xe_changes_a_password_that_no_argument_shows(t):
    xe = Shell(t)
    old, new = t.host.password, "typed, not said"
    for name, password in (("old", old), ("new", new)):
        (xe.home / name).write_text(password + "\n")
    change = ("-s", t.host.listen, "-p", str(t.host.http), "--nossl", "-u", "root", "-pwf")
    xe.fails("nothing was given", *change, str(xe.home / "old"), "user-password-change", data=f"{old}\n".encode())
    xe.fails("SESSION_AUTHENTICATION_FAILED", *change, str(xe.home / "old"), "user-password-change", data=b"wrong\nnew\n")
    xe(*change, str(xe.home / "old"), "user-password-change", data=f"{old}\n{new}\n".encode())
    try:
        xe(*change, str(xe.home / "new"), "pool-list")
    finally:
        xe(*change, str(xe.home / "new"), "user-password-change", f"old={new}", data=f"{old}\n".encode())
    xe(*change, str(xe.home / "old"), "pool-list")


@case
def xe_makes_fills_and_reads_blobs(t):
    xe, x, vm = Shell(t), t.x, t.vm()
    (xe.home / "in").write_bytes(b"by xe")
    uuid = xe("blob-create", "name=note", "mime-type=text/plain", f"vm-uuid={x.VM.get_uuid(vm)}")
    blob = x.VM.get_blobs(vm)["note"]
    t.equal(x.blob.get_uuid(blob), uuid)
    xe("blob-put", f"uuid={uuid}", f"filename={xe.home}/in")
    xe("blob-get", f"uuid={uuid}", f"filename={xe.home}/out")
    t.equal((xe.home / "out").read_bytes(), b"by xe")
    t.equal(xe("blob-list", f"uuid={uuid}", "params=size", "--minimal"), "5")
    xe.fails("name one of", "blob-create", "name=note")
    xe("blob-destroy", f"uuid={uuid}")
    t.equal(x.VM.get_blobs(vm), {})
