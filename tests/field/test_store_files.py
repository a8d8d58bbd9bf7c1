"""The store's files, lost or damaged beneath a server: it says so in words, and ends with 1."""

import collections
import contextlib
import os
import random
import shutil
import signal
import subprocess

import pytest

from harness import BINARY, environment, flags, waybill

PAGE = 4096


@pytest.fixture
def stopped(make_gateway, make_receiver):
    """A gateway that has stopped, with something in its store, and its file."""
    gateway = make_gateway()
    receiver = make_receiver(200)
    gateway.register("s1", receiver.url())
    for i in range(30):
        gateway.publish("s1", data={"n": i, "text": "x" * 3000})
    gateway.publish("s1", data="y" * 100000)
    receiver.wait_for(31)
    gateway.stop()
    return gateway, gateway.directory / "data" / "waybill.mdb"


def serve(gateway):
    """Starts on the gateway's store something that should end by itself."""
    return waybill(
        "serve", *flags({"listen": "127.0.0.1:0", "data": gateway.directory / "data"})
    )


def check(gateway, **options):
    return waybill("check-config", *flags({"data": gateway.directory / "data", **options}))


def contents(gateway):
    """What is in its folder: names, sizes, times of change, and bytes, of a large file its first."""
    found = {}
    for path in (gateway.directory / "data").iterdir():
        with open(path, "rb") as file:
            found[path.name] = (os.fstat(file.fileno()), file.read(16 << 20))
    return {name: (stat.st_size, stat.st_mtime_ns, head) for name, (stat, head) in found.items()}


def expect_words(done, gateway, *words):
    """A start that was refused, as check-config refuses it beforehand."""
    data = gateway.directory / "data"
    assert done.returncode == 1 and done.stdout == "", done
    for word in (str(data), *words):
        assert word in done.stderr, done.stderr
    before = contents(gateway)
    checked = check(gateway)
    assert checked.returncode == 1
    assert done.stderr.endswith("waybill serve: " + checked.stderr)
    assert contents(gateway) == before


def ended(gateway):
    """What a gateway logged that has ended by itself with status 1."""
    assert gateway.process.wait() == 1
    return gateway.log_text()


# At start


@pytest.mark.parametrize("part", [1, 100, PAGE, 2 * PAGE, 0.1, 0.3, 0.5, 0.8, 0.99])
def test_file_that_is_cut_short(stopped, part):
    gateway, path = stopped
    size = path.stat().st_size
    os.truncate(path, part if isinstance(part, int) else int(size * part))
    if part == 0.99 and waybill("fsck", gateway.directory / "data").returncode == 0:
        gateway.start()  # what it lacks are pages that are free
        return
    expect_words(serve(gateway), gateway, "damaged: ", "waybill fsck")
    assert waybill("fsck", gateway.directory / "data").returncode == 1


def test_file_that_is_longer_is_fine(stopped):
    gateway, path = stopped
    os.truncate(path, path.stat().st_size + 10 * PAGE)
    gateway.start()
    assert gateway.publish("s1")


@pytest.mark.parametrize("seed", range(12))
def test_pages_that_are_damaged(stopped, seed):
    """It serves, or says why not; it never dies of it."""
    gateway, path = stopped
    draw = random.Random(seed)
    content = bytearray(path.read_bytes())
    pages = len(content) // PAGE
    for _ in range(draw.choice([1, 3, 10])):
        at = draw.randrange(pages) * PAGE
        how = draw.choice(["noise", "zeros", "head", "other"])
        if how == "noise":
            content[at:at + PAGE] = draw.randbytes(PAGE)
        elif how == "zeros":
            content[at:at + PAGE] = bytes(PAGE)
        elif how == "head":
            content[at + draw.randrange(32)] ^= 1 << draw.randrange(8)
        else:
            other = draw.randrange(pages) * PAGE
            content[at:at + PAGE] = content[other:other + PAGE]
    path.write_bytes(content)
    fsck = waybill("fsck", gateway.directory / "data")
    if "damaged: page" in fsck.stderr or "damaged: a table" in fsck.stderr:
        expect_words(serve(gateway), gateway, "damaged: ", "waybill fsck")
    else:
        gateway.start()
        assert gateway.request("GET", "/livez").ok


def use(gateway, webhooks, text):
    """Reads and writes all kinds of rows, for as long as it lives."""
    with contextlib.suppress(OSError):
        for session, webhook in webhooks.items():
            gateway.api("POST", f"/sessions/{session}/webhooks/{webhook['id']}/enable")
            batch = [{"event": "message", "id": f"{text}{n}", "session_id": session}
                     for n in range(100)]
            gateway.api("POST", "/events", json=batch)
            gateway.api("GET", f"/sessions/{session}/deliveries")
            gateway.api("GET", f"/sessions/{session}/webhooks/dlq")
            gateway.api("DELETE", f"/sessions/{session}/webhooks/dlq")
            gateway.api("DELETE", f"/sessions/{session}/webhooks/{webhook['id']}")


def is_ready(gateway):
    """Whether it is; where not, it is about to end."""
    with contextlib.suppress(OSError):
        return gateway.request("GET", "/readyz").ok
    return False


def damage(content, draw):
    """Changes some pages of a store's file; not the first two."""
    pages = len(content) // PAGE
    for _ in range(draw.choice([1, 3, 10])):
        at = draw.randrange(2, pages) * PAGE
        how = draw.choice(["noise", "zeros", "head", "other", "bits"])
        if how == "noise":
            content[at:at + PAGE] = draw.randbytes(PAGE)
        elif how == "zeros":
            content[at:at + PAGE] = bytes(PAGE)
        elif how == "head":
            content[at + draw.randrange(32)] ^= 1 << draw.randrange(8)
        elif how == "bits":
            for _ in range(20):
                content[at + draw.randrange(PAGE)] ^= 1 << draw.randrange(8)
        else:
            other = draw.randrange(pages) * PAGE
            content[at:at + PAGE] = content[other:other + PAGE]


@pytest.mark.skipif("asan" in str(BINARY), reason="sanitizers have words of their own")
def test_pages_of_a_large_file_that_are_damaged(make_gateway, make_receiver):
    """Nobody looks at all of it at the start: what meets damage later says so, and ends with 1."""
    gateway = make_gateway(drain_timeout_ms=100)
    receiver = make_receiver(500)
    webhooks = {s: gateway.register(s, receiver.url(), retry=["50ms"]) for s in ("s1", "s2")}
    for n in range(6):
        batch = [{"event": "message", "id": f"{n}-{k}", "session_id": f"s{k % 2 + 1}",
                  "data": "x" * (k % 300)} for k in range(500)]
        assert gateway.api("POST", "/events", json=batch).status_code == 202
    receiver.wait_for(10)
    gateway.stop()
    path = gateway.directory / "data" / "waybill.mdb"
    whole = path.read_bytes()
    ends = collections.Counter()
    for seed in range(12):
        content = bytearray(whole)
        damage(content, random.Random(seed))
        path.write_bytes(content)
        os.truncate(path, 300 << 20)
        gateway.log.write_text("")
        try:
            gateway.start()
        except AssertionError:
            met = "waybill fsck"  # it has ended, and that is looked at
        else:
            met = "damaged: "  # once met, it is found at the next start
            use(gateway, webhooks, f"seed {seed}, ")
            if is_ready(gateway):
                gateway.process.signal(signal.SIGTERM)
        status = gateway.process.wait()
        log = gateway.log_text()
        # a heap that LMDB has wrecked may be met by others; a stop may come as it ends
        has_words = status in (1, -signal.SIGTERM) or "may be damaged" in log
        assert status == 0 or has_words and "waybill fsck" in log, (seed, status, log[-2000:])
        ends[status] += 1
        if status == 1:
            expect_words(serve(gateway), gateway, "waybill fsck", met)
            path.with_name("waybill.lock").unlink()
    assert ends[1] > 0
    path.write_bytes(whole)
    gateway.start()
    assert gateway.api("GET", "/sessions/s1/webhooks").json()["count"] == 1


def test_doubt_ends_with_a_check(stopped):
    gateway, path = stopped
    lock = path.with_name("waybill.lock")
    mark = lock.read_text()
    lock.write_text(mark + "It may be damaged: the next start checks all of it.\n")
    gateway.start()
    assert lock.read_text() == mark


@pytest.mark.parametrize(
    "content", [b"", bytes(20 * PAGE), b"not a store " * 1000],
    ids=["empty", "zeros", "text"],
)
def test_file_that_is_no_store_any_more(stopped, content):
    gateway, path = stopped
    path.write_bytes(content)
    expect_words(serve(gateway), gateway)
    assert path.read_bytes() == content


@pytest.mark.parametrize("first", ["start", "crash"])
def test_store_that_was_there_is_not_made_anew(make_gateway, stopped, first):
    gateway, path = stopped
    if first == "crash":
        gateway.start()
        gateway.kill()
    lock = path.with_name("waybill.lock")
    path.unlink()
    expect_words(serve(gateway), gateway, "is lost", "to start anew", "waybill.lock")
    expect_words(serve(gateway), gateway, "is lost")  # again and again
    assert not path.exists()
    lock.unlink()
    gateway.start()
    assert gateway.api("GET", "/sessions/s1/webhooks").json()["count"] == 0


def test_store_of_an_older_version_is_marked_too(stopped):
    gateway, path = stopped
    path.with_name("waybill.lock").write_bytes(b"")
    gateway.start()
    gateway.stop()
    path.unlink()
    expect_words(serve(gateway), gateway, "is lost")


def test_start_that_failed_before_there_was_a_store_is_no_loss(make_gateway, tmp_path):
    data = tmp_path / "gateway1" / "data"
    data.mkdir(parents=True)
    (data / "waybill.lock").touch()
    assert waybill("fsck", data).returncode == 1
    assert make_gateway().publish("s1")


def test_restored_backup_is_served(stopped, make_gateway):
    gateway, path = stopped
    data = gateway.directory / "data"
    gateway.start()
    copy = gateway.directory / "copy"
    env = {"WAYBILL_URL": gateway.url, "WAYBILL_TOKEN": gateway.token}
    assert waybill("backup", copy, env=env).returncode == 0
    gateway.stop()
    path.unlink()
    expect_words(serve(gateway), gateway, "is lost")
    shutil.copy(copy / "waybill.mdb", data)
    gateway.start()
    assert gateway.api("GET", "/sessions/s1/webhooks").json()["count"] == 1


@pytest.mark.parametrize("there", ["nothing", "folder", "folder with a lock"])
def test_store_that_must_be_there(make_gateway, tmp_path, there):
    """Where the folder is a mount point, the mark of a store goes with what was mounted."""
    data = tmp_path / "data"
    words = flags({"data": data, "listen": "127.0.0.1:0", "make_store": "off"})
    if there != "nothing":
        data.mkdir()
    if there == "folder with a lock":
        (data / "waybill.lock").touch()
    before = list(tmp_path.rglob("*"))
    for command in ("serve", "check-config"):
        done = waybill(command, *words)
        assert done.returncode == 1 and "there is no store in" in done.stderr, done
        assert "make_store" in done.stderr and str(data) in done.stderr
    assert list(tmp_path.rglob("*")) == before
    gateway = make_gateway(data=data)  # once with it on
    gateway.stop()
    gateway.reconfigure(make_store="off")
    gateway.start()
    assert gateway.publish("s1")


# check-config


def test_store_that_can_be_served_passes(stopped):
    gateway, path = stopped
    before = contents(gateway)
    done = check(gateway)
    assert (done.returncode, done.stdout, done.stderr) == (0, "configuration: ok\n", "")
    assert contents(gateway) == before
    path.with_name("waybill.lock").unlink()  # as a backup has it; none is made
    path.with_name("waybill.mdb-lock").unlink()
    assert check(gateway).returncode == 0
    assert [file.name for file in path.parent.iterdir()] == ["waybill.mdb"]


def test_store_that_is_being_served_passes(gateway):
    """It is looked into all the same, by itself alone: nothing is locked or left behind."""
    gateway.register("s1", "http://127.0.0.1:9/", secret="s3cret")
    assert check(gateway).returncode == 0
    done = check(gateway, store_max_bytes="16MiB")
    assert (done.returncode, done.stderr) == (0, "")
    gateway.publish("s1")
    gateway.stop()
    gateway.start()


@pytest.mark.parametrize("running", [True, False])
def test_webhooks_that_cannot_be_decrypted(make_gateway, running):
    gateway = make_gateway(secret_key="ab" * 32)
    gateway.register("s1", "http://127.0.0.1:9/", secret="s3cret")
    if not running:
        gateway.stop()
    assert check(gateway, secret_key="ab" * 32).returncode == 0
    for options in ({}, {"secret_key": "cd" * 32}):
        done = check(gateway, **options)
        assert done.returncode == 1 and "secret_key" in done.stderr, done


@pytest.mark.skipif("asan" in str(BINARY), reason="sanitizers map terabytes")
def test_map_that_there_is_no_room_for(stopped):
    gateway, _ = stopped
    for command in ("serve", "check-config"):
        done = subprocess.run(
            ["prlimit", f"--as={512 << 20}", BINARY, command,
             *flags({"data": gateway.directory / "data", "listen": "127.0.0.1:0"})],
            capture_output=True, text=True, timeout=20, env=environment(),
        )
        assert done.returncode == 1 and "Cannot allocate memory" in done.stderr, done


# Under a running server


def lose(gateway, how):
    data = gateway.directory / "data"
    path = data / "waybill.mdb"
    if how == "removed":
        path.unlink()
    elif how == "replaced":
        shutil.copy(path, path.with_name("other"))
        path.with_name("other").rename(path)
    elif how == "folder moved":
        data.rename(data.with_name("moved"))
    elif how == "folder removed":
        shutil.rmtree(data)
    else:
        os.truncate(path, 3 * PAGE if how == "cut short" else 0)


LOSSES = ["removed", "replaced", "folder moved", "folder removed", "cut short", "emptied"]


@pytest.mark.parametrize("how", LOSSES)
def test_loss_under_an_idle_server(gateway, how):
    gateway.publish("s1", data="x" * 100000)
    lose(gateway, how)
    with contextlib.suppress(OSError):  # it may have ended already
        answer = gateway.request("GET", "/readyz")
        assert answer.status_code == 503 and "waybill fsck" in answer.text
    assert str(gateway.directory / "data") in ended(gateway)


@pytest.mark.parametrize("how", LOSSES)
def test_nothing_is_acknowledged_after_a_loss(gateway, how):
    gateway.publish("s1", data="x" * 100000)
    lose(gateway, how)
    try:
        answer = gateway.api("POST", "/sessions/s1/events", json={"event": "message"})
        assert answer.status_code == 503
    except OSError:  # it has ended before the request came
        pass
    log = ended(gateway)
    assert "the store's file is lost" in log or "waybill fsck" in log
