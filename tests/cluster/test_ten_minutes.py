"""
What docs/cluster.md tells a new user to do, done on three hosts: the commands of its section 4, as
they stand there, with the files of etc/ that it names. Then a host is killed, and nothing is lost.

Each host has a name, and a layer of its own over /etc and /var/lib, which nobody else sees.
"""

import json
import re
import shutil
import subprocess
import textwrap

import pytest

from harness import BINARY, ROOT, environment, wait_until
from lab import run, within
from nats_server import find_program

DOCUMENT = ROOT / "docs/cluster.md"
ONCE, NATS, MEMBER, INIT, STATUS, PROXY = range(6)  # the blocks, in their order
EVENTS = 30

# Gives the host in $1 its name and its layers, which lie in $2, and waits to be killed.
HOST = r"""
set -eu
hostname "$1"
for folder in etc var/lib; do
	mkdir -p "$2/$folder.upper" "$2/$folder.work"
	mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$2/$folder.upper,workdir=$2/$folder.work" "/$folder"
done
mkdir -p /etc/nats /etc/waybill /etc/haproxy /var/lib/nats /var/lib/waybill
printf '127.0.0.1 localhost\n10.77.0.1 h1\n10.77.0.2 h2\n10.77.0.3 h3\n' >/etc/hosts
getent group waybill >/dev/null || echo waybill:x:64077: >>/etc/group
echo ready
exec sleep infinity
"""


def blocks():
    section = DOCUMENT.read_text().split("\n## 4. ")[1].split("\n## ")[0]
    found = [textwrap.dedent(text) for text in re.findall(r"^ *```sh\n(.*?)^ *```$", section, re.M | re.S)]
    assert len(found) == PROXY + 1
    return found


class Machine:
    """A host of the lab, as somebody who is root there has it."""

    def __init__(self, host, programs):
        self.host = host
        self.path = f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"
        keeper = subprocess.Popen(
            [*within(host.space), "unshare", "--mount", "--uts", "--propagation", "private",
             "sh", "-c", HOST, "sh", host.name, host.disk],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert keeper.stdout.readline() == "ready\n"
        keeper.stdout.close()
        host.processes["keeper"] = keeper
        # its root is not that of its mounts where all of this is in a chroot (make fresh)
        self.inside = ["nsenter", "-t", str(keeper.pid), "--mount", "--uts", "--net", "--root", "--wd"]
        shutil.copy(ROOT / "etc/nats/waybill.conf", self.path_of("etc", "nats/waybill.conf"))
        shutil.copy(ROOT / "etc/waybill.conf", self.path_of("etc", "waybill/waybill.conf"))
        shutil.copy(ROOT / "etc/haproxy/waybill-cluster.cfg",
                    self.path_of("etc", "haproxy/waybill-cluster.cfg"))

    def path_of(self, layer, name):
        """Where a file of it is, seen from outside."""
        return f"/proc/{self.host.processes['keeper'].pid}/root/{layer}/{name}"

    def sh(self, script, cwd="/"):
        """Does a block of the document; what it said."""
        done = subprocess.run(
            [*self.inside, "sh", "-euc", f"cd {cwd}\n{script}"], capture_output=True, text=True,
            env={"PATH": self.path, "LC_ALL": "C.UTF-8"}, timeout=60)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, kind, *command):
        with open(self.host.log_of(kind), "ab") as log:
            self.host.processes[kind] = subprocess.Popen(
                [*self.inside, *map(str, command)], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd="/", env=environment({"PATH": self.path}))

    def start_member(self):
        """What the package's unit does, whose folder it starts in."""
        unit = (ROOT / "etc/waybill.service").read_text()
        command = re.search(r"^ExecStart=/usr/bin/(.*)$", unit, re.M)[1]
        self.start("member", "sh", "-c", f"cd /var/lib/waybill && exec {command}")


@pytest.fixture
def machines(make_lab, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "waybill").symlink_to(BINARY)
    (programs / "nats-server").symlink_to(find_program())
    lab = make_lab()
    return lab, [Machine(host, programs) for host in lab.hosts]


def call(lab, folder, host, method, path, body=None):
    """The status and the JSON of an answer, asked by the fourth host, through a proxy."""
    done = subprocess.run(
        [*within(lab.client), "curl", "-s", "-m", "10", "--cacert", folder / "ca.pem",
         "--resolve", f"{host.name}:443:{host.address}", "-X", method, "-w", "\n%{http_code}",
         "-H", f"Authorization: Bearer {(folder / 'cluster.token').read_text().strip()}",
         *(["--json", json.dumps(body)] if body else []), f"https://{host.name}{path}"], capture_output=True, text=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status or 0), json.loads(text) if status == "202" or status == "200" else text


def publish(lab, folder, proxies, number):
    """As a publisher does: the same id again, until it is acknowledged."""
    body = {"event": "message", "id": f"e{number}", "data": {"n": number}}

    def acknowledged():
        for host in proxies:
            status, answer = call(lab, folder, host, "POST", "/api/v1/sessions/s/events", body)
            if status == 202:
                return answer["id"]
        return None

    return wait_until(acknowledged, timeout=60, what="an acknowledgement")


def test_ten_minutes(machines, tmp_path):
    lab, hosts = machines
    steps = blocks()
    run("sh", "-euc", f"cd {tmp_path}\n{steps[ONCE]}")
    folder = tmp_path / "cluster"
    for machine in hosts:
        shutil.copytree(folder, machine.path_of("etc", "the-copy"))
        machine.sh(steps[NATS], "/etc/the-copy")
        machine.start("nats", "nats-server", "-c", "/etc/nats/waybill.conf")
    for machine in hosts:
        assert machine.sh(steps[MEMBER], "/etc/the-copy").endswith(": ok\n")
    assert "shard s is there, on 3" in hosts[1].sh(steps[INIT], "/etc/the-copy")
    status = ""
    for n, machine in enumerate(hosts):
        machine.start_member()
        if n == 0:
            wait_until(lambda: "owns the shard" in lab.hosts[0].log_of("member").read_text(), 30,
                       "the owner")

    def three():
        nonlocal status
        status = hosts[2].sh(steps[STATUS], "/etc/the-copy")
        return "copies 3" in status and len(re.findall(r"^h\d ", status, re.M)) == 3

    wait_until(three, timeout=60, what="three members")
    assert status.startswith("role active  shard s  member h1  epoch 1"), status
    for machine in hosts:
        machine.sh(steps[PROXY], "/etc/the-copy")
        machine.start("proxy", "haproxy", "-db", "-f", "/etc/haproxy/waybill-cluster.cfg")
    wait_until(lambda: call(lab, folder, lab.hosts[0], "POST", "/api/v1/sessions/s/webhooks",
                            {"url": "https://receiver.example/"})[0] == 200, what="a webhook")
    ids = [publish(lab, folder, lab.hosts, n) for n in range(EVENTS)]
    lab.hosts[0].kill()
    left = lab.hosts[1:]
    ids += [publish(lab, folder, left, n) for n in range(EVENTS, 2 * EVENTS)]
    for event in ids:
        status, shown = call(lab, folder, left[0], "GET", f"/api/v1/events/{event}")
        assert status == 200 and shown["id"] == event, (status, shown)
    for host in lab.hosts:
        said = host.log_of("nats").read_text() + host.log_of("member").read_text()
        assert "Permissions Violation" not in said
        assert "handshake error" not in said
        assert "nobody has looked" not in said and "cannot look" not in said
        assert "everybody on this machine can read" not in said
