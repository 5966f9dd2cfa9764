"""In which rows a sampled parameter acts: some mean nothing without a policy, a schedule or noise.

It says what the catalogues say of these options (`spinlock.registry.When`), which take torch to load; a test
compares both.
"""

import numpy as np
from numpy.typing import NDArray

from spinlock.storage import StoredDataset

POLICY, NOISE = "update_policy", "noise_scale"

ACTS_WHERE: dict[str, tuple[str, tuple[str, ...]]] = {
    "alpha": (POLICY, ("convex",)),
    "dt": (POLICY, ("residual",)),
    "noise_location": (NOISE, ()),
    "noise_schedule": (NOISE, ()),
    "noise_type": (NOISE, ()),
    "schedule_period": ("noise_schedule", ("annealing", "periodic")),
    "spatial_correlation": (NOISE, ()),
}
"""Parameter → another one and the values with which it acts; with noise, wherever there is some."""

POLICIES = ("autoregressive", "residual", "convex")
"""Policies whose constants are known here: in rows of any other, which a plugin made, all may act."""


def acting_rows(file: StoredDataset, name: str) -> NDArray[np.bool_]:
    """Return in which rows [N] of a dataset a sampled parameter acts."""
    rows = np.ones(file.layout.samples, bool)
    while name in ACTS_WHERE:
        name, values = ACTS_WHERE[name]
        if name == POLICY:
            policies = file.table("metadata/rollout_policies")
            rows &= np.isin(policies, values) | ~np.isin(policies, POLICIES)
        elif name == NOISE:
            rows &= file.table("metadata/noise_regimes") != "none"
        elif name in {parameter.name for parameter in file.layout.parameters}:
            rows &= np.isin(file.table(f"parameters/values/{name}"), values)
    return rows
