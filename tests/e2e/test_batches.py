"""Batches: an array or NDJSON of envelopes, stored as a whole or not at all."""

import json
import threading
import time

import pytest

from harness import UUID7, Hold, event_of_size, expect_error, hooks_path, wait_until

NDJSON = "application/x-ndjson"
FORMS = ["array", "ndjson"]
EVENTS_MAX = 10000


def encode(events, form):
    """The body and the content type of a batch. An event may be given as its very bytes."""
    texts = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    if form == "array":
        return b"[" + b",".join(texts) + b"]", "application/json"
    return b"".join(text + b"\n" for text in texts), NDJSON


def post(gateway, body, content_type, **kwargs):
    headers = {"Content-Type": content_type}
    return gateway.api("POST", "/events", body=body, headers=headers, **kwargs)


def publish(gateway, events, form="array", **kwargs):
    return post(gateway, *encode(events, form), **kwargs)


def accepted(answer):
    """The events of a batch's good answer."""
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert list(body) == ["accepted", "events"]
    assert body["accepted"] == len(body["events"])
    return body["events"]


def message(session="s1", **members):
    return {"session_id": session, "event": "message", **members}


def expect_nothing_stored(gateway, receiver):
    """The next event of a fifo webhook is the first to arrive: nothing lies before it."""
    last = gateway.publish("s1", "message")
    assert [r.id for r in receiver.wait_for(1)] == [last["id"]]


# Answers and deliveries


@pytest.mark.parametrize("form", FORMS)
def test_answers_come_in_the_order_of_the_events(gateway, receiver, form):
    gateway.register("s2", receiver.url(), events=["receipt"])
    batch = [
        message("s1", timestamp=5, data={"n": 1}),
        {"event": "receipt", "session_id": "s2", "timestamp": 7},
        message("s2", timestamp=6),
    ]
    events = accepted(publish(gateway, batch, form))
    ids = [event["id"] for event in events]
    assert all(UUID7.fullmatch(i) for i in ids) and ids == sorted(set(ids))
    assert events == [
        {"id": ids[0], "session_id": "s1", "event": "message", "timestamp": 5, "deliveries": 0},
        {"id": ids[1], "session_id": "s2", "event": "receipt", "timestamp": 7, "deliveries": 1},
        {"id": ids[2], "session_id": "s2", "event": "message", "timestamp": 6, "deliveries": 0},
    ]
    assert [r.id for r in receiver.wait_for(1)] == [ids[1]]


@pytest.mark.parametrize("form", FORMS)
def test_each_event_is_written_as_if_it_had_come_alone(gateway, receiver, form):
    gateway.register("s1", receiver.url(), ordering="fifo")
    batch = [
        b'{"zeta":1.0,"session_id":"s1","event":"message","timestamp":5,"data":"\xc3\xa9"}',
        b' { "event" : "receipt" , "timestamp" : 6 , "session_id" : "s1" } ',
    ]
    accepted(publish(gateway, batch, form))
    assert [r.body for r in receiver.wait_for(2)] == [
        b'{"session_id":"s1","event":"message","timestamp":5,"zeta":1,"data":"\xc3\xa9"}',
        b'{"session_id":"s1","event":"receipt","timestamp":6,"data":{}}',
    ]


@pytest.mark.parametrize("form", FORMS)
def test_empty_batch_is_taken_and_stores_nothing(gateway, form):
    assert accepted(publish(gateway, [], form)) == []


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n\n"])
def test_ndjson_of_empty_lines_is_an_empty_batch(gateway, body):
    assert accepted(post(gateway, body, NDJSON)) == []


def test_ndjson_takes_every_line_end_and_a_last_line_without_one(gateway):
    line = json.dumps(message()).encode()
    body = line + b"\n\n" + line + b"\r\n" + b" \t" + line + b" \n\r\n" + line
    assert len(accepted(post(gateway, body, NDJSON))) == 4


@pytest.mark.parametrize("content_type", [NDJSON + "; charset=utf-8", "Application/X-NDJSON"])
def test_ndjson_is_known_by_its_type_in_any_spelling(gateway, content_type):
    body, _ = encode([message(), message()], "ndjson")
    assert len(accepted(post(gateway, body, content_type))) == 2


def test_one_line_of_ndjson_is_a_batch_of_one(gateway):
    assert len(accepted(publish(gateway, [message()], "ndjson"))) == 1


def test_chunked_batch(gateway):
    body, _ = encode([message(), message("s2")], "array")

    def chunks():
        for n in range(0, len(body), 7):
            yield body[n : n + 7]

    answer = gateway.request(
        "POST", "/api/v1/events", headers={"Content-Type": "application/json"}, data=chunks()
    )
    assert [event["session_id"] for event in accepted(answer)] == ["s1", "s2"]


def test_batch_goes_to_every_webhook_that_matches(gateway, make_receiver):
    everything, messages, other = (make_receiver() for _ in range(3))
    gateway.register("s1", everything.url(), ordering="fifo")
    gateway.register("s1", messages.url(), ordering="fifo", events=["message"])
    gateway.register("s2", other.url(), ordering="fifo")
    batch = [
        {"session_id": f"s{1 + n % 2}", "event": "receipt" if n % 3 else "message"}
        for n in range(60)
    ]
    events = accepted(publish(gateway, batch))
    mine = [e for e in events if e["session_id"] == "s1"]
    wanted = {
        everything: mine,
        messages: [e for e in mine if e["event"] == "message"],
        other: [e for e in events if e["session_id"] == "s2"],
    }
    for receiver, expected in wanted.items():
        assert [r.id for r in receiver.wait_for(len(expected))] == [e["id"] for e in expected]


@pytest.mark.parametrize("form", FORMS)
def test_thousands_arrive_in_the_order_of_publishing(gateway, receiver, form):
    gateway.register("s1", receiver.url(), ordering="fifo")
    ids = []
    for batch in range(2):
        events = [message(data={"n": n}) for n in range(1000)]
        ids += [event["id"] for event in accepted(publish(gateway, events, form))]
    requests = receiver.wait_for(2000, timeout=45)
    assert [r.id for r in requests] == ids
    assert [r.json()["data"]["n"] for r in requests] == list(range(1000)) * 2


def test_batch_outlives_a_kill_right_behind_its_answer(gateway, receiver):
    gateway.register("s1", receiver.url())
    ids = {event["id"] for event in accepted(publish(gateway, [message()] * 200))}
    gateway.kill()
    gateway.start()
    wait_until(lambda: ids <= receiver.ids, what="every event of the batch")


# All or nothing

BAD_ITEMS = [  # with the field that is named, behind the item's place
    (b'{"session_id":"s1","event":"Message"}', ".event"),
    (b'{"session_id":"s1"}', ".event"),
    (b'{"event":"message"}', ".session_id"),
    (b'{"session_id":"s\\n1","event":"message"}', ".session_id"),
    (b'{"session_id":"s1","event":"message","timestamp":1.5}', ".timestamp"),
    (b'{"session_id":"s1","event":"message","id":""}', ".id"),
    (b'{"session_id":"s1","event":"message","id":7}', ".id"),
    (b"7", ""),
    (b"null", ""),
    (b"[]", ""),
    (b'{"session_id":"s1","event":"message","data":nul}', ""),
    (b'{"session_id":"s1","event":"message","data":"\xff"}', ""),
]


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("item, field", BAD_ITEMS)
def test_bad_item_of_an_array_is_named_and_nothing_stored(
    gateway, receiver, item, field, place
):
    gateway.register("s1", receiver.url(), ordering="fifo")
    batch = [message() for _ in range(4)]
    batch[place] = item
    expect_error(publish(gateway, batch), 400, f"[{place}]{field}")
    expect_nothing_stored(gateway, receiver)


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("item, field", BAD_ITEMS)
def test_bad_line_is_named_and_nothing_stored(gateway, receiver, item, field, place):
    gateway.register("s1", receiver.url(), ordering="fifo")
    batch = [message() for _ in range(4)]
    batch[place] = item
    answer = publish(gateway, batch, "ndjson")
    expect_error(answer, 400, f"[{place}]{field}", mentions=[f"line {place + 1}: "])
    expect_nothing_stored(gateway, receiver)


def test_line_numbers_count_empty_lines_and_places_do_not(gateway):
    body = b"\n\n" + json.dumps(message()).encode() + b"\n\n" + b"{}\n"
    answer = post(gateway, body, NDJSON)
    expect_error(answer, 400, "[1].session_id", mentions=["line 5: "])


ONE = b'{"session_id":"s1","event":"message"}'

BAD_ARRAYS = [  # with the offset of the first byte that can't be
    (b"[", 1),
    (b"[" + ONE, 38),
    (b"[" + ONE + b",", 39),
    (b"[" + ONE + b",]", 39),
    (b"[," + ONE + b"]", 1),
    (b"[" + ONE + b" " + ONE + b"]", 39),
    (b"[" + ONE + b"}", 38),
    (b"[" + ONE + b"]]", 39),
    (b"[" + ONE + b"] x", 40),
    (b"[" + ONE + b"][" + ONE + b"]", 39),
    (b"[" + ONE + b",[" + ONE[:-1], None),
    (ONE + b"\n" + ONE, 38),
    (ONE + b"," + ONE, 37),
]


@pytest.mark.parametrize("body, offset", BAD_ARRAYS)
def test_malformed_array_is_refused_with_its_offset(gateway, receiver, body, offset):
    gateway.register("s1", receiver.url(), ordering="fifo")
    place = "at byte " if offset is None else f"at byte {offset}:"
    expect_error(post(gateway, body, "application/json"), 400, mentions=[place])
    expect_nothing_stored(gateway, receiver)


BAD_LINES = [
    (ONE + ONE + b"\n", 1),
    (ONE + b"," + ONE + b"\n", 1),
    (ONE + b"\n" + ONE[:-1], 2),
    (ONE + b"\n" + ONE[:19] + b"\n" + ONE[19:], 2),  # one envelope over two lines
    (b"[" + ONE + b"]\n", 1),
    (ONE + b"\n\x00\n", 2),
    (b"\xef\xbb\xbf" + ONE, 1),
]


@pytest.mark.parametrize("body, line", BAD_LINES)
def test_malformed_ndjson_is_refused_with_its_line(gateway, receiver, body, line):
    gateway.register("s1", receiver.url(), ordering="fifo")
    expect_error(post(gateway, body, NDJSON), 400, mentions=[f"line {line}: "])
    expect_nothing_stored(gateway, receiver)


def test_first_bad_item_is_the_one_that_is_named(gateway):
    answer = publish(gateway, [message(), message(event="Bad"), b"7", b"{x"])
    expect_error(answer, 400, "[1].event")


@pytest.mark.parametrize("content_type", ["text/plain", "application/ndjson", ""])
def test_other_types_are_refused(gateway, content_type):
    expect_error(post(gateway, encode([message()], "array")[0], content_type), 415)


def test_session_call_takes_no_batch(gateway):
    path = "/sessions/s1/events"
    body, _ = encode([message()], "array")
    expect_error(gateway.api("POST", path, body=body), 400, mentions=["a JSON object"])
    headers = {"Content-Type": NDJSON}
    expect_error(gateway.api("POST", path, body=body, headers=headers), 415)


# Tokens


@pytest.fixture
def scoped(make_gateway, tmp_path):
    tokens_file = tmp_path / "tokens"
    tokens_file.write_text("scoped-a session-a\nscoped-ab session-a session-b\n")
    return make_gateway(tokens_file=tokens_file)


@pytest.mark.parametrize("form", FORMS)
def test_token_must_reach_the_session_of_every_event(scoped, receiver, form):
    scoped.register("session-a", receiver.url(), ordering="fifo")
    batch = [message("session-a"), message("session-b")]
    answer = publish(scoped, batch, form, token="scoped-a")
    expect_error(answer, 403, "[1].session_id", mentions=["token"])
    event = accepted(publish(scoped, batch[:1], form, token="scoped-a"))[0]
    assert len(accepted(publish(scoped, batch, form, token="scoped-ab"))) == 2
    assert receiver.wait_for(2)[0].id == event["id"]


def test_token_must_reach_the_session_of_a_single_envelope(scoped):
    single = json.dumps(message("session-b")).encode()
    expect_error(
        post(scoped, single, "application/json", token="scoped-a"), 403, "session_id"
    )
    assert post(scoped, single, "application/json", token="scoped-ab").status_code == 202


# Limits


@pytest.mark.parametrize("form", FORMS)
def test_batch_over_its_limit_is_refused(make_gateway, form):
    gateway = make_gateway(max_body_bytes=1000, max_batch_bytes=4000)
    events = [message(data="x" * 400) for _ in range(7)]
    body, content_type = encode(events, form)
    most, over = body + b" " * (4000 - len(body)), body + b" " * (4001 - len(body))
    expect_error(post(gateway, over, content_type), 413, mentions=["4000"])
    assert len(accepted(post(gateway, most, content_type))) == 7


@pytest.mark.parametrize("form", FORMS)
def test_event_in_a_batch_has_the_limit_of_a_single_one(make_gateway, receiver, form):
    gateway = make_gateway(max_body_bytes=1000)
    gateway.register("s1", receiver.url(), ordering="fifo")
    frame = len(json.dumps(message(data="")))
    most, over = (message(data="x" * (size - frame)) for size in (1000, 1001))
    answer = publish(gateway, [most, over], form)
    expect_error(answer, 413, "[1]", mentions=["max_body_bytes: at most 1000 bytes"])
    assert len(accepted(publish(gateway, [most, most], form))) == 2
    assert len(receiver.wait_for(2)) == 2


def test_single_event_keeps_its_limit_though_a_batch_may_be_larger(make_gateway):
    gateway = make_gateway(max_body_bytes=1000, max_batch_bytes=4000)
    body = event_of_size(1001)
    answer = gateway.api("POST", "/sessions/s1/events", body=body)
    expect_error(answer, 413, mentions=["max_body_bytes: at most 1000 bytes"])
    single = b'{"session_id":"s1",' + event_of_size(1001 - 18)[1:]
    expect_error(post(gateway, single, "application/json"), 413, mentions=["max_body_bytes: at most 1000 bytes"])
    assert gateway.api("POST", "/sessions/s1/events", body=body[:-3] + b'"}').ok


@pytest.mark.parametrize("form", FORMS)
def test_number_of_events_is_bounded(gateway, form):
    expect_error(publish(gateway, [ONE] * (EVENTS_MAX + 1), form), 413, mentions=["10000"])
    assert len(accepted(publish(gateway, [ONE] * EVENTS_MAX, form))) == EVENTS_MAX


def test_number_of_deliveries_is_bounded(gateway, receiver):
    for n in range(11):
        gateway.register("s1", receiver.url(f"/{n}"), ordering="fifo")
    answer = publish(gateway, [ONE] * EVENTS_MAX)
    expect_error(
        answer, 413,
        mentions=["4546 events make 50006 deliveries", "at most 50000", "split the batch"],
    )
    last = gateway.publish("s1")
    assert {r.id for r in receiver.wait_for(11)} == {last["id"]}


def test_a_batch_costs_nothing_for_webhooks_that_want_something_else(gateway):
    """In processor time, compared with a session that has no webhooks; five batches each."""
    for n in range(1000):
        gateway.register("crowd", f"http://127.0.0.1:9/{n}", events=["receipt"])
    spent = {}
    for session in ("empty", "crowd"):
        before = cpu_s(gateway)
        for _ in range(5):
            events = [{"session_id": session, "event": "message"}] * EVENTS_MAX
            assert {e["deliveries"] for e in accepted(publish(gateway, events))} == {0}
        spent[session] = cpu_s(gateway) - before
    print(spent)
    assert spent["crowd"] < 2 * spent["empty"] + 0.2


def cpu_s(gateway):
    (line,) = [
        line
        for line in gateway.request("GET", "/metrics").text.splitlines()
        if line.startswith("process_cpu_seconds_total ")
    ]
    return float(line.split()[1])


def test_largest_batch_leaves_the_others_served(gateway, make_receiver):
    """/livez answers while 10000 events in 8 MiB are read and stored; five seconds are ages."""
    receiver = make_receiver(Hold())
    gateway.register("s1", receiver.url())
    room = 8 * 1024 * 1024 // EVENTS_MAX - len(json.dumps(message(data=""))) - 1
    body, content_type = encode([message(data="x" * room)] * EVENTS_MAX, "array")
    body += b" " * (8 * 1024 * 1024 - len(body))
    answers, waits = [], []
    publisher = threading.Thread(
        target=lambda: answers.append(post(gateway, body, content_type))
    )
    publisher.start()
    while publisher.is_alive() or not waits:
        before = time.monotonic()
        assert gateway.request("GET", "/livez").status_code == 200
        waits.append(time.monotonic() - before)
    publisher.join()
    assert {event["deliveries"] for event in accepted(answers[0])} == {1}
    print(f"{len(waits)} requests meanwhile, the slowest took {max(waits):.3f} s")
    assert max(waits) < 5


def test_a_webhook_that_leaves_takes_its_part_of_the_batch_with_it(gateway, make_receiver):
    hold = Hold()
    gone, kept = make_receiver(hold), make_receiver()
    webhook = gateway.register("s1", gone.url(), ordering="fifo")
    gateway.register("s1", kept.url(), ordering="fifo")
    ids = [event["id"] for event in accepted(publish(gateway, [ONE] * 300))]
    gone.wait_for(1)
    assert gateway.api("DELETE", hooks_path("s1", webhook["id"])).status_code == 200
    assert [r.id for r in kept.wait_for(300)] == ids
    hold.release()
    last = gateway.publish("s1")
    assert last["deliveries"] == 1
    assert kept.wait_for(301)[-1].id == last["id"]
    assert len(gone.requests) == 1
