"""
The journal over JetStream against the real server: tests/unit/journal_main.c appends, reads and
trims as it is told. Whatever dies, each entry stands once, in its place, or another does.
"""

import base64
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import BINARY, wait_until
from nats_server import NatsError, NatsServer

VARIANT = pathlib.Path(BINARY).parent  # build/asan, or build for what is released
TESTS = (VARIANT / "release" if VARIANT.name == "build" else VARIANT) / "tests"
DRIVER = TESTS / "journal_main"
MAX_BYTES = 50 << 20
WITHOUT_JETSTREAM = "accounts { A { users: [{user: a, password: b}] } }\nno_auth_user: a"


class Member:
    """A journal_main, that is told lines and says lines."""

    def __init__(self, servers, name, log):
        urls = ",".join(server.url for server in servers)
        self.lines = []
        self._log = log
        with open(log, "ab") as stream:
            self._popen = subprocess.Popen(
                [DRIVER, f"servers={urls}", "shard=s", f"member={name}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))

    def tell(self, *words):
        self._popen.stdin.write(" ".join(str(w) for w in words) + "\n")
        self._popen.stdin.flush()

    def wait(self, start, count=1, timeout=30):
        """The `count`-th line that begins so."""
        def find():
            found = [line for line in self.lines if line.startswith(start)]
            return found[count - 1] if len(found) >= count else None
        return wait_until(find, timeout=timeout,
                          what=f"line {start}… in {self.lines[-5:]}, {self.log()}")

    def ask(self, *words, answer=None, timeout=30):
        """What is said to this; the answer begins with its first word, or `answer`."""
        before = len(self.lines)
        self.tell(*words)
        start = answer or str(words[0])
        return wait_until(
            lambda: next((x for x in self.lines[before:] if x.startswith(start)), None),
            timeout=timeout, what=f"{start}… in {self.lines[before:]}, {self.log()}")

    def is_up(self):
        return self.why() == "up"

    def why(self):
        return self.ask("up", answer=("up", "down"))

    def append(self, behind, text, timeout=30):
        return self.ask("append", behind, text, answer="appended", timeout=timeout)

    def log(self):
        return pathlib.Path(self._log).read_text()[-3000:]

    def close(self):
        """Ends it, whatever is under way; it has to end well."""
        self._popen.stdin.close()
        status = self._popen.wait(20)
        self._reader.join()
        self._popen.stdout.close()
        assert status == 0, self.log()


class Shard:
    def __init__(self, directory):
        self.directory = directory
        self.servers = []
        self._members = []

    def streams(self, what, *servers, **options):
        """Makes the streams or looks at them; (status, text)."""
        urls = ",".join(server.url for server in servers or self.servers)
        options = {"max_bytes": MAX_BYTES, **options}
        done = subprocess.run(
            [DRIVER, f"servers={urls}", "shard=s", "member=m", f"streams={what}",
             *(f"{k}={v}" for k, v in options.items())], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    def make(self, **options):
        assert self.streams("make", **options) == (0, "ok\n")

    def member(self, name="m1", servers=None):
        log = self.directory / f"{name}.log"
        self._members.append(Member(servers or self.servers, name, log))
        return self._members[-1]

    def server(self, conf=""):
        number = len(self.servers) + 1
        self.servers.append(NatsServer(self.directory / f"nats{number}", conf))
        return self.servers[-1]

    def cluster(self):
        """Three servers of one cluster."""
        ports = [free_port() for _ in range(3)]
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
        for number, port in enumerate(ports, 1):
            self.server(f"server_name: n{number}\ncluster {{ name: c, "
                        f"listen: 127.0.0.1:{port}, routes: [{routes}] }}")

    def leader(self, asked):
        """The server that leads the journal's stream, as another one says."""
        name = asked.client().ask("STREAM.INFO.WAYBILL_s")["cluster"]["leader"]
        return self.servers[int(name[1:]) - 1]

    def entries(self, server, last):
        """What stands in the journal, from its beginning to `last`; while servers elect, later."""
        found = []

        def read(seq):
            try:
                return server.client().ask("STREAM.MSG.GET.WAYBILL_s", seq=seq)["message"]
            except NatsError:
                return None

        for seq in range(1, last + 1):
            message = wait_until(lambda s=seq: read(s), timeout=40, what=f"entry {seq}")
            found.append(base64.b64decode(message["data"]).decode())
        return found

    def close(self):
        for member in self._members:
            member.close()
        for server in self.servers:
            server.stop(signal.SIGKILL)


@pytest.fixture
def shard(tmp_path):
    shard = Shard(tmp_path)
    yield shard
    shard.close()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_streams_are_made_once_and_looked_at(shard):
    server = shard.server()
    status, text = shard.streams("check")
    assert status == 1 and text.startswith("not found\nstream WAYBILL_s: there is none\n")
    shard.make()
    shard.make()
    assert shard.streams("check") == (0, "ok\n")
    config = server.client().ask("STREAM.INFO.WAYBILL_s")["config"]
    assert config["discard"] == "new" and config["max_age"] == 0
    assert config["max_bytes"] == MAX_BYTES and config["storage"] == "file"
    config = server.client().ask("STREAM.INFO.WAYBILL_s_MEMBERS")["config"]
    assert config["max_msgs_per_subject"] == 1 and config["subjects"] == ["waybill.s.members.*"]


def test_each_setting_that_is_another_is_named(shard):
    server = shard.server()
    shard.make()
    config = server.client().ask("STREAM.INFO.WAYBILL_s")["config"]
    changed = {**config, "max_age": 10**12, "discard": "old", "allow_direct": False,
               "subjects": ["waybill.s.journal", "more"]}
    server.client().ask("STREAM.UPDATE.WAYBILL_s", **changed)
    status, text = shard.streams("check", max_bytes=1000, replicas=3)
    assert status == 1
    assert text.splitlines() == [
        "refused by policy",
        'stream WAYBILL_s: subjects is ["waybill.s.journal","more"], not ["waybill.s.journal"]',
        'stream WAYBILL_s: discard is "old", not "new"',
        "stream WAYBILL_s: num_replicas is 1, not 3",
        f"stream WAYBILL_s: max_bytes is {MAX_BYTES}, not 1000",
        "stream WAYBILL_s: max_age is 1000000000000, not 0",
        "stream WAYBILL_s: allow_direct is none, not true",
        "stream WAYBILL_s_MEMBERS: num_replicas is 1, not 3",
    ]
    status, made = shard.streams("make", max_bytes=1000, replicas=3)
    assert (status, made) == (1, text)  # it changes nothing that is there


def test_three_replicas_are_not_had_of_a_single_server(shard):
    shard.server()
    status, text = shard.streams("make", replicas=3)
    assert status == 1 and text.startswith("refused by policy\n")
    assert "WAYBILL_s: replicas > 1 not supported in non-clustered mode" in text


def test_a_server_without_jetstream_is_refused(shard):
    shard.server(WITHOUT_JETSTREAM)
    assert shard.streams("check", patience=1000) == (
        1, "refused by policy\nstream WAYBILL_s: JetStream not enabled for account\n")


def test_a_server_that_is_not_there_is_waited_for(shard):
    shard.server().stop()
    started = time.monotonic()
    status, text = shard.streams("check", patience=1500)
    assert status == 1 and text.startswith("busy\n127.0.0.1: ")
    assert time.monotonic() - started >= 1.4


def test_one_of_two_wins_a_place(shard):
    shard.server()
    shard.make()
    first, second = shard.member("m1"), shard.member("m2")
    for seq in range(1, 30):
        first.tell("append", seq - 1, f"first-of-the-place-{seq}")
        second.tell("append", seq - 1, f"second-of-the-place-{seq}")
        answers = [m.wait("appended", seq) for m in (first, second)]
        assert sorted(answers) == [f"appended in conflict {seq}", f"appended ok {seq}"]
        winner = "first" if answers[0] == f"appended ok {seq}" else "second"
        assert shard.entries(shard.servers[0], seq)[-1] == f"{winner}-of-the-place-{seq}"


def test_an_entry_that_stands_is_ours_though_the_server_has_forgotten_it(shard):
    server = shard.server()
    shard.make()
    member = shard.member()
    assert member.append(0, "an-entry-of-the-journal") == "appended ok 1"
    # what was sent by somebody else has no id that the server could know it by
    server.client().publish("waybill.s.journal", [b"an-entry-without-an-id"])
    assert member.append(1, "an-entry-without-an-id") == "appended ok 2"
    assert member.append(1, "another-entry-instead") == "appended in conflict 2"
    assert len(shard.entries(server, 2)) == 2


def test_what_is_read_shows_what_is_missing(shard):
    server = shard.server()
    shard.make()
    member, reader = shard.member("m1"), shard.member("m2")
    assert member.ask("many", 0, 20, 10) == "many 20"
    reader.tell("read", 5)
    reader.wait("caught_up")
    assert [line.split()[1:3] for line in reader.lines[:15]] == [
        [str(n), str(n - 1)] for n in range(6, 21)]
    member.append(20, "the-next-entry-of-all")
    assert reader.wait("entry 21") == "entry 21 20 the-next-entry-of-all"
    reader.wait("caught_up", 2)
    member.tell("trim", 18)
    wait_until(lambda: server.client().ask("STREAM.INFO.WAYBILL_s")["state"]["first_seq"] == 19)
    assert reader.ask("read", 5, answer="entry").split()[1:3] == ["19", "5"]
    member.tell("trim", 21)  # all: the place of the next one says what is missing
    wait_until(lambda: server.client().ask("STREAM.INFO.WAYBILL_s")["state"]["messages"] == 0)
    assert member.ask("last").split()[2:4] == ["22", "21"]
    before = len(reader.lines)
    reader.tell("read", 20)
    reader.tell("last")
    reader.wait("last")
    assert member.append(21, "an-entry-behind-the-gap") == "appended ok 22"
    assert reader.wait("entry 22").split()[1:3] == ["22", "20"]
    assert "caught_up" not in [x for x in reader.lines[before:] if not x.startswith("last")][:1]
    # a place that was dropped is not ours, whatever stood there
    assert member.append(20, "an-entry-of-the-old-owner") == "appended in conflict 21"


def test_a_journal_that_was_made_anew_is_another(shard):
    server = shard.server()
    shard.make()
    writer, reader, late = shard.member("m1"), shard.member("m2"), shard.member("m3")
    assert writer.ask("many", 0, 3, 10) == "many 3"
    reader.tell("read", 0)
    reader.wait("caught_up")
    late.ask("last")
    server.client().ask("STREAM.DELETE.WAYBILL_s")
    shard.make()
    reader.wait("replaced")
    assert writer.append(3, "an-entry-of-the-old-one") == "appended in conflict 4"
    assert writer.append(3, "an-entry-of-the-old-one") == "appended in conflict 4"
    assert writer.why() == (
        "down the journal was made anew: this is another one")
    # …and one that had nothing under way learns of it with the next connection
    server.stop()
    server.start()
    late.wait("last")
    assert late.append(0, "an-entry-at-the-beginning", timeout=60) == "appended in conflict 1"
    late.tell("read", 0)
    late.wait("replaced")
    assert server.client().ask("STREAM.INFO.WAYBILL_s")["state"]["messages"] == 0


def test_a_full_journal_takes_an_entry_once_it_is_trimmed(shard):
    shard.server()
    shard.make(max_bytes=10000)
    member = shard.member()
    member.tell("many", 0, 100, 1000)
    wait_until(lambda: member.why() == "down maximum bytes exceeded", what="a full stream")
    last = int(member.ask("last").split()[3])
    assert 5 <= last < 12
    while not any(line.startswith("many") for line in member.lines):
        member.tell("trim", int(member.ask("last").split()[3]))
        time.sleep(0.05)
    assert member.wait("many") == "many 100"
    assert member.is_up()


def test_members_tell_how_far_they_are(shard):
    server = shard.server()
    shard.make()
    first, second = shard.member("m1"), shard.member("m2")
    for member in first, second:
        wait_until(member.is_up)
    assert first.ask("members") == "members ok 0"
    first.tell("tell", 5, 1, "https://one.example:8443")
    second.tell("tell", 3, 0, "")
    first.tell("tell", 18446744073709551615, 1, "https://one.example:8443")
    server.client().publish("waybill.s.members.junk", [b"not of a member"])
    wait_until(lambda: second.ask("members") == "members ok 2")
    assert sorted(second.lines[-3:-1]) == [
        "member m1 18446744073709551615 1 https://one.example:8443", "member m2 3 0 "]


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_server_restarts_during_appends(shard, how):
    server = shard.server()
    shard.make()
    member, reader = shard.member("m1"), shard.member("m2")
    reader.tell("read", 0)
    member.tell("many", 0, 5000, 100)
    for seen in 300, 1500, 3000:
        reader.wait(f"entry {seen} ", timeout=60)
        getattr(server, how)()
        server.start()
    assert member.wait("many", timeout=60) == "many 5000"
    reader.wait("entry 5000 ", timeout=60)
    entries = [line.split() for line in reader.lines if line.startswith("entry")]
    assert [int(e[1]) for e in entries] == list(range(1, 5001))
    assert [int(e[2]) for e in entries] == list(range(0, 5000))
    assert [int(e[3]) for e in entries] == list(range(0, 5000))


def test_a_frozen_server_is_not_taken_for_an_answer(shard):
    server = shard.server()
    shard.make()
    member = shard.member()
    assert member.append(0, "an-entry-of-the-journal") == "appended ok 1"
    server.freeze()
    member.tell("append", 1, "the-entry-that-waits")
    wait_until(lambda: not member.is_up())
    assert len([x for x in member.lines if x.startswith("appended")]) == 1
    server.thaw()
    assert member.wait("appended", 2) == "appended ok 2"
    assert shard.entries(server, 2)[1] == "the-entry-that-waits"


def test_a_cluster_loses_its_leader_during_appends(shard):
    shard.cluster()
    status, text = shard.streams("make", replicas=3, patience=40000)
    assert (status, text) == (0, "ok\n")
    status, text = shard.streams("check", replicas=1)
    assert "stream WAYBILL_s: num_replicas is 3, not 1" in text and status == 1
    member, reader = shard.member("m1"), shard.member("m2")
    reader.tell("read", 0)
    member.tell("many", 0, 3000, 100)
    for seen, how in (200, "kill"), (900, "freeze"), (1800, "kill"):
        reader.wait(f"entry {seen} ", timeout=90)
        gone = shard.leader(next(s for s in shard.servers))
        for server in shard.servers:
            server.forget_client()
        getattr(gone, how)()
        reader.wait(f"entry {seen + 300} ", timeout=90)  # the others go on alone
        if how == "kill":
            gone.start()
        else:
            gone.thaw()
    assert member.wait("many", timeout=90) == "many 3000"
    reader.wait("entry 3000 ", timeout=60)
    entries = [line.split() for line in reader.lines if line.startswith("entry")]
    assert [int(e[1]) for e in entries] == list(range(1, 3001))
    assert [int(e[2]) for e in entries] == list(range(0, 3000))
    assert [int(e[3]) for e in entries] == list(range(0, 3000))
    wait_until(lambda: reader.ask("last").split()[2:4] == ["1", "3000"], timeout=30,
               what="a server that says where it ends")


def test_one_of_two_wins_a_place_while_leaders_die(shard):
    shard.cluster()
    shard.make(replicas=3, patience=40000)
    first = shard.member("m1", shard.servers)
    second = shard.member("m2", shard.servers[1:] + shard.servers[:1])
    winners = []
    for seq in range(1, 61):
        gone = None
        if seq in (15, 35, 50):
            gone = shard.leader(shard.servers[0])
            for server in shard.servers:
                server.forget_client()
        first.tell("append", seq - 1, f"first-of-the-place-{seq}")
        if gone is not None:
            gone.kill()
        second.tell("append", seq - 1, f"second-of-the-place-{seq}")
        answers = [m.wait("appended", seq, timeout=90) for m in (first, second)]
        assert sorted(answers) == [f"appended in conflict {seq}", f"appended ok {seq}"]
        winner = "first" if answers[0] == f"appended ok {seq}" else "second"
        winners.append(f"{winner}-of-the-place-{seq}")
        if gone is not None:
            gone.start()
    reader = shard.member("m3")
    reader.tell("read", 0)
    reader.wait("entry 60 ", timeout=60)
    assert [x.split()[3] for x in reader.lines if x.startswith("entry")] == winners


def test_a_member_leaves_a_server_that_is_alone(shard):
    shard.cluster()
    shard.make(replicas=3, patience=40000)
    # the member knows the first server first; that one loses both others, then one comes back
    member = shard.member()
    assert member.append(0, "an-entry-of-the-journal", timeout=60) == "appended ok 1"
    for server in shard.servers[1:]:
        server.kill()
    member.tell("append", 1, "the-entry-that-waits")
    wait_until(lambda: not member.is_up(), timeout=40)
    assert len([x for x in member.lines if x.startswith("appended")]) == 1
    for server in shard.servers[1:]:
        server.start()
    assert member.wait("appended", 2, timeout=60) == "appended ok 2"
    shard.servers[0].freeze()  # it is left, though its connection stands
    assert member.append(2, "an-entry-by-another-way", timeout=60) == "appended ok 3"
    shard.servers[0].thaw()
    assert shard.entries(shard.servers[1], 3) == [
        "an-entry-of-the-journal", "the-entry-that-waits", "an-entry-by-another-way"]
