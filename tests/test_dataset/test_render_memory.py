"""A clip of any length fits: memory does not grow with its steps."""

import json
from pathlib import Path

import pytest

from tiny import PEAK_MEMORY, PLAIN, changed, generate, python

ROWS, REALIZATIONS, CHANNELS, GRID = 3, 10, 3, 256

STATES_BYTES = 4 * REALIZATIONS * CHANNELS * GRID**2
"""One frame of all realizations of a row."""

MEASURED = f"""{PEAK_MEMORY}
import json, sys
from spinlock.dataset.render import RenderOptions, render_dataset
render_dataset(sys.argv[1], sys.argv[2], RenderOptions(steps=int(sys.argv[3]), device="cpu"))
print(json.dumps(peak_memory()))
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = changed(
        PLAIN,
        {
            "parameter_space.operator.grid_size.choices": [GRID],
            "parameter_space.architecture": {
                "base_channels": {"type": "choice", "choices": [2]},
                "num_layers": {"type": "choice", "choices": [1]},
                "kernel_size": {"type": "choice", "choices": [1]},
            },
            "parameter_space.stochastic": {"noise_scale": {"type": "continuous", "bounds": [0.001, 0.01]}},
            "sampling.total_samples": ROWS,
            "simulation.num_channels": CHANNELS,
            "simulation.num_realizations": REALIZATIONS,
        },
    )
    return generate(tmp_path_factory.mktemp("large") / "large.h5", settings)


def peak(dataset: Path, folder: Path, steps: int) -> int:
    """Return the greatest resident memory of a rendering in bytes."""
    done = python("-c", MEASURED, str(dataset), str(folder / f"{steps}.mp4"), str(steps))
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_steps_of_a_clip(dataset: Path, tmp_path: Path) -> None:
    few, many = peak(dataset, tmp_path, 15), peak(dataset, tmp_path, 75)
    assert many < 1.2e9
    assert many - few < 10 * STATES_BYTES  # of the 180 that more steps would take if they stayed
