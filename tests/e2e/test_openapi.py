"""docs/openapi.yaml is good OpenAPI, complete, and what the running gateway does."""

import json
import re
import urllib.parse

import jsonschema
import openapi
import openapi_rules
import pytest
import requests
from harness import ROOT, Gateway, hooks_path, version, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_deliveries_api import as_in_lists

DOCUMENT = openapi.load()
OPERATIONS = DOCUMENT.operations()
NAMES = [operation.name for operation in OPERATIONS]
ENDLESS = {"streamEvents"}  # an answer without an end
SESSION = "drawn"
NOWHERE = ["http://127.0.0.1:9/a", "http://[::1]:9/b", "https://127.0.0.1:9/?c=%20"]

drawn = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def shared(request, tmp_path_factory):
    """One gateway for all drawn requests; what one of them leaves is there for the next."""
    gateway = Gateway(tmp_path_factory.mktemp("openapi"), retry_schedule="50ms")
    gateway.start()
    yield gateway
    gateway.stop()


# The document itself


def walk(thing, path=""):
    yield path, thing
    if isinstance(thing, dict):
        for key, value in thing.items():
            yield from walk(value, f"{path}/{key}")
    elif isinstance(thing, list):
        for number, value in enumerate(thing):
            yield from walk(value, f"{path}/{number}")


def test_every_reference_leads_somewhere():
    references = [v["$ref"] for _, v in walk(DOCUMENT.root) if isinstance(v, dict) and "$ref" in v]
    assert len(references) > 100
    for reference in references:
        assert DOCUMENT.resolve({"$ref": reference}), reference


def test_every_component_is_used():
    text = openapi.FILE.read_text(encoding="utf-8")
    for kind in ("parameters", "headers", "responses", "schemas"):
        for name in DOCUMENT.root["components"][kind]:
            assert f"'#/components/{kind}/{name}'" in text or name == "Happening", name


def test_every_schema_is_a_good_one():
    schemas = [v for p, v in walk(DOCUMENT.root) if p.endswith("/schema")]
    schemas += DOCUMENT.root["components"]["schemas"].values()
    assert len(schemas) > 80
    for schema in schemas:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_says_what_it_must():
    assert len(NAMES) == len(set(NAMES))
    tags = {tag["name"] for tag in DOCUMENT.root["tags"]}
    for operation in OPERATIONS:
        assert operation.spec["summary"] and set(operation.spec["tags"]) <= tags
        assert any(code.startswith("2") for code in operation.spec["responses"])
        assert "default" in operation.spec["responses"]
        in_path = {p["name"] for p in operation.parameters() if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", operation.path)), operation.path


def test_generators_make_clients_of_it_that_work():
    assert openapi_rules.faults(openapi.FILE.read_text(encoding="utf-8")) == []


# One breach each of what openapi_rules holds: at a property of a schema, or at an operation.
BREACHES = {
    "twice": "{type: string, type: string}",
    "to what has no name": "{$ref: '#/components/schemas/Error/properties/error'}",
    "allOf of what": "{allOf: [{type: string}]}",
    "not and anyOf": "{type: string, not: {type: string, const: a}}",
    "an array in oneOf": "{oneOf: [{type: array, items: {type: string}}, {type: boolean}]}",
    "an object in oneOf": "{oneOf: [{type: object, properties: {a: {type: string}}}]}",
    "oneOf of oneOf": "{oneOf: [{type: boolean}, {$ref: '#/components/schemas/Choice'}]}",
    "beside its items": "{oneOf: [{$ref: '#/components/schemas/Ids'}, {$ref: '#/components/schemas/Id'}]}",
    "a default beside": "{oneOf: [{$ref: '#/components/schemas/Id'}, {type: boolean}], default: a}",
    "beside a reference": "{$ref: '#/components/schemas/Id', default: a}",
    "of null and a named string": "{oneOf: [{$ref: '#/components/schemas/Id'}, {type: 'null'}]}",
    "that is no property": "{type: object, required: [a], properties: {b: {type: string}}}",
    "without a type": "{enum: [a]}",
    "that is a boolean": "{type: boolean, const: true}",
    "enum with null": "{type: [string, 'null'], enum: [a, null], default: a}",
    "makes a name of": "{type: string, enum: ['***']}",
    "without format int64": "{type: integer}",
    "without format double": "{type: [number, 'null']}",
    "an object or null": "{type: [object, 'null']}",
    "beside additionalProperties": "{type: object, properties: {a: {type: string}}, additionalProperties: {type: string}}",
    "uniqueItems": "{type: array, items: {type: string}, uniqueItems: true}",
    "not at the path": "{type: string}\npaths: {/a: {parameters: []}}",
    "without an operationId": "{type: string}\npaths: {/a: {get: {}}}",
    "schema has no name": "{type: string}\npaths: {/a: {get: {operationId: a, requestBody: {content: "
    "{application/json: {schema: {type: object, properties: {}}}}}}}}",
    "null by its name": "{type: string}\n    Other: {type: [string, 'null']}",
    "is of Known too": "{type: string}\n    Other: {type: string, enum: [known]}",
}
GOOD = """
components:
  schemas:
    Id: {type: string}
    Ids: {type: array, items: {$ref: '#/components/schemas/Id'}}
    Choice: {oneOf: [{$ref: '#/components/schemas/Id'}, {type: boolean}]}
    Known: {type: string, enum: [known]}
    Tried:
      type: object
      properties:
        it: """


@pytest.mark.parametrize("said", BREACHES)
def test_what_breaks_a_client_is_named(said):
    assert openapi_rules.faults(GOOD + "{type: string}\npaths: {}") == []
    breach = BREACHES[said]
    found = openapi_rules.faults(GOOD + breach + ("" if "paths:" in breach else "\npaths: {}"))
    assert len(found) == 1 and said in found[0], found


def test_version_is_the_programs():
    assert DOCUMENT.root["info"]["version"] == version()


def test_it_is_what_the_gateway_serves(gateway):
    answer = gateway.request("GET", "/openapi.yaml", token="")
    assert answer.headers["Content-Type"].startswith("application/yaml")
    assert answer.content == openapi.FILE.read_bytes()


def test_every_call_is_in_the_document_and_no_other():
    source = (ROOT / "src" / "api" / "router.c").read_text(encoding="utf-8")
    rows = re.findall(r'\{"([A-Z]+)", "([^"]*)", handle', source)
    # what an OpenAPI path cannot say: that more may stand behind a door
    routes = {f"{m} /{re.sub(r':(id|session|door)', '{}', p.removesuffix('/*'))}" for m, p in rows}
    pages = {"GET /", "GET /ui", "GET /ui/:file"}
    documented = {
        f"{o.method.upper()} {re.sub(r'{[a-z]+}', '{}', o.path)}" for o in OPERATIONS
    }
    assert documented == routes - pages


def test_successes_are_those_that_the_description_in_words_has():
    """docs/api.md, section 2: a row a call, its statuses in the last column."""
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+ /[^`]+)` \| .* \| ([\d, ]+) \|$", text, re.M)
    in_words = {
        re.sub(r"\{\w+\}", "{}", call.removesuffix("/*")): {s for s in statuses.split(", ") if s < "400"}
        for call, statuses in rows
    }
    assert len(in_words) > 25
    for operation in OPERATIONS:
        call = f"{operation.method.upper()} " + re.sub(r"\{\w+\}", "{}", operation.path)
        declared = {code for code in operation.spec["responses"] if code < "400"}
        assert in_words[call] == declared, call


# Drawn requests


def send(gateway, operation, request, **options):
    path_values, query, headers, body = request
    path = re.sub(
        r"\{(\w+)\}",
        lambda m: urllib.parse.quote(str(path_values[m.group(1)]), safe=""),
        operation.path,
    )
    query = {name: value for name, value in query.items() if value is not None}
    headers = {name: str(value) for name, value in headers.items() if value is not None}
    if body is not None:
        headers["Content-Type"] = "application/json"
    # a space at either end of a header's value is not part of it (RFC 9110, section 5.5)
    headers = {name: value.strip() for name, value in headers.items() if value.strip()}
    # nor can one have just any character
    headers = {name: v for name, v in headers.items() if re.fullmatch("[ -~\xa0-\xff]*", v)}
    return gateway.request(
        operation.method.upper(),
        path + ("?" + urllib.parse.urlencode(query) if query else ""),
        headers=headers,
        data=openapi.to_bytes(body),
        **options,
    )


def kept_local(request):
    """The same request, in one session and with URLs at which nobody listens."""
    path_values, query, headers, body = request
    if "session" in path_values:
        path_values = {**path_values, "session": SESSION}
    if isinstance(body, dict):
        body = dict(body)
        if "url" in body:
            body["url"] = NOWHERE[len(body["url"]) % len(NOWHERE)]
        if "session_id" in body and "session" in path_values:
            body["session_id"] = SESSION
    return path_values, query, headers, body


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ENDLESS])
def test_what_the_document_allows_is_answered_as_it_says(shared, name):
    operation = DOCUMENT.operation(name)

    @drawn
    @given(operation.request_strategy())
    def check(request):
        answer = send(shared, operation, kept_local(request))
        assert operation.problems(answer) == [], (answer.request.url, answer.text)
        assert answer.status_code < 500, answer.text

    check()


@pytest.mark.parametrize("name", [n for n in NAMES if DOCUMENT.operation(n).body_schema()])
def test_any_other_body_is_refused_as_it_says(shared, name):
    operation = DOCUMENT.operation(name)
    schema = operation.body_schema()

    @drawn
    @given(operation.request_strategy(), openapi.any_json())
    def check(request, body):
        request = (*kept_local(request)[:3], body)
        answer = send(shared, operation, request)
        assert operation.problems(answer) == [], (answer.request.url, answer.text)
        is_left_out = body is None and not operation.body_is_needed()
        if DOCUMENT.schema_errors(schema, body) and not is_left_out:
            assert 400 <= answer.status_code < 500, (body, answer.text)

    check()


TAKES_ANY_OBJECT = ("publishAny", "webhookIn", "sourceIn")  # or an array of them


@pytest.mark.parametrize(
    "name", [n for n in NAMES if DOCUMENT.operation(n).body_schema() and n not in TAKES_ANY_OBJECT]
)
def test_a_member_of_another_type_is_refused_by_name(shared, name):
    operation = DOCUMENT.operation(name)
    schema = DOCUMENT.resolve(operation.body_schema())
    for part in schema.get("allOf", []):
        schema = {**DOCUMENT.resolve(part), **schema}
    members = [m for m, s in schema["properties"].items() if DOCUMENT.schema_errors(s, [[]])]
    assert members

    @drawn
    @given(operation.request_strategy(), st.sampled_from(members))
    def check(request, member):
        path_values, query, headers, body = kept_local(request)
        shared_ids = {key: value for key, value in SHARED.items() if key in path_values}
        body = {key: v for key, v in body.items() if key in schema.get("required", [])}
        if name == "testFilterForAll":
            body["session_id"] = SESSION  # no path names it
        body[member] = [[]]
        answer = send(shared, operation, ({**path_values, **shared_ids}, query, {}, body))
        assert answer.status_code == 400, (body, answer.text)
        assert answer.json()["error"]["field"].startswith(member), answer.text

    source = {"name": "n", "verify": {"type": "none"}}
    hooks = hooks_path(SESSION) if "{session}" in operation.path else "/webhooks"
    made = shared.api("POST", hooks, json={"url": f"http://127.0.0.1:9/{name}"})
    SHARED["webhook"] = made.json()["id"]
    SHARED["source"] = shared.api("POST", "/sources", json=source).json()["id"]
    check()
    shared.api("DELETE", f"{hooks}/{SHARED['webhook']}")
    shared.api("DELETE", f"/sources/{SHARED['source']}")


SHARED = {}  # ids of what the calls on one of a kind are made with


def test_every_good_event_is_taken(shared):
    operation = DOCUMENT.operation("publish")

    @drawn
    @given(operation.request_strategy())
    def check(request):
        path_values, query, _, body = kept_local(request)
        body = {key: v for key, v in body.items() if key != "id"}  # a repeat may be a 409
        answer = send(shared, operation, (path_values, query, {}, body))
        assert answer.status_code == 202, (body, answer.text)

    check()


@pytest.mark.parametrize("name", [n for n in NAMES if not DOCUMENT.operation(n).open])
def test_none_is_answered_without_a_token(make_gateway, name):
    operation = DOCUMENT.operation(name)
    gateway = make_gateway()
    values = {
        "session": SESSION,
        **dict.fromkeys(("webhook", "source"), "b807d7e0-f783-4252-9d6d-76f50e2e8348"),
        **dict.fromkeys(("event", "entry", "delivery"), "01a208e7-8a0e-76cd-97d8-b8f948f7bd82"),
    }
    body = None if operation.body_schema() is None else {"event": "message"}
    answer = send(gateway, operation, (values, {}, {}, body), token="")
    assert answer.status_code == 401, answer.text
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert operation.problems(answer) == []


# Answers that take a story


def call(gateway, name, query=None, body=None, **path_values):
    """One call, held against the document."""
    operation = DOCUMENT.operation(name)
    answer = send(gateway, operation, (path_values, query or {}, {}, body))
    assert operation.problems(answer) == [], (answer.status_code, answer.text)
    return answer


def test_a_webhooks_life_is_answered_as_the_document_says(gateway, make_receiver):
    receiver = make_receiver(500)
    made = call(
        gateway,
        "registerWebhook",
        session="life",
        body={"url": receiver.url(), "secret": "s3cret", "retry": ["1ms"], "headers": {"X-A": "b"}},
    ).json()
    at = {"session": "life", "webhook": made["id"]}
    assert call(gateway, "showWebhook", **at).json() == made
    assert call(gateway, "changeWebhook", **at, body={"rate_limit": 1000}).ok
    assert call(gateway, "rotateSecret", **at, body={"overlap_seconds": 60}).ok
    published = call(gateway, "publish", session="life", body={"event": "message"}).json()
    letters = wait_until(
        lambda: call(gateway, "listDeadLetters", session="life").json()["entries"]
    )
    assert letters[0]["event_id"] == published["id"]
    assert call(gateway, "listWebhooks", session="life").json()["webhooks"][0]["secret"]
    assert call(gateway, "replayDeadLetter", session="life", entry=letters[0]["id"]).ok
    assert call(gateway, "testWebhook", **at).status_code == 202
    assert call(gateway, "disableWebhook", **at).ok
    assert call(gateway, "testWebhook", **at).status_code == 409
    assert call(gateway, "enableWebhook", **at).ok
    assert call(gateway, "unregisterWebhook", **at).ok
    assert call(gateway, "showWebhook", **at).status_code == 404


def test_a_sources_life_is_answered_as_the_document_says(gateway):
    body = {"name": "cloud", "preset": "meta", "verify_token": "of mine",
            "verify": {"type": "hmac", "secrets": ["s3cret"]}}
    meta = call(gateway, "createSource", body=body).json()
    drawn_secret = call(gateway, "createSource", body={"name": "n", "preset": "waha"}).json()
    assert drawn_secret["secret"].startswith("whsec_")
    shop = call(gateway, "createSource", body={"name": "shop", "verify": {"type": "none"},
                                               "split": "/orders/*"}).json()
    assert call(gateway, "listSources", query={"limit": 2}).json()["next_cursor"]
    door = shop["path"].removeprefix("/in/")
    assert call(gateway, "sourceIn", door=door, body={"orders": [1, 2]}).json()["accepted"] == 2
    assert call(gateway, "sourceIn", door=door, body={"a": 1}).json()["event"] == "unknown"
    assert call(gateway, "answerChallenge", door=door).status_code == 405
    asked = {"hub.mode": "subscribe", "hub.verify_token": "of mine", "hub.challenge": "11"}
    door_of_meta = meta["path"].removeprefix("/in/")
    assert call(gateway, "answerChallenge", asked, door=door_of_meta).text == "11"
    assert call(gateway, "answerChallenge", door=door_of_meta).status_code == 403
    assert call(gateway, "sourceIn", door=door_of_meta, body={}).status_code == 401
    at = {"source": meta["id"]}
    assert call(gateway, "showSource", **at).json()["received"]["refused"] == 2
    assert call(gateway, "changeSource", **at, body={"id_scope": None, "enabled": False}).ok
    assert call(gateway, "rotateSource", **at).json()["path"] != meta["path"]
    assert call(gateway, "removeSource", **at).ok
    assert call(gateway, "showSource", **at).status_code == 404


def test_what_became_of_events_is_answered_as_the_document_says(gateway, make_receiver):
    receiver = make_receiver(500, 200)
    made = gateway.register("log", receiver.url(), retry=["1ms"])
    at = {"session": "log", "webhook": made["id"]}
    ids = [call(gateway, "publish", session="log", body={"event": "message"}).json()["id"]
           for _ in range(3)]

    def all_delivered():
        shown = call(gateway, "listDeliveries", session="log").json()["deliveries"]
        return {d["status"] for d in shown} == {"delivered"} and shown

    shown = wait_until(all_delivered, what="deliveries")
    assert {d["event_id"] for d in shown} == set(ids)
    assert sum(len(d["attempts"]) for d in shown) == 4
    one = {"session": "log", "delivery": shown[0]["id"]}
    assert as_in_lists(call(gateway, "showDelivery", **one).json()) == shown[0]
    failed = next(d for d in shown if len(d["attempts"]) == 2)
    first = {"session": "log", "delivery": failed["id"]}
    assert "curl " in call(gateway, "showDeliveryAsCurl", **first).text
    found = call(gateway, "verifyDeliverySignature", **first, body={"secret": "s3cret"}).json()
    assert (found["attempt"], found["fault"]) == (2, "unsigned")
    assert call(gateway, "findEvent", event=ids[0]).json()["deliveries_count"] == 1
    assert call(gateway, "showEvent", session="log", event=ids[0]).ok
    assert call(gateway, "listSessions").json()["sessions"][0]["id"] == "log"
    assert call(gateway, "retryDelivery", **one).ok
    assert call(gateway, "showReplay", **at).status_code == 404
    body = {"since": 0, "status": "delivered"}
    assert call(gateway, "startReplay", **at, body=body).status_code == 202
    replay = wait_until(
        lambda: (r := call(gateway, "showReplay", **at).json()["replay"])["state"] == "done" and r,
        what="the replay",
    )
    assert replay["looked_at"] == 3
    assert call(gateway, "cancelReplay", **at).ok
    wait_until(all_delivered, what="deliveries")
    assert call(gateway, "cancelDelivery", **one).status_code == 409
    stats = call(gateway, "showStats", query={"top": 5}).json()
    assert stats["events"]["published"] == 3
    assert stats["webhooks"]["count"] == 1


def test_dead_letters_in_bulk_are_answered_as_the_document_says(gateway, make_receiver):
    made = gateway.register("bulk", make_receiver(500).url(), retry=["1ms"])
    of_it = {"webhook": made["id"]}
    for _ in range(3):
        call(gateway, "publish", session="bulk", body={"event": "message"})

    def letters(count):
        shown = call(gateway, "listDeadLetters", of_it, session="bulk").json()
        return shown["count"] == count and shown["entries"]

    entries = wait_until(lambda: letters(3), what="dead letters")
    top = call(gateway, "showStats").json()["top"]
    assert [t["webhook_id"] for t in top] == [made["id"]]
    assert call(gateway, "dropDeadLetter", session="bulk", entry=entries[0]["id"]).ok
    assert call(gateway, "replayDeadLetters", of_it, session="bulk").json()["count"] == 2
    wait_until(lambda: letters(2) and gateway.webhook("bulk", made["id"])["in_flight"] == 0
               and call(gateway, "listDeadLetters", session="bulk").json(), what="dead again")
    wait_until(lambda: call(gateway, "purgeDeadLetters", session="bulk").ok, what="a purge")
    wait_until(lambda: call(gateway, "listDeadLetters", session="bulk").json()["count"] == 0,
               what="none left")


def test_what_is_streamed_is_what_the_document_says(gateway, make_receiver):
    schema = {"$ref": "#/components/schemas/Happening"}
    made = gateway.register("live", make_receiver(500, 200, 410).url(), retry=["1ms"])
    headers = {"Authorization": f"Bearer {gateway.token}"}
    url = f"{gateway.url}/api/v1/events/stream?session=live"
    with requests.get(url, headers=headers, stream=True, timeout=20) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for _ in range(2):
            gateway.publish("live")
        kinds = set()
        for line in answer.iter_lines(chunk_size=1):
            if not line.startswith(b"data: {"):
                continue
            happening = json.loads(line[len(b"data: "):])
            assert DOCUMENT.schema_errors(schema, happening) == [], happening
            kinds.add(happening["type"])
            if happening["type"] == "disabled":
                break
    assert kinds >= {"published", "retrying", "delivered", "disabled"}
    assert gateway.webhook("live", made["id"])["enabled"] is False
