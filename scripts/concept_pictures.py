"""The pictures of the pages on concepts; each function draws its own into a folder.

Everything is keyed by `SEED`, so a picture is drawn again from the same fields.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from spinlock.initial_conditions import generate
from spinlock.keys import Key
from spinlock.numerics.noise import NoiseModel, NoiseSchedule, NoiseStream, NoiseType, noise
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.operators import Operator, build
from spinlock.rollout import Rollout, UpdatePolicy, roll_out

SEED = 9
FIELDS = "RdBu_r"
LABEL_COLOURS = {
    "dead": "#bbbbbb",
    "frozen": "#56b4e9",
    "periodic": "#0072b2",
    "active": "#009e73",
    "growing": "#cc79a7",
    "chaotic": "#e69f00",
    "diverged": "#222222",
}
"""Colours of the dynamics labels, told apart by colour-blind readers too (after Okabe and Ito)."""

BOUNDED = {
    "num_layers": 2,
    "base_channels": 8,
    "normalization": "none",
    "activation": "tanh",
    "output_activation": "tanh",
}
"""Operators that saturate: what they give lies between −1 and 1."""

UNBOUNDED = BOUNDED | {"activation": "gelu", "output_activation": "linear"}


@dataclass(frozen=True)
class Case:
    """A rollout that a picture shows: its operator, noise, policy and length, and what is expected of it."""

    label: str
    sample: int
    operator: Mapping[str, Any]
    noise: Mapping[str, Any] = field(default_factory=dict)
    policy: str = "autoregressive"
    constants: Mapping[str, float] = field(default_factory=dict)
    steps: int = 300
    size: int = 32
    channels: int = 1

    def initial(self) -> Tensor:
        """Return frame 0, float32 [C, H, W]."""
        return generate("gaussian_random_field", self.size, self.channels, [self.sample], SEED)[0]

    def rollout(self) -> Rollout:
        """Return one realization with all its frames."""
        operator = build("cnn", self.operator, channels=self.channels, seed=SEED, sample=self.sample)
        with pinned_arithmetic(), torch.inference_mode():
            return roll_out(
                cast("Operator", operator),
                self.initial(),
                policy=UpdatePolicy.of(self.policy, self.constants),
                noise=noise(**self.noise),
                seed=SEED,
                sample=self.sample,
                num_realizations=1,
                num_timesteps=self.steps,
                keep=range(self.steps + 1),
            )


ONE_LAYER = BOUNDED | {"num_layers": 1, "base_channels": 4}

WIDE = {"kernel_size": 7}

CLASSES = (
    Case("dead", 0, BOUNDED | {"gain": 0.5}),
    Case("frozen", 1, ONE_LAYER | WIDE | {"gain": 1.64}, policy="convex", constants={"alpha": 0.41}),
    Case("periodic", 6, ONE_LAYER | WIDE | {"gain": 1.57, "bias_scale": 0.3}),
    Case("active", 1, BOUNDED | {"gain": 0.5}, {"noise_scale": 0.5, "spatial_correlation": 0.05}),
    Case("chaotic", 3, BOUNDED | WIDE | {"gain": 1.8}),
    Case("growing", 2, UNBOUNDED | {"gain": 0.9}, policy="residual", constants={"dt": 0.05}),
    Case("diverged", 1, UNBOUNDED | {"gain": 2.0}),
)
"""One rollout for each dynamics label."""

CLASS_FRAMES = (0, 4, 20, 299, 300)
POLICY_FRAMES = (0, 4, 16, 64)
POLICIES = (
    ("autoregressive\nx' = y", "autoregressive", {}),
    ("residual\nx' = x + 0.1·y", "residual", {"dt": 0.1}),
    ("convex\nx' = 0.8·x + 0.2·y", "convex", {"alpha": 0.8}),
)
GAINS = np.geomspace(0.5, 3.2, 9)
NOISE_SCALES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
OPERATORS_IN_A_CELL = 9


def draw_noise_types(images: Path) -> None:
    """Write the four noise types on one field, white and correlated."""
    x = generate("localized", 64, 1, [5], SEED)
    x = x / x.square().mean().sqrt()
    types: tuple[NoiseType, ...] = ("gaussian", "laplace", "multiplicative", "dropout")
    figure, axes = _sheet(3, 4)
    for column, name in enumerate(types):
        white, correlated = (
            noise(noise_type=name, noise_scale=0.5, spatial_correlation=length) for length in (0.0, 0.06)
        )
        disturbed = _disturbed(x, white)
        shown = (disturbed, disturbed - x, _disturbed(x, correlated) - x)
        for row, values in enumerate(shown):
            _show(axes[row][column], values[0, 0].numpy(), 3.0 if row == 0 else 1.5)
        axes[0][column].set_title(name, fontsize=15)
    for row, text in enumerate(("x + noise", "noise alone", "correlated")):
        axes[row][0].set_ylabel(text, fontsize=15)
    _save(figure, images / "noise_types.png")


def _disturbed(x: Tensor, model: NoiseModel) -> Tensor:
    """Return a state [1, C, H, W] as the operator sees it in the first step."""
    return NoiseStream(model, Key(SEED), 0, 0, x.shape[-1], x.device).state(x, 0)


def draw_noise_schedules(images: Path) -> None:
    """Write σ(t) of the three schedules."""
    figure = Figure(figsize=(7.2, 2.8), layout="constrained")
    axis = figure.subplots()
    steps = range(81)
    schedules: dict[NoiseSchedule, str] = {
        "constant": "#222222",
        "annealing": "#0072b2",
        "periodic": "#e69f00",
    }
    for name, colour in schedules.items():
        model = noise(noise_scale=1.0, noise_schedule=name, schedule_period=20.0)
        axis.plot(steps, [model.amplitude(t) for t in steps], label=name, color=colour, linewidth=2.5)
    axis.set_xlabel("step t  (schedule_period = 20)", fontsize=13)
    axis.set_ylabel("σ(t) / noise_scale", fontsize=13)
    axis.set_ylim(0, 1.08)
    axis.tick_params(labelsize=12)
    figure.legend(fontsize=13, loc="outside upper center", ncols=3, frameon=False)
    _save(figure, images / "noise_schedules.png")


def draw_policies(images: Path) -> None:
    """Write what one operator makes of one initial condition under each update policy."""
    options = BOUNDED | {"gain": 1.6}
    figure, axes = _sheet(len(POLICIES), len(POLICY_FRAMES), label_width=1.5)
    _name_times(axes[0], POLICY_FRAMES)
    for row, (text, policy, constants) in enumerate(POLICIES):
        case = Case("", 4, options, policy=policy, constants=constants, steps=POLICY_FRAMES[-1], size=64)
        frames = case.rollout().frames[0, :, 0].numpy()
        _row(axes[row], frames, POLICY_FRAMES, text)
    _save(figure, images / "update_policies.png")


def draw_dynamics(images: Path) -> None:
    """Write a rollout of each dynamics label as frames in time."""
    figure, axes = _sheet(len(CLASSES), len(CLASS_FRAMES), label_width=1.3)
    _name_times(axes[0], CLASS_FRAMES)
    for row, case in enumerate(CLASSES):
        rollout = case.rollout()
        if rollout.dynamics != case.label:
            raise AssertionError(f"sample {case.sample} is {rollout.dynamics}, not {case.label}")
        exponent = f"\nλ = {rollout.lyapunov:.2f}".replace("-", "−") if np.isfinite(rollout.lyapunov) else ""
        _row(axes[row], rollout.frames[0, :, 0].numpy(), CLASS_FRAMES, case.label + exponent)
    _save(figure, images / "dynamics_labels.png")


def draw_edge_of_chaos(images: Path) -> None:
    """Write the dynamics of operators over gain and noise, for two read-outs."""
    figure = Figure(figsize=(7.6, 8.6), layout="constrained")
    axes = figure.subplots(2, 1)
    titles = ("tanh activation, tanh read-out", "gelu activation, linear read-out")
    met: set[str] = set()
    for axis, options, title in zip(axes, (BOUNDED, UNBOUNDED), titles, strict=True):
        for column, gain in enumerate(GAINS):
            for row, scale in enumerate(NOISE_SCALES):
                labels = sorted(
                    _labels(options | {"gain": float(gain)}, scale), key=list(LABEL_COLOURS).index
                )
                _squares(axis, column, row, labels)
                met |= set(labels)
        _name_axes(axis, title)
    shown = [Patch(color=colour, label=label) for label, colour in LABEL_COLOURS.items() if label in met]
    figure.legend(handles=shown, loc="outside lower center", ncols=3, fontsize=13, frameon=False)
    _save(figure, images / "edge_of_chaos.png")


def _labels(options: Mapping[str, Any], scale: float) -> list[str]:
    """Return what became of the operators of one cell."""
    cases = (
        Case("", sample, options, {"noise_scale": scale}, steps=48, size=32, channels=3)
        for sample in range(OPERATORS_IN_A_CELL)
    )
    return [case.rollout().dynamics for case in cases]


def _squares(axis: Axes, column: int, row: int, labels: Sequence[str]) -> None:
    """Draw a cell as a square of squares, one for each operator."""
    side = round(len(labels) ** 0.5)
    for number, label in enumerate(labels):
        x, y = number % side, number // side
        corner = column + 0.05 + 0.9 * x / side, row + 0.05 + 0.9 * y / side
        axis.add_patch(Rectangle(corner, 0.9 / side, 0.9 / side, color=LABEL_COLOURS[label], linewidth=0))


def _name_axes(axis: Axes, title: str) -> None:
    axis.set_xlim(0, len(GAINS))
    axis.set_ylim(0, len(NOISE_SCALES))
    axis.set_xticks(np.arange(len(GAINS)) + 0.5, [f"{gain:.2g}" for gain in GAINS], fontsize=13)
    axis.set_yticks(np.arange(len(NOISE_SCALES)) + 0.5, [f"{scale:g}" for scale in NOISE_SCALES], fontsize=13)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("gain", fontsize=14)
    axis.set_ylabel("noise_scale", fontsize=14)
    axis.set_title(title, fontsize=15)


def _sheet(rows: int, columns: int, label_width: float = 0.4) -> tuple[Figure, Any]:
    """Return a figure of square panels without ticks."""
    cell = 1.55
    size = (cell * columns + label_width, cell * rows + 0.35)
    close = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
    figure = Figure(figsize=size, layout=close)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def _name_times(axes: Sequence[Axes], numbers: Sequence[int]) -> None:
    for axis, number in zip(axes, numbers, strict=True):
        axis.set_title(f"t = {number}", fontsize=15)


def _row(axes: Sequence[Axes], frames: np.ndarray, numbers: Sequence[int], text: str) -> None:
    """Show some frames [T, H, W] of a trajectory on one scale, which the first one may exceed.

    A frame that is not finite is hatched.
    """
    chosen = frames[list(numbers)]
    first, later = (np.abs(part[np.isfinite(part)]) for part in (chosen[:1], chosen[1:]))
    limit = max(0.4 * float(np.quantile(first, 0.995)), float(np.quantile(later, 0.995)))
    for axis, values in zip(axes, chosen, strict=True):
        _show(axis, values, limit)
    axes[0].set_ylabel(text, fontsize=14, rotation=0, ha="right", va="center", labelpad=8)


def _show(axis: Axes, values: np.ndarray, limit: float) -> None:
    if np.isfinite(values).all():
        axis.imshow(values, cmap=FIELDS, vmin=-limit, vmax=limit, interpolation="nearest")
    else:
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_box_aspect(1)
        axis.add_patch(
            Rectangle((0, 0), 1, 1, facecolor="white", edgecolor="#999999", hatch="//", linewidth=0)
        )


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=100, metadata={"Software": None})


PICTURES: dict[str, Callable[[Path], None]] = {
    "noise-types": draw_noise_types,
    "noise-schedules": draw_noise_schedules,
    "update-policies": draw_policies,
    "dynamics-labels": draw_dynamics,
    "edge-of-chaos": draw_edge_of_chaos,
}
"""What `render_docs.py` calls them, as the files are called, and what draws each."""
