"""The executor slurm: what is submitted, and submitted again, and how runs end; tasks are without torch."""

import signal
import subprocess

import pytest
import torch

import slurm_stand_in
import tiny
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.execution.executors import slurm_array, slurm_watch
from spinlock.execution.executors.choice import choose, execute
from spinlock.execution.executors.outcome import Quarantined
from spinlock.execution.plan import make_plan
from spinlock.storage import Receipt
from test_execution.slurm_stubs import Stub


@pytest.fixture
def cluster(tmp_path):
    with slurm_stand_in.slurm(tmp_path / "cluster") as found:
        yield found


@pytest.fixture
def stub(tmp_path, monkeypatch, cluster):
    return lambda body="pass", **how: Stub(tmp_path, monkeypatch, cluster, body, **how)


def shards_of(outcomes) -> list[int]:
    outcomes = list(outcomes)
    assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes
    return [outcome.shard for outcome in outcomes]


def test_every_shard_is_computed_by_the_tasks_of_one_array(stub, cluster):
    made = stub(tasks=4)
    assert shards_of(made.outcomes()) == list(range(6))
    (job,) = cluster.jobs()
    assert job["tasks"] == 4
    assert [made.tries(shard) for shard in range(6)] == [1] * 6
    assert made.rows == 6
    assert made.workers == [4]
    assert made.records() == []


def test_missing_shards_alone_are_submitted(stub, cluster):
    made = stub(tasks=8)
    assert shards_of(made.outcomes([1, 4])) == [1, 4]
    assert [job["tasks"] for job in cluster.jobs()] == [2]
    assert made.receipts() == [1, 4]


def test_no_shards_are_no_job(stub, cluster):
    assert stub().outcomes([]) == []
    assert cluster.jobs() == []


def test_a_receipt_that_does_not_count_is_made_again(stub):
    made = stub()
    made.outcomes([2])
    (made.job.directory / "shards" / "part-000002.h5").write_bytes(b"SHARD 2")
    assert shards_of(made.outcomes([2])) == [2]
    assert made.tries(2) == 2


def test_what_a_killed_task_left_undone_is_submitted_again(stub, cluster):
    made = stub("if shard == 2 and tried == 1:\n    os.kill(os.getpid(), signal.SIGKILL)", tasks=1)
    assert shards_of(made.outcomes()) == list(range(6))
    assert [job["tasks"] for job in cluster.jobs()] == [1, 1]
    assert [made.tries(shard) for shard in range(6)] == [1, 1, 2, 1, 1, 1]
    assert made.rows == 6


def test_the_next_attempt_knows_of_those_before(stub):
    body = """
(stub / f"failures-{shard}-{tried}").write_text(json.dumps(made["failures"].get(str(shard), 0)))
if shard == 2 and tried < 3:
    os.kill(os.getpid(), signal.SIGKILL)"""
    made = stub(body, tasks=1)
    made.outcomes()
    assert [int((made.folder / f"failures-2-{tried}").read_text()) for tried in (1, 2, 3)] == [0, 1, 2]
    assert (made.folder / "failures-3-1").read_text() == "0"


def test_a_shard_that_kills_its_task_three_times_is_quarantined_and_the_rest_goes_on(stub, caplog):
    made = stub("if shard == 2:\n    os.kill(os.getpid(), signal.SIGKILL)", tasks=2)
    found = made.outcomes()
    assert isinstance(found[2], Quarantined)
    assert "its task ended (FAILED): array task 3_0" in found[2].reason
    assert shards_of(found[:2] + found[3:]) == [0, 1, 3, 4, 5]
    assert made.tries(2) == 3
    assert [made.tries(shard) for shard in (0, 1, 3, 4, 5)] == [1] * 5
    assert caplog.text.count("shard 2 failed") == 2


def test_a_task_that_a_node_kills_three_times_loses_only_what_it_had_begun(stub, cluster):
    body = "if tried == 1 and shard % 2 == 1:\n    os.kill(os.getpid(), signal.SIGKILL)"
    made = stub(body, tasks=1)
    assert shards_of(made.outcomes()) == list(range(6))
    assert len(cluster.jobs()) == 4  # as many lives as shards that died with their task, and one more
    assert [made.tries(shard) for shard in range(6)] == [1, 2, 1, 2, 1, 2]


@pytest.mark.parametrize(
    ("state", "number", "said"),
    [
        ("FAILED", signal.SIGUSR1, "its task reached its time limit"),  # it left when it was warned
        ("TIMEOUT", signal.SIGKILL, "its task reached its time limit"),
        ("FAILED", signal.SIGTERM, "its task was asked to leave (SIGTERM)"),
        ("PREEMPTED", signal.SIGTERM, "its task had to give way"),
        ("NODE_FAIL", signal.SIGKILL, "the node of its task failed"),
        ("OUT_OF_MEMORY", signal.SIGKILL, "its task was killed for lack of memory"),
    ],
)
def test_how_a_task_ended_is_told_and_its_shard_is_tried_again(
    stub, cluster, caplog, monkeypatch, state, number, said
):
    made = stub("if tried == 1 and shard == 0:\n    wait()", tasks=1, samples=2)
    ended = []

    def end(_look):
        if made.tries(0) and not ended:
            ended.extend(cluster.running())
            cluster.end(ended[0], state, number)

    made.before_look(monkeypatch, end)
    assert shards_of(made.outcomes()) == [0, 1]
    assert f"shard 0 failed ({said}" in caplog.text
    assert "array task 1_0" in caplog.text
    assert made.tries(0) == 2


def test_tasks_that_end_before_they_begin_end_the_run_with_their_last_words(stub, cluster):
    made = stub(before="sys.stderr.write('no such thing\\n'); os._exit(3)", tasks=1)
    with pytest.raises(SpinlockError, match=r"(?s)tasks end before they begin .*no such thing"):
        made.outcomes()
    assert len(cluster.jobs()) == 3
    assert made.records() == []


def test_a_task_that_fails_to_begin_once_is_forgiven(stub, cluster):
    made = stub(before="if tries('begin') == 1:\n    os._exit(3)", tasks=1)
    assert shards_of(made.outcomes()) == list(range(6))
    assert [made.tries(shard) for shard in range(6)] == [1] * 6
    assert len(cluster.jobs()) == 2


@pytest.mark.parametrize(
    ("event", "error", "said"),
    [
        ("storage_error='the disk is full'", StorageError, r"the disk is full \(array task 1_0\)"),
        ("mixing='device: a and b'", UsageError, r"not alike.*device: a and b.*--allow-mixed"),
        (
            "error='no module named x'",
            SpinlockError,
            r"(?s)could not go on: no module named x.*words of the log",
        ),
    ],
)
def test_what_ends_a_task_for_good_ends_the_run(stub, cluster, event, error, said):
    made = stub(
        before=f"if task == 0:\n    print('words of the log', flush=True); say({event}); os._exit(1)\nwait()"
    )
    with pytest.raises(error, match=said) as raised:
        made.outcomes()
    assert type(raised.value) is error
    assert cluster.over()
    assert made.records() == []
    assert len(cluster.jobs()) == 1


def test_a_shard_quarantined_by_a_task_is_not_tried_again(stub):
    made = stub("if shard == 1:\n    say(quarantined=1, reason='no luck 3')\n    continue")
    found = made.outcomes()
    assert found[1] == Quarantined(1, "no luck 3")
    assert shards_of(found[:1] + found[2:]) == [0, 2, 3, 4, 5]
    assert made.tries(1) == 1


def test_warnings_of_tasks_are_told_once(stub, caplog):
    made = stub("say(warning='warning: no such GPU here')")
    made.outcomes()
    assert caplog.text.count("no such GPU here (array task 1_") == 1


def test_an_array_that_somebody_cancels_ends_the_run(stub, cluster, monkeypatch):
    made = stub("if shard == 0:\n    wait()", tasks=1)

    def outsider(_look):
        if made.tries(0):
            subprocess.run([cluster.commands / "scancel", "1"], check=True)

    made.before_look(monkeypatch, outsider)
    with pytest.raises(SpinlockError, match="array task 1_0 was cancelled, by scancel or by an admin"):
        made.outcomes()
    assert len(cluster.jobs()) == 1


def test_closing_cancels_what_runs_and_what_waits(stub, cluster):
    made = stub("if shard > 0:\n    wait()", tasks=6)
    running = execute("slurm", made.job, range(6), made.row)
    assert next(running).shard == 0
    running.close()
    assert {state["state"] for state in cluster.states().values()} == {"CANCELLED", "COMPLETED"}
    assert made.records() == []
    assert made.receipts() == [0]


def test_tasks_leave_by_themselves_where_scancel_fails(stub, cluster, caplog):
    made = stub("if shard > 0:\n    wait(lease=True)", tasks=2)
    running = execute("slurm", made.job, range(6), made.row)
    next(running)
    cluster.fault("scancel-fails")
    running.close()
    assert "scancel failed: scancel: error: Unable to contact slurm controller" in caplog.text
    assert "leave by themselves" in caplog.text
    cluster.wait(cluster.over, "the end")
    assert {state["state"] for state in cluster.states().values()} <= {"FAILED", "COMPLETED"}
    assert made.receipts() == [0]


def test_an_array_that_has_nothing_left_to_do_is_not_cancelled(stub, cluster):
    linger = """
if shard == 5:
    commit(5)
    while record.exists():
        time.sleep(0.01)
    time.sleep(0.3)"""
    made = stub(linger, tasks=1)
    made.outcomes()
    cluster.wait(cluster.over, "the end")
    assert [state["state"] for state in cluster.states().values()] == ["COMPLETED"]


@pytest.mark.parametrize("name", slurm_stand_in.NAMES)
def test_a_command_that_is_not_there_is_named_with_other_ways(stub, cluster, monkeypatch, name):
    made = stub()
    cluster.without(name)
    monkeypatch.setenv("PATH", str(cluster.commands))
    with pytest.raises(
        UsageError, match=rf"{name}: no such command here.*--executor process.*--executor ray"
    ):
        made.outcomes()
    assert cluster.jobs() == []


def test_a_refusal_is_told_in_the_words_of_sbatch(stub, cluster):
    made = stub(options={"partition": "nix"})
    with pytest.raises(SpinlockError, match=r"invalid partition specified: nix.*slurm\.options") as raised:
        made.outcomes()
    assert type(raised.value) is SpinlockError  # exit code 1: the same command may be right tomorrow
    assert made.records() == []


def test_an_answer_that_is_no_number_is_refused(stub, cluster):
    made = stub()
    cluster.fault("sbatch-mumbles")
    with pytest.raises(SpinlockError, match="answered 'hello' instead of the number of a job"):
        made.outcomes()


def test_a_job_whose_acceptance_is_lost_is_not_submitted_twice(stub, cluster):
    made = stub()
    cluster.fault("sbatch-loses")
    assert shards_of(made.outcomes()) == list(range(6))
    assert len(cluster.jobs()) == 1


def test_sbatch_may_fail_for_a_while_where_others_are_at_work(stub, cluster, monkeypatch, caplog):
    body = """
if shard == 0 and tried == 1:
    (stub.parent / "cluster" / "sbatch-fails").write_text("true")
    os.kill(os.getpid(), signal.SIGKILL)
if shard == 1:
    while not (stub / "mended").exists():
        time.sleep(0.01)"""
    made = stub(body, tasks=2, samples=2)
    refuse = slurm_array._Run._refuse

    def refused(self, record, error):
        refuse(self, record, error)
        cluster.mend("sbatch-fails")
        (made.folder / "mended").touch()

    monkeypatch.setattr(slurm_array._Run, "_refuse", refused)
    assert shards_of(made.outcomes()) == [0, 1]
    assert "Unable to contact slurm controller; it is tried again" in caplog.text


def test_squeue_may_fail_for_a_while(stub, cluster, monkeypatch, caplog):
    made = stub("if tried == 1 and shard == 0:\n    os.kill(os.getpid(), signal.SIGKILL)", tasks=1)
    made.before_look(
        monkeypatch, lambda look: cluster.fault("squeue-fails") if look < 6 else cluster.mend("squeue-fails")
    )
    assert shards_of(made.outcomes()) == list(range(6))
    assert caplog.text.count("squeue failed: slurm_load_jobs error: Unable to contact") == 1
    assert len(cluster.jobs()) == 2


def test_tasks_that_slurm_forgets_have_ended(stub, cluster):
    cluster.fault("squeue-forgets")
    made = stub("if tried == 1 and shard == 3:\n    os.kill(os.getpid(), signal.SIGKILL)", tasks=2)
    assert shards_of(made.outcomes()) == list(range(6))
    assert made.tries(3) == 2


def test_a_receipt_that_comes_in_sight_late_is_waited_for(stub, cluster, monkeypatch):
    made = stub(tasks=1)
    right, hidden = slurm_array._Run._receipt, {3: 4}

    def receipt(self, shard, **how):
        hidden[shard] = hidden.get(shard, 0) - 1
        return None if hidden[shard] > 0 else right(self, shard, **how)

    monkeypatch.setattr(slurm_array._Run, "_receipt", receipt)
    assert shards_of(made.outcomes()) == list(range(6))
    assert len(cluster.jobs()) == 1
    assert hidden[3] <= 0


def test_a_receipt_that_never_comes_in_sight_is_no_receipt(stub, monkeypatch, caplog):
    monkeypatch.setattr(slurm_watch, "VISIBLE_SECONDS", 0.2)
    body = "if shard == 3 and tried == 1:\n    say(done=3)\n    continue"
    made = stub(body, tasks=1)
    assert shards_of(made.outcomes()) == list(range(6))
    assert made.tries(3) == 2
    assert "shard 3 failed" in caplog.text


def test_why_an_array_waits_is_told(stub, cluster, caplog, monkeypatch):
    caplog.set_level("INFO", "spinlock")
    made = stub()
    cluster.fault("held")
    made.before_look(monkeypatch, lambda look: cluster.mend("held") if look == 4 else None)
    made.outcomes()
    assert caplog.text.count("array job 1 waits in the queue (Resources)") == 1


@pytest.mark.parametrize(("samples", "steps", "tasks"), [(100, 1, 1), (20_000, 500, 64)])
def test_auto_tasks_are_as_many_as_the_work_is_worth(tmp_path, samples, steps, tasks):
    changes = {"sampling.total_samples": samples, "sampling.batch_size": 10**6,
               "simulation.num_timesteps": steps, "simulation.parallelism.strategy": "slurm"}  # fmt: skip
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes))
    assert choose(plan, [torch.device("cpu")], plan.num_shards) == ("slurm", min(tasks, plan.num_shards))
