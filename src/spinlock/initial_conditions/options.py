"""Option values of one sample: defaults filled in, ranges and random choices drawn, all plain values.

Drawing needs no torch: the values stand in the plan before anything is computed.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from spinlock.initial_conditions.catalogue import InitialCondition, may_act, registry
from spinlock.keys import Key, Purpose, site_number, uniforms
from spinlock.registry import Integer, Option

SIGNIFICANT_DIGITS = 9
"""Of a drawn number: more than float32 holds, and few enough to be the same with every libm."""

LONGEST_NUMBER = 24
"""Characters of the longest float64 in JSON, -2.2250738585072014e-308."""


def resolve_options(
    entry: InitialCondition, options: Mapping[str, Any], seed: int, index: int
) -> dict[str, Any]:
    """Return the values that every option of a type has for sample ``index``, as plain JSON values.

    Ranges are replaced by the value drawn, random choices by the choice; options that do not act for this
    sample are left out. Given back as options, the values make the same field to the last bit. Raises
    `OptionError` for options that the type does not accept.
    """
    return _resolved(entry, entry.check_options(options), Key(seed, entry.name), index)


def _resolved(entry: InitialCondition, checked: Mapping[str, Any], key: Key, index: int) -> dict[str, Any]:
    ranges = entry.ranges(checked)
    values: dict[str, Any] = {}
    for name, option in entry.options.items():
        value = checked.get(name, option.default)
        if name in ranges:
            value = draw_number(option, ranges[name], _uniform(key, index, name))
        elif option.drawn_word is not None and value == option.drawn_word:
            value = option.choices[int(_uniform(key, index, name) * len(option.choices))]
        elif option.kind == "part":
            value = _resolved(registry[str(option.part)].as_part, value, key.within(name), index)
        values[name] = _plain(value)
    return {
        name: value
        for name, value in values.items()
        if may_act(entry.options[name], values, entry.options)
        and not (value is None and name in ("normalize_factor", "normalize_offset"))
    }


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _uniform(key: Key, index: int, name: str) -> float:
    return float(uniforms(key, Purpose.CHOICE, [index], 1, site=site_number(name))[0, 0])


def draw_number(option: Option, ends: tuple[float, float], uniform: float) -> float | int:
    """Return the number a uniform in (0, 1) stands for: integers with equal weight, lengths log-uniform."""
    low, high = ends
    number = option.number
    if isinstance(number, Integer):
        step = 2 if number.odd else 1
        return int(low) + step * int(uniform * ((int(high) - int(low)) // step + 1))
    if number is not None and number.log and low > 0:
        value = math.exp(math.log(low) + uniform * (math.log(high) - math.log(low)))
    else:
        value = low + uniform * (high - low)
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)


def options_length(entry: InitialCondition, options: Mapping[str, Any]) -> int:
    """Return the greatest length that ``json.dumps`` of the resolved values can have."""
    return _length(entry, entry.check_options(options))


def _length(entry: InitialCondition, checked: Mapping[str, Any]) -> int:
    ranges = entry.ranges(checked)
    total = len("{}")
    for name, option in entry.options.items():
        value = checked.get(name, option.default)
        total += len(json.dumps(name)) + len(": , ")
        if name in ranges or (value is None and option.number is not None):
            total += LONGEST_NUMBER
        elif option.drawn_word is not None and value == option.drawn_word:
            total += max(len(json.dumps(choice)) for choice in option.choices)
        elif option.kind == "part":
            total += _length(registry[str(option.part)].as_part, value or {})
        else:
            total += len(json.dumps(value))
    return total
