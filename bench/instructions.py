#!/usr/bin/python3
"""
Counts the instructions that an event takes from its publishing to its delivery, by library, of
waybill, of its parts alone and of the bare loop of them all; prints what has changed since
the figures in bench/instructions.txt, and writes these there.

usage: bench/instructions.py [--events N] [--runs N] [--only NAME,…] [--out FILE] [--data DIR]

It is the same script each time: 64 connections publish N (10000) events of 250 bytes, each waiting
for its 202, to one webhook with a secret. Valgrind's callgrind counts; what a tenth of the events
takes is taken off, and with it the start, so that all figures are those of the steady state. Under
valgrind waybill is so slow that all 64 wait for it at every pass: the passes are alike,
and so are the figures, to a fraction of a per cent (it is run twice, and the spread printed).

Beside these are the same events with an id each, and the same that come to a source: of the preset
openwa, with its HMAC, with repeats known by their ids and (no_repeats) without. --only measures
some columns, and keeps the others' figures.
"""

import argparse
import pathlib
import re
import sys

sys.dont_write_bytecode = True

from suite.machine import PROGRAMS, ROOT, SECRET, WAYBILL, Machine, Process, Sink, Waybill
from suite.report import version_of

MAP_MAX = "1GiB"  # valgrind refuses the default's addresses
END_S = 1800  # for a part under valgrind
TARGET = 1.3  # of waybill, to the sum of the parts
LIBRARIES = ("waybill", "libcurl", "libevent", "liblmdb", "libcrypto", "libc", "other")
PARTS = ("evhttp", "curl", "lmdb", "sign")
DOORS = ("with_id", "source", "no_repeats")
COLUMNS = ("waybill", *PARTS, "parts", "loop", *DOORS)
DOOR_TARGET = 1.2  # of an event that comes to a source, to one that is published likewise


def library_of(path):
    """Which row an object file belongs to; programs are the first, whichever it is."""
    name = pathlib.Path(path).name
    if name in (WAYBILL.name, "parts"):
        return LIBRARIES[0]
    stem = re.match(r"[a-z]*", name).group()
    return stem if stem in LIBRARIES else "other"


def count(path):
    """Instructions by library, of a file in callgrind's format: costs of its own, no callee's."""
    names, costs = {}, dict.fromkeys(LIBRARIES, 0)
    row, is_call = "other", False
    for line in path.read_text(errors="replace").splitlines():
        match = re.match(r"(c?ob)=\((\d+)\)(?: (.*))?", line)
        if match:
            kind, number, name = match.groups()
            if name is not None:
                names[number] = name
            if kind == "ob":
                row = library_of(names[number])
        elif line.startswith("calls="):
            is_call = True  # the next line has what the callee took
        elif line[:1] in "+-*" or line[:1].isdigit():
            if not is_call and line:
                costs[row] += int(line.split()[1])
            is_call = False
    return costs


class Script:
    """Runs one thing under callgrind for so many events."""

    def __init__(self, machine):
        self.machine = machine

    def callgrind(self):
        self.file = self.machine.new_file("callgrind")
        return ["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={self.file}"]

    def publish(self, gateway, events, *options):
        return self.machine.load(gateway, "--connections", 64, "--requests", events,
                                 "--seconds", 600, *options)

    def waybill(self, events, *options, source=None):
        sink = Sink(self.machine)
        gateway = Waybill(self.machine, prefix=self.callgrind(),
                          flags=["--store-max-bytes", MAP_MAX])
        gateway.register(f"{sink.url}/hook")
        if source is not None:
            made = gateway.add_source(preset="openwa", **source)
            options = ("--door", made["path"], "--secret", made["secret"])
        self.publish(gateway, events, *options)
        sink.wait_for(events)
        gateway.stop()

    def with_id(self, events):
        self.waybill(events, "--ids")

    def source(self, events):
        self.waybill(events, source={})

    def no_repeats(self, events):
        self.waybill(events, source={"id_retention": "0s"})

    def loop(self, events):
        sink = Sink(self.machine)
        gateway = Process(self.machine, [
            *self.callgrind(), PROGRAMS / "parts", "loop", "--data", self.machine.dir, "--url",
            f"{sink.url}/hook", "--secret", SECRET])
        self.publish(gateway, events)
        sink.wait_for(events)
        gateway.stop()

    def evhttp(self, events):
        gateway = Process(self.machine, [*self.callgrind(), PROGRAMS / "parts", "evhttp"])
        self.publish(gateway, events)
        gateway.stop()

    def to_end(self, events, *options):
        process = Process(self.machine, [
            *self.callgrind(), PROGRAMS / "parts", *options, "--seconds", 600, "--count",
            events], ready=False)
        process.wait(END_S)

    def curl(self, events):
        sink = Sink(self.machine, secret=None)
        self.to_end(events, "curl", "--url", f"{sink.url}/hook")

    def lmdb(self, events):
        self.to_end(events, "lmdb", "--data", self.machine.dir)

    def sign(self, events):
        self.to_end(events, "sign", "--secret", SECRET)


def measure(machine, name, events):
    """Instructions for each event, by library."""
    script, counts = Script(machine), []
    for n in (events // 10, events + events // 10):
        getattr(script, name)(n)
        counts.append(count(script.file))
        machine.end_processes()
    return {row: (counts[1][row] - counts[0][row]) / events for row in LIBRARIES}


def total(figures):
    return sum(figures.values())


def write(path, figures, spread):
    versions = ", ".join(
        f"{label} {version_of('pkg-config', '--modversion', name) or '?'}"
        for label, name in (("libevent", "libevent_core"), ("libcurl", "libcurl"),
                            ("LMDB", "lmdb"), ("OpenSSL", "libcrypto")))
    lines = [
        "# Instructions for each event 1:1, in user space, by library; `make bench-instructions`",
        "# writes this. \"waybill\" is each program's own code; \"parts\" is the sum of those",
        "# before it, each alone; \"loop\" the bare loop of them all. \"with_id\": published with",
        "# an id; \"source\", \"no_repeats\": through a source of the preset openwa.",
        f"# {version_of('gcc', '--version')}; {versions}",
        f"# two runs of waybill differed by {spread:.2f} %" if spread is not None else "#",
        "", f"{'':10}" + "".join(f"{name:>11}" for name in COLUMNS),
    ]
    for row in ("total", *LIBRARIES):
        cells = [total(figures[c]) if row == "total" else figures[c][row] for c in COLUMNS]
        lines.append(f"{row:10}" + "".join(f"{value:11.0f}" for value in cells))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path):
    """The figures of a file that write() made: {(row, column): instructions}."""
    if not path.exists():
        return {}
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()
             if line and not line.startswith("#")]
    return {(line[0], column): float(value)
            for line in lines[1:] for column, value in zip(lines[0], line[1:])}


def print_changes(before, after):
    for (row, column), new in after.items():
        old = before.get((row, column))
        is_shown = row == "total" or column == "waybill"
        if not is_shown or (not new and not old):
            continue
        change = f"{(new / old - 1) * 100:+.2f} %, it was {old:.0f}" if old else "new"
        print(f"{column:8} {row:10} {new:10.0f}  ({change})")


def main(argv):
    parser = argparse.ArgumentParser(usage=__doc__[__doc__.index("usage: ") + 7:])
    parser.add_argument("--events", type=int, default=10000)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--only", type=lambda text: text.split(","), default=COLUMNS)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench" / "instructions.txt")
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "var")
    args = parser.parse_args(argv)
    before = read(args.out)
    figures = {column: {row: before.get((row, column), 0) for row in LIBRARIES}
               for column in COLUMNS}
    runs = []
    machine = Machine(args.data)
    try:
        if "waybill" in args.only:
            runs = [measure(machine, "waybill", args.events) for _ in range(args.runs)]
        for name in (*PARTS, "loop", *DOORS):
            if name in args.only:
                figures[name] = measure(machine, name, args.events)
    finally:
        machine.close()
    runs.sort(key=total)
    if runs:
        figures["waybill"] = runs[0]
    figures["parts"] = {row: sum(figures[part][row] for part in PARTS)
                        for row in LIBRARIES}
    spread = (total(runs[-1]) / total(runs[0]) - 1) * 100 if len(runs) > 1 else None
    write(args.out, figures, spread)
    print_changes(before, read(args.out))
    times = total(figures["waybill"]) / total(figures["parts"])
    print(f"waybill takes {times:.2f} times what its parts do; the target is at most {TARGET}")
    for door, like in (("source", "with_id"), ("no_repeats", "waybill")):
        times = total(figures[door]) / total(figures[like])
        print(f"{door} takes {times:.2f} times what {like} does; the target is at most "
              f"{DOOR_TARGET}")
    if spread is not None:
        print(f"{len(runs)} runs differed by {spread:.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
