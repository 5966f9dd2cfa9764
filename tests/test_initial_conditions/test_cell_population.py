"""Counts, distances, types and densities of cell populations."""

import numpy as np
import pytest
import torch
from scipy.stats import poisson

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.cell_population import LEAST_DRAWN, drawn_counts, place_cells
from spinlock.initial_conditions.laws import near
from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys

ENTRY = registry["cell_population"]


def keys(count):
    return SampleKeys.of(Key(0, ENTRY.name), torch.arange(count), ENTRY.sites)


def total(fields):
    return fields.double().sum(dim=(1, 2, 3))


@pytest.mark.parametrize(("count", "radius"), [(5, 12.0), (50, 3.0), (600, 1.8)])
def test_all_cells_are_placed_two_radii_apart(count, radius):
    for row in range(4):
        places, clusters = place_cells(keys(4), row, count, radius / 128, 0.9)
        assert len(places) == len(clusters) == count
        offset = np.abs(places[:, None] - places)
        distance = np.hypot(*np.minimum(offset, 1 - offset).transpose(2, 0, 1)) + np.eye(count)
        assert distance.min() >= 2 * radius / 128


@pytest.mark.parametrize("size", [16, 50, 64])
@pytest.mark.parametrize("count", [5, 50, 200])
def test_densities_integrate_to_the_number_of_cells(size, count):
    """Channel sums are whole numbers of cells of N²/n each, n in all and one of each type at least."""
    fields = generate("cell_population", size, 3, range(4), num_cells=count, cell_radius=2.0)
    cells = fields.double().sum(dim=(2, 3)) * count / size**2
    assert torch.allclose(cells.sum(dim=1), torch.full((4,), float(count), dtype=torch.float64), rtol=1e-5)
    assert torch.allclose(cells, cells.round(), atol=1e-3)
    assert cells.min() > 0.9


def test_the_same_cells_stand_on_every_grid():
    small, large = (generate("cell_population", size, 3, range(4), kernel_width=8.0) for size in (32, 128))
    blocks = large.reshape(4, 3, 32, 4, 32, 4)[:, :, :, 0, :, 0]
    assert torch.allclose(small, blocks, atol=0.02 * float(large.max()))


def test_the_kernel_is_a_gaussian_of_the_width_asked_for():
    """The same cells with two widths: amplitudes have the ratio exp(−k²(w₂² − w₁²)/2) at every k."""
    narrow, wide = (
        torch.fft.rfft2(generate("cell_population", 128, 1, range(4), kernel_width=width).double())
        for width in (4.0, 6.0)
    )
    k = 2 * np.pi * Grid(128).cycles.double() / 128
    shown = k < 0.6
    wanted = torch.exp(-0.5 * k.square() * (36 - 16))[shown]
    assert torch.allclose((wide / narrow)[..., shown].real, wanted.expand(4, 1, -1), rtol=1e-3)


def test_types_are_those_of_clusters_or_mixed():
    """Cells of one type stand together without mixing, and anywhere with it."""

    def overlap(mixing):
        fields = generate(
            "cell_population", 64, 3, range(16), num_cells=200, cell_radius=1.0, type_mixing=mixing
        ).double()
        centred = fields - fields.mean(dim=(2, 3), keepdim=True)
        return float((centred[:, 0] * centred[:, 1]).mean() / centred.square().mean())

    assert overlap(0.0) < -0.1
    assert overlap(1.0) > 0.04


def test_counts_are_poisson_on_request():
    fields = generate("cell_population", 16, 3, range(256), num_cells=20, exact_count=False)
    counts = total(fields) * 20 / 256
    assert torch.allclose(counts, counts.round(), atol=1e-3)
    near("mean count", float(counts.mean()), 20.0, 4 * (20 / 256) ** 0.5)
    near("variance over mean", float(counts.var() / counts.mean()), 1.0, 0.35)
    exact = total(generate("cell_population", 16, 3, range(8), num_cells=20)) * 20 / 256
    assert torch.allclose(exact, torch.full_like(exact, 20.0), rtol=1e-5)


def test_poisson_counts_are_conditioned_on_what_fits():
    few = drawn_counts(keys(2000), 5, 0.0).numpy()
    assert few.min() == LEAST_DRAWN
    wanted = poisson.pmf(np.arange(3, 15), 5) / (1 - poisson.cdf(2, 5))
    found = np.bincount(few, minlength=15)[3:15] / 2000
    assert np.abs(found - wanted).max() < 4 * 0.5 / 2000**0.5
    crowded = drawn_counts(keys(2000), 14, 12.0).numpy()
    assert crowded.max() == int(0.4 / (np.pi * (12 / 128) ** 2))


@pytest.mark.parametrize(
    "options",
    [
        {"num_cells": 600},
        {"cell_radius": 12.0},
        {"num_cells_range": [10, 500], "cell_radius": 3.0},
    ],
)
def test_crowds_are_refused(options):
    with pytest.raises(OptionError, match="find room without overlap"):
        generate("cell_population", 64, **options)
