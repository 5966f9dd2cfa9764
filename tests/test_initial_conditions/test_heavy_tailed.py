"""Quantiles, tail exponent, clipping and smoothing of heavy_tailed, against scipy's stable law."""

import math

import pytest
import torch
from scipy.stats import levy_stable

from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.laws import interquantile_ratio, median_kurtosis, moments
from spinlock.numerics.columns import spread
from spinlock.testing.laws import draw_from, holds, power_law_noise, white_noise

DRAW = draw_from(registry["heavy_tailed"])
UNCLIPPED = {"clip": None}


def pooled(count=64, size=64, **options):
    return DRAW(count, size, 1, **options).double().flatten().sort().values


def quantile(ordered, level):
    return float(ordered[round(level * (len(ordered) - 1))])


@pytest.mark.parametrize(("alpha", "ratio"), [(1.2, 4.45), (1.5, 3.15), (1.8, 2.61), (2.0, 2.44)])
def test_quantiles_are_those_of_the_stable_law(alpha, ratio):
    ordered = pooled(alpha=alpha, variance=2.0)
    upper, lower = (quantile(ordered, q) - quantile(ordered, 1 - q) for q in (0.95, 0.75))
    assert upper / lower == pytest.approx(ratio, rel=0.03)
    for level in (0.6, 0.75, 0.95):
        assert quantile(ordered, level) == pytest.approx(float(levy_stable.ppf(level, alpha, 0)), rel=0.03)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_the_tail_falls_with_exponent_alpha(alpha):
    """Hill's estimator on the largest 0.1 % of the magnitudes, before clipping."""
    magnitude = pooled(256, alpha=alpha, **UNCLIPPED).abs().sort().values
    tail = magnitude[-len(magnitude) // 1000 :].log()
    assert 1 / float((tail[1:] - tail[0]).mean()) == pytest.approx(alpha, abs=0.15)


@pytest.mark.parametrize("alpha", [1.2, 1.5, 1.8])
def test_clipped_fields_keep_heavy_tails(alpha):
    kurtosis = moments(DRAW(32, 64, 1, alpha=alpha).flatten(2))[1]
    assert kurtosis.median() > 5.0


def test_alpha_two_is_normal():
    fields = DRAW(32, 64, 1, alpha=2.0, variance=3.0)
    assert spread(fields).square().mean().item() == pytest.approx(3.0, rel=0.05)
    skewness, kurtosis = moments(fields.flatten())
    assert abs(skewness) < 0.05
    assert abs(kurtosis) < 0.05


@pytest.mark.parametrize("control", [white_noise, power_law_noise])
def test_a_power_law_in_the_spectrum_is_no_heavy_tail(control):
    assert not holds(median_kurtosis(5.0), control())
    assert not holds(interquantile_ratio(3.15), control())


def test_clip_is_in_scales():
    scale = math.sqrt(2.0 / 2)
    assert pooled(alpha=1.2, variance=2.0).abs().max().item() == pytest.approx(20 * scale, rel=1e-6)
    assert pooled(alpha=1.2, variance=2.0, clip=3.0).abs().max().item() == pytest.approx(3 * scale, rel=1e-6)
    free = generate("heavy_tailed", 64, 1, range(16), alpha=1.2, variance=2.0, **UNCLIPPED)
    assert free.abs().max() > 100 * scale
    assert torch.equal(
        free.clamp(-20, 20), generate("heavy_tailed", 64, 1, range(16), alpha=1.2, variance=2.0)
    )


@pytest.mark.parametrize("alpha", [1.3, 1.7, 2.0])
def test_smoothing_keeps_the_law_of_a_pixel(alpha):
    """Quantiles stay, neighbours correlate; scaling by the sum of h² instead would miss by far for α < 2."""
    rough, smooth = (pooled(128, alpha=alpha, smoothing_px=width) for width in (0.0, 3.0))
    for level in (0.6, 0.75, 0.9):
        assert quantile(smooth, level) == pytest.approx(quantile(rough, level), rel=0.08)
    fields = generate("heavy_tailed", 64, 1, range(16), alpha=2.0, smoothing_px=3.0).double()
    neighbours = (fields * fields.roll(1, -1)).mean() / fields.square().mean()
    assert neighbours > 0.8


def test_smoothing_of_one_sample_leaves_the_others():
    """Widths drawn per sample give each row as if it were alone."""
    mixed, values = generate("heavy_tailed", 32, 1, range(6), return_options=True, smoothing_px_range=[0, 4])
    for index, value in enumerate(values):
        alone = generate("heavy_tailed", 32, 1, [index], smoothing_px=value["smoothing_px"])
        assert torch.equal(mixed[index], alone[0])
