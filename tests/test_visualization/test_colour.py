"""Fields to colours: known answers, no wrap-around, one affine map for all channels."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spinlock.errors import UsageError
from spinlock.visualization.colour import (
    colour_channel,
    colour_field,
    colour_strip,
    lookup_table,
    principal_components,
    to_bytes,
    unit_scale,
)

FIELDS = arrays.arrays(np.float32, (3, 8, 8), elements=st.floats(-1e6, 1e6, width=32))


def test_quantiles_become_zero_and_one_and_the_rest_is_clamped() -> None:
    values = np.arange(101.0)
    scaled = unit_scale(values)
    assert scaled[1] == 0.0
    assert scaled[99] == 1.0
    assert scaled[50] == pytest.approx(0.5)
    assert scaled[0] == 0.0
    assert scaled[100] == 1.0


def test_given_bounds_are_used_for_every_channel() -> None:
    field = np.stack([np.full((4, 4), 1.0), np.full((4, 4), 2.0), np.full((4, 4), 3.0)])
    colours = colour_field(field, bounds=(1.0, 3.0))
    assert colours.shape == (4, 4, 3)
    assert colours[0, 0].tolist() == [0, 128, 255]


def test_bytes_never_wrap_around() -> None:
    assert to_bytes(np.array([-3.0, 0.0, 1.0, 1.01, 300.0])).tolist() == [0, 0, 255, 255, 255]


def test_a_field_constant_but_for_one_pixel_still_shows_it() -> None:
    field = np.zeros((32, 32))
    field[3, 4] = 7.0
    scaled = unit_scale(field)
    assert scaled[3, 4] == 1.0
    assert scaled.sum() == 1.0


def test_what_is_not_finite_is_black_and_does_not_move_the_scale() -> None:
    field = np.arange(101.0)
    broken = np.concatenate([field, [np.nan, np.inf]])
    assert np.array_equal(unit_scale(broken)[:101], unit_scale(field))
    assert unit_scale(broken)[101] == 0.0
    assert unit_scale(np.full(4, np.nan)).tolist() == [0.0] * 4


@example(np.array([1.0, 1.2e-38, *[0.0] * 190], dtype=np.float32).reshape(3, 8, 8), 1.0, 1.0)
@given(FIELDS, st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_colours_do_not_change_under_an_affine_map(field: np.ndarray, scale: float, shift: float) -> None:
    one = unit_scale(field)
    other = unit_scale(field.astype(np.float64) * scale + shift)
    spread = float(field.max()) - float(field.min())
    if spread > 1e-3:
        assert np.abs(one - other).max() < 1e-5


def test_one_channel_goes_through_the_colormap() -> None:
    field = np.linspace(0.0, 1.0, 256).reshape(16, 16)
    table = lookup_table("magma")
    assert np.array_equal(colour_channel(field, "magma", (0.0, 1.0)).reshape(-1, 3), table)
    assert np.array_equal(
        colour_field(field[None], "magma", (0.0, 1.0)), colour_channel(field, "magma", (0.0, 1.0))
    )


def test_an_unknown_colormap_is_refused_with_the_near_miss() -> None:
    with pytest.raises(UsageError, match="viridis"):
        lookup_table("viridi")


@pytest.mark.parametrize("channels", [2, 4, 5, 6])
def test_other_numbers_of_channels_show_principal_components(channels: int) -> None:
    x = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    pattern = np.sin(x)[:, None] + np.zeros(16)
    field = np.stack([(c + 1.0) * pattern for c in range(channels)])
    components = principal_components(field)
    weight = np.sqrt(sum((c + 1.0) ** 2 for c in range(channels)))
    assert np.allclose(components[0], weight * pattern)
    assert np.abs(components[1:]).max() < 1e-6
    assert colour_field(field).shape == (16, 16, 3)


def test_a_strip_shows_the_channels_side_by_side() -> None:
    field = np.stack([np.arange(16.0).reshape(4, 4), -np.arange(16.0).reshape(4, 4)])
    strip = colour_strip(field)
    assert strip.shape == (4, 8, 3)
    assert np.array_equal(strip[:, :4], strip[::-1, 7:3:-1])
