#!/usr/bin/env python3
"""The tour with nothing but Python's own XML-RPC client, the way scripts against XenAPI are written.

    tour.py URL [KERNEL] < password
"""
import sys
import time
import xmlrpc.client


class Api:
    def __init__(self, url):
        self.server = xmlrpc.client.ServerProxy(url, allow_none=False)

    def __call__(self, method, *args):
        answer = getattr(self.server, method)(*args)
        if answer["Status"] != "Success":
            raise SystemExit(f"{method}: {answer['ErrorDescription']}")
        return answer["Value"]


def main():
    url, kernel = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    call = Api(url)
    password = sys.stdin.read().strip()
    session = call("session.login_with_password", "root", password, "1.0", "tour.py")
    print("methods:", len(call.server.system.listMethods()))
    (host,) = call("host.get_all", session)
    print("host:", call("host.get_name_label", session, host), call("host.get_API_version_major", session, host))
    (template,) = call("VM.get_by_name_label", session, "Other install media")
    token = call("event.from", session, ["vm"], "", 0.0)["token"]
    vm = call("VM.clone", session, template, "tour")
    call("VM.provision", session, vm)
    mib = 1 << 20
    call("VM.set_memory_limits", session, vm, *[str(n * mib) for n in (16, 32, 32, 32)])
    if kernel:
        call("VM.set_domain_type", session, vm, "pvh")
        call("VM.set_PV_kernel", session, vm, kernel)
    network = call("network.get_all", session)[0]
    call("VIF.create", session, {"VM": vm, "network": network, "device": "0", "MAC": "", "MTU": "1500", "other_config": {},
                                 "qos_algorithm_type": "", "qos_algorithm_params": {}})
    task = call("Async.VM.start", session, vm, False, False)
    while call("task.get_status", session, task) == "pending":
        time.sleep(0.05)
    record = call("task.get_record", session, task)
    assert record["status"] == "success", record["error_info"]
    call("task.destroy", session, task)
    seen = call("event.from", session, ["vm"], token, 10.0)
    mine = [e for e in seen["events"] if e["ref"] == vm]
    assert mine and mine[-1]["snapshot"]["power_state"] == "Running", mine
    print("running on", record["resident_on"])
    call("VM.hard_shutdown", session, vm)
    assert call("VM.get_power_state", session, vm) == "Halted"
    call("VM.destroy", session, vm)
    assert vm not in call("VM.get_all", session)
    call("session.logout", session)
    print("tour done")


if __name__ == "__main__":
    main()
