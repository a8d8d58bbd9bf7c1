"""Fixtures of the trials; lab.py has what they are made of."""

import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest

pytest.register_assert_rewrite("lab")
pytest_plugins = ["gateway_fixtures"]

KEPT = pathlib.Path(__file__).resolve().parents[2] / "build/cluster"  # of runs that failed
LABS = pytest.StashKey[list]()
PROGRAMS = ("ip", "mkfs.ext4", "mount", "umount", "haproxy", "mdb_dump", "curl",
            "nsenter")


def lacks():
    """Why hosts cannot be made here; None: they can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if os.geteuid() != 0:
        return "needs root"
    if missing:
        return f"needs {', '.join(missing)}"
    name = f"wb{os.getpid()}try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    if made.returncode != 0:
        return f"needs network namespaces: {made.stderr.strip()}"
    return None if os.path.exists("/dev/loop-control") else "needs loop devices"


def pytest_configure():
    """Who ends a run by SIGTERM ends its hosts too."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=3))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows what the hosts of a failed trial have logged, and keeps it."""
    report = (yield).get_result()
    if report.failed:
        for lab in item.stash.get(LABS, []):
            lab.keep = True
            report.sections.extend(lab.report())


@pytest.fixture
def make_lab(request):
    """Makes three hosts: make_lab(**settings of the members)."""
    why = lacks()
    if why is not None:
        pytest.skip(why)
    from lab import Lab, sweep

    sweep()
    labs = request.node.stash.setdefault(LABS, [])
    name = "".join(c if c.isalnum() else "-" for c in request.node.name).strip("-")

    def make(**options):
        folder = KEPT / f"{time.strftime('%H%M%S')}-{name}-{len(labs)}"
        lab = Lab(folder, **options)
        labs.append(lab)
        return lab.build()

    yield make
    for lab in labs:
        lab.close()
        if not lab.keep and "WAYBILL_CLUSTER_KEEP" not in os.environ:
            shutil.rmtree(lab.folder)
