"""
What systemd and the gateway tell each other: readiness, reloads, stops, signs of life, and
sockets that are passed to it. The tests play the manager; one lets systemd's own program do it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from disk import SYNC, Disk, build_shim
from harness import BINARY, RawClient, environment, wait_until

GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
HANG_S = 4
PASS = [sys.executable, pathlib.Path(__file__).with_name("pass_sockets.py")]


def livez(address, tls=None):
    with RawClient(address, tls) as client:
        client.send(GET)
        return client.reply().status_code


class Manager:
    """The end of NOTIFY_SOCKET that listens."""

    def __init__(self, directory):
        self.path = directory / "notify"
        self.env = {"NOTIFY_SOCKET": os.fspath(self.path)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.fspath(self.path))
        self._socket.setblocking(False)
        self._told = []

    def told(self):
        """All that has been said up to now, a dict a message."""
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self._socket.recv(65536).decode().splitlines()
                self._told.append(dict(line.split("=", 1) for line in lines))
        return self._told

    def names(self):
        """The first word of each message but of those that only say that we live."""
        return [next(iter(m)) for m in self.told() if "WATCHDOG" not in m]

    def pings(self):
        return sum("WATCHDOG" in message for message in self.told())

    def close(self):
        self._socket.close()


@pytest.fixture
def folder():
    """One whose name is short enough for the path of a socket."""
    with tempfile.TemporaryDirectory(prefix="waybill") as path:
        yield pathlib.Path(path)


@pytest.fixture
def manager(folder):
    made = Manager(folder)
    yield made
    made.close()


# What it says


def test_ready_reload_stop(make_gateway, manager):
    gateway = make_gateway(env=manager.env)
    wait_until(lambda: manager.names() == ["READY"], what="READY=1")
    assert livez(gateway.address) == 200  # who waits for READY=1 may connect
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: manager.names() == ["READY", "RELOADING", "READY"], what="a reload")
    assert int(manager.told()[1]["MONOTONIC_USEC"]) > 0
    gateway.stop()
    assert manager.names() == ["READY", "RELOADING", "READY", "STOPPING"]
    assert all("STATUS" in message for message in manager.told())


def test_not_ready_where_the_start_fails(make_gateway, manager):
    with pytest.raises(AssertionError, match="ended with status 1"):
        make_gateway(env=manager.env, listen="0.0.0.0:0", token=None)
    assert manager.told() == []


def test_no_sign_of_life_while_the_loop_hangs(make_gateway, manager, tmp_path):
    disk = Disk(build_shim(tmp_path), tmp_path)
    gateway = make_gateway(env={**manager.env, **disk.env, "WATCHDOG_USEC": "1000000"})
    wait_until(lambda: manager.pings() >= 3, what="signs of life")
    disk.delay(SYNC, HANG_S * 1000)  # a disk that does not answer for so long
    client = threading.Thread(target=gateway.register, args=("s1", "http://127.0.0.1:9/"))
    client.start()
    wait_until(lambda: disk.fired, what="the hang")
    begun, seen = time.monotonic(), manager.pings()
    wait_until(lambda: manager.pings() > seen, timeout=20, what="signs of life again")
    client.join()
    assert time.monotonic() - begun > HANG_S / 4  # else it says so every 0.25 s


def test_no_signs_of_life_for_somebody_else(make_gateway, manager):
    make_gateway(env={**manager.env, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    make_gateway(env={**manager.env})
    wait_until(lambda: manager.names() == ["READY", "READY"], what="READY=1")
    assert manager.pings() == 0


# Sockets that are passed


def passing(*sockets):
    return [*PASS, *map(str, sockets), "--"]


def port_of(url):
    return int(re.fullmatch(r"https?://.*:(\d+)", url).group(1))


def test_passed_sockets_stand_in_for_listen(make_gateway, folder, receiver):
    path = folder / "api.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:  # `listen` itself could not be had
        gateway = make_gateway(
            prefix=passing("127.0.0.1:0", path, f"@{folder.name}"),
            listen="127.0.0.1:%d" % taken.getsockname()[1],
        )
    assert gateway.process.line(1) == f"waybill ready on unix:{path}"
    assert gateway.process.line(2) == f"waybill ready on unix:@{folder.name}"
    gateway.register("s1", receiver.url())
    assert gateway.publish("s1")["deliveries"] == 1
    receiver.wait_for(1)
    assert livez(path) == livez(f"\0{folder.name}") == 200
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in gateway.log_text(), what="a reload")
    assert "takes effect with the next start" not in gateway.log_text()
    assert livez(path) == 200
    gateway.stop()
    assert path.exists()  # whose it is: the manager's


def test_a_passed_socket_for_tls(make_gateway, tls_options):
    options = {**tls_options, "listen": None}
    gateway = make_gateway(prefix=passing("tls-api=127.0.0.1:0", "http=127.0.0.1:0"), **options)
    assert gateway.url.startswith("https://127.0.0.1:")
    assert gateway.request("GET", "/livez").status_code == 200
    plain = gateway.process.line(1)
    assert plain.startswith("waybill ready on http://127.0.0.1:")
    assert livez(("127.0.0.1", port_of(plain.split()[-1]))) == 200


def test_without_a_token_passed_sockets_are_loopback_or_unix(make_gateway, folder):
    make_gateway(prefix=passing("127.0.0.1:0", folder / "a.sock"), token=None)
    with pytest.raises(AssertionError, match="ended with status 1"):
        make_gateway(prefix=passing("127.0.0.1:0", "0.0.0.0:0"), token=None)


def refusal(folder, sockets, *options, pid=()):
    command = [*PASS, *pid, *sockets, "--", BINARY, "serve", "--data", folder / "data", *options]
    done = subprocess.run(
        list(map(str, command)), env=environment(), capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(
    "sockets, words",
    [
        (["0.0.0.0:0"], "is not loopback: that needs a token"),
        (["127.0.0.1:0", "quiet:127.0.0.1:0"], "descriptor 4 that was passed (unknown)"),
        (["odd=datagram:127.0.0.1:0"], "descriptor 3 that was passed (odd) must be a listening"),
        (["tls=@%s"], "descriptor 3 that was passed (tls) must be"),
        (["tls=127.0.0.1:0"], "tls_certificate: is not set, but needed by tls:127.0.0.1:"),
    ],
)
def test_what_cannot_be_served_is_refused(folder, sockets, words):
    sockets = [s.replace("%s", folder.name) for s in sockets]
    assert words in refusal(folder, sockets)


def test_sockets_for_somebody_else_are_left_alone(make_gateway, folder):
    path = folder / "api.sock"
    gateway = make_gateway(prefix=[*PASS, "--pid", "1", path, "--"])
    assert gateway.process.lines == [f"waybill ready on {gateway.url}"]
    assert livez(gateway.address) == 200


def test_systemd_starts_it_with_the_first_connection(folder, start_process):
    program = shutil.which("systemd-socket-activate")
    assert program, "systemd is not installed: etc/install-deps test"
    path = folder / "api.sock"
    process = start_process(
        program, "--listen", path, "--fdname", "api", "-E", "ASAN_OPTIONS", "-E", "UBSAN_OPTIONS",
        BINARY, "serve", "--data", folder / "data",
    )
    wait_until(path.exists, what="the socket")
    assert not (folder / "data").exists()  # nothing runs yet
    assert livez(path) == 200
    assert process.line(0) == f"waybill ready on unix:{path}"
    process.signal(signal.SIGTERM)  # it has become the gateway
    assert process.wait() == 0
