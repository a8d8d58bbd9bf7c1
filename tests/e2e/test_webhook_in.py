"""webhook-in: what another WA-RS or waxum delivers, let in by its signature."""

import json
import re
import time

import pytest

from harness import UUID7, expect_error, sign_v1, sign_v2, verify

PATH = "/sessions/s1/webhook-in"
COMMON, OWN = "common-secret", "own=secret"
BODY = b'{"session_id":"s1","event":"message","timestamp":1767143203,"data":{"n":1}}'
WINDOW_S = 300
FAR_S = 20  # beyond the window by more than a slow machine takes to send a request


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(inbound_secret=COMMON, session_inbound_secrets=f"own={OWN}")


@pytest.fixture
def fifo(gateway, receiver):
    gateway.register("s1", receiver.url(), ordering="fifo")
    return receiver


def deliver(gateway, body=BODY, headers=None, session="s1", token=""):
    return gateway.api(
        "POST", f"/sessions/{session}/webhook-in", body=body, headers=headers, token=token
    )


def v1(secret=COMMON, body=BODY):
    return {"X-Webhook-Signature": sign_v1(secret, body)}


def v2(secret=COMMON, body=BODY, off_s=0):
    timestamp = str(int(time.time()) + off_s)
    return {
        "X-Webhook-Signature": sign_v2(secret, timestamp, body),
        "X-Webhook-Signature-Version": "v2",
        "X-Webhook-Timestamp": timestamp,
    }


def taken(answer):
    assert answer.status_code == 200, answer.text
    assert "Idempotent-Replayed" not in answer.headers
    return answer.json()


def expect_401(answer):
    expect_error(answer, 401)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def expect_arrived(gateway, receiver, *ids):
    """Nothing but these lies in the fifo queue."""
    last = gateway.publish("s1")
    assert [r.id for r in receiver.wait_for(len(ids) + 1)] == [*ids, last["id"]]


# Signatures


@pytest.mark.parametrize("sign", [v1, v2])
def test_signed_delivery_is_published(gateway, fifo, sign):
    stored = taken(deliver(gateway, headers=sign()))
    assert UUID7.fullmatch(stored["id"])
    assert stored == {
        "id": stored["id"], "session_id": "s1", "event": "message",
        "timestamp": 1767143203, "deliveries": 1,
    }
    (request,) = fifo.wait_for(1)
    assert (request.id, request.body) == (stored["id"], BODY)


@pytest.mark.parametrize("off_s", [-WINDOW_S + FAR_S, WINDOW_S - FAR_S])
def test_v2_within_the_window_is_taken(gateway, off_s):
    taken(deliver(gateway, headers=v2(off_s=off_s)))


@pytest.mark.parametrize("off_s", [-WINDOW_S - FAR_S, WINDOW_S + FAR_S, -10**9, 10**12])
def test_v2_outside_the_window_is_refused(gateway, fifo, off_s):
    expect_401(deliver(gateway, headers=v2(off_s=off_s)))
    expect_arrived(gateway, fifo)


def replace(headers, **values):
    """Headers with others in their place, or without those that are None."""
    names = {name.replace("_", "-"): value for name, value in values.items()}
    return {name: v for name, v in {**headers, **names}.items() if v is not None}


UNSIGNED = {
    "nothing": lambda: {},
    "v1 of another secret": lambda: v1("other"),
    "v2 of another secret": lambda: v2("other"),
    "v1 of another session's secret": lambda: v1(OWN),
    "v1 of another body": lambda: v1(body=BODY + b" "),
    "v2 of another body": lambda: v2(body=BODY + b" "),
    "v1 that says v2": lambda: replace(v2(), **v1()),
    "v2 that says v1": lambda: replace(v2(), X_Webhook_Signature_Version="v1"),
    "v2 that says nothing": lambda: replace(v2(), X_Webhook_Signature_Version=None),
    "v2 without a time": lambda: replace(v2(), X_Webhook_Timestamp=None),
    "v2 with another time": lambda: replace(
        v2(off_s=-5), X_Webhook_Timestamp=str(int(time.time()))
    ),
    "v2 with no number for a time": lambda: replace(v2(), X_Webhook_Timestamp="now"),
    "v2 with a negative time": lambda: replace(v2(), X_Webhook_Timestamp="-1"),
    "v2 with an immense time": lambda: replace(v2(), X_Webhook_Timestamp="9" * 30),
    "empty": lambda: {"X-Webhook-Signature": ""},
    "a prefix": lambda: {"X-Webhook-Signature": sign_v1(COMMON, BODY)[:-1]},
    "more": lambda: {"X-Webhook-Signature": sign_v1(COMMON, BODY) + "0"},
    "no sha256=": lambda: {"X-Webhook-Signature": sign_v1(COMMON, BODY)[7:]},
    "the secret": lambda: {"X-Webhook-Signature": COMMON},
}


@pytest.mark.parametrize("headers", UNSIGNED.values(), ids=UNSIGNED.keys())
def test_without_a_good_signature_nothing_is_taken(gateway, fifo, headers):
    expect_401(deliver(gateway, headers=headers()))
    expect_arrived(gateway, fifo)


def test_signature_comes_before_the_body(gateway):
    """Who may not publish does not learn what would be wrong with the body."""
    for body in (b"", b"{", b"[]"):
        expect_401(deliver(gateway, body=body, headers=v1(body=BODY)))


@pytest.mark.parametrize("sign", [v1, v2])
def test_sessions_own_secret_goes_before_the_common_one(gateway, sign):
    body = BODY.replace(b"s1", b"own")
    expect_401(deliver(gateway, body, sign(COMMON, body), session="own"))
    assert taken(deliver(gateway, body, sign(OWN, body), session="own"))["session_id"] == "own"


def test_session_without_a_secret_takes_none(make_gateway):
    gateway = make_gateway(session_inbound_secrets="own=x1,other=x2")
    expect_401(deliver(gateway, headers=v1("x1")))
    expect_401(deliver(gateway, headers=v1("")))
    body = BODY.replace(b"s1", b"other")
    taken(deliver(gateway, body, v1("x2", body), session="other"))
    expect_401(deliver(gateway, body, v1("x1", body), session="other"))


def test_secrets_come_from_the_environment_too(make_gateway):
    gateway = make_gateway(env={"WAYBILL_INBOUND_SECRET": "from the environment"})
    taken(deliver(gateway, headers=v1("from the environment")))
    assert "from the environment" not in gateway.log_text()


# Tokens

TOKENS = "scoped-one s1\nscoped-two s2\n"


@pytest.fixture
def scoped(make_gateway, tmp_path):
    tokens_file = tmp_path / "tokens"
    tokens_file.write_text(TOKENS)
    return make_gateway(tokens_file=tokens_file, inbound_secret=COMMON)


def test_token_takes_the_place_of_the_signature(scoped):
    assert taken(deliver(scoped, token=scoped.token))["deliveries"] == 0
    taken(deliver(scoped, body=BODY + b" ", token="scoped-one"))
    taken(deliver(scoped, body=BODY + b"  ", token="scoped-one", headers=v1("wrong")))


@pytest.mark.parametrize("token", ["wrong-token", "scoped-two"])
def test_token_that_does_not_reach_the_session_is_none(scoped, token):
    expect_401(deliver(scoped, token=token))
    expect_401(deliver(scoped, token=token, headers=v1("wrong")))
    taken(deliver(scoped, token=token, headers=v1()))


def test_signature_is_needed_where_no_token_is_configured(make_gateway):
    gateway = make_gateway(token=None, inbound_secret=COMMON)
    expect_401(deliver(gateway))
    taken(deliver(gateway, headers=v1()))


# Bodies


def test_same_bytes_are_one_event(gateway, fifo):
    first = deliver(gateway, headers=v1())
    for headers in (v1(), v2(), {}):
        token = "" if headers else gateway.token
        again = deliver(gateway, headers=headers, token=token)
        assert again.status_code == 200
        assert again.content == first.content
        assert again.headers["Idempotent-Replayed"] == "true"
    expect_arrived(gateway, fifo, taken(first)["id"])


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_same_bytes_are_known_after_a_restart(gateway, end):
    first = deliver(gateway, headers=v1())
    getattr(gateway, end)()
    gateway.start()
    again = deliver(gateway, headers=v1())
    assert again.content == first.content and again.headers["Idempotent-Replayed"] == "true"


def test_other_bytes_are_another_event(gateway, fifo):
    bodies = [BODY, BODY + b" ", BODY.replace(b"message", b"receipt")]
    ids = [taken(deliver(gateway, body, v1(body=body)))["id"] for body in bodies]
    assert len(set(ids)) == 3
    expect_arrived(gateway, fifo, *ids)


def test_same_bytes_in_another_session_are_another_event(gateway):
    body = b'{"event":"message","data":{}}'
    first = taken(deliver(gateway, body, v1(body=body)))
    second = taken(deliver(gateway, body, v1(body=body), session="s2"))
    assert (first["session_id"], second["session_id"]) == ("s1", "s2")
    assert first["id"] != second["id"]


def test_published_event_and_delivered_one_are_two(gateway, fifo):
    published = gateway.api("POST", "/sessions/s1/events", body=BODY).json()
    delivered = taken(deliver(gateway, headers=v1()))
    expect_arrived(gateway, fifo, published["id"], delivered["id"])


def test_envelope_of_another_session_is_refused(gateway, fifo):
    body = BODY.replace(b"s1", b"s2")
    expect_error(deliver(gateway, body, v1(body=body)), 400, "session_id")
    expect_arrived(gateway, fifo)


def test_members_of_a_waxum_pass_through(gateway, fifo):
    body = (
        b'{"session_id":"s1","event":"undecryptable_message","timestamp":1767143203,'
        b'"offline":true,"instance":"waxum-1","data":{"text":"\xc3\xa9\xe2\x80\xa8","n":1.0}}'
    )
    taken(deliver(gateway, body, v1(body=body)))
    assert fifo.wait_for(1)[0].body == body.replace(b"1.0", b"1")


@pytest.mark.parametrize(
    "body, field",
    [
        (b'{"session_id":"another","event":"message"}', "session_id"),
        (b"[" + BODY + b"]", None),
        (BODY[:-1], None),
        (BODY + BODY, None),
    ],
)
def test_signed_body_that_is_no_object_of_this_session_is_refused(gateway, fifo, body, field):
    expect_error(deliver(gateway, body, v1(body=body)), 400, field)
    expect_arrived(gateway, fifo)


def test_type_and_size_are_checked(make_gateway):
    gateway = make_gateway(inbound_secret=COMMON, max_body_bytes=200, max_batch_bytes=400)
    headers = {**v1(), "Content-Type": "text/plain"}
    expect_error(deliver(gateway, headers=headers), 415)
    body = BODY + b" " * (201 - len(BODY))
    expect_error(deliver(gateway, body, v1(body=body)), 413)
    taken(deliver(gateway, body[:-1], v1(body=body[:-1])))


def test_other_methods_are_refused(gateway):
    answer = gateway.api("GET", PATH, token="")
    expect_error(answer, 405)
    assert answer.headers["Allow"] == "POST"


def test_one_gateway_delivers_to_another(gateway, make_gateway, receiver):
    sender = make_gateway()
    for number, signature in enumerate(["v1", "v2"], 1):
        url = f"{gateway.url}/api/v1/sessions/s{number}/webhook-in"
        sender.register(f"s{number}", url, secret=COMMON, signature=signature)
        gateway.register(f"s{number}", receiver.url(f"/s{number}"), secret="s3cret")
        sender.publish(f"s{number}", data={"number": number})
    arrived = {r.path: r for r in receiver.wait_for(2)}
    for number in (1, 2):
        request = arrived[f"/s{number}"]
        verify(request, "s3cret")
        assert request.json()["data"] == {"number": number}


# Configuration


@pytest.mark.parametrize("value", ["own", "own=", "=secret", "a b=secret", "own=x,other"])
def test_session_secrets_that_are_malformed_are_refused_at_start(make_gateway, value):
    with pytest.raises(AssertionError, match="ended with status"):
        make_gateway(session_inbound_secrets=value)


def test_secret_is_never_shown(gateway):
    answers = [
        gateway.request("GET", "/readyz"), gateway.api("GET", "/sessions/own/webhooks"),
        deliver(gateway), deliver(gateway, session="own"),
    ]
    shown = json.dumps([[answer.text, str(answer.headers)] for answer in answers])
    shown += gateway.log_text()
    assert not re.search(f"{COMMON}|{OWN}", shown)
