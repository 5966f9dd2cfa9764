"""The layout of features: what it makes of a dataset's tree, and what it refuses."""

import json
from dataclasses import replace

import pytest

from spinlock.errors import OptionError, StorageError
from spinlock.storage.feature_layout import FeatureLayout
from spinlock.storage.schema import Layout, arrays, dimension_sizes, row_tables
from test_storage.dataset_samples import feature_layout_of, layout_of

PLAIN_JSON = (
    '{"channels":3,"compression":"zstd","compression_level":3,"format":1,"grids":[16],'
    '"parameters":[],"precision":"float32","realizations":2,"samples":4,"string_lengths":'
    '[["dynamics",40],["ic_labels",40],["ic_options",40],["ic_types",40],["noise_regimes",40],'
    '["rollout_policies",40]],"timesteps":[]}'
)
"""What files without features have always held."""


def test_a_layout_without_features_says_nothing_about_them():
    layout = layout_of(parameters=())
    assert layout.to_json() == PLAIN_JSON
    assert Layout.from_json(PLAIN_JSON) == layout
    assert layout.features is None


def test_json_gives_the_features_back():
    layout = layout_of(features=feature_layout_of())
    assert Layout.from_json(layout.to_json()) == layout
    assert Layout.from_json(layout.to_json()) != layout_of()


def test_features_add_their_arrays_and_change_no_other():
    plain, layout = layout_of(), layout_of(features=feature_layout_of())
    added = {spec.path: spec for spec in arrays(layout) if spec not in arrays(plain)}
    assert [spec for spec in arrays(layout) if spec.path not in added] == arrays(plain)
    assert {path: (spec.kind, spec.dtype, spec.shape) for path, spec in added.items()} == {
        "features/sdf/per_timestep/features": ("table", "float32", (4, 3, 2)),
        "features/sdf/per_timestep/n_realizations": ("table", "uint16", (4, 3)),
        "features/sdf/per_trajectory/features": ("table", "float32", (4, 2, 2)),
        "features/sdf/per_trajectory/finite_steps": ("table", "int32", (4, 2)),
        "features/sdf/aggregated/features": ("table", "float32", (4, 5)),
        "features/sdf/aggregated/metadata/extraction_time": ("timing", "float64", (4,)),
        "features/sdf/schema": ("document", "string", ()),
    }
    assert dict(added["features/sdf/aggregated/features"].attributes) == {
        "columns": ("energy_slope_mean", "energy_slope_std", "period_mean", "period_std", "gain"),
        "registry_index": (2, 2, 3, 3, 70),
    }
    sizes = dimension_sizes(layout)
    for spec in added.values():
        assert tuple(sizes[dim] for dim in spec.dims) == spec.shape


def test_times_are_no_part_of_a_row():
    paths = [spec.path for spec in row_tables(layout_of(features=feature_layout_of()))]
    assert len([path for path in paths if path.startswith("features/")]) == 5
    assert not [path for path in paths if path.endswith("extraction_time")]


def test_the_registry_names_every_feature_once():
    assert feature_layout_of().registry == {
        "mean": 0,
        "std": 1,
        "energy_slope": 2,
        "period": 3,
        "gain": 70,
    }


def test_the_first_features_are_a_prefix_of_every_array():
    whole = feature_layout_of()
    first = whole.first(3, "1.0.0")
    assert first.version == "1.0.0"
    assert first.registry == {"mean": 0, "std": 1, "energy_slope": 2}
    for name, columns in first.columns.items():
        assert whole.columns[name][: len(columns)] == columns
    assert len(first.aggregated) == 2


def test_row_bytes_are_those_of_the_tables():
    layout = layout_of(samples=1, features=feature_layout_of())
    features = [
        spec for spec in arrays(layout) if spec.path.startswith("features/") and spec.kind != "document"
    ]
    assert sum(spec.raw_bytes for spec in features) == feature_layout_of().row_bytes(layout.realizations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 0}, "features.frames = 0"),
        ({"frames": True}, "features.frames = True"),
        ({"schema_bytes": 2**30}, "features.schema_bytes"),
        ({"version": ""}, "features.version"),
        ({"registry_hash": 3}, "features.registry_hash"),
        ({"per_timestep": ()}, "features.per_timestep"),
        ({"per_timestep": (("a", 0), ("a", 1))}, "each once"),
        ({"aggregated": (("a\n", 0),)}, "features.aggregated"),
        ({"per_trajectory": (("a", -1),)}, "features.per_trajectory"),
        ({"per_trajectory": tuple((f"a{k}", k) for k in range(5000))}, "1 to 4096"),
    ],
)
def test_impossible_features_are_refused(change, message):
    with pytest.raises(OptionError, match=message):
        feature_layout_of(**change)


@pytest.mark.parametrize(
    "change", [{"frames": "3"}, {"later": 1}, {"per_timestep": [1]}, {"aggregated": None}]
)
def test_damaged_features_in_json_are_refused(change):
    values = json.loads(layout_of(features=feature_layout_of()).to_json())
    values["features"] |= change
    with pytest.raises(StorageError, match="layout cannot be read"):
        Layout.from_json(json.dumps(values))


def test_definitions_are_part_of_the_layout():
    one = layout_of(features=feature_layout_of())
    assert one != replace(one, features=feature_layout_of(registry_hash="ef" * 32))
    assert isinstance(one.features, FeatureLayout)
