#!/usr/bin/env python3
"""Print how fast random rows are read from a compressed dataset, beside plain h5py on the same chunks.

    python benchmarks/reading.py [--megabytes 2000] [--batches 40] [--repeats 5] [--write]

A reader that opens the file for every item, and one that holds it and its arrays open, give the same items:
fields on the row's grid and the point of the parameter space, as torch tensors. Items are whole (inputs and
outputs, 295 kB) or inputs alone (49 kB): the larger they are, the less opening counts. All readers are asked
for the same number of random batches of 16, in turn; a ratio is the median of several. The dataset is made of
smooth fields with noise, without rollouts, in a temporary folder; making it takes twice its size on disk.

Warm: the file is in the page cache, and every chunk was read, and compared with its checksum, once. Cold: the
file was dropped from the page cache (where the system does so) and opened anew, so that checksums count too.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 (lets plain h5py decode)
import numpy as np
import torch
from generation import HERE, commit, processor
from jobs import configured, job
from synthetic import write_dataset
from torch.utils.data import DataLoader

from spinlock.execution.executors.choice import usable_cores
from spinlock.torch import SpinlockDataset

BATCH = 16

PROMISED = {"open for every item": 3.0, "held open": 1.0}
"""Reader → how many times as fast ours must be."""

Item = dict[str, torch.Tensor]
Reader = Callable[[Sequence[int]], list[Item]]

SETTINGS = job(
    {"gain": {"type": "continuous", "bounds": [0.8, 1.2]}},
    {"noise_scale": {"type": "continuous", "bounds": [0.01, 0.1]}},
    64,
    {"compression": "zstd"},
    samples=1,
    realizations=5,
    steps=1,
)

ROW_BYTES = 238_000
"""A stored row of these settings, about."""


WHOLE, INPUTS = ("inputs", "outputs"), ("inputs",)
"""What items hold."""

TABLES = ("parameters/params", "metadata/grid_sizes")


def item(held: Sequence[str], arrays: Sequence[Any], row: int) -> Item:
    """Return an item from the fields held and `TABLES` of a file, as anyone would write it."""
    *fields, points, grids = arrays
    size = int(grids[row])
    return {
        **{
            name: torch.from_numpy(field[row, ..., :size, :size])
            for name, field in zip(held, fields, strict=True)
        },
        "parameters": torch.from_numpy(points[row]),
        "index": torch.tensor(row),
    }


def opening_each(path: Path, held: Sequence[str]) -> Reader:
    """Return a reader that opens the file for every item."""
    names = [*(f"{name}/fields" for name in held), *TABLES]

    def read(rows: Sequence[int]) -> list[Item]:
        items = []
        for row in rows:
            with h5py.File(path, "r") as file:
                items.append(item(held, [file[name] for name in names], row))
        return items

    return read


def holding_open(path: Path, held: Sequence[str]) -> Reader:
    """Return a reader with the file, its fields and the whole of its tables at hand."""
    file: Any = h5py.File(path, "r")
    arrays = [*(file[f"{name}/fields"] for name in held), *(file[name][:] for name in TABLES)]
    return lambda rows: [item(held, arrays, row) for row in rows]


class PlainDataset(torch.utils.data.Dataset[Item]):
    """The readers of plain h5py for a `DataLoader`; each worker opens the file for itself."""

    def __init__(self, path: Path, make: Callable[[Path, Sequence[str]], Reader], count: int) -> None:
        self.path, self.make, self.count = path, make, count
        self._reader: Reader | None = None

    def __len__(self) -> int:
        return self.count

    def __getitems__(self, rows: Sequence[int]) -> list[Item]:
        self._reader = self._reader or self.make(self.path, WHOLE)
        return self._reader(rows)


def ours(path: Path, held: Sequence[str]) -> SpinlockDataset:
    """Return the dataset as Spinlock reads it."""
    return SpinlockDataset(path, arrays=(*held, "parameters"))


def same(path: Path, rows: Sequence[int]) -> bool:
    """Return whether all readers give the same items."""
    mine = ours(path, WHOLE).__getitems__(rows)
    return all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for make in (opening_each, holding_open)
        for a, b in zip(mine, make(path, WHOLE)(rows), strict=True)
    )


def drop_from_cache(path: Path) -> None:
    """Ask the system to forget what it holds of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Bench:
    """Times readers on random batches, in turn, and compares them with ours."""

    def __init__(self, path: Path, count: int, batches: int, repeats: int) -> None:
        self.path, self.count, self.batches, self.repeats = path, count, batches, repeats
        self.random = np.random.default_rng(0)

    def rows(self) -> list[list[int]]:
        """Return batches of random rows, no row twice."""
        found = self.random.permutation(self.count)[: self.batches * BATCH].tolist()
        return [found[first : first + BATCH] for first in range(0, len(found), BATCH)]

    def seconds(self, reader: Reader) -> float:
        """Return the time that a reader takes for one item, over new random batches."""
        batches = self.rows()
        start = time.perf_counter()
        for batch in batches:
            reader(batch)
        return (time.perf_counter() - start) / sum(map(len, batches))

    def loaded(self, dataset: Any) -> float:
        """Return the time for one item through a `DataLoader` with two workers, which open the file first."""
        loader = DataLoader(dataset, batch_sampler=self.rows() * 2, num_workers=2)
        batches = iter(loader)
        for _ in range(self.batches):
            next(batches)
        start = time.perf_counter()
        rest = sum(1 for _ in batches)
        return (time.perf_counter() - start) / (rest * BATCH)

    def table(self, how: str, times: Callable[[], dict[str, float]], judged: bool) -> Iterator[str | bool]:
        """Yield the lines of a table of ratios, and whether each bound is kept."""
        turns = [times() for _ in range(self.repeats)]
        own = statistics.median(turn["ours"] for turn in turns)
        yield f"| ours, {how} | | | | {1e3 * own:.3f} ms an item |"
        for name, bound in PROMISED.items():
            ratios = [turn[name] / turn["ours"] for turn in turns]
            middle, taken = statistics.median(ratios), statistics.median(turn[name] for turn in turns)
            kept = f"≥ {bound:g}: {'yes' if middle >= bound else 'no'}" if judged else ""
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            what = f"plain h5py, {name} / ours, {how}"
            yield f"| {what} | {middle:.2f} | {spread} | {kept} | {1e3 * taken:.3f} ms |"
            yield not judged or middle >= bound


def measure(bench: Bench) -> Iterator[str | bool]:
    """Yield the lines of all tables, and whether each bound is kept."""
    path, mine = bench.path, ours(bench.path, WHOLE)
    for row in range(bench.count):
        mine[row]

    def warm(held: Sequence[str]) -> Callable[[], dict[str, float]]:
        own = mine if held == WHOLE else SpinlockDataset(mine.source, arrays=(*held, "parameters"))
        readers = {
            "ours": own.__getitems__,
            "open for every item": opening_each(path, held),
            "held open": holding_open(path, held),
        }
        return lambda: {name: bench.seconds(reader) for name, reader in readers.items()}

    def cold() -> dict[str, float]:
        times = {}
        makers: dict[str, Callable[[], Reader]] = {
            "ours": lambda: ours(path, WHOLE).__getitems__,
            "open for every item": lambda: opening_each(path, WHOLE),
            "held open": lambda: holding_open(path, WHOLE),
        }
        for name, make in makers.items():
            reader = make()
            drop_from_cache(path)
            times[name] = bench.seconds(reader)
        return times

    def through_workers() -> dict[str, float]:
        times = {"ours": bench.loaded(mine)}
        for name, make in (("open for every item", opening_each), ("held open", holding_open)):
            times[name] = bench.loaded(PlainDataset(path, make, bench.count))
        return times

    yield from bench.table("warm", warm(WHOLE), judged=True)
    yield from bench.table("warm, inputs alone", warm(INPUTS), judged=True)
    yield from bench.table("cold", cold, judged=False)
    yield from bench.table("warm, DataLoader with 2 workers", through_workers, judged=False)


def say(lines: list[str], line: str) -> None:
    """Print a line and keep it."""
    print(line, flush=True)
    lines.append(line)


def write(lines: Sequence[str]) -> None:
    """Put a table into this machine's file."""
    name = "".join(c if c.isalnum() else "-" for c in f"reading {processor()} {usable_cores()} cores".lower())
    (HERE / "results" / f"{name}.md").write_text("\n".join(["# Reading", "", *lines]) + "\n")


def main() -> int:
    """Print the table; exit 1 if a bound is not kept, or items differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=2000)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="keep the table in results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        count = max(2 * BATCH, round(options.megabytes * 1e6 / ROW_BYTES))
        config = configured(SETTINGS, Path(folder), {"sampling.total_samples": count})
        path = Path(folder) / "d.h5"
        size = write_dataset(config, path)
        machine = f"{processor()}, {usable_cores()} cores; torch {torch.__version__}"
        say(lines, f"{machine}; commit {commit()}; reading.py, {options.repeats} repeats")
        say(lines, f"{count} rows of 64², M = 5, C = 3, zstd, {size / 1e6:.0f} MB")
        if not same(path, range(0, count, count // BATCH)):
            print("the readers do not give the same items")
            return 1
        say(lines, "\n| what | median | range | promised | |\n|---|---|---|---|---|")
        kept = True
        for line in measure(Bench(path, count, options.batches, options.repeats)):
            if isinstance(line, str):
                say(lines, line)
            else:
                kept = kept and line
    if options.write:
        write(lines)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
