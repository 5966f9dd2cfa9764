"""Pictures: a folder of PNG files and metadata.json, put in place as a whole."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spinlock.errors import UsageError
from spinlock.visualization.encoders.placing import reason_of, temporary_beside, write_failure

Frame = NDArray[np.uint8]

METADATA = "metadata.json"

OWN = re.compile(r"frame_\d{5,}\.png|metadata\.json")
"""Names of the files in such a folder."""

COMPRESSION = 1
"""Of zlib. On a sheet of noise, 640 × 520 pixels, level 1 takes 20 ms and 438 KiB, level 6 29 ms and 421 KiB;
on a smooth one 14 ms and 263 KiB, and 51 ms and 203 KiB."""


def check_frame(frame: Frame, size: tuple[int, int] | None) -> None:
    """Raise `UsageError` where a frame is not RGB bytes [*size, 3]; None allows any size."""
    shape = frame.shape[:2] if size is None else size
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape != (*shape, 3):
        wanted = [*size, 3] if size else "[height, width, 3]"
        raise UsageError(f"a frame is uint8 {wanted} here, not {frame.dtype} {[*frame.shape]}")


class FrameWriter:
    """Writes frames as ``frame_00000.png`` and so on; as a context manager it puts the folder in place.

    Until then it stands beside its place under another name; after an exception it is removed, and an older
    folder stays as it was. At the end the older folder goes, so none of its frames stay among the others.

    Parameters
    ----------
    folder
        The folder to make, or to replace if it holds nothing but such files.

    Raises
    ------
    UsageError
        Where something else stands there, before anything is written; for frames of another type or of two
        sizes; for no frame.
    StorageError
        Where the files cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.check_folder(folder)
        self.folder = folder
        self._temporary = temporary_beside(folder)
        self._count, self._size = 0, None

    @staticmethod
    def check_folder(folder: Path) -> None:
        """Raise `UsageError` where a folder of pictures must not be put."""
        try:
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise UsageError(f"{folder} is a file or a link, not a folder; choose another --output")
            there = sorted(folder.iterdir()) if folder.exists() else []
            other = next((path for path in there if not (OWN.fullmatch(path.name) and path.is_file())), None)
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be read ({reason_of(error)}); choose another --output"
            ) from error
        if other:
            raise UsageError(
                f"{folder} holds other files ({other.name}), and a new set of frames would replace the "
                "folder; choose another --output"
            )

    def __enter__(self) -> Self:
        """Make the folder and return the writer itself."""
        try:
            self._temporary.mkdir(parents=True)
        except OSError as error:
            raise write_failure(self.folder, error) from error
        return self

    def write(self, frame: Frame) -> None:
        """Add a frame, RGB bytes [height, width, 3]."""
        check_frame(frame, self._size)
        self._size = frame.shape[0], frame.shape[1]
        path = self._temporary / f"frame_{self._count:05d}.png"
        try:
            Image.fromarray(frame).save(path, compress_level=COMPRESSION)
        except OSError as error:
            raise write_failure(self.folder, error) from error
        self._count += 1

    def describe(self, metadata: Mapping[str, Any]) -> None:
        """Write metadata.json."""
        text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
        try:
            (self._temporary / METADATA).write_text(text, encoding="utf-8")
        except OSError as error:
            raise write_failure(self.folder, error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the folder in place, or remove it after an exception."""
        try:
            if kind is None:
                if not self._count:
                    raise UsageError("a folder of no frames is not made: show at least one time step")
                self.check_folder(self.folder)
                self._put_in_place()
        finally:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _put_in_place(self) -> None:
        """Exchange the older folder for the complete one; where that fails the older one comes back."""
        older = temporary_beside(self.folder)
        try:
            if self.folder.exists():
                self.folder.rename(older)
            self._temporary.rename(self.folder)
            if older.exists():
                shutil.rmtree(older)
        except BaseException as error:
            if older.exists() and not self.folder.exists():
                older.rename(self.folder)
            if isinstance(error, OSError):
                raise write_failure(self.folder, error) from error
            raise
