"""
HTTPS: what clients of a `tls:` listener get, and how those fare that are none or break off.
test_http_errors.py has what is malformed inside of TLS, test_listeners.py slow readers.
"""

import json
import shutil
import socket
import ssl
import subprocess

import pytest
import trustme

from harness import (
    RawClient, event_of_size, expect_error, hooks_path, processor_s, tls_client, wait_until,
    waybill,
)

DEADLINE_MS = 1000  # a good handshake takes some time too
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def tls_gateway(make_gateway, tls_options):
    return make_gateway(**tls_options, log_level="debug")


@pytest.fixture
def make_context(authority):
    """Makes a client's SSLContext, with such attributes as maximum_version."""

    def make(identity=None, **attributes):
        context = tls_client(authority, identity)
        for name, value in attributes.items():
            setattr(context, name, value)
        return context

    return make


def connect_plain(gateway):
    return socket.create_connection(gateway.address, timeout=10)


def wait_for_log(gateway, words):
    wait_until(lambda: words in gateway.log_text(), what=f"{words} in the log")


def expect_alive(gateway):
    """By a client that is quick enough for a short deadline."""
    with gateway.connect() as client:
        client.send(GET)
        assert client.reply().status_code == 200


def expect_refused(gateway, context):
    """A client of TLS 1.3 may learn only behind its own handshake that it has failed."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        with RawClient(gateway.address, context) as client:
            client.sock.sendall(GET)
            client.reply()
    expect_alive(gateway)


# Who gets in


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_events_come_over_one_connection(tls_gateway, receiver, make_context, version):
    assert tls_gateway.url.startswith("https://127.0.0.1:")
    tls_gateway.register("s1", receiver.url())
    context = make_context(maximum_version=ssl.TLSVersion[version])
    context.set_alpn_protocols(["h2", "http/1.1"])
    body = b'{"event":"message"}'
    with RawClient(tls_gateway.address, context) as client:
        assert client.sock.version() == version.replace("_", ".")
        assert client.sock.selected_alpn_protocol() == "http/1.1"
        for _ in range(3):
            client.send(
                b"POST /api/v1/sessions/s1/events HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n"
                b"Authorization: Bearer %s\r\n\r\n" % (len(body), tls_gateway.token.encode())
                + body
            )
            assert client.reply().status_code == 202
    receiver.wait_for(3)


def test_one_gateway_serves_both_kinds(make_gateway, tls_options):
    gateway = make_gateway(**{**tls_options, "listen": ["tls:127.0.0.1:0", "127.0.0.1:0"]})
    plain = gateway.process.line(1).rpartition(":")[2]
    for address, context in [
        (gateway.address, gateway.tls), (("127.0.0.1", int(plain)), None)
    ]:
        with RawClient(address, context) as client:
            client.send(GET)
            assert client.reply().status_code == 200


def test_old_version_is_refused(tls_gateway, make_context):
    context = make_context()
    context.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself does not offer it
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    expect_refused(tls_gateway, context)
    wait_for_log(tls_gateway, "unsupported protocol")


def test_cipher_without_forward_secrecy_is_refused(tls_gateway, make_context):
    context = make_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("AES128-GCM-SHA256")
    expect_refused(tls_gateway, context)
    wait_for_log(tls_gateway, "no shared cipher")


def test_other_protocol_is_refused(tls_gateway, make_context):
    context = make_context()
    context.set_alpn_protocols(["h2"])
    expect_refused(tls_gateway, context)


# What a client may ask to be computed


HELLOS = 10
DEAR_S = 0.05  # a hello; those below took 0.1 s and more
X25519, FFDHE8192, UNKNOWN, UNKNOWN_TOO = 0x1D, 0x104, 0x4242, 0x4243
ALERT, HANDSHAKE = 21, 22  # types of records
REFUSALS = {b"\x02\x28", b"\x02\x2f"}  # fatal: handshake_failure, illegal_parameter


def counted(size, data):
    return len(data).to_bytes(size, "big") + data


def number(n):
    return n.to_bytes(2, "big")


def client_hello(groups, shares):
    """The records of a hello of TLS 1.3; `shares`: groups and keys of them (RFC 8446, 4.1.2)."""
    keys = b"".join(number(group) + counted(2, key) for group, key in shares)
    extensions = [
        (43, counted(1, number(0x0304))),
        (13, counted(2, number(0x0804) + number(0x0403))),
        (10, counted(2, b"".join(number(group) for group in groups))),
        (51, counted(2, keys)),
    ]
    body = (
        number(0x0303) + bytes(32) + counted(1, b"") + counted(2, number(0x1301))
        + counted(1, b"\0")
        + counted(2, b"".join(number(kind) + counted(2, data) for kind, data in extensions))
    )
    message = b"\x01" + counted(3, body)
    pieces = [message[i:i + 16384] for i in range(0, len(message), 16384)]
    return b"".join(bytes([HANDSHAKE, 3, 1]) + counted(2, piece) for piece in pieces)


def answer_to(gateway, hello):
    """The type of the record that a hello is answered with, and its first bytes."""
    with connect_plain(gateway) as sock:
        sock.sendall(hello)
        head = sock.recv(5, socket.MSG_WAITALL)
        return head[0], sock.recv(int.from_bytes(head[3:], "big"), socket.MSG_WAITALL)[:2]


DEAR_HELLOS = {
    # 4 is a square, and so among those keys that are looked at no further
    "a key of 8192 bits": client_hello([FFDHE8192], [(FFDHE8192, (4).to_bytes(1024, "big"))]),
    "groups without end": client_hello(
        [UNKNOWN] * 16000 + [UNKNOWN_TOO, X25519],
        [(UNKNOWN_TOO, b"x")] * 6400 + [(X25519, b"\x09" * 32)],
    ),
}


def test_hello_is_answered(tls_gateway):
    """As those below would be, but for what makes them dear."""
    hello = client_hello([UNKNOWN, X25519], [(UNKNOWN, b"x"), (X25519, b"\x09" * 32)])
    kind, data = answer_to(tls_gateway, hello)
    assert (kind, data[:1]) == (HANDSHAKE, b"\x02")


@pytest.mark.parametrize("hello", DEAR_HELLOS.values(), ids=DEAR_HELLOS.keys())
def test_hello_that_would_take_long_is_refused(tls_gateway, hello):
    used = processor_s(tls_gateway)
    for _ in range(HELLOS):
        kind, data = answer_to(tls_gateway, hello)
        assert kind == ALERT and data in REFUSALS
    assert processor_s(tls_gateway) - used < HELLOS * DEAR_S
    expect_alive(tls_gateway)


def test_openssls_client_cannot_exchange_long_keys(tls_gateway):
    host, port = tls_gateway.address
    command = ["openssl", "s_client", "-connect", f"{host}:{port}", "-groups"]
    for group, is_taken in [("ffdhe8192", False), ("ffdhe2048", False), ("P-521", True)]:
        done = subprocess.run([*command, group], stdin=subprocess.DEVNULL, capture_output=True)
        assert (done.returncode == 0) == is_taken, done.stderr


@pytest.fixture(scope="module")
def client_ca(tmp_path_factory):
    """A certificate for clients, and the file that names its authority."""
    clients = trustme.CA()
    path = tmp_path_factory.mktemp("clients") / "clients.pem"
    clients.cert_pem.write_to_path(path)
    return clients.issue_cert("client@example.org"), path


@pytest.fixture(scope="module")
def stranger(authority):
    """A certificate of another authority than that of clients."""
    return authority.issue_cert("127.0.0.1")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_client_certificate_is_asked_for(
    make_gateway, tls_options, make_context, client_ca, stranger, version
):
    identity, path = client_ca
    limit = {"maximum_version": ssl.TLSVersion[version]}
    good = make_context(identity, **limit)
    gateway = make_gateway(
        **{**tls_options, "tls": good}, tls_client_ca=path, log_level="debug"
    )
    expect_alive(gateway)
    expect_refused(gateway, make_context(**limit))
    wait_for_log(gateway, "peer did not return a certificate")
    expect_refused(gateway, make_context(stranger, **limit))
    wait_for_log(gateway, "certificate verify failed")
    answer = gateway.request("GET", "/api/v1" + hooks_path("s1"), token="wrong-token")
    expect_error(answer, 401)  # the certificate is no token


def test_client_certificate_that_nobody_asks_for_does_no_harm(
    tls_gateway, make_context, client_ca
):
    with RawClient(tls_gateway.address, make_context(client_ca[0])) as client:
        client.send(GET)
        assert client.reply().status_code == 200


@pytest.mark.parametrize("with_client_ca", [False, True])
def test_session_is_resumed(
    make_gateway, tls_options, make_context, client_ca, with_client_ca
):
    identity, path = client_ca if with_client_ca else (None, None)
    context = make_context(identity, maximum_version=ssl.TLSVersion.TLSv1_2)
    gateway = make_gateway(**{**tls_options, "tls": context}, tls_client_ca=path)
    session, reused = None, []
    for _ in range(2):
        with connect_plain(gateway) as sock, context.wrap_socket(
            sock, server_hostname="127.0.0.1", session=session
        ) as client:
            client.sendall(GET)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
            session = client.session
            reused.append(client.session_reused)
    assert reused == [False, True]


@pytest.mark.parametrize("command", ["send", "backup"])
def test_commands_take_an_authority(tls_gateway, authority, tmp_path, command):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    env = {"WAYBILL_URL": tls_gateway.url, "WAYBILL_TOKEN": tls_gateway.token}
    arguments = {"send": ["s1", "message"], "backup": [tmp_path / "copy"]}[command]
    done = waybill(command, "--ca-file", path, *arguments, env=env)
    assert done.returncode == 0, done.stderr
    arguments = {"send": ["s1", "message"], "backup": [tmp_path / "another"]}[command]
    done = waybill(command, *arguments, env=env)
    assert done.returncode == 1 and "certificate" in done.stderr


# Sizes


def test_large_bodies_come_whole(tls_gateway, receiver):
    tls_gateway.register("s1", receiver.url())
    body = event_of_size(4 << 20)
    assert tls_gateway.api("POST", "/sessions/s1/events", body=body).status_code == 202
    batch = b",".join([event_of_size(700_000)[:-1] + b',"session_id":"s1"}'] * 10)
    assert tls_gateway.api("POST", "/events", body=b"[%s]" % batch).status_code == 202
    sizes = [len(request.json()["data"]) for request in receiver.wait_for(11)]
    frame = len(event_of_size(1000)) - len(json.loads(event_of_size(1000))["data"])
    assert sorted(sizes) == [700_000 - frame] * 10 + [len(body) - frame]
    expect_error(tls_gateway.api("POST", "/sessions/s1/events", body=body + b" "), 413)


@pytest.mark.parametrize("padding", [0, 2000])
def test_many_requests_ahead_are_all_answered(tls_gateway, padding):
    """
    More than is read ahead: the rest waits, also what has been decrypted already and makes no
    socket readable when there is room for it again.
    """
    request = GET[:-2] + b"X-Padding: " + b"x" * padding + b"\r\n\r\n"
    count = 300_000 // len(request)
    with tls_gateway.connect() as client:
        client.send(request * count)
        assert {client.reply().status_code for _ in range(count)} == {200}


# Clients that are none


def test_plain_http_is_closed(tls_gateway):
    with connect_plain(tls_gateway) as client:
        client.sendall(GET)
        assert not client.recv(100).startswith(b"HTTP")
    wait_for_log(tls_gateway, "http request")
    expect_alive(tls_gateway)


@pytest.mark.parametrize(
    "data", [b"\x00" * 9, b"\xff" * 9, b"\x16\x03\x01\xff\xff" + b"x" * 9, b"SSH-2.0-x\r\n"]
)
def test_bytes_that_are_no_handshake_are_closed(make_gateway, tls_options, data):
    gateway = make_gateway(**tls_options, head_timeout_ms=DEADLINE_MS)
    with connect_plain(gateway) as client:
        client.sendall(data)
        while client.recv(100):
            pass
    expect_alive(gateway)


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # a ClientHello's first bytes


@pytest.mark.parametrize("data", [b"", HELLO])
def test_handshake_that_never_ends_is_cut(make_gateway, tls_options, data):
    gateway = make_gateway(**tls_options, head_timeout_ms=DEADLINE_MS)
    with connect_plain(gateway) as client:
        client.sendall(data)
        assert client.recv(100) == b""
    expect_alive(gateway)


def test_handshake_that_drips_is_cut_too(make_gateway, tls_options):
    gateway = make_gateway(**tls_options, head_timeout_ms=DEADLINE_MS)
    with RawClient(gateway.address) as client:
        client.send(HELLO)
        client.drip(b"x", every_s=0.05)
        assert client.is_closed()
    expect_alive(gateway)


def test_deadline_of_the_handshake_is_over_with_it(make_gateway, tls_options):
    """An idle connection stays; a head that does not end is still cut."""
    gateway = make_gateway(**tls_options, head_timeout_ms=DEADLINE_MS)
    with gateway.connect() as idle, gateway.connect() as slow:
        slow.send(GET[:-2])
        expect_error(slow.reply(), 408)
        assert slow.is_closed()
        idle.send(GET)
        assert idle.reply().status_code == 200


def test_broken_handshakes_leave_nothing_behind(tls_gateway):
    idle = tls_gateway.process.descriptors()
    for number in range(100):
        client = connect_plain(tls_gateway)
        client.sendall([b"", HELLO, GET, b"\x15\x03\x01\x00\x02\x02\x28"][number % 4])
        client.close()
    wait_until(lambda: tls_gateway.process.descriptors() == idle, what="the end of them")
    expect_alive(tls_gateway)


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_renegotiation_is_refused(tls_gateway):
    host, port = tls_gateway.address
    with subprocess.Popen(
        ["openssl", "s_client", "-tls1_2", "-connect", f"{host}:{port}"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as client:
        client.stdin.write(b"R\n")
        client.stdin.flush()
        assert b"no renegotiation" in client.stdout.read()
    expect_alive(tls_gateway)


# Ends


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_connection_ends_with_a_close_notify(tls_gateway, make_context, version):
    """RawClient fails at an end without one."""
    context = make_context(maximum_version=ssl.TLSVersion[version])
    with RawClient(tls_gateway.address, context) as client:
        client.send(GET[:-2] + b"Connection: close\r\n\r\n")
        assert client.reply().status_code == 200
        assert client.is_closed()


def test_stop_ends_idle_connections_with_a_close_notify(tls_gateway):
    with tls_gateway.connect() as client:
        client.send(GET)
        assert client.reply().status_code == 200
        tls_gateway.stop()
        assert client.is_closed()


# Settings


@pytest.fixture
def files(tls_options, tmp_path, stranger):
    """Files to put where others belong, by a name each."""
    stranger.private_key_pem.write_to_path(tmp_path / "other-key.pem")
    (tmp_path / "empty.pem").touch()
    return {
        "certificate": tls_options["tls_certificate"],
        "key": tls_options["tls_key"],
        "other key": tmp_path / "other-key.pem",
        "empty": tmp_path / "empty.pem",
        "none": tmp_path / "none.pem",
        "folder": tmp_path,
    }


@pytest.mark.parametrize(
    "given, names, words",
    [
        ({}, "tls_certificate", "needed by tls:127.0.0.1:0"),
        ({"key": "key"}, "tls_certificate", "needed by"),
        ({"certificate": "certificate"}, "tls_key", "needed by"),
        ({"certificate": "none", "key": "key"}, "tls_certificate", "No such file"),
        ({"certificate": "empty", "key": "key"}, "tls_certificate", "a certificate in PEM"),
        ({"certificate": "key", "key": "key"}, "tls_certificate", "a certificate in PEM"),
        ({"certificate": "folder", "key": "key"}, "tls_certificate", "a certificate in PEM"),
        ({"certificate": "certificate", "key": "none"}, "tls_key", "No such file"),
        ({"certificate": "certificate", "key": "certificate"}, "tls_key", "the key of"),
        ({"certificate": "certificate", "key": "other key"}, "tls_key", "mismatch"),
        (
            {"certificate": "certificate", "key": "key", "client_ca": "none"},
            "tls_client_ca", "No such file",
        ),
        (
            {"certificate": "certificate", "key": "key", "client_ca": "key"},
            "tls_client_ca", "certificates in PEM",
        ),
    ],
)
def test_files_that_do_not_fit_are_refused_by_setting(tmp_path, files, given, names, words):
    flags = ["--listen", "tls:127.0.0.1:0"]
    for name, file in given.items():
        flags += ["--tls-" + name.replace("_", "-"), files[file]]
    for command in (["check-config"], ["serve", "--data", tmp_path / "data"]):
        done = waybill(*command, *flags)
        assert done.returncode == 1 and done.stdout == ""
        assert names + ":" in done.stderr and words in done.stderr


def test_certificate_without_an_address_is_checked_too(files):
    done = waybill("check-config", "--tls-certificate", files["empty"], "--tls-key", files["key"])
    assert done.returncode == 1 and "tls_certificate" in done.stderr
    done = waybill(
        "check-config", "--tls-certificate", files["certificate"], "--tls-key", files["key"]
    )
    assert done.returncode == 0, done.stderr


def test_other_addresses_need_a_token_under_tls_too(tmp_path):
    done = waybill("serve", "--listen", "tls:0.0.0.0:0", "--data", tmp_path / "data")
    assert done.returncode == 1 and "token" in done.stderr
