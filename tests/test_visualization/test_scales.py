"""Colour scales: who shares one, over the whole clip; normalization; given ends. Pixels are read back."""

import itertools

import numpy as np
import pytest
import torch

from spinlock.visualization.aggregates import EnsembleFrame, aggregates
from spinlock.visualization.colour import lookup_table
from spinlock.visualization.scales import COLOUR_MODES, NORMALIZATIONS, ColourStyle
from test_visualization.synthetic_clips import agrees, clip_of, picture, quantiles, trajectories

NAMES = ("mean", "envelope", "entropy")
VIRIDIS = lookup_table("viridis")
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
PLANTED = 0.75
"""A value that stands in one pixel of every realization of every operator and frame."""


def operators(frames=3, channels=1):
    """Return two operators whose fields have different ranges, and more so from frame to frame."""
    growth = (1.0 + torch.arange(float(frames)))[:, None, None, None, None]
    made = [growth * trajectories(frames, 3, channels, 16, seed) for seed in (1, 2)]
    made[1] = 10.0 * made[1] + 5.0
    for states in made:
        states[..., 0, 0] = PLANTED
    return made


def field_cells(states):
    """Return what the field cells of an operator show, [column, T, C, g, g]: two realizations, the mean."""
    mean = states.double().mean(dim=1, keepdim=True).float()
    return torch.cat((states[:, :2], mean), dim=1).transpose(0, 1).numpy()


def heat(states, name):
    """Return a heatmap of every frame, [T, g, g], of the limits of the clip."""
    low, high = states.amin(dim=(0, 1, 3, 4)), states.amax(dim=(0, 1, 3, 4))
    frames = [EnsembleFrame.of(frame, low, high) for frame in states]
    return np.concatenate([aggregates[name](frame).numpy() for frame in frames if frame])


def unit(values, bounds):
    low, high = bounds
    return (np.asarray(values, np.float64) - low) / (high - low)


def places(clip, rows=2, columns=3):
    return itertools.product(range(len(clip)), range(rows), range(columns))


# --- modes ---


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_field_cells_have_the_quantiles_of_those_that_share_their_scale(tmp_path, mode):
    shown = [field_cells(states) for states in operators()]
    with clip_of(operators(), tmp_path, NAMES, colours=ColourStyle(mode)) as clip:
        for number, row, column in places(clip):
            group = {"global": shown, "per-operator": shown[row], "per-cell": shown[row][column]}[mode]
            bounds = quantiles(np.stack(group))
            expected = unit(shown[row][column, number, 0], bounds)
            assert agrees(picture(clip, number, row, column), expected, VIRIDIS)
            assert clip.bounds()[row][clip.headings[column]] == pytest.approx(bounds)


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_heatmaps_share_a_scale_by_column_under_global_alone(tmp_path, mode):
    with clip_of(operators(), tmp_path, NAMES, colours=ColourStyle(mode)) as clip:
        for column, name in enumerate(NAMES[1:], 3):
            maps = [heat(states, name) for states in operators()]
            table = lookup_table(aggregates[name].colormap)
            for number, row in itertools.product(range(len(clip)), range(2)):
                bounds = quantiles(np.stack(maps) if mode == "global" else maps[row])
                assert agrees(picture(clip, number, row, column), unit(maps[row][number], bounds), table)


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_one_value_has_one_colour_wherever_the_scale_is_shared(tmp_path, mode):
    with clip_of(operators(), tmp_path, NAMES, colours=ColourStyle(mode)) as clip:
        found = {
            (row, column): {tuple(picture(clip, number, row, column)[0, 0]) for number in range(len(clip))}
            for row, column in itertools.product(range(2), range(3))
        }
    assert all(len(colours) == 1 for colours in found.values())
    rows = [set().union(*(found[row, column] for column in range(3))) for row in range(2)]
    if mode == "global":
        assert len(rows[0] | rows[1]) == 1
    elif mode == "per-operator":
        assert len(rows[0]) == len(rows[1]) == 1
        assert rows[0] != rows[1]
    else:
        assert len(rows[0]) > 1


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_a_clip_does_not_pump(tmp_path, mode):
    states = operators(frames=6)
    with clip_of(states, tmp_path, NAMES, colours=ColourStyle(mode)) as clip:
        first, last = (picture(clip, number, 0, 0)[0, 0] for number in (0, 5))
    assert (first == last).all()
    by_frame = [unit(PLANTED, quantiles(states[0][number, 0].numpy())) for number in (0, 5)]
    assert abs(by_frame[0] - by_frame[1]) > 0.1


@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_overlays_share_luminance_as_fields_do_and_components_never(tmp_path, mode):
    with clip_of(operators(), tmp_path, ("overlay", "pca"), colours=ColourStyle(mode)) as clip:
        overlays = [paints[2].bounds for paints in clip.paints]
        components = [paints[3] for paints in clip.paints]
    means = [states.double().mean(dim=1).float().numpy() for states in operators()]
    assert overlays[1] == pytest.approx(quantiles(np.stack(means) if mode == "global" else means[1]))
    assert (overlays[0] == overlays[1]) == (mode == "global")
    assert components[0] is not components[1]


def test_components_are_red_green_and_blue_about_a_medium_grey(tmp_path):
    states = operators()[0]
    maps, previous = [], None
    for frame in states:
        ensemble = EnsembleFrame.of(frame, previous=previous)
        assert ensemble is not None
        previous = aggregates["pca"](ensemble)
        maps.append(previous.double().numpy())
    largest = np.quantile(np.abs(np.stack(maps)), 0.99)
    with clip_of([states], tmp_path, ("pca",)) as clip:
        for number, component in itertools.product(range(3), range(3)):
            found = picture(clip, number, 0, 2)[..., component, None].repeat(3, axis=2)
            assert agrees(found, 0.5 + 0.5 * maps[number][component] / largest, GREYS)


def test_bounds_come_from_evenly_spread_pixels_where_a_clip_is_long(tmp_path):
    states = trajectories(40, 1, 1, 64)
    with clip_of([states], tmp_path, shown=1) as clip:
        ends = np.array(clip.bounds()[0]["realization 0"])
    below = (states.numpy()[..., None] < ends).mean(axis=(0, 1, 2, 3, 4))
    assert below == pytest.approx((0.01, 0.99), abs=0.001)


# --- channels ---


def test_three_channels_have_one_affine_map(tmp_path):
    states = operators(channels=3)[0] * torch.tensor([1.0, 2.0, 0.5])[:, None, None]
    shown = field_cells(states)
    with clip_of([states], tmp_path, NAMES, colours=ColourStyle("per-operator")) as clip:
        bounds = quantiles(shown)
        for number, _, column in places(clip, rows=1):
            found = picture(clip, number, 0, column)
            for channel in range(3):
                grey = np.repeat(found[..., channel, None], 3, axis=2)
                assert agrees(grey, unit(shown[column, number, channel], bounds), GREYS)


def mixed(channels, seed):
    """Return fields whose principal axes are known: independent sources of falling size, rotated."""
    sources = trajectories(3, 3, channels, 16, seed).double()
    sources *= 3.0 ** -torch.arange(float(channels))[:, None, None]
    turn = np.linalg.qr(trajectories(1, 1, 1, channels, seed=9)[0, 0, 0].double().numpy())[0]
    turn *= np.sign(turn[np.abs(turn).argmax(axis=0), np.arange(channels)])
    fields = torch.einsum("cs,tmshw->tmchw", torch.from_numpy(turn), sources)
    return fields.float(), turn


@pytest.mark.parametrize("channels", [2, 5])
def test_other_numbers_of_channels_show_components_fitted_once(tmp_path, channels):
    states, turn = mixed(channels, 4)
    vectors = field_cells(states).transpose(0, 1, 3, 4, 2).reshape(-1, channels).astype(np.float64)
    _, axes = np.linalg.eigh(np.cov(vectors.T))
    axes = axes[:, ::-1][:, :3]
    assert (np.abs((axes * turn[:, :3]).sum(axis=0)) > 0.98).all()
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    scores = np.zeros((len(vectors), 3))
    scores[:, : axes.shape[1]] = (vectors - vectors.mean(axis=0)) @ axes
    scaled = unit(scores, quantiles(scores)).reshape(3, 3, 16, 16, 3)
    with clip_of([states], tmp_path, NAMES, colours=ColourStyle("per-operator")) as clip:
        for number, _, column in places(clip, rows=1):
            found = picture(clip, number, 0, column)
            for component in range(3):
                grey = np.repeat(found[..., component, None], 3, axis=2)
                assert agrees(grey, scaled[column, number, ..., component], GREYS)


@pytest.mark.parametrize("channels", [2, 5])
def test_one_vector_has_one_colour_in_all_frames_and_cells(tmp_path, channels):
    states = operators(channels=channels)
    vector = torch.linspace(-1.0, 1.0, channels)
    for fields in states:
        fields[..., 0, 0] = vector
    with clip_of(states, tmp_path, NAMES, colours=ColourStyle("global")) as clip:
        found = {tuple(picture(clip, *place)[0, 0]) for place in places(clip)}
        assert len(found) == 1
        assert len({tuple(picture(clip, *place)[5, 5]) for place in places(clip)}) > 1


def test_a_single_channel_that_varies_is_all_in_red(tmp_path):
    states = torch.zeros(2, 1, 5, 8, 8)
    states[:, :, 3] = trajectories(2, 1, 1, 8)[:, :, 0]
    with clip_of([states], tmp_path, shown=1) as clip:
        found = picture(clip, 0, 0, 0)
    ranks = states[0, 0, 3].flatten().argsort().numpy()
    assert (np.diff(found.reshape(-1, 3)[ranks, 0].astype(int)) >= 0).all()
    assert len(np.unique(found[..., 0])) > 30
    assert len(np.unique(found[..., 1:].reshape(-1, 2), axis=0)) == 1


# --- normalization and given ends ---


def normalized_picture(states, normalization, number, row):
    fields = states[row].double().numpy()
    if normalization == "minmax":
        return unit(fields[number, 0, 0], (fields.min(), fields.max()))
    return (fields[number, 0, 0] - fields.mean()) / fields.std() / 6.0 + 0.5


@pytest.mark.parametrize("normalization", ["minmax", "zscore"])
@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_normalized_fields_have_known_colours(tmp_path, normalization, mode):
    states = operators()
    style = ColourStyle(mode, normalization)
    with clip_of(states, tmp_path, NAMES, colours=style) as clip:
        for number, row in itertools.product(range(len(clip)), range(2)):
            expected = normalized_picture(states, normalization, number, row)
            assert agrees(picture(clip, number, row, 0), expected, VIRIDIS)
        assert clip.paints[0][2].bounds == {"minmax": (0.0, 1.0), "zscore": (-3.0, 3.0)}[normalization]


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_normalized_pictures_do_not_depend_on_the_units_of_an_operator(tmp_path, normalization, channels):
    states = operators(channels=channels)
    other = [states[0] * 2.0 ** torch.arange(6.0, 6.0 + channels)[:, None, None] - 3.0, states[1]]
    found = []
    for operators_shown in (states, other):
        with clip_of(operators_shown, tmp_path, colours=ColourStyle("global", normalization)) as clip:
            found.append(np.stack([picture(clip, *place) for place in places(clip, columns=2)]))
    apart = np.abs(found[0].astype(int) - found[1])
    assert apart.max() > 20 if normalization == "none" else apart.max() <= 1


def test_normalization_is_by_channel(tmp_path):
    states = operators(channels=3)[0] * torch.tensor([1.0, 100.0, 0.01])[:, None, None]
    for normalization in ("minmax", "zscore"):
        with clip_of([states], tmp_path, colours=ColourStyle("global", normalization)) as clip:
            found = np.stack([picture(clip, number, 0, 0) for number in range(3)])
        assert (found.std(axis=(0, 1, 2)) > 20).all()
    with clip_of([states], tmp_path, colours=ColourStyle("global")) as clip:
        assert np.stack([picture(clip, n, 0, 0) for n in range(3)]).std(axis=(0, 1, 2)).min() < 3


@pytest.mark.parametrize("mode", COLOUR_MODES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_given_ends_are_exact_after_normalization(tmp_path, normalization, mode):
    low, high = {"none": (-0.5, 2.0), "minmax": (0.3, 0.6), "zscore": (-1.0, 0.5)}[normalization]
    states = operators()
    with clip_of(states, tmp_path, NAMES, colours=ColourStyle(mode, normalization, low, high)) as clip:
        for number, row in itertools.product(range(len(clip)), range(2)):
            plain = states[row][number, 0, 0].double().numpy()
            value = plain
            if normalization == "minmax":
                value = normalized_picture(states, normalization, number, row)
            elif normalization == "zscore":
                value = normalized_picture(states, normalization, number, row) * 6.0 - 3.0
            found = picture(clip, number, row, 0)
            assert agrees(found, unit(value, (low, high)), VIRIDIS)
            assert (found[value <= low] == VIRIDIS[0]).all()
            assert (found[value >= high] == VIRIDIS[255]).all()
        assert clip.paints[1][0].bounds == (low, high)


@pytest.mark.parametrize(
    ("low", "high", "bounds"),
    [(None, 0.5, ("auto", 0.5)), (0.25, None, (0.25, "auto")), (None, None, ("auto", "auto"))],
)
def test_an_end_that_is_not_given_is_a_quantile(tmp_path, low, high, bounds):
    states = operators()[0]
    automatic = quantiles(states[:, 0].numpy())
    expected = [end if own == "auto" else own for own, end in zip(bounds, automatic, strict=True)]
    with clip_of([states], tmp_path, colours=ColourStyle(low=low, high=high)) as clip:
        assert clip.paints[0][0].bounds == pytest.approx(tuple(expected))


def test_given_ends_are_the_overlay_s_too_while_fields_keep_their_unit(tmp_path):
    states = operators()[0]
    automatic = quantiles(states.double().mean(dim=1).float().numpy())
    for normalization in NORMALIZATIONS:
        style = ColourStyle("per-operator", normalization, -0.5, 0.75)
        with clip_of([states], tmp_path, ("overlay",), colours=style) as clip:
            expected = (-0.5, 0.75) if normalization == "none" else automatic
            assert clip.paints[0][2].bounds == pytest.approx(expected)


def test_an_end_beyond_the_other_moves_it_along(tmp_path):
    states = trajectories(2, 1, 1, 16).clamp(-2.0, 2.0)
    for style, colour in ((ColourStyle(low=50.0), VIRIDIS[0]), (ColourStyle(high=-50.0), VIRIDIS[255])):
        with clip_of([states], tmp_path, shown=1, colours=style) as clip:
            low, high = clip.paints[0][0].bounds or (0.0, 0.0)
            assert low < high
            assert (picture(clip, 0, 0, 0) == colour).all()


OPTIONS = {
    "per-operator": ColourStyle("per-operator"),
    "global": ColourStyle("global"),
    "minmax": ColourStyle(normalization="minmax"),
    "zscore": ColourStyle(normalization="zscore"),
    "low": ColourStyle(low=0.0),
    "high": ColourStyle(high=0.0),
    "colormap": ColourStyle(colormap="magma"),
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_option_changes_fields_and_only_the_mode_changes_heatmaps(tmp_path, option, channels):
    found = []
    for style in (ColourStyle(), OPTIONS[option]):
        with clip_of(operators(channels=channels), tmp_path, NAMES, colours=style) as clip:
            found.append([[picture(clip, 1, row, column) for column in range(5)] for row in range(2)])
    same = [
        [np.array_equal(*cells) for cells in zip(*rows, strict=True)] for rows in zip(*found, strict=True)
    ]
    assert (not all(same[0][:3])) == (option != "colormap" or channels == 1)
    assert all(same[0][3:] + same[1][3:]) == (option != "global")


def test_normalization_does_not_depend_on_what_is_shown(tmp_path):
    states = operators()[0]
    mean = states.double().mean(dim=1).float().double().numpy()
    fields = states.double().numpy()
    with clip_of([states], tmp_path, ("mean",), shown=0, colours=ColourStyle("global", "zscore")) as clip:
        expected = (mean[1, 0] - fields.mean()) / fields.std() / 6.0 + 0.5
        assert agrees(picture(clip, 1, 0, 0), expected, VIRIDIS)
    with clip_of([states], tmp_path, ("entropy",), shown=0, colours=ColourStyle("global", "zscore")) as clip:
        assert clip.headings == ["entropy"]


# --- extremes ---


@pytest.mark.parametrize("mode", COLOUR_MODES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_constant_clip_has_the_colour_in_the_middle(tmp_path, mode, normalization, channels):
    states = torch.full((3, 3, channels, 7, 7), 0.1)
    with clip_of([states], tmp_path, NAMES, colours=ColourStyle(mode, normalization)) as clip:
        found = picture(clip, 1, 0, 0).reshape(-1, 3)
        heats = [picture(clip, 1, 0, column) for column in (3, 4)]
    assert (found == (VIRIDIS if channels == 1 else GREYS)[128]).all()
    for name, pixels in zip(NAMES[1:], heats, strict=True):
        assert (pixels == lookup_table(aggregates[name].colormap)[0]).all()


def test_equal_realizations_are_similar_everywhere(tmp_path):
    states = trajectories(2, 1, 2, 16).expand(2, 4, 2, 16, 16)
    with clip_of([states], tmp_path, ("ssim",)) as clip:
        assert clip.bounds()[0]["ssim"] == (0.0, pytest.approx(1.0))
        assert (picture(clip, 0, 0, 2) == VIRIDIS[255]).all()


@pytest.mark.parametrize(("size", "offset"), [(1e8, 0.0), (0.01, 1000.0), (1e-30, 0.0), (1e-4, -100.0)])
@pytest.mark.parametrize("mode", COLOUR_MODES)
def test_contrast_is_kept_for_huge_values_and_for_small_ones_on_an_offset(tmp_path, size, offset, mode):
    states = trajectories(2, 3, 1, 16).clamp(-1.0, 1.0).mul(size).add(offset)
    shown = field_cells(states)
    with clip_of([states], tmp_path, ("mean", "envelope", "overlay"), colours=ColourStyle(mode)) as clip:
        for column in range(3):
            bounds = quantiles(shown if mode != "per-cell" else shown[column])
            found = picture(clip, 1, 0, column)
            assert agrees(found, unit(shown[column, 1, 0], bounds), VIRIDIS)
            assert len(np.unique(found.reshape(-1, 3), axis=0)) > 10
        overlay = picture(clip, 1, 0, 4).astype(int)
    assert np.ptp(overlay, axis=-1).max() > 100
