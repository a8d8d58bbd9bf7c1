"""
What generators make of docs/openapi.yaml compiles, and publishes, lists and reads statistics at a
running gateway; and Schemathesis finds no answer that the document does not promise.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from harness import ROOT

HERE = pathlib.Path(__file__).parent
DOCUMENT = ROOT / "docs" / "openapi.yaml"
MADE_WITH = ROOT / "build" / "clients"  # etc/install-clients
PYTHON = MADE_WITH / "venv" / "bin" / "python"
SESSION = "shop/ü 1"
STORE_BYTES = "8GiB"  # more than 32 bits count


def run(*command, cwd, **variables):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def generate(generator, folder, **properties):
    given = [f"--additional-properties={k}={v}" for k, v in properties.items()]
    run("java", "-jar", MADE_WITH / "openapi-generator.jar", "generate", "-g", generator,
        "-i", DOCUMENT, "-o", folder, *given, cwd=ROOT)


def import_all(folder, package):
    """Each module of the package can be imported, not only those that are used here."""
    run(PYTHON, "-c", "import importlib, pkgutil\n"
        f"import {package} as p\n"
        f"for m in pkgutil.walk_packages(p.__path__, '{package}.'): importlib.import_module(m.name)",
        cwd=folder)


def openapi_python_client(folder):
    run(MADE_WITH / "venv/bin/openapi-python-client", "generate", "--meta", "none", "--path",
        DOCUMENT, "--output-path", folder / "waybill_client", cwd=folder)
    import_all(folder, "waybill_client")
    return [PYTHON, HERE / "use_openapi_python_client.py"]


def python(folder):
    generate("python", folder)
    import_all(folder, "openapi_client")
    return [PYTHON, HERE / "use_python.py"]


def go(folder):
    generate("go", folder)
    (folder / "use").mkdir()
    shutil.copy(HERE / "use_go.go", folder / "use" / "main.go")
    run("go", "vet", ".", "./use", cwd=folder, GOFLAGS="-mod=mod")
    run("go", "build", "-o", "used", "./use", cwd=folder, GOFLAGS="-mod=mod")
    return [folder / "used"]


def typescript(folder):
    generate("typescript-fetch", folder / "client", importFileExtension=".js")  # as Node.js wants it
    shutil.copy(HERE / "use_typescript.ts", folder / "use.ts")
    (folder / "package.json").write_text(json.dumps({"type": "module"}))
    run(MADE_WITH / "node/node_modules/.bin/tsc", "--strict", "--target", "es2022", "--module",
        "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom", "--outDir", "out",
        "use.ts", cwd=folder)
    return ["node", folder / "out" / "use.js"]


@pytest.mark.parametrize("make", [openapi_python_client, python, go, typescript])
def test_a_made_client_publishes_lists_and_reads(make, make_gateway, make_receiver, tmp_path):
    gateway = make_gateway(store_max_bytes=STORE_BYTES)
    receiver = make_receiver(200)
    folder = tmp_path / "made"
    folder.mkdir()
    use = make(folder)
    run(*use, gateway.url, gateway.token, receiver.url(), SESSION, cwd=folder,
        PYTHONPATH=str(folder))
    bodies = [json.loads(request.body) for request in receiver.requests]
    assert [b["session_id"] for b in bodies] == [SESSION] * 3
    assert [b["data"] for b in bodies if "data" in b and b["data"]] == [{"n": 2**33}]


# What needs no schema: endless, a copy of the store, the end of a process; YAML is no string to it.
NOT_TRIED = ("streamEvents", "backup", "handOver", "openapi")
# The other phases, of which these are bounded: requests as the document's examples have them, with each
# value at its bounds and beyond, and drawn ones. Its sequences of calls know no exceptions.
PHASES = {
    "examples,coverage,fuzzing": ["--checks", "all", "-n", "20"],
    "stateful": ["--checks", "all", "--exclude-checks", "positive_data_acceptance", "-n", "20"],
}


@pytest.mark.parametrize("phases", PHASES)
def test_schemathesis_finds_nothing(make_gateway, tmp_path, phases):
    """All of its checks are on; schemathesis_hooks.py has what the document cannot say."""
    gateway = make_gateway(webhook_proxies="on", store_max_bytes=STORE_BYTES)
    excluded = [part for name in NOT_TRIED for part in ("--exclude-operation-id", name)]
    said = run(MADE_WITH / "venv/bin/schemathesis", "run", DOCUMENT, "--url", gateway.url, "-H",
               f"Authorization: Bearer {gateway.token}", "--phases", phases, *PHASES[phases],
               "--seed", "1", "--no-color", *excluded, cwd=tmp_path,
               SCHEMATHESIS_HOOKS="schemathesis_hooks", PYTHONPATH=str(HERE))
    generated, passed = map(int, re.search(r"(\d+) generated, (\d+) passed", said).groups())
    assert generated == passed > 100, said
