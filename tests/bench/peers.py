"""The peer that manages VMs: libvirt with its QEMU driver, in a mount namespace of its own.

libvirtd runs as root on sockets and folders in a throwaway /run and /var/lib, and does
not see a /dev/kvm that only emulates (it would probe QEMU anew at each start).
"""
import os
import subprocess
import tempfile
import time
from pathlib import Path

from report import MissingPeer, need
from throwaway import StartError

# A tmpfs over every folder that libvirt writes to, and a /dev with what QEMU needs.
SETUP = r"""
set -e
mount --make-rprivate /
for d in /run /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do mkdir -p $d; done
mkdir -p $DIR/dev
mount -t tmpfs none $DIR/dev
for d in null zero random urandom tty; do touch $DIR/dev/$d; mount --bind /dev/$d $DIR/dev/$d; done
mkdir $DIR/dev/pts $DIR/dev/shm $DIR/dev/net
mount -t devpts -o newinstance,ptmxmode=0666 none $DIR/dev/pts
ln -s pts/ptmx $DIR/dev/ptmx
mount -t tmpfs none $DIR/dev/shm
mount --rbind $DIR/dev /dev
for d in /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do mount -t tmpfs none $d; done
mount -t tmpfs none /run
mkdir -p /run/libvirt /var/lib/libvirt/qemu
cat > /etc/libvirt/qemu.conf <<'E'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
security_driver = "none"
E
cat > /etc/libvirt/libvirtd.conf <<E
unix_sock_dir = "$DIR"
auth_unix_rw = "none"
E
virtlogd -d
libvirtd &
wait $!  # as the namespace's first process the shell buries what libvirtd's daemons leave
"""


class Libvirt:
    def __init__(self, report):
        self.report = report

    def __enter__(self):
        for program in ("libvirtd", "virtlogd"):
            need(program, "libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-system")
        if os.geteuid() != 0:
            raise MissingPeer("libvirt's QEMU driver is measured as root")
        try:
            import libvirt
        except ImportError:
            raise MissingPeer("python3-libvirt is missing: apt-get install python3-libvirt")
        self.api = libvirt
        libvirt.registerErrorHandler(lambda *_: None, None)
        self.folder = Path(tempfile.mkdtemp(prefix="runnymede-peer."))
        self.report.peer("libvirt", [need("libvirtd", "libvirt-daemon"), "--version"], "unshare --mount --pid libvirtd, qemu:///system, no /dev/kvm")
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", SETUP],
                                        env={**os.environ, "DIR": str(self.folder), "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.folder / "log", "w"), start_new_session=True)
        end = time.monotonic() + 30
        while True:
            try:
                self.connection = libvirt.open(f"qemu+unix:///system?socket={self.folder}/libvirt-sock")
                return self
            except libvirt.libvirtError as e:
                if time.monotonic() > end or self.process.poll() is not None:
                    log = (self.folder / "log").read_text()[-800:]
                    self.__exit__()
                    raise StartError(f"libvirtd does not start: {e}\n{log}")
                time.sleep(0.1)

    def __exit__(self, *_):
        connection = getattr(self, "connection", None)
        if connection:
            connection.close()
        self.process.kill()  # the namespace's first process: all in it go with it
        self.process.wait()
        subprocess.run(["rm", "-rf", "--one-file-system", self.folder])

    def domain(self, name, kernel, listener, memory_mib=16):
        """A defined domain with what our own VM has: q35, a VGA, USB, a virtio port; its serial line dials listener."""
        return self.connection.defineXML(f"""
<domain type='qemu'><name>{name}</name><memory unit='MiB'>{memory_mib}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader readonly='yes' type='rom'>/usr/share/seabios/bios.bin</loader><kernel>{kernel}</kernel><cmdline>quiet</cmdline></os>
<features><acpi/></features><on_crash>destroy</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<serial type='unix'><source mode='connect' path='{listener}'/><target port='0'/></serial>
<controller type='usb' model='qemu-xhci'/><input type='tablet' bus='usb'/>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<video><model type='vga'/></video><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
<memballoon model='none'/><panic model='isa'/></devices></domain>""")

    def dominfo_rate(self, seconds):
        """virDomainGetInfo calls per second on one connection, domain not running."""
        with tempfile.NamedTemporaryFile() as kernel:
            d = self.domain("asked", kernel.name, self.folder / "none")
        n, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for _ in range(200):
                d.info()
            n += 200
        rate = n / (time.perf_counter() - began)
        d.undefine()
        return rate
