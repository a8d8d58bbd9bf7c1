"""What may be registered: names of headers, secrets, URLs, fields that are null."""

import time

import pytest

from harness import expect_error, hooks_path, wait_until, waybill

HOOK = "http://127.0.0.1:9/hook"


def register(gateway, **fields):
    return gateway.api("POST", hooks_path("s1"), json={"url": HOOK, **fields})


# Headers


@pytest.mark.parametrize(
    "name",
    ["X-Webhook-Secret", "X-Webhook-Token", "X-Webhook-Auth", "X-Webhook-Api-Key",
     "X_Webhook_Secret", "Webhook-Secret", "X-Hub-Signature-256", "Authorization"],
)
def test_headers_that_receivers_check_are_sent(gateway, receiver, name):
    gateway.register("s1", receiver.url(), headers={name: "let me in"})
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert request.values(name) == ["let me in"]


@pytest.mark.parametrize(
    "name",
    ["Content_Length", "content_length", "Transfer_Encoding", "Content.Length", "X_Webhook_Id",
     "x_webhook-signature", "X-WEBHOOK_SIGNATURE_VERSION", "webhook_id", "Webhook_Signature",
     "User_Agent", "X-Webhook-Delivery", "x-webhook-event", "host"],
)
def test_names_that_are_read_as_ours_are_refused(gateway, name):
    answer = register(gateway, headers={name: "1"})
    expect_error(answer, 400, f"headers.{name}", ["reserved"])


@pytest.mark.parametrize("value", ["", " ", "   ", " a b ", ";", ":"])
def test_value_of_spaces_is_an_empty_one(gateway, receiver, value):
    gateway.register("s1", receiver.url(), headers={"X-Mine": value, "X-Other": "1"})
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert request.values("X-Mine") == [value.strip()]
    assert request.values("X-Other") == ["1"]


def test_long_bearer_token_is_sent_whole(gateway, receiver):
    token = "Bearer " + "x" * (8192 - len("Bearer "))
    webhook = gateway.register("s1", receiver.url(), headers={"Authorization": token})
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert request.header("Authorization") == token
    answer = gateway.api(
        "PATCH", hooks_path("s1", webhook["id"]), json={"headers": {"Authorization": token + "x"}}
    )
    expect_error(answer, 400, "headers.Authorization", ["8192"])


# Secrets

UNUSABLE = {
    "url-safe": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa-_", "base64"),
    "not base64": ("whsec_not base64!", "base64"),
    "half its padding": ("whsec_AA=", "base64"),
    "a digit too few": ("whsec_AAECA", "base64"),
    "nothing": ("whsec_", "base64"),
    "prefix twice": ("whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64"),
    "of a dashboard": ("v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,"),
    "capitals": ("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "lower case"),
    "space before": (" s3cret", "white space"),
    "newline behind": ("s3cret\n", "white space"),
    "from Windows": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\r\n", "white space"),
    "byte order mark": ("\ufeffs3cret", "white space"),
    "no-break space": ("s3cret\u00a0", "white space"),
    "em space": ("s3cret\u2003", "white space"),
    "narrow space": ("\u202fs3cret", "white space"),
    "direction mark": ("s3cret\u200e", "white space"),
    "word joiner": ("\u2060s3cret", "white space"),
    "whsec_ of a chat": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\u2069", "white space"),
}


@pytest.mark.parametrize("secret, word", UNUSABLE.values(), ids=UNUSABLE)
def test_secrets_that_no_receiver_can_use(gateway, secret, word):
    expect_error(register(gateway, secret=secret), 400, "secret", [word])
    webhook = gateway.register("s1", HOOK, secret="s3cret")
    path = hooks_path("s1", webhook["id"])
    expect_error(gateway.api("PATCH", path, json={"secret": secret}), 400, "secret", [word])
    answer = gateway.api("POST", path + "/rotate-secret", json={"secret": secret})
    expect_error(answer, 400, "secret", [word])


@pytest.mark.parametrize("secret, word", UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("name", ["inbound_secret", "session_inbound_secrets"])
def test_inbound_secrets_that_nobody_could_sign_with(name, secret, word):
    value = secret if name == "inbound_secret" else "own=" + secret
    in_environment = waybill("check-config", env={"WAYBILL_" + name.upper(): value})
    assert in_environment.returncode == 1 and name in in_environment.stderr
    flag = "--" + name.replace("_", "-")
    as_flag = waybill("check-config", flag, value)
    assert as_flag.returncode == 2 and flag in as_flag.stderr
    if secret != "whsec_":  # which the words on what is allowed have as well
        assert secret not in in_environment.stderr + as_flag.stderr


# Fields that are null

DEFAULTS = {
    "events": ["all"], "headers": {}, "signature": "v1", "timeout_ms": 7000,
    "max_in_flight": 16, "ordering": "none", "rate_limit": None, "retry": None,
    "description": None, "ca_pem": None, "tls_verify": True, "enabled": True, "secret": None,
}
GIVEN = {
    "events": ["message"], "headers": {"X-A": "1"}, "signature": "v2", "timeout_ms": 100,
    "max_in_flight": 1, "ordering": "fifo", "rate_limit": 2, "retry": ["5s"],
    "description": "mine", "tls_verify": False, "enabled": False, "secret": "s3cret",
}


def test_null_is_the_default_of_a_webhooks_field(make_gateway):
    gateway = make_gateway(timeout_ms=7000)
    webhook = gateway.register("s1", HOOK, **dict.fromkeys(DEFAULTS))
    assert {name: webhook[name] for name in DEFAULTS} == DEFAULTS
    path = hooks_path("s1", webhook["id"])
    assert gateway.api("PATCH", path, json=GIVEN).status_code == 200
    for name in GIVEN:
        changed = gateway.api("PATCH", path, json={name: None})
        assert changed.status_code == 200, changed.text
        assert changed.json()[name] == DEFAULTS[name]
    expect_error(gateway.api("PATCH", path, json={"url": None}), 400, "url")


def test_null_is_the_default_of_a_rotation(gateway):
    webhook = gateway.register("s1", HOOK, secret="s3cret")
    answer = gateway.api(
        "POST", hooks_path("s1", webhook["id"], "rotate-secret"),
        json={"secret": None, "overlap_seconds": None},
    )
    assert answer.status_code == 200
    assert answer.json()["secret"].startswith("whsec_")
    assert answer.json()["previous_secret_expires_at"] is not None


def test_null_is_the_default_of_a_replay(gateway):
    webhook = gateway.register("s1", HOOK)
    path = hooks_path("s1", webhook["id"], "replay")
    answer = gateway.api("POST", path, json={"since": 0, "until": None, "status": None})
    assert answer.status_code == 202
    assert answer.json()["replay"]["status"] == "failed"
    expect_error(gateway.api("POST", path, json={"since": None}), 400, "since")


@pytest.mark.parametrize("path", ["/sessions/s1/events", "/events", "/events[]"])
def test_null_is_the_default_of_an_envelopes_member(gateway, receiver, path):
    gateway.register("s1", receiver.url())
    event = {"event": "message", "timestamp": None, "id": None, "data": None, "x": None}
    if path == "/sessions/s1/events":
        event["session_id"] = None
    else:
        event["session_id"] = "s1"
    body = [event] if path == "/events[]" else event
    answer = gateway.api("POST", path.rstrip("[]"), json=body)
    assert answer.status_code == 202, answer.text
    (request,) = receiver.wait_for(1)
    sent = request.json()
    assert abs(sent["timestamp"] - time.time()) < 60
    assert list(sent) == ["session_id", "event", "timestamp", "x", "data"]
    assert sent["session_id"] == "s1" and sent["x"] is None and sent["data"] is None
    for missing in ["event", "session_id"]:
        answer = gateway.api("POST", "/events", json={**event, "session_id": "s1", missing: None})
        expect_error(answer, 400, missing)


# URLs

TAKEN = {  # what is written behind the port, and what is sent
    "stray percent": ("/100%?q=%", "/100%25?q=%25"),
    "marks": ("/{id}/[1]|^?a[]={b|c}", "/%7Bid%7D/%5B1%5D%7C%5E?a%5B%5D=%7Bb%7Cc%7D"),
    "not ASCII": ("/caf\u00e9?\u00fc=\U0001f511", "/caf%C3%A9?%C3%BC=%F0%9F%94%91"),
    "quotes": ("/\"<a>`", "/%22%3Ca%3E%60"),
    "dot segments": ("/a/../b/./c//", "/a/../b/./c//"),
    "dots in disguise": ("/a/%2e%2E/b", "/a/%2e%2E/b"),
    "encoded already": ("/%7Bid%7D%25?x=%5b", "/%7Bid%7D%25?x=%5b"),
}


@pytest.mark.parametrize("written, sent", TAKEN.values(), ids=TAKEN)
def test_urls_that_browsers_and_curl_take_are_taken(gateway, receiver, written, sent):
    base = receiver.url("")
    webhook = gateway.register("s1", base + written)
    assert webhook["url"] == base + sent
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert request.path == sent
    again = gateway.api("POST", hooks_path("s1"), json={"url": base + sent})
    expect_error(again, 409, "url")
    patched = gateway.api("PATCH", hooks_path("s1", webhook["id"]), json={"url": base + written})
    assert patched.json()["url"] == base + sent


def test_international_hosts_are_found_by_their_ascii_form(make_gateway, receiver, name_server):
    gateway = make_gateway(name_servers=name_server.address)
    name_server.names["xn--bcher-kva.test"] = ["127.0.0.1"]
    port = receiver.url().split(":")[2].split("/")[0]
    webhook = gateway.register("s1", f"http://B\u00fccher.test:{port}/hook")
    assert webhook["url"] == f"http://xn--bcher-kva.test:{port}/hook"
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert request.header("Host") == f"xn--bcher-kva.test:{port}"


@pytest.mark.parametrize(
    "host", ["\uff11\uff12\uff17.0.0.1", "%31%32%37.0.0.1", "127\u30020\uff0e0.1", "[::ffff:127.0.0.1]"]
)
def test_policy_looks_at_what_is_connected_to(make_gateway, receiver, host):
    port = receiver.url().split(":")[2].split("/")[0]
    gateway = make_gateway(allow_cidr="192.0.2.0/24", retry_schedule="1h")
    gateway.register("s1", f"http://{host}:{port}/")
    event = gateway.publish("s1")
    path = f"/sessions/s1/deliveries?event_id={event['id']}"
    (delivery,) = wait_until(
        lambda: [d for d in gateway.api("GET", path).json()["deliveries"] if d["attempts"]]
    )
    assert "not allowed" in delivery["attempts"][0]["error"]
    assert receiver.requests == []


@pytest.mark.parametrize(
    "url",
    ["http://a b/", "http://127.0.0.1/a b", "http://127.0.0.1/\t", "http://127.0.0.1\\@h/",
     "http://h/a\\b", "http://a%2fb/", "http://a%40b/", "http://user@b\u00fccher.test/",
     "http://h/#f", "http://{h}/", "http://0x7f.1/", "http://\u200b/", "http://a\u2100b/"],
)
def test_urls_that_are_read_in_two_ways_are_refused(gateway, url):
    expect_error(register(gateway, url=url), 400, "url")
