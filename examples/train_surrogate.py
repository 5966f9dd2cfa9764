#!/usr/bin/env python3
"""Train a small network on rollouts that are made while it trains, and test it on operators it has not seen.

    python examples/train_surrogate.py [--steps 300] [--seed 0]

It predicts a frame from the two before it. The error is the rms distance from the truth as a share of the
step between the frames, so that predicting no change has error 1; adding half of the last change once more is
the other thing to beat, which takes some hundred steps. More of it: docs/notebooks/surrogate.md.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from spinlock.config import load_config
from spinlock.dataset import VirtualDataset
from spinlock.torch import SpinlockDataset, SpinlockIterable

CONFIG = Path(__file__).parents[1] / "configs" / "experiments" / "test_100.yaml"
CHANGES = {
    "parameter_space.architecture.num_layers": {"type": "choice", "choices": [1]},
    "parameter_space.architecture.base_channels": {"type": "choice", "choices": [8]},
    "parameter_space.architecture.output_activation": {"type": "choice", "choices": ["tanh"]},
    "parameter_space.stochastic.noise_scale": {"type": "continuous", "bounds": [0.001, 0.01]},
    "parameter_space.operator.grid_size": {"type": "choice", "choices": [32]},
    "parameter_space.rollout": {"update_policy": {"type": "choice", "choices": ["convex"]}},
    "simulation.num_realizations": 1,
    "simulation.num_timesteps": 8,
    "simulation.num_channels": 1,
    "dataset.storage.trajectories": "all",
}
BATCH, TESTED = 8, 16


def rms(fields: torch.Tensor) -> torch.Tensor:
    """Return the root mean square of each field, [B, 1, 1, 1]."""
    return fields.square().mean((1, 2, 3), keepdim=True).sqrt()


class Surrogate(nn.Module):
    """A network from two frames [B, 2, H, W] to the next one [B, 1, H, W]; at first it predicts no change."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        last = nn.Conv2d(width, 1, 1, bias=False)
        nn.init.zeros_(last.weight)
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 5, padding=2, padding_mode="circular"),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode="circular"),
            nn.GELU(),
            last,
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the next frames."""
        last, change = frames[:, 1:], frames[:, 1:] - frames[:, :1]
        size = rms(change) + 1e-6
        return last + size * self.layers(torch.cat([last / (rms(last) + 1e-6), change / size], dim=1))


def windows(trajectories: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two frames and the one after them of trajectories [N, M, F, 1, H, W]."""
    frames = trajectories[:, :, :, 0].flatten(0, 1).unfold(1, 3, 1).movedim(-1, 2).flatten(0, 1)
    return frames[:, :2], frames[:, 2:]


def error(predicted: torch.Tensor, wanted: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Return the mean error as a share of the step."""
    return (rms(predicted - wanted) / rms(wanted - seen[:, 1:])).mean()


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)

    config = load_config(CONFIG, [("example", key, value) for key, value in CHANGES.items()])
    trained = options.steps * BATCH
    rows = VirtualDataset(config, length=trained + TESTED)  # row i has an operator of its own
    train = SpinlockDataset(rows, rows=np.arange(trained), arrays=("trajectories",))
    test = SpinlockDataset(rows, rows=np.arange(trained, trained + TESTED), arrays=("trajectories",))
    seen, wanted = windows(torch.stack([test[k]["trajectories"] for k in range(TESTED)]))

    surrogate = Surrogate()
    optimizer = torch.optim.Adam(surrogate.parameters(), lr=5e-3)
    batches = SpinlockIterable(train, batch_size=BATCH, seed=options.seed)
    for batch in DataLoader(batches, batch_size=None):
        x, y = windows(batch["trajectories"])
        loss = error(surrogate(x), y, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        print(f"test error of no change: {error(seen[:, 1:], wanted, seen):.3f}")
        halfway = seen[:, 1:] + 0.5 * (seen[:, 1:] - seen[:, :1])
        print(f"test error of half the last change again: {error(halfway, wanted, seen):.3f}")
        print(f"test error after {options.steps} steps: {error(surrogate(seen), wanted, seen):.3f}")


if __name__ == "__main__":
    main()
