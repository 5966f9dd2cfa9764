"""Order statistics of many rows of numbers from one sort: quartiles, median, median absolute deviation."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


class OrderStatistics(NamedTuple):
    """Quantiles by linear interpolation between neighbours, and the median of |u − median u|, unscaled."""

    lower_quartile: Float[Tensor, "*rows"]
    median: Float[Tensor, "*rows"]
    upper_quartile: Float[Tensor, "*rows"]
    median_absolute_deviation: Float[Tensor, "*rows"]


def order_statistics(values: Float[Tensor, "*rows n"]) -> OrderStatistics:
    """Return the order statistics of each row.

    They are exact: order statistics are entries of the row, and only the interpolation between two of them
    rounds. The median of an even count is the mean of the middle two.
    """
    ordered = ascending(values)
    median = quantile(ordered, 0.5)
    return OrderStatistics(
        quantile(ordered, 0.25),
        median,
        quantile(ordered, 0.75),
        median_distance(ordered, median),
    )


def ascending(values: Float[Tensor, "*rows n"]) -> Float[Tensor, "*rows n"]:
    """Return each row in ascending order.

    On a CPU numpy sorts: it uses vector instructions, which `torch.sort` does not, and takes less time than
    selecting the needed ranks one by one.
    """
    if values.device.type == "cpu":
        return torch.from_numpy(np.sort(values.numpy(), axis=-1))
    return values.sort(dim=-1).values


def quantile(ordered: Float[Tensor, "*rows n"], q: float) -> Float[Tensor, "*rows"]:
    """Return the q-quantile of ascending rows: linear in between ranks, rank q·(n − 1) counted from 0."""
    rank = q * (ordered.shape[-1] - 1)
    below = int(rank)
    above = min(below + 1, ordered.shape[-1] - 1)
    return torch.lerp(ordered[..., below], ordered[..., above], rank - below)


def median_distance(
    ordered: Float[Tensor, "*rows n"], centre: Float[Tensor, "*rows"]
) -> Float[Tensor, "*rows"]:
    """Return the median of |u − centre| over each ascending row u, with no second sort."""
    count = ordered.shape[-1]
    lower = nearest_distance(ordered, centre, (count + 1) // 2)
    upper = nearest_distance(ordered, centre, count // 2 + 1)
    return torch.lerp(lower, upper, 0.5)


def nearest_distance(
    ordered: Float[Tensor, "*rows n"], centre: Float[Tensor, "*rows"], rank: int
) -> Float[Tensor, "*rows"]:
    """Return the distance of the ``rank``-th nearest entry of each ascending row to its centre.

    The nearest ``rank`` entries stand side by side in the row. The farthest entry of a window of that many is
    at one of its two ends, so the answer is the least over all windows of the farther end's distance.
    """
    count = ordered.shape[-1]
    first, last = ordered[..., : count - rank + 1], ordered[..., rank - 1 :]
    return torch.maximum(centre[..., None] - first, last - centre[..., None]).amin(dim=-1)
