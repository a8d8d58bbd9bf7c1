"""Lends the fixtures of gateway_fixtures.py to the tests beside it."""

pytest_plugins = ["gateway_fixtures"]
