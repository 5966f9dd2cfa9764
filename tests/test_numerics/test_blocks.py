"""Compiled Philox blocks: the integers of the definition in `spinlock.keys`."""

import numpy as np
import pytest
import torch

from spinlock.keys import Key, Purpose, philox4x32
from spinlock.numerics.blocks import philox_blocks
from spinlock.numerics.random import random_words

LARGEST = 2**32 - 1


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
def test_blocks_are_those_of_the_definition(count):
    rows = np.array([[0, 1, LARGEST, 12345], [0, 7, LARGEST, 2**31], [3, 0, LARGEST, 1]], np.int64)
    for key in ((0, 0), (LARGEST, LARGEST), Key(42, "domain").words):
        expected = philox4x32((np.arange(count)[None, :], *rows[:, :, None]), key)
        shape = (4, count)
        for row in range(4):
            wanted = np.stack([np.broadcast_to(word, (4, count))[row] for word in expected])
            assert wanted.shape == shape
            assert np.array_equal(philox_blocks(rows, count, key)[:, row], wanted)


def test_known_answer():
    """The vector of Random123 for counter and key of zeros (kat_vectors, philox4x32 10)."""
    words = philox_blocks(np.zeros((3, 1), np.int64), 1, (0, 0))
    assert [f"{word:08x}" for word in words[:, 0, 0]] == ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"]


def test_words_of_a_cpu_are_those_a_gpu_computes():
    steps = torch.tensor([0, 5, 65535])
    key = Key(2**64 - 1, "a part")
    words = random_words(key, Purpose.NOISE, 10, samples=3, steps=steps, site=9, realizations=4)
    columns = (steps << 16 | 9)[:, None], torch.tensor([[3]]), torch.tensor([[4 << 16 | Purpose.NOISE]])
    expected = philox4x32((torch.arange(3)[None, :], *columns), key.words)
    assert torch.equal(words, torch.stack(torch.broadcast_tensors(*expected)))
