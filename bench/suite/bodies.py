"""Large bodies: long batches, and events of all sizes among each other."""

import math

from .report import cell, median, ratio, table, verdict
from .scenarios import Failure, Scenario, Sink
from .throughput import parked

MB = 1000000
MIB = 1 << 20
BATCHES = (1, 8, 32)  # MiB
EVENT = 4000  # bytes of each: a batch may have 10000 of them
LINE = EVENT + 24  # with its session, in a batch
SMALL = 4096
LEAST, MEDIAN, MOST = 300, 2000, 2 * MB


# Long batches


def longest_ms(before, after, histogram):
    """The upper bound, in ms, of the highest of a histogram's buckets that has grown."""
    name, _, labels = histogram.rstrip("}").partition("{")
    start = f'{name}_bucket{{{labels + "," if labels else ""}le="'
    bounds = [key[len(start):-2] for key in after if key.startswith(start)]
    counts = {float(bound): after[f'{start}{bound}"}}'] - before[f'{start}{bound}"}}']
              for bound in bounds}
    return min(bound for bound, count in counts.items() if count == counts[math.inf]) * 1000


def measure_long_batches(bench):
    total = bench.pick(32, 64, 256)  # MiB

    def publish(mib):
        sink = Sink(bench.machine)
        gateway = bench.waybill(parked(sink), flags=[
            "--max-batch-bytes", f"{BATCHES[-1]}MiB", "--max-input-bytes", "512MiB"])
        size = mib * MIB // LINE
        before = gateway.metrics()
        result = bench.machine.publish(
            gateway, "--connections", 1, "--batch", size, "--body", EVENT, "--requests",
            total // mib, "--seconds", 600)
        after = gateway.metrics()
        # the first is delivered, as the rate of the webhook allows it
        kept = (after["waybill_queue_depth"] +
                after['waybill_deliveries_total{outcome="delivered"}'])
        if kept != result["events"]:
            raise Failure(f"of {result['events']} deliveries {kept:.0f} are there")
        turns = {part: longest_ms(before, after, f'waybill_turn_seconds{{part="{part}"}}')
                 for part in ("events", "commit", "jobs", "pump")}
        turns["whole"] = longest_ms(before, after, "waybill_turn_duration_seconds")
        return {"rate": result["rate"], "cpu_us": result["cpu_us"], "events": size,
                "mb_cpu_us": result["cpu_us"] * MB / LINE, "p50_us": result["p50_us"],
                "mb_rate": result["rate"] * LINE / MB, "turns": turns}

    return bench.rounds({str(mib): lambda mib=mib: publish(mib) for mib in BATCHES},
                        rounds=bench.pick(1, 1, 3))


def write_long_batches(results, _plots):
    r = results["long_batches"]
    one = median(r[str(BATCHES[0])], "mb_cpu_us")
    rows, turns = [], []
    for mib in BATCHES:
        runs = r[str(mib)]
        cpu = median(runs, "mb_cpu_us")
        rows.append([f"{mib} MiB", median(runs, "events"), median(runs, "rate"),
                     median(runs, "mb_rate"), median(runs, "p50_us") / 1000, cpu,
                     ratio(cpu, one), verdict(cpu / one, 1.2, most=True) if mib > 1 else ""])
        turns.append([f"{mib} MiB", *(median(runs, "turns", part) for part in
                                      ("whole", "events", "commit", "jobs", "pump")),
                      verdict(median(runs, "turns", "whole"), 50, most=True)])
    return f"""\
One connection publishes batches of so many bytes, of events of {EVENT} each, one at a time; they are on disk
before the 202, and their deliveries wait. What the settings allow by default is 8 MiB, and 32 at most.

{table(["batch", "events", "events/s", "MB/s", "202: p50, ms", "CPU µs a MB", "to 1 MiB", "target"],
       rows)}
The longest turn of the loop, as far as the buckets of `waybill_turn_duration_seconds` tell (it took
at most so long), and of its parts, that of `waybill_turn_seconds`:

{table(["batch", "whole, ms", "events", "commit", "jobs", "pump", "target, whole"], turns)}"""


# All sizes


def measure_mixed(bench):
    machine = bench.machine
    events = bench.pick(100, 10000, 20000)

    def deliver(*options, sizes=("--body-max", MOST, "--median", MEDIAN)):
        sink = Sink(machine, "--small", SMALL)
        gateway = bench.waybill({"url": f"{sink.url}/hook"},
                                flags=["--max-input-bytes", "512MiB"])
        result = machine.deliver(gateway, sink, "--body", LEAST, *sizes, "--seconds", 600,
                                 *options)
        counts = sink.counts()
        stored = gateway.metrics()["waybill_events_published_bytes_total"]
        return {**result, "mb_rate": result["rate"] * stored / result["events"] / MB,
                "mean": stored / result["events"], "small": counts["small"],
                "small_share": counts["small"]["measured"] / counts["measured"]}

    results = bench.rounds({"full": lambda: deliver("--requests", events)},
                           rounds=bench.pick(1, 1, 3))
    rate = max(1, int(median(results["full"], "rate") / 2))
    steady = ["--rate", rate, "--requests", events]
    results.update(bench.rounds({
        "half": lambda: deliver(*steady),
        "small": lambda: deliver(*steady, sizes=()),
    }, rounds=1))
    return results


def write_mixed(results, _plots):
    r = results["mixed"]
    labels = {"full": "as fast as it can", "half": "half of that, steady",
              "small": f"the same of {LEAST} bytes each, steady"}
    rows = [[label, median(r[name], "rate"), median(r[name], "mb_rate"),
             median(r[name], "cpu_us"), median(r[name], "small", "p50_us") / 1000,
             median(r[name], "small", "p99_us") / 1000,
             median(r[name], "receipt", "p99_us") / 1000] for name, label in labels.items()]
    full = r["full"]
    return f"""\
Events as gateways of WhatsApp send them: most are short texts, some have media in them. Sizes are
lognormal around {MEDIAN} bytes, from {LEAST} bytes to {MOST / MB:g} MB, {cell(median(full, "mean") / 1000)} KB on the
average; of the deliveries {median(full, "small_share"):.0%} have at most {SMALL} bytes, the small ones. 64
publishers, end to end; times are from when an event was to be published to its receipt.

{table(["", "events/s", "MB/s", "CPU µs each", "small: p50, ms", "small: p99, ms", "all: p99, ms"],
       rows)}"""


SCENARIOS = [
    Scenario("long_batches", "Long batches", True, measure_long_batches, write_long_batches),
    Scenario("mixed", "Mixed sizes", True, measure_mixed, write_mixed),
]
