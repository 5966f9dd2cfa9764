"""Triton kernels that apply many different networks in one launch; import where Triton is installed.

Every program computes one tile of one state, with tile sizes and an order of summation that depend on that
state's own network and grid alone. So the bits of a row depend neither on its place nor on its neighbours.
Fields lie as [pixel, channel], channels padded with zeros to a multiple of 16; states as [channel, pixel].
A table holds a row of integers for each state; `tables.FIELDS` names them.
"""

import inspect
from collections.abc import Callable
from typing import Any

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

from spinlock.operators.normalization import EPSILON
from spinlock.operators.stack.tables import (
    ACTIVATION_CODES,
    FIELDS,
    NORMALIZATION_CODES,
    RESIDUAL_CODES,
)
from spinlock.operators.stack.tables import LANES as CHANNELS_AT_A_TIME

INTEGERS = ("out_tiles", "pooled", "key0", "key1", "step", "layer")
"""Arguments of launches that are plain numbers."""


def kernel(function: Callable[..., Any]) -> Any:
    """Return a function as a Triton kernel, compiled once whatever the values of its integers.

    By default Triton compiles other code for a 1 or a multiple of 16, and bits could depend on how many rows
    there are. Run-time type checkers wrap what Triton must see.
    """
    plain = inspect.unwrap(function)
    integers = [name for name in inspect.signature(plain).parameters if name in INTEGERS]
    return triton.jit(plain, do_not_specialize=integers)


def _field(name: str) -> Any:
    return tl.constexpr(FIELDS.index(name))


LENGTH = tl.constexpr(len(FIELDS))
SOURCE, TARGET, WEIGHTS, BIAS = _field("source"), _field("target"), _field("weights"), _field("bias")
BEFORE, WIDTH, KERNEL = _field("before"), _field("width"), _field("kernel")
COLUMNS, STRIDE = _field("columns"), _field("stride")
PARTIALS, STATISTICS = _field("partials"), _field("statistics")
ACTIVATION, NORMALIZATION, GROUP = _field("activation"), _field("normalization"), _field("group")
RESIDUAL, BOUNDED = _field("residual"), _field("bounded")
ROW, PEERS, NUM_PEERS = _field("row"), _field("peers"), _field("num_peers")

RELU, LEAKY_RELU = tl.constexpr(ACTIVATION_CODES["relu"]), tl.constexpr(ACTIVATION_CODES["leaky_relu"])
GELU, SILU = tl.constexpr(ACTIVATION_CODES["gelu"]), tl.constexpr(ACTIVATION_CODES["silu"])
ELU, TANH = tl.constexpr(ACTIVATION_CODES["elu"]), tl.constexpr(ACTIVATION_CODES["tanh"])
BATCH = tl.constexpr(NORMALIZATION_CODES["batch"])
POOLED = tl.constexpr(NORMALIZATION_CODES["group"])
IDENTITY = tl.constexpr(RESIDUAL_CODES["identity"])
NONE = tl.constexpr(0)
EPS = tl.constexpr(EPSILON)
LANES = tl.constexpr(CHANNELS_AT_A_TIME)


@kernel
def tanh(x):
    """Return tanh(x) to float32 rounding, from exponentials, and from the series where those cancel."""
    decay = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - decay) / (1.0 + decay)
    square = x * x
    near = x * (1.0 + square * (-1.0 / 3.0 + square * (2.0 / 15.0 - square * (17.0 / 315.0))))
    return tl.where(tl.abs(x) < 0.1, near, tl.where(x < 0.0, -far, far))


@kernel
def activate(x, code):
    """Return φ(x); NaN stays NaN, as in torch."""
    y = x
    if code == RELU:
        y = tl.where(x < 0.0, 0.0, x)
    elif code == LEAKY_RELU:
        y = tl.where(x < 0.0, 0.01 * x, x)
    elif code == GELU:
        y = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif code == SILU:
        y = x / (1.0 + tl.exp(-x))
    elif code == ELU:
        y = tl.where(x < 0.0, tl.exp(x) - 1.0, x)
    elif code == TANH:
        y = tanh(x)
    else:
        y = tl.sin(x)
    return y


@kernel
def sum_state(
    total, source, matrix, before, size, row, column, columns,
    SIZE: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add a tile's products with a state's few channels: taps and channels are one index."""
    count, margin = size * size * before, size // 2
    for done in range(0, count, DEPTH):
        index = done + tl.arange(0, DEPTH)
        tap = index // before
        y = (row[:, None] + (tap // size)[None, :] + (SIZE - margin)) % SIZE
        x = (column[:, None] + (tap % size)[None, :] + (SIZE - margin)) % SIZE
        place = (index % before)[None, :] * (SIZE * SIZE) + y * SIZE + x
        values = tl.load(source + place, mask=(index < count)[None, :], other=0.0)
        factors = tl.load(matrix + index[:, None] * columns)
        total = tl.dot(values.to(factors.dtype), factors, total, input_precision=PRECISION)
    return total


@kernel
def sum_field(
    total, source, matrix, before, size, row, column, columns,
    SIZE: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add a tile's products with a hidden field: tap by tap, DEPTH channels at a time."""
    blocks, margin, depth = before // DEPTH, size // 2, tl.arange(0, DEPTH)
    for step in range(size * size * blocks):
        tap, first = step // blocks, (step % blocks) * DEPTH
        y = (row + (tap // size + SIZE - margin)) % SIZE
        x = (column + (tap % size + SIZE - margin)) % SIZE
        values = tl.load(source + (y * SIZE + x)[:, None] * before + (first + depth)[None, :])
        factors = tl.load(matrix + (step * DEPTH + depth)[:, None] * columns)
        total = tl.dot(values, factors, total, input_precision=PRECISION)
    return total


@kernel
def store_state(total, biases, target, entry, pixel, channel, area):
    """Write a tile of a read-out, with its bias and perhaps a tanh, as [channel, pixel]."""
    shown = channel < tl.load(entry + WIDTH)
    total += tl.load(biases + tl.load(entry + BIAS) + channel, mask=shown, other=0.0)[None, :]
    if tl.load(entry + BOUNDED) != 0:
        total = tanh(total)
    place = target + tl.load(entry + TARGET) + channel[None, :] * area + pixel[:, None]
    tl.store(place, total, mask=(pixel < area)[:, None] & shown[None, :])


@kernel
def store_field(total, target, entry, pixel, channel, area):
    """Write a tile of a hidden field as [pixel, channel]."""
    stride = tl.multiple_of(tl.load(entry + STRIDE).to(tl.int32), 16)
    place = target + tl.load(entry + TARGET) + pixel[:, None] * stride + channel[None, :]
    stored = (pixel < area)[:, None] & (channel < stride)[None, :]
    tl.store(place, total.to(target.dtype.element_ty), mask=stored)


@kernel
def store_moments(total, note, columns, pixel, area):
    """Write mean and sum of squared deviations of each channel over the pixels of a tile."""
    inside = (pixel < area)[:, None]
    number = tl.sum((pixel < area).to(tl.float32), axis=0)
    mean = tl.sum(tl.where(inside, total, 0.0), axis=0) / number
    deviation = tl.where(inside, total - mean[None, :], 0.0)
    tl.store(note, mean)
    tl.store(note + columns, tl.sum(deviation * deviation, axis=0))


@kernel
def convolve(
    source, weights, biases, target, partials, table, out_tiles,
    SIZE: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
    FIRST: tl.constexpr, MOMENTS: tl.constexpr, READ_OUT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write one tile [PIXELS, CHANNELS] of a circular convolution, and the moments of its channels.

    Sums over taps and input channels in that order, DEPTH at a time. A ``FIRST`` layer reads states, a
    ``READ_OUT`` writes them, with its bias and perhaps a tanh.
    """
    entry = table + tl.program_id(1) * LENGTH
    width = tl.load(entry + WIDTH).to(tl.int32)
    pixel_tile = tl.program_id(0) // out_tiles
    first_channel = (tl.program_id(0) % out_tiles) * CHANNELS
    if first_channel >= width:
        return
    before, size = tl.load(entry + BEFORE).to(tl.int32), tl.load(entry + KERNEL).to(tl.int32)
    columns = tl.multiple_of(tl.load(entry + COLUMNS).to(tl.int32), 16)
    start = tl.load(entry + SOURCE)
    area: tl.constexpr = SIZE * SIZE
    pixel = pixel_tile * PIXELS + tl.arange(0, PIXELS)
    row, column = pixel // SIZE, pixel % SIZE
    channel = first_channel + tl.arange(0, CHANNELS)
    matrix = weights + tl.multiple_of(tl.load(entry + WEIGHTS), 16) + channel[None, :]
    total = tl.zeros((PIXELS, CHANNELS), tl.float32)
    if FIRST:
        total = sum_state(
            total, source + start, matrix, before, size, row, column, columns, SIZE, DEPTH, PRECISION
        )
    else:
        origin = source + tl.multiple_of(start, 16)
        before = tl.multiple_of(before, 16)
        total = sum_field(total, origin, matrix, before, size, row, column, columns, SIZE, DEPTH, PRECISION)
    if READ_OUT:
        store_state(total, biases, target, entry, pixel, channel, area)
    else:
        store_field(total, target, entry, pixel, channel, area)
    if MOMENTS:
        note = partials + tl.load(entry + PARTIALS) + pixel_tile * 2 * columns + channel
        store_moments(total, note, columns, pixel, area)


@kernel
def gather_moments(partials, statistics, table, SIZE: tl.constexpr, PIXELS: tl.constexpr):
    """Write mean and variance of `LANES` channels of a state, from its tiles in order.

    Chan, Golub & LeVeque, The American Statistician 1983.
    """
    entry = table + tl.program_id(1) * LENGTH
    stride = tl.load(entry + STRIDE).to(tl.int32)
    if tl.program_id(0) * LANES >= stride:
        return
    columns = tl.load(entry + COLUMNS).to(tl.int32)
    area: tl.constexpr = SIZE * SIZE
    channel = tl.program_id(0) * LANES + tl.arange(0, LANES)
    known = channel < columns
    note = partials + tl.load(entry + PARTIALS) + channel
    mean = tl.load(note, mask=known, other=0.0)
    squares = tl.load(note + columns, mask=known, other=0.0)
    for tile in range(1, (area + PIXELS - 1) // PIXELS):
        before = tile * PIXELS * 1.0
        added = tl.minimum(area - tile * PIXELS, PIXELS) * 1.0
        note += 2 * columns
        difference = tl.load(note, mask=known, other=0.0) - mean
        share = added / (before + added)
        mean += difference * share
        squares += tl.load(note + columns, mask=known, other=0.0) + difference * difference * before * share
    place = statistics + tl.load(entry + STATISTICS) + channel
    tl.store(place, mean, mask=channel < stride)
    tl.store(place + stride, squares / area, mask=channel < stride)


@kernel
def pool_moments(statistics, peers, table, pooled):
    """Write the statistics that channels share: those of a group, or of a channel over the peers.

    They stand ``pooled`` numbers behind those of the channel itself.
    """
    entry = table + tl.program_id(1) * LENGTH
    code = tl.load(entry + NORMALIZATION)
    width = tl.load(entry + WIDTH).to(tl.int32)
    stride = tl.load(entry + STRIDE).to(tl.int32)
    own = statistics + tl.load(entry + STATISTICS)
    lane = tl.arange(0, LANES)
    if code == BATCH:
        channel = tl.program_id(0) * LANES + lane
        known = channel < width
        first, count = tl.load(entry + PEERS), tl.load(entry + NUM_PEERS).to(tl.int32)
        mean = tl.zeros((LANES,), tl.float32)
        for k in range(count):
            mean += tl.load(statistics + tl.load(peers + first + k) + channel, mask=known, other=0.0)
        mean = mean / count
        variance = tl.zeros((LANES,), tl.float32)
        for k in range(count):
            other = statistics + tl.load(peers + first + k) + channel
            difference = tl.load(other, mask=known, other=0.0) - mean
            variance += tl.load(other + stride, mask=known, other=0.0) + difference * difference
        tl.store(own + pooled + channel, mean, mask=known)
        tl.store(own + pooled + stride + channel, variance / count, mask=known)
    else:
        group = tl.load(entry + GROUP).to(tl.int32)
        own += tl.program_id(0) * group
        members = tl.where((tl.program_id(0) + 1) * group <= width, group, 0)
        centre = 0.0
        for start in range(0, members, LANES):
            known = start + lane < members
            centre += tl.sum(tl.load(own + start + lane, mask=known, other=0.0), axis=0)
        centre = centre / group
        spread = 0.0
        for start in range(0, members, LANES):
            known = start + lane < members
            difference = tl.load(own + start + lane, mask=known, other=0.0) - centre
            within = tl.load(own + stride + start + lane, mask=known, other=0.0)
            spread += tl.sum(tl.where(known, within + difference * difference, 0.0), axis=0)
        spread = spread / group
        for start in range(0, members, LANES):
            known = start + lane < members
            place = own + pooled + start + lane
            tl.store(place, tl.zeros((LANES,), tl.float32) + centre, mask=known)
            tl.store(place + stride, tl.zeros((LANES,), tl.float32) + spread, mask=known)


@kernel
def finish(
    source, shortcut, biases, statistics, target, table, pooled,
    SIZE: tl.constexpr, ELEMENTS: tl.constexpr, FIRST: tl.constexpr,
):  # fmt: skip
    """Overwrite a convolution by its block's output: normalized, bias, activation, shortcut."""
    entry = table + tl.program_id(1) * LENGTH
    stride = tl.load(entry + STRIDE).to(tl.int32)
    area: tl.constexpr = SIZE * SIZE
    first = tl.program_id(0) * ELEMENTS
    if first >= area * stride:
        return
    index = first + tl.arange(0, ELEMENTS)
    pixel, channel = index // stride, index % stride
    inside = (index < area * stride) & (channel < tl.load(entry + WIDTH))
    place = target + tl.load(entry + TARGET) + index
    z = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    code = tl.load(entry + NORMALIZATION)
    if code != NONE:
        moments = statistics + tl.load(entry + STATISTICS) + channel
        if code >= POOLED:
            moments += pooled
        mean = tl.load(moments, mask=inside, other=0.0)
        variance = tl.load(moments + stride, mask=inside, other=0.0)
        z = (z - mean) * tl.rsqrt(variance + EPS)
    z += tl.load(biases + tl.load(entry + BIAS) + channel, mask=inside, other=0.0)
    y = activate(z, tl.load(entry + ACTIVATION))
    kind = tl.load(entry + RESIDUAL)
    if kind != NONE:
        if kind == IDENTITY:
            start = source + tl.load(entry + SOURCE)
            if FIRST:
                carried = tl.load(start + channel * area + pixel, mask=inside, other=0.0).to(tl.float32)
            else:
                carried = tl.load(start + index, mask=inside, other=0.0).to(tl.float32)
        else:
            carried = tl.load(shortcut + tl.load(entry + TARGET) + index, mask=inside, other=0.0).to(
                tl.float32
            )
        y = (carried + y) * 0.7071067811865476
    tl.store(place, tl.where(inside, y, 0.0).to(target.dtype.element_ty), mask=index < area * stride)
