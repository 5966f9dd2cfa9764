"""Paints: known colours, no wrap-around, contrast far from zero, stripes where there are no values."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spinlock.visualization.colour import lookup_table
from spinlock.visualization.paint import NOTHING, STRIPE, Affine, Blend
from test_visualization.synthetic_clips import agrees, trajectories

TABLE = lookup_table("viridis")
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
LARGEST = float(np.finfo(np.float32).max)


def between(low, high, table=TABLE):
    """Return the paint of one channel from low to high."""
    factor = 1.0 / (high - low)
    return Affine(np.array([[factor]]), np.array([low]), np.zeros(1), (low, high), table)


def maps(*channels):
    return np.array(channels, np.float32)


def noise(channels, side=16, seed=0):
    return trajectories(1, 1, channels, side, seed)[0, 0].numpy()


# --- affine ---


def test_one_channel_runs_through_the_colormap():
    levels = np.linspace(-2.0, 3.0, 256, dtype=np.float32).reshape(1, 16, 16)
    assert np.array_equal(between(-2.0, 3.0)(levels).reshape(-1, 3), TABLE)


def test_what_lies_beyond_an_end_has_the_colour_of_the_end():
    found = between(0.0, 1.0)(maps([[-1e30, -1.0, 0.0, 1.0, 1.004, 2.0, 1e30]]))
    assert (found[0, :3] == TABLE[0]).all()
    assert (found[0, 3:] == TABLE[255]).all()


@example(np.array([-3e38, 0.0, 1.0, 3e38], np.float32), 0.0, 1e-30)
@given(
    arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-LARGEST, LARGEST, width=32)),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
)
def test_colours_rise_with_values(values, low, width):
    ordered = np.sort(values)
    found = between(low, low + width, GREYS)(ordered[None, None])[0, :, 0].astype(int)
    assert (np.diff(found) >= 0).all()
    assert (found[ordered < low - 0.01 * width] == 0).all()
    assert (found[ordered > low + 1.01 * width] == 255).all()


@given(st.integers(-6, 6), st.sampled_from([0.0, 1.0, -1e3, 1e6]))
def test_contrast_does_not_depend_on_unit_or_offset(exponent, offset):
    width = 10.0**exponent
    field = (offset * width + noise(1).astype(np.float64) * width).astype(np.float32)
    low, high = offset * width - width, offset * width + width
    assert agrees(between(low, high)(field), (field[0].astype(np.float64) - low) / (high - low), TABLE)


def test_float32_products_alone_would_lose_a_small_range_far_from_zero():
    field = (1000.0 + 0.01 * noise(1).clip(-1, 1)).astype(np.float32)
    low, high = 999.99, 1000.01
    unit = (field[0].astype(np.float64) - low) / (high - low)
    centred = Affine(np.array([[50.0]]), np.zeros(1), np.array([-50.0 * low]), (low, high), GREYS)
    assert agrees(between(low, high, GREYS)(field), unit, GREYS)
    lost = np.abs(centred(field)[..., 0].astype(int) - 255.0 * unit.clip(0, 1))
    assert 0.5 < lost.max() < 2.0


def test_three_channels_are_red_green_and_blue():
    paint = Affine(np.eye(3) / 4.0, np.full(3, -1.0), np.zeros(3))
    found = paint(maps([[-1.0, 3.0]], [[1.0, 0.0]], [[9.0, -9.0]]))
    assert found.tolist() == [[[0, 128, 255], [255, 64, 0]]]


def test_any_affine_map_is_what_it_says():
    values = noise(5)
    matrix, centre, offset = noise(5, seed=1)[:, :3, 0].T, noise(5, seed=2)[:, 0, 0], noise(3)[:, 0, 0]
    unit = np.einsum("kd,dhw->khw", matrix.astype(float), values.astype(float) - centre[:, None, None])
    unit += offset[:, None, None]
    found = Affine(matrix.astype(float), centre.astype(float), offset.astype(float))(values)
    assert found.shape == (16, 16, 3)
    assert np.ptp(found) > 100
    for channel in range(3):
        assert agrees(np.repeat(found[..., channel, None], 3, axis=2), unit[channel], GREYS)


@pytest.mark.parametrize("matrix", [np.eye(3) * 1e39, np.array([[1e38, -1e38], [1e38, 1e38], [0.0, 0.0]])])
def test_values_whose_colours_overflow_are_clamped_without_warnings(matrix):
    depth = matrix.shape[1]
    found = Affine(matrix, np.zeros(depth), np.full(3, 0.5))(np.full((depth, 2, 2), 3e38, np.float32))
    assert set(np.unique(found)) <= {0, 128, 255}
    assert (found[0] == found[1]).all()


def test_ends_beyond_float32_are_clamps_that_nothing_reaches():
    low, high = 0.0, 1e300
    paint = Affine(np.array([[1.0 / high]]), np.array([0.5 * high]), np.array([0.5]), (low, high), TABLE)
    assert (paint(maps([[-3e38, 0.0, 3e38]])) == TABLE[0]).all()


# --- overlay ---


def overlay(luminance, hue, deviation):
    return np.array([luminance, *hue, deviation], np.float32)[:, None, None]


@pytest.mark.parametrize(
    ("luminance", "deviation", "colour"),
    [
        (3.0, 0.0, (128, 128, 128)),
        (2.0, 0.0, (0, 0, 0)),
        (9.0, 0.0, (255, 255, 255)),
        (3.0, 0.5, (255, 0, 128)),
        (3.0, 7.0, (255, 0, 128)),
        (3.0, 0.25, (191, 64, 128)),
        (2.0, 0.25, (128, 0, 64)),
        (9.0, 0.25, (255, 128, 191)),
        (-9.0, 0.25, (128, 0, 64)),
    ],
)
def test_the_overlay_turns_from_grey_to_the_hue_with_the_deviation(luminance, deviation, colour):
    found = Blend((2.0, 4.0), 0.5)(overlay(luminance, (1.0, 0.0, 0.5), deviation))[0, 0]
    assert np.abs(found.astype(int) - colour).max() <= 1


SHARE = st.floats(0.0, 1.0, width=32)


@given(st.floats(-2.0, 3.0, width=32), st.floats(-2.0, 2.0), SHARE, st.tuples(SHARE, SHARE, SHARE))
def test_the_overlay_lies_between_grey_and_hue(luminance, low, deviation, hue):
    grey = Blend((low, low + 1.0), 0.0)(overlay(luminance, hue, deviation))[0, 0].astype(int)
    assert grey[0] == grey[1] == grey[2]
    ends = np.stack([grey, np.rint(255 * np.array(hue, np.float32))])
    found = Blend((low, low + 1.0), 1.0)(overlay(luminance, hue, deviation))[0, 0].astype(int)
    assert (ends.min(axis=0) - 1 <= found).all()
    assert (found <= ends.max(axis=0) + 1).all()


def test_an_overlay_of_one_luminance_is_medium_grey():
    assert (Blend((5.0, 5.0), 0.0)(overlay(5.0, (1.0, 0.0, 0.0), 1.0)) == 128).all()


# --- no values ---


PAINTS = {
    "colormap": (between(-1.0, 1.0), 1),
    "components": (Affine(np.eye(3), np.zeros(3), np.full(3, 0.5)), 3),
    "projection": (Affine(np.ones((3, 5)), np.zeros(5), np.zeros(3)), 5),
    "overlay": (Blend((-1.0, 1.0), 1.0), 5),
}


@pytest.mark.parametrize("kind", PAINTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_stripes_stand_where_any_map_is_not_finite_and_nowhere_else(kind, value):
    paint, depth = PAINTS[kind]
    whole = noise(depth)
    broken = whole.copy()
    missing = np.zeros((16, 16), bool)
    missing[3:9, 2:11] = True
    broken[depth - 1, missing] = value
    found = paint(broken)
    assert np.array_equal(found[~missing], paint(whole)[~missing])
    assert {tuple(pixel) for pixel in found[missing].tolist()} == {NOTHING, STRIPE}


@pytest.mark.parametrize("kind", PAINTS)
def test_a_cell_without_values_is_all_stripes(kind):
    paint, depth = PAINTS[kind]
    found = paint(np.full((depth, 16, 16), np.nan, np.float32))
    striped = (found == STRIPE).all(axis=-1)
    assert (striped | (found == NOTHING).all(axis=-1)).all()
    assert striped.mean() == pytest.approx(0.25)
    assert np.array_equal(striped[1:, :-1], striped[:-1, 1:])
