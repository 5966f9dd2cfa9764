"""Encoding a row is pure, and a row that does not fit its layout is refused by name."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from spinlock.errors import StorageError
from spinlock.storage.rows import encode_row
from test_storage.dataset_samples import layout_of, row_of, table_of

LAYOUT = layout_of(grids=(16, 32), timesteps=(0, 1))


def test_rows_encoded_in_threads_are_those_encoded_in_turn():
    rows = [row_of(LAYOUT, index) for index in range(8)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda row: encode_row(LAYOUT, row), rows))
    for row, encoded in zip(rows, threaded, strict=True):
        alone = encode_row(LAYOUT, row)
        assert encoded.chunks == alone.chunks
        assert encoded.crc == alone.crc


def test_the_memory_layout_of_the_arrays_does_not_matter():
    row = row_of(LAYOUT, 1)
    strided = replace(row, outputs=np.asfortranarray(row.outputs), inputs=row.inputs[::-1][::-1])
    assert encode_row(LAYOUT, strided).chunks == encode_row(LAYOUT, row).chunks


def test_encoding_leaves_the_row_alone():
    for precision in ("float16", "bitround:4"):
        layout = layout_of(precision=precision)
        row = row_of(layout, 0)
        before = row.outputs.copy()
        encode_row(layout, row)
        np.testing.assert_array_equal(row.outputs, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": np.zeros((3, 24, 24), np.float32)}, "inputs/fields: grid 24 is none of"),
        ({"inputs": np.zeros((3, 32, 16), np.float32)}, r"inputs/fields: .*wants float32 \(3, 16, 16\)"),
        ({"inputs": np.zeros((3, 16, 16))}, "float64"),
        ({"outputs": np.zeros((3, 3, 16, 16), np.float32)}, "outputs/fields"),
        ({"trajectories": None}, "outputs/trajectories: the layout stores it"),
        ({"inputs": np.float32(0)}, "grid 0 is none of"),
    ],
)
def test_arrays_of_another_shape_are_refused(change, message):
    with pytest.raises(StorageError, match=message):
        encode_row(LAYOUT, replace(row_of(LAYOUT, 0), **change))


def test_trajectories_that_the_layout_does_not_store_are_refused():
    row = replace(row_of(layout_of(), 0), trajectories=np.zeros((2, 1, 3, 16, 16), np.float32))
    with pytest.raises(StorageError, match="the layout stores none"):
        encode_row(layout_of(), row)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("metadata/ic_types", "x" * 41, "takes 41 bytes, the layout allows 40"),
        ("metadata/ic_types", "ü" * 21, "takes 42 bytes"),
        ("metadata/ic_types", "a\0b", "NUL"),
        ("metadata/ic_types", "\ud800", "UTF-8"),
        ("metadata/ic_types", 3, "is not text"),
        ("metadata/grid_sizes", 32, "32 is not the grid of the fields, 16"),
        ("metadata/grid_sizes", 16.0, "wants int32"),
        ("metadata/finite_steps", [1, 2, 3], r"wants int32 \(2,\)"),
        ("metadata/finite_steps", [1, 2**31], "does not fit int32"),
        ("metadata/lyapunov", "fast", "wants float64"),
        ("parameters/values/residual", 1, "wants bool"),
        ("parameters/params", np.zeros(3), r"wants float64 \(4,\)"),
    ],
)
def test_entries_that_do_not_fit_are_refused(path, value, message):
    row = row_of(LAYOUT, 0)
    with pytest.raises(StorageError, match=f"{path}.*{message}"):
        encode_row(LAYOUT, replace(row, table={**row.table, path: value}))


def test_missing_and_unknown_entries_are_named():
    row, table = row_of(LAYOUT, 0), table_of(LAYOUT, 0)
    with pytest.raises(StorageError, match=r"'metadata/dynamic'.*did you mean 'metadata/dynamics'"):
        encode_row(LAYOUT, replace(row, table={**table, "metadata/dynamic": "chaotic"}))
    del table["metadata/lyapunov"]
    with pytest.raises(StorageError, match="no entry for metadata/lyapunov"):
        encode_row(LAYOUT, replace(row, table=table))


def test_nan_and_infinite_entries_are_kept():
    row = row_of(LAYOUT, 0)
    for value in (np.nan, np.inf, -np.inf):
        entry = encode_row(LAYOUT, replace(row, table={**row.table, "metadata/lyapunov": value})).entries
        np.testing.assert_equal(float(entry["metadata/lyapunov"]), value)


def test_stored_bytes_counts_chunks_and_entries():
    encoded = encode_row(LAYOUT, row_of(LAYOUT, 0))
    chunks = sum(len(chunk.data) for chunks in encoded.chunks.values() for chunk in chunks)
    assert encoded.stored_bytes == chunks + sum(entry.nbytes for entry in encoded.entries.values())
