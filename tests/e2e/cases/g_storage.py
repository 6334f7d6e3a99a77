"""Disks: making, changing, and their bytes in and out."""
import hashlib
import os
import threading
import urllib.parse

from bench import MIB, NULL, case, open_socket


@case
def disks_are_made_resized_and_destroyed(t):
    x, sr = t.x, t.sr()
    vdi = t.vdi(10 * MIB + 1)
    r = x.VDI.get_record(vdi)
    t.check(10 * MIB < r["virtual_size"] <= 12 * MIB, r["virtual_size"])
    t.check(r["location"] and r["managed"] and "destroy" in r["allowed_operations"], r)
    x.VDI.set_name_label(vdi, "renamed")
    t.equal(x.VDI.get_name_label(vdi), "renamed")
    x.VDI.resize(vdi, 20 * MIB)
    t.effect("VDI.resize", x.VDI.get_virtual_size(vdi) == 20 * MIB)
    t.fails("HANDLE_INVALID", x.VDI.resize, NULL, 20 * MIB)
    x.SR.scan(sr)
    t.check(x.VDI.get_uuid(vdi) == r["uuid"], "a scan keeps it")
    x.VDI.destroy(vdi)
    t.check(vdi not in x.VDI.get_all(), "gone")
    t.fails("HANDLE_INVALID", x.VDI.destroy, vdi)
    t.fails("HANDLE_INVALID", x.VDI.create, dict(name_label="", name_description="", SR=NULL, virtual_size=MIB, type="user", sharable=False,
                                                  read_only=False, other_config={}))


def put(t, vdi, data, **query):
    return t.x.handler("PUT", "/import_raw_vdi", {"vdi": vdi, "format": "raw", **query}, data)


def get(t, vdi, **query):
    return t.x.handler("GET", "/export_raw_vdi", {"vdi": vdi, "format": "raw", **query})


@case
def raw_bytes_come_back_as_they_went_in(t):
    vdi = t.vdi(6 * MIB)
    data = os.urandom(3 * MIB) + bytes(MIB) + os.urandom(2 * MIB)
    status, headers, _ = put(t, vdi, data)
    t.equal(status, 200)
    status, headers, back = get(t, vdi)
    t.equal((status, headers["Content-Type"]), (200, "application/octet-stream"))
    t.check(headers["Content-Disposition"].startswith("attachment"), headers["Content-Disposition"])
    t.equal((len(back), hashlib.sha256(back).hexdigest()), (len(data), hashlib.sha256(data).hexdigest()))
    uuid = t.x.VDI.get_uuid(vdi)
    t.equal(get(t, uuid)[2], data, "by uuid, too")
    t.check(t.x.handler("GET", "/export_raw_vdi/", {"vdi": vdi})[2] == data, "with a slash at the end")


@case
def a_task_given_by_the_client_ends_with_the_transfer(t):
    x, vdi = t.x, t.vdi(2 * MIB)
    task = x.task.create("import", "")
    status, headers, _ = put(t, vdi, bytes(2 * MIB), task_id=task)
    t.equal((status, headers["task-id"]), (200, task))
    t.eventually(lambda: x.task.get_status(task) != "pending", "the task ends")
    t.equal(x.task.get_status(task), "success")
    x.task.destroy(task)
    task = x.task.create("export", "")
    t.equal(get(t, vdi, task_id=task)[0], 200)
    t.eventually(lambda: x.task.get_status(task) == "success", "the export's task succeeds")
    x.task.destroy(task)


@case
def the_empty_put_before_an_upload_is_answered_well(t):
    vdi = t.vdi(2 * MIB)
    t.check(put(t, vdi, b"")[0] in (200, 302), "an empty PUT")


@case
def transfers_need_a_session_and_a_disk(t):
    x, vdi = t.x, t.vdi(2 * MIB)
    t.equal(x.handler("GET", "/export_raw_vdi", {"vdi": vdi, "session_id": "OpaqueRef:no"})[0], 401)
    t.check(get(t, "OpaqueRef:no")[0] in (400, 404, 500), "an unknown disk")
    t.check(x.handler("GET", "/export_raw_vdi", {})[0] in (400, 404, 500), "no disk named")
    t.check(get(t, vdi, format="no such")[0] in (404, 500), "an unknown format")
    import base64
    basic = base64.b64encode(f"root:{t.host.password}".encode()).decode()
    status, _, body = x.handler("GET", "/export_raw_vdi", {"vdi": vdi, "session_id": ""}, headers={"Authorization": f"Basic {basic}"})
    t.equal((status, len(body)), (200, 2 * MIB), "basic authentication")


@case
def an_upload_that_is_cut_fails_its_task(t):
    x, vdi = t.x, t.vdi(4 * MIB)
    task = x.task.create("cut", "")
    q = urllib.parse.urlencode({"vdi": vdi, "format": "raw", "session_id": x.session_ref, "task_id": task})
    with open_socket(t.host.url) as s:
        s.sendall(f"PUT /import_raw_vdi?{q} HTTP/1.1\r\nHost: t\r\nContent-Length: {4 * MIB}\r\n\r\n".encode() + bytes(MIB))
    t.eventually(lambda: x.task.get_status(task) != "pending", "the task ends")
    t.equal(x.task.get_status(task), "failure")
    x.task.destroy(task)
    t.eventually(lambda: x.VDI.get_current_operations(vdi) == {}, "the disk is free again")


@case
def large_transfers_go_side_by_side(t):
    vdis = [t.vdi(16 * MIB, f"side {i}") for i in range(4)]
    blobs = [os.urandom(MIB) * 16 for _ in vdis]
    seen = {}

    def work(i):
        seen[i] = put(t, vdis[i], blobs[i])[0] == 200 and get(t, vdis[i])[2] == blobs[i]
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for w in threads:
        w.start()
    t.x.pool.get_all()
    for w in threads:
        w.join()
    t.equal(seen, {i: True for i in range(4)})


@case
def what_a_clone_writes_stays_in_the_clone(t):
    x, vm = t.x, t.vm(disk=True)
    vdi = x.VBD.get_VDI(x.VM.get_VBDs(vm)[0])
    data = os.urandom(8 * MIB)
    put(t, vdi, data)
    new = x.VM.copy(vm, "copy", NULL)
    t._vms.append(new)
    copy = x.VBD.get_VDI(x.VM.get_VBDs(new)[0])
    t.on_end(t._quiet, "VDI.destroy", copy)
    t.equal(get(t, copy)[2], data)
    put(t, copy, bytes(8 * MIB))
    t.equal(get(t, vdi)[2], data)


@case
def storage_repositories_are_plugged_and_scanned(t):
    x, sr = t.x, t.sr()
    r = x.SR.get_record(sr)
    t.check(r["physical_size"] > 0 and r["content_type"] == "user" and not r["shared"], r)
    (pbd,) = r["PBDs"]
    t.equal(x.PBD.get_host(pbd), t.the_host())
    x.PBD.unplug(pbd)
    t.effect("PBD.unplug", x.PBD.get_currently_attached(pbd) is False)
    t.fails(("SR_HAS_NO_PBDS", "SR_NOT_ATTACHED", "SR_DETACHED"), x.SR.scan, sr)
    x.PBD.plug(pbd)
    t.effect("PBD.plug", x.PBD.get_currently_attached(pbd) is True)
    for m in ("plug", "unplug"):
        t.fails("HANDLE_INVALID", getattr(x.PBD, m), "OpaqueRef:no")
