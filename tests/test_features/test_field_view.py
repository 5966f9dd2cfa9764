"""Fields: exact ranks, stable moments, the flat rule, one pass for each shared intermediate."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from spinlock.features import order_statistics as ranks
from spinlock.features.catalogue import features_of
from spinlock.features.channel_view import ChannelView
from spinlock.features.field_view import FieldView
from spinlock.features.fourier_modes import fourier_modes
from test_features.known_fields import axes, bounds_of, checkerboard, field_features, noise, smooth, wave

SIDES = st.integers(2, 9)
SEEDS = st.integers(0, 2**32 - 1)

POWER_TWO = {"spatial_variance", "laplacian_energy"}
POWER_ZERO = {"spatial_skewness", "spatial_kurtosis", "gradient_anisotropy"}


def exponent(feature):
    """Return p of the power law f(a·u) = aᵖ·f(u), a > 0."""
    if feature.name in POWER_TWO or feature.name.startswith("fft_power"):
        return 2
    return 0 if feature.name in POWER_ZERO or feature.category == "spectral" else 1


@given(SIDES, SIDES, SEEDS)
def test_ranks_are_those_of_numpy(height, width, seed):
    field = noise(3, height, width, seed=seed)
    field[1] = field[1].mul(2).round()  # ties
    got = FieldView(field).order_statistics
    rows = field.flatten(1).numpy()
    expected = np.percentile(rows, [25, 50, 75], axis=1)
    mad = np.median(np.abs(rows - np.median(rows, axis=1, keepdims=True)), axis=1)
    for value, target in zip(got, [*expected, mad], strict=True):
        np.testing.assert_allclose(value.numpy(), target, rtol=1e-14, atol=1e-15)


def test_ranks_of_a_large_float32_field_are_its_own_values():
    values = torch.arange(65536.0)[torch.argsort(noise(65536))].reshape(256, 256)
    got = FieldView(values).order_statistics
    assert [float(v) for v in got] == [16383.75, 32767.5, 49151.25, 16384.0]
    odd = FieldView(values[:255, :255]).order_statistics
    assert odd.median in values
    assert odd.lower_quartile in values  # rank (65025 − 1)/4 is whole


def test_both_ways_to_sort_agree(monkeypatch):
    rows = noise(4, 31).float()
    expected = ranks.ascending(rows)
    monkeypatch.setattr(ranks.np, "sort", None)
    assert torch.equal(rows.sort(dim=-1).values, expected)
    with pytest.raises(TypeError):
        ranks.ascending(rows)  # a CPU tensor does go through numpy


@given(SIDES, SIDES, SEEDS)
def test_moments_are_those_of_numpy(height, width, seed):
    field = 5.0 + noise(2, height, width, seed=seed)
    view, rows = FieldView(field), field.flatten(1).numpy()
    np.testing.assert_allclose(view.mean.numpy(), rows.mean(axis=1), rtol=1e-13)
    np.testing.assert_allclose(view.std.numpy(), rows.std(axis=1), rtol=1e-12)
    np.testing.assert_allclose(view.variance.numpy(), rows.var(axis=1), rtol=1e-12)
    assert torch.equal(view.minimum, field.amin(dim=(-2, -1)))
    assert torch.equal(view.maximum, field.amax(dim=(-2, -1)))
    assert not view.flat.any()


def test_a_large_offset_costs_no_digits_but_those_of_the_input():
    stored = (1e4 + noise(8, 64, 64)).float()
    exact, view = FieldView(stored.double()), FieldView(stored)
    torch.testing.assert_close(view.std.double(), exact.std, rtol=1e-6, atol=0)
    torch.testing.assert_close(view.mean.double(), exact.mean, rtol=1e-7, atol=0)
    assert view.centred.double().mean(dim=(-2, -1)).abs().max() < 1e-6
    naive = stored.square().mean(dim=(-2, -1)) - stored.mean(dim=(-2, -1)).square()
    assert (naive / exact.variance - 1).abs().max() > 0.1  # what E[x²] − E[x]² would give


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e7])
@pytest.mark.parametrize(("dust", "flat"), [(0.99e-6, True), (1.01e-6, False)])
def test_flat_is_a_matter_of_proportion(scale, dust, flat):
    field = scale * (-1.0 + dust * checkerboard(16))
    view = FieldView(field)
    assert bool(view.flat) == flat
    assert bool(view.std == 0) == flat
    assert bool((view.centred == 0).all()) == flat
    assert bool((view.transform == 0).all()) == flat


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0, 1e8, 1e-30])
def test_features_of_flat_fields_are_their_value_or_zero(value, dtype):
    flat = torch.full((2, 36, 36), value, dtype=dtype)
    flat[1, ::2] *= 1 + 1e-7  # rounding dust in float32, more in float64
    assert FieldView(flat).flat.all()
    for name, number in field_features(flat).items():
        if name in ("spatial_mean", "spatial_min", "spatial_max"):
            torch.testing.assert_close(number, torch.full_like(number, value), rtol=1e-6, atol=0)
        else:
            assert (number == 0).all(), name


def test_a_flat_field_leaves_its_neighbours_alone():
    fields = noise(3, 40, 40)
    fields[1] = 2.5
    mixed = field_features(fields)
    for place in (0, 2):
        alone = field_features(fields[place : place + 1])
        for name, numbers in mixed.items():
            torch.testing.assert_close(numbers[place], alone[name][0], rtol=1e-12, atol=0, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_field_does_not_depend_on_those_beside_it(dtype):
    fields = noise(4, 3, 40, 40).to(dtype)
    others = 1e6 * smooth(4, 3, 40, 40, seed=5).to(dtype)
    others[2, 1] = fields[2, 1]
    for name, numbers in field_features(others).items():
        assert torch.equal(numbers[2, 1], field_features(fields)[name][2, 1]), name


@pytest.mark.parametrize("shape", [(40, 40), (5, 40, 40), (2, 3, 36, 50)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_keep_shape_and_dtype_and_leave_the_fields(shape, dtype):
    fields = noise(*shape).to(dtype)
    before = fields.clone()
    for name, numbers in field_features(fields).items():
        assert numbers.shape == shape[:-2], name
        assert numbers.dtype == dtype, name
    assert torch.equal(fields, before)


def test_strided_fields_give_the_same_bits():
    fields = noise(3, 40, 40).float()
    strided = torch.empty(3, 40, 80)[..., ::2].copy_(fields)
    assert not strided.is_contiguous()
    for name, numbers in field_features(strided).items():
        assert torch.equal(numbers, field_features(fields)[name]), name


SIGNED = {"spatial_skewness", "spatial_kurtosis", "gradient_anisotropy", "spectral_anisotropy"}
"""Sums of both signs: their rounding is relative to 1, not to what is left."""

FAMILIES = {
    "noise": lambda: noise(3, 40, 40),
    "smooth": lambda: smooth(3, 40, 40, sigma=0.8),
    "offset": lambda: 30.0 + smooth(3, 40, 40, seed=1, sigma=0.8),
    "rectangle": lambda: smooth(2, 48, 37, seed=2, sigma=0.7),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_float32_agrees_with_float64(family):
    stored = FAMILIES[family]().float()
    single, double = field_features(stored), field_features(stored.double())
    for name, numbers in single.items():
        rtol = 1e-2 if name == "spectral_flatness" else 1e-4
        atol = 1e-6 if name in SIGNED else 0.0
        torch.testing.assert_close(
            numbers.double(), double[name], rtol=rtol, atol=atol, msg=f"{family} {name}"
        )


@pytest.mark.parametrize("factor", [3.7, 0.02])
def test_every_column_follows_a_power_law(factor):
    field = smooth(2, 40, 40, seed=4)
    original, scaled = field_features(field), field_features(factor * field)
    for entry in features_of("field"):
        expected = factor ** exponent(entry) * original[entry.name]
        torch.testing.assert_close(scaled[entry.name], expected, rtol=1e-9, atol=1e-15, msg=entry.name)


def test_tiny_and_huge_float32_fields_keep_their_shape():
    """A power of two scales floats without rounding, so what does not underflow must scale exactly."""
    field = smooth(2, 40, 40, seed=6).float()
    original = field_features(field)
    for factor in (2.0**-80, 2.0**26):
        scaled = field_features(factor * field)
        for entry in features_of("field"):
            power = exponent(entry)
            if power < 2 or factor > 1:
                expected = factor**power * original[entry.name]
                torch.testing.assert_close(scaled[entry.name], expected, rtol=1e-6, atol=0, msg=entry.name)


def test_units_tell_the_power_law():
    for entry in features_of("field"):
        power = {"u²": 2, "u": 1}.get(entry.unit.split("/")[0], 0)
        assert power == exponent(entry), entry.name


@settings(max_examples=25)
@given(st.integers(36, 44), st.integers(36, 44), SEEDS, st.floats(-1, 1), st.floats(0, 3))
def test_values_lie_within_the_declared_bounds(height, width, seed, offset, power):
    field = offset + noise(2, height, width, seed=seed)
    field = field.sign() * field.abs() ** power  # from two values to heavy tails
    root = math.sqrt(height * width)
    numbers = field_features(field)
    for entry in features_of("field"):
        low, high = bounds_of(entry, **{"√(HW)": root, "−√(HW)": -root})
        assert (numbers[entry.name] >= low - 1e-9).all(), entry.name
        assert (numbers[entry.name] <= high + 1e-9).all(), entry.name


class Operations(TorchDispatchMode):
    """Records the names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def evaluate(frames):
    fields = FieldView(frames)
    views = {"field": fields, "frame": ChannelView(fields)}
    return [entry(views[entry.level]) for entry in features_of("field", "frame")]


WAITING = {"_local_scalar_dense", "item", "nonzero", "masked_select", "is_nonzero", "equal"}


def test_intermediates_are_computed_once_and_nothing_is_waited_for(monkeypatch):
    frames = noise(4, 3, 40, 40)
    fourier_modes(40, 40, frames.dtype, frames.device)
    sorts = []
    monkeypatch.setattr(ranks, "ascending", lambda rows: sorts.append(rows.shape) or rows.sort(dim=-1).values)
    with Operations() as ran:
        evaluate(frames)
    assert len(sorts) == 1
    assert ran.names.count("_fft_r2c") == 1
    assert ran.names.count("bmm") == 1  # the correlation matrices
    assert ran.names.count("hypot") == 2  # the gradient magnitude, the spectral anisotropy
    big_rolls = 2 + 4 + 2  # forward, central, Laplacian
    assert ran.names.count("roll") == big_rolls + 2  # two of the eigenvalues' [T, 3]
    assert not WAITING & set(ran.names)
    with Operations() as waited:
        bool((frames > 0).any())
    assert WAITING & set(waited.names)  # the record does see it when something waits


def test_differences_are_periodic_and_standard():
    field = noise(9, 7)
    view = FieldView(field)
    along_x, along_y = view.forward_differences
    u = field.numpy()
    np.testing.assert_allclose(along_x.numpy(), np.roll(u, -1, 1) - u, atol=1e-14)
    np.testing.assert_allclose(along_y.numpy(), np.roll(u, -1, 0) - u, atol=1e-14)
    along_x, along_y = view.central_differences
    np.testing.assert_allclose(along_x.numpy(), (np.roll(u, -1, 1) - np.roll(u, 1, 1)) / 2, atol=1e-14)
    np.testing.assert_allclose(along_y.numpy(), (np.roll(u, -1, 0) - np.roll(u, 1, 0)) / 2, atol=1e-14)


def test_the_transform_is_that_of_the_deviations():
    field = noise(2, 12, 9) + 4.0
    view = FieldView(field)
    back = torch.fft.irfft2(view.transform, s=(12, 9))
    torch.testing.assert_close(back + view.mean[:, None, None], field, rtol=1e-12, atol=1e-12)


COUNTS = {
    64: [8, 160, 676, 1772, 1479],
    128: [44, 620, 2676, 7176, 5867],
    256: [168, 2448, 10724, 28804, 23391],
}


@pytest.mark.parametrize("size", COUNTS)
def test_bands_hold_the_known_numbers_of_modes(size):
    modes = fourier_modes(size, size, torch.float64, torch.device("cpu"))
    assert list(modes.band_sizes) == COUNTS[size]
    assert sum(modes.band_sizes) == size**2 - 1


@pytest.mark.parametrize("size", range(30, 42))
def test_band_zero_is_empty_below_36(size):
    modes = fourier_modes(size, size, torch.float64, torch.device("cpu"))
    assert (modes.band_sizes[0] == 0) == (size < 36)
    assert min(modes.band_sizes[1:]) > 0


@given(SIDES, SIDES)
def test_modes_count_every_mode_of_the_plane_once(height, width):
    modes = fourier_modes(height, width, torch.float64, torch.device("cpu"))
    assert sum(modes.band_sizes) == modes.weight.sum() == height * width - 1
    assert modes.thirds[0].start == 0
    assert modes.thirds[-1].stop == len(modes.order) == len(set(modes.order.tolist()))
    assert (modes.frequency.diff() >= 0).all()
    torch.testing.assert_close(torch.hypot(modes.frequency_x, modes.frequency_y), modes.frequency)


def test_a_mode_on_the_edge_of_a_third_belongs_below():
    """ρ = 8/48 is exactly 1/6; in floating point it may come out on either side."""
    y, x = axes(48, 48)
    for k, name in (
        (8, "low_freq_ratio"),
        (9, "mid_freq_ratio"),
        (16, "mid_freq_ratio"),
        (17, "high_freq_ratio"),
    ):
        for field in (wave(k, size=48), wave(k, size=48).mT):
            assert field_features(field)[name] == pytest.approx(1.0)
    diagonal = torch.sin(2 * math.pi * 5 * (x + y) / 48)  # ρ = 0.1473
    assert field_features(diagonal)["low_freq_ratio"] == pytest.approx(1.0)
