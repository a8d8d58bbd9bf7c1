#!/usr/bin/python3
"""
Makes every example of the documentation again, in an empty directory with the program, and
compares what comes out with what is written there: ids, times and the like may differ, nothing
else may. `make test` does the same (tests/e2e/test_docs.py).

usage: docs/examples.py [--write] [FILE…]    (without FILE: all documents that have examples)

--write replaces all outputs of each document in which one differs. Exit status 1 where one
differs, or did.

An example is a fenced block of type `console`: lines that begin with "$ " are commands, lines
with "> " go on with them, all others are what they print; a line "…" stands for any lines. A
program that says where it listens stays in the background, and its output is compared when the
document ends. Ports of 127.0.0.1 are the document's own: the programs get free ones. What a
document needs beyond that stands in a comment on the line before a block:

  <!-- example: prelude -->          shell text that precedes every command of the document
  <!-- example: file NAME -->        the block is a file for the commands that follow
  <!-- example: request PORT -->     what a receiver on PORT got last, byte by byte
  <!-- example: wait TEXT -->        repeat the command until it prints TEXT; with --write, wait
                                     until a program in the background has
  <!-- example: save NAME=KEY … -->  NAME is the value of the first "KEY" in the output
  <!-- example: needs PROGRAM -->     which may not be installed; `make test` then passes it by
"""

import difflib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import harness  # noqa: E402  (found by the line before)

DOCUMENTS = (
    "README.md", "docs/api.md", "docs/architecture.md", "docs/filters.md", "docs/migrating.md",
    "docs/operations.md", "docs/sources.md",
)
PATIENCE_S = 20  # for what comes in its own time
RUNS = {"make run": "etc/run-dev", "make test": None}  # what is run in their place
LISTENING = re.compile(r"^(?:waybill ready|listening) on https?://127\.0\.0\.1:(\d+)", re.M)
GATEWAY_PORT = "8080"  # of a gateway that is not told another one

MASKS = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", lambda m: "<uuid>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", lambda m: "<time>"),
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", lambda m: "<date>"),
    (r"\b1\d{9}\b", lambda m: "<seconds>"),
    (r"(20616674657220)(?:3\d)+(?=206d73)", lambda m: m.group(1) + "30"),  # " after 12 ms" in hex
    # "Could not" connect, curl 8 says, "Couldn't" curl 7: in a record on disk
    ("Could not connect".encode().hex(), "Couldn't connect".encode().hex()),
    ("Could not connect to server", "Couldn't connect to server"),
    (r'(?<="history_bytes":)\d+', lambda m: "<bytes>"),  # some attempts are kept with headers
    (r"[0-9a-f]{32,}", lambda m: f"<{len(m.group())} hex digits>"),
    (r"\bv1,[A-Za-z0-9+/]{43}=", lambda m: "<signature>"),
    (r"\bv1a,[A-Za-z0-9+/]{86}==", lambda m: "<signature by a pair>"),
    (r"\bwhpk_[A-Za-z0-9+/]{43}=", lambda m: "<public key>"),
    (r":[A-Za-z0-9+/]{43}=:", lambda m: ":<32 bytes>:"),
    (r"\bwhsec_[A-Za-z0-9+/]{32}", lambda m: "<secret>"),
    (r'"(duration|dns|connect|tls|first_byte)_ms":\d+\.\d+', lambda m: f'"{m[1]}_ms":<ms>'),
    (r"\b(\w+_ms|commits)=\d+", lambda m: m.group(1) + "=<number>"),
]

FENCE = re.compile(
    r"^(?:<!-- example: (?P<notes>[^\n]*) -->\n)?```(?P<type>\w+)\n(?P<text>.*?)^```$",
    re.M | re.S,
)


def mask(text):
    """`text` without what differs from run to run."""
    for pattern, replacement in MASKS:
        text = re.sub(pattern, replacement, text)
    return text


def same_shape(wanted, found):
    """Whether two lists of lines differ in nothing but what is masked or left out as "…"."""
    if not wanted or not found:
        return not found and all(line == "…" for line in wanted)
    if wanted[0] == "…":
        return same_shape(wanted[1:], found) or same_shape(wanted, found[1:])
    return mask(wanted[0]) == mask(found[0]) and same_shape(wanted[1:], found[1:])


class Step:
    """A command with its output, or a request that a receiver is to have got."""

    def __init__(self, prompt, wanted):
        self.prompt = prompt  # the lines as they stand in the document
        self.wanted = wanted
        self.found = None

    @property
    def command(self):
        lines = [line[2:] for line in self.prompt]
        lines[0] = re.sub(r" +# .*", "", lines[0])
        return "\n".join(lines)

    @property
    def is_good(self):
        return self.found is None or same_shape(self.wanted, self.found)

    def text(self, renewed):
        keep = self.found is None or ("…" in self.wanted and self.is_good)
        lines = self.prompt + (self.found if renewed and not keep else self.wanted)
        return "".join(line + "\n" for line in lines)


class Block:
    """A fenced block that is an example or belongs to one."""

    def __init__(self, match):
        self.span = match.span("text")
        self.text = match.group("text")
        self.type = match.group("type")
        self.notes = dict(
            (note.split(None, 1) + [""])[:2] for note in (match.group("notes") or "").split("; ")
            if note
        )
        self.steps = []
        if self.type == "console":
            self._parse_console()
        elif "request" in self.notes:
            self.steps = [Step([], self.text.splitlines())]

    def _parse_console(self):
        for line in self.text.splitlines():
            if line.startswith("$ "):
                self.steps.append(Step([line], []))
            elif line.startswith("> ") and not self.steps[-1].wanted:
                self.steps[-1].prompt.append(line)
            else:
                self.steps[-1].wanted.append(line)


class Background:
    """A program that serves while the other examples run."""

    def __init__(self, step, popen, path, wait):
        self.step = step
        self.popen = popen
        self.path = path  # of its output
        self.wait = wait

    def output(self):
        return self.path.read_text(encoding="utf-8", errors="replace")

    def stop(self):
        if self.popen.poll() is None:
            os.killpg(self.popen.pid, signal.SIGTERM)
        self.popen.wait(PATIENCE_S)


class Run:
    """One document's examples, in their order."""

    def __init__(self, path, directory, write):
        self.write = write
        self.text = pathlib.Path(path).read_text(encoding="utf-8")
        self.blocks = [Block(match) for match in FENCE.finditer(self.text)]
        self.directory = pathlib.Path(directory)
        self.prelude = ""
        self.variables = {}
        self.ports = {}  # the document's -> the real one
        self.background = []
        self.receivers = {}
        (self.directory / "build").mkdir(parents=True)
        (self.directory / "build" / "waybill").symlink_to(harness.BINARY)
        shutil.copytree(ROOT / "etc", self.directory / "etc")

    def run(self):
        for block in self.blocks:
            if "request" in block.notes:
                self._start_receiver(block.notes["request"])
        try:
            for block in self.blocks:
                self._run_block(block)
            for program in self.background:
                self._end_background(program)
        finally:
            for program in self.background:
                program.stop()
            for receiver in self.receivers.values():
                receiver.close()

    def _start_receiver(self, port):
        self.receivers[port] = harness.Receiver()
        self.ports[port] = str(self.receivers[port].port)

    def _run_block(self, block):
        if "prelude" in block.notes:
            self.prelude += block.text
        elif "file" in block.notes:
            (self.directory / block.notes["file"]).write_text(block.text, encoding="utf-8")
        elif "request" in block.notes:
            block.steps[0].found = self._last_request(block.notes["request"])
        for step in block.steps if block.type == "console" else []:
            self._run_step(step, block.notes.get("wait"))
        if "save" in block.notes:
            printed = "\n".join(line for step in block.steps for line in step.found)
            for pair in block.notes["save"].split():
                name, key = pair.split("=")
                self.variables[name] = re.search(f'"{key}":"([^"]*)"', printed).group(1)

    def _last_request(self, port):
        request = self.receivers[port].wait_for(1)[-1]
        head = [f"{request.method} {request.path} HTTP/1.1"]
        head += [f"{name}: {value}" for name, value in request.headers]
        return self._document_ports("\n".join([*head, "", request.body.decode()])).splitlines()

    def _run_step(self, step, wait):
        command = RUNS.get(step.command, step.command)
        if command is None:
            return
        deadline = time.monotonic() + PATIENCE_S
        while True:
            popen, path = self._start(command)
            if self._stays(step, popen, path):
                kept = path.rename(self.directory / f"output{len(self.background)}")
                self.background.append(Background(step, popen, kept, wait))
                return
            printed = path.read_text(encoding="utf-8", errors="replace")
            step.found = self._document_ports(printed).splitlines()
            if wait is None or wait in printed or time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def _start(self, command):
        path = self.directory / "output"
        path.unlink(missing_ok=True)
        with open(path, "wb") as output:
            popen = subprocess.Popen(
                ["sh", "-c", self._with_ports(self.prelude + command)],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return popen, path

    def _stays(self, step, popen, path):
        """Waits until the program has ended (False) or says where it listens (True)."""
        listening = []

        def decided():
            listening[:] = LISTENING.findall(path.read_text(encoding="utf-8", errors="replace"))
            return listening or popen.poll() is not None

        harness.wait_until(decided, PATIENCE_S, f"end of {step.command!r}")
        if popen.poll() is not None:
            return False
        self.ports[self._shown_port(step)] = listening[0]
        return True

    @staticmethod
    def _shown_port(step):
        """The port that the document has the program listen on."""
        told = re.findall(r"--port (\d+)|--listen 127\.0\.0\.1:(\d+)", step.command)
        told = ["".join(groups) for groups in told]
        shown = told or LISTENING.findall("\n".join(step.wanted))
        return shown[0] if shown else GATEWAY_PORT

    def _end_background(self, program):
        step = program.step

        def complete():
            step.found = self._document_ports(program.output()).splitlines()
            return step.is_good or (self.write and (program.wait or "") in program.output())

        try:
            harness.wait_until(complete, PATIENCE_S)
        except AssertionError:
            pass  # the difference is reported as all are
        complete()

    def _environment(self):
        chosen = {
            "HOME": str(self.directory),
            "LC_ALL": "C.UTF-8",
            "NO_PROXY": "*",
            "PATH": os.environ["PATH"],
            "PORT": "0",
            "WAYBILL_LISTEN": "127.0.0.1:0",
            **self.variables,
        }
        if GATEWAY_PORT in self.ports:
            chosen["WAYBILL_URL"] = f"http://127.0.0.1:{self.ports[GATEWAY_PORT]}"
        return chosen

    def _with_ports(self, text):
        """A command's text with the real ports, and any free one to listen on."""
        text = re.sub(r"--port \d+", "--port 0", text)
        text = re.sub(r"--listen 127\.0\.0\.1:\d+", "--listen 127.0.0.1:0", text)
        return self._replace_ports(text, self.ports)

    def _document_ports(self, text):
        back = {real: shown for shown, real in self.ports.items()}
        back["0"] = GATEWAY_PORT  # what etc/run-dev is told by WAYBILL_LISTEN
        return self._replace_ports(text, back)

    @staticmethod
    def _replace_ports(text, ports):
        return re.sub(
            r"(?<=127\.0\.0\.1:)\d+", lambda m: ports.get(m.group(), m.group()), text
        )

    def differences(self):
        """A text for each example that has another shape now."""
        out = []
        for step in (step for block in self.blocks for step in block.steps):
            if not step.is_good:
                title = step.command if step.prompt else "the request"
                lines = difflib.unified_diff(
                    [mask(line) for line in step.wanted], [mask(line) for line in step.found],
                    "documented", "made", lineterm="", n=1,
                )
                out.append("\n".join([title, *lines]))
        return out

    def renewed(self):
        """The document's text with the outputs of this run."""
        text, at = "", 0
        for block in self.blocks:
            start, end = block.span
            made = "".join(step.text(renewed=True) for step in block.steps) or block.text
            text += self.text[at:start] + made
            at = end
        return text + self.text[at:]


def missing(path):
    """The programs that the document's examples need and that are not installed."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    needed = {block.notes["needs"] for block in map(Block, FENCE.finditer(text))
              if "needs" in block.notes}
    return sorted(program for program in needed if shutil.which(program) is None)


def check(path, directory, write=False):
    """Runs a document's examples below `directory`; returns what differs."""
    run = Run(path, directory, write)
    run.run()
    differences = run.differences()
    if differences and write:
        pathlib.Path(path).write_text(run.renewed(), encoding="utf-8")
    return differences


def main(arguments):
    write = "--write" in arguments
    names = [name for name in arguments if name != "--write"]
    if any(name.startswith("-") for name in names):
        sys.exit(__doc__.strip())
    status = 0
    for name in names or [ROOT / name for name in DOCUMENTS]:
        if missing(name):
            sys.exit(f"{name}: its examples need {', '.join(missing(name))}")
        with tempfile.TemporaryDirectory() as directory:
            differences = check(name, pathlib.Path(directory) / "run", write)
        for difference in differences:
            print(f"{name}: {difference}\n")
            status = 1
        print(f"{name}: {len(differences)} examples differ")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
