"""Nothing is lost: a run that was stopped goes on, and what stands at the output path is complete."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.progress import Silent
from spinlock.errors import InterruptedRunError, SpinlockError, StorageError, UsageError
from spinlock.execution.plan import make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import finalize, read_receipts


class CtrlC(Silent):
    """Presses Ctrl-C after some samples."""

    def __init__(self, after: int) -> None:
        self.after = after

    def advance(self) -> None:
        self.after -= 1
        if self.after == 0:
            signal.raise_signal(signal.SIGINT)


def interrupted(output: Path, settings=tiny.PLAIN, changes=None, after: int = 2) -> Path:
    """Start a dataset, press Ctrl-C, and return its run directory."""
    config = tiny.config_of(output, settings, changes)
    with (
        tiny.unchecked_shapes(),
        pytest.raises(InterruptedRunError, match="Run the same command again to go on"),
    ):
        DatasetGenerationPipeline(config).generate(CtrlC(after))
    parts = output.with_name(f"{output.name}.parts")
    assert not output.exists()
    assert tiny.temporaries(output.parent) == []
    return parts


def receipts(parts: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (parts / "receipts").iterdir()}


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_ctrl_c_and_going_on_give_the_bytes_of_an_undisturbed_run(everything, tmp_path, workers):
    output = tmp_path / "a.h5"
    changes = {"simulation.parallelism.workers": workers}
    parts = interrupted(output, tiny.EVERYTHING, changes, after=3)
    before = receipts(parts)
    assert 1 <= len(before) < 12
    finished = read_receipts(parts, make_plan(tiny.config_of(output, tiny.EVERYTHING)).digest, deep=True)
    assert len(finished.valid) == len(before)
    made = {path: path.stat().st_mtime_ns for path in (parts / "shards").iterdir()}
    again = interrupted(output, tiny.EVERYTHING, {"sampling.batch_size": 1}, after=2)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert before.items() < receipts(again).items()
    tiny.generate(output, tiny.EVERYTHING, {"metadata.description": "told anew", "sampling.batch_size": 3})
    assert tiny.differing(everything, output) == []
    assert not parts.exists()


def test_ctrl_c_while_finalizing_leaves_nothing_half_written(plain, tmp_path, monkeypatch):
    def stopped(path, layout, shards, attributes, **facts):
        def checkpoint(step):
            if step == "fsync":
                signal.raise_signal(signal.SIGINT)

        return finalize(path, layout, shards, attributes, checkpoint, **facts)

    output = tmp_path / "a.h5"
    monkeypatch.setattr("spinlock.dataset.generate.finalize", stopped)
    parts = interrupted(output, after=99)
    assert len(receipts(parts)) == 3
    monkeypatch.undo()
    tiny.generate(output, tiny.PLAIN)
    assert tiny.differing(plain, output) == []


def test_a_run_that_ended_between_the_file_and_the_sweep_is_swept(plain, tmp_path, monkeypatch):
    output = tmp_path / "a.h5"
    monkeypatch.setattr(RunDirectory, "remove", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(InterruptedRunError):
        tiny.generate(output, tiny.PLAIN)
    monkeypatch.undo()
    made = output.stat().st_mtime_ns
    assert output.with_name("a.h5.parts").is_dir()
    tiny.generate(output, tiny.PLAIN)
    assert output.stat().st_mtime_ns == made
    assert not output.with_name("a.h5.parts").exists()
    assert tiny.differing(plain, output) == []


def test_a_complete_dataset_of_the_same_plan_is_not_made_again(tmp_path):
    output = tiny.generate(tmp_path / "a.h5", tiny.PLAIN)
    before = output.read_bytes(), output.stat().st_mtime_ns
    config = tiny.config_of(output, tiny.PLAIN, {"simulation.parallelism.workers": 2})
    summary = DatasetGenerationPipeline(config).generate()
    assert summary.seconds is None
    assert (output.read_bytes(), output.stat().st_mtime_ns) == before
    with pytest.raises(UsageError, match=r"is complete; --fresh drops partial work only, --force replaces"):
        DatasetGenerationPipeline(config, fresh=True).generate()
    assert DatasetGenerationPipeline(config, force=True).generate().seconds is not None
    assert output.stat().st_mtime_ns != before[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling.total_samples": 4},
        {"sampling.sobol.seed": 1},
        {"dataset.storage.compression": "gzip"},
        {"parameter_space.architecture.gain.bounds": [0.7, 1.3]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_partial_work_of_another_plan_is_refused_and_dropped_only_when_asked(tmp_path, changes):
    output = tmp_path / "a.h5"
    parts = interrupted(output)
    before = receipts(parts)
    with pytest.raises(UsageError, match=r"a\.h5\.parts holds partial work of another plan .* --fresh"):
        tiny.generate(output, tiny.PLAIN, changes)
    assert receipts(parts) == before
    tiny.generate(output, tiny.PLAIN, changes, fresh=True)
    with open_dataset(output) as dataset:
        assert dataset.plan.digest != json.loads(next(iter(before.values())))["plan_digest"]


def test_fresh_makes_everything_again(tmp_path, plain):
    output = tmp_path / "a.h5"
    parts = interrupted(output)
    edited = replace(read_receipts(parts, digest_of(output)).valid[0], attempt=9)
    (parts / "receipts" / "part-000000.json").write_text(edited.to_json())
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spinlock.dataset.joining.file_attributes", spying(seen))
        tiny.generate(output, tiny.PLAIN, fresh=True)
    assert [r.attempt for r in seen] == [1, 1, 1]
    assert tiny.differing(plain, output) == []


def test_without_fresh_the_receipts_are_believed(tmp_path):
    output = tmp_path / "a.h5"
    parts = interrupted(output)
    edited = replace(read_receipts(parts, digest_of(output)).valid[0], attempt=9)
    (parts / "receipts" / "part-000000.json").write_text(edited.to_json())
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spinlock.dataset.joining.file_attributes", spying(seen))
        tiny.generate(output, tiny.PLAIN)
    assert [r.attempt for r in seen] == [9, 1, 1]


def digest_of(output: Path) -> str:
    return make_plan(tiny.config_of(output, tiny.PLAIN)).digest


def spying(seen: list):
    from spinlock.dataset.provenance import file_attributes

    def spy(plan, sampling, receipts, executor, workers):
        seen.extend(receipts)
        return file_attributes(plan, sampling, receipts, executor, workers)

    return spy


@pytest.mark.parametrize("damage", ["cut", "removed", "flipped receipt", "foreign name"])
def test_a_shard_that_does_not_stand_is_made_again(plain, tmp_path, damage, caplog):
    caplog.set_level("INFO", logger="spinlock")
    output = tmp_path / "a.h5"
    parts = interrupted(output, after=3)
    shard, receipt = parts / "shards" / "part-000000.h5", parts / "receipts" / "part-000000.json"
    if damage == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif damage == "removed":
        shard.unlink()
    elif damage == "flipped receipt":
        receipt.write_text(receipt.read_text().replace('"hi": 1', '"hi": 2'))
    else:
        receipt.rename(receipt.with_name("part-000002.json"))
    tiny.generate(output, tiny.PLAIN)
    assert "does not count" in caplog.text
    assert tiny.differing(plain, output) == []


def test_a_flipped_bit_in_a_shard_is_found_named_and_mended(plain, tmp_path, caplog):
    caplog.set_level("INFO", logger="spinlock")
    output = tmp_path / "a.h5"
    parts = interrupted(output)
    shard = parts / "shards" / "part-000000.h5"
    tiny.flip(shard, tiny.chunk_place(shard, "outputs/fields", 0))
    tiny.generate(output, tiny.PLAIN)
    assert "part-000000.h5 changed since it was committed" in caplog.text
    assert tiny.differing(plain, output) == []


def test_a_bit_that_flips_while_finalizing_is_found_and_named(plain, tmp_path, monkeypatch):
    def flipped(path, layout, shards, attributes, **facts):
        tiny.flip(shards[0].path, tiny.chunk_place(shards[0].path, "outputs/fields", 0))
        return finalize(path, layout, shards, attributes, **facts)

    output = tmp_path / "a.h5"
    monkeypatch.setattr("spinlock.dataset.generate.finalize", flipped)
    named = r"part-000000\.h5: a chunk of outputs/fields, row 0 .*: delete the shard and run the same command"
    with pytest.raises(StorageError, match=named):
        tiny.generate(output, tiny.PLAIN)
    assert not output.exists()
    assert tiny.temporaries(tmp_path) == []
    monkeypatch.undo()
    tiny.generate(output, tiny.PLAIN)
    assert tiny.differing(plain, output) == []


def test_an_unreadable_plan_file_is_named(tmp_path):
    output = tmp_path / "a.h5"
    parts = interrupted(output)
    (parts / "plan.json").write_text("{")
    with pytest.raises(UsageError, match=r"plan\.json cannot be read; run with --fresh"):
        tiny.generate(output, tiny.PLAIN)


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("another plan", "is another dataset: 3 samples of the plan"),
        ("no dataset", "is no Spinlock dataset that can be read: it is not an HDF5 file"),
        ("a shard", "is no whole dataset: it has 1 sample but no configuration"),
    ],
)
def test_what_stands_at_the_path_is_replaced_only_when_asked_and_only_when_done(tmp_path, what, told):
    output = tmp_path / "a.h5"
    if what == "another plan":
        tiny.generate(output, tiny.PLAIN, {"sampling.sobol.seed": 1})
    elif what == "a shard":
        parts = interrupted(tmp_path / "other.h5")
        output.write_bytes((parts / "shards" / "part-000000.h5").read_bytes())
    else:
        output.write_text("a diary")
    before = output.read_bytes()
    with pytest.raises(UsageError, match=rf"a\.h5 exists and {told}.* --force; nothing was changed"):
        tiny.generate(output, tiny.PLAIN)
    config = tiny.config_of(output, tiny.PLAIN)
    with pytest.raises(InterruptedRunError):
        DatasetGenerationPipeline(config, force=True).generate(CtrlC(2))
    assert output.read_bytes() == before
    DatasetGenerationPipeline(config, force=True).generate()
    with open_dataset(output) as dataset:
        assert dataset.config == config


def test_a_second_run_at_the_same_path_is_refused(tmp_path):
    output = tmp_path / "a.h5"
    with RunDirectory(output, make_plan(tiny.config_of(output, tiny.PLAIN))):
        with pytest.raises(StorageError, match=r"another process \(pid \d+\) is working in .*a\.h5\.parts"):
            tiny.generate(output, tiny.PLAIN)
        with pytest.raises(StorageError, match="another process"):
            tiny.generate(output, tiny.PLAIN, fresh=True)
    tiny.generate(output, tiny.PLAIN)


def test_files_of_others_in_the_run_directory_survive(tmp_path):
    output = tmp_path / "a.h5"
    mine = tmp_path / "a.h5.parts" / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    tiny.generate(output, tiny.PLAIN)
    tiny.generate(output, tiny.PLAIN, {"sampling.sobol.seed": 1}, force=True, fresh=True)
    assert [path.name for path in mine.parent.iterdir()] == ["notes.txt"]
    assert mine.read_text() == "mine"


def test_work_of_a_killed_writer_is_swept(plain, tmp_path):
    output = tmp_path / "a.h5"
    parts = interrupted(output)
    left = [
        parts / "shards" / f"part-000001.h5.tmp-{'a' * 32}",
        parts / "receipts" / f"part-000001.json.tmp-{'b' * 32}",
        tmp_path / f"a.h5.tmp-{'c' * 32}",
    ]
    kept = tmp_path / f"b.h5.tmp-{'d' * 32}"
    for path in (*left, kept):
        path.write_text("half")
    tiny.generate(output, tiny.PLAIN)
    assert tiny.temporaries(tmp_path) == [str(kept)]
    assert tiny.differing(plain, output) == []


class Environment:
    """Makes receipts that say they come from another machine."""

    def __init__(self, parts: Path, digest: str) -> None:
        for receipt in read_receipts(parts, digest).valid.values():
            elsewhere = {**receipt.environment, "instruction_set": "AVX9"}
            path = parts / "receipts" / f"part-{receipt.shard:06d}.json"
            path.write_text(replace(receipt, environment=elsewhere).to_json())


def test_environments_are_mixed_only_when_asked(tmp_path):
    output = tmp_path / "a.h5"
    parts = interrupted(output)
    Environment(parts, digest_of(output))
    before = receipts(parts)
    with pytest.raises(
        UsageError, match=r"would mix environments.*instruction_set: AVX.* and AVX9.*--allow-mixed"
    ):
        tiny.generate(output, tiny.PLAIN)
    assert receipts(parts) == before
    tiny.generate(output, tiny.PLAIN, allow_mixed=True)
    with open_dataset(output) as dataset:
        environments = json.loads(dataset.attributes["provenance"])["environments"]
        assert {e["instruction_set"] for e in environments} >= {"AVX9"}
        assert len(environments) == 2
        assert not dataset.same_environment


def test_a_resume_in_the_same_environment_is_no_mixing(tmp_path):
    output = tmp_path / "a.h5"
    interrupted(output)
    tiny.generate(output, tiny.PLAIN)
    with open_dataset(output) as dataset:
        assert dataset.same_environment


def test_errors_are_of_the_class_that_gives_their_exit_code():
    assert [e.exit_code for e in (SpinlockError, StorageError, UsageError, InterruptedRunError)] == [
        1,
        1,
        2,
        130,
    ]
