"""A resolver that hangs stops neither the loop, nor other webhooks, nor the program's end."""

import os
import pathlib
import signal
import subprocess

import pytest

from harness import wait_until
from scheduling import publish_many, wait_circuit, wait_for_ids

SOURCE = pathlib.Path(__file__).with_name("slow_resolver.c")
SLOW, LATE = "http://receiver.slow/hook", "http://receiver.late/hook"
SLOW_S = 60  # in slow_resolver.c


@pytest.fixture(scope="module")
def resolver(tmp_path_factory):
    """The environment in which names that end in .slow or .late are looked up slowly."""
    library = tmp_path_factory.mktemp("resolver") / "slow_resolver.so"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run(
        [*compiler, "-D_GNU_SOURCE", "-shared", "-fPIC", "-Wall", "-Werror", SOURCE,
         "-o", library],
        check=True, timeout=60,
    )
    options = os.environ.get("ASAN_OPTIONS", "")
    return {
        "LD_PRELOAD": str(library),
        # a sanitizer wants to come first of all libraries; ours replaces nothing of its own
        "ASAN_OPTIONS": f"{options}:verify_asan_link_order=0",
    }


@pytest.fixture
def make_slow_gateway(make_gateway, resolver):
    def make(**options):
        return make_gateway(env=resolver, **options)

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
    make_gateway, make_receiver, resolver, tmp_path
):
    """What counts is the address that is connected to, not one that the name had before."""
    where = tmp_path / "where"
    gateway = make_gateway(
        env=resolver | {"REBIND_FILE": str(where)},
        allow_cidr=["127.0.0.1/32"], retry_schedule="10ms",
    )
    allowed = make_receiver(host="127.0.0.1")
    url = allowed.url(host="receiver.rebind")
    where.write_text("127.0.0.1")
    gateway.register("s1", url)
    first = gateway.publish("s1")
    assert [r.id for r in allowed.wait_for(1)] == [first["id"]]
    gateway.stop()  # curl remembers an address for a minute
    where.write_text("127.0.0.2")
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
