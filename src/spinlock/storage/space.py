"""Free space: whether there is room for what will be written."""

import shutil
from pathlib import Path

from spinlock.errors import StorageError

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def readable_size(size: float) -> str:
    """Return a number of bytes in words, decimal units: ``1.23 GB``."""
    unit = 0
    while size >= 999.5 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 else f"{size:.3g} {UNITS[unit]}"


def free_space(path: Path) -> int:
    """Return the bytes free for this user where ``path`` will stand; it need not exist yet."""
    existing = Path(path).absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


STORE_LESS = (
    "choose another output_path, or store less (sampling.total_samples, dataset.storage.trajectories, "
    "dataset.storage.precision)"
)


def require_space(path: Path, needed: int, remedy: str = STORE_LESS) -> None:
    """Raise `StorageError` unless ``needed`` bytes are free where ``path`` will stand."""
    free = free_space(path)
    if free < needed:
        raise StorageError(
            f"the disk is too small: {path} needs {readable_size(needed)}, {readable_size(free)} are free. "
            f"Free some space, {remedy}"
        )
