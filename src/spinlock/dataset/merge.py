"""Parts made on different machines, joined to one dataset."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinlock.config import config_from_stored
from spinlock.config.missing_parts import naming_missing_parts
from spinlock.dataset.joining import join_shards
from spinlock.dataset.output import check_output, require_disk, resolved_output
from spinlock.dataset.part import ranges_in_words, row_ranges
from spinlock.dataset.progress import Progress, Silent
from spinlock.dataset.provenance import merged_environments, refuse_mixing
from spinlock.dataset.quality import sampling_report
from spinlock.dataset.summary import Summary, summarise
from spinlock.errors import StorageError, UsageError
from spinlock.execution.plan import Plan, make_plan
from spinlock.execution.run_directory import FOLDERS, RunDirectory, run_directory_path
from spinlock.storage import (
    Receipt,
    form_at,
    open_stored,
    read_receipts,
    shard_path,
    write_errors,
)
from spinlock.storage.atomic import fsync
from spinlock.storage.locks import is_locked
from spinlock.storage.receipts import receipt_path
from spinlock.storage.spin_writer import link_or_copy, plan_of

logger = logging.getLogger("spinlock")

ACCEPT_MIXED = "Accept it with --allow-mixed"


@dataclass(frozen=True)
class _Found:
    """A shard that counts, and the directory it stands in."""

    directory: Path
    receipt: Receipt


def merge(
    parts: Sequence[str | Path],
    output: str | Path,
    *,
    force: bool = False,
    allow_mixed: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Join parts of one plan to a dataset; they stay as they are.

    Every shard is read and compared with its receipt. Of a shard that two parts have, the first is taken.

    Parameters
    ----------
    parts
        Run directories (``<output>.parts``) or `.spin` directories, of the same plan, which together hold
        every row.
    output
        What to make: a file ending in .h5, a .spin directory, a .zarr store or its URL.
    force
        Replace another dataset at the output.
    allow_mixed
        Join parts made on different device models, torch builds or instruction sets.

    Raises
    ------
    UsageError
        For a part that is none, parts of different plans or environments, a part that is still worked on, or
        an output that cannot be written.
    StorageError
        Where rows are missing (they are named), or the disk fails; nothing was changed.
    """
    progress = progress or Silent()
    directories = [_directory(Path(part)) for part in parts]
    plan = _common_plan(directories, str(output))
    target = resolved_output(str(output))
    if check_output(target, plan, force=force, fresh=False):
        logger.info("%s is complete already", target)
        return summarise(target)
    progress.stage("reading the parts")
    found = _shards(directories, plan)
    if not allow_mixed:
        refuse_mixing(merged_environments(one.receipt for one in found.values()), [], ACCEPT_MIXED)
    sampling = sampling_report(plan)
    require_disk(plan, target)
    with RunDirectory(target, plan) as run:
        _adopt_all(run, found, progress)
        progress.stage("finalizing")
        join_shards(run, sampling, "merge", len(directories))
    return summarise(target, made=plan.total_samples)


def _adopt_all(run: RunDirectory, found: Mapping[int, _Found], progress: Progress) -> None:
    progress.begin(len(found), 0)
    for number, one in sorted(found.items()):
        _adopt(run, number, one)
        progress.advance()
    with write_errors(run.path):
        for folder in FOLDERS:
            fsync(run.path / folder)


def _directory(part: Path) -> Path:
    """Return the directory of a part; the path of a dataset that is not finished stands for its work."""
    if not part.exists() and run_directory_path(part).is_dir():
        part = run_directory_path(part)
    if not part.is_dir():
        what = "is one file: it is complete" if part.is_file() else "does not exist"
        raise UsageError(
            f"{part} {what}; give the .parts directory that `spinlock generate --range` left, or a .spin "
            "directory. `spinlock export` writes a complete dataset in another form"
        )
    if is_locked(part):
        raise UsageError(f"{part}: a run is at work there; wait until it ends")
    return part


def _common_plan(directories: Sequence[Path], output: str) -> Plan:
    """Return the plan that all parts belong to, with another output."""
    if not directories:
        raise UsageError("no part is given: name the .parts or .spin directories to merge")
    stated = [plan_of(directory) for directory in directories]
    for directory, one in zip(directories, stated, strict=True):
        if one["digest"] != stated[0]["digest"]:
            raise UsageError(
                f"{directory} is a part of another plan ({str(one['digest'])[:12]}…) than {directories[0]} "
                f"({str(stated[0]['digest'])[:12]}…): parts are made from one configuration, "
                "total_samples included"
            )
    config: dict[str, Any] = dict(stated[0]["config"])
    storage = {**config["dataset"]["storage"], "backend": "auto"}
    config["dataset"] = {**config["dataset"], "output_path": output, "storage": storage}
    with naming_missing_parts(config):
        plan = make_plan(config_from_stored(config))
    if plan.digest != stated[0]["digest"]:
        raise UsageError(
            f"{directories[0]} was made by another version of Spinlock, whose plan of the same configuration "
            "is another: merge with that version"
        )
    return plan


def _shards(directories: Sequence[Path], plan: Plan) -> Mapping[int, _Found]:
    """Return every shard of the plan and where it stands, or raise `StorageError` where some are missing."""
    ranges = [plan.shard_range(shard) for shard in range(plan.num_shards)]
    found: dict[int, _Found] = {}
    for directory in directories:
        scan = read_receipts(directory, plan.digest, deep=True, ranges=ranges)
        for path, reason in scan.rejected.items():
            logger.warning("warning: %s does not count: %s", path, reason)
        for number, receipt in scan.valid.items():
            found.setdefault(number, _Found(directory, receipt))
        _tell_of_features(directory, plan)
    missing = [shard for shard in range(plan.num_shards) if shard not in found]
    if missing:
        ranges = row_ranges(plan, missing)
        raise StorageError(
            f"the parts hold {len(found)} of {plan.num_shards} shards; rows {ranges_in_words(ranges)} are "
            f"missing. Make them with the same configuration and --range {ranges[0][0]}:{ranges[0][1]}, and "
            "give their .parts directory too; nothing was changed"
        )
    return found


def _tell_of_features(directory: Path, plan: Plan) -> None:
    """Say so where features were added to a `.spin` directory: they are no part of its shards."""
    if form_at(directory) != "spin" or not (directory / "index.h5").is_file():
        return
    with open_stored(directory) as stored:
        if stored.layout.features is not None and plan.layout.features is None:
            logger.warning(
                "warning: the features that were added to %s are not carried over: run `spinlock "
                "extract-features` on the new dataset", directory,
            )  # fmt: skip


def _adopt(run: RunDirectory, number: int, one: _Found) -> None:
    """Let a shard and its receipt stand in the run directory too."""
    if one.directory.resolve() == run.path.resolve():
        return
    for place in (shard_path, receipt_path):
        target = place(run.path, number)
        with write_errors(target):
            target.unlink(missing_ok=True)
            link_or_copy(place(one.directory, number), target)
