"""The entropy of the realizations' values at each pixel."""

import math

import torch
from jaxtyping import Float32, Int, Int32
from torch import Tensor

from spinlock.visualization.aggregates.catalogue import aggregate
from spinlock.visualization.aggregates.frame import EnsembleFrame

WORDS = (torch.int32, torch.int64)
"""Integers that may hold the counts of all bins, the fast one first."""


@aggregate(kind="heatmap", colormap="inferno")
def entropy(frame: EnsembleFrame) -> Float32[Tensor, "1 h w"]:
    """Shannon entropy in bits of the values at a pixel, mean over the channels.

    H = −Σ_b p_b log₂ p_b, p_b the share of the m values in bin b of `bins_of` (M) equal bins between the
    channel's least and greatest value over the clip (the last bin holds its upper end); M counts diverged
    realizations too, so that bins stay as they are. 0 where the realizations agree and in a channel that is
    constant over the clip, at most log₂ of the number of bins.
    Shannon, Bell Syst. Tech. J. 27 (1948) 379.
    """
    members, channels, height, width = frame.fields.shape
    bins = bins_of(frame.size or members)
    terms = entropy_terms(members).to(frame.fields.device)
    total = frame.fields.new_zeros(channels * height * width, dtype=torch.float32)
    for count in bin_counts(bin_numbers(frame, bins), bins):
        total += terms.index_select(0, count.flatten())
    return total.view(channels, height, width).mean(dim=0, keepdim=True)


def bins_of(members: int) -> int:
    """Return the number of bins for so many values, ⌈log₂ m⌉ + 1.

    Sturges, J. Am. Stat. Assoc. 21 (1926) 65.
    """
    return (members - 1).bit_length() + 1


def bin_numbers(frame: EnsembleFrame, bins: int) -> Int32[Tensor, "m c h w"]:
    """Return the bin of each value, 0 … bins − 1; values beyond the clip's limits belong to the end bins."""
    low, high = frame.low[:, None, None], frame.high[:, None, None]
    span = torch.where(high > low, high - low, torch.inf)
    return (frame.fields - low).div_(span).mul_(bins).clamp_(0, bins - 1).to(torch.int32)


def bin_counts(numbers: Int32[Tensor, "m c h w"], bins: int) -> list[Int[Tensor, "c h w"]]:
    """Return how many of the m values are in each bin.

    The counts are digits of one integer, the sum over m of 1 shifted to the digit of the value's bin, as long
    as they fit into it (m ≤ 127); that takes one pass in place of one for each bin.
    """
    digit = len(numbers).bit_length()
    word = next((dtype for dtype in WORDS if 1 << digit * bins <= torch.iinfo(dtype).max), None)
    if word is None:
        return [(numbers == number).sum(dim=0) for number in range(bins)]
    one = torch.ones((), dtype=word, device=numbers.device)
    packed = one.bitwise_left_shift(numbers.to(word) * digit).sum(dim=0, dtype=word)
    return [(packed >> (digit * number)) & ((1 << digit) - 1) for number in range(bins)]


def entropy_terms(members: int) -> Float32[Tensor, "counts"]:
    """Return −p log₂ p for p = 0, 1/m, … 1."""
    shares = (count / members for count in range(members + 1))
    return torch.tensor([p * math.log2(1.0 / p) if p else 0.0 for p in shares])
