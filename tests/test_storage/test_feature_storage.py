"""Features in files: through shards and finalize, added later, read back, and every damage found."""

import json
from dataclasses import replace
from itertools import pairwise

import h5py
import numpy as np
import pytest

from spinlock.errors import StorageError, UnknownNameError
from spinlock.storage import DatasetFile, encode_row, finalize, verify, write_shard
from spinlock.storage.feature_copy import copy_with_features
from spinlock.storage.feature_layout import FeatureLayout
from spinlock.storage.features import HDF5FeatureReader
from test_storage.dataset_samples import (
    PLAN,
    SCHEMA_TEXT,
    feature_entries_of,
    feature_facts_of,
    feature_layout_of,
    layout_of,
    plain_contents,
    row_of,
    same_bits,
    shard_of,
)

PATHS = [
    "features/sdf/per_timestep/features",
    "features/sdf/per_timestep/n_realizations",
    "features/sdf/per_trajectory/features",
    "features/sdf/per_trajectory/finite_steps",
    "features/sdf/aggregated/features",
]
EXTRACTION_TIME = "features/sdf/aggregated/metadata/extraction_time"
ATTRIBUTES = {"plan_digest": PLAN, "config": "{}"}


def made(folder, layout, **facts):
    """A dataset file in shards of at most two rows."""
    folder.mkdir(exist_ok=True)
    cuts = [*range(0, layout.samples, 2), layout.samples]
    shards = [shard_of(folder / f"{lo}.h5", layout, lo, hi) for lo, hi in pairwise(cuts)]
    given = feature_facts_of(layout.samples, **facts) if layout.features else None
    return finalize(folder / "a.h5", layout, shards, ATTRIBUTES, facts=given).path


def blocks_of(layout, step=3):
    for lo in range(0, layout.samples, step):
        entries = [feature_entries_of(layout, row) for row in range(lo, min(lo + step, layout.samples))]
        yield lo, {path: np.stack([entry[path] for entry in entries]) for path in entries[0]}


def added(source, path, features, blocks=None, **facts):
    with DatasetFile(source) as file:
        layout = replace(file.layout, features=features)
        given = feature_facts_of(layout.samples, **facts)
        return copy_with_features(file, path, features, blocks or blocks_of(layout), given).path


SHAPES = [
    {"channels": 1, "realizations": 1, "samples": 1},
    {"channels": 2, "realizations": 1, "samples": 4},
    {"channels": 3, "realizations": 3, "samples": 5},
]


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_features_come_back_from_shards_and_when_added(tmp_path, shape, frames):
    features = feature_layout_of(frames=frames)
    layout = layout_of(**shape, features=features)
    whole = made(tmp_path / "whole", layout)
    later = added(made(tmp_path / "plain", replace(layout, features=None)), tmp_path / "later.h5", features)
    for path in (whole, later):
        assert verify(path) == []
        with DatasetFile(path) as file, HDF5FeatureReader(path) as reader:
            assert file.layout == layout
            for row in range(layout.samples):
                for table, entry in feature_entries_of(layout, row).items():
                    assert same_bits(np.asarray(file.table(table)[row]), entry)
            assert reader.get_sdf_per_timestep().shape == (layout.samples, frames, 2)
            assert reader.get_sdf_per_trajectory().shape == (layout.samples, layout.realizations, 2)
            assert reader.get_sdf_aggregated().shape == (layout.samples, 5)
            assert reader.extraction_time.tolist() == feature_facts_of(layout.samples).seconds.tolist()
    assert plain_contents(whole) == plain_contents(later)
    with DatasetFile(whole) as one, DatasetFile(later) as other:
        assert one.digest == other.digest


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_everything_else_is_carried_over(tmp_path, precision):
    layout = layout_of(grids=(16, 32), samples=5, timesteps=(0, 2), precision=precision)
    source = made(tmp_path / "plain", layout)
    before = source.read_bytes()
    copy = added(source, tmp_path / "b.h5", feature_layout_of())
    assert source.read_bytes() == before
    old, new = plain_contents(source, attributes=False), plain_contents(copy, attributes=False)
    rows = "metadata/checksums/rows"
    assert {path: value for path, value in new.items() if path in old and path != rows} == {
        path: value for path, value in old.items() if path != rows
    }
    assert new[rows] != old[rows]
    with DatasetFile(source) as one, DatasetFile(copy) as other:
        assert {**other.attributes, "layout": None} == {**one.attributes, "layout": None}


def test_features_are_replaced_by_those_of_another_layout(tmp_path):
    source = made(tmp_path / "whole", layout_of(features=feature_layout_of()))
    smaller = replace(feature_layout_of().first(3, "1.0.0"), registry_hash="ef" * 32)
    added(source, source, smaller)
    assert verify(source) == []
    with HDF5FeatureReader(source) as reader:
        assert reader.get_sdf_registry().names == ("mean", "std", "energy_slope")
        assert reader.attributes["registry_hash"] == "ef" * 32


def test_shards_hold_no_times_and_are_the_same_bytes(tmp_path):
    layout = layout_of(features=feature_layout_of())
    one, two = (shard_of(tmp_path / f"{name}.h5", layout, 0, 2) for name in "ab")
    assert one.path.read_bytes() == two.path.read_bytes()
    with DatasetFile(one.path) as file:
        assert np.isnan(file.table(EXTRACTION_TIME)).all()
        assert "extraction_timestamp" not in file.group_attributes("features")


def test_two_files_differ_in_their_times_alone(tmp_path):
    layout = layout_of(features=feature_layout_of())
    one = made(tmp_path / "one", layout)
    seconds = feature_facts_of(4).seconds * 2
    other = made(tmp_path / "two", layout, seconds=seconds, origin={"extraction_timestamp": "later"})
    a, b = plain_contents(one), plain_contents(other)
    assert {path for path in a if a[path] != b[path]} == {
        EXTRACTION_TIME,
        "features@extraction_timestamp",
        "metadata/checksums@digest",
        "metadata/checksums@objects",
    }


def test_plain_h5py_reads_it_all(tmp_path):
    path = made(tmp_path / "whole", layout_of(features=feature_layout_of()))
    with h5py.File(path) as file:
        sdf = file["features/sdf"]
        assert json.loads(file["features"].attrs["family_versions"]) == {"sdf": "2.0.0"}
        assert file["features"].attrs["extraction_timestamp"] == b"now"
        assert sdf.attrs["version"] == b"2.0.0"
        assert sdf.attrs["num_features"] == 5
        assert json.loads(sdf.attrs["feature_registry"])["gain"] == 70
        assert sdf.attrs["registry_hash"] == b"cd" * 32
        assert sdf.attrs["length_unit"] == b"px"
        assert sdf["schema"].shape == ()
        assert sdf["schema"][()].decode() == SCHEMA_TEXT
        columns = sdf["per_timestep/features"].attrs
        assert columns["columns"].tolist() == [b"mean", b"std"]
        assert columns["registry_index"].tolist() == [0, 1]


def test_the_reader_reads_the_first_features_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("spinlock.storage.features.SDF_PREFIXES", {"1.0.0": 3})
    path = made(tmp_path / "whole", layout_of(features=feature_layout_of()))
    with HDF5FeatureReader(path) as whole, HDF5FeatureReader(path, sdf_version="1.0.0") as first:
        assert (whole.version, first.version) == ("2.0.0", "1.0.0")
        assert whole.get_sdf_registry().num_features == len(whole.get_sdf_registry()) == 5
        assert first.get_sdf_registry().num_features == 3
        assert "gain" in whole.get_sdf_registry()
        assert "gain" not in first.get_sdf_registry()
        assert first.columns["aggregated"] == ["energy_slope_mean", "energy_slope_std"]
        for read in ("get_sdf_per_timestep", "get_sdf_per_trajectory", "get_sdf_aggregated"):
            all_columns, columns = getattr(whole, read)(), getattr(first, read)()
            assert columns.dtype == np.float32
            assert same_bits(columns, np.ascontiguousarray(all_columns[..., : columns.shape[-1]]))
        assert [feature["name"] for feature in whole.get_sdf_schema()] == ["mean", "gain"]
        assert [feature["name"] for feature in first.get_sdf_schema()] == ["mean"]


def test_the_registry_names_the_near_miss(tmp_path):
    with HDF5FeatureReader(made(tmp_path / "whole", layout_of(features=feature_layout_of()))) as reader:
        registry = reader.get_sdf_registry()
    assert registry["gain"] == 70
    assert list(registry) == ["mean", "std", "energy_slope", "period", "gain"]
    with pytest.raises(UnknownNameError, match="did you mean 'period'"):
        registry["perod"]


def test_a_file_without_features_says_how_to_get_them(tmp_path):
    path = made(tmp_path / "plain", layout_of())
    with pytest.raises(StorageError, match="has no features: add them with `spinlock extract-features"):
        HDF5FeatureReader(path)


def test_a_version_that_is_not_there_is_refused(tmp_path):
    path = made(tmp_path / "old", layout_of(features=feature_layout_of(version="1.0.0")))
    with pytest.raises(StorageError, match=r"features of version 1\.0\.0, not 2\.0\.0"):
        HDF5FeatureReader(path, sdf_version="2.0.0")
    with HDF5FeatureReader(path, sdf_version="1.0.0") as reader:
        assert reader.version == "1.0.0"


@pytest.mark.parametrize("path", PATHS)
def test_a_flipped_bit_in_a_feature_is_found_and_its_row_named(tmp_path, path):
    whole = made(tmp_path / "whole", layout_of(features=feature_layout_of()))
    with h5py.File(whole) as file:
        array = file[path]
        place = array.id.get_offset() + 2 * array.nbytes // 4 + 1
    content = bytearray(whole.read_bytes())
    content[place] ^= 1
    whole.write_bytes(content)
    damage = verify(whole)
    assert path in [found.array for found in damage]
    assert {found.row for found in damage if found.row is not None} == {2}
    with pytest.raises(StorageError, match=path):
        HDF5FeatureReader(whole)


@pytest.mark.parametrize("path", [EXTRACTION_TIME, "features/sdf/schema"])
def test_a_flipped_bit_beside_the_features_is_found(tmp_path, path):
    whole = made(tmp_path / "whole", layout_of(features=feature_layout_of()))
    with h5py.File(whole) as file:
        place = file[path].id.get_offset() + 9
    content = bytearray(whole.read_bytes())
    content[place] ^= 1
    whole.write_bytes(content)
    assert path in [found.array for found in verify(whole)]


def test_an_attribute_that_changed_is_found(tmp_path):
    whole = made(tmp_path / "whole", layout_of(features=feature_layout_of()))
    with h5py.File(whole, "r+") as file:
        file["features/sdf"].attrs.modify("num_features", 6)
    assert "features/sdf" in [found.array for found in verify(whole)]


@pytest.mark.parametrize(("missing", "rows"), [(0, "0 to 2"), (1, "2 to 4"), (2, "4 to 5")])
def test_missing_rows_are_refused_and_the_old_file_stays(tmp_path, missing, rows):
    source = made(tmp_path / "plain", layout_of(samples=5))
    before = source.read_bytes()
    layout = layout_of(samples=5, features=feature_layout_of())
    blocks = [block for number, block in enumerate(blocks_of(layout, 2)) if number != missing]
    with pytest.raises(StorageError, match=f"features of rows {rows} are missing"):
        added(source, source, feature_layout_of(), blocks)
    assert source.read_bytes() == before
    assert [path.name for path in source.parent.iterdir() if "tmp" in path.name] == []


STEPS = ["create", "copy", "features", "seal", "check", "sealed", "fsync", "rename"]


@pytest.mark.parametrize("stop", STEPS)
def test_an_abandoned_copy_leaves_the_old_file(tmp_path, stop):
    class StoppedError(Exception):
        pass

    seen = []

    def checkpoint(step):
        seen.append(step.split()[0])
        if seen[-1] == stop:
            raise StoppedError

    source = made(tmp_path / "plain", layout_of())
    before = source.read_bytes()
    layout = layout_of(features=feature_layout_of())
    with DatasetFile(source) as file, pytest.raises(StoppedError):
        copy_with_features(
            file, source, feature_layout_of(), blocks_of(layout), feature_facts_of(4), checkpoint
        )
    assert seen == STEPS[: STEPS.index(stop) + 1]
    assert source.read_bytes() == before
    assert not list(source.parent.glob("*.tmp-*"))


def test_a_damaged_chunk_is_not_carried_over(tmp_path):
    source = made(tmp_path / "plain", layout_of())
    with h5py.File(source) as file:
        info = file["outputs/fields"].id.get_chunk_info_by_coord((1, 0, 0, 0, 0))
    content = bytearray(source.read_bytes())
    content[info.byte_offset + info.size // 2] ^= 1
    source.write_bytes(content)
    with pytest.raises(StorageError, match="a chunk of outputs/fields, row 1 does not have its checksum"):
        added(source, tmp_path / "b.h5", feature_layout_of())
    assert not (tmp_path / "b.h5").exists()


def test_facts_go_with_features_and_only_with_them(tmp_path):
    for layout, facts in (
        (layout_of(), feature_facts_of(4)),
        (layout_of(features=feature_layout_of()), None),
    ):
        shard = shard_of(tmp_path / "s.h5", layout, 0, 4)
        with pytest.raises(StorageError, match="facts about features"):
            finalize(tmp_path / "a.h5", layout, [shard], ATTRIBUTES, facts=facts)


@pytest.mark.parametrize(
    ("facts", "message"),
    [({"seconds": np.zeros(3)}, "3,\\) times for 4 samples"), ({"schema": "[]"}, "schema has 2 bytes")],
)
def test_facts_that_do_not_fit_are_refused(tmp_path, facts, message):
    with pytest.raises(StorageError, match=message):
        made(tmp_path / "whole", layout_of(features=feature_layout_of()), **facts)


def test_shards_of_other_definitions_are_refused(tmp_path):
    layout = layout_of(features=feature_layout_of())
    shard = shard_of(tmp_path / "s.h5", layout, 0, 4)
    other = layout_of(features=feature_layout_of(registry_hash="ef" * 32))
    with pytest.raises(StorageError, match="is not the shard of rows 0 to 4"):
        finalize(tmp_path / "a.h5", other, [shard], ATTRIBUTES, facts=feature_facts_of(4))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (PATHS[0], np.zeros((3, 2), np.int64)),
        (PATHS[0], np.zeros((2, 2), np.float32)),
        (PATHS[1], np.full(3, 70000)),
        (PATHS[3], np.full(2, 2**40)),
    ],
)
def test_entries_that_do_not_fit_are_refused(path, value):
    layout = layout_of(features=feature_layout_of())
    row = row_of(layout, 0)
    with pytest.raises(StorageError, match=path):
        encode_row(layout, replace(row, table={**row.table, path: value}))


def test_a_row_needs_its_features(tmp_path):
    layout = layout_of(features=feature_layout_of())
    row = row_of(layout_of(), 0)
    with pytest.raises(StorageError, match="no entry for features/sdf"):
        encode_row(layout, row)
    with pytest.raises(StorageError, match="no table 'features/sdf"):
        encode_row(layout_of(), row_of(layout, 0))
    assert isinstance(layout.features, FeatureLayout)
    with pytest.raises(StorageError, match="a shard of 1 rows was given 0"):
        write_shard(tmp_path / "s.h5", layout, 0, 1, [], {"plan_digest": PLAN})
