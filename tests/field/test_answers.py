"""What is answered: parameters of a query, limits, origins, names of the host."""

import json
import os
import signal
import time

import pytest

from harness import expect_error, hooks_path, sign_v1, sign_v2, wait_until, waybill

HOOK = "http://127.0.0.1:9/hook"
ID = "b807d7e0-f783-4252-9d6d-76f50e2e8348"


# Parameters of a query


def bury(gateway, receiver, session="s1"):
    """Two webhooks of the session with a dead letter each."""
    webhooks = [gateway.register(session, receiver.url(f"/{n}")) for n in range(2)]
    gateway.publish(session)
    wait_until(lambda: len(gateway.dlq(session)) == 2)
    return webhooks


@pytest.fixture
def impatient(make_gateway):
    return make_gateway(retry_schedule="10ms")


@pytest.mark.parametrize("name", ["webhook_id", "webhook"])
def test_purge_of_one_webhooks_dead_letters_leaves_the_others(impatient, make_receiver, name):
    one, other = bury(impatient, make_receiver(500))
    path = hooks_path("s1", f"dlq?{name}={one['id']}")
    assert impatient.api("DELETE", path).json()["count"] == 1
    (left,) = wait_until(lambda: len(impatient.dlq("s1")) == 1 and impatient.dlq("s1"))
    assert left["webhook_id"] == other["id"]
    assert [e["webhook_id"] for e in impatient.api("GET", hooks_path(
        "s1", f"dlq?{name}={other['id']}")).json()["entries"]] == [other["id"]]


@pytest.mark.parametrize(
    "query",
    ["webhookId={}", "webhook-id={}", "Webhook_id={}", "webhook_ids={}", "webhook%20id={}",
     "id={}", "limit=1&webhook_id={}", "webhook_id", "webhook_id=", "webhook",
     "webhook_id={}&webhook_id={}", "webhook_id={}&webhook={}", "webhook={}&webhook={}",
     "={}", "webhook_id={}&all"],
)
def test_purge_that_is_misspelt_drops_nothing(impatient, make_receiver, query):
    one, _other = bury(impatient, make_receiver(500))
    answer = impatient.api("DELETE", hooks_path("s1", "dlq?" + query.format(one["id"], one["id"])))
    expect_error(answer, 400)
    assert len(impatient.dlq("s1")) == 2


PARAMETERS = {
    ("GET", "/api/v1/capabilities"): [],
    ("GET", "/api/v1/stats"): ["top"],
    ("GET", "/api/v1/backup"): [],
    ("GET", "/api/v1/events/stream"): ["session_id", "webhook_id", "status"],
    ("POST", "/api/v1/events"): [],
    ("POST", "/api/v1/sessions/s1/webhook-in"): [],
    ("POST", "/api/v1/sessions/s1/events"): [],
    ("POST", "/api/v1/sessions/s1/webhooks"): [],
    ("GET", "/api/v1/sessions/s1/webhooks"): ["limit", "cursor"],
    ("GET", "/api/v1/sessions/s1/webhooks/dlq"): [
        "limit", "cursor", "webhook_id", "event", "since", "until",
    ],
    ("DELETE", "/api/v1/sessions/s1/webhooks/dlq"): ["webhook_id"],
    ("POST", "/api/v1/sessions/s1/webhooks/dlq/replay"): ["webhook_id"],
    ("DELETE", f"/api/v1/sessions/s1/webhooks/dlq/{ID}"): [],
    ("POST", f"/api/v1/sessions/s1/webhooks/dlq/{ID}/replay"): [],
    ("POST", f"/api/v1/sessions/s1/webhooks/{ID}/replay"): [],
    ("GET", f"/api/v1/sessions/s1/webhooks/{ID}/replay"): [],
    ("DELETE", f"/api/v1/sessions/s1/webhooks/{ID}/replay"): [],
    ("GET", f"/api/v1/sessions/s1/webhooks/{ID}"): [],
    ("PATCH", f"/api/v1/sessions/s1/webhooks/{ID}"): [],
    ("DELETE", f"/api/v1/sessions/s1/webhooks/{ID}"): [],
    ("POST", f"/api/v1/sessions/s1/webhooks/{ID}/enable"): [],
    ("POST", f"/api/v1/sessions/s1/webhooks/{ID}/disable"): ["keep_queueing"],
    ("POST", f"/api/v1/sessions/s1/webhooks/{ID}/try"): [],
    ("GET", f"/api/v1/sessions/s1/webhooks/{ID}/stats"): ["hours"],
    ("GET", "/api/v1/webhooks/all"): ["state", "limit", "cursor"],
    ("GET", "/api/v1/events"): ["event", "since", "until", "limit", "cursor"],
    ("GET", "/api/v1/dlq"): ["webhook_id", "event", "since", "until", "limit", "cursor"],
    ("POST", "/api/v1/dlq/replay"): ["cursor"],
    ("GET", "/api/v1/sessions/s1"): [],
    ("POST", f"/api/v1/sessions/s1/webhooks/{ID}/rotate-secret"): [],
    ("POST", f"/api/v1/sessions/s1/webhooks/{ID}/test"): [],
    ("POST", f"/api/v1/sessions/s1/deliveries/{ID}/retry"): [],
    ("POST", f"/api/v1/sessions/s1/deliveries/{ID}/cancel"): [],
    ("GET", "/api/v1/sessions"): ["limit", "cursor"],
    ("GET", "/api/v1/sessions/s1/deliveries"): [
        "webhook_id", "event_id", "status", "event", "since", "until", "limit", "cursor",
    ],
    ("GET", f"/api/v1/sessions/s1/deliveries/{ID}"): [],
    ("GET", f"/api/v1/sessions/s1/events/{ID}"): [],
    ("GET", f"/api/v1/events/{ID}"): [],
}


def test_unknown_parameter_is_refused_and_the_known_ones_are_named(gateway):
    for (method, path), known in PARAMETERS.items():
        answer = gateway.request(method, f"{path}?offset=3")
        error = expect_error(answer, 400, "offset", known or ["takes none"])
        words = error["message"].split()
        assert words[-len(known):] == known or not known, (path, error)


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/ui", "/openapi.yaml"])
def test_probes_and_browsers_may_add_parameters_of_their_own(gateway, path):
    assert gateway.request("GET", path + "?verbose&_=17&limit=x").status_code == 200


def test_old_names_name_what_is_wrong_with_them(gateway):
    answer = gateway.api("GET", hooks_path("s1", "dlq?webhook=x"))
    expect_error(answer, 400, "webhook", ["webhook must be"])
    answer = gateway.api("GET", hooks_path("s1", "dlq?webhook_id=x"))
    expect_error(answer, 400, "webhook_id", ["webhook_id must be"])
    answer = gateway.api("GET", "/events/stream?session_id=a%0Ab")
    expect_error(answer, 400, "session_id")


def test_long_names_are_shown_in_part(gateway):
    answer = gateway.api("GET", "/sessions?" + "n" * 4000 + "=1")
    assert expect_error(answer, 400, "n*")["field"] == "n" * 60


# Signatures of others


@pytest.mark.parametrize("change", [str.upper, str.capitalize, lambda text: "sha256=" + text[7:].upper()])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_case_of_an_inbound_signatures_digits_is_nothing(make_gateway, change, version):
    gateway = make_gateway(inbound_secret="s3cret")
    body = b'{"event":"message"}'
    now = str(int(time.time()))
    signature = sign_v1("s3cret", body) if version == "v1" else sign_v2("s3cret", now, body)
    for text, code in [(signature[:-1], 401), (signature + "0", 401), (signature, 200)]:
        answer = gateway.api("POST", "/sessions/s1/webhook-in", body=body, token="", headers={
            "X-Webhook-Signature": change(text), "X-Webhook-Timestamp": now,
            "X-Webhook-Signature-Version": version,
        })
        assert answer.status_code == code, answer.text


# Limits within one pass


def at_once(gateway, requests):
    """The answers to requests that come at once, all on connections of their own."""
    clients = [gateway.connect() for _ in requests]
    try:
        os.kill(gateway.pid, signal.SIGSTOP)  # so that one pass of its loop finds them all
        for client, (method, path, body) in zip(clients, requests):
            text = json.dumps(body).encode()
            client.send(
                f"{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(text)}\r\n\r\n".encode() + text
            )
        os.kill(gateway.pid, signal.SIGCONT)
        return [client.reply(method) for client, (method, _, _) in zip(clients, requests)]
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
        for client in clients:
            client.close()


@pytest.mark.parametrize("limit", [1, 3])
def test_limit_of_webhooks_holds_for_those_who_come_at_once(make_gateway, limit):
    gateway = make_gateway(max_webhooks_per_session=limit)
    wanted = [("POST", hooks_path("s1"), {"url": f"{HOOK}/{n}"}) for n in range(20)]
    others = [("POST", hooks_path(f"t{n}"), {"url": HOOK}) for n in range(5)]
    answers = at_once(gateway, wanted + others)
    codes = [answer.status_code for answer in answers]
    assert codes[20:] == [200] * 5
    assert sorted(codes[:20]) == [200] * limit + [409] * (20 - limit)
    for answer in answers[:20]:
        if answer.status_code == 409:
            expect_error(answer, 409, mentions=["max_webhooks_per_session"])
    webhooks = gateway.api("GET", hooks_path("s1")).json()["webhooks"]
    assert len(webhooks) == limit
    gateway.api("DELETE", hooks_path("s1", webhooks[0]["id"]))  # and there is room again
    answers = at_once(gateway, wanted)
    assert [a.status_code for a in answers].count(200) == 1


def test_url_that_is_taken_takes_no_place(make_gateway):
    gateway = make_gateway(max_webhooks_per_session=2)
    gateway.register("s1", HOOK)
    answers = at_once(
        gateway, [("POST", hooks_path("s1"), {"url": u}) for u in [HOOK] * 9 + [HOOK + "/new"]]
    )
    codes = [answer.status_code for answer in answers]
    assert codes == [409] * 9 + [200]


def test_limit_of_the_queue_holds_for_those_who_come_at_once(make_gateway):
    gateway = make_gateway(max_queue_per_session=3, retry_schedule="1h")
    gateway.register("s1", HOOK)
    gateway.publish("s1")
    answers = at_once(
        gateway, [("POST", "/sessions/s1/events", {"event": "message"}) for _ in range(20)]
    )
    assert sorted(answer.status_code for answer in answers) == [202] * 2 + [429] * 18


def test_one_replay_runs_for_those_who_ask_at_once(gateway):
    webhook = gateway.register("s1", HOOK)
    path = hooks_path("s1", webhook["id"], "replay")
    answers = at_once(gateway, [("POST", path, {"since": 0}) for _ in range(9)])
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 8


# Pages of other sites

PAGE = "https://app.example.com"


def asked(gateway, method, path, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.request(method, "/api/v1" + path, headers=named)


def cors(answer):
    return {n: v for n, v in answer.headers.items() if n.lower().startswith("access-control-")}


def test_preflights_of_origins_that_may_call_are_answered(make_gateway):
    gateway = make_gateway(cors_origins=PAGE + ",http://localhost:3000")
    for origin in [PAGE, "http://localhost:3000"]:
        answer = gateway.request(
            "OPTIONS", "/api/v1/sessions/s1/webhooks", token="", headers={
                "Origin": origin, "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
        assert answer.status_code == 204 and answer.content == b""
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "POST" in answer.headers["Access-Control-Allow-Methods"].split(", ")
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        assert {"authorization", "content-type", "idempotency-key"} <= set(allowed.split(", "))
        assert "Origin" in answer.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        read = asked(gateway, "GET", "/sessions/s1/webhooks", Origin=origin)
        assert read.status_code == 200
        assert read.headers["Access-Control-Allow-Origin"] == origin
        refused = asked(gateway, "GET", "/sessions/s1/webhooks?x=1", Origin=origin)
        assert refused.status_code == 400  # which the page may read too
        assert refused.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize("origin", [PAGE + ":8443", "http://app.example.com", "null", "*",
                                    "https://example.com", PAGE + ".evil.test", "https://app"])
def test_other_origins_get_nothing(make_gateway, origin):
    gateway = make_gateway(cors_origins=PAGE)
    answer = asked(gateway, "OPTIONS", "/sessions/s1/webhooks", Origin=origin,
                   Access_Control_Request_Method="POST")
    assert answer.status_code == 405 and not cors(answer)
    assert not cors(asked(gateway, "GET", "/sessions/s1/webhooks", Origin=origin))


def test_by_default_no_page_may_call(gateway):
    answer = asked(gateway, "OPTIONS", "/sessions/s1/webhooks", Origin=PAGE,
                   Access_Control_Request_Method="POST")
    assert answer.status_code == 405 and not cors(answer)


def test_answer_that_waited_names_the_origin_once(make_gateway):
    """A burst of one token's requests is done in turns, so that some are asked about twice."""
    gateway = make_gateway(cors_origins=PAGE)
    body = json.dumps([{"session_id": "s1", "event": "message", "data": list(range(9000))}] * 20)
    clients = [gateway.connect() for _ in range(12)]
    for client in clients:
        client.send(
            f"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {PAGE}\r\n"
            f"Authorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    for client in clients:
        answer = client.reply("POST")
        assert answer.status_code == 202
        assert str(answer.headers).count(PAGE) == 1
        client.close()


@pytest.mark.parametrize(
    "value", ["app.example.com", PAGE + "/", "https://", "*", "https://a b", PAGE + "/x", "ftp://x"]
)
def test_what_is_no_origin_is_refused_at_start(value):
    answer = waybill("check-config", "--cors-origins", value)
    assert answer.returncode == 2 and "--cors-origins" in answer.stderr


OURS = ["127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "LOCALHOST", "[::1]:{port}",
        "a.localhost", "waybill.internal", "waybill.internal:8080", "waybill:{port}"]
STRANGE = ["evil.test", "evil.test:{port}", "localhost.evil.test", "127.0.0.1.evil.test",
           "evil.localhost.test", "rebind.network:{port}", "localhost.", "127.0.0.1.", "0x7f.1"]
WITHOUT_TOKEN = {"token": None, "allowed_hosts": "waybill.internal"}


def strange_calls(gateway, webhook):
    path = hooks_path("s1", webhook["id"])
    return [
        ("POST", path + "/disable"), ("POST", path + "/rotate-secret"), ("GET", path),
        ("DELETE", path), ("POST", hooks_path("s1")), ("POST", "/events"), ("GET", "/backup"),
        ("GET", "/events/stream"), ("POST", "/sessions/s1/webhook-in"),
    ]


@pytest.mark.parametrize("host", STRANGE)
def test_without_a_token_a_name_that_is_not_ours_is_refused(make_gateway, host):
    gateway = make_gateway(**WITHOUT_TOKEN)
    webhook = gateway.register("s1", HOOK)
    host = host.format(port=gateway.address[1])
    for method, path in strange_calls(gateway, webhook):
        expect_error(asked(gateway, method, path, Host=host), 403, "Host", ["allowed_hosts"])
    assert gateway.webhook("s1", webhook["id"])["enabled"]
    assert gateway.request("GET", "/livez", headers={"Host": host}).status_code == 200


def test_without_a_token_our_names_are_taken(make_gateway):
    gateway = make_gateway(**WITHOUT_TOKEN)
    for host in OURS:
        host = host.format(port=gateway.address[1])
        assert asked(gateway, "GET", "/sessions", Host=host).status_code == 200, host
        same = asked(gateway, "GET", "/sessions", Host=host, Origin="http://" + host.lower())
        assert same.status_code == 200, host


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://localhost:1", "evil",
                                    "http://127.0.0.1", "http://127.0.0.1:{port}0"])
def test_without_a_token_pages_of_other_sites_change_nothing(make_gateway, origin):
    gateway = make_gateway(**WITHOUT_TOKEN, cors_origins=PAGE)
    webhook = gateway.register("s1", HOOK, secret="s3cret")
    origin = origin.format(port=gateway.address[1])
    for method, path in strange_calls(gateway, webhook):
        answer = asked(gateway, method, path, Origin=origin)
        expect_error(answer, 403, "Origin", ["cors_origins"])
    assert gateway.webhook("s1", webhook["id"]) == webhook
    path = hooks_path("s1", webhook["id"], "disable")
    assert asked(gateway, "POST", path, Origin=PAGE).status_code == 200


def test_with_a_token_any_name_will_do(gateway):
    answer = asked(gateway, "GET", "/sessions", Host="waybill.example.com", Origin="https://x.test")
    assert answer.status_code == 200
