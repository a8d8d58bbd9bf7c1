"""
Crashes at random moments under load. What was answered 202 must arrive at every webhook; what
was not may arrive all the same, and duplicates are allowed, and counted.

WAYBILL_CRASH_SEED=N repeats a run as far as threads let it: the seed fixes the moments of the
kills and which requests the receivers refuse.
"""

import collections
import os
import random
import threading
import time

import pytest
import requests

from harness import status, verify, wait_until

KILLS = 20
PUBLISHERS = 4
BACKLOG_MAX = 300  # publishers wait above it: the end of the test has to wait for it too
REFUSED = 0.1  # part of the requests that the receivers answer with 500
SESSION = "crash"
SECRET = "s3cret"


class Publisher(threading.Thread):
    """Publishes until told to stop, and keeps what was answered 202."""

    def __init__(self, gateway, number, is_late):
        super().__init__(daemon=True)
        self.accepted = {}  # event id -> data
        self.unexpected = []  # answers that no crash explains
        self._gateway, self._number, self._is_late = gateway, number, is_late
        self._stop_asked = threading.Event()

    def stop(self):
        self._stop_asked.set()
        self.join()

    def run(self):
        n = 0
        while not self._stop_asked.is_set():
            if self._is_late():
                self._stop_asked.wait(0.01)
                continue
            n += 1
            self._publish({"publisher": self._number, "n": n, "text": "\u00e9\u2028"})

    def _publish(self, data):
        try:
            answer = self._gateway.api(
                "POST", f"/sessions/{SESSION}/events", json={"event": "message", "data": data}
            )
        except requests.exceptions.RequestException:
            self._stop_asked.wait(0.01)
            return  # killed under it: whether it was stored nobody knows, and either is right
        if answer.status_code == 202:
            self.accepted[answer.json()["id"]] = data
        elif answer.status_code != 401:  # another gateway's that has got the port
            self.unexpected.append(answer.text)


def unreliable(seed):
    """A behaviour that refuses a part of the requests."""
    chance, lock = random.Random(seed), threading.Lock()

    def act(link, request, closing):
        with lock:
            refused = chance.random() < REFUSED
        return status(500 if refused else 200)(link, request, closing)

    return act


def publish_through_crashes(gateway, receivers, moments):
    """Kills and starts the gateway again and again; returns what was accepted, id -> data."""

    def is_late():
        accepted = sum(len(publisher.accepted) for publisher in publishers)
        return accepted - min(len(r.requests) for r in receivers) * (1 - REFUSED) > BACKLOG_MAX

    publishers = [Publisher(gateway, number, is_late) for number in range(PUBLISHERS)]
    for publisher in publishers:
        publisher.start()
    for _ in range(KILLS):
        time.sleep(moments.uniform(0.02, 0.4))  # only draws the moment: it decides nothing
        gateway.kill()
        gateway.start()
    for publisher in publishers:
        publisher.stop()
        assert publisher.unexpected == []
    return {key: data for publisher in publishers for key, data in publisher.accepted.items()}


def check_arrived(receiver, accepted):
    """Asserts that all of `accepted` has come, whole and signed; returns the duplicates."""
    times = collections.Counter()
    for request in receiver.requests:
        times[request.id] += 1
        verify(request, SECRET)
        if request.id in accepted:
            assert request.json()["data"] == accepted[request.id]
    assert accepted.keys() <= times.keys()
    return sum(count - 1 for count in times.values())


@pytest.mark.timeout(120)
def test_no_accepted_event_is_lost(make_gateway, make_receiver):
    seed = int(os.environ.get("WAYBILL_CRASH_SEED") or random.randrange(1 << 32))
    print(f"WAYBILL_CRASH_SEED={seed}")
    gateway = make_gateway(retry_schedule=",".join(["50ms"] * 30))
    receivers = [make_receiver(unreliable(seed + n)) for n in range(2)]
    for receiver in receivers:
        gateway.register(SESSION, receiver.url(), secret=SECRET)
    accepted = publish_through_crashes(gateway, receivers, random.Random(seed))
    assert len(accepted) >= KILLS, "too few events to mean anything"
    for receiver in receivers:
        wait_until(
            lambda r=receiver: accepted.keys() <= r.ids,
            timeout=40,
            what="arrival of every accepted event",
        )
    repeated = [check_arrived(receiver, accepted) for receiver in receivers]
    print(f"{len(accepted)} accepted over {KILLS} kills; sent more than once: {repeated}")
    assert gateway.dlq(SESSION) == []
