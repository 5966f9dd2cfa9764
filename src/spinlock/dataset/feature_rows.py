"""The features of a dataset's rows: computed and committed part by part, then read in order."""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.frames import FrameSource
from spinlock.dataset.open import Dataset
from spinlock.dataset.progress import Progress
from spinlock.execution.environment import numerical_environment
from spinlock.execution.feature_layout import FeatureChoice, blank_entries, feature_entries
from spinlock.execution.features import measure_features
from spinlock.storage.feature_copy import Block
from spinlock.storage.feature_layout import FeatureLayout
from spinlock.storage.feature_parts import FeaturePart, FeatureParts, Tables

if TYPE_CHECKING:
    from spinlock.features.table import SampleFeatures

logger = logging.getLogger("spinlock")

BLANK_BYTES = 2**22
"""Rows that are left out are written in blocks of about this size."""


@dataclass
class FeatureRows:
    """Features of the first ``limit`` rows of a dataset; all others are blank.

    Attributes
    ----------
    dataset, source
        The dataset, and what gives the frames of its rows.
    choice, layout
        Which features, and their arrays.
    """

    dataset: Dataset
    source: FrameSource
    choice: FeatureChoice
    layout: FeatureLayout
    limit: int
    _done: list[FeaturePart] = field(default_factory=list)

    @property
    def binding(self) -> dict[str, Any]:
        """All that the numbers depend on."""
        return {
            "dataset": self.dataset.digest,
            "choice": asdict(self.choice),
            "registry_hash": self.layout.registry_hash,
            "environment": numerical_environment(self.source.device),
        }

    def compute(self, parts: FeatureParts, batch_size: int, progress: Progress) -> None:
        """Compute and commit what no part holds, at most ``batch_size`` rows at a time."""
        self._done = [part for part in parts.sound() if part.hi <= len(self.dataset)]
        missing = np.ones(self.limit, bool)
        for part in self._done:
            missing[part.lo : part.hi] = False
        before = int(self.limit - missing.sum())
        if before:
            logger.info("going on: %d of %d samples were done before", before, self.limit)
        progress.begin(self.limit, before)
        progress.stage(f"extracting features ({self.source.origin}, {self.source.device})")
        for lo, hi in missing_ranges(missing, batch_size):
            self._done.append(parts.commit(lo, *self._measure(lo, hi, progress)))
        self._done.sort(key=lambda part: part.lo)

    def _measure(self, lo: int, hi: int, progress: Progress) -> tuple[Tables, NDArray[np.float64]]:
        entries: list[dict[str, Any]] = []
        seconds: list[float] = []
        for index in range(lo, hi):
            features = self._features(index)
            entries.append(feature_entries(self.layout, features))
            seconds.append(features.seconds)
            progress.advance()
        return {path: np.stack([entry[path] for entry in entries]) for path in entries[0]}, np.array(seconds)

    def _features(self, index: int) -> "SampleFeatures":
        row = self.source.row(index)
        draw = self.dataset.draw(index)
        return measure_features(self.dataset.plan, draw, row.operator, row.frames, self.choice)

    def seconds(self, parts: FeatureParts) -> NDArray[np.float64]:
        """Return what each row took, NaN for blank ones."""
        seconds = np.full(len(self.dataset), np.nan)
        for part in self._done:
            seconds[part.lo : part.hi] = parts.read(part)[1]
        seconds[self.limit :] = np.nan
        return seconds

    def blocks(self, parts: FeatureParts) -> Iterator[Block]:
        """Yield the entries of all rows in order."""
        for part in self._done:
            if part.lo < self.limit:
                tables, _ = parts.read(part)
                yield part.lo, {path: values[: self.limit - part.lo] for path, values in tables.items()}
        realizations = self.dataset.layout.realizations
        blank = blank_entries(self.layout, realizations)
        step = max(1, BLANK_BYTES // self.layout.row_bytes(realizations))
        for first in range(self.limit, len(self.dataset), step):
            count = min(step, len(self.dataset) - first)
            yield (
                first,
                {path: np.broadcast_to(value, (count, *value.shape)) for path, value in blank.items()},
            )


def missing_ranges(missing: NDArray[np.bool_], most: int) -> Iterator[tuple[int, int]]:
    """Yield ranges [lo, hi) of at most ``most`` missing rows, in order."""
    lo = 0
    while lo < len(missing):
        window = missing[lo : lo + most]
        length = len(window) if window.all() else int(np.argmin(window))
        if length:
            yield lo, lo + length
        lo += max(length, 1)
