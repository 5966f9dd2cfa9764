"""A driver on a Ray cluster may be killed or interrupted; the next one ends with the same bytes."""

import os
import signal

import pytest

import ray_clusters
import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with ray_clusters.three_nodes() as found:
        yield found


@pytest.fixture
def words(tmp_path):
    return (
        "--config",
        tiny.write_config(tmp_path / "c.yaml", tiny.EVERYTHING),
        "--executor",
        "ray",
        "--workers",
        "auto",
    )


def test_a_driver_that_is_killed_takes_its_actors_with_it_and_the_next_one_goes_on(
    everything, tmp_path, cluster, words
):
    output = tmp_path / "a.h5"
    with tiny.running(output, *words, env=ray_clusters.address(cluster)) as run:
        run.wait_for_receipts(3)
        orphans = ray_clusters.actors()
        os.kill(run.process.pid, signal.SIGKILL)
        assert tiny.gone(orphans, word="ray::ShardActor")
        done = run.receipts()
    assert orphans
    assert 3 <= done < 12
    assert not output.exists()
    stall = ("--set", "simulation.parallelism.stall_seconds=4")
    with tiny.running(output, *words, *stall, env=ray_clusters.address(cluster)) as run:
        run.wait_until(lambda: len(ray_clusters.actors()) == 3 and run.receipts() > done, "three at work")
        stuck = ray_clusters.actors()[0]
        os.kill(stuck, signal.SIGSTOP)
        code, _, err = run.end()
        assert tiny.gone([stuck], word="ray::ShardActor")
    assert code == 0, err
    assert "was stuck and was killed: nothing was said for 4 s" in err
    assert f"going on: {done} of 12 samples were done before" in err
    assert tiny.differing(everything, output) == []
    assert tiny.temporaries(tmp_path) == []
    assert not run.parts.exists()


def test_ctrl_c_ends_the_actors_and_leaves_the_cluster(everything, tmp_path, cluster, words):
    output = tmp_path / "a.h5"
    with tiny.running(output, *words, env=ray_clusters.address(cluster)) as run:
        run.wait_for_receipts(2)
        actors = ray_clusters.actors()
        os.killpg(run.process.pid, signal.SIGINT)
        code, out, err = run.end()
        assert tiny.gone(actors, word="ray::ShardActor")
    assert code == 130, err
    assert "Run the same command again to go on" in err
    assert "Traceback" not in err
    assert out == ""
    assert tiny.temporaries(tmp_path) == []
    assert len(cluster.list_all_nodes()) == 3
    tiny.generate(output, tiny.EVERYTHING)
    assert tiny.differing(everything, output) == []
