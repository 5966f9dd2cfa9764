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

ONEDNN_PIXELS = 1024
"""From so many pixels on oneDNN is faster, with few channels twice as fast, than what torch would choose."""

State = Float[Tensor, "1 c h w"]
Hidden = Float[Tensor, "1 k h w"]
Wrapped = Float[Tensor, "1 c h2 w2"]


def wrap(x: State, margin: int) -> Wrapped:
    """Return a field continued periodically by ``margin`` pixels on all sides."""
    if not margin:
        return x
    if _compiled_for(x) and not _traced(x):
        return _hidden(fused.wrapped(_pixels(x.detach()), margin))
    return functional.pad(x, (margin,) * 4, mode="circular")


def inside(padded: Wrapped, margin: int) -> State:
    """Return a wrapped field without its margin."""
    return padded[..., margin:-margin, margin:-margin] if margin else padded


def _compiled_for(x: Tensor) -> bool:
    return x.dtype in FUSED and x.device.type == "cpu"


def _traced(*tensors: Tensor) -> bool:
    """Return whether a gradient with respect to one of them will be asked for."""
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


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
        outputs = self._branch(wrapped, peers, 0 if self.residual else margin)
        if not self.residual:
            return outputs
        seen = [self._carried(inside(x, self.margin)) for x in wrapped]
        return [wrap((x + y) * math.sqrt(0.5), margin) for x, y in zip(seen, outputs, strict=True)]

    def _branch(
        self, wrapped: Sequence[Wrapped], peers: Sequence[Sequence[int]], margin: int
    ) -> list[Tensor]:
        """Return φ(norm(W ∗ x) + b), wrapped by ``margin``."""
        compiled = _compiled_for(wrapped[0])
        traced = _traced(*wrapped, *self.parameters())
        if compiled and not traced:
            return self._fused([self._convolved(x) for x in wrapped], peers, margin)
        convolved = [functional.conv2d(channels_last(x), self.weight) for x in wrapped]
        outputs = self._composed(convolved, peers)
        if compiled:
            exact = self._fused([self._convolved(x) for x in wrapped], peers, 0)
            outputs = list(map(_with_gradient, exact, outputs))
        return [wrap(y, margin) for y in outputs]

    def _convolved(self, padded: Wrapped) -> Hidden:
        """Return the circular convolution W ∗ x of a wrapped x on a CPU, without a gradient."""
        padded, weight = channels_last(padded.detach()), self.weight.detach()
        if padded.dtype == torch.float32 and padded[0, 0].numel() >= ONEDNN_PIXELS and mkldnn.is_available():
            return torch.mkldnn_convolution(padded, weight, None, (0, 0), (1, 1), (1, 1), 1)
        return functional.conv2d(padded, weight)

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
