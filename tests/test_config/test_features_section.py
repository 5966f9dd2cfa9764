"""The section `features`: its values, their near misses, and plans that it leaves as they were."""

import re
from pathlib import Path

import pytest

from spinlock.config import config_from_stored, load_config
from spinlock.config.digest import plan_digest
from spinlock.config.load import validated_features
from spinlock.config.model import Features
from spinlock.config.values import CATEGORIES, SDF_CATEGORIES
from spinlock.errors import ConfigError
from spinlock.execution import make_plan
from spinlock.execution.feature_layout import FeatureChoice, feature_layout
from spinlock.features.catalogue import SDF_VERSION, registry
from spinlock.storage.features import SDF_PREFIXES
from test_config.config_texts import config_of

EXPERIMENTS = Path(__file__).parents[2] / "configs" / "experiments"

DIGESTS = {
    "benchmark_10k": "60c550c75ed65d9c1519ba7cd9c54d5ff333ddf69a7957b4b488e2a6d681d90c",
    "domain_ics_all_21": "6d1fd83e6427657537b8445626bbfae5e8a0169bcd69c9f4ae154a8fe7231b73",
    "domain_ics_tier1": "ff0c698c9a07752a27768f6f3b618aade2fea9652db13b15307d65c4284deb2a",
    "domain_ics_tier2": "03780cf713dc0c862405438958f24173efe46d0386161309f59b39b90781f69c",
    "domain_ics_tier3": "e490037f55e86a2cd7dec189d88ed7128c239d310c81fe0fbd18847dbcf96905",
    "domain_ics_tier4": "c018d10b790ba7cdfff30181791944ce177892089b16da28e18d5d1a192287e5",
    "edge_of_chaos": "344976c5ba8ca20ac2d2483976ec25d0cfd950a1f7e485840434b36569089d19",
    "my_experiment": "97282e256c5cdbcdc68ffdb4220f4d1c8d5f1c55c815e9c43b58b0b4383d3a64",
    "test_100": "9dbf0abfa2c52d8e281537b0b0fce881debbc2e7814339c4c3eafd8c8ea32fa5",
    "vqvae_baseline_10k": "a2b7019be1d39daf763327d725cf1df2e9d85347d5af854a044aaaa8e9e0e417",
}
"""Plans as they were before there were features: datasets made of them are complete, work goes on."""


@pytest.mark.parametrize("name", DIGESTS)
def test_plans_that_say_nothing_of_features_keep_their_digest(name):
    assert plan_digest(load_config(EXPERIMENTS / f"{name}.yaml")) == DIGESTS[name]


def test_a_configuration_stored_before_there_were_features_opens():
    values = config_of().model_dump(mode="json")
    del values["features"]
    again = config_from_stored(values)
    assert again == config_of()
    assert make_plan(again).layout == make_plan(config_of()).layout
    assert make_plan(again).features is None


@pytest.mark.parametrize(
    "change",
    [
        {"features": {}},
        {"features.during_generation": False},
        {"features.categories": "all"},
        {"features.categories": list(reversed(CATEGORIES))},
        {"features.sdf_version": SDF_VERSION},
    ],
    ids=str,
)
def test_another_spelling_of_the_defaults_changes_nothing(change):
    assert config_of(change) == config_of()
    assert plan_digest(config_of(change)) == plan_digest(config_of())


def test_the_order_of_categories_changes_nothing():
    one, other = (
        config_of({"features.categories": names})
        for names in (["temporal", "spatial"], ["spatial", "temporal"])
    )
    assert one == other
    assert one.features.categories == ["spatial", "temporal"]
    assert plan_digest(one) != plan_digest(config_of())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.categories": ["spacial"]}, r"categories.*'spacial'.*did you mean 'spatial'"),
        ({"features.categories": ["spatial", "spatial"]}, "each once"),
        ({"features.categories": []}, "must be all or a list of spatial, spectral"),
        ({"features.categories": "spatial"}, "must be all or a list of spatial, spectral"),
        ({"features.categories": [3]}, "3 is no category"),
        ({"features.categories": None}, "is empty"),
        ({"features.sdf_version": "2.0"}, "must be one of 2.0.0, 1.0.0"),
        ({"features.during_generation": "yes"}, "must be true or false"),
        ({"features.during_generaton": True}, "did you mean 'during_generation'"),
        (
            {"features.sdf_version": "1.0.0", "features.categories": ["spatial", "causality"]},
            r"sdf_version 1\.0\.0 has no causality; it has spatial, spectral, temporal",
        ),
    ],
    ids=str,
)
def test_wrong_values_are_told(change, message):
    with pytest.raises(ConfigError, match=message):
        config_of(change)


def test_options_replace_values_of_a_section():
    section = Features(categories=["spatial"])
    assert validated_features(section, {}) == section
    assert validated_features(section, {"sdf_version": "1.0.0"}).sdf_version == "1.0.0"
    with pytest.raises(ConfigError, match=re.escape("--sdf-version: '3' is not allowed: it must be one of")):
        validated_features(section, {"sdf_version": "3"})
    with pytest.raises(ConfigError, match="--categories: 'spectrl' is no category"):
        validated_features(section, {"categories": ["spectrl"]})


def test_the_categories_are_those_of_the_catalogue():
    entries = sorted(registry.entries(), key=lambda entry: entry.index)
    assert tuple(dict.fromkeys(entry.category for entry in entries)) == (
        "spatial",
        "spectral",
        "temporal",
        "operator_sensitivity",
        "cross_channel",
        "causality",
        "invariant_drift",
    )
    assert {entry.category for entry in entries} == set(CATEGORIES)
    assert [entry.index for entry in entries] == list(range(153))


def test_the_older_version_is_the_first_59_features():
    whole, first = feature_layout(5, SDF_VERSION), feature_layout(5, "1.0.0")
    assert set(SDF_CATEGORIES) == {SDF_VERSION, *SDF_PREFIXES}
    assert Features().sdf_version == SDF_VERSION
    counts = {name: len(columns) for name, columns in whole.columns.items()}
    assert counts == {"per_timestep": 56, "per_trajectory": 87, "aggregated": 271}
    counts = {name: len(columns) for name, columns in first.columns.items()}
    assert counts == {"per_timestep": 46, "per_trajectory": 13, "aggregated": 39}
    assert len(whole.registry) == 153
    assert len(first.registry) == SDF_PREFIXES["1.0.0"] == 59
    assert first.columns == whole.first(59, "1.0.0").columns
    for name, columns in first.columns.items():
        assert whole.columns[name][: len(columns)] == columns
    assert first.registry_hash != whole.registry_hash


def test_a_choice_is_the_categories_of_its_version():
    assert FeatureChoice.of(Features()).categories == CATEGORIES
    assert FeatureChoice.of(Features(sdf_version="1.0.0")).categories == ("spatial", "spectral", "temporal")
    assert FeatureChoice.of(Features(categories=["causality"])).categories == ("causality",)
