"""An interrupted repair goes on by --repair alone; nothing is replaced that was not meant to be."""

import shutil
import signal
from pathlib import Path

import pytest

import tiny
from spinlock.cli import main
from spinlock.dataset import open_dataset
from spinlock.dataset import output as output_path
from spinlock.dataset.feature_work import FeatureWork
from spinlock.errors import InterruptedRunError, StorageError, UsageError
from spinlock.execution.executors import inline
from spinlock.storage import read_receipts
from test_dataset.feature_files import extract, left_over, same_features
from test_dataset.repairs import SMALL, beside, copy, made, repair, sound, stopped_at, told, zeroed

pytestmark = pytest.mark.usefixtures("few_shards")

__all__ = ["copy", "made", "sound", "told"]


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


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("force", "--force replaces all of it: give one of them"),
        ("fresh", "--fresh drops it: give one of them"),
    ],
)
def test_repair_contradicts_what_drops_work(copy, asked, said):
    damaged = copy.read_bytes()
    with pytest.raises(UsageError, match=said):
        repair(copy, **{asked: True})
    assert copy.read_bytes() == damaged
    assert beside(copy) == []


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


def generate(output: Path, settings=SMALL):
    return tiny.generate(output, settings)


def test_plain_generate_does_not_undo_an_interrupted_repair(sound, copy, made, capsys):
    for row in (1, 9):
        tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", row))
    with stopped_at(2), pytest.raises(InterruptedRunError):
        repair(copy)
    damaged, parts = copy.read_bytes(), copy.with_name("a.h5.parts")
    work = sorted(path.relative_to(parts) for path in parts.rglob("*"))
    config = tiny.write_config(copy.with_name("c.yaml"), SMALL)
    with pytest.raises(SystemExit) as end, tiny.unchecked_shapes():
        main(["generate", "--config", str(config), "--output", str(copy)])
    assert end.value.code == 1
    assert "a repair was interrupted, or is under way. Go on with it by --repair" in capsys.readouterr().err
    assert copy.read_bytes() == damaged
    assert sorted(path.relative_to(parts) for path in parts.rglob("*")) == work
    repair(copy)
    assert made == [0, 2]
    assert tiny.differing(sound, copy) == []
    generate(copy)
    assert made == [0, 2]


def test_work_of_a_repair_killed_at_its_end_is_removed_by_the_next_command(copy, monkeypatch, made):
    extract(copy)
    whole = Path(shutil.copy(copy, copy.with_name("whole.h5")))
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 1))
    with monkeypatch.context() as patch:
        patch.setattr(FeatureWork, "clear", lambda _: signal.raise_signal(signal.SIGINT))
        with pytest.raises(InterruptedRunError):
            repair(copy)
    assert beside(copy) == ["a.h5.features.parts", "a.h5.parts"]
    assert list(copy.parent.glob("a.h5.features.parts/part-*/dataset.h5"))
    before = copy.stat().st_mtime_ns
    generate(copy)
    assert copy.stat().st_mtime_ns == before
    assert beside(copy) == []
    assert same_features(whole, copy)
    assert made == [0]


def test_the_work_of_an_extraction_is_not_that_of_a_repair(copy):
    part = copy.with_name("a.h5.features.parts") / "part-0" / "0000000000-0000000001.npz"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"a part")
    copy.with_name("a.h5.parts").mkdir()
    generate(copy)
    assert beside(copy) == ["a.h5.features.parts"]
    assert part.read_bytes() == b"a part"


@pytest.mark.parametrize("mode", [0o640, 0o400])
def test_permissions_stay_as_they_were(sound, copy, mode, monkeypatch):
    """Read-only for everyone but this process, which is root's or told that it may write."""
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 1))
    copy.chmod(mode)
    monkeypatch.setattr(output_path.os, "access", lambda *_: True)
    repair(copy)
    assert copy.stat().st_mode & 0o777 == mode
    assert tiny.differing(sound, copy) == []


@pytest.mark.slow
def test_permissions_of_a_file_with_added_features_stay_too(copy):
    extract(copy, categories=["spatial"])
    tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 1))
    copy.chmod(0o640)
    repair(copy)
    assert copy.stat().st_mode & 0o777 == 0o640
    assert left_over(copy.parent) == []


def test_a_read_only_file_is_left_alone(copy, monkeypatch, told):
    right = output_path.os.access
    refused = lambda path, mode: mode != output_path.os.W_OK and right(path, mode)  # noqa: E731
    with monkeypatch.context() as patch:
        patch.setattr(output_path.os, "access", lambda p, m: refused(p, m) if p == copy else right(p, m))
        repair(copy)
        assert "is sound: there is nothing to repair" in told()
        tiny.flip(copy, tiny.chunk_place(copy, "inputs/fields", 1))
        damaged = copy.read_bytes()
        with pytest.raises(UsageError, match=r"a\.h5 is read-only; make it writable first"):
            repair(copy)
    assert copy.read_bytes() == damaged
    assert beside(copy) == []


def test_the_disk_must_hold_the_bare_copy_and_the_parts_of_added_features(copy, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(output_path, "require_space", lambda _path, needed: asked.append(needed))
    plain = Path(shutil.copy(copy, copy.with_name("b.h5")))
    extract(copy, categories=["spatial"])
    for path in (plain, copy):
        tiny.flip(path, tiny.chunk_place(path, "inputs/fields", 1))
        repair(path)
    with open_dataset(copy) as dataset:
        features = len(dataset) * dataset.layout.features.row_bytes(dataset.layout.realizations)
    without, with_features = asked
    assert with_features >= 1.5 * without + 2 * features
