"""What stands between two convolutions, compiled: statistics, affine map, activation and circular padding.

A convolution's output z has channels last: H·W pixels of K contiguous values. `moments` reads it once and
`finish` once more, writing φ((z − μ)·s + b) straight into the padded input of the next convolution, so that
nothing in between leaves the cache. Both are defined by numpy (`plain_moments`, `plain_finish`); the compiled
loops are used where they give the same bits, which is checked once in a process.
"""

import logging
from functools import cache
from itertools import product

import numpy as np
from jaxtyping import Float32, Float64, UInt16

from spinlock.numerics import elementary
from spinlock.numerics.bfloat16 import stored, widened
from spinlock.numerics.compiled import compiled
from spinlock.operators.activations import Activation

logger = logging.getLogger("spinlock")

F = np.float32

CODES: dict[Activation, int] = {
    "relu": 0, "leaky_relu": 1, "gelu": 2, "silu": 3, "elu": 4, "tanh": 5, "sin": 6
}  # fmt: skip
FUNCTIONS = (
    elementary.relu,
    elementary.leaky_relu,
    elementary.gelu,
    elementary.silu,
    elementary.elu,
    elementary.tangent,
    elementary.sine,
)
RELU, LEAKY_RELU, GELU, SILU, ELU, TANH, SIN = FUNCTIONS

Pixels = Float32[np.ndarray, "h w k"] | UInt16[np.ndarray, "h w k"]
"""float32, or the bits of bfloat16, which are computed with in float32."""

Wrapped = Float32[np.ndarray, "h2 w2 k"] | UInt16[np.ndarray, "h2 w2 k"]
PerChannel = Float32[np.ndarray, "k"]
Moments = Float64[np.ndarray, "2 k"]
Affine = Float32[np.ndarray, "2 k"]


def moments(z: Pixels) -> Moments:
    """Return mean and variance of each channel, from the sums of z and z² in float64."""
    return (_compiled_moments if agrees() else plain_moments)(z)


def pooled(parts: Float64[np.ndarray, "n 2 k"], epsilon: float) -> Affine:
    """Return mean and 1/√(variance + ε) of n parts of equal size from the moments of each."""
    means, variances = parts[:, 0], parts[:, 1]
    mean = np.add.reduce(means, axis=0) / len(parts)
    variance = np.add.reduce(variances + (means - mean) ** 2, axis=0) / len(parts)
    return np.stack((mean, 1.0 / np.sqrt(variance + epsilon))).astype(np.float32)


def wrapped(x: Pixels, margin: int) -> Wrapped:
    """Return a field, in memory in any order, continued periodically by ``margin`` pixels on all sides."""
    return (_compiled_wrapped if agrees() else plain_wrapped)(x, margin)


def finish(z: Pixels, affine: Affine, bias: PerChannel, activation: Activation, margin: int) -> Wrapped:
    """Return φ((z − mean)·scale + bias) [H + 2·margin, W + 2·margin, K], wrapped around in the margin."""
    return (_compiled_finish if agrees() else plain_finish)(z, affine, bias, activation, margin)


def settle(
    z: Pixels, groups: int, epsilon: float, bias: PerChannel, activation: Activation, margin: int
) -> Wrapped:
    """Return `finish` with mean and 1/√(variance + ε) of each channel's group; 0 groups normalize nothing."""
    return (_compiled_settle if agrees() else plain_settle)(z, groups, epsilon, bias, activation, margin)


@cache
def agrees() -> bool:
    """Return whether the compiled loops give the bits of the plain definitions, on a small field."""
    count = np.arange(4 * 12 * 6, dtype=np.float32).reshape(4, 12, 6)
    values = (count * np.float32(0.37)) % 11 - np.float32(5.5)
    values.reshape(-1)[:6] = -20, 20, -100, 100, -1e4, 1e4
    same = np.array_equal(_compiled_moments(values), plain_moments(values))
    for z, groups, activation in product(
        (values, stored(values, count.view(np.uint16))), (0, 6, 2, 1), CODES
    ):
        options = groups, 0.1, values[0, 0], activation, 1
        fields = _compiled_settle(z, *options), plain_settle(z, *options)
        compiled_bits, plain_bits = (field.view(np.uint8) for field in fields)
        same = same and np.array_equal(compiled_bits, plain_bits)
    if not same:
        logger.warning(
            "warning: compiled arithmetic differs from numpy's, because of this processor or of code "
            "compiled from older sources (remove __pycache__); the slower numpy form is used"
        )
    return same


def plain_moments(z: Pixels) -> Moments:
    """Return what `moments` means: sums over groups of ``span`` pixels side by side, then over these."""
    height, width, channels = z.shape
    span = _span(width)
    wide = widened(z).reshape(-1, span * channels).astype(np.float64)
    count = height * width
    sums, squares = (
        np.add.reduce(np.add.reduce(v, axis=0).reshape(span, channels), axis=0) for v in (wide, wide * wide)
    )
    mean = sums / count
    return np.stack((mean, np.maximum(squares / count - mean * mean, 0.0)))


def plain_wrapped(x: Pixels, margin: int) -> Wrapped:
    """Return what `wrapped` means."""
    return np.ascontiguousarray(np.pad(x, ((margin, margin), (margin, margin), (0, 0)), mode="wrap"))


def plain_finish(z: Pixels, affine: Affine, bias: PerChannel, activation: Activation, margin: int) -> Wrapped:
    """Return what `finish` means."""
    y = stored(FUNCTIONS[CODES[activation]]((widened(z) - affine[0]) * affine[1] + bias), z)
    return plain_wrapped(y, margin)


def plain_settle(
    z: Pixels, groups: int, epsilon: float, bias: PerChannel, activation: Activation, margin: int
) -> Wrapped:
    """Return what `settle` means."""
    affine = np.repeat(np.array([[0.0], [1.0]], np.float32), z.shape[-1], axis=1)
    if groups:
        parts = plain_moments(z).reshape(2, groups, -1).transpose(2, 0, 1)
        affine = np.repeat(pooled(parts, epsilon), len(parts), axis=1)
    return plain_finish(z, affine, bias, activation, margin)


def _span(width: int) -> int:
    """Return how many pixels side by side have sums of their own: no addition waits for the one before."""
    return 8 if width % 8 == 0 else 1


def _compiled_moments(z: Pixels) -> Moments:
    result = np.empty((2, z.shape[-1]))
    _sum(z, _span(z.shape[1]), result)
    return result


def _compiled_wrapped(x: Pixels, margin: int) -> Wrapped:
    out = _blank(x, margin)
    _wrap(x, margin, out)
    return out


def _compiled_finish(
    z: Pixels, affine: Affine, bias: PerChannel, activation: Activation, margin: int
) -> Wrapped:
    out = _blank(z, margin)
    _finish(z, affine, bias, _span(z.shape[1]), CODES[activation], margin, out)
    return out


def _compiled_settle(
    z: Pixels, groups: int, epsilon: float, bias: PerChannel, activation: Activation, margin: int
) -> Wrapped:
    out = _blank(z, margin)
    _settle(z, groups, epsilon, bias, _span(z.shape[1]), CODES[activation], margin, out)
    return out


def _blank(z: Pixels, margin: int) -> Wrapped:
    height, width, channels = z.shape
    assert margin <= min(height, width), "a field is continued by no more than itself"
    return np.empty((height + 2 * margin, width + 2 * margin, channels), z.dtype)


@compiled
def _sum(z, span, result):
    channels = z.shape[2]
    length = span * channels
    values = z.reshape(-1, length)
    groups = len(values)
    sums, squares = np.zeros(length), np.zeros(length)
    for group in range(groups):
        row = values[group]
        for k in range(length):
            value = np.float64(widened(row[k]))
            sums[k] += value
            squares[k] += value * value
    count = groups * span
    for k in range(channels):
        total, square = sums[k], squares[k]
        for other in range(k + channels, length, channels):
            total += sums[other]
            square += squares[other]
        mean = total / count
        result[0, k] = mean
        result[1, k] = np.maximum(square / count - mean * mean, 0.0)


@compiled
def _standardize(moments, groups, epsilon, affine):
    size = moments.shape[1] // groups
    for group in range(groups):
        first = group * size
        mean = 0.0
        for k in range(first, first + size):
            mean += moments[0, k]
        mean /= size
        variance = 0.0
        for k in range(first, first + size):
            away = moments[0, k] - mean
            variance += moments[1, k] + away * away
        variance /= size
        for k in range(first, first + size):
            affine[0, k] = mean
            affine[1, k] = 1.0 / np.sqrt(variance + epsilon)


@compiled
def _continue(margin, lines, edge, length):
    """Continue rows [height, length], which stand at ``margin`` and ``edge`` in ``lines``, periodically."""
    height = len(lines) - 2 * margin
    for h in range(margin, margin + height):
        for k in range(edge):
            lines[h, k] = lines[h, length + k]
            lines[h, edge + length + k] = lines[h, edge + k]
    for h in range(margin):
        lines[h] = lines[h + height]
        lines[height + margin + h] = lines[margin + h]


@compiled
def _wrap(x, margin, out):
    height, width, channels = x.shape
    for h in range(height):
        for w in range(width):
            for c in range(channels):
                out[h + margin, w + margin, c] = x[h, w, c]
    _continue(margin, out.reshape(len(out), -1), margin * channels, width * channels)


@compiled
def _finish(z, affine, bias, span, activation, margin, out):  # noqa: C901 (a loop an activation)
    channels, block, edge = bias.size, span * bias.size, margin * bias.size
    rows, lines = z.reshape(len(z), -1), out.reshape(len(out), -1)
    height, length = rows.shape
    mean, scale, offset, y = np.empty(block, F), np.empty(block, F), np.empty(block, F), np.empty(block, F)
    for k in range(block):
        mean[k], scale[k], offset[k] = affine[0, k % channels], affine[1, k % channels], bias[k % channels]
    for h in range(height):
        line = lines[h + margin]
        for first in range(0, length, block):
            x, target = rows[h, first : first + block], line[edge + first : edge + first + block]
            for k in range(block):
                y[k] = (widened(x[k]) - mean[k]) * scale[k] + offset[k]
            if activation == 0:
                for k in range(block):
                    y[k] = RELU(y[k])
            elif activation == 1:
                for k in range(block):
                    y[k] = LEAKY_RELU(y[k])
            elif activation == 2:
                for k in range(block):
                    y[k] = GELU(y[k])
            elif activation == 3:
                for k in range(block):
                    y[k] = SILU(y[k])
            elif activation == 4:
                for k in range(block):
                    y[k] = ELU(y[k])
            elif activation == 5:
                for k in range(block):
                    y[k] = TANH(y[k])
            else:
                for k in range(block):
                    y[k] = SIN(y[k])
            for k in range(block):
                target[k] = stored(y[k], x[k])
    _continue(margin, lines, edge, length)


@compiled
def _settle(z, groups, epsilon, bias, span, activation, margin, out):
    affine = np.zeros((2, z.shape[2]), F)
    affine[1] = F(1.0)
    if groups > 0:
        moments = np.empty((2, z.shape[2]))
        _sum(z, span, moments)
        _standardize(moments, groups, epsilon, affine)
    _finish(z, affine, bias, span, activation, margin, out)
