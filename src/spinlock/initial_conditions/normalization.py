"""Scaling a sample by one factor for all its channels, so that their ratios stay."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float32
from torch import Tensor

from spinlock.errors import SpinlockError


def normalize(
    fields: Float32[Tensor, "c h w"], values: Mapping[str, Any]
) -> tuple[Float32[Tensor, "c h w"], dict[str, float]]:
    """Return one sample scaled as its option ``normalize`` asks, and the factor and offset it took.

    x' = factor·x with factor 1/rms(x) or 1/max|x|; for minmax x' = factor·(x − offset), from 0 to 1, with
    factor 1/(max x − min x) and offset min x, over all channels. A factor that is given is used as it is.
    Raises `SpinlockError` where all values are equal, so that no factor exists.
    """
    mode = values["normalize"]
    if mode == "none":
        return fields, {}
    exact = fields.double()
    taken = {name: values[name] for name in ("normalize_factor", "normalize_offset") if name in values}
    if not taken:
        taken = _measured(exact, mode)
    scaled = (exact - taken.get("normalize_offset", 0.0)) * taken["normalize_factor"]
    return scaled.float(), taken


def _measured(exact: Tensor, mode: str) -> dict[str, float]:
    low, high = float(exact.min()), float(exact.max())
    sizes = {"rms": float(exact.square().mean().sqrt()), "maxabs": max(-low, high), "minmax": high - low}
    if not sizes[mode] > 0:
        raise SpinlockError(
            f"a field that is {low:g} everywhere cannot be normalized by {mode}; use normalize: none"
        )
    factor = {"normalize_factor": 1.0 / sizes[mode]}
    return factor | {"normalize_offset": low} if mode == "minmax" else factor
