"""How waybill shows receivers who it is: Basic and Bearer, client certificates, OAuth tokens."""

import base64

import pytest

from harness import expect_error, hooks_path, status, wait_until

BASIC = {"type": "basic", "username": "bücher", "password": "open: sesame"}
BEARER = {"type": "bearer", "token": "a-token.of~mine"}
SENT = {
    "basic": "Basic " + base64.b64encode("bücher:open: sesame".encode()).decode(),
    "bearer": "Bearer a-token.of~mine",
}


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(retry_schedule="20ms,20ms")


def change(gateway, hook, **fields):
    return gateway.api("PATCH", hooks_path("s1", hook["id"]), json=fields)


def sent_next(gateway, receiver):
    """The value of Authorization in the next delivery; None: it has none."""
    count = len(receiver.requests)
    gateway.publish("s1")
    values = receiver.wait_for(count + 1)[count].values("Authorization")
    return values[0] if values else None


@pytest.mark.parametrize("auth", [BASIC, BEARER], ids=["basic", "bearer"])
def test_auth_is_sent_and_masked_over_a_restart(gateway, make_receiver, auth):
    receiver = make_receiver()
    hook = gateway.register("s1", receiver.url(), auth=auth)
    masked = {name: value if name in ("type", "username") else "********"
              for name, value in auth.items()}
    assert hook["auth"] == masked
    assert sent_next(gateway, receiver) == SENT[auth["type"]]
    gateway.stop()
    gateway.start()
    assert gateway.webhook("s1", hook["id"])["auth"] == masked
    assert sent_next(gateway, receiver) == SENT[auth["type"]]


def test_patch_changes_and_removes_auth(gateway, make_receiver):
    receiver = make_receiver()
    hook = gateway.register("s1", receiver.url(), auth=BASIC)
    assert change(gateway, hook, auth=BEARER).json()["auth"]["type"] == "bearer"
    assert sent_next(gateway, receiver) == SENT["bearer"]
    assert change(gateway, hook, description="other").json()["auth"]["type"] == "bearer"
    assert sent_next(gateway, receiver) == SENT["bearer"]
    assert change(gateway, hook, auth=None).json()["auth"] is None
    assert sent_next(gateway, receiver) is None


def test_auth_and_a_header_of_that_name_exclude_each_other(gateway, make_receiver):
    receiver = make_receiver()
    own = {"authorization": "Own x"}
    body = {"url": receiver.url(), "auth": BEARER, "headers": own}
    expect_error(gateway.api("POST", hooks_path("s1"), json=body), 400, "headers.Authorization")
    hook = gateway.register("s1", receiver.url(), headers=own)
    expect_error(change(gateway, hook, auth=BEARER), 400, "headers.Authorization")
    assert sent_next(gateway, receiver) == "Own x"
    assert change(gateway, hook, auth=BEARER, headers={}).status_code == 200
    expect_error(change(gateway, hook, headers=own), 400, "headers.Authorization")
    assert sent_next(gateway, receiver) == SENT["bearer"]


def test_mask_is_no_secret(gateway):
    hook = gateway.register("s1", "http://127.0.0.1:9/", auth=BASIC)
    answer = change(gateway, hook, auth=hook["auth"])
    expect_error(answer, 400, "auth.password", mentions=["mask"])


def test_what_a_receiver_echoes_of_it_is_masked(gateway, make_receiver):
    for auth in (BASIC, BEARER):
        receiver = make_receiver(status(500, SENT[auth["type"]].encode()))
        hook = gateway.register("s1", receiver.url(), auth=auth)
        gateway.call("s1", hook["id"], "test")
    entries = wait_until(lambda: len(gateway.dlq("s1")) == 2 and gateway.dlq("s1"), what="letters")
    for entry in entries:
        (found,) = [
            d for d in gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]
            if d["webhook_id"] == entry["webhook_id"]
        ]
        shown = gateway.api("GET", f"/sessions/s1/deliveries/{found['id']}").json()
        assert {a["response"].split()[-1] for a in shown["attempts"]} == {"********"}
