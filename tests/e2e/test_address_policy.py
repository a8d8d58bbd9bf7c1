"""Receivers at special addresses are refused when they are to be connected, unless allowed."""

import pytest

from harness import expect_error, hooks_path, wait_until


def dead_letter(gateway):
    (entry,) = wait_until(lambda: gateway.dlq("s1"), what="dead letter")
    return entry


@pytest.fixture
def closed_gateway(make_gateway):
    return make_gateway(allow_cidr=None, retry_schedule="10ms")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "[::ffff:127.0.0.1]"])
def test_loopback_is_refused_and_the_error_says_so(closed_gateway, receiver, host):
    closed_gateway.register("s1", receiver.url(host=host))
    closed_gateway.publish("s1")
    assert "address refused" in dead_letter(closed_gateway)["last_error"]
    assert receiver.connections == 0


@pytest.mark.parametrize(
    "host",
    ["[::1]", "0.0.0.0", "[::]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
     "100.64.0.1", "224.0.0.1", "255.255.255.255", "[fe80::1]", "[fd00::1]", "[ff02::1]",
     "[64:ff9b::7f00:1]", "[::127.0.0.1]"],
)
def test_special_ranges_are_refused_at_once(closed_gateway, host):
    """At once: an attempt that did connect would run into its time-out, or another error."""
    closed_gateway.register("s1", f"http://{host}:9/", timeout_ms=30000)
    closed_gateway.publish("s1")
    assert "address refused" in dead_letter(closed_gateway)["last_error"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1"])
def test_other_spellings_of_loopback_are_no_urls(closed_gateway, host):
    answer = closed_gateway.api(
        "POST", hooks_path("s1"), json={"url": f"http://{host}:9/"}
    )
    expect_error(answer, 400, "url", ["IPv4"])


def test_only_what_is_named_is_allowed(make_gateway, make_receiver):
    gateway = make_gateway(allow_cidr=["127.0.0.2/32", "::1"], retry_schedule="10ms")
    allowed, refused = make_receiver(host="127.0.0.2"), make_receiver(host="127.0.0.1")
    gateway.register("s1", refused.url())
    gateway.register("s1", allowed.url())
    event = gateway.publish("s1")
    assert allowed.wait_for(1)[0].id == event["id"]
    assert dead_letter(gateway)["webhook_url"] == refused.url()
    assert refused.connections == 0
