"""Every test runs with array shapes checked at call time and numerics on one thread."""

from jaxtyping import install_import_hook

with install_import_hook(
    [f"spinlock.{package}" for package in ("numerics", "sampling", "initial_conditions", "operators", "rollout")],
    "beartype.beartype",
):
    import spinlock.initial_conditions
    import spinlock.operators
    import spinlock.rollout
    import spinlock.sampling  # noqa: F401

import torch

torch.set_num_threads(1)
