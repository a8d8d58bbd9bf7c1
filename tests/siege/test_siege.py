"""The frame itself: without an attack a siege passes, and it fails where something is wrong."""

import pytest

from harness import delay
from siege import judge_times


def test_siege_without_an_attack_passes(gateway, besiege):
    with besiege(gateway) as siege:
        siege.hold()
    assert len(siege.pair.delays) == len(siege.pair.published) > 0


def test_refusal_of_the_healthy_fails_it(make_gateway, besiege):
    gateway = make_gateway(max_queue_per_session=1)
    siege = besiege(gateway)
    siege.pair._receiver.answer(200, delay(1.5))
    with pytest.raises(AssertionError, match="429"):
        with siege:
            siege.hold()


def test_times_are_judged():
    judge_times("it", [0.1] * 100 + [3] * 100, 1, 5)
    with pytest.raises(AssertionError, match="101 of 201 took over 1 s"):
        judge_times("it", [0.1] * 100 + [3] * 101, 1, 5)
    with pytest.raises(AssertionError, match="took 6.0 s"):
        judge_times("it", [0.1] * 100 + [6], 1, 5)
