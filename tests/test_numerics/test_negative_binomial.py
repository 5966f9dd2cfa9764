"""Negative binomial counts against scipy's quantiles, and their moments."""

import numpy as np
import pytest
import torch
from scipy.stats import nbinom, poisson

from spinlock.keys import Key
from spinlock.numerics.negative_binomial import negative_binomial_quantile
from spinlock.numerics.random import SampleKeys


def uniform(*shape):
    return SampleKeys.of(Key(0, "counts"), torch.arange(1), ("count",)).uniform("count", *shape)[0]


@pytest.mark.parametrize(
    ("mean", "dispersion"), [(0.01, 0.3), (0.5, 1.0), (5.0, 2.0), (5.0, 50.0), (100.0, 0.3), (3000.0, 50.0)]
)
def test_counts_are_the_exact_quantiles(mean, dispersion):
    level = torch.cat([uniform(300), torch.tensor([2.0**-24, 0.5, 1.0 - 2.0**-24])])
    shape = level.shape
    counts = negative_binomial_quantile(
        level, torch.full(shape, mean).double(), torch.full(shape, dispersion).double()
    )
    below = nbinom.cdf(counts.numpy() - 1, dispersion, dispersion / (dispersion + mean))
    upto = nbinom.cdf(counts.numpy(), dispersion, dispersion / (dispersion + mean))
    exact = level.double().numpy()
    assert (below < exact + 1e-12).all()
    assert (upto > exact - 1e-12).all()


def test_means_and_dispersions_may_differ_from_pixel_to_pixel():
    level = uniform(2, 20, 20)
    mean = (10.0 * uniform(2, 40, 20)[:, 20:]).double()
    dispersion = (0.5 + 5.0 * uniform(2, 60, 20)[:, 40:]).double()
    together = negative_binomial_quantile(level, mean, dispersion)
    alone = [
        float(
            negative_binomial_quantile(level[0, 0, i, None], mean[0, 0, i, None], dispersion[0, 0, i, None])
        )
        for i in range(20)
    ]
    assert together[0, 0].tolist() == alone
    assert together.shape == (2, 20, 20)


def test_variance_exceeds_the_mean_by_its_square_over_the_dispersion():
    counts = negative_binomial_quantile(
        uniform(400, 400), torch.full((400, 400), 5.0).double(), torch.full((400, 400), 2.0).double()
    )
    assert counts.mean() == pytest.approx(5.0, rel=0.01)
    assert (counts.var() / counts.mean()) == pytest.approx(3.5, rel=0.02)


def test_little_dispersion_is_the_poisson_law():
    level = uniform(200)
    counts = negative_binomial_quantile(
        level, torch.full((200,), 4.0).double(), torch.full((200,), 1e9).double()
    )
    assert np.array_equal(counts.numpy(), poisson.ppf(level.double().numpy(), 4.0))
