"""`generate --repair` makes exactly the damaged shards again, and ends with the undisturbed dataset."""

import json
import logging
import shutil
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

import tiny
from spinlock.cli import main
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.validate import validate
from spinlock.errors import InterruptedRunError, StorageError, UsageError
from spinlock.execution import plan
from spinlock.execution.executors import inline
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import read_receipts
from test_dataset.forgery import entry, forge

pytestmark = pytest.mark.usefixtures("few_shards")

ROWS_PER_SHARD = 4  # twelve samples in three shards

SMALL = tiny.changed(
    tiny.PLAIN,
    {
        "sampling.total_samples": 12,
        "parameter_space.architecture.normalization": {"type": "choice", "choices": ["none", "instance"]},
        "parameter_space.operator.grid_size.choices": [16, 24],
        "simulation.num_timesteps": 3,
        "dataset.storage": {"trajectories": "all"},
    },
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """An undisturbed dataset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "FEWEST_SHARDS", 3)
        return tiny.generate(tmp_path_factory.mktemp("sound") / "sound.h5", SMALL)


@pytest.fixture
def copy(sound, tmp_path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "a.h5"))


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """The shards that are computed."""
    shards: list[int] = []
    right = inline.run_shard

    def watched(plan, shard, *words, **how):
        shards.append(shard)
        return right(plan, shard, *words, **how)

    monkeypatch.setattr(inline, "run_shard", watched)
    return shards


@pytest.fixture
def told(caplog):
    """What was logged."""
    caplog.set_level(logging.INFO, "spinlock")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def repair(output: Path, settings=SMALL, changes=None, **how):
    config = tiny.config_of(output, settings, changes)
    with tiny.unchecked_shapes():
        return DatasetGenerationPipeline(config, repair=True, **how).generate()


def edited(path: Path, change) -> None:
    """Change a file through h5py, which knows nothing of checksums."""
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)


def zeroed(path: Path, low: int, high: int) -> None:
    content = bytearray(path.read_bytes())
    content[low:high] = bytes(high - low)
    path.write_bytes(content)


def beside(path: Path) -> list[str]:
    """What stands in the folder but the dataset and its configuration."""
    return sorted(one.name for one in path.parent.iterdir() if one.suffix not in (".h5", ".yaml"))


@contextmanager
def stopped_at(shard: int):
    """Press Ctrl-C as a shard begins."""
    with pytest.MonkeyPatch.context() as patch:
        right = inline.run_shard

        def stopping(plan, number, *words, **how):
            if number == shard:
                raise KeyboardInterrupt
            return right(plan, number, *words, **how)

        patch.setattr(inline, "run_shard", stopping)
        yield


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


def test_an_interrupted_repair_goes_on_and_the_damaged_file_stays_until_the_end(sound, copy, made):
    for row in (1, 9):
        tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", row))
    damaged = copy.read_bytes()
    with stopped_at(2), pytest.raises(InterruptedRunError):
        repair(copy)
    assert copy.read_bytes() == damaged
    parts = copy.with_name("a.h5.parts")
    with open_dataset(sound) as dataset:
        assert set(read_receipts(parts, dataset.attributes["plan_digest"], deep=True).valid) == {0, 1}
    assert made == [0]
    repair(copy)
    assert made == [0, 2]
    assert tiny.differing(sound, copy) == []
    assert beside(copy) == []


def test_another_dataset_is_never_replaced(copy, made):
    before = copy.read_bytes()
    for damage in (lambda: None, lambda: tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 0))):
        damage()
        with pytest.raises(UsageError, match=r"--repair replaces only the dataset of this configuration"):
            repair(copy, changes={"sampling.sobol.seed": 44})
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 0))
    assert copy.read_bytes() == before
    zeroed(copy, 8, 64)
    with pytest.raises(UsageError, match="another dataset, or too damaged to tell which it was"):
        repair(copy, changes={"sampling.sobol.seed": 44})
    for content in (b"", b"my letters", bytes(1000)):
        copy.write_bytes(content)
        with pytest.raises(UsageError, match="or replace it with --force; nothing was changed"):
            repair(copy)
        assert copy.read_bytes() == content
    assert made == []
    assert beside(copy) == []


def test_nothing_to_repair_is_said(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist: there is nothing to repair.*without --repair"):
        repair(tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_repair_and_force_contradict_each_other(copy):
    with pytest.raises(UsageError, match="--force replaces all of it: give one of them"):
        repair(copy, force=True)


def test_partial_work_goes_on_and_its_damaged_shards_are_made_again(sound, tmp_path, made):
    output = tmp_path / "a.h5"
    with stopped_at(2), pytest.raises(InterruptedRunError):
        tiny.generate(output, SMALL)
    shard = output.with_name("a.h5.parts") / "shards" / "part-000001.h5"
    tiny.flip(shard, tiny.chunk_place(shard, "outputs/fields", 1))
    made.clear()
    repair(output)
    assert made == [1, 2]
    assert tiny.differing(sound, output) == []


def test_a_file_replaced_in_the_meantime_is_not_touched(sound, copy, monkeypatch):
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 0))
    right = inline.run_shard

    def replacing(*words, **how):
        copy.unlink()
        copy.write_bytes(b"mine")
        return right(*words, **how)

    monkeypatch.setattr(inline, "run_shard", replacing)
    with pytest.raises(StorageError, match="was replaced while it was being repaired; nothing was changed"):
        repair(copy)
    assert copy.read_bytes() == b"mine"


def elsewhere(path: Path, *environments: dict[str, str]) -> None:
    """Let a file say that it was made on other machines."""
    with open_dataset(path) as dataset:
        provenance = json.loads(dataset.attributes["provenance"])
    here = provenance["environments"][0]
    provenance["environments"] = [here | changes for changes in environments]
    edited(path, lambda f: f["metadata"].attrs.__setitem__("provenance", np.bytes_(json.dumps(provenance))))


def test_rows_made_elsewhere_are_mixed_with_new_ones_only_if_asked(sound, copy, made):
    elsewhere(copy, {"instruction_set": "AVX9"})
    damaged = copy.read_bytes()
    with open_dataset(sound) as dataset:
        (here,) = json.loads(dataset.attributes["provenance"])["environments"]
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 0))
    with pytest.raises(
        UsageError, match=r"would mix environments.*AVX9.*make all of it again here with --force"
    ):
        repair(copy)
    assert made == []
    assert not list(copy.parent.glob("*.parts/shards/*"))
    repair(copy, allow_mixed=True)
    assert made == [0]
    with open_dataset(copy) as dataset:
        known = json.loads(dataset.attributes["provenance"])["environments"]
    assert known == sorted([here, here | {"instruction_set": "AVX9"}], key=lambda one: sorted(one.items()))
    assert tiny.differing(sound, copy) == []
    assert damaged != copy.read_bytes()


def test_damage_outside_all_rows_mixes_nothing(sound, copy, made):
    elsewhere(copy, {"instruction_set": "AVX9"})
    repair(copy)
    assert made == []
    assert tiny.differing(sound, copy) == []
    assert validate(copy).failures == []


def test_a_dataset_that_mixed_machines_says_so_afterwards(sound, copy, made):
    elsewhere(copy, {"instruction_set": "AVX9"}, {"instruction_set": "AVX8"})
    repair(copy)
    with open_dataset(copy) as dataset:
        (known,) = json.loads(dataset.attributes["provenance"])["environments"]
        assert not dataset.same_environment
    assert known["instruction_set"] == "AVX8 and AVX9"


def test_rows_of_an_unknown_place_are_kept_only_if_asked(sound, copy, made):
    edited(copy, lambda f: f["metadata"].attrs.__delitem__("provenance"))
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 6))
    repair(copy, allow_mixed=True)
    assert made == [1]
    assert tiny.differing(sound, copy) == []
    with open_dataset(copy) as dataset:
        environments = json.loads(dataset.attributes["provenance"])["environments"]
    assert {"unknown"} in [set(one.values()) for one in environments]


def test_what_the_samples_took_is_kept_with_them(copy):
    with open_dataset(copy) as dataset:
        before = json.loads(dataset.attributes["provenance"])["timings"]
    edited(copy, lambda f: f["metadata"].attrs.__delitem__("creation_date"))
    repair(copy)
    with open_dataset(copy) as dataset:
        after = json.loads(dataset.attributes["provenance"])["timings"]
    assert after.keys() == before.keys()
    assert all(abs(after[stage] - before[stage]) <= 0.002 for stage in before)


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
    assert "keep what is sound of a damaged one with --repair" in said
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
