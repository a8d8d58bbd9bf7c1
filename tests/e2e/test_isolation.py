"""
The acceptance of isolation, as far as a shared machine allows it to be measured: a hundred
webhooks under a steady load, a quarter of them in trouble. bench/ has the figures; here the
healthy ones must get everything while the others still hang, and not late by the bad ones'
measure.
"""

import contextlib
import random
import re
import socket
import statistics
import threading
import time

import pytest
import requests

from harness import Hold, delay, hooks_path, status, wait_until
from scheduling import Fence, wait_for_ids

WEBHOOKS, HANGING, SLOW, REFUSING = 100, 10, 10, 5
HEALTHY = WEBHOOKS - HANGING - SLOW - REFUSING
SLOW_S = 4
SLOTS = 40  # fewer than what the bad ones would take if they were let
LOAD_S = 5
PER_SECOND = 100  # events, each to one webhook
HEALTHY_P99_S = 2  # of the order of milliseconds where nothing holds them up


class Load(threading.Thread):
    """Publishes to the sessions in turn, at a steady rate; when each event went out, by id."""

    def __init__(self, gateway, sessions):
        super().__init__(daemon=True)
        self._gateway, self._sessions = gateway, sessions
        self.published = {}  # event id -> (session, time.monotonic())
        self.refused = []
        self._pause = threading.Event()

    def run(self):
        begin = time.monotonic()
        with requests.Session() as connection:
            connection.trust_env = False
            connection.headers["Authorization"] = "Bearer " + self._gateway.token
            for n in range(LOAD_S * PER_SECOND):
                self._pause.wait(max(0, begin + n / PER_SECOND - time.monotonic()))
                self._publish(connection, self._sessions[n % len(self._sessions)])

    def _publish(self, connection, session):
        at = time.monotonic()
        answer = connection.post(
            f"{self._gateway.url}/api/v1/sessions/{session}/events",
            json={"event": "message"}, timeout=20,
        )
        if answer.status_code == 202:
            self.published[answer.json()["id"]] = (session, at)
        else:
            self.refused.append(answer.text)

    def finish(self):
        self.join()
        assert self.refused == []
        return self.published


def roles():
    """session -> what its webhook's receiver does, mixed."""
    kinds = ["hang"] * HANGING + ["slow"] * SLOW + ["refuse"] * REFUSING + ["ok"] * HEALTHY
    random.Random(1).shuffle(kinds)
    return {f"s{n}": kind for n, kind in enumerate(kinds)}


def latencies(receiver, published):
    """Seconds from the beginning of each publish to the receipt."""
    times = [r.at - published[r.id][1] for r in receiver.requests if r.id in published]
    return sorted(times)


def show(name, times):
    p99 = times[len(times) * 99 // 100]
    print(
        f"{name}: {len(times)} received, median {statistics.median(times) * 1000:.1f} ms, "
        f"p99 {p99 * 1000:.1f} ms, longest {times[-1] * 1000:.1f} ms"
    )
    return p99


@contextlib.contextmanager
def closed_port():
    """A port that refuses connections and is nobody else's meanwhile."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        yield unheard.getsockname()[1]


def measure(gateway, receiver, sessions, kinds):
    """Runs the load and returns what was published, once the healthy ones have got theirs."""
    load = Load(gateway, sessions)
    load.start()
    published = load.finish()
    wanted = {i for i, (session, _) in published.items() if kinds[session] == "ok"}
    wait_until(lambda: wanted <= receiver.ids, timeout=30, what="all events of healthy ones")
    return published


@pytest.mark.timeout(120)
def test_healthy_webhooks_do_not_notice_the_others(make_gateway, make_receiver):
    hold, kinds = Hold(), roles()
    gateway = make_gateway(max_in_flight=SLOTS, drain_timeout_ms=100, circuit_failures=25)
    receivers = {
        "ok": make_receiver(),
        "hang": make_receiver(hold),
        "slow": make_receiver(delay(SLOW_S)),
    }
    with closed_port() as port:
        urls = {kind: receiver.url() for kind, receiver in receivers.items()}
        urls["refuse"] = f"http://127.0.0.1:{port}/hook"
        for session, kind in kinds.items():
            gateway.register(session, f"{urls[kind]}/{session}", timeout_ms=30000)
        published = measure(gateway, receivers["ok"], list(kinds), kinds)

    hanging = [s for s, kind in kinds.items() if kind == "hang"]
    assert {r.path for r in receivers["hang"].requests} == {"/hook/" + s for s in hanging}
    for session in hanging:  # not one of them has come to an end
        (webhook,) = gateway.api("GET", hooks_path(session)).json()["webhooks"]
        assert webhook["in_flight"] >= 1
        assert webhook["circuit"]["consecutive_failures"] == 0

    p99 = show("healthy", latencies(receivers["ok"], published))
    show("slow", latencies(receivers["slow"], published))
    assert p99 < HEALTHY_P99_S
    assert gateway.request("GET", "/livez").status_code == 200
    hold.release()


@pytest.mark.timeout(120)
def test_slow_ones_get_their_share_too(make_gateway, make_receiver):
    """All of it is delivered in the end, although hanging ones come and go meanwhile."""
    hang, slow = make_receiver(Hold()), make_receiver(delay(0.2))
    gateway = make_gateway(
        max_in_flight=8, circuit_failures=5, circuit_open="1s", drain_timeout_ms=100
    )
    for n in range(6):
        gateway.register(f"h{n}", hang.url(f"/{n}"), timeout_ms=300, retry=["100ms"] * 32)
        gateway.register(f"s{n}", slow.url(f"/{n}"))
    ids = set()
    for _ in range(5):
        for n in range(6):
            gateway.publish(f"h{n}")
            ids.add(gateway.publish(f"s{n}")["id"])
    wait_until(lambda: ids <= slow.ids, timeout=60, what="all events of the slow ones")
    assert {r.path for r in hang.requests} == {f"/{n}" for n in range(6)}


def test_one_host_gets_no_more_than_its_bound(make_gateway, make_receiver):
    """Whoever's they are; and who sends elsewhere does not notice."""
    hold = Hold()
    gateway, receiver = make_gateway(max_per_host=2), make_receiver(hold)
    webhooks = {f"s{n}": receiver.url(f"/{n}") for n in range(6)}
    for session, url in webhooks.items():
        gateway.register(session, url, timeout_ms=30000)
    ids = {gateway.publish(session)["id"] for session in webhooks for _ in range(3)}
    receiver.wait_for(2)
    Fence(gateway, make_receiver()).cross()
    assert len(receiver.requests) == receiver.connections == 2
    hold.release()
    wait_for_ids(receiver, ids)


# Shares of the slots, while attempts hang

SHARE = re.compile(r'^waybill_share_(\w+)\{resource="slots"\} (\d+)$', re.MULTILINE)


def slots(gateway):
    text = gateway.request("GET", "/metrics", token="").text
    return {name: int(n) for name, n in SHARE.findall(text)}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sessions", [1, 2])
def test_thousand_webhooks_that_hang_leave_slots(make_gateway, make_receiver, sessions):
    """They have their share and wait; the log and a metric name who does."""
    hold = Hold()
    hanging, healthy = make_receiver(hold), make_receiver()
    gateway = make_gateway(max_in_flight=128, max_per_host=128, drain_timeout_ms=100)
    with requests.Session() as connection:
        connection.trust_env = False
        connection.headers["Authorization"] = "Bearer " + gateway.token
        for n in range(1000):
            answer = connection.post(
                f"{gateway.url}/api/v1/sessions/hog{n % sessions}/webhooks",
                json={"url": hanging.url(f"/{n}"), "events": ["all"], "timeout_ms": 30000},
            )
            assert answer.status_code == 200, answer.text
    batch = [{"session_id": f"hog{n}", "event": "message"} for n in range(sessions)]
    assert gateway.api("POST", "/events", json=batch).status_code == 202
    wait_until(lambda: slots(gateway)["refused_total"] > 0, what="a session with its share")
    wait_until(lambda: "resource=slots taker=hog" in gateway.log_text(), what="the line")
    held = wait_until(lambda: (s := slots(gateway))["held"] >= 128 // 2 and s, what="the hogs")
    assert held["held"] < held["capacity"] == 128
    gateway.register("s1", healthy.url())
    for _ in range(20):
        event = gateway.publish("s1")
        wait_until(lambda e=event: e["id"] in healthy.ids, HEALTHY_P99_S, "a healthy delivery")
    assert slots(gateway)["held"] >= 128 // 2  # all the while
    hold.release()


@pytest.mark.timeout(120)
def test_hog_of_a_host_leaves_places_there(make_gateway, make_receiver):
    """Thirty webhooks whose answers take 4 s, at the host and port of a healthy one."""

    def act(link, request, closing):
        slow = request.header("X-Webhook-Session") == "hog"
        return (delay(SLOW_S) if slow else status(200))(link, request, closing)

    receiver = make_receiver(act)
    gateway = make_gateway(max_per_host=16, drain_timeout_ms=100)
    for n in range(30):
        gateway.register("hog", receiver.url(f"/{n}"), timeout_ms=30000)
    gateway.register("s1", receiver.url("/healthy"))
    for _ in range(4):
        gateway.publish("hog")
    receiver.wait_for(8)
    published = {}
    for _ in range(40):
        at = time.monotonic()
        published[gateway.publish("s1")["id"]] = ("s1", at)
    wait_until(lambda: published.keys() <= receiver.ids, what="all events of the healthy one")
    assert latencies(receiver, published)[-1] < HEALTHY_P99_S
    hogs = [r for r in receiver.requests if r.header("X-Webhook-Session") == "hog"]
    assert len(hogs) < 120  # they still wait
