"""
Beside what a team would write instead: Fastify, BullMQ and Redis with `appendfsync always`
(bench/bullmq), driven by the same load generator and sink, on the same processors.
"""

import re
import shutil

from .machine import PROGRAMS, ROOT, SECRET, Process
from .report import bars, cell, median, ratio, table, verdict, version_of
from .scenarios import Scenario, Sink

PACKAGES = PROGRAMS / "bullmq" / "node_modules"
SENDER = ROOT / "bench" / "bullmq" / "sender.js"


def missing():
    """What is not installed, in words, or None."""
    for program in ("redis-server", "node"):
        if not shutil.which(program):
            return program
    return None if PACKAGES.is_dir() else "its packages"


def open_bullmq(machine, sink):
    """Redis, a worker and the API, which counts the processor time of all three."""
    data = machine.new_dir("redis")
    socket = "socket"  # below `data`: the whole path may be too long for one
    redis = Process(machine, [
        "redis-server", "--port", 0, "--unixsocket", socket, "--dir", data,
        "--appendonly", "yes", "--appendfsync", "always", "--save", "",
    ], ready=False, cwd=data)
    env = {"SOCKET": socket, "URL": f"{sink.url}/hook", "SECRET": SECRET,
           "TOKEN": machine.token, "NODE_ENV": "production",
           "NODE_PATH": str(PACKAGES)}
    worker = Process(machine, ["node", SENDER, "worker"], env, cwd=data)
    api = Process(machine, ["node", SENDER, "api"], env, cwd=data)
    api.pids += [worker.popen.pid, redis.popen.pid]
    return api


def measure_rival(bench):
    lacking = missing()
    if lacking:
        return {"missing": lacking}
    machine = bench.machine
    seconds = bench.pick(1, 4, 15)

    def deliver(open_gateway):
        sink = Sink(machine)
        return machine.deliver(open_gateway(sink), sink, *bench.amount(seconds))

    return bench.rounds({
        "bullmq": lambda: deliver(lambda sink: open_bullmq(machine, sink)),
        "waybill": lambda: deliver(lambda sink: bench.waybill({"url": f"{sink.url}/hook"})),
    }, rounds=bench.pick(1, 2, 3))


def write_rival(results, plots):
    r = results["rival"]
    if "missing" in r:
        return f"Not measured: {r['missing']} is not installed; `make bench-rival` does that.\n"

    def row(name, label):
        return [label, median(r[name], "rate"), median(r[name], "published_rate"),
                median(r[name], "publish", "p50_us") / 1000,
                median(r[name], "publish", "p99_us") / 1000, median(r[name], "cpu_us"),
                1e6 / median(r[name], "cpu_us")]

    bullmq, waybill = row("bullmq", "BullMQ"), row("waybill", "waybill")
    times, per_cpu = waybill[1] / bullmq[1], waybill[6] / bullmq[6]
    redis = re.search(r"v=([0-9.]+)", version_of("redis-server", "--version")).group(1)
    versions = f"Node.js {version_of('node', '--version')}, Redis {redis}"
    return f"""\
Fastify takes the event, BullMQ stores the job in Redis (`appendonly yes`, `appendfsync always`, over a
Unix socket) before the 202, and a worker of 64 at a time signs and delivers, with the same retries
(`bench/bullmq/sender.js`). CPU is that of all its processes: API, worker and Redis. {versions}.

{table(["", "events/s", "published, /s", "202: p50, ms", "202: p99, ms", "CPU µs each",
        "events per CPU second"], [bullmq, waybill])}
Events a second: {ratio(waybill[1], bullmq[1])} times, target {verdict(times, 3)}. Events per CPU second:
{cell(per_cpu)} times, target {verdict(per_cpu, 5)}.
""" + bars(plots / "rival.png", "End to end, 64 publishers", "events/s",
           [("BullMQ", bullmq[1]), ("waybill", waybill[1])])


# The last section, of figures that no run here makes.
PEERS = """\
## Beside the peers

Measured apart, in November 2026, and not made anew by these runs: the same publisher, the same sink and
the same durability (nothing answered before it is on disk), each in turn on a machine of 2 cores.

| | events/s | events per CPU second |
| --- | --- | --- |
| Svix 1.100 | 616–825 | 506–562 |
| Outpost 1.2 | 1119–1263 | 802–943 |
| WebhookX 1.2 | 1109–1174 | 778–816 |
| waybill | 15409–19332 | 15500–22174 |

With 10 of 100 receivers hanging the p99 of the healthy ones is 13 ms with waybill; with the peers it is
23 s, or they never get theirs. No peer lost an acknowledged event to `kill -9`, with persistence on.
The comparison that anyone can repeat is the one with BullMQ: `make bench-rival`.
"""


SCENARIOS = [Scenario("rival", "Beside Fastify, BullMQ and Redis", False, measure_rival,
                      write_rival)]
