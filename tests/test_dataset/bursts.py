"""An operator family that is tame but where a table says otherwise, and datasets made with it.

The table names places, (sample, realization, step from 1 on), and the value that one pixel of the output
takes there. It is no part of the configuration: a dataset with bursts and one without have the same plan.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch
from torch import nn

import tiny
from spinlock.numerics.noise import NoiseStream, unchanged
from spinlock.operators import families
from spinlock.operators.catalogue import operator_family
from spinlock.registry import Real

Place = tuple[int, int, int]

SAMPLES, REALIZATIONS, STEPS, CHANNELS = 4, 3, 20, 2

TABLE: dict[Place, float] = {}
"""What happens where, besides the tame rule."""

APPLIED: Counter[tuple[int, int]] = Counter()
"""How often (sample, realization) was advanced; the twin counts with realization 0."""


@dataclass(frozen=True)
class Told:
    """A hook that changes nothing, and says for which realization and step it is."""

    stream: NoiseStream
    step: int

    def __call__(self, layer: int, x: torch.Tensor) -> torch.Tensor:
        return x


def _telling(stream: NoiseStream, step: int) -> Callable[[int, torch.Tensor], torch.Tensor]:
    return Told(stream, step) if stream._num_timesteps > 1 else unchanged  # a probe takes one step


class Tame(nn.Module):
    """y = tanh(1.5·x rolled by one pixel); in lockstep, half of it is the mean of the peers' states."""

    def __init__(self, weight: torch.Tensor, *, lockstep: bool) -> None:
        super().__init__()
        self.lockstep = lockstep
        self.register_buffer("weight", weight)

    def ensemble(self, states, hooks, peers):
        outputs = []
        for x, hook, positions in zip(states, hooks, peers, strict=True):
            seen = x
            if self.lockstep:
                total = states[positions[0]].clone()
                for k in positions[1:]:
                    total = total + states[k]
                seen = 0.5 * x + 0.5 * total / len(positions)
            outputs.append(self._burst(torch.tanh(1.5 * seen.roll(1, dims=-1)), hook))
        return outputs

    @staticmethod
    def _burst(y: torch.Tensor, hook: Any) -> torch.Tensor:
        if not isinstance(hook, Told):
            return y  # a probe of the features
        place = (hook.stream._sample, hook.stream._realization, hook.step + 1)
        APPLIED[place[:2]] += 1
        if place in TABLE:
            y = y.clone()
            y[0, 0, 3, 5] = TABLE[place]
        return y


@contextmanager
def registered() -> Iterator[None]:
    """Have the families ``tame`` and ``tame_together`` for a while."""

    def tame(channels: int, weights: Any, *, gain: Annotated[float, Real(0.1, 2.0)] = 1.0) -> nn.Module:
        """Tame unless the table says otherwise."""
        return Tame(gain * weights.normal("weight", 0, channels), lockstep=False)

    def tame_together(
        channels: int, weights: Any, *, gain: Annotated[float, Real(0.1, 2.0)] = 1.0
    ) -> nn.Module:
        """The same in lockstep."""
        return Tame(gain * weights.normal("weight", 0, channels), lockstep=True)

    families.load()
    for function in (tame, tame_together):
        operator_family(
            source="a test", sites=("weight",), flops=lambda **_: 100, hidden_width=lambda **_: CHANNELS
        )(function)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NoiseStream, "inside", _telling)
            yield
    finally:
        families.remove("tame")
        families.remove("tame_together")


CONFIG: dict[str, Any] = tiny.changed(
    tiny.PLAIN,
    {
        "parameter_space": {
            "architecture": {"gain": {"type": "continuous", "bounds": [0.5, 1.5]}},
            "operator": {
                "family": {"type": "choice", "choices": ["tame"]},
                "grid_size": {"type": "choice", "choices": [16]},
            },
            "stochastic": {"noise_scale": {"type": "choice", "choices": [0.05]}},
        },
        "sampling.total_samples": SAMPLES,
        "simulation.num_realizations": REALIZATIONS,
        "simulation.num_timesteps": STEPS,
        "simulation.num_channels": CHANNELS,
        "features.during_generation": True,
        "dataset.storage.trajectories": "all",
    },
)


@contextmanager
def bursting(table: Mapping[Place, float]) -> Iterator[None]:
    """Have those bursts happen, and count applications from 0."""
    TABLE.clear()
    APPLIED.clear()
    TABLE.update(table)
    try:
        yield
    finally:
        TABLE.clear()


def made(output: Path, table: Mapping[Place, float], changes: Mapping[str, Any] | None = None) -> Path:
    """Make the dataset with those bursts."""
    with bursting(table):
        return tiny.generate(output, CONFIG, changes)


def together(place: tuple[int, int], value: float) -> dict[Place, float]:
    """The table of a burst in every realization of a sample: ``place`` is (sample, step)."""
    sample, step = place
    return {(sample, realization, step): value for realization in range(REALIZATIONS)}
