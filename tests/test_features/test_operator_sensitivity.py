"""Operators whose answers are known: linear, power law, normalizing, quadratic, rectifying."""

import math

import pytest
import torch

from spinlock.features.catalogue import features_of
from spinlock.features.probe_view import ProbeView, companion, probe_directions
from spinlock.keys import Key, Purpose
from spinlock.numerics.random import normals_from_words, random_words

NAMES = [entry.name for entry in features_of("operator")]


def gaussian(*shape: int, dtype: torch.dtype = torch.float64, key: int = 1) -> torch.Tensor:
    count = math.prod(shape)
    words = random_words(Key(key, "test"), Purpose.CHOICE, count, samples=0)
    return normals_from_words(words, count).reshape(shape).to(dtype)


def measured(operator, x: torch.Tensor, **options) -> dict[str, float]:
    view = ProbeView(operator, x, **options)
    return {entry.name: float(entry(view)) for entry in features_of("operator")}


def power(exponent: float):
    return lambda x: x.sign() * x.abs() ** exponent


def normalizing(x: torch.Tensor) -> torch.Tensor:
    rms = x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return torch.where(rms > 0, x / rms, 0.0)


def test_the_names_are_those_of_the_table():
    assert NAMES == [
        "lipschitz_eps_1e-04",
        "lipschitz_eps_1e-03",
        "lipschitz_eps_1e-02",
        "gain_scale_0.50",
        "gain_scale_0.75",
        "gain_scale_1.25",
        "gain_scale_1.50",
        "linearity_r2",
        "saturation_degree",
        "compression_ratio",
    ]
    assert [entry.index for entry in features_of("operator")] == list(range(59, 69))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_linear_operator(dtype, tolerance, channels):
    found = measured(lambda x: 2.0 * x + 1.0, gaussian(channels, 16, 24, dtype=dtype))
    expected = [2.0, 2.0, 2.0, 0.5, 0.75, 1.25, 1.5, 1.0, 0.0, 1.0]
    assert list(found.values()) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("exponent", [0.5, 2.0, 3.0])
def test_a_power_law(exponent):
    found = measured(power(exponent), gaussian(2, 16, 16))
    for name, scale in zip(NAMES[3:7], (0.5, 0.75, 1.25, 1.5), strict=True):
        assert found[name] == pytest.approx(scale**exponent, rel=1e-6)
    assert found["saturation_degree"] == pytest.approx(1.5 - 1.5**exponent, rel=1e-6)
    assert found["compression_ratio"] == pytest.approx(3.0 ** (1.0 - exponent), rel=1e-6)
    assert found["linearity_r2"] < 1.0


def test_an_operator_that_normalizes():
    x = gaussian(3, 32, 32)
    found = measured(normalizing, x / x.square().mean().sqrt())
    assert list(found.values())[:3] == pytest.approx([1.0] * 3, abs=0.01)
    assert list(found.values())[3:7] == pytest.approx([1.0] * 4, rel=1e-6)
    assert found["saturation_degree"] == pytest.approx(0.5, rel=1e-6)
    assert found["compression_ratio"] == pytest.approx(3.0, rel=1e-6)
    assert found["linearity_r2"] < 1.0


def test_the_square_of_sine_plus_cosine():
    """With one channel w is x a quarter of the width on: sin → ∓cos for an odd number of waves."""
    theta = 2.0 * math.pi * 3.0 * torch.arange(32, dtype=torch.float64) / 32.0
    x = torch.sin(theta).expand(16, -1)[None]
    assert torch.allclose(companion(x).square(), torch.cos(theta).square().expand(16, -1)[None])
    assert measured(torch.square, x)["linearity_r2"] == pytest.approx(2.0 / 3.0, rel=1e-9)


def test_rectification_is_less_linear_than_a_line_through_its_gains_says():
    """The sum misses min(|x|, |w|) where signs differ: 1 − ½·E min² = 1 − ½·(1 − 2/π)."""
    found = measured(torch.relu, gaussian(3, 128, 128))
    assert found["linearity_r2"] == pytest.approx(0.5 + 1.0 / math.pi, abs=0.01)
    assert [found[name] for name in NAMES[3:7]] == pytest.approx([0.5, 0.75, 1.25, 1.5], rel=1e-9)


def test_random_directions_see_the_root_mean_square_of_the_jacobian():
    """An operator that amplifies the mean alone 21 times has a Lipschitz constant of 21, and reads 1."""
    found = measured(lambda x: x + 20.0 * x.mean(dim=(1, 2, 3), keepdim=True), gaussian(1, 64, 64))
    assert found["lipschitz_eps_1e-02"] == pytest.approx(1.0, abs=0.1)


def test_noise_that_is_not_frozen_would_show():
    """The same noise for every probe leaves 2; noise of its own for each does not."""
    x, noise = gaussian(2, 16, 16), 0.1 * gaussian(2, 16, 16, key=2)
    frozen = measured(lambda states: 2.0 * states + noise, x)
    assert [frozen[name] for name in NAMES[:3]] == pytest.approx([2.0] * 3, rel=1e-9)
    fresh = measured(lambda states: 2.0 * states + 0.1 * gaussian(*states.shape, key=3), x)
    assert fresh["lipschitz_eps_1e-04"] > 1000.0


def test_directions_depend_on_seed_and_index_alone():
    x = gaussian(2, 16, 16)
    first = probe_directions(5, 7, (2, 16, 16), x)
    assert first.shape == (4, 2, 16, 16)
    assert torch.equal(first, probe_directions(5, 7, (2, 16, 16), 2 * x))
    for seed, index in ((5, 8), (6, 7)):
        assert not torch.equal(first, probe_directions(seed, index, (2, 16, 16), x))
    flat = first.flatten(1)
    assert (torch.corrcoef(flat) - torch.eye(4)).abs().max() < 0.2
    assert (
        measured(power(2.0), x, seed=1)["lipschitz_eps_1e-02"]
        != measured(power(2.0), x, seed=2)["lipschitz_eps_1e-02"]
    )


def undefined(operator, x: torch.Tensor) -> set[str]:
    return {name for name, value in measured(operator, x).items() if math.isnan(value)}


def test_features_without_a_value_are_nan_alone():
    x = gaussian(2, 16, 16)
    assert undefined(lambda states: 2.0 * states, x) == set()
    assert undefined(lambda states: 2.0 * states, torch.zeros_like(x)) == set(NAMES)
    gains = set(NAMES[3:7]) | {"saturation_degree", "compression_ratio"}
    constant = undefined(lambda states: torch.ones_like(states), x)
    assert constant == gains | {"linearity_r2"}


def test_a_probe_that_explodes_spoils_its_own_features_alone():
    x = gaussian(2, 16, 16)
    limit = 1.3 * float(x.abs().max())

    def exploding(states):
        return torch.where(states.abs().amax(dim=(1, 2, 3), keepdim=True) > limit, torch.inf, states)

    lost = undefined(exploding, x)
    assert {"gain_scale_1.50", "saturation_degree", "compression_ratio"} <= lost
    assert lost <= {"gain_scale_1.50", "saturation_degree", "compression_ratio", "linearity_r2"}


def test_the_operator_is_applied_once_to_twenty_states():
    calls = []

    def counting(states):
        calls.append(len(states))
        return states

    measured(counting, gaussian(2, 16, 16))
    assert calls == [20]


def test_single_precision_is_not_lost_in_rounding():
    """δ is what x + δ − x is after rounding, so that the smallest perturbation reads as well as others."""
    found = measured(lambda x: 2.0 * x, gaussian(3, 32, 32, dtype=torch.float32))
    assert found["lipschitz_eps_1e-04"] == pytest.approx(2.0, rel=1e-6)
