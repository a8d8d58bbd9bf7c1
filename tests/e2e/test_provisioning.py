"""`waybill export` and `waybill apply`: what a gateway has, in a file, and back."""

import json
import subprocess

import pytest
import yaml

from harness import BINARY, hooks_path, waybill

MASK = "********"


def run(gateway, *args):
    return waybill(args[0], "--url", gateway.url, "--token", gateway.token, *args[1:])


def export(gateway, *args):
    done = run(gateway, "export", *args)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return done.stdout


def apply(gateway, path, what, *args):
    path.write_text(what if isinstance(what, str) else json.dumps(what))
    return run(gateway, "apply", *args, str(path))


def rich(gateway):
    """Webhooks and a source that use what there is; what they are."""
    gateway.api("PUT", hooks_path("shop", "crm"), json={
        "url": "http://127.0.0.1:9/crm", "secret": "s3cret", "events": ["order.*"],
        "events_strict": False, "headers": {"X-Token": "t0ken"}, "retry": ["5s"],
        "auth": {"type": "basic", "username": "me", "password": "it is"},
        "signature": ["v1", "ed25519"], "ordering": {"key": "/data/chat"},
        "filter": {"path": "/data/n", "gt": 9007199254740993}, "description": "d\u202e\n"})  # fmt: skip
    gateway.register("app", "http://127.0.0.1:9/plain", enabled=False)
    gateway.api("PUT", "/webhooks/audit", json={"url": "http://127.0.0.1:9/audit"})
    gateway.api("POST", "/sources", json={"name": "repositories", "preset": "github",
                                          "session": "shop"})  # fmt: skip


def all_of(gateway):
    return gateway.api("GET", "/webhooks/all?limit=200").json()["webhooks"]


def test_a_file_of_what_there_is_changes_nothing(gateway, tmp_path):
    rich(gateway)
    text = export(gateway)
    assert text == export(gateway) and "s3cret" not in text and "t0ken" not in text
    assert "it is" not in text and "\u202e" not in text
    file = json.loads(text)
    assert [(w["session"], w.get("name")) for w in file["webhooks"]] == [
        ("*", "audit"), ("app", None), ("shop", "crm")]  # fmt: skip
    crm = file["webhooks"][2]
    assert crm["secret"] == MASK and crm["headers"] == {"X-Token": MASK}
    assert crm["filter"]["gt"] == 9007199254740993 and crm["description"] == "d\u202e\n"
    assert [s["name"] for s in file["sources"]] == ["repositories"]
    before = all_of(gateway)
    for flags in (["--dry-run", "--prune"], ["--prune"], []):
        done = apply(gateway, tmp_path / "f", text, *flags)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    assert all_of(gateway) == before
    assert '"X-Token":"t0ken"' in export(gateway, "--headers", "--session", "shop")
    assert json.loads(export(gateway, "--session", "app"))["webhooks"] == [file["webhooks"][1]]


def test_it_makes_changes_and_prunes(gateway, tmp_path):
    rich(gateway)
    file = json.loads(export(gateway))
    crm = file["webhooks"].pop(2)
    plain = file["webhooks"].pop(1)
    crm["timeout_ms"] = 9000
    crm["headers"]["X-Token"] = "other"
    del crm["description"]
    file["webhooks"] += [crm, {"session": "shop", "name": "new", "url": "http://127.0.0.1:9/new"},
                         {"session": "app", "url": "http://127.0.0.1:9/unnamed"}]  # fmt: skip
    file["sources"] = [{"name": "letters", "preset": "gowa"}]
    want = [
        '~ change shop crm description: "d\\u202e\\n" -> null',
        '~ change shop crm headers: {"X-Token":"********"} -> {"X-Token":"********"}',
        "~ change shop crm timeout_ms: 5000 -> 9000",
        "+ create shop new",
        "+ create app http://127.0.0.1:9/unnamed",
        f"- delete app {plain['url']}",
        "+ create source letters",
        "- delete source repositories",
    ]
    before = all_of(gateway)
    dry = apply(gateway, tmp_path / "f", file, "--dry-run", "--prune")
    assert dry.returncode == 3 and sorted(dry.stdout.splitlines()) == sorted(want), dry
    assert all_of(gateway) == before
    kept = apply(gateway, tmp_path / "f", file, "--dry-run")
    assert sorted(kept.stdout.splitlines()) == sorted(w for w in want if w[0] != "-")
    done = apply(gateway, tmp_path / "f", file, "--prune")
    assert done.returncode == 0 and done.stdout == dry.stdout, done
    again = apply(gateway, tmp_path / "f", file, "--dry-run", "--prune")
    assert (again.returncode, again.stdout) == (0, "")
    assert {(w["session_id"], w["name"]) for w in all_of(gateway)} == {
        ("*", "audit"), ("shop", "crm"), ("shop", "new"), ("app", None)}  # fmt: skip
    assert gateway.api("GET", hooks_path("shop", "crm")).json()["secret"] == MASK
    assert [s["name"] for s in gateway.api("GET", "/sources").json()["sources"]] == ["letters"]


def test_a_secret_that_changes_is_a_difference(gateway, tmp_path):
    hook = {"session": "s", "name": "crm", "url": "http://127.0.0.1:9/crm", "secret": "old"}
    assert apply(gateway, tmp_path / "f", {"webhooks": [hook]}).stdout == "+ create s crm\n"
    hook["secret"] = "new"
    done = apply(gateway, tmp_path / "f", {"webhooks": [hook]}, "--dry-run")
    assert (done.returncode, done.stdout) == (3, "~ change s crm secrets: ******** -> ********\n")


def test_a_name_is_given_to_one_that_has_none(gateway, tmp_path):
    hook = gateway.register("s", "http://127.0.0.1:9/crm")
    file = {"webhooks": [{"session": "s", "name": "crm", "url": "http://127.0.0.1:9/crm"}]}
    done = apply(gateway, tmp_path / "f", file)
    assert (done.returncode, done.stdout) == (0, '~ change s crm name: null -> "crm"\n'), done
    assert gateway.api("GET", hooks_path("s", "crm")).json()["id"] == hook["id"]


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("{", "malformed JSON"),
        ([], "it must be an object"),
        ({"hooks": []}, "it must be an object"),
        ({"webhooks": [7]}, "it must be an object"),
        ({"webhooks": [{"url": "http://127.0.0.1:9/"}]}, "each has a session"),
        ({"webhooks": [{"session": "s", "name": "n", "url": "http://h/", "secret": MASK}]},
         "has to be given once"),
        ({"webhooks": [{"session": "s", "url": "http://h/", "secret": MASK}]}, "none to keep"),
        ({"webhooks": [{"session": "s", "name": "n", "url": "http://h/"},
                       {"session": "s", "name": "n", "url": "http://i/"}]}, "has it twice"),
        ({"webhooks": [{"session": "s", "name": "n", "url": "http://h/", "typo": 1}]}, "typo"),
        ({"sources": [{"preset": "waha"}]}, "each has a name"),
    ],
)  # fmt: skip
def test_refused_without_a_change(gateway, tmp_path, file, says):
    good = {"session": "a", "name": "good", "url": "http://127.0.0.1:9/good"}
    if isinstance(file, dict) and isinstance(file.get("webhooks"), list):
        file["webhooks"] = [good, *file["webhooks"]]
    done = apply(gateway, tmp_path / "f", file)
    assert done.returncode == 1 and says in done.stderr, done
    assert all_of(gateway) == []


def test_a_file_that_is_not_there(gateway, tmp_path):
    done = run(gateway, "apply", str(tmp_path / "none"))
    assert done.returncode == 1 and "No such file" in done.stderr
    assert run(gateway, "apply").returncode == 2


# What looks like something else, in one version of YAML or another.
STRINGS = ["no", "Yes", "on", "y", "1.0", "null", "~", "0x10", "1e3", "1:20", "2026-12-01", "", " leading",
           "trailing ", "a: b", "# a", "- a", "*a", "&a", "!a", "<<", "=", "a\nb", "a\n", "a\n\n", "\na",
           "PEM\n two\n\nlines\n", "a\tb", "\u0085\u2028", "d\u202e", "😀 caf\u00e9", "it's \"that\"\\"]


def test_yaml_is_the_same_file(gateway, tmp_path):
    rich(gateway)
    for n, text in enumerate(STRINGS):
        gateway.api("PUT", hooks_path("s", f"h{n}"), json={
            "url": f"http://127.0.0.1:9/{n}", "description": text,
            "filter": {"path": "/data/x", "equals": text}})  # fmt: skip
    file = export(gateway, "--yaml")
    assert file.startswith("webhooks:\n  - session: \"*\"\n    name: audit\n    url: http://")
    assert "    description: |-\n      a\n      b\n" in file and "\u202e" not in file
    assert yaml.safe_load(file) == json.loads(export(gateway))  # a reader of YAML 1.1
    before = all_of(gateway)
    for name, flags in (("f.yaml", ["--dry-run", "--prune"]), ("f.YML", ["--dry-run"]), ("f", [])):
        done = apply(gateway, tmp_path / name, file, *flags)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done
    assert all_of(gateway) == before
    part = export(gateway, "--session", "s", "--yaml")
    for hook in before:
        if hook["session_id"] == "s":
            gateway.api("DELETE", hooks_path("s", hook["id"]))
    assert apply(gateway, tmp_path / "f.yaml", part).returncode == 0
    assert export(gateway, "--session", "s", "--yaml") == part


def test_standard_input_is_what_it_begins_as(gateway):
    command = [BINARY, "apply", "--url", gateway.url, "--token", gateway.token, "--dry-run", "-"]
    for text in ("# ours\nwebhooks:\n- {session: no, name: n, url: 'http://127.0.0.1:9/'}\n",
                 ' {"webhooks":[{"session":"no","name":"n","url":"http://127.0.0.1:9/"}]}'):  # fmt: skip
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=20)
        assert (done.returncode, done.stdout) == (3, "+ create no n\n"), done


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("f.yaml", "webhooks: []\nsources: {a: 1\n", "line 3, column 1: did not find expected"),
        ("f.yaml", "webhooks: []\nwebhooks: []\n", "line 2, column 1: the key is on line 1 already"),
        ("f.yml", "a: &a [x]\nwebhooks: [*a]\n", "line 1, column 4: anchors and aliases"),
        ("f.yaml", "webhooks: []\n---\nwebhooks: []\n", "line 2, column 1: there is a second"),
        ("f.yaml", "# nothing\n", "it is empty"),
        ("f.yaml", "webhooks: " + "[" * 99, "nests too deep"),
        ("f.yaml", "webhooks: []\nhooks: []\n", "it must be an object"),
        ("f.json", "webhooks: []\n", "malformed JSON"),
    ],
)
def test_yaml_that_is_none_of_ours(gateway, tmp_path, name, text, says):
    done = apply(gateway, tmp_path / name, text)
    assert done.returncode == 1 and says in done.stderr and done.stdout == "", done
    assert done.stderr.count("\n") == 1
