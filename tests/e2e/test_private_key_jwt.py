"""OAuth 2.0 with a key in place of a secret (RFC 7523): what is sent, verified by PyJWT."""

import time
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from harness import expect_error, hooks_path, status, wait_until
from test_tokens import MASK, held_reason, sent, token

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE_S = 300


def pem(key, form="PKCS8", password=None):
    encryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat[form], encryption
    ).decode()


KEYS = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "RS256 of 4096 bits": lambda: rsa.generate_private_key(65537, 4096),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def credentials(endpoint, key_pem, **members):
    return {"type": "oauth2", "token_url": endpoint.url("/token"), "client_id": 'a "client"',
            "client_key_pem": key_pem, "style": "private_key_jwt", **members}


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(retry_schedule="100ms,100ms")


def register(gateway, auth):
    body = {"url": "http://127.0.0.1:9/", "auth": auth}
    return gateway.api("POST", hooks_path("s1"), json=body)


def form_of(request):
    return {name: value for name, (value,) in parse_qs(request.body.decode()).items()}


def claims_of(request, key, auth, algorithm):
    """What the assertion says, once PyJWT has verified it."""
    return jwt.decode(
        form_of(request)["client_assertion"], key.public_key(), algorithms=[algorithm],
        audience=auth["token_url"], issuer=auth["client_id"],
        options={"require": ["iss", "sub", "aud", "jti", "exp", "iat"]},
    )


def test_short_lives_do_not_have_the_key_sign_all_the_time(gateway, make_receiver):
    """Each signature is on the loop: a token that is over waits for its turn to be asked for."""
    endpoint, receiver = make_receiver(token("one", expires_in=1), token("two")), make_receiver()
    auth = credentials(endpoint, pem(KEYS["ES256"]()))
    hook = gateway.register("s1", receiver.url(), auth=auth)
    gateway.publish("s1")
    assert receiver.wait_for(1)[0].header("Authorization") == "Bearer one"
    began = time.monotonic()
    time.sleep(1.2)
    gateway.publish("s1")
    wait_until(lambda: "signs once in 10 seconds" in (held_reason(gateway, hook) or ""), what="it waits")
    assert len(endpoint.requests) == 1
    assert receiver.wait_for(2, timeout=20)[1].header("Authorization") == "Bearer two"
    assert time.monotonic() - began > 8 and len(endpoint.requests) == 2


@pytest.mark.parametrize("name", KEYS)
def test_assertions_verify(gateway, make_receiver, name):
    key, algorithm = KEYS[name](), name.split()[0]
    endpoint, receiver = make_receiver(token("t1"), token("t2")), make_receiver(200, 401, 200)
    auth = credentials(endpoint, pem(key), key_id="key/1", scope="a b")
    hook = gateway.register("s1", receiver.url(), auth=auth, ordering="fifo")
    shown = {**auth, "client_key_pem": MASK, "audience": None}
    assert hook["auth"] == shown and list(hook["auth"]) == [
        "type", "token_url", "client_id", "client_key_pem", "key_id", "scope", "audience", "style",
    ]
    for _ in range(2):
        gateway.publish("s1")
    assert sent(receiver, 3) == ["Bearer t1", "Bearer t1", "Bearer t2"]
    claims = [claims_of(request, key, auth, algorithm) for request in endpoint.requests]
    for request, said in zip(endpoint.requests, claims):
        form = form_of(request)
        head = jwt.get_unverified_header(form.pop("client_assertion"))
        assert head == {"alg": algorithm, "typ": "JWT", "kid": "key/1"}
        assert form == {"grant_type": "client_credentials", "scope": "a b",
                        "client_id": auth["client_id"], "client_assertion_type": TYPE}
        assert request.values("Authorization") == []
        assert said["sub"] == said["iss"] and said["exp"] - said["iat"] == LIFE_S
    assert len({said["jti"] for said in claims}) == 2  # none is good a second time


def test_key_outlives_a_restart_and_is_replaced(gateway, make_receiver):
    keys = [KEYS["ES256"](), KEYS["EdDSA"]()]
    endpoint, receiver = make_receiver(token("t")), make_receiver()
    auth = credentials(endpoint, pem(keys[0], "TraditionalOpenSSL"))
    hook = gateway.register("s1", receiver.url(), auth=auth)
    assert hook["auth"]["key_id"] is None
    gateway.stop()
    gateway.start()
    gateway.publish("s1")
    receiver.wait_for(1)
    claims_of(endpoint.requests[0], keys[0], auth, "ES256")
    assert jwt.get_unverified_header(
        form_of(endpoint.requests[0])["client_assertion"]) == {"alg": "ES256", "typ": "JWT"}
    changed = {"auth": {**auth, "client_key_pem": pem(keys[1])}}
    assert gateway.api("PATCH", hooks_path("s1", hook["id"]), json=changed).ok
    gateway.publish("s1")
    receiver.wait_for(2)
    claims_of(endpoint.requests[1], keys[1], auth, "EdDSA")
    with pytest.raises(jwt.InvalidSignatureError):
        claims_of(endpoint.requests[1], KEYS["EdDSA"](), auth, "EdDSA")


def test_longest_of_all_is_asked_with(gateway, make_receiver):
    """Every text at its limit, of bytes that are escaped twice: the question has room for it."""
    key, long = KEYS["RS256 of 4096 bits"](), '"' * 1024
    endpoint, receiver = make_receiver(token("t")), make_receiver()
    url = endpoint.url("/token?")
    auth = credentials(endpoint, pem(key), client_id=long, key_id=long, scope=long,
                       audience=long, token_url=url + "'" * (2048 - len(url)))
    gateway.register("s1", receiver.url(), auth=auth)
    gateway.publish("s1")
    receiver.wait_for(1)
    assert claims_of(endpoint.requests[0], key, auth, "RS256")["sub"] == long


def test_endpoint_that_refuses_holds(gateway, make_receiver):
    endpoint = make_receiver(status(401, b'{"error":"invalid_client"}'))
    hook = gateway.register("s1", "http://127.0.0.1:9/",
                            auth=credentials(endpoint, pem(KEYS["ES256"]())))
    gateway.publish("s1")
    assert held_reason(gateway, hook) == "no token: HTTP status 401: invalid_client"
    wait_until(lambda: len(endpoint.requests) > 1, what="another question")
    first, second = (form_of(request)["client_assertion"] for request in endpoint.requests[:2])
    assert first != second


GOOD = pem(KEYS["ES256"]())
BAD = {
    "none": (None, "string"),
    "empty": ("", "private key"),
    "the mask": (MASK, "mask"),
    "no PEM": ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
    "too long": (GOOD + " " * 4096, "4096"),
    "encrypted": (pem(KEYS["ES256"](), password=b"x"), "encrypted"),
    "a public key": (KEYS["ES256"]().public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode(), "private key"),
    "another curve": (pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
    "Ed448": (pem(ed448.Ed448PrivateKey.generate()), "P-256"),
    "RSA of 1024 bits": (pem(rsa.generate_private_key(65537, 1024)), "2048"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_keys_are_refused_with_words(gateway, make_receiver, name):
    key, words = BAD[name]
    auth = credentials(make_receiver(), key)
    answer = register(gateway, auth)
    expect_error(answer, 400, "auth.client_key_pem", mentions=[words])


def test_key_over_4096_bits_is_refused(gateway, make_receiver):
    key = rsa.generate_private_key(65537, 4104)
    auth = credentials(make_receiver(), pem(key))
    answer = register(gateway, auth)
    expect_error(answer, 400, "auth.client_key_pem", mentions=["4096"])


@pytest.mark.parametrize(
    "change, field",
    [
        ({"client_secret": "s"}, "auth"),
        ({"style": "post"}, "auth"),
        ({"style": None}, "auth"),
        ({"key_id": ""}, "auth.key_id"),
        ({"key_id": 7}, "auth.key_id"),
        ({"client_id": None}, "auth.client_id"),
    ],
)
def test_members_belong_to_the_style(gateway, make_receiver, change, field):
    auth = {**credentials(make_receiver(), GOOD), **change}
    answer = register(gateway, auth)
    expect_error(answer, 400, field)
