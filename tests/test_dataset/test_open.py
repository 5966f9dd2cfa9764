"""An opened dataset gives its rows, and makes again what they are made of."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import tiny
from spinlock.dataset import Dataset, open_dataset
from spinlock.errors import StorageError, UsageError

FRESH = """
import sys, numpy as np, json
from spinlock.dataset import open_dataset
with open_dataset(sys.argv[1]) as ds:
    same = []
    for i in range(len(ds)):
        row, again = ds[i], ds.rollout(i)
        same.append(
            row.outputs.tobytes() == again.final.numpy().tobytes()
            and row.trajectories.tobytes() == again.frames.numpy().tobytes()
            and row.inputs.tobytes() == again.frames[0, 0].numpy().tobytes()
            and np.array_equal(row.metadata["finite_steps"], again.finite_steps)
            and row.metadata["dynamics"] == again.dynamics
        )
        ds.operator(i)
print(json.dumps(same))
"""


@pytest.fixture
def dataset(everything):
    with open_dataset(everything) as opened:
        yield opened


def test_a_fresh_process_rolls_out_every_row_bit_for_bit(everything):
    run = tiny.python("-c", FRESH, everything, env={"OMP_NUM_THREADS": "2"})
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [True] * 12


def test_a_row_on_its_native_grid(dataset):
    for sample in dataset:
        g = {16: 16, 24: 24}[dataset.parameters["grid_size"][sample.index]]
        assert sample.inputs.shape == (2, g, g)
        assert sample.outputs.shape == (3, 2, g, g)
        assert sample.trajectories.shape == (3, 18, 2, g, g)
        assert {a.dtype for a in (sample.inputs, sample.outputs, sample.trajectories)} == {
            np.dtype("float32")
        }
        assert tiny.same_bits(sample.trajectories[0, 0], sample.inputs)
        assert tiny.same_bits(np.ascontiguousarray(sample.trajectories[:, -1]), sample.outputs)
        assert sample.metadata["grid_sizes"] == g
        assert set(sample.parameters) == set(dataset.parameters)


def test_a_row_is_what_plain_h5py_reads_in_the_corner(everything, dataset):
    plain = tiny.arrays(everything)
    for sample in dataset:
        g = sample.metadata["grid_sizes"]
        assert tiny.same_bits(
            np.ascontiguousarray(plain["inputs/fields"][sample.index, :, :g, :g]), sample.inputs
        )
        assert np.isnan(plain["inputs/fields"][sample.index, :, g:]).all()


def test_length_iteration_and_negative_indices(dataset):
    assert len(dataset) == 12
    assert [sample.index for sample in dataset] == list(range(12))
    assert dataset[-1].index == 11
    assert dataset[np.int64(-12)].index == 0
    assert dataset.timesteps == tuple(range(18))


@pytest.mark.parametrize("index", [12, -13])
def test_a_row_that_does_not_exist(dataset, index):
    for read in (dataset.__getitem__, dataset.draw, dataset.operator, dataset.rollout):
        with pytest.raises(IndexError, match=rf"row {index} is out of range: .*everything.h5 holds 12 rows"):
            read(index)


def test_the_operator_takes_the_states_of_its_row(dataset):
    for i in (0, 1, 2):
        x = torch.from_numpy(dataset[i].inputs)[None]
        y = dataset.operator(i)(x)
        assert y.shape == x.shape
        assert not y.requires_grad


def test_the_operator_makes_a_stored_step_of_a_silent_autoregressive_row(tmp_path):
    path = tiny.generate(tmp_path / "silent.h5", tiny.PLAIN, {"simulation.num_channels": 2})
    with open_dataset(path) as silent:
        for sample in silent:
            y = silent.operator(sample.index)(torch.from_numpy(sample.inputs)[None])
            assert tiny.same_bits(y.numpy()[0], np.ascontiguousarray(sample.outputs[0]))


def test_longer_and_larger_rollouts_begin_with_the_stored_frames(dataset):
    for i in (0, 5, 11):
        again = dataset.rollout(i, num_timesteps=30)
        assert again.frames.shape[1] == 31
        assert tiny.same_bits(again.frames[:, :18].numpy().copy(), dataset[i].trajectories)
        shorter = dataset.rollout(i, num_timesteps=2, num_realizations=1)
        if dataset.parameters["normalization"][i] != "batch":
            assert tiny.same_bits(
                shorter.frames.numpy(), np.ascontiguousarray(dataset[i].trajectories[:1, :3])
            )


@pytest.mark.parametrize("changes", [{"num_timesteps": 0}, {"num_realizations": 0}, {"num_timesteps": 2**16}])
def test_an_impossible_rollout_is_refused(dataset, changes):
    ((name, value),) = changes.items()
    with pytest.raises(UsageError, match=f"{name} = {value} is not allowed"):
        dataset.rollout(0, **changes)


def test_it_pickles_small_and_opens_for_itself(dataset):
    assert dataset.plan.total_samples == 12  # what was made on the way stays behind
    data = pickle.dumps(dataset)
    assert len(data) < 20_000
    copy = pickle.loads(data)
    assert tiny.same_bits(copy[3].trajectories, dataset[3].trajectories)
    assert copy.plan.digest == dataset.plan.digest
    copy.close()
    assert dataset[3].index == 3


def test_threads_read_one_dataset(dataset):
    alone = [dataset[i].trajectories for i in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda i: dataset[i].trajectories, list(range(12)) * 3))
    assert all(tiny.same_bits(a, b) for a, b in zip(alone * 3, together, strict=True))


class Inputs:
    """A map-style dataset on top of one, as training code writes it."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self.dataset[index].inputs[:, :16, :16].copy())


def test_a_dataloader_worker_reads_it(dataset):
    loader = DataLoader(Inputs(dataset), batch_size=5, num_workers=1, multiprocessing_context="spawn")
    read = torch.cat(list(loader))
    wanted = np.stack([sample.inputs[:, :16, :16] for sample in dataset])
    assert tiny.same_bits(read.numpy(), wanted)


def test_a_closed_dataset_says_so(everything):
    with open_dataset(everything) as closed:
        assert closed[0].index == 0
    with pytest.raises(StorageError, match="was closed"):
        closed[0]


def test_a_missing_file_and_a_foreign_one_are_refused(tmp_path):
    foreign = tmp_path / "foreign.h5"
    foreign.write_text("not HDF5 at all, though long enough to hold a signature")
    for path, words in (
        (tmp_path / "none.h5", "none.h5"),
        (foreign, "foreign.h5"),
        (tmp_path, str(tmp_path)),
    ):
        with pytest.raises(StorageError, match=words):
            open_dataset(path)


def test_a_file_made_by_another_plan_is_read_but_not_made_again(dataset, monkeypatch):
    monkeypatch.setattr("spinlock.config.digest.PLAN_FORMAT", -1)
    assert dataset[0].index == 0
    with pytest.raises(StorageError, match=r"rows can be read, not made again"):
        dataset.rollout(0)


def test_an_operator_with_other_weights_is_refused(dataset, monkeypatch):
    monkeypatch.setattr(type(dataset.plan), "seed", property(lambda _: 99))
    with pytest.raises(StorageError, match=r"row 4: the operator rebuilt has digest"):
        dataset.operator(4)
