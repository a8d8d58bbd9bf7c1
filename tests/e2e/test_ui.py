"""The dashboard: its files as they are served, and what one can do with it in a real browser."""

import hmac
import json
import re
import threading
import urllib.parse

import pytest
import requests
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.common.keys import Keys

from browser import NAME_OF, Browser, Page
from harness import ROOT, expect_error, hooks_path, status, wait_until

UI = ROOT / "src" / "ui"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
TURNED = "\u202e"  # what follows it runs from right to left
NOBODYS = "01a208dd-89d2-76bd-b102-740de0c50e33"
SLOW = pytest.mark.timeout(300)  # a browser on a loaded machine


# The files


@pytest.mark.parametrize("path", sorted(UI.iterdir()), ids=lambda path: path.name)
def test_each_file_is_served_as_it_is(gateway, path):
    answer = gateway.request("GET", f"/ui/{path.name}", token="")
    assert answer.status_code == 200
    assert answer.content == path.read_bytes()
    assert answer.headers["Content-Type"] == TYPES[path.suffix]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-cache"
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


def test_the_folder_is_its_index(gateway):
    assert gateway.request("GET", "/ui/", token="").content == (UI / "index.html").read_bytes()


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_what_leads_to_it_does_so_below_a_prefix_too(gateway, path):
    answer = gateway.request("GET", path, token="", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "ui/")
    assert gateway.request("GET", path, token="").url == gateway.url + "/ui/"


def test_a_file_that_has_not_changed_is_not_sent_again(gateway):
    tag = gateway.request("GET", "/ui/app.js", token="").headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    assert gateway.request("GET", "/ui/style.css", token="").headers["ETag"] != tag
    for known in (tag, f'"other", W/{tag}', "*"):
        answer = gateway.request("GET", "/ui/app.js", token="", headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == tag
        assert "Content-Security-Policy" in answer.headers
    for other in ('"other"', tag[:-2] + '"', ""):
        answer = gateway.request("GET", "/ui/app.js", token="", headers={"If-None-Match": other})
        assert answer.status_code == 200


def test_head_and_what_is_not_there(gateway):
    answer = gateway.request("HEAD", "/ui/app.js", token="")
    assert (answer.status_code, answer.content) == (200, b"")
    for path in ("/ui/nothing.js", "/ui/../ui/app.js", "/ui/%2e%2e/app.js", "/ui/app.js%00", "/ui//app.js"):
        with gateway.connect() as client:
            client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.reply().status_code in (400, 404)
    expect_error(gateway.request("GET", "/ui/nothing.js", token=""), 404)
    expect_error(gateway.request("POST", "/ui/app.js", token=""), 405)


def test_what_the_page_names_is_there():
    named = set(re.findall(r'(?:href|src)="([a-z]+\.\w+)"', (UI / "index.html").read_text()))
    for path in UI.glob("*.js"):
        named.update(re.findall(r'from "\./(\w+\.js)"', path.read_text()))
    assert named | {"index.html"} == {path.name for path in UI.iterdir()}


# In a browser


@pytest.fixture(scope="module")
def the_browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(the_browser):
    """The module's browser, as a desktop; nothing may be wrong in its console at the end."""
    the_browser.look()
    the_browser.complaints()
    yield the_browser
    the_browser.driver.get("about:blank")
    assert the_browser.complaints() == []


@pytest.fixture
def page(browser, gateway):
    return Page(browser, gateway)


@pytest.fixture
def make_page(browser, make_gateway):
    return lambda **options: Page(browser, make_gateway(**options))


@SLOW
def test_the_token_is_asked_once(page):
    page.driver.get(page.gateway.url + "/")
    page.wait(lambda: page.has("dialog #token"), "the question")
    page.press(Keys.ESCAPE)
    page.type("Token", "wrong" + Keys.ENTER)
    page.wait_text("does not take this token", css="dialog")
    page.type("Token", page.gateway.token + Keys.ENTER)
    page.wait_title("Overview")
    page.driver.refresh()
    page.wait_title("Overview")
    page.click("Webhooks")
    page.wait_title("Webhooks")
    assert not page.has("dialog")
    page.click("Forget token")
    page.wait(lambda: page.has("dialog #token"), "the question again")


@SLOW
def test_without_tokens_nothing_is_asked(make_page):
    page = make_page(token=None)
    page.driver.get(page.gateway.url + "/ui/")
    page.wait_title("Overview")
    assert not page.has("dialog")


@SLOW
def test_register_test_see_why_it_fails_mend_replay_delivered(make_page, make_receiver):
    page = make_page(retry_schedule="20ms,20ms")
    receiver = make_receiver(status(500, b"no such tenant: 7"))
    page.open()
    page.click("Webhooks")
    page.type("Session", "shop" + Keys.ENTER)
    page.wait_title("Webhooks of shop")
    page.click("Register a webhook")
    page.type("URL", receiver.url())
    page.type("Secret", "s3cret")
    page.click("Register")
    page.wait_title(receiver.url())
    page.click("Send a test")
    page.wait_text("500", "no such tenant: 7")
    page.click("Open the delivery")
    page.wait_title("Delivery")
    page.wait_text("dead", "Attempt 3", "Attempt 1", f"{receiver.host}:{receiver.port}")

    receiver.answer(200)
    page.click("Dead letters")
    page.wait_title("Dead letters of all sessions")
    page.wait_text("HTTP status 500", "1 dead letters", "shop: ")
    page.click("all shown")
    page.click("Replay selected")
    page.wait_text("No dead letters")
    page.click("Deliveries")
    page.wait_title("Deliveries of all sessions")
    page.wait(lambda: page.click("Show") or "delivered" in page.text("table"), "it is delivered")
    assert receiver.requests[-1].attempt == 4
    assert receiver.requests[-1].id == receiver.requests[0].id


@SLOW
def test_all_of_it_by_the_keyboard_alone(make_page, make_receiver):
    page = make_page(retry_schedule="1h")
    receiver = make_receiver(status(503, b"closed for today"))
    page.driver.get(page.gateway.url + "/ui/")
    page.wait(lambda: page.focused() == "Token", "the focus in the question")
    page.press(page.gateway.token, Keys.ENTER)
    page.wait_title("Overview")
    page.press("/")
    page.press("shop", Keys.ENTER)
    page.wait_title("Nothing found")
    page.tab_to("Register its first webhook")
    page.press(Keys.ENTER)
    page.wait_title("Webhooks of shop")
    page.wait(lambda: page.focused() == "Webhooks of shop", "the focus on the heading")
    page.tab_to("Register a webhook")
    page.press(Keys.ENTER)
    page.wait(lambda: page.focused() == "URL", "the focus in the dialog")
    page.press("ftp://127.0.0.1/", Keys.ENTER)
    page.wait_text("must begin with http://", css="dialog .error")
    page.wait(lambda: page.focused() == "URL", "the focus on what is wrong")
    page.press("a", holding=Keys.CONTROL)
    page.press(receiver.url(), Keys.ENTER)
    page.wait_title(receiver.url())
    page.tab_to("Send a test")
    page.press(Keys.ENTER)
    page.wait_text("503", "closed for today")
    page.tab_to("Open the delivery")
    page.press(Keys.ENTER)
    page.wait_title("Delivery")
    page.wait_text("pending", "Attempt 1")
    receiver.answer(200)
    page.tab_to("Send now")
    page.press(Keys.ENTER)
    page.wait_text("delivered", "Attempt 2")
    assert [request.attempt for request in receiver.requests] == [1, 2]


@SLOW
def test_an_event_is_found_by_its_id_and_by_its_deliverys(page, make_receiver):
    receiver = make_receiver(status(200, b"taken"))
    page.gateway.register("shop", receiver.url())
    sent = page.gateway.publish("shop", data={"order": 7})
    receiver.wait_for(1)
    page.open()
    page.type("Find an event, delivery, webhook or session", sent["id"] + Keys.ENTER)
    page.wait_title("Event message")
    page.wait_text("delivered", "200", '"order": 7', receiver.url())
    page.click("Attempts")
    page.wait_text("Attempt 1", "taken")
    delivery = page.js("return location.hash").rsplit("/", 1)[1]
    page.type("Find an event, delivery, webhook or session", delivery + Keys.ENTER)
    page.wait_title("Delivery", delivery[-12:])
    page.driver.back()
    page.wait_text("Attempt 1")
    page.type("Find an event, delivery, webhook or session", NOBODYS + Keys.ENTER)
    page.wait_title("Nothing found")


def open_all(page, session, event_id):
    """Looks at every page on which the event shows."""
    delivery = page.gateway.api("GET", f"/sessions/{session}/events/{event_id}").json()["deliveries"][0]
    for place in (
        "",
        "sessions",
        f"s/{session}/webhooks",
        f"s/{session}/webhooks/{delivery['webhook_id']}",
        f"s/{session}/deliveries",
        f"s/{session}/deliveries/{delivery['id']}",
        f"s/{session}/events/{event_id}",
        f"s/{session}/dead",
        f"tail?session={session}",
    ):
        page.open(place)
        yield place


@SLOW
def test_hostile_data_is_shown_and_harms_nothing(make_page, make_receiver):
    page = make_page(retry_schedule="20ms", max_body_bytes="2MiB")
    answer = (HOSTILE + TURNED + "\x00\x1b[31m" + "\u0627" * 200).encode()
    receiver = make_receiver(status(500, answer))
    page.gateway.register("evil", receiver.url(f"/{'a' * 1500}"), description=HOSTILE + TURNED)
    data = {HOSTILE: HOSTILE, "turned": TURNED + "gpj.exe", "deep": [[[]]], "big": 12345678901234567890}
    small = page.gateway.publish("evil", data=data)
    big = page.gateway.publish("evil", data={"text": "x" * 1_000_000})
    wait_until(lambda: len(page.gateway.dlq("evil")) == 2, what="both dead")
    for event in (small, big):
        for place in open_all(page, "evil", event["id"]):
            page.wait(lambda: not page.has("main[aria-busy]"))
            assert not page.js("return window.hacked"), place
            assert page.js("return document.querySelectorAll('script').length") == 1
            assert page.js("return document.documentElement.outerHTML.length") < 300_000, place
            assert TURNED not in page.js("return document.body.textContent"), place
    page.open(f"s/evil/events/{small['id']}")
    page.wait_text(HOSTILE, "\\u202egpj.exe", "12345678901234567890")
    page.open(f"s/evil/events/{big['id']}")
    page.wait_text("xxxx", "Show more")
    page.click("Show more")
    page.wait_text("262\u202f144 of 1\u202f000")
    assert len(page.text("pre")) == 262_144
    page.open("s/evil/dead")
    for summary in page.driver.find_elements("css selector", "summary"):
        summary.click()
    page.wait_text(HOSTILE, "\\u202egpj.exe", "xxxx")
    assert not page.js("return window.hacked")


@SLOW
@pytest.mark.parametrize("name", ["Loja São Paulo", "a/b?c#d%2F+&", '"\u202eevil"', " ends "])
def test_a_session_of_any_name_is_one_click_away(make_page, receiver, name):
    page = make_page()
    hook = page.gateway.register(name, receiver.url())
    event = page.gateway.publish(name)
    receiver.wait_for(1)
    shown = name.replace("\u202e", "\\u202e").strip()
    page.open("sessions")
    page.wait_text(shown)
    for number, title in enumerate(["Deliveries", "Dead letters"]):
        page.open("sessions")
        page.wait_text(shown)
        page.driver.find_elements("css selector", ".links a")[number].click()
        page.wait_text(f"{title} of {shown}")
    for place in open_all(page, urllib.parse.quote(name, safe=""), event["id"]):
        page.wait(lambda: not page.has("main[aria-busy]"))
        assert not page.has("[role=alert]"), place
    page.open("s/..%2F/webhooks")
    page.wait_text("This session has no webhook yet")
    page.open("s/%2E%2E/webhooks")
    page.wait_text("none of . .. *")


@SLOW
def test_an_outage_over_many_sessions_is_seen_and_mended_in_one_place(make_page, make_receiver):
    page = make_page(retry_schedule="20ms")
    broken, well = make_receiver(status(500, b"no disk")), make_receiver()
    for session in ("north", "south", "west"):
        page.gateway.register(session, (well if session == "west" else broken).url(f"/{session}"))
        page.gateway.publish(session, id=f"order-{session}")
    page.open()
    page.wait(lambda: "2" in page.text(".tiles .bad"), "the dead letters")
    page.click("Dead letters")
    page.wait_title("Dead letters of all sessions")
    page.wait_text("north: ", "south: ", "HTTP status 500", "2 dead letters")
    page.open("webhooks?state=failing")
    page.wait_text(broken.url("/north"), broken.url("/south"), "failing")
    assert well.url("/west") not in page.text("main")
    page.open("sessions")
    page.wait_text("north", "south", "west")
    page.open("deliveries?status=dead")
    page.wait_text("north", "south", "500", "dead")
    assert "west" not in page.text("table")
    broken.answer(200)
    page.open("dead")
    page.click("Replay all")
    page.click("Replay all", within="dialog")
    page.wait(lambda: page.gateway.api("GET", "/dlq").json()["entries"] == [], "the replays")
    page.open("deliveries?status=delivered")
    page.wait_text("north", "south", "west")
    page.type("Find an event, delivery, webhook or session", "order-south" + Keys.ENTER)
    page.wait_title("Event message")
    page.wait_text("south")
    page.type("Find an event, delivery, webhook or session", "nowhere" + Keys.ENTER)
    page.wait_text("There is no session of this name")


@SLOW
def test_webhooks_for_all_sessions_are_managed_as_a_sessions(make_page, make_receiver):
    page = make_page(retry_schedule="20ms")
    receiver = make_receiver(200, status(500))
    page.open("sessions")
    page.click("Webhooks for all sessions")
    page.wait_text("Webhooks of all sessions", "There is no webhook for all sessions.")
    page.click("Register a webhook")
    page.type("URL", receiver.url("/all"), clear=False)
    page.click("Register")
    page.wait_text(receiver.url("/all"), "Send a test")
    page.click("Send a test")
    page.wait_text("delivered")
    (hook,) = page.gateway.api("GET", "/webhooks").json()["webhooks"]
    event = page.gateway.publish("Loja São")
    letters = wait_until(lambda: page.gateway.api("GET", "/webhooks/dlq").json()["entries"], what="a dead letter")
    page.open("s/*/dead")
    page.wait_text("Dead letters of all sessions", "1 dead letters")
    page.driver.find_element("css selector", "summary").click()
    page.wait_text(letters[0]["id"])
    page.driver.find_element("link text", "its attempts").click()
    page.wait_title("Delivery")
    page.wait_text("Deliveries of Loja São", "Attempt 2")
    for place in (f"find/{hook['id']}", f"s/Loja%20S%C3%A3o/webhooks/{hook['id']}"):
        page.open(place)
        page.wait_text(receiver.url("/all"), "Webhooks of all sessions")
    page.open(f"events/{event['id']}")
    page.wait_text(receiver.url("/all"))
    page.open("")
    page.wait_text("all sessions")


def register_many(gateway, session, count):
    """As fast as it goes: many requests at once on each of some connections."""
    token = gateway.token

    def register(first, last):
        with gateway.connect() as client:
            for start in range(first, last, 100):
                for i in range(start, start + 100):
                    body = json.dumps({"url": f"http://127.0.0.1:9/{i:05}", "events": ["receipt"]})
                    client.send(
                        f"POST /api/v1{hooks_path(session)} HTTP/1.1\r\nHost: x\r\n"
                        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
                    )
                for _ in range(100):
                    assert client.reply("POST").status_code == 200

    threads = [
        threading.Thread(target=register, args=(k * count // 10, (k + 1) * count // 10))
        for k in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@SLOW
def test_ten_thousand_webhooks_are_found_and_paged(make_page):
    page = make_page(max_webhooks_per_session=10000)
    register_many(page.gateway, "many", 10_000)
    page.open("s/many/webhooks")
    page.wait_text("10\u202f000 webhooks", "1–25 of 10\u202f000")
    assert page.has("tbody tr") == 25
    page.click("Next")
    page.wait_text("26–50 of 10\u202f000")
    page.type("Filter", "/00042")
    page.wait_text("1 of 10\u202f000 webhooks", "http://127.0.0.1:9/00042")
    page.click("http://127.0.0.1:9/00042")
    page.wait_title("http://127.0.0.1:9/00042")
    page.driver.back()
    page.wait_text("1 of 10\u202f000 webhooks")
    page.open("sessions")
    page.wait_text("many", "10\u202f000")


@SLOW
def test_a_token_of_some_sessions_sees_these(make_page, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("scoped-token-of-shop-000000000 shop\n")
    tokens.chmod(0o600)
    page = make_page(tokens_file=tokens)
    page.gateway.register("shop", "http://127.0.0.1:9/")
    page.gateway.register("other", "http://127.0.0.1:9/")
    page.open(token="scoped-token-of-shop-000000000")
    page.wait_title("Overview")
    page.wait_text("Sessions", "Dead letters", "No webhook fails")
    assert page.text("#toasts") == ""
    page.click("Sessions", within="main")
    page.wait_title("Sessions")
    page.wait_text("shop")
    assert "other" not in page.text("table")
    page.click("shop")
    page.wait_text("1 webhooks", "http://127.0.0.1:9/")
    page.open("s/other/webhooks")
    page.wait_text("the token does not reach this session")


def portal(page, **body):
    answer = page.gateway.api("POST", "/sessions/shop/portal", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def is_taken(page):
    """Whether the token is in the tab's storage, and nowhere in the address or its past."""
    return page.js("return sessionStorage.getItem('waybill-token')"), page.driver.current_url


@SLOW
def test_a_portal_link_opens_the_tenants_dashboard(page, make_receiver):
    receiver = make_receiver(500)
    hook = page.gateway.register("shop", receiver.url("/shop"), retry=["1h"])
    page.gateway.register("other", receiver.url("/other"))
    for _ in range(8):
        page.gateway.publish("shop")
    wait_until(lambda: page.gateway.webhook("shop", hook["id"])["state"] == "failing", what="a failing webhook")
    made = portal(page, expires_in="20s")
    page.driver.get("about:blank")
    page.driver.get(made["url"])
    page.wait_title("Overview")
    page.wait_text("Failing", receiver.url("/shop"), "500")
    assert "/other" not in page.text()
    assert is_taken(page) == (made["token"], page.gateway.url + "/ui/#/")
    assert not page.has("dialog")
    page.click("Failing", within="main")
    page.wait_text("1 webhooks", receiver.url("/shop"))
    page.open("deliveries")
    page.wait_text("pending")
    page.open("sessions")
    page.wait_text("shop")
    assert "other" not in page.text("main")
    assert page.text("#toasts") == ""
    # in the same tab another link, which the address takes, and which takes its place
    again = portal(page, expires_in="1s")
    page.js("location.hash = arguments[0]", "#token=" + again["token"])
    page.wait(lambda: is_taken(page) == (again["token"], page.gateway.url + "/ui/#/"), "the new token")
    page.wait(lambda: page.gateway.api("GET", "/sessions", token=again["token"]).status_code == 401, "its end")
    page.driver.get("about:blank")
    page.driver.get(page.gateway.url + "/ui/#/sessions")
    page.wait_text("this link has expired")
    assert not page.has("dialog")
    page.click("Forget token")
    page.wait(lambda: page.has("dialog #token"), "the question")


# What the token may not do is not there

SCOPED = "scoped-token-of-shop-000000000"
CHANGES = {  # by place: what changes something there
    "s/:s/webhooks": {"Register a webhook"},
    "s/:s/webhooks/:id": {"Try now", "Send a test", "Change", "Disable…", "Replay…", "New secret", "Delete"},
    "asked": {"Ask it again"},
    "s/:s/deliveries/:id": {"Send again", "Cancel"},
    "dead": {"Replay all"},
    "s/:s/dead": {"Replay all", "Purge all", "all shown"},
    "sources": {"Add a source", "New URL", "Remove"},
}
FOR_ALL = "Webhooks for all sessions"
OF_LINKS = {"Link for the tenant…", "Revoke all links"}
READS = ("/verify-signature", "/filter-test")  # POSTs that change nothing

PRESSABLE = """
return [...document.querySelectorAll(arguments[0])].flatMap((e) => [...e.querySelectorAll(arguments[1])])
    .filter((e) => !e.disabled && e.checkVisibility()).map(clean);
"""
RECORD = """
window.sent = [];
const asked = window.fetch;
window.fetch = (url, options) => {
    window.sent.push([options?.method ?? "GET", new URL(url, location.href).pathname]);
    return asked(url, options);
};
"""


@pytest.fixture
def shop(make_page, make_receiver, tmp_path):
    """A page of a gateway where there is something to change at each place, and these places."""
    tokens = tmp_path / "tokens"
    tokens.write_text(SCOPED + " shop\n")
    tokens.chmod(0o600)
    page = make_page(tokens_file=tokens, token="full-token", circuit_failures=3, circuit_open="1h",
                     retry_schedule="20ms,20ms")
    gateway = page.gateway
    receiver = make_receiver(500)
    hook = gateway.register("shop", receiver.url())
    event = gateway.publish("shop")["id"]
    wait_until(lambda: gateway.dlq("shop"), what="a dead letter")
    asked = gateway.register("shop", receiver.url("/asked"), verify="get")
    delivery = gateway.api("GET", f"/sessions/shop/events/{event}").json()["deliveries"][0]["id"]
    source = {"name": "door", "preset": "waha", "session": "shop"}
    assert gateway.api("POST", "/sources", json=source).ok
    ids = {"webhooks": hook["id"], "deliveries": delivery, "events": event}
    views = re.findall(r'\["([^"]*)", "\w+", \w+\],', (UI / "app.js").read_text())
    assert len(views) > 12
    page.places = {
        view: re.sub(r"(\w+)/:id", lambda m: f"{m[1]}/{ids[m[1]]}", view.replace(":s", "shop").replace(":text", "no"))
        for view in views
    }
    page.places["asked"] = f"s/shop/webhooks/{asked['id']}"
    return page


def enter(page, token):
    """Into the dashboard with that token, by a link where it is one's."""
    page.driver.get("about:blank")
    page.driver.get(page.gateway.url + "/ui/")
    page.wait(lambda: page.title() or page.has("dialog #token"), "the page or its question")
    page.js("sessionStorage.clear(); sessionStorage.setItem('waybill-token', arguments[0])", token)
    page.open()


def pressable(page, within="main", css="a,button,summary,input[type=checkbox]"):
    """The names of what is seen there and can be pressed."""
    return set(page.js(NAME_OF + PRESSABLE, within, css))


def look(page, place):
    """Opens a place, and gives what can be pressed there when all of it has come."""
    page.open(page.places[place])
    page.wait(lambda: not page.has("main[aria-busy]"), "the whole page")
    return pressable(page)


def bare_columns(page):
    """The heads that are seen over nothing."""
    return page.js("""return [...document.querySelectorAll('main th')].filter((th) => th.checkVisibility()
        && [...th.closest('table').tBodies[0].rows].every((row) => !row.cells[th.cellIndex].innerText.trim()))
        .map((th) => th.innerText)""")


def changes(page):
    """The paths of what was sent to change something, since RECORD."""
    return [path for method, path in page.js("return window.sent") if method != "GET" and not path.endswith(READS)]


def press_all(page, place):
    """Presses whatever is seen at a place, and in the dialogs that this opens; gives what would change."""
    look(page, place)
    page.js(RECORD)
    done = set()
    while left := pressable(page, css="button,summary,input[type=checkbox]") - done:
        name = min(left)
        done.add(name)
        page.click(name, within="main")
        page.wait(lambda: not page.has("main[aria-busy]"), "the whole page")
        for inner in pressable(page, "dialog", "button") - {"Copy", "Close", "Cancel", "Keep"}:
            page.js("for (const e of document.querySelectorAll('dialog [required]')) e.value ||= 'x'")
            if page.has("dialog"):
                page.click(inner)
        page.js("document.querySelectorAll('dialog').forEach((box) => box.close())")
    return changes(page)


@SLOW
def test_a_link_to_look_shows_nothing_that_changes(shop):
    enter(shop, portal(shop, read_only=True)["token"])
    every = set().union(*CHANGES.values(), OF_LINKS, {FOR_ALL, "Register its first webhook"})
    for place in shop.places:
        assert not look(shop, place) & every, place
        assert bare_columns(shop) == [], place
        assert not shop.js("return [...document.querySelectorAll('main li > input')].some((e) => e.checkVisibility())")
        assert press_all(shop, place) == [], place
    assert "Show as curl" in look(shop, "s/:s/deliveries/:id")
    assert shop.text("#toasts") == ""


@SLOW
def test_a_link_to_change_has_what_changes(shop):
    enter(shop, portal(shop)["token"])
    for place in shop.places:
        shown = look(shop, place)
        assert CHANGES.get(place, set()) <= shown, place
        assert not shown & {FOR_ALL, *OF_LINKS}, place
    look(shop, "asked")
    shop.js(RECORD)
    shop.click("Ask it again")
    shop.wait(lambda: [path for path in changes(shop) if path.endswith("/verify")], "what the other test must not see")


@SLOW
@pytest.mark.parametrize("token", [SCOPED, "full-token"])
def test_a_token_has_what_it_reaches(shop, token):
    enter(shop, token)
    is_full = token != SCOPED
    for place in shop.places:
        shown = look(shop, place)
        assert CHANGES.get(place, set()) <= shown, place
        assert (OF_LINKS <= shown) == (place == "s/:s/webhooks"), place
        assert (FOR_ALL in shown) == (is_full and (place in ("sessions", "webhooks"))), place
    look(shop, "sources")
    shop.click("Add a source")
    shop.wait(lambda: shop.has("dialog"), "the dialog")
    assert ("the sender's own word" in shop.text("dialog")) == is_full


@SLOW
def test_another_token_that_is_given_meanwhile_has_its_own(shop):
    enter(shop, "full-token")
    assert "Revoke all links" in look(shop, "s/:s/webhooks")
    shop.js("sessionStorage.setItem('waybill-token', 'no-token-of-anybody')")
    shop.click("Refresh")
    shop.type("Token", SCOPED + Keys.ENTER)
    shop.wait(lambda: shop.js("return document.documentElement.dataset.may") == "change link", "what that one may")
    shop.js("location.hash = '#token=' + arguments[0]", portal(shop, read_only=True)["token"])
    shop.wait(lambda: shop.js("return document.documentElement.dataset.may") == "", "what the link may")


@SLOW
def test_without_a_token_there_are_no_links_to_make(make_page):
    page = make_page(token=None)
    page.open("s/shop/webhooks")
    page.wait_text("no webhook yet", "Register one")
    assert "Register a webhook" in pressable(page)
    assert not pressable(page) & OF_LINKS


@SLOW
def test_links_are_made_and_revoked(shop):
    enter(shop, "full-token")
    look(shop, "s/:s/webhooks")
    shop.click("Link for the tenant…")
    shop.click("Make")
    shop.wait_text("It is shown this once", css="dialog")
    url = shop.control("The link").get_attribute("value")
    assert url.startswith(shop.gateway.url + "/ui/#token=wbp_")
    token = url.partition("=")[2]
    assert shop.gateway.api("GET", "/token", token=token).json()["read_only"] is True
    shop.click("Done")
    shop.wait_gone("dialog")
    shop.click("Revoke all links")
    shop.click("Keep")
    shop.wait_gone("dialog")
    assert shop.gateway.api("GET", "/token", token=token).ok
    shop.click("Revoke all links")
    shop.click("Revoke all")
    shop.wait_text("Portal links revoked", css="#toasts")
    expect_error(shop.gateway.api("GET", "/token", token=token), 401)
    enter(shop, token)
    shop.wait_text("this link has expired, or is void")


@SLOW
@pytest.mark.parametrize("is_named", [True, False])
def test_it_is_framed_by_those_who_are_named_alone(make_page, make_receiver, is_named):
    host = make_receiver()
    origin = host.url("").rstrip("/")
    page = make_page(frame_ancestors=origin if is_named else "https://app.example.com,http://b.example:81")
    page.gateway.register("shop", "http://127.0.0.1:9/")
    policy = page.gateway.request("GET", "/ui/", token="").headers["Content-Security-Policy"]
    if not is_named:
        assert policy.endswith("; frame-ancestors https://app.example.com http://b.example:81")
    url = portal(page)["url"]
    body = f'<!doctype html><title>app</title><iframe src="{url}" width=900 height=700></iframe>'.encode()
    host.answer(status(200, body, [("Content-Type", "text/html")]))
    page.driver.get(origin + "/app")
    page.driver.switch_to.frame(0)
    try:
        if is_named:
            page.wait_title("Overview")
            page.click("Webhooks", within="nav")
            page.wait_text("shop")
        else:
            page.wait(lambda: not page.has("main"), "an empty frame")
    finally:
        page.driver.switch_to.default_content()
    page.driver.get("about:blank")
    complaints = page.browser.complaints()
    assert is_named == (complaints == [])


@SLOW
def test_the_live_tail_shows_what_happens(page, make_receiver):
    receiver = make_receiver(status(500, b"broken"))
    page.gateway.register("shop", receiver.url(), retry=["1h"])
    page.open("tail?session=shop")
    page.wait_text("live")
    page.gateway.publish("shop", data={"text": HOSTILE})
    page.gateway.publish("other")
    page.wait_text("published", "retrying", receiver.url(), "→ 500", "again at", css="ol.tail")
    receiver.answer(200)
    page.gateway.publish("shop", event="receipt")
    page.wait_text("receipt", "delivered", "→ 200", css="ol.tail")
    assert "other" not in page.text("ol.tail")
    page.click("Pause")
    sent = page.gateway.publish("shop", event="connected")
    page.wait_text("Go on (")
    assert "connected" not in page.text("ol.tail")
    page.wait(lambda: page.text("button[aria-pressed]") == "Go on (2)", "both lines of it")
    page.click("Go on (2)")
    page.wait_text("connected", css="ol.tail")
    page.click("connected", within="ol.tail")
    page.wait_text(sent["id"][-12:])


@SLOW
def test_form_offers_what_the_server_does(make_page):
    page = make_page(extra_events="order.paid")
    page.open("s/shop/webhooks")
    page.click("Register a webhook")
    page.wait(lambda: page.has("dialog"), "the dialog")
    offered = page.gateway.api("GET", "/capabilities").json()
    values = "return [...document.querySelectorAll(arguments[0])].map((o) => o.value)"
    assert page.js(values, "#known-events option") == offered["events"]
    assert "order.paid" in offered["events"]
    names = [scheme["name"] for scheme in offered["signatures"]]
    assert page.js(values, "#f-signature input") == names
    assert page.js(values, "#f-signature input:checked") == names[:1]
    page.js("document.querySelector('#f-signature input[value=ed25519]').click()")
    page.js("document.querySelector('#f-url').value = 'http://127.0.0.1:9/'")
    page.click("Register", within="dialog")
    page.wait(lambda: page.gateway.api("GET", "/sessions/shop/webhooks").json()["count"], "it")
    (made,) = page.gateway.api("GET", "/sessions/shop/webhooks").json()["webhooks"]
    assert made["signature"] == ["v1", "ed25519"]
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text(made["public_key"])


@SLOW
def test_an_endpoint_is_asked_again(make_page, make_receiver):
    page, receiver = make_page(), make_receiver(404)
    page.open("s/shop/webhooks")
    page.click("Register a webhook")
    page.wait(lambda: page.has("dialog"), "the dialog")
    page.js("document.querySelector('#f-url').value = arguments[0]", receiver.url())
    page.js("document.querySelector('#f-verify').value = 'get'")
    page.click("Register", within="dialog")
    page.wait(lambda: receiver.requests, "the challenge")
    (made,) = page.gateway.api("GET", "/sessions/shop/webhooks").json()["webhooks"]
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text("its endpoint did not repeat the challenge", "HTTP status 404, asked by GET")
    receiver.answer(lambda link, request, closing: status(
        200, request.path.split("hub.challenge=")[1].encode())(link, request, closing))
    page.click("Ask it again")
    page.wait_text("verified", "asked by GET")


@SLOW
def test_how_requests_are_sent_is_changed(make_page):
    page = make_page(webhook_proxies="on")
    made = page.gateway.register("shop", "http://127.0.0.1:9/", proxy="http://me:s3cret@127.0.0.1:1")
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text("http://********@127.0.0.1:1", css="main dl")
    page.click("Change")
    page.click("More settings")
    page.type("User-Agent", "partner/2")
    page.type("Hosts without proxy", "example.org, 10.0.0.1/8")
    page.js("document.getElementById('f-content_encoding').value = 'gzip'")
    page.click("Save")
    page.wait_text("an address or a network", css="dialog .error")
    page.type("Hosts without proxy", "example.org, 10.0.0.0/8")
    page.click("Save")
    page.wait_text("not 10.0.0.0/8", "partner/2", "gzip", css="main dl")
    kept = page.gateway.webhook("shop", made["id"])
    assert kept["proxy"] == "http://********@127.0.0.1:1"
    assert kept["no_proxy"] == ["example.org", "10.0.0.0/8"]
    assert (kept["user_agent"], kept["content_encoding"]) == ("partner/2", "gzip")


@SLOW
def test_a_filter_is_edited_and_what_is_wrong_with_it_is_said(page):
    made = page.gateway.register("shop", "http://127.0.0.1:9/", filter={"path": "/a", "gt": 1})
    page.gateway.register("shop", "http://127.0.0.1:9/other")
    page.gateway.publish("shop", data={"chat": "1@s.us"})
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text('{"path":"/a","gt":1}')
    page.click("Change")
    page.type("Filter", '{"path": "/data/chat"')
    page.click("Save")
    page.wait_text("This is no JSON", css="dialog .error")
    page.type("Filter", '{"path": "/data/id", "equals": 12345678901234567890}')
    page.click("Save")
    page.wait_text("more than 15 digits", css="dialog .error")
    page.type("Filter", '{"all": [{"path": "data", "exists": true}]}')
    page.click("Save")
    page.wait_text("filter.all[0].path", css="dialog .error")
    page.type("Filter", '{"path": "/data/chat", "suffix": "@g.us"}')
    page.click("Try it on the last events")
    page.wait(lambda: page.text("dialog li").startswith("does not match message"), "the trial")
    page.type("Filter", '{"path": "/data/chat", "suffix": "@s.us"}')
    page.click("Try it on the last events")
    page.wait(lambda: page.text("dialog li").startswith("matches message"), "the other trial")
    page.type("Filter", '{"path": "/data/chat", "suffix": "@g.us"}')
    page.click("Save")
    page.wait_text('"suffix":"@g.us"', css="main dl")
    kept = page.gateway.webhook("shop", made["id"])
    assert kept["filter"] == {"path": "/data/chat", "suffix": "@g.us"}
    assert kept["payload"] == "envelope"


@SLOW
def test_a_webhook_gets_a_name(page):
    made = page.gateway.register("shop", "http://127.0.0.1:9/")
    page.open(f"s/shop/webhooks/{made['id']}")
    page.click("Change")
    page.type("Name", "dlq")
    page.click("Save")
    page.wait_text("name must be null or 1 to 64 of", css="dialog .error")
    page.type("Name", "crm")
    page.click("Save")
    page.wait_text("crm", css="main dl")
    assert page.gateway.webhook("shop", "crm")["id"] == made["id"]


@SLOW
def test_an_ordering_gets_a_key(page):
    made = page.gateway.register("shop", "http://127.0.0.1:9/", ordering="fifo")
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text("fifo", css="main dl")
    page.click("Change")
    page.click("More settings")
    assert page.control("Order").get_attribute("value") == "fifo"
    shown = "return document.getElementById('f-ordering.key').checkVisibility()"
    assert not page.js(shown)
    choose = """const o = document.getElementById('f-ordering'); o.value = arguments[0];
        o.dispatchEvent(new Event('change'))"""
    page.js(choose, "key")
    assert page.js(shown)
    page.type("Key", "data/chat")
    page.click("Save")
    page.wait_text("ordering.key must be a JSON pointer", css="dialog .error")
    page.type("Key", "/data/chat")
    page.click("Save")
    page.wait_text("within /data/chat", css="main dl")
    assert page.gateway.webhook("shop", made["id"])["ordering"] == {"key": "/data/chat"}
    page.click("Change")
    page.click("More settings")
    assert page.control("Key").get_attribute("value") == "/data/chat"
    page.js(choose, "none")
    page.click("Save")
    page.wait_text("none", css="main dl")
    assert page.gateway.webhook("shop", made["id"])["ordering"] == "none"


@SLOW
def test_change_disable_enable_rotate_delete(page, make_receiver):
    receiver = make_receiver()
    made = page.gateway.register("shop", "http://127.0.0.1:9/", secret="s3cret")
    page.open(f"s/shop/webhooks/{made['id']}")
    page.click("Change")
    page.type("URL", receiver.url())
    page.type("Events", "message, mesage")
    page.click("Save")
    page.wait_text("unknown event", css="dialog .error")
    page.type("Events", "message, receipt")
    page.click("More settings")
    page.type("Headers", "X-Tenant: 7")
    page.type("Waits between attempts", "5s 30s")
    page.click("Save")
    page.wait_title(receiver.url())
    kept = page.gateway.webhook("shop", made["id"])
    assert (kept["events"], kept["headers"]) == (["message", "receipt"], {"X-Tenant": "7"})
    assert (kept["retry"], kept["secret"]) == (["5s", "30s"], "********")
    page.click("Disable…")
    page.wait_text("what is published meanwhile?", css="dialog")
    page.click("Leave it enabled")
    page.wait_gone("dialog")
    assert page.gateway.webhook("shop", made["id"])["enabled"] is True
    page.click("Disable…")
    page.click("Do not queue it")
    page.wait_text("What is published is not queued for it")
    page.click("Enable")
    page.wait_text("ok", css="main dl")
    page.click("Disable…")
    page.click("Queue it")
    page.wait_text("What is published is queued for it")
    assert page.gateway.publish("shop")["deliveries"] == 1
    page.wait_text("held: the webhook is disabled", css="main table")
    page.click("Enable")
    page.wait_text("ok", css="main dl")
    receiver.wait_for(1)
    page.click("New secret")
    page.type("Overlap, seconds", "0")
    page.click("Rotate")
    page.wait_text("It is shown this once", css="dialog")
    secret = page.control("The new secret").get_attribute("value")
    assert secret.startswith("whsec_")
    page.click("Done")
    page.click("Delete")
    page.click("Delete")  # and yes
    page.wait_title("Webhooks of shop")
    page.wait_text("no webhook yet")
    expect_error(page.gateway.api("GET", hooks_path("shop", made["id"])), 404)


@pytest.fixture
def outage(make_gateway):
    """A gateway whose circuits open at the third failure and stay so for longer than a test."""
    return make_gateway(circuit_failures=3, circuit_open="1h", retry_schedule=",".join(["20ms"] * 8))


def fail(gateway, receiver, session, waiting=12):
    """Registers a webhook that fails until its circuit is open, and has so many events wait."""
    made = gateway.register(session, receiver.url(), max_in_flight=1)
    gateway.publish(session)
    wait_until(lambda: gateway.webhook(session, made["id"])["circuit"]["state"] == "open")
    for _ in range(waiting):
        gateway.publish(session)
    return made


@SLOW
def test_an_open_circuit_hides_no_cause_and_is_tried_now(the_browser, outage, make_receiver):
    receiver = make_receiver(500, 500, 500, 503, 200)
    made = fail(outage, receiver, "shop")
    page = Page(the_browser, outage)
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text("It fails: 500", css="main .banner")
    page.wait_text("500", "held: circuit open, next try in", css="main tbody tr:first-child")
    page.open("s/shop/deliveries")
    page.wait_text("held: circuit open, next try in", css="main table")
    newest = outage.api("GET", "/sessions/shop/deliveries").json()["deliveries"][0]
    page.open(f"s/shop/deliveries/{newest['id']}")
    page.wait_text("held: circuit open, next try in", css="main dl")
    page.click("Send now")  # goes past it
    page.wait_text("503", css="main .attempt")
    assert receiver.wait_for(4)[-1].id == newest["event_id"]
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text("It fails: 503", css="main .banner")
    page.click("Try now")
    receiver.wait_for(4 + 13)
    page.wait_text("ok", css="main dl")
    page.wait_gone("main .banner")


@SLOW
def test_no_table_has_a_head_without_a_word(page):
    made = page.gateway.register("shop", "http://127.0.0.1:9/")
    event = page.gateway.publish("shop")
    page.gateway.api("POST", "/sources", json={"name": "ours", "preset": "waha"})
    for place in ("", "sessions", "webhooks", "deliveries", "sources", "s/shop/webhooks", "s/shop/deliveries",
                  f"s/shop/webhooks/{made['id']}", f"s/shop/events/{event['id']}"):
        page.open(place)
        page.wait(lambda: page.has("main table th"), f"a table at {place}")
        heads = page.js("return [...document.querySelectorAll('main th')].map((th) => th.textContent.trim())")
        assert heads and all(heads), place


def choose(page, name, value):
    """Picks an option as a user does: the page hears of it."""
    page.js("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))",
            page.control(name), value)


def sources(page):
    return page.gateway.api("GET", "/sources").json()["sources"]


@SLOW
def test_a_source_is_added_shown_rotated_and_removed(page):
    page.open()
    page.click("Sources")
    page.wait_title("Sources")
    page.wait_text("No source yet")
    page.click("Add a source")
    page.wait(lambda: page.has("dialog"), "the dialog")
    offered = page.js("return [...document.querySelectorAll('#f-preset option')].map((o) => o.value)")
    assert offered == ["", *page.gateway.api("GET", "/capabilities").json()["presets"]]
    choose(page, "Sender", "waha")
    page.click("Add")
    page.wait_text("name must be a string", css="dialog .error")
    page.type("Name", "our WAHA")
    page.type("Session", "shop")
    page.click("Add")
    page.wait_text("The secret is shown this once", css="dialog")
    [made] = sources(page)
    url = page.control("URL").get_attribute("value")
    assert url == page.gateway.url + made["path"]
    secret = page.control("Secret").get_attribute("value")
    page.click("Done")
    page.wait_text("our WAHA", "waha", "session shop")
    assert secret not in page.js("return document.documentElement.outerHTML")

    body = b'{"event":"message","session":"x"}'
    right = hmac.new(secret.encode(), body, "sha512").hexdigest()
    sent = requests.post(url, data=body, headers={"X-Webhook-Hmac": right})
    assert sent.status_code == 200 and sent.json()["session_id"] == "shop"
    assert requests.post(url, data=body, headers={"X-Webhook-Hmac": "0"}).status_code == 401
    page.open("sources")
    page.wait_text("1, ", "ago", "the signature is wrong")
    assert page.control("URL of our WAHA").get_attribute("value") == url

    page.click("New URL")
    page.click("Keep")
    page.wait_gone("dialog")
    assert sources(page)[0]["path"] == made["path"]
    page.click("New URL")
    page.wait(lambda: page.has("dialog"))
    page.click("New URL")
    page.wait_text("To paste at the sender", css="dialog")
    page.wait(lambda: page.control("URL").get_attribute("value") != url, "another URL")
    assert page.control("URL").get_attribute("value") == page.gateway.url + sources(page)[0]["path"]
    assert not page.js("return [...document.querySelectorAll('dialog input')].length > 1")
    page.click("Done")
    page.wait_gone("dialog")
    page.click("Remove")
    page.wait(lambda: page.has("dialog"))
    page.click("Remove")
    page.wait_text("No source yet")
    assert sources(page) == []


@SLOW
def test_a_source_of_meta_needs_what_the_form_says(page):
    page.open("sources")
    page.click("Add a source")
    page.type("Name", "cloud API")
    choose(page, "Sender", "meta")
    page.click("Add")
    page.wait_text("verify_token must be", css="dialog .error")
    page.type("Verify token", "of my choice")
    page.click("Add")
    page.wait_text("secrets", css="dialog .error")
    page.wait(lambda: page.focused() == "Secret", "the focus on what is wrong")
    page.type("Secret", "the app secret")
    page.click("Add")
    page.wait_text("To paste at the sender", css="dialog")
    assert "shown this once" not in page.text("dialog")
    query = {"hub.mode": "subscribe", "hub.verify_token": "of my choice", "hub.challenge": "9"}
    assert requests.get(page.control("URL").get_attribute("value"), params=query).text == "9"


@SLOW
@pytest.mark.parametrize("width", [1280, 390])
def test_hostile_names_of_sources_harm_nothing(page, width):
    page.browser.look(width, 844)
    for name in (HOSTILE, TURNED + "gpj.exe", "x" * 100):
        settings = {"name": name, "verify": {"type": "none"}}
        assert page.gateway.api("POST", "/sources", json=settings).ok
    page.open("sources")
    page.wait_text("<script>window.hacked", "\\u202egpj.exe")
    assert TURNED not in page.js("return document.body.textContent")
    assert not page.js("return window.hacked")
    assert page.js("return document.documentElement.scrollWidth") <= width
    page.click("Add a source")
    page.wait(lambda: page.has("dialog"), "the dialog")
    assert page.js("return document.querySelector('dialog').getBoundingClientRect().right") <= width


@SLOW
def test_many_dead_letters_are_sent_again_at_once(make_page, make_receiver):
    page = make_page(retry_schedule="20ms", circuit_failures=1000)
    receiver = make_receiver(500)
    page.gateway.register("shop", receiver.url())
    ids = {page.gateway.publish("shop", data={"n": n})["id"] for n in range(60)}
    wait_until(lambda: len(page.gateway.dlq("shop")) == 60, what="all dead", timeout=30)
    receiver.answer(200)
    page.open("s/shop/dead")
    page.wait_text("50 or more dead letters")
    page.click("Load more")
    page.wait_text("60 dead letters")
    page.click("Replay all")
    page.click("Keep")
    page.wait_gone("dialog")
    assert len(page.gateway.dlq("shop")) == 60
    page.click("Replay all")
    page.wait(lambda: page.has("dialog"))
    page.click("Replay all")
    page.wait(lambda: len(page.gateway.dlq("shop")) == 0, "all replayed")
    wait_until(lambda: {r.id for r in receiver.requests if r.attempt == 3} == ids, 30)
    page.click("Refresh")
    page.wait_text("No dead letters")


@SLOW
def test_the_past_of_a_webhook_is_sent_again(page, make_receiver):
    receiver = make_receiver()
    made = page.gateway.register("shop", receiver.url())
    for n in range(3):
        page.gateway.publish("shop", data={"n": n})
    receiver.wait_for(3)
    page.open(f"s/shop/webhooks/{made['id']}")
    page.wait_text("delivered")
    page.click("Replay…")
    page.js("document.getElementById('f-status').value = 'delivered'")
    page.click("Replay")
    page.wait_text("done", "3 scheduled")
    receiver.wait_for(6)


@SLOW
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_in_light_and_dark(page, make_receiver, dark):
    receiver = make_receiver(status(500, b"x" * 900))
    page.browser.look(390, 844, dark)
    page.gateway.register("shop", receiver.url("/" + "path/" * 60), retry=["1h"])
    sent = page.gateway.publish("shop", data={"text": "x" * 5000})
    receiver.wait_for(1)
    for place in open_all(page, "shop", sent["id"]):
        page.wait(lambda: not page.has("main[aria-busy]"))
        assert page.js("return document.documentElement.scrollWidth") <= 390, place
    page.open("s/shop/webhooks")
    page.click("Register a webhook")
    page.wait(lambda: page.has("dialog"), "the dialog")
    assert page.js("return document.querySelector('dialog').getBoundingClientRect().right") <= 390
    light = page.js(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (max(light) < 64) if dark else (min(light) > 192)


@SLOW
def test_a_gateway_that_goes_and_comes_back(make_page):
    page = make_page()
    port = page.gateway.address[1]
    page.open("s/shop/webhooks")
    page.gateway.stop()
    page.click("Refresh")
    page.wait_text("cannot be reached", css="#toasts")
    page.gateway.reconfigure(listen=f"127.0.0.1:{port}")
    page.gateway.start()
    page.gateway.register("shop", "http://127.0.0.1:9/")
    page.click("Refresh")
    page.wait_text("1 webhooks")


@SLOW
def test_no_string_becomes_markup(page):
    page.open()
    for script in ("document.body.innerHTML = '<b>x</b>'", "document.write('<b>x</b>')"):
        with pytest.raises(JavascriptException):
            page.js(script)
    page.browser.complaints()  # the browser tells of both


def test_an_attempt_is_seen_copied_and_its_signature_verified(make_page, make_receiver):
    page = make_page(retry_schedule="20ms")
    receiver = make_receiver(status(401, b"bad signature", headers=[("X-Why", HOSTILE)]), 200)
    page.gateway.register("shop", receiver.url(), secret="s3cret", headers={"X-Key": "planted-key"})
    published = page.gateway.publish("shop")
    receiver.wait_for(2)
    answer = wait_until(lambda: [
        d for d in page.gateway.api("GET", f"/sessions/shop/deliveries?event_id={published['id']}")
        .json()["deliveries"] if d["status"] == "delivered"])
    page.open(f"s/shop/deliveries/{answer[0]['id']}")
    page.wait_text("Attempt 2", "Attempt 1", "HTTP/1.1")
    for summary in page.driver.find_elements("css selector", "article:last-of-type summary"):
        summary.click()
    page.wait_text("X-Webhook-Signature", "sha256=", "X-Key", "********", "X-Why", HOSTILE)
    page.click("Show as curl")
    page.wait_text("curl --globoff", "X-Webhook-Attempt: 2", css="dialog")
    page.click("Close")
    page.click("Verify signatures")
    page.type("Secret or public key", "another")
    page.click("Verify")
    page.wait_text("It does not fit (secret)", css="dialog")
    page.type("Secret or public key", "s3cret")
    page.click("Verify")
    page.wait_text("It fits", "right", "webhook-signature", css="dialog")
    page.type("Body as it came there, if it may be another", "{}")
    page.click("Verify")
    page.wait_text("It does not fit (body)", css="dialog")
    page.click("Close")
    assert "planted-key" not in page.text("body")
    assert not page.driver.execute_script("return window.hacked")
