"""Parts of features: whole and of the right binding, or not there at all."""

import numpy as np
import pytest

from spinlock.errors import StorageError
from spinlock.storage.feature_parts import FeatureParts

BINDING = {"dataset": "ab" * 32, "choice": {"categories": ["spatial"]}}


def tables_of(lo, hi):
    rows = np.arange(lo, hi)
    return {"features/sdf/aggregated/features": np.stack([rows, rows * 0.1, rows * np.nan], 1).astype("f4")}


def commit(parts, lo, hi, **how):
    return parts.commit(lo, tables_of(lo, hi), np.arange(lo, hi) / 3, **how)


def test_a_part_reads_back_bit_for_bit(tmp_path):
    parts = FeatureParts(tmp_path, BINDING)
    part = commit(parts, 3, 7)
    assert (part.lo, part.hi) == (3, 7)
    tables, seconds = parts.read(part)
    for path, values in tables_of(3, 7).items():
        assert tables[path].dtype == values.dtype
        assert tables[path].tobytes() == values.tobytes()
    assert seconds.tolist() == [1.0, 4 / 3, 5 / 3, 2.0]
    assert FeatureParts(tmp_path, BINDING).sound() == [part]


def test_parts_come_in_the_order_of_their_rows_and_none_twice(tmp_path):
    parts = FeatureParts(tmp_path, BINDING)
    last, first, middle = commit(parts, 1000, 1002), commit(parts, 0, 2), commit(parts, 2, 4)
    assert parts.sound() == [first, middle, last]
    commit(parts, 3, 5)
    assert parts.sound() == [first, middle, last]


@pytest.mark.parametrize("change", [{"dataset": "cd" * 32}, {"choice": {"categories": ["spectral"]}}])
def test_parts_of_another_binding_do_not_count(tmp_path, change):
    part = commit(FeatureParts(tmp_path, BINDING), 0, 2)
    other = FeatureParts(tmp_path, BINDING | change)
    assert other.sound() == []
    moved = commit(other, 4, 6)
    moved.path.write_bytes(part.path.read_bytes())
    assert other.sound() == []
    with pytest.raises(StorageError, match="changed since it was committed"):
        other.read(moved)


def test_the_order_in_which_a_binding_is_written_does_not_matter(tmp_path):
    part = commit(FeatureParts(tmp_path, BINDING), 0, 2)
    turned = dict(reversed(BINDING.items()))
    assert list(turned) != list(BINDING)
    assert FeatureParts(tmp_path, turned).sound() == FeatureParts(tmp_path, BINDING).sound() == [part]


@pytest.mark.parametrize("place", [0, 63, 64, 100, -1])
def test_a_changed_byte_is_found(tmp_path, place):
    parts = FeatureParts(tmp_path, BINDING)
    commit(parts, 0, 2)
    part = commit(parts, 2, 4)
    content = bytearray(part.path.read_bytes())
    content[place] ^= 1
    part.path.write_bytes(content)
    assert [sound.lo for sound in parts.sound()] == [0]


@pytest.mark.parametrize("size", [0, 10, 64, 200])
def test_a_part_cut_short_does_not_count(tmp_path, size):
    parts = FeatureParts(tmp_path, BINDING)
    part = commit(parts, 0, 2)
    part.path.write_bytes(part.path.read_bytes()[:size])
    assert parts.sound() == []


def test_a_part_under_another_name_does_not_count(tmp_path):
    parts = FeatureParts(tmp_path, BINDING)
    part = commit(parts, 0, 2)
    part.path.rename(part.path.with_name("0000000005-0000000009.npz"))
    (part.path.parent / "notes.npz").write_text("mine")
    assert parts.sound() == []


@pytest.mark.parametrize("stop", ["create", "fsync", "rename"])
def test_an_abandoned_commit_leaves_nothing(tmp_path, stop):
    class StoppedError(Exception):
        pass

    def checkpoint(step):
        if step == stop:
            raise StoppedError

    parts = FeatureParts(tmp_path, BINDING)
    with pytest.raises(StoppedError):
        commit(parts, 0, 2, checkpoint=checkpoint)
    assert parts.sound() == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_writer_left_is_removed(tmp_path):
    parts = FeatureParts(tmp_path, BINDING)
    part = commit(parts, 0, 2)
    left = part.path.with_name(f"{part.path.name}.tmp-{'0' * 32}")
    left.write_bytes(b"half")
    assert parts.sound() == [part]
    assert not left.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        commit(FeatureParts(tmp_path / "file", BINDING), 0, 2)
