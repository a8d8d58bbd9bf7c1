"""Fixtures of the trials; lab.py has what they are made of."""

import os
import subprocess

import pytest

pytest.register_assert_rewrite("lab")
pytest_plugins = ["gateway_fixtures"]


def can_make_hosts():
    """Whether this process may make network namespaces and mount files."""
    if os.geteuid() != 0:
        return False
    name = f"wb{os.getpid() % 100000}try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True)
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return made.returncode == 0 and os.path.exists("/dev/loop-control")


@pytest.fixture
def make_lab(tmp_path):
    """Makes three hosts: make_lab(**settings of the members)."""
    if not can_make_hosts():
        pytest.skip("needs root, network namespaces and loop devices")
    from lab import Lab

    labs = []

    def make(**options):
        lab = Lab(tmp_path / f"lab{len(labs)}", **options)
        labs.append(lab)
        return lab.build()

    yield make
    for lab in labs:
        lab.close()
