"""Webhooks by a name of one's own: PUT gets or creates, and names stand where ids do."""

import concurrent.futures

import pytest

from harness import expect_error, hooks_path, session_path, verify

HOOK = "http://127.0.0.1:9/hook"
NIL = "00000000-0000-0000-0000-000000000000"


def put(gateway, name, body, path=None, query="", **more):
    return gateway.api("PUT", (path or hooks_path("s")) + f"/{name}{query}", json=body, **more)


def put_good(gateway, name, body, **more):
    answer = put(gateway, name, body, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def listed(gateway, path=None):
    return gateway.api("GET", path or hooks_path("s")).json()["webhooks"]


@pytest.mark.parametrize("path", [hooks_path("s"), "/webhooks"])
def test_the_same_body_twice_is_one_webhook(gateway, path):
    body = {"url": HOOK, "events": ["message"], "secret": "s3cret", "headers": {"X-A": "1"},
            "signature": ["v1", "ed25519"], "ordering": {"key": "/data/chat"},
            "filter": {"path": "/data/n", "gt": 9007199254740993}}  # fmt: skip
    first = put_good(gateway, "crm", body, path=path)
    assert first["name"] == "crm" and first["url"] == HOOK and first["secret"] == "********"
    assert put_good(gateway, "crm", body, path=path) == first
    gateway.stop()
    gateway.start()
    assert put_good(gateway, "crm", body, path=path) == first
    assert [w["id"] for w in listed(gateway, path)] == [first["id"]]
    changed = put_good(gateway, "crm", {**body, "timeout_ms": 9000}, path=path)
    assert changed["updated_at"] > first["updated_at"]
    same = ("id", "created_at", "public_key", "name", "filter")
    assert [changed[k] for k in same] == [first[k] for k in same]
    assert changed["timeout_ms"] == 9000


def test_what_is_left_out_is_default_but_secrets_and_enabled(gateway, make_receiver):
    receiver = make_receiver()
    url = receiver.url()
    rich = put_good(gateway, "crm", {
        "url": url, "secret": "s3cret", "signature": "v1", "description": "d", "retry": ["5s"],
        "headers": {"X-Token": "t0ken", "X-Other": "o"}, "rate_limit": 5, "enabled": False,
        "auth": {"type": "basic", "username": "me", "password": "it is"},
    })  # fmt: skip
    plain = put_good(gateway, "crm", {
        "url": url, "auth": {"type": "basic", "username": "you", "password": "********"},
        "headers": {"X-Token": "********"}})  # fmt: skip
    assert plain["description"] is None and plain["retry"] is None and plain["rate_limit"] is None
    assert plain["enabled"] is False and plain["id"] == rich["id"]
    assert gateway.api("POST", hooks_path("s", "crm", "enable")).status_code == 200
    gateway.publish("s")
    (request,) = receiver.wait_for(1)
    verify(request, "s3cret")
    assert request.header("X-Token") == "t0ken" and request.header("X-Other") is None
    assert request.header("Authorization") == "Basic eW91Oml0IGlz"  # you:it is
    assert put_good(gateway, "crm", {"url": url, "secret": None})["secret"] is None


def test_a_dry_run_changes_nothing(gateway):
    would = put_good(gateway, "crm", {"url": HOOK}, query="?dry_run=true")
    assert would["id"] == NIL and would["name"] == "crm" and listed(gateway) == []
    assert would["created_at"] == would["updated_at"] is not None
    is_now = put_good(gateway, "crm", {"url": HOOK, "secret": "s3cret"})
    for body, changes in [({"url": HOOK}, False), ({"url": HOOK, "secret": "s3cret"}, False),
                          ({"url": HOOK, "secret": "other"}, True),
                          ({"url": HOOK + "2"}, True)]:  # fmt: skip
        would = put_good(gateway, "crm", body, query="?dry_run=true")
        assert would["url"] == body["url"] and would["id"] == is_now["id"]
        assert (would["updated_at"] != is_now["updated_at"]) is changes
        assert listed(gateway)[0]["updated_at"] == is_now["updated_at"]
    gateway.register("s", HOOK + "3")
    expect_error(put(gateway, "crm", {"url": HOOK + "3"}, query="?dry_run=true"), 409, "url")
    expect_error(put(gateway, "new", {"url": HOOK + "3"}, query="?dry_run=true"), 409, "url")
    expect_error(put(gateway, "crm", {"url": HOOK}, query="?dry_run=1"), 400, "dry_run")


def test_names_stand_for_ids(gateway, make_receiver):
    hook = put_good(gateway, "c.r-m_1", {"url": make_receiver().url()})
    path = hooks_path("s", "c.r-m_1")
    assert gateway.api("GET", path).json()["id"] == hook["id"]
    patched = gateway.api("PATCH", path, json={"name": "erp"}).json()
    assert patched["name"] == "erp" and patched["id"] == hook["id"]
    expect_error(gateway.api("GET", path), 404)
    for verb in ("disable", "enable", "test", "rotate-secret"):
        assert gateway.api("POST", hooks_path("s", "erp", verb)).status_code in (200, 202)
    assert gateway.api("GET", hooks_path("s", "erp", "stats")).status_code == 200
    assert gateway.api("PATCH", hooks_path("s", "erp"), json={"name": None}).json()["name"] is None
    expect_error(gateway.api("DELETE", hooks_path("s", "erp")), 404)
    by_id = put_good(gateway, hook["id"], {"url": HOOK, "name": "again"})
    assert by_id["name"] == "again" and by_id["id"] == hook["id"]
    assert put_good(gateway, hook["id"], {"url": HOOK})["name"] == "again"
    assert gateway.api("DELETE", hooks_path("s", "again")).status_code == 200
    expect_error(put(gateway, hook["id"], {"url": HOOK}), 404)
    assert put_good(gateway, "again", {"url": HOOK})["id"] != hook["id"]


def test_names_for_all_sessions_are_their_own(gateway):
    ours = put_good(gateway, "crm", {"url": HOOK})
    alls = put_good(gateway, "crm", {"url": HOOK}, path="/webhooks")
    assert alls["session_id"] == "*" and alls["id"] != ours["id"]
    assert gateway.api("GET", "/webhooks/crm").json()["id"] == alls["id"]
    assert gateway.api("DELETE", "/webhooks/crm").status_code == 200
    expect_error(gateway.api("GET", "/webhooks/crm"), 404)
    assert gateway.api("GET", hooks_path("s", "crm")).json()["id"] == ours["id"]


@pytest.mark.parametrize(
    ("name", "body", "code", "field"),
    [
        ("dlq", {"url": HOOK}, 400, "name"),
        ("all", {"url": HOOK}, 400, "name"),
        ("a%20b", {"url": HOOK}, 400, "name"),
        ("a" * 65, {"url": HOOK}, 400, "name"),
        ("crm", {}, 400, "url"),
        ("crm", {"url": HOOK, "name": "other"}, 400, "name"),
        ("crm", {"url": HOOK, "name": None}, 400, "name"),
        ("crm", {"url": HOOK, "secret": "********"}, 400, "secret"),
        ("crm", {"url": HOOK, "timeout_ms": 1}, 400, "timeout_ms"),
        (NIL, {"url": HOOK}, 404, None),
    ],
)
def test_refused(gateway, name, body, code, field):
    expect_error(put(gateway, name, body), code, field)
    assert listed(gateway) == []


def test_a_name_is_one_webhooks(gateway):
    put_good(gateway, "crm", {"url": HOOK})
    other = gateway.register("s", HOOK + "2")
    taken = gateway.api("POST", hooks_path("s"), json={"url": HOOK + "3", "name": "crm"})
    expect_error(taken, 409, "name")
    path = hooks_path("s", other["id"])
    expect_error(gateway.api("PATCH", path, json={"name": "crm"}), 409, "name")
    expect_error(put(gateway, "erp", {"url": HOOK}), 409, "url")
    assert gateway.api("GET", path).json()["name"] is None


def test_many_at_once_make_one(gateway):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        hooks = [f.result() for f in [
            pool.submit(put_good, gateway, "crm", {"url": HOOK}) for _ in range(48)]]  # fmt: skip
    assert len({w["id"] for w in hooks}) == 1 and len({w["updated_at"] for w in hooks}) == 1
    assert len(listed(gateway)) == 1


def test_a_token_of_other_sessions_learns_no_names(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-t t\n")
    tokens.chmod(0o600)
    gateway = make_gateway(tokens_file=tokens)
    put_good(gateway, "crm", {"url": HOOK})
    answers = [gateway.api("GET", hooks_path("s", name), token="token-of-t")
               for name in ("crm", "erp")]  # fmt: skip
    assert {(a.status_code, a.text) for a in answers} == {(403, answers[0].text)}
    mine = put(gateway, "crm", {"url": HOOK}, path=session_path("t", "webhooks"),
               token="token-of-t")  # fmt: skip
    assert mine.status_code == 200
    expect_error(put(gateway, "crm", {"url": HOOK}, path="/webhooks", token="token-of-t"), 403)
