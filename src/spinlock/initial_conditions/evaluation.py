"""Calling a type: option values become columns, channels beyond the native ones become further draws."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from spinlock.initial_conditions.catalogue import InitialCondition, registry
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.shapes import Fields


def option_columns(
    entry: InitialCondition, values: Sequence[Mapping[str, Any]], device: torch.device
) -> dict[str, Any]:
    """Return the arguments of a type's function for a batch of samples, from the values of each.

    Numbers that may differ from sample to sample become columns [B]; all others must be equal over the batch.
    An option that the values leave out does not act and has its default.
    """
    arguments: dict[str, Any] = {}
    for name, option in entry.as_part.options.items():
        given = [value.get(name, option.default) for value in values]
        if option.kind == "part":
            arguments[name] = option_columns(registry[str(option.part)].as_part, given, device)
        elif option.per_sample and given[0] is not None:
            dtype = torch.int64 if option.kind == "integer" else torch.float32
            arguments[name] = torch.tensor(given, dtype=dtype, device=device)
        else:
            arguments[name] = _plain(given[0])
    return arguments


def _plain(value: Any) -> Any:
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value


def static_values(entry: InitialCondition, values: Mapping[str, Any]) -> str:
    """Return what two samples must share to be evaluated in one call: all but the per-sample numbers."""
    shared: dict[str, Any] = {}
    for name, option in entry.as_part.options.items():
        value = values.get(name, option.default)
        if option.kind == "part":
            value = static_values(registry[str(option.part)].as_part, value)
        elif option.per_sample and value is not None:
            value = "column"
        shared[name] = _plain(value)
    return repr(shared)


def evaluate_part(
    name: str, label: str, grid: Grid, keys: SampleKeys, options: Mapping[str, Any], num_channels: int
) -> Fields:
    """Return the fields of another type used inside this one under the option ``label``, [B, C, H, W].

    Channels beyond the native ones are those of further draws, as everywhere.
    """
    entry = registry[name].as_part
    draws = -(-num_channels // entry.native)
    rows = replace(
        keys.within(label, entry.sites),
        indices=keys.indices.repeat_interleave(draws),
        draws=(keys.draws[:, None] * draws + torch.arange(draws, device=keys.draws.device)).flatten(),
    )
    fields = entry.function(grid, rows, **_repeated(options, draws))
    return fields.reshape(len(keys), draws * entry.native, grid.size, grid.size)[:, :num_channels]


def _repeated(options: Mapping[str, Any], times: int) -> dict[str, Any]:
    repeated: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Tensor):
            repeated[name] = value.repeat_interleave(times)
        else:
            repeated[name] = _repeated(value, times) if isinstance(value, Mapping) else value
    return repeated
