"""What connections cost on which nothing goes on: those of publishers, and those kept to receivers."""

import json
import os
import pathlib
import resource
import socket
import time

from .report import cell, table, verdict
from .scale import register_many
from .scenarios import Failure, Scenario, Sink

GROUP = 250  # connections that publish at a time
LONG_MS = 3600000
RATE = 1000  # events a second: more at once would leave what their attempts took
WARM_UP = 2000  # events before: what a first delivery leaves is no connection's


class Look:
    """What /proc says of a gateway at one time."""

    def __init__(self, gateway):
        path = pathlib.Path(f"/proc/{gateway.popen.pid}")
        lines = dict(line.split(":") for line in (path / "status").read_text().splitlines())
        self.anonymous = int(lines["RssAnon"].split()[0]) * 1024
        self.wakes = int(lines["voluntary_ctxt_switches"])
        self.sockets = sum(is_socket(fd) for fd in (path / "fd").iterdir())


def is_socket(descriptor):
    try:
        return os.readlink(descriptor).startswith("socket:")
    except FileNotFoundError:
        return False  # it has gone meanwhile


def quiet(gateway, sockets):
    """Looks at a gateway once it has so many sockets, and nothing is under way."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        look = Look(gateway)
        if look.sockets >= sockets and gateway.metrics()["waybill_attempts_in_flight"] == 0:
            time.sleep(1)  # what is late by a timer
            return Look(gateway)
        time.sleep(0.1)
    raise Failure(f"of {sockets} connections {look.sockets} are there")


def publish_by(gateway, count):
    """Opens so many connections and publishes an event by each; returns them."""
    body = json.dumps({"event": "message", "data": {}}).encode()
    request = (f"POST /api/v1/sessions/bench0/events HTTP/1.1\r\nHost: bench\r\n"
               f"Authorization: Bearer {gateway.machine.token}\r\n"
               f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
               ).encode() + body
    clients = []
    for first in range(0, count, GROUP):
        group = [socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
                 for _ in range(min(GROUP, count - first))]
        clients += group
        for client in group:
            client.sendall(request)
        for client in group:
            answer = client.recv(4096)
            if b" 202 " not in answer.partition(b"\r\n")[0]:
                raise Failure(f"not accepted: {answer}")
    return clients


def warm_up(bench, gateway, sink):
    gateway.register(f"{sink.url}/warm", session="warm0")
    load = bench.machine.load(gateway, "--prefix", "warm", "--requests", WARM_UP, "--seconds", 60)
    sink.wait_for(load["events"])


def measure_publishers(bench, count):
    """Returns the gateway, its connections, what it was before and what it is with them."""
    sink = Sink(bench.machine)
    # trusted, as one client has a share of all connections
    gateway = bench.waybill({"url": f"{sink.url}/hook"}, flags=[
        "--max-connections", count + 100, "--idle-timeout-ms", LONG_MS,
        "--trusted-proxies", "127.0.0.1"])
    warm_up(bench, gateway, sink)
    before = quiet(gateway, 0)
    clients = publish_by(gateway, count)
    sink.wait_for(WARM_UP + count)
    return gateway, clients, before, quiet(gateway, before.sockets + count)


def measure_receivers(bench, count):
    """The same with an event delivered to each of so many receivers."""
    sink = Sink(bench.machine, "--everywhere")
    gateway = bench.waybill(flags=["--max-in-flight", max(count // 2 + 100, 1024)])
    register_many(bench, gateway, f"http://127.1.{{host}}:{sink.port}/{{n}}", count)
    warm_up(bench, gateway, sink)
    before = quiet(gateway, 0)
    load = bench.machine.load(gateway, "--sessions", count, "--requests", count, "--rate", RATE,
                              "--seconds", 60)
    sink.wait_for(WARM_UP + load["events"])
    return gateway, None, before, quiet(gateway, before.sockets + count)


def measure(bench):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(bench.pick(200, 1000, 10000), hard // 2)
    seconds = bench.pick(1, 10)
    contestants = {"none": (bench.waybill(), None, None, None),
                   "publishers": measure_publishers(bench, count),
                   "receivers": measure_receivers(bench, count)}
    looks = {name: Look(gateway) for name, (gateway, *_) in contestants.items()}
    time.sleep(seconds)
    result = {"count": count, "seconds": seconds}
    for name, (gateway, clients, before, after) in contestants.items():
        now = Look(gateway)
        figures = {"wakes": now.wakes - looks[name].wakes, "kib": now.anonymous / 1024}
        if before:
            figures["sockets"] = now.sockets - before.sockets
            figures["each"] = ((after.anonymous - before.anonymous) /
                               (after.sockets - before.sockets))
        result[name] = figures
        for client in clients or ():
            client.close()
    return result


def write(results, _plots):
    r = results["idle"]
    labels = {"none": "no connection", "publishers": "publishers, connected",
              "receivers": "receivers, their connections kept"}
    wakes = r["none"]["wakes"] + 1  # the looks are not taken at the very same time
    rows = []
    for name, label in labels.items():
        figures = r[name]
        each = figures.get("each")
        rows.append([label, figures.get("sockets", 0), figures["kib"] / 1024, each,
                     verdict(each, 4096, most=True) if each is not None else "",
                     figures["wakes"],
                     verdict(figures["wakes"], wakes, most=True) if each is not None else ""])
    return f"""\
{r["count"]} connections on which one event came, or went to a receiver at a host of its own, and nothing
since; each kind at a gateway of its own, receivers at {RATE} events a second. Memory is the anonymous part,
before and after; a receiver's has what is known of its host as well. Wake-ups are the voluntary context switches in {cell(r["seconds"])} s; the
target is those without any connection, and one.

{table(["", "connections", "memory, MiB", "bytes each", "target", "wake-ups", "target"], rows)}"""


SCENARIOS = [Scenario("idle", "Idle connections", True, measure, write)]
