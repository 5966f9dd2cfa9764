"""Any valid configuration is planned, run, opened and found valid."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

import tiny
from spinlock.config import load_config
from spinlock.config.parameters import known_parameters
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.validate import validate
from spinlock.execution import make_plan
from spinlock.initial_conditions import registry
from spinlock.storage.codecs import CODECS
from spinlock.testing.configurations import configurations

UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]


def proven(folder: Path, values: dict) -> None:
    """Write the values as a file, make the dataset, and look at everything in it."""
    text = yaml.safe_dump(values, allow_unicode=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    output = folder / f"{name}.h5"
    config = load_config(folder / f"{name}.yaml", [("test", "dataset.output_path", str(output))])
    plan = make_plan(config)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "sampling: ", UserWarning)
        summary = DatasetGenerationPipeline(config).generate()
    report = validate(output)
    assert report.failures == []
    assert summary.path == str(output)
    with open_dataset(output) as dataset:
        assert dataset.config == config
        assert dataset.attributes["plan_digest"] == plan.digest
        assert len(dataset) == values["sampling"]["total_samples"]
        for sample in dataset:
            size = int(sample.metadata["grid_sizes"])
            assert sample.inputs.shape[1:] == (size, size)
            assert np.isfinite(sample.inputs).all()
    for name in tiny.with_companions(output):
        (folder / name).unlink()
    assert sorted(path.suffix for path in folder.iterdir()) == [".yaml"] * len(list(folder.iterdir()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkers of types move Python's generator, which a strategy must leave alone."""
    with tiny.unchecked_shapes():
        yield tmp_path_factory.mktemp("any")


@settings(max_examples=4, suppress_health_check=UNHURRIED)
@given(values=configurations())
def test_a_valid_configuration_makes_a_valid_dataset(folder, values):
    proven(folder, values)


def reached(values: dict) -> set[str]:
    """What a configuration uses of the catalogues."""
    generation = values["simulation"]["input_generation"]
    storage = values["dataset"].get("storage", {})
    names = {generation["method"], *generation.get("ic_type_weights", {})}
    names |= {block["type"] for block in generation.values() if isinstance(block, dict) and "type" in block}
    for section in values["parameter_space"].values():
        names |= set(section)
        for parameter in section.values():
            names |= {parameter["type"], *(c for c in parameter.get("choices", []) if isinstance(c, str))}
    names |= {storage.get("compression", ""), storage.get("precision", "").partition(":")[0]}
    trajectories = storage.get("trajectories", "none")
    names |= {"every"} if isinstance(trajectories, dict) else {f"trajectories {trajectories}"}
    features = values.get("features", {})
    names |= {f"features {features.get('during_generation', False)}", features.get("sdf_version", "")}
    return names | {values["simulation"].get("precision", "")}


@pytest.mark.slow
def test_many_valid_configurations_make_valid_datasets(folder):
    @settings(max_examples=60, suppress_health_check=UNHURRIED)
    @given(configurations())
    def check(values):
        proven(folder, values)

    check()


@pytest.mark.slow
def test_the_configurations_reach_every_catalogue():
    """The control: what is drawn is not always the same few things."""
    met: set[str] = set()

    @settings(max_examples=250, suppress_health_check=UNHURRIED)
    @given(configurations())
    def draw(values):
        met.update(reached(values))

    with tiny.unchecked_shapes():
        draw()
    words = {word for option in known_parameters().values() for word in option.choices}
    met_settings = {"every", "trajectories all", "trajectories none", "features True", "1.0.0", "bfloat16"}
    kinds = {"integer", "continuous", "choice", "float16", "bitround"}
    assert {*registry, *known_parameters(), *CODECS, *words, *met_settings, *kinds} - met == set()
