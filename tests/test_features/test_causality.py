"""Causality features: known answers, a plain oracle, time reversal, the values of what stands still."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.features.catalogue import features_of
from test_features.known_fields import noise, smooth
from test_features.trajectory_samples import (
    DTYPES,
    features,
    growing,
    modulated,
    rollout,
    times,
    travelling,
    view_of,
)

CAUSALITY = [entry for entry in features_of("trajectory") if entry.category == "causality"]
MEAN = "causality_lag_corr_asymmetry_mean_lag{}"
MAX = "causality_lag_corr_asymmetry_max_lag{}"
RATIO = "causality_pred_error_ratio_lag{}"
DIFFERENCE = "causality_pred_error_diff_lag{}"
SKEWNESS, INDEX = "causality_time_irreversibility", "causality_time_asymmetry_index"
FLOW, DIRECTION = "causality_spatial_flow_magnitude", "causality_spatial_flow_anisotropy"
NAMES = [
    *(name.format(lag) for lag in (1, 2, 3) for name in (MEAN, MAX)),
    *(name.format(lag) for lag in (1, 2) for name in (RATIO, DIFFERENCE)),
    SKEWNESS,
    INDEX,
    FLOW,
    DIRECTION,
]
STATIC = {name: 1.0 if "ratio" in name else 0.0 for name in NAMES}


def causality(frames):
    return features(frames, "causality")


def test_the_fourteen_stand_in_order():
    assert [entry.name for entry in CAUSALITY] == NAMES
    assert [entry.index for entry in CAUSALITY] == list(range(79, 93))
    assert [entry.minimum_frames for entry in CAUSALITY] == [4, 4, 5, 5, 6, 6, 8, 8, 8, 8, 2, 2, 2, 2]
    assert [entry.minimum_channels for entry in CAUSALITY] == [2] * 6 + [1] * 8


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_channel_that_follows_another(dtype):
    white = noise(61, 1, 32, 32)
    frames = torch.cat((white[1:], white[:-1]), dim=1).to(dtype)
    got = causality(frames)
    for name in (MEAN, MAX):
        assert got[name.format(1)] == pytest.approx(1, abs=0.05)
        assert got[name.format(2)] == pytest.approx(0, abs=0.02)
        assert got[name.format(3)] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shift", [0.4, 1.5, -2.0])
def test_waves_that_differ_in_phase(dtype, shift):
    frequency = 3 / 40
    got = causality(travelling(frequency, 40, phases=(0.0, shift)).to(dtype))
    for lag in (1, 2, 3):
        expected = 2 * abs(math.sin(shift) * math.sin(2 * math.pi * frequency * lag))
        assert got[MEAN.format(lag)] == pytest.approx(expected, rel=1e-6)
        assert got[MAX.format(lag)] == pytest.approx(expected, rel=1e-6)


def test_mean_and_maximum_over_pairs():
    frequency, phases = 3 / 40, (0.0, 0.3, 1.2)
    got = causality(travelling(frequency, 40, phases=phases))
    apart = [
        2 * abs(math.sin(b - a) * math.sin(2 * math.pi * frequency))
        for a, b in itertools.combinations(phases, 2)
    ]
    assert got[MEAN.format(1)] == pytest.approx(sum(apart) / 3, rel=1e-6)
    assert got[MAX.format(1)] == pytest.approx(max(apart), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_channels_do_not_lead_each_other(dtype):
    frames = rollout(12, 1).expand(12, 3, 20, 24).to(dtype)
    for lag in (1, 2, 3):
        assert causality(frames)[MEAN.format(lag)] == pytest.approx(0, abs=1e-12)
        assert causality(frames)[MAX.format(lag)] == pytest.approx(0, abs=1e-12)


def test_the_asymmetry_is_of_the_full_state():
    shifted = travelling(3 / 40, 40, phases=(0.0, 1.0))
    means = shifted.mean(dim=(2, 3), keepdim=True).expand_as(shifted)
    assert causality(shifted)[MEAN.format(1)] > 0.5
    assert means.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [-0.2, 0.05, 0.3])
def test_forecasts_of_exponential_growth(dtype, rate):
    got = causality(growing(rate, 20).to(dtype))
    tolerance = 1e-6 if dtype == torch.float64 else 1e-2
    for lag in (1, 2):
        assert got[RATIO.format(lag)] == pytest.approx(math.exp(2 * rate * lag), rel=tolerance)
        assert got[DIFFERENCE.format(lag)] == pytest.approx(math.tanh(rate * lag), rel=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_travelling_wave_is_as_predictable_forward_as_backward(dtype):
    got = causality(travelling((math.sqrt(5) - 1) / 10, 60).to(dtype))
    tolerance = 1e-6 if dtype == torch.float64 else 1e-2
    for lag in (1, 2):
        assert got[RATIO.format(lag)] == pytest.approx(1, rel=tolerance)
        assert got[DIFFERENCE.format(lag)] == pytest.approx(0, abs=tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_ratio_of_errors_is_clipped_and_their_difference_not(dtype):
    # Frames 2 … 5 are neighbours; one step later one of each pair has left, one step before none has.
    near = 7e-4
    frames = modulated([0.0, 0.0, 0.0, 0.0, near, 1.2 * near, 1.0, 0.0]).to(dtype)
    got, back = causality(frames), causality(frames.flip(0))
    assert got[RATIO.format(1)] == pytest.approx(1e3, rel=1e-6)
    assert back[RATIO.format(1)] == pytest.approx(1e-3, rel=1e-6)
    assert got[DIFFERENCE.format(1)] == pytest.approx((1 - near) / (1 + near), abs=2e-6)


def test_without_analogues_nothing_is_forecast():
    frames = growing(0.0, 12)
    frames[0] *= 2.0
    got = causality(frames)
    for lag in (1, 2):
        assert got[RATIO.format(lag)] == 1
        assert got[DIFFERENCE.format(lag)] == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("period", [3, 5, 16])
def test_the_sawtooth(dtype, period):
    steps = torch.arange(4 * period + 1) % period
    frames = (7.0 + modulated(steps, torch.ones(6, 6, dtype=torch.float64))).to(dtype)
    got, back = causality(frames), causality(frames.flip(0))
    assert got[SKEWNESS] == pytest.approx(-(period - 2) / math.sqrt(period - 1), rel=1e-6)
    square = (period - 1) ** 2
    assert got[INDEX] == pytest.approx((square - 1) / (square + 1), rel=1e-6)
    assert back[SKEWNESS] == pytest.approx(-got[SKEWNESS], rel=1e-6)
    assert back[INDEX] == pytest.approx(got[INDEX], rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_ramp_goes_one_way_only(dtype):
    frames = modulated(times(8), 0.5 + noise(12, 12).abs())
    assert causality(frames.to(dtype))[INDEX] == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_travelling_wave_has_symmetric_increments(dtype):
    got = causality(travelling(1 / 16, 17).to(dtype))
    assert got[SKEWNESS] == pytest.approx(0, abs=1e-6)
    assert got[INDEX] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("along", ["x", "y"])
@pytest.mark.parametrize(("k", "frequency"), [(1, 0.01), (2, 0.1), (3, -0.2)])
def test_the_flow_of_a_travelling_wave(dtype, along, k, frequency):
    frames = travelling(frequency, 10, k=k, along=along).to(dtype)
    exact = 2 * math.tan(math.pi * frequency) / math.sin(2 * math.pi * k / 32)
    got = causality(frames)
    assert got[FLOW] == pytest.approx(abs(exact), rel=2e-4)
    assert got[DIRECTION] == pytest.approx(1, rel=1e-6)
    mean = view_of(frames).motion.flow.mean(dim=(0, 1))
    across, other = (mean[0], mean[1]) if along == "x" else (mean[1], mean[0])
    assert across.item() == pytest.approx(exact, rel=2e-4)
    assert other.item() == pytest.approx(0, abs=1e-6)


def test_the_flow_of_a_long_wave_is_its_phase_speed():
    assert causality(travelling(0.01, 8, k=1, size=64))[FLOW] == pytest.approx(0.64, rel=3e-3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pattern_that_moves_diagonally(dtype):
    field = smooth(48, 48, sigma=6.0)
    frames = torch.stack([field.roll((step, -step), (0, 1)) for step in range(6)])[:, None].to(dtype)
    mean = view_of(frames).motion.flow.mean(dim=(0, 1)).tolist()
    assert mean == pytest.approx([-1, 1], rel=0.03)
    assert causality(frames)[DIRECTION] == pytest.approx(1, rel=1e-6)


def test_white_noise_flows_nowhere():
    got = causality(noise(400, 1, 24, 24))
    assert got[DIRECTION] < 0.1
    assert got[FLOW] > 0


def test_a_uniform_field_that_moves_has_no_flow():
    got = causality((3.0 + times(6))[:, None, None, None].expand(6, 1, 9, 9))
    assert got[FLOW] == 0
    assert got[DIRECTION] == 0
    assert got[INDEX] == pytest.approx(1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, -3.0, 1e4])
def test_what_stands_still(dtype, offset):
    still = (offset + smooth(2, 24, 20)).expand(24, 2, 24, 20).to(dtype)
    assert causality(still) == STATIC
    dust = still.double() * (1.0 + 1e-8 * noise(24, 1, 24, 20))
    assert causality(dust.to(dtype)) == STATIC
    assert causality(torch.zeros(24, 2, 8, 8, dtype=dtype)) == STATIC
    moving = still.double() * (1.0 + 1e-4 * noise(24, 1, 24, 20))
    assert causality(moving.to(dtype))[INDEX] != 0


def test_a_channel_that_stands_still_has_no_correlation():
    frames = rollout(12, 2)
    frames[:, 1] = frames[:1, 1]
    got = causality(frames)
    assert got[MAX.format(1)] == 0
    assert got[FLOW] == pytest.approx(causality(frames[:, :1])[FLOW] / 2)


def oracle(u):
    """Return the causality features of [T, C, H, W] by numpy, from pixels and not from a Gram matrix."""
    t, channels = u.shape[:2]
    got = {}
    centred = (u - u.mean(0)).reshape(t, channels, -1)
    for lag in range(1, min(3, t - 3) + 1):
        apart = [
            abs(correlation_oracle(centred, i, j, lag) - correlation_oracle(centred, j, i, lag))
            for i, j in itertools.combinations(range(channels), 2)
        ]
        if apart:
            got |= {MEAN.format(lag): np.mean(apart), MAX.format(lag): max(apart)}
    if t >= 8:
        got |= forecast_oracle(u.reshape(t, -1))
    d = np.diff(u, axis=0).transpose(1, 0, 2, 3).reshape(channels, -1)
    flow = np.array([[flow_oracle(u[k, c], u[k + 1, c]) for k in range(t - 1)] for c in range(channels)])
    speed = np.linalg.norm(flow, axis=-1).mean(1)
    return got | {
        SKEWNESS: np.mean((d**3).mean(1) / (d**2).mean(1) ** 1.5),
        INDEX: np.mean(np.abs((d**3).sum(1)) / (np.abs(d) ** 3).sum(1)),
        FLOW: speed.mean(),
        DIRECTION: np.mean(np.linalg.norm(flow.mean(1), axis=-1) / speed),
    }


def correlation_oracle(x, i, j, lag):
    early, late = x[: len(x) - lag, i], x[lag:, j]
    return (early * late).sum() / math.sqrt((early**2).sum() * (late**2).sum())


def forecast_oracle(x):
    t = len(x)
    squares = ((x[:, None] - x) ** 2).sum(-1)
    window, least = max(1, t // 20), 1e-6 * squares.mean()
    pairs = []
    for i in range(2, t - 2):
        near = [j for j in range(2, t - 2) if abs(i - j) > window and squares[i, j] > least]
        pairs.append((i, min(near, key=lambda j, i=i: squares[i, j])))
    got = {}
    for lag in (1, 2):
        ahead, back = (
            math.sqrt(np.mean([squares[i + s * lag, j + s * lag] for i, j in pairs])) for s in (1, -1)
        )
        got |= {RATIO.format(lag): ahead / back, DIFFERENCE.format(lag): (ahead - back) / (ahead + back)}
    return got


def flow_oracle(before, after):
    mean, d = (before + after) / 2, after - before
    g = np.stack([(np.roll(mean, -1, axis) - np.roll(mean, 1, axis)) / 2 for axis in (1, 0)]).reshape(2, -1)
    matrix = g @ g.T / d.size
    matrix += 1e-4 * np.trace(matrix) * np.eye(2)
    return -np.linalg.solve(matrix, g @ d.ravel() / d.size)


@settings(max_examples=30)
@given(st.integers(2, 45), st.integers(1, 4), st.integers(0, 2**31))
def test_random_trajectories_agree_with_the_oracle(count, channels, seed):
    frames = rollout(count, channels, 9, 10, seed=seed)
    got, expected = causality(frames), oracle(frames.numpy())
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-7, abs=1e-10), name


@pytest.mark.parametrize("count", [9, 24, 60])
def test_time_reversal(count):
    frames = rollout(count, seed=count)
    forward, back = causality(frames), causality(frames.flip(0))
    odd = {DIFFERENCE.format(1), DIFFERENCE.format(2), SKEWNESS}
    inverse = {RATIO.format(1), RATIO.format(2)}
    for name, value in forward.items():
        assert abs(value - STATIC[name]) > 1e-4, name
        expected = -value if name in odd else 1 / value if name in inverse else value
        assert back[name] == pytest.approx(expected, rel=1e-7), name


@pytest.mark.parametrize("factor", [0.37, 1e-12, 4096.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_amplitude_does_not_matter(dtype, factor):
    frames = rollout(20).to(dtype)
    got, scaled = causality(frames), causality(frames * factor)
    for name, value in got.items():
        assert scaled[name] == pytest.approx(value, rel=1e-7 if dtype == torch.float64 else 2e-5), name


@pytest.mark.parametrize(("count", "defined"), [(2, 4), (3, 4), (4, 6), (5, 8), (6, 10), (8, 14)])
def test_the_fewest_frames_that_are_enough(count, defined):
    got = causality(rollout(count))
    assert len(got) == defined
    assert all(math.isfinite(value) for value in got.values())
    assert len(causality(rollout(count, 1))) == (8 if count >= 8 else 4)
