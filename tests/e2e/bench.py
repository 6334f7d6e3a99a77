"""What every end-to-end case gets: a host, clients, checks, and the record of what was proven."""
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools/lib"))
from throwaway import Host, StartError, free_port  # noqa: E402,F401
from xapi import NULL, Client, Failure, ProtocolError, open_socket, side_by_side  # noqa: E402,F401

MIB = 1 << 20
CASES = []


class CheckFailed(Exception):
    pass


class Skip(Exception):
    """A case that cannot be here, and why."""


def case(fn=None, *, own_host=False, on=("sim", "qemu"), slow=False, part="e2e"):
    """Marks a case; it is named by its function, like a sentence. own_host: it breaks things, so it gets a host alone.
    on: where it runs; a case that is not for both says in its name or docstring why. slow: only with --all."""
    def mark(f):
        f.own_host, f.on, f.slow, f.part = own_host, on, slow, part
        CASES.append(f)
        return f
    return mark(fn) if fn else mark


def server_case(fn=None, *, own_host=False):
    """A case of the server alone, in which a hypervisor has no part: the simulator's host does for it."""
    return case(fn, own_host=own_host, on=("sim",))


class Record:
    """Which explicit messages were seen to succeed, to fail as declared, and to have their effect.

    tools/api-coverage counts a message as working only if all three are here."""

    def __init__(self):
        self.messages = {}
        self.lock = threading.Lock()
        self.calls = 0
        self.last_call = {}  # message -> number of its last call that succeeded

    def _entry(self, message):
        return self.messages.setdefault(message, {"success": 0, "errors": {}, "effects": []})

    def note(self, method, code):
        message = method.removeprefix("Async.")
        with self.lock:
            self.calls += 1
            e = self._entry(message)
            if code is None:
                e["success"] += 1
                self.last_call[message] = self.calls
            else:
                e["errors"][code] = e["errors"].get(code, 0) + 1

    def note_task_error(self, message, code):
        with self.lock:
            e = self._entry(message)["errors"]
            e[code] = e.get(code, 0) + 1

    def effect(self, message, case_name):
        with self.lock:
            last = self.last_call.get(message)
            if last is None:
                raise CheckFailed(f"an effect of {message} is claimed, but no such call succeeded")
            if case_name not in self._entry(message)["effects"]:
                self._entry(message)["effects"].append(case_name)

    def save(self, path, hypervisor):
        Path(path).write_text(json.dumps({"format": 1, "hypervisor": hypervisor, "messages": self.messages},
                                         indent=1, sort_keys=True) + "\n")


class Watcher:
    """A client that follows the event stream and keeps a cache, as xen-api does."""

    def __init__(self, x, classes=("*",)):
        self.x = x.sibling()
        self.classes, self.cache, self.log = list(classes), {}, []
        self.counts, self.error, self.token = {}, None, ""
        self.changed = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._round(0)
        self.thread.start()

    def _round(self, timeout):
        r = self.x.call("event.from", self.classes, self.token, timeout)
        with self.changed:
            for e in r["events"]:
                self.log.append((e["operation"], e["class"], e["ref"]))
                of = self.cache.setdefault(e["class"], {})
                if e["operation"] == "del":
                    of.pop(e["ref"], None)
                else:
                    of[e["ref"]] = e["snapshot"]
            self.counts, self.token = r["valid_ref_counts"], r["token"]
            self.changed.notify_all()

    def _run(self):
        while not self.ended:
            try:
                self._round(2.0)
            except Exception as e:  # noqa: BLE001 - told by until()
                if self.ended:
                    return
                self.error = e
                with self.changed:
                    self.changed.notify_all()
                return

    def until(self, predicate, what, timeout=30):
        end = time.monotonic() + timeout
        with self.changed:
            while not predicate(self):
                if self.error:
                    raise CheckFailed(f"the event stream broke: {self.error!r}")
                left = end - time.monotonic()
                if left <= 0:
                    raise CheckFailed(f"not seen in {timeout} s of events: {what}")
                self.changed.wait(left)

    def saw(self, operation, ref):
        return any(op == operation and r == ref for op, _, r in self.log)

    def close(self):
        self.ended = True
        self.x.close()


class Bench:
    """One case's view of its host."""

    def __init__(self, host, record, name, options):
        self.host, self.record, self.name, self.options = host, record, name, options
        self.hypervisor = host.hypervisor
        self.qemu = host.hypervisor == "qemu"
        self.x = self.client()
        self._vms, self._undo = [], []

    def client(self, user="root", password=None, **args):
        return self.host.client(user, password, observer=self.record.note, **args)

    def bare(self, **args):
        return Client(args.pop("url", self.host.url), observer=self.record.note, **args)

    # Checks

    def check(self, ok, what):
        if not ok:
            raise CheckFailed(what)

    def equal(self, a, b, what=""):
        if a != b:
            raise CheckFailed(f"{what or 'two values'}: {short(a)} is not {short(b)}")

    def fails(self, code, fn, *args):
        """The call must fail with this code (or one of these); gives its parameters."""
        codes = [code] if isinstance(code, str) else code
        try:
            r = fn(*args)
        except Failure as e:
            if e.code not in codes:
                raise CheckFailed(f"{getattr(fn, '_prefix', fn)} failed with {e}, not with {' or '.join(codes)}")
            return e.params
        raise CheckFailed(f"{getattr(fn, '_prefix', fn)} succeeded with {short(r)}, expected {' or '.join(codes)}")

    def effect(self, message, ok, what=""):
        """What the message is for was seen through another call."""
        self.check(ok, f"no effect of {message}{f': {short(what)}' if what != '' else ''}")
        self.record.effect(message, self.name)

    def proven(self, message, ok, what=""):
        """For messages that only read: their answer agrees with what another call says."""
        self.effect(message, ok, what)

    def eventually(self, fn, what, timeout=30):
        end = time.monotonic() + timeout
        while True:
            r = fn()
            if r:
                return r
            if time.monotonic() > end:
                raise CheckFailed(f"not so after {timeout} s: {what}")
            time.sleep(0.05)

    def on_end(self, fn, *args):
        self._undo.append((fn, args))

    # Things

    def pool(self):
        return self.x.pool.get_all()[0]

    def the_host(self):
        return self.x.host.get_all()[0]

    def template(self):
        refs = self.x.VM.get_by_name_label("Other install media")
        self.check(len(refs) == 1, "there is one template 'Other install media'")
        return refs[0]

    def sr(self):
        return self.x.pool.get_default_SR(self.pool())

    def network(self):
        """The one that a host comes with: NAT."""
        refs = [ref for ref, n in self.x.network.get_all_records().items() if "nat" in n["other_config"]]
        self.check(refs, "there is a network")
        return refs[0]

    def vdi(self, size=8 * MIB, name="disk", **more):
        ref = self.x.VDI.create(dict(name_label=name, name_description="", SR=self.sr(), virtual_size=size, type="user",
                                     sharable=False, read_only=False, other_config={}, xenstore_data={}, sm_config={},
                                     tags=[], **more))
        self.on_end(self._quiet, "VDI.destroy", ref)
        return ref

    def vbd(self, vm, vdi, device="0", mode="RW", kind="Disk", **more):
        return self.x.VBD.create(dict(VM=vm, VDI=vdi, userdevice=device, bootable=False, mode=mode, type=kind,
                                      unpluggable=True, empty=vdi == NULL, other_config={}, qos_algorithm_type="",
                                      qos_algorithm_params={}, **more))

    def vif(self, vm, network=None, device="0"):
        return self.x.VIF.create(dict(VM=vm, network=network or self.network(), device=device, MAC="", MTU=1500,
                                      other_config={}, qos_algorithm_type="", qos_algorithm_params={}))

    def vm(self, name=None, disk=False, nic=False, memory=32 * MIB):
        """A halted VM that boots the tiny guest at once, on QEMU as on the simulator."""
        x = self.x
        vm = x.VM.clone(self.template(), name or self.name[:40])
        self._vms.append(vm)
        x.VM.provision(vm)
        x.VM.set_memory_limits(vm, min(memory, 16 * MIB), memory, memory, memory)
        x.VM.set_domain_type(vm, "pvh")
        x.VM.set_PV_kernel(vm, str(self.host.state / "boot/guest.elf"))
        x.VM.set_PV_args(vm, "")
        if disk:
            self.vbd(vm, self.vdi(name=f"{name or self.name[:40]} disk"))
        if nic:
            self.vif(vm)
        return vm

    def adopt(self, vm):
        """A VM that the case made by itself goes at its end, too."""
        self._vms.append(vm)

    def running_vm(self, *args, **kw):
        vm = self.vm(*args, **kw)
        self.x.VM.start(vm, False, False)
        return vm

    def power(self, vm, x=None):
        return (x or self.x).VM.get_power_state(vm)

    def guest_is_up(self, vm):
        """The tiny guest answers the power button only once it runs: on QEMU wait for its first serial line."""
        if not self.qemu:
            return
        if not self.host.guest_log(self.x.VM.get_uuid(vm)):
            time.sleep(1.5)

    def _quiet(self, method, *args):
        try:
            self.host.client().call(method, *args)
        except Failure:
            pass

    def end(self):
        """Takes away what the case made; on a host that is thrown away afterwards too, so destroy is used a lot."""
        x = self.host.client() if self._vms or self._undo else None
        for vm in self._vms:
            for method in ("VM.hard_shutdown", "VM.destroy"):
                try:
                    x.call(method, vm)
                except Failure:
                    pass
        for fn, args in reversed(self._undo):
            fn(*args)


def short(v):
    text = repr(v)
    return text if len(text) < 300 else text[:300] + "…"


def copy_guest(host, build):
    """Puts the tiny guest where kernels may lie; builds it if nobody did since it changed."""
    names = {"guest.elf": host.state / "boot/guest.elf", "guest.iso": host.state / "iso/guest.iso"}
    source = Path(build) / "tests/guest"
    subprocess.run(["ninja", "-C", str(build), *[f"tests/guest/{n}" for n in names]], stdout=subprocess.DEVNULL, check=True)
    for name, target in names.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / name).read_bytes())
        target.chmod(0o644)
