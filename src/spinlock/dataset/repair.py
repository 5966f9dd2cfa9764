"""Repair: of a damaged dataset what is sound is kept, bit for bit, and the rest is made again.

Kept rows become shards of an ordinary run, with the bytes and receipts that the run itself would have given
them; the run then makes what is missing and replaces the damaged file, which stays until then.
"""

import json
import logging
import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spinlock.config.digest import plan_digest
from spinlock.config.load import config_from_stored
from spinlock.counting import counted
from spinlock.dataset.added_features import (
    AddedFeatures,
    added_features,
    finalize_with_features,
    miss_features,
)
from spinlock.dataset.output import check_name, check_replaceable, check_writable
from spinlock.dataset.progress import Progress, Silent
from spinlock.dataset.proven import environments_are_here, proven_choice
from spinlock.dataset.provenance import refuse_mixing
from spinlock.dataset.repair_spin import begin_folder_repair
from spinlock.dataset.rows import drawn_facts
from spinlock.dataset.statements import ENVIRONMENT, MALFORMED, environments_of, timings_of
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.execution.environment import software_versions
from spinlock.execution.plan import Plan
from spinlock.execution.run_directory import RunDirectory, run_directory_path
from spinlock.storage import (
    Damage,
    FinalFile,
    Receipt,
    finalize,
    form_to_make,
    is_taken,
    shard_path,
    verify,
    write_receipt,
    write_shard,
)
from spinlock.storage.feature_layout import EXTRACTION_TIME, FINITE_STEPS, SDF, FeatureLayout
from spinlock.storage.opening import same_file
from spinlock.storage.salvage import Proof, Remains, encoded_rows, prove_rows
from spinlock.storage.schema import Layout, arrays

logger = logging.getLogger("spinlock")

QUARTER = 16
"""Characters of a digest that no other dataset holds by accident."""

FEATURE_MARK = b"feature_registry"
"""An attribute that every file with features has, and no other file."""

MOST_LINES = 20
"""Shards whose damage is told."""

ELSEWHERE = (
    "Repair it where it was made, make all of it again here with --force, or accept it with --allow-mixed"
)


@dataclass
class Repair:
    """What is kept of a damaged dataset.

    Attributes
    ----------
    output, plan
        The file, and the plan it is the dataset of.
    layout
        The layout it is read by.
    proof
        Which rows are sound.
    environment
        Where the kept rows were computed; of a dataset that mixed several, all of them in one.
    timings
        Seconds of each stage, for all rows of the file; empty where nothing proves them.
    features
        Features that were added after the dataset was made, if they can be kept.
    """

    output: Path
    plan: Plan
    layout: Layout
    proof: Proof
    damage: Sequence[Damage]
    allow_mixed: bool
    environment: dict[str, str] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    features: AddedFeatures | None = None
    _identity: tuple[int, int, int] = (0, 0, 0)
    _progress: Progress = field(default_factory=Silent)

    def __post_init__(self) -> None:
        """Remember which file is meant."""
        self._identity = same_file(self.output)

    @property
    def kept(self) -> list[int]:
        """The shards all of whose rows are sound."""
        ranges = {shard: self.plan.shard_range(shard) for shard in range(self.plan.num_shards)}
        return [shard for shard, (lo, hi) in ranges.items() if self.proof.rows[lo:hi].all()]

    @property
    def feature_layout(self) -> FeatureLayout | None:
        """The arrays of features that were added, if they are kept."""
        return None if self.features is None else self.features.layout

    def tell(self) -> None:
        """Log which samples are made again, and why."""
        kept = set(self.kept)
        missing = [shard for shard in range(self.plan.num_shards) if shard not in kept]
        found = [str(one) for one in self.damage if one.array or one.row is not None]
        logger.info("%s is damaged%s", self.output, f": {found[0]}" if found else "")
        if len(missing) == self.plan.num_shards:
            logger.info("all samples are made again: %s", self._reason(0, self.plan.total_samples))
            return
        for shard in missing[:MOST_LINES]:
            lo, hi = self.plan.shard_range(shard)
            logger.info("samples %d to %d are made again: %s", lo, hi - 1, self._reason(lo, hi))
        if len(missing) > MOST_LINES:
            logger.info("and those of %s", counted(len(missing) - MOST_LINES, "more shard"))
        logger.info("%d of %d shards are kept as they are", len(kept), self.plan.num_shards)

    def _reason(self, lo: int, hi: int) -> str:
        named = [str(one) for one in self.damage if one.row is not None and lo <= one.row < hi]
        found = [*self.proof.losses, *named] or [str(one) for one in self.damage]
        return "; ".join(dict.fromkeys(found[:3]))

    def carry(self, run: RunDirectory, devices: Sequence[torch.device], progress: Progress) -> None:
        """Commit the sound rows as shards of the run, each with its receipt.

        Raises
        ------
        UsageError
            Where the rest would be made in another environment.
        StorageError
            Where the file was replaced in the meantime, or reads differently.
        """
        self._check_identity()
        self._progress = progress
        progress.stage("keeping what is sound")
        done, kept = run.receipts(deep=True).valid, self.kept
        if kept and not self.allow_mixed and len({*done, *kept}) < self.plan.num_shards:
            refuse_mixing([self.environment], devices, ELSEWHERE)
        missing = [shard for shard in kept if shard not in done]
        if missing:
            with Remains(self.output) as remains:
                for shard in missing:
                    write_receipt(run.path, self._carry_shard(run, remains, shard))

    def _carry_shard(self, run: RunDirectory, remains: Remains, shard: int) -> Receipt:
        plan, (lo, hi) = self.plan, self.plan.shard_range(shard)
        rows = encoded_rows(remains, plan.layout, lo, hi, self.proof)
        path = shard_path(run.path, shard)
        written = write_shard(path, plan.layout, lo, hi, rows, {"plan_digest": plan.digest})
        share = (hi - lo) / plan.total_samples
        return Receipt.of(
            shard,
            written,
            plan.digest,
            timings={stage: round(seconds * share, 6) for stage, seconds in self.timings.items()},
            versions=software_versions(),
            environment=self.environment,
            extraction_seconds=self._seconds(remains, lo, hi),
        )

    def _seconds(self, remains: Remains, lo: int, hi: int) -> list[float]:
        """Return what the features of each row took, 0 where that is not known any more."""
        if self.plan.features is None:
            return []
        if EXTRACTION_TIME not in self.proof.tables:
            return [0.0] * (hi - lo)
        (spec,) = (spec for spec in arrays(self.layout) if spec.path == EXTRACTION_TIME)
        return remains.entries(spec, lo, hi).tolist()

    def finalize(self, *given: Any, **facts: Any) -> FinalFile:
        """Join the shards as `spinlock.storage.finalize` does, with the features that were added."""
        self._check_identity()
        facts["mode_of"] = self.output
        if self.features is None:
            return finalize(*given, **facts)
        rows = np.zeros(self.plan.total_samples, bool)
        for shard in self.kept:
            rows[slice(*self.plan.shard_range(shard))] = True
        return finalize_with_features(self.features, rows, self.layout, given, facts, self._progress)

    def _check_identity(self) -> None:
        if not self.output.is_file() or same_file(self.output) != self._identity:
            raise StorageError(
                f"{self.output} was replaced while it was being repaired; nothing was changed. "
                "Run the same command again"
            )


def refuse_contradictions(*, force: bool, fresh: bool) -> None:
    """Raise `UsageError` where something is asked for that goes against a repair."""
    if force:
        raise UsageError("--repair keeps what is sound, --force replaces all of it: give one of them")
    if fresh:
        raise UsageError("--repair goes on with partial work, --fresh drops it: give one of them")


def begin_repair(output: Path, plan: Plan, allow_mixed: bool) -> Repair | None:
    """Look at the dataset of a plan and return what can be kept of it; None where it is sound.

    Raises
    ------
    UsageError
        Where there is nothing to repair, or something else than the dataset of this plan, or a damaged file
        that may not be read or written.
    """
    form = form_to_make(output)
    check_name(output, form=form)
    if form != "hdf5" and is_taken(output):
        begin_folder_repair(output, plan)
        return None
    if not output.exists():
        if run_directory_path(output).is_dir():
            return None  # the run goes on, and makes again what is damaged of its shards
        raise UsageError(
            f"{output} does not exist: there is nothing to repair. Run the same command without --repair to "
            "make it, or give the path of the damaged dataset with --output"
        )
    check_writable(output)
    if not os.access(output, os.R_OK):
        raise UsageError(f"{output} may not be read by you; allow it first. Nothing was changed")
    damage = verify(output)
    try:
        remains = Remains(output)
    except StorageError:
        _refuse_others(output, plan, {})
        proof = Proof(np.zeros(plan.total_samples, bool), ["HDF5 does not open the file any more"])
        repair = Repair(output, plan, plan.layout, proof, damage, allow_mixed)
        if plan.features is None and _holds(output, [FEATURE_MARK]):
            miss_features(output, proof.losses[0])
    else:
        with remains:
            _refuse_others(output, plan, remains.attributes("metadata"))
            repair = _examined(output, plan, remains, damage, allow_mixed=allow_mixed)
    if repair is None:
        logger.info("%s is sound: there is nothing to repair", output)
    else:
        check_replaceable(output, "make it writable first (chmod u+w), or repair a copy of it")
        repair.tell()
    return repair


def _refuse_others(output: Path, plan: Plan, facts: Mapping[str, str]) -> None:
    if not _belongs(output, plan, facts):
        raise UsageError(
            f"{output} is another dataset, or too damaged to tell which it was: --repair replaces only "
            f"the dataset of this configuration (plan {plan.digest[:12]}…). Give the configuration that made "
            "it, or replace it with --force; nothing was changed"
        )


def _belongs(output: Path, plan: Plan, facts: Mapping[str, str]) -> bool:
    """Return whether a file is, or was, the dataset of a plan."""
    if facts.get("plan_digest") == plan.digest:
        return True
    if "config" in facts:
        with suppress(SpinlockError, ValueError, TypeError, AttributeError, RecursionError):
            return plan_digest(config_from_stored(json.loads(facts["config"]))) == plan.digest
    quarters = [plan.digest[at : at + QUARTER].encode() for at in range(0, len(plan.digest), QUARTER)]
    return "plan_digest" not in facts and _holds(output, quarters)


def _holds(output: Path, texts: Sequence[bytes]) -> bool:
    """Return whether one of some texts stands anywhere in a file."""
    if not output.stat().st_size:
        return False
    with output.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(text) >= 0 for text in texts)


def _examined(
    output: Path, plan: Plan, remains: Remains, damage: Sequence[Damage], *, allow_mixed: bool
) -> Repair | None:
    """Return what can be kept of a file that HDF5 opens, None where nothing is wrong with it."""
    stored = remains.layout
    if stored is None or replace(stored, features=None) != replace(plan.layout, features=None):
        stored = plan.layout
    proof = prove_rows(remains, stored)
    wrong = _rows_of_other_draws(remains, plan, stored, proof.rows)
    proof.rows[wrong] = False
    damage = [*damage, *(Damage("", row, "does not hold what this plan draws for it") for row in wrong)]
    if not damage:
        return None
    repair = Repair(output, plan, stored, proof, damage, allow_mixed)
    _judge_features(repair, remains)
    _judge_environment(repair, remains)
    return repair


def _rows_of_other_draws(remains: Remains, plan: Plan, layout: Layout, rows: NDArray[np.bool_]) -> list[int]:
    """Return those of some rows whose tables are not what the draw of their index decides."""
    if not rows.any():
        return []
    specs = {spec.path: spec for spec in arrays(layout) if spec.kind == "table"}
    names = [f"parameters/values/{name}" for name in plan.space.names]
    paths = [*(f"metadata/{name}" for name in drawn_facts(plan.draw(0))), *names]
    columns = {path: remains.entries(specs[path], 0, layout.samples) for path in paths}
    points = specs.get("parameters/params")
    wrong = []
    stored = None if points is None else remains.entries(points, 0, layout.samples)
    for draw in plan.draws(0, layout.samples):
        wanted = {f"metadata/{name}": value for name, value in drawn_facts(draw).items()}
        wanted |= {path: draw.values[name] for path, name in zip(names, plan.space.names, strict=True)}
        same = all(_same(columns[path][draw.index], value) for path, value in wanted.items())
        if stored is not None:
            same &= np.array_equal(stored[draw.index], draw.point)
        if rows[draw.index] and not same:
            wrong.append(draw.index)
    return wrong


def _same(stored: Any, value: Any) -> bool:
    return stored == value.encode() if isinstance(value, str) else stored == value


def _judge_features(repair: Repair, remains: Remains) -> None:
    """Decide what becomes of the features in the file."""
    plan, layout = repair.plan, repair.layout
    if plan.features is None:
        if layout.features is not None or remains.has(SDF):
            repair.features = added_features(repair.output, remains, plan, layout, repair.proof)
        return
    if layout != plan.layout or proven_choice(remains, plan.layout, [plan.features]) is None:
        repair.proof.lose_all(
            "its features are not those that this plan measures, or cannot be told from them"
        )
        return
    (spec,) = (spec for spec in arrays(layout) if spec.path == FINITE_STEPS)
    if repair.proof.rows.any():
        measured = remains.entries(spec, 0, layout.samples).any(axis=1)
        repair.proof.rows[:] &= measured


def _judge_environment(repair: Repair, remains: Remains) -> None:
    """Read where the rows were computed; rows of an unknown place are not kept unless that is asked for."""
    proven = remains.is_proven("metadata")
    try:
        provenance = json.loads(remains.attributes("metadata").get("provenance", ""))
        known = environments_of(provenance["environments"])
        if not proven and not environments_are_here(known, repair.plan):
            raise ValueError("nothing proves the environments")
        repair.timings = timings_of(provenance["timings"]) if proven else {}
        repair.environment = _joined(known)
    except MALFORMED:
        repair.environment = dict.fromkeys(sorted(ENVIRONMENT), "unknown")
        if repair.kept and not repair.allow_mixed:
            repair.proof.lose_all(
                "the file does not say any more where its samples were computed (--allow-mixed keeps those "
                "that are sound)"
            )


def _joined(environments: Iterable[Mapping[str, str]]) -> dict[str, str]:
    known = list(environments)
    return {key: " and ".join(sorted({one[key] for one in known})) for key in sorted(ENVIRONMENT)}
