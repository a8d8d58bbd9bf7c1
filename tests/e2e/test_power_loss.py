"""
A loss of power at any moment of a real run. The run is recorded: every write and sync of the
store, and every answer. tests/unit/crash_states_main.c makes the states that the disk could
be left in, opens each and checks it.

WAYBILL_CRASH_ROUNDS=N draws N times as many of the random ones.
"""

import json
import os
import pathlib
import subprocess
import tempfile

import pytest

from disk import SYNC, Disk, build_shim
from harness import BINARY, hooks_path, wait_until

STATES_MIN = 1000
ROUNDS = os.environ.get("WAYBILL_CRASH_ROUNDS", "1")
VARIANT = pathlib.Path(BINARY).parent  # build/asan, or build for what is released
TESTS = (VARIANT / "release" if VARIANT.name == "build" else VARIANT) / "tests"
CHECKER = TESTS / "crash_states_main"
MEMORY = pathlib.Path("/dev/shm")  # the states need no disk


class Publisher:
    """Publishes, and keeps what was accepted for the check."""

    def __init__(self, gateway):
        self._gateway = gateway
        self.accepted = {}  # event id -> (deliveries, may be cancelled, body)

    def keep(self, answer, envelope, session, may_cancel):
        body = {
            "session_id": session,
            "event": envelope["event"],
            "timestamp": answer["timestamp"],
            "data": envelope["data"],
        }
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
        self.accepted[answer["id"]] = (answer["deliveries"], may_cancel, text)

    def one(self, session, data, may_cancel=False, key=None):
        envelope = {"event": "message", "data": data}
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._gateway.api(
            "POST", f"/sessions/{session}/events", json=envelope, headers=headers
        )
        if answer.status_code == 202:
            self.keep(answer.json(), envelope, session, may_cancel)
        return answer

    def batch(self, session, datas):
        envelopes = [{"session_id": session, "event": "message", "data": d} for d in datas]
        answer = self._gateway.api("POST", "/events", json=envelopes)
        assert answer.status_code == 202, answer.text
        for envelope, event in zip(envelopes, answer.json()["events"]):
            self.keep(event, envelope, session, False)

    def ids(self, session):
        mark = b'{"session_id":"%s"' % session.encode()
        return {key for key, event in self.accepted.items() if event[2].startswith(mark)}

    def write(self, path):
        with open(path, "wb") as file:
            for event_id, (deliveries, may_cancel, body) in self.accepted.items():
                file.write(f"{event_id} {deliveries} {may_cancel:d} {len(body)}\n".encode())
                file.write(body + b"\n")


def change_webhooks(gateway, session, webhook):
    """Calls that write webhooks, each a commit."""
    path = hooks_path(session, webhook["id"])
    for fields in ({"description": "x" * 500}, {"headers": {"X-A": "b"}}, {"max_in_flight": 3}):
        assert gateway.api("PATCH", path, json=fields).status_code == 200
    gateway.call(session, webhook["id"], "disable")
    gateway.call(session, webhook["id"], "enable")
    gateway.call(session, webhook["id"], "rotate-secret")


def run_mix(gateway, make_receiver, disk):
    """Something of all that writes to the store; returns the publisher."""
    publisher = Publisher(gateway)
    good, bad = make_receiver(), make_receiver(500)
    shaky = make_receiver(500, 200, 503, 500, 200)
    webhook = gateway.register("mix", good.url(), secret="s3cret")
    gateway.register("mix", shaky.url(), ordering="fifo")
    gateway.register("bad", bad.url(), retry=["10ms", "10ms"])
    queued = gateway.register("gone", bad.url("/later"), retry=["1h"])

    for n in range(8):
        publisher.one("mix", {"n": n, "text": "\u00e9\u2028"})
        publisher.one("bad", {"n": n}, may_cancel=True)
        publisher.one("gone", {"n": n}, may_cancel=True)
    publisher.batch("mix", [{"n": n, "pad": "p" * 300 * n} for n in range(12)])
    publisher.one("mix", {"large": "x" * 150_000})
    for _ in range(2):
        assert publisher.one("mix", {"keyed": 1}, key="k1").status_code == 202
    change_webhooks(gateway, "mix", webhook)

    def is_refused():
        disk.fail(SYNC)  # which may be that of an outcome instead
        return publisher.one("mix", {"refused": 1}).status_code == 503

    wait_until(is_refused, what="a request whose sync failed")
    assert publisher.one("mix", {"refused": 2}).status_code == 202
    disk.cut_short(nth=2)
    publisher.one("mix", {"torn": "y" * 20_000})
    disk.mend()

    assert gateway.api("DELETE", hooks_path("gone", queued["id"])).status_code == 200
    wait_until(lambda: len(gateway.dlq("bad")) >= 8, what="the dead letters")
    assert gateway.replay("bad", gateway.dlq("bad")[-1]["id"]).status_code == 200
    wait_until(lambda: shaky.ids >= publisher.ids("mix"), what="the shaky receiver's events")
    return publisher


def run_sweep(gateway, publisher):
    """
    The same store with a short retention, which drops all that was over before. What is
    published is never over: that no event is dropped before its end can be told then.
    """
    gateway.stop()
    gateway.reconfigure(retention="1s", dead_letter_retention="1s")
    gateway.start()
    gateway.register("later", "http://127.0.0.1:9/", retry=["1h"])
    for n in range(4):
        publisher.one("later", {"n": n})
    wait_until(lambda: not gateway.dlq("bad"), timeout=30, what="the sweep")
    for n in range(4):
        publisher.one("later", {"last": n})
    gateway.kill()


def check_states(log, events, damage="sound"):
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        return subprocess.run(
            [CHECKER, log, events, folder, ROUNDS, damage],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=1200,
        )


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.mark.timeout(1500)
def test_every_acknowledged_event_survives_a_loss_of_power(
    make_gateway, make_receiver, shim, tmp_path
):
    disk = Disk(shim, tmp_path / "disk")
    disk.record()
    gateway = make_gateway(env=disk.env, circuit_failures=1000)
    publisher = run_mix(gateway, make_receiver, disk)
    run_sweep(gateway, publisher)
    events = tmp_path / "events"
    publisher.write(events)

    done = check_states(disk.log, events)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    found = json.loads(done.stdout)
    assert found["different"] >= STATES_MIN
    assert found["dropped"] > 0 and found["failed_syncs"] > 0, "the run was to have these too"

    # a check that finds nothing must be able to find something
    early = check_states(disk.log, events, "early-answers")
    assert early.returncode == 1 and "lost" in early.stdout, early.stdout
    assert check_states(disk.log, events, "no-syncs").returncode != 0
