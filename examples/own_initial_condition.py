#!/usr/bin/env python3
"""Add an initial condition of one's own, check it, and make a dataset that starts from it.

    python examples/own_initial_condition.py [--samples 6]

A part is registered when its module is imported. This script computes in its own process; worker processes
and clusters find parts by an entry point in the group `spinlock.initial_conditions` (see CONTRIBUTING.md).
"""

import argparse
import math
import tempfile
from pathlib import Path
from typing import Annotated

import torch

from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.initial_conditions import generate, initial_condition, registry
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real
from spinlock.shapes import Fields, PerSample
from spinlock.testing.contracts import CONTRACTS


@initial_condition(
    domain="general",
    tier="baseline",
    source="this example",
    sites=("phase",),
    native=1,
    cost="closed",
)
def checkerboard(
    grid: Grid,
    keys: SampleKeys,
    *,
    cells: Annotated[PerSample, Integer(1, 8)] = 4,
    sharpness: Annotated[PerSample, Real(0.1, 20.0, log=True)] = 4.0,
) -> Fields:
    """Uneven checkerboard tanh(s·(sin(2πnx + φ)·sin(2πny + ψ) + sin(2πx + φ')·sin(2πy + ψ')/2)).

    n is ``cells``, s is ``sharpness``. What to expect: ``cells`` periods a side with random phases, which a
    slow wave makes broader here and narrower there; values between −1 and 1.
    """
    phase = 2.0 * math.pi * keys.uniform("phase", 4)[..., None]
    turns = 2.0 * math.pi * grid.axis / grid.size
    board = torch.sin(column(cells, 2) * turns + phase[:, :2])  # [B, 2, size]
    slow = torch.sin(turns + phase[:, 2:])
    sum_of_both = board[:, 0, :, None] * board[:, 1, None] + slow[:, 0, :, None] * slow[:, 1, None] / 2
    return torch.tanh(column(sharpness) * sum_of_both[:, None])


def configuration(output: Path, samples: int) -> dict:
    """Return a configuration whose rollouts all start from the checkerboard, of 2 to 5 cells."""
    return {
        "version": "1.0",
        "parameter_space": {
            "architecture": {
                "gain": {"type": "continuous", "bounds": [0.7, 1.6], "log_scale": True},
                "base_channels": {"type": "choice", "choices": [8]},
            },
            "stochastic": {"noise_scale": {"type": "continuous", "bounds": [0.001, 0.1], "log_scale": True}},
            "operator": {"grid_size": {"type": "choice", "choices": [32]}},
        },
        "sampling": {"total_samples": samples},
        "simulation": {
            "num_realizations": 2,
            "num_timesteps": 16,
            "parallelism": {"strategy": "inline"},
            "input_generation": {"method": "checkerboard", "checkerboard": {"cells_range": [2, 5]}},
        },
        "dataset": {"output_path": output},
    }


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=6)
    options = parser.parse_args()

    fields = generate("checkerboard", grid_size=32, num_channels=1, indices=range(8), cells=3)
    print(f"fields {tuple(fields.shape)}, values from {fields.min():.2f} to {fields.max():.2f}")
    for contract in CONTRACTS:  # each raises AssertionError where it is broken
        contract(registry["checkerboard"])
        print(f"kept: {(contract.__doc__ or '').splitlines()[0]}")

    with tempfile.TemporaryDirectory() as folder:
        config = load_config(configuration(Path(folder) / "own.h5", options.samples))
        DatasetGenerationPipeline(config).generate()
        with open_dataset(config.dataset.output_path) as dataset:
            for row in dataset:
                print(f"row {row.index}: {row.metadata['ic_types']} {row.metadata['ic_options']}")


if __name__ == "__main__":
    main()
