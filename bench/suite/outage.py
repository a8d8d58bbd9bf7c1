"""What waits for receivers that were down goes out when they come back, while others publish."""

import socket
import time

from .report import cell, ratio, table, verdict
from .scale import DEAD, register_many
from .scenarios import Failure, Scenario, Sink

HALF = 0.5  # of a core: what a drain may take, and is to take
BATCH = 250
CONNECTIONS = 256  # so that a turn that takes long delays answers, not what is published
FIGURES = {"p50_us": "receipt p50, µs", "p99_us": "receipt p99, µs",
           "p999_us": "receipt p99.9, µs", "answer_us": "202: p99, µs"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def try_all(gateway):
    """What an operator does once the receivers are mended: each webhook is tried now."""
    hooks = gateway.call("GET", f"webhooks/all?limit={2 * DEAD}")["webhooks"]
    dead = [hook for hook in hooks if hook["session_id"].startswith("dead")]
    if len(dead) != DEAD:
        raise Failure(f"of {DEAD} webhooks {len(dead)} are listed")
    for hook in dead:
        gateway.call("POST", f"sessions/{hook['session_id']}/webhooks/{hook['id']}/try")


def measure_drain(bench):
    machine = bench.machine
    waiting = bench.pick(5000, 100000, 1000000)
    before_s, during_s = bench.pick(1, 5, 10), bench.pick(1, 5, 30)
    rate = bench.pick(100, 1000)
    port = free_port()
    healthy = Sink(machine)
    gateway = bench.waybill({"url": f"{healthy.url}/healthy", "session": "healthy0"},
                            {"url": f"{healthy.url}/during", "session": "during0"})
    register_many(bench, gateway, f"http://127.1.{{host}}:{port}/{{n}}", DEAD, "dead")
    filled = machine.load(gateway, "--requests", waiting // BATCH, "--batch", BATCH,
                          "--connections", 4, "--sessions", DEAD, "--prefix", "dead",
                          "--seconds", 600)

    def publish(prefix, seconds):
        """Its events, the rate at which they arrived while it went on, and the CPU, of a core."""
        began, cpu = time.monotonic(), gateway.cpu_s()
        load = machine.load(gateway, "--prefix", prefix, "--connections", CONNECTIONS, "--rate",
                            rate, "--seconds", seconds)
        took = time.monotonic() - began
        arrived = healthy.counts(f"/{prefix}")["unique"]
        return {"events": load["events"], "answer_us": load["p99_us"],
                "arrived_rate": arrived / took, "share": (gateway.cpu_s() - cpu) / took}

    before = publish("healthy", before_s)
    mended = Sink(machine, "--port", port, "--hosts", DEAD)
    began = time.monotonic()
    try_all(gateway)
    during = publish("during", during_s)
    counts, ended = mended.counts(), time.monotonic()
    if counts["unique"] == waiting:  # all of it went while the session published
        ended = counts["last_us"] / 1e6
    whole_s = mended.wait_for(waiting)["last_us"] / 1e6 - began
    before.update(healthy.wait_for(before["events"], "/healthy"))
    during.update(healthy.wait_for(during["events"]))
    return {"waiting": waiting, "rate": rate, "filled_rate": filled["rate"], "whole_s": whole_s,
            "drained_rate": counts["unique"] / (ended - began), "before": before,
            "during": during}


def write_drain(results, _plots):
    r = results["drain"]
    before, during = r["before"], r["during"]
    rows = [[label, before[name], during[name], ratio(during[name], before[name]),
             verdict(during[name] / before[name], 2, most=True) if name == "p99_us" else ""]
            for name, label in FIGURES.items()]
    rows += [
        ["arrived meanwhile, /s", before["arrived_rate"], during["arrived_rate"],
         ratio(during["arrived_rate"], before["arrived_rate"]), ""],
        ["waybill's CPU, of a core", before["share"], during["share"],
         ratio(during["share"], before["share"]), verdict(during["share"], HALF)],
    ]
    return f"""\
{r["waiting"]} deliveries wait for {DEAD} webhooks whose receivers, each at a host of its own, refuse
connections. Then they are back, and each webhook is tried. Meanwhile one session publishes
{r["rate"]} events a second to a receiver that was well all the time: as before, and while the rest drains.

While the session published, {cell(r["drained_rate"])} deliveries drained a second; all of them had arrived
{cell(r["whole_s"])} s after the receivers came back.

{table(["of the session that is well", "before", "while it drains", "ratio", "target"], rows)}"""


SCENARIOS = [Scenario("drain", "After an outage", True, measure_drain, write_drain)]
