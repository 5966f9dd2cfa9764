"""A clip in memory, which a notebook shows."""

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinlock.errors import UsageError
from spinlock.registry import unknown_name

if TYPE_CHECKING:
    from spinlock.dataset.open import Dataset
    from spinlock.dataset.render_options import RenderOptions


@dataclass(frozen=True)
class Animation:
    """A video in memory: a notebook shows it, `save` writes it.

    Attributes
    ----------
    data
        The file's bytes.
    suffix
        ``.mp4``.
    encoder
        What made it.
    size
        Height and width in pixels.
    frames, fps
        Their number, and frames a second.
    """

    data: bytes
    suffix: str
    encoder: str
    size: tuple[int, int]
    frames: int
    fps: int

    def _repr_html_(self) -> str:
        content = base64.b64encode(self.data).decode("ascii")
        height, width = self.size
        return (
            f'<video controls loop autoplay muted playsinline width="{width}" height="{height}" '
            f'src="data:video/{self.suffix[1:]};base64,{content}"></video>'
        )

    def __repr__(self) -> str:
        """Return what it is, in a line."""
        height, width = self.size
        return f"Animation({self.frames} frames of {width} × {height}, {self.fps} frames/s, {self.encoder})"

    def save(self, path: str | Path) -> Path:
        """Write the video to a file with its suffix, and return the path.

        Raises
        ------
        UsageError
            For another suffix.
        """
        target = Path(path)
        if target.suffix.lower() != self.suffix:
            raise UsageError(f"{target}: this animation is a {self.suffix} file")
        target.write_bytes(self.data)
        return target


def animate(dataset: "Dataset", rows: Sequence[int], fps: int, options: "RenderOptions") -> Animation:
    """Return an animation of some rows; arguments as in `Dataset.animate`."""
    from spinlock.dataset.clips import least_size, make_clip
    from spinlock.dataset.render_options import check_rate
    from spinlock.visualization.encoders import choose_encoder, encode_bytes

    if not rows:
        raise UsageError("no row is given; give one, or a list of them")
    check_rate(fps)
    choose_encoder(".mp4", least_size(dataset, rows, options), fps)

    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(dataset, rows, options, Path(folder), _nothing)
        try:
            data, encoder = encode_bytes(clip, clip.size, fps, ".mp4")
        finally:
            clip.close()
    return Animation(data, ".mp4", encoder.name, clip.size, len(clip), fps)


def _nothing() -> None:
    """Do nothing after a frame."""


CHOICE_OF_ROWS = ("operator_indices", "n_operators", "sampling_method", "seed")


def options_of(given: dict[str, Any]) -> "RenderOptions":
    """Return render options, those not given as in a notebook: 100 frames of larger cells.

    Raises
    ------
    UsageError
        For an option that chooses rows, which are given.
    """
    from spinlock.dataset.render_options import RenderOptions

    known = {option.name for option in fields(RenderOptions)} - set(CHOICE_OF_ROWS)
    for name in given:
        if name not in known:
            raise unknown_name("option", name, known)
    return RenderOptions(**{"steps": 100, "size": (128, 128), **given})
