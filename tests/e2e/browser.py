"""
A headless Chromium and a page of the dashboard in it, for the tests and for the programs of docs/
that make pictures.

Nothing is looked up once and kept: the page is drawn anew under the test, so each question goes
to the document as it is, and what has to be is waited for.
"""

import tempfile

from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 40  # a loaded machine, the sanitizers
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --hide-scrollbars --window-size=1280,900"
).split()
HINDRANCES = (  # to be tried again: the page is drawn anew, or something is in front
    StaleElementReferenceException,
    ElementClickInterceptedException,
    ElementNotInteractableException,
)

# What a person, or a screen reader, takes for the name of a control.
NAME_OF = """
const nameOf = (e) => (e.getAttribute("aria-label") ??
    [...(e.labels ?? [])].map((l) => l.textContent).join(" ")) || e.textContent;
const clean = (e) => nameOf(e).trim().replace(/\\s+/g, " ");
"""


class Browser:
    """A Chromium with a folder of its own, and more flags."""

    def __init__(self, *flags):
        self._folder = tempfile.TemporaryDirectory(prefix="waybill-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*FLAGS, *flags, f"--user-data-dir={self._folder.name}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)

    def look(self, width=1280, height=900, dark=False, scale=1):
        """The size of the window, and whether the user likes it dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def complaints(self):
        """What the console has of scripts and of the policy; refused requests are no mistake."""
        return [
            entry["message"]
            for entry in self.driver.get_log("browser")
            if entry["source"] != "network"
        ]

    def close(self):
        self.driver.quit()
        self._folder.cleanup()


class Page:
    """The dashboard of one gateway."""

    def __init__(self, browser, gateway):
        self.browser = browser
        self.driver = browser.driver
        self.gateway = gateway

    def open(self, place="", token=None):
        """Opens #/place, and gives the token where it is asked for."""
        self.driver.get("about:blank")  # else only the fragment would change
        self.driver.get(f"{self.gateway.url}/ui/#/{place}")
        self.wait(lambda: self.title() or self.has("dialog #token"), "the page or its question")
        if self.has("dialog #token"):
            self.type("Token", (token or self.gateway.token) + Keys.ENTER)
            self.wait_gone("dialog")
        self.wait(self.title, "a heading")
        return self

    def wait(self, condition, what="condition"):
        """Waits until `condition` returns something true, and returns that."""
        waiting = WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.05)
        hindered = []  # by what, the last time

        def ask(_):
            try:
                return condition()
            except HINDRANCES as error:
                hindered[:] = [error.msg]
                return None

        try:
            return waiting.until(ask)
        except TimeoutException:
            pass
        raise AssertionError(
            f"{what}: not within {PATIENCE_S} s. {hindered} The page:\n{self.text()[:3000]}"
        )

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def has(self, css):
        return self.js("return document.querySelectorAll(arguments[0]).length", css)

    def text(self, css="body"):
        """The text of all that fits the selector, as it is seen."""
        return self.js(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText).join('\\n')",
            css,
        )

    def title(self):
        return self.js(
            "const h = document.querySelector('main:not([aria-busy]) h1');"
            "return h ? h.innerText : ''"
        )

    def wait_title(self, *words):
        return self.wait(lambda: all(w in self.title() for w in words), f"the heading {words}")

    def wait_text(self, *words, css="main"):
        """Waits until all of them are in what is seen."""

        def there():
            text = self.text(css)
            return text if all(word in text for word in words) else None

        return self.wait(there, f"the texts {words}")

    def wait_gone(self, css):
        return self.wait(lambda: not self.has(css), f"{css} gone")

    def control(self, name, within="body"):
        """The control of that name, when there is one that is seen and not disabled."""
        return self.wait(
            lambda: self.js(
                NAME_OF + """
                const boxes = [...document.querySelectorAll("dialog[open]")].slice(-1);
                const box = boxes[0] ?? document.querySelector(arguments[1]);
                return [...box.querySelectorAll("a,button,input,select,textarea,summary")].find((e) =>
                    !e.disabled && e.checkVisibility() && clean(e) === arguments[0]);
                """,
                name,
                within,
            ),
            f"a control {name!r}",
        )

    def click(self, name, within="body"):
        def clicked():
            control = self.control(name, within)
            self.js("arguments[0].scrollIntoView({block: 'center'})", control)
            control.click()
            return True

        self.wait(clicked, f"a click on {name!r}")

    def type(self, name, text, clear=True):
        def typed():
            field = self.control(name)
            if clear:
                field.clear()
            field.send_keys(text)
            return True

        self.wait(typed, f"typing into {name!r}")

    # By the keyboard alone

    def press(self, *keys, holding=None):
        """Keys for whatever has the focus."""
        actions = webdriver.ActionChains(self.driver)
        if holding:
            actions.key_down(holding)
        for key in keys:
            actions.send_keys(key)
        if holding:
            actions.key_up(holding)
        actions.perform()

    def focused(self):
        """The name of what has the focus."""
        return self.js(NAME_OF + "return clean(document.activeElement)")

    def tab_to(self, name, most=150):
        """Presses Tab until `name` has the focus, and its place is seen."""
        self.control(name)  # it is there
        for _ in range(most):
            if self.focused() == name:
                outline = "return getComputedStyle(document.activeElement).outlineStyle"
                assert self.js(outline) != "none", f"{name} has the focus, and one cannot see it"
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{most} times Tab did not lead to {name!r}")
