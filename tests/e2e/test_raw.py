"""
Sources of body "raw": what a sender has sent arrives at receivers to the byte, with its type and
those of its headers that the source lists, and waybill's own headers are over these bytes.
"""

import gzip
import hashlib
import hmac
import json
import urllib.parse

import pytest
from harness import (
    BINARY, Receiver, expect_error, hooks_path, redirect, status, verify, waybill, wait_until,
)
from test_sources import SECRET, Sender, add_source, code, hub
from test_tokens import token

OPEN = {"type": "none"}
OURS = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
# white space, escapes, numbers and an order of members that our canonical form would change
ODD = (b'{ "object":"whatsapp_business_account",\r\n\t"entry":[ {"id": "1","10":1.50, "2":1e2,'
       b'"changes":[{"value":{"metadata":{"phone_number_id":"p1"},'
       b'"text":"caf\\u00e9 \\/ \xc3\xa9 \\ud83d\\ude00"},"field":"messages"}]}] }\n')
META = {
    "preset": "meta", "verify_token": "t", "verify": {"secrets": [SECRET]}, "split": "",
    "session": {"body": "/entry/0/changes/0/value/metadata/phone_number_id"},
    "event": {"body": "/entry/0/changes/0/field"},
    "body": "raw", "raw_headers": ["X-Hub-Signature-256", "X-Absent"],
}


def raw_sender(gateway, **settings):
    source = add_source(gateway, **{"verify": OPEN, "session": "s", "event": "message",
                                    "body": "raw", **settings})
    return Sender(gateway, source)


def test_metas_signature_is_right_at_the_receiver(gateway, receiver):
    gateway.register("p1", receiver.url(), secret=OURS, signature="v2",
                     headers={"x-own": "1"})
    sender = Sender(gateway, add_source(gateway, **META), hub)
    answer = sender.send(ODD, headers={"X-Other": "not listed", "Authorization": "Bearer no"})
    assert answer.status_code == 200, answer.text
    came = receiver.wait_for(1)[0]
    assert came.body == ODD
    assert came.header("Content-Type") == "application/json"
    expected = "sha256=" + hmac.new(SECRET.encode(), came.body, hashlib.sha256).hexdigest()
    assert came.header("X-Hub-Signature-256") == expected
    assert came.header("X-Webhook-Event") == "messages"
    assert came.header("X-Webhook-Session") == "p1"
    assert came.header("Content-Length") == str(len(ODD))
    assert came.header("X-Absent") is None
    assert came.header("X-Other") is None
    assert came.header("Authorization") is None
    assert came.header("x-own") == "1"
    verify(came, OURS, "v2")

    shown = gateway.api("GET", f"/sessions/p1/events/{came.id}").json()
    assert shown["raw"] == {"content_type": "application/json", "bytes": len(ODD),
                            "headers": {"X-Hub-Signature-256": expected}}
    assert json.loads(shown["payload"])["data"] == json.loads(ODD)
    delivery = gateway.api(
        "GET", f"/sessions/p1/deliveries/{came.header('X-Webhook-Delivery')}").json()
    assert delivery["raw"] == shown["raw"]


def test_message_signature_is_over_the_type_that_is_sent(gateway, receiver):
    gateway.register("s", receiver.url(), secret=OURS, signature="rfc9421")
    kind = "application/json; charset=utf-8"
    assert raw_sender(gateway).send(b'{"a": 1}', kind=kind).status_code == 200
    (came,) = receiver.wait_for(1)
    assert came.header("Content-Type") == kind
    verify(came, OURS, "rfc9421")


def test_each_webhook_gets_its_form(gateway, receiver):
    sender = raw_sender(gateway)
    for path, payload in (("/raw", "envelope"), ("/data", "data"), ("/ce", "cloudevents")):
        gateway.register("s", receiver.url(path), payload=payload, secret=OURS)
    text = b'{"b": 1.0,\n "a":[ ]}'
    assert sender.send(text, kind="application/json; charset=utf-8").status_code == 200
    came = {request.path: request for request in receiver.wait_for(3)}
    assert came["/raw"].body == text
    assert came["/raw"].header("Content-Type") == "application/json; charset=utf-8"
    assert came["/data"].body == b'{"b":1,"a":[]}'
    assert came["/data"].header("Content-Type") == "application/json"
    assert came["/ce"].json()["data"] == {"b": 1, "a": []}
    assert came["/ce"].header("Content-Type") == "application/cloudevents+json"
    for request in came.values():
        verify(request, OURS)
    for delivery in gateway.api("GET", "/sessions/s/deliveries").json()["deliveries"]:
        assert ("raw" in delivery) == delivery["url"].endswith("/raw")


def test_a_form_stays_one(gateway, receiver):
    sender = Sender(gateway, add_source(
        gateway, preset="wuzapi", verify={"secrets": [SECRET]}, body="raw",
        raw_headers=["x-hmac-signature"]),
        lambda body: {"x-hmac-signature": code(SECRET, body).hexdigest()})
    gateway.register("mine", receiver.url())
    inner = json.dumps({"type": "Message", "event": {"Info": {"ID": "1"}}})
    form = ("token=t%21&instanceName=mine&jsonData=" + urllib.parse.quote_plus(inner)).encode()
    answer = sender.send(form, kind="application/x-www-form-urlencoded")
    assert answer.status_code == 200, answer.text
    assert answer.json()["event"] == "message"
    came = receiver.wait_for(1)[0]
    assert came.body == form
    assert came.header("Content-Type") == "application/x-www-form-urlencoded"
    assert came.header("x-hmac-signature") == code(SECRET, form).hexdigest()


@pytest.mark.parametrize(("body", "kind", "data"), [
    (bytes(range(256)) * 5, "image/png", None),
    (b"<a>\xc3\xa9\x00</a>", "text/xml", "<a>é\0</a>"),
    (b'{"cut":', "application/json", '{"cut":'),
    (b"", "text/plain", ""),
    (b"[1,2]", None, [1, 2]),
    (b"a=%zz&" * 1001, "application/x-www-form-urlencoded", "a=%zz&" * 1001),
])
def test_what_is_no_json_goes_on_too(gateway, receiver, body, kind, data):
    gateway.register("s", receiver.url())
    sender = raw_sender(gateway)
    head = {"Content-Length": str(len(body))} if not body else {}
    answer = sender.send(body, kind=kind, headers=head)
    assert answer.status_code == 200, answer.text
    came = receiver.wait_for(1)[0]
    assert came.body == body
    assert came.header("Content-Type") == (kind or "application/octet-stream")
    shown = gateway.api("GET", f"/sessions/s/events/{came.id}").json()
    assert json.loads(shown["payload"])["data"] == data
    assert shown["raw"]["bytes"] == len(body)


def test_bodies_that_came_compressed_go_on_inflated(gateway, receiver):
    gateway.register("s", receiver.url())
    sender = raw_sender(gateway, raw_headers=["X-Kept"])
    body = bytes(range(256)) * 100
    packed = gzip.compress(body)
    answer = sender.send(packed, kind="application/x-thing",
                         headers={"Content-Encoding": "gzip", "X-Kept": "yes"})
    assert answer.status_code == 200, answer.text
    came = receiver.wait_for(1)[0]
    assert came.body == body
    assert came.header("Content-Encoding") is None
    assert came.header("X-Kept") == "yes"


@pytest.mark.parametrize("size", [1 << 20, (4 << 20) - 300])
def test_large_bodies(gateway, receiver, size):
    gateway.register("s", receiver.url(), secret=OURS)
    gateway.register("s", receiver.url("/data"), payload="data", secret=OURS)
    sender = raw_sender(gateway, raw_headers=["X-Long"])
    body = b'{"blob" : "' + b"\xc3\xa9x\\u0041" * ((size - 20) // 9) + b'"}'
    answer = sender.send(body, headers={"X-Long": "v" * 5000})
    assert answer.status_code == 200, answer.text
    came = {request.path: request for request in receiver.wait_for(2)}
    assert came["/hook"].body == body
    assert came["/hook"].header("X-Long") == "v" * 5000
    assert came["/data"].json() == json.loads(body)
    for request in came.values():
        verify(request, OURS)


def test_over_the_limit(make_gateway):
    gateway = make_gateway(max_body_bytes="64KiB")
    sender = raw_sender(gateway)
    assert sender.send(b"x" * 65536, kind="text/plain").status_code == 200
    expect_error(sender.send(b"x" * 65537, kind="text/plain"), 413)
    # escapes and numbers take more in canonical JSON: then the event does without
    for body in (b"\x01" * 65536, b"[" + b"1e20," * 13000 + b"1]"):
        answer = sender.send(body, kind="application/json")
        assert answer.status_code == 200, answer.text


def test_the_same_bytes_after_a_kill(make_gateway):
    """A receiver that is down, a gateway that is killed, and another attempt by hand."""
    gateway = make_gateway(retry_schedule="200ms,200ms,30s")
    receiver = Receiver(503)
    gateway.register("s", receiver.url(), secret=OURS)
    sender = raw_sender(gateway, raw_headers=["X-Sig"])
    body = bytes(range(256)) * 300  # read from the store as it is sent
    assert sender.send(body, kind="application/x-thing",
                       headers={"X-Sig": "abc"}).status_code == 200
    receiver.wait_for(1)
    gateway.kill()
    receiver.answer(200)
    gateway.start()
    wait_until(lambda: len(receiver.requests) >= 2, what="the retry")
    done = receiver.requests[-1]
    deliveries = f"/sessions/s/deliveries/{done.header('X-Webhook-Delivery')}"
    wait_until(lambda: gateway.api("GET", deliveries).json()["status"] == "delivered",
               what="the outcome")
    before = len(receiver.requests)
    assert gateway.api("POST", deliveries + "/retry").status_code in (200, 202)
    for request in receiver.wait_for(before + 1):
        assert request.body == body
        assert request.header("Content-Type") == "application/x-thing"
        assert request.header("X-Sig") == "abc"
        verify(request, OURS)
    receiver.close()


def test_a_backup_has_the_bytes(make_gateway, make_receiver, tmp_path):
    """What waits in a backup is sent by whoever restores it; the store is sound on both sides."""
    gateway = make_gateway()
    body = bytes(range(256)) * 500
    hook = gateway.register("s", "http://127.0.0.1:9/", retry=["1h"])
    sender = raw_sender(gateway, raw_headers=["X-Sig"])
    assert sender.send(body, kind="application/x-thing", headers={"X-Sig": "abc"}).ok
    copy = tmp_path / "copy"
    done = waybill("backup", "--url", gateway.url, "--token", gateway.token, copy)
    assert done.returncode == 0, done.stderr
    gateway.stop()
    for directory in (copy, gateway.directory / "data"):
        checked = waybill("fsck", directory)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    receiver = make_receiver()
    restored = make_gateway(data=copy, token=gateway.token)
    restored.api("PATCH", hooks_path("s", hook["id"]), json={"url": receiver.url()})
    restored.call("s", hook["id"], "disable")
    restored.call("s", hook["id"], "enable")
    came = receiver.wait_for(1)[0]
    assert (came.body, came.header("X-Sig")) == (body, "abc")


def test_waybill_listen_shows_and_verifies_it(gateway, start_process):
    process = start_process(BINARY, "listen", "--port", "0", "--secret", OURS)
    url = process.line(0).split()[-1]
    gateway.register("s", url, secret=OURS)
    raw_sender(gateway).send(b"a=1&b=\xff\x1b[2J", kind="application/x-thing")
    assert "event=message session=s" in process.line(1)
    assert "a=1&b=" in process.line(2)
    assert "\x1b" not in process.line(2)
    assert process.line(3).strip() == "signature ok"


@pytest.mark.parametrize("say", ["body", "location"])
def test_the_senders_secrets_are_masked_where_they_are_shown(make_gateway, make_receiver, say):
    """Credentials and the token of the proof go on as they came, and are nowhere to be read."""
    cookie, token, password = "c00kie-of-the-sender", "t0ken-of-the-sender", "passw0rd-of-the-sender"

    def echo(link, request, closing):
        said = [request.header(name) for name in ("Cookie", "X-Shop-Token", "Authorization")]
        if say == "body":
            said.append(dict(c.split("=") for c in said[0].split("; "))["sid"])
            status(500, body="; ".join(said).encode())(link, request, closing)
        else:
            redirect(f"http://elsewhere/?{'&'.join(said)}")(link, request, closing)

    gateway = make_gateway(retry_schedule="20ms", log_level="debug")
    receiver = make_receiver(echo)
    gateway.register("s", receiver.url())
    verify_by = {"type": "token", "header": "X-SHOP-Token", "secrets": [token]}
    sender = raw_sender(gateway, verify=verify_by,
                        raw_headers=["Cookie", "x-shop-token", "Authorization", "X-Other"])
    answer = sender.send(b"{}", headers={
        "Cookie": f"sid={cookie}; a=b", "X-Shop-Token": token, "X-Other": "other-value",
        "Authorization": "Basic " + password})
    assert answer.status_code == 200, answer.text
    came = receiver.wait_for(2)[1]
    assert came.header("X-Shop-Token") == token and cookie in came.header("Cookie")
    wait_until(lambda: gateway.dlq("s"), what="a dead letter")
    shown = [gateway.api("GET", path).text for path in (
        f"/events/{came.id}", "/sessions/s/deliveries", hooks_path("s", "dlq"),
        f"/sessions/s/deliveries/{came.header('X-Webhook-Delivery')}")]
    assert '"x-shop-token":"********"' in shown[0] and '"X-Other":"other-value"' in shown[0]
    for text in [*shown, gateway.log_text()]:
        for secret in (cookie, token, password):
            assert secret not in text


def test_dead_letters_are_replayed_as_they_came(make_gateway, receiver):
    gateway = make_gateway(retry_schedule="10ms")
    receiver.answer(500)
    gateway.register("s", receiver.url())
    sender = raw_sender(gateway)
    assert sender.send(b"\xff\x00raw", kind="application/x-thing").status_code == 200
    wait_until(lambda: len(gateway.dlq("s")) == 1, what="the dead letter")
    receiver.answer(200)
    before = len(receiver.requests)
    gateway.replay("s", gateway.dlq("s")[0]["id"])
    assert receiver.wait_for(before + 1)[-1].body == b"\xff\x00raw"


def test_repeats_are_the_same_to_the_byte(gateway):
    gateway.register("s", "http://127.0.0.1:9/")
    sender = raw_sender(gateway)
    first = sender.send(b'{"a":1}').json()
    assert sender.send(b'{"a":1}').json() == first
    assert sender.send(b'{"a": 1}').json()["id"] != first["id"]
    assert sender.send(b"\xff").json()["id"] != sender.send(b"\xfe").json()["id"]


def test_a_webhooks_own_header_wins(gateway, receiver):
    gateway.register("s", receiver.url(), headers={"x-sig": "own"})
    sender = raw_sender(gateway, raw_headers=["X-Sig", "Authorization"])
    assert sender.send(b"1", headers={"X-Sig": "theirs",
                                      "Authorization": "Basic dTpw"}).status_code == 200
    came = receiver.wait_for(1)[0]
    assert came.values("X-Sig") == ["own"]
    assert came.header("Authorization") == "Basic dTpw"  # it was listed
    shown = gateway.api("GET", f"/sessions/s/events/{came.id}")
    assert shown.json()["raw"]["headers"] == {"X-Sig": "theirs", "Authorization": "********"}


def test_its_bytes_are_counted(make_gateway):
    gateway = make_gateway()
    gateway.register("s", "http://127.0.0.1:9/", retry=["1h"])
    size = 300000
    sender = raw_sender(gateway)
    assert sender.send(b"\xff" * size, kind="text/plain").status_code == 200
    held = gateway.api("GET", "/sessions").json()["sessions"][0]
    assert size < held["open_bytes"] < size + 2000


def test_problems_name_their_field(gateway):
    for settings, field in (
        ({"preset": "meta", "verify_token": "t", "verify": {"secrets": ["s"]}, "body": "raw"},
         "split"),
        ({"verify": OPEN, "body": "raw", "split": "/items/*"}, "split"),
        ({"verify": OPEN, "body": "Raw"}, "body"),
        ({"verify": OPEN, "raw_headers": ["X-A"]}, "raw_headers"),
        ({"verify": OPEN, "body": "raw", "raw_headers": ["X A"]}, "raw_headers"),
        ({"verify": OPEN, "body": "raw", "raw_headers": ["X-A", "x-a"]}, "raw_headers"),
        ({"verify": OPEN, "body": "raw", "raw_headers": "X-A"}, "raw_headers"),
        ({"verify": OPEN, "body": "raw", "raw_headers": [f"X-{n}" for n in range(17)]},
         "raw_headers"),
        *(({"verify": OPEN, "body": "raw", "raw_headers": [name]}, "raw_headers")
          for name in ("Host", "Content-Length", "connection", "Transfer-Encoding",
                       "Content-Encoding", "Content-Type", "webhook-id", "X_Webhook_Event",
                       "X-Webhook-Signature", "User-Agent", "Keep-Alive", "TE")),
        ({"type": "nats", "servers": ["nats://127.0.0.1:9"], "stream": "S", "body": "raw"},
         "body"),
    ):
        expect_error(gateway.api("POST", "/sources", json={"name": "n", **settings}), 400, field)
    made = add_source(gateway, verify=OPEN, body="raw", raw_headers=["X-A"])
    assert (made["body"], made["raw_headers"]) == ("raw", ["X-A"])
    expect_error(gateway.api("PATCH", f"/sources/{made['id']}", json={"split": "/x"}), 400,
                 "split")
    back = gateway.api("PATCH", f"/sources/{made['id']}", json={"body": None,
                                                                "raw_headers": None}).json()
    assert "body" not in back and "raw_headers" not in back


def test_longest_headers_of_all_are_sent(gateway, receiver, make_receiver):
    """The webhook's own, an access token and the sender's, each as long as may be."""
    own = {f"X-Own-{i}": "o" * 8180 for i in range(5)}
    endpoint = make_receiver(token("t" * 16300))
    auth = {"type": "oauth2", "token_url": endpoint.url(), "client_id": "me", "client_secret": "s3cret"}
    gateway.register("s", receiver.url(), headers=own, auth=auth, user_agent="a" * 256,
                     secret=OURS, signature=["v2", "rfc9421"])
    sender = raw_sender(gateway, raw_headers=["X-One", "X-Two"])
    sent = {"X-One": "1" * 7600, "X-Two": "2" * 7600}
    assert sender.send(b"{}", headers=sent).status_code == 200
    came = receiver.wait_for(1)[0]
    assert {name: came.header(name) for name in [*own, *sent]} == {**own, **sent}
    assert came.header("Authorization") == "Bearer " + "t" * 16300
