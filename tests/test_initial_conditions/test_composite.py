"""Patterns, noise level and phases of composite."""

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.composite import PATTERNS
from spinlock.initial_conditions.options import resolve_options
from spinlock.numerics.columns import rms
from spinlock.testing.laws import draw_from

DRAW = draw_from(registry["composite"])
CLEAN = {"noise_level": 0.0}


def strongest(fields, bins):
    """Return the least share of its power that a field has in its strongest bins of the full spectrum."""
    energy = torch.fft.fft2(fields.double()).abs().square().flatten(2)
    return float((energy.topk(bins).values.sum(dim=-1) / energy.sum(dim=-1)).min())


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("level", [0.1, 0.5])
def test_the_noise_level_is_a_ratio_of_root_mean_squares(pattern, level):
    clean, noisy = (DRAW(32, 64, 3, pattern=pattern, noise_level=noise) for noise in (0.0, level))
    assert rms(clean).square().mean(dim=1).sqrt() == pytest.approx(1.0, abs=1e-5)
    assert rms(noisy - clean).square().mean().sqrt().item() == pytest.approx(level, rel=0.1)


@pytest.mark.parametrize(("pattern", "bins"), [("waves", 2), ("grid", 4), ("hex", 6)])
def test_patterns_close_on_the_torus(pattern, bins):
    """Whole wave numbers put all power in a few bins; a board and rings need many."""
    fields = DRAW(32, 64, 3, pattern=pattern, **CLEAN)
    assert strongest(fields, bins) > 0.9999
    assert strongest(fields, bins - 1) < 0.9999
    for other in ("checker", "radial"):
        assert strongest(generate("composite", 64, 3, range(8), pattern=other, **CLEAN), bins) < 0.99


def test_a_wave_number_that_is_not_whole_would_leak():
    leaky = torch.cos(2 * torch.pi * 3.5 / 64 * torch.arange(64)).expand(1, 1, 64, 64)
    assert strongest(leaky, 2) < 0.5
    with pytest.raises(OptionError, match="frequency"):
        generate("composite", 64, frequency=3.5)


@pytest.mark.parametrize("frequency", [2, 5])
def test_frequency(frequency):
    """Crossed waves have it along both axes; a plane wave has it within rounding of its direction."""
    energy = torch.fft.fft2(
        generate("composite", 64, 1, range(8), pattern="grid", frequency=frequency, **CLEAN)
    )
    peaks = energy.abs().flatten(1).topk(4).indices
    wanted = [frequency, 64 - frequency, frequency * 64, (64 - frequency) * 64]
    assert torch.equal(peaks.sort(dim=1).values, torch.tensor(sorted(wanted)).expand(8, -1))
    wave = torch.fft.rfft2(generate("composite", 64, 1, range(32), frequency=frequency, **CLEAN)).abs()
    row, column = wave.flatten(1).argmax(dim=1) // 33, wave.flatten(1).argmax(dim=1) % 33
    length = torch.hypot((row - 64 * (row > 32)).float(), column.float())
    assert (length - frequency).abs().max() <= 0.75
    assert len({(int(r), int(c)) for r, c in zip(row, column, strict=True)}) > 4


def test_waves_of_three_channels_cancel():
    """Phases 2πc/3 apart sum to nothing; without the shift the channels are one wave."""
    fields = generate("composite", 64, 3, range(8), **CLEAN)
    assert fields.sum(dim=1).abs().max() < 1e-4
    same = generate("composite", 64, 3, range(8), phase_shift=False, **CLEAN)
    assert torch.equal(same[:, 0], same[:, 1])
    assert torch.equal(same[:, 0], same[:, 2])


def test_a_board_has_two_values():
    for field in generate("composite", 64, 3, range(8), pattern="checker", **CLEAN):
        assert len(field.unique()) == 2
        assert field.unique().sum().abs() < 1e-6


def test_hexagons_are_spots_not_holes():
    fields = generate("composite", 64, 3, range(16), pattern="hex", **CLEAN).double().flatten(1)
    assert (fields.pow(3).mean(dim=1) > 0.5).all()


def test_random_draws_every_pattern_about_equally():
    values = [resolve_options(registry["composite"], {"pattern": "random"}, 0, index) for index in range(400)]
    counts = {pattern: sum(value["pattern"] == pattern for value in values) for pattern in PATTERNS}
    assert sum(counts.values()) == 400
    assert min(counts.values()) > 50


def test_a_drawn_pattern_is_the_pattern_itself():
    fields, values = generate("composite", 32, 2, range(12), return_options=True, pattern="random")
    for index, (field, value) in enumerate(zip(fields, values, strict=True)):
        fixed = generate("composite", 32, 2, [index], pattern=value["pattern"])
        assert torch.equal(field, fixed[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "wavs"}, "did you mean 'waves'"),
        ({"frequency": 8}, "too high for a 16 grid"),
        ({"frequency_range": [2, 9]}, "too high for a 16 grid"),
    ],
)
def test_patterns_that_do_not_exist_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("composite", 16, **options)
