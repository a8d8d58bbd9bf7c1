"""What may be registered: names of headers, secrets, URLs, fields that are null."""

import pytest

from harness import expect_error, hooks_path

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
