#!/usr/bin/env python3
"""Print what extraction costs beside the same features one by one, and beside a rollout's convolutions.

    python benchmarks/features.py [--grid-size 64] [--frames 65] [--realizations 5] [--repeats 5]

All times are medians of one run. The baseline recomputes what features share; its numbers are compared with
those of `spinlock.features.extract` first. The convolutions are those of a rollout of the same length and
ensemble with 4 layers of 32 channels, on all cores, one realization to a call.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from plain_features import CROSS_CHANNEL, SPATIAL, SPECTRAL
from plain_trajectories import CAUSALITY, DRIFT, TEMPORAL

from spinlock.features import extract
from spinlock.features.extraction import columns
from spinlock.keys import Key, Purpose
from spinlock.numerics.random import normals_from_words, random_words

PER_TIMESTEP = SPATIAL | SPECTRAL | CROSS_CHANNEL
PER_TRAJECTORY = TEMPORAL | CAUSALITY | DRIFT
LAYERS, WIDTH = 4, 32


def rollouts(realizations: int, frames: int, channels: int, size: int) -> torch.Tensor:
    """Return trajectories [M, T, C, H, W] of a moving, noisy field."""
    shape = (realizations, frames, channels, size, size)
    count = int(np.prod(shape))
    noise = normals_from_words(random_words(Key(1), Purpose.CHOICE, count, samples=0), count).reshape(shape)
    states = noise.clone()
    for step in range(1, frames):
        states[:, step] = 0.9 * states[:, step - 1].roll(1, -1) + 0.3 * noise[:, step]
    return states


def plain(trajectories: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of frames [T, 56] and of trajectories [M, 87], each computed by itself."""
    with torch.inference_mode():
        per_timestep = [
            torch.stack([_channel_mean(f(u), 1) for f in PER_TIMESTEP.values()], dim=-1) for u in trajectories
        ]
        per_trajectory = [
            torch.stack([_channel_mean(f(u), 0) for f in PER_TRAJECTORY.values()]) for u in trajectories
        ]
    return torch.stack(per_timestep).mean(0).numpy(), torch.stack(per_trajectory).numpy()


def _channel_mean(values: torch.Tensor, axes: int) -> torch.Tensor:
    return values.double().mean(-1) if values.ndim > axes else values.double()


def compared(trajectories: torch.Tensor) -> dict[str, float]:
    """Return the features whose plain number differs by more than 1 %, with the difference."""
    table, (per_timestep, per_trajectory) = extract(trajectories[None]), plain(trajectories)
    places = columns().names
    found = {}
    for name, mine, theirs, order in (
        ("per_timestep", table.per_timestep[0], per_timestep, list(PER_TIMESTEP)),
        ("per_trajectory", table.per_trajectory[0], per_trajectory, list(PER_TRAJECTORY)),
    ):
        assert sorted(order) == sorted(places[name])
        for place, feature in enumerate(order):
            own = mine[:, places[name].index(feature)].astype(np.float64)
            found[feature] = _difference(own, theirs[:, place])
    return {feature: difference for feature, difference in found.items() if not difference < 0.01}


def _difference(own: np.ndarray, plain: np.ndarray) -> float:
    """Return the largest difference as a share of the largest number; NaN where only one of both is."""
    if np.isnan(own).all() and np.isnan(plain).all():
        return 0.0
    return float(np.abs(own - plain).max()) / max(float(np.abs(own).max()), 1e-3)


def convolutions(realizations: int, steps: int, channels: int, size: int) -> Callable[[], None]:
    """Return a call that does a rollout's convolutions: 3×3, without a bias, in the channels-last layout."""
    widths = [channels, *[WIDTH] * (LAYERS - 1), channels]
    layers = [torch.nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths)]
    for layer in layers:
        layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    start = torch.zeros(1, channels, size, size).contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(realizations):
                state = start
                for _ in range(steps):
                    for layer in layers:
                        state = layer(state)

    return run


def median(call: Callable[[], object], repeats: int) -> float:
    """Return the median duration of a call in seconds, after one that does not count."""
    call()
    durations = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def main() -> int:
    """Print the table; exit 1 if a ratio is not the one promised, or numbers differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--grid-size", type=int, default=64)
    parser.add_argument("--frames", type=int, default=65)
    parser.add_argument("--realizations", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    size, frames, realizations = options.grid_size, options.frames, options.realizations
    trajectories = rollouts(realizations, frames, 3, size)
    print(f"{platform.machine()}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"T = {frames}, {size}², M = {realizations}, C = 3\n")
    differing = compared(trajectories)
    if differing:
        print(f"plain numbers that differ: {differing}\n")
    own = median(lambda: extract(trajectories[None]), options.repeats)
    baseline = median(lambda: plain(trajectories), max(2, options.repeats // 2))
    floor = median(convolutions(realizations, frames - 1, 3, size), options.repeats)
    print("| what | seconds | ratio to extract |\n|---|---|---|")
    print(f"| extract, 143 features of frames and trajectories | {own:.3f} | 1 |")
    print(f"| the same features one by one | {baseline:.3f} | {baseline / own:.1f} |")
    print(f"| convolutions of the rollout, {LAYERS} layers of {WIDTH} | {floor:.3f} | {floor / own:.2f} |")
    return 0 if not differing and baseline >= 5 * own and floor > own else 1


if __name__ == "__main__":
    sys.exit(main())
