"""Activations and the weight variance that preserves the signal through each."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Activation = Literal["relu", "leaky_relu", "gelu", "silu", "elu", "tanh", "sin"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "leaky_relu": functional.leaky_relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "elu": functional.elu,
    "tanh": torch.tanh,
    "sin": torch.sin,
}

assert set(ACTIVATIONS) == set(get_args(Activation))


@cache
def moment(activation: str, order: int) -> float:
    """Return E[φ(z)ⁿ] for z ~ N(0, 1) and n = ``order``, by the trapezoidal rule in float64.

    E[φ²] is 1/2 for ReLU: weights of variance 1/(fan_in·E[φ²]) are those of He et al. (ICCV 2015, eq. 10).
    """
    z = np.linspace(-12.0, 12.0, 240_001)
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    value = ACTIVATIONS[activation](torch.from_numpy(z)).numpy()
    return float(np.trapezoid(value**order * density, z))


@dataclass(frozen=True)
class Signal:
    """Mean and mean square, over a wide layer's channels, of what the next layer sees.

    They hold when every pre-activation has mean square 1, which weights of variance ``1 / (fan_in · square)``
    then give to the next layer too. The state a network starts from counts as ``Signal()``.
    """

    mean: float = 0.0
    square: float = 1.0

    def behind(self, activation: str, *, residual: bool, mixed: bool) -> "Signal":
        """Return the signal behind a block φ(z), or behind the residual block (x + φ(z))/√2.

        The first has mean E[φ] and mean square E[φ²]. The second has mean (μ + E[φ])/√2 and mean square
        (q + 2μE[φ] + E[φ²])/2: z mixes all channels at random, so that a channel of φ(z) is independent of
        the same channel of x. Where a random shortcut mixes x too (``mixed``), μ is 0.
        """
        first, second = moment(activation, 1), moment(activation, 2)
        if not residual:
            return Signal(first, second)
        mean = 0.0 if mixed else self.mean
        return Signal((mean + first) * math.sqrt(0.5), 0.5 * (self.square + 2.0 * mean * first + second))
