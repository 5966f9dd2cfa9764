"""Hypothesis strategies for the options of an initial condition."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from spinlock.initial_conditions import InitialCondition
from spinlock.initial_conditions.catalogue import registry
from spinlock.initial_conditions.pairs import PairsOption
from spinlock.registry import Option

REACH = 4.0
"""How far from its default an option is varied, as a factor."""


def option_sets(entry: InitialCondition) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for options: some fixed, some drawn, some left out; `accepted` makes them agree."""
    choices: dict[str, st.SearchStrategy[Any]] = {}
    for name, option in entry.options.items():
        if option.kind == "part":
            choices[name] = option_sets(registry[str(option.part)].as_part)
        elif name not in ("normalize_factor", "normalize_offset"):
            choices[name] = option_values(option)
        if option.rangeable:
            choices[f"{name}_range"] = st.tuples(number(option), number(option)).map(sorted)
    return st.fixed_dictionaries({}, optional=choices)


def option_values(option: Option) -> st.SearchStrategy[Any]:
    """Return a strategy for the values that an option accepts."""
    if option.kind == "boolean":
        values: st.SearchStrategy[Any] = st.booleans()
    elif option.kind in ("choice", "choices"):
        words = option.choices + ((option.drawn_word,) if option.drawn_word else ())
        values = st.sampled_from(words)
    else:
        values = number(option)
    if isinstance(option, PairsOption):
        values = st.lists(st.tuples(values, values).map(sorted), min_size=1, max_size=3)
    elif option.kind in ("reals", "integers", "choices"):
        values = st.lists(values, min_size=option.length or 1, max_size=option.length or 4)
        values = values.map(sorted) if option.name.endswith("_range") else values
    return st.none() | values if option.nullable else values


def number(option: Option) -> st.SearchStrategy[Any]:
    """Return a strategy for the numbers near an option's default, or in its limits where it has none."""
    assert option.number is not None
    low, high = option.number.low, option.number.high
    numbers = option.default if isinstance(option.default, tuple) else (option.default,)
    near = [value for value in numbers if isinstance(value, int | float) and value]
    if near:
        low, high = max(low, min(near) / REACH), min(high, max(near) * REACH)
    if option.kind in ("integer", "integers"):
        return st.integers(int(low), int(high))
    return st.floats(low, high, allow_subnormal=False)


def accepted(entry: InitialCondition, given: Mapping[str, Any], grid_size: int) -> dict[str, Any]:
    """Return the given options without those that contradict the others."""
    kept: dict[str, Any] = {}
    for name, value in given.items():
        option = entry.options.get(name)
        if option is not None and option.kind == "part":
            kept[name] = accepted(registry[str(option.part)].as_part, value, grid_size)
        elif option is not None or name.removesuffix("_range") not in given:
            kept[name] = value
    while faults := entry.examine(kept, grid_size)[1]:
        wrong = {path[0] for path, _ in faults if path}
        kept = {name: value for name, value in kept.items() if name not in wrong} if wrong else {}
    return kept
