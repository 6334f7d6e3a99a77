"""xe: verbs about hosts, figures, certificates and secrets, and names as people know them."""
import os
import pty
import re
import select
import subprocess

from accounts import PASSWORD
from bench import MIB, NULL, ROOT, case
from cases_shared import Shell, make_subjects as subjects, openssl, pair


@case
def xe_shows_records_and_forgets_data_sources(t):
    xe, x, vm = Shell(t), t.x, t.running_vm()
    uuid, host = x.VM.get_uuid(vm), x.host.get_uuid(t.the_host())
    sr = x.SR.get_uuid(x.SR.get_by_name_label("Local storage")[0])
    t.eventually(lambda: "memory" in xe("vm-data-source-list", f"uuid={uuid}", "--minimal"), "the VM is measured")
    for noun, one in (("host", host), ("vm", uuid), ("sr", sr)):
        out = xe(f"{noun}-data-source-list", f"uuid={one}")
        t.check(re.match(r"name_label +: \S+\n +name_description: .*\n +enabled: true\n +standard: true\n +min: 0\.000\n"
                         r" +max: \S+\n +units: \S+\n", out), out)
    t.check(re.search(r" max: inf\n", xe("host-data-source-list")), "numbers that JSON has not")
    t.check("loadavg" in xe("host-data-source-list", "--minimal").split(","), "names alone")
    t.check(float(xe("host-data-source-query", "data-source=loadavg")) >= 0, "the only host is meant")
    for noun, ref, one, name in (("host", t.the_host(), host, "loadavg"), ("VM", vm, uuid, "memory"),
                                 ("SR", x.SR.get_by_uuid(sr), sr, "physical_size")):
        def enabled():
            return {s["name_label"]: s["enabled"] for s in getattr(x, noun).get_data_sources(ref)}[name]
        xe(f"{noun.lower()}-data-source-forget", f"uuid={one}", f"data-source={name}")
        t.equal(enabled(), False)
        xe(f"{noun.lower()}-data-source-record", f"uuid={one}", f"data-source={name}")
        t.equal(enabled(), True)
    xe.fails("INVALID_VALUE", "vm-data-source-query", f"uuid={uuid}", "data-source=no_such")
    xe.fails("Required parameter not found: uuid", "vm-data-source-query", "data-source=memory")


@case
def verbs_and_parameters_that_people_know_are_there(t):
    """tests/e2e/xe-verbs.txt: a verb, its parameters, and behind "[" those that may be left out."""
    xe = Shell(t)
    known = dict(line.split(" ", 1) if " " in line else (line, "")
                 for line in (ROOT / "tests/e2e/xe-verbs.txt").read_text().splitlines())
    for block in xe("help", *known).split("command name     : ")[1:]:
        name, _, rest = block.partition("\n")
        shown = {w.strip() for line in rest.split("\n")[:2] for w in line.partition(":")[2].split(",")}
        need, _, may = known[name].partition("[")
        t.equal(set((need + may).split()) - shown, set(), name)
    for line in (ROOT / "tests/e2e/xe-fields.txt").read_text().splitlines():
        noun, *fields = line.split()
        shown = {w.rstrip("=:") for w in xe("help", f"{noun}-list", "--minimal").split(",")}
        t.equal(set(fields) - shown, set(), noun)


@case
def xe_tells_about_the_host(t):
    xe, x, host = Shell(t), t.x, t.the_host()
    uuid, info = x.host.get_uuid(host), x.host.get_cpu_info(host)
    out = xe("host-cpu-info")
    t.check(re.search(rf"^ *modelname: {re.escape(info['modelname'])}$", out, re.M), out)
    t.equal(xe("host-get-cpu-features", f"uuid={uuid}"), info.get("features", ""))
    t.check("expiry" in xe("host-license-view"), "what the licence says")
    t.equal(xe("host-all-editions").split(), x.host.get_editions(host))
    t.equal(xe("host-is-in-emergency-mode"), "false")
    xe("host-set-hostname-live", f"host-uuid={uuid}", f"host-name={x.host.get_hostname(host)}")
    network = x.network.get_uuid(t.network())
    xe("host-evacuate", f"network-uuid={network}")
    t.check(not x.host.get_enabled(host) or x.host.get_resident_VMs(host), "it was evacuated")
    x.host.enable(host)
    xe.fails("HOST_IS_LIVE", "host-forget", f"uuid={uuid}", "force=true")
    xe.fails("Aborted", "host-forget", f"uuid={uuid}")
    xe.fails("Required parameter not found: uuid", "host-forget")
    before = x.host.get_server_certificate(host)
    xe("host-emergency-reset-server-certificate")
    t.check(x.host.get_server_certificate(host) != before, "another certificate")


@case
def xe_fetches_logs_and_reports(t):
    xe, x = Shell(t), t.x
    uuid = x.host.get_uuid(t.the_host())
    code, out = xe.bash("xe host-logs-download && ls")
    name = out.split()[0]
    t.check(code == 0 and re.fullmatch(r"logs-[0-9T:Z-]+\.tar\.gz", name) and name in out.split()[1:], out)
    xe("host-get-system-status", f"filename={xe.home}/report.tar", f"host={uuid}")
    names = subprocess.run(["tar", "-tf", xe.home / "report.tar"], capture_output=True, text=True, check=True).stdout
    t.check(len(names.splitlines()) > 3, names)
    xe.fails("UUID_INVALID", "host-get-system-status", f"filename={xe.home}/no.tar", f"host-uuid={UUID_OF_NOTHING}")
    label = f"audited {uuid[:8]}"
    x.VM.set_name_description(t.vm(label), "to be seen")
    xe("audit-log-get", f"filename={xe.home}/audit")
    t.check("set_name_description" in (xe.home / "audit").read_text(), "what was done is in it")
    xe("audit-log-get", f"filename={xe.home}/later", "since=29990101T00:00:00Z")
    t.check("set_name_description" not in (xe.home / "later").read_text(), "nothing has happened since")


UUID_OF_NOTHING = "00000000-0000-0000-0000-000000000000"


@case
def xe_says_why_something_does_not_go(t):
    xe, x, vm = Shell(t), t.x, t.vm(disk=True)
    uuid = x.VM.get_uuid(vm)
    out = xe("diagnostic-vm-status", f"uuid={uuid}")
    t.check(re.search(r"^ *can-start: yes$", out, re.M) and re.search(r"^ *attachable \( RO\): true$", out, re.M), out)
    x.VM.set_memory_limits(vm, 1 << 46, 1 << 46, 1 << 46, 1 << 46)
    t.check("can-start: HOST_NOT_ENOUGH_FREE_MEMORY" in xe("diagnostic-vm-status", f"uuid={uuid}"), "too large")
    vdi = x.VDI.get_uuid(x.VBD.get_VDI(x.VM.get_VBDs(vm)[0]))
    out = xe("diagnostic-vdi-status", f"uuid={vdi}")
    t.check("storage-lock" in out and x.VM.get_name_label(vm) in out, out)
    xe.fails("UUID_INVALID", "diagnostic-vdi-status", f"uuid={UUID_OF_NOTHING}")
    xe.fails("neither writes nor reads XVA", "vm-export", f"uuid={uuid}", "filename=/nowhere")
    xe.fails("VM.migrate_send", "vm-migrate", f"uuid={uuid}", "remote-master=elsewhere", "remote-username=root")
    code, _, err = xe.run("--debug", "vm-list", f"uuid={uuid}")
    t.check(code == 0 and "xe: VM.get_by_uuid: ok\n" in err, err)
    t.equal(xe.run("--debug-on-fail", "vm-list", f"uuid={uuid}")[2], "")
    err = xe.fails("Error code", "--debug-on-fail", "vm-unpause", f"uuid={uuid}")
    t.check("xe: VM.unpause: VM_BAD_POWER_STATE\n" in err, err)


@case
def fields_that_need_a_question_are_answered(t):
    xe, x, vm = Shell(t), t.x, t.running_vm(nic=True, disk=True)
    uuid = x.VM.get_uuid(vm)
    vif, vbd = x.VIF.get_uuid(x.VM.get_VIFs(vm)[0]), x.VBD.get_uuid(x.VM.get_VBDs(vm)[0])

    def get(noun, one, name):
        return xe(f"{noun}-param-get", f"uuid={one}", f"param-name={name}")
    if not t.qemu:  # whose interface may have no device that counts, where the host's network is simulated
        t.eventually(lambda: re.fullmatch(r"[0-9.]+", get("vif", vif, "io_read_kbs")), "traffic is measured")
    t.eventually(lambda: re.fullmatch(r"[0-9.]+", get("vbd", vbd, "io_write_kbs")), "disks are measured")
    t.eventually(lambda: re.match(r"0: [0-9.]+", get("vm", uuid, "VCPUs-utilisation")), "CPUs are measured")
    t.equal(get("vbd", vbd, "attachable"), "true")
    t.equal((get("vm", uuid, "cooperative"), get("vm", uuid, "nested-virt")), ("true", "false"))
    t.equal(xe("vm-list", f"uuid={uuid}", "params=cooperative", "--minimal"), "<expensive field>")
    cpu = xe("host-cpu-list", "number=0", "params=uuid", "--minimal")
    t.eventually(lambda: re.fullmatch(r"[0-9.]+", get("host-cpu", cpu, "utilisation")), "the host's as well")
    host, pool = x.host.get_uuid(t.the_host()), x.pool.get_uuid(t.pool())
    t.check(int(get("host", host, "memory-free-computed")) > 0, "bytes")
    t.equal(get("host", host, "control-domain-uuid"), x.VM.get_uuid(x.host.get_control_domain(t.the_host())))
    t.check(uuid in get("host", host, "resident-vms"), "it is there")
    t.equal(get("pool", pool, "supported-sr-types").split("; "), x.SR.get_supported_types())
    t.check("edition: " in get("pool", pool, "license-state"), "a map")
    t.equal(get("pool", pool, "https-only"), "false")
    cd = t.vbd(vm, NULL, "3", "RO", "CD")
    t.equal(xe("vbd-list", f"uuid={x.VBD.get_uuid(cd)}", "params=vdi-name-label", "--minimal"), "<EMPTY>")
    xe("vm-param-set", f"uuid={uuid}", "other-config-old=spelling")
    t.equal(x.VM.get_other_config(vm)["old"], "spelling")
    t.equal(xe("vm-list", "other-config-old=spelling", "--force", "--minimal"), uuid)
    t.x.VM.hard_shutdown(vm)
    t.equal(get("vif", vif, "io_read_kbs"), "<unknown>")


@case
def xe_keeps_certificates_of_others(t):
    xe, x, d = Shell(t), t.x, t.host.folder
    pair(t, "authority-by-xe")
    xe("pool-certificate-install", f"filename={d}/authority-by-xe.crt")
    t.check("authority-by-xe.crt" in xe("pool-certificate-list").split(), "it is kept under its file's name")
    xe.fails("CERTIFICATE_ALREADY_EXISTS", "pool-certificate-install", f"filename={d}/authority-by-xe.crt")
    xe("pool-certificate-uninstall", "name=authority-by-xe.crt")
    t.check("authority-by-xe.crt" not in x.pool.certificate_list(), "and gone")
    (d / "xe-index.txt").write_text("")
    (d / "xe-ca.cnf").write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={d}/xe-index.txt\ndefault_md=sha256\n"
                                 "default_crl_days=30\n")
    (d / "gone.crl").write_text(openssl("ca", "-gencrl", "-config", str(d / "xe-ca.cnf"), "-cert",
                                        str(d / "authority-by-xe.crt"), "-keyfile", str(d / "authority-by-xe.key")))
    xe("pool-crl-install", f"filename={d}/gone.crl", "name=gone")
    t.check("gone" in xe("pool-crl-list").split(), "a list of revoked ones")
    xe("pool-crl-uninstall", "name=gone")
    t.check("gone" not in x.pool.crl_list(), "and gone")
    xe.fails("CRL_CORRUPT", "pool-crl-install", f"filename={d}/xe-ca.cnf", "name=bad")


@case
def xe_shows_and_ends_the_sessions_of_subjects(t):
    xe = Shell(t)
    subjects(t)
    for verb in ("session-subject-identifier-logout", "session-subject-identifier-logout-all"):
        y = t.client("t-read-only", PASSWORD["t-read-only"])
        out = xe("session-subject-identifier-list")
        t.check(re.search(r"^subject-identifier \( RO\) +: u:t-read-only$", out, re.M), out)
        t.check("u:t-read-only" in xe("session-subject-identifier-list", "--minimal").split(","), "alone, too")
        xe(verb, *(["subject-identifier=u:t-read-only"] if verb.endswith("logout") else []))
        t.fails("SESSION_INVALID", y.pool.get_all)


@case
def secrets_need_not_stand_in_arguments(t):
    xe, x = Shell(t), t.x

    def value(uuid):
        return x.secret.get_value(x.secret.get_by_uuid(uuid))
    (xe.home / "value").write_text("two\nlines\n")
    t.equal(value(xe("secret-create", f"value-file={xe.home}/value", "other-config:a=b")), "two\nlines")
    t.equal(value(xe("secret-create", "value-file=-", data=b"piped")), "piped")
    t.equal(value(xe("secret-create", data=b"a line\nmore\n")), "a line")
    t.equal(value(xe("secret-create", "value=seen")), "seen")
    xe.fails("not both", "secret-create", "value=a", "value-file=b")
    xe.fails("nothing was given", "secret-create")
    ours, theirs = pty.openpty()
    p = subprocess.Popen([xe.program, "secret-create"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=xe.env)
    shown = b""
    for prompt in (b"Value: ", b"again: "):
        while prompt not in shown:
            t.check(select.select([ours], [], [], 20)[0], f"it asks: {shown}")
            shown += os.read(ours, 1024)
        os.write(ours, b"geheim\n")
    out = p.communicate(timeout=20)[0].decode().strip()
    t.equal(value(out), "geheim")
    t.check(b"geheim" not in shown, shown)
    os.close(theirs)
    os.close(ours)


@case
def a_disk_is_copied_into_another(t):
    xe, x = Shell(t), t.x
    data = os.urandom(MIB)
    (xe.home / "in").write_bytes(data)
    one, two = (x.VDI.get_uuid(t.vdi(MIB)) for _ in range(2))
    xe("vdi-import", f"uuid={one}", f"filename={xe.home}/in")
    t.equal(xe("vdi-copy", f"uuid={one}", f"into-vdi-uuid={two}"), two)
    xe("vdi-export", f"uuid={two}", f"filename={xe.home}/out")
    t.check((xe.home / "out").read_bytes() == data, "the same bytes")
    xe.fails("NOT_IMPLEMENTED", "vdi-copy", f"uuid={one}", f"into-vdi-uuid={two}", f"base-vdi-uuid={one}")
