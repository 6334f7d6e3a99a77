"""The machine as its administrator uses it: emptying and disabling it, its settings, its programs, its logs."""
from accounts import PASSWORD
from bench import NULL, case
from cases_shared import make_subjects, openssl, pair


@case
def a_host_that_is_alone_can_only_be_evacuated_when_it_is_empty(t):
    x, h, vm = t.x, t.the_host(), t.vm()
    x.host.evacuate(h)
    t.effect("host.evacuate", [v for v in x.host.get_resident_VMs(h) if not x.VM.get_is_control_domain(v)] == [])
    x.host.assert_can_evacuate(h)
    t.proven("host.assert_can_evacuate", x.host.get_vms_which_prevent_evacuation(h) == {})
    x.VM.start(vm, False, False)
    t.equal(t.fails("CANNOT_EVACUATE_HOST", x.host.evacuate, h), [f"NO_HOSTS_AVAILABLE,{vm}"])
    t.fails("CANNOT_EVACUATE_HOST", x.host.assert_can_evacuate, h)
    t.proven("host.get_vms_which_prevent_evacuation",
             x.host.get_vms_which_prevent_evacuation(h) == {vm: ["NO_HOSTS_AVAILABLE", vm]})
    t.equal(t.power(vm), "Running")
    t.fails("INVALID_VALUE", x.host.evacuate, h, NULL, -1)
    t.fails("HANDLE_INVALID", x.host.evacuate, h, "OpaqueRef:no")
    t.fails("HANDLE_INVALID", x.host.get_vms_which_prevent_evacuation, "OpaqueRef:no")
    t.check("evacuate" in x.host.get_allowed_operations(h), "evacuate is listed")


@case
def the_only_host_is_neither_destroyed_nor_declared_dead_nor_powered_on(t):
    x, h = t.x, t.the_host()
    t.equal(t.fails("HOST_IS_LIVE", x.host.destroy, h), [h])
    t.equal(t.fails("HOST_IS_LIVE", x.host.declare_dead, h), [h])
    t.fails("HOST_POWER_ON_MODE_DISABLED", x.host.power_on, h)
    x.host.set_power_on_mode(h, "wake-on-lan", {"mac": "00:16:3e:00:00:01"})
    t.effect("host.set_power_on_mode", x.host.get_power_on_mode(h) == "wake-on-lan"
             and x.host.get_power_on_config(h) == {"mac": "00:16:3e:00:00:01"})
    t.fails("HOST_IS_LIVE", x.host.power_on, h)
    x.host.set_power_on_mode(h, "", {})
    for m, args in (("destroy", []), ("declare_dead", []), ("power_on", []), ("set_power_on_mode", ["", {}])):
        t.fails("HANDLE_INVALID", getattr(x.host, m), "OpaqueRef:no", *args)


@case(own_host=True)
def the_agent_starts_again_with_its_sessions_and_enables_a_host_unless_told_not_to(t):
    x, h = t.x, t.the_host()
    t.fails("HANDLE_INVALID", x.host.restart_agent, "OpaqueRef:no")

    def again():
        before = t.host.daemon_pids()["core"]
        x.host.restart_agent(h)
        t.eventually(lambda: t.host.daemon_pids().get("core", before) != before, "a new core")

    x.host.disable(h)
    again()
    t.effect("host.restart_agent", x.host.get_enabled(h) is True)  # the same session
    x.host.disable(h, False)
    x.host.set_hostname_live(h, "brook")
    x.host.set_timezone(h, "Asia/Kolkata")
    certs = t.host.state / "core/trust/certs"
    ca, _ = pair(t, "kept")
    x.pool.install_ca_certificate("kept", ca)
    (certs / "left-by-a-killed-core").write_text(ca)
    again()
    t.equal(x.host.get_enabled(h), False)
    t.equal((x.host.get_hostname(h), x.host.get_timezone(h)), ("brook", "Asia/Kolkata"))
    t.equal([f.name for f in certs.iterdir()],
            [r["uuid"] for r in x.Certificate.get_all_records().values() if r["name"] == "kept"])
    x.host.enable(h)
    again()
    t.equal(x.host.get_enabled(h), True)
    t.equal(x.host.get_other_config(h).get("host_auto_enable"), None)


@case
def the_agent_tells_what_it_was_asked_by_whom_and_how_long_it_took(t):
    x, h = t.x, t.the_host()

    def count():
        return int(x.host.get_diagnostic_timing_stats(h, True).get("host.get_tags", "0"))

    before = count()
    x.host.get_tags(h)
    t.proven("host.get_diagnostic_timing_stats", count() == before + 1)
    t.check(" s [max " in x.host.get_diagnostic_timing_stats(h)["host.get_tags"], "times")
    agents = x.host.get_tracked_user_agents(h)
    now = x.host.get_servertime(h)
    t.proven("host.get_tracked_user_agents", "" < agents.get("runnymede-tools/1", "") <= now, agents)
    task = x.task.create("a thing to do", "")
    t.proven("host.get_thread_diagnostics", "a thing to do" in x.host.get_thread_diagnostics(h))
    x.task.destroy(task)
    for m in ("get_diagnostic_timing_stats", "get_tracked_user_agents", "get_thread_diagnostics"):
        t.fails("HANDLE_INVALID", getattr(x.host, m), "OpaqueRef:no")
    methods = x.host.list_methods()
    t.proven("host.list_methods", {"VM.start", "VM.get_record", "host.list_methods"} <= set(methods) and "PVS_site.forget" not in methods)
    t.fails("NOT_IMPLEMENTED", x.PVS_site.forget, NULL)
    t.fails("SESSION_INVALID", t.bare().call, "host.list_methods")


@case
def the_agent_knows_its_memory_its_database_and_its_door(t):
    x, h, d = t.x, t.the_host(), t.x.Diagnostics
    before = {k: int(v) for k, v in d.gc_stats(h).items()}
    t.proven("Diagnostics.gc_stats", 0 <= before["live_words"] <= before["heap_words"] and before["resident_words"] > 0, before)
    x.host.get_all_records()
    d.gc_compact(h)
    after = {k: int(v) for k, v in d.gc_stats(h).items()}
    t.effect("Diagnostics.gc_compact", after["resident_words"] <= before["resident_words"] + (1 << 20), (before, after))
    commits = int(d.db_stats()["n"])
    x.host.set_name_description(h, f"written {commits}")
    stats = d.db_stats()
    t.proven("Diagnostics.db_stats", int(stats["n"]) > commits and float(stats["min"]) <= float(stats["avgtime"]) <= float(stats["max"]), stats)

    def asked(method, uri):
        return sum(int(r[0]) for r in d.network_stats(h, {"method": method, "uri": uri, "params": "requests"}))
    n = asked("get", "/rrd_updates")
    x.handler("GET", "/rrd_updates", {"start": "0"})
    t.proven("Diagnostics.network_stats", asked("get", "/rrd_updates") == n + 1)
    (row,) = d.network_stats(h, {"uri": "/RRD_updates"})
    t.equal((row[:2], len(row), row[4]), (["GET", "/rrd_updates"], 5, "0"))
    t.check(0 < int(row[3]) <= int(row[2]), row)
    t.check({"POST"} <= {r[0] for r in d.network_stats(h, {"params": "method"})}, "calls are requests, too")
    for m, args in (("gc_stats", []), ("gc_compact", []), ("network_stats", [{}])):
        t.fails("HANDLE_INVALID", getattr(d, m), NULL, *args)
    make_subjects(t)
    reader = t.client("t-read-only", PASSWORD["t-read-only"])
    t.fails("RBAC_PERMISSION_DENIED", reader.Diagnostics.db_stats)


def told(t):
    return (t.host.folder / "machine/told").read_text().splitlines()


def etc(t, name):
    return (t.host.folder / "machine/etc" / name).read_text()


@case
def the_machine_gets_another_name(t):
    x, h = t.x, t.the_host()
    for bad in ("", "x" * 64, "a b", "-a", "a_b", "a.b"):
        t.fails("HOST_NAME_INVALID", x.host.set_hostname_live, h, bad)
    t.fails("HANDLE_INVALID", x.host.set_hostname_live, NULL, "meadow")
    x.host.set_hostname_live(h, "meadow")
    t.equal(told(t)[-1], "hostnamectl set-hostname meadow")
    t.effect("host.set_hostname_live", x.host.get_hostname(h) == "meadow")


@case
def the_machine_lives_in_a_time_zone_and_its_clock_is_set_only_when_nobody_else_does(t):
    x, h = t.x, t.the_host()
    zones = x.host.list_timezones(h)
    t.check({"UTC", "Europe/London", "Asia/Kolkata"} <= set(zones), "zones")
    t.fails("INVALID_VALUE", x.host.set_timezone, h, "Europe/Runnymede")
    x.host.set_timezone(h, "Asia/Kolkata")
    t.proven("host.list_timezones", x.host.get_timezone(h) in zones)
    utc, local = x.host.get_servertime(h), x.host.get_server_localtime(h)
    minutes = [int(s[9:11]) * 60 + int(s[12:14]) for s in (utc, local)]
    t.effect("host.set_timezone", (minutes[1] - minutes[0]) % 1440 in (330, 331), (utc, local))
    x.host.set_timezone(h, "UTC")
    t.equal(x.host.get_server_localtime(h)[:14], x.host.get_servertime(h)[:14])
    t.equal(t.fails("NOT_ALLOWED_WHEN_NTP_IS_ENABLED", x.host.set_servertime, h, "20260131T09:05:00Z"), [h])
    x.host.set_ntp_mode(h, "Disabled")
    x.host.set_servertime(h, "20260131T09:05:00Z")
    t.effect("host.set_servertime", told(t)[-1] == "timedatectl set-time @1769850300", told(t)[-1])
    x.host.set_ntp_mode(h, "Factory")
    for m, args in (("list_timezones", []), ("set_timezone", ["UTC"]), ("set_servertime", ["20260131T09:05:00Z"])):
        t.fails("HANDLE_INVALID", getattr(x.host, m), NULL, *args)


@case
def the_clock_follows_the_servers_that_it_is_given(t):
    x, h = t.x, t.the_host()
    t.fails("INVALID_NTP_CONFIG", x.host.set_ntp_mode, h, "Custom")
    t.fails("INVALID_NTP_CONFIG", x.host.set_ntp_custom_servers, h, ["time.example", "no good"])
    x.host.set_ntp_custom_servers(h, ["time.example", "192.0.2.7"])
    t.effect("host.set_ntp_custom_servers", x.host.get_ntp_custom_servers(h) == ["time.example", "192.0.2.7"])
    x.host.set_ntp_mode(h, "Custom")
    t.effect("host.set_ntp_mode", x.host.get_ntp_mode(h) == "Custom")
    t.check("NTP=time.example 192.0.2.7\n" in etc(t, "systemd/timesyncd.conf.d/runnymede.conf"), "the file")
    status = x.host.get_ntp_servers_status(h)
    t.proven("host.get_ntp_servers_status", status.get("time.example") == "current"
             and status.get("192.0.2.7") == "not selected", status)
    t.fails("INVALID_NTP_CONFIG", x.host.set_ntp_custom_servers, h, [])
    t.equal(x.host.get_ntp_synchronized(h), True)
    x.host.set_ntp_mode(h, "Disabled")
    t.proven("host.get_ntp_synchronized", x.host.get_ntp_synchronized(h) is False)
    x.host.set_ntp_mode(h, "Factory")
    t.check(not (t.host.folder / "machine/etc/systemd/timesyncd.conf.d/runnymede.conf").exists(), "no file")
    for m, args in (("set_ntp_mode", ["DHCP"]), ("set_ntp_custom_servers", [[]]), ("get_ntp_servers_status", []),
                    ("get_ntp_synchronized", [])):
        t.fails("HANDLE_INVALID", getattr(x.host, m), NULL, *args)


@case
def logs_initiator_name_multipath_and_idle_shells_are_set_on_the_machine(t):
    x, h = t.x, t.the_host()
    x.host.set_logging(h, {"syslog_destination": "logs.example"})
    x.host.syslog_reconfigure(h)
    t.effect("host.syslog_reconfigure", "*.* @logs.example\n" in etc(t, "rsyslog.d/runnymede.conf"))
    x.host.set_logging(h, {"syslog_destination": "no good\n*.* /etc/passwd"})
    t.fails("INVALID_VALUE", x.host.syslog_reconfigure, h)
    x.host.set_logging(h, {})
    x.host.syslog_reconfigure(h)
    t.check(not (t.host.folder / "machine/etc/rsyslog.d/runnymede.conf").exists(), "logs stay here")
    for bad in ("", "iqn.2026", "iqn.2026-01.org.example:UPPER", "iqn.2026-01.org.example:a b", "eui.xyz"):
        t.fails("INVALID_VALUE", x.host.set_iscsi_iqn, h, bad)
    x.host.set_iscsi_iqn(h, "iqn.2026-01.org.example:meadow")
    t.effect("host.set_iscsi_iqn", x.host.get_iscsi_iqn(h) == "iqn.2026-01.org.example:meadow"
             and x.host.get_other_config(h)["iscsi_iqn"] == "iqn.2026-01.org.example:meadow")
    t.check("InitiatorName=iqn.2026-01.org.example:meadow\n" in etc(t, "iscsi/initiatorname.iscsi"), "the file")
    for on in (True, False):
        x.host.set_multipathing(h, on)
        t.effect("host.set_multipathing", x.host.get_multipathing(h) is on)
        t.equal((t.host.folder / "machine/running-multipathd").exists(), on)
    t.fails("INVALID_VALUE", x.host.set_console_idle_timeout, h, -1)
    x.host.set_console_idle_timeout(h, 600)
    t.effect("host.set_console_idle_timeout", x.host.get_console_idle_timeout(h) == 600)
    t.check("TMOUT=600\n" in etc(t, "profile.d/runnymede-console-timeout.sh"), "the file")
    x.host.set_console_idle_timeout(h, 0)
    t.fails("VALUE_NOT_SUPPORTED", x.host.set_ssl_legacy, h, True)
    x.host.set_ssl_legacy(h, False)
    t.effect("host.set_ssl_legacy", x.host.get_ssl_legacy(h) is False)
    t.proven("host.dmesg", "a pretended machine starts" in x.host.dmesg(h) and told(t)[-1].startswith("journalctl -k"))
    for m, args in (("syslog_reconfigure", []), ("set_iscsi_iqn", ["eui.1"]), ("set_multipathing", [True]),
                    ("set_console_idle_timeout", [0]), ("set_ssl_legacy", [False]), ("dmesg", [])):
        t.fails("HANDLE_INVALID", getattr(x.host, m), NULL, *args)


@case
def ssh_is_on_for_good_or_for_a_while(t):
    x, h, running = t.x, t.the_host(), t.host.folder / "machine/running-ssh"
    t.check(x.host.get_ssh_enabled(h) and running.exists(), "it runs at first")
    x.host.disable_ssh(h)
    t.effect("host.disable_ssh", x.host.get_ssh_enabled(h) is False and not running.exists())
    for bad in (-1, 172801):
        t.fails("INVALID_VALUE", x.host.set_ssh_enabled_timeout, h, bad)
    x.host.set_ssh_enabled_timeout(h, 1)
    x.host.enable_ssh(h)
    t.effect("host.enable_ssh", running.exists() and x.host.get_ssh_expiry(h) > "2026")
    t.eventually(lambda: not x.host.get_ssh_enabled(h), "SSH ends")
    t.effect("host.set_ssh_enabled_timeout", not running.exists() and x.host.get_ssh_enabled_timeout(h) == 1)
    x.host.set_ssh_enabled_timeout(h, 0)
    broken = t.host.folder / "machine/broken"
    broken.write_text("")
    t.on_end(lambda: broken.unlink(missing_ok=True))
    t.equal(t.fails("ENABLE_SSH_FAILED", x.host.enable_ssh, h), [h])
    t.equal(t.fails("DISABLE_SSH_FAILED", x.host.disable_ssh, h), [h])
    t.fails("INTERNAL_ERROR", x.host.set_hostname_live, h, "elsewhere")
    broken.unlink()
    x.host.enable_ssh(h)
    t.equal(x.host.get_ssh_expiry(h), "19700101T00:00:00Z")
    t.fails("HANDLE_INVALID", x.host.enable_ssh, NULL)


PLUGIN = '''#!/usr/bin/env python3
import os, sys, xmlrpc.client
(session, args), fn = xmlrpc.client.loads(sys.stdin.read())
assert len(sys.argv) == 1 and session.startswith("OpaqueRef:")
def answer(d): sys.stdout.write(xmlrpc.client.dumps((d,), methodresponse=True))
if fn == "echo": answer({"Status": "Success", "Value": args["text"]})
elif fn == "whoami": answer({"Status": "Success", "Value": str(os.getuid())})
elif fn == "refuse": answer({"Status": "Failure", "ErrorDescription": ["MEADOW_IS_FLOODED", "deep"]})
elif fn == "nonsense": print("hello")
else: sys.stderr.write("no such function"); sys.exit(3)
'''


def install(t, kind, name, text, mode=0o755):
    f = t.host.folder / "machine/etc/runnymede" / kind / name
    f.write_text(text)
    f.chmod(mode)
    return f


@case
def plugins_are_called_with_what_the_caller_says_and_without_rights(t):
    import os
    x, h = t.x, t.the_host()
    f = install(t, "plugins", "meadow", PLUGIN)
    text = "grass & <flowers> ü\n"
    t.effect("host.call_plugin", x.host.call_plugin(h, "meadow", "echo", {"text": text}) == text)
    if os.geteuid() == 0:
        t.check(x.host.call_plugin(h, "meadow", "whoami", {}) != "0", "no rights")
        f.chmod(0o4755)
        t.equal(x.host.call_plugin(h, "meadow", "whoami", {}), "0")
        f.chmod(0o755)
    t.equal(t.fails("MEADOW_IS_FLOODED", x.host.call_plugin, h, "meadow", "refuse", {}), ["deep"])
    t.equal(t.fails("XENAPI_PLUGIN_FAILURE", x.host.call_plugin, h, "meadow", "other", {}),
            ["non-zero exit", "", "no such function"])
    t.equal(t.fails("XENAPI_PLUGIN_FAILURE", x.host.call_plugin, h, "meadow", "nonsense", {})[1], "hello\n")
    for missing in ("brook", "../plugins/meadow", "", ".meadow"):
        t.equal(t.fails("XENAPI_MISSING_PLUGIN", x.host.call_plugin, h, missing, "echo", {}), [missing])
    f.chmod(0o777)
    t.fails("XENAPI_MISSING_PLUGIN", x.host.call_plugin, h, "meadow", "echo", {"text": "anybody wrote me"})
    t.fails("HANDLE_INVALID", x.host.call_plugin, NULL, "meadow", "echo", {})


@case
def extensions_answer_json_with_json(t):
    import json
    x, h = t.x, t.the_host()
    install(t, "extensions", "Meadow.count", """#!/usr/bin/env python3
import json, sys
print(json.dumps({"result": len(json.load(sys.stdin)["params"]), "error": None, "id": 1}))
""")
    install(t, "extensions", "Meadow.fail", "#!/bin/sh\nexit 1\n")
    t.proven("host.has_extension", x.host.has_extension(h, "Meadow.count") is True
             and x.host.has_extension(h, "Meadow.none") is False)
    call = {"method": "Meadow.count", "params": ["a", "b"], "id": 1}
    t.effect("host.call_extension", json.loads(x.host.call_extension(h, json.dumps(call)))["result"] == 2)
    t.fails("EXTENSION_PROTOCOL_FAILURE", x.host.call_extension, h, json.dumps(call | {"method": "Meadow.fail"}))
    t.fails("MESSAGE_METHOD_UNKNOWN", x.host.call_extension, h, json.dumps(call | {"method": "Meadow.none"}))
    t.fails("INVALID_VALUE", x.host.call_extension, h, "not JSON")
    t.fails("HANDLE_INVALID", x.host.has_extension, NULL, "Meadow.count")
    t.fails("HANDLE_INVALID", x.host.call_extension, NULL, json.dumps(call))


def fingerprint(pem, digest="sha256"):
    return openssl("x509", "-noout", "-fingerprint", f"-{digest}", stdin=pem).strip().split("=")[1]


def seen_at_the_door(t):
    import ssl
    return ssl.get_server_certificate((t.host.listen, t.host.https))


def door_row(t):
    rows = [r for r in t.x.Certificate.get_all_records().values() if r["type"] == "host"]
    t.equal(len(rows), 1, "certificates of the door")
    return rows[0]


@case(own_host=True)
def the_door_shows_the_certificate_that_it_is_given_and_nobody_is_cut_off(t):
    x, h = t.x, t.the_host()
    first = door_row(t)
    t.equal((first["host"], first["fingerprint_sha256"]), (h, fingerprint(seen_at_the_door(t))))
    t.equal(first["fingerprint_sha1"], fingerprint(seen_at_the_door(t), "sha1"))
    t.proven("host.get_server_certificate", x.host.get_server_certificate(h).strip() == seen_at_the_door(t).strip())
    kept = t.client(url=t.host.tls_url)
    cert, key = pair(t, "meadow", "-days", "30")
    other, other_key = pair(t, "brook")
    short, short_key = pair(t, "short", key=("rsa:1024",))
    curve, curve_key = pair(t, "curve", key=("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
    old, old_key = pair(t, "old", "-sha1")
    for code, args in (("SERVER_CERTIFICATE_KEY_INVALID", (cert, "no key")),
                       ("SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED", (curve, curve_key)),
                       ("SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED", (short, short_key)),
                       ("SERVER_CERTIFICATE_INVALID", ("no certificate", key)),
                       ("SERVER_CERTIFICATE_KEY_MISMATCH", (cert, other_key)),
                       ("SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED", (old, old_key)),
                       ("SERVER_CERTIFICATE_CHAIN_INVALID", (cert, key, "no chain"))):
        t.fails(code, x.host.install_server_certificate, h, *args)
    t.equal(door_row(t)["uuid"], first["uuid"])
    x.host.install_server_certificate(h, cert, key, other)
    t.effect("host.install_server_certificate", seen_at_the_door(t).strip() == cert.strip()
             and door_row(t)["fingerprint_sha256"] == fingerprint(cert) and door_row(t)["uuid"] != first["uuid"])
    t.equal(kept.host.get_all(), [h])
    import os
    import signal
    for name in ("gate", "core"):
        os.kill(t.host.daemon_pids()[name], signal.SIGKILL)
    x = t.x = t.eventually(lambda: _try(t.client), "the host is back")
    t.equal(seen_at_the_door(t).strip(), cert.strip())
    t.equal(door_row(t)["fingerprint_sha256"], fingerprint(cert))
    x.host.reset_server_certificate(h)
    t.effect("host.reset_server_certificate", fingerprint(seen_at_the_door(t)) == door_row(t)["fingerprint_sha256"]
             and door_row(t)["fingerprint_sha256"] not in (fingerprint(cert), first["fingerprint_sha256"]))
    before = door_row(t)["uuid"]
    x.host.emergency_reset_server_certificate()
    t.effect("host.emergency_reset_server_certificate", door_row(t)["uuid"] != before)
    t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.host.emergency_reset_server_certificate, 1)
    for m, args in (("get_server_certificate", []),
                    ("install_server_certificate", [cert, key]), ("reset_server_certificate", [])):
        t.fails("HANDLE_INVALID", getattr(x.host, m), NULL, *args)
    logs = "".join(f.read_text() for f in (t.host.state / "log").glob("*.log"))
    t.check("PRIVATE KEY" not in logs, "no key in the logs")


def _try(fn):
    try:
        return fn()
    except Exception:  # noqa: BLE001 - the daemons are on their way
        return None


@case(own_host=True)
def plain_http_is_closed_and_opened_again(t):
    import os
    import signal
    x, h = t.client(url=t.host.tls_url), t.the_host()
    t.fails("HANDLE_INVALID", x.host.set_https_only, NULL, True)
    x.host.set_https_only(h, True)
    t.check(_try(t.client) is None, "no way in")
    t.check(_try(lambda: t.x.host.get_all()) is None, "nor for who was in")
    os.kill(t.host.daemon_pids()["gate"], signal.SIGKILL)
    x = t.eventually(lambda: _try(lambda: t.client(url=t.host.tls_url)), "the gate is back")
    t.check(_try(t.client) is None, "still no way in")
    t.effect("host.set_https_only", x.host.get_https_only(h) is True)
    x.host.set_https_only(h, False)
    t.equal(t.client().host.get_https_only(h), False)


@case
def certificates_of_others_and_revocation_lists_are_kept_by_name(t):
    x, p = t.x, t.pool()
    ca, _ = pair(t, "authority")
    other, _ = pair(t, "registry")
    for bad in ("", "../x", ".x", "a b"):
        t.fails("CERTIFICATE_NAME_INVALID", x.pool.install_ca_certificate, bad, ca)
        t.fails("CRL_NAME_INVALID", x.pool.crl_install, bad, ca)
    t.fails("CERTIFICATE_CORRUPT", x.pool.install_ca_certificate, "authority", "nothing")
    x.pool.install_ca_certificate("authority", ca)
    row = next(r for r in x.Certificate.get_all_records().values() if r["name"] == "authority")
    t.effect("pool.install_ca_certificate", (row["type"], row["host"], row["fingerprint_sha256"])
             == ("ca", NULL, fingerprint(ca)))
    t.equal((t.host.state / "core/trust/certs" / row["uuid"]).read_text().strip(), ca.strip())
    t.fails("CERTIFICATE_ALREADY_EXISTS", x.pool.install_ca_certificate, "authority", ca)
    t.fails("CERTIFICATE_ALREADY_EXISTS", x.pool.certificate_install, "authority", ca)
    x.pool.certificate_install("registry", other)
    t.effect("pool.certificate_install", sorted(x.pool.certificate_list()) == ["authority", "registry"])
    t.proven("pool.certificate_list", {r["name"] for r in x.Certificate.get_all_records().values() if r["name"]}
             == set(x.pool.certificate_list()))
    x.pool.certificate_uninstall("registry")
    t.effect("pool.certificate_uninstall", x.pool.certificate_list() == ["authority"])
    x.pool.uninstall_ca_certificate("authority")
    t.effect("pool.uninstall_ca_certificate", x.pool.certificate_list() == []
             and not (t.host.state / "core/trust/certs" / row["uuid"]).exists())
    for m in ("uninstall_ca_certificate", "certificate_uninstall"):
        t.fails("CERTIFICATE_DOES_NOT_EXIST", getattr(x.pool, m), "authority")
    t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.pool.certificate_list, 1)
    t.fails("CERTIFICATE_LACKS_PURPOSE", x.pool.install_trusted_certificate, p, False, ca, [])
    t.fails("TRUSTED_CERTIFICATE_INVALID", x.pool.install_trusted_certificate, p, True, "nothing", ["ldaps"])
    x.pool.install_trusted_certificate(p, False, ca, ["ldaps"])
    ref = next(r for r, v in x.Certificate.get_all_records().items() if v["type"] == "pinned")
    t.effect("pool.install_trusted_certificate", x.Certificate.get_purpose(ref) == ["ldaps"])
    t.fails("TRUSTED_CERTIFICATE_ALREADY_EXISTS", x.pool.install_trusted_certificate, p, True, ca, [])
    shown = next(r for r, v in x.Certificate.get_all_records().items() if v["type"] == "host")
    t.fails("NOT_TRUSTED_CERTIFICATE", x.pool.uninstall_trusted_certificate, p, shown)
    x.pool.uninstall_trusted_certificate(p, ref)
    t.effect("pool.uninstall_trusted_certificate", ref not in x.Certificate.get_all())


@case
def revocation_lists_are_kept(t):
    x, d = t.x, t.host.folder
    pair(t, "revoker")
    (d / "index.txt").write_text("")
    (d / "ca.cnf").write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={d}/index.txt\ndefault_md=sha256\n"
                              "default_crl_days=30\n")
    crl = openssl("ca", "-gencrl", "-config", str(d / "ca.cnf"), "-cert", str(d / "revoker.crt"),
                  "-keyfile", str(d / "revoker.key"))
    t.fails("CRL_CORRUPT", x.pool.crl_install, "revoked", "nothing")
    x.pool.crl_install("revoked", crl)
    t.effect("pool.crl_install", x.pool.crl_list() == ["revoked"])
    t.proven("pool.crl_list", (t.host.state / "core/trust/crls/revoked").read_text() == crl)
    t.fails("CRL_ALREADY_EXISTS", x.pool.crl_install, "revoked", crl)
    x.pool.crl_uninstall("revoked")
    t.effect("pool.crl_uninstall", x.pool.crl_list() == [])
    t.fails("CRL_DOES_NOT_EXIST", x.pool.crl_uninstall, "revoked")
    t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.pool.crl_list, 1)


def members(data, mode="r:*"):
    import io
    import tarfile
    with tarfile.open(fileobj=io.BytesIO(data), mode=mode) as tar:
        return {m.name.removeprefix("status/"): tar.extractfile(m).read() for m in tar.getmembers()}


@case
def a_report_holds_logs_and_state_and_no_secret(t):
    import json
    x, h = t.x, t.the_host()
    x.secret.create({"value": "a-word-for-nobody", "other_config": {}})
    x.host.add_to_other_config(h, "iscsi_password", "a-word-for-nobody")
    t.on_end(lambda: x.host.remove_from_other_config(h, "iscsi_password"))
    capabilities = x.host.get_system_status_capabilities(h)
    auth = []
    status, _, body = x.handler("GET", "/system-status", auth)
    t.equal(status, 200)
    files = members(body)
    for entry in ("xapi", "xenserver-logs", "kernel-info"):
        t.check(f'key="{entry}"' in capabilities, entry)
    t.proven("host.get_system_status_capabilities",
             {"about.txt", "records/host.json", "logs/core.log"} <= set(files), set(files))
    t.fails("HANDLE_INVALID", x.host.get_system_status_capabilities, NULL)
    t.equal(json.loads(files["records/host.json"])[h]["uuid"], x.host.get_uuid(h))
    everything = b"".join(files.values())
    for word in (b"a-word-for-nobody", x.session_ref.encode(), t.host.password.encode()):
        t.check(word not in everything, f"{word} is left out")
    status, _, body = x.handler("GET", "/system-status", [*auth, ("entries", "kernel-info"), ("output", "tar.bz2")])
    names = set(members(body))
    t.check(any(n.startswith("kernel-info/") for n in names) and "logs/core.log" not in names, names)
    for bad in (("entries", "kernel-info,../x"), ("output", "zip")):
        t.equal(x.handler("GET", "/system-status", [*auth, bad])[0], 400)
    t.equal(x.handler("GET", "/system-status", [("session_id", "OpaqueRef:no")])[0], 401)
    status, _, body = x.handler("GET", "/host_logs_download", auth)
    t.check("logs/gate.log" in members(body), "the logs")


@case
def xe_fetches_reports_and_installs_certificates(t):
    import os
    import subprocess
    d = t.host.folder
    env = {"PATH": os.environ["PATH"], "HOME": str(d), "XE_SOCKET": f"{t.host.run}/xapi.sock"}
    cert, _ = pair(t, "street")
    installed = [("host-server-certificate-install", [f"certificate={d}/street.crt", f"private-key={d}/street.key"]),
                 ("pool-install-ca-certificate", [f"filename={d}/street.crt"]),
                 ("host-set-hostname-live", ["host-name=street", f"uuid={t.x.host.get_uuid(t.the_host())}"]),
                 ("pool-uninstall-ca-certificate", ["name=street.crt"])]
    for verb, args in installed:
        r = subprocess.run([t.host.build / "src/cli/xe", verb, *args], capture_output=True, text=True,
                           timeout=60, env=env)
        t.equal((r.returncode, r.stderr), (0, ""), verb)
    t.equal((seen_at_the_door(t).strip(), t.x.host.get_hostname(t.the_host())), (cert.strip(), "street"))
    for verb, more in (("host-get-system-status", ["entries=kernel-info", "output=tar"]), ("host-logs-download", [])):
        file = d / f"{verb}.out"
        r = subprocess.run([t.host.build / "src/cli/xe", verb, f"filename={file}", *more],
                           capture_output=True, text=True, timeout=60, env=env)
        t.equal((r.returncode, r.stderr), (0, r.stderr), verb)
        t.check("about.txt" in members(file.read_bytes()), verb)


@case
def there_is_one_edition_and_no_licence(t):
    x, h = t.x, t.the_host()
    t.equal(t.fails("INVALID_EDITION", x.host.apply_edition, h, "platinum"), ["platinum"])
    x.host.apply_edition(h, "free")
    t.effect("host.apply_edition", x.host.get_edition(h) == "free" and x.host.get_editions(h) == ["free"])
    t.fails("LICENSE_PROCESSING_ERROR", x.host.license_add, h, "bm90IGEgbGljZW5jZQ==")
    x.host.license_remove(h)
    t.effect("host.license_remove", x.host.get_edition(h) == "free")
    for m, args in (("apply_edition", ["free"]), ("license_add", [""]), ("license_remove", [])):
        t.fails("HANDLE_INVALID", getattr(x.host, m), NULL, *args)


@case
def figures_are_written_when_somebody_asks(t):
    x, h = t.x, t.the_host()
    file = t.host.state / "metric" / f"host-{x.host.get_uuid(h)}"
    for delay in (0.0, 0.1):
        before = file.stat().st_mtime_ns if file.exists() else 0
        x.host.backup_rrds(h, delay)
        t.eventually(lambda: file.exists() and file.stat().st_mtime_ns > before, "the file is new")
    t.effect("host.backup_rrds", file.stat().st_size > 0)
    t.fails("INVALID_VALUE", x.host.backup_rrds, h, -1.0)
    t.fails("HANDLE_INVALID", x.host.backup_rrds, NULL, 0.0)
