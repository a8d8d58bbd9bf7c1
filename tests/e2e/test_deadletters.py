"""The dead-letter queue: what gets there, what it shows, and the way back."""

import pytest

from harness import (
    RFC3339,
    UUID7,
    Hold,
    expect_error,
    hooks_path,
    verify,
    wait_until,
    waybill,
)

UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(retry_schedule="20ms,20ms")


def wait_dead(gateway, count, session="s1"):
    """Waits until the session has `count` dead letters and returns them."""
    return wait_until(
        lambda: len(entries := gateway.dlq(session)) == count and entries,
        what=f"{count} dead letters",
    )


def replay(gateway, entry, session="s1"):
    answer = gateway.replay(session, entry["id"])
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "Webhook DLQ entry replay scheduled"}


def wait_empty(gateway, session="s1"):
    wait_until(lambda: gateway.dlq(session) == [], what="empty dead-letter queue")


def test_queue_is_empty_at_first(gateway):
    answer = gateway.api("GET", hooks_path("s1", "dlq"))
    assert answer.status_code == 200
    assert answer.json() == {"entries": [], "count": 0, "next_cursor": None}


def test_delivery_dies_after_its_schedule(gateway, make_receiver):
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url())
    event = gateway.publish("s1", "message", timestamp=5, data={"a": "\u00e9\u2028/", "n": 1.5})
    (entry,) = wait_dead(gateway, 1)
    requests = receiver.wait_for(3)
    assert [r.attempt for r in requests] == [1, 2, 3]
    assert {r.id for r in requests} == {event["id"]}
    assert UUID7.fullmatch(entry["id"])
    assert entry["session_id"] == "s1"
    assert entry["webhook_id"] == webhook["id"]
    assert entry["webhook_url"] == receiver.url()
    assert entry["event"] == "message"
    assert entry["payload"].encode() == requests[0].body
    assert "500" in entry["last_error"]
    assert entry["attempts"] == 3
    assert RFC3339.fullmatch(entry["failed_at"])


def test_webhooks_own_schedule_goes_before_the_general_one(gateway, make_receiver):
    receiver = make_receiver(500)
    gateway.register("s1", receiver.url(), retry=["10ms"])
    gateway.publish("s1")
    assert wait_dead(gateway, 1)[0]["attempts"] == 2
    assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    "act, words", [(404, "404"), (302, "302"), (Hold(), "timeout")], ids=["404", "302", "hang"]
)
def test_last_error_says_what_happened(gateway, make_receiver, act, words):
    gateway.register("s1", make_receiver(act).url(), timeout_ms=100)
    gateway.publish("s1")
    assert words in wait_dead(gateway, 1)[0]["last_error"]


def test_receiver_that_is_down_is_an_error_and_gets_its_event_on_replay(gateway, make_receiver):
    down = make_receiver()
    down.close()
    gateway.register("s1", down.url())
    event = gateway.publish("s1")
    (entry,) = wait_dead(gateway, 1)
    assert "connect" in entry["last_error"].lower()
    up = make_receiver(port=down.port)
    replay(gateway, entry)
    assert up.wait_for(1)[0].id == event["id"]
    wait_empty(gateway)


def test_only_the_webhook_that_failed_has_a_dead_letter(gateway, make_receiver):
    good, bad = make_receiver(), make_receiver(500)
    gateway.register("s1", good.url())
    webhook = gateway.register("s1", bad.url())
    gateway.publish("s1")
    good.wait_for(1)
    assert [e["webhook_id"] for e in wait_dead(gateway, 1)] == [webhook["id"]]


@pytest.fixture
def failing(make_receiver):
    return make_receiver(500)


@pytest.fixture
def five_dead(gateway, failing):
    """Five dead letters, dead in the order in which they are returned."""
    gateway.register("s1", failing.url(), ordering="fifo", retry=["1ms"])
    ids = []
    for n in range(5):
        gateway.publish("s1", data={"n": n})
        ids.append(wait_dead(gateway, n + 1)[0]["id"])
    return ids


def page(gateway, query):
    answer = gateway.api("GET", hooks_path("s1", "dlq") + query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [entry["id"] for entry in body["entries"]], body


def test_newest_come_first(gateway, five_dead):
    ids, body = page(gateway, "")
    assert ids == five_dead[::-1]
    assert (body["count"], body["next_cursor"]) == (5, None)
    times = [entry["failed_at"] for entry in body["entries"]]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 5, 200])
def test_pages_have_every_entry_once(gateway, five_dead, limit):
    seen, query = [], f"?limit={limit}"
    for _ in range(6):
        ids, body = page(gateway, query)
        assert len(ids) <= limit
        seen += ids
        if body["next_cursor"] is None:
            break
        query = f"?limit={limit}&cursor={body['next_cursor']}"
    assert body["next_cursor"] is None
    assert seen == five_dead[::-1]


def test_page_goes_on_where_the_last_ended_though_entries_have_left(
    gateway, failing, five_dead
):
    """The cursor names a place, not a number of entries."""
    ids, body = page(gateway, "?limit=2")
    failing.answer(200)
    for entry_id in ids:
        replay(gateway, {"id": entry_id})
    wait_until(lambda: len(gateway.dlq("s1")) == 3, what="replayed entries to leave")
    assert page(gateway, f"?limit=2&cursor={body['next_cursor']}")[0] == five_dead[2:0:-1]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "1.5", "99999999999999999999"])
def test_bad_limit_is_refused(gateway, limit):
    expect_error(gateway.api("GET", hooks_path("s1", f"dlq?limit={limit}")), 400, "limit")


@pytest.mark.parametrize("cursor", ["x", "%00", "a" * 500])
def test_bad_cursor_is_refused(gateway, cursor):
    expect_error(gateway.api("GET", hooks_path("s1", f"dlq?cursor={cursor}")), 400, "cursor")


def test_replay_sends_the_same_bytes_and_id_and_empties_the_queue(gateway, make_receiver):
    receiver = make_receiver(500)
    gateway.register("s1", receiver.url(), secret="s3cret")
    event = gateway.publish("s1", data={"text": "\u00e9\u2028", "n": 1.0})
    (entry,) = wait_dead(gateway, 1)
    receiver.answer(200)
    replay(gateway, entry)
    replayed = receiver.wait_for(4)[3]
    assert replayed.id == event["id"]
    assert replayed.body == receiver.requests[0].body
    verify(replayed, "s3cret")
    wait_empty(gateway)
    expect_error(gateway.replay("s1", entry["id"]), 404)


def test_replay_that_fails_again_is_dead_again(gateway, make_receiver):
    receiver = make_receiver(500)
    gateway.register("s1", receiver.url())
    event = gateway.publish("s1")
    (entry,) = wait_dead(gateway, 1)
    replay(gateway, entry)
    receiver.wait_for(4)
    (entry,) = wait_dead(gateway, 1)
    receiver.answer(200)
    wait_until(lambda: gateway.replay("s1", entry["id"]).ok, what="second replay")
    wait_empty(gateway)
    assert {r.id for r in receiver.requests} == {event["id"]}


def test_replay_of_what_is_not_there_is_404(gateway, make_receiver):
    gateway.register("s1", make_receiver(500).url())
    gateway.publish("s1")
    (entry,) = wait_dead(gateway, 1)
    for session, entry_id in [("s2", entry["id"]), ("s1", UNKNOWN_ID), ("s1", "not-an-id")]:
        expect_error(gateway.replay(session, entry_id), 404)
    assert gateway.dlq("s2") == []
    assert gateway.dlq("s1") == [entry]


def test_one_is_deleted_and_not_sent_again(gateway, failing, five_dead):
    answer = gateway.api("DELETE", hooks_path("s1", "dlq", five_dead[2]))
    assert answer.json() == {"success": True, "message": "Webhook DLQ entry deleted"}
    left = five_dead[:2] + five_dead[3:]
    assert page(gateway, "")[0] == left[::-1]
    for there in (five_dead[2], UNKNOWN_ID, "not-an-id"):
        expect_error(gateway.api("DELETE", hooks_path("s1", "dlq", there)), 404)
    expect_error(gateway.api("DELETE", hooks_path("s2", "dlq", left[0])), 404)
    expect_error(gateway.replay("s1", five_dead[2]), 404)
    assert page(gateway, "")[0] == left[::-1]


@pytest.fixture
def two_failing(make_gateway, failing):
    """A gateway with 300 dead letters of one webhook and 5 of another, and one of session s2."""
    gateway = make_gateway(retry_schedule="1ms", circuit_failures=10000)
    many = gateway.register("s1", failing.url("/many"), events=["message"], max_in_flight=64)
    few = gateway.register("s1", failing.url("/few"), events=["receipt"])
    gateway.register("s2", failing.url("/other"))
    events = [{"session_id": "s1", "event": "receipt"}] * 5
    events += [{"session_id": "s1", "event": "message"}] * 300
    events += [{"session_id": "s2", "event": "message"}]
    assert gateway.api("POST", "/events", json=events).status_code == 202
    wait_until(lambda: count_dead(gateway, "s1") == 305, 30, "305 dead letters")
    wait_until(lambda: count_dead(gateway, "s2") == 1)
    return gateway, many, few


def pages(gateway, session, query=""):
    """All entries, page by page."""
    entries, cursor = [], ""
    while True:
        answer = gateway.api("GET", hooks_path(session, f"dlq?limit=200{query}{cursor}"))
        assert answer.status_code == 200, answer.text
        entries += answer.json()["entries"]
        if answer.json()["next_cursor"] is None:
            return entries
        cursor = "&cursor=" + answer.json()["next_cursor"]


def count_dead(gateway, session, query=""):
    return len(pages(gateway, session, query))


def all_of(gateway, method, path, session="s1"):
    """A purge or a replay of all; how many it says it is about."""
    answer = gateway.api(method, hooks_path(session, "dlq" + path))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    kind = "purge" if method == "DELETE" else "replay"
    assert body["success"] is True and body["more"] is False
    assert body["message"] == f"Webhook DLQ {kind} scheduled"
    return body["count"]


def test_filter_by_webhook(two_failing):
    gateway, many, few = two_failing
    for webhook, count in ((many, 300), (few, 5)):
        entries = pages(gateway, "s1", f"&webhook={webhook['id']}")
        assert len({e["id"] for e in entries}) == len(entries) == count
        assert {e["webhook_id"] for e in entries} == {webhook["id"]}
    assert count_dead(gateway, "s1", "&webhook=b807d7e0-f783-4252-9d6d-76f50e2e8348") == 0
    first = page(gateway, f"?limit=2&webhook={few['id']}")
    assert len(first[0]) == 2
    rest = pages(gateway, "s1", f"&webhook={few['id']}")
    assert [e["id"] for e in rest[:2]] == first[0]
    for call in [("GET", ""), ("DELETE", ""), ("POST", "/replay")]:
        path = hooks_path("s1", f"dlq{call[1]}?webhook=x")
        expect_error(gateway.api(call[0], path), 400, "webhook")


@pytest.mark.parametrize("killed", [False, True])
def test_purge_of_all_and_of_a_webhook(two_failing, killed):
    gateway, many, few = two_failing
    assert all_of(gateway, "DELETE", f"?webhook={few['id']}") == 5
    wait_until(lambda: count_dead(gateway, "s1") == 300)
    assert all_of(gateway, "DELETE", "") == 300
    if killed:
        gateway.kill()
        gateway.start()
    wait_until(lambda: count_dead(gateway, "s1") == 0)
    assert all_of(gateway, "DELETE", "") == 0
    assert count_dead(gateway, "s2") == 1
    gateway.stop()
    done = waybill("fsck", gateway.directory / "data")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("killed", [False, True])
def test_replay_of_all_and_of_a_webhook(two_failing, failing, killed):
    gateway, many, few = two_failing
    failing.answer(200)
    failing.requests.clear()
    assert all_of(gateway, "POST", f"/replay?webhook={few['id']}") == 5
    wait_until(lambda: count_dead(gateway, "s1") == 300)
    assert {r.path for r in failing.wait_for(5)} == {"/few"}
    assert all_of(gateway, "POST", "/replay") == 300
    if killed:
        gateway.kill()
        gateway.start()
    wait_until(lambda: count_dead(gateway, "s1") == 0)
    wait_until(lambda: len({r.id for r in failing.requests}) == 305, 30, "all again")
    assert {r.attempt for r in failing.requests} == {3}
    assert count_dead(gateway, "s2") == 1


def test_what_dies_again_is_not_replayed_twice(two_failing):
    gateway, many, few = two_failing
    assert all_of(gateway, "POST", "/replay") == 305
    wait_until(
        lambda: [e["attempts"] for e in pages(gateway, "s1")] == [4] * 305, 30, "dead again"
    )
    assert all_of(gateway, "POST", "/replay", "s2") == 1


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_dead_letters_outlive_the_process(gateway, make_receiver, how):
    receiver = make_receiver(500)
    gateway.register("s1", receiver.url())
    event = gateway.publish("s1")
    before = wait_dead(gateway, 1)
    getattr(gateway, how)()
    gateway.start()
    assert gateway.dlq("s1") == before
    receiver.answer(200)
    replay(gateway, before[0])
    assert receiver.wait_for(4)[3].id == event["id"]
