#!/usr/bin/python3
"""
Makes docs/screenshots/*.png, the pictures of docs/dashboard.md: a gateway with receivers that do
well and badly, and a headless Chromium that looks at it.

usage: docs/screenshots.py    (`make screenshots` builds the program first)
"""

import pathlib
import random
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from browser import Browser, Page  # noqa: E402  (found by the line before)
from harness import Gateway, Receiver, delay, status, wait_until  # noqa: E402

PICTURES = ROOT / "docs" / "screenshots"
LOAD_S = 150  # how long it is under load before the overview is taken
SEED = 7


def publish_on(gateway, stopped):
    """Publishes events at a rate that goes up and down, until it is told to stop."""
    rnd = random.Random(SEED)
    n = 0
    while not stopped.is_set():
        n += 1
        order = {"order": 4000 + n, "state": rnd.choice(["new", "paid", "sent"]), "sum": n % 90 + 0.5}
        gateway.publish("shop", rnd.choice(["message", "message", "receipt"]), data=order)
        stopped.wait(0.02 + 0.1 * rnd.random() * (1.2 + n // 200 % 3))


class World:
    """Sessions with webhooks, and receivers that answer well, slowly, with errors, not at all."""

    def __init__(self, folder):
        self.gateway = Gateway(folder, retry_schedule="2s,5s", circuit_failures=20)
        self.gateway.start()
        self.good = Receiver(delay(0.01, status(200, b'{"ok":true}')))
        self.slow = Receiver(delay(0.3, status(200, b"queued")))
        self.bad = Receiver(status(503, b'{"error":"maintenance","retry":"after 18:00"}'))
        self.moody = Receiver(*[status(200)] * 9, status(500, b"Internal Server Error\n"), 200)
        self.stopped = threading.Event()
        self.loader = threading.Thread(target=publish_on, args=(self.gateway, self.stopped))

    def fill(self):
        register = self.gateway.register
        register("shop", self.good.url("/orders"), secret="s3cret", description="The shop's orders")
        register("shop", self.slow.url("/archive"), secret="s3cret", events=["message", "receipt"])
        register("shop", self.moody.url("/crm"), events=["message"], description="Contacts")
        self.broken = register("shop", self.bad.url("/billing"), secret="s3cret", events=["receipt"])
        register("shop", "http://127.0.0.1:9/nobody", events=["receipt"], ordering="fifo")
        for session in ("support", "warehouse"):
            register(session, self.good.url("/" + session))
            self.gateway.publish(session)
        self.loader.start()

    def close(self):
        self.stopped.set()
        self.loader.join()
        self.gateway.close()
        for receiver in (self.good, self.slow, self.bad, self.moody):
            receiver.close()


def save(page, name):
    page.wait(lambda: not page.has("main[aria-busy]"), "the page")
    page.js("document.activeElement.blur(); getSelection().removeAllRanges()")
    page.driver.save_screenshot(str(PICTURES / f"{name}.png"))


def take(page, world):
    """The pictures, in an order in which each has something to show."""
    started = time.monotonic()
    gateway = world.gateway
    test = gateway.register("shop", world.bad.url("/new"), events=["connected"])
    page.open(f"s/shop/webhooks/{test['id']}")
    page.click("Send a test")
    page.wait_text("Open the delivery")
    page.wait_gone(".toast")
    save(page, "webhook")

    wait_until(lambda: len(gateway.dlq("shop")) > 5, 60, "dead letters")
    page.open("s/shop/dead")
    page.driver.find_elements("css selector", "summary")[1].click()
    save(page, "dead-letters")

    dead = gateway.dlq("shop")[-1]
    page.open(f"s/shop/deliveries/{dead['delivery_id']}")
    save(page, "delivery")
    page.open(f"events/{dead['event_id']}")
    save(page, "event")
    page.open("tail?session=shop")
    page.wait(lambda: page.has("ol.tail li") > 25, "lines of the tail")
    save(page, "live-tail")

    page.browser.look(dark=True)
    page.open("s/shop/webhooks")
    page.wait(lambda: page.has("tbody tr"), "the webhooks")
    save(page, "webhooks-dark")
    page.browser.look(390, 780, dark=True)
    page.open("s/shop/webhooks")
    page.wait(lambda: page.has("tbody tr"), "the webhooks")
    save(page, "phone-webhooks")
    page.browser.look(390, 780)
    page.open(f"s/shop/deliveries/{dead['delivery_id']}")
    save(page, "phone-delivery")

    wait_until(lambda: time.monotonic() - started > LOAD_S, LOAD_S + 60, "enough to be drawn")
    page.open()
    save(page, "phone-overview")
    page.browser.look()
    page.open()
    save(page, "overview")


def main():
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        world = World(folder)
        browser = Browser()
        try:
            world.fill()
            browser.look()
            take(Page(browser, world.gateway), world)
        finally:
            browser.close()
            world.close()


main()
