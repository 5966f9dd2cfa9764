"""Small datasets with keyed contents, for the storage tests."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (lets plain h5py decode)
import numpy as np

from spinlock.keys import Key, Purpose, uniforms
from spinlock.storage.feature_layout import (
    AGGREGATED,
    FINITE_STEPS,
    NUM_REALIZATIONS,
    PER_TIMESTEP,
    PER_TRAJECTORY,
    FeatureFacts,
    FeatureLayout,
)
from spinlock.storage.rows import EncodedRow, Row, encode_row
from spinlock.storage.schema import STRING_TABLES, Layout, Parameter
from spinlock.storage.shards import ShardFile, write_shard

PLAN = "ab" * 32
PARAMETERS = (
    Parameter("activation", "string", 9),
    Parameter("gain", "real"),
    Parameter("num_layers", "integer"),
    Parameter("residual", "boolean"),
)
SCHEMA_TEXT = '[{"name": "mean", "range": "ℝ"}, {"name": "gain", "range": "≥0"}]'
ACTIVATIONS = ("relu", "größer", "tanh")


def layout_of(**changes) -> Layout:
    lengths = tuple((name, 40) for name in STRING_TABLES)
    return replace(Layout(4, 2, 3, (16,), (), PARAMETERS, lengths), **changes)


@cache
def numbers(index: int, *shape: int, part: str = "values") -> np.ndarray:
    """Rough, keyed float32 values of mixed sign and magnitude."""
    count = int(np.prod(shape))
    u = uniforms(Key(7, part), Purpose.PROBE, [index], count)[0]
    values = (np.cumsum(u - 0.5) * 10.0 ** (4 * u - 2)).astype(np.float32).reshape(shape)
    values.flags.writeable = False
    return values


def grid_of(layout: Layout, index: int) -> int:
    return layout.grids[index % len(layout.grids)]


def table_of(layout: Layout, index: int) -> dict:
    M = layout.realizations
    table = {
        "metadata/ic_types": "gaussian_random_field",
        "metadata/ic_labels": "grf",
        "metadata/ic_options": f'{{"Länge":{index}}}',
        "metadata/rollout_policies": "residual",
        "metadata/grid_sizes": grid_of(layout, index),
        "metadata/noise_regimes": "medium",
        "metadata/dynamics": "chaotic",
        "metadata/lyapunov": 0.1 + index,
        "metadata/finite_steps": np.arange(M) + index,
        "metadata/operator_digests": f"{index:064x}",
        "parameters/params": uniforms(Key(7, "params"), Purpose.PROBE, [index], len(layout.parameters))[0],
        "parameters/values/activation": ACTIVATIONS[index % 3],
        "parameters/values/gain": 0.7 + index / 3,
        "parameters/values/num_layers": 2 + index,
        "parameters/values/residual": index % 2 == 1,
    }
    if layout.precision == "float16":
        table["metadata/overflow_steps"] = np.zeros(M, int)
    if layout.features is not None:
        table |= feature_entries_of(layout, index)
    return table


def row_of(layout: Layout, index: int) -> Row:
    M, C, F, g = layout.realizations, layout.channels, len(layout.timesteps), grid_of(layout, index)
    outputs = numbers(index, M, C, g, g, part="outputs").copy()
    outputs[M - 1, 0, :2] = np.nan
    trajectories = numbers(index, M, F, C, g, g, part="trajectories") if F else None
    return Row(numbers(index, C, g, g, part="inputs"), outputs, trajectories, table_of(layout, index))


def encoded(layout: Layout, lo: int, hi: int) -> list[EncodedRow]:
    return [encode_row(layout, row_of(layout, index)) for index in range(lo, hi)]


def shard_of(path: Path, layout: Layout, lo: int, hi: int, **facts) -> ShardFile:
    return write_shard(path, layout, lo, hi, encoded(layout, lo, hi), {"plan_digest": PLAN, **facts})


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def plain_contents(path: Path, *, attributes: bool = True) -> dict[str, object]:
    """Everything that plain h5py shows of a file, as comparable values."""
    contents: dict[str, object] = {}
    with h5py.File(path, "r") as file:

        def visit(name: str, item) -> None:
            if isinstance(item, h5py.Dataset):
                contents[name] = (item.dtype.str, item.shape, item.chunks, item[()].tobytes())
            for key, value in item.attrs.items() if attributes else ():
                contents[f"{name}@{key}"] = _comparable(file, value)

        visit("", file)
        file.visititems(visit)
    return contents


def _comparable(file: h5py.File, value):
    if isinstance(value, h5py.Reference):
        return file[value].name
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return [_comparable(file, item) for item in value]
    if isinstance(value, np.void | tuple):
        return [_comparable(file, item) for item in value]
    return np.asarray(value).tobytes()


def feature_layout_of(**changes) -> FeatureLayout:
    """Five features: two of frames, two of trajectories, one of the operator."""
    names = ("energy_slope", "period")
    summaries = tuple((f"{name}_{word}", 2 + k) for k, name in enumerate(names) for word in ("mean", "std"))
    return replace(
        FeatureLayout(
            frames=3,
            version="2.0.0",
            per_timestep=(("mean", 0), ("std", 1)),
            per_trajectory=tuple((name, 2 + k) for k, name in enumerate(names)),
            aggregated=(*summaries, ("gain", 70)),
            registry_hash="cd" * 32,
            schema_bytes=len(SCHEMA_TEXT.encode()),
        ),
        **changes,
    )


def feature_facts_of(samples: int, **changes) -> FeatureFacts:
    seconds = 0.5 + np.arange(samples) / 7
    return replace(
        FeatureFacts(SCHEMA_TEXT, {"length_unit": "px"}, {"extraction_timestamp": "now"}, seconds), **changes
    )


def feature_entries_of(layout: Layout, index: int) -> dict[str, np.ndarray]:
    features, M = layout.features, layout.realizations
    assert features is not None
    T = features.frames
    return {
        PER_TIMESTEP: numbers(index, T, len(features.per_timestep), part="per_timestep"),
        NUM_REALIZATIONS: np.full(T, M, np.uint16),
        PER_TRAJECTORY: numbers(index, M, len(features.per_trajectory), part="per_trajectory"),
        FINITE_STEPS: np.full(M, T, np.int32),
        AGGREGATED: numbers(index, len(features.aggregated), part="aggregated"),
    }
