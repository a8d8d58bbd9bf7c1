"""Streams of what happens: all that a token gets, of two, and readers that do not read."""

import contextlib

import pytest

from attackers import publish_batch, register_many
from harness import shares, wait_until
from siege import ATTACK_S, full
from test_bodies import OTHERS, tokens  # noqa: F401  (a fixture)
from test_stream import Stream

TOKENS = {OTHERS[0]: "token 2", OTHERS[1]: "token 3"}


def take_streams(stack, gateway, token, each):
    """`each` streams are asked for; those that come are kept, and not read."""
    request = (
        "GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    for _ in range(each):
        client = stack.enter_context(gateway.connect("127.0.0.2"))
        client.take_little()
        client.send(request)


@pytest.mark.parametrize("takers", [1, 2])
@pytest.mark.parametrize("scheme", ["http", full("https")])
def test_streams_are_taken(
    make_gateway, besiege, tls_options, tokens, scheme, takers  # noqa: F811
):
    """The operator finds a place all the while, on http with a stream that he reads."""
    options = tls_options if scheme == "https" else {}
    gateway = make_gateway(tokens_file=tokens, **options)
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        for token in OTHERS[:takers]:
            take_streams(stack, gateway, token, 40)
        siege.expect_refused("streams", *list(TOKENS.values())[:takers])

        def look():
            if scheme == "http":
                with Stream(gateway, "?status=delivered&session=healthy") as stream:
                    kind, data = stream.message()
                    assert (kind, data["session_id"]) == ("delivered", "healthy")

        siege.hold(look)
        figures = shares(gateway)["streams"]
        assert 0 < figures["held"] < figures["capacity"]


@pytest.mark.parametrize("send_timeout_ms", [1000, full(60000)])
def test_streams_are_not_read(
    make_gateway, besiege, bad, tokens, send_timeout_ms  # noqa: F811
):
    """While very much happens: they fall behind, and who reads beside them does not."""
    gateway = make_gateway(
        tokens_file=tokens, send_timeout_ms=send_timeout_ms, circuit_failures=1000000
    )
    register_many(gateway, bad.urls("fail", 20), retry=["1s"] * 9)
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        take_streams(stack, gateway, OTHERS[0], 28)
        wait_until(lambda: shares(gateway)["streams"]["held"] == 28, ATTACK_S, "readers")
        with Stream(gateway, "?session=healthy") as stream:

            def go_on():
                publish_batch(gateway, ["attacker"] * 20)
                stream.until("delivered")

            siege.hold(go_on)
            if send_timeout_ms < 10000:
                wait_until(
                    lambda: go_on() or shares(gateway)["streams"]["held"] == 1,
                    ATTACK_S, "an end of those who do not read",
                )
            else:
                assert shares(gateway)["streams"]["held"] == 29
