"""
"rate_limit": never faster. Upper bounds are computed from when the requests came, with much
room for a machine that is late with some; what is never to come is shown by what does.
"""

import pytest

from harness import Hold, hooks_path
from scheduling import Fence, age, publish_many, wait_circuit, wait_for_ids

NEVER = 0.001  # a second: one in a thousand seconds, longer than any test
LATE_S = 0.5  # by which one request may be recorded later than the next


def check_rate(requests, rate, saved=0):
    """
    Asserts that no part of the requests came faster than twice `rate`: n of them take n - 1
    waits, but for those `saved` up while nothing was to be sent.
    """
    times = [r.at for r in requests]
    assert (len(times) - 1 - saved) / rate / 2 > LATE_S, "too few requests to mean anything"
    for first, begin in enumerate(times):
        for last in range(first + 1, len(times)):
            least = (last - first - saved) / rate
            assert times[last] - begin >= least / 2 - LATE_S


def patch(gateway, webhook, **fields):
    answer = gateway.api("PATCH", hooks_path("s1", webhook["id"]), json=fields)
    assert answer.ok, answer.text


@pytest.mark.parametrize("rate, count", [(10, 25), (1, 3), (0.5, 2), (2.5, 6)])
def test_no_faster_than_the_limit(gateway, receiver, rate, count):
    gateway.register("s1", receiver.url(), rate_limit=rate)
    publish_many(gateway, "s1", count)
    check_rate(receiver.wait_for(count, timeout=20), rate)


def test_each_webhook_has_its_own(gateway, make_receiver):
    """One that may send no more holds up neither another one nor its own host."""
    receiver = make_receiver()
    gateway.register("s1", receiver.url("/slow"), rate_limit=NEVER)
    gateway.register("s1", receiver.url("/free"))
    ids = publish_many(gateway, "s1", 20)
    wait_for_ids(receiver, ids)
    Fence(gateway, make_receiver()).cross()
    by_path = [r.path for r in receiver.requests]
    assert (by_path.count("/slow"), by_path.count("/free")) == (1, 20)


def test_removing_it_takes_effect_at_once(gateway, receiver, make_receiver):
    webhook = gateway.register("s1", receiver.url(), rate_limit=NEVER)
    ids = publish_many(gateway, "s1", 10)
    receiver.wait_for(1)
    Fence(gateway, make_receiver()).cross()
    assert len(receiver.requests) == 1
    patch(gateway, webhook, rate_limit=None)
    wait_for_ids(receiver, ids)


def test_raising_it_takes_effect_at_once(gateway, receiver):
    webhook = gateway.register("s1", receiver.url(), rate_limit=NEVER)
    ids = publish_many(gateway, "s1", 4)
    receiver.wait_for(1)
    patch(gateway, webhook, rate_limit=1)
    wait_for_ids(receiver, ids)
    check_rate(receiver.requests[1:], 1)


def test_setting_it_takes_effect(gateway, receiver, make_receiver):
    webhook = gateway.register("s1", receiver.url())
    wait_for_ids(receiver, publish_many(gateway, "s1", 10))
    patch(gateway, webhook, rate_limit=NEVER)
    publish_many(gateway, "s1", 10)
    receiver.wait_for(11)
    Fence(gateway, make_receiver()).cross()
    assert len(receiver.requests) == 11


def test_retries_are_counted_too(gateway, make_receiver):
    receiver = make_receiver(*[500] * 5, 200)
    gateway.register("s1", receiver.url(), rate_limit=2, retry=["1ms"] * 8)
    gateway.publish("s1")
    check_rate(receiver.wait_for(6), 2)


def test_queue_of_a_closed_circuit_drains_at_the_rate(make_gateway, make_receiver):
    gateway = make_gateway(
        circuit_failures=2, circuit_open="100ms", retry_schedule=",".join(["10ms"] * 9)
    )
    receiver = make_receiver(500, 500, 200)
    webhook = gateway.register("s1", receiver.url(), rate_limit=2)
    ids = publish_many(gateway, "s1", 5)
    wait_circuit(gateway, webhook, "open")
    wait_for_ids(receiver, ids)
    check_rate(receiver.requests, 2, saved=1)


def test_what_is_dropped_unsent_takes_nothing_of_it(make_gateway, make_receiver):
    """Ten events are too old before the only one that may be sent in a thousand seconds."""
    gateway, hold = make_gateway(expire="presence=1ms"), Hold()
    receiver = make_receiver(hold, 200)
    webhook = gateway.register("s1", receiver.url(), max_in_flight=1)
    first = gateway.publish("s1")["id"]
    receiver.wait_for(1)
    publish_many(gateway, "s1", 10, "presence")
    second = gateway.publish("s1")["id"]
    patch(gateway, webhook, rate_limit=NEVER)
    age(0.002)
    hold.release()
    assert [r.id for r in receiver.wait_for(2)] == [first, second]
