"""Small clips, and what PyAV or Pillow finds in a video file."""

import io
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from spinlock.keys import Key, Purpose, uniforms

SIZE = (48, 64)
PATCH = 16
COLOURS = np.array(
    [
        [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)],
        [(0, 0, 0), (255, 255, 255), (200, 100, 30), (250, 240, 20)],
        [(0, 255, 255), (255, 0, 255), (68, 1, 84), (33, 145, 140)],
    ],
    np.uint8,
)
"""Of the patches of one frame, by row and column."""


def patches() -> np.ndarray:
    """Return a frame of flat squares."""
    return np.repeat(np.repeat(COLOURS, PATCH, axis=0), PATCH, axis=1)


def grey(level: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def ramp(count: int) -> list[np.ndarray]:
    """Return frames that are told apart by their grey."""
    return [grey(4 + 7 * number) for number in range(count)]


def noise(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    """Return frames of noise, each the one before moved on."""
    still = uniforms(Key(1), Purpose.CHOICE, [0], int(np.prod(size)) * 3).reshape(*size, 3)
    return [np.roll((255 * still).astype(np.uint8), 5 * number, axis=0) for number in range(count)]


def interrupted(frames: list[np.ndarray], error: BaseException) -> Iterator[np.ndarray]:
    """Yield the frames and raise the error."""
    yield from frames
    raise error


@dataclass
class Video:
    """What a file holds: frames RGB [n, H, W, 3], when each starts, and how long it all lasts, in seconds."""

    frames: np.ndarray
    starts: np.ndarray
    seconds: float
    facts: dict[str, Any]

    @property
    def patches(self) -> np.ndarray:
        """Return the colours in the middle of the patches of the last frame."""
        return self.frames[-1, PATCH // 2 :: PATCH, PATCH // 2 :: PATCH].astype(int)


def read(source: Path | bytes, suffix: str) -> Video:
    """Decode a video, with Pillow where it can."""
    data = source.read_bytes() if isinstance(source, Path) else source
    return _read_pictures(data) if suffix in (".gif", ".webp") else read_with_av(data)


def read_with_av(data: bytes) -> Video:
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.video[0]
        pictures = list(file.decode(stream))
        context = stream.codec_context
        facts = {
            "rate": stream.average_rate,
            "pixels": context.pix_fmt,
            "profile": context.profile,
            "colours": (context.colorspace, context.color_primaries, context.color_trc, context.color_range),
            "pictures": pictures,
        }
        return Video(
            np.stack([picture.to_ndarray(format="rgb24") for picture in pictures]),
            np.array([picture.time for picture in pictures]),
            file.duration / 1e6,
            facts,
        )


def _read_pictures(data: bytes) -> Video:
    with Image.open(io.BytesIO(data)) as image:
        frames, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")))
            durations.append(image.info.get("duration", 0) / 1e3)
        starts = np.cumsum([0.0, *durations])
        return Video(np.stack(frames), starts[:-1], starts[-1], {"loop": image.info.get("loop")})


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write files beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_files() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 (a folder of numbers)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
