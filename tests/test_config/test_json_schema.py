"""The schema for editors: it accepts what loads, and marks what an editor can know to be wrong."""

import json
from pathlib import Path

import pytest

from spinlock.config import config_schema
from spinlock.config.model import affecting
from spinlock.config.parameters import HEADINGS, known_parameters
from spinlock.config.yaml_source import parse_source
from spinlock.errors import ConfigError
from spinlock.initial_conditions import registry
from spinlock.initial_conditions.mixture import labels_allowed
from spinlock.operators import families
from test_config.config_texts import TEXT, VALUES, changed, config_of, edited
from test_config.schema_check import accepts
from test_config.schema_entries import ENTRIES

FILES = sorted((Path(__file__).parents[2] / "configs" / "experiments").glob("*.yaml"))
TABLE = Path(__file__).with_name("wrong_configurations.yaml")
WRONG = parse_source(TABLE.read_text(encoding="utf-8"), "table").values
SCHEMA = config_schema()
GENERATION = "simulation.input_generation"

SEVERAL_VALUES = """reversed integers, reversed reals, equal reals, log from 0, log of integers, alpha idle,
noise type without noise, parameter under two headings, all weights zero, options in no use, level,
option that does not suit a grid, every > steps, another backend"""
BESIDE_AN_OWN_LABEL = "unknown type, unknown method"
NO_JSON = """key twice, number as a key, boolean as a key, list as a key, null character, surrogate, nan,
infinity, huge integer, overflow, infinite weight"""
ONLY_LOADING_TELLS = {
    name.strip() for faults in (SEVERAL_VALUES, BESIDE_AN_OWN_LABEL, NO_JSON) for name in faults.split(",")
}
"""Faults that hang on several values at once, names that may be labels of one's own, and what is no JSON."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_experiment_is_accepted(file):
    assert accepts(SCHEMA, parse_source(file.read_text(encoding="utf-8"), file.name).values)


@pytest.mark.parametrize("name", [name for name in WRONG if name not in ONLY_LOADING_TELLS])
def test_a_wrong_configuration_is_marked(name):
    text = edited(tuple(WRONG[name]["change"]))
    assert not accepts(SCHEMA, parse_source(text, name).values)


def test_the_configuration_they_are_made_from_is_accepted():
    assert accepts(SCHEMA, parse_source(TEXT, "text").values)
    assert set(WRONG) > ONLY_LOADING_TELLS


@pytest.mark.parametrize("leaf", ENTRIES)
def test_what_the_walk_over_the_schema_loads_is_accepted(leaf):
    for config in ENTRIES[leaf].configs(leaf):
        assert accepts(SCHEMA, config.model_dump(mode="json", exclude_none=True))


GENERATIONS = [
    {"method": "random"},
    {"method": "localized", "localized": {"num_blobs_range": [1, 9]}},
    {"method": "localized_v3", "localized_v3": {"num_blobs": 3}},
    {"method": "mine", "mine": {"type": "mixed"}},
    {"ic_type_weights": {"localized": 1, "localized_v2": 0.5, "multiscale_grf_low_v1": 2, "random": 0}},
    {"ic_type_weights": {"mine": 1, "random": 2}, "mine": {"type": "multiscale_grf_low", "normalize": "rms"}},
    {"ic_type_weights": {"random": 1}, "random": {"type": "localized", "num_blobs": 3}},
    {"ic_type_weights": {"multiscale_grf": 1}, "multiscale_grf": {"bands": [[1, 4], [6, 7]]}},
]

WRONG_GENERATIONS = [
    {"method": "localised"},
    {"ic_type_weights": {"localised": 1}},
    {"ic_type_weights": {"localized": 1}, "localized": {"num_blob": 3}},
    {"ic_type_weights": {"localized": 1}, "localized": {"num_blobs": 0}},
    {"ic_type_weights": {"localized_v2": 1}, "localized_v2": {"num_blobs": 0}},
    {"ic_type_weights": {"mine": 1}, "mine": {"num_blobs": 3}},
    {"ic_type_weights": {"mine": 1}, "mine": {"type": "localized", "length_scale": 0.1}},
    {"ic_type_weights": {"multiscale_grf": 1}, "multiscale_grf": {"bands": [1, 4]}},
]


@pytest.mark.parametrize("generation", GENERATIONS, ids=str)
def test_initial_conditions_that_load_are_accepted(generation):
    assert config_of({GENERATION: generation, "parameter_space.operator.grid_size.choices": [64]})
    assert accepts(SCHEMA, changed({GENERATION: generation}))


@pytest.mark.parametrize("generation", WRONG_GENERATIONS, ids=str)
def test_wrong_initial_conditions_are_refused_by_both(generation):
    with pytest.raises(ConfigError):
        config_of({GENERATION: generation, "parameter_space.operator.grid_size.choices": [64]})
    assert not accepts(SCHEMA, changed({GENERATION: generation}))


def test_the_names_are_those_of_the_catalogues():
    space = SCHEMA["$defs"]["ParameterSpace"]["properties"]
    for heading in HEADINGS:
        assert set(space[heading]["properties"]) == set(known_parameters(families))
        assert space[heading]["additionalProperties"] is False
    generation = SCHEMA["$defs"]["InputGeneration"]
    assert set(generation["properties"]) == {"method", "ic_type_weights", *registry}
    assert set(generation["then"]["properties"]["method"]["anyOf"][1]["anyOf"][0]["enum"]) == set(
        labels_allowed()
    )
    for name in registry:
        options = SCHEMA["$defs"][f"{name}_options"]["properties"]
        assert set(options) == {"type", *registry[name].option_names()}


def test_every_key_is_described():
    """What an editor shows beside a key."""
    for name, definition in SCHEMA["$defs"].items():
        for key, schema in definition.get("properties", {}).items():
            assert "description" in schema or "$ref" in schema or key == "type", (name, key)
            assert "title" not in schema


def test_every_reference_leads_somewhere_and_every_definition_is_used():
    text = json.dumps(SCHEMA)
    for name in SCHEMA["$defs"]:
        assert f'"#/$defs/{name}"' in text, name
    assert text.count('"$ref"') == sum(text.count(f'"$ref": "#/$defs/{name}"') for name in SCHEMA["$defs"])
    assert json.loads(text) == SCHEMA


def test_a_new_key_of_the_model_is_in_the_schema(monkeypatch):
    """The control that the schema follows the model."""
    from spinlock.config import json_schema

    class Longer(json_schema.Config):
        later: int = affecting("label", default=1, description="A key of a later version.")

    assert not accepts(SCHEMA, changed({"later": 2}))
    monkeypatch.setattr(json_schema, "Config", Longer)
    assert accepts(config_schema(), changed({"later": 2}))
    assert accepts(config_schema(), VALUES)
