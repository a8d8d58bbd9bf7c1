"""
What sieges are made of. A Siege is a healthy pair, a probe and a watch beside an attack:

    with besiege(gateway) as siege:      # before the attack: the pair is healthy
        with some_attack(gateway):
            siege.hold()                 # the attack lasts as long as attacks do
            siege.expect_refused("connections", "127.0.0.2")

It passes where, while the attack went on, /livez answered, the pair's events were taken and
delivered, memory stayed below its bound, and a metric and a line of the log named what was
refused, and to whom.

Bounds in seconds are generous: they are for a machine that is busy with other things. What
would be the gateway's own fault shows in its own processor time, or lasts for long.
"""

import contextlib
import os
import re
import threading
import time

import pytest
import requests

from harness import BINARY, shares, wait_until

IS_FULL = os.environ.get("WAYBILL_SIEGE") == "full"
HOLD_S = 12 if IS_FULL else 2  # how long an attack goes on

EVERY_S = 0.1  # between two events of a healthy publisher, and two probes
LIVEZ_S = 1  # an answer that takes longer is late
LIVEZ_WORST_S = 5  # none may take longer, however busy the machine is
DELIVERY_S = 2  # the same of an event, from its publishing to its receiver
DELIVERY_WORST_S = 10
ATTACK_S = 240  # until an attack is felt: a busy machine's attackers are slow themselves
RSS_ANON_MAX_KIB = 256 * 1024

# A sanitizer keeps what is freed: memory is not the gateway's own then.
IS_SANITIZED = "/asan/" in BINARY

ATTACKERS = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")


def full(*values):
    """Values of a parameter that only `make siege` takes."""
    return pytest.param(
        *values, marks=pytest.mark.skipif(not IS_FULL, reason="only in the full siege")
    )


# What the gateway says, and what the system says of it


def rss_anon_kib(pid):
    """Memory of its own; the mapped store is not."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s+(\d+) kB", status.read()).group(1))


def processor_s(pid):
    """User and system time of the process so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Repeating:
    """Does its step every EVERY_S in a thread of its own, from start() to stop()."""

    def __init__(self):
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.broken = None  # what ended the thread

    def start(self):
        self._thread.start()

    def stop(self):
        self._stopping.set()
        self._thread.join()
        if self.broken:
            raise self.broken

    def _run(self):
        try:
            while not self._stopping.is_set():
                self.step()
                self._stopping.wait(EVERY_S)
        except BaseException as error:  # noqa: B902  (it is raised again by stop())
            self.broken = error


class HealthyPair(Repeating):
    """
    A publisher of small events, each on a connection of its own, and their receiver, which
    answers at once. `delays`: from publishing to arrival; `refusals`: what else than a 202 came.
    `front`: what is published to, a gateway or a proxy before it. `host`: a name of the
    receiver's for the webhook's URL.
    """

    def __init__(self, front, receiver, session="healthy", host=None):
        super().__init__()
        self._front, self._receiver, self.session = front, receiver, session
        self.published = {}  # id: when its publishing began
        self.refusals = []
        front.register(session, receiver.url(host=host))

    def step(self):
        began = time.monotonic()
        try:
            answer = self._front.api(
                "POST", f"/sessions/{self.session}/events",
                json={"event": "message", "data": {"n": len(self.published)}},
            )
        except requests.RequestException as error:
            self.refusals.append(repr(error))
            return
        if answer.status_code == 202:
            self.published[answer.json()["id"]] = began
        else:
            self.refusals.append((answer.status_code, answer.text))

    def wait_delivered(self):
        wait_until(
            lambda: self.published.keys() <= self._receiver.ids, DELIVERY_WORST_S,
            "delivery of all events of the healthy pair",
        )

    @property
    def delays(self):
        arrivals = {}
        for request in list(self._receiver.requests):
            arrivals.setdefault(request.id, request.at)
        return [arrivals[i] - at for i, at in self.published.items() if i in arrivals]


class LivezProbe(Repeating):
    """
    Asks /livez on a connection of its own. `gaps`: of each time how long there was no answer,
    and how much processor time the gateway used in it.
    """

    def __init__(self, gateway):
        super().__init__()
        self._gateway = gateway
        self.gaps = []
        self.errors = []

    def step(self):
        began, used = time.monotonic(), processor_s(self._gateway.pid)
        try:
            answer = self._gateway.request("GET", "/livez", token="")
            if answer.status_code != 200:
                self.errors.append((answer.status_code, answer.text))
        except requests.RequestException as error:
            self.errors.append(repr(error))
        self.gaps.append((time.monotonic() - began, processor_s(self._gateway.pid) - used))


class MemoryWatch(Repeating):
    """Keeps the most memory of its own that the gateway has had."""

    def __init__(self, gateway):
        super().__init__()
        self._gateway = gateway
        self.peak_kib = 0

    def step(self):
        self.peak_kib = max(self.peak_kib, rss_anon_kib(self._gateway.pid))


class Siege:
    """
    A healthy pair, a probe and a watch beside an attack on `gateway`. `front`: a proxy that
    the pair goes through; the probe goes to the gateway itself, as a supervisor does. `host`: a
    name of the pair's receiver.
    """

    def __init__(self, gateway, receiver, front=None, host=None):
        self.gateway = gateway
        self.pair = HealthyPair(front or gateway, receiver, host=host)
        self.livez = LivezProbe(gateway)
        self.memory = MemoryWatch(gateway)
        self._parts = (self.pair, self.livez, self.memory)

    def __enter__(self):
        for part in self._parts:
            part.start()
        wait_until(lambda: self.pair.delays and self.livez.gaps, what="a healthy pair")
        return self

    def __exit__(self, kind, *_):
        with contextlib.ExitStack() as stack:
            for part in self._parts:
                stack.callback(part.stop)
        if kind is None:
            self.judge()

    def hold(self, step=None):
        """Lets the attack last, and does `step` again and again meanwhile."""
        until = time.monotonic() + HOLD_S
        while time.monotonic() < until:
            if step:
                step()
            time.sleep(0.05)

    def expect_refused(self, resource, *takers):
        """
        Somebody was refused of `resource`, and a line of the log names one of `takers` for it:
        of several attackers whichever came first, as there is at most one line a second.
        """
        wait_until(lambda: shares(self.gateway)[resource]["refused_total"] > 0,
                   ATTACK_S, f"a refusal of {resource}")
        lines = [f"resource={resource} taker={taker}" for taker in takers]

        def is_named():
            text = self.gateway.log_text().replace('"', "")
            return any(line in text for line in lines)

        wait_until(is_named, what=" or ".join(lines))

    def judge(self):
        self.pair.wait_delivered()
        assert not self.pair.refusals, self.pair.refusals[:3]
        judge_times("delivery", self.pair.delays, DELIVERY_S, DELIVERY_WORST_S)
        assert not self.livez.errors, self.livez.errors[:3]
        judge_times("/livez", [wall for wall, _ in self.livez.gaps], LIVEZ_S, LIVEZ_WORST_S)
        own = max(used for _, used in self.livez.gaps)
        assert own <= LIVEZ_S, f"/livez waited for {own:.1f} s of the gateway's own time"
        assert IS_SANITIZED or self.memory.peak_kib < RSS_ANON_MAX_KIB, (
            f"{self.memory.peak_kib} KiB of memory"
        )


def judge_times(what, times, good_s, worst_s):
    """Most are in time, none is very late: one that is a little late is the machine's fault."""
    late = [t for t in times if t > good_s]
    assert max(times) <= worst_s, f"{what} took {max(times):.1f} s"
    assert len(late) <= len(times) / 2, f"{what}: {len(late)} of {len(times)} took over {good_s} s"
