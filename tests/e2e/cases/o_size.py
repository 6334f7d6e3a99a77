"""How much a VM has while it runs: memory by its balloon, vCPUs."""
import os
import re
import signal
from pathlib import Path

from bench import MIB, case
from speaking import Guest, copy_speaking_guest

NULL = "OpaqueRef:NULL"


def actual(t, vm):
    return int(t.x.VM_metrics.get_memory_actual(t.x.VM.get_metrics(vm)))


def vcpus(t, vm):
    return int(t.x.VM_metrics.get_VCPUs_number(t.x.VM.get_metrics(vm)))


def arrives(t, vm, target):
    t.eventually(lambda: abs(actual(t, vm) - target) <= MIB, f"the balloon leaves {target >> 20} MiB")


@case(on=("sim",))
def a_running_vm_gets_the_memory_of_its_range(t):
    x, vm = t.x, t.vm(memory=64 * MIB)
    x.VM.set_memory_limits(vm, 16 * MIB, 64 * MIB, 32 * MIB, 48 * MIB)
    cost = int(x.VM.compute_memory_overhead(vm))
    t.equal(int(x.VM.maximise_memory(vm, 64 * MIB + cost, True)), 64 * MIB)
    t.equal(int(x.VM.maximise_memory(vm, 1, True)), 0)
    t.proven("VM.maximise_memory", True)
    t.fails("HANDLE_INVALID", x.VM.maximise_memory, NULL, MIB, True)
    t.fails("VM_BAD_POWER_STATE", x.VM.wait_memory_target_live, vm)
    t.fails("VM_BAD_POWER_STATE", x.VM.set_memory_target_live, vm, 40 * MIB)
    x.VM.start(vm, False, False)
    t.equal(int(x.VM.get_memory_target(vm)), 48 * MIB)
    arrives(t, vm, 48 * MIB)
    x.VM.set_memory_dynamic_range(vm, 20 * MIB, 24 * MIB)
    t.equal(int(x.VM.get_memory_target(vm)), 24 * MIB)
    x.VM.wait_memory_target_live(vm)
    t.effect("VM.wait_memory_target_live", abs(actual(t, vm) - 24 * MIB) <= MIB)
    t.fails("MEMORY_CONSTRAINT_VIOLATION_ORDER", x.VM.set_memory_dynamic_range, vm, 20 * MIB, 65 * MIB)
    x.VM.set_memory_target_live(vm, 40 * MIB)
    t.effect("VM.set_memory_target_live", int(x.VM.get_memory_dynamic_min(vm)) == int(x.VM.get_memory_dynamic_max(vm)) == 40 * MIB)
    arrives(t, vm, 40 * MIB)
    x.VM.pool_migrate(vm, x.VM.get_resident_on(vm), {"live": "true"})
    t.equal((actual(t, vm), int(x.VM.get_memory_target(vm))), (40 * MIB, 40 * MIB))
    x.VM.hard_shutdown(vm)


@case(on=("sim",), own_host=True)
def vms_make_room_for_one_another_and_get_it_back(t):
    x = t.x
    host = x.host.get_all()[0]
    free = int(x.host.compute_free_memory(host))
    whole = free * 3 // 5 // MIB * MIB

    def ranged(name):
        vm = t.vm(name)
        x.VM.set_memory_limits(vm, 16 * MIB, whole, whole // 4, whole)
        return vm

    first, second, third = ranged("first"), ranged("second"), t.vm("third")
    x.VM.start(first, False, False)
    t.equal(int(x.VM.get_memory_target(first)), whole, "alone it has all of its range")
    x.VM.start(second, False, False)
    shares = [int(x.VM.get_memory_target(v)) for v in (first, second)]
    t.check(whole // 4 < shares[0] < whole and abs(shares[0] - shares[1]) <= MIB, shares)
    t.check(sum(shares) <= free, shares)
    arrives(t, first, shares[0])
    x.VM.set_memory(third, free * 4 // 5)
    t.fails("HOST_NOT_ENOUGH_FREE_MEMORY", x.VM.start, third, False, False)
    x.VM.hard_shutdown(second)
    t.eventually(lambda: int(x.VM.get_memory_target(first)) == whole, "it gets its memory back")
    arrives(t, first, whole)
    x.VM.hard_shutdown(first)


@case(on=("qemu",), own_host=True)
def a_guest_that_speaks_sees_its_memory_and_vcpus_change(t):
    x = t.x
    copy_speaking_guest(t)

    def prepare(vm):
        x.VM.set_memory_limits(vm, 64 * MIB, 192 * MIB, 96 * MIB, 160 * MIB)
        x.VM.set_VCPUs_max(vm, 3)
        x.VM.add_to_platform(vm, "vcpu-unrestricted", "true")

    g = Guest(t, "sized", prepare=prepare).booted()
    vm = g.vm

    def total():
        return int(re.search(r"MemTotal: *(\d+) kB", g.sh("cat /proc/meminfo")[1])[1]) // 1024

    arrives(t, vm, 160 * MIB)
    before = total()
    x.VM.set_memory_dynamic_range(vm, 96 * MIB, 112 * MIB)
    x.VM.wait_memory_target_live(vm)
    t.check(46 <= before - total() <= 50, (before, total()))
    x.VM.set_memory_dynamic_range(vm, 96 * MIB, 144 * MIB)
    arrives(t, vm, 144 * MIB)

    t.eventually(lambda: 8 << 20 < x.VM.query_data_source(vm, "memory_internal_free") * 1024 < 144 * MIB,
                 "the guest says how much it could use", timeout=60)

    # What it has outlives whoever watches it, a migration, and a suspend
    (process,) = [pid for pid, name in t.host.processes().items() if name == "runnymede-vm"]
    os.kill(process, signal.SIGKILL)
    t.eventually(lambda: actual(t, vm) == 144 * MIB and int(x.VM.get_memory_target(vm)) == 144 * MIB, "the same memory")

    t.fails("INVALID_VALUE", x.VM.set_VCPUs_number_live, vm, 4)
    t.fails("INVALID_VALUE", x.VM.set_VCPUs_number_live, vm, 0)
    x.VM.set_VCPUs_number_live(vm, 3)
    t.effect("VM.set_VCPUs_number_live", vcpus(t, vm) == 3 and int(x.VM.get_VCPUs_at_startup(vm)) == 3)
    t.fails("OPERATION_NOT_ALLOWED", x.VM.set_VCPUs_number_live, vm, 2)
    t.eventually(lambda: g.sh("ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l")[1].strip() == "3", "the guest finds its new vCPUs")
    t.equal(g.sh("for c in 1 2; do echo 1 >/sys/devices/system/cpu/cpu$c/online; done; nproc"), (0, "3\n"))
    x.VM.pool_migrate(vm, x.VM.get_resident_on(vm), {"live": "true"})
    t.equal((actual(t, vm), vcpus(t, vm)), (144 * MIB, 3))
    g.connect()
    t.equal(g.sh("nproc"), (0, "3\n"))
    x.VM.set_memory_dynamic_range(vm, 96 * MIB, 128 * MIB)
    arrives(t, vm, 128 * MIB)
    x.VM.suspend(vm)
    x.VM.resume(vm, False, False)
    g.connect()
    t.equal(g.sh("nproc"), (0, "3\n"))
    t.equal((actual(t, vm), int(x.VM.get_memory_target(vm)), vcpus(t, vm)), (128 * MIB, 128 * MIB, 3))


@case(on=("sim",))
def vcpus_are_added_to_a_running_vm_and_stay(t):
    x, vm = t.x, t.vm()
    x.VM.set_VCPUs_max(vm, 3)
    x.VM.add_to_platform(vm, "vcpu-unrestricted", "true")
    t.fails("VM_BAD_POWER_STATE", x.VM.set_VCPUs_number_live, vm, 2)
    x.VM.start(vm, False, False)
    t.equal(vcpus(t, vm), 1)
    t.fails("INVALID_VALUE", x.VM.set_VCPUs_number_live, vm, 4)
    x.VM.set_VCPUs_number_live(vm, 2)
    t.effect("VM.set_VCPUs_number_live", vcpus(t, vm) == 2 and int(x.VM.get_VCPUs_at_startup(vm)) == 2)
    t.fails("OPERATION_NOT_ALLOWED", x.VM.set_VCPUs_number_live, vm, 1)
    x.VM.suspend(vm)
    x.VM.resume(vm, False, False)
    t.equal(vcpus(t, vm), 2)


@case
def vcpus_run_where_they_may(t):
    x, vm = t.x, t.vm()
    x.VM.set_VCPUs_params(vm, {"mask": "no"})
    t.fails(("INVALID_VALUE", "NO_HOSTS_AVAILABLE"), x.VM.start, vm, False, False)
    x.VM.set_VCPUs_params(vm, {})
    x.VM.start(vm, False, False)
    for bad in ("x", "0-", "1-0", "9999", ","):
        t.fails("INVALID_VALUE", x.VM.add_to_VCPUs_params_live, vm, "mask", bad)
    t.fails("INVALID_VALUE", x.VM.add_to_VCPUs_params_live, vm, "weight", "0")
    x.VM.add_to_VCPUs_params_live(vm, "mask", "0")
    t.effect("VM.add_to_VCPUs_params_live", x.VM.get_VCPUs_params(vm) == {"mask": "0"} ==
             x.VM_metrics.get_VCPUs_params(x.VM.get_metrics(vm)))

    def bound():
        found = set()
        for pid in t.host.guests():
            for task in Path(f"/proc/{pid}/task").iterdir():
                found.add(re.search(r"Cpus_allowed_list:\s*(\S+)", (task / "status").read_text())[1])
        return found

    if t.hypervisor != "qemu" or len(os.sched_getaffinity(0)) < 2:
        return
    t.check("0" in bound() and len(bound()) > 1, f"the vCPU alone is bound: {bound()}")
    x.VM.pool_migrate(vm, x.VM.get_resident_on(vm), {"live": "true"})
    t.check("0" in bound(), "after a migration too")
    x.VM.add_to_VCPUs_params_live(vm, "mask", "")
    t.check("0" not in bound(), "and no more")
