"""A sample is a pure function of (configuration, index): the same bits however the dataset is made."""

import numpy as np
import pytest

import tiny
from spinlock.dataset import open_dataset


def test_the_dataset_of_these_proofs_holds_everything(everything):
    with open_dataset(everything) as dataset:
        columns = {**dataset.metadata, **dataset.parameters}
    held = {name: set(column.tolist()) for name, column in columns.items() if column.ndim == 1}
    assert held["ic_types"] == set(tiny.TYPES)
    assert held["dynamics"] >= {"chaotic", "active", "diverged"}
    for heading in tiny.EVERYTHING["parameter_space"].values():
        for name, parameter in heading.items():
            wanted = set(parameter.get("choices", held[name]))
            assert held[name] == wanted
            assert len(wanted) > 1


@pytest.mark.usefixtures("few_shards")
def test_batch_size_threads_and_words_change_no_bit(everything, tmp_path):
    changes = {
        "sampling.batch_size": 7,
        "simulation.parallelism.workers": 2,
        "metadata.description": "other words",
    }
    other = tiny.generate(tmp_path / "other.h5", tiny.EVERYTHING, changes)
    assert tiny.differing(everything, other) == []


def test_one_sample_in_flight_and_one_in_a_shard_change_no_bit(everything, tmp_path):
    changes = {"sampling.batch_size": 1, "simulation.parallelism.workers": 2, "sampling.total_samples": 5}
    other = tiny.generate(tmp_path / "other.h5", tiny.EVERYTHING, changes)
    assert tiny.differing(everything, other, rows=5) == []


def test_worker_processes_and_their_environment_change_no_bit(everything, tmp_path):
    output = tmp_path / "other.h5"
    config = tiny.write_config(
        tmp_path / "c.yaml", tiny.EVERYTHING, simulation__parallelism__strategy="process"
    )
    words = (
        "generate",
        "--config",
        config,
        "--output",
        output,
        "--workers",
        2,
        "--total-samples",
        7,
        "--batch-size",
        7,
    )
    run = tiny.spinlock_command(*words, env={"OMP_NUM_THREADS": "2"})
    assert run.returncode == 0, run.stderr
    assert "simulating (process, 2 workers, cpu)" in run.stderr
    assert tiny.differing(everything, output, rows=7) == []


@pytest.mark.parametrize("threads", ["1", "2"])
@pytest.mark.parametrize("strategy", ["inline", "process"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.slow
def test_every_executor_makes_the_same_dataset(everything, tmp_path, strategy, workers, threads):
    config = tiny.write_config(
        tmp_path / "c.yaml", tiny.EVERYTHING, simulation__parallelism__strategy=strategy
    )
    words = ("generate", "--config", config, "--output", tmp_path / "other.h5", "--workers", workers)
    run = tiny.spinlock_command(*words, "--batch-size", 8 - workers, env={"OMP_NUM_THREADS": threads})
    assert run.returncode == 0, run.stderr
    assert tiny.differing(everything, tmp_path / "other.h5") == []


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["inline", "process"])
def test_a_larger_dataset_begins_with_the_smaller_one(tmp_path, strategy):
    changes = {"simulation.parallelism": {"strategy": strategy, "workers": 2}}
    smaller = tiny.generate(tmp_path / "20.h5", tiny.EVERYTHING, {**changes, "sampling.total_samples": 20})
    larger = tiny.generate(tmp_path / "40.h5", tiny.EVERYTHING, {**changes, "sampling.total_samples": 40})
    assert tiny.differing(smaller, larger, rows=20) == []
    assert tiny.differing(smaller, larger) != []


@pytest.mark.usefixtures("few_shards")
def test_more_realizations_leave_the_first_as_they_are_but_for_batch_normalization(everything, tmp_path):
    larger = tiny.generate(
        tmp_path / "larger.h5",
        tiny.EVERYTHING,
        {"simulation.num_realizations": 5, "sampling.total_samples": 8},
    )
    with open_dataset(everything) as three, open_dataset(larger) as five:
        batch = three.parameters["normalization"][:8] == "batch"
        same = [
            tiny.same_bits(three[i].trajectories, five[i].trajectories[:3])
            and tiny.same_bits(three[i].outputs, five[i].outputs[:3])
            and np.array_equal(three.metadata["finite_steps"][i], five.metadata["finite_steps"][i, :3])
            for i in range(8)
        ]
        lockstep = [three.operator(i).lockstep for i in range(8)]
        inputs = [tiny.same_bits(three[i].inputs, five[i].inputs) for i in range(8)]
    assert all(inputs)
    assert np.array_equal(same, ~batch)
    assert np.array_equal(lockstep, batch)


@pytest.mark.usefixtures("few_shards")
def test_longer_rollouts_begin_with_the_shorter_ones(everything, tmp_path):
    longer = tiny.generate(
        tmp_path / "longer.h5", tiny.EVERYTHING, {"simulation.num_timesteps": 20, "sampling.total_samples": 5}
    )
    with open_dataset(everything) as short, open_dataset(longer) as long:
        for i in range(5):
            assert tiny.same_bits(short[i].trajectories, np.ascontiguousarray(long[i].trajectories[:, :18]))


@pytest.mark.usefixtures("few_shards")
def test_another_seed_changes_every_row_of_every_field(everything, tmp_path):
    other = tiny.generate(
        tmp_path / "other.h5", tiny.EVERYTHING, {"sampling.sobol.seed": 4, "sampling.total_samples": 8}
    )
    with open_dataset(everything) as one, open_dataset(other) as two:
        for i in range(8):
            for a, b in ((one[i].inputs, two[i].inputs), (one[i].outputs, two[i].outputs)):
                assert a.shape != b.shape or not np.array_equal(a, b)
        assert not set(one.metadata["operator_digests"]) & set(two.metadata["operator_digests"])


@pytest.mark.usefixtures("few_shards")
def test_an_unscrambled_design_has_the_same_points_for_every_seed_and_other_fields(everything, tmp_path):
    changes = {"sampling.sobol.scramble": False, "sampling.total_samples": 4}
    one = tiny.generate(tmp_path / "one.h5", tiny.EVERYTHING, changes)
    two = tiny.generate(tmp_path / "two.h5", tiny.EVERYTHING, {**changes, "sampling.sobol.seed": 4})
    a, b = tiny.arrays(one), tiny.arrays(two)
    assert tiny.same_bits(a["parameters/params"], b["parameters/params"])
    assert all(not tiny.same_bits(a["inputs/fields"][i], b["inputs/fields"][i]) for i in range(4))
