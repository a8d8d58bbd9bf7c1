"""
What docs/first-hour.md tells a new user to do, done: the package, nginx, a browser. And an outage
of two sessions, as its end has it, by the dashboard alone.
"""

import shutil
import sys
import time

import pytest

from browser import Browser, Page
from harness import ROOT, behaviour, wait_until
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


SESSIONS = ("shop", "blog")
AN_OUTAGE_S = 120  # what finding, mending and sending again may take


@pytest.fixture
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.mark.timeout(300)
def test_an_outage_of_two_sessions_is_mended_in_two_minutes(browser, make_gateway, make_receiver):
    """One receiver of both is down, its circuits are open, and what was given up is dead."""
    gateway = make_gateway(circuit_failures=5, circuit_open="1h")
    answers = {"code": 503}

    def act(link, request, closing):
        return behaviour(answers["code"])(link, request, closing)

    receiver = make_receiver(act)
    for session in SESSIONS:
        made = gateway.register(session, receiver.url(), retry=["10ms"], max_in_flight=1)
        gateway.publish(session)
        wait_until(lambda: gateway.dlq(session))  # given up before it opens; the others wait
        for _ in range(5):
            gateway.publish(session)
        wait_until(lambda: gateway.webhook(session, made["id"])["circuit"]["state"] == "open")
    wanted = {d["event_id"] for s in SESSIONS for d in
              gateway.api("GET", f"/sessions/{s}/deliveries").json()["deliveries"]}
    dead = len(gateway.api("GET", "/dlq").json()["entries"])
    assert dead >= len(SESSIONS)
    began = time.monotonic()
    page = Page(browser, gateway)

    page.open()
    page.wait_text("Webhooks that need a look", "shop", "blog", "503")  # found, and why
    answers["code"] = 200  # mended
    for session in SESSIONS:
        page.open()
        page.wait_text("Webhooks that need a look", session)
        page.js("""[...document.querySelectorAll('main td a')].find((a) =>
            a.getAttribute('href').startsWith(`#/s/${arguments[0]}/webhooks/`)).click()""", session)
        page.wait_text("It fails: 503", css="main .banner")
        page.click("Try now")
        page.wait_text("ok", css="main dl")
    page.open("dead")
    page.wait_text(f"{dead} dead letters")
    page.click("Replay all")
    page.click("Replay all", within="dialog")
    wait_until(lambda: gateway.api("GET", "/dlq").json()["entries"] == [])
    page.click("Refresh")  # it goes on in the background
    page.wait_text("No dead letters")
    wait_until(lambda: {d["event_id"] for s in SESSIONS for d in gateway.api(
        "GET", f"/sessions/{s}/deliveries?status=delivered").json()["deliveries"]} == wanted)
    assert len(wanted) == 12
    assert time.monotonic() - began < AN_OUTAGE_S
