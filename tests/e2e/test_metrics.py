"""
What /metrics and the statistics say: exact counts after known sequences, promtool's verdict on
the real output, and dashboard and rules that name only what is really there.
"""

import datetime
import json
import pathlib
import re
import subprocess
import time

import pytest
import requests

from harness import ROOT, Hold, expect_error, hooks_path, reset, wait_until

ETC = ROOT / "etc"
SAMPLE = re.compile(r"([a-z_]+(?:\{[^}]*\})?) (\S+)")


def text_of(gateway):
    answer = gateway.request("GET", "/metrics", token="")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def samples(gateway):
    """Each sample of /metrics, by its name with its labels."""
    lines = [line for line in text_of(gateway).splitlines() if not line.startswith("#")]
    found = dict(SAMPLE.fullmatch(line).groups() for line in lines)
    assert len(found) == len(lines)
    return {name: float(value) for name, value in found.items()}


def wait_sample(gateway, name, value):
    wait_until(lambda: samples(gateway).get(name) == value, what=f"{name} {value}")
    return samples(gateway)


def outcome(name):
    return f'waybill_deliveries_total{{outcome="{name}"}}'


def outcomes(found):
    names = ("delivered", "retried", "dead", "expired", "cancelled")
    return tuple(int(found[outcome(name)]) for name in names)


def attempts(found):
    """By class: none, 2xx, 3xx, 4xx, 5xx."""
    names = ("none", "2xx", "3xx", "4xx", "5xx")
    return tuple(int(found[f'waybill_attempts_total{{class="{name}"}}']) for name in names)


def stats(gateway, query=""):
    answer = gateway.api("GET", "/stats" + query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def promtool(*args, text=None):
    done = subprocess.run(
        ["promtool", *map(str, args)],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
    )
    return done.returncode, done.stdout


# Counts


def test_nothing_has_happened_yet(gateway):
    found = samples(gateway)
    assert outcomes(found) == (0, 0, 0, 0, 0)
    assert attempts(found) == (0, 0, 0, 0, 0)
    assert found["waybill_events_published_total"] == 0
    assert found["waybill_queue_depth"] == 0
    assert found["waybill_ready"] == 1
    assert found["waybill_receipt_duration_seconds_count"] == 0
    assert found["waybill_connections"] == 1  # this one
    assert found["process_open_fds"] > 5
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_resident_memory_is_without_the_mapped_store(gateway):
    """What the map holds may go any time, and is no reason to give a container more."""
    gateway.register("s1", "http://127.0.0.1:9/")
    for _ in range(64):
        gateway.publish("s1", data="x" * 250_000)
    found = samples(gateway)["process_resident_memory_bytes"]
    status = pathlib.Path(f"/proc/{gateway.process.pid}/status").read_text(encoding="ascii")
    kib = dict(re.findall(r"^(\w+):\s+(\d+) kB$", status, re.M))
    own, mapped = (int(kib[name]) << 10 for name in ("RssAnon", "RssFile"))
    assert mapped > 16 << 20  # the store, of which all was written just now
    assert abs(found - own) < 4 << 20 and found < own + mapped / 2


def test_each_outcome_is_counted_once(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1ms,1ms", expire="presence=10m")
    receiver = make_receiver(200, 500, 404, 200, 302, 503, 503)
    gateway.register("s1", receiver.url(), ordering="fifo")
    for _ in range(3):  # 200; 500 404 200; 302 503 503
        gateway.publish("s1", data="x")
    found = wait_sample(gateway, outcome("dead"), 1)
    assert outcomes(found) == (2, 4, 1, 0, 0)
    assert attempts(found) == (0, 2, 1, 1, 3)
    assert found["waybill_events_published_total"] == 3
    assert found["waybill_deliveries_queued_total"] == 3
    assert found["waybill_events_published_bytes_total"] == sum(
        len(r.body) for r in receiver.requests if r.attempt == 1
    )
    assert found["waybill_receipt_duration_seconds_count"] == 2
    assert found["waybill_attempt_duration_seconds_count"] == 7
    assert found["waybill_dead_letters"] == 1
    assert found["waybill_queue_depth"] == 0
    shown = stats(gateway)
    assert shown["deliveries"]["delivered"] == 2
    assert shown["deliveries"]["dead"] == shown["dead_letters"] == 1
    assert shown["events"]["published"] == 3


def test_expired_ones_and_cancelled_ones(make_gateway, make_receiver):
    gateway = make_gateway(expire="presence=10m", retry_schedule="1h")
    receiver = make_receiver(500)
    webhook = gateway.register("s1", receiver.url())
    gateway.publish("s1", "presence")  # the next attempt would come too late
    found = wait_sample(gateway, outcome("expired"), 1)
    assert outcomes(found) == (0, 0, 0, 1, 0)
    for _ in range(3):
        gateway.publish("s1")
    wait_sample(gateway, outcome("retried"), 3)
    assert samples(gateway)["waybill_queue_depth"] == 3
    pending = gateway.api("GET", "/sessions/s1/deliveries?status=pending").json()["deliveries"]
    assert gateway.api("POST", f"/sessions/s1/deliveries/{pending[0]['id']}/cancel").ok
    assert outcomes(samples(gateway)) == (0, 3, 0, 1, 1)
    assert gateway.api("DELETE", f"/sessions/s1/webhooks/{webhook['id']}").ok
    found = wait_sample(gateway, outcome("cancelled"), 3)
    assert outcomes(found) == (0, 3, 0, 1, 3)
    assert stats(gateway)["deliveries"]["cancelled"] == 3
    assert found["waybill_queue_depth"] == 0
    assert attempts(found) == (0, 0, 0, 0, 4)


def test_repeats_are_no_new_events(gateway, make_receiver):
    receiver = make_receiver()
    gateway.register("s1", receiver.url())
    for _ in range(3):
        gateway.publish("s1", id="one")
    found = wait_sample(gateway, outcome("delivered"), 1)
    assert found["waybill_events_published_total"] == 1
    assert found["waybill_events_repeated_total"] == 2


def post(gateway, source, body, **headers):
    return gateway.request("POST", source["path"], token="", json=body, headers=headers)


def source_sample(source, name):
    return (f'waybill_source_{name}{{source="{source["id"]}",'
            f'name="{source["name"]}"}}')


def test_sources_have_figures_each(gateway):
    proof = {"type": "token", "header": "X-T", "secrets": ["right"]}
    shop, idle = (
        gateway.api("POST", "/sources", json={
            "name": name, "verify": proof, "event": {"body": "/e"}, "session": "s"}).json()
        for name in ("shop", "idle"))
    last = source_sample(shop, "last_received_timestamp_seconds")
    assert last not in samples(gateway)
    for body in ({"e": "a"}, {"e": "a"}, {"f": 1}):
        assert post(gateway, shop, body, **{"X-T": "right"}).ok
    assert post(gateway, shop, {}, **{"X-T": "wrong"}).status_code == 401
    found = samples(gateway)
    counted = [[found[source_sample(source, f"{what}_total")]
                for what in ("events", "repeats", "missed", "refused")]
               for source in (shop, idle)]
    assert counted == [[2, 1, 1, 1], [0, 0, 0, 0]]
    received = gateway.api("GET", f"/sources/{shop['id']}").json()["received"]
    at = datetime.datetime.fromisoformat(received["last_at"].replace("Z", "+00:00"))
    assert found[last] == pytest.approx(at.timestamp(), abs=0.001)
    gateway.api("DELETE", f"/sources/{shop['id']}")
    assert last not in samples(gateway)


def test_names_of_sources_cannot_forge_a_line(gateway):
    names = ['a"} 1\nwaybill_ready 0 #', "back\\slash", "é\t\r\u2028", "{}"]
    for name in names:
        settings = {"name": name, "verify": {"type": "none"}}
        assert gateway.api("POST", "/sources", json=settings).ok
    text = text_of(gateway)
    assert promtool("check", "metrics", text=text) == (0, "")
    label = r'waybill_source_events_total\{source="[^"]*",name="((?:[^"\\]|\\.)*)"\} 0'
    unescaped = [re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], found)
                 for found in re.findall(label, text)]
    assert unescaped == names
    assert "\nwaybill_ready 0" not in text


@pytest.mark.timeout(120)
def test_as_many_sources_as_there_can_be_are_all_in_the_metrics(gateway):
    with requests.Session() as session:
        headers = {"Authorization": f"Bearer {gateway.token}"}
        url = f"{gateway.url}/api/v1/sources"
        for _ in range(1000):
            settings = {"name": '"' * 100, "verify": {"type": "none"}}
            assert session.post(url, json=settings, headers=headers).ok
        one_more = session.post(url, json=settings, headers=headers)
    expect_error(one_more, 409)
    text = text_of(gateway)
    assert text.count("\nwaybill_source_refused_total{") == 1000
    assert text.endswith("\n") and "process_start_time_seconds " in text


def test_what_is_under_way(gateway, make_receiver):
    hold = Hold(then=200)
    receiver = make_receiver(hold)
    gateway.register("s1", receiver.url(), max_in_flight=1, timeout_ms=30000)
    gateway.publish("s1")
    gateway.publish("s1")
    receiver.wait_for(1)
    found = wait_sample(gateway, "waybill_attempts_in_flight", 1)
    assert found["waybill_queue_depth"] == 2
    older = wait_until(
        lambda: samples(gateway).get("waybill_oldest_waiting_age_seconds"), what="an age"
    )
    newer = stats(gateway)["deliveries"]
    assert newer["oldest_waiting_seconds"] >= older > 0
    assert (newer["in_flight"], newer["waiting"]) == (1, 2)
    hold.release()
    found = wait_sample(gateway, outcome("delivered"), 2)
    assert found["waybill_attempts_in_flight"] == 0
    assert found["waybill_oldest_waiting_age_seconds"] == 0


AGAIN = {
    "retry": lambda hook, letter: (f"/sessions/s1/deliveries/{letter['delivery_id']}/retry", None),
    "letter": lambda hook, letter: (hooks_path("s1", "dlq", letter["id"], "replay"), None),
    "letters": lambda hook, letter: (hooks_path("s1", "dlq", "replay"), None),
    "webhook": lambda hook, letter: (
        hooks_path("s1", hook["id"], "replay"),
        {"since": "2020-01-01T00:00:00Z", "status": "dead"},
    ),
}


def created_ms(event):
    return int(event["id"].replace("-", "")[:12], 16)


@pytest.mark.parametrize("way", AGAIN)
def test_what_is_sent_again_is_the_oldest_that_waits(gateway, make_receiver, way):
    hold = Hold()
    receiver = make_receiver(400)
    hook = gateway.register("s1", receiver.url())
    old = gateway.publish("s1")
    letter = wait_until(lambda: gateway.dlq("s1"), what="a dead letter")[0]
    receiver.answer(hold)
    time.sleep(1)  # so that both ages are told apart
    new = gateway.publish("s1")
    middle = (created_ms(old) + created_ms(new)) / 2

    def since_ms():
        """Since when the oldest has waited; None: it is not known, or none does."""
        age = stats(gateway)["deliveries"]["oldest_waiting_seconds"]
        return time.time() * 1000 - age * 1000 if age else None

    wait_until(lambda: (since_ms() or 0) > middle, what="the walk behind what is dead")
    path, body = AGAIN[way](hook, letter)
    assert gateway.api("POST", path, json=body).ok
    wait_until(lambda: (since_ms() or middle) < middle, what="the age of what is sent again")
    hold.release()


def test_webhooks_and_circuits_by_state(make_gateway, make_receiver):
    gateway = make_gateway(circuit_failures=2, circuit_open="1h", retry_schedule="1ms,1h")
    bad, good = make_receiver(500), make_receiver()
    hook = gateway.register("s1", bad.url())
    other = gateway.register("s2", good.url())
    gateway.call("s2", other["id"], "disable")
    gateway.publish("s1")
    found = wait_sample(gateway, 'waybill_circuits{state="open"}', 1)
    assert found['waybill_circuits{state="closed"}'] == 1
    assert found['waybill_circuits{state="half_open"}'] == 0
    assert found['waybill_webhooks{state="enabled"}'] == 1
    assert found['waybill_webhooks{state="disabled"}'] == 1
    shown = stats(gateway)
    assert shown["webhooks"] == {"count": 2, "enabled": 1, "disabled": 1}
    assert shown["circuits"] == {"closed": 1, "open": 1, "half_open": 0}
    gateway.api("DELETE", f"/sessions/s1/webhooks/{hook['id']}")
    found = wait_sample(gateway, 'waybill_circuits{state="open"}', 0)
    assert found['waybill_circuits{state="closed"}'] == 1
    assert found['waybill_webhooks{state="enabled"}'] == 0


def test_answers_to_clients(gateway):
    before = samples(gateway)
    gateway.api("GET", "/no/such/call")
    with gateway.connect() as raw:
        raw.send(b"GET / HTTP/1.1\r\n\r\n")  # no Host
        wait_sample(gateway, 'waybill_http_answers_total{class="4xx"}', 2)
    assert samples(gateway)["waybill_connections_accepted_total"] >= (
        before["waybill_connections_accepted_total"] + 2
    )


# The statistics


def test_top_has_failing_ones_first_then_by_what_waits(make_gateway, make_receiver):
    gateway = make_gateway(retry_schedule="1h,1h")
    bad, worse, hold = make_receiver(500), make_receiver(reset()), Hold(then=200)
    slow, fine = make_receiver(hold), make_receiver()
    hooks = {
        name: gateway.register(name, r.url(), timeout_ms=30000)["id"]
        for name, r in (("bad", bad), ("worse", worse), ("slow", slow), ("fine", fine))
    }
    for name, count in (("bad", 1), ("worse", 2), ("slow", 3), ("fine", 1)):
        for _ in range(count):
            gateway.publish(name)
    wait_sample(gateway, outcome("retried"), 3)
    found = wait_sample(gateway, outcome("delivered"), 1)
    assert found["waybill_queue_depth"] == 6
    assert attempts(found) == (2, 1, 0, 0, 1)
    top = stats(gateway)["top"]
    assert [t["session_id"] for t in top] == ["worse", "bad", "slow"]
    assert [t["webhook_id"] for t in top] == [hooks[t["session_id"]] for t in top]
    assert [t["waiting"] for t in top] == [2, 1, 3]
    assert (top[1]["last_status"], top[1]["last_error"]) == (500, None)
    assert top[0]["last_status"] is None and top[0]["last_error"]
    assert top[0]["consecutive_failures"] == 2 and top[0]["failing_since"]
    assert top[2]["failing_since"] is None and top[2]["circuit"] == "closed"
    assert [t["session_id"] for t in stats(gateway, "?top=1")["top"]] == ["worse"]
    hold.release()


def test_statistics_name_nobody_who_has_left_meanwhile(gateway, make_receiver):
    """They look for the worst once a second; what they say of each is of now."""
    bad, worse = make_receiver(500), make_receiver(500)
    first, second = (gateway.register("s1", r.url())["id"] for r in (bad, worse))
    gateway.publish("s1")
    wait_until(
        lambda: {t["webhook_id"] for t in stats(gateway)["top"]} == {first, second},
        what="both in the list",
    )
    assert gateway.api("DELETE", hooks_path("s1", first)).ok
    assert [t["webhook_id"] for t in stats(gateway)["top"]] == [second]
    third = gateway.register("s1", make_receiver(500).url())["id"]
    gateway.publish("s1")
    wait_until(
        lambda: {t["webhook_id"] for t in stats(gateway)["top"]} == {second, third},
        what="the new one in the list",
    )


@pytest.mark.parametrize("top", ["0", "101", "x", ""])
def test_top_is_limited(gateway, top):
    expect_error(gateway.api("GET", "/stats?top=" + top), 400, "top", ["1 to 100"])


def test_statistics_need_a_full_token(make_gateway, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("scoped-token s1\n")
    gateway = make_gateway(tokens_file=tokens)
    expect_error(gateway.api("GET", "/stats", token="scoped-token"), 403)
    expect_error(gateway.api("GET", "/stats", token=""), 401)


def test_shape_of_the_statistics(gateway):
    shown = wait_until(  # of a turn before the first one has ended nothing is known
        lambda: (s := stats(gateway))["latency_ms"]["turn"]["p50"] > 0 and s, what="a turn"
    )
    assert list(shown) == [
        "version", "uptime_seconds", "now", "events", "deliveries", "latency_ms", "store",
        "circuits", "webhooks", "dead_letters", "connections", "history", "top",
    ]
    assert set(shown["latency_ms"]) == {"receipt", "attempt", "commit", "turn"}
    assert set(shown["latency_ms"]["turn"]) == {"p50", "p90", "p99"}
    assert 0 < shown["store"]["used_bytes"] <= shown["store"]["file_bytes"]
    assert shown["uptime_seconds"] > 0


# An address of its own


def test_metrics_listen_has_metrics_and_nothing_else(make_gateway):
    gateway = make_gateway(metrics_listen="127.0.0.1:0")
    line = gateway.process.line(1)
    url = re.fullmatch(r"waybill metrics on (http://127\.0\.0\.1:\d+)/metrics", line).group(1)
    expect_error(gateway.request("GET", "/metrics"), 404)
    api = gateway.url
    gateway.url = url
    assert samples(gateway)["waybill_ready"] == 1
    expect_error(gateway.request("GET", "/livez"), 404)
    expect_error(gateway.api("GET", "/stats"), 404)
    answer = gateway.request("POST", "/metrics")
    expect_error(answer, 405)
    assert answer.headers["Allow"] == "GET"
    assert gateway.request("HEAD", "/metrics").content == b""
    gateway.url = api
    assert stats(gateway)["connections"] == 1


TURN_SUM = re.compile(r'waybill_turn_seconds_sum{part="(\w+)"}')


def test_parts_of_turns_add_up(gateway, make_receiver):
    gateway.register("s1", make_receiver().url())
    gateway.publish("s1")
    found = wait_sample(gateway, outcome("delivered"), 1)
    sums = {m[1]: value for name, value in found.items() if (m := TURN_SUM.fullmatch(name))}
    assert sums.keys() == {"events", "commit", "jobs", "pump"}
    assert all(value > 0 for value in sums.values())
    whole = found["waybill_turn_duration_seconds_sum"]
    turns = found["waybill_turn_duration_seconds_count"]
    assert abs(sum(sums.values()) - whole) <= 4 * 1e-6 * turns
    assert all(found[f'waybill_turn_seconds_count{{part="{p}"}}'] == turns for p in sums)


def test_long_turn_says_what_took_it(gateway, make_receiver):
    """Fifty thousand deliveries are one transaction, and that is one turn."""
    for n in range(5):
        gateway.register("s1", f"http://127.0.0.1:9/{n}", events=["message"])
    batch = [{"session_id": "s1", "event": "message"}] * 10000
    assert gateway.api("POST", "/events", json=batch).status_code == 202
    line = wait_until(
        lambda: re.search(r'msg="a turn took long" .*', gateway.log_text()), what="the line"
    )[0]
    fields = dict(re.findall(r"(\w+)=(\S+)", line))
    assert fields["part"] == "commit"
    assert fields["method"] == "POST"
    assert fields["path"] == "api/v1/events"
    assert int(fields["ms"]) >= int(fields["commit_ms"]) > 0
    assert int(fields["turns"]) >= 1


# What Prometheus and Grafana are given


def test_promtool_finds_nothing_to_say(gateway, make_receiver):
    gateway.register("s1", make_receiver().url())
    gateway.publish("s1")
    wait_sample(gateway, outcome("delivered"), 1)
    assert promtool("check", "metrics", text=text_of(gateway)) == (0, "")


def test_rules_are_valid_and_fire_when_they_should():
    status, said = promtool("check", "rules", ETC / "prometheus-rules.yml")
    assert status == 0, said
    status, said = promtool("test", "rules", ROOT / "tests" / "rules" / "waybill.yml")
    assert status == 0, said


def test_every_alert_is_tested_both_ways():
    alerts = re.findall(r"- alert: (\w+)", (ETC / "prometheus-rules.yml").read_text())
    tests = re.findall(r"- name: (\w+) (fires|stays quiet)", (
        ROOT / "tests" / "rules" / "waybill.yml").read_text())
    assert len(alerts) > 10
    assert sorted(tests) == sorted((a, how) for a in alerts for how in ("fires", "stays quiet"))


def names_in(expression):
    """The metrics that an expression names."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without) \([^)]*\)", "", expression)
    return {n for n in re.findall(r"[a-z_]+", bare) if n.startswith(("waybill_", "process_"))}


def dashboard_expressions():
    board = json.loads((ETC / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return [t["expr"] for panel in board["panels"] for t in panel.get("targets", [])]


def rule_expressions():
    text = (ETC / "prometheus-rules.yml").read_text(encoding="utf-8")
    return re.findall(r"expr: (.*?)\n        (?:for|labels):", text, re.S)


def test_dashboard_and_rules_name_only_what_is_exported(gateway):
    source = gateway.api("POST", "/sources", json={"name": "n", "verify": {"type": "none"}}).json()
    assert post(gateway, source, {}).ok  # else it has no time of its last request
    wait_until(lambda: "oldest_waiting" in text_of(gateway), what="the first walk's end")
    there = {name.partition("{")[0] for name in samples(gateway)}
    # which a single instance does not have; test_cluster.py reads them of members
    there |= set(re.findall(r'"(waybill_cluster_\w+)"', (
        ROOT / "src" / "api" / "cluster_view.c").read_text()))
    board, rules = dashboard_expressions(), rule_expressions()
    assert len(board) > 20 and len(rules) > 10
    for expression in board + rules:
        assert names_in(expression) <= there, expression
    assert all(names_in(expression) for expression in board)


def test_promtool_can_read_the_dashboards_expressions(tmp_path):
    rules = [
        {"record": f"panel:{i}", "expr": e.replace("$__rate_interval", "5m")}
        for i, e in enumerate(dashboard_expressions())
    ]
    path = tmp_path / "board.yml"
    path.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    status, said = promtool("check", "rules", path)
    assert status == 0, said


def test_panels_do_not_overlap():
    board = json.loads((ETC / "grafana-dashboard.json").read_text(encoding="utf-8"))
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken and at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_every_metric_is_in_operations_and_no_other(gateway):
    wait_until(lambda: "oldest_waiting" in text_of(gateway), what="the first walk's end")
    families = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text_of(gateway), re.M))
    section = (ROOT / "docs" / "operations.md").read_text().split("\n## 11. Metrics\n")[1]
    table = section.split("\n## ")[0]
    rows = re.findall(r"^\| (counter|gauge|histogram) \| `([a-z_]+)` \|", table, re.M)
    assert {name: kind for kind, name in rows} == families
