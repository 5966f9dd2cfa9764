"""Each precision keeps its stated error bound, the bound is reached, and special values survive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinlock.errors import OptionError
from spinlock.keys import Key, Purpose, words
from spinlock.storage.precision import parse_precision

BITS = range(1, 23)


def keyed_floats(count: int, part: str = "floats") -> np.ndarray:
    """float32 values of all exponents and signs, from random bits."""
    bits = words(Key(3, part), Purpose.PROBE, [0], count)[0].astype(np.uint32)
    return bits.view(np.float32)


def exact(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64)


def test_float32_is_the_identity_to_the_bit():
    values = keyed_floats(10_000)
    assert parse_precision("float32").encode(values).tobytes() == values.tobytes()


@pytest.mark.parametrize("bits", BITS)
def test_bitround_keeps_its_bound_and_reaches_it(bits):
    precision = parse_precision(f"bitround:{bits}")
    values = keyed_floats(20_000)
    values = values[(np.abs(values) >= 2.0**-126) & (np.abs(values) <= 2.0**127)]
    error = np.abs(exact(precision.encode(values)) - exact(values)) / np.abs(exact(values))
    assert error.max() <= precision.relative_error == 2.0 ** -(bits + 1)
    halfway = np.float32(
        1 + 2.0 ** -(bits + 1)
    )  # a tie just above a power of two: the largest relative error
    assert float(halfway - precision.encode(np.array([halfway]))[0]) == 2.0 ** -(bits + 1)


@pytest.mark.parametrize("bits", BITS)
def test_bitround_rounds_to_the_nearest_and_ties_to_even(bits):
    """On [1, 2) the K-bit numbers are the multiples of 2^-K; numpy's rint rounds ties to even, in float64."""
    mantissas = words(Key(3, "mantissas"), Purpose.PROBE, [0], 4000)[0] % 2**23
    ties = (np.arange(min(2**bits, 500)) * 2 + 1) << (22 - bits)
    values = (1 + np.concatenate([mantissas, ties]) * 2.0**-23).astype(np.float32)
    expected = np.rint(exact(values) * 2.0**bits) * 2.0**-bits
    np.testing.assert_array_equal(parse_precision(f"bitround:{bits}").encode(values), expected)


@given(st.integers(1, 22), st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_bitround_is_idempotent_odd_and_monotone(bits, numbers):
    encode = parse_precision(f"bitround:{bits}").encode
    values = np.sort(np.array(numbers, np.float32))
    once = encode(values)
    assert encode(once).tobytes() == once.tobytes()
    finite = np.isfinite(values)
    assert np.array_equal(encode(-values)[finite], -once[finite])
    assert np.isfinite(once[finite]).all()
    assert (np.diff(exact(once[finite])) >= 0).all()
    assert once[~finite].tobytes() == values[~finite].tobytes()


def test_bitround_leaves_a_tail_of_zeros():
    stored = parse_precision("bitround:10").encode(keyed_floats(1000))
    finite = stored[np.isfinite(stored)]
    assert not (finite.view(np.uint32) & 0x1FFF).any()


def test_nan_keeps_its_bits():
    payloads = np.array([0x7FC00000, 0xFFC00000, 0x7FC12345, 0xFFFFFFFF, 0x7F800001], np.uint32).view(
        np.float32
    )
    for name in ("float32", "bitround:1", "bitround:22"):
        assert parse_precision(name).encode(payloads).tobytes() == payloads.tobytes()
    assert np.isnan(parse_precision("float16").encode(payloads)).all()


def test_float16_overflows_to_nan_from_its_limit_on():
    precision = parse_precision("float16")
    below = np.nextafter(np.float32(precision.limit), np.float32(0))
    values = np.array([precision.limit, -precision.limit, 1e8, np.inf, below, -below, 65504.0], np.float32)
    stored = precision.encode(values)
    assert np.isnan(stored[:4]).all()
    assert stored[4:].tolist() == [65504.0, -65504.0, 65504.0]
    assert precision.overflows(values).tolist() == [True] * 4 + [False] * 3
    assert precision.overflows(np.array([np.nan], np.float32)).tolist() == [False]


def test_only_float16_overflows():
    largest = np.array([np.finfo(np.float32).max], np.float32)
    for name in ("float32", "bitround:5"):
        assert not parse_precision(name).overflows(largest).any()
        assert np.isfinite(parse_precision(name).encode(largest)).all()


def test_float16_keeps_its_bound():
    precision = parse_precision("float16")
    values = keyed_floats(50_000)
    values = values[np.abs(values) < precision.limit]
    error = np.abs(exact(precision.encode(values)) - exact(values))
    normal = np.abs(values) >= 2.0**-14
    assert (error[normal] / np.abs(exact(values[normal]))).max() <= precision.relative_error
    assert error[~normal].max() <= 2.0**-25


@pytest.mark.parametrize(
    "text",
    [
        "float64",
        "bitround",
        "bitround:0",
        "bitround:23",
        "bitround:-3",
        "bitround:٣",
        "bitround: 5",
        "float16:3",
        "",
    ],
)
def test_other_names_are_refused_with_the_allowed_ones(text):
    with pytest.raises(OptionError, match=r"float32 .*float16.*bitround:K"):
        parse_precision(text)
