"""A figure of a dataset's metadata: what was sampled, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from spinlock.visualization.notebook_figure import NotebookFigure

COLOURS = {
    "chaotic": ("#D55E00", "^"),
    "active": ("#009E73", "o"),
    "periodic": ("#56B4E9", "D"),
    "frozen": ("#0072B2", "s"),
    "dead": ("#000000", "X"),
    "growing": ("#E69F00", "P"),
    "diverged": ("#CC79A7", "v"),
    "short": ("#F0E442", "h"),
}
"""Colour and marker of each dynamics label; Okabe and Ito's colours (2008), which all readers tell apart."""

OTHER = ("#999999", "*")
"""Those of any other label."""

WIDTH, ACROSS, PANEL, BAR = 14.0, 4, 2.6, 0.24
"""Inches of the figure, panels beside each other, inches of a panel's height and of a bar's."""

MOST_BINS = 24
MOST_BARS = 12
"""Different values that have a bar each; numbers of more are binned, of more names the rarest share a bar."""

MOST_GROUPS = 40

TEXT: dict[str, Any] = {"fontsize": "small", "parse_math": False}
"""How names are written: a ``$`` in one is a ``$``."""


@dataclass(frozen=True)
class Axis:
    """A column of N values and how its axis is drawn.

    Attributes
    ----------
    name, values
        The column.
    log
        Whether the axis is logarithmic.
    acts
        In which samples the value means something; None for all.
    """

    name: str
    values: NDArray[Any]
    log: bool = False
    acts: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Metadata:
    """What the figure shows, in columns of N values.

    Attributes
    ----------
    title
        The heading.
    parameters
        The sampled parameters.
    dynamics
        The label of each sample.
    groupings
        Heading → a name for each sample: the shares of dynamics are shown for each name.
    lyapunov
        The exponent of each sample, per step; NaN where it has none.
    finite_steps
        Finite frames of each realization [N, M], frame 0 included.
    num_timesteps
        Operator applications asked for.
    points
        Rows shown as points of their own.
    pair
        The axes of the scatter plot of parameters; None for no such plot.
    plane
        The first two principal components of the features of each of ``points`` [points, 2], and the shares
        of variance that they explain; None for no such plot.
    """

    title: str
    parameters: Sequence[Axis]
    dynamics: NDArray[Any]
    groupings: Mapping[str, NDArray[Any]]
    lyapunov: NDArray[np.float64]
    finite_steps: NDArray[np.int32]
    num_timesteps: int
    points: NDArray[np.int64]
    pair: tuple[Axis, Axis] | None = None
    plane: tuple[NDArray[np.float64], tuple[float, float]] | None = None

    @cached_property
    def labels(self) -> tuple[list[str], NDArray[np.int64]]:
        """The dynamics labels that occur, in the order of `COLOURS`, and which of them each sample has."""
        names, codes = np.unique(self.dynamics, return_inverse=True)
        known = [*COLOURS, *sorted(set(names.tolist()) - COLOURS.keys())]
        order = sorted(range(len(names)), key=lambda number: known.index(names[number]))
        return [str(names[number]) for number in order], np.argsort(order)[codes]


def metadata_figure(shown: Metadata) -> NotebookFigure:
    """Return the figure: shares of dynamics, what the rollouts did, and a histogram of each parameter.

    Colours are the dynamics labels everywhere. A histogram of a parameter is its marginal distribution,
    cut into the labels of its samples. Nothing of matplotlib's global state is touched.
    """
    rollouts = [_draw_finite]
    rollouts += [_draw_lyapunov] if np.isfinite(shown.lyapunov).any() else []
    rollouts += [_draw_pair] if shown.pair else []
    rollouts += [_draw_plane] if shown.plane else []
    bars = max(_bars(column) for column in shown.groupings.values())
    heights = [0.9 + BAR * bars, 1.3 * PANEL]
    if shown.parameters:
        heights.append(PANEL * ceil(len(shown.parameters) / ACROSS))
    figure = NotebookFigure(figsize=(WIDTH, sum(heights) + 0.9), layout="constrained")
    figure.suptitle(shown.title, parse_math=False)
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_groupings(parts[0], shown)
    panels = parts[1].subplots(1, ACROSS, squeeze=False)[0]
    for draw, axes in zip(rollouts, panels, strict=False):
        draw(axes, shown)
        axes.tick_params(labelsize="small")
    for axes in panels[len(rollouts) :]:
        axes.set_axis_off()
    if shown.parameters:
        _draw_parameters(parts[2], shown)
    figure.legend(
        handles=[_mark(label) for label in shown.labels[0]],
        loc="outside lower center",
        ncols=len(shown.labels[0]),
        title="dynamics",
        frameon=False,
    )
    return figure


def _look(label: str) -> tuple[str, str]:
    return COLOURS.get(label, OTHER)


def _mark(label: str) -> Line2D:
    colour, marker = _look(label)
    return Line2D(
        [], [], color=colour, marker=marker, linewidth=7, markersize=12, markeredgecolor="white", label=label
    )


def _bars(column: NDArray[Any]) -> int:
    return min(len(np.unique(column)), MOST_GROUPS)


def _grouped(column: NDArray[Any], most: int) -> tuple[list[str], NDArray[np.int64]]:
    """Return the values that occur, as text, and which of them each sample has; the rarest become one."""
    values, codes = np.unique(column, return_inverse=True)
    names = [f"{one:.4g}" if isinstance(one, np.floating) else str(one) for one in values]
    if len(names) <= most:
        return names, codes
    kept = np.sort(np.argsort(-np.bincount(codes), kind="stable")[: most - 1])
    place = np.full(len(names), most - 1)
    place[kept] = np.arange(most - 1)
    return [*(names[number] for number in kept), f"{len(names) - most + 1} others"], place[codes]


def _counts(shown: Metadata, codes: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """Return how many samples of each label are in each group [label, group]."""
    labels, label = shown.labels
    return np.bincount(label * groups + codes, minlength=len(labels) * groups).reshape(len(labels), groups)


def _draw_groupings(part: SubFigure, shown: Metadata) -> None:
    """Draw a bar for each name: the shares of the dynamics labels, and how many samples it has."""
    panels = part.subplots(1, len(shown.groupings), squeeze=False)[0]
    for axes, (heading, column) in zip(panels, shown.groupings.items(), strict=True):
        names, codes = _grouped(column, MOST_GROUPS)
        counts = _counts(shown, codes, len(names))
        total = counts.sum(axis=0)
        left = np.zeros(len(names))
        for label, count in zip(shown.labels[0], counts, strict=True):
            axes.barh(np.arange(len(names)), count / total, left=left, color=_look(label)[0], height=0.8)
            left += count / total
        said = [f"{name} ({count})" for name, count in zip(names, total, strict=True)]
        axes.set_yticks(np.arange(len(names)), said, **TEXT)
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.tick_params(labelsize="small")
        axes.set_title(f"dynamics by {heading} (samples)", fontsize="medium")


def _draw_finite(axes: Axes, shown: Metadata) -> None:
    """Draw the share of realizations that are finite, against the step."""
    last = shown.num_timesteps
    counts = np.bincount(np.clip(shown.finite_steps, 0, last + 1).ravel(), minlength=last + 2)
    finite = counts[::-1].cumsum()[::-1][1:] / shown.finite_steps.size
    axes.step(np.arange(last + 1), finite, where="post", color="black")
    axes.set_ylim(0, 1.05)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step")
    axes.set_title(f"finite realizations ({finite[-1]:.1%} at the end)", fontsize="medium")


def _draw_lyapunov(axes: Axes, shown: Metadata) -> None:
    """Draw a histogram of the exponents, cut into labels."""
    known = np.isfinite(shown.lyapunov)
    _stack_bins(axes, shown, Axis("", shown.lyapunov), known, bins=MOST_BINS)
    axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("λ per step")
    axes.set_title(f"Lyapunov exponent ({known.sum()} samples)", fontsize="medium")


def _draw_pair(axes: Axes, shown: Metadata) -> None:
    assert shown.pair is not None
    x, y = shown.pair
    _scatter(axes, shown, x.values[shown.points], y.values[shown.points])
    _scale(axes, "x", x.values, log=x.log)
    _scale(axes, "y", y.values, log=y.log)
    axes.set_xlabel(x.name, parse_math=False)
    axes.set_ylabel(y.name, parse_math=False)
    axes.set_title(f"{y.name} against {x.name}", fontsize="medium", parse_math=False)


def _draw_plane(axes: Axes, shown: Metadata) -> None:
    assert shown.plane is not None
    points, (first, second) = shown.plane
    _scatter(axes, shown, points[:, 0], points[:, 1])
    axes.set_xlabel(f"component 1 ({first:.0%})")
    axes.set_ylabel(f"component 2 ({second:.0%})")
    axes.set_title("features: principal components of ranks", fontsize="medium")


def _scale(axes: Axes, which: str, values: NDArray[Any], *, log: bool) -> None:
    """Make an axis linear or logarithmic, with numbers written out, and few where they would touch."""
    if not log or values.min() <= 0:
        return
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    decades = np.log10(values.max() / values.min())
    axis.set_major_locator(LogLocator(numticks=5) if decades > 2 else MaxNLocator(4, steps=[1, 2, 5, 10]))
    if 1 < decades <= 2:
        axis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _scatter(axes: Axes, shown: Metadata, x: NDArray[Any], y: NDArray[Any]) -> None:
    """Draw the points, labels that many samples have below those that few have."""
    names, codes = shown.labels
    label = codes[shown.points]
    size = np.clip(2000 / max(1, len(label)), 6, 36)
    for number in np.argsort(-np.bincount(label, minlength=len(names)), kind="stable"):
        colour, marker = _look(names[number])
        chosen = label == number
        axes.scatter(x[chosen], y[chosen], s=size, c=colour, marker=marker, alpha=0.75, linewidths=0)


def _draw_parameters(part: SubFigure, shown: Metadata) -> None:
    """Draw the marginal of each parameter in the samples where it acts, cut into labels."""
    rows = ceil(len(shown.parameters) / ACROSS)
    panels = part.subplots(rows, ACROSS, squeeze=False).ravel()
    for axes, parameter in zip(panels, shown.parameters, strict=False):
        title = parameter.name
        if parameter.acts is None or parameter.acts.all():
            _draw_marginal(axes, shown, parameter)
        else:
            title += f" (acts in {parameter.acts.sum()})"
            acting = replace(shown, dynamics=shown.dynamics[parameter.acts])
            _draw_marginal(axes, acting, replace(parameter, values=parameter.values[parameter.acts]))
        axes.set_title(title, fontsize="medium", parse_math=False)
        axes.tick_params(labelsize="small")
    for axes in panels[len(shown.parameters) :]:
        axes.set_axis_off()
    part.supylabel("samples", fontsize="medium")


def _draw_marginal(axes: Axes, shown: Metadata, parameter: Axis) -> None:
    if parameter.values.size and _has_bars(parameter.values):
        _stack_bars(axes, shown, parameter)
        return
    known = np.isfinite(parameter.values)
    _stack_bins(axes, shown, parameter, known, bins=min(MOST_BINS, round(np.sqrt(known.sum())) or 1))


def _has_bars(values: NDArray[Any]) -> bool:
    """Return whether values are names, or numbers of which few are different; real ones must recur."""
    if values.dtype.kind in "USb":
        return True
    most = min(MOST_BARS, len(values) // 2) if values.dtype.kind == "f" else MOST_BARS
    return len(np.unique(values[:1000])) <= most and len(np.unique(values)) <= most


def _stack_bars(axes: Axes, shown: Metadata, parameter: Axis) -> None:
    names, codes = _grouped(parameter.values, MOST_BARS)
    place, base = np.arange(len(names)), np.zeros(len(names))
    for label, count in zip(shown.labels[0], _counts(shown, codes, len(names)), strict=True):
        axes.bar(place, count, bottom=base, color=_look(label)[0], width=0.8)
        base += count
    crowded = sum(map(len, names)) > 28
    turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(place, names, **TEXT, **turned)
    axes.set_xlim(-0.6, max(len(names), 2) - 0.4)
    _count_axis(axes, base)


def _stack_bins(axes: Axes, shown: Metadata, parameter: Axis, known: NDArray[np.bool_], bins: int) -> None:
    """Draw a histogram of the values that are ``known``, in equal bins of the axis, cut into labels."""
    values = parameter.values[known].astype(np.float64)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    log = parameter.log and low > 0
    if low == high:
        low, high = (low / 2, high * 2) if log else (low - 0.5, high + 0.5)
    edges = np.geomspace(low, high, bins + 1) if log else np.linspace(low, high, bins + 1)
    labels, label = shown.labels
    base = np.zeros(bins)
    for number, name in enumerate(labels):
        count, _ = np.histogram(values[label[known] == number], edges)
        axes.bar(edges[:-1], count, np.diff(edges), base, color=_look(name)[0], align="edge", linewidth=0)
        base += count
    _scale(axes, "x", edges, log=log)
    axes.set_xlim(low, high)
    _count_axis(axes, base)


def _count_axis(axes: Axes, counts: NDArray[Any]) -> None:
    axes.set_ylim(0, 1.05 * max(1, counts.max()))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
