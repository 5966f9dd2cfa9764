"""Generating initial conditions: sample i is the same alone, in a batch, in any order."""

import operator
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Literal, SupportsIndex, overload

import torch
from torch import Tensor

from spinlock.errors import UsageError
from spinlock.initial_conditions.aliases import resolve_name, with_preset
from spinlock.initial_conditions.catalogue import InitialCondition, registry
from spinlock.initial_conditions.evaluation import option_columns, static_values
from spinlock.initial_conditions.normalization import normalize
from spinlock.initial_conditions.options import resolve_options
from spinlock.keys import Key
from spinlock.numerics.devices import parse_device
from spinlock.numerics.grid import Grid
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.numerics.random import SampleKeys
from spinlock.shapes import Fields

CPU_ROWS, ACCELERATOR_ROWS = 1, 16
"""Rows of every call: results depend on the shape of the batch, so it never changes."""

Sample = tuple[int, Mapping[str, Any]]
"""Sample index, option values."""

Row = tuple[int, int, Mapping[str, Any]]
"""Sample index, number of the draw, option values."""


@overload
def generate(
    name: str,
    grid_size: int,
    num_channels: int = ...,
    indices: Iterable[SupportsIndex] = ...,
    seed: int = ...,
    device: str | torch.device = ...,
    return_options: Literal[False] = ...,
    **options: Any,
) -> Fields: ...
@overload
def generate(
    name: str,
    grid_size: int,
    num_channels: int = ...,
    indices: Iterable[SupportsIndex] = ...,
    seed: int = ...,
    device: str | torch.device = ...,
    *,
    return_options: Literal[True],
    **options: Any,
) -> tuple[Fields, list[dict[str, Any]]]: ...
def generate(
    name: str,
    grid_size: int,
    num_channels: int = 3,
    indices: Iterable[SupportsIndex] = range(8),
    seed: int = 0,
    device: str | torch.device = "cpu",
    return_options: bool = False,
    **options: Any,
) -> Fields | tuple[Fields, list[dict[str, Any]]]:
    """Return initial conditions of one type, float32 [B, C, H, W].

    Parameters
    ----------
    name
        A type of the catalogue, or an alias of one.
    grid_size
        Pixels a side, at least 16. Lengths scale with it.
    num_channels
        C; beyond the native channels of a type come those of a second independent draw, and so on.
    indices
        The samples wanted; sample i depends on the seed, the type, its options and i alone.
    seed
        Root seed.
    device
        Where to compute. Devices share the random numbers and agree to rounding.
    return_options
        Return also the option values of each sample, which make the same field again when given as options.
    **options
        Options of the type: ``X`` fixes a value, ``X_range: [low, high]`` draws it for each sample;
        ``normalize: none | rms | maxabs | minmax`` scales each sample by one factor for all channels.

    Raises
    ------
    UnknownNameError, OptionError, UsageError
        For a name, an option or a size that does not exist.
    """
    type_name, preset = resolve_name(name)
    entry = registry[type_name]
    if num_channels < 1:
        raise UsageError(f"num_channels {num_channels} is out of range: the least is 1")
    grid = Grid(grid_size, parse_device(device))
    wanted = [operator.index(index) for index in indices]
    checked = entry.check_options(with_preset(entry, preset, options), grid_size)
    values = [resolve_options(entry, checked, seed, index) for index in wanted]
    block = CPU_ROWS if grid.device.type == "cpu" else ACCELERATOR_ROWS
    samples = list(zip(wanted, values, strict=True))
    with pinned_arithmetic() if grid.device.type == "cpu" else nullcontext():
        fields = _normalized(sample_fields(entry, grid, num_channels, seed, samples, block), values)
    return (fields, values) if return_options else fields


def _normalized(fields: Tensor, values: list[dict[str, Any]]) -> Fields:
    """Scale each sample as asked and add what it took to its values."""
    scaled = fields.contiguous()
    for row, value in enumerate(values):
        if value["normalize"] != "none":
            scaled[row], taken = normalize(scaled[row], value)
            value.update(taken)
    return scaled


def sample_fields(
    entry: InitialCondition, grid: Grid, num_channels: int, seed: int, samples: Sequence[Sample], block: int
) -> Fields:
    """Return the fields of samples with given option values before normalizing, ``block`` rows to a call."""
    draws = -(-num_channels // entry.native)
    rows = [(index, draw, values) for index, values in samples for draw in range(draws)]
    drawn = evaluate(entry, grid, Key(seed, entry.name), rows, block)
    return drawn.reshape(len(samples), draws * entry.native, grid.size, grid.size)[:, :num_channels]


def evaluate(entry: InitialCondition, grid: Grid, key: Key, rows: Sequence[Row], block: int) -> Fields:
    """Return the native channels of each row, [R, native, H, W], in calls of ``block`` rows.

    Rows of a call share every option that is not a per-sample number; a call that is not full is filled up
    with its first row.
    """
    fields = torch.empty(
        len(rows), entry.native, grid.size, grid.size, dtype=torch.float32, device=grid.device
    )
    groups: dict[str, list[int]] = {}
    for number, (_, _, values) in enumerate(rows):
        groups.setdefault(static_values(entry, values), []).append(number)
    for numbers in groups.values():
        for start in range(0, len(numbers), block):
            filled = numbers[start : start + block]
            padded = [rows[number] for number in filled + filled[:1] * (block - len(filled))]
            fields[filled] = _call(entry, grid, key, padded)[: len(filled)]
    return fields


def _call(entry: InitialCondition, grid: Grid, key: Key, rows: Sequence[Row]) -> Fields:
    indices = torch.tensor([index for index, _, _ in rows], dtype=torch.int64, device=grid.device)
    draws = torch.tensor([draw for _, draw, _ in rows], dtype=torch.int64, device=grid.device)
    keys = SampleKeys.of(key, indices, entry.sites, draws)
    return entry.function(grid, keys, **option_columns(entry, [values for _, _, values in rows], grid.device))
