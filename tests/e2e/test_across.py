"""Looked at across sessions: events, deliveries, dead letters and webhooks of all that a token reaches."""

import urllib.parse

import pytest
from harness import expect_error, wait_until

ABSENT = "01a208e7-8a0e-76cd-97d8-b8f948f7bd82"
ABSENT_WEBHOOK = "6c1f2b0e-9a4d-4a0e-8f39-1d2c3b4a5f60"
TOKENS = "one-token b\nsome-token a c zz\n"


@pytest.fixture
def lab(make_gateway, make_receiver, tmp_path):
    """Sessions a, b and c; each has one webhook that takes and one that refuses."""
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKENS)
    tokens.chmod(0o600)
    gateway = make_gateway(tokens_file=str(tokens), retry_schedule="20ms", token="full-token")
    taking, refusing = make_receiver(), make_receiver(500)
    hooks = {}
    for session in "abc":
        hooks[session] = [
            gateway.register(session, taking.url(f"/{session}"))["id"],
            gateway.register(session, refusing.url(f"/{session}"))["id"],
        ]
    return gateway, hooks, taking, refusing


def ask(gateway, path, token="full-token", **query):
    answer = gateway.api("GET", path + "?" + urllib.parse.urlencode(query), token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()


def walk(gateway, path, member, token="full-token", **query):
    found, cursor = [], None
    while True:
        page = ask(gateway, path, token, **query, **({"cursor": cursor} if cursor else {}))
        found += page[member]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def fill(gateway, times=3):
    """Events in turn, oldest first; waits until each webhook has done with its own."""
    events = []
    for n in range(times):
        for session in "bca":
            events.append((session, gateway.publish(session, data={"n": n}, id=f"own-{session}-{n}")["id"]))
    wait_until(
        lambda: all(d["status"] != "pending" for d in walk(gateway, "/deliveries", "deliveries")), what="an end of all"
    )
    return events


@pytest.mark.parametrize(
    ("token", "sessions"), [("full-token", "abc"), ("some-token", "ac"), ("one-token", "b")]
)
def test_lists_are_of_all_that_the_token_reaches(lab, token, sessions):
    gateway, hooks, _, _ = lab
    mine = [(s, e) for s, e in reversed(fill(gateway)) if s in sessions]
    for limit in (1, 2, 100):
        events = walk(gateway, "/events", "events", token, limit=limit)
        assert [(e["session_id"], e["id"]) for e in events] == mine
        deliveries = walk(gateway, "/deliveries", "deliveries", token, limit=limit)
        assert [d["id"] for d in deliveries] == sorted((d["id"] for d in deliveries), reverse=True)
        assert [d["event_id"] for d in deliveries] == [e for _, e in mine for _ in range(2)]
        letters = walk(gateway, "/dlq", "entries", token, limit=limit)
        assert sorted(e["event_id"] for e in letters) == sorted(e for _, e in mine)
        assert {e["webhook_id"] for e in letters} == {hooks[s][1] for s in sessions}
        assert [e["id"] for e in letters] == sorted((e["id"] for e in letters), reverse=True)
    assert {e["open_deliveries"] for e in events} == {1}  # the dead one
    assert {e["deliveries_count"] for e in events} == {2}


def test_lists_are_filtered(lab):
    gateway, hooks, _, _ = lab
    events = fill(gateway)
    gateway.publish("b", event="receipt")
    wait_until(lambda: len(walk(gateway, "/dlq", "entries")) == 10, what="the tenth dead letter")
    assert len(walk(gateway, "/deliveries", "deliveries", status="dead")) == 10
    assert len(walk(gateway, "/deliveries", "deliveries", status="dead", event="receipt")) == 1
    assert len(walk(gateway, "/deliveries", "deliveries", webhook_id=hooks["a"][0])) == 3
    assert {d["event_id"] for d in walk(gateway, "/deliveries", "deliveries", event_id=events[4][1])} == {events[4][1]}
    assert len(walk(gateway, "/events", "events", event="receipt")) == 1
    assert len(walk(gateway, "/sessions/b/events", "events")) == 4
    assert len(walk(gateway, "/dlq", "entries", event="receipt")) == 1
    assert len(walk(gateway, "/sessions/b/webhooks/dlq", "entries", event="message")) == 3
    assert len(walk(gateway, "/dlq", "entries", webhook_id=hooks["c"][1])) == 3
    newest = walk(gateway, "/dlq", "entries")[0]
    for path, member in (("/dlq", "entries"), ("/events", "events"), ("/deliveries", "deliveries")):
        assert walk(gateway, path, member, since="2100-01-01T00:00:00Z") == []
        assert walk(gateway, path, member, until="2001-01-01T00:00:00Z") == []
        assert walk(gateway, path, member, since="2001-01-01T00:00:00Z") != []
    assert newest not in walk(gateway, "/dlq", "entries", until=newest["failed_at"])


def test_event_is_found_by_its_publishers_own_id(lab):
    gateway, _, _, _ = lab
    events = fill(gateway, 1)
    (found,) = walk(gateway, "/sessions/c/events", "events", id="own-c-0")
    assert (found["session_id"], found["id"]) == events[1]
    assert walk(gateway, "/sessions/a/events", "events", id="own-c-0") == []
    assert walk(gateway, "/sessions/c/events", "events", id="own-c-0", event="receipt") == []
    expect_error(gateway.api("GET", "/events?id=own-c-0", token="full-token"), 400, "id")
    for bad in ("", "%C3%A9", "a%0A"):
        expect_error(gateway.api("GET", f"/sessions/c/events?id={bad}"), 400, "id")


def test_delivery_and_webhook_are_found_by_their_id_alone(lab):
    gateway, hooks, taking, _ = lab
    fill(gateway, 1)
    for delivery in walk(gateway, "/deliveries", "deliveries"):
        shown = ask(gateway, f"/deliveries/{delivery['id']}")
        assert shown == ask(gateway, f"/sessions/{delivery['session_id']}/deliveries/{delivery['id']}")
        answer = gateway.api("GET", f"/deliveries/{delivery['id']}", token="one-token")
        assert answer.status_code == (200 if delivery["session_id"] == "b" else 404)
    for session, ids in hooks.items():
        for webhook in ids:
            assert ask(gateway, f"/webhooks/{webhook}") == ask(gateway, f"/sessions/{session}/webhooks/{webhook}")
            answer = gateway.api("GET", f"/webhooks/{webhook}", token="some-token")
            assert answer.status_code == (404 if session == "b" else 200)
    for_all = gateway.api("POST", "/webhooks", token="full-token", json={"url": taking.url("/all")}).json()
    assert ask(gateway, f"/webhooks/{for_all['id']}")["url"] == taking.url("/all")
    for token in ("some-token", "full-token"):
        expect_error(gateway.api("GET", f"/deliveries/{ABSENT}", token=token), 404)
        expect_error(gateway.api("GET", f"/webhooks/{ABSENT_WEBHOOK}", token=token), 404)
    expect_error(gateway.api("GET", f"/webhooks/{for_all['id']}", token="some-token"), 404)


def test_webhooks_of_all_sessions_by_how_they_do(lab):
    gateway, hooks, _, _ = lab
    fill(gateway, 1)
    everyone = [h for s in "abc" for h in hooks[s]]
    for limit in (1, 4, 100):
        assert [w["id"] for w in walk(gateway, "/webhooks/all", "webhooks", limit=limit)] == everyone
    failing = walk(gateway, "/webhooks/all", "webhooks", state="failing", limit=1)
    assert [w["id"] for w in failing] == [hooks[s][1] for s in "abc"]
    assert {w["state"] for w in failing} == {"failing"}
    off = hooks["b"][0]
    assert gateway.api("POST", f"/sessions/b/webhooks/{off}/disable", token="full-token").status_code == 200
    assert [w["id"] for w in walk(gateway, "/webhooks/all", "webhooks", state="off")] == [off]
    assert [w["id"] for w in walk(gateway, "/webhooks/all", "webhooks", state="ok")] == [hooks["a"][0], hooks["c"][0]]
    assert walk(gateway, "/webhooks/all", "webhooks", state="held") == []
    expect_error(gateway.api("GET", "/webhooks/all?state=broken", token="full-token"), 400, "state")
    expect_error(gateway.api("GET", "/webhooks/all?cursor=x", token="full-token"), 400, "cursor")
    expect_error(gateway.api("GET", "/webhooks/all", token="some-token"), 403)


@pytest.mark.parametrize(("token", "sessions"), [("full-token", "abc"), ("some-token", "ac")])
def test_dead_letters_of_all_are_replayed(lab, token, sessions):
    gateway, _, _, refusing = lab
    fill(gateway, 1)
    refusing.answer(200)
    answer = gateway.api("POST", "/dlq/replay", token=token).json()
    assert answer["success"] is True
    assert answer["next_cursor"] is None
    left = sorted(set("abc") - set(sessions))
    wait_until(lambda: sorted(e["session_id"] for e in walk(gateway, "/dlq", "entries")) == left, what="the replays")
    wait_until(
        lambda: len(walk(gateway, "/deliveries", "deliveries", status="delivered")) == 3 + len(sessions),
        what="the deliveries",
    )


def test_token_of_too_many_sessions_names_one(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("many-token " + " ".join(f"s{n}" for n in range(201)) + "\n")
    tokens.chmod(0o600)
    gateway = make_gateway(tokens_file=str(tokens), token="many-token")
    for path in ("/events", "/deliveries", "/dlq"):
        expect_error(gateway.api("GET", path, token="many-token"), 403)
    assert ask(gateway, "/sessions/s7/events", "many-token")["events"] == []


def test_dead_letter_is_replayed_or_dropped_by_its_id_alone(lab):
    gateway, _, taking, refusing = lab
    for_all = gateway.api("POST", "/webhooks", json={"url": refusing.url("/all")}).json()["id"]
    fill(gateway, 1)
    refusing.answer(200)
    letters = {(e["session_id"], e["webhook_id"]): e["id"] for e in walk(gateway, "/dlq", "entries")}
    assert len(letters) == 6
    for (session, webhook), letter in letters.items():
        reached = session == "b" and webhook != for_all
        verb = ("POST", f"/dlq/{letter}/replay") if webhook == for_all else ("DELETE", f"/dlq/{letter}")
        if not reached:
            expect_error(gateway.api(*verb, token="one-token"), 404)
        assert gateway.api(*verb, token="one-token" if reached else None).status_code == 200
        expect_error(gateway.api(*verb), 404)
    wait_until(lambda: len([r for r in refusing.requests if r.path == "/all"]) == 9, what="the replays")
    assert walk(gateway, "/dlq", "entries") == []


def test_sessions_count_what_fails(lab):
    gateway, _, _, _ = lab
    fill(gateway, 1)
    gateway.publish("a")
    wait_until(lambda: len(walk(gateway, "/dlq", "entries")) == 4, what="the dead letters")
    shown = [(s["id"], s["failing"], s["dead_letters"]) for s in walk(gateway, "/sessions", "sessions")]
    assert shown == [("a", 1, 2), ("b", 1, 1), ("c", 1, 1)]
