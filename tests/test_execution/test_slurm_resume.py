"""Arrays of a driver that was killed: taken over, or ended; and nobody sweeps up what their tasks write."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace

import pytest

import slurm_stand_in
import tiny
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.execution.executors import slurm_array, slurm_end
from spinlock.execution.executors.choice import execute
from spinlock.execution.executors.outcome import Outcome
from spinlock.execution.executors.slurm_files import standing_records
from spinlock.execution.plan import make_plan
from spinlock.execution.run_directory import RunDirectory
from test_execution.slurm_stubs import Stub

HELD = "while not (stub / 'go').exists():\n    time.sleep(0.01)"


@pytest.fixture
def cluster(tmp_path):
    with slurm_stand_in.slurm(tmp_path / "cluster") as found:
        yield found


@pytest.fixture
def stub(tmp_path, monkeypatch, cluster):
    return lambda body=HELD, **how: Stub(tmp_path, monkeypatch, cluster, body, **how)


def killed(made: Stub, shards: Sequence[int] = range(6), done: int = 0) -> None:
    """Run until the tasks are at work, and go as a driver that is killed goes: it cancels nothing."""

    def enough(_look: int) -> None:
        if made.cluster.running() and len(made.receipts()) >= done:
            raise InterruptedError

    with pytest.MonkeyPatch.context() as patch:
        made.before_look(patch, enough)
        patch.setattr(slurm_array._Run, "leave", lambda _run: None)
        with pytest.raises(InterruptedError):
            list(execute("slurm", made.job, shards, made.row))
    assert len(standing_records(made.job.directory)) == 1


def go_on(made: Stub, monkeypatch: pytest.MonkeyPatch, shards: Sequence[int] = range(6)) -> list[Outcome]:
    """Run again, and let the tasks go on once the driver has found them at work."""
    made.before_look(monkeypatch, lambda look: (made.folder / "go").touch() if look > 1 else None)
    return made.outcomes(shards)


def test_an_array_that_is_still_there_is_taken_over(stub, cluster, monkeypatch, caplog):
    caplog.set_level("INFO", "spinlock")
    made = stub()
    killed(made)
    assert [outcome.shard for outcome in go_on(made, monkeypatch)] == list(range(6))
    assert len(cluster.jobs()) == 1
    assert [made.tries(shard) for shard in range(6)] == [1] * 6
    assert "array job 1 of an earlier run is still there" in caplog.text
    assert made.records() == []


def test_so_is_one_whose_number_nobody_wrote_down(stub, cluster, monkeypatch):
    made = stub()
    killed(made)
    (record,) = standing_records(made.job.directory)
    assert record.submitted("").job == ""  # the driver died between sbatch and its answer
    assert len(go_on(made, monkeypatch)) == 6
    assert len(cluster.jobs()) == 1


def test_rows_that_were_told_before_are_not_counted_again(stub, cluster, monkeypatch):
    made = stub("if shard >= 2:\n    " + HELD.replace("\n", "\n    "))
    killed(made, done=2)
    made.rows = 0
    left = [shard for shard in range(6) if shard not in made.receipts()]
    go_on(made, monkeypatch, left)
    assert made.rows <= len(left)


def test_an_array_that_went_meanwhile_is_replaced(stub, cluster, monkeypatch):
    made = stub()
    killed(made)
    subprocess.run([cluster.commands / "scancel", "1"], check=True)
    cluster.wait(cluster.over, "the end")
    assert [outcome.shard for outcome in go_on(made, monkeypatch)] == list(range(6))
    assert len(cluster.jobs()) == 2


def test_what_the_array_does_not_compute_is_submitted_beside_it(stub, cluster, monkeypatch):
    made = stub()
    killed(made, [0, 1, 2])
    assert [outcome.shard for outcome in go_on(made, monkeypatch)] == list(range(6))
    assert len(cluster.jobs()) == 2
    assert [made.tries(shard) for shard in range(6)] == [1] * 6


def test_an_array_with_other_options_is_cancelled(stub, cluster, monkeypatch, tmp_path):
    made = stub()
    killed(made)
    config = made.job.plan.config.model_dump(mode="json")
    changed = tiny.config_of(
        tmp_path / "b.h5", config, {"simulation.parallelism.slurm.options": {"time": 90}}
    )
    made.job = replace(made.job, plan=make_plan(changed))
    assert len(go_on(made, monkeypatch)) == 6
    first, second = cluster.jobs()
    assert second["directives"]["time"] == "90"
    assert {cluster.states()[first["number"], task]["state"] for task in range(2)} == {"CANCELLED"}


def test_temporary_files_of_tasks_at_work_are_left_alone(stub, cluster, monkeypatch, tmp_path):
    made = stub()
    killed(made)
    shards = made.job.directory / "shards"
    in_use = shards / f"part-000000.h5.tmp-{'a' * 32}"
    in_use.touch()
    plan = made.job.plan
    with RunDirectory(tmp_path / "a.h5", plan):
        assert in_use.exists()
    assert in_use.exists()
    with RunDirectory(tmp_path / "a.h5", plan):
        assert len(go_on(made, monkeypatch)) == 6
    assert not in_use.exists()


@pytest.mark.parametrize("how", ["another executor", "fresh", "complete"])
def test_whoever_does_not_take_an_array_over_ends_it(stub, cluster, monkeypatch, tmp_path, how):
    made = stub()
    killed(made)
    strategy = "inline" if how == "another executor" else "slurm"
    config = made.job.plan.config.model_dump(mode="json")
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", config, {"simulation.parallelism.strategy": strategy}))
    with RunDirectory(tmp_path / "a.h5", plan, fresh=how == "fresh") as run:
        if how == "complete":
            run.remove()
        assert cluster.over()
        assert standing_records(made.job.directory) == []
    assert {state["state"] for state in cluster.states().values()} <= {"CANCELLED", "COMPLETED"}
    assert made.receipts() == []
    assert made.job.directory.exists() == (how != "complete")


def test_a_run_of_another_plan_ends_nothing(stub, cluster, tmp_path):
    made = stub()
    with RunDirectory(tmp_path / "a.h5", made.job.plan):
        pass
    killed(made)
    other = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"sampling.total_samples": 9}))
    with (
        pytest.raises(UsageError, match="partial work of another plan"),
        RunDirectory(tmp_path / "a.h5", other),
    ):
        pass
    assert cluster.running()
    assert len(standing_records(made.job.directory)) == 1


def test_where_slurm_is_not_at_hand_its_arrays_are_named(stub, cluster, monkeypatch, tmp_path):
    made = stub()
    killed(made)
    inline = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"sampling.total_samples": 6}))
    assert inline.digest == made.job.plan.digest
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(UsageError, match=r"may be at work in .*a\.h5\.parts.*delete"),
        RunDirectory(tmp_path / "a.h5", inline),
    ):
        pass
    assert len(standing_records(made.job.directory)) == 1


def test_tasks_that_do_not_leave_keep_others_out(stub, cluster, monkeypatch, tmp_path):
    made = stub("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    time.sleep(0.01)")
    killed(made)
    monkeypatch.setattr(slurm_end, "LEAVING_SECONDS", 0.1)
    inline = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"sampling.total_samples": 6}))
    with pytest.raises(StorageError, match="still at work in"), RunDirectory(tmp_path / "a.h5", inline):
        pass


def test_nodes_agree_anew_unless_an_array_goes_on(stub, monkeypatch):
    made = stub()
    killed(made)
    agreement = made.job.directory / "slurm" / "environment.json"
    agreement.write_text("[]")
    assert len(go_on(made, monkeypatch)) == 6
    assert agreement.exists()
    made.outcomes([])
    assert not agreement.exists()


def test_where_squeue_does_not_answer_nothing_is_submitted(stub, cluster):
    made = stub()
    killed(made)
    cluster.fault("squeue-fails")
    with pytest.raises(SpinlockError, match=r"nobody knows whether the job .* is still there"):
        made.outcomes()
    assert len(cluster.jobs()) == 1
    assert len(standing_records(made.job.directory)) == 1
