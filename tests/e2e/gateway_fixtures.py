"""Fixtures of the end-to-end tests, the field and the siege; harness.py has what they are made of."""

import pathlib
import shutil
import signal
import tempfile

import pytest
import trustme

pytest.register_assert_rewrite("harness")

from harness import Gateway, Process, Receiver, tls_client  # noqa: E402  (after the rewrite is set up)
from layer import build_package  # noqa: E402  (it imports harness)

FAST_RETRY = ",".join(["50ms"] * 9)  # ten attempts, as many as the default schedule
GATEWAYS = pytest.StashKey[list]()
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows a failed test's gateway logs; of one that passed, removes the folder."""
    report = (yield).get_result()
    if report.failed:
        item.stash[FAILED] = True
        for gateway in item.stash.get(GATEWAYS, []):
            report.sections.append((f"log of {gateway.directory.name}", gateway.log_text()))
    elif report.when == "teardown" and not item.stash.get(FAILED, False):
        directory = (item.funcargs or {}).get("tmp_path")
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def pytest_sessionfinish(session):
    """
    Removes what is left, that of modules, where all has passed. (pytest could do so itself from
    7.3 on: tmp_path_retention_policy, which Debian 12's does not know.)
    """
    factory = getattr(session.config, "_tmp_path_factory", None)
    if session.testsfailed == 0 and factory is not None and factory._basetemp is not None:
        shutil.rmtree(factory._basetemp, ignore_errors=True)


@pytest.fixture
def make_gateway(request, tmp_path):
    """Starts gateways: make_gateway(retry_schedule="1s"). One that still runs ends well."""
    gateways = request.node.stash.setdefault(GATEWAYS, [])

    def make(**options):
        directory = tmp_path / f"gateway{len(gateways) + 1}"
        gateway = Gateway(directory, **{"retry_schedule": FAST_RETRY, **options})
        gateways.append(gateway)  # before it starts: its log is wanted most where that fails
        gateway.start()
        return gateway

    yield make
    try:
        for gateway in gateways:
            if gateway.running:
                gateway.stop()
    finally:
        for gateway in gateways:
            gateway.close()


@pytest.fixture
def gateway(make_gateway):
    return make_gateway()


@pytest.fixture(scope="session")
def package():
    """The Debian package, built once."""
    return build_package()


@pytest.fixture(scope="session")
def authority():
    """The authority of the tests' certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def tls_options(authority, tmp_path_factory):
    """Options that let a gateway serve HTTPS: make_gateway(**tls_options)."""
    directory = tmp_path_factory.mktemp("tls")
    certificate = authority.issue_cert("127.0.0.1", "::1", "localhost")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    return {
        "listen": "tls:127.0.0.1:0",
        "tls_certificate": directory / "certificate.pem",
        "tls_key": directory / "key.pem",
        "tls": tls_client(authority),
    }


@pytest.fixture
def make_receiver(make_gateway):  # after it, so that no gateway waits for one that hangs
    """Starts receivers: make_receiver(500, 200). None may have met broken HTTP."""
    receivers = []

    def make(*script, **options):
        receivers.append(Receiver(*script, **options))
        return receivers[-1]

    yield make
    for receiver in receivers:
        receiver.close()
    assert [receiver.errors for receiver in receivers] == [[] for _ in receivers]


@pytest.fixture
def receiver(make_receiver):
    return make_receiver()


@pytest.fixture
def start_process():
    """Starts other programs, and ends them after the test."""
    processes = []

    def start(*command, env=None):
        processes.append(Process(command, env=env))
        return processes[-1]

    yield start
    for process in processes:
        process.close()


@pytest.fixture
def folder():
    """A short one: the path of a unix socket has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="wb") as name:
        yield pathlib.Path(name)


@pytest.fixture
def start_front(make_gateway):  # after it, so that no gateway waits for one
    """Starts proxies and ends them in their own way: nginx's workers go with their master."""
    processes = []

    def start(*command):
        processes.append(Process(command))
        return processes[-1]

    yield start
    for process in processes:
        process.signal(signal.SIGTERM)
    for process in processes:
        process.wait()
