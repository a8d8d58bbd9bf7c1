"""The order of fifo webhooks, whatever happened to what waits."""

import uuid

import pytest

from harness import hooks_path, wait_until


def numbers(receiver):
    return [request.json()["data"]["n"] for request in receiver.requests]


def fill(gateway, count, session="s1"):
    return [gateway.publish(session, data={"n": n}) for n in range(count)]


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
