"""Parts of a dataset: a range of rows made on one machine, or as many rows as there is time for."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from spinlock.counting import counted
from spinlock.dataset.summary import Summary
from spinlock.errors import UsageError
from spinlock.execution.plan import Plan
from spinlock.execution.run_directory import RunDirectory

MOST_NAMED = 4
"""Ranges of missing rows that a message names."""


@dataclass(frozen=True)
class Part:
    """Which shards of a plan one call makes.

    A shard is made whole or not at all, so every shard belongs to exactly one of several ranges that cover
    the rows: to the one its first row is in.

    Attributes
    ----------
    rows
        The rows [low, high); None for all.
    limit
        The most rows to make; None for no limit.
    """

    rows: tuple[int, int] | None = None
    limit: int | None = None

    def check(self, plan: Plan) -> None:
        """Raise `UsageError` where no shard of the plan can be meant."""
        low, high = self.rows or (0, plan.total_samples)
        if low >= high:
            raise UsageError(f"--range {low}:{high} is empty: the first number must be the smaller one")
        if not 0 <= low < high <= plan.total_samples:
            raise UsageError(
                f"--range {low}:{high} is not allowed: this dataset has the rows 0:{plan.total_samples}"
            )
        rows = plan.rows_per_shard
        begin = low // rows * rows
        if -(-low // rows) * rows >= high:
            raise UsageError(
                f"--range {low}:{high} makes nothing: a shard of this dataset has {counted(rows, 'row')}, "
                f"and is in the range that its first row is in; the nearest range is {begin}:{begin + rows}"
            )
        if self.limit is not None and self.limit < rows:
            raise UsageError(
                f"--limit {self.limit} is too small: a shard of this dataset has {counted(rows, 'row')}, "
                "and is made whole or not at all"
            )

    def share(self, plan: Plan) -> float:
        """Return which share of all rows one call makes at most."""
        low, high = self.rows or (0, plan.total_samples)
        most = high - low if self.limit is None else min(high - low, self.limit)
        return most / plan.total_samples

    def chosen(self, plan: Plan, missing: Sequence[int]) -> list[int]:
        """Return those of the missing shards that this call makes, in order."""
        low, high = self.rows or (0, plan.total_samples)
        shards = [shard for shard in missing if low <= plan.shard_range(shard)[0] < high]
        if self.limit is None:
            return shards
        return shards[: self.limit // plan.rows_per_shard]


WHOLE = Part()
"""All shards."""


@dataclass(frozen=True)
class PartSummary:
    """What a call made that was asked for a part.

    Attributes
    ----------
    work
        The run directory, which goes on with the next call, or to `spinlock merge`; empty where it is gone.
    samples, done, made
        N, rows that stand by now, rows that this call made.
    missing
        Ranges of rows that are still to be made here, [low, high).
    seconds
        Wall time.
    dataset
        The finished dataset, where nothing was missing any more.
    """

    work: str
    samples: int
    done: int
    made: int
    missing: tuple[tuple[int, int], ...]
    seconds: float
    dataset: Summary | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON can hold it."""
        return asdict(self)


def row_ranges(plan: Plan, shards: Sequence[int]) -> list[tuple[int, int]]:
    """Return the rows of shards, given in order, as ranges [low, high) of neighbours."""
    ranges: list[tuple[int, int]] = []
    for shard in shards:
        low, high = plan.shard_range(shard)
        if ranges and ranges[-1][1] == low:
            ranges[-1] = ranges[-1][0], high
        else:
            ranges.append((low, high))
    return ranges


def ranges_in_words(ranges: Sequence[tuple[int, int]]) -> str:
    """Return ranges as a message names them: the first few, as `--range` takes them."""
    named, more = ", ".join(f"{low}:{high}" for low, high in ranges[:MOST_NAMED]), len(ranges) - MOST_NAMED
    return f"{named} and {counted(more, 'more range')}" if more > 0 else named


def rows_of(plan: Plan, shards: Collection[int]) -> int:
    """Return the number of rows of shards."""
    return sum(high - low for low, high in map(plan.shard_range, shards))


def summarise_part(
    run: RunDirectory, before: Collection[int], made: Collection[int], left: Sequence[int], seconds: float
) -> PartSummary:
    """Return the summary of a run that goes on: shards that stood, were made, are left (in order)."""
    plan = run.plan
    done = rows_of(plan, before) + rows_of(plan, made)
    ranges = tuple(row_ranges(plan, left))
    return PartSummary(str(run.path), plan.total_samples, done, rows_of(plan, made), ranges, seconds)
