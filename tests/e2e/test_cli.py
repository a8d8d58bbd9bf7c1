"""The command line: answers on standard output, errors on standard error, exit statuses."""

import hmac
import json
import re
import time

import pytest
import requests

from harness import (
    BINARY, ROOT, event_of_size, hooks_path, sign_standard, sign_v1, version, wait_until,
    waybill,
)


def expect_failure(done, code):
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr != ""


# The program as a whole


def test_version():
    assert re.match(r"\d+\.\d+", version())


@pytest.mark.parametrize(
    "args",
    [
        (), ("fly",), ("--fly",), ("serve", "--fly"), ("serve", "--listen"), ("serve", "stray"),
        ("send",), ("send", "s1"), ("send", "s1", "message", "{}", "stray"), ("send", "--fly"),
        ("listen", "--port"), ("listen", "--port", "x"), ("listen", "--port", "65536"),
        ("listen", "--status", "99"), ("listen", "--delivery", "stop"), ("listen", "stray"), ("listen", "--public-key", "x"), ("check-config", "--fly"),
        ("version", "stray"), ("source",), ("source", "paint"), ("source", "add"),
        ("source", "add", "--name", "n", "stray"), ("source", "list", "stray"),
        ("source", "list", "--name", "n"), ("source", "show"), ("source", "show", "../x"),
        ("source", "remove", "1"), ("source", "rotate", "--fly"),
    ],
)
def test_wrong_usage_is_status_2(args):
    expect_failure(waybill(*args), 2)


# serve


def test_serve_refuses_other_addresses_without_a_token(tmp_path):
    done = waybill("serve", "--listen", "0.0.0.0:0", "--data", tmp_path / "data")
    expect_failure(done, 1)
    assert "token" in done.stderr.lower()


def test_serve_refuses_an_address_that_is_taken(gateway, tmp_path):
    taken = gateway.url.removeprefix("http://")
    done = waybill("serve", "--listen", taken, "--data", tmp_path / "data")
    expect_failure(done, 1)
    assert taken in done.stderr


@pytest.mark.parametrize(
    "flag, value",
    [
        ("--timeout-ms", "soon"), ("--retry-schedule", "5s,soon"),
        ("--allow-cidr", "127.0.0.1/33"), ("--listen", "nowhere"), ("--log-level", "loud"),
        ("--max-body-bytes", "-1"),
    ],
)
def test_serve_refuses_a_bad_setting_by_its_name(tmp_path, flag, value):
    done = waybill("serve", "--data", tmp_path / "data", flag, value)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert flag[2:] in done.stderr.replace("_", "-")


def test_serve_listens_on_several_addresses(make_gateway):
    gateway = make_gateway(listen=["127.0.0.1:0", "127.0.0.2:0"])
    lines = [gateway.process.line(n) for n in range(2)]
    urls = [line.removeprefix("waybill ready on ") for line in lines]
    assert urls[0].startswith("http://127.0.0.1:") and urls[1].startswith("http://127.0.0.2:")
    for url in urls:
        assert requests.get(url + "/livez", timeout=10).status_code == 200


def takes(gateway, total):
    """Whether an event of `total` bytes is taken."""
    answer = gateway.api("POST", "/sessions/s1/events", body=event_of_size(total))
    assert answer.status_code in (202, 413)
    return answer.status_code == 202


def test_settings_by_file_environment_and_flag_in_rising_precedence(make_gateway, tmp_path):
    config = tmp_path / "waybill.conf"
    config.write_text("# a comment\n\nmax_body_bytes = 2000\n")
    env = {"WAYBILL_MAX_BODY_BYTES": "3000"}
    gateways = [
        make_gateway(config=config),
        make_gateway(config=config, env=env),
        make_gateway(config=config, env=env, max_body_bytes=4000),
    ]
    for gateway, limit in zip(gateways, [2000, 3000, 4000]):
        assert takes(gateway, limit) and not takes(gateway, limit + 1)


def test_token_of_the_file_gives_way_to_the_environments(make_gateway, tmp_path):
    config = tmp_path / "waybill.conf"
    config.write_text("token = of-the-file\n")
    by_file = make_gateway(config=config, token=None)
    assert by_file.api("GET", hooks_path("s1"), token="of-the-file").status_code == 200
    by_environment = make_gateway(config=config)
    assert by_environment.api("GET", hooks_path("s1"), token="of-the-file").status_code == 401
    assert by_environment.api("GET", hooks_path("s1")).status_code == 200


# check-config

GOOD_CONFIG = """\
# a setting of each kind
listen = 127.0.0.1:8080
data = /var/lib/waybill
allow_cidr = 10.0.0.0/8
retry_schedule = 5s,30s,2m,2h,5d
timeout_ms = 5000
max_body_bytes = 1048576
head_timeout_ms = 10000
drain_timeout_ms = 10000
log_level = info
"""


def check_config(tmp_path, text):
    path = tmp_path / "waybill.conf"
    path.write_text(text)
    return path, waybill("check-config", "-c", path)


@pytest.mark.parametrize("text", [GOOD_CONFIG, "", "# nothing\n", "\n\ntimeout_ms=5000"])
def test_good_config_is_ok(tmp_path, text):
    own = text.replace("/var/lib/waybill", str(tmp_path / "data"))  # not root's alone
    path, done = check_config(tmp_path, own)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: ok\n", "")


def test_shipped_config_is_ok():
    path = ROOT / "etc" / "waybill.conf"
    assert waybill("check-config", "-c", path).stdout == f"{path}: ok\n"


@pytest.mark.parametrize(
    "line, key, allowed",
    [
        ("colour = red", "colour", ""),
        ("Timeout_ms = 5000", "Timeout_ms", ""),
        ("timeout_ms = soon", "timeout_ms", r"\d"),
        ("timeout_ms = 99", "timeout_ms", "100"),
        ("timeout_ms = 30001", "timeout_ms", "30000"),
        ("timeout_ms =", "timeout_ms", r"\d"),
        ("retry_schedule = 5s,soon", "retry_schedule", "30s|5s|300ms"),
        ("allow_cidr = 10.0.0.0/33", "allow_cidr", "/"),
        ("listen = nowhere", "listen", ":"),
        ("log_level = loud", "log_level", "info"),
        ("max_body_bytes = -1", "max_body_bytes", r"\d"),
    ],
)
def test_bad_line_is_named_with_what_is_allowed(tmp_path, line, key, allowed):
    path, done = check_config(tmp_path, f"# first\nlog_level = info\n{line}\n")
    expect_failure(done, 1)
    prefix = f"{path}:3: {key}: "
    assert done.stderr.startswith(prefix)
    assert re.search(allowed, done.stderr[len(prefix):])


def test_line_that_is_no_setting_is_named(tmp_path):
    path, done = check_config(tmp_path, "log_level = info\nwhat is this\n")
    expect_failure(done, 1)
    assert done.stderr.startswith(f"{path}:2: ")


def test_config_that_is_not_there_is_an_error(tmp_path):
    path = tmp_path / "nowhere.conf"
    expect_failure(waybill("check-config", "-c", path), 1)
    done = waybill("serve", "-c", path, "--data", tmp_path / "data")
    expect_failure(done, 1)
    assert str(path) in done.stderr


@pytest.mark.parametrize("authorities", [None, "", "-----BEGIN CERTIFICATE-----\n"])
def test_authorities_are_checked_before_anything_is_sent(tmp_path, authorities):
    path = tmp_path / "ca.pem"
    if authorities is not None:
        path.write_text(authorities)
    checked = waybill("check-config", "--ca-file", path)
    served = waybill("serve", "--ca-file", path, "--data", tmp_path / "data")
    for done in (checked, served):
        expect_failure(done, 1)
        assert f"ca_file: {path}: " in done.stderr


def test_serve_names_a_bad_line_as_check_config_does(tmp_path):
    path, checked = check_config(tmp_path, "timeout_ms = soon\n")
    served = waybill("serve", "-c", path, "--data", tmp_path / "data")
    expect_failure(served, 1)
    assert checked.stderr.strip() in served.stderr


# send


def send(gateway, *args, **env):
    return waybill(
        "send", *args, env={"WAYBILL_URL": gateway.url, "WAYBILL_TOKEN": gateway.token, **env}
    )


def test_send_publishes_and_prints_the_answer(gateway, receiver):
    gateway.register("s1", receiver.url())
    done = send(gateway, "s1", "message", '{"text":"\u00e9","n":1.0}')
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert (answer["session_id"], answer["event"], answer["deliveries"]) == ("s1", "message", 1)
    (request,) = receiver.wait_for(1)
    assert request.id == answer["id"]
    assert request.body.endswith('"data":{"text":"\u00e9","n":1}}'.encode())


def test_send_without_data_sends_an_empty_object(gateway, receiver):
    gateway.register("s1", receiver.url())
    assert send(gateway, "s1", "message").returncode == 0
    assert receiver.wait_for(1)[0].json()["data"] == {}


def test_send_takes_url_and_token_by_flag(gateway):
    done = waybill(
        "send", "--url", gateway.url, "--token", gateway.token, "s1", "message",
        env={"WAYBILL_URL": "http://127.0.0.1:9", "WAYBILL_TOKEN": "wrong"},
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["session_id"] == "s1"


@pytest.mark.parametrize(
    "args, env, words",
    [
        (("s1", "all"), {}, "all"),
        (("s1", "message"), {"WAYBILL_TOKEN": "wrong"}, "401|nauthorized|token"),
        (("s1", "message"), {"WAYBILL_URL": "http://127.0.0.1:9"}, "connect"),
    ],
)
def test_send_that_fails_is_status_1(gateway, args, env, words):
    done = send(gateway, *args, **env)
    expect_failure(done, 1)
    assert re.search(words, done.stderr)


# source


def source(gateway, *args, **env):
    env = {"WAYBILL_URL": gateway.url, "WAYBILL_TOKEN": gateway.token, **env}
    return waybill("source", *args, env=env)


def rows(done):
    """What is printed of one source, by its titles."""
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.endswith(".")]
    return {line[:16].strip(): line[16:] for line in lines}


def test_source_add_prints_what_is_to_be_pasted(gateway):
    done = source(gateway, "add", "--preset", "waha", "--name", "Loja S\u00e3o Paulo",
                  "--session", "loja")
    shown = rows(done)
    assert shown["name"] == "Loja S\u00e3o Paulo"
    assert (shown["preset"], shown["session"]) == ("waha", "loja")
    assert done.stdout.endswith("The secret is not shown again.\n")
    body = b'{"event":"message","id":"1"}'
    right = hmac.new(shown["secret"].encode(), body, "sha512").hexdigest()
    answer = requests.post(shown["url"], data=body, headers={"X-Webhook-Hmac": right})
    assert answer.status_code == 200, answer.text
    assert answer.json()["session_id"] == "loja"
    again = rows(source(gateway, "show", shown["id"]))
    assert (again["events"], again["url"]) == ("1", shown["url"])
    assert "secret" not in again and shown["secret"] not in str(again)


def test_source_add_takes_what_the_sender_has(gateway):
    done = source(gateway, "add", "--preset", "meta", "--name", "cloud", "--secret", "app secret",
                  "--verify-token", "of my choice")
    shown = rows(done)
    assert shown["verify_token"] == "of my choice"
    assert "secret" not in shown and "app secret" not in done.stdout
    query = {"hub.mode": "subscribe", "hub.verify_token": "of my choice", "hub.challenge": "77"}
    assert requests.get(shown["url"], params=query).text == "77"
    right = "sha256=" + hmac.new(b"app secret", b"{}", "sha256").hexdigest()
    assert requests.post(shown["url"], data=b"{}", headers={"X-Hub-Signature-256": right}).ok


def test_source_add_of_raw_bodies(gateway):
    shown = rows(source(gateway, "add", "--preset", "wuzapi", "--name", "raw", "--body", "raw",
                        "--raw-headers", "x-hmac-signature, X-Other"))
    assert shown["body"] == "raw"
    assert json.loads(shown["raw_headers"]) == ["x-hmac-signature", "X-Other"]
    refused = source(gateway, "add", "--preset", "wuzapi", "--name", "raw", "--body", "bytes")
    assert refused.returncode == 1
    assert "body" in refused.stderr


def test_source_list_has_all_and_why_the_last_was_refused(gateway):
    names = [f"n{n}" for n in range(3)] + ['quote " and \\', "two\nlines\u202e"]
    made = [gateway.api("POST", "/sources", json={"name": name, "preset": "github"}).json()
            for name in names]
    assert requests.post(gateway.url + made[1]["path"], data=b"{}").status_code == 401
    done = source(gateway, "list")
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    assert title.split() == ["ID", "PRESET", "EVENTS", "MISSED", "REFUSED", "LAST", "NAME"]
    at = title.index("NAME")
    assert [line[:36] for line in lines] == [one["id"] for one in made]
    assert [line[at:] for line in lines] == [
        "n0", "n1 (the header with the proof is missing)", "n2", 'quote " and \\',
        "two\\nlines\\u202e"]
    assert lines[1].split()[1:5] == ["github", "0", "0", "1"]


def test_source_list_goes_on_behind_a_page(gateway):
    settings = {"verify": {"type": "none"}, "drop": ["/" + "x" * 500] * 16}
    for n in range(130):  # a page ends behind 1 MiB
        assert gateway.api("POST", "/sources", json={"name": f"n{n}", **settings}).ok
    assert gateway.api("GET", "/sources").json()["next_cursor"]
    lines = source(gateway, "list").stdout.splitlines()[1:]
    assert [line.split()[-1] for line in lines] == [f"n{n}" for n in range(130)]


def test_source_rotate_and_remove(gateway):
    made = rows(source(gateway, "add", "--name", "n", "--preset", "evolution"))
    rotated = rows(source(gateway, "rotate", made["id"]))
    assert rotated["url"] != made["url"]
    assert requests.post(made["url"], data=b"{}").status_code == 404
    assert requests.post(rotated["url"], data=b"{}").status_code == 200
    done = source(gateway, "remove", made["id"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "Source removed\n", "")
    for args in (("show", made["id"]), ("rotate", made["id"]), ("remove", made["id"])):
        done = source(gateway, *args)
        expect_failure(done, 1)
        assert "404" in done.stderr and f"waybill source {args[0]}: " in done.stderr


@pytest.mark.parametrize(
    "args, env, words",
    [
        (("add", "--name", "n", "--preset", "nobody"), {}, "one of waxum waxum-nats waha"),
        (("add", "--name", "n", "--preset", "stripe"), {}, "verify.secrets"),
        (("list",), {"WAYBILL_TOKEN": "wrong"}, "401"),
        (("list",), {"WAYBILL_URL": "http://127.0.0.1:9"}, "connect"),
    ],
)
def test_source_that_fails_is_status_1(gateway, args, env, words):
    done = source(gateway, *args, **env)
    expect_failure(done, 1)
    assert words in done.stderr


# listen


@pytest.fixture
def start_listen(start_process):
    def start(*args):
        process = start_process(BINARY, "listen", "--port", "0", *args)
        match = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+/)", process.line(0))
        assert match, process.lines[0]
        return process, match.group(1)

    return start


def wait_output(process, words):
    """Waits until `words` are in what the process has printed behind its first line."""
    wait_until(
        lambda: any(words in line for line in process.lines[1:]), what=f"output of {words!r}"
    )


@pytest.mark.parametrize("signature", ["v1", "v2"])
def test_listen_verifies_real_deliveries(gateway, start_listen, signature):
    process, url = start_listen("--secret", "s3cret")
    gateway.register("s1", url + "hook", secret="s3cret", signature=signature)
    event = gateway.publish("s1", data={"text": "hello"})
    wait_output(process, "signature ok")
    output = "\n".join(process.lines)
    assert "signature WRONG" not in output
    for words in ("message", event["id"], "hello"):
        assert words in output


@pytest.mark.parametrize("way", ["get", "post"])
@pytest.mark.parametrize("secret, state", [("s3cret", "verified"), ("S3cret", "failed")])
def test_listen_repeats_challenges_that_are_signed(gateway, start_listen, way, secret, state):
    process, url = start_listen("--secret", secret)
    hook = gateway.register("s1", url + "hook?a=1", secret="s3cret", verify=way,
                            signature=["v1", "rfc9421"])
    wait_output(process, "signature ")
    wait_until(lambda: gateway.webhook("s1", hook["id"])["ownership"]["state"] == state, what=state)
    assert ("   challenge repeated" in process.lines) == (state == "verified")


def test_listen_answers_as_it_is_told(make_gateway, start_listen):
    gateway = make_gateway(retry_schedule="20ms")
    _, url = start_listen("--body", '{"ok":false}')
    gateway.register("s1", url, success={"answer": {"path": "/ok", "equals": True}})
    _, url = start_listen("--status", "400", "--delivery", "abort")
    gateway.register("s2", url)
    for session, attempts, why in (("s1", 2, "success.answer"), ("s2", 1, "abort")):
        gateway.publish(session)
        wait_until(lambda s=session: gateway.dlq(s), what="the dead letter")
        assert gateway.dlq(session)[0]["attempts"] == attempts
        assert why in gateway.dlq(session)[0]["last_error"]


@pytest.mark.parametrize("signature", [
    "ed25519", "rfc9421", ["v1", "ed25519", "rfc9421"], ["v2", "rfc9421"],
])
def test_listen_verifies_all_schemes(gateway, start_listen, signature):
    """By a secret, by a public key, by both; and tells those of others."""
    pair = "whsk_" + "A" * 42 + "E="
    hook = gateway.register(
        "s0", "http://127.0.0.1:9/", secret="s3cret", private_key=pair, signature=signature
    )
    secret, key = ("--secret", "s3cret"), ("--public-key", hook["public_key"])
    other = ("--public-key", "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    for n, (args, verdict) in enumerate([
        (secret, "ok"), (key, "ok"), (secret + key, "ok"), (secret + other, "WRONG"),
        (other, "WRONG"), (("--secret", "S3cret") + key, "WRONG"),
    ]):
        process, url = start_listen(*args)
        gateway.register(
            f"s{n + 1}", url + "a?b=c", secret="s3cret", private_key=pair, signature=signature
        )
        gateway.publish(f"s{n + 1}")
        wait_output(process, "signature ")
        assert f"   signature {verdict}" in process.lines, args
    process, url = start_listen(*key)  # what is signed by a secret alone proves nothing to it
    gateway.register("s9", url, secret="s3cret")
    gateway.publish("s9")
    wait_output(process, "signature WRONG")


@pytest.mark.parametrize("secret", ["s3cret2", "S3cret"])
def test_listen_tells_a_wrong_signature(gateway, start_listen, secret):
    process, url = start_listen("--secret", "s3cret")
    gateway.register("s1", url, secret=secret)
    gateway.publish("s1")
    wait_output(process, "signature WRONG")
    assert "signature ok" not in "\n".join(process.lines)


def post(url, body, headers):
    return requests.post(
        url, data=body, headers={"Content-Type": "application/json", **headers}, timeout=10
    )


SIGNED = {
    "X-Webhook-Id": "e1",
    "X-Webhook-Timestamp": "5",
    "X-Webhook-Signature": sign_v1("s3cret", b"{}"),
    "webhook-id": "e1",
    "webhook-timestamp": "5",
    "webhook-signature": sign_standard("s3cret", "e1", "5", b"{}"),
}


@pytest.mark.parametrize(
    "changed, words",
    [
        ({}, "signature ok"),
        ({"X-Webhook-Signature": sign_v1("s3cret", b"{} ")}, "signature WRONG"),
        ({"X-Webhook-Signature": SIGNED["X-Webhook-Signature"][:-1]}, "signature WRONG"),
        ({"X-Webhook-Signature": ""}, "signature WRONG"),
        ({"X-Webhook-Signature": None}, "signature WRONG"),
        ({"webhook-timestamp": "6"}, "signature WRONG"),
        ({"webhook-id": "e2"}, "signature WRONG"),
        (dict.fromkeys(SIGNED), "signature WRONG"),
    ],
)
def test_listen_judges_every_request(start_listen, changed, words):
    process, url = start_listen("--secret", "s3cret")
    headers = {n: v for n, v in {**SIGNED, **changed}.items() if v is not None}
    assert post(url, b"{}", headers).status_code == 200
    wait_output(process, "signature ")
    assert [line.strip() for line in process.lines if "signature " in line] == [words]


@pytest.mark.parametrize("code", [204, 410, 500])
def test_listen_answers_the_status_asked_for(start_listen, code):
    _, url = start_listen("--status", str(code))
    for _ in range(2):
        assert post(url, b"{}", {}).status_code == code


def test_listen_waits_as_asked(start_listen):
    _, url = start_listen("--delay", "300")
    before = time.monotonic()
    assert post(url, b"{}", {}).status_code == 200
    assert time.monotonic() - before >= 0.25  # its loop's clock may be a little behind
