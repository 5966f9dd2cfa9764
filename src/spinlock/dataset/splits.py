"""Splits that cannot leak: rows are divided group by group, so that what two rows share, they share alone."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spinlock.dataset.open import Dataset
from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose, words
from spinlock.registry import unknown_name

Grouping = Literal["operator", "ic_type", "architecture", "cell"]

GROUPINGS: tuple[Grouping, ...] = ("operator", "ic_type", "architecture", "cell")

HALVES = 2
"""Parts of each axis of the parameter space that make a cell."""


def split(
    dataset: Dataset,
    fractions: Mapping[str, float] | None = None,
    *,
    by: Grouping = "operator",
    cells: int = HALVES,
    over: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, NDArray[np.int64]]:
    """Divide the rows of a dataset into splits; rows of one group are never in two of them.

    Groups are put into a keyed random order and dealt out in turn, so the splits have the fractions asked for
    as nearly as whole groups allow, and every split has a group where there are as many. The same dataset,
    fractions, grouping and seed give the same splits on every machine.

    Parameters
    ----------
    fractions
        Name → share of the rows, in order; they add up to 1. If not given: train 0.8, validation 0.1,
        test 0.1.
    by
        What rows of one group share: ``operator`` (the weights), ``ic_type`` (the type of initial condition),
        ``architecture`` (every integer, choice and switch of the operator), or ``cell`` (the part of the
        parameter space that the point lies in: a test of extrapolation).
    cells
        For ``cell``: parts of each axis, equal in the unit cube.
    over
        For ``cell``: the parameters whose axes are cut; all if not given.
    seed
        Another seed gives other splits.

    Returns
    -------
    dict
        Name → its rows, int64 [rows], ascending; every row is in exactly one split.

    Raises
    ------
    UsageError
        For fractions that are no shares, fewer groups than splits, or options that make no cell.
    UnknownNameError
        For a grouping or a parameter that does not exist.
    """
    shares = _checked({"train": 0.8, "validation": 0.1, "test": 0.1} if fractions is None else fractions)
    groups = _groups(dataset, by, cells, over)
    sizes = np.bincount(groups)
    _require_groups(len(sizes), len(shares), dataset, by)
    owner = _dealt(sizes, list(shares.values()), Key(seed, f"split/{by}"))
    return {name: np.flatnonzero(owner[groups] == number) for number, name in enumerate(shares)}


def _require_groups(found: int, needed: int, dataset: Dataset, by: Grouping) -> None:
    if found < needed:
        raise UsageError(
            f"{needed} splits by {by} need as many groups; {dataset.path} has {found}: ask for fewer splits, "
            "or another grouping"
        )


def _checked(fractions: Mapping[str, float]) -> dict[str, float]:
    shares = {str(name): float(share) for name, share in fractions.items()}
    if not shares or not all(share > 0 for share in shares.values()) or abs(sum(shares.values()) - 1) > 1e-9:
        raise UsageError(f"fractions {shares} must be positive and add up to 1")
    return shares


def _groups(dataset: Dataset, by: Grouping, cells: int, over: Sequence[str] | None) -> NDArray[np.int64]:
    """Return the number of the group of each row, 0 … G − 1, in the order of what they share."""
    if by not in GROUPINGS:
        raise unknown_name("grouping", by, GROUPINGS)
    if by == "operator":
        columns = [dataset.metadata["operator_digests"]]
    elif by == "ic_type":
        columns = [dataset.metadata["ic_types"]]
    elif by == "architecture":
        columns = _architecture(dataset)
    else:
        columns = _cell(dataset, cells, over)
    group = np.zeros(len(dataset), np.int64)
    for column in columns:
        _, part = np.unique(column, return_inverse=True)
        _, group = np.unique(group * (part.max() + 1) + part, return_inverse=True)
    return group


def _architecture(dataset: Dataset) -> list[np.ndarray]:
    """Return the columns that decide the shapes and parts of an operator."""
    from spinlock.operators import families

    options = {name for family in families for name in families[family].options} | {"family"}
    return [
        column for name, column in dataset.parameters.items() if name in options and column.dtype.kind != "f"
    ]


def _cell(dataset: Dataset, cells: int, over: Sequence[str] | None) -> list[np.ndarray]:
    names = list(dataset.parameters)
    chosen = names if over is None else list(over)
    for name in chosen:
        if name not in names:
            raise unknown_name("parameter", name, names)
    if cells < 2 or not chosen:
        raise UsageError("a cell needs at least 2 parts of at least one axis: see the options cells and over")
    points = dataset.points[:, [names.index(name) for name in chosen]]
    return list(np.minimum((points * cells).astype(np.int64), cells - 1).T)


def _dealt(sizes: NDArray[np.int64], shares: list[float], key: Key) -> NDArray[np.int64]:
    """Return the split of each group: in a keyed order, each goes where most rows are still missing.

    The first groups go one to each split, so that none stays empty.
    """
    draws = words(key, Purpose.CHOICE, range(len(sizes)), 2)
    order = np.lexsort((draws[:, 1], draws[:, 0]))
    wanted = np.array(shares) * sizes.sum()
    owner = np.empty(len(sizes), np.int64)
    for turn, group in enumerate(order.tolist()):
        split_number = turn if turn < len(shares) else int(np.argmax(wanted))
        owner[group] = split_number
        wanted[split_number] -= sizes[group]
    return owner
