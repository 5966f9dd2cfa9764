"""The Fourier modes of a real field on a periodic grid, ordered by frequency.

A real field has a Hermitian transform, so `torch.fft.rfft2` keeps half of the plane: columns 0 … W // 2. A
mode of an inner column stands for two of the full plane, k and −k; a mode of column 0, or of the Nyquist
column of an even width, for itself. Frequencies are in cycles per pixel, ρ = √(fx² + fy²) ≤ √½.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

BANDS = 5
"""Bands of ρ: (i/5)²·√½ < ρ ≤ ((i + 1)/5)²·√½, i = 0 … 4."""


@dataclass(frozen=True)
class FourierModes:
    """The modes of the half plane with ρ > 0 in ascending order of ρ, and numbers that go with each.

    Attributes
    ----------
    order
        Place of each mode in the flattened half plane.
    weight
        How many modes of the full plane it stands for: 1 or 2.
    multiplicity
        How many modes it forms with its conjugate: 1 where it is its own, else 2.
    frequency, frequency_x, frequency_y
        ρ, |fx| and |fy|.
    double_angle
        cos 2θ and sin 2θ, θ = atan2(fy, fx), averaged over the modes it stands for.
    bands, band_sizes
        Where each band lies in the order, and how many modes of the full plane it holds; none on small grids.
    thirds
        Where ρ ≤ 1/6, 1/6 < ρ ≤ 1/3 and ρ > 1/3 lie in the order.
    column_weight, axis_x, axis_y
        Along the sides of the half plane: weight of each column, |fx| of columns, |fy| of rows.
    """

    order: Int64[Tensor, "modes"]
    weight: Float[Tensor, "modes"]
    multiplicity: Float[Tensor, "modes"]
    frequency: Float[Tensor, "modes"]
    frequency_x: Float[Tensor, "modes"]
    frequency_y: Float[Tensor, "modes"]
    double_angle: Float[Tensor, "modes 2"]
    bands: tuple[slice, ...]
    band_sizes: tuple[int, ...]
    thirds: tuple[slice, ...]
    column_weight: Float[Tensor, "half"]
    axis_x: Float[Tensor, "half"]
    axis_y: Float[Tensor, "h"]


@lru_cache(maxsize=32)
def fourier_modes(height: int, width: int, dtype: torch.dtype, device: torch.device) -> FourierModes:
    """Return the modes of a ``height`` × ``width`` grid, their numbers in one dtype on one device.

    Which side of an edge a mode lies on is decided with integers: ρ²·(HW)² = kx²H² + ky²W² is one.
    """
    ky = torch.arange(height)[:, None]
    ky = torch.where(2 * ky > height, ky - height, ky)
    kx = torch.arange(width // 2 + 1)[None, :]
    x, y = kx * height, ky * width
    radius = (x.square() + y.square()).flatten()
    order = radius.argsort(stable=True)[1:]
    area = height * width

    def number(values: Tensor) -> Tensor:
        return values.to(device=device, dtype=dtype)

    def by_mode(values: Tensor) -> Tensor:
        return values.expand(height, width // 2 + 1).flatten()[order]

    radius = radius[order]
    own_x, own_y = 2 * kx % width == 0, 2 * ky % height == 0
    column_weight = torch.where(own_x, 1, 2)
    weight = by_mode(column_weight)
    bands = _between(radius, [i**4 * area**2 for i in range(BANDS + 1)], 2 * BANDS**4)
    return FourierModes(
        order=order.to(device),
        weight=number(weight),
        multiplicity=number(by_mode(torch.where(own_x & own_y, 1, 2))),
        frequency=number(radius.double().sqrt() / area),
        frequency_x=number(by_mode(kx.double() / width)),
        frequency_y=number(by_mode(ky.abs().double() / height)),
        double_angle=number(_double_angle(by_mode(x), by_mode(y), by_mode(own_x ^ own_y))),
        bands=bands,
        band_sizes=tuple(int(weight[band].sum()) for band in bands),
        thirds=_between(radius, [0, area**2, 4 * area**2, 36 * area**2], 36),
        column_weight=number(column_weight[0]),
        axis_x=number(kx[0].double() / width),
        axis_y=number(ky[:, 0].abs().double() / height),
    )


def _between(radius: Int64[Tensor, "modes"], edges: list[int], factor: int) -> tuple[slice, ...]:
    """Return where edge < factor·radius ≤ next edge in the ascending radii, for each pair of edges."""
    places = [int((factor * radius <= edge).sum()) for edge in edges]
    return tuple(slice(start, stop) for start, stop in pairwise(places))


def _double_angle(
    x: Int64[Tensor, "modes"], y: Int64[Tensor, "modes"], mirrored: Bool[Tensor, "modes"]
) -> Float[Tensor, "modes 2"]:
    """Return cos 2θ and sin 2θ of each mode.

    On a Nyquist row or column +½ and −½ are one frequency: (fx, ½) and (−fx, ½) are conjugate and have one
    power (``mirrored``), so their sin 2θ cancel. The corner (½, ½), the checkerboard, counts as a diagonal.
    """
    square = (x.square() + y.square()).double()
    cosine = (x.square() - y.square()) / square
    sine = torch.where(mirrored, 0.0, 2.0 * x * y / square)
    return torch.stack((cosine, sine), dim=-1)
