"""A row and its draw: what the tables of a dataset say of a row must be what its draw says."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from spinlock.dataset.open import Dataset

if TYPE_CHECKING:
    from spinlock.execution.plan import Draw


def drawn_facts(draw: "Draw") -> dict[str, Any]:
    """Return what a draw alone decides of its row's metadata, by the names of the tables."""
    return {
        "ic_types": draw.ic_type,
        "ic_labels": draw.ic_label,
        "rollout_policies": draw.policy.name,
        "grid_sizes": draw.grid_size,
        "noise_regimes": draw.noise.regime,
    }


def draw_faults(dataset: Dataset, draw: "Draw") -> Iterator[str]:
    """Yield what the file says of a row that is not what its draw says."""
    row, columns = draw.index, dataset.metadata
    for name, value in drawn_facts(draw).items():
        if columns[name][row] != value:
            yield f"row {row}: metadata/{name} is {columns[name][row]}, the draw has {value}"
    options = json.loads(columns["ic_options"][row])
    for name, value in draw.ic_options.items():
        if name not in options or options[name] != value:
            yield f"row {row}: metadata/ic_options has {name} = {options.get(name)}, the draw has {value}"
    if not np.array_equal(dataset.points[row], draw.point):
        yield f"row {row}: parameters/params is not point {row} of the design"
    for name, column in dataset.parameters.items():
        if column[row] != draw.values[name]:
            yield f"row {row}: parameters/values/{name} is {column[row]}, the draw has {draw.values[name]}"
