"""Fixtures of the siege; siege.py has what they are made of."""

import resource

import pytest

pytest.register_assert_rewrite("siege", "attackers")
pytest_plugins = ["gateway_fixtures"]  # once it is in, which sets up harness.py, siege.py may be


def pytest_sessionstart():
    """An attacker has as many descriptors as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture
def besiege(make_receiver):
    """
    Begins sieges: `with besiege(gateway) as siege`. Each has a healthy pair of its own, with
    `receiver` or another, and is judged where its `with` ends.
    """
    from siege import Siege

    def begin(gateway, receiver=None, **options):
        return Siege(gateway, receiver or make_receiver(), **options)

    return begin


@pytest.fixture
def bad(make_gateway):  # after it, so that no gateway waits for one that hangs
    """A receiver of attackers' webhooks."""
    from attackers import BadReceiver

    receiver = BadReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def front(make_gateway, folder, authority, start_front):
    """
    Puts a proxy with the shipped configuration before a gateway: front("nginx", **options)
    returns both.
    """
    from fronts import ARE_THERE, Front, behind

    if not ARE_THERE:
        pytest.skip("needs nginx and haproxy")

    def begin(kind, **options):
        gateway = behind(make_gateway, folder, "api", **options)
        sockets = {"/run/waybill/api.sock": f"{folder}/api.sock"}
        proxy = Front(kind, False, folder, sockets, gateway.token, authority, start_front)
        return proxy, gateway

    return begin
