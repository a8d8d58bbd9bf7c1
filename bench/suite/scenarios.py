"""
What all scenarios share: how much is measured, in rounds in which those that are compared
take turns, each with a new sink, gateway and store.
"""

from dataclasses import dataclass
from typing import Callable

from .machine import PROGRAMS, SECRET, Failure, Machine, Process, Sink, Waybill

QUICK_REQUESTS = 200  # of a load that is there to try the benchmark itself
PART_BODY = 350  # bytes of a delivery of an event of 250


@dataclass
class Scenario:
    """One section of the document: what measures it, and what writes it."""

    name: str
    title: str
    is_full: bool  # only then
    measure: Callable  # of a Bench; returns what json.dumps() takes
    write: Callable  # of the results by scenario and the plots' directory; returns Markdown


@dataclass
class Bench:
    machine: Machine
    scale: str  # "quick", "short" or "full"

    @property
    def is_quick(self):
        return self.scale == "quick"

    def pick(self, quick, short, full=None):
        return {"quick": quick, "short": short, "full": short if full is None else full}[
            self.scale]

    def amount(self, seconds):
        """Options of a load of so many seconds."""
        if self.is_quick:
            return ["--seconds", 5, "--requests", QUICK_REQUESTS]
        return ["--seconds", seconds]

    def rounds(self, contestants, rounds):
        """Measures each of a dict of functions in turn; returns lists of what they return."""
        results = {name: [] for name in contestants}
        for _ in range(1 if self.is_quick else rounds):
            for name, measure in contestants.items():
                results[name].append(measure())
                self.machine.end_processes()
        return results

    # Gateways and parts, ready to be driven

    def waybill(self, *webhooks, flags=(), **options):
        """A waybill with webhooks in session bench0, each a dict of its fields."""
        gateway = Waybill(self.machine, flags=flags, **options)
        for fields in webhooks:
            gateway.register(**fields)
        return gateway

    def bare_loop(self, sink, *options, data=None, env=None):
        return Process(
            self.machine,
            [PROGRAMS / "parts", "loop", "--data", data or self.machine.dir, "--url",
             f"{sink.url}/hook", "--secret", SECRET, *options], env)

    def bare_evhttp(self):
        return Process(self.machine, [PROGRAMS / "parts", "evhttp"])

    def bare_curl(self, seconds, *options):
        """Runs curl alone against a sink of its own; returns its figures."""
        sink = Sink(self.machine, secret=None)
        count = ["--count", QUICK_REQUESTS] if self.is_quick else []
        return self.machine.run("parts", "curl", "--url", f"{sink.url}/hook", "--seconds",
                                seconds, *count, *options)

    def bare_lmdb(self, seconds, *options):
        count = ["--count", QUICK_REQUESTS] if self.is_quick else []
        return self.machine.run("parts", "lmdb", "--data", self.machine.dir, "--seconds",
                                seconds, *count, *options)

    def bare_sign(self, seconds, *options):
        count = ["--count", QUICK_REQUESTS] if self.is_quick else []
        return self.machine.run("parts", "sign", "--secret", SECRET, "--seconds", seconds,
                                *count, *options)


__all__ = ["PART_BODY", "SECRET", "Bench", "Failure", "Process", "Scenario", "Sink", "Waybill"]
