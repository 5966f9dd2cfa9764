"""Spatial features: known answers, invariances, a plain oracle."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spinlock.features.catalogue import features_of
from test_features.known_fields import axes, checkerboard, field_features, noise, smooth, wave

SIZE, K, A, B = 128, 4, 1.7, 0.6
N = SIZE // K
THETA = 2 * math.pi / N
KAPPA = 2 / N / math.tan(math.pi / N)
STENCIL = 4 * math.sin(math.pi / N) ** 2

WAVE = {
    "spatial_mean": B,
    "spatial_variance": A**2 / 2,
    "spatial_std": A / math.sqrt(2),
    "spatial_skewness": 0.0,
    "spatial_kurtosis": -1.5,
    "spatial_min": B - A,
    "spatial_max": B + A,
    "spatial_range": 2 * A,
    "gradient_magnitude_mean": A * math.sin(THETA) * KAPPA,
    "gradient_magnitude_std": A * math.sin(THETA) * math.sqrt(0.5 - KAPPA**2),
    "gradient_magnitude_max": A * math.sin(THETA),
    "gradient_x_mean": A * math.sin(THETA) * KAPPA,
    "gradient_y_mean": 0.0,
    "gradient_anisotropy": 1.0,
    "laplacian_mean": STENCIL * A * KAPPA,
    "laplacian_std": STENCIL * A / math.sqrt(2),
    "laplacian_energy": (STENCIL * A) ** 2 / 2,
}
"""What b + A·sin(2πkx/W) gives; its order statistics are left to the ramp."""


def spatial(field):
    return field_features(field, category="spatial")


def test_the_nineteen_stand_in_order():
    entries = [entry for entry in features_of("field") if entry.category == "spatial"]
    assert [entry.index for entry in entries] == list(range(19))
    assert set(WAVE) | {"spatial_iqr", "spatial_mad"} == {entry.name for entry in entries}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_wave_has_its_known_answers(dtype):
    got = spatial(wave(K, A, B, SIZE).to(dtype))
    rel = 1e-6 if dtype == torch.float64 else 1e-4
    for name, expected in WAVE.items():
        assert got[name].item() == pytest.approx(expected, rel=rel, abs=rel * 1e-1), name


def test_a_wave_along_y_differs_in_direction_only():
    along_x, along_y = spatial(wave(K, A, B)), spatial(wave(K, A, B).mT)
    assert along_y["gradient_anisotropy"] == pytest.approx(-1.0)
    assert along_y["gradient_x_mean"] == pytest.approx(0.0, abs=1e-14)
    assert along_y["gradient_y_mean"] == pytest.approx(WAVE["gradient_y_mean"] + WAVE["gradient_x_mean"])
    assert along_y["laplacian_std"] == pytest.approx(along_x["laplacian_std"].item())


def test_waves_both_ways_are_as_anisotropic_as_their_powers():
    field = wave(K, 2.0) + wave(K, 0.5).mT
    assert spatial(field)["gradient_anisotropy"] == pytest.approx((4 - 0.25) / (4 + 0.25))


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.125])
def test_two_values_have_known_skewness_and_kurtosis(fraction):
    field = (torch.arange(64 * 64) < fraction * 64 * 64).double().reshape(64, 64)
    spread = fraction * (1 - fraction)
    got = spatial(field)
    assert got["spatial_skewness"].item() == pytest.approx((1 - 2 * fraction) / math.sqrt(spread), abs=1e-12)
    assert got["spatial_kurtosis"].item() == pytest.approx((1 - 3 * spread) / spread - 3)
    assert spatial(-field)["spatial_skewness"].item() == pytest.approx(
        -got["spatial_skewness"].item(), abs=1e-12
    )


def test_a_quarter_of_ones():
    got = spatial((torch.arange(4096) % 4 == 0).double().reshape(64, 64))
    assert got["spatial_skewness"].item() == pytest.approx(1.154701, rel=1e-6)
    assert got["spatial_kurtosis"].item() == pytest.approx(-2 / 3)


def test_the_checkerboard_is_seen_by_the_laplacian_alone():
    got = spatial(checkerboard())
    assert got["gradient_magnitude_max"] == 0
    assert got["gradient_anisotropy"] == 0
    assert got["laplacian_energy"].item() == pytest.approx(64)
    assert got["laplacian_mean"].item() == pytest.approx(8)
    assert got["spatial_kurtosis"].item() == pytest.approx(-2)


@pytest.mark.parametrize("size", [16, 64, 256])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_shuffled_ramp_has_known_order_statistics(size, dtype):
    count = size * size
    ramp = torch.argsort(noise(count)).to(dtype).reshape(size, size)
    got = spatial(ramp)
    assert got["spatial_iqr"] == (count - 1) / 2
    assert got["spatial_mad"] == count / 4
    assert got["spatial_range"] == count - 1


def test_gaussian_noise_has_the_moments_and_ranks_of_its_distribution():
    got = {name: value.mean().item() for name, value in spatial(3.0 * noise(16, 128, 128)).items()}
    assert got["spatial_iqr"] == pytest.approx(1.349 * 3, rel=5e-3)
    assert got["spatial_mad"] == pytest.approx(0.6745 * 3, rel=5e-3)
    assert got["spatial_kurtosis"] == pytest.approx(0, abs=0.05)
    assert got["spatial_skewness"] == pytest.approx(0, abs=0.02)
    assert got["gradient_anisotropy"] == pytest.approx(0, abs=0.01)
    assert got["gradient_magnitude_mean"] == pytest.approx(
        3 * math.sqrt(0.5) * math.sqrt(math.pi / 2), rel=5e-3
    )
    assert got["laplacian_std"] == pytest.approx(3 * math.sqrt(20), rel=5e-3)


def oracle(u):
    """Return the spatial features of one field by numpy, one formula each."""
    s = u.std()
    z = (u - u.mean()) / s
    dx = (np.roll(u, -1, 1) - np.roll(u, 1, 1)) / 2
    dy = (np.roll(u, -1, 0) - np.roll(u, 1, 0)) / 2
    g = np.sqrt(dx**2 + dy**2)
    lap = np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1) - 4 * u
    squares = (dx**2).mean(), (dy**2).mean()
    return {
        "spatial_mean": u.mean(),
        "spatial_variance": s**2,
        "spatial_std": s,
        "spatial_skewness": (z**3).mean(),
        "spatial_kurtosis": (z**4).mean() - 3,
        "spatial_min": u.min(),
        "spatial_max": u.max(),
        "spatial_range": np.ptp(u),
        "spatial_iqr": np.subtract(*np.percentile(u, [75, 25])),
        "spatial_mad": np.median(np.abs(u - np.median(u))),
        "gradient_magnitude_mean": g.mean(),
        "gradient_magnitude_std": g.std(),
        "gradient_magnitude_max": g.max(),
        "gradient_x_mean": np.abs(dx).mean(),
        "gradient_y_mean": np.abs(dy).mean(),
        "gradient_anisotropy": (squares[0] - squares[1]) / (sum(squares) or 1.0),
        "laplacian_mean": np.abs(lap).mean(),
        "laplacian_std": lap.std(),
        "laplacian_energy": (lap**2).mean(),
    }


@given(st.integers(2, 11), st.integers(2, 11), st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_random_fields_agree_with_the_oracle(height, width, seed, offset):
    field = offset + noise(height, width, seed=seed)
    got, expected = spatial(field), oracle(field.numpy())
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].item() == pytest.approx(value, rel=1e-9, abs=1e-12), name


SWAPPED = {"gradient_x_mean": "gradient_y_mean", "gradient_y_mean": "gradient_x_mean"}


def test_swapping_the_axes_exchanges_the_directions_and_nothing_else():
    field = smooth(3, 40, 48)
    got, swapped = spatial(field), spatial(field.mT)
    assert (got["gradient_x_mean"] != got["gradient_y_mean"]).all()
    for name, value in got.items():
        sign = -1 if name == "gradient_anisotropy" else 1
        torch.testing.assert_close(swapped[SWAPPED.get(name, name)], sign * value, msg=name)


@given(st.integers(0, 39), st.integers(0, 47))
def test_translation_and_reflection_change_nothing(down, right):
    field = smooth(40, 48, seed=3)
    got = spatial(field)
    for moved in (field.roll((down, right), (0, 1)), field.flip(0), field.flip(1)):
        for name, value in spatial(moved).items():
            torch.testing.assert_close(value, got[name], rtol=1e-11, atol=1e-12, msg=name)


def test_an_offset_moves_the_values_and_nothing_else():
    field = smooth(40, 40, seed=5)
    got, moved = spatial(field), spatial(field + 11.0)
    for name, value in got.items():
        shift = 11.0 if name in ("spatial_mean", "spatial_min", "spatial_max") else 0.0
        torch.testing.assert_close(moved[name], value + shift, rtol=1e-9, atol=1e-12, msg=name)


def test_redundant_columns_follow_from_those_they_name():
    got = spatial(smooth(3, 40, 40, seed=8))
    names = {
        entry.name: entry.redundant_with for entry in features_of("field") if entry.category == "spatial"
    }
    assert {name: others for name, others in names.items() if others} == {
        "spatial_std": ("spatial_variance",),
        "spatial_range": ("spatial_min", "spatial_max"),
        "laplacian_energy": ("laplacian_std",),
    }
    torch.testing.assert_close(got["spatial_std"], got["spatial_variance"].sqrt())
    torch.testing.assert_close(got["spatial_range"], got["spatial_max"] - got["spatial_min"])
    torch.testing.assert_close(got["laplacian_energy"], got["laplacian_std"].square())


def test_the_smallest_grid_has_all_of_them():
    y, x = axes(2, 2)
    for value in spatial(x + 2 * y).values():
        assert value.isfinite()
