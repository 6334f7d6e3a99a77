"""Backups of the host: all that the core keeps, out and in."""
import hashlib
import io
import os
import signal
import tarfile

from accounts import PASSWORD
from bench import case
from cases_shared import make_subjects, pair


def put_blob(t, blob, data):
    task = t.x.task.create("put", "")
    t.equal(t.x.handler("PUT", "/blob", {"ref": blob, "task_id": task}, data)[0], 200)
    t.eventually(lambda: t.x.task.get_status(task) == "success", "the blob is filled")


def blob(t, ref):
    status, _, body = t.x.handler("GET", "/blob", {"ref": ref})
    return body if status == 200 else status


def restore(t, body, **query):
    x = t.x
    task = x.task.create("restore", "")
    t.equal(x.handler("PUT", "/host_restore", {"task_id": task, **query}, body, {"Content-Length": str(len(body))}, timeout=120)[0], 200)
    t.eventually(lambda: x.task.get_status(task) != "pending", "the restore ends", timeout=60)
    return x.task.get_status(task), x.task.get_error_info(task)


def packed(**files):
    """What a clever client would send: a tar with its sums, not compressed."""
    out = io.BytesIO()
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {name}\n" for name, body in files.items())
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, body in {**files, "SHA256SUMS": sums.encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


@case(own_host=True)
def the_host_is_backed_up_and_restored_as_a_whole(t):
    x, h = t.x, t.the_host()
    certs, spool = t.host.state / "core/trust/certs", t.host.state / "core/spool"
    vm, runs = t.vm("kept"), t.running_vm("runs")
    x.VM.set_name_description(vm, "as it was")
    note = x.VM.create_new_blob(vm, "note", "text/plain", False)
    emptied = x.blob.create("", False)
    put_blob(t, note, b"as it was")
    x.pool.install_ca_certificate("kept", pair(t, "kept")[0])
    files = sorted(f.name for f in certs.iterdir())
    status, headers, text = x.handler("GET", "/host_backup")
    t.equal((status, headers["Content-Type"], text[:4]), (200, "application/zstd", b"\x28\xb5\x2f\xfd"))
    t.equal(headers["Content-Disposition"], f'attachment; filename="{x.host.get_uuid(h)}.tar.zst"')
    before = (x.VM.get_record(vm), x.blob.get_record(note))

    put_blob(t, note, b"changed")
    put_blob(t, emptied, b"filled")
    x.VM.set_name_description(vm, "changed")
    later = x.VM.clone(vm, "made after the backup")
    x.VM.create_new_blob(later, "note", "", False)
    x.pool.uninstall_ca_certificate("kept")
    x.pool.install_ca_certificate("later", pair(t, "later")[0])
    guests = t.host.guests()

    # What is no backup changes nothing
    dump = x.handler("GET", "/pool/xmldbdump")[2]
    version = b"runnymede-host-backup 1\n"
    uuid = x.blob.get_uuid(note)
    flipped = bytearray(text)
    flipped[len(text) // 2] ^= 0x15
    bad = [b"", b"no", dump, text[:len(text) // 2], text[:-20], bytes(flipped), packed(version=version),
           packed(version=b"another-kind 1\n", **{"database.xml": dump}), packed(**{"database.xml": dump}),
           packed(version=version, **{"database.xml": dump[:-20]}), packed(version=version, **{"database.xml": b"<database></database>"})]
    for name in (f"blobs/../{uuid}", f"/blobs/{uuid}", f"blobs/{uuid}/x", "blobs/x", "crls/.x", "state.db", f"other/{uuid}"):
        bad.append(packed(version=version, **{"database.xml": dump, name: b"x"}))
    for i, body in enumerate(bad):
        state, why = restore(t, body)
        t.equal((state, why[:1]), ("failure", ["RESTORE_SCRIPT_FAILED"]), f"the {i}th: {why}")
    t.equal(restore(t, packed(version=b"runnymede-host-backup 2\n"))[1], ["RESTORE_INCOMPATIBLE_VERSION"])
    t.equal(restore(t, text, dry_run="true"), ("success", []))
    t.equal((x.VM.get_name_description(vm), blob(t, note), list(spool.iterdir())), ("changed", b"changed", []))
    make_subjects(t)
    operator = t.client("t-pool-operator", PASSWORD["t-pool-operator"])
    t.equal((operator.handler("GET", "/host_backup")[0], operator.handler("PUT", "/host_restore", {}, b"x")[0]), (403, 403))
    t.equal(x.handler("PUT", "/host_restore", {}, iter([text]), {"Transfer-Encoding": "chunked"})[0], 411)

    core = t.host.daemon_pids()["core"]
    t.equal(restore(t, text), ("success", []))
    t.eventually(lambda: t.host.daemon_pids().get("core") not in (None, core), "the core starts anew", timeout=60)
    t.eventually(lambda: (x.VM.get_record(vm), x.blob.get_record(note)) == before, "the VM is as it was", timeout=60)
    t.equal((blob(t, note), blob(t, emptied), x.blob.get_size(emptied)), (b"as it was", 404, 0))
    t.check(later not in x.VM.get_all(), "what came after it is gone")
    t.equal((x.pool.certificate_list(), sorted(f.name for f in certs.iterdir())), (["kept"], files))
    t.equal((t.power(runs), t.host.guests(), list(spool.iterdir())), ("Running", guests, []))
    t.equal([f.name for f in (t.host.state / "core/blobs").iterdir()], [uuid])


@case(own_host=True)
def a_restore_that_was_decided_outlives_a_killed_core_and_is_done_once(t):
    x, core = t.x, t.host.daemon_pids()["core"]
    note = x.pool.create_new_blob(t.pool(), "note", "", False)
    x.pool.set_name_label(t.pool(), "as it was")
    dump = x.handler("GET", "/pool/xmldbdump")[2]
    x.pool.set_name_label(t.pool(), "changed")
    spool = t.host.state / "core/spool"
    for kind in ("blobs", "certs", "crls"):
        (spool / "ready" / kind).mkdir(parents=True)
    (spool / "ready/blobs" / x.blob.get_uuid(note)).write_bytes(b"as it was")
    (spool / "ready/database.xml").write_bytes(dump)
    (spool / "new/blobs").mkdir(parents=True)
    (spool / "new/database.xml").write_bytes(b"half read")
    for f in [spool, *spool.rglob("*")]:
        os.chown(f, spool.stat().st_uid, spool.stat().st_gid)

    def again(pid):
        os.kill(pid, signal.SIGKILL)
        return t.eventually(lambda: t.host.daemon_pids().get("core") not in (None, pid) and t.host.daemon_pids()["core"], "core runs again")
    core = again(core)
    t.equal((x.pool.get_name_label(t.pool()), blob(t, note), x.blob.get_size(note)), ("as it was", b"as it was", 9))
    t.equal(list(spool.iterdir()), [])
    x.pool.set_name_label(t.pool(), "since then")
    again(core)
    t.equal(x.pool.get_name_label(t.pool()), "since then")
