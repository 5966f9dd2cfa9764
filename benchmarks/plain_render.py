"""The animation and its aggregates as they are written without Spinlock: numpy, matplotlib and PyAV.

The baseline of benchmarks/render.py. Trajectories are [T, M, C, H, W], one array for each operator.
"""

import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.animation import AbstractMovieWriter, FuncAnimation
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 100
BINS = 5
"""Of 10 values, by Sturges' rule ⌈log₂ M⌉ + 1."""

Cell = tuple[str, np.ndarray, str | None]
"""Title, a picture for each frame, colormap."""


def aggregate(trajectories: np.ndarray) -> dict[str, np.ndarray]:
    """Return the maps of each aggregate: mean [T, C, H, W], envelope and entropy [T, H, W]."""
    width = trajectories.max(axis=1) - trajectories.min(axis=1)
    return {
        "mean": trajectories.mean(axis=1),
        "envelope": np.sqrt((width**2).sum(axis=1)),
        "entropy": entropy(trajectories),
    }


def entropy(trajectories: np.ndarray) -> np.ndarray:
    """Return the entropy in bits over the realizations, mean over the channels, [T, H, W]."""
    low = trajectories.min(axis=(0, 1, 3, 4), keepdims=True)
    high = trajectories.max(axis=(0, 1, 3, 4), keepdims=True)
    numbers = ((trajectories - low) / (high - low) * BINS).astype(int).clip(0, BINS - 1)
    bits = np.zeros(trajectories[:, 0].shape)
    for number in range(BINS):
        share = (numbers == number).mean(axis=1)
        bits -= share * np.log2(np.where(share > 0, share, 1))
    return bits.mean(axis=1)


def histogram_entropy(fields: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the entropy in bits of fields [M, H, W], by a histogram for each pixel, [H, W]."""
    _, height, width = fields.shape
    bits = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            counts, _ = np.histogram(fields[:, row, column], bins=BINS, range=(low, high))
            share = counts[counts > 0] / counts.sum()
            bits[row, column] = -(share * np.log2(share)).sum()
    return bits


def colours(fields: np.ndarray) -> np.ndarray:
    """Return fields [T, 3, H, W] as red, green and blue in [0, 1], [T, H, W, 3]."""
    low, high = np.quantile(fields, [0.01, 0.99])
    return ((fields - low) / (high - low)).clip(0, 1).transpose(0, 2, 3, 1)


def cells_of(trajectories: np.ndarray, shown: int) -> list[Cell]:
    """Return one operator's row: realizations, mean, envelope, entropy."""
    maps = aggregate(trajectories)
    fields: list[Cell] = [(f"realization {m}", colours(trajectories[:, m]), None) for m in range(shown)]
    return [
        *fields,
        ("mean", colours(maps["mean"]), None),
        ("envelope", maps["envelope"], "coolwarm"),
        ("entropy", maps["entropy"], "inferno"),
    ]


def figure_of(
    rows: Sequence[Sequence[Cell]], size: tuple[int, int]
) -> tuple[Figure, Callable[[int], list[Artist]]]:
    """Return a figure of so many pixels (height, width), and what moves it to a frame."""
    figsize = size[1] / DPI, size[0] / DPI
    figure, axes = plt.subplots(len(rows), len(rows[0]), figsize=figsize, dpi=DPI, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.94, wspace=0.05, hspace=0.25)
    images = []
    for row, places in zip(rows, axes, strict=True):
        for (title, pictures, colormap), place in zip(row, places, strict=True):
            limits = (pictures.min(), pictures.max()) if colormap else (None, None)
            image = place.imshow(pictures[0], cmap=colormap, vmin=limits[0], vmax=limits[1])
            place.set_title(title, fontsize=6)
            place.axis("off")
            images.append((image, pictures))
    clock = figure.suptitle("t = 0", x=0.01, y=0.995, ha="left", fontsize=8)

    def update(number: int) -> list[Artist]:
        for image, pictures in images:
            image.set_data(pictures[number])
        clock.set_text(f"t = {number}")
        return [*(image for image, _ in images), clock]

    return figure, update


class PyAVWriter(AbstractMovieWriter):
    """Encodes what savefig draws, like matplotlib's own writers, with PyAV in the place of ffmpeg."""

    def setup(self, fig: Any, outfile: Any, dpi: float | None = None) -> None:
        self.fig, self.outfile, self.dpi = fig, outfile, dpi or fig.dpi
        self._container = av.open(str(outfile), "w")
        self._stream = self._container.add_stream("libx264", rate=int(self.fps))
        self._stream.width, self._stream.height = self.frame_size
        self._stream.pix_fmt = "yuv420p"

    def pixels(self, **savefig_kwargs: Any) -> np.ndarray:
        """Return the figure, RGBA bytes [height, width, 4]."""
        drawn = io.BytesIO()
        self.fig.savefig(drawn, format="rgba", dpi=self.dpi, **savefig_kwargs)
        width, height = self.frame_size
        return np.frombuffer(drawn.getvalue(), np.uint8).reshape(height, width, 4)

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        frame = av.VideoFrame.from_ndarray(self.pixels(**savefig_kwargs), format="rgba")
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()


class CanvasWriter(PyAVWriter):
    """Takes what the canvas drew when the data were set: half the drawing of savefig."""

    def pixels(self, **savefig_kwargs: Any) -> np.ndarray:
        del savefig_kwargs
        canvas = self.fig.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        return np.asarray(canvas.buffer_rgba())


def animate(
    trajectories: Sequence[np.ndarray], shown: int, path: Path, size: tuple[int, int], writer: PyAVWriter
) -> tuple[float, float]:
    """Write the animation; return the seconds that the figure took, and those that grow with the frames.

    With ``blit=True`` it would cost the same: `FuncAnimation.save` draws the whole figure for each frame.
    """
    mpl.use("Agg")
    started = time.perf_counter()
    rows = [cells_of(array, shown) for array in trajectories]
    aggregated = time.perf_counter()
    figure, update = figure_of(rows, size)
    ready = time.perf_counter()
    FuncAnimation(figure, update, frames=len(trajectories[0])).save(path, writer=writer, dpi=DPI)
    done = time.perf_counter()
    plt.close(figure)
    return ready - aggregated, done - ready + aggregated - started
