#!/usr/bin/env python3
"""Sweep the gain of random operators through the edge of chaos and draw what becomes of each.

    python examples/sweep_edge_of_chaos.py [--samples 48] [--steps 24] [--output FILE]

Nothing but the picture is written, to datasets/edge.png unless --output says otherwise.
"""

import argparse
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

import numpy as np
from matplotlib import pyplot as plt

from spinlock.config import load_config
from spinlock.dataset import VirtualDataset


def space(steps: int) -> dict:
    """Return a configuration in which only the gain is sampled."""
    return {
        "version": "1.0",
        "parameter_space": {
            "architecture": {
                "gain": {"type": "continuous", "bounds": [0.5, 3.0], "log_scale": True},
                "base_channels": {"type": "choice", "choices": [8]},
                "num_layers": {"type": "choice", "choices": [1]},
                "normalization": {"type": "choice", "choices": ["none"]},
                "output_activation": {"type": "choice", "choices": ["tanh"]},
            },
            "operator": {"grid_size": {"type": "choice", "choices": [24]}},
        },
        "sampling": {"total_samples": 1},
        "simulation": {
            "num_realizations": 1,
            "num_timesteps": steps,
            "num_channels": 1,
            "input_generation": {"method": "gaussian_random_field"},
        },
        "dataset": {"output_path": "never_written.h5"},
    }


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=48)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--output", type=Path, default=Path("datasets/edge.png"))
    options = parser.parse_args()

    rows = VirtualDataset(load_config(space(options.steps)), length=options.samples)
    found = [(row.parameters["gain"], row.metadata["lyapunov"], row.metadata["dynamics"]) for row in rows]
    gains, exponents, labels = map(np.array, zip(*found, strict=True))

    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for label in np.unique(labels):
        axis.scatter(gains[labels == label], exponents[labels == label], s=20, label=str(label))
        print(f"{np.sum(labels == label):4} {label}")
    axis.axhline(0.0, color="0.6", linewidth=0.8)
    axis.set(xscale="log", xlabel="gain", ylabel="Lyapunov exponent per step")
    axis.legend()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.output, dpi=120, metadata={"Software": None})
    plt.close(figure)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
