"""A guest started by hand: the very command line of one of ours, with nothing around it."""
import fcntl
import json
import os
import re
import signal
import socket
import tempfile
from pathlib import Path

from throwaway import bury

HIGH = 300  # our own numbers, away from those that the child gets


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


class Bare:
    """start() begins the process; output() waits for the guest's first bytes; end() kills it."""

    def __init__(self, argv, kernel, folder=None):
        self.folder = Path(folder or tempfile.mkdtemp(prefix="runnymede-bare."))
        self.argv = [self._here(a) for a in argv]
        self.kernel, self.sockets, self.pid = kernel, {}, None

    def _here(self, arg):
        """Names of files of the other guest's cell become names in our folder."""
        if arg.startswith("unix:"):
            return f"unix:{self.folder}/vnc.sock"
        return re.sub(r"^guest=.*", "guest=bare", arg)

    def _descriptors(self):
        """(number in the child, descriptor) for all that the command line names."""
        for option, value in zip(self.argv, self.argv[1:]):
            m = re.search(r"\bfd=(\d+)|/proc/self/fd/(\d+)", value)
            if not m:
                continue
            number = int(m[1] or m[2])
            if option == "-chardev":
                yield number, self._socket(re.search(r"id=([\w-]+)", value)[1])
            elif option == "-kernel":
                yield number, os.open(self.kernel, os.O_RDONLY)
            elif option == "-fw_cfg":
                yield number, os.open(os.devnull, os.O_RDONLY)
            else:
                raise ValueError(f"{option} {value}: not known what to give to a bare guest")

    def _socket(self, name):
        """A listening socket; our end of it is connected before QEMU is there, so nothing polls."""
        s = socket.socket(socket.AF_UNIX)
        path = str(self.folder / f"{name}.sock")
        s.bind(path)
        s.listen(1)
        if name in ("qmp", "serial0"):
            c = self.sockets[name] = socket.socket(socket.AF_UNIX)
            c.settimeout(60)
            c.connect(path)
        return s.detach()

    def start(self):
        actions, opened = [], []
        for number, fd in self._descriptors():
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH)
            os.close(fd)
            opened.append(high)
            actions.append((os.POSIX_SPAWN_DUP2, high, number))
        with open(self.folder / "log", "ab") as log:
            actions.append((os.POSIX_SPAWN_DUP2, log.fileno(), 2))
            self.pid = os.posix_spawnp(self.argv[0], self.argv, os.environ, file_actions=actions)
        for fd in opened:
            os.close(fd)
        qmp = self.sockets["qmp"].makefile("rw", buffering=1)
        qmp.readline()
        for command in ("qmp_capabilities", "cont"):
            qmp.write(json.dumps({"execute": command}) + "\n")
            while "return" not in json.loads(qmp.readline()):
                pass
        return self

    def output(self):
        return self.sockets["serial0"].recv(4096)

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = None
        for s in self.sockets.values():
            s.close()
        for f in self.folder.iterdir():
            f.unlink()
        self.folder.rmdir()
        bury()
