"""Datasets at the small end: no sampled parameter, one sample, one step, one channel, one realization."""

from pathlib import Path

import pytest

from spinlock.config.load import validated
from spinlock.config.yaml_source import parse_source
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.validate import validate

TEXT = """
version: "1.0"
parameter_space: {space}
sampling: {{total_samples: {samples}}}
simulation:
  device: cpu
  num_realizations: {realizations}
  num_timesteps: {steps}
  num_channels: {channels}
  input_generation: {{method: localized}}
dataset: {{output_path: {path}, storage: {{precision: {precision}, trajectories: {trajectories}}}}}
"""


@pytest.mark.parametrize(
    ("space", "samples", "realizations", "steps", "channels", "precision", "trajectories"),
    [
        ("{}", 1, 1, 1, 1, "float32", "none"),
        ("{}", 3, 2, 2, 2, "float16", "all"),
        ("{operator: {grid_size: {type: choice, choices: [17]}}}", 2, 1, 1, 5, "bitround:6", "all"),
    ],
)
def test_the_smallest_datasets_are_made_and_valid(
    tmp_path: Path,
    space: str,
    samples: int,
    realizations: int,
    steps: int,
    channels: int,
    precision: str,
    trajectories: str,
) -> None:
    path = tmp_path / "x.h5"
    text = TEXT.format(
        space=space, samples=samples, realizations=realizations, steps=steps, channels=channels,
        precision=precision, trajectories=trajectories, path=path,
    )  # fmt: skip
    DatasetGenerationPipeline(validated(parse_source(text, "inline"))).generate()
    report = validate(path, replay=samples)
    assert report.failures == []
    with open_dataset(path) as dataset:
        grid = 17 if "17" in space else 64
        assert len(dataset) == samples
        assert dataset.points.shape == (samples, len(dataset.parameters))
        assert dataset[0].outputs.shape == (realizations, channels, grid, grid)
