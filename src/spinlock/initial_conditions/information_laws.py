"""Laws of symbols drawn at random: surprisal and plug-in entropy."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from spinlock.initial_conditions.catalogue import Draw, Law
from spinlock.initial_conditions.laws import near, under

STANDARD_ERRORS = 4.0
LEVEL_SETS = 8
BLOCKS, SINGLE = 200, 16


def plug_in_entropy(block: Float[Tensor, "h w"]) -> float:
    """Return −Σ f·log₂ f + (m − 1)/(2·n·ln 2) bits, the entropy of n symbols of m kinds with frequencies f.

    The second term makes up for most of the bias of the first (Miller 1955).
    """
    counts = block.unique(return_counts=True)[1].double()
    shares = counts / counts.sum()
    bias = (len(counts) - 1) / (2.0 * float(counts.sum()) * math.log(2.0))
    return float(-(shares * shares.log2()).sum()) + bias


def surprisal_is_entropy(draws: int = 32, **options: Any) -> Law:
    """Return the law: where the target H is about one value, the mean surprisal is the mean of H."""

    def check(draw: Draw) -> None:
        surprisal, target = draw(draws, **options)[:, 1:3].double().transpose(0, 1).flatten(1)
        assert bool((surprisal >= 0).all()), "a surprisal is negative"
        order = target.argsort()
        for number, part in enumerate(order.chunk(LEVEL_SETS)):
            excess = surprisal[part] - target[part]
            error = float(excess.std()) / len(part) ** 0.5
            assert abs(float(excess.mean())) <= STANDARD_ERRORS * error + 1e-5, (
                f"mean surprisal departs from H by {float(excess.mean()):.3g} bits in level set {number},"
                f" whose standard error is {error:.2g}"
            )

    words = f"the mean surprisal is H on each of {LEVEL_SETS} level sets within 4 standard errors"
    return Law(f"{words}{under(options)}", check)


def entropy_within(value: float, single: float = 0.25, mean: float = 0.03, **options: Any) -> Law:
    """Return the law: the symbols of a block of 16 × 16 px have the entropy that was asked for."""

    def check(draw: Draw) -> None:
        fields = draw(BLOCKS, num_channels=1, entropy_range=(value, value), **options)
        measured = torch.tensor([plug_in_entropy(field[0, :16, :16]) for field in fields])
        worst = float((measured[:SINGLE] - value).abs().max())
        near(f"greatest departure of the entropy of {SINGLE} blocks", worst, 0.0, single)
        near("mean entropy of the blocks", float(measured.mean()), value, mean)

    return Law(f"blocks of 16 × 16 symbols have {value:g} bits within {mean:g} in the mean", check)


def entropy_scales(tolerance: float = 0.02) -> Law:
    """Return the law: the map of H is the same picture on a grid twice as fine; the symbols are not."""

    def check(draw: Draw) -> None:
        coarse, fine = (draw(16, grid_size=size)[:, 2].double() for size in (64, 128))
        pooled = torch.nn.functional.avg_pool2d(fine[:, None], 2)[:, 0]
        near(
            "root mean square difference of H",
            float((pooled - coarse).square().mean().sqrt()),
            0.0,
            tolerance,
        )

    return Law(f"H on a grid twice as fine is the same map within {tolerance:g} bits", check)
