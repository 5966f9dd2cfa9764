"""The rollout itself: M realizations from one initial condition, each computed alone.

The unit of computation is one realization, [1, C, H, W]: its bits depend neither on the number of others nor
on what they do, and its intermediates stay in cache. Operators with batch normalization advance all
realizations in lockstep. A realization that leaves the finite range stops. What all realizations share (the
first output, or everything where there is no noise) is computed once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from spinlock.errors import UsageError
from spinlock.keys import MAX_REALIZATION, MAX_STEP, Key, Purpose
from spinlock.numerics.noise import NoiseModel, NoiseStream
from spinlock.numerics.random import normals_from_words, random_words
from spinlock.rollout.dynamics import SHORTEST, Monitor, Twin
from spinlock.rollout.policies import UpdatePolicy

LARGEST_FINITE = 1e8
"""|x| beyond this counts as diverged: squares and cubes of larger values overflow float32."""

FLOAT16_LIMIT = 65520.0
"""Half-way between the largest float16 and the next power of two: from here on rounding overflows."""

OnFrame = Callable[[int, int, Tensor], None]

TWIN = -1
"""The twin of realization 0 among the members of a run."""


@runtime_checkable
class Operator(Protocol):
    """What a rollout needs of an operator; `spinlock.operators.Operator` says what each means."""

    lockstep: bool

    def ensemble(
        self,
        states: Sequence[Tensor],
        hooks: Sequence[Callable[[int, Tensor], Tensor]],
        peers: Sequence[Sequence[int]],
    ) -> list[Tensor]:
        """Return O of each state."""
        ...


@dataclass(frozen=True)
class Rollout:
    """An ensemble's trajectories and what became of them.

    Attributes
    ----------
    frames
        Kept frames [M, F, C, H, W] float32; NaN after a realization diverged.
    timesteps
        The frame numbers kept, [F]; frame 0 is the initial condition.
    final
        The last frame [M, C, H, W]; NaN where the realization diverged.
    finite_steps
        Finite frames of each realization, frame 0 included, int32 [M].
    float16_steps
        Frames before the first value beyond the float16 range, int32 [M].
    lyapunov
        Largest Lyapunov exponent per step; NaN for short, diverged and unclassified runs.
    dynamics
        The label of `spinlock.rollout.dynamics`, or ``unclassified`` if none was asked for.
    num_timesteps
        Operator applications asked for.
    """

    frames: Float32[Tensor, "m f c h w"]
    timesteps: tuple[int, ...]
    final: Float32[Tensor, "m c h w"]
    finite_steps: np.ndarray
    float16_steps: np.ndarray
    lyapunov: float
    dynamics: str
    num_timesteps: int


def roll_out(
    operator: Operator,
    initial: Float32[Tensor, "c h w"],
    *,
    policy: UpdatePolicy,
    noise: NoiseModel,
    seed: int,
    sample: int,
    num_realizations: int,
    num_timesteps: int,
    keep: Sequence[int] = (),
    classify: bool = True,
    checkpoint: Callable[[], None] | None = None,
    on_frame: OnFrame | None = None,
) -> Rollout:
    """Return the ensemble of ``num_realizations`` runs of ``num_timesteps`` operator applications.

    Parameters
    ----------
    operator
        An operator of `spinlock.operators`.
    initial
        Frame 0, shared by all realizations, float32 [C, H, W].
    keep
        Frame numbers in [0, num_timesteps] to keep, ascending.
    classify
        Run the twin and give the label; without it ``dynamics`` is diverged, short or unclassified.
    checkpoint
        Called before every step; what it raises ends the rollout.
    on_frame
        Called with (realization, frame number, state [C, H, W]) for every finite frame, in the order of time
        for each realization; a long rollout can be followed without keeping it.

    Raises
    ------
    UsageError
        If steps or realizations do not fit the counter of the random numbers, or a kept frame does not exist.
    """
    _check_count("num_timesteps", num_timesteps, MAX_STEP)
    _check_count("num_realizations", num_realizations, MAX_REALIZATION)
    groups = _groups(num_realizations, lockstep=operator.lockstep, identical=noise.silent)
    record = _Record.blank(initial, num_realizations, num_timesteps, tuple(keep))
    record.on_frame = on_frame and _teller(on_frame, num_realizations if groups == [[0]] else 1)
    first_output: list[Tensor] = []
    watch = _watch(seed, sample, initial, num_timesteps) if classify and num_timesteps >= SHORTEST else None
    for members in groups:
        streams = _streams(members, noise, seed, sample, initial, num_timesteps)
        run = _Run(operator, policy, streams, record, first_output, watch if 0 in members else None)
        run.go(initial[None], num_timesteps, checkpoint or _nothing)
    return record.result(num_timesteps, watch, identical=noise.silent and not operator.lockstep)


def _groups(realizations: int, *, lockstep: bool, identical: bool) -> list[list[int]]:
    """Return the realizations that advance together; of identical ones only the first is run."""
    if lockstep:
        return [list(range(realizations))]
    return [[m] for m in range(1 if identical else realizations)]


def _teller(on_frame: OnFrame, alike: int) -> OnFrame:
    """Return what tells of a realization's frame, and of all that are equal to it."""

    def tell(realization: int, frame: int, x: Tensor) -> None:
        for other in range(alike):
            on_frame(realization + other, frame, x)

    return tell


def _check_count(what: str, count: int, limit: int) -> None:
    if not 1 <= count < limit:
        raise UsageError(f"{what} = {count} is not allowed: it must be in [1, {limit - 1}]")


def _streams(
    members: Sequence[int], noise: NoiseModel, seed: int, sample: int, initial: Tensor, num_timesteps: int
) -> dict[int, NoiseStream]:
    size, device = initial.shape[-1], initial.device
    return {m: NoiseStream(noise, Key(seed), sample, m, size, device, num_timesteps) for m in members}


def _nothing() -> None:
    """Do nothing between steps."""


def _watch(seed: int, sample: int, initial: Tensor, num_timesteps: int) -> "tuple[Monitor, Twin]":
    words = random_words(Key(seed), Purpose.TWIN, initial.numel(), samples=sample, device=initial.device)
    direction = normals_from_words(words, initial.numel()).reshape(1, *initial.shape)
    return Monitor(initial[None], num_timesteps), Twin(initial[None], direction)


@dataclass
class _Record:
    """Arrays that fill up while the realizations run; ``places`` maps a frame number to its place."""

    frames: Tensor
    places: dict[int, int]
    final: Tensor
    finite_steps: np.ndarray
    float16_steps: np.ndarray
    on_frame: OnFrame | None = None

    @classmethod
    def blank(cls, initial: Tensor, realizations: int, steps: int, keep: tuple[int, ...]) -> "_Record":
        if any(not 0 <= t <= steps for t in keep) or list(keep) != sorted(set(keep)):
            raise UsageError(
                f"frames to keep = {keep} are not allowed: they must be ascending and in [0, {steps}]"
            )
        frames = initial.new_full((realizations, len(keep), *initial.shape), float("nan"))
        final = initial.new_full((realizations, *initial.shape), float("nan"))
        places = {frame: place for place, frame in enumerate(keep)}
        return cls(frames, places, final, np.zeros(realizations, np.int32), np.zeros(realizations, np.int32))

    def take(self, realization: int, frame: int, x: Tensor, last: int) -> bool:
        """Store frame ``frame`` where it is kept; return whether it is finite."""
        largest = float(x.abs().amax())
        if not largest <= LARGEST_FINITE:
            return False
        self.finite_steps[realization] += 1
        if largest < FLOAT16_LIMIT and self.float16_steps[realization] == frame:
            self.float16_steps[realization] += 1
        if frame in self.places:
            self.frames[realization, self.places[frame]] = x[0]
        if self.on_frame:
            self.on_frame(realization, frame, x[0])
        if frame == last:
            self.final[realization] = x[0]
        return True

    def _repeat_first(self) -> None:
        """Give every realization what realization 0 did."""
        for fields in (self.frames, self.final):
            fields[1:] = fields[:1]
        for counts in (self.finite_steps, self.float16_steps):
            counts[1:] = counts[:1]

    def result(self, steps: int, observed: "tuple[Monitor, Twin] | None", *, identical: bool) -> Rollout:
        if identical:
            self._repeat_first()
        exponent = float("nan")
        if (self.finite_steps <= steps).any():
            label = "diverged"
        elif steps < SHORTEST:
            label = "short"
        elif observed is None:
            label = "unclassified"
        else:
            exponent = observed[1].exponent()
            label = observed[0].label(exponent)
        return Rollout(
            self.frames,
            tuple(self.places),
            self.final,
            self.finite_steps,
            self.float16_steps,
            exponent,
            label,
            steps,
        )


class _Run:
    """A group of realizations that advance together: one, or all in lockstep, and perhaps the twin."""

    def __init__(
        self,
        operator: Operator,
        policy: UpdatePolicy,
        streams: dict[int, NoiseStream],
        record: _Record,
        first_output: list[Tensor],
        watch: "tuple[Monitor, Twin] | None",
    ) -> None:
        self._operator, self._policy, self._record = operator, policy, record
        self._streams, self._first_output, self._watch = streams, first_output, watch

    def go(
        self, initial: Float[Tensor, "1 c h w"], num_timesteps: int, checkpoint: Callable[[], None]
    ) -> None:
        """Advance all members to the end, or until none is finite."""
        states = {m: initial for m in self._streams if self._record.take(m, 0, initial, num_timesteps)}
        if self._watch and states:
            states[TWIN] = self._watch[1].state
        for step in range(num_timesteps):
            if not states:
                return
            checkpoint()
            advanced = self._advance(states, self._apply(states, step), step)
            states = self._settle(step + 1, num_timesteps, states, advanced)

    def _stream(self, member: int) -> NoiseStream:
        return self._streams[0 if member == TWIN else member]

    def _advance(self, states: dict[int, Tensor], outputs: dict[int, Tensor], step: int) -> dict[int, Tensor]:
        """Return the next state of every member; those whose state and output are one tensor keep one."""
        made: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # keeps y: a freed tensor's id may come again
        advanced = {}
        for m, x in states.items():
            y = self._stream(m).output(outputs[m], step)
            key = id(x), id(y)
            if key not in made:
                made[key] = y, self._policy(x, y)
            advanced[m] = made[key][1]
        return advanced

    def _settle(
        self, frame: int, last: int, before: dict[int, Tensor], after: dict[int, Tensor]
    ) -> dict[int, Tensor]:
        """Record a frame of every member and return the states that go on."""
        going = {m: x for m, x in after.items() if m != TWIN and self._record.take(m, frame, x, last)}
        if self._watch and 0 in going:
            monitor, twin = self._watch
            monitor.observe(frame, before[0], going[0])
            twin.advance(going[0], after[TWIN])
            going[TWIN] = twin.state
        return going

    def _apply(self, states: dict[int, Tensor], step: int) -> dict[int, Tensor]:
        """Return O(x; noise) of every member."""
        members = list(states)
        seen = [self._stream(m).state(x, step) for m, x in states.items()]
        hooks = [self._stream(m).inside(step) for m in members]
        untouched = not any(self._stream(m).model.touches_operator for m in members)
        shared = untouched and step == 0 and not self._operator.lockstep
        if shared and self._first_output:  # O(x₀), evaluated once while all realizations share their state
            return {members[0]: self._first_output[0]}
        peers = [_peers(members, m) for m in members]
        apply = self._apply_distinct if untouched else self._operator.ensemble
        outputs = apply(seen, hooks, peers)
        if shared:
            self._first_output.append(outputs[0])
        return dict(zip(members, outputs, strict=True))

    def _apply_distinct(
        self,
        seen: list[Tensor],
        hooks: list[Callable[[int, Tensor], Tensor]],
        peers: list[list[int]],
    ) -> list[Tensor]:
        """Return O of each state; a tensor that several members share is computed once.

        In lockstep these are all members in the first step, and in every step where there is no noise. It
        still counts among the peers as often as it stands there, so the bits are the same.
        """
        places: dict[int, int] = {}
        place = [places.setdefault(id(x), len(places)) for x in seen]
        first = [place.index(k) for k in range(len(places))]
        outputs = self._operator.ensemble(
            [seen[k] for k in first],
            [hooks[k] for k in first],
            [[place[other] for other in peers[k]] for k in first],
        )
        return [outputs[k] for k in place]


def _peers(members: list[int], member: int) -> list[int]:
    """Return the positions that share statistics with a member, in index order.

    These are all realizations; for the twin, the twin in the place of realization 0.
    """
    first = members.index(TWIN) if member == TWIN else 0
    return [first if other == 0 else k for k, other in enumerate(members) if other != TWIN]
