"""Publishing events: what is answered, what is refused, and the envelope that comes of it."""

import time

import pytest

from harness import UUID7, expect_error, hooks_path

NOW = 1767143203


def publish(gateway, body, path="/sessions/s1/events"):
    """Publishes a JSON value, or exact bytes."""
    kind = "body" if isinstance(body, bytes) else "json"
    return gateway.api("POST", path, **{kind: body})


@pytest.fixture
def delivered(gateway, receiver):
    """Publishes one event and returns the body that a receiver gets of it."""
    gateway.register("s1", receiver.url())

    def publish_one(body, path="/sessions/s1/events"):
        answer = publish(gateway, body, path)
        assert answer.status_code == 202, answer.text
        (request,) = receiver.wait_for(1)
        assert request.id == answer.json()["id"]
        return request.body.decode()

    return publish_one


# Answers


def test_answer_tells_what_was_stored(gateway):
    answer = publish(gateway, {"event": "message", "timestamp": NOW, "data": {"a": 1}})
    assert answer.status_code == 202
    stored = answer.json()
    assert UUID7.fullmatch(stored["id"])
    assert stored == {
        "id": stored["id"], "session_id": "s1", "event": "message", "timestamp": NOW,
        "deliveries": 0,
    }


def test_every_event_has_an_id_of_its_own_that_grows(gateway):
    ids = [gateway.publish("s1", data={"same": True})["id"] for _ in range(5)]
    assert ids == sorted(set(ids))


def test_deliveries_counts_the_webhooks_that_match(gateway, receiver):
    gateway.register("s1", receiver.url("/a"))
    gateway.register("s1", receiver.url("/b"), events=["receipt", "message"])
    gateway.register("s1", receiver.url("/c"), events=["receipt"])
    disabled = gateway.register("s1", receiver.url("/d"))
    gateway.call("s1", disabled["id"], "disable")
    gateway.register("s2", receiver.url("/e"))
    assert gateway.publish("s1", "message")["deliveries"] == 2
    assert gateway.publish("s1", "receipt")["deliveries"] == 3
    assert gateway.publish("s1", "presence")["deliveries"] == 1
    assert gateway.publish("s3", "message")["deliveries"] == 0


@pytest.mark.parametrize("event", ["message", "new_in_2031", "a", "0.x_.", "a" * 64, "test"])
def test_any_well_formed_event_name_is_taken(gateway, event):
    assert gateway.publish("s1", event)["event"] == event


# The envelope


def test_timestamp_defaults_to_now_and_data_to_an_empty_object(gateway, delivered):
    before = int(time.time())
    body = delivered({"event": "message"})
    after = int(time.time())
    expected = '{"session_id":"s1","event":"message","timestamp":%d,"data":{}}'
    assert body in [expected % t for t in range(before, after + 1)]


@pytest.mark.parametrize(
    "data",
    ["{}", "null", "true", "false", "0", '"x"', '""', "[]", '[1,"a",null]', '{"a":{"b":[{}]}}'],
)
def test_data_is_any_json_value(delivered, data):
    body = delivered(b'{"event":"message","timestamp":%d,"data":%s}' % (NOW, data.encode()))
    assert body == '{"session_id":"s1","event":"message","timestamp":%d,"data":%s}' % (
        NOW, data
    )


@pytest.mark.parametrize("timestamp", [0, 1, NOW, 253402300799])
def test_timestamp_is_kept(delivered, timestamp):
    body = delivered({"event": "message", "timestamp": timestamp})
    assert '"timestamp":%d,"data"' % timestamp in body


def test_members_come_in_the_contracts_order_whatever_the_publishers(delivered):
    body = delivered(
        b' { "data" : { "b" : 1 , "a" : 2 } ,\n\t"timestamp":%d,\r\n"event":"message" } ' % NOW
    )
    assert body == (
        '{"session_id":"s1","event":"message","timestamp":%d,"data":{"b":1,"a":2}}' % NOW
    )


@pytest.mark.parametrize(
    "path, session", [("/sessions/s1/events", b""), ("/events", b'"session_id":"s1",')]
)
def test_unknown_members_pass_between_timestamp_and_data(delivered, path, session):
    body = delivered(
        b'{"zeta":[1.0],%s"event":"message","data":{"a":1},"offline":true,'
        b'"timestamp":%d,"":null}' % (session, NOW),
        path,
    )
    assert body == (
        '{"session_id":"s1","event":"message","timestamp":%d,'
        '"zeta":[1],"offline":true,"":null,"data":{"a":1}}' % NOW
    )


def test_session_in_the_envelope_may_repeat_the_paths(delivered):
    body = delivered({"session_id": "s1", "event": "message", "timestamp": NOW})
    assert body == '{"session_id":"s1","event":"message","timestamp":%d,"data":{}}' % NOW


def test_single_envelope_names_its_session_itself(gateway, delivered):
    body = delivered(
        {"session_id": "s1", "event": "receipt", "timestamp": NOW, "data": {"n": 1}}, "/events"
    )
    assert body == '{"session_id":"s1","event":"receipt","timestamp":%d,"data":{"n":1}}' % NOW


def test_single_envelope_is_answered_as_one_event(gateway):
    envelope = {"session_id": "s9", "event": "message", "timestamp": 5}
    answer = publish(gateway, envelope, "/events")
    assert answer.status_code == 202
    stored = answer.json()
    assert stored == {
        "id": stored["id"], "session_id": "s9", "event": "message", "timestamp": 5,
        "deliveries": 0,
    }


# Refusals

BAD_EVENTS = [
    "", "Message", "a b", "a-b", "\u00e9", "a" * 65, "all", 5, None, ["message"], "a\x00",
]
BAD_TIMES = ["1767143203", 1.5, -1, 253402300800, True, {}, "2026-01-01T00:00:00Z"]

BAD_ENVELOPES = [
    ({}, "event"),
    ({"data": {}}, "event"),
    *(({"event": event}, "event") for event in BAD_EVENTS),
    *(({"event": "message", "timestamp": t}, "timestamp") for t in BAD_TIMES),
    ({"event": "message", "session_id": 5}, "session_id"),
]


@pytest.mark.parametrize("envelope, field", BAD_ENVELOPES)
def test_bad_envelope_is_refused_by_field(gateway, receiver, envelope, field):
    gateway.register("s1", receiver.url(), ordering="fifo")
    expect_error(publish(gateway, envelope), 400, field)
    expect_error(publish(gateway, {"session_id": "s1", **envelope}, "/events"), 400, field)
    last = gateway.publish("s1", "message")
    assert receiver.wait_for(1)[0].id == last["id"]


def test_envelope_of_another_session_than_the_paths_is_refused(gateway):
    answer = publish(gateway, {"session_id": "s2", "event": "message"})
    expect_error(answer, 400, "session_id")


@pytest.mark.parametrize("session", [None, "", "a\nb", "\x80", "..", "*", "x" * 129, 5])
def test_single_envelope_without_a_good_session_is_refused(gateway, session):
    named = {} if session is None else {"session_id": session}
    expect_error(publish(gateway, {"event": "message", **named}, "/events"), 400, "session_id")


MALFORMED = [  # with the offset of the first byte that can't be
    (b"", 0),
    (b"  ", 2),
    (b"x", 0),
    (b'{"event":', 9),
    (b'{"event":"message",}', 19),
    (b'{"event":"message"} x', 20),
    (b'{"event":"message"}{}', 19),
    (b"{'event':1}", 1),
    (b'{"event":"message","data":nul}', None),
    (b'{"event":"message","data":01}', None),
    (b'{"event":"message","data":1.}', None),
    (b'{"event":"message","data":+1}', 26),
    (b'{"event":"message","data":NaN}', 26),
    (b'{"event":"message","data":[1,]}', 29),
    (b'{"event":"message","data":"a\tb"}', None),
    (b'{"event":"message","data":"\\x"}', None),
    (b'{"event":"message","data":"\\u12g4"}', None),
    (b'{"event":"message","data":"\xff"}', None),
    (b'{"event":"message","data":"\xc0\xaf"}', None),
    (b'{"event":"message","data":"\xed\xa0\x80"}', None),
    (b'{"event":"message","data":"\xf4\x90\x80\x80"}', None),
    (b'{"event":"message","data":"a\x00b"}', None),
    (b'\xef\xbb\xbf{"event":"message"}', 0),
    (b'{"event":"message","data":/**/1}', 26),
]


@pytest.mark.parametrize("body, offset", MALFORMED)
def test_malformed_json_is_refused_with_its_offset(gateway, body, offset):
    place = "at byte " if offset is None else f"at byte {offset}"
    expect_error(publish(gateway, body), 400, mentions=[place])


@pytest.mark.parametrize("body, offset", [(b"", 0), (b"{,", 1), (b'{"session_id":"s1" "', 19)])
def test_malformed_single_envelope_is_refused_with_its_offset(gateway, body, offset):
    expect_error(publish(gateway, body, "/events"), 400, mentions=[f"at byte {offset}"])


def test_malformed_json_stores_nothing(gateway, receiver):
    gateway.register("s1", receiver.url(), ordering="fifo")
    expect_error(publish(gateway, b'{"event":"message","data":{}'), 400)
    last = gateway.publish("s1", "message")
    assert receiver.wait_for(1)[0].id == last["id"]


@pytest.mark.parametrize("body", [b"5", b'"message"', b"null", b"[]"])
def test_envelope_that_is_no_object_is_refused(gateway, body):
    expect_error(publish(gateway, body), 400)


def test_nesting_is_bounded(gateway, delivered):
    deep = "[" * 60 + "]" * 60
    assert deep in delivered(b'{"event":"message","data":%s}' % deep.encode())
    for depth in (100, 100000):
        too_deep = b"[" * depth + b"]" * depth
        answer = publish(gateway, b'{"event":"message","data":%s}' % too_deep)
        assert answer.status_code in (400, 413)
        expect_error(answer, answer.status_code)


def test_test_call_sends_a_signed_event_to_that_webhook_only(gateway, make_receiver):
    tested, other = make_receiver(), make_receiver()
    webhook = gateway.register("s1", tested.url(), events=["message"], secret="s3cret")
    gateway.register("s1", other.url(), ordering="fifo")
    answer = gateway.api("POST", hooks_path("s1", webhook["id"], "test"))
    assert answer.status_code == 202
    (request,) = tested.wait_for(1)
    assert request.event == "test" and request.json()["event"] == "test"
    assert request.json()["session_id"] == "s1" and request.header("X-Webhook-Session") == "s1"
    assert request.header("X-Webhook-Signature")
    last = gateway.publish("s1", "message")
    assert [r.id for r in other.wait_for(1)] == [last["id"]]
