"""Rollouts of many samples at once: every realization of every sample is a row of one stack.

What a row becomes depends on its own operator, noise and initial condition, as in `roll_out`; of its
neighbours it notices nothing. The host waits for the device once in several steps, to drop rows that
diverged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from spinlock.errors import UsageError
from spinlock.keys import MAX_REALIZATION, MAX_STEP, Key, Purpose, check_counter
from spinlock.numerics.hidden_noise import HiddenNoise
from spinlock.numerics.noise import SITE_OUTPUT, SITE_STATE, NoiseModel
from spinlock.numerics.random import normals_from_words, random_words
from spinlock.rollout.dynamics import SHORTEST
from spinlock.rollout.ensemble import TWIN, Rollout
from spinlock.rollout.policies import UpdatePolicy
from spinlock.rollout.stacked_dynamics import StackedWatch
from spinlock.rollout.stacked_noise import StackedNoise
from spinlock.rollout.stacked_record import StackedRecord
from spinlock.rollout.stacked_rows import Rows, StackedPolicies

STEPS_BETWEEN_LOOKS = 8
"""Steps after which the host asks which rows have diverged, where no others depend on it."""


@runtime_checkable
class OperatorStack(Protocol):
    """What a stacked rollout needs of its operators; `spinlock.operators.stacked` has one."""

    @property
    def lockstep(self) -> Sequence[bool]:
        """Whether the realizations of each operator must be evaluated together."""
        ...

    @property
    def draws_inside(self) -> bool:
        """Whether it draws noise inside operators itself, where it can; else hooks do."""
        ...

    def apply(
        self,
        states: Tensor,
        owners: Sequence[int],
        peers: Mapping[int, Sequence[int]] | None = None,
        hooks: Mapping[int, Callable[[int, Tensor], Tensor]] | None = None,
        noise: HiddenNoise | None = None,
    ) -> Tensor:
        """Return O of every state [R,C,H,W], by the operator that owns it."""
        ...


@dataclass(frozen=True)
class Start:
    """One sample of a stack: its index, frame 0 float32 [C, H, W], update policy and noise."""

    sample: int
    initial: Tensor
    policy: UpdatePolicy
    noise: NoiseModel


def roll_out_stack(
    stack: OperatorStack,
    starts: Sequence[Start],
    *,
    seed: int,
    num_realizations: int,
    num_timesteps: int,
    keep: Sequence[int] = (),
    classify: bool = True,
    checkpoint: Callable[[], None] | None = None,
    deliver: torch.device | None = None,
) -> list[Rollout]:
    """Return what `spinlock.rollout.roll_out` returns, for each sample of a stack.

    Parameters
    ----------
    stack
        The operators, in the order of the samples.
    starts
        The samples, on one grid and one device.
    keep, classify, checkpoint
        As for `roll_out`.
    deliver
        Where the frames of the results are; by default where the states are.

    Raises
    ------
    UsageError
        If steps, realizations or sample indices do not fit the counter of the random numbers, a kept frame
        does not exist, or the samples differ in shape.
    """
    _check(starts, num_realizations, num_timesteps, keep)
    if not starts:
        return []
    initial = torch.stack([start.initial for start in starts])
    watch = None
    if classify and num_timesteps >= SHORTEST:
        watch = StackedWatch(initial, _directions(starts, initial, seed), num_timesteps)
    run = _StackedRun(
        stack, starts, seed, initial, StackedRecord(initial, num_realizations, num_timesteps, keep), watch
    )
    alike = [
        start.noise.silent and not together for start, together in zip(starts, stack.lockstep, strict=True)
    ]
    run.go(alike, num_realizations, num_timesteps, checkpoint or _nothing)
    return run.results(alike, num_timesteps, deliver)


def _check(starts: Sequence[Start], realizations: int, steps: int, keep: Sequence[int]) -> None:
    for what, count, limit in (
        ("num_timesteps", steps, MAX_STEP),
        ("num_realizations", realizations, MAX_REALIZATION),
    ):
        if not 1 <= count < limit:
            raise UsageError(f"{what} = {count} is not allowed: it must be in [1, {limit - 1}]")
    if any(not 0 <= t <= steps for t in keep) or list(keep) != sorted(set(keep)):
        raise UsageError(
            f"frames to keep = {tuple(keep)} are not allowed: they must be ascending and in [0, {steps}]"
        )
    shapes = {(tuple(start.initial.shape), str(start.initial.device)) for start in starts}
    if len(shapes) > 1:
        raise UsageError(
            f"samples of a stack must have one shape and be on one device; these have {sorted(shapes)}"
        )
    for start in starts:
        check_counter(index=start.sample)


def _directions(starts: Sequence[Start], initial: Tensor, seed: int) -> Tensor:
    """Return where the twins start from frame 0, float32 [S, C, H, W]."""
    count = initial[0].numel()
    samples = torch.tensor([start.sample for start in starts], dtype=torch.int64, device=initial.device)
    words = random_words(Key(seed), Purpose.TWIN, count, samples=samples)
    return normals_from_words(words, count).reshape(initial.shape)


def _nothing() -> None:
    """Do nothing between steps."""


class _StackedRun:
    """The rows of a stack, on their way."""

    def __init__(
        self,
        stack: OperatorStack,
        starts: Sequence[Start],
        seed: int,
        initial: Float32[Tensor, "s c h w"],
        record: StackedRecord,
        watch: StackedWatch | None,
    ) -> None:
        self._stack, self._starts, self._seed = stack, starts, seed
        self._initial, self._record, self._watch = initial, record, watch

    def go(
        self, alike: Sequence[bool], realizations: int, steps: int, checkpoint: Callable[[], None]
    ) -> None:
        """Advance all rows to the end, or until none is finite."""
        rows, x = self._first_rows(alike, realizations, steps)
        policies, slots = self._roles(rows, realizations)
        ended = self._ended(rows, self._record.take(0, slots, x[rows.real]))
        for step in range(steps):
            if ended is not None and ended.any():
                rows, left = rows.without(ended)
                x = x[torch.from_numpy(left).to(x.device)]
                policies, slots = self._roles(rows, realizations)
            if not len(rows):
                return
            checkpoint()
            seen = self._noise.perturb(x, rows.noisy["state"], step, SITE_STATE)
            y = self._apply(rows, seen, step)
            before, x = x, policies(x, self._noise.perturb(y, rows.noisy["output"], step, SITE_OUTPUT))
            alive = self._record.take(step + 1, slots, x[rows.real])
            if self._watch is not None and len(rows.twins):
                twins = self._watch.advance(
                    step + 1, rows.watched, before[rows.zeroth], x[rows.zeroth], x[rows.twins]
                )
                x = x.index_copy(0, rows.twins, twins)
            look = rows.in_lockstep or (step + 1) % STEPS_BETWEEN_LOOKS == 0
            ended = self._ended(rows, alive) if look and step + 1 < steps else None

    def _first_rows(self, alike: Sequence[bool], realizations: int, steps: int) -> tuple[Rows, Tensor]:
        """Return the rows at the start and their states."""
        twins = [TWIN] if self._watch is not None else []
        members = [[*range(1 if same else realizations), *twins] for same in alike]
        owners = np.repeat(np.arange(len(alike)), [len(m) for m in members])
        device = self._initial.device
        self._noise = StackedNoise(
            [start.noise for start in self._starts], [start.sample for start in self._starts],
            self._seed, self._initial.shape[-1], device, steps,
        )  # fmt: skip
        rows = Rows(owners, np.concatenate(members), self._stack.lockstep, self._noise, device)
        x = self._initial[torch.from_numpy(owners).to(device)]
        if self._watch is not None:
            x = x.index_copy(0, rows.twins, self._watch.twins)
        return rows, x

    def _roles(self, rows: Rows, realizations: int) -> tuple[StackedPolicies, Tensor]:
        """Return the policies of the rows, and the slots of the realizations among them."""
        real = rows.members != TWIN
        slots = torch.from_numpy(rows.owners[real] * realizations + rows.members[real])
        return StackedPolicies([start.policy for start in self._starts], rows), slots.to(rows.device)

    @staticmethod
    def _ended(rows: Rows, alive: Tensor) -> np.ndarray:
        """Return which rows have diverged, bool [R]; waits for the device."""
        ended = np.zeros(len(rows), bool)
        ended[rows.members != TWIN] = ~alive.cpu().numpy()
        return ended

    def _apply(self, rows: Rows, seen: Tensor, step: int) -> Tensor:
        """Return O(x; noise) of every row; what rows share at the first step is computed once."""
        drawn = self._stack.draws_inside
        hooks = self._noise.hooks(rows.owners, rows.realizations, step, drawn=drawn)
        inside = self._noise.inside(rows.owners, rows.realizations, step) if drawn else None
        if step > 0:
            return self._stack.apply(seen, rows.owners.tolist(), rows.peers, hooks, inside)
        first, place = rows.distinct([not self._noise.touches(owner) for owner in range(len(self._starts))])
        number = {row: k for k, row in enumerate(first.tolist())}
        chosen = torch.from_numpy(first).to(seen.device)
        outputs = self._stack.apply(
            seen[chosen],
            rows.owners[first].tolist(),
            {
                number[row]: [int(place[other]) for other in others]
                for row, others in rows.peers.items()
                if row in number
            },
            {number[row]: hook for row, hook in hooks.items() if row in number},
            None if inside is None else inside.of(chosen),
        )
        return outputs[torch.from_numpy(place).to(seen.device)]

    def results(self, alike: Sequence[bool], steps: int, deliver: torch.device | None) -> list[Rollout]:
        """Return the rollout of every sample."""
        labels = None
        if self._watch is not None:
            finite, _ = self._record.steps(alike)
            labels = self._watch.labels((finite.min(axis=1) > steps).tolist())
        return self._record.results(alike, labels, deliver)
