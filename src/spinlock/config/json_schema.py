"""The configuration as a JSON Schema, for editors: completion, descriptions, and typos marked while writing.

Names and values come from the catalogues. The schema accepts what `load_config` accepts, a parameter's unused
keys left out rather than null. What hangs on several keys at once, as ascending bounds or a parameter that
never acts, only `load_config` tells.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from spinlock.config.model import Config
from spinlock.config.parameters import HEADINGS, known_parameters, sampling_types
from spinlock.initial_conditions import registry
from spinlock.initial_conditions.aliases import VARIANT, resolve_name
from spinlock.initial_conditions.mixture import SAMPLED, labels_allowed
from spinlock.initial_conditions.pairs import PairsOption
from spinlock.operators import families
from spinlock.registry import Integer, Option

DIALECT = "https://json-schema.org/draft/2020-12/schema"

VARIANTS = f"({VARIANT.pattern.removesuffix('$')})*"
"""What may follow the name of an initial condition to tell variants apart."""

LABELLED = "#/$defs/labelled_options"

Schema = dict[str, Any]


def config_schema() -> Schema:
    """Return the JSON Schema of a configuration file, as a value that `json.dumps` takes."""
    schema = _without_titles(Config.model_json_schema())
    definitions = schema["$defs"]
    _name_parameters(definitions["ParameterSpace"])
    del definitions["ParameterConfig"]
    definitions |= {_definition(name): _block(name) for name in registry}
    labelled = [{"required": ["type"], **_reference(name)} for name in registry]
    definitions["labelled_options"] = {"type": "object", "required": ["type"], "anyOf": labelled}
    definitions["InputGeneration"] = _input_generation(definitions["InputGeneration"])
    return {"$schema": DIALECT, "title": "Spinlock configuration", **schema}


def _without_titles(value: Any) -> Any:
    """Return a schema without the titles that only repeat the keys."""
    if isinstance(value, list):
        return [_without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_titles(item)
        for key, item in value.items()
        if not (key == "title" and isinstance(item, str))
    }


def _name_parameters(space: Schema) -> None:
    known = known_parameters(families)
    parameters = {name: _parameter(option) for name, option in sorted(known.items())}
    for heading in HEADINGS:
        space["properties"][heading] |= {"properties": parameters, "additionalProperties": False}


def _parameter(option: Option) -> Schema:
    """Return the schema of a sampled parameter: one alternative for each type that suits it."""
    return {
        "description": f"{option.allowed()}; {option.default} where it is not sampled",
        "anyOf": [_sampled(kind, option) for kind in sampling_types(option)],
    }


def _sampled(kind: str, option: Option) -> Schema:
    properties: Schema = {"type": {"const": kind}, "log_scale": {"const": False}}
    required = ["type"]
    if kind == "choice":
        properties["choices"] = {"type": "array", "items": _value(option), "minItems": 1, "uniqueItems": True}
        required.append("choices")
    if kind in ("integer", "continuous"):
        end = {**_value(option), "type": "integer" if kind == "integer" else "number"}
        properties["bounds"] = {"type": "array", "items": end, "minItems": 2, "maxItems": 2}
        required.append("bounds")
    if kind == "continuous":
        properties["log_scale"] = {"type": "boolean"}
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _value(option: Option) -> Schema:
    """Return the schema of an option's value."""
    item = _item(option)
    if isinstance(option, PairsOption):
        item = {"type": "array", "items": {"type": "array", "items": item, "minItems": 2, "maxItems": 2}}
    elif option.kind in ("reals", "integers", "choices"):
        length = {"maxItems": option.length} if option.length else {}
        item = {"type": "array", "items": item, "minItems": option.length or 1, **length}
    return {"anyOf": [item, {"type": "null"}]} if option.nullable else item


def _item(option: Option) -> Schema:
    if option.kind == "boolean":
        return {"type": "boolean"}
    if option.kind == "part":
        part = registry[str(option.part)].as_part
        return _section(_options(part.options))
    if option.number is None:
        return {"enum": [*option.choices, *([option.drawn_word] if option.drawn_word else [])]}
    number = option.number
    kind = "integer" if isinstance(number, Integer) else "number"
    odd = {"not": {"multipleOf": 2}} if isinstance(number, Integer) and number.odd else {}
    return {"type": kind, "minimum": number.low, "maximum": number.high, **odd}


def _section(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _options(options: Mapping[str, Option]) -> Schema:
    """Return the schema of each option and of the range it may be drawn from."""
    properties: Schema = {}
    for name, option in options.items():
        properties[name] = {"description": option.allowed(), **_value(option)}
        if option.rangeable:
            ends = {"type": "array", "items": _item(option), "minItems": 2, "maxItems": 2}
            properties[f"{name}_range"] = {"description": f"[low, high] that {name} is drawn from", **ends}
    return properties


def _block(name: str) -> Schema:
    """Return the schema of the options of a type, under its own name or under a label."""
    entry = registry[name]
    return {"description": entry.summary, **_section({"type": _names([name]), **_options(entry.options)})}


def _names(types: Iterable[str]) -> Schema:
    """Return the schema of a name that stands for one of the types."""
    wanted = set(types)
    names = [name for name in labels_allowed() if resolve_name(name)[0] in wanted]
    return {"anyOf": [{"enum": names}, {"type": "string", "pattern": f"^({'|'.join(names)}){VARIANTS}$"}]}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/$defs/{_definition(name)}"}


def _definition(name: str) -> str:
    return f"{name}_options"


def _input_generation(section: Schema) -> Schema:
    """Return the schema of the choice of initial conditions.

    A block under a name that is no type needs a ``type``. Without such blocks, methods and weights have the
    names of the catalogue only, so that a typo is marked.
    """
    blocks = {name: _reference(name) for name in registry}
    variants = {
        f"^{name}{VARIANTS}$": {"anyOf": [_reference(resolve_name(name)[0]), {"$ref": LABELLED}]}
        for name in labels_allowed()
    }
    weights = section["properties"]["ic_type_weights"]
    weights["anyOf"][0]["additionalProperties"] = {"type": "number", "minimum": 0}
    plain = {"anyOf": [{"enum": list(section["properties"])}, _names(registry)]}
    catalogued = {
        "method": {"anyOf": [{"const": SAMPLED}, _names(registry)]},
        "ic_type_weights": {"propertyNames": _names(registry)},
    }
    return section | {
        "properties": section["properties"] | blocks,
        "patternProperties": variants,
        "additionalProperties": {"$ref": LABELLED},
        "if": {"propertyNames": plain},
        "then": {"properties": catalogued},
    }
