"""Stops, crashes and starts: what was answered 202 arrives, and nothing twice without need."""

import signal

import pytest
import requests

from harness import Hold, hooks_path, wait_until


def refuses_work(gateway):
    """Whether the gateway has begun to stop."""
    try:
        return gateway.request("GET", "/readyz").status_code == 503
    except requests.exceptions.ConnectionError:
        return True


def test_sigterm_ends_with_status_0_and_one_line_was_printed(gateway):
    gateway.stop()
    assert gateway.process.lines == [f"waybill ready on {gateway.url}"]


def test_stop_finishes_what_is_in_flight(make_gateway, make_receiver):
    hold = Hold(then=200)
    gateway, receiver = make_gateway(drain_timeout_ms=20000), make_receiver(hold)
    gateway.register("s1", receiver.url(), ordering="fifo", timeout_ms=30000)
    first = gateway.publish("s1")
    receiver.wait_for(1)
    gateway.process.signal(signal.SIGTERM)
    wait_until(lambda: refuses_work(gateway), what="end of intake")
    assert gateway.running
    hold.release()
    gateway.wait_stopped()
    gateway.start()
    second = gateway.publish("s1")
    receiver.wait_for(2)
    assert [r.id for r in receiver.requests] == [first["id"], second["id"]]


def test_stop_does_not_wait_for_ever(make_gateway, make_receiver):
    gateway, receiver = make_gateway(drain_timeout_ms=100), make_receiver(Hold(), 200)
    gateway.register("s1", receiver.url(), timeout_ms=30000)
    event = gateway.publish("s1")
    receiver.wait_for(1)
    gateway.stop()
    gateway.start()
    assert [r.id for r in receiver.wait_for(2)] == [event["id"]] * 2


def test_what_was_delivered_is_not_sent_again(gateway, receiver):
    gateway.register("s1", receiver.url(), ordering="fifo")
    ids = [gateway.publish("s1")["id"] for _ in range(20)]
    receiver.wait_for(20)
    gateway.stop()
    gateway.start()
    ids.append(gateway.publish("s1")["id"])
    assert [r.id for r in receiver.wait_for(21)] == ids


def test_queue_and_attempts_outlive_a_stop(make_gateway, make_receiver):
    gateway, receiver = make_gateway(retry_schedule="300ms,300ms"), make_receiver(500, 200)
    gateway.register("s1", receiver.url(), secret="s3cret")
    event = gateway.publish("s1", data={"n": 1.0})
    receiver.wait_for(1)
    gateway.stop()
    gateway.start()
    first, second = receiver.wait_for(2)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.id == second.id == event["id"]
    assert first.body == second.body
    assert first.header("X-Webhook-Delivery") == second.header("X-Webhook-Delivery")


def test_webhooks_outlive_stop_and_kill(gateway, receiver):
    webhook = gateway.register(
        "s1", receiver.url(), events=["message"], headers={"X-A": "b"}, retry=["1s"],
        ordering="fifo", rate_limit=50, description="d", signature="v2", secret="s3cret",
    )
    for end in (gateway.stop, gateway.kill):
        end()
        gateway.start()
        assert gateway.webhook("s1", webhook["id"]) == webhook


@pytest.mark.parametrize("webhooks", [1, 3])
def test_kill_right_behind_a_202_loses_nothing(gateway, make_receiver, webhooks):
    receivers = [make_receiver() for _ in range(webhooks)]
    for receiver in receivers:
        gateway.register("s1", receiver.url())
    ids = set()
    for _ in range(8):
        ids.add(gateway.publish("s1")["id"])
        gateway.kill()
        gateway.start()
    for receiver in receivers:
        wait_until(lambda r=receiver: ids <= r.ids, what="all events")


def test_disabled_webhook_keeps_its_queue(gateway, make_receiver):
    hold = Hold(then=500)
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    first, second = gateway.publish("s1"), gateway.publish("s1")
    receiver.wait_for(1)
    gateway.call("s1", webhook["id"], "disable")
    hold.release()
    gateway.stop()
    gateway.start()
    assert gateway.webhook("s1", webhook["id"])["enabled"] is False
    assert gateway.publish("s1")["deliveries"] == 0
    assert len(receiver.requests) == 1
    gateway.call("s1", webhook["id"], "enable")
    third = gateway.publish("s1")
    expected = [e["id"] for e in (first, first, second, third)]
    assert [r.id for r in receiver.wait_for(4)] == expected
    assert receiver.requests[1].attempt == 2


def test_deleted_webhook_stays_deleted(gateway, make_receiver):
    receiver = make_receiver(Hold(), 200)
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1")
    receiver.wait_for(1)
    assert gateway.api("DELETE", hooks_path("s1", webhook["id"])).status_code == 200
    gateway.kill()
    gateway.start()
    assert gateway.api("GET", hooks_path("s1")).json()["count"] == 0
    gateway.register("s1", receiver.url(), ordering="fifo")
    last = gateway.publish("s1")
    assert receiver.wait_for(2)[1].id == last["id"]
