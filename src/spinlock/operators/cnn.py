"""The family ``cnn``: a random circular convolutional network."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from spinlock.errors import UsageError
from spinlock.numerics.noise import unchanged
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.operators.activations import Activation, Signal
from spinlock.operators.block import HiddenBlock, channels_last, wrap
from spinlock.operators.catalogue import HiddenHook, WeightKeys, operator_family
from spinlock.operators.normalization import Normalization
from spinlock.registry import Integer, Real

ChannelSchedule = Literal["constant", "doubling"]
Block = Literal["conv", "residual"]
OutputActivation = Literal["linear", "tanh"]


def layer_widths(num_layers: int, base_channels: int, channel_schedule: str) -> list[int]:
    """Return the channels of each hidden block: constant, or doubling up to four times the base."""
    factor = [min(2**layer, 4) if channel_schedule == "doubling" else 1 for layer in range(num_layers)]
    return [base_channels * f for f in factor]


def cnn_flops(*, channels: int, size: int, num_layers: int, base_channels: int, channel_schedule: str,
              kernel_size: int, block: str, **_: object) -> int:  # fmt: skip
    """Return 2·(multiply-adds) of one application to one state [channels, size, size]."""
    total, before = 0, channels
    for width in layer_widths(num_layers, base_channels, channel_schedule):
        total += before * width * kernel_size**2
        total += before * width if block == "residual" and before != width else 0
        before = width
    return 2 * size * size * (total + before * channels)


def cnn_hidden_width(*, num_layers: int, base_channels: int, channel_schedule: str, **_: object) -> int:
    """Return the channels of the widest hidden block."""
    return max(layer_widths(num_layers, base_channels, channel_schedule))


class Cnn(nn.Module):
    """A stack of hidden blocks and a 1×1 read-out; use `build` or ``dataset.operator(i)`` to make one."""

    def __init__(
        self, blocks: Sequence[HiddenBlock], weight: Tensor, bias: Tensor, *, lockstep: bool, bounded: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.lockstep, self.bounded = lockstep, bounded

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Return O(x) without noise; with batch normalization the B states are the ensemble.

        Each state is computed as in a rollout: alone, and on a CPU on one torch thread. So row k of a batch
        has the bits of state k alone (batch normalization apart).
        """
        if x.ndim != 4:
            raise UsageError(f"states must be [B, C, H, W]: these are {list(x.shape)}")
        if len(x) == 0:
            return x.clone()
        with pinned_arithmetic() if x.device.type == "cpu" else nullcontext():
            states = [state.contiguous() for state in x.split(1)]
            outputs = self.ensemble(states, [unchanged] * len(x), [range(len(x))] * len(x))
            return torch.cat(outputs)

    def ensemble(
        self, states: Sequence[Tensor], hooks: Sequence[HiddenHook], peers: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Return O of each state [1,C,H,W], its hook called after every hidden block."""
        if self.lockstep:
            return self._together(states, hooks, peers)
        return [self._together([x], [hook], [[0]])[0] for x, hook in zip(states, hooks, strict=True)]

    def _together(
        self, states: Sequence[Tensor], hooks: Sequence[HiddenHook], peers: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Return O of states that go through each block side by side."""
        blocks = [block for block in self.blocks if isinstance(block, HiddenBlock)]
        margins = [*(block.margin for block in blocks), 0]
        wrapped = [wrap(x.to(self.weight.dtype), margins[0]) for x in states]
        acting = any(hook is not unchanged for hook in hooks)
        for layer, (block, margin) in enumerate(zip(blocks, margins[1:], strict=True)):
            wrapped = block(wrapped, peers, 0 if acting else margin)
            if acting:
                hidden = [hook(layer, channels_last(x)) for hook, x in zip(hooks, wrapped, strict=True)]
                wrapped = [wrap(x, margin) for x in hidden]
        return [self._read_out(h, x) for h, x in zip(wrapped, states, strict=True)]

    def _read_out(self, hidden: Tensor, x: Tensor) -> Tensor:
        """Return the 1×1 convolution as a product of matrices, on a CPU several times as fast."""
        pixels = channels_last(hidden)[0].flatten(1)
        y = torch.addmm(self.bias[:, None], self.weight.flatten(1), pixels)
        y = y.view(x.shape).to(x.dtype)
        return y.tanh() if self.bounded else y


@operator_family(
    source="He et al., ICCV 2015 (initialisation); Poole et al., NeurIPS 2016 (chaos in random networks)",
    sites=("weight", "bias", "shortcut", "read_out_weight", "read_out_bias"),
    flops=cnn_flops,
    hidden_width=cnn_hidden_width,
)
def cnn(
    channels: int,
    weights: WeightKeys,
    *,
    num_layers: Annotated[int, Integer(1, 64, suggested=(2, 6))] = 3,
    base_channels: Annotated[int, Integer(1, 1024, suggested=(16, 64))] = 32,
    channel_schedule: ChannelSchedule = "constant",
    kernel_size: Annotated[int, Integer(1, 15, unit="px", odd=True, suggested=(3, 7))] = 3,
    normalization: Normalization = "instance",
    activation: Activation = "gelu",
    block: Block = "conv",
    output_activation: OutputActivation = "linear",
    gain: Annotated[float, Real(0.01, 100.0, suggested=(0.7, 2.0))] = 1.0,
    bias_scale: Annotated[float, Real(0.0, 100.0, suggested=(0.0, 0.5))] = 0.1,
) -> nn.Module:
    """Random circular CNN: hidden blocks φ(norm(W ∗ x) + b) and a 1×1 read-out, on [B, channels, H, W].

    Weights are N(0, gain²/(fan_in·q)), where q is the mean square of what the layer sees when convolutions
    give mean square 1: 1 for the state, E[φ²] behind a block, for residual blocks as in `Signal.behind`. At
    gain 1, without normalization and biases, a state so keeps its mean square on the way. Biases are
    N(0, ``bias_scale``²) and stand behind the normalization, which would cancel them. A residual block is
    (x + φ(…))/√2; where the width changes, x passes a 1×1 shortcut N(0, 1/channels).

    Expect: without normalization and with a linear read-out, gain 0.7 dies, 1.0 lives, 1.4 and above mostly
    explodes; with ``tanh`` read-out, gain ≥ 1.4 is chaotic and never explodes; instance normalization makes
    autoregressive rollouts chaotic. ``gain``, ``normalization`` and ``output_activation`` reach the edge of
    chaos.
    """
    blocks, before, signal = [], channels, Signal()
    residual = block == "residual"
    for layer, width in enumerate(layer_widths(num_layers, base_channels, channel_schedule)):
        scale = gain / math.sqrt(before * kernel_size**2 * signal.square)
        weight = weights.normal("weight", layer, width, before, kernel_size, kernel_size) * scale
        bias = weights.normal("bias", layer, width) * bias_scale
        shortcut = None
        if residual and before != width:
            shortcut = weights.normal("shortcut", layer, width, before, 1, 1) / math.sqrt(before)
        blocks.append(
            HiddenBlock(
                weight, bias, shortcut, residual=residual, normalization=normalization, activation=activation
            )
        )
        signal = signal.behind(activation, residual=residual, mixed=shortcut is not None)
        before = width
    scale = gain / math.sqrt(before * signal.square)
    read_out = weights.normal("read_out_weight", 0, channels, before, 1, 1) * scale
    offset = weights.normal("read_out_bias", 0, channels) * bias_scale
    return Cnn(
        blocks, read_out, offset, lockstep=normalization == "batch", bounded=output_activation == "tanh"
    )
