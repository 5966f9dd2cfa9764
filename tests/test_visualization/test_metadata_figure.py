"""The figure of metadata counts every sample once, whatever the space, and looks the same every time."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba

from spinlock.rollout import dynamics
from spinlock.visualization.metadata_figure import (
    COLOURS,
    MOST_BARS,
    MOST_GROUPS,
    Axis,
    Metadata,
    metadata_figure,
)

LABELS = np.array(list(COLOURS))


def shown(count, parameters=(), **changes):
    number = np.arange(count)
    values = {
        "title": "a $title_ with} TeX",
        "parameters": parameters,
        "dynamics": LABELS[number % 3],
        "groupings": {"initial condition": np.array(["grf", "mixed"])[number % 2]},
        "lyapunov": np.where(number % 4 == 0, np.nan, np.sin(number)),
        "finite_steps": np.full((count, 2), 5, np.int32),
        "num_timesteps": 4,
        "points": number[:100],
    }
    return metadata_figure(Metadata(**{**values, **changes}))


def panel(figure, title):
    found = [axes for axes in figure.axes if axes.get_title().startswith(title)]
    assert len(found) == 1, [axes.get_title() for axes in figure.axes]
    return found[0]


def heights(axes):
    return sum(bar.get_height() for bar in axes.patches)


def test_every_sample_is_counted_once_in_every_marginal():
    number = np.arange(500)
    figure = shown(
        500,
        (
            Axis("gain", np.geomspace(0.5, 2, 500), log=True),
            Axis("alpha", number / 499),
            Axis("layers", number % 3),
            Axis("block", np.array(["conv", "residual"])[number % 2]),
            Axis("flag", number % 5 == 0),
            Axis("width", number),
        ),
    )
    for name in ("gain", "alpha", "layers", "block", "flag", "width"):
        assert heights(panel(figure, name)) == 500, name
    assert heights(panel(figure, "Lyapunov exponent (375 samples)")) == 375
    assert panel(figure, "gain").get_xscale() == "log"
    assert panel(figure, "alpha").get_xscale() == "linear"
    assert len(panel(figure, "layers").get_xticks()) == 3


def test_a_marginal_counts_the_samples_in_which_its_parameter_acts():
    number = np.arange(60)
    figure = shown(
        60,
        (
            Axis("alpha", number / 59, acts=number % 3 == 0),
            Axis("schedule", np.array(["a", "b"])[number % 2], acts=number < 7),
            Axis("dt", number / 59, acts=number < 0),
        ),
    )
    for title, count in (("alpha (acts in 20)", 20), ("schedule (acts in 7)", 7), ("dt (acts in 0)", 0)):
        assert heights(panel(figure, title)) == count
    colours = {bar.get_facecolor() for bar in panel(figure, "alpha").patches if bar.get_height()}
    assert colours == {to_rgba(COLOURS[LABELS[0]][0])}  # rows 0, 3, 6, … have the first label


def test_shares_of_each_group_add_up_to_one():
    axes = panel(shown(50), "dynamics by initial condition")
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(2.0)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["grf (25)", "mixed (25)"]


def test_the_rarest_of_many_values_share_a_bar():
    number = np.arange(1000)
    names = np.char.add("type_", number.astype(str))
    common = np.where(number < 700, "common", names)
    figure = shown(1000, (Axis("family", common),), groupings={"initial condition": common})
    assert heights(panel(figure, "family")) == 1000
    ticks = [label.get_text() for label in panel(figure, "family").get_xticklabels()]
    assert len(ticks) == MOST_BARS
    assert (ticks[0], ticks[-1]) == ("common", f"{301 - MOST_BARS + 1} others")
    assert len(panel(figure, "dynamics by").get_yticks()) == MOST_GROUPS


def test_realizations_that_stop_leave_the_share_of_finite_ones():
    finite = np.array([[5, 5], [3, 1]], np.int32)  # of four, one stops after frame 0, one after frame 2
    (line,) = panel(shown(2, finite_steps=finite), "finite realizations (50.0% at the end)").lines
    assert line.get_ydata().tolist() == [1.0, 0.75, 0.75, 0.5, 0.5]


def test_points_are_those_asked_for():
    gain, noise = Axis("gain", np.geomspace(0.5, 2, 9), log=True), Axis("noise", np.linspace(0, 1, 9))
    points = np.array([0, 4, 8])
    plane = np.array([[0.0, 1.0], [np.nan, np.nan], [2.0, 1.0]]), (0.5, 0.25)
    figure = shown(9, points=points, pair=(gain, noise), plane=plane)
    axes = panel(figure, "noise against gain")
    drawn = np.concatenate([collection.get_offsets() for collection in axes.collections])
    assert sorted(drawn[:, 0].tolist()) == gain.values[points].tolist()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    assert "50%" in panel(figure, "features").get_xlabel()


@pytest.mark.parametrize("count", [1, 100_000])
def test_any_number_of_samples(count, tmp_path):
    number = np.arange(count)
    values = (Axis("gain", 0.5 + number / count, log=True), Axis("same", np.zeros(count), log=True))
    figure = shown(count, values, pair=values, lyapunov=np.full(count, np.nan))
    if count == 1:
        figure.savefig(tmp_path / "a.png", dpi=30)
    assert not any("Lyapunov" in axes.get_title() for axes in figure.axes)
    assert sum(len(c.get_offsets()) for c in panel(figure, "same against").collections) == min(count, 100)


def test_every_label_has_a_colour():
    assert set(COLOURS) == set(dynamics.LABELS)


def test_a_space_without_parameters_and_a_foreign_label(tmp_path):
    figure = shown(4, dynamics=np.array(["dead", "dreaming", "chaotic", "dead"]))
    figure.savefig(tmp_path / "a.svg")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["chaotic", "dead", "dreaming"]


def test_colours_can_be_told_apart_without_red_or_green():
    """By the matrices of Machado et al. (IEEE TVCG 15, 2009), severity 1, on linear light."""
    protan = [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]
    deutan = [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
    linear = np.array([to_rgb(colour) for colour, _ in COLOURS.values()]) ** 2.2

    def nearest(matrix):
        seen = np.clip(linear @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        return distance[np.triu_indices(len(seen), 1)].min()

    assert min(nearest(protan), nearest(deutan)) > 0.1
    red, green = np.array([to_rgb("#ff0000"), to_rgb("#6b7a00")]) ** 2.2
    assert np.linalg.norm(np.subtract(*(np.clip([red, green] @ np.array(deutan).T, 0, 1) ** (1 / 2.2)))) < 0.4
    assert len({marker for _, marker in COLOURS.values()}) == len(COLOURS)
