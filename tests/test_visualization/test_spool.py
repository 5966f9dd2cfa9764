"""Scratch files: round trips in any order and from threads, no traces, clear errors."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spinlock.errors import StorageError
from spinlock.visualization.spool import Spool

SHAPE = 3, 4, 5


def record(number, shape=SHAPE):
    """Return an array that no other number has, with every bit pattern of interest."""
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + np.float32(1000.0 * number)
    array.flat[number % array.size] = (np.nan, np.inf, -0.0)[number % 3]
    return array


def same_bits(one, other):
    return one.dtype == other.dtype == np.float32 and one.tobytes() == other.tobytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.permutations(range(6)), st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_arrays_come_back_bit_for_bit_in_any_order(tmp_path, order, shape):
    with Spool(tmp_path, tuple(shape), 6) as spool:
        for number in order:
            spool.write(number, record(number, shape))
        for number in reversed(order):
            assert same_bits(spool.read(number)[0], record(number, shape))
        assert same_bits(spool.read(1, 4), np.stack([record(number, shape) for number in range(1, 5)]))


def test_threads_write_and_read_side_by_side(tmp_path):
    with Spool(tmp_path, SHAPE, 200) as spool, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: spool.write(number, record(number)), reversed(range(200))))
        read = list(pool.map(lambda number: spool.read(number)[0], range(200)))
    assert all(same_bits(found, record(number)) for number, found in enumerate(read))


def test_what_was_never_written_is_zero(tmp_path):
    with Spool(tmp_path, SHAPE, 3) as spool:
        spool.write(1, record(1))
        assert not spool.read(0).any()
        assert not spool.read(2).any()
        assert same_bits(spool.read(1)[0], record(1))


def test_writing_again_replaces_one_array(tmp_path):
    with Spool(tmp_path, SHAPE, 3) as spool:
        for number in range(3):
            spool.write(number, record(number))
        spool.write(1, record(7))
        assert same_bits(spool.read(0, 3), np.stack([record(0), record(7), record(2)]))


def test_any_memory_layout_and_precision_is_taken(tmp_path):
    array = np.arange(60.0).reshape(5, 4, 3).T
    assert not array.flags.c_contiguous
    with Spool(tmp_path, SHAPE, 1) as spool:
        spool.write(0, array)
        assert np.array_equal(spool.read(0)[0], array)


def test_the_file_has_no_name_and_goes_when_closed(tmp_path):
    spool = Spool(tmp_path, SHAPE, 5)
    spool.write(4, record(4))
    assert list(tmp_path.iterdir()) == []
    assert os.fstat(spool._file.fileno()).st_nlink == 0
    spool.close()
    spool.close()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        spool.read(4)


def test_the_file_goes_after_a_failure(tmp_path):
    with pytest.raises(RuntimeError), Spool(tmp_path, SHAPE, 5) as spool:
        raise RuntimeError
    assert spool._file.closed


def test_a_full_disk_is_said_with_what_to_do(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Spool(tmp_path, SHAPE, 1) as spool:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match=r"No space left on device.*--output.*--steps") as caught:
            spool.write(0, record(0))
    assert str(tmp_path) in str(caught.value)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(StorageError, match="absent cannot be written: No such file"):
        Spool(tmp_path / "absent", SHAPE, 1)


def test_short_writes_and_reads_go_on_where_they_stopped(tmp_path, monkeypatch):
    pwrite, preadv = os.pwrite, os.preadv
    with Spool(tmp_path, SHAPE, 2) as spool:
        monkeypatch.setattr(os, "pwrite", lambda file, data, place: pwrite(file, data[:7], place))
        monkeypatch.setattr(os, "preadv", lambda file, parts, place: preadv(file, [parts[0][:11]], place))
        for number in range(2):
            spool.write(number, record(number))
        assert same_bits(spool.read(0, 2), np.stack([record(0), record(1)]))


def test_a_file_that_was_cut_short_is_refused(tmp_path):
    with Spool(tmp_path, SHAPE, 2) as spool:
        os.ftruncate(spool._file.fileno(), spool.record_bytes + 8)
        assert not spool.read(0).any()
        with pytest.raises(StorageError, match="cut short"):
            spool.read(1)
