"""Bytes of requests: long bodies that come all but for their end."""

import contextlib

import pytest

from siege import full
from test_bodies import OTHERS, head_of, tokens  # noqa: F401  (a fixture)

MIB = 1 << 20


@pytest.mark.parametrize(
    "takers, each, length",
    [(1, 30, 8 * MIB), full(1, 400, MIB), (2, 20, 8 * MIB), full(2, 200, MIB)],
)
@pytest.mark.parametrize("scheme", ["http", full("https")])
def test_long_bodies_lack_their_end(
    make_gateway, besiege, tls_options, tokens, scheme, takers, each, length  # noqa: F811
):
    options = tls_options if scheme == "https" else {}
    gateway = make_gateway(tokens_file=tokens, body_timeout_ms=120000, **options)
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        for n in range(takers * each):
            source = f"127.0.0.{2 + n % 4}"
            client = stack.enter_context(gateway.connect(source))
            client.send(head_of(OTHERS[n % takers], length) + b" " * (length - 1))
        siege.expect_refused("input_bytes", *("token 2", "token 3")[:takers])
        siege.hold()


def test_long_bodies_go_on_and_on(make_gateway, besiege, tokens):  # noqa: F811
    """Whole ones, one after another, with nothing in them: they take time to read, too."""
    gateway = make_gateway(tokens_file=tokens)
    body = b"[" + b" " * (8 * MIB - 2) + b"]"
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect("127.0.0.2")) for _ in range(4)]

        def publish():
            for client in clients:
                client.send(head_of(OTHERS[0], len(body), "/api/v1/events") + body)
            for client in clients:
                assert client.reply().status_code == 202

        siege.hold(publish)
