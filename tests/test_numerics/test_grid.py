"""The grid's units, its shortest ways round the torus, and its wave numbers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spinlock.errors import UsageError
from spinlock.numerics.grid import MIN_SIZE, REFERENCE_SIZE, Grid
from spinlock.numerics.spectral import angular

SIZES = st.integers(MIN_SIZE, 300)


@pytest.mark.parametrize("size", [0, -4, MIN_SIZE - 1])
def test_too_small_a_grid_is_refused(size):
    with pytest.raises(UsageError, match=f"grid_size {size} .* {MIN_SIZE}"):
        Grid(size)


@given(SIZES)
def test_lengths_scale_with_the_grid(size):
    grid = Grid(size)
    assert grid.pixels(REFERENCE_SIZE) == pytest.approx(size)
    assert grid.pixels(3.0) == pytest.approx(grid.side(3.0 / REFERENCE_SIZE))
    assert torch.equal(grid.side(torch.tensor([0.5, 1.0])), torch.tensor([size / 2, float(size)]))


@given(SIZES, st.floats(0, 1), st.integers(-2, 2))
def test_offsets_are_the_shortest_way_round(size, fraction, turns):
    grid = Grid(size)
    centre = fraction * size + turns * size
    expected = [min((x - centre + n * size for n in range(-4, 5)), key=abs) for x in range(size)]
    offset = grid.offset(torch.tensor(centre, dtype=torch.float32))
    assert offset.abs().max() <= size / 2 + 1e-3
    assert torch.allclose(offset.abs(), torch.tensor(expected).abs(), atol=2e-4)


def test_offsets_follow_the_centres_axes():
    assert Grid(16).offset(torch.zeros(2, 3)).shape == (2, 3, 16)
    assert Grid(16).offset(torch.tensor(2.0)).tolist() == [
        -2,
        -1,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        -8,
        -7,
        -6,
        -5,
        -4,
        -3,
    ]


@pytest.mark.parametrize("size", [16, 17, 50, 64])
@pytest.mark.parametrize("bins", [(3, 4), (-3, 4), (0, 7), (5, 0)])
def test_a_known_sinusoid_stands_at_its_wave_number(size, bins):
    """cos(2π(n_y·y + n_x·x)/N) has |k| = 2π√(n_y² + n_x²)/N rad/px and √(n_y² + n_x²) cycles per side."""
    down, across = bins
    grid = Grid(size)
    field = torch.cos(2 * math.pi / size * (down * grid.axis[:, None] + across * grid.axis).double())
    peak = torch.fft.rfft2(field).abs().flatten().argmax()
    assert grid.cycles.flatten()[peak].item() == pytest.approx(math.hypot(*bins), rel=1e-6)
    assert angular(grid).flatten()[peak].item() == pytest.approx(
        2 * math.pi * math.hypot(*bins) / size, rel=1e-6
    )
