"""A plan is a pure function of the configuration, sample by sample."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from spinlock.config import config_from_stored
from spinlock.execution.plan import FEWEST_SHARDS, SHARD_BYTES, Plan, make_plan


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict:
    config = tiny.config_of(tmp_path_factory.mktemp("plan") / "a.h5", tiny.EVERYTHING)
    return config.model_dump(mode="json")


@pytest.fixture(scope="module")
def plan(settings) -> Plan:
    return plan_of(settings)


def plan_of(settings, changes=None) -> Plan:
    return make_plan(config_from_stored(tiny.changed(settings, changes or {})))


def facts(draw) -> tuple:
    return (
        draw.index,
        draw.point.tobytes(),
        dict(draw.values),
        draw.ic_label,
        draw.ic_type,
        dict(draw.ic_options),
    )


def test_a_draw_depends_on_its_index_alone(plan):
    together = [facts(draw) for draw in plan.draws(0, 12)]
    assert [facts(plan.draw(i)) for i in range(12)] == together
    assert [facts(draw) for draw in plan.draws(5, 9)] == together[5:9]
    assert len({point for _, point, *_ in together}) == 12


def test_draws_do_not_depend_on_the_block_they_are_computed_in(plan):
    far = list(plan.draws(4090, 4100))
    assert [facts(draw) for draw in far] == [facts(plan.draw(i)) for i in range(4090, 4100)]


def test_more_samples_and_realizations_leave_the_first_draws_as_they_are(settings, plan):
    other = plan_of(settings, {"sampling.total_samples": 1000, "simulation.num_realizations": 9})
    assert [facts(draw) for draw in other.draws(0, 12)] == [facts(draw) for draw in plan.draws(0, 12)]


def test_another_seed_moves_every_point(settings, plan):
    other = plan_of(settings, {"sampling.sobol.seed": 44})
    pairs = zip(plan.draws(0, 12), other.draws(0, 12), strict=True)
    assert all(not np.array_equal(a.point, b.point) for a, b in pairs)


def test_a_draw_holds_every_parameter_the_space_does_not_name_at_its_default(settings):
    changes = {"parameter_space": {"architecture": {"gain": {"type": "continuous", "bounds": [1, 2]}}}}
    (draw,) = plan_of(settings, changes).draws(3, 4)
    assert set(draw.values) > {"gain", "grid_size", "family", "noise_scale", "update_policy", "alpha"}
    assert draw.grid_size == 64
    assert draw.policy.name == "autoregressive"
    assert draw.noise.silent
    assert len(draw.point) == 1


def test_points_are_those_of_the_draws(plan):
    points = plan.points(2, 7)
    assert points.shape == (5, plan.space.size)
    assert tiny.same_bits(points, np.stack([draw.point for draw in plan.draws(2, 7)]))


@given(total=st.integers(1, 5000), realizations=st.integers(1, 64))
def test_shards_cover_every_row_once(settings, total, realizations):
    plan = plan_of(settings, {"sampling.total_samples": total, "simulation.num_realizations": realizations})
    ranges = [plan.shard_range(shard) for shard in range(plan.num_shards)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == total
    assert all(low < high for low, high in ranges)
    assert all(one[1] == other[0] for one, other in pairwise(ranges))
    assert max(high - low for low, high in ranges) * plan.row_bytes <= max(SHARD_BYTES, plan.row_bytes)
    assert plan.num_shards >= min(total, FEWEST_SHARDS // 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling.batch_size": 1},
        {"simulation.parallelism": {"strategy": "process", "workers": 7}},
        {"simulation.device": "auto"},
        {"dataset.output_path": "elsewhere.h5"},
        {"metadata": {"name": "n", "description": "d"}},
        {"sampling.validation.on_failure": "stop"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_how_a_run_is_executed_changes_neither_digest_nor_shards(settings, plan, changes):
    other = plan_of(settings, changes)
    assert other.digest == plan.digest
    assert other.layout == plan.layout
    assert (other.rows_per_shard, other.num_shards) == (plan.rows_per_shard, plan.num_shards)


@pytest.mark.parametrize(
    ("asked", "steps", "kept"),
    [
        ("none", 9, ()),
        ("all", 3, (0, 1, 2, 3)),
        ({"every": 3}, 9, (0, 3, 6, 9)),
        ({"every": 4}, 9, (0, 4, 8, 9)),
        ({"every": 9}, 9, (0, 9)),
    ],
)
def test_the_frames_stored_begin_with_the_first_and_end_with_the_last(settings, asked, steps, kept):
    changes = {"simulation.num_timesteps": steps, "dataset.storage.trajectories": asked}
    assert plan_of(settings, changes).timesteps == kept


@pytest.mark.parametrize(
    ("parameter", "grids"),
    [
        ({"type": "choice", "choices": [64, 16, 32]}, (16, 32, 64)),
        ({"type": "integer", "bounds": [16, 20]}, (16, 17, 18, 19, 20)),
    ],
)
def test_the_grids_are_those_the_space_can_ask_for(settings, parameter, grids):
    plan = plan_of(settings, {"parameter_space.operator.grid_size": parameter})
    assert plan.grids == grids
    assert {draw.grid_size for draw in plan.draws(0, 200)} == set(grids)


def test_text_has_room_for_everything_the_configuration_can_draw(settings):
    changes = {"simulation.input_generation": {
        "method": "sampled",
        "ic_type_weights": {"gaussian_random_field": 1, "localized": 1},
        "gaussian_random_field": {"length_scale_range": [0.03, 0.2]},
    }}  # fmt: skip
    plan = plan_of(settings, changes)
    lengths = dict(plan.layout.string_lengths)
    fewer = plan_of(settings, {**changes, "sampling.total_samples": 1})
    assert dict(fewer.layout.string_lengths) == lengths
    for draw in plan.draws(0, 50):
        assert len(draw.ic_label.encode()) <= lengths["ic_labels"]
        assert len(draw.ic_type.encode()) <= lengths["ic_types"]
        assert len(draw.policy.name.encode()) <= lengths["rollout_policies"]
        assert len(draw.noise.regime.encode()) <= lengths["noise_regimes"]


def test_every_configuration_of_the_repository_makes_a_plan():
    from spinlock.config import load_config

    paths = sorted((tiny.ROOT / "configs").rglob("*.yaml"))
    assert paths
    for path in paths:
        plan = make_plan(load_config(Path(path)))
        low, high = plan.shard_range(plan.num_shards - 1)
        assert high == plan.total_samples
        assert [draw.index for draw in plan.draws(low, min(low + 2, high))] == list(
            range(low, min(low + 2, high))
        )
