"""A repair keeps the features of sound rows, measures those of rows made again, drops none silently."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tiny
from spinlock.dataset.frames import FrameSource
from spinlock.dataset.validate import validate
from spinlock.errors import InterruptedRunError
from spinlock.execution import plan
from spinlock.storage.digest import seal
from spinlock.storage.features import HDF5FeatureReader
from test_dataset.feature_files import (
    AGGREGATED,
    MEASURED,
    PER_TIMESTEP,
    TIMES,
    extract,
    left_over,
    same_features,
)
from test_dataset.repairs import SMALL, edited, made, repair, told, zeroed

pytestmark = pytest.mark.usefixtures("few_shards")

__all__ = ["made", "told"]

SIX = tiny.changed(SMALL, {"sampling.total_samples": 6})
"""Two samples in each of three shards."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FEWEST_SHARDS", 3)
        return tiny.generate(tmp_path_factory.mktemp("bare") / "bare.h5", SIX)


@pytest.fixture(scope="module")
def extracted(bare, tmp_path_factory) -> Path:
    path = Path(shutil.copy(bare, tmp_path_factory.mktemp("extracted") / "extracted.h5"))
    extract(path)
    return path


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FEWEST_SHARDS", 3)
        return tiny.generate(tmp_path_factory.mktemp("generated") / "generated.h5", SIX, MEASURED)


def copy_of(path: Path, folder: Path) -> Path:
    return Path(shutil.copy(path, folder / "a.h5"))


def times(path: Path) -> np.ndarray:
    with HDF5FeatureReader(path) as reader:
        return reader.extraction_time


@pytest.mark.parametrize(
    ("change", "shards"),
    [
        (lambda f: f[PER_TIMESTEP].__setitem__((3, 0, 0), 9.0), [1]),
        (lambda f: f["parameters/params"].__setitem__((0, 0), 0.1), [0]),
        (lambda f: f["features/sdf"].attrs.__setitem__("categories", b"[]"), []),
        (lambda f: f["features"].attrs.__delitem__("environments"), []),
        (lambda f: f[TIMES].__setitem__(2, 1e9), []),
        (lambda f: f.__delitem__("features/sdf/schema"), []),
        (lambda f: f.__delitem__(AGGREGATED), [0, 1, 2]),
    ],
    ids=["a feature", "a parameter", "categories", "environments", "a time", "the schema", "a table"],
)
@pytest.mark.slow
def test_features_of_the_run_itself(generated, tmp_path, made, change, shards):
    copy = copy_of(generated, tmp_path)
    edited(copy, change)
    assert validate(copy).failures
    repair(copy, SIX, MEASURED)
    assert made == shards
    assert same_features(generated, copy)
    assert set(tiny.differing(generated, copy)) <= {TIMES}
    assert validate(copy).failures == []
    assert left_over(tmp_path) == []
    if shards == [1]:
        kept = [0, 1, 4, 5]
        assert times(copy)[kept].tolist() == times(generated)[kept].tolist()


@pytest.mark.slow
def test_features_that_replaced_those_of_the_run_are_not_mixed_with_them(generated, tmp_path, made, told):
    copy = copy_of(generated, tmp_path)
    extract(copy, overwrite=True, categories=["spatial"])
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 3))
    repair(copy, SIX, MEASURED)
    assert made == [0, 1, 2]
    assert same_features(generated, copy)
    assert "its features are not those that this plan measures" in told()


@pytest.mark.slow
def test_rows_that_were_left_out_of_later_features_are_made_again(generated, tmp_path, made):
    copy = copy_of(generated, tmp_path)
    extract(copy, overwrite=True, max_samples=3)
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 5))
    repair(copy, SIX, MEASURED)
    assert made == [1, 2]
    assert same_features(generated, copy)


@pytest.fixture
def measured(monkeypatch) -> list[int]:
    """The rows whose frames are asked for."""
    rows: list[int] = []
    right = FrameSource.row

    def row(self, index):
        rows.append(index)
        return right(self, index)

    monkeypatch.setattr(FrameSource, "row", row)
    return rows


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        (lambda f: f[AGGREGATED].__setitem__((3, 0), 9.0), [2, 3]),
        (lambda f: f["parameters/params"].__setitem__((0, 0), 0.1), [0, 1]),
        (lambda f: f["metadata"].attrs.__delitem__("creation_date"), []),
    ],
    ids=["a feature", "a parameter", "an attribute"],
)
def test_features_that_were_added(extracted, tmp_path, made, measured, change, rows):
    copy = copy_of(extracted, tmp_path)
    edited(copy, change)
    repair(copy, SIX)
    assert made == sorted({row // 2 for row in rows})
    assert measured == rows
    assert same_features(extracted, copy)
    assert set(tiny.differing(extracted, copy)) <= {TIMES}
    assert validate(copy).failures == []
    assert left_over(tmp_path) == []
    kept = [row for row in range(6) if row not in rows]
    assert times(copy)[kept].tolist() == times(extracted)[kept].tolist()


def test_features_of_the_first_samples_alone(bare, tmp_path, made, measured):
    whole = copy_of(bare, tmp_path)
    extract(whole, max_samples=3)
    copy = Path(shutil.copy(whole, tmp_path / "b.h5"))
    for row in (3, 4):
        tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", row))
    measured.clear()
    repair(copy, SIX)
    assert made == [1, 2]
    assert measured == [2]
    assert set(tiny.differing(whole, copy)) <= {TIMES}
    assert np.isfinite(times(copy)).tolist() == [True, True, True, False, False, False]


@pytest.mark.slow
def test_an_interrupted_repair_measures_no_row_twice(extracted, tmp_path, measured, monkeypatch):
    copy = copy_of(extracted, tmp_path)
    for row in (0, 5):
        tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", row))
    damaged = copy.read_bytes()

    def full(self, *words, **how):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("spinlock.dataset.open.Dataset.copy_with_features", full)
        with pytest.raises(InterruptedRunError):
            repair(copy, SIX)
    assert copy.read_bytes() == damaged
    assert measured == [0, 1, 4, 5]
    repair(copy, SIX)
    assert measured == [0, 1, 4, 5]
    assert same_features(extracted, copy)
    assert left_over(tmp_path) == []


def set_text(path: str, name: str, text: str):
    return lambda f: f[path].attrs.__setitem__(name, np.bytes_(text))


UNKNOWN = {
    "the sealed digest": lambda f: f["metadata/checksums"].attrs.__delitem__("objects"),
    "the layout": lambda f: f["metadata"].attrs.__setitem__("layout", np.bytes_("{}")),
    "environments": set_text("features", "environments", "[]"),
    "an environment's keys": set_text("features", "environments", '[{"dev": "cpu"}]'),
    "an environment": set_text(
        "features",
        "environments",
        '[{"device": "cpu", "device_model": "EVIL64", "instruction_set": "x", "torch": "y"}]',
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_features_of_which_too_little_is_known_are_missed_aloud(bare, extracted, tmp_path, made, told, name):
    copy = copy_of(extracted, tmp_path)
    edited(copy, UNKNOWN[name])
    repair(copy, SIX)
    assert tiny.differing(bare, copy) == []
    assert f"must be extracted again, by `spinlock extract-features --dataset {copy}`" in told()
    assert left_over(tmp_path) == []


def test_an_environment_that_nothing_proves_is_believed_where_it_is_that_of_this_machine(extracted, tmp_path):
    copy = copy_of(extracted, tmp_path)
    edited(copy, lambda f: f["features"].attrs.__delitem__("extraction_timestamp"))
    repair(copy, SIX)
    assert tiny.differing(extracted, copy) == []


CATEGORIES = {
    "one of two": lambda attributes: attributes.__setitem__("categories", np.bytes_('["spatial"]')),
    "all": lambda attributes: attributes.__setitem__("categories", np.bytes_('["spatial", "temporal"]')),
    "no list": lambda attributes: attributes.__setitem__("categories", np.bytes_('{"spatial": [[]]}')),
    "no texts": lambda attributes: attributes.__setitem__("categories", np.bytes_("[[], 7]")),
    "gone": lambda attributes: attributes.__delitem__("categories"),
}


@pytest.fixture(scope="module")
def partly(bare, tmp_path_factory) -> Path:
    """Features of two categories alone, and not of those that its plan would measure."""
    path = Path(shutil.copy(bare, tmp_path_factory.mktemp("partly") / "partly.h5"))
    extract(path, categories=["spatial", "spectral"])
    return path


@pytest.mark.parametrize(
    "name",
    [name if name == "one of two" else pytest.param(name, marks=pytest.mark.slow) for name in CATEGORIES],
)
def test_damaged_categories_are_told_from_the_sealed_digest(partly, tmp_path, measured, name):
    """Were they believed, the row measured again would lack what the others have, in a sealed file."""
    copy = copy_of(partly, tmp_path)
    edited(copy, lambda f: CATEGORIES[name](f["features/sdf"].attrs))
    tiny.flip(copy, tiny.chunk_place(copy, "outputs/fields", 5))
    repair(copy, SIX)
    assert measured == [4, 5]
    assert same_features(partly, copy)
    with HDF5FeatureReader(copy) as reader:
        assert json.loads(reader.attributes["categories"]) == ["spatial", "spectral"]
    assert validate(copy).failures == []


def test_features_of_a_file_that_hdf5_does_not_open_are_missed_aloud(bare, extracted, tmp_path, told):
    copy = copy_of(extracted, tmp_path)
    zeroed(copy, 8, 64)
    repair(copy, SIX)
    assert tiny.differing(bare, copy) == []
    assert "must be extracted again" in told()


@pytest.mark.slow
def test_features_of_another_machine_are_not_mixed(bare, extracted, tmp_path, made, told):
    copy = copy_of(extracted, tmp_path)
    with HDF5FeatureReader(copy) as reader:
        (here,) = json.loads(reader.attributes["environments"])
    there = np.bytes_(json.dumps([here | {"instruction_set": "AVX9"}]))

    def sealed(file):
        file["features"].attrs["environments"] = there
        seal(file)

    edited(copy, sealed)
    assert validate(copy).failures == []
    untouched = Path(shutil.copy(copy, tmp_path / "b.h5"))
    edited(untouched, lambda f: f["metadata/checksums/rows"].__setitem__(1, 7))
    repair(untouched, SIX)
    assert tiny.differing(extracted, untouched) == []
    assert made == []
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 0))
    repair(copy, SIX)
    assert made == [0]
    assert tiny.differing(bare, copy) == []
    assert "they were measured in another environment): they must be extracted again" in told()
