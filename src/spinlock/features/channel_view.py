"""Channels of a frame against each other: their correlation matrix and its eigenvalues."""

import math
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from spinlock.features.field_view import FieldView


class ChannelView:
    """The channels of frames [..., C, H, W], correlated over the pixels.

    Correlations and eigenvalues are float64, so that the small eigenvalues of nearly dependent channels keep
    their digits. They are few; the features return the dtype of the fields.
    """

    def __init__(self, fields: FieldView) -> None:
        self._fields = fields
        self.channels = fields.fields.shape[-3]
        self.dtype = fields.fields.dtype

    @cached_property
    def correlation(self) -> Float64[Tensor, "*rows c c"]:
        """R, the Pearson matrix over the pixels: R_ii = 1, and R_ij = 0 where channel i or j is flat."""
        rows = self._fields.standardized.flatten(-2).double()
        gram = rows @ rows.mT
        norm = gram.diagonal(dim1=-2, dim2=-1).sqrt()
        norm = torch.where(norm == 0, 1.0, norm)
        matrix = (gram / norm[..., :, None] / norm[..., None, :]).clamp(-1.0, 1.0)
        matrix.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        return matrix

    @cached_property
    def pairs(self) -> Float64[Tensor, "*rows pairs"]:
        """R_ij of the pairs i < j."""
        i, j = torch.triu_indices(self.channels, self.channels, 1, device=self.correlation.device)
        return self.correlation[..., i, j]

    @cached_property
    def eigenvalues(self) -> Float64[Tensor, "*rows c"]:
        """λ₁ ≥ … ≥ λ_C ≥ 0 of R: in closed form up to three channels, else by `torch.linalg.eigvalsh`.

        Only the latter waits for a GPU.
        """
        if self.channels == 1:
            return torch.ones_like(self.correlation[..., 0])
        if self.channels == 2:
            size = self.pairs.abs()
            return torch.cat((1.0 + size, 1.0 - size), dim=-1)
        if self.channels == 3:
            return three_eigenvalues(self.pairs).clamp(min=0.0)
        return torch.linalg.eigvalsh(self.correlation).flip(-1).clamp(min=0.0)


def three_eigenvalues(pairs: Float64[Tensor, "*rows 3"]) -> Float64[Tensor, "*rows 3"]:
    """Return the eigenvalues, descending, of the 3 × 3 matrix of ones on the diagonal and (a, b, c) off it.

    λ − 1 solves x³ − 3m·x − 2abc = 0 with m = (a² + b² + c²)/3, three real roots: 2√m·cos φ,
    2√m·cos(φ ± 2π/3) with cos 3φ = abc/m^{3/2}. Near double roots arccos loses half of the digits; so
    sin 3φ comes from m³ − (abc)² = m·Σd²/2 − Πd, d the deviations of (a², b², c²) from m, where nothing
    cancels.
    """
    squares = pairs.square()
    mean = squares.mean(dim=-1)
    rolled = pairs.roll(1, -1)
    steps = (pairs - rolled) * (pairs + rolled)
    deviations = (steps - steps.roll(-1, -1)) / 3.0
    excess = 0.5 * mean * deviations.square().sum(dim=-1) - deviations.prod(dim=-1)
    angle = torch.atan2(excess.clamp(min=0.0).sqrt(), pairs.prod(dim=-1)) / 3.0
    turns = torch.tensor([0.0, -1.0, 1.0], dtype=pairs.dtype, device=pairs.device) * (2.0 * math.pi / 3.0)
    return 1.0 + 2.0 * mean.sqrt()[..., None] * torch.cos(angle[..., None] + turns)
