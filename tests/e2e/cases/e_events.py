"""The event streams, tokens and counts."""
import re
import threading
import time

from bench import NULL, Watcher, server_case


@server_case
def a_first_event_from_gives_everything_at_once(t):
    x = t.x
    r = x.call("event.from", ["*"], "", 30.0)
    t.proven("event.from", {e["ref"] for e in r["events"] if e["class"] == "vm"} == set(x.VM.get_all()))
    t.check(re.fullmatch(r"\d{20},\d{20}", r["token"]), r["token"])
    t.check(all(e["operation"] == "add" and "snapshot" in e and e["timestamp"] == "0.0" for e in r["events"]), "all are added")
    t.check("session" not in {e["class"] for e in r["events"]}, "no sessions")
    t.fails("EVENT_FROM_TOKEN_PARSE_FAILURE", x.call, "event.from", ["*"], "no token", 0.0)
    snapshot = next(e["snapshot"] for e in r["events"] if e["class"] == "vm" and e["ref"] == t.template())
    t.equal(snapshot, x.VM.get_record(t.template()))


@server_case
def valid_ref_counts_are_exact_and_numbers(t):
    x = t.x
    r = x.call("event.from", ["pool"], "", 0.0)
    for cls in ("VM", "host", "pool", "SR", "VDI", "network", "role", "SM", "PBD"):
        n = r["valid_ref_counts"][cls.lower()]
        t.check(isinstance(n, int), n)
        t.equal(n, len(x.call(f"{cls}.get_all")), cls)
    xml = x.sibling(protocol="xml").call("event.from", ["pool"], "", 0.0)
    t.check(isinstance(xml["valid_ref_counts"]["vm"], int), "an <i4> in XML")
    t.equal(xml["valid_ref_counts"]["vm"], r["valid_ref_counts"]["vm"])


@server_case
def counts_follow_creation_and_destruction(t):
    x = t.x
    n = x.call("event.from", ["vm"], "", 0.0)["valid_ref_counts"]["vm"]
    vm = t.vm()
    t.equal(x.call("event.from", ["vm"], "", 0.0)["valid_ref_counts"]["vm"], n + 1)
    x.VM.destroy(vm)
    t.equal(x.call("event.from", ["vm"], "", 0.0)["valid_ref_counts"]["vm"], n)


@server_case
def adds_mods_and_dels_are_coalesced_per_call(t):
    x = t.x
    token = x.call("event.from", ["vm"], "", 0.0)["token"]
    vm = t.vm()
    r = x.call("event.from", ["vm"], token, 10.0)
    mine = [e for e in r["events"] if e["ref"] == vm]
    t.equal([e["operation"] for e in mine], ["add"], "many changes, one add")
    for i in range(5):
        x.VM.set_name_label(vm, f"name {i}")
    r2 = x.call("event.from", ["vm"], r["token"], 10.0)
    mine = [e for e in r2["events"] if e["ref"] == vm]
    t.equal([(e["operation"], e["snapshot"]["name_label"]) for e in mine], [("mod", "name 4")])
    t.check(r2["token"] > r["token"], "tokens grow")
    x.VM.destroy(vm)
    r3 = x.call("event.from", ["vm"], r2["token"], 10.0)
    mine = [e for e in r3["events"] if e["ref"] == vm]
    t.equal([e["operation"] for e in mine], ["del"])
    t.check("snapshot" not in mine[0], "no snapshot of what is gone")
    r4 = x.call("event.from", ["vm"], token, 10.0)
    t.check(not [e for e in r4["events"] if e["ref"] == vm], "made and destroyed in between: nothing")


@server_case
def a_timeout_gives_no_events_and_a_token_that_works(t):
    x = t.x
    token = x.call("event.from", ["VM_group"], "", 0.0)["token"]
    began = time.monotonic()
    r = x.call("event.from", ["VM_group"], token, 1.0)
    t.check(0.9 < time.monotonic() - began < 3, time.monotonic() - began)
    t.equal(r["events"], [])
    x.call("event.from", ["VM_group"], r["token"], 0.0)


@server_case
def subscriptions_name_classes_in_any_case_and_single_objects(t):
    x, a, b = t.x, t.vm("a"), t.vm("b")
    token = x.call("event.from", [f"VM/{a}"], "", 0.0)["token"]
    x.VM.set_name_label(b, "b2")
    x.VM.set_name_label(a, "a2")
    r = x.call("event.from", [f"vm/{a}"], token, 5.0)
    t.equal([e["ref"] for e in r["events"]], [a])
    t.equal(x.call("event.from", ["no_such_class"], "", 0.0)["events"], [])


@server_case
def an_event_comes_within_a_fraction_of_a_second(t):
    x = t.x
    vm = t.vm()
    token = x.call("event.from", ["vm"], "", 0.0)["token"]
    seen = []

    def wait():
        seen.append((x.sibling().call("event.from", ["vm"], token, 10.0), time.monotonic()))
    w = threading.Thread(target=wait)
    w.start()
    time.sleep(0.3)
    began = time.monotonic()
    x.VM.add_to_other_config(vm, "xo:barrier:1", "1")
    w.join(10)
    t.check(seen and seen[0][1] - began < 0.5, f"{seen and seen[0][1] - began}")


@server_case
def an_injected_event_comes_to_older_tokens(t):
    x, pool = t.x, t.pool()
    token = x.event.inject("pool", pool)
    t.check(re.fullmatch(r"\d+,\d+", token), token)
    r = x.call("event.from", ["pool"], token, 5.0)
    t.effect("event.inject", [e["ref"] for e in r["events"]] == [pool])
    t.fails("HANDLE_INVALID", x.event.inject, "VM", pool)
    t.fails("HANDLE_INVALID", x.event.inject, "pool", "OpaqueRef:no")


@server_case
def changes_of_the_other_side_of_a_relation_are_told(t):
    x, vm = t.x, t.vm()
    token = x.call("event.from", ["vm"], "", 0.0)["token"]
    vbd = t.vbd(vm, t.vdi())
    r = x.call("event.from", [f"vm/{vm}"], token, 5.0)
    t.check([e for e in r["events"] if vbd in e["snapshot"]["VBDs"]], "the VM's derived set changed")


@server_case
def messages_are_events_too(t):
    x = t.x
    token = x.call("event.from", ["message"], "", 0.0)["token"]
    m = x.message.create("TEST", 5, "Pool", x.pool.get_uuid(t.pool()), "x")
    t.on_end(t._quiet, "message.destroy", m)
    r = x.call("event.from", ["message"], token, 5.0)
    t.check([e for e in r["events"] if e["ref"] == m and e["class"] == "message" and e["operation"] == "add"], r["events"])


@server_case
def the_old_interface_still_works(t):
    x = t.client()
    t.fails("SESSION_NOT_REGISTERED", x.event.next)
    x.event.register(["vm"])
    vm = t.vm()
    seen = []
    end = time.monotonic() + 20
    while time.monotonic() < end and vm not in [e["ref"] for e in seen]:
        seen += x.event.next()
    t.proven("event.next", vm in [e["ref"] for e in seen] and vm in x.VM.get_all())
    t.effect("event.register", all(e["class"] == "vm" for e in seen), {e["class"] for e in seen})
    # Every change by itself, with the object as it was then
    x.VM.set_name_description(vm, "first")
    x.VM.set_name_description(vm, "second")
    seen = []
    while time.monotonic() < end and not [e for e in seen if e["snapshot"]["name_description"] == "second"]:
        seen += [e for e in x.event.next() if e["ref"] == vm and "snapshot" in e]
    told = [e["snapshot"]["name_description"] for e in seen if e["snapshot"]["name_description"] in ("first", "second")]
    t.check(told[0] == "first" and told[-1] == "second" and told == sorted(told), told)
    t.proven("event.get_current_id", int(x.event.get_current_id()) >= 0 and x.VM.get_uuid(vm))
    x.event.unregister(["vm"])
    t.fails("SESSION_NOT_REGISTERED", x.event.next)
    t.effect("event.unregister", True)
    for m, args in (("register", [["vm"]]), ("unregister", [["vm"]]), ("get_current_id", [])):
        t.fails("SESSION_INVALID", t.bare().call, f"event.{m}", *args)
    x.logout()


@server_case
def twenty_watchers_see_the_same(t):
    x = t.x
    watchers = [Watcher(x, ["vm"]) for _ in range(20)]
    vm = t.vm("watched by many")
    for w in watchers:
        w.until(lambda w: w.cache["vm"].get(vm, {}).get("name_label") == "watched by many", "the VM")
        w.close()
