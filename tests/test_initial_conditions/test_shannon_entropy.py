"""Entropy asked for, surprisal drawn, and maps of H."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.information_laws import plug_in_entropy, surprisal_is_entropy
from spinlock.numerics.grid import Grid
from spinlock.numerics.spectral import half_spectrum_weights, power, ring_sums
from spinlock.testing.laws import draw_from, holds, uniform_noise

ENTRY = registry["shannon_entropy"]
DRAW = draw_from(ENTRY)


@pytest.mark.parametrize("pattern", ["gradient", "patchy", "random"])
def test_mean_surprisal_is_entropy_on_every_level_set(pattern):
    surprisal_is_entropy(entropy_pattern=pattern)(DRAW)


def test_symbols_of_one_entropy_do_not_pass_for_a_map():
    def constant(count, **options):
        fields = DRAW(count, entropy_range=(1.5, 1.5))
        fields[:, 2] = DRAW(count, **options)[:, 2]
        return fields

    assert not holds(surprisal_is_entropy(), constant)
    assert not holds(surprisal_is_entropy(), uniform_noise())


@pytest.mark.parametrize("bits", [0.3, 1.5, 2.8])
def test_blocks_have_the_entropy_asked_for(bits):
    fields = DRAW(200, 64, 1, entropy_range=(bits, bits))
    measured = torch.tensor([plug_in_entropy(field[0, :16, :16]) for field in fields])
    assert measured.mean().item() == pytest.approx(bits, abs=0.03)
    assert (measured - bits).abs().median() < 0.15


def test_plug_in_entropy_of_known_blocks():
    assert plug_in_entropy(torch.zeros(16, 16)) == 0.0
    pairs = torch.arange(256.0).reshape(16, 16) % 2
    assert plug_in_entropy(pairs) == pytest.approx(1.0 + 1 / (512 * math.log(2)))


def test_no_entropy_is_one_symbol_and_all_of_it_is_all_symbols():
    still = DRAW(4, 64, entropy_range=(0.0, 0.0))
    assert (still[:, 0].flatten(1).std(dim=1) == 0).all()
    assert not still[:, 1:].any()
    loud = DRAW(4, 64, entropy_range=(3.0, 3.0))
    for field in loud[:, 0]:
        counts = field.unique(return_counts=True)[1]
        assert len(counts) == 8
        assert (counts - 512).abs().max() < 120


@pytest.mark.parametrize("levels", [2, 5, 32])
def test_symbols_are_equal_steps_in_an_order_of_their_own(levels):
    fields = DRAW(8, 64, 1, num_levels=levels, entropy_range=(0.0, math.log2(levels) - 1e-9))
    allowed = 2 * torch.arange(levels) / (levels - 1) - 1
    steps = (fields[..., None] - allowed).abs().amin(dim=-1)
    assert steps.max() < 1e-6
    commonest = {float(field.mode().values.mode().values) for field in fields[:, 0]}
    assert len(commonest) > 1


def test_a_gradient_runs_over_the_range_in_any_direction():
    target = DRAW(32, 64)[:, 2].double()
    assert target.amin(dim=(1, 2)).sub(0.2).abs().max() < 1e-5
    assert target.amax(dim=(1, 2)).sub(2.8).abs().max() < 1e-5
    down, across = target.diff(dim=1)[:, 0, 0], target.diff(dim=2)[:, 0, 0]
    assert torch.allclose(target.diff(dim=1), down[:, None, None].expand(-1, 63, 64), atol=1e-5)
    angles = torch.atan2(down, across)
    assert (torch.histc(angles, 4, -math.pi, math.pi) > 0).all()


@pytest.mark.parametrize("size", [4.0, 8.0, 10.0, 64.0])
def test_patches_are_squares_of_their_size(size):
    target = generate("shannon_entropy", 128, 3, range(4), entropy_pattern="patchy", patch_size=size)[:, 2]
    block = (torch.arange(128) / size).floor().long()
    for field in target:
        assert field[torch.where(block == 0)[0][:, None], torch.where(block == 1)[0]].unique().numel() == 1
        assert len(field.unique()) == len(block.unique()) ** 2


def test_random_maps_are_uniform_and_as_wide_as_asked_for():
    wide, narrow = (DRAW(64, 64, entropy_pattern="random", patch_size=size)[:, 2] for size in (24.0, 6.0))
    for target in (wide, narrow):
        shares = torch.histc(target, 4, 0.2, 2.8) / target.numel()
        assert (shares - 0.25).abs().max() < 0.08
    assert wide.diff(dim=1).square().mean() < 0.25 * narrow.diff(dim=1).square().mean()


def test_maps_scale_with_the_grid_over_the_grain_of_the_pixels():
    """Symbols are drawn pixel by pixel: less the flat floor of that, shares of power are those of the map."""
    shares = []
    for size in (64, 128):
        grid = Grid(size)
        counts = ring_sums(half_spectrum_weights(grid).expand(size, -1), grid)
        sums = ring_sums(power(DRAW(64, size)).mean(dim=(0, 1)), grid)
        floor = sums[size // 4 : size // 2].sum() / counts[size // 4 : size // 2].sum()
        low = (sums - floor * counts)[1:9]
        shares.append(low / low.sum())
    assert torch.allclose(*shares, rtol=0.1, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entropy_range": [0.2, 3.1]}, "8 symbols have at most 3.*raise num_levels to at least 9"),
        ({"num_levels": 4}, "ends at 2.8 bits, but 4 symbols have at most 2"),
        ({"entropy_range": [2.0, 1.0]}, "the lower end is above the upper one"),
        ({"patch_size": 4.0}, "acts only where entropy_pattern is patchy or random"),
    ],
)
def test_entropies_that_no_alphabet_has_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("shannon_entropy", 32, **options)
