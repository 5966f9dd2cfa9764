"""Faults of a configuration, collected and told all at once: file, line, key, near miss, allowed values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from spinlock.config.yaml_source import Location, Source
from spinlock.errors import ConfigError
from spinlock.registry import near_miss


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a configuration, and the key it is wrong with."""

    location: Location
    message: str


def config_error(source: Source, faults: Iterable[Fault], origins: Mapping[Location, str]) -> ConfigError:
    """Return the error that tells every fault, in the order of the file."""
    ordered = sorted(set(faults), key=lambda f: (source.line(f.location) or 0, str(f.location)))
    count = f"{len(ordered)} error{'s' if len(ordered) > 1 else ''}"
    lines = [f"{source.name}: {count} in the configuration"]
    for fault in ordered:
        key = ".".join(str(part) for part in fault.location)
        lines.append(f"  {_place(source, fault.location, origins)}{key}: {fault.message}" if key else f"  {fault.message}")
    return ConfigError("\n".join(lines))


def _place(source: Source, location: Location, origins: Mapping[Location, str]) -> str:
    for end in range(len(location), 0, -1):
        if location[:end] in origins:
            return f"{origins[location[:end]]}: "
    line = source.line(location)
    return f"line {line}: " if line else ""


def faults_of(error: ValidationError, root: type[BaseModel], values: Any) -> list[Fault]:
    """Translate pydantic's findings into faults that a newcomer understands."""
    return [_fault(item, root, values) for item in error.errors(include_url=False)]


def _fault(item: Any, root: type[BaseModel], values: Any) -> Fault:
    location = _real_location(item["loc"], values)
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return Fault(location, unknown_key(str(location[-1]), keys_at(root, item["loc"][:-1])))
    if kind == "missing":
        missing = (*location, *(part for part in item["loc"][-1:] if part not in location[-1:]))
        return Fault(missing, "is missing; it has no default")
    if kind == "literal_error":
        near = near_miss(item["input"], [w.strip("'") for w in context["expected"].replace(" or ", ", ").split(", ")])
        return Fault(location, f"{item['input']!r} is not allowed{_hint(near)}: it must be {context['expected']}")
    if kind == "value_error":
        return Fault(location, str(context["error"]))
    return Fault(location, f"{_lower(item['msg'])}, not {item['input']!r}")


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _hint(near: str | None) -> str:
    return f" (did you mean {near!r}?)" if near else ""


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """Return the message for a key that does not exist: the near miss, then what is allowed."""
    known = sorted(allowed)
    return f"unknown key{_hint(near_miss(key, known))}; allowed here: {', '.join(known) or 'nothing'}"


def keys_at(root: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that the model at a location accepts."""
    model: Any = root
    for part in location:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = fields[part].annotation
        elif get_origin(model) is dict:
            model = get_args(model)[1]
    return list(getattr(model, "model_fields", {}))


def _real_location(location: tuple[str | int, ...], values: Any) -> Location:
    """Drop the parts of pydantic's location that are its own, keeping what stands in the file."""
    kept: list[str | int] = []
    here = values
    for part in location:
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            continue
        kept.append(part)
    return tuple(kept)
