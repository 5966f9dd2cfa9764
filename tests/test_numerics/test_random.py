"""Keyed draws as tensors: what they depend on, exactness at the ends, distribution, refusals."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest

from spinlock.errors import UsageError
from spinlock.keys import MASK, Key, Purpose, words
from spinlock.numerics.random import SampleKeys, normals_from_words, random_words, uniforms_from_words

KEY = Key(42, "part")
TRANSFORMS = [uniforms_from_words, normals_from_words]


def draw(transform, count, **coordinates):
    return transform(random_words(KEY, Purpose.NOISE, count, **coordinates), count)


def keys(indices, sites=("phases", "centres"), **options):
    return SampleKeys.of(KEY, torch.as_tensor(indices), sites, **options)


# --- what a number depends on ---


@pytest.mark.parametrize("count", [1, 3, 4, 10])
def test_words_are_those_of_the_numpy_reference(count):
    ours = random_words(
        KEY, Purpose.DROPOUT, count, samples=torch.tensor([3, 9]), steps=5, site=6, realizations=7
    )
    theirs = words(KEY, Purpose.DROPOUT, [3, 9], count, step=5, site=6, realization=7)
    assert np.array_equal(ours.permute(1, 2, 0).reshape(2, -1)[:, :count].numpy(), theirs)


def test_a_coordinate_that_is_not_named_is_zero():
    samples = torch.tensor([5, 6])
    zeros = {"steps": 0, "site": 0, "realizations": 0}
    unnamed = random_words(KEY, Purpose.CHOICE, 9, samples=samples)
    assert torch.equal(unnamed, random_words(KEY, Purpose.CHOICE, 9, samples=samples, **zeros))
    batch = keys([5, 6])
    for draw in (batch.uniform, batch.normal):
        assert torch.equal(draw("phases", 9), draw("phases", 9, step=0))
    assert torch.equal(batch.integers("phases", 50, 9), batch.integers("phases", 50, 9, step=0))
    assert torch.equal(batch.draws, torch.zeros(2, dtype=torch.int64))


def test_columns_of_steps_and_realizations_equal_single_draws():
    steps, realizations = torch.tensor([0, 4, 65535]), torch.tensor([2, 65535, 0])
    batch = random_words(
        KEY, Purpose.NOISE, 8, samples=torch.tensor([1, 2, 3]), steps=steps, realizations=realizations
    )
    for b in range(3):
        alone = random_words(
            KEY, Purpose.NOISE, 8, samples=b + 1, steps=int(steps[b]), realizations=int(realizations[b])
        )
        assert torch.equal(batch[:, b], alone[:, 0])


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 13, 64, 1001])
def test_rows_do_not_depend_on_their_batch(transform, count):
    samples = torch.arange(19) * 2**27
    batch = draw(transform, count, samples=samples)
    order = torch.tensor([(7 * b + 3) % 19 for b in range(19)])
    assert torch.equal(draw(transform, count, samples=samples[order]), batch[order])
    for b in range(19):
        assert torch.equal(draw(transform, count, samples=samples[b : b + 1])[0], batch[b])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_longer_arrays_begin_with_shorter_ones(transform):
    longest = draw(transform, 70_003, samples=5)[0]
    for count in [*range(1, 70), 4095, 32_767, 32_769, 65_537]:
        assert torch.equal(draw(transform, count, samples=5)[0], longest[:count])


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_number_of_threads_changes_nothing(transform):
    threads = torch.get_num_threads()
    one = draw(transform, 40_001, samples=torch.arange(5))
    try:
        torch.set_num_threads(2)
        two = draw(transform, 40_001, samples=torch.arange(5))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(one, two)


def test_global_generators_are_left_alone():
    before = torch.get_rng_state()
    keys([0, 1]).normal("phases", 100)
    assert torch.equal(torch.get_rng_state(), before)


# --- exactness ---


def test_uniforms_stay_inside_the_open_interval_at_both_ends():
    for word, low in [(0, 0), (511, 0), (512, 1), (2**31, 2**22), (MASK - 512, 2**23 - 2), (MASK, 2**23 - 1)]:
        (uniform,) = uniforms_from_words(torch.full((4, 1, 1), word), 1)[0].tolist()
        assert uniform == (low + 0.5) / 2**23
        assert 0 < uniform < 1


def test_normals_are_finite_at_all_extremes():
    ends = [0, 1, 127, 2**24, 2**31, MASK - 128, MASK]
    block = torch.tensor(list(itertools.product(ends, repeat=4))).T[:, None, :].contiguous()
    normals = normals_from_words(block, 4 * block.shape[2])
    assert torch.isfinite(normals).all()
    assert float(normals.abs().max()) == pytest.approx(math.sqrt(2 * math.log(2**33)), rel=1e-6)


def test_normals_are_those_of_box_and_muller():
    block = random_words(KEY, Purpose.NOISE, 40_000, samples=1)
    w = block[:, 0].double().numpy()
    radius = np.sqrt(-2 * np.log((w[:2] + 0.5) / 2**32))
    angle = 2 * np.pi * np.floor(w[2:] / 256) / 2**24
    exact = np.concatenate((radius * np.cos(angle), radius * np.sin(angle))).T.ravel()
    # the radius near u = 1 feels the rounding of u to float32, by at most 2**-25 / radius
    assert np.abs(normals_from_words(block, 40_000)[0].numpy() - exact).max() < 2e-5
    assert np.median(np.abs(normals_from_words(block, 40_000)[0].numpy() - exact)) < 1e-7


# --- distribution ---


def test_three_million_normals_are_normal():
    x = draw(normals_from_words, 100_000, samples=torch.arange(30)).numpy().astype(np.float64).ravel()
    n = len(x)
    assert kstest(x, "norm").statistic * math.sqrt(n) < 1.63  # the 99 % quantile
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10_170)]:
        assert np.mean(x**power) == pytest.approx(moment, abs=4 * math.sqrt(variance / n))
    for bound, tail in [(3.0, 2.699796e-3), (4.0, 6.334248e-5), (5.0, 5.733031e-7)]:
        assert np.sum(np.abs(x) > bound) == pytest.approx(n * tail, abs=4 * math.sqrt(n * tail) + 1)


def test_three_million_uniforms_are_uniform():
    x = draw(uniforms_from_words, 100_000, samples=torch.arange(30)).numpy().astype(np.float64).ravel()
    n = len(x)
    assert kstest(x, "uniform").statistic * math.sqrt(n) < 1.63
    for power in (1, 2, 3, 4):
        variance = 1 / (2 * power + 1) - 1 / (power + 1) ** 2
        assert np.mean(x**power) == pytest.approx(1 / (power + 1), abs=4 * math.sqrt(variance / n))


@pytest.mark.parametrize(
    "other",
    [
        {"samples": 8},
        {"samples": 7, "steps": 1},
        {"samples": 7, "site": 1},
        {"samples": 7, "realizations": 1},
    ],
    ids=["sample", "step", "site", "realization"],
)
def test_neighbouring_normals_are_uncorrelated(other):
    a = draw(normals_from_words, 200_000, samples=7)[0].double()
    b = draw(normals_from_words, 200_000, **other)[0].double()
    for x, y in [(a, b), (a**2, b**2), (a[1:], b[:-1])]:
        assert abs(float(torch.corrcoef(torch.stack((x, y)))[0, 1])) < 4.5 / math.sqrt(200_000)


@pytest.mark.parametrize("lag", [1, 2, 3, 4])
def test_neighbouring_elements_are_uncorrelated(lag):
    # cosine and sine of one angle share their radius, so their squares are a test of its distribution
    x = draw(normals_from_words, 400_000, samples=7)[0].double()
    for y in (x, x**2):
        assert abs(float(torch.corrcoef(torch.stack((y[lag:], y[:-lag])))[0, 1])) < 4.5 / math.sqrt(400_000)


def test_integers_have_equal_weight():
    drawn = keys(range(50)).integers("phases", 7, 2000)
    assert drawn.dtype == torch.int64
    counts = np.bincount(drawn.ravel().numpy(), minlength=7)
    assert len(counts) == 7
    assert chisquare(counts).pvalue > 0.01
    assert set(keys(range(50)).integers("phases", 1, 20).ravel().tolist()) == {0}


@pytest.mark.parametrize("below", [2, 3, 1000, 2**16])
def test_integers_are_scaled_uniforms_rounded_down(below):
    batch = keys(range(20))
    expected = (batch.uniform("phases", 500).double() * below).floor()
    drawn = batch.integers("phases", below, 500)
    assert torch.equal(drawn, expected.long())
    assert 0 <= int(drawn.min()) < int(drawn.max()) < below


# --- sample keys ---


def test_sites_draws_steps_and_parts_are_separate_streams():
    indices = torch.arange(4)
    streams = [
        keys(indices).normal("phases", 50),
        keys(indices).normal("centres", 50),
        keys(indices).normal("phases", 50, step=1),
        keys(indices, draws=torch.full((4,), 1)).normal("phases", 50),
        keys(indices).within("other", ("phases",)).normal("phases", 50),
        SampleKeys.of(Key(43, "part"), indices, ("phases",)).normal("phases", 50),
        SampleKeys.of(Key(42, "parts"), indices, ("phases",)).normal("phases", 50),
    ]
    rows = torch.cat(streams)
    assert len(torch.unique(rows, dim=0)) == len(rows)
    for a, b in itertools.combinations(streams, 2):
        assert abs(float(torch.corrcoef(torch.stack((a.ravel(), b.ravel())))[0, 1])) < 4.5 / math.sqrt(200)


def test_shapes_are_those_asked_for_and_one_shape_is_the_flat_draw_of_another():
    batch = keys([4, 5])
    assert batch.uniform("phases").shape == (2,)
    assert batch.normal("phases", 3, 0).shape == (2, 3, 0)
    assert torch.equal(batch.normal("phases", 3, 4, 5).reshape(2, 60), batch.normal("phases", 60))
    empty = SampleKeys.of(KEY, torch.zeros(0, dtype=torch.int64), ("phases",))
    assert empty.normal("phases", 3, 4).shape == (0, 3, 4)


def test_an_undeclared_site_is_refused():
    with pytest.raises(KeyError, match="part: site 'angles' is not declared"):
        keys([0]).normal("angles", 4)
    with pytest.raises(KeyError, match="not declared"):
        keys([0]).within("other", ("angles",)).normal("phases", 4)


def test_a_site_declared_twice_is_refused():
    with pytest.raises(ValueError, match="share the number"):
        keys([0], sites=("phases", "centres", "phases"))


@pytest.mark.parametrize(
    "coordinates",
    [
        {"samples": 2**32},
        {"samples": torch.tensor([0, 2**32])},
        {"samples": torch.tensor([-1, 0])},
        {"samples": 0, "steps": 2**16},
        {"samples": 0, "steps": torch.tensor([2**16])},
        {"samples": 0, "realizations": 2**16},
        {"samples": 0, "realizations": torch.tensor([0, -1])},
        {"samples": 0, "site": 2**16},
    ],
)
def test_a_coordinate_beyond_its_place_is_an_error(coordinates):
    with pytest.raises(UsageError, match="out of range"):
        random_words(KEY, Purpose.NOISE, 4, **coordinates)


def test_sample_keys_refuse_what_does_not_fit():
    with pytest.raises(UsageError, match="sample index 4294967296"):
        keys([0, 2**32])
    with pytest.raises(UsageError, match="realization 65536"):
        keys([0, 1], draws=torch.tensor([0, 2**16]))
    with pytest.raises(UsageError, match="step 65536"):
        keys([0]).uniform("phases", 4, step=2**16)
    for below in (0, 2**16 + 1):
        with pytest.raises(UsageError, match=f"below {below}"):
            keys([0]).integers("phases", below, 4)
