"""
Sources that take a JetStream stream, against the real server: each message becomes its event
once, in order, whatever is killed or lost.
"""

import json
import threading
import time

import pytest

from harness import Hold, expect_error, wait_until
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
