"""Uplinks: the host's interfaces, and VLANs of them. What is on the wire then is in net/uplink, run by tools/bed."""
import os
import signal

from bench import case
from cases_shared import Shell, network


def management(t):
    return t.x.host.get_management_interface(t.the_host())


def vlan(t, pif, tag, net):
    ref = t.x.VLAN.create(pif, tag, net)
    t.on_end(t._quiet, "VLAN.destroy", ref)
    return ref


@case
def a_vlan_that_cannot_be_is_refused(t):
    x, pif, net = t.x, management(t), network(t, "vlan")
    before = x.PIF.get_all(), x.VLAN.get_all()
    for tag in (-1, 4095):
        t.equal(t.fails("VLAN_TAG_INVALID", x.VLAN.create, pif, tag, net), [str(tag)])
        t.fails("VLAN_TAG_INVALID", x.pool.create_VLAN_from_PIF, pif, net, tag)
        t.fails("VLAN_TAG_INVALID", x.pool.create_VLAN, x.PIF.get_device(pif), net, tag)
        t.fails("VLAN_TAG_INVALID", x.PIF.create_VLAN, x.PIF.get_device(pif), net, t.the_host(), tag)
    t.fails("PIF_DEVICE_NOT_FOUND", x.PIF.create_VLAN, "eth99", net, t.the_host(), 5)
    t.equal(x.pool.create_VLAN("eth99", net, 5), [], "no host has it")
    t.equal(t.fails("NETWORK_ALREADY_CONNECTED", x.VLAN.create, pif, 5, x.PIF.get_network(pif)), [t.the_host(), pif])
    t.fails("OPERATION_NOT_ALLOWED", x.VLAN.create, pif, 5, x.network.get_by_name_label("Host NAT network")[0])
    theirs = x.network.create({"name_label": "theirs", "bridge": "virbr9", "managed": False, "other_config": {}})
    t.on_end(t._quiet, "network.destroy", theirs)
    t.fails("NETWORK_UNMANAGED", x.VLAN.create, pif, 5, theirs)
    t.fails("HANDLE_INVALID", x.VLAN.create, "OpaqueRef:none", 5, net)
    t.fails("HANDLE_INVALID", x.VLAN.destroy, "OpaqueRef:none")
    t.fails("PIF_IS_PHYSICAL", x.PIF.destroy, pif)
    t.fails("PIF_IS_MANAGEMENT_INTERFACE", x.PIF.unplug, pif)
    t.fails("HANDLE_INVALID", x.PIF.plug, "OpaqueRef:none")
    x.PIF.plug(pif)
    t.effect("PIF.plug", x.PIF.get_currently_attached(pif), "it was already")
    if x.PIF.get_device(pif) == "uplink0":  # user-mode networking has no wire that a tag could be on
        t.fails("PIF_CONFIGURATION_ERROR", x.VLAN.create, pif, 5, net)
    t.equal((x.PIF.get_all(), x.VLAN.get_all()), before, "nothing of it is left")


@case
def a_guest_needs_the_bridge_that_somebody_else_was_to_make(t):
    x, vm = t.x, t.vm()
    theirs = x.network.create({"name_label": "theirs", "bridge": "virbr9", "managed": False, "other_config": {}})
    t.on_end(t._quiet, "network.destroy", theirs)
    vif = t.vif(vm, theirs)
    if x.PIF.get_device(management(t)) == "uplink0" and not (t.host.run / "net/space").exists():
        return  # no network for guests at all
    t.equal(t.fails("BRIDGE_NOT_AVAILABLE", x.VM.start, vm, False, False), ["virbr9"])
    x.VIF.destroy(vif)
    x.VM.start(vm, False, False)
    t.fails("BRIDGE_NOT_AVAILABLE", x.VIF.plug, t.vif(vm, theirs))


@case(on=("sim",))
def a_vlan_of_a_nic_that_may_be_bridged_comes_and_goes(t):
    """On the simulator: the networks of throwaway hosts with QEMU have no NIC."""
    x, pif, net, other = t.x, management(t), network(t, "vlan"), network(t, "other")
    x.network.set_MTU(net, 1400)
    ref = vlan(t, pif, 5, net)
    untagged = x.VLAN.get_untagged_PIF(ref)
    record = x.PIF.get_record(untagged)
    t.equal({k: record[k] for k in ("device", "MAC", "VLAN", "MTU", "physical", "currently_attached", "network", "VLAN_master_of", "management")},
            {"device": x.PIF.get_device(pif), "MAC": "fe:ff:ff:ff:ff:ff", "VLAN": 5, "MTU": 1400, "physical": False,
             "currently_attached": True, "network": net, "VLAN_master_of": ref, "management": False})
    t.effect("VLAN.create", x.PIF.get_VLAN_slave_of(pif) == [ref] and x.network.get_PIFs(net) == [untagged]
             and (x.VLAN.get_tag(ref), x.VLAN.get_tagged_PIF(ref)) == (5, pif))
    t.equal(x.PIF_metrics.get_carrier(record["metrics"]), True, "that of the NIC")
    t.equal(t.fails("PIF_VLAN_EXISTS", x.VLAN.create, pif, 5, other), [x.PIF.get_device(pif)])
    t.fails("PIF_IS_VLAN", x.VLAN.create, untagged, 6, other)
    t.fails("PIF_VLAN_STILL_EXISTS", x.PIF.forget, pif)
    t.fails("NETWORK_CONTAINS_PIF", x.network.destroy, net)

    # A guest on it
    vm = t.vm()
    vif = t.vif(vm, net)
    x.PIF.unplug(untagged)
    t.effect("PIF.unplug", not x.PIF.get_currently_attached(untagged))
    x.VM.start(vm, False, False)
    t.check(x.PIF.get_currently_attached(untagged), "who needs it brings it up")
    t.equal(t.fails("VIF_IN_USE", x.PIF.unplug, untagged), [net, vif])
    t.equal(t.fails("VIF_IN_USE", x.VLAN.destroy, ref), [net, vif])
    x.VM.hard_shutdown(vm)
    x.PIF.set_disallow_unplug(untagged, True)
    t.fails("PIF_DOES_NOT_ALLOW_UNPLUG", x.PIF.unplug, untagged)
    x.PIF.set_disallow_unplug(untagged, False)
    x.PIF.unplug(untagged)
    x.PIF.plug(untagged)
    t.effect("PIF.plug", x.PIF.get_currently_attached(untagged))
    x.VLAN.destroy(ref)
    t.effect("VLAN.destroy", ref not in x.VLAN.get_all() and untagged not in x.PIF.get_all() and x.network.get_PIFs(net) == [])

    # The other ways to make one, and to destroy it
    for message, make in (("pool.create_VLAN_from_PIF", lambda: x.pool.create_VLAN_from_PIF(pif, net, 6)),
                          ("pool.create_VLAN", lambda: x.pool.create_VLAN(x.PIF.get_device(pif), net, 6)),
                          ("PIF.create_VLAN", lambda: [x.PIF.create_VLAN(x.PIF.get_device(pif), net, t.the_host(), 6)])):
        (made,) = make()
        t.effect(message, x.PIF.get_VLAN(made) == 6 and x.network.get_PIFs(net) == [made])
        x.PIF.destroy(made)
        t.effect("PIF.destroy", made not in x.PIF.get_all() and x.VLAN.get_all() == [])
    x.network.destroy(net)


@case(on=("sim",), own_host=True)
def a_plugged_vlan_outlives_every_process_of_ours(t):
    """On the simulator, as above: it forgets what it made, so what stands again was restored."""
    x, pif = t.x, management(t)
    second = next(p for p in x.PIF.get_all() if p != pif)
    nets = [network(t, f"vlan {n}") for n in range(2)]
    plugged, unplugged = (x.VLAN.get_untagged_PIF(vlan(t, p, 7, n)) for p, n in zip((pif, second), nets))
    t.fails("PIF_VLAN_STILL_EXISTS", x.PIF.unplug, second)
    x.PIF.unplug(unplugged)
    x.PIF.unplug(second)
    x.PIF.scan(t.the_host())
    t.equal((x.PIF.get_currently_attached(second), x.PIF_metrics.get_carrier(x.PIF.get_metrics(second))), (False, False),
            "the interface is switched off")
    for name in ("core", "net", "core"):
        old = t.host.daemon_pids()[name]
        os.kill(old, signal.SIGKILL)
        t.eventually(lambda: t.host.daemon_pids().get(name) not in (None, old), f"{name} is back")
        x = t.client()
        t.equal((x.PIF.get_currently_attached(plugged), x.PIF.get_currently_attached(unplugged)), (True, False))
    x.PIF.plug(unplugged)
    t.check(x.PIF.get_currently_attached(unplugged), "plugged again")


@case(on=("sim",))
def xe_makes_vlans(t):
    """On the simulator, as above."""
    xe, x, pif, net = Shell(t), t.x, management(t), network(t, "by xe")
    uuid = xe("vlan-create", f"pif-uuid={x.PIF.get_uuid(pif)}", "vlan=9", f"network-uuid={x.network.get_uuid(net)}")
    ref = x.VLAN.get_by_uuid(uuid)
    t.on_end(t._quiet, "VLAN.destroy", ref)
    untagged = x.PIF.get_uuid(x.VLAN.get_untagged_PIF(ref))
    t.equal(xe("pif-list", "VLAN=9", "--minimal"), untagged)
    t.equal(xe("vlan-list", f"uuid={uuid}", "params=tag", "--minimal"), "9")
    xe("pif-unplug", f"uuid={untagged}")
    t.equal(xe("pif-param-get", f"uuid={untagged}", "param-name=currently-attached"), "false")
    xe("pif-plug", f"uuid={untagged}")
    xe.fails("PIF_VLAN_EXISTS", "vlan-create", f"pif-uuid={x.PIF.get_uuid(pif)}", "vlan=9",
             f"network-uuid={x.network.get_uuid(network(t, 'other'))}")
    xe("vlan-destroy", f"uuid={uuid}")
    t.equal(xe("vlan-list", "--minimal"), "")
    made = xe("pool-vlan-create", f"pif-uuid={x.PIF.get_uuid(pif)}", "vlan=9", f"network-uuid={x.network.get_uuid(net)}")
    t.equal(x.PIF.get_VLAN(x.PIF.get_by_uuid(made)), 9)
    xe("pif-destroy", f"uuid={made}")


def other_nic(t):
    return next(p for p, r in t.x.PIF.get_all_records().items() if r["physical"] and p != management(t))


@case
def a_bond_that_cannot_be_is_refused(t):
    x, pif, net = t.x, management(t), network(t, "bond")
    before = x.PIF.get_all(), x.Bond.get_all()
    t.fails("PIF_BOND_NEEDS_MORE_MEMBERS", x.Bond.create, net, [], "")
    t.fails("MAC_INVALID", x.Bond.create, net, [pif], "02:00:00:00:00")
    t.fails("HANDLE_INVALID", x.Bond.create, net, ["OpaqueRef:none"], "")
    t.fails("HANDLE_INVALID", x.Bond.destroy, "OpaqueRef:none")
    t.fails("HANDLE_INVALID", x.Bond.set_mode, "OpaqueRef:none", "lacp")
    t.fails("NETWORK_ALREADY_CONNECTED", x.Bond.create, x.PIF.get_network(pif), [pif], "")
    t.fails("INVALID_VALUE", x.Bond.create, net, [pif], "", "lacp", {"lacp-time": "soon"})
    t.fails("INVALID_VALUE", x.Bond.create, net, [pif], "", "active-backup", {"lacp-time": "fast"})
    t.fails("VALUE_NOT_SUPPORTED", x.Bond.create, net, [pif], "", "lacp", {"lacp-fallback-ab": "false"})
    if x.PIF.get_device(pif) == "uplink0":
        t.fails("PIF_CONFIGURATION_ERROR", x.Bond.create, net, [pif], "")
    t.equal((x.PIF.get_all(), x.Bond.get_all(), management(t)), (before[0], before[1], pif), "nothing of it is left")


@case(on=("sim",), own_host=True)
def a_bond_takes_over_what_its_members_had_and_gives_it_back(t):
    """On the simulator, as above; what is on the wire is in net/uplink."""
    x, pif = t.x, management(t)
    second, net, tagged_net = other_nic(t), network(t, "bond"), network(t, "vlan")
    ip, home = x.PIF.get_IP(pif), x.PIF.get_network(pif)
    tagged = vlan(t, pif, 5, tagged_net)
    vm = t.vm()
    vif = t.vif(vm, home)
    x.VM.start(vm, False, False)
    ref = x.Bond.create(net, [second, pif], "", "lacp", {"lacp-time": "fast"})
    t.on_end(t._quiet, "Bond.destroy", ref)
    bond, master = x.Bond.get_record(ref), x.Bond.get_master(ref)
    record = x.PIF.get_record(master)
    t.equal({k: record[k] for k in ("device", "MAC", "VLAN", "physical", "currently_attached", "network", "management", "IP", "bond_master_of")},
            {"device": "bond0", "MAC": x.PIF.get_MAC(pif), "VLAN": -1, "physical": False, "currently_attached": True,
             "network": net, "management": True, "IP": ip, "bond_master_of": [ref]})
    t.effect("Bond.create", sorted(bond["slaves"]) == sorted([pif, second]) and x.PIF.get_bond_slave_of(second) == ref
             and (bond["primary_slave"], bond["mode"], int(bond["links_up"])) == (pif, "lacp", 2), bond)
    t.equal((bond["properties"]["lacp-time"], bond["properties"]["hashing_algorithm"]), ("fast", "tcpudp_ports"))
    t.equal((management(t), x.PIF.get_IP(pif), x.VLAN.get_tagged_PIF(tagged), x.PIF.get_device(x.VLAN.get_untagged_PIF(tagged))),
            (master, "", master, "bond0"))
    t.equal((x.VIF.get_network(vif), x.VIF.get_currently_attached(vif)), (net, True), "the guest's cable went with it")
    t.equal(x.host.get_address(t.the_host()), ip)

    # What is not to be done with it
    t.fails("PIF_ALREADY_BONDED", x.Bond.create, network(t, "again"), [second], "")
    t.fails("CANNOT_PLUG_BOND_SLAVE", x.PIF.plug, second)
    t.fails("PIF_ALREADY_BONDED", x.PIF.unplug, second)
    t.fails("PIF_ALREADY_BONDED", x.PIF.forget, second)
    t.fails("CANNOT_ADD_VLAN_TO_BOND_SLAVE", x.VLAN.create, second, 6, network(t, "again"))

    # What changes live
    x.Bond.set_property(ref, "hashing_algorithm", "src_mac")
    t.effect("Bond.set_property", x.Bond.get_properties(ref)["hashing_algorithm"] == "src_mac")
    t.fails("INVALID_VALUE", x.Bond.set_property, ref, "hashing_algorithm", "mine")
    x.Bond.set_mode(ref, "active-backup")
    t.effect("Bond.set_mode", (x.Bond.get_mode(ref), x.Bond.get_properties(ref)) == ("active-backup", {}))
    t.fails("INVALID_VALUE", x.Bond.set_property, ref, "lacp-time", "fast")

    # It outlives us: the simulator forgets it, and the address with it
    for name in ("net", "core"):
        old = t.host.daemon_pids()[name]
        os.kill(old, signal.SIGKILL)
        t.eventually(lambda: t.host.daemon_pids().get(name) not in (None, old), f"{name} is back")
        x = t.client()
        t.eventually(lambda: x.PIF.get_IP(master) == ip and x.PIF.get_currently_attached(master), "it stands again")
    t.equal(x.host.get_address(t.the_host()), ip)

    x.Bond.destroy(ref)
    t.effect("Bond.destroy", x.Bond.get_all() == [] and master not in x.PIF.get_all() and x.PIF.get_management(pif)
             and x.PIF.get_IP(pif) == ip and x.PIF.get_bond_slave_of(second).endswith("NULL"))
    t.equal((x.VIF.get_network(vif), x.VIF.get_currently_attached(vif), x.VLAN.get_tagged_PIF(tagged)), (home, True, pif))
    x.VM.hard_shutdown(vm)


@case(on=("sim",), own_host=True)
def xe_makes_bonds(t):
    """On the simulator, as above."""
    xe, x, net = Shell(t), t.x, network(t, "by xe")
    pifs = [x.PIF.get_uuid(management(t)), x.PIF.get_uuid(other_nic(t))]
    uuid = xe("bond-create", f"network-uuid={x.network.get_uuid(net)}", f"pif-uuids={','.join(pifs)}", "mode=active-backup",
              "mac=02:00:00:00:00:bb")
    t.equal(xe("bond-param-get", f"uuid={uuid}", "param-name=mode"), "active-backup")
    t.equal(xe("pif-list", "device=bond0", "params=MAC", "--minimal"), "02:00:00:00:00:bb")
    xe("bond-set-mode", f"uuid={uuid}", "mode=lacp")
    t.equal(x.Bond.get_mode(x.Bond.get_by_uuid(uuid)), "lacp")
    xe("bond-destroy", f"uuid={uuid}")
    t.equal(xe("bond-list", "--minimal"), "")
