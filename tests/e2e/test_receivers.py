"""docs/receivers: each one verifies, drops duplicates and refuses what it should."""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import subprocess
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from harness import (
    ROOT, Process, RawClient, hooks_path, sign_standard, sign_v1, sign_v2, wait_until,
)

SOURCES = ROOT / "docs" / "receivers"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSByZWNlaXZlcnM="
GO = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
BODY_MAX = 17 << 20  # of all receivers
GO_BUILD_S = 300  # the first time, on a busy machine
FAR_S = 330  # beyond their tolerance


def compiled(command, tmp_path_factory, env=None):
    """Compiles once a run into a folder of its own; `{}` is the program's path."""
    out = tmp_path_factory.mktemp("receiver") / "receiver"
    done = subprocess.run(
        [part.replace("{}", str(out)) for part in command], cwd=SOURCES, text=True,
        capture_output=True, env={**os.environ, **(env or {})}, timeout=GO_BUILD_S - 20,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def c_program(tmp_path_factory):
    return compiled(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-o", "{}", "receiver.c", "-levent", "-lcrypto"],
        tmp_path_factory,
    )


@pytest.fixture(scope="session")
def go_program(tmp_path_factory):
    return compiled([GO, "build", "-o", "{}", "receiver.go"], tmp_path_factory, {
        "GOFLAGS": "", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GO111MODULE": "off",
        "CGO_ENABLED": "0", "GOPATH": str(tmp_path_factory.mktemp("gopath")),
        "GOCACHE": str(ROOT / "build" / "go-cache"),  # kept: Go compiles its library first
    })


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Example(Process):
    """A receiver of docs/receivers; `url` is where it listens, `handled` what it has printed."""

    def __init__(self, command, port, **env):
        super().__init__(command, env={"SECRET": SECRET, "PORT": str(port), **env})
        if port:
            wait_until(lambda: self.is_open(port), what=f"{command[0]} on {port}")
            self.url = f"http://127.0.0.1:{port}/"
        else:
            self.url = re.fullmatch(r"listening on (http://\S+)", self.line(0)).group(1)
        self.port = int(self.url.split(":")[2].rstrip("/"))

    def is_open(self, port):
        assert self.running
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0

    @property
    def handled(self):
        return [line.split() for line in self.lines if re.match(r"message |test ", line)]


LANGUAGES = {
    "js": "node", "py": "/usr/bin/python3", "php": "php", "go": GO or "go", "c": "gcc",
}


PARAMS = [
    pytest.param(name, marks=pytest.mark.timeout(GO_BUILD_S)) if name == "go" else name
    for name in LANGUAGES
]


@pytest.fixture(params=PARAMS)
def language(request):
    if not shutil.which(LANGUAGES[request.param]):
        pytest.skip(f"needs {LANGUAGES[request.param]}")
    return request.param


@pytest.fixture
def make_example(language, request, tmp_path, make_gateway):  # after it: no gateway waits for one
    """Starts the language's receiver, with variables of one's own; `ready`: it listens."""
    started = []

    def make(ready=True, **env):
        source, port = SOURCES / f"receiver.{language}", 0
        command = [LANGUAGES[language], source]
        if language in ("go", "c"):
            command = [request.getfixturevalue(f"{language}_program")]
        if language == "php":
            port, seen = free_port(), tmp_path / f"seen{len(started)}"
            seen.mkdir()
            command = ["php", "-S", f"127.0.0.1:{port}", source]
            env["SEEN"] = str(seen)
        if not ready and not port:
            return Process(command, env={"PORT": "0", **env})
        started.append(Example(command, port, **env))
        return started[-1]

    yield make
    for one in started:
        one.close()


@pytest.fixture
def example(make_example):
    return make_example()


PRIVATE_KEY = "whsk_" + "A" * 42 + "E="
PAIR = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(PRIVATE_KEY[5:]))
PUBLIC_KEY = "whpk_" + base64.b64encode(
    PAIR.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
).decode()


def signed(body, event_id="e1", off_s=0, secret=SECRET, **changed):
    """The headers of a delivery; `changed`: others than belong to the body."""
    at = str(int(time.time()) + off_s)
    headers = {
        "X-Webhook-Id": event_id, "X-Webhook-Event": "message", "webhook-id": event_id,
        "X-Webhook-Timestamp": at, "webhook-timestamp": at,
        "webhook-signature": sign_standard(secret, event_id, at, body),
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return {name: value for name, value in headers.items() if value is not None}


def by_pair(message, pair=PAIR):
    return base64.b64encode(pair.sign(message)).decode()


def by_secret(message, secret=SECRET):
    key = base64.b64decode(secret[len("whsec_"):])
    return base64.b64encode(hmac.digest(key, message, "sha256")).decode()


def signed_as_v2(body, off_s=0):
    headers = signed(body, off_s=off_s, webhook_signature=None)
    signature = sign_v2(SECRET, headers["X-Webhook-Timestamp"], body)
    return {**headers, "X-Webhook-Signature": signature}


def signed_as_ed25519(body, off_s=0):
    headers = signed(body, off_s=off_s)
    message = f"e1.{headers['webhook-timestamp']}.".encode() + body
    return {**headers, "webhook-signature": "v1a," + by_pair(message)}


def signed_as_rfc9421(body, off_s=0, url="http://x/", alg="hmac-sha256",
                      covered="@method @target-uri content-digest content-type webhook-id"):
    """As docs/api.md has it; the tests of deliveries show that waybill does the same."""
    headers = {name: value for name, value in signed(body).items() if name != "webhook-signature"}
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    headers.update({"Content-Digest": f"sha-256=:{digest}:", "Content-Type": "application/json"})
    values = {name.lower(): value for name, value in headers.items()}
    values.update({"@method": "POST", "@target-uri": url})
    names = covered.split()
    created = int(time.time()) + off_s
    params = f'({" ".join(map(json.dumps, names))});created={created};keyid="k";alg="{alg}"'
    lines = [f'"{name}": {values[name]}' for name in names]
    base = "\n".join([*lines, f'"@signature-params": {params}']).encode()
    signature = by_pair(base) if alg == "ed25519" else by_secret(base)
    return {**headers, "Signature-Input": f"sig1={params}", "Signature": f"sig1=:{signature}:"}


SCHEMES = {  # what the receiver is started with, what a webhook is, how a test signs
    "standard": ({"SECRET": SECRET}, {"secret": SECRET}, signed),
    "v1": (
        {"SECRET": SECRET, "SCHEME": "v1"}, {"secret": SECRET, "signature": "v1"},
        lambda body, off_s=0: signed(body, off_s=off_s, webhook_signature=None,
                                     X_Webhook_Signature=sign_v1(SECRET, body)),
    ),
    "v2": (
        {"SECRET": SECRET, "SCHEME": "v2"}, {"secret": SECRET, "signature": "v2"},
        signed_as_v2,
    ),
    "ed25519": (
        {"SECRET": PUBLIC_KEY}, {"private_key": PRIVATE_KEY, "signature": "ed25519"},
        signed_as_ed25519,
    ),
    "rfc9421": (
        {"SECRET": SECRET, "SCHEME": "rfc9421"}, {"secret": SECRET, "signature": "rfc9421"},
        signed_as_rfc9421,
    ),
    "rfc9421 by a pair": (
        {"SECRET": PUBLIC_KEY, "SCHEME": "rfc9421"},
        {"private_key": PRIVATE_KEY, "signature": "rfc9421"},
        lambda body, off_s=0: signed_as_rfc9421(body, off_s, alg="ed25519"),
    ),
}


def post(example, body, headers, *more):
    """The status that a request gets; `more`: headers that are there already."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*headers.items(), *more])
    with RawClient(("127.0.0.1", example.port)) as client:
        client.send(
            f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode()
        )
        client.send(body)
        return int(client._link.read_until(b"\r\n").split()[1])


def test_real_deliveries_are_taken_each_event_once(example, make_gateway):
    gateway = make_gateway()
    for path in ("", "again"):  # two webhooks: each event comes twice, with one X-Webhook-Id
        gateway.register("s1", example.url + path, secret=SECRET, ordering="fifo")
    texts = ["plain", "\u00e9\u2028\U0001f600", "x" * 200000]
    ids = [gateway.publish("s1", data={"text": text})["id"] for text in texts]
    wait_until(
        lambda: all(
            gateway.webhook("s1", w["id"])["circuit"]["state"] == "closed"
            for w in gateway.api("GET", hooks_path("s1")).json()["webhooks"]
        ) and len(example.handled) >= 3, what="deliveries",
    )
    gateway.stop()  # attempts under way end first
    assert {line[1] for line in example.handled} == set(ids) and len(example.handled) == 3
    assert "defer" not in gateway.log_text()
    assert max(int(line[2]) for line in example.handled) > 200000


FORGED = {
    "nothing": {"webhook_signature": None},
    "empty": {"webhook_signature": ""},
    "of another body": {"webhook_signature": sign_standard(SECRET, "e1", "1", b"other")},
    "of another secret": {"secret": "s3cret"},
    "old": {"off_s": -FAR_S},
    "of the future": {"off_s": FAR_S},
    "no time": {"webhook_timestamp": None},
    "no number": {"webhook_timestamp": "now"},
    "an immense time": {"webhook_timestamp": "9" * 30},
    "another id to be known by": {"X_Webhook_Id": "e2"},
    "no id": {"X_Webhook_Id": None, "webhook_id": None},
    "another version": {"webhook_signature": "v2,AAAA v1a,AAAA v1,"},
    "spaces": {"webhook_signature": "   v1  "},
}


def test_forged_requests_are_refused_and_the_real_one_taken(example):
    body = b'{"event":"message"}'
    statuses = {name: post(example, body, signed(body, **how)) for name, how in FORGED.items()}
    assert statuses == dict.fromkeys(FORGED, 401)
    assert post(example, body + b" ", signed(body)) == 401
    assert post(example, body, signed(body)) == 204
    wait_until(lambda: example.handled == [["message", "e1", str(len(body))]], what="the real one")


def test_duplicates_are_taken_and_dropped(example):
    for event_id in ("e1", "e1", "e2", "e1", "e3"):
        assert post(example, b"{}", signed(b"{}", event_id)) == 204
    wait_until(lambda: len(example.handled) >= 3, what="three events")
    assert [line[1] for line in example.handled] == ["e1", "e2", "e3"]


def test_one_of_two_signatures_is_enough(example):
    headers = signed(b"{}")
    other = sign_standard("new-secret", "e1", headers["webhook-timestamp"], b"{}")
    for both in (f"{other} {headers['webhook-signature']}",
                 f"{headers['webhook-signature']} {other}"):
        assert post(example, b"{}", {**headers, "webhook-signature": both}) == 204
    assert post(example, b"{}", {**headers, "webhook-signature": f"{other} {other}"}) == 401


def test_delivery_during_a_rotation_is_taken(example, gateway):
    webhook = gateway.register("s1", example.url, secret=SECRET)
    answer = gateway.api(
        "POST", hooks_path("s1", webhook["id"], "rotate-secret"), json={"secret": "the-new-one"}
    )
    assert answer.ok
    event = gateway.publish("s1")
    wait_until(lambda: [line[1] for line in example.handled] == [event["id"]], what="delivery")


def test_longest_body_is_taken_and_a_longer_one_refused(example):
    body = b"x" * BODY_MAX
    assert post(example, body, signed(body)) == 204
    wait_until(lambda: example.handled == [["message", "e1", str(BODY_MAX)]], what="it")
    longer = body + b"x" * (4 << 20)
    assert post(example, longer, signed(longer, "e2")) == 413
    assert post(example, b"{}", signed(b"{}", "e3")) == 204


def test_another_secret_form_is_taken(make_example):
    """A secret that does not begin with whsec_ is its own bytes."""
    plain = make_example(SECRET="s3cret")
    assert post(plain, b"{}", signed(b"{}", secret="s3cret")) == 204


def test_real_deliveries_of_each_scheme(make_example, make_gateway):
    """What the webhook's key has signed is taken, what another's has is not."""
    gateway = make_gateway()
    for number, (env, fields, _) in enumerate(SCHEMES.values()):
        started = make_example(**env)
        good = gateway.register(f"good{number}", started.url + "a?b=c", **fields)
        changed = {name: value for name, value in fields.items() if name == "signature"}
        gateway.register(f"bad{number}", started.url, secret="an0ther", retry=["5d"], **changed)
        ids = [gateway.publish(f"good{number}", data={"text": text})["id"]
               for text in ("plain", "\u00e9\u2028\U0001f600")]
        forged = gateway.publish(f"bad{number}")
        wait_until(lambda: len(started.handled) >= 2, what="the good ones")
        wait_until(lambda: gateway.api(
            "GET", f"/sessions/bad{number}/events/{forged['id']}"
        ).json()["deliveries"][0]["attempt_count"] > 0, what="a forged one")
        assert {line[1] for line in started.handled} == set(ids)
        assert gateway.webhook(f"good{number}", good["id"])["circuit"]["state"] == "closed"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_forged_requests_of_each_scheme(make_example, scheme):
    env, _, sign = SCHEMES[scheme]
    started = make_example(**env)
    body = b'{"event":"message"}'
    headers = sign(body)
    given = {"v1": "X-Webhook-Signature", "v2": "X-Webhook-Signature"}.get(
        scheme, "Signature" if "rfc" in scheme else "webhook-signature"
    )
    text = headers[given]
    middle = len(text) // 2 + 3
    wrong = text[:middle] + ("b" if text[middle] != "b" else "c") + text[middle + 1:]
    needed = {"X-Webhook-Id", "webhook-id", given}
    needed |= {"webhook-timestamp"} if scheme in ("standard", "ed25519") else set()
    needed |= {"X-Webhook-Timestamp"} if scheme == "v2" else set()
    needed |= {"Signature-Input", "Content-Digest", "Content-Type"} if "rfc" in scheme else set()
    statuses = {
        "wrong signature": post(started, body, {**headers, given: wrong}),
        "another body": post(started, body + b" ", headers),
        "another id": post(started, body, {**headers, "X-Webhook-Id": "e2"}),
        **{f"without {name}": post(started, body, {k: v for k, v in headers.items() if k != name})
           for name in needed},
        **{f"{name} twice": post(started, body, headers, (name, headers[name])) for name in needed},
        **{f"{name} twice, wrong first": post(
            started, body, {name: "x", **{k: v for k, v in headers.items() if k != name}},
            (name, headers[name])) for name in needed},
        **{f"of {other}": post(started, body, how(body))
           for other, (_, _, how) in SCHEMES.items() if other != scheme},
    }
    for off_s in (-FAR_S, FAR_S):
        statuses[f"{off_s} s"] = post(started, body, sign(body, off_s=off_s))
    if scheme == "v1":  # says nothing of the time
        assert {statuses.pop(f"{off_s} s") for off_s in (-FAR_S, FAR_S)} == {204}
    assert statuses == dict.fromkeys(statuses, 401)
    assert post(started, body, headers) == 204
    wait_until(lambda: len(started.handled) == 1, what="the real one")


def test_message_signatures_cover_what_they_must(make_example):
    """RFC 9421 lets a signer leave out what it likes, and put anything beside it."""
    started = make_example(SECRET=SECRET, SCHEME="rfc9421")
    whole = "@method @target-uri content-digest webhook-id"
    for name in whole.split():
        less = " ".join(one for one in whole.split() if one != name)
        assert post(started, b"{}", signed_as_rfc9421(b"{}", covered=less)) == 401, name
    assert post(started, b"{}", signed_as_rfc9421(b"{}", url="http://y/")) == 401
    assert post(started, b"{}", signed_as_rfc9421(b"{}", alg="none")) == 401
    headers = signed_as_rfc9421(b"{}", covered=whole)
    for value in ("", "sig1", "sig1=", "sig1=(", "sig1=()", 'sig1=("@method', "sig1=();created",
                  'sig1=("@method");created=;alg', "sig1=(),", ",", "=", "sig1=1", "sig1=(\"\")"):
        for name in ("Signature-Input", "Signature"):
            assert post(started, b"{}", {**headers, name: value}) == 401, (name, value)
            both = f"{headers[name]}, {value}"
            if value not in ("", "sig1=()", "sig1="):
                assert post(started, b"{}", {**headers, name: both}) == 401, (name, both)
    other = {name: f"sig0={headers[name].split('=', 1)[1]}, {headers[name]}"
             for name in ("Signature-Input", "Signature")}
    assert post(started, b"{}", {**headers, **other}) == 204
    named = make_example(SECRET=SECRET, SCHEME="rfc9421", ORIGIN="https://hooks.example")
    outside = signed_as_rfc9421(b"{}", url="https://hooks.example/")
    assert post(named, b"{}", outside) == 204
    assert post(named, b"{}", headers) == 401


BAD_SETTINGS = [
    {"SECRET": ""}, {"SECRET": "whsec_"}, {"SECRET": "whsec_%%%%"}, {"SECRET": "whsec_A"},
    {"SECRET": "whsec_AAAA====AAAA"}, {"SECRET": "whpk_"}, {"SECRET": "whpk_AAAA"},
    {"SECRET": "whpk_" + "%" * 44}, {"SECRET": PRIVATE_KEY}, {"SECRET": SECRET, "SCHEME": "v3"},
    {"SECRET": PUBLIC_KEY, "SCHEME": "v1"}, {"SECRET": SECRET, "SCHEME": "ed25519"},
]


def test_nothing_is_taken_without_a_key_that_is_good(make_example, language):
    """A key that does not decode is the empty one to a careless program: anybody has that."""
    at = str(int(time.time()))
    empty = base64.b64encode(hmac.digest(b"", f"e1.{at}.{{}}".encode(), "sha256")).decode()
    forged = {**signed(b"{}"), "webhook-timestamp": at, "webhook-signature": f"v1,{empty}",
              "X-Webhook-Signature": sign_v1("", b"{}")}
    for env in BAD_SETTINGS:
        started = make_example(ready=False, **env)
        if language == "php":  # its server runs the program for each request
            assert post(started, b"{}", forged) == 500, env
            assert started.handled == []
            continue
        assert started.wait() == 1, env
        assert started.lines == [], env
