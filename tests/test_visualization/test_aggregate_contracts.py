"""Every aggregate: shapes, finite values, permutations, translations, realizations that drop out."""

import math
import subprocess
import sys

import pytest
import torch

from spinlock.errors import SpinlockError, UnknownNameError, UsageError
from spinlock.keys import Key
from spinlock.numerics.random import SampleKeys
from spinlock.registry import options_of
from spinlock.visualization.aggregates import (
    DEFAULT_AGGREGATES,
    Aggregate,
    EnsembleFrame,
    aggregate,
    aggregates,
)

NAMES = ("entropy", "envelope", "mean", "overlay", "pca", "spectral", "ssim", "stddev", "variance")
PERMUTABLE = ("mean", "variance", "stddev", "envelope", "entropy", "ssim", "spectral")
LOCAL = tuple(name for name in NAMES if name != "spectral")
HEATMAPS = {
    "variance": "hot",
    "stddev": "plasma",
    "envelope": "coolwarm",
    "entropy": "inferno",
    "ssim": "viridis",
    "spectral": "magma",
}


def ensemble(members, channels, height=16, width=16, seed=0):
    """Return keyed fields [M, C, H, W]: offset noise whose spread differs from channel to channel."""
    keys = SampleKeys.of(Key(seed, "aggregates"), torch.arange(members), ("noise",))
    scale = torch.arange(1.0, channels + 1.0)[:, None, None]
    return keys.normal("noise", channels, height, width) * scale + 0.3


def frame_of(fields, **given):
    frame = EnsembleFrame.of(fields, **given)
    assert frame is not None
    return frame


def close(one, other, tolerance=1e-6):
    return (one - other).abs().max().item() <= tolerance * max(other.abs().max().item(), 1e-30)


# --- the catalogue ---


def test_the_catalogue_holds_the_nine_aggregates_and_the_defaults():
    assert tuple(aggregates) == NAMES
    assert DEFAULT_AGGREGATES == ("mean", "envelope", "entropy")
    assert {entry.name for entry in aggregates.entries() if entry.permutable} == set(PERMUTABLE)
    assert {e.name: e.colormap for e in aggregates.entries() if e.kind == "heatmap"} == HEATMAPS
    kinds = {entry.name: entry.kind for entry in aggregates.entries() if entry.kind != "heatmap"}
    assert kinds == {"mean": "field", "overlay": "overlay", "pca": "components"}


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_says_what_it_is(name):
    entry = aggregates[name]
    assert entry.summary.endswith(".")
    assert entry.options == options_of(entry.function) == {}
    assert [entry.depth(channels) for channels in (1, 2, 3)] == {
        "field": [1, 2, 3],
        "overlay": [5, 5, 5],
        "components": [3, 3, 3],
        "heatmap": [1, 1, 1],
    }[entry.kind]


def test_the_catalogue_is_declared_without_torch():
    code = "import sys, spinlock.visualization.aggregates; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_aggregate_is_refused_with_the_near_miss():
    with pytest.raises(UnknownNameError, match=r"unknown aggregate 'entropi' .did you mean 'entropy'"):
        aggregates["entropi"]
    assert issubclass(UnknownNameError, UsageError)


def test_maps_of_another_shape_or_dtype_are_refused():
    def flat(frame):
        """Draw one map without its axis of maps."""
        return frame.fields[0, 0]

    def wide(frame):
        """Draw one map in double precision."""
        return frame.fields[:1, 0].double()

    frame = frame_of(ensemble(2, 1))
    for function in (flat, wide):
        entry = Aggregate(function.__name__, function, {}, "", kind="heatmap", colormap="hot")
        with pytest.raises(SpinlockError, match=rf"{function.__name__}.*is \[1, 16, 16\] torch.float32 here"):
            entry(frame)


@pytest.mark.parametrize(("kind", "colormap"), [("heatmap", ""), ("field", "hot")])
def test_heatmaps_alone_have_a_colormap(kind, colormap):
    def undrawn(frame):
        """Draw nothing."""

    with pytest.raises(TypeError, match="'undrawn': a heatmap needs a colormap"):
        aggregate(kind=kind, colormap=colormap)(undrawn)
    assert "undrawn" not in aggregates


def test_a_further_aggregate_is_one_function():
    @aggregate(kind="heatmap", colormap="hot")
    def least(frame):
        """Least value over realizations and channels."""
        return frame.fields.amin(dim=(0, 1)).unsqueeze(0)

    try:
        fields = ensemble(3, 2)
        assert aggregates["least"].summary == "Least value over realizations and channels."
        assert torch.equal(aggregates["least"](frame_of(fields))[0], fields.amin(dim=(0, 1)))
    finally:
        aggregates.remove("least")


# --- maps ---


@pytest.mark.parametrize("size", [(16, 16), (4, 6), (5, 7)])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("members", [1, 2, 3, 10])
def test_maps_are_finite_and_of_their_shape(members, channels, size):
    frame = frame_of(ensemble(members, channels, *size))
    for entry in aggregates.entries():
        maps = entry(frame)
        assert maps.shape == (entry.depth(channels), *size), entry.name
        assert maps.dtype == torch.float32
        assert bool(maps.isfinite().all()), entry.name
        if entry.remark is not None:
            assert 0.0 <= entry.remark(frame) <= 1.0


@pytest.mark.parametrize("value", [0.0, -7.25, 0.1])
@pytest.mark.parametrize("members", [1, 2, 10])
def test_maps_of_constant_fields_are_finite(members, value):
    frame = frame_of(torch.full((members, 2, 8, 8), value))
    assert all(bool(entry(frame).isfinite().all()) for entry in aggregates.entries())


@pytest.mark.parametrize("offset", [0.1, 1234.567, -1e6])
@pytest.mark.parametrize("members", [2, 3, 7, 10])
def test_equal_realizations_have_no_spread(members, offset):
    field = ensemble(1, 3) + offset
    frame = frame_of(field.expand(members, -1, -1, -1))
    for name in ("variance", "stddev", "envelope", "entropy", "pca"):
        assert not aggregates[name](frame).any(), name
    assert torch.equal(aggregates["mean"](frame), field[0])
    assert torch.equal(aggregates["ssim"](frame), torch.ones(1, 16, 16))
    assert not aggregates["overlay"](frame)[1:].any()
    assert close(aggregates["spectral"](frame), aggregates["spectral"](frame_of(field)))


# --- invariances ---


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PERMUTABLE)
def test_permuted_realizations_give_the_same_maps(name, channels):
    fields = ensemble(10, channels) * 1e3
    expected = aggregates[name](frame_of(fields))
    for order in (range(9, -1, -1), (3, 1, 4, 0, 5, 9, 2, 6, 8, 7)):
        permuted = aggregates[name](frame_of(fields[list(order)]))
        assert close(permuted, expected)
        if name in ("envelope", "entropy"):
            assert torch.equal(permuted, expected)


def test_permuted_realizations_change_the_hues_of_the_overlay():
    fields = ensemble(10, 1)
    expected, permuted = (aggregates["overlay"](frame_of(f)) for f in (fields, fields.flip(0)))
    assert close(permuted[[0, 4]], expected[[0, 4]])
    assert not close(permuted[1:4], expected[1:4], 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_permuted_channels_permute_the_mean_and_leave_the_other_maps(name):
    fields = ensemble(4, 3)
    order = [2, 0, 1]
    expected = aggregates[name](frame_of(fields))
    expected = expected[order] if name == "mean" else expected
    assert close(aggregates[name](frame_of(fields[:, order])), expected, 1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shift", [(3, 0), (-5, 11)])
def test_translated_fields_give_translated_maps(name, shift):
    fields = ensemble(4, 2, 16, 24)
    maps = aggregates[name](frame_of(fields))
    rolled = aggregates[name](frame_of(fields.roll(shift, dims=(-2, -1))))
    expected = maps.roll(shift, dims=(-2, -1)) if name in LOCAL else maps
    assert close(rolled, expected, 1e-5)
    assert not close(maps.roll(shift, dims=(-2, -1)), maps, 0.1)


@pytest.mark.parametrize("name", NAMES)
def test_transposed_fields_give_transposed_maps(name):
    fields = ensemble(4, 2, 16, 16)
    maps = aggregates[name](frame_of(fields))
    assert close(aggregates[name](frame_of(fields.mT.contiguous())), maps.mT, 1e-5)


@pytest.mark.parametrize(("name", "power"), [("mean", 1), ("stddev", 1), ("envelope", 1), ("variance", 2)])
def test_scaled_fields_scale_the_maps(name, power):
    fields = ensemble(5, 3)
    expected = aggregates[name](frame_of(fields)) * 4.0**power
    assert torch.equal(aggregates[name](frame_of(fields * 4.0)), expected)


@pytest.mark.parametrize("name", ["entropy", "ssim", "pca"])
def test_scaled_fields_leave_the_maps_without_a_unit(name):
    fields = ensemble(5, 3)
    assert close(aggregates[name](frame_of(fields * 4.0)), aggregates[name](frame_of(fields)))


# --- realizations that are not finite ---


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_realizations_that_are_not_finite_are_left_out(name, broken):
    fields = ensemble(5, 2)
    fields[1, 1, 3, 4] = broken
    fields[3, 0, 0, 0] = broken
    frame = frame_of(fields)
    assert frame.members == (0, 2, 4)
    kept = fields[[0, 2, 4]]
    low, high = kept.amin(dim=(0, 2, 3)), kept.amax(dim=(0, 2, 3))
    assert torch.equal(
        aggregates[name](frame), aggregates[name](EnsembleFrame(kept, (0, 2, 4), low, high, size=5))
    )


def test_bins_of_the_entropy_stay_when_realizations_diverge():
    fields = ensemble(10, 1)
    low, high = fields.amin(dim=(0, 2, 3)), fields.amax(dim=(0, 2, 3))
    alone = EnsembleFrame(fields[:8], tuple(range(8)), low, high)
    fields[8:] = math.nan
    among = EnsembleFrame.of(fields, low, high)
    assert among is not None
    counts = {float(aggregates["entropy"](frame).max()) for frame in (alone, among)}
    assert len(counts) == 2  # 4 bins for 8 realizations, 5 for the 8 of 10


def test_without_a_finite_realization_there_is_no_frame():
    assert EnsembleFrame.of(torch.full((3, 1, 4, 4), math.nan)) is None
    assert EnsembleFrame.of(torch.zeros(0, 1, 4, 4)) is None


def test_huge_finite_fields_are_kept():
    frame = frame_of(torch.full((3, 1, 64, 64), 3e38))
    assert frame.members == (0, 1, 2)


def test_opposite_infinities_do_not_hide_each_other():
    fields = ensemble(2, 1)
    fields[0, 0, 0, 0], fields[0, 0, 0, 1] = math.inf, -math.inf
    assert frame_of(fields).members == (1,)


def test_limits_are_those_of_the_clip_where_given():
    fields = ensemble(3, 2)
    low, high = torch.tensor([-9.0, -8.0], dtype=torch.float64), torch.tensor([9.0, 8.0])
    given = frame_of(fields, low=low, high=high)
    assert given.low.tolist() == [-9.0, -8.0]
    assert given.high.tolist() == [9.0, 8.0]
    assert given.low.dtype == fields.dtype
    own = frame_of(fields)
    assert torch.equal(own.low, fields.amin(dim=(0, 2, 3)))
    assert torch.equal(own.high, fields.amax(dim=(0, 2, 3)))
