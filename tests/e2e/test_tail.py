"""`waybill tail` and `waybill top` as somebody at a terminal, or a script, sees them."""

import http.server
import json
import os
import pty
import re
import signal
import subprocess
import threading
import urllib.parse

import pytest

from harness import BINARY, environment, version, wait_until, waybill

WEBHOOK = {
    "webhook_id": "3dd7b161-ad4a-4c19-8d5b-3eaff8ecb014",
    "session_id": "demo",
    "url": "http://127.0.0.1:9000/\u001b[31m",
    "enabled": True,
    "circuit": "open",
    "waiting": 17,
    "in_flight": 1,
    "consecutive_failures": 25,
    "failing_since": "2026-11-28T16:00:00.000Z",
    "disabled_reason": None,
    "last_status": 503,
    "last_error": "HTTP status 503",
}
STATS = {
    "version": "9.9.9",
    "uptime_seconds": 61,
    "now": "2026-11-28T16:01:00.000Z",
    "events": {"published": 1234, "bytes": 5},
    "deliveries": {
        "delivered": 1000, "retried": 30, "dead": 2, "expired": 0, "cancelled": 0,
        "in_flight": 1, "waiting": 17, "oldest_waiting_seconds": 60,
    },
    "circuits": {"closed": 1, "open": 1, "half_open": 0},
    "history": [],
    "top": [
        WEBHOOK,
        {**WEBHOOK, "enabled": False, "circuit": "closed", "disabled_reason": "by request"},
        {**WEBHOOK, "circuit": "closed"},
        {**WEBHOOK, "circuit": "closed", "failing_since": None, "last_error": None},
    ],
}  # fmt: skip


@pytest.fixture
def tail(start_process):
    """Starts `waybill tail` and waits until it is connected."""

    def start(gateway, *args):
        process = start_process(
            BINARY, "tail", "--url", gateway.url, *args, env={"WAYBILL_TOKEN": gateway.token}
        )

        def sees():
            gateway.publish("start")
            return process.lines

        wait_until(sees, what="a first line")
        return process

    return start


def lines_of(process, word):
    return wait_until(
        lambda: [line for line in process.lines if word in line], what=f"a line with {word}"
    )


def test_tail_prints_a_line_a_happening(gateway, make_receiver, tail):
    receiver = make_receiver(500, 200)
    gateway.register("demo", receiver.url())
    process = tail(gateway)
    event = gateway.publish("demo")["id"]
    (line,) = lines_of(process, " delivered ")
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(
        rf"{time} delivered demo message {event} attempt=2 status=200 [\d.]+ms "
        rf"{receiver.url()}",
        line,
    )
    (line,) = lines_of(process, " retrying ")
    assert re.search(rf" attempt=1 status=500 [\d.]+ms next={time} ", line)
    process.signal(signal.SIGINT)
    assert process.wait() == 0


def test_tail_filters_and_prints_json(gateway, make_receiver, tail):
    receiver = make_receiver()
    hook = gateway.register("start", receiver.url())
    args = ["--session", "start", "--webhook", hook["id"], "--status", "delivered,dead"]
    process = tail(gateway, "--json", *args)
    data = json.loads(process.lines[0])
    assert (data["type"], data["webhook_id"]) == ("delivered", hook["id"])


def test_tail_goes_on_after_a_restart(make_gateway, tail):
    """On the same port; it says that it cannot know what it has missed."""
    gateway = make_gateway()
    process = tail(gateway, "--session", "start")
    gateway.reconfigure(listen="%s:%d" % gateway.address)
    gateway.stop()
    gateway.start()

    def sees():
        gateway.publish("start")
        return any(" gap " in line for line in process.lines)

    wait_until(sees, what="the gap")
    count = len(process.lines)
    gateway.publish("start")
    process.line(count)


def test_tail_gives_up_where_it_never_came_in(gateway):
    done = waybill("tail", "--url", gateway.url, "--token", "wrong-token")
    assert done.returncode == 1 and "HTTP status 401" in done.stderr
    done = waybill("tail", "--url", gateway.url, "--token", gateway.token, "--status", "lost")
    assert done.returncode == 1 and "status must be" in done.stderr
    gateway.stop()
    assert waybill("tail", "--url", gateway.url).returncode == 1


@pytest.mark.parametrize(
    "args", [["tail", "x"], ["tail", "--session", "a\n"], ["tail", "--session", ""],
             ["tail", "--lost"], ["top", "x"], ["top", "--count", "0"],
             ["top", "--count", "101"], ["top", "--url", "x"], ["tail", "--url", "x"]]
)  # fmt: skip
def test_wrong_usage(args):
    done = waybill(*args)
    assert done.returncode == 2 and done.stderr


class Terminal:
    """A program on a terminal of its own; `text` is what it has written there."""

    def __init__(self, *command, env):
        ours, theirs = pty.openpty()
        self.text = ""
        self._ours = ours
        self.popen = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL,
            env=environment(env),
        )  # fmt: skip
        os.close(theirs)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            while data := os.read(self._ours, 65536):
                self.text += data.decode()
        except OSError:
            pass  # it has ended

    def end(self):
        self.popen.send_signal(signal.SIGTERM)
        status = self.popen.wait(20)
        self._thread.join()
        os.close(self._ours)
        return status


@pytest.mark.parametrize("no_color", ["", "1"])
def test_tail_has_colours_on_a_terminal(gateway, no_color):
    env = {"WAYBILL_TOKEN": gateway.token, "NO_COLOR": no_color}
    terminal = Terminal(BINARY, "tail", "--url", gateway.url, env=env)

    def sees():
        gateway.publish("demo")
        return "published" in terminal.text

    wait_until(sees, what="a line")
    assert terminal.end() == 0
    assert ("\033[36m published\033[0m" in terminal.text) == (no_color == "")
    assert ("\033" in terminal.text) == (no_color == "")


@pytest.fixture
def stats_server():
    """Answers GET /api/v1/stats; `asked` has the queries that came."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            known = url.path == "/api/v1/stats" and self.headers["Authorization"]
            self.server.asked.append(url.query)
            body = json.dumps(self.server.stats).encode()
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked, server.stats = [], STATS
        server.url = "http://127.0.0.1:%d" % server.server_address[1]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_top_prints_one_table(stats_server):
    done = waybill("top", "--url", stats_server.url, "--token", "t", "--count", "7", "--once")
    assert done.returncode == 0, done.stderr
    assert stats_server.asked == ["top=7"]
    lines = done.stdout.splitlines()
    assert lines[0] == "waybill 9.9.9  up 61 s  2026-11-28T16:01:00.000Z"
    assert "published 1234" in lines[1]
    assert "waiting 17  oldest, s 60" in lines[2]
    head = next(n for n, line in enumerate(lines) if line.startswith("STATE "))
    states = [line.split()[0] for line in lines[head + 1 :]]
    assert states == ["open", "disabled", "failing", "ok"]
    assert re.fullmatch(
        r"open +17 +1 +25 +2026-11-28T16:00:00\.000Z 503 +demo +3dd7b161-\S+ "
        r"http://127.0.0.1:9000/\\u001b\[31m \(HTTP status 503\)",
        lines[head + 1],
    )
    assert "(by request)" in lines[head + 2]


def test_top_says_what_is_wrong(stats_server):
    done = waybill("top", "--url", stats_server.url)
    assert done.returncode == 1 and "HTTP status 404" in done.stderr
    stats_server.stats = ["x"]
    done = waybill("top", "--url", stats_server.url, "--token", "t")
    assert done.returncode == 1 and "not one of /api/v1/stats" in done.stderr


def test_top_is_drawn_anew_on_a_terminal(stats_server):
    env = {"WAYBILL_TOKEN": "t", "NO_COLOR": ""}
    terminal = Terminal(BINARY, "top", "--url", stats_server.url, env=env)
    wait_until(lambda: terminal.text.count("\033[H\033[J") >= 2, what="a second screen")
    assert terminal.end() == 0
    assert "\033[31mopen     \033[0m" in terminal.text


def test_top_of_a_gateway(gateway):
    gateway.register("shop", "http://127.0.0.1:9/orders", retry=["1h"])
    gateway.publish("shop")
    wait_until(lambda: gateway.api("GET", "/stats").json()["deliveries"]["retried"], what="a try")
    done = waybill("top", "--url", gateway.url, "--once", env={"WAYBILL_TOKEN": gateway.token})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"waybill {version()}  up ")
    assert "published 1" in lines[1] and "waiting 1" in lines[2]
    assert re.match(r"failing +1 +0 +1 .*shop .*http://127\.0\.0\.1:9/orders ", lines[-1])
