"""Noise is stored as it is, the rest is compressed, and every inflater reads the stream."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinlock.keys import Key, Purpose, uniforms
from spinlock.storage.codecs import CODECS, shuffle
from spinlock.storage.deflate import CONCENTRATION, SAMPLE, STORED_LIMIT, deflate_planes

N = 70_000
"""More than one stored block."""


def noise(size: int, index: int = 0) -> np.ndarray:
    u = uniforms(Key(7, "noise"), Purpose.PROBE, [index], size)[0]
    return (u * 256).astype(np.uint8)


def ramp(size: int) -> np.ndarray:
    return (np.arange(size) // 50 % 256).astype(np.uint8)


PLANES = {"noise": noise(N), "ramp": ramp(N), "zero": np.zeros(N, np.uint8)}
ORDERS = [
    ("noise", "noise", "ramp", "zero"),
    ("zero", "ramp", "noise", "zero"),
    ("ramp", "noise"),
    ("noise", "noise"),
    ("ramp", "zero"),
    ("noise",),
]


@pytest.mark.parametrize("level", [1, 4, 9])
@pytest.mark.parametrize("order", ORDERS)
def test_any_order_of_planes_comes_back(order, level):
    data = np.concatenate([PLANES[name] for name in order])
    packed = deflate_planes(data, len(order), level)
    stream = zlib.decompressobj()
    assert stream.decompress(packed) == data.tobytes()
    assert stream.eof
    assert not stream.unused_data
    assert deflate_planes(data, len(order), level) == packed


@given(st.sampled_from([1, 2, 4, 8]), st.integers(0, 700), st.integers(1, 9), st.integers(0, 2**31))
def test_small_planes_come_back(planes, size, level, seed):
    data = noise(planes * size, seed) // (1 + seed % 7)
    assert zlib.decompress(deflate_planes(data, planes, level)) == data.tobytes()


def test_noise_stands_in_the_stream_as_it_is():
    order = ("ramp", "noise", "zero")
    packed = deflate_planes(np.concatenate([PLANES[name] for name in order]), 3, 4)
    assert PLANES["noise"][:STORED_LIMIT].tobytes() in packed
    assert PLANES["noise"][STORED_LIMIT:].tobytes() in packed
    assert PLANES["ramp"][:STORED_LIMIT].tobytes() not in packed
    others = len(zlib.compress(PLANES["ramp"], 4)) + len(zlib.compress(PLANES["zero"], 4))
    assert len(packed) < N + others + 50


def test_what_is_no_noise_is_compressed_as_zlib_does():
    data = np.concatenate([PLANES["ramp"], PLANES["zero"]])
    packed = deflate_planes(data, 2, 4)
    assert packed[2:] == zlib.compress(data, 4)[2:]  # the two bytes before name the level


@pytest.mark.parametrize("period", [61 * 61, 63 * 63 * 2, 129 * 129, 65 * 65, 8191, 64 * 64 + 1])
def test_copies_at_any_distance_are_found(period):
    """Channels and realizations of any grid: their period need be no multiple of anything."""
    copies = np.tile(noise(period), -(-N // period))[:N]
    assert len(deflate_planes(copies, 1, 4)) < 1.1 * len(zlib.compress(copies, 4))
    assert len(deflate_planes(noise(N), 1, 4)) < N + 100


def test_copies_beyond_the_window_of_deflate_are_stored():
    """Farther than 32 KiB back DEFLATE finds nothing: looking would only take time."""
    for period, found in ((2**15 + 4096, False), (2**15 - 4096, True)):
        copies = np.tile(noise(period), 3)
        packed = deflate_planes(copies, 1, 4)
        assert (copies[:STORED_LIMIT].tobytes() in packed) == (not found)
        assert zlib.decompress(packed) == copies.tobytes()


def test_the_bar_for_noise_is_a_tenth_above_equal_chances():
    """The squared counts of n even bytes sum to n + n²/256 on average; what is stored depends on it."""
    assert int(1.1 * (SAMPLE + SAMPLE**2 / 256)) == CONCENTRATION


def test_even_bytes_that_repeat_are_no_noise():
    """Channels or realizations that are copies: every byte is as frequent, and yet DEFLATE shrinks them."""
    for period in (4096, 12_288):
        data = np.resize(noise(period), N)
        counts = np.bincount(data[:SAMPLE], minlength=256)
        assert (counts * counts).sum() <= CONCENTRATION  # control: the frequencies alone look like noise
        assert len(deflate_planes(data, 1, 4)) < 1.2 * period


def test_a_part_that_is_constant_is_no_noise():
    """One realization of five that diverged: its NaN must not be stored byte by byte."""
    data = noise(N).copy()
    data[3 * N // 5 : 4 * N // 5] = 0x7F
    assert len(deflate_planes(data, 1, 4)) < 0.85 * N


def test_columns_that_differ_from_the_others_are_seen():
    """A plane of 64 · `SAMPLE` bytes is sampled across all its 64 columns, not down one."""
    table = noise(64 * SAMPLE).reshape(-1, 64).copy()
    table[:, 1:] = 0
    assert len(deflate_planes(table.reshape(-1), 1, 4)) < 0.1 * table.size


@pytest.mark.parametrize("dtype", ["<f4", "<f2"])
def test_smooth_noisy_and_binary_fields_take_no_more_than_zlib_needs(dtype):
    y, x = np.mgrid[:64, :64] / 64
    smooth = np.stack([np.sin(2 * np.pi * (x + k * y)) for k in range(15)])
    rough = smooth + 0.1 * noise(smooth.size).reshape(smooth.shape) / 256
    for field in (smooth, rough, np.sign(smooth)):
        data = shuffle(field.astype(dtype).reshape(-1).view(np.uint8), np.dtype(dtype).itemsize)
        packed = deflate_planes(data, np.dtype(dtype).itemsize, 4)
        assert len(packed) <= 1.02 * len(zlib.compress(data, 4))


def test_level_zero_stores_everything():
    data = PLANES["zero"]
    assert len(CODECS["gzip"].encode(data, 4, 0)) > data.size
