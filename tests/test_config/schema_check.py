"""The part of JSON Schema that the exported schema uses, checked by its rules."""

import re
from typing import Any

TYPES: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}

ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "affects"}
GENERAL = {"$ref", "type", "enum", "const", "anyOf", "not", "if", "then"}
OBJECTS = {"properties", "patternProperties", "additionalProperties", "propertyNames", "required"}
ARRAYS = {"items", "minItems", "maxItems", "uniqueItems"}
SCALARS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern"}
KNOWN = ANNOTATIONS | GENERAL | OBJECTS | ARRAYS | SCALARS


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Return whether a value is valid under a schema with its own definitions."""
    return _valid(value, schema, schema)


def _valid(value: Any, schema: Any, root: dict[str, Any]) -> bool:
    if isinstance(schema, bool):
        return schema
    assert set(schema) <= KNOWN, set(schema) - KNOWN

    def under(part: Any, item: Any = value) -> bool:
        return _valid(item, part, root)

    if "$ref" in schema and not under(root["$defs"][schema["$ref"].removeprefix("#/$defs/")]):
        return False
    if "anyOf" in schema and not any(under(part) for part in schema["anyOf"]):
        return False
    if "not" in schema and under(schema["not"]):
        return False
    if "if" in schema and under(schema["if"]) and not under(schema["then"]):
        return False
    if "type" in schema and not _is(value, schema["type"]):
        return False
    if "enum" in schema and not any(_same(value, choice) for choice in schema["enum"]):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if isinstance(value, dict):
        return _valid_object(value, schema, under)
    if isinstance(value, list):
        return _valid_array(value, schema, under)
    return _valid_scalar(value, schema)


def _is(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and (kind == "number" or value == int(value))
    return isinstance(value, TYPES[kind])


def _same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _valid_object(value: dict[str, Any], schema: dict[str, Any], under: Any) -> bool:
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    if not set(schema.get("required", ())) <= set(value):
        return False
    for key, item in value.items():
        parts = [properties[key]] if key in properties else []
        parts += [part for pattern, part in patterns.items() if re.search(pattern, key)]
        if not all(under(part, item) for part in parts or [schema.get("additionalProperties", True)]):
            return False
        if not under(schema.get("propertyNames", True), key):
            return False
    return True


def _valid_array(value: list[Any], schema: dict[str, Any], under: Any) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        return False
    if schema.get("uniqueItems") and any(_same(a, b) for k, a in enumerate(value) for b in value[:k]):
        return False
    return all(under(schema.get("items", True), item) for item in value)


def _valid_scalar(value: Any, schema: dict[str, Any]) -> bool:
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return (
        value >= schema.get("minimum", value)
        and value <= schema.get("maximum", value)
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        and ("multipleOf" not in schema or value % schema["multipleOf"] == 0)
    )
