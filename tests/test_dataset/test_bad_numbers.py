"""Rollouts that leave the finite range: labelled, stored up to there, measured by the rules, alone in it."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import tiny
from spinlock.dataset import open_dataset
from spinlock.dataset.validate import validate
from spinlock.execution import plan
from spinlock.features import extract
from spinlock.storage.feature_layout import (
    AGGREGATED,
    EXTRACTION_TIME,
    FINITE_STEPS,
    NUM_REALIZATIONS,
    PER_TIMESTEP,
    PER_TRAJECTORY,
)
from test_dataset import bursts, feature_files
from test_dataset.bursts import APPLIED, REALIZATIONS, SAMPLES, STEPS, bursting, made, together

NAN, INF = float("nan"), float("inf")
LAST = STEPS + 1
SICK = 1
"""The sample that all this happens to; it shares its shard with another."""

CASES = {
    "one realization is NaN": ({(SICK, 1, 9): NAN}, [LAST, 9, LAST]),
    "the first, which the twin follows, overflows": ({(SICK, 0, 9): -INF}, [9, LAST, LAST]),
    "beyond the limit": ({(SICK, 2, 9): 1.00001e8}, [LAST, LAST, 9]),
    "all at the first step": (together((SICK, 1), NAN), [1, 1, 1]),
    "all at different steps": ({(SICK, 0, 2): NAN, (SICK, 1, 5): INF, (SICK, 2, STEPS): NAN}, [2, 5, STEPS]),
}

OPERATOR_COLUMNS = 10


@dataclass(frozen=True)
class Made:
    """A dataset, how often each (sample, realization) was advanced, and the counts of finite frames."""

    path: object
    applied: dict
    finite: list[int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with bursts.registered(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FEWEST_SHARDS", 2)
        yield tmp_path_factory.mktemp("bursts")


@pytest.fixture(scope="module")
def tame(folder):
    return made(folder / "tame.h5", {})


SELDOM = ("beyond the limit", "the first, which the twin follows, overflows")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SELDOM)) for name in CASES],
)
def case(folder, request):
    table, finite = CASES[request.param]
    path = made(folder / f"{request.param}.h5", table)
    return Made(path, dict(APPLIED), finite)


def rows(path, but: int | None = None) -> dict[str, bytes]:
    """The bytes of every array with a row for each sample, without one of the rows; times are left out."""
    kept = [row for row in range(SAMPLES) if row != but]
    timed = (EXTRACTION_TIME, "metadata/checksums/rows")
    return {
        name: bits(values[kept])
        for name, values in tiny.arrays(path).items()
        if values.shape[:1] == (SAMPLES,) and name not in timed
    }


def bits(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values).tobytes()


def test_a_rollout_that_leaves_the_finite_range_is_stored_up_to_there(case, tame):
    assert validate(case.path).failures == []
    with open_dataset(case.path) as dataset, open_dataset(tame) as control:
        sick, healthy = dataset[SICK], control[SICK]
        assert (sick.metadata["dynamics"], healthy.metadata["dynamics"] == "diverged") == ("diverged", False)
        assert np.isnan(sick.metadata["lyapunov"])
        assert sick.metadata["finite_steps"].tolist() == case.finite
        assert bits(sick.inputs) == bits(healthy.inputs)
        assert sick.trajectories is not None
        assert healthy.trajectories is not None
        for m, count in enumerate(case.finite):
            assert bits(sick.trajectories[m, :count]) == bits(healthy.trajectories[m, :count])
            assert np.isnan(sick.trajectories[m, count:]).all()
            assert bits(sick.outputs[m]) == bits(sick.trajectories[m, -1])


def test_neighbours_keep_every_bit(case, tame):
    """Rows of the same shard and of others, fields, features and tables; the row itself does change."""
    assert rows(case.path, but=SICK) == rows(tame, but=SICK)
    assert {name for name, values in rows(case.path).items() if values != rows(tame)[name]} >= {
        "outputs/fields",
        "outputs/trajectories",
        "metadata/finite_steps",
        "metadata/dynamics",
        PER_TIMESTEP,
        PER_TRAJECTORY,
    }
    assert len(rows(tame)) > 20


def test_nothing_is_computed_after_the_end_of_a_realization(case):
    """Realization 0 is advanced for its twin too, which ends with it."""
    for m, count in enumerate(case.finite):
        assert case.applied[SICK, m] == min(count, STEPS) * (1 + (m == 0))
        assert case.applied[0, m] == STEPS * (1 + (m == 0))


def test_its_features_are_those_of_its_finite_frames(case, tame):
    """Each realization measured alone, on its finite frames, and put together by the documented rules."""
    found, healthy = tiny.arrays(case.path), tiny.arrays(tame)
    alive = (np.arange(LAST) < np.array(case.finite)[:, None]).sum(axis=0)
    assert found[NUM_REALIZATIONS][SICK].tolist() == alive.tolist()
    assert found[FINITE_STEPS][SICK].tolist() == case.finite
    frames = torch.from_numpy(healthy["outputs/trajectories"][SICK])
    single = [extract(frames[None, m : m + 1, :count]) for m, count in enumerate(case.finite)]
    assert np.array_equal(
        found[PER_TRAJECTORY][SICK],
        np.stack([table.per_trajectory[0, 0] for table in single]),
        equal_nan=True,
    )
    steps = np.full((REALIZATIONS, LAST, found[PER_TIMESTEP].shape[-1]), np.nan)
    for m, table in enumerate(single):
        steps[m, : case.finite[m]] = table.per_timestep[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no number is NaN
        expected = np.nanmean(steps, axis=0)
        summary = [np.nanmean(found[PER_TRAJECTORY][SICK].astype(float), axis=0)]
        summary += [np.nanstd(found[PER_TRAJECTORY][SICK].astype(float), axis=0, ddof=1)]
    np.testing.assert_allclose(found[PER_TIMESTEP][SICK], expected, rtol=2e-6, equal_nan=True)
    assert np.isnan(found[PER_TIMESTEP][SICK][alive == 0]).all()
    measured = found[AGGREGATED][SICK]
    for place, values in enumerate(summary):
        np.testing.assert_allclose(measured[place:-OPERATOR_COLUMNS:3], values, rtol=1e-4, atol=1e-6)
    assert bits(measured[-OPERATOR_COLUMNS:]) == bits(healthy[AGGREGATED][SICK][-OPERATOR_COLUMNS:])


SHORTEST = {
    2: ("energy_growth_rate", "variance_growth_rate", "final_to_initial_ratio"),
    3: ("energy_growth_accel", "trajectory_smoothness", "regime_switches", "trend_strength"),
    4: ("temporal_freq_dominant", "oscillation_amplitude", "oscillation_period", "autocorr_decay_time"),
    8: ("lyapunov_approx",),
}
"""The fewest frames that each temporal feature needs."""


def test_a_feature_is_nan_exactly_where_its_frames_are_too_few(folder):
    """One realization each of 1, 2, 3, 4, 7 and 8 finite frames, and one that stays finite."""
    ends = (1, 2, 3, 4, 7, 8)
    table = {(SICK, m, count): NAN for m, count in enumerate(ends)}
    path = made(folder / "ends.h5", table, {"simulation.num_realizations": len(ends) + 1})
    assert validate(path).failures == []
    found = tiny.arrays(path)
    columns = extract(torch.zeros(1, 1, 2, 1, 8, 8)).columns["per_trajectory"]
    for least, names in SHORTEST.items():
        for name in names:
            values = found[PER_TRAJECTORY][SICK][:, columns.index(name)]
            expected = [count < least for count in (*ends, LAST)]
            assert np.isnan(values).tolist() == expected, name


# --- finite, but extreme ---


def test_the_limit_itself_is_finite(folder, tame):
    """1e8 in one pixel for one step: an extreme state, no divergence, and no harm to the features."""
    path = made(folder / "limit.h5", {(SICK, 1, 9): 1e8})
    assert validate(path).failures == []
    assert rows(path, but=SICK) == rows(tame, but=SICK)
    with open_dataset(path) as dataset:
        sample = dataset[SICK]
        assert sample.metadata["finite_steps"].tolist() == [LAST] * REALIZATIONS
        assert sample.metadata["dynamics"] != "diverged"
        assert sample.trajectories is not None
        assert sample.trajectories[1, 9, 0, 3, 5] == np.float32(1e8)
    found = tiny.arrays(path)
    for name in (PER_TIMESTEP, PER_TRAJECTORY, AGGREGATED):
        assert not np.isinf(found[name]).any()
        assert np.array_equal(np.isnan(found[name][SICK]), np.isnan(found[name][0]))


def test_exact_zeros_are_a_dead_rollout(folder, monkeypatch):
    """Every output of one sample is zero; the noise before it changes nothing."""

    def silent(y, hook):
        return y * 0 if isinstance(hook, bursts.Told) and hook.stream._sample == SICK else y

    monkeypatch.setattr(bursts.Tame, "_burst", staticmethod(silent))
    path = made(folder / "dead.h5", {})
    assert validate(path).failures == []
    with open_dataset(path) as dataset:
        sample = dataset[SICK]
        assert sample.metadata["dynamics"] == "dead"
        assert sample.metadata["finite_steps"].tolist() == [LAST] * REALIZATIONS
        assert sample.trajectories is not None
        assert not sample.trajectories[:, 1:].any()
        assert [dataset[row].metadata["dynamics"] == "dead" for row in range(SAMPLES)] == [
            row == SICK for row in range(SAMPLES)
        ]
    found = tiny.arrays(path)
    assert np.isfinite(found[PER_TRAJECTORY][SICK]).sum() == np.isfinite(found[PER_TRAJECTORY][0]).sum()
    assert not np.isinf(found[AGGREGATED]).any()


# --- storage and arithmetic of fewer bits ---

HALF = {"dataset.storage.precision": "float16"}


def test_an_overflow_of_float16_storage_is_counted_and_stored_as_nan(folder, tame):
    table = {(SICK, 1, 9): 7e4, (SICK, 2, 5): 65504.0}
    control = made(folder / "half, tame.h5", {}, HALF)
    path, exact = made(folder / "half.h5", table, HALF), made(folder / "exact.h5", table)
    assert validate(path).failures == []
    assert rows(path, but=SICK) == rows(control, but=SICK)
    with open_dataset(path) as dataset, open_dataset(exact) as full:
        sample, float32 = dataset[SICK], full[SICK]
        assert sample.metadata["finite_steps"].tolist() == [LAST] * REALIZATIONS
        assert sample.metadata["overflow_steps"].tolist() == [0, LAST - 9, 0]
        assert sample.metadata["dynamics"] == float32.metadata["dynamics"] != "diverged"
        assert sample.trajectories is not None
        assert float32.trajectories is not None
        assert np.isnan(sample.trajectories[1, 9:]).all()
        assert np.isnan(sample.outputs[1]).all()
        with np.errstate(over="ignore"):
            kept = float32.trajectories.astype(np.float16).astype(np.float32)
        assert bits(sample.trajectories[1, :9]) == bits(kept[1, :9])
        assert bits(sample.trajectories[[0, 2]]) == bits(kept[[0, 2]])
        assert sample.trajectories[2, 5, 0, 3, 5] == 65504.0
        assert [dataset[row].metadata["overflow_steps"].sum() for row in range(SAMPLES)] == [
            0,
            LAST - 9,
            0,
            0,
        ]
    half, whole = tiny.arrays(path), tiny.arrays(exact)
    for name in (PER_TIMESTEP, PER_TRAJECTORY, AGGREGATED, FINITE_STEPS, NUM_REALIZATIONS):
        assert bits(half[name]) == bits(whole[name]), "features are measured before rounding"


@pytest.mark.parametrize("precision", ["float32", pytest.param("float16", marks=pytest.mark.slow)])
def test_features_afterwards_are_those_of_the_generation(folder, precision):
    """From stored frames, NaN included, or, where float16 lost some, from a replay of all of them."""
    table = {(SICK, 0, 2): NAN, (SICK, 1, 9): 7e4, (SICK, 2, 5): INF}
    stored = {"dataset.storage.precision": precision}
    measured = made(folder / f"measured {precision}.h5", table, stored)
    path = made(folder / f"afterwards {precision}.h5", table, stored | {"features.during_generation": False})
    with bursting(table):
        origin = feature_files.extract(path).origin
        report = feature_files.checked(path, replay=SAMPLES)
    assert origin == ("stored trajectories" if precision == "float32" else "replay")
    assert report.failures == []
    assert feature_files.same_features(path, measured)
    assert tiny.arrays(path)[FINITE_STEPS][SICK].tolist() == [2, LAST, 5]


EXPLOSIVE = {
    "parameter_space": {
        "architecture": {
            "num_layers": {"type": "choice", "choices": [4]},
            "gain": {"type": "choice", "choices": [1.0, 100.0]},
            "normalization": {"type": "choice", "choices": ["none"]},
            "base_channels": {"type": "choice", "choices": [4]},
        },
        "rollout": {"update_policy": {"type": "choice", "choices": ["autoregressive", "residual"]}},
        "operator": {"grid_size": {"type": "choice", "choices": [16]}},
    },
    "sampling.total_samples": 8,
    "features.during_generation": False,
}
"""Half of the operators multiply the state by about 1e10 in every step."""


@pytest.mark.parametrize("precision", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"])
def test_operators_that_explode_at_the_first_step(folder, precision):
    """Real networks: those of gain 100 end at once, those of gain 1 have the bits they have without them."""
    changes = EXPLOSIVE | {"simulation.precision": precision}
    path = made(folder / f"explosive {precision}.h5", {}, changes)
    assert validate(path).failures == []
    with open_dataset(path) as dataset:
        ended = {row: sample.metadata["finite_steps"] for row, sample in enumerate(dataset)}
        wild = {row: sample.parameters["gain"] == 100.0 for row, sample in enumerate(dataset)}
        policies = {sample.metadata["rollout_policies"] for sample in dataset if wild[sample.index]}
        assert set(wild.values()) == {True, False}
        assert policies == {"autoregressive", "residual"}
        for row, sample in enumerate(dataset):
            assert (sample.metadata["dynamics"] == "diverged") == wild[row]
            assert set(ended[row]) == ({1} if wild[row] else {LAST})
            assert sample.trajectories is not None
            for frames in sample.trajectories:
                assert bits(frames[0]) == bits(sample.inputs)
            assert np.isnan(sample.trajectories[:, 1:]).all() == wild[row]
            assert np.isnan(sample.outputs).all() == wild[row]
    milder = tiny.changed(
        {"space": changes["parameter_space"]}, {"space.architecture.gain.choices": [1.0, 2.0]}
    )
    control = made(folder / f"milder {precision}.h5", {}, changes | {"parameter_space": milder["space"]})
    with open_dataset(path) as dataset, open_dataset(control) as other:
        for row in (row for row, explodes in wild.items() if not explodes):
            assert bits(dataset[row].outputs) == bits(other[row].outputs)


# --- in lockstep, as with batch normalization ---

LOCKSTEP = {
    "parameter_space.operator.family.choices": ["tame_together"],
    "features.during_generation": False,
}


def test_what_a_neighbour_in_lockstep_sees(folder):
    """Frames up to that of the explosion are untouched; from then on the survivors share statistics."""
    control = made(folder / "lockstep, tame.h5", {}, LOCKSTEP)
    path = made(folder / "lockstep.h5", {(SICK, 1, 9): NAN}, LOCKSTEP)
    assert validate(path).failures == []
    assert rows(path, but=SICK) == rows(control, but=SICK)
    with open_dataset(path) as dataset, open_dataset(control) as other:
        assert dataset[SICK].metadata["finite_steps"].tolist() == [LAST, 9, LAST]
        found, before = dataset[SICK].trajectories, other[SICK].trajectories
        assert found is not None
        assert before is not None
        for m in (0, 2):
            assert bits(found[m, :10]) == bits(before[m, :10])
            assert np.isfinite(found[m]).all()
            assert bits(found[m, 10]) != bits(before[m, 10])
        assert bits(found[1, :9]) == bits(before[1, :9])
        assert np.isnan(found[1, 9:]).all()
