"""
What runs waybill in containers, as far as that shows without an engine: the recipe of the image, the
compose file with its nginx, the manifests for Kubernetes. `make fresh T=image` makes the image.
"""

import copy
import json
import re
import shutil
import subprocess
import sys
import zipfile

import jsonschema
import pytest
import requests
import yaml

from fronts import free_port
from harness import ROOT, waybill

sys.path.insert(0, str(ROOT / "tests" / "fresh"))

import image  # noqa: E402  (found by the line before)

FOLDER = ROOT / "etc" / "container"
STAGES = image.parse(image.DOCKERFILE.read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))


def manifest(kind):
    (found,) = [m for m in MANIFESTS if m["kind"] == kind]
    return found


def settings():
    names = re.findall(r"(?m)^  --([a-z-]+) ", waybill("help").stdout)
    return {"WAYBILL_" + name.replace("-", "_").upper() for name in names}


# The image


def test_the_recipe_copies_what_there_is():
    names = [stage.name for stage in STAGES]
    for number, stage in enumerate(STAGES):
        copies = [image.sources(text) for word, text in stage.steps if word == "COPY"]
        assert copies
        for source, files, _ in copies:
            assert source is None or source in names[:number]
            assert source or all((ROOT / name).exists() for name in files), files


def test_the_recipe_says_how_it_is_run():
    last = STAGES[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last.says["USER"])
    command = json.loads(last.says["ENTRYPOINT"]) + json.loads(last.says["CMD"])
    assert command[:2] == ["/usr/bin/waybill", "serve"]
    assert last.env["WAYBILL_LISTEN"].endswith(":" + last.says["EXPOSE"])
    assert last.env["WAYBILL_DATA"] == last.says["VOLUME"]
    assert set(last.env) <= settings()


@pytest.mark.parametrize("line", ["ADD a b", "COPY --chown=1 a b", "ENV A b", "RUM x"])
def test_a_line_that_the_reader_does_not_know_is_refused(line):
    with pytest.raises(ValueError):
        for stage in image.parse(f"FROM debian\n{line}\n"):
            for _, text in stage.steps:
                image.sources(text)


# Compose


def test_compose_names_what_there_is():
    services = COMPOSE["services"]
    built = services["waybill"]["build"]
    assert (FOLDER / built["context"]).resolve() == ROOT
    assert (ROOT / built["dockerfile"]) == image.DOCKERFILE
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (FOLDER / source).is_file(), source
        assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(services["waybill"]["environment"]) <= settings()


def test_compose_allows_its_own_network_and_believes_nginx_alone():
    (subnet,) = [c["subnet"] for c in COMPOSE["networks"]["inside"]["ipam"]["config"]]
    variables = COMPOSE["services"]["waybill"]["environment"]
    assert variables["WAYBILL_ALLOW_CIDR"] == subnet
    proxy = COMPOSE["services"]["nginx"]["networks"]["inside"]["ipv4_address"]
    assert variables["WAYBILL_TRUSTED_PROXIES"] == proxy + "/32"
    given = {k: v for k, v in variables.items() if k != "WAYBILL_TOKEN"}
    assert waybill("check-config", env={**given, "WAYBILL_TOKEN": "t" * 32}).returncode == 0


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_nginx_of_compose_passes_on(make_gateway, start_front, folder):
    gateway = make_gateway(trusted_proxies="127.0.0.1/32")
    port = free_port()
    text = (FOLDER / "nginx.conf").read_text(encoding="utf-8")
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    text = text.replace("server waybill:8080 ", "server %s:%d " % gateway.address)
    for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text = f"{kind}_temp_path {folder}/{kind};\n{text}"
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off;\n{text}}}\n"
    )
    subprocess.run(["nginx", "-t", "-q", "-p", folder, "-e", "stderr", "-c", conf], check=True)
    start_front("nginx", "-p", folder, "-e", "stderr", "-c", conf)
    with requests.Session() as client:
        client.trust_env = False
        client.headers["Authorization"] = f"Bearer {gateway.token}"
        client.mount("http://", requests.adapters.HTTPAdapter(max_retries=requests.adapters.Retry(
            connect=20, backoff_factor=0.05)))
        url = f"http://127.0.0.1:{port}"
        published = client.post(f"{url}/api/v1/sessions/s/events", json={"event": "message"}, timeout=10)
        assert published.status_code == 202, published.text
        assert client.get(f"{url}/ui", timeout=10).status_code == 200
        assert client.get(f"{url}/metrics", timeout=10).status_code == 404


# Kubernetes


@pytest.fixture(scope="module")
def schemas():
    """Checks a manifest as strictly as kubeconform -strict: schemas(manifest) → errors."""
    got = subprocess.run(
        [ROOT / "etc" / "install-kubernetes-schemas"], stdout=subprocess.PIPE, text=True, timeout=50
    )
    assert got.returncode == 0, "etc/install-kubernetes-schemas says why, above"
    with zipfile.ZipFile(got.stdout.strip()) as wheel:
        place = "kubernetes_validate/kubernetes-json-schema/v%s.0-local-strict/_definitions.json"
        # the oldest and the newest that it has
        versions = [json.loads(wheel.read(place % version)) for version in ("1.29", "1.37")]

    def errors(document):
        group, _, version = document["apiVersion"].rpartition("/")
        name = ".".join(["io.k8s.api", group.split(".")[0] or "core", version, document["kind"]])
        found = []
        for definitions in versions:
            (key,) = {"definitions", "$defs"} & set(definitions)
            schema = {key: definitions[key], "$ref": f"#/{key}/{name}"}
            validator = jsonschema.Draft202012Validator(schema)
            found += [e.message for e in validator.iter_errors(document)]
        return found

    return errors


@pytest.mark.parametrize("kind", ["Service", "StatefulSet", "NetworkPolicy"])
def test_manifests_are_as_kubernetes_wants_them(schemas, kind):
    assert schemas(manifest(kind)) == []


OF_ONES_OWN = {"labels", "matchLabels", "requests", "limits", "selector"}  # any name may be there


@pytest.mark.parametrize("kind", ["Service", "StatefulSet", "NetworkPolicy"])
def test_a_misspelt_member_would_be_found(schemas, kind):
    paths = [path for path, _ in members_of(manifest(kind)) if not OF_ONES_OWN & set(path)]
    assert len(paths) > 3
    for path in paths:
        wrong = copy.deepcopy(manifest(kind))
        at = wrong
        for word in path:
            at = at[word]
        at["misspelt"] = {}
        assert schemas(wrong), path


def members_of(thing, path=()):
    """The objects of a manifest, and where they are."""
    pairs = thing.items() if isinstance(thing, dict) else enumerate(thing)
    for key, value in pairs:
        if isinstance(value, (dict, list)):
            yield from members_of(value, (*path, key))
    if isinstance(thing, dict):
        yield path, thing


def test_the_pod_is_of_the_image_and_asks_what_there_is(gateway):
    pod = manifest("StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    last = STAGES[-1]
    user, group = map(int, last.says["USER"].split(":"))
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (user, group)
    assert container["volumeMounts"][0]["mountPath"] == last.says["VOLUME"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) == last.says["EXPOSE"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["port"] == port["name"]
        assert gateway.request("GET", asked["path"], token="").status_code == 200
    assert {variable["name"] for variable in container["env"]} <= settings()
    assert manifest("StatefulSet")["spec"]["replicas"] == 1  # a store has one process


def test_what_selects_the_pod_does():
    labels = manifest("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        manifest("StatefulSet")["spec"]["selector"]["matchLabels"],
        manifest("Service")["spec"]["selector"],
        manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    (claim,) = manifest("StatefulSet")["spec"]["volumeClaimTemplates"]
    (mount,) = manifest("StatefulSet")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert claim["metadata"]["name"] == mount["name"]
