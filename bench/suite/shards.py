"""
Three waybills on one machine behind HAProxy and nginx, with the files of etc/, beside one that
is alone: what a proxy costs an event, and what a shard does.
"""

import os
import pathlib
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from .http2 import PATHS
from .machine import ROOT, START_S
from .report import median, ratio, table
from .scale import register_many
from .scenarios import Failure, Process, Scenario, Sink

NAMES = ("one", "two", "three")
PUBLISHERS = (2, 4)  # processes
CONNECTIONS = 32  # of each
SESSIONS = 48  # of each
WITH_SBIN = "/usr/sbin:/usr/local/sbin"
PROGRAMS = {name: shutil.which(name) or shutil.which(name, path=WITH_SBIN)
            for name in ("haproxy", "nginx")}
WORKERS = 2  # of nginx; HAProxy has a thread for each processor
LABELS = {"alone": "one, no proxy", "haproxy": "three, HAProxy", "nginx": "three, nginx"}

# Of the files of etc/, what is to be another on the lines that end in "# yours". TLS is left
# out: the publishers have none.
LIMIT = 10000  # requests or connections of one address
HAPROXY = {"bind :443 ssl crt /etc/haproxy/waybill.pem alpn h2,http/1.1": "bind 127.0.0.1:{port}",
           "unix@/run/waybill": "unix@{sockets}", "gt 100": f"gt {LIMIT}",
           "gt 200": f"gt {LIMIT}"}
NGINX = {"listen 443 ssl http2": "listen 127.0.0.1:{port}", "unix:/run/waybill": "unix:{sockets}",
         "waybill_clients 100": f"waybill_clients {LIMIT}",
         "ssl_certificate ": "# ssl_certificate ", "ssl_certificate_key ": "# ssl_certificate_key "}
NGINX_AROUND = """\
daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr error;
{user}
events {{ worker_connections 4096; }}
http {{
	access_log off;
	keepalive_requests 100000000;
""" + PATHS + """\
	include {folder}/waybill.conf;
}}
"""


def substitute(path, values, **names):
    """A file's text with other values on the lines that are marked; each has to be there."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for old, new in values.items():
        marked = [i for i, line in enumerate(lines) if old in line and "# yours" in line]
        if not marked:
            raise Failure(f"{path.name}: {old} is not in a line that is marked")
        for i in marked:
            lines[i] = lines[i].replace(old, new.format(**names))
    return "".join(lines)


class Front(Process):
    """A proxy before the shards, whose sockets are in a folder."""

    def __init__(self, machine, kind, sockets):
        folder = machine.new_dir(kind)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        conf = folder / "waybill.conf"
        if kind == "haproxy":
            conf.write_text(substitute(ROOT / "etc/haproxy/waybill-sharded.cfg", HAPROXY,
                                       port=port, sockets=sockets), encoding="utf-8")
            command = ["-db", "-f", conf]
        else:
            conf.write_text(substitute(ROOT / "etc/nginx/waybill-sharded.conf", NGINX,
                                       port=port, sockets=sockets), encoding="utf-8")
            around = folder / "nginx.conf"
            user = "user root;" if os.geteuid() == 0 else ""  # the sockets' owner
            around.write_text(NGINX_AROUND.format(folder=folder, user=user, workers=WORKERS), encoding="utf-8")
            command = ["-e", "stderr", "-c", around]
        super().__init__(machine, [PROGRAMS[kind], *command], ready=False)
        self.port = port
        self.pids += self.wait_serving(WORKERS if kind == "nginx" else 0)

    def wait_serving(self, workers):
        """Waits until it listens and has so many children; returns their ids."""
        children = pathlib.Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children")
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.popen.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                pids = [int(pid) for pid in children.read_text(encoding="ascii").split()]
                if len(pids) == workers:
                    return pids
            except OSError:
                pass
            time.sleep(0.01)
        raise Failure(f"{self.name} does not start: {self.text()[-500:]}")

    def kill(self):
        """Its processes end with it, and leave nothing behind."""
        if self.popen.poll() is None:
            self.popen.terminate()
            self.popen.wait()


def publish(bench, entry, publishers, events):
    """Publishes by so many processes at a time; returns the events and when the first began."""
    def one(n):
        return bench.machine.load(
            entry, "--prefix", f"p{n}s", "--sessions", SESSIONS, "--connections", CONNECTIONS,
            "--requests", events // publishers, "--seconds", 600)

    with ThreadPoolExecutor(publishers) as pool:
        loads = list(pool.map(one, range(publishers)))
    return sum(load["events"] for load in loads), min(load["first_us"] for load in loads)


def measure(bench):
    machine = bench.machine
    events = bench.pick(400, 15000)

    def run(kind, publishers):
        sink = Sink(machine)
        if kind == "alone":
            shards, front = [bench.waybill()], None
        else:
            sockets = machine.new_memory_dir() or machine.new_dir("sockets")
            shards = [bench.waybill(flags=["--listen", f"127.0.0.1:0,unix:{sockets}/{name}.sock",
                                           "--trusted-proxies", "unix"]) for name in NAMES]
            front = Front(machine, kind, sockets)
        entry = front or shards[0]
        for n in range(publishers):
            register_many(bench, entry, f"{sink.url}/{n}/{{n}}", SESSIONS, f"p{n}s")
        before = [process.cpu_s() for process in shards]
        proxy = front.cpu_s() if front else 0
        done, first_us = publish(bench, entry, publishers, events)
        counts = sink.wait_for(done)
        costs = [process.cpu_s() - cpu for process, cpu in zip(shards, before)]
        return {"rate": done * 1e6 / (counts["last_us"] - first_us),
                "shard_us": sum(costs) * 1e6 / done, "most": max(costs) / sum(costs),
                "proxy_us": (front.cpu_s() - proxy) * 1e6 / done if front else 0}

    kinds = [kind for kind in LABELS if kind == "alone" or PROGRAMS[kind]]
    if len(kinds) < len(LABELS):
        return {"missing": " and ".join(kind for kind in PROGRAMS if not PROGRAMS[kind])}
    return bench.rounds({f"{kind} {n}": lambda kind=kind, n=n: run(kind, n)
                         for n in PUBLISHERS for kind in kinds}, rounds=bench.pick(1, 1, 3))


def write(results, _plots):
    r = results["shards"]
    if "missing" in r:
        return f"Not measured: {r['missing']}: not installed.\n"
    rows = []
    for n in PUBLISHERS:
        alone = median(r[f"alone {n}"], "rate")
        for kind, label in LABELS.items():
            found = r[f"{kind} {n}"]
            proxy, shard = median(found, "proxy_us"), median(found, "shard_us")
            rows.append([f"{label}, {n} publishers", median(found, "rate"),
                         ratio(median(found, "rate"), alone), shard,
                         *([""] * 4 if kind == "alone" else
                           (proxy, ratio(proxy, shard), "proxy" if proxy > shard else "shard",
                            f"{median(found, 'most'):.0%}"))])
    return f"""\
Processes that publish, of {CONNECTIONS} connections and {SESSIONS} sessions each, to three waybills
on this one machine, through the proxies with the files of `etc/` (sockets below, no TLS, more
requests of one address), and to one without a proxy; end to end, all on the same processors. CPU is that of
all three, and of all of the proxy's threads and workers; what TLS would cost comes to the proxy's.

{table(["", "events/s", "to one", "CPU µs an event: waybill", "proxy", "proxy to waybill",
        "what costs more", "of waybill's CPU, the busiest"], rows)}"""


SCENARIOS = [Scenario("shards", "Three shards behind a proxy", True, measure, write)]
