"""
What a document must keep to, beyond being good OpenAPI, for generators to make clients of it
that compile and work: each rule is a habit that one of them (openapi-python-client,
openapi-generator) made a broken client of. faults() says in words what is not so.
"""

import re

import yaml

METHODS = ("get", "post", "patch", "put", "delete")
REFERENCE = re.compile(r"#/components/[a-z]+/\w+")
IDENTIFIER = re.compile(r"[A-Za-z][\w.-]*")
WIDTHS = {"integer": "int64", "number": "double"}


class Loader(yaml.SafeLoader):
    """YAML whose mappings have each key once."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"twice: {key}", node.start_mark)
        return super().construct_mapping(node, deep)


def faults(text):
    """Each breach of a rule in a document, as PLACE: WHAT."""
    try:
        root = yaml.load(text, Loader)  # noqa: S506  # a SafeLoader
    except yaml.YAMLError as error:
        return [str(error)]
    found = [f"{place}: {what}" for place, thing in walk(root) for what in of_reference(thing)]
    found += of_operations(root)
    for place, schema in schemas(root):
        found += [f"{place}: {what}" for rule in RULES for what in rule(root, schema)]
    return [*found, *of_named(root)]


def walk(thing, place=""):
    yield place, thing
    if isinstance(thing, (dict, list)):
        for key, value in thing.items() if isinstance(thing, dict) else enumerate(thing):
            yield from walk(value, f"{place}/{key}")


def schemas(root):
    """All schemas, those in schemas too, with their places."""
    tops = [(f"schemas/{n}", s) for n, s in root["components"]["schemas"].items()]
    tops += [(p, s) for p, s in walk(root) if p.endswith("/schema") and isinstance(s, dict)]
    while tops:
        place, schema = tops.pop()
        yield place, schema
        tops += [(f"{place}/{n}", s) for n, s in schema.get("properties", {}).items()]
        for key in ("items", "additionalProperties", "not"):
            if isinstance(schema.get(key), dict):
                tops.append((f"{place}/{key}", schema[key]))
        for key in ("oneOf", "anyOf", "allOf"):
            tops += [(f"{place}/{key}/{i}", s) for i, s in enumerate(schema.get(key, []))]


def resolve(root, schema):
    while "$ref" in schema:
        schema = root["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def types(schema):
    given = schema.get("type", [])
    return given if isinstance(given, list) else [given]


def of_reference(thing):
    if isinstance(thing, dict) and isinstance(thing.get("$ref"), str):
        if not REFERENCE.fullmatch(thing["$ref"]):
            yield f"a reference to what has no name: {thing['$ref']}"
        if set(thing) - {"$ref", "description"}:
            yield "something beside a reference"


def of_operations(root):
    for path, item in root["paths"].items():
        if set(item) - set(METHODS):
            yield f"{path}: parameters stand at each operation, not at the path"
        for method, operation in ((m, item[m]) for m in METHODS if m in item):
            if not IDENTIFIER.fullmatch(operation.get("operationId", "")):
                yield f"{path}: {method} without an operationId"
            bodies = [operation.get("requestBody", {}), *operation.get("responses", {}).values()]
            for body in bodies:
                schema = body.get("content", {}).get("application/json", {}).get("schema", {})
                if "properties" in schema or "oneOf" in schema or "allOf" in schema:
                    yield f"{path}: {method} has a body whose schema has no name"


def of_all(_, schema):
    if not all(set(part) == {"$ref"} for part in schema.get("allOf", [])):
        yield "allOf of what is no reference"
    if "not" in schema or "anyOf" in schema:
        yield "not and anyOf: say it as a pattern, or as oneOf"


def of_one(root, schema):
    parts = [p for p in schema.get("oneOf", []) if p.get("type") != "null"]
    whole = [resolve(root, p) for p in parts]
    if any(types(p) == ["array"] for p in parts):
        yield "an array in oneOf that has no name"
    if any("properties" in p for p in parts):
        yield "an object in oneOf that has no name"
    if len(parts) > 1 and any("oneOf" in p for p in whole):
        yield "a oneOf of oneOf"
    if any(w.get("items") in parts for w in whole):
        yield "an array beside its items in oneOf"
    nulls = len(parts) < len(schema.get("oneOf", []))
    if nulls and any("enum" not in w and types(w) not in ([], ["object"]) for w in whole):
        yield "a oneOf of null and a named string or the like: a list of types, without the name"
    if "default" in schema and "oneOf" in schema:
        yield "a default beside oneOf: say it in words"


def of_values(_, schema):
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if values and not types(schema):
        yield "enum or const without a type"
    if any(isinstance(value, bool) for value in values):
        yield "a const that is a boolean: say it in words"
    if "default" in schema and None in values:
        yield "a default of an enum with null: say it in words"
    for value in values:
        if isinstance(value, str) and not IDENTIFIER.fullmatch(value):
            yield f"no generator makes a name of {value!r}"


def of_types(_, schema):
    for name in types(schema):
        if name in WIDTHS and len(types(schema)) < 3 and schema.get("format") != WIDTHS[name]:
            yield f"{name} without format {WIDTHS[name]}"
    if len(types(schema)) > 1 and "object" in types(schema):
        yield "an object or null: a named object in oneOf"
    if schema.get("properties") and isinstance(schema.get("additionalProperties"), dict):
        yield "properties beside additionalProperties with a schema"
    if set(schema.get("required", [])) - set(schema.get("properties", {})) and "allOf" not in schema:
        yield "something required that is no property"
    if "uniqueItems" in schema:
        yield "uniqueItems: sets are not for all"


RULES = (of_all, of_one, of_values, of_types)


def of_named(root):
    seen = {}
    for name, schema in root["components"]["schemas"].items():
        parts = [schema, *schema.get("oneOf", [])]
        if any("null" in types(part) and len(types(part)) < 3 for part in parts):
            yield f"schemas/{name}: null by its name: it stands in oneOf where the name is used"
        # Go has a constant for each value, and all of them in one package
        for value in schema.get("enum", []):
            if seen.setdefault(str(value).upper(), name) != name:
                yield f"schemas/{name}: {value} is of {seen[value.upper()]} too; one is not named"
