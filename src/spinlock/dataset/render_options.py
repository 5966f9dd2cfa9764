"""What a clip of a dataset shows, and how: options with their defaults, checked when they are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from spinlock.dataset.selection import SELECTIONS, Selection
from spinlock.errors import UsageError
from spinlock.keys import MAX_STEP
from spinlock.numerics.devices import parse_device
from spinlock.registry import unknown_name
from spinlock.visualization.aggregates import DEFAULT_AGGREGATES, aggregates
from spinlock.visualization.colour import DEFAULT_COLORMAP, lookup_table
from spinlock.visualization.scales import (
    COLOUR_MODES,
    NORMALIZATIONS,
    ColourMode,
    ColourStyle,
    Normalization,
)
from spinlock.visualization.sheet import SheetStyle

Format = Literal["video", "frames", "both"]
FORMATS: tuple[Format, ...] = get_args(Format)


COUNTS = ("n_operators", "n_realizations", "display_realizations", "steps", "stride")


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """What a clip shows, and how; every option has the name of its flag.

    Attributes
    ----------
    n_operators, sampling_method, seed, operator_indices
        How many rows, chosen how; or which ones.
    n_realizations
        Realizations that enter pictures and aggregates: the first so many; None for all.
    display_realizations
        Realizations that are shown themselves.
    steps, stride
        Every ``stride``-th of the frames 0 to ``steps`` − 1.
    size
        Height and width of a cell in pixels.
    aggregates
        Names, in the order of their columns.
    color_norm_mode, normalization, clamp_min, clamp_max, colormap
        As in `spinlock.visualization.scales.ColourStyle`.
    add_spacing
        Space between cells.
    device
        Where rollouts run; auto takes the kind of device that made the dataset, if there is one.

    Raises
    ------
    UsageError
        For a value that is not allowed, with those that are.
    """

    n_operators: int = 10
    sampling_method: Selection = "sobol"
    seed: int = 42
    operator_indices: Sequence[int] = ()
    n_realizations: int | None = None
    display_realizations: int = 2
    steps: int = 500
    stride: int = 1
    size: tuple[int, int] = (64, 64)
    aggregates: Sequence[str] = DEFAULT_AGGREGATES
    color_norm_mode: ColourMode = "per-cell"
    normalization: Normalization = "none"
    clamp_min: float | None = None
    clamp_max: float | None = None
    colormap: str = DEFAULT_COLORMAP
    add_spacing: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what is not allowed."""
        self._check_types()
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and not 1 <= value < MAX_STEP:
                raise UsageError(f"{flag(name)} {value} is not allowed: it must be in [1, {MAX_STEP - 1}]")
        if not all(1 <= side < MAX_STEP for side in self.size):
            height, width = self.size
            raise UsageError(
                f"--size {height}x{width} is not allowed: each side must be in [1, {MAX_STEP - 1}]"
            )
        for name, known in (
            ("sampling_method", SELECTIONS),
            ("color_norm_mode", COLOUR_MODES),
            ("normalization", NORMALIZATIONS),
        ):
            if getattr(self, name) not in known:
                raise unknown_name(flag(name), getattr(self, name), known)
        for number, name in enumerate(self.aggregates):
            if name in self.aggregates[:number]:
                raise UsageError(f"--aggregates: {name} is given twice")
            if name not in aggregates:
                raise unknown_name("aggregate", name, aggregates)
        self._check_clamps()
        lookup_table(self.colormap)
        if self.device != "auto":
            parse_device(self.device)

    def _check_types(self) -> None:
        """Refuse what a caller in Python may give and the command line cannot."""
        for name in COUNTS:
            if not isinstance(getattr(self, name), int | None):
                raise UsageError(f"{name} = {getattr(self, name)!r} is not allowed: it must be an integer")
        if isinstance(self.aggregates, str):
            raise UsageError(f"aggregates = {self.aggregates!r} is not allowed: give a list of names")
        if not isinstance(self.size, tuple | list) or len(self.size) != 2:
            raise UsageError(f"size = {self.size!r} is not allowed: give (height, width) in pixels")

    def _check_clamps(self) -> None:
        for name in ("clamp_min", "clamp_max"):
            if not math.isfinite(getattr(self, name) or 0.0):
                raise UsageError(f"{flag(name)} {getattr(self, name)} is not allowed: it must be finite")
        if self.clamp_min is not None and self.clamp_max is not None and not self.clamp_min < self.clamp_max:
            raise UsageError(f"--clamp-min {self.clamp_min} must be less than --clamp-max {self.clamp_max}")

    @property
    def times(self) -> range:
        """The time steps of the frames."""
        return range(0, self.steps, self.stride)

    @property
    def colours(self) -> ColourStyle:
        """How values become colours."""
        return ColourStyle(
            self.color_norm_mode, self.normalization, self.clamp_min, self.clamp_max, self.colormap
        )

    @property
    def style(self) -> SheetStyle:
        """Cells and spacing."""
        return SheetStyle(self.size, self.add_spacing)


def check_rate(fps: int) -> None:
    """Raise `UsageError` unless ``fps`` is a number of frames a second."""
    if not isinstance(fps, int) or fps < 1:
        raise UsageError(f"--fps {fps} is not allowed: it must be an integer of at least 1")


def flag(name: str) -> str:
    """Return an option as written on the command line."""
    return f"--{name.replace('_', '-')}"
