"""Links for tenants: what they reach, for how long, and what makes them void."""

import base64
import re
import time

import pytest
from harness import expect_error, hooks_path, session_path, wait_until, waybill
from test_fsck import expect_sound

TOKENS = "one-token a\nboth-token a b\n"
KEYS = ["0123456789abcdef" * 4, "fedcba9876543210" * 4]


@pytest.fixture
def start(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKENS)
    tokens.chmod(0o600)
    return lambda **options: make_gateway(
        tokens_file=str(tokens), retry_schedule="20ms", token="full-token", **options
    )


@pytest.fixture
def gateway(start):
    return start()


def ask(gateway, session="a", token=None, **body):
    return gateway.api("POST", session_path(session, "portal"), json=body or None, token=token)


def link(gateway, session="a", **body):
    answer = ask(gateway, session, **body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()


def stands(gateway, token, session="a"):
    answer = gateway.api("GET", hooks_path(session), token=token)
    assert answer.status_code in (200, 401), answer.text
    return answer.status_code == 200


def test_it_is_a_token_of_its_session(gateway, make_receiver):
    receiver = make_receiver()
    mine, other = gateway.register("a", receiver.url("/a")), gateway.register("b", receiver.url("/b"))
    made = link(gateway)
    token = made["token"]
    assert made["url"] == f"{gateway.url}/ui/#token={token}"
    assert made["read_only"] is False
    assert re.fullmatch(r"wbp_[\w-]{60,}", token)
    assert link(gateway)["token"] != token
    assert token not in gateway.log_text()
    assert [s["id"] for s in gateway.api("GET", "/sessions", token=token).json()["sessions"]] == ["a"]
    assert gateway.api("GET", hooks_path("a", mine["id"]), token=token).status_code == 200
    changed = gateway.api("PATCH", hooks_path("a", mine["id"]), json={"description": "x"}, token=token)
    assert changed.json()["description"] == "x"
    published = gateway.api("POST", session_path("a", "events"), json={"event": "message"}, token=token)
    assert published.status_code == 202
    expect_error(gateway.api("GET", hooks_path("b", other["id"]), token=token), 403)
    expect_error(gateway.api("GET", "/webhooks/" + other["id"], token=token), 404)
    expect_error(gateway.api("GET", "/webhooks", token=token), 403)
    expect_error(gateway.api("GET", "/stats", token=token), 403)
    expect_error(gateway.api("GET", "/backup", token=token), 403)
    expect_error(gateway.api("DELETE", session_path("a"), token=token), 403)
    expect_error(gateway.api("POST", "/portal/rotate-key", token=token), 403)
    expect_error(ask(gateway, token=token), 403, mentions=["does not make links"])
    batch = [{"session_id": s, "event": "message"} for s in "ab"]
    expect_error(gateway.api("POST", "/events", json=batch, token=token), 403)


def test_who_makes_them(gateway, make_gateway):
    assert ask(gateway, token="one-token").status_code == 200
    assert ask(gateway, "b", token="both-token").status_code == 200
    expect_error(ask(gateway, "b", token="one-token"), 403)
    expect_error(ask(gateway, token="guess-token"), 401)
    expect_error(gateway.api("POST", "/portal/rotate-key", token="one-token"), 403)
    expect_error(ask(make_gateway(token=None)), 409, mentions=["grant nothing"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"expires_in": "25h"}, "expires_in"),
        ({"expires_in": "0s"}, "expires_in"),
        ({"expires_in": 60}, "expires_in"),
        ({"expires_in": ""}, "expires_in"),
        ({"read_only": "yes"}, "read_only"),
        ({"unknown": 1}, None),
    ],
)
def test_what_is_asked_for_is_checked(gateway, body, field):
    expect_error(ask(gateway, **body), 400, field)


def test_read_only(gateway, make_receiver):
    hook = gateway.register("a", make_receiver().url())
    made = link(gateway, read_only=True, expires_in="24h")
    assert made["read_only"] is True
    token = made["token"]
    assert stands(gateway, token)
    assert gateway.request("HEAD", "/api/v1" + hooks_path("a"), token=token).status_code == 200
    tried = gateway.api(
        "POST", hooks_path("a", hook["id"], "filter-test"), json={"event": {"event": "message"}}, token=token
    )
    assert tried.status_code in (200, 400), tried.text  # it was looked at
    for method, path in (
        ("POST", session_path("a", "events")),
        ("POST", hooks_path("a")),
        ("PATCH", hooks_path("a", hook["id"])),
        ("DELETE", hooks_path("a", hook["id"])),
        ("POST", hooks_path("a", hook["id"], "test")),
        ("POST", "/dlq/replay"),
        ("POST", "/events"),
    ):
        answer = gateway.api(method, path, json={} if method == "POST" else None, token=token)
        expect_error(answer, 403, mentions=["reading alone"])


def test_it_ends(gateway, make_receiver):
    gateway.register("a", make_receiver().url())
    token = link(gateway, expires_in="1s")["token"]
    assert stands(gateway, token)
    wait_until(lambda: not stands(gateway, token), what="its end")
    for _ in range(40):  # no guess: whoever else is there is not held up
        answer = gateway.api("GET", hooks_path("a"), token=token)
        expect_error(answer, 401, mentions=["expired"])
    began = time.monotonic()
    expect_error(gateway.api("GET", hooks_path("a"), token="a guess of mine"), 401)
    assert time.monotonic() - began < 0.9


def test_a_forged_one_is_a_guess(gateway):
    token = link(gateway)["token"]
    raw = bytearray(base64.urlsafe_b64decode(token[4:] + "=="))
    for at in range(0, len(raw), 5):
        raw[at] ^= 1
        forged = "wbp_" + base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")
        raw[at] ^= 1
        assert gateway.api("GET", hooks_path("a"), token=forged).status_code in (401, 429)
    assert stands(gateway, token)
    for text in ("wbp_", "wbp_AA", token[:-5], token + "=", token[4:], "wbp_" + "A" * 400):
        assert gateway.api("GET", hooks_path("a"), token=text).status_code in (401, 429)
    assert "wrong token" in gateway.log_text()


def test_rotation_and_deletion_void_them(gateway, make_receiver):
    gateway.register("a", make_receiver().url())
    gateway.register("b", make_receiver().url())
    mine, other = link(gateway)["token"], link(gateway, "b")["token"]
    assert gateway.api("DELETE", session_path("a")).status_code == 202
    wait_until(lambda: gateway.api("GET", session_path("a")).json()["deletion"]["state"] == "done", what="its end")
    gateway.register("a", make_receiver().url())  # another tenant of the same name
    assert not stands(gateway, mine)
    assert stands(gateway, other, "b")
    gateway.stop()
    gateway.start()
    assert not stands(gateway, mine)
    assert stands(gateway, other, "b")
    again = link(gateway)["token"]
    assert stands(gateway, again)
    assert gateway.api("POST", "/portal/rotate-key").json()["success"] is True
    assert not stands(gateway, again)
    assert not stands(gateway, other, "b")
    assert stands(gateway, link(gateway)["token"])


def revoke(gateway, session="a", token=None):
    return gateway.api("DELETE", session_path(session, "portal"), token=token)


def test_the_links_of_a_session_are_revoked_alone(start, make_receiver):
    gateway = start()
    gateway.register("a", make_receiver().url())
    assert revoke(gateway).json()["success"] is True  # there was none
    first = [link(gateway)["token"], link(gateway, read_only=True, expires_in="24h")["token"]]
    other = link(gateway, "b")["token"]
    for turn in range(3):  # again and again, in the same millisecond as likely as not
        assert all(stands(gateway, token) for token in first)
        answer = revoke(gateway)
        assert (answer.status_code, answer.json()["success"]) == (200, True)
        again = link(gateway)["token"]
        assert stands(gateway, again)
        for token in first:
            expect_error(gateway.api("GET", hooks_path("a"), token=token), 401, mentions=["is void"])
        assert stands(gateway, other, "b")
        first = [again]
    gateway.kill()
    gateway.start()
    assert stands(gateway, again)
    assert stands(gateway, other, "b")
    assert revoke(gateway).status_code == 200
    gateway.kill()
    gateway.start()
    assert not stands(gateway, again)
    assert stands(gateway, other, "b")
    assert stands(gateway, link(gateway)["token"])
    assert 'msg="portal links are revoked" session=a by=' in gateway.log_text()
    gateway.stop()
    expect_sound(gateway.directory / "data")


def test_who_revokes(gateway, make_gateway):
    whole, reading = link(gateway)["token"], link(gateway, read_only=True)["token"]
    expect_error(revoke(gateway, token=whole), 403, mentions=["a link revokes no links"])
    expect_error(revoke(gateway, token=reading), 403, mentions=["reading alone"])
    expect_error(revoke(gateway, "b", token=whole), 403)
    expect_error(revoke(gateway, "b", token="one-token"), 403)
    expect_error(revoke(gateway, token="guess-token"), 401)
    assert stands(gateway, whole) and stands(gateway, reading)
    assert revoke(gateway, token="one-token").status_code == 200
    assert not stands(gateway, whole) and not stands(gateway, reading)
    assert revoke(make_gateway(token=None)).status_code == 200


def test_what_was_revoked_does_not_come_back_with_the_session(gateway, make_receiver):
    gateway.register("a", make_receiver().url())
    revoked = link(gateway, expires_in="24h")["token"]
    assert revoke(gateway).status_code == 200
    deleted = link(gateway, expires_in="24h")["token"]
    copy = gateway.directory / "copy"
    made = waybill("backup", "--url", gateway.url, copy, env={"WAYBILL_TOKEN": gateway.token})
    assert made.returncode == 0, made.stderr
    assert gateway.api("DELETE", session_path("a")).status_code == 202
    wait_until(lambda: gateway.api("GET", session_path("a")).json()["deletion"]["state"] == "done", what="its end")
    gateway.register("a", make_receiver().url())
    for _ in range(2):
        assert not stands(gateway, revoked)
        assert not stands(gateway, deleted)
        gateway.kill()
        gateway.start()
    again = link(gateway)["token"]
    assert stands(gateway, again)
    gateway.stop()
    expect_sound(gateway.directory / "data")
    # with the backup comes what stood then, and nothing of before
    expect_sound(copy)
    gateway.reconfigure(data=str(copy))
    gateway.start()
    assert not stands(gateway, revoked)
    assert stands(gateway, deleted)


def read_to_end(client):
    """What comes of a stream until it ends, or the connection does."""
    received = b""
    while not received.endswith(b"0\r\n\r\n"):
        data = client.sock.recv(65536)
        if not data:
            break
        received += data
    return received


@pytest.mark.parametrize("ends", ["revoke", "rotate", "delete"])
def test_a_stream_by_a_link_ends_as_soon_as_that_is_void(gateway, make_receiver, ends):
    gateway.register("a", make_receiver().url())
    token, other = link(gateway)["token"], link(gateway, "b")["token"]
    request = "GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n"
    with gateway.connect() as mine, gateway.connect() as theirs:
        for client, text in ((mine, token), (theirs, other)):
            client.send(request.format(text).encode())
            client.sock.settimeout(8)  # less than the pause between two comments
            assert client.sock.recv(65536).startswith(b"HTTP/1.1 200")
        if ends == "revoke":
            assert revoke(gateway).status_code == 200
        elif ends == "rotate":
            assert gateway.api("POST", "/portal/rotate-key").status_code == 200
        else:
            assert gateway.api("DELETE", session_path("a")).status_code == 202
        read_to_end(mine)
        if ends != "rotate":
            gateway.publish("b")
            assert b"event: published" in theirs.sock.recv(65536)


def test_what_a_token_is(gateway, make_gateway):
    def what(token=None):
        answer = gateway.api("GET", "/token", token=token)
        assert answer.status_code == 200
        return answer.json()

    full = {"kind": "token", "all_sessions": True, "read_only": False, "expires_at": None}
    assert what() == full
    assert what("both-token") == {**full, "all_sessions": False}
    for reads in (False, True):
        made = link(gateway, read_only=reads)
        assert what(made["token"]) == {
            "kind": "link", "all_sessions": False, "read_only": reads, "expires_at": made["expires_at"],
        }
    expect_error(gateway.api("GET", "/token", token="guess-token"), 401)
    assert make_gateway(token=None).api("GET", "/token").json() == {**full, "kind": "none"}


def test_a_stream_by_a_link_ends_with_it(gateway):
    token = link(gateway, expires_in="2s")["token"]
    with gateway.connect() as client:
        client.send(
            f"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        client.sock.settimeout(40)
        received = read_to_end(client)
    assert received.startswith(b"HTTP/1.1 200")
    assert not stands(gateway, token)


def test_the_key_outlives_restarts_and_follows_the_vault(start):
    gateway = start(secret_key=KEYS[0])
    token = link(gateway)["token"]
    gateway.kill()
    gateway.start()
    assert stands(gateway, token)
    keys = gateway.directory / "keys"
    keys.write_text("\n".join(reversed(KEYS)) + "\n")
    keys.chmod(0o600)
    gateway.stop()
    gateway.reconfigure(secret_key=None, secret_key_file=str(keys))
    gateway.start()
    assert stands(gateway, token)
    assert stands(gateway, link(gateway)["token"])  # encrypts it under the new first key
    gateway.stop()
    expect_sound(gateway.directory / "data")
    gateway.reconfigure(secret_key_file=None, secret_key=KEYS[1])
    gateway.start()
    assert stands(gateway, token)


def test_behind_a_proxy_that_speaks_tls(start):
    gateway = start(trusted_proxies="127.0.0.0/8")
    answer = gateway.api(
        "POST", session_path("a", "portal"), headers={"X-Forwarded-Proto": "https", "Host": "hooks.example.com"}
    )
    assert answer.json()["url"].startswith("https://hooks.example.com/ui/#token=wbp_")
