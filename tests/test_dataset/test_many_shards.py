"""Runs of very many shards and samples: planned, described, resumed in linear work and little memory.

No rollout is run: a shard is a byte, its receipt what a run would have written. Work is counted, not timed.
"""

import hashlib
import json
import random
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from spinlock.dataset import DatasetGenerationPipeline, compute
from spinlock.dataset import merge as merging
from spinlock.dataset.compute import compute_missing
from spinlock.dataset.merge import merge
from spinlock.dataset.part import Part
from spinlock.dataset.profile import Profiler
from spinlock.dataset.progress import Silent
from spinlock.errors import StorageError
from spinlock.execution import plan as planning
from spinlock.execution.environment import numerical_environment, software_versions
from spinlock.execution.plan import Plan, make_plan
from spinlock.execution.run_directory import RunDirectory
from spinlock.storage import receipts, space
from spinlock.storage.receipts import Receipt, receipt_path, shard_path

STAGES = ("sampling", "operators", "initial conditions", "rollout", "encoding", "writing")

MANY = pytest.param(100_000, marks=pytest.mark.slow)

CONTENT = b"x"


@pytest.fixture
def folder():
    """A folder in memory where there is one: a hundred thousand files are many for a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture
def counts(monkeypatch):
    """How often receipts are parsed and ranges of shards are asked for."""
    found: Counter[str] = Counter()

    def counted(home, name):
        right = getattr(home, name)

        def call(*words, **how):
            found[name] += 1
            return right(*words, **how)

        monkeypatch.setattr(home, name, call)

    counted(receipts, "_check_kinds")
    counted(Plan, "shard_range")
    monkeypatch.setattr(planning, "SHARD_BYTES", 1)
    monkeypatch.setattr(receipts, "_check_statements", lambda *_: None)  # what a shard says of itself
    return found


def receipt(plan: Plan, shard: int) -> Receipt:
    low, high = plan.shard_range(shard)
    return Receipt(
        shard, low, high, plan.digest, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "0" * 64,
        timings=dict.fromkeys(STAGES, 0.01 * (shard + 1)),
        versions=software_versions(),
        environment=numerical_environment(torch.device("cpu")),
        traffic={stage: [shard, shard + 1] for stage in STAGES},
    )  # fmt: skip


def commit(run: RunDirectory, shard: int) -> Receipt:
    made = receipt(run.plan, shard)
    shard_path(run.path, shard).write_bytes(CONTENT)
    receipt_path(run.path, shard).write_text(made.to_json())
    return made


class Told(Silent):
    """What a run says of its progress."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.advanced = 0

    def begin(self, total, done):
        self.begun.append((total, done))

    def advance(self):
        self.advanced += 1


@pytest.mark.parametrize("shards", [500, MANY])
def test_a_resume_finds_exactly_the_missing_shards(folder, counts, monkeypatch, shards):
    config = tiny.config_of(folder / "a.h5", tiny.PLAIN, {"sampling.total_samples": shards})
    plan, choose = make_plan(config), random.Random(1)
    assert plan.num_shards == shards
    lost, cut, foreign, moved = choose.sample(range(shards), 4)
    with RunDirectory(folder / "a.h5", plan) as run:
        for shard in range(shards):
            commit(run, shard)
        receipt_path(run.path, lost).unlink()
        shard_path(run.path, cut).write_bytes(b"")
        receipt_path(run.path, foreign).write_text(
            replace(receipt(plan, foreign), plan_digest="ab").to_json()
        )
        receipt_path(run.path, moved).write_text(replace(receipt(plan, moved), hi=moved + 2).to_json())
        counts.clear()
        scan = run.receipts()
        assert set(range(shards)) - set(scan.valid) == {lost, cut, foreign, moved}
        assert len(scan.rejected) == 3
        assert counts == {"_check_kinds": shards - 1, "shard_range": shards}, "each is read once"
        with pytest.raises(
            StorageError, match=f"lacks 4 shards, the first is {min(lost, cut, foreign, moved)}"
        ):
            run.all_receipts()
        resumed(plan, run, {lost, cut, foreign, moved}, counts, monkeypatch)
        everything = run.all_receipts()
    assert [one.shard for one in everything] == list(range(shards))
    assert everything[-1] == receipt(plan, shards - 1)


def resumed(plan, run, missing, counts, monkeypatch):
    """Run the pipeline's computation with workers that commit what they are asked for, and compare."""
    asked: list[int] = []

    def workers(_kind, _job, shards, advance):
        for shard in shards:
            asked.append(shard)
            advance()
            yield commit(run, shard)

    monkeypatch.setattr(compute, "execute", workers)
    told = Told()
    counts.clear()
    work = compute_missing(run, Part(), [torch.device("cpu")], told, Profiler(), allow_mixed=False)
    assert sorted(asked) == sorted(missing)
    assert work.before == set(range(plan.num_shards)) - missing
    assert (work.made, work.left) == (missing, ())
    assert told.begun == [(plan.total_samples, plan.total_samples - len(missing))]
    assert told.advanced == len(missing)
    assert counts["_check_kinds"] == plan.num_shards - 1, "one has no receipt"
    assert counts["shard_range"] <= plan.num_shards + 3 * len(missing)


@pytest.mark.parametrize("shards", [500, MANY])
def test_a_merge_of_parts_takes_every_shard_once(folder, counts, monkeypatch, shards):
    """Two machines made alternate shards, a third made some of them again; joining itself is left out."""
    parts = []
    for name, made in (("one", range(0, shards, 2)), ("two", range(1, shards, 2)), ("three", range(9))):
        output = folder / name / "a.h5"
        plan = make_plan(tiny.config_of(output, tiny.PLAIN, {"sampling.total_samples": shards}))
        with RunDirectory(output, plan) as run:
            for shard in made:
                commit(run, shard)
        parts.append(run.path)
    joined: list[Receipt] = []

    def join(run, _sampling, executor, workers):
        assert (executor, workers) == ("merge", 3)
        joined.extend(run.all_receipts())
        assert all(shard_path(run.path, shard).read_bytes() == CONTENT for shard in (0, 1, shards - 1))

    monkeypatch.setattr(merging, "join_shards", join)
    monkeypatch.setattr(merging, "summarise", lambda path, made: made)
    told = Told()
    with pytest.raises(StorageError, match=rf"{(shards + 1) // 2} of {shards} shards; rows 1:2, 3:4,"):
        merge(parts[:1], folder / "missing.h5")
    counts.clear()
    assert merge(parts, folder / "m.h5", progress=told) == shards
    assert [one.shard for one in joined] == list(range(shards))
    assert told.begun == [(shards, 0)]
    assert told.advanced == shards
    assert counts["_check_kinds"] == 2 * shards + 9, "each is read where it was made, and where it is joined"
    assert counts["shard_range"] <= 3 * shards
    assert not (folder / "missing.h5.parts").exists()


PLANNING = f"""{tiny.PEAK_MEMORY}
import json, sys, time, warnings
from unittest import mock
from spinlock.config import load_config
from spinlock.dataset.preview import preview
from spinlock.dataset.quality import sampling_report
from spinlock.execution.plan import make_plan
warnings.simplefilter("ignore")
small = load_config(sys.argv[1], [("test", "sampling.total_samples", 64)])
with mock.patch("spinlock.dataset.preview.require_disk"):
    preview(small)
before = peak_memory()
config = load_config(sys.argv[1])
plan = make_plan(config)
ranges = [plan.shard_range(shard) for shard in range(plan.num_shards)]
report = sampling_report(plan)
last = plan.draw(plan.total_samples - 1)
with mock.patch("spinlock.dataset.preview.require_disk"):
    told = preview(config)
print(json.dumps(dict(
    samples=told["samples"], shards=told["shards"], covered=[ranges[0][0], ranges[-1][1], len(ranges)],
    last=last.index, points=report.quality.num_points, added=peak_memory() - before,
)))
"""


@pytest.mark.parametrize("settings", [tiny.PLAIN, pytest.param(tiny.EVERYTHING, marks=pytest.mark.slow)])
def test_ten_million_samples_are_planned_and_described_in_little_memory(tmp_path, settings):
    """Draws are computed by index and never held; the disk that they would need is not asked for."""
    samples = 10_000_000
    config = tiny.write_config(tmp_path / "c.yaml", settings, sampling__total_samples=samples)
    done = tiny.python("-c", PLANNING, config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["samples"] == samples
    assert told["covered"] == [0, samples, told["shards"]]
    assert told["last"] == samples - 1
    assert 2**16 < told["points"] < samples
    assert told["added"] < 300e6


def test_a_dry_run_of_ten_million_samples_asks_for_the_disk_first(tmp_path, monkeypatch):
    monkeypatch.setattr(space, "free_space", lambda _: 10**12)
    config = tiny.config_of(tmp_path / "a.h5", tiny.EVERYTHING, {"sampling.total_samples": 10_000_000})
    with pytest.raises(StorageError, match=r"the disk is too small: .* needs 3\.\d+ TB"):
        DatasetGenerationPipeline(config).dry_run()
    assert not (tmp_path / "a.h5.parts").exists()
