"""Elementary functions: close to the truth in float64, and the same bits compiled and on whole arrays."""

import numpy as np
import pytest
from scipy import special

from spinlock.numerics import elementary
from spinlock.numerics.compiled import compiled

TINY = np.logspace(-30, 0, 500)
POINTS = np.concatenate([np.linspace(-30, 30, 200_003), TINY, -TINY]).astype(np.float32)
EXTREME = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 3e-42, 1e9], np.float32)

TRUTH = {
    "exponential": lambda x: np.exp(np.clip(x, -87, 88)),
    "tangent": np.tanh,
    "half_normal": lambda x: special.erf(x / np.sqrt(2)) / 2,
    "sine": np.sin,
    "gelu": lambda x: x * special.ndtr(x),
    "silu": lambda x: x * special.expit(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
}
LARGEST = {
    "exponential": 2, "tangent": 8, "half_normal": 8, "silu": 4, "elu": 8, "relu": 0, "leaky_relu": 1
}  # fmt: skip
"""Largest relative error, in units of the last place of the result."""


def test_every_function_has_a_truth():
    declared = {name for name, value in vars(elementary).items() if callable(value) and name.islower()}
    assert declared - {"compilable"} == set(TRUTH)


@pytest.mark.parametrize("name", LARGEST)
def test_relative_error(name):
    y, truth = getattr(elementary, name)(POINTS), TRUTH[name](POINTS.astype(np.float64))
    assert y.dtype == np.float32
    assert (np.abs(y - truth) <= LARGEST[name] * np.spacing(np.abs(truth).astype(np.float32))).all()


@pytest.mark.parametrize(("name", "ulps"), [("gelu", 4), ("sine", 1)])
def test_error_relative_to_the_larger_of_argument_and_one(name, ulps):
    y, truth = getattr(elementary, name)(POINTS), TRUTH[name](POINTS.astype(np.float64))
    assert (np.abs(y - truth) <= ulps * np.spacing(np.maximum(np.abs(POINTS), 1))).all()


def test_small_arguments_keep_their_relative_precision():
    small = np.concatenate([TINY, -TINY]).astype(np.float32)[np.r_[0:400, 500:900]]
    for name in ("tangent", "half_normal", "sine", "gelu", "silu", "elu"):
        truth = TRUTH[name](small.astype(np.float64))
        assert np.abs(getattr(elementary, name)(small) / truth - 1).max() < 1e-6, name


def test_sine_of_large_arguments():
    x = np.linspace(-1e8, 1e8, 10_001).astype(np.float32)
    assert np.abs(elementary.sine(x) - np.sin(x.astype(np.float64))).max() < 3e-7


def test_saturation():
    far = np.array([-1e30, -40.0, 40.0, 1e30], np.float32)
    assert (elementary.tangent(far) == [-1, -1, 1, 1]).all()
    assert (elementary.half_normal(far) == [-0.5, -0.5, 0.5, 0.5]).all()
    assert (elementary.gelu(far) == [0, 0, far[2], far[3]]).all()
    assert (elementary.elu(far) == [-1, -1, far[2], far[3]]).all()
    assert (np.abs(elementary.sine(np.array([1e20, -1e30], np.float32))) <= 1).all()


@pytest.mark.parametrize("name", TRUTH)
def test_compiled_and_whole_arrays_give_the_same_bits(name):
    function = getattr(elementary, name)

    @compiled
    def loop(x, y):
        for k in range(x.size):
            y[k] = function(x[k])

    x = np.concatenate([POINTS, EXTREME])
    y = np.empty_like(x)
    loop(x, y)
    with np.errstate(all="ignore"):
        whole = function(x)
    assert np.isnan(y[np.isnan(x)]).all()
    same = (y.view(np.int32) == whole.view(np.int32)) | (np.isnan(y) & np.isnan(whole))
    assert same.all(), x[~same]
