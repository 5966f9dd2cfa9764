"""Growth of clusters: order, contact, the border, and where walkers from infinity come in."""

import math

import numpy as np
import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics import aggregation
from spinlock.numerics.aggregation import grow_from_line, grow_from_point
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.stream import streams

GROWTHS = {"point": (grow_from_point, 150), "line": (grow_from_line, 300)}


def walks(count, step=0):
    return streams(SampleKeys.of(Key(0, "walkers"), torch.arange(count), ("walk",)), "walk", step)


@pytest.mark.parametrize("seed", GROWTHS)
def test_every_cell_joined_beside_an_earlier_one(seed):
    grow, cells = GROWTHS[seed]
    seeds = 1 if seed == "point" else 64
    for walk in walks(4):
        order = grow(walk, 64, cells, 0.5)
        assert sorted(order[order > 0].tolist()) == list(range(1, cells + 1))
        padded = np.pad(order, 1, mode="constant")
        if seed == "line":
            padded[1:-1, 0], padded[1:-1, -1] = order[:, -1], order[:, 0]
        around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
        earliest = np.where(around > 0, around, cells + 1).min(axis=0)
        joined = order > seeds
        assert (earliest[joined] < order[joined]).all()


@pytest.mark.parametrize("seed", GROWTHS)
def test_growth_ends_at_the_border(seed):
    grow, _ = GROWTHS[seed]
    order = grow(walks(1)[0], 16, 250, 1.0)
    assert 1 < order.max() < 250
    assert order[[0, -1]].any() or order[:, [0, -1]].any()


def test_the_seed_is_in_the_middle_or_the_first_row():
    assert grow_from_point(walks(1)[0], 32, 9, 1.0)[16, 16] == 1
    assert grow_from_line(walks(1)[0], 32, 40, 1.0)[0].tolist() == list(range(1, 33))


def test_walkers_return_to_the_circle_by_the_poisson_kernel():
    """From distance r, P(|θ| < t) = (2/π)·atan((r + R)/(r − R)·tan(t/2)) on the circle of radius R."""
    radius, distance, count = 10_000.0, 16_000, 4000
    walk = walks(1, step=3)[0]
    points = np.array([aggregation._return_to_circle(walk, distance, 0, radius) for _ in range(count)])
    assert np.abs(np.hypot(*points.T) - radius).max() < 1.0
    angle = np.abs(np.arctan2(points[:, 1], points[:, 0]))
    for t in (0.2, 0.5, 1.0, 2.0):
        wanted = 2 / math.pi * math.atan((distance + radius) / (distance - radius) * math.tan(t / 2))
        error = math.sqrt(wanted * (1 - wanted) / count)
        assert (angle < t).mean() == pytest.approx(wanted, abs=4 * error)
        uniform = t / math.pi  # a walker put back at random would forget where it was
        assert abs(wanted - uniform) > 10 * error or t > 1.5


def test_every_direction_is_met_alike():
    """The mean place of the last cells is the seed, within the error of 64 clusters."""
    tips = []
    for walk in walks(64):
        order = grow_from_point(walk, 64, 150, 1.0)
        tips.append(np.argwhere(order > 100).mean(axis=0) - 32)
    tips = np.array(tips)
    assert (np.abs(tips.mean(axis=0)) < 4 * tips.std(axis=0) / 8).all()
