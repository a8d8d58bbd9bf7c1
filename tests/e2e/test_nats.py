"""
The client of NATS against the real server: tests/unit/nats_main.c takes a JetStream stream and
stores it in a file. Whatever dies or is lost, the file has each message once, in order.
"""

import json
import os
import pathlib
import random
import re
import signal
import socket

import pytest
import trustme

from harness import BINARY, ROOT, Process, wait_until
from nats_server import (
    USER,
    NatsError,
    NatsKey,
    NatsServer,
    creds,
    operator_mode,
    tls_conf,
    tls_of,
)

VARIANT = pathlib.Path(BINARY).parent  # build/asan, or build for what is released
TESTS = (VARIANT / "release" if VARIANT.name == "build" else VARIANT) / "tests"
TAKER = TESTS / "nats_main"
KILLED = -signal.SIGKILL


@pytest.fixture
def make_server(tmp_path):
    servers = []

    def make(conf="", **options):
        servers.append(NatsServer(tmp_path / f"nats{len(servers) + 1}", conf, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make_server):
    return make_server()


class Taker:
    """Starts nats_main, always over the same file."""

    def __init__(self, directory):
        self.store = directory / "store"
        self.log = directory / "taker.log"
        self._processes = []

    def start(self, *servers, **options):
        options = {"stream": "WA", "consumer": "waybill", "store": self.store, **options}
        urls = ",".join(s if isinstance(s, str) else s.url for s in servers)
        with open(self.log, "ab") as log:
            process = Process(
                [TAKER, f"servers={urls}", *(f"{k}={v}" for k, v in options.items())], log
            )
        self._processes.append(process)
        return process

    def run(self, *servers, status=0, **options):
        """Runs it to its end; its lines."""
        process = self.start(*servers, **options)
        assert process.wait(40) == status, self.log.read_text()[-3000:]
        return process.lines

    def ask(self, server, subject, payload=b"", **options):
        lines = self.run(server, ask=subject, payload=payload, **options)
        return lines[-1]

    def messages(self):
        """What is stored: (sequence, subject, payload) of each message of a whole turn."""
        stored, turn = [], []
        text = self.store.read_text() if self.store.exists() else ""
        for line in text[: text.rfind("\n") + 1].splitlines():
            if line.startswith("M "):
                turn.append(line.split(" ", 3)[1:])
            elif line.startswith("C "):
                stored += [(int(seq), subject, payload) for seq, subject, payload in turn]
                turn = []
        return stored

    def payloads(self):
        return [payload for _, _, payload in self.messages()]

    def close(self):
        for process in self._processes:
            process.close()


@pytest.fixture
def taker(tmp_path):
    taker = Taker(tmp_path)
    yield taker
    taker.close()


def numbers(first, last):
    return [str(n) for n in range(first, last + 1)]


# The first turn of all has no message: it stores which stream is read.


def publish(server, first, last, subject="wa.events.Loja.da.Ana.message", **login):
    server.client(**login).publish(subject, [n.encode() for n in numbers(first, last)])


def has_line(process, wanted):
    return lambda: wanted in process.lines or any(wanted == line for line in process.lines)


def wait_for_line(process, start):
    """The first line that begins so."""
    return wait_until(
        lambda: next((line for line in process.lines if line.startswith(start)), None),
        what=f"a line {start}… among {process.lines}",
    )


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_messages_come_once_and_in_order(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 500)
    taker.run(server, until=500)
    publish(server, 501, 1000)
    taker.run(server, until=1000)
    assert taker.messages() == [
        (n, "wa.events.Loja.da.Ana.message", str(n)) for n in range(1, 1001)
    ]


def test_what_is_stored_is_acknowledged(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 250)
    process = taker.start(server)
    wait_until(lambda: len(taker.messages()) == 250)
    info = wait_until(
        lambda: (i := server.client().consumer("WA", "waybill"))["num_ack_pending"] == 0 and i
    )
    assert info["config"]["ack_policy"] == "all"
    assert info["ack_floor"]["stream_seq"] == 250
    publish(server, 251, 260)
    wait_until(lambda: len(taker.messages()) == 260)
    assert process.running


@pytest.mark.parametrize("messages", [1, 7])
def test_no_more_is_pulled_than_there_is_room_for(server, taker, messages):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 100)
    taker.run(server, messages=messages, die="turn:2", status=KILLED)
    info = server.client().consumer("WA", "waybill")
    assert 1 <= info["delivered"]["stream_seq"] <= messages
    taker.run(server, messages=messages, until=100)
    assert taker.payloads() == numbers(1, 100)


def test_no_more_bytes_are_pulled_than_there_is_room_for(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    server.client().publish("wa.events.a", [b"x" * 1000] * 50)
    taker.run(server, bytes=5000, die="turn:2", status=KILLED)
    assert server.client().consumer("WA", "waybill")["delivered"]["stream_seq"] <= 5
    taker.run(server, bytes=5000, until=50)
    assert len(taker.messages()) == 50


def test_a_message_larger_than_the_room_comes_alone(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    large = b"y" * 9000
    server.client().publish("wa.events.a", [b"1", large, large, b"2", large])
    taker.run(server, bytes=2000, until=5)
    assert taker.payloads() == ["1", large.decode(), large.decode(), "2", large.decode()]


def test_a_message_over_the_limit_is_skipped_and_told(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    server.client().publish("wa.events.a", [b"1", b"y" * 300000, b"2"])
    taker.run(server, message_max=1000, until=3)
    assert taker.payloads() == ["1", "skipped 300000", "2"]


STEPS = ["handed", "turn", "torn", "stored", "acked"]


@pytest.mark.parametrize("step", STEPS)
def test_kill_at_each_step(server, taker, step):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 60)
    for time in (1, 2, 3, 1, 2):
        taker.run(server, messages=4, die=f"{step}:{time}", status=KILLED)
    assert taker.payloads() == numbers(1, len(taker.payloads()))
    taker.run(server, messages=4, until=60)
    assert taker.payloads() == numbers(1, 60)


def test_kills_at_any_moment(server, taker):
    """Messages come all the while; the seed repeats sizes and numbers, not the moments."""
    seed = int(os.environ.get("WAYBILL_TEST_SEED", "1"))
    print(f"WAYBILL_TEST_SEED={seed}")
    draw = random.Random(seed)
    server.client().make_stream("WA", "wa.events.>")
    published = 0
    for _ in range(12):
        process = taker.start(server, messages=draw.randint(1, 40))
        more = draw.randint(10, 200)
        publish(server, published + 1, published + more)
        published += more
        enough = draw.randint(len(taker.messages()), published)
        wait_until(lambda: len(taker.messages()) >= enough)
        process.signal(signal.SIGKILL)
        process.wait()
    taker.run(server, until=published)
    assert taker.payloads() == numbers(1, published)


def test_a_turn_that_was_refused_comes_again(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 50)
    taker.run(server, messages=10, refuse=3, until=50)
    assert taker.payloads() == numbers(1, 50)
    assert "the turn was refused" in taker.log.read_text()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_the_server_restarts(server, taker, how):
    server.client().make_stream("WA", "wa.events.>")
    process = taker.start(server, until=300, messages=10)
    for first in (1, 101, 201):
        publish(server, first, first + 49)
        wait_until(lambda: len(taker.messages()) >= first)
        getattr(server, how)()
        wait_for_line(process, "down")
        server.start()
        publish(server, first + 50, first + 99)
    assert process.wait(40) == 0
    assert taker.payloads() == numbers(1, 300)


def test_servers_are_tried_in_turn(make_server, taker):
    nobody = f"nats://127.0.0.1:{free_port()}"
    first, second = make_server(), make_server()
    for server in (first, second):
        server.client().make_stream("WA", "wa.events.>")
    publish(first, 1, 10)
    publish(second, 1, 10)
    process = taker.start(nobody, first, second)
    assert wait_for_line(process, "up") == f"up 127.0.0.1 {first.port}"
    wait_until(lambda: len(taker.messages()) == 10)
    first.stop()
    wait_until(has_line(process, f"up 127.0.0.1 {second.port}"), what="the other server")
    second.stop()
    first.start()
    wait_until(lambda: process.lines.count(f"up 127.0.0.1 {first.port}") == 2)


def test_a_stream_that_moves_to_another_address(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 20)
    taker.run(server, until=20)
    server.move()
    publish(server, 21, 40)
    taker.run(server, until=40)
    assert taker.payloads() == numbers(1, 40)


def when_ready(server, ask):
    """What ask(client) returns, once the cluster has agreed on who may answer."""

    def attempt():
        try:
            return ask(server.client(timeout=2))
        except (NatsError, ValueError, OSError):
            server.forget_client()
            return None

    return wait_until(attempt, timeout=60, what="the cluster's answer")


def has_leader(client):
    return "leader" in client.ask("STREAM.INFO.WA")["cluster"]


def are_all_current(client):
    return all(r["current"] for r in client.ask("STREAM.INFO.WA")["cluster"]["replicas"])


@pytest.mark.timeout(240)  # leaders are elected, three times
def test_a_cluster_loses_the_server_that_is_asked(make_server, taker):
    routes = [f"nats://127.0.0.1:{free_port()}" for _ in range(3)]
    servers = [
        make_server(
            f"server_name: n{n}\ncluster {{ name: c, listen: \"{route[7:]}\", "
            f"routes: {json.dumps(routes)} }}"
        )
        for n, route in enumerate(routes)
    ]
    first, second, third = servers
    when_ready(second, lambda c: c.make_stream("WA", "wa.events.>", num_replicas=3))
    publish(second, 1, 100)
    process = taker.start(*servers, messages=10, until=300)
    wait_until(lambda: len(taker.messages()) == 100, timeout=60)
    first.kill()
    when_ready(second, has_leader)
    publish(second, 101, 200)
    wait_until(lambda: len(taker.messages()) == 200, timeout=60)
    first.start()
    when_ready(second, are_all_current)
    third.kill()
    when_ready(first, has_leader)
    publish(first, 201, 300)
    assert process.wait(60) == 0
    assert taker.payloads() == numbers(1, 300)


def test_filters(server, taker):
    server.client().make_stream("WA", "wa.>")
    for n in range(1, 31):
        server.client().publish(f"wa.{'abc'[n % 3]}.message", [str(n).encode()])
    taker.run(server, subjects="wa.a.>", until=10)
    assert taker.payloads() == [str(n) for n in range(3, 31, 3)]


def test_several_filters_and_then_others(server, taker):
    server.client().make_stream("WA", "wa.>")

    def publish_all(first, last):
        for n in range(first, last + 1):
            server.client().publish(f"wa.{'abc'[n % 3]}.message", [str(n).encode()])

    publish_all(1, 30)
    taker.run(server, subjects="wa.a.>,wa.b.>", until=20)
    assert taker.payloads() == [str(n) for n in range(1, 31) if n % 3 != 2]
    publish_all(31, 60)
    taker.run(server, subjects="wa.c.>", until=30)
    assert taker.payloads()[20:] == [str(n) for n in range(32, 61, 3)]


def test_begin_at_the_end(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 20)
    process = taker.start(server, end=1)
    assert wait_for_line(process, "moved") == "moved 20"
    wait_until(lambda: "C " in taker.store.read_text())
    process.close()
    publish(server, 21, 40)  # while it is away
    taker.run(server, end=1, until=20)
    assert taker.payloads() == numbers(21, 40)


def test_a_stream_that_is_made_anew_is_read_from_its_beginning(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 20)
    taker.run(server, until=20)
    server.client().ask("STREAM.DELETE.WA")
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 101, 130)  # it has passed the old one's last sequence
    taker.run(server, until=50)
    assert taker.payloads() == numbers(1, 20) + numbers(101, 130)


def test_a_stream_is_made_anew_while_it_is_read(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 20)
    process = taker.start(server, until=40)
    wait_until(lambda: len(taker.messages()) == 20)
    server.client().ask("STREAM.DELETE.WA")
    wait_for_line(process, "waits")
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 101, 120)
    assert process.wait(30) == 0
    assert taker.payloads() == numbers(1, 20) + numbers(101, 120)


def test_what_the_stream_has_dropped_is_counted(server, taker):
    server.client().make_stream("WA", "wa.events.>", max_msgs=10)
    publish(server, 1, 5)
    taker.run(server, until=5)
    publish(server, 6, 30)
    taker.run(server, until=15)
    assert taker.payloads() == numbers(1, 5) + numbers(21, 30)
    assert "has dropped messages" in taker.log.read_text()


def test_the_consumer_is_deleted_by_somebody(server, taker):
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 20)
    process = taker.start(server, until=40)
    wait_until(lambda: len(taker.messages()) == 20)
    server.client().ask("CONSUMER.DELETE.WA.waybill")
    publish(server, 21, 40)
    assert process.wait(30) == 0
    assert taker.payloads() == numbers(1, 40)


def test_two_takers_of_one_name_lose_nothing(server, taker, tmp_path):
    """Each throws out the other, again and again; what either stores is whole."""
    server.client().make_stream("WA", "wa.events.>")
    other = Taker(tmp_path / "other")
    other.store.parent.mkdir()
    try:
        one = taker.start(server, until=200, messages=5)
        two = other.start(server, until=200, messages=5)
        publish(server, 1, 200)
        assert (one.wait(40), two.wait(40)) == (0, 0)
    finally:
        other.close()
    assert taker.payloads() == other.payloads() == numbers(1, 200)


@pytest.mark.parametrize("retention", ["workqueue", "interest"])
def test_a_stream_that_forgets_what_is_acknowledged_is_not_read(server, taker, retention):
    server.client().make_stream("WA", "wa.events.>", retention=retention)
    process = taker.start(server)
    assert wait_for_line(process, "waits") == "waits the stream's retention is not \"limits\""


def test_a_stream_that_is_not_there_is_waited_for(server, taker):
    process = taker.start(server, until=5)
    assert wait_for_line(process, "waits") == "waits stream not found"
    server.client().make_stream("WA", "wa.events.>")
    publish(server, 1, 5)
    assert process.wait(30) == 0


def test_headers_that_look_like_the_servers_own(server, taker):
    """A publisher's status, or headers that are none, are a message like any other."""
    client = server.client()
    client.make_stream("WA", "wa.events.>")
    client.publish_with("wa.events.a", b"NATS/1.0 409 Consumer Deleted\r\n\r\n", b"1")
    client.publish_with("wa.events.a", b"NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n", b"2")
    client.publish_with("wa.events.a", b"nonsense", b"3")
    client.publish("wa.events.a", [b"4"])
    taker.run(server, until=4)
    assert taker.payloads() == numbers(1, 4)


KEY = NatsKey(USER, "user")
LOGINS = {
    "token": ("authorization { token: s3cret }", {"auth_token": "s3cret"}, {"token": "s3cret"}),
    "user": (
        "authorization { user: ana, password: s3cret }",
        {"user": "ana", "pass": "s3cret"},
        {"user": "ana", "password": "s3cret"},
    ),
    "nkey": (
        f"authorization {{ users: [ {{ nkey: {KEY.public} }} ] }}",
        {"nkey": KEY.public, "key": KEY},
        {"seed": KEY.seed},
    ),
}


@pytest.mark.parametrize("how", LOGINS)
def test_logins(make_server, taker, how):
    conf, ours, theirs = LOGINS[how]
    server = make_server(conf)
    server.client(**ours).make_stream("WA", "wa.events.>")
    publish(server, 1, 10)
    taker.run(server, until=10, **theirs)
    assert taker.payloads() == numbers(1, 10)


@pytest.mark.parametrize(
    "wrong",
    [{"token": "other"}, {"user": "ana", "password": "x"}, {"seed": KEY.seed}, {}],
    ids=["token", "password", "seed", "none"],
)
def test_a_wrong_login_is_told(make_server, taker, wrong):
    server = make_server("authorization { users: [ { user: ana, password: s3cret } ] }")
    process = taker.start(server, **wrong)
    assert wait_for_line(process, "down") == "down Authorization Violation"


def test_a_creds_file(make_server, taker, tmp_path):
    conf, jwt, user = operator_mode()
    server = make_server(conf)
    (tmp_path / "user.creds").write_text(creds(jwt, user.seed))
    server.client(jwt=jwt, key=user).make_stream("WA", "wa.events.>")
    publish(server, 1, 10)
    taker.run(server, until=10, creds=tmp_path / "user.creds")
    assert taker.payloads() == numbers(1, 10)


@pytest.mark.parametrize("scheme", ["nats", "tls"])
def test_tls(make_server, taker, tmp_path, authority, scheme):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = make_server(tls_conf(tmp_path, authority))
    server.client(tls=tls_of(authority)).make_stream("WA", "wa.events.>")
    server.client().publish("wa.events.a", [n.encode() * 5000 for n in numbers(1, 50)])
    for host in ("localhost", "127.0.0.1"):
        (tmp_path / host).mkdir()
        one = Taker(tmp_path / host)
        one.run(f"{scheme}://{host}:{server.port}", until=50, ca=tmp_path / "ca.pem")
        assert one.payloads() == [n * 5000 for n in numbers(1, 50)]
    url = f"{scheme}://localhost:{server.port}"
    line = taker.ask(url, "wa.events.a", "z" * 100000, ca=tmp_path / "ca.pem")
    assert answer_of(line)["seq"] == 51


@pytest.mark.parametrize(
    "host, trusted, why",
    [("localhost", "another", "unable to get local issuer certificate"),
     ("127.0.0.2", "its own", "IP address mismatch")],
)
def test_a_certificate_that_is_not_the_servers(
    make_server, taker, tmp_path, authority, host, trusted, why
):
    (authority if trusted == "its own" else trustme.CA()).cert_pem.write_to_path(
        tmp_path / "ca.pem"
    )
    server = make_server(tls_conf(tmp_path, authority), address="0.0.0.0")
    process = taker.start(f"tls://{host}:{server.port}", ca=tmp_path / "ca.pem")
    assert wait_for_line(process, "down") == f"down {why}"


@pytest.mark.parametrize("ca", [False, True])
def test_no_secret_is_said_in_plain_text(server, taker, tmp_path, authority, ca):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    options = {"ca": tmp_path / "ca.pem"} if ca else {}
    url = server.url if ca else server.url.replace("nats://", "tls://")
    process = taker.start(url, token="s3cret", **options)
    assert wait_for_line(process, "down") == "down the server offers no TLS"


def test_the_secret_is_in_no_line(make_server, taker):
    server = make_server("authorization { token: s3cret }")
    process = taker.start(server, token="0ther-s3cret")
    wait_for_line(process, "down")
    process.close()
    assert "0ther-s3cret" not in taker.log.read_text() + "".join(process.lines)


DOCUMENT = ROOT / "docs/nats.md"


def permissions(kind):
    """What docs/nats.md says that a user needs, for stream WA and consumer waybill."""
    block = re.search(r"```text\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
    return re.findall(r"\S+", block.split(f"{kind}:")[1].split("subscribe:")[0])


@pytest.mark.parametrize("missing", [None, 0, 1, 2, 3, 4])
def test_permissions_are_those_of_the_document(make_server, taker, missing):
    may = permissions("publish")
    assert len(may) == 5 and permissions("subscribe") == ["_INBOX.>"]
    if missing is not None:
        lacking = may.pop(missing)
    server = make_server(
        "authorization { users: [ { user: admin, password: a }, { user: ana, password: s3cret, "
        f"permissions: {{ publish: {json.dumps(may)}, subscribe: _INBOX.> }} }} ] }}"
    )
    server.client(user="admin", **{"pass": "a"}).make_stream("WA", "wa.events.>")
    publish(server, 1, 20)
    login = {"user": "ana", "password": "s3cret"}
    if missing is None:
        taker.run(server, until=20, **login)
        wait_until(lambda: server.client().consumer("WA", "waybill")["num_ack_pending"] == 0)
        return
    taker.start(server, **login)
    wanted = f"Permissions Violation for Publish to \\\"{lacking.rstrip('>')}"
    wait_until(lambda: wanted in taker.log.read_text(), what=wanted)


def answer_of(line):
    return json.loads(line.split(" ", 2)[2])


def test_publishing_with_headers_is_acknowledged(server, taker):
    """What publishing to JetStream once, and in order, stands on."""
    server.client().make_stream("WA", "wa.events.>")
    put = "wa.events.a"
    first = answer_of(taker.ask(server, put, "1", headers="Nats-Msg-Id:a"))
    assert (first["stream"], first["seq"]) == ("WA", 1)
    again = answer_of(taker.ask(server, put, "1", headers="Nats-Msg-Id:a"))
    assert (again["seq"], again["duplicate"]) == (1, True)
    expected = "Nats-Expected-Last-Sequence:%d,Nats-Msg-Id:%s"
    second = answer_of(taker.ask(server, put, "2", headers=expected % (1, "b")))
    assert second["seq"] == 2
    wrong = answer_of(taker.ask(server, put, "3", headers=expected % (1, "c")))
    assert wrong["error"]["err_code"] == 10071  # wrong last sequence
    taker.run(server, until=2)
    assert taker.payloads() == ["1", "2"]


def test_a_subject_that_nobody_listens_to(server, taker):
    assert taker.ask(server, "nobody.here", "1").strip() == "answer 503"


def test_a_message_over_the_servers_limit(make_server, taker):
    server = make_server("max_payload: 1000")
    assert taker.ask(server, "a", "x" * 1001) == "answer over a limit"


def test_a_server_that_falls_silent_is_left(server, make_server, taker):
    other = make_server()
    for s in (server, other):
        s.client().make_stream("WA", "wa.events.>")
    process = taker.start(server, other)
    wait_for_line(process, f"up 127.0.0.1 {server.port}")
    server.freeze()
    try:
        wait_until(has_line(process, "down the server does not answer"), what="silence")
        wait_until(has_line(process, f"up 127.0.0.1 {other.port}"), what="the other server")
    finally:
        server.thaw()
