"""SIGHUP: a new configuration for the running server, and nothing dropped for it."""

import shutil
import signal
import socket
import ssl

import pytest
import trustme

from harness import expect_error, wait_until


@pytest.fixture
def make_configured(make_gateway, tmp_path):
    """Starts a gateway with a file of settings, and gives both."""

    def make(*lines, **options):
        path = tmp_path / "waybill.conf"
        path.write_text("\n".join(lines) + "\n")
        return make_gateway(config=path, retry_schedule=None, **options), path

    return make


def reload(gateway, path=None, *lines):
    """Writes `lines` to the file, sends the signal, waits for what comes of it."""
    if path:
        path.write_text("\n".join(lines) + "\n")
    seen = len(gateway.log_text())
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in gateway.log_text()[seen:], what="a reload")
    return gateway.log_text()[seen:]


def test_tokens(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("first-token\nscoped-token s1\n")
    gateway = make_gateway(token=None, tokens_file=tokens)
    assert gateway.api("GET", "/sessions/s1/webhooks", token="first-token").ok
    assert gateway.api("GET", "/sessions/s1/webhooks", token="scoped-token").ok
    tokens.write_text("second-token\nscoped-token s2\n")
    assert "tokens=2" in reload(gateway)
    expect_error(gateway.api("GET", "/sessions/s1/webhooks", token="first-token"), 401)
    expect_error(gateway.api("GET", "/sessions/s1/webhooks", token="scoped-token"), 403)
    assert gateway.api("GET", "/sessions/s2/webhooks", token="scoped-token").ok
    assert gateway.api("GET", "/sessions/s1/webhooks", token="second-token").ok


def test_open_connections_go_on(make_configured):
    gateway, path = make_configured("max_body_bytes = 1000")
    request = (
        "POST /api/v1/sessions/s1/events HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n"
        'Content-Length: 19\r\n\r\n{"event":"message"}'
    ).encode()
    with gateway.connect() as idle, gateway.connect() as midway:
        idle.send(request)
        assert idle.reply().status_code == 202
        midway.send(request[:-5])
        reload(gateway, path, "max_body_bytes = 2000")
        idle.send(request)
        assert idle.reply().status_code == 202
        midway.send(request[-5:])
        assert midway.reply().status_code == 202


def test_settings_take_effect(make_configured, make_receiver):
    gateway, path = make_configured(
        "retry_schedule = 1h", "max_body_bytes = 1000", "log_level = warn"
    )
    receiver = make_receiver(500, 500, 200)
    body = b'{"event":"custom.thing","data":"%s"}' % (b"x" * 1500)
    expect_error(gateway.api("POST", "/sessions/s1/events", body=body), 413)
    gateway.register("s1", receiver.url())
    gateway.publish("s1")
    receiver.wait_for(1)
    answer = gateway.api(
        "POST", "/sessions/s1/webhooks", json={"url": receiver.url(), "events": ["my.own"]}
    )
    expect_error(answer, 400, "events[0]")
    log = reload(
        gateway,
        path,
        "retry_schedule = 50ms,50ms",
        "max_body_bytes = 2000",
        "extra_events = my.own",
        "log_level = debug",
        "log_format = json",
    )
    assert '"msg":"configuration reloaded"' in log
    assert gateway.api("POST", "/sessions/s1/events", body=body).status_code == 202
    gateway.publish("s1")
    receiver.wait_for(3)  # tried again by the new schedule
    gateway.register("s2", receiver.url(), events=["my.own"])
    wait_until(lambda: '"msg":"delivered"' in gateway.log_text(), what="a line of debugging")


def served_certificate(gateway):
    """The certificate that a new connection gets, whatever it is worth."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(gateway.address, timeout=10) as plain:
        with context.wrap_socket(plain) as tls:
            return tls.getpeercert(binary_form=True)


def test_certificates(make_gateway, tls_options, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shutil.copy(tls_options["tls_certificate"], certificate)
    shutil.copy(tls_options["tls_key"], key)
    gateway = make_gateway(**{**tls_options, "tls_certificate": certificate, "tls_key": key})
    before = served_certificate(gateway)
    renewed = trustme.CA().issue_cert("127.0.0.1")
    with gateway.connect() as open_one:
        renewed.private_key_pem.write_to_path(key)
        assert "not reloaded" in reload(gateway)  # half of it: the two do not fit
        assert served_certificate(gateway) == before
        renewed.cert_chain_pems[0].write_to_path(certificate)
        assert "configuration reloaded" in reload(gateway)
        assert served_certificate(gateway) != before
        open_one.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert open_one.reply().status_code == 200


@pytest.mark.parametrize(
    "lines, why",
    [
        (["max_body_bytes = much"], "max_body_bytes: must be a size"),
        (["max_body_bytes = 5000", "no_such_setting = 1"], "no_such_setting"),
        (["tokens_file = /nonexistent"], "/nonexistent: cannot be read"),
    ],
)
def test_an_error_changes_nothing(make_configured, lines, why):
    gateway, path = make_configured("max_body_bytes = 1000")
    log = reload(gateway, path, *lines)
    assert 'level=error msg="the configuration was not reloaded"' in log and why in log
    body = b'{"event":"message","data":"%s"}' % (b"x" * 1500)
    expect_error(gateway.api("POST", "/sessions/s1/events", body=body), 413)
    assert gateway.publish("s1")


def test_what_only_a_start_changes(make_configured, tmp_path):
    gateway, path = make_configured("max_in_flight = 10", "max_body_bytes = 1000")
    for _ in range(2):  # each time: it is still not in effect
        log = reload(gateway, path, "max_in_flight = 20", "max_body_bytes = 2000")
        line = 'msg="a changed setting takes effect with the next start" setting=max_in_flight'
        assert log.count("takes effect with the next start") == 1 and line in log
    body = b'{"event":"message","data":"%s"}' % (b"x" * 1500)
    assert gateway.api("POST", "/sessions/s1/events", body=body).status_code == 202


def test_age_of_connections_waits_for_a_start(make_configured):
    gateway, path = make_configured("connection_max_age = 10s")
    for age, waits in (("20s", 1), ("10000ms", 0)):
        log = reload(gateway, path, f"connection_max_age = {age}")
        assert log.count("setting=connection_max_age") == waits


def test_the_last_token_stays_on_open_networks(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("first-token\n")
    gateway = make_gateway(token=None, tokens_file=tokens, listen="0.0.0.0:0")
    tokens.write_text("# none\n")
    assert "holds no token" in reload(gateway)
    expect_error(gateway.api("GET", "/sessions/s1/webhooks", token=""), 401)
    assert gateway.api("GET", "/sessions/s1/webhooks", token="first-token").ok
