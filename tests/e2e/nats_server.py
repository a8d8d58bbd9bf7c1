"""A NATS server with JetStream for one test, a client of it, and its users' keys and JWTs."""

import base64
import hashlib
import json
import pathlib
import signal
import socket
import ssl
import subprocess
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness import wait_until

GETTER = pathlib.Path(__file__).resolve().parents[2] / "etc/install-nats-server"
SEED, OPERATOR, ACCOUNT, USER = 18 << 3, 14 << 3, 0, 20 << 3  # what keys begin with


def find_program():
    """The server's program; a test that cannot have it fails, and says why."""
    found = subprocess.run([GETTER], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


class NatsServer:
    """`conf` is what its configuration has besides a port and a store."""

    def __init__(self, directory, conf="", address="127.0.0.1"):
        directory.mkdir()
        self.directory = directory
        self.port = -1  # any
        self._conf = conf
        self._address = address
        self._process = None
        self._client = None
        self.start()

    def start(self):
        """On the port that it had, with what is stored."""
        conf = self.directory / "nats.conf"
        conf.write_text(
            f"listen: {self._address}:{self.port}\nports_file_dir: {json.dumps(str(self.directory))}\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.directory))} }}\n{self._conf}\n"
        )
        log = open(self.directory / "log", "ab")
        self._process = subprocess.Popen([find_program(), "-c", conf], stdout=log, stderr=log)
        log.close()
        ports = self.directory / f"nats-server_{self._process.pid}.ports"
        wait_until(lambda: ports.exists() and ports.read_text().endswith("}"), what=str(ports))
        self.port = int(json.loads(ports.read_text())["nats"][0].rsplit(":", 1)[1])
        return self

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def forget_client(self):
        if self._client is not None:
            self._client.close()
            self._client = None

    def stop(self, number=signal.SIGTERM):
        self.forget_client()
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def kill(self):
        self.stop(signal.SIGKILL)

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def move(self):
        """Stops, and goes on at another port."""
        self.stop()
        self.port = -1
        self.start()

    def log_text(self):
        return (self.directory / "log").read_text(errors="replace")

    def client(self, tls=None, timeout=10, **login):
        """The one client, made when it is first asked for."""
        if self._client is None:
            self._client = NatsClient(self.port, tls, timeout, login)
        return self._client


class NatsError(Exception):
    """What JetStream has answered."""


class NatsClient:
    """Publishes and asks; the answers come in its inbox."""

    def __init__(self, port, tls, timeout, login):
        self._sock = socket.create_connection(("127.0.0.1", port), timeout)
        self._file = self._sock.makefile("rb")
        self._asked = 0
        self.info = json.loads(self._line()[len("INFO ") :])
        if tls is not None:
            self._sock = tls.wrap_socket(self._sock, server_hostname="localhost")
            self._file = self._sock.makefile("rb")
        seed = login.pop("key", None)
        if seed is not None:
            login["sig"] = seed.sign(self.info["nonce"].encode())
        hello = {"verbose": False, "headers": True, "no_responders": True, "protocol": 1, **login}
        self._send(f"CONNECT {json.dumps(hello)}\r\nSUB inbox.* 1\r\nPING\r\n")
        assert self._line() == "PONG"

    def close(self):
        self._sock.close()

    def _send(self, text):
        self._sock.sendall(text if isinstance(text, bytes) else text.encode())

    def _line(self):
        line = self._file.readline()
        assert line.endswith(b"\r\n"), line
        return line.decode().strip()

    def _answer(self):
        """The payload of the next message; pings are answered meanwhile."""
        while True:
            words = self._line().split()
            if words[0] == "PING":
                self._send("PONG\r\n")
            elif words[0] in ("MSG", "HMSG"):
                body = self._file.read(int(words[-1]) + 2)[:-2]
                return body[int(words[-2]) if words[0] == "HMSG" else 0 :]

    def publish(self, subject, payloads):
        """Publishes to a stream, in order; returns when all are stored."""
        for payload in payloads:
            self._send(b"PUB %s inbox.0 %d\r\n%s\r\n" % (subject.encode(), len(payload), payload))
        for _ in payloads:
            answer = json.loads(self._answer())
            assert "error" not in answer, answer

    def publish_with(self, subject, headers, payload):
        """Publishes one message, whose headers are as they are given."""
        head = b"HPUB %s inbox.0 %d %d\r\n"
        head %= subject.encode(), len(headers), len(headers) + len(payload)
        self._send(head + headers + payload + b"\r\n")
        assert "error" not in json.loads(self._answer())

    def ask(self, what, **members):
        """JetStream's answer to a question."""
        body = json.dumps(members).encode() if members else b""
        self._asked += 1
        self._send(b"PUB $JS.API.%s inbox.0 %d\r\n%s\r\n" % (what.encode(), len(body), body))
        answer = json.loads(self._answer())
        if "error" in answer:
            raise NatsError(answer["error"]["description"])
        return answer

    def make_stream(self, name, *subjects, **members):
        """The stream; JetStream may not be ready at once after a start."""
        asked = {"name": name, "subjects": list(subjects), "retention": "limits",
                 "storage": "file", "num_replicas": 1, **members}
        return self.ask(f"STREAM.CREATE.{name}", **asked)

    def consumer(self, stream, name):
        return self.ask(f"CONSUMER.INFO.{stream}.{name}")


def _crc(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc.to_bytes(2, "little")


def _base32(data):
    return base64.b32encode(data + _crc(data)).decode().rstrip("=")


def _base64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class NatsKey:
    """A key that is made of a name."""

    def __init__(self, kind, name):
        raw = hashlib.sha256(name.encode()).digest()
        self._private = Ed25519PrivateKey.from_private_bytes(raw)
        public = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = _base32(bytes([kind]) + public)
        self.seed = _base32(bytes([SEED | kind >> 5, (kind & 31) << 3]) + raw)

    def sign(self, data):
        return _base64(self._private.sign(data))

    def jwt(self, subject, nats):
        """What this key says of another."""
        claims = {"jti": "1", "iat": int(time.time()), "iss": self.public, "name": "test",
                  "sub": subject.public, "nats": {"version": 2, **nats}}
        texts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims]
        text = ".".join(_base64(json.dumps(t).encode()) for t in texts)
        return f"{text}.{self.sign(text.encode())}"


def creds(jwt, seed):
    """The text of a creds file."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def operator_mode():
    """A configuration with an operator, the user's JWT and the user's key."""
    operator = NatsKey(OPERATOR, "operator")
    account, system = NatsKey(ACCOUNT, "account"), NatsKey(ACCOUNT, "system")
    user = NatsKey(USER, "user")
    limits = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage",
         "disk_storage", "streams", "consumer"), -1)
    claims = {"type": "account", "limits": {**limits, "wildcards": True}}
    system_claims = {"type": "account", "limits": {**limits, "wildcards": True,
                                                   "mem_storage": 0, "disk_storage": 0}}
    user_jwt = account.jwt(user, {"type": "user", "subs": -1, "data": -1, "payload": -1})
    conf = (f"operator: {operator.jwt(operator, {'type': 'operator'})}\n"
            f"system_account: {system.public}\nresolver: MEMORY\nresolver_preload {{\n"
            f"{account.public}: {operator.jwt(account, claims)}\n"
            f"{system.public}: {operator.jwt(system, system_claims)}\n}}")
    return conf, user_jwt, user


def tls_conf(directory, authority):
    """A configuration with TLS, by a certificate of `authority` (trustme) for localhost."""
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    name = json.dumps(str(directory / "server.pem"))
    return f"tls {{ cert_file: {name}, key_file: {name} }}"


def tls_of(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
