"""Counts, patterns and correlations of gene expression."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.gene_expression import PATTERNS, counts_of, fano_law, latent, moran
from spinlock.keys import Key
from spinlock.numerics.columns import spread
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import radial_spectrum
from spinlock.testing.laws import draw_from, holds, white_noise

ENTRY = registry["gene_expression"]
DRAW = draw_from(ENTRY)


def latents(pattern, count, size=64, wavelength=16.0, share=0.0):
    keys = SampleKeys.of(Key(0, ENTRY.name), torch.arange(count), ENTRY.sites)
    kinds = torch.full((count, 3), PATTERNS.index(pattern))
    return latent(Grid(size), keys, kinds, wavelength, share)


def pair_correlation(fields):
    rows = fields.double().flatten(2)
    rows = rows - rows.mean(dim=2, keepdim=True)
    rows = rows / rows.norm(dim=2, keepdim=True)
    return (rows @ rows.transpose(1, 2))[:, *torch.triu_indices(3, 3, 1)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_genes_correlate_by_the_share_of_the_common_field(share):
    fields = latents("grf", 64, 128, share=share)
    assert float(pair_correlation(fields).mean()) == pytest.approx(share, abs=0.03)
    assert float(spread(fields).square().mean()) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("pattern", ["gradient", "spots", "stripes", "radial"])
def test_patterns_have_mean_zero_and_variance_one_and_differ(pattern):
    fields = latents(pattern, 16)
    assert float(fields.double().mean(dim=(2, 3)).abs().max()) < 1e-6
    assert torch.allclose(spread(fields), torch.ones(16, 3, dtype=torch.float64), atol=1e-6)
    assert float(pair_correlation(fields).abs().max()) < 1 - 1e-6
    assert not latents("uniform", 2).any()


def test_spots_are_rounder_and_brighter_than_stripes():
    """Spots rise more than they fall; stripes are symmetric and constant along one direction."""
    spots, stripes = (latents(name, 16, 128).double().flatten(2) for name in ("spots", "stripes"))
    assert (spots.pow(3).mean(dim=2) > 0.5).all()
    assert stripes.pow(3).mean(dim=2).abs().max() < 0.1


@pytest.mark.parametrize("wavelength", [8.0, 16.0, 32.0])
@pytest.mark.parametrize("pattern", ["stripes", "spots"])
def test_waves_have_the_wavelength_asked_for(pattern, wavelength):
    options = {
        "pattern_wavelength": wavelength,
        "correlation_strength": 0.0,
        "expression_patterns": [pattern],
    }
    spectrum = radial_spectrum(generate("gene_expression", 128, 3, range(8), mean_count=50.0, **options))
    peak = 1 + spectrum[..., 1:].argmax(dim=-1)
    assert ((peak - 128 / wavelength).abs() <= 1).all()


def test_gaussian_patterns_have_most_power_at_the_wavelength():
    spectrum = radial_spectrum(latents("grf", 64, 128, wavelength=16.0)).mean(dim=(0, 1))
    ring = torch.arange(len(spectrum))
    assert abs(int((ring * spectrum).argmax()) - 8) <= 2


@pytest.mark.parametrize(("mean", "dispersion"), [(5.0, 2.0), (2.0, 0.5), (20.0, 10.0)])
def test_unpatterned_counts_are_overdispersed(mean, dispersion):
    fano_law(mean, dispersion)(DRAW)
    assert not holds(
        fano_law(mean, 4 * dispersion), lambda *a, **o: DRAW(*a, **{**o, "dispersion": dispersion})
    )


def test_counts_are_whole_numbers():
    fields = generate("gene_expression", 64, 3, range(4))
    exact = torch.expm1(fields.double() * math.log1p(100.0))
    assert torch.allclose(exact, counts_of(fields, 5.0), atol=1e-3)
    assert exact.min() >= 0


def test_the_mean_follows_the_pattern():
    """E x = m·exp(s·P): over pixels where the latent field is near a value, counts average to it."""
    pattern = latents("stripes", 8).double()
    options = {"expression_patterns": ["stripes"], "correlation_strength": 0.0}
    counts = counts_of(generate("gene_expression", 64, 3, range(8), **options), 5.0)
    for low, high in ((-1.4, -1.0), (-0.2, 0.2), (1.0, 1.4)):
        inside = (pattern > low) & (pattern < high)
        wanted = 5.0 * torch.exp(0.8 * pattern[inside])
        error = float(((wanted + wanted.square() / 2.0).mean() / inside.sum()).sqrt())
        assert float(counts[inside].mean()) == pytest.approx(float(wanted.mean()), abs=4 * error)


def test_the_range_is_an_affine_map():
    unit, shifted = (
        generate("gene_expression", 64, 3, range(4), expression_range=ends) for ends in ([0, 1], [-2, 3])
    )
    assert torch.allclose(shifted, 5.0 * unit - 2.0, atol=1e-5)


def test_patterns_are_taken_in_turn_or_at_random():
    both = generate("gene_expression", 64, 3, [0], expression_patterns=["stripes", "uniform"], signal=2.0)[0]
    only = generate("gene_expression", 64, 3, [0], expression_patterns=["stripes"], signal=2.0)[0]
    assert torch.equal(both[0], only[0])
    assert torch.equal(both[2], only[2])
    assert not torch.equal(both[1], only[1])
    scores = moran(generate("gene_expression", 64, 3, range(32), correlation_strength=0.0))
    assert (scores < 0.05).any()
    assert (scores > 0.3).any()
    assert moran(white_noise()(16)).abs().mean() < 0.02


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (16, {"pattern_wavelength": 12.0}, "take 16 or more"),
        (64, {"expression_range": [1.0, 1.0]}, "is empty"),
        (64, {"expression_patterns": ["stripe"]}, "stripes"),
    ],
)
def test_what_cannot_be_is_refused(size, options, message):
    with pytest.raises(OptionError, match=message):
        generate("gene_expression", size, **options)
