"""Filters: as many as a session may have, each of the dearest kind, asked of event after event."""

import concurrent.futures
import json
import sys

import pytest

from attackers import CALLERS, Api
from harness import hooks_path
from siege import full

STEPS = 65536  # of a session's filters, and what a batch may take
BATCH_STEPS = 131072
LOOK = 4096  # bytes of a value that a leaf looks into
LEAVES = 64
DIGITS = 100_000  # of a number

sys.set_int_max_str_digits(DIGITS + 1)


def leaves(n):
    """Filters of many leaves, with paths of their own, all of which are asked."""
    return {"any": [{"path": f"/data/k{n}_{i}", "gt": 1.5} for i in range(LEAVES)]}


def digits(n):
    """Filters that compare one number, which may have very many digits, with a short one."""
    return {"any": [{"path": "/data/number", "lt": n + 1} for _ in range(LEAVES)]}


def contains(n):
    return {"path": "/data/text", "contains": "a" * 20 + "b" + str(n)}


def items(n):
    return {"path": "/data/list", "contains": n + 2}


def glob(n):
    return {"path": "/data/text", "matches": f"*a?{n}*"}


KINDS = {
    "leaves": (leaves, 64, {f"k{n}_{i}": 0.5 for n in range(1000) for i in range(0, LEAVES, 8)}),
    "digits": (digits, 64, {"number": 10**DIGITS}),
    "contains": (contains, 129, {"text": "a" * LOOK}),
    "items": (items, 129, {"list": [1] * (LOOK // 2)}),
    "glob": (glob, 2 + 5 * 128, {"text": "a" * LOOK}),
}


def register(gateway, condition, count):
    def some(first):
        with Api(gateway) as api:
            for n in range(first, count, CALLERS):
                url = f"http://127.0.0.1:9/{n}"
                api.post(hooks_path("attacker"), json={"url": url, "filter": condition(n)})

    with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(some, range(CALLERS)))


@pytest.mark.parametrize(
    "kind, at_once",
    [("leaves", 2), ("digits", 2), ("contains", 2), full("items", 8), full("glob", 8)],
)
def test_filters_that_are_dear_to_ask(make_gateway, besiege, kind, at_once):
    condition, steps, data = KINDS[kind]
    count = min(1000, STEPS // steps)
    gateway = make_gateway()
    register(gateway, condition, count)
    event = {"session_id": "attacker", "event": "message", "data": data}
    batch = [event] * (BATCH_STEPS // (count * steps))
    bodies = [json.dumps(b).encode() for b in (event, batch)]

    def publish(n):
        answer = gateway.api("POST", "/events", body=bodies[n % 2])
        assert answer.status_code == 202, answer.text

    with besiege(gateway) as siege, concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        siege.hold(lambda: list(pool.map(publish, range(at_once))))
