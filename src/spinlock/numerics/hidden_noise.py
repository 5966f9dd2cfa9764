"""Noise and dropout inside operators, for rows that a stack of operators draws itself."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from spinlock.numerics.noise import NoiseModel

KINDS = {"gaussian": 1, "laplace": 2}
"""Codes of the noise types that a stack can draw inside its operators; 0 is none."""


class Level(NamedTuple):
    """How strong noise and dropout are in a step: σ(t), the rate p, and 1/(1 − p), which keeps the mean."""

    amplitude: float
    rate: float
    factor: float

    @classmethod
    def of(cls, model: NoiseModel, step: int) -> "Level":
        """Return the level of a model at a step."""
        amplitude = model.amplitude(step) if model.noise_location == "hidden" else 0.0
        kept = torch.tensor(1.0) / torch.tensor(1.0 - model.dropout_rate)
        return cls(amplitude, model.dropout_rate, float(kept))


def kind_inside(model: NoiseModel) -> int | None:
    """Return the code of a model's noise inside the operator; None where a stack cannot draw it.

    Noise that is scaled by the state or correlated in space needs a whole field at a time.
    """
    if model.noise_scale == 0 or model.noise_location != "hidden":
        return 0
    return KINDS.get(model.noise_type) if model.spatial_correlation == 0 else None


@dataclass(frozen=True)
class HiddenNoise:
    """What the rows of a stack need to draw their noise behind every hidden block.

    Attributes
    ----------
    numbers
        Sample, realization and kind of each row, int64 [R, 3].
    levels
        The `Level` of each row, float32 [R, 3]; all zero where a row has none.
    key
        The two key words.
    step
        The step, from 0.
    """

    numbers: Int64[Tensor, "r 3"]
    levels: Float32[Tensor, "r 3"]
    key: tuple[int, int]
    step: int

    def of(self, rows: Int64[Tensor, "b"]) -> "HiddenNoise":
        """Return the noise of some rows."""
        return HiddenNoise(self.numbers[rows], self.levels[rows], self.key, self.step)
