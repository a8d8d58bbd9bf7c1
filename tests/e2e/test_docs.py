"""What the documents show is what the program does, and what the source has is in them."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from harness import ROOT, version, waybill
from nats_server import USER, NatsKey, creds

sys.path.insert(0, str(ROOT / "docs"))

import examples  # noqa: E402  (found by the line before)

FILES = [ROOT / "README.md", ROOT / "tests" / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def text_of(*names):
    return (ROOT.joinpath(*names)).read_text(encoding="utf-8")


def section(text, title):
    """The part of a document below a heading, down to the next one of its level."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.M | re.S)
    assert match, f"no heading {title!r}"
    return match.group(2)


@pytest.mark.parametrize("name", examples.DOCUMENTS)
def test_examples_are_what_the_program_gives(name, tmp_path):
    absent = examples.missing(ROOT / name)
    if absent:
        pytest.skip(f"needs {', '.join(absent)}")
    assert examples.check(ROOT / name, tmp_path / "run") == []


# The README


def test_readme_begins_with_the_two_commands():
    head = "\n".join(text_of("README.md").splitlines()[:12])
    assert "$ make run" in head and "$ make test" in head
    assert "\nwaybill: all tests passed" in head


def test_readmes_first_screen_says_what_it_takes_and_shows_the_dashboard():
    head = text_of("README.md").split("\n## ")[0]
    assert len(head.splitlines()) < 20
    for word in ("git and make", "WhatsApp", "Svix, Convoy or Outpost", "no Postgres, no Redis"):
        assert word in head, word
    (picture,) = re.findall(r"^!\[[^]]+\]\((.*)\)$", head, re.M)
    assert (ROOT / picture).is_file()


def test_changelog_begins_with_this_version_and_its_security():
    headings = re.findall(r"^(##+ .*)$", text_of("CHANGELOG.md"), re.M)
    assert headings[0] in (f"## {version()}, unreleased", f"## {version()}")
    assert headings[1] == "### Security"


def test_readmes_make_commands_print_what_it_says():
    recipes = text_of("Makefile")
    assert "@echo 'waybill: all tests passed'" in recipes
    run = re.search(r"^run: .*\n\t(.*)$", recipes, re.M).group(1)
    assert run == "@exec " + examples.RUNS["make run"]


def test_readmes_commands_are_those_that_make_run_names():
    named = subprocess.run(
        ["sed", "-n", "s/^  //p", ROOT / "etc" / "run-dev"], stdout=subprocess.PIPE, text=True
    ).stdout
    named = named.replace("$listen", "127.0.0.1:8080").replace("${url}", "").replace("\\$", "$")
    steps = section(text_of("README.md"), "Three commands to a delivered event")
    commands = re.findall(r"^\$ (.*)$", steps, re.M)
    assert len(commands) == 3
    assert [c for c in commands if c not in named.splitlines()] == []


# What the source has


def test_every_call_is_in_the_api_and_no_other():
    rows = re.findall(r'\{"([A-Z]+)", "([^"]*)", handle', text_of("src", "api", "router.c"))
    routes = {f"{method} /{path}" for method, path in rows}
    table = section(text_of("docs", "api.md"), "2. Calls")
    documented = set(re.findall(r"^\| `([A-Z]+ [^`]+)` \|", table, re.M))
    names = {"{s}": ":session", "{id}": ":id", "{name}": ":id", "{file}": ":file", "{door}": ":door"}
    assert routes
    assert {re.sub(r"\{\w+\}", lambda m: names[m.group()], c) for c in documented} == routes


def test_every_known_event_is_in_the_api_and_no_other():
    names = text_of("src", "domain", "name.c").split("NAME_EVENTS[] = {")[1].split("};")[0]
    text = section(text_of("docs", "api.md"), "3. Webhooks")
    documented = text.split("Events that may be subscribed to:")[1].split(", and those")[0]
    assert re.findall(r"`(\w+)`", documented) == re.findall(r'"(\w+)"', names)


def place(value):
    """A place of a source's setting, as docs/sources.md has it."""
    if value is None:
        return ""
    [kind] = value.keys() & {"header", "subject", "body"}
    text = f"`{value[kind]}`" if kind == "body" else f"{kind} `{value[kind]}`"
    return text + (f" in {value['unit']}" if "unit" in value else "")


BESIDES = ("type", "split", "drop", "form", "challenge", "id_scope", "id_retention")


def place_row(name, settings):
    values = [place(settings.get(key))
              for key in ("session", "event", "event_id", "timestamp", "data")]
    besides = [f"`{key}`: `{json.dumps(settings[key])}`" for key in BESIDES if key in settings]
    return [f"`{name}`", *values, ", ".join(besides)]


def proof_row(name, preset):
    verify = preset["settings"]["verify"]
    drawn = "drawn" if preset.get("makes_secret") else "given"
    code, behind = "", f" behind `{verify['prefix']}`" if "prefix" in verify else ""
    if verify["type"] == "hmac":
        code = f"{verify.get('hash', 'sha256')}, {verify.get('encoding', 'hex')}"
    return [f"`{name}`", f"`{verify['type']}`", code,
            f"`{verify['header']}`{behind}" if "header" in verify else "",
            f"`{verify['signed']}`" if "signed" in verify else "",
            "" if verify["type"] == "none" else drawn]


def test_every_preset_is_in_sources_as_it_is():
    presets = json.loads(text_of("src", "domain", "presets.json"))
    rows = [[cell.strip() for cell in line.strip("|").split("|")]
            for line in section(text_of("docs", "sources.md"), "4. Presets").splitlines()
            if line.startswith("| `")]
    assert rows == [
        *(place_row(name, preset["settings"]) for name, preset in presets.items()),
        *(proof_row(name, preset) for name, preset in presets.items()
          if "verify" in preset["settings"]),
    ]
    known = {"session", "event", "event_id", "timestamp", "data", "verify", *BESIDES}
    assert all(set(preset["settings"]) <= known for preset in presets.values())


def test_every_member_of_a_source_is_in_sources_and_no_other():
    names = re.search(r"#define MEMBERS(.*?)\n#", text_of("src", "domain", "source_settings.c"), re.S)
    of_streams = re.search(r"#define SOURCE_NATS_MEMBERS(.*?)\n#",
                           text_of("src", "domain", "source_nats.h"), re.S)
    text = text_of("docs", "sources.md")
    table = section(text, "3. Members").split("A **place**")[0]
    streams = section(text, "12. Streams of NATS")
    for rows, words in ((table, names), (streams, of_streams)):
        cells = re.findall(r"^\| ((?:`\w+`[,; ]*)+) \|", rows, re.M)
        documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
        assert sorted(documented) == sorted(re.findall(r"\b[a-z_]+\b", words.group(1)))


def messages():
    """The messages of log lines in the source; those that are kept in tables too."""
    found = set()
    for path in sorted((ROOT / "src").glob("*/*.c")):
        text = path.read_text(encoding="utf-8")
        for call in re.findall(r"\blog_(?:debug|info|warn|error)\((.*?)[,)]\s*LOG_", text, re.S):
            found.update(re.findall(r'"([^"]+)"', call))
        found.update(re.findall(r'\{LOG_\w+, "([^"]+)"\}', text))
    return found


def test_every_log_line_is_in_operations_and_no_other():
    table = section(text_of("docs", "operations.md"), "9. Log lines")
    cells = re.findall(r"^\| (?:debug|info|warn|error) \| (.*?) \|", table, re.M)
    assert len(messages()) > 20
    assert {m for cell in cells for m in re.findall(r"`([^`]+)`", cell)} == messages()


def test_every_table_of_the_store_is_in_the_architecture_and_no_other():
    names = text_of("src", "store", "db.c").split("TABLE_NAMES[DB_TABLES] = {")[1].split("};")[0]
    text = section(text_of("docs", "architecture.md"), "4. On disk")
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ", text.split("###")[0], re.M)
    assert {n for row in rows for n in re.findall(r"\w+", row)} == set(
        re.findall(r'"(\w+)"', names)
    )


def test_every_module_is_in_the_architecture():
    text = section(text_of("docs", "architecture.md"), "2. Layers")
    modules = {path.stem for path in (ROOT / "src").glob("*/*.[ch]")}
    assert {m for m in modules if f"`{m}`" not in text} == set()


def test_worked_records_are_those_of_the_dump():
    """Field by field they make up keys and values that mdb_dump printed."""
    text = section(text_of("docs", "architecture.md"), "4. On disk")
    dumped = re.findall(r"^ ([0-9a-f]+)$", text, re.M)
    tables = re.findall(r"\| bytes \| field \| here \|\n\|.*\n((?:\|.*\n)+)", text)
    assert len(tables) == 10
    for table in tables:
        rows = [re.split(r" *\| *", line) for line in table.splitlines()]
        record = "".join(row[3].strip("`") for row in rows)
        assert record in dumped
        for row in rows:
            size = sum(int(part) for part in row[1].split(" + "))
            assert size * 2 == len(row[3].strip("`")), row


# Links and settings


def anchors(path):
    """The names that a heading can be linked to by."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        if name.startswith("https:"):
            continue
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


DEBIANS_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"  # of ca-certificates


def test_shipped_configuration_is_good_with_every_line_in_force(tmp_path, tls_options):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-token-of-eight\n")
    text = re.sub(r"^#(\w+ = )", r"\1", text_of("etc", "waybill.conf"), flags=re.M)
    text = re.sub(r"^token = .*", "token = another-token", text, flags=re.M)
    text = re.sub(r"^tokens_file = .*", f"tokens_file = {tokens}", text, flags=re.M)
    keys = tmp_path / "keys"
    keys.write_text("0f" * 32 + "\n")
    text = re.sub(r"^secret_key = .*", "secret_key = " + "f0" * 32, text, flags=re.M)
    text = re.sub(r"^secret_key_file = .*", f"secret_key_file = {keys}", text, flags=re.M)
    files = {
        "tls_certificate": tls_options["tls_certificate"],
        "tls_key": tls_options["tls_key"],
        "tls_client_ca": tls_options["tls_certificate"],
    }
    for name, file in files.items():
        text = re.sub(rf"^{name} = .*", f"{name} = {file}", text, flags=re.M)
    text = re.sub(r"^ca_file = .*", f"ca_file = {DEBIANS_AUTHORITIES}", text, flags=re.M)
    login = tmp_path / "nats.creds"
    login.write_text(creds("eyJ9.e30.e30", NatsKey(USER, "docs").seed))
    text = re.sub(r"(?<=_file\":\")[^\"]+", str(login), text)
    # one way of coming to NATS excludes the others
    text = re.sub(r"^cluster_(user|password_file|creds_file) = .*", "", text, flags=re.M)
    text = re.sub(r"^(cluster_\w*token_file) = .*", rf"\1 = {tokens}", text, flags=re.M)
    text = re.sub(r"^cluster_ca_file = .*", f"cluster_ca_file = {DEBIANS_AUTHORITIES}", text,
                  flags=re.M)
    path = tmp_path / "waybill.conf"
    path.write_text(text)
    done = waybill("check-config", "-c", path)
    assert (done.returncode, done.stdout) == (0, f"{path}: ok\n"), done.stderr


PLANTED = [
    ("src/server/settings.c", '"timeout_ms"', '"timeout_mss"'),
    ("src/server/settings.c", '"5000"', '"6000"'),
    ("src/server/settings.c", "from 100 to 30000", "from 200 to 30000"),
    ("src/server/settings.c", "AT(log_level)", "IN(log_level)"),
    ("etc/waybill.conf", "#timeout_ms = 5000", "#timeout_ms = 6000"),
    ("etc/waybill.conf", "#timeout_ms = 5000", ""),
    ("etc/waybill.conf", "#timeout_ms = 5000", "#timeout_ms = 5000\n#colour = red"),
    ("etc/waybill.conf", "# Default: none. Example:\n#ca_file", "#ca_file"),
    ("docs/operations.md", "| `timeout_ms` | `5000` |", "| `timeout_ms` | `6000` |"),
    ("docs/operations.md", "| `timeout_ms` | `5000` |", "| timeout_ms | `5000` |"),
]


@pytest.mark.parametrize("name, old, new", [(None, "", ""), *PLANTED])
def test_options_lint_refuses_what_differs(tmp_path, name, old, new):
    for copy in ("src/server/settings.c", "etc/waybill.conf", "docs/operations.md"):
        (tmp_path / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / copy, tmp_path / copy)
    if name:
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    done = subprocess.run(
        [ROOT / "tests" / "lint" / "options.sh", tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert (done.returncode != 0, done.stdout != "") == (bool(name), bool(name)), done.stdout


def proofs_of(document):
    """What a document says proves something, as (target of make, letter, name)."""
    return re.findall(r"`make ([a-z0-9-]+) ([KT])=([a-z0-9_]+)", text_of("docs", document))


def named_tests(folder):
    """The names of the folder's files of Python tests, and of the tests in them."""
    files = list((ROOT / "tests" / folder).glob("test_*.py"))
    text = "\n".join(path.stem + "\n" + path.read_text() for path in files)
    return re.findall(r"^(?:def )?(test_\w+)", text, re.M)


@pytest.mark.parametrize("document", ["reliability.md", "security.md", "hacking.md"])
def test_proofs_that_are_named_exist(document):
    ends = {f"test-{part}": named_tests(part) for part in ("e2e", "field")}
    ends["siege"] = named_tests("siege")
    trials = (ROOT / "tests/cluster/test_trials.py").read_text(encoding="utf-8")
    ends["cluster"] = re.findall(r"^def (\w+)", trials, re.M)  # parameters of one test
    units = {path.stem.removeprefix("test_") for path in (ROOT / "tests/unit").glob("test_*.c")}
    fuzzers = {path.stem.removeprefix("fuzz_") for path in (ROOT / "tests/fuzz").glob("*.c")}
    named = proofs_of(document)
    assert named
    for target, letter, name in named:
        if letter == "K":
            assert any(name in test for test in ends[target]), name
        else:
            assert name in units | fuzzers, name
