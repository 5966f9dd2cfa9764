"""Sampling quality: formulas against references, bars against random points, controls that fail one."""

import json
import math
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from scipy import stats

from spinlock.errors import SpinlockError
from spinlock.keys import Key, Purpose, uniforms
from spinlock.sampling import assess, judge, sobol_points
from spinlock.sampling.balance import imbalances, random_imbalance, strata_for
from spinlock.sampling.correlation import correlations, random_correlation
from spinlock.sampling.discrepancy import centred_discrepancy, random_discrepancy

LIMITS = {"max_discrepancy_ratio": 1.0, "max_correlation": 1.0, "max_imbalance": 1.0}


def random_points(count, dimensions, seed=0):
    return uniforms(Key(seed, "quality"), Purpose.PROBE, range(count), dimensions)


# --- centred discrepancy ---


@pytest.mark.parametrize(
    ("count", "dimensions"), [(1, 1), (2, 3), (7, 2), (8, 4), (9, 5), (100, 1), (333, 25), (64, 60)]
)
def test_discrepancy_is_that_of_scipy(count, dimensions):
    points = random_points(count, dimensions)
    expected = stats.qmc.discrepancy(points, method="CD")
    assert centred_discrepancy(points) == pytest.approx(expected, rel=1e-9, abs=1e-13)


def test_discrepancy_of_one_point_in_the_centre():
    # all deviations vanish: (13/12)^P - 2 + 1
    assert centred_discrepancy(np.full((1, 3), 0.5)) == pytest.approx((13 / 12) ** 3 - 1, rel=1e-15)


def test_discrepancy_of_a_centred_lattice_in_one_dimension_is_the_least_there_is():
    for count in (1, 10, 1000):
        lattice = ((np.arange(count) + 0.5) / count)[:, None]
        assert centred_discrepancy(lattice) == pytest.approx(1 / (12 * count**2), rel=1e-6)


def test_discrepancy_does_not_change_under_reflection_or_order():
    points = random_points(200, 6)
    mirrored = points.copy()
    mirrored[:, [1, 4]] = 1 - mirrored[:, [1, 4]]
    expected = centred_discrepancy(points)
    for same in (mirrored, points[::-1], points[:, ::-1]):
        assert centred_discrepancy(np.ascontiguousarray(same)) == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize(("count", "dimensions"), [(5, 2), (40, 8), (64, 25)])
def test_the_expectation_for_random_points_is_exact(count, dimensions):
    drawn = [centred_discrepancy(random_points(count, dimensions, seed)) for seed in range(600)]
    error = np.std(drawn) / math.sqrt(len(drawn))
    assert np.mean(drawn) == pytest.approx(random_discrepancy(count, dimensions), abs=4 * error)
    assert error < 0.03 * random_discrepancy(count, dimensions)


# --- correlation ---


def test_correlations_are_those_of_numpy_also_far_from_the_origin():
    for points in (random_points(9000, 7), 1e-6 * random_points(500, 4) + 0.999):
        expected = np.corrcoef(points.T)
        assert np.abs(correlations(points) - expected).max() < 1e-9
        assert np.array_equal(correlations(points), correlations(points).T)


def test_a_column_that_does_not_vary_has_no_correlation():
    points = random_points(100, 3)
    points[:, 1] = 0.1
    r = correlations(points)
    assert r[0, 1] == r[1, 2] == 0
    assert r[0, 2] == pytest.approx(np.corrcoef(points[:, 0], points[:, 2])[0, 1], abs=1e-12)


def test_the_bar_for_one_pair_is_the_published_one():
    # critical values of r, two-sided 5 %, 10 and 100 degrees of freedom (Fisher & Yates 1938)
    assert random_correlation(12, 2) == pytest.approx(0.576, abs=5e-4)
    assert random_correlation(102, 2) == pytest.approx(0.195, abs=5e-4)


@pytest.mark.parametrize(("count", "dimensions"), [(100, 2), (200, 10)])
def test_the_largest_correlation_of_random_points_exceeds_its_bar_in_one_case_of_twenty(count, dimensions):
    bar = random_correlation(count, dimensions)
    over = [
        np.abs(np.triu(correlations(random_points(count, dimensions, seed)), k=1)).max() > bar
        for seed in range(1000)
    ]
    assert np.mean(over) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 1000))


# --- stratum balance ---


@pytest.mark.parametrize(
    ("count", "strata"),
    [(0, 1), (1, 1), (15, 1), (16, 2), (31, 2), (32, 4), (100, 8), (511, 32), (512, 64), (10**6, 64)],
)
def test_strata_are_a_power_of_two_with_at_least_eight_points_each(count, strata):
    assert strata_for(count) == strata


def test_imbalance_is_the_chi_square_of_the_counts():
    points = random_points(400, 3)
    for column, imbalance in zip(points.T, imbalances(points, 16), strict=True):
        counts = np.histogram(column, bins=16, range=(0, 1))[0]
        assert imbalance == pytest.approx(stats.chisquare(counts).statistic, rel=1e-12)


def test_stratified_points_are_perfectly_balanced_and_edges_belong_to_a_stratum():
    edges = np.array([[0.0], [0.25], [0.5], [0.75], [1.0 - 2**-53], [0.3], [0.6], [1.0]])
    assert imbalances(edges, 4).tolist() == [1.0]  # counts 1, 2, 2, 3 where 2 are expected
    assert imbalances(sobol_points(range(1024), 9, seed=0), 64).tolist() == [0.0] * 9
    # points at 1 fill the last stratum and no stratum of their own
    assert imbalances(np.array([[0.1], [0.4], [1.0], [1.0]]), 2).tolist() == [0.0]


@pytest.mark.parametrize(("count", "dimensions"), [(256, 1), (600, 10)])
def test_the_worst_column_of_random_points_exceeds_its_bar_in_one_case_of_twenty(count, dimensions):
    strata = strata_for(count)
    bar = random_imbalance(strata, dimensions)
    over = [imbalances(random_points(count, dimensions, seed), strata).max() > bar for seed in range(1000)]
    # the chi-square law is approximate at eight points a stratum
    assert np.mean(over) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 1000) + 0.005)


def test_the_bar_for_one_column_is_the_published_one():
    assert random_imbalance(8, 1) == pytest.approx(14.067, abs=5e-4)  # chi-square, 7 degrees of freedom, 95 %


# --- assessing ---


@pytest.mark.parametrize("count", [192, 1000, 4096])
def test_sobol_points_beat_the_bar_of_random_points(count):
    quality = assess(sobol_points(range(count), 12, seed=42))
    assert quality.discrepancy_ratio is not None
    assert quality.discrepancy_ratio < 0.5
    assert judge(quality, **LIMITS).outcome == "pass"


def test_random_points_stand_at_the_bar():
    qualities = [assess(random_points(500, 6, seed)) for seed in range(60)]
    assert np.mean([q.discrepancy_ratio for q in qualities]) == pytest.approx(1.0, abs=0.05)
    for ratios in ([q.correlation_ratio for q in qualities], [q.imbalance_ratio for q in qualities]):
        assert 0.5 < np.mean(ratios) < 1
        assert np.mean(np.array(ratios) > 1) < 0.2


def failed(points, names=None, **limits):
    verdict = judge(assess(points, names), **(LIMITS | limits))
    return verdict.outcome, " / ".join(verdict.failures)


def test_random_points_fail_a_bar_on_discrepancy_and_only_that():
    outcome, message = failed(random_points(1000, 6), max_discrepancy_ratio=0.5)
    assert outcome == "fail"
    assert message.startswith("centred discrepancy is ")
    assert message.endswith("times that of random points; max_discrepancy_ratio allows 0.5")
    assert "correlation" not in message
    assert "imbalance" not in message


def test_a_correlated_pair_fails_correlation_and_only_that():
    points = sobol_points(range(1024), 6, seed=1)
    # one column follows another in a third of the cube; the other metrics get room for what that costs them
    points[:, 4] = np.where(points[:, 0] < 0.35, points[:, 1], points[:, 4])
    limits = {"max_discrepancy_ratio": 10.0, "max_imbalance": 3.0}
    outcome, message = failed(points, ["a", "b", "c", "d", "e", "f"], **limits)
    assert outcome == "fail"
    assert message.startswith("correlation between b and e is ")
    assert "discrepancy" not in message
    assert "imbalance" not in message
    assert failed(sobol_points(range(1024), 6, seed=1), **limits) == ("pass", "")


def test_a_clumped_column_fails_balance_and_only_that():
    points = sobol_points(range(1024), 6, seed=1)
    # all of a stratum's points move into its lower half: means and correlations barely notice
    points[:, 3] = (np.floor(points[:, 3] * 32) + (points[:, 3] * 32 % 1) / 2) / 32
    outcome, message = failed(points, ["a", "b", "c", "d", "e", "f"])
    assert outcome == "fail"
    assert message.startswith("imbalance of d is ")
    assert "discrepancy" not in message
    assert "correlation" not in message


def test_only_the_first_4096_points_enter_the_discrepancy():
    points = sobol_points(range(4200), 2, seed=1)
    clumped = points.copy()
    clumped[4096:] = 0.5
    assert assess(clumped).discrepancy == assess(points).discrepancy == assess(points[:4096]).discrepancy
    assert assess(clumped).max_imbalance != assess(points).max_imbalance


def test_values_are_recorded_by_name_and_survive_json():
    points = sobol_points(range(500), 3, seed=0)
    quality = assess(points, ["x", "y", "z"])
    assert list(quality.imbalance_ratios) == ["x", "y", "z"]
    assert quality.imbalance_ratio == max(quality.imbalance_ratios.values())
    assert set(quality.correlated_pair or ()) < {"x", "y", "z"}
    text = json.dumps(quality.as_dict(), allow_nan=False)
    assert json.loads(text)["discrepancy"] == quality.discrepancy


@pytest.mark.parametrize(
    ("count", "dimensions"), [(0, 0), (0, 3), (1, 1), (1, 4), (2, 2), (3, 2), (15, 1), (20, 0)]
)
def test_small_samplings_give_values_or_none_never_nan(count, dimensions):
    quality = assess(
        random_points(count, dimensions) if count and dimensions else np.zeros((count, dimensions))
    )
    json.dumps(quality.as_dict(), allow_nan=False)
    assert judge(quality, **LIMITS).outcome in ("pass", "fail", "too few points")


@pytest.mark.parametrize("count", [15, 16, 17])
def test_balance_is_measured_from_two_strata_on(count):
    quality = assess(random_points(count, 2), ["a", "b"])
    measured = count >= 16
    assert quality.num_strata == (2 if measured else 1)
    assert (quality.max_imbalance is not None) == measured
    assert (quality.imbalance_ratio is not None) == measured
    assert list(quality.imbalance_ratios) == (["a", "b"] if measured else [])


@pytest.mark.parametrize("count", [2, 3])
def test_correlation_is_measured_from_three_points_on(count):
    assert (assess(random_points(count, 2)).max_correlation is not None) == (count == 3)


def test_one_parameter_has_no_correlation():
    quality = assess(sobol_points(range(100), 1, seed=0))
    assert (quality.max_correlation, quality.correlation_ratio, quality.correlated_pair) == (None, None, None)
    assert judge(quality, **LIMITS).outcome == "pass"


def test_identical_points_fail_but_can_be_assessed():
    quality = assess(np.full((100, 3), 0.25))
    assert quality.max_correlation == 0
    assert quality.correlated_pair is None
    assert len(judge(quality, **LIMITS).failures) == 2


def test_a_verdict_needs_sixteen_points_for_each_parameter():
    for count, outcome in [(16 * 5 - 1, "too few points"), (16 * 5, "fail")]:
        verdict = judge(assess(random_points(count, 5)), **(LIMITS | {"max_discrepancy_ratio": 0.01}))
        assert verdict.outcome == outcome
        assert bool(verdict.failures) == (outcome == "fail")


def test_what_was_measured_and_judged_cannot_be_changed():
    quality = assess(random_points(200, 3))
    for value, name in [(quality, "discrepancy_ratio"), (judge(quality, **LIMITS), "outcome")]:
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, None)


@pytest.mark.parametrize("outside", [-0.01, 1.01, math.nan])
def test_points_outside_the_cube_are_refused(outside):
    points = random_points(50, 2)
    points[7, 1] = outside
    with pytest.raises(SpinlockError, match="unit cube"):
        assess(points)


def test_sampling_and_its_quality_load_neither_torch_nor_scipy_stats():
    program = (
        "import sys; from spinlock.sampling import assess, sobol_points;"
        "assess(sobol_points(range(64), 3, seed=0));"
        "print([name for name in ('torch', 'scipy.stats', 'numpy') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
    )
    assert run.stdout.strip() == "['numpy']"
