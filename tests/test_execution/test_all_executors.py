"""One configuration through every executor, with workers killed on the way: the arrays are equal to the bit.

Each run is judged by the same dataset, which one thread made undisturbed; so all are equal to one another.
"""

import json
import os
import signal

import h5py
import pytest

import ray_clusters
import slurm_stand_in
import tiny
from held_shards import HELD, Gate

pytestmark = pytest.mark.slow


@pytest.fixture
def words(tmp_path):
    return ("--config", tiny.write_config(tmp_path / "c.yaml", tiny.EVERYTHING))


def judge(output, everything, executor):
    """Compare a finished dataset with the undisturbed one, and check who is said to have made it."""
    assert tiny.differing(everything, output) == []
    assert tiny.temporaries(output.parent) == []
    assert not output.with_name(f"{output.name}.parts").exists()
    with h5py.File(output) as file:
        assert json.loads(file["metadata"].attrs["provenance"])["executor"] == executor


def finished(run):
    code, _, err = run.end()
    assert code == 0, err
    return err


def test_inline_killed_as_a_whole(everything, tmp_path, words):
    """Its workers are threads of the driver: they die with it, and the next run goes on."""
    output = tmp_path / "a.h5"
    with tiny.running(output, *words, "--executor", "inline", "--workers", 2) as run:
        run.wait_for_receipts(2)
        run.kill_group()
    with tiny.running(output, *words, "--executor", "inline", "--workers", 2) as run:
        assert "samples were done before" in finished(run)
    judge(output, everything, "inline")


def test_process_with_both_workers_killed(everything, tmp_path, words):
    output = tmp_path / "a.h5"
    with tiny.running(output, *words, "--executor", "process", "--workers", 2) as run:
        for worker in run.wait_for_workers(2):
            run.wait_for_receipts(run.receipts() + 1)
            os.kill(worker, signal.SIGKILL)
        assert finished(run).count("was killed by SIGKILL") == 2
    judge(output, everything, "process")


def test_ray_with_an_actor_killed_and_a_node_removed(everything, tmp_path, words):
    output, asked = tmp_path / "a.h5", ("--executor", "ray", "--workers", "auto")
    with (
        ray_clusters.three_nodes() as cluster,
        tiny.running(output, *words, *asked, env=ray_clusters.address(cluster)) as run,
    ):
        run.wait_until(lambda: len(ray_clusters.actors()) == 3 and run.receipts() >= 2, "three at work")
        (victim,) = ray_clusters.actors_of(cluster.head_node)
        os.kill(victim, signal.SIGKILL)
        run.wait_for_receipts(run.receipts() + 1)
        lost = next(node for node in cluster.worker_nodes if ray_clusters.actors_of(node))
        cluster.remove_node(lost, allow_graceful=False)
        assert run.receipts() < 12
        finished(run)
    judge(output, everything, "ray")


def test_slurm_with_both_tasks_killed(everything, tmp_path):
    config = tiny.write_config(
        tmp_path / "c.yaml",
        tiny.EVERYTHING,
        simulation__parallelism={"slurm": {"tasks": 2, "poll_seconds": 0.2}},
    )
    output, words = tmp_path / "a.h5", ("--config", config, "--executor", "slurm")
    gate = Gate(tmp_path)
    with slurm_stand_in.slurm(tmp_path / "cluster") as cluster:
        env = {"PATH": cluster.path, "PYTHONPATH": gate.path}
        with tiny.running(output, *words, env=env) as run:
            run.wait_for_receipts(HELD)
            victims = dict(zip(cluster.running(), ("NODE_FAIL", "FAILED"), strict=True))
            for task, state in victims.items():
                cluster.end(task, state)
            cluster.wait(lambda: not victims.keys() & set(cluster.running()), "the end of both tasks")
            gate.open()
            told = finished(run)
    assert told.count("is tried again") == 2
    judge(output, everything, "slurm")
