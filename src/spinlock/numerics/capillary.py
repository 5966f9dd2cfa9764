"""Capillary waves: the height of a fluctuating interface along a closed line, with its derivatives."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

POINTS = 4096
"""Of the table that heights are read from: 80 or more to the shortest wave, so that lines between them do."""


@dataclass(frozen=True)
class Heights:
    """A height h(t) in px and its first three derivatives in t, at the places asked for."""

    value: Float32[Tensor, "b h w"]
    first: Float32[Tensor, "b h w"]
    second: Float32[Tensor, "b h w"]
    third: Float32[Tensor, "b h w"]


def capillary_heights(
    numbers: Float32[Tensor, "b 2 m"],
    places: Float32[Tensor, "b h w"],
    period: Float32[Tensor, "b 1 1"],
    width: Float32[Tensor, "b 1 1"],
    roughness: Float32[Tensor, "b 1 1"],
    first: int = 1,
) -> Heights:
    """Return h(t) = Σ_n (a_n·cos q_n·t + b_n·sin q_n·t)/q_n, q_n = 2πn/period, scaled to an rms.

    Parameters
    ----------
    numbers
        Independent standard normals a_n and b_n, n = 1 … m.
    places
        t in px.
    period
        Length of the line in px.
    width
        ξ in px: waves shorter than 2πξ, which would bend the inside of the interface, are left out. The
        longest one stays.
    roughness
        √⟨h²⟩ over the ensemble, px.
    first
        Least n: 2 for a circle, which n = 0 blows up and n = 1 shifts.

    Notes
    -----
    ⟨|h_q|²⟩ = k_B·T/(σ·q²) is what surface tension σ allows at temperature T. Source: Buff, Lovett &
    Stillinger, Phys. Rev. Lett. 15, 621 (1965).
    """
    order = torch.arange(1, numbers.shape[-1] + 1, device=numbers.device)
    last = (period / (2.0 * math.pi * width)).clamp(min=float(first))[:, 0]
    kept = ((order >= first) & (order <= last)).float()
    share = kept / order.square()
    scale = roughness[:, 0] * (share / share.sum(dim=1, keepdim=True)).sqrt()
    wave = torch.complex(numbers[:, 0], -numbers[:, 1]) * scale
    q = (2.0 * math.pi / period[:, 0]) * order
    derivatives = torch.stack([wave * (1j * q) ** power for power in range(4)], dim=1)
    spectrum = torch.nn.functional.pad(derivatives, (1, POINTS // 2 - len(order))) * (POINTS / 2)
    return Heights(*_between(torch.fft.irfft(spectrum, n=POINTS), places / period).unbind(dim=1))


def _between(table: Float32[Tensor, "b k p"], turns: Float32[Tensor, "b h w"]) -> Float32[Tensor, "b k h w"]:
    """Return the values of a periodic table at fractions of its period, on straight lines between points."""
    place = torch.remainder(turns, 1.0) * POINTS
    below = place.floor()
    index = below.long().flatten(1)[:, None].expand(-1, table.shape[1], -1)
    low, high = (table.gather(2, (index + step) % POINTS) for step in (0, 1))
    share = (place - below).flatten(1)[:, None]
    return torch.lerp(low, high, share).unflatten(2, turns.shape[1:])
