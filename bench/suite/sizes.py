"""What sizes cost: events of mixed ones, as gateways of chats send them, and large batches."""

import re
import urllib.request

from .report import cell, median, table, times, verdict
from .scenarios import Scenario, Sink
from .throughput import parked

MIXED = (300, 2000000)  # bytes
EVENT = 4000
BATCHES_MIB = (1, 8, 32)
MIB = 1048576
LONGEST_MS = 50  # of a turn


# Mixed


def measure_mixed(bench):
    def deliver():
        sink = Sink(bench.machine)
        gateway = bench.waybill({"url": f"{sink.url}/hook"})
        return bench.machine.deliver(
            gateway, sink, "--body", MIXED[0], "--body-max", MIXED[1], "--lognormal", "--requests",
            bench.pick(100, 10000, 30000), "--seconds", 600)

    return bench.rounds({"mixed": deliver}, rounds=bench.pick(1, 1, 3))


def write_mixed(results, plots):
    del plots
    r = results["mixed"]["mixed"]
    row = [median(r, "rate"), median(r, "cpu_us"),
           *(median(r, "receipt", name) / 1000 for name in ("p50_us", "p99_us"))]
    return f"""\
Events of {MIXED[0]} bytes to {MIXED[1] // 1000000} MB, half of them below 2000 (lognormal, σ 1.6), end to end, 64 publishers as
fast as they can.

{table(["events/s", "CPU µs each", "publish to receipt: p50, ms", "p99, ms"], [row])}"""


# Large batches


def longest_turn_ms(bench, gateway):
    """The bound of the histogram below which all turns were."""
    request = urllib.request.Request(
        f"{gateway.url}/metrics", headers={"Authorization": f"Bearer {bench.machine.token}"})
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
    counts = re.findall(r'waybill_turn_duration_seconds_bucket\{le="([0-9.]+)"\} (\d+)', text)
    most = max(int(count) for _, count in counts)
    return min(float(bound) for bound, count in counts if int(count) == most) * 1000


def measure_batch_bytes(bench):
    def publish(mib):
        sink = Sink(bench.machine)
        gateway = bench.waybill(parked(sink), flags=["--max-batch-bytes", "32MiB"])
        events = mib * MIB // (EVENT + 100)  # with the session and what is between them
        count = bench.pick(1, 4, max(4, 128 // mib))
        result = bench.machine.publish(gateway, "--connections", 1, "--batch", events, "--requests",
                                       count, "--seconds", 600)
        result["longest_ms"] = longest_turn_ms(bench, gateway)
        return result

    return bench.rounds({str(mib): lambda mib=mib: publish(mib) for mib in BATCHES_MIB},
                        rounds=bench.pick(1, 1, 3))


def write_batch_bytes(results, plots):
    del plots
    r = results["batch_bytes"]
    rows = []
    for mib in BATCHES_MIB:
        of = r[str(mib)]
        longest = max(result["longest_ms"] for result in of)
        rows.append([str(mib), median(of, "rate"), median(of, "cpu_us"), longest,
                     verdict(longest, LONGEST_MS, most=True)])
    first, last = rows[0][2], rows[-1][2]
    return f"""\
Batches of so many MiB over one connection, publishing only; each event has {EVENT} bytes. An event of the
largest takes {cell(times(last, first))} times what one of the smallest does. The longest turn of the loop is known to a
bound of its histogram.

{table(["MiB", "events/s", "CPU µs each", "longest turn below, ms", "target"], rows)}"""


SCENARIOS = [
    Scenario("mixed", "Mixed sizes", True, measure_mixed, write_mixed),
    Scenario("batch_bytes", "Large batches", True, measure_batch_bytes, write_batch_bytes),
]
