"""
Signatures by key pairs and of RFC 9421: what a delivery carries, which keys are shown to whom, and
that a rotation leaves no gap.
"""

import base64
import re

import pytest

from harness import (
    MASK, expect_error, hooks_path, is_by_pair, rfc9421_base, sign_standard, sign_v1, verify,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEYS = "/.well-known/waybill-keys.json"
# RFC 8032 section 7.1, test 1
PRIVATE = "whsk_" + base64.b64encode(bytes.fromhex(
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
)).decode()
PUBLIC = "whpk_" + base64.b64encode(bytes.fromhex(
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
)).decode()


def delivered(gateway, receiver, session="s1"):
    count = len(receiver.requests)
    gateway.publish(session, data={"text": "\u00e9"})
    return receiver.wait_for(count + 1)[-1]


def by_pairs(request, public_key):
    """Which of the v1a signatures are by the pair."""
    signed = f"{request.id}.{request.header('webhook-timestamp')}.".encode() + request.body
    given = [one[4:] for one in request.header("webhook-signature").split() if one[:4] == "v1a,"]
    return [is_by_pair(public_key, one, signed) for one in given]


def labels(request):
    """Of RFC 9421: label -> (parameters as text, signature)."""
    found = dict(re.findall(r"(sig\d)=:([^:]*):", request.header("Signature")))
    params = dict(re.findall(r"(sig\d)=(\(.*?\)[^,]*)", request.header("Signature-Input")))
    assert list(found) == list(params) == [f"sig{n + 1}" for n in range(len(found))]
    return {label: (params[label], found[label]) for label in found}


def keys(gateway, query=""):
    answer = gateway.request("GET", KEYS + query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    return answer.json()


def test_several_schemes_at_once(gateway, receiver):
    schemes = ["rfc9421", "ed25519", "v1"]
    made = gateway.register(
        "s1", receiver.url("/a?b=c"), secret=SECRET, private_key=PRIVATE, signature=schemes
    )
    assert made["signature"] == ["v1", "ed25519", "rfc9421"]
    assert (made["private_key"], made["public_key"]) == (MASK, PUBLIC)
    request = delivered(gateway, receiver)
    at = request.header("X-Webhook-Timestamp")
    assert request.header("X-Webhook-Signature") == sign_v1(SECRET, request.body)
    first, second = request.header("webhook-signature").split(" ")
    assert first == sign_standard(SECRET, request.id, at, request.body)
    assert second.startswith("v1a,") and by_pairs(request, PUBLIC) == [True]
    assert [f'created={at}' in text for text, _ in labels(request).values()] == [True, True]
    text, signature = labels(request)["sig2"]
    assert f'keyid="{PUBLIC}";alg="ed25519"' in text
    assert is_by_pair(PUBLIC, signature, rfc9421_base(request, "sig2", receiver.url("/a?b=c")))


def test_pair_alone(gateway, receiver):
    """No secret: nothing is there that wants one."""
    made = gateway.register("s1", receiver.url(), signature=["v2", "ed25519"])
    request = delivered(gateway, receiver)
    assert made["secret"] is None and request.header("X-Webhook-Signature") is None
    assert by_pairs(request, made["public_key"]) == [True]
    assert "v1," not in request.header("webhook-signature")
    assert request.header("webhook-id") == request.id


def test_rfc9421_is_never_without_a_key(gateway, receiver):
    made = gateway.register("s1", receiver.url(), signature="rfc9421")
    request = delivered(gateway, receiver)
    ((text, signature),) = labels(request).values()
    base = rfc9421_base(request, "sig1", receiver.url())
    assert is_by_pair(made["public_key"], signature, base)
    assert request.header("webhook-signature") is None


def test_rotation_leaves_no_gap(make_gateway, make_receiver):
    gateway, receiver = make_gateway(), make_receiver()
    schemes = ["ed25519", "rfc9421"]
    made = gateway.register("s1", receiver.url(), secret=SECRET, signature=schemes)
    own = hooks_path("s1", made["id"])
    old = made["public_key"]
    answer = gateway.api("POST", own + "/rotate-key").json()
    new = answer["public_key"]
    assert answer["previous_public_key"] == old != new
    shown = gateway.webhook("s1", made["id"])
    assert shown["previous_public_key"] == old
    assert shown["previous_key_expires_at"] == answer["previous_key_expires_at"]
    for _ in range(2):
        request = delivered(gateway, receiver)
        assert by_pairs(request, old) == [False, True]
        assert by_pairs(request, new) == [True, False]
        algs = [text.split("alg=")[1] for text, _ in labels(request).values()]
        assert algs == ['"hmac-sha256"', '"ed25519"', '"ed25519"']
        listed = keys(gateway)["keys"]
        assert [(one["public_key"], one["expires_at"]) for one in listed] == [
            (new, None), (old, answer["previous_key_expires_at"])
        ]
        gateway.stop()  # and so after a restart
        gateway.start()
    gateway.api("POST", own + "/rotate-key", json={"private_key": PRIVATE, "overlap_seconds": 0})
    assert by_pairs(delivered(gateway, receiver), PUBLIC) == [True]
    assert [one["public_key"] for one in keys(gateway)["keys"]] == [PUBLIC]


@pytest.mark.parametrize("body", [
    {"private_key": "x"}, {"secret": "s3cret"}, {"overlap_seconds": -1}, {"private_key": 5},
])
def test_bad_rotations_change_nothing(gateway, receiver, body):
    made = gateway.register("s1", receiver.url(), signature="ed25519")
    path = hooks_path("s1", made["id"], "rotate-key")
    expect_error(gateway.api("POST", path, json=body), 400)
    assert gateway.webhook("s1", made["id"])["public_key"] == made["public_key"]


def test_keys_are_for_everybody_in_pages(gateway):
    made = []
    for n in range(5):
        made.append(gateway.register(f"s{n}", "http://127.0.0.1:9/", signature="ed25519"))
        gateway.register(f"s{n}", "http://127.0.0.1:9/other", secret=SECRET)
    path = "/webhooks"
    body = {"url": "http://127.0.0.1:9/", "signature": "ed25519"}
    made.append(gateway.api("POST", path, json=body).json())
    wanted = [
        {"webhook_id": hook["id"], "public_key": hook["public_key"], "expires_at": None}
        for hook in made
    ]
    assert keys(gateway) == {"keys": wanted, "next_cursor": None}
    found, query = [], "?limit=2"
    while query:
        page = keys(gateway, query)
        assert len(page["keys"]) == 2
        found += page["keys"]
        query = page["next_cursor"] and f"?limit=2&cursor={page['next_cursor']}"
    assert found == wanted
    assert keys(gateway, f"?webhook_id={made[3]['id']}")["keys"] == wanted[3:4]
    other = gateway.register("s9", "http://127.0.0.1:9/", secret=SECRET)
    assert keys(gateway, f"?webhook_id={other['id']}")["keys"] == []
    assert gateway.api("DELETE", hooks_path("s1", made[1]["id"])).status_code == 200
    change = {"signature": "v1", "private_key": None}
    answer = gateway.api("PATCH", hooks_path("s2", made[2]["id"]), json=change)
    assert answer.json()["public_key"] is None
    assert keys(gateway)["keys"] == [wanted[0], *wanted[3:]]
    for query in ("?limit=0", "?limit=1001", "?cursor=x", "?webhook_id=x"):
        expect_error(gateway.request("GET", KEYS + query), 400)


def test_default_may_be_several(make_gateway, receiver):
    gateway = make_gateway(default_signature="v2, ed25519")
    assert gateway.api("GET", "/capabilities").json()["default_signature"] == ["v2", "ed25519"]
    made = gateway.register("s1", receiver.url(), secret=SECRET)
    assert made["signature"] == ["v2", "ed25519"]
    request = delivered(gateway, receiver)
    assert by_pairs(request, made["public_key"]) == [True]
    change = {"signature": "ed25519"}
    gateway.api("PATCH", hooks_path("s1", made["id"]), json=change)
    verify(delivered(gateway, receiver), SECRET, "ed25519", made["public_key"])
