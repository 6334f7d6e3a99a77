"""What is there at first, and the implicit messages."""
import model
from bench import MIB, NULL, Failure, case, server_case


@case
def a_fresh_host_has_its_pool_host_networks_and_storage(t):
    x = t.x
    pools, hosts = x.pool.get_all_records(), x.host.get_all_records()
    t.equal((len(pools), len(hosts)), (1, 1))
    (pool,), (host,) = pools.values(), hosts.values()
    t.equal(pool["master"], next(iter(hosts)))
    t.check(host["enabled"] and host["software_version"]["platform_version"] and host["software_version"]["product_brand"], host)
    t.check(int(host["cpu_info"]["cpu_count"]) > 0 and host["cpu_info"]["socket_count"], host["cpu_info"])
    t.equal((host["API_version_major"], host["API_version_minor"]), tuple(model.load()["api_version"]))
    metrics = x.host_metrics.get_record(host["metrics"])
    t.check(metrics["live"] and int(metrics["memory_total"]) > int(metrics["memory_free"]) > 0, metrics)
    srs = x.SR.get_all_records()
    t.check({"dir", "iso"} <= {s["type"] for s in srs.values()}, [s["type"] for s in srs.values()])
    for s in srs.values():
        for p in s["PBDs"]:
            t.check(x.PBD.get_currently_attached(p), f"{s['name_label']} is plugged")
    t.check(pool["default_SR"] in srs, "the default SR is one")
    t.check(x.network.get_all(), "there is a network")
    t.check({"dir", "iso"} <= {s["type"] for s in x.SM.get_all_records().values()}, "SM records")
    control = [r for r in x.VM.get_all_records().values() if r["is_control_domain"]]
    t.check(all(r["power_state"] == "Running" for r in control), "the control domain runs")


@server_case
def default_templates_are_those_of_the_table(t):
    templates = [r for r in t.x.VM.get_all_records().values() if r["is_default_template"]]
    t.check(len(templates) >= 40, f"{len(templates)} templates")
    by_name = {r["name_label"]: r for r in templates}
    debian = by_name["Debian Bookworm 12"]
    t.equal((debian["uuid"], debian["reference_label"], debian["HVM_boot_params"]["firmware"]),
            ("07d91aaa-43f7-430a-bf84-0edb6714df0f", "debian-12", "uefi"))
    t.equal((debian["memory_static_min"], debian["memory_static_max"]), (1 << 30, 2 << 30))
    t.check("<provision>" in debian["other_config"]["disks"] and debian["other_config"]["default_template"] == "true", debian["other_config"])
    other = by_name["Other install media"]
    t.equal(other["VCPUs_max"], 1)
    for r in templates:
        t.check(r["is_a_template"] and r["power_state"] == "Halted", r["name_label"])
    t.fails("VM_IS_TEMPLATE", t.x.VM.destroy, t.template())
    t.fails("VM_IS_TEMPLATE", t.x.VM.start, t.template(), False, False)


@case
def records_have_every_field_of_the_model_with_its_type(t):
    removed = {c["name"] for c in model.load()["classes"] if c.get("state") == "removed"}
    for cls in set(model.load()["get_all_classes"]) - removed:
        for ref, record in t.x.call(f"{cls}.get_all_records").items():
            t.equal(sorted(record), sorted(model.fields(cls)), f"fields of {cls}")
            for name, kind in model.fields(cls).items():
                v = record[name]
                good = {"int": lambda: isinstance(v, int), "bool": lambda: isinstance(v, bool), "float": lambda: isinstance(v, float)
                        }.get(kind, lambda: isinstance(v, list if kind.startswith("set(") else dict if kind.startswith("map(") or
                                                      kind.startswith("record") else (str, list) if kind.startswith("option") else str))
                t.check(good(), f"{cls}.{name} ({kind}) = {v!r} of {ref}")


@server_case
def plain_fields_can_be_written_and_read_back(t):
    vm = t.vm()
    x = t.x
    for name, value in [("name_label", "a <b> & \"c\" ü"), ("name_description", "two\nlines"), ("is_a_template", False),
                        ("user_version", 2**40), ("actions_after_reboot", "destroy"), ("PV_args", "console=ttyS0"),
                        ("tags", ["a", "b"]), ("VCPUs_params", {"weight": "512"}), ("recommendations", "")]:
        x.call(f"VM.set_{name}", vm, value)
        t.equal(x.call(f"VM.get_{name}", vm), value, name)


@server_case
def maps_and_sets_follow_their_rules(t):
    vm, x = t.vm(), t.x
    x.VM.set_other_config(vm, {})
    x.VM.add_to_other_config(vm, "k", "1")
    p = t.fails("MAP_DUPLICATE_KEY", x.VM.add_to_other_config, vm, "k", "2")
    t.equal((p[0], p[1], p[3]), ("VM", "other_config", "k"))
    t.equal(x.VM.get_other_config(vm).get("k"), "1")
    x.VM.remove_from_other_config(vm, "k")
    x.VM.remove_from_other_config(vm, "k")
    t.check("k" not in x.VM.get_other_config(vm), "the key is gone, twice over")
    x.VM.set_other_config(vm, {"a": "1", "b": "2"})
    t.effect("VM.set_other_config", x.VM.get_other_config(vm) == {"a": "1", "b": "2"})
    t.fails("HANDLE_INVALID", x.VM.set_other_config, NULL, {})
    x.VM.remove_from_other_config(vm, "a")
    t.effect("VM.remove_from_other_config", x.VM.get_other_config(vm) == {"b": "2"})
    t.fails("HANDLE_INVALID", x.VM.remove_from_other_config, NULL, "a")
    x.VM.add_to_other_config(vm, "c", "3")
    t.effect("VM.add_to_other_config", x.VM.get_other_config(vm) == {"b": "2", "c": "3"})
    t.fails("HANDLE_INVALID", x.VM.add_to_other_config, NULL, "a", "b")
    x.VM.set_tags(vm, [])
    x.VM.add_tags(vm, "t")
    x.VM.add_tags(vm, "t")
    t.equal(x.VM.get_tags(vm), ["t"])
    x.VM.remove_tags(vm, "t")
    x.VM.remove_tags(vm, "t")
    t.equal(x.VM.get_tags(vm), [])
    x.VM.add_to_other_config(vm, "", "empty key")
    t.equal(x.VM.get_other_config(vm)[""], "empty key")


@server_case
def lookups_by_uuid_and_label_find_what_they_should(t):
    vm, x = t.vm("only one of that name"), t.x
    uuid = x.VM.get_uuid(vm)
    t.equal(x.VM.get_by_uuid(uuid), vm)
    t.equal(x.VM.get_by_name_label("only one of that name"), [vm])
    t.equal(x.VM.get_by_name_label("only one of that nam"), [])
    t.equal(t.fails("UUID_INVALID", x.VM.get_by_uuid, "nonsense")[0], "VM")
    x.VM.set_name_label(vm, "renamed")
    t.equal(x.VM.get_by_name_label("only one of that name"), [])
    t.check(vm in x.VM.get_by_name_label("renamed"), "found by its new name")


@server_case
def queries_follow_the_grammar(t):
    x = t.x
    vm = t.vm("queried")
    uuid = x.VM.get_uuid(vm)

    def q(expr):
        return x.VM.get_all_records_where(expr)
    t.equal(list(q(f'field "uuid"="{uuid}"')), [vm])
    t.equal(list(q('field "name__label"="queried"')), [vm])
    t.equal(q("true").keys(), set(x.VM.get_all()))
    t.equal(q("false"), {})
    t.equal(q('not false').keys(), set(x.VM.get_all()))
    t.check(vm in q('field "is_a_template"="false" and field "power_state"="Halted"'), "two terms")
    # The same rank, grouped to the left: (true or false) and false.
    t.equal(q('true or false and false'), {})
    # not binds looser than both: not (false and true).
    t.equal(q('not false and true').keys(), set(x.VM.get_all()))
    t.equal(q('not true or true'), {})
    t.equal(q('(not true) or true').keys(), set(x.VM.get_all()))
    t.equal(set(x.VM.get_all_where(f'\n\t"{uuid}" = field "uuid"')), {vm})
    for bad in ("", "field", 'field "no_such_field"="x"', '"a', "true and", "(true", "TRUE", 'true true', "(" * 5000):
        t.fails(("INVALID_VALUE", "INTERNAL_ERROR"), x.VM.get_all_records_where, bad)


@case
def relations_are_seen_from_both_sides(t):
    x, vm = t.x, t.vm(disk=True, nic=True)
    (vbd,), (vif,) = x.VM.get_VBDs(vm), x.VM.get_VIFs(vm)
    vdi = x.VBD.get_VDI(vbd)
    t.equal(x.VBD.get_VM(vbd), vm)
    t.equal(x.VDI.get_VBDs(vdi), [vbd])
    t.check(vdi in x.SR.get_VDIs(x.VDI.get_SR(vdi)), "the SR knows its VDI")
    t.check(vif in x.network.get_VIFs(x.VIF.get_network(vif)), "the network knows its VIF")
    x.VBD.destroy(vbd)
    t.equal((x.VM.get_VBDs(vm), x.VDI.get_VBDs(vdi)), ([], []))
    t.fails("HANDLE_INVALID", x.VBD.get_VM, vbd)
    x.VDI.destroy(vdi)
    t.check(vdi not in x.SR.get_VDIs(t.sr()), "gone from its SR")


@server_case
def generic_create_and_destroy_work_where_the_model_says_so(t):
    x = t.x
    secret = x.secret.create({"value": "hush", "other_config": {}})
    t.equal(x.secret.get_value(secret), "hush")
    x.secret.destroy(secret)
    t.fails("HANDLE_INVALID", x.secret.get_value, secret)
    other = x.secret.introduce("01234567-89ab-cdef-0123-456789abcdef", "told", {"a": "b"})
    t.effect("secret.introduce", x.secret.get_record(other) ==
             {"uuid": "01234567-89ab-cdef-0123-456789abcdef", "value": "told", "other_config": {"a": "b"}})
    t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.secret.introduce)
    x.secret.destroy(other)
    appliance = x.VM_appliance.create({"name_label": "a", "name_description": "b"})
    t.equal((x.VM_appliance.get_by_name_label("a"), x.VM_appliance.get_VMs(appliance)), ([appliance], []))
    x.VM_appliance.destroy(appliance)
    t.equal(x.VM_appliance.get_all(), [])


@case
def a_vm_can_be_created_from_a_record(t):
    x = t.x
    record = x.VM.get_record(t.template())
    keep = {k: v for k, v in record.items()}
    keep.update(name_label="from a record", is_a_template=False, other_config={}, affinity=NULL)
    vm = x.VM.create(keep)
    t.adopt(vm)
    r = x.VM.get_record(vm)
    t.equal((r["name_label"], r["power_state"], r["memory_static_max"]), ("from a record", "Halted", record["memory_static_max"]))
    t.check(r["other_config"].get("mac_seed"), "a MAC seed was added")
    t.check(r["uuid"] != record["uuid"], "a uuid of its own")


@server_case
def messages_are_kept_found_and_told(t):
    x = t.x
    vm = t.vm()
    uuid = x.VM.get_uuid(vm)
    m = x.message.create("TEST_MESSAGE", 3, "VM", uuid, "the body")
    r = x.message.get_record(m)
    t.effect("message.create", (r["name"], r["cls"], r["obj_uuid"], r["body"], int(r["priority"])) == ("TEST_MESSAGE", "VM", uuid, "the body", 3), r)
    t.fails(("UUID_INVALID", "HANDLE_INVALID", "INVALID_VALUE", "INTERNAL_ERROR"), x.message.create, "X", 3, "no class", uuid, "b")
    t.fails("UUID_INVALID", x.message.create, "X", 3, "VM", "no-uuid", "b")
    t.proven("message.get_record", x.message.get_all_records()[m] == r)
    t.fails("HANDLE_INVALID", x.message.get_record, "OpaqueRef:no")
    t.proven("message.get_all", m in x.message.get_all() and set(x.message.get_all()) == set(x.message.get_all_records()))
    t.proven("message.get_all_records", x.message.get_all_records()[m]["uuid"] == r["uuid"])
    t.proven("message.get_by_uuid", x.message.get_by_uuid(r["uuid"]) == m)
    t.fails("UUID_INVALID", x.message.get_by_uuid, "no")
    t.proven("message.get", list(x.message.get("VM", uuid, "19700101T00:00:00Z")) == [m])
    t.fails(("INTERNAL_ERROR", "INVALID_VALUE", "MESSAGE_PARAMETER_COUNT_MISMATCH"), x.message.get, "VM", uuid)
    t.proven("message.get_since", m in x.message.get_since("19700101T00:00:00Z") and m not in x.message.get_since("29700101T00:00:00Z"))
    t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.message.get_since)
    t.proven("message.get_all_records_where", m in x.message.get_all_records_where("true"))
    t.fails(("INVALID_VALUE", "INTERNAL_ERROR", "MESSAGE_PARAMETER_COUNT_MISMATCH"), x.message.get_all_records_where)
    for method in ("message.get_all", "message.get_all_records"):
        t.fails("SESSION_INVALID", t.bare().call, method)
    x.message.destroy(m)
    t.effect("message.destroy", m not in x.message.get_all())
    t.fails("HANDLE_INVALID", x.message.destroy, m)
    two = [x.message.create("TEST", 5, "VM", uuid, str(i)) for i in range(2)]
    x.message.destroy_many(two)
    t.effect("message.destroy_many", not set(two) & set(x.message.get_all()))
    t.fails("HANDLE_INVALID", x.message.destroy_many, ["OpaqueRef:no"])


@case
def the_host_tells_its_time_and_memory(t):
    import time
    x, h = t.x, t.the_host()
    stamp = time.strftime("%Y%m%dT%H:%M", time.gmtime())
    before = x.host.get_servertime(h)
    t.proven("host.get_servertime", before[:11] == stamp[:11] and before <= x.host.get_servertime(h), before)
    t.proven("host.get_server_localtime", len(x.host.get_server_localtime(h)) >= len("20260131T09:05:00"))
    free = x.host.compute_free_memory(h)
    total = x.host_metrics.get_memory_total(x.host.get_metrics(h))
    t.proven("host.compute_free_memory", 0 < free <= total, (free, total))
    t.proven("host.compute_memory_overhead", 0 <= x.host.compute_memory_overhead(h) < total)
    pif = x.host.get_management_interface(h)
    if pif != NULL:
        t.proven("host.get_management_interface", x.PIF.get_management(pif) and x.PIF.get_host(pif) == h)
    for m in ("get_servertime", "get_server_localtime", "compute_free_memory", "compute_memory_overhead", "get_management_interface"):
        t.fails("HANDLE_INVALID", getattr(x.host, m), "OpaqueRef:no")
    t.proven("host.is_in_emergency_mode", x.host.is_in_emergency_mode() is False and x.host.get_enabled(h) in (True, False))
    t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.host.is_in_emergency_mode, 1)


@case
def a_disabled_host_starts_nothing(t):
    x, h, vm = t.x, t.the_host(), t.vm()
    t.on_end(t._quiet, "host.enable", h)
    x.host.disable(h)
    t.effect("host.disable", x.host.get_enabled(h) is False)
    t.fails(("HOST_DISABLED", "NO_HOSTS_AVAILABLE"), x.VM.start, vm, False, False)
    t.fails("HOST_DISABLED", x.VM.assert_can_boot_here, vm, h)
    t.equal(x.VM.get_possible_hosts(vm), [])
    x.host.enable(h)
    t.effect("host.enable", x.host.get_enabled(h) is True)
    x.VM.assert_can_boot_here(vm, h)
    t.proven("VM.assert_can_boot_here", x.VM.get_possible_hosts(vm) == [h])
    t.proven("VM.get_possible_hosts", x.VM.get_power_state(vm) == "Halted")
    for m in ("disable", "enable"):
        t.fails("HANDLE_INVALID", getattr(x.host, m), "OpaqueRef:no")
    t.fails("HANDLE_INVALID", x.VM.get_possible_hosts, NULL)


@server_case
def the_pool_knows_its_licence_and_syncs_its_database(t):
    x, p = t.x, t.pool()
    r = x.pool.get_license_state(p)
    t.proven("pool.get_license_state", "edition" in r and x.pool.get_uuid(p), r)
    t.fails("HANDLE_INVALID", x.pool.get_license_state, "OpaqueRef:no")
    x.pool.sync_database()
    t.effect("pool.sync_database", x.pool.get_all() == [p])
    t.fails("SESSION_INVALID", t.bare().pool.sync_database)
    x.pool.set_name_label(p, "the pool")
    t.equal(x.pool.get_name_label(p), "the pool")


@case
def networks_have_purposes_and_go_when_unused(t):
    x = t.x
    n = x.network.create({"name_label": "private", "name_description": "", "MTU": 1500, "other_config": {}, "bridge": "", "managed": True, "tags": []})
    x.network.add_purpose(n, "nbd")
    t.effect("network.add_purpose", x.network.get_purpose(n) == ["nbd"])
    other = x.network.create({"name_label": "other", "name_description": "", "MTU": 1500, "other_config": {}, "bridge": "", "managed": True, "tags": []})
    t.fails("NETWORK_INCOMPATIBLE_PURPOSES", x.network.add_purpose, other, "insecure_nbd")
    x.network.remove_purpose(n, "nbd")
    t.effect("network.remove_purpose", x.network.get_purpose(n) == [])
    t.fails("HANDLE_INVALID", x.network.remove_purpose, "OpaqueRef:no", "nbd")
    vm = t.vm()
    vif = t.vif(vm, n)
    x.VM.start(vm, False, False)
    t.fails("NETWORK_CONTAINS_VIF", x.network.destroy, n)
    x.VM.hard_shutdown(vm)
    x.VIF.destroy(vif)
    x.network.destroy(n)
    x.network.destroy(other)
    t.check(n not in x.network.get_all(), "gone")


@case
def physical_interfaces_are_scanned_and_forgotten(t):
    x, h = t.x, t.the_host()
    x.PIF.scan(h)
    pifs = x.PIF.get_all_records()
    t.effect("PIF.scan", len({r["device"] for r in pifs.values()}) == len(pifs) and x.host.get_PIFs(h) is not None)
    t.fails("HANDLE_INVALID", x.PIF.scan, "OpaqueRef:no")
    free = [ref for ref, r in pifs.items() if not r["management"] and r["physical"]]
    t.fails("HANDLE_INVALID", x.PIF.forget, "OpaqueRef:no")
    t.fails("HANDLE_INVALID", x.PIF.set_disallow_unplug, "OpaqueRef:no", True)
    if pifs:
        ref = free[0] if free else next(iter(pifs))
        x.PIF.set_disallow_unplug(ref, True)
        t.effect("PIF.set_disallow_unplug", x.PIF.get_disallow_unplug(ref) is True)
        x.PIF.set_disallow_unplug(ref, False)
    if free:
        x.PIF.forget(free[0])
        t.effect("PIF.forget", free[0] not in x.PIF.get_all())
        x.PIF.scan(h)


@server_case
def removed_messages_say_so(t):
    t.fails("MESSAGE_REMOVED", t.x.VMPP.get_all)
    t.fails("SESSION_INVALID", t.bare().VMPP.get_all)


@server_case
def async_of_what_has_no_async_form_is_a_fault(t):
    t.fails("Fault", t.x.Async.VM.get_uuid, t.template())
