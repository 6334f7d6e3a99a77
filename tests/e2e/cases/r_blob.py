"""Blobs: bytes beside objects, their way in and out, and where they go."""
import os
import signal

from accounts import PASSWORD
from bench import MIB, NULL, Watcher, case, open_socket
from cases_shared import make_subjects, read_head


def put(t, data, x=None, **query):
    """Puts it and waits for the end; how that was."""
    x = x or t.x
    task = x.task.create("put", "")
    status, _, _ = x.handler("PUT", "/blob", {"task_id": task, **query}, data)
    if status != 200:
        return status
    t.eventually(lambda: x.task.get_status(task) != "pending", "the upload ends")
    return x.task.get_status(task)


def get(t, x=None, **query):
    status, headers, body = (x or t.x).handler("GET", "/blob", query)
    return (status, body if status == 200 else b"", headers["Content-Type"])


def content_files(t):
    return sorted(f.name for f in (t.host.state / "core/blobs").iterdir())


@case
def bytes_beside_every_kind_of_object_come_back_as_they_went_in(t):
    x, vm = t.x, t.vm()
    network = x.network.create({"name_label": "blobs", "name_description": "", "MTU": 1500, "other_config": {}})
    t.on_end(t._quiet, "network.destroy", network)
    owners = {"VM": vm, "host": t.the_host(), "pool": t.pool(), "SR": t.sr(), "network": network}
    for cls, owner in owners.items():
        of = getattr(x, cls)
        blob = of.create_new_blob(owner, "a note", "text/plain", False)
        t.on_end(t._quiet, "blob.destroy", blob)
        t.effect(f"{cls}.create_new_blob", of.get_blobs(owner) == {"a note": blob})
        t.equal(t.fails("MAP_DUPLICATE_KEY", of.create_new_blob, owner, "a note", "", False),
                [cls, "blobs", of.get_uuid(owner), "a note"])
        t.fails("HANDLE_INVALID", of.create_new_blob, NULL, "a note", "", False)
        r = x.blob.get_record(blob)
        t.equal((r["size"], r["mime_type"], r["public"], r["last_updated"]), (0, "text/plain", False, "19700101T00:00:00Z"))
        t.equal(get(t, ref=blob)[0], 404, "before anything was put there")
        data = f"of {cls}\n".encode() + os.urandom(cls == "pool" and 3 * MIB or 100)
        t.equal(put(t, data, ref=blob), "success")
        t.equal(get(t, ref=blob), (200, data, "text/plain"))
        t.equal(get(t, uuid=r["uuid"]), (200, data, "text/plain"))
        r = x.blob.get_record(blob)
        t.equal(r["size"], len(data))
        t.check(r["last_updated"] > "2020", r["last_updated"])
        if cls in ("VM", "network"):
            continue
        x.blob.destroy(blob)
        t.effect("blob.destroy", of.get_blobs(owner) == {} and get(t, ref=blob)[0] == 404)
        t.fails("HANDLE_INVALID", x.blob.destroy, blob)
        t.check(r["uuid"] not in content_files(t), "its file goes")
    # What goes takes its blobs along, and a clone has none
    copy = x.VM.clone(vm, "a copy")
    t.adopt(copy)
    t.equal(x.VM.get_blobs(copy), {})
    for cls, owner in (("VM", vm), ("network", network)):
        of = getattr(x, cls)
        (blob,) = of.get_blobs(owner).values()
        uuid = x.blob.get_uuid(blob)
        t.check(uuid in content_files(t), "a file")
        of.destroy(owner)
        t.check(blob not in x.blob.get_all() and uuid not in content_files(t), f"gone with its {cls}")


@case
def a_blob_changes_as_a_whole_and_says_so(t):
    x = t.x
    t.fails("INVALID_VALUE", x.blob.create, "text/plain\r\nSet-Cookie: a=b", False)
    blob = x.blob.create("", False)
    t.on_end(t._quiet, "blob.destroy", blob)
    t.effect("blob.create", x.blob.get_mime_type(blob) == "application/octet-stream")
    w = Watcher(x, ["blob"])
    t.equal(put(t, b"first", ref=blob), "success")
    w.until(lambda w: w.cache["blob"][blob]["size"] == 5, "its event")
    w.close()
    # Cut off on the way: what was there stays
    task = x.task.create("put", "")
    s = open_socket(t.host.url)
    s.sendall(f"PUT /blob?ref={blob}&session_id={x.session_ref}&task_id={task} HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nsecond".encode())
    t.check(" 200 " in read_head(s), "it begins")
    t.equal(get(t, ref=blob)[1], b"first", "while another comes")
    s.close()
    t.eventually(lambda: x.task.get_status(task) == "failure", "a failure")
    t.equal((get(t, ref=blob)[1], x.blob.get_size(blob)), (b"first", 5))
    # So it does when the upload is cancelled
    task = x.task.create("put", "")
    s = open_socket(t.host.url)
    s.sendall(f"PUT /blob?ref={blob}&session_id={x.session_ref}&task_id={task} HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nsecond".encode())
    read_head(s)
    x.task.cancel(task)
    t.eventually(lambda: x.task.get_status(task) == "cancelled", "an end")
    s.close()
    t.equal(get(t, ref=blob)[1], b"first")
    t.equal(put(t, b"", ref=blob), "success")
    t.equal(get(t, ref=blob), (200, b"", "application/octet-stream"))
    # What is wrong is refused before a byte is read
    t.equal(get(t)[0], 400)
    t.equal(put(t, b"x"), 400)
    for wrong in ({"ref": "OpaqueRef:none"}, {"uuid": "none"}, {"ref": t.pool()}):
        t.equal((get(t, **wrong)[0], put(t, b"x", **wrong)), (404, 404))
    t.equal(x.handler("PUT", "/blob", {"ref": blob}, iter([b"x"]), {"Transfer-Encoding": "chunked"})[0], 411)
    t.equal(x.handler("PUT", "/blob", {"ref": blob}, b"", {"Content-Length": str(257 * MIB)})[0], 413)


@case
def only_a_public_blob_is_read_by_strangers_and_only_some_roles_write(t):
    x = t.x
    make_subjects(t)
    vm = t.vm()
    blob = x.VM.create_new_blob(vm, "icon", "image/png", False)
    t.equal(put(t, b"PNG", ref=blob), "success")
    stranger = {"session_id": ""}
    reader, power = (t.client(u, PASSWORD[u]) for u in ("t-read-only", "t-vm-power-admin"))
    t.equal(get(t, ref=blob, **stranger)[0], 401)
    t.equal(get(t, reader, ref=blob)[1], b"PNG")
    x.blob.set_public(blob, True)
    t.equal(get(t, ref=blob, **stranger), (200, b"PNG", "image/png"))
    status, headers, _ = x.handler("GET", "/blob", {"ref": blob, **stranger})
    t.equal((headers["Content-Security-Policy"], headers["X-Content-Type-Options"]), ("sandbox", "nosniff"))
    t.equal(x.handler("PUT", "/blob", {"ref": blob, **stranger}, b"no")[0], 401)
    t.equal(put(t, b"no", reader, ref=blob), 403)
    t.equal(put(t, b"yes", power, ref=blob), "success")
    t.equal(get(t, ref=blob)[1], b"yes")
    # A stranger who reads ends nobody's task
    task = x.task.create("mine", "")
    t.equal(get(t, ref=blob, task_id=task, **stranger)[0], 200)
    # and who may read something has no more power over others' than a call has
    t.equal(get(t, reader, ref=blob, task_id=task)[0], 403)
    t.equal(reader.handler("GET", "/audit_log", {"task_id": task})[0], 403)
    t.equal(reader.handler("GET", "/host_backup", {"task_id": task})[0], 403)
    t.equal(x.task.get_status(task), "pending")
    x.task.destroy(task)
    t.fails("RBAC_PERMISSION_DENIED", reader.blob.create, "", False)


@case(own_host=True)
def blobs_outlive_a_killed_core_and_their_place_can_be_closed(t):
    x = t.x
    blob = x.pool.create_new_blob(t.pool(), "kept", "text/plain", False)
    uuid = x.blob.get_uuid(blob)
    t.equal(put(t, b"kept", ref=blob), "success")
    before = x.blob.get_record(blob)
    s = open_socket(t.host.url)
    s.sendall(f"PUT /blob?ref={blob}&session_id={x.session_ref} HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nlost".encode())
    read_head(s)
    t.eventually(lambda: len(content_files(t)) == 2, "the new one is on its way")
    (t.host.state / "core/blobs/0d3f28b6-8a5c-4c1f-9f37-0a8f7a3cbe01").write_bytes(b"of no blob")
    pid = t.host.daemon_pids()["core"]
    os.kill(pid, signal.SIGKILL)
    t.eventually(lambda: t.host.daemon_pids().get("core") not in (None, pid), "core runs again")
    s.close()
    t.equal(x.blob.get_record(blob), before)
    t.equal((get(t, ref=blob)[1], content_files(t)), (b"kept", [uuid]))
    x.blob.destroy(blob)
    t.equal(x.pool.get_blobs(t.pool()), {}, "whose it was is known")

    blob = x.pool.create_new_blob(t.pool(), "again", "", False)
    t.equal(put(t, b"again", ref=blob), "success")
    make_subjects(t)
    power = t.client("t-vm-power-admin", PASSWORD["t-vm-power-admin"])
    t.fails("RBAC_PERMISSION_DENIED", power.pool.disable_binary_storage)
    t.fails("RBAC_PERMISSION_DENIED", power.pool.enable_binary_storage)
    x.pool.disable_binary_storage()
    t.effect("pool.disable_binary_storage", (get(t, ref=blob)[0], put(t, b"x", ref=blob), x.blob.get_size(blob)) == (404, 404, 0))
    t.equal((content_files(t), x.host.get_other_config(t.the_host()).get("no_local_storage")), ([], "true"))
    x.pool.enable_binary_storage()
    t.effect("pool.enable_binary_storage", put(t, b"x", ref=blob) == "success" and get(t, ref=blob)[1] == b"x")
