"""
Makes the image of etc/Dockerfile without a container engine: each stage is a copy of a minimal tree
(tests/fresh/tree), in which its RUN and COPY are done; and tries it as its CMD and HEALTHCHECK say.
What an instruction means is what it takes for that file, and one that is not known is an error.
usage: image.py BASE FOLDER      BASE: a minimal tree of what FROM names, FOLDER: where stages go
"""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TREE = ROOT / "tests" / "fresh" / "tree"
DOCKERFILE = ROOT / "etc" / "Dockerfile"
# What says how the image is run, not how it is made; the last of a stage counts.
SAYINGS = {"EXPOSE", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD", "HEALTHCHECK", "USER"}


class Stage:
    def __init__(self, base, name):
        self.base = base
        self.name = name
        self.steps = []  # of (instruction, text), in order
        self.says = {}
        self.env = {}


def parse(text):
    """The stages of a Dockerfile."""
    lines = [line for line in text.splitlines() if not re.match(r"\s*#", line)]
    stages, args = [], {}
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        word, rest = line.strip().split(None, 1)
        if word == "ARG" and not stages:
            name, _, value = rest.partition("=")
            args[name] = value
        elif word == "FROM":
            rest = re.sub(r"\$(\w+)", lambda m: args[m.group(1)], rest)
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name or None))
        elif not stages:
            raise ValueError(f"before FROM: {line}")
        elif word in ("RUN", "COPY", "WORKDIR"):
            stages[-1].steps.append((word, rest))
        elif word == "ENV":
            for pair in shlex.split(rest):
                name, equals, value = pair.partition("=")
                if not equals:
                    raise ValueError(f"not NAME=VALUE: {line}")
                stages[-1].env[name] = value
        elif word in SAYINGS:
            stages[-1].says[word] = rest
        else:
            raise ValueError(f"unknown instruction: {line}")
    return stages


def sources(text):
    """Of a COPY: the stage that it is from or None, what, and where to."""
    words = text.split()
    stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
    if any(word.startswith("-") for word in words) or len(words) < 2:
        raise ValueError(f"unknown way to COPY: {text}")
    return stage, words[:-1], words[-1]


def health(stage):
    """The command of HEALTHCHECK."""
    return json.loads(re.search(r"CMD (\[.*\])$", stage.says["HEALTHCHECK"]).group(1))


def inside(tree, folder, path):
    return tree / str(pathlib.PurePosixPath("/", folder, path)).lstrip("/")


def copy(trees, tree, folder, text):
    stage, what, where = sources(text)
    target = inside(tree, folder, where)
    for name in what:
        source = ROOT / name if stage is None else inside(trees[stage], "/", name)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            file = target / source.name if where.endswith("/") else target
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, file)


def make(stages, base, folder):
    """Makes all stages, and returns the tree of the last one."""
    trees = {}
    for number, stage in enumerate(stages):
        tree = folder / f"stage{number}"
        subprocess.run(["cp", "-a", base, tree], check=True)
        trees[stage.name] = trees[str(number)] = tree
        at = "/"
        for word, text in stage.steps:
            print(f"image: stage {number}: {word} {' '.join(text.split())}", flush=True)
            if word == "WORKDIR":
                at = text
                inside(tree, "/", at).mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                copy(trees, tree, at, text)
            else:
                command = f"cd {shlex.quote(at)} && {text}"
                done = subprocess.run(
                    [TREE, "enter", tree, "/bin/sh", "-c", command],
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )
                if done.returncode != 0:
                    sys.exit(f"{done.stdout[-4000:]}\nimage: RUN {text} failed")
    return tree


# In a network of its own: the image serves, is healthy, takes an event and delivers it. curl is
# this machine's, as a publisher would be. $1 is the tool, $2 the tree, $3 how the image starts,
# $4 how it is asked.
STORY = r"""
set -eu
ip link set lo up
in_image() { "$1" enter "$2" /bin/sh -c "$3"; }
in_image "$1" "$2" "$3" &
n=0
until in_image "$1" "$2" "$4" 2>/dev/null; do
	n=$((n + 1))
	[ $n -lt 60 ] || { echo "image: it is not healthy" >&2; exit 1; }
	sleep 1
done
echo 'image: it is healthy'
in_image "$1" "$2" 'waybill listen --port 9000 --secret s3cret' >"$2/tmp/received" &
until grep -q listening "$2/tmp/received"; do sleep 0.2; done
call() {
	curl -fsS --noproxy '*' -H 'Authorization: Bearer of-the-test-0123456789' \
		-H 'Content-Type: application/json' "http://127.0.0.1:8080/api/v1/sessions/s/$1" -d "$2"
}
call webhooks '{"url":"http://127.0.0.1:9000/","secret":"s3cret"}'
call events '{"event":"message","data":{"text":"hello"}}'
n=0
until grep -q 'signature ok' "$2/tmp/received"; do
	n=$((n + 1))
	[ $n -lt 100 ] || { echo "image: nothing was delivered" >&2; exit 1; }
	sleep 0.2
done
echo
echo 'image: an event was delivered, its signature verified'
"""


def attempt(stage, tree):
    uid, gid = stage.says["USER"].split(":")
    env = {**stage.env, "WAYBILL_TOKEN": "of-the-test-0123456789", "WAYBILL_ALLOW_CIDR": "127.0.0.0/8"}
    words = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--",
             "env", *(f"{k}={v}" for k, v in env.items())]
    start = [*words, *json.loads(stage.says["ENTRYPOINT"]), *json.loads(stage.says["CMD"])]
    done = subprocess.run([
        "unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", STORY, "sh", TREE, tree,
        "exec " + shlex.join(start), shlex.join([*words, *health(stage)]),
    ], timeout=300)
    return done.returncode


if __name__ == "__main__":
    base, folder = map(pathlib.Path, sys.argv[1:])
    made = parse(DOCKERFILE.read_text(encoding="utf-8"))
    sys.exit(attempt(made[-1], make(made, base, folder)))
