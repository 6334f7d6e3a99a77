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
