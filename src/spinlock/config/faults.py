"""Faults of a configuration, told all at once: file, line, key, near miss, allowed values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from spinlock.config.allowed import LONGEST_SHOWN, Slot, keys_at, shown, slot_at
from spinlock.config.yaml_source import Fault, Location, Source
from spinlock.counting import counted
from spinlock.errors import ConfigError
from spinlock.registry import near_miss

MOST_TOLD = 20
"""Faults that a message tells; of more, nobody reads the last ones."""


def config_error(source: Source, faults: Iterable[Fault], origins: Mapping[Location, str]) -> ConfigError:
    """Return the error that tells every fault, in the order of the file."""
    told = dict.fromkeys(faults)
    ordered = sorted(told, key=lambda fault: source.line(fault.location) or 0)
    lines = [f"{source.name}: {counted(len(ordered), 'error')} in the configuration"]
    for fault in ordered[:MOST_TOLD]:
        key = ".".join(_cut(str(part)) for part in fault.location)
        place = _place(source, fault.location, origins)
        said_already = not key or place.endswith(f" {key}: ")
        lines.append(f"  {place}{'' if said_already else f'{key}: '}{fault.message}")
    if len(ordered) > MOST_TOLD:
        lines.append(f"  and {len(ordered) - MOST_TOLD} more; correct these first")
    return ConfigError("\n".join(lines))


def _cut(word: str) -> str:
    return word if len(word) <= LONGEST_SHOWN else f"{word[:LONGEST_SHOWN]}…"


def _place(source: Source, location: Location, origins: Mapping[Location, str]) -> str:
    """Return the flag that a value was given with, or the line where it stands."""
    for end in range(len(location), 0, -1):
        if location[:end] in origins:
            return f"{origins[location[:end]]}: "
    if location not in source.lines:
        for key, said in origins.items():
            if key[: len(location)] == location:
                return f"{said}: "
    line = source.line(location)
    return f"line {line}: " if line else ""


def faults_of(error: ValidationError, root: type[BaseModel], values: Any) -> list[Fault]:
    """Translate pydantic's findings into faults that a newcomer understands, one for each key."""
    items = error.errors(include_url=False)
    faults = [_fault(item, root, values) for item in items if item["type"] != "missing"]
    for item in [item for item in items if item["type"] == "missing"]:
        parent, key = _real_location(item["loc"][:-1], values), item["loc"][-1]
        if not _misspelt(str(key), parent, items, values):
            inside = keys_at(root, (*item["loc"][:-1], key))
            holds = f"; it is a section with {', '.join(inside)}" if inside else ""
            faults.append(Fault((*parent, key), f"is missing and has no default{holds}"))
    return faults


def _misspelt(key: str, parent: Location, items: Iterable[Any], values: Any) -> bool:
    """Return whether a missing key stands there under a name so close that the other fault tells it all."""
    strangers = [item["loc"] for item in items if item["type"] == "extra_forbidden"]
    return any(_real_location(loc[:-1], values) == parent and near_miss(loc[-1], [key]) for loc in strangers)


def _fault(item: Any, root: type[BaseModel], values: Any) -> Fault:
    location = _real_location(item["loc"], values)
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        return Fault(location, unknown_key(str(location[-1]), keys_at(root, location[:-1])))
    if kind == "value_error":
        return Fault(location, str(item["ctx"]["error"]))
    return Fault(location, _refusal(value, slot_at(root, location)))


def _refusal(value: Any, slot: Slot) -> str:
    """Return the message for a value that does not fit: the near miss or the remedy, and what does fit."""
    words = slot.allowed()
    if isinstance(value, float) and not math.isfinite(value):
        return f"{shown(value)} is not allowed: it must be a finite number"
    if value is None:
        return f"is empty: it must be {words}{'' if slot.required else ', or left out'}"
    choices = [choice for choice in slot.choices if isinstance(choice, str)]
    near = near_miss(value, choices)
    hint = f" (did you mean {near!r}?)" if near else ""
    if str(value) in choices or (str in slot.kinds and not isinstance(value, dict | list)):
        hint = f' (put it in quotes: "{shown(value)}")'
    elif isinstance(value, str) and _reads_as(value, slot.kinds):
        hint = f" (take the quotes away: {value})"
    return f"{shown(value)} is not allowed{hint}: it must be {words}"


def _reads_as(text: str, kinds: Sequence[Any]) -> bool:
    """Return whether the text in quotes would be of the right kind without them."""
    if bool in kinds:
        return text in ("true", "false")
    return (int in kinds and text.isdecimal()) or (float in kinds and text.replace(".", "", 1).isdecimal())


def unknown_key(key: str, allowed: Iterable[str]) -> str:
    """Return the message for a key that does not exist: the near miss, then what is allowed."""
    known = sorted(allowed)
    near = near_miss(key, known)
    hint = f" (did you mean {near!r}?)" if near else ""
    return f"unknown key{hint}; allowed here: {', '.join(known) or 'nothing'}"


def _real_location(location: tuple[str | int, ...], values: Any) -> Location:
    """Drop the parts of pydantic's location that are its own, keeping what stands in the file."""
    kept: list[str | int] = []
    here = values
    for part in location:
        items: Any = (
            here if isinstance(here, dict) else dict(enumerate(here)) if isinstance(here, list) else {}
        )
        if part in items:
            here = items[part]
            kept.append(part)
    return tuple(kept)
