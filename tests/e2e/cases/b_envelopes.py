"""The wire: three envelopes, HTTP, TLS, Unix socket, and bad manners of all kinds."""
import json
import socket
import threading
import time
import urllib.parse
import xmlrpc.client

import model
from bench import Client, Failure, Host, ProtocolError, copy_guest, open_socket, server_case  # noqa: F401


def request(body, path="/jsonrpc", kind="application/json", version="1.1", headers=()):
    head = [f"POST {path} HTTP/{version}", "Host: t", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def read_answer(f):
    status = f.readline()
    headers = {}
    while True:
        line = f.readline().strip().decode()
        if not line:
            break
        k, _, v = line.partition(":")
        headers[k.strip().lower()] = v.strip()
    body = f.read(int(headers.get("content-length", 0)))
    return int(status.split()[1]) if status else 0, headers, body


def rpc(method, *params, id=1):
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": list(params), "id": id}).encode()


def talk(url, data, timeout=20):
    """Sends bytes, gives the first answer; (0, {}, b'') when the server just closes."""
    with open_socket(url, timeout) as s:
        try:
            s.sendall(data)
        except OSError:
            pass
        try:
            return read_answer(s.makefile("rb"))
        except (OSError, ValueError, IndexError):
            return 0, {}, b""


@server_case
def the_same_call_means_the_same_in_three_envelopes(t):
    x = t.x
    calls = [("host.get_all_records",), ("pool.get_all_records",), ("VM.get_record", t.template()), ("SR.get_all_records",),
             ("role.get_all_records",), ("VM.get_recommendations", t.template()), ("task.get_all",),
             ("VM.get_by_name_label", "Other install media"), ("host.get_servertime", t.the_host())]
    for method, *args in calls:
        j2 = x.sibling(protocol="json2").call(method, *args)
        j1 = x.sibling(protocol="json1").call(method, *args)
        xml = x.sibling(protocol="xml").call(method, *args)
        if method == "host.get_servertime":
            for v in (j1, j2, xml):
                t.check(len(v) == len("20260131T09:05:00Z") and v[8] == "T" and v.endswith("Z"), v)
            continue
        same = model.typed(model.result_type(method), xml)
        ignore = {"last_active", "memory_free", "last_updated", "progress", "other_config"}
        t.equal(scrub(j2, ignore), scrub(j1, ignore), f"{method} in JSON-RPC 1.0 and 2.0")
        t.equal(scrub(j2, ignore), scrub(same, ignore), f"{method} in JSON-RPC and XML-RPC")


def scrub(v, names):
    if isinstance(v, dict):
        return {k: scrub(i, names) for k, i in v.items() if k not in names}
    if isinstance(v, list):
        return [scrub(i, names) for i in v]
    return v


@server_case
def errors_mean_the_same_in_three_envelopes(t):
    for method, args, code in [("VM.get_uuid", ["OpaqueRef:no"], "HANDLE_INVALID"), ("VM.get_by_uuid", ["x"], "UUID_INVALID"),
                               ("VM.no_such_call", [], "MESSAGE_METHOD_UNKNOWN"),
                               ("VM.get_uuid", [], "MESSAGE_PARAMETER_COUNT_MISMATCH"),
                               ("VM.get_uuid", ["a", "b", "c"], "MESSAGE_PARAMETER_COUNT_MISMATCH")]:
        seen = [t.fails(code, t.x.sibling(protocol=p).call, method, *args) for p in ("xml", "json1", "json2")]
        t.check(seen[0] == seen[1] == seen[2], f"{method}: {seen}")
    t.equal(t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", t.x.VM.get_uuid), ["VM.get_uuid", "1", "0"])
    t.equal(t.fails("HANDLE_INVALID", t.x.VM.get_uuid, "OpaqueRef:no"), ["VM", "OpaqueRef:no"])


@server_case
def content_types_are_as_clients_compare_them(t):
    body = rpc("pool.get_all", t.x.session_ref)
    for path in ("/jsonrpc", "/json"):
        status, headers, _ = talk(t.host.url, request(body, path))
        t.equal((status, headers["content-type"]), (200, "application/json"), path)
    xml = xmlrpc.client.dumps((t.x.session_ref,), "pool.get_all").encode()
    for path in ("/", "/RPC2", "/xmlrpc", "/RPC2/"):
        status, headers, answer = talk(t.host.url, request(xml, path, "text/xml"))
        t.equal((status, headers["content-type"]), (200, "text/xml"), path)
        t.check(b"<name>Status</name><value>Success</value>" in answer, answer[:200])
        t.equal(headers["access-control-allow-origin"], "*")


@server_case
def ints_are_bare_text_in_xml_and_numbers_in_json(t):
    xml = xmlrpc.client.dumps((t.x.session_ref, t.template()), "VM.get_VCPUs_max").encode()
    _, _, answer = talk(t.host.url, request(xml, "/", "text/xml"))
    t.check(b"<name>Value</name><value>1</value>" in answer, answer)
    t.equal(t.x.VM.get_VCPUs_max(t.template()), 1)
    t.check(isinstance(t.x.VM.get_HVM_shadow_multiplier(t.template()), float), "floats are floats")
    _, _, answer = talk(t.host.url, request(rpc("VM.get_HVM_shadow_multiplier", t.x.session_ref, t.template())))
    t.check(b'"result":1.0' in answer.replace(b" ", b""), answer)


@server_case
def json_ids_come_back_and_malformed_requests_are_500(t):
    for ident in (7, "a"):
        _, _, answer = talk(t.host.url, request(rpc("pool.get_all", t.x.session_ref, id=ident)))
        t.equal(json.loads(answer)["id"], ident)
    for bad in (b"{", b"[]", b'{"method":"pool.get_all","params":[]}', b'{"jsonrpc":"3.0","method":"x","params":[],"id":1}',
                b'{"jsonrpc":"2.0","method":"pool.get_all","params":[],"id":null}', b"\xff\xfe", b"[" * 100000):
        t.equal(talk(t.host.url, request(bad))[0], 500, repr(bad[:60]))
    for bad in (b"<methodCall>", b"no xml", b"<methodCall><methodName>x</methodName><params><param>", b"<a>" * 5000,
                b'<!DOCTYPE a [<!ENTITY b "c">]><methodCall><methodName>&b;</methodName></methodCall>'):
        t.equal(talk(t.host.url, request(bad, "/", "text/xml"))[0], 500, repr(bad[:60]))
    t.x.pool.get_all()


@server_case
def listmethods_needs_no_session_and_names_every_message(t):
    have = set(t.bare().call("system.listMethods"))
    missing = {name for name, m in model.messages().items() if not m.get("hidden")} - have
    t.check(not missing, f"not listed: {sorted(missing)[:10]}")
    t.equal(set(t.bare(protocol="xml").call("system.listMethods")), have)


@server_case
def the_spelling_with_an_underscore_works_too(t):
    t.equal(t.x.raw("VM_get_uuid", [t.x.session_ref, t.template()]),
            t.x.VM.get_uuid(t.template()))


@server_case
def keep_alive_and_pipelining_answer_in_order(t):
    with open_socket(t.host.url) as s:
        s.sendall(b"".join(request(rpc("pool.get_all", t.x.session_ref, id=i)) for i in range(20)))
        f = s.makefile("rb")
        for i in range(20):
            status, _, body = read_answer(f)
            t.equal((status, json.loads(body)["id"]), (200, i))
        s.sendall(request(rpc("pool.get_all", t.x.session_ref, id=99)))
        t.equal(json.loads(read_answer(f)[2])["id"], 99)


@server_case
def http_1_0_is_closed_after_its_answer(t):
    with open_socket(t.host.url) as s:
        s.sendall(request(rpc("pool.get_all", t.x.session_ref), version="1.0"))
        f = s.makefile("rb")
        t.equal(read_answer(f)[0], 200)
        t.equal(f.read(1), b"", "the connection is closed")


@server_case
def tls_and_the_unix_socket_carry_the_same(t):
    with_tls = t.client(url=t.host.tls_url)
    t.equal(with_tls.pool.get_all(), t.x.pool.get_all())
    with open_socket(t.host.tls_url) as s:
        t.check(s.version() in ("TLSv1.2", "TLSv1.3"), s.version())
    local = t.bare(url=t.host.socket_url)
    t.equal(local.pool.get_all(), t.x.pool.get_all(), "no login over the local socket")
    local.login("root", "any password")
    t.equal(local.VM.get_by_name_label("Other install media"), [t.template()])


@server_case(own_host=True)
def ipv6_is_a_door_too(t):
    with Host(build=t.host.build, hypervisor="sim", listen="::1") as six:
        x = six.client()
        t.equal(len(x.pool.get_all()), 1)
        t.equal(len(six.client(url=six.tls_url).pool.get_all()), 1)


@server_case
def options_unknown_paths_and_methods_have_their_answers(t):
    for path in ("/", "/json", "/jsonrpc"):
        status, headers, _ = talk(t.host.url, f"OPTIONS {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n".encode())
        t.equal((status, headers.get("access-control-allow-origin")), (200, "*"), path)
    t.equal(talk(t.host.url, b"GET /no/such/page HTTP/1.1\r\nHost: t\r\n\r\n")[0], 404)
    t.equal(talk(t.host.url, b"BREW / HTTP/1.1\r\nHost: t\r\n\r\n")[0], 501)
    t.equal(talk(t.host.url, b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")[0], 200)
    t.check(talk(t.host.url, b"\x16\x03\x01\x00 nonsense\r\n\r\n")[0] in (0, 400), "noise is refused")
    status, headers, _ = talk(t.host.url, b"GET /export_raw_vdi?vdi=x HTTP/1.1\r\nHost: t\r\n\r\n")
    t.equal(status, 401)
    t.check(headers["www-authenticate"].startswith("Basic realm="), headers)


@server_case
def too_large_bodies_and_heads_are_refused_before_they_are_read(t):
    t.check(talk(t.host.url, request(b" " * (301 * 1024)))[0] in (400, 413, 500), "a body over 300 KiB")
    status, _, _ = talk(t.host.url, b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n")
    t.check(status in (400, 413, 500), f"a body of 100 GB: {status}")
    status, _, _ = talk(t.host.url, b"GET / HTTP/1.1\r\nX: " + b"a" * 200000 + b"\r\n\r\n")
    t.check(status in (0, 400, 413, 431), f"a header of 200 KB: {status}")
    status, _, _ = talk(t.host.url, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n")
    t.check(status in (0, 400, 413, 431), f"20,000 headers: {status}")
    t.x.pool.get_all()


@server_case
def wrong_types_and_bad_text_are_errors_of_the_api(t):
    wrong = ("INTERNAL_ERROR", "FIELD_TYPE_ERROR", "INVALID_VALUE")
    t.fails(wrong, t.x.VM.set_VCPUs_max, t.template(), "many")
    t.fails(wrong, t.x.VM.set_name_label, t.template(), {"a": "b"})
    t.fails(wrong, t.x.VM.get_uuid, 5.5)
    t.fails(wrong, t.x.VM.start, t.template(), "yes", False)
    t.fails(wrong, t.x.VM.set_actions_after_reboot, t.template(), "no such value")
    bad = (b'<?xml version="1.0"?><methodCall><methodName>VM.get_by_name_label</methodName><params><param><value>'
           + t.x.session_ref.encode() + b"</value></param><param><value>\xc3\x28</value></param></params></methodCall>")
    status, _, answer = talk(t.host.url, request(bad, "/", "text/xml"))
    t.check(status == 500 or b"INVALID_VALUE" in answer, answer)
    deep = "x"
    for _ in range(200):
        deep = [deep]
    try:
        t.x.call("VM.get_by_name_label", deep)
        t.check(False, "a deep parameter was taken")
    except (Failure, ProtocolError):
        pass
    t.x.pool.get_all()


@server_case
def slow_and_silent_clients_harm_nobody(t):
    slow = [open_socket(t.host.url) for _ in range(50)]
    for i, s in enumerate(slow):
        s.sendall(request(rpc("pool.get_all", t.x.session_ref))[:10 + i])
    began = time.monotonic()
    for _ in range(50):
        t.x.pool.get_all()
    t.check(time.monotonic() - began < 5, "others are answered as ever")
    for s in slow:
        s.close()


@server_case
def a_thousand_idle_connections_harm_nobody(t):
    import resource
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, limit[1]), limit[1]))
    idle = []
    gate = t.host.daemon_pids()["gate"]

    def memory():
        with open(f"/proc/{gate}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    before = memory()
    for _ in range(1000):
        idle.append(open_socket(t.host.url))
    t.x.sibling().pool.get_all()
    t.check(memory() - before < 200 * 1024, f"{(memory() - before)} KiB for 1,000 connections")
    t.equal(t.host.daemon_pids()["gate"], gate)
    for s in idle:
        s.close()


@server_case
def clients_that_leave_in_the_middle_are_forgotten(t):
    body = rpc("event.from", t.x.session_ref, ["vm_group"], "", 30.0)
    for i in range(30):
        s = open_socket(t.host.url)
        s.sendall(request(body) if i % 2 else request(body)[:-5])
        s.close()
    t.x.pool.get_all()


@server_case
def many_clients_at_once_are_all_answered(t):
    errors = []

    def work():
        try:
            c = t.x.sibling()
            for _ in range(30):
                c.VM.get_all()
        except Exception as e:  # noqa: BLE001
            errors.append(e)
    threads = [threading.Thread(target=work) for _ in range(20)]
    for w in threads:
        w.start()
    for w in threads:
        w.join()
    t.check(not errors, f"{errors[:3]}")


@server_case
def the_server_version_is_told(t):
    version = t.bare().call("system.getServerVersion") if "system.getServerVersion" in t.bare().call("system.listMethods") else "none"
    t.check(version, "some version")
