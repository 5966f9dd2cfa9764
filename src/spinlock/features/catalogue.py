"""The declaration of a feature: a decorated function, from which columns and reference are derived."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from spinlock.registry import Entry, Registry, summary_of

SDF_VERSION = "2.0.0"
"""Version of the summary descriptor features; it changes with any definition."""

Category = Literal[
    "spatial",
    "spectral",
    "temporal",
    "operator_sensitivity",
    "cross_channel",
    "causality",
    "invariant_drift",
]
Level = Literal["field", "frame", "trajectory", "operator"]
"""What one number belongs to: a channel of a frame; a frame; a trajectory or a channel of it; an operator."""

Transform = Literal["none", "ln", "log10", "asinh"]

Value = TypeVar("Value", int, str)

registry: "Registry[Feature]" = Registry("feature", "spinlock.features")
"""Every feature, by name."""


@dataclass(frozen=True, kw_only=True)
class Feature(Entry):
    """One feature: a number with a name, a place in the table, and a definition.

    Attributes
    ----------
    index
        Its place in the order of all features.
    category, level
        The group it is listed with, and what one of its numbers belongs to.
    variant
        The arguments that its function takes beside the view.
    definition
        The whole docstring of its function: equation, conventions, known answers, source.
    minimum_frames, minimum_channels
        With fewer of them it is NaN.
    bounds, unit
        Where its values lie, and in what unit; ``u`` is the unit of the fields.
    transform
        A scale on which its distribution is easier to handle.
    redundant_with
        Features that determine it.
    """

    index: int
    category: Category
    level: Level
    variant: Mapping[str, Any] = field(default_factory=dict)
    definition: str = ""
    minimum_frames: int = 1
    minimum_channels: int = 1
    bounds: str = "ℝ"
    unit: str = "1"
    transform: Transform = "none"
    redundant_with: tuple[str, ...] = ()

    def __call__(self, view: Any) -> Any:
        """Return the feature of a view: one number for each thing of its level that the view holds."""
        return self.function(view, **self.variant)


def feature(
    name: str,
    index: int | Callable[..., int],
    *,
    category: Category,
    level: Level,
    variants: Sequence[Mapping[str, Any]] = ({},),
    minimum_frames: int | Callable[..., int] = 1,
    minimum_channels: int = 1,
    bounds: str = "ℝ",
    unit: str | Callable[..., str] = "1",
    transform: Transform = "none",
    redundant_with: tuple[str, ...] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function ``(view, **variant) -> Tensor`` as one feature, or as one for each of its variants.

    Arguments are those of `Feature`. With variants, ``name`` and ``redundant_with`` are format strings of
    their arguments, such as ``gain_scale_{scale:.2f}``; ``index``, ``minimum_frames`` and ``unit`` may be
    functions of them.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        definition = inspect.cleandoc(function.__doc__ or "")
        for variant in variants:
            entry = Feature(
                name.format(**variant),
                function,
                {},
                summary_of(function),
                index=_of(index, variant),
                category=category,
                level=level,
                variant=dict(variant),
                definition=definition,
                minimum_frames=_of(minimum_frames, variant),
                minimum_channels=minimum_channels,
                bounds=bounds,
                unit=_of(unit, variant),
                transform=transform,
                redundant_with=tuple(other.format(**variant) for other in redundant_with),
            )
            registry.add(entry)
        return function

    return register


def _of(given: Value | Callable[..., Value], variant: Mapping[str, Any]) -> Value:
    return given(**variant) if callable(given) else given


def features_of(*levels: Level) -> list[Feature]:
    """Return the features of some levels in the order of their index."""
    chosen = [entry for entry in registry.entries() if entry.level in levels]
    return sorted(chosen, key=lambda entry: entry.index)
