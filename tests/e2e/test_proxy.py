"""The proxy: none, whatever the environment says; where one is set every delivery takes it."""

import select
import socket
import ssl
import threading

import pytest
import trustme

from harness import Link, verify, wait_until

VARIABLES = ["http_proxy", "https_proxy", "all_proxy"]
REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


def url_of(server):
    return f"http://{server.host}:{server.port}"


class Tunnels:
    """A proxy for CONNECT, which leads all to `target`, whatever is asked for."""

    def __init__(self, target, answer=b"HTTP/1.1 200 Connection established\r\n\r\n"):
        self.heads = []  # the requests as they came
        self._target = target
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host, self.port = self._listener.getsockname()
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        link = Link(sock)
        try:
            head = link.read_until(b"\r\n\r\n")
            if head is None:
                return
            self.heads.append(head.decode("latin-1"))
            link.send(self._answer)
            with socket.create_connection(self._target) as target:
                self._pump(sock, target)
        except OSError:
            pass  # either side may leave at any time
        finally:
            link.close()

    def _pump(self, one, other):
        to = {one: other, other: one}
        while not self._closing.is_set():
            for side in select.select([one, other], [], [], 0.05)[0]:
                data = side.recv(65536)
                if not data:
                    return
                to[side].sendall(data)

    def close(self):
        self._closing.set()
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed before
        self._listener.close()


@pytest.fixture
def make_tunnels(make_gateway):  # after it, so that no gateway waits for one
    made = []

    def make(receiver, **options):
        made.append(Tunnels((receiver.host, receiver.port), **options))
        return made[-1]

    yield make
    for tunnels in made:
        tunnels.close()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def make_tls_receiver(make_receiver, authority):
    def make(*script, name="127.0.0.1"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        return make_receiver(*script, tls=context)

    return make


@pytest.fixture
def ca_pem(authority):
    return authority.cert_pem.bytes().decode()


# Off


@pytest.mark.parametrize("upper", [False, True])
def test_environment_alone_sets_no_proxy(
    make_gateway, make_receiver, make_tls_receiver, ca_pem, upper
):
    proxy, plain, tls = make_receiver(), make_receiver(), make_tls_receiver()
    names = [name.upper() if upper else name for name in VARIABLES]
    gateway = make_gateway(env={name: url_of(proxy) for name in names})
    gateway.register("s1", plain.url())
    gateway.register("s1", tls.url(), ca_pem=ca_pem)
    event = gateway.publish("s1")
    assert plain.wait_for(1)[0].id == tls.wait_for(1)[0].id == event["id"]
    assert proxy.connections == 0


# On: http


@pytest.mark.parametrize("given", ["flag", "environment"])
def test_http_deliveries_go_to_the_proxy(make_gateway, make_receiver, given):
    proxy, receiver = make_receiver(500, 200), make_receiver()
    if given == "flag":
        gateway = make_gateway(proxy=url_of(proxy))
    else:
        gateway = make_gateway(env={"WAYBILL_PROXY": url_of(proxy)})
    url = receiver.url("/hook?x=y")
    gateway.register("s1", url, secret="s3cret", headers={"Authorization": "Basic eDp5"})
    event = gateway.publish("s1", data={"n": 1})
    requests = proxy.wait_for(2)
    assert [(r.method, r.path, r.id, r.attempt) for r in requests] == [
        ("POST", url, event["id"], attempt) for attempt in (1, 2)
    ]
    for request in requests:
        verify(request, "s3cret")
        assert request.header("Authorization") == "Basic eDp5"
        assert request.header("Host") == f"{receiver.host}:{receiver.port}"
    assert receiver.connections == 0


@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_no_exception_is_made_for_the_environments_sake(make_gateway, make_receiver, name):
    proxy, receiver = make_receiver(), make_receiver()
    gateway = make_gateway(proxy=url_of(proxy), env={name: "*,127.0.0.1,localhost"})
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    assert proxy.wait_for(1)[0].path == receiver.url()
    assert receiver.connections == 0


@pytest.mark.parametrize("url", ["http://10.1.2.3/hook", "http://receiver.invalid:81/hook"])
def test_proxy_looks_names_up_and_judges_addresses(make_gateway, make_receiver, url):
    proxy = make_receiver()
    gateway = make_gateway(proxy=url_of(proxy), allow_cidr=None)
    gateway.register("s1", url)
    gateway.publish("s1")
    assert proxy.wait_for(1)[0].path == url


def dead_letter(gateway):
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    return entry


def test_proxy_that_is_down_is_an_error_of_the_delivery(make_gateway, make_receiver):
    proxy, receiver = make_receiver(), make_receiver()
    proxy.close()
    gateway = make_gateway(proxy=url_of(proxy), retry_schedule="20ms,20ms")
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    entry = dead_letter(gateway)
    assert entry["attempts"] == 3 and "connect" in entry["last_error"].lower()
    assert receiver.connections == 0


# On: https


def test_https_deliveries_go_through_a_tunnel(
    make_gateway, make_tls_receiver, make_tunnels, ca_pem
):
    receiver = make_tls_receiver(name="receiver.invalid")
    tunnels = make_tunnels(receiver)
    gateway = make_gateway(proxy=url_of(tunnels))
    gateway.register(
        "s1", "https://receiver.invalid/hook", secret="s3cret", ca_pem=ca_pem, ordering="fifo",
        headers={"Authorization": "Basic eDp5"},
    )
    ids = [gateway.publish("s1", data={"text": "private words"})["id"] for _ in range(3)]
    requests = receiver.wait_for(3)
    assert [r.id for r in requests] == ids
    assert {r.connection for r in requests} == {1}
    for request in requests:
        verify(request, "s3cret")
        assert request.path == "/hook"
    (head,) = tunnels.heads  # is not encrypted: it must not tell
    assert head.startswith("CONNECT receiver.invalid:443 HTTP/1.1\r\n")
    assert "authorization" not in head.lower() and "webhook" not in head.lower()


def test_receivers_status_counts_and_not_the_tunnels(
    make_gateway, make_tls_receiver, make_tunnels, ca_pem
):
    receiver = make_tls_receiver(500, 404, 200)
    gateway = make_gateway(proxy=url_of(make_tunnels(receiver)))
    gateway.register("s1", receiver.url(), ca_pem=ca_pem, ordering="fifo")
    first, second = gateway.publish("s1"), gateway.publish("s1")
    arrived = [(r.id, r.attempt) for r in receiver.wait_for(4)]
    assert arrived == [(first["id"], 1), (first["id"], 2), (first["id"], 3), (second["id"], 1)]


def test_certificate_is_checked_through_the_tunnel(
    make_gateway, make_tls_receiver, make_tunnels, ca_pem
):
    receiver = make_tls_receiver(name="other.invalid")
    gateway = make_gateway(proxy=url_of(make_tunnels(receiver)), retry_schedule="20ms")
    gateway.register("s1", receiver.url(), ca_pem=ca_pem)
    gateway.publish("s1")
    assert dead_letter(gateway)["attempts"] == 2
    assert receiver.requests == []


def test_tunnel_that_is_refused_is_an_error_of_the_delivery(
    make_gateway, make_tls_receiver, make_tunnels, ca_pem
):
    receiver = make_tls_receiver()
    tunnels = make_tunnels(receiver, answer=REFUSAL)
    gateway = make_gateway(proxy=url_of(tunnels), retry_schedule="20ms")
    gateway.register("s1", receiver.url(), ca_pem=ca_pem)
    gateway.publish("s1")
    entry = dead_letter(gateway)
    assert entry["attempts"] == 2 and "403" in entry["last_error"]
    assert len(tunnels.heads) == 2 and receiver.requests == []
