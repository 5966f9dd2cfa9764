"""Features that were added to a dataset after it was made, kept through its repair."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.feature_facts import feature_facts
from spinlock.dataset.feature_rows import FeatureRows
from spinlock.dataset.feature_work import BARE_FILE, FeatureWork
from spinlock.dataset.frames import FrameSource
from spinlock.dataset.open import Dataset
from spinlock.dataset.progress import Progress
from spinlock.dataset.proven import environments_are_here, possible_choices, proven_choice
from spinlock.dataset.statements import MALFORMED, environments_of
from spinlock.errors import SpinlockError, UsageError
from spinlock.execution.environment import numerical_environment
from spinlock.execution.feature_layout import FeatureChoice, feature_layout
from spinlock.execution.plan import Plan
from spinlock.storage import FinalFile, finalize
from spinlock.storage.atomic import no_checkpoint
from spinlock.storage.feature_layout import EXTRACTION_TIME, FEATURES, FINITE_STEPS, SDF, FeatureLayout
from spinlock.storage.feature_parts import FeatureParts
from spinlock.storage.salvage import Proof, Remains
from spinlock.storage.schema import Layout, arrays

logger = logging.getLogger("spinlock")

BLOCK_ROWS = 256
"""Kept rows carried at a time."""

EXTRACT_AGAIN = (
    "warning: the features that were added to %s cannot be kept (%s): they must be extracted again, by "
    "`spinlock extract-features --dataset %s`"
)


@dataclass(frozen=True)
class AddedFeatures:
    """What is known of features that `extract-features` added.

    Attributes
    ----------
    output, plan
        The dataset and its plan.
    layout, choice
        Their arrays, and which they are.
    environments
        Where they were measured.
    limit
        The first samples have features; the others were left out.
    seconds
        What each row took, float64 [N]; NaN for those left out, 0 where that is not known any more.
    """

    output: Path
    plan: Plan
    layout: FeatureLayout
    choice: FeatureChoice
    environments: Sequence[dict[str, str]]
    limit: int
    seconds: NDArray[np.float64]


def miss_features(output: Path, reason: object) -> None:
    """Warn that features which stood in a file will not stand in the repaired one."""
    logger.warning(EXTRACT_AGAIN, output, reason, output)


def added_features(
    output: Path, remains: Remains, plan: Plan, layout: Layout, proof: Proof
) -> AddedFeatures | None:
    """Return the features of a damaged file; None, with a warning, where they cannot be kept."""
    try:
        return _read(output, remains, plan, layout, proof)
    except (SpinlockError, *MALFORMED) as error:
        said = isinstance(error, SpinlockError | ValueError) and str(error)
        miss_features(output, said or "what the file says of them is damaged")
        return None


def _read(output: Path, remains: Remains, plan: Plan, layout: Layout, proof: Proof) -> AddedFeatures:
    features = layout.features
    if features is None:
        raise ValueError("what the file says of them is damaged")
    if features != feature_layout(features.frames, features.version):
        raise ValueError("this version of Spinlock defines them otherwise")
    candidates = possible_choices(plan, features.version, remains.attributes(SDF).get("categories", ""))
    choice = proven_choice(remains, layout, candidates)
    if choice is None:
        raise ValueError("which categories were measured cannot be told any more")
    environments = environments_of(json.loads(remains.attributes(FEATURES)["environments"]))
    if not remains.is_proven(FEATURES) and not environments_are_here(environments, plan):
        raise ValueError("where they were measured cannot be told any more")
    specs = {spec.path: spec for spec in arrays(layout)}
    if EXTRACTION_TIME in proof.tables:
        seconds = remains.entries(specs[EXTRACTION_TIME], 0, layout.samples)
        measured = np.isfinite(seconds)
    else:
        measured = remains.entries(specs[FINITE_STEPS], 0, layout.samples).any(axis=1) | ~proof.rows
        seconds = np.where(measured, 0.0, np.nan)
    limit = int(np.flatnonzero(measured).max(initial=-1)) + 1
    return AddedFeatures(output, plan, features, choice, environments, limit, seconds)


def finalize_with_features(
    added: AddedFeatures,
    rows: NDArray[np.bool_],
    layout: Layout,
    given: Sequence[Any],
    facts: Mapping[str, Any],
    progress: Progress,
) -> FinalFile:
    """Join the shards, and put the kept features, and those of rows made again, beside them in one step.

    Parameters
    ----------
    rows
        The rows of the damaged file that were kept, bool [N].
    layout
        The layout of the damaged file.
    given, facts
        Arguments of `spinlock.storage.finalize`; its path is the output.
    """
    output = added.output
    with FeatureWork(output) as work:
        binding = {
            "plan": added.plan.digest,
            "choice": asdict(added.choice),
            "registry_hash": added.layout.registry_hash,
            "environments": list(added.environments),
        }
        parts = work.parts(binding)
        parts.folder.mkdir(exist_ok=True)
        bare = parts.folder / BARE_FILE
        finalize(bare, *given[1:], **facts)
        with Dataset(bare) as dataset:
            try:
                source = _source(added, dataset, whole=bool(rows[: added.limit].all()))
            except SpinlockError as error:
                miss_features(output, error)
                final = finalize(*given, **facts)
            else:
                measured = FeatureRows(dataset, source, added.choice, added.layout, added.limit)
                final = _join(added, rows, layout, measured, parts, progress)
        work.clear()
    return final


def _source(added: AddedFeatures, dataset: Dataset, *, whole: bool) -> FrameSource:
    """Return what gives the frames of rows made again, or raise where they are not to be had here."""
    source = FrameSource(dataset, added.environments[0]["device"])
    if not whole and numerical_environment(source.device) not in added.environments:
        raise UsageError("they were measured in another environment")
    return source


def _join(
    added: AddedFeatures,
    kept: NDArray[np.bool_],
    layout: Layout,
    rows: FeatureRows,
    parts: FeatureParts,
    progress: Progress,
) -> FinalFile:
    done = np.zeros(added.limit, bool)
    for part in parts.sound():
        done[part.lo : part.hi] = True
    with Remains(added.output) as remains:
        for lo, tables in _kept_blocks(remains, layout, kept[: added.limit] & ~done):
            parts.commit(lo, tables, added.seconds[lo : lo + len(tables[FINITE_STEPS])])
    rows.compute(parts, BLOCK_ROWS, progress)
    facts = feature_facts(added.choice, added.environments, rows.seconds(parts))
    return rows.dataset.copy_with_features(
        added.output, added.layout, rows.blocks(parts), facts, no_checkpoint
    )


def _kept_blocks(
    remains: Remains, layout: Layout, kept: NDArray[np.bool_]
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Yield the feature entries of kept rows, in runs of at most `BLOCK_ROWS`."""
    specs = [spec for spec in arrays(layout) if spec.kind == "table" and spec.path.startswith(f"{FEATURES}/")]
    edges = np.flatnonzero(np.diff(kept, prepend=False, append=False))
    for lo, hi in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for first in range(lo, hi, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, hi)
            yield first, {spec.path: remains.entries(spec, first, last) for spec in specs}
