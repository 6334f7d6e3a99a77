"""Consoles: RFB over CONNECT and over WebSocket, and the page that shows them."""
import base64
import hashlib
import os
import urllib.parse

from bench import case, open_socket
from cases_shared import read_head


def target(t, vm):
    (console,) = [c for c in t.x.VM.get_consoles(vm) if t.x.console.get_protocol(c) == "rfb"]
    location = t.x.console.get_location(console)
    u = urllib.parse.urlsplit(location)
    t.check(u.scheme == "https" and u.path == "/console" and "=" in u.query, location)
    return f"/console?{u.query}&session_id={t.x.session_ref}", console


def read_exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            break
        data += piece
    return data


def rfb_hello(t, recv, send):
    """Greeting, no security, geometry of the screen."""
    t.equal(recv(12), b"RFB 003.008\n")
    send(b"RFB 003.008\n")
    n = recv(1)[0]
    kinds = recv(n)
    t.check(1 in kinds, f"security type none among {kinds}")
    send(b"\x01")
    t.equal(recv(4), bytes(4))
    send(b"\x01")
    init = recv(24)
    width, height = int.from_bytes(init[0:2], "big"), int.from_bytes(init[2:4], "big")
    t.check(width > 0 and height > 0, (width, height))
    recv(int.from_bytes(init[20:24], "big"))
    send(bytes([3, 0]) + bytes(4) + width.to_bytes(2, "big") + height.to_bytes(2, "big"))
    t.equal(recv(1), b"\0", "a frame comes")


@case
def connect_gives_a_raw_rfb_stream(t):
    vm = t.running_vm()
    path, _ = target(t, vm)
    for url in (t.host.tls_url, t.host.url):
        with open_socket(url) as s:
            s.sendall(f"CONNECT {path} HTTP/1.0\r\n\r\n".encode())
            head = read_head(s)
            t.check(head.startswith("HTTP/1.1 200 OK\r\n"), head)
            rfb_hello(t, lambda n: read_exactly(s, n), s.sendall)


class WebSocket:
    """A console's bytes in binary frames (RFC 6455)."""

    def __init__(self, t, path):
        self.t, self.waiting = t, bytearray()
        self.s = open_socket(t.host.tls_url)
        key = base64.b64encode(os.urandom(16)).decode()
        self.s.sendall((f"GET {path} HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n"
                        f"Cookie: session_id={t.x.session_ref}\r\n\r\n").encode())
        head = read_head(self.s)
        t.check(head.startswith("HTTP/1.1 101"), head)
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        t.check(f"sec-websocket-accept: {accept}".lower() in head.lower() and "sec-websocket-protocol: binary" in head.lower(), head)

    def frame(self):
        first, second = read_exactly(self.s, 2)
        self.t.equal(first & 0x0f, 2, "a binary frame")
        length = second & 0x7f
        if length == 126:
            length = int.from_bytes(read_exactly(self.s, 2), "big")
        elif length == 127:
            length = int.from_bytes(read_exactly(self.s, 8), "big")
        return read_exactly(self.s, length)

    def recv(self, n):
        while len(self.waiting) < n:
            self.waiting.extend(self.frame())
        piece = bytes(self.waiting[:n])
        del self.waiting[:n]
        return piece

    def send(self, data):
        mask = os.urandom(4)
        self.s.sendall(bytes([0x82, 0x80 | len(data)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


@case
def a_websocket_carries_the_same(t):
    vm = t.running_vm()
    path, _ = target(t, vm)
    w = WebSocket(t, path.split("&session_id")[0])
    with w.s:
        rfb_hello(t, w.recv, w.send)


@case(on=("qemu",))
def a_websocket_carries_the_serial_line_of_a_guest_that_answers(t):
    vm = t.running_vm()
    (console,) = [c for c in t.x.VM.get_consoles(vm) if t.x.console.get_protocol(c) == "vt100"]
    w = WebSocket(t, f"/console?ref={console}")
    w.s.settimeout(60)
    with w.s:
        said = b""
        while b"count " not in said:
            w.send(b"c")
            said += w.frame()


@case
def consoles_refuse_as_documented(t):
    x, vm = t.x, t.running_vm()
    path, console = target(t, vm)

    def status(path):
        with open_socket(t.host.url) as s:
            s.sendall(f"CONNECT {path} HTTP/1.0\r\n\r\n".encode())
            return int(read_head(s).split()[1])
    t.equal(status(path.split("&session_id")[0]), 401)
    t.equal(status(f"/console?session_id={x.session_ref}"), 500)
    t.equal(status(f"/console?ref=OpaqueRef:no&session_id={x.session_ref}"), 500)
    t.equal(status(f"/console?ref={vm}&session_id={x.session_ref}"), 200, "by the VM's reference")
    t.equal(status(f"/console?uuid={x.VM.get_uuid(vm)}&session_id={x.session_ref}"), 200, "by the VM's uuid")
    x.VM.hard_shutdown(vm)
    t.equal(status(f"/console?ref={vm}&session_id={x.session_ref}"), 500, "not running")
    t.fails("HANDLE_INVALID", x.console.get_uuid, console)


@case
def an_operator_may_use_consoles_and_a_reader_may_not(t):
    from accounts import PASSWORD
    from cases_shared import make_subjects
    make_subjects(t)
    vm = t.running_vm()
    for user, expected in (("t-vm-operator", 200), ("t-read-only", 403)):
        y = t.client(user, PASSWORD[user])
        with open_socket(t.host.url) as s:
            s.sendall(f"CONNECT /console?ref={vm}&session_id={y.session_ref} HTTP/1.0\r\n\r\n".encode())
            t.equal(int(read_head(s).split()[1]), expected, user)


@case
def the_console_page_and_novnc_are_served(t):
    x = t.x
    status, headers, body = x.handler("GET", "/console.html")
    t.equal(status, 200)
    t.check(headers["Content-Type"].startswith("text/html") and b"<html" in body.lower(), body[:100])
    if os.path.exists("/usr/share/novnc/core/rfb.js"):
        status, headers, body = x.handler("GET", "/novnc/core/rfb.js")
        t.check(status == 200 and "javascript" in headers["Content-Type"] and b"RFB" in body, status)
    t.equal(x.handler("GET", "/novnc/../../etc/passwd")[0] in (400, 404), True)
    t.equal(x.handler("GET", "/novnc/%2e%2e/%2e%2e/etc/passwd")[0] in (400, 404), True)


def jpeg_size(body):
    """Width and height as the frame header says them (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 < len(body):
        marker, length = body[at + 1], int.from_bytes(body[at + 2:at + 4], "big")
        if marker == 0xC0:
            return int.from_bytes(body[at + 7:at + 9], "big"), int.from_bytes(body[at + 5:at + 7], "big")
        at += 2 + length
    return None


@case
def a_screen_is_pictured(t):
    x, vm = t.x, t.vm()
    uuid = x.VM.get_uuid(vm)
    t.check(x.handler("GET", "/vncsnapshot", {"uuid": uuid})[0] >= 400, "a halted VM has no screen")
    t.check(x.handler("GET", "/vncsnapshot", {"uuid": "nothing"})[0] >= 400, "of nothing")
    x.VM.start(vm, False, False)
    for query in ({"uuid": uuid}, {"ref": vm}):
        status, headers, body = x.handler("GET", "/vncsnapshot", query)
        t.equal((status, headers.get("Content-Type"), body[:2], body[-2:]), (200, "image/jpeg", b"\xff\xd8", b"\xff\xd9"))
        width, height = jpeg_size(body)
        t.check(320 <= width <= 1280 and 200 <= height <= 1024, (width, height))
    (line,) = [c for c in x.VM.get_consoles(vm) if x.console.get_protocol(c) == "vt100"]
    t.equal(x.handler("GET", "/vncsnapshot", {"ref": line})[0], 404)
