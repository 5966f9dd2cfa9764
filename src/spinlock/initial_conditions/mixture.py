"""Which type a sample starts from: weights over labels, cut along one Sobol coordinate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinlock.errors import UnknownNameError, UsageError
from spinlock.initial_conditions.aliases import ALIASES, resolve_name, with_preset
from spinlock.initial_conditions.catalogue import registry
from spinlock.registry import near_miss, unknown_name

SAMPLED = "sampled"

Fault = tuple[tuple[str, ...], str]
"""Path below the section that chooses the initial conditions, and what is wrong there."""


class MixtureError(UsageError):
    """Every fault of a choice of initial conditions, each with the place where it stands."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{'.'.join(path)}: {message}" for path, message in faults))


@dataclass(frozen=True)
class Component:
    """One label of a mixture: its type, its checked options and its share of the samples."""

    label: str
    type: str
    options: Mapping[str, Any]
    weight: float


@dataclass(frozen=True)
class Mixture:
    """Labels and their shares, in the order of the labels' names; shares sum to 1."""

    components: tuple[Component, ...]

    @property
    def cuts(self) -> np.ndarray:
        """Upper ends of the labels' intervals of [0, 1), float64; the last that is not empty ends at 1."""
        weights = np.array([component.weight for component in self.components])
        cuts = np.cumsum(weights)
        cuts[np.flatnonzero(weights)[-1] :] = 1.0
        return cuts

    def pick(self, coordinate: np.ndarray) -> np.ndarray:
        """Return the number of the label for each coordinate in [0, 1), int64 [B].

        With a scrambled Sobol coordinate the count of a label is within 2 + log2 N of N·weight; an
        independent uniform would be off by √N.
        """
        coordinate = np.asarray(coordinate, dtype=np.float64)
        if coordinate.size and not (coordinate.min() >= 0.0 and coordinate.max() < 1.0):
            raise UsageError("a coordinate that picks an initial condition must be in [0, 1)")
        return np.searchsorted(self.cuts, coordinate, side="right").astype(np.int64)


def parse_mixture(
    method: Any,
    ic_type_weights: Mapping[str, Any] | None = None,
    option_blocks: Mapping[str, Any] | None = None,
    grid_sizes: tuple[int, ...] = (),
) -> Mixture:
    """Return the mixture that a configuration asks for, options checked.

    Parameters
    ----------
    method
        ``sampled``, which needs weights, or the name of one type or alias, which then has them all.
    ic_type_weights
        A weight ≥ 0 for each label; they need not sum to 1. Their order does not matter.
    option_blocks
        Options of a label; ``type`` names the type of a label that is none itself.
    grid_sizes
        Grids that options must suit; none: not looked at.

    Raises
    ------
    MixtureError
        With every fault and its place.
    """
    blocks = {str(label): block for label, block in (option_blocks or {}).items()}
    faults: list[Fault] = []
    weights = _weights(method, ic_type_weights, faults)
    for label in blocks.keys() - weights.keys():
        near = near_miss(label, weights)
        hint = f" (did you mean {near!r}?)" if near else ""
        message = f"options for {label!r}, which is not in use{hint}; in use: {', '.join(sorted(weights))}"
        faults.append(((label,), message))
    place = ("ic_type_weights",) if method == SAMPLED else ("method",)
    parsed = {
        label: _type_and_options(label, blocks.get(label, {}), grid_sizes, place, faults)
        for label in sorted(weights)
    }
    if faults:
        raise MixtureError(faults)
    largest = max(weights.values())
    total = math.fsum(weight / largest for weight in weights.values())
    return Mixture(
        tuple(
            Component(label, *parsed[label], weight=weights[label] / largest / total)
            for label in sorted(weights)
        )
    )


def _weights(method: Any, given: Mapping[str, Any] | None, faults: list[Fault]) -> dict[str, float]:
    """Return the weights by label and note what is wrong with them."""
    place = ("ic_type_weights",)
    if method != SAMPLED:
        if given is not None:
            faults.append(
                (place, f"method {method!r} is one type: leave the weights out, or use method: sampled")
            )
        return {str(method): 1.0}
    if not given:
        faults.append((place, "method sampled needs at least one weight, as {localized: 1.0}"))
        return {}
    weights: dict[str, float] = {}
    for label, value in given.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        allowed = number and math.isfinite(value) and value >= 0
        weights[str(label)] = float(value) if allowed else math.nan
        if not allowed:
            faults.append(
                ((*place, str(label)), f"weight {value!r} is not allowed: write a finite number ≥ 0")
            )
    if not any(weights.values()):
        faults.append((place, "all weights are 0: at least one must be greater"))
    return weights


def _type_and_options(
    label: str, block: Any, grid_sizes: tuple[int, ...], place: tuple[str, ...], faults: list[Fault]
) -> tuple[str, dict[str, Any]]:
    """Return the type of a label and its checked options, and note what is wrong with them."""
    if not isinstance(block, Mapping):
        faults.append(((label,), f"{block!r} is not a block of options, as {{length_scale: 0.1}}"))
        return label, {}
    options = dict(block)
    try:
        type_name, preset = _resolved_label(label, options.pop("type", None))
    except UnknownNameError as error:
        if "type" in block:
            faults.append(((label, "type"), str(error)))
        elif place == ("method",):
            faults.append((place, str(unknown_name("method", label, [SAMPLED, *labels_allowed()]))))
        else:
            faults.append(((*place, label), str(error)))
        return label, {}
    if label in registry and type_name != label:
        faults.append(((label, "type"), f"{label} is a type itself and cannot stand for {type_name}"))
    entry = registry[type_name]
    checked: dict[str, Any] = {}
    found: list[Fault] = []
    for size in grid_sizes or (None,):
        checked, wrong = entry.examine(with_preset(entry, preset, options), size)
        found += [fault for fault in wrong if fault not in found]
    faults += [((label, *path), message) for path, message in found]
    return type_name, checked


def _resolved_label(label: str, base: Any) -> tuple[str, dict[str, Any]]:
    """Return the type and preset of a label; one with a ``type`` keeps its preset if that is its own type."""
    if base is None:
        return resolve_name(label)
    type_name, preset = resolve_name(base)
    try:
        own_type, own_preset = resolve_name(label)
    except UnknownNameError:
        return type_name, preset
    return type_name, preset | own_preset if own_type == type_name else preset


def labels_allowed() -> list[str]:
    """Return every type and alias that may be the method or have a weight, without the numbered variants."""
    return sorted({*registry, *ALIASES})
