#!/usr/bin/python3
"""
Does what docs/first-hour.md says, from the first command to the last click, and compares what comes
out with what is written there. It is a new machine as far as that goes: a layer over this system
with a network of its own, into which the package is installed, and which is thrown away. The
pictures, docs/screenshots/first-hour-*.png, are made anew; with --compare they are left alone.

usage: docs/first_hour.py [--compare]     (as root; `make first-hour`; tests/e2e/test_first_hour.py)

The document is the script. Its console blocks are run in their order as docs/examples.py would; where
a picture stands, STEPS has what is done in the browser before it is taken, and the words in bold
since the picture before are the names of all that is pressed and filled in there.

No systemd runs in there. SYSTEMCTL stands in for systemctl: it starts what the installed unit says,
as the user and with the folders that the unit names, and without any right beyond those.
"""

import base64
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import requests

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "docs")]

import examples  # noqa: E402  (found by the line before)
import layer  # noqa: E402
from browser import Browser, Page  # noqa: E402
from harness import wait_until  # noqa: E402

DOCUMENT = ROOT / "docs" / "first-hour.md"
CERTIFICATE = "/etc/ssl/waybill/certificate.pem"
PATIENCE_S = 60
WHOLE_S = 240  # all of it, on a loaded machine
ASSIGNMENT = re.compile(r"(?:export )?[A-Z_]+=(?:\$\(.*\)|\S+)")

SYSTEMCTL = r"""#!/bin/sh -eu
unit=/lib/systemd/system/waybill.service
log=/var/log/waybill.log
value() { sed -n "s/^$1=//p" $unit; }
gone() { timeout 20 sh -c 'while kill -0 $1 2>/dev/null; do :; done' sh "$1"; }
start_waybill() {
	install -d -m "$(value RuntimeDirectoryMode)" -o "$(value User)" /run/"$(value RuntimeDirectory)"
	cd "$(value WorkingDirectory)"
	umask "$(value UMask)"
	: >$log
	# shellcheck disable=SC2046  # words
	setsid setpriv --reuid "$(value User)" --regid "$(value Group)" --init-groups --no-new-privs \
		--bounding-set=-all --inh-caps=-all $(value ExecStart) >>$log 2>&1 </dev/null &
	echo $! >/run/waybill.pid
	timeout 20 sh -c 'until grep -q "^waybill ready" $1; do kill -0 $2 || exit; done' sh $log $! 2>/dev/null || {
		cat $log >&2
		exit 1
	}
}
stop_waybill() {
	[ -e /run/waybill.pid ] || return 0
	pid=$(cat /run/waybill.pid)
	rm /run/waybill.pid
	kill "$pid" && gone "$pid"
	[ "$(value RuntimeDirectoryPreserve)" = yes ] || rm -rf /run/"$(value RuntimeDirectory)"
}
start_nginx() { nginx </dev/null >/dev/null 2>&1; }
stop_nginx() {
	[ -s /run/nginx.pid ] || return 0 # `nginx -t` leaves an empty one
	pid=$(cat /run/nginx.pid)
	kill "$pid" && gone "$pid"
}
case " $* " in
*" daemon-reload "*) exit ;;
*" start "* | *" restart "* | *" is-active "*) ;;
*) SYSTEMD_OFFLINE=1 exec systemctl.real "$@" ;; # files alone
esac
verb=
for word; do
	word=${word%.service}
	case $verb:$word in
	*:--*) ;;
	:*) verb=$word ;;
	start:waybill | start:nginx) start_"$word" ;;
	restart:waybill | restart:nginx) stop_"$word" && start_"$word" ;;
	is-active:waybill) [ -e /run/waybill.pid ] && kill -0 "$(cat /run/waybill.pid)" && echo active ;;
	*) echo "not here: systemctl $*" >&2 && exit 1 ;;
	esac
done
"""

# A machine as the document finds it. FOLDER is for the pictures.
INSIDE = r"""
rm -f /usr/sbin/policy-rc.d
rm -f /etc/nginx/conf.d/waybill.conf
mkdir -p /run/systemd/system
ip link set lo up
# Not exec: the shell is the first process in there, and buries those that nobody waits for.
/usr/bin/python3 /mnt/docs/first_hour.py --inside FOLDER || exit 1
exit 0
"""


class Walk(Page):
    """A page that knows which controls were used."""

    def __init__(self, browser, gateway):
        super().__init__(browser, gateway)
        self.used = set()
        self.shoot = None  # takes the picture, once

    def click(self, name, within="body"):
        self.used.add(name)
        super().click(name, within)

    def type(self, name, text, clear=True):
        if name != "Token":
            self.used.add(name)
        super().type(name, text, clear)

    def see_three(self, status):
        """Opens the list of deliveries once it has three of them."""
        there = lambda: self.gateway.deliveries(status) == 3  # noqa: E731
        wait_until(there, PATIENCE_S, f"three deliveries that are {status}")
        self.click("Deliveries")
        self.wait_title("Deliveries of all sessions")
        self.wait(lambda: self.text("tbody").count(status) == 3, f"three {status} in the list")


class Front:
    """waybill as its clients reach it, through nginx."""

    url = "https://waybill.example"

    def __init__(self):
        tokens = pathlib.Path("/etc/waybill/tokens").read_text()
        self.token = re.search(r"^([0-9a-f]{48}) \*$", tokens, re.M).group(1)

    def deliveries(self, status):
        answer = requests.get(
            f"{self.url}/api/v1/sessions/shop/deliveries", params={"status": status},
            headers={"Authorization": f"Bearer {self.token}"}, verify=CERTIFICATE, timeout=PATIENCE_S,
        )
        return len(answer.json()["deliveries"])


# What is done before each picture, or around it.


def register(page):
    page.open()
    page.click("Webhooks")
    page.type("Session", "shop\n")
    page.wait_title("Webhooks of shop")
    page.click("Register a webhook")
    page.type("URL", "http://127.0.0.1:9000/")
    page.type("Secret", "s3cert")
    page.click("More settings")
    page.type("Waits between attempts", "1s, 1s")
    page.js("document.querySelector('dialog').scrollTop = 0")
    page.shoot()
    page.click("Register")
    page.wait_title("http://127.0.0.1:9000/")


def find_why(page):
    page.see_three("dead")
    page.driver.find_element("css selector", "tbody a[href*='/deliveries/']").click()
    page.wait_title("Delivery")
    page.wait_text("dead", "Attempt 3", "127.0.0.1:9000", "Failed to connect")
    page.shoot()


def see_refused(page):
    page.click("Send again")
    page.wait(lambda: page.text("#status") == "dead" and "401" in page.text("main"), "given up")
    page.wait_gone(".toast")
    page.shoot()


def mend(page):
    delivery = page.js("return location.hash.slice(2)")
    page.driver.find_element("css selector", "dl a[href*='/webhooks/']").click()
    page.wait_title("http://127.0.0.1:9000/")
    page.click("Change")
    page.type("Secret", "s3cret")
    page.click("Save")
    page.wait_gone("dialog")
    page.open(delivery)
    page.click("Send again")
    page.wait_text("delivered", "204")
    page.wait_gone(".toast")
    page.shoot()


def see_dead_letters(page):
    page.click("Dead letters")
    page.wait_text("2 dead letters")
    page.shoot()


def replay(page):
    page.click("Replay all")
    page.click("Replay all")
    page.wait_text("No dead letters")
    page.see_three("delivered")
    page.wait_gone(".toast")
    page.shoot()


STEPS = {
    "register": register,
    "why": find_why,
    "refused": see_refused,
    "delivered": mend,
    "dead-letters": see_dead_letters,
    "end": replay,
}


class Commands:
    """The console blocks: one after the other, with what was assigned before them."""

    def __init__(self):
        self.assigned = ""
        self.waiting = []  # (step, program, output) of those that stay

    def run(self, block):
        for step in block.steps:
            self.run_step(step)

    def run_step(self, step):
        if ASSIGNMENT.fullmatch(step.command):
            self.assigned += step.command + "\n"
            return
        output = tempfile.NamedTemporaryFile("r", encoding="utf-8")
        program = subprocess.Popen(
            ["sh", "-c", self.assigned + step.command], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=open(output.name, "wb"), stderr=subprocess.STDOUT, start_new_session=True,
        )
        printed = lambda: pathlib.Path(output.name).read_text(encoding="utf-8")  # noqa: E731
        wait_until(
            lambda: program.poll() is not None or printed().startswith("listening on "),
            PATIENCE_S, f"end of {step.command!r}",
        )
        if program.poll() is None:
            self.waiting.append((step, program, printed, output))
        else:
            # nginx before 1.25 knows no other way to say http2, which later ones advise against
            step.found = [s for s in printed().splitlines() if '"listen ... http2" directive is' not in s]
            assert step.is_good, f"{step.command}\nprints\n{printed()}"

    def end(self):
        for step, program, printed, _ in self.waiting:
            def complete(step=step, printed=printed):
                step.found = printed().splitlines()
                return step.is_good
            try:
                wait_until(complete, PATIENCE_S)
            except AssertionError:
                raise AssertionError(f"{step.command}\nprints\n{printed()}") from None
            finally:
                os.killpg(program.pid, signal.SIGTERM)


def key_of(certificate):
    """What Chromium calls its key, to accept it."""
    public = subprocess.run(
        f"openssl x509 -in {certificate} -pubkey -noout | openssl pkey -pubin -outform der",
        shell=True, check=True, stdout=subprocess.PIPE,
    ).stdout
    return base64.b64encode(hashlib.sha256(public).digest()).decode()


def open_browser():
    key = key_of(CERTIFICATE)
    browser = Browser(f"--ignore-certificate-errors-spki-list={key}")
    browser.look(900, 620)
    return Walk(browser, Front())


def take_step(page, name, folder, words):
    taken = []

    def shoot():
        page.wait(lambda: not page.has("main[aria-busy]"), "the page")
        page.js("document.activeElement.blur(); getSelection().removeAllRanges()")
        page.driver.save_screenshot(f"{folder}/first-hour-{name}.png")
        taken.append(name)

    page.shoot, page.used = shoot, set()
    STEPS[name](page)
    assert taken == [name]
    assert page.used == words, f"{name}: used {page.used}, in bold {words}"


def walk(folder):
    """The document from its beginning to its end; the pictures go to `folder`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    stops = [*examples.FENCE.finditer(text),
             *re.finditer(r"^!\[.*\]\(screenshots/first-hour-([a-z-]+)\.png\)$", text, re.M)]
    commands, page, seen, steps = Commands(), None, 0, []
    for stop in sorted(stops, key=lambda match: match.start()):
        if stop.re is examples.FENCE:
            commands.run(examples.Block(stop))
            continue
        page = page or open_browser()
        words = re.findall(r"\*\*(.+?)\*\*", text[seen : stop.start()], re.S)
        seen = stop.end()
        take_step(page, stop.group(1), folder, {re.sub(r"\s+", " ", word) for word in words})
        steps.append(stop.group(1))
    commands.end()
    assert steps == list(STEPS)
    # Chromium's own first page may complain too.
    complaints = [c for c in page.browser.complaints() if not c.startswith("chrome:")]
    assert complaints == [], complaints
    page.browser.close()


def inside(folder):
    stand_in = pathlib.Path("/usr/bin/systemctl")
    stand_in.rename("/usr/bin/systemctl.real")
    stand_in.write_text(SYSTEMCTL)
    stand_in.chmod(0o755)
    walk(folder)
    print("walked to the end")


def do_all(folder, pictures="/tmp"):
    """
    Walks through it in a layer at `folder`, where `pictures` is the folder for them; returns what
    was printed, and whether all was well.
    """
    layer.build_package()
    done = layer.in_layer(folder, INSIDE.replace("FOLDER", pictures), ROOT, own_network=True, timeout=WHOLE_S)
    return done.stdout, done.returncode == 0 and done.stdout.endswith("walked to the end\n")


def main(arguments):
    if arguments[:1] == ["--inside"]:
        return inside(*arguments[1:])
    if arguments not in ([], ["--compare"]):
        sys.exit(__doc__.strip())
    with tempfile.TemporaryDirectory() as folder:
        printed, good = do_all(folder, *([] if arguments else ["/mnt/docs/screenshots"]))
    print(printed, end="")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
