"""Ways to damage a dataset file, each at a seeded place; `Scene` holds what they work with."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import tiny
from spinlock.execution.run_directory import RunDirectory

FIELDS = ("inputs/fields", "outputs/fields", "outputs/trajectories")
SHARDS, ROWS = 3, 4

SETTINGS = tiny.changed(
    tiny.PLAIN,
    {
        "sampling.total_samples": SHARDS * ROWS,
        "parameter_space.architecture.normalization": {"type": "choice", "choices": ["none", "instance"]},
        "parameter_space.operator.grid_size.choices": [16, 24],
        "simulation.num_timesteps": 3,
        "dataset.storage": {"trajectories": "all"},
    },
)
OTHER = tiny.changed(SETTINGS, {"sampling.sobol.seed": 9})


@dataclass
class Scene:
    """What corruptions work with: a sound dataset, one of another plan, and their run directories."""

    folder: Path
    sound: Path = field(init=False)
    other: Path = field(init=False)

    def __post_init__(self) -> None:
        self.sound, self.other = (self.folder / name / "a.h5" for name in ("sound", "other"))

    def make(self) -> None:
        keep, RunDirectory.remove = RunDirectory.remove, lambda _: None
        tiny.generate(self.sound, SETTINGS)
        tiny.generate(self.other, OTHER)
        RunDirectory.remove = keep

    @staticmethod
    def parts(path: Path) -> Path:
        return path.with_name("a.h5.parts")


def h5_edit(path: Path, change: Callable[[h5py.File], Any]) -> None:
    """Change a file through h5py, which rewrites no checksum."""
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        change(file)


def names(path: Path, *, tables: bool) -> list[str]:
    """The arrays of a file, or its tables alone."""
    found = [name for name, values in tiny.arrays(path).items() if name not in FIELDS or not tables]
    return [name for name in found if name != "outputs/timesteps"]


def replaced(path: Path, low: int, data: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[low : low + len(data)] = data
    path.write_bytes(content)


def flip(path: Path, rng: random.Random, _scene: Scene) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 3))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def zero(path: Path, rng: random.Random, _scene: Scene) -> None:
    size = path.stat().st_size
    low = rng.randrange(size)
    replaced(path, low, bytes(min(rng.choice((1, 16, 600, 4096)), size - low)))


def noise(path: Path, rng: random.Random, _scene: Scene) -> None:
    size = path.stat().st_size
    low = rng.randrange(size)
    replaced(path, low, rng.randbytes(min(rng.choice((4, 64, 2048)), size - low)))


def cut(path: Path, rng: random.Random, _scene: Scene) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def append(path: Path, rng: random.Random, _scene: Scene) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.choice((1, 512, 9000))))


def swap_blocks(path: Path, rng: random.Random, _scene: Scene) -> None:
    """Exchange two blocks of bytes, as a file system does that puts pages in the wrong place."""
    content, size = path.read_bytes(), rng.choice((512, 4096))
    one, other = (size * rng.randrange(len(content) // size) for _ in range(2))
    replaced(path, one, content[other : other + size])
    replaced(path, other, content[one : one + size])


def cell(path: Path, rng: random.Random, _scene: Scene) -> None:
    def change(file: h5py.File) -> None:
        table = file[rng.choice(names(path, tables=True))]
        values = table[()]
        raw = values.reshape(-1).view(np.uint8)
        raw[rng.randrange(raw.size)] ^= 1 << rng.randrange(7)
        table[...] = values

    h5_edit(path, change)


def remove_array(path: Path, rng: random.Random, _scene: Scene) -> None:
    h5_edit(path, lambda file: file.__delitem__(rng.choice([*names(path, tables=False), "sample", "x"])))


def attributes(path: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.extend((name, one) for one in item.attrs))
    return found


def remove_attribute(path: Path, rng: random.Random, _scene: Scene) -> None:
    name, attribute = rng.choice(attributes(path))
    h5_edit(path, lambda file: file[name].attrs.__delitem__(attribute))


def replace_attribute(path: Path, rng: random.Random, _scene: Scene) -> None:
    name, attribute = rng.choice([pair for pair in attributes(path) if pair[1].islower()])
    value = rng.choice((np.bytes_("x"), np.bytes_("[]"), np.bytes_("{}"), 7, -1.5))
    h5_edit(path, lambda file: file[name].attrs.__setitem__(attribute, value))


def chunk_of(file: h5py.File, name: str, row: int) -> tuple[tuple[int, ...], bytes]:
    place = (row, *(0,) * (file[name].ndim - 1))
    return place, file[name].id.read_direct_chunk(place)[1]


def swap_chunks(path: Path, rng: random.Random, _scene: Scene) -> None:
    def change(file: h5py.File) -> None:
        name, (one, other) = rng.choice(FIELDS), rng.sample(range(SHARDS * ROWS), 2)
        (here, first), (there, second) = chunk_of(file, name, one), chunk_of(file, name, other)
        file[name].id.write_direct_chunk(here, second)
        file[name].id.write_direct_chunk(there, first)

    h5_edit(path, change)


def foreign_chunk(path: Path, rng: random.Random, scene: Scene) -> None:
    name, row = rng.choice(FIELDS), rng.randrange(SHARDS * ROWS)
    with h5py.File(scene.other) as other:
        place, raw = chunk_of(other, name, row)
    h5_edit(path, lambda file: file[name].id.write_direct_chunk(place, raw))


def move_rows(path: Path, pairs: list[tuple[int, int]], source: Path | None = None) -> None:
    """Write rows over others in every array, checksums included."""
    with h5py.File(source or path) as file:
        tables = {name: file[name][()] for name in names(path, tables=True)}
        chunks = {(name, row): chunk_of(file, name, row)[1] for name in FIELDS for row, _ in pairs}

    def change(file: h5py.File) -> None:
        for name, values in tables.items():
            for row, target in pairs:
                file[name][target] = values[row]
        for name in FIELDS:
            for row, target in pairs:
                place, _ = chunk_of(file, name, target)
                file[name].id.write_direct_chunk(place, chunks[name, row])

    h5_edit(path, change)


def swap_shards(path: Path, rng: random.Random, _scene: Scene) -> None:
    one, other = rng.sample(range(SHARDS), 2)
    rows = [(ROWS * one + k, ROWS * other + k) for k in range(ROWS)]
    move_rows(path, rows + [(b, a) for a, b in rows])


def duplicate_shard(path: Path, rng: random.Random, _scene: Scene) -> None:
    one, other = rng.sample(range(SHARDS), 2)
    move_rows(path, [(ROWS * one + k, ROWS * other + k) for k in range(ROWS)])


def foreign_shard(path: Path, rng: random.Random, scene: Scene) -> None:
    shard = rng.randrange(SHARDS)
    move_rows(path, [(row, row) for row in range(ROWS * shard, ROWS * shard + ROWS)], scene.other)


FILE_DAMAGE = {
    "flip": flip,
    "zero": zero,
    "noise": noise,
    "cut": cut,
    "append": append,
    "swap blocks": swap_blocks,
    "cell": cell,
    "remove array": remove_array,
    "remove attribute": remove_attribute,
    "replace attribute": replace_attribute,
    "swap chunks": swap_chunks,
    "foreign chunk": foreign_chunk,
    "swap shards": swap_shards,
    "duplicate shard": duplicate_shard,
    "foreign shard": foreign_shard,
}

LOCAL = ("cell", "swap chunks", "foreign chunk")
"""Damage after which every undamaged shard must be kept."""
