"""Sessions of any name: the same name in paths, bodies, headers, lists, lines and files."""

import json
import subprocess
import time
import urllib.parse

import pytest

from harness import (
    BINARY, environment, expect_error, hooks_path, session_path, sign_v1, verify, wait_until,
    waybill,
)
from test_stream import Stream

SECRET = "s3cret"
NAMES = [
    "Loja São Paulo",
    "628123456789@s.whatsapp.net",
    "+62 812",
    "\U0001f4f1",
    'say "hi"',
    "back\\slash",
    "100%",
    "%2F",
    "a/b",
    "a+b c&d=e#f?g;h,i*'<b>",
    " ends ",
    "e\u0301",  # not the same as the next
    "\u00e9",
    "\u202egpj.exe",
    "...",
    "x" * 128,
    "\u00e9" * 64,
    '"' * 128,
]
PLAIN = "Aa0._~-"
NO_NAMES = [b"*", b"a\n", b"\0", b"\x7f", b"\xc2\x85", b"\xff", b"\xed\xa0\x80", b"x" * 129]


def quoted(name):
    return urllib.parse.quote(name, safe="")


def in_header(name):
    """Visible ASCII as it is, but for the sign that the rest is written with."""
    visible = "".join(chr(c) for c in range(0x21, 0x7F) if c != 0x25)
    return urllib.parse.quote(name, safe=visible)


def canonical(name):
    return json.dumps(name, ensure_ascii=False)


@pytest.mark.parametrize("name", [*NAMES, PLAIN], ids=lambda name: name.encode("unicode_escape").decode()[:20])
def test_a_name_is_the_same_everywhere(make_gateway, make_receiver, name):
    gateway = make_gateway(retry_schedule="20ms", inbound_secret=SECRET)
    receiver = make_receiver(500, 500, 200)
    hook = gateway.register(name, receiver.url(), secret=SECRET)
    with Stream(gateway, "?session_id=" + quoted(name)) as stream:
        event = gateway.publish(name, timestamp=5, data={})
        assert (event["session_id"], event["deliveries"]) == (name, 1)
        assert stream.message()[1]["session_id"] == name
    (letter,) = wait_until(lambda: gateway.dlq(name), what="a dead letter")
    body = '{"session_id":%s,"event":"message","timestamp":5,"data":{}}' % canonical(name)
    assert (letter["session_id"], letter["payload"]) == (name, body)
    gateway.kill()
    gateway.start()
    assert gateway.replay(name, letter["id"]).status_code == 200
    receiver.wait_for(3)
    for request in receiver.requests:
        assert request.body == body.encode()
        assert request.header("X-Webhook-Session") == in_header(name)
        assert urllib.parse.unquote(request.header("X-Webhook-Session")) == name
        verify(request, SECRET)
    # other ways in: an envelope, another gateway, a line of NDJSON
    answer = gateway.api("POST", "/events", json={"session_id": name, "event": "message"})
    assert (answer.status_code, answer.json()["session_id"]) == (202, name)
    theirs = json.dumps({"session_id": name, "event": "message", "data": 1}).encode()
    answer = gateway.api(
        "POST", session_path(name, "webhook-in"), body=theirs, token="",
        headers={"X-Webhook-Signature": sign_v1(SECRET, theirs)},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["session_id"]) == (200, name)
    receiver.wait_for(5)
    # what is shown of it
    shown = gateway.api("GET", f"/events/{event['id']}").json()
    assert (shown["session_id"], shown["payload"]) == (name, body)
    listed = gateway.api("GET", session_path(name, "deliveries")).json()["deliveries"]
    assert len(listed) == 3 and {d["session_id"] for d in listed} == {name}
    assert [s["id"] for s in gateway.api("GET", "/sessions").json()["sessions"]] == [name]
    assert gateway.webhook(name, hook["id"])["url"] == receiver.url()
    gateway.stop()
    done = waybill("fsck", gateway.directory / "data")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_names_do_not_mix(make_gateway, receiver):
    """Nothing is normalised, decoded twice or trimmed; each has its own, in the order of bytes."""
    gateway = make_gateway()
    for name in NAMES:
        gateway.register(name, receiver.url("/" + quoted(name)))
    for name in NAMES:
        assert gateway.publish(name)["deliveries"] == 1
    receiver.wait_for(len(NAMES))
    for request in receiver.requests:
        assert urllib.parse.unquote(request.path[1:]) == request.json()["session_id"]
    pages, cursor = [], None
    while cursor is not None or not pages:
        query = urllib.parse.urlencode({"limit": 5, **({"cursor": cursor} if cursor else {})})
        answer = gateway.api("GET", "/sessions?" + query).json()
        pages.append([s["id"] for s in answer["sessions"]])
        cursor = answer["next_cursor"]
    assert sum(pages, []) == sorted(NAMES, key=str.encode)
    assert max(map(len, pages)) == 5


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused_everywhere(gateway, name):
    path = "".join(f"%{byte:02x}" for byte in name)
    words = ("1 to 128 bytes", "control")
    with gateway.connect() as client:
        client.send(
            f"GET /api/v1/sessions/{path}/webhooks HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {gateway.token}\r\n\r\n".encode()
        )
        expect_error(client.reply(), 400, "session", words)
    if name == b"\xed\xa0\x80":
        text = b"\\ud800"
    else:
        text = name.replace(b"\n", b"\\n").replace(b"\0", b"\\u0000")
    answer = gateway.api("POST", "/events", body=b'{"event":"e","session_id":"%s"}' % text)
    expect_error(answer, 400, None if name == b"\xff" else "session_id")
    expect_error(gateway.api("GET", "/events/stream?session_id=" + path), 400, "session_id")
    expect_error(gateway.api("GET", "/sessions?cursor=" + path), 400, "cursor")
    for setting in ("session_store_bytes", "session_inbound_secrets"):
        done = waybill("check-config", "--" + setting.replace("_", "-"), f"{path}=12345678")
        assert done.returncode == 2 and "percent-encoded" in done.stderr, done


@pytest.mark.parametrize("query", ["session_id=%zz", "session_id=a%", "session_id=%2"])
def test_a_malformed_query_is_refused(gateway, query):
    with gateway.connect() as client:
        client.send(
            f"GET /api/v1/events/stream?{query} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {gateway.token}\r\n\r\n".encode()
        )
        expect_error(client.reply(), 400, "session_id")


def test_a_path_has_one_spelling_of_a_slash(gateway, receiver):
    """%2F is part of the name; a bare one parts the path."""
    gateway.register("a/b", receiver.url())
    assert gateway.publish("a/b")["deliveries"] == 1
    expect_error(gateway.api("GET", "/sessions/a/b/webhooks"), 404)
    expect_error(gateway.api("GET", "/sessions/a%2Fb%2Fwebhooks"), 404)
    assert gateway.api("GET", "/sessions/a%252Fb/webhooks").json()["count"] == 0


def test_the_envelope_names_the_session_of_the_path(gateway):
    for named, code in [("S\u00e3o", 202), ("Sa\u0303o", 400), ("S%C3%A3o", 400)]:
        answer = gateway.api(
            "POST", session_path("S\u00e3o", "events"), json={"event": "e", "session_id": named}
        )
        assert answer.status_code == code, answer.text


def test_files_and_settings_have_them_percent_encoded(make_gateway, receiver, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("scoped-one Loja%20S%C3%A3o%20Paulo a%2Cb%3Dc 62@s.whatsapp.net %2A%2A São\n")
    tokens.chmod(0o600)
    gateway = make_gateway(
        tokens_file=tokens,
        session_inbound_secrets="Loja%20São%20Paulo=one,a%2Cb%3Dc=two=too",
        session_store_bytes="%252C=0,%2C=1GiB",
    )
    for name in ("Loja São Paulo", "a,b=c", "62@s.whatsapp.net", "**", "São"):
        answer = gateway.api("GET", hooks_path(name), token="scoped-one")
        assert answer.status_code == 200, name
    for name in ("Loja", "a", "%2A", "Loja%20S%C3%A3o%20Paulo", "demo"):
        expect_error(gateway.api("GET", hooks_path(name), token="scoped-one"), 403)
    ids = [s["id"] for s in gateway.api("GET", "/sessions", token="scoped-one").json()["sessions"]]
    assert ids == []
    body = b'{"event":"message"}'
    for name, secret in [("Loja São Paulo", "one"), ("a,b=c", "two=too")]:
        for key, code in [(secret, 200), ("other", 401)]:
            answer = gateway.api(
                "POST", session_path(name, "webhook-in"), body=body, token="",
                headers={"X-Webhook-Signature": sign_v1(key, body)},
            )  # fmt: skip
            assert answer.status_code == code, answer.text


    for name, code in [("%2C", 429), (",", 202)]:
        gateway.register(name, receiver.url())
        answer = gateway.api("POST", session_path(name, "events"), json={"event": "e"})
        assert answer.status_code == code, answer.text


def test_one_key_of_tokens_of_other_sessions_is_not_shared(make_gateway, tmp_path):
    """A token for "a b" and one for "a" and "b" are two: neither sees the other's answers."""
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-ab a%20b\ntoken-of-a-and-b a b\n")
    tokens.chmod(0o600)
    gateway = make_gateway(tokens_file=tokens)
    key = {"Idempotency-Key": "k"}
    envelopes = {"token-of-ab": "a b", "token-of-a-and-b": "a"}
    for token, session in envelopes.items():
        answer = gateway.api(
            "POST", "/events", json={"session_id": session, "event": "e"}, headers=key, token=token
        )
        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_of_the_log_and_of_a_terminal_stay_lines(make_gateway, make_receiver, form):
    gateway = make_gateway(retry_schedule="20ms", log_format=form)
    receiver = make_receiver(500)
    for name in NAMES:
        gateway.register(name, receiver.url())
        gateway.publish(name)
    wait_until(lambda: all(gateway.dlq(name) for name in NAMES), what="dead letters")
    stats = subprocess.run(
        [BINARY, "top", "--once", "--url", gateway.url], env=environment({"WAYBILL_TOKEN": gateway.token}),
        capture_output=True, check=True, timeout=20,
    ).stdout.decode()  # fmt: skip
    gateway.stop()
    log = gateway.log_text()
    for text in (log, stats):
        assert "\u202e" not in text and "Loja São Paulo" in text and "\\u202egpj.exe" in text
    if form == "json":
        lines = [json.loads(line) for line in log.splitlines()]
        assert {line["session"] for line in lines if "session" in line} == set(NAMES)
    else:
        assert "session=628123456789@s.whatsapp.net " in log
        for name in NAMES:
            escaped = canonical(name).replace("\u202e", "\\u202e")
            assert f"session={escaped} " in log or f"session={name} " in log


def test_the_command_line_takes_names_as_they_are(gateway, receiver, start_process):
    env = {"WAYBILL_URL": gateway.url, "WAYBILL_TOKEN": gateway.token}
    name = 'Loja "São" 100%/+'
    gateway.register(name, receiver.url())
    tail = start_process(BINARY, "tail", "--session", name, env=env)
    done = waybill("send", name, "message", "{}", env=env)
    assert json.loads(done.stdout)["session_id"] == name
    receiver.wait_for(1)

    def sees():
        waybill("send", name, "message", "{}", env=env)
        return [line for line in tail.lines if ' "Loja \\"São\\" 100%/+" message ' in line]

    wait_until(sees, what="a line of the session")
    for bad in ("*", "a\n", "x" * 129):
        for command in (("send", bad, "message"), ("tail", "--session", bad)):
            done = waybill(*command, env=env)
            assert done.returncode == 2 and "1 to 128 bytes" in done.stderr


def test_a_plus_in_a_query_is_a_space(gateway, receiver):
    """As forms have it; in a path it is a plus."""
    for name in ("a b", "a+b"):
        gateway.register(name, receiver.url("/" + quoted(name)))
    for query, name in [("a+b", "a b"), ("a%20b", "a b"), ("a%2Bb", "a+b")]:
        with Stream(gateway, "?session_id=" + query) as stream:
            for other in ("a b", "a+b"):
                gateway.publish(other)
            assert stream.message()[1]["session_id"] == name
    assert gateway.api("GET", "/sessions/a+b/webhooks").json()["webhooks"][0]["url"].endswith("/a%2Bb")
