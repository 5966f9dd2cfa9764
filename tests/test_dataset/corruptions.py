"""Run as a program: damage a dataset, or the work of a run, in seeded ways and print what comes of it.

Its own process, so that a crash of the HDF5 library shows as an exit code, and a hang as an alarm.
"""

import json
import random
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import tiny
from spinlock.dataset import DatasetGenerationPipeline, open_dataset
from spinlock.dataset.describe import describe
from spinlock.dataset.validate import validate
from spinlock.errors import SpinlockError
from spinlock.execution import plan
from spinlock.execution.executors import inline
from spinlock.execution.plan import make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import Receipt
from spinlock.storage.receipts import receipt_path
from test_storage.dataset_samples import plain_contents

SECONDS = 60
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


@dataclass
class Finding:
    """What came of one corruption."""

    number: int
    how: str
    changed: bool = True
    found: list[str] = field(default_factory=list)
    opened: str | None = None
    told: str | None = None
    damaged: list[int] | None = None
    repaired: str | None = None
    made: list[int] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


def row_bytes(array: h5py.Dataset, chunked: bool) -> list[Any]:
    """The stored bytes of each row."""
    if not chunked:
        return [np.asarray(entry).tobytes() for entry in array[()]]
    rows: list[dict[tuple[int, ...], bytes]] = [{} for _ in range(len(array))]
    for number in range(array.id.get_num_chunks()):
        place = array.id.get_chunk_info(number).chunk_offset
        rows[place[0]][place] = array.id.read_direct_chunk(place)[1]
    return rows


def damaged_shards(path: Path, sound: Path) -> list[int] | None:
    """The shards with rows that differ in a chunk or entry, as plain h5py sees them; None if it cannot."""
    rows: set[int] = set()
    try:
        with h5py.File(path) as ours, h5py.File(sound) as right:
            for name in names(sound, tables=False):
                if name.startswith("metadata/checksums"):
                    continue
                mine, theirs = (row_bytes(file[name], name in FIELDS) for file in (ours, right))
                rows |= {row for row in range(SHARDS * ROWS) if mine[row] != theirs[row]}
    except Exception:
        return None
    return sorted({row // ROWS for row in rows})


def same_content(path: Path, sound: Path) -> bool:
    try:
        return plain_contents(path) == plain_contents(sound)
    except Exception:
        return False


def use(call: Callable[[], Any]) -> str | None:
    """What a call refuses with; anything but our own errors ends the process."""
    try:
        call()
    except SpinlockError as error:
        return str(error)
    return None


def read_all(path: Path) -> None:
    with open_dataset(path) as dataset:
        assert [sample.index for sample in dataset] == list(range(SHARDS * ROWS))


def watched_generate(output: Path, **how: Any) -> tuple[str | None, list[int]]:
    """Run the pipeline; what it refuses with, and the shards it made."""
    made: list[int] = []
    right = inline.run_shard

    def watched(run_plan: Any, shard: int, *words: Any, **more: Any) -> Receipt:
        made.append(shard)
        return right(run_plan, shard, *words, **more)

    inline.run_shard = watched
    try:
        pipeline = DatasetGenerationPipeline(tiny.config_of(output, SETTINGS), **how)
        return use(pipeline.generate), sorted(made)
    finally:
        inline.run_shard = right


def examine_file(scene: Scene, work: Path, number: int, how: str, *, repair: bool) -> Finding:
    """Damage a copy of the dataset and try everything that reads it."""
    finding = Finding(number, how)
    path = work / "a.h5"
    shutil.copy(scene.sound, path)
    FILE_DAMAGE[how](path, random.Random(f"{how} {number}"), scene)
    finding.found = validate(path).failures
    if repair or number % 3 == 0:
        finding.opened, finding.told = use(lambda: read_all(path)), use(lambda: describe(path))
    finding.changed = bool(finding.found) or not same_content(path, scene.sound)
    if repair:
        finding.damaged = damaged_shards(path, scene.sound)
        finding.repaired, finding.made = watched_generate(path, repair=True)
        if finding.repaired is None:
            finding.differing = tiny.differing(scene.sound, path)
            finding.found += [f"after the repair: {one}" for one in validate(path).failures]
    return finding


def rewritten(path: Path, receipt: dict[str, Any]) -> None:
    """Write a receipt with a checksum of itself that is right."""
    receipt.pop("checksum", None)
    known = Receipt(**receipt)
    path.write_text(known.to_json())


def shard_file(parts: Path, rng: random.Random) -> Path:
    return parts / "shards" / f"part-{rng.randrange(SHARDS):06d}.h5"


def on_shard(change: Callable[[Path, random.Random, Scene], None]) -> Callable[..., None]:
    return lambda parts, rng, scene: change(shard_file(parts, rng), rng, scene)


def swap_files(folder: str, ending: str) -> Callable[..., None]:
    def change(parts: Path, rng: random.Random, _scene: Scene) -> None:
        one, other = (parts / folder / f"part-{k:06d}.{ending}" for k in rng.sample(range(SHARDS), 2))
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)

    return change


def swap_both(parts: Path, rng: random.Random, _scene: Scene) -> None:
    """Exchange two shards and give each a receipt that goes with its bytes."""
    pair = rng.sample(range(SHARDS), 2)
    shards = [parts / "shards" / f"part-{k:06d}.h5" for k in pair]
    receipts = [json.loads(receipt_path(parts, k).read_text()) for k in pair]
    data = [path.read_bytes() for path in shards]
    for k, path, content, mine, theirs in zip(
        pair, shards, reversed(data), receipts, reversed(receipts), strict=True
    ):
        path.write_bytes(content)
        rewritten(receipt_path(parts, k), {**theirs, **{name: mine[name] for name in ("shard", "lo", "hi")}})


def other_shard(parts: Path, rng: random.Random, scene: Scene) -> int:
    """Put another plan's shard in the place of one."""
    shard = rng.randrange(SHARDS)
    shutil.copy(scene.parts(scene.other) / "shards" / f"part-{shard:06d}.h5", parts / "shards")
    return shard


def other_both(parts: Path, rng: random.Random, scene: Scene) -> None:
    shard = other_shard(parts, rng, scene)
    shutil.copy(receipt_path(scene.parts(scene.other), shard), parts / "receipts")


def other_relabelled(parts: Path, rng: random.Random, scene: Scene) -> None:
    """Another plan's shard, with a receipt rewritten to be of this plan."""
    shard = other_shard(parts, rng, scene)
    ours, theirs = (
        json.loads(receipt_path(folder, shard).read_text()) for folder in (parts, scene.parts(scene.other))
    )
    rewritten(receipt_path(parts, shard), {**theirs, "plan_digest": ours["plan_digest"]})


def edit_receipt(parts: Path, rng: random.Random, _scene: Scene) -> None:
    path = receipt_path(parts, rng.randrange(SHARDS))
    content = json.loads(path.read_text())
    name = rng.choice(("shard", "lo", "hi", "size", "sha256", "digest", "plan_digest", "attempt"))
    content[name] = 1 + content[name] if isinstance(content[name], int) else content[name][::-1]
    path.write_text(json.dumps(content))


WRONG = (-1, 10**30, "x", "../../x", None, [], {}, 1.5, True)


def edit_receipt_and_checksum(parts: Path, rng: random.Random, _scene: Scene) -> None:
    path = receipt_path(parts, rng.randrange(SHARDS))
    content = json.loads(path.read_text())
    name = rng.choice(("shard", "lo", "hi", "size", "sha256", "digest", "plan_digest"))
    wrong = [value for value in WRONG if value != content[name]]
    rewritten(path, {**content, name: rng.choice([*wrong, 1 if name != "size" else 7])})


def copy_receipt(parts: Path, rng: random.Random, _scene: Scene) -> None:
    one, other = rng.sample(range(SHARDS), 2)
    receipt_path(parts, other).write_bytes(receipt_path(parts, one).read_bytes())


def remove_file(folder: str, ending: str) -> Callable[..., None]:
    def change(parts: Path, rng: random.Random, _scene: Scene) -> None:
        (parts / folder / f"part-{rng.randrange(SHARDS):06d}.{ending}").unlink()

    return change


def on_receipt(change: Callable[[Path, random.Random, Scene], None]) -> Callable[..., None]:
    return lambda parts, rng, scene: change(receipt_path(parts, rng.randrange(SHARDS)), rng, scene)


RUN_DAMAGE = {
    "flip": on_shard(flip),
    "zero": on_shard(zero),
    "noise": on_shard(noise),
    "cut": on_shard(cut),
    "append": on_shard(append),
    "cell": on_shard(cell),
    "remove attribute": on_shard(remove_attribute),
    "swap shards": swap_files("shards", "h5"),
    "swap receipts": swap_files("receipts", "json"),
    "swap shards and receipts": swap_both,
    "other shard": other_shard,
    "other shard and receipt": other_both,
    "other shard, relabelled": other_relabelled,
    "edit receipt": edit_receipt,
    "edit receipt and checksum": edit_receipt_and_checksum,
    "copy receipt": copy_receipt,
    "remove receipt": remove_file("receipts", "json"),
    "remove shard": remove_file("shards", "h5"),
    "flip receipt": on_receipt(flip),
    "cut receipt": on_receipt(cut),
}


def disturbed(parts: Path, sound: Path) -> list[int]:
    """The shards whose file or receipt is not what the run wrote."""
    files = {f"shards/part-{k:06d}.h5": k for k in range(SHARDS)}
    files |= {f"receipts/part-{k:06d}.json": k for k in range(SHARDS)}
    return sorted(
        {
            k
            for name, k in files.items()
            if not (parts / name).is_file() or (parts / name).read_bytes() != (sound / name).read_bytes()
        }
    )


def examine_run(scene: Scene, work: Path, number: int, how: str, *, repair: bool) -> Finding:
    """Damage a copy of a run directory, ask which shards count, and go on."""
    finding = Finding(number, how)
    output, parts = work / "a.h5", work / "a.h5.parts"
    output.unlink(missing_ok=True)
    shutil.rmtree(parts, ignore_errors=True)
    shutil.copytree(scene.parts(scene.sound), parts)
    RUN_DAMAGE[how](parts, random.Random(f"{how} {number}"), scene)
    finding.damaged = disturbed(parts, scene.parts(scene.sound))
    finding.changed = bool(finding.damaged)
    run = RunDirectory(output, make_plan(tiny.config_of(output, SETTINGS)))
    scan = run.receipts(deep=True)
    finding.found = [str(path) for path in scan.rejected]
    finding.made = [shard for shard in range(SHARDS) if shard not in scan.valid]
    if repair:
        finding.repaired, finding.made = watched_generate(output)
        if finding.repaired is None:
            finding.differing = tiny.differing(scene.sound, output)
    return finding


def main(folder: Path, what: str, count: int, every: int) -> None:
    plan.FEWEST_SHARDS = SHARDS
    scene, work = Scene(folder), folder / "work"
    work.mkdir(parents=True)
    scene.make()
    kinds = list(FILE_DAMAGE if what == "file" else RUN_DAMAGE)
    examine = examine_file if what == "file" else examine_run
    for number in range(count):
        signal.alarm(SECONDS)  # whatever hangs ends this process, and the test sees it
        finding = examine(scene, work, number, kinds[number % len(kinds)], repair=number % every == 0)
        sys.stdout.write(json.dumps(asdict(finding)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
