"""One shard: simulate its rows, encode them, commit file and receipt; idempotent, without shared state."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from spinlock.errors import SpinlockError
from spinlock.execution import stages
from spinlock.execution.encoding import Encode, encoded_beside
from spinlock.execution.environment import numerical_environment, software_versions
from spinlock.execution.features import feature_row
from spinlock.execution.in_flight import InFlight, ShortOfMemoryError
from spinlock.execution.memory import free_bytes
from spinlock.execution.plan import Draw, Plan
from spinlock.execution.simulate import Sampled, simulate, stored_row
from spinlock.execution.stacks import simulate_stack, stacks_of, stacks_pay
from spinlock.execution.stages import StageClock
from spinlock.storage import EncodedRow, Receipt, Row, encode_row, shard_path, write_receipt, write_shard

logger = logging.getLogger("spinlock")

Result = TypeVar("Result")


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


def run_shard(
    plan: Plan,
    shard: int,
    directory: Path,
    device: torch.device,
    *,
    attempt: int = 1,
    signals: Signals | None = None,
    in_flight: InFlight | None = None,
) -> Receipt:
    """Compute and commit one shard and return its receipt.

    Raises
    ------
    StorageError
        Where the shard cannot be written.
    ShortOfMemoryError
        Where a sample does not fit into memory with no other of ``in_flight`` beside it.
    CancelledError
        Where ``signals`` says that the run is ending; no temporary file stays behind.
    """
    low, high = plan.shard_range(shard)
    work = _Shard(plan, device, signals or Signals(), in_flight or InFlight())
    started = stages.now()
    path = shard_path(directory, shard)
    written = write_shard(path, plan.layout, low, high, work.rows(low, high), {"plan_digest": plan.digest})
    work.clock.add("writing", stages.now() - started - work.rows_seconds)
    work.clock.move("writing", work.clock.traffic["encoding"][1], written.size)
    receipt = Receipt.of(
        shard,
        written,
        plan.digest,
        timings={stage: round(seconds, 6) for stage, seconds in work.clock.seconds.items()},
        versions=software_versions(),
        environment=numerical_environment(device),
        attempt=attempt,
        extraction_seconds=list(work.extraction.values()),
        traffic={stage: list(moved) for stage, moved in work.clock.traffic.items()},
    )
    write_receipt(directory, receipt)
    return receipt


@dataclass
class _Shard:
    """The rows of a shard as they are made, and what each stage takes."""

    plan: Plan
    device: torch.device
    signals: Signals
    in_flight: InFlight
    largest_stack: int | None = None
    clock: StageClock = field(default_factory=StageClock)
    extraction: dict[int, float] = field(default_factory=dict)
    rows_seconds: float = 0.0

    def rows(self, low: int, high: int) -> Iterator[EncodedRow]:
        """Yield the encoded rows low … high − 1, and count the time until each is there."""
        made = self._stacked(low, high) if stacks_pay(self.device) else self._in_turn(low, high)
        while True:
            start = stages.now()
            row = next(made, None)
            self.rows_seconds += stages.now() - start
            if row is None:
                return
            self.signals.on_row()
            yield row

    def _draws(self, low: int, high: int) -> Iterator[Draw]:
        draws = self.plan.draws(low, high)
        while True:
            with self.clock.stage("sampling"):
                draw = next(draws, None)
            if draw is None:
                return
            self.clock.move("sampling", 0, draw.point.nbytes)
            self.signals.check()
            yield draw

    def _in_turn(self, low: int, high: int) -> Iterator[EncodedRow]:
        """Yield rows that are encoded in this thread; between two nothing of a sample is left in memory."""
        for draw in self._draws(low, high):
            yield self._compute(draw, lambda draw=draw: self._encoding(draw)())

    def _stacked(self, low: int, high: int) -> Iterator[EncodedRow]:
        """Yield rows that are computed in stacks, and encoded while the next stack is computed."""
        stacks = stacks_of(self.plan, self._draws(low, high), self._room())
        encodings = (self._row_of(sample) for stack in stacks for sample in self._samples(stack))
        return encoded_beside(encodings, most=high - low)

    def _room(self) -> int:
        """Return the bytes of the device that a stack may take beside the others in flight."""
        free = free_bytes(self.device) or 0
        return int(free * self.plan.config.simulation.memory_fraction / self.in_flight.limit)

    def _samples(self, stack: Sequence[Draw]) -> Iterator[Sampled]:
        """Yield the samples of a stack, computed together or, where memory is short, in smaller stacks."""
        size = min(len(stack), self.largest_stack or len(stack))
        for first in range(0, len(stack), size):
            part = stack[first : first + size]
            try:
                made = self._compute(part[0], lambda part=part: self._simulate_stack(part))
            except ShortOfMemoryError:
                if len(part) == 1:
                    raise
                self.largest_stack = len(part) // 2
                logger.warning(
                    "warning: memory ran out with %d samples in a stack; this shard goes on with at most "
                    "%d. No bit of the dataset depends on it", len(part), self.largest_stack,
                )  # fmt: skip
                yield from self._samples(stack[first:])
                return
            yield from made

    def _simulate_stack(self, stack: Sequence[Draw]) -> list[Sampled]:
        keep, clock = self.plan.kept_frames, self.clock
        return simulate_stack(
            self.plan, stack, self.device, keep=keep, checkpoint=self.signals.check, clock=clock
        )

    def _compute(self, draw: Draw, work: Callable[[], Result]) -> Result:
        return self.in_flight.compute(work, draw.index, self.device, self.signals.check)

    def _encoding(self, draw: Draw) -> Encode:
        """Compute a sample and its features; return the call that encodes its row."""
        keep, check = self.plan.kept_frames, self.signals.check
        return self._row_of(
            simulate(self.plan, draw, self.device, keep=keep, checkpoint=check, clock=self.clock)
        )

    def _row_of(self, sample: Sampled) -> Encode:
        """Measure a sample's features; return the call that encodes its row."""
        clock = self.clock
        _count(clock, sample)
        entries = None
        if self.plan.features is not None:
            with clock.stage("features"):
                entries, spent = feature_row(self.plan, sample, self.signals.check)
            clock.move("features", sample.rollout.frames.nbytes, self.plan.feature_bytes)
            self.extraction[sample.draw.index] = spent

        def encode() -> EncodedRow:
            with clock.stage("encoding"):
                row = stored_row(self.plan, sample, entries)
                encoded = encode_row(self.plan.layout, row)
            clock.move("encoding", _row_bytes(row), encoded.stored_bytes)
            return encoded

        return encode


def _count(clock: StageClock, sample: Sampled) -> None:
    """Count the bytes of a sample's weights, of frame 0 and of the frames that its rollout kept."""
    tensors = (*sample.operator.parameters(), *sample.operator.buffers())
    weights, rollout = sum(tensor.nbytes for tensor in tensors), sample.rollout
    clock.move("operators", 0, weights)
    clock.move("initial conditions", 0, sample.initial.nbytes)
    kept = rollout.final.nbytes + rollout.frames.nbytes
    clock.move("rollout", weights + sample.initial.nbytes, kept)


def _row_bytes(row: Row) -> int:
    fields = (row.inputs, row.outputs, row.trajectories)
    return sum(values.nbytes for values in fields if values is not None)
