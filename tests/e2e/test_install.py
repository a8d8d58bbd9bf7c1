"""
What comes with the program: units and how far they are hardened, manual pages, completion,
what `make install` puts where, the recipe of the container.
"""

import json
import os
import re
import shlex
import subprocess

import pytest

from harness import BINARY, ROOT, environment, wait_until, waybill

ETC = ROOT / "etc"
RELEASE = ROOT / "build" / "waybill"


def run(*command, **options):
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=50, **{"env": environment(), **options},
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def settings():
    """The names of all settings, of `waybill help`."""
    return re.findall(r"(?m)^  --([a-z-]+) ", waybill("help").stdout)


def commands():
    listed = waybill("help").stdout.split("\n\n")[1]
    return re.findall(r"(?m)^  ([a-z][a-z-]*) ", listed)


# Units


def directives():
    text = (ETC / "waybill.service").read_text()
    return re.findall(r"(?m)^([A-Z]\w+)=(.*)$", text)


def test_hardened_as_far_as_is_written_down():
    documented = re.search(
        r"exposure level for waybill\.service: ([\d.]+)", (ROOT / "docs/operations.md").read_text()
    ).group(1)
    told = run("systemd-analyze", "security", "--no-pager", "--offline=true", ETC / "waybill.service")
    found = re.search(r"exposure level for waybill\.service: ([\d.]+)", told).group(1)
    assert found == documented


def test_units_are_right(tmp_path):
    for name in ("waybill.service", "waybill.socket"):
        text = (ETC / name).read_text().replace("/usr/bin/waybill", BINARY)
        (tmp_path / name).write_text(text)
    told = run(
        "systemd-analyze", "verify", "--man=no", tmp_path / "waybill.socket",
        tmp_path / "waybill.service",
    )
    assert told == ""


def allowed_calls():
    """The system calls that the unit's filter lets through."""
    groups, name = {}, None
    for line in run("systemd-analyze", "syscall-filter", "--no-pager").splitlines():
        if line.startswith("@"):
            name = line.strip()
            groups[name] = []
        elif line.startswith("    ") and not line.strip().startswith("#"):
            groups[name].append(line.strip())

    def members(word):
        if not word.startswith("@"):
            return {word}
        return set().union(*map(members, groups[word]))

    calls = set()
    for key, value in directives():
        if key == "SystemCallFilter":
            named = set().union(*map(members, value.lstrip("~").split()))
            calls = calls - named if value.startswith("~") else calls | named
    return calls


# Those of the sanitizers, of setting limits, which the unit does in the program's place, and of
# starting it.
BEYOND = {"prlimit64", "setrlimit", "getrlimit", "execve"}


@pytest.mark.skipif(BINARY != str(RELEASE), reason="the sanitizers make calls of their own")
def test_the_filter_lets_all_calls_through(make_gateway, make_receiver, tmp_path, tls_options):
    import signal

    trace = tmp_path / "trace"
    receiver = make_receiver(500, 200)
    options = {**tls_options, "listen": ["tls:127.0.0.1:0", f"unix:{tmp_path}/s"]}
    gateway = make_gateway(prefix=["strace", "-f", "-qq", "-o", trace, "-D"], **options)
    gateway.register("s1", receiver.url().replace("127.0.0.1", "localhost"))
    gateway.publish("s1")
    receiver.wait_for(2)
    gateway.process.signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in gateway.log_text(), what="a reload")
    gateway.stop()
    made = set(re.findall(r"(?m)^\d+ +([a-z_0-9]+)\(", trace.read_text()))
    assert {"accept4", "sendto", "fdatasync"} & made and len(made) > 30
    assert made - allowed_calls() - BEYOND == set()


# Manual pages


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What `make install` makes, below a folder."""
    target = tmp_path_factory.mktemp("installed")
    kept = {k: v for k, v in environment().items() if not k.startswith("MAKE")}
    run("make", "-C", ROOT, "install", f"DESTDIR={target}", env=kept)
    return target / "usr" / "local"


def page(installed, name):
    path = installed / "share" / "man" / f"man{name[-1]}" / name
    options = {"env": {**os.environ, "MANWIDTH": "10000", "MAN_KEEP_FORMATTING": ""}}
    assert run("man", "--warnings", "-l", path, **options)
    return run("man", "-l", path, **options)


def test_the_manual_has_all_settings(installed):
    text = page(installed, "waybill.conf.5")
    for name in settings():
        assert re.search(rf"(?m)^ +{name.replace('-', '_')}$", text), name


def test_the_manual_has_all_commands(installed):
    text = page(installed, "waybill.1")
    listed = re.search(r"(?ms)^COMMANDS\n(.*?)^[A-Z]", text).group(1)
    found = re.findall(r"(?m)^ {7}([a-z-]+)", listed)
    assert found == [*commands(), "help"]


# Completion


def complete(*words):
    """What bash offers for the last of the words behind `waybill`."""
    script = f"""
        . {shlex.quote(str(ETC / "waybill.bash-completion"))}
        COMP_WORDS=(waybill {" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words)}
        _waybill {shlex.quote(BINARY)}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return run("bash", "--norc", "-c", script).split()


def test_completion():
    assert sorted(complete("")) == sorted([*commands(), "help"])
    assert complete("check") == ["check-config"]
    assert complete("serve", "--max-in") == ["--max-in-flight", "--max-input-bytes"]
    assert {"--" + name for name in settings()} | {"-c"} == set(complete("serve", "-"))
    assert complete("serve", "--log-format", "") == ["text", "json"]
    assert {"--url", "--token"} <= set(complete("send", "--"))
    assert complete("version", "-") == []
    assert complete("source", "") == ["add", "list", "show", "rotate", "remove"]
    assert complete("source", "r") == ["rotate", "remove"]
    assert complete("source", "add", "--pre") == ["--preset"]
    assert complete("fsck", f"{ETC}/waybill.serv") == [f"{ETC}/waybill.service"]


# make install


def test_install_and_uninstall(installed):
    unit = (installed / "lib/systemd/system/waybill.service").read_text()
    assert "\nExecStart=/usr/local/bin/waybill serve -c /usr/local/etc/waybill/waybill.conf\n" in unit
    assert "/usr/bin/waybill" not in unit
    assert run(installed / "bin" / "waybill", "version") == waybill("version").stdout
    target = installed.parent.parent
    kept = {k: v for k, v in environment().items() if not k.startswith("MAKE")}
    copy = target.with_name("copy")
    run("cp", "-a", target, copy)
    run("make", "-C", ROOT, "uninstall", f"DESTDIR={copy}", env=kept)
    assert [p for p in copy.rglob("*") if not p.is_dir()] == []


# The container


def test_packages_of_the_programs_libraries():
    """What the image installs: all that the program needs, not what that needs in turn."""
    packages = run(ETC / "packages-of", RELEASE).split()
    assert packages == sorted(set(packages))
    linked = {path for path in re.findall(r"=> (\S+)", run("ldd", RELEASE))}
    needed = set(re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", RELEASE)))
    assert {p for p in linked if os.path.basename(p) in needed} and len(needed) > 10
    of_one = [n for n in needed if not re.match(r"(libc|libm|ld-linux.*)\.so", n)]
    assert len(of_one) - 2 <= len(packages) <= len(of_one)  # libssl has two
    assert set(run("dpkg-query", "-W", "-f", "${db:Status-Status}\n", *packages).split()) == {"installed"}
    for name in ("libcurl4", "liblmdb0", "libssl3", "libcjson1"):
        assert any(re.fullmatch(name + "(t64)?", package) for package in packages), name


def test_health_of_the_container(make_gateway):
    """The command of HEALTHCHECK, on the port that the test has."""
    text = (ETC / "Dockerfile").read_text().replace("\\\n", " ")
    command = json.loads(re.search(r"(?m)^HEALTHCHECK .*CMD (\[.*\])$", text).group(1))
    gateway = make_gateway()
    command = [word.replace("/8080", f"/{gateway.address[1]}") for word in command]
    run(*command)
    gateway.stop()
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=20).returncode != 0
