"""
"ordering":"fifo": one event after the other, in publishing order, whatever fails or crashes;
and what costs nothing to those who did not ask for it.
"""

import itertools
import random
import threading

import pytest

from harness import Hold, delay, hooks_path, reset, status, wait_until
from scheduling import Fence, publish_many, wait_circuit, wait_for_ids

NO_CIRCUIT = 1000  # failures: more than a test has


def without_repeats(ids):
    """Each run of the same id once: a repeat in its place breaks no order."""
    return [event_id for event_id, _ in itertools.groupby(ids)]


def ids_at(receiver, path):
    return [r.id for r in receiver.requests if r.path == path]


def unreliable(seed, refused):
    """Fails a part of the requests, in several ways."""
    chance, lock = random.Random(seed), threading.Lock()

    def act(link, request, closing):
        with lock:
            fails = chance.random() < refused
            how = chance.choice([500, 404, 503, None])
        answer = status(how if fails else 200) if how or not fails else reset()
        return answer(link, request, closing)

    return act


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(retry_schedule=",".join(["10ms"] * 32), circuit_failures=NO_CIRCUIT)


def register_fifo(gateway, receiver, sessions):
    for session in sessions:
        gateway.register(session, receiver.url("/" + session), ordering="fifo")


def publish_interleaved(gateway, sessions, rounds):
    """Publishes for each session in turn and returns the ids of each in order."""
    ids = {session: [] for session in sessions}
    for n in range(rounds):
        for session in sessions:
            ids[session].append(gateway.publish(session, data={"n": n})["id"])
    return ids


def check_order(receiver, ids):
    """Waits for everything and asserts the order of each session."""
    wait_for_ids(receiver, itertools.chain(*ids.values()), timeout=30)
    for session, expected in ids.items():
        assert without_repeats(ids_at(receiver, "/" + session)) == expected


def test_order_is_kept_over_failures_in_each_of_several_sessions(gateway, make_receiver):
    receiver = make_receiver(unreliable(seed=1, refused=0.3))
    sessions = ["s1", "s2", "s3"]
    register_fifo(gateway, receiver, sessions)
    check_order(receiver, publish_interleaved(gateway, sessions, 20))
    assert len(receiver.requests) > 60, "nothing failed"


def test_order_is_kept_within_batches_and_between_them(gateway, make_receiver):
    receiver = make_receiver(unreliable(seed=3, refused=0.2))
    sessions = ["s1", "s2"]
    register_fifo(gateway, receiver, sessions)
    ids = {session: [] for session in sessions}
    for batch in range(3):
        events = [
            {"session_id": sessions[n % 2], "event": "message", "data": {"n": n, "in": batch}}
            for n in range(20)
        ]
        answer = gateway.api("POST", "/events", json=events)
        assert answer.status_code == 202
        for event in answer.json()["events"]:
            ids[event["session_id"]].append(event["id"])
        for session in sessions:
            ids[session] += publish_many(gateway, session, 2)
    check_order(receiver, ids)
    arrived = [r.json()["data"] for r in receiver.requests if r.path == "/s1"]
    batched = [(data["in"], data["n"]) for data in arrived if "in" in data]
    assert batched == sorted(batched)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_order_is_kept_over_restarts(gateway, make_receiver, end):
    receiver = make_receiver(unreliable(seed=2, refused=0.3))
    sessions = ["s1", "s2", "s3"]
    register_fifo(gateway, receiver, sessions)
    ids = {session: [] for session in sessions}
    for _ in range(6):
        for session, more in publish_interleaved(gateway, sessions, 6).items():
            ids[session] += more
        getattr(gateway, end)()
        gateway.start()
    check_order(receiver, ids)


def test_kill_with_one_under_way_repeats_that_one_alone(gateway, make_receiver):
    hold = Hold()
    receiver = make_receiver(200, 200, hold, 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    ids = publish_many(gateway, "s1", 6)
    receiver.wait_for(3)
    gateway.kill()
    gateway.start()
    expected = ids[:3] + ids[2:]
    assert [r.id for r in receiver.wait_for(len(expected))] == expected


def test_one_at_a_time_whatever_max_in_flight_says(gateway, make_receiver):
    hold = Hold()
    receiver = make_receiver(hold, delay(0.01))
    webhook = gateway.register("s1", receiver.url(), ordering="fifo", max_in_flight=16)
    ids = publish_many(gateway, "s1", 12)
    receiver.wait_for(1)
    Fence(gateway, make_receiver()).cross()
    assert gateway.webhook("s1", webhook["id"])["in_flight"] == 1
    assert [r.id for r in receiver.requests] == ids[:1]
    hold.release()
    assert [r.id for r in receiver.wait_for(len(ids))] == ids


def test_one_that_is_given_up_lets_the_next_go(gateway, make_receiver):
    receiver = make_receiver(500, 500, 200)
    gateway.register("s1", receiver.url(), ordering="fifo", retry=["10ms"])
    ids = publish_many(gateway, "s1", 4)
    assert [r.id for r in receiver.wait_for(5)] == [ids[0], *ids]
    (entry,) = gateway.dlq("s1")
    assert (entry["attempts"], entry["payload"].encode()) == (2, receiver.requests[0].body)


def test_replay_of_it_comes_behind_what_was_delivered(gateway, make_receiver):
    receiver = make_receiver(500, 500, 200)
    gateway.register("s1", receiver.url(), ordering="fifo", retry=["10ms"])
    ids = publish_many(gateway, "s1", 2)
    receiver.wait_for(3)
    (entry,) = gateway.dlq("s1")
    assert gateway.replay("s1", entry["id"]).ok
    assert [r.id for r in receiver.wait_for(4)] == [ids[0], *ids, ids[0]]


def test_the_next_waits_for_the_retry_and_without_fifo_it_does_not(gateway, make_receiver):
    """The first one fails and is to wait for an hour."""
    ordered, free = make_receiver(500, 200), make_receiver(500, 200)
    webhook = gateway.register("s1", ordered.url(), ordering="fifo", retry=["1h"])
    gateway.register("s1", free.url(), max_in_flight=1, retry=["1h"])
    first = gateway.publish("s1")["id"]
    ordered.wait_for(1)
    free.wait_for(1)
    ids = publish_many(gateway, "s1", 5)
    wait_for_ids(free, ids)
    assert ids_at(free, "/hook").count(first) == 1
    Fence(gateway, make_receiver()).cross()
    assert ids_at(ordered, "/hook") == [first]

    gateway.call("s1", webhook["id"], "disable")
    gateway.call("s1", webhook["id"], "enable")
    assert [r.id for r in ordered.wait_for(7)] == [first, first, *ids]


def test_new_events_do_not_overtake_one_that_waits(gateway, make_receiver):
    receiver = make_receiver(500, 500, 200)
    gateway.register("s1", receiver.url(), ordering="fifo", retry=["300ms", "300ms"])
    ids = publish_many(gateway, "s1", 1)
    for count in (1, 2):
        receiver.wait_for(count)
        ids += publish_many(gateway, "s1", 5)
    expected = [ids[0], ids[0], *ids]
    assert [r.id for r in receiver.wait_for(len(expected))] == expected


def test_order_is_kept_through_an_open_circuit(make_gateway, make_receiver):
    gateway = make_gateway(
        retry_schedule=",".join(["10ms"] * 32), circuit_failures=3, circuit_open="100ms"
    )
    receiver = make_receiver(*[500] * 5, 200, 500, 500, 500, 200)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    ids = publish_many(gateway, "s1", 1)
    wait_circuit(gateway, webhook, "open")
    ids += publish_many(gateway, "s1", 9)
    wait_for_ids(receiver, ids)
    expected = [ids[0]] * 6 + [ids[1]] * 4 + ids[2:]
    assert [r.id for r in receiver.wait_for(len(expected))] == expected


def test_one_that_hangs_costs_the_other_sessions_nothing(gateway, make_receiver):
    hold = Hold()
    sessions = [f"s{n}" for n in range(8)]

    def act(link, request, closing):
        chosen = hold if request.path == "/s0" else status(200)
        return chosen(link, request, closing)

    receiver = make_receiver(act)
    for session in sessions:
        gateway.register(
            session, receiver.url("/" + session), ordering="fifo", timeout_ms=30000
        )
    ids = publish_interleaved(gateway, sessions, 5)
    free = {session: ids[session] for session in sessions[1:]}
    check_order(receiver, free)
    assert ids_at(receiver, "/s0") == ids["s0"][:1]
    hold.release()
    check_order(receiver, ids)


def test_fifo_may_be_asked_for_later(gateway, make_receiver):
    """Under way stays what is; from then on one at a time."""
    hold = Hold()
    receiver = make_receiver(200, hold)
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1")
    receiver.wait_for(1)
    wait_until(lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0, what="its end")
    ids = publish_many(gateway, "s1", 2)
    receiver.wait_for(3)
    path = hooks_path("s1", webhook["id"])
    assert gateway.api("PATCH", path, json={"ordering": "fifo"}).ok
    ids += publish_many(gateway, "s1", 10)
    Fence(gateway, make_receiver()).cross()
    assert len(receiver.requests) == 3
    receiver.answer(delay(0.01))
    hold.release()
    wait_for_ids(receiver, ids)
    assert [r.id for r in receiver.requests[3:]] == ids[2:]
