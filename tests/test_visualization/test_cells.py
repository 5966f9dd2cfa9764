"""Cells: columns and their maps, the kept size, evenly spread samples, aggregates frame by frame."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spinlock.errors import UnknownNameError
from spinlock.visualization import cells as module
from spinlock.visualization.aggregates import EnsembleFrame, aggregates
from spinlock.visualization.cells import columns_of, kept_size
from test_visualization.synthetic_clips import ALL, cells_of, trajectories


@pytest.mark.parametrize(("shown", "channels"), [(1, 1), (2, 3), (3, 5), (0, 2)])
def test_columns_share_the_maps_out_without_gaps(shown, channels):
    columns = columns_of(shown, ALL, channels)
    assert [column.name for column in columns] == [*(f"realization {m}" for m in range(shown)), *ALL]
    assert columns[0].maps.start == 0
    assert all(one.maps.stop == other.maps.start for one, other in itertools.pairwise(columns))
    depths = {column.name: column.maps.stop - column.maps.start for column in columns}
    assert all(depths[f"realization {m}"] == channels for m in range(shown))
    assert (depths["mean"], depths["overlay"], depths["pca"], depths["entropy"]) == (channels, 5, 3, 1)
    assert {column.kind for column in columns if column.aggregate is None} <= {"field"}


def test_an_unknown_aggregate_is_refused_with_the_near_miss():
    with pytest.raises(UnknownNameError, match="entropy"):
        columns_of(1, ["entropie"], 1)


def test_fields_are_kept_no_larger_than_their_cell_and_never_enlarged():
    assert kept_size(128, (64, 32)) == (64, 32)
    assert kept_size(32, (64, 64)) == (32, 32)
    assert kept_size(48, (64, 16)) == (48, 16)


def test_small_fields_are_kept_bit_for_bit(tmp_path):
    states = trajectories(3, 4, 2, 16)
    cells = cells_of(states, tmp_path, cell=(64, 64))
    for number in range(3):
        assert np.array_equal(cells.maps(number), states[number, :2].flatten(0, 1).numpy())
    cells.close()


def test_large_fields_are_averaged_over_areas(tmp_path):
    states = trajectories(2, 2, 1, 24)
    cells = cells_of(states, tmp_path, cell=(8, 6))
    blocks = states[1, :, 0].reshape(2, 8, 3, 6, 4).mean(dim=(2, 4)).numpy()
    assert np.allclose(cells.maps(1), blocks, atol=1e-6)
    assert cells.size == (8, 6)
    cells.close()


def test_aggregates_see_the_full_grid_and_all_realizations(tmp_path):
    states = trajectories(1, 5, 1, 32)
    cells = cells_of(states, tmp_path, ("stddev",), shown=2, cell=(8, 8))
    full = states[0, :, 0].double().std(dim=0).numpy()
    found = cells.maps(0)[-1]
    assert np.allclose(found, full.reshape(8, 4, 8, 4).mean(axis=(1, 3)), rtol=1e-5)
    averaged_first = states[0, :, 0].reshape(5, 8, 4, 8, 4).mean(dim=(2, 4)).std(dim=0).numpy()
    assert np.abs(found - averaged_first).min() > 0.1
    cells.close()


def test_components_keep_their_sign_from_frame_to_frame(tmp_path):
    pattern = trajectories(1, 1, 1, 16)[0, 0]
    weights = torch.tensor([-1.0, 0.0, 1.0])[:, None, None, None]
    tilted = pattern.clone()
    tilted.view(-1)[pattern.abs().argmax()] *= -1.5
    states = torch.stack([weights * pattern, weights * tilted, -weights * tilted])
    cells = cells_of(states, tmp_path, ("pca",), shown=1)
    first, second, third = (cells.maps(number)[-3] for number in range(3))
    assert (first * second).sum() > 0
    assert np.allclose(second, third, atol=1e-6)
    alone = EnsembleFrame.of(states[1])
    assert alone is not None
    assert (first * aggregates["pca"](alone)[0].numpy()).sum() < 0
    cells.close()


def test_remarks_are_kept_for_every_frame(tmp_path):
    states = trajectories(3, 8, 1, 8)
    states[0, :, :] = torch.arange(8.0)[:, None, None, None] * states[0, 0]
    states[2] = float("nan")
    cells = cells_of(states, tmp_path, ("mean", "pca"))
    assert np.isnan(cells.remarks[:3]).all()
    assert cells.remarks[3, 0] == pytest.approx(1.0)
    assert 0.4 < cells.remarks[3, 1] < 0.95
    assert np.isnan(cells.remarks[3, 2])
    cells.close()


def test_an_ensemble_that_diverged_leaves_no_maps(tmp_path):
    states = trajectories(2, 3, 2, 8)
    states[1] = float("nan")
    cells = cells_of(states, tmp_path, ALL)
    assert np.isfinite(cells.maps(0)).all()
    assert np.isnan(cells.maps(1)).all()
    for column in cells.columns:
        depth = column.maps.stop - column.maps.start
        assert cells.samples(column).shape == (depth, 64)
    cells.close()


# --- samples ---


def numbered(frames, side):
    """Return one realization whose value is its position in the clip, exact in float32."""
    assert frames * side * side < 2**24
    return torch.arange(float(frames * side * side)).reshape(frames, 1, 1, side, side)


def test_samples_are_all_pixels_while_there_are_few(tmp_path):
    cells = cells_of(numbered(16, 64), tmp_path)
    assert module.MOST_SAMPLES == 16 * 64 * 64
    assert np.array_equal(cells.samples(cells.columns[0])[0], np.arange(2**16))
    cells.close()


@pytest.mark.parametrize(("frames", "side"), [(40, 64), (65, 32), (90, 45), (48, 48), (500, 15), (67, 35)])
def test_samples_visit_rows_columns_and_frames_evenly(tmp_path, monkeypatch, frames, side):
    monkeypatch.setattr(module, "MOST_SAMPLES", 2**12)
    cells = cells_of(numbered(frames, side), tmp_path)
    positions = cells.samples(cells.columns[0])[0].astype(int)
    cells.close()
    assert 2**11 <= len(positions) <= 2**12
    assert len(set(np.diff(positions))) == 1
    for share, count in (
        (positions % side, side),
        (positions // side % side, side),
        (positions // side**2, frames),
    ):
        visits = np.bincount(share, minlength=count)
        assert visits.min() >= 0.5 * len(positions) / count - 1
        assert visits.max() <= 1.5 * len(positions) / count + 1


@given(st.integers(1, 10**8), st.integers(1, 300), st.integers(1, 300))
def test_strides_visit_every_pixel_before_they_come_back(positions, height, width):
    stride = module._sample_stride(positions, height * width, module.MOST_SAMPLES)
    assert np.gcd(stride, height * width) == 1
    assert positions / stride <= module.MOST_SAMPLES
    assert stride == 1 or positions > module.MOST_SAMPLES


def test_quantiles_of_many_frames_are_those_of_all_pixels_but_for_a_little(tmp_path):
    states = trajectories(40, 1, 1, 64)
    cells = cells_of(states, tmp_path)
    found = np.quantile(cells.samples(cells.columns[0]), (0.01, 0.99))
    cells.close()
    below = (states.numpy()[..., None] < found).mean(axis=(0, 1, 2, 3, 4))
    assert below == pytest.approx((0.01, 0.99), abs=0.001)
