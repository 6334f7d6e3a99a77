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
    t.adopt(new)
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


def folder(t, name):
    path = t.host.folder / name
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    return str(path)


@case
def repositories_are_created_forgotten_introduced_and_destroyed(t):
    x, h = t.x, t.the_host()
    types = x.SR.get_supported_types()
    t.proven("SR.get_supported_types", set(types) == {r["type"] for r in x.SM.get_all_records().values()}, types)
    t.fails("SESSION_INVALID", t.bare().SR.get_supported_types)
    where = folder(t, "sr-one")
    args = [h, {"location": where}, 0, "one", "first", "dir", "user", False, {}]
    t.fails("SR_UNKNOWN_DRIVER", x.SR.create, *[a if a != "dir" else "no such driver" for a in args])
    sr = x.SR.create(*args)
    r = x.SR.get_record(sr)
    t.effect("SR.create", r["name_label"] == "one" and r["physical_size"] > 0 and x.PBD.get_currently_attached(r["PBDs"][0]), r)
    found = x.SR.probe(h, {"location": where}, "dir", {})
    t.proven("SR.probe", r["uuid"] in found and found.lstrip().startswith("<?xml"), found)
    t.fails("SR_UNKNOWN_DRIVER", x.SR.probe, h, {}, "no such driver", {})
    x.SR.update(sr)
    t.effect("SR.update", x.SR.get_physical_utilisation(sr) >= 0)
    t.fails("HANDLE_INVALID", x.SR.update, NULL)
    for name, value in (("name_label", "uno"), ("name_description", "primo"), ("shared", True), ("shared", False)):
        x.call(f"SR.set_{name}", sr, value)
        t.effect(f"SR.set_{name}", x.call(f"SR.get_{name}", sr) == value)
        t.fails("HANDLE_INVALID", x.call, f"SR.set_{name}", NULL, value)
    for name in ("physical_size", "physical_utilisation", "virtual_allocation"):
        x.call(f"SR.set_{name}", sr, 1 << 40)
        t.effect(f"SR.set_{name}", x.call(f"SR.get_{name}", sr) == 1 << 40)
        t.fails("HANDLE_INVALID", x.call, f"SR.set_{name}", NULL, 1)
    vdi = x.VDI.create(dict(name_label="inside", name_description="", SR=sr, virtual_size=2 * MIB, type="user", sharable=False,
                            read_only=False, other_config={}))
    t.fails("SR_HAS_PBD", x.SR.forget, sr)
    t.fails("SR_HAS_PBD", x.SR.destroy, sr)
    (pbd,) = r["PBDs"]
    t.fails("OPERATION_NOT_ALLOWED", x.PBD.set_device_config, pbd, {"location": where})
    x.PBD.unplug(pbd)
    t.fails("SR_NOT_EMPTY", x.SR.destroy, sr)
    x.PBD.set_device_config(pbd, {"location": where, "note": "kept"})
    t.effect("PBD.set_device_config", x.PBD.get_device_config(pbd) == {"location": where, "note": "kept"})
    x.SR.forget(sr)
    t.effect("SR.forget", sr not in x.SR.get_all() and vdi not in x.VDI.get_all() and pbd not in x.PBD.get_all())

    t.fails("UUID_INVALID", x.SR.introduce, "no-uuid", "again", "", "dir", "user", False, {})
    sr = x.SR.introduce(r["uuid"], "again", "", "DIR", "user", False, {})
    t.effect("SR.introduce", x.SR.get_uuid(sr) == r["uuid"] and x.SR.get_type(sr) == "dir" and x.SR.get_PBDs(sr) == [])
    t.fails("SR_UUID_EXISTS", x.SR.introduce, r["uuid"], "again", "", "dir", "user", False, {})
    pbd = x.PBD.create({"host": h, "SR": sr, "device_config": {"location": where}, "other_config": {}})
    t.fails("PBD_EXISTS", x.PBD.create, {"host": h, "SR": sr, "device_config": {"location": where}, "other_config": {}})
    x.PBD.plug(pbd)
    t.fails("OPERATION_NOT_ALLOWED", x.PBD.destroy, pbd)
    x.SR.scan(sr)
    (vdi,) = x.SR.get_VDIs(sr)
    t.equal(x.VDI.get_name_label(vdi), "inside")
    x.VDI.destroy(vdi)
    x.PBD.unplug(pbd)
    x.SR.destroy(sr)
    t.effect("SR.destroy", sr not in x.SR.get_all())


@case
def disks_are_forgotten_introduced_cloned_and_updated(t):
    x, sr, vdi = t.x, t.sr(), t.vdi(4 * MIB, "to forget")
    r = x.VDI.get_record(vdi)
    intro = lambda uuid: x.VDI.introduce(uuid, "back", "", sr, "user", False, False, {}, r["location"])
    t.fails("LOCATION_NOT_UNIQUE", intro, r["uuid"])
    x.VDI.forget(vdi)
    t.effect("VDI.forget", vdi not in x.VDI.get_all())
    t.fails("HANDLE_INVALID", x.VDI.forget, vdi)
    t.fails("UUID_INVALID", intro, "no-uuid")
    vdi = intro(r["uuid"])
    t.on_end(t._quiet, "VDI.destroy", vdi)
    t.effect("VDI.introduce", x.VDI.get_uuid(vdi) == r["uuid"] and x.VDI.get_virtual_size(vdi) == r["virtual_size"] and
             x.VDI.get_name_label(vdi) == "back")
    data = os.urandom(4 * MIB)
    put(t, vdi, data)
    x.VDI.update(vdi)
    t.effect("VDI.update", x.VDI.get_physical_utilisation(vdi) >= 4 * MIB)
    t.fails("HANDLE_INVALID", x.VDI.update, NULL)
    new = x.VDI.clone(vdi)
    t.on_end(t._quiet, "VDI.destroy", new)
    t.effect("VDI.clone", get(t, new)[2] == data)
    t.fails("HANDLE_INVALID", x.VDI.clone, NULL)
    copy = x.VDI.copy(vdi, sr)
    t.on_end(t._quiet, "VDI.destroy", copy)
    t.effect("VDI.copy", get(t, copy)[2] == data)
    small = t.vdi(MIB)
    t.fails("VDI_TOO_SMALL", x.VDI.copy, vdi, NULL, NULL, small)
    iso_sr = next(ref for ref, r in x.SR.get_all_records().items() if r["type"] == "iso")
    t.fails(("SR_OPERATION_NOT_SUPPORTED", "OPERATION_NOT_ALLOWED"), x.VDI.copy, vdi, iso_sr)


@case
def fields_of_a_disk_are_kept(t):
    x, vdi, other = t.x, t.vdi(), t.vdi(name="other")
    pool = t.pool()
    for name, value, back in [("name_label", "n", None), ("name_description", "d", None), ("sharable", True, False), ("read_only", True, False),
                              ("managed", False, True), ("missing", True, False), ("virtual_size", 9 * MIB, 8 * MIB),
                              ("physical_utilisation", 123, None), ("is_a_snapshot", True, False), ("snapshot_of", other, NULL),
                              ("snapshot_time", "20260131T09:05:00Z", None), ("metadata_of_pool", pool, NULL)]:
        x.call(f"VDI.set_{name}", vdi, value)
        t.effect(f"VDI.set_{name}", x.call(f"VDI.get_{name}", vdi) == value)
        t.fails("HANDLE_INVALID", x.call, f"VDI.set_{name}", NULL, value)
        if back is not None:
            x.call(f"VDI.set_{name}", vdi, back)


@case
def what_the_contract_always_refuses_is_refused(t):
    x, vm = t.x, t.running_vm(disk=True)
    (vbd,) = x.VM.get_VBDs(vm)
    t.fails("SR_OPERATION_NOT_SUPPORTED", x.VBD.pause, vbd)
    t.fails("SR_OPERATION_NOT_SUPPORTED", x.VBD.unpause, vbd, "")
    t.fails("MESSAGE_DEPRECATED", x.SR.make, t.the_host(), {}, 0, "", "", "dir", "", {})
