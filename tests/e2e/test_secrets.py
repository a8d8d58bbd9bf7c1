"""
Secrets stay where they belong: encrypted in the store under the operator's key, never in logs,
errors and answers, and not in a core file.
"""

import base64
import hashlib
import json
import os
import pathlib
import pwd
import re
import resource
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import (
    BINARY,
    Process,
    expect_error,
    flags,
    hooks_path,
    pems,
    redirect,
    reset,
    sign_v1,
    status,
    verify,
    wait_until,
    waybill,
)

KEY, OTHER_KEY = "a1" * 32, "b2" * 32
WRITTEN = re.compile(r'msg="webhooks were written anew" webhooks=(\d+) key=([0-9a-f]{16}|none)')
SANITIZED = "/asan/" in BINARY  # its leak check has to look into the process


def key_id(key):
    return hashlib.sha256(b"waybill vault key\0" + bytes.fromhex(key)).hexdigest()[:16]


def secret(name):
    """Something that nobody else writes, and that shows which it was."""
    return f"SECRET-{name}-{secrets.token_hex(8)}"


def private_key():
    return "whsk_" + base64.b64encode(secrets.token_bytes(32)).decode()


def store_bytes(gateway):
    return (gateway.directory / "data" / "waybill.mdb").read_bytes()


def private_file(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


# Nowhere to be seen


class Watched:
    """A gateway all of whose answers are kept; those of webhooks apart: they show headers."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.answers = []
        self.of_webhooks = []
        self._request = gateway.request
        gateway.request = self._watch

    def _watch(self, method, path, *args, **kwargs):
        answer = self._request(method, path, *args, **kwargs)
        shows = "/webhooks" in path and answer.ok and "/dlq" not in path
        kept = self.of_webhooks if shows else self.answers
        kept.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer


@pytest.fixture
def names():
    """The secrets of a test."""
    kinds = ["token", "scoped", "wrong", "inbound", "own", "hook", "rotated", "header", "bad",
             "password", "bearer", "client", "granted", "proxied"]
    pairs = {kind: private_key() for kind in ["pair", "rotated pair"]}
    return {**{kind: secret(kind) for kind in kinds}, **pairs}


@pytest.fixture
def watched(make_gateway, names, tmp_path):
    tokens = private_file(tmp_path / "tokens", f"{names['scoped']} s2\n")
    return Watched(
        make_gateway(
            token=names["token"],
            tokens_file=tokens,
            inbound_secret=names["inbound"],
            session_inbound_secrets=f"s3={names['own']}",
            env={"WAYBILL_SECRET_KEY": KEY},
            log_level="debug",
            retry_schedule="20ms",
            timeout_ms="300",
            webhook_proxies="on",
        )
    )


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def provoke_bad_requests(gateway, names):
    url = "http://127.0.0.1:9/taken"
    gateway.register("s1", url, secret=names["hook"])
    bad = names["bad"]
    bodies = [
        '{"url":"http://127.0.0.1:9/a","secret":"%s"' % bad,
        '{"url":"http://127.0.0.1:9/a","secret":"%s",}' % bad,
        '{"secret":"%s\\ud800"}' % bad,
        '{"secret":["%s"]}' % bad,
        '{"secret":"%s"}' % (bad * 100),
        '{"url":"http://user:%s@127.0.0.1/"}' % bad,
        '{"url":"http://127.0.0.1/ %s"}' % bad,
        '{"headers":{"Authorization":"%s\\u0001"}}' % bad,
        '{"headers":{"Content-Length":"%s"}}' % bad,
        '{"headers":["%s"]}' % bad,
        '{"signature":"%s"}' % bad,
        '{"signature":["v1","%s"]}' % bad,
        '{"private_key":"%s"}' % bad,
        '{"private_key":"whsk_%s"}' % bad,
        '{"ca_pem":"%s"}' % bad,
        '{"client_cert_pem":"%s"}' % bad,
        '{"client_cert_pem":null,"client_key_pem":"%s"}' % bad,
        '{"auth":"%s"}' % bad,
        '{"auth":{"type":"%s"}}' % bad,
        '{"auth":{"type":"bearer","token":"%s x"}}' % bad,
        '{"auth":{"type":"bearer","token":"x","%s":1}}' % bad,
        '{"auth":{"type":"basic","username":"%s:","password":"%s\\n"}}' % (bad, bad),
        '{"key":"%s"}' % bad,
        '{"proxy":"%s"}' % bad,
        '{"proxy":"https://me:%s@127.0.0.1:1"}' % bad,
        '{"proxy":"http://me:%s@@127.0.0.1:1"}' % bad,
        '{"no_proxy":["%s "]}' % bad,
        '{"user_agent":"%s\\n"}' % bad,
        '{"http_version":"%s"}' % bad,
        '{"content_encoding":"%s"}' % bad,
        "[" + json.dumps(bad) + "]",
    ]
    for body in bodies:
        expect_error(gateway.api("POST", hooks_path("s1"), body=body), 400)
    taken = {"url": url, "secret": bad, "headers": {"Authorization": bad}}
    expect_error(gateway.api("POST", hooks_path("s1"), json=taken), 409)
    expect_error(gateway.api("POST", "/sessions/s1/events", body=json.dumps(bad)), 400)
    expect_error(gateway.api("POST", "/sessions/s1/events", body='{"event":"%s"}' % bad), 400)
    expect_error(gateway.api("GET", hooks_path("s1"), token=names["wrong"]), 401)
    expect_error(gateway.api("GET", hooks_path("s1"), token=names["scoped"]), 403)
    for path in ("/metrics", "/livez", "/readyz", "/openapi.yaml"):
        gateway.request("GET", path)


def provoke_inbound(gateway, names):
    body = b'{"session_id":"s1","event":"message"}'
    for session, key, code in [
        ("s1", "inbound", 200), ("s1", "wrong", 401), ("s3", "own", 200), ("s3", "inbound", 401)
    ]:
        body = b'{"session_id":"%s","event":"message"}' % session.encode()
        answer = gateway.api(
            "POST",
            f"/sessions/{session}/webhook-in",
            body=body,
            headers={"X-Webhook-Signature": sign_v1(names[key], body)},
            token="",
        )
        assert answer.status_code == code, answer.text


def provoke_failures(gateway, names, make_receiver):
    """Dead letters of each way in which a delivery may fail; returns the webhooks."""
    echoed = f"{names['header']} {names['pair']}".encode()
    echo = status(500, echoed, [("X-Echo", names["header"])])
    unknown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(unknown)
    urls = [
        make_receiver(echo).url(),
        make_receiver(reset()).url(),
        make_receiver(redirect("http://127.0.0.1:9/")).url(),
        f"http://127.0.0.1:{closed_port()}/",
        "http://no-such-host.invalid/",
        make_receiver(tls=unknown).url(),
        "http://10.0.0.1/",  # refused by policy
    ]
    fields = {
        "secret": names["hook"], "headers": {"Authorization": "Bearer " + names["header"]},
        "private_key": names["pair"], "signature": ["v1", "ed25519", "rfc9421"],
    }
    hooks = [gateway.register("s2", url, **fields) for url in urls]
    for auth in [
        {"type": "basic", "username": "me", "password": names["password"]},
        {"type": "bearer", "token": names["bearer"]},
    ]:
        secret = list(auth.values())[-1]
        basic = base64.b64encode(b"me:" + secret.encode())
        url = make_receiver(status(500, secret.encode() + b" " + basic)).url()
        hooks.append(gateway.register("s2", url, auth=auth))
    basic = base64.b64encode(b"me:" + names["proxied"].encode())
    echoing = make_receiver(status(500, names["proxied"].encode() + b" " + basic))
    own = [  # a proxy that echoes, one that is not there, two that have no such address
        f"127.0.0.1:{echoing.port}", f"127.0.0.1:{closed_port()}", "no-such-host.invalid:1",
        "10.0.0.1:1",
    ]
    for n, host in enumerate(own):
        fields_of = {"proxy": f"http://me:{names['proxied']}@{host}"}
        hooks.append(gateway.register("s2", f"http://proxied-{n}.invalid/", **fields_of))
        if n > 0:  # that receiver makes no tunnels
            hooks.append(gateway.register("s2", f"https://proxied-{n}.invalid/", **fields_of))
    client = {"type": "oauth2", "client_id": "me", "client_secret": names["client"]}
    granting = status(200, b'{"access_token":"%s"}' % names["granted"].encode())
    url = make_receiver(status(500, names["granted"].encode())).url()
    hooks.append(gateway.register(
        "s2", url, auth={**client, "token_url": make_receiver(granting).url("/token")}
    ))
    refusing = status(400, b'{"error":"%s"}' % names["client"].encode())
    token_url = make_receiver(refusing).url("/token")
    for style in ("basic", "post"):
        gateway.register("s5", f"http://127.0.0.1:9/{style}", auth={
            **client, "token_url": token_url, "style": style
        })
    gateway.publish("s5")
    gateway.register("s2", make_receiver(410).url(), **fields)
    for hook in hooks:
        gateway.call("s2", hook["id"], "test")
    gateway.publish("s2")
    # of each the test, the message, and the notice that the last one was disabled
    wait_until(lambda: len(gateway.dlq("s2")) == 3 * len(hooks), what="dead letters")
    return hooks


def test_secrets_are_nowhere_to_be_seen(watched, names, make_receiver):
    gateway = watched.gateway
    provoke_bad_requests(gateway, names)
    provoke_inbound(gateway, names)
    hooks = provoke_failures(gateway, names, make_receiver)
    answer = gateway.api("PATCH", hooks_path("s2", hooks[0]["id"]), json={"secret": "x" * 9})
    assert answer.status_code == 200
    rotation = gateway.api(
        "POST", hooks_path("s2", hooks[0]["id"], "rotate-secret"), json={"secret": names["rotated"]}
    )
    assert rotation.json()["secret"] == names["rotated"]
    watched.of_webhooks.remove(watched.of_webhooks[-1])  # that is the one answer that shows it
    path = hooks_path("s2", hooks[0]["id"], "rotate-key")
    rotation = gateway.api("POST", path, json={"private_key": names["rotated pair"]})
    assert rotation.json()["previous_public_key"] == hooks[0]["public_key"]
    assert gateway.request("GET", "/.well-known/waybill-keys.json").json()["keys"]
    gateway.api("GET", hooks_path("s2"))
    gateway.api("GET", hooks_path("s2", hooks[0]["id"]))
    identity = pems(trustme.CA().issue_cert("me.example"))
    gateway.register("s4", "https://127.0.0.1:9/", **identity)
    for field, value in identity.items():
        body = {"url": "https://127.0.0.1:9/x", field: value}
        expect_error(gateway.api("POST", hooks_path("s4"), json=body), 400)
    receiver = make_receiver()
    gateway.register("s1", receiver.url(), secret=names["hook"], headers={"X-A": names["header"]})
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    verify(request, names["hook"])
    assert request.header("X-A") == names["header"]
    gateway.stop()

    output = gateway.log_text() + "\n".join(gateway.process.lines)
    answers = "\n".join(watched.answers)
    shown = "\n".join(watched.of_webhooks)
    assert "delivery is dead" in output and "delivered" in output  # the log has what it may
    stored = store_bytes(gateway)
    basic = base64.b64encode(b"me:" + names["password"].encode()).decode()
    own_key = "".join(identity["client_key_pem"].split("-----")[2].split())
    own_cert = "".join(identity["client_cert_pem"].split("-----")[2].split())
    proxied = base64.b64encode(b"me:" + names["proxied"].encode()).decode()
    hidden = [("basic", basic), ("proxied in basic", proxied), ("own key", own_key[:40]), ("own certificate", own_cert[:40])]
    for name, value in [*names.items(), ("key", KEY), *hidden]:
        assert value not in output, name
        assert value not in answers, name
        assert name == "header" or value not in shown, name
        assert value.encode() not in stored, name
        if value.startswith("whsk_"):  # is kept as its bytes
            raw = base64.b64decode(value[5:])
            assert raw not in stored and value[5:] not in output + answers + shown, name


def pem_key():
    """A private key, and what of it nobody else writes."""
    text = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    return text, text.splitlines()[2]


def secrets_of(fields):
    """What a receiver gets to know of a webhook's settings."""
    auth = fields.get("auth", {})
    known = [fields.get("secret"), auth.get("password"), auth.get("token"),
             *fields.get("headers", {}).values()]
    return [value for value in known if value]


def planted_webhooks(token_url, plant):
    """
    The settings of webhooks that have secrets, a row a kind: one that is added gets a row here.
    `plant` takes a name, and gives what is looked for; or notes the text it is given for it.
    """
    client_key, body = pem_key()
    plant("private_key_jwt", body)
    identity = pems(trustme.CA().issue_cert("me.example"))
    plant("client key", identity["client_key_pem"].splitlines()[2])
    pair = plant("pair", private_key())
    plant("the pair's bytes", pair[len("whsk_"):])
    oauth = {"type": "oauth2", "client_id": "me", "token_url": token_url}
    return [
        {"secret": plant("secret")},
        {"headers": {"X-Api-Key": plant("header")}},
        {"private_key": pair, "signature": ["ed25519"]},
        {"auth": {"type": "basic", "username": "me", "password": plant("password")}},
        {"auth": {"type": "bearer", "token": plant("bearer")}},
        {"auth": {**oauth, "client_secret": plant("client_secret")}},
        {"auth": {**oauth, "client_secret": plant("posted"), "style": "post"}},
        {"auth": {**oauth, "client_key_pem": client_key, "style": "private_key_jwt"}},
        {"url": "https://127.0.0.1:9/", **identity},
    ]


def planted_sources(plant):
    """The same of sources."""
    return [
        {"preset": "github", "verify": {"secrets": [plant("source"), plant("second")]}},
        {"verify": {"type": "token", "header": "X-Token", "secrets": [plant("source token")]},
         "session": {"path": 1}, "event": {"header": "X-Topic"}},
        {"preset": "meta", "verify_token": plant("verify_token"),
         "verify": {"secrets": [plant("app secret")]}},
    ]


PAGES = [  # all that a dashboard or an operator reads; {hook}, {source}, {delivery} are ids
    "/", "/ui/app.js", "/openapi.yaml", "/.well-known/waybill-keys.json", "/livez", "/readyz",
    "/metrics", *("/api/v1" + path for path in [
        "/capabilities", "/stats", "/stats?top=10", "/cluster", "/sources", "/sources/{source}",
        "/sessions", "/sessions/s1/webhooks/dlq", "/sessions/s1/deliveries", "/webhooks",
        "/sessions/s1/deliveries/{delivery}", "/events/{event}", "/webhooks/dlq",
        "/sessions/s1/webhooks", "/sessions/s1/webhooks/{hook}",
    ])
]


def test_planted_secrets_are_on_no_page(make_gateway, make_receiver):
    """Each kind of secret is planted, used and looked for: pages, commands, log, backup, store."""
    planted = {}

    def plant(name, text=None):
        return planted.setdefault(name, text or secret(name))

    key, api_token = "c3" * 32, plant("API-token")
    planted["store's key"] = key
    gateway = make_gateway(
        token=api_token, env={"WAYBILL_SECRET_KEY": key}, log_level="debug",
        retry_schedule="50ms,50ms", inbound_secret=plant("inbound_secret"),
    )
    granting = make_receiver(
        status(200, json.dumps({"access_token": plant("granted")}).encode())
    )
    hooks, shown = [], []
    for number, fields in enumerate(planted_webhooks(granting.url("/token"), plant)):
        # what a receiver says back is kept: it says all that it knows
        said = "\n".join(secrets_of(fields)).encode()
        receiver = make_receiver(status(500, said))
        hooks.append(gateway.register("s1", **{"url": receiver.url(f"/{number}"), **fields}))
    rotated = gateway.api(
        "POST", hooks_path("s1", hooks[0]["id"], "rotate-secret"), json={"secret": plant("new")}
    )
    assert rotated.ok
    sources = []
    for number, settings in enumerate(planted_sources(plant)):
        answer = gateway.api("POST", "/sources", json={"name": f"n{number}", **settings})
        assert answer.ok, answer.text
        sources.append(answer.json())
    event = gateway.publish("s1")
    wait_until(lambda: len(gateway.dlq("s1")) >= len(hooks), what="dead letters")
    delivery = gateway.api("GET", "/sessions/s1/deliveries").json()["deliveries"][0]
    ids = {"source": sources[0]["id"], "delivery": delivery["id"], "event": event["id"]}
    for page in PAGES:
        for hook in hooks if "{hook}" in page else hooks[:1]:
            answer = gateway.request("GET", page.format(**ids, hook=hook["id"]))
            assert answer.ok, (page, answer.text)
            shown.append((page, answer.text))
    for source in sources[1:]:
        shown.append(("source", gateway.api("GET", f"/sources/{source['id']}").text))
    backup = gateway.request("GET", "/api/v1/backup").content
    login = ["--url", gateway.url, "--token", api_token]
    for command in (["source", "list", *login], ["source", "show", *login, sources[0]["id"]],
                    ["top", *login, "--once"]):
        done = waybill(*command)
        assert done.returncode == 0, done.stderr
        shown.append((" ".join(command[:2]), done.stdout + done.stderr))
    gateway.stop()
    shown.append(("log", gateway.log_text() + "\n".join(gateway.process.lines)))
    done = waybill("fsck", gateway.directory / "data")
    shown.append(("fsck", done.stdout + done.stderr))
    files = [path for path in (gateway.directory / "data").rglob("*") if path.is_file()]
    for name, value in planted.items():
        for where, text in shown:
            if name == "header" and "/webhooks" in where and "dlq" not in where:
                continue  # an operator sees the headers of webhooks there
            assert value not in text, (name, where)
        assert value.encode() not in backup, name
        for path in files:
            assert value.encode() not in path.read_bytes(), (name, path.name)


def test_credentials_of_a_proxy_are_not_shown(make_gateway, make_receiver, tmp_path):
    """One that refuses, one that is not there, one that has no address."""
    password = secret("proxy")
    refusing = make_receiver(status(407))
    proxies = [
        f"http://user:{password}@127.0.0.1:{refusing.port}",
        f"http://user:{password}@127.0.0.1:{closed_port()}",
        f"http://user:{password}@no-such-host.invalid:1",
    ]
    for proxy in proxies:
        config = private_file(tmp_path / "proxy.conf", f"proxy = {proxy}\n")
        gateway = make_gateway(config=config, log_level="debug", retry_schedule="20ms")
        watched = Watched(gateway)
        gateway.register("s1", "http://127.0.0.1:9/")
        gateway.publish("s1")
        wait_until(lambda gateway=gateway: gateway.dlq("s1"), what="dead letter")
        gateway.stop()
        seen = [gateway.log_text(), *gateway.process.lines, *watched.answers]
        assert [text for text in seen if password in text] == []


def test_errors_of_the_command_line_show_no_secret(tmp_path):
    value = secret("typed")
    file = tmp_path / "file"
    private_file(file, f"{value} with,bad;session\n")
    short = private_file(tmp_path / "short", f"{value[:5]}\n{value} bad/{value}\n")
    keys = private_file(tmp_path / "keys", f"{KEY}\n{value}\n")
    config = private_file(tmp_path / "conf", f"secret_key = {value}\n")
    empty = private_file(tmp_path / "empty", "# nothing\n\n")
    tries = [
        (["--token", f"{value} and more"], {}),
        (["--token", value * 40], {}),
        (["--tokens-file", file], {}),
        (["--tokens-file", short], {}),
        (["--secret-key", value], {}),
        (["--secret-key", KEY + value], {}),
        (["--secret-key-file", keys], {}),
        (["--secret-key-file", empty], {}),
        ([f"--tokne={value}"], {}),
        (["--proxy", f"nonsense://user:{value}@127.0.0.1:1"], {}),
        (["--proxy", f"http://user:{value}@@127.0.0.1:1"], {}),
        ([], {"WAYBILL_PROXY": f"http://user:{value}@127.0.0.1:0"}),
        (["-c", config], {}),
        ([], {"WAYBILL_SECRET_KEY": value}),
        ([], {"WAYBILL_TOKEN": f"{value} and more"}),
        ([], {"WAYBILL_SESSION_INBOUND_SECRETS": value}),
    ]
    done = waybill("check-config", "--data", tmp_path / "data", env={"WAYBILL_TOKNE": value})
    assert value not in done.stdout + done.stderr and "WAYBILL_TOKNE" in done.stderr
    for args, env in tries:
        for command in ("check-config", "serve"):
            done = waybill(command, *args, "--data", tmp_path / "data", env=env)
            assert done.returncode in (1, 2), (args, env)
            assert done.stderr
            assert value[:20] not in done.stdout + done.stderr, (args, env)
            assert KEY[:20] not in done.stdout + done.stderr, (args, env)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("setting, text", [
    ("tokens_file", "a-token-of-eight\n"), ("secret_key_file", KEY + "\n")
])
def test_file_that_everybody_can_read_is_warned_of(make_gateway, tmp_path, setting, text):
    file = tmp_path / "file"
    file.write_text(text)
    warnings = []
    for mode in (0o644, 0o600):
        file.chmod(mode)
        gateway = make_gateway(**{setting: file})
        warnings.append(f"file={file} setting={setting}" in gateway.log_text())
        gateway.stop()
    assert warnings == [True, False]


# Keys


def deliver(gateway, receiver, value):
    """A delivery is signed with the secret and carries the header."""
    count = len(receiver.requests)
    gateway.publish("s1")
    request = receiver.wait_for(count + 1)[count]
    verify(request, value)
    assert request.header("X-A") == value


def wait_written(gateway, key, times=1):
    """Waits for the log to say that records were written anew under `key`; how many were."""
    def found():
        lines = [m for m in WRITTEN.findall(gateway.log_text()) if m[1] == key_id(key)]
        return len(lines) >= times and lines
    return int(wait_until(found, what="log line")[-1][0])


def refused_start(gateway, **settings):
    """Tries a start; what it said. It has to end by itself."""
    options = {**gateway._options, **settings}
    done = waybill("serve", *flags(options), env={"WAYBILL_TOKEN": gateway.token})
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def test_sources_alone_need_their_key_too(make_gateway):
    """A store without webhooks: said before a start as by the start."""
    gateway = make_gateway(secret_key=KEY)
    verify = {"type": "hmac", "secrets": [secret("source")], "header": "X-Sig"}
    made = gateway.api("POST", "/sources", json={"name": "n", "verify": verify})
    assert made.status_code == 200, made.text
    gateway.stop()
    assert key_id(KEY) in refused_start(gateway, secret_key=OTHER_KEY)
    options = gateway._options
    done = waybill("check-config", *flags({**options, "secret_key": OTHER_KEY}),
                   env={"WAYBILL_TOKEN": gateway.token})
    assert done.returncode == 1 and key_id(KEY) in done.stderr, done.stderr
    done = waybill("check-config", *flags(options), env={"WAYBILL_TOKEN": gateway.token})
    assert done.returncode == 0, done.stderr


def test_store_is_encrypted_rotated_and_not_served_without_its_key(
    make_gateway, make_receiver, tmp_path
):
    value = secret("stored")
    receiver = make_receiver()
    gateway = make_gateway()
    for n in range(3):
        gateway.register(
            "s1" if n == 0 else "s2", receiver.url(f"/{n}"), secret=value, headers={"X-A": value}
        )
    assert value.encode() in store_bytes(gateway)  # so that it means something below
    gateway.stop()

    keys = private_file(tmp_path / "keys", KEY + "\n")
    gateway.reconfigure(secret_key_file=keys)
    gateway.start()
    assert wait_written(gateway, KEY) == 3
    deliver(gateway, receiver, value)
    gateway.stop()
    for settings in ({"secret_key_file": None}, {"secret_key_file": None, "secret_key": OTHER_KEY}):
        message = refused_start(gateway, **settings)
        assert key_id(KEY) in message and "secret_key_file" in message
    gateway.start()  # nothing was lost by that
    deliver(gateway, receiver, value)
    gateway.stop()

    private_file(keys, f"# in use\n{OTHER_KEY}\n\n# going\n{KEY}\n")
    gateway.start()
    assert wait_written(gateway, OTHER_KEY) == 3
    gateway.stop()
    private_file(keys, OTHER_KEY + "\n")
    gateway.start()
    deliver(gateway, receiver, value)
    gateway.stop()
    assert len(WRITTEN.findall(gateway.log_text())) == 2  # not once more than was needed
    assert key_id(OTHER_KEY) in refused_start(gateway, secret_key=KEY, secret_key_file=None)

    if shutil.which("mdb_copy"):
        copy = tmp_path / "copy.mdb"
        subprocess.run(
            ["mdb_copy", "-n", "-c", gateway.directory / "data" / "waybill.mdb", copy], check=True
        )
        assert value.encode() not in copy.read_bytes()


def test_change_of_a_webhook_stays_encrypted(make_gateway, make_receiver):
    """What a request writes is under the key at once, whatever it changes."""
    receiver = make_receiver()
    gateway = make_gateway(env={"WAYBILL_SECRET_KEY": KEY})
    values = [secret("first"), secret("second"), secret("third")]
    hook = gateway.register("s1", receiver.url(), secret=values[0], headers={"X-A": values[0]})
    path = hooks_path("s1", hook["id"])
    change = {"secret": values[1], "headers": {"X-A": values[1]}, "description": "changed"}
    assert gateway.api("PATCH", path, json=change).ok
    assert gateway.api("POST", path + "/rotate-secret", json={"secret": values[2]}).ok
    assert gateway.api("POST", path + "/disable").ok
    assert gateway.api("POST", path + "/enable").ok
    gateway.kill()
    gateway.start()
    gateway.publish("s1")
    (request,) = receiver.wait_for(1)
    assert request.header("X-Webhook-Signature") == sign_v1(values[2], request.body)
    assert len(request.header("webhook-signature").split(" ")) == 2  # both of the overlap
    assert gateway.api("DELETE", path).ok
    gateway.stop()
    stored = store_bytes(gateway)
    assert [v for v in values if v.encode() in stored] == []
    assert WRITTEN.findall(gateway.log_text()) == []


def test_overlap_that_is_over_is_not_shown(gateway):
    hook = gateway.register("s1", "http://127.0.0.1:9/", secret="before")
    path = hooks_path("s1", hook["id"])
    answer = gateway.api("POST", path + "/rotate-secret", json={"overlap_seconds": 2})
    assert answer.json()["previous_secret_expires_at"]
    wait_until(
        lambda: gateway.webhook("s1", hook["id"])["previous_secret_expires_at"] is None,
        what="the overlap's end",
    )


def test_secret_whose_overlap_is_over_leaves_the_store(make_gateway):
    """At the next change, and at the next start."""
    values = [secret("changed"), secret("restarted")]
    gateway = make_gateway()
    hooks = []
    for n, value in enumerate(values):
        hook = gateway.register("s1", f"http://127.0.0.1:9/{n}", secret=value)
        path = hooks_path("s1", hook["id"])
        assert gateway.api("POST", path + "/rotate-secret", json={"overlap_seconds": 1}).ok
        hooks.append(hook["id"])
    for hook in hooks:
        wait_until(
            lambda hook=hook: gateway.webhook("s1", hook)["previous_secret_expires_at"] is None,
            what="the overlap's end",
        )
    assert gateway.api("PATCH", hooks_path("s1", hooks[0]), json={"description": "x"}).ok
    gateway.stop()
    gateway.start()
    (written,) = wait_until(lambda: WRITTEN.findall(gateway.log_text()), what="log line")
    assert written == ("1", "none")  # the other had lost its own


# The process


def limit_of_core(pid):
    text = pathlib.Path(f"/proc/{pid}/limits").read_text()
    return re.search(r"^Max core file size +(\S+) +(\S+)", text, re.M).groups()


@pytest.mark.skipif(SANITIZED, reason="the sanitizers' leak check looks into the process")
def test_no_core_file_is_written(make_gateway):
    def raised():  # so that the gateway has something to lower
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)

    off = make_gateway(core_dumps=None)
    assert limit_of_core(off.process._popen.pid) == ("0", "0")
    before = resource.getrlimit(resource.RLIMIT_CORE)
    if before[1] == resource.RLIM_INFINITY:
        raised()
        try:
            on = make_gateway(core_dumps="on")
            assert limit_of_core(on.process._popen.pid) == ("unlimited", "unlimited")
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.mark.skipif(SANITIZED, reason="the sanitizers' leak check looks into the process")
@pytest.mark.parametrize("setting, owner", [("off", "root"), ("on", "nobody")])
def test_other_processes_of_the_user_cannot_look_in(setting, owner):
    """What is not dumpable belongs to root below /proc (proc(5))."""
    if os.geteuid() != 0:
        pytest.skip("needs root to serve as nobody")
    with tempfile.TemporaryDirectory() as folder:
        user = pwd.getpwnam("nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        shutil.copy(BINARY, folder)
        os.chmod(f"{folder}/waybill", 0o755)
        process = Process(
            ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
             f"{folder}/waybill", "serve", "--listen", "127.0.0.1:0", "--data", f"{folder}/data",
             "--core-dumps", setting]
        )
        try:
            assert process.line(0).startswith("waybill ready")
            pid = process._popen.pid
            text = pathlib.Path(f"/proc/{pid}/status").read_text()
            assert f"\nUid:\t{user.pw_uid}\t" in text
            assert pathlib.Path(f"/proc/{pid}/mem").owner() == owner
        finally:
            process.close()
