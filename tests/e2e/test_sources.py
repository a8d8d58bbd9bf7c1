"""
Sources: a door for each sender, as its preset says. What senders send is made here by what
their documentation says, with Python's own HMAC; what a receiver gets is compared whole.
"""

import base64
import gzip
import hashlib
import hmac
import json
import threading
import time
import urllib.parse

import pytest

from harness import expect_error, wait_until

SECRET = "a secret of the sender's"
STANDARD = "whsec_" + base64.b64encode(b"k" * 24).decode()


def code(secret, data, digest="sha256"):
    return hmac.new(secret.encode(), data, digest)


def dumped(value):
    """As the canonical form is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Sender:
    """Sends to a source; `head(body)` gives the headers that prove it."""

    def __init__(self, gateway, source, head=lambda body: {}):
        self.gateway, self.source, self.head = gateway, source, head

    def send(self, body, path="", headers=None, kind="application/json", change=b""):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {"Content-Type": kind, **self.head(body), **(headers or {})}
        return self.gateway.request(
            "POST", self.source["path"] + path, token="", data=body + change, headers=head
        )


def add_source(gateway, **settings):
    settings.setdefault("name", "n")
    answer = gateway.api("POST", "/sources", json=settings)
    assert answer.status_code == 200, answer.text
    return answer.json()


def make(gateway, preset, head, **settings):
    source = add_source(gateway, preset=preset, **settings)
    assert source["preset"] == preset
    return Sender(gateway, source, head)


NOW = int(time.time())


def stripe(body):
    now = int(time.time())
    right = code(SECRET, f"{now}.".encode() + body).hexdigest()
    return {"Stripe-Signature": f"t={now},v1={'0' * 64},v1={right},v0=x"}


def slack(body):
    now = int(time.time())
    right = code(SECRET, f"v0:{now}:".encode() + body).hexdigest()
    return {"X-Slack-Signature": f"v0={right}", "X-Slack-Request-Timestamp": str(now)}


def standard(body):
    now = int(time.time())
    mac = hmac.new(b"k" * 24, f"msg_1.{now}.".encode() + body, hashlib.sha256).digest()
    return {"webhook-id": "msg_1", "webhook-timestamp": str(now),
            "webhook-signature": "v1," + base64.b64encode(mac).decode()}


def hub(body):
    return {"X-Hub-Signature-256": "sha256=" + code(SECRET, body).hexdigest()}


def shopify(body):
    mac = base64.b64encode(code(SECRET, body).digest()).decode()
    return {"X-Shopify-Hmac-Sha256": mac, "X-Shopify-Topic": "orders/create",
            "X-Shopify-Shop-Domain": "a-shop.example", "X-Shopify-Webhook-Id": "w1",
            "X-Shopify-Triggered-At": "2023-11-14T22:13:20.5Z"}


def timed(body):
    """waxum's v2."""
    now = int(time.time())
    right = code(SECRET, f"{now}.".encode() + body).hexdigest()
    return {"X-Webhook-Signature": f"sha256={right}", "X-Webhook-Timestamp": str(now),
            "X-Webhook-Signature-Version": "v2"}


# preset, headers, the body, and what comes out: session, event, time (None: now), data.
SHAPES = {
    "waxum": (
        timed,
        {"session_id": "s1", "event": "message", "timestamp": 1700000000, "data": {"a": 1}},
        ("s1", "message", 1700000000, {"a": 1}),
    ),
    "waha": (
        lambda body: {"X-Webhook-Hmac": code(SECRET, body, "sha512").hexdigest(),
                      "X-Webhook-Hmac-Algorithm": "sha512"},
        {"id": "evt_1", "timestamp": 1700000000999, "event": "message.any",
         "session": "default", "me": {"id": "1@c.us"}, "payload": {"body": "hi"},
         "engine": "NOWEB"},
        ("default", "message.any", 1700000000, {"body": "hi"}),
    ),
    "evolution": (
        lambda body: {},
        {"event": "messages.upsert", "instance": "loja", "data": {"key": {"id": "1"}},
         "destination": "https://x", "date_time": "2023-11-14T22:13:20.000Z",
         "server_url": "https://y", "apikey": "do-not-store"},
        ("loja", "messages.upsert", 1700000000, {"key": {"id": "1"}}),
    ),
    "gowa": (
        hub,
        {"event": "message", "device_id": "628.wa",
         "payload": {"id": "3EB0", "timestamp": "2023-11-14T22:13:20Z", "body": "hi"}},
        ("628.wa", "message", 1700000000,
         {"id": "3EB0", "timestamp": "2023-11-14T22:13:20Z", "body": "hi"}),
    ),
    "openwa": (
        lambda body: {"X-OpenWA-Signature": "sha256=" + code(SECRET, body).hexdigest()},
        {"event": "message.received", "timestamp": "2023-11-14T22:13:20.000Z",
         "sessionId": "0b6f", "idempotencyKey": "msg_1", "deliveryId": "dlv_1",
         "data": {"body": "hi"}},
        ("0b6f", "message.received", 1700000000, {"body": "hi"}),
    ),
    "wuzapi": (
        lambda body: {"x-hmac-signature": code(SECRET, body).hexdigest()},
        {"type": "Message", "instanceName": "one", "userID": "1",
         "event": {"Info": {"ID": "3EB0", "Timestamp": "2023-11-14T22:13:20Z"}}},
        ("one", "message", 1700000000,
         {"Info": {"ID": "3EB0", "Timestamp": "2023-11-14T22:13:20Z"}}),
    ),
    "github": (
        lambda body: {**hub(body), "X-GitHub-Event": "workflow_run", "X-GitHub-Delivery": "d1"},
        {"action": "completed", "repository": {"full_name": "a-b"}},
        ("a-b", "workflow_run", None,
         {"action": "completed", "repository": {"full_name": "a-b"}}),
    ),
    "gitlab": (
        lambda body: {"X-Gitlab-Token": SECRET, "X-Gitlab-Event": "Push Hook",
                      "X-Gitlab-Event-UUID": "u1"},
        {"object_kind": "push", "project": {"path_with_namespace": "p"}},
        ("p", "push", None, {"object_kind": "push", "project": {"path_with_namespace": "p"}}),
    ),
    "stripe": (
        stripe,
        {"id": "evt_1", "type": "invoice.paid", "created": 1700000000, "account": "acct_1"},
        ("acct_1", "invoice.paid", 1700000000,
         {"id": "evt_1", "type": "invoice.paid", "created": 1700000000, "account": "acct_1"}),
    ),
    "shopify": (shopify, {"id": 1}, ("a-shop.example", "orders.create", 1700000000, {"id": 1})),
    "slack": (
        slack,
        {"token": "do-not-store", "team_id": "T1", "event": {"type": "app_mention"},
         "type": "event_callback", "event_id": "Ev1", "event_time": 1700000000},
        ("T1", "app_mention", 1700000000,
         {"team_id": "T1", "event": {"type": "app_mention"}, "type": "event_callback",
          "event_id": "Ev1", "event_time": 1700000000}),
    ),
    "standard-webhooks": (
        standard,
        {"type": "contact.created", "timestamp": "2023-11-14T22:13:20Z", "data": {"id": 1}},
        ("s1", "contact.created", 1700000000, {"id": 1}),
    ),
}


def sender_of(gateway, preset):
    head = SHAPES[preset][0]
    settings = {}
    if preset == "standard-webhooks":
        settings = {"session": "s1", "verify": {"secrets": [STANDARD]}}
    elif preset != "evolution":
        settings = {"verify": {"secrets": ["the one before", SECRET]}}
    return make(gateway, preset, head, **settings)


@pytest.mark.parametrize("preset", SHAPES)
def test_shapes(gateway, receiver, preset):
    _, body, (session, event, timestamp, data) = SHAPES[preset]
    sender = sender_of(gateway, preset)
    gateway.register(session, receiver.url())
    before = int(time.time())
    answer = sender.send(body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["deliveries"] == 1
    [request] = receiver.wait_for(1)
    got = json.loads(request.body)
    if timestamp is None:
        assert before <= got["timestamp"] <= time.time()
        timestamp = got["timestamp"]
    assert request.body == dumped(
        {"session_id": session, "event": event, "timestamp": timestamp, "data": data})
    assert b"do-not-store" not in request.body
    again = sender.send(body)  # its sender has lost the answer
    assert again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == answer.json()["id"]


@pytest.mark.parametrize("preset", [name for name in SHAPES if name not in ("evolution", "gitlab")])
def test_one_byte_changed(gateway, preset):
    _, body, _ = SHAPES[preset]
    sender = sender_of(gateway, preset)
    answer = sender.send(body, change=b" ")
    expect_error(answer, 401)
    shown = gateway.api("GET", f"/sources/{sender.source['id']}").json()["received"]
    assert shown["events"] == 0
    assert shown["refused"] == 1
    assert shown["last_refused"] == "the signature is wrong"


def test_wrong_token(gateway):
    sender = sender_of(gateway, "gitlab")
    sender.head = lambda body: {"X-Gitlab-Token": SECRET + "x"}
    expect_error(sender.send({}), 401)
    sender.head = lambda body: {}
    expect_error(sender.send({}), 401)


META = {
    "object": "whatsapp_business_account",
    "entry": [
        {"id": "1", "changes": [
            {"value": {"metadata": {"phone_number_id": "p1"}, "messages": [{"id": "a"}]},
             "field": "messages"},
            {"value": {"metadata": {"phone_number_id": "p2"}}, "field": "account_update"},
        ]},
        {"id": "2", "changes": [
            {"value": {"metadata": {"phone_number_id": "p1"}, "statuses": []},
             "field": "messages"},
        ]},
    ],
}


def test_meta(gateway, receiver):
    """An event for each change, all in one commit; its challenge."""
    sender = make(gateway, "meta", hub, verify_token="typed at Meta",
                  verify={"secrets": [SECRET]})
    gateway.register("p1", receiver.url())
    gateway.register("p2", receiver.url())
    answer = sender.send(META)
    assert answer.status_code == 200, answer.text
    assert answer.json()["accepted"] == 3
    assert [e["session_id"] for e in answer.json()["events"]] == ["p1", "p2", "p1"]
    bodies = {request.body for request in receiver.wait_for(3)}
    changes = [change for entry in META["entry"] for change in entry["changes"]]
    assert {json.dumps(json.loads(body)["data"], sort_keys=True) for body in bodies} == {
        json.dumps(change, sort_keys=True) for change in changes}
    assert sender.send(META).headers["Idempotent-Replayed"] == "true"

    path = sender.source["path"]
    query = {"hub.mode": "subscribe", "hub.challenge": "11 58&é", "hub.verify_token": "typed at Meta"}
    asked = gateway.request("GET", f"{path}?{urllib.parse.urlencode(query)}", token="")
    assert (asked.status_code, asked.text) == (200, "11 58&é")
    assert asked.headers["Content-Type"].startswith("text/plain")
    for change in ({"hub.verify_token": "x"}, {"hub.mode": "unsubscribe"}):
        asked = gateway.request(
            "GET", f"{path}?{urllib.parse.urlencode({**query, **change})}", token="")
        expect_error(asked, 403, "hub.verify_token")
    expect_error(gateway.request("GET", path, token=""), 403, "hub.verify_token")


def test_slack_challenge(gateway):
    sender = sender_of(gateway, "slack")
    answer = sender.send({"type": "url_verification", "challenge": "3eZ\"b", "token": "x"})
    assert answer.json() == {"challenge": "3eZ\"b"}
    assert answer.status_code == 200
    expect_error(sender.send({"type": "url_verification"}, change=b" "), 401)
    received = gateway.api("GET", f"/sources/{sender.source['id']}").json()["received"]
    assert received["events"] == 0


def test_form(gateway, receiver):
    """wuzapi's other way: JSON in a field of a form, what is signed is the form."""
    sender = sender_of(gateway, "wuzapi")
    gateway.register("one", receiver.url())
    event = {"type": "Message", "event": {"Info": {"ID": "x"}, "text": "é & +"}}
    form = urllib.parse.urlencode(
        {"jsonData": json.dumps(event), "token": "do-not-store", "instanceName": "one"}).encode()
    answer = sender.send(form, kind="application/x-www-form-urlencoded")
    assert answer.status_code == 200, answer.text
    [request] = receiver.wait_for(1)
    assert json.loads(request.body)["data"] == event["event"]
    shown = gateway.api("GET", f"/events/{answer.json()['id']}")
    assert "do-not-store" not in shown.text


def test_fields_of_a_form_are_bounded(gateway):
    """Fields are made one by one, and millions fit into a body."""
    sender = Sender(gateway, add_source(gateway, form="j", verify={"type": "none"}))
    kind = "application/x-www-form-urlencoded"
    for field in (b"a=1&", b"j={}&", b"&a=%41&"):
        answer = sender.send(field * 1000, kind=kind)
        assert answer.status_code == 200, answer.text
        refused = sender.send(field * 1001, kind=kind)
        expect_error(refused, 413)
        assert "1000 fields" in refused.json()["error"]["message"]


def test_many_parts_take_of_the_sources_share(make_gateway):
    """An event takes more memory than the two bytes that a part of a body has."""
    gateway = make_gateway(max_input_bytes="1MiB")
    sender = Sender(gateway, add_source(gateway, split="/*", verify={"type": "none"}))
    expect_error(sender.send([1] * 10000), 429)
    answer = sender.send([1] * 100)
    assert answer.status_code == 200 and answer.json()["accepted"] == 100


def test_what_cannot_be_mapped_is_taken(gateway, receiver):
    sender = sender_of(gateway, "evolution")
    gateway.register("default", receiver.url())
    bodies = [{}, [], 17, "text", {"instance": {}, "event": None}, {"event": "all"}]
    for body in bodies:
        answer = sender.send(body)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["session_id"], answer.json()["event"]) == ("default", "unknown")
    got = [json.loads(request.body)["data"] for request in receiver.wait_for(len(bodies))]
    assert sorted(map(json.dumps, got)) == sorted(map(json.dumps, bodies))
    received = gateway.api("GET", f"/sources/{sender.source['id']}").json()["received"]
    assert received["missed"] == received["events"] == len(bodies)
    assert received["last_at"] is not None
    # what is no JSON is nothing
    expect_error(sender.send(b"<xml/>"), 400)
    expect_error(sender.send(b""), 400)
    received = gateway.api("GET", f"/sources/{sender.source['id']}").json()["received"]
    assert received["refused"] == 2
    assert "malformed JSON" in received["last_refused"]


def test_what_was_missed_is_counted_once(make_gateway):
    """A repeat is no event that was missed, nor is one that was not stored."""
    gateway = make_gateway(max_queue_per_session=1)
    sender = make(gateway, "meta", hub, verify_token="t", verify={"secrets": [SECRET]},
                  split="/all/*")
    gateway.register("default", "http://127.0.0.1:9/")
    gateway.register("full", "http://127.0.0.1:9/")
    found = {"field": "x", "value": {"metadata": {"phone_number_id": "s"}}}
    for _ in range(2):
        assert sender.send({"all": [{"a": 1}, found]}).status_code == 200
    assert sender.send({"all": [{"a": 2}]}).status_code == 429
    received = gateway.api("GET", f"/sources/{sender.source['id']}").json()["received"]
    assert (received["events"], received["repeats"], received["missed"]) == (2, 2, 1)


def test_path_behind_the_door(gateway, receiver):
    source = add_source(
        gateway, verify={"type": "none"}, session={"path": 1}, event={"path": 2})
    gateway.register("loja", receiver.url())
    answer = Sender(gateway, source).send({"a": 1}, "/loja/messages-upsert?x=y")
    assert answer.json()["event"] == "messages.upsert"
    [request] = receiver.wait_for(1)
    assert json.loads(request.body)["data"] == {"a": 1}
    assert Sender(gateway, source).send({"a": 1}, "/").json()["session_id"] == "default"


def test_repeats_are_of_one_source(gateway):
    sources = [sender_of(gateway, "evolution") for _ in range(2)]
    body = {"event": "x", "instance": "s"}
    assert len({source.send(body).json()["id"] for source in sources}) == 2
    gateway.api("PATCH", f"/sources/{sources[0].source['id']}", json={"id_retention": "0s"})
    assert "Idempotent-Replayed" not in sources[0].send(body).headers


def test_ack_is_not_its_message_again(gateway):
    sender = make(gateway, "gowa", hub, verify={"secrets": [SECRET]})
    payload = {"device_id": "d", "payload": {"id": "3EB0"}}
    ids = {sender.send({**payload, "event": event}).json()["id"]
           for event in ("message", "message.ack", "message")}
    assert len(ids) == 2


def test_life_of_a_source(gateway):
    made = add_source(gateway, preset="github", session="s1")
    assert made["secret"].startswith("whsec_")  # shown once, to be pasted
    assert made["path"].startswith("/in/")
    assert len(made["path"]) == 4 + 32
    url = f"/sources/{made['id']}"
    shown = gateway.api("GET", url).json()
    assert "secret" not in shown
    assert shown["verify"]["secrets"] == ["********"]
    assert made["secret"] not in gateway.api("GET", url).text
    assert gateway.api("GET", "/sources").json() == {
        "sources": [shown], "count": 1, "next_cursor": None}
    sender = Sender(
        gateway, made,
        lambda body: {"X-Hub-Signature-256": "sha256=" + code(made["secret"], body).hexdigest()})
    assert sender.send({}).status_code == 200

    changed = gateway.api("PATCH", url, json={"name": "m", "event": "push"}).json()
    assert (changed["name"], changed["event"]) == ("m", "push")
    assert sender.send({"n": 2}).json()["event"] == "push"

    gateway.api("PATCH", url, json={"enabled": False})
    expect_error(sender.send({}), 403)
    gateway.api("PATCH", url, json={"enabled": True})

    rotated = gateway.api("POST", f"{url}/rotate").json()
    assert rotated["path"] != made["path"]
    expect_error(sender.send({}), 404)
    sender.source = rotated
    assert sender.send({"n": 3}).status_code == 200

    gateway.stop()
    gateway.start()
    after = gateway.api("GET", url).json()
    assert {**after, "received": None} == {**rotated, "received": None}
    assert sender.send({"n": 4}).status_code == 200

    assert gateway.api("DELETE", url).json()["success"]
    expect_error(gateway.api("GET", url), 404)
    expect_error(gateway.api("DELETE", url), 404)
    expect_error(gateway.api("PATCH", url, json={"name": "x"}), 404)
    expect_error(sender.send({}), 404)


def test_problems_name_their_field(gateway):
    for settings, field in (
        ({}, "name"),
        ({"name": "n"}, "verify"),
        ({"name": "n", "preset": "stripe"}, "verify.secrets"),
        ({"name": "n", "preset": "nobody"}, "preset"),
        ({"name": "n", "verify": {"type": "none"}, "session": {"cookie": "x"}}, "session.cookie"),
        ({"name": "n", "verify": {"type": "none"}, "id_retention": "9d"}, "id_retention"),
    ):
        expect_error(gateway.api("POST", "/sources", json=settings), 400, field)


def test_tokens_of_sessions(make_gateway, tmp_path):
    path = tmp_path / "tokens"
    path.write_text("token-of-one one\n")
    path.chmod(0o600)
    gateway = make_gateway(tokens_file=path)
    mine = {"name": "n", "session": "one", "verify": {"type": "none"}}

    def api(method, url, **kwargs):
        return gateway.api(method, url, token="token-of-one", **kwargs)

    other = add_source(gateway, name="all", verify={"type": "none"})
    made = api("POST", "/sources", json=mine)
    assert made.status_code == 200
    expect_error(api("POST", "/sources", json={**mine, "session": "two"}), 403, "session")
    expect_error(api("POST", "/sources", json={"name": "n", "verify": {"type": "none"}}), 403,
                 "session")
    assert [s["id"] for s in api("GET", "/sources").json()["sources"]] == [made.json()["id"]]
    expect_error(api("GET", f"/sources?cursor={other['id']}"), 400, "cursor")
    for method, url in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/rotate")):
        json_body = {"json": {"name": "x"}} if method == "PATCH" else {}
        expect_error(api(method, f"/sources/{other['id']}{url}", **json_body), 404)
    expect_error(api("PATCH", f"/sources/{made.json()['id']}", json={"session": "two"}), 403,
                 "session")
    assert api("DELETE", f"/sources/{made.json()['id']}").status_code == 200


def test_a_session_has_its_share_of_sources(gateway):
    """Who reaches one session does not use up the doors of all."""
    settings = {"name": "n", "verify": {"type": "none"}}
    for _ in range(50):
        add_source(gateway, session="one", **settings)
    expect_error(gateway.api("POST", "/sources", json={**settings, "session": "one"}), 409,
                 "session", ["50"])
    add_source(gateway, session="two", **settings)
    add_source(gateway, **settings)


def test_pages(gateway):
    ids = [add_source(gateway, name=str(n), verify={"type": "none"})["id"] for n in range(5)]
    seen, cursor = [], ""
    while cursor is not None:
        page = gateway.api("GET", f"/sources?limit=2{cursor and '&cursor='}{cursor}").json()
        assert page["count"] == 5
        seen += [source["id"] for source in page["sources"]]
        cursor = page["next_cursor"]
    assert seen == ids
    expect_error(gateway.api("GET", "/sources?cursor=x"), 400, "cursor")


def test_secrets_are_encrypted(make_gateway):
    """Also those that were stored before there was a key; without it nothing starts."""
    gateway = make_gateway()
    store = gateway.directory / "data" / "waybill.mdb"
    source = add_source(gateway, preset="stripe", verify={"secrets": ["very secret indeed"]})
    gateway.stop()
    assert b"very secret indeed" in store.read_bytes()
    gateway.reconfigure(secret_key="0f" * 32)
    gateway.start()
    assert gateway.api("GET", "/sources").json()["sources"][0]["id"] == source["id"]
    made = gateway.api("POST", "/sources", json={
        "name": "m", "verify": {"type": "basic", "secrets": ["user:another secret"]}}).json()
    gateway.stop()
    assert b"another secret" not in store.read_bytes()
    gateway.start()
    shown = gateway.api("GET", f"/sources/{made['id']}").json()
    assert shown["verify"] == {"type": "basic", "secrets": ["********"]}


def test_bodies_are_not_read_without_a_proof(gateway):
    """Who cannot prove anything is refused by the head alone."""
    sender = sender_of(gateway, "stripe")
    with gateway.connect() as client:
        client.send(
            f"POST {sender.source['path']} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
            "\r\nContent-Length: 1000\r\n\r\n".encode())
        assert client.reply().status_code == 401


def test_kills_lose_nothing(make_gateway, receiver):
    """What was answered with 200 is there after each kill, each event once."""
    gateway = make_gateway()
    sender = make(gateway, "meta", hub, verify_token="t", verify={"secrets": [SECRET]})
    gateway.register("p", receiver.url())
    answered, ended = [], threading.Event()

    def publish(worker):
        n = 0
        while not ended.is_set():
            body = {"entry": [{"changes": [
                {"field": "messages", "value": {"metadata": {"phone_number_id": "p"},
                                                "n": [worker, n, part]}}
                for part in range(3)]}]}
            try:
                if sender.send(body).status_code == 200:
                    answered.extend((worker, n, part) for part in range(3))
                    n += 1
            except OSError:
                time.sleep(0.01)

    workers = [threading.Thread(target=publish, args=(n,)) for n in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(3):
        time.sleep(0.5)
        gateway.kill()
        gateway.start()
    time.sleep(0.3)
    ended.set()
    for worker in workers:
        worker.join()
    assert len(answered) > 10

    def arrived():
        ids = {}
        for request in list(receiver.requests):
            ids[request.id] = tuple(json.loads(request.body)["data"]["value"]["n"])
        return ids

    wait_until(lambda: set(answered) <= set(arrived().values()), timeout=30, what="all events")
    values = list(arrived().values())
    assert len(values) == len(set(values))  # a repeat is no event


def test_a_body_is_hashed_with_few_secrets_or_it_is_short(make_gateway):
    """A wrong proof costs a turn 32 MiB of hashing at most: the body, for each secret."""
    gateway = make_gateway(max_body_bytes="16MiB", max_batch_bytes="16MiB")
    verify = {"type": "hmac", "hash": "sha512", "header": "X-Sig",
              "secrets": [f"secret {n}" for n in range(8)]}
    made = gateway.api("POST", "/sources", json={"name": "n", "verify": verify}).json()
    body = json.dumps({"d": "x" * (4 << 20)}).encode()
    signed = {"X-Sig": hmac.new(b"secret 1", body, "sha512").hexdigest(),
              "Content-Type": "application/json"}
    answer = gateway.request("POST", made["path"], data=body, headers=signed)
    expect_error(answer, 413)
    assert "at most 4194304 bytes" in answer.json()["error"]["message"]
    shown = gateway.api("GET", f"/sources/{made['id']}").json()["received"]
    assert (shown["refused"], shown["events"]) == (1, 0)
    gateway.api("PATCH", f"/sources/{made['id']}",
                json={"verify": {"secrets": verify["secrets"][:2]}})
    assert gateway.request("POST", made["path"], data=body, headers=signed).status_code == 200


def test_what_cannot_be_inflated_is_counted(gateway):
    made = gateway.api("POST", "/sources", json={
        "name": "n", "verify": {"type": "none"}}).json()

    def send(body, coding, status):
        answer = gateway.request("POST", made["path"], data=body, headers={
            "Content-Type": "application/json", "Content-Encoding": coding})
        expect_error(answer, status)
        return answer.json()["error"]["message"]

    bomb = gzip.compress(b'{"a":"' + b"x" * (5 << 20) + b'"}')
    for n, (body, coding, status) in enumerate((
        (b"{}", "gzip", 400), (gzip.compress(b"{}")[:-3], "gzip", 400), (bomb, "gzip", 413),
        (b"{}", "br", 415), (b"{}", "gzip, gzip", 415),
    ), 1):
        message = send(body, coding, status)
        received = gateway.api("GET", f"/sources/{made['id']}").json()["received"]
        assert (received["refused"], received["last_refused"]) == (n, message)
    gateway.api("PATCH", f"/sources/{made['id']}", json={"enabled": False})
    send(b"{}", "br", 415)
    assert gateway.api("GET", f"/sources/{made['id']}").json()["received"]["refused"] == 5


@pytest.mark.parametrize("challenge, good", [
    ("x" * 1024, True), ("x" * 1025, False), ("", False), (None, False)])
def test_challenges_are_short(gateway, challenge, good):
    """One that is not answered is refused in words, not with an empty 200."""
    meta = gateway.api("POST", "/sources", json={
        "name": "m", "verify": {"type": "none"}, "challenge": "meta",
        "verify_token": "t"}).json()
    query = {"hub.mode": "subscribe", "hub.verify_token": "t"}
    if challenge is not None:
        query["hub.challenge"] = challenge
    answer = gateway.request("GET", f"{meta['path']}?{urllib.parse.urlencode(query)}")
    slack = gateway.api("POST", "/sources", json={
        "name": "s", "verify": {"type": "none"}, "challenge": "slack"}).json()
    body = {"type": "url_verification", "challenge": challenge and challenge[2:]}
    other = gateway.request("POST", slack["path"], json=body)
    if good:
        assert (answer.status_code, answer.text) == (200, challenge)
        assert (other.status_code, other.json()) == (200, {"challenge": challenge[2:]})
        return
    expect_error(answer, 400, "hub.challenge")
    if challenge != "":
        expect_error(other, 400, "challenge")
    for made in (meta,) if challenge == "" else (meta, slack):
        received = gateway.api("GET", f"/sources/{made['id']}").json()["received"]
        assert (received["refused"], received["events"]) == (1, 0)
