"""max_queue_per_session: who floods gets 429, nobody else notices, and it mends itself."""

import json
import threading

import pytest

from harness import Hold, expect_error, hooks_path, sign_v1, wait_until

MOST = 5


@pytest.fixture
def limited(make_gateway, make_receiver):
    """
    A gateway that lets MOST deliveries wait, and a webhook of session s1 whose receiver holds
    them until they are let go; the one in flight waits as well.
    """

    class Limited:
        def __init__(self):
            self.gateway = make_gateway(max_queue_per_session=MOST)
            self.hold = Hold()
            self.receiver = make_receiver(self.hold)
            self.webhook = self.gateway.register("s1", self.receiver.url(), **SLOW)
            self.ids = []

        def fill(self, count=MOST):
            self.ids += [self.gateway.publish("s1")["id"] for _ in range(count)]

        def expect_delivered(self):
            assert [r.id for r in self.receiver.wait_for(len(self.ids))] == self.ids

    return Limited()


SLOW = {"ordering": "fifo", "timeout_ms": 30000}


def try_publish(gateway, session, event="message", **members):
    envelope = {"event": event, **members}
    return gateway.api("POST", f"/sessions/{session}/events", json=envelope)


def try_batch(gateway, sessions, **members):
    body = json.dumps([{"session_id": s, "event": "message", **members} for s in sessions])
    return gateway.api("POST", "/events", body=body.encode())


def expect_full(answer, waiting=MOST, session="s1", field=None):
    """The refusal says what is full, how much waits and what the limit is called."""
    words = [f"session {session} ", f" {waiting} ", "max_queue_per_session", f" {MOST};"]
    error = expect_error(answer, 429, field, mentions=words)
    assert (field is None) == ("field" not in error)
    assert int(answer.headers["Retry-After"]) > 0


def test_flood_is_refused_and_taken_again_when_it_has_drained(limited):
    limited.fill()
    for _ in range(3):
        expect_full(try_publish(limited.gateway, "s1"))
    limited.hold.release()
    limited.receiver.wait_for(MOST)
    answer = wait_until(lambda: (a := try_publish(limited.gateway, "s1")).ok and a, what="room")
    limited.ids.append(answer.json()["id"])
    limited.expect_delivered()


def test_other_sessions_are_unaffected(limited, make_receiver):
    other = make_receiver()
    limited.gateway.register("s2", other.url())
    limited.fill()
    for _ in range(MOST):
        expect_full(try_publish(limited.gateway, "s1"))
        assert try_publish(limited.gateway, "s2").status_code == 202
    other.wait_for(MOST)


def test_what_nobody_wants_is_taken(limited):
    limited.gateway.api(
        "PATCH", hooks_path("s1", limited.webhook["id"]), json={"events": ["message"]}
    )
    limited.fill()
    expect_full(try_publish(limited.gateway, "s1"))
    assert try_publish(limited.gateway, "s1", "receipt").json()["deliveries"] == 0


def test_limit_is_of_all_webhooks_of_the_session_together(limited, make_receiver):
    second = make_receiver(Hold())
    limited.gateway.register("s1", second.url(), **SLOW)
    limited.fill(2)  # two deliveries each
    expect_full(try_publish(limited.gateway, "s1"), waiting=4)
    limited.gateway.api(
        "PATCH", hooks_path("s1", limited.webhook["id"]), json={"events": ["receipt"]}
    )
    assert try_publish(limited.gateway, "s1").json()["deliveries"] == 1
    expect_full(try_publish(limited.gateway, "s1"))


def test_retries_wait_too(make_gateway, make_receiver):
    gateway = make_gateway(max_queue_per_session=MOST)
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url(), retry=["1h"])
    for _ in range(MOST):
        gateway.publish("s1")
    receiver.wait_for(MOST)
    expect_full(try_publish(gateway, "s1"))
    receiver.answer(200)
    gateway.call("s1", webhook["id"], "enable")
    receiver.wait_for(2 * MOST)
    wait_until(lambda: try_publish(gateway, "s1").ok, what="room")


def test_disabled_webhook_keeps_its_queue_and_its_part_of_the_limit(limited, make_receiver):
    other = make_receiver()
    limited.gateway.register("s1", other.url(), events=["receipt"])
    limited.fill()
    limited.gateway.call("s1", limited.webhook["id"], "disable")
    expect_full(try_publish(limited.gateway, "s1", "receipt"))
    assert limited.gateway.api("DELETE", hooks_path("s1", limited.webhook["id"])).ok
    assert try_publish(limited.gateway, "s1", "receipt").json()["deliveries"] == 1
    other.wait_for(1)


def test_deleted_webhook_frees_its_part_at_once(limited):
    limited.fill()
    assert limited.gateway.api("DELETE", hooks_path("s1", limited.webhook["id"])).ok
    limited.gateway.register("s1", limited.receiver.url("/again"), **SLOW)
    assert try_publish(limited.gateway, "s1").json()["deliveries"] == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_count_outlives_a_restart(limited, end):
    limited.gateway.reconfigure(drain_timeout_ms=0)
    limited.gateway.stop()
    limited.gateway.start()
    limited.fill()
    getattr(limited.gateway, end)()
    limited.gateway.start()
    expect_full(try_publish(limited.gateway, "s1"))
    limited.hold.release()
    wait_until(lambda: set(limited.ids) <= limited.receiver.ids, what="all delivered")
    wait_until(lambda: try_publish(limited.gateway, "s1").ok, what="room")


def test_one_request_beyond_the_limit_by_itself_is_refused(limited):
    answer = try_batch(limited.gateway, ["s1"] * (MOST + 1))
    expect_full(answer, waiting=0, field=f"[{MOST}].session_id")
    assert try_batch(limited.gateway, ["s1"] * MOST).ok
    expect_full(try_publish(limited.gateway, "s1"))


def test_publishers_at_once_do_not_overshoot(limited):
    """They come within few turns; what is taken is exactly the limit."""
    answers = []

    def publish():
        for _ in range(5):
            answers.append(try_publish(limited.gateway, "s1"))

    publishers = [threading.Thread(target=publish) for _ in range(8)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    taken = [a for a in answers if a.status_code == 202]
    assert len(answers) == 40 and len(taken) == MOST
    for answer in answers:
        assert answer.ok or expect_error(answer, 429)


# Batches: all or nothing


def test_batch_with_an_event_of_a_full_session_is_refused_as_a_whole(limited, make_receiver):
    other = make_receiver()
    limited.gateway.register("s2", other.url(), ordering="fifo")
    limited.fill(MOST - 1)
    answer = try_batch(limited.gateway, ["s2", "s1", "s2", "s1"])
    expect_full(answer, waiting=MOST - 1, field="[3].session_id")
    last = limited.gateway.publish("s2")
    assert [r.id for r in other.wait_for(1)] == [last["id"]]
    answer = try_batch(limited.gateway, ["s2", "s1", "s2"])
    assert answer.json()["accepted"] == 3
    limited.ids.append(answer.json()["events"][1]["id"])
    other.wait_for(3)
    expect_full(try_batch(limited.gateway, ["s1"]), field="[0].session_id")
    limited.hold.release()
    limited.expect_delivered()


def test_ndjson_is_refused_in_the_same_way(limited):
    limited.fill()
    line = b'{"session_id":"s1","event":"message"}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    answer = limited.gateway.api("POST", "/events", body=line, headers=headers)
    expect_full(answer, field="[0].session_id")


# Other ways in


def test_single_envelope_names_no_field(limited):
    limited.fill()
    body = b'{"session_id":"s1","event":"message"}'
    expect_full(limited.gateway.api("POST", "/events", body=body))


def test_test_event_counts(limited):
    path = hooks_path("s1", limited.webhook["id"], "test")
    for _ in range(MOST):
        answer = limited.gateway.api("POST", path)
        assert answer.status_code == 202
        limited.ids.append(answer.json()["id"])
    expect_full(limited.gateway.api("POST", path))
    limited.hold.release()
    limited.expect_delivered()


def test_other_gateways_deliveries_are_refused_too(make_gateway, make_receiver):
    gateway = make_gateway(max_queue_per_session=MOST, inbound_secret="sesame")
    gateway.register("s1", make_receiver(Hold()).url(), **SLOW)

    def deliver(n):
        body = b'{"session_id":"s1","event":"message","timestamp":%d,"data":{}}' % n
        headers = {"X-Webhook-Signature": sign_v1("sesame", body)}
        path = "/sessions/s1/webhook-in"
        return gateway.api("POST", path, body=body, headers=headers, token="")

    for n in range(MOST):
        assert deliver(n).status_code == 200
    expect_full(deliver(MOST))
    answer = deliver(0)  # a repeat stores nothing, and so needs no room
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (200, "true")


def test_repeat_gets_its_first_answer_though_the_session_is_full(limited):
    gateway = limited.gateway
    single = {"id": "one", "timestamp": 5}
    limited.ids.append(try_publish(gateway, "s1", **single).json()["id"])
    batch = try_batch(gateway, ["s1"], id="two", timestamp=5)
    limited.ids.append(batch.json()["events"][0]["id"])
    limited.fill(MOST - 2)
    expect_full(try_publish(gateway, "s1", id="three"))
    answer = try_publish(gateway, "s1", **single)
    assert (answer.status_code, answer.json()["id"]) == (202, limited.ids[0])
    assert try_batch(gateway, ["s1"], id="two", timestamp=5).json() == batch.json()
    limited.hold.release()
    limited.expect_delivered()
    answer = wait_until(
        lambda: (a := try_publish(gateway, "s1", id="three")).ok and a, what="room"
    )
    assert "Idempotent-Replayed" not in answer.headers  # the refusal was no answer to keep


def test_replay_of_a_dead_letter_is_always_taken(make_gateway, make_receiver):
    """An operator's act: it counts, and so others wait for it, but it is not refused."""
    gateway = make_gateway(max_queue_per_session=MOST, circuit_failures=1000)
    receiver, hold = make_receiver(500), Hold()
    gateway.register("s1", receiver.url(), ordering="fifo", retry=["1ms"], timeout_ms=30000)
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="a dead letter")
    receiver.answer(hold, 200)
    for _ in range(MOST):
        gateway.publish("s1")
    assert gateway.replay("s1", entry["id"]).ok
    expect_full(try_publish(gateway, "s1"), waiting=MOST + 1)
    hold.release()
    receiver.wait_for(2 + MOST + 1)
    wait_until(lambda: try_publish(gateway, "s1").ok, what="room")


# The setting


def test_zero_is_no_limit(make_gateway, make_receiver):
    gateway = make_gateway(max_queue_per_session=0)
    gateway.register("s1", make_receiver(Hold()).url(), **SLOW)
    for _ in range(3):
        assert try_batch(gateway, ["s1"] * 1000).ok


def test_lowered_limit_keeps_what_waits(limited):
    limited.fill()
    limited.gateway.reconfigure(max_queue_per_session=2, drain_timeout_ms=0)
    limited.gateway.kill()
    limited.gateway.start()
    error = expect_error(try_publish(limited.gateway, "s1"), 429)
    assert f" {MOST} deliveries" in error["message"] and "allows 2;" in error["message"]
    limited.hold.release()
    wait_until(lambda: set(limited.ids) <= limited.receiver.ids, what="all delivered")
    wait_until(lambda: try_publish(limited.gateway, "s1").ok, what="room")
