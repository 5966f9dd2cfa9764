"""A figure of one ensemble: its initial condition, realizations, aggregates, and their spectra."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter
from numpy.typing import NDArray
from torch import Tensor

from spinlock.numerics.spectral import radial_spectrum
from spinlock.visualization.aggregates import Aggregate, EnsembleFrame, aggregates
from spinlock.visualization.colour import DEFAULT_COLORMAP, colour_bounds, colour_field, heatmap_bounds
from spinlock.visualization.notebook_figure import NotebookFigure
from spinlock.visualization.paint import Blend

PANEL = 1.7
"""Inches of a picture's side."""


def ensemble_figure(
    initial: NDArray[np.float32],
    states: NDArray[np.float32],
    *,
    title: str,
    time: int,
    shown: int = 3,
    names: Sequence[str] = ("mean", "envelope", "entropy", "spectral"),
    colormap: str = DEFAULT_COLORMAP,
) -> NotebookFigure:
    """Return a figure: pictures above, radial power spectra below.

    Parameters
    ----------
    initial
        Frame 0 [C, H, W].
    states
        The realizations at one time [M, C, H, W]; NaN where they diverged.
    title, time
        The heading, and the time step of the states.
    shown
        Realizations shown themselves, at most.
    names
        Aggregates, of all realizations.
    colormap
        Of fields with one channel.

    Notes
    -----
    Each picture has its own scale, the 1 % and 99 % quantiles. A spectrum is the mean power of a bin on the
    rings of 1 to N/2 cycles a side (`spinlock.numerics.spectral.radial_spectrum`), the mean over channels.
    """
    entries = [aggregates[name] for name in names]
    count = min(shown, len(states))
    columns = 1 + count + len(entries)
    figure = NotebookFigure(figsize=(PANEL * columns, 2.4 * PANEL), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    grid = figure.add_gridspec(2, columns, height_ratios=(1, 1.1))
    panels = [figure.add_subplot(grid[0, place]) for place in range(columns)]
    _show_field(panels[0], "input, t = 0", initial, colormap)
    for number in range(count):
        _show_field(panels[1 + number], f"realization {number}, t = {time}", states[number], colormap)
    frame = EnsembleFrame.of(torch.from_numpy(np.ascontiguousarray(states)))
    for axes, entry in zip(panels[1 + count :], entries, strict=True):
        _show_aggregate(axes, entry, frame, colormap)
    _draw_spectra(figure.add_subplot(grid[1, :]), initial, states, time)
    return figure


def _bare(axes: Axes, heading: str) -> None:
    axes.set_title(heading, fontsize="small")
    axes.set_box_aspect(1)
    axes.set_xticks([])
    axes.set_yticks([])


def _show_field(axes: Axes, heading: str, field: NDArray[np.float32], colormap: str) -> None:
    if np.isfinite(field).all():
        axes.imshow(colour_field(field, colormap), interpolation="nearest")
    else:
        axes.text(0.5, 0.5, "diverged", ha="center", va="center", transform=axes.transAxes)
    _bare(axes, heading)


def _show_aggregate(axes: Axes, entry: Aggregate, frame: EnsembleFrame | None, colormap: str) -> None:
    if frame is None:
        axes.text(0.5, 0.5, "diverged", ha="center", va="center", transform=axes.transAxes)
        return _bare(axes, entry.name)
    maps = entry(frame).numpy()
    if entry.kind == "heatmap":
        _show_heatmap(axes, entry, maps[0])
    elif entry.kind == "overlay":
        blend = Blend(colour_bounds(maps[0]), float(maps[4].max()))
        axes.imshow(blend(maps), interpolation="nearest")
    else:
        axes.imshow(colour_field(maps, colormap), interpolation="nearest")
    return _bare(axes, entry.name)


def _show_heatmap(axes: Axes, entry: Aggregate, values: NDArray[np.float32]) -> None:
    low, high = heatmap_bounds(values)
    high = high if high > low else low + 1.0
    image = axes.imshow(values, cmap=entry.colormap, interpolation="nearest", vmin=low, vmax=high)
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.9)
    bar.ax.tick_params(labelsize="x-small")
    bar.formatter = ScalarFormatter(useOffset=False)


def _draw_spectra(axes: Axes, initial: NDArray[np.float32], states: NDArray[np.float32], time: int) -> None:
    alive = states[np.isfinite(states).all(axis=(1, 2, 3))]
    for fields, colour, label in (
        (initial[None], "black", "input"),
        (alive, "tab:blue", f"realizations, t = {time}"),
    ):
        if not len(fields):
            continue
        spectra = _rings(torch.from_numpy(np.ascontiguousarray(fields)))
        for number, spectrum in enumerate(spectra):
            axes.loglog(
                np.arange(1, len(spectrum) + 1),
                spectrum,
                color=colour,
                linewidth=1.0 if len(spectra) < 2 else 0.7,
                label=label if number == 0 else None,
            )
    axes.set_xlabel("cycles a side", fontsize="small")
    axes.set_ylabel("power", fontsize="small")
    axes.tick_params(labelsize="small")
    axes.legend(fontsize="small", frameon=False)


def _rings(fields: Tensor) -> NDArray[np.float64]:
    """Return the power of each field [B, C, H, W] in rings 1 to N/2, mean over channels [B, ring]."""
    spectra = radial_spectrum(fields).mean(dim=1)[:, 1 : fields.shape[-1] // 2 + 1].numpy()
    return np.where(spectra > 0, spectra, np.nan)
