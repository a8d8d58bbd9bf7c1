"""
Three hosts of a cluster and a fourth with its users, as network namespaces on a bridge that lies
in a fifth: nothing of it is in the machine's own. Each host has a NATS server, a member of the
shard and HAProxy, each with a disk of its own, which is a file: so power can be cut.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time

from harness import BINARY, environment, wait_until
from nats_server import find_program

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PYTHON = "/usr/bin/python3"
TOKEN = "cluster-trial"
EXT4_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN: what was not synced is lost
DISK_BYTES = 1 << 30
MEMORY = pathlib.Path("/dev/shm")  # three hosts have a disk each; here all would share one
PUBLISHERS = 64
SEEDS = ",".join(f"nats://10.77.0.{i}:4222" for i in (1, 2, 3))


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def leads(stream, host):
    """Whether a host's server leads a stream, as that says itself."""
    return (stream.get("cluster") or {}).get("leader") == host.name


def within(space):
    """
    What a command begins with that is to run in a namespace. Not `ip netns exec`, which gives it
    mounts of its own: a disk would be held by whoever ran when another host's power was cut.
    """
    return ["nsenter", f"--net=/run/netns/{space}"]


def unmount(folder):
    """Whoever still has a file open there: its loop device goes with the last one."""
    subprocess.run(["umount", "-l", folder], capture_output=True)


def remove_space(name):
    """A namespace, and what runs in it; none is fine too."""
    listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
    for pid in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)


def is_test_run(pid):
    try:
        return b"python" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def sweep():
    """Removes what runs have left that were killed: processes, namespaces, disks."""
    spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    for line in spaces.splitlines():
        name = re.match(r"wb(\d+)(?:hub|c|h\d|try)\b", line)
        if name and not is_test_run(name[1]):
            remove_space(name[0])
    for images in MEMORY.glob("wb*-*"):
        if is_test_run(images.name[2:].split("-")[0]):
            continue
        for disk in images.glob("h?"):
            unmount(disk)
        shutil.rmtree(images, ignore_errors=True)


def tail(path, lines):
    """The last lines of a file; of one that is not there, none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 200 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


class Host:
    """One of the three."""

    def __init__(self, lab, number):
        self.lab = lab
        self.number = number
        self.name = f"h{number}"
        self.space = f"{lab.prefix}{self.name}"
        self.address = f"10.77.0.{number}"
        self.disk = lab.images / self.name
        self.image = lab.images / f"{self.name}.img"
        self.processes = {}
        self.options = {}
        self.preload = None
        self.program = BINARY  # of its member

    # --- its disk

    def mount(self):
        if not self.image.exists():
            with open(self.image, "wb") as file:
                file.truncate(DISK_BYTES)
            run("mkfs.ext4", "-q", "-F", self.image)
        self.disk.mkdir(exist_ok=True)
        run("mount", "-o", "loop", self.image, self.disk)

    def unmount(self):
        unmount(self.disk)

    def cut_power(self):
        """All ends at once, and what no fsync was asked for is gone."""
        fd = os.open(self.disk, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(fd)
        self.kill()
        self.unmount()
        self.plug()

    def plug(self):
        """
        What is mounted next is another device with the same bytes: somebody else on the machine
        who has made a namespace of mounts meanwhile holds the old one, which stays shut down.
        """
        fresh = self.image.with_suffix(".new")
        run("cp", "--sparse=always", self.image, fresh)
        fresh.replace(self.image)

    def delete_disk(self):
        self.kill()
        for child in self.disk.iterdir():
            if child.name != "lost+found":
                shutil.rmtree(child)

    # --- its processes

    def log_of(self, kind):
        return self.lab.folder / f"{self.name}-{kind}.log"

    def spawn(self, kind, *command, env=None):
        with open(self.log_of(kind), "ab") as log:
            self.processes[kind] = subprocess.Popen(
                [*within(self.space), *[str(c) for c in command]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment(env or {}),
            )

    def start_nats(self):
        conf = self.lab.folder / f"{self.name}-nats.conf"
        routes = ", ".join(f'"nats://10.77.0.{i}:6222"' for i in (1, 2, 3))
        conf.write_text(
            f"server_name: {self.name}\nlisten: {self.address}:4222\n"
            f"http: {self.address}:8222\nping_interval: 2s\n"
            f"jetstream {{ store_dir: {json.dumps(str(self.disk / 'nats'))}\n"
            f"  sync_interval: {self.lab.sync_interval}\n  max_file_store: 800MB }}\n"
            f"cluster {{ name: lab, listen: {self.address}:6222, routes: [{routes}] }}\n"
        )
        self.spawn("nats", find_program(), "-c", conf)

    def start_member(self):
        options = {
            "listen": f"{self.address}:8080",
            "data": self.disk / "waybill",
            "allow_cidr": "10.77.0.0/24",
            "shard": "one",
            "member": self.name,
            "cluster": ",".join(self.servers()),
            "cluster_url": f"http://{self.address}:8080",
            "cluster_replicas": 3,
            "cluster_token_file": self.lab.token_file,
            "retry_schedule": "200ms,500ms,1s,2s,5s,10s",
            "store_max_bytes": "512MiB",
            **self.lab.options,
            **self.options,
        }
        env = {"WAYBILL_TOKEN": TOKEN}
        if self.preload:
            env.update(self.preload)
        settings = [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
        self.spawn("member", self.program, "serve", *settings, env=env)

    def servers(self):
        """Its own first."""
        order = [(self.number - 1 + i) % 3 + 1 for i in range(3)]
        return [f"nats://10.77.0.{i}:4222" for i in order]

    def start_proxy(self):
        """As etc/haproxy/waybill-cluster.cfg, of which this is what a takeover meets."""
        servers = "\n".join(f"  server h{i} 10.77.0.{i}:8080 check" for i in (1, 2, 3))
        conf = self.lab.folder / f"{self.name}-haproxy.cfg"
        conf.write_text(
            "global\n  maxconn 2000\ndefaults\n  mode http\n  timeout connect 2s\n"
            "  timeout client 60s\n  timeout server 60s\n  timeout check 2s\n  retries 0\n"
            f"frontend f\n  bind {self.address}:80\n  default_backend b\n"
            "backend b\n  option httpchk GET /readyz\n  default-server inter 500ms"
            " fastinter 250ms fall 1 rise 1 on-marked-down shutdown-sessions\n"
            f"{servers}\n"
        )
        self.spawn("proxy", "haproxy", "-db", "-f", conf)

    def start(self):
        self.start_nats()
        self.start_member()
        self.start_proxy()

    def signal(self, kind, number):
        """To the process itself: nsenter has become it."""
        self.processes[kind].send_signal(number)

    def kill(self, *kinds):
        for kind in kinds or list(self.processes):
            process = self.processes.pop(kind, None)
            if process is not None:
                process.kill()
                process.wait()

    def keep_member(self):
        """What a unit does: one that has ended is started again. Whether it was."""
        process = self.processes.get("member")
        if process is None or process.poll() is None:
            return False
        self.lab.ends.append((self.name, process.returncode))
        self.start_member()
        return True

    # --- its network

    def cut(self):
        run("ip", "-n", self.lab.hub, "link", "set", f"v{self.number}", "down")

    def heal(self):
        run("ip", "-n", self.lab.hub, "link", "set", f"v{self.number}", "up")

    # --- what it says

    def ask(self, path, method="GET"):
        """The JSON of an answer, asked on the host itself; None where there is none."""
        done = subprocess.run(
            [*within(self.space), "curl", "-s", "-m", "2", "-X", method,
             "-H", f"Authorization: Bearer {TOKEN}", f"http://{self.address}:8080{path}"],
            capture_output=True, text=True,
        )
        try:
            return json.loads(done.stdout)
        except ValueError:
            return None

    def streams(self):
        """The streams that its server of NATS has; none where it does not say."""
        done = subprocess.run(
            [*within(self.space), "curl", "-s", "-m", "2",
             f"http://{self.address}:8222/jsz?streams=true"],
            capture_output=True, text=True,
        )
        try:
            accounts = json.loads(done.stdout).get("account_details", [])
        except ValueError:
            return {}
        return {s["name"]: s for a in accounts for s in a.get("stream_detail", [])}

    def sync(self):
        """All that was written so far is on its disk."""
        run("sync", "-f", self.disk)

    @property
    def role(self):
        answer = self.ask("/api/v1/cluster") or {}
        return answer.get("role")


class Lab:
    def __init__(self, folder, sync_interval="always", **options):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prefix = f"wb{os.getpid()}"
        self.images = pathlib.Path(tempfile.mkdtemp(prefix=f"{self.prefix}-", dir=MEMORY))
        self.hub = f"{self.prefix}hub"
        self.client = f"{self.prefix}c"
        self.sync_interval = sync_interval
        self.options = {"cluster_max_bytes": "256MiB", **options}
        self.hosts = [Host(self, i) for i in (1, 2, 3)]
        self.ends = []  # members that have ended, and how
        self.token_file = self.folder / "token"
        self.token_file.write_text(TOKEN)
        self.token_file.chmod(0o600)
        self.workload = None
        self.keep = False  # its folder: the trial has failed
        self.said = ""  # by the last `waybill cluster init`

    # --- up and down

    def build(self):
        run("ip", "netns", "add", self.hub)
        run("ip", "-n", self.hub, "link", "add", "name", "hub0", "type", "bridge")
        run("ip", "-n", self.hub, "link", "set", "hub0", "up")
        spaces = [(host.space, host.number) for host in self.hosts] + [(self.client, 9)]
        for space, number in spaces:
            run("ip", "netns", "add", space)
            run("ip", "-n", self.hub, "link", "add", f"v{number}", "type", "veth", "peer", "name",
                "eth0", "netns", space)
            run("ip", "-n", self.hub, "link", "set", f"v{number}", "master", "hub0")
            run("ip", "-n", self.hub, "link", "set", f"v{number}", "up")
            run("ip", "-n", space, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            run("ip", "-n", space, "link", "set", "eth0", "up")
            run("ip", "-n", space, "link", "set", "lo", "up")
        for host in self.hosts:
            host.mount()
        return self

    def start(self):
        for host in self.hosts:
            host.start_nats()
        self.init()
        for host in self.hosts:
            host.start_member()
            host.start_proxy()
        self.wait_active()

    def init(self):
        """As an operator does: again until the servers have elected who leads."""
        command = [*within(self.hosts[0].space), BINARY, "cluster", "init",
                   "--shard=one", "--member=h1", f"--cluster={SEEDS}",
                   "--cluster-url=http://10.77.0.1:8080", "--cluster-replicas=3",
                   f"--cluster-max-bytes={self.options['cluster_max_bytes']}"]

        def made():
            done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                                  env=environment({}))
            self.said = done.stderr
            return done.returncode == 0

        try:
            wait_until(made, timeout=60, what="waybill cluster init")
        except AssertionError as late:
            raise AssertionError(f"{late}; it said: {self.said}") from late

    def close(self):
        if self.workload is not None:
            self.workload.kill()
            self.workload.wait()
            self.workload.stdin.close()
            self.workload.stdout.close()
        for host in self.hosts:
            host.kill()
        for space in [self.hub, self.client, *[host.space for host in self.hosts]]:
            remove_space(space)
        for host in self.hosts:
            host.unmount()
        shutil.rmtree(self.images)

    def report(self):
        """What a trial that failed has to tell: pairs of a title and a text."""
        parts = [("files", str(self.folder)),
                 ("members that have ended", "\n".join(map(str, self.ends))),
                 ("publishers", tail(self.folder / "workload.log", 20))]
        for host in self.hosts:
            said = json.dumps(host.ask("/api/v1/cluster"))
            parts.append((f"{host.name}, which says", said))
            parts.append((f"member of {host.name}", tail(host.log_of("member"), 30)))
            parts.append((f"nats of {host.name}", tail(host.log_of("nats"), 15)))
        return [(title, text) for title, text in parts if text]

    # --- who is who

    def active(self, among=None):
        return next((h for h in among or self.hosts if h.role == "active"), None)

    def wait_active(self, timeout=40, among=None):
        found = []

        def there():
            for host in self.hosts:
                host.keep_member()
            found[:] = [h for h in [self.active(among)] if h is not None]
            return found

        wait_until(there, timeout=timeout, what="an active member")
        return found[0]

    def standbys(self):
        return [h for h in self.hosts if h.role == "standby"]

    # --- load

    def begin_load(self, publishers=PUBLISHERS, pad_bytes=200):
        active = self.wait_active()
        for i in range(publishers):
            body = {"url": "http://10.77.0.9:9000/", "max_in_flight": 4}
            if i % 3 < 2:
                body["ordering"] = {0: "fifo", 1: {"key": "/data/chat"}}[i % 3]
            done = run(*within(self.client), "curl", "-s", "-f", "-m", "20",
                       "-H", f"Authorization: Bearer {TOKEN}", "--json", json.dumps(body),
                       f"http://{active.address}:8080/api/v1/sessions/s{i}/webhooks")
            assert "id" in json.loads(done)
        with open(self.folder / "workload.log", "ab") as log:
            self.workload = subprocess.Popen(
                [*within(self.client), PYTHON, HERE / "workload.py", "9000", TOKEN,
                 str(publishers), str(pad_bytes), *[f"http://{h.address}:80" for h in self.hosts]],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )
        assert json.loads(self.workload.stdout.readline())["ready"]

    def tell(self, *words):
        self.workload.stdin.write(" ".join(map(str, words)) + "\n")
        self.workload.stdin.flush()
        line = self.workload.stdout.readline()
        assert line, (self.folder / "workload.log").read_text()
        return json.loads(line)

    def pass_time(self, seconds):
        """Time goes by; members that end are started again, as their units do."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for host in self.hosts:
                host.keep_member()
            time.sleep(0.1)

    def end_load(self, drain=90):
        self.tell("stop")
        for host in self.hosts:
            host.keep_member()
        self.tell("drain", drain)
        return self.tell("end")

    # --- the journal, as the servers of NATS have it

    def journal_end(self, timeout=60):
        """The seq of the journal's last entry, once all servers have the stream."""
        ends = []

        def known():
            streams = [host.streams().get("WAYBILL_one") for host in self.hosts]
            ends[:] = [s["state"]["last_seq"] for s in streams if s is not None]
            return len(ends) == len(self.hosts) and any(leads(s, h) for s, h in
                                                        zip(streams, self.hosts, strict=True))

        wait_until(known, timeout=timeout, what="what the journal has")
        return max(ends)

    def wait_copies(self, timeout=120):
        """Each stream has a leader, and all that it has is on the other servers too."""
        said = []

        def current():
            said[:] = [host.streams() for host in self.hosts]
            led = [s for host, streams in zip(self.hosts, said, strict=True)
                   for s in streams.values() if leads(s, host)]
            replicas = [r for s in led for r in s["cluster"].get("replicas", [])]
            return len(led) == 2 and len(replicas) == 4 and all(
                r.get("current") and not r.get("offline") for r in replicas
            )

        try:
            wait_until(current, timeout=timeout, what="copies of the journal that are current")
        except AssertionError as late:
            raise AssertionError(f"{late}: {said}") from late

    # --- the stores

    def wait_level(self, timeout=60, lag=0):
        """All members follow, and are at most so many entries behind: 0, all have the same."""
        said = []

        def level():
            for host in self.hosts:
                host.keep_member()
            said[:] = [host.ask("/api/v1/cluster") or {} for host in self.hosts]
            roles = sorted(s.get("role", "") for s in said)
            return roles == ["active", "standby", "standby"] and all(
                s["journal"]["up"] and s["epoch"] > 0 and s["lag"] <= lag for s in said
            )

        try:
            wait_until(level, timeout=timeout, what="members that are level")
        except AssertionError as late:
            raise AssertionError(f"members are not level: {said}") from late

    def stop_members(self):
        """At once, so that nobody writes on: the active last hears of it."""
        for host in self.hosts:
            host.kill("proxy", "member")

    def dumps(self):
        """Every row of each store, of the members that have stopped."""
        dumps = []
        for host in self.hosts:
            done = subprocess.run(["mdb_dump", "-n", "-a", host.disk / "waybill/waybill.mdb"],
                                  capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            dumps.append([line for line in done.stdout.splitlines() if line.startswith(" ")])
        return dumps

    def compare(self, dumps):
        """Fails where one has other rows than another; their files are for `diff`."""
        if dumps[0] == dumps[1] == dumps[2]:
            return
        for host, rows in zip(self.hosts, dumps, strict=True):
            (self.folder / f"{host.name}.rows").write_text("\n".join(rows))
        counts = [len(set(rows)) for rows in dumps]
        common = len(set(dumps[0]) & set(dumps[1]) & set(dumps[2]))
        raise AssertionError(f"stores differ: {counts} lines, of which all have {common}")

    def fsck(self):
        for host in self.hosts:
            run(host.program, "fsck", host.disk / "waybill")
