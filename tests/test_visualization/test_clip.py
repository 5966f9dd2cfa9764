"""Whole clips: every aggregate and shape, diverged realizations, frames in any order, colours that rise."""

import itertools
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spinlock.visualization.aggregates import EnsembleFrame, aggregates
from spinlock.visualization.clip import Clip
from spinlock.visualization.colour import lookup_table
from spinlock.visualization.paint import NOTHING, STRIPE
from spinlock.visualization.scales import COLOUR_MODES, NORMALIZATIONS, ColourStyle
from spinlock.visualization.sheet import SheetStyle
from test_visualization.synthetic_clips import ALL, cells_of, clip_of, picture, trajectories

GLOBAL = ColourStyle("global")


def striped(pixels):
    """Return where pixels [..., 3] look like a cell without values; a few greys of an overlay do too."""
    return (pixels == NOTHING).all(axis=-1) | (pixels == STRIPE).all(axis=-1)


def all_cells(clip, number):
    return [
        [picture(clip, number, row, column) for column in range(len(clip.headings))]
        for row in range(len(clip.labels))
    ]


@pytest.mark.parametrize("members", [1, 2, 3, 10])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_every_aggregate_is_drawn_for_every_shape(tmp_path, members, channels):
    states = trajectories(3, members, channels, 16)
    with clip_of([states, 2.0 * states], tmp_path, ALL, cell=(32, 32)) as clip:
        frames = list(clip)
        assert len(frames) == len(clip) == 3
        assert {frame.shape for frame in frames} == {(*clip.size, 3)}
        assert clip.size[0] % 2 == clip.size[1] % 2 == 0
        assert not any(striped(cell).mean() > 0.1 for row in all_cells(clip, 2) for cell in row)
        flat = {
            name
            for name, cell in zip(clip.headings, all_cells(clip, 2)[0], strict=True)
            if len(np.unique(cell.reshape(-1, 3), axis=0)) == 1
        }
    nothing_differs = {"variance", "stddev", "envelope", "entropy", "ssim", "pca"}
    assert flat == (nothing_differs if members == 1 else set())


@pytest.mark.parametrize("mode", COLOUR_MODES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_every_mode_and_normalization_draws_everything(tmp_path, mode, normalization):
    states = trajectories(2, 3, 2, 8)
    states[1, 0] = float("nan")
    constant = torch.full_like(states, 3.0)
    with clip_of(
        [states, constant, states * float("nan")], tmp_path, ALL, colours=ColourStyle(mode, normalization)
    ) as clip:
        gone = [[bool(striped(cell).all()) for cell in row] for row in all_cells(clip, 1)]
    assert gone == [[True] + 10 * [False], 11 * [False], 11 * [True]]


def test_frames_do_not_depend_on_the_order_they_are_drawn_in(tmp_path):
    with clip_of([trajectories(4, 3, 1, 16)], tmp_path, ALL) as clip:
        forwards = list(clip)
        backwards = [clip.frame(number) for number in reversed(range(4))][::-1]
        again = list(clip)
    assert all(np.array_equal(one, other) for one, other in zip(forwards, backwards, strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(forwards, again, strict=True))
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(forwards, 2))


def test_operators_on_different_grids_stand_in_equal_cells(tmp_path):
    states = trajectories(2, 2, 1, 16)
    coarse, fine = states[..., ::4, ::4].contiguous(), states.repeat(1, 1, 1, 4, 4)
    with clip_of([coarse, states, fine], tmp_path, cell=(16, 16)) as clip:
        pixels = picture(clip, 1, 0, 0)
        assert np.array_equal(pixels, pixels[::4, ::4].repeat(4, axis=0).repeat(4, axis=1))
        assert len(np.unique(picture(clip, 1, 1, 0).reshape(-1, 3), axis=0)) > 50
        averaged = fine[1, 0, 0].reshape(16, 4, 16, 4).mean(dim=(1, 3)).numpy()
        level = lookup_table("viridis")
        shown = [np.nonzero((level == pixel).all(axis=1))[0][0] for pixel in picture(clip, 1, 2, 0)[0]]
        assert (np.diff(np.array(shown)[averaged[0].argsort()]) >= 0).all()


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_a_realization_that_diverges_is_striped_and_the_others_are_not(tmp_path, mode):
    whole = trajectories(3, 4, 1, 16)
    broken = whole.clone()
    broken[1:, 0] = float("nan")
    with clip_of([broken], tmp_path, ALL, colours=ColourStyle(mode)) as clip:
        cells = [all_cells(clip, number)[0] for number in range(3)]
        heat = clip.paints[0][clip.headings.index("stddev")]
    assert not any(striped(cell).mean() > 0.1 for cell in cells[0])
    for number in (1, 2):
        assert striped(cells[number][0]).all()
        assert not any(striped(cell).mean() > 0.1 for cell in cells[number][1:])
        alive = EnsembleFrame.of(whole[number, 1:])
        assert alive is not None
        expected = heat(aggregates["stddev"](alive).numpy())
        assert np.array_equal(cells[number][clip.headings.index("stddev")], expected)


def test_a_realization_that_diverges_leaves_the_colours_of_the_others(tmp_path):
    whole = trajectories(3, 4, 1, 16)
    broken = whole.clone()
    broken[1:, 0] = float("nan")
    found = []
    for states in (whole, broken):
        with clip_of([states], tmp_path) as clip:
            found.append([picture(clip, number, 0, 1) for number in range(3)])
    assert np.array_equal(*found)


def test_when_all_realizations_diverged_the_aggregates_are_striped_too(tmp_path):
    states = trajectories(4, 3, 3, 16)
    states[2:] = float("nan")
    with clip_of([states], tmp_path, ALL) as clip:
        for number, gone in enumerate((False, False, True, True)):
            assert all(striped(cell).all() == gone for cell in all_cells(clip, number)[0])
            assert gone or not any(striped(cell).mean() > 0.1 for cell in all_cells(clip, number)[0])


def test_an_operator_without_values_does_not_move_the_scale_of_another(tmp_path):
    alive = trajectories(2, 2, 1, 16)
    dead = torch.full_like(alive, float("nan"))
    found = []
    for rows in ([alive], [alive, dead]):
        with clip_of(rows, tmp_path, ALL, colours=GLOBAL) as clip:
            found.append(all_cells(clip, 1)[0])
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pixels_without_values_are_striped_and_no_others(tmp_path, value, channels):
    states = trajectories(2, 2, channels, 16)
    states[1, 0, channels - 1, 2:7, 3:9] = value
    with clip_of([states], tmp_path, ("mean",)) as clip:
        expected = np.zeros((16, 16), bool)
        expected[2:7, 3:9] = True
        assert np.array_equal(striped(picture(clip, 1, 0, 0)), expected)
        assert not striped(picture(clip, 1, 0, 1)).any()
        assert not striped(picture(clip, 1, 0, 2)).any()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    fields=arrays.arrays(np.float32, (2, 1, 1, 6, 6), elements=st.floats(-(2.0**60), 2.0**60, width=32)),
    mode=st.sampled_from(COLOUR_MODES),
    normalization=st.sampled_from(NORMALIZATIONS),
)
def test_colours_rise_with_values_over_the_whole_clip(tmp_path, fields, mode, normalization):
    style = ColourStyle(mode, normalization, colormap="gray")
    with clip_of([torch.from_numpy(fields)], tmp_path, shown=1, colours=style) as clip:
        levels = np.concatenate([picture(clip, number, 0, 0)[..., 0].ravel() for number in range(2)])
    ordered = levels[fields.ravel().argsort(kind="stable")].astype(int)
    assert (np.diff(ordered) >= 0).all()
    assert np.ptp(levels) > 0 or normalization == "zscore" or fields.min() == fields.max()


# --- what a clip says ---


def test_the_header_shows_the_explained_variance_over_the_operators(tmp_path):
    one = trajectories(1, 1, 1, 8)[0]
    rank_one = torch.arange(6.0).reshape(1, 6, 1, 1, 1) * one
    spread = trajectories(1, 6, 1, 8, seed=3)
    with clip_of([rank_one, rank_one], tmp_path, ("mean", "pca"), shown=1) as clip:
        assert [clip._remark(column, 0) for column in range(3)] == ["", "", "100 %"]
    later = torch.cat((rank_one, spread))
    with clip_of([torch.cat((rank_one, rank_one)), later], tmp_path, ("mean", "pca"), shown=1) as clip:
        assert clip._remark(2, 0) == "100 %"
        assert re.fullmatch(r"[6-9]\d–100 %", clip._remark(2, 1))
        down, across = clip.sheet.place(0, 2)
        frames = [clip.frame(number)[: down.start, across.start :] for number in range(2)]
        assert (frames[0] != frames[1]).any()
    with clip_of([rank_one * float("nan")], tmp_path, ("pca",), shown=1) as clip:
        assert clip._remark(1, 0) == ""


def test_bounds_are_named_by_column(tmp_path):
    states = trajectories(2, 2, 1, 8)
    with clip_of([states, states + 1.0], tmp_path, ALL, colours=ColourStyle(low=-1.0, high=2.0)) as clip:
        bounds = clip.bounds()
    assert [list(row) for row in bounds] == [["realization 0", "realization 1", *ALL]] * 2
    assert bounds[0]["mean"] == (-1.0, 2.0)
    assert bounds[0]["pca"] is None
    assert bounds[0]["entropy"] == bounds[1]["entropy"] != (-1.0, 2.0)


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_scales_stand_under_cells_or_once_under_each_column(tmp_path, mode):
    states = trajectories(1, 2, 1, 32)
    with clip_of([states, states], tmp_path, colours=ColourStyle(mode), cell=(64, 64)) as clip:
        frame = clip.frame(0)
        first, last = (clip.sheet.place(row, 0)[0] for row in range(2))
        across = clip.sheet.place(0, 0)[1]
    assert (frame[last.stop : last.stop + 17, across] < 200).any()
    assert (frame[first.stop : last.start, across] < 200).any() == (mode != "global")
    assert last.start - first.stop == (3 if mode == "global" else 17)


def test_labels_times_and_columns_reach_the_sheet(tmp_path):
    states = trajectories(3, 2, 1, 8)
    rows = [cells_of(states, tmp_path, ("mean",))]
    plain, labelled, late = (
        Clip(rows, [label], times, ColourStyle(), SheetStyle((48, 48)))
        for label, times in (
            (["#0"], range(3)),
            (["#0", "residual"], range(3)),
            (["#0"], range(0, 3000, 1000)),
        )
    )
    assert plain.headings == ["realization 0", "realization 1", "mean"]
    assert labelled.size[1] > plain.size[1]
    assert late.size[1] >= plain.size[1]
    same = [np.array_equal(plain.frame(n)[:20, :40], late.frame(n)[:20, :40]) for n in range(3)]
    assert same == [True, False, False]
    plain.close()


def test_closing_gives_the_scratch_space_back(tmp_path):
    with clip_of([trajectories(1, 1, 1, 8)] * 2, tmp_path, shown=1) as clip:
        assert list(tmp_path.iterdir()) == []
    assert all(row._spool._file.closed for row in clip._rows)
