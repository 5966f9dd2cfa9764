"""The profile of a run: every stage, its bytes, and seconds that fit into what the workers had."""

import itertools
import json

import pytest

import tiny
from spinlock.dataset import DatasetGenerationPipeline
from spinlock.execution import simulate, stages
from spinlock.execution.executors import inline
from spinlock.execution.plan import make_plan
from spinlock.storage import DatasetFile

CHANGES = {
    "simulation.num_timesteps": 4,
    "simulation.num_channels": 2,
    "features": {"during_generation": True, "categories": ["spatial"]},
}

ALL = ["planning", *stages.STAGES, "finalizing"]


def run(folder, changes=None):
    config = tiny.config_of(folder / "a.h5", tiny.PLAIN, CHANGES | (changes or {}))
    with tiny.unchecked_shapes():
        return DatasetGenerationPipeline(config).generate()


@pytest.fixture
def ticking(monkeypatch):
    """Let every look at the clock take one second."""
    ticks = itertools.count()
    monkeypatch.setattr(stages, "now", lambda: float(next(ticks)))


@pytest.mark.usefixtures("ticking")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_stages_fit_into_the_time_that_the_workers_had(tmp_path, workers):
    profile = run(tmp_path, {"simulation.parallelism.workers": workers}).profile
    assert [stage.stage for stage in profile.stages] == ALL
    assert all(stage.seconds > 0 for stage in profile.stages)
    assert (profile.executor, profile.workers) == ("inline", workers)
    held = workers * profile.worker_wall_seconds
    assert 0.3 * held <= profile.worker_seconds <= held
    driver = [stage.seconds for stage in profile.stages if stage.stage in ("planning", "finalizing")]
    assert sum(driver) + profile.worker_wall_seconds == profile.wall_seconds
    assert sum(stage.share for stage in profile.stages) == pytest.approx(1)
    seconds = {stage.stage: stage.seconds for stage in profile.stages}
    assert profile.worker_seconds == pytest.approx(sum(seconds[name] for name in stages.STAGES))


@pytest.mark.usefixtures("ticking")
def test_time_goes_to_the_stage_that_took_it(tmp_path, monkeypatch):
    """The control: a slow rollout is seen in the rollout and nowhere else; then most time is in a stage."""
    usual = {stage.stage: stage.seconds for stage in run(tmp_path / "usual").profile.stages}
    right = simulate.roll_out

    def slow(*words, **how):
        for _ in range(100):
            stages.now()
        return right(*words, **how)

    monkeypatch.setattr(simulate, "roll_out", slow)
    profile = run(tmp_path / "slow").profile
    slower = {stage.stage: stage.seconds for stage in profile.stages}
    assert {name: slower[name] - usual[name] for name in ALL if slower[name] != usual[name]} == {
        "rollout": 3 * 100
    }
    assert profile.worker_seconds >= 0.8 * profile.worker_wall_seconds


def test_bytes_are_those_of_the_arrays(tmp_path):
    summary = run(tmp_path)
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, CHANGES))
    moved = {stage.stage: (stage.bytes_in, stage.bytes_out) for stage in summary.profile.stages}
    samples, field = 3, 2 * 16 * 16 * 4
    assert moved["planning"] == (0, 0)
    assert moved["sampling"] == (0, samples * 2 * 8)
    assert moved["initial conditions"] == (0, samples * field)
    weights = moved["operators"][1]
    assert weights > samples * 4 * 9 * 32 * 32
    assert moved["rollout"] == (weights + samples * field, samples * 2 * (1 + 5) * field)
    assert moved["features"] == (samples * 2 * 5 * field, samples * plan.feature_bytes)
    assert moved["encoding"][0] == samples * (1 + 2) * field
    assert moved["writing"][0] == moved["encoding"][1] > 0
    assert moved["finalizing"] == (moved["writing"][1], summary.bytes)


def test_worker_processes_measure_the_same_stages(tmp_path):
    changes = {"simulation.parallelism": {"strategy": "process", "workers": 2}}
    one, two = run(tmp_path / "one").profile, run(tmp_path / "two", changes).profile
    assert (two.executor, two.workers) == ("process", 2)
    assert [stage.stage for stage in two.stages] == ALL
    for a, b in zip(one.stages[:-1], two.stages[:-1], strict=True):
        assert (a.stage, a.bytes_in, a.bytes_out) == (b.stage, b.bytes_in, b.bytes_out)


def test_a_resumed_run_counts_what_it_made_itself(tmp_path, monkeypatch):
    right = inline.run_shard

    def stopped(plan, shard, *words, **how):
        if shard == 1:
            raise KeyboardInterrupt
        return right(plan, shard, *words, **how)

    monkeypatch.setattr(inline, "run_shard", stopped)
    with pytest.raises(Exception, match="interrupted"):
        run(tmp_path)
    monkeypatch.undo()
    summary = run(tmp_path)
    moved = {stage.stage: stage.bytes_out for stage in summary.profile.stages}
    assert summary.made == 2
    assert moved["initial conditions"] == 2 * 2 * 16 * 16 * 4
    with DatasetFile(tmp_path / "a.h5") as file:
        assert list(json.loads(file.attributes["provenance"])["timings"]) == list(stages.STAGES)


def test_a_dataset_that_was_complete_has_no_profile(tmp_path):
    assert run(tmp_path).profile is not None
    again = run(tmp_path)
    assert again.profile is None
    assert again.seconds is None
