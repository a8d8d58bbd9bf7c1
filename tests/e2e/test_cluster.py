"""
A cluster of members on one machine, over the real nats-server, which is one here: what each
answers, who takes over, what of it is lost (nothing).
"""

import datetime
import json
import re
import signal
import socket
import threading
import time

import pytest
import requests
import trustme

from harness import (
    BINARY, ROOT, Gateway, Hold, Process, expect_error, figure, flags, status, wait_until, waybill)
from nats_server import NatsServer, creds, operator_mode
from test_clock import SystemClock
from test_sources import add_source

TOKEN = "the-token-of-all-members"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Cluster:
    """Members of the shard `s`: each a Gateway, whose folder outlives it."""

    def __init__(self, directory, server, **options):
        self.directory = directory
        self.server = server
        self.members = {}
        (directory / "token").write_text(TOKEN + "\n")
        (directory / "token").chmod(0o600)
        self._options = options
        done = waybill("cluster", "init", *flags(self.options("any", 1)))
        assert done.returncode == 0, done.stderr

    def options(self, name, port):
        return {
            "cluster": self.server.url,
            "shard": "s",
            "member": name,
            "cluster_replicas": 1,
            "cluster_url": f"http://127.0.0.1:{port}",
            "cluster_token_file": self.directory / "token",
            "takeover_after": "1s",
            **self._options,
        }

    def add(self, name, **more):
        """Starts a member, a new one or one that has ended."""
        if name not in self.members:
            port = free_port()
            options = {"listen": f"127.0.0.1:{port}", "retry_schedule": ",".join(["500ms"] * 32), "circuit_failures": 1000000,
                       **self.options(name, port), **more}
            self.members[name] = Gateway(self.directory / name, token=TOKEN, **options)
        self.members[name].start()
        return self.members[name]

    def running(self):
        return [m for m in self.members.values() if m.running]

    def role(self, member):
        return member.api("GET", "/cluster").json()["role"]

    def active(self, timeout=20):
        """The one that takes events, once there is one."""
        def find():
            ready = [m for m in self.running() if m.request("GET", "/readyz").status_code == 200]
            assert len(ready) <= 1
            return ready
        return wait_until(find, timeout=timeout, what="an active")[0]

    def caught_up(self, *members):
        """Waits until these have all on disk that the active has now."""
        want = self.active().api("GET", "/cluster").json()["synced"]
        for member in members:
            wait_until(lambda m=member: m.api("GET", "/cluster").json()["synced"] >= want,
                       what="a standby's disk")

    def close(self):
        for member in self.members.values():
            member.close()


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "nats")
    yield server
    server.thaw()
    server.stop()


@pytest.fixture
def cluster(tmp_path, server):
    cluster = Cluster(tmp_path, server)
    yield cluster
    cluster.close()


@pytest.fixture
def three(cluster):
    cluster.add("a")
    cluster.active()
    cluster.add("b")
    cluster.add("c")
    wait_until(lambda: len(cluster.members["a"].api("GET", "/cluster").json()["members"]) == 3,
               what="members that tell of themselves")
    return cluster


def rows(member):
    """How many rows each table has, of a member that has ended; its store is sound."""
    done = waybill("fsck", member.directory / "data")
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line.endswith(" rows")]


def delivered(receiver):
    return {request.id for request in list(receiver.requests)}


def publish_all(member, session, count):
    return [member.publish(session, data=n)["id"] for n in range(count)]


def test_who_takes_over_asks_the_endpoints_that_wait(three, make_receiver):
    """The standbys ask nobody, and what was held is sent once the challenge is repeated."""
    def answers(link, request, closing):
        if request.event != "webhook.challenge":
            return status(200)(link, request, closing)
        if len(receiver.requests) == 1:
            return not closing.wait(60)
        return status(200, request.json()["data"]["challenge"].encode())(link, request, closing)

    receiver = make_receiver(answers)
    receiver.linger(0)
    active = three.members["a"]
    active.register("s1", receiver.url(), verify="post", timeout_ms=30000)
    event = active.publish("s1")["id"]
    receiver.wait_for(1)
    three.caught_up(three.members["b"], three.members["c"])
    assert len(receiver.requests) == 1
    active.kill()
    three.active()
    wait_until(lambda: event in receiver.ids, what="the delivery")
    assert [request.event for request in receiver.requests] == ["webhook.challenge"] * 2 + ["message"]


def test_what_standbys_answer(three):
    active = three.members["a"]
    for name in "bc":
        standby = three.members[name]
        away = {"role": "standby", "active": active.url}
        wait_until(lambda s=standby: s.request("GET", "/readyz").json() == away, what="the owner")
        assert standby.request("GET", "/livez", token="").json() == {"status": "ok"}
        assert standby.request("GET", "/health", token="").status_code == 200
        for method, path in [("GET", "/readyz"), ("GET", "/api/v1/stats"), ("GET", "/"),
                             ("POST", "/api/v1/sessions/x/events"), ("GET", "/api/v1/backup"),
                             ("POST", "/api/v1/cluster"), ("GET", "/ui/")]:
            body = {"event": "message"} if method == "POST" else None
            answer = standby.request(method, path, json=body)
            assert (answer.status_code, answer.json()) == (503, away), (method, path)
            assert int(answer.headers["Retry-After"]) >= 1
        shown = standby.api("GET", "/cluster").json()
        assert (shown["role"], shown["member"], shown["active_member"]) == ("standby", name, "a")
        wait_until(lambda s=standby: {m["member"] for m in s.api("GET", "/cluster").json()["members"]}
                   == set("abc"), what="the members")
        expect_error(standby.api("GET", "/cluster", token="wrong-token"), 401)
        assert figure(standby, 'waybill_cluster_role{role="standby"}') == 1
        # nobody is to be woken by a standby that is one
        assert "waybill_ready" not in standby.request("GET", "/metrics").text
        assert figure(standby, "waybill_cluster_epoch") == 1
    shown = active.api("GET", "/cluster").json()
    assert (shown["role"], shown["epoch"], shown["takes"]) == ("active", 1, True)
    assert [m["member"] for m in shown["members"] if m["role"] == "active"] == ["a"]
    assert figure(active, 'waybill_cluster_role{role="active"}') == 1
    assert figure(active, "waybill_cluster_takeovers_total") == 1
    assert figure(active, "waybill_cluster_append_duration_seconds_count") > 0
    status = waybill("cluster", "status", "--url", active.url, "--token", TOKEN)
    assert status.returncode == 0 and status.stdout.count("standby") == 2, status.stdout
    assert "lag 0  copies 1" in status.stdout.splitlines()[0]


def test_kill_of_the_active_loses_nothing(three, receiver):
    active = three.active()
    active.register("s", receiver.url())
    ids = publish_all(active, "s", 30)
    answer = active.api("POST", "/sessions/s/events", json={"event": "message", "data": 1},
                        headers={"Idempotency-Key": "once"})
    assert answer.status_code == 202
    receiver.wait_for(31)
    receiver.answer(500)
    waiting = publish_all(active, "s", 30)
    active.kill()
    receiver.answer(200)
    began = time.monotonic()
    owner = three.active()
    assert time.monotonic() - began < 5
    assert owner is not active
    again = owner.api("POST", "/sessions/s/events", json={"event": "message", "data": 1},
                      headers={"Idempotency-Key": "once"})
    assert again.json() == answer.json() and again.headers["Idempotent-Replayed"] == "true"
    waiting += publish_all(owner, "s", 10)
    count = len(ids) + 1 + len(waiting)
    wait_until(lambda: len(delivered(receiver)) >= count, 20, "all that was acknowledged")
    assert figure(owner, "waybill_cluster_epoch") == 2

    three.add("a")
    wait_until(lambda: three.role(active) == "standby", what="the old one")
    three.caught_up(*[m for m in three.running() if m is not owner])
    wait_until(lambda: figure(owner, "waybill_queue_depth") == 0, what="an empty queue")
    time.sleep(0.3)  # the outcomes' turn, which nobody answers for
    three.caught_up(*[m for m in three.running() if m is not owner])
    for member in three.running():
        member.kill()
    assert rows(three.members["a"]) == rows(three.members["b"]) == rows(three.members["c"])


def test_deletion_of_a_session_and_its_links_go_on_behind_a_takeover(three, receiver):
    active = three.active()
    receiver.answer(500)
    for session in ("gone", "kept"):
        active.register(session, receiver.url("/" + session), retry=["1d"])
        link = active.api("POST", f"/sessions/{session}/portal").json()["token"]
        assert active.api("GET", f"/sessions/{session}/webhooks", token=link).ok
    revoked = link
    assert active.api("DELETE", "/sessions/kept/portal").ok
    link = active.api("POST", "/sessions/kept/portal").json()["token"]
    publish_all(active, "kept", 10)
    for _ in range(3):
        batch = [{"session_id": "gone", "event": "message", "data": n} for n in range(2000)]
        assert active.api("POST", "/events", json=batch).status_code == 202
    assert active.api("DELETE", "/sessions/gone").status_code == 202
    active.kill()
    active = three.active()
    done = wait_until(
        lambda: (d := active.api("GET", "/sessions/gone").json()["deletion"])["state"] == "done" and d,
        timeout=60, what="the end of the deletion")
    assert (done["removed"]["webhooks"], done["removed"]["events"]) == (1, 6000)
    assert active.api("GET", "/sessions/kept").json()["waiting"] == 10
    assert active.api("GET", "/sessions/kept/webhooks", token=link).ok
    assert active.api("GET", "/sessions/kept/webhooks", token=revoked).status_code == 401


def test_stopped_active_is_fenced(three, receiver):
    active = three.active()
    active.register("s", receiver.url())
    publish_all(active, "s", 5)
    active.process.signal(signal.SIGSTOP)
    others = [m for m in three.running() if m is not active]
    owner = wait_until(
        lambda: [m for m in others if m.request("GET", "/readyz").status_code == 200],
        what="another owner")[0]
    ids = publish_all(owner, "s", 5)
    active.process.signal(signal.SIGCONT)
    assert active.process.wait() == 75
    assert "another member owns the shard" in active.log_text()
    wait_until(lambda: len(delivered(receiver)) == 10, what="all events")
    three.add(next(name for name, m in three.members.items() if m is active))
    wait_until(lambda: three.role(active) == "standby", what="the old one")
    assert len(ids) == 5


def test_stop_hands_over_at_once(three, receiver):
    active = three.active()
    active.register("s", receiver.url())
    ids = publish_all(active, "s", 10)
    began = time.monotonic()
    active.stop()
    owner = three.active()
    assert time.monotonic() - began < 2
    ids += publish_all(owner, "s", 10)
    wait_until(lambda: len(delivered(receiver)) == len(ids), what="all events")
    assert "the shard was handed over" in active.log_text()


ASKED = [("POST", "/sessions/s1/events"), ("GET", "/sessions"), ("GET", "/events/stream"), ("GET", "/backup")]


def ask_during_handover(active, server):
    """The answers to ASKED; None: the active had ended before it had them all."""
    links = [requests.Session() for _ in ASKED]
    for link in links:  # each has a connection, which outlives the listener
        link.trust_env = False
        link.headers["Authorization"] = f"Bearer {TOKEN}"
        assert link.get(f"{active.url}/api/v1/stats", timeout=10).status_code == 200
    before = len(active.log_text())
    server.freeze()
    try:
        active.process.signal(signal.SIGTERM)
        wait_until(lambda: "msg=stopped" in active.log_text()[before:], what="the end of its turns")
        return [
            (method, path, link.request(method, f"{active.url}/api/v1{path}", timeout=10,
                                        json={"event": "message"} if method == "POST" else None))
            for link, (method, path) in zip(links, ASKED)
        ]
    except requests.ConnectionError:  # it waits for the journal for a few seconds, no longer
        active.process.wait()
        return None
    finally:
        server.thaw()


def test_who_asks_during_the_handover_is_answered(three, server):
    """While the journal takes its time nothing is begun that no turn would end."""
    answers = None
    while answers is None:  # pytest's own limit ends it
        active = three.active()
        answers = ask_during_handover(active, server)
        active.wait_stopped()
        assert three.active() is not active
        three.add(next(name for name, m in three.members.items() if m is active))
    for method, path, answer in answers:
        assert answer.status_code == 503, (method, path, answer.text)
        assert answer.json()["role"] == "standby"


def test_handover_by_the_api(three):
    active = three.active()
    done = waybill("cluster", "handover", "--url", active.url, "--token", TOKEN)
    assert done.returncode == 0, done.stderr
    assert active.process.wait() == 75
    assert three.active() is not active
    three.add("a")
    wait_until(lambda: three.role(active) == "standby", what="a standby")


def test_handover_needs_an_heir(cluster):
    alone = cluster.add("a")
    cluster.active()
    expect_error(alone.api("POST", "/cluster/handover"), 409)


def test_single_instance(gateway):
    assert gateway.api("GET", "/cluster").json() == {"role": "single"}
    expect_error(gateway.api("POST", "/cluster/handover"), 409)
    assert "waybill_cluster" not in gateway.request("GET", "/metrics").text


def hold_turn(cluster, server, active, ids):
    """
    A request whose turn is with the journal, which is silent: nobody knows yet what became of it.
    Where a heartbeat was on its way before, the request waits behind that, is refused in time, and
    another is made. Its event's id is added to `ids` in the end.
    """

    def publish():
        answer = active.api("POST", "/sessions/s/events", json={"event": "message"})
        if answer.status_code == 202:
            ids.append(answer.json()["id"])

    for _ in range(5):
        server.freeze()
        held = threading.Thread(target=publish)
        held.start()
        wait_until(lambda: active.api("GET", "/cluster").json()["takes"] is False, what="the silence")
        time.sleep(0.2)  # a refusal would have come
        if held.is_alive():
            return held
        server.thaw()
        cluster.active()
    raise AssertionError("no request's turn was with the journal")


def test_journal_that_does_not_answer(cluster, server, receiver):
    """Nothing is acknowledged, nothing that was is lost, and all goes on."""
    active = cluster.add("a")
    cluster.active()
    active.register("s", receiver.url())
    first = publish_all(active, "s", 3)
    held = hold_turn(cluster, server, active, first)
    refused = active.api("POST", "/sessions/s/events", json={"event": "message"})
    expect_error(refused, 503, mentions=["journal"])
    assert int(refused.headers["Retry-After"]) >= 1
    expect_error(active.request("GET", "/readyz"), 503, mentions=["journal"])
    assert active.api("GET", "/sessions/s/webhooks").status_code == 200
    assert held.is_alive()
    server.thaw()
    held.join()
    cluster.active()
    ids = first + publish_all(active, "s", 3)
    wait_until(lambda: len(delivered(receiver)) >= len(ids), what="all events")


@pytest.mark.parametrize("what", ["cancel", "disable", "delete"])
def test_nothing_is_sent_behind_the_answer_of_what_ends_it(cluster, server, make_receiver, what):
    """
    What is due while the request waits for the journal is sent: the last commit says so. It is
    an attempt like one that the request has met under way: it changes nothing of what that did.
    """
    failing = make_receiver(500)
    active = cluster.add("a", retry_schedule=",".join(["1s"] * 32))
    cluster.active()
    webhook = active.register("s", failing.url())["id"]
    active.publish("s")
    deliveries = "/sessions/s/deliveries"
    one = wait_until(lambda: [d for d in active.api("GET", deliveries).json()["deliveries"]
                              if d["attempt_count"] == 1], what="the first attempt")[0]
    method, path, body = {
        "cancel": ("POST", f"/sessions/s/deliveries/{one['id']}/cancel", None),
        "disable": ("PATCH", f"/sessions/s/webhooks/{webhook}", {"enabled": False}),
        "delete": ("DELETE", f"/sessions/s/webhooks/{webhook}", None),
    }[what]
    answers = []
    server.freeze()
    held = threading.Thread(target=lambda: answers.append(active.api(method, path, json=body)))
    held.start()
    failing.wait_for(2)
    assert held.is_alive()
    server.thaw()
    held.join()
    assert answers[0].status_code == 200, answers[0].text
    time.sleep(2.5)  # two of its pauses
    assert len(failing.requests) == 2
    if what == "cancel":
        one = active.api("GET", deliveries).json()["deliveries"][0]
        assert (one["status"], one["attempt_count"]) == ("cancelled", 1)
    assert figure(active, "waybill_queue_depth") == (1 if what == "disable" else 0)


def test_messages_of_a_stream_while_the_journal_is_silent(cluster, server, receiver, tmp_path):
    """What comes while a turn is on its way is the next turn's, and nobody has to send more."""
    stream = NatsServer(tmp_path / "stream")
    try:
        stream.client().make_stream("WA_EVENTS", "wa.events.>")
        active = cluster.add("a")
        cluster.active()
        active.register("s", receiver.url())
        made = active.api("POST", "/sources", json={
            "type": "nats", "servers": [stream.url], "stream": "WA_EVENTS"})
        assert made.status_code == 200, made.text
        source = f"/sources/{made.json()['id']}"
        wait_until(lambda: active.api("GET", source).json()["connection"]["is_up"], what="the pull")
        for silent in range(3):
            server.freeze()
            for n in range(4):
                body = {"session_id": "s", "event": "message", "timestamp": 1, "data": {"n": n}}
                stream.client().publish("wa.events.s.message", [json.dumps(body).encode()])
                time.sleep(0.2)
            server.thaw()
            wait_until(lambda want=4 * silent + 4: len(delivered(receiver)) >= want, 20, "the events")
        shown = active.api("GET", source).json()
        assert (shown["connection"]["sequence"], shown["received"]["events"]) == (12, 12), shown
        assert len(delivered(receiver)) == 12
        assert "NATS consumer waits" not in active.log_text()
    finally:
        stream.stop()


def test_empty_member_copies_the_store(cluster, server, receiver):
    """Where the journal no longer has its beginning."""
    active = cluster.add("a")
    cluster.active()
    receiver.answer(500)
    active.register("s", receiver.url(), enabled=True)
    publish_all(active, "s", 10)
    server.client().ask("STREAM.PURGE.WAYBILL_s", keep=2)
    standby = cluster.add("b")
    wait_until(lambda: "is a copy of the active's" in standby.log_text(), what="the copy")
    wait_until(lambda: cluster.role(standby) == "standby", what="a standby")
    publish_all(active, "s", 3)
    cluster.caught_up(standby)
    assert [p for p in (standby.directory / "data").glob("parted-*")]
    assert not (standby.directory / "data" / "joining").exists()
    active.kill()
    assert cluster.active() is standby
    receiver.answer(200)
    wait_until(lambda: len(delivered(receiver)) >= 13, 20, "all events")


def test_copy_where_the_former_active_is_dead(three, server):
    """It goes on saying that it is the active, as it did last: who says so now is asked."""
    former = three.active()
    former.publish("s")
    former.kill()
    owner = three.active()
    publish_all(owner, "s", 3)
    server.client().ask("STREAM.PURGE.WAYBILL_s", keep=2)
    new = three.add("d")
    wait_until(lambda: "is a copy of the active's" in new.log_text(), 20, "the copy")
    three.caught_up(new)


def test_copy_that_the_active_refuses(cluster, server, tmp_path):
    """It says which setting would help, and not how far behind it is: it does not know."""
    cluster.add("a")
    cluster.active()
    server.client().ask("STREAM.PURGE.WAYBILL_s", keep=2)
    wrong = tmp_path / "wrong"
    wrong.write_text("another")
    wrong.chmod(0o600)
    standby = cluster.add("b", cluster_token_file=wrong)
    wait_until(lambda: "cluster_token_file" in standby.log_text(), what="the refusal")
    shown = standby.api("GET", "/cluster").json()
    assert (shown["role"], shown["lag"]) == ("joining", None)
    assert "status 401: cluster_token_file has no token" in shown["why"]

    def told():  # while it joins nothing that it will lack is dropped
        return [m for m in standby.api("GET", "/cluster").json()["members"] if m["member"] == "b"]
    first = wait_until(told, what="its word")[0]
    assert first["synced"] == 0
    wait_until(lambda: told()[0]["told_at"] > first["told_at"], what="its next word")
    assert standby.api("GET", "/cluster").json()["role"] == "joining"


def test_store_of_one_instance_becomes_the_clusters(cluster, make_gateway, receiver):
    """It founds the shard; an empty member has all of it."""
    single = make_gateway(token=TOKEN)
    single.register("s", receiver.url())
    hook = single.register("s", receiver.url("/other"), enabled=False)
    single.stop()
    founder = cluster.add("a", data=single.directory / "data")
    assert cluster.active() is founder
    other = cluster.add("b")
    wait_until(lambda: "is a copy of the active's" in other.log_text(), what="the copy")
    cluster.caught_up(other)
    founder.stop()
    assert cluster.active() is other
    assert other.webhook("s", hook["id"])["url"] == hook["url"]


def test_detached_store_serves_alone(three, make_gateway, receiver):
    active = three.active()
    hook = active.register("s", receiver.url())
    three.caught_up(three.members["b"])
    three.members["b"].stop()
    data = three.members["b"].directory / "data"
    refused = waybill("cluster", "detach", three.members["c"].directory / "data")
    assert refused.returncode == 1 and "in use" in refused.stderr
    done = waybill("cluster", "detach", data)
    assert (done.returncode, done.stdout) == (0, f"{data}: belongs to no cluster any more\n")
    assert "belonged to no cluster" in waybill("cluster", "detach", data).stdout
    single = make_gateway(data=data, token=TOKEN)
    assert single.webhook("s", hook["id"])["id"] == hook["id"]
    assert single.publish("s")["deliveries"] == 1


def test_backup_of_a_member(three, tmp_path):
    three.active().register("s", "http://127.0.0.1:9/")
    done = waybill("cluster", "join", "--url", three.active().url, "--token", TOKEN,
                   tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    assert waybill("fsck", tmp_path / "copy").returncode == 0


@pytest.fixture
def refused(tmp_path):
    def run(words, **options):
        log = tmp_path / "refused.log"
        with open(log, "wb") as out:
            process = Process(
                [BINARY, "serve", *flags({"data": tmp_path / "refused", "listen": "127.0.0.1:0",
                                          "shard": "s", "member": "x", "cluster_replicas": 1,
                                          "cluster_url": "http://127.0.0.1:1", **options})], out)
            status = process.wait()
        text = log.read_text()
        assert status == 1 and words in text, text
    return run


def test_start_without_streams(server, refused):
    refused("waybill cluster init makes them", cluster=server.url)


def test_start_with_streams_of_other_settings(cluster, server, refused):
    refused("WAYBILL_s", cluster=server.url, cluster_max_bytes="1GiB")


def test_start_with_a_server_that_does_not_sync(tmp_path, refused):
    port = free_port()
    lazy = NatsServer(tmp_path / "lazy", f"http: 127.0.0.1:{port}")
    try:
        monitor = f"http://127.0.0.1:{port}"
        refused("does not sync each message", cluster=lazy.url, cluster_monitor=monitor)
    finally:
        lazy.stop()


def test_store_of_another_is_not_overwritten(three, make_gateway, receiver):
    """A store with rows of its own does not join: it says so, and ends."""
    single = make_gateway(token=TOKEN)
    single.register("s", receiver.url())
    single.stop()
    stranger = three.add("d", data=single.directory / "data")
    assert stranger.process.wait() == 1
    assert "rows of its own" in stranger.log_text()
    assert waybill("fsck", single.directory / "data").returncode == 0


def test_order_over_a_takeover(three, receiver):
    active = three.active()
    active.register("s", receiver.url(), ordering="fifo", timeout_ms=500)
    for n in range(20):
        active.publish("s", data=n)
    active.kill()
    owner = three.active()
    for n in range(20, 30):
        owner.publish("s", data=n)
    wait_until(lambda: len(delivered(receiver)) == 30, 20, "all events")
    seen = []
    for request in list(receiver.requests):
        n = json.loads(request.body)["data"]
        if n not in seen:
            seen.append(n)
    assert seen == list(range(30))


def waits_for_the_former_owner(owner, receiver, event):
    """Where an order is kept, what another has begun may go on for timeout_ms: 3 s."""
    ready = time.monotonic()
    wait_until(lambda: event in delivered(receiver), 20, "the event")
    assert time.monotonic() - ready > 2.5


def test_order_behind_an_owner_whose_clock_was_ahead(cluster, receiver, tmp_path):
    clock = SystemClock(tmp_path)
    clock.set(86400)
    former = cluster.add("a", env=clock.env)
    cluster.active()
    former.register("s", receiver.url(), ordering="fifo", timeout_ms=3000)
    former.publish("s")
    heir = cluster.add("b")
    cluster.caught_up(heir)
    former.kill()
    assert cluster.active() is heir
    waits_for_the_former_owner(heir, receiver, heir.publish("s")["id"])


def test_order_behind_an_owner_who_was_not_seen(cluster, receiver):
    """The heir begins when the last turn is on its disk: no entry says whose that was."""
    former = cluster.add("a")
    cluster.active()
    former.register("s", receiver.url(), ordering="fifo", timeout_ms=3000)
    heir = cluster.add("b")
    wait_until(lambda: heir.api("GET", "/cluster").json()["active_member"] == "a", what="the owner")
    former.publish("s")
    wait_until(lambda: delivered(receiver), what="the first")
    former.publish("s")
    cluster.caught_up(heir)
    former.kill()
    heir.kill()
    heir.start()
    assert cluster.active() is heir
    waits_for_the_former_owner(heir, receiver, heir.publish("s")["id"])


def shipped(tmp_path, monitor, certificate=None):
    """A server by etc/nats/waybill.conf, alone; with `certificate` (trustme) also its TLS."""
    text = (ROOT / "etc/nats/waybill.conf").read_text()
    text = re.sub(r"^cluster \{.*?^\}\n", "", text, flags=re.M | re.S)
    text = re.sub(r"^listen: .*\n", "", text, flags=re.M)
    text = re.sub(r'"\$2a\$[^"]*"', '"a-password"', text)
    text = text.replace("127.0.0.1:8222", f"127.0.0.1:{monitor}")
    text = re.sub(r"store_dir: .*", f"store_dir: {json.dumps(str(tmp_path / 'nats' / 'js'))}", text)
    text = text.replace("jetstream {", "jetstream: {")
    if certificate is None:
        text = re.sub(r"^tls \{.*?^\}\n", "", text, flags=re.M | re.S)
    else:
        certificate.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
        certificate.private_key_pem.write_to_path(tmp_path / "server.key")
        text = re.sub(r"\tca_file: .*\n", "", text)
        text = text.replace("/etc/nats/tls/", f"{tmp_path}/")
    (tmp_path / "password").write_text("a-password\n")
    return NatsServer(tmp_path / "nats", text)


def test_shipped_configuration_of_nats(tmp_path):
    """Its user may do what a member has to, and it syncs each message."""
    monitor = free_port()
    server = shipped(tmp_path, monitor)
    try:
        cluster = Cluster(tmp_path, server, cluster_user="waybill",
                          cluster_password_file=tmp_path / "password",
                          cluster_monitor=f"http://127.0.0.1:{monitor}")
        try:
            cluster.add("a")
            active = cluster.active()
            active.publish("s")
            standby = cluster.add("b")
            wait_until(lambda: len(active.api("GET", "/cluster").json()["members"]) == 2,
                       what="both members")
            active.stop()
            assert cluster.active() is standby
            for member in cluster.members.values():
                assert "nobody has looked" not in member.log_text()
                assert "cannot look" not in member.log_text()
        finally:
            cluster.close()
        assert "Permissions Violation" not in server.log_text()
    finally:
        server.stop()


def hours_ago(count):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=count)


OTHER_LOGIN = {"cluster_user": None, "cluster_password_file": None}
# What is wrong: the settings, what its certificate has, and the words that everybody hears.
WRONG = {
    "authority": ({"cluster_ca_file": "other.pem"}, {}, "unable to get local issuer certificate"),
    "name": ({"cluster": "tls://localhost:{port}"}, {}, "hostname mismatch"),
    "expired": ({}, {"not_after": hours_ago(1)}, "certificate has expired"),
    "password": ({"cluster_password_file": "other"}, {}, "Authorization Violation"),
    "creds": ({**OTHER_LOGIN, "cluster_creds_file": "creds"}, {}, "Authorization Violation"),
    "token": ({**OTHER_LOGIN, "cluster_nats_token_file": "other"}, {}, "Authorization Violation"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_start_says_what_the_server_does_not_take(tmp_path, wrong):
    """By init, by the log, and by who asks a member that goes on trying."""
    settings, of_certificate, words = WRONG[wrong]
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    (tmp_path / "other").write_text("another\n")
    _, jwt, key = operator_mode()
    (tmp_path / "creds").write_text(creds(jwt, key.seed))
    monitor = free_port()
    server = shipped(tmp_path, monitor, authority.issue_cert("127.0.0.1", **of_certificate))
    try:
        port = free_port()
        options = {
            "listen": f"127.0.0.1:{port}", "cluster": "tls://127.0.0.1:{port}", "shard": "s",
            "member": "a", "cluster_replicas": 1, "cluster_url": f"http://127.0.0.1:{port}",
            "cluster_user": "waybill", "cluster_password_file": "password",
            "cluster_ca_file": "ca.pem", "cluster_monitor": f"http://127.0.0.1:{monitor}",
            **settings}
        options["cluster"] = options["cluster"].format(port=server.port)
        for name in [n for n in options if n.endswith("_file") and options[n]]:
            options[name] = tmp_path / options[name]
        member = Gateway(tmp_path / "a", token=TOKEN, **options)
        try:
            member.start()
            told = waybill("cluster", "init", *flags(options))
            assert told.returncode == 1
            assert words in told.stderr.splitlines()[-1], told.stderr
            wait_until(lambda: "engine cannot be asked" in member.log_text(), 20, "the log line")
            lines = [x for x in member.log_text().splitlines() if "engine cannot be asked" in x]
            assert words in lines[0], lines
            assert words in member.api("GET", "/cluster").json()["why"]
            assert "setting=cluster_ca_file" not in member.log_text()  # that is no secret
        finally:
            member.kill()
    finally:
        server.stop()


def test_standby_reads_its_configuration_again(cluster, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("the-first-token *\n")
    cluster.add("a")
    cluster.active()
    standby = cluster.add("b", tokens_file=tokens)
    assert standby.api("GET", "/cluster", token="the-first-token").status_code == 200
    tokens.write_text("the-second-token *\none-session-token s\n")
    standby.process.signal(signal.SIGHUP)
    wait_until(lambda: standby.api("GET", "/cluster", token="the-second-token").ok, what="a reload")
    expect_error(standby.api("GET", "/cluster", token="the-first-token"), 401)
    expect_error(standby.api("GET", "/cluster", token="one-session-token"), 403)
    tokens.write_text("no\n")
    standby.process.signal(signal.SIGHUP)
    wait_until(lambda: "was not reloaded" in standby.log_text(), what="a refusal")
    assert standby.api("GET", "/cluster", token="the-second-token").ok


@pytest.mark.parametrize("kind", ["webhooks", "sources"])
def test_member_without_the_key_does_not_take_over(cluster, receiver, kind):
    """It would own a shard that it cannot serve; who has the key does."""
    key = "1f" * 32
    former = cluster.add("a", secret_key=key)
    cluster.active()
    if kind == "webhooks":
        former.register("s", receiver.url(), secret="s" * 32)
    else:
        add_source(former, verify={"type": "hmac", "secrets": ["s" * 32], "header": "X-Sig"})
    strange = cluster.add("b", secret_key="2e" * 32)
    cluster.caught_up(strange)
    former.kill()
    wait_until(lambda: "cannot take over" in strange.log_text(), what="the refusal")
    assert "secret_key" in strange.api("GET", "/cluster").json()["why"]
    former.start()
    assert cluster.active() is former
    assert cluster.role(strange) == "standby"


def test_reload_while_requests_wait_for_the_journal(cluster, server, tmp_path):
    """The token that let them in is there until they are answered."""
    tokens = tmp_path / "tokens"
    tokens.write_text("token-of-one one\n")
    tokens.chmod(0o600)
    scribble = {"MALLOC_PERTURB_": "165"}  # what was freed is seen to have been
    active = cluster.add("a", tokens_file=tokens, env=scribble)
    cluster.active()
    made = active.api("POST", "/sources", token="token-of-one",
                      json={"name": "n", "session": "one", "verify": {"type": "none"}})
    assert made.status_code == 200, made.text
    answers = []

    def patch():
        answers.append(active.api("PATCH", f"/sources/{made.json()['id']}", token="token-of-one",
                                  json={"name": "m"}))
    server.freeze()
    waiting = [threading.Thread(target=patch) for _ in range(3)]
    for thread in waiting:
        thread.start()
        time.sleep(0.2)  # one is on its way, and the others wait behind it
    active.process.signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in active.log_text(), what="the reload")
    server.thaw()
    for thread in waiting:
        thread.join()
    assert [a.status_code for a in answers] == [200] * 3, [a.text for a in answers]


def test_metrics_of_their_own(cluster):
    """What has listeners of its own has them over a takeover."""
    port = free_port()
    cluster.add("a")
    cluster.active()
    standby = cluster.add("b", metrics_listen=f"127.0.0.1:{port}")

    def metrics():
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text

    assert 'waybill_cluster_role{role="standby"} 1' in metrics()
    assert requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 404
    assert standby.request("GET", "/metrics").status_code == 503
    cluster.members["a"].stop()
    assert cluster.active() is standby
    assert 'waybill_cluster_role{role="active"} 1' in metrics()
    assert "waybill_queue_depth 0" in metrics()
    assert standby.request("GET", "/metrics").status_code == 404


def test_every_metric_is_in_the_document_and_no_other(cluster):
    active = cluster.add("a")
    cluster.active()
    text = active.request("GET", "/metrics").text
    section = (ROOT / "docs" / "cluster.md").read_text().split("\n## 7. Watching it\n")[1]
    documented = re.findall(r"`(waybill_cluster_\w+)`", section.split("\n## ")[0])
    assert sorted(set(documented)) == sorted(re.findall(r"^# TYPE (waybill_cluster_\w+) ", text, re.M))


def test_stop_does_not_wait_for_slow_receivers(three, make_receiver):
    """What is under way is cut off after a second: the next owner sends it again."""
    slow = make_receiver(Hold(), 200)
    active = three.active()
    active.register("s", slow.url(), timeout_ms=20000)
    active.publish("s")
    slow.wait_for(1)
    began = time.monotonic()
    active.stop()
    assert time.monotonic() - began < 4
    three.active()
    again = slow.wait_for(2, timeout=20)
    assert again[0].id == again[1].id


@pytest.mark.parametrize("args, status, words", [
    ([], 2, "usage: waybill cluster init"),
    (["fly"], 2, "usage: waybill cluster init"),
    (["detach"], 2, "usage: waybill cluster detach DIR"),
    (["status", "more"], 2, "usage: waybill cluster status"),
    (["init"], 1, "cluster: is missing"),
    (["init", "--cluster", "h1"], 1, "shard: is missing: cluster needs it"),
    (["init", "--cluster", "http://h1"], 2, "--cluster: must be servers of NATS"),
    (["detach", "/nowhere/at/all"], 1, "/nowhere/at/all"),
])
def test_wrong_use_of_the_command(args, status, words):
    done = waybill("cluster", *args)
    assert done.returncode == status and words in done.stderr, done.stderr
