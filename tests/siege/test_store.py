"""
The store's room: a session that takes more and more of it, by events that wait, dead letters,
idempotency keys or history, comes to its share and gets 429.
"""

import contextlib
import json
import re
import socket
import time

import pytest

from harness import Hold, expect_error, hooks_path, wait_until, waybill
from siege import IS_FULL, full

GO_ON_S = 2  # how long the attack goes on where it is refused
MIB = 1 << 20
FULL = pytest.mark.skipif(not IS_FULL, reason="only in the full siege")


def metric(gateway, name):
    text = gateway.request("GET", "/metrics", token="").text
    return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M).group(1))


def share(gateway, what):
    return metric(gateway, f'waybill_share_{what}{{resource="store"}}')


def usage(gateway, session):
    """What GET /sessions says of one."""
    sessions = gateway.api("GET", "/sessions").json()["sessions"]
    return next(s for s in sessions if s["id"] == session)


def expect_refusal(answer, session):
    """A 429 that its publisher can act on: it names the resource and what is held."""
    expect_error(
        answer, 429,
        mentions=[f"session {session} ", "share of the store", "dead letters",
                  "idempotency keys", "kept for the dead letters", "nothing of this was stored"],
    )
    assert int(answer.headers["Retry-After"]) > 0


def attack(gateway, step, session="big", timeout=500):
    """
    Takes steps until one is refused, and then for a while longer. Returns how many requests
    were taken.
    """
    taken = 0
    refused_at = None
    deadline = time.monotonic() + timeout
    while refused_at is None or time.monotonic() - refused_at < GO_ON_S:
        assert time.monotonic() < deadline, "nobody was refused"
        answer = step(taken)
        if answer.status_code == 202:
            taken += 1
            continue
        expect_refusal(answer, session)
        refused_at = refused_at or time.monotonic()
    assert share(gateway, "refused_total") > 0
    assert share(gateway, "held") <= share(gateway, "capacity")
    assert metric(gateway, "waybill_store_has_room") == 1
    wait_until(
        lambda: re.search(rf'share is used up".* resource=store taker={session}\b',
                          gateway.log_text()),
        what="a line of the log",
    )
    return taken


def post(gateway, envelope, session="big"):
    return gateway.api("POST", f"/sessions/{session}/events", json=envelope)


def message(size):
    return {"event": "message", "data": "x" * size}


@contextlib.contextmanager
def besieged(besiege, gateway):
    """A siege at whose end the store is whole."""
    with besiege(gateway) as siege:
        yield siege
    gateway.stop()
    done = waybill("fsck", gateway.directory / "data")
    assert done.returncode == 0, done.stdout + done.stderr


STORES = [("128MiB", 128 * MIB), full("256MiB", 256 * MIB)]


@pytest.mark.parametrize("store, store_bytes", STORES)
@pytest.mark.parametrize("size", [1_000_000, full(100_000)])
def test_events_that_wait(make_gateway, besiege, make_receiver, store, store_bytes, size):
    """As many as a receiver that hangs is sent; at the end they go out, and there is room."""
    gate = Hold()
    receiver = make_receiver(gate)
    gateway = make_gateway(store_max_bytes=store, retention="0s")
    webhook = gateway.register("big", receiver.url(), timeout_ms=30000)
    with besieged(besiege, gateway):
        taken = attack(gateway, lambda n: post(gateway, message(size)))
        assert taken * size > 0.7 * store_bytes  # alone it had nearly all
        held = usage(gateway, "big")
        assert held["waiting"] == taken and held["dead_letters"] == 0
        assert taken * size < held["open_bytes"] < 1.1 * taken * size
        assert gateway.api("DELETE", hooks_path("big", webhook["id"])).ok
        wait_until(lambda: usage(gateway, "big")["open_bytes"] == 0, 30, "an empty queue")
        assert post(gateway, message(size)).status_code == 202
        gate.release()


@pytest.mark.parametrize("answer", ["hangs", pytest.param("is dead", marks=FULL)])
@pytest.mark.parametrize("store, store_bytes", [("64MiB", 64 * MIB), full("256MiB", 256 * MIB)])
def test_webhook_for_all_that_is_down(
    make_gateway, besiege, make_receiver, store, store_bytes, answer
):
    """
    What waits for it, or died of it, is its own share's: sessions publish far more than the
    store holds. What there is no room for is cancelled, counted, and can be had again.
    """
    size = 100_000
    gate = Hold()
    down, receiver = make_receiver(gate if answer == "hangs" else 500), make_receiver()
    gateway = make_gateway(
        store_max_bytes=store, retry_schedule="1ms", circuit_failures=1000000
    )
    attacked = {"not": {"path": "/session_id", "equals": "healthy"}}
    for_all = gateway.api(
        "POST", "/webhooks", json={"url": down.url(), "timeout_ms": 30000, "filter": attacked}
    )
    assert for_all.status_code == 200, for_all.text
    gateway.register("big", receiver.url(), max_in_flight=64)
    with besieged(besiege, gateway) as siege:
        sent = 0
        while sent * size < 2 * store_bytes:
            taken = post(gateway, message(size), "big" if sent % 2 else "other")
            assert taken.status_code == 202, taken.text  # nobody but * is refused
            assert taken.json()["deliveries"] == 1 + sent % 2
            sent += 1
        siege.hold()
        given_up = metric(gateway, "waybill_deliveries_given_up_total")
        assert sent / 2 < given_up < sent  # at first there was room
        assert metric(gateway, 'waybill_deliveries_total{outcome="cancelled"}') == given_up
        assert share(gateway, "held") <= share(gateway, "capacity")
        assert metric(gateway, "waybill_store_has_room") == 1
        assert re.search(r'share is used up".* resource=store taker=\*', gateway.log_text())
        wait_until(lambda: usage(gateway, "big")["waiting"] == 0, 60, "its own deliveries")
        assert usage(gateway, "big")["open_bytes"] == 0
        outcomes = gateway.api("GET", "/stats").json()["deliveries"]
        kept = outcomes["waiting"] + outcomes["dead"]
        assert 0.35 * store_bytes < kept * size < 0.5 * store_bytes
        last = taken.json()["id"]
        session = "big" if sent % 2 == 0 else "other"
        shown = gateway.api("GET", f"/sessions/{session}/events/{last}").json()["deliveries"]
        assert shown[-1]["status"] == "cancelled" and shown[-1]["attempts"] == []
        again = gateway.api("POST", f"/sessions/{session}/deliveries/{shown[-1]['id']}/retry")
        expect_error(again, 429, mentions=["webhooks for all sessions have their share"])
        down.answer(200)
        gate.release()
        replay = f"/webhooks/{for_all.json()['id']}/replay"
        replayed = gateway.api("POST", replay, json={"status": "failed", "since": 1})
        assert replayed.status_code == 202, replayed.text
        wait_until(lambda: last in down.ids, 120, "what had been given up")


@pytest.mark.parametrize("store, store_bytes", STORES)
def test_large_dead_letters(make_gateway, besiege, make_receiver, store, store_bytes):
    """They stay for days: for as long others have the rest."""
    receiver = make_receiver(500)
    gateway = make_gateway(
        store_max_bytes=store, retry_schedule="1ms", circuit_failures=1000000
    )
    gateway.register("big", receiver.url(), max_in_flight=64)
    with besieged(besiege, gateway):
        taken = attack(gateway, lambda n: post(gateway, message(1_000_000)))
        wait_until(lambda: usage(gateway, "big")["waiting"] == 0, 120, "only dead letters")
        held = usage(gateway, "big")
        assert held["dead_letters"] == taken > 0.7 * store_bytes / 1_000_000
        expect_refusal(post(gateway, message(1_000_000)), "big")
        assert gateway.api("POST", hooks_path("big", "dlq/replay")).ok  # holds no more by it
        wait_until(lambda: len(receiver.requests) >= 4 * taken, 60, "all of them again")
        wait_until(lambda: usage(gateway, "big")["waiting"] == 0, 60, "only dead letters")
        assert gateway.api("DELETE", hooks_path("big", "dlq")).ok
        wait_until(lambda: usage(gateway, "big")["dead_letters"] == 0, 60, "none")
        assert post(gateway, message(1_000_000)).status_code == 202


@pytest.mark.parametrize("store, store_bytes", [("16MiB", 16 * MIB), full("64MiB", 64 * MIB)])
def test_small_dead_letters_of_a_long_url(make_gateway, besiege, store, store_bytes):
    """Once dead they are larger than what had waited, and nobody asks then whether they may."""
    gateway = make_gateway(
        store_max_bytes=store, retry_schedule="1ms", circuit_failures=1000000
    )
    batch = json.dumps([{"session_id": "big", **message(100)}] * 10).encode()
    hooks = 40  # each of them has one attempt in flight, as all fail
    with besieged(besiege, gateway):
        with socket.create_server(("127.0.0.1", 0)) as hangs:
            url = f"http://127.0.0.1:{hangs.getsockname()[1]}/" + "long" * 500
            for n in range(hooks):
                gateway.register("big", f"{url}{n}", timeout_ms=30000)
            taken = attack(gateway, lambda n: gateway.api("POST", "/events", body=batch))
            assert usage(gateway, "big")["waiting"] == 10 * hooks * taken
        wait_until(lambda: usage(gateway, "big")["waiting"] == 0, 120, "only dead letters")
        assert usage(gateway, "big")["dead_letters"] == 10 * hooks * taken > 5000
        assert share(gateway, "held") <= share(gateway, "capacity")
        assert metric(gateway, "waybill_store_used_bytes") < 0.9 * store_bytes


def with_ids(prefix, count):
    """A batch of as many events, each with an id of its own."""
    return json.dumps(
        [{"session_id": "big", "event": "message", "id": f"{prefix}-{i}"} for i in range(count)]
    ).encode()


# Answers to batches in which no event is like the one before it.
UNLIKE = json.dumps(
    [
        {"session_id": "big", "event": "message", **({"timestamp": i} if i % 2 else {})}
        for i in range(8000)
    ]
).encode()


@pytest.mark.parametrize("store", ["16MiB", full("32MiB"), full("128MiB")])
@pytest.mark.parametrize("form", ["ids", "keys"])
def test_keys_of_events_that_nobody_wants(make_gateway, besiege, store, form):
    gateway = make_gateway(store_max_bytes=store)

    def publish_ids(n):
        return gateway.api("POST", "/events", body=with_ids(n, 300))

    def publish_keys(n):
        headers = {"Idempotency-Key": f"key-{n}"}
        return gateway.api("POST", "/events", body=UNLIKE, headers=headers)

    with besieged(besiege, gateway):
        step = publish_ids if form == "ids" else publish_keys
        first = step(0)
        assert first.status_code == 202
        taken = attack(gateway, lambda n: step(n + 1))
        held = usage(gateway, "big")
        assert held["key_bytes"] > 0 and held["open_bytes"] == held["history_bytes"] == 0
        assert held["key_bytes"] / (taken + 1) < (300 * 200 if form == "ids" else 8000 * 15)
        again = step(0)  # who is refused more has what he has
        assert again.status_code == 202 and again.content == first.content
        assert again.headers["Idempotent-Replayed"] == "true"
        assert post(gateway, message(10)).status_code == 202  # it counts for nothing


def test_more_keys_at_once_than_there_is_room_to_write(make_gateway, besiege):
    """Each falls into a page of its own, which is copied: they fail alone, and early."""
    gateway = make_gateway(store_max_bytes="16MiB")
    statuses = []
    with besieged(besiege, gateway):
        for n in range(60):
            answer = gateway.api("POST", "/events", body=with_ids(n, 2000))
            statuses.append(answer.status_code)
        assert set(statuses) == {202, 507}
        assert metric(gateway, "waybill_commit_failures_total") == 0
        assert metric(gateway, "waybill_ready") == 1
        answer = gateway.api("POST", "/events", body=with_ids("few", 100))
        assert answer.status_code == 202


@pytest.mark.parametrize("store, store_bytes", [("32MiB", 32 * MIB), full("128MiB", 128 * MIB)])
@pytest.mark.parametrize("size", [300_000, 2_000])
def test_history_is_nobodys_refusal(make_gateway, besiege, make_receiver, store, store_bytes, size):
    """What is over goes early, of who has most; the other keeps its own, however old."""
    receiver = make_receiver()
    gateway = make_gateway(store_max_bytes=store, retention="1d", retention_bytes="16GiB")
    gateway.register("big", receiver.url(), max_in_flight=64)
    count = max(1, 300_000 // size)
    batch = json.dumps([{"session_id": "big", **message(size)}] * count).encode()
    sent = 0
    with besieged(besiege, gateway) as siege:
        while sent < 3 * store_bytes:
            assert gateway.api("POST", "/events", body=batch).status_code == 202
            sent += count * size
            wait_until(lambda: usage(gateway, "big")["waiting"] < 2 * count, 30, "deliveries")
        kept = set(siege.pair.published)
        assert share(gateway, "refused_total") == 0
        wait_until(lambda: metric(gateway, "waybill_store_used_bytes") <= 0.9 * store_bytes,
                   what="the sweep, which a busy machine delays")
        assert usage(gateway, "big")["history_bytes"] > 0.3 * store_bytes
        for event in kept:
            assert gateway.api("GET", f"/sessions/healthy/events/{event}").status_code == 200


def test_retention_bytes_is_no_common_pot(make_gateway, make_receiver):
    receiver, other = make_receiver(), make_receiver()
    gateway = make_gateway(retention="1d", retention_bytes="1MiB")
    gateway.register("big", receiver.url(), max_in_flight=64)
    gateway.register("little", other.url())
    kept = [gateway.publish("little", data="x" * 1000)["id"] for _ in range(20)]
    other.wait_for(20)
    batch = json.dumps([{"session_id": "big", **message(5000)}] * 500).encode()
    for _ in range(3):
        assert gateway.api("POST", "/events", body=batch).status_code == 202
    receiver.wait_for(1500, timeout=60)
    wait_until(
        lambda: usage(gateway, "big")["history_bytes"] < MIB
        and usage(gateway, "big")["waiting"] == 0,
        60, "the sweep",
    )
    assert usage(gateway, "big")["history_bytes"] > 0.7 * MIB
    for event in kept:
        assert gateway.api("GET", f"/sessions/little/events/{event}").status_code == 200


def test_operators_set_who_may_hold_what(make_gateway, make_receiver):
    """For all, for one less, for one more; and again while it runs."""
    gateway = make_gateway(max_store_per_session="1MiB", session_store_bytes="s=10KiB,t=4MiB")
    hold = Hold()
    receiver = make_receiver(hold)
    for session in "rstuv":
        gateway.register(session, receiver.url(), timeout_ms=30000)

    def fill(session, size=2000, most=5000):
        taken = 0
        while taken < most:
            answer = post(gateway, message(size), session)
            if answer.status_code != 202:
                expect_refusal(answer, session)
                break
            taken += 1
        return taken * size

    assert 3_000 <= fill("s") <= 10 * 1024
    assert 0.5 * MIB <= fill("u", 20_000) <= MIB
    assert 3 * MIB <= fill("t", 100_000) <= 4 * MIB
    gateway.reconfigure(session_store_bytes="s=40KiB", max_store_per_session=0)
    gateway.stop()
    gateway.start()
    assert 10_000 <= fill("s") <= 40 * 1024
    assert fill("u", 20_000, 100) == 2_000_000
    hold.release()
    receiver.errors.clear()  # bodies that were on their way at the stop


def test_batch_is_refused_as_a_whole(make_gateway, make_receiver):
    """Where one session of it has its share; the refusal names the first event of that."""
    hold = Hold()
    receiver = make_receiver(hold)
    gateway = make_gateway(session_store_bytes="s=50KiB")
    gateway.register("s", receiver.url(), timeout_ms=30000)
    gateway.register("t", receiver.url(), timeout_ms=30000)
    items = [{"session_id": session, **message(20_000)} for session in "ttsstss"]
    answer = gateway.api("POST", "/events", json=items)
    expect_refusal(answer, "s")
    assert answer.json()["error"]["field"] == "[2].session_id"
    sessions = gateway.api("GET", "/sessions").json()["sessions"]
    assert [s["open_bytes"] for s in sessions] == [0, 0]
    answer = gateway.api("POST", "/events", json=items[:4])
    assert answer.status_code == 202, answer.text
    expect_refusal(post(gateway, message(20_000), "s"), "s")
    assert post(gateway, message(20_000), "t").status_code == 202
    hold.release()


def test_replay_of_history_waits_for_its_share(make_gateway, make_receiver):
    """What is over is history, what is sent again is not: it has to find room."""
    receiver = make_receiver()
    gateway = make_gateway(retention="1d", max_store_per_session="100KiB")
    webhook = gateway.register("s", receiver.url(), max_in_flight=64)
    events = [gateway.publish("s", data="x" * 20_000) for _ in range(10)]
    receiver.wait_for(10)
    wait_until(lambda: usage(gateway, "s")["open_bytes"] == 0, what="no open event")
    gate = Hold()
    receiver.answer(gate)
    answer = gateway.api(
        "POST", hooks_path("s", webhook["id"], "replay"), json={"status": "delivered", "since": 1}
    )
    assert answer.status_code == 202, answer.text
    wait_until(lambda: usage(gateway, "s")["waiting"] == 4, what="as many as find room")
    last = gateway.api("GET", f"/sessions/s/events/{events[-1]['id']}").json()["deliveries"][0]
    retry = f"/sessions/s/deliveries/{last['id']}/retry"
    expect_refusal(gateway.api("POST", retry), "s")
    receiver.answer(200)
    gate.release()
    wait_until(lambda: len(receiver.ids) == 10 and len(receiver.requests) >= 20, 30, "all")
    wait_until(lambda: usage(gateway, "s")["open_bytes"] == 0, what="no open event")
    assert gateway.api("POST", retry).ok
