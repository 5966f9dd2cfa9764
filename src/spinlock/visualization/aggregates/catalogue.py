"""The declaration of an aggregate: a decorated function that draws maps from an ensemble at one time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spinlock.errors import SpinlockError
from spinlock.registry import Entry, Registry, options_of, summary_of

if TYPE_CHECKING:
    from torch import Tensor

    from spinlock.visualization.aggregates.frame import EnsembleFrame

Kind = Literal["field", "overlay", "components", "heatmap"]
"""What the maps are: channels; luminance, hue colour and weight; red, green and blue; one number a pixel."""

DEPTHS = {"overlay": 5, "components": 3, "heatmap": 1}
"""Maps of each kind; a field has one for each channel."""

DEFAULT_AGGREGATES = ("mean", "envelope", "entropy")
"""What a clip shows unless it is told otherwise."""

aggregates: "Registry[Aggregate]" = Registry("aggregate", "spinlock.visualization.aggregates")
"""Every aggregate, by name."""


@dataclass(frozen=True, kw_only=True)
class Aggregate(Entry):
    """One aggregate: call it with an `EnsembleFrame` for its maps [d, H, W] float32.

    Attributes
    ----------
    kind
        What its maps are, and so how they are drawn.
    colormap
        Default colormap of a heatmap, empty for the other kinds.
    permutable
        Whether the order of the realizations changes nothing beyond rounding.
    remark
        A number of each frame that its header shows.
    """

    kind: Kind
    colormap: str = ""
    permutable: bool = True
    remark: "Callable[[EnsembleFrame], float] | None" = None

    def __post_init__(self) -> None:
        """Refuse a heatmap without a colormap, and a colormap of anything else."""
        super().__post_init__()
        if (self.kind == "heatmap") != bool(self.colormap):
            raise TypeError(
                f"aggregate {self.name!r}: a heatmap needs a colormap and the other kinds have none; "
                f"its kind is {self.kind!r} and its colormap {self.colormap!r}"
            )

    def depth(self, channels: int) -> int:
        """Return the number d of its maps for fields of so many channels."""
        return DEPTHS.get(self.kind, channels)

    def __call__(self, frame: "EnsembleFrame") -> "Tensor":
        """Return its maps of one frame, [d, H, W] float32.

        Raises
        ------
        SpinlockError
            If its function returns anything else.
        """
        maps = self.function(frame)
        _, channels, height, width = frame.fields.shape
        expected = (self.depth(channels), height, width)
        if tuple(maps.shape) != expected or str(maps.dtype) != "torch.float32":
            raise SpinlockError(
                f"aggregate {self.name!r} returned {list(maps.shape)} {maps.dtype}, but a picture of kind "
                f"{self.kind!r} is {list(expected)} torch.float32 here: correct the function that draws it"
            )
        return maps


def aggregate(
    *,
    kind: Kind,
    colormap: str = "",
    permutable: bool = True,
    remark: "Callable[[EnsembleFrame], float] | None" = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function ``(frame) -> Tensor`` as the aggregate of its name; arguments as in `Aggregate`.

    The function returns maps [d, H, W] float32 on the device of the fields: C of them for a field, 5 for an
    overlay, 3 for components, 1 for a heatmap. Its docstring is its definition.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        aggregates.add(
            Aggregate(
                function.__name__,
                function,
                options_of(function),
                summary_of(function),
                kind=kind,
                colormap=colormap,
                permutable=permutable,
                remark=remark,
            )
        )
        return function

    return register
