"""The circuit of a webhook, as its JSON and its receiver see it; and disabling (section 5)."""

import re

import pytest

from harness import RFC3339, Hold, expect_error, hooks_path, verify, wait_until
from scheduling import (
    Fence, Gauge, by_session, circuit, publish_many, wait_circuit, wait_disabled, wait_for_ids,
)

FAILURES = 3
SOON = "200ms"
LATER = "1h"  # longer than any test
SECRET = "s3cret"


@pytest.fixture
def make_circuit(make_gateway):
    """A gateway whose circuits open after FAILURES failures, for `circuit_open`."""

    def make(circuit_open, **options):
        settings = {"circuit_failures": FAILURES, "circuit_open": circuit_open, **options}
        return make_gateway(**{"retry_schedule": ",".join(["20ms"] * 30), **settings})

    return make


def open_circuit(gateway, receiver, session="s1", **fields):
    """Registers a webhook whose one event fails until the circuit is open."""
    webhook = gateway.register(session, receiver.url(), max_in_flight=1, **fields)
    gateway.publish(session)
    wait_circuit(gateway, webhook, "open", session)
    return webhook


# Opening


def test_webhook_without_trouble_is_closed(gateway, receiver):
    calm = {
        "state": "closed", "consecutive_failures": 0, "failing_since": None,
        "opened_at": None, "next_probe_at": None,
    }
    webhook = gateway.register("s1", receiver.url())
    assert (webhook["circuit"], webhook["in_flight"]) == (calm, 0)
    gateway.publish("s1")
    receiver.wait_for(1)
    wait_until(lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0, what="the end")
    assert circuit(gateway, webhook) == calm


def test_it_opens_after_so_many_failures_in_a_row(make_circuit, make_receiver):
    gateway, receiver = make_circuit("1d"), make_receiver(500)
    webhook = open_circuit(gateway, receiver)
    shown = gateway.webhook("s1", webhook["id"])
    assert shown["in_flight"] == 0 and shown["enabled"] is True
    state = shown["circuit"]
    assert state["consecutive_failures"] == FAILURES
    assert len(receiver.requests) == FAILURES
    for name in ("failing_since", "opened_at", "next_probe_at"):
        assert RFC3339.fullmatch(state[name])
    assert state["failing_since"] <= state["opened_at"]
    day, time = state["opened_at"].split("T")
    next_day, probe_time = state["next_probe_at"].split("T")
    assert probe_time == time and next_day > day
    listed = gateway.api("GET", hooks_path("s1")).json()["webhooks"]
    assert [w["circuit"] for w in listed] == [state]


@pytest.mark.parametrize("code", [400, 401, 404, 429, 503])
def test_every_failure_counts(make_circuit, make_receiver, code):
    gateway = make_circuit(LATER)
    open_circuit(gateway, make_receiver(code))


def test_success_in_between_starts_the_count_anew(make_circuit, make_receiver):
    rounds = 4
    gateway, receiver = make_circuit(LATER), make_receiver(*[500, 500, 200] * rounds)
    webhook = gateway.register("s1", receiver.url(), ordering="fifo")
    ids = publish_many(gateway, "s1", rounds)
    expected = [event_id for event_id in ids for _ in range(FAILURES)]
    assert [r.id for r in receiver.wait_for(len(expected))] == expected
    wait_until(
        lambda: circuit(gateway, webhook)["consecutive_failures"] == 0, what="the last success"
    )
    assert circuit(gateway, webhook)["failing_since"] is None


# Open


def test_nothing_is_sent_while_it_is_open(make_circuit, make_receiver):
    gateway, receiver = make_circuit(LATER), make_receiver(500, 500, 500, 200)
    webhook = open_circuit(gateway, receiver)
    assert len(publish_many(gateway, "s1", 20)) == 20
    Fence(gateway, make_receiver()).cross()
    assert len(receiver.requests) == FAILURES
    assert circuit(gateway, webhook)["state"] == "open"
    assert gateway.dlq("s1") == []


def test_other_webhooks_of_the_session_go_on(make_circuit, make_receiver):
    gateway, bad, good = make_circuit(LATER), make_receiver(500), make_receiver()
    open_circuit(gateway, bad)
    sound = gateway.register("s1", good.url())
    wait_for_ids(good, publish_many(gateway, "s1", 10))
    assert circuit(gateway, sound)["state"] == "closed"
    assert len(bad.requests) == FAILURES


def test_circuits_are_per_webhook_and_not_per_url(make_circuit, make_receiver):
    gateway = make_circuit(LATER)
    receiver = make_receiver(by_session({"s1": 500, "s2": 200}))
    open_circuit(gateway, receiver)
    same_url = gateway.register("s2", receiver.url())
    wait_for_ids(receiver, publish_many(gateway, "s2", 10))
    assert circuit(gateway, same_url, "s2") | {"state": "closed"} == circuit(
        gateway, same_url, "s2"
    )
    assert sum(r.header("X-Webhook-Session") == "s1" for r in receiver.requests) == FAILURES


# Half open


def test_one_probe_goes_alone_and_reopens_or_closes(make_circuit, make_receiver):
    gateway = make_circuit(SOON)
    failing, succeeding = Hold(then=500), Hold(then=200)
    receiver = make_receiver(*[500] * FAILURES, failing, succeeding, 200)
    fence = Fence(gateway, make_receiver())
    webhook = gateway.register("s1", receiver.url(), max_in_flight=16)
    gateway.publish("s1")
    receiver.wait_for(FAILURES)
    ids = publish_many(gateway, "s1", 20)

    receiver.wait_for(FAILURES + 1)
    fence.cross()
    first = gateway.webhook("s1", webhook["id"])
    assert (first["circuit"]["state"], first["in_flight"]) == ("half_open", 1)
    assert len(receiver.requests) == FAILURES + 1

    failing.release()
    receiver.wait_for(FAILURES + 2)  # the next probe: it was open again in between
    fence.cross()
    second = gateway.webhook("s1", webhook["id"])
    assert (second["circuit"]["state"], second["in_flight"]) == ("half_open", 1)
    assert second["circuit"]["consecutive_failures"] == FAILURES + 1
    assert second["circuit"]["failing_since"] == first["circuit"]["failing_since"]
    assert second["circuit"]["opened_at"] > first["circuit"]["next_probe_at"]
    assert len(receiver.requests) == FAILURES + 2

    succeeding.release()
    wait_for_ids(receiver, ids)
    after = wait_circuit(gateway, webhook, "closed")
    assert (after["consecutive_failures"], after["failing_since"]) == (0, None)


def test_queue_drains_without_a_burst(make_circuit, make_receiver):
    """With each success one more may be under way: never what max_in_flight would allow."""
    gateway = make_circuit(SOON)
    probe, gauge = Hold(then=200), Gauge(0.03)
    receiver = make_receiver(*[500] * FAILURES, probe, gauge)
    gateway.register("s1", receiver.url(), max_in_flight=16)
    gateway.publish("s1")
    receiver.wait_for(FAILURES + 1)
    ids = publish_many(gateway, "s1", 60)
    probe.release()
    wait_for_ids(receiver, ids)
    assert gauge.readings[0] == (1, 0)
    for under_way, answered in gauge.readings:
        assert under_way <= 1 + answered
    assert max(under_way for under_way, _ in gauge.readings) > 1


@pytest.mark.parametrize("way", ["enable", "disable, enable", "PATCH"])
def test_enable_closes_it_at_once(make_circuit, make_receiver, way):
    gateway, receiver = make_circuit(LATER), make_receiver(*[500] * FAILURES, 200)
    webhook = open_circuit(gateway, receiver)
    ids = publish_many(gateway, "s1", 10)
    path = hooks_path("s1", webhook["id"])
    if way == "PATCH":
        for enabled in (False, True):
            assert gateway.api("PATCH", path, json={"enabled": enabled}).ok
    else:
        for verb in way.split(", "):
            gateway.call("s1", webhook["id"], verb)
    wait_for_ids(receiver, ids)
    after = circuit(gateway, webhook)
    assert (after["state"], after["consecutive_failures"]) == ("closed", 0)
    assert after["failing_since"] is None


# Somebody asks for the probe


def try_now(gateway, webhook, session="s1"):
    answer = gateway.api("POST", hooks_path(session, webhook["id"]) + "/try")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_try_probes_at_once_and_then_all_goes(make_circuit, make_receiver):
    gateway = make_circuit(LATER, retry_schedule=",".join(["20ms"] * 2 + ["1h"] * 8))
    probe = Hold(then=500)
    receiver = make_receiver(*[500] * FAILURES, probe, 200)
    webhook = open_circuit(gateway, receiver)
    ids = publish_many(gateway, "s1", 10)
    said = try_now(gateway, webhook)
    assert said["success"] is True and said["held_reason"] is said["held_until"] is None
    receiver.wait_for(FAILURES + 1)
    said = try_now(gateway, webhook)  # no second one beside it
    assert "under way" in said["message"] and "under way" in said["held_reason"]
    assert circuit(gateway, webhook)["state"] == "half_open"
    probe.release()
    again = wait_circuit(gateway, webhook, "open")
    assert again["consecutive_failures"] == FAILURES + 1
    assert len(receiver.requests) == FAILURES + 1
    try_now(gateway, webhook)
    wait_for_ids(receiver, ids)  # also what was to wait for an hour
    wait_circuit(gateway, webhook, "closed")


def test_a_try_where_nothing_waits_says_so(make_circuit, make_receiver):
    gateway, receiver = make_circuit(LATER), make_receiver(*[500] * FAILURES, 200)
    webhook = open_circuit(gateway, receiver, retry=["10ms"] * (FAILURES - 1))
    assert "Nothing waits" in try_now(gateway, webhook)["message"]
    event = gateway.publish("s1")
    wait_for_ids(receiver, [event["id"]])  # the circuit keeps it no more
    wait_circuit(gateway, webhook, "closed")


def test_a_try_of_one_without_trouble_and_of_a_disabled_one(make_circuit, receiver):
    gateway = make_circuit(LATER)
    webhook = gateway.register("s1", receiver.url())
    assert "Nothing waits" in try_now(gateway, webhook)["message"]
    gateway.call("s1", webhook["id"], "disable")
    expect_error(gateway.api("POST", hooks_path("s1", webhook["id"]) + "/try"), 409)


@pytest.mark.parametrize("change", [
    {"secret": "an0ther"}, {"headers": {"X-Key": "2"}}, {"timeout_ms": 2000},
    {"auth": {"type": "basic", "username": "u", "password": "p"}}, {"tls_verify": False},
    {"signature": "v2"}, {"success": {"statuses": [200]}}, {"user_agent": "ours"},
    {"proxy": "none"},
], ids=lambda change: next(iter(change)))
def test_a_change_of_how_it_sends_probes_at_once(make_circuit, make_receiver, change):
    gateway = make_circuit(LATER, webhook_proxies="on")
    receiver = make_receiver(*[500] * FAILURES, 200)
    webhook = open_circuit(gateway, receiver, secret=SECRET)
    ids = publish_many(gateway, "s1", 3)
    answer = gateway.api("PATCH", hooks_path("s1", webhook["id"]), json=change)
    assert answer.ok, answer.text
    wait_for_ids(receiver, ids)


def test_a_change_of_what_it_gets_leaves_the_circuit(make_circuit, make_receiver):
    gateway, receiver = make_circuit(LATER), make_receiver(500)
    webhook = open_circuit(gateway, receiver)
    for change in ({"description": "d"}, {"events": ["message"]}, {"max_in_flight": 3},
                   {"url": receiver.url()}):
        assert gateway.api("PATCH", hooks_path("s1", webhook["id"]), json=change).ok
    Fence(gateway, make_receiver()).cross()
    assert circuit(gateway, webhook)["state"] == "open"
    assert len(receiver.requests) == FAILURES


def test_what_hangs_at_the_old_url_neither_delays_nor_decides(make_circuit, make_receiver):
    gateway, hangs = make_circuit(LATER), Hold(then=500)
    old, new = make_receiver(*[500] * (FAILURES - 1), hangs), make_receiver(200)
    webhook = gateway.register("s1", old.url(), max_in_flight=1)
    ids = publish_many(gateway, "s1", 5)
    old.wait_for(FAILURES)
    path = hooks_path("s1", webhook["id"])
    assert gateway.api("PATCH", path, json={"max_in_flight": 8}).ok
    assert gateway.api("PATCH", path, json={"url": new.url()}).ok
    new.wait_for(len(ids) - 1)
    hangs.release()  # its failure is none of the new URL's
    wait_for_ids(new, ids)
    state = circuit(gateway, webhook)
    assert (state["state"], state["consecutive_failures"]) == ("closed", 0)


def test_test_and_retry_go_past_an_open_circuit(make_circuit, make_receiver):
    gateway = make_circuit(LATER)
    receiver = make_receiver(*[500] * FAILURES, 500, 500, 200)
    webhook = open_circuit(gateway, receiver)
    publish_many(gateway, "s1", 5)
    path = hooks_path("s1", webhook["id"])
    test = gateway.api("POST", path + "/test")
    assert test.status_code == 202
    assert test.json()["held_reason"] is test.json()["held_until"] is None
    assert receiver.wait_for(FAILURES + 1)[-1].event == "test"  # it, and not what is older
    wait_circuit(gateway, webhook, "open")
    listed = gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]
    last = next(d for d in listed if d["event"] == "message")
    answer = gateway.api("POST", f"/sessions/s1/deliveries/{last['id']}/retry")
    assert answer.json()["held_reason"] is None
    assert receiver.wait_for(FAILURES + 2)[-1].id == last["event_id"]
    wait_circuit(gateway, webhook, "open")
    assert gateway.api("POST", path + "/test").status_code == 202
    wait_circuit(gateway, webhook, "closed")


def test_held_ones_say_why_and_until_when(make_circuit, make_receiver):
    gateway, receiver = make_circuit(LATER), make_receiver(500)
    webhook = open_circuit(gateway, receiver)
    gateway.publish("s1")
    until = circuit(gateway, webhook)["next_probe_at"]
    listed = gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]
    assert {(d["held_reason"], d["held_until"]) for d in listed} == {("circuit open", until)}
    gateway.call("s1", webhook["id"], "disable")
    listed = gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]
    assert {(d["held_reason"], d["held_until"]) for d in listed} == {
        ("the webhook is disabled", None)
    }
    answer = gateway.api("POST", f"/sessions/s1/deliveries/{listed[0]['id']}/retry")
    assert answer.json()["held_reason"] == "the webhook is disabled"


def test_one_that_is_due_after_the_probe_is_not_held(make_circuit, make_receiver):
    gateway = make_circuit("10s", retry_schedule="20ms,20ms,1d,1d")
    open_circuit(gateway, make_receiver(500))
    (only,) = gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]
    assert (only["held_reason"], only["held_until"]) == (None, None)


# Over a restart


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restart_tries_once_and_knows_since_when_it_fails(make_circuit, make_receiver, end):
    hold = Hold(then=500)
    gateway, receiver = make_circuit(LATER), make_receiver(*[500] * FAILURES, hold)
    webhook = open_circuit(gateway, receiver)
    publish_many(gateway, "s1", 10)
    since = circuit(gateway, webhook)["failing_since"]
    getattr(gateway, end)()
    gateway.start()
    receiver.wait_for(FAILURES + 1)
    trying = gateway.webhook("s1", webhook["id"])
    assert (trying["circuit"]["state"], trying["in_flight"]) == ("closed", 1)
    assert trying["circuit"]["failing_since"] == since
    hold.release()
    again = wait_circuit(gateway, webhook, "open")
    assert again["failing_since"] == since
    assert len(receiver.requests) == FAILURES + 1


def test_restart_knows_it_without_work_too(make_circuit, make_receiver):
    gateway, receiver = make_circuit(LATER), make_receiver(500)
    webhook = open_circuit(gateway, receiver, retry=["10ms"] * (FAILURES - 1))
    assert len(gateway.dlq("s1")) == 1
    since = circuit(gateway, webhook)["failing_since"]
    gateway.stop()
    gateway.start()
    assert circuit(gateway, webhook)["failing_since"] == since


@pytest.mark.parametrize("way", ["enable", "PATCH", "success"])
def test_restart_forgets_what_was_mended(make_circuit, make_receiver, way):
    hold = Hold(then=500)
    gateway = make_circuit(SOON if way == "success" else LATER)
    receiver = make_receiver(*[500] * FAILURES, 200 if way == "success" else hold)
    webhook = open_circuit(gateway, receiver)
    if way == "enable":
        gateway.call("s1", webhook["id"], "enable")
    elif way == "PATCH":
        for enabled in (False, True):
            answer = gateway.api(
                "PATCH", hooks_path("s1", webhook["id"]), json={"enabled": enabled}
            )
            assert answer.ok
    receiver.wait_for(FAILURES + 1)
    wait_circuit(gateway, webhook, "closed")
    gateway.kill()
    gateway.start()
    assert circuit(gateway, webhook)["failing_since"] is None
    hold.release()


# Disabling


def wait_notices(receiver, count):
    """Waits for `count` events webhook.disabled and returns them."""
    return wait_until(
        lambda: len(n := [r for r in receiver.requests if r.event == "webhook.disabled"])
        >= count and n,
        what="webhook.disabled",
    )


def test_failing_at_everything_for_long_disables_and_says_so(make_circuit, make_receiver):
    gateway = make_circuit(
        LATER, circuit_failures=1000, disable_after="1s", extra_events="webhook.disabled"
    )
    bad, all_events, messages, named, elsewhere = (
        make_receiver(code) for code in (500, 200, 200, 200, 200)
    )
    webhook = gateway.register("s1", bad.url(), retry=["100ms"] * 32, ordering="fifo")
    gateway.register("s1", all_events.url(), secret=SECRET, ordering="fifo")
    gateway.register("s1", messages.url(), events=["message"], ordering="fifo")
    gateway.register("s1", named.url(), events=["webhook.disabled"])
    gateway.register("s2", elsewhere.url(), ordering="fifo")
    event = gateway.publish("s1")
    after = wait_disabled(gateway, webhook)
    reason = after["disabled_reason"]
    since = re.fullmatch(rf"every attempt failed since ({RFC3339.pattern})", reason).group(1)
    assert after["created_at"] <= since < after["updated_at"]

    (notice,) = wait_notices(all_events, 1)
    verify(notice, SECRET)
    body = notice.json()
    assert list(body) == ["session_id", "event", "timestamp", "data"]
    assert (body["session_id"], body["event"]) == ("s1", "webhook.disabled")
    assert body["data"] == {"webhook_id": webhook["id"], "url": bad.url(), "reason": reason}

    assert wait_notices(named, 1)[0].id == notice.id

    ids = [gateway.publish(session)["id"] for session in ("s1", "s2")]
    assert [r.id for r in all_events.wait_for(3)] == [event["id"], notice.id, ids[0]]
    assert [r.id for r in messages.wait_for(2)] == [event["id"], ids[0]]
    assert [r.id for r in elsewhere.wait_for(1)] == [ids[1]]


def test_failing_for_long_is_counted_over_restarts(make_circuit, make_receiver):
    gateway = make_circuit(SOON, disable_after="1s")
    webhook = open_circuit(gateway, make_receiver(500), retry=["100ms"] * 32)
    since = circuit(gateway, webhook)["failing_since"]
    gateway.stop()
    gateway.start()
    assert wait_disabled(gateway, webhook)["disabled_reason"].endswith(since)


def test_enabled_again_it_has_its_time_again(make_circuit, make_receiver):
    """The reason of the second time names the new beginning."""
    gateway = make_circuit(LATER, circuit_failures=1000, disable_after="1s")
    webhook = gateway.register("s1", make_receiver(500).url(), retry=["100ms"] * 32)
    gateway.publish("s1")
    first = wait_disabled(gateway, webhook)
    gateway.call("s1", webhook["id"], "enable")
    assert gateway.webhook("s1", webhook["id"])["enabled"] is True
    second = wait_disabled(gateway, webhook)
    assert second["disabled_reason"].split()[-1] > first["updated_at"]


def test_410_disables_and_says_so_once(make_gateway, make_receiver):
    """Two at once are answered 410: one notice, and none to the webhook that it is about."""
    hold = Hold(then=410)
    gateway, gone, other = make_gateway(), make_receiver(200, hold), make_receiver()
    webhook = gateway.register("s1", gone.url())

    def wait_idle():
        wait_until(
            lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0, what="no attempt"
        )

    gateway.publish("s1")
    gone.wait_for(1)
    wait_idle()  # its success opens the window
    queued = publish_many(gateway, "s1", 2)
    gone.wait_for(3)
    gateway.register("s1", other.url(), ordering="fifo")
    hold.release()
    reason = "the receiver answered 410 Gone"
    assert wait_disabled(gateway, webhook)["disabled_reason"] == reason
    (notice,) = wait_notices(other, 1)
    assert notice.json()["data"] == {
        "webhook_id": webhook["id"], "url": gone.url(), "reason": reason,
    }
    wait_idle()

    gone.answer(200)
    gateway.call("s1", webhook["id"], "enable")
    last = gateway.publish("s1")["id"]
    wait_for_ids(other, [last])
    assert [r.id for r in other.requests] == [notice.id, last]
    gone.wait_for(6)
    Fence(gateway, make_receiver()).cross()
    assert sorted(r.id for r in gone.requests[3:]) == sorted([*queued, last])


# Disabled, and queueing


def disable(gateway, webhook, keep=None, session="s1"):
    query = "" if keep is None else f"?keep_queueing={keep}"
    answer = gateway.api("POST", hooks_path(session, webhook["id"]) + "/disable" + query)
    assert answer.status_code == 200, answer.text
    return gateway.webhook(session, webhook["id"])


def is_taken(gateway):
    return gateway.publish("s1")["deliveries"] == 1


@pytest.mark.parametrize("end", [None, "stop", "kill"])
def test_a_disabled_webhook_goes_on_queueing_if_asked(make_gateway, receiver, end):
    gateway = make_gateway()
    webhook = gateway.register("s1", receiver.url(), events=["message"])
    shown = disable(gateway, webhook, "true")
    assert (shown["enabled"], shown["keep_queueing"], shown["state"]) == (False, True, "off")
    ids = publish_many(gateway, "s1", 5)
    assert gateway.publish("s1", "receipt")["deliveries"] == 0  # its filter holds
    if end:
        getattr(gateway, end)()
        gateway.start()
        assert gateway.webhook("s1", webhook["id"])["keep_queueing"] is True
    ids += publish_many(gateway, "s1", 5)
    listed = gateway.api("GET", "/sessions/s1/deliveries?status=pending").json()["deliveries"]
    assert len(listed) == 10
    assert {d["held_reason"] for d in listed} == {"the webhook is disabled"}
    assert receiver.requests == []
    gateway.call("s1", webhook["id"], "enable")
    wait_for_ids(receiver, ids)
    shown = gateway.webhook("s1", webhook["id"])
    assert (shown["enabled"], shown["keep_queueing"]) == (True, False)


def test_whether_it_queues_is_changed_while_it_is_disabled(gateway, receiver):
    webhook = gateway.register("s1", receiver.url())
    for keep, queues in [(None, False), ("true", True), (None, True), ("false", False),
                         ("true", True)]:
        assert disable(gateway, webhook, keep)["keep_queueing"] is queues
        assert is_taken(gateway) is queues
    path = hooks_path("s1", webhook["id"])
    gateway.api("PATCH", path, json={"description": "d", "enabled": False})
    assert gateway.webhook("s1", webhook["id"])["keep_queueing"] is True  # nothing changed
    gateway.api("PATCH", path, json={"enabled": True})
    gateway.api("PATCH", path, json={"enabled": False})
    assert gateway.webhook("s1", webhook["id"])["keep_queueing"] is False
    assert not is_taken(gateway)


def test_what_is_queued_while_it_is_disabled_counts(make_gateway, receiver):
    gateway = make_gateway(max_queue_per_session=3)
    webhook = gateway.register("s1", receiver.url())
    disable(gateway, webhook, "true")
    publish_many(gateway, "s1", 3)
    body = {"event": "message", "data": {}}
    expect_error(gateway.api("POST", "/sessions/s1/events", json=body), 429)


@pytest.mark.parametrize("value", ["yes", "", "1", "TRUE"])
def test_keep_queueing_is_true_or_false(gateway, receiver, value):
    webhook = gateway.register("s1", receiver.url())
    path = hooks_path("s1", webhook["id"]) + f"/disable?keep_queueing={value}"
    expect_error(gateway.api("POST", path), 400)
    assert gateway.webhook("s1", webhook["id"])["enabled"] is True
