"""Samples made in stacks are the samples made one at a time, however they are divided."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import tiny
from spinlock.execution import stacks
from spinlock.execution.plan import make_plan
from spinlock.execution.simulate import simulate, stored_row
from spinlock.execution.stacks import sample_of, simulate_stack, stacked_bytes, stacks_of
from spinlock.execution.stages import StageClock
from spinlock.operators import operator_digest

CPU = torch.device("cpu")
SCALED = ("multiplicative", "dropout")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return make_plan(tiny.config_of(tmp_path_factory.mktemp("stacks") / "a.h5", tiny.EVERYTHING))


@pytest.fixture(scope="module")
def draws(plan):
    return list(plan.draws(0, plan.total_samples))


@pytest.fixture(scope="module")
def stacked(plan, draws):
    return simulate_stack(plan, draws, CPU)


def scaled_noise(draw):
    """Whether noise follows the root mean square of the state, which a stack sums in another order."""
    return (
        draw.noise.noise_scale > 0
        and draw.noise.noise_type in SCALED
        and draw.noise.noise_location != "hidden"
    )


def equal(a, b):
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def test_rows_are_those_of_samples_alone(plan, draws, stacked):
    assert {draw.grid_size for draw in draws} == {16, 24}
    compared = 0
    for draw, sample in zip(draws, stacked, strict=True):
        alone = simulate(plan, draw, CPU, keep=plan.timesteps)
        assert sample.draw is draw
        assert operator_digest(sample.operator) == operator_digest(alone.operator)
        assert sample.ic_options == alone.ic_options
        assert torch.equal(sample.initial, alone.initial)
        if not scaled_noise(draw):
            row, expected = stored_row(plan, sample), stored_row(plan, alone)
            assert equal(row.outputs, expected.outputs)
            assert equal(row.trajectories, expected.trajectories)
            exponents = row.table.pop("metadata/lyapunov"), expected.table.pop("metadata/lyapunov")
            np.testing.assert_allclose(*exponents, rtol=1e-6)
            assert {k: str(v) for k, v in row.table.items()} == {k: str(v) for k, v in expected.table.items()}
            compared += 1
    assert 3 <= compared < len(draws)


@pytest.mark.parametrize(
    "sizes", [[1] * 12, *(pytest.param(one, marks=pytest.mark.slow) for one in ([5, 7], [11, 1]))]
)
def test_how_samples_are_divided_changes_no_bit(plan, draws, stacked, sizes):
    places = np.cumsum([0, *sizes])
    parts = [draws[a:b] for a, b in pairwise(places)]
    divided = [sample for part in parts for sample in simulate_stack(plan, part, CPU)]
    for a, b in zip(divided, stacked, strict=True):
        assert torch.equal(a.rollout.frames.view(torch.int32), b.rollout.frames.view(torch.int32))
        assert a.rollout.finite_steps.tolist() == b.rollout.finite_steps.tolist()
        assert a.rollout.dynamics == b.rollout.dynamics
        assert str(a.rollout.lyapunov) == str(b.rollout.lyapunov)


def test_other_lengths_begin_with_the_same_frames(plan, draws, stacked):
    few = simulate_stack(
        plan, draws[:4], CPU, keep=(0, 2), num_timesteps=3, num_realizations=2, classify=False
    )
    for a, b in zip(few, stacked, strict=False):
        assert a.rollout.timesteps == (0, 2)
        assert a.rollout.num_timesteps == 3
        if a.draw.values["normalization"] != "batch":
            assert equal(a.rollout.frames.numpy(), b.rollout.frames[:2, [0, 2]].numpy())


def test_stages_are_timed(plan, draws):
    clock = StageClock()
    simulate_stack(plan, draws[:2], CPU, num_timesteps=1, keep=(), clock=clock)
    assert set(clock.seconds) == {"operators", "initial conditions", "rollout"}
    assert all(seconds > 0 for seconds in clock.seconds.values())


def test_one_sample_comes_with_the_frames_asked_for(plan, draws, stacked, monkeypatch):
    """A draw whose rollout is the same to the bit, stacked or not."""
    draw = next(draw for draw in draws if not scaled_noise(draw))
    told: dict[str, list] = {"alone": [], "stacked": []}
    samples = {}
    for name, frames in told.items():
        samples[name] = sample_of(
            plan, draw, CPU, keep=(1, 3), num_timesteps=3, num_realizations=2,
            on_frame=lambda m, t, x, frames=frames: frames.append((m, t, x.clone())),
        )  # fmt: skip
        monkeypatch.setattr(stacks, "stacks_pay", lambda device: True)
    assert [key[:2] for key in told["stacked"]] == [(m, t) for m in range(2) for t in range(4)]
    alone = {key[:2]: key[2] for key in told["alone"]}
    assert all(torch.equal(alone[m, t], x) for m, t, x in told["stacked"])
    assert samples["stacked"].rollout.timesteps == samples["alone"].rollout.timesteps == (1, 3)
    assert torch.equal(samples["stacked"].rollout.frames, samples["alone"].rollout.frames)
    assert equal(sample_of(plan, draw, CPU).rollout.final.numpy(), stacked[draw.index].rollout.final.numpy())


def test_no_draws_make_no_samples(plan):
    assert simulate_stack(plan, [], CPU) == []


def test_stacks_hold_what_fits_and_every_draw_once(plan, draws):
    sizes = {draw.index: stacked_bytes(plan, draw) for draw in draws}
    assert all(
        size > 3 * 18 * 2 * draw.grid_size**2 * 4 for draw, size in zip(draws, sizes.values(), strict=True)
    )
    for budget in (1, 2 * max(sizes.values()), 6 * max(sizes.values()), 1 << 40):
        stacks = list(stacks_of(plan, iter(draws), budget))
        assert [draw.index for stack in stacks for draw in stack] == list(sizes)
        for stack in stacks:
            assert (
                len(stack) == 1 or sum(sizes[draw.index] for draw in stack) <= budget / 2 or budget > 1 << 30
            )
    assert len(list(stacks_of(plan, draws, 1))) == len(draws)
    assert len(list(stacks_of(plan, draws, 1 << 40))) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_agrees_with_itself_to_the_bit_and_with_a_cpu_to_rounding(plan, draws):
    gpu, how = torch.device("cuda"), {"keep": (0, 1, 2), "num_timesteps": 2}
    whole = simulate_stack(plan, draws, gpu, **how)
    alone = [sample for draw in draws[::-1] for sample in simulate_stack(plan, [draw], gpu, **how)][::-1]
    cpu = simulate_stack(plan, draws, CPU, **how)
    for a, b, c in zip(whole, alone, cpu, strict=True):
        assert torch.equal(a.initial, c.initial)
        assert torch.equal(a.rollout.frames.view(torch.int32), b.rollout.frames.view(torch.int32))
        assert a.rollout.finite_steps.tolist() == c.rollout.finite_steps.tolist()
        assert torch.allclose(a.rollout.frames, c.rollout.frames, rtol=1e-3, atol=1e-3, equal_nan=True)
