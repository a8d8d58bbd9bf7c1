"""One receiver's trouble is not another's: what came while the bad one hung decides."""

import pytest

from harness import Hold, drip, open_head, raw, status, verify, wait_until

COUNT = 30


def publish_many(gateway, session, count=COUNT):
    return {gateway.publish(session, data={"n": n})["id"] for n in range(count)}


def wait_for_ids(receiver, ids):
    wait_until(lambda: ids <= receiver.ids, what="all events at a receiver")


@pytest.mark.parametrize("other_session", [False, True])
def test_hanging_receiver_does_not_hold_up_another_webhook(
    gateway, make_receiver, other_session
):
    hold = Hold()
    bad, good = make_receiver(hold), make_receiver()
    good_session = "s2" if other_session else "s1"
    gateway.register("s1", bad.url(), timeout_ms=30000)
    gateway.register(good_session, good.url())
    bad_ids = publish_many(gateway, "s1")
    bad.wait_for(1)
    good_ids = publish_many(gateway, good_session)
    wait_for_ids(good, good_ids)  # the bad one has not answered a single request
    hold.release()
    wait_for_ids(bad, bad_ids)


def test_hanging_path_does_not_hold_up_another_on_the_same_host(gateway, make_receiver):
    """Connections per host are curl's to count; a webhook's share of them is ours."""
    hold = Hold()

    def by_path(link, request, closing):
        act = hold if request.path == "/bad" else status(200)
        return act(link, request, closing)

    receiver = make_receiver(by_path)
    gateway.register("s1", receiver.url("/bad"), timeout_ms=30000)
    gateway.register("s2", receiver.url("/good"))
    bad_ids = publish_many(gateway, "s1")
    wait_until(lambda: receiver.requests, what="a request that hangs")
    good_ids = publish_many(gateway, "s2")
    wait_for_ids(receiver, good_ids)
    hold.release()
    wait_for_ids(receiver, bad_ids)


@pytest.mark.parametrize(
    "act", [open_head(), drip(200), raw(b""), 500], ids=["open head", "drip", "close", "500"]
)
def test_troubled_receiver_does_not_hold_up_another_webhook(gateway, make_receiver, act):
    bad, good = make_receiver(act), make_receiver()
    gateway.register("s1", bad.url(), timeout_ms=30000)
    gateway.register("s1", good.url(), secret="s3cret")
    wait_for_ids(good, publish_many(gateway, "s1"))
    for request in good.requests:
        verify(request, "s3cret")


def test_api_answers_while_receivers_hang(gateway, make_receiver):
    bad = make_receiver(Hold())
    for n in range(20):
        gateway.register("s1", bad.url(f"/{n}"), timeout_ms=30000)
    gateway.publish("s1")
    bad.wait_for(20)
    assert gateway.request("GET", "/readyz").status_code == 200
    assert gateway.publish("s2")["deliveries"] == 0


def test_many_webhooks_with_work_all_get_theirs(gateway, receiver):
    for n in range(50):
        gateway.register(f"s{n}", receiver.url(f"/{n}"))
    ids = {gateway.publish(f"s{n}")["id"] for n in range(50) for _ in range(2)}
    wait_for_ids(receiver, ids)
