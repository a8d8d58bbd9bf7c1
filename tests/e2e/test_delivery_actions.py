"""One delivery by hand: retried or cancelled, whatever became of it, and while it is under way."""

import time
import uuid

import pytest

from harness import Hold, expect_error, hooks_path, verify, wait_until
from test_fsck import expect_sound
from test_stream import Stream

UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"
RETRIED = {
    "success": True, "message": "Delivery retry scheduled",
    "held_reason": None, "held_until": None,
}
CANCELLED = {"success": True, "message": "Delivery cancelled"}


@pytest.fixture
def gateway(make_gateway):
    """Its deliveries wait for an hour after their first failure, and then for ever."""
    gateway = make_gateway(retry_schedule="1h,1h")
    yield gateway
    if gateway.running:
        gateway.stop()
    expect_sound(gateway.directory / "data")


def act(gateway, delivery_id, verb, session="s1"):
    return gateway.api("POST", f"/sessions/{session}/deliveries/{delivery_id}/{verb}")


def retry(gateway, delivery_id, held=None):
    answer = act(gateway, delivery_id, "retry")
    assert (answer.status_code, answer.json()) == (200, {**RETRIED, "held_reason": held})


def cancel(gateway, delivery_id):
    answer = act(gateway, delivery_id, "cancel")
    assert (answer.status_code, answer.json()) == (200, CANCELLED)


def delivery_of(request):
    return request.header("X-Webhook-Delivery")


def wait_over(gateway, webhook, session="s1"):
    """
    Waits until no attempt is under way and all outcomes are on disk: a change that is answered
    is committed with them.
    """
    wait_until(lambda: gateway.webhook(session, webhook["id"])["in_flight"] == 0)
    answer = gateway.api("PATCH", hooks_path(session, webhook["id"]), json={})
    assert answer.status_code == 200, answer.text


def attempt_of(receiver, webhook, gateway):
    """Publishes an event, waits for its attempt and the outcome; returns the delivery's id."""
    before = len(receiver.requests)
    gateway.publish("s1")
    request = receiver.wait_for(before + 1)[-1]
    wait_over(gateway, webhook)
    return delivery_of(request)


def test_pending_one_is_due_at_once_by_a_retry(gateway, make_receiver):
    receiver = make_receiver(500, 200)
    webhook = gateway.register("s1", receiver.url(), secret="s3cret")
    delivery = attempt_of(receiver, webhook, gateway)
    retry(gateway, delivery)
    first, second = receiver.wait_for(2)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (first.id, first.body) == (second.id, second.body)
    assert delivery_of(second) == delivery
    verify(second, "s3cret")
    wait_over(gateway, webhook)
    expect_error(act(gateway, delivery, "cancel"), 409)


def test_cancelled_one_is_not_sent_and_another_is(gateway, make_receiver):
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url())
    delivery = attempt_of(receiver, webhook, gateway)
    with Stream(gateway, "?status=cancelled") as stream:
        cancel(gateway, delivery)
        expect_error(act(gateway, delivery, "cancel"), 409, mentions=["over"])
        kind, told = stream.message()
    assert (kind, told["delivery_id"], told["attempt"]) == ("cancelled", delivery, 1)
    assert (told["webhook_id"], told["session_id"]) == (webhook["id"], "s1")
    receiver.answer(200)
    gateway.call("s1", webhook["id"], "enable")  # all that waits is due at once
    other = gateway.publish("s1")
    assert receiver.wait_for(2)[1].id == other["id"]


def test_delivered_one_is_sent_again(gateway, make_receiver):
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1", data={"text": "\u00e9\u2028", "n": 1.0})
    delivery = delivery_of(receiver.wait_for(1)[0])
    wait_over(gateway, webhook)
    for n in (2, 3):
        retry(gateway, delivery)
        again = receiver.wait_for(n)[-1]
        assert again.attempt == n
        assert (again.id, again.body) == (receiver.requests[0].id, receiver.requests[0].body)
        wait_over(gateway, webhook)


def test_cancelled_one_is_sent_again(gateway, make_receiver):
    receiver = make_receiver(500, 200)
    webhook = gateway.register("s1", receiver.url())
    delivery = attempt_of(receiver, webhook, gateway)
    cancel(gateway, delivery)
    retry(gateway, delivery)
    assert receiver.wait_for(2)[1].attempt == 2
    wait_over(gateway, webhook)


def test_dead_one_leaves_the_dead_letters_by_either(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1ms")
    receiver = make_receiver(500)
    gateway.register("s1", receiver.url())
    for _ in range(2):
        gateway.publish("s1")
    second, first = wait_until(lambda: len(e := gateway.dlq("s1")) == 2 and e)
    cancel(gateway, first["delivery_id"])
    assert gateway.dlq("s1") == [second]
    expect_error(act(gateway, first["delivery_id"], "cancel"), 409)
    receiver.answer(Hold())
    retry(gateway, second["delivery_id"])
    assert gateway.dlq("s1") == []
    assert receiver.wait_for(5)[4].attempt == 3
    gateway.kill()
    expect_sound(gateway.directory / "data")


def test_expired_one_is_sent_again_and_expires_no_more(make_gateway, make_receiver):
    gateway = make_gateway(expire="presence=5m", retry_schedule="1h")
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1", "presence")
    delivery = delivery_of(receiver.wait_for(1)[0])
    wait_over(gateway, webhook)  # it would be too old at its next attempt
    expect_error(act(gateway, delivery, "cancel"), 409)
    retry(gateway, delivery)
    assert receiver.wait_for(2)[1].attempt == 2
    wait_over(gateway, webhook)
    cancel(gateway, delivery)  # it was waiting for the next one


def test_one_that_expired_unsent_is_sent_by_a_retry(make_gateway, make_receiver):
    """It has no attempts: what says that it does not expire again is not their number."""
    gateway = make_gateway(expire="presence=1ms", retry_schedule="1h")
    hold = Hold()
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    gateway.publish("s1")
    receiver.wait_for(1)
    event = gateway.publish("s1", "presence")  # waits behind it, and grows old
    delivery = str(uuid.UUID(int=uuid.UUID(event["id"]).int + 1))  # its only one
    accepted_ms = uuid.UUID(event["id"]).int >> 80
    wait_until(lambda: time.time() * 1000 > accepted_ms + 20, what="an event that is old")
    hold.release()
    wait_until(lambda: "delivery has expired" in gateway.log_text())
    wait_over(gateway, webhook)
    assert len(receiver.requests) == 1
    retry(gateway, delivery)
    sent = receiver.wait_for(2)[1]
    assert (sent.id, sent.attempt) == (event["id"], 1)


@pytest.mark.parametrize("ordering", ["none", "fifo"])
@pytest.mark.parametrize("outcome", [200, 500])
def test_retry_of_one_in_flight_changes_nothing(gateway, make_receiver, ordering, outcome):
    hold = Hold(outcome)
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), ordering=ordering, retry=["1ms", "1h"])
    event = gateway.publish("s1")
    delivery = delivery_of(receiver.wait_for(1)[0])
    for _ in range(2):
        retry(gateway, delivery)
    hold.release()
    if outcome == 200:
        wait_over(gateway, webhook)
        other = gateway.publish("s1")
        assert [r.id for r in receiver.wait_for(2)] == [event["id"], other["id"]]
    else:
        assert [(r.id, r.attempt) for r in receiver.wait_for(2)] == [
            (event["id"], 1), (event["id"], 2)]
    wait_over(gateway, webhook)


@pytest.mark.parametrize("ordering", ["none", "fifo"])
@pytest.mark.parametrize("outcome", [200, 500])
def test_cancel_of_one_in_flight_makes_its_outcome_nothing(
    gateway, make_receiver, ordering, outcome
):
    hold = Hold(outcome)
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), ordering=ordering, retry=["1ms"])
    gateway.publish("s1")
    delivery = delivery_of(receiver.wait_for(1)[0])
    cancel(gateway, delivery)
    hold.release()
    wait_over(gateway, webhook)
    expect_error(act(gateway, delivery, "cancel"), 409)
    other = gateway.publish("s1")
    assert receiver.wait_for(2)[1].id == other["id"]
    assert gateway.dlq("s1") == []
    retry(gateway, delivery)  # it was given up, not delivered: its attempts count from there
    assert receiver.wait_for(3)[2].attempt == 1


@pytest.mark.parametrize("ordering", ["none", "fifo"])
@pytest.mark.parametrize("outcome", [200, 500])
def test_cancelled_and_sent_again_while_in_flight(gateway, make_receiver, ordering, outcome):
    """The attempt that was under way does not speak for the one that follows."""
    hold = Hold(outcome)
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), ordering=ordering)
    event = gateway.publish("s1")
    delivery = delivery_of(receiver.wait_for(1)[0])
    cancel(gateway, delivery)
    retry(gateway, delivery)
    hold.release()
    assert receiver.wait_for(2)[1].id == event["id"]
    wait_over(gateway, webhook)
    assert gateway.dlq("s1") == []


def test_retry_waits_for_a_webhook_that_is_disabled(gateway, make_receiver):
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1")
    delivery = delivery_of(receiver.wait_for(1)[0])
    wait_over(gateway, webhook)
    gateway.call("s1", webhook["id"], "disable")
    retry(gateway, delivery, "the webhook is disabled")
    gateway.kill()
    gateway.start()
    gateway.call("s1", webhook["id"], "enable")
    assert receiver.wait_for(2)[1].attempt == 2


def test_retry_of_a_deleted_webhooks_delivery_is_409(gateway, make_receiver):
    receiver = make_receiver()
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1")
    delivery = delivery_of(receiver.wait_for(1)[0])
    wait_over(gateway, webhook)
    assert gateway.api("DELETE", hooks_path("s1", webhook["id"])).ok
    expect_error(act(gateway, delivery, "retry"), 409, mentions=["webhook"])


@pytest.mark.parametrize("verb", ["retry", "cancel"])
def test_what_is_not_there_is_404(gateway, make_receiver, verb):
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url())
    delivery = attempt_of(receiver, webhook, gateway)
    for session, there in [("s2", delivery), ("s1", UNKNOWN_ID), ("s1", "not-an-id")]:
        expect_error(act(gateway, there, verb, session), 404)
    cancel(gateway, delivery)  # nothing had happened to it
