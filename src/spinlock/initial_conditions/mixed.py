"""A Gaussian random field blended with structures, or one or the other."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import initial_condition, registry
from spinlock.initial_conditions.evaluation import evaluate_part
from spinlock.initial_conditions.gaussian_random_field import kernel_spectrum
from spinlock.initial_conditions.laws import spectrum, unit_spread
from spinlock.numerics.columns import column, spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Part, Real
from spinlock.shapes import Fields, PerSample

NATIVE = 3
DEFAULTS: Mapping[str, Any] = MappingProxyType({})
SCALED_AWAY = (("grf", "gaussian_random_field", "variance"), ("structured", "structured", "amplitude"))


def check_parts(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse what scaling to variance 1 would undo, and whatever the parts themselves refuse."""
    for label, part, name in SCALED_AWAY:
        given, default = values[label], registry[part].options[name].default
        if given.get(name, default) != default or f"{name}_range" in given:
            raise OptionError(
                f"{label}.{name} has no effect: both parts are scaled to variance 1; leave it out"
            )
        registry[part].as_part.check_options(given, grid_size)


@initial_condition(
    domain="general",
    tier="baseline",
    source="blend of gaussian_random_field and structured",
    sites=("choice",),
    native=NATIVE,
    cost="fft",
    drawn={"weight": (0.2, 0.8)},
    laws=(
        unit_spread(weight=1.0),
        unit_spread(weight=0.0),
        spectrum(lambda grid: kernel_spectrum(grid, "rbf", 0.02), weight=1.0, grf={"length_scale": 0.02}),
    ),
    check=check_parts,
)
def mixed(
    grid: Grid,
    keys: SampleKeys,
    *,
    weight: Annotated[PerSample, Real(0.0, 1.0)] = 0.5,
    grf: Annotated[Mapping[str, Any], Part("gaussian_random_field")] = DEFAULTS,
    structured: Annotated[Mapping[str, Any], Part("structured")] = DEFAULTS,
    mode: Literal["blend", "select"] = "blend",
) -> Fields:
    """Gaussian random field g blended with structures s, f = √w·g + √(1−w)·s.

    g is a `gaussian_random_field` with the options ``grf`` and s is `structured` with the options
    ``structured``, each channel scaled to variance 1 over its pixels, so that f and g correlate by √w in the
    mean. ``weight`` w is drawn from [0.2, 0.8] for each sample by default. In ``mode`` select a sample is g
    with probability w, and else s.

    What to expect: shapes that show through clouds, the clearer the smaller w.
    """
    clouds = evaluate_part("gaussian_random_field", "grf", grid, keys, grf, NATIVE)
    shapes = evaluate_part("structured", "structured", grid, keys, structured, NATIVE)
    share = column(weight)
    if mode == "select":
        once = replace(keys, draws=torch.zeros_like(keys.draws))
        share = (column(once.uniform("choice")) < share).float()
    clouds, shapes = (part / spread(part)[..., None, None].float() for part in (clouds, shapes))
    return share.sqrt() * clouds + (1.0 - share).sqrt() * shapes
