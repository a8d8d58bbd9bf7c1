"""Each target of the Makefile installs what it needs, by its group in etc/install-deps."""

import os
import re
import subprocess

import pytest

from harness import ROOT

# A program that a recipe runs, and Debian's package that has it. What make itself is run with,
# coreutils and the like, every Debian has.
PROGRAMS = {
    "gcc": "gcc", "clang": "clang", "clang-format": "clang-format", "clang-tidy": "clang-tidy",
    "dpkg-buildpackage": "dpkg-dev", "pkg-config": "pkg-config", "curl": "curl",
    "python3": "python3", "tests/lint/all.sh": "cppcheck", "etc/man/generate": "scdoc",
    "etc/run-dev": "curl", "tests/run": "python3-pytest-xdist", "bench/run.py": "python3",
    "docs/first_hour.py": "nginx-light", "docs/screenshots.py": "chromium-driver",
    "bench/instructions.py": "valgrind", "tests/fresh/run": "debootstrap",
    "tests/soak/soak.py": "python3-requests",
}
# Those that need nothing; what installs by itself; and what builds with what there is, as `make` alone.
OTHERS = {"all", "clean", "help", "uninstall", "bench-rival"}


def make(*words):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        ["make", "-C", ROOT, "-s", "--no-print-directory", *words], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=50, env=kept,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


TARGETS = sorted(set(re.findall(r"(?m)^make (\S+)", make("help"))) - OTHERS)


def packages(*groups):
    listed = subprocess.run(
        [ROOT / "etc" / "install-deps", "--list", *groups], stdout=subprocess.PIPE, text=True, check=True
    )
    return set(listed.stdout.split())


def test_there_are_targets():
    assert {"run", "test", "deb", "man", "install", "first-hour", "screenshots", "lint", "fresh"} <= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_target_installs_what_it_runs(target):
    recipe = make("-n", "-W", "Makefile", "-W", "src/main.c", target)
    lines = recipe.splitlines()
    installs = [n for n, line in enumerate(lines) if line.startswith("etc/install-deps ")]
    assert installs, "it installs nothing"
    groups = lines[installs[0]].split()[1:]
    words = set(re.findall(r"(?<![\w./-])[\w./-]*[a-z]\w*(?:[-.][\w.]+)*", recipe))
    words |= {word.removeprefix("/usr/bin/") for word in words}
    wanted = {package for program, package in PROGRAMS.items() if program in words}
    assert wanted - packages(*groups) == set()


def test_packages_own_needs_are_in_its_group():
    """Build-Depends of the package: what dpkg-buildpackage asks for."""
    control = (ROOT / "etc" / "debian" / "control").read_text()
    text = re.search(r"(?ms)^Build-Depends: (.*?)^\S", control).group(1)
    needs = set(re.findall(r"(?:^|,)\s*([a-z0-9+.-]+)", text))
    assert len(needs) > 10
    # what debhelper is asked for by other names
    assert needs - {"debhelper-compat", "dh-sequence-installsysusers"} - packages("package") == set()
    assert {"build-essential", "debhelper"} <= packages("package") & packages("test")


def test_a_group_that_is_none_is_refused():
    done = subprocess.run([ROOT / "etc" / "install-deps", "tset"], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "usage" in done.stderr
