"""What cannot be made is refused before anything is made, and everything that stands is left as it was."""

from pathlib import Path

import pytest

import tiny
from spinlock.dataset import DatasetGenerationPipeline, output
from spinlock.dataset.output import needed_bytes
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.execution.estimate import estimate
from spinlock.execution.plan import make_plan
from spinlock.storage import space


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(p): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def refused(config, error, match, **how):
    pipeline = DatasetGenerationPipeline(config, **how)
    with pytest.raises(error, match=match) as refusal:
        pipeline.generate()
    with pytest.raises(error, match=match):
        pipeline.dry_run()
    return refusal.value.exit_code


@pytest.mark.parametrize("free", [0, 1000])
def test_a_disk_that_is_too_small(tmp_path, monkeypatch, free):
    config = tiny.config_of(tmp_path / "below" / "a.h5", tiny.PLAIN)
    before = snapshot(tmp_path)
    monkeypatch.setattr(space, "free_space", lambda _: free)
    code = refused(config, StorageError, r"the disk is too small: .*a\.h5 needs .* are free")
    assert code == 1
    assert snapshot(tmp_path) == before


def test_a_disk_that_is_just_large_enough(tmp_path, monkeypatch):
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN)
    needed = needed_bytes(estimate(make_plan(config)).data_bytes)
    monkeypatch.setattr(space, "free_space", lambda _: needed - 1)
    with pytest.raises(StorageError, match="the disk is too small"):
        DatasetGenerationPipeline(config).generate()
    monkeypatch.setattr(space, "free_space", lambda _: needed)
    DatasetGenerationPipeline(config).generate()


def test_committed_work_needs_no_room_again(tmp_path, monkeypatch):
    from test_dataset.test_resume import interrupted

    interrupted(tmp_path / "a.h5")
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN))
    asked = []
    monkeypatch.setattr(output, "require_space", lambda path, needed: asked.append(needed))
    output.require_disk(plan, tmp_path / "a.h5")
    output.require_disk(plan, tmp_path / "b.h5")
    done = sum(path.stat().st_size for path in (tmp_path / "a.h5.parts" / "shards").iterdir())
    assert asked[0] == max(0, asked[1] - done)
    assert done > 0


def test_a_full_disk_in_the_middle_ends_the_run_and_loses_nothing(plain, tmp_path, monkeypatch):
    from spinlock.execution.executors import inline

    right = inline.run_shard

    def full(plan, shard, *words, **how):
        if shard == 2:
            raise StorageError("no space left on device")
        return right(plan, shard, *words, **how)

    monkeypatch.setattr(inline, "run_shard", full)
    with pytest.raises(StorageError, match="no space left on device"):
        tiny.generate(tmp_path / "a.h5", tiny.PLAIN)
    assert len(list((tmp_path / "a.h5.parts" / "receipts").iterdir())) == 2
    monkeypatch.undo()
    tiny.generate(tmp_path / "a.h5", tiny.PLAIN)
    assert tiny.differing(plain, tmp_path / "a.h5") == []


def test_a_path_below_a_file(tmp_path):
    (tmp_path / "file").write_text("a file")
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN)
    before = snapshot(tmp_path)
    for where, named in (
        (tmp_path / "file" / "x.h5", "file is not a folder"),
        (Path("/dev/null/x.h5"), "null"),
    ):
        there = config.model_copy(
            update={"dataset": config.dataset.model_copy(update={"output_path": str(where)})}
        )
        assert refused(there, UsageError, rf"output_path {where}: .*{named}.* choose another folder") == 2
    assert snapshot(tmp_path) == before


def test_a_path_that_is_a_folder(tmp_path):
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN)
    (tmp_path / "a.h5").mkdir()
    for force in (False, True):
        assert refused(config, UsageError, r"a\.h5 is a directory; give the name of a file", force=force) == 2


def test_a_run_directory_that_is_a_file(tmp_path):
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN)
    (tmp_path / "a.h5.parts").write_text("mine")
    with pytest.raises(UsageError, match=r"a\.h5\.parts cannot be made \(File exists\)"):
        DatasetGenerationPipeline(config).generate()
    assert (tmp_path / "a.h5.parts").read_text() == "mine"


@pytest.mark.parametrize("force", [False, True])
def test_a_sampling_below_the_bar_stops_before_computing(tmp_path, force):
    changes = {"sampling.total_samples": 40, "sampling.validation.on_failure": "stop",
               "sampling.validation.max_discrepancy_ratio": 1e-9}  # fmt: skip
    config = tiny.config_of(tmp_path / "below" / "a.h5", tiny.PLAIN, changes)
    before = snapshot(tmp_path)
    code = refused(
        config, SpinlockError, r"(?s)below the bar of sampling\.validation.*nothing was computed", force=force
    )
    assert code == 1
    assert snapshot(tmp_path) == before


def test_float16_on_a_cpu_is_refused_with_a_hint(tmp_path):
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"simulation.precision": "float16"})
    before = snapshot(tmp_path)
    assert refused(config, UsageError, r"simulation\.precision: float16 .*; use bfloat16, or a GPU") == 2
    assert snapshot(tmp_path) == before


def test_a_dry_run_makes_nothing_and_says_what_it_would(tmp_path):
    config = tiny.config_of(tmp_path / "a.h5", tiny.EVERYTHING)
    elsewhere = config.model_copy(
        update={"dataset": config.dataset.model_copy(update={"output_path": str(tmp_path / "new" / "x.h5")})}
    )
    before = snapshot(tmp_path)
    with tiny.unchecked_shapes():
        told = DatasetGenerationPipeline(elsewhere).dry_run()
    assert snapshot(tmp_path) == before
    plan = make_plan(config)
    assert told["samples"] == 12
    assert told["plan_digest"] == plan.digest
    assert told["parameters"] == list(plan.space.names)
    assert not told["complete"]
    assert 3 <= told["operators_built"] <= 32
    frames = 1 + 3 * (1 + 18)
    assert told["data_bytes"] == sum(frames * 2 * 4 * draw.grid_size**2 for draw in plan.draws(0, 12))
    assert told["disk_bytes"] >= 2 * told["data_bytes"]
    assert told["seconds"] > 0


def test_a_dry_run_knows_what_is_complete(plain, tmp_path):
    config = tiny.config_of(tmp_path / "c" / "a.h5", tiny.PLAIN)
    there = config.model_copy(
        update={"dataset": config.dataset.model_copy(update={"output_path": str(plain)})}
    )
    assert DatasetGenerationPipeline(there).dry_run()["complete"]
