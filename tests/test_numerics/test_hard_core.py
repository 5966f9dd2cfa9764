"""Discs on the torus: none overlaps, clusters are normal, no room is said and not hidden."""

import math

import numpy as np
import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.hard_core import FOUNDERS, place_discs
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.stream import streams


def walks(count, step=0):
    return streams(SampleKeys.of(Key(0, "discs"), torch.arange(count), ("discs",)), "discs", step)


def nearest_pair(places):
    offset = np.abs(places[:, None] - places)
    distance = np.hypot(*np.minimum(offset, 1 - offset).transpose(2, 0, 1))
    return (distance + 2.0 * np.eye(len(places))).min()


@pytest.mark.parametrize(("count", "clustered", "share"), [(50, 0.5, 0.1), (200, 0.9, 0.3), (600, 0.0, 0.4)])
def test_centres_keep_two_radii_apart(count, clustered, share):
    radius = math.sqrt(share / (math.pi * count))
    for walk in walks(3):
        places, clusters = place_discs(walk, count, count // 8, radius, clustered, 0.06)
        assert places.shape == (count, 2)
        assert places.min() >= 0
        assert places.max() < 1
        assert nearest_pair(places) >= 2 * radius
        assert clusters[:FOUNDERS].tolist() == [0, 1, 2]
    free, _ = place_discs(walks(1)[0], count, count // 8, 0.0, clustered, 0.06)
    assert nearest_pair(free) < 2 * radius


def test_no_room_is_reported():
    assert place_discs(walks(1)[0], 20, 3, 0.2, 0.5, 0.06) is None


def test_clusters_have_the_width_asked_for():
    """Offsets of cells from the first of their cluster have variance 2·width² on each axis."""
    offsets = []
    for walk in walks(16):
        places, clusters = place_discs(walk, 120, 3, 0.0, 1.0, 0.05)
        for number in range(3):
            mine = places[clusters == number]
            offset = mine[1:] - mine[0]
            offsets.append((offset + 0.5) % 1 - 0.5)
    widths = [np.sqrt((part**2).mean() / 2) for part in offsets]
    assert np.sqrt(np.mean(np.square(widths))) == pytest.approx(0.05, rel=0.15)


def test_quadrats_count_as_those_of_the_binomial_and_the_thomas_process():
    """Variance over mean of the cells in 8 × 8 quadrats: 1 for uniform places, far more in clusters."""
    ratio = {}
    for clustered in (0.0, 0.9):
        ratios = []
        for walk in walks(50, step=1):
            places, _ = place_discs(walk, 50, 6, 0.0, clustered, 0.06)
            counts = np.histogram2d(*places.T, bins=8, range=[(0, 1), (0, 1)])[0]
            ratios.append(counts.var() / counts.mean())
        ratio[clustered] = np.mean(ratios)
    assert ratio[0.0] == pytest.approx(1.0, abs=0.25)
    assert ratio[0.9] > 1.8
