"""The order of fifo webhooks, whatever happened to what waits."""

import re
import uuid

import pytest

from harness import Hold, hooks_path, wait_until, waybill


def numbers(receiver):
    return [request.json()["data"]["n"] for request in receiver.requests]


def fill(gateway, count, session="s1"):
    """Publishes so many events, a hundred in a request."""
    events = []
    for first in range(0, count, 100):
        batch = [
            {"session_id": session, "event": "message", "data": {"n": n}}
            for n in range(first, min(first + 100, count))
        ]
        answer = gateway.api("POST", "/events", json=batch)
        assert answer.status_code == 202, answer.text
        events += answer.json()["events"]
    return events


def damage(gateway, *patterns):
    """Changes the byte behind each place of the stopped store's file that has a pattern."""
    file = gateway.directory / "data" / "waybill.mdb"
    data = bytearray(file.read_bytes())
    for pattern in patterns:
        at = data.find(pattern)
        assert at >= 0, pattern
        while at >= 0:
            data[at + len(pattern)] ^= 0x40
            at = data.find(pattern, at + 1)
    file.write_bytes(data)


# Damage


# A delivery's record with its checksum: no letter yet, times of this century (store/queue.c).
DELIVERY = rb"\x02.{17}\0{7}.(?:\0\0\x01.{5}){4}.{12}\0{16}.{8}"


def swap(gateway, one, two):
    """
    Swaps what matches the patterns in the stopped store's file, wherever they do: pages that
    are free have older copies.
    """
    file = gateway.directory / "data" / "waybill.mdb"
    data = file.read_bytes()
    found = [[m.span() for m in re.finditer(p, data, re.DOTALL)] for p in (one, two)]
    assert all(found)
    changed = bytearray(data)
    for here, there in (found, found[::-1]):
        for start, end in here:
            first, last = there[-1]
            assert end - start == last - first
            changed[start:end] = data[first:last]
    file.write_bytes(changed)


@pytest.mark.parametrize("what", ["event", "delivery"])
@pytest.mark.parametrize("ordering", ["fifo", "none"])
def test_damaged_record_is_dead_at_once_and_holds_nothing(
    make_gateway, make_receiver, what, ordering
):
    gateway = make_gateway(retry_schedule="1h")
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url(), ordering=ordering)
    receiver.answer(500)
    first = gateway.publish("s1", data={"n": 0, "text": "to be damaged"})
    (request,) = receiver.wait_for(1)
    wait_until(lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0)
    receiver.answer(200)
    fill(gateway, 3)  # with fifo behind the first, else past it
    gateway.stop()
    if what == "event":
        damage(gateway, b"to be damage")
    else:
        delivery = uuid.UUID(request.header("X-Webhook-Delivery")).bytes
        damage(gateway, delivery + b"\x02")  # the record's version
    gateway.start()
    gateway.call("s1", webhook["id"], "enable")  # due at once
    receiver.wait_for(4)
    assert sorted(numbers(receiver)[1:]) == [0, 1, 2]
    assert numbers(receiver)[1:] == [0, 1, 2] or ordering == "none"
    (letter,) = wait_until(lambda: gateway.dlq("s1"))
    assert letter["delivery_id"] == request.header("X-Webhook-Delivery")
    assert "cannot be read" in letter["last_error"]
    assert (letter["event_id"] == first["id"]) and letter["webhook_id"] == webhook["id"]
    assert (letter["payload"] is None) == (what == "event")
    shown = gateway.webhook("s1", webhook["id"])
    assert shown["enabled"] and shown["circuit"]["consecutive_failures"] == 0
    assert 'level=error msg="delivery is damaged, and dead"' in gateway.log_text()
    if what == "delivery":  # its event is whole: it can be sent after all
        assert gateway.replay("s1", letter["id"]).status_code == 200
        assert receiver.wait_for(5)[-1].id == first["id"]


def test_every_record_of_a_queue_may_be_damaged(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1h")
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    events = fill(gateway, 300)
    receiver.wait_for(1)
    gateway.stop()
    receiver.answer(200)
    damage(gateway, *(b'"n":%d}' % n for n in range(300)))
    gateway.start()
    gateway.call("s1", webhook["id"], "enable")
    last = gateway.publish("s1")
    assert receiver.wait_for(2)[-1].id == last["id"]
    dead = []
    path = "dlq?limit=200"
    while path:
        page = gateway.api("GET", hooks_path("s1", path)).json()
        dead += page["entries"]
        path = page["next_cursor"] and "dlq?limit=200&cursor=" + page["next_cursor"]
    assert {entry["event_id"] for entry in dead} == {event["id"] for event in events}


@pytest.mark.parametrize("what", ["bodies", "deliveries"])
def test_good_record_in_the_place_of_another_is_damage(make_gateway, make_receiver, what):
    """What is in the file is whole, and not what belongs there: nothing wrong is sent."""
    gateway = make_gateway(retry_schedule="1h")
    receiver = make_receiver(500)
    other = make_receiver(500)
    webhook = gateway.register("s1", receiver.url())
    elsewhere = gateway.register("s2", other.url())
    events = [gateway.publish(s, data=text * 5000) for s, text in (("s1", "a"), ("s2", "b"))]
    (request,), (request2,) = receiver.wait_for(1), other.wait_for(1)
    wait_until(lambda: gateway.webhook("s2", elsewhere["id"])["in_flight"] == 0)
    wait_until(lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0)
    gateway.stop()
    if what == "bodies":  # their second pieces, with their checksums
        keys = [uuid.UUID(event["id"]).bytes + b"\0\1" for event in events]
        swap(gateway, *(rb"(?<=%s)[ab]{500,}\"\}.{8}" % re.escape(key) for key in keys))
    else:  # the records behind their keys; what a page has left of an older one is none
        keys = [uuid.UUID(r.header("X-Webhook-Delivery")).bytes for r in (request, request2)]
        swap(gateway, *(rb"(?<=%s)%s" % (re.escape(key), DELIVERY) for key in keys))
    done = waybill("fsck", gateway.directory / "data")
    assert done.returncode == 1 and "the record is corrupt" in done.stdout
    receiver.answer(200)
    other.answer(200)
    gateway.start()
    for session, hook in (("s1", webhook), ("s2", elsewhere)):
        gateway.call(session, hook["id"], "enable")  # due at once
        (letter,) = wait_until(lambda session=session: gateway.dlq(session))
        assert "cannot be read" in letter["last_error"]
    assert len(receiver.requests) == 1 and len(other.requests) == 1
    assert gateway.log_text().count('level=error msg="delivery is damaged, and dead"') == 2


# Enabling after an outage


@pytest.mark.parametrize("outage", ["disabled", "circuit", "restarted"])
def test_fifo_and_enable_after_an_outage_keep_the_order(make_gateway, make_receiver, outage):
    gateway = make_gateway(
        retry_schedule=",".join(["1h"] * 9), circuit_failures=1, circuit_open="1h"
    )
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    fill(gateway, 30)
    receiver.wait_for(1)
    if outage == "restarted":
        gateway.stop()
        gateway.start()
    if outage == "disabled":
        gateway.call("s1", webhook["id"], "disable")
    for tries in range(2, 5):  # which fail; what fails is due in an hour again
        gateway.call("s1", webhook["id"], "enable")
        receiver.wait_for(tries)
        wait_until(lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0)
    receiver.answer(200)
    gateway.call("s1", webhook["id"], "enable")
    late = gateway.publish("s1", data={"n": 30})
    wait_until(lambda: receiver.requests[-1].id == late["id"])
    assert numbers(receiver) == [0] * 4 + list(range(31))


# Becoming fifo


def shuffle(gateway, receiver, count):
    """Events that failed once each, so that they lie where they are due, in no order."""
    receiver.answer(500)
    webhook = gateway.register("s1", receiver.url(), max_in_flight=256)
    fill(gateway, count)
    receiver.wait_for(count, 30)
    wait_until(lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0)
    receiver.answer(200)
    return hooks_path("s1", webhook["id"])


@pytest.mark.parametrize("restarts", [False, True])
def test_fifo_orders_what_waits_already(make_gateway, make_receiver, restarts):
    gateway = make_gateway(retry_schedule="1h,1h,1h", circuit_failures=100000)
    receiver = make_receiver()
    path = shuffle(gateway, receiver, 1100)  # more than a slice
    assert gateway.api("PATCH", path, json={"ordering": "fifo"}).ok
    if restarts:  # at once: what is left to be ordered is so after it
        gateway.kill()
        gateway.start()
    late = gateway.publish("s1", data={"n": 1100})
    assert gateway.api("POST", path + "/enable").ok
    wait_until(lambda: receiver.requests[-1].id == late["id"], 30)
    assert numbers(receiver)[1100:] == list(range(1101))


def test_fifo_that_is_changed_again_and_again_keeps_the_order(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1h,1h,1h", circuit_failures=100000)
    receiver = make_receiver()
    path = shuffle(gateway, receiver, 300)
    gateway.api("POST", path + "/disable")
    for ordering in ["fifo", "none", "fifo", "fifo", None, "fifo"]:
        assert gateway.api("PATCH", path, json={"ordering": ordering}).ok
    gateway.api("POST", path + "/enable")
    last = gateway.publish("s1", data={"n": 300})
    wait_until(lambda: receiver.requests[-1].id == last["id"], 30)
    assert numbers(receiver)[300:] == list(range(301))


def test_delivery_that_was_sent_again_goes_to_the_end(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url())
    path = hooks_path("s1", webhook["id"])
    fill(gateway, 1)
    (letter,) = wait_until(lambda: gateway.dlq("s1"))
    receiver.answer(200)
    gateway.api("POST", path + "/disable")
    gateway.api("POST", path + "/enable")
    hold = Hold()
    receiver.answer(hold, 200)
    fill(gateway, 1)
    receiver.wait_for(3)  # it is under way, and the next waits behind it
    assert gateway.api("PATCH", path, json={"ordering": "fifo"}).ok
    more = [gateway.publish("s1", data={"n": n}) for n in (7, 8)]
    assert gateway.replay("s1", letter["id"]).ok
    hold.release()
    receiver.wait_for(6)
    assert [r.id for r in receiver.requests[3:]] == [*(e["id"] for e in more), letter["event_id"]]
