"""Update policies: linear operators against their exact solutions, and the stationary law of linear noise."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from spinlock.errors import OptionError, UnknownNameError
from spinlock.rollout import UpdatePolicy, policies
from spinlock.rollout.policies import policy_options
from test_rollout.stub_operators import Stub, keyed_field, run

STEPS = 30
CASES = [
    ("autoregressive", {}, lambda d: d),
    ("residual", {"dt": 0.05}, lambda d: 1 + 0.05 * d),
    ("residual", {}, lambda d: 1 + 0.1 * d),
    ("convex", {"alpha": 0.3}, lambda d: 0.3 + 0.7 * d),
    ("convex", {}, lambda d: 0.5 + 0.5 * d),
    ("convex", {"alpha": 0.0}, lambda d: d),
    ("convex", {"alpha": 1.0}, np.ones_like),
]


def worst(frames, exact):
    """The largest error over time, relative to the exact frame's largest value."""
    errors = np.abs(frames.double().numpy() - exact).max(axis=(1, 2, 3))
    return (errors / np.abs(exact).max(axis=(1, 2, 3))).max()


@pytest.mark.parametrize(("policy", "constants", "factor"), CASES)
def test_a_diagonal_operator_against_its_exact_solution(policy, constants, factor):
    diagonal = torch.linspace(-1.02, 1.05, 2 * 16 * 16).reshape(2, 16, 16)
    initial = keyed_field()
    result = run(Stub(lambda x: x * diagonal), policy=policy, steps=STEPS, realizations=1, **constants)
    powers = factor(diagonal.double().numpy())[None] ** np.arange(STEPS + 1)[:, None, None, None]
    assert worst(result.frames[0], powers * initial.double().numpy()) < 1e-5


def circular_convolution(kernel):
    """The operator of a 3×3 kernel [C, C, 3, 3] on the torus, and its symbol [H, W, C, C] in float64."""
    size = 16

    def apply(x):
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular")
        return torch.nn.functional.conv2d(padded, kernel)

    waves = np.exp(2j * np.pi * np.outer(np.arange(size), np.arange(-1, 2)) / size)
    symbol = np.einsum("yi,xj,abij->yxab", waves, waves, kernel.double().numpy())
    return Stub(apply), symbol


@pytest.mark.parametrize(("policy", "constants", "factor"), CASES)
def test_a_circular_convolution_against_its_solution_in_fourier_space(policy, constants, factor):
    kernel = keyed_field(4, 16, sample=5).flatten()[: 2 * 2 * 9].reshape(2, 2, 3, 3) * 0.2
    operator, symbol = circular_convolution(kernel)
    initial = keyed_field()
    result = run(operator, policy=policy, steps=12, realizations=1, **constants)
    identity = np.eye(2)[None, None]
    alpha, beta = {"autoregressive": (0.0, 1.0), "residual": (1.0, constants.get("dt", 0.1))}.get(
        policy, (constants.get("alpha", 0.5), 1 - constants.get("alpha", 0.5))
    )
    propagator = alpha * identity + beta * symbol
    spectrum = np.fft.fft2(initial.double().numpy()).transpose(1, 2, 0)
    exact = [initial.double().numpy()]
    for _ in range(12):
        spectrum = np.einsum("yxab,yxb->yxa", propagator, spectrum)
        exact.append(np.fft.ifft2(spectrum.transpose(2, 0, 1)).real)
    assert worst(result.frames[0], np.stack(exact)) < 1e-5
    assert np.abs(factor(1.0) - (alpha + beta)) < 1e-12


def test_policies_differ_in_more_than_their_names():
    operator = Stub(torch.sin)
    finals = [run(operator, policy=name, realizations=1).final for name in policies]
    assert len(finals) == 3
    assert not any(torch.allclose(finals[k], finals[k - 1], atol=1e-2) for k in range(3))


@pytest.mark.parametrize(
    ("policy", "constant", "values"), [("residual", "dt", (0.01, 0.2)), ("convex", "alpha", (0.2, 0.6))]
)
def test_constants_act(policy, constant, values):
    finals = [
        run(Stub(torch.sin), policy=policy, realizations=1, **{constant: value}).final for value in values
    ]
    assert not torch.allclose(*finals, atol=1e-2)


def test_explicit_euler_has_order_one():
    """ẋ = −x to time 1: the error of exp(−1) halves with dt."""
    initial = torch.ones(1, 16, 16)
    decay = Stub(lambda x: -x)
    errors = [
        abs(
            float(
                run(decay, initial=initial, policy="residual", dt=1 / n, steps=n, realizations=1).final.mean()
            )
            - math.exp(-1)
        )
        for n in (20, 40, 80)
    ]
    assert [math.log2(a / b) for a, b in pairwise(errors)] == pytest.approx([1.0, 1.0], abs=0.05)


@pytest.mark.parametrize(
    ("policy", "location", "variance"),
    [
        ("autoregressive", "state", 0.25 * 0.64 / (1 - 0.64)),  # x' = a(x + σξ)
        ("autoregressive", "output", 0.25 / (1 - 0.64)),  # x' = ax + σξ
        ("convex", "output", 0.25 * 0.25 / (1 - 0.81)),  # x' = (α + (1 − α)a)x + (1 − α)σξ
        ("convex", "state", 0.25 * 0.25 * 0.64 / (1 - 0.81)),  # x' = αx + (1 − α)a(x + σξ)
    ],
)
def test_stationary_variance_of_a_noisy_linear_operator(policy, location, variance):
    contraction = Stub(lambda x: 0.8 * x)
    result = run(
        contraction, initial=torch.zeros(4, 32, 32), policy=policy, steps=60, realizations=4,
        noise_scale=0.5, noise_location=location, keep=[],
    )  # fmt: skip
    measured = float(result.final.double().square().mean())
    assert measured == pytest.approx(variance, rel=5 * math.sqrt(2 / result.final.numel()))


@pytest.mark.parametrize("policy", ["residual", "convex"])
def test_noise_on_the_state_reaches_the_operator_and_not_the_carried_state(policy):
    """The operator that forgets its input leaves x' without any noise."""
    forgetful = Stub(torch.zeros_like)
    noisy = run(forgetful, policy=policy, noise_scale=1.0)
    assert torch.equal(noisy.frames, run(forgetful, policy=policy).frames)
    assert not torch.equal(
        noisy.frames, run(forgetful, policy=policy, noise_scale=1.0, noise_location="output").frames
    )


def test_the_operator_s_output_is_not_changed_in_place():
    kept = []

    def remembering(x):
        kept.append((x.sin(), x, x.clone()))
        return kept[-1][0]

    for policy in policies:
        run(Stub(remembering), policy=policy, noise_scale=0.1, noise_location="output", steps=3)
    assert all(torch.equal(y, before.sin()) and torch.equal(x, before) for y, x, before in kept)


# --- declaration ---


def test_options_of_a_rollout():
    options = policy_options()
    assert (
        list(options["update_policy"].choices) == list(policies) == ["autoregressive", "convex", "residual"]
    )
    assert set(options) == {"update_policy", "dt", "alpha"}
    for name, policy in {"dt": "residual", "alpha": "convex"}.items():
        assert (options[name].when.option, options[name].when.values) == ("update_policy", (policy,))


def test_a_policy_takes_its_own_constants_and_their_defaults():
    assert dict(UpdatePolicy.of("residual", {"alpha": 0.3, "dt": 0.25}).constants) == {"dt": 0.25}
    assert dict(UpdatePolicy.of("convex", {"dt": 0.25}).constants) == {}
    assert float(UpdatePolicy.of("convex", {})(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))) == 0.5


def test_bad_policies_and_constants_are_refused():
    with pytest.raises(
        UnknownNameError, match=r"unknown update policy 'convexe' \(did you mean 'convex'\?\)"
    ):
        UpdatePolicy.of("convexe", {})
    with pytest.raises(OptionError, match=r"alpha = 1.5 is not allowed: it must be a number in \[0, 1\]"):
        UpdatePolicy.of("convex", {"alpha": 1.5})
