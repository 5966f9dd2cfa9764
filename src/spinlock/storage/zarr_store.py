"""The objects of a Zarr store: on this machine's disk, or at any URL that fsspec knows."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from glob import has_magic
from pathlib import Path
from typing import Any

from spinlock.errors import StorageError, UsageError
from spinlock.storage.atomic import fsync
from spinlock.storage.locations import ZARR_ROOT, Url

GROUPS = ("features", "inputs", "metadata", "outputs", "parameters")
"""What stands below the root of a store that is being made; the root itself is written last."""


def require_zarr(where: Path) -> None:
    """Raise `UsageError` where the packages for Zarr stores, or for that kind of URL, are not installed."""
    try:
        import fsspec
        import zarr  # noqa: F401
    except ImportError as error:
        if str(error).startswith("Install "):  # fsspec names the package of a kind of URL
            raise UsageError(f"{where}: {error} with pip") from None
        raise UsageError(
            f'{where} needs packages that are not installed ({error}): run pip install "spinlock[zarr]"'
        ) from None
    if not isinstance(where, Url):
        return
    scheme = str(where).partition("://")[0]
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise UsageError(f"{where}: {scheme}:// needs a package that is not installed ({error})") from None
    except ValueError as error:
        raise UsageError(f"{where}: {error}; give a path, or a URL such as s3://bucket/name.zarr") from None


class Objects:
    """The objects below a root, by names with slashes; it pickles, and each process connects for itself.

    Every method raises `StorageError` where the store fails.

    Raises
    ------
    UsageError
        Where a package for such stores is missing.
    """

    def __init__(self, root: Path) -> None:
        require_zarr(root)
        self.root = root
        self._connection: tuple[int, Any, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave connections behind."""
        return {"root": self.root, "_connection": None}

    def _connected(self) -> tuple[Any, str]:
        """Return the file system and the path in it; a forked process does not use that of its parent."""
        if self._connection is None or self._connection[0] != os.getpid():
            self._connection = (os.getpid(), *self._connect())
        return self._connection[1:]

    def _connect(self) -> tuple[Any, str]:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        if self.is_local:  # a path may hold what means something in a URL
            return LocalFileSystem(), str(self.root.absolute())
        return fsspec.core.url_to_fs(str(self.root))

    @property
    def is_local(self) -> bool:
        """Whether they are files of this machine."""
        return not isinstance(self.root, Url)

    def is_same(self, other: Path) -> bool:
        """Return whether another path or URL leads to the same place."""
        files, base = self._connected()
        others, place = Objects(other)._connected()  # noqa: SLF001 (the same class)
        return (type(files), base) == (type(others), place)

    def store(self, *, read_only: bool = True) -> Any:
        """Return the store as the package zarr takes it."""
        from zarr.storage import FsspecStore, LocalStore

        if self.is_local:
            return LocalStore(self.root, read_only=read_only)
        return FsspecStore.from_url(str(self.root), read_only=read_only)

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes [start, end) of an object; a negative start counts from its end."""
        with _failures("cannot be read"):
            files, base = self._connected()
            return bytes(files.cat_file(f"{base}/{name}", start, end))

    def exists(self, name: str) -> bool:
        """Return whether an object of that name stands there."""
        with _failures(f"{self.root} cannot be read"):
            files, base = self._connected()
            return bool(files.exists(f"{base}/{name}"))

    def names(self) -> list[str]:
        """Return the first parts of the names of all objects; of nothing, none."""
        with _failures(f"{self.root} cannot be read"):
            files, base = self._connected()
            found = files.ls(base, detail=False) if files.exists(base) else []
        return sorted(str(name).rstrip("/").rpartition("/")[2] for name in found)

    def sizes(self) -> Mapping[str, int]:
        """Return the size of every object, by name."""
        with _failures(f"{self.root} cannot be read"):
            files, base = self._connected()
            found = files.find(base, detail=True)
        root = len(files._strip_protocol(base)) + 1  # noqa: SLF001 (part of what a file system offers)
        return {name[root:]: int(info.get("size") or 0) for name, info in found.items()}

    def write(self, name: str, data: bytes) -> None:
        """Write an object; on this machine it is on disk once `flush` returns."""
        if self.is_local:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        with _failures(f"{self.root} cannot be written"):
            files, base = self._connected()
            files.pipe_file(f"{base}/{name}", data)

    def size(self) -> int:
        """Return the size of all objects."""
        return sum(self.sizes().values())

    def remove(self) -> None:
        """Remove every object: first the root, so that no reader takes what is left for a dataset."""
        with _failures(f"{self.root} cannot be removed"):
            files, base = self._connected()
            if files.exists(f"{base}/{ZARR_ROOT}"):
                files.rm_file(f"{base}/{ZARR_ROOT}")
            if has_magic(base):  # removing a folder would take the name for a pattern
                for name in files.find(base):
                    files.rm_file(name)
            elif files.exists(base):
                files.rm(base, recursive=True)

    def flush(self) -> None:
        """Return once every file and folder of this machine is on disk."""
        if not self.is_local:
            return
        for folder, _, names in os.walk(self.root):
            for name in names:
                fsync(Path(folder) / name)
            fsync(Path(folder))


@contextmanager
def _failures(what: str) -> Iterator[None]:
    """Turn what a store raises into `StorageError`; each kind of store has errors of its own."""
    try:
        yield
    except StorageError:
        raise
    except FileNotFoundError:
        raise StorageError("is missing") from None
    except Exception as error:
        raise StorageError(f"{what} ({' '.join(str(error).split()) or type(error).__name__})") from error


def store_exists(where: Path) -> bool:
    """Return whether something stands at a path or URL but what a run left that was making a store."""
    return any(name not in GROUPS for name in Objects(where).names())
