"""A shard is compared with what was meant to be written, from the file: whatever went wrong is found."""

import h5py
import h5py.h5a
import numpy as np
import pytest

from spinlock.errors import StorageError
from spinlock.storage import shards
from spinlock.storage.shards import write_shard
from test_storage.dataset_samples import PLAN, encoded, layout_of, shard_of

LAYOUT = layout_of(samples=3, grids=(16, 32), channels=1, timesteps=(0, 1))


def write_and(tmp_path, change, at="check"):
    """Write a shard; at a step, do something to the temporary file."""

    def checkpoint(step):
        if step == at:
            change(next(tmp_path.glob("*.tmp-*")))

    return write_shard(
        tmp_path / "p.h5", LAYOUT, 0, 3, encoded(LAYOUT, 0, 3), {"plan_digest": PLAN}, checkpoint
    )


def edit(change):
    def apply(path):
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            change(file)

    return apply


def flip(place):
    def apply(path):
        data = bytearray(path.read_bytes())
        data[place(path)] ^= 8
        path.write_bytes(data)

    return apply


def in_chunk(path):
    with h5py.File(path) as file:
        info = file["outputs/fields"].id.get_chunk_info_by_coord((1, 0, 0, 0, 0))
        return info.byte_offset + info.size // 2


def in_table(path):
    with h5py.File(path) as file:
        return file["parameters/params"].id.get_offset() + 9


def more_chunks(file):
    raw = file["inputs/fields"].id.read_direct_chunk((0, 0, 0, 0))[1]
    file["inputs/fields"].id.write_direct_chunk((0, 0, 16, 16), raw)


def exchanged(file):
    raw = file["inputs/fields"].id.read_direct_chunk((2, 0, 0, 0))[1]
    file["inputs/fields"].id.write_direct_chunk((0, 0, 0, 0), raw)


def first_row(file):
    h5py.h5a.open(file["metadata"].id, b"first_row").write(np.array(1, np.int64))


def resealed(file):
    """A file that is sound in itself, but not the one that was written."""
    file["metadata"].attrs["note"] = 1
    from spinlock.storage.digest import seal

    seal(file)


FAULTS = {
    "a bit of a chunk": (flip(in_chunk), r"outputs/fields, row 1: chunk \(0, 0, 0, 0\)"),
    "a bit of a table": (flip(in_table), "parameters/params changed"),
    "a bit of a heap": (flip(lambda path: path.read_bytes().find(b"GCOL") + 40), "names and references"),
    "a chunk too many": (edit(more_chunks), "inputs/fields stores .* chunks where .* were written"),
    "an exchanged chunk": (edit(exchanged), "inputs/fields, row 0: chunk"),
    "an attribute": (edit(first_row), "metadata changed"),
    "a link": (edit(lambda file: file.__setitem__("soft", h5py.SoftLink("/inputs"))), "soft is a link"),
    "an array": (edit(lambda file: file.__setitem__("more", np.zeros(2))), "more was added"),
    "a removed array": (edit(lambda file: file.__delitem__("metadata/lyapunov")), "lyapunov was removed"),
    "a removed field": (edit(lambda file: file.__delitem__("inputs/fields")), "inputs/fields was removed"),
    "another seal": (edit(resealed), "sealed with another digest"),
    "a cut end": (lambda path: path.write_bytes(path.read_bytes()[:-100]), "cut short"),
    "an empty file": (lambda path: path.write_bytes(b""), "it is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_file_changed_between_writing_and_checking_is_dropped(tmp_path, name):
    change, what = FAULTS[name]
    (tmp_path / "p.h5").write_bytes(b"older")
    with pytest.raises(StorageError, match=rf"p\.h5 was written but reads back wrong \(.*{what}"):
        write_and(tmp_path, change)
    assert (tmp_path / "p.h5").read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 1


def test_looking_at_the_file_changes_nothing(tmp_path):
    """Control: a file opened for writing and closed again between writing and checking passes."""
    write_and(tmp_path, edit(lambda file: None))
    assert (tmp_path / "p.h5").exists()


def test_values_that_did_not_arrive_are_found(tmp_path, monkeypatch):
    """The seal says what was meant, not what the file holds: a table written wrongly does not pass."""
    write = shards.write_table

    def careless(file, spec, first, entries):
        write(file, spec, first, entries + 1 if spec.path == "metadata/lyapunov" else entries)

    monkeypatch.setattr(shards, "write_table", careless)
    with pytest.raises(StorageError, match="metadata/lyapunov changed"):
        shard_of(tmp_path / "p.h5", LAYOUT, 0, 3)
    assert list(tmp_path.iterdir()) == []
