"""Replay: make rows again and compare them with what is stored.

In the environment that made the dataset every number must be equal to the last bit. Elsewhere the draw must
be exact, inputs agree within 1e-5 and outputs within 1e-4·e^{λT}, as rms of the difference over rms of the
field; where that exceeds 0.1 the outputs of a row are *not comparable*.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch

from spinlock.dataset.open import Dataset
from spinlock.dataset.rows import draw_faults
from spinlock.execution.devices import prepare_process
from spinlock.execution.environment import numerical_environment
from spinlock.execution.feature_layout import FeatureChoice, feature_entries, feature_layout
from spinlock.execution.features import measure_features
from spinlock.execution.simulate import Sampled, simulate, stored_row
from spinlock.storage import Layout, Row
from spinlock.storage.feature_layout import EXTRACTION_TIME

INPUT_TOLERANCE = 1e-5
OUTPUT_TOLERANCE = 1e-4
"""One step rounds by about 1e-7; λ, from the last half of a rollout, leaves out what grew before.

128 rows of 3 to 40 steps made with SSE4.1 and with AVX-512 differed by at most 1.5e-5·e^{λT}.
"""

COMPARABLE = 0.1
"""Expected relative difference above which a chaotic row says nothing."""

UNKNOWN_EXPONENT = 0.5
"""λ per step allowed to a row too short to have its own; operators beyond it are rare."""


def replayed_rows(count: int, samples: int) -> list[int]:
    """Return ``count`` rows spread evenly from the first to the last."""
    return sorted({round(row) for row in np.linspace(0, samples - 1, min(count, samples)).tolist()})


def replay_rows(dataset: Dataset, count: int, note: Callable[[str], None]) -> Iterator[str]:
    """Yield what differs in ``count`` rows made again; ``note`` is told what cannot be compared."""
    prepare_process()
    exact = dataset.same_environment
    if not exact:
        note("made in another environment (device model, torch build, instruction set): tolerances apply")
    for index in replayed_rows(count, len(dataset)):
        draw = dataset.draw(index)
        sample = simulate(dataset.plan, draw, torch.device("cpu"), keep=_kept_frames(dataset))
        row = stored_row(dataset.plan, sample)
        if exact:
            yield from _exact_faults(dataset, index, row)
            yield from _feature_faults(dataset, index, sample, note)
        else:
            yield from draw_faults(dataset, draw)
            yield from _close_faults(dataset, index, sample, row, note)


def _kept_frames(dataset: Dataset) -> tuple[int, ...]:
    """Return the frames to make again: all of them where features are measured of them."""
    if dataset.layout.features is None:
        return dataset.timesteps
    return tuple(range(dataset.config.simulation.num_timesteps + 1))


def _feature_faults(
    dataset: Dataset, index: int, sample: Sampled, note: Callable[[str], None]
) -> Iterator[str]:
    layout, facts = dataset.layout.features, dataset.feature_attributes
    if layout is None or not np.isfinite(dataset.table(EXTRACTION_TIME)[index]):
        return
    here = [numerical_environment(torch.device("cpu"))]
    current = feature_layout(layout.frames, layout.version)
    if json.loads(facts["environments"]) != here or current.registry_hash != layout.registry_hash:
        note(f"row {index}: features were measured elsewhere, or by other definitions: not compared")
        return
    choice = FeatureChoice(layout.version, tuple(json.loads(facts["categories"])))
    features = measure_features(dataset.plan, sample.draw, sample.operator, sample.rollout.frames, choice)
    for path, made in feature_entries(layout, features).items():
        if not np.array_equal(dataset.table(path)[index], made, equal_nan=made.dtype.kind == "f"):
            yield f"row {index}: {path} is not what its frames give"


def row_fields(row: Row) -> dict[str, np.ndarray]:
    """Return the fields of a row by their paths."""
    fields = {"inputs/fields": row.inputs, "outputs/fields": row.outputs}
    return fields if row.trajectories is None else {**fields, "outputs/trajectories": row.trajectories}


def as_stored(layout: Layout, fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return fields as a reader of the file would get them: rounded to the storage precision, float32."""
    encode = layout.storage_precision.encode
    return {path: encode(values).astype(np.float32) for path, values in fields.items()}


def field_faults(dataset: Dataset, index: int, fields: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Yield those of a row's fields, made again, that are not, bit for bit, the stored ones."""
    for path, made in as_stored(dataset.layout, fields).items():
        stored = dataset.array(path, index)
        if not np.array_equal(stored.view(np.uint32), np.ascontiguousarray(made).view(np.uint32)):
            both = np.isfinite(stored) & np.isfinite(made)
            largest = float(np.abs(stored - made)[both].max(initial=0.0))
            yield f"row {index}: {path} is not what its draw makes (largest difference {largest:.3g})"


def _exact_faults(dataset: Dataset, index: int, row: Row) -> Iterator[str]:
    yield from field_faults(dataset, index, row_fields(row))
    for path, value in row.table.items():
        stored_value = dataset.table(path)[index]
        if not np.array_equal(stored_value, value, equal_nan=isinstance(value, float)):
            yield f"row {index}: {path} is {stored_value}, made again it is {value}"


def _close_faults(
    dataset: Dataset, index: int, sample: Sampled, row: Row, note: Callable[[str], None]
) -> Iterator[str]:
    bound = dataset.layout.storage_precision.relative_error
    made = as_stored(dataset.layout, row_fields(row))
    stored = {path: dataset.array(path, index) for path in made}
    if not _close(stored["inputs/fields"], made["inputs/fields"], INPUT_TOLERANCE + 2 * bound):
        yield f"row {index}: inputs/fields differs by more than {INPUT_TOLERANCE:g} from what its draw makes"
    exponent, steps = float(dataset.metadata["lyapunov"][index]), dataset.config.simulation.num_timesteps
    growth = steps * (max(exponent, 0.0) if math.isfinite(exponent) else UNKNOWN_EXPONENT)
    tolerance = OUTPUT_TOLERANCE * math.exp(min(growth, 50.0))
    label = str(dataset.metadata["dynamics"][index])
    if tolerance > COMPARABLE or "diverged" in (label, sample.rollout.dynamics):
        note(f"row {index}: outputs not comparable (λ·T = {growth:.1f}, {label})")
        return
    for path, fields in stored.items():
        if path != "inputs/fields" and not _close(fields, made[path], tolerance + 2 * bound):
            yield f"row {index}: {path} differs by more than {tolerance:.2g} from what its draw makes"


def _close(stored: np.ndarray, made: np.ndarray, tolerance: float) -> bool:
    """Return whether the rms difference is within ``tolerance`` of the stored field's rms."""
    finite = np.isfinite(stored)
    if not np.array_equal(finite, np.isfinite(made)):
        return False
    return _rms((stored - made)[finite]) <= tolerance * _rms(stored[finite])


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0
