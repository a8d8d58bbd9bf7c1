"""The gateway short of descriptors of its own: no receiver is to blame, and the API answers."""

import re
import resource

import requests

from harness import Hold, wait_until
from scheduling import wait_for_ids

LIMIT = 256
WEBHOOKS = 500  # each could have a connection, and an idle one too
PER_NET = 250
SHORTAGE = re.compile(r'^waybill_shortage_total\{of="(\w+)"\} (\d+)$', re.MULTILINE)
ATTEMPTS = re.compile(r'^waybill_attempts_total\{class="(\w+)"\} (\d+)$', re.MULTILINE)


def figures(gateway, pattern):
    text = gateway.request("GET", "/metrics", token="").text
    return {name: int(n) for name, n in pattern.findall(text)}


def is_alive(gateway):
    """On a connection of its own."""
    return gateway.request("GET", "/livez", token="").status_code == 200


class Api(requests.Session):
    """Full access on one connection."""

    def __init__(self, gateway):
        super().__init__()
        self.trust_env = False
        self.headers["Authorization"] = "Bearer " + gateway.token
        self._base = gateway.url + "/api/v1"

    def request(self, method, path, **options):
        return super().request(method, self._base + path, timeout=20, **options)

    def hook_up(self, receiver, count, **options):
        """As many webhooks, each of a session of its own and at a host of its own."""
        for n in range(count):
            host = f"127.0.{1 + n // PER_NET}.{1 + n % PER_NET}"
            answer = self.post(
                f"/sessions/s{n}/webhooks",
                json={"url": receiver.url(host=host), "events": ["all"], **options},
            )
            assert answer.status_code == 200, answer.text

    def publish_to_each(self, count):
        """Returns the ids of the events."""
        batch = [{"session_id": f"s{n}", "event": "message"} for n in range(count)]
        answer = self.post("/events", json=batch)
        assert answer.status_code == 202, answer.text
        return {event["id"] for event in answer.json()["events"]}


def expect_nobody_blamed(gateway, deliveries):
    """Each delivery took one attempt, and all circuits are closed."""
    wait_until(lambda: figures(gateway, ATTEMPTS)["2xx"] == deliveries, what="all outcomes")
    found = figures(gateway, ATTEMPTS)
    assert found == {"2xx": deliveries, "3xx": 0, "4xx": 0, "5xx": 0, "none": 0}
    circuits = gateway.api("GET", "/stats").json()["circuits"]
    assert circuits["open"] == circuits["half_open"] == 0


def test_low_limit_costs_no_attempt(make_gateway, make_receiver):
    """
    Fewer descriptors than webhooks: idle connections make place, and the API is reached on new
    connections meanwhile.
    """
    gateway = make_gateway(prefix=["prlimit", f"--nofile={LIMIT}:{LIMIT}"])
    assert "fewer descriptors than max_connections" in gateway.log_text()
    with Api(gateway) as api:
        receiver = make_receiver(host="0.0.0.0")
        api.hook_up(receiver, WEBHOOKS)
        for _ in range(3):
            ids = api.publish_to_each(WEBHOOKS)
            while not ids <= receiver.ids:
                assert is_alive(gateway)
        expect_nobody_blamed(gateway, 3 * WEBHOOKS)
    assert sum(figures(gateway, SHORTAGE).values()) == 0  # it never came to that


def test_receivers_that_hang_leave_the_api_its_descriptors(make_gateway, make_receiver):
    hold = Hold()
    gateway = make_gateway(
        prefix=["prlimit", f"--nofile={LIMIT}:{LIMIT}"], drain_timeout_ms=100
    )
    with Api(gateway) as api:
        receiver = make_receiver(hold, host="0.0.0.0")
        api.hook_up(receiver, 2 * LIMIT, timeout_ms=30000)
        ids = api.publish_to_each(2 * LIMIT)
        wait_until(lambda: len(receiver.requests) > LIMIT // 4, what="attempts that hang")
        clients = [gateway.connect() for _ in range(LIMIT // 4)]
        assert all(is_alive(gateway) for _ in range(10))
        for client in clients:
            client.close()
        hold.release()
        wait_for_ids(receiver, ids)
        expect_nobody_blamed(gateway, 2 * LIMIT)


def test_shortage_is_not_the_receivers_fault(make_gateway, make_receiver):
    """The limit is cut while the gateway counts on more: sockets fail, attempts do not."""
    gateway = make_gateway(circuit_failures=1)
    count = 100
    with Api(gateway) as api:
        receiver = make_receiver(host="0.0.0.0")
        api.hook_up(receiver, count)
        limit = gateway.process.descriptors() + 10
        resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (limit, limit))
        ids = api.publish_to_each(count)
        wait_for_ids(receiver, ids)
        expect_nobody_blamed(gateway, count)
        assert figures(gateway, SHORTAGE)["descriptors"] > 0
    line = "attempts wait, and do not count: the gateway is short of something"
    assert gateway.log_text().count(line) == 1
    assert "of=descriptors" in gateway.log_text()
