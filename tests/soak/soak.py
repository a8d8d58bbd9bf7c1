"""
Soak: a gateway under load for SOAK_TIME seconds, with everything around it failing at random.

Publishers send single events and batches; webhooks are made, changed, disabled, rotated and
deleted; receivers answer late, wrongly, half or not at all; dead letters are replayed; the
gateway is killed or stopped now and then, and started again. What must hold:

- Each event that was answered 202 arrives at each webhook that was there for it, whole, signed,
  and as one event whatever was repeated; or it is a dead letter.
- No sanitizer has anything to say, leaks at each stop included.
- A gateway that lives through cycle after cycle holds no more memory and descriptors after the
  last one than after an early one.

Half of the time is such cycles ("steady": load, drain, measure), half the kills ("storm").
SOAK_SEED=N repeats a run as far as threads let it. WAYBILL is the program.

usage: SOAK_TIME=600 WAYBILL=build/asan/waybill soak.py
"""

import json
import os
import pathlib
import random
import re
import shutil
import sys
import tempfile
import threading
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from harness import (  # noqa: E402
    Gateway, Receiver, close, hooks_path, raw, reset, sign_standard, sign_v1, sign_v2, status,
    wait_until,
)

SESSIONS = ("soak-a", "soak-b", "soak-c")
EVENTS = ("message",) * 6 + ("receipt",) * 3 + ("call_log_sync",)
REFUSED_EVENT = "call_log_sync"  # of the webhook at which nobody listens
HOOKS_MIN, HOOKS_MAX = 3, 9
RECEIVERS = 3
PUBLISHERS = 3
PENDING_MAX = 400  # deliveries; above it publishers wait, as the end has to wait for them too
DRAIN_MAX_S = 120  # a cap on what never ends; a drain takes a second or two
GROWTH_MAX_KB = 24 * 1024  # allocators keep what they had; what is lost in a cycle is more
GROWTH_MAX_FDS = 64  # connections that curl keeps open
STEADY_CYCLES = 4

SETTINGS = {
    "retry_schedule": "50ms,100ms,200ms,400ms,800ms",
    "circuit_open": "10ms",
    "circuit_failures": 10,
    "retention": "1s",
    "drain_timeout_ms": 3000,
    "log_level": "warn",
}


def late(seconds):
    """Answers 200, but after a while."""

    def act(link, request, closing):
        return not closing.wait(seconds) and status(200)(link, request, closing)

    return act


# How often, whether the delivery counts as taken (a final status of 2xx came, or may have come
# in time), and what a receiver does in place of a plain 200.
TROUBLES = (
    (6, False, status(500)),
    (3, False, status(503)),
    (3, False, status(404)),
    (3, False, status(429, headers=[("Retry-After", "1")])),
    (3, True, late(0.1)),
    (2, True, late(1.5)),  # longer than any timeout_ms here
    (3, False, reset()),
    (3, False, close()),
    (2, False, raw(b"HTTP/1.1 200 OK\r\nContent-Le")),
    (2, True, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")),
    (2, False, raw(b"\0\xffgarbage\r\n\r\n")),
    (1, False, raw(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200000)),
)
TROUBLE = 0.3  # part of the requests that meet one


def data_of(number):
    """What event `number` carries: the number, and text of a size that it decides."""
    return {"n": number, "text": "\u00e9\u2028" * (number % 97 * (50 if number % 31 == 0 else 1))}


class Hook:
    """A webhook as its client knows it. `sure_since`: None while it may not match events."""

    def __init__(self, number, session, url, events, refused):
        self.number, self.session, self.url, self.events = number, session, url, events
        self.refused = refused  # nobody listens at its URL: its deliveries become dead letters
        self.secrets = [f"secret-{number}-0"]
        self.id = None
        self.sure_since = None

    def wants(self, event):
        return self.events == ["all"] or event in self.events


class Ledger:
    """What was acknowledged and has not arrived, and all that went wrong."""

    def __init__(self):
        self.lock = threading.Lock()
        self.hooks = {}  # by number, those that were not deleted
        self.pending = set()  # (number of the webhook, number of the event), to arrive
        self.dead = set()  # the same where nobody listens: to be dead letters
        self.arrived = {}  # number of the webhook -> numbers of events
        self.ids = {}  # number of the event -> its X-Webhook-Id
        self.errors = []
        self.accepted = 0
        self.received = 0

    def error(self, text):
        if len(self.errors) < 20:
            self.errors.append(text)

    def accept(self, session, event, number, began):
        """An event, sent at `began`, was answered 202: who is to get it?"""
        with self.lock:
            self.accepted += 1
            for hook in self.hooks.values():
                sure = hook.sure_since is not None and hook.sure_since <= began
                if not sure or hook.session != session or not hook.wants(event):
                    continue
                if hook.refused:
                    self.dead.add((hook.number, number))
                elif number not in self.arrived[hook.number]:
                    self.pending.add((hook.number, number))

    def arrive(self, hook_number, number, event_id):
        with self.lock:
            self.received += 1
            self.arrived.setdefault(hook_number, set()).add(number)
            self.pending.discard((hook_number, number))
            if self.ids.setdefault(number, event_id) != event_id:
                self.error(f"event {number} is two events: {event_id}, {self.ids[number]}")

    def forget(self, hook):
        """A webhook is about to be deleted: nobody knows what of its deliveries will come."""
        with self.lock:
            self.hooks.pop(hook.number, None)
            self.pending = {pair for pair in self.pending if pair[0] != hook.number}

    def set_sure(self, hook, sure):
        with self.lock:
            hook.sure_since = time.monotonic() if sure else None


class Endpoint:
    """A receiver that fails at random, and is away now and then, always on the same port."""

    def __init__(self, ledger, rnd):
        self._ledger, self._rnd = ledger, rnd
        self._weights = [weight for weight, _, _ in TROUBLES]
        self.calm = False
        self._receiver = None
        self.port = 0
        self.open()

    def open(self):
        if self._receiver is None:
            self._receiver = Receiver(self._act, port=self.port)
            self._receiver.requests = Discarded()
            self.port = self._receiver.port

    def close(self):
        if self._receiver is None:
            return
        self._receiver.close()
        for error in self._receiver.errors:
            if "ended" not in error:  # what a kill leaves behind ends early
                self._ledger.error(error)
        self._receiver = None

    def _act(self, link, request, closing):
        takes, act = True, status(200)
        with self._ledger.lock:
            if not self.calm and self._rnd.random() < TROUBLE:
                _, takes, act = self._rnd.choices(TROUBLES, self._weights)[0]
        try:
            if takes:
                self._take(request)
        except Exception as error:  # this is a thread of the receiver's
            self._ledger.error(f"{request.path}: {error!r}")
        return act(link, request, closing)

    def _take(self, request):
        hook_number = int(request.path.removeprefix("/hook/"))
        hook = self._ledger.hooks.get(hook_number)
        envelope = json.loads(request.body)
        number = envelope["data"]["n"]
        assert envelope["data"] == data_of(number), "another body"
        if hook is not None:
            check_signatures(request, list(hook.secrets))
        self._ledger.arrive(hook_number, number, request.id)


class Discarded:
    """What a Receiver appends its requests to, and which keeps none: they would fill memory."""

    def append(self, _request):
        pass


def check_signatures(request, keys):
    """Asserts that all signatures are by keys that the webhook has or had a moment ago."""
    at = request.header("X-Webhook-Timestamp")
    if request.header("X-Webhook-Signature-Version") == "v2":
        right = [sign_v2(key, at, request.body) for key in keys]
    else:
        right = [sign_v1(key, request.body) for key in keys]
    assert request.header("X-Webhook-Signature") in right, "X-Webhook-Signature"
    standard = {sign_standard(key, request.id, at, request.body) for key in keys}
    assert set(request.header("webhook-signature").split(" ")) <= standard, "webhook-signature"


class Actor:
    """Does step() again and again, except while paused; what goes wrong in it is an error."""

    def __init__(self, soak, name, pause_s):
        self.soak, self.ledger, self._pause_s = soak, soak.ledger, pause_s
        self.rnd = random.Random(f"{soak.seed} {name}")
        self._ended = threading.Event()
        self._runs = threading.Event()
        self._idle = threading.Lock()  # held within a step
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ended.is_set():
            if self._runs.wait(0.1):
                with self._idle:
                    self._try_step()
                self._ended.wait(self._pause_s)

    def _try_step(self):
        try:
            self.step()
        except requests.exceptions.RequestException:
            self._ended.wait(0.02)  # killed under it
        except Exception as error:
            self.ledger.error(f"{type(self).__name__}: {error!r}")

    def resume(self):
        self._runs.set()

    def pause(self):
        """Returns when the step under way has ended."""
        self._runs.clear()
        with self._idle:
            pass

    def end(self):
        self._ended.set()
        self._thread.join()

    def call(self, method, path, known=(200,), **kwargs):
        """Calls the API; None where the answer means that it is to be tried another time."""
        answer = self.soak.gateway.api(method, path, **kwargs)
        if answer.status_code in known:
            return answer
        # 401: the port's next owner, which is no gateway of ours
        if answer.status_code not in (401, 404, 409, 429, 503, 507):
            self.ledger.error(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return None


class Publisher(Actor):
    """Sends one event or a batch, under keys, until it is answered: a repeat is no second one."""

    def step(self):
        if len(self.ledger.pending) > PENDING_MAX:
            time.sleep(0.02)
            return
        count = self.rnd.choice([1, 1, 1, 2, 5, 20])
        items = [
            {"session_id": self.rnd.choice(SESSIONS), "event": self.rnd.choice(EVENTS),
             "id": f"key-{number}", "data": data_of(number)}
            for number in self.soak.take_numbers(count)
        ]
        for _ in range(20):
            began = time.monotonic()
            try:
                answer = self._send(items)
            except requests.exceptions.RequestException:
                answer = None
            if answer is not None:
                for item in items:
                    self.ledger.accept(item["session_id"], item["event"], item["data"]["n"], began)
                return
            time.sleep(0.05)

    def _send(self, items):
        if len(items) > 1:
            return self.call("POST", "/events", known=(202,), json=items)
        item = dict(items[0])
        path = f"/sessions/{item.pop('session_id')}/events"
        return self.call("POST", path, known=(202,), json=item)


class Gardener(Actor):
    """Makes, changes, disables, rotates and deletes webhooks."""

    def step(self):
        hooks = list(self.ledger.hooks.values())
        kept = [hook for hook in hooks if not hook.refused]
        if len(kept) < HOOKS_MIN or (len(kept) < HOOKS_MAX and self.rnd.random() < 0.3):
            self.make(self.rnd.choice(SESSIONS))
            return
        self.rnd.choice([self._change, self._switch, self._rotate, self._delete, self._list])(
            self.rnd.choice(kept)
        )

    def make(self, session, refused=False):
        number = next(self.soak.hook_numbers)
        port = self.soak.refused_port if refused else self.rnd.choice(self.soak.endpoints).port
        events = self.rnd.choice([["all"], ["message"], ["message", "receipt"]])
        events = [REFUSED_EVENT] if refused else events
        hook = Hook(number, session, f"http://127.0.0.1:{port}/hook/{number}", events, refused)
        with self.ledger.lock:
            self.ledger.hooks[number] = hook
            self.ledger.arrived.setdefault(number, set())
        fields = {"url": hook.url, "events": events, "secret": hook.secrets[0],
                  "timeout_ms": self.rnd.choice([300, 600]), "max_in_flight": 4,
                  "ordering": self.rnd.choice(["none", "none", "fifo"]),
                  "signature": self.rnd.choice(["v1", "v2"]),
                  "retry": ["10ms"] if refused else None}
        try:
            answer = self.call("POST", hooks_path(session), json=fields)
        except requests.exceptions.RequestException:
            answer = None
        if answer is None:  # it may be there all the same: _list() deletes it then
            self.ledger.forget(hook)
            return None
        hook.id = answer.json()["id"]
        self.ledger.set_sure(hook, True)
        return hook

    def _change(self, hook):
        change = self.rnd.choice([{"max_in_flight": 2}, {"timeout_ms": 500}, {"signature": "v2"},
                                  {"description": "\u00e9" * 50}, {"headers": {"X-A": "b"}},
                                  {"rate_limit": 200}, {"ordering": "fifo"}, {"retry": None}])
        self.call("PATCH", hooks_path(hook.session, hook.id), json=change)

    def _switch(self, hook):
        self.ledger.set_sure(hook, False)
        self.call("POST", hooks_path(hook.session, hook.id, "disable"))
        self.enable(hook)

    def enable(self, hook):
        if self.call("POST", hooks_path(hook.session, hook.id, "enable")) is not None:
            self.ledger.set_sure(hook, True)

    def _rotate(self, hook):
        new = f"secret-{hook.number}-{len(hook.secrets)}"
        hook.secrets.append(new)
        self.call("POST", hooks_path(hook.session, hook.id, "rotate-secret"),
                  json={"secret": new, "overlap_seconds": self.rnd.choice([0, 1, 60])})

    def _delete(self, hook):
        self.ledger.forget(hook)
        self.call("DELETE", hooks_path(hook.session, hook.id))

    def _list(self, hook):
        """Deletes what a request that was cut off has made after all."""
        answer = self.call("GET", hooks_path(hook.session))
        for found in answer.json()["webhooks"] if answer else []:
            if int(found["url"].rsplit("/", 1)[1]) not in self.ledger.hooks:
                self.call("DELETE", hooks_path(hook.session, found["id"]))


class Replayer(Actor):
    """Replays some dead letters."""

    def step(self):
        session = self.rnd.choice(SESSIONS)
        answer = self.call("GET", hooks_path(session, "dlq?limit=20"))
        for entry in answer.json()["entries"] if answer else []:
            if self.rnd.random() < 0.5:
                self.call("POST", hooks_path(session, "dlq", entry["id"], "replay"))


class Absence(Actor):
    """Takes a receiver away for a moment: connections to it are refused."""

    def step(self):
        endpoint = self.rnd.choice(self.soak.endpoints)
        endpoint.close()
        time.sleep(self.rnd.uniform(0.05, 0.5))
        wait_until(lambda: self._is_back(endpoint), what="the receiver's port")

    @staticmethod
    def _is_back(endpoint):
        try:
            endpoint.open()
            return True
        except OSError:
            return False  # another program has the port for a moment


class Soak:
    """
    A run in `directory`: `rounds` of storm and steady load, of `seconds` together. It raises
    AssertionError for what it finds.
    """

    def __init__(self, directory, seed, seconds, rounds=2):
        self.seed, self._rounds, self._phase_s = seed, rounds, seconds / rounds / 2
        self.ledger = Ledger()
        self.hook_numbers = iter(range(1, 1 << 30))
        self._event_number = 0
        self._rnd = random.Random(f"{seed} main")
        self.gateway = Gateway(directory, **SETTINGS)
        self.endpoints = [Endpoint(self.ledger, random.Random(f"{seed} {n}"))
                          for n in range(RECEIVERS)]
        unused = Receiver()
        self.refused_port = unused.port
        unused.close()
        self.kills = self.stops = 0
        self.measures = []
        self.gateway.start()
        self.gardener = Gardener(self, "gardener", 0.1)
        self.actors = [self.gardener, Replayer(self, "replayer", 0.5), Absence(self, "absence", 2)]
        self.actors += [Publisher(self, f"publisher {n}", 0.01) for n in range(PUBLISHERS)]

    def take_numbers(self, count):
        with self.ledger.lock:
            first = self._event_number
            self._event_number += count
        return range(first, first + count)

    def run(self):
        self.gardener.make(SESSIONS[0], refused=True)
        for _ in range(self._rounds):
            self._storm(self._phase_s)
            self._steady(self._phase_s)
        self._restart(kill=True)  # what is accounted for now has been on disk
        self._drain()
        self.gateway.stop()

    def close(self):
        for actor in self.actors:
            actor.end()
        self.gateway.close()
        for endpoint in self.endpoints:
            endpoint.close()

    def summary(self):
        ledger = self.ledger
        measures = " ".join(f"{kb} KiB/{fds}" for kb, fds in self.measures)
        return (f"{ledger.accepted} events accepted, {ledger.received} deliveries received, "
                f"{len(ledger.dead)} dead letters; "
                f"{self.kills} kills, {self.stops} stops; memory/descriptors: {measures}")

    def _load(self, seconds):
        """Lets all actors act for a while; which is no test of time, but its length."""
        for endpoint in self.endpoints:
            endpoint.calm = False
        for actor in self.actors:
            actor.resume()
        time.sleep(seconds)

    def _storm(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._load(self._rnd.uniform(0.1, 1) * min(6, seconds / 2))
            self._restart(kill=self._rnd.random() < 0.6)
        self._drain()

    def _restart(self, kill):
        if kill:
            self.gateway.kill()
            self.kills += 1
        else:
            self.gateway.stop()  # asserts status 0: no leak
            self.stops += 1
        self.gateway.start()

    def _steady(self, seconds):
        """One process through all cycles; the first one warms it up."""
        measures = []
        for _ in range(STEADY_CYCLES):
            self._load(seconds / STEADY_CYCLES)
            self._drain()
            measures.append(self._measure())
        self.measures += measures
        early, late = measures[1], measures[-1]
        assert late[0] <= early[0] + GROWTH_MAX_KB, f"memory grows: {measures}"
        assert late[1] <= early[1] + GROWTH_MAX_FDS, f"descriptors grow: {measures}"

    def _measure(self):
        """KiB of memory that no file backs, and open descriptors."""
        process = pathlib.Path(f"/proc/{self.gateway.process.pid}")
        text = (process / "status").read_text()
        return (int(re.search(r"RssAnon:\s+(\d+) kB", text).group(1)),
                len(list((process / "fd").iterdir())))

    def _drain(self):
        """Pauses the load and waits until nothing is missing; then there is no error either."""
        for actor in self.actors:
            actor.pause()
        for endpoint in self.endpoints:
            endpoint.open()
            endpoint.calm = True
        for hook in list(self.ledger.hooks.values()):
            if hook.sure_since is None:
                self.gardener.enable(hook)
        try:
            wait_until(self._is_drained, DRAIN_MAX_S, "arrival of all that was accepted")
        finally:
            if self.ledger.pending:
                print("missing (webhook, event):", sorted(self.ledger.pending)[:10])
            print(*self.ledger.errors, sep="\n", end="")
        assert not self.ledger.errors, "errors, above"
        assert self.gateway.running, "it has ended by itself"

    def _is_drained(self):
        """Whether all has arrived or is a dead letter; those of live receivers are replayed."""
        found = set()
        for session in SESSIONS:
            for entry in self._dead_letters(session):
                number = int(entry["webhook_url"].rsplit("/", 1)[1])
                pair = number, json.loads(entry["payload"])["data"]["n"]
                found.add(pair)
                if pair in self.ledger.pending:
                    self.gateway.replay(session, entry["id"])
        time.sleep(0.1)
        return not self.ledger.pending and self.ledger.dead <= found

    def _dead_letters(self, session):
        cursor = ""
        while cursor is not None:
            path = hooks_path(session, "dlq?limit=200" + (cursor and "&cursor=" + cursor))
            page = self.gateway.api("GET", path).json()
            yield from page["entries"]
            cursor = page["next_cursor"]


def main():
    seconds = float(os.environ.get("SOAK_TIME") or 600)
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(1 << 32))
    directory = pathlib.Path(tempfile.mkdtemp(prefix="waybill-soak-"))
    print(f"soak: {seconds:g} s, SOAK_SEED={seed}, in {directory}", flush=True)
    # The quarantine of freed memory would look like growth until it is full.
    os.environ["ASAN_OPTIONS"] = f"detect_leaks=1:quarantine_size_mb=8:log_path={directory}/report"
    os.environ["UBSAN_OPTIONS"] = f"print_stacktrace=1:log_path={directory}/report"
    soak = Soak(directory, seed, seconds)
    try:
        soak.run()
    except BaseException:
        print(soak.summary())
        print(f"soak: FAILED; the log and the store are in {directory}")
        raise
    finally:
        soak.close()
        reports = sorted(directory.glob("report.*"))
        for report in reports:
            print(report.read_text(errors="replace"))
    print("soak:", soak.summary())
    if reports:
        sys.exit("soak: a sanitizer has reported, above")
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
