"""Fields to colours: one affine map to [0, 1], clamped, then RGB or a colormap."""

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import UsageError
from spinlock.registry import near_miss

QUANTILES = (0.01, 0.99)
"""Without given bounds these quantiles become 0 and 1; what lies beyond is clamped."""

NARROW = 1e-6
"""Quantiles that are closer than this share of the range show nothing."""

ROUNDING = 1e-6
"""What varies by less than this share of its size is constant: the rest is the rounding of float32."""

DEFAULT_COLORMAP = "viridis"


def unit_scale(field: NDArray[np.floating], bounds: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Return a field mapped to [0, 1] by one affine map for all its channels, and clamped.

    Parameters
    ----------
    field
        Values of any shape; those that are not finite become 0.
    bounds
        The values that become 0 and 1; those of `colour_bounds` if not given. A constant field becomes 1/2.
    """
    values = np.asarray(field, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros_like(values)
    low, high = colour_bounds(values) if bounds is None or not bounds[0] < bounds[1] else bounds
    if low == high:
        return np.where(finite, 0.5, 0.0)
    return np.nan_to_num(np.clip((values - low) / (high - low), 0.0, 1.0), nan=0.0)


def colour_bounds(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the values that become 0 and 1: the 1 % and 99 % quantiles of those that are finite.

    Where these are all but equal (a field that is constant but for a few pixels) its extremes; (0, 0) where
    nothing is finite.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    least, most = float(finite.min()), float(finite.max())
    low, high = np.quantile(finite, QUANTILES).tolist()
    return (least, most) if high - low <= NARROW * (most - least) else (low, high)


def heatmap_bounds(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the ends of a heatmap's scale, as `colour_bounds`; of a constant one 0 and the constant."""
    low, high = colour_bounds(values)
    if high - low <= ROUNDING * max(abs(low), abs(high)):
        return min(low, 0.0), max(high, 0.0)
    return low, high


def to_bytes(unit: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return values of [0, 1] as bytes, rounded; values outside are clamped first, so none wraps around."""
    return np.rint(np.clip(unit, 0.0, 1.0) * 255.0).astype(np.uint8)


def lookup_table(colormap: str) -> NDArray[np.uint8]:
    """Return a colormap as RGB bytes [256, 3].

    Raises
    ------
    UsageError
        If matplotlib has no colormap of that name; the near miss is named.
    """
    from matplotlib import colormaps

    if colormap not in colormaps:
        near = near_miss(colormap, list(colormaps))
        hint = f" (did you mean {near!r}?)" if near else ""
        raise UsageError(
            f"unknown colormap {colormap!r}{hint}; matplotlib's names are known, such as viridis"
        )
    return to_bytes(colormaps[colormap].resampled(256)(np.arange(256))[:, :3])


def colour_channel(
    field: NDArray[np.floating], colormap: str = DEFAULT_COLORMAP, bounds: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Return one channel [H, W] through a colormap, RGB bytes [H, W, 3]."""
    return lookup_table(colormap)[to_bytes(unit_scale(field, bounds))]


def colour_field(
    field: NDArray[np.floating], colormap: str = DEFAULT_COLORMAP, bounds: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Return a field [C, H, W] as RGB bytes [H, W, 3].

    One channel goes through the colormap; three are red, green and blue under one affine map; of any other
    number the first three principal components over the pixels are.
    """
    if field.shape[0] == 1:
        return colour_channel(field[0], colormap, bounds)
    shown = field if field.shape[0] == 3 else principal_components(field)
    return to_bytes(unit_scale(shown, bounds)).transpose(1, 2, 0)


def principal_components(field: NDArray[np.floating], count: int = 3) -> NDArray[np.float64]:
    """Return the first principal components of the channels over the pixels, [count, H, W].

    Components that do not exist are zero.
    """
    channels = field.reshape(field.shape[0], -1).astype(np.float64)
    centre, axes = principal_axes(channels, count)
    return (axes @ (channels - centre[:, None])).reshape(count, *field.shape[1:])


def principal_axes(
    channels: NDArray[np.floating], count: int = 3
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean [C] and the first principal axes [count, C] of pixels [C, n].

    Each axis' sign makes its largest channel weight positive; axes that do not exist are zero.
    """
    values = channels.astype(np.float64)
    centre = values.mean(axis=1)
    values -= centre[:, None]
    weights, _, _ = np.linalg.svd(values @ values.T, hermitian=True)
    weights *= np.sign(weights[np.abs(weights).argmax(axis=0), np.arange(weights.shape[1])])
    axes = np.zeros((count, len(values)))
    found = min(count, len(values))
    axes[:found] = weights[:, :found].T
    return centre, axes


def colour_strip(field: NDArray[np.floating], colormap: str = DEFAULT_COLORMAP) -> NDArray[np.uint8]:
    """Return the channels of a field [C, H, W] side by side, each through the colormap, [H, C·W, 3]."""
    return np.concatenate([colour_channel(channel, colormap) for channel in field], axis=1)
