"""
Work of a turn: batches over webhooks with very many names, answers that are dear to mask,
queues of which very many rows are looked at before one is due, and orderings by a key of which
no lane goes on.
"""

import concurrent.futures
import itertools

import pytest

from attackers import register_many
from harness import figure, hooks_path, wait_until
from siege import ATTACK_S, IS_FULL, full

NEVER_OPEN = 1000000  # circuit_failures


@pytest.mark.parametrize(
    "webhooks, names, at_once", [(200, 256, 2), full(1000, 15, 8), full(1000, 256, 8)]
)
def test_batches_over_many_filters(make_gateway, besiege, webhooks, names, at_once):
    """10 000 events, which none of the webhooks wants that name all others, over and over."""
    gateway = make_gateway()
    known = gateway.api("GET", "/capabilities").json()["events"]
    others = [name for name in known if name not in ("all", "message")]
    events = list(itertools.islice(itertools.cycle(others), names))
    register_many(gateway, [f"http://127.0.0.1:9/{n}" for n in range(webhooks)], events=events)
    event = b'{"session_id":"attacker","event":"message"}'
    body = b"[" + b",".join([event] * 10000) + b"]"

    def publish(_):
        answer = gateway.api("POST", "/events", body=body)
        assert answer.status_code == 202, answer.text

    with besiege(gateway) as siege, concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        siege.hold(lambda: list(pool.map(publish, range(at_once))))


def words(length, salt):
    """The value of a header: words of so many bytes, all of them different."""
    count = 1000 // (length + 1)
    return " ".join(f"{salt:02x}{n:0{length - 2}x}" for n in range(count))


@pytest.mark.parametrize("length, webhooks", [(8, 50), full(8, 500), full(40, 500)])
def test_answers_that_are_dear_to_mask(make_gateway, besiege, bad, length, webhooks):
    """Header values of words without number, and receivers that answer a kilobyte each time."""
    gateway = make_gateway(circuit_failures=NEVER_OPEN, retry_schedule=",".join(["10ms"] * 32))
    headers = {f"X-{n}": words(length, n) for n in range(16)}
    register_many(gateway, bad.urls("chat", webhooks), headers=headers)
    with besiege(gateway) as siege:
        siege.hold(lambda: gateway.publish("attacker"))
        assert bad.requests["chat"] > 2 * webhooks


ROWS = 30000 if IS_FULL else 3000


@pytest.mark.parametrize("webhooks", [10, full(100)])
def test_rows_that_are_not_due(make_gateway, besiege, bad, webhooks):
    """
    Enabled again and again while very many deliveries wait for their next attempt: each time all
    are looked at, and those that have failed since are passed by.
    """
    gateway = make_gateway(circuit_failures=NEVER_OPEN, retry_schedule="1h,1h,1h,1h,1h")
    register_many(gateway, bad.urls("fail", webhooks), max_in_flight=256)
    hooks = gateway.api("GET", hooks_path("attacker")).json()["webhooks"]
    each = ROWS // webhooks
    for first in range(0, each, 1000):
        batch = [{"session_id": "attacker", "event": "message"}] * min(1000, each - first)
        assert gateway.api("POST", "/events", json=batch).status_code == 202
    with besiege(gateway) as siege:
        wait_until(lambda: bad.requests["fail"] >= ROWS // 2, ATTACK_S, "rows that wait")

        def enable():
            for hook in hooks:
                gateway.call("attacker", hook["id"], "enable")

        siege.hold(enable)
        assert figure(gateway, 'waybill_deliveries_total{outcome="retried"}') > ROWS // 2


CHATS = 2000  # so many that each of the 255 lanes has several


@pytest.mark.parametrize("retry", ["1h", "10ms"])
@pytest.mark.parametrize("webhooks", [4, full(40)])
def test_lanes_that_fail(make_gateway, besiege, bad, webhooks, retry):
    """
    Webhooks in order of a key, with something in each lane: all of them wait for a retry, or
    fail over and over, and more is published to each all the time.
    """
    gateway = make_gateway(
        circuit_failures=NEVER_OPEN, retry_schedule=",".join([retry] * 32)
    )
    register_many(
        gateway, bad.urls("fail", webhooks), max_in_flight=256, ordering={"key": "/data/chat"}
    )
    chats = itertools.cycle(range(CHATS))

    def publish(count):
        batch = [
            {"session_id": "attacker", "event": "message", "data": {"chat": next(chats)}}
            for _ in range(count)
        ]
        answer = gateway.api("POST", "/events", json=batch)
        assert answer.status_code == 202, answer.text

    publish(CHATS // 2)
    publish(CHATS // 2)
    with besiege(gateway) as siege:
        wait_until(lambda: bad.requests["fail"] >= 250 * webhooks, ATTACK_S, "lanes that wait")
        siege.hold(lambda: publish(200))
        retried = figure(gateway, 'waybill_deliveries_total{outcome="retried"}')
        assert retried >= 250 * webhooks
