"""Counts of messenger molecules in a tissue: overdispersed noise about patterned means."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import Draw, Law, initial_condition
from spinlock.initial_conditions.laws import near
from spinlock.numerics.columns import column
from spinlock.numerics.grid import Grid
from spinlock.numerics.negative_binomial import negative_binomial_quantile
from spinlock.numerics.random import SampleKeys
from spinlock.numerics.spectral import angular, rbf_spectrum, spectral
from spinlock.registry import Real
from spinlock.shapes import Fields, PerSample

GENES = 3
Pattern = Literal["gradient", "spots", "stripes", "radial", "uniform", "grf"]
DRAWN: tuple[Pattern, ...] = ("gradient", "spots", "stripes", "radial")
PATTERNS: tuple[Pattern, ...] = (*DRAWN, "uniform", "grf")

Numbers = Float32[Tensor, "r"]
Pictures = Float32[Tensor, "r n n"]
Latent = Float32[Tensor, "b 3 n n"]

TOP_COUNT = 20.0
"""Count shown as the upper end of the range, in units of ``mean_count``."""


def check_patterns(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse an empty range of expression, and waves finer than two pixels."""
    low, high = values["expression_range"]
    if not low < high:
        raise OptionError(
            f"expression_range [{low:g}, {high:g}] is empty: the lower end must be below the upper"
        )
    if grid_size is None:
        return
    shown = Grid(grid_size).pixels(values["pattern_wavelength"])
    if shown < 2.0:
        raise OptionError(
            f"pattern_wavelength {values['pattern_wavelength']:g} px of a 128 grid is {shown:.3g} px of a "
            f"{grid_size} grid: take {256 / grid_size:g} or more"
        )


def plane(grid: Grid, angle: Numbers, start: Numbers) -> Pictures:
    """Return the distance along a direction, px, beyond ``start``."""
    down, across = (part(angle)[:, None, None] for part in (torch.sin, torch.cos))
    return down * grid.axis[:, None] + across * grid.axis - start[:, None, None]


def drawn_pattern(
    grid: Grid, name: Pattern, numbers: Float32[Tensor, "r 3"], wavelength: Numbers
) -> Pictures:
    """Return deterministic patterns in random directions and places, with mean 0 and variance 1.

    A slope; crests of three plane waves 120° apart, which meet on a hexagonal lattice; crests of one; the
    distance from a place, falling. ``wavelength`` in pixels.
    """
    angle, place = 2.0 * math.pi * numbers[:, 0], grid.side(numbers[:, 1:])
    first, wave = plane(grid, angle, place[:, 0]), 2.0 * math.pi / wavelength[:, None, None]
    if name == "gradient":
        picture = first
    elif name == "stripes":
        picture = torch.cos(wave * first)
    elif name == "spots":
        second = plane(grid, angle + math.pi / 3.0, place[:, 1])
        picture = torch.cos(wave * first) + torch.cos(wave * second) + torch.cos(wave * (second - first))
    else:
        down, across = ((grid.axis - place[:, axis, None]).square() for axis in (0, 1))
        picture = -torch.sqrt(down[:, :, None] + across[:, None, :])
    exact = picture.double()
    exact = exact - exact.mean(dim=(-2, -1), keepdim=True)
    return (exact / exact.square().mean(dim=(-2, -1), keepdim=True).sqrt()).float()


def latent(
    grid: Grid,
    keys: SampleKeys,
    kinds: Int64[Tensor, "b c"],
    wavelength: PerSample,
    correlation_strength: PerSample,
) -> Latent:
    """Return √(1 − ρ)·P_g(r) + √ρ·Z(r) for each gene, patterns P_g of the kinds and Z a field all share.

    Z and the patterns ``grf`` are Gaussian fields with S(k) = exp(−k²l²/2), l = λ/2π, most of whose power is
    at the wavelength λ.
    """
    length = grid.pixels(column(wavelength))
    spectrum = rbf_spectrum(angular(grid) * length / (2.0 * math.pi))
    common = spectral(spectrum, keys.normal("common", 1, grid.size, grid.size))
    numbers = keys.uniform("layout", GENES, 3)
    lengths = length[..., 0, 0].to(grid.device).expand(kinds.shape)
    picture = torch.zeros(len(keys), GENES, grid.size, grid.size, device=grid.device)
    gaussian = kinds == PATTERNS.index("grf")
    if bool(gaussian.any()):
        fields = spectral(spectrum, keys.normal("white", GENES, grid.size, grid.size))
        picture = torch.where(gaussian[..., None, None], fields, picture)
    for name in DRAWN:
        chosen = kinds == PATTERNS.index(name)
        if bool(chosen.any()):
            picture[chosen] = drawn_pattern(grid, name, numbers[chosen], lengths[chosen])
    share = column(correlation_strength)
    return (1.0 - share).sqrt() * picture + share.sqrt() * common


def counts_of(fields: Float[Tensor, "*shape"], mean_count: float) -> Float64[Tensor, "*shape"]:
    """Return the counts that fields with ``expression_range`` [0, 1] show."""
    return torch.expm1(fields.double() * math.log1p(TOP_COUNT * mean_count)).round()


def fano_law(mean: float = 5.0, dispersion: float = 2.0, tolerance: float = 0.05) -> Law:
    """Return the law: variance over mean of the counts where expression is the same everywhere."""

    def check(draw: Draw) -> None:
        fields = draw(
            32,
            mean_count=mean,
            dispersion=dispersion,
            expression_patterns=("uniform",),
            correlation_strength=0.0,
        )
        counts = counts_of(fields, mean).flatten()
        near("mean count", float(counts.mean()), mean, tolerance * mean)
        expected = 1.0 + mean / dispersion
        near("variance over mean", float(counts.var() / counts.mean()), expected, tolerance * expected)

    return Law(f"unpatterned counts have variance (1 + μ/θ)·μ within {tolerance:.0%}", check)


def moran(fields: Float[Tensor, "*rows n n"]) -> Float64[Tensor, "*rows"]:
    """Return Moran's I with the two nearest neighbours down and across: 0 for noise, 1 for smooth fields."""
    centred = fields.double() - fields.double().mean(dim=(-2, -1), keepdim=True)
    down = (centred[..., 1:, :] * centred[..., :-1, :]).mean(dim=(-2, -1))
    across = (centred[..., :, 1:] * centred[..., :, :-1]).mean(dim=(-2, -1))
    return 0.5 * (down + across) / centred.square().mean(dim=(-2, -1))


def moran_law() -> Law:
    """Return the law: patterned genes correlate between neighbours, unpatterned ones do not."""

    def check(draw: Draw) -> None:
        for pattern in (*DRAWN, "grf"):
            least = float(moran(draw(8, expression_patterns=(pattern,))).mean(dim=0).min())
            assert least > 0.2, f"Moran's I of {pattern} is {least:.3g}, not above 0.2"
        flat = moran(draw(16, expression_patterns=("uniform",), correlation_strength=0.0))
        near("mean of Moran's I without a pattern", float(flat.mean()), 0.0, 0.02)

    return Law("Moran's I is above 0.2 with a pattern and 0 within 0.02 without", check)


@initial_condition(
    domain="genomics",
    tier=3,
    source="Raj & van Oudenaarden 2008; Svensson, Teichmann & Stegle 2018; Svensson 2020",
    sites=("common", "white", "layout", "pattern", "count"),
    periodic=False,
    cost="fft",
    laws=(fano_law(), moran_law()),
    check=check_patterns,
)
def gene_expression(
    grid: Grid,
    keys: SampleKeys,
    *,
    expression_patterns: tuple[Pattern, ...] | None = None,
    pattern_wavelength: Annotated[PerSample, Real(6.0, 64.0, "px", log=True)] = 16.0,
    correlation_strength: Annotated[PerSample, Real(0.0, 1.0)] = 0.3,
    mean_count: Annotated[PerSample, Real(0.5, 100.0, log=True)] = 5.0,
    dispersion: Annotated[PerSample, Real(0.3, 50.0, log=True)] = 2.0,
    signal: Annotated[PerSample, Real(0.0, 2.0)] = 0.8,
    expression_range: Annotated[tuple[float, float], Real(-10.0, 10.0)] = (0.0, 1.0),
) -> Fields:
    """Negative binomial counts of three genes, log-scaled, about means that vary over the tissue.

    log μ_g(r) = log m + s·[√(1 − ρ)·P_g(r) + √ρ·Z(r)], m ``mean_count``, s ``signal``, ρ
    ``correlation_strength``; P_g is a pattern with mean 0 and variance 1 and Z a Gaussian field that the
    genes share. Counts x have mean μ and variance μ + μ²/θ, θ ``dispersion`` (bursts of transcription),
    without excess zeros. Channel g is a + (b − a)·log(1 + x)/log(1 + 20 m) for ``expression_range`` [a, b];
    counts above 20 m lie beyond b. Patterns are those of the list in turn, or random ones if null; waves and
    Gaussian fields have ``pattern_wavelength``.

    What to expect: grainy stripes, spots, gradients and clouds. Each count takes a step of the sum that
    inverts its distribution: a mean of 100 with ``signal`` 2 costs a hundred times what the defaults do.
    """
    if expression_patterns is None:
        kinds = keys.integers("pattern", len(PATTERNS), GENES)
    else:
        listed = [
            PATTERNS.index(expression_patterns[gene % len(expression_patterns)]) for gene in range(GENES)
        ]
        kinds = torch.tensor([listed], device=grid.device).expand(len(keys), -1)
    fields = latent(grid, keys, kinds, pattern_wavelength, correlation_strength)
    typical = column(mean_count).double()
    mean = typical * torch.exp(column(signal).double() * fields.double())
    spreading = column(dispersion).double().expand(mean.shape)
    counts = negative_binomial_quantile(keys.uniform("count", GENES, grid.size, grid.size), mean, spreading)
    low, high = expression_range
    return (low + (high - low) * torch.log1p(counts) / torch.log1p(TOP_COUNT * typical)).float()
