"""Point vortices on the torus, and winding numbers that find them."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.grid import Grid
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.vortices import theta, vortex_phase
from spinlock.numerics.winding import winding_numbers

GRID = Grid(64)
CENTRES = torch.tensor([[[10.3, 20.4], [50.6, 40.7], [30.5, 5.5], [12.2, 55.8]]])
CHARGES = torch.tensor([[1.0, -1.0, 1.0, -1.0]])


def test_vortices_are_where_they_were_put_with_their_charges():
    windings = winding_numbers(vortex_phase(GRID, CENTRES, CHARGES))[0]
    found = {tuple(place.tolist()): int(windings[tuple(place)]) for place in windings.nonzero()}
    assert {(10, 20), (50, 40), (30, 5), (12, 55)} == set(found)
    signs = {found[10, 20], found[30, 5]}
    assert len(signs) == 1
    assert {found[50, 40], found[12, 55]} == {-signs.pop()}


def test_the_phase_has_no_seam():
    """The steps between neighbours change as little across the border as they do beside it."""
    phase = vortex_phase(GRID, CENTRES, CHARGES)[0]
    for axis in (0, 1):
        step = torch.angle(phase.roll(-1, axis) * phase.conj())
        bend = (step.roll(-1, axis) - step + math.pi) % (2 * math.pi) - math.pi
        border = bend.movedim(axis, 0)[[-2, -1]].abs()
        assert border.median() < 0.01
        assert border.max() < bend.abs().max()


def test_no_linear_term_leaves_a_seam():
    """Without the even slope the angle of the theta functions alone jumps across the border."""
    turns = [theta(GRID, CENTRES[:, number])[0] for number in (0, 1)]
    phase = turns[0] * turns[1].conj()
    step = torch.angle(phase.roll(-1, 0) * phase.conj())
    assert (step[-1] - step[-2]).abs().median() > 0.1


def test_moving_all_vortices_moves_the_phase():
    moved = vortex_phase(GRID, CENTRES + torch.tensor([7.0, 11.0]), CHARGES)[0]
    ratio = moved * vortex_phase(GRID, CENTRES, CHARGES)[0].roll((7, 11), (0, 1)).conj()
    assert (ratio / ratio[0, 0]).real.min() > 0.999


def test_absent_vortices_change_nothing():
    two = vortex_phase(GRID, CENTRES[:, :2], CHARGES[:, :2])
    padded = vortex_phase(GRID, CENTRES, torch.tensor([[1.0, -1.0, 0.0, 0.0]]))
    assert torch.equal(two, padded)


@pytest.mark.parametrize("count", [1, 3])
def test_windings_of_any_field_add_up_to_nothing(count):
    keys = SampleKeys.of(Key(count, "wave"), torch.arange(count), ("parts",))
    windings = winding_numbers(torch.complex(*keys.normal("parts", 2, 32, 32).unbind(dim=1)))
    assert not windings.sum(dim=(1, 2)).any()
    assert windings.abs().max() == 1
    assert (windings != 0).double().mean() == pytest.approx(1 / 3, abs=0.05)


def test_a_plane_wave_has_no_winding():
    x = 2 * math.pi * 3 * torch.arange(32) / 32
    assert not winding_numbers(torch.polar(torch.ones(32), x).expand(32, 32)).any()
