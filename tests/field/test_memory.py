"""Little memory: the limit of a container, or of the process, is what the defaults follow."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time

import pytest

from harness import BINARY, environment, event_of_size, wait_until

MIB = 1 << 20
LIMIT = 64 * MIB
UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
# Files of control groups of our own, which nobody else sees: as a container has them.
GROUPS = {
    "v2": ("0::/", "", "memory.max"),
    "v2 of a group above": ("0::/pod/container", "pod", "memory.max"),
    "v2 high": ("0::/pod", "pod", "memory.high"),
    "v1": ("3:cpu:/x\n2:cpuset,memory:/docker/abc", "memory", "memory.limit_in_bytes"),
}
SCRIPT = """
mount -t tmpfs none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$2"
echo "$4" >"/sys/fs/cgroup/$2/$3"
printf '%s\\n' "$1" >/sys/fs/cgroup/named
mount --bind /sys/fs/cgroup/named "/proc/$$/cgroup"
shift 4
exec "$@"
"""


def in_group(kind, limit=LIMIT):
    """The words before a command that has this limit."""
    if kind == "data":
        return ["prlimit", f"--data={limit}"]
    return [*UNSHARE, "sh", "-ec", SCRIPT, "group", *GROUPS[kind], str(limit)]


def can_mount():
    try:
        command = [*in_group("v2"), "true"]
        return subprocess.run(command, stderr=subprocess.DEVNULL, timeout=20).returncode == 0
    except FileNotFoundError:
        return False


mounts = pytest.mark.skipif(not can_mount(), reason="no file system can be mounted here")
bounded = pytest.mark.skipif("asan" in str(BINARY), reason="sanitizers map terabytes")
ALL = [
    *(pytest.param(kind, marks=mounts) for kind in GROUPS), pytest.param("data", marks=bounded)
]


def own_bytes(gateway):
    """Its memory but for what is mapped from files."""
    with open(f"/proc/{gateway.pid}/status", encoding="ascii") as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read())[1]) * 1024


class Peak:
    """The most that a gateway had while the block ran."""

    def __init__(self, gateway):
        self.bytes = 0
        self._gateway = gateway
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._over.wait(0.002):
            self.bytes = max(self.bytes, own_bytes(self._gateway))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def derived(text):
    """What a log says last of the settings that follow memory."""
    line = re.findall(r"limits follow memory.*", text)[-1]
    return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


def check_config(*words, prefix=()):
    return subprocess.run(
        [*prefix, BINARY, "check-config", *words], env=environment(), capture_output=True,
        text=True, timeout=20,
    )


# What is derived


@pytest.mark.parametrize("kind", ALL)
def test_limits_follow_memory(kind):
    done = check_config(prefix=in_group(kind))
    assert done.returncode == 0 and done.stdout == "configuration: ok\n", done
    found = derived(done.stderr)
    assert found["bytes"] == LIMIT
    assert found["max_body_bytes"] == 2 * MIB and found["max_input_bytes"] == 8 * MIB
    assert "level=warn" not in done.stderr


@pytest.mark.parametrize("kind", ALL)
def test_what_is_set_stays_and_is_warned_of(kind):
    done = check_config("--max-input-bytes", "128MiB", prefix=in_group(kind))
    assert done.returncode == 0
    assert derived(done.stderr)["max_input_bytes"] == 128 * MIB
    assert "the settings allow more than there is of memory" in done.stderr


@pytest.mark.parametrize("kind", ALL)
def test_plenty_changes_nothing(kind):
    done = check_config(prefix=in_group(kind, 1 << 30))
    assert (done.returncode, done.stderr) == (0, "")


@mounts
@pytest.mark.parametrize("limit", ["max", "", "-1", "9223372036854771712", "64m", "\0"])
def test_what_is_no_limit(limit):
    prefix = [*UNSHARE, "sh", "-ec", SCRIPT, "group", "0::/", "", "memory.max", limit.strip("\0")]
    done = check_config(prefix=prefix)
    assert (done.returncode, done.stderr) == (0, "")


@bounded
def test_address_space_is_what_the_store_leaves():
    space = (1 << 30) + LIMIT
    words = ["--store-max-bytes", "1GiB"]
    done = check_config(*words, prefix=["prlimit", f"--as={space}"])
    assert derived(done.stderr)["bytes"] == LIMIT and "of=rlimit" in done.stderr


@mounts
def test_reload_follows_too(make_gateway, tmp_path):
    config = tmp_path / "conf"
    config.write_text("max_input_bytes = 16MiB\n")
    gateway = make_gateway(prefix=in_group("v2"), config=config)
    assert derived(gateway.log_text())["max_input_bytes"] == 16 * MIB
    config.write_text("")
    gateway.process.signal(1)
    wait_until(lambda: "configuration reloaded" in gateway.log_text())
    assert derived(gateway.log_text())["max_input_bytes"] == 8 * MIB


# Under load


def head(gateway, size, session="s1"):
    return (
        f"POST /api/v1/sessions/{session}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nAuthorization: Bearer {gateway.token}\r\n"
        f"Content-Length: {size}\r\n\r\n"
    ).encode()


def half_sent(gateway, stack, body):
    """Bodies that come but for their last bytes."""
    for n in range(64):
        client = stack.enter_context(
            socket.create_connection(gateway.address, source_address=(f"127.0.0.{2 + n % 5}", 0))
        )
        client.settimeout(5)
        with contextlib.suppress(OSError):
            client.sendall(head(gateway, len(body)) + body[:-10])


def all_at_once(gateway, bodies, path, answers):
    def publish(n):
        for body in bodies:
            answers.append(gateway.api("POST", path.format(n), body=body).status_code)

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def hanging(gateway, stack):
    """Attempts at receivers that never answer."""
    for n in range(12):
        listener = stack.enter_context(socket.socket())
        listener.bind((f"127.0.0.{10 + n}", 0))
        listener.listen(1024)
        for k in range(8):
            url = "http://{}:{}/{}".format(*listener.getsockname(), k)
            gateway.register(f"h{n}", url, timeout_ms=30000)
    for n in range(12):
        for _ in range(3):
            gateway.publish(f"h{n}", data="x" * 60000)


def slow_readers(gateway, stack, body):
    event = gateway.api("POST", "/sessions/s1/events", body=body).json()["id"]
    for n in range(64):
        client = stack.enter_context(
            socket.create_connection(gateway.address, source_address=(f"127.0.0.{2 + n % 5}", 0))
        )
        client.sendall(
            f"GET /api/v1/sessions/s1/events/{event} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {gateway.token}\r\n\r\n".encode()
        )


@bounded  # they keep what is freed
@pytest.mark.parametrize("kind", [pytest.param("v2", marks=mounts), "data"])
def test_small_container_lives(make_gateway, kind):
    """With everything at once that holds memory; beyond RLIMIT_DATA there is none at all."""
    gateway = make_gateway(prefix=in_group(kind), retry_schedule="1h", drain_timeout_ms=100)
    limits = derived(gateway.log_text())
    most = limits["max_body_bytes"]
    members = b",".join(b'"%x":1' % n for n in range(most // 10))
    dense = b'{"event":"message","id":"x","data":{%s}}' % members[:most - 100].rpartition(b",")[0]
    items = (b'{"session_id":"s2","event":"message","id":"%d"}' % n for n in range(10000))
    batch = b"[" + b",".join(items) + b"]"
    answers = []
    with Peak(gateway) as peak, contextlib.ExitStack() as stack:
        hanging(gateway, stack)
        slow_readers(gateway, stack, event_of_size(most))
        all_at_once(gateway, [event_of_size(most), dense], "/sessions/s{}/events", answers)
        all_at_once(gateway, [batch], "/events", answers)
        half_sent(gateway, stack, event_of_size(most))
        all_at_once(gateway, [dense], "/sessions/s{}/events", answers)
        all_at_once(gateway, [batch], "/events", answers)
    assert gateway.request("GET", "/livez").ok
    assert answers.count(202) > 3 and set(answers) <= {202, 429}, answers
    assert peak.bytes < LIMIT
    assert gateway.api("POST", "/events", body=batch).status_code == 202
    gateway.publish("s1", data="x")
