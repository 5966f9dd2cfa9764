"""Where a file or folder stands until it is complete, and what is said when it cannot be written."""

from pathlib import Path
from uuid import uuid4

from spinlock.errors import StorageError


def temporary_beside(path: Path) -> Path:
    """Return a name beside ``path`` that no other writer has, on the same file system as its place."""
    return path.with_name(f"{path.name}.tmp-{uuid4().hex}")


def write_failure(path: Path | str, error: Exception) -> StorageError:
    """Return the error for a failed write of ``path``, with its cause in words."""
    return StorageError(
        f"{path} cannot be written ({reason_of(error)}). What was there before stays; remove the cause (a "
        "full disk, a missing permission, a missing folder) and run the command again"
    )


def reason_of(error: Exception) -> str:
    """Return what the system or a library says of an error, without numbers and paths."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()
