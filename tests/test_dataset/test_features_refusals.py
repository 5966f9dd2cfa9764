"""Extraction refuses what it cannot do, and leaves everything as it was."""

import numpy as np
import pytest
import torch

import tiny
from spinlock.dataset import FeatureExtractionPipeline
from spinlock.dataset.feature_rows import missing_ranges
from spinlock.dataset.progress import Silent
from spinlock.errors import ConfigError, StorageError, UsageError
from spinlock.storage import DirectoryLock
from test_dataset.feature_files import copied, extract, left_over


@pytest.fixture
def dataset(plain, tmp_path):
    """A file without features to work on."""
    return copied(plain, tmp_path / "a.h5")


def test_a_replay_that_differs_is_refused(dataset, monkeypatch):
    from spinlock.dataset import frames

    def changed(*words, **how):
        sample = original(*words, **how)
        with torch.inference_mode():
            sample.rollout.final[0, 0, 0, 0] += 1e-3
        return sample

    original = frames.sample_of
    monkeypatch.setattr(frames, "sample_of", changed)
    before = dataset.read_bytes()
    with pytest.raises(StorageError, match="outputs/fields is not what its draw makes"):
        extract(dataset)
    assert dataset.read_bytes() == before


def test_a_dataset_that_is_replaced_meanwhile_is_left_alone(dataset, everything, tmp_path):
    class Replacing(Silent):
        def stage(self, what):
            if what == "writing":
                copied(everything, tmp_path / "b.h5").replace(dataset)

    with tiny.unchecked_shapes(), pytest.raises(StorageError, match="was replaced while its features"):
        FeatureExtractionPipeline(dataset, max_samples=1).extract(Replacing())
    assert dataset.read_bytes() == everything.read_bytes()


def test_two_extractions_at_once_are_told_apart(dataset, tmp_path):
    folder = tmp_path / "a.h5.features.parts"
    folder.mkdir()
    with DirectoryLock(folder), pytest.raises(StorageError, match=r"another process .* is working in"):
        extract(dataset)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"batch_size": 0}, "--batch-size 0 is not allowed"),
        ({"max_samples": 0}, "--max-samples 0 is not allowed"),
        ({"categories": ["spacial"]}, "did you mean 'spatial'"),
        ({"sdf_version": "3"}, "--sdf-version: '3' is not allowed"),
        ({"device": "gpu"}, "device 'gpu' is not allowed"),
        ({"output": "."}, "is a directory"),
        ({"output": "a" * 250}, "too long a file name"),
    ],
)
def test_impossible_requests_are_refused(dataset, tmp_path, monkeypatch, how, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, ConfigError), match=message):
        extract(dataset, **how)
    assert left_over(tmp_path) == []


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(StorageError, match="does not exist"):
        extract(tmp_path / "none.h5")


def test_a_disk_that_is_too_small_is_told_before_anything_is_computed(dataset, monkeypatch, tmp_path):
    monkeypatch.setattr("spinlock.storage.space.free_space", lambda _: 1000)
    with pytest.raises(StorageError, match="the disk is too small"):
        extract(dataset)
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("missing", "most", "ranges"),
    [
        ([1, 1, 1, 1, 1], 2, [(0, 2), (2, 4), (4, 5)]),
        ([0, 1, 1, 0, 0, 1], 5, [(1, 3), (5, 6)]),
        ([0, 0], 3, []),
        ([], 3, []),
        ([1, 0, 1, 1, 1], 2, [(0, 1), (2, 4), (4, 5)]),
    ],
)
def test_missing_rows_come_in_ranges(missing, most, ranges):
    assert list(missing_ranges(np.array(missing, bool), most)) == ranges


def test_a_copy_does_not_mind_what_becomes_of_its_source(dataset, everything, tmp_path):
    """A source that is replaced meanwhile, and one that has features, are read as they were opened."""

    class Replacing(Silent):
        def stage(self, what):
            if what == "writing":
                copied(everything, tmp_path / "b.h5").replace(dataset)

    with tiny.unchecked_shapes():
        FeatureExtractionPipeline(dataset, output=tmp_path / "c.h5").extract(Replacing())
    extract(tmp_path / "c.h5", output=tmp_path / "d.h5", categories=["spatial"])
    with pytest.raises(UsageError, match=r"d\.h5 exists"):
        extract(tmp_path / "c.h5", output=tmp_path / "d.h5")
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("mode", [0o640, 0o600])
def test_permissions_stay_as_they_were(dataset, tmp_path, mode):
    dataset.chmod(mode)
    extract(dataset)
    assert dataset.stat().st_mode & 0o777 == mode
    extract(dataset, output=tmp_path / "c.h5")
    assert (tmp_path / "c.h5").stat().st_mode & 0o777 == mode


def test_what_another_command_is_writing_is_left_alone(dataset, tmp_path):
    temporary = tmp_path / f"a.h5.tmp-{'0' * 32}"
    for writing in (True, False):
        temporary.touch()
        folder = tmp_path / "a.h5.parts"
        folder.mkdir() if writing else folder.rmdir()
        extract(dataset, overwrite=True)
        assert temporary.exists() == writing
