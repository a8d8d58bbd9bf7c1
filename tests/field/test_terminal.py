"""What comes from elsewhere and is printed: it stays in its line and tells a terminal nothing."""

import http.server
import json
import re
import threading
import unicodedata

import pytest
import requests

from harness import (
    BINARY, Process, sign_standard, sign_v1, wait_until, waybill,
)

TRICKS = {
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "title": "\x1b]0;owned\x1b\\",
    "clear the screen": "\x1b[2J\x1b[H",
    "back to the line's start": "all is well\r   signature ok",
    "a line of its own": "\n   signature ok\n",
    "backspaces": "WRONG\b\b\b\b\bok",
    "C1 introducer": "\u009b31m",
    "C1 string": "\u009d52;c;cm0=\u009c",
    "next line": "\u0085   signature ok",
    "line separator": "\u2028   signature ok",
    "delete": "\x7f\x7f",
    "bidi override": "\u202egnp.exe\u202c",
    "bidi isolate": "\u2066abc\u2069",
    "invisible": "adm\u200bin\ufeff\u00ad",
    "tags": "\U000e0041\U000e0042",
}
SHOWN = "Grüße 漢字 🎉 \\ \""


def is_safe(text):
    """Whether a terminal shows all of it, in the order in which it stands there."""
    return not any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text.replace("\n", "")
    )


@pytest.fixture
def start_listen():
    started = []

    def start(*args):
        process = Process([BINARY, "listen", "--port", "0", *args])
        started.append(process)
        return process, process.line(0).removeprefix("listening on ")

    yield start
    for process in started:
        process.close()


def listened(process):
    """The lines of one delivery, once its verdict is there."""
    wait_until(lambda: any("signature " in line for line in process.lines[1:]), what="a verdict")
    return process.lines[1:]


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
@pytest.mark.parametrize("where", ["body", "bytes"])
def test_listen(start_listen, trick, where):
    process, url = start_listen("--secret", "s3cret")
    body = ("{" + trick + SHOWN + "}").encode()
    if where == "bytes":
        body = trick.encode("utf-16-le") + b"\xff\xc2\x9b\x9b31m\xe2\x80"
    requests.post(url, data=body, headers={"X-Webhook-Signature": "sha256=00"}, timeout=10)
    lines = listened(process)
    assert len(lines) == 3 and lines[2] == "   signature WRONG"
    assert is_safe("\n".join(lines))
    assert (SHOWN in lines[1]) == (where == "body")


@pytest.mark.parametrize("name", ["Event", "Session", "Id", "Attempt"])
def test_listen_with_fields_in_a_field(start_listen, name):
    process, url = start_listen("--secret", "s3cret")
    headers = {f"X-Webhook-{name}": "a id=forged attempt=1"}
    requests.post(url + "path", data=b"{}", headers=headers, timeout=10)
    assert listened(process)[0].split(" ")[3:] == [
        f"{n.lower()}=" + (r"a\u0020id=forged\u0020attempt=1" if n == name else "")
        for n in ("Event", "Session", "Id", "Attempt")
    ]


def test_listen_cuts_between_characters(start_listen):
    process, url = start_listen("--secret", "s3cret")
    requests.post(url, data=("a" + "漢" * 1000).encode(), timeout=10)
    line = listened(process)[1]
    assert re.fullmatch(" {3}a漢+…", line)


def test_listen_judges_a_good_signature_of_a_trick(start_listen):
    process, url = start_listen("--secret", "s3cret")
    body = TRICKS["clipboard"].encode()
    headers = {
        "X-Webhook-Id": "e1", "X-Webhook-Timestamp": "5",
        "X-Webhook-Signature": sign_v1("s3cret", body), "webhook-id": "e1",
        "webhook-timestamp": "5", "webhook-signature": sign_standard("s3cret", "e1", "5", body),
    }
    requests.post(url, data=body, headers=headers, timeout=10)
    lines = listened(process)
    assert lines[2] == "   signature ok" and is_safe("\n".join(lines))


@pytest.fixture
def serve():
    """Starts servers that are none of ours: serve(404, b"body") gives the URL."""
    servers = []

    def start(code, body, kind="text/plain"):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                first = not server.asked
                server.asked = True
                self.send_response(code if first or code != 200 else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", len(body))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.asked = False
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def commands(url, tmp_path):
    return {
        "send": ["send", "--url", url, "s1", "message"],
        "backup": ["backup", "--url", url, tmp_path / "copy"],
        "tail": ["tail", "--url", url],
        "top": ["top", "--url", url, "--once"],
        "source list": ["source", "list", "--url", url],
        "source add": ["source", "add", "--url", url, "--name", "n"],
    }


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_error_of_a_server(serve, tmp_path, trick):
    """As of a proxy in between, or of a server that is none of ours."""
    url = serve(404, (trick + SHOWN).encode() + b"\x9b\xff")
    for name, args in commands(url, tmp_path).items():
        done = waybill(*args, env={"NO_COLOR": "1"})
        assert done.returncode == 1 and done.stdout == "", name
        assert done.stderr.count("\n") == 1 and is_safe(done.stderr), (name, done.stderr)
        assert "HTTP status 404: " in done.stderr and SHOWN in done.stderr


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_answer_of_a_server(serve, trick):
    """What is JSON stays the same JSON."""
    answer = {"id": trick + SHOWN}
    body = json.dumps(answer, ensure_ascii=False).encode()
    done = waybill("send", "--url", serve(202, body), "s1", "message")
    assert done.returncode == 0 and is_safe(done.stdout) and done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == answer
    url = serve(202, (trick + "\n").encode())
    done = waybill("send", "--url", url, "s1", "message")
    assert is_safe(done.stdout) and done.stdout.count("\n") == 1


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
def test_source_of_a_server(serve, trick):
    received = {"events": trick, "last_at": trick, "last_refused": trick}
    made = {"id": trick, "name": trick, "preset": trick, "path": trick, "session": {trick: trick},
            "secret": trick, "verify": {"type": trick}, "received": received}
    for args, answer in ((["add", "--name", "n"], made), (["list"], {"sources": [made] * 2})):
        body = json.dumps(answer, ensure_ascii=False).encode()
        done = waybill("source", args[0], "--url", serve(200, body), *args[1:])
        assert done.returncode == 0 and is_safe(done.stdout), args
        assert done.stdout.count("\n") == (11 if args[0] == "add" else 3), done.stdout


@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
@pytest.mark.parametrize("flags", [[], ["--json"]], ids=["people", "json"])
def test_stream_of_a_server(serve, trick, flags):
    data = {"type": "dead", "session_id": trick, "error": trick, "url": "http://" + trick}
    text = json.dumps(data, ensure_ascii=False)
    text = text.replace("\u2028", "\\u2028")  # as our server, or any; a line of a stream ends there
    block = f"event: dead\ndata: {text}\n\nevent: {trick.splitlines()[-1]}\ndata: {{}}\n\n".encode()
    url = serve(200, block, "text/event-stream")
    done = waybill("tail", "--url", url, *flags, env={"NO_COLOR": "1"})
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and is_safe(done.stdout) and is_safe(done.stderr)
    if flags:
        assert json.loads(lines[0]) == data


def test_real_deliveries_are_shown_as_they_are(gateway, start_listen):
    process, url = start_listen("--secret", "s3cret")
    gateway.register("s1", url + "hook", secret="s3cret")
    gateway.publish("s1", data={"text": SHOWN})
    lines = listened(process)
    assert json.loads(lines[1].strip())["data"] == {"text": SHOWN}
    assert lines[2] == "   signature ok"
