"""A figure of one row of a dataset, from what is stored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spinlock.errors import UsageError
from spinlock.visualization.figure import ensemble_figure
from spinlock.visualization.notebook_figure import NotebookFigure

if TYPE_CHECKING:
    from spinlock.dataset.open import Dataset


def plot_row(dataset: "Dataset", row: int, aggregates: Sequence[str] | None, shown: int) -> NotebookFigure:
    """Return the figure of a row; arguments as in `Dataset.plot`."""
    if shown < 0:
        raise UsageError(f"shown = {shown} is not allowed: it must be at least 0")
    sample = dataset[row]
    facts = sample.metadata
    said = facts["rollout_policies"], f"{facts['grid_sizes']}²", facts["ic_labels"], facts["dynamics"]
    title = " · ".join((f"#{row}", *said))
    chosen: dict[str, Any] = {} if aggregates is None else {"names": aggregates}
    return ensemble_figure(
        sample.inputs,
        sample.outputs,
        title=title,
        time=dataset.config.simulation.num_timesteps,
        shown=shown,
        **chosen,
    )
