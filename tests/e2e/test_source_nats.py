"""
Sources that take a JetStream stream, against the real server: each message becomes its event
once, in order, whatever is killed or lost.
"""

import json
import signal
import threading
import time

import pytest

from harness import Hold, expect_error, wait_until, waybill
from nats_server import NatsServer


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "nats")
    yield server
    server.stop()


def add(gateway, server, status=200, **settings):
    settings = {"type": "nats", "servers": [server.url], "stream": "WA_EVENTS", **settings}
    answer = gateway.api("POST", "/sources", json=settings)
    assert answer.status_code == status, answer.text
    return answer.json()


def show(gateway, source):
    return gateway.api("GET", f"/sources/{source['id']}").json()


def envelope(n, session="loja.da.ana", event="message"):
    return json.dumps({"session_id": session, "event": event, "timestamp": 1700000000 + n,
                       "data": {"n": n}}).encode()


def publish(server, first, last, session="loja.da.ana", event="message"):
    server.client().publish(
        f"wa.events.{session}.{event}",
        [envelope(n, session, event) for n in range(first, last + 1)])


def bodies(receiver):
    """What came, each event once, in the order of their first arrival."""
    seen = {}
    for request in list(receiver.requests):
        seen.setdefault(request.id, json.loads(request.body))
    return list(seen.values())


def numbers(receiver):
    return [body["data"]["n"] for body in bodies(receiver)]


def wait_numbers(receiver, count, timeout=20):
    wait_until(lambda: len(numbers(receiver)) >= count, timeout=timeout, what="the events")
    return numbers(receiver)


def test_waxums_events(gateway, receiver, server):
    """With type, servers and stream alone the mapping is waxum's."""
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    publish(server, 1, 1)
    gateway.register("loja.da.ana", receiver.url(), ordering="fifo")
    source = add(gateway, server)
    assert (source["name"], source["preset"], source["path"]) == ("WA_EVENTS", "waxum-nats", None)
    publish(server, 2, 300)
    # this one alone has no envelope
    server.client().publish("wa.events.loja.da.ana.send_result", [b'{"id":"x","ok":true}'])
    wait_until(lambda: len(bodies(receiver)) == 301, timeout=30, what="all events")
    got = bodies(receiver)
    assert [body["data"]["n"] for body in got[:300]] == list(range(1, 301))
    assert got[0] == json.loads(envelope(1))
    assert got[300]["data"] == {"id": "x", "ok": True}
    assert got[300]["event"] == "send_result"
    shown = show(gateway, source)
    assert shown["connection"]["is_up"] and shown["connection"]["error"] is None
    assert shown["connection"]["sequence"] == 301
    assert shown["received"]["events"] == 301
    assert shown["received"]["missed"] == 0


def test_more_events_than_a_turn_takes(gateway, server):
    """What does not fit comes again: that refuses nothing, and loses nothing."""
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    server.client().publish("wa.events.s.e", [json.dumps({"l": [n] * 6000}).encode()
                                              for n in range(4)])
    source = add(gateway, server, split="/l/*")
    wait_until(lambda: show(gateway, source)["received"]["events"] == 24000, timeout=30,
               what="all events")
    received = show(gateway, source)["received"]
    assert (received["refused"], received["last_refused"]) == (0, None)


def test_kills_in_the_midst(make_gateway, receiver, server):
    """kill -9 at any moment: nothing is lost, nothing comes twice."""
    gateway = make_gateway()
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway.register("loja.da.ana", receiver.url(), ordering="fifo")
    add(gateway, server)
    ended = threading.Event()
    published = 0

    def go_on():
        nonlocal published
        client = server.client()
        while not ended.is_set():
            client.publish("wa.events.loja.da.ana.message",
                           [envelope(n) for n in range(published + 1, published + 6)])
            published += 5
            time.sleep(0.02)

    publisher = threading.Thread(target=go_on)
    publisher.start()
    for n in range(6):
        time.sleep(0.15 + 0.13 * n)
        gateway.kill()
        gateway.start()
    ended.set()
    publisher.join()
    got = wait_numbers(receiver, published, timeout=60)
    assert got == list(range(1, published + 1))
    events = gateway.api("GET", "/sessions").json()["sessions"]
    assert [s["id"] for s in events] == ["loja.da.ana"]


def test_restarts_of_the_server(gateway, receiver, server):
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway.register("s", receiver.url(), ordering="fifo")
    source = add(gateway, server)
    publish(server, 1, 50, "s")
    wait_numbers(receiver, 50)
    server.stop()
    wait_until(lambda: not show(gateway, source)["connection"]["is_up"], what="that it is down")
    assert show(gateway, source)["connection"]["error"]
    server.start()
    publish(server, 51, 100, "s")
    assert wait_numbers(receiver, 100, timeout=60) == list(range(1, 101))


def test_change_and_removal(gateway, receiver, server):
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway.register("s", receiver.url(), ordering="fifo")
    source = add(gateway, server)
    url = f"/sources/{source['id']}"
    publish(server, 1, 20, "s")
    wait_numbers(receiver, 20)
    assert gateway.api("PATCH", url, json={"enabled": False}).status_code == 200
    publish(server, 21, 40, "s")
    assert "connection" not in show(gateway, source)
    gateway.api("PATCH", url, json={"enabled": True, "event": "renamed"})
    assert wait_numbers(receiver, 40) == list(range(1, 41))
    assert {body["event"] for body in bodies(receiver)[20:]} == {"renamed"}
    assert gateway.api("DELETE", url).json()["success"]
    publish(server, 41, 60, "s")
    again = add(gateway, server)  # another source: from the stream's beginning
    got = wait_numbers(receiver, 100)
    assert got[40:] == list(range(1, 61))
    assert again["id"] != source["id"]


def test_begin_at_the_end(gateway, receiver, server):
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    publish(server, 1, 10, "s")
    gateway.register("s", receiver.url())
    source = add(gateway, server, begin="end")
    wait_until(lambda: show(gateway, source)["connection"]["sequence"] == 10, what="its place")
    publish(server, 11, 20, "s")
    assert sorted(wait_numbers(receiver, 10)) == list(range(11, 21))


def test_what_is_no_json_is_taken_too(gateway, receiver, server):
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway.register("s", receiver.url(), ordering="fifo")
    source = add(gateway, server)
    payloads = [b"", b"{", b"\xff\x00", b"17", b"[]"]
    server.client().publish("wa.events.s.odd", payloads)
    wait_until(lambda: len(bodies(receiver)) == len(payloads), what="all of them")
    assert [body["data"] for body in bodies(receiver)] == ["", "{", "�\x00", 17, []]
    assert show(gateway, source)["received"]["events"] == len(payloads)


def test_a_message_that_is_too_large_is_passed_over(make_gateway, receiver, server):
    gateway = make_gateway(max_body_bytes=20000, max_batch_bytes=20000)
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway.register("s", receiver.url(), ordering="fifo")
    source = add(gateway, server)
    publish(server, 1, 3, "s")
    server.client().publish("wa.events.s.message", [b'{"data":"' + b"x" * 30000 + b'"}'])
    publish(server, 4, 6, "s")
    assert wait_numbers(receiver, 6) == [1, 2, 3, 4, 5, 6]
    received = show(gateway, source)["received"]
    assert received["refused"] == 1
    assert "max_body_bytes" in received["last_refused"]


def test_a_session_over_its_limit_waits(make_gateway, receiver, server):
    """Its messages stay in the stream; none is lost, none refused for good."""
    gateway = make_gateway(max_queue_per_session=50)
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway.register("s", receiver.url(), ordering="fifo", timeout_ms=30000)
    hold = Hold()
    receiver.answer(hold)
    source = add(gateway, server)
    publish(server, 1, 200, "s")
    wait_until(lambda: show(gateway, source)["received"]["last_refused"], what="a refusal")
    assert show(gateway, source)["connection"]["sequence"] <= 50
    assert "queue" in show(gateway, source)["received"]["last_refused"]
    hold.release()
    assert wait_numbers(receiver, 200, timeout=60) == list(range(1, 201))


def test_problems(gateway, server, make_gateway, tmp_path):
    for settings, field in (
        ({"servers": []}, "servers"),
        ({"servers": ["http://x"]}, "servers"),
        ({"servers": ["nats://user:pass@x"]}, "servers"),
        ({"stream": "a.b"}, "stream"),
        ({"stream": None}, "stream"),
        ({"subjects": ["a..b"]}, "subjects"),
        ({"session": {"subject": "wa.*"}}, "session.subject"),
        ({"creds": "nothing"}, "creds"),
        ({"seed": "SUABC"}, "seed"),
        ({"ca_pem": "nothing"}, "ca_pem"),
        ({"verify": {"type": "none"}}, "verify"),
    ):
        settings = {"type": "nats", "servers": [server.url], "stream": "S", **settings}
        expect_error(gateway.api("POST", "/sources", json=settings), 400, field)
    expect_error(gateway.api("POST", "/sources", json={
        "name": "n", "verify": {"type": "none"}, "stream": "S"}), 400, "stream")
    path = tmp_path / "tokens"
    path.write_text("token-of-one one\n")
    path.chmod(0o600)
    other = make_gateway(tokens_file=path)
    answer = other.api("POST", "/sources", token="token-of-one", json={
        "type": "nats", "servers": [server.url], "stream": "S", "session": "one"})
    expect_error(answer, 403, "session")


def test_logins_are_masked(make_gateway, receiver, tmp_path):
    server = NatsServer(tmp_path / "nats", "authorization { token: secret-of-the-server }\n")
    try:
        gateway = make_gateway()
        client = server.client(auth_token="secret-of-the-server")
        client.make_stream("WA_EVENTS", "wa.events.>")
        source = add(gateway, server, token="wrong-secret")
        wait_until(lambda: show(gateway, source)["connection"]["error"], what="an error")
        gateway.register("s", receiver.url())
        changed = gateway.api("PATCH", f"/sources/{source['id']}",
                              json={"token": "secret-of-the-server"}).json()
        assert changed["token"] == "********"
        client.publish("wa.events.s.message", [envelope(1, "s")])
        assert wait_numbers(receiver, 1) == [1]
        answer = gateway.api("PATCH", f"/sources/{source['id']}", json={"token": "********"})
        expect_error(answer, 400, "token")
        assert "secret-of-the-server" not in gateway.api("GET", "/sources").text
    finally:
        server.stop()


def test_a_server_that_may_not_be_reached(make_gateway, server):
    """Sources connect where receivers may be, and nowhere else."""
    gateway = make_gateway(allow_cidr="192.0.2.0/24")
    source = add(gateway, server)
    wait_until(lambda: show(gateway, source)["connection"]["error"], what="an error")
    assert "not allowed" in show(gateway, source)["connection"]["error"]


def test_another_stream_is_begun_anew(gateway, receiver, server):
    """A position is one of its stream: of servers or of other settings a change keeps it."""
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    server.client().make_stream("OTHER", "other.>")
    gateway.register("s", receiver.url(), ordering="fifo")
    source = add(gateway, server, session="s")
    url = f"/sources/{source['id']}"
    publish(server, 1, 20, "s")
    wait_numbers(receiver, 20)
    server.client().publish("other.s.message", [envelope(n) for n in range(101, 141)])
    gateway.api("PATCH", url, json={"stream": "OTHER"})
    assert wait_numbers(receiver, 60)[20:] == list(range(101, 141))
    port = server.url.rpartition(":")[2]
    gateway.api("PATCH", url, json={"servers": [f"nats://localhost:{port}"], "event": "e"})
    server.client().publish("other.s.message", [envelope(n) for n in range(141, 151)])
    assert wait_numbers(receiver, 70)[60:] == list(range(141, 151))
    # and back: what was taken before is begun where `begin` says, now the end
    wait_until(lambda: show(gateway, source)["connection"]["sequence"] == 50, what="its place")
    gateway.api("PATCH", url, json={"stream": "WA_EVENTS", "begin": "end"})
    wait_until(lambda: show(gateway, source)["connection"]["sequence"] == 20, what="the end")
    publish(server, 21, 25, "s")
    assert wait_numbers(receiver, 75)[70:] == list(range(21, 26))


@pytest.mark.parametrize("count", [3, 20, 30])
def test_a_stream_of_the_same_name_made_anew(make_gateway, receiver, server, count):
    """Whether it has fewer messages than were taken, as many or more: all of them come."""
    gateway = make_gateway()
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway.register("s", receiver.url(), ordering="fifo")
    source = add(gateway, server)
    publish(server, 1, 20, "s")
    wait_numbers(receiver, 20)
    wait_until(lambda: show(gateway, source)["connection"]["sequence"] == 20, what="its place")
    gateway.kill()
    server.client().ask("STREAM.DELETE.WA_EVENTS")
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    publish(server, 101, 100 + count, "s")
    gateway.start()
    assert wait_numbers(receiver, 20 + count)[20:] == list(range(101, 101 + count))
    assert "was made anew" in gateway.log_text()
    shown = show(gateway, source)
    assert (shown["connection"]["sequence"], shown["connection"]["lost"]) == (count, 0)


def line(server, **settings):
    settings = {"type": "nats", "servers": [server.url], "stream": "WA_EVENTS", **settings}
    return f"source = {json.dumps(settings)}"


def write(directory, *lines):
    path = directory / "waybill.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def configured(make_gateway, tmp_path):
    """Starts a gateway with a file of these lines."""

    def make(*lines, **options):
        gateway = make_gateway(config=write(tmp_path, *lines), **options)
        gateway.config = tmp_path / "waybill.conf"
        return gateway

    return make


def reload(gateway, *lines):
    write(gateway.config.parent, *lines)
    seen = len(gateway.log_text())
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in gateway.log_text()[seen:], what="a reload")
    return gateway.log_text()[seen:]


def sources_of(gateway):
    return gateway.api("GET", "/sources").json()["sources"]


def test_configured(configured, receiver, server):
    """One of the configuration goes on where it was, over restarts and while it is not there."""
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    gateway = configured(line(server))
    gateway.register("s", receiver.url(), ordering="fifo")
    publish(server, 1, 20, "s")
    assert wait_numbers(receiver, 20) == list(range(1, 21))
    [source] = sources_of(gateway)
    assert (source["name"], source["configured"], source["path"]) == ("WA_EVENTS", True, None)
    for change in (("PATCH", "", {"enabled": False}), ("DELETE", "", None),
                   ("POST", "/rotate", None)):
        answer = gateway.api(change[0], f"/sources/{source['id']}{change[1]}", json=change[2])
        expect_error(answer, 409)
        assert "configuration" in answer.json()["error"]["message"]
    gateway.kill()
    publish(server, 21, 40, "s")
    gateway.start()
    assert wait_numbers(receiver, 40) == list(range(1, 41))
    assert [s["id"] for s in sources_of(gateway)] == [source["id"]]
    reload(gateway, "")
    assert sources_of(gateway) == []
    expect_error(gateway.api("GET", f"/sources/{source['id']}"), 404)
    publish(server, 41, 60, "s")
    reload(gateway, line(server, event="renamed"))
    assert wait_numbers(receiver, 60) == list(range(1, 61))
    assert {body["event"] for body in bodies(receiver)[40:]} == {"renamed"}
    # another name is another source, from the beginning
    reload(gateway, line(server, name="another"))
    assert wait_numbers(receiver, 120)[60:] == list(range(1, 61))
    assert sources_of(gateway)[0]["id"] != source["id"]
    gateway.stop()
    checked = waybill("fsck", gateway.directory / "data")
    assert (checked.returncode, "sources         2 rows" in checked.stdout) == (0, True), checked


def test_a_reload_leaves_alone_what_is_as_it_was(configured, receiver, server):
    server.client().make_stream("WA_EVENTS", "wa.events.>")
    server.client().make_stream("OTHER", "other.>")
    gateway = configured(line(server))
    gateway.register("s", receiver.url(), ordering="fifo")
    publish(server, 1, 20, "s")
    wait_numbers(receiver, 20)
    made = add(gateway, server, stream="OTHER")
    log = reload(gateway, line(server), line(server, name="two", stream="OTHER"))
    wait_until(lambda: len(sources_of(gateway)) == 3, what="the second one")
    assert not [ln for ln in log.splitlines() if "NATS connection lost" in ln]
    [first] = [s for s in sources_of(gateway) if s["name"] == "WA_EVENTS"]
    assert first["received"]["events"] == 20
    assert "configured" not in show(gateway, made)
    bad = reload_fails(gateway, line(server), line(server))
    assert "name must tell them apart" in bad
    assert len(sources_of(gateway)) == 3


def reload_fails(gateway, *lines):
    log = reload(gateway, *lines)
    assert "was not reloaded" in log
    return log


def test_logins_in_files(configured, receiver, tmp_path):
    server = NatsServer(tmp_path / "nats", "authorization { token: secret-of-the-server }\n")
    try:
        client = server.client(auth_token="secret-of-the-server")
        client.make_stream("WA_EVENTS", "wa.events.>")
        file = tmp_path / "token"
        file.write_text("wrong\n")
        file.chmod(0o600)
        gateway = configured(line(server, token_file=str(file)))
        gateway.register("s", receiver.url())
        wait_until(lambda: sources_of(gateway)[0]["connection"]["error"], what="an error")
        file.write_text("secret-of-the-server\n")
        reload(gateway, line(server, token_file=str(file)))
        client.publish("wa.events.s.message", [envelope(1, "s")])
        assert wait_numbers(receiver, 1) == [1]
        shown = gateway.api("GET", "/sources").text
        assert "secret-of-the-server" not in shown + gateway.log_text()
        assert sources_of(gateway)[0]["token"] == "********"
        gateway.kill()
        files = (gateway.directory / "data").iterdir()
        stored = b"".join(path.read_bytes() for path in files if path.is_file())
        assert b"secret-of-the-server" not in stored
    finally:
        server.stop()


@pytest.mark.parametrize("settings, words", [
    ({"type": "http", "stream": None}, "source 1: type must be nats"),
    ({"servers": []}, "source 1: servers must be"),
    ({"creds_file": "/nonexistent"}, "source 1: creds_file: /nonexistent: cannot be read"),
    ({"creds_file": 1}, "source 1: creds_file must be the path of a file"),
    ({"token": "t", "token_file": "/etc/hostname"}, "source 1: token is given twice"),
    ({"ca_pem_file": "/etc/hostname"}, "source 1: ca_pem must be certificates"),
    ({"stream_file": "/etc/hostname"}, "source 1: stream_file: unknown"),
])
def test_problems_of_the_configuration(server, tmp_path, settings, words):
    def check(text):
        path = write(tmp_path, text)
        return waybill("check-config", "-c", path, "--data", tmp_path / "none")

    bad = check(line(server, **settings))
    assert bad.returncode == 1
    assert words in bad.stderr
    assert check(line(server)).returncode == 0
