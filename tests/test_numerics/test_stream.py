"""Streams inside compiled loops give the numbers that keyed arrays give."""

import math

import numpy as np
import pytest
import torch

from spinlock.keys import Key, Purpose, uniforms, words
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.stream import next_direction, next_uniform, next_word, streams


@pytest.fixture(scope="module")
def keys():
    return SampleKeys.of(Key(7, "part"), torch.tensor([3, 2**32 - 1]), ("walk",), torch.tensor([0, 5]))


def test_words_are_those_of_the_keyed_array(keys):
    rows = streams(keys, "walk", step=9)
    for row, (index, draw) in enumerate([(3, 0), (2**32 - 1, 5)]):
        wanted = words(
            keys.key,
            Purpose.INITIAL_CONDITION,
            [index],
            103,
            site=keys.sites["walk"],
            step=9,
            realization=draw,
        )[0]
        assert [int(next_word(rows[row])) for _ in range(103)] == wanted.tolist()


def test_uniforms_are_those_of_the_keyed_array(keys):
    row = streams(keys, "walk")[0]
    wanted = uniforms(keys.key, Purpose.INITIAL_CONDITION, [3], 50, site=keys.sites["walk"])[0]
    assert [next_uniform(row) for _ in range(50)] == wanted.tolist()


def test_a_stream_starts_afresh_and_leaves_its_neighbours(keys):
    first = streams(keys, "walk")
    untouched = first[1].copy()
    begun = [int(next_word(first[0])) for _ in range(5)]
    assert np.array_equal(first[1], untouched)
    again = streams(keys, "walk")[0]
    assert [int(next_word(again)) for _ in range(5)] == begun


def test_directions_are_uniform_on_the_circle(keys):
    row = streams(keys, "walk", step=1)[0]
    points = np.array([next_direction(row) for _ in range(4000)])
    assert np.abs(np.hypot(*points.T) - 1.0).max() < 1e-14
    angle = np.arctan2(points[:, 1], points[:, 0])
    for harmonic in range(1, 9):
        assert abs(np.exp(1j * harmonic * angle).mean()) < 4.0 / math.sqrt(4000)
