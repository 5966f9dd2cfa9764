"""Directions, coordinates along them and the extent of the frame."""

import math

import pytest
import torch

from spinlock.numerics.grid import Grid
from spinlock.numerics.planar import along, extent, heading

GRID = Grid(33)


@pytest.mark.parametrize(
    ("turns", "down", "across"), [(0.0, 0, 1), (0.25, 1, 0), (0.5, 0, -1), (0.75, -1, 0)]
)
def test_headings_turn_from_columns_to_rows(turns, down, across):
    angle = torch.tensor([2 * math.pi * turns], dtype=torch.float64)
    assert heading(angle)[0].item() == pytest.approx(down, abs=1e-12)
    assert heading(angle)[1].item() == pytest.approx(across, abs=1e-12)


def test_the_coordinate_rises_by_one_px_along_its_direction():
    angle = torch.tensor([0.3, 2.0, 5.5], dtype=torch.float64)
    field = along(GRID, angle)
    rows, columns = field.diff(dim=1)[:, 0, 0], field.diff(dim=2)[:, 0, 0]
    assert torch.allclose(rows, angle.sin())
    assert torch.allclose(columns, angle.cos())
    assert field[:, 16, 16].abs().max() < 1e-12


def test_extent_is_what_the_frame_spans():
    angle = torch.linspace(0, 2 * math.pi, 17, dtype=torch.float64)
    field = along(GRID, angle)
    assert torch.allclose(field.amax(dim=(1, 2)) - field.amin(dim=(1, 2)), extent(GRID, angle))
    assert extent(GRID, angle).max().item() == pytest.approx(32 * math.sqrt(2))
