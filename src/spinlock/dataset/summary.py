"""What a finished run has to say."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spinlock.dataset.profile import Profile
from spinlock.execution.executors.outcome import Quarantined
from spinlock.execution.plan import Plan
from spinlock.storage import open_stored
from spinlock.storage.companions import card_path


@dataclass(frozen=True)
class Summary:
    """A finished dataset in numbers.

    Attributes
    ----------
    path, bytes, samples
        The file, its size, N.
    seconds, made
        Wall time of this run and the samples it made; None and 0 where the dataset was complete before.
    core_seconds
        Time of all workers in each stage, over all runs that made the dataset.
    dynamics
        Samples by dynamics label.
    sampling
        The recorded quality of the sampling.
    card
        The path of the dataset card; None where none stands beside the file.
    profile
        Where the time of this run went, stage by stage; None where the dataset was complete before.
    """

    path: str
    bytes: int
    samples: int
    seconds: float | None
    made: int
    core_seconds: dict[str, float]
    dynamics: dict[str, int]
    sampling: dict[str, Any]
    plan_digest: str
    card: str | None = None
    profile: Profile | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON can hold it."""
        return asdict(self)


def summarise(path: Path, profile: Profile | None = None, made: int = 0) -> Summary:
    """Return the summary of a dataset."""
    card = card_path(path)
    with open_stored(path) as file:
        return Summary(
            path=str(path),
            bytes=file.stored_bytes,
            samples=file.layout.samples,
            seconds=profile and profile.wall_seconds,
            made=made,
            core_seconds=json.loads(file.attributes["provenance"])["timings"],
            dynamics=dict(Counter(file.table("metadata/dynamics").tolist()).most_common()),
            sampling=json.loads(file.attributes["sampling_metrics"]),
            plan_digest=file.attributes["plan_digest"],
            card=str(card) if card.is_file() else None,
            profile=profile,
        )


def quarantine_message(plan: Plan, failed: Sequence[Quarantined]) -> str:
    """Return the message that names the samples of shards that failed, and why each did."""
    count = f"{len(failed)} of {plan.num_shards} shards failed three times"
    lines = [f"{count}; the others are kept. Run the same command again to retry them:"]
    for outcome in sorted(failed, key=lambda f: f.shard):
        low, high = plan.shard_range(outcome.shard)
        samples = f"sample {low}" if high == low + 1 else f"samples {low} to {high - 1}"
        lines.append(f"  {samples}: {outcome.reason}")
    return "\n".join(lines)
