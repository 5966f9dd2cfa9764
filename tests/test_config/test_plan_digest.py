"""The plan's digest: blind to spelling, order and later versions, and to nothing that decides the arrays."""

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.config import Config, config_from_stored
from spinlock.config.digest import decisive_values, plan_digest
from spinlock.config.model import ParameterConfig, ParameterSpace, Sampling, affecting
from spinlock.config.parameters import HEADINGS
from spinlock.errors import ConfigError
from spinlock.execution import make_plan
from test_config.config_texts import VALUES, changed, config_of

DIGEST = plan_digest(config_of())


def draws_of(config):
    plan = make_plan(config)
    return [
        (d.point.tolist(), dict(d.values), d.ic_label, dict(d.ic_options))
        for d in plan.draws(0, plan.total_samples)
    ]


@st.composite
def reordered(draw, values=VALUES):
    """Draw the values with the keys of every section in another order."""
    if not isinstance(values, dict):
        return values
    return {key: draw(reordered(values[key])) for key in draw(st.permutations(sorted(values)))}


@settings(max_examples=20)
@given(reordered())
def test_the_order_of_keys_changes_nothing(values):
    config = config_of(values=values)
    assert plan_digest(config) == DIGEST
    assert draws_of(config) == draws_of(config_of())


WRITTEN = [item for section in VALUES["parameter_space"].values() for item in section.items()]


@settings(max_examples=20)
@given(st.lists(st.sampled_from(HEADINGS), min_size=len(WRITTEN), max_size=len(WRITTEN)))
def test_the_headings_of_parameters_change_nothing(headings):
    values = copy.deepcopy(VALUES)
    values["parameter_space"] = {}
    for heading, (name, parameter) in zip(headings, WRITTEN, strict=True):
        values["parameter_space"].setdefault(heading, {})[name] = parameter
    config = config_of(values=values)
    assert plan_digest(config) == DIGEST
    assert draws_of(config) == draws_of(config_of())


SPELLINGS = [
    {"parameter_space.rollout.alpha.bounds": [1e-1, 0.90]},
    {"parameter_space.architecture.base_channels.choices": [2.0, 4]},
    {"parameter_space.operator.grid_size.choices": [16.0, 32.0]},
    {"simulation.input_generation.ic_type_weights.structured": 2.0},
    {"simulation.input_generation.localized": {}},
    {"dataset.storage.precision": "float32"},
    {"dataset.storage.compression_level": 3},
    {"parameter_space.rollout.alpha.log_scale": False},
    {"sampling.validation": {}},
    {"simulation.precision": "float32", "metadata": {}},
]


@pytest.mark.parametrize("change", SPELLINGS, ids=str)
def test_another_spelling_of_the_same_values_changes_nothing(change):
    config = config_of(change)
    assert plan_digest(config) == DIGEST
    assert draws_of(config) == draws_of(config_of())
    assert make_plan(config).layout == make_plan(config_of()).layout


@pytest.mark.parametrize(("one", "other"), [([1, 2], [1.0, 2.0]), ([0.5, 3], [0.5, 3.0])])
def test_integers_and_floats_of_a_range_are_the_same(one, other):
    key = "parameter_space.architecture.gain.bounds"
    assert plan_digest(config_of({key: one})) == plan_digest(config_of({key: other}))
    assert draws_of(config_of({key: one})) == draws_of(config_of({key: other}))


def test_storage_precision_has_one_spelling():
    key = "dataset.storage.precision"
    assert config_of({key: "bitround:07"}) == config_of({key: "bitround:7"})
    assert config_of({"simulation.device": "cuda:01"}) == config_of({"simulation.device": "cuda:1"})


def test_defaults_written_out_change_nothing():
    written = config_of().model_dump(mode="json")
    assert len(json.dumps(written)) > 1.5 * len(json.dumps(VALUES))
    assert plan_digest(config_of(values=written)) == DIGEST
    assert plan_digest(config_of(values=config_of().model_dump(exclude_defaults=True))) == DIGEST


def test_a_default_left_out_is_not_another_value_left_out():
    """The control: a value that is not the default stands in the digest."""
    values = decisive_values(config_of())
    assert values["simulation"]["num_realizations"] == 2
    assert "seed" not in values["sampling"].get("sobol", {})
    assert "batch_size" not in values["sampling"]
    assert "output_path" not in values["dataset"]
    assert "metadata" not in values
    assert values["simulation"]["input_generation"]["blocks"]["mine"]["length_scale"] == 0.2


@pytest.mark.parametrize(
    "change",
    [
        {"sampling.total_samples": 5},
        {"sampling.sobol.seed": 43},
        {"parameter_space.rollout.alpha.bounds": [0.1, 0.95]},
        {"parameter_space.architecture.activation.choices": ["tanh", "gelu"]},
        {"parameter_space.architecture.gain.log_scale": False},
        {"simulation.input_generation.mine.length_scale": 0.21},
        {"simulation.input_generation.ic_type_weights.mine": 1.1},
        {"dataset.storage.compression_level": 4},
        {"dataset.storage.compression": "gzip"},
        {"dataset.storage.trajectories": "none"},
    ],
    ids=str,
)
def test_what_decides_the_arrays_changes_the_digest(change):
    assert plan_digest(config_of(change)) != DIGEST


def test_digests_are_pairwise_different():
    changes = [{"sampling.sobol.seed": seed} for seed in range(20)]
    changes += [{"simulation.num_timesteps": steps} for steps in range(4, 20)]
    assert len({plan_digest(config_of(change)) for change in changes}) == len(changes)
    assert re.fullmatch(r"[0-9a-f]{64}", DIGEST)


def test_the_digest_is_that_of_the_first_version():
    """Runs of other versions go on only where it agrees: it changes with `PLAN_FORMAT`, and only so."""
    assert DIGEST == "0d2cf0ab821746095e5ac0f5e7f07976e7388a2565aab64cd7640a0599307584"


class LaterParameter(ParameterConfig):
    wrap: bool = affecting("content", default=False, description="A field of a later version.")


class LaterSpace(ParameterSpace):
    architecture: dict[str, LaterParameter] = affecting(  # pyright: ignore[reportIncompatibleVariableOverride]
        "content", default={}, description="With it."
    )


class LaterSampling(Sampling):
    skip: int = affecting("content", default=0, description="A field of a later version.")
    label: str = affecting("label", default="", description="Another, that decides nothing.")
    order: list[str] = affecting("content", default=["sobol"], description="A third one.")


class LaterConfig(Config):
    parameter_space: LaterSpace = affecting(  # pyright: ignore[reportIncompatibleVariableOverride]
        "content", description="With a longer section."
    )
    sampling: LaterSampling = affecting(  # pyright: ignore[reportIncompatibleVariableOverride]
        "content", description="With a longer section."
    )


def later_digest(changes):
    return plan_digest(LaterConfig.model_validate(changed(changes)))


def test_a_later_field_with_a_default_leaves_the_digest():
    assert later_digest({}) == DIGEST
    assert later_digest({"sampling.skip": 0, "sampling.order": ["sobol"]}) == DIGEST
    assert later_digest({"sampling.label": "x"}) == DIGEST
    assert later_digest({"sampling.skip": 1}) != DIGEST
    assert later_digest({"sampling.order": ["halton"]}) != DIGEST
    assert later_digest({"parameter_space.architecture.gain.wrap": True}) != DIGEST


def stored(config):
    """Return what a dataset holds of a configuration."""
    return json.loads(json.dumps(config.model_dump(mode="json")))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"dataset.storage.trajectories": "all", "dataset.storage.precision": "bitround:9"},
        {"simulation.parallelism": {"devices": [0, "cuda:1"], "workers": 3}},
        {"simulation.parallelism": {"strategy": "slurm", "slurm": {"tasks": 3, "options": {"time": 60}}}},
        {"simulation.parallelism": {"strategy": "ray", "devices": ["cpu", "cpu"], "slots_per_device": 2}},
        {"simulation.input_generation": {"method": "localized", "localized": {"num_blobs_range": [2, 5]}}},
        {"sampling.sobol.seed": 2**64 - 1, "metadata": {"name": "ü", "description": None}},
    ],
    ids=str,
)
def test_a_stored_configuration_is_the_same_again(change):
    config = config_of(change)
    again = config_from_stored(stored(config))
    assert again == config
    assert plan_digest(again) == plan_digest(config)
    assert draws_of(again) == draws_of(config)


def with_later_keys(values: Any) -> Any:
    """Return the values with a key of a later version in every section."""
    if not isinstance(values, dict):
        return values
    return {key: with_later_keys(item) for key, item in values.items()} | {"later": {"deep": 1}}


def test_keys_of_later_versions_are_dropped():
    values = stored(config_of())
    generation = values["simulation"]["input_generation"]
    later = with_later_keys(values)
    for heading in HEADINGS:
        del later["parameter_space"][heading]["later"]  # here a key is a parameter, and none can be dropped
    del later["simulation"]["parallelism"]["slurm"]["options"]["later"]  # as here, an option of sbatch
    later["simulation"]["input_generation"] = generation | {"later": {"deep": 1}, "more": 3}
    del later["dataset"]["storage"]["trajectories"]["later"]
    assert config_from_stored(later) == config_of()


def test_keys_that_an_older_version_did_not_store_take_their_defaults():
    values = stored(config_of())
    for key in ("validation", "batch_size", "sobol"):
        del values["sampling"][key]
    del values["metadata"]
    again = config_from_stored(values)
    assert again.sampling.batch_size == 1000
    assert plan_digest(again) == DIGEST


def test_a_stored_configuration_that_is_none_is_told():
    values = stored(config_of())
    del values["sampling"]["total_samples"]
    with pytest.raises(ConfigError, match=r"stored configuration.*\n.*sampling\.total_samples: is missing"):
        config_from_stored(values)
