"""
What the end-to-end tests share: a gateway process (Gateway), a scripted receiver of its
deliveries (Receiver), a client for bytes that no library would send (RawClient), and checks
that owe nothing to the program's own code (verify, expect_error).

No test decides by time. What has to happen is waited for with wait_until(); what must not
happen is shown by something later that did happen.
"""

import base64
import hashlib
import hmac
import http
import os
import pathlib
import re
import secrets
import select
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass

import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed25519
from requests.structures import CaseInsensitiveDict

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.path.abspath(os.environ.get("WAYBILL") or ROOT / "build" / "waybill")
# Whoever is not root sees a gateway's descriptors, and its calls, where core_dumps is on alone.
IN_SIGHT = None if os.geteuid() == 0 else "on"
LOOPBACK = ("127.0.0.0/8", "::1/128")
MASK = "********"

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
READY = re.compile(r"waybill ready on (https?://\S+)")


def wait_until(condition, timeout=10, what="condition"):
    """Calls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what} not met within {timeout} s"
        time.sleep(0.01)


def session_path(session, *rest):
    """The API's path of a session, whatever it is called, or of what is below it."""
    return "/".join(["/sessions", urllib.parse.quote(session, safe=""), *rest])


def hooks_path(session, *rest):
    """The API's path of a session's webhooks, or of what is below them."""
    return session_path(session, "webhooks", *rest)


def as_listed(webhook):
    """What a list shows of a webhook: all but its authorities."""
    return {name: value for name, value in webhook.items() if name != "ca_pem"}


def event_of_size(total):
    """The bytes of an event to publish, `total` of them."""
    frame = b'{"event":"message","data":"%s"}'
    return frame % (b"x" * (total - len(frame % b"")))


# Processes


def environment(extra=None):
    """The environment for a program under test, without the caller's WAYBILL_ settings."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith("WAYBILL_")}
    return {**kept, **(extra or {})}


def flags(options):
    """{"retry_schedule": "5s,30s"} -> ["--retry-schedule", "5s,30s"]; None leaves one out."""
    out = []
    for name, value in options.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        for item in values:
            if item is not None:
                out += ["--" + name.replace("_", "-"), str(item)]
    return out


def waybill(*args, env=None):
    """Runs the program to its end and returns its exit status and output as text."""
    return subprocess.run(
        [BINARY, *map(str, args)],
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=20,
    )


def version():
    """The version that the program says it is."""
    done = waybill("version")
    assert done.returncode == 0
    return re.fullmatch(r"waybill (\S+)\n", done.stdout).group(1)


class Process:
    """A program whose standard output is read line by line while it runs."""

    def __init__(self, command, log=subprocess.DEVNULL, env=None):
        self.lines = []
        self._popen = subprocess.Popen(
            [str(part) for part in command],
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self._popen.stdout as stream:
            for line in stream:
                self.lines.append(line.decode("utf-8").rstrip("\n"))

    @property
    def running(self):
        return self._popen.poll() is None

    @property
    def pid(self):
        return self._popen.pid

    def line(self, number):
        """Waits for line `number`, from 0, of the output."""
        wait_until(
            lambda: len(self.lines) > number or not self.running,
            what=f"output line {number}",
        )
        if len(self.lines) <= number:
            self._reader.join()
        assert len(self.lines) > number, f"ended with status {self._popen.poll()}"
        return self.lines[number]

    def descriptors(self):
        """How many descriptors the program has open."""
        return len(os.listdir(f"/proc/{self._popen.pid}/fd"))

    @property
    def pid(self):
        return self._popen.pid

    def signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout=20):
        """Waits for the program's end; returns its exit status, -N after signal N."""
        status = self._popen.wait(timeout)
        self._reader.join()
        return status

    def close(self):
        if self.running:
            self._popen.kill()
        self.wait()


def tls_client(authority, identity=None):
    """An SSLContext of a client that trusts `authority`; both as trustme makes them."""
    context = ssl.create_default_context()
    context.check_hostname = False  # requests does it, and cannot let ssl do it for addresses
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    authority.configure_trust(context)
    if identity:
        identity.configure_cert(context)
    return context


def pems(identity):
    """The fields of a webhook for a certificate of trustme's."""
    return {
        "client_cert_pem": "".join(pem.bytes().decode() for pem in identity.cert_chain_pems),
        "client_key_pem": identity.private_key_pem.bytes().decode(),
    }


class TlsAdapter(requests.adapters.HTTPAdapter):
    """Lets requests use an ssl.SSLContext, the library's own where it is None."""

    def __init__(self, context):
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args, **kwargs):
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)


class Gateway:
    """
    A `waybill serve` on a free port of loopback, with a data directory that outlives it.

    `options` are settings by their names (retry_schedule="50ms,50ms"), given as flags. Full
    access needs the token, WAYBILL_TOKEN: one of its own, so that a request that comes to the
    port's next owner does nothing there. `token`: another one; None leaves it without. `tls`:
    an ssl.SSLContext of a client, for https. `prefix`: the words of a command that runs it, for
    the next start(). It runs from start() on.
    """

    def __init__(
        self, directory, token="", config=None, env=None, tls=None, prefix=(), **options
    ):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.token = token = secrets.token_hex(16) if token == "" else token
        self.tls = tls
        self.log = self.directory / "stderr.log"
        self._env = {**({} if token is None else {"WAYBILL_TOKEN": token}), **(env or {})}
        self._config = ["-c", config] if config else []
        self.prefix = list(prefix)
        self._options = {
            "listen": "127.0.0.1:0",
            "data": self.directory / "data",
            "allow_cidr": LOOPBACK,
            "core_dumps": IN_SIGHT,
            **options,
        }
        self.process = None
        self.url = None

    def reconfigure(self, **options):
        """Changes settings for the next start()."""
        self._options.update(options)

    def start(self):
        """Starts it, also after stop() or kill(); `url` is then a new one."""
        with open(self.log, "ab") as log:
            self.process = Process(
                [*self.prefix, BINARY, "serve", *self._config, *flags(self._options)],
                log,
                self._env,
            )
        ready = READY.fullmatch(self.process.line(0))
        assert ready, f"not a ready line: {self.process.lines[0]!r}"
        self.url = ready.group(1)

    def stop(self):
        """Stops it as a supervisor does, and expects that it ends well."""
        self.process.signal(signal.SIGTERM)
        self.wait_stopped()

    def wait_stopped(self):
        status = self.process.wait()
        assert status == 0, f"exit status {status} after SIGTERM"

    def kill(self):
        """Ends it as a crash does."""
        self.process.signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL

    def close(self):
        """Leaves nothing behind, whatever happened."""
        if self.process:
            self.process.close()

    @property
    def running(self):
        return self.process is not None and self.process.running

    @property
    def address(self):
        parts = urllib.parse.urlsplit(self.url)
        return parts.hostname, parts.port

    def log_text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def request(self, method, path, token=None, headers=None, **kwargs):
        """
        One request on a connection of its own. `token`: another than the gateway's; "" sends
        none.
        """
        token = self.token if token is None else token
        headers = dict(headers or {})
        if token:
            headers.setdefault("Authorization", "Bearer " + token)
        with requests.Session() as http_session:
            http_session.trust_env = False
            http_session.mount("https://", TlsAdapter(self.tls))
            return http_session.request(
                method, self.url + path, headers=headers, timeout=20, **kwargs
            )

    def api(self, method, path, json=None, body=None, headers=None, token=None):
        """Calls the API below /api/v1 with `json`, or with the exact bytes of `body`."""
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        return self.request(
            method, "/api/v1" + path, token=token, headers=headers, json=json, data=body
        )

    def register(self, session, url, **fields):
        """Registers a webhook and returns it."""
        answer = self.api("POST", hooks_path(session), json={"url": url, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def webhook(self, session, webhook_id):
        answer = self.api("GET", hooks_path(session, webhook_id))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def call(self, session, webhook_id, verb):
        """enable, disable, test."""
        answer = self.api("POST", hooks_path(session, webhook_id, verb))
        assert answer.ok, answer.text
        return answer.json()

    def publish(self, session, event="message", **members):
        """Publishes an event (data=…, timestamp=…) and returns the answer."""
        envelope = {"event": event, **members}
        answer = self.api("POST", session_path(session, "events"), json=envelope)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def publish_text(self, session, data):
        """Publishes a `message` whose data is exactly the JSON text `data`."""
        body = b'{"event":"message","data":' + data.encode("utf-8") + b"}"
        answer = self.api("POST", f"/sessions/{session}/events", body=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    def dlq(self, session):
        """The session's dead letters, newest first; the first page of 200."""
        answer = self.api("GET", hooks_path(session, "dlq?limit=200"))
        assert answer.status_code == 200, answer.text
        return answer.json()["entries"]

    def replay(self, session, entry_id):
        return self.api("POST", hooks_path(session, "dlq", entry_id, "replay"))

    def connect(self, source=None):
        """A connection, from the loopback address `source`."""
        return RawClient(self.address, self.tls, source)

    @property
    def pid(self):
        return self.process.pid


def processor_s(gateway):
    """Processor time that it has taken so far, whatever else the machine does."""
    with open(f"/proc/{gateway.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def expect_error(answer, code, field=None, mentions=()):
    """Asserts the API's error shape. `field`: the whole name, or a prefix that ends in "*"."""
    assert answer.status_code == code, answer.text
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    body = answer.json()
    assert body["success"] is False
    error = body["error"]
    assert error["code"] == code
    assert isinstance(error["message"], str) and error["message"]
    if field is not None and field.endswith("*"):
        assert error["field"].startswith(field[:-1])
    elif field is not None:
        assert error["field"] == field
    for word in mentions:
        assert word in error["message"]
    return error


# What /metrics says

SHARE = re.compile(r'waybill_share_(capacity|held|refused_total)\{resource="(\w+)"\} (\d+)')


def figure(gateway, name):
    """The value of one sample; `name` with its labels."""
    text = gateway.request("GET", "/metrics", token="").text
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M).group(1))


def shares(gateway):
    """{resource: {"capacity": …, "held": …, "refused_total": …}}."""
    found = {}
    for what, resource, value in SHARE.findall(gateway.request("GET", "/metrics", token="").text):
        found.setdefault(resource, {})[what] = int(value)
    return found


# Raw HTTP


class RawReply:
    """An HTTP answer with as much of requests.Response's face as expect_error() needs."""

    def __init__(self, status_code, headers, content):
        self.status_code = status_code
        self.headers = headers
        self.content = content
        self.text = content.decode("utf-8", "replace")

    def json(self):
        return requests.compat.json.loads(self.content)


class RawClient:
    """
    A connection on which a test writes the very bytes of its requests. `address`: a host and a
    port, or the path of a unix socket. `tls`: an ssl.SSLContext; an end of the connection
    without a close_notify is then an error. `source`: an address of this machine to come from.
    """

    def __init__(self, address, tls=None, source=None):
        if isinstance(address, tuple):
            bound_to = (source, 0) if source else None
            sock = socket.create_connection(address, timeout=10, source_address=bound_to)
        else:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(10)
            sock.connect(str(address))
        if tls:
            sock = tls.wrap_socket(
                sock, server_hostname=address[0], suppress_ragged_eofs=False
            )
        self._link = Link(sock)

    @property
    def sock(self):
        return self._link.sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._link.close()

    def take_little(self):
        """Leaves what comes with the peer, but for a few kilobytes."""
        self._link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def send(self, data):
        """Sends what the peer will take: it may well have refused and left half-way."""
        try:
            self._link.send(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass

    def send_and_hear(self, data):
        """Sends all of `data`; what comes meanwhile is kept for reply()."""
        self._link.send_and_hear(data)

    def drip(self, data, every_s):
        """Sends `data` again and again until an answer comes or the peer leaves."""
        while not select.select([self._link.sock], [], [], every_s)[0]:
            self.send(data)

    def reply(self, to="GET"):
        """Reads the next answer; `to` is the method of its request (HEAD's has no body)."""
        head = self._link.read_until(b"\r\n\r\n")
        assert head is not None, "closed without an answer"
        status_line, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?.*", status_line)
        assert match, f"not a status line: {status_line!r}"
        code = int(match.group(1))
        headers = CaseInsensitiveDict(line.split(": ", 1) for line in lines)
        bodiless = to == "HEAD" or code < 200 or code in (204, 304)
        length = 0 if bodiless else int(headers["Content-Length"])
        return RawReply(code, headers, self._link.read_exactly(length))

    def send_what_fits(self, data):
        """Sends until nobody takes any more; returns how many bytes that were."""
        sent = 0
        while sent < len(data) and select.select([], [self._link.sock], [], 0.2)[1]:
            sent += self._link.sock.send(data[sent : sent + 65536])
        return sent

    def has_answer(self):
        """Whether something of an answer, or the end, has come."""
        return bool(select.select([self._link.sock], [], [], 0)[0])

    def finish(self):
        """Says that nothing more will be sent."""
        self._link.sock.shutdown(socket.SHUT_WR)

    def is_closed(self):
        """Waits for the peer's next move and says whether it was to close."""
        try:
            return self._link.at_end()
        except ConnectionResetError:
            return True


class ProtocolError(Exception):
    """The peer broke HTTP."""


class Link:
    """A connected socket with a read buffer."""

    def __init__(self, sock):
        self.sock = sock
        self.ended = False  # by us: what comes no more is no fault of the peer's
        self._buffer = b""

    def _fill(self):
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)

    def read_until(self, mark):
        """What comes before `mark`, which is eaten; None where the peer ended before a byte."""
        while mark not in self._buffer:
            if not self._fill():
                if self._buffer:
                    raise ProtocolError(f"ended within {self._buffer[:200]!r}")
                return None
        head, self._buffer = self._buffer.split(mark, 1)
        return head

    def read_exactly(self, count):
        while len(self._buffer) < count:
            if not self._fill():
                raise ProtocolError(f"ended {count - len(self._buffer)} bytes too early")
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def at_end(self):
        return not self._buffer and not self._fill()

    def send(self, data):
        self.sock.sendall(data)

    def send_and_hear(self, data):
        """
        In one thread: OpenSSL's connections are not for two at a time, one of which may take the
        other's "not yet" for the end.
        """
        timeout = self.sock.gettimeout()
        while data:
            readable, writable, _ = select.select([self.sock], [self.sock], [], timeout)
            assert readable or writable, "the peer takes nothing and says nothing"
            self.sock.setblocking(False)
            try:
                if readable and not self._fill():
                    raise ProtocolError(f"ended with {len(data)} bytes to go")
                if writable:
                    data = data[self.sock.send(data[:65536]) :]
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            finally:
                self.sock.settimeout(timeout)

    def linger(self, seconds):
        value = struct.pack("ii", 1, seconds)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, value)

    def reset(self):
        """Closes with a reset instead of an orderly end."""
        self.linger(0)
        self.sock.close()

    def end(self):
        """
        Ends the connection under the thread that serves it, which then closes the socket. Closed
        here, its descriptor would be another's when that thread is still at it.
        """
        self.ended = True
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster

    def close(self):
        self.end()
        self.sock.close()


# The receiver


@dataclass(frozen=True)
class Request:
    """A request as it came: nothing is decoded, folded or put in order."""

    method: str
    path: str
    headers: tuple  # of (name, value), names in the case in which they came
    body: bytes
    connection: int  # number of the connection, from 1
    at: float  # time.monotonic() when the body was complete

    def values(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def header(self, name):
        """The header's only value, None where it did not come."""
        values = self.values(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def id(self):
        return self.header("X-Webhook-Id")

    @property
    def event(self):
        return self.header("X-Webhook-Event")

    @property
    def attempt(self):
        return int(self.header("X-Webhook-Attempt"))

    def json(self):
        return requests.compat.json.loads(self.body)


HEADER_LINE = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*"
)


def read_request(link, connection):
    """Reads one request, None at the end of the connection; strict about contract section 4."""
    head = link.read_until(b"\r\n\r\n")
    if head is None:
        return None
    request_line, *lines = head.decode("latin-1").split("\r\n")
    match = re.fullmatch(r"([A-Z]+) (\S+) HTTP/1\.1", request_line)
    if not match:
        raise ProtocolError(f"request line {request_line!r}")
    headers = []
    for line in lines:
        header = HEADER_LINE.fullmatch(line)
        if not header:
            raise ProtocolError(f"header line {line!r}")
        headers.append(header.groups())
    names = [name.lower() for name, _ in headers]
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    if match.group(1) == "GET" and not lengths:
        lengths = ["0"]  # a challenge, which has no body
    if names.count("host") != 1 or len(lengths) != 1 or not re.fullmatch(r"\d+", lengths[0]):
        raise ProtocolError(f"not one Host and one Content-Length: {headers!r}")
    if "transfer-encoding" in names:
        raise ProtocolError("Transfer-Encoding in a delivery")
    body = link.read_exactly(int(lengths[0]))
    return Request(*match.groups(), tuple(headers), body, connection, time.monotonic())


class Receiver:
    """
    An HTTP/1.1 server on loopback that does what its script says, one behaviour a request,
    the last one again and again; without a script it answers 200. A behaviour is a status or
    one of the functions and classes below. What came is in `requests`.

    `tls`: an ssl.SSLContext of a server, for https; a new one counts from the next connection.
    """

    def __init__(self, *script, host="127.0.0.1", port=0, tls=None):
        self.requests = []
        self.ids = set()  # the X-Webhook-Ids that came
        self.errors = []  # what broke HTTP; a test that expects none finds out at its end
        self.connections = 0  # how many came, also those on which nothing did
        self.peak = 0  # the most requests that were under way at once
        self.tls = tls
        self._lock = threading.Lock()
        self._script = list(script) or [200]
        self._under_way = 0
        self._links = set()
        self._threads = []
        self.closing = threading.Event()
        self._listener = socket.create_server((host, port), backlog=128)
        self.host, self.port = self._listener.getsockname()[:2]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def url(self, path="/hook", host=None):
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{host or self.host}:{self.port}{path}"

    def answer(self, *script):
        """Replaces what is left of the script, from the next request on."""
        with self._lock:
            self._script = list(script)

    def wait_for(self, count, timeout=10):
        """Waits until at least `count` requests have come and returns all."""
        wait_until(
            lambda: len(self.requests) >= count, timeout, f"{count} requests to the receiver"
        )
        return list(self.requests)

    def linger(self, seconds):
        """How long close() waits for peers; 0 resets the connections."""
        with self._lock:
            for link in self._links:
                link.linger(seconds)

    def drop(self):
        """Ends the connections that there are; new ones are served."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.end()

    def close(self):
        """Ends all connections and answers no more; the port is free again."""
        self.closing.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)  # close() alone leaves accept() asleep
        except OSError:
            pass  # closed before
        self._listener.close()
        self._acceptor.join()
        self.drop()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while not self.closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(
                target=self._serve, args=(sock, self.connections), daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock, number):
        link = Link(sock)
        with self._lock:
            self._links.add(link)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                link.sock = self.tls.wrap_socket(sock, server_side=True)
            while self._serve_one(link, number):
                pass
        except OSError:
            pass  # a peer may leave at any time, or not like our certificate
        except ProtocolError as error:
            if not link.ended:
                self.errors.append(str(error))
        finally:
            with self._lock:
                self._links.discard(link)
            link.close()

    def _serve_one(self, link, number):
        request = read_request(link, number)
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            self.ids.update(request.values("X-Webhook-Id"))
            act = self._script.pop(0) if len(self._script) > 1 else self._script[0]
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
        try:
            return behaviour(act)(link, request, self.closing)
        finally:
            with self._lock:
                self._under_way -= 1


# Behaviours: called with the link, the request and the receiver's `closing` event; they return
# whether the connection stays open.


def behaviour(given):
    """A plain number stands for an answer with that status."""
    return status(given) if isinstance(given, int) else given


def head(code, *headers):
    """The bytes of an answer's head."""
    known = code in iter(http.HTTPStatus)
    reason = http.HTTPStatus(code).phrase if known else "Some Status"
    lines = [f"HTTP/1.1 {code} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status(code, body=b"", headers=()):
    """Answers with `code`, at once and complete."""
    bodiless = code in (204, 304)
    length = [] if bodiless else [("Content-Length", len(body))]

    def act(link, _request, _closing):
        link.send(head(code, *headers, *length) + (b"" if bodiless else body))
        return True

    return act


def redirect(location, code=302):
    return status(code, headers=[("Location", location)])


def delay(seconds, then=200):
    """Lets the request wait, then does `then`."""

    def act(link, request, closing):
        return not closing.wait(seconds) and behaviour(then)(link, request, closing)

    return act


class Hold:
    """Lets requests wait until release() and then does `then`; never released, it hangs."""

    def __init__(self, then=200):
        self._then = behaviour(then)
        self._released = threading.Event()

    def release(self):
        self._released.set()

    def __call__(self, link, request, closing):
        while not self._released.wait(0.01):
            if closing.is_set():
                return False
        return self._then(link, request, closing)


def reset():
    """Resets the connection instead of an answer."""

    def act(link, _request, _closing):
        link.reset()
        return False

    return act


def raw(data, then_hold=False):
    """Sends `data` as it is; then closes, or keeps silent with the connection open."""

    def act(link, request, closing):
        link.send(data)
        return then_hold and Hold()(link, request, closing)

    return act


def close():
    """Closes the connection without an answer."""
    return raw(b"")


def open_head(code=200):
    """Begins an answer's head and never ends it."""
    return raw(f"HTTP/1.1 {code} OK\r\nX-More: ".encode(), then_hold=True)


def interim(*codes, then=200):
    """Sends 1xx answers before the final one."""

    def act(link, request, closing):
        for code in codes:
            link.send(head(code, ("X-Interim", "yes")))
        return behaviour(then)(link, request, closing)

    return act


def drip(code=200, headers=()):
    """Answers with `code` and a body of one byte now and then, for ever."""

    def act(link, _request, closing):
        link.send(head(code, *headers))
        while not closing.wait(0.02):
            link.send(b".")
        return False

    return act


def flood(code=200, headers=()):
    """Answers with `code` and a body that has no end, as fast as it is read."""

    def act(link, _request, closing):
        link.send(head(code, *headers))
        while not closing.is_set():
            link.send(b"x" * 65536)
        return False

    return act


# Signatures, after the contract's section 4 and the Standard Webhooks specification


def sign_v1(secret, body):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def sign_v2(secret, timestamp, body):
    return sign_v1(secret, f"{timestamp}.".encode() + body)


def sign_standard(secret, message_id, timestamp, body):
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret[len("whsec_"):], validate=True)
        except ValueError:
            pass  # not of that form: its bytes are the key
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def is_by_pair(public_key, signature, message):
    """Whether Ed25519's `signature`, base64, is by the pair of `public_key`, whpk_…."""
    key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key[len("whpk_"):]))
    try:
        key.verify(base64.b64decode(signature), message)
    except InvalidSignature:
        return False
    return True


def rfc9421_base(request, label, url):
    """The text that the label of RFC 9421 signs, after its section 2.5; a request to `url`."""
    digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
    assert request.header("Content-Digest") == f"sha-256=:{digest}:"
    params = re.search(rf"\b{label}=(\(.*?\)[^,]*)", request.header("Signature-Input")).group(1)
    derived = {"@method": request.method, "@target-uri": url}
    names = re.findall(r'"([^"]+)"', params.split(")")[0])
    lines = [f'"{name}": {derived.get(name) or request.header(name)}' for name in names]
    return "\n".join([*lines, f'"@signature-params": {params}']).encode()


def verify_rfc9421(request, secret):
    url = f"http://{request.header('Host')}{request.path}"
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    code = hmac.new(key, rfc9421_base(request, "sig1", url), hashlib.sha256).digest()
    assert request.header("Signature") == f"sig1=:{base64.b64encode(code).decode()}:"


def verify(request, secret, signature="v1", public_key=None):
    """
    Asserts that each of the request's signatures is the one that `secret` makes, or for
    ed25519 the pair of `public_key`.
    """
    timestamp = request.header("X-Webhook-Timestamp")
    expected = {
        "v1": lambda: sign_v1(secret, request.body),
        "v2": lambda: sign_v2(secret, timestamp, request.body),
    }
    own = expected[signature]() if signature in expected else None
    assert request.header("X-Webhook-Signature") == own
    assert request.header("X-Webhook-Signature-Version") == ("v2" if signature == "v2" else None)
    if signature == "rfc9421":
        verify_rfc9421(request, secret)
    assert request.header("webhook-id") == request.id
    assert request.header("webhook-timestamp") == timestamp
    standard = sign_standard(secret, request.id, timestamp, request.body)
    given = request.header("webhook-signature")
    if signature == "ed25519":
        given, by_pair = given.split()
        signed = f"{request.id}.{timestamp}.".encode() + request.body
        assert by_pair.startswith("v1a,") and is_by_pair(public_key, by_pair[4:], signed)
    assert given == standard
