"""Networks: the one with NAT that every host has, private ones, and what guests see of them."""
import ipaddress
import os
import re
import signal
import socket
import threading

from bench import Failure, Skip, case
from cases_shared import network
from speaking import Guest, copy_speaking_guest


def default_network(t):
    found = t.x.network.get_by_name_label("Host NAT network")
    t.equal(len(found), 1, "networks with NAT")
    return found[0]


@case
def every_host_has_a_network_with_nat_and_private_ones_come_and_go(t):
    x = t.x
    nat = default_network(t)
    record = x.network.get_record(nat)
    t.equal(record["PIFs"], [], "a network of this host alone")
    t.check(re.fullmatch(r"10\.87\.\d+\.1/24", record["other_config"]["nat"]), record["other_config"])
    t.check(re.fullmatch(r"fd[0-9a-f]{2}:[0-9a-f:]+:1/64", record["other_config"]["nat6"]), record["other_config"])
    private = network(t, "private")
    vm = t.vm()
    vifs = [t.vif(vm, private, "0"), t.vif(vm, nat, "1")]
    x.VM.start(vm, False, False)
    t.effect("network.create", all(x.VIF.get_currently_attached(v) for v in vifs) and vifs[0] in x.network.get_VIFs(private))
    t.fails("NETWORK_CONTAINS_VIF", x.network.destroy, private)
    x.VM.hard_shutdown(vm)
    x.network.destroy(private)
    t.effect("network.destroy", private not in x.network.get_all() and x.VM.get_VIFs(vm) == [vifs[1]])


@case
def a_host_is_known_by_the_address_of_its_management_interface(t):
    x = t.x
    (pif,) = [p for p in x.PIF.get_all_records().values() if p["management"]]
    (host,) = x.host.get_all()
    family, ip = pif["primary_address_type"], x.host.get_address(host)
    t.equal(family, "IPv6" if t.host.net == "linux" else "IPv4", "of the addresses that the machine has")
    own = [pif["IP"]] if family == "IPv4" else [a.split("/")[0] for a in pif["IPv6"] if not a.startswith("fe80:")]
    t.check(ip and ip in own, f"{ip} in {own}")
    in_url = f"[{ip}]" if family == "IPv6" else ip
    t.equal(x.host.migrate_receive(host, pif["network"], {})["master"], f"http://{in_url}")
    vm = t.vm()
    x.VM.start(vm, False, False)
    for console in x.VM.get_consoles(vm):
        location = x.console.get_location(console)
        t.check(location.startswith(f"https://{in_url}:{t.host.https}/"), location)


@case
def a_nat_that_cannot_be_is_refused_when_it_is_said(t):
    x = t.x
    t.fails("INVALID_VALUE", lambda: network(t, "bad", nat="10.93.0.0/24"))
    t.fails("INVALID_VALUE", lambda: network(t, "bad", nat6="fd12::1/48"))
    net = network(t, "late")
    t.fails("INVALID_VALUE", x.network.set_other_config, net, {"nat": "10.93.0.1"})
    t.equal(x.network.get_other_config(net), {})
    vm = t.vm()
    vif = t.vif(vm, net)
    x.VM.start(vm, False, False)
    t.fails("VIF_IN_USE", x.network.add_to_other_config, net, "nat", "10.93.0.1/24")
    x.VIF.unplug(vif)
    x.network.add_to_other_config(net, "nat", "10.93.0.1/24")
    x.VIF.plug(vif)
    t.check(x.VIF.get_currently_attached(vif), "plugged into what has NAT now")


@case
def a_vif_is_locked_to_addresses(t):
    """What guests can do then is in the cases of guests that speak; frame by frame in net/linux."""
    x, vm = t.x, t.vm()
    net = network(t, "locked")
    vif = t.vif(vm, net)
    x.VM.start(vm, False, False)
    t.fails("INVALID_IP_ADDRESS_SPECIFIED", x.VIF.set_ipv4_allowed, vif, ["10.0.0.1", "10.0.0.1/24"])
    t.fails("INVALID_IP_ADDRESS_SPECIFIED", x.VIF.add_ipv4_allowed, vif, "fd00::1")
    t.fails("INVALID_IP_ADDRESS_SPECIFIED", x.VIF.set_ipv6_allowed, vif, ["10.0.0.1"])
    t.fails("INVALID_IP_ADDRESS_SPECIFIED", x.VIF.add_ipv6_allowed, vif, "")
    t.fails("INVALID_IP_ADDRESS_SPECIFIED", x.VIF.create, {**x.VIF.get_record(vif), "device": "1", "MAC": "", "ipv4_allowed": ["here"]})
    for version, one, two in ((4, "10.0.0.1", "10.0.0.2"), (6, "fd00::1", "fd00::2")):
        def call(verb, *args, kind=f"ipv{version}_allowed"):
            return x.call(f"VIF.{verb}_{kind}", vif, *args)
        call("set", [one])
        t.effect(f"VIF.set_ipv{version}_allowed", call("get") == [one])
        call("add", two)
        call("add", two)
        t.effect(f"VIF.add_ipv{version}_allowed", sorted(call("get")) == [one, two])
        call("remove", one)
        t.effect(f"VIF.remove_ipv{version}_allowed", call("get") == [two])
        t.fails("HANDLE_INVALID", lambda: x.call(f"VIF.remove_ipv{version}_allowed", "OpaqueRef:none", one))
    t.fails("VIF_IN_USE", x.network.set_default_locking_mode, net, "disabled")
    for mode in ("locked", "disabled", "unlocked", "locked"):
        x.VIF.set_locking_mode(vif, mode)
        t.effect("VIF.set_locking_mode", x.VIF.get_locking_mode(vif) == mode)
    t.fails("HANDLE_INVALID", x.VIF.set_locking_mode, "OpaqueRef:none", "locked")
    x.network.set_default_locking_mode(net, "disabled")
    t.effect("network.set_default_locking_mode", x.network.get_default_locking_mode(net) == "disabled")


@case
def a_vif_moves_to_another_network_halted_and_running(t):
    """Where its frames go then is in the case of guests that speak, and in net/linux."""
    x, vm = t.x, t.vm()
    one, two, three = (network(t, n) for n in ("one", "two", "three"))
    vif = t.vif(vm, one)
    t.fails("HANDLE_INVALID", x.VIF.move, "OpaqueRef:none", two)
    t.fails("HANDLE_INVALID", x.VIF.move, vif, "OpaqueRef:none")
    x.VIF.move(vif, two)
    t.effect("VIF.move", x.VIF.get_network(vif) == two and x.network.get_VIFs(one) == [] and x.network.get_VIFs(two) == [vif])
    x.VM.start(vm, False, False)
    x.VIF.move(vif, three)
    t.effect("VIF.move", x.VIF.get_network(vif) == three and x.VIF.get_currently_attached(vif))
    x.network.destroy(two)  # its bridge has no port left
    t.fails("NETWORK_CONTAINS_VIF", x.network.destroy, three)
    x.VM.suspend(vm)
    x.VIF.move(vif, one)
    x.VM.resume(vm, False, False)
    t.effect("VIF.move", x.VIF.get_network(vif) == one and x.VIF.get_currently_attached(vif))
    x.network.destroy(three)


@case
def what_a_vif_sends_is_limited(t):
    x, vm = t.x, t.vm()
    vif = t.vif(vm, network(t, "limited"))
    t.equal(x.VIF.get_qos_supported_algorithms(vif), ["ratelimit"])
    x.VM.start(vm, False, False)
    t.fails("INVALID_VALUE", x.VIF.set_qos_algorithm_type, vif, "htb")
    t.fails("INVALID_VALUE", x.VIF.set_qos_algorithm_params, vif, {"kbps": "much"})
    x.VIF.set_qos_algorithm_type(vif, "ratelimit")
    x.VIF.add_to_qos_algorithm_params(vif, "kbps", "100")
    t.equal((x.VIF.get_qos_algorithm_type(vif), x.VIF.get_qos_algorithm_params(vif)), ("ratelimit", {"kbps": "100"}))
    t.fails("INVALID_VALUE", x.VIF.create, {**x.VIF.get_record(vif), "device": "1", "MAC": "", "qos_algorithm_params": {"kbps": "-1"}})
    x.VIF.unplug(vif)
    x.VIF.plug(vif)
    t.check(x.VIF.get_currently_attached(vif), "plugged with its limit")


class Listener:
    """A TCP server on the machine's own address: the outside of the NAT."""

    def __init__(self, t):
        if t.host.net == "linux":  # a machine with IPv6 alone
            self.address, family = t.x.host.get_address(t.x.host.get_all()[0]), socket.AF_INET6
        else:
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            probe.connect(("198.51.100.1", 9))  # sends nothing: the address that this machine would use
            self.address, family = probe.getsockname()[0], socket.AF_INET
            probe.close()
        self.s = socket.create_server((self.address, 0), family=family)
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            c.sendall(b"the outside\n")
            c.close()


@case(own_host=True, on=("qemu",))
def guests_that_speak_get_addresses_reach_out_and_each_other_and_do_not_notice_that_net_dies(t):
    x = t.x
    if t.host.net == "private" and not (t.host.run / "net/space").exists():
        raise Skip("no user namespace may be made here (a chroot?), so no network for guests")
    copy_speaking_guest(t)
    nat, private, other = default_network(t), network(t, "private"), network(t, "other")
    guests = a, b, c = Guest(t, "a", nat, private), Guest(t, "b", nat, private), Guest(t, "c", other)
    for g in guests:
        g.booted()

    # DHCP and the way out
    inside = x.network.get_other_config(nat)["nat"].rsplit(".", 1)[0]
    addresses = [g.address(g.nic()) for g in (a, b)]
    t.check(all(i.startswith(inside + ".") for i in addresses) and len(set(addresses)) == 2, addresses)
    outside = Listener(t)
    reach = f"rm -f /tmp/said; nc -w 20 {outside.address} {outside.port} -e sh -c 'read said; echo $said >/tmp/said'; cat /tmp/said"
    t.equal(a.sh(reach), (0, "the outside\n"))
    t.equal(a.sh(f"ping -c 1 -W 5 {addresses[1]} >/dev/null")[0], 0, "guests of one NAT network reach each other")

    # IPv6: an address that the guest made by itself, its host, its neighbour
    host6 = ipaddress.ip_interface(x.network.get_other_config(nat)["nat6"])
    for g in (a, b):
        t.check(ipaddress.ip_address(g.address(g.nic(), family=6)) in host6.network, "an address in the network")
    t.equal(a.sh(f"ping -6 -c 1 -W 5 {host6.ip}")[0], 0, "the host")
    t.equal(a.sh(f"ping -6 -c 1 -W 5 {b.address(b.nic(), family=6)}")[0], 0, "another guest")

    # A private network, and one that has nothing to do with it
    for i, (g, nic) in enumerate(((a, a.nic(1)), (b, b.nic(1)), (c, c.nic()))):
        t.equal(g.sh(f"killall udhcpc 2>/dev/null; ip addr add 172.20.0.{i + 1}/24 dev {nic} && ip link set {nic} up")[0], 0)
    t.equal(a.sh("ping -c 2 -W 5 172.20.0.2")[0], 0, "two guests of a private network")
    t.equal(a.sh("ping -c 2 -W 1 172.20.0.3")[0], 1, "a guest of another network")
    count = f"cat /sys/class/net/{c.nic()}/statistics/rx_packets"
    before = c.sh(count)[1]
    a.sh("ping -c 3 -W 1 -b 172.20.0.255")
    t.equal(c.sh(count)[1], before, "it hears nothing, broadcasts included")

    # A VIF moves, and its frames go where it is
    x.VIF.move(c.vifs[0], private)
    t.equal(c.sh("ping -c 2 -W 5 172.20.0.1")[0], 0, "moved to the others' network")
    x.VIF.move(c.vifs[0], other)
    t.equal(c.sh("ping -c 2 -W 1 172.20.0.1")[0], 1, "moved back")

    # A limit holds for what is sent: one long ping is as much as passes at once
    long = "ping -c 2 -s 60000 -W 2 172.20.0.2"
    t.equal(a.sh(long)[0], 0)
    x.VIF.set_qos_algorithm_params(a.vifs[1], {"kbps": "1"})
    x.VIF.set_qos_algorithm_type(a.vifs[1], "ratelimit")
    t.check(", 1 packets received" in (said := a.sh(long)[1]), said)
    x.VIF.set_qos_algorithm_type(a.vifs[1], "")
    t.check(", 2 packets received" in (said := a.sh(long)[1]), said)

    # A guest that is locked to its address has no other one, and a disabled one none at all
    locked = a.vifs[1]
    a.sh(f"ip addr add 172.20.0.77/24 dev {a.nic(1)}")

    def pings(source):
        return a.sh(f"ping -c 2 -W 1 -I {source} 172.20.0.2")[0] == 0

    t.check(pings("172.20.0.77"), "not locked")
    x.VIF.set_ipv4_allowed(locked, ["172.20.0.1"])
    x.VIF.set_locking_mode(locked, "locked")
    t.equal((pings("172.20.0.1"), pings("172.20.0.77")), (True, False), "locked")
    x.VIF.set_locking_mode(locked, "disabled")
    t.check(not pings("172.20.0.1"), "disabled")
    x.VIF.set_locking_mode(locked, "locked")

    # The net process dies: what runs goes on, and new cables plug
    old = t.host.daemon_pids()["net"]
    os.kill(old, signal.SIGKILL)
    t.equal(a.sh("ping -c 2 -W 5 172.20.0.2")[0], 0, "while net is dead")
    t.check(not pings("172.20.0.77"), "a lock holds while net is dead")
    t.eventually(lambda: t.host.daemon_pids().get("net") not in (None, old), "net is back")
    x.VIF.add_ipv4_allowed(locked, "172.20.0.77")
    t.check(pings("172.20.0.77"), "the new net process unlocks it")
    nic = b.nic()  # DHCP is back too, though nobody plugged anything
    t.equal(b.sh(f"ip addr flush dev {nic}; udhcpc -q -n -t 15 -T 1 -i {nic} -s /usr/share/udhcpc/script", 90)[0], 0)
    t.equal(b.address(nic), addresses[1], "the address it had: leases are remembered")
    t.equal(a.sh(reach), (0, "the outside\n"))
    c.vifs.append(t.vif(c.vm, nat, "1"))
    t.eventually(lambda: plugs(x, c.vifs[1]), "a new VIF plugs")
    nic = c.nic(1)
    t.equal(c.sh(f"ip link set {nic} up && udhcpc -q -n -t 10 -i {nic} -s /usr/share/udhcpc/script", 90)[0], 0)
    t.check(c.address(nic) not in addresses, "an address of its own")
    t.equal(c.sh(reach), (0, "the outside\n"))



def plugs(x, vif):
    try:
        x.VIF.plug(vif)
    except Failure:
        return False
    return x.VIF.get_currently_attached(vif)
