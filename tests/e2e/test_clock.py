"""The system's clock is set while the gateway runs and while it does not (libfaketime)."""

import glob
import os
import time

import pytest

from harness import wait_until

DAY_S = 86400


class SystemClock:
    """What a gateway takes for the system's clock: the real one, so many seconds off."""

    def __init__(self, directory):
        libraries = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
        assert libraries, "libfaketime is not installed: etc/install-deps test"
        self._file = directory / "clock"
        self.set(0)
        self.env = {
            "LD_PRELOAD": libraries[0],
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # a sanitizer wants to come first of all libraries
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        }

    def set(self, off_s):
        new = self._file.with_suffix(".new")
        new.write_text(f"{off_s:+d}")
        new.replace(self._file)


@pytest.fixture
def system_clock(tmp_path):
    return SystemClock(tmp_path)


def jump(gateway, system_clock, off_s):
    """Sets the clock and waits until the gateway has seen it."""
    seen = len(gateway.log_text())
    system_clock.set(off_s)
    wait_until(lambda: "clock jumped" in gateway.log_text()[seen:], what="the jump's line")


@pytest.mark.parametrize("off_s", [60 * DAY_S, -60 * DAY_S])
def test_a_jump_fires_nothing_and_drops_nothing(
    make_gateway, make_receiver, system_clock, off_s
):
    gateway = make_gateway(
        env=system_clock.env, retry_schedule="1h", expire="presence=1d,chat_presence=1d",
        circuit_failures=2, disable_after="1d"
    )
    failing, dying, sound = make_receiver(500), make_receiver(500), make_receiver(200)
    hook = gateway.register("s1", failing.url(), events=["presence", "chat_presence"])
    gateway.register("s1", dying.url(), events=["qr_code"], retry=["10ms"])
    gateway.register("s1", sound.url(), events=["message"])
    for event in ("presence", "chat_presence", "presence"):
        gateway.publish("s1", event)
    gateway.publish("s1", "qr_code")
    failing.wait_for(2)  # the circuit opens at the second failure
    wait_until(lambda: len(gateway.dlq("s1")) == 1, what="a dead letter")
    wait_until(
        lambda: gateway.webhook("s1", hook["id"])["circuit"]["state"] == "open",
        what="an open circuit",
    )
    tried = len(failing.requests)
    jump(gateway, system_clock, off_s)
    for n in range(1, 4):
        gateway.publish("s1", "message")
        sound.wait_for(n)
    assert len(failing.requests) == tried
    assert gateway.webhook("s1", hook["id"])["enabled"]
    assert len(gateway.dlq("s1")) == 1
    assert "expired" not in gateway.log_text()
    stamp = int(sound.requests[-1].header("X-Webhook-Timestamp"))
    assert abs(stamp - (time.time() + off_s)) < DAY_S


def test_retries_go_on_when_the_clock_is_set_back(make_gateway, make_receiver, system_clock):
    gateway = make_gateway(env=system_clock.env, retry_schedule="3s,3s,3s")
    receiver = make_receiver(500, 500, 200)
    gateway.register("s1", receiver.url())
    event = gateway.publish("s1")
    receiver.wait_for(1)
    jump(gateway, system_clock, -DAY_S)
    assert [r.id for r in receiver.wait_for(3, timeout=60)] == [event["id"]] * 3


def test_retries_go_on_when_it_was_set_back_over_a_restart(
    make_gateway, make_receiver, system_clock
):
    gateway = make_gateway(env=system_clock.env, retry_schedule="1s,1s")
    receiver = make_receiver(500, 200)
    gateway.register("s1", receiver.url())
    first = gateway.publish("s1")
    receiver.wait_for(1)
    gateway.stop()
    system_clock.set(-DAY_S)
    gateway.start()
    assert [r.id for r in receiver.wait_for(2, timeout=60)] == [first["id"]] * 2
    second = gateway.publish("s1")
    assert second["id"] > first["id"]
    assert receiver.wait_for(3)[-1].id == second["id"]
