"""A configuration given as a dictionary is the one that a file with the same values gives."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import yaml

import tiny
from spinlock.config import load_config
from spinlock.dataset import VirtualDataset
from spinlock.errors import ConfigError
from spinlock.execution.plan import make_plan

FILES = sorted((Path(__file__).parents[2] / "configs" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_values_of_a_file_make_its_configuration(path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    assert load_config(values) == load_config(path)
    assert values == yaml.safe_load(path.read_text())  # nothing was written into it


def test_words_stay_words_and_numbers_numbers() -> None:
    """What YAML would take for a number, a switch or nothing is text where it is given as text."""
    for word in ("1e5", "010", "no", "null", "1.0", "a: b # c", "λ\n\t\U0001f300", '"', "\\"):
        config = load_config(tiny.changed(tiny.PLAIN, {"metadata.name": word}))
        assert config.metadata.name == word
    for number in (0.1 + 0.2, 5e-324, 1e-05, 0.0):
        space = {"noise_scale": {"type": "continuous", "bounds": [0.0, number]}}
        given = tiny.changed(tiny.PLAIN, {"parameter_space.stochastic": space})
        if number == 0.0:
            with pytest.raises(ConfigError, match="bounds"):
                load_config(given)
        else:
            found = load_config(given).model_dump()["parameter_space"]["stochastic"]["noise_scale"]
            assert found["bounds"][1] == number


def test_paths_numpy_numbers_tuples_and_other_mappings_are_what_they_hold(tmp_path: Path) -> None:
    plain = tiny.changed(tiny.PLAIN, {"dataset.output_path": str(tmp_path / "a.h5")})
    other = tiny.changed(plain, {})
    other["dataset"]["output_path"] = tmp_path / "a.h5"
    other["sampling"] = MappingProxyType({"total_samples": np.int64(3)})
    gain = other["parameter_space"]["architecture"]["gain"]
    gain["bounds"] = (np.float64(0.7), np.float32(1.2).astype(np.float64) * 0 + 1.2)
    assert load_config(other) == load_config(plain)
    assert make_plan(load_config(other)).digest == make_plan(load_config(plain)).digest


def test_overrides_replace_what_is_given() -> None:
    config = load_config(tiny.PLAIN, [("--total-samples", "sampling.total_samples", 7)])
    assert (config.sampling.total_samples, tiny.PLAIN["sampling"]["total_samples"]) == (7, 3)
    with pytest.raises(ConfigError, match=r"--total-samples: sampling\.total_samples: -1 is not allowed"):
        load_config(tiny.PLAIN, [("--total-samples", "sampling.total_samples", -1)])


def circle() -> Mapping[str, Any]:
    values: dict[str, Any] = {"version": "1.0"}
    values["sampling"] = values
    return values


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sampling": {"total_sample": 3}},
            "sampling.total_sample: unknown key .did you mean 'total_samples'",
        ),
        ({"sampling": {"total_samples": float("nan")}}, "sampling.total_samples: 'NaN' is not allowed"),
        ({"sampling": {"total_samples": np.arange(3)}}, "ndarray, not a word, a number, a list"),
        ({"sampling": {3, 4}}, "set, not a word"),
        ({"sampling": {("a", "b"): 1}}, "holds what no file can hold: keys must be"),
        (circle(), "holds what no file can hold: Circular reference"),
        ({"metadata": {"name": "a\x00b"}}, "metadata.name: holds a character"),
    ],
    ids=["typo", "nan", "array", "set", "key", "circle", "character"],
)
def test_what_is_wrong_is_named_and_no_line_is(values: Mapping[str, Any], message: str) -> None:
    given = values if "version" in values else {**tiny.PLAIN, **values}
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(given)
    assert str(caught.value).startswith("the configuration given")
    assert "line" not in str(caught.value)


def test_a_virtual_dataset_takes_one() -> None:
    assert VirtualDataset(tiny.PLAIN).config == load_config(tiny.PLAIN)
