"""HTTPS receivers: certificates are checked, and a delivery's error says what was wrong."""

import re
import socket
import ssl
import threading

import pytest
import trustme

from harness import verify, wait_until


def server_context(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


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
