"""
Programs of other versions, for members that are upgraded one after the other: the one of a commit
of before, and this one as if the next release had been made, whose store has something more.
"""

import fcntl
import re
import shutil
import subprocess

from harness import ROOT

BUILD = ROOT / "build/versions"
BEFORE = "9d415719d"  # schema 9, with a cluster
SCHEMA = re.compile(r"(?<=#define SCHEMA_VERSION )\d+")
RECORD = re.compile(r"(?<=#define VERSION )\d+")
MIGRATIONS = re.compile(r"(MIGRATIONS\[SCHEMA_VERSION\] = \{.*?)(?=\n\};)", re.S)


def make(folder):
    done = subprocess.run(["make", "-C", folder, "-s", "build/waybill"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build/waybill"


def locked(fn):
    """One run at a time builds."""
    def build(*args):
        BUILD.mkdir(parents=True, exist_ok=True)
        with open(BUILD / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return fn(*args)
    return build


def has_before():
    """Whether this checkout knows the commit: a shallow one does not, nor what has no .git."""
    return subprocess.run(["git", "-C", ROOT, "cat-file", "-e", f"{BEFORE}^{{commit}}"],
                          capture_output=True).returncode == 0


@locked
def before():
    """The program of the commit, built once."""
    folder = BUILD / BEFORE
    if not (folder / "build/waybill").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        packed = subprocess.run(["git", "-C", ROOT, "archive", BEFORE], capture_output=True,
                                check=True)
        subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)
    return make(folder)


def change(path, pattern, text):
    changed, count = pattern.subn(text, path.read_text())
    assert count == 1, path
    path.write_text(changed)


def one_more(found):
    return str(int(found[0]) + 1)


@locked
def behind(what):
    """This working tree's with a `schema` more, or a version of webhooks' `record`s more."""
    folder = BUILD / what
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("build", ".git"), symlinks=True)
    shutil.copytree(ROOT / "build/release", folder / "build/release",  # what is as it was
                    ignore=shutil.ignore_patterns("tests", "log"))
    if what == "schema":
        change(folder / "src/store/schema.h", SCHEMA, one_more)
        change(folder / "src/store/schema.c", MIGRATIONS, lambda f: f"{f[1]}\n    make_tables,")
    else:
        change(folder / "src/domain/webhook.c", RECORD, one_more)
    return make(folder)
