"""What an outage of all receivers leaves, once it is over: how fast it drains, and beside whom."""

import json
import socket
import threading
import time
import urllib.request

from .report import cell, table, verdict
from .scenarios import Scenario, Sink

WEBHOOKS = 100
BATCH = 250
OTHERS_RATE = 1000  # events/s of the session that publishes all the while


def free_port():
    with socket.socket() as any_socket:
        any_socket.bind(("127.0.0.1", 0))
        return any_socket.getsockname()[1]


def ask(gateway, method, path):
    request = urllib.request.Request(
        f"{gateway.url}/api/v1/{path}", method=method,
        headers={"Authorization": f"Bearer {gateway.machine.token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def try_all(gateway):
    """Has each webhook whose session's name begins with "dead" tried at once."""
    listed = ask(gateway, "GET", f"webhooks/all?limit={2 * WEBHOOKS}")["webhooks"]
    for webhook in listed:
        if webhook["session_id"].startswith("dead"):
            ask(gateway, "POST",
                f"sessions/{webhook['session_id']}/webhooks/{webhook['id']}/try")


def publish_beside(bench, gateway, seconds):
    return bench.machine.load(gateway, "--prefix", "sound", "--rate", OTHERS_RATE, "--connections",
                              64, "--seconds", seconds)


def measure_drain(bench):
    machine, waiting = bench.machine, bench.pick(5000, 200000, 1000000)
    seconds, port = bench.pick(2, 5, 20), free_port()
    others = Sink(machine)
    gateway = bench.waybill()
    gateway.register(f"{others.url}/sound", session="sound0")
    machine.load(gateway, "--requests", WEBHOOKS, "--sessions", WEBHOOKS, "--prefix", "dead",
                 "--seconds", 60, "--in-flight", 64, "--register",
                 f"http://127.1.{{host}}:{port}/{{n}}")
    machine.load(gateway, "--requests", waiting // BATCH, "--batch", BATCH, "--connections", 4,
                 "--sessions", WEBHOOKS, "--prefix", "dead", "--seconds", 600)
    back = Sink(machine, "--port", port, "--hosts", WEBHOOKS, secret=None)
    before = publish_beside(bench, gateway, seconds)
    result = {}
    beside = threading.Thread(
        target=lambda: result.update(publish_beside(bench, gateway, seconds)))
    count, cpu, began = back.counts()["unique"], gateway.cpu_s(), time.monotonic()
    beside.start()
    try_all(gateway)
    beside.join()
    passed = time.monotonic() - began
    rate = (back.counts()["unique"] - count) / passed
    share = (gateway.cpu_s() - cpu) / passed
    others.wait_for(before["events"] + result["events"])
    back.wait_for(waiting)
    return {"waiting": waiting, "rate": rate, "share": share,
            **{f"{name}_{when}_us": r[f"{name}_us"] for name in ("p50", "p99")
               for when, r in (("before", before), ("during", result))}}


def write_drain(results, plots):
    del plots
    r = results["drain"]
    rows = [[name, r[f"{name}_before_us"] / 1000, r[f"{name}_during_us"] / 1000,
             verdict(r["p99_during_us"] / r["p99_before_us"], 2, most=True)
             if name == "p99" else ""] for name in ("p50", "p99")]
    return f"""\
{WEBHOOKS} webhooks, each of a session and at a host of its own, were away; {r["waiting"]} deliveries wait for
them. They are back, and each is told so by `try`, while another session publishes {OTHERS_RATE} events a
second: {cell(r["rate"])} deliveries a second leave the queue, and the gateway takes {r["share"]:.2f} of a
processor, which the sinks and the publishers share.

{table(["202 of the other session, ms", "before", "meanwhile", "times as long"], rows)}"""


SCENARIOS = [Scenario("drain", "After an outage", True, measure_drain, write_drain)]
