"""
The programs that a benchmark runs, on this machine: sinks, gateways, what drives them, what
they cost. A Machine owns a directory and all processes begun with it, and ends both.

A Gateway is whatever takes events by HTTP and delivers them: waybill, the bare loop, BullMQ.
All are driven and measured the same way, by Machine.load() and Machine.deliver().
"""

import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("BENCH_PROGRAMS") or ROOT / "build" / "bench")
WAYBILL = pathlib.Path(os.environ.get("WAYBILL") or ROOT / "build" / "waybill")
MEMORY_DIR = pathlib.Path("/dev/shm")  # a tmpfs: a flush costs nothing there
# Whoever is not root sees what memory the gateway has where core_dumps is on alone.
IN_SIGHT = () if os.geteuid() == 0 else ("--core-dumps", "on")
READY = re.compile(r"ready on (https?)://127\.0\.0\.1:(\d+)")
START_S = 60  # for a program to be ready
STILL_S = float(os.environ.get("BENCH_STILL_S") or 60)  # without a delivery: some are lost
SECRET = "bench"
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """A benchmark can't go on: a program failed, or an event was lost."""


class Process:
    """A program in the background, and what /proc says of it."""

    def __init__(self, machine, argv, env=None, ready=True, cwd=None):
        self.log = machine.new_file("log")
        self.name = pathlib.Path(argv[0]).name
        with open(self.log, "w", encoding="utf-8") as out:
            self.popen = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                env={**machine.env, **(env or {})}, cwd=cwd,
            )
        self.pids = [self.popen.pid]  # what cpu_s() counts
        self.port = None
        self.scheme = "http"
        machine.processes.append(self)
        if ready:
            self.scheme, port = self.wait_ready()
            self.port = int(port)

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_ready(self):
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            match = READY.search(self.text())
            if match:
                return match.groups()
            if self.popen.poll() is not None:
                break
            time.sleep(0.01)
        raise Failure(f"{self.name} does not start: {self.text()[-500:]}")

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def cpu_s(self):
        """Processor time so far, user and system, of all its threads and helpers."""
        total = 0
        for pid in self.pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total * TICK_S

    def memory_kib(self):
        """What is resident, without the file pages of the store's map."""
        total = 0
        counts = True
        for line in pathlib.Path(f"/proc/{self.popen.pid}/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                counts = not line.endswith("waybill.mdb")
            elif counts and line.startswith("Rss:"):
                total += int(line.split()[1])
        return total

    def stop(self):
        """Ends it, and insists on a good end."""
        self.popen.send_signal(signal.SIGTERM)
        self.wait(START_S)

    def wait(self, seconds):
        """Waits for its end, which must be a good one."""
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} does not end within {seconds} s") from None
        if status != 0:
            raise Failure(f"{self.name} ended with {status}: {self.text()[-500:]}")

    def kill(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()


class Sink(Process):
    """A receiver: bench/sink.c."""

    def __init__(self, machine, *options, secret=SECRET):
        secret_options = ["--secret", secret] if secret else []
        super().__init__(machine, [PROGRAMS / "sink", *secret_options, *options])
        self.context = ssl._create_unverified_context() if self.scheme == "https" else None

    def counts(self, path="/"):
        try:
            with urllib.request.urlopen(f"{self.url}/count{path}", context=self.context) as answer:
                return json.load(answer)
        except urllib.error.URLError as error:
            raise Failure(f"the sink is gone ({error}, status {self.popen.poll()}): "
                          f"{self.text()[-500:]}") from None

    def wait_for(self, wanted, path="/"):
        """Waits until so many deliveries have come, each counted once; returns the counts."""
        seen, since = -1, time.monotonic()
        while True:
            counts = self.counts(path)
            if counts["forged"]:
                raise Failure(f"{counts['forged']} deliveries had a wrong signature")
            if counts["unique"] >= wanted:
                return counts
            if counts["unique"] != seen:
                seen, since = counts["unique"], time.monotonic()
            elif time.monotonic() - since > STILL_S:
                raise Failure(f"of {wanted} deliveries {seen} arrived")
            time.sleep(0.05)


class Waybill(Process):
    def __init__(self, machine, store=None, flags=(), env=None, prefix=(), port=0):
        self.machine = machine
        self.store = store or machine.new_dir("store")
        super().__init__(
            machine,
            [*prefix, WAYBILL, "serve", "--listen", f"127.0.0.1:{port}", "--data", self.store,
             "--allow-cidr", "127.0.0.0/8", "--log-level", "error",
             "--max-connections-per-address", "100000", *IN_SIGHT, *flags],
            env,
        )

    def register(self, url, session="bench0", **fields):
        fields = {"url": url, "secret": SECRET, "max_in_flight": 64, **fields}
        return self.make(f"sessions/{session}/webhooks", fields)

    def add_source(self, **fields):
        return self.make("sources", {"name": "bench", **fields})

    def make(self, path, fields):
        return self.call("POST", path, fields)

    def call(self, method, path, fields=None):
        """A call of the API, below /api/v1; returns what it answers."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}",
            None if fields is None else json.dumps(fields).encode(),
            {"Authorization": f"Bearer {self.machine.token}",
             "Content-Type": "application/json"}, method=method,
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def metrics(self):
        """All samples of /metrics, by name with labels."""
        request = urllib.request.Request(f"{self.url}/metrics",
                                         headers={"Authorization": f"Bearer {self.machine.token}"})
        with urllib.request.urlopen(request) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def file_kib(self):
        return (self.store / "waybill.mdb").stat().st_size / 1024


class Machine:
    def __init__(self, data):
        if not WAYBILL.exists() or not (PROGRAMS / "load").exists():
            raise Failure("build/waybill or build/bench is missing: make bench-programs")
        data.mkdir(parents=True, exist_ok=True)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir=data.resolve()))
        self.memory_dir = None
        self.processes = []
        self.files = 0
        self.token = secrets.token_hex(16)
        self.env = {**os.environ, "WAYBILL_TOKEN": self.token}

    def new_file(self, suffix):
        self.files += 1
        return self.dir / f"{self.files}.{suffix}"

    def new_dir(self, suffix):
        path = self.new_file(suffix)
        path.mkdir()
        return path

    def new_memory_dir(self):
        """A directory that is on no disk, or None."""
        if self.memory_dir is None and os.access(MEMORY_DIR, os.W_OK):
            self.memory_dir = pathlib.Path(tempfile.mkdtemp(prefix="bench.", dir=MEMORY_DIR))
        return self.memory_dir and pathlib.Path(tempfile.mkdtemp(dir=self.memory_dir))

    def end_processes(self):
        """Ends what a measurement has left, and drops what it wrote."""
        for process in reversed(self.processes):
            process.kill()
        self.processes = []
        for path in [*self.dir.iterdir(), *(self.memory_dir.iterdir() if self.memory_dir else [])]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self):
        self.end_processes()
        shutil.rmtree(self.dir)
        if self.memory_dir:
            shutil.rmtree(self.memory_dir)

    def run(self, program, *options):
        """Runs a program to its end; returns the JSON that it prints."""
        argv = [str(word) for word in (PROGRAMS / program, *options)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.env)
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise Failure(f"{' '.join(argv)}: {done.stdout}{done.stderr}") from None

    def load(self, gateway, *options):
        """Drives a gateway as bench/load.c is told; returns what came of it."""
        result = self.run("load", "--port", gateway.port, *options)
        if not result["accepted"] or result["refused"] or result["unanswered"]:
            raise Failure(f"not everything was accepted: {result}\n{gateway.text()[-500:]}")
        return result

    def publish(self, gateway, *options):
        """The same, with the gateway's processor time for each event."""
        before = gateway.cpu_s()
        result = self.load(gateway, *options)
        result["cpu_us"] = (gateway.cpu_s() - before) * 1e6 / result["events"]
        return result

    def deliver(self, gateway, sink, *options, fan_out=1):
        """
        Publishes and waits until all has been delivered. Returns the rates in events and
        deliveries a second from the first publish to the last receipt, the processor time for
        each event, and the times from when an event was to be published to its receipt.
        """
        before = gateway.cpu_s()
        result = self.load(gateway, *options)
        counts = sink.wait_for(result["events"] * fan_out)
        cpu_us = (gateway.cpu_s() - before) * 1e6 / result["events"]
        seconds = (counts["last_us"] - result["first_us"]) / 1e6
        return {
            "events": result["events"],
            "rate": result["events"] / seconds,
            "deliveries_rate": counts["unique"] / seconds,
            "published_rate": result["rate"],
            "cpu_us": cpu_us,
            "publish": {name: result[name] for name in LATENCY},
            "receipt": {name: counts[name] for name in LATENCY},
            "repeated": counts["requests"] - counts["failed"] - counts["unique"],
        }


LATENCY = ("p50_us", "p99_us", "p999_us", "max_us", "curve")
