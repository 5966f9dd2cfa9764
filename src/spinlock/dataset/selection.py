"""Which rows of a dataset to show."""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from spinlock.counting import counted
from spinlock.dataset.open import Dataset
from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose
from spinlock.numerics.random import random_words
from spinlock.sampling import sobol_points

Selection = Literal["sobol", "random", "sequential"]
SELECTIONS: tuple[Selection, ...] = get_args(Selection)


def select_rows(dataset: Dataset, count: int, method: Selection, seed: int) -> list[int]:
    """Return ``count`` different rows, ascending; all rows where there are not more.

    Parameters
    ----------
    method
        ``sobol``: the rows nearest to the first points of a Sobol sequence scrambled by ``seed``: they spread
        over the parameter space. ``random``: each set of rows is equally likely. ``sequential``: the first.
    seed
        Of the choice alone; it changes nothing in a row.
    """
    rows = len(dataset)
    if method == "sequential" or count >= rows:
        return list(range(min(count, rows)))
    key = Key(seed, "selection")
    if method == "random":
        words = random_words(key, Purpose.CHOICE, rows, samples=0)
        order = words.permute(1, 2, 0).reshape(-1)[:rows].numpy()
        return sorted(np.argsort(order, kind="stable")[:count].tolist())
    low, high = key.words
    root = low | high << 32  # not the sequence that the rows come from
    points = dataset.points if dataset.points.shape[1] else (np.arange(rows)[:, None] + 0.5) / rows
    return sorted(_nearest(points, sobol_points(range(count), points.shape[1], seed=root)))


def _nearest(points: np.ndarray, targets: np.ndarray) -> list[int]:
    """Return the row nearest to each target in turn, without those that are taken."""
    free = np.ones(len(points), dtype=bool)
    chosen = []
    for target in targets:
        distance = np.where(free, np.square(points - target).sum(axis=1), np.inf)
        chosen.append(int(distance.argmin()))
        free[chosen[-1]] = False
    return chosen


def checked_rows(dataset: Dataset, indices: Sequence[int]) -> list[int]:
    """Return given rows in their order; negative ones count from the end.

    Raises
    ------
    UsageError
        For a row that does not exist, or one given twice.
    """
    count = len(dataset)
    wrong = [index for index in indices if not -count <= index < count]
    if wrong:
        said = ", ".join(map(str, wrong))
        raise UsageError(
            f"--operator-indices {said}: {dataset.path} holds {counted(count, 'operator')}, 0 to {count - 1}"
        )
    rows = [index % count for index in indices]
    twice = sorted({row for row in rows if rows.count(row) > 1})
    if twice:
        raise UsageError(f"--operator-indices: {', '.join(map(str, twice))} given more than once")
    return rows
