"""Cross-channel features: known answers, a plain oracle, eigenvalues that keep their digits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spinlock.features.catalogue import features_of
from spinlock.features.channel_view import ChannelView, three_eigenvalues
from spinlock.features.field_view import FieldView
from test_features.known_fields import axes, bounds_of, frame_features, noise, smooth

NAMES = [
    "cross_channel_eigen_top_1",
    "cross_channel_eigen_top_2",
    "cross_channel_eigen_top_3",
    "cross_channel_eigen_trace",
    "cross_channel_condition_number",
    "cross_channel_participation_ratio",
    "cross_channel_corr_mean",
    "cross_channel_corr_max",
    "cross_channel_corr_min",
    "cross_channel_corr_std",
]


def waves(*phases, size=64):
    """Return channels cos(2π·3x/W + phase), [C, H, W]."""
    y, x = axes(size, size)
    return torch.stack([torch.cos(2 * math.pi * 3 * x / size + phase) + 0 * y for phase in phases])


def mixed(frames, channels, seed=0, size=40):
    """Return frames [T, C, H, W] whose channels are random mixtures of smooth fields."""
    weights = noise(frames, channels, channels, seed=seed + 100)
    return torch.einsum("tij,tjhw->tihw", weights, smooth(frames, channels, size, size, seed=seed))


def numbers(frames):
    return [frame_features(frames)[name].item() for name in NAMES if name in frame_features(frames)]


def test_the_ten_stand_in_order():
    entries = features_of("frame")
    assert [entry.name for entry in entries] == NAMES
    assert [entry.index for entry in entries] == list(range(69, 79))
    assert [entry.minimum_channels for entry in entries] == [1] * 6 + [2] * 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_three_waves(dtype):
    got = numbers(waves(0, 2 * math.pi / 3, 4 * math.pi / 3).to(dtype))
    tolerance = 1e-6 if dtype == torch.float64 else 1e-4
    expected = [1.5, 1.5, 0, 2, 1e6, 2, -0.5, -0.5, -0.5, 0]
    assert got == pytest.approx(expected, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("phase", [0.3, 1.2, 2.5, math.pi / 2])
def test_a_pair(phase, dtype):
    cosine = math.cos(phase)
    size = abs(cosine)
    got = numbers(waves(0, phase).to(dtype))
    tolerance = 1e-6 if dtype == torch.float64 else 1e-4
    expected = [1 + size, 1 - size, 0, 2 * size, (1 + size) / (1 - size), 2 / (1 + cosine**2)]
    assert got == pytest.approx([*expected, cosine, cosine, cosine, 0], rel=tolerance, abs=tolerance)


def test_equal_and_opposite_channels():
    assert numbers(waves(0, 0)) == pytest.approx([2, 0, 0, 2, 1e6, 1, 1, 1, 1, 0], abs=1e-9)
    assert numbers(waves(0, math.pi)) == pytest.approx([2, 0, 0, 2, 1e6, 1, -1, -1, -1, 0], abs=1e-9)


def test_one_channel():
    assert numbers(noise(1, 40, 40)) == [1, 0, 0, 0, 1, 1]
    assert numbers(torch.full((1, 40, 40), 3.0)) == [1, 0, 0, 0, 1, 1]


def test_a_flat_channel_is_correlated_with_none():
    frame = waves(0, 0.5, 0)
    frame[2] = 7.0
    cosine = math.cos(0.5)
    got = frame_features(frame)
    assert got["cross_channel_eigen_top_1"].item() == pytest.approx(1 + cosine)
    assert got["cross_channel_eigen_top_2"].item() == pytest.approx(1)
    assert got["cross_channel_corr_min"] == 0
    assert got["cross_channel_corr_mean"].item() == pytest.approx(cosine / 3)
    assert numbers(torch.zeros(3, 40, 40)) == [1, 1, 1, 0, 1, 3, 0, 0, 0, 0]


def oracle(frame):
    """Return the features of one frame [C, H, W] by numpy."""
    channels = len(frame)
    matrix = np.atleast_2d(np.corrcoef(frame.reshape(channels, -1)))
    values = np.linalg.eigvalsh(matrix)[::-1].clip(0)
    top = [*values, 0.0, 0.0][:3]
    pairs = matrix[np.triu_indices(channels, 1)]
    condition = min(values[0] / max(values[-1], 1e-6 * values[0]), 1e6)
    ratio = values.sum() ** 2 / (values**2).sum()
    spread = [pairs.mean(), pairs.max(), pairs.min(), pairs.std()] if pairs.size else []
    return [*top, np.abs(values - 1).sum(), condition, ratio, *spread]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_mixtures_agree_with_the_oracle(channels):
    frames = mixed(8, channels)
    got = frame_features(frames)
    for t, frame in enumerate(frames.numpy()):
        row = [value[t].item() for value in got.values()]
        assert row == pytest.approx(oracle(frame), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_float32_agrees_with_float64(channels):
    stored = (10.0 + mixed(8, channels, seed=2)).float()
    single, double = frame_features(stored), frame_features(stored.double())
    for name, value in single.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), double[name], rtol=1e-4, atol=1e-9, msg=name)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_float32_resolves_nearly_dependent_channels(channels):
    common = smooth(4, 1, 40, 40)
    stored = (common + 0.01 * noise(4, channels, 40, 40)).float()
    single, double = frame_features(stored), frame_features(stored.double())
    condition = "cross_channel_condition_number"
    assert double[condition].min() > 1e4
    torch.testing.assert_close(single[condition].double(), double[condition], rtol=1e-4, atol=0)


def correlations(a, b, c):
    """Return three correlations that some channels can have: those of three rows of a triangular matrix."""
    second = math.sqrt(1 - a * a)
    third = math.sqrt(1 - b * b)
    return a, b, a * b + second * third * c


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_three_eigenvalues_are_those_of_the_matrix(a, b, c):
    a, b, c = correlations(a, b, c)
    matrix = np.array([[1, a, b], [a, 1, c], [b, c, 1]])
    got = three_eigenvalues(torch.tensor([a, b, c], dtype=torch.float64)).numpy()
    np.testing.assert_allclose(got, np.linalg.eigvalsh(matrix)[::-1], atol=1e-13)
    assert (np.diff(got) <= 1e-15).all()


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_small_double_eigenvalues_keep_their_digits(gap):
    """R_ij = 1 − g has eigenvalues 3 − 2g, g, g; arccos of a rounded number would lose half the digits."""
    pairs = torch.full((3,), 1.0 - gap, dtype=torch.float64)
    expected = torch.tensor([3 - 2 * gap, gap, gap], dtype=torch.float64)
    torch.testing.assert_close(three_eigenvalues(pairs), expected, rtol=1e-6, atol=1e-15)
    split = pairs * torch.tensor([1.0, 1.0, 1.0 - gap], dtype=torch.float64)
    root = math.sqrt(split[2].item() ** 2 + 8 * split[0].item() ** 2)
    exact = [1 + (split[2].item() + root) / 2, 1 + (split[2].item() - root) / 2, 1 - split[2].item()]
    expected = torch.tensor(sorted(exact, reverse=True), dtype=torch.float64)
    torch.testing.assert_close(three_eigenvalues(split), expected, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("channels", [2, 3, 5])
def test_permuting_the_channels_changes_nothing(channels):
    frames = mixed(4, channels, seed=4)
    got = frame_features(frames)
    for name, value in frame_features(frames.flip(1).roll(1, 1)).items():
        torch.testing.assert_close(value, got[name], rtol=1e-8, atol=1e-10, msg=name)


def test_translation_scale_and_offset_of_all_channels_change_nothing():
    frames = mixed(4, 3, seed=5)
    got = frame_features(frames)
    each = torch.tensor([0.01, 5.0, 300.0], dtype=torch.float64)[:, None, None]
    for changed in (frames.roll((3, 8), (-2, -1)), frames.mT, -2.5 * frames, each * frames + each):
        for name, value in frame_features(changed).items():
            torch.testing.assert_close(value, got[name], rtol=1e-7, atol=1e-9, msg=name)
    turned = frame_features(frames * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)[:, None, None])
    torch.testing.assert_close(turned["cross_channel_eigen_top_1"], got["cross_channel_eigen_top_1"])
    assert (turned["cross_channel_corr_mean"] != got["cross_channel_corr_mean"]).any()


def test_at_three_channels_seven_follow_from_mean_maximum_and_minimum():
    got = frame_features(mixed(6, 3, seed=6))
    mean, largest, least = (got[f"cross_channel_corr_{kind}"] for kind in ("mean", "max", "min"))
    pairs = torch.stack([largest, 3 * mean - largest - least, least], dim=-1)
    values = three_eigenvalues(pairs)
    for place in range(3):
        torch.testing.assert_close(got[f"cross_channel_eigen_top_{place + 1}"], values[..., place])
    torch.testing.assert_close(got["cross_channel_corr_std"], pairs.std(dim=-1, correction=0))
    named = {entry.name for entry in features_of("frame") if entry.redundant_with}
    assert named == set(NAMES) - {f"cross_channel_corr_{kind}" for kind in ("mean", "max", "min")}


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_values_lie_within_the_declared_bounds(channels):
    symbols = {"C": channels, "C/2": channels / 2, "C/3": channels / 3, "2(C − 1)": 2 * (channels - 1)}
    frames = torch.cat([mixed(6, channels), noise(1, 1, 40, 40).expand(1, channels, 40, 40)])
    got = frame_features(frames)
    for entry in features_of("frame"):
        if entry.name in got:
            low, high = bounds_of(entry, **symbols)
            assert (got[entry.name] >= low - 1e-9).all(), entry.name
            assert (got[entry.name] <= high + 1e-9).all(), entry.name


def test_leading_axes_are_kept_and_frames_are_independent():
    frames = mixed(4, 3, seed=7)
    other = 1e5 * mixed(4, 3, seed=8)
    other[2] = frames[2]
    for name, value in frame_features(other).items():
        assert value.shape == (4,)
        assert torch.equal(value[2], frame_features(frames)[name][2]), name
    view = ChannelView(FieldView(frames.reshape(2, 2, 3, 40, 40)))
    assert view.eigenvalues.shape == (2, 2, 3)
