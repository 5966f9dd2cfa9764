"""Datasets made by array jobs have the bits of all others, whatever ends tasks and drivers on the way."""

import json
import os
import re
import signal

import h5py
import pytest

import slurm_stand_in
import tiny
from held_shards import HELD, Gate
from spinlock.cli.program import run

PLAIN_CHANGES = {
    "simulation.parallelism": {"strategy": "slurm", "slurm": {"tasks": 1, "poll_seconds": 0.2}},
}
SLURM = {"simulation__parallelism": {"strategy": "slurm", "slurm": {"tasks": 2, "poll_seconds": 0.2}}}


@pytest.fixture
def cluster(tmp_path):
    with slurm_stand_in.slurm(tmp_path / "cluster") as found:
        yield found


@pytest.fixture
def config(tmp_path):
    return tiny.write_config(tmp_path / "c.yaml", tiny.EVERYTHING, **SLURM)


def test_an_array_job_makes_the_dataset_that_threads_make(plain, tmp_path, cluster, monkeypatch, caplog):
    caplog.set_level("INFO", "spinlock")
    monkeypatch.setenv("PATH", cluster.path)
    output = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, PLAIN_CHANGES)
    assert tiny.differing(plain, output) == []
    with h5py.File(output) as file:
        provenance = json.loads(file["metadata"].attrs["provenance"])
    assert (provenance["executor"], provenance["workers"]) == ("slurm", 1)
    assert len(cluster.jobs()) == 1
    assert "submitted array job 1: 3 shards in 1 task" in caplog.text
    assert not output.with_name("a.h5.parts").exists()


def test_without_slurm_the_program_names_other_ways(tmp_path, capsys, monkeypatch):
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["generate", "--config", str(config), "--output", str(tmp_path / "a.h5"), "--executor", "slurm"]
    assert run(words) == 2
    assert "sbatch and squeue and scancel: no such command here" in capsys.readouterr().err


def test_what_sbatch_refuses_is_told(tmp_path, capsys, monkeypatch, cluster):
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN, **SLURM)
    monkeypatch.setenv("PATH", cluster.path)
    words = ["generate", "--config", str(config), "--output", str(tmp_path / "a.h5")]
    assert run([*words, "--set", "simulation.parallelism.slurm.options={partition: nix}"]) == 1
    assert "invalid partition specified: nix" in capsys.readouterr().err


def test_the_dry_run_says_how_many_tasks_there_would_be(tmp_path, capsys, monkeypatch, cluster):
    monkeypatch.setattr("spinlock.execution.estimate.CALIBRATED", 1)
    monkeypatch.setenv("PATH", cluster.path)
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN, **SLURM)
    assert run(["generate", "--config", str(config), "--output", str(tmp_path / "a.h5"), "--dry-run"]) == 0
    assert "slurm, 2 tasks" in capsys.readouterr().out
    assert cluster.jobs() == []
    assert not (tmp_path / "a.h5.parts").exists()


@pytest.mark.slow
def test_killed_tasks_and_their_processes_are_made_good(everything, tmp_path, config, cluster):
    gate = Gate(tmp_path, worth=0.0)
    cluster.fault("environment", {str(task): {"SLURM_CPUS_ON_NODE": "2"} for task in range(2)})
    output, env = tmp_path / "a.h5", {"PATH": cluster.path, "PYTHONPATH": gate.path}
    with tiny.running(output, "--config", config, env=env) as made:
        made.wait_for_receipts(HELD)
        task = cluster.running()[0]
        workers = [pid for pid in tiny.children(cluster.pid(task)) if "worker" in tiny.command_line(pid)]
        os.kill(cluster.pid(task), signal.SIGKILL)
        assert tiny.gone(workers)
        gate.open()
        code, _, err = made.end()
    assert code == 0, err
    assert len(workers) == 2
    assert tiny.differing(everything, output) == []
    assert err.count("failed (its task ended (FAILED): array task 1_") == 2
    assert len(cluster.jobs()) == 2
    assert tiny.temporaries(tmp_path) == []


@pytest.mark.slow
def test_a_task_that_is_asked_to_leave_leaves_nothing_behind(everything, tmp_path, config, cluster):
    gate, output = Gate(tmp_path), tmp_path / "a.h5"
    env = {"PATH": cluster.path, "PYTHONPATH": gate.path}
    with tiny.running(output, "--config", config, env=env) as made:
        made.wait_until(
            lambda: made.receipts() >= HELD and len(tiny.temporaries(tmp_path)) >= 2, "held shards"
        )
        before = len(tiny.temporaries(made.parts / "shards"))
        task = cluster.running()[0]
        cluster.end(task, "FAILED", signal.SIGUSR1)
        cluster.wait(lambda: cluster.states()[task]["state"] == "FAILED", "the end of a task")
        after = len(tiny.temporaries(made.parts / "shards"))
        (journal,) = (made.parts / "slurm").glob(f"*-{task[1]}.journal")
        said = journal.read_text()
        gate.open()
        code, _, err = made.end()
    assert code == 0, err
    assert after == before - 1
    assert '{"left": "SIGUSR1"}' in said
    assert "its task reached its time limit" in err
    assert tiny.differing(everything, output) == []
    assert tiny.temporaries(tmp_path) == []


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_with_its_array(everything, tmp_path, config, cluster):
    gate, output = Gate(tmp_path), tmp_path / "a.h5"
    env = {"PATH": cluster.path, "PYTHONPATH": gate.path}
    with tiny.running(output, "--config", config, env=env) as made:
        made.wait_until(
            lambda: made.receipts() >= HELD and len(tiny.temporaries(tmp_path)) >= 2, "held shards"
        )
        made.kill_group()
    held = tiny.temporaries(tmp_path)
    assert len(cluster.running()) == 2
    with tiny.running(output, "--config", config, env=env) as made:
        lines = iter(made.process.stderr.readline, "")
        assert any("array job 1 of an earlier run is still there" in line for line in lines)
        assert tiny.temporaries(tmp_path) == held  # the shards that the tasks are at work on
        gate.open()
        code, _, err = made.end()
    assert code == 0, err
    assert len(cluster.jobs()) == 1
    assert tiny.differing(everything, output) == []
    assert tiny.temporaries(tmp_path) == []


@pytest.mark.slow
def test_ctrl_c_cancels_the_array_and_says_how_to_go_on(everything, tmp_path, config, cluster):
    gate, output = Gate(tmp_path), tmp_path / "a.h5"
    env = {"PATH": cluster.path, "PYTHONPATH": gate.path}
    with tiny.running(output, "--config", config, env=env) as made:
        made.wait_for_receipts(HELD)
        pids = [cluster.pid(task) for task in cluster.running()]
        os.killpg(made.process.pid, signal.SIGINT)
        code, out, err = made.end()
        done = made.receipts()
    assert (code, out) == (130, "")
    assert "cancelling array job 1" in err
    assert "Run the same command again to go on" in err
    assert "Traceback" not in err
    assert len(pids) == 2
    assert tiny.gone(pids)
    assert cluster.over()
    assert tiny.temporaries(tmp_path) == []
    assert done == HELD
    tiny.generate(output, tiny.EVERYTHING)
    assert tiny.differing(everything, output) == []


@pytest.mark.slow
def test_nodes_that_are_not_alike_are_refused(tmp_path, cluster):
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN, sampling__total_samples=2, **SLURM)
    cluster.fault("environment", {"1": {"ATEN_CPU_CAPABILITY": "default"}})
    words, env = ("generate", "--config", config, "--output", tmp_path / "a.h5"), {"PATH": cluster.path}
    refused = tiny.spinlock_command(*words, env=env)
    assert refused.returncode == 2
    assert re.search(
        r"nodes of the cluster are not alike.*instruction_set: \S+ and \S+; array task", refused.stderr
    )
    assert "Traceback" not in refused.stderr
    assert cluster.over()
    accepted = tiny.spinlock_command(*words, "--allow-mixed", env=env)
    assert accepted.returncode == 0, accepted.stderr
    with h5py.File(tmp_path / "a.h5") as file:
        assert len(json.loads(file["metadata"].attrs["provenance"])["environments"]) == 2


@pytest.mark.slow
def test_a_task_that_makes_another_plan_refuses(tmp_path, cluster, config):
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys\nif 'spinlock.execution.slurm_task' in sys.orig_argv:\n"
        "    from spinlock.execution import plan\n    plan.plan_digest = lambda config: 'f' * 64\n"
    )
    path = os.pathsep.join([str(hook), str(tiny.SOURCE)])
    words = ("generate", "--config", config, "--output", tmp_path / "a.h5")
    done = tiny.spinlock_command(*words, env={"PATH": cluster.path, "PYTHONPATH": path})
    assert done.returncode == 1
    assert "could not go on: the plan made here has digest ffff" in done.stderr
    assert not list((tmp_path / "a.h5.parts" / "receipts").iterdir())
