"""etc/nginx and etc/haproxy in front."""

import contextlib
import pathlib
import re
import socket
import subprocess
import threading
import uuid

import pytest

from fronts import ARE_THERE, FRONTS, HOST, NAMES, Front, behind
from harness import ROOT, RawClient, expect_error, hooks_path, shares, verify, wait_until

SESSIONS = 12  # of the load, at least
EVENTS = 15  # of each session
PUBLISHERS_S = 40  # the longest that a publisher tries

pytestmark = pytest.mark.skipif(not ARE_THERE, reason="needs nginx and haproxy")


@pytest.fixture(params=FRONTS)
def single(request, make_gateway, folder, authority, start_front):
    gateway = behind(make_gateway, folder, "api")
    sockets = {"/run/waybill/api.sock": f"{folder}/api.sock"}
    front = Front(request.param, False, folder, sockets, gateway.token, authority, start_front)
    return front, gateway


@pytest.fixture(params=FRONTS)
def sharded(request, make_gateway, folder, authority, start_front):
    token = "one-token-for-three"
    gateways = {name: behind(make_gateway, folder, name, token=token) for name in NAMES}
    sockets = {f"/run/waybill/{name}.sock": f"{folder}/{name}.sock" for name in NAMES}
    front = Front(request.param, True, folder, sockets, token, authority, start_front)
    return front, gateways


def by_name(front, name, method, path, **kwargs):
    """A request by the name of one instance."""
    headers = {"Host": f"{name}.{HOST}", **kwargs.pop("headers", {})}
    return front.request(method, path, headers=headers, **kwargs)


def strict(kind, make_gateway, folder, authority, start_front, **values):
    """The same with other values on the lines that are marked."""
    gateway = behind(make_gateway, folder, "api")
    values = {"/run/waybill/api.sock": f"{folder}/api.sock", **values}
    return Front(kind, False, folder, values, gateway.token, authority, start_front), gateway


def through(front, source=None):
    return RawClient(("127.0.0.1", front.port), front.tls, source)


# One instance


def test_shipped_files_are_good(single):
    done = single[0].check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_events_flow_and_what_the_client_sees_is_waybills(single, receiver):
    front, gateway = single
    webhook = front.register("s1", receiver.url(), secret="s3cret")
    ids = [front.publish("s1", data={"n": n})["id"] for n in range(20)]
    wait_until(lambda: receiver.ids == set(ids), what="all deliveries")
    for request in receiver.requests:
        verify(request, "s3cret")
    assert gateway.webhook("s1", webhook["id"])["url"] == receiver.url()
    expect_error(front.api("GET", "/nothing"), 404, mentions=["no such call"])
    expect_error(front.api("GET", hooks_path("s1"), token="wrong-token"), 401)
    expect_error(front.api("POST", "/sessions/s1/events", body=b"{"), 400, mentions=["byte"])
    assert front.request("GET", "/readyz", token="").json()["status"] == "ok"


KEY_EXCHANGES = [
    (["-tls1_3", "-groups", "X25519"], True),
    (["-tls1_3", "-groups", "P-521"], True),
    (["-tls1_3", "-groups", "ffdhe8192"], False),
    (["-tls1_2", "-cipher", "ECDHE"], True),
    (["-tls1_2", "-cipher", "DHE"], False),
]


def test_long_keys_are_not_exchanged(single):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{single[0].port}"]
    for options, is_taken in KEY_EXCHANGES:
        done = subprocess.run(
            [*command, *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=20
        )
        assert (done.returncode == 0) == is_taken, done.stderr


def batch_of(size):
    """A batch of `size` bytes: events of the longest kind, and one with what is left."""
    longest = b'{"session_id":"s1","event":"message","data":"%s"}'
    whole = longest % (b"x" * (1000000 - len(longest) + 2))
    text = b"[" + b",".join([whole] * 8) + b"]"
    return text + b" " * (size - len(text))


def test_longest_batch_is_taken_and_a_longer_one_refused_in_json(single):
    front, _ = single
    answer = front.api("POST", "/events", body=batch_of(8 << 20))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 8), answer.text
    with RawClient(("127.0.0.1", front.port), front.tls) as client:
        client.send(
            f"POST /api/v1/events HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {(8 << 20) + 1}\r\nAuthorization: Bearer {front.token}\r\n\r\n["
            .encode()
        )
        expect_error(client.reply(), 413, mentions=["8388608"])


def test_chunked_body_is_taken(single):
    front, _ = single
    pieces = iter([b'{"event":', b'"message"}'])
    assert front.api("POST", "/sessions/s1/events", body=pieces).status_code == 202


def test_long_heads_are_refused_in_json(single):
    front, _ = single
    one = front.api("GET", hooks_path("s1"), headers={"X-Long": "a" * 9000})
    if front.kind == "nginx":
        expect_error(one, 431)
    else:
        assert one.status_code == 200
    many = {f"X-Long-{n}": "a" * 5900 for n in range(3)}
    expect_error(front.api("GET", hooks_path("s1"), headers=many), 431)


def test_connections_to_waybill_are_kept(single):
    front, _ = single
    for _ in range(50):
        front.api("GET", hooks_path("s1"))
    table = pathlib.Path("/proc/net/unix").read_text().splitlines()
    path = f"{front.folder}/api.sock"
    rows = [line.split() for line in table if line.endswith(path)]
    connected = [row for row in rows if row[5] == "03"]
    assert 1 <= len(connected) <= 8, "not one for each request, and some stay"


def test_clients_are_told_apart_whatever_they_claim(single):
    """One that guesses is slowed down by itself, not all behind the proxy, nor who it names."""
    front, _ = single

    def ask(source, token, claims=""):
        with RawClient(("127.0.0.1", front.port), front.tls, source) as client:
            client.send(
                f"GET /api/v1/sessions/s1/webhooks HTTP/1.1\r\nHost: {HOST}\r\n{claims}"
                f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
            )
            return client._link.read_until(b"\r\n").decode()[9:12]

    claims = "X-Forwarded-For: 127.0.0.3\r\nForwarded: for=127.0.0.3\r\n"
    threads, seen = [], []
    for _ in range(60):
        threads.append(threading.Thread(
            target=lambda: seen.append(ask("127.0.0.2", "wrong-token", claims))
        ))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert set(seen) == {"401", "429"}
    assert ask("127.0.0.3", front.token) == "200"
    assert ask("127.0.0.1", front.token) == "200"


def test_instance_that_is_down_is_a_503_until_it_is_back(single, receiver):
    front, gateway = single
    front.register("s1", receiver.url())
    gateway.kill()
    answer = front.api("POST", "/sessions/s1/events", json={"event": "message"})
    expect_error(answer, 503, mentions=["again"])
    assert answer.headers["Retry-After"] == "1"
    gateway.start()
    event = wait_until(
        lambda: (a := front.api("POST", "/sessions/s1/events", json={"event": "message"}))
        .status_code == 202 and a.json(), what="a 202"
    )
    wait_until(lambda: receiver.ids == {event["id"]}, what="the delivery")


WATCHER = "127.0.0.9"
SPELLINGS = [
    "/metrics", "/%6detrics", "/m%65trics", "/%6D%65%74%72%69%63%73", "/metrics/", "/METRICS",
    "//metrics", "/./metrics", "/x/../metrics", "/metrics?a=b", "/%2fmetrics", "/metrics%2f",
    "/livez", "/%6civez", "/Livez/", "/readyz", "/ready%7a", "/readyz//", "/health", "/he%61lth",
]
METRICS = b"waybill_connections"


@pytest.mark.parametrize("kind", FRONTS)
def test_what_needs_no_token_is_for_watchers_in_every_spelling(
    kind, make_gateway, folder, authority, start_front
):
    front, gateway = strict(
        kind, make_gateway, folder, authority, start_front, **{"127.0.0.0/8": WATCHER}
    )

    def ask(path, source):
        with through(front, source) as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            answer = client.reply()
        if answer.status_code != 200:
            expect_error(answer, answer.status_code)
        return answer.status_code

    seen = {path: ask(path, "127.0.0.2") for path in SPELLINGS}
    assert set(seen.values()) <= {400, 403, 404}
    assert {seen[path] for path in SPELLINGS if "%2f" not in path and "/." not in path} <= {400, 403}
    assert seen["/metrics"] == seen["/livez"] == seen["/readyz"] == seen["/%6detrics"] == 403
    served = {path for path in SPELLINGS if ask(path, WATCHER) == 200}
    assert served == {"/metrics", "/metrics?a=b", "/livez", "/readyz", "/health"}


@pytest.mark.parametrize("kind", FRONTS)
def test_address_has_its_part_of_the_proxy(kind, make_gateway, folder, authority, start_front):
    limits = {"gt 100": "gt 3", "gt 200": "gt 5"} if kind == "haproxy" else {
        "waybill_clients 100": "waybill_clients 3"}
    front, gateway = strict(kind, make_gateway, folder, authority, start_front, **limits)
    head = (
        f"POST /api/v1/events HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {gateway.token}\r\nContent-Length: 100\r\n\r\n"
    ).encode()

    def fourth():
        """
        The answer to one beside three that wait, and these; None: it came before one of them, or
        those of the last time are not gone yet.
        """
        with contextlib.suppress(OSError), contextlib.ExitStack() as three:
            for _ in range(3):
                three.enter_context(through(front, "127.0.0.2")).send(head)
            with through(front, "127.0.0.2") as client:
                client.send(head + b" " * 100)
                answer = client.reply()
            if answer.status_code == 429:
                return answer, three.pop_all()
        return None

    answer, three = wait_until(fourth, 30, "a refusal")
    with three as stack:
        expect_error(answer, 429, mentions=["this address"])
        assert answer.headers["Retry-After"] == "5"
        if kind == "haproxy":  # and then not even that; of the three some may be refused and gone
            with pytest.raises(OSError):
                for _ in range(100):
                    stack.enter_context(through(front, "127.0.0.2"))
        assert front.request("GET", "/livez").status_code == 200
        assert shares(gateway)["bodies"]["held"] == 0, "bodies that have not come stay there"


@pytest.mark.parametrize(
    "line", [b"GET", b"\x16\x03\x01", b"G(T / HTTP/1.1", b"GET / HTTP/1.x", b"nonsense"]
)
def test_what_is_no_request_is_refused(single, line):
    """In JSON; but HAProxy has words of its own for this, which no setting replaces."""
    front, gateway = single
    with through(front) as client:
        client.send(line + b"\r\nHost: x\r\n\r\n")
        answer = client.reply()
        assert answer.status_code == 400
        if front.kind == "nginx":
            expect_error(answer, 400)
    with gateway.connect() as client:
        client.send(line + b"\r\nHost: x\r\n\r\n")
        answer = client.reply()
        expect_error(answer, answer.status_code)
        assert answer.status_code in (400, 505)


class Dripping:
    """In waybill's place: answers a piece, and the next one when the test says so."""

    def __init__(self, path):
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self.more = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            text = b""
            while b"\r\n\r\n" not in text:
                piece = sock.recv(65536)
                if not piece:
                    return
                text += piece
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            self.more.wait(30)
            with contextlib.suppress(OSError):  # a health check does not wait
                sock.sendall(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    def close(self):
        self.more.set()
        self._listener.close()


@pytest.mark.parametrize("kind", FRONTS)
@pytest.mark.parametrize("path", ["/api/v1/events/stream", "/api/v1/backup"])
def test_streams_are_passed_on_piece_by_piece(kind, path, folder, authority, start_front):
    dripping = Dripping(folder / "api.sock")
    sockets = {"/run/waybill/api.sock": f"{folder}/api.sock"}
    front = Front(kind, False, folder, sockets, "t", authority, start_front)
    try:
        with RawClient(("127.0.0.1", front.port), front.tls) as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            client._link.read_until(b"data: 1\n\n")
            dripping.more.set()
            client._link.read_until(b"data: 2\n\n")
    finally:
        dripping.close()


# Three


def place_of(gateways, session):
    """Which instances have webhooks of a session."""
    return [
        name for name, gateway in gateways.items()
        if gateway.running and gateway.api("GET", hooks_path(session)).json()["count"]
    ]


def spread(front, gateways, receiver):
    """
    Registers sessions until each instance has some, as which has which depends on the ports;
    returns the instance of each.
    """
    places = {}
    while len(places) < SESSIONS or set(places.values()) != set(NAMES):
        assert len(places) < 20 * SESSIONS, places
        session = f"s{len(places)}"
        front.register(session, receiver.url())
        (places[session],) = place_of(gateways, session)
    return places


def test_sharded_files_are_good(sharded):
    done = sharded[0].check()
    assert done.returncode == 0, done.stdout + done.stderr


def test_session_is_in_one_place_however_it_is_written(sharded, receiver):
    front, gateways = sharded
    places = spread(front, gateways, receiver)
    for session in places:
        path = f"/sessions/%73{session[1:]}/events"
        answer = front.api("POST", path, json={"event": "message"})
        assert answer.json()["deliveries"] == 1
    receiver.wait_for(len(places))


def test_calls_without_a_session_need_an_instances_name(sharded):
    front, gateways = sharded
    for method, path in [("POST", "/events"), ("GET", "/backup"), ("GET", "/stats"),
                         ("GET", "/events/stream"), ("GET", "/sessions")]:
        expect_error(front.api(method, path), 404, mentions=["/api/v1/sessions/{s}/events"])
    expect_error(front.request("GET", "/metrics"), 404)
    for name in NAMES:
        answer = by_name(front, name, "GET", "/readyz")
        assert answer.json()["status"] == "ok"
        batch = [{"session_id": f"of-{name}", "event": "message"}]
        answer = by_name(front, name, "POST", "/api/v1/events", json=batch)
        assert answer.json()["accepted"] == 1
    gateways["two"].kill()
    expect_error(by_name(front, "two", "GET", "/readyz"), 503)
    assert by_name(front, "one", "GET", "/readyz").ok


@pytest.mark.parametrize("sharded", ["haproxy"], indirect=True)
def test_haproxy_knows_whether_all_are_ready(sharded):
    front, gateways = sharded
    wait_until(lambda: front.request("GET", "/readyz").status_code == 200, what="ready")
    gateways["three"].kill()
    wait_until(lambda: front.request("GET", "/readyz").status_code == 503, 20, "not ready")
    gateways["three"].start()
    wait_until(lambda: front.request("GET", "/readyz").status_code == 200, 20, "ready again")


class Publisher(threading.Thread):
    """Publishes to one session through the front, each event until it is taken."""

    def __init__(self, front, session, stop_trying):
        super().__init__(daemon=True)
        self.front, self.session, self.stop_trying = front, session, stop_trying
        self.taken = []  # the answers of 202
        self.others = []  # other statuses, in their order
        self.start()

    def run(self):
        for n in range(EVENTS):
            key = str(uuid.uuid4())
            while not self.stop_trying.is_set():
                answer = self.front.api(
                    "POST", f"/sessions/{self.session}/events", headers={"Idempotency-Key": key},
                    json={"event": "message", "data": {"n": n}},
                )
                if answer.status_code == 202:
                    self.taken.append(answer.json())
                    break
                self.others.append((answer.status_code, answer.headers.get("Retry-After")))
                self.stop_trying.wait(0.05)


def test_one_of_three_killed_and_brought_back_loses_nothing(sharded, receiver):
    front, gateways = sharded
    places = spread(front, gateways, receiver)
    stop_trying = threading.Event()
    publishers = {s: Publisher(front, s, stop_trying) for s in places}
    struck = [p for s, p in publishers.items() if places[s] == "two"]
    spared = [p for s, p in publishers.items() if places[s] != "two"]
    try:
        wait_until(lambda: all(p.taken for p in struck), what="events before the kill")
        gateways["two"].kill()
        wait_until(lambda: all(p.others or not p.is_alive() for p in struck), what="refusals")
        assert any(p.others for p in struck), "killed too late"
        for p in spared:
            p.join(PUBLISHERS_S)
            assert len(p.taken) == EVENTS, p.others
        gateways["two"].start()
        for p in struck:
            p.join(PUBLISHERS_S)
    finally:
        stop_trying.set()
    assert [p.others for p in spared] == [[] for _ in spared]
    for p in struck:
        assert len(p.taken) == EVENTS
        assert set(p.others) <= {(503, "1"), (502, "1")}, p.others
    answers = [answer for p in publishers.values() for answer in p.taken]
    assert {answer["deliveries"] for answer in answers} == {1}
    ids = {answer["id"] for answer in answers}
    assert len(ids) == len(places) * EVENTS
    wait_until(lambda: ids <= receiver.ids, 20, "delivery of all that was taken")
    assert {s: place_of(gateways, s)[0] for s in places} == places


def test_only_marked_lines_name_what_is_ours():
    """What somebody has to look at is marked, and nothing else names a place or an address."""
    for path in [*(ROOT / "etc" / "nginx").iterdir(), *(ROOT / "etc" / "haproxy").iterdir()]:
        for line in path.read_text().splitlines():
            if re.search(r"/run/|/etc/|\.example|listen|bind ", line) and "# yours" not in line:
                assert line.lstrip().startswith("#"), f"{path.name}: {line}"
