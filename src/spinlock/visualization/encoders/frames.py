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

from spinlock.errors import StorageError, UsageError

OWN = re.compile(r"frame_\d{5,}\.png|metadata\.json")
"""Names of the files in such a folder."""

COMPRESSION = 3
"""Of zlib: a level 6 takes three times as long for a tenth less."""


class FrameWriter:
    """Writes frames as ``frame_00000.png`` and so on; as a context manager it puts the folder in place.

    Until then it stands beside its place under another name; after an exception it is removed, and an older
    folder stays as it was.

    Parameters
    ----------
    folder
        The folder to make, or to replace if it holds nothing but such files.

    Raises
    ------
    UsageError
        Where something else stands there.
    """

    def __init__(self, folder: Path) -> None:
        self.check_folder(folder)
        self.folder, self._count = folder, 0
        self._temporary = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(self._temporary, ignore_errors=True)
        try:
            self._temporary.mkdir(parents=True)
        except OSError as error:
            raise self._failure(error) from error

    @staticmethod
    def check_folder(folder: Path) -> None:
        """Raise `UsageError` where a folder of pictures must not be put."""
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UsageError(f"{folder} is not a folder; choose another --output")
        others = (
            [path.name for path in folder.iterdir() if not OWN.fullmatch(path.name)]
            if folder.exists()
            else []
        )
        if others:
            raise UsageError(
                f"{folder} holds other files ({others[0]}), and a new set of frames would replace the folder; "
                "choose another --output"
            )

    def _failure(self, error: OSError) -> StorageError:
        return StorageError(f"{self.folder} cannot be written: {error.strerror or error}")

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Add a frame, RGB bytes [height, width, 3]."""
        path = self._temporary / f"frame_{self._count:05d}.png"
        try:
            Image.fromarray(frame).save(path, compress_level=COMPRESSION)
        except OSError as error:
            raise self._failure(error) from error
        self._count += 1

    def describe(self, metadata: Mapping[str, Any]) -> None:
        """Write metadata.json."""
        text = json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"
        try:
            (self._temporary / "metadata.json").write_text(text, encoding="utf-8")
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> Self:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Put the folder in place, or remove it after an exception."""
        if kind is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            return
        try:
            self.check_folder(self.folder)
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self._temporary.replace(self.folder)
        except OSError as failure:
            shutil.rmtree(self._temporary, ignore_errors=True)
            raise self._failure(failure) from failure
