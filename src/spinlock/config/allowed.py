"""What a field of the model takes, in words, read off its annotation."""

import math
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Limits = tuple[Any, ...]

LONGEST_SHOWN = 60
"""Characters of a value that a message repeats."""


@dataclass(frozen=True)
class Slot:
    """A place of the model: its annotation, the limits of a number or list, whether it must be filled."""

    annotation: Any
    limits: Limits = ()
    required: bool = True

    @property
    def kinds(self) -> list[Any]:
        """The kinds of value that it takes, null left out."""
        return _members(self.annotation)

    @property
    def choices(self) -> list[Any]:
        """The values that it takes literally."""
        return [choice for kind in self.kinds if get_origin(kind) is Literal for choice in get_args(kind)]

    def allowed(self) -> str:
        """Return in words what it takes: "an integer ≥ 1", "one of warn, stop", "a list of 2 numbers"."""
        members = self.kinds
        if {int, float, str} <= set(members):
            return "a number, a word, or true or false"
        if set(members) == {int, float}:
            members = [float]
        return " or ".join(_words(member, self.limits) for member in members)


def shown(value: Any) -> str:
    """Return a value as the configuration would write it, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return "-.inf" if value < 0 else f".{value}"
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def slot_at(root: type[BaseModel], location: Iterable[str | int]) -> Slot:
    """Return the slot at a location of the model."""
    slot = Slot(root)
    for part in location:
        slot = _within(slot.annotation, part)
    return slot


def _within(annotation: Any, part: str | int) -> Slot:
    for member in _members(annotation):
        field = _fields(member).get(str(part))
        if field is not None:
            return Slot(field.annotation, tuple(field.metadata), field.is_required())
        if get_origin(member) in (list, dict):
            return Slot(get_args(member)[-1])
    return Slot(Any)


def keys_at(root: type[BaseModel], location: Iterable[str | int]) -> list[str]:
    """Return the keys that the section at a location accepts."""
    return list(_fields(slot_at(root, location).annotation))


def _fields(annotation: Any) -> dict[str, FieldInfo]:
    return annotation.model_fields if _is_section(annotation) else {}


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _members(annotation: Any) -> list[Any]:
    """Return the alternatives of a union, null left out."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for member in get_args(annotation) if member is not type(None)]
    return [annotation]


def _words(member: Any, limits: Limits) -> str:
    if member in (int, float):
        return f"{'an integer' if member is int else 'a number'}{_range(limits)}"
    if member is bool:
        return "true or false"
    if member is str:
        return "text"
    if get_origin(member) is Literal:
        choices = [str(choice) for choice in get_args(member)]
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if get_origin(member) is list:
        return _list_words(get_args(member)[0], limits)
    if _is_section(member):
        return f"a section with keys from: {', '.join(sorted(_fields(member)))}"
    return "a section of names with a value each" if get_origin(member) is dict else "something else"


def _list_words(item: Any, limits: Limits) -> str:
    length = next((n for limit in limits if (n := getattr(limit, "min_length", None)) is not None), None)
    count = f"{length} " if length is not None else ""
    return f"a list of {count}{'numbers' if set(_members(item)) == {int, float} else 'values'}"


def _range(limits: Limits) -> str:
    """Return the range of a number in words."""
    said = []
    for limit in limits:
        for sign, attribute in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
            bound = getattr(limit, attribute, None)
            if bound is not None:
                said.append(f" {sign} {_power(bound)}")
    return " and".join(said)


def _power(bound: Any) -> str:
    exponent = bound.bit_length() - 1 if isinstance(bound, int) else 0
    return f"2**{exponent}" if exponent >= 32 and bound == 1 << exponent else f"{bound}"
