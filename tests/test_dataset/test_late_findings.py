"""What a run finds late: a dataset that appeared meanwhile, a shard that changed, an attempt that failed."""

import logging
from pathlib import Path

import pytest

import spinlock.dataset.generate as pipeline
from spinlock.config.load import validated
from spinlock.config.yaml_source import parse_source
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.errors import InterruptedRunError, UsageError
from spinlock.execution.executors.outcome import Attempts, Quarantined

TEXT = """
version: "1.0"
parameter_space: {operator: {grid_size: {type: choice, choices: [16, 20]}}}
sampling: {total_samples: 6, sobol: {seed: SEED}}
simulation:
  device: cpu
  num_realizations: 2
  parallelism: {workers: 1}
  input_generation: {method: localized}
dataset: {output_path: PATH}
"""


def pipeline_of(path: Path, seed: int = 1) -> DatasetGenerationPipeline:
    text = TEXT.replace("PATH", str(path)).replace("SEED", str(seed))
    return DatasetGenerationPipeline(validated(parse_source(text, "inline")))


def test_a_dataset_that_appears_before_the_lock_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.h5"
    measure = pipeline.sampling_report

    def slow(plan):
        monkeypatch.setattr(pipeline, "sampling_report", measure)
        pipeline_of(path, seed=2).generate()
        return measure(plan)

    monkeypatch.setattr(pipeline, "sampling_report", slow)
    with pytest.raises(UsageError, match="another dataset"):
        pipeline_of(path, seed=1).generate()
    with open_dataset(path) as dataset:
        assert dataset.config.sampling.sobol.seed == 2


def test_a_shard_that_changed_is_made_again_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, whole = tmp_path / "x.h5", tmp_path / "whole.h5"
    pipeline_of(whole).generate()

    class Stop:
        def __init__(self, after: int) -> None:
            self.left = after

        def begin(self, total: int, done: int) -> None:
            pass

        def stage(self, what: str) -> None:
            pass

        def advance(self) -> None:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        pipeline_of(path).generate(Stop(4))
    shard = min((tmp_path / "x.h5.parts" / "shards").glob("*.h5"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with caplog.at_level(logging.INFO, logger="spinlock"):
        summary = pipeline_of(path).generate()
    assert "changed since it was committed" in caplog.text
    assert 0 < summary.made < 6 + 1
    with open_dataset(path) as one, open_dataset(whole) as other:
        for row, expected in zip(one, other, strict=True):
            assert row.inputs.tobytes() == expected.inputs.tobytes()
            assert row.outputs.tobytes() == expected.outputs.tobytes()


def test_every_failed_attempt_is_told(caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts()
    with caplog.at_level(logging.WARNING, logger="spinlock"):
        assert attempts.failed(4, "its worker was killed by SIGKILL") is None
        assert attempts.failed(4, "its worker was killed by SIGKILL") is None
        assert attempts.failed(4, "its worker was killed by SIGKILL") == Quarantined(
            4, "its worker was killed by SIGKILL"
        )
    assert [record.getMessage() for record in caplog.records] == [
        "warning: shard 4 failed (its worker was killed by SIGKILL) and is tried again"
    ] * 2


def test_a_name_too_long_for_its_temporary_file_is_refused_before_anything_is_computed(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match="too long"):
        pipeline_of(tmp_path / ("a" * 240 + ".h5")).generate()
    assert not list(tmp_path.iterdir())


def test_a_link_stands_for_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "x.h5"
    link.symlink_to(tmp_path / "far" / "data.h5")
    pipeline_of(link).generate()
    assert link.is_symlink()
    assert (tmp_path / "far" / "data.h5").is_file()
