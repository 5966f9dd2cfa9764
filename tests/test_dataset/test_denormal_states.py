"""A state that decays for ever becomes zero, in the same bits whatever mode the caller's thread is in."""

import numpy as np
import pytest
import torch

import tiny
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.features import extract

if not torch.set_flush_denormal(False):
    pytest.skip("this processor always computes with denormal numbers", allow_module_level=True)

SMALLEST = np.finfo(np.float32).smallest_normal

DECAYING = {
    "parameter_space.architecture": {
        "gain": {"type": "continuous", "bounds": [0.1, 1.2]},
        "normalization": {"type": "choice", "choices": ["none"]},
        "output_activation": {"type": "choice", "choices": ["linear"]},
        "bias_scale": {"type": "choice", "choices": [0.0]},
    },
    "parameter_space.rollout": {"update_policy": {"type": "choice", "choices": ["autoregressive"]}},
    "sampling.total_samples": 4,
    "simulation.num_timesteps": 150,
    "dataset.storage.trajectories": "all",
}


@pytest.fixture
def flushing():
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def decayed(tmp_path_factory):
    return tiny.generate(tmp_path_factory.mktemp("decayed") / "a.h5", tiny.PLAIN, DECAYING)


def denormal(values):
    return (values != 0) & (np.abs(values) < SMALLEST)


def test_no_frame_holds_denormal_numbers_and_the_label_is_right(decayed):
    with open_dataset(decayed) as dataset:
        samples = list(dataset)
        labels = dataset.metadata["dynamics"].tolist()
        finite = dataset.metadata["finite_steps"]
    last = np.stack([sample.outputs for sample in samples])
    gone = [not row.any() for row in last]
    assert any(gone)
    assert not all(gone)
    assert {label for label, zero in zip(labels, gone, strict=True) if zero} == {"dead"}
    assert (finite == 151).all()
    for sample in samples:
        assert not denormal(sample.trajectories).any()


def test_without_the_mode_they_would_be_there(decayed, monkeypatch, tmp_path):
    """The control: the same samples, in the arithmetic of a thread that nobody pinned."""
    from contextlib import contextmanager

    from spinlock.numerics import pinned

    @contextmanager
    def unchanged():
        yield

    monkeypatch.setattr(pinned, "zero_denormals", unchanged)
    path = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, DECAYING)
    with open_dataset(path) as dataset, open_dataset(decayed) as pinned_dataset:
        met = [denormal(sample.trajectories).any() for sample in dataset]
        assert any(met)
        for sample, other, differs in zip(dataset, pinned_dataset, met, strict=True):
            if not differs:
                assert np.array_equal(sample.trajectories, other.trajectories)


def test_the_callers_mode_changes_nothing(decayed, tmp_path, flushing):
    config = tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, DECAYING)
    with tiny.unchecked_shapes():
        DatasetGenerationPipeline(config).generate()
    assert tiny.differing(decayed, tmp_path / "a.h5") == []


def test_the_callers_mode_changes_no_feature(flushing):
    """The energy of faint fields is a denormal number in float32."""
    frames = 1e-20 * torch.randn(1, 2, 20, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with_mode = extract(frames)
    torch.set_flush_denormal(False)
    without = extract(frames)
    for name in ("per_timestep", "per_trajectory", "aggregated"):
        first, second = np.asarray(getattr(with_mode, name)), np.asarray(getattr(without, name))
        assert first.tobytes() == second.tobytes(), name
        assert not denormal(first).any()


def test_a_decayed_sample_leaves_the_others_as_they_are_alone(decayed):
    with open_dataset(decayed) as dataset:
        for sample in dataset:
            assert np.array_equal(dataset.rollout(sample.index).frames[:, -1].numpy(), sample.outputs)
