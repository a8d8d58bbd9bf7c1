#!/usr/bin/python3
"""
Measures waybill on this machine, over loopback, beside the parts that it is made of, and
writes the document and the plots with what came of it. `make bench` runs the short set, in
under five minutes; `make bench-full` all of it.

usage: bench/run.py [--full] [--quick] [--only NAME[,NAME…]] [--data DIR] [--out FILE]
                      [--results FILE] [--redraw]

--quick is for trying the benchmarks, all of them with --full: its figures say nothing. DIR (./var) should be on the
disk that counts; a directory of its own is made there and removed again. The results are kept
in FILE (build/bench/results.json), each scenario's of its last run; --redraw measures nothing and
writes the document from there. Fails when a scenario does: its section then says why.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.dont_write_bytecode = True

from suite import (bodies, cluster, http2, idle, latency, outage, report, rival, scale, shards,
                   throughput)
from suite.machine import Failure, Machine
from suite.scenarios import Bench

SCENARIOS = (throughput.SCENARIOS + bodies.SCENARIOS + http2.SCENARIOS +
             latency.SCENARIOS + scale.SCENARIOS + outage.SCENARIOS + idle.SCENARIOS +
             cluster.SCENARIOS + shards.SCENARIOS + rival.SCENARIOS)

COMMANDS = {"short": "make bench", "full": "make bench-full", "quick": "bench/run.py --quick"}

INTRODUCTION = """\
# Benchmarks

Written by `make bench` and `make bench-full` (`bench/run.py`). All of it ran on one machine, over
loopback: waybill shares the processors with those that publish and those that receive, and with
whatever else ran there. The ratios are what carries over to others: what is compared was measured in
turn, in the same minutes, and where there were several rounds the figures are medians.

Every 202 was sent after a synced commit; every delivery was signed, and its signature checked and its
event counted once at the receiver; a run in which one is lost, or forged, fails. CPU is the
processor time of the one process that is named, user and system.

"""


def parse(argv):
    names = [s.name for s in SCENARIOS]
    parser = argparse.ArgumentParser(usage=__doc__[__doc__.index("usage: ") + 7:])
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--redraw", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "var")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--results", type=pathlib.Path,
                        default=ROOT / "build" / "bench" / "results.json")
    args = parser.parse_args(argv)
    args.only = args.only.split(",") if args.only else []
    unknown = set(args.only) - set(names)
    if unknown:
        parser.error(f"no scenario is called {', '.join(unknown)}; there are {', '.join(names)}")
    return args


def measure(args, results):
    """Runs what was asked for, each scenario's result into `results`; returns how many failed."""
    scale_name = "quick" if args.quick else "full" if args.full else "short"
    failed = 0
    for scenario in SCENARIOS:
        wanted = scenario.name in args.only if args.only else args.full or not scenario.is_full
        if not wanted:
            continue
        print(f"bench: {scenario.title}", end="", file=sys.stderr, flush=True)
        started = time.monotonic()
        machine = Machine(args.data)
        entry = {"command": COMMANDS[scale_name], "on": report.machine_line(machine.dir)}
        try:
            entry["result"] = scenario.measure(Bench(machine, scale_name))
        except (Failure, OSError, subprocess.SubprocessError) as failure:
            entry["failure"] = str(failure)
            failed += 1
            print(f": {failure}", end="", file=sys.stderr)
        finally:
            machine.close()
        results[scenario.name] = entry
        print(f" ({time.monotonic() - started:.0f} s)", file=sys.stderr)
    return failed


def write_section(scenario, results, plots):
    entry = results[scenario.name]
    text = f"## {scenario.title}\n\n"
    if "failure" in entry:
        return f"{text}**Failed: {entry['failure'].splitlines()[0]}**\n"
    measured = {name: e["result"] for name, e in results.items() if "result" in e}
    try:
        return text + scenario.write(measured, plots)
    except KeyError as lacking:
        return f"{text}**Failed: its results are of another version, without {lacking}**\n"


def write(args, results):
    plots = args.out.parent / "plots"
    sections = [write_section(s, results, plots) for s in SCENARIOS if s.name in results]
    runs = sorted({f"- `{entry['command']}` on {entry['on']}\n" for entry in results.values()})
    new = args.out.with_suffix(".new")
    new.write_text("\n".join([INTRODUCTION + "".join(runs), *sections, rival.PEERS]),
                   encoding="utf-8")
    os.replace(new, args.out)


def main(argv):
    args = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was begun is ended
    results = {}
    if args.results.exists() and (args.redraw or args.only):
        results = json.loads(args.results.read_text(encoding="utf-8"))
    failed = 0 if args.redraw else measure(args, results)
    args.results.parent.mkdir(parents=True, exist_ok=True)
    args.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write(args, results)
    print(f"bench: the figures are in {args.out}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
