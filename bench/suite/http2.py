"""
HTTP/2 beside HTTP/1.1, at receivers that speak both: nginx, which passes what comes to a sink,
where it is checked and counted as ever. Its log says over which connections it came.
"""

import json
import shutil
import socket
import time
import urllib.error

from .machine import START_S, Failure, Process
from .report import median, ratio, table
from .scenarios import Scenario, Sink
from .throughput import make_certificate

MANY = 20
LOADS = [("1 webhook", 1, 1), (f"{MANY} webhooks of one receiver", MANY, 1),
         (f"{MANY} webhooks, a receiver each", MANY, MANY)]  # title, webhooks, receivers
VERSIONS = {"1.1": "HTTP/1.1", "2": "HTTP/2.0"}  # as the log has them
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
IN_FLIGHT = 16  # of a webhook, as without the field
PATHS = "".join(f"\t{kind}_temp_path {{folder}}/{kind};\n" for kind in
                ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # of nginx, in its http { }
CONF = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
	log_format way '$connection $server_protocol';
	access_log {folder}/way way;
""" + PATHS + """\
	upstream sink {{ server 127.0.0.1:{sink}; keepalive 1024; keepalive_requests 100000000; }}
	server {{
		{listen}
		ssl_certificate {cert};
		ssl_certificate_key {key};
		keepalive_requests 100000000;
		location / {{
			proxy_pass http://sink;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}}
	}}
}}
"""


class Front(Process):
    """nginx before a sink, at so many addresses of one port, each a receiver of its own."""

    def __init__(self, machine, sink, receivers):
        self.addresses = [f"127.1.0.{n + 1}" for n in range(receivers)]
        self.cert, key = make_certificate(machine, self.addresses)
        self.folder = machine.new_dir("nginx")
        with socket.create_server((self.addresses[0], 0)) as taken:
            port = taken.getsockname()[1]
        listen = "\n\t\t".join(f"listen {a}:{port} ssl http2;" for a in self.addresses)
        conf = machine.new_file("conf")
        conf.write_text(CONF.format(folder=self.folder, sink=sink.port, listen=listen,
                                    cert=self.cert, key=key))
        super().__init__(machine, [NGINX, "-e", "stderr", "-c", conf], ready=False)
        self.port = port
        self.wait_listening()

    def wait_listening(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.popen.poll() is None:
            try:
                socket.create_connection((self.addresses[-1], self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        raise Failure(f"nginx does not start: {self.text()[-500:]}")

    def ways(self, wanted):
        """The connections that so many requests came over, and the versions they spoke."""
        deadline = time.monotonic() + START_S
        while True:  # it logs what it has answered
            lines = (self.folder / "way").read_text(encoding="utf-8").splitlines()
            if len(lines) >= wanted:
                break
            if time.monotonic() > deadline:
                raise Failure(f"of {wanted} deliveries {len(lines)} are in nginx's log")
            time.sleep(0.05)
        connections, versions = zip(*(line.split() for line in lines))
        return set(connections), set(versions)


def missing(bench):
    """Why nothing can be measured here, in words, or None."""
    if not NGINX:
        return "nginx is not installed"
    try:
        bench.waybill({"url": "https://127.0.0.1/", "http_version": "2"})
    except urllib.error.HTTPError as refused:
        error = json.load(refused)["error"]
        if error.get("field") != "http_version":
            raise Failure(error["message"]) from None
        return error["message"]
    finally:
        bench.machine.end_processes()
    return None


def measure(bench):
    lacking = missing(bench)
    if lacking:
        return {"missing": lacking}
    deliveries = bench.pick(200, 20000)

    def deliver(version, webhooks, receivers):
        sink = Sink(bench.machine)
        front = Front(bench.machine, sink, receivers)
        ca = front.cert.read_text()
        gateway = bench.waybill(*(
            {"url": f"https://{front.addresses[i % receivers]}:{front.port}/{i}", "ca_pem": ca,
             "http_version": version, "max_in_flight": IN_FLIGHT} for i in range(webhooks)))
        result = bench.machine.deliver(gateway, sink, "--requests", deliveries // webhooks,
                                       "--seconds", 60, fan_out=webhooks)
        connections, spoken = front.ways(result["events"] * webhooks)
        if spoken != {VERSIONS[version]}:
            raise Failure(f"of HTTP {version} came {', '.join(sorted(spoken))}")
        return {**result, "connections": len(connections)}

    return bench.rounds({
        f"{title}, {version}": lambda rest=rest, version=version: deliver(version, *rest)
        for title, *rest in LOADS for version in VERSIONS
    }, rounds=bench.pick(1, 1, 5))


def write(results, _plots):
    r = results["http2"]
    if "missing" in r:
        return f"Not measured: {r['missing']}.\n"
    rows = []
    for title, webhooks, _ in LOADS:
        base = r[f"{title}, 1.1"]
        for version in VERSIONS:
            found = r[f"{title}, {version}"]
            rows.append([
                f"{title}, HTTP/{version}", median(found, "rate"),
                ratio(median(found, "rate"), median(base, "rate")),
                median(found, "cpu_us") / webhooks,
                ratio(median(found, "cpu_us"), median(base, "cpu_us")),
                int(median(found, "connections"))])
    return f"""\
The same events by HTTPS, end to end, in both versions in turn; each webhook gets each event, with up
to {IN_FLIGHT} deliveries in flight, to one receiver 112 (`max_per_host`, less what is free for other sessions). The
receivers are one nginx, which does TLS and passes all to the sink by HTTP/1.1, on the same processors.
`bench/run.py --full --only http2` measures it, with libcurl 8.5 or newer.

{table(["", "events/s", "to 1.1", "CPU µs a delivery", "CPU to 1.1", "connections"], rows)}"""


SCENARIOS = [Scenario("http2", "HTTP/2 beside 1.1", True, measure, write)]
