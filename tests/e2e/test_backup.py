"""
Backups through the running gateway: complete, of one moment, restorable, refused when a byte is
missing; and whatever their reader does, the gateway goes on.
"""

import contextlib
import re
import signal
import socket
import struct
import threading

import pytest

from harness import BINARY, expect_error, hooks_path, wait_until, waybill
from test_crash import Publisher
from test_fsck import expect_sound
from test_retention import publish_batch

CHUNK_HEAD = re.compile(rb"([0-9a-f]+)\r\n")
BULK_BYTES = 12_000_000  # of events: more than the sockets between two processes hold


def backup(gateway, directory, **env):
    return waybill(
        "backup", "--url", gateway.url, directory, env={"WAYBILL_TOKEN": gateway.token, **env}
    )


def expect_backup(gateway, directory):
    done = backup(gateway, directory)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"{directory}: complete\n"
    assert not directory.with_name(directory.name + ".partial").exists()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "waybill.mdb").stat().st_mode & 0o777 == 0o600
    expect_sound(directory)


def expect_failure(done, directory, *mentions):
    """A backup that failed leaves nothing behind."""
    assert done.returncode == 1, done.stdout
    for mention in mentions:
        assert mention in done.stderr
    assert not directory.exists()
    assert not directory.with_name(directory.name + ".partial").exists()


class Reader:
    """A client that reads a backup when it is told to, and understands its form by itself."""

    def __init__(self, gateway):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(20)
        self.sock.connect(gateway.address)
        self.sock.sendall(
            b"GET /api/v1/backup HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer " + gateway.token.encode() + b"\r\n\r\n"
        )
        self.raw = self.sock.recv(10)  # it has begun, and no more is read

    def finish(self):
        """Reads to the end of the connection; returns the stream, and whether it was ended."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        pieces = [self.raw]
        with contextlib.suppress(ConnectionResetError):
            while data := self.sock.recv(1 << 20):
                pieces.append(data)
        head, body = b"".join(pieces).split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        return dechunk(body)

    def close(self):
        self.sock.close()


def dechunk(body):
    """What the complete chunks hold, and whether the last one ended them."""
    at, pieces = 0, []
    while match := CHUNK_HEAD.match(body, at):
        size, at = int(match.group(1), 16), match.end()
        if size == 0 or len(body) < at + size + 2:
            return b"".join(pieces), size == 0 and body[at:] == b"\r\n"
        pieces.append(body[at : at + size])
        at += size + 2
    return b"".join(pieces), False


def rows_of(stream):
    """The rows of a stream, table -> {key: value}; asserts that it is whole."""
    assert stream.startswith(b"waybill backup\n\x01")
    at, tables, rows, count = len("waybill backup\n") + 9, {}, None, 0
    while stream[at : at + 1] != b"E":
        kind, size = stream[at : at + 1], struct.unpack_from(">H", stream, at + 1)[0]
        name = stream[at + 3 : at + 3 + size]
        at += 3 + size
        if kind == b"T":
            rows = tables.setdefault(name.decode(), {})
            continue
        assert kind == b"R"
        size = struct.unpack_from(">I", stream, at)[0]
        rows[name] = stream[at + 4 : at + 4 + size]
        at += 4 + size
        count += 1
    assert struct.unpack_from(">Q", stream, at + 1)[0] == count
    assert len(stream) == at + 1 + 8 + 8
    return tables


def events_in(tables):
    """Ids of the events, from the keys of their first pieces."""
    return {k[:16].hex() for k in tables["events"] if k[16:] == b"\0\0"}


@pytest.fixture
def make_full(make_gateway, make_receiver):
    """A gateway whose store is too large for a reader that does not read."""

    def make(**options):
        gateway = make_gateway(**options)
        failing = make_receiver(500)
        gateway.register("bulk", failing.url(), retry=["1d"], max_in_flight=1)
        for _ in range(BULK_BYTES // 500_000):
            gateway.publish("bulk", data="x" * 500_000)
        return gateway

    return make


@pytest.fixture
def read():
    readers = []

    def make(gateway):
        readers.append(Reader(gateway))
        return readers[-1]

    yield make
    for reader in readers:
        reader.close()


def wait_for_log(gateway, text, count=1):
    wait_until(lambda: gateway.log_text().count(text) >= count, what=f"log line {text!r}")


# Taking and restoring


@pytest.mark.timeout(120)
def test_backup_under_load_is_restored(make_gateway, make_receiver, tmp_path):
    """What was accepted before it began is delivered by the gateway that serves the copy."""
    gateway, failing = make_gateway(), make_receiver(500)
    hook = gateway.register("crash", failing.url(), retry=["1d"])
    publishers = [Publisher(gateway, n, lambda: False) for n in range(2)]
    for publisher in publishers:
        publisher.start()
    copies = []
    for n in range(3):
        wait_until(
            lambda n=n: all(len(p.accepted) > 30 * (n + 1) for p in publishers),
            what="events under load",
        )
        before = {key for p in publishers for key in list(p.accepted)}
        copies.append((tmp_path / f"copy{n}", before))
        expect_backup(gateway, copies[-1][0])
    for publisher in publishers:
        publisher.stop()
        assert publisher.unexpected == []
    accepted = {key for p in publishers for key in p.accepted}
    gateway.stop()
    copy, before = copies[-1]
    assert before < accepted  # it went on meanwhile
    receiver = make_receiver()
    restored = make_gateway(data=copy, token=gateway.token)
    changed = restored.api("PATCH", hooks_path("crash", hook["id"]), json={"url": receiver.url()})
    assert changed.ok
    restored.call("crash", hook["id"], "disable")
    restored.call("crash", hook["id"], "enable")
    wait_until(lambda: before <= receiver.ids, timeout=30, what="all that was in the copy")
    assert receiver.ids <= accepted
    restored.stop()
    expect_sound(copy)


def test_backup_of_an_empty_store_and_into_an_empty_folder(gateway, tmp_path):
    (tmp_path / "copy").mkdir()
    expect_backup(gateway, tmp_path / "copy")
    expect_backup(gateway, tmp_path / "other")
    done = waybill(
        "backup", "--url", gateway.url, "--token", gateway.token, f"{tmp_path}/slash/"
    )
    assert done.returncode == 0, done.stderr
    expect_sound(tmp_path / "slash")


def test_backup_holds_what_the_store_holds(make_full, read):
    gateway = make_full()
    stream, ended = read(gateway).finish()
    assert ended
    tables = rows_of(stream)
    assert len(events_in(tables)) == BULK_BYTES // 500_000
    assert len(tables["webhooks"]) == 1
    assert len(tables["queue"]) == len(tables["deliveries"]) == len(events_in(tables))


# A reader that does not read


def test_a_stalled_reader_holds_nobody_up(make_full, make_receiver, read, tmp_path):
    gateway, receiver = make_full(), make_receiver()
    gateway.register("s1", receiver.url())
    reader = read(gateway)
    ids = [gateway.publish("s1")["id"] for _ in range(50)]
    receiver.wait_for(50)
    error = expect_error(gateway.api("GET", "/backup"), 409)
    assert "one at a time" in error["message"]
    expect_failure(backup(gateway, tmp_path / "copy"), tmp_path / "copy", "HTTP status 409")
    stream, ended = reader.finish()
    assert ended
    events = events_in(rows_of(stream))
    assert len(events) == BULK_BYTES // 500_000
    assert not {i.replace("-", "") for i in ids} & events  # they came after it had begun
    expect_backup(gateway, tmp_path / "copy")


def test_a_reader_that_is_stuck_is_cut_off(make_full, read):
    gateway = make_full(backup_stall_ms=100)
    reader = read(gateway)
    wait_for_log(gateway, "backup was cut off")
    stream, ended = reader.finish()
    assert stream.startswith(b"waybill backup\n") and not ended
    read(gateway)
    wait_for_log(gateway, "backup begins", 2)


def test_a_reader_that_leaves_frees_the_store(make_full, read, tmp_path):
    gateway = make_full()
    for n in range(3):
        read(gateway).close()
        wait_for_log(gateway, "backup was cut off", n + 1)
    expect_backup(gateway, tmp_path / "copy")


def test_a_stop_does_not_wait_for_a_backup(make_full, read):
    gateway = make_full(drain_timeout_ms=600_000)
    reader = read(gateway)
    with gateway.connect() as idle:
        gateway.stop()
        assert idle.is_closed()
    _, ended = reader.finish()
    assert not ended
    assert "backup was cut off" in gateway.log_text()


@pytest.mark.timeout(120)
def test_a_backup_is_ended_when_the_store_cannot_grow_for_it(make_full, make_receiver, read):
    """Pages that deliveries free cannot be used again while a backup lasts."""
    gateway, receiver = make_full(store_max_bytes="24MiB", retention="0s"), make_receiver()
    gateway.register("s1", receiver.url())
    reader = read(gateway)

    def is_ended():
        answer = gateway.api(
            "POST", "/sessions/s1/events", json={"event": "message", "data": "x" * 100_000}
        )
        assert answer.status_code in (202, 507), answer.text
        return "the backup is ended" in gateway.log_text()

    wait_until(is_ended, timeout=60, what="the end of the backup")
    _, ended = reader.finish()
    assert not ended
    for _ in range(100):  # more than is free without those pages
        wait_until(
            lambda: gateway.api(
                "POST", "/sessions/s1/events", json={"event": "message", "data": "x" * 100_000}
            ).status_code == 202,
            what="room for an event",
        )


# Refusals


def test_only_a_token_for_all_sessions_may(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("scoped-token s1 s2\n", encoding="utf-8")
    gateway = make_gateway(tokens_file=tokens)
    expect_error(gateway.api("GET", "/backup", token="scoped-token"), 403)
    expect_error(gateway.api("GET", "/backup", token="wrong-token"), 401)
    expect_error(gateway.api("POST", "/backup", json={}), 405)
    assert gateway.api("HEAD", "/backup").status_code == 405
    expect_failure(
        backup(gateway, tmp_path / "copy", WAYBILL_TOKEN="scoped-token"),
        tmp_path / "copy",
        "HTTP status 403",
    )


def test_http_1_0_is_refused(gateway):
    with gateway.connect() as client:
        client.send(
            b"GET /api/v1/backup HTTP/1.0\r\nConnection: keep-alive\r\n"
            b"Authorization: Bearer " + gateway.token.encode() + b"\r\n\r\n"
        )
        data = client._link.read_until(b"\r\n\r\n")
        assert data.startswith(b"HTTP/1.0 505 ")


@pytest.mark.parametrize("args", [(), ("a", "b"), ("--fly", "a"), ("--url", "nowhere", "a")])
def test_wrong_usage(args, tmp_path):
    assert waybill("backup", *args).returncode == 2


def test_what_is_in_the_way_stays(gateway, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "file").touch()
    done = backup(gateway, tmp_path / "copy")
    assert done.returncode == 1 and "not an empty folder" in done.stderr
    assert [p.name for p in (tmp_path / "copy").iterdir()] == ["file"]
    (tmp_path / "two.partial").mkdir()
    done = backup(gateway, tmp_path / "two")
    assert done.returncode == 1 and "two.partial" in done.stderr
    assert (tmp_path / "two.partial").exists() and not (tmp_path / "two").exists()


def test_no_gateway(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    done = waybill("backup", "--url", url, tmp_path / "copy")
    expect_failure(done, tmp_path / "copy", url)


class Impostor(threading.Thread):
    """Answers one request with `stream`, ended as HTTP says or cut."""

    def __init__(self, stream, ended):
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._stream, self._ended = stream, ended
        self.start()

    def run(self):
        with self._listener, self._listener.accept()[0] as link:
            link.recv(65536)
            link.sendall(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                + b"%x\r\n%s\r\n" % (len(self._stream), self._stream)
                + (b"0\r\n\r\n" if self._ended else b"")
            )
            with contextlib.suppress(OSError):  # who refuses the stream leaves at once
                link.shutdown(socket.SHUT_WR)
                link.recv(1)


def damaged(stream):
    """Name -> a stream that must be refused, and what for."""
    half = len(stream) // 2
    flipped = stream[:half] + bytes([stream[half] ^ 1]) + stream[half + 1 :]
    return {
        "cut": (stream[:half], "ended early"),
        "without the checksum's last byte": (stream[:-1], "ended early"),
        "with a byte changed": (flipped, ""),
        "with a byte more": (stream + b"x", "goes on behind its end"),
        "of another form": (stream.replace(b"\n\x01", b"\n\x02", 1), "has form 2"),
        "something else": (b'{"success":true}' * 10, "not a backup"),
    }


def test_a_stream_that_is_not_whole_is_refused(make_gateway, make_receiver, read, tmp_path):
    gateway, failing = make_gateway(), make_receiver(500)
    gateway.register("s1", failing.url(), retry=["1d"])
    publish_batch(gateway, 100, data="x" * 1000)
    stream, ended = read(gateway).finish()
    assert ended
    copy = tmp_path / "copy"
    for name, (bad, mention) in damaged(stream).items():
        for http_ended in (True, False):
            done = waybill("backup", "--url", Impostor(bad, http_ended).url, copy)
            expect_failure(done, copy, mention)
            print(f"{name}: {done.stderr}")
    done = waybill("backup", "--url", Impostor(stream, True).url, copy)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_backup_leaves_nothing(start_process, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = start_process(BINARY, "backup", "--url", url, tmp_path / "copy")
        link, _ = listener.accept()
        with link:
            assert link.recv(65536).startswith(b"GET /api/v1/backup HTTP/1.1\r\n")
            assert (tmp_path / "copy.partial").exists()
            process.signal(signal.SIGTERM)
            assert process.wait() == 1
    assert list(tmp_path.iterdir()) == []
