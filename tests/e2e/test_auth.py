"""Tokens: none, full ones, ones for some sessions; and that what is secret stays so."""

import pytest

from harness import expect_error, hooks_path

HOOK = "http://127.0.0.1:9/hook"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
UNKNOWN_ENTRY = "01890000-0000-7000-8000-000000000000"

PROTECTED = [
    ("POST", hooks_path("s1")),
    ("GET", hooks_path("s1")),
    ("GET", hooks_path("s1", UNKNOWN_ID)),
    ("PATCH", hooks_path("s1", UNKNOWN_ID)),
    ("DELETE", hooks_path("s1", UNKNOWN_ID)),
    ("POST", hooks_path("s1", UNKNOWN_ID, "enable")),
    ("POST", hooks_path("s1", UNKNOWN_ID, "disable")),
    ("POST", hooks_path("s1", UNKNOWN_ID, "test")),
    ("POST", hooks_path("s1", UNKNOWN_ID, "rotate-secret")),
    ("GET", hooks_path("s1", "dlq")),
    ("POST", hooks_path("s1", "dlq", UNKNOWN_ENTRY, "replay")),
    ("POST", "/sessions/s1/events"),
    ("POST", "/events"),
]


def expect_401(answer):
    expect_error(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("method, path", PROTECTED)
def test_every_call_needs_a_token(gateway, method, path):
    body = {} if method in ("POST", "PATCH") else None
    expect_401(gateway.api(method, path, json=body, token=""))
    expect_401(gateway.api(method, path, json=body, token="wrong"))
    assert gateway.api(method, path, json=body).status_code != 401


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_need_none(gateway, path):
    assert gateway.request("GET", path, token="").status_code == 200


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer x{}", "Bearer {} {}",
     "BearerX {}", "Bearer {half}"],
)
def test_header_that_is_no_bearer_token_is_401(gateway, header):
    half = gateway.token[: len(gateway.token) // 2]
    value = header.format(gateway.token, gateway.token, half=half)
    answer = gateway.api("GET", hooks_path("s1"), token="", headers={"Authorization": value})
    expect_401(answer)


@pytest.mark.parametrize("header", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer  {}"])
def test_scheme_has_any_case(gateway, header):
    value = header.format(gateway.token)
    answer = gateway.api("GET", hooks_path("s1"), token="", headers={"Authorization": value})
    assert answer.status_code == 200


def test_without_any_token_loopback_is_open(make_gateway):
    gateway = make_gateway(token=None)
    assert gateway.register("s1", HOOK)["url"] == HOOK
    assert gateway.publish("s1")["deliveries"] == 1


TOKENS = """\
# full ones
full-one
full-two

# for their sessions
scoped-a session-a
scoped-ab session-a session-b
"""


@pytest.fixture
def scoped(make_gateway, tmp_path):
    tokens_file = tmp_path / "tokens"
    tokens_file.write_text(TOKENS)
    tokens_file.chmod(0o600)
    return make_gateway(token=None, tokens_file=tokens_file)


@pytest.mark.parametrize("token", ["full-one", "full-two"])
def test_full_tokens_of_the_file_open_every_session(scoped, token):
    for session in ("session-a", "session-b", "other"):
        assert scoped.api("GET", hooks_path(session), token=token).status_code == 200


@pytest.mark.parametrize(
    "token", ["#", "# full ones", "session-a", "scoped-a session-a", "scoped"]
)
def test_other_words_of_the_file_are_no_tokens(scoped, token):
    expect_401(scoped.api("GET", hooks_path("session-a"), token=token))


def test_scoped_token_opens_its_sessions(scoped):
    for token, session in [
        ("scoped-a", "session-a"), ("scoped-ab", "session-a"), ("scoped-ab", "session-b")
    ]:
        event = {"event": "message"}
        assert scoped.api("GET", hooks_path(session), token=token).status_code == 200
        answer = scoped.api("POST", f"/sessions/{session}/events", json=event, token=token)
        assert answer.status_code == 202
        envelope = {"session_id": session, **event}
        assert scoped.api("POST", "/events", json=envelope, token=token).status_code == 202


@pytest.mark.parametrize("session", ["session-b", "session-", "session-aa", "other"])
@pytest.mark.parametrize("method, path", PROTECTED)
def test_scoped_token_is_403_elsewhere(scoped, method, path, session):
    body = {"session_id": session, "event": "message"} if method in ("POST", "PATCH") else None
    path = path.replace("/s1/", f"/{session}/")
    expect_error(scoped.api(method, path, json=body, token="scoped-a"), 403)


def test_percent_signs_do_not_widen_a_scope(scoped):
    with scoped.connect() as client:
        for spelled, code in [("session%2Da", 200), ("session%2Db", 403)]:
            client.send(
                f"GET /api/v1/sessions/{spelled}/webhooks HTTP/1.1\r\nHost: x\r\n"
                "Authorization: Bearer scoped-a\r\n\r\n".encode()
            )
            assert client.reply().status_code == code


def test_secrets_are_not_in_the_log(make_gateway, make_receiver):
    gateway = make_gateway(log_level="debug")
    receiver = make_receiver(500, 200)
    gateway.register(
        "s1", receiver.url(), secret="never-log-me", headers={"Authorization": "Basic bm90bWU="}
    )
    gateway.publish("s1", data={"text": "private words"})
    receiver.wait_for(2)
    gateway.api("GET", hooks_path("s1"), token="guessed-token")
    gateway.stop()
    log = gateway.log_text()
    for word in ["never-log-me", "bm90bWU=", "private words", "guessed-token", gateway.token]:
        assert word not in log
