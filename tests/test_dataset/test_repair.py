"""`generate --repair` makes exactly the damaged shards again, and ends with the undisturbed dataset."""

import h5py
import numpy as np
import pytest

import tiny
from spinlock.cli import main
from spinlock.dataset.validate import validate
from spinlock.execution.run_directory import RunDirectory
from test_dataset.forgery import entry, forge
from test_dataset.repairs import (
    ROWS_PER_SHARD,
    SMALL,
    beside,
    copy,
    edited,
    made,
    repair,
    sound,
    told,
    zeroed,
)

pytestmark = pytest.mark.usefixtures("few_shards")

__all__ = ["copy", "made", "sound", "told"]


def swap(array: str, one: int, other: int):
    def change(file):
        values = file[array][:]
        values[[one, other]] = values[[other, one]]
        file[array][:] = values

    return change


def swap_chunks(array: str, one: int, other: int):
    def change(file):
        target = file[array].id
        places = [(row, *(0,) * (file[array].ndim - 1)) for row in (one, other)]
        first, second = (target.read_direct_chunk(place)[1] for place in places)
        target.write_direct_chunk(places[0], second)
        target.write_direct_chunk(places[1], first)

    return change


def both(*changes):
    def change(file):
        for one in changes:
            one(file)

    return change


def remove(path: str):
    return lambda file: file.__delitem__(path)


CHECKSUMS = "metadata/checksums"
DAMAGE = {
    "a table cell": (lambda f: f["parameters/params"].__setitem__((5, 1), 0.5), {1}),
    "a text": (lambda f: f["metadata/ic_types"].__setitem__(11, b"mixed!"), {2}),
    "cells of two rows": (lambda f: f["metadata/lyapunov"].__setitem__([0, 9], 1.0), {0, 2}),
    "a chunk for another": (swap_chunks("inputs/fields", 1, 2), {0}),
    "chunks of two shards exchanged": (swap_chunks("outputs/fields", 3, 8), {0, 2}),
    "rows of a table exchanged": (swap("metadata/operator_digests", 2, 6), {0, 1}),
    "a checksum of a chunk": (lambda f: f[f"{CHECKSUMS}/outputs/fields"].__setitem__((6, 0), 7), set()),
    "a checksum of a row": (lambda f: f[f"{CHECKSUMS}/rows"].__setitem__(6, 7), set()),
    "all checksums of chunks": (remove(f"{CHECKSUMS}/outputs/fields"), set()),
    "all checksums of rows": (remove(f"{CHECKSUMS}/rows"), set()),
    "an attribute": (lambda f: f["outputs/fields"].attrs.__setitem__("precision", b"float16"), set()),
    "an attribute less": (lambda f: f["metadata"].attrs.__delitem__("creation_date"), set()),
    "the plan": (lambda f: f["metadata"].attrs.__setitem__("plan_digest", b"0" * 64), set()),
    "the layout": (lambda f: f["metadata"].attrs.__setitem__("layout", b"{}"), set()),
    "the seal": (lambda f: f[CHECKSUMS].attrs.__setitem__("digest", b"0" * 64), set()),
    "an axis": (remove("channel"), set()),
    "an array more": (lambda f: f.__setitem__("inputs/more", np.zeros(3)), set()),
    "a link more": (lambda f: f.__setitem__("inputs/link", h5py.ExternalLink("/etc/passwd", "/")), set()),
    "a table less": (remove("metadata/dynamics"), {0, 1, 2}),
    "a field less": (remove("outputs/trajectories"), {0, 1, 2}),
    "the list of digests": (lambda f: f[CHECKSUMS].attrs.__delitem__("objects"), {0, 1, 2}),
    "where it was made": (lambda f: f["metadata"].attrs.__delitem__("provenance"), {0, 1, 2}),
    "a row and its checksum": (
        both(
            lambda f: f["metadata/lyapunov"].__setitem__(1, 9.0),
            lambda f: f[f"{CHECKSUMS}/rows"].__setitem__(1, 7),
        ),
        {0, 1, 2},
    ),
}
"""Edits, and the shards that hold damaged rows; all of them where nothing proves any row."""


QUICK = ("a table cell", "chunks of two shards exchanged", "a checksum of a chunk", "the plan", "a link more",
         "all checksums of rows", "a table less", "where it was made")  # fmt: skip


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in DAMAGE]
)
def test_exactly_the_damaged_shards_are_made_again(sound, copy, made, told, name):
    change, shards = DAMAGE[name]
    edited(copy, change)
    assert validate(copy).failures
    summary = repair(copy)
    assert set(made) == shards
    assert summary.made == ROWS_PER_SHARD * len(shards)
    assert tiny.differing(sound, copy) == []
    assert validate(copy).failures == []
    assert beside(copy) == []
    assert "is damaged" in told()
    for shard in shards:
        where = f"samples {4 * shard} to {4 * shard + 3} are" if len(shards) < 3 else "all samples are"
        assert f"{where} made again: " in told()


def test_a_flipped_bit_in_a_chunk(sound, copy, made, told):
    tiny.flip(copy, tiny.chunk_place(copy, "outputs/trajectories", 7))
    repair(copy)
    assert made == [1]
    assert tiny.differing(sound, copy) == []
    assert "samples 4 to 7 are made again: outputs/trajectories, row 7: chunk" in told()
    assert "2 of 3 shards are kept as they are" in told()


def test_a_file_that_hdf5_does_not_open_is_made_again_as_a_whole(sound, copy, made, told):
    zeroed(copy, 8, 64)
    repair(copy)
    assert sorted(made) == [0, 1, 2]
    assert tiny.differing(sound, copy) == []
    assert "all samples are made again: HDF5 does not open the file any more" in told()


def test_a_file_cut_short_behind_its_metadata_is_made_again(sound, copy, made):
    content = copy.read_bytes()
    copy.write_bytes(content[: len(content) - 100])
    repair(copy)
    assert sorted(made) == [0, 1, 2]
    assert tiny.differing(sound, copy) == []


def test_a_sound_dataset_is_left_alone(sound, copy, made, told):
    before = copy.read_bytes(), copy.stat().st_mtime_ns, copy.stat().st_ino
    summary = repair(copy)
    assert summary.seconds is None
    assert summary.made == 0
    assert made == []
    assert (copy.read_bytes(), copy.stat().st_mtime_ns, copy.stat().st_ino) == before
    assert "is sound: there is nothing to repair" in told()
    assert beside(copy) == []


def test_kept_shards_are_the_bytes_that_the_run_wrote(copy, tmp_path, monkeypatch, made):
    monkeypatch.setattr(RunDirectory, "remove", lambda _: None)
    undisturbed = tiny.generate(tmp_path / "b" / "b.h5", SMALL)
    assert sorted(made) == [0, 1, 2]
    tiny.flip(copy, tiny.chunk_place(copy, "outputs/fields", 5))
    repair(copy)
    assert made[3:] == [1]
    folders = [path.with_name(f"{path.name}.parts") / "shards" for path in (undisturbed, copy)]
    ours, theirs = ({p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders)
    assert len(ours) == 3
    assert ours == theirs


def test_rows_that_are_not_the_draws_of_their_index_are_made_again(sound, copy, made, told):
    """Every checksum of such a file is right: only the plan knows better."""
    forge(sound, copy, {9: entry("parameters/values/gain", lambda gain: gain / 2)})
    assert validate(copy).failures
    repair(copy)
    assert made == [2]
    assert tiny.differing(sound, copy) == []
    assert "samples 8 to 11 are made again: the file:, row 9" in told()


def test_the_command_repairs_and_messages_name_it(sound, copy, capsys):
    config = tiny.write_config(copy.with_name("c.yaml"), SMALL)
    words = ["generate", "--config", str(config), "--output", str(copy)]

    def run(*more: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end, tiny.unchecked_shapes():
            main([*words, *more])
        return end.value.code, capsys.readouterr().err

    edited(copy, lambda f: f["metadata"].attrs.__delitem__("creation_date"))
    code, said = run()
    assert code == 2
    assert "is a damaged dataset: " in said
    assert "--repair keeps what is sound of it and makes the rest again" in said
    (note,) = validate(copy).notes
    assert "`spinlock generate --repair`" in note
    code, said = run("--repair", "--dry-run")
    assert code == 2
    assert "`spinlock validate` lists" in said
    assert run("--repair")[0] == 0
    assert tiny.differing(sound, copy) == []
    code, said = run("--repair")
    assert code == 0
    assert "is sound: there is nothing to repair" in said
