"""The three jobs that generation is measured by, as configurations."""

from pathlib import Path
from typing import Any

import yaml

from spinlock.config import Config, load_config


def one_of(*choices: Any) -> dict[str, Any]:
    """Return a parameter that takes one of some values."""
    return {"type": "choice", "choices": list(choices)}


Settings = dict[str, Any]


def job(architecture: Settings, noise: Settings, grid: int, storage: Settings, **sizes: int) -> Settings:
    """Return a job's configuration; its sizes are ``samples``, ``realizations`` and ``steps``."""
    return {
        "version": "1.0",
        "parameter_space": {
            "architecture": architecture,
            "stochastic": noise,
            "operator": {"grid_size": one_of(grid)},
        },
        "sampling": {"total_samples": sizes["samples"]},
        "simulation": {
            "device": "cpu",
            "num_realizations": sizes["realizations"],
            "num_timesteps": sizes["steps"],
            "num_channels": 3,
            "parallelism": {"strategy": "auto", "workers": "auto"},
            "input_generation": {"method": "gaussian_random_field"},
        },
        "dataset": {"output_path": "d.h5", "storage": storage},
    }


NOISE_SCALE = {"type": "continuous", "bounds": [0.01, 0.1]}

SNAPSHOT = job(
    {
        "num_layers": {"type": "integer", "bounds": [2, 4]},
        "base_channels": {"type": "integer", "bounds": [16, 32]},
        "channel_schedule": one_of("doubling"),
        "kernel_size": one_of(3, 5),
        "activation": one_of("gelu", "silu"),
        "normalization": one_of("instance", "batch"),
    },
    {"noise_scale": NOISE_SCALE, "noise_location": one_of("output")},
    128,
    {"compression": "gzip", "compression_level": 4},
    samples=100,
    realizations=5,
    steps=1,
)

ROLLOUT = job(
    {
        "num_layers": one_of(4),
        "base_channels": one_of(32),
        "kernel_size": one_of(3),
        "activation": one_of("gelu"),
        "normalization": one_of("instance"),
        "gain": {"type": "continuous", "bounds": [0.8, 1.2]},
    },
    {"noise_scale": NOISE_SCALE, "noise_location": one_of("state")},
    64,
    {"compression": "zstd"},
    samples=32,
    realizations=10,
    steps=64,
)

WIDE = job(
    {
        "num_layers": one_of(4),
        "base_channels": one_of(64),
        "kernel_size": one_of(5),
        "activation": one_of("gelu"),
        "normalization": one_of("instance"),
        "gain": {"type": "continuous", "bounds": [0.8, 1.2]},
    },
    {"noise_scale": NOISE_SCALE, "noise_location": one_of("state")},
    128,
    {"compression": "zstd"},
    samples=8,
    realizations=5,
    steps=16,
)


def configured(settings: Settings, folder: Path, changes: Settings | None = None) -> Config:
    """Return a job's configuration, with dotted keys replaced, writing to ``d.h5`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(settings))
    replaced = {"dataset.output_path": str(folder / "d.h5"), **(changes or {})}
    return load_config(path, [("benchmark", key, value) for key, value in replaced.items()])
