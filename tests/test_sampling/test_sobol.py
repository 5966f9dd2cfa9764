"""Sobol points: the reference sequence, addressing by index, nets, uniformity, and the rate that Owen proved.

``PYTHONPATH=src python tests/test_sampling/test_sobol.py`` writes tests/golden/sobol.json anew. That file
fixes the data format: after a change of it row i of a stored dataset is no longer draw i.
"""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, qmc

from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose, uniforms
from spinlock.sampling import MAX_DIMENSIONS, sobol_points
from spinlock.sampling.directions import direction_numbers
from spinlock.sampling.sobol import sobol_integers

GOLDEN = Path(__file__).parents[1] / "golden" / "sobol.json"


def integers(points):
    exact = points * 2.0**32 - 0.5
    assert np.array_equal(exact, np.floor(exact))
    return exact.astype(np.int64)


# --- the sequence ---


def test_unscrambled_points_are_those_of_scipy_in_gray_code_order():
    count = 4096
    theirs = qmc.Sobol(MAX_DIMENSIONS, scramble=False, bits=32).random(count) * 2.0**32
    i = np.arange(count)
    ours = integers(sobol_points(i ^ (i >> 1), MAX_DIMENSIONS, seed=0, scramble=False))
    assert np.array_equal(ours, theirs)


def test_the_first_dimension_is_the_digit_reversal():
    points = sobol_points(range(8), 1, seed=0, scramble=False)[:, 0] - 0.5 / 2**32
    assert points.tolist() == [0, 1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]


def test_high_digits_of_an_index_reach_the_points():
    points = integers(sobol_points([2**31, 2**32 - 1], 1, seed=0, scramble=False))[:, 0]
    assert points.tolist() == [1, 2**32 - 1]


def test_torch_arrays_give_the_same_coordinates():
    i = np.array([0, 1, 77, 2**31, 2**32 - 1])
    theirs = sobol_integers(torch.from_numpy(i), torch.from_numpy(direction_numbers().copy()))
    assert np.array_equal(theirs.numpy(), sobol_integers(i, direction_numbers()))


def test_the_seed_matters_only_to_scrambled_points():
    plain = [sobol_points(range(64), 5, seed=seed, scramble=False) for seed in (1, 2)]
    assert np.array_equal(*plain)
    mixed = [sobol_points(range(64), 5, seed=seed) for seed in (1, 2)]
    assert not np.any(mixed[0] == mixed[1])


# --- addressed by index ---


@settings(deadline=None, derandomize=True, database=None)
@given(
    indices=st.lists(st.integers(0, 2**32 - 1), max_size=20),
    dimensions=st.integers(0, MAX_DIMENSIONS),
    scramble=st.booleans(),
)
def test_any_indices_give_the_rows_they_give_alone(indices, dimensions, scramble):
    batch = sobol_points(indices, dimensions, seed=5, scramble=scramble)
    assert batch.shape == (len(indices), dimensions)
    for row, index in zip(batch, indices, strict=True):
        assert np.array_equal(sobol_points([index], dimensions, seed=5, scramble=scramble)[0], row)


def test_ranges_arrays_lists_and_iterators_are_one_and_the_same():
    expected = sobol_points(range(1000, 9000), 26, seed=1)
    assert np.array_equal(sobol_points(np.arange(1000, 9000, dtype=np.uint16), 26, seed=1), expected)
    assert np.array_equal(sobol_points(iter(range(1000, 9000)), 26, seed=1), expected)
    assert np.array_equal(sobol_points(range(0, 9000, 1000), 26, seed=1)[2:], expected[1000::1000])
    order = np.argsort(uniforms(Key(0), Purpose.PROBE, [0], 8000)[0])
    assert np.array_equal(sobol_points(1000 + order, 26, seed=1), expected[order])


def test_fewer_dimensions_are_the_first_of_more():
    wide = sobol_points(range(100), MAX_DIMENSIONS, seed=3)
    for dimensions in (1, 2, 25, 127):
        assert np.array_equal(sobol_points(range(100), dimensions, seed=3), wide[:, :dimensions])


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([2**32], r"sample index 4294967296 is out of range: it must be in \[0, 4294967296\)"),
        ([3, -1], "sample index -1"),
        ([2**70, 1], "out of range"),
        (range(2**32, 2**32 + 2), "out of range"),
        (np.array([0.5]), "integers, not float64"),
        ([True], "integers, not bool"),
        (np.array(["1"]), "integers"),
        (np.array([None, 1]), "integers, not object"),
        (np.zeros((2, 2), dtype=int), "shape"),
    ],
)
def test_what_is_no_index_is_refused(indices, message):
    with pytest.raises(UsageError, match=message):
        sobol_points(indices, 2, seed=0)


@pytest.mark.parametrize("dimensions", [-1, MAX_DIMENSIONS + 1])
def test_dimensions_without_direction_numbers_are_refused(dimensions):
    with pytest.raises(UsageError, match=f"{dimensions} Sobol dimensions were asked for; at most 128"):
        sobol_points([0], dimensions, seed=0)


def test_a_seed_beyond_64_bits_is_refused():
    with pytest.raises(UsageError, match="seed"):
        sobol_points([0], 2, seed=2**64)


# --- nets ---


def boxes_hold_one_point_each(points, m):
    """Whether each elementary box of volume 2**-m holds exactly one of 2**m points in the plane."""
    for first in range(m + 1):
        sides = 2 ** np.array([first, m - first])
        cells = np.floor(points * sides).astype(int)
        if len(set(map(tuple, cells.tolist()))) != 2**m:
            return False
    return True


@pytest.mark.parametrize("m", [1, 2, 5, 8, 11])
@pytest.mark.parametrize("block", [0, 1, 6])
def test_the_first_two_dimensions_are_a_zero_m_two_net(m, block):
    points = sobol_points(range(block * 2**m, (block + 1) * 2**m), 2, seed=17)
    assert boxes_hold_one_point_each(points, m)


def test_random_points_and_unaligned_blocks_are_no_net():
    assert not boxes_hold_one_point_each(uniforms(Key(1), Purpose.PROBE, range(256), 2), 8)
    assert not boxes_hold_one_point_each(sobol_points(range(100, 356), 2, seed=17), 8)


def test_every_coordinate_of_an_aligned_block_is_stratified():
    points = sobol_points(range(3 * 512, 4 * 512), MAX_DIMENSIONS, seed=23)
    assert np.array_equal(
        np.sort(np.floor(points * 512), axis=0), np.tile(np.arange(512.0)[:, None], MAX_DIMENSIONS)
    )


# --- uniformity ---


@pytest.mark.parametrize("index", [0, 1, 12345, 2**32 - 1])
def test_a_point_is_uniform_over_the_seeds(index):
    points = np.concatenate([sobol_points([index], 4, seed=seed) for seed in range(1500)])
    for column in points.T:
        assert kstest(column, "uniform").pvalue > 0.002
    r = np.corrcoef(points.T)[np.triu_indices(4, k=1)]
    assert np.abs(r).max() < 4 / math.sqrt(1500)


def test_two_seeds_are_unrelated():
    # over the seeds, that is: for one pair of seeds the whole sequence shares each coin near the root
    points = np.concatenate([sobol_points([77, 78], 3, seed=seed) for seed in range(1500)]).reshape(
        1500, 2, 3
    )
    for column in points.reshape(1500, 6).T:
        for lag in (1, 2, 256):
            assert abs(np.corrcoef(column[lag:], column[:-lag])[0, 1]) < 4 / math.sqrt(1500 - lag)


def test_two_dimensions_are_unrelated_also_across_seeds():
    points = np.hstack([sobol_points(range(100, 5000), 20, seed=seed) for seed in (0, 1)])
    r = np.corrcoef(points.T)
    different = np.arange(40)[:, None] % 20 != np.arange(40) % 20
    assert np.abs(r[different]).max() < 4.5 / math.sqrt(4900)


def root_mean_square_error(sample, count):
    """Error of the average of a smooth function of known mean 1 over 40 scrambled or random point sets."""
    errors = []
    for seed in range(40):
        points = sample(count, seed)
        errors.append(np.prod(1 + (np.exp(points) - (math.e - 1)), axis=1).mean() - 1)
    return math.sqrt(np.mean(np.square(errors)))


def rate(sample):
    counts = [64, 256, 1024]
    errors = [root_mean_square_error(sample, count) for count in counts]
    return np.polyfit(np.log(counts), np.log(errors), 1)[0]


def test_averages_converge_at_the_rate_of_owen_not_of_random_points():
    # Owen (1997): O(N^-3/2) up to logarithms for smooth functions, against N^-1/2
    scrambled = rate(lambda count, seed: sobol_points(range(count), 2, seed=seed))
    independent = rate(lambda count, seed: uniforms(Key(seed), Purpose.PROBE, range(count), 2))
    assert scrambled < -1.25
    assert independent == pytest.approx(-0.5, abs=0.25)


# --- golden points ---


def golden_points():
    indices = [0, 1, 2, 12_345, 2**31, 2**32 - 1]
    records = []
    for seed, scramble in itertools.product((0, 42, 2**64 - 1), (True, False)):
        points = integers(sobol_points(indices, MAX_DIMENSIONS, seed=seed, scramble=scramble))
        columns = [0, 1, 2, 25, 127]
        records.append(
            {"seed": seed, "scramble": scramble, "indices": indices, "dimensions": columns}
            | {"coordinates": points[:, columns].tolist()}
        )
    return records


def test_points_are_those_of_the_first_version():
    assert golden_points() == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_points(), indent=1) + "\n")
