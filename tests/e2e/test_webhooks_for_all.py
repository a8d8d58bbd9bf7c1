"""Webhooks for all sessions: every session's events, in their own share, for full tokens alone."""

import json

import pytest

from harness import (
    expect_error, hooks_path, session_path, status, verify, wait_until, waybill,
)
from test_stream import Stream

ALL = "/webhooks"
SECRET = "s3cret"


def register(gateway, url, **fields):
    answer = gateway.api("POST", ALL, json={"url": url, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def letters(gateway):
    return gateway.api("GET", ALL + "/dlq").json()["entries"]


def listed(gateway, session, query=""):
    return gateway.api("GET", session_path(session, "deliveries") + query).json()["deliveries"]


@pytest.fixture
def scoped(make_gateway, tmp_path):
    """A gateway with a token for the session "s1" beside the full one."""
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-s1 s1\n")
    tokens.chmod(0o600)
    return make_gateway(tokens_file=tokens, retry_schedule="20ms")


def test_it_gets_the_events_of_every_session(gateway, make_receiver):
    everything, mine, messages = make_receiver(), make_receiver(), make_receiver()
    hook = register(gateway, everything.url(), secret=SECRET)
    register(gateway, messages.url(), events=["message"])
    gateway.register("s1", mine.url())
    counts = [gateway.publish(s, event=e)["deliveries"] for s, e in
              [("s1", "message"), ("s2", "message"), ("Loja São", "receipt")]]  # fmt: skip
    assert counts == [3, 2, 1]
    for request, session in zip(
        sorted(everything.wait_for(3), key=lambda r: r.id), ["s1", "s2", "Loja São"], strict=True
    ):
        assert request.json()["session_id"] == session
        verify(request, SECRET)
    assert len(messages.wait_for(2)) == 2 and len(mine.wait_for(1)) == 1
    gateway.api("POST", f"{ALL}/{hook['id']}/disable")
    assert gateway.publish("s3")["deliveries"] == 1
    gateway.kill()
    gateway.start()
    assert gateway.publish("s2", event="receipt")["deliveries"] == 0
    gateway.api("POST", f"{ALL}/{hook['id']}/enable")
    assert gateway.publish("s2", event="receipt")["deliveries"] == 1
    assert gateway.api("DELETE", f"{ALL}/{hook['id']}").status_code == 200
    assert gateway.publish("s2", event="receipt")["deliveries"] == 0
    gateway.stop()
    done = waybill("fsck", gateway.directory / "data")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_a_filter_may_choose_sessions(gateway, receiver):
    """By the name of the session in the envelope, a glob too."""
    condition = {"path": "/session_id", "matches": "shop-*"}
    hook = register(gateway, receiver.url(), filter=condition)
    gateway.register("shop-1", receiver.url("/own"), filter={"path": "/data", "equals": 2})
    for session, n, count in [("shop-1", 1, 1), ("shop-1", 2, 2), ("other", 2, 0), ("shop-2", 2, 1)]:
        assert gateway.publish(session, data=n)["deliveries"] == count
    test = f"{ALL}/{hook['id']}/filter-test"
    for session, matches in [("shop-9", True), ("other", False)]:
        given = {"session_id": session, "event": "message"}
        assert gateway.api("POST", test, json=given).json()["matches"] is matches
    kept = gateway.publish("shop-3")["id"]
    assert gateway.api("POST", test, json={"event_id": kept}).json()["matches"] is True


def test_they_are_listed_apart(gateway, receiver):
    hook = register(gateway, receiver.url("/all"))
    own = gateway.register("s1", receiver.url("/all"))  # the same URL, once for each
    answer = gateway.api("GET", ALL).json()
    assert (answer["count"], [w["id"] for w in answer["webhooks"]]) == (1, [hook["id"]])
    listed = gateway.api("GET", hooks_path("s1")).json()
    assert [w["id"] for w in listed["webhooks"]] == [own["id"]]
    assert [s["id"] for s in gateway.api("GET", "/sessions").json()["sessions"]] == ["s1"]
    expect_error(gateway.api("POST", ALL, json={"url": receiver.url("/all")}), 409)
    expect_error(gateway.api("GET", hooks_path("s1", hook["id"])), 404)
    assert gateway.api("GET", f"{ALL}/{own['id']}").json()["id"] == own["id"]  # by its id alone
    expect_error(gateway.api("PATCH", f"{ALL}/{own['id']}", json={}), 404)
    changed = gateway.api("PATCH", f"{ALL}/{hook['id']}", json={"description": "d"})
    assert changed.json()["description"] == "d"
    made = gateway.api("POST", f"{ALL}/{hook['id']}/rotate-secret")
    assert made.json()["secret"].startswith("whsec_")
    expect_error(gateway.api("POST", ALL, json={"url": "no URL"}), 400, "url")
    expect_error(gateway.api("PUT", ALL), 405)


def test_numbers_outlive_a_restart(gateway, receiver):
    """One registered after a restart is a new one, whichever kind came last."""
    for _ in range(2):
        hook = register(gateway, receiver.url("/a"))
        own = gateway.register("s1", receiver.url("/b"))
        assert gateway.api("DELETE", f"{ALL}/{hook['id']}").status_code == 200
        assert gateway.api("DELETE", hooks_path("s1", own["id"])).status_code == 200
        gateway.stop()
        gateway.start()
    register(gateway, receiver.url("/c"))
    gateway.register("s1", receiver.url("/d"))
    assert gateway.publish("s1")["deliveries"] == 2
    receiver.wait_for(2)
    assert sorted(r.path for r in receiver.requests) == ["/c", "/d"]


def test_dead_letters_are_their_own(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    broken = make_receiver(500, 500, 500, 500, 200)
    hook = register(gateway, broken.url())
    events = [gateway.publish(session) for session in ("s1", "s2")]
    wait_until(lambda: len(letters(gateway)) == 2, what="dead letters")
    assert gateway.dlq("s1") == gateway.dlq("s2") == []
    entries = letters(gateway)
    assert {e["session_id"] for e in entries} == {"s1", "s2"}
    assert {e["event_id"] for e in entries} == {e["id"] for e in events}
    assert all(json.loads(e["payload"])["session_id"] == e["session_id"] for e in entries)
    gateway.kill()
    gateway.start()
    one, other = letters(gateway)
    assert gateway.api("POST", f"{ALL}/dlq/{one['id']}/replay").status_code == 200
    wait_until(lambda: len(letters(gateway)) == 1, what="one sent again")
    answer = gateway.api("POST", session_path(other["session_id"], "deliveries", other["delivery_id"], "retry"))
    assert answer.status_code == 200, answer.text
    wait_until(lambda: letters(gateway) == [], what="both sent again")
    broken.wait_for(6)
    for session in ("s1", "s2"):
        (shown,) = wait_until(
            lambda: listed(gateway, session, "?status=delivered"), what="a delivery to its end"
        )
        assert shown["webhook_id"] == hook["id"]
    gateway.stop()
    done = waybill("fsck", gateway.directory / "data")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_all_dead_letters_at_once(make_gateway, make_receiver, verb):
    gateway = make_gateway(retry_schedule="20ms")
    broken, mine = make_receiver(*[500] * 6, 200), make_receiver(500)
    register(gateway, broken.url())
    gateway.register("s1", mine.url())
    for session in ("s1", "s2", "s3"):
        gateway.publish(session)
    wait_until(lambda: len(letters(gateway)) == 3 and len(gateway.dlq("s1")) == 1, what="all dead")
    if verb == "replay":
        assert gateway.api("POST", ALL + "/dlq/replay").json()["count"] == 3
    else:
        assert gateway.api("DELETE", ALL + "/dlq").json()["count"] == 3
    wait_until(lambda: letters(gateway) == [], what="no letter left")
    assert len(gateway.dlq("s1")) == 1
    if verb == "replay":
        broken.wait_for(9)
    gateway.stop()
    done = waybill("fsck", gateway.directory / "data")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_a_time_is_sent_again(gateway, receiver):
    hook = register(gateway, receiver.url())
    for session in ("s1", "s2"):
        gateway.publish(session)
    receiver.wait_for(2)
    body = {"since": "2026-01-01T00:00:00Z", "status": "all"}
    for session in ("s1", "s2"):
        wait_until(lambda: listed(gateway, session, "?status=delivered"), what="a delivery to its end")
    assert gateway.api("POST", f"{ALL}/{hook['id']}/replay", json=body).status_code == 202
    receiver.wait_for(4)
    assert len(receiver.ids) == 2


def test_its_test_event_is_of_no_session(gateway, receiver):
    hook = register(gateway, receiver.url())
    answer = gateway.api("POST", f"{ALL}/{hook['id']}/test")
    assert (answer.status_code, answer.json()["session_id"]) == (202, "*")
    (request,) = receiver.wait_for(1)
    assert (request.json()["session_id"], request.header("X-Webhook-Session")) == ("*", "*")
    assert gateway.api("GET", f"/events/{answer.json()['id']}").json()["session_id"] == "*"
    gateway.stop()
    done = waybill("fsck", gateway.directory / "data")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_one_that_is_switched_off_tells_the_others(gateway, make_receiver):
    gone, other, of_session = make_receiver(status(410)), make_receiver(), make_receiver()
    hook = register(gateway, gone.url(), events=["message"])
    register(gateway, other.url(), events=["all"])
    gateway.register("s1", of_session.url())
    gateway.publish("s1")
    told = wait_until(
        lambda: [r for r in other.requests if r.event == "webhook.disabled"], what="the notice"
    )
    assert told[0].json()["session_id"] == "*"
    assert told[0].json()["data"]["webhook_id"] == hook["id"]
    assert [r.event for r in of_session.wait_for(1)] == ["message"]
    shown = gateway.api("GET", f"{ALL}/{hook['id']}").json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "the receiver answered 410 Gone")


def calls(webhook, entry):
    return [
        ("GET", ""), ("POST", ""), ("GET", "/dlq"), ("DELETE", "/dlq"), ("POST", "/dlq/replay"),
        ("DELETE", f"/dlq/{entry}"), ("POST", f"/dlq/{entry}/replay"),
        ("PATCH", f"/{webhook}"), ("DELETE", f"/{webhook}"), ("POST", f"/{webhook}/enable"),
        ("POST", f"/{webhook}/disable"), ("POST", f"/{webhook}/rotate-secret"),
        ("POST", f"/{webhook}/test"), ("POST", f"/{webhook}/filter-test"), ("POST", f"/{webhook}/replay"),
        ("GET", f"/{webhook}/replay"), ("DELETE", f"/{webhook}/replay"),
    ]  # fmt: skip


def test_a_token_of_a_session_reaches_none_of_it(scoped, make_receiver):
    """Nor does it see where its own session's events go to besides, and what was said there."""
    broken = make_receiver(status(500, b"operator's"))
    hook = register(scoped, broken.url("/operators"))
    own = scoped.register("s1", make_receiver().url("/own"))
    event = scoped.publish("s1")
    (entry,) = wait_until(lambda: letters(scoped), what="a dead letter")
    wait_until(
        lambda: {d["status"] for d in listed(scoped, "s1")} == {"dead", "delivered"}, what="both over"
    )
    for method, path in calls(hook["id"], entry["id"]):
        body = {} if method in ("POST", "PATCH") else None
        expect_error(scoped.api(method, ALL + path, json=body, token="token-of-s1"), 403)
    expect_error(scoped.api("GET", f"{ALL}/{hook['id']}", token="token-of-s1"), 404)
    for path in ("/sessions/s1/deliveries", f"/events/{event['id']}", f"/sessions/s1/events/{event['id']}"):
        for token, count in [(None, 2), ("token-of-s1", 1)]:
            answer = scoped.api("GET", path, token=token)
            assert len(answer.json()["deliveries"]) == count, path
            assert ("operator" in answer.text) == (count == 2)
    delivery = f"/sessions/s1/deliveries/{entry['delivery_id']}"
    expect_error(scoped.api("GET", delivery, token="token-of-s1"), 404)
    expect_error(scoped.api("GET", f"{delivery}/curl", token="token-of-s1"), 404)
    expect_error(scoped.api("POST", f"{delivery}/verify-signature", token="token-of-s1",
                            json={"secret": "x"}), 404)
    for verb in ("retry", "cancel"):
        expect_error(scoped.api("POST", f"{delivery}/{verb}", token="token-of-s1"), 404)
    assert scoped.api("GET", "/sessions/s1/webhooks/dlq", token="token-of-s1").json()["entries"] == []
    # also where it is gone, and its record with it
    assert scoped.api("DELETE", f"{ALL}/{hook['id']}").status_code == 200
    scoped.stop()
    scoped.start()
    answer = scoped.api("GET", "/sessions/s1/deliveries", token="token-of-s1")
    assert [d["webhook_id"] for d in answer.json()["deliveries"]] == [own["id"]]
    assert "operator" not in answer.text


def test_the_stream_of_a_session_shows_nothing_of_it(scoped, receiver):
    register(scoped, receiver.url("/operators"))
    with Stream(scoped, token="token-of-s1") as narrow, Stream(scoped) as wide:
        scoped.publish("s1")
        receiver.wait_for(1)
        assert "operators" in json.dumps(wide.until("delivered"))
        scoped.register("s1", receiver.url("/own"))
        scoped.publish("s1")
        seen = narrow.until("delivered")
        assert [kind for kind, _ in seen] == ["published", "published", "delivered"]
        assert "operators" not in json.dumps(seen)


def test_what_waits_for_them_is_no_sessions_queue(make_gateway, make_receiver):
    """max_queue_per_session is about a session's own webhooks."""
    gateway = make_gateway(max_queue_per_session=2, retry_schedule="1h")
    down, mine = make_receiver(500), make_receiver(500)
    register(gateway, down.url())
    for n in range(5):
        assert gateway.publish("s1", data=n)["deliveries"] == 1
    gateway.register("s1", mine.url())
    for code in (202, 202, 429):
        answer = gateway.api("POST", session_path("s1", "events"), json={"event": "message"})
        assert answer.status_code == code, answer.text


def test_max_webhooks_count_apart(make_gateway, receiver):
    gateway = make_gateway(max_webhooks_per_session=2)
    for n in range(2):
        register(gateway, receiver.url(f"/{n}"))
        gateway.register("s1", receiver.url(f"/{n}"))
    expect_error(gateway.api("POST", ALL, json={"url": receiver.url("/2")}), 409)


ABSENT = "00000000-0000-4000-8000-000000000000"
NOWHERE = [
    ("PATCH", f"/{ABSENT}"), ("DELETE", f"/{ABSENT}"),
    ("POST", f"/{ABSENT}/enable"), ("POST", f"/{ABSENT}/disable"), ("POST", f"/{ABSENT}/test"),
    ("POST", f"/{ABSENT}/rotate-secret"), ("POST", f"/{ABSENT}/filter-test"),
    ("POST", f"/{ABSENT}/replay"), ("GET", f"/{ABSENT}/replay"), ("DELETE", f"/{ABSENT}/replay"),
    ("POST", f"/dlq/{ABSENT}/replay"), ("DELETE", f"/dlq/{ABSENT}"), ("PATCH", "/none"),
]  # fmt: skip


@pytest.mark.parametrize("method, path", NOWHERE)
def test_answers_speak_of_no_session(gateway, method, path):
    answer = gateway.api(method, ALL + path, json={} if method in ("POST", "PATCH") else None)
    expect_error(answer, 404, mentions=["no such ", " among those for all sessions"])
    assert "session " not in answer.json()["error"]["message"]


def test_refusals_speak_of_all_sessions(make_gateway, receiver):
    gateway = make_gateway(max_webhooks_per_session=2)
    hook = register(gateway, receiver.url())
    twice = gateway.api("POST", ALL, json={"url": receiver.url()})
    expect_error(twice, 409, mentions=["is registered for all sessions already"])
    absent = gateway.api(
        "POST", f"{ALL}/{hook['id']}/filter-test", json={"event_id": ABSENT}
    )
    expect_error(absent, 404, mentions=["no such event is kept"])
    register(gateway, receiver.url("/2"))
    third = gateway.api("POST", ALL, json={"url": receiver.url("/3")})
    expect_error(third, 409, mentions=["all sessions together have as many webhooks as max_"])


def test_too_many_steps_are_those_of_all_sessions(gateway):
    dear = {"any": [{"path": f"/data/{n}", "contains": "x"} for n in range(64)]}
    for n in range(100):
        body = {"url": f"http://127.0.0.1:9/{n}", "filter": dear}
        answer = gateway.api("POST", ALL, json=body)
        if answer.status_code != 200:
            break
    expect_error(answer, 409, mentions=["the filters of the webhooks for all sessions may take"])
