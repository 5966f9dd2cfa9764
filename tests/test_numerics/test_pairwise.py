"""Row sums: right to float64 rounding, and the same bits whatever rows stand beside."""

import math

import pytest
import torch

from spinlock.numerics.pairwise import pairwise_sum, row_mean_square


def drawn(rows, count, seed=0):
    return torch.randn(rows, count, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 255, 1000])
def test_the_sum_is_exact_to_the_last_bits(count):
    rows = drawn(3, count)
    for row, total in zip(rows, pairwise_sum(rows), strict=True):
        exact = math.fsum(row.double().tolist())
        assert abs(float(total) - exact) <= 1e-14 * float(row.double().abs().sum())


def test_every_element_counts_once():
    for count in range(1, 20):
        powers = 2.0 ** torch.arange(count, dtype=torch.float64)
        assert pairwise_sum(powers[None]).tolist() == [2.0**count - 1]
    assert pairwise_sum(torch.zeros(2, 0)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("count", [5, 768, 1001])
def test_the_bits_of_a_row_depend_on_that_row_alone(count):
    rows = drawn(33, count)
    together = pairwise_sum(rows)
    assert torch.equal(together, torch.cat([pairwise_sum(row[None]) for row in rows]))
    order = torch.randperm(33, generator=torch.Generator().manual_seed(1))
    assert torch.equal(pairwise_sum(rows[order]), together[order])


def test_mean_square_of_fields():
    fields = torch.stack([torch.full((2, 3, 3), 2.0), torch.zeros(2, 3, 3)])
    assert row_mean_square(fields).tolist() == [4.0, 0.0]
