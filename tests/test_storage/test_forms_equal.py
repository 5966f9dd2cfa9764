"""A file, a `.spin` directory and a Zarr store of the same shards hold the same bytes."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import zarr

from spinlock.storage.forms import open_stored, verify, with_features
from spinlock.storage.rows import stored_dtype
from spinlock.storage.schema import arrays
from test_storage.dataset_samples import (
    feature_entries_of,
    feature_facts_of,
    feature_layout_of,
    layout_of,
    same_bits,
)
from test_storage.stored_forms import FORMS, all_rows, all_stored, form_of

CASES = {
    "zstd": {},
    "gzip": {"compression": "gzip", "compression_level": 4},
    "gzip 0": {"compression": "gzip", "compression_level": 0},
    "lz4": {"compression": "lz4", "compression_level": 5},
    "none": {"compression": "none", "compression_level": 0},
    "float16": {"precision": "float16", "samples": 4},
    "bitround": {"precision": "bitround:10"},
    "mixed grids": {"grids": (16, 24, 64), "timesteps": (0, 1, 2), "samples": 7},
    "frames": {"timesteps": (0, 2, 4), "samples": 4},
    "features": {"features": feature_layout_of(), "samples": 5},
    "one sample": {"samples": 1, "compression": "none", "compression_level": 0},
    "whole shards": {"samples": 6},
}


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture(params=CASES.values(), ids=CASES, scope="module")
def three(request, tmp_path_factory):
    layout, folder = layout_of(**request.param), tmp_path_factory.mktemp("three")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _descriptor: None)
        paths = [form_of(folder / f"a.{form}", layout) for form in FORMS]
    datasets = [open_stored(path) for path in paths]
    yield datasets
    for dataset in datasets:
        dataset.close()


def test_all_forms_hold_the_same_bytes(three):
    assert [type(one).__name__ for one in three] == ["DatasetFile", "SpinDirectory", "ZarrStore"]
    assert [verify(one.path) for one in three] == [[], [], []]
    right, *others = (all_stored(one) for one in three)
    assert len(right) >= len(arrays(three[0].layout))
    for other in others:
        assert other == right
    first, *rest = (all_rows(one) for one in three)
    for other in rest:
        assert all(same_bits(other[name], first[name]) for name in first)
    assert three[0].content == three[1].content == three[2].content


def test_plain_h5py_and_plain_zarr_read_the_same_numbers(three):
    file_of, _, store_of = three
    group = zarr.open_group(store_of.path, mode="r")
    with h5py.File(file_of.path) as file:
        for spec in arrays(file_of.layout):
            plain, ours = file[spec.path][()], group[spec.path][()]
            if spec.dtype == "string" or spec.kind == "document":
                texts = [value.decode() for value in np.atleast_1d(plain).tolist()]
                assert np.atleast_1d(ours).tolist() == texts
            else:
                wanted = np.dtype(bool) if spec.dtype == "bool" else stored_dtype(spec)
                assert same_bits(np.asarray(ours), np.asarray(plain).astype(wanted)), spec.path
            assert tuple(group[spec.path].metadata.dimension_names or ()) == spec.dims
        for spec in (spec for spec in arrays(file_of.layout) if spec.kind == "field"):
            last = spec.shape[0] - 1
            assert same_bits(np.asarray(group[spec.path][last]), file[spec.path][last])


@pytest.mark.parametrize("source", FORMS)
@pytest.mark.parametrize("target", FORMS)
def test_features_join_every_form_from_every_form(tmp_path, source, target):
    layout = layout_of(samples=5)
    whole = replace(layout, features=feature_layout_of())
    blocks = [
        (lo, {path: np.stack([feature_entries_of(whole, row)[path] for row in range(lo, hi)])
              for path in feature_entries_of(whole, 0)})
        for lo, hi in ((0, 2), (2, 5))
    ]  # fmt: skip
    right = form_of(tmp_path / "right.h5", whole)
    path = form_of(tmp_path / f"a.{source}", layout)
    output = tmp_path / f"b.{target}"
    with open_stored(path) as dataset:
        if target == "spin" and source != "spin":
            with pytest.raises(Exception, match=r"a \.spin directory is made of shards.*\.h5 or \.zarr"):
                with_features(dataset, output, whole.features, blocks, feature_facts_of(5))
            assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith("b")) == []
            return
        with_features(dataset, output, whole.features, blocks, feature_facts_of(5))
        with_features(dataset, path, whole.features, blocks, feature_facts_of(5))
    with open_stored(right) as wanted:
        for made in (path, output):
            assert verify(made) == []
            with open_stored(made) as found:
                assert all_stored(found) == all_stored(wanted)
                assert all_rows(found).keys() == all_rows(wanted).keys()
