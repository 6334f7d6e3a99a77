"""A throwaway host: all its processes in one folder, on loopback, ended by pid.

    with Host(folder, build="build", hypervisor="sim", password="secret") as host:
        x = host.client()

The host's guests outlive its daemons by design, so this process becomes the
reaper of everything below it (PR_SET_CHILD_SUBREAPER) and stop() ends what is
left of the tree. Nothing outside the folder is written.
"""
import ctypes
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from xapi import Client

ROOT = Path(__file__).resolve().parent.parent.parent
PR_SET_CHILD_SUBREAPER = 36
SYSTEM_USERS = ["runnymede-gate", "runnymede-core", "runnymede-storage", "runnymede-net", "runnymede-metric", "runnymede-plugin"]


# Writes down what it is told, and does it to the folder that it lies in.
CONTROL = r"""#!/bin/sh
dir=$(dirname "$0")
echo "$*" >> "$dir/told"
if [ -e "$dir/broken" ]; then echo "$1 is broken" >&2; exit 1; fi
case "$1 $2" in
"hostnamectl set-hostname") echo "$3" > "$dir/etc/hostname" ;;
"timedatectl set-timezone") ln -sfn "/usr/share/zoneinfo/$3" "$dir/etc/localtime" ;;
"timedatectl set-ntp") echo "$3" > "$dir/ntp" ;;
"timedatectl show")
    if [ "$(cat "$dir/ntp" 2>/dev/null)" = false ]; then echo NTPSynchronized=no; else echo NTPSynchronized=yes; fi ;;
"timedatectl show-timesync")
    servers=$(sed -n 's/^NTP=//p' "$dir/etc/systemd/timesyncd.conf.d/runnymede.conf" 2>/dev/null)
    echo "SystemNTPServers=$servers"; echo "FallbackNTPServers=0.debian.pool.ntp.org"; echo "ServerName=${servers%% *}" ;;
"systemctl enable") touch "$dir/running-$4" ;;
"systemctl disable") rm -f "$dir/running-$4" ;;
"systemctl is-active") [ -e "$dir/running-$3" ] ;;
"journalctl -k") echo "[    0.000000] a pretended machine starts" ;;
esac
"""


class StartError(Exception):
    pass


def default_build():
    return Path(os.environ.get("RUNNYMEDE_BUILD", ROOT / "build"))


_given = set()  # a port is given once per process, whoever listens on it by now


def free_port(address="127.0.0.1"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        with socket.socket(family) as s:
            s.bind((address, 0))
            port = s.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


def port_is_free(port, address="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((address, port))
        except OSError:
            return False
    return True


def has_system_users():
    try:
        return os.geteuid() == 0 and all(pwd.getpwnam(u) for u in SYSTEM_USERS)
    except KeyError:
        return False


# Processes

def process_table():
    """pid -> (parent, start time, name, state), of all processes."""
    table = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        table[int(entry)] = (int(rest[1]), int(rest[19]), name, rest[0])
    return table


def descendants(of):
    table = process_table()
    children = {}
    for pid, (parent, *_) in table.items():
        children.setdefault(parent, []).append(pid)
    found, queue = {}, [of]
    while queue:
        for child in children.get(queue.pop(), []):
            found[child] = table[child]
            queue.append(child)
    return found


def bury():
    """Takes the exit codes of orphans that came to us."""
    while True:
        try:
            info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if not info:
            return
        if info.si_pid in _kept:
            return  # Popen takes that one itself
        os.waitpid(info.si_pid, 0)


_kept = set()


def hash_password(build, password):
    program = build / "src/daemons/auth/runnymede-auth"
    r = subprocess.run([program, "--hash"], input=password.encode(), capture_output=True)
    if r.returncode:
        raise StartError(f"{program} --hash: {r.stderr.decode().strip()}")
    return r.stdout.decode().strip()


class Host:
    run_parent = None  # a folder for the run folder, where it shall not lie in the host's own
    loopback = "127.0.0.1"

    def __init__(self, folder=None, build=None, hypervisor="sim", password=None, listen=None, http=0, https=0,
                 users=None, net=None, log_level="info", accounts=(), novnc="/usr/share/novnc"):
        self.own_folder = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="runnymede-host.")).absolute()
        self.build = Path(build or default_build()).absolute()
        listen = listen or self.loopback
        self.hypervisor, self.listen, self.log_level = hypervisor, listen, log_level
        self.net = net or ("sim" if hypervisor == "sim" else "private")
        self.http, self.https = http or free_port(listen), https or free_port(listen)
        self.password = password or secrets.token_urlsafe(12)
        self.users = users or ("system" if has_system_users() else "none")
        self.accounts, self.novnc = list(accounts), novnc  # (name, password, groups)
        self.state, self.run = self.folder / "state", self._run_folder()
        self.supervisor = None
        self._read_up_to = {}

    def _run_folder(self):
        # A Unix socket's path has 107 bytes: a deep folder gets its sockets elsewhere.
        run = self.folder / "run"
        if len(str(run)) <= 50 and not self.run_parent:
            return run
        note = self.folder / "run-folder"
        if note.exists():
            return Path(note.read_text().strip())
        self.folder.mkdir(parents=True, exist_ok=True)
        run = Path(tempfile.mkdtemp(prefix="runnymede-run.", dir=self.run_parent))
        run.chmod(0o755)  # the daemons' users, and pasta's, pass through
        note.write_text(f"{run}\n")
        return run

    # Addresses

    @property
    def _name(self):
        return f"[{self.listen}]" if ":" in self.listen else self.listen

    @property
    def url(self):
        return f"http://{self._name}:{self.http}"

    @property
    def tls_url(self):
        return f"https://{self._name}:{self.https}"

    @property
    def socket_url(self):
        return f"unix:{self.run}/xapi.sock"

    def client(self, user="root", password=None, **args):
        c = Client(args.pop("url", self.url), **args).login(user, self.password if password is None else password)
        return c

    # Life

    def _write(self, path, text, mode=0o600):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(fd, "w") as f:
            f.write(text)

    def prepare(self):
        program = self.build / "src/daemons/supervisor/runnymede-supervisor"
        if not program.exists():
            raise StartError(f"{program} is not there: build first (meson setup build && ninja -C build)")
        if self.hypervisor == "qemu" and not shutil.which("qemu-system-x86_64"):
            raise StartError("qemu-system-x86_64 is not installed: run tools/setup, or take the simulator (--hypervisor sim)")
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.own_folder:
            self.folder.chmod(0o755)  # the daemons' users pass through
        for port in (self.http, self.https):
            if not port_is_free(port, self.listen):
                raise StartError(f"port {port} of {self.listen} is taken: name another one")
        lines = [f"root:{hash_password(self.build, self.password)}"]
        for name, password, *groups in self.accounts:
            more = f":{','.join(groups)}" if groups else ""
            lines.append(f"{name}:{hash_password(self.build, password)}{more}")
        self._write(self.folder / "passwd", "\n".join(lines) + "\n")
        (self.state / "iso").mkdir(parents=True, exist_ok=True)
        (self.state / "boot").mkdir(parents=True, exist_ok=True)
        for d in (self.state, self.state / "iso", self.state / "boot"):
            d.chmod(0o755)
        self._pretend_machine()
        # A throwaway host may not power its machine: what it was asked to do is written down.
        self._write(self.folder / "power", f"#!/bin/sh\necho \"$1\" >> {self.folder}/powered\n", 0o755)
        self._write(self.folder / "runnymede.conf", f"""# A throwaway host, written by tools/lib/throwaway.py.
state_dir = {self.state}
run_dir = {self.run}
listen = {self.listen}
http_port = {self.http}
https_port = {self.https}
hypervisor = {self.hypervisor}
net = {self.net}
auth = file:{self.folder}/passwd
users = {self.users}
novnc_dir = {self.novnc}
power = {self.folder}/power
machine = {self.folder}/machine
log_level = {self.log_level}
""", 0o644)
        return program

    def _pretend_machine(self):
        """What a throwaway host takes for its machine: a folder, and a program that stands for the tools of systemd."""
        machine = self.folder / "machine"
        for d in ("systemd", "rsyslog.d", "iscsi", "profile.d", "runnymede/plugins", "runnymede/extensions"):
            (machine / "etc" / d).mkdir(parents=True, exist_ok=True)
        for d in (machine, machine / "etc", *(machine / "etc").rglob("*")):
            if d.is_dir():
                d.chmod(0o755)
        self._write(machine / "etc/systemd/timesyncd.conf", "[Time]\n", 0o644)
        if not (machine / "control").exists():
            self._write(machine / "running-ssh", "")
        self._write(machine / "control", CONTROL, 0o755)

    def start(self, timeout=60):
        program = self.prepare()
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        log = open(self.folder / "supervisor.log", "ab")
        self.supervisor = subprocess.Popen([program, "--config", self.folder / "runnymede.conf"], stdin=subprocess.DEVNULL,
                                           stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        log.close()
        _kept.add(self.supervisor.pid)
        seen, end = b"", time.monotonic() + timeout
        while b"ready" not in seen:
            left = end - time.monotonic()
            ready, _, _ = select.select([self.supervisor.stdout], [], [], max(0, min(left, 1)))
            piece = os.read(self.supervisor.stdout.fileno(), 4096) if ready else b""
            seen += piece
            if left <= 0 or (ready and not piece):
                code = self.supervisor.poll()
                self.stop()
                why = "did not become ready" if code is None else f"ended with code {code}"
                raise StartError(f"the host {why}; its logs say:\n{self.complaints()}")
        return self

    def complaints(self, lines=12):
        """The last words of each log, for a person who wants to know why."""
        text = []
        for log in [self.folder / "supervisor.log", *sorted((self.state / "log").glob("*.log"))]:
            try:
                tail = log.read_text(errors="replace").splitlines()[-lines:]
            except OSError:
                continue
            text += [f"  {log.name}: {line}" for line in tail]
        return "\n".join(text)

    def news(self, lines=25):
        """What the logs say that they had not said at the last call."""
        text = []
        for log in [self.folder / "supervisor.log", *sorted((self.state / "log").glob("*.log"))]:
            with open(log, errors="replace") as f:
                f.seek(self._read_up_to.get(log, 0))
                fresh = f.read().splitlines()
                self._read_up_to[log] = f.tell()
            text += [f"  {log.name}: {line}" for line in fresh[-lines:]]
        return "\n".join(text)

    def stop_daemons(self, how=signal.SIGTERM, timeout=25):
        """Ends the daemons; guests live on."""
        if not self.supervisor:
            return
        if self.supervisor.poll() is None:
            self.supervisor.send_signal(how)
            try:
                self.supervisor.wait(timeout)
            except subprocess.TimeoutExpired:
                self.supervisor.kill()
                self.supervisor.wait()
        _kept.discard(self.supervisor.pid)
        self.supervisor.stdout.close()
        self.supervisor = None

    def stop(self):
        self.stop_daemons()
        self.kill_rest()

    def _is_ours(self, pid):
        """Of this host, not of another one that the same process started: it names or stands in our folders."""
        for what in ("cmdline", "environ"):
            try:
                text = Path("/proc", str(pid), what).read_bytes()
            except OSError:
                continue
            if str(self.run).encode() in text or str(self.folder).encode() in text:
                return True
        try:
            fds = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            return False
        for fd in fds:
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}").startswith((str(self.run), str(self.folder))):
                    return True
            except OSError:
                continue
        return False

    def processes(self):
        """pid -> name of every process of this host that lives: daemons, vm processes, guests."""
        return {pid: name for pid, (_, _, name, state) in descendants(os.getpid()).items()
                if state != "Z" and self._is_ours(pid)}

    def guests(self):
        return {pid: n for pid, n in self.processes().items() if n.startswith("qemu-system")}

    def daemon_pids(self):
        """name -> pid of the daemons, as the supervisor wrote them down."""
        pids = {}
        for f in (self.run / "pids").glob("*.pid"):
            try:
                pids[f.stem] = int(f.read_text().split()[0])
            except (OSError, ValueError, IndexError):
                pass
        return pids

    def kill_rest(self):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            left = self.processes()
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            bury()
            if not left:
                return
            time.sleep(0.05)
        raise StartError(f"processes that do not die: {self.processes()}")

    def remove(self):
        self.stop()
        if self.run.parent != self.folder:
            shutil.rmtree(self.run, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        if self.own_folder and not os.environ.get("RUNNYMEDE_KEEP"):
            self.remove()
        else:
            self.stop()
            if os.environ.get("RUNNYMEDE_KEEP"):
                print(f"kept: {self.folder}", file=sys.stderr)
