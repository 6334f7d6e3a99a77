"""Figures: /rrd_updates as Xen Orchestra asks for it, whole archives, data sources, Prometheus."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from datetime import datetime, timezone
from pathlib import Path

from bench import MIB, case, server_case


def server_time(t):
    at = t.x.host.get_servertime(t.the_host())
    if not isinstance(at, str):
        at = str(at)
    return int(datetime.strptime(at, "%Y%m%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp())


def updates(t, **query):
    """Exactly what Xen Orchestra sends; the legend as a dict of columns, newest value first."""
    q = {"cf": "AVERAGE", "host": "true", "interval": "5", "json": "true", "start": str(server_time(t) - 300)}
    q.update(query)
    status, headers, body = t.x.handler("GET", "/rrd_updates", q)
    t.equal(status, 200, body[:200])
    t.check(headers["Content-Type"].startswith("application/json"), headers["Content-Type"])
    answer = json.loads(body)
    columns = {name: [row["values"][i] for row in answer["data"]] for i, name in enumerate(answer["meta"]["legend"])}
    return answer, columns


def newest(columns, name):
    """The newest number of that column; None as long as there is none."""
    for v in columns.get(name, []):
        if v != "NaN":
            return float(v)
    return None


def until_known(t, names, timeout=40):
    def look():
        _, columns = updates(t)
        return columns if all(newest(columns, n) is not None for n in names) else None
    return t.eventually(look, f"figures of {names}", timeout)


@case
def xen_orchestras_query_is_answered_to_the_letter(t):
    vm = t.running_vm(disk=True, nic=True)
    uuid, host = t.x.VM.get_uuid(vm), t.x.host.get_uuid(t.the_host())
    wanted = [f"AVERAGE:host:{host}:{n}" for n in ("cpu0", "cpu_avg", "loadavg", "memory_total_kib", "memory_free_kib",
                                                   "running_vcpus", "running_domains", "hostload",
                                                   "pool_session_count", "pool_task_count")]
    wanted += [f"AVERAGE:vm:{uuid}:{n}" for n in ("cpu0", "cpu_usage", "memory", "memory_target", "vbd_xvda_read",
                                                  "vbd_xvda_write", "vbd_xvda_iops_total")]
    if not t.qemu:  # on the throwaway host QEMU's guests have no tap
        wanted += [f"AVERAGE:vm:{uuid}:vif_0_{d}" for d in ("rx", "tx")]
    columns = until_known(t, wanted)
    answer, columns = updates(t)
    meta = answer["meta"]
    t.equal(meta["step"], "5")
    t.check(all(isinstance(meta[k], str) for k in ("start", "step", "end", "rows", "columns")), meta)
    times = [int(row["t"]) for row in answer["data"]]
    t.check(times == sorted(times, reverse=True) and len(times) == int(meta["rows"]), times)
    t.equal([times[0], times[-1]], [int(meta["end"]), int(meta["start"])])
    t.check(all(a - b == 5 for a, b in zip(times, times[1:])) and times[0] % 5 == 0, times)
    t.check(abs(times[0] - server_time(t)) < 15, "the newest row is of now")
    t.equal(len(meta["legend"]), int(meta["columns"]))
    t.check(all(len(row["values"]) == len(meta["legend"]) for row in answer["data"]), "a value per column")
    value = {n.split(":")[3] if ":vm:" in n else "host " + n.split(":")[3]: newest(columns, n) for n in wanted}
    kib = int([line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal")][0])
    t.equal(value["host memory_total_kib"], kib)
    t.check(0 < value["host memory_free_kib"] < kib, value)
    t.check(0 <= value["host cpu_avg"] <= 1.05 and value["host loadavg"] >= 0, value)
    t.check(value["host running_domains"] >= 1 and value["host pool_session_count"] >= 1, value)
    t.equal(value["memory"], float(32 * MIB))
    t.check(0 <= value["cpu0"] <= 1.05, value)


@server_case
def each_interval_has_its_archive(t):
    now = server_time(t)
    for step, points in ((5, 60), (60, 119), (3600, 167), (86400, 365)):
        answer, _ = updates(t, interval=str(step), start=str(now - points * step))
        t.equal(answer["meta"]["step"], str(step))
        t.check(points - 2 <= int(answer["meta"]["rows"]) <= points + 1, answer["meta"]["rows"])


@server_case
def format_and_objects_are_chosen(t):
    vm, other = t.running_vm(), t.running_vm("other")
    uuid = t.x.VM.get_uuid(vm)
    until_known(t, [f"AVERAGE:vm:{uuid}:memory", f"AVERAGE:vm:{t.x.VM.get_uuid(other)}:memory"])
    q = {"start": "-30"}
    status, headers, body = t.x.handler("GET", "/rrd_updates", q)
    t.check(status == 200 and headers["Content-Type"].startswith("text/xml"), (status, headers["Content-Type"]))
    root = ET.fromstring(body)
    t.equal([e.tag for e in root], ["meta", "data"])
    t.equal([e.tag for e in root[0]], ["start", "step", "end", "rows", "columns", "legend"])
    t.check(":host:" not in body.decode() and f"AVERAGE:vm:{uuid}:memory" in body.decode(), "no host, all VMs")
    for accept, kind in (("application/json", "application/json"), ("*/*", "application/json"), ("text/xml", "text/xml"),
                         ("text/xml, application/json;q=0.5", "text/xml"), ("image/png", "text/xml")):
        _, headers, _ = t.x.handler("GET", "/rrd_updates", q, headers={"Accept": accept})
        t.check(headers["Content-Type"].startswith(kind), (accept, headers["Content-Type"]))
    answer, columns = updates(t, vm_uuid=uuid, host="false")
    t.check(columns and all(f":{uuid}:" in n for n in columns), list(columns)[:5])
    sr = t.x.SR.get_uuid(t.sr())
    _, columns = updates(t, sr_uuid=sr)
    t.check(f"AVERAGE:sr:{sr}:physical_size" in columns, "SRs on demand")
    answer, columns = updates(t, cf="MAX")
    t.equal(columns, {}, "there are only averages")
    for bad in ({}, {"start": "x"}, {"start": "0", "cf": "MEDIAN"}, {"start": "0", "interval": "-1"}):
        t.equal(t.x.handler("GET", "/rrd_updates", bad)[0], 400, bad)
    t.equal(t.x.handler("GET", "/rrd_updates", {"start": "0", "session_id": "OpaqueRef:none"})[0], 401)


def judge(t, body):
    if not shutil.which("rrdtool"):
        print("  rrdtool is not installed: its judgement is skipped")
        return
    # rrdtool takes names of up to 19 characters; some of the contract's are longer.
    names = sorted({e.text for e in ET.fromstring(body).iter("name")}, key=len, reverse=True)
    text = body.decode()
    for i, n in enumerate(names):
        text = text.replace(f"<name>{n}</name>", f"<name>n{i}</name>") if len(n) > 19 else text
    with tempfile.TemporaryDirectory() as d:
        (Path(d) / "x.xml").write_text(text)
        p = subprocess.run(["rrdtool", "restore", f"{d}/x.xml", f"{d}/x.rrd"], capture_output=True, text=True, timeout=60)
        t.equal((p.returncode, p.stderr), (0, ""))


@server_case
def whole_archives_are_what_rrdtool_restores(t):
    vm = t.running_vm()
    uuid, host = t.x.VM.get_uuid(vm), t.x.host.get_uuid(t.the_host())
    until_known(t, [f"AVERAGE:vm:{uuid}:memory", f"AVERAGE:host:{host}:cpu_avg"])
    sr = t.x.SR.get_uuid(t.sr())
    for path, q in (("/host_rrd", {}), ("/host_rrds", {}), ("/vm_rrd", {"uuid": uuid}), ("/vm_rrds", {"uuid": uuid}),
                    ("/sr_rrd", {"uuid": sr})):
        status, _, body = t.x.handler("GET", path, q)
        t.equal(status, 200, path)
        root = ET.fromstring(body)
        t.equal([root.find(n).text for n in ("version", "step")], ["0003", "5"])
        t.equal([(r.find("cf").text, r.find("pdp_per_row").text, len(r.find("database"))) for r in root.findall("rra")],
                [("AVERAGE", "1", 120), ("AVERAGE", "12", 120), ("AVERAGE", "720", 168), ("AVERAGE", "17280", 366)])
        judge(t, body)
    _, _, body = t.x.handler("GET", "/vm_rrd", {"uuid": uuid, "json": "true"})
    t.check({d["name"] for d in json.loads(body)["ds"]} >= {"memory", "memory_target"}, body[:200])
    t.x.VM.hard_shutdown(vm)
    t.eventually(lambda: f":{uuid}:" not in json.dumps(updates(t)[0]["meta"]["legend"]), "a halted VM is archived", 20)
    t.equal(t.x.handler("GET", "/vm_rrd", {"uuid": uuid})[0], 200, "and still told")
    t.equal(t.x.handler("GET", "/vm_rrd", {"uuid": "no-such"})[0], 404)


@case
def data_sources_are_listed_recorded_and_forgotten(t):
    x, vm = t.x, t.running_vm()
    host, uuid, sr = t.the_host(), t.x.VM.get_uuid(vm), t.sr()
    until_known(t, [f"AVERAGE:vm:{uuid}:memory"])
    for kind, ref, name in (("host", host, "loadavg"), ("VM", vm, "memory"), ("SR", sr, "physical_size")):
        c = getattr(x, kind)
        of = {s["name_label"]: s for s in c.get_data_sources(ref)}
        t.proven(f"{kind}.get_data_sources", of[name]["enabled"] and of[name]["standard"] and of[name]["units"], of[name])
        t.equal(sorted(of[name]), ["enabled", "max", "min", "name_description", "name_label", "standard", "units", "value"])
        v = c.query_data_source(ref, name)
        t.proven(f"{kind}.query_data_source", isinstance(v, float) and v >= 0, v)
        t.fails("INVALID_VALUE", c.query_data_source, ref, "no_such")
        t.fails("INVALID_VALUE", c.record_data_source, ref, "no_such")
        t.fails("INVALID_VALUE", c.forget_data_source_archives, ref, "no_such")
        c.forget_data_source_archives(ref, name)
        enabled = {s["name_label"]: s["enabled"] for s in c.get_data_sources(ref)}
        t.effect(f"{kind}.forget_data_source_archives", not enabled[name], "not recorded any more")
        c.record_data_source(ref, name)
        enabled = {s["name_label"]: s["enabled"] for s in c.get_data_sources(ref)}
        t.effect(f"{kind}.record_data_source", enabled[name], "recorded again")
        t.fails("HANDLE_INVALID", c.get_data_sources, "OpaqueRef:none")
    t.equal(x.VM.query_data_source(vm, "memory"), float(32 * MIB))
    x.VM.hard_shutdown(vm)
    t.fails("VM_BAD_POWER_STATE", x.VM.query_data_source, vm, "memory")


@server_case
def prometheus_scrapes_with_a_readers_credentials(t):
    from accounts import PASSWORD
    from cases_shared import make_subjects
    make_subjects(t)
    vm = t.running_vm("name \"quoted\"")
    uuid = t.x.VM.get_uuid(vm)
    until_known(t, [f"AVERAGE:vm:{uuid}:memory"])
    reader = t.client("t-read-only", PASSWORD["t-read-only"])
    status, headers, body = reader.handler("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
    text = body.decode()
    t.equal(status, 200)
    t.check(headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), headers["Content-Type"])
    t.check(text.endswith("# EOF\n"), text[-50:])
    t.check(f'runnymede_vm_memory_bytes{{vm="{uuid}"}} {32 * MIB}\n' in text, "the VM's memory")
    t.check(f'runnymede_vm_name{{vm="{uuid}",name="name \\"quoted\\""}} 1' in text, "its name")
    seen, last = set(), None
    for line in text.splitlines():
        family = line.split()[2] if line.startswith("#") and len(line.split()) > 2 else line.split("{")[0]
        t.check(family == last or family not in seen or line == "# EOF", f"{family} is in one piece")
        seen.add(family)
        last = family
    _, headers, body = reader.handler("GET", "/metrics")
    t.check(headers["Content-Type"].startswith("text/plain") and b"# EOF" not in body, headers["Content-Type"])
    t.equal(t.bare().handler("GET", "/metrics")[0], 401)


def metric_again(t, sig):
    """Ends the metric process, and waits until another one serves."""
    pid = t.host.daemon_pids()["metric"]
    os.kill(pid, sig)
    t.eventually(lambda: t.host.daemon_pids().get("metric") not in (None, pid), "metric runs again")


def value_at(columns, answer, name, at):
    times = [int(row["t"]) for row in answer["data"]]
    return columns[name][times.index(at)] if name in columns and at in times else None


@server_case(own_host=True)
def figures_outlive_the_metric_process_and_a_torn_file_begins_anew(t):
    vm = t.running_vm()
    uuid = t.x.VM.get_uuid(vm)
    name = f"AVERAGE:vm:{uuid}:memory"
    until_known(t, [name])
    answer, columns = updates(t)
    at = next(int(row["t"]) for row, v in zip(answer["data"], columns[name]) if v != "NaN")
    metric_again(t, signal.SIGTERM)  # it writes its files at the end
    t.eventually(lambda: newest_after(t, name, at), "rows go on", 40)
    answer, columns = updates(t)
    t.equal(value_at(columns, answer, name, at), str(32 * MIB), "the row from before")
    metric_again(t, signal.SIGKILL)
    files = list((t.host.state / "metric").glob("vm-*"))
    t.equal([f.name for f in files], [f"vm-{uuid}"])
    files[0].write_bytes(files[0].read_bytes()[:100])
    metric_again(t, signal.SIGKILL)
    t.eventually(lambda: newest_after(t, name, at), "figures again", 40)
    t.check("figures are lost and begin anew" in metric_log(t), "the log says so")
    answer, columns = updates(t)
    t.equal(value_at(columns, answer, name, at), "NaN", "what the torn file held is gone")


def metric_log(t):
    return "".join(f.read_text(errors="replace") for f in Path(t.host.folder).rglob("*metric*.log"))


def newest_after(t, name, at):
    try:
        answer, columns = updates(t)
    except Exception:  # noqa: BLE001 - being restarted
        return False
    return any(int(row["t"]) > at and v != "NaN" for row, v in zip(answer["data"], columns.get(name, [])))
