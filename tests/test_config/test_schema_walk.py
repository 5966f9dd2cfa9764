"""Every field of the configuration changes something: what it declares to affect, and nothing else."""

import hashlib
import json
from typing import Literal, get_args

import numpy as np
import pytest
import torch

from spinlock.config import Config
from spinlock.config.digest import plan_digest
from spinlock.config.model import Affects, Storage, affecting
from spinlock.config.parameters import known_parameters
from spinlock.execution import make_plan
from spinlock.execution.features import feature_row
from spinlock.execution.simulate import simulate, stored_row
from spinlock.operators import families
from test_config.config_texts import config_of
from test_config.schema_entries import BASE, ENTRIES, leaves

CPU = torch.device("cpu")

ROWS = 5
"""Samples simulated at most: those of the base configuration and one more."""

LEAVES = dict(leaves(Config))


def hashed(*values):
    """Return the hash of arrays and plain values."""
    digest = hashlib.sha256()
    for value in values:
        array = np.asarray(value)
        digest.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def draws_of(config):
    """Return all that the draws of a configuration say."""
    plan = make_plan(config)
    return [
        (d.index, d.point.tolist(), dict(d.values), d.ic_label, d.ic_type, dict(d.ic_options))
        for d in plan.draws(0, plan.total_samples)
    ]


def data_of(config):
    """Return the hashes of the first rows of a configuration."""
    plan = make_plan(config)
    rows = (row_of(plan, draw) for draw in plan.draws(0, min(plan.total_samples, ROWS)))
    return [
        hashed(
            row.inputs,
            row.outputs,
            *([] if row.trajectories is None else [row.trajectories]),
            *(entry for path, entry in row.table.items() if path.startswith("features/")),
        )
        for row in rows
    ]


def row_of(plan, draw):
    """Return what is stored of a draw."""
    sample = simulate(plan, draw, CPU, keep=plan.kept_frames)
    entries = feature_row(plan, sample)[0] if plan.features else None
    return stored_row(plan, sample, entries)


def reached(before, after):
    """Return which of draws, layout and data differ."""
    layouts = make_plan(before).layout, make_plan(after).layout
    differing = {
        "draws": draws_of(before) != draws_of(after),
        "layout": layouts[0] != layouts[1],
        "data": data_of(before) != data_of(after),
    }
    return {what for what, differs in differing.items() if differs}


def without_entry(model):
    """Return the leaves of a model that no entry proves to act."""
    return set(dict(leaves(model))) - set(ENTRIES)


def test_every_field_has_an_entry():
    assert without_entry(Config) == set()
    assert set(ENTRIES) == set(LEAVES)


def test_a_new_field_without_an_entry_is_found():
    """The control: a field at the top, one in a section, and a section of its own."""

    class LongerStorage(Storage):
        later: int = affecting("layout", default=1, description="A field of a later version.")

    class Longer(Config):
        later: Literal["a", "b"] = affecting("content", default="a", description="Another one.")
        storage: LongerStorage = affecting("layout", default=LongerStorage(), description="A section.")

    assert {"later", "storage.later"} <= without_entry(Longer)


def test_every_field_says_what_it_affects():
    assert set(LEAVES.values()) == set(get_args(Affects))


@pytest.mark.parametrize("leaf", [leaf for leaf in LEAVES if leaf != "version"])
def test_a_field_changes_what_it_affects_and_nothing_else(leaf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = ENTRIES[leaf]
    before, after = entry.configs(leaf)
    assert before != after
    assert before.model_dump(mode="json") != after.model_dump(mode="json")
    decisive = LEAVES[leaf] in ("content", "layout")
    assert (plan_digest(before) != plan_digest(after)) == decisive
    assert reached(before, after) == set(entry.reaches.split())
    assert bool(entry.reaches) == decisive
    assert (entry.proof is not None) == (LEAVES[leaf] == "execution")
    if LEAVES[leaf] == "layout":
        assert entry.reaches == "layout"
    if entry.proof is not None:
        entry.proof(before, after)


def test_the_version_has_one_value():
    assert get_args(Config.model_fields["version"].annotation) == ("1.0",)


def test_a_proof_fails_for_a_field_that_does_nothing():
    """The control: each proof refuses two configurations that are the same."""
    for leaf, entry in ENTRIES.items():
        if entry.proof is None or leaf == "dataset.output_path":
            continue
        before, _ = entry.configs(leaf)
        with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
            entry.proof(before, before)


ACTING = {
    "alpha": {"update_policy": "convex"},
    "dt": {"update_policy": "residual"},
    "schedule_period": {"noise_schedule": "periodic", "noise_scale": 0.1},
    "channel_schedule": {"num_layers": 2},
    "normalization": {"noise_scale": 0.1},  # over realizations that are one, batch is instance
} | {
    name: {"noise_scale": 0.1}
    for name in ("noise_type", "noise_location", "noise_schedule", "spatial_correlation")
}
"""Values of other parameters beside which a parameter acts."""


def candidates(option):
    """Return all choices of a parameter, or the two ends of what is suggested."""
    if option.number is None:
        return list(option.choices) if option.kind == "choice" else [False, True]
    return list(option.number.suggested or (option.number.low, option.number.high))


def output_with(values):
    """Return the hash of one sample's frames with parameters fixed to these values."""
    fixed = {"grid_size": 16, "base_channels": 6, "num_layers": 2} | values
    space = {name: {"type": "choice", "choices": [value]} for name, value in fixed.items()}
    config = config_of({"parameter_space": {"operator": space}, "simulation.num_channels": 2}, BASE)
    plan = make_plan(config)
    row = stored_row(plan, simulate(plan, plan.draw(1), CPU))
    return hashed(row.inputs, row.outputs)


@pytest.mark.parametrize("name", known_parameters(families))
def test_every_value_of_a_parameter_changes_the_simulated_output(name):
    option = known_parameters(families)[name]
    values = candidates(option)
    if name == "family" and len(values) == 1:
        assert values == list(families)
        return
    outputs = [output_with(ACTING.get(name, {}) | {name: value}) for value in values]
    assert len(values) >= 2
    assert len(set(outputs)) == len(values)


def test_parameters_that_need_another_are_those_that_say_so():
    told = {name for name, option in known_parameters(families).items() if option.when is not None}
    assert told == set(ACTING) - {"channel_schedule", "normalization"}


def test_the_same_values_give_the_same_output():
    assert output_with({"gain": 1.1}) == output_with({"gain": 1.1})


def test_the_stored_configuration_holds_the_labels():
    labels = {"name": "n", "description": "d", "license": "cc0-1.0"}
    config = config_of({"metadata": labels}, BASE)
    stored = json.loads(json.dumps(config.model_dump(mode="json")))
    assert stored["metadata"] == labels
    assert stored["version"] == "1.0"
