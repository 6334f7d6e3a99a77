"""Steps that several files of cases take."""
import subprocess

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
