#!/usr/bin/env python3
"""From a configuration to features: make a small dataset with its features, read them, and look at them.

    python examples/demos/feature_extraction_tutorial.py [--config FILE] [--samples 24] [--output FILE]

It makes a dataset of the edge of chaos, extracts the features of every rollout while it is made, and prints
which of them tell chaotic operators from the others best. The best of many columns separates any two groups
of a few rows somewhat; so the same is asked of shuffled labels, and what they reach is printed beside it.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.features.storage import HDF5FeatureReader

SHUFFLES = 1000
CONFIG = Path(__file__).parents[2] / "configs" / "experiments" / "edge_of_chaos.yaml"


def make(config: Path, output: Path, samples: int) -> None:
    """Make a dataset of ``samples`` rows on grids of 40², with features and without trajectories."""
    changes = {
        "dataset.output_path": str(output),
        "sampling.total_samples": samples,
        "simulation.num_realizations": 3,
        "simulation.num_timesteps": 32,
        "parameter_space.operator.grid_size": {"type": "choice", "choices": [40]},
        "features.during_generation": True,
    }
    loaded = load_config(config, [("tutorial", key, value) for key, value in changes.items()])
    DatasetGenerationPipeline(loaded).generate()


def separation(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return |difference of means|/√(mean of both variances) of each column, between two groups of rows."""
    inside, outside = values[chosen], values[~chosen]
    spread = np.sqrt((inside.var(axis=0) + outside.var(axis=0)) / 2.0)
    difference = np.abs(inside.mean(axis=0) - outside.mean(axis=0))
    return np.divide(difference, spread, out=np.zeros_like(difference), where=spread > 0)


def by_chance(values: np.ndarray, chosen: np.ndarray) -> float:
    """Return what the best column stays below for 95 % of shuffled labels, each with as many rows chosen."""
    random = np.random.default_rng(0)
    best = [separation(values, random.permutation(chosen)).max() for _ in range(SHUFFLES)]
    return float(np.quantile(best, 0.95))


def main() -> None:
    """Run the tutorial."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = options.output or Path(folder) / "tutorial.h5"
        make(options.config, output, options.samples)

        with open_dataset(output) as dataset:
            dynamics = dataset.metadata["dynamics"].astype(str)
        with HDF5FeatureReader(output) as reader:
            registry = reader.get_sdf_registry()
            per_timestep = reader.get_sdf_per_timestep()
            aggregated = reader.get_sdf_aggregated()
            columns, places = reader.columns["aggregated"], reader.columns["per_timestep"]

        print(f"{registry.num_features} features")
        print(f"per timestep {per_timestep.shape}, aggregated {aggregated.shape}")
        variance = per_timestep[..., places.index("spatial_variance")]
        first, last = np.nanmedian(variance[:, [0, -1]], axis=0)
        print(f"median variance {first:.3g} at frame 0, {last:.3g} at the last one")

        known = np.isfinite(aggregated).all(axis=0)
        values, names = np.arcsinh(aggregated[:, known]), np.array(columns)[known]
        chaotic = dynamics == "chaotic"
        print(f"{chaotic.sum()} of {len(chaotic)} operators are chaotic")
        if not 0 < chaotic.sum() < len(chaotic):
            print("one group is empty: there is nothing to separate")
            return
        scores, chance = separation(values, chaotic), by_chance(values, chaotic)
        for place in np.argsort(-scores)[:5]:
            print(f"{scores[place]:6.2f}  {names[place]}")
        print(f"{chance:6.2f}  the best of {len(names)} columns on shuffled labels (95 % stay below)")
        above = (scores > chance).sum()
        print(f"{above} columns separate better than chance" if above else "no column separates better")


if __name__ == "__main__":
    main()
