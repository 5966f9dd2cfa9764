"""The parameter space: what a coordinate means, equal weights, order, refusals."""

import math
from dataclasses import FrozenInstanceError
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.errors import OptionError, UsageError
from spinlock.sampling import Parameter, ParameterSpace, sobol_points
from spinlock.sampling.logarithmic import log_uniform

FIRST = 0.5 / 2**32
LAST = 1 - FIRST
FIXED = settings(deadline=None, derandomize=True, database=None)
UNIT = st.floats(0, 1)


def decode(parameter, *u):
    return parameter.decode(np.array(u, dtype=np.float64))


# --- kinds ---


@pytest.mark.parametrize(("low", "high"), [(2, 6), (-3, 3), (0, 1), (5, 5), (-(2**20), 2**20)])
def test_integers_reach_both_ends(low, high):
    values = decode(Parameter("n", "integer", low, high), 0.0, FIRST, LAST, 1.0)
    assert values[:2] == [low, low]
    assert values[3] == high
    assert values[2] == low + math.floor((high - low + 1) * (2**33 - 1) / 2**33)
    assert all(type(value) is int for value in values)


def test_integers_reach_as_far_as_float64_counts_exactly():
    assert decode(Parameter("n", "integer", 0, 2**53), 0.0, 1.0) == [0, 2**53]
    assert decode(Parameter("n", "integer", -(2**53), 0), 0.0, 1.0) == [-(2**53), 0]
    for low, high in [(0, 2**53 + 1), (-(2**53) - 1, 0)]:
        with pytest.raises(OptionError, match=r"within ±2\*\*53"):
            Parameter("n", "integer", low, high)


def test_integers_have_equal_weight_end_points_included():
    parameter = Parameter("n", "integer", 2, 6)
    counts = np.bincount(parameter.decode(sobol_points(range(2**15), 1, seed=4)[:, 0]))[2:]
    assert len(counts) == 5
    assert np.abs(counts - 2**15 / 5).max() <= 1
    # the control: rounding gives the end points half the weight
    rounded = np.bincount(np.round(2 + 4 * sobol_points(range(2**15), 1, seed=4)[:, 0]).astype(int))[2:]
    assert rounded[0] < 0.6 * rounded[1]


@FIXED
@given(k=st.integers(0, 999))
def test_each_integer_owns_its_interval(k):
    parameter = Parameter("n", "integer", -500, 499)
    assert decode(parameter, k / 1000 + 1e-9, (k + 1) / 1000 - 1e-9) == [k - 500, k - 500]


@FIXED
@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6), u=UNIT)
def test_continuous_values_are_linear_and_stay_inside(low, width, u):
    high = low + width
    (value,) = decode(Parameter("x", "continuous", low, high), u)
    assert low <= value <= high
    assert value == pytest.approx(low + u * width, rel=1e-12, abs=1e-9)
    assert type(value) is float


@FIXED
@given(low=st.floats(1e-6, 1e6), ratio=st.floats(1.01, 1e12), u=st.floats(0, LAST))
def test_logarithmic_values_are_exponential_and_stay_inside(low, ratio, u):
    high = low * ratio
    (value,) = decode(Parameter("x", "continuous", low, high, log=True), u)
    assert low <= value <= high
    assert value == pytest.approx(low * (high / low) ** u, rel=1e-14)


def test_logarithmic_values_rise_and_are_right_to_a_few_units_in_the_last_place():
    u = np.sort(sobol_points(range(300), 1, seed=1)[:, 0])
    for low, high in [(0.7, 2.0), (1e-5, 1.0), (1e-70, 1e70)]:
        values = log_uniform(u, low, high)
        assert np.all(np.diff(values) > 0)
        with localcontext() as context:
            context.prec = 50
            ratio = Decimal(high) / Decimal(low)
            exact = [Decimal(low) * ratio ** Decimal(x) for x in u.tolist()]
            # the rounding of high / low itself weighs one unit more
            errors = [abs(Decimal(v) / e - 1) for v, e in zip(values.tolist(), exact, strict=True)]
        assert max(errors) < 4 * 2**-53


def test_logarithmic_values_have_the_bits_of_the_first_version():
    u = np.array([FIRST, 1 / 4, 1 / 3, 1 / 2, 0.9, LAST])
    assert [value.hex() for value in log_uniform(u, 1e-5, 1.0).tolist()] == [
        "0x1.4f8b5895c21b6p-17",
        "0x1.74eea61c12624p-13",
        "0x1.e6b4b396428e1p-12",
        "0x1.9e7c6e43390b7p-9",
        "0x1.43d1362484910p-2",
        "0x1.fffffff47cb0dp-1",
    ]


def test_halves_of_a_logarithmic_range_have_equal_weight():
    values = np.array(
        Parameter("x", "continuous", 1e-4, 1.0, log=True).decode(sobol_points(range(4096), 1, seed=2)[:, 0])
    )
    for decade in range(4):
        assert np.sum((values >= 10.0 ** (decade - 4)) & (values < 10.0 ** (decade - 3))) == 1024


def test_choices_and_booleans():
    parameter = Parameter("kind", "choice", choices=("relu", 3, None, 0.5))
    assert decode(parameter, 0.0, 0.24, 0.25, 0.5, 0.75, LAST, 1.0) == [
        "relu",
        "relu",
        3,
        None,
        0.5,
        0.5,
        0.5,
    ]
    assert decode(Parameter("only", "choice", choices=("one",)), 0.0, LAST) == ["one", "one"]
    assert decode(Parameter("flag", "boolean"), 0.0, 0.5 - 1e-9, 0.5, LAST) == [False, False, True, True]
    assert type(decode(Parameter("flag", "boolean"), 0.7)[0]) is bool


# --- the space ---

SPACE = ParameterSpace(
    [
        Parameter("width", "integer", 8, 64),
        Parameter("gain", "continuous", 0.7, 2.0, log=True),
        Parameter("activation", "choice", choices=("relu", "gelu")),
        Parameter("bias", "boolean"),
    ]
)


def test_dimensions_follow_sorted_names_whatever_the_order_of_declaration():
    assert SPACE.names == ("activation", "bias", "gain", "width")
    assert SPACE.size == 4
    again = ParameterSpace(reversed(SPACE.parameters))
    points = sobol_points(range(50), 4, seed=0)
    assert again.names == SPACE.names
    assert again.decode(points) == SPACE.decode(points)


def test_each_column_decodes_its_own_parameter():
    points = np.array([[0.9, 0.1, 0.0, 0.5], [0.1, 0.9, 1.0, 1.0]])
    values = SPACE.decode(points)
    assert values["activation"] == ["gelu", "relu"]
    assert values["bias"] == [False, True]
    assert values["gain"] == pytest.approx([0.7, 2.0])
    assert values["width"] == [8 + 57 // 2, 64]


def test_rows_decode_alone_to_the_same_bits():
    points = sobol_points(range(200), 4, seed=3)
    together = SPACE.decode(points)
    for i in range(0, 200, 17):
        assert {name: column[0] for name, column in SPACE.decode(points[i : i + 1]).items()} == {
            name: column[i] for name, column in together.items()
        }


def test_values_are_plain_python_objects():
    for column in SPACE.decode(sobol_points(range(3), 4, seed=0)).values():
        assert all(type(value) in (int, float, bool, str) for value in column)


def test_an_empty_space_and_an_empty_batch():
    empty = ParameterSpace([])
    assert (empty.size, empty.names, empty.decode(np.zeros((5, 0)))) == (0, (), {})
    assert SPACE.decode(np.zeros((0, 4))) == {name: [] for name in SPACE.names}


def test_points_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="3 columns; the space has 4 parameters"):
        SPACE.decode(np.full((2, 3), 0.5))
    for outside in (-1e-9, 1 + 1e-9, math.nan, math.inf):
        with pytest.raises(UsageError, match="unit cube"):
            SPACE.decode(np.array([[0.5, 0.5, 0.5, outside]]))


def test_a_name_declared_twice_is_refused():
    with pytest.raises(OptionError, match="'gain' is declared 2 times"):
        ParameterSpace([*SPACE.parameters, Parameter("gain", "boolean")])


def test_a_parameter_cannot_be_changed_after_it_was_checked():
    parameter = Parameter("gain", "continuous", 0.7, 2.0)
    for name in ("low", "kind", "log"):
        with pytest.raises(FrozenInstanceError):
            setattr(parameter, name, None)
    assert parameter == Parameter("gain", "continuous", 0.7, 2.0)


# --- impossible parameters ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "integer", "low": 6, "high": 2}, r"\[6, 2\] are reversed"),
        ({"kind": "integer", "low": 0, "high": 2**53 + 1}, "within"),
        ({"kind": "integer", "low": 1.5, "high": 2}, "two integers"),
        ({"kind": "integer", "low": True, "high": 2}, "two integers"),
        ({"kind": "integer", "low": 1}, "two integers"),
        ({"kind": "integer", "low": 1, "high": 8, "log": True}, "log_scale is for continuous"),
        ({"kind": "continuous", "low": 2.0, "high": 1.0}, "low < high"),
        ({"kind": "continuous", "low": 1.0, "high": 1.0}, "to fix the value"),
        ({"kind": "continuous", "low": 0.0, "high": 1.0, "log": True}, "above 0"),
        ({"kind": "continuous", "low": -1, "high": 1, "log": True}, "above 0"),
        ({"kind": "continuous", "low": 1e-90, "high": 1e90, "log": True}, r"2\*\*500"),
        ({"kind": "continuous", "low": 0.0, "high": math.inf}, "finite"),
        ({"kind": "continuous", "low": math.nan, "high": 1.0}, "finite"),
        ({"kind": "continuous", "low": -1.7e308, "high": 1.7e308}, "finite"),
        ({"kind": "continuous", "low": 0, "high": 10**400}, "finite"),
        ({"kind": "continuous", "low": False, "high": 1.0}, "two numbers"),
        ({"kind": "continuous"}, "two numbers"),
        ({"kind": "choice"}, "at least one value"),
        ({"kind": "choice", "choices": ("a", "b", "a")}, "choice 'a' is listed twice"),
        ({"kind": "choice", "choices": (1, 1.0)}, "listed twice"),
        ({"kind": "choice", "choices": ("a",), "low": 0, "high": 1}, "bounds are for numbers"),
        ({"kind": "boolean", "low": 0, "high": 1}, "bounds are for numbers"),
        ({"kind": "boolean", "log": True}, "log_scale"),
        ({"kind": "boolean", "choices": (True,)}, "choices are for type choice"),
        ({"kind": "continuous", "low": 0.0, "high": 1.0, "choices": (1,)}, "choices are for type choice"),
    ],
)
def test_impossible_parameters_are_refused_with_name_and_reason(options, message):
    with pytest.raises(OptionError, match=rf"^gain: .*{message}"):
        Parameter("gain", **options)


def test_true_and_one_are_two_choices():
    assert decode(Parameter("x", "choice", choices=(True, 1)), 0.1, 0.9) == [True, 1]
