"""The objects of a Zarr store: on this machine's disk, or at any URL that fsspec knows."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from spinlock.errors import StorageError, UsageError
from spinlock.storage.atomic import fsync
from spinlock.storage.locations import ZARR_ROOT, Url


def require_zarr(where: Path) -> None:
    """Raise `UsageError` where the packages for Zarr stores, or for that kind of URL, are not installed."""
    try:
        import fsspec
        import zarr  # noqa: F401

        if isinstance(where, Url):
            fsspec.get_filesystem_class(str(where).partition("://")[0])
    except ImportError as error:
        if str(error).startswith("Install "):  # fsspec names the package of a kind of URL
            raise UsageError(f"{where}: {error} with pip") from None
        raise UsageError(
            f'{where} needs packages that are not installed ({error}): run pip install "spinlock[zarr]"'
        ) from None
    except ValueError as error:
        raise UsageError(f"{where}: {error}; give a path, or a URL such as s3://bucket/name.zarr") from None


class Objects:
    """The objects below a root, by names with slashes; it pickles, and each process connects for itself.

    Raises
    ------
    UsageError
        Where a package for such stores is missing.
    """

    def __init__(self, root: Path) -> None:
        require_zarr(root)
        self.root = root

    def __getstate__(self) -> dict[str, Any]:
        """Leave connections behind."""
        return {"root": self.root}

    @cached_property
    def _connected(self) -> tuple[Any, str]:
        import fsspec

        return fsspec.core.url_to_fs(str(self.root))

    @property
    def is_local(self) -> bool:
        """Whether they are files of this machine."""
        return not isinstance(self.root, Url)

    def store(self, *, read_only: bool = True) -> Any:
        """Return the store as the package zarr takes it."""
        from zarr.storage import FsspecStore, LocalStore

        if self.is_local:
            return LocalStore(self.root, read_only=read_only)
        return FsspecStore.from_url(str(self.root), read_only=read_only)

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes [start, end) of an object; a negative start counts from its end.

        Raises
        ------
        StorageError
            Where it is missing or cannot be read.
        """
        files, base = self._connected
        try:
            return bytes(files.cat_file(f"{base}/{name}", start, end))
        except FileNotFoundError:
            raise StorageError("is missing") from None
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot be read ({error})") from error

    def exists(self, name: str) -> bool:
        """Return whether an object of that name stands there."""
        files, base = self._connected
        return bool(files.exists(f"{base}/{name}"))

    def write(self, name: str, data: bytes) -> None:
        """Write an object; on this machine it is on disk when this returns."""
        if self.is_local:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return
        files, base = self._connected
        files.pipe_file(f"{base}/{name}", data)

    def size(self) -> int:
        """Return the size of all objects."""
        files, base = self._connected
        return sum(int(size or 0) for size in files.du(base, total=False).values())

    def remove(self) -> None:
        """Remove every object: first the root, so that no reader takes what is left for a dataset."""
        files, base = self._connected
        if files.exists(f"{base}/{ZARR_ROOT}"):
            files.rm_file(f"{base}/{ZARR_ROOT}")
        if files.exists(base):
            files.rm(base, recursive=True)

    def flush(self) -> None:
        """Return once every folder is on disk; files are when `write` returns, or are written by zarr."""
        if not self.is_local:
            return
        for folder, _, names in os.walk(self.root):
            for name in names:
                fsync(Path(folder) / name)
            fsync(Path(folder))


def store_exists(where: Path) -> bool:
    """Return whether a Zarr store stands at a path or URL."""
    return Objects(where).exists(ZARR_ROOT)


@contextmanager
def quiet_zarr() -> Iterator[None]:
    """Silence what zarr says about consolidated metadata, which xarray in turn asks for."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated.*")
        yield
