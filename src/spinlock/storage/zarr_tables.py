"""The tables of a Zarr store as they are written: rows come in order, whole chunks go out, hashed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.rows import stored_dtype
from spinlock.storage.zarr_digest import begun


class Table:
    """One array of a store that is written from its first row to its last.

    Parameters
    ----------
    array
        The array, as the package zarr gives it; empty.
    spec
        What it is.
    """

    def __init__(self, array: Any, spec: ArraySpec) -> None:
        self._array, self._spec = array, spec
        self._hasher = begun(dict(array.attrs))
        self._waiting: list[NDArray[Any]] = []
        self._written = 0

    def append(self, entries: NDArray[Any]) -> NDArray[Any]:
        """Add rows [n, …], of which those that fill chunks are written; return them in their stored type."""
        stored = np.ascontiguousarray(entries, dtype=stored_dtype(self._spec))
        self._hasher.update(stored.tobytes())
        self._waiting.append(stored)
        rows = sum(map(len, self._waiting))
        if rows >= self._array.chunks[0]:
            self._write(rows // self._array.chunks[0] * self._array.chunks[0])
        return stored

    def _write(self, count: int) -> None:
        rows = np.concatenate(self._waiting)
        values = rows[:count]
        if self._spec.dtype == "string":
            values = np.char.decode(values, "utf-8")
        self._array[self._written : self._written + count] = values
        self._waiting, self._written = [rows[count:]], self._written + count

    def finish(self) -> str:
        """Write what is left and return the digest; raise `StorageError` where rows are missing."""
        rest = sum(map(len, self._waiting))
        if rest:
            self._write(rest)
        if self._spec.shape and self._written != self._spec.shape[0]:
            raise StorageError(f"{self._spec.path}: {self._written} of {self._spec.shape[0]} rows were given")
        return self._hasher.hexdigest()


class Document:
    """A text in an array of its own."""

    def __init__(self, array: Any, spec: ArraySpec) -> None:
        self._array, self._spec = array, spec
        self._hasher = begun(dict(array.attrs))

    def write(self, text: str) -> None:
        """Write the text."""
        if len(text.encode()) != self._spec.length:
            raise StorageError(
                f"{self._spec.path} has {len(text.encode())} bytes, the layout says {self._spec.length}"
            )
        self._array[...] = text
        self._hasher.update(text.encode())

    def finish(self) -> str:
        """Return the digest."""
        return self._hasher.hexdigest()


class StoreTables:
    """Every array of a new store but its fields.

    Parameters
    ----------
    made
        The arrays by path, as the package zarr gave them when they were made.
    specs
        What the arrays are.
    """

    def __init__(self, made: Mapping[str, Any], specs: list[ArraySpec]) -> None:
        self._tables: dict[str, Table] = {}
        self._documents: dict[str, Document] = {}
        for spec in specs:
            if spec.kind == "document":
                self._documents[spec.path] = Document(made[spec.path], spec)
            elif spec.kind != "field":
                self._tables[spec.path] = Table(made[spec.path], spec)

    def append(self, path: str, entries: NDArray[Any]) -> NDArray[Any]:
        """Add the next rows of a table; return them in their stored type."""
        return self._tables[path].append(entries)

    def document(self, path: str, text: str) -> None:
        """Write a document."""
        self._documents[path].write(text)

    def finish(self) -> Mapping[str, str]:
        """Write what is left; return the digest of every array by path."""
        return {path: item.finish() for path, item in {**self._tables, **self._documents}.items()}
