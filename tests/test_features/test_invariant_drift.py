"""Invariant drift: known answers of functionals and metrics, a plain oracle, what is constant or still."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.features.catalogue import features_of
from spinlock.features.functionals import FUNCTIONALS, VERSIONS, gaussian_response
from test_features.known_fields import checkerboard, noise, smooth, wave
from test_features.trajectory_samples import DTYPES, features, growing, modulated, rollout, times, view_of

DRIFT = [entry for entry in features_of("trajectory") if entry.category == "invariant_drift"]
METRICS = ("mean_drift", "drift_variance", "final_initial_ratio", "monotonicity")
STILL = dict(zip(METRICS, (0.0, 0.0, 1.0, 0.0), strict=True))
NORMS = ("L1", "L2", "Linf", "tv")
STATIC = {f"{f}_{metric}_{v}": STILL[metric] for f in FUNCTIONALS for metric in METRICS for v in VERSIONS}


def drift(frames):
    return features(frames, "invariant_drift")


def series(frames):
    """Return I(t) of the first channel by functional and version."""
    values = view_of(frames).functionals[..., 0]
    return {(f, v): values[i, j] for i, f in enumerate(FUNCTIONALS) for j, v in enumerate(VERSIONS)}


def functionals(field):
    """Return the functionals of one field by functional and version."""
    return {key: values[0].item() for key, values in series(field.expand(1, 1, -1, -1)).items()}


def test_the_sixty_stand_in_order():
    assert [entry.name for entry in DRIFT] == list(STATIC)
    assert [entry.index for entry in DRIFT] == list(range(93, 153))
    assert DRIFT[0].name == "L1_mean_drift_raw"
    assert DRIFT[-1].name == "tv_monotonicity_highpass"
    assert [entry.minimum_frames for entry in DRIFT] == ([2] * 3 + [3] * 3 + [2] * 6) * 5
    assert {entry.minimum_channels for entry in DRIFT} == {1}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [4, 16, 40])
def test_the_functionals_of_a_wave(dtype, k):
    amplitude, got = 1.7, functionals(wave(k, 1.7).to(dtype))
    gain = math.exp(-2 * (math.pi * 2 * k / 128) ** 2)
    for version, part in zip(VERSIONS, (1.0, gain, 1 - gain), strict=True):
        tolerance = {"rel": 1e-6, "abs": 1e-6}
        assert got["L2", version] == pytest.approx(part * amplitude / math.sqrt(2), **tolerance)
        sampled = np.abs(np.sin(2 * np.pi * k * np.arange(128) / 128))
        assert got["L1", version] == pytest.approx(part * amplitude * sampled.mean(), **tolerance)
        assert got["Linf", version] == pytest.approx(part * amplitude * sampled.max(), **tolerance)
        slope = 2 * math.sin(math.pi * k / 128) * np.abs(np.cos(2 * np.pi * k * (np.arange(128) + 0.5) / 128))
        assert got["tv", version] == pytest.approx(part * amplitude * slope.mean(), **tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_functionals_of_a_checkerboard(dtype):
    got = functionals(checkerboard(32).to(dtype))
    for version in ("raw", "highpass"):
        assert got["entropy", version] == pytest.approx(math.log(2), rel=1e-6)
        assert got["tv", version] == pytest.approx(2 * math.sqrt(2), rel=1e-6)
        for norm in ("L1", "L2", "Linf"):
            assert got[norm, version] == pytest.approx(1, rel=1e-6)
    assert {got[name, "lowpass"] for name in FUNCTIONALS} == {0.0}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [32, 64])
def test_a_ramp_has_the_greatest_entropy(dtype, size):
    ramp = torch.argsort(noise(size * size)).reshape(size, size).to(dtype)
    assert functionals(ramp)["entropy", "raw"] == pytest.approx(math.log(32), rel=1e-4 * (size == 32) + 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [-2.5, 3.0, 1e-20, 0.0])
def test_the_functionals_of_a_constant(dtype, value):
    got = functionals(torch.full((20, 24), value, dtype=dtype))
    for (name, version), number in got.items():
        kept = name in ("L1", "L2", "Linf") and version != "highpass"
        assert number == pytest.approx(abs(value) if kept else 0.0, rel=1e-6), (name, version)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_lowpass_is_a_blur_by_a_periodic_gaussian(dtype):
    field = smooth(48, 40, sigma=0.5)
    taps = np.exp(-0.5 * (np.arange(-16, 17) / 2.0) ** 2)
    taps /= taps.sum()
    low = field.numpy()
    for axis in (0, 1):
        low = sum(tap * np.roll(low, shift, axis) for tap, shift in zip(taps, range(-16, 17), strict=True))
    got, blurred = functionals(field.to(dtype)), functionals(torch.as_tensor(low))
    rest = functionals(field - torch.as_tensor(low))
    for norm in NORMS:
        assert got[norm, "lowpass"] == pytest.approx(blurred[norm, "raw"], rel=1e-5)
        assert got[norm, "highpass"] == pytest.approx(rest[norm, "raw"], rel=1e-5)
        assert got[norm, "lowpass"] != pytest.approx(got[norm, "raw"], rel=1e-2)


def test_the_lowpass_keeps_the_mean_and_weighs_modes_by_frequency():
    response = gaussian_response(40, 30, torch.float64, torch.device("cpu"))
    assert response[0, 0] == 1
    assert response[0, 3].item() == pytest.approx(math.exp(-8 * math.pi**2 * 0.01))
    assert response[4, 0] == response[-4, 0] == response[0, 3]


def exponential(rate, count):
    e = np.exp(rate * np.arange(count))
    return {
        "mean_drift": (e[-1] - 1) / ((count - 1) * e.mean()),
        "drift_variance": np.diff(e).var() / e.mean() ** 2,
        "final_initial_ratio": e[-1],
        "monotonicity": math.copysign(1, rate),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("rate", "count"), [(0.1, 12), (-0.2, 25), (0.01, 3)])
def test_exponential_growth(dtype, rate, count):
    levels = torch.linspace(-1, 1, 24 * 20, dtype=torch.float64)
    field = levels[torch.argsort(noise(24 * 20))].reshape(24, 20)
    got, expected = drift(growing(rate, count, field).to(dtype)), exponential(rate, count)
    for metric, value in expected.items():
        for version in VERSIONS:
            for norm in NORMS:
                near = pytest.approx(value, rel=1e-6 if dtype == torch.float64 else 1e-4, abs=1e-9)
                assert got[f"{norm}_{metric}_{version}"] == near, (norm, version)
            if dtype == torch.float64:
                assert got[f"entropy_{metric}_{version}"] == pytest.approx(STILL[metric], abs=1e-12)


def test_in_single_precision_scaling_by_powers_of_two_keeps_the_entropy():
    got = drift(modulated(2.0 ** times(12)).float())
    for metric in METRICS:
        for version in VERSIONS:
            assert got[f"entropy_{metric}_{version}"] == pytest.approx(STILL[metric], abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("b", "count"), [(0.3, 10), (-0.04, 12), (1.0, 3)])
def test_linear_growth(dtype, b, count):
    got = drift(modulated(1 + b * times(count)).to(dtype))
    expected = {
        "mean_drift": b / (1 + b * (count - 1) / 2),
        "drift_variance": 0,
        "final_initial_ratio": 1 + b * (count - 1),
        "monotonicity": math.copysign(1, b),
    }
    for metric, value in expected.items():
        for norm in NORMS:
            for version in VERSIONS:
                near = pytest.approx(value, rel=1e-5, abs=1e-9)
                assert got[f"{norm}_{metric}_{version}"] == near, (norm, version)


@pytest.mark.parametrize("dtype", DTYPES)
def test_scales_that_decay_at_different_rates(dtype):
    slow, fast = wave(2, size=32), wave(12, size=32)
    t = times(12)[:, None, None, None]
    frames = torch.exp(-0.02 * t) * slow + torch.exp(-0.3 * t) * fast
    got = drift(frames.to(dtype))
    gains = [math.exp(-8 * (math.pi * k / 32) ** 2) for k in (2, 12)]
    parts = {"raw": (1, 1), "lowpass": gains, "highpass": [1 - g for g in gains]}
    for version, (a, b) in parts.items():
        level = [math.hypot(a * math.exp(-0.02 * s), b * math.exp(-0.3 * s)) for s in (0, 11)]
        got_ratio = got[f"L2_final_initial_ratio_{version}"]
        assert got_ratio == pytest.approx(level[1] / level[0], rel=1e-6)
        assert got_ratio == pytest.approx(
            {"raw": 0.5681, "lowpass": 0.8025, "highpass": 0.2089}[version], abs=5e-5
        )


@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_within_the_dead_band_have_no_sign(dtype):
    got = drift(modulated([1.0, 1.1, 1.100005, 1.2, 1.15]).to(dtype))
    for norm in NORMS:
        for version in VERSIONS:
            assert got[f"{norm}_monotonicity_{version}"] == pytest.approx(0.25)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ratios_are_clipped(dtype):
    vanishing = growing(0.0, 8)
    vanishing[4:] = 0
    down, up = drift(vanishing.to(dtype)), drift(vanishing.flip(0).to(dtype))
    for name in FUNCTIONALS:
        for version in VERSIONS:
            assert down[f"{name}_final_initial_ratio_{version}"] == pytest.approx(1e-6)
            assert up[f"{name}_final_initial_ratio_{version}"] == pytest.approx(1e6)
    from_zero = drift(modulated([0.0, 1.0, 2.0, 0.3]).to(dtype))
    assert from_zero["L2_final_initial_ratio_raw"] == pytest.approx(0.3 / (1e-6 * 3.3 / 4), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, -3.0, 1e4])
def test_what_stands_still(dtype, offset):
    still = (offset + smooth(2, 24, 20)).expand(12, 2, 24, 20).to(dtype)
    assert drift(still) == STATIC
    dust = still.double() * (1.0 + 1e-8 * noise(12, 1, 24, 20))
    assert drift(dust.to(dtype)) == STATIC
    assert drift(torch.zeros(12, 1, 8, 8, dtype=dtype)) == STATIC
    moving = still.double() * torch.linspace(1.0, 1.01, 12, dtype=torch.float64)[:, None, None, None]
    assert drift(moving.to(dtype))["L2_monotonicity_raw"] == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_fields_have_no_highpass_whatever_their_level(dtype):
    got = drift((0.1 + times(9) / 3)[:, None, None, None].expand(9, 1, 20, 24).to(dtype))
    for metric in METRICS:
        for name in FUNCTIONALS:
            assert got[f"{name}_{metric}_highpass"] == STILL[metric]
        for version in VERSIONS:
            assert got[f"entropy_{metric}_{version}"] == STILL[metric]
            assert got[f"tv_{metric}_{version}"] == STILL[metric]
    assert got["L1_monotonicity_raw"] == got["L1_monotonicity_lowpass"] == 1


def oracle(u):
    """Return the drift features of [T, C, H, W] by numpy, one field and one series at a time."""
    channels = [channel_oracle(u[:, c]) for c in range(u.shape[1])]
    return {name: np.mean([channel[name] for channel in channels]) for name in channels[0]}


def channel_oracle(u):
    fy, fx = np.fft.fftfreq(u.shape[1])[:, None], np.fft.fftfreq(u.shape[2])
    gain = np.exp(-2 * np.pi**2 * 4 * (fx**2 + fy**2))
    low = np.fft.ifft2(np.fft.fft2(u) * gain).real
    got = {}
    for version, fields in zip(VERSIONS, (u, low, u - low), strict=True):
        for name, functional in ORACLES.items():
            values = np.array([functional(field) for field in fields])
            for metric, number in zip(METRICS, metrics_oracle(values), strict=True):
                got[f"{name}_{metric}_{version}"] = number
    return got if len(u) > 2 else {name: value for name, value in got.items() if "variance" not in name}


def entropy_oracle(u):
    share = np.histogram(u, bins=32)[0] / u.size
    return -sum(p * math.log(p) for p in share if p > 0)


def variation_oracle(u):
    return np.mean(np.sqrt((np.roll(u, -1, 0) - u) ** 2 + (np.roll(u, -1, 1) - u) ** 2))


ORACLES = {
    "L1": lambda u: np.abs(u).mean(),
    "L2": lambda u: math.sqrt((u**2).mean()),
    "Linf": lambda u: np.abs(u).max(),
    "entropy": entropy_oracle,
    "tv": variation_oracle,
}


def metrics_oracle(values):
    level, changes = values.mean(), np.diff(values)
    signs = [0 if abs(change) <= 1e-5 * level else math.copysign(1, change) for change in changes]
    ratio = values[-1] / max(values[0], 1e-6 * level)
    return (
        (values[-1] - values[0]) / (len(changes) * level),
        changes.var() / level**2,
        min(max(ratio, 1e-6), 1e6),
        np.mean(signs),
    )


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(1, 3), st.integers(0, 2**31))
def test_random_trajectories_agree_with_the_oracle(count, channels, seed):
    frames = rollout(count, channels, 12, 15, seed=seed)
    got, expected = drift(frames), oracle(frames.numpy())
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-7, abs=1e-10), name


@given(st.sampled_from([0.03, -1.0, 7.0]), st.floats(-5, 5), st.integers(0, 1000))
def test_entropy_does_not_depend_on_level_and_scale(factor, offset, seed):
    field = smooth(16, 18, seed=seed)
    got, other = functionals(field), functionals(factor * field + offset)
    for version in VERSIONS:
        assert other["entropy", version] == pytest.approx(got["entropy", version], abs=0.02)
    exact = functionals(-(2.0**26) * field)
    assert exact["entropy", "raw"] == pytest.approx(got["entropy", "raw"], abs=1e-12)


@pytest.mark.parametrize("factor", [0.37, 1e-12, 4096.0])
def test_the_amplitude_does_not_matter(factor):
    frames = rollout(20)
    got, scaled = drift(frames), drift(frames * factor)
    for name, value in got.items():
        assert scaled[name] == pytest.approx(value, rel=1e-7, abs=1e-10), name


def test_in_single_precision_the_amplitude_matters_little():
    frames = rollout(20).float()
    got, scaled = drift(frames), drift(frames * 2.0**-40)
    for name, value in got.items():
        assert scaled[name] == pytest.approx(value, rel=1e-4, abs=1e-7), name


@pytest.mark.parametrize(("count", "defined"), [(2, 45), (3, 60)])
def test_the_fewest_frames_that_are_enough(count, defined):
    got = drift(rollout(count))
    assert len(got) == defined
    assert all(math.isfinite(value) for value in got.values())
