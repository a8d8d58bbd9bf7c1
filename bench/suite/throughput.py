"""How many events a second: intake alone, end to end, many deliveries, batches, sizes, TLS."""

import subprocess

from .report import bars, cell, median, plot, ratio, table, verdict
from .scenarios import PART_BODY, Scenario, Sink

MANY_CONNECTIONS = 512
PAYLOADS = (250, 4096, 65536, 1000000)
PAYLOAD_TARGETS = {65536: 0.35, 1000000: 0.25}  # of curl alone
FLOOR = 2.2  # times what is done to a body at least: two SHA-256 and a copy to the disk
NEVER = 0.001  # deliveries a second: they wait


def parked(sink):
    """A webhook whose deliveries are stored, and wait: what intake alone has to write."""
    return {"url": f"{sink.url}/parked", "rate_limit": NEVER}


# Intake and end to end, beside the parts


def measure_limits(bench):
    seconds = bench.pick(1, 2, 5)
    machine = bench.machine

    def publish(gateway, connections, *options):
        return machine.publish(gateway, "--connections", connections, *options,
                               *bench.amount(seconds))

    def publish_to_waybill(connections, webhook, *options):
        sink = Sink(machine)
        gateway = bench.waybill(*([parked(sink)] if webhook else []))
        return publish(gateway, connections, *options)

    def end_to_end(open_gateway):
        sink = Sink(machine)
        return machine.deliver(open_gateway(sink), sink, "--connections", 64,
                               *bench.amount(seconds))

    return bench.rounds({
        "evhttp_64": lambda: publish(bench.bare_evhttp(), 64),
        "publish_64": lambda: publish_to_waybill(64, True),
        "evhttp_512": lambda: publish(bench.bare_evhttp(), MANY_CONNECTIONS),
        "publish_512": lambda: publish_to_waybill(MANY_CONNECTIONS, True),
        "publish_64_no_webhook": lambda: publish_to_waybill(64, False),
        "publish_4_pipelined": lambda: publish_to_waybill(4, True, "--pipeline", 16),
        "loop": lambda: end_to_end(bench.bare_loop),
        "waybill": lambda: end_to_end(
            lambda sink: bench.waybill({"url": f"{sink.url}/hook"})),
        "curl": lambda: bench.bare_curl(seconds),
        "curl_anew": lambda: bench.bare_curl(seconds, "--anew"),
        "lmdb": lambda: bench.bare_lmdb(seconds),
    }, rounds=bench.pick(1, 2, 5))


def write_limits(results, plots):
    limits = results["limits"]

    def rate(name):
        return median(limits[name], "rate")

    def cpu(name):
        return median(limits[name], "cpu_us")

    loop, waybill = rate("loop"), rate("waybill")
    publish = [
        ["evhttp alone, 202 and nothing stored, 64 connections", rate("evhttp_64"),
         cpu("evhttp_64"), "1", ""],
        ["waybill, 64 connections", rate("publish_64"), cpu("publish_64"),
         ratio(rate("publish_64"), rate("evhttp_64")),
         verdict(rate("publish_64") / rate("evhttp_64"), 0.6)],
        ["waybill, 64 connections, no webhook wants it", rate("publish_64_no_webhook"),
         cpu("publish_64_no_webhook"), ratio(rate("publish_64_no_webhook"), rate("evhttp_64")),
         ""],
        ["waybill, 4 connections, 16 requests pipelined on each", rate("publish_4_pipelined"),
         cpu("publish_4_pipelined"), ratio(rate("publish_4_pipelined"), rate("evhttp_64")), ""],
        [f"evhttp alone, {MANY_CONNECTIONS} connections", rate("evhttp_512"), cpu("evhttp_512"),
         "1", ""],
        [f"waybill, {MANY_CONNECTIONS} connections", rate("publish_512"), cpu("publish_512"),
         ratio(rate("publish_512"), rate("evhttp_512")),
         verdict(rate("publish_512") / rate("evhttp_512"), 0.75)],
    ]
    parts = [
        ["bare loop of evhttp, LMDB and curl, all options set anew", loop, cpu("loop"), "1", ""],
        ["**waybill**", waybill, cpu("waybill"), ratio(waybill, loop),
         verdict(waybill / loop, 1.25)],
        ["curl multi alone, handles reused", rate("curl"), cpu("curl"), ratio(rate("curl"), loop),
         ""],
        ["curl multi alone, all options set anew", rate("curl_anew"), cpu("curl_anew"),
         ratio(rate("curl_anew"), loop), ""],
        ["LMDB alone, commits of 64", rate("lmdb"), cpu("lmdb"), ratio(rate("lmdb"), loop), ""],
    ]
    publish_ms = median(limits["waybill"], "publish", "p50_us") / 1000
    return f"""\
**Publishing only.** The event and its one delivery, which waits, are on disk before the 202.

{table(["", "requests/s", "CPU µs each", "to evhttp", "target"], publish)}
**End to end, 1:1.** 64 connections publish events of 250 bytes, each waiting for its 202 before
the next; one webhook with a secret, up to 64 deliveries in flight. First publish to last receipt.

{table(["", "events/s", "CPU µs each", "to the loop", "target"], parts)}
Of waybill's events {cell(median(limits["waybill"], "published_rate"))}/s were published, with a
median latency of {cell(publish_ms)} ms; the deliveries came after them.
""" + bars(
        plots / "end-to-end.png", "End to end, 64 publishers, synced commits", "events/s",
        [("bare loop", loop), ("waybill", waybill), ("curl alone", rate("curl")),
         ("curl anew", rate("curl_anew"))])


# One event, many deliveries


def measure_fan_out(bench):
    def fan_out(webhooks):
        sink = Sink(bench.machine)
        gateway = bench.waybill(
            *({"url": f"{sink.url}/{i}", "max_in_flight": 16} for i in range(webhooks)))
        deliveries = bench.pick(500, 60000, 200000)
        return bench.machine.deliver(gateway, sink, "--requests", deliveries // webhooks,
                                     "--seconds", 600, fan_out=webhooks)

    return bench.rounds({
        "curl": lambda: bench.bare_curl(bench.pick(1, 2, 5)),
        "10": lambda: fan_out(10),
        "100": lambda: fan_out(100),
    }, rounds=bench.pick(1, 1, 3))


def write_fan_out(results, plots):
    del plots
    r = results["fan_out"]
    curl = median(r["curl"], "rate")
    rows = []
    for webhooks in (10, 100):
        rate = median(r[str(webhooks)], "deliveries_rate")
        cpu = median(r[str(webhooks)], "cpu_us") / webhooks
        rows.append([f"1:{webhooks}", rate, cpu, ratio(rate, curl),
                     verdict(rate / curl, 0.8) if webhooks == 100 else ""])
    rows.append(["curl multi alone, handles reused", curl, median(r["curl"], "cpu_us"), "1", ""])
    return f"""\
Each webhook of the session gets each event; first publish to last receipt.

{table(["", "deliveries/s", "CPU µs each", "to curl", "target"], rows)}"""


# Batches


def measure_batches(bench):
    seconds = bench.pick(1, 2, 5)

    def publish(size):
        sink = Sink(bench.machine)
        gateway = bench.waybill(parked(sink))
        batches = ["--requests", 4] if bench.is_quick else []
        return bench.machine.publish(gateway, "--connections", 8, "--batch", size, "--seconds",
                                     seconds, *batches)

    def deliver(size):
        sink = Sink(bench.machine)
        gateway = bench.waybill({"url": f"{sink.url}/hook"})
        events = bench.pick(1000, 60000, 200000)
        return bench.machine.deliver(gateway, sink, "--connections", 8, "--batch", size,
                                     "--requests", events // size, "--seconds", 600)

    def evhttp():
        return bench.machine.publish(bench.bare_evhttp(), "--connections", 64,
                                     *bench.amount(seconds))

    return bench.rounds({
        "evhttp": evhttp,
        "publish_100": lambda: publish(100),
        "publish_1000": lambda: publish(1000),
        "curl": lambda: bench.bare_curl(seconds),
        "deliver_100": lambda: deliver(100),
        "deliver_1000": lambda: deliver(1000),
    }, rounds=bench.pick(1, 1, 3))


def write_batches(results, plots):
    del plots
    r = results["batches"]
    evhttp, curl = median(r["evhttp"], "rate"), median(r["curl"], "rate")
    published = {size: median(r[f"publish_{size}"], "rate") for size in (100, 1000)}
    delivered = {size: median(r[f"deliver_{size}"], "rate") for size in (100, 1000)}
    rows = [
        ["evhttp alone, requests", evhttp, median(r["evhttp"], "cpu_us"), "1", ""],
        *([f"batches of {size}, publishing only", published[size],
           median(r[f"publish_{size}"], "cpu_us"), ratio(published[size], evhttp),
           verdict(published[size] / evhttp, 4) if size == 1000 else ""]
          for size in (100, 1000)),
        ["curl multi alone, handles reused", curl, median(r["curl"], "cpu_us"), "1", ""],
        *([f"batches of {size}, end to end", delivered[size],
           median(r[f"deliver_{size}"], "cpu_us"), ratio(delivered[size], curl),
           verdict(delivered[size] / curl, 0.9) if size == 100 else ""]
          for size in (100, 1000)),
    ]
    return f"""\
8 connections publish events of 250 bytes; publishing only is read against evhttp alone (the target
of 300 k events/s where it does 75 k requests/s is 4 times), end to end against curl alone.

{table(["", "events/s", "CPU µs each", "to the part", "target"], rows)}"""


# Sizes of events


def measure_payloads(bench):
    def deliver(size):
        sink = Sink(bench.machine)
        gateway = bench.waybill({"url": f"{sink.url}/hook"})
        events = bench.pick(20, min(20000, 200000000 // size), min(50000, 1000000000 // size))
        return bench.machine.deliver(
            gateway, sink, "--body", size, "--requests", events, "--seconds", 600,
            "--connections", 16 if size > PAYLOADS[2] else 64)

    contestants = {}
    for size in PAYLOADS:
        contestants[f"curl_{size}"] = lambda size=size: bench.bare_curl(
            bench.pick(1, 1, 3), "--body", size + PART_BODY - PAYLOADS[0])
        contestants[str(size)] = lambda size=size: deliver(size)
    seconds = bench.pick(1, 1, 3)
    contestants["sign"] = lambda: bench.bare_sign(seconds, "--body", PAYLOADS[-1])
    contestants["lmdb"] = lambda: bench.bare_lmdb(seconds, "--body", PAYLOADS[-1])
    return bench.rounds(contestants, rounds=bench.pick(1, 1, 3))


def write_payloads(results, plots):
    r = results["payloads"]
    rows = []
    for size in PAYLOADS:
        rate, curl = median(r[str(size)], "rate"), median(r[f"curl_{size}"], "rate")
        rows.append([str(size), rate, rate * size / 1e6, median(r[str(size)], "cpu_us"),
                     curl, ratio(rate, curl),
                     verdict(rate / curl, PAYLOAD_TARGETS[size]) if size in PAYLOAD_TARGETS
                     else ""])
    sign, lmdb = median(r["sign"], "cpu_us"), median(r["lmdb"], "cpu_us")
    times = rows[-1][3] / (sign + lmdb)
    return f"""\
Events of so many bytes, end to end, each stored, signed twice and delivered.

{table(["bytes", "events/s", "MB/s", "CPU µs each", "curl alone, /s", "to curl", "target"], rows)}
Of {PAYLOADS[-1]} bytes two SHA-256 alone take {cell(sign)} µs and a copy to the disk by LMDB alone
{cell(lmdb)} µs; an event takes {cell(times)} times both, target {verdict(times, FLOOR, most=True)}.
""" + bars(plots / "payloads.png", "Bytes end to end", "MB/s",
           [(f"{row[0]} bytes", row[2]) for row in rows])


# HTTPS


def make_certificate(machine, addresses=("127.0.0.1",)):
    cert, key = machine.new_file("cert.pem"), machine.new_file("key.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
         f"subjectAltName={','.join('IP:' + a for a in addresses)}", "-keyout", key, "-out", cert],
        check=True, stderr=subprocess.DEVNULL)
    return cert, key


def measure_tls(bench):
    def deliver(with_tls, *sink_options):
        options, fields = list(sink_options), {}
        if with_tls:
            cert, key = make_certificate(bench.machine)
            options += ["--cert", cert, "--key", key]
            fields["ca_pem"] = cert.read_text()
        sink = Sink(bench.machine, *options)
        gateway = bench.waybill({"url": f"{sink.url}/hook", **fields})
        events = 24000 if not sink_options else 2000 if with_tls else 10000
        return bench.machine.deliver(gateway, sink, "--seconds", 600, "--requests",
                                     bench.pick(100, events, 2 * events))

    return bench.rounds({
        "http": lambda: deliver(False),
        "https": lambda: deliver(True),
        "http_close": lambda: deliver(False, "--close"),
        "https_close": lambda: deliver(True, "--close"),
    }, rounds=bench.pick(1, 1, 3))


def write_tls(results, plots):
    del plots
    r = results["tls"]
    http = median(r["http"], "rate")
    labels = {"http": "HTTP, keep-alive", "https": "HTTPS, keep-alive",
              "http_close": "HTTP, a connection for each delivery",
              "https_close": "HTTPS, a connection for each delivery"}
    new = median(r["https_close"], "cpu_us")
    targets = {"https": verdict(median(r["https"], "rate") / http, 0.7),
               "https_close": f"CPU µs {verdict(new, 400, most=True)}"}
    rows = [[label, median(r[name], "rate"), median(r[name], "cpu_us"),
             ratio(median(r[name], "rate"), http), targets.get(name, "")]
            for name, label in labels.items()]
    return f"""\
End to end, 64 publishers; the receiver does TLS on the same processors.

{table(["receiver", "events/s", "CPU µs each", "to HTTP", "target"], rows)}"""


# Connections of publishers

COMMITS = "waybill_commit_duration_seconds_count"
FEW = ((1, 1), (4, 1), (1, 16), (4, 16))  # connections, and requests pipelined on each
SHARED = 0.5  # commits an event of one connection, where its requests share them


def measure_connections(bench):
    def publish(connections, gateway, depth=1):
        return bench.machine.publish(gateway, "--connections", connections, "--pipeline", depth,
                                     *bench.amount(bench.pick(1, 3)))

    def to_waybill(connections, depth=1):
        gateway = bench.waybill(parked(Sink(bench.machine)), flags=["--max-connections", 2048])
        before = gateway.metrics()[COMMITS]
        result = publish(connections, gateway, depth)
        return {**result, "commits": (gateway.metrics()[COMMITS] - before) / result["events"]}

    contestants = {}
    for n in bench.pick((1, 1024), (1, 4, 16, 64, 256, 512, 1024)):
        contestants[f"evhttp_{n}"] = lambda n=n: publish(n, bench.bare_evhttp())
        contestants[str(n)] = lambda n=n: to_waybill(n)
    for n, depth in FEW:
        contestants[f"{n}x{depth}"] = lambda n=n, depth=depth: to_waybill(n, depth)
        contestants[f"lmdb_{n}x{depth}"] = lambda at_once=n * depth: bench.bare_lmdb(
            bench.pick(1, 2), "--commit", at_once)
    return bench.rounds(contestants, rounds=3)


def write_connections(results, plots):
    r = results["connections"]
    counts = [int(name) for name in r if name.isdigit()]
    rows = [[n, median(r[str(n)], "rate"), median(r[f"evhttp_{n}"], "rate"),
             ratio(median(r[str(n)], "rate"), median(r[f"evhttp_{n}"], "rate")),
             median(r[str(n)], "cpu_us"), median(r[str(n)], "p50_us"),
             median(r[str(n)], "p99_us")] for n in counts]
    few = []
    for n, depth in FEW:
        rate, lmdb = median(r[f"{n}x{depth}"], "rate"), median(r[f"lmdb_{n}x{depth}"], "rate")
        commits = median(r[f"{n}x{depth}"], "commits")
        few.append([n, depth, rate, lmdb, ratio(rate, lmdb), commits,
                    verdict(commits, SHARED / n, most=True) if depth > 1 else ""])
    return f"""\
Publishing only, over so many connections, one request at a time on each.

{table(["connections", "events/s", "evhttp alone, /s", "to evhttp", "CPU µs each",
        "p50, µs", "p99, µs"], rows)}
Over few connections the flush is what counts. Beside them LMDB alone, with commits of as many events as
may be without an answer: 1 would be one flush for all of these, and nothing else. Requests that are
pipelined on one connection share commits where there are fewer than one for each event of a connection.

{table(["connections", "pipelined", "events/s", "LMDB alone, /s", "to LMDB", "commits an event",
        "target"], few)}""" + plot(
        plots / "connections.png", "Publishing only", "connections", "requests/s",
        [("with linespoints title 'evhttp alone'", [(row[0], row[2]) for row in rows]),
         ("with linespoints title 'waybill'", [(row[0], row[1]) for row in rows])],
        "set logscale x 2", "set yrange [0:*]")


SCENARIOS = [
    Scenario("limits", "Publishing and end to end, beside the parts alone", False,
             measure_limits, write_limits),
    Scenario("fan_out", "Fan-out", False, measure_fan_out, write_fan_out),
    Scenario("batches", "Batches", False, measure_batches, write_batches),
    Scenario("payloads", "Payloads", False, measure_payloads, write_payloads),
    Scenario("tls", "HTTPS receivers", False, measure_tls, write_tls),
    Scenario("connections", "Publishers' connections", True, measure_connections,
             write_connections),
]
