"""The figure of one ensemble: panels hold the arrays' colours, spectra their waves, nothing is global."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from spinlock.errors import UnknownNameError
from spinlock.visualization.aggregates import EnsembleFrame, aggregates
from spinlock.visualization.colour import colour_field, heatmap_bounds
from spinlock.visualization.figure import ensemble_figure
from test_visualization.synthetic_clips import ALL, trajectories


def fields(members, channels, grid=16, seed=0):
    """Return an initial condition [C, g, g] and states [M, C, g, g]."""
    states = trajectories(1, members + 1, channels, grid, seed)[0].numpy()
    return states[0], states[1:]


def drawn(initial, states, **options):
    """Return the figure, after it was rendered once."""
    figure = ensemble_figure(initial, states, title="#7 · residual", time=500, **options)
    assert figure._repr_png_().startswith(b"\x89PNG")
    return figure


def panels(figure):
    """Return the axes of each picture by heading."""
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def spectra(figure):
    return next(axes for axes in figure.axes if axes.get_ylabel() == "power").lines


@pytest.mark.parametrize(("members", "channels"), [(1, 1), (2, 2), (3, 3), (10, 5)])
def test_every_shape_and_aggregate_is_drawn(members, channels):
    figure = drawn(*fields(members, channels), names=ALL)
    shown = [f"realization {m}, t = 500" for m in range(min(3, members))]
    assert list(panels(figure)) == ["input, t = 0", *shown, *ALL]
    assert all(axes.images for axes in panels(figure).values())
    assert len(spectra(figure)) == 1 + members
    assert figure._suptitle is not None
    assert figure._suptitle.get_text() == "#7 · residual"


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_panels_hold_the_colours_of_their_arrays(channels):
    initial, states = fields(4, channels)
    found = panels(drawn(initial, states, colormap="magma"))

    def pixels(heading):
        return np.asarray(found[heading].images[0].get_array())

    assert np.array_equal(pixels("input, t = 0"), colour_field(initial, "magma"))
    for member in range(3):
        expected = colour_field(states[member], "magma")
        assert np.array_equal(pixels(f"realization {member}, t = 500"), expected)
    frame = EnsembleFrame.of(torch.from_numpy(states))
    assert frame is not None
    assert np.array_equal(pixels("mean"), colour_field(aggregates["mean"](frame).numpy(), "magma"))
    for name in ("envelope", "entropy", "spectral"):
        values = aggregates[name](frame).numpy()[0]
        image = found[name].images[0]
        assert np.array_equal(image.get_array(), values)
        assert image.get_clim() == pytest.approx(heatmap_bounds(values))
        assert image.get_cmap().name == aggregates[name].colormap


@pytest.mark.parametrize(("wave_y", "wave_x", "ring"), [(0, 5, 5), (3, 0, 3), (3, 4, 5), (6, 8, 10)])
def test_the_spectrum_of_a_plane_wave_peaks_at_its_wave_number(wave_y, wave_x, ring):
    y, x = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    wave = np.cos(2 * np.pi * (wave_y * y + wave_x * x) / 32).astype(np.float32)
    line = spectra(ensemble_figure(wave[None], fields(2, 1, grid=32)[1], title="", time=500, names=()))[0]
    numbers, power = (np.asarray(data) for data in line.get_data())
    assert list(numbers) == list(range(1, 17))
    assert numbers[np.nanargmax(power)] == ring
    others = power[numbers != ring]
    assert np.nan_to_num(others).max() < 1e-6 * power[numbers == ring]


@pytest.mark.parametrize("channels", [1, 2])
def test_a_diverged_realization_is_named_and_left_out(channels):
    initial, states = fields(4, channels)
    broken = states.copy()
    broken[1] = np.nan
    figure = drawn(initial, broken, names=ALL)
    texts = {heading: [text.get_text() for text in axes.texts] for heading, axes in panels(figure).items()}
    assert [heading for heading, found in texts.items() if found] == ["realization 1, t = 500"]
    assert texts["realization 1, t = 500"] == ["diverged"]
    assert len(spectra(figure)) == 4
    kept = panels(ensemble_figure(initial, states[[0, 2, 3]], title="", time=500, names=ALL))
    for name in ALL:
        if name != "overlay":  # a realization keeps its hue
            one, other = (found[name].images[0].get_array() for found in (panels(figure), kept))
            assert np.array_equal(one, other)


def test_an_ensemble_that_diverged_shows_its_initial_condition():
    initial, states = fields(3, 2)
    figure = drawn(initial, np.full_like(states, np.nan), names=ALL)
    with_picture = [heading for heading, axes in panels(figure).items() if axes.images]
    assert with_picture == ["input, t = 0"]
    assert len(spectra(figure)) == 1


@pytest.mark.parametrize(("value", "channels"), [(0.0, 1), (3.0, 2), (-1e8, 3)])
def test_constant_fields_are_drawn(value, channels):
    initial = np.full((channels, 16, 16), value, np.float32)
    figure = drawn(initial, np.repeat(initial[None], 3, axis=0), names=ALL)
    assert (
        len(np.unique(np.asarray(panels(figure)["mean"].images[0].get_array()).reshape(-1, 3), axis=0)) == 1
    )
    assert panels(figure)["variance"].images[0].get_clim() == (0.0, 1.0)


def test_as_much_as_asked_for_is_shown():
    initial, states = fields(5, 1)
    assert list(panels(drawn(initial, states, shown=0, names=()))) == ["input, t = 0"]
    assert len(panels(drawn(initial, states, shown=9, names=("mean",)))) == 1 + 5 + 1


def test_an_unknown_aggregate_is_refused():
    with pytest.raises(UnknownNameError, match="entropy"):
        ensemble_figure(*fields(1, 1), title="", time=1, names=("entropi",))


def test_no_global_plotting_state_is_touched():
    program = (
        "import sys, numpy as np\n"
        "from spinlock.visualization.figure import ensemble_figure\n"
        "states = np.arange(512, dtype=np.float32).reshape(2, 1, 16, 16)\n"
        "ensemble_figure(states[0], states, title='', time=1)._repr_png_()\n"
        "print('matplotlib.figure' in sys.modules, 'matplotlib.pyplot' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
