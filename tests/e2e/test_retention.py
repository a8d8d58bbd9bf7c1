"""Retention: what is over goes, what is not stays, and the file uses its space again."""

import contextlib
import ctypes
import json
import os

import pytest

from harness import Hold, expect_error, hooks_path, wait_until

MDB_NOSUBDIR, MDB_RDONLY = 0x4000, 0x20000
TABLES_MAX = 32
SLICE = 1000  # deliveries of a deleted webhook that one turn drops
RETENTION_BYTES = 100_000


class Stat(ctypes.Structure):
    _fields_ = [("page_bytes", ctypes.c_uint), ("depth", ctypes.c_uint)] + [
        (name, ctypes.c_size_t) for name in ("branches", "leaves", "overflows", "entries")
    ]


class Info(ctypes.Structure):
    _fields_ = [("address", ctypes.c_void_p)] + [
        (name, ctypes.c_size_t) for name in ("map_bytes", "last_page", "last_txn")
    ] + [(name, ctypes.c_uint) for name in ("readers_max", "readers")]


class Store:
    """Looks into a running gateway's store: reads only, and only for a moment at a time."""

    def __init__(self, gateway):
        self.path = gateway.directory / "data" / "waybill.mdb"
        self._lmdb = ctypes.CDLL("liblmdb.so.0")
        self._env = ctypes.c_void_p()
        self._call("mdb_env_create", ctypes.byref(self._env))
        self._call("mdb_env_set_maxdbs", self._env, TABLES_MAX)
        flags = MDB_NOSUBDIR | MDB_RDONLY
        self._call("mdb_env_open", self._env, os.fsencode(self.path), flags, 0)

    def _call(self, name, *args):
        code = getattr(self._lmdb, name)(*args)
        assert code == 0, f"{name}: {code}"

    def rows(self, *tables):
        """How many rows each of the tables has, at one and the same moment."""
        txn, stat, counts = ctypes.c_void_p(), Stat(), []
        self._call("mdb_txn_begin", self._env, None, MDB_RDONLY, ctypes.byref(txn))
        try:
            for table in tables:
                handle = ctypes.c_uint()
                self._call("mdb_dbi_open", txn, table.encode(), 0, ctypes.byref(handle))
                self._call("mdb_stat", txn, handle, ctypes.byref(stat))
                counts.append(stat.entries)
        finally:
            self._lmdb.mdb_txn_abort(txn)
        return counts[0] if len(tables) == 1 else tuple(counts)

    def commits(self):
        """How many transactions have been committed."""
        info = Info()
        self._call("mdb_env_info", self._env, ctypes.byref(info))
        return info.last_txn

    def file_bytes(self):
        return self.path.stat().st_size

    def close(self):
        self._lmdb.mdb_env_close(self._env)


@contextlib.contextmanager
def store_of(gateway):
    store = Store(gateway)
    try:
        yield store
    finally:
        store.close()


def publish_batch(gateway, count, session="s1", data=None, event="message"):
    """Publishes `count` events at once and returns their ids."""
    event = {"session_id": session, "event": event, "data": data}
    body = json.dumps([event] * count).encode()
    answer = gateway.api("POST", "/events", body=body)
    assert answer.status_code == 202, answer.text
    return [stored["id"] for stored in answer.json()["events"]]


# By time


@pytest.mark.parametrize("retention", ["0s", "1s"])
def test_settled_events_go_and_what_is_queued_or_dead_stays(
    make_gateway, make_receiver, retention
):
    gateway = make_gateway(retention=retention, retry_schedule="1ms")
    receiver, failing, waiting = make_receiver(), make_receiver(500), make_receiver(500, 200)
    gateway.register("s1", receiver.url("/a"))
    gateway.register("s1", receiver.url("/b"))
    gateway.register("dead", failing.url())
    gateway.register("dead", receiver.url())  # of this event one delivery is over, one is not
    held = gateway.register("held", waiting.url(), retry=["1d"])
    dead, queued = gateway.publish("dead"), gateway.publish("held")
    (entry,) = wait_until(lambda: gateway.dlq("dead"), what="a dead letter")
    waiting.wait_for(1)
    publish_batch(gateway, 700)
    receiver.wait_for(1401)
    with store_of(gateway) as store:
        wait_until(
            lambda: store.rows("settled", "events", "deliveries") == (0, 2, 3),
            what="only what is not over in the store",
        )
        assert store.rows("queue", "dead", "dead_by_age", "webhooks") == (1, 1, 1, 5)
    failing.answer(200)
    assert gateway.dlq("dead") == [entry]
    assert gateway.replay("dead", entry["id"]).ok
    assert failing.wait_for(3)[-1].id == dead["id"]
    assert failing.requests[-1].body == failing.requests[0].body
    gateway.call("held", held["id"], "disable")
    gateway.call("held", held["id"], "enable")
    assert waiting.wait_for(2)[-1].id == queued["id"]
    assert waiting.requests[1].body == waiting.requests[0].body
    with store_of(gateway) as store:
        wait_until(
            lambda: store.rows("settled", "events", "deliveries", "queue", "dead") == (0,) * 5,
            what="an empty store",
        )


def test_settled_events_stay_for_their_time(gateway, make_receiver):
    """A day is the default. The first turn after a start sweeps."""
    receiver = make_receiver()
    gateway.register("s1", receiver.url(), ordering="fifo")
    publish_batch(gateway, 19)
    receiver.wait_for(19)
    gateway.stop()
    gateway.start()
    gateway.publish("s1")
    receiver.wait_for(20)
    gateway.stop()
    with store_of(gateway) as store:
        assert store.rows("settled", "events", "deliveries", "queue") == (20, 20, 20, 0)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_should_have_gone_while_it_was_down_goes_after_the_start(
    make_gateway, make_receiver, end
):
    receiver = make_receiver()
    gateway = make_gateway()
    gateway.register("s1", receiver.url())
    publish_batch(gateway, 50)
    receiver.wait_for(50)
    getattr(gateway, end)()
    gateway.reconfigure(retention="0s")
    gateway.start()
    with store_of(gateway) as store:
        wait_until(
            lambda: store.rows("settled", "events", "deliveries") == (0, 0, 0),
            what="an empty store",
        )


def test_dead_letters_go_after_their_time(make_gateway, make_receiver):
    gateway = make_gateway(
        dead_letter_retention="3s", retention="0s", retry_schedule="1ms", circuit_failures=1000
    )
    failing = make_receiver(500)
    webhook = gateway.register("s1", failing.url())
    publish_batch(gateway, 10)
    with store_of(gateway) as store:
        wait_until(lambda: store.rows("dead"), what="a dead letter")
        entry = wait_until(lambda: gateway.dlq("s1"), what="a dead letter")[0]
        assert len(failing.wait_for(20)) == 20
        wait_until(lambda: gateway.dlq("s1") == [], what="no dead letter")
        expect_error(gateway.replay("s1", entry["id"]), 404)
        wait_until(
            lambda: store.rows("dead", "dead_by_age", "deliveries", "events") == (0,) * 4,
            what="an empty store",
        )
    failing.answer(200)
    last = gateway.publish("s1")
    assert failing.wait_for(21)[-1].id == last["id"]
    assert gateway.webhook("s1", webhook["id"])["enabled"] is True


# By size


def test_settled_events_take_no_more_than_their_room(make_gateway, receiver):
    gateway = make_gateway(retention_bytes=RETENTION_BYTES)
    gateway.register("s1", receiver.url())
    publish_batch(gateway, 300, data="x" * 1000)
    receiver.wait_for(300)
    size = len(receiver.requests[0].body)
    with store_of(gateway) as store:
        wait_until(
            lambda: store.rows("queue") == 0
            and 0 < store.rows("settled") * size <= RETENTION_BYTES,
            what="no more than retention_bytes",
        )
        settled, events, deliveries = store.rows("settled", "events", "deliveries")
        assert settled == events == deliveries


def test_without_room_nothing_is_kept(make_gateway, receiver):
    gateway = make_gateway(retention_bytes=0)
    gateway.register("s1", receiver.url())
    publish_batch(gateway, 30)
    receiver.wait_for(30)
    with store_of(gateway) as store:
        wait_until(
            lambda: store.rows("settled", "events", "deliveries") == (0, 0, 0),
            what="an empty store",
        )


@pytest.mark.timeout(120)
def test_file_stops_growing_though_much_more_goes_through_it(make_gateway, make_receiver):
    rounds, count, size = 12, 600, 6000
    gateway = make_gateway(retention_bytes=RETENTION_BYTES)
    receiver = make_receiver()
    gateway.register("s1", receiver.url(), max_in_flight=32)
    sizes = []
    with store_of(gateway) as store:
        for number in range(1, rounds + 1):
            publish_batch(gateway, count, data="x" * size)
            receiver.wait_for(number * count, timeout=30)
            wait_until(
                lambda: store.rows("queue") == 0
                and store.rows("settled") * size <= RETENTION_BYTES,
                what="the sweep",
            )
            sizes.append(store.file_bytes())
    print(f"file sizes in KiB: {[n // 1024 for n in sizes]}")
    assert rounds * count * size > 3 * sizes[-1]
    assert sizes[-1] <= 1.25 * sizes[rounds // 3]


# A webhook that leaves


@pytest.fixture
def backlog(make_gateway, make_receiver):
    """A webhook with 20000 deliveries in its queue, one of them in flight for ever."""

    def make(**options):
        gateway = make_gateway(drain_timeout_ms=0, **options)
        receiver = make_receiver(Hold())
        webhook = gateway.register("s1", receiver.url(), ordering="fifo", timeout_ms=30000)
        for _ in range(2):
            publish_batch(gateway, 10000)
        receiver.wait_for(1)
        return gateway, receiver, hooks_path("s1", webhook["id"])

    return make


def test_long_queue_is_dropped_in_slices(backlog):
    gateway, receiver, path = backlog()
    with store_of(gateway) as store:
        assert store.rows("queue") == 20000
        before = store.commits()
        assert gateway.api("DELETE", path).ok
        wait_until(lambda: store.rows("queue", "webhooks") == (0, 0), 30, what="an empty queue")
        assert store.commits() - before >= 20000 / SLICE
        assert store.rows("settled", "events", "deliveries") == (20000,) * 3
    assert len(receiver.requests) == 1


def test_others_are_served_while_a_long_queue_is_dropped(backlog, make_receiver):
    gateway, deleted, path = backlog(retention="0s")
    kept = make_receiver()
    gateway.register("s2", kept.url(), ordering="fifo")
    ids = []
    with store_of(gateway) as store:
        assert gateway.api("DELETE", path).ok
        again = gateway.register("s1", deleted.url(), events=["receipt"])  # the URL is free
        while len(ids) < 20 or store.rows("queue", "webhooks") != (0, 2):
            ids.append(gateway.publish("s2")["id"])
        assert [r.id for r in kept.wait_for(len(ids))] == ids
        wait_until(
            lambda: store.rows("queue", "settled", "events", "deliveries") == (0,) * 4, 30,
            what="an empty store",
        )
    print(f"{len(ids)} published meanwhile")
    assert len(deleted.requests) == 1
    assert gateway.webhook("s1", again["id"]) == again


def test_dropping_goes_on_after_a_kill(backlog):
    gateway, receiver, path = backlog()
    assert gateway.api("DELETE", path).ok
    gateway.kill()
    gateway.start()
    expect_error(gateway.api("GET", path), 404)
    with store_of(gateway) as store:
        wait_until(lambda: store.rows("queue", "webhooks") == (0, 0), 30, what="an empty queue")
        assert store.rows("settled", "events", "deliveries") == (20000,) * 3
    assert len(receiver.requests) == 1
