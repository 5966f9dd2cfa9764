"""A dataset of synthetic rows, written through the storage layer: large files without rollouts."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spinlock.config.model import Config
from spinlock.dataset.provenance import file_attributes
from spinlock.dataset.quality import measure
from spinlock.dataset.rows import drawn_facts
from spinlock.execution.environment import numerical_environment, software_versions
from spinlock.execution.plan import Plan, make_plan
from spinlock.storage import EncodedRow, Row, encode_row, finalize, write_shard
from spinlock.storage.receipts import Receipt

SHAPES = 32
"""Smooth fields that rows are mixed from."""

NOISE = 0.05
"""Deviation of the white noise on them: the last bits of a float are as random as those of a rollout."""


def write_dataset(config: Config, path: Path) -> int:
    """Write the dataset of a configuration with synthetic fields at a path; return its size in bytes."""
    plan = make_plan(config)
    parts = path.with_name("parts")
    parts.mkdir()
    shards = []
    for shard in range(plan.num_shards):
        low, high = plan.shard_range(shard)
        rows = _encoded(plan, low, high)
        shards.append(
            write_shard(parts / f"{shard}.h5", plan.layout, low, high, rows, {"plan_digest": plan.digest})
        )
    receipts = [
        Receipt(
            number, one.lo, one.hi, plan.digest, one.size, one.sha256, one.digest,
            versions=software_versions(), environment=numerical_environment(torch.device("cpu")),
        )
        for number, one in enumerate(shards)
    ]  # fmt: skip
    size = finalize(path, plan.layout, shards, file_attributes(plan, measure(plan), receipts, "none", 0)).size
    for shard in shards:
        shard.path.unlink()
    parts.rmdir()
    return size


def _encoded(plan: Plan, low: int, high: int) -> Iterator[EncodedRow]:
    draws = plan.draws(low, high)
    with ThreadPoolExecutor(2) as pool:
        while block := list(islice(draws, 8)):
            yield from pool.map(lambda draw: encode_row(plan.layout, _row(plan, draw)), block)


def _row(plan: Plan, draw: Any) -> Row:
    """Return smooth fields with noise, as a sample of that draw might be."""
    simulation = plan.config.simulation
    size, members, channels = draw.grid_size, simulation.num_realizations, simulation.num_channels
    random = np.random.default_rng([plan.seed % 2**32, draw.index])
    shapes = _smooth(size)

    def fields(*lead: int) -> NDArray[np.float32]:
        chosen = shapes[random.integers(0, SHAPES, lead)]
        noise = random.standard_normal(chosen.shape, np.float32)
        return (chosen + NOISE * noise).astype(np.float32)

    frames = len(plan.timesteps)
    table = {f"metadata/{name}": value for name, value in drawn_facts(draw).items()}
    table |= {f"parameters/values/{name}": draw.values[name] for name in plan.space.names}
    table |= {
        "metadata/ic_options": "{}",
        "metadata/dynamics": "active",
        "metadata/lyapunov": 0.0,
        "metadata/finite_steps": np.full(members, simulation.num_timesteps + 1),
        "metadata/operator_digests": f"{draw.index:064x}",
        "parameters/params": draw.point,
    }
    trajectories = fields(members, frames, channels) if frames else None
    return Row(fields(channels), fields(members, channels), trajectories, table)


_made: dict[int, NDArray[np.float32]] = {}


def _smooth(size: int) -> NDArray[np.float32]:
    """Return `SHAPES` fields of unit variance whose spectrum falls off as those of turbulence."""
    if size not in _made:
        random = np.random.default_rng(size)
        k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)) * size
        spectrum = np.fft.rfft2(random.standard_normal((SHAPES, size, size))) * (1 + k) ** -2.0
        fields = np.fft.irfft2(spectrum, s=(size, size))
        _made[size] = (fields / fields.std((-2, -1), keepdims=True)).astype(np.float32)
    return _made[size]
