"""`info` counts what became of every rollout: nothing is left out, and nothing is counted twice."""

import json
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import tiny
from spinlock.cli.accounting import render_accounting
from spinlock.cli.render import render_info
from spinlock.config.parameters import known_parameters
from spinlock.dataset import open_dataset
from spinlock.dataset.accounting import account
from spinlock.dataset.acting import ACTS_WHERE, POLICIES, acting_rows
from spinlock.dataset.card import render_card
from spinlock.dataset.describe import describe
from spinlock.rollout import policies


@pytest.fixture(scope="module")
def content(everything):
    return describe(everything)


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    changes = {
        "parameter_space.architecture.gain": {"type": "continuous", "bounds": [0.5, 90.0], "log_scale": True},
        "parameter_space.architecture.normalization": {"type": "choice", "choices": ["none"]},
        "sampling.total_samples": 8,
        "simulation.num_timesteps": 3,
        "dataset.storage.precision": "float16",
    }
    return tiny.generate(tmp_path_factory.mktemp("loud") / "a.h5", tiny.PLAIN, changes)


def test_each_grouping_holds_every_sample_once(content):
    accounting = content["accounting"]
    everywhere = {name: groups for name, groups in accounting["by"].items() if name not in ACTS_WHERE}
    assert len(everywhere) > 8
    for name, groups in everywhere.items():
        for what in ("samples", "rollouts", "stopped", "overflowed"):
            assert sum(group[what] for group in groups) == accounting["all"][what], (name, what)
        labels = [label for group in groups for label in group["dynamics"]]
        for label in labels:
            total = sum(group["dynamics"].get(label, 0) for group in groups)
            assert total == accounting["all"]["dynamics"][label], (name, label)
        assert all(sum(group["dynamics"].values()) == group["samples"] > 0 for group in groups)


def test_the_whole_is_what_the_columns_say(content, everything):
    whole = content["accounting"]["all"]
    with open_dataset(everything) as dataset:
        finite, labels = dataset.metadata["finite_steps"], dataset.metadata["dynamics"]
    assert whole["samples"] == 12
    assert whole["rollouts"] == 36
    assert whole["stopped"] == (finite < 18).sum() == content["rollouts"]["stopped"] > 0
    assert whole["dynamics"] == {label: (labels == label).sum() for label in np.unique(labels)}


def test_a_group_counts_the_samples_of_its_value(content, everything):
    """Recounted sample by sample, from the draws."""
    with open_dataset(everything) as dataset:
        for name, column in (("ic_types", "ic_types"), ("rollout_policies", "rollout_policies")):
            groups = {group["value"]: group for group in content["accounting"]["by"][name]}
            assert set(groups) == set(dataset.metadata[column])
            for value, group in groups.items():
                rows = [row for row in range(12) if dataset.metadata[column][row] == value]
                stopped = sum((dataset.metadata["finite_steps"][row] < 18).sum() for row in rows)
                assert (group["samples"], group["stopped"]) == (len(rows), stopped)


def test_a_range_of_a_parameter_counts_the_samples_whose_value_lies_in_it(content, everything):
    with open_dataset(everything) as dataset:
        gains = dataset.parameters["gain"]
        diverged = dataset.metadata["dynamics"] == "diverged"
    groups = content["accounting"]["by"]["gain"]
    assert 2 <= len(groups) <= 4
    ranges = [tuple(map(float, group["value"].split(" … "))) for group in groups]
    assert ranges == sorted(ranges)
    for (low, high), group in zip(ranges, groups, strict=True):
        rows = (gains >= low * 0.999) & (gains <= high * 1.001)
        assert group["samples"] == rows.sum()
        assert group["dynamics"].get("diverged", 0) == (rows & diverged).sum()


def test_where_a_parameter_acts_is_what_the_catalogues_say():
    stated = {name: option.when for name, option in known_parameters().items() if option.when}
    assert {name: (when.option, when.values) for name, when in stated.items()} == ACTS_WHERE
    assert set(policies) == set(POLICIES)


ACTING = {
    "alpha": lambda ds: ds.metadata["rollout_policies"] == "convex",
    "dt": lambda ds: ds.metadata["rollout_policies"] == "residual",
    "gain": lambda ds: np.ones(len(ds), bool),
}


@pytest.mark.parametrize("name", ACTING)
def test_a_parameter_is_counted_over_the_rows_in_which_it_acts(name, content, everything):
    with open_dataset(everything) as dataset:
        acting = ACTING[name](dataset)
        values = dataset.parameters[name][acting]
        labels = dataset.metadata["dynamics"][acting]
    groups = content["accounting"]["by"][name]
    assert sum(group["samples"] for group in groups) == acting.sum() > 0
    met = Counter(label for group in groups for label in Counter(group["dynamics"]).elements())
    assert met == Counter(labels.tolist())
    spread = content["parameters"][name]
    assert (spread["min"], spread["median"], spread["max"]) == (
        values.min(), np.median(values), values.max(),
    )  # fmt: skip
    assert spread.get("rows") == (None if acting.all() else acting.sum())
    told = render_accounting(content["accounting"])
    heading = name if acting.all() else f"{name} (acts in {acting.sum()} of 12)"
    assert f"\n  {heading}\n" in told


class Columns:
    """A file of four rows: a constant schedule, two others, and one without noise."""

    tables: ClassVar = {
        "parameters/values/noise_schedule": np.array(["constant", "annealing", "periodic", "periodic"]),
        "metadata/noise_regimes": np.array(["low", "low", "high", "none"]),
        "metadata/rollout_policies": np.array(["residual", "convex", "leapfrog", "autoregressive"]),
    }

    def __init__(self, *names):
        self.layout = SimpleNamespace(samples=4, parameters=[SimpleNamespace(name=name) for name in names])

    def table(self, path):
        return self.tables[path]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("schedule_period", [1, 2]),
        ("noise_schedule", [0, 1, 2]),
        ("dt", [0, 2]),
        ("alpha", [1, 2]),
        ("gain", [0, 1, 2, 3]),
    ],
)
def test_a_condition_holds_with_those_of_what_it_depends_on(name, rows):
    """In rows of a policy that a plugin made, any constant may act."""
    assert np.flatnonzero(acting_rows(Columns("noise_schedule"), name)).tolist() == rows


def test_a_parameter_that_acts_nowhere_has_no_spread(tmp_path):
    changes = {
        "parameter_space.rollout.update_policy": {"type": "choice", "choices": ["residual", "convex"]},
        "parameter_space.rollout.dt": {"type": "continuous", "bounds": [0.1, 0.9]},
        "sampling.total_samples": 1,
    }
    output = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, changes)
    with open_dataset(output) as dataset:
        (policy,) = dataset.metadata["rollout_policies"]
    content = describe(output)
    assert policy == "convex"
    assert content["parameters"]["dt"] == {"counts": {}, "rows": 0}
    assert "dt (acts in 0 of 1)" in render_accounting(content["accounting"])
    assert "in the 0 samples where it acts" in render_info(content, verbose=True)
    assert "| `dt`, in 0 samples |" in render_card(content)


def test_the_bias_of_a_collection_shows(loud):
    """Without normalization it is large gains that float16 cannot hold, and the ranges of the gain say so."""
    accounting = describe(loud)["accounting"]
    first, *_, last = accounting["by"]["gain"]
    assert first["overflowed"] == first["stopped"] == 0
    assert last["overflowed"] > 0


def test_every_named_parameter_and_every_kind_of_sample_is_there(content):
    by = content["accounting"]["by"]
    assert {"ic_types", "rollout_policies", "grid_sizes", "noise_regimes"} < set(by)
    assert set(content["parameters"]) - {"update_policy", "grid_size"} < set(by)


def test_overflow_in_storage_is_counted(loud):
    accounting = describe(loud)["accounting"]
    with open_dataset(loud) as dataset:
        expected = int((dataset.metadata["overflow_steps"] > 0).sum())
    assert accounting["all"]["overflowed"] == expected > 0
    assert "overflowed" in render_accounting(accounting).splitlines()[2]


def test_a_column_for_overflow_appears_only_where_there_was_one(content):
    header, whole = render_accounting(content["accounting"]).splitlines()[2:4]
    assert "overflowed" not in header
    assert header.split()[:3] == ["samples", "rollouts", "stopped"]
    assert whole.split()[:4] == ["all", "12", "36", str(content["accounting"]["all"]["stopped"])]


class Stranger:
    """A file with as many names of initial conditions as it has samples, and points outside the cube."""

    def __init__(self, samples):
        self.layout = SimpleNamespace(samples=samples, parameters=(SimpleNamespace(name="gain"),))
        self._tables = {
            "metadata/finite_steps": np.full((samples, 2), 2),
            "metadata/dynamics": np.array(["dead", "active"])[np.arange(samples) % 2],
            "metadata/ic_types": np.char.add("type", np.arange(samples).astype(str)),
            "parameters/params": np.linspace(-1e300, 1e300, samples)[:, None],
            "parameters/values/gain": np.linspace(0, 1, samples),
        }
        self._tables["parameters/params"][0] = np.nan

    def describe_arrays(self):
        return []

    def table(self, path):
        return self._tables.get(path, np.zeros(self.layout.samples, np.int64))


def test_a_file_of_a_hundred_thousand_names_is_told_in_few_lines():
    accounting = account(Stranger(100_000), num_timesteps=1)
    groups = accounting["by"]["ic_types"]
    assert len(groups) == 64
    assert groups[-1]["value"] == "99937 others"
    assert sum(group["samples"] for group in groups) == 100_000
    assert len(accounting["by"]["gain"]) <= 4
    assert accounting["all"]["dynamics"] == {"active": 50_000, "dead": 50_000}
    assert len(render_accounting(accounting).splitlines()) < 100


def test_info_verbose_shows_it_and_json_holds_it(everything):
    words = [sys.executable, "-m", "spinlock", "info", "--dataset", str(everything)]
    shown, as_json, plain = (
        subprocess.run([*words, *more], capture_output=True, text=True, check=True).stdout
        for more in (["--verbose"], ["--json"], [])
    )
    assert "what became of the rollouts" in shown
    assert "what became of the rollouts" not in plain
    assert json.loads(as_json)["accounting"]["all"]["rollouts"] == 36
