"""
The libraries of Standard Webhooks and of RFC 9421 that receivers use, against live deliveries. They are not of
Debian: libraries/install gets them, pinned by hashes, and what it cannot get is skipped.
"""

import contextlib
import importlib
import json
import pathlib
import subprocess
import sys

import pytest

from harness import hooks_path

pytestmark = pytest.mark.timeout(400)  # the first one may fetch them
HERE = pathlib.Path(__file__).parent / "libraries"
BUILT = HERE.parents[2] / "build" / "libraries"
PLACES = {
    "python": "python", "python svix": "python_svix", "npm": "npm", "npm svix": "npm",
    "go": "verify_go", "rfc9421": "python_rfc9421",
}


@pytest.fixture(scope="session")
def installed():
    if not all((BUILT / place).exists() for place in PLACES.values()):
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run([HERE / "install"], capture_output=True, timeout=240, check=False)
    return BUILT


def by_python(given):
    """python3-standardwebhooks, as PyPI has it."""
    sys.path.insert(0, str(BUILT / "python"))
    try:
        library = importlib.import_module("standardwebhooks.webhooks")
    finally:
        sys.path.pop(0)
    secret = given["secret"].encode() if given["raw"] else given["secret"]
    try:
        library.Webhook(secret).verify(given["body"], given["headers"])
    except (library.WebhookVerificationError, ValueError) as error:
        return f"bad: {error}"
    return "good"


def by_program(*command):
    def verify(given):
        run = subprocess.run(
            command, input=json.dumps(given), capture_output=True, text=True, timeout=60, check=True
        )
        return run.stdout.strip()

    return verify


VERIFIERS = {
    "python": by_python,
    "python svix": by_program(sys.executable, HERE / "verify.py", BUILT / "python_svix"),
    "npm": by_program("node", BUILT / "npm" / "verify.js", "standardwebhooks"),
    "npm svix": by_program("node", BUILT / "npm" / "verify.js", "svix"),
    "go": by_program(BUILT / "verify_go"),
}


@pytest.fixture(params=VERIFIERS)
def verify(request, installed):
    """verify(delivery, secret, raw=False): whether the library takes the delivery."""
    if not (installed / PLACES[request.param]).exists():
        pytest.skip(f"{request.param}: tests/field/libraries/install could not get it")

    def ask(delivery, secret, raw=False):
        answer = VERIFIERS[request.param]({
            "secret": secret, "raw": raw, "body": delivery.body.decode(),
            "headers": dict(delivery.headers),
        })
        assert answer == "good" or answer.startswith("bad: "), answer
        return answer == "good"

    return ask


def delivered(gateway, receiver):
    count = len(receiver.requests)
    gateway.publish("s1", data={"text": "\u00e9 \U0001f511", "n": [1.0, 1e21]})
    return receiver.wait_for(count + 1)[-1]


WHSEC = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AA==", "whsec_+/+/AQ==",
    "whsec_" + "QUJD" * 16,
]


@pytest.mark.parametrize("secret", WHSEC)
@pytest.mark.parametrize("signature", ["v1", "v2"])
def test_whsec_secrets_are_given_as_they_are(gateway, receiver, verify, secret, signature):
    gateway.register("s1", receiver.url(), secret=secret, signature=signature)
    delivery = delivered(gateway, receiver)
    assert verify(delivery, secret)
    assert not verify(delivery, "whsec_" + "QUJE" * 16)


@pytest.mark.parametrize("secret", ["s3cret", "not base64!", "p\u00e4ss"])
def test_other_secrets_are_their_own_bytes(gateway, receiver, verify, secret):
    gateway.register("s1", receiver.url(), secret=secret)
    delivery = delivered(gateway, receiver)
    assert verify(delivery, secret, raw=True)
    assert not verify(delivery, secret + "x", raw=True)


def test_both_secrets_of_a_rotation_verify(gateway, receiver, verify):
    old, new = WHSEC[0], WHSEC[3]
    webhook = gateway.register("s1", receiver.url(), secret=old)
    path = hooks_path("s1", webhook["id"], "rotate-secret")
    assert gateway.api("POST", path, json={"secret": new}).status_code == 200
    delivery = delivered(gateway, receiver)
    assert verify(delivery, old) and verify(delivery, new)
    made = gateway.api("POST", path, json={"overlap_seconds": 0}).json()["secret"]
    delivery = delivered(gateway, receiver)
    assert verify(delivery, made)
    assert not verify(delivery, new) and not verify(delivery, old)


# HTTP Message Signatures


@pytest.fixture
def verify_rfc9421(installed):
    """verify_rfc9421(delivery, url, key): whether the library takes it; key: a secret or whpk_…."""
    if not (installed / PLACES["rfc9421"]).exists():
        pytest.skip("tests/field/libraries/install could not get http-message-signatures")
    ask = by_program(
        sys.executable, HERE / "verify_rfc9421.py", BUILT / PLACES["rfc9421"]
    )

    def judge(delivery, url, key, **changed):
        answer = ask({
            "secret": key, "url": url, "body": delivery.body.decode(),
            "headers": {**dict(delivery.headers), **changed},
        })
        assert answer == "good" or answer.startswith("bad: "), answer
        return answer == "good"

    return judge


@pytest.mark.parametrize("secret", ["s3cret", *WHSEC[:1], "p\u00e4ss"])
def test_rfc9421_by_a_secret(gateway, receiver, verify_rfc9421, secret):
    url = receiver.url("/a%20b?c=d")
    gateway.register("s1", url, secret=secret, signature="rfc9421")
    delivery = delivered(gateway, receiver)
    assert verify_rfc9421(delivery, url, secret)
    assert not verify_rfc9421(delivery, url, secret + "x" if secret[:3] != "whs" else WHSEC[3])
    assert not verify_rfc9421(delivery, url + "e", secret)
    assert not verify_rfc9421(delivery, url, secret, **{"webhook-id": "e1"})
    assert not verify_rfc9421(delivery, url, secret, **{"Content-Digest": "sha-256=:AAAA:"})


def test_rfc9421_by_a_key_pair(gateway, receiver, verify_rfc9421):
    hook = gateway.register("s1", receiver.url(), signature=["ed25519", "rfc9421"])
    other = gateway.register("s2", receiver.url(), signature="ed25519")
    delivery = delivered(gateway, receiver)
    assert verify_rfc9421(delivery, receiver.url(), hook["public_key"])
    assert not verify_rfc9421(delivery, receiver.url(), other["public_key"])
    assert not verify_rfc9421(delivery, receiver.url("/other"), hook["public_key"])
