"""docs/receivers: each one verifies, drops duplicates and refuses what it should."""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from harness import ROOT, Process, RawClient, hooks_path, sign_standard, wait_until

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
def example(request, tmp_path, make_gateway):  # after it, so that no gateway waits for one
    if not shutil.which(LANGUAGES[request.param]):
        pytest.skip(f"needs {LANGUAGES[request.param]}")
    source = SOURCES / f"receiver.{request.param}"
    if request.param == "php":
        (tmp_path / "seen").mkdir()
        port = free_port()
        started = Example(
            ["php", "-S", f"127.0.0.1:{port}", source], port, SEEN=str(tmp_path / "seen")
        )
    elif request.param in ("go", "c"):
        started = Example([request.getfixturevalue(f"{request.param}_program")], 0)
    else:
        started = Example([LANGUAGES[request.param], source], 0)
    yield started
    started.close()


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


def post(example, body, headers):
    """The status that a request gets."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
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


def test_another_secret_form_is_taken(tmp_path):
    """A secret that does not begin with whsec_ is its own bytes."""
    plain = Example(["/usr/bin/python3", SOURCES / "receiver.py"], 0, SECRET="s3cret")
    try:
        assert post(plain, b"{}", signed(b"{}", secret="s3cret")) == 204
    finally:
        plain.close()


@pytest.mark.parametrize("language", ["js", "go", "php"])
@pytest.mark.timeout(GO_BUILD_S)
def test_key_pairs(language, request, tmp_path, gateway):
    """SECRET is a public key: what its pair signs passes, what another's does not."""
    if not shutil.which(LANGUAGES[language]):
        pytest.skip(f"needs {LANGUAGES[language]}")
    private = "whsk_" + "A" * 42 + "E="
    hook = gateway.register(
        "s0", "http://127.0.0.1:9/", private_key=private, signature="ed25519", secret=SECRET
    )
    key, port = hook["public_key"], 0
    source = SOURCES / f"receiver.{language}"
    command = [LANGUAGES[language], source]
    if language == "go":
        command = [request.getfixturevalue("go_program")]
    env = {"SECRET": key}
    if language == "php":
        if "sodium" not in subprocess.run(["php", "-m"], capture_output=True, text=True).stdout:
            pytest.skip("needs PHP's sodium")
        (tmp_path / "seen").mkdir()
        port, env["SEEN"] = free_port(), str(tmp_path / "seen")
        command = ["php", "-S", f"127.0.0.1:{port}", source]
    started = Example(command, port, **env)
    try:
        for session, fields in [("good", {"private_key": private}), ("bad", {})]:
            gateway.register(
                session, started.url + session, signature="ed25519", secret=SECRET,
                retry=["5d"], **fields,
            )
            event = gateway.publish(session)
            wait_until(lambda s=session, e=event: [
                one for one in gateway.api("GET", f"/sessions/{s}/events/{e['id']}").json()[
                    "deliveries"] if one["attempt_count"] > 0 or one["status"] == "delivered"
            ], what="an attempt")
        wait_until(lambda: len(started.handled) == 1, what="the good one")
    finally:
        started.close()
