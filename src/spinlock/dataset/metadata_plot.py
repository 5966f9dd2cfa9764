"""The metadata of a dataset as a figure, in a file or in memory: what was sampled and what became of it."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.counting import counted
from spinlock.dataset.acting import acting_rows
from spinlock.dataset.open import complete_file
from spinlock.dataset.output import check_name, check_writable
from spinlock.dataset.statements import understood
from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose, words
from spinlock.storage import StoredDataset
from spinlock.storage.atomic import committed, write_errors
from spinlock.storage.feature_layout import AGGREGATED
from spinlock.visualization.metadata_figure import Axis, Metadata, metadata_figure
from spinlock.visualization.notebook_figure import NotebookFigure

SUFFIXES = (".png", ".pdf", ".svg")

MOST_POINTS = 4000
"""Samples shown as points of their own; of more, that many are chosen by keys."""

PAIR = ("gain", "noise_scale")
"""The parameters that are drawn against each other where a space has them, before any others."""

GROUPINGS = {"initial condition": "ic_types", "update policy": "rollout_policies"}


def checked_target(output: str | Path) -> Path:
    """Return the path of a picture, or raise `UsageError` where it cannot be one."""
    path = Path(output).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: end it in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}; make it, or choose another")
    check_name(path, "--plot")
    check_writable(path, "--plot")
    return path


def write_metadata_plot(dataset: str | Path, output: str | Path) -> Path:
    """Write the figure of a dataset's metadata, as PNG, PDF or SVG by the suffix, and return its path.

    The same dataset gives the same bytes, with the same version of matplotlib and its settings.

    Raises
    ------
    UsageError
        For another suffix, or a path that cannot be written; the dataset is not opened then.
    StorageError
        For a dataset that is missing or damaged, or a picture that cannot be written; an older one stays.
    """
    path = checked_target(output)
    with complete_file(dataset) as file:
        picture = _drawn(plot_metadata(file), path.suffix.lower()[1:])
    with committed(path) as temporary, write_errors(path):
        temporary.write_bytes(picture)
    return path


def _drawn(figure: NotebookFigure, kind: str) -> bytes:
    """Return the picture as a file of that kind, without what differs from call to call."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    undated = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[kind]
    with mpl.rc_context({"svg.hashsalt": "spinlock"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name in another script
        figure.savefig(buffer, format=kind, dpi=120, metadata=undated)
    return buffer.getvalue()


def plot_metadata(file: StoredDataset) -> NotebookFigure:
    """Return the figure of an open dataset; whole columns are read, and features of the points shown."""
    layout = file.layout
    with understood(file.path):
        steps = int(file.config["simulation"]["num_timesteps"])
        logarithmic = _logarithmic(file.config["parameter_space"])
        parameters = [
            Axis(
                p.name,
                file.table(f"parameters/values/{p.name}"),
                p.name in logarithmic,
                acting_rows(file, p.name),
            )
            for p in layout.parameters
        ]
        dynamics = file.table("metadata/dynamics")
        points = chosen_rows(layout.samples, MOST_POINTS)
        sizes = f"{counted(layout.samples, 'sample')} × {counted(layout.realizations, 'realization')}"
        return metadata_figure(
            Metadata(
                title=f"{file.path.name}: {sizes}, {counted(steps, 'step')}",
                parameters=parameters,
                dynamics=dynamics,
                groupings={heading: file.table(f"metadata/{name}") for heading, name in GROUPINGS.items()},
                lyapunov=file.table("metadata/lyapunov"),
                finite_steps=file.table("metadata/finite_steps"),
                num_timesteps=steps,
                points=points,
                pair=_pair(parameters),
                plane=None if layout.features is None else principal_plane(_features(file, points)),
            )
        )


def chosen_rows(count: int, most: int) -> NDArray[np.int64]:
    """Return all rows, or ``most`` of them chosen by keys, ascending."""
    if count <= most:
        return np.arange(count)
    drawn = words(Key(0, "metadata plot"), Purpose.CHOICE, np.arange(count), 1)[:, 0]
    return np.sort(np.argsort(drawn, kind="stable")[:most])


def _logarithmic(space: Any) -> set[str]:
    """Return the names of the parameters that are sampled on a logarithmic scale."""
    named = {name: parameter for heading in space.values() for name, parameter in (heading or {}).items()}
    return {name for name, parameter in named.items() if parameter.get("log_scale")}


def _pair(parameters: list[Axis]) -> tuple[Axis, Axis] | None:
    """Return the two real parameters that are drawn against each other, if there are two."""
    real = [parameter for parameter in parameters if parameter.values.dtype.kind == "f"]
    real.sort(key=lambda parameter: PAIR.index(parameter.name) if parameter.name in PAIR else len(PAIR))
    return (real[0], real[1]) if len(real) > 1 else None


def _features(file: StoredDataset, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the aggregated features of some rows, ascending; the table is read block by block."""
    parts: list[NDArray[np.float32]] = []

    def take(first: int, block: NDArray[np.float32]) -> None:
        low, high = np.searchsorted(rows, (first, first + len(block)))
        parts.append(block[rows[low:high] - first])

    file.copy_table(AGGREGATED, take)
    return np.concatenate(parts)


def principal_plane(
    values: NDArray[np.float32],
) -> tuple[NDArray[np.float64], tuple[float, float]] | None:
    """Return the first two principal components of ranked columns [n, k], and their shares of variance.

    A value becomes its rank among the finite ones of its column, from −1/2 to 1/2 with ties at their mean,
    so that no scale and no outlier counts; what is not finite becomes 0. Rows without any finite value become
    NaN. None where fewer than three rows have values, or fewer than two columns vary.
    """
    known = np.isfinite(values)
    rows = known.any(axis=1)
    if rows.sum() < 3:
        return None
    ranks = np.stack([_ranks(values[rows, k], known[rows, k]) for k in range(values.shape[1])], axis=1)
    ranks -= ranks.mean(axis=0)
    varying = np.ptp(ranks, axis=0) > 0
    if varying.sum() < 2:
        return None
    left, size, right = np.linalg.svd(ranks[:, varying], full_matrices=False)
    signs = np.sign(right[np.arange(2), np.abs(right[:2]).argmax(axis=1)])
    points = np.full((len(values), 2), np.nan)
    points[rows] = left[:, :2] * size[:2] * signs
    shares = np.square(size) / np.square(size).sum()
    return points, (float(shares[0]), float(shares[1]))


def _ranks(column: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the ranks of the known values, −1/2 to 1/2; 0 for the others."""
    ranks = np.zeros(len(column))
    _, place, count = np.unique(column[known], return_inverse=True, return_counts=True)
    if place.size > 1:
        ranks[known] = ((count.cumsum() - (count + 1) / 2) / (place.size - 1))[place] - 0.5
    return ranks
