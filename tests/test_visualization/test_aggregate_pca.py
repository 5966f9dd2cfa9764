"""Principal components of an ensemble: known directions, signs, explained variance."""

import math

import pytest
import torch

from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.visualization.aggregates import EnsembleFrame, aggregates
from spinlock.visualization.aggregates.pca import explained, pca

ROOT_TWO = math.sqrt(2.0)


def frame_of(fields, previous=None):
    frame = EnsembleFrame.of(fields, previous=previous)
    assert frame is not None
    return frame


def noise(count, *shape, seed=0):
    keys = SampleKeys.of(Key(seed, "pca"), torch.arange(count), ("noise",))
    return keys.normal("noise", *shape)


def orthonormal(count, channels, height, width):
    """Return orthonormal directions [count, C, H, W]."""
    rows = noise(count, channels * height * width).double()
    return torch.linalg.qr(rows.T).Q.T.reshape(count, channels, height, width)


def spread_along(directions, coefficients, offset=2.0):
    """Return float32 fields offset + Σ_k a_mk v_k, [m, C, H, W]."""
    fields = torch.einsum("mk,kchw->mchw", coefficients.double(), directions)
    return (fields + offset).float()


def centred_columns(members, *sizes):
    """Return orthogonal columns [m, k] of sum 0 and norms ``sizes``."""
    raw = noise(members, len(sizes) + 1, seed=3).double()
    raw[:, 0] = 1.0
    return torch.linalg.qr(raw).Q[:, 1:] * torch.tensor(sizes, dtype=torch.float64)


def up_to_sign(one, other):
    return min((one - other).abs().max().item(), (one + other).abs().max().item())


@pytest.mark.parametrize("members", [2, 3, 10])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_one_direction_is_the_first_component(members, channels):
    direction = orthonormal(1, channels, 8, 8)
    frame = frame_of(spread_along(direction, centred_columns(members, 3.0)))
    maps = pca(frame)
    assert up_to_sign(maps[0].double(), direction[0].mean(dim=0)) < 1e-6
    assert not maps[1:].any()
    assert explained(frame) == pytest.approx(1.0, abs=1e-12)
    largest = maps[0].flatten()[maps[0].abs().argmax()]
    assert largest > 0


def test_three_directions_are_the_three_components():
    directions = orthonormal(3, 2, 8, 8)
    frame = frame_of(spread_along(directions, centred_columns(10, 4.0, 2.0, 1.0)))
    maps = pca(frame)
    for k in range(3):
        assert up_to_sign(maps[k].double(), directions[k].mean(dim=0)) < 1e-5
    assert explained(frame) == pytest.approx(1.0, abs=1e-10)


def test_the_explained_share_is_that_of_the_first_three():
    directions = orthonormal(5, 1, 8, 8)
    sizes = (5.0, 4.0, 3.0, 2.0, 1.0)
    frame = frame_of(spread_along(directions, centred_columns(10, *sizes)))
    assert explained(frame) == pytest.approx(50.0 / 55.0, rel=1e-6)
    assert aggregates["pca"].remark is explained


@pytest.mark.parametrize("members", [1, 4])
def test_without_variance_nothing_is_drawn_and_nothing_explained(members):
    frame = frame_of(noise(1, 2, 8, 8).expand(members, -1, -1, -1) + 0.1)
    assert explained(frame) == 0.0
    assert not pca(frame).any()


@pytest.mark.parametrize(("members", "present"), [(1, 0), (2, 1), (3, 2), (4, 3)])
def test_there_are_as_many_components_as_differences(members, present):
    frame = frame_of(noise(members, 1, 8, 8))
    maps = pca(frame)
    assert [bool(m.any()) for m in maps] == [k < present for k in range(3)]
    norms = maps.flatten(1).norm(dim=1)
    assert norms[:present].tolist() == pytest.approx([1.0] * present, rel=1e-6)
    assert explained(frame) == pytest.approx(1.0 if present else 0.0)


def test_directions_below_the_rounding_of_the_fields_are_not_drawn():
    directions = orthonormal(2, 1, 8, 8)
    columns = centred_columns(10, 1.0, 1e-4)
    drawn = pca(frame_of(spread_along(directions, columns, offset=0.0)))
    assert up_to_sign(drawn[1].double(), directions[1, 0]) < 1e-2
    buried = pca(frame_of(spread_along(directions, columns, offset=1e3)))
    assert buried[0].any()
    assert not buried[1:].any()


def test_it_agrees_with_the_singular_value_decomposition():
    fields = noise(6, 3, 8, 10)
    rows = fields.double().flatten(1)
    _, values, right = torch.linalg.svd(rows - rows.mean(dim=0), full_matrices=False)
    frame = frame_of(fields)
    for k, drawn in enumerate(pca(frame)):
        assert up_to_sign(drawn.double(), right[k].view(3, 8, 10).mean(dim=0)) < 1e-6
    assert explained(frame) == pytest.approx((values[:3].square().sum() / values.square().sum()).item())


def turning(angle):
    """Return an ensemble whose direction turns from one wave to another, [2, 1, 8, 8]."""
    x = torch.arange(8) * (2.0 * math.pi / 8)
    one, other = torch.sin(x)[:, None].expand(8, 8), torch.sin(x)[None, :].expand(8, 8)
    pattern = math.cos(angle) * one + math.sin(angle) * other
    return torch.stack((pattern, -pattern))[:, None]


def test_the_sign_follows_the_frame_before():
    previous, jumps_without = None, 0
    first = pca(frame_of(turning(0.0)))
    for step in range(1, 65):
        fields = turning(step * math.pi / 32)
        maps = pca(frame_of(fields, previous if previous is not None else first))
        before = previous if previous is not None else first
        assert (maps[0] * before[0]).sum() > 0.9
        jumps_without += bool((pca(frame_of(fields))[0] * before[0]).sum() < 0)
        previous = maps
    assert jumps_without > 0
    assert previous is not None
    assert (previous[0] - first[0]).abs().max() < 1e-5


def test_a_component_that_was_missing_before_takes_the_sign_of_its_largest_entry():
    frame = frame_of(turning(0.3))
    assert torch.equal(pca(frame_of(turning(0.3), torch.zeros(3, 8, 8))), pca(frame))
