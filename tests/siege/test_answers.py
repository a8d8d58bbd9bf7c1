"""Answers: long ones that are asked for and not read."""

import contextlib

import pytest

from harness import hooks_path, shares, wait_until
from siege import ATTACKERS, full
from test_bodies import OTHERS, tokens  # noqa: F401  (a fixture)


def fill(gateway, webhooks):
    """Webhooks whose list is long: 33 KB each."""
    headers = {f"X-{n}": "x" * 1000 for n in range(32)}
    for n in range(webhooks):
        gateway.register("attacked", f"http://127.0.0.1:9/{n}", headers=headers)


def ask(stack, gateway, token, times, each):
    """Connections that ask `times` each, and read nothing."""
    request = (
        f"GET /api/v1{hooks_path('attacked')} HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()
    for n in range(each):
        client = stack.enter_context(gateway.connect(ATTACKERS[n % len(ATTACKERS)]))
        client.take_little()
        client.send(request * times)


@pytest.mark.parametrize(
    "takers, webhooks, each", [(1, 150, 120), full(1, 900, 120), (2, 150, 100), full(2, 20, 400)]
)
@pytest.mark.parametrize("scheme", ["http", full("https")])
def test_answers_are_not_read(
    make_gateway, besiege, tls_options, tokens, scheme, takers, webhooks, each  # noqa: F811
):
    options = tls_options if scheme == "https" else {}
    gateway = make_gateway(tokens_file=tokens, send_timeout_ms=120000, **options)
    fill(gateway, webhooks)
    with besiege(gateway) as siege, contextlib.ExitStack() as stack:
        for token in OTHERS[:takers]:
            ask(stack, gateway, token, 20, each)
        siege.expect_refused("output_bytes", "token")
        siege.hold()
        figures = shares(gateway)["output_bytes"]
        assert figures["held"] <= figures["capacity"] + (1 << 20)  # the small ones
    wait_until(lambda: shares(gateway)["output_bytes"]["held"] < 1 << 20, what="little held")
