"""The command line and the environment: what is asked for, and what is meant."""

import re
import subprocess

import pytest

from harness import BINARY, environment, version, waybill

# As Kubernetes writes them for a service named waybill, and for one named waybill-metrics
KUBERNETES = {
    "WAYBILL_SERVICE_HOST": "10.0.171.239",
    "WAYBILL_SERVICE_PORT": "8080",
    "WAYBILL_SERVICE_PORT_HTTP": "8080",
    "WAYBILL_PORT": "tcp://10.0.171.239:8080",
    "WAYBILL_PORT_8080_TCP": "tcp://10.0.171.239:8080",
    "WAYBILL_PORT_8080_TCP_PROTO": "tcp",
    "WAYBILL_PORT_8080_TCP_PORT": "8080",
    "WAYBILL_PORT_8080_TCP_ADDR": "10.0.171.239",
    "WAYBILL_METRICS_PORT": "tcp://10.0.171.240:9090",
    "WAYBILL_METRICS_SERVICE_HOST": "10.0.171.240",
}
WARNING = 'level=warn msg="variables of the environment are no settings"'


def commands():
    return re.findall(r"(?m)^  ([a-z][a-z-]*) ", waybill("help").stdout.split("settings,")[0])


def settings():
    return re.findall(r"(?m)^  --([a-z-]+) ", waybill("help").stdout)


# Variables


def test_variables_of_kubernetes(make_gateway):
    gateway = make_gateway(env=KUBERNETES)
    log = gateway.log_text()
    assert WARNING not in log and "10.0.171" not in log
    assert gateway.publish("s1")


def test_no_setting_is_named_as_kubernetes_names_variables():
    kind = re.compile(r"(.*-)?(service-host|service-port(-.*)?|port|port-\d+-.*)")
    assert settings() and [name for name in settings() if kind.fullmatch(name)] == []


@pytest.mark.parametrize("name", [
    "WAYBILL_TIMOUT_MS", "WAYBILL_", "WAYBILL_timeout_ms",
    # all but what Kubernetes writes
    "WAYBILL_PORT", "WAYBILL_SERVICE", "WAYBILL_SERVICE_HOSTS", "WAYBILL_PORT_8080", "WAYBILL_PORT_A_TCP",
    "WAYBILL_service_host", "WAYBILL_MYSERVICE_HOST",
])
def test_variable_that_is_no_setting(name):
    done = waybill("check-config", env={name: "some-value"})
    assert done.returncode == 0 and "ok" in done.stdout
    assert WARNING in done.stderr and name in done.stderr and "some-value" not in done.stderr


def test_links_to_services_hide_no_misspelt_setting():
    done = waybill("check-config", env={**KUBERNETES, "WAYBILL_TIMOUT_MS": "5"})
    assert "count=1 names=WAYBILL_TIMOUT_MS\n" in done.stderr


def test_hundreds_of_variables():
    done = waybill("check-config", env={f"WAYBILL_{i}_PART": "tcp://a:1" for i in range(500)})
    assert done.returncode == 0 and "count=500" in done.stderr and "WAYBILL_" in done.stderr


@pytest.mark.parametrize("env", [{}, {"WAYBILL_URL": "http://127.0.0.1:1"}])
def test_nothing_to_warn_of(env):
    assert waybill("check-config", env=env).stderr == ""


def test_bad_value_of_a_setting_is_an_error():
    done = waybill("check-config", env={"WAYBILL_TIMEOUT_MS": "tcp://10.0.171.239:8080"})
    assert done.returncode == 1 and "timeout_ms" in done.stderr


# What is asked for is on standard output


@pytest.mark.parametrize("args", [["help"], ["--help"], ["-h"], ["help", "--help"]])
def test_help(args):
    done = waybill(*args)
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("serve", "send", "fsck", "--timeout-ms"):
        assert name in done.stdout


@pytest.mark.parametrize("args", [["version"], ["--version"], ["-V"]])
def test_version(args):
    done = waybill(*args)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"waybill {version()}\n", "")


def test_help_of_each_command():
    assert {"serve", "check-config", "tail", "version"} <= set(commands())
    for name in commands():
        answers = [
            waybill("help", name), waybill(name, "--help"), waybill(name, "-h"),
            waybill(name, "stray", "--help"),
        ]
        assert {(a.returncode, a.stderr) for a in answers} == {(0, "")}, name
        assert len({a.stdout for a in answers}) == 1
        assert answers[0].stdout.startswith(f"usage: waybill {name}")


def test_help_of_serve_has_the_settings():
    text = waybill("serve", "--help").stdout
    assert [name for name in settings() if f"--{name} " not in text] == []


def test_flags_of_a_synopsis_are_in_the_help():
    for name in commands():
        text = waybill("help", name).stdout
        synopsis, rest = text.split("\n", 1)
        for flag in re.findall(r"--[a-z-]+", synopsis):
            assert f"  {flag}" in rest, (name, flag)


def test_help_behind_two_dashes_is_an_argument():
    done = waybill("send", "--", "--help", "No Event")
    assert done.returncode == 2 and "EVENT must match" in done.stderr


@pytest.mark.parametrize("args", [["help"], ["--version"], ["help", "send"]])
def test_answer_that_gets_nowhere(args):
    with open("/dev/full", "w") as full:
        done = subprocess.run([BINARY, *args], stdout=full, env=environment(), timeout=20)
    assert done.returncode == 1


# Misuse is on standard error


@pytest.mark.parametrize(
    "args, words",
    [
        ([], "usage: waybill COMMAND"),
        (["srve"], "did you mean serve?"),
        (["Serve"], "did you mean serve?"),
        (["check"], "did you mean check-config?"),
        (["chekc-config"], "did you mean check-config?"),
        (["hlep"], "did you mean help?"),
        (["help", "tial"], "did you mean tail?"),
        (["--verbose"], "--verbose: unknown flag"),
        (["fly"], "fly: unknown command"),
        ([""], "unknown command"),
        (["x" * 5000], "unknown command"),
        (["serve", "--max-bdy-bytes", "3"], "did you mean --max-body-bytes?"),
        (["check-config", "--tokensfile=hush-hush"], "did you mean --tokens-file?"),
        (["serve", "--hepl"], "did you mean --help?"),
        (["send", "--tokn", "hush-hush"], "waybill send: --tokn: unknown flag; did you mean --token?"),
        (["send", "--token"], "waybill send: --token: needs a value"),
        (["top", "--once=1"], "waybill top: --once: takes no value"),
        (["top", "-x"], "waybill top: -x: unknown flag"),
        (["tail", "--jsno"], "waybill tail: --jsno: unknown flag; did you mean --json?"),
        (["listen", "--prot", "1"], "waybill listen: --prot: unknown flag; did you mean --port?"),
        (["listen", "--port"], "waybill listen: --port: needs a value"),
        (["backup", "--zzz"], "waybill backup: --zzz: unknown flag"),
        (["fsck"], "usage: waybill fsck DIR"),
        (["version", "now"], "takes no argument"),
        (["help", "send", "tail"], "one COMMAND"),
    ],
)
def test_misuse(args, words):
    done = waybill(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and "hush-hush" not in done.stderr
    if "did you mean" not in words:
        assert "did you mean" not in done.stderr
