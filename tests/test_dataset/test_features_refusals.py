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

    def simulate(*words, **how):
        sample = original(*words, **how)
        with torch.inference_mode():
            sample.rollout.final[0, 0, 0, 0] += 1e-3
        return sample

    original = frames.simulate
    monkeypatch.setattr(frames, "simulate", simulate)
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
