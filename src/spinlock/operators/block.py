"""One hidden block, φ(norm(W ∗ x) + b), on one state or on an ensemble in lockstep.

On a CPU everything behind the convolution is one compiled pass (`spinlock.operators.fused`), with channels
last; elsewhere, and for gradients, it is made of torch's operations.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.backends import mkldnn
from torch.nn import functional

from spinlock.errors import UsageError
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
Wrapped = Float[Tensor, "1 c h2 w2"]


def wrap(x: State, margin: int) -> Wrapped:
    """Return a field continued periodically by ``margin`` pixels on all sides, no more than it has itself."""
    if not margin:
        return x
    if margin > min(x.shape[-2:]):
        raise UsageError(
            f"a kernel of {2 * margin + 1} pixels needs a grid of at least {margin}: the state has "
            f"{x.shape[-2]} × {x.shape[-1]}"
        )
    if _compiled_for(x) and not (torch.is_grad_enabled() and x.requires_grad):
        return _hidden(fused.wrapped(_pixels(x.detach()), margin))
    return functional.pad(x, (margin,) * 4, mode="circular")


def inside(padded: Wrapped, margin: int) -> State:
    """Return a wrapped field without its margin."""
    return padded[..., margin:-margin, margin:-margin] if margin else padded


def _compiled_for(x: Tensor) -> bool:
    return x.dtype in FUSED and x.device.type == "cpu"


def _convolution(padded: Wrapped, weight: Tensor) -> Hidden:
    """Return the convolution W ∗ x of a wrapped x; float32 on a CPU always by oneDNN.

    Torch would give fields of few values to code of its own, which takes up to twice the time and does not
    treat all pixels alike.
    """
    padded = channels_last(padded)
    if (
        padded.device.type == "cpu"
        and padded.dtype == weight.dtype == torch.float32
        and mkldnn.is_available()
    ):
        return torch.mkldnn_convolution(padded, weight, None, (0, 0), (1, 1), (1, 1), 1)
    return functional.conv2d(padded, weight)


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

    def forward(
        self, wrapped: Sequence[Wrapped], peers: Sequence[Sequence[int]], margin: int
    ) -> list[Tensor]:
        """Return each state's output wrapped by ``margin``, from states wrapped by the block's own margin.

        With batch normalization state k is normalized by the statistics of the positions ``peers[k]``.
        """
        convolved = [_convolution(x, self.weight) for x in wrapped]
        traced = torch.is_grad_enabled() and any(z.requires_grad for z in (*convolved, self.bias))
        if not _compiled_for(convolved[0]):
            outputs = self._composed(convolved, peers)
        elif traced:
            exact = self._fused([z.detach() for z in convolved], peers, 0)
            outputs = list(map(_with_gradient, exact, self._composed(convolved, peers)))
        elif self.residual:
            outputs = self._fused(convolved, peers, 0)
        else:
            return self._fused(convolved, peers, margin)
        if self.residual:
            seen = [self._carried(inside(x, self.margin)) for x in wrapped]
            outputs = [(x + y) * math.sqrt(0.5) for x, y in zip(seen, outputs, strict=True)]
        return [wrap(y, margin) for y in outputs]

    def _carried(self, x: State) -> Hidden:
        return x if self.shortcut is None else functional.conv2d(channels_last(x), self.shortcut)

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
        pixels = [np.ascontiguousarray(_pixels(z)) for z in convolved]
        bias = _float32(self.bias.detach()).numpy()
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
    """Return the memory of a state as numpy sees it, axes in the order (h, w, k); bfloat16 as its bits."""
    return (z if z.dtype == torch.float32 else z.view(torch.uint16)).numpy()[0].transpose(1, 2, 0)


def _hidden(pixels: fused.Wrapped) -> Hidden:
    """Return the state that numpy holds; `_pixels` undone."""
    memory = torch.from_numpy(pixels.transpose(2, 0, 1)[None])
    return memory if memory.dtype == torch.float32 else memory.view(torch.bfloat16)


def _float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float32 else x.float()


def channels_last(x: State) -> State:
    """Return a state with channels last on a CPU, with the strides that say so where there is one channel."""
    if x.device.type != "cpu":
        return x
    _, channels, height, width = x.shape
    strides = (channels * height * width, 1, width * channels, channels)
    if x.stride() == strides:
        return x
    return x.contiguous(memory_format=torch.channels_last).as_strided(x.shape, strides)


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
