"""Webhooks that show their receivers a client certificate: checked, shown, changed, expiring."""

import datetime
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from harness import Hold, expect_error, figure, hooks_path, pems, status, wait_until

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Asking:
    """The TLS of a receiver that takes who shows a certificate, and notes whose that was."""

    def __init__(self, authority, version=None, required=True):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        authority.configure_trust(self.context)
        self.context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        self.names = []
        self.resumed = []

    def wrap_socket(self, sock, **kwargs):
        wrapped = self.context.wrap_socket(sock, **kwargs)
        shown = wrapped.getpeercert() or {}
        self.names.append(next((name for _, name in shown.get("subjectAltName", ())), None))
        self.resumed.append(wrapped.session_reused)
        return wrapped


@pytest.fixture
def gateway(make_gateway, authority, tmp_path):
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return make_gateway(ca_file=ca_file, retry_schedule="50ms,50ms")


def change(gateway, hook, **fields):
    return gateway.api("PATCH", hooks_path("s1", hook["id"]), json=fields)


def all_delivered(gateway):
    return gateway.api("GET", "/sessions/s1/deliveries?status=pending").json()["deliveries"] == []


def test_certificate_is_shown_with_a_challenge(gateway, make_receiver, authority):
    """One without it is not let in, and is asked again."""
    def repeat(link, request, closing):
        text = request.path.split("hub.challenge=")[1]
        return status(200, text.encode())(link, request, closing)

    tls = Asking(authority, ssl.TLSVersion.TLSv1_3)
    receiver = make_receiver(repeat, tls=tls)
    hook = gateway.register("s1", receiver.url(), verify="get")
    wait_until(lambda: receiver.connections >= 1, what="a handshake without a certificate")
    assert gateway.webhook("s1", hook["id"])["ownership"]["state"] == "pending"
    change(gateway, hook, **pems(authority.issue_cert("me.example")))
    wait_until(lambda: gateway.webhook("s1", hook["id"])["ownership"]["state"] == "verified", what="an end")
    assert tls.names == ["me.example"]


@pytest.mark.parametrize("version", VERSIONS)
def test_certificate_is_shown_to_the_receiver(gateway, make_receiver, authority, version):
    tls = Asking(authority, VERSIONS[version])
    receiver = make_receiver(tls=tls)
    hook = gateway.register("s1", receiver.url(), ordering="fifo",
                            **pems(authority.issue_cert("me.example")))
    assert hook["client_cert_pem"] == hook["client_key_pem"] == "********"
    assert hook["client_cert_expires_at"] is not None
    for _ in range(2):
        gateway.publish("s1")
    requests = receiver.wait_for(2)
    assert {request.attempt for request in requests} == {1}
    assert tls.names == ["me.example"]  # once: the connection is kept
    gateway.stop()
    gateway.start()
    gateway.publish("s1")
    receiver.wait_for(3)
    assert tls.names == ["me.example"] * 2


@pytest.mark.parametrize("version", VERSIONS)
def test_receiver_that_wants_one_is_not_reached_without(
    gateway, make_receiver, authority, version
):
    receiver = make_receiver(tls=Asking(authority, VERSIONS[version]))
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    # with 1.3 the client is through first: it learns of it by an alert, or by the end alone
    assert entry["last_error"] and (version == "1.3" or "alert" in entry["last_error"])
    assert receiver.requests == [] and receiver.connections == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_connections_and_sessions_are_of_one_identity(
    gateway, make_receiver, authority, version
):
    """Webhooks to one receiver, in turn: each is known as itself, also as nobody."""
    tls = Asking(authority, VERSIONS[version], required=False)
    receiver = make_receiver(tls=tls)
    names = ["a.example", "b.example", None]
    for name in names:
        fields = pems(authority.issue_cert(name)) if name else {}
        gateway.register("s1", receiver.url(f"/{name}"), events=[f"to.{name}".lower()],
                         events_strict=False, **fields)
    for turn in range(3):
        for name in names:
            before = len(receiver.requests)
            gateway.publish("s1", event=f"to.{name}".lower())
            request = receiver.wait_for(before + 1)[before]
            assert request.path == f"/{name}"
            assert tls.names[request.connection - 1] == name
    assert receiver.connections == len(names)
    wait_until(lambda: all_delivered(gateway), what="answers")  # or the last one comes again
    # the same once those connections are gone
    receiver.linger(0)
    receiver.drop()
    for name in names:
        before = len(receiver.requests)
        gateway.publish("s1", event=f"to.{name}".lower())
        request = receiver.wait_for(before + 1)[before]
        assert request.path == f"/{name}"
        assert tls.names[request.connection - 1] == name
        assert name is None or not tls.resumed[request.connection - 1]


def test_rotation_leaves_no_gap(gateway, make_receiver, authority):
    tls = Asking(authority)
    hold = Hold()
    receiver = make_receiver(hold, 200, tls=tls)
    hook = gateway.register("s1", receiver.url(), **pems(authority.issue_cert("old.example")))
    first = gateway.publish("s1")
    receiver.wait_for(1)
    answer = change(gateway, hook, **pems(authority.issue_cert("new.example")))
    assert answer.status_code == 200
    hold.release()
    gateway.publish("s1")
    requests = receiver.wait_for(2)
    assert tls.names == ["old.example", "new.example"]
    assert [(r.id == first["id"], r.attempt) for r in requests] == [(True, 1), (False, 1)]
    assert gateway.dlq("s1") == []


def test_patch_removes_the_certificate(gateway, make_receiver, authority):
    tls = Asking(authority, required=False)
    receiver = make_receiver(tls=tls)
    hook = gateway.register("s1", receiver.url(), **pems(authority.issue_cert("me.example")))
    after = change(gateway, hook, client_cert_pem=None, client_key_pem=None).json()
    assert after["client_cert_pem"] is after["client_key_pem"] is None
    assert after["client_cert_expires_at"] is None
    gateway.publish("s1")
    receiver.wait_for(1)
    assert tls.names == [None]


def in_days(days):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)


def key_pem(key, password=None):
    encryption = (
        serialization.BestAvailableEncryption(password) if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def loaded_key(identity):
    return serialization.load_pem_private_key(identity.private_key_pem.bytes(), None)


def bad_fields(authority):
    good = pems(authority.issue_cert("me.example"))
    other = pems(authority.issue_cert("other.example"))
    own = authority.issue_cert("locked.example")
    cert, key = "client_cert_pem", "client_key_pem"
    return [
        ({cert: good[cert]}, key),
        ({key: good[key]}, cert),
        ({**good, cert: None}, cert),
        ({**good, cert: ""}, cert),
        ({**good, cert: 7}, cert),
        ({**good, cert: "no certificate"}, cert),
        ({**good, cert: good[cert] + good[key]}, cert),
        ({**good, cert: good[cert] + "x" * 16384}, cert),
        ({**good, key: "no key"}, key),
        ({**good, key: good[cert]}, key),
        ({**good, key: good[key] + "x" * 8192}, key),
        ({**good, key: other[key]}, key),
        ({**good, key: key_pem(ed25519.Ed25519PrivateKey.generate())}, key),
        ({**pems(own), key: key_pem(loaded_key(own), b"a passphrase")}, key),
        (pems(authority.issue_cert("old.example", not_after=in_days(-1))), cert),
    ]


def test_bad_certificates_are_refused_and_named(gateway, authority):
    hook = gateway.register("s1", "https://127.0.0.1:9/")
    url = "https://127.0.0.1:9/other"
    for fields, named in bad_fields(authority):
        body = {"url": url, **fields}
        expect_error(gateway.api("POST", hooks_path("s1"), json=body), 400, named)
        expect_error(change(gateway, hook, **fields), 400, named)
    assert gateway.webhook("s1", hook["id"]) == hook
    good = pems(authority.issue_cert("me.example"))
    body = {"url": "http://127.0.0.1:9/", **good}
    expect_error(gateway.api("POST", hooks_path("s1"), json=body), 400, "client_cert_pem")
    hook = gateway.register("s1", url, **good)
    masked = {name: hook[name] for name in good}
    expect_error(change(gateway, hook, **masked), 400, "client_cert_pem", mentions=["mask"])
    expect_error(change(gateway, hook, url="http://127.0.0.1:9/"), 400, "client_cert_pem")


def test_weak_key_is_refused(gateway):
    """OpenSSL would refuse to show it, at each attempt."""
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")])
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(1)
        .not_valid_before(in_days(-1)).not_valid_after(in_days(9)).sign(key, hashes.SHA256())
    )
    fields = {"client_cert_pem": made.public_bytes(serialization.Encoding.PEM).decode(),
              "client_key_pem": key_pem(key)}
    hook = gateway.register("s1", "https://127.0.0.1:9/")
    expect_error(change(gateway, hook, **fields), 400, "client_key_pem", mentions=["2048"])


def test_expiry_is_warned_of(gateway, make_receiver, authority):
    """At the start and once a day: by the log, an event and a metric."""
    for name, days in [("soon", 29), ("late", 31)]:
        gateway.register("s1", f"https://127.0.0.1:9/{name}", events=["message"],
                         **pems(authority.issue_cert(name, not_after=in_days(days))))
    receiver = make_receiver()
    gateway.register("s1", receiver.url())
    gateway.stop()
    gateway.start()
    (request,) = receiver.wait_for(1)
    (soon, _, _) = gateway.api("GET", hooks_path("s1")).json()["webhooks"]
    told = request.json()
    assert told["event"] == "webhook.certificate_expiring"
    assert told["data"] == {"webhook_id": soon["id"], "url": soon["url"],
                            "expires_at": soon["client_cert_expires_at"]}
    wait_until(lambda: gateway.log_text().count("client certificate expires soon") == 1,
               what="a line of the log")
    counts = {
        state: figure(gateway, f'waybill_client_certificates{{state="{state}"}}')
        for state in ("valid", "expiring", "expired")
    }
    assert counts == {"valid": 1, "expiring": 1, "expired": 0}


def test_expired_one_is_kept_and_only_another_is_checked(
    gateway, make_receiver, authority
):
    """A change of something else is none of the certificate's business."""
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
    identity = pems(authority.issue_cert("brief.example", not_after=soon))
    hook = gateway.register("s1", "https://127.0.0.1:9/", **identity)
    wait_until(lambda: datetime.datetime.now(datetime.timezone.utc) > soon, what="its end")
    assert change(gateway, hook, description="still").status_code == 200
    new = pems(authority.issue_cert("late.example", not_after=in_days(-1)))
    expect_error(change(gateway, hook, **new), 400, "client_cert_pem")
