"""
"ordering":{"key":"/data/chat"}: one event after the other within a chat, many chats at once,
whatever fails, crashes or is changed meanwhile.
"""

import itertools
import random
import threading
import time

import pytest

from harness import Hold, expect_error, hooks_path, reset, status, wait_until
from scheduling import publish_many, wait_for_ids
from test_fsck import expect_sound

NO_CIRCUIT = 1000  # failures: more than a test has
BY_CHAT = {"key": "/data/chat"}
CHATS = [f"chat {n}" for n in range(20)]  # no two have one lane but 7 and 13
ALONE = 3


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(retry_schedule=",".join(["10ms"] * 32), circuit_failures=NO_CIRCUIT)


def chat_of(request):
    return request.json()["data"].get("chat")


def publish(gateway, rounds, chats=CHATS, session="s1"):
    """Publishes for each chat in turn; the ids of each in order."""
    ids = {}
    for n in range(rounds):
        for at, chat in enumerate(chats):
            event = gateway.publish(session, data={"n": n, "chat": chat})
            ids.setdefault(at, []).append(event["id"])
    return ids


def add(ids, more):
    for chat, of_chat in more.items():
        ids.setdefault(chat, []).extend(of_chat)


def arrived(receiver, ids):
    """Which of the ids came, in their order, each run of the same once."""
    known = set(ids)
    came = [r.id for r in receiver.requests if r.id in known]
    return [event_id for event_id, _ in itertools.groupby(came)]


def check_order(receiver, ids, timeout=30):
    wait_for_ids(receiver, itertools.chain(*ids.values()), timeout=timeout)
    for chat, expected in ids.items():
        assert arrived(receiver, expected) == expected, chat


def failing(chats, seed=None, then=200):
    """Refuses the chats always, and with a seed the others now and then."""
    chance, lock = random.Random(seed), threading.Lock()

    def act(link, request, closing):
        with lock:
            refused = chat_of(request) in list(chats) or (
                seed is not None and chance.random() < 0.2
            )
            how = reset() if refused and chance.random() < 0.3 else None
        answer = how or (status(500) if refused else then)
        if answer == 200:
            answer = status(200)
        return answer(link, request, closing)

    return act


def test_twenty_chats_and_one_that_fails_over_kills(make_gateway, make_receiver):
    gateway = make_gateway(
        retry_schedule=",".join(["10ms"] * 4 + ["2s"] * 28), circuit_failures=NO_CIRCUIT
    )
    receiver = make_receiver(failing({CHATS[ALONE]}, seed=5))
    gateway.register("s1", receiver.url(), ordering=BY_CHAT)
    ids = {}
    for _ in range(4):
        add(ids, publish(gateway, 3))
        gateway.kill()
        gateway.start()
    first = ids.pop(ALONE)
    check_order(receiver, ids)
    assert arrived(receiver, first) == first[:1], "the first holds back the others of its chat"
    gateway.stop()
    expect_sound(gateway.directory / "data")
    gateway.start()
    receiver.answer(failing(set()))
    check_order(receiver, {ALONE: first})


def test_other_chats_do_not_wait_for_a_retry(gateway, make_receiver):
    receiver = make_receiver(failing({"bad"}))
    gateway.register("s1", receiver.url(), ordering=BY_CHAT, retry=["1h"])
    bad = publish(gateway, 3, ["bad"])[0]
    receiver.wait_for(1)
    check_order(receiver, publish(gateway, 10, ["good", "better"]))
    assert arrived(receiver, bad) == bad[:1]


def test_two_chats_that_share_a_lane_wait_for_each_other(gateway, make_receiver):
    receiver = make_receiver(failing({CHATS[7]}))
    gateway.register("s1", receiver.url(), ordering=BY_CHAT, retry=["300ms"] * 32)
    ids = publish(gateway, 3, [CHATS[7], CHATS[13], "good"])
    check_order(receiver, {2: ids[2]})
    assert arrived(receiver, ids[0] + ids[1]) == ids[0][:1]
    receiver.answer(failing(set()))
    check_order(receiver, ids)


def test_chats_go_side_by_side_each_one_at_a_time(gateway, make_receiver):
    """As many at once as there are chats, once the window is open, and one of each."""
    lock, under_way, most = threading.Lock(), set(), [0, False]

    def act(link, request, closing):
        chat = chat_of(request)
        with lock:
            most[1] = most[1] or chat in under_way
            under_way.add(chat)
            most[0] = max(most[0], len(under_way))
        end = time.monotonic() + 0.2  # until there are enough, however slow the machine is
        while most[0] < 8 and time.monotonic() < end:
            time.sleep(0.005)
        return free(chat)(link, request, closing)

    def free(chat):
        def answer(link, request, closing):
            with lock:
                under_way.discard(chat)
            return status(200)(link, request, closing)

        return answer

    receiver = make_receiver(act)
    gateway.register("s1", receiver.url(), ordering=BY_CHAT, max_in_flight=64)
    check_order(receiver, publish(gateway, 12))
    assert not most[1], "two of one chat at once"
    assert most[0] >= 8


@pytest.mark.parametrize(
    "key",
    [
        7,
        -1.5,
        True,
        None,
        "",
        "y" * 100000,
        {"id": [1, {"server": "c.us"}]},
        ["a", "b"],
    ],
    ids=["int", "float", "bool", "null", "empty", "long", "object", "array"],
)
def test_the_value_may_be_anything(gateway, make_receiver, key):
    receiver = make_receiver(failing(set(), seed=3))
    gateway.register("s1", receiver.url(), ordering=BY_CHAT)
    check_order(receiver, publish(gateway, 10, [key, "another"]))


def test_events_without_the_value_are_in_order_among_each_other(make_gateway, make_receiver):
    # none is given up before it is seen, however slow the machine
    gateway = make_gateway(retry_schedule=",".join(["100ms"] * 31 + ["1m"]),
                           circuit_failures=NO_CIRCUIT)
    seen = threading.Event()

    def act(link, request, closing):
        refused = "chat" not in request.json()["data"] and not seen.is_set()
        return status(500 if refused else 200)(link, request, closing)

    receiver = make_receiver(act)
    gateway.register("s1", receiver.url(), ordering=BY_CHAT)
    without = publish_many(gateway, "s1", 3)
    receiver.wait_for(2)
    check_order(receiver, publish(gateway, 3))
    assert arrived(receiver, without) == without[:1]
    seen.set()
    check_order(receiver, {0: without})


def test_batches_are_in_order_too(gateway, make_receiver):
    receiver = make_receiver(failing(set(), seed=8))
    gateway.register("s1", receiver.url(), ordering=BY_CHAT)
    ids = {}
    for _ in range(3):
        events = [
            {"session_id": "s1", "event": "message", "data": {"chat": n % 5, "n": n}}
            for n in range(25)
        ]
        answer = gateway.api("POST", "/events", json=events)
        assert answer.status_code == 202
        for n, event in enumerate(answer.json()["events"]):
            ids.setdefault(n % 5, []).append(event["id"])
    check_order(receiver, ids)


def test_one_that_is_given_up_lets_its_chat_go_on(gateway, make_receiver):
    receiver = make_receiver(500, 500, 200)
    gateway.register("s1", receiver.url(), ordering=BY_CHAT, retry=["10ms"])
    (ids,) = publish(gateway, 4, ["c"]).values()
    assert [r.id for r in receiver.wait_for(5)] == [ids[0], *ids]
    (entry,) = gateway.dlq("s1")
    assert gateway.replay("s1", entry["id"]).ok
    assert [r.id for r in receiver.wait_for(6)] == [ids[0], *ids, ids[0]]


ORDERINGS = ["none", "fifo", BY_CHAT, {"key": "/data/n"}]


@pytest.mark.parametrize("end", [None, "kill"])
@pytest.mark.parametrize(
    "before, after",
    [pair for pair in itertools.product(ORDERINGS, ORDERINGS) if pair[0] != pair[1]],
    ids=str,
)
def test_a_change_with_a_backlog(gateway, make_receiver, before, after, end):
    """Whatever it was before, what waits is delivered in the order that is asked for now."""
    hold = Hold()
    receiver = make_receiver(hold)
    webhook = gateway.register("s1", receiver.url(), ordering=before, timeout_ms=30000)
    publish(gateway, 1, ["first"])
    receiver.wait_for(1)
    ids = publish(gateway, 20, CHATS[:6])
    path = hooks_path("s1", webhook["id"])
    answer = gateway.api("PATCH", path, json={"ordering": after})
    assert answer.json()["ordering"] == after
    if end == "kill":
        gateway.kill()
        gateway.start()
    assert gateway.webhook("s1", webhook["id"])["ordering"] == after
    receiver.answer(failing(set(), seed=2))
    hold.release()
    add(ids, publish(gateway, 3, CHATS[:6]))
    everything = {0: list(itertools.chain(*ids.values()))}
    wait_for_ids(receiver, everything[0], timeout=30)
    if after in ("fifo", BY_CHAT):
        check_order(receiver, ids)
    if after == "fifo":
        in_order = [of_chat[n] for n in range(23) for of_chat in ids.values()]
        assert arrived(receiver, in_order) == in_order
    wait_until(
        lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0, what="the end"
    )


def test_what_is_replayed_goes_where_the_key_of_now_says(gateway, make_receiver):
    """Delivered without a key; sent again when there is one, a chat of it fails."""
    receiver = make_receiver(200)
    webhook = gateway.register("s1", receiver.url(), retry=["1h"])
    ids = publish(gateway, 4, ["a", "b"])
    check = set(itertools.chain(*ids.values()))
    wait_for_ids(receiver, check)
    path = hooks_path("s1", webhook["id"])
    assert gateway.api("PATCH", path, json={"ordering": BY_CHAT}).ok
    wait_until(
        lambda: len(gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"]) == 8,
        what="the outcomes",
    )
    count = len(receiver.requests)
    receiver.answer(failing({"a"}))
    answer = gateway.api(
        "POST", path + "/replay", json={"since": "2020-01-01T00:00:00Z", "status": "delivered"}
    )
    assert answer.ok, answer.text
    wait_until(
        lambda: {r.id for r in receiver.requests[count:]} >= set(ids[1]), what="the other chat"
    )
    again = [r.id for r in receiver.requests[count:]]
    assert [i for i in again if i in ids[1]] == ids[1]
    assert set(again) & set(ids[0]) == {ids[0][0]}


@pytest.mark.parametrize("what", ["deliveries", "letters"])
def test_many_large_ones_are_sent_again_once_and_in_order(gateway, make_receiver, what):
    """More than is read of events for their keys in a turn."""
    receiver = make_receiver(200 if what == "deliveries" else 500)
    webhook = gateway.register(
        "s1", receiver.url(), ordering=BY_CHAT, retry=["1ms"], timeout_ms=30000
    )
    ids = [
        gateway.publish("s1", data={"chat": "a", "filling": "x" * 1000000})["id"]
        for _ in range(11)
    ]
    attempts = 11 if what == "deliveries" else 22
    wait_until(lambda: len(receiver.requests) >= attempts, what="the attempts", timeout=30)
    done = "delivered" if what == "deliveries" else "dead"
    query = f"/sessions/s1/deliveries?status={done}&limit=100"
    wait_until(
        lambda: len(gateway.api("GET", query).json()["deliveries"]) == 11, what="their ends"
    )
    count = len(receiver.requests)
    receiver.answer(200)
    if what == "deliveries":
        path, since = hooks_path("s1", webhook["id"]), "2020-01-01T00:00:00Z"
        answer = gateway.api("POST", path + "/replay", json={"since": since, "status": done})
    else:
        answer = gateway.api("POST", hooks_path("s1", "dlq", "replay"))
    assert answer.ok, answer.text
    wait_until(lambda: len(receiver.requests) >= count + 11, what="all again", timeout=30)
    wait_until(
        lambda: gateway.webhook("s1", webhook["id"])["in_flight"] == 0, what="the end"
    )
    assert [r.id for r in receiver.requests[count:]] == ids


def test_the_test_event_has_a_lane_too(gateway, make_receiver):
    receiver = make_receiver(200)
    webhook = gateway.register("s1", receiver.url(), ordering={"key": "/data/webhook_id"})
    gateway.call("s1", webhook["id"], "test")
    gateway.call("s1", webhook["id"], "test")
    first, second = receiver.wait_for(2)
    assert first.event == second.event == "test"
    assert first.id < second.id


def test_a_webhook_for_all_sessions(gateway, make_receiver):
    receiver = make_receiver(failing(set(), seed=4))
    answer = gateway.api(
        "POST", "/webhooks", json={"url": receiver.url(), "ordering": BY_CHAT}
    )
    assert answer.json()["ordering"] == BY_CHAT, answer.text
    ids = {}
    for session in ("s1", "s2"):
        more = publish(gateway, 5, CHATS[:3], session=session)
        ids |= {f"{session} {chat}": of_chat for chat, of_chat in more.items()}
    check_order(receiver, ids)


@pytest.mark.parametrize(
    "ordering, field",
    [
        ({"key": "data/chat"}, "ordering.key"),
        ({"key": ""}, "ordering.key"),
        ({"key": "/a~2"}, "ordering.key"),
        ({"key": "/" + "a" * 512}, "ordering.key"),
        ({"key": "/a" * 17}, "ordering.key"),
        ({"key": 5}, "ordering.key"),
        ({"key": "/a", "lanes": 5}, "ordering"),
        ({}, "ordering"),
        (["/a"], "ordering"),
        ("lifo", "ordering"),
    ],
    ids=str,
)
def test_what_is_refused(gateway, ordering, field):
    body = {"url": "http://127.0.0.1:9/", "ordering": ordering}
    answer = gateway.api("POST", hooks_path("s1"), json=body)
    expect_error(answer, 400, field=field, mentions=["JSON pointer"])
