"""The probed operator: the first step of a rollout with its noise frozen, one state at a time."""

from typing import cast

import pytest
import torch

import tiny
from spinlock.execution import make_plan
from spinlock.execution.probes import frozen_operator
from spinlock.execution.simulate import build_operator, simulate
from spinlock.keys import Key, Purpose
from spinlock.numerics.random import normals_from_words, random_words
from spinlock.operators import Operator

CPU = torch.device("cpu")
SIDE = 16


def plan_of(tmp_path, **stochastic):
    space = {name: {"type": "choice", "choices": [value]} for name, value in stochastic.items()}
    values = {"noise_scale": {"type": "choice", "choices": [0.3]}} | space
    changes = {"parameter_space.stochastic": values, "simulation.num_channels": 2}
    return make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes))


def frozen(plan, index=1):
    draw = plan.draw(index)
    operator = cast("Operator", build_operator(plan, draw, CPU))
    probed = frozen_operator(operator, draw.noise, seed=plan.seed, sample=index, size=SIDE, device=CPU)
    return operator, probed


def states(count):
    words = random_words(Key(3), Purpose.PROBE, 2 * SIDE**2, samples=torch.arange(count))
    return normals_from_words(words, 2 * SIDE**2).reshape(count, 2, SIDE, SIDE)


NOISES = [
    {"noise_type": kind, "noise_location": place}
    for kind in ("gaussian", "laplace", "multiplicative", "dropout")
    for place in ("state", "hidden", "output")
]


@pytest.mark.parametrize(
    "noise",
    [
        *NOISES,
        {"dropout_rate": 0.3},
        {"noise_schedule": "periodic", "spatial_correlation": 0.1},
        {"noise_schedule": "annealing", "noise_location": "hidden"},
    ],
    ids=str,
)
def test_it_is_the_first_step_of_realization_0(tmp_path, noise):
    plan = plan_of(tmp_path, **noise)
    sample = simulate(plan, plan.draw(1), CPU, keep=(0, 1), num_timesteps=1, num_realizations=2)
    assert sample.draw.policy.name == "autoregressive"
    _, probed = frozen(plan)
    (output,) = probed(sample.initial[None])
    assert torch.equal(output, sample.rollout.frames[0, 1])
    assert not torch.equal(output, sample.rollout.frames[1, 1])


@pytest.mark.parametrize("normalization", ["none", "instance", "batch"])
def test_a_state_does_not_see_the_others(tmp_path, normalization):
    plan = plan_of(tmp_path, normalization=normalization, noise_location="hidden")
    _, probed = frozen(plan)
    given = states(3)
    alone = torch.cat([probed(state[None]) for state in given])
    assert torch.equal(probed(given), alone)
    assert torch.equal(probed(given.flip(0)), alone.flip(0))


@pytest.mark.parametrize("location", ["state", "output"])
def test_differences_are_those_of_the_states(tmp_path, location):
    """Additive noise that is the same for every state cancels in a difference."""
    plan = plan_of(tmp_path, noise_location=location)
    operator, probed = frozen(plan)
    x, y = states(2)
    noisy, silent = probed(torch.stack([x, x])), operator(torch.stack([x, x]))
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.allclose(noisy, silent, atol=0.05)
    if location == "output":
        difference = probed(x[None]) - probed(y[None])
        torch.testing.assert_close(difference, operator(x[None]) - operator(y[None]), atol=1e-5, rtol=0)


def test_without_noise_it_is_the_operator(tmp_path):
    plan = make_plan(tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, {"simulation.num_channels": 2}))
    operator, probed = frozen(plan)
    assert torch.equal(probed(states(2)), operator(states(2)))


def test_every_sample_has_noise_of_its_own(tmp_path):
    plan = plan_of(tmp_path, noise_location="output")
    (one, first), (other, second) = frozen(plan, 1), frozen(plan, 2)
    x = states(1)
    assert not torch.allclose(first(x) - one(x), second(x) - other(x), atol=0.05)
