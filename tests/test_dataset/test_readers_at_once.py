"""Readers beside writers and beside each other: old bytes, or new ones, or a clear word; never a mixture."""

import importlib
import multiprocessing
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.utils.data import DataLoader

import tiny
from spinlock.dataset import open_dataset
from spinlock.dataset.validate import validate
from spinlock.errors import StorageError
from spinlock.features.storage import HDF5FeatureReader
from spinlock.storage import opening, reader, shared_file
from test_dataset import feature_files
from test_dataset.loaders import Rows, contents, read, read_until, unchanged
from test_dataset.test_two_at_once import OTHER, PLAN, copied, replace_by

verification = importlib.import_module("spinlock.storage.verify")  # a function hides the module's name

METHODS = ["fork", *(pytest.param(method, marks=pytest.mark.slow) for method in ("spawn", "forkserver"))]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two datasets of one shape with other contents, and one with features of the first."""
    folder = tmp_path_factory.mktemp("two")
    old, new = (tiny.generate(folder / f"{n}.h5", tiny.PLAIN, plan) for n, plan in enumerate((PLAN, OTHER)))
    measured = copied(old, folder / "measured.h5")
    feature_files.extract(measured, categories=["spatial"])
    return {"old": old, "new": new, "measured": measured}


@pytest.fixture
def hashes(two):
    found = {name: read(path) for name, path in two.items()}
    assert found["old"] == found["measured"] != found["new"]
    return found


# --- a file that is replaced ---

WORDS = "open it again"

CALLS = {
    reader: ("open_h5", "sound_layout", "read_digest", "identity_of", "dataset", "group"),
    shared_file: ("array_id",),
    opening: (
        "walk",
        "read_layout",
        "require_sound_heaps",
        "structure_faults",
        "digest_faults",
        "count_faults",
    ),
}
"""What is called while a file is opened and read."""


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("by", ["new", "measured"])
def test_a_file_replaced_at_any_step_of_opening_is_the_old_or_the_new(
    two, hashes, tmp_path, monkeypatch, by, after
):
    """Whatever step the replacement falls on; and a reader that has the old one knows that it is no more."""
    seen = set()
    for module, names in CALLS.items():
        for name in names:
            output = copied(two["old"], tmp_path / f"{name}.h5")
            original, left = getattr(module, name), [1]

            def replacing(*words, original=original, left=left, output=output, **how):
                found = [original(*words, **how)] if after else []
                if left:
                    left.pop()
                    replace_by(output, two[by])
                return found[0] if after else original(*words, **how)

            with monkeypatch.context() as patch:
                patch.setattr(module, name, replacing)
                with open_dataset(output) as dataset:
                    found = contents(dataset)
                    current = dataset.is_current
                    digest = dataset.digest
            assert left == [], f"{name} was never called"
            with open_dataset(output) as fresh, open_dataset(two["old"]) as old:
                assert current == (digest == fresh.digest)
                assert digest in (fresh.digest, old.digest)
                assert found == hashes[by if current else "old"]
            seen.add(current)
    assert seen == ({False} if after else {False, True})


@pytest.mark.parametrize("by", ["new", "measured"])
def test_an_open_dataset_goes_on_with_the_old_bytes(two, hashes, tmp_path, by):
    """All of them, first read after the replacement; its copy in another process is told to open it again."""
    output = copied(two["old"], tmp_path / "a.h5")
    with open_dataset(output) as dataset:
        first = dataset[0].outputs.tobytes()
        replace_by(output, two[by])
        assert not dataset.is_current
        assert contents(dataset) == hashes["old"]
        assert dataset[0].outputs.tobytes() == first
        copy = pickle.loads(pickle.dumps(dataset))
        with pytest.raises(StorageError, match=f"was replaced since it was opened: {WORDS}"):
            copy[0]
    assert read(output) == hashes[by]


def test_a_file_replaced_while_it_is_validated_is_no_damage(two, tmp_path, monkeypatch):
    """What was verified is what is checked afterwards, or the report says to run again."""
    for name in ("open_h5", "read_layout", "structure_faults", "digest_faults", "chunk_damage"):
        output, left = copied(two["old"], tmp_path / f"{name}.h5"), [1]
        original = getattr(verification, name)

        def replacing(*words, original=original, left=left, output=output, **how):
            if left:
                left.pop()
                replace_by(output, two["new"])
            return original(*words, **how)

        with monkeypatch.context() as patch:
            patch.setattr(verification, name, replacing)
            report = validate(output)
        assert report.failures == [
            f"{output} was replaced while it was validated: run the same command again"
        ]
        assert report.checked == ["checksums"]
        assert validate(output).failures == []


def test_a_dataset_that_is_gone_is_named(two, hashes, tmp_path):
    output = copied(two["old"], tmp_path / "a.h5")
    with open_dataset(output) as dataset:
        output.unlink()
        assert not dataset.is_current
        assert contents(dataset) == hashes["old"]
        copy = pickle.loads(pickle.dumps(dataset))
        with pytest.raises(StorageError, match=r"a\.h5 does not exist"):
            copy[0]


def test_a_reader_of_features_goes_on_with_the_old_ones(two, tmp_path):
    output = copied(two["measured"], tmp_path / "a.h5")
    with HDF5FeatureReader(two["measured"]) as control:
        expected = control.get_sdf_per_timestep().tobytes()
    with HDF5FeatureReader(output) as features:
        replace_by(output, two["new"])
        assert features.get_sdf_per_timestep().tobytes() == expected
    with pytest.raises(StorageError, match="has no features"):
        HDF5FeatureReader(output)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_readers_beside_a_forced_run_and_an_extraction_see_old_or_new(two, hashes, tmp_path):
    """Two processes open and read without end, while the commands replace the file; all get their turn."""
    output = copied(two["old"], tmp_path / "a.h5")
    context = multiprocessing.get_context("fork")
    stop, told = context.Event(), context.SimpleQueue()
    counts = [context.Value("i", 0) for _ in range(2)]
    children = [context.Process(target=read_until, args=(output, stop, count, told)) for count in counts]

    def wait_for_reads() -> None:
        before = [count.value for count in counts]
        deadline = time.monotonic() + 120
        while any(count.value < first + 2 for count, first in zip(counts, before, strict=True)):
            assert time.monotonic() < deadline, "a reader hangs"
            time.sleep(0.01)

    try:
        for child in children:
            child.start()
        for plan in (OTHER, PLAN):
            wait_for_reads()
            tiny.generate(output, tiny.PLAIN, plan, force=True)
            wait_for_reads()
            feature_files.extract(output, categories=["spatial"])
        wait_for_reads()
        stop.set()
        met = told.get() | told.get()
        for child in children:
            child.join(60)
    finally:
        for child in children:
            child.kill()
    assert {text for text in met if text not in hashes.values() and WORDS not in text} == set()
    assert {hashes["old"], hashes["new"]} <= met


# --- loaders ---


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """Rows on two grids, with trajectories."""
    folder = tmp_path_factory.mktemp("varied")
    changes = PLAN | {"parameter_space.operator.grid_size.choices": [16, 24]}
    return tiny.generate(folder / "a.h5", tiny.PLAIN, changes)


def flat(rows) -> list[tuple]:
    return [tuple(part.tobytes() if hasattr(part, "tobytes") else part for part in row) for row in rows]


def loaded(dataset, method: str, order: list[int]) -> list[tuple]:
    loader = DataLoader(
        Rows(dataset),  # pyright: ignore[reportArgumentType]
        batch_size=2,
        sampler=order,
        num_workers=2,
        multiprocessing_context=method,
        collate_fn=unchanged,
        timeout=200,
        persistent_workers=True,
    )
    twice = [[row for batch in loader for row in batch] for _ in range(2)]
    assert flat(twice[0]) == flat(twice[1])
    del loader
    return flat(twice[0])


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_a_loader_with_workers_gives_what_a_loop_gives(varied, method):
    """The parent has read some rows before, so its handle is open and part of its chunks are checked."""
    order = [5, 0, 3, 3, 1, 4, 2]
    with open_dataset(varied) as dataset:
        rows = Rows(dataset)
        assert rows[1][1].shape != rows[0][1].shape or len({rows[i][1].shape for i in range(len(rows))}) == 2
        expected = flat(rows[index] for index in order)
        assert loaded(dataset, method, order) == expected
        assert flat(rows[index] for index in order) == expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forks_beside_reading_threads_do_not_hang(varied):
    """A lock that a thread holds at the fork would be held for ever in the child."""
    stop = threading.Event()
    with open_dataset(varied) as dataset:
        rows = Rows(dataset)
        expected = flat(rows[index] for index in range(len(rows)))

        def keep_reading() -> bool:
            good = True
            while not stop.is_set():
                good &= flat(rows[index] for index in range(len(rows))) == expected
            return good

        with ThreadPoolExecutor(3) as pool:
            readers = [pool.submit(keep_reading) for _ in range(3)]
            try:
                found = [loaded(dataset, "fork", list(range(len(rows)))) for _ in range(3)]
            finally:
                stop.set()
            assert all(one.result(60) for one in readers)
    assert found == [expected] * 3


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_of_a_loader_are_told_that_the_file_was_replaced(two, tmp_path):
    output = copied(two["old"], tmp_path / "a.h5")
    with open_dataset(output) as dataset:
        replace_by(output, two["new"])
        rows = DataLoader(Rows(dataset), num_workers=1, multiprocessing_context="fork", timeout=200)  # pyright: ignore[reportArgumentType]
        with pytest.raises(StorageError, match=WORDS):
            next(iter(rows))


def test_a_pickle_holds_no_data_and_opens_anywhere(varied):
    with open_dataset(varied) as dataset:
        expected = contents(dataset)
        text = pickle.dumps(dataset)
        assert len(text) < varied.stat().st_size / 3
    copies = [pickle.loads(text) for _ in range(3)]
    assert [contents(copy) for copy in copies] == [expected] * 3
    for copy in copies:
        copy.close()
    with pytest.raises(StorageError, match="was closed: open it again"):
        copies[0][0]


def test_torch_is_single_threaded_here():
    """The control of the forks above: no pool of threads of torch's own could make them hang."""
    assert torch.get_num_threads() == 1
