"""Profiles, shapes and shares of reaction_front."""

import math

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate, registry
from spinlock.initial_conditions.front_laws import burnt_share, front_thickness, fuel_balance, reaction_rate
from spinlock.initial_conditions.reaction_front import bistable, fisher, level
from spinlock.testing.laws import draw_from, holds, white_noise

DRAW = draw_from(registry["reaction_front"], seed=6)
SHAPES = ["planar", "circular", "irregular"]


def derivatives(profile, z):
    """Return u, u′ and u″ by differentiation of the formula itself."""
    z = z.clone().requires_grad_(True)
    u = profile(z)
    (first,) = torch.autograd.grad(u.sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    return u.detach(), first.detach(), second


Z = torch.linspace(-40, 40, 4001, dtype=torch.float64)


def test_the_fisher_front_travels():
    """u″ + cu′ + u(1 − u) = 0 at c = 5/√6, and at no other speed."""
    u, first, second = derivatives(fisher, Z)
    residual = second + 5 / math.sqrt(6) * first + u * (1 - u)
    assert residual.abs().max() < 1e-12
    assert (second + 2.0 * first + u * (1 - u)).abs().max() > 1e-3


@pytest.mark.parametrize("a", [0.01, 0.25, 0.49])
def test_the_bistable_front_travels(a):
    """u″ + cu′ + u(1 − u)(u − a) = 0 at c = (1 − 2a)/√2."""
    u, first, second = derivatives(bistable, Z)
    assert (second + (1 - 2 * a) / math.sqrt(2) * first + u * (1 - u) * (u - a)).abs().max() < 1e-12


@pytest.mark.parametrize(
    ("kinetics", "profile", "thickness"), [("fisher", fisher, 9.034), ("bistable", bistable, 6.215)]
)
def test_levels_and_thickness(kinetics, profile, thickness):
    for value in (0.1, 0.5, 0.9):
        at = torch.tensor(level(kinetics, value), dtype=torch.float64)
        assert profile(at).item() == pytest.approx(value)
    assert level(kinetics, 0.1) - level(kinetics, 0.9) == pytest.approx(thickness, abs=2e-3)


@pytest.mark.parametrize("kinetics", ["fisher", "bistable"])
@pytest.mark.parametrize("width", [3.0, 8.0])
def test_thickness_across_a_planar_front(kinetics, width):
    """Along the gradient u falls from 0.9 to 0.1 over 2.197 widths: read off between the pixels of a row."""
    options = {"front_shape": "planar", "kinetics": kinetics, "front_width": width}
    for field in generate("reaction_front", 128, 1, range(4), **options)[:, 0].double():
        down, across = torch.gradient(field)
        middle = (field - 0.5).abs() < 0.2
        turn = torch.atan2(down[middle].mean(), across[middle].mean())
        lines = field if abs(math.cos(turn)) > 0.7 else field.T
        steep = max(abs(math.cos(turn)), abs(math.sin(turn)))
        for line in lines:
            if line[0] < line[-1]:
                line = line.flip(0)
            if line[0] < 0.99 or line[-1] > 0.01:
                continue
            ends = []
            for value in (0.9, 0.1):
                at = int((line > value).sum())
                ends.append(at - 1 + float((line[at - 1] - value) / (line[at - 1] - line[at])))
            assert (ends[1] - ends[0]) * steep == pytest.approx(math.log(9) * width, rel=0.05)


def test_wrong_thickness_and_wrong_balance_are_found():
    law = front_thickness(8.0)
    assert holds(law, DRAW)
    assert not holds(law, lambda count, **_: DRAW(count, front_shape="planar", front_width=7.0))
    assert not holds(fuel_balance(), lambda count, **_: 1.001 * DRAW(count))
    assert not holds(reaction_rate("fisher"), lambda count, **_: DRAW(count, kinetics="bistable"))
    assert not holds(burnt_share(), lambda count, **_: DRAW(count, 64).clamp(max=0.4))
    assert not holds(burnt_share(), white_noise())


def test_a_changes_the_rate_alone():
    low, high = (DRAW(4, 64, 3, kinetics="bistable", a=a) for a in (0.1, 0.4))
    assert torch.equal(low[:, :2], high[:, :2])
    assert low[:, 2].max().item() == pytest.approx(1.0, abs=0.02)
    assert -1.0 < high[:, 2].min() < low[:, 2].min() < 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_every_frame_holds_burnt_and_fresh(shape, number):
    rough = {"roughness": 12.0} if shape == "irregular" else {}
    fields = DRAW(64, 32, 3, front_shape=shape, num_fronts=number, **rough)
    share = (fields[:, 0] > 0.5).double().mean(dim=(1, 2))
    low, high = (0.15, 0.5) if shape == "circular" else (0.2, 0.8)
    assert share.min() > low - 0.02
    assert share.max() < high + 0.02
    assert share.max() - share.min() > 0.6 * (high - low)


def deviation_from_line(field):
    """Return how far the points where u crosses 1/2 are from a straight line, px rms."""
    down, across = torch.gradient(field)
    lines = field if across.abs().mean() > down.abs().mean() else field.T
    ahead = lines[:, 0] > lines[:, -1]
    rows = [
        r for r in range(len(lines)) if (lines[r, 0] > 0.5) != (lines[r, -1] > 0.5) and ahead[r] == ahead[0]
    ]
    at = torch.stack([(lines[r] > 0.5).sum() for r in rows]).double()
    row = torch.tensor(rows, dtype=torch.float64)
    design = torch.stack((torch.ones_like(row), row), dim=1)
    fit = torch.linalg.lstsq(design, at[:, None]).solution
    return float((at - (design @ fit)[:, 0]).square().mean().sqrt())


def test_planar_fronts_are_straight_and_irregular_ones_are_not():
    planar, irregular = (DRAW(8, 64, 1, front_shape=shape, front_width=1.0)[:, 0].double()
                         for shape in ("planar", "irregular"))  # fmt: skip
    assert max(deviation_from_line(field) for field in planar) < 0.6
    rough = DRAW(8, 64, 1, front_shape="irregular", front_width=1.0, roughness=0.0)[:, 0].double()
    assert torch.allclose(rough, planar, atol=1e-3)
    bent = [deviation_from_line(field) for field in irregular]
    assert sum(bent) / len(bent) > 0.9


def test_a_circular_front_is_round():
    """All pixels of one distance from the centre have one value: the gradient points to a single place."""
    field = DRAW(8, 64, 1, front_shape="circular", front_width=4.0)[0, 0].double()
    inside = (field > 0.5).double()
    down, across = torch.gradient(field)
    steep = torch.hypot(down, across) > 0.03
    rows, columns = torch.meshgrid(*(torch.arange(64, dtype=torch.float64),) * 2, indexing="ij")
    normal = torch.stack((-across[steep], down[steep]), dim=1)
    offset = (normal * torch.stack((rows[steep], columns[steep]), dim=1)).sum(dim=1, keepdim=True)
    centre = torch.linalg.lstsq(normal, offset).solution[:, 0]
    radius = torch.hypot(rows - centre[0], columns - centre[1])
    assert radius[inside.bool()].max() - radius[~inside.bool()].min() < 1.5


def test_more_fronts_make_more_line():
    lengths = []
    for number in (1, 2, 3):
        rate = DRAW(64, 64, 3, front_shape="planar", num_fronts=number)[:, 2]
        lengths.append(float(rate.mean()))
    assert lengths[0] < lengths[1] < lengths[2]


def test_mixed_is_each_shape():
    _, values = generate("reaction_front", 32, 1, range(24), return_options=True)
    assert {value["front_shape"] for value in values} == set(SHAPES)
    assert {value["front_shape"] for value in values if "roughness" in value} == {"irregular"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"front_shape": "planar", "roughness": 2.0}, "acts only where front_shape is irregular"),
        ({"a": 0.2}, "acts only where kinetics is bistable"),
        ({"kinetics": "bistable", "a": 0.5}, "a = 0.5 is not allowed"),
    ],
)
def test_options_that_do_not_act_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        generate("reaction_front", 32, **options)
