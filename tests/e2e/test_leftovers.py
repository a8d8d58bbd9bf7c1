"""What a run of the tests leaves in the temporary folder: what failed, and nothing else."""

import os
import subprocess
import sys

import pytest

from harness import ROOT

TESTS = """
import pytest

def fill(folder):
    (folder / "store").write_bytes(bytes(1000))

@pytest.fixture
def gone_wrong():
    yield
    assert False

@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    fill(folder)
    return folder

def test_good(tmp_path, shared):
    fill(tmp_path)

def test_without_a_folder():
    pass

def test_passed_over(tmp_path):
    fill(tmp_path)
    pytest.skip("no matter")
"""
BAD = """
def test_bad(tmp_path):
    fill(tmp_path)
    assert False

def test_ends_badly(tmp_path, gone_wrong):
    fill(tmp_path)
"""


def left(tmp_path, text, *options):
    (tmp_path / "test_it.py").write_text(text)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "gateway_fixtures", *options, tmp_path],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=50,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
             "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT / "tests" / "e2e")},
    )
    files = sorted(path for path in temporary.rglob("store") if not path.parent.is_symlink())
    return done, [path.parent.name.rstrip("0") for path in files]


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "two workers"])
def test_of_what_passed_nothing_is_left(tmp_path, options):
    done, folders = left(tmp_path, TESTS, *options)
    assert "2 passed, 1 skipped" in done.stdout and done.returncode == 0, done.stdout
    assert folders == []


def test_of_what_failed_all_is_left(tmp_path):
    done, folders = left(tmp_path, TESTS + BAD)
    assert "1 failed, 3 passed, 1 skipped, 1 error" in done.stdout, done.stdout
    assert folders == ["shared", "test_bad", "test_ends_badly"]
