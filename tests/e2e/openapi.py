"""
docs/openapi.yaml as tests use it: its operations, requests drawn from its schemas, and whether an
answer is one that it promises.

strategy() knows the keywords of JSON Schema that the document uses, and fails at any other, so
that none is passed over in silence.
"""

import json
import re
from dataclasses import dataclass

import jsonschema
import yaml
from harness import ROOT
from hypothesis import strategies as st

FILE = ROOT / "docs" / "openapi.yaml"
METHODS = ("get", "post", "patch", "put", "delete")
ANNOTATIONS = {"description", "default", "examples", "contentEncoding", "format"}


class Document:
    def __init__(self, text):
        self.root = yaml.safe_load(text)
        self._named = {}

    def resolve(self, thing):
        """What a reference stands for; what is beside it counts as well, as in OpenAPI 3.1."""
        while isinstance(thing, dict) and "$ref" in thing:
            target = self.root
            for word in thing["$ref"].removeprefix("#/").split("/"):
                target = target[word.replace("~1", "/").replace("~0", "~")]
            thing = {**target, **{key: v for key, v in thing.items() if key != "$ref"}}
        return thing

    def named(self, reference):
        """The strategy of what a reference stands for, which may have it in itself."""
        if reference not in self._named:
            schema = self.resolve({"$ref": reference})
            self._named[reference] = st.deferred(lambda: strategy(self, schema))
        return self._named[reference]

    def operations(self):
        return [
            Operation(self, method, path, item, item[method])
            for path, item in self.root["paths"].items()
            for method in METHODS
            if method in item
        ]

    def operation(self, name):
        return next(o for o in self.operations() if o.name == name)

    def schema_errors(self, schema, value):
        """In words, what about `value` is not as the schema says."""
        # references are looked up in the schema itself, by every version of jsonschema
        validator = jsonschema.Draft202012Validator({**self.root, **schema})
        return [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator.iter_errors(value)]


@dataclass
class Operation:
    document: Document
    method: str
    path: str
    item: dict
    spec: dict

    @property
    def name(self):
        return self.spec["operationId"]

    @property
    def open(self):
        return self.spec.get("security") == []

    def parameters(self):
        given = [*self.item.get("parameters", []), *self.spec.get("parameters", [])]
        return [self.document.resolve(p) for p in given]

    def body_schema(self):
        body = self.spec.get("requestBody")
        return body and body["content"]["application/json"]["schema"]

    def body_is_needed(self):
        return self.spec["requestBody"]["required"]

    def request_strategy(self):
        """Requests that the document allows: (path values, query, headers, body or None)."""
        of_place = {"path": {}, "query": {}, "header": {}}
        for parameter in self.parameters():
            values = self.document_strategy(parameter["schema"])
            if not parameter.get("required"):
                values = st.none() | values
            of_place[parameter["in"]][parameter["name"]] = values
        schema = self.body_schema()
        body = st.just(None) if schema is None else self.document_strategy(schema)
        return st.tuples(*(st.fixed_dictionaries(p) for p in of_place.values()), body)

    def document_strategy(self, schema):
        return strategy(self.document, schema)

    def problems(self, answer):
        """In words, what about an answer (requests.Response) the document does not promise."""
        responses = self.spec["responses"]
        declared = responses.get(str(answer.status_code))
        if declared is None and answer.status_code < 400:
            return [f"status {answer.status_code} is not declared"]
        declared = self.document.resolve(declared or responses["default"])
        media = answer.headers.get("Content-Type", "").split(";")[0]
        if media not in declared["content"]:
            return [f"content type {media!r} is not declared for {answer.status_code}"]
        for name in declared.get("headers", {}):
            if name == "Retry-After" and name not in answer.headers:
                return [f"{answer.status_code} without {name}"]
        if media != "application/json":
            return []
        schema = declared["content"][media]["schema"]
        return self.document.schema_errors(schema, answer.json())


def load():
    return Document(FILE.read_text(encoding="utf-8"))


def any_json():
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts()
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts(), inner, max_size=4),
        max_leaves=8,
    )


def texts(**limits):
    """Unicode without lone surrogates, which UTF-8 cannot carry."""
    return st.text(st.characters(blacklist_categories=["Cs"]), **limits)


def strategy(document, schema):
    """Values that a schema allows."""
    if set(schema) == {"$ref"}:
        return document.named(schema["$ref"])
    schema = {k: v for k, v in document.resolve(schema).items() if k not in ANNOTATIONS}
    if "allOf" in schema:
        return all_of(document, schema)
    if "oneOf" in schema:
        assert set(schema) == {"oneOf"}, schema
        return st.one_of(*(strategy(document, part) for part in schema["oneOf"]))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "type" not in schema:
        assert not schema, f"a schema without a type: {schema}"
        return any_json()
    names = schema.pop("type")
    names = names if isinstance(names, list) else [names]
    return st.one_of(*(of_type(document, name, dict(schema)) for name in names))


def all_of(document, schema):
    """The one schema that the parts make together."""
    merged = {k: v for k, v in schema.items() if k != "allOf"}
    for part in schema["allOf"]:
        merged = {**document.resolve(part), **merged}
    return strategy(document, merged)


def of_type(document, name, schema):
    if name == "object":
        return objects(document, schema)
    if name == "array":
        items = strategy(document, schema.get("items", {}))
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=3)
    if name == "string":
        return strings(schema)
    if name == "integer":
        return st.integers(schema.get("minimum"), schema.get("maximum"))
    if name == "number":
        return st.floats(
            schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False
        )
    return {"boolean": st.booleans(), "null": st.none()}[name]


def strings(schema):
    most = schema.get("maxLength", 200)
    if "pattern" in schema:
        whole = schema["pattern"].endswith("$")
        values = st.from_regex(re.compile(schema["pattern"], re.ASCII), fullmatch=whole)
        return values.filter(lambda text: len(text) <= most and text.isprintable())
    return texts(min_size=schema.get("minLength", 0), max_size=most)


def objects(document, schema):
    known = {"properties", "required", "additionalProperties", "propertyNames", "maxProperties",
             "minProperties"}  # fmt: skip
    assert set(schema) <= known, schema
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", len(str(schema)))
    required = schema.get("required", [])
    fields = {
        name: strategy(document, part) for name, part in schema.get("properties", {}).items()
    }
    named = st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: values for name, values in fields.items() if name not in required},
    )
    others = schema.get("additionalProperties", {})
    if others is False:
        return named.filter(lambda value: least <= len(value) <= most)
    names = strings(schema["propertyNames"]) if "propertyNames" in schema else texts(max_size=20)
    more = st.dictionaries(names, strategy(document, others), max_size=3)
    return st.builds(lambda a, b: {**b, **a}, named, more.map(
        lambda found: {name: v for name, v in found.items() if name not in fields}
    ))


def to_bytes(body):
    return None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8")
