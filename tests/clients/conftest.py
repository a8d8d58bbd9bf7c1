"""Lends the fixtures of the end-to-end tests to the tests beside it."""

pytest_plugins = ["gateway_fixtures"]
