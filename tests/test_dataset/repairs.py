"""Damaged datasets and their repair: what the tests of `generate --repair` share."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

import tiny
from spinlock.dataset import DatasetGenerationPipeline
from spinlock.execution import plan
from spinlock.execution.executors import inline

ROWS_PER_SHARD = 4  # twelve samples in three shards

SMALL = tiny.changed(
    tiny.PLAIN,
    {
        "sampling.total_samples": 12,
        "parameter_space.architecture.normalization": {"type": "choice", "choices": ["none", "instance"]},
        "parameter_space.operator.grid_size.choices": [16, 24],
        "simulation.num_timesteps": 3,
        "dataset.storage": {"trajectories": "all"},
    },
)


_made: dict[str, Path] = {}


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """An undisturbed dataset, made once a session."""
    if "sound" not in _made:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plan, "FEWEST_SHARDS", 3)
            _made["sound"] = tiny.generate(tmp_path_factory.mktemp("sound") / "sound.h5", SMALL)
    return _made["sound"]


@pytest.fixture
def copy(sound, tmp_path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "a.h5"))


@pytest.fixture
def made(monkeypatch) -> list[int]:
    """The shards that are computed."""
    shards: list[int] = []
    right = inline.run_shard

    def watched(plan, shard, *words, **how):
        shards.append(shard)
        return right(plan, shard, *words, **how)

    monkeypatch.setattr(inline, "run_shard", watched)
    return shards


@pytest.fixture
def told(caplog):
    """What was logged."""
    caplog.set_level(logging.INFO, "spinlock")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


def repair(output: Path, settings=SMALL, changes=None, **how):
    config = tiny.config_of(output, settings, changes)
    with tiny.unchecked_shapes():
        return DatasetGenerationPipeline(config, repair=True, **how).generate()


def edited(path: Path, change) -> None:
    """Change a file through h5py, which knows nothing of checksums."""
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)


def zeroed(path: Path, low: int, high: int) -> None:
    content = bytearray(path.read_bytes())
    content[low:high] = bytes(high - low)
    path.write_bytes(content)


def beside(path: Path) -> list[str]:
    """What stands in the folder but the dataset, what describes it, and its configuration."""
    names = (one.name for one in path.parent.iterdir() if one.suffix not in (".h5", ".yaml"))
    return sorted(set(names) - tiny.with_companions(path))


@contextmanager
def stopped_at(shard: int) -> Iterator[None]:
    """Press Ctrl-C as a shard begins."""
    with pytest.MonkeyPatch.context() as patch:
        right = inline.run_shard

        def stopping(plan, number, *words, **how):
            if number == shard:
                raise KeyboardInterrupt
            return right(plan, number, *words, **how)

        patch.setattr(inline, "run_shard", stopping)
        yield
