"""Rows are divided group by group: each row once, no group twice, the same everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinlock.dataset import open_dataset
from spinlock.dataset.splits import GROUPINGS, split
from spinlock.errors import UnknownNameError, UsageError

ARCHITECTURE = (
    "num_layers",
    "kernel_size",
    "normalization",
    "block",
    "channel_schedule",
    "base_channels",
    "output_activation",
)


class Rows:
    """What a split asks of a dataset, with few values a column, so that groups are large."""

    path = "rows.h5"

    def __init__(self, count, seed):
        draw = np.random.default_rng(seed)
        self.count = count
        self.metadata = {
            "operator_digests": np.array([f"{k // 2:08x}" for k in range(count)]),
            "ic_types": draw.choice(["localized", "mixed", "composite", "structured"], count),
        }
        self.parameters = {
            "gain": draw.uniform(0.5, 2, count),
            "num_layers": draw.integers(1, 4, count),
            "activation": draw.choice(["relu", "gelu"], count),
            "dt": draw.uniform(0, 1, count),
        }
        self.points = draw.uniform(0, 1, (count, 4))

    def __len__(self):
        return self.count


def shared(rows, by, cells=2, over=None):
    """What the rows of a group share, written another way than the code under test does."""
    if by == "operator":
        return rows.metadata["operator_digests"].tolist()
    if by == "ic_type":
        return rows.metadata["ic_types"].tolist()
    if by == "architecture":
        return list(zip(rows.parameters["num_layers"], rows.parameters["activation"], strict=True))
    axes = [list(rows.parameters).index(name) for name in over or rows.parameters]
    edges = np.linspace(0, 1, cells + 1)[1:-1]
    return [tuple(int((point[axis] >= edges).sum()) for axis in axes) for point in rows.points]


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    count=st.integers(30, 120),
    seed=st.integers(0, 2**32),
    by=st.sampled_from(GROUPINGS),
    parts=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    cells=st.integers(3, 6),
    over=st.none()
    | st.lists(st.sampled_from(["gain", "num_layers", "activation", "dt"]), min_size=1, unique=True),
)
def test_every_row_is_in_one_split_and_every_group_too(count, seed, by, parts, cells, over):
    rows = Rows(count, seed % 1000)
    fractions = {f"part{k}": part / sum(parts) for k, part in enumerate(parts)}
    splits = split(rows, fractions, by=by, cells=cells, over=over, seed=seed)
    assert list(splits) == list(fractions)
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(count))
    common = shared(rows, by, cells, over)
    groups = [{common[row] for row in chosen} for chosen in splits.values()]
    assert all(groups)
    assert sum(map(len, groups)) == len(set().union(*groups))


@pytest.mark.parametrize("by", GROUPINGS)
def test_rows_divided_by_chance_would_leak(by):
    """The control: the same test refuses a division that does not look at groups."""
    rows = Rows(100, 0)
    chance = np.random.default_rng(0).permutation(100)
    first, second = ({shared(rows, by)[row] for row in half} for half in (chance[:50], chance[50:]))
    assert first & second


def test_fractions_are_met_as_nearly_as_single_rows_allow():
    rows = Rows(1000, 1)
    rows.metadata["operator_digests"] = np.arange(1000).astype(str)
    sizes = {name: len(chosen) for name, chosen in split(rows).items()}
    assert sizes == {"train": 800, "validation": 100, "test": 100}


def test_the_seed_decides_and_nothing_else(everything):
    with open_dataset(everything) as dataset:
        first, again = split(dataset, seed=3), split(dataset, seed=3)
        others = [split(dataset, seed=seed) for seed in range(5)]
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first["test"], other["test"]) for other in others)


def test_the_architecture_is_every_part_but_the_numbers(everything):
    halves = {"a": 0.5, "b": 0.5}
    with open_dataset(everything) as dataset:
        splits = split(dataset, halves, by="architecture")
        columns = [dataset.parameters[name] for name in ARCHITECTURE]
        kinds = [{tuple(column[row] for column in columns) for row in rows} for rows in splits.values()]
    assert not kinds[0] & kinds[1]


def test_a_cell_is_a_part_of_the_axes_asked_for(everything):
    with open_dataset(everything) as dataset:
        splits = split(dataset, {"a": 0.5, "b": 0.5}, by="cell", over=["gain"], cells=2)
        gains = [dataset.parameters["gain"][rows] for rows in splits.values()]
    below, above = sorted(gains, key=min)
    assert max(below) < min(above)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fractions": {}}, "must be positive and add up to 1"),
        ({"fractions": {"a": 0.5, "b": 0.4}}, "must be positive and add up to 1"),
        ({"fractions": {"a": 1.5, "b": -0.5}}, "must be positive and add up to 1"),
        ({"fractions": {"a": float("nan"), "b": 1.0}}, "must be positive and add up to 1"),
        ({"by": "cell", "cells": 1}, "at least 2 parts"),
        ({"by": "cell", "over": []}, "at least 2 parts"),
        ({"by": "cell", "over": ["gain"], "cells": 2}, "3 splits by cell need as many groups"),
    ],
)
def test_what_cannot_be_divided_is_refused(everything, arguments, words):
    with open_dataset(everything) as dataset, pytest.raises(UsageError, match=words):
        split(dataset, **arguments)


def test_names_that_do_not_exist_are_refused(everything):
    with open_dataset(everything) as dataset:
        with pytest.raises(UnknownNameError, match="did you mean 'operator'"):
            split(dataset, by="operators")
        with pytest.raises(UnknownNameError, match="did you mean 'gain'"):
            split(dataset, by="cell", over=["gian"])
