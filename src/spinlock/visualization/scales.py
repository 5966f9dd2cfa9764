"""Colour scales of a clip: bounds over all of its frames, of all operators, of one, or of one cell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spinlock.visualization.cells import Cells, Column
from spinlock.visualization.colour import (
    DEFAULT_COLORMAP,
    QUANTILES,
    ROUNDING,
    colour_bounds,
    heatmap_bounds,
    lookup_table,
    principal_axes,
)
from spinlock.visualization.paint import Affine, Blend, Paint

ColourMode = Literal["global", "per-operator", "per-cell"]
COLOUR_MODES: tuple[ColourMode, ...] = get_args(ColourMode)

Normalization = Literal["none", "minmax", "zscore"]
NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)

NORMALIZED_BOUNDS = {"minmax": (0.0, 1.0), "zscore": (-3.0, 3.0)}
"""What normalized fields are shown between, unless bounds are given."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ColourStyle:
    """How values become colours.

    Attributes
    ----------
    mode
        Who shares a scale. Fields: all operators, each operator's row, or no one. Heatmaps: each column under
        ``global``, else no one. Components: no one, for they have unit norm and so no common unit.
    normalization
        Of the fields of each operator, by channel, over the clip: none, to [0, 1], or to mean 0 and standard
        deviation 1.
    low, high
        Given ends of the fields' scale, after normalization; None for the default.
    colormap
        Of fields with one channel. Heatmaps have their own.
    """

    mode: ColourMode = "per-cell"
    normalization: Normalization = "none"
    low: float | None = None
    high: float | None = None
    colormap: str = DEFAULT_COLORMAP


@dataclass(frozen=True)
class _Cell:
    """One cell's place, and the normalization of its row."""

    row: int
    place: int
    cells: Cells
    column: Column
    shift: Values
    factor: Values

    def values(self) -> Values:
        return self.cells.samples(self.column).astype(np.float64)

    def normalized(self) -> Values:
        return (self.values() - self.shift[:, None]) * self.factor[:, None]


def fit_colours(rows: Sequence[Cells], style: ColourStyle) -> list[list[Paint]]:
    """Return the paint of every cell, by row and column."""
    cells = [
        _Cell(number, place, row, column, shift, factor)
        for number, row in enumerate(rows)
        for shift, factor in [_normalization(row, style.normalization)]
        for place, column in enumerate(row.columns)
    ]
    paints: dict[tuple[int, int], Paint] = {}
    for group in _groups(cells, style.mode):
        fitted = _fit(group, style)
        paints |= {(cell.row, cell.place): paint for cell, paint in zip(group, fitted, strict=True)}
    return [[paints[number, place] for place in range(len(row.columns))] for number, row in enumerate(rows)]


def _groups(cells: Iterable[_Cell], mode: ColourMode) -> Iterable[list[_Cell]]:
    """Return the cells that share a scale, group by group."""
    groups: dict[tuple[object, ...], list[_Cell]] = {}
    for cell in cells:
        kind = cell.column.kind
        if mode == "global" and kind != "components":
            key: tuple[object, ...] = (kind if kind == "field" else cell.place,)
        elif mode == "per-operator" and kind in ("field", "overlay"):
            key = cell.row, kind
        else:
            key = cell.row, cell.place
        groups.setdefault(key, []).append(cell)
    return groups.values()


def _fit(group: Sequence[_Cell], style: ColourStyle) -> Iterable[Paint]:
    kind = group[0].column.kind
    if kind == "field":
        return _fit_fields(group, style)
    values = np.concatenate([cell.values() for cell in group], axis=1)
    if kind == "overlay":
        paint: Paint = _fit_overlay(values, style)
    elif kind == "components":
        paint = _fit_components(values)
    else:
        aggregate = group[0].column.aggregate
        assert aggregate is not None
        paint = _fit_heatmap(values, aggregate.colormap)
    return [paint] * len(group)


def _normalization(row: Cells, normalization: Normalization) -> tuple[Values, Values]:
    """Return shift and factor of every channel of an operator's fields."""
    known = row.statistics
    shift, spread = np.zeros_like(known.low), np.ones_like(known.low)
    if normalization == "minmax":
        shift, spread = known.low, known.high - known.low
    elif normalization == "zscore":
        shift, spread = known.mean, known.deviation
    return shift, np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)


def _fit_fields(group: Sequence[_Cell], style: ColourStyle) -> Iterable[Paint]:
    values = np.concatenate([cell.normalized() for cell in group], axis=1)
    channels = len(values)
    centre, axes = np.zeros(channels), np.eye(channels)
    default = NORMALIZED_BOUNDS.get(style.normalization)
    components = channels not in (1, 3)
    if components:
        centre, axes = principal_axes(values) if values.size else (centre, np.zeros((3, channels)))
        values, default = axes @ (values - centre[:, None]), None
    low, high = bounds = _given_or(default or colour_bounds(values), style)
    table = lookup_table(style.colormap) if channels == 1 else None
    factor = 1.0 / (high - low) if high > low else 0.0
    middle = 0.5 * (low + high)
    centre = centre if components else centre + middle
    offset = np.full(len(axes), 0.5 - middle * factor if components else 0.5)
    # u = (axes·((x − shift)·f − centre))·factor + offset, with everything subtracted from x first
    for cell in group:
        safe = np.where(cell.factor > 0, cell.factor, 1.0)
        yield Affine(factor * axes * cell.factor, cell.shift + centre / safe, offset, bounds, table)


def _given_or(bounds: tuple[float, float], style: ColourStyle) -> tuple[float, float]:
    """Return the bounds with the given ends in place of theirs; one that lies beyond the other moves it."""
    width = bounds[1] - bounds[0] or 1.0
    low = bounds[0] if style.low is None else style.low
    high = bounds[1] if style.high is None else style.high
    if style.high is None and style.low is not None and not low < high:
        return low, low + width
    if style.low is None and style.high is not None and not low < high:
        return high - width, high
    return low, high


def _fit_overlay(values: Values, style: ColourStyle) -> Blend:
    luminance, deviation = values[0], values[4]
    bounds = colour_bounds(luminance)
    if style.normalization == "none":
        bounds = _given_or(bounds, style)
    size = float(np.abs(luminance).max(initial=0.0))
    largest = float(np.quantile(deviation, QUANTILES[1])) if deviation.size else 0.0
    return Blend(bounds, largest if largest > ROUNDING * size else 0.0)


def _fit_components(values: Values) -> Affine:
    """Return red, green and blue by three signed components, one half where they are zero."""
    largest = float(np.quantile(np.abs(values), QUANTILES[1])) if values.size else 0.0
    return Affine(np.eye(3) * (0.5 / largest if largest else 0.0), np.zeros(3), np.full(3, 0.5))


def _fit_heatmap(values: Values, colormap: str) -> Affine:
    """Return a colormap between the values' bounds."""
    low, high = heatmap_bounds(values)
    factor = 1.0 / (high - low) if high > low else 0.0
    return Affine(np.array([[factor]]), np.array([low]), np.zeros(1), (low, high), lookup_table(colormap))
