"""
Clients that take more than their share: connections, guesses at tokens, bytes that nobody
waits for, answers that nobody reads, descriptors. Others are served meanwhile. 127.0.0.2 and
the like are other clients than 127.0.0.1.
"""

import contextlib
import os
import resource
import socket
import time

import pytest

from harness import (
    RawClient, event_of_size, expect_error, figure, hooks_path, processor_s, shares, wait_until,
)

EVENT = b'{"event":"message","session_id":"s1"}'
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
OTHER = "127.0.0.2"
GUESSES = 60  # far more than are answered at once and held back together
SLOWED = 'msg="a client sends wrong tokens and is slowed down" client='
CROWDED = 'msg="a client has too many connections" client='


def list_request(token, *lines, session="s1"):
    return b"\r\n".join(
        [
            f"GET /api/v1{hooks_path(session)} HTTP/1.1\r\nHost: x".encode(),
            *([b"Authorization: Bearer " + token.encode()] if token else []),
            *lines,
            b"\r\n",
        ]
    )


def is_served(client):
    client.send(LIVEZ)
    return client.reply().status_code == 200


def resident_kib(gateway):
    with open(f"/proc/{gateway.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() // 1024


def descriptors(gateway):
    return len(os.listdir(f"/proc/{gateway.pid}/fd"))


# Connections of one client


KEPT_OF_ONE = 28  # of the 32 places for clients on this machine, by the rule of shares


def test_connections_of_one_client_are_limited(make_gateway):
    gateway = make_gateway(max_connections_per_address=3)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(3 + KEPT_OF_ONE)]
        assert all(is_served(client) for client in clients)
        for _ in range(5):
            with gateway.connect() as refused:
                answer = refused.reply()
                expect_error(answer, 429)
                assert "Retry-After" in answer.headers
                assert refused.is_closed()
        with gateway.connect(OTHER) as other:
            assert is_served(other)
        assert all(is_served(client) for client in clients)
        assert gateway.log_text().count(CROWDED + "127.0.0.1") == 1
    wait_until(lambda: gateway.request("GET", "/livez").status_code == 200, what="a place")


def test_proxies_and_unix_sockets_have_no_limit(make_gateway, tmp_path):
    path = tmp_path / "socket"
    gateway = make_gateway(
        listen=["127.0.0.1:0", f"unix:{path}"],
        max_connections_per_address=1,
        trusted_proxies="127.0.0.1",
    )
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(5)]
        clients += [stack.enter_context(RawClient(path)) for _ in range(5)]
        assert all(is_served(client) for client in clients)
        for _ in range(1 + KEPT_OF_ONE):
            assert is_served(stack.enter_context(gateway.connect(OTHER)))
        refused(stack.enter_context(gateway.connect(OTHER)), 429)


# Wrong tokens


def guess(gateway, *lines, token="a-wrong-token", source=None, count=GUESSES):
    """Sends guesses all at once and returns the statuses of the answers."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect(source)) for _ in range(count)]
        for client in clients:
            client.send(list_request(token, *lines))
        answers = [client.reply() for client in clients]
    for answer in answers:
        expect_error(answer, answer.status_code)
        assert ("WWW-Authenticate" in answer.headers) == (answer.status_code == 401)
        assert ("Retry-After" in answer.headers) == (answer.status_code == 429)
    return [answer.status_code for answer in answers]


def test_many_wrong_tokens_are_slowed_down_and_then_not_looked_at(gateway):
    statuses = guess(gateway)
    assert set(statuses) == {401, 429}
    assert gateway.log_text().count(SLOWED + "127.0.0.1\n") == 1
    assert guess(gateway, source=OTHER).count(401) >= 10 + 16  # a budget of its own
    assert gateway.log_text().count(SLOWED) == 2
    assert gateway.log_text().count(SLOWED + OTHER) == 1


def test_answer_is_held_back_for_a_second(gateway):
    """Each takes no time, but of so many some are held, and then all of them take long."""
    started = time.monotonic()
    statuses = guess(gateway)
    assert set(statuses) == {401, 429}
    assert time.monotonic() - started >= 0.9


def blocked(gateway, source, *lines):
    """Guesses until nothing of that client is looked at, and says whether a right token is."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect(source)) for _ in range(GUESSES)]
        for client in clients:
            client.send(list_request("a-wrong-token", *lines))
        right = stack.enter_context(gateway.connect(source))
        right.send(list_request(gateway.token, *lines))
        status = right.reply().status_code
        assert status in (200, 429)
        live = stack.enter_context(gateway.connect(source))
        assert is_served(live)
        other = stack.enter_context(gateway.connect("127.0.0.3"))
        other.send(list_request(gateway.token))
        assert other.reply().status_code == 200
        for client in clients:
            client.reply()
    return status == 429


def test_right_token_of_a_client_that_guesses_waits_until_it_stops(gateway):
    wait_until(lambda: blocked(gateway, OTHER), timeout=30, what="429 for a right token")

    def is_let_in():
        with gateway.connect(OTHER) as client:
            client.send(list_request(gateway.token))
            return client.reply().status_code == 200

    wait_until(is_let_in, what="200 for a right token")


def test_few_wrong_tokens_cost_a_right_one_nothing(gateway):
    """Also while some of the wrong ones wait: up to 16 of them do."""
    assert set(guess(gateway, count=14)) == {401}
    assert gateway.api("GET", hooks_path("s1")).status_code == 200


def test_request_without_a_token_is_no_guess(gateway):
    assert set(guess(gateway, token="")) == {401}
    assert SLOWED not in gateway.log_text()


def test_right_tokens_are_never_slowed(gateway):
    with gateway.connect() as client:
        for _ in range(3 * GUESSES):
            client.send(list_request(gateway.token))
            assert client.reply().status_code == 200
    assert SLOWED not in gateway.log_text()


def test_wrong_signatures_are_guesses_too(make_gateway):
    gateway = make_gateway(inbound_secret="a secret")
    request = (
        b"POST /api/v1/sessions/s1/webhook-in HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        b"X-Webhook-Signature: sha256=00\r\nContent-Type: application/json\r\n\r\n{}"
    )
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(GUESSES)]
        for client in clients:
            client.send(request)
        assert {client.reply().status_code for client in clients} == {401, 429}
    assert gateway.log_text().count(SLOWED + "127.0.0.1") == 1


def test_held_answers_are_given_when_it_stops(make_gateway):
    """A drain of no time at all does not cut them off."""
    gateway = make_gateway(drain_timeout_ms=0)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(GUESSES)]
        for client in clients:
            client.send(list_request("a-wrong-token"))
        wait_until(lambda: SLOWED in gateway.log_text(), what="an answer that is held")
        wait_until(lambda: clients[-1].has_answer(), what="429 for the last")
        gateway.stop()
        assert {client.reply().status_code for client in clients} == {401, 429}


# Behind a proxy


def slowed(gateway):
    return [line.rpartition("client=")[2] for line in gateway.log_text().splitlines()
            if SLOWED in line]


@pytest.mark.parametrize(
    "lines, client",
    [
        ([b"X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        ([b"x-forwarded-for: 2001:db8::1"], "2001:db8::/64"),
        ([b"X-Forwarded-For: 198.51.100.1, 192.0.2.1, 127.0.0.9"], "192.0.2.1"),
        ([b"X-Forwarded-For: 198.51.100.1", b"X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        ([b'Forwarded: for=198.51.100.1;proto=http, for="[2001:db8::7]:80"'], "2001:db8::/64"),
        ([b"Forwarded: for=192.0.2.1", b"X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        ([b"Forwarded: for=192.0.2.1", b"X-Forwarded-For: 192.0.2.2"], "127.0.0.1"),
        ([b"X-Forwarded-For: nonsense"], "127.0.0.1"),
        ([b"Forwarded: nonsense"], "127.0.0.1"),
        ([], "127.0.0.1"),
    ],
    ids=lambda value: value if isinstance(value, str) else b" | ".join(value).decode(),
)
def test_client_behind_a_trusted_proxy_is_known(make_gateway, lines, client):
    gateway = make_gateway(trusted_proxies="127.0.0.0/8")
    guess(gateway, *lines)
    assert slowed(gateway) == [client]


def test_headers_of_others_count_for_nothing(make_gateway):
    gateway = make_gateway(trusted_proxies="127.0.0.1,unix")
    line = b"X-Forwarded-For: 192.0.2.1"
    guess(gateway, line, source=OTHER)
    assert slowed(gateway) == [OTHER]


def test_clients_behind_one_proxy_are_slowed_down_apart(make_gateway):
    gateway = make_gateway(trusted_proxies="127.0.0.1")
    bad, good = b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: 192.0.2.2"
    wait_until(lambda: blocked(gateway, "127.0.0.1", bad), timeout=30, what="429")
    with gateway.connect() as client:
        client.send(list_request(gateway.token, good))
        assert client.reply().status_code == 200


@pytest.mark.parametrize("trusted, client", [("unix", "192.0.2.1"), (None, "unix")])
def test_proxy_may_come_over_a_unix_socket(make_gateway, tmp_path, trusted, client):
    path = tmp_path / "socket"
    gateway = make_gateway(listen=["127.0.0.1:0", f"unix:{path}"], trusted_proxies=trusted)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(path)) for _ in range(GUESSES)]
        for link in clients:
            link.send(list_request("a-wrong-token", b"X-Forwarded-For: 192.0.2.1"))
        for link in clients:
            link.reply()
    assert slowed(gateway) == [client]


# Bytes that nobody waits for


def fill(gateway, session="s1"):
    """Registers webhooks whose list is a long answer, over half a megabyte."""
    headers = {f"X-{n}": "x" * 1000 for n in range(32)}
    for n in range(20):
        gateway.register(session, f"http://127.0.0.1:9/{n}", headers=headers)


@contextlib.contextmanager
def reluctant(gateway, count):
    """Clients that ask for long answers again and again, as many as go, and read none."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(gateway.connect(OTHER))
            client.take_little()
            clients.append(client)
        yield clients


def test_reader_that_does_not_read_costs_one_answer_and_little_input(make_gateway):
    """Twenty of them, 20 MB of requests each, whose answers would be gigabytes."""
    options = os.environ.get("ASAN_OPTIONS", "")  # a sanitizer keeps what is freed for a while
    env = {"ASAN_OPTIONS": f"{options}:quarantine_size_mb=1"}
    gateway = make_gateway(send_timeout_ms=600000, env=env)
    fill(gateway)
    before = resident_kib(gateway)
    requests = list_request(gateway.token) * (20_000_000 // len(list_request(gateway.token)))
    with reluctant(gateway, 20) as clients:
        for client in clients:
            assert client.send_what_fits(requests) < len(requests)
        assert gateway.request("GET", "/livez").status_code == 200
        assert resident_kib(gateway) - before < 100_000


def test_reader_that_does_not_read_is_cut_off(make_gateway):
    gateway = make_gateway(send_timeout_ms=300)
    fill(gateway)
    before = descriptors(gateway)
    with reluctant(gateway, 5) as clients:
        for client in clients:
            client.send(list_request(gateway.token) * 100)
        wait_until(lambda: descriptors(gateway) > before, what="the clients")
        wait_until(lambda: descriptors(gateway) <= before, what="the end of the clients")
    assert gateway.request("GET", "/livez").status_code == 200


def body_head(token, length, *lines):
    return b"\r\n".join(
        [
            b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json",
            *([b"Authorization: Bearer " + token.encode()] if token else []),
            b"Content-Length: %d" % length,
            *lines,
            b"\r\n",
        ]
    )


def refused(client, status, *mentions):
    """It was told so, in the API's words, and the connection ends."""
    answer = client.reply()
    expect_error(answer, status, mentions=mentions)
    assert ("Retry-After" in answer.headers) == (status in (429, 503))
    assert client.is_closed()


def publish_length(gateway, token, length):
    return gateway.api("POST", "/sessions/s1/events", token=token,
                       body=event_of_size(length)).status_code


@pytest.fixture
def two_tokens(make_gateway, tmp_path):
    """Makes gateways with another token, of two."""
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-another\n")
    tokens.chmod(0o600)
    return lambda **options: make_gateway(tokens_file=tokens, **options)


def test_bodies_that_do_not_end_take_a_part_of_their_takers_share(two_tokens):
    """Beyond it a long body is refused and a short one taken; others have theirs."""
    gateway = two_tokens(max_input_bytes="1MiB", body_timeout_ms=600000)
    with contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(gateway.connect()) for _ in range(3)]
        first.send(body_head(gateway.token, 4000000) + b" " * 700_000)
        wait_until(lambda: shares(gateway)["input_bytes"]["held"] > 700_000, what="the first")
        for client in others:
            client.send(body_head(gateway.token, 4000000) + b" " * 700_000)
            refused(client, 429, "bytes of requests")
        assert publish_length(gateway, gateway.token, 1000) == 202
        assert publish_length(gateway, "token-of-another", 200_000) == 202
        assert publish_length(gateway, gateway.token, 900_000) == 429
        assert shares(gateway)["input_bytes"]["refused_total"] == 3
        line = 'msg="refused, as its share is used up" resource=input_bytes taker="token 1"'
        assert gateway.log_text().count(line) == 1
    wait_until(lambda: publish_length(gateway, None, 900_000) == 202, what="room for a long body")
    wait_until(lambda: shares(gateway)["input_bytes"]["held"] == 0, what="nothing held")


def test_bodies_that_do_not_come_take_a_part_of_their_takers_share(two_tokens):
    gateway = two_tokens(max_connections=8, body_timeout_ms=600000)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(4)]
        for n, client in enumerate(clients):
            client.send(body_head(gateway.token, 1000))
            wait_until(lambda: shares(gateway)["bodies"]["held"] > n or client.has_answer())
        refused(clients.pop(), 429, "wait for their bodies")
        figures = shares(gateway)["bodies"]
        assert figures == {"capacity": 4, "held": 3, "refused_total": 1}
        other = stack.enter_context(gateway.connect())
        other.send(body_head("token-of-another", len(EVENT)))
        wait_until(lambda: shares(gateway)["bodies"]["held"] == 4, what="the other's")
        other.send(EVENT)
        assert other.reply().status_code == 202
        clients[0].send(EVENT + b" " * (1000 - len(EVENT)))
        assert clients[0].reply().status_code == 202
    wait_until(lambda: shares(gateway)["bodies"]["held"] == 0, what="nothing held")


HEADS = {
    "no token": (401, [], "/api/v1/events", "POST", ""),
    "a wrong token": (401, [], "/api/v1/events", "POST", "a-wrong-token"),
    "an unknown path": (404, [], "/api/v1/nothing", "POST", None),
    "a wrong method": (405, [], "/api/v1/events", "PUT", None),
    "no session": (400, [], "/api/v1/sessions/%00/events", "POST", None),
    "no id": (404, [], "/api/v1/sessions/s1/webhooks/x/test", "POST", None),
    "another's session": (403, [], "/api/v1/sessions/s2/events", "POST", "token-of-s1"),
    "a webhook without a signature": (401, [], "/api/v1/sessions/s1/webhook-in", "POST", ""),
    "a webhook that nobody could sign": (
        401, ["X-Webhook-Signature: sha256=00"], "/api/v1/sessions/s2/webhook-in", "POST", ""),
    "who waits to be asked": (401, ["Expect: 100-continue"], "/api/v1/events", "POST", ""),
    "chunks": (401, ["Transfer-Encoding: chunked"], "/api/v1/events", "POST", ""),
}


@pytest.mark.parametrize("status, lines, path, method, token", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_body_is_not_read_whose_head_is_refused(
    make_gateway, tmp_path, tls_options, scheme, status, lines, path, method, token
):
    """It is told so at once, and what it sends all the same is read and dropped."""
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-s1 s1\n")
    tokens.chmod(0o600)
    gateway = make_gateway(
        tokens_file=tokens, session_inbound_secret="s1=a secret", body_timeout_ms=600000,
        **(tls_options if scheme == "https" else {}),
    )
    token = gateway.token if token is None else token
    framing = [] if any("chunked" in line for line in lines) else ["Content-Length: 1000"]
    with gateway.connect() as client:
        for byte in f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Long: {'x' * 200}\r\n".encode():
            client.send(bytes([byte]))
        client.send("\r\n".join([f"Authorization: Bearer {token}"][: len(token)] + lines + framing)
                    .encode() + b"\r\n\r\n")
        refused(client, status)
    assert shares(gateway)["bodies"]["refused_total"] == 0


@pytest.mark.parametrize("lines", [[], [b"Expect: 100-continue"]], ids=["body", "asked"])
def test_wrong_tokens_are_slowed_down_by_their_heads(gateway, lines):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(GUESSES)]
        for client in clients:
            client.send(body_head("a-wrong-token", 1000, *lines))
        assert {client.reply().status_code for client in clients} == {401, 429}
        assert all(client.is_closed() for client in clients)
    assert gateway.log_text().count(SLOWED + "127.0.0.1\n") == 1


def test_who_leaves_while_a_refusal_is_held_is_forgotten(gateway):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(GUESSES)]
        for client in clients:
            client.send(body_head("a-wrong-token", 1000))
        wait_until(lambda: SLOWED in gateway.log_text(), what="an answer that is held")
    wait_until(lambda: figure(gateway, "waybill_connections") == 1, what="nobody but us")


def test_head_that_is_good_goes_on(gateway):
    """In however many pieces it comes, and whether the client waits to be asked or not."""
    for lines in [], [b"Expect: 100-continue"]:
        with gateway.connect() as client:
            for byte in body_head(gateway.token, len(EVENT), *lines):
                client.send(bytes([byte]))
            if lines:
                assert client.reply().status_code == 100
            client.send(EVENT)
            assert client.reply().status_code == 202
            client.send(body_head(gateway.token, len(EVENT)) + EVENT)
            assert client.reply().status_code == 202


# Answers that nobody reads


def test_answers_that_are_not_read_take_a_part_of_their_takers_share(two_tokens):
    """One for which there is no room becomes a 503; others have theirs, as small ones have."""
    gateway = two_tokens(max_output_bytes="1MiB", send_timeout_ms=600000)
    fill(gateway)
    times = 30  # more than the system takes in its buffers
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(3)]
        for client in clients:
            client.send(list_request(gateway.token) * times)
        figures = wait_until(
            lambda: (found := shares(gateway)["output_bytes"])["refused_total"] and found,
            what="an answer that is refused",
        )
        assert 100_000 < figures["held"] <= 1 << 20
        line = 'resource=output_bytes taker="token 1"'
        wait_until(lambda: line in gateway.log_text(), what=line)
        assert gateway.api("GET", "/sessions", token="token-of-another").status_code == 200
        answers = [client.reply() for client in clients for _ in range(times)]
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            expect_error(answer, 503, mentions=["answers"])
            assert answer.headers["Retry-After"]
    wait_until(lambda: shares(gateway)["output_bytes"]["held"] < 65536, what="little held")
    assert len(gateway.api("GET", hooks_path("s1")).json()["webhooks"]) == 20


# Descriptors


def test_no_descriptors_left_is_survived_without_spinning(make_gateway):
    gateway = make_gateway(max_connections=1000, max_connections_per_address=1000)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(gateway.connect())
        assert is_served(first)
        limit = descriptors(gateway) + 10
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (limit, limit))
        clients = [stack.enter_context(gateway.connect()) for _ in range(30)]
        wait_until(lambda: "cannot accept connections" in gateway.log_text(), what="EMFILE")
        started, used = time.monotonic(), processor_s(gateway)
        while time.monotonic() - started < 1.5:  # 15 attempts at accepting
            assert is_served(first)
            time.sleep(0.1)
        assert processor_s(gateway) - used < (time.monotonic() - started) / 4
        assert gateway.log_text().count("cannot accept connections") == 1
        for client in clients[:15]:
            client.close()
        assert all(is_served(client) for client in clients[15:25])


# All connections are taken


def opened(stack, gateway, *sources):
    """A connection from each, that has been served."""
    clients = [stack.enter_context(gateway.connect(source)) for source in sources]
    assert all(is_served(client) for client in clients)
    return clients


def test_client_has_its_share_of_all_connections(make_gateway):
    gateway = make_gateway(max_connections=8)
    with contextlib.ExitStack() as stack:
        clients = opened(stack, gateway, *["127.0.0.2"] * (7 + KEPT_OF_ONE))
        refused(stack.enter_context(gateway.connect("127.0.0.2")), 429, "its share")
        clients += opened(stack, gateway, "127.0.0.3")
        assert all(is_served(client) for client in clients)
        # and its own probe comes over the eighth, or in place of an idle one
        figures = shares(gateway)["connections"]
        assert (figures["capacity"], figures["refused_total"]) == (8, 1)
        line = "resource=connections taker=127.0.0.2"
        assert gateway.log_text().count(line) == 1


def test_idlest_connection_makes_place(make_gateway):
    gateway = make_gateway(max_connections=8)
    with contextlib.ExitStack() as stack:
        crowd = opened(stack, gateway, *["127.0.0.2"] * 7)
        crowd += opened(stack, gateway, "127.0.0.3")
        assert is_served(crowd[0])  # so that the next is the one that is idle for longest
        newcomer = opened(stack, gateway, "127.0.0.4")
        assert crowd.pop(1).is_closed()
        assert all(is_served(client) for client in crowd + newcomer)
        assert figure(gateway, "waybill_connections_displaced_total") >= 1
        assert shares(gateway)["connections"]["refused_total"] == 0


def test_heads_that_have_begun_make_place_where_nothing_is_idle(make_gateway):
    gateway = make_gateway(max_connections=4)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(gateway.connect(f"127.0.0.{n}")) for n in range(2, 6)]
        for client in crowd:
            client.send(LIVEZ + b"GET /livez HT")
            assert client.reply().status_code == 200
        opened(stack, gateway, "127.0.0.9")
        refused(crowd[0], 503, "others need the connection")
        wait_until(lambda: "resource=connections taker=127.0.0.2" in gateway.log_text())


STREAM = (
    b"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
)

def test_this_machine_has_places_that_are_kept(make_gateway):
    """Where all others are at work: the streams stay open, and so the probes get in."""
    gateway = make_gateway(max_connections=2, stream_readers_max=100)

    def stream(source):
        client = stack.enter_context(gateway.connect(source))
        client.send(STREAM % gateway.token.encode())
        assert b" 200 " in client._link.read_until(b"\r\n\r\n")

    with contextlib.ExitStack() as stack:
        for source in "127.0.0.2", "127.0.0.3":
            stream(source)
        for _ in range(KEPT_OF_ONE):
            stream("127.0.0.4")
        refused(stack.enter_context(gateway.connect("127.0.0.4")), 503, "in use")
        assert gateway.request("GET", "/livez").status_code == 200
        assert gateway.api("GET", "/stats").status_code == 200
