"""HTTPS receivers: certificates are checked, and a delivery's error says what was wrong."""

import re
import socket
import ssl
import subprocess
import threading

import pytest
import trustme

from harness import Process, as_listed, hooks_path, processor_s, verify, wait_until


def server_context(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def tls_gateway(make_gateway, authority, tmp_path):
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return make_gateway(ca_file=ca_file, retry_schedule="20ms,20ms")


def last_error_of_dead_letter(gateway):
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == 3
    return entry["last_error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_certificate_of_the_known_authority_is_taken(
    tls_gateway, make_receiver, authority, host
):
    receiver = make_receiver(tls=server_context(authority, "127.0.0.1", "localhost"))
    tls_gateway.register("s1", receiver.url(host=host), secret="s3cret", ordering="fifo")
    for _ in range(3):
        tls_gateway.publish("s1")
    requests = receiver.wait_for(3)
    verify(requests[0], "s3cret")
    assert {r.connection for r in requests} == {1}


def test_certificate_of_an_unknown_authority_is_refused(tls_gateway, make_receiver):
    receiver = make_receiver(tls=server_context(trustme.CA(), "127.0.0.1"))
    tls_gateway.register("s1", receiver.url())
    tls_gateway.publish("s1")
    assert "certificate" in last_error_of_dead_letter(tls_gateway).lower()
    assert receiver.requests == [] and receiver.connections == 3


def test_certificate_for_another_host_is_refused(tls_gateway, make_receiver, authority):
    receiver = make_receiver(tls=server_context(authority, "127.0.0.2", "example.org"))
    tls_gateway.register("s1", receiver.url())
    tls_gateway.publish("s1")
    error = last_error_of_dead_letter(tls_gateway).lower()
    assert re.search("certificate|host", error)
    assert receiver.requests == []


def test_private_authority_is_unknown_without_ca_file(make_gateway, make_receiver, authority):
    gateway = make_gateway(retry_schedule="20ms,20ms")
    receiver = make_receiver(tls=server_context(authority, "127.0.0.1"))
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    assert "certificate" in last_error_of_dead_letter(gateway).lower()
    assert receiver.requests == []


@pytest.fixture
def plain_port():
    """A port that answers whatever comes in plain HTTP, as servers do that know no TLS."""

    def serve():
        for _ in range(3):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_receiver_without_tls_is_an_error_of_tls(tls_gateway, plain_port):
    tls_gateway.register("s1", f"https://127.0.0.1:{plain_port}/")
    tls_gateway.publish("s1")
    assert re.search("tls|ssl", last_error_of_dead_letter(tls_gateway).lower())


def test_delivery_arrives_once_the_certificate_is_mended(tls_gateway, make_receiver, authority):
    right = server_context(authority, "127.0.0.1")
    receiver = make_receiver(tls=server_context(trustme.CA(), "127.0.0.1"))
    tls_gateway.register("s1", receiver.url(), retry=["100ms"] * 32)
    event = tls_gateway.publish("s1")
    wait_until(lambda: receiver.connections > 1, what="a second attempt")
    receiver.tls = right
    (request,) = receiver.wait_for(1)
    assert request.id == event["id"] and request.attempt > 1


# A webhook's own wishes: ca_pem, tls_verify


def pem(*authorities):
    return "".join(authority.cert_pem.bytes().decode() for authority in authorities)


@pytest.fixture
def gateway(make_gateway):
    """Knows no private authority."""
    return make_gateway(retry_schedule="20ms,20ms")


@pytest.mark.parametrize("others", [0, 2])
def test_webhooks_own_authority_is_taken(gateway, make_receiver, authority, others):
    receiver = make_receiver(tls=server_context(authority, "127.0.0.1"))
    known = pem(*(trustme.CA() for _ in range(others)), authority)
    webhook = gateway.register("s1", receiver.url(), ca_pem=known, secret="s3cret")
    assert webhook["ca_pem"] == known and webhook["tls_verify"] is True
    gateway.publish("s1")
    verify(receiver.wait_for(1)[0], "s3cret")


def test_webhooks_own_authority_stands_in_place_of_the_configured_one(
    tls_gateway, make_receiver, authority
):
    receiver = make_receiver(tls=server_context(authority, "127.0.0.1"))
    tls_gateway.register("s1", receiver.url(), ca_pem=pem(trustme.CA()))
    tls_gateway.publish("s1")
    assert "certificate" in last_error_of_dead_letter(tls_gateway).lower()
    assert receiver.requests == []


def test_host_is_checked_with_an_own_authority_too(gateway, make_receiver, authority):
    receiver = make_receiver(tls=server_context(authority, "127.0.0.2", "example.org"))
    gateway.register("s1", receiver.url(), ca_pem=pem(authority))
    gateway.publish("s1")
    assert re.search("certificate|host", last_error_of_dead_letter(gateway).lower())
    assert receiver.requests == []


@pytest.mark.parametrize("names", [("127.0.0.1",), ("example.org",)])
def test_certificate_is_not_checked_where_the_webhook_says_so(gateway, make_receiver, names):
    receiver = make_receiver(tls=server_context(trustme.CA(), *names))
    webhook = gateway.register("s1", receiver.url(), tls_verify=False, secret="s3cret")
    assert webhook["tls_verify"] is False
    gateway.publish("s1")
    verify(receiver.wait_for(1)[0], "s3cret")


OWN_TLS = {
    "insecure": lambda authority: {"tls_verify": False},
    "own authority": lambda authority: {"ca_pem": pem(authority)},
}


@pytest.mark.parametrize("own", OWN_TLS.values(), ids=OWN_TLS.keys())
def test_one_webhooks_wish_is_not_anothers(gateway, make_receiver, authority, own):
    """Nor do they share connections: the first one's is open when the others' are tried."""
    receiver = make_receiver(tls=server_context(authority, "127.0.0.1"))
    gateway.register("s2", receiver.url("/own"), **own(authority))
    for n in range(1, 4):
        gateway.publish("s2")
        receiver.wait_for(n)
    gateway.register("s1", receiver.url("/plain"))
    gateway.publish("s1")
    assert "certificate" in last_error_of_dead_letter(gateway).lower()
    gateway.publish("s2")
    assert {r.path for r in receiver.wait_for(4)} == {"/own"}


def test_strict_webhook_stays_so_among_insecure_ones(tls_gateway, make_receiver, authority):
    """Handles are used again by turns: what one webhook wants is undone for the next."""
    right = make_receiver(tls=server_context(authority, "127.0.0.1"))
    wrong = make_receiver(tls=server_context(trustme.CA(), "127.0.0.1"))
    tls_gateway.register("s1", right.url("/strict"), ordering="fifo")
    tls_gateway.register("s1", wrong.url("/insecure"), ordering="fifo", tls_verify=False)
    strict = tls_gateway.register("s1", wrong.url("/strict"), retry=["10ms"] * 2)
    for n in range(1, 8):  # 3 attempts each: not enough failures to open the circuit
        tls_gateway.publish("s1")
        right.wait_for(n)
        wrong.wait_for(n)
    dead = wait_until(
        lambda: len(entries := tls_gateway.dlq("s1")) == 7 and entries, what="7 dead letters"
    )
    assert {entry["webhook_id"] for entry in dead} == {strict["id"]}
    assert {r.path for r in wrong.requests} == {"/insecure"}


def test_patch_of_the_wishes_counts_from_the_next_attempt(gateway, make_receiver, authority):
    receiver = make_receiver(tls=server_context(authority, "127.0.0.1"))
    webhook = gateway.register("s1", receiver.url(), retry=["50ms"] * 32)
    path = hooks_path("s1", webhook["id"])
    changes = [({"ca_pem": pem(authority)}, {"ca_pem": None}), ({"tls_verify": False}, {})]
    for number, (change, undo) in enumerate(changes, 1):
        connections = receiver.connections
        event = gateway.publish("s1")
        wait_until(lambda n=connections: receiver.connections > n, what="an attempt")
        assert len(receiver.requests) == number - 1
        assert gateway.api("PATCH", path, json=change).ok
        assert receiver.wait_for(number)[-1].id == event["id"]
        assert gateway.api("PATCH", path, json=undo).ok


def test_wishes_outlive_a_restart(gateway, make_receiver, authority):
    receiver = make_receiver(tls=server_context(authority, "127.0.0.1"))
    webhooks = [
        gateway.register("s1", receiver.url("/own"), ca_pem=pem(authority)),
        gateway.register("s1", receiver.url("/insecure"), tls_verify=False),
    ]
    gateway.kill()
    gateway.start()
    assert gateway.api("GET", hooks_path("s1")).json()["webhooks"] == [as_listed(w) for w in webhooks]
    assert [gateway.webhook("s1", w["id"]) for w in webhooks] == webhooks
    gateway.publish("s1")
    assert {r.path for r in receiver.wait_for(2)} == {"/own", "/insecure"}


# What a receiver may ask to be computed


ATTEMPTS = 10
DEAR_S = 0.05  # a handshake; with DH of 8192 bits it takes 0.1 s and more


@pytest.fixture
def prime_file(tmp_path):
    path = tmp_path / "dh.pem"
    subprocess.run(
        ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe8192",
         "-out", path],
        check=True, capture_output=True,
    )
    return path


@pytest.fixture
def make_openssl_server(authority, tmp_path):
    """Starts `openssl s_server` with the options and returns its port."""
    processes = []

    def make(*options):
        identity = authority.issue_cert("127.0.0.1")
        identity.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
        process = Process(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-cert",
             tmp_path / "server.pem", *options],
        )
        processes.append(process)
        wait_until(lambda: any(line.startswith("ACCEPT") for line in process.lines),
                   what="s_server")
        (line,) = [line for line in process.lines if line.startswith("ACCEPT")]
        return int(line.rpartition(":")[2])

    yield make
    for process in processes:
        process.close()


@pytest.mark.parametrize("version", ["TLS 1.2", "TLS 1.3"])
def test_exchange_of_long_keys_is_refused_before_it_costs_anything(
    tls_gateway, make_openssl_server, prime_file, version
):
    options = {
        "TLS 1.2": ["-tls1_2", "-cipher", "DHE", "-dhparam", prime_file],
        "TLS 1.3": ["-tls1_3", "-groups", "ffdhe8192"],
    }
    port = make_openssl_server(*options[version])
    waits = ["1ms"] * (ATTEMPTS - 1)
    tls_gateway.register("s1", f"https://127.0.0.1:{port}/", retry=waits)
    used = processor_s(tls_gateway)
    tls_gateway.publish("s1")
    (entry,) = wait_until(lambda: tls_gateway.dlq("s1"), what="dead letter")
    assert entry["attempts"] == ATTEMPTS
    assert "handshake failure" in entry["last_error"]
    assert processor_s(tls_gateway) - used < ATTEMPTS * DEAR_S


@pytest.mark.parametrize("intermediates, is_taken", [(5, True), (6, False)])
def test_chain_of_certificates_has_an_end(
    gateway, make_receiver, authority, intermediates, is_taken
):
    issuer = authority
    for _ in range(intermediates):
        issuer = issuer.create_child_ca()
    receiver = make_receiver(tls=server_context(issuer, "127.0.0.1"))
    gateway.register("s1", receiver.url(), ca_pem=pem(authority))
    gateway.publish("s1")
    if is_taken:
        receiver.wait_for(1)
    else:
        assert "chain too long" in last_error_of_dead_letter(gateway)
        assert receiver.requests == []
