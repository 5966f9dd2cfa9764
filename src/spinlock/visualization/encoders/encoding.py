"""One video being encoded by libav: frames are given one by one, and none is kept."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from spinlock.errors import UsageError
from spinlock.visualization.encoders.codecs import Codec
from spinlock.visualization.encoders.frames import Frame, check_frame
from spinlock.visualization.encoders.palette import palette_image
from spinlock.visualization.encoders.placing import write_failure
from spinlock.visualization.encoders.scheduling import own_scheduling

if TYPE_CHECKING:
    from av import VideoFrame

BT709, LIMITED = 1, 1
"""libav's numbers of the colour space, primaries and transfer of ITU-R BT.709, and of the limited range."""


class Encoding:
    """An open container with one video stream.

    Parameters
    ----------
    target
        A file's path, or a binary file that can be written and sought in.
    suffix, codec
        What container, and what encodes into it.
    size
        Height and width in pixels.
    fps
        Frames a second.

    Raises
    ------
    UsageError
        Without PyAV, for frames of another size or type, and where it is finished without a frame.
    FFmpegError
        Of PyAV, whenever libav fails.
    """

    def __init__(
        self, target: Path | BinaryIO, suffix: str, codec: Codec, size: tuple[int, int], fps: int
    ) -> None:
        av = import_av()
        named = isinstance(target, Path)
        self._size, self._count, self._codec = size, 0, codec
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._container: Any = av.open(
            f"file:{target}" if named else target,  # or a colon in a name would end a protocol's
            "w",
            format=suffix[1:],
            container_options=_container_options(suffix, fps, named=named),
        )
        try:
            self._stream = self._container.add_stream(codec.name, rate=fps, options=dict(codec.options))
            context = self._stream.codec_context
            context.height, context.width = size
            context.pix_fmt = codec.pixels
            context.thread_type = "FRAME"  # slices, PyAV's default, use the cores less well
            if codec.pixels == "yuv420p":
                context.colorspace = context.color_primaries = context.color_trc = BT709
                context.color_range = LIMITED
        except BaseException:
            self.abandon()
            raise

    def write(self, frame: Frame) -> None:
        """Encode one frame, RGB bytes [height, width, 3]."""
        check_frame(frame, self._size)
        picture = self._picture(np.ascontiguousarray(frame))
        picture.pts = self._count
        self._count += 1
        with own_scheduling() if self._count == 1 else nullcontext():  # the first frame opens the encoder
            packets = self._stream.encode(picture)
        self._container.mux(packets)

    def _picture(self, frame: Frame) -> "VideoFrame":
        av, pixels = import_av(), self._codec.pixels
        if pixels == "pal8":
            return av.VideoFrame.from_ndarray(palette_image(frame), format=pixels)
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        colours = {"dst_colorspace": BT709, "dst_color_range": LIMITED} if pixels == "yuv420p" else {}
        return self._reformatter.reformat(picture, format=pixels, **colours)

    def finish(self) -> None:
        """Write what the encoder holds back, and close."""
        if not self._count:
            raise UsageError("a video without a frame cannot be made: show at least one time step")
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close, finished or not; a file that is not is of no use."""
        with suppress(Exception):
            self._container.close()


def _container_options(suffix: str, fps: int, *, named: bool) -> dict[str, str]:
    if suffix == ".mp4":
        exact = {"movie_timescale": str(1000 * fps)}  # or the duration is rounded to milliseconds
        # an index before the pictures lets players start early; to move it, libav opens the file again
        return exact | ({"movflags": "+faststart"} if named else {})
    return {"loop": "0"} if suffix in (".gif", ".webp") else {}  # 0 is for ever


def encode(
    target: Path | BinaryIO,
    suffix: str,
    codec: Codec,
    frames: Iterable[Frame],
    size: tuple[int, int],
    fps: int,
) -> None:
    """Encode all frames; arguments and errors as `Encoding`."""
    encoding = Encoding(target, suffix, codec, size, fps)
    try:
        for frame in frames:
            encoding.write(frame)
        encoding.finish()
    finally:
        encoding.abandon()


@contextmanager
def write_errors(path: Path | str) -> Iterator[None]:
    """Turn what the system or libav raises into a `StorageError` naming ``path``."""
    failures = OSError, import_av().error.FFmpegError
    try:
        yield
    except failures as error:
        raise write_failure(path, error) from error


def import_av() -> Any:
    """Return PyAV.

    Raises
    ------
    UsageError
        Where it cannot be imported.
    """
    # SVT-AV1 writes its version, settings and refusals to standard error otherwise; it reads this when it
    # is first used. Refusals are in EncoderChoice.skipped.
    os.environ.setdefault("SVT_LOG", "0")
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f"videos need PyAV, which cannot be imported ({error}): `pip install av`, or take --format frames"
        ) from error
    return av
