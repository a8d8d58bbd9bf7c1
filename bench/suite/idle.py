"""What connections cost on which nothing happens: memory, and whether the loop wakes up."""

import pathlib
import resource
import socket
import time

from .report import cell, table, verdict
from .scenarios import Failure, Scenario, Sink
from .scale import register_many

WATCHED_S = 10
TARGET_BYTES = 4096
REQUEST = b"GET /livez HTTP/1.1\r\nHost: bench\r\n\r\n"
FEW = 100  # descriptors for all else


def status_of(gateway, name):
    text = pathlib.Path(f"/proc/{gateway.popen.pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))


def connect(gateway, n):
    """A publisher's connection from an address of its own that has asked once."""
    client = socket.create_connection(("127.0.0.1", int(gateway.port)),
                                      source_address=(f"127.3.{n // 250}.{1 + n % 250}", 0))
    client.sendall(REQUEST)
    if not client.recv(4096).startswith(b"HTTP/1.1 200"):
        raise Failure("an idle connection was not served")
    return client


def wakeups(gateway):
    before = status_of(gateway, "voluntary_ctxt_switches")
    time.sleep(WATCHED_S)
    return status_of(gateway, "voluntary_ctxt_switches") - before


def measure_publishers(bench, count):
    gateway = bench.waybill(flags=["--max-connections", count + FEW])
    alone = wakeups(gateway)
    kib = status_of(gateway, "RssAnon")
    clients = [connect(gateway, n) for n in range(count)]
    result = {"count": count, "bytes": (status_of(gateway, "RssAnon") - kib) * 1024 / count,
              "wakeups": wakeups(gateway), "alone": alone}
    for client in clients:
        client.close()
    bench.machine.end_processes()
    return result


def measure_receivers(bench, count):
    """One event to each of as many hosts, whose connections are kept."""
    sink = Sink(bench.machine, "--hosts", count, secret=None)
    gateway = bench.waybill(flags=["--max-in-flight", count])
    register_many(bench, gateway, f"http://127.1.{{host}}:{sink.port}/{{n}}", count)
    kib = status_of(gateway, "RssAnon")
    bench.machine.load(gateway, "--requests", count, "--sessions", count, "--seconds", 60)
    sink.wait_for(count)
    result = {"count": count, "bytes": (status_of(gateway, "RssAnon") - kib) * 1024 / count,
              "wakeups": wakeups(gateway)}
    bench.machine.end_processes()
    return result


def measure_idle(bench):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(bench.pick(100, 5000, 10000), hard // 2 - 10 * FEW)
    return {"publishers": measure_publishers(bench, count),
            "receivers": measure_receivers(bench, count)}


def write_idle(results, plots):
    del plots
    r = results["idle"]
    rows = [[f"{r[name]['count']} {label}", r[name]["bytes"],
             verdict(r[name]["bytes"], TARGET_BYTES, most=True), r[name]["wakeups"]]
            for name, label in (("publishers", "publishers, connected"),
                                ("receivers", "receivers, kept"))]
    return f"""\
Each has had one exchange before, from or at an address of its own. The memory is the process's own, without files;
that of a receiver is also that of its webhook's endpoint, and of connections that were given up since.
Without any connection the loop wakes up {cell(r["publishers"]["alone"])} times in {WATCHED_S} s.

{table(["", "bytes each", "target", f"wake-ups in {WATCHED_S} s"], rows)}"""


SCENARIOS = [Scenario("idle", "Idle connections", True, measure_idle, write_idle)]
