"""One sample from its draw: operator, initial condition, rollout."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from spinlock.execution.plan import Draw, Plan
from spinlock.execution.stages import StageClock
from spinlock.initial_conditions import generate
from spinlock.numerics.pinned import pinned_arithmetic
from spinlock.operators import Operator, build, operator_digest
from spinlock.rollout import Rollout, roll_out
from spinlock.storage import Row


@dataclass(frozen=True)
class Sampled:
    """A sample computed: its operator, frame 0 [C, H, W] with the options that make it, and its rollout."""

    draw: Draw
    operator: nn.Module
    initial: Tensor
    ic_options: Mapping[str, Any]
    rollout: Rollout


def build_operator(plan: Plan, draw: Draw, device: torch.device, precision: str | None = None) -> nn.Module:
    """Return the operator of a draw, in the plan's precision if none is given."""
    simulation = plan.config.simulation
    return build(
        draw.family,
        draw.operator_options,
        channels=simulation.num_channels,
        seed=plan.seed,
        sample=draw.index,
        device=device,
        precision=precision or simulation.precision,
    )


def initial_condition(plan: Plan, draw: Draw, device: torch.device) -> tuple[Tensor, dict[str, Any]]:
    """Return frame 0 of a draw, float32 [C, H, W], and the option values that make it again."""
    fields, options = generate(
        draw.ic_type,
        draw.grid_size,
        plan.config.simulation.num_channels,
        [draw.index],
        plan.seed,
        device,
        return_options=True,
        **draw.ic_options,
    )
    return fields[0], options[0]


def simulate(
    plan: Plan,
    draw: Draw,
    device: torch.device,
    *,
    keep: tuple[int, ...] | None = None,
    num_timesteps: int | None = None,
    num_realizations: int | None = None,
    classify: bool = True,
    checkpoint: Callable[[], None] | None = None,
    on_frame: Callable[[int, int, Tensor], None] | None = None,
    clock: StageClock | None = None,
) -> Sampled:
    """Return the sample of a draw: a pure function of (configuration, index) on a given kind of device.

    Steps, realizations and kept frames are those of the plan unless given; more of them leave the first ones
    as they are. ``clock`` is told what operator, initial condition and rollout took.
    """
    simulation, clock = plan.config.simulation, clock or StageClock()
    with pinned_arithmetic(), torch.inference_mode():
        with clock.stage("operators"):
            operator = build_operator(plan, draw, device)
            _finish(device)
        with clock.stage("initial conditions"):
            initial, ic_options = initial_condition(plan, draw, device)
            _finish(device)
        with clock.stage("rollout"):
            rollout = roll_out(
                cast("Operator", operator),
                initial,
                policy=draw.policy,
                noise=draw.noise,
                seed=plan.seed,
                sample=draw.index,
                num_realizations=simulation.num_realizations
                if num_realizations is None
                else num_realizations,
                num_timesteps=simulation.num_timesteps if num_timesteps is None else num_timesteps,
                keep=plan.timesteps if keep is None else keep,
                classify=classify,
                checkpoint=checkpoint,
                on_frame=on_frame,
            )
            _finish(device)
    return Sampled(draw, operator, initial, ic_options, rollout)


def _finish(device: torch.device) -> None:
    """Wait for what was launched on a GPU, so that its time counts where it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def stored_row(plan: Plan, sample: Sampled, features: Mapping[str, Any] | None = None) -> Row:
    """Return a sample as storage takes it, with its entries in the feature tables.

    Of the frames kept, those that the plan stores. Where the precision is float16, frames from a
    realization's first overflow on are NaN.
    """
    rollout = sample.rollout
    final, frames = rollout.final.cpu().numpy(), _stored_frames(plan, rollout)
    if plan.layout.precision == "float16":
        final, frames = final.copy(), frames.copy()
        for realization, fitting in enumerate(rollout.float16_steps.tolist()):
            frames[realization, [k for k, t in enumerate(plan.timesteps) if t >= fitting]] = np.nan
            if fitting <= rollout.num_timesteps:
                final[realization] = np.nan
    return Row(
        inputs=sample.initial.cpu().contiguous().numpy(),
        outputs=final,
        trajectories=frames if plan.timesteps else None,
        table={**_table(plan, sample), **(features or {})},
    )


def _stored_frames(plan: Plan, rollout: Rollout) -> np.ndarray:
    frames = rollout.frames.cpu().numpy()
    if rollout.timesteps == plan.timesteps:
        return frames
    return frames[:, [rollout.timesteps.index(frame) for frame in plan.timesteps]]


def _table(plan: Plan, sample: Sampled) -> dict[str, Any]:
    draw, rollout = sample.draw, sample.rollout
    table = {
        "metadata/ic_types": draw.ic_type,
        "metadata/ic_labels": draw.ic_label,
        "metadata/ic_options": json.dumps(sample.ic_options, sort_keys=True),
        "metadata/rollout_policies": draw.policy.name,
        "metadata/grid_sizes": draw.grid_size,
        "metadata/noise_regimes": draw.noise.regime,
        "metadata/dynamics": rollout.dynamics,
        "metadata/lyapunov": rollout.lyapunov,
        "metadata/finite_steps": rollout.finite_steps,
        "metadata/operator_digests": operator_digest(sample.operator),
    }
    if plan.layout.precision == "float16":
        table["metadata/overflow_steps"] = rollout.finite_steps - rollout.float16_steps
    if plan.space.size:
        table["parameters/params"] = draw.point
    return table | {f"parameters/values/{name}": draw.values[name] for name in plan.space.names}
