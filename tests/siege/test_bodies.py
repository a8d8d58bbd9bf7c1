"""Requests whose bodies never come: of nobody, of one token, of two; also through proxies."""

import contextlib
import hmac

import pytest

from harness import wait_until
from siege import ATTACKERS, IS_FULL, full, shares

OTHERS = ("token-of-another", "token-of-a-third")


def head_of(token, length=1000, path="/api/v1/sessions/attacked/events"):
    return (
        f"POST {path} HTTP/1.1\r\nHost: waybill.example\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text("".join(token + "\n" for token in OTHERS))
    path.chmod(0o600)
    return path


@pytest.fixture(params=["http", full("https")])
def gateway(request, make_gateway, tls_options, tokens):
    options = tls_options if request.param == "https" else {}
    return make_gateway(tokens_file=tokens, body_timeout_ms=60000, **options)


def heads(stack, front, takers, each, begun=b"", sources=ATTACKERS):
    """`each` heads of each token, and what has begun of their bodies."""
    for n in range(each):
        for token in takers:
            with contextlib.suppress(OSError):
                client = stack.enter_context(front.connect(sources[n % len(sources)]))
                client.send(head_of(token, 40000) + begun)


@pytest.mark.parametrize(
    "takers, each",
    [(["a-wrong-token"], 1056), full(OTHERS[:1], 700), (OTHERS, 400)],
    ids=["nobody's", "one token", "two tokens"],
)
def test_bodies_that_never_come(gateway, besiege, takers, each):
    """The wrong tokens are refused by their heads; the right ones have their shares."""
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        heads(stack, gateway, takers, each)
        siege.hold()
        if takers[0] == OTHERS[0]:
            siege.expect_refused("bodies", "token")
            figures = shares(gateway)["bodies"]
            assert 0 < figures["held"] < figures["capacity"]


NOBODY, ONE, TWO = ["a-wrong-token"], OTHERS[:1], OTHERS
NOTHING, LONG = 0, 36000  # bytes that come: HAProxy passes on what is more than it buffers
OF_ADDRESS = 96  # connections that a proxy lets an address have
ADDRESSES = 11 if IS_FULL else 5


@pytest.mark.parametrize(
    "kind, takers, begun",
    [
        ("haproxy", NOBODY, NOTHING), ("haproxy", TWO, LONG), full("nginx", NOBODY, NOTHING),
        ("nginx", TWO, LONG), full("haproxy", NOBODY, LONG), full("haproxy", ONE, NOTHING),
        full("haproxy", ONE, LONG), full("nginx", ONE, LONG), full("nginx", NOBODY, LONG),
    ],
)
def test_bodies_that_never_come_through_a_proxy(front, besiege, tokens, kind, takers, begun):
    """What the proxy passes on before the body is there comes over connections that it shares."""
    proxy, gateway = front(kind, tokens_file=tokens, body_timeout_ms=60000)
    with besiege(gateway, front=proxy) as siege, contextlib.ExitStack() as stack:
        sources = [f"127.0.0.{n + 2}" for n in range(ADDRESSES)]
        each = OF_ADDRESS * ADDRESSES // len(takers)
        heads(stack, proxy, takers, each, b" " * begun, sources)
        siege.hold()


def test_signed_webhooks_that_never_come(make_gateway, besiege):
    """They have no token: each client has its share."""
    gateway = make_gateway(inbound_secret="a secret", body_timeout_ms=60000, max_connections=256)
    head = head_of("x", path="/api/v1/sessions/attacked/webhook-in").replace(
        b"Authorization: Bearer x", b"X-Webhook-Signature: sha256=" + b"0" * 64)
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        for _ in range(120):
            for source in ATTACKERS[:2]:
                stack.enter_context(gateway.connect(source)).send(head)
        siege.hold()
        siege.expect_refused("bodies", ATTACKERS[0])


def test_bodies_at_a_door_that_never_come(make_gateway, besiege):
    """Who knows a source's door takes that source's share, from however many addresses."""
    gateway = make_gateway(body_timeout_ms=60000, max_connections=256)
    attacked, other = (
        gateway.api("POST", "/sources", json={
            "name": name, "preset": "github", "verify": {"secrets": ["s3cret"]}}).json()
        for name in ("attacked", "other"))
    head = head_of("x", path=attacked["path"]).replace(
        b"Authorization: Bearer x", b"X-Hub-Signature-256: sha256=" + b"0" * 64)
    code = "sha256=" + hmac.new(b"s3cret", b"{}", "sha256").hexdigest()
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        for _ in range(60):
            for source in ATTACKERS:
                stack.enter_context(gateway.connect(source)).send(head)
        siege.hold()
        siege.expect_refused("bodies", f"source {attacked['id']}")
        answer = gateway.request("POST", other["path"], token="", data=b"{}",
                                 headers={"X-Hub-Signature-256": code})
        assert answer.status_code == 200, answer.text


def test_a_sender_whose_door_others_know(make_gateway, besiege):
    """What is not proven yet is shared by clients: the sender's own address has its part."""
    gateway = make_gateway(body_timeout_ms=60000, max_connections=256)
    source = gateway.api("POST", "/sources", json={
        "name": "attacked", "preset": "github", "verify": {"secrets": ["s3cret"]}}).json()

    def head(body, code):
        return head_of("x", len(body), source["path"]).replace(
            b"Authorization: Bearer x", b"X-Hub-Signature-256: sha256=" + code.encode())

    forged = head(b"x" * 1000, "0" * 64)
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        for _ in range(60):
            for address in ATTACKERS:
                stack.enter_context(gateway.connect(address)).send(forged)
        siege.hold()
        siege.expect_refused("bodies", f"source {source['id']}")
        for n in range(20):  # its body comes behind its head
            body = b'{"n":%d}' % n
            held = shares(gateway)["bodies"]["held"]
            client = stack.enter_context(gateway.connect("127.0.0.99"))
            client.send(head(body, hmac.new(b"s3cret", body, "sha256").hexdigest()))
            wait_until(lambda: shares(gateway)["bodies"]["held"] > held, what="one more body")
            client.send(body)
            assert client.reply().status_code == 200
            client.close()


def test_heads_with_wrong_tokens_are_answered(gateway, besiege):
    """Each is told so, though its body has not come."""
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect(ATTACKERS[0])) for _ in range(100)]
        for client in clients:
            client.send(head_of("a-wrong-token"))
        siege.hold()
        wait_until(lambda: all(client.has_answer() for client in clients), what="answers")
        assert {client.reply().status_code for client in clients} == {401, 429}
