"""Dimension, checks and least weight of the linear codes."""

import itertools

import numpy as np
import pytest

from spinlock.numerics.linear_codes import (
    extended_hamming,
    gallager,
    null_space,
    random_systematic,
    repetition,
    single_parity,
    toric,
)

CODES = {
    "hamming 4": (extended_hamming(4), 1),
    "hamming 8": (extended_hamming(8), 4),
    "hamming 16": (extended_hamming(16), 11),
    "hamming 32": (extended_hamming(32), 26),
    "parity": (single_parity(16), 15),
    "repetition": (repetition(16, 8), 8),
    "repetition 5": (repetition(16, 5), 5),
    "random": (random_systematic(16, 9), 9),
    "gallager": (gallager(256), 128),
    "toric": (toric(8), 33),
}


def rank(matrix):
    return matrix.shape[1] - len(null_space(matrix))


def words_of(code):
    messages = np.array(list(itertools.product((0, 1), repeat=code.dimension)), dtype=np.uint8)
    return messages @ code.generator % 2


@pytest.mark.parametrize("name", CODES)
def test_the_generator_spans_exactly_what_passes_the_checks(name):
    code, dimension = CODES[name]
    assert code.dimension == dimension
    assert not (code.checks.astype(int) @ code.generator.T.astype(int) % 2).any()
    assert rank(code.generator) == dimension
    assert rank(code.checks) == code.length - dimension


@pytest.mark.parametrize(
    ("name", "weight"),
    [("hamming 4", 4), ("hamming 8", 4), ("hamming 16", 4), ("repetition", 2), ("repetition 5", 3)],
)
def test_least_weight(name, weight):
    weights = words_of(CODES[name][0]).sum(axis=1)
    assert weights[weights > 0].min() == weight


@pytest.mark.parametrize("name", ["hamming 16", "hamming 32"])
def test_one_to_three_flips_are_noticed_and_four_may_not_be(name):
    checks = CODES[name][0].checks.astype(int)
    length = checks.shape[1]
    for flips in (1, 2, 3):
        for places in itertools.combinations(range(length), flips):
            assert (checks[:, places].sum(axis=1) % 2).any()
    unnoticed = [p for p in itertools.combinations(range(8), 4) if not (checks[:, p].sum(axis=1) % 2).any()]
    assert unnoticed


def test_a_product_of_two_codes_has_the_product_of_their_distances():
    code = extended_hamming(8)
    messages = ((np.arange(2**16)[:, None] >> np.arange(16)) & 1).astype(np.uint8).reshape(-1, 4, 4)
    arrays = code.generator.T @ messages @ code.generator % 2
    weights = arrays.sum(axis=(1, 2))
    assert weights[1:].min() == 16


def test_gallager_checks_are_sparse_and_regular():
    checks = gallager(256).checks[:-4, :252]
    assert checks.shape == (126, 252)
    assert (checks.sum(axis=1) == 6).all()
    assert (checks.sum(axis=0) == 3).all()
    assert not gallager(256).checks[:-4, 252:].any()
    layers = checks.reshape(3, 42, 252)
    assert not np.array_equal(layers[1], layers[0])
    assert not np.array_equal(layers[1], layers[2])


@pytest.mark.parametrize("side", [4, 8, 16])
def test_every_flip_breaks_two_faces_of_the_torus(side):
    code = toric(side)
    assert code.checks.shape == (side * side // 2, side * side)
    assert (code.checks.sum(axis=0) == 2).all()
    assert (code.checks.sum(axis=1) == 4).all()
    assert code.dimension == side * side // 2 + 1


@pytest.mark.parametrize("length", [8, 16, 32, 64])
def test_random_codes_notice_every_single_flip(length):
    for dimension in range(2, length):
        code = random_systematic(length, dimension)
        assert code.checks.any(axis=0).all(), (length, dimension)
        assert not (code.generator.astype(int) @ code.checks.T % 2).any()


def test_random_codes_never_change():
    assert np.array_equal(
        random_systematic(16, 9).generator[:2, 9:], random_systematic.__wrapped__(16, 9).generator[:2, 9:]
    )
    assert random_systematic(16, 9).generator[:, 9:].mean() == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(extended_hamming, (12,)), (extended_hamming, (2,)), (gallager, (255,)), (toric, (5,))],
)
def test_lengths_that_no_code_has_are_refused(make, arguments):
    with pytest.raises(ValueError, match="not"):
        make(*arguments)
