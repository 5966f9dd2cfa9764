"""Realizations that leave the finite range, alone and in lockstep with others."""

import math

import numpy as np
import pytest
import torch

from spinlock.rollout.ensemble import LARGEST_FINITE
from test_rollout.stub_operators import LockstepStub, Stub, keyed_field, network, run, same, scaled

# --- leaving the finite range ---


def bursting(at, value=float("inf")):
    """The identity, but for one pixel that becomes ``value`` at a step."""
    steps = iter(range(1, 1000))

    def burst(x):
        y = x.clone()
        if next(steps) == at:
            y[0, 0, 3, 5] = value
        return y

    return Stub(burst)


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), 1.001e8, -1.001e8])
@pytest.mark.parametrize("at", [1, 4, 8])
def test_a_run_stops_where_it_leaves_the_finite_range(at, value):
    operator = bursting(at, value)
    result = run(operator, realizations=1, classify=False)
    assert result.finite_steps.tolist() == [at]
    assert result.finite_steps.dtype == np.int32
    assert all(same(frame, keyed_field()) for frame in result.frames[0, :at])
    assert torch.isnan(result.frames[0, at:]).all()
    assert torch.isnan(result.final).all()
    assert operator.applications == at
    assert (result.dynamics, math.isnan(result.lyapunov)) == ("diverged", True)


@pytest.mark.parametrize("value", [LARGEST_FINITE, -LARGEST_FINITE])
def test_the_limit_itself_is_finite(value):
    result = run(bursting(4, value), realizations=1, classify=False)
    assert result.finite_steps.tolist() == [9]
    assert not torch.isnan(result.frames).any()


def explosive(threshold):
    """A map that explodes where its noisy input passes a threshold, and forgets it elsewhere."""
    return Stub(lambda x: torch.where(x > threshold, torch.inf, 0.5 * x))


def test_one_realization_may_diverge_and_leave_the_others_untouched():
    options = {"initial": torch.zeros(2, 16, 16), "realizations": 6, "steps": 20, "noise_scale": 1.0}
    result = run(explosive(4.5), **options)
    untouched = run(scaled(0.5), **options)
    diverged = result.finite_steps < 21
    assert 0 < diverged.sum() < 6
    for m in range(6):
        finite = int(result.finite_steps[m])
        assert same(result.frames[m, :finite], untouched.frames[m, :finite])
        assert torch.isnan(result.frames[m, finite:]).all()
        assert bool(torch.isnan(result.final[m]).all()) == bool(diverged[m])
    assert result.dynamics == "diverged"
    assert untouched.dynamics != "diverged"


def test_an_initial_condition_that_is_not_finite_gives_no_frame():
    initial = keyed_field()
    initial[1, 2, 3] = float("nan")
    operator = Stub(torch.sin)
    result = run(operator, initial=initial)
    assert result.finite_steps.tolist() == [0, 0, 0]
    assert torch.isnan(result.frames).all()
    assert operator.applications == 0
    assert result.dynamics == "diverged"


@pytest.mark.parametrize(
    ("value", "steps"), [(65504.0, 9), (65519.0, 9), (65520.0, 4), (-7e4, 4), (float("inf"), 4), (6e4, 9)]
)
def test_float16_steps_count_frames_that_fit_float16(value, steps):
    result = run(bursting(4, value), realizations=1, classify=False)
    assert result.float16_steps.tolist() == [steps]
    stored = result.frames[0].to(torch.float16)
    assert torch.isfinite(stored[:steps]).all()
    if steps < 9:
        assert not torch.isfinite(stored[steps]).all()


def test_float16_steps_do_not_begin_again():
    """A value that comes back into range stays lost: what is stored ends at the first overflow."""
    peak = iter([1.0, 1e5, 1.0, 1.0])
    result = run(Stub(lambda x: x * 0 + next(peak)), realizations=1, steps=4, classify=False)
    assert result.float16_steps.tolist() == [2]
    assert result.finite_steps.tolist() == [5]


# --- lockstep ---


def test_members_in_lockstep_have_all_finite_members_as_peers():
    operator = LockstepStub(lambda x, mean: x - 0.1 * mean)
    run(operator, realizations=3, steps=16, noise_scale=0.1)
    assert operator.peers == [[(0, 1, 2)] * 3 + [(3, 1, 2)]] * 16


def test_a_diverged_member_leaves_the_statistics():
    options = {"initial": torch.zeros(2, 16, 16), "realizations": 6, "steps": 12, "noise_scale": 1.0}
    operator = LockstepStub(lambda x, mean: torch.where(x > 4.5, torch.inf, 0.5 * x + 0.1 * mean))
    result = run(operator, **options)
    alive = [sum(result.finite_steps > step + 1) for step in range(-1, 11)]
    assert [len(peers) for peers in operator.peers] == alive[: len(operator.peers)]
    assert 0 < alive[-1] < 6
    survivors = result.finite_steps == 13
    assert torch.isfinite(result.frames[torch.from_numpy(survivors)]).all()


def test_the_first_member_takes_its_twin_along_when_it_diverges():
    options = {"initial": torch.zeros(2, 16, 16), "noise_scale": 1.0, "steps": 16, "realizations": 2}
    for sample in range(40):
        operator = LockstepStub(lambda x, mean: torch.where(x > 4.5, torch.inf, 0.5 * x))
        result = run(operator, sample=sample, **options)
        if result.finite_steps[0] < 15 and result.finite_steps[1] == 17:
            break
    lived = int(result.finite_steps[0])
    assert operator.peers == [[(0, 1), (0, 1), (2, 1)]] * lived + [[(0,)]] * (16 - lived)
    assert result.dynamics == "diverged"


def test_batch_normalization_alone_couples_realizations():
    options = {"noise_scale": 0.3, "steps": 6}
    three, five = (run(network(normalization="batch"), realizations=m, **options) for m in (3, 5))
    assert not torch.allclose(three.frames, five.frames[:3], atol=1e-3)
    again = run(network(normalization="batch"), realizations=3, **options)
    assert same(three.frames, again.frames)


def test_what_lockstep_members_share_is_computed_once_and_counted_for_each():
    operator = LockstepStub(lambda x, mean: x - 0.1 * mean)
    run(operator, realizations=3, steps=16, noise_scale=0.1, noise_location="output")
    assert operator.peers == [[(0, 0, 0), (1, 0, 0)]] + [[(0, 1, 2)] * 3 + [(3, 1, 2)]] * 15


@pytest.mark.parametrize("policy", ["autoregressive", "residual", "convex"])
def test_lockstep_without_noise_advances_one_state(policy):
    operator = LockstepStub(lambda x, mean: 0.5 * (x + mean))
    result = run(operator, realizations=3, steps=4, policy=policy, classify=False)
    assert operator.peers == [[(0, 0, 0)]] * 4
    assert same(result.frames[0], result.frames[2])


class Copying:
    """A network that is given a tensor of its own for every peer of every state."""

    lockstep = True

    def __init__(self, network):
        self.network = network

    def ensemble(self, states, hooks, peers):
        outputs = []
        for k, (hook, positions) in enumerate(zip(hooks, peers, strict=True)):
            copies = [states[other].clone() for other in positions]
            everyone = [range(len(copies))] * len(copies)
            made = self.network.ensemble(copies, [hook] * len(copies), everyone)
            outputs.append(made[positions.index(k)])
        return outputs


@pytest.mark.parametrize("noise_scale", [0.0, 0.1])
def test_a_shared_state_has_the_bits_of_copies(noise_scale):
    options = {"noise_scale": noise_scale, "noise_location": "output", "realizations": 5, "steps": 16}
    with torch.inference_mode():
        shared = run(network(normalization="batch"), **options)
        copied = run(Copying(network(normalization="batch")), **options)
    assert same(shared.frames, copied.frames)
    assert shared.lyapunov == copied.lyapunov
