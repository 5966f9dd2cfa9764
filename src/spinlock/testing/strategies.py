"""Hypothesis strategies for the options of an initial condition."""

from typing import Any

from hypothesis import strategies as st

from spinlock.initial_conditions import InitialCondition
from spinlock.initial_conditions.catalogue import registry
from spinlock.initial_conditions.pairs import PairsOption
from spinlock.registry import Option

REACH = 4.0
"""How far from its default an option is varied, as a factor."""


def valid_options(entry: InitialCondition, grid_size: int) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for options that a type accepts on a grid: some fixed, some drawn, some left out."""
    choices: dict[str, st.SearchStrategy[Any]] = {}
    for name, option in entry.as_part.options.items():
        if option.kind == "part":
            choices[name] = valid_options(registry[str(option.part)].as_part, grid_size)
            continue
        choices[name] = option_values(option)
        if option.rangeable:
            ends = st.tuples(number(option), number(option)).map(sorted)
            choices[f"{name}_range"] = ends
    choices["normalize"] = (
        st.sampled_from(entry.options["normalize"].choices) if "normalize" in entry.options else st.none()
    )
    if "normalize" not in entry.options:
        del choices["normalize"]
    return st.fixed_dictionaries({}, optional=choices).map(lambda given: accepted(entry, given, grid_size))


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


def accepted(entry: InitialCondition, given: dict[str, Any], grid_size: int) -> dict[str, Any]:
    """Return the given options without those that contradict the others."""
    kept = {
        name: value
        for name, value in given.items()
        if name.removesuffix("_range") == name
        or name in entry.options
        or name.removesuffix("_range") not in given
    }
    while True:
        _, faults = entry.examine(kept, grid_size)
        if not faults:
            return kept
        wrong = {path[0] for path, _ in faults if path}
        kept = {name: value for name, value in kept.items() if name not in wrong} if wrong else {}
