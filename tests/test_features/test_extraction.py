"""Extraction: shapes of the tables, rows by themselves, missing values, summaries over realizations."""

import math

import numpy as np
import pytest
import torch

from spinlock.errors import UnknownNameError, UsageError
from spinlock.features import SDF_VERSION, extract, registry
from spinlock.features.extraction import categories, columns, extract_sample
from spinlock.features.table import averaged, summarized
from spinlock.keys import Key, Purpose
from spinlock.numerics.random import normals_from_words, random_words

COUNTS = {
    "spatial": 19,
    "spectral": 27,
    "temporal": 13,
    "operator_sensitivity": 10,
    "cross_channel": 10,
    "causality": 14,
    "invariant_drift": 60,
}


def rollouts(*shape: int, key: int = 1) -> torch.Tensor:
    """Smooth noisy trajectories [N, M, T, C, H, W]: x' = 0.9·x rolled by one pixel, and noise."""
    count = math.prod(shape)
    words = random_words(Key(key, "rollouts"), Purpose.CHOICE, count, samples=0)
    noise = normals_from_words(words, count).reshape(shape)
    frames = noise.clone()
    for step in range(1, shape[2]):
        frames[:, :, step] = 0.9 * frames[:, :, step - 1].roll(1, -1) + 0.3 * noise[:, :, step]
    return frames


def doubling(states: torch.Tensor) -> torch.Tensor:
    return torch.tanh(2.0 * states)


def same(one, other) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name != "finite_steps")
        for name in ("per_timestep", "per_trajectory", "aggregated", "finite_steps", "n_realizations")
    )


def test_there_are_153_features_in_the_order_of_their_categories():
    entries = sorted(registry.entries(), key=lambda entry: entry.index)
    assert [entry.index for entry in entries] == list(range(153))
    assert categories() == list(COUNTS)
    assert {name: sum(entry.category == name for entry in entries) for name in COUNTS} == COUNTS
    assert SDF_VERSION == "2.0.0"


def test_the_columns_start_with_those_of_version_1():
    indices = columns().indices
    assert indices["per_timestep"] == [*range(46), *range(69, 79)]
    assert indices["per_trajectory"] == [*range(46, 59), *range(79, 153)]
    repeated = [index for index in indices["per_trajectory"] for _ in range(3)]
    assert indices["aggregated"] == repeated + list(range(59, 69))
    names = columns().names["aggregated"]
    assert names[:3] == ["energy_growth_rate_mean", "energy_growth_rate_std", "energy_growth_rate_cv"]
    assert names[-1] == "compression_ratio"
    assert [len(listed) for listed in columns().names.values()] == [56, 87, 271]


def test_every_feature_is_defined_in_words():
    for entry in registry.entries():
        assert len(entry.definition) > 20, entry.name
        assert entry.bounds
        assert entry.unit
        assert all(other in registry and other != entry.name for other in entry.redundant_with), entry.name


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("steps", [1, 2, 3, 8])
@pytest.mark.parametrize("realizations", [1, 3])
def test_shapes_and_the_features_that_apply(channels, steps, realizations):
    table = extract(rollouts(2, realizations, steps, channels, 40, 40), [doubling] * 2)
    assert table.per_timestep.shape == (2, steps, 56)
    assert table.per_trajectory.shape == (2, realizations, 87)
    assert table.aggregated.shape == (2, 271)
    for values in (table.per_timestep, table.per_trajectory, table.aggregated):
        assert values.dtype == np.float32
    entries = {entry.name: entry for entry in registry.entries()}

    def applies(name: str) -> bool:
        entry = entries[name]
        return steps >= entry.minimum_frames and channels >= entry.minimum_channels

    for name in ("per_timestep", "per_trajectory"):
        finite = np.isfinite(getattr(table, name)).all(axis=(0, 1))
        assert finite.tolist() == [applies(column) for column in table.columns[name]]
    for column, values in zip(table.columns["aggregated"], table.aggregated.T, strict=True):
        base, _, statistic = column.rpartition("_")
        known = applies(column) if column in entries else applies(base)
        known &= column in entries or statistic == "mean" or realizations > 1
        assert np.isfinite(values).all() == known, column


def test_a_row_alone_is_the_row_in_a_batch():
    frames = rollouts(5, 2, 9, 3, 36, 40)
    operators = [doubling, torch.sin, torch.relu, doubling, torch.square]
    whole = extract(frames, operators, seed=3, indices=range(5))
    for row in range(5):
        alone = extract(frames[row : row + 1], operators[row : row + 1], seed=3, indices=[row])
        for name in ("per_timestep", "per_trajectory", "aggregated"):
            assert np.array_equal(getattr(alone, name)[0], getattr(whole, name)[row], equal_nan=True)
    some = extract(frames[[4, 1]], [operators[4], operators[1]], seed=3, indices=[4, 1])
    assert np.array_equal(some.aggregated, whole.aggregated[[4, 1]], equal_nan=True)


def test_a_realization_does_not_depend_on_the_others_or_on_threads():
    frames = rollouts(1, 3, 9, 2, 40, 40)
    whole = extract(frames)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert same(whole, extract(frames))
    finally:
        torch.set_num_threads(threads)
    alone = extract(frames[:, 1:2])
    assert np.array_equal(alone.per_trajectory[0, 0], whole.per_trajectory[0, 1])
    turned = extract(frames[:, [2, 1, 0]])
    assert np.array_equal(turned.per_trajectory[:, ::-1], whole.per_trajectory)


def test_the_trajectories_are_left_as_they_are():
    frames = rollouts(1, 2, 8, 3, 40, 40)
    before = frames.clone()
    extract(frames, [doubling])
    assert torch.equal(frames, before)
    views = extract(frames.transpose(-1, -2).contiguous().transpose(-1, -2))
    assert same(views, extract(frames))


@pytest.mark.parametrize("value", [math.nan, math.inf, -2e8])
def test_one_bad_pixel_changes_its_own_realization_alone(value):
    frames = rollouts(2, 3, 10, 2, 40, 40)
    clean = extract(frames)
    frames[1, 1, 6, 0, 3, 4] = value
    hurt = extract(frames)
    assert hurt.finite_steps.tolist() == [[10, 10, 10], [10, 6, 10]]
    assert hurt.n_realizations.tolist() == [[3] * 10, [3] * 6 + [2] * 4]
    assert np.array_equal(hurt.per_timestep[0], clean.per_timestep[0])
    assert np.array_equal(hurt.per_timestep[1, :6], clean.per_timestep[1, :6])
    assert np.array_equal(hurt.per_trajectory[0], clean.per_trajectory[0])
    assert np.array_equal(hurt.per_trajectory[1, [0, 2]], clean.per_trajectory[1, [0, 2]])
    prefix = extract(frames[1:, 1:2, :6])
    assert np.array_equal(hurt.per_trajectory[1, 1], prefix.per_trajectory[0, 0], equal_nan=True)
    assert np.isnan(hurt.per_trajectory[1, 1]).sum() == sum(
        entry.minimum_frames > 6 for entry in columns().per_trajectory
    )
    others = extract(frames[1:, [0, 2], 6:])
    assert np.allclose(hurt.per_timestep[1, 6:], others.per_timestep[0], rtol=1e-6)


def test_without_any_finite_frame_all_is_missing_but_the_other_rows():
    frames = rollouts(2, 2, 5, 2, 40, 40)
    frames[0, :, 0] = math.nan
    table = extract(frames, [doubling] * 2)
    assert table.finite_steps.tolist() == [[0, 0], [5, 5]]
    for values in (table.per_timestep, table.per_trajectory, table.aggregated):
        assert np.isnan(values[0]).all()
    assert np.isfinite(table.aggregated[1]).mean() > 0.5


def test_categories_that_are_not_chosen_are_missing():
    frames = rollouts(1, 2, 9, 3, 40, 40)
    whole = extract(frames, [doubling])
    part = extract(frames, [doubling], categories=["spectral", "causality"])
    for table, listed in columns().names.items():
        for place, name in enumerate(listed):
            entry = next(
                e
                for e in registry.entries()
                if name in (e.name, f"{e.name}_mean", f"{e.name}_std", f"{e.name}_cv")
            )
            values = getattr(part, table)[..., place]
            if entry.category in ("spectral", "causality"):
                assert np.array_equal(values, getattr(whole, table)[..., place], equal_nan=True)
            else:
                assert np.isnan(values).all()
    assert same(extract(frames, [doubling], categories=list(COUNTS)), whole)


def test_wrong_arguments_are_refused():
    frames = rollouts(1, 1, 2, 1, 40, 40)
    with pytest.raises(UnknownNameError, match="did you mean 'spectral'"):
        extract(frames, categories=["spectrl"])
    with pytest.raises(UsageError, match=r"\[N, M, T, C, H, W\]"):
        extract(frames[0])
    with pytest.raises(UsageError, match="float32"):
        extract(frames.to(torch.int64))
    with pytest.raises(UsageError, match="2 operators"):
        extract(frames, [doubling] * 2)


def test_no_samples_make_empty_tables():
    table = extract(rollouts(1, 2, 3, 1, 40, 40)[:0])
    assert table.per_timestep.shape == (0, 3, 56)
    assert table.aggregated.shape == (0, 271)


def test_summaries_over_realizations():
    values = np.array([[1.0, 2.0, np.nan, -1.0, 0.0, 5.0], [3.0, np.nan, np.nan, 1.0, 0.0, 5.0]])
    mean, std, cv = summarized(values).T
    assert mean.tolist()[:2] == [2.0, 2.0]
    assert mean[3:].tolist() == [0.0, 0.0, 5.0]
    assert np.isnan(mean[2])
    assert std[0] == pytest.approx(math.sqrt(2.0))
    assert np.isnan(std[1:3]).all()
    assert np.isnan(cv[1:3]).all()
    assert cv[0] == pytest.approx(math.sqrt(0.5))
    assert cv[3:].tolist() == [1000.0, 0.0, 0.0]


def test_means_over_realizations_leave_out_what_is_missing():
    rows = [np.array([[1.0], [np.nan]]), np.array([[3.0], [np.nan]]), np.array([[np.nan], [np.nan]])]
    assert averaged(rows)[0] == 2.0
    assert np.isnan(averaged(rows)[1])


def test_a_sample_is_the_row_of_the_table():
    frames = rollouts(1, 2, 8, 2, 40, 40)
    row, table = extract_sample(frames[0], doubling, 4, 9), extract(frames, [doubling], seed=4, indices=[9])
    for name in ("per_timestep", "per_trajectory", "aggregated", "finite_steps", "n_realizations"):
        assert np.array_equal(getattr(row, name), getattr(table, name)[0], equal_nan=True)
    assert row.seconds > 0


def test_arguments_that_do_not_fit_are_refused():
    frames = rollouts(1, 1, 2, 1, 40, 40)
    with pytest.raises(UsageError, match="2 indices"):
        extract(frames, indices=[0, 1])
    with pytest.raises(UsageError, match="no category"):
        extract(frames, categories=[])
    with pytest.raises(UsageError, match="no spectrum"):
        extract(frames[..., :1, :1])
    with pytest.raises(UsageError, match="must keep the shape"):
        extract(frames, [lambda states: states[..., :1]])
