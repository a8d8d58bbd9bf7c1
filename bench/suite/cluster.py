"""
A shard of three members beside one that is alone, with all of its engine on the same machine:
three servers of NATS, which sync each message, and two standbys share processors and disk with
what is measured (docs/cluster.md).
"""

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request

from .machine import ROOT, WAYBILL
from .report import median, ratio, table, verdict
from .scenarios import Failure, Process, Scenario, Sink, Waybill

HOSTS = 3
START_S = 60  # until there is an owner
NEVER = 0.001  # deliveries a second: they wait
LOADS = [("64 publishers", ["--connections", 64], 0.6),
         ("256 publishers", ["--connections", 256], 0.9),
         ("8 publishers, batches of 100", ["--connections", 8, "--batch", 100], 0.95)]


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Engine:
    """Three servers of NATS, and three members over them."""

    def __init__(self, machine):
        program = subprocess.run([ROOT / "etc/install-nats-server"], capture_output=True, text=True,
                                 check=False)
        if program.returncode != 0:
            raise Failure(program.stderr.strip())
        self.clients = free_ports(HOSTS)
        routes = free_ports(HOSTS)
        self.servers = [self.server(machine, program.stdout.strip(), n, routes)
                        for n in range(HOSTS)]
        self.make_streams(machine)
        ports = free_ports(HOSTS)
        self.members = [Waybill(machine, flags=self.flags(n, ports[n]), port=ports[n])
                        for n in range(HOSTS)]
        self.active = self.wait_active()
        self.standbys = [m for m in self.members if m is not self.active]

    def server(self, machine, program, n, routes):
        conf = machine.new_file("conf")
        urls = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        conf.write_text(
            f"server_name: n{n}\nlisten: 127.0.0.1:{self.clients[n]}\n"
            f"jetstream {{ store_dir: {json.dumps(str(machine.new_dir('nats')))}\n"
            "  sync_interval: always\n  max_file_store: 20GB }\n"
            f"cluster {{ name: bench, listen: 127.0.0.1:{routes[n]}, routes: [{urls}] }}\n")
        return Process(machine, [program, "-c", conf], ready=False)

    def flags(self, n, port):
        servers = ",".join(f"nats://127.0.0.1:{p}" for p in self.clients)
        return ["--shard", "bench", "--member", f"m{n}", "--cluster", servers, "--cluster-url",
                f"http://127.0.0.1:{port}", "--cluster-max-bytes", "4GiB"]

    def make_streams(self, machine):
        deadline = time.monotonic() + START_S
        while True:
            done = subprocess.run([WAYBILL, "cluster", "init", *self.flags(0, 1)],
                                  capture_output=True, text=True, env=machine.env, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise Failure(f"waybill cluster init: {done.stderr.strip()}")
            time.sleep(0.5)

    def wait_active(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            for member in self.members:
                try:
                    with urllib.request.urlopen(f"{member.url}/readyz"):
                        return member
                except (urllib.error.URLError, OSError):
                    continue
            time.sleep(0.1)
        raise Failure("no member has become the active")


def measure(bench):
    machine = bench.machine
    seconds = bench.pick(1, 3)  # longer, and a session has all that may wait for it

    def parked(gateway, sink):
        gateway.register(f"{sink.url}/parked", rate_limit=NEVER)

    def alone(options):
        gateway = bench.waybill()
        parked(gateway, Sink(machine))
        return machine.publish(gateway, *options, *bench.amount(seconds))

    def clustered(options):
        engine = Engine(machine)
        parked(engine.active, Sink(machine))
        others = {"standby": engine.standbys, "engine": engine.servers}
        before = {name: sum(p.cpu_s() for p in ps) for name, ps in others.items()}
        began = time.monotonic()
        result = machine.publish(engine.active, *options, *bench.amount(seconds))
        took = time.monotonic() - began
        for name, processes in others.items():
            used = sum(p.cpu_s() for p in processes) - before[name]
            result[f"{name}_share"] = used / took / len(processes)
        return result

    return bench.rounds({
        f"{kind} {title}": lambda run=run, options=options: run(options)
        for title, options, _ in LOADS for kind, run in (("alone", alone), ("three", clustered))
    }, rounds=bench.pick(1, 1, 3))


def write(results, _plots):
    found = results["cluster"]
    rows = []
    for title, _, target in LOADS:
        alone, three = found[f"alone {title}"], found[f"three {title}"]
        rate, base = median(three, "rate"), median(alone, "rate")
        cpu, base_cpu = median(three, "cpu_us"), median(alone, "cpu_us")
        rows.append([title, base, rate, ratio(rate, base), verdict(rate / base, target),
                     ratio(cpu, base_cpu), f"{median(three, 'standby_share'):.1%}",
                     f"{median(three, 'engine_share'):.0%}"])
    return f"""\
Publishing, and deliveries that wait: what the journal bears. All three hosts are this machine,
whose processors the engine's servers take their part of, and its disk syncs all their files.

{table(["", "alone, requests/s", "a cluster's", "to alone", "target", "CPU an event, to alone",
        "a core, each standby", "a core, each server of NATS"], rows)}

A waybill that is alone passes some lines for the sake of clusters: 88 instructions of 261991 an event,
0.03 %, of at most 0.2 % (`bench/cluster_cost.py`)."""


SCENARIOS = [Scenario("cluster", "A cluster of three", True, measure, write)]
