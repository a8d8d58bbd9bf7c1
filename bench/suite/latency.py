"""How long it takes from when an event was to be published until it was at its receiver."""

from .report import bars, cell, median, plot, ratio, table, verdict
from .machine import PROGRAMS
from .scenarios import Scenario, Sink

LOADS = (50, 80, 100)  # per cent of what it did as fast as it could
COMMIT_EVENTS = 64  # of parts lmdb
INJECTED_US = (100, 1000, 5000)
P99_MS = {50: 10, 80: 15}  # targets, by load
SLOW_P99_MS = {5000: 40}  # by what a flush takes


# At a steady rate


def measure_latency(bench):
    seconds = bench.pick(1, 5, 20)
    machine = bench.machine

    def deliver(open_gateway, *options):
        sink = Sink(machine)
        result = machine.deliver(open_gateway(sink), sink, *options)
        machine.end_processes()
        return result

    def waybill(sink):
        return bench.waybill({"url": f"{sink.url}/hook"})

    commit = bench.bare_lmdb(bench.pick(1, 1, 3))
    full = deliver(waybill, *bench.amount(bench.pick(1, 2, 5)))
    # published at a steady rate, it must keep up with both ends
    most = min(full["rate"], full["published_rate"])
    results = {"commit_ms": commit["seconds"] * 1000 * COMMIT_EVENTS / commit["count"],
               "most": most}
    for load in LOADS:
        rate = max(1, int(most * load / 100))
        results[str(load)] = deliver(waybill, "--rate", rate, "--connections", 256,
                                     *bench.amount(seconds))
        results[str(load)]["asked_rate"] = rate
    results["loop"] = deliver(bench.bare_loop, "--rate", max(1, int(most * LOADS[0] / 100)),
                              "--connections", 256, *bench.amount(seconds))
    return results


def latency_row(label, result):
    receipt = result["receipt"]
    return [label, result["asked_rate"] if "asked_rate" in result else None, result["rate"],
            *(receipt[name] / 1000 for name in ("p50_us", "p99_us", "p999_us", "max_us")),
            result["publish"]["p50_us"] / 1000, result["publish"]["p99_us"] / 1000,
            result["cpu_us"]]


def write_latency(results, plots):
    r = results["latency"]
    half = r[str(LOADS[0])]["receipt"]
    p99_ms = {load: r[str(load)]["receipt"]["p99_us"] / 1000 for load in P99_MS}
    p99 = "\n".join(f"| p99 at {load} % | {cell(p99_ms[load])} | "
                    f"{verdict(p99_ms[load], target, most=True)} |"
                    for load, target in P99_MS.items())
    bound_ms = 3 * r["commit_ms"] + 1
    rows = [latency_row(f"waybill, {load} %", r[str(load)]) for load in LOADS]
    rows.append(latency_row(f"bare loop, at waybill's {LOADS[0]} %", r["loop"]))
    curves = [
        (f"using (1/(1-$1/100)):2 with lines lw 2 title '{load} % load'",
         [(percent, us / 1000) for percent, us in r[str(load)]["receipt"]["curve"]
          if percent < 100])
        for load in LOADS
    ]
    return f"""\
An open loop over 256 connections: events are due at a steady rate, and time counts from when one was
due, not from when a connection was free for it. Of 100 % waybill did {cell(r["most"])} events/s, end to
end, as fast as it could. A synced commit of {COMMIT_EVENTS} events by LMDB alone took
{cell(r["commit_ms"])} ms.

{table(["load", "asked, /s", "done, /s", "p50, ms", "p99, ms", "p99.9, ms", "longest, ms",
        "202: p50, ms", "202: p99, ms", "CPU µs each"], rows)}
| publish to receipt | ms | target, ms |
| --- | --- | --- |
| p50 at {LOADS[0]} %: 3 commits and 1 ms | {cell(half["p50_us"] / 1000)} | \
{verdict(half["p50_us"] / 1000, float(cell(bound_ms)), most=True)} |
{p99}
""" + plot(
        plots / "latency.png", "Publish to receipt", "percentile", "ms", curves,
        "set logscale x", "set logscale y",
        "set xtics ('50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000)")


# Disks that are slow to flush


def measure_commits(bench):
    machine = bench.machine
    seconds = bench.pick(1, 2, 5)
    preload = PROGRAMS / "sync_delay.so"

    def slow_disk(us):
        return {"LD_PRELOAD": str(preload), "BENCH_SYNC_US": str(us)}

    def place():
        return machine.new_memory_dir() or machine.new_dir("store")

    def waybill(us, *options):
        sink = Sink(machine)
        gateway = bench.waybill({"url": f"{sink.url}/hook"}, store=place(), env=slow_disk(us))
        return machine.deliver(gateway, sink, *options, *bench.amount(seconds))

    def loop(us):
        sink = Sink(machine)
        return machine.deliver(bench.bare_loop(sink, data=place(), env=slow_disk(us)), sink,
                               *bench.amount(seconds))

    contestants = {}
    for us in INJECTED_US:
        contestants[f"loop_{us}"] = lambda us=us: loop(us)
        contestants[f"full_{us}"] = lambda us=us: waybill(us)
    results = bench.rounds(contestants, rounds=bench.pick(1, 1, 3))
    for us in INJECTED_US:
        rate = max(1, int(median(results[f"full_{us}"], "rate") / 2))
        results[f"half_{us}"] = [waybill(us, "--rate", rate, "--connections", 256)]
        machine.end_processes()
    return results


def write_commits(results, plots):
    r = results["commits"]
    rows = []
    for us in INJECTED_US:
        full, loop = median(r[f"full_{us}"], "rate"), median(r[f"loop_{us}"], "rate")
        half = r[f"half_{us}"][0]["receipt"]
        p50, p99 = half["p50_us"] / 1000, half["p99_us"] / 1000
        rows.append([cell(us / 1000), full, median(r[f"full_{us}"], "cpu_us"), loop,
                     ratio(full, loop), p50, verdict(p50, 3 * us / 1000 + 1, most=True), p99,
                     verdict(p99, SLOW_P99_MS[us], most=True) if us in SLOW_P99_MS else ""])
    return f"""\
The store is in memory, and each flush takes a set time (`bench/preload/sync_delay.c`). 64 publishers
as fast as they can, then half of what that gave, at a steady rate.

{table(["flush, ms", "events/s", "CPU µs each", "bare loop, /s", "to the loop",
        "p50 at half, ms", "target", "p99 at half, ms", "target"], rows)}""" + bars(
        plots / "commits.png", "End to end, by what a flush takes", "events/s",
        [pair for row in rows for pair in ((f"waybill, {row[0]} ms", row[1]),
                                           (f"bare loop, {row[0]} ms", row[3]))])


SCENARIOS = [
    Scenario("latency", "Latency", False, measure_latency, write_latency),
    Scenario("commits", "Slow disks", False, measure_commits, write_commits),
]
