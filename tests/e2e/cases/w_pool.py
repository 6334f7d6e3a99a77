"""What concerns the pool as a whole: alerts, the audit log, its settings."""
import os
import signal
from xml.etree import ElementTree

from accounts import PASSWORD
from bench import NULL, Watcher, case, server_case
from cases_shared import make_subjects

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
    t.adopt(copy)
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


def audit(t, **query):
    status, headers, body = t.x.handler("GET", "/audit_log", query)
    t.equal(status, 200, "GET /audit_log")
    return body.decode().splitlines()


@case
def every_change_is_in_the_audit_log_with_who_where_and_how_it_ended_and_without_secrets(t):
    x, vm = t.x, t.vm()
    uuid = x.VM.get_uuid(vm)
    x.VM.set_name_description(vm, "it's\na 'quote'")
    t.fails("VM_BAD_POWER_STATE", x.VM.pause, vm)
    x.wait(x.Async.VM.start(vm, False, False))
    x.VM.hard_shutdown(vm)
    x.VM.get_record(vm)
    secret = x.secret.create({"value": "sesame-one", "other_config": {}})
    x.secret.set_value(secret, "sesame-two")
    x.secret.destroy(secret)
    t.fails("SR_UNKNOWN_DRIVER", x.SR.create, t.the_host(), {"password": "sesame-three", "server": "s1"}, 0, "x", "", "none", "", False, {})
    make_subjects(t)
    reader = t.client("t-read-only", PASSWORD["t-read-only"])
    t.fails("RBAC_PERMISSION_DENIED", reader.VM.start, vm, False, False)
    lines = audit(t)
    mine = [line for line in lines if uuid in line]

    def of(call, among=mine):
        return [line for line in among if f"'API' '{call}'" in line]
    t.equal([len(of(c)) for c in ("VM.set_name_description", "VM.pause", "VM.start", "VM.hard_shutdown")], [1, 1, 2, 1])
    t.check(r"'it\'s\x0aa \'quote\''" in of("VM.set_name_description")[0], of("VM.set_name_description"))
    t.check("'ALLOWED' 'ERROR:VM_BAD_POWER_STATE'" in of("VM.pause")[0], of("VM.pause"))
    started, refused = of("VM.start")
    t.check("'ALLOWED' 'OK'" in started and "OpaqueRef:" in started.split("|")[4], "an asynchronous one with its task, " + started)
    t.check("'DENIED'" in refused and "'u:t-read-only' 't-read-only'" in refused, refused)
    t.check(t.host.listen in started.split("|")[3] and "'LOCAL_SUPERUSER'" in started, started)
    t.check(x.session_ref not in "\n".join(lines), "sessions are not told")
    t.equal(of("VM.get_record"), [], "reading is no change")
    t.equal(of("VM.get_record", lines), [])
    t.check(of("secret.create", lines) and of("secret.set_value", lines), "secrets are made and changed")
    t.check("'server' 's1'" in of("SR.create", lines)[-1], of("SR.create", lines))
    t.check("sesame" not in "\n".join(lines), "what they are is not told")
    logins = of("session.login_with_password", lines)
    t.check(any("'uname' 't-read-only'" in line for line in logins) and PASSWORD["t-read-only"] not in "\n".join(lines), "who came, without the word")
    since = started[1:18]
    t.equal([line for line in audit(t, since=since + "Z") if uuid in line and "'VM.start'" in line], of("VM.start"))
    t.equal(audit(t, since="20990101T00:00:00Z"), [])
    t.equal(x.handler("GET", "/audit_log", {"since": "yesterday"})[0], 400)


@server_case(own_host=True)
def the_audit_log_outlives_its_process(t):
    t.x.pool.set_name_description(t.pool(), "before")
    pid = t.host.daemon_pids()["core"]
    os.kill(pid, signal.SIGKILL)
    t.eventually(lambda: t.host.daemon_pids().get("core") not in (None, pid), "core runs again")
    t.eventually(lambda: "'before'" in "\n".join(audit(t)), "the line is there")


@server_case
def a_figure_across_its_threshold_raises_an_alarm(t):
    x, vm = t.x, t.running_vm()
    uuid, h = x.VM.get_uuid(vm), t.the_host()

    def config(name, level, sense):
        return (f'<config><variable><name value="{name}"/><alarm_trigger_level value="{level}"/><alarm_trigger_sense value="{sense}"/>'
                '<alarm_trigger_period value="1"/><alarm_auto_inhibit_period value="3600"/></variable></config>')
    x.VM.add_to_other_config(vm, "perfmon", config("memory", 1, "high"))
    x.host.add_to_other_config(h, "perfmon", config("mem_usage", 2, "low"))
    t.on_end(x.host.remove_from_other_config, h, "perfmon")
    host = x.host.get_uuid(h)

    def alarms(cls, of):
        return [m for m in x.message.get(cls, of, EPOCH).values() if m["name"] == "ALARM"]
    t.eventually(lambda: alarms("VM", uuid) and alarms("Host", host), "both alarms")
    (alarm,) = alarms("VM", uuid)
    value, config_line, *lines = alarm["body"].split("\n")
    t.equal((float(value.removeprefix("value: ")), config_line), (float(x.VM_metrics.get_memory_actual(x.VM.get_metrics(vm))), "config:"))
    variable = ElementTree.fromstring("\n".join(lines))
    t.equal((variable.tag, variable.find("name").get("value"), variable.find("alarm_trigger_level").get("value")), ("variable", "memory", "1"))
    t.equal(int(alarm["priority"]), 1)
    (alarm,) = alarms("Host", host)
    t.check(0 < float(alarm["body"].split("\n")[0].removeprefix("value: ")) < 1, alarm)


@case(own_host=True)
def the_database_is_dumped_and_restored(t):
    x = t.x
    vm, later = t.vm("kept"), None
    x.VM.set_name_description(vm, "as it was: <\"it's\" & more>\n\t\\ \u00e9")
    x.VM.add_to_other_config(vm, "a 'key'", "b \\' c")
    runs = t.running_vm("runs")
    status, headers, text = x.handler("GET", "/pool/xmldbdump")
    t.equal(status, 200)
    before = x.VM.get_record(vm)

    x.VM.set_name_description(vm, "changed")
    x.VM.set_tags(vm, ["new"])
    later = x.VM.clone(vm, "made after the dump")
    guests = t.host.guests()
    put = lambda body, **query: x.handler("PUT", "/pool/xmldbdump", query, body, {"Content-Length": str(len(body))}, timeout=120)

    def restore(body, **query):
        task = x.task.create("restore", "")
        status, _, _ = put(body, task_id=task, **query)
        t.equal(status, 200)
        t.eventually(lambda: x.task.get_status(task) != "pending", "the restore ends", timeout=60)
        return x.task.get_status(task), x.task.get_error_info(task)

    # What is no dump changes nothing, and neither does a look at one that is
    for bad in (b"", b"<database>", text[:len(text) // 2], text.replace(b"</database>", b""), b"<!DOCTYPE x>" + text,
                text.replace(b'is_a_template="false"', b'is_a_template="perhaps"')):
        state, why = restore(bad)
        t.equal(state, "failure", (why, bad[:60]))
    state, why = restore(text.replace(b'key="schema_major_vsn" value="', b'key="schema_major_vsn" value="9'))
    t.equal((state, why[0]), ("failure", "RESTORE_INCOMPATIBLE_VERSION"))
    t.equal(restore(text, dry_run="true"), ("success", []))
    t.equal(x.VM.get_name_description(vm), "changed")
    t.equal(x.handler("PUT", "/pool/xmldbdump", {}, iter([text]), {"Transfer-Encoding": "chunked"})[0], 411)
    for method in ("GET", "PUT"):
        t.equal(x.handler(method, "/pool/xmldbdump", {"session_id": "OpaqueRef:none"}, b"", {"Content-Length": "0"})[0], 401)

    core = t.host.daemon_pids()["core"]
    t.equal(restore(text), ("success", []))
    t.eventually(lambda: t.host.daemon_pids().get("core") not in (None, core), "the core starts anew", timeout=60)
    t.eventually(lambda: x.VM.get_record(vm) == before, "the VM is as it was", timeout=60)
    t.check(later not in x.VM.get_all(), "what came after the dump is gone")
    t.equal((t.power(runs), t.host.guests()), ("Running", guests))
    x.VM.hard_shutdown(runs)


@server_case
def settings_of_the_pool_are_made_on_each_host(t):
    x, h, p, running = t.x, t.the_host(), t.pool(), t.host.folder / "machine/running-ssh"
    x.pool.disable_ssh(p)
    t.effect("pool.disable_ssh", x.host.get_ssh_enabled(h) is False and not running.exists())
    x.pool.set_ssh_enabled_timeout(p, 600)
    t.effect("pool.set_ssh_enabled_timeout", x.host.get_ssh_enabled_timeout(h) == 600)
    x.pool.enable_ssh(p)
    t.effect("pool.enable_ssh", running.exists() and x.host.get_ssh_expiry(h) > "2026")
    x.pool.set_ssh_enabled_timeout(p, 0)
    x.pool.set_console_idle_timeout(p, 900)
    t.effect("pool.set_console_idle_timeout", x.host.get_console_idle_timeout(h) == 900)
    x.pool.set_console_idle_timeout(p, 0)
    x.pool.disable_ssl_legacy(p)
    t.effect("pool.disable_ssl_legacy", x.host.get_ssl_legacy(h) is False)
    f = t.host.folder / "machine/etc/runnymede/extensions/Pool.there"
    f.write_text("#!/bin/sh\n")
    f.chmod(0o755)
    t.on_end(f.unlink)
    t.proven("pool.has_extension", (x.pool.has_extension(p, "Pool.there"), x.pool.has_extension(p, "Pool.none")) == (True, False))
    for m in ("set_ssh_enabled_timeout", "set_console_idle_timeout"):
        t.fails("INVALID_VALUE", getattr(x.pool, m), p, -1)
    broken = t.host.folder / "machine/broken"
    broken.write_text("")
    t.on_end(lambda: broken.unlink(missing_ok=True))
    t.equal(t.fails("ENABLE_SSH_PARTIALLY_FAILED", x.pool.enable_ssh, p), [h])
    t.equal(t.fails("DISABLE_SSH_PARTIALLY_FAILED", x.pool.disable_ssh, p), [h])
    broken.unlink()
    x.pool.set_local_auth_max_threads(p, 2)
    t.effect("pool.set_local_auth_max_threads", x.pool.get_local_auth_max_threads(p) == 2 and t.client().host.get_all() == [h])
    t.fails("INVALID_VALUE", x.pool.set_local_auth_max_threads, p, 0)
    x.pool.set_local_auth_max_threads(p, 8)
    for m, args in (("enable_ssh", []), ("disable_ssh", []), ("set_ssh_enabled_timeout", [0]), ("set_console_idle_timeout", [0]),
                    ("set_local_auth_max_threads", [8]),
                    ("disable_ssl_legacy", []), ("set_https_only", [False]), ("has_extension", ["x"])):
        t.fails("HANDLE_INVALID", getattr(x.pool, m), NULL, *args)


@server_case(own_host=True)
def the_pool_closes_plain_http_on_each_host(t):
    x, h = t.x, t.the_host()
    x.pool.set_https_only(t.pool(), True)
    t.effect("pool.set_https_only", t.client(url=t.host.tls_url).host.get_https_only(h) is True)
