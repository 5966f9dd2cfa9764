"""The order of an epoch: every place once, keyed, local, and the same for whoever computes it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.errors import UsageError
from spinlock.torch import Order


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    places=st.integers(1, 700),
    block=st.integers(1, 90),
    buffer=st.integers(1, 9),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**16 - 1),
)
def test_every_place_occurs_once(places, block, buffer, seed, epoch):
    order = Order(places, block, buffer, seed, epoch)
    found = list(order)
    assert sorted(found) == list(range(places))
    assert found == list(order)


def test_seed_and_epoch_change_it():
    orders = [list(Order(200, 16, 4, seed, epoch)) for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_unshuffled_is_ascending():
    assert list(Order(100, shuffle=False)) == list(range(100))


def test_a_buffer_reads_no_more_than_its_blocks():
    """Within the places of one buffer, only as many blocks occur as the buffer holds."""
    order = list(Order(1024, block=16, buffer=4, seed=5))
    for first in range(0, 1024, 64):
        assert len({place // 16 for place in order[first : first + 64]}) == 4
    assert len({place // 16 for place in list(Order(1024, block=1024, seed=5))[:64]}) > 20  # the control


def test_places_are_equally_likely_anywhere():
    """In a full permutation of 8 each place comes first equally often (χ² below its 99.9 % point)."""
    first = [next(iter(Order(8, block=8, seed=seed))) for seed in range(4000)]
    counts = np.bincount(first, minlength=8)
    assert ((counts - 500) ** 2 / 500).sum() < 24.3


def test_ten_million_places_are_begun_at_once():
    """Only block numbers and one buffer are held."""
    order = iter(Order(10_000_000, seed=1))
    assert len({next(order) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("arguments", [(0,), (5, 0), (5, 1, 0)])
def test_an_order_of_nothing_is_refused(arguments):
    with pytest.raises(UsageError, match="at least one place"):
        Order(*arguments)
