"""Columns of per-sample numbers, and exact sums over pixels."""

import math

import pytest
import torch

from spinlock.numerics.columns import column, rms, spread


def test_a_column_stands_against_fields():
    assert column(torch.tensor([1.0, 2.0])).shape == (2, 1, 1, 1)
    assert column(torch.tensor([3, 4]), 1).tolist() == [[3.0], [4.0]]
    assert column(torch.tensor([3, 4])).dtype == torch.float32
    assert column(0.5).shape == (1, 1, 1, 1)


def test_moments_of_a_known_wave():
    wave = 3.0 + 2.0 * torch.sin(2 * math.pi * torch.arange(64) / 16).expand(5, 64, 64)
    assert torch.allclose(spread(wave), torch.full((5,), math.sqrt(2.0), dtype=torch.float64), rtol=1e-6)
    assert torch.allclose(rms(wave), torch.full((5,), math.sqrt(11.0), dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_the_spread_does_not_suffer_from_a_large_mean(offset):
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 0.25 + offset
    assert spread(board).item() == pytest.approx(0.125, rel=1e-9)
