"""Rows of features that wait for the dataset they will join: parts in files of their own, hashed and bound.

A part is bound to what its numbers depend on (the dataset's digest, the features chosen, the environment):
parts of anything else stand in another folder, and their hashes would not fit either.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.atomic import Checkpoint, committed, no_checkpoint, remove_temporaries, write_errors

SECONDS = "seconds"
HASH_LENGTH = 64

Tables = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class FeaturePart:
    """A committed part: rows lo … hi − 1."""

    lo: int
    hi: int
    path: Path


class FeatureParts:
    """The parts of one binding in a folder.

    Parameters
    ----------
    folder
        Where the parts of all bindings stand; only one process may work there.
    binding
        What the numbers depend on, as JSON can hold it.
    """

    def __init__(self, folder: Path, binding: Mapping[str, Any]) -> None:
        text = json.dumps(binding, sort_keys=True, separators=(",", ":"))
        self._key = hashlib.sha256(text.encode()).hexdigest()
        self.folder = folder / f"part-{self._key[:16]}"

    def commit(
        self,
        lo: int,
        tables: Mapping[str, NDArray[Any]],
        seconds: NDArray[np.float64],
        checkpoint: Checkpoint = no_checkpoint,
    ) -> FeaturePart:
        """Commit rows from ``lo`` on: their entries in each feature table, and the seconds each took."""
        part = self._part(lo, lo + len(seconds))
        content = io.BytesIO()
        np.savez(content, **{**tables, SECONDS: seconds})
        data = content.getvalue()
        with write_errors(part.path):
            self.folder.mkdir(exist_ok=True)
        with committed(part.path, checkpoint) as temporary:
            checkpoint("create")
            with write_errors(part.path):
                temporary.write_bytes(self._hash(data) + data)
        return part

    def sound(self) -> list[FeaturePart]:
        """Return the parts whose bytes have their hash, in the order of their rows, none twice.

        What killed writers left behind is removed.
        """
        remove_temporaries(self.folder)
        found: list[FeaturePart] = []
        for path in sorted(self.folder.glob("*.npz")):
            low, _, high = path.stem.partition("-")
            if not (low.isdecimal() and high.isdecimal()):
                continue
            part = self._part(int(low), int(high))
            overlaps = bool(found) and part.lo < found[-1].hi
            if part.path == path and not overlaps and self._is_sound(part):
                found.append(part)
        return found

    def _is_sound(self, part: FeaturePart) -> bool:
        try:
            _, seconds = self.read(part)
        except StorageError:
            return False
        return len(seconds) == part.hi - part.lo

    def read(self, part: FeaturePart) -> tuple[Tables, NDArray[np.float64]]:
        """Return the entries of a part by table, and the seconds; raise `StorageError` where it changed."""
        try:
            content = part.path.read_bytes()
        except OSError as error:
            raise StorageError(f"{part.path} cannot be read ({error.strerror})") from error
        data = content[HASH_LENGTH:]
        if content[:HASH_LENGTH] != self._hash(data):
            raise StorageError(f"{part.path} changed since it was committed: run the same command again")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            tables = {name: arrays[name] for name in arrays.files}
        return tables, tables.pop(SECONDS)

    def _part(self, lo: int, hi: int) -> FeaturePart:
        return FeaturePart(lo, hi, self.folder / f"{lo:010d}-{hi:010d}.npz")

    def _hash(self, data: bytes) -> bytes:
        return hashlib.sha256(self._key.encode() + data).hexdigest().encode()
