"""
Lists: page by page to the end, each entry once whatever comes and goes meanwhile, and no page
larger than a mebibyte and its last entry.
"""

import json

import pytest
import requests

from harness import as_listed, expect_error, hooks_path, reset, status, wait_until

HOOK = "http://127.0.0.1:9/"
PAGE_BYTES = 1 << 20  # docs/api.md, section 8
LARGE = {"headers": {f"X-{i}": '"' * 1024 for i in range(31)}}  # two bytes each in JSON
PLACES = [
    ("/sessions", "sessions"),
    (hooks_path("s1"), "webhooks"),
    (hooks_path("s1", "dlq"), "entries"),
    ("/sessions/s1/deliveries", "deliveries"),
]


def get(gateway, path, **query):
    answer = requests.get(
        gateway.url + "/api/v1" + path,
        params=query,
        headers={"Authorization": "Bearer " + gateway.token},
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    return answer


def pages(gateway, path, **query):
    """The answers, one a page, to the last."""
    while True:
        answer = get(gateway, path, **query)
        yield answer
        query["cursor"] = answer.json()["next_cursor"]
        if query["cursor"] is None:
            return


def check_bytes(answers, key):
    """Holds each page to its bytes, and shows that more than one was needed."""
    assert len(answers) > 1
    for answer in answers:
        entries = answer.json()[key]
        last = len(json.dumps(entries[-1]).encode())  # and the names around it
        assert len(answer.content) <= PAGE_BYTES + last + 1024, len(answer.content)
    for answer in answers[:-1]:  # it is full where it ends
        assert len(answer.content) > PAGE_BYTES


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 1000])
def test_webhooks_come_page_by_page_in_order_of_registration(gateway, limit):
    mine = [gateway.register("s1", f"{HOOK}{n}") for n in range(7)]
    gateway.register("s2", HOOK)
    bodies = [answer.json() for answer in pages(gateway, hooks_path("s1"), limit=limit)]
    assert len(bodies) == -(-7 // limit)
    assert {body["count"] for body in bodies} == {7}
    assert all(len(body["webhooks"]) == limit for body in bodies[:-1])
    assert [w for body in bodies for w in body["webhooks"]] == [as_listed(w) for w in mine]


def test_webhooks_that_come_and_go_between_pages_leave_the_others_in_place(gateway):
    """Each that is there all the time is listed once, also where the page's last has left."""
    kept = [gateway.register("s1", f"{HOOK}{n}")["id"] for n in range(12)]
    gone, seen, cursor = [], [], None
    while True:
        query = {"limit": 2} if cursor is None else {"limit": 2, "cursor": cursor}
        body = get(gateway, hooks_path("s1"), **query).json()
        seen += [w["id"] for w in body["webhooks"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
        for webhook in [body["webhooks"][-1]["id"]] + kept[-1:]:
            if webhook in kept:
                assert gateway.api("DELETE", hooks_path("s1", webhook)).ok
                kept.remove(webhook)
                gone.append(webhook)
        if len(gone) < 4:
            kept.append(gateway.register("s1", f"{HOOK}new{len(gone)}")["id"])
    assert len(seen) == len(set(seen))
    assert [webhook for webhook in seen if webhook not in gone] == kept
    assert get(gateway, hooks_path("s1")).json()["count"] == len(kept)


def test_pages_go_on_after_a_restart(gateway):
    mine = [gateway.register("s1", f"{HOOK}{n}")["id"] for n in range(5)]
    body = get(gateway, hooks_path("s1"), limit=2).json()
    gateway.kill()
    gateway.start()
    rest = get(gateway, hooks_path("s1"), cursor=body["next_cursor"]).json()
    assert [w["id"] for w in body["webhooks"] + rest["webhooks"]] == mine
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1.5", "99999999999999999999"])
def test_bad_limit_of_webhooks_is_refused(gateway, limit):
    expect_error(gateway.api("GET", hooks_path("s1") + f"?limit={limit}"), 400, "limit")


@pytest.mark.parametrize("path", [path for path, _ in PLACES])
@pytest.mark.parametrize("limit", ["0", "x"])
def test_bad_limit_is_refused(gateway, path, limit):
    expect_error(gateway.api("GET", f"{path}?limit={limit}"), 400, "limit")


@pytest.mark.parametrize("path", [path for path, _ in PLACES])
@pytest.mark.parametrize("cursor", ["%00", "x%7Fy", "a" * 500])
def test_bad_cursor_is_refused(gateway, path, cursor):
    expect_error(gateway.api("GET", f"{path}?cursor={cursor}"), 400, "cursor")


@pytest.mark.parametrize("cursor", ["-1", "1x", "", "99999999999999999999"])
def test_bad_cursor_of_webhooks_is_refused(gateway, cursor):
    expect_error(gateway.api("GET", hooks_path("s1") + f"?cursor={cursor}"), 400, "cursor")


def test_cursor_behind_all_is_an_empty_page(gateway):
    gateway.register("s1", HOOK)
    assert get(gateway, hooks_path("s1"), cursor=2**64 - 1).json() == {
        "webhooks": [], "count": 1, "next_cursor": None
    }


def test_authorities_are_shown_for_a_single_webhook_alone(gateway):
    webhook = gateway.register("s1", HOOK)
    path = hooks_path("s1", webhook["id"])
    assert "ca_pem" in webhook
    assert "ca_pem" in get(gateway, path).json()
    assert "ca_pem" in gateway.api("PATCH", path, json={"timeout_ms": 1000}).json()
    assert [set(w) for w in get(gateway, hooks_path("s1")).json()["webhooks"]] == [
        set(webhook) - {"ca_pem"}
    ]


def test_large_webhooks_make_full_pages_and_each_is_there_once(gateway):
    mine = [gateway.register("s1", f"{HOOK}{n}", **LARGE)["id"] for n in range(40)]
    answers = list(pages(gateway, hooks_path("s1")))
    check_bytes(answers, "webhooks")
    assert [w["id"] for answer in answers for w in answer.json()["webhooks"]] == mine


def test_dead_letters_make_full_pages_and_each_is_there_once(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1ms", circuit_failures=1000)
    gateway.register("s1", make_receiver(500).url())
    events = {gateway.publish("s1", data='"' * 300_000)["id"] for _ in range(9)}
    wait_until(lambda: len(dead_letters(gateway)) == 9, 30, "nine dead letters")
    answers = list(pages(gateway, hooks_path("s1", "dlq")))
    check_bytes(answers, "entries")
    entries = [entry for answer in answers for entry in answer.json()["entries"]]
    assert len(entries) == 9
    assert {entry["event_id"] for entry in entries} == events


def dead_letters(gateway):
    answers = pages(gateway, hooks_path("s1", "dlq"))
    return [entry for answer in answers for entry in answer.json()["entries"]]


def test_an_entry_larger_than_a_page_is_a_page(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1ms", max_body_bytes=2 << 20)
    gateway.register("s1", make_receiver(reset()).url())
    for _ in range(2):
        gateway.publish("s1", data="x" * (PAGE_BYTES + 1000))
    wait_until(lambda: len(dead_letters(gateway)) == 2, what="two dead letters")
    answers = list(pages(gateway, hooks_path("s1", "dlq")))
    assert [len(answer.json()["entries"]) for answer in answers] == [1, 1]


def test_deliveries_make_full_pages_and_each_is_there_once(make_gateway, make_receiver):
    """An answer's text has 1024 bytes of each attempt; here three in JSON, and 15 attempts."""
    gateway = make_gateway(
        retry_schedule=",".join(["1ms"] * 14), circuit_failures=100_000, log_level="error"
    )
    receiver = make_receiver(status(500, b"\xff" * 1024))
    gateway.register("s1", receiver.url(), max_in_flight=64)
    batch = [{"session_id": "s1", "event": "message"}] * 40
    assert gateway.api("POST", "/events", json=batch).status_code == 202
    wait_until(lambda: len(dead_letters(gateway)) == 40, 60, "forty dead letters")
    answers = list(pages(gateway, "/sessions/s1/deliveries", limit=200))
    check_bytes(answers, "deliveries")
    deliveries = [d["id"] for answer in answers for d in answer.json()["deliveries"]]
    assert len(set(deliveries)) == len(deliveries) == 40


def test_an_event_shows_its_deliveries_as_far_as_a_page_goes(make_gateway, make_receiver):
    gateway = make_gateway(
        retry_schedule=",".join(["1ms"] * 14), circuit_failures=100_000, log_level="error"
    )
    receiver = make_receiver(status(500, b"\xff" * 1024))
    for n in range(40):
        gateway.register("s1", receiver.url(f"/{n}"))
    event = gateway.publish("s1")
    wait_until(lambda: len(dead_letters(gateway)) == 40, 60, "forty dead letters")
    answer = get(gateway, f"/sessions/s1/events/{event['id']}")
    body = answer.json()
    assert body["deliveries_count"] == 40
    assert 0 < len(body["deliveries"]) < 40
    assert PAGE_BYTES < len(answer.content) <= PAGE_BYTES + (1 << 16)


def test_a_scoped_token_is_told_of_no_other_session_by_a_cursor_either(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("scoped-token b d unused f\n")
    gateway = make_gateway(tokens_file=str(tokens))
    for session in "abcdefg":
        gateway.register(session, HOOK)
    names, cursors, query = [], [], "?limit=1"
    while True:
        answer = gateway.api("GET", "/sessions" + query, token="scoped-token")
        assert answer.status_code == 200, answer.text
        names += [s["id"] for s in answer.json()["sessions"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
        cursors.append(cursor)
        query = f"?limit=1&cursor={cursor}"
    assert names == ["b", "d", "f"]
    assert set(cursors) <= {"b", "d", "unused", "f"}
