"""Replays of a webhook: many deliveries sent again, in the background and exactly once."""

import datetime
import random

import pytest

from harness import expect_error, hooks_path, wait_until
from scheduling import age
from test_delivery_actions import delivery_of, wait_over
from test_fsck import expect_sound

COUNT = 3000  # deliveries of the large replay
BATCH = 1000  # events of a request
QUEUE = 300  # that may wait: the replay goes on only as they are delivered
SEED = 5


def publish_many(gateway, count, session="s1", event="message"):
    """Publishes in batches; returns the ids."""
    ids = []
    for first in range(0, count, BATCH):
        events = [
            {"session_id": session, "event": event, "data": n}
            for n in range(first, min(first + BATCH, count))
        ]
        answer = gateway.api("POST", "/events", json=events)
        assert answer.status_code == 202, answer.text
        ids += [e["id"] for e in answer.json()["events"]]
    return ids


def start(gateway, webhook, session="s1", **body):
    return gateway.api(
        "POST", hooks_path(session, webhook["id"], "replay"), json={"since": 0, **body}
    )


def show(gateway, webhook, session="s1"):
    answer = gateway.api("GET", hooks_path(session, webhook["id"], "replay"))
    assert answer.status_code == 200, answer.text
    return answer.json()["replay"]


def wait_done(gateway, webhook, timeout=60):
    wait_until(
        lambda: show(gateway, webhook)["state"] != "running", timeout, "the end of the replay"
    )
    return show(gateway, webhook)


def replayed(gateway, webhook, **body):
    """A replay, waited for: how many it scheduled."""
    answer = start(gateway, webhook, **body)
    assert answer.status_code == 202, answer.text
    done = wait_done(gateway, webhook)
    assert done["state"] == "done"
    return done["scheduled"]


def test_thousands_killed_in_the_middle_and_resumed(make_gateway, make_receiver):
    """
    Each delivery has an attempt 1, as it was published, and an attempt 2, as it was replayed;
    a crash may make one again, under its own number. One that was scheduled twice would have an
    attempt 3, one that was lost no attempt 2.
    """
    rnd = random.Random(SEED)
    gateway = make_gateway(max_queue_per_session=COUNT)
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url(), max_in_flight=64)
    bystander = gateway.register("s2", receiver.url("/other"))
    publish_many(gateway, 50, "s2")
    ids = publish_many(gateway, COUNT)
    receiver.wait_for(COUNT + 50, 90)
    wait_over(gateway, webhook)
    wait_over(gateway, bystander, "s2")
    gateway.stop()
    gateway.reconfigure(max_queue_per_session=QUEUE)
    gateway.start()
    gateway.call("s1", webhook["id"], "disable")
    answer = start(gateway, webhook, status="delivered")
    assert answer.status_code == 202, answer.text
    wait_until(lambda: show(gateway, webhook)["scheduled"] == QUEUE, what="a full queue")
    gateway.kill()
    gateway.start()
    assert show(gateway, webhook)["scheduled"] == QUEUE
    expect_error(start(gateway, webhook), 409)
    gateway.call("s1", webhook["id"], "enable")
    for part in range(1, 6):
        least = QUEUE + part * (COUNT - 2 * QUEUE) // 6 + rnd.randrange(50)
        wait_until(lambda: show(gateway, webhook)["scheduled"] >= least, 60, f"{least}")
        assert show(gateway, webhook)["state"] == "running"
        gateway.kill()
        expect_sound(gateway.directory / "data")
        gateway.start()
    done = wait_done(gateway, webhook)
    assert (done["state"], done["scheduled"], done["looked_at"]) == ("done", COUNT, COUNT)
    expected = {(i, n) for i in ids for n in (1, 2)}
    wait_until(
        lambda: {(r.id, r.attempt) for r in list(receiver.requests) if r.path == "/hook"}
        == expected,
        60,
        "every delivery again",
    )
    others = [r for r in receiver.requests if r.path == "/other"]
    assert {r.attempt for r in others} == {1}
    wait_over(gateway, webhook)
    gateway.stop()
    expect_sound(gateway.directory / "data")


@pytest.fixture
def gateway(make_gateway):
    gateway = make_gateway(retry_schedule="1h")
    yield gateway
    if gateway.running:
        gateway.stop()
    expect_sound(gateway.directory / "data")


@pytest.fixture
def mixed(gateway, make_receiver):
    """
    A webhook with a delivery of each kind: delivered, dead, cancelled, and one that waits. Its
    receiver answers 200 from then on.
    """
    receiver = make_receiver(200, 500, 500, 500, 500)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo", retry=["1ms"])
    gateway.publish("s1", data="delivered")
    receiver.wait_for(1)
    gateway.publish("s1", data="dead")
    wait_until(lambda: len(gateway.dlq("s1")) == 1)
    answer = gateway.api(
        "PATCH", hooks_path("s1", webhook["id"]), json={"retry": ["1h"]}
    )
    assert answer.ok, answer.text
    gateway.publish("s1", data="cancelled")
    delivery = delivery_of(receiver.wait_for(4)[3])
    wait_over(gateway, webhook)
    assert gateway.api("POST", f"/sessions/s1/deliveries/{delivery}/cancel").ok
    gateway.publish("s1", data="pending")
    receiver.wait_for(5)
    wait_over(gateway, webhook)
    gateway.call("s1", webhook["id"], "disable")
    receiver.answer(200)
    return webhook, receiver


@pytest.mark.parametrize(
    "status, names",
    [
        (None, ["dead", "cancelled"]),
        ("failed", ["dead", "cancelled"]),
        ("delivered", ["delivered"]),
        ("dead", ["dead"]),
        ("cancelled", ["cancelled"]),
        ("expired", []),
        ("all", ["delivered", "dead", "cancelled"]),
    ],
)
def test_statuses(gateway, mixed, status, names):
    """What is replayed keeps its order, behind what waits; the one that waits stays one."""
    webhook, receiver = mixed
    body = {} if status is None else {"status": status}
    assert replayed(gateway, webhook, **body) == len(names)
    done = show(gateway, webhook)
    assert (done["status"], done["looked_at"]) == (status or "failed", 4)
    assert len(gateway.dlq("s1")) == (0 if "dead" in names else 1)
    gateway.call("s1", webhook["id"], "enable")
    gateway.publish("s1", data="last")
    requests = receiver.wait_for(5 + len(names) + 2)
    assert [r.json()["data"] for r in requests[5:]] == ["pending", *names, "last"]


def test_only_events_of_the_time(gateway, make_receiver):
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    ids = []
    for n in range(3):  # with a millisecond between any two
        ids.append(gateway.publish("s1", data=n)["id"])
        receiver.wait_for(n + 1)
        age(0.003)
    wait_over(gateway, webhook)
    times = [int(i.replace("-", "")[:12], 16) for i in ids]
    assert times[0] + 1 < times[1] and times[1] + 1 < times[2]

    def stamp(ms):
        at = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
        return at.strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03}Z"

    def count(since, until):
        sent = len(receiver.requests)
        n = replayed(
            gateway, webhook, status="delivered", since=stamp(since), until=stamp(until)
        )
        receiver.wait_for(sent + n)
        wait_over(gateway, webhook)
        return n

    assert count(times[1], times[2]) == 1
    assert receiver.requests[-1].id == ids[1]
    assert count(times[0], times[0] + 1) == 1
    assert count(times[0] + 1, times[1]) == 0
    assert count(times[0], times[2] + 1) == 3
    assert [r.id for r in receiver.requests[-3:]] == ids


def test_shows_what_was_asked_and_what_came_of_it(gateway, make_receiver):
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1")
    receiver.wait_for(1)
    wait_over(gateway, webhook)
    expect_error(gateway.api("GET", hooks_path("s1", webhook["id"], "replay")), 404)
    answer = start(gateway, webhook, status="all", since=1000, until="2999-01-01T00:00:00+01:00")
    assert answer.status_code == 202
    first = answer.json()["replay"]
    assert first["webhook_id"] == webhook["id"]
    assert (first["state"], first["scheduled"], first["looked_at"]) == ("running", 0, 0)
    assert first["since"] == "1970-01-01T00:16:40.000Z"
    assert first["until"] == "2998-12-31T23:00:00.000Z"
    assert first["finished_at"] is None
    done = wait_done(gateway, webhook)
    assert (done["state"], done["scheduled"], done["looked_at"]) == ("done", 1, 1)
    assert done["started_at"] == first["started_at"] <= done["finished_at"]
    receiver.wait_for(2)
    gateway.kill()
    gateway.start()
    assert show(gateway, webhook) == done


def test_cancel_stops_it(make_gateway, make_receiver):
    gateway = make_gateway(max_queue_per_session=40)
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url())
    for _ in range(3):
        sent = len(receiver.requests)
        publish_many(gateway, 30)
        receiver.wait_for(sent + 30)
        wait_over(gateway, webhook)
    gateway.call("s1", webhook["id"], "disable")
    assert start(gateway, webhook, status="delivered").status_code == 202
    wait_until(lambda: show(gateway, webhook)["scheduled"] == 40)
    answer = gateway.api("DELETE", hooks_path("s1", webhook["id"], "replay"))
    assert (answer.status_code, answer.json()["replay"]["state"]) == (200, "cancelled")
    gateway.call("s1", webhook["id"], "enable")
    receiver.wait_for(130)
    wait_over(gateway, webhook)
    assert show(gateway, webhook)["scheduled"] == 40
    assert replayed(gateway, webhook, status="delivered") == 90  # another may begin
    receiver.wait_for(220)


@pytest.mark.parametrize("restarted", [False, True])
def test_deleting_the_webhook_ends_it(make_gateway, make_receiver, restarted):
    gateway = make_gateway(max_queue_per_session=5)
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url())
    for n in range(10):
        gateway.publish("s1")
        receiver.wait_for(n + 1)
        wait_over(gateway, webhook)
    gateway.call("s1", webhook["id"], "disable")
    assert start(gateway, webhook, status="all").status_code == 202
    wait_until(lambda: show(gateway, webhook)["scheduled"] == 5)
    assert gateway.api("DELETE", hooks_path("s1", webhook["id"])).ok
    if restarted:
        gateway.kill()
        gateway.start()
    expect_error(gateway.api("GET", hooks_path("s1", webhook["id"], "replay")), 404)
    other = gateway.register("s1", receiver.url("/other"))
    event = gateway.publish("s1")
    assert receiver.wait_for(11)[10].id == event["id"]
    wait_over(gateway, other)
    gateway.stop()
    expect_sound(gateway.directory / "data")


def test_what_dies_again_is_not_taken_twice(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1ms", circuit_failures=1000)
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url(), max_in_flight=64)
    publish_many(gateway, 100)
    wait_until(lambda: len(gateway.dlq("s1")) == 100, 30)
    assert replayed(gateway, webhook) == 100
    wait_until(lambda: len(gateway.dlq("s1")) == 100, 30)
    assert {entry["attempts"] for entry in gateway.dlq("s1")} == {4}


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": -1}, "since"),
        ({"since": 1.5}, "since"),
        ({"since": None}, "since"),
        ({"since": "2026-02-30T00:00:00Z"}, "since"),
        ({"since": "2026-02-03T00:00:00"}, "since"),
        ({"since": 10, "until": 10}, "until"),
        ({"since": 10, "until": []}, "until"),
        ({"since": 10, "status": "pending"}, "status"),
        ({"since": 10, "status": 3}, "status"),
        ({"since": 10, "state": "all"}, None),
    ],
)
def test_bad_requests_name_the_field(gateway, make_receiver, body, field):
    webhook = gateway.register("s1", make_receiver().url())
    path = hooks_path("s1", webhook["id"], "replay")
    expect_error(gateway.api("POST", path, json=body), 400, field)
    expect_error(gateway.api("GET", path), 404)


def test_what_is_not_there_is_404(gateway, make_receiver):
    webhook = gateway.register("s1", make_receiver().url())
    unknown = {"id": "b807d7e0-f783-4252-9d6d-76f50e2e8348"}
    expect_error(start(gateway, unknown), 404)
    expect_error(start(gateway, webhook, "s2"), 404)
    expect_error(gateway.api("DELETE", hooks_path("s1", webhook["id"], "replay")), 404)
