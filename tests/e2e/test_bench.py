"""
The benchmarks still run, all of them, and write what they are to write: each scenario once, with
so few events that its figures mean nothing. That nothing was lost or forged they check themselves.
"""

import hmac
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import requests

from harness import BINARY, ROOT

sys.path.insert(0, str(ROOT / "bench"))

import instructions  # noqa: E402  (found by the line before)
import run as bench  # noqa: E402
from suite.machine import SECRET, Failure, Machine, Sink, Waybill  # noqa: E402

pytestmark = pytest.mark.skipif("asan" in BINARY, reason="they measure what is installed")
NAMES = [scenario.name for scenario in bench.SCENARIOS]


def run_bench(tmp_path, *options):
    return subprocess.run(
        [ROOT / "bench" / "run.py", "--quick", "--data", tmp_path / "data", "--out",
         tmp_path / "benchmarks.md", "--results", tmp_path / "results.json", *options],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "WAYBILL": BINARY},
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_scenario_runs_and_writes_its_section(name, tmp_path):
    done = run_bench(tmp_path, "--only", name)
    assert done.returncode == 0, done.stdout
    assert list(json.loads((tmp_path / "results.json").read_text())) == [name]
    title = next(s.title for s in bench.SCENARIOS if s.name == name)
    section = (tmp_path / "benchmarks.md").read_text().split(f"\n## {title}\n")[1]
    if "Not measured" in section:
        pytest.skip(section.strip())
    assert re.search(r"^\| .* \| [0-9.]+ \|", section, re.M), section
    for plot in re.findall(r"!\[.*\]\((.*)\)", section):
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "data").iterdir())


def test_event_that_is_lost_fails_the_scenario_and_its_section_says_so(tmp_path, monkeypatch):
    # a gateway that accepts and never delivers
    fake = tmp_path / "fake"
    fake.write_text(f"#!/bin/sh\nexec {ROOT}/build/bench/parts evhttp\n")
    fake.chmod(0o755)
    monkeypatch.setenv("BENCH_STILL_S", "1")
    monkeypatch.setattr(sys.modules[__name__], "BINARY", str(fake))
    done = run_bench(tmp_path, "--only", "growth")
    assert done.returncode == 1, done.stdout
    assert "**Failed: of 200 deliveries 0 arrived**" in (tmp_path / "benchmarks.md").read_text()


def test_results_of_an_older_version_fail_their_section_alone(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"fan_out": {"command": "x", "on": "y", "result": {}}}))
    done = run_bench(tmp_path, "--redraw")
    assert done.returncode == 0, done.stdout
    text = (tmp_path / "benchmarks.md").read_text()
    assert "**Failed: its results are of another version, without 'curl'**" in text
    assert "## Beside the peers" in text


def test_unknown_scenario_is_named(tmp_path):
    done = run_bench(tmp_path, "--only", "nothing")
    assert done.returncode == 2
    assert "no scenario is called nothing" in done.stdout and "limits" in done.stdout


# What publishes and what receives


@pytest.fixture
def machine(tmp_path):
    owner = Machine(tmp_path / "data")
    yield owner
    owner.close()


def post(sink, event_id, signature, body=b"{}"):
    headers = {"X-Webhook-Id": event_id, "X-Webhook-Signature": signature}
    return requests.post(f"{sink.url}/hook", data=body, headers=headers, timeout=30).status_code


def sign(body):
    return "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest()


def test_sink_checks_signatures_and_counts_each_delivery_once(machine):
    sink = Sink(machine)
    assert post(sink, "a", sign(b"{}")) == 200
    assert post(sink, "a", sign(b"{}")) == 200  # a repeat
    assert post(sink, "b", sign(b"{} ")) == 401
    assert post(sink, "c", sign(bytes(300000)), bytes(300000)) == 200
    counts = sink.counts()
    assert (counts["requests"], counts["unique"], counts["forged"]) == (4, 2, 1)
    with pytest.raises(Failure, match="1 deliveries had a wrong signature"):
        sink.wait_for(2)


def test_sink_fails_as_told_and_does_not_count_that_as_received(machine):
    sink = Sink(machine, "--fail-every", 2)
    assert [post(sink, str(i), sign(b"{}")) for i in range(4)] == [200, 503, 200, 503]
    counts = sink.counts()
    assert (counts["requests"], counts["unique"], counts["failed"]) == (4, 2, 2)


def test_latency_counts_from_when_a_request_was_due(machine):
    # one connection, 50 ms for an answer, a request due each 10 ms: the last of 20 waits 0.8 s
    sink = Sink(machine, "--delay-ms", 50, secret=None)
    result = machine.load(sink, "--connections", 1, "--rate", 100, "--requests", 20)
    assert result["max_us"] >= 800000 and result["p50_us"] >= 400000


@pytest.mark.parametrize("depth", [1, 8, 64])
def test_pipelined_requests_are_each_answered_once(machine, depth):
    sink = Sink(machine, secret=None)
    result = machine.load(sink, "--connections", 2, "--pipeline", depth, "--requests", 1000,
                          "--seconds", 60)
    assert result["accepted"] == sink.counts()["requests"] == 1000
    assert result["measured"] == 1000


def test_sizes_are_lognormal_and_small_bodies_are_told_apart(machine):
    """Half of them above the median, give or take what is cut off at both ends."""
    sink = Sink(machine, "--small", 2000, secret=None)
    machine.load(sink, "--requests", 2000, "--seconds", 60, "--body", 300, "--median", 2000,
                 "--body-max", 40000)
    counts = sink.counts()
    assert counts["requests"] == counts["measured"] == 2000
    assert 800 < counts["small"]["measured"] < 1200
    machine.load(sink, "--requests", 100, "--body", 2001)
    assert sink.counts()["small"]["measured"] == counts["small"]["measured"]
    with pytest.raises(Failure, match="usage: load"):
        machine.load(sink, "--body", 300, "--median", 200, "--body-max", 400)


def test_sink_is_everywhere_by_one_socket(machine):
    sink = Sink(machine, "--everywhere", secret=None)
    for host in ("127.0.0.1", "127.1.0.1", "127.2.3.4"):
        requests.post(f"http://{host}:{sink.port}/hook", data=b"{}", timeout=30,
                      headers={"X-Webhook-Id": host}).raise_for_status()
    assert sink.counts()["unique"] == 3


def test_events_come_to_a_source_as_they_are_published(machine):
    """The same events, with the preset's proof: all are taken, delivered, and told apart."""
    sink = Sink(machine)
    gateway = Waybill(machine)
    gateway.register(f"{sink.url}/hook")
    made = gateway.add_source(preset="openwa")
    door = ("--door", made["path"], "--secret", made["secret"])
    assert machine.load(gateway, "--requests", 200, *door)["accepted"] == 200
    assert sink.wait_for(200)["unique"] == 200
    machine.load(gateway, "--requests", 200, *door)  # repeats, each answered as it was
    machine.load(gateway, "--requests", 100, "--ids")
    assert sink.wait_for(300)["unique"] == 300
    with pytest.raises(Failure, match="not everything was accepted"):
        machine.load(gateway, "--requests", 5, *door[:-1], "another secret")


# What counts instructions

CALLGRIND = """\
events: Ir
ob=(1) /usr/lib/x86_64-linux-gnu/libcurl.so.4.8.0
fn=(1) curl_multi_perform
16 400
cob=(2) /x/build/waybill
cfn=(2) main
calls=3 20
+3 5000
* 7
ob=(2)
fn=(2)
20 30
ob=(3) /usr/lib/ld-linux-x86-64.so.2
fn=(3) _dl
-4 2
"""


def test_instructions_are_counted_where_they_ran_not_where_they_were_called(tmp_path):
    path = tmp_path / "callgrind.out"
    path.write_text(CALLGRIND)
    costs = instructions.count(path)
    assert costs == {**dict.fromkeys(instructions.LIBRARIES, 0), "libcurl": 407, "waybill": 30,
                     "other": 2}


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")
def test_instructions_are_kept_and_compared_with_the_last(tmp_path):
    out = tmp_path / "instructions.txt"
    command = [ROOT / "bench" / "instructions.py", "--events", "100", "--runs", "1", "--out", out,
               "--data", tmp_path / "data"]
    env = {**os.environ, "WAYBILL": BINARY}
    first = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env).stdout
    assert re.search(r"^waybill  total +\d+  \(new\)$", first, re.M)
    kept = instructions.read(out)
    assert kept["total", "parts"] < kept["total", "waybill"] < kept["total", "source"]
    old = f"{kept['total', 'lmdb']:.0f}"
    out.write_text(out.read_text().replace(old, f"{int(old) * 2}"))
    command += ["--only", "lmdb"]
    second = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env).stdout
    assert re.search(rf"^lmdb     total .* it was {int(old) * 2}\)$", second, re.M), second
    assert instructions.read(out)["waybill", "source"] == kept["waybill", "source"]
