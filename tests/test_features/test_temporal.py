"""Temporal features: known answers, a plain oracle, time reversal, the values of what stands still."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.features.catalogue import features_of
from test_features.known_fields import noise, smooth
from test_features.trajectory_samples import DTYPES, features, growing, modulated, rollout, times, travelling

TEMPORAL = [entry for entry in features_of("trajectory") if entry.category == "temporal"]
STATIC = {
    "energy_growth_rate": 0,
    "energy_growth_accel": 0,
    "variance_growth_rate": 0,
    "temporal_freq_dominant": 0,
    "oscillation_amplitude": 0,
    "oscillation_period": 24,
    "autocorr_decay_time": 20,
    "lyapunov_approx": 0,
    "trajectory_smoothness": 1,
    "regime_switches": 0,
    "final_to_initial_ratio": 1,
    "trend_strength": 0,
    "detrended_variance": 0,
}


def temporal(frames):
    return features(frames, "temporal")


def rms(field):
    return field.square().mean().sqrt().item()


def test_the_thirteen_stand_in_order():
    assert [entry.name for entry in TEMPORAL] == list(STATIC)
    assert [entry.index for entry in TEMPORAL] == list(range(46, 59))
    assert [entry.minimum_frames for entry in TEMPORAL] == [2, 3, 2, 4, 4, 4, 4, 8, 3, 3, 2, 3, 3]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [-0.11, 0.03, 0.25])
def test_exponential_growth(dtype, rate):
    got = temporal(growing(rate, 24).to(dtype))
    assert got["energy_growth_rate"] == pytest.approx(2 * rate, rel=1e-6)
    assert got["variance_growth_rate"] == pytest.approx(2 * rate, rel=1e-6)
    assert got["energy_growth_accel"] == pytest.approx(0, abs=1e-6)
    assert got["lyapunov_approx"] == pytest.approx(rate, rel=1e-6 if dtype == torch.float64 else 1e-2)
    assert got["final_to_initial_ratio"] == pytest.approx(math.exp(2 * rate * 23), rel=1e-5)
    assert got["regime_switches"] == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("acceleration", [-0.02, 0.01])
def test_accelerated_growth(dtype, acceleration):
    got = temporal(modulated(torch.exp(0.5 * acceleration * times(20).square())).to(dtype))
    assert got["energy_growth_accel"] == pytest.approx(2 * acceleration, rel=1e-5)


def test_variance_and_energy_grow_apart_if_the_mean_does():
    frames = growing(0.1, 12, smooth(24, 20) - smooth(24, 20).mean()) + 50.0
    got = temporal(frames)
    assert got["variance_growth_rate"] == pytest.approx(0.2, rel=1e-6)
    assert abs(got["energy_growth_rate"]) < 0.01


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_logarithm_has_a_floor(dtype):
    frames = growing(0.0, 10)
    frames[5:] = 0.0
    steps = np.where(np.arange(10) < 5, 0.0, math.log(1e-12))
    slope = np.polyfit(np.arange(10), steps, 1)[0]
    got = temporal(frames.to(dtype))
    assert got["energy_growth_rate"] == pytest.approx(slope, rel=1e-6)
    assert got["final_to_initial_ratio"] == pytest.approx(1e-12, rel=1e-6)
    assert temporal(frames.flip(0).to(dtype))["final_to_initial_ratio"] == pytest.approx(1e12, rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("p", "count"), [(2, 32), (5, 30), (7, 25), (16, 32)])
def test_a_travelling_wave_oscillates_with_its_own_frequency(dtype, p, count):
    got = temporal(travelling(p / count, count, amplitude=1.5).to(dtype))
    assert got["temporal_freq_dominant"] == pytest.approx(p / count, rel=1e-6)
    assert got["oscillation_period"] == pytest.approx(count / p, rel=1e-6)
    amplitude = 1.5 if 2 * p != count else 1.5 / math.sqrt(2)  # at ½ it does not travel but stand
    assert got["oscillation_amplitude"] == pytest.approx(amplitude, rel=1e-6)
    assert got["trajectory_smoothness"] == pytest.approx(math.cos(math.pi * p / count) ** 2, abs=1e-6)
    assert got["regime_switches"] == 0
    assert got["trend_strength"] == 0
    assert got["detrended_variance"] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_standing_wave(dtype):
    field = smooth(24, 20)
    got = temporal(modulated(torch.cos(2 * math.pi * 3 * times(24) / 24), field).to(dtype))
    assert got["temporal_freq_dominant"] == pytest.approx(3 / 24, rel=1e-6)
    assert got["oscillation_amplitude"] == pytest.approx(rms(field), rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [16, 24])
def test_alternating_frames(dtype, count):
    field = smooth(24, 20)
    got = temporal(modulated((-1.0) ** times(count), field).to(dtype))
    assert got["temporal_freq_dominant"] == 0.5
    assert got["oscillation_period"] == 2
    assert got["oscillation_amplitude"] == pytest.approx(rms(field), rel=1e-6)
    assert got["trajectory_smoothness"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("period", [8, 16, 48])
def test_the_decay_time_of_a_wave(dtype, period):
    got = temporal(travelling(1 / period, 48).to(dtype))["autocorr_decay_time"]
    rho = np.cos(2 * np.pi * np.arange(21) / period)
    after = int(np.argmax(rho <= math.exp(-1)))
    expected = after - 1 + (rho[after - 1] - math.exp(-1)) / (rho[after - 1] - rho[after])
    assert got == pytest.approx(expected, rel=1e-6)
    if period == 16:
        assert 3 < got < 4


def test_the_decay_time_of_a_slow_trajectory_is_the_cap():
    slow = modulated(1.0 + 0.1 * torch.cos(math.pi * times(300) / 300))
    assert temporal(slow)["autocorr_decay_time"] == 20
    assert temporal(slow[:150:30])["autocorr_decay_time"] < 4


@pytest.mark.parametrize("a", [0.5, 0.8])
def test_the_decay_time_of_an_autoregression(a):
    kicks = noise(400, 1, 12, 12, seed=3)
    states = [kicks[0] / math.sqrt(1 - a * a)]
    for kick in kicks[1:]:
        states.append(a * states[-1] + kick)
    got = temporal(torch.stack(states))["autocorr_decay_time"]
    lags = np.arange(21)
    exact = float(np.interp(-math.exp(-1), -(a**lags), lags))
    assert got == pytest.approx(exact, rel=0.05)
    assert got == pytest.approx(-1 / math.log(a), rel=0.1)


def test_what_is_white_in_time():
    got = temporal(noise(300, 1, 24, 24))
    assert got["autocorr_decay_time"] == pytest.approx(1 - math.exp(-1), rel=0.01)
    assert got["trajectory_smoothness"] == pytest.approx(0.25, abs=0.01)
    assert got["lyapunov_approx"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_straight_line_is_smooth(dtype):
    frames = noise(1, 1, 16, 16) + times(9)[:, None, None, None] * noise(1, 1, 16, 16, seed=1)
    assert temporal(frames.to(dtype))["trajectory_smoothness"] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_contraction_to_a_fixed_point(dtype, rate):
    frames = noise(16, 16, seed=4) + growing(-rate, 24, smooth(16, 16))
    expected = pytest.approx(-rate, rel=1e-6 if dtype == torch.float64 else 1e-2)
    assert temporal(frames.to(dtype))["lyapunov_approx"] == expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_travelling_wave_is_not_chaotic(dtype):
    frequency = (math.sqrt(5) - 1) / 10
    got = temporal(travelling(frequency, 60).to(dtype))
    assert got["lyapunov_approx"] == pytest.approx(0, abs=1e-6 if dtype == torch.float64 else 1e-3)


def logistic(count):
    x = [0.3123]
    for _ in range(count - 1):
        x.append(4 * x[-1] * (1 - x[-1]))
    return x


def test_the_logistic_map_is_chaotic():
    frames = modulated(logistic(400), noise(4, 4))
    assert temporal(frames)["lyapunov_approx"] == pytest.approx(math.log(2), rel=0.05)
    shuffled = frames[torch.argsort(noise(400))]
    assert abs(temporal(shuffled)["lyapunov_approx"]) < 0.1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [3, 8, 21])
def test_regime_switches_count_reversals(dtype, count):
    steps = torch.where(times(count) % 2 == 0, 1.0, 2.0)
    assert temporal(modulated(steps).to(dtype))["regime_switches"] == count - 2
    assert temporal(modulated(1.0 + times(count)).to(dtype))["regime_switches"] == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_steps_reverse_nothing(dtype):
    rising = [0.0, 1.0, 0.9996, 2.0, 1.9996, 1.9997, 3.0]
    assert temporal(modulated(np.exp(rising)).to(dtype))["regime_switches"] == 0
    falling = [0.0, 1.0, 0.9996, 0.9992, -1.0, -1.0, 2.0]
    assert temporal(modulated(np.exp(falling)).to(dtype))["regime_switches"] == 2


def test_independent_energies_switch_in_two_thirds_of_the_steps():
    got = temporal(modulated(torch.exp(noise(3000)), noise(2, 2)))["regime_switches"]
    assert got == pytest.approx(2 / 3 * 2998, rel=0.03)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [6, 25])
def test_trend_of_the_mean(dtype, count):
    t, p = times(count), 2
    base = smooth(24, 20) - smooth(24, 20).mean()
    cases = {
        "linear": (0.3 * t - 1.0, 1.0, 0.0),
        "cosine": (torch.cos(2 * math.pi * p * t / count), 6 / (count**2 - 1), 0.5),
        "sine": (
            torch.sin(2 * math.pi * p * t / count),
            6 / math.tan(math.pi * p / count) ** 2 / (count**2 - 1),
            0.5,
        ),
    }
    for mean, share, variance in cases.values():
        got = temporal((mean[:, None, None, None] + base).to(dtype))
        assert got["trend_strength"] == pytest.approx(share, rel=1e-5)
        assert got["detrended_variance"] == pytest.approx(variance * (1 - share), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0.0, -3.0, 1e4])
def test_what_stands_still(dtype, offset):
    still = (offset + smooth(2, 24, 20)).expand(24, 2, 24, 20).to(dtype)
    assert temporal(still) == STATIC
    dust = still.double() * (1.0 + 1e-8 * noise(24, 1, 24, 20))
    assert temporal(dust.to(dtype)) == STATIC
    assert temporal(torch.zeros(24, 1, 8, 8, dtype=dtype)) == STATIC
    moving = still.double() * (1.0 + 1e-4 * noise(24, 1, 24, 20))
    assert temporal(moving.to(dtype))["oscillation_amplitude"] > 0


def test_a_channel_that_stands_still_beside_one_that_moves():
    moving = growing(0.1, 16)
    both = torch.cat((moving, moving[:1].expand_as(moving)), dim=1)
    one, two = temporal(moving), temporal(both)
    assert two["energy_growth_rate"] == pytest.approx(one["energy_growth_rate"] / 2)
    assert two["autocorr_decay_time"] == pytest.approx((one["autocorr_decay_time"] + 15) / 2)
    assert two["lyapunov_approx"] == pytest.approx(one["lyapunov_approx"])


def oracle(u):
    """Return the temporal features of [T, C, H, W] by numpy, from pixels and not from a Gram matrix."""
    t, channels = u.shape[:2]
    rows = [channel_oracle(u[:, c].reshape(t, -1)) for c in range(channels)]
    got = {name: np.mean([row[name] for row in rows]) for name in rows[0]}
    if t >= 8:
        got["lyapunov_approx"] = divergence_oracle(u.reshape(t, -1))
    return got


def channel_oracle(x):
    t, time = len(x), np.arange(len(x))
    energy, m = (x**2).mean(1), x.mean(1)
    log = np.log(np.maximum(energy, 1e-12 * energy.max()))
    got = {
        "energy_growth_rate": np.polyfit(time, log, 1)[0],
        "variance_growth_rate": np.polyfit(time, np.log(x.var(1)), 1)[0],
        "final_to_initial_ratio": energy[-1] / energy[0],
    }
    if t >= 3:
        fit = np.polyval(np.polyfit(time, m, 1), time)
        changes = np.sign(np.diff(log)[np.abs(np.diff(log)) > 1e-3])
        got |= {
            "energy_growth_accel": 2 * np.polyfit(time, log, 2)[0],
            "trajectory_smoothness": max(
                0.0, 1 - (np.diff(x, 2, axis=0) ** 2).mean() / (4 * (np.diff(x, axis=0) ** 2).mean())
            ),
            "regime_switches": np.sum(changes[1:] != changes[:-1]),
            "trend_strength": 1 - ((m - fit) ** 2).sum() / ((m - m.mean()) ** 2).sum(),
            "detrended_variance": ((m - fit) ** 2).mean(),
        }
    if t >= 4:
        got |= spectrum_oracle(x - x.mean(0))
    return got


def spectrum_oracle(x):
    t = len(x)
    power = (np.abs(np.fft.fft(x, axis=0)) ** 2).mean(1)[1 : t // 2 + 1] / t**2
    weights = np.where(2 * np.arange(1, t // 2 + 1) == t, 1.0, 2.0)
    best = np.argmax(weights * power)
    cap = min(20, t - 1)
    rho = [(x[: t - lag] * x[lag:]).mean() / (x**2).mean() for lag in range(cap + 1)]
    decay = cap
    for lag in range(1, cap + 1):
        if rho[lag] <= math.exp(-1):
            decay = lag - 1 + (rho[lag - 1] - math.exp(-1)) / (rho[lag - 1] - rho[lag])
            break
    return {
        "temporal_freq_dominant": (best + 1) / t,
        "oscillation_amplitude": weights[best] * math.sqrt(power[best]),
        "oscillation_period": t / (best + 1),
        "autocorr_decay_time": decay,
    }


def divergence_oracle(x):
    t = len(x)
    steps, window = min(5, t // 4), max(1, t // 20)
    distance = np.sqrt(((x[:, None] - x) ** 2).sum(-1))
    least = 1e-6 * (distance**2).mean()
    logs = []
    for i in range(t - steps):
        near = [j for j in range(t - steps) if abs(i - j) > window and distance[i, j] ** 2 > least]
        j = min(near, key=lambda j, i=i: distance[i, j])
        logs.append([math.log(distance[i + q, j + q]) for q in range(1, steps + 1)])
    return np.polyfit(np.arange(1, steps + 1), np.mean(logs, axis=0), 1)[0]


@settings(max_examples=30)
@given(st.integers(2, 45), st.integers(1, 3), st.integers(0, 2**31))
def test_random_trajectories_agree_with_the_oracle(count, channels, seed):
    frames = rollout(count, channels, 9, 10, seed=seed)
    got, expected = temporal(frames), oracle(frames.numpy())
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name] == pytest.approx(value, rel=1e-7, abs=1e-10), name


@pytest.mark.parametrize("count", [9, 24, 60])
def test_time_reversal(count):
    frames = rollout(count, seed=count)
    forward, back = temporal(frames), temporal(frames.flip(0))
    for name, value in forward.items():
        if name in ("energy_growth_rate", "variance_growth_rate"):
            value = -value
        elif name == "final_to_initial_ratio":
            value = np.mean([1 / features(frames[:, c, None], "temporal")[name] for c in range(3)])
        elif name == "lyapunov_approx":
            assert back[name] != pytest.approx(value, rel=1e-3)
            continue
        assert back[name] == pytest.approx(value, rel=1e-7, abs=1e-10), name


POWERS = {"oscillation_amplitude": 1, "detrended_variance": 2}


@pytest.mark.parametrize("factor", [0.37, 1e-6, 4096.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_is_a_power_of_the_amplitude(dtype, factor):
    frames = rollout(20).to(dtype)
    got, scaled = temporal(frames), temporal(frames * factor)
    for name, value in got.items():
        expected = value * factor ** POWERS.get(name, 0)
        near = {"rel": 1e-7} if dtype == torch.float64 else {"rel": 2e-5, "abs": 2e-5 * factor**2}
        if name == "energy_growth_accel":
            near = near | {"abs": 1e-8}
        assert scaled[name] == pytest.approx(expected, **near), name


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_the_fewest_frames_that_are_enough(count):
    got = temporal(rollout(count))
    assert len(got) == {2: 3, 3: 8, 4: 12, 8: 13}[count]
    assert all(math.isfinite(value) for value in got.values())
