"""What the features of a dataset must agree with: how long its rollouts stayed finite."""

from collections.abc import Iterator

import numpy as np

from spinlock.dataset.open import Dataset
from spinlock.storage.feature_layout import (
    AGGREGATED,
    EXTRACTION_TIME,
    FINITE_STEPS,
    NUM_REALIZATIONS,
    PER_TIMESTEP,
    PER_TRAJECTORY,
)


def feature_faults(dataset: Dataset) -> Iterator[str]:
    """Yield rows whose features are not those of their finite frames.

    A row that was left out has no frames, no time, and NaN everywhere. Any other has the frames that
    ``metadata/finite_steps`` counts, NaN at frames that no realization has, and no infinite value.
    """
    layout = dataset.layout.features
    if layout is None:
        return
    frames = dataset.config.simulation.num_timesteps + 1
    if layout.frames != frames:
        yield f"{PER_TIMESTEP} has {layout.frames} frames, the rollouts have {frames}"
        return
    used, counts = dataset.table(FINITE_STEPS), dataset.table(NUM_REALIZATIONS)
    extracted = np.isfinite(dataset.table(EXTRACTION_TIME))
    steps = np.where(extracted[:, None], dataset.metadata["finite_steps"], 0)
    for row in np.flatnonzero((used != steps).any(axis=1)):
        yield f"row {row}: {FINITE_STEPS} is {used[row].tolist()}, of its rollouts {steps[row].tolist()}"
    expected = (np.arange(frames) < steps[:, :, None]).sum(axis=1)
    for row in np.flatnonzero((counts != expected).any(axis=1)):
        yield f"row {row}: {NUM_REALIZATIONS} is not the number of realizations that are finite"
    for path in (PER_TIMESTEP, PER_TRAJECTORY, AGGREGATED):
        values = dataset.table(path)
        blank = expected == 0 if path == PER_TIMESTEP else ~extracted
        wrong = np.isinf(values) | (
            blank.reshape(*blank.shape, *[1] * (values.ndim - blank.ndim)) & ~np.isnan(values)
        )
        for row in np.flatnonzero(wrong.reshape(len(values), -1).any(axis=1)):
            yield f"row {row}: {path} has infinite values, or numbers where no frame is finite"
