"""Discs, stripes and blobs of structured: what their values and spectra can be."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.testing.laws import draw_from, white_noise

DRAW = draw_from(registry["structured"])


def bins_needed(fields, share=0.99):
    """Return for each field how many bins of the full spectrum hold a share of its variance."""
    energy = torch.fft.fft2(fields.double()).abs().square().flatten(2)
    energy[..., 0] = 0
    held = energy.sort(dim=-1, descending=True).values.cumsum(-1) / energy.sum(dim=-1, keepdim=True)
    return (held < share).sum(dim=-1) + 1


@pytest.mark.parametrize("number", [1, 3, 4, 9])
def test_discs_have_few_values(number):
    """n discs in a channel give 2^n sums at most; channel c holds every third disc from the c-th on."""
    fields = DRAW(16, 64, 3, num_structures=number, structure_types=["circle"])
    for channel in range(3):
        discs = max(1, math.ceil((number - channel) / 3))
        assert max(len(field.unique()) for field in fields[:, channel]) <= 2**discs
        assert min(len(field.unique()) for field in fields[:, channel]) >= 2
    assert len(white_noise()(1)[0, 0].unique()) > 1000


@pytest.mark.parametrize(("number", "bins"), [(1, 2), (3, 2), (6, 4), (9, 6)])
def test_stripes_have_few_wave_vectors(number, bins):
    fields = DRAW(16, 64, 3, num_structures=number, structure_types=["stripe"])
    assert bins_needed(fields).max() <= bins
    assert bins_needed(white_noise()(16)).min() > 100


def test_blobs_are_smooth_and_discs_sharp():
    """The largest step between neighbours is the full height at a disc's edge and small on a blob's flank."""
    steps = {}
    for kind in ("circle", "blob"):
        fields = DRAW(16, 64, 3, num_structures=3, structure_types=[kind])
        height = fields.abs().amax(dim=(-2, -1))
        steps[kind] = (fields - fields.roll(1, -1)).abs().amax(dim=(-2, -1)) / height
    assert steps["circle"].min() > 0.99
    assert steps["blob"].max() < 0.4


@pytest.mark.parametrize("kinds", [["circle"], ["stripe"], ["blob"], ["circle", "stripe", "blob"]])
def test_no_channel_is_empty(kinds):
    fields = DRAW(64, 16, 6, num_structures=1, structure_types=kinds)
    assert (fields.abs().amax(dim=(-2, -1)) > 0).all()


def test_radius():
    """A disc of R sides covers πR² of the torus."""
    fields = DRAW(16, 128, 3, num_structures=3, structure_types=["circle"], radius_range=[0.2, 0.2])
    covered = (fields != 0).double().mean(dim=(-2, -1))
    assert torch.allclose(covered, torch.full_like(covered, math.pi * 0.04), rtol=0.02)


def test_amplitudes_are_between_half_and_whole_with_either_sign():
    fields = DRAW(64, 64, 3, num_structures=3, structure_types=["circle"], amplitude=3.0)
    height = fields.flatten(2)
    peak = height.gather(2, height.abs().argmax(dim=2, keepdim=True)).flatten()
    assert peak.abs().min() >= 1.5
    assert peak.abs().max() <= 3.0
    assert 0.35 < (peak > 0).double().mean() < 0.65
    assert 2.0 < peak.abs().mean() < 2.5


def test_every_kind_appears():
    three = DRAW(64, 32, 3, num_structures=3)
    alone = [DRAW(64, 32, 3, num_structures=3, structure_types=[kind] * 3)
             for kind in ("circle", "stripe", "blob")]  # fmt: skip
    shares = [float((three == one).all(dim=-1).all(dim=-1).double().mean()) for one in alone]
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) > 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure_types": ["disc"]}, "circle"),
        ({"structure_types": []}, "structure_types"),
        ({"radius_range": [0.2, 0.1]}, "lower end is above"),
        ({"frequency_range": [1, 8]}, "too high for a 16 grid"),
        ({"num_structures": 0}, "num_structures"),
    ],
)
def test_structures_that_do_not_exist_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("structured", 16, **options)
