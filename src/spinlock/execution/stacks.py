"""Many samples at once on a GPU: their operators in the same launches, their rollouts side by side.

A sample's bits do not depend on what else is in its stack, so any draws may share one, in any number.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from spinlock.execution.plan import Draw, Plan
from spinlock.execution.simulate import Sampled, build_operator, initial_condition, simulate
from spinlock.execution.stages import StageClock
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.operators import families
from spinlock.operators.stacked import PASS_BYTES, Products, stack_operators
from spinlock.rollout import Rollout
from spinlock.rollout.dynamics import SHORTEST
from spinlock.rollout.ensemble import OnFrame
from spinlock.rollout.stacked import Start, roll_out_stack

CPU = torch.device("cpu")

STATE_COPIES = 20
"""Arrays as large as a row's state, in float32, that a step holds at a time: noise, twins, policies."""


def stacks_pay(device: torch.device) -> bool:
    """Return whether samples are made in stacks there: on a GPU, whose launches one sample cannot fill."""
    return device.type == "cuda"


@dataclass(frozen=True)
class _Prepared:
    """What of a sample is made before its stack runs."""

    draw: Draw
    operator: nn.Module
    initial: Tensor
    ic_options: dict[str, Any]

    def start(self, device: torch.device) -> Start:
        """Return where its rollout starts."""
        draw = self.draw
        return Start(draw.index, self.initial.to(device), draw.policy, draw.noise)

    def done(self, rollout: Rollout, device: torch.device | None) -> Sampled:
        """Return the sample with its rollout, its operator on a device if one is given."""
        operator = self.operator if device is None else self.operator.to(device)
        return Sampled(self.draw, operator, self.initial, self.ic_options, rollout)


def simulate_stack(
    plan: Plan,
    draws: Sequence[Draw],
    device: torch.device,
    *,
    keep: tuple[int, ...] | None = None,
    num_timesteps: int | None = None,
    num_realizations: int | None = None,
    classify: bool = True,
    checkpoint: Callable[[], None] | None = None,
    products: Products = "ieee",
    clock: StageClock | None = None,
) -> list[Sampled]:
    """Return the samples of some draws, in their order; each is what a stack of it alone would give.

    Parameters
    ----------
    plan, keep, num_timesteps, num_realizations, classify, checkpoint, clock
        As for `spinlock.execution.simulate.simulate`.
    draws
        Any draws; those of one grid go through the same launches.
    device
        Where rollouts run. Operators and initial conditions are made on the CPU, with the bits they have
        there; frames come back to it, unless features are to be measured where they are.
    products
        Operands of float32 matrix products: ``ieee``, ``tf32x3`` or ``tf32``.
    """
    clock, simulation = clock or StageClock(), plan.config.simulation
    prepared = _prepared(plan, draws, clock)
    stays = plan.features is not None
    rollouts: dict[int, Rollout] = {}
    for size in sorted({draw.grid_size for draw in draws}):
        together = [sample for sample in prepared if sample.draw.grid_size == size]
        with clock.stage("rollout"), pinned_arithmetic(), torch.inference_mode():
            results = roll_out_stack(
                stack_operators([sample.operator for sample in together], device, products=products),
                [sample.start(device) for sample in together],
                seed=plan.seed,
                num_realizations=simulation.num_realizations
                if num_realizations is None
                else num_realizations,
                num_timesteps=simulation.num_timesteps if num_timesteps is None else num_timesteps,
                keep=plan.timesteps if keep is None else keep,
                classify=classify,
                checkpoint=checkpoint,
                deliver=None if stays else CPU,
            )
        rollouts |= {sample.draw.index: rollout for sample, rollout in zip(together, results, strict=True)}
    return [sample.done(rollouts[sample.draw.index], device if stays else None) for sample in prepared]


def sample_of(
    plan: Plan,
    draw: Draw,
    device: torch.device,
    *,
    keep: tuple[int, ...] | None = None,
    num_timesteps: int | None = None,
    num_realizations: int | None = None,
    classify: bool = True,
    checkpoint: Callable[[], None] | None = None,
    on_frame: OnFrame | None = None,
) -> Sampled:
    """Return one sample with the bits that generation gives it on that device; arguments as for `simulate`.

    On a GPU ``on_frame`` is told of all frames at the end, which are held until then.
    """
    asked = {
        "num_timesteps": num_timesteps,
        "num_realizations": num_realizations,
        "classify": classify,
        "checkpoint": checkpoint,
    }
    if not stacks_pay(device):
        return simulate(plan, draw, device, keep=keep, on_frame=on_frame, **asked)
    if on_frame is None:
        return simulate_stack(plan, [draw], device, keep=keep, **asked)[0]
    steps = plan.config.simulation.num_timesteps if num_timesteps is None else num_timesteps
    sample = simulate_stack(plan, [draw], device, keep=tuple(range(steps + 1)), **asked)[0]
    rollout = sample.rollout
    for realization, finite in enumerate(rollout.finite_steps.tolist()):
        for frame in range(finite):
            on_frame(realization, frame, rollout.frames[realization, frame])
    wanted = plan.timesteps if keep is None else keep
    return replace(sample, rollout=replace(rollout, frames=rollout.frames[:, list(wanted)], timesteps=wanted))


def _prepared(plan: Plan, draws: Sequence[Draw], clock: StageClock) -> list[_Prepared]:
    """Return operator and initial condition of each draw, made on the CPU."""
    prepared = []
    with pinned_arithmetic(), torch.inference_mode():
        for draw in draws:
            with clock.stage("operators"):
                operator = build_operator(plan, draw, CPU)
            with clock.stage("initial conditions"):
                initial, options = initial_condition(plan, draw, CPU)
            prepared.append(_Prepared(draw, operator, initial, options))
    return prepared


def stacked_bytes(plan: Plan, draw: Draw) -> int:
    """Return the device memory that one more sample of a stack takes, hidden fields apart."""
    simulation = plan.config.simulation
    frame = 4 * simulation.num_channels * draw.grid_size**2
    rows = simulation.num_realizations + (simulation.num_timesteps >= SHORTEST)
    kept = simulation.num_realizations * (len(plan.kept_frames) + 1)
    options = {"channels": simulation.num_channels, "size": draw.grid_size, **draw.operator_options}
    weights = 2 * families[draw.family].flops(**options) // draw.grid_size**2
    return frame * (STATE_COPIES * rows + kept) + weights


def stacks_of(plan: Plan, draws: Iterable[Draw], budget: int) -> Iterator[list[Draw]]:
    """Yield draws in order, as many together as fit into ``budget`` bytes of a device, at least one.

    A part of the budget, at most half of it, is left for hidden fields.
    """
    room = budget - min(PASS_BYTES, budget // 2)
    stack: list[Draw] = []
    taken = 0
    for draw in draws:
        needed = stacked_bytes(plan, draw)
        if stack and taken + needed > room:
            yield stack
            stack, taken = [], 0
        stack.append(draw)
        taken += needed
    if stack:
        yield stack
