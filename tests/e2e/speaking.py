"""Guests that can be spoken to: Debian's kernel and busybox, from tools/demo-iso."""
import re
import socket
import subprocess
import time

from bench import MIB, ROOT, open_socket
from cases_shared import read_head


def copy_speaking_guest(t, *options, folder="boot"):
    subprocess.run([ROOT / "tools/demo-iso", *options, "--boot", t.host.state / folder], check=True)


class Serial:
    """A VM's serial line, without carriage returns."""

    def __init__(self, t, vm):
        self.t, self.vm = t, vm
        self.connect()

    def connect(self):
        """Anew after a migration: the console ends with the QEMU that it belonged to."""
        x = self.t.x
        (console,) = [c for c in x.VM.get_consoles(self.vm) if x.console.get_protocol(c) == "vt100"]
        self.s = open_socket(self.t.host.tls_url)
        self.s.sendall(f"CONNECT /console?ref={console}&session_id={x.session_ref} HTTP/1.0\r\n\r\n".encode())
        head = read_head(self.s)
        self.t.check(" 200 " in head.split("\r\n")[0], head)
        self.text = ""

    def until(self, pattern, timeout=120):
        end = time.monotonic() + timeout
        while not (m := re.search(pattern, self.text)):
            self.s.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = self.s.recv(4096)
            except (TimeoutError, socket.timeout):
                piece = b""
            self.t.check(piece, f"no {pattern} from the guest in {timeout} s: {self.text[-500:]!r}")
            self.text += piece.decode(errors="replace").replace("\r", "")
        self.text = self.text[m.end():]
        return m

    def expect(self, text):
        self.until(re.escape(text), timeout=20)

    def ask(self, letter, answer):
        self.s.sendall(letter.encode())
        self.expect(answer)

    def close(self):
        self.s.close()


class Guest(Serial):
    """Spoken to through its serial console. prepare() may change its VM before the start."""

    def __init__(self, t, name, *networks, prepare=None):
        x = t.x
        vm = t.vm(name, memory=128 * MIB)
        x.VM.set_PV_kernel(vm, str(t.host.state / "boot/vmlinuz"))
        x.VM.set_PV_ramdisk(vm, str(t.host.state / "boot/initrd.gz"))
        x.VM.set_PV_args(vm, "console=ttyS0 quiet mitigations=off")
        self.vifs = [t.vif(vm, n, str(i)) for i, n in enumerate(networks)]
        if prepare:
            prepare(vm)
        x.VM.start(vm, True, False)
        super().__init__(t, vm)
        x.VM.unpause(vm)
        self.n = 0

    def booted(self):
        self.until("poweroff -f ends it")
        # No prompts, no echo, no jobs
        self.s.sendall(b"stty -echo; echo RE''ADY; exec sh -c 'while read -r l; do eval \"$l\"; done'\n")
        self.until("READY\n")
        return self

    def sh(self, command, timeout=60):
        """(exit code, output)"""
        self.n += 1
        self.s.sendall(f"{{ {command}; }} 2>&1; echo END''-{self.n}-$?\n".encode())
        m = self.until(rf"(?s)(.*)END-{self.n}-(\d+)\n", timeout)
        return int(m[2]), m[1]

    def address(self, nic, timeout=60, family=4):
        end = time.monotonic() + timeout
        while True:
            _, said = self.sh(f"ip -{family} addr show dev {nic} scope global")
            if m := re.search(r"inet6? (\S+)/", said):
                return m[1]
            self.t.check(time.monotonic() < end, f"no address on {nic}: {said!r}")
            time.sleep(0.3)

    def nic(self, i=0):
        mac = self.t.x.VIF.get_MAC(self.vifs[i])
        found = self.t.eventually(lambda: re.search(r"/sys/class/net/(\S+)/address", self.sh(f"grep -l {mac} /sys/class/net/*/address")[1]),
                                  f"the guest has the NIC {mac}")
        return found[1]
