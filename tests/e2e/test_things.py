"""`waybill webhooks|deliveries|dlq|sources`: tables, and what is done with one of them."""

import json

import pytest

from harness import hooks_path, wait_until, waybill


@pytest.fixture
def gateway(make_gateway):
    return make_gateway(retry_schedule="20ms")


def run(gateway, *args):
    return waybill(*args, "--url", gateway.url, "--token", gateway.token)


def good(gateway, *args):
    done = run(gateway, *args)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def rows(text):
    return [line.split() for line in text.splitlines()]


def dead(gateway, session="s", url="http://127.0.0.1:9/dead"):
    """A webhook with one dead letter."""
    hook = gateway.api("POST", hooks_path(session), json={"url": url}).json()
    gateway.publish(session)
    wait_until(lambda: gateway.dlq(session))
    return hook


def test_webhooks(gateway):
    gateway.api("PUT", hooks_path("a\u202e b", "crm"), json={"url": "http://127.0.0.1:9/a"})
    other = gateway.register("s", "http://127.0.0.1:9/b")
    table = good(gateway, "webhooks", "list")
    lines = table.splitlines()
    assert lines[0].split() == ["ID", "NAME", "SESSION", "STATE", "LAST", "STATUS", "URL"]
    assert len(lines) == 3 and "\u202e" not in table and "a\\u202e b" in lines[1]
    at = lines[0].index("STATE")
    assert all(line[at:].startswith("ok ") for line in lines[1:])
    assert len(rows(good(gateway, "webhooks", "list", "--limit", "1"))) == 2
    (one,) = [json.loads(line) for line in
              good(gateway, "webhooks", "list", "--session", "s", "--json").splitlines()]  # fmt: skip
    assert one["id"] == other["id"]
    shown = good(gateway, "webhooks", "show", other["id"])
    assert "http://127.0.0.1:9/b\n" in shown and shown.startswith("id ")
    assert good(gateway, "webhooks", "disable", other["id"]) == "Webhook disabled\n"
    assert rows(good(gateway, "webhooks", "list", "--state", "off"))[1][0] == other["id"]
    assert good(gateway, "webhooks", "enable", other["id"]) == "Webhook re-enabled\n"
    shown = good(gateway, "webhooks", "show", "crm", "--session", "a\u202e b", "--json")
    assert json.loads(shown)["name"] == "crm"
    assert good(gateway, "webhooks", "delete", other["id"]) == "Webhook unregistered\n"
    assert len(rows(good(gateway, "webhooks", "list"))) == 2


def test_many_pages(gateway):
    for i in range(205):
        gateway.register("s", f"http://127.0.0.1:9/{i}", events=["receipt"])
    lines = rows(good(gateway, "webhooks", "list", "--limit", "1000"))
    assert [line[-1] for line in lines[1:]] == [f"http://127.0.0.1:9/{i}" for i in range(205)]


def test_deliveries_and_dead_letters(gateway):
    hook = dead(gateway)
    dead(gateway, "t")
    table = rows(good(gateway, "deliveries", "list"))
    assert table[0][:4] == ["ID", "SESSION", "EVENT", "STATUS"] and len(table) == 3
    (entry,) = rows(good(gateway, "deliveries", "list", "--webhook", hook["id"]))[1:]
    assert entry[1:4] == ["s", "message", "dead"]
    assert "dead" in good(gateway, "deliveries", "show", entry[0])
    assert len(rows(good(gateway, "deliveries", "list", "--event", "other"))) == 1
    letters = rows(good(gateway, "dlq", "list"))
    assert len(letters) == 3 and {row[1] for row in letters[1:]} == {"s", "t"}
    (letter,) = rows(good(gateway, "dlq", "list", "--session", "s"))[1:]
    assert good(gateway, "dlq", "replay", letter[0]).strip()
    wait_until(lambda: [e for e in gateway.dlq("s") if e["id"] != letter[0]] or gateway.dlq("s"))
    assert good(gateway, "dlq", "replay", "--session", "t").strip()
    wait_until(lambda: gateway.dlq("s"))
    assert good(gateway, "dlq", "purge", "--session", "s").strip()
    assert gateway.dlq("s") == []
    wait_until(lambda: gateway.dlq("t"))
    (letter,) = rows(good(gateway, "dlq", "list"))[1:]
    good(gateway, "dlq", "purge", letter[0])
    assert gateway.dlq("t") == []


def test_a_delivery_is_sent_again_and_a_webhook_replayed(gateway, make_receiver):
    receiver = make_receiver()
    hook = gateway.register("s", receiver.url())
    gateway.publish("s")
    receiver.wait_for(1)
    delivery = wait_until(lambda: [row[0] for row in rows(good(
        gateway, "deliveries", "list", "--status", "delivered"))[1:]])[0]  # fmt: skip
    good(gateway, "deliveries", "retry", delivery)
    receiver.wait_for(2)
    good(gateway, "webhooks", "replay", hook["id"], "--since", "2020-01-01T00:00:00Z",
         "--status", "delivered")  # fmt: skip
    receiver.wait_for(3)


def test_sources(gateway):
    made = gateway.api("POST", "/sources", json={"name": "shop", "preset": "waha"}).json()
    (row,) = rows(good(gateway, "sources", "list"))[1:]
    assert row[:3] == [made["id"], "shop", "waha"]
    assert "preset" in good(gateway, "sources", "show", made["id"])
    good(gateway, "sources", "disable", made["id"])
    assert gateway.api("GET", f"/sources/{made['id']}").json()["enabled"] is False
    good(gateway, "sources", "enable", made["id"])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["webhooks", "list", "--event", "message"], "--event is not for this"),
        (["sources", "list", "--session", "s"], "--session is not for this"),
        (["webhooks", "list", "--limit", "0"], "--limit: an integer"),
        (["webhooks", "show", "x", "--limit", "1"], "--limit is not for this"),
        (["webhooks", "show"], "usage: waybill webhooks"),
        (["dlq", "show", "x"], "usage: waybill dlq"),
        (["dlq", "list", "x", "y"], "usage: waybill dlq"),
    ],
)
def test_usage(gateway, args, says):
    done = run(gateway, *args)
    assert done.returncode == 2 and says in done.stderr, done


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["webhooks", "show", "none"], "404"),
        (["webhooks", "disable", "none"], "404"),
        (["webhooks", "list", "--state", "bad"], "400"),
        (["dlq", "purge"], "say of which --session"),
    ],
)
def test_refused(gateway, args, says):
    done = run(gateway, *args)
    assert done.returncode == 1 and says in done.stderr and done.stdout == "", done
