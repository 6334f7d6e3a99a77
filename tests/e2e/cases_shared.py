"""Steps that several files of cases take."""
import os
import subprocess
import time
from pathlib import Path

from accounts import ROLES


def make_subjects(t):
    """A subject for each of the six roles, u:t-ROLE; once per host."""
    x = t.x
    roles = {r["name_label"]: ref for ref, r in x.role.get_all_records().items()}
    known = {s["subject_identifier"]: ref for ref, s in x.subject.get_all_records().items()}
    for role in ROLES:
        sid = f"u:t-{role}"
        if sid in known:
            continue
        s = x.subject.create({"subject_identifier": sid, "other_config": {}})
        have = x.subject.get_roles(s)
        if roles[role] not in have:
            x.subject.add_to_roles(s, roles[role])
            t.effect("subject.add_to_roles", roles[role] in x.subject.get_roles(s))
        t.fails("ROLE_ALREADY_EXISTS", x.subject.add_to_roles, s, roles[role])
        for old in have:
            if old != roles[role]:
                x.subject.remove_from_roles(s, old)
                t.effect("subject.remove_from_roles", old not in x.subject.get_roles(s))
        t.fails("ROLE_NOT_FOUND", x.subject.remove_from_roles, s, "OpaqueRef:no-such-role")
        t.fails("ROLE_NOT_FOUND", x.subject.add_to_roles, s, "OpaqueRef:no-such-role")
        known[sid] = s
    return known


def read_head(s):
    head = b""
    while b"\r\n\r\n" not in head:
        piece = s.recv(1)
        if not piece:
            break
        head += piece
    return head.decode()


def openssl(*argv, stdin=None):
    r = subprocess.run(["openssl", *argv], input=stdin, capture_output=True, text=True, timeout=30)
    if r.returncode:
        raise RuntimeError(f"openssl {' '.join(argv)}: {r.stderr}")
    return r.stdout


def pair(t, name, *more, key=("rsa:2048",)):
    k, c = t.host.folder / f"{name}.key", t.host.folder / f"{name}.crt"
    openssl("req", "-x509", "-newkey", *key, "-nodes", "-keyout", str(k), "-out", str(c), "-subj", f"/CN={name}", *more)
    return c.read_text(), k.read_text()


def network(t, name, **other):
    ref = t.x.network.create({"name_label": name, "name_description": "", "MTU": 1500, "other_config": other, "bridge": "",
                              "managed": True, "tags": []})
    t.on_end(t._quiet, "network.destroy", ref)
    return ref


class Shell:
    """xe as a user has it: a home folder, a path, and the local socket unless told otherwise."""

    def __init__(self, t):
        self.t = t
        self.program = Path(t.host.build) / "src/cli/xe"
        if not self.program.exists():
            subprocess.run(["ninja", "-C", str(t.host.build), "src/cli/xe"], stdout=subprocess.DEVNULL, check=True)
        self.home = t.host.folder / f"home-{time.monotonic_ns()}"
        self.home.mkdir(parents=True)
        self.env = {"PATH": f"{self.program.parent}:{os.environ['PATH']}", "HOME": str(self.home),
                    "XE_SOCKET": f"{t.host.run}/xapi.sock", "LC_ALL": "C.UTF-8"}

    def run(self, *args, env=None, data=b""):
        r = subprocess.run([self.program, *args], input=data, capture_output=True, timeout=60, env={**self.env, **(env or {})})
        return r.returncode, r.stdout.decode(), r.stderr.decode()

    def __call__(self, *args, **kw):
        """Must succeed; what it prints, without the last newlines."""
        code, out, err = self.run(*args, **kw)
        self.t.equal(code, 0, f"xe {' '.join(args)}: {err.strip()}")
        return out.rstrip("\n")

    def fails(self, text, *args, **kw):
        code, out, err = self.run(*args, **kw)
        self.t.equal((code, out), (1, ""), f"xe {' '.join(args)}")
        self.t.check(text in err, f"xe {' '.join(args)} says {err!r}, without {text!r}")
        return err

    def bash(self, script, timeout=60):
        r = subprocess.run(["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=timeout, env=self.env, cwd=self.home)
        return r.returncode, r.stdout.decode()
