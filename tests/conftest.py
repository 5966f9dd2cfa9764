"""Every test runs with array shapes checked at call time and numerics on one thread."""

from jaxtyping import install_import_hook

NUMERICAL = (
    "numerics",
    "sampling",
    "initial_conditions",
    "operators",
    "rollout",
    "features",
    "visualization.aggregates",
)

install_import_hook([f"spinlock.{package}" for package in NUMERICAL], "run_time_types.check")

import hypothesis  # noqa: E402
import torch  # noqa: E402

hypothesis.settings.register_profile("reproducible", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("reproducible")
torch.set_num_threads(1)
