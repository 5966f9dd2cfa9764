"""Videos: frames are given to an encoder one by one, and none is kept."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spinlock.errors import StorageError, UsageError
from spinlock.visualization.encoders.codecs import Codec, EncoderChoice, choose_encoder, codec_named

if TYPE_CHECKING:
    from av import VideoFrame

Frame = NDArray[np.uint8]

BT709, LIMITED = 1, 1
"""libav's numbers of the colour space, primaries and transfer of ITU-R BT.709, and of the limited range."""


CONTAINER_OPTIONS = {
    ".mp4": {"movflags": "+faststart"},  # plays before all of it is there
    ".webm": {},
    ".gif": {"loop": "0"},
    ".webp": {"loop": "0"},  # 0 is for ever
}


class Encoding:
    """An open container with one video stream; ``target`` is a path or a binary file."""

    def __init__(
        self, target: Path | io.BytesIO, suffix: str, codec: Codec, size: tuple[int, int], fps: int
    ) -> None:
        av = _av()
        options = dict(CONTAINER_OPTIONS[suffix])
        where: Any = str(target)
        if isinstance(target, io.BytesIO):
            where = target
            options.pop("movflags", None)  # it opens the file a second time
        self._container: Any = av.open(where, "w", format=suffix[1:], options=options)
        try:
            self._stream = self._container.add_stream(codec.name, rate=fps, options=dict(codec.options))
        except BaseException:
            self._container.close()
            raise
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = codec.pixels
        self._codec = codec
        if codec.pixels == "yuv420p":
            context = self._stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = BT709
            context.color_range = LIMITED
        self._size, self._count = size, 0

    def write(self, frame: Frame) -> None:
        """Encode one frame."""
        if frame.shape != (*self._size, 3) or frame.dtype != np.uint8:
            raise UsageError(f"a frame is uint8 {[*self._size, 3]} here, not {frame.dtype} {[*frame.shape]}")
        picture = self._converted(frame)
        picture.pts = self._count
        self._count += 1
        for packet in self._stream.encode(picture):
            self._container.mux(packet)

    def _converted(self, frame: Frame) -> "VideoFrame":
        av = _av()
        if self._codec.pixels == "pal8":
            return av.VideoFrame.from_ndarray(_with_palette(frame), format="pal8")  # pyright: ignore[reportArgumentType]
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        return picture.reformat(format=self._codec.pixels, dst_colorspace=BT709, dst_color_range=LIMITED)

    def finish(self) -> None:
        """Write what the encoder holds back, and close."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()

    def abandon(self) -> None:
        """Close without finishing."""
        with suppress(Exception):
            self._container.close()


def _av() -> Any:
    """Return PyAV, its libraries silent but for errors.

    Raises
    ------
    UsageError
        Without PyAV.
    """
    try:
        import av
    except ImportError:
        raise UsageError(
            "videos need PyAV, which is not installed: `pip install av`, or take --format frames"
        ) from None
    os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 tells its settings on standard error otherwise
    return av


def _with_palette(frame: Frame) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a frame as places in a palette of its own, and the palette [256, 4] (alpha, R, G, B)."""
    image = Image.fromarray(frame).quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    palette = np.zeros((256, 4), np.uint8)
    palette[:, 0] = 255
    palette[: len(colours), 1:] = colours
    return np.asarray(image), palette


def encode(
    target: Path | io.BytesIO,
    suffix: str,
    codec: Codec,
    frames: Iterable[Frame],
    size: tuple[int, int],
    fps: int,
) -> None:
    """Encode frames [*size, 3] into a file or buffer, one by one."""
    encoding = Encoding(target, suffix, codec, size, fps)
    try:
        for frame in frames:
            encoding.write(frame)
        encoding.finish()
    except BaseException:
        encoding.abandon()
        raise


def encode_bytes(
    frames: Iterable[Frame], size: tuple[int, int], fps: int, suffix: str = ".mp4"
) -> tuple[bytes, EncoderChoice]:
    """Return a video of frames [*size, 3] in memory, and what encoded it."""
    choice = choose_encoder(suffix, size, fps)
    buffer = io.BytesIO()
    encode(buffer, suffix, codec_named(suffix, choice.name), frames, size, fps)
    return buffer.getvalue(), choice


class VideoWriter:
    """Writes a video frame by frame; as a context manager it puts the whole file in place at its end.

    Until then it stands beside its place under another name; after an exception it is removed, and an older
    file at the path stays as it was.

    Parameters
    ----------
    path
        The file; its suffix says what it is.
    size
        Height and width in pixels, both even.
    fps
        Frames a second.
    encoder
        As `choose_encoder` found it; looked for if not given.

    Raises
    ------
    UsageError
        As `choose_encoder`.
    StorageError
        Where the file cannot be written.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: int, encoder: EncoderChoice | None = None
    ) -> None:
        suffix = path.suffix.lower()
        self.path, self.encoder = path, encoder or choose_encoder(suffix, size, fps)
        self._temporary = path.with_name(f".{path.name}.tmp{suffix}")
        with self._failing():
            codec = codec_named(suffix, self.encoder.name)
            self._encoding = Encoding(self._temporary, suffix, codec, size, fps)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Name the path where the disk or the encoder fails."""
        try:
            yield
        except OSError as error:  # libav's errors are
            self._temporary.unlink(missing_ok=True)
            raise StorageError(f"{self.path} cannot be written: {error.strerror or error}") from error

    def write(self, frame: Frame) -> None:
        """Add a frame, RGB bytes [height, width, 3]."""
        with self._failing():
            self._encoding.write(frame)

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the file in place, or remove it after an exception."""
        if kind is None:
            try:
                with self._failing():
                    self._encoding.finish()
                    self._temporary.replace(self.path)
            except BaseException:
                self._temporary.unlink(missing_ok=True)
                raise
        else:
            self._encoding.abandon()
            self._temporary.unlink(missing_ok=True)
