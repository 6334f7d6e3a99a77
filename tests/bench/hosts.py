"""Throwaway hosts for measuring, and crowds of VMs on them."""
import http.client
import statistics
import subprocess
import threading
from pathlib import Path

from throwaway import Host
from xapi import Client, Failure

MIB = 1 << 20
ROOT = Path(__file__).resolve().parent.parent.parent
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
        """work(client, item) for all of them from as many connections as there are workers; their results."""
        todo, lock, errors, results = iter(list(items)), threading.Lock(), [], []

        def run():
            x = Client(self.url, timeout=600)
            x.session_ref = self.x.session_ref
            while not errors:
                with lock:
                    item = next(todo, None)
                if item is None:
                    return
                try:
                    results.append(work(x, item))
                except (Failure, OSError, http.client.HTTPException) as e:
                    errors.append(e)
            x.close()

        threads = [threading.Thread(target=run, daemon=True) for _ in range(workers)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if errors:
            raise errors[0]
        return results
