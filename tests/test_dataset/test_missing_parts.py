"""A dataset made with parts of a plugin says so where the plugin is not installed; it can still be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import tiny
from spinlock.cli.program import run
from spinlock.config.missing_parts import naming_missing_parts
from spinlock.dataset import open_dataset
from spinlock.dataset.validate import validate
from spinlock.errors import ConfigError, MissingPartError
from spinlock.execution.orders import Order
from spinlock.initial_conditions import registry as initial_conditions
from spinlock.operators import families
from spinlock.rollout import policies

OWN = {"own_field": (initial_conditions, "localized"), "own_family": (families, "cnn"),
       "own_policy": (policies, "autoregressive")}  # fmt: skip

CHANGES = {
    "parameter_space.operator.family": {"type": "choice", "choices": ["own_family"]},
    "parameter_space.rollout.update_policy": {"type": "choice", "choices": ["own_policy", "autoregressive"]},
    "simulation.input_generation": {
        "method": "sampled",
        "ic_type_weights": {"mine": 1.0, "localized_v2": 1.0, "structured": 1.0},
        "mine": {"type": "own_field"},
    },
}

NAMED = "operator family 'own_family', the update policy 'own_policy', the initial condition 'own_field'"


@contextmanager
def plugin() -> Iterator[None]:
    """Parts of a package that is installed for a while."""
    for name, (catalogue, like) in OWN.items():
        catalogue.add(replace(catalogue[like], name=name))
    try:
        yield
    finally:
        for name, (catalogue, _) in OWN.items():
            catalogue.remove(name)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with plugin():
        return tiny.generate(tmp_path_factory.mktemp("plugin") / "a.h5", tiny.PLAIN, CHANGES)


def test_all_of_it_works_where_the_plugin_is(made):
    with plugin(), open_dataset(made) as dataset, tiny.unchecked_shapes():
        assert dataset.operator(0) is not None
        assert validate(made, replay=1).failures == []


@pytest.mark.parametrize(
    "ask", [lambda ds: ds.operator(1), lambda ds: ds.rollout(0), lambda ds: ds.draw(0), lambda ds: ds.plan]
)
def test_what_needs_a_missing_part_names_it_and_the_plugin(made, ask):
    with open_dataset(made) as dataset, pytest.raises(MissingPartError) as error:
        ask(dataset)
    assert f"names the {NAMED}, not registered here: a plugin package has it" in str(error.value)
    assert "turing_pattern" not in str(error.value), "no list of all that is known"


def test_it_can_be_read_and_described(made, capsys):
    with open_dataset(made) as dataset:
        assert np.isfinite(dataset[0].inputs).all()
        assert set(dataset.metadata["ic_types"]) <= {"own_field", "localized", "structured"}
    assert run(["info", "--dataset", str(made), "--verbose"]) == 0
    assert "own_family" in capsys.readouterr().out


def test_validate_says_once_what_it_could_not_check(made, capsys):
    assert run(["validate", "--dataset", str(made), "--replay", "1"]) == 1
    said = capsys.readouterr().out
    assert "not checked in full (checked: checksums, samples)" in said
    assert "INVALID" not in said
    assert said.count(NAMED) == said.count("not checked: ") == 1
    report = validate(made)
    assert (report.valid, report.failures, len(report.unchecked)) == (False, [], 1)
    assert validate(made, checks=()).valid


@pytest.mark.parametrize(
    "odd", [{}, {"parameter_space": [1], "simulation": 3}, {"parameter_space": {"a": 5}}]
)
def test_where_no_part_is_missing_an_error_stays_what_it_is(plain, odd):
    with open_dataset(plain) as dataset:
        stored = {**dataset._file.config, **odd}
    with pytest.raises(ConfigError, match="as it was") as error, naming_missing_parts(stored):
        raise ConfigError("as it was")
    assert not isinstance(error.value, MissingPartError)


def test_an_order_to_a_worker_without_the_plugin_names_it(made):
    """So a part that a script registers for itself is named when worker processes are asked for it."""
    with open_dataset(made) as dataset:
        order = Order(dataset._file.config, "", str(made.parent), "cpu")
    with pytest.raises(MissingPartError, match="import the module that registers it"):
        order.plan()
