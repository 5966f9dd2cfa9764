"""Entropy of p ~ exp(−β·i), its inverse, and symbols drawn from it."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.boltzmann import (
    boltzmann_symbols,
    entropy,
    inverse_temperature,
    log_partition,
    surprisal,
)
from spinlock.numerics.random import SampleKeys

BETAS = torch.tensor([1e-6, 0.01, 0.3, 1.0, 4.0, 20.0], dtype=torch.float64)


def distribution(beta, levels):
    weights = torch.exp(-beta * torch.arange(levels, dtype=torch.float64))
    return weights / weights.sum()


@pytest.mark.parametrize("levels", [2, 3, 8, 32])
def test_entropy_and_partition_are_the_sums_they_stand_for(levels):
    for beta in BETAS:
        p = distribution(beta, levels)
        total = torch.exp(-beta * torch.arange(levels, dtype=torch.float64)).sum()
        assert log_partition(beta, levels).item() == pytest.approx(math.log(total), abs=1e-9)
        expected = -float(torch.special.xlogy(p, p).sum()) / math.log(2.0)
        assert entropy(beta, levels).item() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("levels", [2, 8, 32])
def test_the_inverse_gives_the_entropy_back(levels):
    target = torch.linspace(0.0, math.log2(levels), 1001, dtype=torch.float64)
    beta = inverse_temperature(target, levels)
    assert (entropy(beta, levels) - target).abs().max() < 1e-4
    assert (beta.diff() <= 0).all()


def test_symbols_have_their_probabilities_and_surprisals():
    keys = SampleKeys.of(Key(0, "boltzmann"), torch.arange(1), ("u",))
    uniform = keys.uniform("u", 200_000)[0].double()
    for levels, beta in ((2, 0.5), (5, 1e-6), (8, 0.7), (32, 3.0)):
        betas = torch.full_like(uniform, beta)
        symbols = boltzmann_symbols(uniform, betas, levels)
        p = distribution(torch.tensor(beta, dtype=torch.float64), levels)
        shares = torch.bincount(symbols, minlength=levels) / len(symbols)
        assert len(shares) == levels
        assert ((shares - p).abs() <= 4.5 * (p * (1 - p) / len(symbols)).sqrt() + 1e-12).all()
        assert torch.allclose(surprisal(symbols, betas, levels), -p.log2()[symbols], atol=1e-8)


def test_no_entropy_is_one_symbol():
    uniform = torch.linspace(2**-24, 1 - 2**-24, 999, dtype=torch.float64)
    beta = inverse_temperature(torch.zeros_like(uniform), 8)
    symbols = boltzmann_symbols(uniform, beta, 8)
    assert not symbols.any()
    assert surprisal(symbols, beta, 8).abs().max() < 1e-12
