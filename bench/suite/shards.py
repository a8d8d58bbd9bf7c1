"""Three instances on one machine behind a proxy, by the rules of etc/haproxy and etc/nginx."""

import shutil
import socket
import threading
import time

from .machine import START_S, Failure, Process
from .report import cell, median, table
from .scenarios import Scenario, Sink
from .scale import register_many

SHARDS = 3
SESSIONS = 64
PUBLISHERS = (2, 4)  # processes
CONNECTIONS = 32  # of each
SBIN = "/usr/sbin"
PROGRAMS = {name: shutil.which(name) or shutil.which(name, path=SBIN)
            for name in ("haproxy", "nginx")}

HAPROXY = """\
global
	nbthread 1
defaults
	mode http
	timeout client 60s
	timeout connect 2s
	timeout server 60s
	option http-keep-alive
	http-reuse safe
	retries 0
frontend waybill
	bind 127.0.0.1:{port}
	http-request wait-for-body time 10s
	http-request del-header Forwarded
	option forwardfor
	default_backend by_session
backend by_session
	balance hash path,field(5,/),url_dec
	hash-type consistent crc32 avalanche
	default-server maxconn 600 pool-purge-delay 60s
{servers}
"""
NGINX = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	map $uri $session {{ ~^/api/v1/sessions/(?<name>[^/]+)/ $name; }}
	upstream by_session {{
		hash $session consistent;
{servers}
		keepalive 64;
	}}
	server {{
		listen 127.0.0.1:{port};
		keepalive_requests 100000000;
		location / {{
			proxy_pass http://by_session;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header Forwarded "";
			proxy_next_upstream off;
		}}
	}}
}}
"""


class Proxy(Process):
    def __init__(self, machine, name, shards):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        folder, conf = machine.new_dir(name), machine.new_file("conf")
        if name == "haproxy":
            servers = "\n".join(f"\tserver s{n} 127.0.0.1:{s.port} id {n + 1}"
                                for n, s in enumerate(shards))
            conf.write_text(HAPROXY.format(port=port, servers=servers))
            argv = [PROGRAMS[name], "-db", "-f", conf]
        else:
            servers = "\n".join(f"\t\tserver 127.0.0.1:{s.port} max_fails=0;" for s in shards)
            conf.write_text(NGINX.format(folder=folder, port=port, servers=servers))
            argv = [PROGRAMS[name], "-e", "stderr", "-c", conf]
        super().__init__(machine, argv, ready=False)
        self.port = port
        self.wait_listening()

    def wait_listening(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.popen.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        raise Failure(f"{self.name} does not start: {self.text()[-500:]}")


def publish_from(machine, front, processes, *options):
    """Publishes from so many processes at once, each to all sessions; returns their results."""
    results = []

    def publish():
        results.append(machine.load(front, "--connections", CONNECTIONS, "--sessions", SESSIONS,
                                    "--random", *options))

    threads = [threading.Thread(target=publish) for _ in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(results) < processes:
        raise Failure("a publisher failed")
    return results


def deliver(bench, name, processes):
    """`name`: of the proxy, or None for one instance without any."""
    machine = bench.machine
    sink = Sink(machine, secret=None)
    shards = [bench.waybill() for _ in range(SHARDS if name else 1)]
    front = Proxy(machine, name, shards) if name else shards[0]
    register_many(bench, front, f"{sink.url}/{{n}}", SESSIONS)
    before = [sum(s.cpu_s() for s in shards), front.cpu_s()]
    results = publish_from(machine, front, processes, *bench.amount(bench.pick(1, 2, 5)))
    events = sum(r["events"] for r in results)
    counts = sink.wait_for(events)
    seconds = (counts["last_us"] - min(r["first_us"] for r in results)) / 1e6
    return {"rate": events / seconds,
            "shards_us": (sum(s.cpu_s() for s in shards) - before[0]) * 1e6 / events,
            "proxy_us": (front.cpu_s() - before[1]) * 1e6 / events if name else 0}


def measure_shards(bench):
    if not all(PROGRAMS.values()):
        return {"missing": [name for name, path in PROGRAMS.items() if not path]}
    return bench.rounds({
        f"{name or 'alone'} {processes}": lambda name=name, processes=processes: deliver(
            bench, name, processes)
        for processes in PUBLISHERS for name in (None, "haproxy", "nginx")
    }, rounds=bench.pick(1, 1, 3))


def write_shards(results, plots):
    del plots
    r = results["shards"]
    if "missing" in r:
        return f"Not measured: {', '.join(r['missing'])} is not installed.\n"
    labels = {"alone": "one instance, no proxy", "haproxy": f"{SHARDS} behind HAProxy",
              "nginx": f"{SHARDS} behind nginx"}
    rows = []
    for case, of in r.items():
        name, processes = case.split()
        proxy = median(of, "proxy_us")
        rows.append([processes, labels[name], median(of, "rate"), median(of, "shards_us"),
                     cell(proxy) if proxy else ""])
    return f"""\
All on one machine, end to end: {SESSIONS} sessions with a webhook each, published by so many processes with {CONNECTIONS}
connections each, without TLS. The proxies choose the instance by the session, as the files in etc/ do,
with one thread, or worker. Where the proxy takes more processor time than the instances it is what a
machine of its own is for.

{table(["publishers", "", "events/s", "CPU µs each, instances", "CPU µs each, proxy"], rows)}"""


SCENARIOS = [Scenario("shards", "Shards on one machine", True, measure_shards, write_shards)]
