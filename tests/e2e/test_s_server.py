"""Client certificates before OpenSSL's own server, as the TLS front of many a receiver is."""

import datetime
import re
import shutil
import socket
import subprocess
import threading

import pytest
import trustme

from harness import expect_error, hooks_path, pems, wait_until

ANSWER = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
SUBJECT = re.compile(r"depth=0 .*CN ?= ?(\S+)")  # from OpenSSL 3.2 on without spaces

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")


class SServer:
    """
    `openssl s_server`, one connection after the other; what it decrypts comes on its standard
    output, and what is written to it goes to the peer. `subjects`: of the certificates that it
    was shown; `events`: the X-Webhook-Id and attempt of each request that came through.
    """

    def __init__(self, folder, authority, *options):
        folder.mkdir()
        own = authority.issue_cert("127.0.0.1")
        own.private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.log = folder / "log"
        self.events = []
        with open(self.log, "wb") as log:
            self._popen = subprocess.Popen(
                ["openssl", "s_server", "-quiet", "-accept", f"127.0.0.1:{self.port}",
                 "-cert", folder / "own.pem", "-key", folder / "own.pem",
                 "-CAfile", folder / "ca.pem", "-verify_return_error", *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0,
            )
        threading.Thread(target=self._serve, daemon=True).start()
        wait_until(self._is_open, what="s_server")

    def _is_open(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def _serve(self):
        seen = b""
        while data := self._popen.stdout.read(65536):
            seen += data
            head, end, body = seen.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\nContent-Length: *(\d+)", head)
            if not end or len(body) < int(length[1]):
                continue
            lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
            self.events.append((lines["X-Webhook-Id"], lines["X-Webhook-Attempt"]))
            seen = b""
            self._popen.stdin.write(ANSWER)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}/hook"

    @property
    def subjects(self):
        return SUBJECT.findall(self.log.read_text())

    def close(self):
        self._popen.kill()
        self._popen.wait()
        self._popen.stdin.close()
        self._popen.stdout.close()


@pytest.fixture
def make_server(tmp_path, authority):
    servers = []

    def make(*options, trusted=authority):
        servers.append(SServer(tmp_path / f"s_server{len(servers)}", trusted, *options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def gateway(make_gateway, authority, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return make_gateway(ca_file=tmp_path / "ca.pem", retry_schedule="50ms,50ms")


def identity(authority, name, **dates):
    return pems(authority.issue_cert(name, common_name=name, **dates))


def dead_letter(gateway):
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    return entry


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_certificate_that_is_required_is_shown(gateway, make_server, authority, version):
    server = make_server("-Verify", "2", version)
    gateway.register("s1", server.url, ordering="fifo", **identity(authority, "me.example"))
    ids = [gateway.publish("s1")["id"] for _ in range(3)]
    wait_until(lambda: len(server.events) == 3, what="deliveries")
    assert server.events == [(one, "1") for one in ids]
    assert set(server.subjects) == {"me.example"}


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_without_one_nothing_gets_through(gateway, make_server, version):
    server = make_server("-Verify", "2", version)
    gateway.register("s1", server.url)
    gateway.publish("s1")
    assert dead_letter(gateway)["last_error"]
    assert server.events == [] and "peer did not return a certificate" in server.log.read_text()


def test_one_that_nobody_asks_for_does_no_harm(gateway, make_server, authority):
    server = make_server()
    gateway.register("s1", server.url, **identity(authority, "me.example"))
    event = gateway.publish("s1")
    wait_until(lambda: server.events, what="delivery")
    assert server.events == [(event["id"], "1")] and server.subjects == []


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_one_of_another_authority_is_refused(gateway, make_server, version):
    server = make_server("-Verify", "2", version)
    gateway.register("s1", server.url, **identity(trustme.CA(), "stranger.example"))
    gateway.publish("s1")
    assert dead_letter(gateway)["last_error"]
    assert server.events == [] and set(server.subjects) == {"stranger.example"}


def test_server_of_another_authority_gets_nothing(gateway, make_server):
    """Neither a body nor the certificate: the server's own is checked first."""
    other = trustme.CA()
    server = make_server("-Verify", "2", trusted=other)
    gateway.register("s1", server.url, **identity(other, "me.example"))
    gateway.publish("s1")
    assert "certificate" in dead_letter(gateway)["last_error"]
    assert server.events == [] and server.subjects == []


def test_one_that_has_expired_is_refused_at_once(gateway, make_server, authority):
    past = datetime.datetime(2020, 1, 1)
    body = {"url": make_server("-Verify", "2").url,
            **identity(authority, "old.example", not_after=past)}
    expect_error(gateway.api("POST", hooks_path("s1"), json=body), 400, "client_cert_pem")


def test_rotation_leaves_no_gap(gateway, make_server, authority):
    """Events without a pause; the certificate changes among them, and none needs a second try."""
    server = make_server("-Verify", "2")
    hook = gateway.register("s1", server.url, ordering="fifo", **identity(authority, "old.example"))
    ids = [gateway.publish("s1")["id"] for _ in range(10)]
    wait_until(lambda: len(server.events) >= 2, what="some by the old one")
    answer = gateway.api("PATCH", hooks_path("s1", hook["id"]),
                         json=identity(authority, "new.example"))
    assert answer.ok
    ids += [gateway.publish("s1")["id"] for _ in range(10)]
    wait_until(lambda: len(server.events) >= 20, what="all")
    assert server.events == [(one, "1") for one in ids]
    shown = server.subjects
    first = shown.index("new.example")
    assert first > 0 and set(shown[:first]) == {"old.example"}
    assert set(shown[first:]) == {"new.example"}
