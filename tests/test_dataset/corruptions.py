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
from test_dataset.damage_to_files import FIELDS, FILE_DAMAGE, ROWS, SETTINGS, SHARDS, Scene, names
from test_dataset.damage_to_runs import RUN_DAMAGE
from test_storage.dataset_samples import plain_contents

SECONDS = 60


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
