"""
Names are looked up on the loop: a name server that hangs stops neither the loop, nor other
webhooks, nor the program's end, and no thread is made. Attempts go to the addresses it names.
"""

import os
import signal
import ssl

import pytest

from harness import figure, wait_until, waybill
from name_server import SERVFAIL, SILENT, NameServer
from scheduling import publish_many, wait_circuit, wait_for_ids

SLOW, LATE = "http://receiver.slow/hook", "http://receiver.late/hook"
SLOW_S = 30  # twice what the gateway waits for a name server
MANY = 1000  # webhooks


@pytest.fixture
def name_server(make_gateway):  # after it, so that no gateway waits for one
    """Names that end in .slow are never answered for, those in .late after half a second."""
    server = NameServer()
    server.names |= {".slow": SILENT, ".late": SERVFAIL}
    server.delays[".late"] = 0.5
    yield server
    server.close()


@pytest.fixture
def make_slow_gateway(make_gateway, name_server):
    def make(**options):
        return make_gateway(name_servers=name_server.address, **options)

    return make


def is_live(gateway):
    return gateway.request("GET", "/livez").status_code == 200


def test_hanging_lookup_holds_up_nobody(make_slow_gateway, receiver):
    gateway = make_slow_gateway(drain_timeout_ms=100)
    stuck = gateway.register("s1", SLOW, timeout_ms=30000, max_in_flight=16)
    gateway.register("s1", receiver.url())
    gateway.register("s2", receiver.url(host="localhost"))  # needs a lookup too
    ids = publish_many(gateway, "s1", 20) + publish_many(gateway, "s2", 20)
    wait_for_ids(receiver, ids)
    assert is_live(gateway)
    shown = gateway.webhook("s1", stuck["id"])
    assert shown["in_flight"] == 1  # it hangs still
    assert shown["circuit"]["consecutive_failures"] == 0


def test_attempt_ends_at_its_deadline_while_the_lookup_hangs(make_slow_gateway, receiver):
    gateway = make_slow_gateway()
    gateway.register("s1", SLOW, timeout_ms=100, max_in_flight=1, retry=["10ms", "10ms"])
    gateway.register("s1", receiver.url())
    ids = publish_many(gateway, "s1", 3)
    entries = wait_until(
        lambda: len(e := gateway.dlq("s1")) == len(ids) and e, what="dead letters"
    )
    assert [e["attempts"] for e in entries] == [3] * len(ids)
    assert all("timeout" in e["last_error"] for e in entries)
    assert is_live(gateway)
    wait_for_ids(receiver, ids)


def test_lookup_that_ends_after_its_attempt_does_no_harm(make_slow_gateway, receiver):
    gateway = make_slow_gateway(circuit_failures=8, circuit_open="1h")
    late = gateway.register("s1", LATE, timeout_ms=300, retry=["10ms"] * 20)
    gateway.publish("s1")
    wait_circuit(gateway, late, "open")  # the first lookups have ended by now
    gateway.register("s2", receiver.url(host="localhost"))
    wait_for_ids(receiver, publish_many(gateway, "s2", 5))


def test_failed_lookup_is_an_error_like_another(make_slow_gateway):
    gateway = make_slow_gateway()
    gateway.register("s1", LATE, timeout_ms=30000, retry=["10ms"])
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert "resolve" in entry["last_error"]


def test_name_that_moves_to_a_forbidden_address_is_refused(
    make_slow_gateway, make_receiver, name_server
):
    """What counts is the address that is connected to, not one that the name had before."""
    gateway = make_slow_gateway(allow_cidr=["127.0.0.1/32"], retry_schedule="10ms")
    allowed = make_receiver(host="127.0.0.1")
    url = allowed.url(host="receiver.rebind")
    name_server.names["receiver.rebind"] = ["127.0.0.1"]
    gateway.register("s1", url)
    first = gateway.publish("s1")
    assert [r.id for r in allowed.wait_for(1)] == [first["id"]]
    gateway.stop()  # which has the address for some seconds
    name_server.names["receiver.rebind"] = ["127.0.0.2"]
    gateway.start()
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert "address refused" in entry["last_error"]
    assert len(allowed.requests) == 1


@pytest.mark.parametrize(
    "timeout_ms, begun", [(100, "failing_since"), (30000, "in_flight")],
    ids=["given up", "under way"],
)
def test_stop_does_not_wait_for_a_lookup(make_slow_gateway, timeout_ms, begun):
    gateway = make_slow_gateway(drain_timeout_ms=200)
    webhook = gateway.register("s1", SLOW, timeout_ms=timeout_ms, retry=["1h"])
    gateway.publish("s1")

    def has_begun():
        shown = gateway.webhook("s1", webhook["id"])
        return (shown | shown["circuit"])[begun]

    wait_until(has_begun, what=begun)
    gateway.process.signal(signal.SIGTERM)
    assert gateway.process.wait(timeout=SLOW_S / 2) == 0


# No thread


def threads(gateway):
    return len(os.listdir(f"/proc/{gateway.pid}/task"))


@pytest.mark.timeout(180)  # for as many requests under a sanitizer
def test_a_thousand_silent_names_cost_no_thread(make_slow_gateway, receiver, name_server):
    gateway = make_slow_gateway(drain_timeout_ms=100)
    name_server.names[".healthy"] = ["127.0.0.1"]
    for n in range(MANY):
        gateway.register("s1", f"http://r{n}.slow/hook", timeout_ms=30000, retry=["1h"])
    before, seen = gateway.process.descriptors(), {threads(gateway)}
    gateway.publish("s1")
    for n in range(5):  # while they are tried others get theirs, whose names are new too
        gateway.register(f"h{n}", receiver.url(host=f"r{n}.healthy"), timeout_ms=30000)
        event = gateway.publish(f"h{n}")["id"]
        wait_until(lambda e=event: seen.add(threads(gateway)) or e in receiver.ids, what="event")
        assert gateway.process.descriptors() < before + 100
    assert any(name.endswith(".slow") for name in name_server.asked)
    assert 0 < figure(gateway, 'waybill_lookup_names{state="asked"}') <= 56
    assert figure(gateway, 'waybill_lookup_names{state="waiting"}') > 0
    assert figure(gateway, 'waybill_lookups_total{result="found"}') == 5
    wait_until(lambda: figure(gateway, 'waybill_lookups_total{result="displaced"}') > 0,
               what="a name whose turn is over")
    assert is_live(gateway)
    assert seen == {1}


# Which address


def test_name_stays_in_the_host_line_and_in_tls(
    make_slow_gateway, make_receiver, authority, name_server, tmp_path
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("receiver.test").configure_cert(context)
    asked_for = []
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    receiver = make_receiver(tls=context)
    name_server.names["receiver.test"] = ["127.0.0.1"]
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    gateway = make_slow_gateway(ca_file=ca_file)
    gateway.register("s1", receiver.url(host="receiver.test"), ordering="fifo")
    publish_many(gateway, "s1", 3)
    requests = receiver.wait_for(3)
    assert {r.header("Host") for r in requests} == {f"receiver.test:{receiver.port}"}
    assert {r.connection for r in requests} == {1}
    assert asked_for == ["receiver.test"]


def attempt_of(gateway, event):
    """The first attempt of the event's one delivery, once it has ended."""
    path = f"/sessions/s1/deliveries?event_id={event['id']}"
    (delivery,) = wait_until(
        lambda: [d for d in gateway.api("GET", path).json()["deliveries"] if d["attempts"]],
        what="attempt",
    )
    return delivery["attempts"][0]


def test_attempt_says_what_the_look_up_took(make_slow_gateway, receiver, name_server):
    gateway = make_slow_gateway()
    name_server.names["receiver.test"] = ["127.0.0.1"]
    name_server.delays["receiver.test"] = 0.1
    gateway.register("s1", receiver.url(host="receiver.test"))
    first = attempt_of(gateway, gateway.publish("s1"))
    assert first["dns_ms"] > 90
    assert first["address"] == f"127.0.0.1:{receiver.port}"
    assert attempt_of(gateway, gateway.publish("s1"))["dns_ms"] < 1  # it is known
    assert figure(gateway, 'waybill_lookups_total{result="found"}') == 1
    assert name_server.asked["receiver.test"] == 1


def test_next_address_is_tried_in_the_same_attempt(
    make_slow_gateway, receiver, name_server
):
    gateway = make_slow_gateway(retry_schedule="1h")
    name_server.names["receiver.test"] = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]
    gateway.register("s1", receiver.url(host="receiver.test"))
    event = gateway.publish("s1")
    assert receiver.wait_for(1)[0].attempt == 1
    assert attempt_of(gateway, event)["address"] == f"127.0.0.1:{receiver.port}"


def test_forbidden_addresses_are_passed_over(make_slow_gateway, receiver, name_server):
    gateway = make_slow_gateway(allow_cidr="127.0.0.1/32", retry_schedule="10ms")
    name_server.names |= {
        "some.test": ["169.254.169.254", "10.0.0.1", "127.0.0.1", "::1"],
        "none.test": ["169.254.169.254", "fd00::1"],
    }
    some = gateway.register("s1", receiver.url(host="some.test"))
    none = gateway.register("s2", receiver.url(host="none.test"))
    gateway.publish("s1")
    receiver.wait_for(1)
    gateway.publish("s2")
    (entry,) = wait_until(lambda: gateway.dlq("s2"), what="dead letter")
    assert "address refused" in entry["last_error"]
    assert (some["url"], none["url"]) == tuple(
        receiver.url(host=h) for h in ("some.test", "none.test")
    )


def test_hosts_file_comes_first(make_slow_gateway, receiver, name_server, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 receiver.test\n")
    gateway = make_slow_gateway(env={"CARES_HOSTS": str(hosts)})
    gateway.register("s1", receiver.url(host="receiver.test"))
    gateway.publish("s1")
    receiver.wait_for(1)
    assert name_server.asked == {}


def test_proxy_is_looked_up_and_the_receiver_is_not(
    make_gateway, make_receiver, name_server
):
    proxy = make_receiver()
    name_server.names["proxy.test"] = ["127.0.0.2", "127.0.0.1"]
    gateway = make_gateway(
        proxy=f"http://user:pass@proxy.test:{proxy.port}", name_servers=name_server.address
    )
    gateway.register("s1", "http://receiver.test/hook", ordering="fifo")
    publish_many(gateway, "s1", 3)
    requests = proxy.wait_for(3)
    assert {r.path for r in requests} == {"http://receiver.test/hook"}
    assert {r.header("Host") for r in requests} == {"receiver.test"}
    assert {r.header("Proxy-Authorization") for r in requests} == {"Basic dXNlcjpwYXNz"}
    assert {r.connection for r in requests} == {1}
    assert set(name_server.asked) == {"proxy.test"}


def test_proxy_that_is_not_found_is_named(make_gateway, name_server):
    gateway = make_gateway(
        proxy="http://user:secret@proxy.test:3128", name_servers=name_server.address,
        retry_schedule="10ms",
    )
    gateway.register("s1", "http://receiver.test/hook")
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["last_error"] == "Could not resolve proxy: proxy.test"


# What went wrong


@pytest.mark.parametrize(
    "known, why, result",
    [(None, "", "none"), (SERVFAIL, " (the name server failed)", "failed"), ([], "", "none")],
    ids=["no name", "failed", "no address"],
)
def test_error_says_why_there_is_no_address(
    make_slow_gateway, name_server, known, why, result
):
    gateway = make_slow_gateway(retry_schedule="10ms")
    if known is not None:
        name_server.names["receiver.test"] = known
    gateway.register("s1", "http://receiver.test/hook")
    gateway.publish("s1")
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    assert entry["last_error"] == "Could not resolve host: receiver.test" + why
    assert entry["webhook_url"] == "http://receiver.test/hook"
    assert figure(gateway, f'waybill_lookups_total{{result="{result}"}}') > 0


def test_name_servers_that_cannot_be_reached_are_ours(make_slow_gateway, name_server):
    gateway = make_slow_gateway(retry_schedule="10ms")
    name_server.close()
    gateway.register("s1", "http://receiver.test/hook")
    gateway.publish("s1")
    wait_until(lambda: figure(gateway, 'waybill_shortage_total{of="resolver"}') > 1,
               what="a second try")
    assert figure(gateway, 'waybill_lookups_total{result="unasked"}') > 1
    assert gateway.dlq("s1") == [], "no attempt is charged for it"
    (line,) = [t for t in gateway.log_text().splitlines() if "no name server can be" in t]
    assert "host=receiver.test" in line and "refused" in line
    assert "of=resolver" in gateway.log_text()


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.1:0", "tls:192.0.2.1:53", "::1:x"])
def test_name_servers_are_addresses(text):
    done = waybill("check-config", "--name-servers", text)
    assert (done.returncode != 0) == (text != "")
    assert text == "" or "--name-servers: must be addresses" in done.stderr
