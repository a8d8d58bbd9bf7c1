#!/usr/bin/python3
"""
Counts the instructions that an event costs for there being clusters, where there is none: those of
the source lines that only a cluster needs and that each event passes all the same. It is the
script of bench/instructions.py, under callgrind, which says what each line takes.

usage: bench/cluster_cost.py [--events N] [--data DIR]

A line that asks for something else too is counted whole; a compiler moves instructions between
neighbouring lines. So the figure is good to a few, and rather too high.
"""

import argparse
import collections
import pathlib
import re
import sys

sys.dont_write_bytecode = True

from instructions import Script
from suite.machine import ROOT, Machine

# What only a cluster needs: a journal, rows gathered for it, a turn that outlives its pass.
MARKS = {
    "src/store/db.c": r"->rows\b|\bgathered\b|->prepared|DB_JOURNAL",
    "src/store/turn.c": r"\bjournal\b|t->open\b|part_max|parted",
    "src/server/loop.c": r"is_appending|conf\.active",
    "src/dispatch/dispatch.c": r"is_paused",
    "src/dispatch/flight.c": r"is_paused|taken_over_ms",
    "src/api/router.c": r"health->waits",
}
TARGET = 0.002  # of all instructions of an event


class LineScript(Script):
    def callgrind(self):
        return [*super().callgrind(), "--compress-pos=no", "--compress-strings=no"]


def lines_of(path):
    """Instructions of each (file, line), and of all."""
    costs, total = collections.Counter(), 0
    file, is_call = "", False
    for line in path.read_text(errors="replace").splitlines():
        if line.startswith(("fl=", "fi=", "fe=")):
            file = line[3:]
        elif line.startswith("calls="):
            is_call = True  # the next line has what the callee took
        elif line[:1].isdigit():
            if not is_call:
                number, cost = line.split()[:2]
                costs[file, int(number)] += int(cost)
                total += int(cost)
            is_call = False
    return costs, total


def marked():
    """The lines of the sources that are a cluster's: (file, line) -> text."""
    found = {}
    for name, mark in MARKS.items():
        for number, text in enumerate((ROOT / name).read_text().splitlines(), 1):
            if re.search(mark, text) and not text.lstrip().startswith(("/*", "*")):
                found[name, number] = text.strip()
    return found


def main(argv):
    parser = argparse.ArgumentParser(usage=__doc__[__doc__.index("usage: ") + 7:])
    parser.add_argument("--events", type=int, default=10000)
    parser.add_argument("--data", type=pathlib.Path, default=ROOT / "var")
    args = parser.parse_args(argv)
    args.data.mkdir(parents=True, exist_ok=True)
    runs = []
    machine = Machine(args.data)
    try:
        script = LineScript(machine)
        for events in (args.events // 10, args.events + args.events // 10):
            script.waybill(events)
            runs.append(lines_of(script.file))
            machine.end_processes()
    finally:
        machine.close()
    (few, few_total), (many, many_total) = runs
    total = (many_total - few_total) / args.events
    sum_marked = 0.0
    for (name, number), text in marked().items():
        # callgrind names a file as the compiler was told of it
        cost = sum((many[key] - few[key]) / args.events for key in many
                   if key[1] == number and key[0].endswith(name))
        sum_marked += cost
        if cost >= 0.05:
            print(f"{cost:8.1f}  {name}:{number}  {text}")
    print(f"{sum_marked:8.1f}  of {total:.0f} an event: {sum_marked / total:.3%}, at most {TARGET:.1%}")
    return 0 if sum_marked / total <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
