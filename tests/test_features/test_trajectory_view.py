"""The shared intermediates of a trajectory: exact products, neighbours, fits; each computed once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.features import drift as drift_module
from spinlock.features import trajectory_view
from spinlock.features.catalogue import features_of
from spinlock.features.gram import gram, squared_distances
from spinlock.features.lags import autocorrelation, first_crossing, lag_sums, time_spectrum
from spinlock.features.least_squares import quadratic_coefficient, residual_variance, slope
from spinlock.features.neighbours import analogues
from test_features.known_fields import bounds_of, noise, smooth
from test_features.trajectory_samples import DTYPES, features, growing, modulated, rollout, times, view_of

LOOSE = {
    "lyapunov_approx",
    *(f"causality_pred_error_{kind}_lag{lag}" for kind in ("ratio", "diff") for lag in (1, 2)),
}


def distances(frames):
    x = frames.double().flatten(2).numpy()
    return ((x[:, None] - x[None]) ** 2).mean(-1).sum(-1)


def test_products_are_those_of_time_centred_frames():
    frames = rollout(7, 3)
    x = (frames - frames.mean(0)).flatten(2).numpy()
    products = gram(frames)
    full = np.einsum("tin,sjn->ijts", x, x) / x.shape[-1]
    for channel in range(3):
        np.testing.assert_allclose(products.within[channel], full[channel, channel], rtol=1e-10, atol=1e-13)
    for lag in (1, 2, 3):
        sums = [[np.trace(full[i, j], offset=lag) for j in range(3)] for i in range(3)]
        np.testing.assert_allclose(products.lagged[lag - 1], sums, rtol=1e-10, atol=1e-13)
    assert gram(frames[:2]).lagged.shape == (1, 3, 3)
    assert gram(frames[:, :1]).lagged.shape == (0, 1, 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_distances_between_large_frames_keep_their_digits(dtype):
    frames = 100.0 + 1e3 * smooth(1, 2, 20, 24) + 1e-2 * growing(0.3, 20).expand(20, 2, 24, 20).mT
    frames = frames.to(dtype)
    exact = distances(frames)
    got = squared_distances(gram(frames).within).numpy()
    off = ~np.eye(20, dtype=bool)
    np.testing.assert_allclose(got[off], np.maximum(exact, 1e-12 * exact.mean())[off], rtol=1e-6)


def test_distances_have_a_relative_floor():
    frames = modulated([0.0, 0.0, 1.0, 3.0])
    squares = squared_distances(gram(frames).within)
    assert squares[0, 1] == squares[2, 2] == squares.min()
    assert squares.min().item() == pytest.approx(1e-12 * distances(frames).mean(), rel=1e-6)
    assert squared_distances(gram(frames[:2]).within).count_nonzero() == 0


def test_the_products_of_what_stands_still_are_exactly_zero():
    still = (1e4 + smooth(1, 2, 20, 24)).float().expand(65, 2, 20, 24)
    assert gram(still).within.count_nonzero() == 0


SERIES = st.integers(3, 40).flatmap(
    lambda count: st.lists(st.floats(-1e3, 1e3), min_size=count, max_size=count)
)


@given(SERIES)
def test_fits_are_those_of_polynomials(values):
    series, t = torch.tensor(values, dtype=torch.float64), np.arange(len(values))
    line, parabola = np.polyfit(t, values, 1), np.polyfit(t, values, 2)
    assert slope(series).item() == pytest.approx(line[0], rel=1e-8, abs=1e-8)
    assert quadratic_coefficient(series).item() == pytest.approx(parabola[0], rel=1e-8, abs=1e-8)
    left = np.mean((np.polyval(line, t) - values) ** 2)
    assert residual_variance(series).item() == pytest.approx(left, rel=1e-8, abs=1e-8)


@given(st.integers(1, 20), st.integers(0, 1000))
def test_lag_sums_are_sums_along_diagonals(count, seed):
    matrix = noise(2, count, count, seed=seed)
    got = lag_sums(matrix)
    for lag in range(count):
        expected = [np.trace(channel, offset=lag) for channel in matrix.numpy()]
        np.testing.assert_allclose(got[:, lag], expected, rtol=1e-12, atol=1e-12)


@given(st.integers(2, 21), st.integers(0, 1000))
def test_the_spectrum_over_time_is_that_of_the_pixels(count, seed):
    frames = rollout(count, 2, 6, 7, seed=seed)
    x = (frames - frames.mean(0)).flatten(2).numpy()
    power = (np.abs(np.fft.fft(x, axis=0)) ** 2).mean(-1)[1 : count // 2 + 1].T / count**2
    power[:, : (count - 1) // 2] *= 2
    got = time_spectrum(lag_sums(gram(frames).within))
    np.testing.assert_allclose(got, power, rtol=1e-9, atol=1e-13)


def test_the_spectrum_over_time_adds_up_to_the_variance():
    frames = rollout(11, 2)
    total = time_spectrum(lag_sums(gram(frames).within)).sum(dim=-1)
    torch.testing.assert_close(total, (frames - frames.mean(0)).square().mean(dim=(0, 2, 3)))


def test_a_crossing_is_found_between_lags():
    rho = torch.tensor([[1.0, 0.8, 0.4, 0.1], [1.0, 0.9, 0.9, 0.9], [1.0, -1.0, 1.0, -1.0]]).double()
    assert first_crossing(rho, 0.5, 3).tolist() == pytest.approx([1.75, 3.0, 0.25])
    assert first_crossing(rho, 0.5, 1).tolist() == pytest.approx([1.0, 1.0, 0.25])
    just_below = torch.tensor([[1.0, 0.498, 0.2]]).double()
    assert first_crossing(just_below, 0.5, 2).item() == pytest.approx(0.5 / 0.502)
    assert autocorrelation(torch.tensor([[4.0, 3.0, 1.0, 0.5]]).double())[0, 1] == pytest.approx(1.0)


@given(st.integers(8, 50), st.integers(0, 1000))
def test_analogues_are_the_nearest_frames_that_count(count, seed):
    squares = squared_distances(gram(rollout(count, 2, 5, 6, seed=seed)).within)
    first, last = 1, count - 3
    got = analogues(squares, first, last)
    for place, i in enumerate(range(first, last + 1)):
        allowed = [j for j in range(first, last + 1) if abs(i - j) > max(1, count // 20)]
        assert got.found[place]
        assert got.nearest[place] == min(allowed, key=lambda j, i=i: squares[i, j])


def test_frames_that_return_are_no_analogues():
    squares = squared_distances(gram(modulated(times(24) % 4)).within)
    got = analogues(squares, 0, 23)
    assert got.found.all()
    assert ((got.nearest - got.frames) % 4 != 0).all()
    alternating = squared_distances(gram(modulated([0.0, 1.0] + [1.0] * 10)).within)
    assert not analogues(alternating, 1, 11).found.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("share", "counts"), [(0.9, False), (1.1, True)])
def test_how_far_a_frame_must_be_to_count(dtype, share, counts):
    places = torch.tensor([0.0, 3.0, 1.0, 0.0, 2.0, 5.0, 4.0, 7.0], dtype=torch.float64)
    mean = (places[:, None] - places).square().mean()
    places[3] = (share * 1e-6 * mean).sqrt()
    squares = squared_distances(gram(modulated(places, noise(6, 6)).to(dtype)).within)
    got = analogues(squares, 0, 7)
    assert got.nearest[0].item() == (3 if counts else 2)


def test_every_intermediate_is_computed_once(monkeypatch):
    frames, calls = rollout(9), {}

    def counted(module, name):
        function = getattr(module, name)

        def count(*arguments, **options):
            calls[name] = calls.get(name, 0) + 1
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, count)

    for name in ("gram", "motion", "functionals", "squared_distances", "forecast_errors", "lag_asymmetry"):
        counted(trajectory_view, name)
    counted(trajectory_view, "Drift")
    for name in ("rfft2", "irfft2"):
        counted(torch.fft, name)
    features(frames)
    assert calls == dict.fromkeys(calls, 1)
    assert len(calls) == 9


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_is_written_to_and_nothing_depends_on_the_order(dtype):
    frames = rollout(9).to(dtype)
    before, view = frames.clone(), view_of(frames)
    entries = features_of("trajectory")
    forward = [entry(view) for entry in entries]
    assert torch.equal(frames, before)
    fresh = view_of(frames)
    back = [entry(fresh) for entry in reversed(entries)][::-1]
    for one, two in zip(forward, back, strict=True):
        assert torch.equal(one, two)
        assert one.dtype == dtype
        assert one.shape in {(), (3,)}


def test_no_feature_waits_for_a_device():
    frames = torch.empty(9, 3, 20, 24, device="meta")
    view = view_of(frames)
    for entry in features_of("trajectory"):
        assert entry(view).device.type == "meta", entry.name
    with pytest.raises(RuntimeError):
        view.scale[0].item()


def test_a_sliced_or_transposed_input_is_as_good():
    frames = rollout(9, 3, 20, 24)
    stored = frames.permute(1, 0, 3, 2).contiguous()
    got, other = features(frames), features(stored.permute(1, 0, 3, 2))
    wide = torch.zeros(9, 3, 32, 32, dtype=frames.dtype)
    wide[..., :20, :24] = frames
    cropped = features(wide[..., :20, :24])
    for name, value in got.items():
        assert other[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        assert cropped[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name


@pytest.mark.parametrize("seed", range(4))
def test_single_precision_agrees_with_double(seed):
    frames = rollout(8, 3, 40, 40, seed=seed).float()
    single, double = features(frames), features(frames.double())
    for name, value in double.items():
        assert single[name] == pytest.approx(value, rel=1e-2 if name in LOOSE else 1e-4, abs=1e-7), name


@pytest.mark.parametrize("amplitude", [1e-8, 1e-7, 1e-5, 1e-4])
def test_single_precision_takes_the_branches_of_double(amplitude):
    still = 2.0 + smooth(1, 1, 24, 24)
    frames = (still + amplitude * noise(16, 1, 24, 24)).float()
    single, double = view_of(frames), view_of(frames.double())
    assert single.static.equal(double.static)
    assert single.static.item() == (amplitude < 1e-6)


@settings(max_examples=20)
@given(st.integers(0, 19), st.integers(0, 23))
def test_translation_changes_nothing(down, right):
    frames = rollout(9)
    got, moved = features(frames), features(frames.roll((down, right), (2, 3)))
    for name, value in got.items():
        assert moved[name] == pytest.approx(value, rel=1e-8, abs=1e-10), name


def test_swapping_the_axes_changes_nothing():
    frames = rollout(9)
    got, swapped = features(frames), features(frames.mT)
    for name, value in got.items():
        assert swapped[name] == pytest.approx(value, rel=1e-8, abs=1e-10), name


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1)])
def test_the_order_of_channels_does_not_matter(order):
    frames = rollout(12)
    got, other = features(frames), features(frames[:, list(order)])
    for name, value in got.items():
        assert other[name] == pytest.approx(value, rel=1e-8, abs=1e-10), name


def test_values_lie_within_the_bounds_they_declare():
    count = 12
    symbols = {"2": 2, "20": 20, "T": count, "T − 2": count - 2}
    symbols |= {"10⁻¹²": 1e-12, "10¹²": 1e12, "10⁻³": 1e-3, "10³": 1e3, "10⁻⁶": 1e-6, "10⁶": 1e6}
    wild = [rollout(count, seed=seed) for seed in range(6)]
    wild += [
        growing(3.0, count),
        growing(-3.0, count),
        modulated((-1.0) ** times(count)),
        noise(count, 3, 6, 6),
    ]
    for entry in features_of("trajectory"):
        least, most = bounds_of(entry, **symbols)
        for frames in wild:
            if frames.shape[1] >= entry.minimum_channels:
                values = entry(view_of(frames))
                assert (values >= least - 1e-12).all(), entry.name
                assert (values <= most * (1 + 1e-9) + 1e-12).all(), entry.name


def test_drift_metrics_of_a_series_of_zeros_are_those_of_a_constant():
    zeros = torch.zeros(1, 1, 5, 1, dtype=torch.float64)
    metrics = drift_module.Drift(zeros, torch.tensor([False]))
    values = metrics.mean_drift, metrics.drift_variance, metrics.final_initial_ratio, metrics.monotonicity
    assert [value.item() for value in values] == [0, 0, 1, 0]
