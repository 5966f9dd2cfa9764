"""The choice of rows: different ones, in a stated way, by a seed of its own."""

import numpy as np
import pytest

from spinlock.dataset import open_dataset
from spinlock.dataset.selection import SELECTIONS, checked_rows, select_rows
from spinlock.errors import UsageError


class Rows:
    """As much of a dataset as the choice reads."""

    path = "a.h5"

    def __init__(self, points):
        self.points = points

    def __len__(self):
        return len(self.points)


def lattice(side=12):
    """Points in the middles of side² equal squares, in the order of rows."""
    middles = (np.arange(side) + 0.5) / side
    return Rows(np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2))


@pytest.mark.parametrize("method", SELECTIONS)
def test_rows_are_different_ascending_and_as_many_as_asked_for(everything, method):
    with open_dataset(everything) as dataset:
        for count in (1, 5, 11, 12, 40):
            rows = select_rows(dataset, count, method, 42)
            assert rows == sorted(set(rows))
            assert len(rows) == min(count, 12)
            assert set(rows) <= set(range(12))
            assert rows == select_rows(dataset, count, method, 42)


def test_sobol_spreads_over_the_space_and_the_first_rows_do_not():
    def occupied(rows):
        quarter = (lattice().points[rows] * 4).astype(int)
        return len({tuple(square) for square in quarter})

    for seed in range(8):
        assert occupied(select_rows(lattice(), 16, "sobol", seed)) >= 15
    assert occupied(select_rows(lattice(), 16, "sequential", 0)) <= 8


def test_random_rows_are_all_equally_likely():
    counts = np.zeros(144)
    for seed in range(400):
        counts[select_rows(lattice(), 36, "random", seed)] += 1
    assert abs(counts.mean() - 100) < 1e-9
    assert counts.std() < 1.25 * np.sqrt(400 * 0.25 * 0.75)


def test_the_seed_matters_where_there_is_a_choice():
    for method, differ in (("sobol", True), ("random", True), ("sequential", False)):
        assert (select_rows(lattice(), 9, method, 1) != select_rows(lattice(), 9, method, 2)) is differ


def test_a_space_without_parameters_is_spread_over_its_rows():
    rows = select_rows(Rows(np.empty((64, 0))), 8, "sobol", 3)
    assert {row // 8 for row in rows} == set(range(8))


def test_given_rows_keep_their_order_and_wrong_ones_are_named():
    assert checked_rows(lattice(), [7, 0, -1]) == [7, 0, 143]
    with pytest.raises(UsageError, match=r"144, -145: a\.h5 holds 144 operators, 0 to 143"):
        checked_rows(lattice(), [3, 144, -145])
    with pytest.raises(UsageError, match="143 given more than once"):
        checked_rows(lattice(), [143, -1])
