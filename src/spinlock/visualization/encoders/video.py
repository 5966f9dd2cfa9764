"""Videos: a file written frame by frame and put in place as a whole, or bytes in memory."""

import io
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from spinlock.errors import UsageError
from spinlock.visualization.encoders.choice import EncoderChoice, choose_encoder
from spinlock.visualization.encoders.codecs import check_video, codec_named
from spinlock.visualization.encoders.encoding import Encoding, encode, write_errors
from spinlock.visualization.encoders.frames import Frame
from spinlock.visualization.encoders.placing import temporary_beside


class VideoWriter:
    """Writes a video frame by frame; as a context manager it puts the whole file in place at its end.

    Until then it stands beside its place under another name; after an exception it is removed, and an older
    file at the path stays as it was. Frames are RGB in BT.709; no more of them are held than the encoder
    looks ahead (an animated WebP is held compressed until its end).

    Parameters
    ----------
    path
        The file, in a folder that exists; its suffix says what it is.
    size
        Height and width in pixels, both even.
    fps
        Frames a second.
    encoder
        As `choose_encoder` found it; looked for if not given.

    Raises
    ------
    UsageError
        As `choose_encoder`, before anything is written; for frames of another size or type; for no frame.
    StorageError
        Where the file cannot be written.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: int, encoder: EncoderChoice | None = None
    ) -> None:
        suffix = path.suffix.lower()
        check_video(suffix, size, fps)
        self.path = path
        self.encoder = encoder or choose_encoder(suffix, size, fps)
        self._video = suffix, codec_named(suffix, self.encoder.name), size, fps
        self._temporary = temporary_beside(path)
        self._encoding: Encoding | None = None
        self._finished = False

    def __enter__(self) -> Self:
        """Open the file and return the writer itself."""
        try:
            with write_errors(self.path):
                _refuse_folder(self.path)
                self._temporary.open("xb").close()  # libav would find only later that it cannot be written
                self._encoding = Encoding(self._temporary, *self._video)
        except BaseException:
            self._clear()
            raise
        return self

    def write(self, frame: Frame) -> None:
        """Add a frame, RGB bytes [height, width, 3]."""
        assert self._encoding is not None, "a VideoWriter is used in a with statement"
        with write_errors(self.path):
            self._encoding.write(frame)

    def finish(self) -> None:
        """Write what the encoder holds back; the file is complete, but not in place."""
        assert self._encoding is not None, "a VideoWriter is used in a with statement"
        if not self._finished:
            with write_errors(self.path):
                self._encoding.finish()
            self._finished = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the file in place, or remove it after an exception."""
        try:
            if kind is None and self._encoding is not None:
                self.finish()
                with write_errors(self.path):
                    self._temporary.replace(self.path)
        finally:
            self._clear()

    def _clear(self) -> None:
        """Close the file, and remove it where it was not put in place."""
        if self._encoding is not None:
            self._encoding.abandon()
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file in it")


def encode_bytes(
    frames: Iterable[Frame], size: tuple[int, int], fps: int, suffix: str = ".mp4"
) -> tuple[bytes, EncoderChoice]:
    """Return a video of frames ``[*size, 3]`` in memory, and what encoded it; errors as `VideoWriter`."""
    choice = choose_encoder(suffix, size, fps)
    buffer = io.BytesIO()
    with write_errors(f"a {suffix} in memory"):
        encode(buffer, suffix, codec_named(suffix, choice.name), frames, size, fps)
    return buffer.getvalue(), choice
