"""How a webhook's attempts went, over time: the last one, the last hundred, by hour; kept over a restart."""

import time

from harness import RFC3339, expect_error, hooks_path, reset, status, wait_until


def stats(gateway, session, webhook, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = gateway.api("GET", hooks_path(session, webhook, f"stats?{text}"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_was_answered_is_counted(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms,20ms,20ms")
    receiver = make_receiver(reset(), 500, status(404, b"no"), 204)
    hook = gateway.register("s1", receiver.url())["id"]
    assert gateway.webhook("s1", hook)["last_attempt"] is None
    assert stats(gateway, "s1", hook) == {
        "webhook_id": hook, "hours": [], "succeeded": 0, "failed": 0, "success_rate": None, "last_outcomes": [],
    }  # fmt: skip
    gateway.publish("s1")
    wait_until(lambda: len(stats(gateway, "s1", hook)["last_outcomes"]) == 4, what="the attempts")
    found = stats(gateway, "s1", hook)
    assert found["last_outcomes"] == [0, 5, 4, 2]
    assert (found["succeeded"], found["failed"], found["success_rate"]) == (1, 3, 0.25)
    assert sum(h["succeeded"] + h["failed"] for h in found["hours"]) == 4
    assert all(RFC3339.fullmatch(h["at"]) and h["at"].endswith(":00:00.000Z") for h in found["hours"])
    assert all(0 < h["p50_ms"] <= h["p95_ms"] for h in found["hours"])
    last = gateway.webhook("s1", hook)["last_attempt"]
    assert (last["status"], last["error"]) == (204, None)


def test_an_attempt_without_an_answer_says_why(gateway, make_receiver):
    receiver = make_receiver(reset())
    hook = gateway.register("s1", receiver.url())["id"]
    gateway.publish("s1")
    last = wait_until(lambda: gateway.webhook("s1", hook)["last_attempt"], what="an attempt")
    assert last["status"] is None
    assert last["error"]
    (listed,) = gateway.api("GET", hooks_path("s1")).json()["webhooks"]
    assert listed["last_attempt"]["status"] is None
    assert stats(gateway, "s1", hook)["hours"][-1]["p50_ms"] is None


def test_an_answer_that_does_not_count_says_why(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    receiver = make_receiver(status(200, b'{"ok":false}'), status(200, b'{"ok":true}'))
    success = {"answer": {"path": "/ok", "equals": True}}
    hook = gateway.register("s1", receiver.url(), success=success)["id"]
    gateway.publish("s1")
    wait_until(lambda: stats(gateway, "s1", hook)["last_outcomes"] == [1, 2], what="both attempts")
    found = stats(gateway, "s1", hook)
    assert (found["succeeded"], found["failed"]) == (1, 1)
    other = gateway.register("s2", receiver.url("/other"), success={"statuses": [204]})["id"]
    gateway.publish("s2")
    last = wait_until(lambda: gateway.webhook("s2", other)["last_attempt"], what="an attempt")
    assert last["status"] == 200 and "success.statuses" in last["error"]


def test_it_is_kept_over_a_crash(gateway, make_receiver):
    """Once it is written, some seconds after it was counted; what follows is added to it."""
    receiver = make_receiver(200, 500, 200)
    hook = gateway.register("s1", receiver.url())["id"]
    gateway.publish("s1")
    before = wait_until(lambda: gateway.webhook("s1", hook)["last_attempt"], what="an attempt")

    def outlives():
        gateway.kill()
        gateway.start()
        if gateway.webhook("s1", hook)["last_attempt"]:
            return True
        gateway.publish("s1")  # its count was lost: another is made
        wait_until(lambda: gateway.webhook("s1", hook)["last_attempt"], what="an attempt")
        return False

    deadline = time.monotonic() + 60
    while True:
        time.sleep(7)
        if outlives():
            break
        assert time.monotonic() < deadline, "it is never written"
    assert gateway.webhook("s1", hook)["last_attempt"]["at"] >= before["at"]
    known = stats(gateway, "s1", hook)
    gateway.publish("s1")
    wait_until(
        lambda: len(stats(gateway, "s1", hook)["last_outcomes"]) > len(known["last_outcomes"]), what="another"
    )
    assert stats(gateway, "s1", hook)["last_outcomes"][: len(known["last_outcomes"])] == known["last_outcomes"]


def test_bad_hours_are_refused(gateway, receiver):
    hook = gateway.register("s1", receiver.url())["id"]
    for bad in ("0", "169", "x"):
        expect_error(gateway.api("GET", hooks_path("s1", hook, f"stats?hours={bad}")), 400, "hours")
    expect_error(gateway.api("GET", hooks_path("s2", hook, "stats")), 404)
    assert stats(gateway, "s1", hook, hours=1)["hours"] == []


def test_deleted_webhook_leaves_nothing(gateway, receiver):
    hook = gateway.register("s1", receiver.url())["id"]
    gateway.publish("s1")
    wait_until(lambda: gateway.webhook("s1", hook)["last_attempt"], what="an attempt")
    assert gateway.api("DELETE", hooks_path("s1", hook)).status_code == 200
    again = gateway.register("s1", receiver.url())
    assert again["last_attempt"] is None
    assert stats(gateway, "s1", again["id"])["last_outcomes"] == []
