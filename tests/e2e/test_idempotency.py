"""Repeats: a key or an id that was seen before gets the first answer and stores nothing."""

import json
import threading

import pytest

from harness import expect_error, hooks_path, wait_until

SESSION_EVENTS = "/sessions/s1/events"
SINGLE = b'{"event":"message","data":{"n":1}}'
NAMED = b'{"session_id":"s1","event":"message","data":{"n":1}}'
BATCH = b"[" + NAMED + b"," + NAMED + b"]"
REPLAYED = "Idempotent-Replayed"


def post(gateway, body, path=SESSION_EVENTS, key=None):
    headers = {} if key is None else {"Idempotency-Key": key}
    return gateway.api("POST", path, body=body, headers=headers)


def with_id(event_id, session="s1", **members):
    """The bytes of an envelope with an id."""
    members.setdefault("event", "message")
    return json.dumps({"session_id": session, "id": event_id, **members}).encode()


def batch_of(*events):
    return b"[" + b",".join(events) + b"]"


def expect_new(answer):
    assert answer.status_code == 202, answer.text
    assert REPLAYED not in answer.headers
    return answer


def expect_repeat(answer, first):
    """Asserts that `answer` is `first` once more, to the byte."""
    assert answer.status_code == first.status_code == 202, answer.text
    assert answer.content == first.content
    assert answer.headers[REPLAYED] == "true"


def ids_of(answer):
    body = answer.json()
    return [event["id"] for event in body.get("events", [body])]


def expect_arrived(gateway, receiver, *answers):
    """The events of `answers` and then a last one: nothing else lies in a fifo queue."""
    expected = [i for answer in answers for i in ids_of(answer)]
    expected.append(gateway.publish("s1")["id"])
    assert [r.id for r in receiver.wait_for(len(expected))] == expected


@pytest.fixture
def fifo(gateway, receiver):
    """A receiver of session s1's events, in their order."""
    gateway.register("s1", receiver.url(), ordering="fifo")
    return receiver


# The same again

REQUESTS = {
    "key": (SESSION_EVENTS, SINGLE, "k"),
    "key, session in the body": ("/events", NAMED, "k"),
    "key of a batch": ("/events", BATCH, "k"),
    "id": (SESSION_EVENTS, with_id("k"), None),
    "id, session in the body": ("/events", with_id("k"), None),
    "ids of a batch": ("/events", batch_of(with_id("k"), with_id("l")), None),
    "key and id": (SESSION_EVENTS, with_id("k"), "k"),
    "longest": (SESSION_EVENTS, with_id("~" * 128), "!" * 128),
    "odd characters": (SESSION_EVENTS, with_id(' "\\~'), '"a\\ b~'),
}


@pytest.fixture(params=REQUESTS.values(), ids=REQUESTS.keys())
def request_parts(request):
    return request.param


def test_repeat_gets_the_first_answer_and_is_not_delivered(gateway, fifo, request_parts):
    path, body, key = request_parts
    first = expect_new(post(gateway, body, path, key))
    for _ in range(3):
        expect_repeat(post(gateway, body, path, key), first)
    expect_arrived(gateway, fifo, first)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_repeat_is_known_after_a_restart(gateway, fifo, request_parts, end):
    path, body, key = request_parts
    first = expect_new(post(gateway, body, path, key))
    getattr(gateway, end)()
    gateway.start()
    expect_repeat(post(gateway, body, path, key), first)
    last = gateway.publish("s1")
    wait_until(lambda: last["id"] in fifo.ids, what="the last event")
    assert fifo.ids == {*ids_of(first), last["id"]}  # a crash may send one once more


def test_first_answer_stays_though_another_would_be_due_now(gateway, make_receiver):
    webhook = gateway.register("s1", make_receiver().url())
    first = expect_new(post(gateway, SINGLE, key="k"))
    assert first.json()["deliveries"] == 1
    assert gateway.api("DELETE", hooks_path("s1", webhook["id"])).ok
    expect_repeat(post(gateway, SINGLE, key="k"), first)


def later(gateway, timestamp):
    """Waits until what is published now has another time."""
    wait_until(
        lambda: gateway.publish("clock")["timestamp"] > timestamp, what="the next second"
    )


UNTIMED = {
    "key": (SESSION_EVENTS, SINGLE, "k"),
    "id": (SESSION_EVENTS, with_id("k"), None),
    "key of a batch": ("/events", BATCH, "k"),
    "ids of a batch": ("/events", batch_of(with_id("k"), with_id("l", timestamp=5)), "k"),
}


@pytest.mark.parametrize("path, body, key", UNTIMED.values(), ids=UNTIMED.keys())
def test_time_of_the_first_is_the_time_of_the_repeat(gateway, fifo, path, body, key):
    first = expect_new(post(gateway, body, path, key))
    later(gateway, max(e["timestamp"] for e in first.json().get("events", [first.json()])))
    expect_repeat(post(gateway, body, path, key), first)


def test_event_known_by_its_id_keeps_its_answer_in_a_batch_with_a_key(gateway, fifo):
    """Also in the batch's own repeat, where its id and its time are those of before."""
    known = expect_new(post(gateway, with_id("a")))
    later(gateway, known.json()["timestamp"])
    body = batch_of(NAMED, with_id("a"), with_id("b"), with_id("a"), NAMED)
    first = expect_new(post(gateway, body, "/events", key="k"))
    assert first.json()["events"][1] == first.json()["events"][3] == known.json()
    gateway.stop()
    gateway.start()
    expect_repeat(post(gateway, body, "/events", key="k"), first)


def test_form_of_the_first_is_the_form_of_the_repeat(gateway):
    """The same bytes as one envelope and as a batch of lines."""
    first = expect_new(post(gateway, NAMED, "/events", key="k"))
    lines = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"}
    again = gateway.api("POST", "/events", body=NAMED, headers=lines)
    expect_repeat(again, first)


def test_key_of_an_empty_batch_is_free(gateway):
    """Nothing was stored under it, and nothing has to be repeated."""
    for body in (b"[]", b"[]", BATCH):
        expect_new(post(gateway, body, "/events", key="k"))
    expect_error(post(gateway, b"[]", "/events", key="k"), 409)


def test_event_for_nobody_is_known_too(gateway, receiver):
    first = expect_new(post(gateway, SINGLE, key="k"))
    assert first.json()["deliveries"] == 0
    gateway.register("s1", receiver.url(), ordering="fifo")
    expect_repeat(post(gateway, SINGLE, key="k"), first)
    last = gateway.publish("s1")
    assert [r.id for r in receiver.wait_for(1)] == [last["id"]]


def test_id_and_key_are_not_passed_on(gateway, fifo):
    post(gateway, with_id("k", timestamp=5, data={"id": "kept"}), key="k")
    (request,) = fifo.wait_for(1)
    assert request.body == (
        b'{"session_id":"s1","event":"message","timestamp":5,"data":{"id":"kept"}}'
    )


# Something else under the same name


def test_other_body_under_a_key_is_a_conflict(gateway, fifo):
    first = expect_new(post(gateway, SINGLE, key="k"))
    for body in (SINGLE.replace(b"1", b"2"), with_id("k")):
        expect_error(post(gateway, body, key="k"), 409, "Idempotency-Key")
    expect_repeat(post(gateway, SINGLE, key="k"), first)
    expect_arrived(gateway, fifo, first)


def test_other_event_under_an_id_is_a_conflict(gateway, fifo):
    first = expect_new(post(gateway, with_id("k", data={"n": 1})))
    others = [
        with_id("k", data={"n": 2}), with_id("k", data={"n": 1}, timestamp=5),
        with_id("k", data={"n": 1}, event="receipt"), with_id("k", data={"n": 1}, more=1),
    ]
    for other in others:
        expect_error(post(gateway, other), 409, "id")
        expect_error(post(gateway, batch_of(with_id("new"), other), "/events"), 409, "[1].id")
    expect_repeat(post(gateway, with_id("k", data={"n": 1})), first)
    again = expect_new(post(gateway, with_id("new")))  # it was stored with none of them
    expect_arrived(gateway, fifo, first, again)


@pytest.mark.parametrize(
    "spelled",
    [
        b' {"session_id":"s1", "id":"k",\n"event":"message","data":{"n":1,"a":"\xc3\xa9/"}}\t',
        b'{"session_id":"s1","id":"\\u006b","event":"message",'
        b'"data":{"n":1e0,"a":"\\u00e9\\/"}}',
    ],
)
def test_same_event_spelled_otherwise_is_the_same(gateway, fifo, spelled):
    compact = b'{"session_id":"s1","id":"k","event":"message","data":{"n":1,"a":"\xc3\xa9/"}}'
    first = expect_new(post(gateway, compact))
    expect_repeat(post(gateway, spelled), first)
    expect_repeat(post(gateway, spelled, "/events"), first)
    expect_arrived(gateway, fifo, first)


# Whose names they are


def test_names_are_a_sessions_own(gateway):
    answers = [
        expect_new(post(gateway, SINGLE, key="k")),
        expect_new(post(gateway, SINGLE, "/sessions/s2/events", key="k")),
        expect_new(post(gateway, NAMED, "/events", key="k")),
        expect_new(post(gateway, with_id("k"))),
        expect_new(post(gateway, with_id("k", "s2"), "/sessions/s2/events")),
        expect_new(post(gateway, batch_of(with_id("k", "s3"), with_id("k", "s4")), "/events")),
    ]
    ids = [i for answer in answers for i in ids_of(answer)]
    assert len(ids) == len(set(ids)) == 7


def test_key_over_sessions_belongs_to_what_the_token_reaches(make_gateway, tmp_path):
    """Who reaches other sessions meets none of its keys; who reaches the same ones meets all."""
    tokens = tmp_path / "tokens"
    tokens.write_text(
        "token-of-s1 s1\nanother-of-s1 s1\ntoken-of-s2 s2\nof-both-in-order s1 s2\n"
        "of-both-reversed s2 s1\n"
    )
    tokens.chmod(0o600)
    gateway = make_gateway(tokens_file=tokens)

    def publish(token, session):
        answer = gateway.api(
            "POST",
            "/events",
            json={"session_id": session, "event": "message", "timestamp": 1767143203},
            headers={"Idempotency-Key": "the-same"},
            token=token,
        )
        assert answer.status_code == 202, answer.text
        return answer.json()["id"], "Idempotent-Replayed" in answer.headers

    first, replayed = publish("token-of-s1", "s1")
    assert not replayed
    assert publish("another-of-s1", "s1") == (first, True)
    ids = {first}
    for token, session in [("token-of-s2", "s2"), ("of-both-in-order", "s1"), (None, "s1")]:
        event, replayed = publish(token, session)
        assert not replayed and event not in ids
        ids.add(event)
    assert publish("of-both-reversed", "s1")[1]


def test_keys_and_ids_are_told_apart_by_every_character(gateway):
    names = ["k", "K", "k ", " k", "kk", "k" * 127, "k" * 128]
    ids = {ids_of(expect_new(post(gateway, with_id(name))))[0] for name in names}
    assert len(ids) == len(names)


# Batches


def test_twice_in_one_batch_is_one_event(gateway, fifo):
    items = [with_id("a"), with_id("b"), with_id("a"), with_id("a").replace(b":", b" : ")]
    answer = expect_new(post(gateway, batch_of(*items), "/events"))
    events = answer.json()["events"]
    assert answer.json()["accepted"] == 4
    assert events[0] == events[2] == events[3] != events[1]
    expect_repeat(post(gateway, batch_of(*items), "/events"), answer)
    last = gateway.publish("s1")
    expected = [events[0]["id"], events[1]["id"], last["id"]]
    assert [r.id for r in fifo.wait_for(3)] == expected


def test_one_id_for_two_events_of_a_batch_is_a_conflict(gateway, fifo):
    items = [with_id("b"), with_id("a", data=1), with_id("c"), with_id("a", data=2)]
    expect_error(post(gateway, batch_of(*items), "/events"), 409, "[3].id")
    expect_arrived(gateway, fifo, expect_new(post(gateway, with_id("b"))))


def test_batch_with_known_and_new_events_stores_the_new_ones(gateway, fifo):
    first = expect_new(post(gateway, with_id("a", data=1)))
    items = [with_id("b"), with_id("a", data=1), NAMED]
    answer = expect_new(post(gateway, batch_of(*items), "/events"))
    assert answer.json()["events"][1] == first.json()
    new = [i for i in ids_of(answer) if i not in ids_of(first)]
    assert len(new) == 2
    last = gateway.publish("s1")
    assert [r.id for r in fifo.wait_for(4)] == [*ids_of(first), *new, last["id"]]


def test_key_of_a_batch_goes_before_its_ids(gateway, fifo):
    body = batch_of(with_id("a"), NAMED)
    first = expect_new(post(gateway, body, "/events", key="k"))
    expect_repeat(post(gateway, body, "/events", key="k"), first)
    expect_error(post(gateway, batch_of(with_id("a")), "/events", key="k"), 409)
    other = expect_new(post(gateway, body, "/events", key="l"))
    assert ids_of(other)[0] == ids_of(first)[0] and ids_of(other)[1] != ids_of(first)[1]
    last = gateway.publish("s1")
    expected = [*ids_of(first), ids_of(other)[1], last["id"]]
    assert [r.id for r in fifo.wait_for(4)] == expected


def test_large_answer_is_kept_whole(gateway):
    items = [with_id(f"id-{n}") for n in range(3000)]
    first = expect_new(post(gateway, batch_of(*items), "/events", key="k"))
    assert len(first.content) > 300_000
    expect_repeat(post(gateway, batch_of(*items), "/events", key="k"), first)
    expect_repeat(post(gateway, batch_of(*items), "/events"), first)


# At once


def in_parallel(count, call):
    """What `count` calls return that begin together."""
    start = threading.Barrier(count)
    answers = []

    def run():
        start.wait()
        answers.append(call())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == count
    return answers


def test_equal_requests_that_race_are_one(gateway, fifo, request_parts):
    path, body, key = request_parts
    answers = in_parallel(8, lambda: post(gateway, body, path, key))
    (first,) = [answer for answer in answers if REPLAYED not in answer.headers]
    for answer in answers:
        if answer is not first:
            expect_repeat(answer, first)
    expect_arrived(gateway, fifo, expect_new(first))


def test_of_unequal_requests_that_race_one_wins(gateway, fifo):
    numbers = iter(range(8))
    answers = in_parallel(8, lambda: post(gateway, with_id("k", data=next(numbers))))
    (first,) = [answer for answer in answers if answer.status_code == 202]
    for answer in answers:
        if answer is not first:
            expect_error(answer, 409, "id")
    expect_arrived(gateway, fifo, first)


# Names that are none


@pytest.mark.parametrize("key", ["", "k" * 129, "a\tb", "\u00e9"])
def test_bad_key_is_refused(gateway, fifo, key):
    value = key.encode("latin-1")
    for path, body in [(SESSION_EVENTS, SINGLE), ("/events", NAMED), ("/events", BATCH)]:
        with gateway.connect() as client:
            client.send(
                f"POST /api/v1{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                f"{gateway.token}\r\nContent-Type: application/json\r\nContent-Length: "
                f"{len(body)}\r\nIdempotency-Key: ".encode() + value + b"\r\n\r\n" + body
            )
            expect_error(client.reply(), 400)
    expect_arrived(gateway, fifo)


def test_bad_key_is_named(gateway):
    expect_error(post(gateway, SINGLE, key="k" * 129), 400, "Idempotency-Key")


@pytest.mark.parametrize(
    "event_id", ["", "k" * 129, "a\tb", "\u00e9", "\x7f", 7, True, ["k"], {"k": 1}]
)
def test_bad_id_is_refused(gateway, fifo, event_id):
    expect_error(post(gateway, with_id(event_id)), 400, "id")
    batch = batch_of(with_id("k"), with_id(event_id))
    expect_error(post(gateway, batch, "/events"), 400, "[1].id")
    expect_arrived(gateway, fifo)


def test_request_that_was_refused_leaves_its_names_free(gateway, fifo):
    expect_error(post(gateway, b'{"event":"Bad"}', key="k"), 400)
    expect_error(post(gateway, SINGLE[:-1], key="k"), 400)
    expect_error(post(gateway, with_id("k", event="Bad")), 400)
    expect_error(post(gateway, batch_of(with_id("k"), b"7"), "/events"), 400)
    first = expect_new(post(gateway, SINGLE, key="k"))
    second = expect_new(post(gateway, with_id("k")))
    expect_arrived(gateway, fifo, first, second)
