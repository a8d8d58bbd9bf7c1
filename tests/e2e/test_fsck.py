"""waybill fsck: sound after crashes; damage is found, or changes nothing."""

import pytest

from harness import hooks_path, wait_until, waybill
from test_retention import publish_batch


def fsck(path):
    done = waybill("fsck", path)
    assert done.returncode in (0, 1), done.stderr
    return done


def expect_sound(path):
    done = fsck(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{path}: sound\n")
    assert done.stderr == ""
    return done


def expect_damaged(path, *mentions):
    done = fsck(path)
    assert done.returncode == 1, done.stdout
    for mention in mentions:
        assert mention in done.stdout + done.stderr
    return done


def fill(gateway, make_receiver):
    """Something of everything: settled, dead, replayed, queued, deleted, repeated."""
    receiver, failing = make_receiver(), make_receiver(500)
    for path in ("/a", "/b"):
        gateway.register("s1", receiver.url(path))
    gateway.register("dead", failing.url(), retry=["1ms"])
    gateway.register("held", failing.url(), retry=["1d"])
    gone = gateway.register("gone", failing.url(), retry=["1d"])
    publish_batch(gateway, 200, data="x" * 500)
    gateway.publish("s1", data="x" * 20000)
    gateway.publish("s1", id="a key")
    for session in ("dead", "dead", "held", "gone"):
        gateway.publish(session)
    wait_until(lambda: len(gateway.dlq("dead")) == 2, what="dead letters")
    failing.answer(200)
    assert gateway.replay("dead", gateway.dlq("dead")[0]["id"]).ok
    assert gateway.api("DELETE", hooks_path("gone", gone["id"])).ok
    receiver.wait_for(404)
    failing.wait_for(7)


@pytest.fixture
def stopped(make_gateway, make_receiver):
    """The data of a gateway that was killed."""
    gateway = make_gateway()
    fill(gateway, make_receiver)
    gateway.kill()
    return gateway.directory / "data"


def test_a_killed_gateways_store_is_sound_and_stays_as_it_is(stopped):
    before = (stopped / "waybill.mdb").read_bytes()
    done = expect_sound(stopped)
    rows = dict(line.split()[:2] for line in done.stdout.splitlines()[:-1])
    assert rows["urls"] == "4"
    assert rows["dead"] == rows["dead_by_age"] == "1"
    assert rows["repeats"] == "1" and int(rows["events"]) >= 203
    assert (stopped / "waybill.mdb").read_bytes() == before


def test_a_running_gateways_store_is_refused(gateway):
    done = waybill("fsck", gateway.directory / "data")
    assert done.returncode == 1 and done.stdout == ""
    assert "in use by another process" in done.stderr


def test_where_there_is_no_store_none_is_made(tmp_path):
    done = waybill("fsck", tmp_path)
    assert done.returncode == 1 and "there is no store in" in done.stderr
    assert not (tmp_path / "waybill.mdb").exists()
    assert waybill("fsck", tmp_path / "none").returncode == 1
    assert not (tmp_path / "none").exists()


def test_damage_is_found(stopped):
    path = stopped / "waybill.mdb"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    expect_damaged(stopped, "damaged: page ", "it is cut short")
    path.write_bytes(whole.replace(b'"data":"xxxx', b'"data":"!xxx'))  # in free pages too
    expect_damaged(stopped, "the record is corrupt", "damaged, ")
    path.write_bytes(whole)
    expect_sound(stopped)


@pytest.mark.parametrize("args", [(), ("a", "b"), ("--fly",)])
def test_wrong_usage(args):
    done = waybill("fsck", *args)
    assert done.returncode == 2 and done.stderr.startswith("usage: waybill fsck")
