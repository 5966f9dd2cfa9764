"""Sums whose bits depend on the numbers of a row alone, on every device."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def pairwise_sum(rows: Float[Tensor, "r n"]) -> Float64[Tensor, "r"]:
    """Return the sum of each row in float64, by halves: the second half is added to the first, and again.

    torch's own sums take an order that depends on how many rows there are.
    """
    values = rows.double()
    while values.shape[1] > 1:
        half = -(-values.shape[1] // 2)
        paired = values.shape[1] - half
        total = values[:, :paired] + values[:, half:]
        values = total if paired == half else torch.cat((total, values[:, paired:half]), dim=1)
    return values[:, 0] if values.shape[1] else values.new_zeros(len(values))


def row_mean_square(rows: Float[Tensor, "r *shape"]) -> Float64[Tensor, "r"]:
    """Return the mean square of each row."""
    flat = rows.flatten(1).double()
    return pairwise_sum(flat * flat) / flat.shape[1]
