"""One row of a dataset, as `Dataset` and `VirtualDataset` give it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One row of a dataset, on its native grid g.

    Attributes
    ----------
    index
        The row, which is the draw.
    inputs
        Frame 0, float32 [C, g, g].
    outputs
        The final frames, float32 [M, C, g, g]; NaN where a realization diverged.
    trajectories
        The stored frames, float32 [M, F, C, g, g], or None where none are stored; their numbers are the
        dataset's ``timesteps``.
    parameters
        The sampled parameters, decoded.
    metadata
        Initial condition, policy, dynamics and the other tables of ``/metadata``, by name.
    """

    index: int
    inputs: np.ndarray
    outputs: np.ndarray
    trajectories: np.ndarray | None
    parameters: Mapping[str, Any]
    metadata: Mapping[str, Any]


def plain(value: Any) -> Any:
    """Return a numpy scalar as Python's own number; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
