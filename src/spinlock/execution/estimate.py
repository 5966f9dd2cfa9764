"""What a plan will cost: operations, bytes, memory, time."""

from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch

from spinlock.execution.plan import Draw, Plan
from spinlock.execution.simulate import simulate
from spinlock.execution.stages import StageClock
from spinlock.operators import families
from spinlock.rollout.dynamics import SHORTEST

SURVEYED = 2048
"""Draws looked at; the rest is taken to be like them."""

CALIBRATED = 32
"""Operators built for a calibration, at most."""

CALIBRATION_SECONDS = 10.0

CORE_FLOPS, CORE_NORMALS, STEP_SECONDS, START_SECONDS = 8e10, 5e7, 4e-4, 5e-3
"""A typical core: convolution rate, keyed normals a second, fixed cost of an application, and the time that a
sample's operator and initial condition take."""

STORED_BYTE_SECONDS, SHARD_SECONDS = 1e-8, 0.03
"""Time to encode, write and join a byte of the fields, and fixed cost of a shard."""

FEATURE_SECONDS, FEATURE_VALUE_SECONDS = 5e-3, 1.2e-7
"""Time that the features of a trajectory take on such a core: fixed, and for each value of its frames."""

PAIR_SECONDS, PAIR_BYTES = 4e-7, 120
"""Time and memory that the distances between frames take for each pair of frames, whatever their size."""

WORKING_COPIES = 8
"""Arrays as large as a trajectory that its features hold at a time."""

PROBED = 20
"""Applications by which an operator is probed."""

PROCESS_BYTES = 300 << 20
"""Resident memory of a process with torch loaded."""


@dataclass(frozen=True)
class Estimate:
    """The cost of a plan.

    Attributes
    ----------
    architectures
        Distinct networks (all operator options that are not continuous) among the draws surveyed.
    surveyed
        Draws surveyed: the first ones.
    flops
        Floating-point operations of all convolutions.
    data_bytes
        Uncompressed size of the stored fields on their native grids.
    memory_bytes
        Peak resident memory of one worker.
    core_seconds
        Time on one core.
    """

    architectures: int
    surveyed: int
    flops: float
    data_bytes: float
    memory_bytes: float
    core_seconds: float


def applications(plan: Plan, draw: Draw) -> int:
    """Return how often a sample's operator is applied: M·T, and T more for the twin.

    Without noise all realizations are one. Where it stays outside the operator, the first step is computed
    once for all.
    """
    simulation = plan.config.simulation
    steps = simulation.num_timesteps
    distinct = 1 if draw.noise.silent else simulation.num_realizations
    shared = 0 if draw.noise.touches_operator else distinct - 1
    return (distinct + (steps >= SHORTEST)) * steps - shared


def application_flops(plan: Plan, draw: Draw) -> int:
    """Return the floating-point operations of one application of a draw's operator to one state."""
    channels = plan.config.simulation.num_channels
    return families[draw.family].flops(channels=channels, size=draw.grid_size, **draw.operator_options)


def feature_seconds(plan: Plan, draw: Draw) -> float:
    """Return the time that the features of a sample take on a typical core; 0 where none are measured."""
    if plan.features is None:
        return 0.0
    simulation = plan.config.simulation
    values = len(plan.kept_frames) * simulation.num_channels * draw.grid_size**2
    products = 2 * len(plan.kept_frames) * values / CORE_FLOPS
    pairs = PAIR_SECONDS * len(plan.kept_frames) ** 2
    one = FEATURE_SECONDS + FEATURE_VALUE_SECONDS * values + products + pairs
    trajectories = simulation.num_realizations * one
    return trajectories + PROBED * application_flops(plan, draw) / CORE_FLOPS


def normals_drawn(plan: Plan, draw: Draw) -> int:
    """Return how many random numbers a realization draws in a step."""
    noise, options = draw.noise, draw.operator_options
    field = plan.config.simulation.num_channels * draw.grid_size**2
    hidden = families[draw.family].hidden_width(**options) * options.get("num_layers", 1) * draw.grid_size**2
    outside = noise.noise_scale > 0 and noise.noise_location != "hidden"
    inside = (noise.noise_scale > 0 and not outside) + (noise.dropout_rate > 0)
    return outside * field + inside * hidden


def rollout_seconds(plan: Plan, draw: Draw, count: int, noisy: int) -> float:
    """Return the time that ``count`` applications and the noise of ``noisy`` steps take on a typical core."""
    application = application_flops(plan, draw) / CORE_FLOPS + STEP_SECONDS
    return count * application + noisy * normals_drawn(plan, draw) / CORE_NORMALS


@dataclass(frozen=True)
class Correction:
    """Measured over predicted time, of making operators and initial conditions, and of rollouts."""

    start: float = 1.0
    rollout: float = 1.0


TYPICAL = Correction()
"""This machine is the typical one."""


@dataclass(frozen=True)
class _Cost:
    """What one draw costs: its network, operations of all applications, seconds, bytes."""

    architecture: tuple[object, ...]
    flops: int
    rollout_seconds: float
    feature_seconds: float
    field_bytes: int
    hidden_bytes: int


_surveys: WeakKeyDictionary[Plan, list[_Cost]] = WeakKeyDictionary()


def _survey(plan: Plan) -> list[_Cost]:
    """Return what each of the first draws costs; found once for a plan."""
    if plan not in _surveys:
        _surveys[plan] = [_cost(plan, draw) for draw in plan.draws(0, min(SURVEYED, plan.total_samples))]
    return _surveys[plan]


def _cost(plan: Plan, draw: Draw) -> _Cost:
    count, simulation = applications(plan, draw), plan.config.simulation
    noisy = simulation.num_realizations * simulation.num_timesteps
    frames = 1 + simulation.num_realizations * (1 + len(plan.timesteps))
    frame_bytes = simulation.num_channels * np.dtype(plan.layout.storage_precision.dtype).itemsize
    return _Cost(
        architecture=_architecture(draw),
        flops=application_flops(plan, draw) * count,
        rollout_seconds=rollout_seconds(plan, draw, count, noisy),
        feature_seconds=feature_seconds(plan, draw),
        field_bytes=frames * frame_bytes * draw.grid_size**2,
        hidden_bytes=_hidden_bytes(plan, draw),
    )


def estimate(plan: Plan, correction: Correction = TYPICAL) -> Estimate:
    """Return what a plan costs, from its first draws and a typical core, times a measured correction.

    The time of features is corrected as that of rollouts, the time of storing not at all.
    """
    surveyed = _survey(plan)
    scale = plan.total_samples / len(surveyed)
    data_bytes = scale * sum(cost.field_bytes for cost in surveyed) + plan.total_samples * plan.feature_bytes
    computing = scale * sum(cost.rollout_seconds + cost.feature_seconds for cost in surveyed)
    return Estimate(
        architectures=len({cost.architecture for cost in surveyed}),
        surveyed=len(surveyed),
        flops=scale * sum(cost.flops for cost in surveyed),
        data_bytes=data_bytes,
        memory_bytes=PROCESS_BYTES
        + 3 * plan.row_bytes
        + _kept_bytes(plan)
        + max(cost.hidden_bytes for cost in surveyed),
        core_seconds=plan.num_shards * SHARD_SECONDS
        + data_bytes * STORED_BYTE_SECONDS
        + plan.total_samples * START_SECONDS * correction.start
        + computing * correction.rollout,
    )


def slowest_seconds(plan: Plan) -> float:
    """Return the time that the costliest of the first samples takes on a typical core, with its features."""
    return START_SECONDS + max(cost.rollout_seconds + cost.feature_seconds for cost in _survey(plan))


def _architecture(draw: Draw) -> tuple[object, ...]:
    return (draw.family, *(value for value in draw.operator_options.values() if not isinstance(value, float)))


def _kept_bytes(plan: Plan) -> int:
    """Return the bytes of the frames kept for the features alone, and of one realization at work."""
    if plan.features is None:
        return 0
    simulation = plan.config.simulation
    frame_bytes = 4 * simulation.num_channels * plan.grids[-1] ** 2
    frames = len(plan.kept_frames)
    return (simulation.num_realizations + WORKING_COPIES) * frames * frame_bytes + PAIR_BYTES * frames**2


def _hidden_bytes(plan: Plan, draw: Draw) -> int:
    width = families[draw.family].hidden_width(**draw.operator_options)
    members = plan.config.simulation.num_realizations if draw.values.get("normalization") == "batch" else 1
    return (members + 3) * width * draw.grid_size**2 * 4


def extreme_draws(plan: Plan) -> list[Draw]:
    """Return at most `CALIBRATED` draws that span the space: the extremes of each parameter, and of cost."""
    surveyed = list(plan.draws(0, min(SURVEYED, plan.total_samples)))
    by_cost = sorted(surveyed, key=lambda draw: application_flops(plan, draw))
    chosen = {draw.index: draw for draw in (by_cost[-1], by_cost[0], by_cost[len(by_cost) // 2])}
    for dimension in range(plan.space.size):
        for pick in (min, max):
            extreme = pick(surveyed, key=lambda draw: draw.point[dimension])
            chosen.setdefault(extreme.index, extreme)
    return list(chosen.values())[:CALIBRATED]


def calibrate(plan: Plan, draws: Iterable[Draw], device: torch.device) -> tuple[int, Correction]:
    """Return how many operators were built, and what making them and two steps of each took.

    Ends early after `CALIBRATION_SECONDS`.
    """
    starting = rolling = predicted = 0.0
    built = 0
    for draw in draws:
        clock = StageClock()
        simulate(
            plan, draw, device, num_timesteps=2, num_realizations=1, keep=(), classify=False, clock=clock
        )
        built += 1
        if built > 1:  # the first one pays for loading
            rolling += clock.seconds["rollout"]
            starting += sum(clock.seconds.values()) - clock.seconds["rollout"]
            predicted += rollout_seconds(plan, draw, 2, 2)
        if starting + rolling > CALIBRATION_SECONDS:
            break
    if not predicted:
        return built, TYPICAL
    return built, Correction(starting / ((built - 1) * START_SECONDS), rolling / predicted)
