"""The dead-letter queue: what gets there, what it shows, and the way back."""

import pytest

from harness import RFC3339, UUID7, Hold, expect_error, hooks_path, verify, wait_until

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
