"""What `make run` runs, etc/run-dev, where its port is taken."""

import re
import socket
import subprocess

from harness import ROOT, environment


def run_dev(listen):
    return subprocess.run(
        [ROOT / "etc" / "run-dev"], capture_output=True, text=True, timeout=30,
        env={**environment(), "WAYBILL_LISTEN": listen},
    )


def expect_a_way(done, listen):
    host, port = listen.rsplit(":", 1)
    assert done.returncode == 1 and done.stdout == ""  # no promise of what does not serve
    assert f"{listen} is taken by another program" in done.stderr
    (other,) = re.findall(r"(?m)^  WAYBILL_LISTEN=(\S+) make run$", done.stderr)
    assert other == f"{host}:{int(port) + 1}"


def test_port_of_another_waybill(gateway):
    listen = "%s:%d" % gateway.address
    expect_a_way(run_dev(listen), listen)


def test_port_of_a_program_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        listen = "%s:%d" % server.getsockname()
        expect_a_way(run_dev(listen), listen)
