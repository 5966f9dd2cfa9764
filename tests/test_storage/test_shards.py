"""A shard holds its rows exactly, is the same bytes each time, and appears whole or not at all."""

import zlib
from itertools import product

import h5py
import numpy as np
import pytest

from spinlock.errors import StorageError
from spinlock.storage.codecs import CODECS
from spinlock.storage.hashing import file_sha256
from spinlock.storage.reader import DatasetFile
from spinlock.storage.shards import write_shard
from spinlock.storage.verify import verify
from test_storage.dataset_samples import (
    encoded,
    grid_of,
    layout_of,
    plain_contents,
    row_of,
    same_bits,
    shard_of,
)

SHAPES = [
    ((16,), 1, 1, ()),
    ((48, 64), 2, 3, (0, 3)),
    ((16, 100), 5, 2, ()),
    ((64, 128), 1, 5, (1, 2, 9)),
    ((100,), 2, 1, (4,)),
]


@pytest.mark.parametrize("compression", CODECS)
@pytest.mark.parametrize("precision", ["float32", "float16", "bitround:7"])
@pytest.mark.parametrize(("grids", "M", "C", "timesteps"), SHAPES)
def test_rows_come_back_as_their_precision_says(tmp_path, compression, precision, grids, M, C, timesteps):
    level = CODECS[compression].default_level
    layout = layout_of(
        samples=3, grids=grids, realizations=M, channels=C, timesteps=timesteps,
        compression=compression, compression_level=level, precision=precision,
    )  # fmt: skip
    shard_of(tmp_path / "part.h5", layout, 0, 3)
    assert verify(tmp_path / "part.h5") == []
    with DatasetFile(tmp_path / "part.h5") as file, h5py.File(tmp_path / "part.h5") as plain:
        for index in range(3):
            row, g = row_of(layout, index), grid_of(layout, index)
            fields = {"inputs/fields": row.inputs, "outputs/fields": row.outputs}
            if timesteps:
                fields["outputs/trajectories"] = row.trajectories
            for path, values in fields.items():
                expected = layout.storage_precision.encode(values)
                assert same_bits(file.row(path, index), expected.astype(np.float32)), path
                assert same_bits(plain[path][index][..., :g, :g], expected), path
                assert np.isnan(plain[path][index][..., g:, :]).all()
                assert np.isnan(plain[path][index][..., g:]).all()
                padded = file.row(path, index, size=layout.side)
                assert same_bits(padded, plain[path][index].astype(np.float32))


def test_tables_come_back(tmp_path):
    layout = layout_of(samples=6, realizations=3)
    shard_of(tmp_path / "part.h5", layout, 2, 5)
    with DatasetFile(tmp_path / "part.h5") as file:
        assert file.attributes["first_row"] == 2
        for offset, index in enumerate(range(2, 5)):
            for path, value in row_of(layout, index).table.items():
                stored = file.table(path)[offset]
                np.testing.assert_array_equal(stored, value, err_msg=path)
        assert file.table("parameters/values/activation").dtype.kind == "U"
        assert file.table("parameters/values/residual").dtype == bool


def test_tiles_outside_the_native_grid_take_no_space(tmp_path):
    layout = layout_of(samples=2, grids=(64, 256))
    shard_of(tmp_path / "part.h5", layout, 0, 2)
    with h5py.File(tmp_path / "part.h5") as plain:
        for path in ("inputs/fields", "outputs/fields"):
            assert plain[path].id.get_num_chunks() == 1 + 16
            lead = (0,) * (plain[path].ndim - 2)
            tiles = range(0, 256, 64)
            stored = [
                plain[path].id.get_chunk_info_by_coord((*lead, y, x)).byte_offset is not None
                for y, x in product(tiles, tiles)
            ]
            assert stored == [True] + [False] * 15


def test_checksums_are_those_of_the_stored_chunks_and_minus_one_elsewhere(tmp_path):
    layout = layout_of(samples=2, grids=(64, 128), timesteps=(0, 3))
    shard_of(tmp_path / "part.h5", layout, 0, 2)
    with h5py.File(tmp_path / "part.h5") as plain:
        for path in ("inputs/fields", "outputs/fields", "outputs/trajectories"):
            array = plain[path]
            checksums = plain[f"metadata/checksums/{path}"][:]
            assert checksums.dtype == np.int64
            counts = [-(-size // chunk) for size, chunk in zip(array.shape, array.chunks, strict=True)]
            for row in range(2):
                found = []
                for place in product(*map(range, counts[1:])):
                    offset = (row, *(k * chunk for k, chunk in zip(place, array.chunks[1:], strict=True)))
                    there = array.id.get_chunk_info_by_coord(offset).byte_offset is not None
                    found.append(zlib.crc32(array.id.read_direct_chunk(offset)[1]) if there else -1)
                assert checksums[row].tolist() == found
            assert (checksums[0] == -1).any()
            assert (checksums[1] >= 0).all()


@pytest.mark.parametrize("compression", CODECS)
def test_a_shard_is_the_same_bytes_each_time(tmp_path, compression):
    level = CODECS[compression].default_level
    layout = layout_of(grids=(48, 64), timesteps=(0, 2), compression=compression, compression_level=level)
    first = shard_of(tmp_path / "a.h5", layout, 1, 4)
    second = shard_of(tmp_path / "b.h5", layout, 1, 4)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert (first.sha256, first.digest, first.size) == (second.sha256, second.digest, second.size)
    assert first.sha256 == file_sha256(tmp_path / "a.h5")
    other = shard_of(tmp_path / "c.h5", layout, 0, 3)
    assert other.digest != first.digest


def test_no_object_keeps_a_time(tmp_path):
    """Bit 5 of the flags of a version 2 object header says that four times follow."""
    shard_of(tmp_path / "part.h5", layout_of(), 0, 1)
    data = (tmp_path / "part.h5").read_bytes()
    headers = [part[1] for part in data.split(b"OHDR\x02")[1:] if part]
    flags = [part[0] for part in data.split(b"OHDR\x02")[1:]]
    assert len(headers) > 20
    assert all(flag & 0x20 == 0 for flag in flags)
    with h5py.File(tmp_path / "timed.h5", "w", libver=("v110", "v110")) as timed:
        timed.create_dataset("x", data=[1], track_times=True)
    timed_flags = [part[0] for part in (tmp_path / "timed.h5").read_bytes().split(b"OHDR\x02")[1:]]
    assert any(flag & 0x20 for flag in timed_flags)  # control: the bit is where we look


STEPS = ["create", "row 0", "row 1", "close", "check", "fsync", "rename"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
@pytest.mark.parametrize("step", STEPS)
def test_an_abandoned_shard_leaves_everything_as_it_was(tmp_path, step, error):
    layout = layout_of(samples=2)
    path = tmp_path / "part.h5"
    path.write_bytes(b"what stood there before")

    def stop(reached):
        if reached == step:
            raise error("stop")

    with pytest.raises(error, match="stop"):
        write_shard(path, layout, 0, 2, encoded(layout, 0, 2), {"plan_digest": "x"}, stop)
    assert path.read_bytes() == b"what stood there before"
    assert list(tmp_path.iterdir()) == [path]


def test_every_step_is_announced_in_order(tmp_path):
    layout = layout_of(samples=2)
    steps = []
    write_shard(tmp_path / "p.h5", layout, 0, 2, encoded(layout, 0, 2), {"plan_digest": "x"}, steps.append)
    assert steps == [*STEPS, "fsync directory"]


def test_what_the_rows_raise_is_not_blamed_on_the_disk(tmp_path):
    def failing():
        raise RuntimeError("out of memory on the device")
        yield

    with pytest.raises(RuntimeError, match="out of memory"):
        write_shard(tmp_path / "p.h5", layout_of(), 0, 2, failing(), {"plan_digest": "x"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_or_too_many_rows_are_refused(tmp_path, count):
    layout = layout_of()
    with pytest.raises(StorageError, match="2 rows was given"):
        write_shard(tmp_path / "p.h5", layout, 0, 2, encoded(layout, 0, count), {"plan_digest": "x"})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"gone/p\.h5 cannot be written"):
        shard_of(tmp_path / "gone" / "p.h5", layout_of(), 0, 1)


def test_a_range_outside_the_dataset_is_refused(tmp_path):
    for lo, hi in ((3, 5), (2, 2), (-1, 1)):
        with pytest.raises(StorageError, match="no part of a dataset of 4 samples"):
            write_shard(tmp_path / "p.h5", layout_of(), lo, hi, [], {"plan_digest": "x"})


def test_plain_contents_tells_files_apart(tmp_path):
    shard_of(tmp_path / "a.h5", layout_of(), 0, 2)
    shard_of(tmp_path / "b.h5", layout_of(), 0, 2, note="another")
    a, b = plain_contents(tmp_path / "a.h5"), plain_contents(tmp_path / "b.h5")
    assert {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} == {
        "metadata@note", "metadata/checksums@digest", "metadata/checksums@objects",
    }  # fmt: skip
