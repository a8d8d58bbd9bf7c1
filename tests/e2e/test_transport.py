"""How one webhook's requests are sent: by which proxy, as whose, compressed, in which HTTP."""

import base64
import ctypes
import dataclasses
import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import string

import pytest
import trustme

from harness import BINARY, expect_error, hooks_path, status, verify, wait_until

HOOK = "http://127.0.0.1:9/hook"
PEER = "http://receiver.invalid/hook"


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Proxy:
    """tinyproxy, for whoever knows the password; its log says who was connected to."""

    def __init__(self, start_process, directory, port, users):
        self.log = directory / f"tinyproxy-{port}.log"
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{users[0]}@{self.host}"
        config = directory / f"tinyproxy-{port}.conf"
        lines = [f"BasicAuth {user.replace(':', ' ')}" for user in users]
        config.write_text("\n".join([
            f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "LogLevel Connect",
            f'LogFile "{self.log}"', "Timeout 60", *lines, "",
        ]))
        start_process("tinyproxy", "-d", "-c", config)
        wait_until(lambda: listens(port), what="tinyproxy")

    def count(self, words):
        return self.log.read_text().count(words)


@pytest.fixture
def make_proxy(start_process, tmp_path, make_receiver):
    def make(*users):
        place = make_receiver()  # a port that is free
        place.close()
        return Proxy(start_process, tmp_path, place.port, users or ("me:p455word",))

    return make


@pytest.fixture
def make_tls_receiver(make_receiver, authority):
    def make(*script):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        return make_receiver(*script, tls=context)

    return make


@pytest.fixture
def ca_pem(authority):
    return authority.cert_pem.bytes().decode()


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(webhook_proxies="on", retry_schedule="20ms")


def change(gateway, hook, **fields):
    return gateway.api("PATCH", hooks_path("s1", hook["id"]), json=fields)


def dead_letter(gateway):
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    return entry


# proxy, no_proxy


def test_own_proxy_for_http(gateway, make_receiver, make_proxy):
    proxy, receiver = make_proxy(), make_receiver()
    hook = gateway.register("s1", receiver.url(), proxy=proxy.url, secret="s3cret")
    assert hook["proxy"] == f"http://********@{proxy.host}" and hook["no_proxy"] == []
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert "tinyproxy" in request.header("Via")
    assert request.header("Proxy-Authorization") is None
    verify(request, "s3cret")
    gateway.stop()
    gateway.start()
    assert gateway.webhook("s1", hook["id"])["proxy"] == hook["proxy"]
    gateway.publish("s1")
    assert "tinyproxy" in receiver.wait_for(2)[1].header("Via")
    assert change(gateway, hook, proxy=None).json()["proxy"] == "default"
    gateway.publish("s1")
    assert receiver.wait_for(3)[2].header("Via") is None


def test_tunnels_are_each_ways_own(make_gateway, make_tls_receiver, make_proxy, ca_pem):
    """One proxy and one receiver; the setting's user, two webhooks of one user, one of another."""
    proxy, receiver = make_proxy("me:p455word", "you:0ther", "all:5etting"), make_tls_receiver()
    gateway = make_gateway(webhook_proxies="on", proxy=f"http://all:5etting@{proxy.host}")
    yours = f"http://you:0ther@{proxy.host}"
    for session, choice in [("a", {"proxy": proxy.url}), ("b", {"proxy": yours}), ("c", {}),
                            ("d", {"proxy": proxy.url}), ("e", {"proxy": "none"})]:
        gateway.register(session, receiver.url(f"/{session}"), ca_pem=ca_pem, ordering="fifo",
                         **choice)
    for turn in range(3):
        for n, session in enumerate("abcde"):
            gateway.publish(session)
            receiver.wait_for(5 * turn + n + 1)
            pending = f"/sessions/{session}/deliveries?status=pending"  # whose connection is not free
            wait_until(lambda p=pending: gateway.api("GET", p).json()["deliveries"] == [], what="its end")
    of = {}
    for request in receiver.requests:
        of.setdefault(request.path, set()).add(request.connection)
    assert {len(connections) for connections in of.values()} == {1}
    assert of["/a"] == of["/d"] and len({n for ns in of.values() for n in ns}) == 4
    assert proxy.count("CONNECT 127.0.0.1") == 3


def test_wrong_password_is_an_error_of_the_delivery(gateway, make_tls_receiver, make_proxy, ca_pem):
    proxy, receiver = make_proxy(), make_tls_receiver()
    wrong = f"http://me:wr0ngword@{proxy.host}"
    gateway.register("s1", receiver.url(), ca_pem=ca_pem, proxy=wrong)
    gateway.publish("s1")
    assert "CONNECT tunnel failed" in dead_letter(gateway)["last_error"]
    assert receiver.requests == []
    assert "wr0ngword" not in gateway.log_text()


def test_exceptions_are_connected_to_directly(gateway, make_receiver, make_proxy):
    proxy, receiver = make_proxy(), make_receiver()
    hook = gateway.register("s1", receiver.url(), proxy=proxy.url,
                            no_proxy=["example.org", "127.0.0.0/8"])
    assert hook["no_proxy"] == ["example.org", "127.0.0.0/8"]
    gateway.publish("s1")
    assert receiver.wait_for(1)[0].header("Via") is None
    change(gateway, hook, no_proxy=["example.org"])
    gateway.publish("s1")
    assert "tinyproxy" in receiver.wait_for(2)[1].header("Via")


def test_none_passes_the_settings_proxy_by(make_gateway, make_receiver):
    proxy, receiver = make_receiver(), make_receiver()
    gateway = make_gateway(webhook_proxies="on", proxy=f"http://127.0.0.1:{proxy.port}")
    hook = gateway.register("s1", receiver.url(), proxy="none")
    assert hook["proxy"] == "none"
    gateway.publish("s1")
    receiver.wait_for(1)
    assert proxy.connections == 0
    change(gateway, hook, proxy="default")
    gateway.publish("s1")
    assert proxy.wait_for(1)[0].path == receiver.url()


@pytest.mark.parametrize("field, value", [
    ("proxy", "none"), ("proxy", "http://127.0.0.1:1"), ("no_proxy", ["a.example"]),
])
def test_nobody_chooses_unless_it_is_allowed(make_gateway, field, value):
    gateway = make_gateway()
    body = {"url": HOOK, field: value}
    answer = gateway.api("POST", hooks_path("s1"), json=body)
    expect_error(answer, 400, field, mentions=["webhook_proxies"])
    gateway.register("s1", HOOK, proxy="default", no_proxy=[])


def test_what_was_chosen_fails_where_it_is_allowed_no_more(make_gateway, make_receiver):
    proxy, receiver = make_receiver(), make_receiver()
    gateway = make_gateway(webhook_proxies="on", retry_schedule="20ms")
    gateway.register("s1", receiver.url(), proxy=f"http://127.0.0.1:{proxy.port}")
    gateway.reconfigure(webhook_proxies="off")
    gateway.stop()
    gateway.start()
    gateway.publish("s1")
    assert "webhook_proxies" in dead_letter(gateway)["last_error"]
    assert proxy.connections == receiver.connections == 0


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:{port}", "http://[::ffff:127.0.0.1]:{port}"])
def test_policy_holds_for_a_proxys_address(make_gateway, make_receiver, proxy):
    """Whatever the setting's proxy may do: here none is set, nor would it count."""
    inside = make_receiver()
    gateway = make_gateway(webhook_proxies="on", allow_cidr=None, retry_schedule="20ms")
    gateway.register("s1", PEER, proxy=proxy.format(port=inside.port))
    gateway.publish("s1")
    assert "address refused: loopback" in dead_letter(gateway)["last_error"]
    assert inside.connections == 0


def test_tokens_are_asked_for_by_the_same_way(gateway, make_receiver, make_proxy):
    proxy = make_proxy()
    endpoint = make_receiver(status(200, b'{"access_token":"t0ken","expires_in":3600}'))
    receiver = make_receiver()
    auth = {"type": "oauth2", "token_url": endpoint.url("/token"), "client_id": "me",
            "client_secret": "s3cret"}
    gateway.register("s1", receiver.url(), proxy=proxy.url, auth=auth)
    gateway.publish("s1")
    assert receiver.wait_for(1)[0].header("Authorization") == "Bearer t0ken"
    assert "tinyproxy" in endpoint.wait_for(1)[0].header("Via")
    gateway.register("s2", receiver.url(), auth=auth)
    gateway.publish("s2")
    assert endpoint.wait_for(2)[1].header("Via") is None


# user_agent


def test_own_user_agent(gateway, make_receiver):
    receiver = make_receiver()
    hook = gateway.register("s1", receiver.url(), user_agent="partner-x/2 (waybill)")
    assert hook["user_agent"] == "partner-x/2 (waybill)"
    gateway.publish("s1")
    assert receiver.wait_for(1)[0].header("User-Agent") == "partner-x/2 (waybill)"
    assert change(gateway, hook, user_agent=None).json()["user_agent"] is None
    gateway.publish("s1")
    assert receiver.wait_for(2)[1].header("User-Agent").startswith("waybill/")


# content_encoding


def decoded(request):
    """The request as a framework hands it over, that undoes gzip."""
    assert request.header("Content-Encoding") == "gzip"
    return dataclasses.replace(request, body=gzip.decompress(request.body))


@pytest.mark.parametrize("signature", ["v1", "v2", "rfc9421"])
def test_gzip_is_signed_over_what_it_holds(gateway, make_receiver, signature):
    receiver = make_receiver(500, 200)
    hook = gateway.register("s1", receiver.url(), secret="s3cret", content_encoding="gzip",
                            signature=signature)
    assert hook["content_encoding"] == "gzip"
    data = {"text": "words, " * 2000}
    gateway.publish("s1", data=data)
    for request in receiver.wait_for(2):
        assert int(request.header("Content-Length")) == len(request.body) < 1000
        plain = decoded(request)
        assert json.loads(plain.body)["data"] == data
        if signature == "rfc9421":  # RFC 9530: of the bytes that are sent
            digest = base64.b64encode(hashlib.sha256(request.body).digest()).decode()
            assert request.header("Content-Digest") == f"sha-256=:{digest}:"
            verify_standard(plain)
        else:
            verify(plain, "s3cret", signature)


def verify_standard(request):
    """webhook-signature alone: Content-Digest is of the bytes that were sent."""
    headers = tuple((n, v) for n, v in request.headers if not n.startswith(("Sig", "Content-D")))
    verify(dataclasses.replace(request, headers=headers), "s3cret", None)


def text_of(length, alphabet=string.ascii_letters + string.digits):
    drawn = random.Random(7)
    return "".join(drawn.choice(alphabet) for _ in range(length))


@pytest.mark.parametrize("text, packs", [
    ("x" * 700, False),  # with the envelope not over 1 KiB
    ("x" * 1100, True),
    ("x" * 520000, True),
    ("x" * 525000, False),  # takes long
    (text_of(200000), False),  # takes more than 64 KiB all the same
], ids=["small", "over 1 KiB", "large", "too large", "not compressible"])
def test_what_is_compressed(gateway, make_receiver, text, packs):
    receiver = make_receiver()
    gateway.register("s1", receiver.url(), secret="s3cret", content_encoding="gzip")
    gateway.publish("s1", data={"text": text})
    (request,) = receiver.wait_for(1)
    if packs:
        request = decoded(request)
    else:
        assert request.header("Content-Encoding") is None
    assert json.loads(request.body)["data"]["text"] == text
    verify(request, "s3cret")


@pytest.mark.parametrize("signature", ["v1", ["v2", "ed25519", "rfc9421"]])
def test_listen_undoes_gzip(gateway, start_process, signature):
    process = start_process(BINARY, "listen", "--port", "0", "--secret", "s3cret")
    url = process.line(0).split()[-1]
    gateway.register("s1", url, secret="s3cret", content_encoding="gzip", signature=signature)
    gateway.publish("s1", data={"text": "well said, " * 500})
    wait_until(lambda: any("signature" in line for line in process.lines), what="a verdict")
    output = "\n".join(process.lines)
    assert "   signature ok" in process.lines
    assert "well said, well said" in output and " gzip" in process.lines[1]


# http_version


def libcurl_version():
    class Info(ctypes.Structure):
        _fields_ = [("age", ctypes.c_int), ("version", ctypes.c_char_p), ("num", ctypes.c_uint)]

    library = ctypes.CDLL("libcurl.so.4")
    library.curl_version_info.restype = ctypes.POINTER(Info)
    info = library.curl_version_info(3).contents
    return info.version.decode(), info.num >= 0x080500


VERSION, SPEAKS = libcurl_version()


def test_http2_takes_tls(gateway):
    body = {"url": HOOK, "http_version": "2"}
    answer = gateway.api("POST", hooks_path("s1"), json=body)
    words = ["https"] if SPEAKS else ["libcurl 8.5", VERSION]
    expect_error(answer, 400, "http_version", mentions=words)


@pytest.fixture
def nghttpd(start_process, tmp_path, make_receiver):
    """nghttp2's server; its lines say which stream of which connection a request is."""
    place = make_receiver()
    place.close()
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    ca = trustme.CA()
    made = ca.issue_cert("127.0.0.1")
    key.write_bytes(made.private_key_pem.bytes())
    cert.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
    (tmp_path / "index.html").write_text("well")
    program = shutil.which("nghttpd", path="/usr/sbin:/usr/bin:/usr/local/bin")
    command = (program, "-v", "-a", "127.0.0.1", "-d", tmp_path, "--echo-upload", place.port,
               key, cert)
    process = start_process(*command)
    process.command = command
    process.line(0)
    return process, f"https://127.0.0.1:{place.port}/", ca.cert_pem.bytes().decode()


def test_http2_streams_share_a_connection(gateway, nghttpd):
    """Where libcurl can; where it cannot, a 400 says which version it has."""
    process, url, ca = nghttpd
    fields = {"url": url, "ca_pem": ca, "http_version": "2"}
    answer = gateway.api("POST", hooks_path("s1"), json=fields)
    if not SPEAKS:
        expect_error(answer, 400, "http_version", mentions=["libcurl 8.5", VERSION])
        return
    assert answer.json()["http_version"] == "2"
    for n in range(40):
        gateway.publish("s1", data={"n": n, "text": "x" * 3000})
    wait_delivered(gateway, 40)
    lines = [line for line in process.lines if ":method: POST" in line]
    assert len(lines) == 40
    connections = {line.split("]")[0] for line in lines}
    assert len(connections) == 1  # the first stands before others begin


ONLY_WHERE_IT_SPEAKS = pytest.mark.skipif(not SPEAKS, reason=f"libcurl {VERSION} has no HTTP/2")


def wait_delivered(gateway, count):
    name = 'waybill_deliveries_total{outcome="delivered"}'
    wait_until(lambda: figure(gateway, name) == count, 20, what="deliveries")


@ONLY_WHERE_IT_SPEAKS
def test_http2_within_a_tunnel(gateway, nghttpd, make_proxy):
    (process, url, ca), proxy = nghttpd, make_proxy()
    gateway.register("s1", url, ca_pem=ca, http_version="2", proxy=proxy.url,
                     content_encoding="gzip")
    for n in range(30):
        gateway.publish("s1", data={"n": n, "text": "x" * 3000})
    wait_delivered(gateway, 30)
    assert proxy.count("CONNECT 127.0.0.1") == 1
    assert len([line for line in process.lines if "content-encoding: gzip" in line]) == 30


@ONLY_WHERE_IT_SPEAKS
def test_http2_with_bodies_from_the_store(gateway, nghttpd):
    _, url, ca = nghttpd
    gateway.register("s1", url, ca_pem=ca, http_version="2")
    for n in range(8):
        gateway.publish("s1", data={"n": n, "text": "x" * 900000})
    wait_delivered(gateway, 8)


@ONLY_WHERE_IT_SPEAKS
def test_http2_connection_that_hangs(make_gateway, nghttpd):
    """Streams time out each by itself; what comes later is on it, or on another."""
    process, url, ca = nghttpd
    gateway = make_gateway(retry_schedule="100ms,200ms,300ms,1s,1s,1s,5s")
    gateway.register("s1", url, ca_pem=ca, http_version="2", timeout_ms=300)
    gateway.publish("s1")
    wait_delivered(gateway, 1)
    os.kill(process.pid, signal.SIGSTOP)
    for _ in range(5):
        gateway.publish("s1")
    wait_until(lambda: gateway.log_text().count("timeout after 300 ms") >= 5, what="time-outs")
    os.kill(process.pid, signal.SIGCONT)
    wait_delivered(gateway, 6)


@ONLY_WHERE_IT_SPEAKS
def test_http2_connection_that_dies(make_gateway, nghttpd, start_process):
    """What was on it is sent again at once or by the schedule, and arrives."""
    process, url, ca = nghttpd
    gateway = make_gateway(retry_schedule="100ms,200ms,300ms,1s,1s,1s,5s")
    gateway.register("s1", url, ca_pem=ca, http_version="2", max_in_flight=64)
    for n in range(100):
        gateway.publish("s1", data={"n": n, "text": "x" * 20000})
        if n == 50:
            process.close()
            start_process(*process.command).line(0)
    wait_delivered(gateway, 100)


def figure(gateway, name):
    for line in gateway.request("GET", "/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return 0


def test_http2_is_1_1_where_the_receiver_speaks_no_other(gateway, make_tls_receiver, ca_pem):
    receiver = make_tls_receiver()
    fields = {"url": receiver.url(), "ca_pem": ca_pem, "http_version": "2"}
    answer = gateway.api("POST", hooks_path("s1"), json=fields)
    if not SPEAKS:
        expect_error(answer, 400, "http_version", mentions=["libcurl 8.5", VERSION])
        return
    for _ in range(5):
        gateway.publish("s1")
    assert {r.method for r in receiver.wait_for(5)} == {"POST"}
