"""The webhooks API: every call, and every way in which section 2 lets it fail."""

import json

import pytest

from harness import (
    MASK, RFC3339, ROOT, UUID4, Hold, as_listed, expect_error, hooks_path, verify, waybill,
)  # fmt: skip

HOOK = "http://127.0.0.1:9/hook"  # no event is published for it: it is never contacted
OTHER = "http://127.0.0.1:9/other"
SECRET = "kept-to-itself"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

EVENTS = (
    "message receipt presence chat_presence group_update joined_group qr_code pair_code "
    "connected disconnected logged_out "
    "picture_update user_about_update push_name_update contact_update "
    "device_list_update pin_update mute_update archive_update mark_chat_as_read "
    "undecryptable_message client_outdated offline_sync_preview offline_sync_completed "
    "scheduled_sent scheduled_failed blast_progress blast_completed account_locked "
    "call_log_sync stream_error enc_decrypt_failed incoming_call send_result"
).split()

DEFAULTS = {
    "url": HOOK,
    "events": ["all"],
    "secret": None,
    "enabled": True,
    "signature": "v1",
    "timeout_ms": 5000,
    "max_in_flight": 16,
    "ordering": "none",
    "rate_limit": None,
    "retry": None,
    "headers": {},
    "auth": None,
    "ca_pem": None,
    "tls_verify": True,
    "client_cert_pem": None,
    "client_key_pem": None,
    "client_cert_expires_at": None,
    "proxy": "default",
    "no_proxy": [],
    "user_agent": None,
    "http_version": "1.1",
    "content_encoding": "identity",
    "description": None,
    "disabled_reason": None,
    "keep_queueing": False,
    "previous_secret_expires_at": None,
}

BROKEN_PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
PEM = """\
-----BEGIN CERTIFICATE-----
MIIBGzCBzqADAgECAgEBMAUGAytlcDAMMQowCAYDVQQDDAF0MCAXDTI2MTEyMzE2
MzE1NFoYDzIxMjYxMDMwMTYzMTU0WjAMMQowCAYDVQQDDAF0MCowBQYDK2VwAyEA
syLTRxufsB0MzQh1eGOdLmO4P5J15qtmZ6RpviyIJ/qjUzBRMB0GA1UdDgQWBBRh
xGMeaMTPuMqU2CfcF0q7OwV27DAfBgNVHSMEGDAWgBRhxGMeaMTPuMqU2CfcF0q7
OwV27DAPBgNVHRMBAf8EBTADAQH/MAUGAytlcANBAF6j+6a0kDTCHGPKHH3VAcql
P8C9F1tJk/bEaV4HyOmuBDWeYnBi4Aao8vf+L0SoHiAsB2Ppkjwua+k7S/vOrQ4=
-----END CERTIFICATE-----
"""

CHANGES = {
    "url": OTHER,
    "events": ["message", "receipt"],
    "headers": {"X-Tenant": "7", "Authorization": "Basic eDp5"},
    "signature": "v2",
    "timeout_ms": 30000,
    "max_in_flight": 1,
    "ordering": "fifo",
    "rate_limit": 20,
    "retry": ["300ms", "5s", "2m", "2h", "5d"],
    "ca_pem": PEM,
    "tls_verify": False,
    "user_agent": "partner/2",
    "content_encoding": "gzip",
    "description": "the \u00e9cole's hook",
}


def shown(webhook, names):
    return {name: webhook[name] for name in names}


def register(gateway, body, session="s1"):
    return gateway.api("POST", hooks_path(session), json=body)


def patch(gateway, webhook, changes, session="s1"):
    return gateway.api("PATCH", hooks_path(session, webhook["id"]), json=changes)


# Registration and listing


def test_register_answers_the_webhook_with_its_defaults(gateway):
    answer = register(gateway, {"url": HOOK})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    webhook = answer.json()
    assert UUID4.fullmatch(webhook["id"])
    assert shown(webhook, DEFAULTS) == DEFAULTS
    assert RFC3339.fullmatch(webhook["created_at"])
    assert webhook["updated_at"] == webhook["created_at"]
    assert gateway.webhook("s1", webhook["id"]) == webhook


def test_register_takes_every_field(gateway):
    webhook = gateway.register("s1", **{**CHANGES, "secret": SECRET})
    assert shown(webhook, CHANGES) == CHANGES
    assert webhook["secret"] == MASK
    assert gateway.webhook("s1", webhook["id"]) == webhook


@pytest.mark.parametrize("body", [{"url": HOOK}, {"url": HOOK, "events": []}])
def test_no_events_means_all(gateway, body):
    assert register(gateway, body).json()["events"] == ["all"]


def test_every_known_event_can_be_subscribed_to(gateway):
    assert gateway.register("s1", HOOK, events=EVENTS)["events"] == EVENTS
    assert gateway.register("s1", OTHER, events=["all"])["events"] == ["all"]


def test_capabilities_have_the_events_of_the_settings_too(make_gateway):
    gateway = make_gateway(extra_events="order.paid,order.sent")
    offered = gateway.api("GET", "/capabilities").json()
    assert offered["events"] == ["all", *EVENTS, "order.paid", "order.sent"]
    made = gateway.register("s1", HOOK, events=offered["events"])
    assert made["events"] == offered["events"]


def test_signature_has_the_settings_default(make_gateway, make_receiver):
    gateway = make_gateway()
    old, new = make_receiver(), make_receiver()
    before = gateway.register("old", old.url(), secret=SECRET)
    gateway.stop()
    gateway.reconfigure(default_signature="v2")
    gateway.start()
    after = gateway.register("new", new.url(), secret=SECRET)
    assert (before["signature"], after["signature"]) == ("v1", "v2")
    assert gateway.webhook("old", before["id"])["signature"] == "v1"
    for session, receiver, signature in [("old", old, "v1"), ("new", new, "v2")]:
        gateway.publish(session)
        verify(receiver.wait_for(1)[0], SECRET, signature)
    assert patch(gateway, before, {"signature": None}, "old").json()["signature"] == "v2"
    assert gateway.api("GET", "/capabilities").json()["default_signature"] == "v2"
    done = waybill("check-config", "--default-signature", "v3")
    assert done.returncode == 2 and "must be v1, v2, ed25519 or rfc9421" in done.stderr


@pytest.mark.parametrize("setting", ["refuse", "ignore"])
@pytest.mark.parametrize("name", ["max_retries", "in_flight"])  # nobody's, and one to read only
def test_unknown_fields_are_refused_or_ignored(make_gateway, setting, name):
    gateway = make_gateway(unknown_fields=setting)
    hook = gateway.register("s1", HOOK, secret=SECRET)
    own = hooks_path("s1", hook["id"])
    for method, path, body, code in [
        ("POST", hooks_path("s1"), {"url": OTHER}, 200),
        ("PATCH", own, {"description": "d"}, 200),
        ("POST", own + "/rotate-secret", {"overlap_seconds": 1}, 200),
        ("POST", own + "/replay", {"since": "2026-01-01T00:00:00Z"}, 202),
    ]:
        answer = gateway.api(method, path, json={**body, name: 3})
        if setting == "refuse":
            expect_error(answer, 400)
        else:
            assert answer.status_code == code, answer.text
        expect_error(gateway.api(method, path, json={**body, name: 3, next(iter(body)): {}}), 400)
    shown = gateway.webhook("s1", hook["id"])
    assert shown["description"] == ("d" if setting == "ignore" else None)
    assert shown.get(name, 0) == 0


def test_capabilities_have_each_signature_and_what_it_adds(gateway, make_receiver):
    offered = gateway.api("GET", "/capabilities").json()["signatures"]
    assert offered[0]["name"] == DEFAULTS["signature"]
    plain = make_receiver()
    gateway.register("plain", plain.url())
    gateway.publish("plain")
    before = {name.lower() for name, _ in plain.wait_for(1)[0].headers}
    for scheme in offered:
        receiver = make_receiver()
        session = "signed-" + scheme["name"]
        made = gateway.register(
            session, receiver.url(), secret=SECRET, signature=scheme["name"]
        )
        gateway.publish(session)
        (request,) = receiver.wait_for(1)
        verify(request, SECRET, scheme["name"], made["public_key"])
        signed = {name.lower() for name, _ in request.headers}
        assert signed - before == {name.lower() for name in scheme["headers"]}, scheme["name"]


def test_capabilities_have_the_presets_of_sources(gateway):
    presets = json.loads((ROOT / "src" / "domain" / "presets.json").read_text())
    assert gateway.api("GET", "/capabilities").json()["presets"] == list(presets)


def test_capabilities_are_for_any_token_and_for_no_other(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("scoped-token s1\n")
    gateway = make_gateway(tokens_file=str(tokens))
    answer = gateway.api("GET", "/capabilities", token="scoped-token")
    assert answer.status_code == 200
    assert answer.json() == gateway.api("GET", "/capabilities").json()
    expect_error(gateway.api("GET", "/capabilities", token="other"), 401)
    expect_error(gateway.api("POST", "/capabilities", json={}), 405)


def test_list_has_the_webhooks_of_its_session_only(gateway):
    mine = [gateway.register("s1", f"{HOOK}/{n}") for n in range(3)]
    gateway.register("s2", HOOK)
    answer = gateway.api("GET", hooks_path("s1"))
    assert answer.status_code == 200
    listed = answer.json()
    assert listed["count"] == 3
    by_id = {webhook["id"]: webhook for webhook in listed["webhooks"]}
    assert by_id == {webhook["id"]: as_listed(webhook) for webhook in mine}
    assert [webhook["id"] for webhook in listed["webhooks"]] == [w["id"] for w in mine]


def test_largest_webhook_is_shown_whole(gateway):
    webhook = gateway.register("s1", HOOK)
    largest = {
        "ca_pem": "\x01" * 10500 + "\n" + PEM,  # six bytes each in JSON
        "headers": {f"X-{i}": '"' * 1024 for i in range(31)},  # two
        "events": gateway.api("GET", "/capabilities").json()["events"],
        "description": "\x01" * 500,
    }
    for name, value in largest.items():
        assert patch(gateway, webhook, {name: value}).json()[name] == value
    assert shown(gateway.webhook("s1", webhook["id"]), largest) == largest


def test_list_of_a_session_nobody_has_used_is_empty(gateway):
    answer = gateway.api("GET", hooks_path("never-seen"))
    assert (answer.status_code, answer.json()) == (
        200, {"webhooks": [], "count": 0, "next_cursor": None}
    )


def test_secret_is_never_given_back(gateway):
    registered = register(gateway, {"url": HOOK, "secret": SECRET})
    path = hooks_path("s1", registered.json()["id"])
    answers = [
        registered,
        gateway.api("GET", hooks_path("s1")),
        gateway.api("GET", path),
        gateway.api("PATCH", path, json={"secret": SECRET + "2"}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert SECRET not in answer.text and MASK in answer.text


# Changes


@pytest.mark.parametrize("field", CHANGES)
def test_patch_changes_one_field_and_no_other(gateway, field):
    before = gateway.register("s1", HOOK, secret=SECRET)
    answer = patch(gateway, before, {field: CHANGES[field]})
    assert answer.status_code == 200
    after = answer.json()
    assert after["updated_at"] >= before["updated_at"]
    assert after == {**before, field: CHANGES[field], "updated_at": after["updated_at"]}
    assert gateway.webhook("s1", before["id"]) == after


def test_patch_changes_several_fields_at_once(gateway):
    after = patch(gateway, gateway.register("s1", HOOK), CHANGES).json()
    assert shown(after, CHANGES) == CHANGES


@pytest.mark.parametrize("field", ["secret", "rate_limit", "retry", "ca_pem", "description"])
def test_patch_with_null_takes_a_field_back(gateway, field):
    before = gateway.register("s1", **{**CHANGES, "secret": SECRET})
    assert before[field] is not None
    answer = patch(gateway, before, {field: None})
    assert answer.status_code == 200
    after = answer.json()
    assert after == {**before, field: None, "updated_at": after["updated_at"]}
    assert gateway.webhook("s1", before["id"]) == after


def test_patch_sets_a_secret_where_there_was_none(gateway):
    before = gateway.register("s1", HOOK)
    assert patch(gateway, before, {"secret": SECRET}).json()["secret"] == MASK


def test_patch_of_nothing_changes_nothing(gateway):
    before = gateway.register("s1", **CHANGES)
    after = patch(gateway, before, {}).json()
    assert after == {**before, "updated_at": after["updated_at"]}


def test_patch_that_is_refused_changes_nothing(gateway):
    before = gateway.register("s1", HOOK)
    expect_error(patch(gateway, before, {"url": OTHER, "timeout_ms": 1}), 400, "timeout_ms")
    assert gateway.webhook("s1", before["id"]) == before


def test_same_url_twice_in_a_session_is_a_conflict(gateway):
    first = gateway.register("s1", HOOK)
    expect_error(register(gateway, {"url": HOOK, "events": ["message"]}), 409)
    second = gateway.register("s1", OTHER)
    expect_error(patch(gateway, second, {"url": HOOK}), 409)
    assert gateway.webhook("s1", second["id"])["url"] == OTHER
    assert patch(gateway, first, {"url": HOOK}).status_code == 200
    gateway.register("s2", HOOK)


def test_url_is_free_again_after_its_webhook_left_it(gateway):
    first = gateway.register("s1", HOOK)
    assert patch(gateway, first, {"url": OTHER}).status_code == 200
    second = gateway.register("s1", HOOK)
    assert gateway.api("DELETE", hooks_path("s1", second["id"])).status_code == 200
    third = gateway.register("s1", HOOK)
    assert len({first["id"], second["id"], third["id"]}) == 3


# Field errors; what is refused on registration is refused on PATCH

URL_2048 = "http://127.0.0.1/" + "a" * (2048 - len("http://127.0.0.1/"))

BAD_FIELDS = [
    *(
        ("url", url, "url")
        for url in [
            "", "hook", "/hook", "127.0.0.1:9/hook", "//127.0.0.1/hook",
            "ftp://127.0.0.1/hook", "file:///etc/passwd", "http:///hook", "http://",
            "http://user@127.0.0.1/", "http://user:pass@127.0.0.1/", "http://127.0.0.1/#part",
            "http://127.0.0.1/#", "http://127.0.0.1:0/", "http://127.0.0.1:65536/",
            "http://127.0.0.1:x/", "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX-A: b",
            "http://127.0.0.1\\hook", " http://127.0.0.1/",
            "http://[::1/", URL_2048 + "a", 5, None, ["http://127.0.0.1/"],
        ]
    ),
    ("events", "message", "events"),
    ("events", {"message": True}, "events"),
    ("events", [5], "events[0]"),
    ("events", ["message", "mesage"], "events[1]"),
    ("events", ["Message"], "events[0]"),
    ("events", [""], "events[0]"),
    ("secret", "", "secret"),
    ("secret", 5, "secret"),
    ("signature", "v3", "signature"),
    ("signature", 1, "signature"),
    *(("signature", v, "signature") for v in [[], ["v1", "v2"], ["v1", "v3"], [1], {"a": "v1"}]),
    *(("private_key", v, "private_key") for v in ["", 1, "whsk_AAAA", MASK, "whpk_" + "A" * 43]),
    *(("timeout_ms", v, "timeout_ms") for v in [99, 30001, -1, 100.5, "5000", True]),
    *(("max_in_flight", v, "max_in_flight") for v in [0, -1, 1.5, "16"]),
    ("ordering", "lifo", "ordering"),
    ("ordering", True, "ordering"),
    *(("rate_limit", v, "rate_limit") for v in [-1, 0, "20"]),
    ("retry", "5s", "retry*"),
    ("retry", ["5s", "soon"], "retry*"),
    ("retry", [5], "retry*"),
    ("retry", ["-5s"], "retry*"),
    ("headers", [], "headers*"),
    ("headers", "X-A: b", "headers*"),
    ("headers", {"X-A": 5}, "headers*"),
    *(
        ("headers", {name: "x"}, "headers*")
        for name in [
            "Host", "Content-Length", "content-type", "Transfer-Encoding", "Connection",
            "User-Agent", "X-Webhook-Signature", "x-webhook-id", "X_Webhook_Id", "webhook-id",
            "Webhook-Signature", "webhook-timestamp", "", "X A", "X-A:", "X-A\r\nX-B",
            "X-\u00e9",
        ]
    ),
    *(
        ("headers", {"X-A": value}, "headers*")
        for value in ["a\r\nX-B: c", "a\nb", "a\rb", "\r\n"]
    ),
    ("url", "http://127.0.0.1/\x00", None),
    ("headers", {"X-A": "a\x00b"}, None),
    ("description", 5, "description"),
    *(("ca_pem", v, "ca_pem") for v in ["", 5, [PEM], "no certificate", BROKEN_PEM, PEM + 16384 * "x"]),
    *(("tls_verify", v, "tls_verify") for v in [0, 1, "false", {}]),
    *(("proxy", v, "proxy") for v in [1, "", "own", "http://proxy.example", "https://p:1", "none"]),
    *(("no_proxy", v, "no_proxy*") for v in ["a.example", [""], ["*"], ["a b"], [1], ["a.b"] * 33]),
    *(("user_agent", v, "user_agent") for v in ["", 5, "x" * 257, " x", "x\r\nX-A: b", "\u00e9"]),
    *(("http_version", v, "http_version") for v in [1.1, 2, "3", "2"]),
    *(("content_encoding", v, "content_encoding") for v in [True, "", "br", "GZIP"]),
    *(("enabled", v, "enabled") for v in [0, "true"]),
    ("auth", "Basic x", "auth"),
    ("auth", {"type": "bearer", "token": "two words"}, "auth.token"),
    ("auth", {"type": "basic", "username": "a:b", "password": "c"}, "auth.username"),
    ("previous_secret_expires_at", None, "previous_secret_expires_at"),
    ("client_cert_expires_at", None, "client_cert_expires_at"),
    ("previous_secret", "x", "previous_secret"),
    ("circuit", {"state": "closed"}, "circuit"),
    ("colour", "red", "colour"),
    ("Events", ["message"], "Events"),
]


@pytest.mark.parametrize("field, value, named", BAD_FIELDS)
def test_bad_field_is_refused_and_named(gateway, field, value, named):
    expect_error(register(gateway, {"url": HOOK, field: value}), 400, named)
    assert gateway.api("GET", hooks_path("s1")).json()["count"] == 0
    webhook = gateway.register("s1", HOOK)
    expect_error(patch(gateway, webhook, {field: value}), 400, named)
    assert gateway.webhook("s1", webhook["id"]) == webhook


def test_unknown_event_is_answered_with_the_known_ones(gateway):
    answer = register(gateway, {"url": HOOK, "events": ["message", "mesage"]})
    expect_error(answer, 400, "events[1]", mentions=["all", *EVENTS])


def test_url_is_required(gateway):
    expect_error(register(gateway, {"events": ["message"]}), 400, "url")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com", "http://example.com:8080/a?b=c&d=%20e", "http://[::1]:9/",
        "http://localhost/", "http://a-b.example./;x=~!$'()*,", URL_2048,
    ],
)
def test_good_url_is_kept_as_it_is(gateway, url):
    assert gateway.register("s1", url)["url"] == url


@pytest.mark.parametrize(
    "field, value",
    [("timeout_ms", 100), ("timeout_ms", 30000), ("ca_pem", PEM + (16384 - len(PEM)) * "\n")],
)
def test_limits_themselves_are_allowed(gateway, field, value):
    assert gateway.register("s1", HOOK, **{field: value})[field] == value


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"null", b"7", b"[{}]"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_body_that_is_no_object_is_refused(gateway, method, body):
    webhook = gateway.register("s1", HOOK)
    path = hooks_path("s1") if method == "POST" else hooks_path("s1", webhook["id"])
    expect_error(gateway.api(method, path, body=body), 400)


@pytest.mark.parametrize(
    "body, offset", [(b"", 0), (b'{"url":}', 7), (b'{"url":"http://a/"} x', 20), (b"{'url'", 1)]
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_malformed_body_is_refused_with_the_offset(gateway, method, body, offset):
    webhook = gateway.register("s1", HOOK)
    path = hooks_path("s1") if method == "POST" else hooks_path("s1", webhook["id"])
    expect_error(gateway.api(method, path, body=body), 400, mentions=[f"at byte {offset}"])


# Names in paths


@pytest.mark.parametrize(
    "spelled, session",
    [
        ("a%2Eb", "a.b"), ("%61%62c", "abc"), ("a%7eb%7E", "a~b~"), ("%2D._~9", "-._~9"),
        ("x" * 128, "x" * 128), ("%78" * 128, "x" * 128),
    ],
)
def test_session_names_are_percent_decoded(gateway, spelled, session):
    body = json.dumps({"url": HOOK}).encode()
    with gateway.connect() as client:  # a library would decode such names itself
        client.send(
            f"POST /api/v1/sessions/{spelled}/webhooks HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert client.reply().status_code == 200
    assert gateway.api("GET", hooks_path(session)).json()["count"] == 1


@pytest.mark.parametrize(
    "spelled",
    ["a%0Ab", "a%C2%85", "a%00b", "%zz", "a%2", "a%", "%C3", "*", "%2A", "x" * 129],
)
def test_bad_session_name_is_refused(gateway, spelled):
    with gateway.connect() as client:
        client.send(
            f"GET /api/v1/sessions/{spelled}/webhooks HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {gateway.token}\r\n\r\n".encode()
        )
        expect_error(client.reply(), 400)


@pytest.mark.parametrize("spelled", [".", "..", "%2e", "%2E.", "%2e%2E"])
def test_session_that_urls_fold_away_is_refused(gateway, spelled):
    """One of before can be read, and what it has deleted."""

    def call(method, path, body=b""):
        with gateway.connect() as client:  # a library would fold it
            client.send(
                f"{method} /api/v1/{path} HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n".encode()
                + (b"Content-Length: %d\r\n" % len(body) if body else b"") + b"\r\n" + body
            )
            return client.reply()

    session = spelled.lower().replace("%2e", ".")
    event = json.dumps({"session_id": session, "event": "message"}).encode()
    for path, body in [
        (f"sessions/{spelled}/webhooks", json.dumps({"url": HOOK}).encode()),
        (f"sessions/{spelled}/events", b'{"event":"message"}'),
        (f"sessions/{spelled}/webhook-in", event),
    ]:
        expect_error(call("POST", path, body), 400, "session", ["cannot be . or .."])
    expect_error(call("POST", "events", event), 400, "session_id", ["cannot be . or .."])
    expect_error(call("POST", "events", b"[%s]" % event), 400, "[0].session_id")
    assert call("GET", f"sessions/{spelled}/webhooks").status_code == 200
    assert call("DELETE", f"sessions/{spelled}/webhooks/dlq").status_code == 200


BY_ID = [
    ("GET", ()), ("PATCH", ()), ("DELETE", ()),
    ("POST", ("enable",)), ("POST", ("disable",)), ("POST", ("test",)),
    ("POST", ("rotate-secret",)),
]


@pytest.mark.parametrize("method, verb", BY_ID)
def test_webhook_that_is_not_there_is_404(gateway, method, verb):
    body = {"description": "x"} if method == "PATCH" else None
    of_another_session = gateway.register("s2", HOOK)
    deleted = gateway.register("s1", HOOK)
    assert gateway.api("DELETE", hooks_path("s1", deleted["id"])).status_code == 200
    for webhook_id in [of_another_session["id"], deleted["id"], UNKNOWN_ID, "not-an-id"]:
        expect_error(gateway.api(method, hooks_path("s1", webhook_id, *verb), json=body), 404)
    assert gateway.webhook("s2", of_another_session["id"]) == of_another_session


# Verbs


def test_delete(gateway):
    webhook = gateway.register("s1", HOOK)
    answer = gateway.api("DELETE", hooks_path("s1", webhook["id"]))
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "Webhook unregistered"}
    expect_error(gateway.api("GET", hooks_path("s1", webhook["id"])), 404)
    assert gateway.api("GET", hooks_path("s1")).json()["count"] == 0


def test_delete_drops_what_is_pending(gateway, make_receiver):
    """The kept webhook's retry, due later than the deleted one's was, tells that it is gone."""
    holds = [Hold(then=500), Hold(then=500)]
    deleted_receiver, kept_receiver = (make_receiver(hold, 200) for hold in holds)
    deleted = gateway.register("s1", deleted_receiver.url(), retry=["20ms"])
    gateway.register("s1", kept_receiver.url(), retry=["500ms"])
    gateway.publish("s1")
    deleted_receiver.wait_for(1)
    kept_receiver.wait_for(1)
    gateway.call("s1", deleted["id"], "disable")  # or its retry may come before the deletion
    holds[0].release()
    assert gateway.api("DELETE", hooks_path("s1", deleted["id"])).status_code == 200
    holds[1].release()
    kept_receiver.wait_for(2)
    assert len(deleted_receiver.requests) == 1


def test_disable_and_enable(gateway):
    webhook = gateway.register("s1", HOOK)
    for _ in range(2):  # the second time changes nothing and is no error
        answer = gateway.call("s1", webhook["id"], "disable")
        assert answer == {"success": True, "message": "Webhook disabled"}
        assert gateway.webhook("s1", webhook["id"])["enabled"] is False
    for _ in range(2):
        answer = gateway.call("s1", webhook["id"], "enable")
        assert answer == {"success": True, "message": "Webhook re-enabled"}
        after = gateway.webhook("s1", webhook["id"])
        assert after["enabled"] is True and after["disabled_reason"] is None


def test_verbs_need_no_body_and_no_length(gateway):
    webhook = gateway.register("s1", HOOK)
    with gateway.connect() as client:  # as `curl -X POST` sends it
        client.send(
            f"POST /api/v1{hooks_path('s1', webhook['id'], 'disable')} HTTP/1.1\r\n"
            f"Host: x\r\nAuthorization: Bearer {gateway.token}\r\n\r\n".encode()
        )
        assert client.reply().status_code == 200
    assert gateway.webhook("s1", webhook["id"])["enabled"] is False


def test_webhooks_of_a_session_are_limited_and_the_error_says_to_how_many(make_gateway):
    gateway = make_gateway(max_webhooks_per_session=2)
    first = gateway.register("s1", f"{HOOK}/1")
    gateway.register("s1", f"{HOOK}/2")
    over = {"url": f"{HOOK}/3"}
    answer = gateway.api("POST", hooks_path("s1"), json=over)
    expect_error(answer, 409, mentions=["max_webhooks_per_session", ": 2"])
    gateway.register("s2", f"{HOOK}/3")
    assert gateway.api("DELETE", hooks_path("s1", first["id"])).status_code == 200
    assert gateway.api("POST", hooks_path("s1"), json=over).status_code == 200
