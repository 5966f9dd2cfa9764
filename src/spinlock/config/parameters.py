"""The parameters a space may name: the options of operator families, of noise and of update policies."""

from collections.abc import Iterable
from dataclasses import replace

from spinlock.numerics.grid import MIN_SIZE
from spinlock.numerics.noise import noise
from spinlock.operators import families
from spinlock.registry import Integer, Option, options_of
from spinlock.rollout.policies import policy_options

DEFAULT_FAMILY = "cnn"

HEADINGS = ("architecture", "stochastic", "operator", "rollout")
"""The headings of a parameter space; they order it for readers and mean nothing else."""


def known_parameters(chosen_families: Iterable[str] = (DEFAULT_FAMILY,)) -> dict[str, Option]:
    """Return every parameter a space of those operator families may name, with its allowed values.

    A number that two families bound differently keeps the bounds that both accept.
    """
    parameters = {
        "family": Option("family", "choice", DEFAULT_FAMILY, choices=tuple(families)),
        "grid_size": Option(
            "grid_size", "integer", 64, Integer(MIN_SIZE, 4096, unit="px", suggested=(32, 256))
        ),
        **options_of(noise),
        **policy_options(),
    }
    shared = set(parameters)
    for family in chosen_families:
        for name, option in families[family].options.items():
            if name in shared:
                raise ValueError(
                    f"operator family {family!r} declares {name!r}, which is a parameter of every rollout"
                )
            parameters[name] = _common(parameters[name], option) if name in parameters else option
    return parameters


def _common(one: Option, other: Option) -> Option:
    if one.number is None or other.number is None:
        return replace(one, choices=tuple(c for c in one.choices if c in other.choices))
    low, high = max(one.number.low, other.number.low), min(one.number.high, other.number.high)
    return replace(one, number=replace(one.number, low=low, high=high))


def sampling_types(option: Option) -> tuple[str, ...]:
    """Return the types that a sampled parameter may have; of odd integers only single ones can be chosen."""
    if isinstance(option.number, Integer) and option.number.odd:
        return ("choice",)
    return {
        "integer": ("integer", "choice"),
        "real": ("continuous", "integer", "choice"),
        "choice": ("choice",),
        "boolean": ("boolean", "choice"),
    }[option.kind]
