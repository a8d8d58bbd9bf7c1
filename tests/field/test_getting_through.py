"""The way to the receiver: names with several addresses, of which some take no connection."""

import pytest

from harness import wait_until


@pytest.fixture
def make_named_gateway(make_gateway, name_server):
    """Gateways that ask `name_server`; an attempt that fails is not made again."""

    def make(**options):
        return make_gateway(
            name_servers=name_server.address, **{"retry_schedule": "1h", **options}
        )

    return make


def attempt_of(gateway, event, session="s1"):
    """The first attempt of the event's one delivery, once it has ended."""
    path = f"/sessions/{session}/deliveries?event_id={event['id']}"
    (delivery,) = wait_until(
        lambda: [d for d in gateway.api("GET", path).json()["deliveries"] if d["attempts"]],
        what="attempt",
    )
    return delivery["attempts"][0]


def test_addresses_that_refuse_are_passed_over(make_named_gateway, receiver, name_server):
    gateway = make_named_gateway()
    name_server.names["receiver.test"] = [
        *(f"127.0.1.{n}" for n in range(1, 12)), "::1", "127.0.0.1",
    ]
    gateway.register("s1", receiver.url(host="receiver.test"))
    attempt = attempt_of(gateway, gateway.publish("s1"))
    assert attempt["address"] == f"127.0.0.1:{receiver.port}"
    assert [r.attempt for r in receiver.requests] == [1]
