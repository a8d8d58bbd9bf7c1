"""Endpoints that have to repeat a challenge before anything is delivered to them."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from harness import (delay, expect_error, figure, hooks_path, redirect, reset, status, verify,
                     verify_rfc9421, wait_until)

HELD = "its endpoint has not repeated the challenge yet"
DISABLED = "its endpoint did not repeat the challenge"


def challenge_of(request):
    """What a request asks to be repeated; None: it is a delivery."""
    if request.event != "webhook.challenge":
        return None
    if request.method == "POST":
        return request.json()["data"]["challenge"]
    return parse_qs(urlsplit(request.path).query)["hub.challenge"][0]


def repeats(form="{}", then=200):
    """Answers challenges, and does `then` with all else."""

    def act(link, request, closing):
        text = challenge_of(request)
        answer = then if text is None else status(200, form.replace("{}", text).encode())
        return (status(answer) if isinstance(answer, int) else answer)(link, request, closing)

    return act


def state(gateway, hook, session="s1"):
    return gateway.webhook(session, hook["id"])["ownership"]["state"]


def settled(gateway, hook, session="s1"):
    """The ownership that an asking ended with."""
    wait_until(lambda: state(gateway, hook, session) != "pending", what="an end")
    return gateway.webhook(session, hook["id"])["ownership"]


def patch(gateway, hook, **changes):
    answer = gateway.api("PATCH", hooks_path("s1", hook["id"]), json=changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


def deliveries(receiver):
    return [request for request in receiver.requests if challenge_of(request) is None]


@pytest.mark.parametrize("way", ["get", "post"])
def test_nothing_is_delivered_before_the_challenge_is_repeated(gateway, make_receiver, way):
    """What is published meanwhile waits, uncounted; then all of it comes."""
    receiver = make_receiver(delay(3, repeats()), repeats())
    hook = gateway.register("s1", receiver.url("/in?a=1"), verify=way)
    assert hook["verify"] == way and hook["enabled"] is True
    assert hook["ownership"]["state"] == "pending" and hook["held_reason"] == HELD
    ids = [gateway.publish("s1")["id"] for _ in range(3)]
    pending = gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]
    assert [(d["held_reason"], d["attempt_count"]) for d in pending] == [(HELD, 0)] * 3
    wait_until(lambda: len(deliveries(receiver)) == 3, what="what was held")
    asked, *sent = receiver.requests
    assert challenge_of(asked) and sorted(request.id for request in sent) == sorted(ids)
    assert {request.attempt for request in sent} == {1}
    shown = gateway.webhook("s1", hook["id"])
    assert shown["ownership"]["state"] == "verified" and shown["ownership"]["error"] is None
    assert shown["held_reason"] is None and shown["updated_at"] == hook["updated_at"]
    assert figure(gateway, 'waybill_endpoints_challenged_total{result="verified"}') == 1
    assert figure(gateway, "waybill_endpoints_pending") == 0
    assert "endpoint has repeated the challenge" in gateway.log_text()
    assert challenge_of(asked) not in gateway.log_text()


@pytest.mark.parametrize("url", ["/hook", "/hook?a=1"])
def test_challenge_by_get(gateway, make_receiver, url):
    receiver = make_receiver(repeats())
    hook = gateway.register("s1", receiver.url(url), verify="get", secret="s3cret",
                            signature=["v1", "rfc9421"], headers={"X-Mine": "7"},
                            auth={"type": "bearer", "token": "t0ken"})
    assert settled(gateway, hook)["state"] == "verified"
    (asked,) = receiver.requests
    query = parse_qs(urlsplit(asked.path).query)
    assert asked.method == "GET" and asked.body == b"" and asked.path.startswith(url)
    assert query["hub.mode"] == ["subscribe"]
    assert query.get("a") == (["1"] if "?" in url else None)
    assert re.fullmatch(r"[0-9a-f-]{36}", query["hub.challenge"][0])
    assert asked.id == query["hub.challenge"][0]
    assert asked.header("X-Mine") == "7" and asked.header("Authorization") == "Bearer t0ken"
    assert '("@method" "@target-uri"' in asked.header("Signature-Input")
    verify(asked, "s3cret")
    verify_rfc9421(asked, "s3cret")


def test_challenge_by_post(gateway, make_receiver):
    """It is signed as a delivery is, whatever the webhook's payload."""
    receiver = make_receiver(repeats())
    hook = gateway.register("s1", receiver.url(), verify="post", secret="s3cret",
                            payload="cloudevents")
    assert settled(gateway, hook)["state"] == "verified"
    (asked,) = receiver.requests
    body = asked.json()
    assert list(body) == ["session_id", "event", "timestamp", "data"]
    assert body["session_id"] == "s1" and body["event"] == "webhook.challenge"
    assert body["data"] == {"challenge": asked.id, "webhook_id": hook["id"]}
    assert asked.header("Content-Type") == "application/json"
    verify(asked, "s3cret")


@pytest.mark.parametrize("form", ["{}", " {}\r\n", '"{}"', '{"challenge": "{}"}',
                                  '{"ok":true,"challenge":"{}"}'])
def test_forms_of_a_good_answer(gateway, make_receiver, form):
    hook = gateway.register("s1", make_receiver(repeats(form)).url(), verify="post")
    assert settled(gateway, hook)["state"] == "verified"


def echo(link, request, closing):
    """Says again all that it was told: it understands nothing."""
    return status(200, request.body or request.path.encode())(link, request, closing)


BAD_ANSWERS = {
    "empty": (200, "its answer is not the challenge"),
    "another": (status(200, b"yes"), "its answer is not the challenge"),
    "echo": (echo, "its answer is not the challenge"),
    "around it": (repeats("ok {}"), "its answer is not the challenge"),
    "huge": (status(200, b"x" * 5000), "its answer is over 4096 bytes"),
    "404": (404, "HTTP status 404"),
    "401": (401, "HTTP status 401"),
    "redirect": (redirect("/other"), "HTTP status 302: redirect not followed"),
}


@pytest.mark.parametrize("way", ["get", "post"])
@pytest.mark.parametrize("answer", BAD_ANSWERS)
def test_another_answer_disables_at_once(gateway, make_receiver, way, answer):
    act, error = BAD_ANSWERS[answer]
    receiver = make_receiver(act)
    hook = gateway.register("s1", receiver.url(), verify=way)
    ownership = settled(gateway, hook)
    assert ownership["state"] == "failed" and ownership["error"] == error
    shown = gateway.webhook("s1", hook["id"])
    assert shown["enabled"] is False and shown["disabled_reason"] == DISABLED
    gateway.publish("s1")
    assert len(receiver.requests) == 1
    assert figure(gateway, 'waybill_endpoints_challenged_total{result="refused"}') == 1
    assert "endpoint has not repeated the challenge" in gateway.log_text()


@pytest.mark.parametrize("first", [503, 429, reset()])
def test_who_gives_no_answer_is_asked_again(gateway, make_receiver, first):
    receiver = make_receiver(first, repeats())
    hook = gateway.register("s1", receiver.url(), verify="get")
    assert settled(gateway, hook)["state"] == "verified"
    asked = receiver.requests
    assert [request.attempt for request in asked] == [1, 2]
    assert len({challenge_of(request) for request in asked}) == 2
    assert asked[1].at - asked[0].at > 0.9


def test_failed_one_is_asked_again_when_it_is_wanted(gateway, make_receiver):
    """By the call, by enabling, by another URL; what had waited comes at last."""
    receiver = make_receiver(delay(0.5, 404))
    hook = gateway.register("s1", receiver.url(), verify="get")
    event = gateway.publish("s1")["id"]
    for again in ["verify", "enable"]:
        assert settled(gateway, hook)["state"] == "failed"
        gateway.call("s1", hook["id"], again)
        shown = gateway.webhook("s1", hook["id"])
        assert shown["ownership"]["state"] == "pending" and shown["enabled"] is True
    assert settled(gateway, hook)["state"] == "failed"
    assert len(receiver.requests) == 3
    other = make_receiver(repeats())
    changed = patch(gateway, hook, url=other.url())
    assert changed["ownership"]["state"] == "pending" and changed["enabled"] is True
    wait_until(lambda: event in other.ids, what="what had waited")


def test_another_url_is_asked_and_the_old_one_gets_nothing(gateway, make_receiver):
    old, new = make_receiver(repeats()), make_receiver(delay(0.5, repeats()), repeats())
    hook = gateway.register("s1", old.url(), verify="post")
    settled(gateway, hook)
    assert patch(gateway, hook, description="x")["ownership"]["state"] == "verified"
    assert patch(gateway, hook, url=new.url())["ownership"]["state"] == "pending"
    event = gateway.publish("s1")["id"]
    wait_until(lambda: event in new.ids, what="the delivery")
    assert challenge_of(new.requests[0]) and deliveries(old) == []


def test_fallback_of_another_origin_is_refused_where_the_endpoint_is_asked(make_gateway, make_receiver):
    """Nobody asks it: it would be somebody else's."""
    gateway, receiver, other = make_gateway(), make_receiver(repeats()), make_receiver()
    url, same, foreign = receiver.url("/a"), receiver.url("/b"), other.url("/b")
    call = lambda hook, **changes: gateway.api("PATCH", hooks_path("s1", hook["id"]), json=changes)
    create = lambda **body: gateway.api("POST", hooks_path("s1"), json={"url": url, **body})
    expect_error(create(verify="get", fallback_url=foreign), 400, "fallback_url")
    asked = gateway.register("s1", url, verify="get", fallback_url=same)
    assert settled(gateway, asked)["state"] == "verified"
    expect_error(call(asked, fallback_url=foreign), 400, "fallback_url")
    expect_error(call(asked, url=foreign), 400, "fallback_url")
    free = gateway.register("s1", receiver.url("/c"), fallback_url=foreign)
    expect_error(call(free, verify="post"), 400, "fallback_url")
    gateway.stop()
    gateway.reconfigure(verify_endpoints="on")
    gateway.start()
    assert patch(gateway, free, description="as it was")["fallback_url"] == foreign
    expect_error(create(url=receiver.url("/d"), fallback_url=foreign), 400, "fallback_url")
    expect_error(call(free, url=receiver.url("/d")), 400, "fallback_url")
    expect_error(gateway.api("POST", hooks_path("s1", free["id"], "verify")), 400, "fallback_url")
    expect_error(call(asked, verify=None, fallback_url=foreign), 400, "fallback_url")
    assert not other.requests


def test_another_proxy_is_asked_through(make_gateway, make_receiver):
    """One of the tenant's own could repeat any challenge, and then be taken away."""
    gateway = make_gateway(webhook_proxies="on", verify_endpoints="on")
    liar, victim = make_receiver(repeats()), make_receiver()
    proxy = f"http://127.0.0.1:{liar.port}"
    hook = gateway.register("s1", victim.url("/hook"), proxy=proxy)
    assert settled(gateway, hook)["state"] == "verified" and not victim.requests
    assert patch(gateway, hook, user_agent="another")["ownership"]["state"] == "verified"
    assert patch(gateway, hook, proxy=None)["ownership"]["state"] == "pending"
    gateway.publish("s1")
    assert settled(gateway, hook)["state"] == "failed"
    assert not deliveries(victim)


def test_url_that_changes_while_it_is_asked(gateway, make_receiver):
    """The answer of the old one counts for nothing."""
    old, new = make_receiver(delay(1, repeats())), make_receiver(404)
    hook = gateway.register("s1", old.url(), verify="get")
    old.wait_for(1)
    patch(gateway, hook, url=new.url())
    assert settled(gateway, hook)["error"] == "HTTP status 404"


def test_deleted_while_it_is_asked(gateway, make_receiver):
    receiver = make_receiver(delay(0.5, repeats()))
    hook = gateway.register("s1", receiver.url(), verify="get")
    receiver.wait_for(1)
    assert gateway.api("DELETE", hooks_path("s1", hook["id"])).ok
    wait_until(lambda: figure(gateway, "waybill_endpoints_pending") == 0, what="the end of it")
    again = gateway.register("s1", receiver.url(), verify="get")
    assert settled(gateway, again)["state"] == "verified"


def test_pending_ones_are_asked_again_after_a_crash(gateway, make_receiver):
    receiver = make_receiver(delay(60), repeats())
    receiver.linger(0)
    hook = gateway.register("s1", receiver.url(), verify="get")
    event = gateway.publish("s1")["id"]
    receiver.wait_for(1)
    gateway.kill()
    gateway.start()
    wait_until(lambda: event in receiver.ids, what="the delivery")
    assert state(gateway, hook) == "verified"
    gateway.stop()
    gateway.start()
    assert state(gateway, hook) == "verified"


def test_setting_asks_all_that_is_new(make_gateway, make_receiver):
    """Those that are there stay as they are, until their URL changes."""
    gateway, receiver = make_gateway(), make_receiver(repeats())
    before = gateway.register("s1", receiver.url("/before"))
    assert before["verify"] is None and before["ownership"] is None
    expect_error(gateway.api("POST", hooks_path("s1", before["id"], "verify")), 409, "verify")
    gateway.stop()
    gateway.reconfigure(verify_endpoints="on")
    gateway.start()
    shown = gateway.webhook("s1", before["id"])
    assert shown["ownership"] is None and shown["held_reason"] is None
    for body in [{}, {"verify": None}]:
        hook = gateway.register("s1", receiver.url(f"/{len(body)}"), **body)
        assert hook["verify"] == "get" and settled(gateway, hook)["state"] == "verified"
    assert patch(gateway, hook, verify=None)["verify"] == "get"
    assert patch(gateway, hook, verify="post")["ownership"]["state"] == "verified"
    moved = patch(gateway, before, url=receiver.url("/after"))
    assert moved["verify"] == "get" and moved["ownership"]["state"] == "pending"
    assert settled(gateway, before)["state"] == "verified"


def test_verify_can_be_switched_on_and_off(gateway, make_receiver):
    receiver = make_receiver(delay(0.3, 404))
    hook = gateway.register("s1", receiver.url())
    assert patch(gateway, hook, verify="post")["ownership"]["state"] == "pending"
    assert settled(gateway, hook)["state"] == "failed"
    changed = patch(gateway, hook, verify=None)
    assert changed["ownership"] is None and changed["enabled"] is True
    receiver.answer(200)
    event = gateway.publish("s1")["id"]
    wait_until(lambda: event in receiver.ids, what="the delivery")


def test_one_that_was_disabled_by_hand_stays_so(gateway, make_receiver):
    hook = gateway.register("s1", make_receiver(repeats()).url(), verify="get", enabled=False)
    assert settled(gateway, hook)["state"] == "verified"
    shown = gateway.webhook("s1", hook["id"])
    assert shown["enabled"] is False and shown["disabled_reason"] == "disabled by request"


def test_webhook_for_all_sessions(gateway, make_receiver):
    receiver = make_receiver(repeats())
    hook = gateway.api("POST", "/webhooks", json={"url": receiver.url(), "verify": "post"}).json()
    event = gateway.publish("s1")["id"]
    wait_until(lambda: event in receiver.ids, what="the delivery")
    assert challenge_of(receiver.requests[0])
    assert gateway.api("POST", f"/webhooks/{hook['id']}/verify").json()["ownership"]


def test_token_is_had_before_the_challenge(gateway, make_receiver):
    token = status(200, json.dumps({"access_token": "t1", "expires_in": 3600}).encode())
    endpoint, receiver = make_receiver(500, token), make_receiver(repeats())
    auth = {"type": "oauth2", "token_url": endpoint.url(), "client_id": "c", "client_secret": "s"}
    hook = gateway.register("s1", receiver.url(), verify="get", auth=auth)
    assert settled(gateway, hook)["state"] == "verified"
    (asked,) = receiver.requests
    assert asked.header("Authorization") == "Bearer t1" and asked.attempt == 1


def test_address_policy_holds_for_challenges(gateway):
    hook = gateway.register("s1", "http://10.0.0.1/", verify="get")
    assert state(gateway, hook) == "pending"
    patch(gateway, hook, verify=None)
    assert figure(gateway, "waybill_endpoints_pending") == 0


@pytest.mark.parametrize("value", [True, "", "GET", "options", 1, {}, ["get"]])
def test_bad_way_is_refused(gateway, value):
    body = {"url": "http://127.0.0.1:9/", "verify": value}
    expect_error(gateway.api("POST", hooks_path("s1"), json=body), 400, "verify",
                 ['null, "get" or "post"'])


def test_ownership_can_only_be_read(gateway):
    body = {"url": "http://127.0.0.1:9/", "ownership": {"state": "verified"}}
    expect_error(gateway.api("POST", hooks_path("s1"), json=body), 400, "ownership")


def test_session_has_sixty_questions_a_minute(gateway, make_receiver):
    """A stranger with many URLs; another session does not notice."""
    victim, receiver = make_receiver(404), make_receiver(repeats())
    for n in range(70):
        gateway.register("greedy", victim.url(f"/{n}"), verify="get")
    victim.wait_for(60)
    modest = gateway.register("modest", receiver.url(), verify="get")
    assert settled(gateway, modest, "modest")["state"] == "verified"
    assert len(victim.requests) == 60
    assert figure(gateway, "waybill_endpoints_pending") == 10


def test_share_of_one_session_leaves_challenges_for_others(gateway, make_receiver):
    silent, receiver = make_receiver(delay(30)), make_receiver(repeats())
    silent.linger(0)
    for n in range(40):
        gateway.register("greedy", silent.url(f"/{n}"), verify="get", timeout_ms=30000)
    wait_until(lambda: len(silent.requests) >= 24, what="questions")
    modest = gateway.register("modest", receiver.url(), verify="get")
    assert settled(gateway, modest, "modest")["state"] == "verified"
    assert len(silent.requests) <= 32


def test_what_waits_for_the_challenge_ages_out(make_gateway, make_receiver):
    gateway, receiver = make_gateway(expire="message=500ms"), make_receiver(delay(1, repeats()), repeats())
    hook = gateway.register("s1", receiver.url(), verify="get")
    gateway.publish("s1")
    assert settled(gateway, hook)["state"] == "verified"
    fresh = gateway.publish("s1")["id"]
    wait_until(lambda: fresh in receiver.ids, what="the fresh one")
    statuses = lambda: [d["status"] for d in gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]]
    wait_until(lambda: statuses() == ["delivered", "expired"], what="the end of both")


def test_what_waits_counts_for_the_limit_of_the_queue(make_gateway, make_receiver):
    gateway, receiver = make_gateway(max_queue_per_session=3), make_receiver(delay(2, 404))
    gateway.register("s1", receiver.url(), verify="get")
    for _ in range(3):
        gateway.publish("s1")
    expect_error(gateway.api("POST", "/sessions/s1/events", json={"event": "message"}), 429)
