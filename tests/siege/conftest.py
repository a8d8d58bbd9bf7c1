"""Fixtures of the siege; siege.py has what they are made of."""

import resource

import pytest

pytest.register_assert_rewrite("siege")
pytest_plugins = ["gateway_fixtures"]  # once it is in, which sets up harness.py, siege.py may be


def pytest_sessionstart():
    """An attacker has as many descriptors as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
def besiege(make_receiver):
    """
    Begins sieges: `with besiege(gateway) as siege`. Each has a healthy pair of its own, and is
    judged where its `with` ends.
    """
    from siege import Siege

    def begin(gateway, **options):
        return Siege(gateway, make_receiver(), **options)

    return begin
