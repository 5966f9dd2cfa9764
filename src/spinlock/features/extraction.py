"""Extraction: every realization by itself, its features from shared intermediates, then the summaries."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32
from torch import Tensor

from spinlock.counting import counted
from spinlock.errors import UsageError
from spinlock.features.catalogue import Feature, registry
from spinlock.features.channel_view import ChannelView
from spinlock.features.field_view import FieldView
from spinlock.features.probe_view import Map, ProbeView
from spinlock.features.table import Columns, FeatureTable, SampleFeatures, averaged, summarized
from spinlock.features.trajectory_view import TrajectoryView
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.registry import unknown_name

Spread = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]

LARGEST = 1e8
"""Frames count as finite up to this absolute value."""

SMALLEST = 4
"""Pixels of a field at least."""

ALL = "all"


@cache
def columns() -> Columns:
    """Return the columns of all features."""
    return Columns.of_registry()


def categories() -> list[str]:
    """Return the categories of features in the order of their indices."""
    entries = sorted(registry.entries(), key=lambda entry: entry.index)
    return list(dict.fromkeys(entry.category for entry in entries))


def extract(
    trajectories: Tensor | np.ndarray,
    operators: Sequence[Map] | None = None,
    *,
    categories: str | Collection[str] = ALL,
    seed: int = 0,
    indices: Sequence[int] | None = None,
) -> FeatureTable:
    """Return the features of N samples.

    Parameters
    ----------
    trajectories
        The frames of M realizations of each sample [N, M, T, C, H, W], float32 or float64, on the native
        grid; frame 0 is the initial condition. Frames from a realization's first value that is not finite, or
        beyond 1e8, on are not used.
    operators
        For each sample, what maps states [B, C, H, W] to the next ones, each by itself and without
        randomness; without operators their features are NaN. They are probed around frame 0 of realization 0.
    categories
        Names of categories, or ``all``; the columns of other features are NaN.
    seed, indices
        What the random directions of the probes depend on; index 0 for every sample unless given.

    Returns
    -------
    FeatureTable
        A row depends on its sample alone. Every realization is worked on by one thread, as many at once as
        `torch.get_num_threads` says; that changes no bit.

    Raises
    ------
    UsageError
        For an array of another shape or dtype, or an unknown category.
    """
    frames = _checked_frames(trajectories)
    count, realizations, steps = frames.shape[:3]
    numbers = [0] * count if indices is None else list(indices)
    _require_one_each(count, operators=operators, indices=numbers)
    chosen = chosen_categories(categories)
    threads = max(1, min(torch.get_num_threads(), count * realizations))
    with ThreadPoolExecutor(threads) as pool:
        side_by_side: tuple[Spread, Spread] = (map, pool.map)
        across, within = side_by_side if realizations >= threads else side_by_side[::-1]

        def row(n: int) -> SampleFeatures:
            operator = None if operators is None else operators[n]
            return extract_sample(frames[n], operator, seed, numbers[n], categories=chosen, spread=within)

        return _stacked(list(across(row, range(count))), (realizations, steps))


def _require_one_each(count: int, **given: Sequence[Any] | None) -> None:
    for what, things in given.items():
        if things is not None and len(things) != count:
            raise UsageError(f"{len(things)} {what} given for {counted(count, 'sample')}")


def _checked_frames(trajectories: Tensor | np.ndarray) -> Tensor:
    frames = torch.as_tensor(trajectories)
    if frames.ndim != 6 or 0 in frames.shape[1:]:
        raise UsageError(f"trajectories must be [N, M, T, C, H, W], not {list(frames.shape)}")
    if frames.shape[-1] * frames.shape[-2] < SMALLEST:
        raise UsageError(f"fields of {frames.shape[-2]} × {frames.shape[-1]} pixels have no spectrum")
    if frames.dtype not in (torch.float32, torch.float64):
        raise UsageError(f"trajectories must be float32 or float64, not {frames.dtype}")
    return frames


def chosen_categories(names: str | Collection[str]) -> tuple[str, ...]:
    """Return the categories named, in order; ``all`` names every one. Raises `UnknownNameError`."""
    known = categories()
    wanted = [names] if isinstance(names, str) else list(names)
    if not wanted:
        raise UsageError(f"no category is named: take some of {', '.join(known)}, or {ALL}")
    for name in wanted:
        if name != ALL and name not in known:
            raise unknown_name("category of features", name, [*known, ALL])
    return tuple(name for name in known if name in wanted or ALL in wanted)


def extract_sample(
    frames: Float[Tensor, "m t c h w"],
    operator: Map | None,
    seed: int = 0,
    index: int = 0,
    *,
    categories: Collection[str] | None = None,
    spread: Spread = map,
) -> SampleFeatures:
    """Return the features of one sample from its frames [M, T, C, H, W]; arguments as in `extract`.

    ``spread`` maps a function over the realizations, perhaps several at once.
    """
    start = time.perf_counter()
    frames = frames.contiguous()  # sums depend on the order of memory
    chosen = None if categories is None else frozenset(categories)
    finite = finite_frames(frames)

    def of_realization(m: int) -> tuple[np.ndarray, np.ndarray]:
        with pinned_arithmetic(), torch.inference_mode():
            return realization_features(frames[m, : finite[m]], frames.shape[1], chosen)

    rows = list(spread(of_realization, range(len(frames))))
    with pinned_arithmetic(), torch.inference_mode():
        probed = operator_features(operator, frames[0, 0], seed, index, chosen)
        trajectories = np.stack([row[1] for row in rows])
        summary = summarized(trajectories).ravel()
        averages = averaged([row[0] for row in rows]).astype(np.float32)
        aggregated = np.concatenate([summary, probed]).astype(np.float32)
        trajectories = trajectories.astype(np.float32)
    return SampleFeatures(
        averages,
        trajectories,
        aggregated,
        finite,
        (np.arange(frames.shape[1])[:, None] < finite).sum(axis=1).astype(np.uint16),
        time.perf_counter() - start,
    )


def finite_frames(frames: Float[Tensor, "m t c h w"]) -> Int32[np.ndarray, "m"]:
    """Return how many leading frames of each realization are finite and within 1e8 in every channel."""
    largest = frames.abs().amax(dim=(2, 3, 4))
    return (largest <= LARGEST).int().cumprod(dim=1).sum(dim=1).int().cpu().numpy()


def realization_features(
    frames: Float[Tensor, "t c h w"], length: int, chosen: Collection[str] | None = None
) -> tuple[Float64[np.ndarray, "length f"], Float64[np.ndarray, "g"]]:
    """Return the features of each frame, NaN beyond the frames given, and of the trajectory."""
    table = columns()
    steps, channels = frames.shape[:2]
    per_timestep = np.full((length, len(table.per_timestep)), np.nan)
    per_trajectory = np.full(len(table.per_trajectory), np.nan)
    if steps == 0:
        return per_timestep, per_trajectory

    def wanted(entry: Feature) -> bool:
        shown = chosen is None or entry.category in chosen
        return shown and steps >= entry.minimum_frames and channels >= entry.minimum_channels

    fields = FieldView(frames)
    views = {"field": fields, "frame": ChannelView(fields), "trajectory": TrajectoryView(frames, fields)}

    def evaluated(entries: Sequence[Feature], axes: int) -> tuple[list[int], np.ndarray]:
        """Return the places of the features that apply and their values, averaged over channels."""
        places = [place for place, entry in enumerate(entries) if wanted(entry)]
        values = [over_channels(entries[place](views[entries[place].level]), axes) for place in places]
        return places, torch.stack(values, dim=-1).cpu().numpy() if values else np.empty((0, 0))

    for target, entries, axes in (
        (per_timestep[:steps], table.per_timestep, 1),
        (per_trajectory, table.per_trajectory, 0),
    ):
        places, values = evaluated(entries, axes)
        if places:
            target[..., places] = values
    return per_timestep, per_trajectory


def over_channels(values: Tensor, axes: int) -> Float64[Tensor, "..."]:
    """Return the mean over channels, the axis after the first ``axes`` where there is one, in float64."""
    return values.double().mean(dim=-1) if values.ndim > axes else values.double()


def operator_features(
    operator: Map | None,
    x: Float[Tensor, "c h w"],
    seed: int,
    index: int,
    chosen: Collection[str] | None = None,
) -> Float64[np.ndarray, "o"]:
    """Return the features of an operator probed around x; NaN without one."""
    entries = columns().operator
    values = np.full(len(entries), np.nan)
    places = [k for k, entry in enumerate(entries) if chosen is None or entry.category in chosen]
    if operator is not None and places:
        view = ProbeView(operator, x, seed, index)
        values[places] = torch.stack([entries[k](view) for k in places]).cpu().numpy()
    return values


def _stacked(rows: Sequence[SampleFeatures], shape: tuple[int, int]) -> FeatureTable:
    names = columns().names
    widths = {table: len(listed) for table, listed in names.items()}
    realizations, frames = shape

    def stack(name: str, *empty: int, dtype: type = np.float32) -> np.ndarray:
        return np.stack([getattr(row, name) for row in rows]) if rows else np.empty((0, *empty), dtype)

    return FeatureTable(
        stack("per_timestep", frames, widths["per_timestep"]),
        stack("per_trajectory", realizations, widths["per_trajectory"]),
        stack("aggregated", widths["aggregated"]),
        stack("finite_steps", realizations, dtype=np.int32),
        stack("n_realizations", frames, dtype=np.uint16),
        {table: list(listed) for table, listed in names.items()},
    )
