"""Fringes, coherence and speckle of interference_pattern."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.interference_laws import local_wave_number, speckle_contrast
from spinlock.initial_conditions.wave_laws import squared_modulus
from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.testing.laws import draw_from, holds, power_law_noise, white_noise

ENTRY = registry["interference_pattern"]
DRAW = draw_from(ENTRY)
COHERENT = {"coherence_length": None}


def paths(index, size=128):
    """Return the ways from the first two sources of a sample to each pixel, px [2, N, N]."""
    keys = SampleKeys.of(Key(0, ENTRY.name), torch.tensor([index]), ENTRY.sites)
    places = (size - 1) * keys.uniform("sources", 12, 2).double()[0, :2]
    axis = torch.arange(size, dtype=torch.float64)
    return torch.hypot(axis[:, None] - places[:, 0, None, None], axis - places[:, 1, None, None])


def intensity(index, **options):
    return generate("interference_pattern", 128, 3, [index], **options)[0, 2].double()


@pytest.mark.parametrize("index", range(3))
def test_orders_of_two_sources_are_whole(index):
    """At a maximum across the fringes, once the height 1/r of the sources is divided out, Δ/λ is whole."""
    ways = paths(index)
    order = (ways[0] - ways[1]) / 16.0
    field = intensity(index, **COHERENT) / (1 / ways[0] + 1 / ways[1])
    found = []
    for lines, orders, near in ((field, order, ways), (field.T, order.T, ways.transpose(1, 2))):
        tops = (lines[:, 1:-1] > lines[:, :-2]) & (lines[:, 1:-1] > lines[:, 2:])
        clear = (near[:, :, 1:-1] > 16.0).all(dim=0)
        steep = (orders[:, 2:] - orders[:, :-2]).abs() > 0.04
        found.append(orders[:, 1:-1][tops & clear & steep])
    orders = torch.cat(found)
    assert len(orders) > 100
    assert (orders - orders.round()).abs().quantile(0.98) < 0.1
    assert len(orders.round().unique()) >= 3


@pytest.mark.parametrize("coherence", [20.0, 60.0])
def test_visibility_falls_with_the_path_difference(coherence):
    """Where |Δ| is one value, I/(I₁ + I₂) ~ 1 + V·cos kΔ with V = g(Δ)·2√(I₁I₂)/(I₁ + I₂)."""
    seen = 0
    for index in range(4):
        ways = (paths(index).square() + 16.0).sqrt()
        path = ways[0] - ways[1]
        both, pair = 1 / ways[0] + 1 / ways[1], 2 / (ways[0] * ways[1]).sqrt()
        field = intensity(index, coherence_length=coherence) / both
        fringe = pair / both * torch.cos(2 * math.pi / 16 * path)
        for distance in (4.0, 20.0, 36.0, 52.0):
            ring = (path.abs() - distance).abs() < 2.0
            if ring.sum() < 300 or fringe[ring].std() < 0.05:
                continue
            design = torch.stack((torch.ones_like(fringe[ring]), fringe[ring]), dim=1)
            level, height = torch.linalg.lstsq(design, field[ring][:, None]).solution[:, 0]
            assert float(height / level) == pytest.approx(
                math.exp(-(distance**2) / (2 * coherence**2)), rel=0.15, abs=0.02
            )
            seen += 1
    assert seen >= 6


def test_coherence_depends_on_path_difference_alone():
    """The ratio of the interference terms is g(Δ) at every pixel where the coherent term is not small."""
    length = 40.0
    for index in range(3):
        ways = (paths(index).square() + 16.0).sqrt()
        path = ways[0] - ways[1]
        alone = 1 / ways[0] + 1 / ways[1]
        cross = 2 / (ways[0] * ways[1]).sqrt() * torch.cos(2 * math.pi / 16 * path)
        expected = alone + cross * torch.exp(-path.square() / (2 * length**2))
        measured = intensity(index, coherence_length=length)
        assert torch.allclose(measured, expected / expected.mean(), rtol=1e-4, atol=1e-5)


def test_waves_without_interference_are_found():
    def incoherent(count, **_):
        fields = DRAW(count, **COHERENT)
        fields[:, 2] = DRAW(count, coherence_length=10.0)[:, 2]
        return fields

    assert holds(squared_modulus(1e-4), lambda count, **_: DRAW(count, **COHERENT))
    assert not holds(squared_modulus(1e-4), incoherent)


@pytest.mark.parametrize("number", [2, 5, 12])
def test_intensity_is_a_density(number):
    fields = DRAW(8, 64, 3, num_sources=number, coherence_length=10.0)[:, 2].double()
    assert fields.min() >= 0
    assert fields.mean(dim=(1, 2)).tolist() == pytest.approx([1.0] * 8, abs=1e-4)


def test_one_source_makes_rings():
    """|E|² falls as 1/√(r² + λ²/16) from the source, the same in all directions."""
    ways = paths(0)[0]
    expected = 1 / (ways.square() + 16.0).sqrt()
    assert torch.allclose(intensity(0, num_sources=1), expected / expected.mean(), rtol=1e-4)


def test_sources_are_added_to_those_there():
    """E of three sources less E of two is the wave of the third: its modulus has no fringes."""
    fields = [
        generate("interference_pattern", 128, 3, [4], num_sources=n, **COHERENT)[0].double() for n in (2, 3)
    ]
    waves = [torch.complex(f[0], f[1]) for f in fields]
    keys = SampleKeys.of(Key(0, ENTRY.name), torch.tensor([4]), ENTRY.sites)
    third = 127 * keys.uniform("sources", 12, 2).double()[0, 2]
    axis = torch.arange(128, dtype=torch.float64)
    way = (((axis[:, None] - third[0]) ** 2 + (axis - third[1]) ** 2) + 16.0).sqrt()
    design = torch.stack((waves[1].flatten(), waves[0].flatten()), dim=1)
    turned = torch.polar(way.rsqrt(), 2 * math.pi / 16 * way).flatten()
    fit = torch.linalg.lstsq(design, turned[:, None])
    assert float((design @ fit.solution - turned[:, None]).abs().max() / turned.abs().max()) < 1e-3


@pytest.mark.parametrize("spacing", [8.0, 32.0])
def test_a_row_of_sources_is_a_grating(spacing):
    """The sources stand ``spacing`` apart on one line: the bright spots of hardly coherent waves."""
    options = {"num_sources": 3, "source_spacing": spacing, "wavelength": 6.0, "coherence_length": 10.0}
    for index in range(3):
        keys = SampleKeys.of(Key(0, ENTRY.name), torch.tensor([index]), ENTRY.sites)
        turn, *middle = keys.uniform("row", 3).double()[0]
        centre = 127 * (0.35 + 0.3 * torch.stack(middle))
        step = spacing * torch.stack((torch.sin(2 * math.pi * turn), torch.cos(2 * math.pi * turn)))
        field = intensity(index, **options)
        near = [(centre + n * step).round().long() for n in (-1, 0, 1)]
        typical = field.median()
        assert all(field[int(p[0]), int(p[1])] > 2.5 * typical for p in near)


@pytest.mark.parametrize("wavelength", [8.0, 16.0])
def test_speckle(wavelength):
    """Contrast 1, exponential intensity and isotropic waves of the wavelength."""
    fields = DRAW(16, 128, 3, num_sources=0, wavelength=wavelength).double()
    contrast = fields[:, 2].std(dim=(1, 2)) / fields[:, 2].mean(dim=(1, 2))
    assert contrast.mean().item() == pytest.approx(1.0, abs=0.08)
    assert (fields[:, 2] > 2.0).double().mean().item() == pytest.approx(math.exp(-2.0), abs=0.015)
    assert fields[:, :2].mean().abs() < 0.1


def test_other_contrasts_and_wavelengths_are_found():
    """Two speckles whose intensities add have contrast 1/√2."""

    def added(count, **options):
        return 0.5 * (DRAW(count, **options) + draw_from(ENTRY, seed=1)(count, **options))

    assert holds(speckle_contrast(), DRAW)
    assert not holds(speckle_contrast(), added)
    assert not holds(speckle_contrast(), white_noise())
    law = local_wave_number(32.0, num_sources=0)
    assert not holds(
        law, lambda count, wavelength, **options: DRAW(count, wavelength=0.8 * wavelength, **options)
    )
    assert not holds(law, power_law_noise())


@pytest.mark.parametrize("option", [{"coherence_length": 50.0}, {"source_spacing": 10.0}])
@pytest.mark.parametrize("number", [0, 1])
def test_options_of_several_sources_are_refused_without_them(option, number):
    with pytest.raises(OptionError, match="acts only where num_sources is 2 or"):
        generate("interference_pattern", 32, num_sources=number, **option)


def test_samples_with_and_without_sources_in_one_call():
    fields, values = generate(
        "interference_pattern", 32, 3, range(12), return_options=True, num_sources_range=[0, 2]
    )
    drawn = {value["num_sources"] for value in values}
    assert drawn == {0, 1, 2}
    assert {"coherence_length" in value for value in values if value["num_sources"] < 2} == {False}
    for number in drawn:
        index = next(i for i, value in enumerate(values) if value["num_sources"] == number)
        assert torch.equal(
            fields[index], generate("interference_pattern", 32, 3, [index], num_sources=number)[0]
        )
    together = DRAW(12, 32, 3, num_sources_range=[0, 2])
    assert torch.allclose(together, fields, atol=1e-5)
