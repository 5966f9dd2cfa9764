"""Nested uniform scrambling: the property that defines it, balance of its bits, numpy against torch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.keys import Key, Purpose, words
from spinlock.sampling.directions import BITS
from spinlock.sampling.scrambling import dimension_keys, mix64, owen_scramble

FIXED = settings(deadline=None, derandomize=True, database=None)
WORDS32 = st.integers(0, 2**32 - 1)


def scrambled(x, seed=0, dimension=0):
    return owen_scramble(np.asarray(x, dtype=np.int64), dimension_keys(seed, dimension + 1)[dimension])


def shared_bits(a, b):
    return BITS - int(a ^ b).bit_length()


def test_the_finaliser_is_that_of_splitmix64():
    # SplitMix64 from state 1234567: the first outputs of the generator's reference implementation
    gamma = 0x9E37_79B9_7F4A_7C15
    states = [(1234567 + (k + 1) * gamma) % 2**64 for k in range(3)]
    output = mix64(np.array(states, dtype=np.uint64).view(np.int64)).view(np.uint64)
    assert output.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_finaliser_equals_arithmetic_on_integers_of_any_size():
    def reference(z):
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    values = words(Key(5), Purpose.PROBE, range(200), 2)
    z = values[:, 0] << 32 | values[:, 1]
    assert (z < 0).any()
    assert mix64(z).view(np.uint64).tolist() == [reference(int(v) % 2**64) for v in z]


@FIXED
@given(x=WORDS32, y=WORDS32, seed=st.integers(0, 2**64 - 1), dimension=st.integers(0, 127))
def test_as_many_leading_bits_agree_after_as_before(x, y, seed, dimension):
    # for all pairs: output bit k is input bit k, flipped or not by the bits above it and by nothing else
    a, b = scrambled([x, y], seed, dimension)
    assert shared_bits(a, b) == shared_bits(x, y)


@FIXED
@given(x=WORDS32, k=st.integers(0, 31), low=WORDS32)
def test_neighbours_in_the_tree_are_kept_apart_at_their_own_level(x, k, low):
    bit = 1 << (31 - k)
    y = (x ^ bit) & ~(bit - 1) | low & (bit - 1)
    a, b = scrambled([x, y], seed=3)
    assert shared_bits(a, b) == k


@pytest.mark.parametrize("k", [1, 2, 5, 12])
def test_the_top_bits_are_a_bijection_of_the_top_bits(k):
    top = np.arange(2**k)
    below = words(Key(1), Purpose.PROBE, range(3), 2**k) >> k
    outputs = scrambled(top << (BITS - k) | below, seed=9) >> (BITS - k)
    assert np.array_equal(outputs[0], outputs[1]), "the lower bits have no say in the upper ones"
    assert np.array_equal(outputs[0], outputs[2])
    assert np.array_equal(np.sort(outputs[0]), top)
    assert k == 1 or not np.array_equal(outputs[0], top)


def test_a_plain_random_permutation_is_not_nested():
    # the control: an odd multiplier is a bijection too, but its upper bits depend on the lower ones
    a, b = (np.array([0, 1]) * 0x9E3779B1) % 2**32
    assert shared_bits(a, b) != shared_bits(0, 1)


def flips(seeds, x):
    """Flip of bit k of coordinate x under many seeds, [seeds, x, 32] of 0 and 1."""
    x = np.asarray(x, dtype=np.int64)
    keys = np.array([dimension_keys(seed, 1)[0] for seed in range(seeds)])
    changed = owen_scramble(x[None, :], keys[:, None]) ^ x
    return (changed[..., None] >> np.arange(BITS - 1, -1, -1)) & 1


def test_every_flip_is_a_fair_coin():
    tossed = flips(2000, [0, 1, 2**31, 2**32 - 1, 0x9E3779B9])
    assert np.abs(tossed.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / math.sqrt(2000)


def test_flips_at_different_nodes_are_independent_coins():
    # bits 1...31 of coordinates that part at the first bit have 62 different nodes
    tossed = flips(3000, [0, 2**32 - 1])[:, :, 1:].reshape(3000, -1).astype(float)
    r = np.corrcoef(tossed.T)[np.triu_indices(tossed.shape[1], k=1)]
    assert np.abs(r).max() < 4.8 / math.sqrt(3000)
    assert r.std() == pytest.approx(1 / math.sqrt(3000), rel=0.1)


def test_neighbouring_nodes_flip_independently_in_one_tree():
    prefixes = np.arange(2**14)
    for k in (14, 20):
        x = prefixes << (BITS - 14)
        flip = (scrambled(x, seed=1) ^ x) >> (BITS - 1 - k) & 1
        signs = 2.0 * flip - 1
        for lag in (1, 2, 3, 4, 8, 16, 1024):
            assert abs((signs[lag:] * signs[:-lag]).mean()) < 4.5 / math.sqrt(2**14 - lag)


def test_the_same_node_at_another_depth_or_dimension_or_seed_is_another_coin():
    x = np.arange(2**14) << (BITS - 14)

    def coins(depth, **tree):
        return (scrambled(x, **tree) ^ x) >> (BITS - 1 - depth) & 1

    for other in (coins(15), coins(14, seed=1), coins(14, dimension=1), coins(14, seed=2**63)):
        assert abs((coins(14) == other).mean() - 0.5) < 4.5 * 0.5 / math.sqrt(len(x))


def test_dimension_keys_differ_and_do_not_depend_on_how_many_are_asked_for():
    keys = dimension_keys(7, 128)
    assert len(set(keys.tolist())) == 128
    assert np.array_equal(dimension_keys(7, 5), keys[:5])
    assert dimension_keys(7, 0).shape == (0,)
    assert not np.any(dimension_keys(8, 128) == keys)


def test_torch_arrays_are_scrambled_to_the_same_bits():
    x = words(Key(2), Purpose.PROBE, range(500), 20)
    keys = dimension_keys(11, 20)
    theirs = owen_scramble(torch.from_numpy(x), torch.from_numpy(keys))
    assert theirs.dtype == torch.int64
    assert np.array_equal(theirs.numpy(), owen_scramble(x, keys))
