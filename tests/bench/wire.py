"""Calls as bytes, for what an ordinary client would hide: when the first byte comes, and when the last."""
import json


def request(method, *params):
    """One JSON-RPC call, ready to be sent on a kept connection."""
    body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()
    return b"POST /jsonrpc HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def head_of(s, text):
    """Reads up to the end of the header; (its content length or None for chunks, what came behind it)."""
    while b"\r\n\r\n" not in text:
        text += more(s)
    head, _, rest = text.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return int(line.split(b":")[1]), rest
    return None, rest


def more(s):
    piece = s.recv(1 << 16)
    if not piece:
        raise ConnectionError("the answer was cut short")
    return piece


def result(s, text=b""):
    """The result of the call whose answer comes next and begins with text."""
    length, rest = head_of(s, text)
    body = b""
    if length is not None:
        while len(rest) < length:
            rest += more(s)
        body = rest[:length]
    while length is None:
        while b"\r\n" not in rest:
            rest += more(s)
        size, _, rest = rest.partition(b"\r\n")
        n = int(size, 16)
        while len(rest) < n + 2:
            rest += more(s)
        body, rest = body + rest[:n], rest[n + 2:]
        if n == 0:
            break
    return json.loads(body)["result"]


def discard(s, buffer):
    """Throws one answer away as it comes; its size in bytes."""
    length, rest = head_of(s, b"")
    got, tail = len(rest), rest[-7:]
    while got < length if length is not None else not tail.endswith(b"\r\n0\r\n\r\n"):
        n = s.recv_into(buffer)
        if not n:
            raise ConnectionError("the answer was cut short")
        got, tail = got + n, (tail + bytes(buffer[max(0, n - 7):n]))[-7:]
    return got
