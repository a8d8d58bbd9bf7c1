"""
What the tests of the delivery engine share: how a webhook's circuit stands, how many requests
were under way when one came, and a fence to show that something did not happen.
"""

import threading
import time

from harness import behaviour, delay, status, wait_until


class Fence:
    """
    A webhook and a receiver of their own. The gateway starts what is due in turns: what was
    due before an event went through here, and has not come, was not sent.
    """

    CROSSINGS = 3  # one may overtake a request on its way; three turns of everybody's may not

    def __init__(self, gateway, receiver, session="fence"):
        self._gateway, self._receiver, self._session = gateway, receiver, session
        gateway.register(session, receiver.url())

    def cross(self):
        for _ in range(self.CROSSINGS):
            event = self._gateway.publish(self._session)
            wait_until(lambda e=event: e["id"] in self._receiver.ids, what="the fence")


class Gauge:
    """
    A behaviour that answers with `code` after `seconds` and keeps, for each request, how many
    were under way with it when it came and how many had been answered before.
    """

    def __init__(self, seconds, code=200):
        self._wait = delay(seconds, status(code))
        self._lock = threading.Lock()
        self._under_way = self._answered = 0
        self.readings = []  # of (under way, answered)

    def __call__(self, link, request, closing):
        with self._lock:
            self._under_way += 1
            self.readings.append((self._under_way, self._answered))
        return self._wait(Told(link, self._count_answer), request, closing)

    def _count_answer(self):
        with self._lock:
            self._under_way -= 1
            self._answered += 1


class Told:
    """A link that tells before it sends: what the peer does next may come on its heels."""

    def __init__(self, link, tell):
        self._link, self._tell = link, tell

    def send(self, data):
        self._tell()
        self._link.send(data)


def by_session(acts):
    """A behaviour for each session: {"s1": 500, "s2": 200}."""

    def act(link, request, closing):
        chosen = behaviour(acts[request.header("X-Webhook-Session")])
        return chosen(link, request, closing)

    return act


def circuit(gateway, webhook, session="s1"):
    """The webhook's circuit as the API shows it."""
    return gateway.webhook(session, webhook["id"])["circuit"]


def wait_circuit(gateway, webhook, state, session="s1"):
    """Waits until the webhook's circuit is in `state` and returns it."""
    return wait_until(
        lambda: (c := circuit(gateway, webhook, session))["state"] == state and c,
        what=f"circuit {state}",
    )


def wait_disabled(gateway, webhook, session="s1"):
    """Waits until the webhook is disabled and returns it."""
    return wait_until(
        lambda: not (w := gateway.webhook(session, webhook["id"]))["enabled"] and w,
        what="webhook disabled",
    )


def wait_for_ids(receiver, ids, timeout=10):
    wanted = set(ids)
    wait_until(lambda: wanted <= receiver.ids, timeout, "all events at a receiver")


def publish_many(gateway, session, count, event="message"):
    """Publishes `count` events one after the other and returns their ids in order."""
    return [gateway.publish(session, event, data={"n": n})["id"] for n in range(count)]


def age(seconds):
    """Lets what was published grow older than `seconds` by the gateway's clock."""
    now = time.time()
    wait_until(lambda: time.time() > now + seconds, timeout=seconds + 10, what="age")
