"""Fixtures of the field; those of the end-to-end tests are here too."""

import pytest

pytest_plugins = ["gateway_fixtures"]


@pytest.fixture
def name_server(make_gateway):  # after it, so that no gateway waits for one
    """A name server that knows no name yet: name_server.names["a.test"] = ["127.0.0.2"]."""
    from name_server import NameServer

    server = NameServer()
    yield server
    server.close()
