"""A few seconds of `make soak`, with the same code. SOAK_SEED=N repeats a run."""

import os
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))

from soak import Soak  # noqa: E402


@pytest.mark.timeout(240)
def test_nothing_is_lost_and_nothing_grows(tmp_path, monkeypatch):
    # a sanitizer keeps what is freed for a while, which looks like growth
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=8")
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(1 << 32))
    print(f"SOAK_SEED={seed}")
    soak = Soak(tmp_path / "gateway", seed, seconds=3, rounds=1)
    try:
        soak.run()
    finally:
        soak.close()
        print(soak.summary())
    assert soak.ledger.accepted > 0 and soak.kills + soak.stops > 0
