"""Atomic commit: a file appears at its path complete and on disk, or not at all."""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from spinlock.errors import StorageError

Checkpoint = Callable[[str], None]
"""Called with the name of each step of a commit as it begins; what it raises abandons the commit."""

TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{32}$")

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Constants of Linux, renameat2(2)."""

NO_EXCHANGE = frozenset((errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM))
"""What a system or file system answers that cannot exchange names."""

SYSTEM_WORDS = re.compile(r"error message = '([^']*)'")
"""Where HDF5 says in the middle of a long text what the system said."""


def no_checkpoint(_step: str) -> None:
    """Let every step pass."""


@contextmanager
def committed(path: Path, checkpoint: Checkpoint = no_checkpoint) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what stands there at the end is renamed to ``path``.

    Steps: (the body writes, closes and checks) → fsync the file → rename → fsync the directory. Whatever is
    raised on the way, an interrupt included, removes the temporary file and leaves ``path`` as it was.

    Raises
    ------
    StorageError
        Where one of the steps fails, with the path and what to do.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        checkpoint("fsync")
        with write_errors(path):
            fsync(temporary)
        checkpoint("rename")
        with write_errors(path):
            os.replace(temporary, path)  # noqa: PTH105 (atomic over an existing file by definition)
        checkpoint("fsync directory")
        with write_errors(path):
            fsync(path.parent)
    finally:
        remove_file(temporary)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn what a failed write raises, `RuntimeError` in HDF5, into a `StorageError` naming ``path``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"{path} cannot be written ({system_reason(error)}). What was committed before stays; remove the "
            "cause (a full disk, a missing permission, a removed directory) and run the same command again "
            "to go on"
        ) from error


def system_reason(error: BaseException) -> str:
    """Return what the system said, in one short line: ``No space left on device``."""
    said = SYSTEM_WORDS.search(str(error))
    if said is not None:
        return said[1]
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return " ".join(str(error).split()) or type(error).__name__


def commit_text(path: Path, text: str, checkpoint: Checkpoint = no_checkpoint) -> None:
    """Commit a file that holds ``text`` in UTF-8; raise `StorageError` where it cannot be written."""
    with committed(path, checkpoint) as temporary:
        checkpoint("create")
        with write_errors(path):
            temporary.write_text(text, encoding="utf-8")


def remove_file(path: Path) -> None:
    """Remove a temporary file if it is there and can be removed; otherwise the next run's sweep finds it."""
    with suppress(OSError):
        path.unlink()


def remove_temporaries(directory: Path, name: str | None = None) -> list[Path]:
    """Remove what killed writers left in a directory (of one name, or of all) and return the paths.

    Call it only while no other process writes there: a temporary file in use looks the same.
    """
    removed = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        stem, found = TEMPORARY.subn("", path.name)
        if not found or name not in (None, stem):
            continue
        if path.is_dir() and not path.is_symlink():
            with suppress(FileNotFoundError):
                shutil.rmtree(path)
            removed.append(path)
        elif path.is_file():
            path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def fsync(path: Path) -> None:
    """Return once a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_beside(path: Path) -> Path:
    """Return a name beside ``path`` that nothing has, and that `remove_temporaries` knows."""
    return path.with_name(f"{path.name}.tmp-{uuid4().hex}")


def publish_folder(work: Path, path: Path, checkpoint: Checkpoint = no_checkpoint) -> None:
    """Rename a finished folder to ``path``; what stands there before is removed once it is replaced.

    Where the system can exchange two names, ``path`` is at no moment without the old or the new.

    Raises
    ------
    StorageError
        Where a step fails; ``path`` is then as it was.
    """
    checkpoint("rename")
    with write_errors(path):
        replaced = _replace(work, path) if path.exists() else None
        if replaced is None:
            os.rename(work, path)  # noqa: PTH104 (a rename, never a copy)
    checkpoint("fsync directory")
    with write_errors(path):
        fsync(path.parent)
        if replaced is not None:
            shutil.rmtree(replaced) if replaced.is_dir() else replaced.unlink()


def _replace(work: Path, path: Path) -> Path:
    """Put ``work`` in the place of ``path``; return where what stood there is now."""
    if _exchange(work, path):
        return work
    aside = temporary_beside(path)
    os.rename(path, aside)  # noqa: PTH104 (the same call as below)
    try:
        os.rename(work, path)  # noqa: PTH104
    except OSError:
        os.rename(aside, path)  # noqa: PTH104
        raise
    return aside


def _exchange(one: Path, other: Path) -> bool:
    """Exchange what stands at two paths in one step; False where system or file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))
