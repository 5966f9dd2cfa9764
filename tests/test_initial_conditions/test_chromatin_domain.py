"""Decay, domains, compartments, loops and counting noise of contact maps."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.chromatin_domain import _domains, compartments, expected
from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys

ENTRY = registry["chromatin_domain"]
LOG_SPAN = math.log(129)


def domains(count, size=128, sizes=(10.0, 30.0), number=None):
    keys = SampleKeys.of(Key(0, ENTRY.name), torch.arange(count), ENTRY.sites)
    return _domains(Grid(size), keys, sizes, None if number is None else torch.full((count,), number))


def lengths(ends):
    return torch.diff(ends, dim=1, prepend=torch.zeros_like(ends[:, :1]))


@pytest.mark.parametrize("sizes", [(10.0, 30.0), (4.0, 48.0), (8.0, 8.0), (32.0, 48.0), (5.0, 6.0)])
def test_domains_tile_all_loci_with_sizes_in_range(sizes):
    ends, domain = domains(64, sizes=sizes)
    size = lengths(ends)
    assert (size.sum(dim=1) == 128).all()
    assert size[size > 0].min() >= sizes[0]
    assert size.max() <= sizes[1]
    for row in range(4):
        assert torch.equal(torch.bincount(domain[row], minlength=32), size[row])
        assert (torch.diff(domain[row]) >= 0).all()


@pytest.mark.parametrize("number", [4, 7, 32])
def test_a_number_of_domains_that_is_given_is_kept(number):
    size = lengths(domains(32, number=number)[0])
    assert ((size > 0).sum(dim=1) == number).all()
    assert (size.sum(dim=1) == 128).all()
    assert (size.float().std(dim=1) > 0).all()


def test_compartments_hold_a_quarter_to_three_quarters():
    """Where no toss is balanced the first domains are +; a single toss would often be one-sided."""
    size = lengths(domains(256)[0])
    heads, fair = torch.zeros(256, 16, 32), torch.ones(256, 16, 32)
    fair[:, 3, ::2] = 0.0
    for tosses in (heads, fair):
        sign = compartments(size, tosses, 128)
        share = ((sign > 0) * size).sum(dim=1) / 128
        assert 0.25 <= float(share.min()) <= float(share.max()) <= 0.75
    one_sided = ((heads[:, 0] < 0.5) * size).sum(dim=1) / 128
    assert (one_sided == 1.0).all()


def test_maps_are_symmetric():
    for options in ({}, {"depth": 20.0}, {"compartment_type": "TAD"}, {"compartment_type": "AB"}):
        fields = generate("chromatin_domain", 64, 3, range(4), **options)
        assert float((fields - fields.transpose(-1, -2)).abs().max()) < 1e-6


def test_loci_of_one_domain_meet_more_often():
    """Mean log contacts within domains are more than 1 above those between, at equal distance.

    Observed over expected differs by less: the expected contacts at short distances are those of pairs within
    domains, which most of the pairs that close are.
    """
    fields = generate("chromatin_domain", 128, 3, range(32)).double()
    plain = generate("chromatin_domain", 128, 3, range(32), tad_strength=0.0, ab_strength=0.0).double()
    domain = domains(32)[1]
    same = domain[:, :, None] == domain[:, None, :]
    different = ~same
    gap = [float(part[:, 1][same].mean() - part[:, 1][different].mean()) for part in (fields, plain)]
    assert abs(gap[1]) < 1e-6
    at_equal_distance = (fields[:, 0] - plain[:, 0]) * LOG_SPAN
    assert float(at_equal_distance[same].mean() - at_equal_distance[different].mean()) > 1.0
    assert gap[0] > 0.3


@pytest.mark.parametrize("strength", [0.3, 0.9])
def test_strengths_add_to_the_logarithm(strength):
    base, tad, ab = (
        generate("chromatin_domain", 64, 3, range(4), tad_strength=t, ab_strength=a, boundary_sharpness=0.0)
        for t, a in ((0.0, 0.0), (strength, 0.0), (0.0, strength))
    )
    added = ((ab - base)[:, 0] * LOG_SPAN).double()
    assert torch.allclose(added, strength * base[:, 2].double(), atol=1e-5)
    domain = domains(4, 64)[1]
    inside = ((tad - base)[:, 0] * LOG_SPAN)[domain[:, :, None] == domain[:, None, :]]
    assert float(inside.min()) > strength - 1e-5
    assert float(inside.max()) > 1.5 * strength  # the loops


def test_the_mean_at_each_distance_is_expected():
    contacts = torch.arange(16.0, dtype=torch.float64).reshape(1, 4, 4)
    diagonal = torch.tensor([7.5, 7.5, 7.5, 7.5], dtype=torch.float64)
    loci = torch.arange(4)
    wanted = diagonal[(loci[:, None] - loci).abs()]
    assert torch.equal(expected(contacts)[0], wanted)
    contacts[0, 0, 3] = 23.0
    assert float(expected(contacts)[0, 3, 0]) == (23.0 + 12.0) / 2
    fields = generate("chromatin_domain", 64, 2, range(4)).double()
    observed = torch.exp(fields[:, 0] * LOG_SPAN)
    assert torch.allclose(torch.log(observed / expected(observed)), fields[:, 1], atol=1e-5)


def test_depth_gives_poisson_counts():
    clean, counted = (
        generate("chromatin_domain", 64, 1, range(16), depth=depth).double() for depth in (None, 200.0)
    )
    mean, counts = (200.0 * torch.exp(part * LOG_SPAN) for part in (clean, counted))
    upper = torch.ones(64, 64).triu().bool().expand_as(mean)
    shown = upper & (mean > 30.0)
    assert torch.allclose(counts[shown], counts[shown].round(), atol=1e-2)
    score = (counts - mean)[shown] / mean[shown].sqrt()
    assert abs(float(score.mean())) < 4 / shown.sum() ** 0.5
    assert float(score.square().mean()) == pytest.approx(1.0, abs=0.05)


def test_boundaries_soften_the_planted_pattern_only():
    sharp, soft = (generate("chromatin_domain", 64, 3, range(4), boundary_sharpness=w) for w in (0.0, 4.0))
    assert torch.equal(sharp[:, :2], soft[:, :2])
    assert set(sharp[:, 2].unique().tolist()) == {-1.0, 1.0}
    steps = [part[:, 2].diff(dim=1).abs().max() for part in (sharp, soft)]
    assert steps[1] < 0.6 * steps[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain_size_range": [10, 10]}, "no number of such domains"),
        ({"domain_size_range": [44, 48]}, "no number of such domains"),
        ({"num_domains": 3}, "more than half"),
        ({"compartment_type": "AB", "tad_strength": 1.0}, "no effect"),
        ({"compartment_type": "TAD", "ab_strength": 1.0}, "no effect"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("chromatin_domain", 64, **options)
