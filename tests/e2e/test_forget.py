"""DELETE /api/v1/sessions/{session}: all of a tenant goes, and of nobody else; through crashes, too."""

import pytest
from harness import expect_error, hooks_path, session_path, wait_until
from test_fsck import expect_sound

TOKENS = "own-token gone\nother-token other\n"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def gateway(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKENS)
    tokens.chmod(0o600)
    return make_gateway(tokens_file=str(tokens), retry_schedule="20ms", token="full-token")


def show(gateway, session="gone"):
    return gateway.api("GET", session_path(session))


def deletion(gateway, session="gone"):
    return show(gateway, session).json()["deletion"]


def forget(gateway, session="gone", token=None):
    return gateway.api("DELETE", session_path(session), token=token)


def wait_forgotten(gateway, session="gone", timeout=20):
    return wait_until(
        lambda: (d := deletion(gateway, session)) and d["state"] == "done" and d, timeout, what="the end of it"
    )


def fill(gateway, session, taking, refusing):
    """Delivered, dead and waiting deliveries, keys, a source, and one for all sessions."""
    gateway.register(session, taking.url(f"/{session}"), secret=SECRET)
    gateway.register(session, refusing.url(f"/{session}/dead"))
    gateway.register(session, refusing.url(f"/{session}/held"), retry=["1d"])
    for n in range(7):
        gateway.publish(session, data={"n": n}, id=f"own-{n}")
    answer = gateway.api(
        "POST", session_path(session, "events"), json={"event": "message"}, headers={"Idempotency-Key": "key"}
    )
    assert answer.status_code == 202
    source = gateway.api(
        "POST",
        "/sources",
        json={"name": session, "preset": "standard-webhooks", "session": session, "verify": {"secrets": [SECRET]}},
    )
    assert source.status_code == 200, source.text
    wait_until(lambda: len(gateway.dlq(session)) == 8, what="dead letters")
    return source.json()


def test_all_of_it_goes_and_of_nobody_else(gateway, make_receiver):
    taking, refusing = make_receiver(), make_receiver(500)
    for_all = gateway.api("POST", "/webhooks", json={"url": refusing.url("/all"), "events": ["*"], "retry": ["1d"]})
    assert for_all.status_code == 200
    source = fill(gateway, "gone", taking, refusing)
    fill(gateway, "other", taking, refusing)
    before = show(gateway, "other").json()
    assert before["deletion"] is None
    answer = forget(gateway)
    assert answer.status_code == 202
    assert answer.json()["success"] is True
    assert answer.json()["deletion"]["state"] == "running"
    done = wait_forgotten(gateway)
    assert done["removed"] == {
        "webhooks": 3, "sources": 1, "dead_letters": 8, "events": 8, "deliveries": 32,
        "attempts": done["removed"]["attempts"], "idempotency_keys": 8,
    }
    assert done["removed"]["attempts"] >= 8 + 16 + 8 + 8
    assert done["started_at"] <= done["finished_at"]
    left = show(gateway).json()
    assert {k: v for k, v in left.items() if isinstance(v, int)} == {
        "webhooks": 0, "failing": 0, "waiting": 0, "dead_letters": 0, "open_bytes": 0, "key_bytes": 0,
        "history_bytes": 0,
    }
    for kind in ("events", "deliveries"):
        assert gateway.api("GET", session_path("gone", kind)).json()[kind] == []
    assert gateway.dlq("gone") == []
    assert gateway.api("GET", hooks_path("gone")).json()["count"] == 0
    expect_error(gateway.api("GET", f"/sources/{source['id']}"), 404)
    assert show(gateway, "other").json() == before
    assert len(gateway.dlq("other")) == 8
    waiting = gateway.api("GET", "/deliveries?status=pending&webhook_id=" + for_all.json()["id"]).json()
    assert {d["session_id"] for d in waiting["deliveries"]} == {"other"}
    assert "session is deleted" in gateway.log_text()
    gateway.stop()
    expect_sound(gateway.directory / "data")


def test_used_again_it_is_a_new_one(gateway, make_receiver):
    taking, refusing = make_receiver(), make_receiver(500)
    fill(gateway, "gone", taking, refusing)
    assert forget(gateway).status_code == 202
    wait_forgotten(gateway)
    hook = gateway.register("gone", taking.url("/new"))
    event = gateway.publish("gone", data={"n": 0}, id="own-0")  # no repeat of before
    wait_until(lambda: any(r.path == "/new" for r in taking.requests), what="a delivery")
    assert event["deliveries"] == 1
    assert [w["id"] for w in gateway.api("GET", hooks_path("gone")).json()["webhooks"]] == [hook["id"]]
    (listed,) = gateway.api("GET", session_path("gone", "events")).json()["events"]
    assert listed["id"] == event["id"]
    assert forget(gateway).status_code == 202
    assert wait_until(
        lambda: (d := deletion(gateway)) and d["state"] == "done" and d["removed"]["webhooks"] == 1 and d,
        what="the second end",
    )["removed"]["events"] == 1
    expect_error(forget(gateway), 404, mentions=["no such session"])


def test_who_may(gateway, make_receiver):
    gateway.register("gone", make_receiver().url())
    expect_error(forget(gateway, token="own-token"), 403, mentions=["token for all"])
    expect_error(forget(gateway, token="other-token"), 403)
    expect_error(forget(gateway, token="guess-token"), 401)
    expect_error(forget(gateway, "never"), 404, mentions=["no such session"])
    expect_error(forget(gateway, "*"), 400)
    assert deletion(gateway) is None


@pytest.mark.timeout(120)
def test_goes_on_after_kills(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1d")
    receiver = make_receiver(500)
    gateway.register("gone", receiver.url())
    gateway.register("kept", receiver.url())
    for _ in range(4):
        batch = [
            {"session_id": s, "event": "message", "data": n, "id": f"{_}-{n}"}
            for n in range(1500)
            for s in ("gone", "kept")
        ]
        assert gateway.api("POST", "/events", json=batch).status_code == 202
    assert forget(gateway).status_code == 202
    # meanwhile nothing is written to it: what would be is told so, others go on
    for answer in (
        gateway.api("POST", session_path("gone", "events"), json={"event": "message"}),
        gateway.api("POST", "/events", json=[{"session_id": "gone", "event": "message"}]),
        gateway.api("POST", hooks_path("gone"), json={"url": receiver.url("/late"), "events": ["*"]}),
    ):
        expect_error(answer, 409, mentions=["being deleted"])
    assert forget(gateway).status_code == 202
    gateway.publish("kept")
    states = []
    for _ in range(3):
        gateway.kill()
        gateway.start()
        states.append(deletion(gateway)["state"])
    assert states[0] == "running"
    removed = wait_forgotten(gateway, timeout=60)["removed"]
    assert (removed["webhooks"], removed["events"], removed["deliveries"]) == (1, 6000, 6000)
    assert removed["idempotency_keys"] == 6000
    assert show(gateway, "kept").json()["waiting"] == 6001
    gateway.stop()
    expect_sound(gateway.directory / "data")
    gateway.start()
    assert deletion(gateway)["removed"] == removed
