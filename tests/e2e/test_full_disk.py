"""
A disk that is full, and a store that has reached its largest size: publishing is refused with
507, or with 429 where a session has its share, and goes on by itself once there is room, and
deliveries go on all the while.
"""

import os
import pathlib
import subprocess
import time

import pytest

from harness import Hold, expect_error, hooks_path, wait_until

DISK_MIB = 24
UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


def can_mount():
    """Whether a file system of our own can be mounted, where nobody else sees it."""
    try:
        command = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=20).returncode == 0
    except FileNotFoundError:
        return False


class SmallDisk:
    """A gateway whose data lies on a small file system of its own."""

    def __init__(self, make_gateway, tmp_path, **options):
        self.mount = tmp_path / "disk"
        self.mount.mkdir()
        script = f'mount -t tmpfs -o size={DISK_MIB}m none "$0" && exec "$@"'
        self.gateway = make_gateway(
            prefix=[*UNSHARE, "sh", "-c", script, self.mount],
            data=self.mount / "data",
            **options,
        )

    @property
    def _inside(self):
        """The file system as the gateway sees it."""
        return pathlib.Path(f"/proc/{self.gateway.pid}/root{self.mount}")

    @property
    def free_bytes(self):
        space = os.statvfs(self._inside)
        return space.f_bavail * space.f_frsize

    def fill(self, leave=0):
        """Takes all the room there is, but for so many bytes."""
        with open(self._inside / "filler", "ab", buffering=0) as file:
            try:
                while self.free_bytes > leave or leave == 0:
                    file.write(bytes(4096))
            except OSError:
                pass  # full

    def clear(self):
        (self._inside / "filler").unlink()


@pytest.fixture
def small_disk(make_gateway, tmp_path):
    if not can_mount():
        pytest.skip("needs root or user namespaces, to mount a small file system")
    return lambda **options: SmallDisk(make_gateway, tmp_path, **options)


class Publisher:
    """Publishes on a disk that may be full, and keeps what was accepted."""

    def __init__(self, gateway, session):
        self.accepted = set()
        self._gateway, self._path = gateway, f"/sessions/{session}/events"

    def publish(self, pad=0):
        """The status of one request; a refusal has to be one that its client can act on."""
        answer = self._gateway.api(
            "POST", self._path, json={"event": "message", "data": "x" * pad}
        )
        if answer.status_code == 202:
            self.accepted.add(answer.json()["id"])
        else:
            expect_error(answer, answer.status_code)
            assert answer.status_code in (429, 503, 507), answer.text
            assert int(answer.headers["Retry-After"]) > 0
        return answer.status_code


def is_ready(gateway):
    return gateway.request("GET", "/readyz").status_code == 200


def in_flight(gateway, session):
    return [w["in_flight"] for w in gateway.api("GET", hooks_path(session)).json()["webhooks"]]


@pytest.mark.parametrize("count", [5, 300])
def test_full_disk(small_disk, make_receiver, count):
    gate = Hold()
    receiver = make_receiver(gate)
    disk = small_disk(max_in_flight=512)
    gateway = disk.gateway
    publisher = Publisher(gateway, "s")
    gateway.register("s", receiver.url(), max_in_flight=256)
    for _ in range(count):
        assert publisher.publish(pad=2000) == 202
    disk.fill()
    assert disk.free_bytes == 0
    wait_until(lambda: publisher.publish() == 507, what="507")
    assert not is_ready(gateway)

    gate.release()  # all that was accepted goes out, and its outcomes are written
    wait_until(lambda: publisher.accepted <= receiver.ids, 30, "deliveries on a full disk")
    wait_until(lambda: in_flight(gateway, "s") == [0], 30, "outcomes on a full disk")
    assert publisher.publish() == 507
    assert disk.free_bytes == 0
    assert len(receiver.requests) == len(publisher.accepted)

    disk.clear()
    wait_until(lambda: publisher.publish() == 202, what="room again")
    assert is_ready(gateway)
    wait_until(lambda: publisher.accepted <= receiver.ids, what="what was published last")


def fill_slowly(publisher, status):
    wait_until(lambda: publisher.publish(pad=200_000) == status, timeout=30, what=f"{status}")


def fill_at_once(publisher, status):
    """Large events to just below where publishing ends, and one that leaves nearly nothing."""
    for pad in (4_000_000, 4_000_000, 4_000_000, 2_000_000, 400_000, 1_200_000):
        publisher.publish(pad)
    fill_slowly(publisher, status)


# One alone comes to its share, and others still find room; who is given all of it, to its end.
LIMITS = {"share": (429, {}), "end": (507, {"session_store_bytes": "s=16MiB"})}


@pytest.mark.parametrize("fill", [fill_slowly, fill_at_once])
@pytest.mark.parametrize("limit", LIMITS)
def test_full_store(make_gateway, make_receiver, fill, limit):
    status, options = LIMITS[limit]
    gate = Hold()
    receiver = make_receiver(gate)
    gateway = make_gateway(
        store_max_bytes="16MiB", max_body_bytes="4MiB", retention="0s", **options
    )
    publisher, other = Publisher(gateway, "s"), Publisher(gateway, "t")
    gateway.register("s", receiver.url(), timeout_ms=30000)
    gateway.register("t", receiver.url(), timeout_ms=30000)
    fill(publisher, status)
    assert (other.publish(pad=200_000) == 202) == (limit == "share")

    gate.release()  # what goes out is dropped from the store, and makes room
    wait_until(lambda: publisher.accepted <= receiver.ids, 30, "deliveries from a full store")
    wait_until(lambda: publisher.publish(pad=200_000) == 202, 30, "room again")
    assert other.publish(pad=200_000) == 202
    assert is_ready(gateway)
    accepted = publisher.accepted | other.accepted
    wait_until(lambda: accepted <= receiver.ids, what="what was published last")
    assert len(receiver.requests) == len(accepted)


@pytest.mark.parametrize("reserve, status", [("1GiB", 507), ("64KiB", 202), ("0", 202)])
def test_how_much_stays_free_is_a_setting(small_disk, reserve, status):
    """At most 5 % of the disk: of a large one that is more than anybody wants to lose."""
    disk = small_disk(disk_reserve=reserve)
    disk.gateway.register("s", "http://127.0.0.1:9/hook")
    publisher = Publisher(disk.gateway, "s")
    assert publisher.publish() == 202
    disk.fill(leave=(DISK_MIB << 20) // 40)
    wait_until(lambda: is_ready(disk.gateway) == (status == 202), what="a look at the disk")
    time.sleep(1.5)  # and the next one
    assert publisher.publish() == status
