"""One hidden block, φ(norm(W ∗ x) + b), on one state or on an ensemble in lockstep.

On a CPU everything behind the convolution is one compiled pass (`spinlock.operators.fused`), with channels
last; elsewhere, and for gradients, it is made of torch's operations.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from spinlock.operators import fused
from spinlock.operators.activations import ACTIVATIONS, Activation
from spinlock.operators.normalization import (
    EPSILON,
    Normalization,
    batch_affine,
    batch_normalize,
    groups,
    normalize,
)

FUSED = (torch.float32, torch.bfloat16)
"""Number formats that the compiled pass takes; it computes in float32."""

State = Float[Tensor, "1 c h w"]
Hidden = Float[Tensor, "1 k h w"]


def wrap(x: State, margin: int) -> Float[Tensor, "1 c h2 w2"]:
    """Return a field continued periodically by ``margin`` pixels on all sides."""
    return functional.pad(x, (margin,) * 4, mode="circular") if margin else x


class HiddenBlock(nn.Module):
    """One hidden block, around it a shortcut where it is residual; its convolution has channels last."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        shortcut: Tensor | None,
        *,
        residual: bool,
        normalization: Normalization,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.shortcut = None if shortcut is None else nn.Parameter(shortcut)
        self.residual = residual
        self.normalization: Normalization = normalization
        self.activation: Activation = activation
        self.margin = weight.shape[-1] // 2

    def convolve(self, padded: Float[Tensor, "1 c h2 w2"]) -> Hidden:
        """Return the circular convolution W ∗ x of a wrapped x."""
        if padded.device.type != "cpu":
            return functional.conv2d(padded, self.weight)
        return _channels_last(functional.conv2d(_channels_last(padded), self.weight))

    def finish(
        self,
        seen: Sequence[State],
        convolved: Sequence[Hidden],
        peers: Sequence[Sequence[int]],
        margin: int,
    ) -> list[tuple[Tensor, Hidden]]:
        """Return each state's output, wrapped by ``margin`` and as it is, from what the block saw and W ∗ x.

        With batch normalization state k is normalized by the statistics of the positions ``peers[k]``.
        """
        first = convolved[0]
        if first.device.type != "cpu" or first.dtype not in FUSED:
            outputs = self._composed(convolved, peers)
        elif torch.is_grad_enabled() and any(z.requires_grad for z in (*convolved, self.bias)):
            exact = self._fused([z.detach() for z in convolved], peers, 0)
            outputs = list(map(_with_gradient, exact, self._composed(convolved, peers)))
        elif self.residual:
            outputs = self._fused(convolved, peers, 0)
        else:
            return [(y, _inside(y, margin)) for y in self._fused(convolved, peers, margin)]
        if self.residual:
            outputs = [(self._carried(x) + y) * math.sqrt(0.5) for x, y in zip(seen, outputs, strict=True)]
        return [(wrap(y, margin), y) for y in outputs]

    def _carried(self, x: State) -> Hidden:
        return x if self.shortcut is None else functional.conv2d(x, self.shortcut)

    def _composed(self, convolved: Sequence[Hidden], peers: Sequence[Sequence[int]]) -> list[Tensor]:
        """Return φ(norm(z) + b) by torch's operations."""
        if self.normalization == "batch":
            convolved = batch_normalize(convolved, peers)
        elif self.normalization != "none":
            convolved = [normalize(z, self.normalization) for z in convolved]
        return [ACTIVATIONS[self.activation](z + self.bias[:, None, None]) for z in convolved]

    def _fused(
        self, convolved: Sequence[Hidden], peers: Sequence[Sequence[int]], margin: int
    ) -> list[Tensor]:
        """Return φ(norm(z) + b), wrapped by ``margin``, by the compiled pass."""
        pixels = list(map(_pixels, convolved))
        bias = self.bias.detach().float().numpy()
        if self.normalization == "batch":
            affine = batch_affine(pixels, peers)
            finished = [
                fused.finish(z, each, bias, self.activation, margin)
                for z, each in zip(pixels, affine, strict=True)
            ]
        else:
            count = groups(self.normalization, len(bias))
            finished = [fused.settle(z, count, EPSILON, bias, self.activation, margin) for z in pixels]
        return list(map(_hidden, finished))


def _pixels(z: Hidden) -> fused.Pixels:
    """Return the memory of a state with channels last as numpy sees it; bfloat16 as its bits."""
    memory = z.permute(0, 2, 3, 1)
    return memory.numpy()[0] if z.dtype == torch.float32 else memory.view(torch.uint16).numpy()[0]


def _hidden(pixels: fused.Wrapped) -> Hidden:
    """Return the state that numpy holds; `_pixels` undone."""
    memory = torch.from_numpy(pixels).unsqueeze(0)
    return (memory if memory.dtype == torch.float32 else memory.view(torch.bfloat16)).permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    """Return a state with channels last, and with the strides that say so where there is one channel."""
    x = x.contiguous(memory_format=torch.channels_last)
    _, channels, height, width = x.shape
    strides = (channels * height * width, 1, width * channels, channels)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)


def _inside(padded: Tensor, margin: int) -> Tensor:
    """Return a wrapped field without its margin."""
    return padded[..., margin:-margin, margin:-margin] if margin else padded


class _ValueOf(torch.autograd.Function):
    """The value of one tensor with the gradient of another, which equals it but for rounding."""

    @staticmethod
    def forward(ctx: FunctionCtx, exact: Tensor, smooth: Tensor) -> Tensor:  # noqa: ARG004
        return exact.clone()

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Any) -> Any:  # noqa: ARG004
        return None, gradients[0]


def _with_gradient(exact: Tensor, smooth: Tensor) -> Tensor:
    return _ValueOf.apply(exact, smooth)  # pyright: ignore[reportReturnType]
