"""Members of two versions in one shard: upgraded one after the other, and what the older must not do."""

import signal

import pytest

import versions
from harness import BINARY, wait_until
from test_trials import LAG, LOAD_S, more, settle

# What the older ones say of each.
WORDS = {"schema": "upgrade this one", "record": "this member cannot take over"}


def restart(lab, host, program):
    """What an upgrade of the package does to a host."""
    host.program = program
    host.signal("member", signal.SIGTERM)
    wait_until(host.keep_member, timeout=20, what="a member's end")


def log_of(host):
    return host.log_of("member").read_text()


@more
def test_upgrade_from_the_version_before(make_lab):
    """In the order that docs/cluster.md says: the standbys, a handover, who was active."""
    if not versions.has_before():
        pytest.skip(f"needs the commit {versions.BEFORE}")
    old, new = versions.before(), BINARY
    lab = make_lab()
    for host in lab.hosts:
        host.program = old
    lab.start()
    lab.begin_load()
    lab.pass_time(LOAD_S)
    former = lab.active()
    for standby in lab.standbys():
        restart(lab, standby, new)
        lab.wait_level(timeout=120, lag=LAG)
    assert lab.active() is former
    assert former.ask("/api/v1/cluster/handover", "POST") is not None
    owner = lab.wait_active(among=[h for h in lab.hosts if h is not former])
    lab.wait_level(timeout=120, lag=LAG)
    restart(lab, former, new)
    lab.wait_level(timeout=120, lag=LAG)
    assert owner.program == new
    lab.pass_time(LOAD_S)
    settle(lab, 3)


@more
@pytest.mark.parametrize("what", WORDS)
def test_older_member_owns_nothing_that_it_cannot_read(make_lab, what):
    """
    One is upgraded and owns; the others are as they were. However long it is away, none of these
    takes over; each says why; and when all are upgraded, nothing is lost.
    """
    new = versions.behind(what)
    lab = make_lab()
    lab.start()
    lab.begin_load(publishers=9)
    first, second = lab.active(), lab.standbys()[0]
    third = next(h for h in lab.hosts if h not in (first, second))
    restart(lab, second, new)
    lab.wait_level(timeout=60, lag=LAG)
    third.kill("member")
    first.signal("member", signal.SIGTERM)
    lab.wait_active(among=[second])
    written = second.ask("/api/v1/sessions/s0/webhooks")["webhooks"][0]["id"]
    assert second.ask(f"/api/v1/sessions/s0/webhooks/{written}/rotate-secret", "POST") is not None
    lab.pass_time(2)
    third.start_member()
    lab.pass_time(3)
    second.kill("member")
    older = [first, third]

    def say_so():
        for host in older:
            host.keep_member()
        return all(WORDS[what] in log_of(host) for host in older)

    wait_until(say_so, timeout=60, what="words of the older members")
    before = lab.tell("figures")["acked"]
    for _ in range(40):  # several times the patience of a standby
        for host in older:
            host.keep_member()
            assert host.role != "active"
        lab.tell("figures")
    assert lab.tell("figures")["acked"] == before
    lab.ends.clear()  # the older ones ended with a failure, as they should
    for host in lab.hosts:
        host.program = new
        host.kill("member")
        host.start_member()
    lab.wait_level(timeout=120, lag=LAG)
    lab.pass_time(LOAD_S)
    settle(lab, 5)
