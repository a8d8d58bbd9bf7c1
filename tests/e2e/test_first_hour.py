"""What docs/first-hour.md tells a new user to do, done: the package, nginx, a browser."""

import shutil
import sys

import pytest

from harness import ROOT
from layer import can_layer

sys.path.insert(0, str(ROOT / "docs"))

import first_hour  # noqa: E402  (found by the line before)


@pytest.mark.timeout(600)  # the package may have to be built
@pytest.mark.skipif(not shutil.which("nginx", path="/usr/sbin"), reason="needs nginx")
def test_the_first_hour_goes_as_it_is_written(package, tmp_path):
    if not can_layer(tmp_path):
        pytest.skip("needs root and overlays, to install without touching this system")
    printed, good = first_hour.do_all(tmp_path)
    assert good, printed
