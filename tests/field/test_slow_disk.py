"""A disk whose flushes take long: who needs nothing of it does not wait for it."""

import pathlib
import random
import struct
import threading
import time

import pytest

from harness import BINARY, ROOT, wait_until

PROBES = 15
PUBLISHERS = 2
SYNC_S = 0.3
TXN_AT = 144  # of a head of LMDB's: src/store/pages.c
PAGE = 4096


def commits(gateway):
    """How many the store has had, read beside the server, which would be asked in vain."""
    with open(gateway.directory / "data" / "waybill.mdb", "rb") as file:
        heads = file.read(2 * PAGE)
    return max(struct.unpack_from("<Q", heads, at + TXN_AT)[0] for at in (0, PAGE))


@pytest.fixture
def slow_gateway(make_gateway, make_receiver):
    """Its commits take long, and its publishers see to it that the next follows at once."""
    preload = pathlib.Path(ROOT) / "build" / "bench" / "sync_delay.so"
    if "asan" in str(BINARY):
        pytest.skip("the sanitizers want to be loaded first")
    gateway = make_gateway(
        env={"LD_PRELOAD": str(preload), "BENCH_SYNC_US": str(int(SYNC_S * 1e6))}
    )
    gateway.register("s1", make_receiver(200).url())  # what nobody wants is not stored
    stopped = threading.Event()

    def publish(seed):
        draw = random.Random(seed)
        body = b'{"event":"message"}'
        request = (
            "POST /api/v1/sessions/s1/events HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {gateway.token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        with gateway.connect() as client:
            while not stopped.wait(draw.random() * 2 * SYNC_S):
                client.send(request)
                assert client.reply().status_code == 202

    publishers = [threading.Thread(target=publish, args=[seed]) for seed in range(PUBLISHERS)]
    before = commits(gateway)
    for publisher in publishers:
        publisher.start()
    wait_until(lambda: commits(gateway) > before + 1, what="slow commits")
    yield gateway
    stopped.set()
    for publisher in publishers:
        publisher.join()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/nowhere"])
def test_probe_waits_for_the_commit_under_way_alone(slow_gateway, path):
    """It connects anew, as probes do: to be taken, read and answered took two more commits."""
    waited = []
    draw = random.Random(7)
    for _ in range(PROBES):
        time.sleep(draw.random() * SYNC_S / 2)  # whatever part of a commit it meets
        before = commits(slow_gateway)
        with slow_gateway.connect() as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.reply()
        waited.append(commits(slow_gateway) - before)
    assert sorted(waited)[PROBES // 2] <= 1 and sum(waited) <= PROBES * 5 // 4, waited
