"""Folders for work in progress: made, swept and removed, with words for what can go wrong."""

import errno
import shutil
from contextlib import suppress
from pathlib import Path

from spinlock.errors import UsageError
from spinlock.storage.atomic import fsync, remove_temporaries, system_reason, write_errors

WRONG_PLACE = frozenset(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)
)
"""Errors that only another path mends; all others are those of the disk."""


def make_folder(path: Path, said: str, remedy: str) -> None:
    """Make a folder with its parents, if it is not there.

    Parameters
    ----------
    said, remedy
        Beginning and end of the message where the path is wrong.

    Raises
    ------
    UsageError
        Where the path is wrong: no permission, a file in the way.
    StorageError
        Where the disk is full or fails.
    """
    with write_errors(path):
        try:
            path.mkdir(parents=True, exist_ok=True)
            fsync(path.parent)
        except OSError as error:
            if error.errno in WRONG_PLACE:
                raise UsageError(f"{said}{path} cannot be made ({system_reason(error)}); {remedy}") from None
            raise


def sweep(folder: Path) -> None:
    """Remove what writers that are gone left in a folder, as far as it can be removed."""
    with suppress(OSError):
        remove_temporaries(folder)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder unless something stands in it; raise `OSError` where that fails."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, if it is there; raise `OSError` where that fails."""
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
