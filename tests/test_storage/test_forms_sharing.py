"""`.spin` directories and Zarr stores in threads, in other processes, after closing, and when replaced."""

import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import tiny
from spinlock.errors import StorageError, UsageError
from spinlock.storage import spin, zarr_store
from spinlock.storage.forms import open_stored, verify
from spinlock.storage.locations import Url, form_at, form_for, form_to_make, location
from spinlock.storage.object_facts import BLOCK_BYTES
from spinlock.storage.zarr_entries import block_rows
from test_storage.dataset_samples import layout_of
from test_storage.stored_forms import all_rows, all_stored, contents, form_of

FORMS = ("spin", "zarr")
LAYOUT = layout_of(samples=7)
OTHER = replace(LAYOUT, realizations=3)


@pytest.fixture(autouse=True)
def no_waiting_for_disks(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _descriptor: None)


@pytest.fixture(params=FORMS)
def path(request, tmp_path):
    return form_of(tmp_path / f"a.{request.param}", LAYOUT)


def read_all(dataset) -> dict[str, bytes]:
    return {name: row.tobytes() for name, row in all_rows(dataset).items()}


def put_into(queue, dataset) -> None:
    queue.put(read_all(dataset))


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_dataset_that_is_open_goes_to_another_process(path, method, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    context = get_context(method)
    with open_stored(path) as dataset:
        here = read_all(dataset)
        queue = context.SimpleQueue()
        workers = [context.Process(target=put_into, args=(queue, dataset)) for _ in range(2)]
        for worker in workers:
            worker.start()
        there = [queue.get() for _ in workers]
        for worker in workers:
            worker.join(60)
        assert there == [here, here]
        assert read_all(dataset) == here
        assert read_all(pickle.loads(pickle.dumps(dataset))) == here


def test_a_fork_while_other_threads_read_goes_on(path):
    """Nothing that a thread holds at the moment of the fork may be waited for in the child."""
    context = get_context("fork")
    with open_stored(path) as dataset, ThreadPoolExecutor(3) as pool:
        here = read_all(dataset)
        reading = [pool.submit(lambda: [read_all(dataset) for _ in range(6)]) for _ in range(3)]
        queue = context.SimpleQueue()
        workers = [context.Process(target=put_into, args=(queue, dataset)) for _ in range(4)]
        for worker in workers:
            worker.start()
        assert [queue.get() for _ in workers] == [here] * 4
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        assert all(found == here for one in reading for found in one.result())


def test_threads_read_at_once(path):
    with open_stored(path) as dataset:
        here = read_all(dataset)
        order = np.random.default_rng(0).permutation(np.repeat(np.arange(7), 12)).tolist()
        with ThreadPoolExecutor(6) as pool:
            rows = pool.map(lambda row: (row, dataset.row("outputs/fields", row).tobytes()), order)
            assert all(here[f"outputs/fields {row}"] == found for row, found in rows)


@pytest.mark.parametrize("most", [1, 2])
def test_more_shards_than_are_kept_open(tmp_path, monkeypatch, most):
    monkeypatch.setattr(spin, "MOST_OPEN", most)
    path = form_of(tmp_path / "a.spin", LAYOUT, rows=1)
    with open_stored(path) as dataset:
        here = read_all(dataset)
        for row in np.random.default_rng(1).integers(0, 7, 30).tolist():
            assert dataset.row("inputs/fields", row).tobytes() == here[f"inputs/fields {row}"]
            assert sum(one._file is not None for one in dataset._shards.values()) <= most
        with ThreadPoolExecutor(4) as pool:
            assert all(found == here for found in pool.map(lambda _: read_all(dataset), range(4)))


def test_what_is_told_of_a_directory_needs_no_shard(tmp_path):
    """Opening, tables and sizes come from the index alone: a hundred thousand shards cost nothing."""
    path = form_of(tmp_path / "a.spin", LAYOUT, rows=1)
    with open_stored(path) as dataset:
        dataset.describe_arrays()
        dataset.table("metadata/lyapunov")
        assert dataset._shards == {}
        dataset.row("inputs/fields", 3)
        assert list(dataset._shards) == [3], "the control"


def test_after_closing_nothing_is_read(path):
    dataset = open_stored(path)
    dataset.row("inputs/fields", 0)
    dataset.close()
    dataset.close()
    for read in (
        lambda: dataset.row("inputs/fields", 0),
        lambda: dataset.row("inputs/fields", 6),
        lambda: dataset.table("metadata/lyapunov"),
    ):
        with pytest.raises(StorageError, match="was closed"):
            read()


def put_in_its_place(path: Path, layout, tmp_path: Path) -> None:
    """Make another dataset stand at the path, as ``--force`` does."""
    form_of(tmp_path / "new" / path.name, layout)
    shutil.rmtree(path)
    (tmp_path / "new" / path.name).rename(path)


def read_or_refusal(dataset, row: int) -> bytes | str:
    try:
        return dataset.row("outputs/fields", row).tobytes()
    except StorageError as error:
        return str(error)


@pytest.mark.parametrize("touched", [False, True])
def test_a_dataset_that_was_replaced_gives_no_row_of_its_successor(path, tmp_path, touched):
    with open_stored(path) as dataset:
        right = read_all(dataset) if touched else None
        copies = [dataset, pickle.loads(pickle.dumps(dataset))]
        assert dataset.is_current
        put_in_its_place(path, OTHER, tmp_path)
        assert not dataset.is_current
        for one in copies:
            for row in range(7):
                found = read_or_refusal(one, row)
                assert found == (right or {}).get(f"outputs/fields {row}") or (
                    "was replaced since it was opened: open it again" in str(found)
                )
    with open_stored(path) as dataset:
        assert dataset.layout == OTHER


def test_tables_of_a_store_that_was_replaced_are_not_mixed(tmp_path):
    path = form_of(tmp_path / "a.zarr", LAYOUT)
    with open_stored(path) as dataset:
        right = dataset.table("metadata/lyapunov")
        put_in_its_place(path, replace(LAYOUT, samples=7, realizations=3), tmp_path)
        assert dataset.table("metadata/lyapunov").tolist() == right.tolist(), "the same bytes are the same"
        with pytest.raises(StorageError, match="was replaced since it was opened: open it again"):
            dataset.table("metadata/finite_steps")
    with open_stored(path) as dataset:
        target = path / "metadata/lyapunov/c/0"
        other = form_of(tmp_path / "b.zarr", replace(LAYOUT, samples=8)) / "metadata/lyapunov/c/0"
        shutil.copy(other, target)
        with pytest.raises(StorageError, match="metadata/lyapunov has a chunk of"):
            dataset.table("metadata/lyapunov")
        target.unlink()
        with pytest.raises(StorageError, match="is missing"):
            dataset.table("metadata/lyapunov")


def test_a_directory_that_was_moved_is_read_where_it_stands_now(path, tmp_path):
    """Nothing in it speaks of where it stands."""
    before = contents(path)
    moved = path.rename(tmp_path / f"moved{path.suffix}")
    assert contents(moved) == before
    assert verify(moved) == []


def test_tables_of_many_blocks_are_read_and_compared(tmp_path, monkeypatch):
    """Blocks of a row or two: every part of a table is found again, whole and in parts."""
    for module in ("zarr_entries", "stored", "object_facts"):
        monkeypatch.setattr(f"spinlock.storage.{module}.BLOCK_BYTES", 40)
    layout = replace(LAYOUT, realizations=4)
    path = form_of(tmp_path / "a.zarr", layout)
    right = form_of(tmp_path / "a.h5", layout)
    assert verify(path) == []
    assert contents(path) == contents(right)
    with open_stored(path) as dataset, open_stored(right) as file:
        spec = dataset._specs["metadata/lyapunov"]
        assert block_rows(spec) == 5 < BLOCK_BYTES
        for first in range(7):
            for last in range(first, 8):
                assert np.array_equal(dataset._entries(spec, first, last), file._entries(spec, first, last))


# --- where a dataset stands ---


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("a.zarr", None),
        ("/data/a.zarr", None),
        ("s3://bucket/a.zarr", "s3://bucket/a.zarr"),
        ("s3://bucket//a.zarr/", "s3://bucket/a.zarr"),
        ("memory://a.zarr", "memory://a.zarr"),
        ("memory:///a.zarr", "memory://a.zarr"),
        ("gs://b/c/../a.zarr", "gs://b/c/../a.zarr"),
        ("odd name: here://x/a.zarr", None),
    ],
)
def test_a_location_is_a_path_or_a_url(text, url):
    found = location(text)
    assert isinstance(found, Url) == (url is not None)
    assert str(found) == (url or str(Path(text)))
    assert location(found) == found
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.name == "a.zarr"
    assert isinstance(str(found.parent), str)


@pytest.mark.parametrize("text", ["file:///data/a.zarr", "file:/data/a.zarr", "local:///data/a.zarr"])
def test_the_url_of_a_file_of_this_machine_is_its_path(text):
    """Else one place would have two names, and a dataset could be taken for another."""
    found = location(text)
    if "://" in text:
        assert not isinstance(found, Url)
        assert found == Path("/data/a.zarr")


def test_what_stands_there_tells_its_form(tmp_path):
    assert form_at(tmp_path / "nothing.zarr") == "hdf5"
    assert form_at(tmp_path) == "spin"
    (tmp_path / "a.zarr").mkdir()
    assert form_at(tmp_path / "a.zarr") == "zarr"
    (tmp_path / "zarr.json").touch()
    assert form_at(tmp_path) == "zarr"
    assert form_at(location("memory://a.h5")) == "zarr"
    (tmp_path / "b.spin").write_text("a file")
    assert form_at(tmp_path / "b.spin") == "hdf5"
    assert form_for(tmp_path, tmp_path) == "zarr"
    assert form_for(tmp_path, tmp_path / "b.h5") == "hdf5"
    names = ("a.h5", "a.hdf5", "a.spin", "a.zarr", "a", "a.zarr.h5", "a.SPIN")
    assert [form_to_make(Path(name)) for name in names] == [
        "hdf5", "hdf5", "spin", "zarr", "hdf5", "hdf5", "hdf5",
    ]  # fmt: skip


def test_two_names_of_one_place_are_known_for_one():
    objects = zarr_store.Objects(location("memory://bucket/a.zarr"))
    assert objects.is_same(location("memory:///bucket/a.zarr"))
    assert not objects.is_same(location("memory://bucket/b.zarr"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuch://bucket/a.zarr", "nosuch.*give a path, or a URL such as s3://"),
        ("s3://bucket/a.zarr", "s3:// needs a package that is not installed.*s3fs"),
    ],
)
def test_a_kind_of_url_that_cannot_be_used_is_named(url, said):
    try:
        import s3fs  # noqa: F401
    except ImportError:
        pass
    else:
        pytest.skip("the package is installed here")
    with pytest.raises(UsageError, match=said):
        zarr_store.require_zarr(location(url))


@pytest.mark.parametrize("package", ["zarr", "fsspec"])
def test_without_its_package_a_store_says_what_to_install(monkeypatch, package, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r'pip install "spinlock\[zarr\]"'):
        zarr_store.require_zarr(tmp_path / "a.zarr")


def test_files_and_directories_are_read_without_zarr(tmp_path):
    """Only who has a store needs its packages."""
    made = [form_of(tmp_path / f"a.{form}", LAYOUT) for form in ("h5", "spin")]
    script = (
        "import sys; sys.modules['zarr'] = sys.modules['fsspec'] = None\n"
        "from spinlock.storage import open_stored, verify\n"
        "for path in sys.argv[1:]:\n"
        "    assert verify(path) == []\n"
        "    open_stored(path).row('inputs/fields', 0)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, *map(str, made)],
        env=tiny.environment(), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


def test_a_failing_store_is_told_and_not_shown_as_a_traceback(monkeypatch):
    objects = zarr_store.Objects(location("memory://bucket/a.zarr"))
    files, _ = objects._connected()

    def fail(*_words, **_more):
        raise TimeoutError("the network is down")

    for name in ("cat_file", "exists", "find", "pipe_file", "ls"):
        monkeypatch.setattr(files, name, fail, raising=True)
    for call in (
        lambda: objects.read("zarr.json"),
        lambda: objects.exists("zarr.json"),
        lambda: objects.size(),
        lambda: objects.write("zarr.json", b""),
        lambda: objects.remove(),
        lambda: objects.names(),
    ):
        with pytest.raises(StorageError, match="the network is down"):
            call()


def test_every_stored_thing_of_one_form_is_that_of_the_other(tmp_path):
    with (
        open_stored(form_of(tmp_path / "a.spin", LAYOUT)) as one,
        open_stored(form_of(tmp_path / "a.zarr", LAYOUT)) as other,
    ):
        assert all_stored(one) == all_stored(other)
