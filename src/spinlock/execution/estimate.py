"""What a plan will cost: operations, bytes, memory, time."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch

from spinlock.execution.plan import Draw, Plan
from spinlock.execution.simulate import simulate
from spinlock.operators import families
from spinlock.rollout.dynamics import SHORTEST

SURVEYED = 2048
"""Draws looked at; the rest is taken to be like them."""

CALIBRATED = 32
"""Operators built for a calibration, at most."""

CALIBRATION_SECONDS = 10.0

CORE_FLOPS, CORE_NORMALS, STEP_SECONDS, ROW_SECONDS, SHARD_SECONDS = 4e10, 2e7, 4e-4, 1e-2, 0.1
"""A typical core: convolution rate, keyed normals a second, fixed cost of a step, a sample and a shard."""

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

    Without noise all realizations are one, unless batch normalization has them advance together.
    """
    simulation = plan.config.simulation
    steps = simulation.num_timesteps
    identical = draw.noise.silent and draw.values.get("normalization") != "batch"
    return ((1 if identical else simulation.num_realizations) + (steps >= SHORTEST)) * steps


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


def predicted_seconds(plan: Plan, draw: Draw, count: int) -> float:
    """Return the time that ``count`` applications take on a typical core, with noise and bookkeeping."""
    normals = plan.config.simulation.num_channels * draw.grid_size**2
    step = application_flops(plan, draw) / CORE_FLOPS + normals / CORE_NORMALS + STEP_SECONDS
    return ROW_SECONDS + count * step


@dataclass(frozen=True)
class _Cost:
    """What one draw costs: its network, operations of all applications, seconds, features, side, memory."""

    architecture: tuple[object, ...]
    flops: int
    seconds: float
    feature_seconds: float
    grid_size: int
    hidden_bytes: int


_surveys: WeakKeyDictionary[Plan, list[_Cost]] = WeakKeyDictionary()


def _survey(plan: Plan) -> list[_Cost]:
    """Return what each of the first draws costs; found once for a plan."""
    if plan not in _surveys:
        _surveys[plan] = [_cost(plan, draw) for draw in plan.draws(0, min(SURVEYED, plan.total_samples))]
    return _surveys[plan]


def _cost(plan: Plan, draw: Draw) -> _Cost:
    count = applications(plan, draw)
    return _Cost(
        architecture=_architecture(draw),
        flops=application_flops(plan, draw) * count,
        seconds=predicted_seconds(plan, draw, count),
        feature_seconds=feature_seconds(plan, draw),
        grid_size=draw.grid_size,
        hidden_bytes=_hidden_bytes(plan, draw),
    )


def estimate(plan: Plan, correction: float = 1.0) -> Estimate:
    """Return what a plan costs, from its first draws and a typical core, times a measured correction."""
    surveyed = _survey(plan)
    scale = plan.total_samples / len(surveyed)
    frames = 1 + plan.config.simulation.num_realizations * (1 + len(plan.timesteps))
    frame_bytes = plan.config.simulation.num_channels * np.dtype(plan.layout.storage_precision.dtype).itemsize
    return Estimate(
        architectures=len({cost.architecture for cost in surveyed}),
        surveyed=len(surveyed),
        flops=scale * sum(cost.flops for cost in surveyed),
        data_bytes=scale * sum(frames * frame_bytes * cost.grid_size**2 for cost in surveyed)
        + plan.total_samples * plan.feature_bytes,
        memory_bytes=PROCESS_BYTES
        + 3 * plan.row_bytes
        + _kept_bytes(plan)
        + max(cost.hidden_bytes for cost in surveyed),
        core_seconds=plan.num_shards * SHARD_SECONDS
        + scale * correction * sum(cost.seconds + cost.feature_seconds for cost in surveyed),
    )


def slowest_seconds(plan: Plan) -> float:
    """Return the time that the costliest of the first samples takes on a typical core, with its features."""
    return max(cost.seconds + cost.feature_seconds for cost in _survey(plan))


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


def calibrate(plan: Plan, draws: Iterable[Draw], device: torch.device) -> tuple[int, float]:
    """Return how many operators were built, and measured over predicted time of two steps of each.

    Ends early after `CALIBRATION_SECONDS`.
    """
    measured = predicted = 0.0
    built = 0
    for draw in draws:
        start = time.perf_counter()
        simulate(plan, draw, device, num_timesteps=2, num_realizations=1, keep=(), classify=False)
        elapsed = time.perf_counter() - start
        built += 1
        if built > 1:  # the first one pays for loading
            measured += elapsed
            predicted += predicted_seconds(plan, draw, 2)
        if measured > CALIBRATION_SECONDS:
            break
    return built, measured / predicted if predicted else 1.0
