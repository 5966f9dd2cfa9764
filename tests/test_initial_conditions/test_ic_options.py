"""Drawn option values: their law, their keys, and the length that bounds their JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.errors import OptionError
from spinlock.initial_conditions import registry
from spinlock.initial_conditions.options import draw_number, options_length, resolve_options
from spinlock.registry import Integer, Option, Real
from spinlock.testing.strategies import accepted, option_sets

LENGTH = Option("length", "real", 0.1, Real(0.001, 1000.0, log=True), per_sample=True)
LEVEL = Option("level", "real", 0.1, Real(-10.0, 10.0), per_sample=True)
COUNT = Option("count", "integer", 3, Integer(1, 100), per_sample=True)
ODD = Option("odd", "integer", 3, Integer(1, 99, odd=True), per_sample=True)
GRID = (np.arange(1000) + 0.5) / 1000


def draws(option, low, high):
    return [draw_number(option, (low, high), float(uniform)) for uniform in GRID]


def test_lengths_are_log_uniform_and_levels_uniform():
    logs = np.log(draws(LENGTH, 0.01, 100.0))
    assert np.allclose(np.diff(logs), math.log(1e4) / 1000, rtol=1e-4)
    assert np.allclose(np.diff(draws(LEVEL, -1.0, 3.0)), 4.0 / 1000, rtol=1e-6)


@pytest.mark.parametrize(
    ("option", "low", "high", "values"), [(COUNT, 2, 6, [2, 3, 4, 5, 6]), (ODD, 3, 9, [3, 5, 7, 9])]
)
def test_integers_have_equal_weight(option, low, high, values):
    counted = {value: draws(option, low, high).count(value) for value in values}
    assert sum(counted.values()) == 1000
    assert set(counted.values()) == {1000 // len(values)}


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_drawn_numbers_stay_in_their_range(one, other, uniform):
    low, high = sorted((one, other))
    assert low <= draw_number(LEVEL, (low, high), uniform) <= high


def test_values_depend_on_seed_index_type_and_option_alone():
    entry, other = registry["localized"], registry["multiscale_grf"]
    ranges = {"min_width_range": [2, 4], "max_width_range": [4, 8], "amplitude_range": [1, 2]}
    values = resolve_options(entry, ranges, 3, 17)
    assert values == resolve_options(entry, dict(reversed(ranges.items())), 3, 17)
    assert values["amplitude"] == resolve_options(entry, {"amplitude_range": [1, 2]}, 3, 17)["amplitude"]
    drawn = {
        resolve_options(entry, ranges, 3, 17)["amplitude"],
        resolve_options(entry, ranges, 4, 17)["amplitude"],
        resolve_options(entry, ranges, 3, 18)["amplitude"],
        resolve_options(other, {"variance_range": [1, 2]}, 3, 17)["variance"],
    }
    assert len(drawn) == 4


def test_values_are_complete_and_plain():
    values = resolve_options(registry["composite"], {"pattern": "random"}, 0, 0)
    assert list(values) == [
        "pattern",
        "frequency",
        "noise_level",
        "grf_length_scale",
        "phase_shift",
        "normalize",
    ]
    assert json.loads(json.dumps(values)) == values
    assert "nu" not in resolve_options(registry["gaussian_random_field"], {}, 0, 0)
    bands = resolve_options(registry["multiscale_grf"], {"bands": [(1, 4)]}, 0, 0)
    assert json.loads(json.dumps(bands)) == bands
    assert "scales" not in bands


def test_wrong_options_are_refused():
    with pytest.raises(OptionError, match="did you mean 'num_blobs'"):
        resolve_options(registry["localized"], {"num_blob": 3}, 0, 0)
    with pytest.raises(OptionError, match="lower end"):
        options_length(registry["localized"], {"num_blobs_range": [3, 1]})


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.name)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_the_length_bounds_the_json(entry, data):
    options = accepted(entry, data.draw(option_sets(entry)), 64)
    index = data.draw(st.integers(0, 2**32 - 1))
    values = resolve_options(entry, options, 5, index)
    if values["normalize"] != "none":
        values |= {"normalize_factor": 1.2345678901234567e-100, "normalize_offset": -1.2345678901234567e-100}
    assert len(json.dumps(values)) <= options_length(entry, options)
    assert json.loads(json.dumps(values)) == values
