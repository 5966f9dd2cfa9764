"""Degrees of random networks, and the eigenvalues of their regulation matrices."""

import numpy as np
import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.networks import erdos_renyi, most_linked, regulation, scale_free, star
from spinlock.numerics.random import SampleKeys


def uniform(count, *shape, step=0):
    keys = SampleKeys.of(Key(0, "networks"), torch.arange(count), ("network",))
    return keys.uniform("network", *shape, step=step)


def check_simple(adjacency):
    assert torch.equal(adjacency, adjacency.transpose(1, 2))
    assert set(adjacency.unique().tolist()) <= {0.0, 1.0}
    assert not adjacency.diagonal(dim1=1, dim2=2).any()


def degree_exponent(degree, least=4):
    """Return 1 + n/Σ ln(k/(k_min − ½)), the estimator of Clauset, Shalizi & Newman 2009, eq. 3.7."""
    tail = degree[degree >= least].double()
    return 1.0 + len(tail) / float((tail / (least - 0.5)).log().sum())


def test_scale_free_networks_have_a_power_law_of_degrees():
    adjacency = scale_free(uniform(1, 2000, 2))
    check_simple(adjacency)
    degree = adjacency.sum(dim=-1)[0]
    assert float(degree.sum()) == 2 * (3 + 2 * 1997)
    assert degree.min() == 2
    assert 2.5 < degree_exponent(degree) < 3.2
    random = erdos_renyi(uniform(1, 2000, 2000), torch.tensor([4.0 / 2000]))[0].sum(dim=-1)
    assert random.max() < 20 < degree.max()
    assert not 2.5 < degree_exponent(random, least=6) < 3.2


def test_a_batch_grows_each_network_as_if_alone():
    numbers = uniform(8, 12, 2)
    together = scale_free(numbers)
    check_simple(together)
    for row in range(8):
        assert torch.equal(together[row : row + 1], scale_free(numbers[row : row + 1]))


def test_random_networks_have_the_share_of_links_asked_for():
    adjacency = erdos_renyi(uniform(64, 12, 12), torch.tensor(64 * [0.3]))
    check_simple(adjacency)
    assert float(adjacency.sum() / (64 * 12 * 11)) == pytest.approx(0.3, abs=0.03)
    assert not erdos_renyi(uniform(2, 5, 5), torch.tensor([0.0, 0.0])).any()
    assert erdos_renyi(uniform(2, 5, 5), torch.tensor([1.0, 1.0])).sum() == 2 * 20


def test_the_hub_has_all_links():
    adjacency = star(7, torch.device("cpu"))
    check_simple(adjacency)
    assert adjacency.sum(dim=-1).tolist() == [[6.0, 1, 1, 1, 1, 1, 1]]
    assert most_linked(adjacency, 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("size", [3, 12, 40])
def test_symmetric_regulation_has_eigenvalues_from_zero_to_two(size):
    for adjacency in (
        scale_free(uniform(8, size, 2)),
        erdos_renyi(uniform(8, size, size), torch.tensor(8 * [0.3])),
        star(size, torch.device("cpu")).expand(8, -1, -1),
    ):
        weights = regulation(adjacency, uniform(8, size, size, step=1), symmetric=True).double()
        assert torch.equal(weights, weights.transpose(1, 2))
        assert torch.equal(weights.diagonal(dim1=1, dim2=2), torch.ones(8, size, dtype=torch.float64))
        values = torch.linalg.eigvalsh(weights)
        assert -1e-6 <= float(values.min()) <= float(values.max()) <= 2 + 1e-6
        assert torch.equal(weights != 0, (adjacency + torch.eye(size)) != 0)


def test_without_symmetry_directions_differ():
    adjacency = scale_free(uniform(8, 12, 2))
    weights = regulation(adjacency, uniform(8, 12, 12, step=1), symmetric=False)
    assert torch.equal(weights.abs(), weights.abs().transpose(1, 2))
    opposed = (weights * weights.transpose(1, 2) < 0).sum(dim=(1, 2)).double()
    assert float(opposed.sum() / adjacency.sum()) == pytest.approx(0.5, abs=0.15)
    assert np.all(opposed.numpy() > 0)
