"""Features without trajectories stream: the memory of a run does not grow with its samples."""

import json
from pathlib import Path

import pytest

from tiny import PEAK_MEMORY, PLAIN, changed, python, write_config

FRAMES_BYTES = 4 * 3 * 65 * 3 * 64 * 64
"""All frames of one sample."""

MEASURED = f"""{PEAK_MEMORY}
import json, sys
from spinlock.config import load_config
from spinlock.dataset import DatasetGenerationPipeline
DatasetGenerationPipeline(load_config(sys.argv[1])).generate()
print(json.dumps(peak_memory()))
"""


def peak(folder: Path, samples: int) -> int:
    """Return the greatest resident memory of a run in bytes."""
    settings = changed(
        PLAIN,
        {
            "parameter_space.operator.grid_size.choices": [64],
            "parameter_space.architecture.base_channels": {"type": "choice", "choices": [4]},
            "sampling.total_samples": samples,
            "simulation.num_channels": 3,
            "simulation.num_realizations": 3,
            "simulation.num_timesteps": 64,
            "features.during_generation": True,
            "dataset.output_path": str(folder / f"{samples}.h5"),
        },
    )
    done = python("-c", MEASURED, str(write_config(folder / f"{samples}.yaml", settings)))
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    few, many = peak(tmp_path, 4), peak(tmp_path, 40)
    assert many - few < 6 * FRAMES_BYTES  # of the 36 that more samples would take if they stayed
