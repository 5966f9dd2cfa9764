"""Datasets with features, and what is in them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import tiny
from spinlock.dataset import FeatureExtractionPipeline
from spinlock.dataset.extract import ExtractionSummary
from spinlock.dataset.validate import Report, validate

TIMES = "features/sdf/aggregated/metadata/extraction_time"
PER_TIMESTEP = "features/sdf/per_timestep/features"
PER_TRAJECTORY = "features/sdf/per_trajectory/features"
AGGREGATED = "features/sdf/aggregated/features"
TABLES = (PER_TIMESTEP, PER_TRAJECTORY, AGGREGATED)
ROWS = "metadata/checksums/rows"
MEASURED = {"features.during_generation": True}
BARE = {"dataset.storage.trajectories": "none"}


def extract(path: Path, **how: Any) -> ExtractionSummary:
    with tiny.unchecked_shapes():
        return FeatureExtractionPipeline(path, **how).extract()


def checked(path: Path, replay: int = 0) -> Report:
    """What ``validate`` finds."""
    with tiny.unchecked_shapes():
        return validate(path, replay=replay)


def copied(source: Path, target: Path) -> Path:
    target.write_bytes(source.read_bytes())
    return target


def feature_arrays(path: Path) -> dict[str, np.ndarray]:
    """The features of a file, without the times they took."""
    found = tiny.arrays(path)
    return {name: found[name] for name in found if name.startswith("features/") and name != TIMES}


def same_features(one: Path, other: Path, rows: int | None = None) -> bool:
    a, b = feature_arrays(one), feature_arrays(other)
    assert set(TABLES) < set(a)
    assert np.isfinite(a[PER_TIMESTEP][0, 0]).mean() > 0.5
    return set(a) == set(b) and all(
        tiny.same_bits(np.asarray(a[name][:rows]), np.asarray(b[name][:rows])) for name in a if a[name].ndim
    )


def differing(one: Path, other: Path) -> list[str]:
    """The arrays of two files that are not equal to the last bit."""
    a, b = tiny.arrays(one), tiny.arrays(other)
    assert set(a) == set(b)
    return [name for name in a if not tiny.same_bits(np.asarray(a[name]), np.asarray(b[name]))]


def other_arrays(path: Path) -> dict[str, bytes]:
    """Everything but the features and the checksums that cover them."""
    found = tiny.arrays(path)
    return {
        name: found[name].tobytes() for name in found if not name.startswith("features/") and name != ROWS
    }


def part_files(path: Path) -> list[Path]:
    """The committed parts of an extraction."""
    return sorted(path.with_name(f"{path.name}.features.parts").glob("part-*/*.npz"))


def left_over(folder: Path) -> list[str]:
    """Work and temporary files in a folder."""
    return [path.name for path in folder.rglob("*") if ".tmp-" in path.name or path.name.endswith("parts")]


@contextmanager
def extracting(path: Path, *words: object, code: str = "") -> Iterator[subprocess.Popen[str]]:
    """Start ``spinlock extract-features --dataset path`` after ``code``; kill what is left at the end."""
    arguments = ["extract-features", "--dataset", str(path), *map(str, words)]
    script = f"{code}\nfrom spinlock.cli import main\nmain({arguments!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=tiny.environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for_parts(process: subprocess.Popen[str], path: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(part_files(path)) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{count} parts never came: {process.communicate()}")
        time.sleep(0.01)


KILLED_AT = """
import os, signal
from spinlock.storage import forms
written = forms.copy_with_features
def killed(source, path, features, blocks, facts, checkpoint):
    def watched(step):
        checkpoint(step)
        name = "sealed" if step.startswith("sealed ") else step
        if name == {step!r}:
            os.kill(os.getpid(), signal.SIGKILL)
    return written(source, path, features, blocks, facts, watched)
forms.copy_with_features = killed
"""
"""Code that kills its process with SIGKILL as a step of the writing begins."""
