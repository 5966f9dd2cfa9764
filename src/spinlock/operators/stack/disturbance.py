"""The kernel of noise and dropout behind hidden blocks, keyed as everywhere; import where Triton is."""

import triton.language as tl  # pyright: ignore[reportMissingImports]

from spinlock.keys import Purpose
from spinlock.numerics.hidden_noise import KINDS
from spinlock.numerics.noise import SITE_HIDDEN
from spinlock.operators.stack.kernels import LENGTH, NONE, ROW, STRIDE, TARGET, WIDTH, kernel

GAUSSIAN = tl.constexpr(KINDS["gaussian"])
NOISE, DROPOUT = tl.constexpr(int(Purpose.NOISE)), tl.constexpr(int(Purpose.DROPOUT))
FIRST_SITE = tl.constexpr(SITE_HIDDEN)


@kernel
def philox(block, c1, c2, c3, k0, k1):
    """Return the four words of Philox4x32-10 of each block, as `spinlock.keys.philox4x32` does."""
    c0 = block.to(tl.uint32)
    c1, c2, c3 = (c0 * 0 + c1.to(tl.uint32), c0 * 0 + c2.to(tl.uint32), c0 * 0 + c3.to(tl.uint32))
    k0, k1 = k0.to(tl.uint32), k1.to(tl.uint32)
    first, second = tl.full((1,), 0xD2511F53, tl.uint32), tl.full((1,), 0xCD9E8D57, tl.uint32)
    for _ in tl.static_range(10):
        high0, high2 = tl.umulhi(first + c0 * 0, c0), tl.umulhi(second + c0 * 0, c2)
        low0, low2 = first * c0, second * c2
        c0, c1, c2, c3 = high2 ^ c1 ^ k0, low2, high0 ^ c3 ^ k1, low0
        k0, k1 = k0 + tl.full((), 0x9E3779B9, tl.uint32), k1 + tl.full((), 0xBB67AE85, tl.uint32)
    return c0, c1, c2, c3


@kernel
def unit(word, scale):
    """Return (word + 1/2)·scale in float32."""
    return (word.to(tl.float32) + 0.5) * scale


@kernel
def disturb(
    target, table, numbers, levels, key0, key1, step, layer, SIZE: tl.constexpr, ELEMENTS: tl.constexpr
):  # fmt: skip
    """Add the keyed noise of a hidden block to its output, and drop values: the numbers of `NoiseStream`."""
    entry = table + tl.program_id(1) * LENGTH
    row = tl.load(entry + ROW)
    kind = tl.load(numbers + row * 3 + 2)
    rate = tl.load(levels + row * 3 + 1)
    stride = tl.load(entry + STRIDE).to(tl.int32)
    area: tl.constexpr = SIZE * SIZE
    first = tl.program_id(0) * ELEMENTS
    if (first >= area * stride) | ((kind == NONE) & (rate == 0.0)):
        return
    index = first + tl.arange(0, ELEMENTS)
    pixel, channel = index // stride, index % stride
    inside = (index < area * stride) & (channel < tl.load(entry + WIDTH))
    place = target + tl.load(entry + TARGET) + index
    x = tl.load(place, mask=inside, other=0.0).to(tl.float32)
    element = channel * area + pixel
    lane = element % 4
    c1 = step * 65536 + (FIRST_SITE + layer)
    sample, realization = tl.load(numbers + row * 3), tl.load(numbers + row * 3 + 1) * 65536
    if kind != NONE:
        w0, w1, w2, w3 = philox(element // 4, c1, sample, realization + NOISE, key0, key1)
        odd = lane % 2 == 1
        if kind == GAUSSIAN:
            radius = tl.sqrt(tl.maximum(-2.0 * tl.log(unit(tl.where(odd, w1, w0), 2.0**-32)), 0.0))
            angle = (tl.where(odd, w3, w2) >> 8).to(tl.float32) * (6.283185307179586 * 2.0**-24)
            variate = radius * tl.where(lane < 2, tl.cos(angle), tl.sin(angle))
        else:
            word = tl.where(lane < 2, tl.where(odd, w1, w0), tl.where(odd, w3, w2))
            size = tl.maximum(-tl.log(unit(word >> 1, 2.0**-31)), 0.0) * 0.7071067811865476
            variate = tl.where(word % 2 == 1, -size, size)
        x += variate * tl.load(levels + row * 3)
    if rate > 0.0:
        w0, w1, w2, w3 = philox(element // 4, c1, sample, realization + DROPOUT, key0, key1)
        odd = lane % 2 == 1
        word = tl.where(lane < 2, tl.where(odd, w1, w0), tl.where(odd, w3, w2))
        x = tl.where(unit(word >> 9, 2.0**-23) >= rate, x * tl.load(levels + row * 3 + 2), x * 0.0)
    tl.store(place, x.to(target.dtype.element_ty), mask=inside)
