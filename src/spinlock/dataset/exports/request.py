"""What an export is asked for, and what it says it did."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.open import Dataset


@dataclass(frozen=True)
class Request:
    """A dataset, the name that its export carries, and the rows of each split."""

    dataset: Dataset
    name: str
    splits: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Written:
    """What was written, counted, and what the user must be told."""

    counts: Mapping[str, int]
    note: str = ""
