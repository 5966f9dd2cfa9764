"""The operator as the features probe it: one application, with one frozen draw of its noise."""

from collections.abc import Callable

import torch
from torch import Tensor

from spinlock.keys import Key
from spinlock.numerics.noise import NoiseModel, NoiseStream
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.operators import Operator

FrozenOperator = Callable[[Tensor], Tensor]


def frozen_operator(
    operator: Operator, noise: NoiseModel, *, seed: int, sample: int, size: int, device: torch.device
) -> FrozenOperator:
    """Return x ↦ η(O(ν(x))) on states [B, C, size, size], without the update policy.

    ν, η and the hidden noise and dropout are those of realization 0 in step 0: the same draw for every
    state, so that differences of outputs are due to the states alone. Each state is evaluated alone, on one
    torch thread; with batch normalization it is an ensemble of its own, so no statistic crosses states.
    """
    stream = NoiseStream(noise, Key(seed), sample, 0, size, device, 1)

    def evaluate(x: Tensor) -> Tensor:
        (output,) = operator.ensemble([stream.state(x, 0)], [stream.inside(0)], [[0]])
        return stream.output(output, 0)

    def apply(states: Tensor) -> Tensor:
        with pinned_arithmetic(), torch.inference_mode():
            return torch.cat([evaluate(state) for state in states.split(1)])

    return apply
