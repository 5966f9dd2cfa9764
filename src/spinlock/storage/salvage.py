"""What is still sound in a damaged file: rows that their checksums prove, read as they were written.

The list of digests names each array's SHA-256, and the arrays' form follows from the layout. So a table is
proven as a whole, or row by row through a proven array of row checksums; chunks are proven through a proven
array of their checksums. Where that array itself was damaged, the checksums of the chunks that stand there
prove it and themselves, if they give the digest that was sealed.
"""

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import h5py.h5d as h5d
import h5py.h5g as h5g
import numpy as np
from numpy.typing import NDArray

from spinlock.errors import StorageError
from spinlock.storage.array_spec import ArraySpec
from spinlock.storage.chunks import chunk_offset, row_windows
from spinlock.storage.closing import Closing
from spinlock.storage.digest import OBJECTS, object_digest, value_hasher
from spinlock.storage.feature_layout import SDF
from spinlock.storage.object_facts import array_chunks, check_allocated, read_rows, row_blocks
from spinlock.storage.opening import open_h5
from spinlock.storage.raw_chunks import read_chunk
from spinlock.storage.rows import Chunk, EncodedRow, entry_crc
from spinlock.storage.schema import (
    CHECKSUMS,
    ROW_CHECKSUMS,
    Layout,
    arrays,
    checksum_path,
    field_arrays,
    row_tables,
)
from spinlock.storage.tree import array_dtype, create_memory_file, create_tree, write_attribute
from spinlock.storage.walk import H5_ERRORS, array_id, attribute_text, group, walk

GRIDS = "metadata/grid_sizes"
NO_CHUNK = -1


@dataclass(frozen=True)
class Proof:
    """Which rows of a file are proven.

    Attributes
    ----------
    rows
        True for each row whose tables and chunks are what was written, bool [N].
    losses
        What no row can be named for, in words: arrays that are gone, or that nothing proves any more.
    marks
        For each field the CRC-32 of each row's chunk checksums: what is read later must have the same.
    tables
        The tables that are proven as a whole.
    """

    rows: NDArray[np.bool_]
    losses: list[str] = field(default_factory=list)
    marks: dict[str, NDArray[np.uint32]] = field(default_factory=dict)
    tables: set[str] = field(default_factory=set)

    def lose_all(self, reason: str) -> None:
        """Take all rows for lost."""
        self.rows[:] = False
        self.losses.append(reason)


class Remains(Closing):
    """A damaged file, as far as HDF5 still reads it. No link is followed and no reference resolved.

    Raises
    ------
    StorageError
        Where HDF5 does not open it at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = open_h5(self.path)
        try:
            self._found = dict(walk(self._file, lambda _path, _error: None))
        except (StorageError, *H5_ERRORS):
            self._found = {}

    def attributes(self, path: str) -> dict[str, str]:
        """Return the attributes of a group that are text and can be read."""
        item, texts = self._found.get(path), {}
        if isinstance(item, h5g.GroupID):
            with suppress(*H5_ERRORS):
                names = list(h5py.Group(item).attrs)
                for name in names:
                    with suppress(StorageError, *H5_ERRORS):
                        texts[name] = attribute_text(h5py.Group(item), name)
        return texts

    @property
    def layout(self) -> Layout | None:
        """The layout that the file declares, None where that cannot be read."""
        try:
            return Layout.from_json(self.attributes("metadata").get("layout", ""))
        except StorageError:
            return None

    def has(self, path: str) -> bool:
        """Return whether the file has a readable object of that name."""
        return path in self._found

    def array(self, spec: ArraySpec) -> h5d.DatasetID:
        """Return an array that has the form it was declared with, or raise `StorageError`."""
        item: Any = self._found.get(spec.path)
        if not isinstance(item, h5d.DatasetID):
            raise StorageError(f"{spec.path} is missing or cannot be read")
        try:
            form = item.shape, item.dtype, array_chunks(item)
            if form != (spec.shape, array_dtype(spec), spec.chunks):
                raise StorageError(f"{spec.path} has another form")
            if spec.chunks is None:
                check_allocated(self._file, item)
        except H5_ERRORS as error:
            raise StorageError(f"{spec.path} cannot be read ({error})") from error
        return item

    def entries(self, spec: ArraySpec, lo: int, hi: int) -> NDArray[Any]:
        """Return rows lo … hi − 1 of a table as stored, or raise `StorageError`."""
        array = self.array(spec)
        try:
            return read_rows(array, lo, hi - lo)
        except H5_ERRORS as error:
            raise StorageError(f"{spec.path} cannot be read ({error})") from error

    @property
    def listed(self) -> dict[str, str]:
        """The digest of each object as it was sealed; empty where the list cannot be read."""
        try:
            stored = json.loads(self.attributes(CHECKSUMS).get(OBJECTS, "{}"))
        except (ValueError, RecursionError):
            return {}
        return stored if isinstance(stored, dict) else {}

    def is_proven(self, path: str) -> bool:
        """Return whether a group stands as it was sealed, all its attributes included."""
        item = self._found.get(path)
        with suppress(StorageError, *H5_ERRORS):
            return isinstance(item, h5g.GroupID) and object_digest(self._file, path, item) == self.listed.get(
                path
            )
        return False

    def close(self) -> None:
        """Close the file."""
        self._found = {}
        self._file.close()


def prove_rows(remains: Remains, layout: Layout) -> Proof:
    """Return which rows of a file of that layout are proven; the cost is one read of the whole file."""
    proof = Proof(np.ones(layout.samples, bool))
    judge = _Judge(remains, layout, proof)
    judge.tables()
    judge.times()
    if proof.rows.any():
        grids = remains.entries(judge.specs[GRIDS], 0, layout.samples)
        proof.rows[~np.isin(grids, layout.grids)] = False
        for spec in field_arrays(layout):
            judge.chunks(spec, grids)
    return proof


class _Judge:
    """What proves the arrays of a file: the digests that it lists, and the form its layout gives them."""

    def __init__(self, remains: Remains, layout: Layout, proof: Proof) -> None:
        self.remains, self.layout, self.proof = remains, layout, proof
        self.listed = remains.listed
        self.specs = {spec.path: spec for spec in arrays(layout)}
        self.hashers = _hashers(layout)

    def tables(self) -> None:
        """Judge the tables."""
        tables = row_tables(self.layout)
        try:
            self.proof.tables.update(spec.path for spec in tables if self._is_proven(spec))
            unproven = [spec.path for spec in tables if spec.path not in self.proof.tables]
            if not unproven:
                return
            names = ", ".join(unproven)
            if not self._is_proven(self.specs[ROW_CHECKSUMS]):
                self.proof.lose_all(f"{names} changed, and so did the checksums that would tell which rows")
                return
            for first, stored in self._blocks(ROW_CHECKSUMS):
                columns = [self.remains.entries(s, first, first + len(stored)) for s in tables]
                for place, crc in enumerate(stored.tolist()):
                    sound = entry_crc(column[place : place + 1] for column in columns) == crc
                    self.proof.rows[first + place] &= sound
        except (StorageError, *H5_ERRORS) as error:
            self.proof.lose_all(str(error))

    def times(self) -> None:
        """Judge the times, which belong to no row's checksum."""
        for spec in self.specs.values():
            with suppress(StorageError):
                if spec.kind == "timing" and self._is_proven(spec):
                    self.proof.tables.add(spec.path)

    def chunks(self, spec: ArraySpec, grids: NDArray[np.int32]) -> None:
        """Judge the chunks of a field, and the array of their checksums with them."""
        try:
            array = self.remains.array(spec)
        except StorageError as error:
            self.proof.lose_all(str(error))
            return
        path = checksum_path(spec.path)
        stored_hash, actual_hash = self.hashers[path].copy(), self.hashers[path].copy()
        agree = np.ones(self.layout.samples, bool)
        marks = np.zeros(self.layout.samples, np.uint32)
        for row, grid in enumerate(grids.tolist()):
            actual = _stored_chunks(array, spec, row)
            stored = self._checksums(path, row)
            actual_hash.update(actual.tobytes())
            if grid in self.layout.grids:
                wanted = _wanted(spec, grid)
                marks[row] = zlib.crc32(actual[wanted].tobytes())
                if stored is not None:
                    stored = stored.reshape(actual.shape)
                    agree[row] = ((stored == actual)[wanted]).all() and ((stored >= 0) == wanted).all()
            if stored is not None:
                stored_hash.update(stored.tobytes())
        self.proof.marks[spec.path] = marks
        if stored_hash.hexdigest() == self.listed.get(path):
            self.proof.rows[:] &= agree
        elif actual_hash.hexdigest() != self.listed.get(path):
            self.proof.lose_all(f"the checksums of {spec.path} changed, and nothing else proves its chunks")

    def _checksums(self, path: str, row: int) -> NDArray[np.int64] | None:
        with suppress(StorageError, *H5_ERRORS):
            return self.remains.entries(self.specs[path], row, row + 1)
        return None

    def _blocks(self, path: str) -> Iterator[tuple[int, NDArray[Any]]]:
        return row_blocks(self.remains.array(self.specs[path]))

    def _is_proven(self, spec: ArraySpec) -> bool:
        hasher = self.hashers[spec.path].copy()
        try:
            for _first, block in self._blocks(spec.path):
                hasher.update(block.view(np.uint8).data)
        except H5_ERRORS as error:
            raise StorageError(f"{spec.path} cannot be read ({error})") from error
        return hasher.hexdigest() == self.listed.get(spec.path)


def _hashers(layout: Layout) -> dict[str, Any]:
    """Return SHA-256 over the form of each table, as the digests of a file of that layout begin.

    The form is read off a tree of one row, and the number of rows put into it.
    """
    with create_memory_file() as file:
        create_tree(file, replace(layout, samples=1), {})
        return {
            spec.path: value_hasher(spec.path, array_id(file, spec.path), spec.shape)
            for spec in arrays(layout)
            if spec.kind in ("table", "checksum", "timing")
        }


def feature_digests(layout: Layout, conventions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the digest that ``/features/sdf`` has in a file of that layout with each of some conventions."""
    with create_memory_file() as file:
        create_tree(file, replace(layout, samples=1), {})
        target = group(file, SDF)
        for stated in conventions:
            for name, value in stated.items():
                write_attribute(target, name, value)
            yield object_digest(file, SDF, target.id)


def _stored_chunks(array: h5d.DatasetID, spec: ArraySpec, row: int) -> NDArray[np.int64]:
    """Return the CRC-32 of each chunk that stands in a row; of one that cannot be read, none that exists."""
    crcs = np.full(spec.chunk_grid[1:], NO_CHUNK, np.int64)
    for position in product(*map(range, crcs.shape)):
        try:
            raw = read_chunk(array, chunk_offset(spec, row, position))
        except StorageError:
            crcs[position] = 1 << 32
            continue
        if raw is not None:
            crcs[position] = zlib.crc32(raw)
    return crcs


def _wanted(spec: ArraySpec, grid: int) -> NDArray[np.bool_]:
    wanted = np.zeros(spec.chunk_grid[1:], bool)
    for window in row_windows(spec, grid):
        wanted[window.position] = True
    return wanted


def encoded_rows(remains: Remains, layout: Layout, lo: int, hi: int, proof: Proof) -> Iterator[EncodedRow]:
    """Yield proven rows lo … hi − 1 as they were written, each compared with what was proven.

    Raises
    ------
    StorageError
        Where a row cannot be read again, or reads differently than before.
    """
    tables = {spec.path: remains.entries(spec, lo, hi) for spec in row_tables(layout)}
    fields = [(spec, remains.array(spec)) for spec in field_arrays(layout)]
    for row in range(lo, hi):
        entries = {
            path: block[row - lo : row - lo + 1].reshape(block.shape[1:]) for path, block in tables.items()
        }
        chunks = {
            spec.path: tuple(_read_again(array, spec, row, int(entries[GRIDS]), proof))
            for spec, array in fields
        }
        yield EncodedRow(chunks, entries, entry_crc(entries.values()))


def _read_again(array: h5d.DatasetID, spec: ArraySpec, row: int, grid: int, proof: Proof) -> Iterator[Chunk]:
    mark = 0
    for window in row_windows(spec, grid):
        raw = read_chunk(array, chunk_offset(spec, row, window.position)) or b""
        crc = zlib.crc32(raw)
        mark = zlib.crc32(np.int64(crc).tobytes(), mark)
        yield Chunk(window.position, raw, crc)
    if mark != proof.marks[spec.path][row]:
        raise StorageError(
            f"{spec.path}, row {row} reads differently each time: the disk or the memory of this machine may "
            "be faulty; nothing was changed"
        )
