"""What was sent can be seen: headers of both sides, TLS; as a command; and whether a secret signed it."""

import json
import ssl
import subprocess

import pytest
from cryptography import x509

from harness import expect_error, hooks_path, reset, status, wait_until
from test_deliveries_api import deliveries, settled
from test_raw import raw_sender

SECRET = "s3cret-of-the-hook"
HIDDEN = "********"


def path_of(delivery):
    return f"/sessions/{delivery['session_id']}/deliveries/{delivery['id']}"


def shown(gateway, delivery):
    answer = gateway.api("GET", path_of(delivery))
    assert answer.status_code == 200, answer.text
    return answer.json()


def command(gateway, delivery, query=""):
    answer = gateway.api("GET", f"{path_of(delivery)}/curl{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    return answer.text


def verify(gateway, delivery, **asked):
    answer = gateway.api("POST", f"{path_of(delivery)}/verify-signature", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pairs(headers):
    return [(header["name"], header["value"]) for header in headers]


def run(text, tmp_path):
    """Runs the command as one does who pastes it."""
    done = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr


def attempts_of(gateway, published, code="delivered"):
    return shown(gateway, settled(gateway, published["id"], code))["attempts"]


# What is shown


def test_headers_of_both_sides(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    answer = [("X-Reason", "bad signature"), ("Set-Cookie", "sid=planted-1"),
              ("Set-Cookie", "b=planted-2"), ("X-Echo", f"you sent {SECRET} and planted-key-1")]
    receiver = make_receiver(status(401, b"no", headers=answer), 200)
    gateway.register("s1", receiver.url(), secret=SECRET, signature="v2",
                     headers={"X-Api-Key": "planted-key-1", "Authorization": "Basic planted-3"})
    failed, good = attempts_of(gateway, gateway.publish("s1"))
    sent, second = receiver.wait_for(2)
    got = pairs(failed["request_headers"])
    hidden = {"X-Api-Key", "Authorization"}
    added = {"Host", "User-Agent", "Accept", "Content-Length"}  # by HTTP itself
    assert dict(got) == {
        name: HIDDEN if name in hidden else value for name, value in sent.headers
        if name not in added}
    assert pairs(failed["response_headers"])[:4] == [
        ("X-Reason", "bad signature"), ("Set-Cookie", HIDDEN), ("Set-Cookie", HIDDEN),
        ("X-Echo", f"you sent {HIDDEN} and {HIDDEN}")]
    assert failed["http_version"] == good["http_version"] == "1.1"
    assert failed["tls_version"] is None and failed["certificate"] is None
    assert dict(pairs(good["request_headers"]))["X-Webhook-Attempt"] == "2"
    assert dict(pairs(good["request_headers"]))["X-Webhook-Signature"] == second.header(
        "X-Webhook-Signature")
    assert "planted" not in json.dumps([failed, good]) and SECRET not in json.dumps(failed)


def test_lists_have_no_headers(gateway, receiver):
    gateway.register("s1", receiver.url())
    delivery = settled(gateway, gateway.publish("s1")["id"])
    listed = deliveries(gateway, "s1")["deliveries"][0]["attempts"][0]
    assert "request_headers" not in listed and "request_headers" not in delivery["attempts"][0]
    assert set(shown(gateway, delivery)["attempts"][0]) - set(listed) == {
        "http_version", "tls_version", "certificate", "request_headers", "response_headers"}


def test_of_many_that_succeed_one_is_kept_and_of_those_that_fail_each(
    make_gateway, make_receiver
):
    gateway = make_gateway(retry_schedule="20ms")
    receiver = make_receiver(200, 200, 200, 500, 200)
    gateway.register("s1", receiver.url(), ordering="fifo")
    kept = []
    for _ in range(4):
        kept += attempts_of(gateway, gateway.publish("s1"))
    assert [a["status"] for a in kept] == [200, 200, 200, 500, 200]
    assert [a["request_headers"] is not None for a in kept] == [True, False, False, True, True]
    assert kept[1]["response_headers"] is None and kept[1]["http_version"] is None


def test_no_answer_no_headers_of_it(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    gateway.register("s1", make_receiver(reset(), 200).url())
    failed = attempts_of(gateway, gateway.publish("s1"))[0]
    assert failed["response_headers"] is None and failed["http_version"] is None
    assert ("Content-Type", "application/json") in pairs(failed["request_headers"])


def test_headers_are_bounded(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    many = [(f"X-{n}", "v" * 100) for n in range(200)]
    receiver = make_receiver(status(500, headers=[("X-Long", "l" * 5000)] + many),
                             status(200, headers=many))
    gateway.register("s1", receiver.url())
    first, second = attempts_of(gateway, gateway.publish("s1"))
    assert first["response_headers"] == []  # the first one is over it alone
    kept = pairs(second["response_headers"])
    assert 15 <= len(kept) < 25 and kept == many[: len(kept)]


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_tls_and_the_certificate(make_gateway, make_receiver, authority, tmp_path, scheme):
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    gateway = make_gateway(ca_file=ca_file, retry_schedule="20ms,20ms")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = authority.issue_cert("127.0.0.1", common_name="hook, of shop")
    issued.configure_cert(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    receiver = make_receiver(500, 500, 200, tls=context)
    gateway.register("s1", receiver.url().replace("https", scheme))
    for attempt in attempts_of(gateway, gateway.publish("s1")):  # the second on the same connection
        assert attempt["tls_version"] == "TLSv1.2"
        certificate = attempt["certificate"]
        assert "CN=hook\\, of shop" in certificate["subject"]
        x = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
        ends = x.not_valid_after_utc if hasattr(x, "not_valid_after_utc") else x.not_valid_after
        assert certificate["expires_at"].startswith(ends.strftime("%Y-%m-%dT%H:%M:%S"))


# As a command


@pytest.mark.parametrize("text", [
    "it's \"quoted\" $HOME `id` \\ !x %s", "two\nlines", "'", "@/etc/passwd", "caf\u00e9 \U0001f600"])
def test_the_command_sends_the_same_again(gateway, receiver, tmp_path, text):
    gateway.register("s1", receiver.url("/in?a=[1]&b='x'"), secret=SECRET,
                     headers={"X-Api-Key": "planted-key-1", "X-Empty": ""})
    delivery = settled(gateway, gateway.publish("s1", data={"text": text})["id"])
    run(command(gateway, delivery), tmp_path)
    first, again = receiver.wait_for(2)
    assert (again.method, again.path, again.body) == ("POST", first.path, first.body)
    for name, value in first.headers:
        if name not in ("User-Agent", "Accept"):
            assert again.header(name) == (HIDDEN if name in ("X-Api-Key", "X-Empty") else value)


def test_the_command_of_bytes_that_are_no_text(gateway, receiver, tmp_path):
    body = bytes(range(256)) * 2 + b"%s\\n'"
    gateway.register("s", receiver.url())
    raw_sender(gateway).send(body, kind="application/x-thing")
    receiver.wait_for(1)
    (delivery,) = wait_until(lambda: [
        d for d in deliveries(gateway, "s")["deliveries"] if d["status"] == "delivered"])
    text = command(gateway, delivery)
    assert text.isascii() and "\0" not in text
    run(text, tmp_path)
    assert [r.body for r in receiver.wait_for(2)] == [body, body]


def test_a_long_body_is_read_from_a_file(gateway, receiver, tmp_path):
    gateway.register("s1", receiver.url())
    delivery = settled(gateway, gateway.publish("s1", data={"text": "x" * 70000})["id"])
    first = receiver.wait_for(1)[0]
    (tmp_path / "body").write_bytes(first.body)
    text = command(gateway, delivery)
    assert len(text) < 2000
    run(text, tmp_path)
    assert receiver.wait_for(2)[1].body == first.body


def test_each_attempt_has_its_command(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="20ms")
    gateway.register("s1", make_receiver(500, 200).url())
    delivery = settled(gateway, gateway.publish("s1")["id"])
    assert "X-Webhook-Attempt: 1" in command(gateway, delivery, "?attempt=1")
    assert "X-Webhook-Attempt: 2" in command(gateway, delivery)
    path = f"{path_of(delivery)}/curl"
    expect_error(gateway.api("GET", f"{path}?attempt=3"), 404, field="attempt")
    expect_error(gateway.api("GET", f"{path}?attempt=0"), 400, field="attempt")


# Whether a secret signed it


@pytest.mark.parametrize("payload", ["envelope", "data", "cloudevents"])
@pytest.mark.parametrize("scheme", ["v1", "v2", "rfc9421"])
def test_what_does_not_fit_is_named(gateway, receiver, scheme, payload):
    gateway.register("s1", receiver.url(), secret=SECRET, signature=scheme, payload=payload)
    delivery = settled(gateway, gateway.publish("s1", data={"n": 1})["id"])
    came = receiver.wait_for(1)[0]
    body = came.body.decode()
    right = verify(gateway, delivery, secret=SECRET)
    assert (right["valid"], right["fault"], right["attempt"]) == (True, None, 1)
    assert {s["scheme"] for s in right["signatures"]} == {scheme, "standard"}
    assert all(s["valid"] for s in right["signatures"])
    assert verify(gateway, delivery, secret=SECRET, body=body,
                  timestamp=came.header("X-Webhook-Timestamp"))["fault"] is None
    wrong = verify(gateway, delivery, secret=SECRET + "x", body=body + " ")
    assert (wrong["valid"], wrong["fault"]) == (False, "secret")
    assert not any(s["valid"] for s in wrong["signatures"])
    assert verify(gateway, delivery, secret=SECRET, body=body + " ")["fault"] == "body"
    assert verify(gateway, delivery, secret=SECRET, body=body, timestamp="1")["fault"] == "timestamp"


def test_a_key_pair_is_checked_by_its_public_key(gateway, receiver):
    webhook = gateway.register("s1", receiver.url(), signature=["ed25519", "rfc9421"])
    other = gateway.register("s2", receiver.url(), signature="ed25519")
    delivery = settled(gateway, gateway.publish("s1")["id"])
    right = verify(gateway, delivery, secret=webhook["public_key"])
    assert right["valid"] and [s["scheme"] for s in right["signatures"]] == ["ed25519", "rfc9421"]
    assert verify(gateway, delivery, secret=other["public_key"])["fault"] == "secret"


def test_what_is_not_signed_is_said_to_be(gateway, receiver):
    gateway.register("s1", receiver.url())
    delivery = settled(gateway, gateway.publish("s1")["id"])
    assert verify(gateway, delivery, secret=SECRET)["fault"] == "unsigned"


def test_during_a_rotation_the_older_secret_fits_in_part(gateway, receiver):
    webhook = gateway.register("s1", receiver.url(), secret=SECRET)
    answer = gateway.api("POST", hooks_path("s1", webhook["id"], "rotate-secret"),
                         json={"secret": "another-secret", "overlap_seconds": 3600})
    assert answer.status_code == 200, answer.text
    delivery = settled(gateway, gateway.publish("s1")["id"])
    assert verify(gateway, delivery, secret="another-secret")["valid"]
    older = verify(gateway, delivery, secret=SECRET)
    assert (older["valid"], older["fault"]) == (False, "secret")
    assert {s["scheme"]: s["valid"] for s in older["signatures"]} == {"v1": False, "standard": True}


def test_bad_questions_are_refused(gateway, receiver):
    gateway.register("s1", receiver.url(), secret=SECRET)
    delivery = settled(gateway, gateway.publish("s1")["id"])
    path = f"{path_of(delivery)}/verify-signature"
    for asked, field in [({}, "secret"), ({"secret": ""}, "secret"), ({"secret": 1}, "secret"),
                         ({"secret": " x"}, "secret"), ({"secret": "whpk_x"}, "secret"),
                         ({"secret": "x", "attempt": 0}, "attempt"),
                         ({"secret": "x", "attempt": "1"}, "attempt"),
                         ({"secret": "x", "body": 1}, "body"), ({"secret": "x", "more": 1}, "more")]:
        expect_error(gateway.api("POST", path, json=asked), 400, field=field)
    expect_error(gateway.api("POST", path, json=[]), 400)
    expect_error(gateway.api("POST", path, json={"secret": "x", "attempt": 2}), 404, field="attempt")
    elsewhere = path.replace("/s1/", "/s2/")
    expect_error(gateway.api("POST", elsewhere, json={"secret": "x"}), 404)
    expect_error(gateway.api("GET", elsewhere.replace("verify-signature", "curl")), 404)


def test_the_pasted_secret_is_nowhere(make_gateway, receiver):
    gateway = make_gateway(log_level="debug")
    gateway.register("s1", receiver.url(), secret=SECRET, headers={"X-Key": "planted-header"})
    delivery = settled(gateway, gateway.publish("s1")["id"])
    pasted = "planted-secret-of-nobody"
    answer = gateway.api("POST", f"{path_of(delivery)}/verify-signature", json={"secret": pasted})
    assert answer.status_code == 200 and pasted not in answer.text
    gateway.stop()
    assert pasted not in gateway.log_text()
    for file in (gateway.directory / "data").rglob("*"):
        if file.is_file():
            assert pasted.encode() not in file.read_bytes(), file
