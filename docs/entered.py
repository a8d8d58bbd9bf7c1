#!/usr/bin/python3
"""
Counts the files of src that the publishing of one event enters, from its handler to its 202, in
the running program: valgrind's callgrind records who calls whom, and the walk begins at the
functions of api/publish_api.c and at what the dispatcher is told. base/ and http/ are not
counted. Fails where docs/architecture.md says otherwise, or more are entered than may be.

usage: docs/entered.py [WAYBILL]
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

PORT = 18471
FIRST = "api/publish_api.c"
STOP = ("base/", "http/", "server/")  # below everything; the connection; the loop
MOST = 16


def call(path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/api/v1{path}", body,
                                     {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=60).read()


def record(waybill, folder):
    """Runs the gateway under callgrind while one event is published; the profile's text."""
    out = folder / "profile"
    server = subprocess.Popen(
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--compress-strings=no",
         "--compress-pos=no", f"--callgrind-out-file={out}", waybill, "serve",
         "--listen", f"127.0.0.1:{PORT}", "--data", folder / "var",
         "--store-max-bytes", "1GiB"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    server.stdout.readline()  # "waybill ready on …"
    hook = b'{"url":"http://127.0.0.1:9/","secret":"a secret"}'
    event = b'{"event":"message","data":{"text":"hello","n":[1,2.5]}}'
    call("/sessions/s/webhooks", hook)
    call("/sessions/s/events", event)
    time.sleep(1)  # what the first one has set going is over
    control = ["callgrind_control", "-i"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*control, "on", str(server.pid)], check=True, **quiet)
    call("/sessions/s/events", event)
    subprocess.run([*control, "off", str(server.pid)], check=True, **quiet)
    server.terminate()
    server.wait(60)
    return out.read_text(errors="replace")


def graph(profile):
    """(file, function) -> those that it calls."""
    calls, file, caller, callee_file = {}, "", ("", ""), ""
    for line in profile.splitlines():
        key, _, value = line.partition("=")
        if key in ("fl", "fi", "fe"):
            file = value
        elif key == "fn":
            caller = (file, value)
            callee_file = file
        elif key in ("cfi", "cfl"):
            callee_file = value
        elif key == "cfn":
            calls.setdefault(caller, set()).add((callee_file, value))
            callee_file = file
    return calls


def short(path):
    match = re.search(r"src/([a-z]+/[a-z_]+\.[ch])$", path)
    return match.group(1) if match else ""


def listed(text):
    """The files that architecture.md lists."""
    found = re.search(r"an event enters (\d+) files, [^:]*:(.*?)\. `docs/entered", text, re.DOTALL)
    files = set()
    for folder, names in re.findall(r"`([a-z]+/)`([^;`]*)", found.group(2)):
        files |= {f"{folder}{name}.c" for name in re.findall(r"[a-z_]+", names)}
    return int(found.group(1)), files


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    waybill = sys.argv[1] if len(sys.argv) > 1 else root / "build/waybill"
    with tempfile.TemporaryDirectory() as folder:
        calls = graph(record(waybill, pathlib.Path(folder)))
    todo = [f for f in calls if short(f[0]) == FIRST]
    seen, files = set(todo), set()
    while todo:
        function = todo.pop()
        files.add(short(function[0]))
        for callee in calls.get(function, ()):
            name = short(callee[0])
            if callee not in seen and name.endswith(".c") and not name.startswith(STOP):
                seen.add(callee)
                todo.append(callee)
    for name in sorted(files):
        print(name)
    print(f"{len(files)} files")
    count, known = listed((root / "docs/architecture.md").read_text(encoding="utf-8"))
    for name in sorted(files ^ known):
        print(f"docs/architecture.md {'lacks' if name in files else 'has'} {name}")
    if files != known or count != len(files):
        sys.exit(f"docs/architecture.md has {len(known)} files, and says {count}")
    if len(files) > MOST:
        sys.exit(f"at most {MOST} files may be entered")


if __name__ == "__main__":
    main()
