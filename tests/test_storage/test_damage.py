"""Whatever happens to a file, it is found: by the check on opening, the first read, and verify."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import spinlock
from spinlock.errors import StorageError
from spinlock.storage.codecs import CODECS
from spinlock.storage.reader import DatasetFile
from spinlock.storage.verify import changed_rows, verify
from test_storage.dataset_samples import PLAN, feature_layout_of, layout_of, plain_contents, shard_of

TESTS = Path(__file__).resolve().parents[1]
SOURCE = Path(spinlock.__file__).resolve().parents[1]


def small_layout(compression="zstd"):
    level = CODECS[compression].default_level
    return layout_of(
        samples=3,
        grids=(16, 32),
        channels=1,
        timesteps=(0, 1),
        compression=compression,
        compression_level=level,
    )


@pytest.fixture
def path(tmp_path):
    shard_of(tmp_path / "data.h5", small_layout(), 0, 3)
    return tmp_path / "data.h5"


def corruptions(tmp_path, compression, how, count):
    """Corrupt a file in many ways in another process; return what was made of each."""
    shard_of(tmp_path / "data.h5", small_layout(compression), 0, 3, config='{"seed": 1}')
    files = tmp_path / "data.h5", tmp_path / "x.h5"
    result = subprocess.run(
        [sys.executable, "-m", "test_storage.corruption", *files, how, str(count)],
        env=os.environ | {"PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
    )
    findings = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0, f"after {len(findings)} corruptions: {result.stderr[-2000:]}"
    assert len(findings) == count
    return findings


def check_corruptions(findings):
    assert [found for found in findings if found["missed"]] == []
    for found in findings:
        assert bool(found["verify"]) == bool(found["reader"]), found
        if found["reader"]:
            assert "What to do:" in found["reader"]


RANDOM = [("zstd", "flip", 60), ("none", "zero", 20), ("lz4", "cut", 100)]


@pytest.mark.parametrize(("compression", "how", "count"), RANDOM)
def test_random_corruptions_are_found(tmp_path, compression, how, count):
    findings = corruptions(tmp_path, compression, how, count)
    check_corruptions(findings)
    found = sum(bool(finding["verify"]) for finding in findings)
    assert found > 0.8 * count  # few flips fall where nothing is read
    if how == "cut":
        assert found == count


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flip", "zero", "cut"])
@pytest.mark.parametrize("compression", CODECS)
def test_hundreds_of_random_corruptions_are_found(tmp_path, compression, how):
    check_corruptions(corruptions(tmp_path, compression, how, 500))


def test_a_sound_file_has_no_damage(path):
    assert verify(path) == []
    DatasetFile(path).close()
    with h5py.File(path) as file:
        assert list(changed_rows(file, small_layout())) == []


def test_the_digest_has_a_known_answer(path):
    """Whatever way its objects are read, a file keeps the digest that it was sealed with."""
    shard_of(path, layout_of(features=feature_layout_of(), compression="none", compression_level=0), 0, 4)
    with DatasetFile(path) as file:
        assert file.digest == "5a76c9f232cedd97268e194cf0e7b538bc7820f2c888b439c95a51df2a3517b6"


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 16
    path.write_bytes(data)


def chunk_place(path, array, offset):
    with h5py.File(path) as file:
        info = file[array].id.get_chunk_info_by_coord(offset)
    return info.byte_offset + info.size - 3


FIELDS = [("inputs/fields", 1), ("outputs/fields", 2), ("outputs/trajectories", 3)]


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize(("array", "lead"), FIELDS)
def test_a_flip_in_a_chunk_names_array_and_row(path, array, lead, row):
    flip(path, chunk_place(path, array, (row, *(0,) * lead, 0, 0)))
    damage = verify(path)
    assert [(found.array, found.row) for found in damage] == [(array, row)]
    assert str(damage[0]).startswith(f"{array}, row {row}: chunk (")
    with DatasetFile(path) as file:
        for index in {0, 1, 2} - {row}:
            file.row(array, index)
        message = rf"{array}, row {row} is damaged .*generate it again .*--repair.*`spinlock validate` lists"
        for _ in range(2):
            with pytest.raises(StorageError, match=message):
                file.row(array, row)


def test_a_chunk_is_checked_when_first_touched_only(path):
    with DatasetFile(path) as file:
        before = file.row("inputs/fields", 0)
        flip(path, chunk_place(path, "inputs/fields", (0, 0, 0, 0)) - 40)
        try:
            after = file.row("inputs/fields", 0)
        except StorageError:
            return  # the codec may notice
        assert after.shape == before.shape


def table_place(path, array, row):
    with h5py.File(path) as file:
        return file[array].id.get_offset() + row * file[array].nbytes // file[array].shape[0]


TABLES = ["metadata/ic_options", "metadata/grid_sizes", "parameters/params", "parameters/values/gain"]


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize("array", TABLES)
def test_a_flip_in_a_table_names_table_and_row(path, array, row):
    flip(path, table_place(path, array, row))
    damage = [(found.array, found.row) for found in verify(path)]
    assert (array, None) in damage
    assert (array, row) in damage
    assert not [found for found in damage if found[1] not in (None, row)]
    with pytest.raises(StorageError, match=f"{array} changed since it was written.*generate it again"):
        DatasetFile(path)


def test_a_flip_in_the_checksums_is_found(path):
    flip(path, table_place(path, "metadata/checksums/outputs/fields", 1))
    damage = verify(path)
    assert ("metadata/checksums/outputs/fields", None) in [(found.array, found.row) for found in damage]
    with pytest.raises(StorageError, match="metadata/checksums/outputs/fields changed"):
        DatasetFile(path)


def test_a_flip_in_a_global_heap_is_found_before_hdf5_reads_it(path):
    """HDF5 does not protect these heaps and may loop for ever over a damaged one."""
    start = path.read_bytes().find(b"GCOL")
    assert start > 0
    for place in range(start + 16, start + 700, 37):
        flip(path, place)
        with pytest.raises(StorageError, match="names and references of its dimensions are damaged"):
            DatasetFile(path)
        assert verify(path)
        flip(path, place)
    assert verify(path) == []


def edited(path, change):
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)


def moved(file):
    raw = file["inputs/fields"].id.read_direct_chunk((1, 0, 0, 0))[1]
    file["inputs/fields"].id.write_direct_chunk((0, 0, 0, 0), raw)


def padded(file):
    raw = file["inputs/fields"].id.read_direct_chunk((0, 0, 0, 0))[1]
    file["inputs/fields"].id.write_direct_chunk((0, 0, 16, 16), raw)


EDITS = {
    "a value": (lambda f: f["parameters/params"].__setitem__((1, 1), 0.5), "parameters/params"),
    "an attribute": (lambda f: f["metadata"].attrs.__setitem__("plan_digest", "x"), "metadata"),
    "a new attribute": (lambda f: f["inputs"].attrs.__setitem__("note", 1), "inputs"),
    "a removed array": (lambda f: f.__delitem__("metadata/dynamics"), "metadata/dynamics"),
    "a removed field": (lambda f: f.__delitem__("outputs/fields"), "outputs/fields"),
    "an added array": (lambda f: f.__setitem__("inputs/more", np.zeros(3)), "inputs/more"),
    "an exchanged chunk": (moved, "inputs/fields"),
    "a superfluous chunk": (padded, "inputs/fields"),
    "a removed axis": (lambda f: f.__delitem__("channel"), "channel"),
    "removed checksums": (lambda f: f.__delitem__("metadata/checksums/inputs"), "checksums/inputs/fields"),
}


def read_inputs(path):
    with DatasetFile(path) as file:
        for index in range(3):
            file.row("inputs/fields", index)


@pytest.mark.parametrize("name", EDITS)
def test_edits_are_found_and_named(path, name):
    change, array = EDITS[name]
    edited(path, change)
    assert [found for found in verify(path) if found.array.endswith(array)]
    with pytest.raises(StorageError, match=array):
        read_inputs(path)


def test_an_edit_that_changes_nothing_is_none(path):
    """Control: opening for writing, as the edits above do, is no damage in itself."""
    before = plain_contents(path)
    edited(path, lambda file: None)
    assert verify(path) == []
    assert plain_contents(path) == before


DYING = """
import os, signal, sys
from pathlib import Path
from test_storage.dataset_samples import encoded, layout_of
from spinlock.storage.shards import write_shard
layout = layout_of(grids=(64,), compression="none", compression_level=0)
def die(step):
    if step == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
write_shard(Path(sys.argv[1]), layout, 0, 4, encoded(layout, 0, 4), {"plan_digest": "x"}, die)
"""


def run_code(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("step", ["row 1", "close"])
def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path, step):
    assert run_code(DYING, tmp_path / "data.h5", step).returncode == -9
    assert not (tmp_path / "data.h5").exists()
    (left,) = tmp_path.iterdir()
    assert left.stat().st_size > 0
    with pytest.raises(StorageError, match="not a sound Spinlock dataset"):
        DatasetFile(left)
    assert verify(left)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from test_storage.dataset_samples import encoded, layout_of
from spinlock.errors import StorageError
from spinlock.storage.shards import write_shard
layout = layout_of(grids=(64,), compression="none", compression_level=0)
rows = encoded(layout, 0, 4)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    write_shard(Path(sys.argv[1]), layout, 0, 4, rows, {"plan_digest": "x"})
except StorageError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [100, 20_000, 60_000, 300_000])
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, limit):
    result = run_code(FULL_DISK, tmp_path / "data.h5", limit)
    assert result.returncode == 0, result.stderr
    assert f"{tmp_path / 'data.h5'} cannot be written" in result.stdout
    assert "run the same command again" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_plan_digest_is_required(tmp_path):
    from spinlock.storage.shards import write_shard

    with pytest.raises(StorageError, match="plan_digest"):
        write_shard(tmp_path / "x.h5", small_layout(), 0, 1, [], {"plan": PLAN})
