"""Throwaway hosts for measuring, and crowds of VMs on them."""
import statistics
import subprocess

from throwaway import Host
from xapi import side_by_side

MIB = 1 << 20
median = statistics.median


class Bed(Host):
    """A host, its database, and the tiny guest of the tests, quiet: it says a line, and wakes for the power button only."""

    def __init__(self, hypervisor="sim", **args):
        super().__init__(hypervisor=hypervisor, log_level="warn", **args)

    run_parent = "/dev/shm"  # a tmpfs, as /run/runnymede of an installed host is

    def start(self, timeout=60):
        self.folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ninja", "-C", self.build, "tests/guest/guest.elf"], stdout=subprocess.DEVNULL, check=True)
        self.kernel.parent.mkdir(parents=True, exist_ok=True)
        self.kernel.write_bytes((self.build / "tests/guest/guest.elf").read_bytes())
        self.kernel.chmod(0o644)
        super().start(timeout)
        self.x = self.client(timeout=600)
        return self

    @property
    def database(self):
        (found,) = (self.state / "core").glob("*.db")
        return found

    @property
    def kernel(self):
        return self.state / "boot/guest.elf"

    def vm(self, name, x=None, memory=16 * MIB):
        """A halted VM that boots the tiny guest."""
        x = x or self.x
        vm = x.VM.clone(x.VM.get_by_name_label("Other install media")[0], name)
        x.VM.provision(vm)
        x.VM.set_memory_limits(vm, memory, memory, memory, memory)
        x.VM.set_domain_type(vm, "pvh")
        x.VM.set_PV_kernel(vm, str(self.kernel))
        x.VM.set_PV_args(vm, "quiet")
        return vm

    def halted(self, n, workers=8):
        """n halted VMs, as their records only."""
        template = self.x.VM.get_by_name_label("Other install media")[0]

        def make(x, i):
            vm = x.VM.clone(template, f"vm-{i:05}")
            x.VM.provision(vm)
            return vm
        return self.side_by_side(range(n), make, workers)

    def side_by_side(self, items, work, workers=8):
        return side_by_side(self.x, items, work, workers)
