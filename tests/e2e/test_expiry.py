"""expire=EVENT=DURATION: what is of no use any more is dropped and holds up nobody."""

import re

import pytest

from harness import Hold, delay, wait_until
from scheduling import Fence, age, publish_many, wait_circuit, wait_for_ids
from test_retention import publish_batch, store_of

DROPS_MAX = 128  # expired deliveries that one turn drops
QUICK = ",".join(["50ms"] * 32)


def expired_lines(gateway):
    """(event, attempt, result) of each line that says that a delivery has expired."""
    line = re.compile(
        r'^.* level=info msg="delivery has expired" session=s1 webhook=\S+ delivery=\S+ '
        r'event=(\S+) attempt=(\d+) result="([^"]*)"',
        re.MULTILINE,
    )
    return [(m[1], int(m[2]), m[3]) for m in line.finditer(gateway.log_text())]


def wait_expired(gateway, count):
    return wait_until(
        lambda: len(lines := expired_lines(gateway)) == count and lines,
        what=f"{count} deliveries expired",
    )


def events_at(receiver):
    return [r.event for r in receiver.requests]


def test_one_that_fails_too_long_is_dropped_and_others_go_on(make_gateway, make_receiver):
    gateway = make_gateway(expire="presence=300ms", retry_schedule=QUICK)
    receiver = make_receiver(500)
    gateway.register("s1", receiver.url())
    gateway.publish("s1", "presence")
    message = gateway.publish("s1")["id"]
    ((event, attempts, result),) = wait_expired(gateway, 1)
    assert event == "presence"
    assert result in ("HTTP status 500", "not sent")
    assert events_at(receiver).count("presence") == attempts
    failed = len(receiver.requests)
    receiver.answer(200)
    receiver.wait_for(failed + 1)
    last = gateway.publish("s1")["id"]
    wait_for_ids(receiver, [last])
    Fence(gateway, make_receiver()).cross()
    assert events_at(receiver).count("presence") == attempts
    assert message in receiver.ids
    assert gateway.dlq("s1") == []


def test_one_that_could_only_be_tried_too_late_is_dropped_at_once(make_gateway, make_receiver):
    gateway = make_gateway(expire="presence=10m", retry_schedule="1h")
    receiver = make_receiver(500, 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    first, second = gateway.publish("s1", "presence"), gateway.publish("s1", "presence")
    assert [r.id for r in receiver.wait_for(2)] == [first["id"], second["id"]]
    assert wait_expired(gateway, 1) == [("presence", 1, "HTTP status 500")]


def test_what_is_young_enough_is_tried_again(make_gateway, make_receiver):
    gateway = make_gateway(expire="presence=1h", retry_schedule=QUICK)
    receiver = make_receiver(500, 500, 200)
    gateway.register("s1", receiver.url())
    event = gateway.publish("s1", "presence", timestamp=5)["id"]  # the client's time: no matter
    assert [(r.id, r.attempt) for r in receiver.wait_for(3)] == [(event, n) for n in (1, 2, 3)]
    assert expired_lines(gateway) == []


def test_what_grew_old_in_the_queue_is_not_sent(make_gateway, make_receiver):
    """While the webhook is disabled nothing happens to its queue; then the old ones go."""
    gateway, hold = make_gateway(expire="presence=200ms"), Hold(then=200)
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    first = gateway.publish("s1")["id"]
    receiver.wait_for(1)
    publish_many(gateway, "s1", 3, "presence")
    kept = gateway.publish("s1")["id"]
    gateway.call("s1", webhook["id"], "disable")
    hold.release()
    age(0.25)
    assert expired_lines(gateway) == []
    gateway.call("s1", webhook["id"], "enable")
    assert [r.id for r in receiver.wait_for(2)] == [first, kept]
    assert wait_expired(gateway, 3) == [("presence", 0, "not sent")] * 3
    fresh = gateway.publish("s1", "presence")["id"]
    assert receiver.wait_for(3)[2].id == fresh


def test_many_go_in_slices_and_take_no_slot(make_gateway, make_receiver):
    """One at a time, as attempts of this webhook go, would take a commit each."""
    count = 3000
    gateway, hold = make_gateway(expire="presence=200ms", max_in_flight=1), Hold(then=200)
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), max_in_flight=1)
    gateway.publish("s1")
    receiver.wait_for(1)
    publish_batch(gateway, count, event="presence")
    gateway.call("s1", webhook["id"], "disable")
    hold.release()
    age(0.25)
    with store_of(gateway) as store:
        wait_until(lambda: store.rows("queue") == count, what="nothing but the old ones")
        before = store.commits()
        gateway.call("s1", webhook["id"], "enable")
        wait_until(lambda: store.rows("queue") == 0, 30, what="an empty queue")
        assert count / DROPS_MAX <= store.commits() - before < count / 10
        assert store.rows("settled", "dead") == (count + 1, 0)
    last = gateway.publish("s1")["id"]
    assert [r.id for r in receiver.wait_for(2)][1:] == [last]


def test_others_are_served_while_many_expire(make_gateway, make_receiver):
    count = 10000
    gateway, hold = make_gateway(expire="presence=200ms"), Hold(then=200)
    old = [make_receiver(hold, 200) for _ in range(2)]
    for receiver in old:
        gateway.register("s1", receiver.url(), max_in_flight=1)
    other = make_receiver()
    gateway.register("s2", other.url())
    gateway.publish("s1")
    for receiver in old:
        receiver.wait_for(1)
    publish_batch(gateway, count, event="presence")
    age(0.25)
    hold.release()
    served = 0
    with store_of(gateway) as store:
        while store.rows("queue") > 0:
            served += 1
            gateway.publish("s2")
            other.wait_for(served)
        assert store.rows("settled", "dead") == (count + 1 + served, 0)
    print(f"{served} served meanwhile")
    assert [len(receiver.requests) for receiver in old] == [1, 1]


def test_it_outlives_a_restart(make_gateway, make_receiver):
    gateway = make_gateway(expire="presence=100ms")
    receiver = make_receiver(Hold(), 200)
    gateway.register("s1", receiver.url(), ordering="fifo", timeout_ms=30000)
    first = gateway.publish("s1")["id"]
    receiver.wait_for(1)
    gateway.publish("s1", "presence")
    last = gateway.publish("s1")["id"]
    gateway.kill()
    age(0.15)
    gateway.start()
    assert [r.id for r in receiver.wait_for(3)] == [first, first, last]
    assert wait_expired(gateway, 1) == [("presence", 0, "not sent")]


def test_the_probe_itself_may_be_too_old(make_gateway, make_receiver):
    """Nothing was sent, so nothing is decided: the next one is the probe."""
    gateway = make_gateway(expire="presence=100ms", circuit_failures=2, circuit_open="1500ms")
    receiver = make_receiver(500, 500, 200)
    webhook = gateway.register("s1", receiver.url(), retry=["1ms"], max_in_flight=1)
    gateway.publish("s1")
    wait_circuit(gateway, webhook, "open")
    publish_many(gateway, "s1", 5, "presence")
    last = gateway.publish("s1")["id"]
    assert receiver.wait_for(3)[2].id == last
    assert wait_expired(gateway, 5) == [("presence", 0, "not sent")] * 5
    assert wait_circuit(gateway, webhook, "closed")["consecutive_failures"] == 0


def test_replayed_ones_are_sent_whatever_their_age(make_gateway, make_receiver):
    gateway, receiver = make_gateway(expire="presence=3s"), make_receiver(500, 500, 200)
    gateway.register("s1", receiver.url(), retry=["1ms"])
    event = gateway.publish("s1", "presence")["id"]
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    age(3.1)
    assert gateway.replay("s1", entry["id"]).ok
    assert receiver.wait_for(3)[2].id == event


@pytest.mark.parametrize("event", ["message", "presence_like", "chat_presence"])
def test_only_the_named_events_expire(make_gateway, make_receiver, event):
    gateway = make_gateway(expire="presence=1ms", retry_schedule=QUICK)
    receiver = make_receiver(500, 500, delay(0.01))
    gateway.register("s1", receiver.url())
    published = gateway.publish("s1", event)["id"]
    assert [r.id for r in receiver.wait_for(3)] == [published] * 3


def test_several_events_have_each_their_own(make_gateway, make_receiver):
    gateway = make_gateway(
        expire=["qr_code=1m,pair_code=2h", "presence=3h"], retry_schedule="1h"
    )
    receiver = make_receiver(500, 500, 500, 200)
    gateway.register("s1", receiver.url(), max_in_flight=1, retry=["30m"])
    for event in ("qr_code", "pair_code", "presence", "message"):
        gateway.publish("s1", event)
    assert sorted(r.event for r in receiver.wait_for(4)) == [
        "message", "pair_code", "presence", "qr_code",
    ]
    assert wait_expired(gateway, 1) == [("qr_code", 1, "HTTP status 500")]
