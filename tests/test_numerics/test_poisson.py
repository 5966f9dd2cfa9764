"""Counts of poisson_quantile against scipy's quantiles, and their mean and variance."""

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from spinlock.keys import Key
from spinlock.numerics.poisson import CLOSE, SUMMED_MEAN, TERMS, expansion, poisson_quantile
from spinlock.numerics.random import SampleKeys

MEANS = [0.0, 1e-6, 0.3, 4.0, 31.99, 32.0, 32.01, 60.5, 1000.0, 12345.6]
EXTREMES = torch.tensor([0.5, 1.5, 2.0**22, 2.0**23 - 1.5, 2.0**23 - 0.5], dtype=torch.float64) * 2.0**-23


def uniforms(count, site="u"):
    keys = SampleKeys.of(Key(3, "poisson"), torch.arange(1), (site,))
    return torch.cat((keys.uniform(site, count)[0].double(), EXTREMES))


@pytest.mark.parametrize("mean", MEANS)
def test_counts_are_the_exact_quantiles(mean):
    level = uniforms(20_000)
    counts = poisson_quantile(level, torch.full_like(level, mean))
    assert np.array_equal(counts.numpy(), np.maximum(poisson.ppf(level.numpy(), mean), 0.0))


def test_means_of_every_size_in_one_call():
    level = uniforms(5_000)
    mean = torch.logspace(-3, 6, len(level), dtype=torch.float64)
    counts = poisson_quantile(level, mean)
    assert np.array_equal(counts.numpy(), poisson.ppf(level.numpy(), mean.numpy()))


@pytest.mark.parametrize("mean", [0.7, 20.0, 500.0])
def test_mean_and_variance(mean):
    level = uniforms(100_000)[:-5]
    counts = poisson_quantile(level, torch.full_like(level, mean))
    assert counts.mean().item() == pytest.approx(mean, rel=0.01)
    assert counts.var().item() == pytest.approx(mean, rel=0.03)


def test_the_expansion_is_never_off_by_what_is_called_close():
    """Where P(X ≤ k) = u exactly the expansion must give k + 1, up to less than half of CLOSE."""
    for mean in (SUMMED_MEAN, 50.0, 300.0):
        k = torch.arange(int(mean + 6 * mean**0.5), dtype=torch.float64)
        level = torch.special.gammaincc(k + 1.0, torch.full_like(k, mean))
        seen = (level > EXTREMES[0]) & (level < EXTREMES[-1])
        error = expansion(level, torch.full_like(k, mean)) - (k + 1.0)
        assert error[seen].abs().max() < 0.6 * CLOSE


def test_the_terms_reach_beyond_every_uniform():
    assert poisson.sf(TERMS, SUMMED_MEAN) < 2.0**-24
