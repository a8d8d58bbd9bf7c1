"""Fixtures of the end-to-end tests; harness.py has what they are made of."""

import pytest

pytest.register_assert_rewrite("harness")

from harness import Gateway, Process, Receiver  # noqa: E402  (after the rewrite is set up)

FAST_RETRY = ",".join(["50ms"] * 9)  # ten attempts, as many as the default schedule
GATEWAYS = pytest.StashKey[list]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """Shows a failed test's gateway logs."""
    report = (yield).get_result()
    if report.failed:
        for gateway in item.stash.get(GATEWAYS, []):
            report.sections.append((f"log of {gateway.directory.name}", gateway.log_text()))


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
