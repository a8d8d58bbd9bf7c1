"""
A disk that fails: single writes and syncs of the store end with an error, end half-way or take
long. What was answered 202 is there after a restart; everything else was refused in a way that
tells the client to come again; the process goes on, or ends with status 1 and starts again.

Failures are made in the process by disk_shim.c, one call after the other until none is left
to fail, and on the level of system calls by strace. WAYBILL_FAULTS=all is the long sweep.
"""

import os
import random
import signal
import subprocess

import pytest
import requests

from disk import CALLS, FOR_EVER, Disk, build_shim
from harness import expect_error, wait_until, waybill

ALL = os.environ.get("WAYBILL_FAULTS") == "all"
REFUSED = (503, 507)
SESSION = "s"
LATE_US = 500_000


class Ended(Exception):
    """The gateway has ended itself."""


class Publisher:
    """Publishes on a disk that fails, and keeps the ids of what was accepted."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.accepted = set()
        self.refused = 0

    def _call(self, path, body, headers=None):
        try:
            answer = self.gateway.api("POST", path, json=body, headers=headers)
        except requests.exceptions.RequestException:
            wait_until(lambda: not self.gateway.running, what="the end of a broken gateway")
            raise Ended from None
        if answer.status_code == 202:
            return answer.json()
        expect_error(answer, answer.status_code)
        assert answer.status_code in REFUSED, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        self.refused += 1
        return None

    def one(self, pad=0, key=None):
        event = self._call(
            f"/sessions/{SESSION}/events", {"event": "message", "data": "x" * pad},
            {"Idempotency-Key": key} if key else None,
        )
        self.accepted |= {event["id"]} if event else set()

    def batch(self, count):
        envelope = {"session_id": SESSION, "event": "message", "data": {"in": "batch"}}
        answer = self._call("/events", [envelope] * count)
        self.accepted |= {event["id"] for event in answer["events"]} if answer else set()

    def round(self):
        """A few requests of all kinds, each with its commit and those of its outcomes."""
        self.one()
        self.batch(3)
        self.one(pad=60_000)
        self.one(key=f"key{random.random()}")


class Store:
    """
    A gateway on a disk that fails, with a receiver that takes everything, and one that refuses
    everything until the end: what it gets then has come from the disk.
    """

    def __init__(self, make_gateway, make_receiver, **options):
        self.receiver, self.late = make_receiver(), make_receiver(500)
        self.gateway = make_gateway(**options)
        self.publisher = Publisher(self.gateway)
        self.gateway.register(SESSION, self.receiver.url())
        self.queued = self.gateway.register(SESSION, self.late.url(), retry=["1h"])

    def round(self):
        """One round; a gateway that ends itself is started again, as a supervisor does."""
        try:
            self.publisher.round()
        except Ended:
            assert self.gateway.process.wait() == 1
            self.gateway.start()

    def settle(self):
        """Waits until all that was accepted has arrived where it can."""

        def arrived():
            if not self.gateway.running:  # an outcome's commit, after the round
                assert self.gateway.process.wait() == 1
                self.gateway.start()
            return self.publisher.accepted <= self.receiver.ids

        wait_until(arrived, timeout=30, what="what was accepted")

    def crash(self):
        """Ends it where it stands, unless it has just done so itself."""
        self.gateway.process.signal(signal.SIGKILL)
        assert self.gateway.process.wait() in (1, -signal.SIGKILL)

    def check(self):
        """After a crash all that was ever accepted is there, and its store is sound."""
        self.crash()
        self.late.answer(200)
        self.late.ids.clear()
        self.gateway.start()
        self.gateway.call(SESSION, self.queued["id"], "enable")  # all of it is due at once
        wait_until(
            lambda: self.publisher.accepted <= self.late.ids, timeout=30,
            what="what was accepted, from the disk",
        )
        self.gateway.stop()
        expect_sound(self.gateway.directory / "data")


def expect_sound(data):
    done = waybill("fsck", data)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return build_shim(tmp_path_factory.mktemp("shim"))


# How a call fails: (calls, how to arm it for the nth)


FAULTS = {
    f"{call}-{error}": (lambda disk, nth, c=mask, e=error, **kw: disk.fail(c, e, nth, **kw))
    for call, mask in CALLS.items()
    for error in ("EIO", "ENOSPC")
}
FAULTS["write-short"] = lambda disk, nth, **kw: disk.cut_short(nth, **kw)
DELAYS = {
    f"{call}-late": (lambda disk, nth, c=mask: disk.delay(c, LATE_US // 1000, nth))
    for call, mask in CALLS.items()
}


def sweep(store, disk, arm, nths):
    """Makes the nth call of a round fail, for each n, until a round has fewer."""
    fired = 0
    for nth in nths:
        arm(disk, nth)
        store.round()
        store.settle()
        if disk.fired == 0:
            break
        fired += 1
        disk.mend()
    disk.mend()
    return fired


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_one_call_fails(make_gateway, make_receiver, tmp_path, shim, fault):
    disk = Disk(shim, tmp_path / "disk")
    store = Store(make_gateway, make_receiver, env=disk.env)
    nths = range(1, 1000) if ALL else (1, 2, 3, 5, 8)
    assert sweep(store, disk, FAULTS[fault], nths) >= 3, "hardly anything has failed"
    store.check()


@pytest.mark.parametrize("fault", DELAYS)
def test_one_call_is_late(make_gateway, make_receiver, tmp_path, shim, fault):
    disk = Disk(shim, tmp_path / "disk")
    store = Store(make_gateway, make_receiver, env=disk.env)
    assert sweep(store, disk, DELAYS[fault], range(1, 20) if ALL else (1, 2)) >= 2
    assert store.publisher.refused == 0
    store.check()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", [name for name in FAULTS if not name.startswith("commit")])
def test_disk_fails_for_a_while(make_gateway, make_receiver, tmp_path, shim, fault):
    disk = Disk(shim, tmp_path / "disk")
    store = Store(make_gateway, make_receiver, env=disk.env)
    store.round()
    FAULTS[fault](disk, 1, times=FOR_EVER)
    for _ in range(3):
        store.round()
    assert store.publisher.refused == 12
    assert store.gateway.request("GET", "/readyz").status_code == 503
    assert store.gateway.request("GET", "/livez").status_code == 200
    disk.mend()
    store.round()
    store.settle()
    wait_until(
        lambda: store.gateway.request("GET", "/readyz").status_code == 200, what="readiness"
    )
    assert store.publisher.refused == 12
    store.check()


# strace


def can_trace():
    try:
        done = subprocess.run(
            ["strace", "-f", "-o", "/dev/null", "true"], stderr=subprocess.DEVNULL, timeout=20
        )
        return done.returncode == 0
    except FileNotFoundError:
        return False


SYSCALLS = ("fdatasync", "pwrite64", "writev")
INJECTIONS = [f"{call}:error={e}" for call in SYSCALLS for e in ("EIO", "ENOSPC")]
INJECTIONS += [f"{call}:delay_enter={LATE_US}" for call in (SYSCALLS if ALL else SYSCALLS[:1])]


def tracing(log, injection, *more):
    """The command that runs a gateway whose calls strace meddles with."""
    call = injection.split(":")[0]
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # it cannot be traced
    return [
        "strace", "-D", "-f", "-qq", "-A", "-o", log, "-E", f"ASAN_OPTIONS={sanitizer}",
        "-e", f"trace={call}", "-e", f"inject={injection}", *more,
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("injection", INJECTIONS)
def test_system_calls_fail(make_gateway, make_receiver, tmp_path, injection):
    if not can_trace():
        pytest.skip("needs strace and leave to trace processes (ptrace)")
    store = Store(make_gateway, make_receiver)
    gateway = store.gateway
    gateway.stop()
    log = tmp_path / "strace.log"
    for nth in range(1, 20) if ALL else (2, 4):
        # the nth call in the life of this process fails, and each seventh behind it
        file = gateway.directory / "data" / "waybill.mdb"
        gateway.prefix = tracing(log, f"{injection}:when={nth}+7", "-P", file)
        gateway.start()
        for _ in range(3):
            store.round()
        store.crash()
    gateway.prefix = []
    gateway.start()
    store.settle()
    fired = log.read_text().count("(INJECTED)") + log.read_text().count("(DELAYED)")
    assert fired >= 3, "hardly anything has failed"
    store.check()


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync", "rename", "fsync"])
def test_making_the_store_fails(make_gateway, tmp_path, call):
    """A first start on a disk that fails ends with status 1, and the next one is well."""
    if not can_trace():
        pytest.skip("needs strace and leave to trace processes (ptrace)")
    gateway = make_gateway()
    gateway.stop()
    for nth in range(1, 10):
        data = tmp_path / f"{call}{nth}"
        log = tmp_path / f"strace{nth}.log"
        gateway.reconfigure(data=data)
        gateway.prefix = tracing(log, f"{call}:error=EIO:when={nth}")
        try:
            gateway.start()
        except AssertionError:
            assert gateway.process.wait() == 1
        else:
            gateway.kill()
        gateway.prefix = []
        gateway.start()
        assert gateway.request("GET", "/readyz").status_code == 200
        gateway.stop()
        expect_sound(data)
        if "(INJECTED)" not in log.read_text():
            break
    assert nth > 1, "nothing has failed"
