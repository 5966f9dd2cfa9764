"""A dataset as torch's DataLoader takes it; in a module of its own, which worker processes import."""

import hashlib
from pathlib import Path

import numpy as np

from spinlock.dataset import Dataset, open_dataset
from spinlock.errors import StorageError


class Rows:
    """Map style: row i as (i, inputs, outputs, trajectories, an option value)."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, str]:
        sample = self.dataset[index]
        assert sample.trajectories is not None
        return index, sample.inputs, sample.outputs, sample.trajectories, sample.metadata["ic_options"]


def unchanged(batch: list) -> list:
    """Collate nothing: rows have grids of their own."""
    return batch


def contents(dataset: Dataset) -> str:
    """One hash over everything that a dataset gives."""
    digest = hashlib.sha256()
    for sample in dataset:
        for part in (sample.inputs, sample.outputs, sample.trajectories):
            digest.update(part.tobytes() if part is not None else b"")
        digest.update(repr((sample.parameters, str(sample.metadata))).encode())
    return digest.hexdigest()


def read(path: Path) -> str:
    """Open a dataset and read all of it; return its hash, or the message of a refusal."""
    try:
        with open_dataset(path) as dataset:
            return contents(dataset)
    except StorageError as error:
        return f"refused: {error}"


def read_until(path: Path, stop, count, told) -> None:
    """Read a path again and again, counting, until told to stop; put each outcome once."""
    met = set()
    while not stop.is_set():
        met.add(read(path))
        count.value += 1
    told.put(met)
