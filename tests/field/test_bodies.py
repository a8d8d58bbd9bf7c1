"""What bodies are: marks in front, compressed ones, large ones."""

import gzip
import zlib
import json
import zlib

import pytest

from harness import event_of_size, expect_error, hooks_path, processor_s, shares

EVENTS = "/sessions/s1/events"
EVENT = {"event": "message", "data": {"text": "hello"}}
TEXT = json.dumps(EVENT).encode()
HOOK = "http://127.0.0.1:9/hook"


def publish(gateway, body, path=EVENTS, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway.api("POST", path, body=body, headers=named)


# What is no JSON from its first byte on

OTHERS = {
    "byte order mark": (b"\xef\xbb\xbf" + TEXT, "byte order mark"),
    "UTF-16": (b"\xff\xfe" + TEXT.decode().encode("utf-16-le"), "UTF-16"),
    "UTF-16, big": (b"\xfe\xff" + TEXT.decode().encode("utf-16-be"), "UTF-16"),
    "gzip": (gzip.compress(TEXT), "Content-Encoding: gzip"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00", "zstd"),
}


@pytest.mark.parametrize("body, words", OTHERS.values(), ids=OTHERS)
def test_what_is_no_json_is_named(gateway, body, words):
    for path in [EVENTS, "/events", hooks_path("s1")]:
        expect_error(publish(gateway, body, path), 400, mentions=["byte 0", words])
    answer = publish(gateway, body, "/events", Content_Type="application/x-ndjson")
    expect_error(answer, 400, mentions=["line 1", words])


def test_empty_lines_are_none_and_cost_nothing(gateway, receiver):
    """A parser for each of millions took a second, in which nobody else was served."""
    gateway.register("s1", receiver.url())
    event = json.dumps({"session_id": "s1", **EVENT}).encode()
    kind = "application/x-ndjson"
    body = b"\r\n \n\t\n" + event + b"\n" * 7_000_000 + event + b"\n \r\n  "
    before = processor_s(gateway)
    answer = publish(gateway, body, "/events", Content_Type=kind)
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 2
    assert processor_s(gateway) - before < 0.3
    receiver.wait_for(2)
    body = b"\n \n" + event + b"\n\n  {\n"
    expect_error(publish(gateway, body, "/events", Content_Type=kind), 400, mentions=["line 5", "byte 3"])


# Compressed bodies


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", " gzip "])
def test_gzip_is_taken(gateway, receiver, coding):
    gateway.register("s1", receiver.url())
    answer = publish(gateway, gzip.compress(TEXT), Content_Encoding=coding.strip())
    assert answer.status_code == 202, answer.text
    (request,) = receiver.wait_for(1)
    assert request.json()["data"] == EVENT["data"]
    assert request.header("Content-Encoding") is None


def test_gzip_is_taken_in_every_call_with_a_body(gateway, receiver):
    def send(method, path, value, text=None, kind="application/json"):
        body = gzip.compress(text or json.dumps(value).encode())
        headers = {"Content-Encoding": "gzip", "Content-Type": kind}
        answer = gateway.api(method, path, body=body, headers=headers)
        assert answer.ok, answer.text
        return answer.json()

    webhook = send("POST", hooks_path("s1"), {"url": receiver.url()})
    path = hooks_path("s1", webhook["id"])
    assert send("PATCH", path, {"description": "mine"})["description"] == "mine"
    assert send("POST", path + "/rotate-secret", {"secret": "new"})["secret"] == "new"
    assert send("POST", path + "/replay", {"since": 0})["replay"]["looked_at"] == 0
    envelope = json.dumps({"session_id": "s1", **EVENT}).encode()
    assert send("POST", "/events", None, envelope)["deliveries"] == 1
    assert send("POST", "/events", None, b"[%s,%s]" % (envelope, envelope))["accepted"] == 2
    lines = envelope + b"\n" + envelope
    assert send("POST", "/events", None, lines, "application/x-ndjson")["accepted"] == 2
    receiver.wait_for(5)


def test_several_members_are_one_body(gateway):
    body = gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])
    assert publish(gateway, body, Content_Encoding="gzip").status_code == 202


@pytest.mark.parametrize(
    "coding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "gzip, br", "utf-8"]
)
def test_other_codings_are_refused_and_gzip_is_named(gateway, coding):
    answer = publish(gateway, TEXT, Content_Encoding=coding)
    expect_error(answer, 415, mentions=["gzip is", coding])
    assert answer.headers["Accept-Encoding"] == "gzip"


def test_coding_that_is_too_long_to_be_named_is_refused(gateway):
    answer = publish(gateway, TEXT, Content_Encoding=",".join(["gzip"] * 99))
    expect_error(answer, 415, mentions=["gzip is"])


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
def test_no_coding_is_none(gateway, coding):
    assert publish(gateway, TEXT, Content_Encoding=coding).status_code == 202


def test_coding_is_refused_before_the_body_comes(gateway):
    with gateway.connect() as client:
        client.send(
            f"POST /api/v1{EVENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {gateway.token}"
            "\r\nContent-Type: application/json\r\nContent-Encoding: br\r\n"
            "Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        expect_error(client.reply("POST"), 415, mentions=["br"])


WHOLE = gzip.compress(TEXT)
DAMAGED = {
    "no gzip": TEXT,
    "zlib": zlib.compress(TEXT),
    "cut short": WHOLE[:-1],
    "wrong sum": WHOLE[:-8] + bytes(8),
    "something behind": WHOLE + b"x",
    "nothing": b"",
    "empty blocks": WHOLE[:10] + b"\x00\x00\x00\xff\xff" * 100000 + WHOLE[10:],
    "empty members": gzip.compress(b"") * 20000 + WHOLE,
}


@pytest.mark.parametrize("body", DAMAGED.values(), ids=DAMAGED)
def test_damaged_gzip_is_refused(gateway, body):
    expect_error(publish(gateway, body, Content_Encoding="gzip"), 400, mentions=["gzip"])


def test_gzip_has_the_limits_of_what_it_holds(make_gateway):
    gateway = make_gateway(max_body_bytes=5000, max_batch_bytes=9000)
    for size, code in [(5000, 202), (5001, 413)]:
        body = gzip.compress(event_of_size(size))
        assert publish(gateway, body, Content_Encoding="gzip").status_code == code
    for size, code in [(9000, 202), (9001, 413)]:
        item = b'{"session_id":"s1","event":"message"},'
        text = b"[" + item * 100 + item[:-1] + b"]"
        body = gzip.compress(text + b" " * (size - len(text)))
        assert publish(gateway, body, "/events", Content_Encoding="gzip").status_code == code
    large = gzip.compress(b'{"url":"%s"}' % HOOK.encode() + b" " * 70000)
    expect_error(publish(gateway, large, hooks_path("s1"), Content_Encoding="gzip"), 413)


def test_bomb_costs_no_more_than_the_limit(gateway):
    bomb = gzip.compress(bytes(1 << 29), 1)  # half a GiB
    with open(f"/proc/{gateway.pid}/status", encoding="ascii") as status:
        before = int(status.read().split("VmHWM:")[1].split()[0])
    used = processor_s(gateway)
    expect_error(publish(gateway, bomb, Content_Encoding="gzip"), 413, mentions=["inflated"])
    assert processor_s(gateway) - used < 1
    with open(f"/proc/{gateway.pid}/status", encoding="ascii") as status:
        assert int(status.read().split("VmHWM:")[1].split()[0]) - before < 64 * 1024  # KiB


def test_what_is_inflated_is_charged_until_the_answer(make_gateway):
    gateway = make_gateway(max_input_bytes="1MiB", max_body_bytes="2MiB")
    body = gzip.compress(event_of_size(1500000))
    answer = publish(gateway, body, Content_Encoding="gzip")
    expect_error(answer, 429)
    assert shares(gateway)["input_bytes"]["refused_total"] == 1
    assert publish(gateway, gzip.compress(TEXT), Content_Encoding="gzip").status_code == 202
    assert shares(gateway)["input_bytes"]["held"] == 0


def test_nothing_is_inflated_beyond_the_share(make_gateway):
    """Its end is not even read: it is damaged, and nobody says so."""
    gateway = make_gateway(max_input_bytes="1MiB", max_body_bytes="2MiB")
    body = gzip.compress(event_of_size(1500000))
    damaged = body[:-8] + bytes(8)
    expect_error(publish(gateway, damaged[:-4], Content_Encoding="gzip"), 429)
    answer = publish(gateway, damaged, Content_Encoding="gzip")
    expect_error(answer, 429, mentions=["under way"])
    assert int(answer.headers["Retry-After"]) > 0
    assert shares(gateway)["input_bytes"]["refused_total"] == 2
    assert shares(gateway)["input_bytes"]["held"] == 0


def test_nothing_is_inflated_for_a_key_that_is_none(gateway):
    expect_error(
        publish(gateway, b"no gzip", Content_Encoding="gzip", Idempotency_Key="k" * 129),
        400, "Idempotency-Key",
    )


def flushed(lines, every):
    """Lines in gzip, flushed behind every so many, as a program does that streams them."""
    packer = zlib.compressobj(wbits=31)
    parts = [
        packer.compress(line) + (packer.flush(zlib.Z_SYNC_FLUSH) if n % every == 0 else b"")
        for n, line in enumerate(lines, 1)
    ]
    return b"".join(parts) + packer.flush()


def test_bound_of_blocks_is_named(gateway, receiver):
    lines = [b'{"session_id":"s1","event":"message","data":%d}\n' % n for n in range(5000)]
    given = {"Content_Encoding": "gzip", "Content_Type": "application/x-ndjson"}
    answer = publish(gateway, flushed(lines, 1), "/events", **given)
    expect_error(answer, 400, mentions=["flush", "1000 blocks", "KiB"])
    answer = publish(gateway, flushed(lines, 20), "/events", **given)
    assert answer.status_code == 202, answer.text


def test_what_is_kept_of_a_batch_is_charged_until_the_answer(make_gateway):
    """Tiny events take more while they wait for the commit than their text does."""
    gateway = make_gateway(max_input_bytes="1MiB")
    item = b'{"session_id":"s1","event":"message"},'
    expect_error(publish(gateway, b"[" + item * 4999 + item[:-1] + b"]", "/events"), 429)
    assert shares(gateway)["input_bytes"]["refused_total"] == 1
    assert publish(gateway, b"[" + item * 99 + item[:-1] + b"]", "/events").status_code == 202
    assert shares(gateway)["input_bytes"]["held"] == 0


def test_signature_is_over_what_was_sent(make_gateway, receiver):
    """Nothing is inflated for those who cannot sign."""
    from harness import sign_v1

    gateway = make_gateway(inbound_secret="s3cret")
    gateway.register("s1", receiver.url())
    path = "/sessions/s1/webhook-in"
    body = gzip.compress(TEXT)
    for signed, code in [(TEXT, 401), (body, 200)]:
        answer = gateway.api("POST", path, body=body, token="", headers={
            "Content-Encoding": "gzip", "X-Webhook-Signature": sign_v1("s3cret", signed),
        })
        assert answer.status_code == code, answer.text
    (request,) = receiver.wait_for(1)
    assert request.json()["data"] == EVENT["data"]


# Large bodies


def numbers(count, text=b"1e20,"):
    """Data of so many numbers that are longer in canonical form: 4.4 times for 1e20."""
    return b'{"event":"message","data":[' + (text * count)[:-1] + b"]}"


def test_canonical_form_has_the_limit_too(make_gateway, receiver):
    gateway = make_gateway(max_body_bytes=5000)
    gateway.register("s1", receiver.url())
    for count, code in [(220, 202), (240, 413), (900, 413)]:
        body = numbers(count)
        assert len(body) <= 5000
        answer = publish(gateway, body)
        assert answer.status_code == code, answer.text
        envelope = b'{"session_id":"s1",' + body[1:]
        in_batch = publish(gateway, b"[%s,%s]" % (numbers(1).replace(b"{", b'{"session_id":"s1",', 1),
                                                  envelope), "/events")
        assert in_batch.status_code == code, in_batch.text
        if code == 413:
            expect_error(answer, 413, mentions=["canonical", "max_body_bytes"])
            expect_error(in_batch, 413, "[1]", ["canonical", "max_body_bytes"])
    receiver.wait_for(3)
    sent = sorted(len(request.body) for request in receiver.requests)
    assert sent[-1] <= 5000 + 256  # its session, name and time
    assert gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]


@pytest.mark.parametrize("size", [4 << 20, 16 << 20])
def test_longest_event_arrives_and_can_be_read(make_gateway, receiver, size):
    options = {} if size == 4 << 20 else {"max_body_bytes": size}
    gateway = make_gateway(**options)
    webhook = gateway.register("s1", receiver.url(), timeout_ms=30000)
    text = event_of_size(size)
    accepted = publish(gateway, text)
    assert accepted.status_code == 202, accepted.text
    (request,) = receiver.wait_for(1, 30)
    assert request.json()["data"] == json.loads(text)["data"]
    shown = gateway.api("GET", "/events/" + accepted.json()["id"])
    assert shown.status_code == 200 and len(shown.content) > size
    path = hooks_path("s1", webhook["id"], "replay")
    assert gateway.api("POST", path, json={"since": 0, "status": "all"}).status_code == 202
    assert receiver.wait_for(2, 30)[1].body == request.body
    expect_error(publish(gateway, event_of_size(size + 1)), 413)


def test_what_grows_most_is_refused_and_what_is_taken_can_be_read(make_gateway, receiver):
    """Of bodies up to 16 MiB that grow 4.4 times none is taken that is not delivered."""
    gateway = make_gateway(max_body_bytes="16MiB")
    gateway.register("s1", receiver.url(), timeout_ms=30000)
    taken = 0
    for mib in [3, 4, 8, 16]:
        body = numbers((mib << 20) // 5 - 10)
        answer = publish(gateway, body)
        assert answer.status_code in (202, 413), answer.text
        taken += answer.status_code == 202
    assert taken == 1
    (request,) = receiver.wait_for(1, 30)
    assert request.json()["data"][:2] == [10**20, 10**20]
    assert gateway.dlq("s1") == []
