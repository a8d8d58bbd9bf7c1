"""
What much of something costs the rest: webhooks, deliveries that wait, endpoints in trouble,
rounds of events. What the engine promises about memory and isolation is checked here too.
"""

import os
import time

from .machine import PROGRAMS
from .report import cell, median, ratio, table, verdict
from .scenarios import Failure, Scenario, Sink, Waybill

MIB = 1024
DEAD = 100  # webhooks that refuse connections, with the backlog
TROUBLED = 1000  # webhooks of which a quarter is in trouble
HEALTHY = 750


def start_ms(bench, gateway):
    """Stops a gateway and starts it again, its file out of the page cache."""
    store, port = gateway.store, gateway.port
    gateway.stop()
    with open(store / "waybill.mdb", "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    timing = bench.machine.new_file("started")
    again = Waybill(bench.machine, store=store, port=port,
                    prefix=[PROGRAMS / "started", port, timing])
    deadline = time.monotonic() + 60
    while not timing.exists() or not timing.read_text().endswith("\n"):
        if time.monotonic() > deadline:
            raise Failure("waybill does not answer after its start")
        time.sleep(0.05)
    return again, int(timing.read_text()) / 1000


def register_many(bench, gateway, url, count, prefix="bench", in_flight=64):
    """Registers a webhook in each of `count` sessions; see bench/lib/requests.h for {n}."""
    return bench.machine.load(
        gateway, "--requests", count, "--sessions", count, "--prefix", prefix,
        "--seconds", 600, "--in-flight", in_flight, "--register", url)


def take_turns(bench, gateways, sink, path, seconds, rounds):
    """
    Publishes to each of several gateways in turn, (name, gateway, sessions); all deliver to
    `path` of the sink. Returns lists of figures by name.
    """
    results = {name: [] for name, _, _ in gateways}
    for _ in range(1 if bench.is_quick else rounds):
        for name, gateway, sessions in gateways:
            before, cpu = sink.counts(path)["unique"], gateway.cpu_s()
            load = bench.machine.load(gateway, "--sessions", sessions, "--random",
                                      *bench.amount(seconds))
            counts = sink.wait_for(before + load["events"], path)
            results[name].append({
                "rate": load["events"] * 1e6 / (counts["last_us"] - load["first_us"]),
                "published_rate": load["rate"], "p50_us": load["p50_us"],
                "p99_us": load["p99_us"],
                "cpu_us": (gateway.cpu_s() - cpu) * 1e6 / load["events"],
            })
    return results


FIGURES = {"rate": "events/s, end to end", "published_rate": "events/s, published",
           "p50_us": "publish latency p50, µs", "p99_us": "publish latency p99, µs",
           "cpu_us": "CPU µs each"}


def figure_rows(figures, first, last, targets=None):
    """
    A row for each figure: the medians, and how many times the cost the last has; with
    `targets`, the most that this may be by the figure's name, the verdict on it.
    """
    rows = []
    for name, label in FIGURES.items():
        medians = [median(r, name) for r in figures.values()]
        a, b = median(figures[first], name), median(figures[last], name)
        cost = (b, a) if name.endswith("_us") else (a, b)
        rows.append([label, *medians, ratio(*cost)])
        if targets is not None:
            most = targets.get(name)
            rows[-1].append("" if most is None else verdict(cost[0] / cost[1], most, most=True))
    return rows


def mib(kib):
    return kib / MIB


# Webhooks that have nothing to do


def measure_webhooks(bench):
    sink = Sink(bench.machine)
    gateways, notes = [], {}
    for count in bench.pick((1, 50), (1, 1000), (1, 1000, 100000)):
        gateway = bench.waybill()
        registered = register_many(bench, gateway, f"{sink.url}/healthy/{count}/{{n}}", count)
        note = {"registered_rate": registered["rate"], "registered_kib": gateway.memory_kib(),
                "file_kib": gateway.file_kib()}
        gateway, note["start_ms"] = start_ms(bench, gateway)
        note["started_kib"] = gateway.memory_kib()
        notes[str(count)] = note
        gateways.append((str(count), gateway, count))
    figures = take_turns(bench, gateways, sink, "/healthy", bench.pick(1, 2, 5),
                         bench.pick(1, 1, 5))
    for name, gateway, _ in gateways:
        notes[name]["loaded_kib"] = gateway.memory_kib()
    return {"figures": figures, "notes": notes}


def write_webhooks(results, plots):
    del plots
    r = results["webhooks"]
    counts = list(r["notes"])
    one, most = r["notes"][counts[0]], r["notes"][counts[-1]]

    def each(name):
        return (most[name] - one[name]) * 1024 / int(counts[-1])

    idle = max(each("registered_kib"), each("started_kib"))
    rows = [
        ["memory when all were registered, MiB",
         *(mib(n["registered_kib"]) for n in r["notes"].values())],
        ["memory after a restart, MiB", *(mib(n["started_kib"]) for n in r["notes"].values())],
        ["memory after the load, MiB", *(mib(n["loaded_kib"]) for n in r["notes"].values())],
        ["the store's file, MiB", *(mib(n["file_kib"]) for n in r["notes"].values())],
        ["start to first answer, file not cached, ms",
         *(n["start_ms"] for n in r["notes"].values())],
    ]
    targets = {"cpu_us": 1.25} if int(counts[-1]) >= 100000 else {}
    limits = "" if not targets else f"""
An idle webhook takes {cell(idle)} bytes, target {verdict(idle, 1024, most=True)}; the start takes
{cell(most["start_ms"])} ms, target {verdict(most["start_ms"], 2000, most=True)}.
"""
    return f"""\
Webhooks, each of a session of its own; {cell(most["registered_rate"])} a second were registered over 64
connections. Then 64 connections publish to sessions at random, to each gateway in turn.

{table(["webhooks", *counts], rows)}{limits}
{table(["webhooks", *counts, f"cost, {counts[-1]} : {counts[0]}", "target"],
       figure_rows(r["figures"], counts[0], counts[-1], targets))}"""


# Deliveries that wait


def measure_backlog(bench):
    sink = Sink(bench.machine)
    gateways, notes = [], {}
    for waiting in bench.pick((0, 1000), (0, 100000), (0, 10000, 100000, 1000000)):
        gateway = bench.waybill({"url": f"{sink.url}/healthy/{waiting}"})
        register_many(bench, gateway, f"http://127.2.{{host}}:{sink.port}/{{n}}", DEAD, "dead")
        note = {}
        if waiting:
            filled = bench.machine.load(
                gateway, "--requests", waiting // 250, "--batch", 250, "--connections", 4,
                "--sessions", DEAD, "--prefix", "dead", "--seconds", 600)
            note["filled_rate"] = filled["rate"]
        note["filled_kib"], note["file_kib"] = gateway.memory_kib(), gateway.file_kib()
        gateway, note["start_ms"] = start_ms(bench, gateway)
        note["started_kib"] = gateway.memory_kib()
        notes[str(waiting)] = note
        gateways.append((str(waiting), gateway, 1))
    figures = take_turns(bench, gateways, sink, "/healthy", bench.pick(1, 2, 5),
                         bench.pick(1, 1, 5))
    for name, gateway, _ in gateways:
        notes[name]["loaded_kib"] = gateway.memory_kib()
    return {"figures": figures, "notes": notes}


def write_backlog(results, plots):
    del plots
    r = results["backlog"]
    counts = list(r["notes"])
    notes = r["notes"].values()
    most = r["notes"][counts[-1]]
    kib = max(most[name] for name in ("filled_kib", "started_kib", "loaded_kib"))
    growth = max(most[name] / r["notes"][counts[1]][name]
                 for name in ("filled_kib", "started_kib", "loaded_kib"))
    rows = [
        ["memory when all had come, MiB", *(mib(n["filled_kib"]) for n in notes)],
        ["memory after a restart, MiB", *(mib(n["started_kib"]) for n in notes)],
        ["memory after the load, MiB", *(mib(n["loaded_kib"]) for n in notes)],
        ["the store's file, MiB", *(mib(n["file_kib"]) for n in notes)],
        ["start to first answer, file not cached, ms", *(n["start_ms"] for n in notes)],
    ]
    return f"""\
{DEAD} webhooks refuse connections, and so many deliveries wait for them; they came in batches of 250, at
{cell(most["filled_rate"])} events/s. 64 connections then publish to the one webhook that works, of each
gateway in turn.

{table(["waiting", *counts], rows)}
With {counts[-1]} waiting: memory {cell(mib(kib))} MiB, target {verdict(mib(kib), 64, most=True)}, and
{cell(growth)} times that with {counts[1]}, target {verdict(growth, 1.1, most=True)}; start
{cell(most["start_ms"])} ms, target {verdict(most["start_ms"], 1000, most=True)}.

{table(["waiting", *counts, f"cost, {counts[-1]} : 0"],
       figure_rows(r["figures"], counts[0], counts[-1]))}"""


# Endpoints in trouble


def measure_isolation(bench):
    machine = bench.machine
    rate, warm_up = bench.pick(100, 1000), bench.pick(0, 5)
    webhooks = bench.pick(100, TROUBLED)

    def register(gateway, sink, first, step, network, path):
        count = webhooks // step
        machine.load(gateway, "--first", first, "--step", step, "--sessions", count,
                     "--requests", count, "--register",
                     f"http://127.{network}.{{host}}:{sink.port}/{path}/{{n}}")

    def run(silent, slow, network):
        """Of 20 sessions: 0 and 10 silent, 1 and 11 slow, 2 refused, the other 15 healthy."""
        sink = Sink(machine, "--hosts", webhooks)
        gateway = Waybill(machine)
        register(gateway, sink, 0, 10, 1, silent)
        register(gateway, sink, 1, 10, 1, slow)
        register(gateway, sink, 2, 20, network, "other")
        for first in range(3, 10):
            register(gateway, sink, first, 10, 1, "healthy")
        register(gateway, sink, 12, 20, 1, "healthy")
        before = gateway.cpu_s()
        load = machine.load(gateway, "--sessions", webhooks, "--rate", rate, "--warm-up", warm_up,
                            "--seconds", warm_up + bench.pick(1, 30))
        turns = load["events"] // webhooks  # whole ones over the sessions
        counts = sink.wait_for(turns * webhooks * HEALTHY // TROUBLED, "/healthy")
        return {**{name: counts[name] for name in ("p50_us", "p99_us", "p999_us", "max_us")},
                "cpu_us": (gateway.cpu_s() - before) * 1e6 / load["events"],
                "memory_kib": gateway.memory_kib()}

    return bench.rounds({
        "healthy": lambda: run("other", "other", 1),
        "troubled": lambda: run("silent", "slow", 2),
    }, rounds=3)


def write_isolation(results, plots):
    del plots
    r = results["isolation"]
    names = {"p50_us": "p50, µs", "p99_us": "p99, µs", "p999_us": "p99.9, µs",
             "max_us": "longest, µs", "cpu_us": "CPU µs each", "memory_kib": "memory, KiB"}
    rows = []
    for name, label in names.items():
        a, b = median(r["healthy"], name), median(r["troubled"], name)
        rows.append([label, a, b, ratio(b, a),
                     verdict(b / a, 2, most=True) if name == "p99_us" else ""])
    return f"""\
{TROUBLED} webhooks, each of a session and at a host of its own, 1000 events a second in turn. Of the
webhooks 100 never answer, 100 answer after 4 s and 50 refuse connections, or all are healthy. Time
from when an event was to be published until it was at its receiver, of the {HEALTHY} webhooks that are
healthy in both.

{table(["", "all healthy", "250 not", "ratio", "target"], rows)}"""


# Rounds of events


def measure_growth(bench):
    body, body_max, keep = 250, 20000, 4194304
    events, rounds = bench.pick(200, 5000), bench.pick(2, 40)
    sink = Sink(bench.machine)
    gateway = bench.waybill({"url": f"{sink.url}/healthy"}, flags=["--retention-bytes", keep])
    kib = []
    for turn in range(rounds):
        bench.machine.load(gateway, "--requests", events, "--seconds", 120, "--body", body,
                           "--body-max", body_max)
        sink.wait_for((turn + 1) * events, "/healthy")
        kib.append(gateway.file_kib())
    return {"file_kib": kib, "events": events, "published_kib": events * (body + body_max) / 2048,
            "keep_kib": keep / 1024, "memory_kib": gateway.memory_kib()}


def write_growth(results, plots):
    del plots
    r = results["growth"]
    kib = r["file_kib"]
    half = len(kib) // 2
    shown = sorted({0, 1, 2, *range(0, len(kib), max(1, len(kib) // 8)), len(kib) - 1})
    # a round may begin before the one before is swept, and pages are copied
    limit = 4 * (r["keep_kib"] + r["published_kib"])
    return f"""\
{len(kib)} rounds of {r["events"]} events of 250 to 20000 bytes; delivered events are kept up to 4 MiB,
and a round begins when all of the one before have arrived. In the second half of the rounds the file
is at most {ratio(max(kib[half:]), max(kib[:half]))} times as large as it was in the first; the target
for its MiB is {verdict(mib(max(kib)), round(mib(limit)), most=True)}.

{table(["round", "published in all, MiB", "the store's file, MiB"],
       [[i + 1, mib((i + 1) * r["published_kib"]), mib(kib[i])] for i in shown if i < len(kib)])}"""


SCENARIOS = [
    Scenario("webhooks", "Many webhooks", False, measure_webhooks, write_webhooks),
    Scenario("backlog", "Backlog", False, measure_backlog, write_backlog),
    Scenario("isolation", "Isolation", True, measure_isolation, write_isolation),
    Scenario("growth", "Growth of the file", True, measure_growth, write_growth),
]
