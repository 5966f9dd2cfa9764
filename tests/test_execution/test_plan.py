"""A plan is a pure function of the configuration, sample by sample."""

import json
from dataclasses import FrozenInstanceError
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from spinlock.config import config_from_stored
from spinlock.execution.plan import FEWEST_SHARDS, SHARD_BYTES, Plan, make_plan
from spinlock.initial_conditions import registry
from spinlock.initial_conditions.options import resolve_options
from spinlock.numerics.noise import noise
from spinlock.operators import families
from spinlock.registry import options_of
from spinlock.sampling import sobol_points
from spinlock.storage.schema import arrays, field_arrays


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


def test_long_ranges_of_draws_are_whole_and_in_order(settings):
    plan = plan_of(
        settings,
        {
            "parameter_space": {"architecture": {"gain": {"type": "continuous", "bounds": [1, 2]}}},
            "simulation.input_generation": {"method": "localized"},
        },
    )
    draws = list(plan.draws(3, 4110))
    assert [draw.index for draw in draws] == list(range(3, 4110))
    for index in (3, 4096, 4097, 4098, 4099, 4100, 4109):
        assert facts(draws[index - 3]) == facts(plan.draw(index))


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


def test_a_draw_is_its_sobol_point_decoded(settings, plan):
    """The first coordinates are the parameters, in the order of their names; the last picks the field."""
    coordinates = sobol_points(range(12), plan.space.size + 1, seed=43, scramble=True)
    decoded = plan.space.decode(coordinates[:, :-1].copy())
    picked = plan.mixture.pick(coordinates[:, -1])
    assert len({int(k) for k in picked}) > 1
    for draw in plan.draws(0, 12):
        component = plan.mixture.components[int(picked[draw.index])]
        assert tiny.same_bits(draw.point, coordinates[draw.index, :-1])
        assert (draw.ic_label, draw.ic_type) == (component.label, component.type)
        options = resolve_options(registry[component.type], component.options, 43, draw.index)
        assert draw.ic_options == options
        assert {name: draw.values[name] for name in decoded} == {
            name: column[draw.index] for name, column in decoded.items()
        }
    unscrambled = plan_of(settings, {"sampling.sobol.scramble": False})
    plain = sobol_points(range(12), plan.space.size + 1, seed=43, scramble=False)
    assert tiny.same_bits(unscrambled.points(0, 12), np.ascontiguousarray(plain[:, :-1]))


def test_the_parts_of_a_draw_are_made_of_its_values(plan):
    for draw in plan.draws(0, 12):
        values = draw.values
        assert draw.family == values["family"] == "cnn"
        assert draw.grid_size == values["grid_size"]
        assert draw.operator_options == {name: values[name] for name in families["cnn"].options}
        assert draw.noise == noise(**{name: values[name] for name in options_of(noise)})
        assert draw.noise.noise_scale == values["noise_scale"]
        assert draw.policy.name == values["update_policy"]
        assert draw.policy.constants == {
            name: values[name]
            for name in {"residual": ("dt",), "convex": ("alpha",)}.get(draw.policy.name, ())
        }
    with pytest.raises(FrozenInstanceError):
        draw.index = 0


def test_ranges_without_samples_have_no_draws(plan):
    assert list(plan.draws(5, 5)) == []
    assert [draw.index for draw in plan.draws(4095, 4098)] == [4095, 4096, 4097]


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
    ("total", "rows"), [(1, 1), (32, 1), (33, 2), (64, 2), (65, 3), (1000, 32), (10_000, 313), (10**6, 1161)]
)
def test_a_shard_holds_64_mib_or_a_thirty_second_of_all_rows(settings, total, rows):
    """Rows of 25 frames of 2 × 17 × 17 float32: 57,800 bytes, 1,161 times in 64 MiB."""
    changes = {
        "parameter_space.operator.grid_size": {"type": "choice", "choices": [17]},
        "simulation.num_realizations": 4,
        "simulation.num_timesteps": 40,
        "dataset.storage.trajectories": {"every": 10},
        "sampling.total_samples": total,
    }
    plan = plan_of(settings, changes)
    assert plan.row_bytes == 25 * 2 * 17 * 17 * 4 == 57_800
    assert plan.rows_per_shard == rows
    assert plan.num_shards == -(-total // rows)
    assert plan.shard_range(0) == (0, rows)


def test_a_row_beyond_64_mib_has_a_shard_of_its_own(settings):
    changes = {
        "parameter_space.operator.grid_size": {"type": "choice", "choices": [2048]},
        "sampling.total_samples": 1000,
    }
    plan = plan_of(settings, changes)
    assert plan.row_bytes > 64 * 2**20
    assert (plan.rows_per_shard, plan.num_shards) == (1, 1000)


@pytest.mark.parametrize("trajectories", ["none", "all", {"every": 4}])
@pytest.mark.parametrize("measured", [False, True])
@pytest.mark.parametrize("grids", [[16], [24, 16]])
def test_the_bytes_of_a_row_are_those_of_its_arrays(settings, trajectories, measured, grids):
    changes = {
        "parameter_space.operator.grid_size": {"type": "choice", "choices": grids},
        "dataset.storage.trajectories": trajectories,
        "features.during_generation": measured,
    }
    plan = plan_of(settings, changes)
    fields = sum(spec.raw_bytes for spec in field_arrays(plan.layout))
    features = sum(
        spec.raw_bytes
        for spec in arrays(plan.layout)
        if spec.path.startswith("features/") and spec.kind in ("table", "timing")
    )
    assert plan.feature_bytes == features // plan.total_samples
    assert plan.row_bytes == (fields + features) // plan.total_samples
    assert (plan.feature_bytes > 0) == measured


def test_features_need_every_frame_whatever_is_stored(settings):
    stored = {"dataset.storage.trajectories": {"every": 5}}
    without = plan_of(settings, stored)
    assert without.kept_frames == without.timesteps == (0, 5, 10, 15, 17)
    assert without.features is without.layout.features is None
    measured = plan_of(settings, {**stored, "features.during_generation": True})
    assert measured.timesteps == (0, 5, 10, 15, 17)
    assert measured.kept_frames == tuple(range(18))
    assert measured.layout.features is not None
    assert measured.layout.features.frames == 18


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


@pytest.mark.parametrize("named", ["gain", "kernel_size"])
def test_a_space_that_names_no_grid_has_that_of_the_default(settings, named):
    parameter = {"type": "choice", "choices": [1, 3]}
    plan = plan_of(settings, {"parameter_space": {"architecture": {named: parameter}}})
    assert plan.grids == (64,)
    assert {draw.grid_size for draw in plan.draws(0, 5)} == {64}


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


def test_every_parameter_has_a_column_of_its_own_kind(plan):
    assert tuple(parameter.name for parameter in plan.layout.parameters) == plan.space.names
    kinds = {"string": str, "integer": int, "real": float, "boolean": bool}
    seen = set()
    for parameter in plan.layout.parameters:
        seen.add(parameter.kind)
        values = [draw.values[parameter.name] for draw in plan.draws(0, 64)]
        assert all(type(value) is kinds[parameter.kind] for value in values)
        if parameter.kind == "string":
            assert parameter.length >= max(len(value) for value in values)
        else:
            assert parameter.length == 0
    assert seen == {"string", "integer", "real"}
    lengths = {parameter.name: parameter.length for parameter in plan.layout.parameters}
    # the longest of all names that can be chosen, not only of those that this space chooses from
    assert (lengths["update_policy"], lengths["output_activation"]) == (14, 6)
    assert lengths["noise_location"] == len("hidden")
    assert lengths["noise_type"] == len("multiplicative")


def test_the_lengths_of_texts_are_those_of_the_longest(settings, plan):
    lengths = dict(plan.layout.string_lengths)
    assert lengths["ic_labels"] == max(map(len, tiny.TYPES))
    assert lengths["ic_types"] == max(map(len, registry))
    assert lengths["rollout_policies"] == len("autoregressive")
    assert lengths["noise_regimes"] == lengths["dynamics"] == 16
    longest = max(len(json.dumps(dict(draw.ic_options)).encode()) for draw in plan.draws(0, 200))
    assert longest <= lengths["ic_options"] <= 8 * longest
    named = {"simulation.input_generation": {
        "method": "sampled", "ic_type_weights": {"größer": 1},
        "größer": {"type": "localized"},
    }}  # fmt: skip
    assert dict(plan_of(settings, named).layout.string_lengths)["ic_labels"] == len("größer".encode())


@pytest.mark.parametrize(
    ("storage", "level"),
    [
        ({"compression": "zstd"}, 3),
        ({"compression": "gzip"}, 4),
        ({"compression": "gzip", "compression_level": 9}, 9),
    ],
)
def test_the_layout_says_what_the_configuration_says(settings, storage, level):
    changes = {f"dataset.storage.{name}": value for name, value in storage.items()}
    layout = plan_of(settings, {**changes, "dataset.storage.precision": "bitround:9"}).layout
    assert (layout.samples, layout.realizations, layout.channels) == (12, 3, 2)
    assert (layout.grids, layout.timesteps) == ((16, 24), tuple(range(18)))
    assert (layout.compression, layout.compression_level) == (storage["compression"], level)
    assert layout.precision == "bitround:9"


def test_every_configuration_of_the_repository_makes_a_plan():
    from spinlock.config import load_config

    paths = sorted((tiny.ROOT / "configs" / "experiments").rglob("*.yaml"))
    assert paths
    for path in paths:
        plan = make_plan(load_config(Path(path)))
        low, high = plan.shard_range(plan.num_shards - 1)
        assert high == plan.total_samples
        assert [draw.index for draw in plan.draws(low, min(low + 2, high))] == list(
            range(low, min(low + 2, high))
        )
