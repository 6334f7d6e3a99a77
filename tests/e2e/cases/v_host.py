"""The machine as its administrator uses it: emptying and disabling it, its settings, its programs, its logs."""
from bench import NULL, case


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
    again()
    t.equal(x.host.get_enabled(h), False)
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
