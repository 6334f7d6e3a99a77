"""A small XenAPI client (Python standard library only) for tools and tests.

    x = Client("http://127.0.0.1:8080")          # or https://..., or unix:/path/of/xapi.sock
    x.login("root", password)
    x.VM.get_all_records()
    x.call("VM.start", vm, False, False)          # the same as x.VM.start(vm, False, False)
    x.wait(x.Async.VM.start(vm, False, False))    # runs a task to its end

An API error is a Failure with .code and .params. `protocol` is "json2"
(default), "json1" or "xml"; XML gives integers as text, as on the wire.
"""
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
import xmlrpc.client

NULL = "OpaqueRef:NULL"
WITHOUT_SESSION = {"session.login_with_password", "session.slave_login", "session.slave_local_login",
                   "session.slave_local_login_with_password",
                   "system.listMethods", "system.getServerVersion"}


class Failure(Exception):
    def __init__(self, code, params=()):
        super().__init__(f"{code} {list(params)}")
        self.code, self.params = code, [str(p) for p in params]


class ProtocolError(Exception):
    """The answer was no answer of the API: a status other than 200, or bytes of another kind."""

    def __init__(self, status, body=b""):
        super().__init__(f"HTTP {status}: {body[:200]!r}")
        self.status, self.body = status, body


def insecure_tls():
    """For hosts whose certificate they made themselves a minute ago."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def open_socket(url, timeout=60):
    """A connected socket for an address as Client takes it, TLS done."""
    u = urllib.parse.urlsplit(url)
    if u.scheme == "unix":
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(timeout)
        s.connect(u.path)
        return s
    s = socket.create_connection((u.hostname, u.port or (443 if u.scheme == "https" else 80)), timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return insecure_tls().wrap_socket(s, server_hostname=u.hostname) if u.scheme == "https" else s


class _Connection(http.client.HTTPConnection):
    def __init__(self, url, timeout):
        super().__init__(urllib.parse.urlsplit(url).hostname or "localhost", timeout=timeout)
        self.url = url

    def connect(self):
        self.sock = open_socket(self.url, self.timeout)


# Envelopes

def _encode_json(version, method, params):
    body = {"method": method, "params": params, "id": 1}
    if version == "json2":
        body["jsonrpc"] = "2.0"
    return json.dumps(body).encode()


def _decode_json(version, body):
    answer = json.loads(body)
    if version == "json2":
        if "error" in answer:
            raise Failure(answer["error"]["message"], answer["error"].get("data", []))
        return answer["result"]
    if answer["error"] is not None:
        raise Failure(answer["error"][0], answer["error"][1:])
    return answer["result"]


def _wide(v):
    """XML-RPC's <int> has 32 bits, the API's 64: larger ones travel as text."""
    if isinstance(v, bool):
        return v
    if isinstance(v, int) and not -2**31 <= v < 2**31:
        return str(v)
    if isinstance(v, (list, tuple)):
        return [_wide(i) for i in v]
    if isinstance(v, dict):
        return {k: _wide(i) for k, i in v.items()}
    return v


def _plain(v):
    if isinstance(v, xmlrpc.client.DateTime):
        return str(v)
    if isinstance(v, list):
        return [_plain(i) for i in v]
    if isinstance(v, dict):
        return {k: _plain(i) for k, i in v.items()}
    return v


def _decode_xml(method, body):
    (answer,), _ = xmlrpc.client.loads(body)
    if method.startswith("system."):
        return answer
    if answer["Status"] != "Success":
        raise Failure(answer["ErrorDescription"][0], answer["ErrorDescription"][1:])
    return _plain(answer["Value"])


def value_of_result(text):
    """A task's result is the XML of a <value>; empty for void and while it runs."""
    if not text:
        return ""
    element = ElementTree.fromstring(text)

    def read(e):
        child = next(iter(e), None)
        if child is None:
            return e.text or ""
        if child.tag == "array":
            return [read(v) for v in child.find("data")]
        if child.tag == "struct":
            return {m.find("name").text or "": read(m.find("value")) for m in child}
        if child.tag == "boolean":
            return child.text == "1"
        return child.text or ""
    return read(element)


class _Names:
    def __init__(self, client, prefix):
        self._client, self._prefix = client, prefix

    def __getattr__(self, name):
        return _Names(self._client, f"{self._prefix}.{name}")

    def __call__(self, *params):
        return self._client.call(self._prefix, *params)


class Client:
    PATHS = {"xml": "/", "json1": "/jsonrpc", "json2": "/jsonrpc"}

    def __init__(self, url, protocol="json2", timeout=90, path=None, observer=None):
        self.url, self.protocol, self.timeout = url.rstrip("/"), protocol, timeout
        self.path = path or self.PATHS[protocol]
        self.session_ref = None
        self.observer = observer  # called with (method, error code or None) after each call
        self._local = threading.local()

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return _Names(self, name)

    def sibling(self, **other):
        """Another client with the same session: another protocol, another connection."""
        args = dict(url=self.url, protocol=self.protocol, timeout=self.timeout, observer=self.observer)
        args.update(other)
        c = Client(**args)
        c.session_ref = self.session_ref
        return c

    def login(self, user, password, *more):
        self.session_ref = self.call("session.login_with_password", user, password, *more)
        return self

    def logout(self):
        self.call("session.logout")
        self.session_ref = None

    def close(self):
        connection = getattr(self._local, "connection", None)
        if connection:
            connection.close()
        self._local.connection = None

    def call(self, method, *params):
        bare = method.removeprefix("Async.")
        args = list(params)
        if bare not in WITHOUT_SESSION and not bare.startswith("system."):
            args.insert(0, self.session_ref or "")
        code = "?"
        try:
            result = self.raw(method, args)
            code = None
            return result
        except Failure as e:
            code = e.code
            raise
        finally:
            if self.observer and code != "?":
                self.observer(method, code)

    def raw(self, method, params):
        """One call, its parameters exactly as given."""
        if self.protocol == "xml":
            body, kind = xmlrpc.client.dumps(tuple(_wide(p) for p in params), method).encode(), "text/xml"
        else:
            body, kind = _encode_json(self.protocol, method, params), "application/json"
        status, headers, answer = self.post(self.path, body, kind)
        if status != 200:
            raise ProtocolError(status, answer)
        return _decode_xml(method, answer) if self.protocol == "xml" else _decode_json(self.protocol, answer)

    def post(self, path, body, kind, method="POST"):
        for attempt in (1, 2):
            connection = getattr(self._local, "connection", None)
            fresh = connection is None
            if fresh:
                connection = self._local.connection = _Connection(self.url, self.timeout)
            try:
                connection.request(method, path, body, {"Content-Type": kind, "User-Agent": "runnymede-tools/1"})
                r = connection.getresponse()
                answer = r.read()
                if r.will_close:
                    self.close()
                return r.status, r.headers, answer
            except (ConnectionError, http.client.HTTPException, OSError) as e:
                self.close()
                # A kept connection may have been closed by the server meanwhile; that a fresh one broke is news.
                stale = isinstance(e, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError))
                if fresh or attempt == 2 or not stale:
                    raise

    def wait(self, task, timeout=120, destroy=True):
        """Waits for a task; its result as a value, or a Failure. Destroys it."""
        end = time.monotonic() + timeout
        while True:
            r = self.call("task.get_record", task)
            if r["status"] != "pending":
                break
            if time.monotonic() > end:
                raise TimeoutError(f"task {r['name_label']} is still pending after {timeout} s")
            time.sleep(0.03)
        if destroy:
            self.call("task.destroy", task)
        if r["status"] == "success":
            return value_of_result(r["result"])
        raise Failure(r["error_info"][0] if r["error_info"] else r["status"], r["error_info"][1:])

    # HTTP handlers

    def handler(self, method, path, query=(), body=None, headers=None, timeout=None):
        """One request to a handler on a connection of its own; (status, headers, body bytes). body may be a file."""
        q = dict(query)
        q.setdefault("session_id", self.session_ref or "")
        c = _Connection(self.url, timeout or self.timeout)
        try:
            c.request(method, f"{path}?{urllib.parse.urlencode(q)}", body, headers or {})
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()


def side_by_side(client, items, work, workers=8):
    """work(client, item) for all items, from as many connections as there are workers; their results, in no order."""
    todo, lock, errors, results = iter(list(items)), threading.Lock(), [], []

    def run():
        x = client.sibling(timeout=600)
        while not errors:
            with lock:
                item = next(todo, None)
            if item is None:
                break
            try:
                results.append(work(x, item))
            except Exception as e:  # noqa: BLE001 - told by the caller
                errors.append(e)
        x.close()

    threads = [threading.Thread(target=run, daemon=True) for _ in range(workers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return results
