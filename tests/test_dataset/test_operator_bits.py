"""``ds.operator(i)`` has the bits of the rollout, whatever the number of torch threads and the batch."""

import numpy as np
import pytest
import torch

from spinlock.config.load import validated
from spinlock.config.yaml_source import parse_source
from spinlock.dataset import Dataset, DatasetGenerationPipeline, open_dataset

TEXT = """
version: "1.0"
parameter_space:
  architecture:
    base_channels: {type: choice, choices: [8, 32]}
    normalization: {type: choice, choices: [none, instance, group]}
  operator:
    grid_size: {type: choice, choices: [32, 48, 64]}
sampling: {total_samples: 8}
simulation:
  device: cpu
  num_realizations: 1
  input_generation: {method: gaussian_random_field}
dataset: {output_path: PATH}
"""


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("silent") / "x.h5"
    DatasetGenerationPipeline(validated(parse_source(TEXT.replace("PATH", str(path)), "inline"))).generate()
    return open_dataset(path)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_one_application_is_the_stored_frame_on_two_threads(silent: Dataset) -> None:
    for index in range(len(silent)):
        row = silent[index]
        made = silent.operator(index)(torch.from_numpy(row.inputs)[None])[0].numpy()
        assert np.array_equal(made, row.outputs[0]), index
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_state_in_a_batch_has_the_bits_of_the_state_alone(silent: Dataset) -> None:
    for index in range(3):
        operator = silent.operator(index)
        states = torch.stack([torch.from_numpy(np.roll(silent[index].inputs, k, axis=-1)) for k in range(5)])
        batch = operator(states)
        for k, state in enumerate(states):
            assert torch.equal(batch[k], operator(state[None])[0])
        assert operator(states[:0]).shape == (0, *states.shape[1:])
