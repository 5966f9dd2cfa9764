"""The Lyapunov exponent and the label: systems of known behaviour, order of the rules, the twin itself."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from spinlock.rollout.dynamics import (
    CHAOS_THRESHOLD,
    COLLAPSED,
    LABELS,
    SHORTEST,
    TORN,
    TWIN_DISTANCE,
    Monitor,
    Twin,
    contrast,
    rms,
)
from test_rollout.stub_operators import LockstepStub, Stub, identity, keyed_field, network, run, scaled

UNIT = torch.distributions.Normal(0.0, 1.0).cdf(keyed_field()).clamp(0.01, 0.99)
"""A field of independent values in (0, 1)."""


def observe(operator, steps=64, realizations=1, **options):
    result = run(operator, steps=steps, realizations=realizations, keep=[], **options)
    assert result.dynamics in LABELS
    return result


def rotation(angle):
    """Turn two channels into each other by an angle at every pixel."""
    c, s = math.cos(angle), math.sin(angle)
    return Stub(lambda x: torch.stack((c * x[:, 0] - s * x[:, 1], s * x[:, 0] + c * x[:, 1]), dim=1))


# --- chaos with known exponents ---


def test_logistic_map_has_exponent_ln_2():
    """x' = 4x(1 − x), kept off 1: from there float32 falls onto the unstable fixed point 0 and stays."""
    logistic = Stub(lambda x: (4 * x * (1 - x)).clamp(1e-6, 1 - 1e-6))
    result = observe(logistic, steps=200, initial=UNIT)
    assert result.lyapunov == pytest.approx(math.log(2), rel=0.05)
    assert result.dynamics == "chaotic"


@pytest.mark.parametrize("slope", [1.1, 1.5, 1.9])
def test_tent_map_has_the_exponent_of_its_slope(slope):
    tent = Stub(lambda x: slope * torch.minimum(x, 1 - x))
    result = observe(tent, steps=200, initial=UNIT)
    assert result.lyapunov == pytest.approx(math.log(slope), rel=0.05)
    assert result.dynamics == "chaotic"


def test_stretching_and_turning_of_the_plane():
    """A map of the annulus with two channels: the angle doubles (λ = ln 2), the radius goes to 1."""

    def double(x):
        a, b = x[:, 0], x[:, 1]
        radius = (a * a + b * b).sqrt().clamp_min(1e-6)
        return torch.stack(((a * a - b * b) / radius**2, 2 * a * b / radius**2), dim=1)

    result = observe(Stub(double), steps=120)
    assert result.lyapunov == pytest.approx(math.log(2), rel=0.05)
    assert result.dynamics == "chaotic"


def test_the_logistic_map_in_its_window_of_period_three_is_not_chaotic():
    window = Stub(lambda x: 3.8319 * x * (1 - x))
    result = observe(window, steps=400, initial=UNIT)
    assert result.lyapunov < -0.02
    assert result.dynamics == "periodic"


def test_a_random_network_of_high_gain_is_chaotic_and_one_of_low_gain_dies():
    options = {"normalization": "none", "output_activation": "tanh", "bias_scale": 0.0, "base_channels": 16}
    assert observe(network(gain=4.0, **options)).dynamics == "chaotic"
    assert observe(network(gain=0.3, **options)).dynamics == "dead"


# --- the other labels ---


def test_noise_is_not_chaos():
    """x' = (x + ξ)/2: never at rest, yet two runs with the same noise meet at the rate ln 2."""
    result = observe(scaled(0.5), noise_scale=1.0)
    assert result.dynamics == "active"
    assert result.lyapunov == pytest.approx(-math.log(2), abs=0.01)


@pytest.mark.parametrize("noise_type", ["gaussian", "laplace"])
@pytest.mark.parametrize("location", ["state", "output"])
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0])
def test_additive_noise_adds_nothing_to_a_linear_exponent(factor, location, noise_type):
    result = observe(scaled(factor), noise_scale=0.5, noise_type=noise_type, noise_location=location)
    assert result.lyapunov == pytest.approx(math.log(factor), abs=0.02)
    assert result.lyapunov < CHAOS_THRESHOLD


def diffusion(factor=1.0):
    """The heat equation's explicit step, times a factor; it keeps the mean at factor 1."""

    def step(x):
        neighbours = x.roll(1, -1) + x.roll(-1, -1) + x.roll(1, -2) + x.roll(-1, -2)
        return factor * (x + 0.2 * (neighbours - 4 * x))

    return Stub(step)


@pytest.mark.parametrize("noise_type", ["multiplicative", "dropout"])
def test_noise_that_scales_with_the_state_makes_no_chaos_of_a_linear_operator(noise_type):
    """Distance and state follow the same random product: what is left is the fluctuation of a finite run."""
    options = {"steps": 200, "noise_scale": 0.5, "noise_type": noise_type}
    exponents = [observe(diffusion(0.8), sample=sample, **options).lyapunov for sample in range(5)]
    assert abs(np.mean(exponents)) < CHAOS_THRESHOLD


@pytest.mark.parametrize("factor", [1.0, 1.03, 1.3])
def test_uniform_growth_is_no_divergence(factor):
    assert observe(scaled(factor), steps=40).lyapunov == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("factor", [0.97, 0.7, 0.3])
def test_uniform_decay_is_a_negative_exponent(factor):
    assert observe(scaled(factor), steps=40).lyapunov == pytest.approx(math.log(factor), abs=1e-3)


@pytest.mark.parametrize("steps", [64, 200])
def test_diffusion_of_a_field_without_mean_is_not_chaotic(steps):
    """The twin has a mean, which stays, while the state decays: relative to the state the distance grows."""
    initial = keyed_field()
    initial = initial - initial.mean(dim=(-2, -1), keepdim=True)
    result = observe(diffusion(), steps=steps, initial=initial)
    assert result.lyapunov < 0.001
    assert result.dynamics == ("active" if steps == 64 else "dead")


def test_roll_by_one_pixel_is_periodic():
    result = observe(Stub(lambda x: x.roll(1, -1)))
    assert result.dynamics == "periodic"
    assert result.lyapunov == pytest.approx(0.0, abs=1e-3)


def test_a_period_that_does_not_fit_twice_is_active():
    """Period 16 needs 32 steps in the last half."""
    assert observe(Stub(lambda x: x.roll(1, -1)), steps=62).dynamics == "active"


def test_a_roll_that_is_noisy_is_not_periodic():
    assert observe(Stub(lambda x: x.roll(1, -1)), noise_scale=0.3).dynamics == "active"


@pytest.mark.parametrize("steps", [16, 33, 64])
def test_sign_flip_has_period_two(steps):
    result = observe(scaled(-1.0), steps=steps)
    assert result.dynamics == "periodic"
    assert result.lyapunov == pytest.approx(0.0, abs=1e-6)


def test_identity_is_frozen():
    result = observe(identity())
    assert result.dynamics == "frozen"
    assert result.lyapunov == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("factor", "label"), [(1.05, "growing"), (1.02, "growing"), (1.005, "active"), (1.0005, "frozen")]
)
def test_growth_is_more_than_one_percent_a_step(factor, label):
    assert observe(scaled(factor)).dynamics == label


def test_decay_to_no_contrast_is_dead():
    assert observe(scaled(0.5)).dynamics == "dead"
    assert observe(Stub(lambda x: 3.0 + 0.5 * (x - 3.0))).dynamics == "dead"
    assert (
        observe(Stub(lambda x: x.mean(dim=(-2, -1), keepdim=True).expand_as(x).contiguous())).dynamics
        == "dead"
    )
    assert observe(scaled(0.99)).dynamics == "active"


def test_an_initial_condition_without_contrast_that_stays_so_is_dead():
    assert observe(identity(), initial=torch.ones(2, 16, 16)).dynamics == "dead"
    assert observe(identity(), initial=torch.zeros(2, 16, 16)).dynamics == "dead"


def test_explosion_diverges():
    result = observe(scaled(1e3))
    assert (result.dynamics, math.isnan(result.lyapunov)) == ("diverged", True)


@pytest.mark.parametrize("angle", [0.3, 1.0, 2.399963])
def test_rotation_is_not_chaotic(angle):
    result = observe(rotation(angle))
    assert result.lyapunov == pytest.approx(0.0, abs=1e-3)
    assert result.dynamics in ("periodic", "active")


def test_rotation_by_a_fifth_is_periodic():
    assert observe(rotation(2 * math.pi / 5)).dynamics == "periodic"


def test_fewer_than_sixteen_steps_are_short_and_have_no_twin():
    operator = identity()
    result = observe(operator, steps=SHORTEST - 1, noise_scale=0.1)
    assert (result.dynamics, math.isnan(result.lyapunov)) == ("short", True)
    assert operator.applications == SHORTEST - 1 == 14 + 1
    assert math.isfinite(observe(identity(), steps=SHORTEST).lyapunov)


def test_what_is_not_asked_for_is_not_said():
    assert run(identity(), steps=20, classify=False).dynamics == "unclassified"
    assert run(identity(), steps=15, classify=False).dynamics == "short"
    assert run(scaled(1e3), steps=20, classify=False).dynamics == "diverged"


@pytest.mark.parametrize("normalization", ["instance", "batch"])
def test_networks_that_normalize_are_chaotic_when_iterated(normalization):
    operator = network(
        num_layers=2, normalization=normalization, gain=4.0, base_channels=16, activation="gelu"
    )
    result = observe(operator, realizations=3, noise_scale=0.01)
    assert result.dynamics == "chaotic"
    assert 0.05 < result.lyapunov < 1.0


@pytest.mark.parametrize("realizations", [1, 2, 5])
def test_in_lockstep_the_twin_stands_in_the_ensemble_for_its_original(realizations):
    """x' = x/2 + mean/5: the twin's own share in the mean counts, so the distance shrinks by 1/2 + 1/(5M)."""
    operator = LockstepStub(lambda x, mean: 0.5 * x + 0.2 * mean)
    result = observe(operator, realizations=realizations, noise_scale=1.0)
    assert result.lyapunov == pytest.approx(math.log(0.5 + 0.2 / realizations), abs=0.005)


# --- order of the rules ---


def test_labels_are_listed_in_the_order_of_the_rules():
    assert LABELS == ("diverged", "short", "chaotic", "growing", "dead", "frozen", "periodic", "active")


def test_diverged_comes_before_short():
    assert observe(scaled(1e3), steps=8).dynamics == "diverged"


def test_a_realization_that_diverges_late_decides():
    counts = iter(range(10_000))
    late = Stub(lambda x: x * (1e30 if next(counts) == 90 else 1.0))
    assert observe(late, steps=20, realizations=4, noise_scale=1e-6).dynamics == "diverged"


def monitored(frames):
    monitor = Monitor(frames[0], len(frames) - 1)
    for frame, (before, x) in enumerate(pairwise(frames), start=1):
        monitor.observe(frame, before, x)
    return monitor


def field():
    return keyed_field()[None]


def test_chaotic_comes_first_and_needs_more_than_its_threshold():
    growing = monitored([field() * 1.1**t for t in range(33)])
    assert growing.label(CHAOS_THRESHOLD) == "growing"
    assert growing.label(CHAOS_THRESHOLD * 1.001) == "chaotic"


def test_growing_comes_before_dead():
    without_contrast = [field(), *(torch.full((1, 2, 16, 16), 1.1**t) for t in range(1, 33))]
    assert monitored(without_contrast).label(0.0) == "growing"


def test_dead_comes_before_frozen():
    assert monitored([field(), *([torch.ones(1, 2, 16, 16)] * 32)]).label(0.0) == "dead"
    assert monitored([field(), *([torch.ones(1, 2, 16, 16) + 2e-3 * field()] * 32)]).label(0.0) == "frozen"


def test_frozen_comes_before_periodic():
    def flipping(amplitude):
        return [field() * (1 + amplitude * (-1) ** t) for t in range(33)]

    assert monitored(flipping(1e-4)).label(0.0) == "frozen"
    assert monitored(flipping(1e-2)).label(0.0) == "periodic"


def test_a_return_must_happen_twice():
    """Back at p but not at 2p: passing by once is not a period."""
    once = [field() * factor for factor in [1.0] * 9 + [2.0, 1.0, 2.0, 3.0, 2.0, 3.0, 2.0, 0.5]]
    twice = [field() * factor for factor in [1.0] * 9 + [2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]]
    assert monitored(once).label(0.0) == "active"
    assert monitored(twice).label(0.0) == "periodic"


def test_a_return_needs_a_departure():
    """A slow drift is near its start at every early step: that is no period."""
    assert monitored([field() + 0.01 * t for t in range(201)]).label(0.0) == "active"


def test_the_first_half_does_not_count():
    settling = [field() * (1 + 0.5**t) for t in range(65)]
    assert monitored(settling).label(0.0) == "frozen"
    assert monitored(settling[:9]).label(0.0) == "active"


# --- the twin ---


def twin_of(x, direction=None):
    return Twin(x, keyed_field(sample=1)[None] if direction is None else direction)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_twin_starts_at_its_distance_in_every_unit(unit):
    x = field() * unit
    twin = twin_of(x)
    assert rms(twin.state.double() - x.double()) / rms(x) == pytest.approx(TWIN_DISTANCE, rel=0.02)


def test_growth_is_measured_and_the_distance_rescaled():
    x = field()
    twin = twin_of(x)
    difference = twin.state.double() - x.double()
    for factor in (3.0, 3.0, 3.0, 3.0):
        twin.advance(x, (x.double() + factor * difference).float())
        difference = twin.state.double() - x.double()
        assert math.sqrt(float(difference.square().mean())) / rms(x) == pytest.approx(TWIN_DISTANCE, rel=0.02)
    assert twin.exponent() == pytest.approx(math.log(3.0), rel=0.01)


def test_the_twin_turns_towards_what_grows_most():
    """Differences of one channel double and those of the other halve: in the long run all is doubling."""
    x = field()
    twin = twin_of(x)
    factors = torch.tensor([2.0, 0.5], dtype=torch.float64).reshape(1, 2, 1, 1)
    for _ in range(20):
        after = x.double() + factors * (twin.state.double() - x.double())
        twin.advance(x, after.float())
        placed, grown = twin.state.double() - x.double(), after - x.double()
        cosine = float((placed * grown).sum() / (placed.norm() * grown.norm()))
        assert cosine == pytest.approx(1.0, abs=1e-3)
    assert twin.exponent() == pytest.approx(math.log(2.0), rel=0.01)


def test_the_exponent_is_the_mean_over_the_last_half():
    x = field()
    twin = twin_of(x)
    for factor in (9.0, 9.0, 9.0, 2.0, 2.0, 8.0, 2.0):
        difference = twin.state.double() - x.double()
        twin.advance(x, (x.double() + factor * difference).float())
    assert twin.exponent() == pytest.approx(np.log([2.0, 2.0, 8.0, 2.0]).mean(), abs=0.01)


def test_a_twin_that_falls_onto_its_original_starts_anew():
    """A map that forgets everything: no distance is left to measure, which is no chaos."""
    result = observe(Stub(lambda x: torch.ones_like(x) * torch.linspace(0, 1, 16)))
    assert result.lyapunov == pytest.approx(COLLAPSED)
    assert result.dynamics == "frozen"


def test_a_twin_that_is_torn_away_is_chaos():
    """Where the original is finite and its neighbour is not, growth counts as up to the state's own size."""
    original = field()
    torn = Stub(lambda x: x.clone() if torch.equal(x, original) else torch.full_like(x, torch.inf))
    result = observe(torn, initial=original[0])
    assert result.lyapunov == pytest.approx(TORN) == pytest.approx(-math.log(TWIN_DISTANCE))
    assert result.dynamics == "chaotic"


def test_a_zero_state_has_no_growth():
    result = observe(Stub(torch.zeros_like), initial=torch.zeros(2, 16, 16))
    assert result.lyapunov == COLLAPSED


def test_the_twin_s_direction_is_keyed():
    """Different samples start their twins in different directions: exponents differ, and repeat."""
    first, again, other = (
        observe(network(gain=3.0), steps=16, seed=seed, sample=sample).lyapunov
        for seed, sample in ((0, 0), (0, 0), (0, 1))
    )
    assert first == again != other


# --- measures ---


def test_contrast_and_rms():
    x = torch.zeros(1, 2, 16, 16)
    x[:, 0] = 5.0
    x[:, 1, ::2] = 2.0
    assert contrast(x) == pytest.approx(math.sqrt(0.5))
    assert rms(x) == pytest.approx(math.sqrt((25 + 2) / 2))
    assert contrast(x + 1e4) == pytest.approx(math.sqrt(0.5), rel=1e-3)
    assert rms(torch.full((1, 1, 16, 16), 1e8)) == pytest.approx(1e8)
