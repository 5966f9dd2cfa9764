"""Joining shards gives what one shard of all rows holds, bit for bit, or nothing at all."""

import tracemalloc
from dataclasses import replace

import h5py
import pytest

from spinlock.errors import StorageError
from spinlock.storage.codecs import CODECS
from spinlock.storage.finalize import finalize
from spinlock.storage.reader import DatasetFile
from spinlock.storage.verify import verify
from test_storage.dataset_samples import PLAN, layout_of, plain_contents, shard_of

CUTS = [(0, 2), (2, 3), (3, 7)]
FACTS = {
    "plan_digest": PLAN,
    "config": '{"sampling": {"total_samples": 7}}',
    "sampling_metrics": {"discrepancy": 0.25},
    "creation_date": "2026-01-01T00:00:00+00:00",
    "provenance": {"torch": "2.13", "größe": "x" * 100_000},
}


def layout_with(**changes):
    return layout_of(samples=7, grids=(16, 48), timesteps=(0, 2), **changes)


@pytest.mark.parametrize("compression", CODECS)
def test_shards_joined_are_one_shard(tmp_path, compression):
    layout = layout_with(compression=compression, compression_level=CODECS[compression].default_level)
    parts = [shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in CUTS]
    final = finalize(tmp_path / "all.h5", layout, parts, {"plan_digest": PLAN})
    whole = shard_of(tmp_path / "one.h5", layout, 0, 7)
    assert plain_contents(tmp_path / "all.h5") == plain_contents(tmp_path / "one.h5")
    assert final.digest == whole.digest
    assert final.size == (tmp_path / "all.h5").stat().st_size
    assert verify(tmp_path / "all.h5") == []


def test_how_the_rows_were_cut_leaves_no_trace(tmp_path):
    layout = layout_with()
    fine = [shard_of(tmp_path / f"{row}.h5", layout, row, row + 1) for row in range(7)]
    coarse = [shard_of(tmp_path / "c.h5", layout, 0, 7)]
    finalize(tmp_path / "fine.h5", layout, fine, FACTS)
    finalize(tmp_path / "coarse.h5", layout, coarse, FACTS)
    assert (tmp_path / "fine.h5").read_bytes() == (tmp_path / "coarse.h5").read_bytes()


def test_metadata_comes_back(tmp_path):
    layout = layout_with()
    finalize(tmp_path / "all.h5", layout, [shard_of(tmp_path / "p.h5", layout, 0, 7)], FACTS)
    with DatasetFile(tmp_path / "all.h5") as file:
        assert file.config == {"sampling": {"total_samples": 7}}
        assert file.layout == layout
        assert (
            file.attributes["provenance"] == '{"gr\\u00f6\\u00dfe": "' + "x" * 100_000 + '", "torch": "2.13"}'
        )
        assert file.attributes["creation_date"] == FACTS["creation_date"]
        assert file.table("outputs/timesteps").tolist() == [0, 2]


def test_rows_that_are_in_no_shard_are_named(tmp_path):
    layout = layout_with()
    parts = [shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in CUTS]
    for given, missing in (
        ([0, 2], "2 to 3"),
        ([1, 2], "0 to 2"),
        ([0, 1], "3 to 7"),
        ([0, 0], "2 to 0"),
        ([], "0 to 7"),
    ):
        with pytest.raises(StorageError, match=f"rows {missing} are in no shard"):
            finalize(tmp_path / "all.h5", layout, [parts[k] for k in given], {"plan_digest": PLAN})
    assert not (tmp_path / "all.h5").exists()


def refused(tmp_path, layout, parts, message, plan=PLAN):
    before = (tmp_path / "all.h5").read_bytes() if (tmp_path / "all.h5").exists() else None
    with pytest.raises(StorageError, match=message):
        finalize(tmp_path / "all.h5", layout, parts, {"plan_digest": plan})
    after = (tmp_path / "all.h5").read_bytes() if (tmp_path / "all.h5").exists() else None
    assert before == after
    assert not list(tmp_path.glob("*.tmp-*"))


def test_foreign_and_swapped_shards_are_refused(tmp_path):
    layout = layout_with()
    a, b = (shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in ((0, 3), (3, 7)))
    c = shard_of(tmp_path / "c.h5", layout, 4, 7)
    swapped = [replace(a, path=b.path), b]
    refused(tmp_path, layout, swapped, r"3\.h5 is not the shard of rows 0 to 3")
    refused(tmp_path, layout, [a, replace(b, path=c.path)], "its first row is 4")
    refused(tmp_path, layout, [a, b], "its plan is", plan="another")
    refused(tmp_path, replace(layout, precision="bitround:3"), [a, b], "its layout is")
    refused(tmp_path, layout, [a, replace(b, digest="0" * 64)], "its digest is")
    finalize(tmp_path / "all.h5", layout, [a, b], {"plan_digest": PLAN})  # control


def test_a_damaged_chunk_is_not_copied(tmp_path):
    layout = layout_with()
    parts = [shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in CUTS]
    with h5py.File(tmp_path / "3.h5") as file:
        info = file["outputs/fields"].id.get_chunk_info_by_coord((1, 0, 0, 0, 0))
    data = bytearray((tmp_path / "3.h5").read_bytes())
    data[info.byte_offset + info.size // 2] ^= 4
    (tmp_path / "3.h5").write_bytes(data)
    refused(tmp_path, layout, parts, r"3\.h5: a chunk of outputs/fields, row 4 does not have its checksum")


def test_a_damaged_table_is_not_copied(tmp_path):
    """A shard whose bytes are not those that were committed is checked as a stranger's file is."""
    layout = layout_with()
    parts = [shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in CUTS]
    with h5py.File(tmp_path / "3.h5") as file:
        place = file["parameters/params"].id.get_offset()
    data = bytearray((tmp_path / "3.h5").read_bytes())
    data[place + 3] ^= 4
    (tmp_path / "3.h5").write_bytes(data)
    refused(tmp_path, layout, parts, r"3\.h5 is not a sound .*parameters/params changed since it was written")


def test_bytes_that_differ_and_mean_the_same_are_taken(tmp_path):
    layout = layout_with()
    parts = [shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in CUTS]
    unknown = [replace(part, sha256="0" * 64) for part in parts]
    finalize(tmp_path / "all.h5", layout, parts, FACTS)
    finalize(tmp_path / "same.h5", layout, unknown, FACTS)
    assert (tmp_path / "same.h5").read_bytes() == (tmp_path / "all.h5").read_bytes()


def test_a_shard_that_is_gone_is_named(tmp_path):
    layout = layout_with()
    parts = [shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in CUTS]
    (tmp_path / "3.h5").unlink()
    refused(tmp_path, layout, parts, r"3\.h5 does not exist")


@pytest.mark.parametrize(
    "step", ["create", "shard 0", "shard 2", "seal", "close", "check", "fsync", "rename"]
)
def test_an_abandoned_finalize_leaves_the_old_file(tmp_path, step):
    layout = layout_with()
    parts = [shard_of(tmp_path / f"{lo}.h5", layout, lo, hi) for lo, hi in CUTS]
    (tmp_path / "all.h5").write_bytes(b"older")

    def stop(reached):
        if reached == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finalize(tmp_path / "all.h5", layout, parts, {"plan_digest": PLAN}, stop)
    assert (tmp_path / "all.h5").read_bytes() == b"older"
    assert not list(tmp_path.glob("*.tmp-*"))


def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Peak memory of joining 2 and 6 one-row shards; tracemalloc counts numpy's arrays and h5py's bytes."""
    peaks = []
    for samples in (2, 2, 6):  # the first run warms caches
        layout = layout_of(samples=samples, grids=(128,), compression="none", compression_level=0)
        parts = [shard_of(tmp_path / f"{samples}-{k}.h5", layout, k, k + 1) for k in range(samples)]
        tracemalloc.start()
        finalize(tmp_path / f"{samples}.h5", layout, parts, {"plan_digest": PLAN})
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    row_bytes = 3 * 3 * 128 * 128 * 4
    assert peaks[2] - peaks[1] < row_bytes / 2, "four more rows may not cost half a row"
