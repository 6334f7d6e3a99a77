"""Calls per second, large answers, what a setter costs, how soon a watcher hears.

The client runs on the same processors. The peer is libvirt on its own simple call, over its own socket.
"""
import json
import select
import subprocess
import tempfile
import time

import wire
from hosts import Bed, median
from peers import Libvirt
from probe import Commits, cpu_ns
from report import need
from xapi import open_socket

LUA = """
local body = {body}
wrk.method, wrk.body = "POST", body
wrk.headers["Content-Type"] = "{kind}"
done = function(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('{{"requests":%d,"us":%d,"p50":%d,"p99":%d,"errors":%d,"bytes":%d}}\\n', summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout, summary.bytes))
end
"""


def hammer(report, url, path, kind, body, seconds, connections=32):
    """Calls as fast as they go; requests, microseconds, and so on as wrk counts them."""
    wrk = need("wrk", "wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as f:
        f.write(LUA.format(body=json.dumps(body.decode()), kind=kind))
        f.flush()
        argv = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "-s", f.name, url + path]
        out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    r = json.loads(out.strip().splitlines()[-1])
    if r["errors"]:
        report.missing(f"{r['errors']} of {r['requests']} calls failed")
    return r


def simple_getter(report, bed):
    vm = bed.vm("asked for")
    seconds = 2 if report.quick else 10
    s = bed.x.session_ref
    json_body = json.dumps({"jsonrpc": "2.0", "method": "VM.get_name_label", "params": [s, vm], "id": 1}).encode()
    xml_body = ("<?xml version='1.0'?><methodCall><methodName>VM.get_name_label</methodName><params>"
                f"<param><value><string>{s}</string></value></param><param><value><string>{vm}</string></value></param>"
                "</params></methodCall>").encode()
    report.peer("wrk (the client)", [need("wrk", "wrk"), "-v"], f"wrk -t1 -c32 -d{seconds}s")
    hammer(report, bed.url, "/jsonrpc", "application/json", json_body, 1)
    j = hammer(report, bed.url, "/jsonrpc", "application/json", json_body, seconds)
    x = hammer(report, bed.url, "/", "text/xml", xml_body, seconds)
    rate = j["requests"] / j["us"] * 1e6
    xml_rate = x["requests"] / x["us"] * 1e6
    report.figure("VM.get_name_label over JSON-RPC, 32 connections", rate, "calls/s", at_least=20000)
    report.figure("  99th percentile", j["p99"] / 1000, "ms", at_most=5)
    report.figure("the same over XML-RPC, part of JSON-RPC's rate", xml_rate / rate, "", at_least=0.5, note=f"{xml_rate:,.0f} calls/s")
    one = hammer(report, bed.url, "/jsonrpc", "application/json", json_body, seconds, 1)
    one_rate = one["requests"] / one["us"] * 1e6
    with Libvirt(report) as libvirt:
        theirs = libvirt.dominfo_rate(1 if report.quick else 5)
    report.figure("on one connection", one_rate, "calls/s")
    report.figure("  times libvirt's dominfo on one connection", one_rate / theirs, "", note=f"libvirt: {theirs:,.0f}/s")


def all_records(report, bed, n, goal):
    """Time to the last byte of VM.get_all_records, thrown away as it comes."""
    call = wire.request("VM.get_all_records", bed.x.session_ref)
    buffer = bytearray(1 << 20)
    times, size = [], 0
    with open_socket(bed.url) as s:
        for _ in range(6 if report.quick else 21):
            began = time.perf_counter()
            s.sendall(call)
            size = wire.discard(s, buffer)
            times.append(time.perf_counter() - began)
    report.figure(f"VM.get_all_records of {n:,} VMs, to the last byte", median(times) * 1000, "ms", at_most=goal, note=f"{size / 1e6:.1f} MB, {size / median(times) / 1e6:,.0f} MB/s")


class Setter:
    """What one VM.set_name_description costs on a host."""

    def __init__(self, bed):
        self.bed, self.vm = bed, bed.vm("changed")
        pids = bed.daemon_pids()
        self.pids = [pids["core"], pids["gate"]]
        self.commits, self.cpu, self.wall, self.n_commits = Commits(bed.database), [], [], 0

    def one(self, i):
        self.commits.new()
        cpu, began = cpu_ns(*self.pids), time.perf_counter()
        self.bed.x.VM.set_name_description(self.vm, f"change {i}")
        self.wall.append(time.perf_counter() - began)
        self.cpu.append(cpu_ns(*self.pids) - cpu)
        self.n_commits += self.commits.new()


def setter(report, small, large, n):
    a, b = Setter(small), Setter(large)
    rounds = 40 if report.quick else 200
    for i in range(rounds):  # interleaved: what disturbs one disturbs the other
        a.one(i)
        b.one(i)
    report.figure(f"a setter's CPU with {n:,} VMs, times that with 10", median(b.cpu) / median(a.cpu), "", at_most=1.2,
                  note=f"{median(b.cpu) / 1000:.0f} against {median(a.cpu) / 1000:.0f} us in core and gate")
    report.figure("  its commits, more than with 10", (b.n_commits - a.n_commits) / rounds, "", at_most=0.05,
                  note=f"{b.n_commits / rounds:.2f} each")
    report.figure("  durable wall time", median(b.wall) * 1000, "ms", note=f"with 10: {median(a.wall) * 1000:.2f} ms")


def watchers(report, bed, n=100):
    """From sending a setter to the event at each of n waiting clients."""
    vm, s = bed.vm("watched"), bed.x.session_ref
    token = bed.x.call("event.from", [f"vm/{vm}"], "", 0.0)["token"]
    sockets = {x.fileno(): x for x in (open_socket(bed.url) for _ in range(n))}
    poll, times = select.epoll(), []
    for fd in sockets:
        poll.register(fd, select.EPOLLIN)
    with open_socket(bed.url) as w:
        for i in range(10 if report.quick else 50):
            for x in sockets.values():
                x.sendall(wire.request("event.from", s, [f"vm/{vm}"], token, 30.0))
            time.sleep(0.1)  # all of them wait
            began = time.perf_counter()
            w.sendall(wire.request("VM.set_name_description", s, vm, f"told {i}"))
            heard, text = {}, {fd: b"" for fd in sockets}
            while len(heard) < n:
                ready = poll.poll(10)
                now = time.perf_counter()
                if not ready:
                    raise TimeoutError(f"{n - len(heard)} of {n} watchers heard nothing")
                for fd, _ in ready:
                    text[fd] += sockets[fd].recv(1 << 16)
                    heard.setdefault(fd, now)
            times += [t - began for t in heard.values()]
            told = [wire.result(sockets[fd], text[fd]) for fd in sockets]
            if any(r["events"][-1]["snapshot"]["name_description"] != f"told {i}" for r in told):
                raise ValueError("a watcher heard something else")
            token = told[0]["token"]
            wire.result(w)
    for x in sockets.values():
        x.close()
    report.figure(f"a change reaches a waiting event.from, {n} watchers", median(times) * 1000, "ms", at_most=5,
                  note=f"the last of all: {max(times) * 1000:.1f} ms")


def run(report):
    few, many = (1000, 2000) if report.quick else (1000, 10000)
    with Bed() as small, Bed() as large:
        simple_getter(report, small)
        small.halted(10)
        report.say(f"making {few:,} VMs")
        large.halted(few)
        all_records(report, large, few, 30)
        report.say(f"making {many - few:,} VMs more")
        began = time.monotonic()
        large.halted(many - few)
        report.figure("VM.clone and VM.provision, 8 connections", (many - few) / (time.monotonic() - began), "VMs/s")
        all_records(report, large, many, many * 0.03)
        setter(report, small, large, many)
        watchers(report, large)
