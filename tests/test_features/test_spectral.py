"""Spectral features: known answers, a full-plane oracle, invariances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spinlock.features.catalogue import features_of
from spinlock.features.fourier_modes import fourier_modes
from test_features.known_fields import axes, checkerboard, field_features, noise, smooth, two_tone, wave

SIZE, K, A, B = 128, 4, 1.7, 0.6
PEAK = A**2 * SIZE**2 / 4
SIZES = (44, 620, 2676, 7176, 5867)
"""Modes of each band on a 128² grid; k = 4 lies in band 1, 30 in band 2."""

WAVE = {
    "fft_power_scale_1_mean": 2 * PEAK / SIZES[1],
    "fft_power_scale_1_max": PEAK,
    "fft_power_scale_1_std": PEAK * math.sqrt(2 / SIZES[1] * (1 - 2 / SIZES[1])),
    "dominant_freq_x": K / SIZE,
    "dominant_freq_y": 0.0,
    "dominant_freq_magnitude": 1.0,
    "spectral_centroid_x": K / SIZE,
    "spectral_centroid_y": 0.0,
    "spectral_bandwidth": 0.0,
    "low_freq_ratio": 1.0,
    "mid_freq_ratio": 0.0,
    "high_freq_ratio": 0.0,
    "spectral_flatness": 0.0,
    "spectral_rolloff": K / SIZE,
    "spectral_anisotropy": 1.0,
} | {f"fft_power_scale_{band}_{kind}": 0.0 for band in (0, 2, 3, 4) for kind in ("mean", "max", "std")}

TWO_TONE = {
    "dominant_freq_x": 4 / SIZE,
    "dominant_freq_y": 0.0,
    "dominant_freq_magnitude": 0.8,
    "spectral_centroid_x": 0.8 * 4 / SIZE,
    "spectral_centroid_y": 0.2 * 30 / SIZE,
    "spectral_bandwidth": math.sqrt(0.8 * 0.2 * ((4 / SIZE) ** 2 + (30 / SIZE) ** 2)),
    "low_freq_ratio": 0.8,
    "mid_freq_ratio": 0.2,
    "high_freq_ratio": 0.0,
    "spectral_rolloff": 30 / SIZE,
    "spectral_anisotropy": 0.6,
    "fft_power_scale_1_max": 0.8 * SIZE**2 / 4,
    "fft_power_scale_2_max": 0.2 * SIZE**2 / 4,
}


def spectral(field):
    return field_features(field, category="spectral")


def test_the_twenty_seven_stand_in_order():
    entries = [entry for entry in features_of("field") if entry.category == "spectral"]
    assert [entry.index for entry in entries] == list(range(19, 46))
    bands = [f"fft_power_scale_{i}_{kind}" for i in range(5) for kind in ("mean", "max", "std")]
    assert [entry.name for entry in entries[:15]] == bands
    assert {entry.name for entry in entries} == set(WAVE)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("offset", [B, -30.0])
def test_a_wave_has_its_known_answers(offset, dtype):
    got = spectral(wave(K, A, offset, SIZE).to(dtype))
    rel = 1e-6 if dtype == torch.float64 else 1e-4
    for name, expected in WAVE.items():
        scale = PEAK if name.startswith("fft") else 1.0
        assert got[name].item() == pytest.approx(expected, rel=rel, abs=rel * scale * 0.1), name
    assert got["spectral_flatness"] < 1e-6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_two_tones_have_their_known_answers(dtype):
    got = spectral(two_tone(SIZE).to(dtype))
    rel = 1e-6 if dtype == torch.float64 else 1e-4
    for name, expected in TWO_TONE.items():
        assert got[name].item() == pytest.approx(expected, rel=rel, abs=rel * 1e-1), name


def test_frequencies_are_folded():
    y, _ = axes(SIZE, SIZE)
    for k in (30, 64, 100):  # 100 is 28 the other way round
        field = torch.cos(2 * math.pi * k * y / SIZE).expand(SIZE, SIZE)
        assert spectral(field)["dominant_freq_y"].item() == pytest.approx(min(k, SIZE - k) / SIZE)


def test_a_mode_that_is_its_own_conjugate_counts_once():
    got = spectral(checkerboard(64))
    assert got["dominant_freq_magnitude"].item() == pytest.approx(1.0)
    assert got["dominant_freq_x"] == got["dominant_freq_y"] == 0.5
    assert got["spectral_rolloff"].item() == pytest.approx(math.sqrt(0.5))
    assert got["high_freq_ratio"].item() == pytest.approx(1.0)
    assert got["fft_power_scale_4_max"].item() == pytest.approx(64**2)
    assert got["spectral_anisotropy"].item() == pytest.approx(1.0)


def test_white_noise_has_the_statistics_of_an_exponential():
    sigma = 1.5
    got = {name: value.mean().item() for name, value in spectral(sigma * noise(24, SIZE, SIZE)).items()}
    for band, count in enumerate(SIZES):
        assert got[f"fft_power_scale_{band}_mean"] == pytest.approx(sigma**2, rel=0.1 if band == 0 else 0.03)
        assert got[f"fft_power_scale_{band}_std"] == pytest.approx(sigma**2, rel=0.2 if band == 0 else 0.05)
        largest = sigma**2 * (math.log(count / 2) + 0.577)
        assert got[f"fft_power_scale_{band}_max"] == pytest.approx(largest, rel=0.15)
    assert got["spectral_centroid_x"] == pytest.approx(0.25, rel=5e-3)
    assert got["spectral_centroid_y"] == pytest.approx(0.25, rel=5e-3)
    assert got["spectral_bandwidth"] == pytest.approx(math.sqrt(1 / 24), rel=5e-3)
    assert got["low_freq_ratio"] == pytest.approx(math.pi / 36, rel=0.02)
    assert got["mid_freq_ratio"] == pytest.approx(math.pi / 12, rel=0.01)
    assert got["high_freq_ratio"] == pytest.approx(1 - math.pi / 9, rel=0.01)
    assert got["spectral_flatness"] == pytest.approx(0.5615, rel=0.01)
    assert got["spectral_rolloff"] == pytest.approx(0.5278, rel=5e-3)
    assert got["spectral_anisotropy"] < 5 / SIZE


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_an_impulse_is_flat_in_frequency(dtype):
    field = torch.zeros(SIZE, SIZE, dtype=dtype)
    field[3, 5] = 2.0
    got = spectral(field)
    assert got["spectral_flatness"].item() == pytest.approx(1.0, rel=1e-5)
    for band in range(5):
        assert got[f"fft_power_scale_{band}_mean"].item() == pytest.approx(4.0 / SIZE**2, rel=1e-4)
        assert got[f"fft_power_scale_{band}_std"].item() == pytest.approx(0.0, abs=4e-6 / SIZE**2)


def test_directions():
    y, x = axes(SIZE, SIZE)
    diagonal = torch.sin(2 * math.pi * 6 * (x + y) / SIZE)
    assert spectral(diagonal)["spectral_anisotropy"].item() == pytest.approx(1.0)
    assert spectral(wave(6) + diagonal)["spectral_anisotropy"].item() == pytest.approx(1 / math.sqrt(2))
    opposite = torch.sin(2 * math.pi * 6 * (x - y) / SIZE)
    assert spectral(opposite + diagonal)["spectral_anisotropy"].item() == pytest.approx(0.0, abs=1e-12)
    field = math.sqrt(3) * wave(6) + wave(9).mT
    assert spectral(field)["spectral_anisotropy"].item() == pytest.approx((3 - 1) / (3 + 1))


def test_a_nyquist_row_has_no_diagonal():
    """cos(2π(x/4 + y/2)) is cos(2π(x/4 − y/2)) on the grid: neither diagonal is the one."""
    y, x = axes(16, 16)
    field = torch.cos(2 * math.pi * (x / 4 + y / 2))
    assert spectral(field)["spectral_anisotropy"].item() == pytest.approx((0.25 - 0.0625) / 0.3125)


def oracle(u):
    """Return the spectral features of one field by numpy, from the full plane."""
    h, w = u.shape
    power = np.abs(np.fft.fft2(u - u.mean())) ** 2 / (h * w)
    power[0, 0] = 0
    fy, fx = np.meshgrid(np.fft.fftfreq(h), np.fft.fftfreq(w), indexing="ij")
    rho, total = np.hypot(fx, fy), power.sum()
    out = {}
    for i in range(5):
        low, high = ((j / 5) ** 2 * math.sqrt(0.5) for j in (i, i + 1))
        inside = power[(rho > low + 1e-12) & (rho <= high + 1e-12)]
        for kind, statistic in (("mean", np.mean), ("max", np.max), ("std", np.std)):
            out[f"fft_power_scale_{i}_{kind}"] = statistic(inside) if inside.size else np.nan
    peak = np.unravel_index(power.argmax(), power.shape)
    own = all(2 * place % side == 0 for place, side in zip(peak, (h, w), strict=True))
    out["dominant_freq_x"], out["dominant_freq_y"] = abs(fx[peak]), abs(fy[peak])
    out["dominant_freq_magnitude"] = power[peak] * (1 if own else 2) / total
    cx, cy = (np.abs(fx) * power).sum() / total, (np.abs(fy) * power).sum() / total
    out["spectral_centroid_x"], out["spectral_centroid_y"] = cx, cy
    distance = (np.abs(fx) - cx) ** 2 + (np.abs(fy) - cy) ** 2
    out["spectral_bandwidth"] = math.sqrt((distance * power).sum() / total)
    out["low_freq_ratio"] = power[rho <= 1 / 6 + 1e-12].sum() / total
    out["high_freq_ratio"] = power[rho > 1 / 3 + 1e-12].sum() / total
    out["mid_freq_ratio"] = 1 - out["low_freq_ratio"] - out["high_freq_ratio"]
    modes = power.ravel()[1:]
    floor = 1e-12 * modes.mean()
    out["spectral_flatness"] = math.exp(np.log(modes + floor).mean()) / (modes + floor).mean()
    order = np.argsort(rho.ravel(), kind="stable")
    held = np.cumsum(power.ravel()[order]) / total
    out["spectral_rolloff"] = rho.ravel()[order][np.argmax(held >= 0.85)]
    angle = np.arctan2(fy, fx)
    out["spectral_anisotropy"] = abs((power * np.exp(2j * angle)).sum()) / total
    return out


@given(st.integers(2, 41), st.integers(2, 41), st.integers(0, 2**32 - 1))
def test_random_fields_agree_with_the_oracle(height, width, seed):
    field = noise(height, width, seed=seed)
    got, expected = spectral(field), oracle(field.numpy())
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].item() == pytest.approx(value, rel=1e-9, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("shape", [(40, 40), (37, 52), (64, 45)])
def test_smooth_fields_agree_with_the_oracle(shape):
    field = smooth(*shape, seed=7, sigma=0.8)
    got = spectral(field)
    for name, value in oracle(field.numpy()).items():
        assert got[name].item() == pytest.approx(value, rel=1e-8, abs=1e-14), name


@pytest.mark.parametrize("size", [35, 36])
def test_a_band_without_modes_is_nan_and_only_that(size):
    got = spectral(noise(3, size, size))
    empty = {name for name, value in got.items() if value.isnan().all()}
    expected = {f"fft_power_scale_0_{kind}" for kind in ("mean", "max", "std")}
    assert empty == (expected if size < 36 else set())
    assert all(value.isfinite().all() for name, value in got.items() if name not in empty)


def test_power_adds_up_to_the_variance():
    field = 3.0 * smooth(2, 40, 40, seed=9)
    got, modes = spectral(field), fourier_modes(40, 40, field.dtype, field.device)
    total = sum(got[f"fft_power_scale_{i}_mean"] * modes.band_sizes[i] for i in range(5))
    torch.testing.assert_close(total, 1600 * field.var(dim=(-2, -1), correction=0))


EXCHANGED = [("dominant_freq_x", "dominant_freq_y"), ("spectral_centroid_x", "spectral_centroid_y")]


def test_swapping_the_axes_exchanges_the_directions_and_nothing_else():
    field = smooth(3, 40, 48, sigma=0.8)
    got, swapped = spectral(field), spectral(field.mT)
    names = {a: b for pair in EXCHANGED for a, b in (pair, pair[::-1])}
    assert (got["spectral_centroid_x"] != got["spectral_centroid_y"]).all()
    for name, value in got.items():
        torch.testing.assert_close(swapped[names.get(name, name)], value, msg=name)


@given(st.integers(0, 39), st.integers(0, 44), st.floats(-5, 5))
def test_translation_reflection_and_offset_change_nothing(down, right, offset):
    field = smooth(40, 45, seed=3, sigma=0.6)
    got = spectral(field)
    for moved in (field.roll((down, right), (0, 1)), field.flip(0), field.flip(1), field + offset, -field):
        for name, value in spectral(moved).items():
            torch.testing.assert_close(value, got[name], rtol=1e-9, atol=1e-12, msg=name)


def test_the_redundant_share_follows_from_the_others():
    got = spectral(smooth(3, 40, 40, seed=8, sigma=0.5))
    total = got["low_freq_ratio"] + got["mid_freq_ratio"] + got["high_freq_ratio"]
    torch.testing.assert_close(total, torch.ones_like(total))
    redundant = {e.name: e.redundant_with for e in features_of("field") if e.category == "spectral"}
    assert {name for name, others in redundant.items() if others} == {"high_freq_ratio"}
    assert redundant["high_freq_ratio"] == ("low_freq_ratio", "mid_freq_ratio")
