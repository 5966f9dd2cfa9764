"""bfloat16 read and written without the type: torch's bits, compiled and on whole arrays."""

import numpy as np
import torch

from spinlock.numerics.bfloat16 import stored, widened
from spinlock.numerics.compiled import compiled

BITS = np.arange(2**16, dtype=np.uint16)
EDGES = np.array([0.0, -0.0, 1e-45, 3.4e38, -3.4e38, np.inf, -np.inf, 1.00390625, 1.01171875], np.float32)


@compiled
def store(values, out):
    for k in range(values.size):
        out[k] = stored(values[k], out[k])


@compiled
def widen(bits, out):
    for k in range(bits.size):
        out[k] = widened(bits[k])


def test_widening_is_torchs():
    exact = torch.from_numpy(BITS).view(torch.bfloat16).float().numpy()
    loop = np.empty(2**16, np.float32)
    widen(BITS, loop)
    for found in (widened(BITS), loop):
        assert np.array_equal(found.view(np.uint32), exact.view(np.uint32))


def test_rounding_is_torchs():
    middles = (np.arange(2**16, dtype=np.uint32) << np.uint32(16)) + np.uint32(0x8000)
    values = np.concatenate([EDGES, middles.view(np.float32), np.linspace(-3, 3, 9999).astype(np.float32)])
    finite = values[~np.isnan(values)]
    expected = torch.from_numpy(finite).bfloat16().view(torch.uint16).numpy()
    loop = np.empty(len(finite), np.uint16)
    store(finite, loop)
    assert np.array_equal(stored(finite, BITS), expected)
    assert np.array_equal(loop, expected)


def test_not_a_number_stays_so():
    values = np.array([np.nan, -np.nan], np.float32)
    values = np.concatenate([values, np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)])
    loop = np.empty(len(values), np.uint16)
    store(values, loop)
    assert np.isnan(widened(loop)).all()
    assert np.array_equal(stored(values, BITS), loop)


def test_float32_stays_as_it_is():
    assert widened(EDGES) is EDGES
    assert stored(EDGES, EDGES) is EDGES
