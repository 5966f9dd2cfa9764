"""One shard: simulate its rows, encode them, commit file and receipt; idempotent, without shared state."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch

from spinlock.errors import SpinlockError
from spinlock.execution.environment import numerical_environment, software_versions
from spinlock.execution.features import feature_row
from spinlock.execution.plan import Draw, Plan
from spinlock.execution.simulate import simulate, stored_row
from spinlock.storage import EncodedRow, Receipt, encode_row, shard_path, write_receipt, write_shard


class CancelledError(SpinlockError):
    """The run is ending; this shard was given up and nothing of it is left."""


@dataclass
class Signals:
    """What a shard tells, and is told, while it runs."""

    stopping: Callable[[], bool] = lambda: False
    on_row: Callable[[], None] = lambda: None

    def check(self) -> None:
        """Raise `CancelledError` where the run is ending."""
        if self.stopping():
            raise CancelledError("the run is ending")


@dataclass
class _Clock:
    """Seconds spent in each stage, and on the features of each row."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    extraction: list[float] = field(default_factory=list)

    def measure(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] += now - since
        return now


def run_shard(
    plan: Plan,
    shard: int,
    directory: Path,
    device: torch.device,
    *,
    attempt: int = 1,
    signals: Signals | None = None,
) -> Receipt:
    """Compute and commit one shard and return its receipt.

    Raises
    ------
    StorageError
        Where the shard cannot be written.
    CancelledError
        Where ``signals`` says that the run is ending; no temporary file stays behind.
    """
    signals = signals or Signals()
    low, high = plan.shard_range(shard)
    clock = _Clock()
    started = time.perf_counter()
    rows = _rows(plan, low, high, device, signals, clock)
    path = shard_path(directory, shard)
    written = write_shard(path, plan.layout, low, high, rows, {"plan_digest": plan.digest})
    clock.seconds["writing"] = time.perf_counter() - started - sum(clock.seconds.values())
    receipt = Receipt(
        shard=shard,
        lo=low,
        hi=high,
        plan_digest=plan.digest,
        size=written.size,
        sha256=written.sha256,
        digest=written.digest,
        timings={stage: round(seconds, 6) for stage, seconds in clock.seconds.items()},
        versions=software_versions(),
        environment=numerical_environment(device),
        attempt=attempt,
        extraction_seconds=clock.extraction,
    )
    write_receipt(directory, receipt)
    return receipt


def _rows(
    plan: Plan, low: int, high: int, device: torch.device, signals: Signals, clock: _Clock
) -> Iterator[EncodedRow]:
    for draw in plan.draws(low, high):
        signals.check()
        row = _row(plan, draw, device, signals, clock)
        signals.on_row()
        yield row


def _row(plan: Plan, draw: Draw, device: torch.device, signals: Signals, clock: _Clock) -> EncodedRow:
    """Return the row of a draw; when it returns, nothing of the sample is left in memory."""
    start = time.perf_counter()
    sample = simulate(plan, draw, device, keep=plan.kept_frames, checkpoint=signals.check)
    start = clock.measure("simulation", start)
    entries = None
    if plan.features is not None:
        entries, spent = feature_row(plan, sample)
        clock.extraction.append(spent)
        start = clock.measure("features", start)
    row = encode_row(plan.layout, stored_row(plan, sample, entries))
    clock.measure("encoding", start)
    return row
