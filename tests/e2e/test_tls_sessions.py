"""TLS sessions of receivers are resumed, each by itself, and never under another's trust."""

import ssl

import pytest
import trustme

from harness import hooks_path, raw, wait_until

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
MANY = 20  # libcurl would keep sessions of eight


class Telling:
    """The TLS of a receiver that notes which of its connections resumed a session."""

    def __init__(self, authority, version=ssl.TLSVersion.TLSv1_3):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = self.context.maximum_version = version
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        self.resumed = []

    def wrap_socket(self, sock, **kwargs):
        wrapped = self.context.wrap_socket(sock, **kwargs)
        self.resumed.append(wrapped.session_reused)
        return wrapped


closing = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def pem(authority):
    return authority.cert_pem.bytes().decode()


def deliver(gateway, session, receiver, count):
    gateway.publish(session)
    receiver.wait_for(count)


@pytest.mark.parametrize("version", VERSIONS)
def test_each_of_many_receivers_is_resumed(make_gateway, make_receiver, authority, version):
    gateway = make_gateway()
    tls = [Telling(authority, VERSIONS[version]) for _ in range(MANY)]
    receivers = [make_receiver(closing, tls=one) for one in tls]
    for n, receiver in enumerate(receivers):
        gateway.register(f"s{n}", receiver.url(), ca_pem=pem(authority))
    for turn in range(3):
        for n, receiver in enumerate(receivers):
            deliver(gateway, f"s{n}", receiver, turn + 1)
    assert [one.resumed for one in tls] == [[False, True, True]] * MANY


def test_no_trust_is_inherited(make_gateway, make_receiver, authority):
    """Of one receiver, known by its authority and unchecked: who trusts another one refuses it."""
    gateway = make_gateway(retry_schedule="20ms")
    tls = Telling(authority)
    receiver = make_receiver(closing, tls=tls)
    gateway.register("trusting", receiver.url("/a"), ca_pem=pem(authority))
    gateway.register("blind", receiver.url("/b"), tls_verify=False)
    deliver(gateway, "trusting", receiver, 1)
    deliver(gateway, "blind", receiver, 2)
    assert tls.resumed == [False, False]
    others = {"stranger": {"ca_pem": pem(trustme.CA())}, "public": {}}
    for session, fields in others.items():
        gateway.register(session, receiver.url(f"/{session}"), **fields)
        gateway.publish(session)
        (entry,) = wait_until(lambda s=session: gateway.dlq(s), what="dead letter")
        assert "certificate" in entry["last_error"]
    assert len(receiver.requests) == 2
    deliver(gateway, "trusting", receiver, 3)
    deliver(gateway, "blind", receiver, 4)
    assert tls.resumed[-2:] == [True, True]


def test_connections_that_are_kept_are_their_own_webhooks(make_gateway, make_receiver, authority):
    gateway = make_gateway(retry_schedule="20ms")
    receiver = make_receiver(tls=Telling(authority))
    gateway.register("trusting", receiver.url("/a"), ca_pem=pem(authority))
    deliver(gateway, "trusting", receiver, 1)
    gateway.register("stranger", receiver.url("/b"), ca_pem=pem(trustme.CA()))
    gateway.publish("stranger")
    wait_until(lambda: gateway.dlq("stranger"), what="dead letter")
    deliver(gateway, "trusting", receiver, 2)
    assert [r.connection for r in receiver.requests] == [1, 1]


def test_texts_without_end_cost_others_no_connection(make_gateway, make_receiver, authority):
    """More of them than are kept parsed, in turn: each connection is used on all the same."""
    gateway = make_gateway()
    receiver = make_receiver(tls=Telling(authority))
    gateway.register("s", receiver.url(), ca_pem=pem(authority))
    for n in range(80):  # each has another text, of the same certificates
        long = f"-- {n}\n" + pem(authority)
        long += pem(authority) * ((16384 - len(long)) // len(pem(authority)))
        gateway.register(f"many{n}", receiver.url(f"/{n}"), ca_pem=long)
    sessions = ["s", *(f"many{n}" for n in range(80))]
    for turn in range(2):
        for n, session in enumerate(sessions):
            deliver(gateway, session, receiver, turn * len(sessions) + n + 1)
    assert receiver.connections == len(sessions)


def test_new_anchors_count_at_once(make_gateway, make_receiver, authority):
    gateway = make_gateway(retry_schedule="20ms")
    receiver = make_receiver(closing, tls=Telling(authority))
    hook = gateway.register("s1", receiver.url(), ca_pem=pem(authority))
    deliver(gateway, "s1", receiver, 1)
    path = hooks_path("s1", hook["id"])
    assert gateway.api("PATCH", path, json={"ca_pem": pem(trustme.CA())}).ok
    gateway.publish("s1")
    wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert gateway.api("PATCH", path, json={"ca_pem": pem(authority)}).ok
    deliver(gateway, "s1", receiver, 2)
